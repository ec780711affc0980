/* schema_value.c - the shape of one JSON value, as "enum" and "const" name it. */
#include "grammar/schema_internal.h"

#include <string.h>

static int value_array(vbj_compiler *c, const json_t *value, vbj_array *out) {
    size_t n = json_array_size(value);
    vbj_item_group *g = vbj_take(&c->arena, 1, sizeof *g);
    vbj_expr *prefix = vbj_take(&c->arena, n + 1, sizeof *prefix);
    if (!g || !prefix) return vbj_full(c);
    for (size_t i = 0; i < n; i++)
        if ((prefix[i] = vbj_expr_value(c, json_array_get(value, i))) < 0) return prefix[i];
    *g = (vbj_item_group){prefix, n, VBJ_EXPR_FALSE};
    *out = (vbj_array){.groups = g, .n_groups = 1, .lo = (uint32_t)n, .hi = (uint32_t)n, .blame = c->at};
    return 0;
}

static int value_object(vbj_compiler *c, const json_t *value, vbj_object *out) {
    size_t n = json_object_size(value);
    vbj_group *g = vbj_take(&c->arena, 1, sizeof *g);
    vbj_property *named = vbj_take(&c->arena, n + 1, sizeof *named);
    const char **required = vbj_take(&c->arena, n + 1, sizeof *required);
    if (!g || !named || !required) return vbj_full(c);
    const char *name;
    json_t *child;
    json_object_foreach((json_t *)(uintptr_t)value, name, child) {
        named[g->n_named] = (vbj_property){name, vbj_expr_value(c, child)};
        if (named[g->n_named].value < 0) return named[g->n_named].value;
        required[g->n_named++] = name;
    }
    g->named = named;
    g->rest = VBJ_EXPR_FALSE;
    *out = (vbj_object){.groups = g,
                        .n_groups = 1,
                        .required = required,
                        .n_required = n,
                        .lo = (uint32_t)n,
                        .hi = (uint32_t)n,
                        .blame = c->at};
    return 0;
}

int vbj_value_shape(vbj_compiler *c, const json_t *value, vbj_shape *out) {
    int rc = 0;
    vbj_shape_none(out);
    vbj_string *s = vbj_take(&c->arena, 1, sizeof *s);
    vbj_array *a = vbj_take(&c->arena, 1, sizeof *a);
    vbj_object *o = vbj_take(&c->arena, 1, sizeof *o);
    if (!s || !a || !o) return vbj_full(c);
    out->strings = s;
    out->arrays = a;
    out->objects = o;
    out->null = json_is_null(value);
    out->no = json_is_false(value);
    out->yes = json_is_true(value);
    if (json_is_number(value)) return vbj_numbers_value(c, value, &out->numbers);
    if (json_is_array(value)) rc = value_array(c, value, a), out->n_arrays = 1;
    if (json_is_object(value)) rc = value_object(c, value, o), out->n_objects = 1;
    if (!json_is_string(value)) return rc;
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    *s = (vbj_string){vbj_dfa_texts(&c->arena, &text, &length, 1), 0, VBJ_NO_LIMIT};
    out->n_strings = 1;
    return s->dfa ? 0 : vbj_full(c);
}
