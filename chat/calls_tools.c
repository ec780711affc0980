/* calls_tools.c - the tools of a request: their names, and the types that their schemas give arguments. */
#include "chat/calls.h"
#include "chat/repr.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------- names */

const vbt_val *vbc_member(const vbt_dict *d, const char *key, size_t n) {
    for (size_t i = 0; i < d->n; i++) {
        const vbt_str *k = d->keys[i].type == VBT_STR ? d->keys[i].u.s : NULL;
        if (k && k->n == n && memcmp(k->s, key, n) == 0) return &d->values[i];
    }
    return NULL;
}

static const vbt_val *member(const vbt_dict *d, const char *key) {
    return vbc_member(d, key, strlen(key));
}

static const vbt_dict *dict_of(const vbt_val *v) {
    return v && v->type == VBT_DICT ? v->u.dict : NULL;
}

/* {"type": "function", "function": {...}}, or the function itself */
static const vbt_dict *function_of(const vbt_val *tool) {
    const vbt_dict *d = dict_of(tool), *inner = d ? dict_of(member(d, "function")) : NULL;
    return inner ? inner : d;
}

static const vbt_str *name_of(const vbt_dict *function) {
    const vbt_val *name = function ? member(function, "name") : NULL;
    return name && name->type == VBT_STR ? name->u.s : NULL;
}

int vbc_tools_read(vbc_tools *tools, const char *json, size_t n, vb_error *err) {
    vbt *t = &tools->memory;
    t->limit = VBT_MEMORY_LIMIT + 32 * (n < SIZE_MAX / 64 ? n : SIZE_MAX / 64);
    t->file = "tools";
    t->err = err;
    if (setjmp(t->out)) return t->rc;
    const vbt_val v = vbt_read_json(t, json, n);
    if (v.type != VBT_LIST) vbt_raise(t, "expected a list of functions, not %s", vbt_type_name(v));
    for (size_t i = 0; i < v.u.list->n; i++)
        if (!name_of(function_of(&v.u.list->v[i])))
            vbt_raise(t, "tool %zu: expected {\"type\": \"function\", \"function\": {\"name\": ...}}", i + 1);
    tools->list = v.u.list;
    t->err = NULL;
    return VB_OK;
}

void vbc_tools_free(vbc_tools *t) {
    vbt_free_all(&t->memory);
    memset(t, 0, sizeof *t);
}

const vbt_dict *vbc_tool(const vbc_tools *t, const char *name, size_t n) {
    for (size_t i = 0; t->list && i < t->list->n; i++) {
        const vbt_dict *f = function_of(&t->list->v[i]);
        const vbt_str *s = name_of(f);
        if (s->n == n && memcmp(s->s, name, n) == 0) return f;
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------- types */

enum { SCHEMA_DEPTH = 32 }; /* references and alternatives followed */

static unsigned type_named(const vbt_str *s) {
    static const struct {
        const char *name;
        unsigned type;
    } names[] = {{"string", VBC_STRING}, {"number", VBC_NUMBER}, {"integer", VBC_NUMBER},
                 {"boolean", VBC_BOOL},  {"null", VBC_NULL},     {"object", VBC_OBJECT},
                 {"array", VBC_ARRAY}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (s->n == strlen(names[i].name) && memcmp(s->s, names[i].name, s->n) == 0) return names[i].type;
    return 0;
}

static unsigned type_of_value(vbt_val v) {
    switch (v.type) {
    case VBT_STR: return VBC_STRING;
    case VBT_BOOL: return VBC_BOOL;
    case VBT_NONE: return VBC_NULL;
    case VBT_DICT: return VBC_OBJECT;
    case VBT_LIST: return VBC_ARRAY;
    default: return VBC_NUMBER;
    }
}

/* "#/a/b" within the function's parameters */
static const vbt_dict *referred(const vbt_dict *root, const vbt_str *ref) {
    if (ref->n < 1 || ref->s[0] != '#') return NULL;
    const vbt_dict *d = root;
    for (size_t at = 1; d && at < ref->n;) {
        if (ref->s[at++] != '/') return NULL;
        const char *slash = memchr(ref->s + at, '/', ref->n - at);
        const size_t end = slash ? (size_t)(slash - ref->s) : ref->n;
        d = dict_of(vbc_member(d, ref->s + at, end - at));
        at = end;
    }
    return d;
}

static unsigned schema_types(const vbt_dict *root, const vbt_dict *schema, int depth) {
    unsigned types = 0;
    if (!schema || depth > SCHEMA_DEPTH) return 0;
    const vbt_val *type = member(schema, "type"), *one = member(schema, "const"),
                  *ref = member(schema, "$ref"), *nullable = member(schema, "nullable"),
                  *values = member(schema, "enum");
    if (type && type->type == VBT_STR) types = type_named(type->u.s);
    for (size_t i = 0; type && type->type == VBT_LIST && i < type->u.list->n; i++)
        if (type->u.list->v[i].type == VBT_STR) types |= type_named(type->u.list->v[i].u.s);
    if (!types && one) types = type_of_value(*one);
    for (size_t i = 0; !type && values && values->type == VBT_LIST && i < values->u.list->n; i++)
        types |= type_of_value(values->u.list->v[i]);
    static const char *const several[] = {"anyOf", "oneOf", "allOf"};
    for (size_t k = 0; !types && k < sizeof several / sizeof *several; k++) {
        const vbt_val *list = member(schema, several[k]);
        for (size_t i = 0; list && list->type == VBT_LIST && i < list->u.list->n; i++)
            types |= schema_types(root, dict_of(&list->u.list->v[i]), depth + 1);
    }
    if (!types && ref && ref->type == VBT_STR)
        types = schema_types(root, referred(root, ref->u.s), depth + 1);
    if (types && nullable && nullable->type == VBT_BOOL && nullable->u.b) types |= VBC_NULL;
    return types;
}

unsigned vbc_types(const vbt_dict *function, const char *key, size_t n) {
    const vbt_dict *root = function ? dict_of(member(function, "parameters")) : NULL;
    const vbt_dict *properties = root ? dict_of(member(root, "properties")) : NULL;
    const vbt_val *schema = properties ? vbc_member(properties, key, n) : NULL;
    if (!schema && root) schema = member(root, "additionalProperties");
    return schema_types(root, dict_of(schema), 0);
}

/* ------------------------------------------------------------------------------------------------ values */

static unsigned type_of_json(char first) {
    switch (first) {
    case '"': return VBC_STRING;
    case '{': return VBC_OBJECT;
    case '[': return VBC_ARRAY;
    case 't':
    case 'f': return VBC_BOOL;
    case 'n': return VBC_NULL;
    default: return VBC_NUMBER;
    }
}

/* Python's words, and containers as Python prints them. */
static bool as_python(vb_buf *out, const char *s, size_t n, unsigned types) {
    vbc_literal l = {0};
    vb_buf json = {0};
    vbc_step step = VBC_MORE;
    for (size_t i = 0; i <= n && step == VBC_MORE; i++) {
        step = vbc_literal_byte(&l, i < n ? s[i] : ' ', &json);
        if (step == VBC_DONE && i + 1 < n) step = VBC_WRONG;
        if (step == VBC_BEFORE && i < n) step = VBC_WRONG;
    }
    const bool ok = (step == VBC_DONE || step == VBC_BEFORE) && !json.failed && json.n > 0 &&
                    type_of_json(json.s[0]) != VBC_STRING && (type_of_json(json.s[0]) & types);
    if (ok) vb_buf_add(out, json.s, json.n);
    out->failed |= json.failed;
    vb_buf_free(&json);
    vbc_literal_free(&l);
    return ok;
}

void vbc_typed(vb_buf *out, const char *text, size_t n, unsigned types) {
    const size_t from = vbc_spaces(text, n);
    size_t to = n;
    char first;
    while (to > from && vbc_space(text[to - 1])) to--;
    const unsigned others = types ? types & ~(unsigned)VBC_STRING : ~(unsigned)VBC_STRING;
    const bool json = vbc_json_whole(text + from, to - from, &first);
    /* A JSON string where none can be is what a model writes for a string in another type's place. */
    const unsigned wanted = types && !(types & VBC_STRING) ? others | VBC_STRING : others;
    if (json && (type_of_json(first) & wanted))
        vb_buf_add(out, text + from, to - from);
    else if (!others || !as_python(out, text + from, to - from, others))
        vbc_json_put(out, text, n);
}
