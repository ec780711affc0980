/* schema_expr.c - a schema as an expression of and, or, not. Equal expressions have one index, so
 * recursion comes round. */
#include "grammar/schema_internal.h"

#include <string.h>

/* -------------------------------------------------------------------------------------- expressions */

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static uint64_t hash_node(const vbj_node *n) {
    uint64_t h = mix(1, (uint64_t)n->kind);
    if (n->kind <= VBJ_VALUE) h = mix(h, (uint64_t)(uintptr_t)n->value);
    if (n->name)
        for (const char *s = n->name; *s; s++) h = mix(h, (unsigned char)*s);
    for (size_t i = 0; i < n->n_kids; i++) h = mix(h, (uint64_t)n->kids[i]);
    return h;
}

static bool same_node(const vbj_node *a, const vbj_node *b) {
    return a->hash == b->hash && a->kind == b->kind && a->n_kids == b->n_kids &&
           (a->kind > VBJ_VALUE || a->value == b->value) && !a->name == !b->name &&
           (!a->name || strcmp(a->name, b->name) == 0) &&
           (!a->n_kids || memcmp(a->kids, b->kids, a->n_kids * sizeof *a->kids) == 0);
}

static bool grow_node_table(vbj_compiler *c) {
    size_t size = c->node_table_size ? 2 * c->node_table_size : 256;
    int32_t *table = vbj_take(&c->arena, size, sizeof *table);
    if (!table) return false;
    for (size_t i = 0; i < c->n_nodes; i++) {
        size_t at = c->nodes[i].hash & (size - 1);
        while (table[at]) at = (at + 1) & (size - 1);
        table[at] = (int32_t)i + 1;
    }
    c->node_table = table;
    c->node_table_size = size;
    return true;
}

/* The tables that have an entry for each expression grow together. */
static bool grow_tables(vbj_compiler *c) {
    if (c->n_nodes < c->expr_room) return true;
    size_t room = c->expr_room ? 2 * c->expr_room : 256, n = c->n_nodes;
    vbj_arena *a = &c->arena;
    const vbj_shape **shapes = vbj_take(a, room, sizeof *shapes);
    uint8_t *state = vbj_take(a, room, 1), *answers = vbj_take(a, room, 1);
    uint32_t *rules = vbj_take(a, room, sizeof *rules);
    if (!shapes || !state || !answers || !rules) return false;
    if (n) {
        memcpy(shapes, c->shapes, n * sizeof *shapes);
        memcpy(state, c->shape_state, n);
        memcpy(answers, c->answers, n);
        memcpy(rules, c->rules, n * sizeof *rules);
    }
    c->shapes = shapes;
    c->shape_state = state;
    c->answers = answers;
    c->rules = rules;
    c->expr_room = room;
    return true;
}

static vbj_expr intern(vbj_compiler *c, vbj_node n) {
    n.hash = hash_node(&n);
    if (2 * (c->n_nodes + 1) > c->node_table_size && !grow_node_table(c)) return vbj_full(c);
    size_t at = n.hash & (c->node_table_size - 1);
    for (; c->node_table[at]; at = (at + 1) & (c->node_table_size - 1))
        if (same_node(&c->nodes[c->node_table[at] - 1], &n)) return c->node_table[at] - 1;
    if (!vbj_grow(&c->arena, &c->nodes, c->n_nodes, &c->nodes_room, sizeof *c->nodes) || !grow_tables(c) ||
        !vbj_steps(&c->arena, 1))
        return vbj_full(c);
    if (n.n_kids) {
        vbj_expr *kids = vbj_take(&c->arena, n.n_kids, sizeof *kids);
        if (!kids) return vbj_full(c);
        memcpy(kids, n.kids, n.n_kids * sizeof *kids);
        n.kids = kids;
    }
    c->nodes[c->n_nodes++] = n;
    c->node_table[at] = (int32_t)c->n_nodes;
    return (vbj_expr)c->n_nodes - 1;
}

vbj_expr vbj_expr_constant(vbj_compiler *c, bool value) {
    return intern(c, (vbj_node){.kind = value ? VBJ_TRUE : VBJ_FALSE});
}

vbj_expr vbj_expr_schema(vbj_compiler *c, const json_t *schema) {
    if (json_is_true(schema)) return VBJ_EXPR_TRUE;
    if (json_is_false(schema)) return VBJ_EXPR_FALSE;
    if (json_is_object(schema) && json_object_size(schema) == 0) return VBJ_EXPR_TRUE;
    return intern(c, (vbj_node){.kind = VBJ_SCHEMA, .value = schema});
}

vbj_expr vbj_expr_base(vbj_compiler *c, const json_t *schema) {
    return intern(c, (vbj_node){.kind = VBJ_BASE, .value = schema});
}

vbj_expr vbj_expr_value(vbj_compiler *c, const json_t *value) {
    return intern(c, (vbj_node){.kind = VBJ_VALUE, .value = value});
}

vbj_expr vbj_expr_has(vbj_compiler *c, const char *name) {
    return intern(c, (vbj_node){.kind = VBJ_HAS, .name = name});
}

vbj_expr vbj_expr_not(vbj_compiler *c, vbj_expr x) {
    if (x < 0) return x;
    if (x == VBJ_EXPR_TRUE) return VBJ_EXPR_FALSE;
    if (x == VBJ_EXPR_FALSE) return VBJ_EXPR_TRUE;
    if (c->nodes[x].kind == VBJ_NOT) return c->nodes[x].kids[0];
    return intern(c, (vbj_node){.kind = VBJ_NOT, .kids = &x, .n_kids = 1});
}

typedef struct {
    vbj_expr *kids;
    size_t n, room;
} kid_list;

static bool add_kid(vbj_compiler *c, kid_list *l, vbj_expr x, bool once) {
    for (size_t i = 0; once && i < l->n; i++)
        if (l->kids[i] == x) return true;
    if (!vbj_steps(&c->arena, 1 + l->n / 16) ||
        !vbj_grow(&c->arena, &l->kids, l->n, &l->room, sizeof *l->kids))
        return false;
    l->kids[l->n++] = x;
    return true;
}

vbj_expr vbj_expr_list(vbj_compiler *c, vbj_kind kind, const vbj_expr *kids, size_t n, const json_t *blame) {
    vbj_expr neutral = kind == VBJ_AND ? VBJ_EXPR_TRUE : VBJ_EXPR_FALSE;
    vbj_expr ends = kind == VBJ_AND ? VBJ_EXPR_FALSE : kind == VBJ_OR ? VBJ_EXPR_TRUE : -1;
    kid_list l = {0};
    for (size_t i = 0; i < n; i++) {
        if (kids[i] < 0) return kids[i];
        if (kids[i] == neutral) continue;
        if (kids[i] == ends) return ends;
        const vbj_node *kid = &c->nodes[kids[i]];
        if (kid->kind == kind && kind != VBJ_ONE) {
            for (size_t k = 0; k < kid->n_kids; k++)
                if (!add_kid(c, &l, c->nodes[kids[i]].kids[k], true)) return vbj_full(c);
        } else if (!add_kid(c, &l, kids[i], kind != VBJ_ONE)) {
            return vbj_full(c);
        }
    }
    if (l.n == 0) return neutral;
    if (l.n == 1) return l.kids[0];
    return intern(c, (vbj_node){.kind = kind, .kids = l.kids, .n_kids = l.n, .value = blame});
}

vbj_expr vbj_expr_and(vbj_compiler *c, vbj_expr x, vbj_expr y) {
    return vbj_expr_list(c, VBJ_AND, (vbj_expr[]){x, y}, 2, NULL);
}

/* ----------------------------------------------------------------------------------------- keywords */

typedef enum {
    K_BASE,      /* speaks of the value itself: schema_base.c */
    K_IN_PLACE,  /* applies other schemas to the same value */
    K_BESIDE,    /* read together with another one (then, else, minContains ...) */
    K_ANNOTATION /* changes no verdict */
} keyword_kind;

typedef struct {
    const char *name;
    keyword_kind kind;
} keyword;

static const keyword keywords[] = {
    {"type", K_BASE},
    {"enum", K_BASE},
    {"const", K_BASE},
    {"properties", K_BASE},
    {"required", K_BASE},
    {"additionalProperties", K_BASE},
    {"patternProperties", K_BASE},
    {"propertyNames", K_BASE},
    {"minProperties", K_BASE},
    {"maxProperties", K_BASE},
    {"unevaluatedProperties", K_BASE},
    {"items", K_BASE},
    {"prefixItems", K_BASE},
    {"additionalItems", K_BASE},
    {"unevaluatedItems", K_BASE},
    {"minItems", K_BASE},
    {"maxItems", K_BASE},
    {"uniqueItems", K_BASE},
    {"contains", K_BASE},
    {"minContains", K_BESIDE},
    {"maxContains", K_BESIDE},
    {"minLength", K_BASE},
    {"maxLength", K_BASE},
    {"pattern", K_BASE},
    {"format", K_BASE},
    {"minimum", K_BASE},
    {"maximum", K_BASE},
    {"exclusiveMinimum", K_BASE},
    {"exclusiveMaximum", K_BASE},
    {"multipleOf", K_BASE},
    {"nullable", K_BESIDE},
    {"$ref", K_IN_PLACE},
    {"$dynamicRef", K_IN_PLACE},
    {"$recursiveRef", K_IN_PLACE},
    {"allOf", K_IN_PLACE},
    {"anyOf", K_IN_PLACE},
    {"oneOf", K_IN_PLACE},
    {"not", K_IN_PLACE},
    {"if", K_IN_PLACE},
    {"then", K_BESIDE},
    {"else", K_BESIDE},
    {"dependentRequired", K_IN_PLACE},
    {"dependentSchemas", K_IN_PLACE},
    {"dependencies", K_IN_PLACE},
    {"$schema", K_ANNOTATION},
    {"$id", K_ANNOTATION},
    {"id", K_ANNOTATION},
    {"$anchor", K_ANNOTATION},
    {"$dynamicAnchor", K_ANNOTATION},
    {"$recursiveAnchor", K_ANNOTATION},
    {"$vocabulary", K_ANNOTATION},
    {"$comment", K_ANNOTATION},
    {"$defs", K_ANNOTATION},
    {"definitions", K_ANNOTATION},
    {"title", K_ANNOTATION},
    {"description", K_ANNOTATION},
    {"default", K_ANNOTATION},
    {"examples", K_ANNOTATION},
    {"example", K_ANNOTATION},
    {"readOnly", K_ANNOTATION},
    {"writeOnly", K_ANNOTATION},
    {"deprecated", K_ANNOTATION},
    {"contentEncoding", K_ANNOTATION},
    {"contentMediaType", K_ANNOTATION},
    {"contentSchema", K_ANNOTATION},
};

enum { N_KEYWORDS = sizeof keywords / sizeof *keywords };

static const keyword *find_keyword(const char *name) {
    for (size_t i = 0; i < N_KEYWORDS; i++)
        if (strcmp(keywords[i].name, name) == 0) return &keywords[i];
    return NULL;
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* One letter changed, left out, put in, or two neighbours swapped; capitals do not count. */
static bool nearly(const char *a, const char *b) {
    while (*a && lower(*a) == lower(*b)) a++, b++;
    const char *x = a, *y = b;
    size_t n = strlen(a), m = strlen(b);
    if (n == m && n >= 2 && lower(a[0]) == lower(b[1]) && lower(a[1]) == lower(b[0]))
        x += 2, y += 2;
    else if (n == m)
        x += n > 0, y += n > 0;
    else if (n == m + 1)
        x++;
    else if (m == n + 1)
        y++;
    else
        return false;
    while (*x && lower(*x) == lower(*y)) x++, y++;
    return !*x && !*y;
}

/* Drafts leave unknown keywords to whoever knows them. One that is almost a keyword that restricts is a
 * slip: to pass over it would silently change what is allowed. */
static int check_unknown(vbj_compiler *c, const json_t *schema, const char *name) {
    bool letter = lower(*name) >= 'a' && lower(*name) <= 'z';
    for (size_t i = 0; letter && i < N_KEYWORDS; i++)
        if (keywords[i].kind != K_ANNOTATION && strlen(keywords[i].name) >= 5 &&
            nearly(name, keywords[i].name))
            return vbj_refuse(c, VB_ERR_UNSUPPORTED, schema, name,
                              "no keyword of JSON schema; did you mean \"%s\"?", keywords[i].name);
    if (c->options.strict)
        return vbj_refuse(c, VB_ERR_UNSUPPORTED, schema, name,
                          "no keyword of JSON schema (strict: nothing is passed over)");
    return 0;
}

/* ----------------------------------------------------------------------------------------- in place */

static vbj_expr malformed(vbj_compiler *c, const json_t *schema, const char *name, const char *wanted) {
    return vbj_refuse(c, VB_ERR_FORMAT, schema, name, "must be %s", wanted);
}

static bool is_schema(const json_t *v) {
    return json_is_object(v) || json_is_boolean(v);
}

static vbj_expr list_of(vbj_compiler *c, const json_t *schema, const char *name, const json_t *value,
                        vbj_kind kind) {
    kid_list l = {0};
    if (!json_is_array(value) || json_array_size(value) == 0)
        return malformed(c, schema, name, "a list of schemas, not empty");
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        if (!is_schema(item)) return malformed(c, schema, name, "a list of schemas");
        vbj_expr kid = vbj_expr_schema(c, item);
        if (kid < 0) return kid;
        if (!add_kid(c, &l, kid, false)) return vbj_full(c);
    }
    return vbj_expr_list(c, kind, l.kids, l.n, schema);
}

static vbj_expr condition(vbj_compiler *c, const json_t *schema, const json_t *value) {
    const json_t *then = json_object_get(schema, "then"), *otherwise = json_object_get(schema, "else");
    if (!is_schema(value)) return malformed(c, schema, "if", "a schema");
    if ((then && !is_schema(then)) || (otherwise && !is_schema(otherwise)))
        return malformed(c, schema, then && !is_schema(then) ? "then" : "else", "a schema");
    if (!then && !otherwise) return VBJ_EXPR_TRUE;
    vbj_expr test = vbj_expr_schema(c, value);
    vbj_expr yes = then ? vbj_expr_and(c, test, vbj_expr_schema(c, then)) : test;
    vbj_expr no = vbj_expr_not(c, test);
    if (otherwise) no = vbj_expr_and(c, no, vbj_expr_schema(c, otherwise));
    return vbj_expr_list(c, VBJ_OR, (vbj_expr[]){yes, no}, 2, schema);
}

/* Each name: the property is missing, or all that depends on it holds. */
static vbj_expr dependencies(vbj_compiler *c, const json_t *schema, const char *keyword_name,
                             const json_t *value) {
    const char *name;
    json_t *what;
    vbj_expr all = VBJ_EXPR_TRUE;
    if (!json_is_object(value)) return malformed(c, schema, keyword_name, "an object");
    json_object_foreach((json_t *)(uintptr_t)value, name, what) {
        vbj_expr then = VBJ_EXPR_TRUE;
        bool names = strcmp(keyword_name, "dependentSchemas") != 0;
        if (names && json_is_string(what)) { /* draft 3 */
            then = vbj_expr_has(c, json_string_value(what));
        } else if (names && json_is_array(what)) {
            for (size_t i = 0; i < json_array_size(what); i++) {
                const char *needed = json_string_value(json_array_get(what, i));
                if (!needed) return malformed(c, schema, keyword_name, "lists of names");
                then = vbj_expr_and(c, then, vbj_expr_has(c, needed));
            }
        } else if (strcmp(keyword_name, "dependentRequired") != 0 && is_schema(what)) {
            then = vbj_expr_schema(c, what);
        } else {
            return malformed(c, schema, keyword_name,
                             names ? "names and lists of names" : "names and schemas");
        }
        vbj_expr missing = vbj_expr_not(c, vbj_expr_has(c, name));
        all = vbj_expr_and(c, all, vbj_expr_list(c, VBJ_OR, (vbj_expr[]){missing, then}, 2, schema));
    }
    return all;
}

static vbj_expr reference(vbj_compiler *c, const json_t *schema, const char *keyword_name,
                          const json_t *value) {
    if (!json_is_string(value)) return malformed(c, schema, keyword_name, "a string");
    /* Dynamic references differ from plain ones only where several resources define the same anchor. */
    if (strcmp(keyword_name, "$ref") != 0 && c->n_resources > 1)
        return vbj_refuse(c, VB_ERR_UNSUPPORTED, schema, keyword_name,
                          "dynamic references between several \"$id\" are not followed: write \"$ref\"");
    const json_t *target = vbj_resolve(c, schema, json_string_value(value));
    if (!target) return VB_ERR_UNSUPPORTED;
    if (!is_schema(target))
        return vbj_refuse(c, VB_ERR_FORMAT, schema, keyword_name, "\"%.80s\" names no schema",
                          json_string_value(value));
    return vbj_expr_schema(c, target);
}

static vbj_expr in_place(vbj_compiler *c, const json_t *schema, const char *name, const json_t *value) {
    if (strcmp(name, "allOf") == 0) return list_of(c, schema, name, value, VBJ_AND);
    if (strcmp(name, "anyOf") == 0) return list_of(c, schema, name, value, VBJ_OR);
    if (strcmp(name, "oneOf") == 0) return list_of(c, schema, name, value, VBJ_ONE);
    if (strcmp(name, "if") == 0) return condition(c, schema, value);
    if (strcmp(name, "not") == 0)
        return is_schema(value) ? vbj_expr_not(c, vbj_expr_schema(c, value))
                                : malformed(c, schema, name, "a schema");
    if (strncmp(name, "depend", 6) == 0) return dependencies(c, schema, name, value);
    return reference(c, schema, name, value);
}

/* ----------------------------------------------------------------------------------------- a schema */

static vbj_expr expand_object(vbj_compiler *c, const json_t *schema) {
    const char *name;
    json_t *value;
    kid_list parts = {0};
    const json_t *hides = json_object_get(schema, "$ref");
    const vbj_place *place = vbj_place_of(c, schema);
    bool only_ref = json_is_string(hides) && place && place->resource->old_refs;
    bool own = false;
    json_object_foreach((json_t *)(uintptr_t)schema, name, value) {
        const keyword *k = find_keyword(name);
        if (only_ref && strcmp(name, "$ref") != 0) continue;
        if (!k) {
            int rc = check_unknown(c, schema, name);
            if (rc) return rc;
            continue;
        }
        vbj_expr part = VBJ_EXPR_TRUE;
        if (k->kind == K_IN_PLACE) part = in_place(c, schema, name, value);
        own |= k->kind == K_BASE;
        if (part < 0) return part;
        if (part != VBJ_EXPR_TRUE && !add_kid(c, &parts, part, true)) return vbj_full(c);
    }
    /* The keys of an instance come in the order of the schema's text, but its own come first. */
    vbj_expr others = vbj_expr_list(c, VBJ_AND, parts.kids, parts.n, schema);
    return own ? vbj_expr_and(c, vbj_expr_base(c, schema), others) : others;
}

vbj_expr vbj_expand(vbj_compiler *c, const json_t *schema) {
    const void *known = vbj_map_get(&c->expansions, schema);
    if (known) return *(const vbj_expr *)known;
    if (!json_is_object(schema))
        return vbj_refuse(c, VB_ERR_FORMAT, schema, "schema", "a schema is an object, true or false");
    c->at = schema;
    c->at_keyword = NULL;
    vbj_expr *x = vbj_take(&c->arena, 1, sizeof *x);
    if (!x) return vbj_full(c);
    *x = expand_object(c, schema);
    if (*x < 0) return *x;
    return vbj_map_put(&c->arena, &c->expansions, schema, x) ? *x : vbj_full(c);
}
