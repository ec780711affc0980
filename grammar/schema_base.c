/* schema_base.c - what one schema object's own keywords allow, and what fails them. */
#include "grammar/schema_internal.h"

#include <string.h>

enum {
    T_NULL = 1,
    T_BOOLEAN = 2,
    T_NUMBER = 4,
    T_INTEGER = 8,
    T_STRING = 16,
    T_ARRAY = 32,
    T_OBJECT = 64,
    T_ALL = 127 - 8
};

static int malformed(vbj_compiler *c, const json_t *schema, const char *name, const char *wanted) {
    return vbj_refuse(c, VB_ERR_FORMAT, schema, name, "must be %s", wanted);
}

/* --------------------------------------------------------------------------------------------- type */

static int type_bit(const char *name) {
    static const char *const names[] = {"null", "boolean", "number", "integer", "string", "array", "object"};
    for (int i = 0; name && i < 7; i++)
        if (strcmp(names[i], name) == 0) return 1 << i;
    return 0;
}

static int read_types(vbj_compiler *c, const json_t *schema, int *types) {
    const json_t *type = json_object_get(schema, "type");
    const char *known = "one of null, boolean, number, integer, string, array, object, or a list of them";
    *types = T_ALL;
    if (!type) return 0;
    *types = 0;
    if (json_is_string(type)) *types = type_bit(json_string_value(type));
    for (size_t i = 0; json_is_array(type) && i < json_array_size(type); i++) {
        int bit = type_bit(json_string_value(json_array_get(type, i)));
        if (!bit) return malformed(c, schema, "type", known);
        *types |= bit;
    }
    if (!*types && !(json_is_array(type) && json_array_size(type) == 0))
        return malformed(c, schema, "type", known);
    /* OpenAPI 3.0 writes a type that may be null this way; no draft of JSON schema knows the keyword. */
    if (json_is_true(json_object_get(schema, "nullable"))) *types |= T_NULL;
    return 0;
}

/* A count that must not be negative; 3.0 is one as well. More than fits means no limit in `hi`, and
 * nothing at all in `lo`. */
static int read_count(vbj_compiler *c, const json_t *schema, const char *name, uint32_t *out) {
    const json_t *v = json_object_get(schema, name);
    if (!v) return 0;
    double d = json_number_value(v);
    if (!json_is_number(v) || d < 0 || (json_is_real(v) && d < 1e9 && d != (double)(uint32_t)d))
        return malformed(c, schema, name, "a whole number, not negative");
    if (d >= 1e9)
        return vbj_refuse(c, VB_ERR_UNSUPPORTED, schema, name, "more than 1000000000 is not counted");
    *out = (uint32_t)d;
    return 0;
}

static int read_range(vbj_compiler *c, const json_t *schema, const char *min, const char *max, uint32_t *lo,
                      uint32_t *hi) {
    int rc = read_count(c, schema, min, lo);
    return rc ? rc : read_count(c, schema, max, hi);
}

/* ------------------------------------------------------------------------------------------ strings */

/* The automaton of pattern and format, NULL for none, and the range of lengths. */
static int read_string(vbj_compiler *c, const json_t *schema, vbj_string *out) {
    const json_t *pattern = json_object_get(schema, "pattern"), *format = json_object_get(schema, "format");
    const vbj_dfa *shape = NULL;
    *out = (vbj_string){NULL, 0, VBJ_NO_LIMIT};
    int rc = read_range(c, schema, "minLength", "maxLength", &out->lo, &out->hi);
    if (rc) return rc;
    if (pattern) {
        if (!json_is_string(pattern)) return malformed(c, schema, "pattern", "a string");
        out->dfa = vbj_pattern(c, schema, "pattern", json_string_value(pattern), json_string_length(pattern));
        if (!out->dfa) return vbj_full(c);
    }
    if (format) {
        if (!json_is_string(format)) return malformed(c, schema, "format", "a string");
        rc = vbj_format(c, schema, json_string_value(format), &shape);
        if (rc) return rc;
    }
    c->at_keyword = pattern ? "pattern" : "format";
    if (shape && out->dfa)
        out->dfa = vbj_dfa_product(&c->arena, out->dfa, shape, VBJ_BOTH);
    else if (shape)
        out->dfa = shape;
    return (pattern || shape) && !out->dfa ? vbj_full(c) : 0;
}

/* ------------------------------------------------------------------------------------------- arrays */

static bool is_schema(const json_t *v) {
    return json_is_object(v) || json_is_boolean(v);
}

static int schema_list(vbj_compiler *c, const json_t *schema, const char *name, const json_t *list,
                       vbj_item_group *g) {
    size_t n = json_array_size(list);
    vbj_expr *prefix = vbj_take(&c->arena, n + 1, sizeof *prefix);
    if (!prefix) return vbj_full(c);
    for (size_t i = 0; i < n; i++) {
        if (!is_schema(json_array_get(list, i))) return malformed(c, schema, name, "a list of schemas");
        prefix[i] = vbj_expr_schema(c, json_array_get(list, i));
        if (prefix[i] < 0) return prefix[i];
    }
    g->prefix = prefix;
    g->n_prefix = n;
    return 0;
}

/* Whether another keyword applies schemas to the same value: then "unevaluated" needs to know which of
 * them held. */
static bool has_in_place(const json_t *schema) {
    static const char *const names[] = {"$ref", "$dynamicRef", "$recursiveRef",   "allOf", "anyOf", "oneOf",
                                        "not",  "if",          "dependentSchemas"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (json_object_get(schema, names[i])) return true;
    return false;
}

/* unevaluatedX beside no other schema for the same value is additionalX. */
static int unevaluated(vbj_compiler *c, const json_t *schema, const char *name, bool all_seen,
                       vbj_expr *rest) {
    const json_t *v = json_object_get(schema, name);
    if (!v || all_seen) return 0;
    if (!is_schema(v)) return malformed(c, schema, name, "a schema");
    vbj_expr x = vbj_expr_schema(c, v);
    if (x < 0) return x;
    if (x == VBJ_EXPR_TRUE) return 0;
    if (has_in_place(schema))
        return vbj_refuse(
            c, VB_ERR_UNSUPPORTED, schema, name,
            "together with $ref, allOf, anyOf, oneOf, if or dependentSchemas this is not supported");
    *rest = x;
    return 0;
}

static int read_items(vbj_compiler *c, const json_t *schema, vbj_item_group *g) {
    const json_t *prefix = json_object_get(schema, "prefixItems"), *items = json_object_get(schema, "items");
    const json_t *more = json_object_get(schema, "additionalItems");
    const char *where = "prefixItems";
    g->rest = VBJ_EXPR_TRUE;
    if (!prefix && json_is_array(items)) { /* until draft 2019-09 */
        prefix = items;
        items = more;
        where = "items";
    }
    if (prefix) {
        if (!json_is_array(prefix)) return malformed(c, schema, where, "a list of schemas");
        int rc = schema_list(c, schema, where, prefix, g);
        if (rc) return rc;
    }
    if (items && !is_schema(items))
        return malformed(c, schema, items == more ? "additionalItems" : "items", "a schema");
    if (items) g->rest = vbj_expr_schema(c, items);
    if (g->rest < 0) return g->rest;
    bool seen = items || json_object_get(schema, "contains");
    if (!items && json_object_get(schema, "contains") && json_object_get(schema, "unevaluatedItems") &&
        !json_is_true(json_object_get(schema, "unevaluatedItems")))
        return vbj_refuse(c, VB_ERR_UNSUPPORTED, schema, "unevaluatedItems",
                          "together with \"contains\" this is not supported");
    return unevaluated(c, schema, "unevaluatedItems", seen, &g->rest);
}

static int read_contains(vbj_compiler *c, const json_t *schema, vbj_contains *out) {
    const json_t *what = json_object_get(schema, "contains");
    *out = (vbj_contains){VBJ_EXPR_TRUE, 1, VBJ_NO_LIMIT};
    if (!is_schema(what)) return malformed(c, schema, "contains", "a schema");
    out->what = vbj_expr_schema(c, what);
    if (out->what < 0) return out->what;
    return read_range(c, schema, "minContains", "maxContains", &out->lo, &out->hi);
}

static int read_array(vbj_compiler *c, const json_t *schema, vbj_array *out) {
    vbj_item_group *g = vbj_take(&c->arena, 1, sizeof *g);
    vbj_contains *counts = vbj_take(&c->arena, 1, sizeof *counts);
    if (!g || !counts) return vbj_full(c);
    *out = (vbj_array){.hi = VBJ_NO_LIMIT, .groups = g, .counts = counts, .blame = schema};
    int rc = read_range(c, schema, "minItems", "maxItems", &out->lo, &out->hi);
    if (!rc) rc = read_items(c, schema, g);
    if (rc) return rc;
    if (g->n_prefix || g->rest != VBJ_EXPR_TRUE) out->n_groups = 1;
    if (json_object_get(schema, "contains")) {
        rc = read_contains(c, schema, counts);
        out->n_counts = 1;
    }
    const json_t *unique = json_object_get(schema, "uniqueItems");
    if (unique && !json_is_boolean(unique)) return malformed(c, schema, "uniqueItems", "true or false");
    out->unique = json_is_true(unique);
    return rc;
}

/* ------------------------------------------------------------------------------------------ objects */

static int read_properties(vbj_compiler *c, const json_t *schema, vbj_group *g) {
    const json_t *named = json_object_get(schema, "properties"),
                 *patterns = json_object_get(schema, "patternProperties");
    if (named && !json_is_object(named)) return malformed(c, schema, "properties", "an object");
    if (patterns && !json_is_object(patterns)) return malformed(c, schema, "patternProperties", "an object");
    vbj_property *properties = vbj_take(&c->arena, json_object_size(named) + 1, sizeof *properties);
    vbj_key_class *classes = vbj_take(&c->arena, json_object_size(patterns) + 1, sizeof *classes);
    if (!properties || !classes) return vbj_full(c);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)named, name, value) {
        if (!is_schema(value)) return malformed(c, named, name, "a schema");
        vbj_property p = {name, vbj_expr_schema(c, value)};
        if (p.value < 0) return p.value;
        properties[g->n_named++] = p;
    }
    json_object_foreach((json_t *)(uintptr_t)patterns, name, value) {
        if (!is_schema(value)) return malformed(c, patterns, name, "a schema");
        vbj_key_class k = {vbj_pattern(c, schema, "patternProperties", name, strlen(name)),
                           vbj_expr_schema(c, value)};
        if (!k.keys) return vbj_full(c);
        if (k.value < 0) return k.value;
        classes[g->n_patterns++] = k;
    }
    g->named = properties;
    g->patterns = classes;
    return 0;
}

static int read_rest(vbj_compiler *c, const json_t *schema, vbj_group *g) {
    const json_t *more = json_object_get(schema, "additionalProperties");
    g->rest = VBJ_EXPR_TRUE;
    if (more && !is_schema(more))
        return malformed(c, schema, "additionalProperties", "a schema, true or false");
    if (more) g->rest = vbj_expr_schema(c, more);
    if (g->rest < 0) return g->rest;
    return unevaluated(c, schema, "unevaluatedProperties", more != NULL, &g->rest);
}

static int read_required(vbj_compiler *c, const json_t *schema, vbj_object *o) {
    const json_t *list = json_object_get(schema, "required");
    if (!list) return 0;
    if (!json_is_array(list)) return malformed(c, schema, "required", "a list of names");
    const char **names = vbj_take(&c->arena, json_array_size(list) + 1, sizeof *names);
    if (!names) return vbj_full(c);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name) return malformed(c, schema, "required", "a list of names");
        bool have = false;
        for (size_t k = 0; k < o->n_required && !have; k++) have = strcmp(names[k], name) == 0;
        if (!have) names[o->n_required++] = name;
    }
    o->required = names;
    return 0;
}

/* Strings of a shape as one automaton, for keys. */
static int keys_of(vbj_compiler *c, const json_t *schema, const vbj_shape *s, const vbj_dfa **out) {
    *out = vbj_dfa_none(&c->arena);
    for (size_t i = 0; i < s->n_strings && *out; i++) {
        const vbj_string *one = &s->strings[i];
        const vbj_dfa *d = one->dfa ? one->dfa : c->all_strings;
        if (one->lo > 0 || one->hi != VBJ_NO_LIMIT) {
            uint32_t largest = one->hi != VBJ_NO_LIMIT ? one->hi : one->lo;
            if (largest > VBJ_MAX_STATES)
                return vbj_refuse(c, VB_ERR_UNSUPPORTED, schema, "propertyNames",
                                  "lengths above %d are not supported", VBJ_MAX_STATES);
            d = vbj_dfa_product(&c->arena, d, vbj_dfa_lengths(&c->arena, one->lo, one->hi), VBJ_BOTH);
        }
        *out = d ? vbj_dfa_product(&c->arena, *out, d, VBJ_EITHER) : NULL;
    }
    return *out ? 0 : vbj_full(c);
}

static int read_names(vbj_compiler *c, const json_t *schema, vbj_object *o) {
    const json_t *names = json_object_get(schema, "propertyNames");
    if (!names) return 0;
    if (!is_schema(names)) return malformed(c, schema, "propertyNames", "a schema");
    const vbj_shape *s;
    int rc = vbj_shape_of(c, vbj_expr_schema(c, names), &s);
    if (rc) return rc;
    rc = keys_of(c, schema, s, &o->keys);
    if (!rc && vbj_dfa_same(o->keys, c->all_strings)) o->keys = NULL;
    return rc;
}

static int read_object(vbj_compiler *c, const json_t *schema, vbj_object *out) {
    vbj_group *g = vbj_take(&c->arena, 1, sizeof *g);
    if (!g) return vbj_full(c);
    *out = (vbj_object){.hi = VBJ_NO_LIMIT, .groups = g, .blame = schema};
    int rc = read_range(c, schema, "minProperties", "maxProperties", &out->lo, &out->hi);
    if (!rc) rc = read_properties(c, schema, g);
    if (!rc) rc = read_rest(c, schema, g);
    if (!rc) rc = read_required(c, schema, out);
    if (!rc) rc = read_names(c, schema, out);
    if (g->n_named || g->n_patterns || g->rest != VBJ_EXPR_TRUE) out->n_groups = 1;
    return rc;
}

/* ----------------------------------------------------------------------------------- enum and const */

/* The union of the values of "enum", or the one of "const"; *set false: there is neither. */
static int read_values(vbj_compiler *c, const json_t *schema, vbj_expr *x, bool *set) {
    const json_t *list = json_object_get(schema, "enum"), *one = json_object_get(schema, "const");
    *set = list || one;
    *x = VBJ_EXPR_TRUE;
    if (list) {
        size_t n = json_array_size(list);
        if (!json_is_array(list)) return malformed(c, schema, "enum", "a list of values");
        vbj_expr *kids = vbj_take(&c->arena, n + 1, sizeof *kids);
        if (!kids) return vbj_full(c);
        for (size_t i = 0; i < n; i++) kids[i] = vbj_expr_value(c, json_array_get(list, i));
        *x = vbj_expr_list(c, VBJ_OR, kids, n, schema);
    }
    if (one) *x = vbj_expr_and(c, *x, vbj_expr_value(c, one));
    return *x < 0 ? *x : 0;
}

/* ----------------------------------------------------------------------------------------- together */

/* What type is asked for, per type; numbers by schema_numbers.c. */
static int typed_shape(vbj_compiler *c, const json_t *schema, int types, vbj_shape *out) {
    int rc = 0;
    vbj_shape_none(out);
    out->null = types & T_NULL;
    out->no = out->yes = types & T_BOOLEAN;
    vbj_string *s = vbj_take(&c->arena, 1, sizeof *s);
    vbj_array *a = vbj_take(&c->arena, 1, sizeof *a);
    vbj_object *o = vbj_take(&c->arena, 1, sizeof *o);
    if (!s || !a || !o) return vbj_full(c);
    if (!rc && types & (T_NUMBER | T_INTEGER))
        rc = vbj_numbers_base(c, schema, !(types & T_NUMBER), &out->numbers);
    if (!rc) rc = read_string(c, schema, s);
    if (!rc) rc = read_array(c, schema, a);
    if (!rc) rc = read_object(c, schema, o);
    if (rc) return rc;
    bool possible = s->lo <= s->hi;
    if (possible) rc = vbj_string_possible(c, s, &possible);
    out->strings = s;
    out->n_strings = types & T_STRING && possible ? 1 : 0;
    out->arrays = a;
    out->n_arrays = types & T_ARRAY && a->lo <= a->hi ? 1 : 0;
    out->objects = o;
    out->n_objects = types & T_OBJECT && o->lo <= o->hi && o->n_required <= o->hi ? 1 : 0;
    return rc;
}

int vbj_base_shape(vbj_compiler *c, const json_t *schema, vbj_shape *out) {
    int types;
    vbj_expr values;
    bool listed;
    vbj_shape typed;
    const vbj_shape *of_values;
    int rc = read_types(c, schema, &types);
    if (!rc) rc = read_values(c, schema, &values, &listed);
    if (!rc) rc = typed_shape(c, schema, types, &typed);
    if (rc || !listed) {
        *out = typed;
        return rc;
    }
    rc = vbj_shape_of(c, values, &of_values);
    return rc ? rc : vbj_shape_and(c, &typed, of_values, out);
}

/* Fails a type's keywords, has none of the types, or is none of the values. */
int vbj_base_complement(vbj_compiler *c, const json_t *schema, vbj_shape *out) {
    int types;
    vbj_expr values;
    bool listed;
    vbj_shape typed, wrong, others;
    const vbj_shape *not_values;
    vbj_failures f = {.c = c, .schema = schema};
    int rc = read_types(c, schema, &types);
    if (!rc) rc = read_values(c, schema, &values, &listed);
    if (!rc) rc = typed_shape(c, schema, types, &typed);
    if (rc) return rc;
    vbj_shape_none(&wrong);
    vbj_string *s = (vbj_string *)(uintptr_t)typed.strings;
    if (types & T_STRING) rc = vbj_string_complement(c, s, &wrong);
    if (!rc && types & T_ARRAY) rc = vbj_array_complement(&f, typed.arrays);
    if (!rc && types & T_OBJECT) rc = vbj_object_complement(&f, typed.objects);
    wrong.arrays = f.arrays;
    wrong.n_arrays = f.n_arrays;
    wrong.objects = f.objects;
    wrong.n_objects = f.n_objects;
    if (!rc && types & (T_NUMBER | T_INTEGER)) rc = vbj_numbers_not(c, &typed.numbers, &wrong.numbers);
    if (rc) return rc;
    vbj_shape_all(&others);
    others.null = !(types & T_NULL);
    others.no = others.yes = !(types & T_BOOLEAN);
    if (types & (T_NUMBER | T_INTEGER)) vbj_numbers_none(&others.numbers);
    if (types & T_STRING) others.n_strings = 0;
    if (types & T_ARRAY) others.n_arrays = 0;
    if (types & T_OBJECT) others.n_objects = 0;
    if (!rc) rc = vbj_shape_or(c, &wrong, &others, out);
    if (rc || !listed) return rc;
    rc = vbj_shape_of(c, vbj_expr_not(c, values), &not_values);
    return rc ? rc : vbj_shape_or(c, out, not_values, out);
}
