/* schema_shape.c - what expressions allow, type by type: and, or, not, exactly one of. */
#include "grammar/schema_internal.h"

#include <string.h>

/* ----------------------------------------------------------------------------------- lists of atoms
 *
 * Unions are lists without repetitions. Atoms are compared as bytes: made once and shared, the same atom
 * has the same pointers. */

typedef struct {
    unsigned char *items;
    size_t n, room, size;
} atom_list;

static int add_atom(vbj_compiler *c, atom_list *l, const void *atom) {
    for (size_t i = 0; i < l->n; i++)
        if (memcmp(l->items + i * l->size, atom, l->size) == 0) return 0;
    if (l->n >= VBJ_MAX_ATOMS)
        return vbj_refuse(c, VB_ERR_UNSUPPORTED, c->at, "schema",
                          "anyOf, oneOf, if, not and dependencies have more than %d combinations here",
                          VBJ_MAX_ATOMS);
    if (!vbj_steps(&c->arena, 1 + l->n)) return vbj_full(c);
    if (!vbj_grow(&c->arena, &l->items, l->n, &l->room, l->size)) return vbj_full(c);
    memcpy(l->items + l->n++ * l->size, atom, l->size);
    return 0;
}

static int add_atoms(vbj_compiler *c, atom_list *l, const void *atoms, size_t n) {
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) rc = add_atom(c, l, (const unsigned char *)atoms + i * l->size);
    return rc;
}

/* x, then what of y is not in it, as one array. */
static const void *append(vbj_compiler *c, const void *x, size_t n_x, const void *y, size_t n_y, size_t size,
                          size_t *n) {
    unsigned char *all = vbj_take(&c->arena, n_x + n_y, size);
    *n = n_x;
    if (!all) return NULL;
    if (n_x) memcpy(all, x, n_x * size);
    for (size_t i = 0; i < n_y; i++) {
        const unsigned char *item = (const unsigned char *)y + i * size;
        bool have = false;
        for (size_t k = 0; k < *n && !have; k++) have = memcmp(all + k * size, item, size) == 0;
        if (!have) memcpy(all + (*n)++ * size, item, size);
    }
    return vbj_steps(&c->arena, n_x * n_y + 1) ? all : NULL;
}

/* ---------------------------------------------------------------------------------- all and nothing */

static const vbj_string any_string = {NULL, 0, VBJ_NO_LIMIT};
static const vbj_array any_array = {.hi = VBJ_NO_LIMIT};
static const vbj_object any_object = {.hi = VBJ_NO_LIMIT};

void vbj_shape_all(vbj_shape *out) {
    *out = (vbj_shape){.null = true,
                       .no = true,
                       .yes = true,
                       .strings = &any_string,
                       .n_strings = 1,
                       .arrays = &any_array,
                       .n_arrays = 1,
                       .objects = &any_object,
                       .n_objects = 1};
    vbj_numbers_all(&out->numbers);
}

void vbj_shape_none(vbj_shape *out) {
    memset(out, 0, sizeof *out);
    vbj_numbers_none(&out->numbers);
}

bool vbj_shape_empty(const vbj_shape *s) {
    return !s->null && !s->no && !s->yes && vbj_dfa_empty(s->numbers.yes) && !s->n_strings && !s->n_arrays &&
           !s->n_objects;
}

/* ---------------------------------------------------------------------------------------------- and */

static int string_and(vbj_compiler *c, const vbj_string *x, const vbj_string *y, atom_list *out) {
    vbj_string s = {x->dfa ? x->dfa : y->dfa, x->lo > y->lo ? x->lo : y->lo, x->hi < y->hi ? x->hi : y->hi};
    if (s.lo > s.hi) return 0;
    if (x->dfa && y->dfa && x->dfa != y->dfa) {
        s.dfa = vbj_dfa_product(&c->arena, x->dfa, y->dfa, VBJ_BOTH);
        if (!s.dfa) return vbj_full(c);
        if (vbj_dfa_same(s.dfa, x->dfa)) s.dfa = x->dfa;
        if (vbj_dfa_same(s.dfa, y->dfa)) s.dfa = y->dfa;
    }
    bool possible = true;
    int rc = vbj_string_possible(c, &s, &possible);
    return rc || !possible ? rc : add_atom(c, out, &s);
}

static int array_and(vbj_compiler *c, const vbj_array *x, const vbj_array *y, atom_list *out) {
    vbj_array a = {.lo = x->lo > y->lo ? x->lo : y->lo,
                   .hi = x->hi < y->hi ? x->hi : y->hi,
                   .unique = x->unique || y->unique,
                   .blame = x->blame ? x->blame : y->blame};
    a.groups = append(c, x->groups, x->n_groups, y->groups, y->n_groups, sizeof *a.groups, &a.n_groups);
    a.counts = append(c, x->counts, x->n_counts, y->counts, y->n_counts, sizeof *a.counts, &a.n_counts);
    if (!a.groups || !a.counts) return vbj_full(c);
    return vbj_array_possible(c, &a) == VBJ_NO ? (c->err->code ? c->err->code : 0) : add_atom(c, out, &a);
}

static int object_and(vbj_compiler *c, const vbj_object *x, const vbj_object *y, atom_list *out) {
    vbj_object o = {.lo = x->lo > y->lo ? x->lo : y->lo,
                    .hi = x->hi < y->hi ? x->hi : y->hi,
                    .keys = x->keys ? x->keys : y->keys,
                    .blame = x->blame ? x->blame : y->blame};
    if (x->keys && y->keys && x->keys != y->keys) {
        o.keys = vbj_dfa_product(&c->arena, x->keys, y->keys, VBJ_BOTH);
        if (!o.keys) return vbj_full(c);
    }
    o.groups = append(c, x->groups, x->n_groups, y->groups, y->n_groups, sizeof *o.groups, &o.n_groups);
    o.some = append(c, x->some, x->n_some, y->some, y->n_some, sizeof *o.some, &o.n_some);
    const char **required = vbj_take(&c->arena, x->n_required + y->n_required, sizeof *required);
    if (!o.groups || !o.some || !required) return vbj_full(c);
    for (size_t i = 0; i < x->n_required + y->n_required; i++) {
        const char *name = i < x->n_required ? x->required[i] : y->required[i - x->n_required];
        bool have = false;
        for (size_t k = 0; k < o.n_required && !have; k++) have = strcmp(required[k], name) == 0;
        if (!have) required[o.n_required++] = name;
    }
    o.required = required;
    return vbj_object_possible(c, &o) == VBJ_NO ? (c->err->code ? c->err->code : 0) : add_atom(c, out, &o);
}

static int strings_and(vbj_compiler *c, const vbj_shape *x, const vbj_shape *y, vbj_shape *out) {
    atom_list l = {.size = sizeof(vbj_string)};
    int rc = 0;
    for (size_t i = 0; i < x->n_strings && !rc; i++)
        for (size_t j = 0; j < y->n_strings && !rc; j++)
            rc = string_and(c, &x->strings[i], &y->strings[j], &l);
    out->strings = (const void *)l.items;
    out->n_strings = l.n;
    return rc;
}

static int arrays_and(vbj_compiler *c, const vbj_shape *x, const vbj_shape *y, vbj_shape *out) {
    atom_list l = {.size = sizeof(vbj_array)};
    int rc = 0;
    for (size_t i = 0; i < x->n_arrays && !rc; i++)
        for (size_t j = 0; j < y->n_arrays && !rc; j++) rc = array_and(c, &x->arrays[i], &y->arrays[j], &l);
    out->arrays = (const void *)l.items;
    out->n_arrays = l.n;
    return rc;
}

static int objects_and(vbj_compiler *c, const vbj_shape *x, const vbj_shape *y, vbj_shape *out) {
    atom_list l = {.size = sizeof(vbj_object)};
    int rc = 0;
    for (size_t i = 0; i < x->n_objects && !rc; i++)
        for (size_t j = 0; j < y->n_objects && !rc; j++)
            rc = object_and(c, &x->objects[i], &y->objects[j], &l);
    out->objects = (const void *)l.items;
    out->n_objects = l.n;
    return rc;
}

int vbj_shape_and(vbj_compiler *c, const vbj_shape *x, const vbj_shape *y, vbj_shape *out) {
    vbj_shape s = {.null = x->null && y->null, .no = x->no && y->no, .yes = x->yes && y->yes};
    int rc = vbj_numbers_and(c, &x->numbers, &y->numbers, &s.numbers);
    if (!rc) rc = strings_and(c, x, y, &s);
    if (!rc) rc = arrays_and(c, x, y, &s);
    if (!rc) rc = objects_and(c, x, y, &s);
    if (!rc) *out = s;
    return rc;
}

/* ----------------------------------------------------------------------------------------------- or */

/* Strings without bounds on their length become one automaton, so that a thousand constants are one trie. */
static int strings_or(vbj_compiler *c, const vbj_shape *x, const vbj_shape *y, vbj_shape *out) {
    atom_list l = {.size = sizeof(vbj_string)};
    vbj_string merged = {NULL, 0, VBJ_NO_LIMIT};
    for (size_t i = 0; i < x->n_strings + y->n_strings; i++) {
        const vbj_string *s = i < x->n_strings ? &x->strings[i] : &y->strings[i - x->n_strings];
        bool open = s->lo == 0 && s->hi == VBJ_NO_LIMIT;
        if (open && !s->dfa) {
            out->strings = &any_string;
            out->n_strings = 1;
            return 0;
        }
        if (!open || s->dfa->n_states > VBJ_MAX_STATES / 2) {
            int rc = add_atom(c, &l, s);
            if (rc) return rc;
        } else if (!merged.dfa) {
            merged.dfa = s->dfa;
        } else if (merged.dfa != s->dfa) {
            merged.dfa = vbj_dfa_product(&c->arena, merged.dfa, s->dfa, VBJ_EITHER);
            if (!merged.dfa) return vbj_full(c);
        }
    }
    int rc = merged.dfa ? add_atom(c, &l, &merged) : 0;
    out->strings = (const void *)l.items;
    out->n_strings = l.n;
    return rc;
}

int vbj_shape_or(vbj_compiler *c, const vbj_shape *x, const vbj_shape *y, vbj_shape *out) {
    vbj_shape s = {.null = x->null || y->null, .no = x->no || y->no, .yes = x->yes || y->yes};
    atom_list arrays = {.size = sizeof(vbj_array)}, objects = {.size = sizeof(vbj_object)};
    int rc = vbj_numbers_or(c, &x->numbers, &y->numbers, &s.numbers);
    if (!rc) rc = strings_or(c, x, y, &s);
    if (!rc) rc = add_atoms(c, &arrays, x->arrays, x->n_arrays);
    if (!rc) rc = add_atoms(c, &arrays, y->arrays, y->n_arrays);
    if (!rc) rc = add_atoms(c, &objects, x->objects, x->n_objects);
    if (!rc) rc = add_atoms(c, &objects, y->objects, y->n_objects);
    if (rc) return rc;
    s.arrays = (const void *)arrays.items;
    s.n_arrays = arrays.n;
    s.objects = (const void *)objects.items;
    s.n_objects = objects.n;
    *out = s;
    return 0;
}

/* Halves first: automata of n constants are joined in n log n. */
static int or_all(vbj_compiler *c, const vbj_expr *kids, size_t n, vbj_shape *out) {
    if (n == 1) {
        const vbj_shape *s = NULL;
        int rc = vbj_shape_of(c, kids[0], &s);
        if (!rc) *out = *s;
        return rc;
    }
    vbj_shape x, y;
    int rc = or_all(c, kids, n / 2, &x);
    if (!rc) rc = or_all(c, kids + n / 2, n - n / 2, &y);
    return rc ? rc : vbj_shape_or(c, &x, &y, out);
}

/* -------------------------------------------------------------------------------------- exactly one
 *
 * Of branches S_1 .. S_n beside a context C (the other keywords of the schema): the union of all S_i
 * without those S_j that S_i meets within C. Where no two meet, that is the plain union; where they do,
 * S_i and not S_j must be expressible. */

static int refused_one(vbj_compiler *c, const vbj_node *one, size_t i, size_t j) {
    vb_error why = *c->err;
    if (why.code == VB_ERR_MEMORY) return why.code;
    vb_begin(c->err);
    c->arena.full = false;
    return vbj_refuse(c, VB_ERR_UNSUPPORTED, one->value, "oneOf",
                      "branches %zu and %zu can both hold, and \"one without the other\" cannot be "
                      "expressed: make them differ "
                      "in a type, or in a required property with different \"const\" or \"enum\"",
                      i, j);
}

static int one_shape(vbj_compiler *c, const vbj_node *one, const vbj_shape *context, vbj_shape *out) {
    size_t n = one->n_kids;
    vbj_shape *inside = vbj_take(&c->arena, n, sizeof *inside);
    if (!inside) return vbj_full(c);
    int rc = 0;
    vbj_shape_none(out);
    for (size_t i = 0; i < n && !rc; i++) {
        const vbj_shape *s = NULL;
        rc = vbj_shape_of(c, one->kids[i], &s);
        if (!rc) rc = vbj_shape_and(c, context, s, &inside[i]);
    }
    for (size_t i = 0; i < n && !rc; i++) {
        const vbj_shape *s = NULL;
        vbj_shape branch, both;
        rc = vbj_shape_of(c, one->kids[i], &s);
        if (!rc) branch = *s;
        for (size_t j = 0; j < n && !rc; j++) {
            if (j == i || vbj_shape_empty(&inside[i])) continue;
            rc = vbj_shape_and(c, &inside[i], &inside[j], &both);
            if (rc || vbj_shape_empty(&both)) continue;
            const vbj_shape *other = NULL;
            rc = vbj_shape_of(c, vbj_expr_not(c, one->kids[j]), &other);
            if (!rc) rc = vbj_shape_and(c, &branch, other, &branch);
            if (rc) return rc == VBJ_LATER ? rc : refused_one(c, one, i < j ? i : j, i < j ? j : i);
        }
        if (!rc) rc = vbj_shape_or(c, out, &branch, out);
    }
    return rc;
}

/* -------------------------------------------------------------------------------------- expressions */

static int and_shape(vbj_compiler *c, const vbj_expr *kids, size_t n, vbj_shape *out) {
    vbj_shape context;
    int rc = 0;
    vbj_shape_all(&context);
    bool choices = false;
    for (size_t i = 0; i < n && !rc; i++) {
        const vbj_shape *s = NULL;
        if (c->nodes[kids[i]].kind == VBJ_ONE) {
            choices = true;
            continue;
        }
        rc = vbj_shape_of(c, kids[i], &s);
        if (!rc) rc = vbj_shape_and(c, &context, s, &context);
    }
    if (!choices || rc) {
        *out = context;
        return rc;
    }
    /* Once more in order, which is the order of keys. */
    vbj_shape_all(out);
    for (size_t i = 0; i < n && !rc; i++) {
        const vbj_shape *s = NULL;
        vbj_shape one;
        const vbj_node kid = c->nodes[kids[i]];
        if (kid.kind == VBJ_ONE)
            rc = one_shape(c, &kid, &context, &one);
        else
            rc = vbj_shape_of(c, kids[i], &s);
        if (!rc) rc = vbj_shape_and(c, out, s ? s : &one, out);
    }
    return rc;
}

/* Not exactly one: none, or two of them at least. */
static vbj_expr not_one(vbj_compiler *c, const vbj_node *one) {
    vbj_expr all = VBJ_EXPR_FALSE, none = VBJ_EXPR_TRUE;
    for (size_t i = 0; i < one->n_kids; i++) {
        none = vbj_expr_and(c, none, vbj_expr_not(c, one->kids[i]));
        for (size_t j = 0; j < i; j++) {
            vbj_expr two = vbj_expr_and(c, one->kids[j], one->kids[i]);
            all = vbj_expr_list(c, VBJ_OR, (vbj_expr[]){all, two}, 2, one->value);
        }
    }
    return vbj_expr_list(c, VBJ_OR, (vbj_expr[]){all, none}, 2, one->value);
}

/* De Morgan: complements are pushed down to the schemas' own keywords. */
static int complement(vbj_compiler *c, vbj_expr x, vbj_shape *out) {
    const vbj_node n = c->nodes[x];
    vbj_expr other = VBJ_EXPR_FALSE;
    switch (n.kind) {
    case VBJ_BASE: return vbj_base_complement(c, n.value, out);
    case VBJ_VALUE: return vbj_value_complement(c, n.value, out);
    case VBJ_HAS: return vbj_has_shape(c, n.name, false, out);
    case VBJ_SCHEMA: other = vbj_expr_not(c, vbj_expand(c, n.value)); break;
    case VBJ_ONE: other = not_one(c, &n); break;
    default: {
        vbj_expr *kids = vbj_take(&c->arena, n.n_kids, sizeof *kids);
        if (!kids) return vbj_full(c);
        for (size_t i = 0; i < n.n_kids; i++) kids[i] = vbj_expr_not(c, n.kids[i]);
        other = vbj_expr_list(c, n.kind == VBJ_AND ? VBJ_OR : VBJ_AND, kids, n.n_kids, n.value);
    }
    }
    const vbj_shape *s;
    int rc = vbj_shape_of(c, other, &s);
    if (!rc) *out = *s;
    return rc;
}

static int compute(vbj_compiler *c, vbj_expr x, vbj_shape *out) {
    const vbj_node n = c->nodes[x];
    const vbj_shape *s;
    switch (n.kind) {
    case VBJ_TRUE: vbj_shape_all(out); return 0;
    case VBJ_FALSE: vbj_shape_none(out); return 0;
    case VBJ_BASE: return vbj_base_shape(c, n.value, out);
    case VBJ_VALUE: return vbj_value_shape(c, n.value, out);
    case VBJ_HAS: return vbj_has_shape(c, n.name, true, out);
    case VBJ_AND: return and_shape(c, n.kids, n.n_kids, out);
    case VBJ_OR: return or_all(c, n.kids, n.n_kids, out);
    case VBJ_ONE: return and_shape(c, &x, 1, out);
    case VBJ_NOT: return complement(c, n.kids[0], out);
    case VBJ_SCHEMA: break;
    }
    int rc = vbj_shape_of(c, vbj_expand(c, n.value), &s);
    if (!rc) *out = *s;
    return rc;
}

enum { KNOWN = 255 };

int vbj_shape_of(vbj_compiler *c, vbj_expr x, const vbj_shape **out) {
    if (x < 0) return x;
    if (c->shape_state[x] == KNOWN) {
        *out = c->shapes[x];
        return 0;
    }
    const json_t *before = c->at;
    c->at_keyword = NULL;
    if (c->nodes[x].kind == VBJ_SCHEMA || c->nodes[x].kind == VBJ_BASE) c->at = c->nodes[x].value;
    if (c->shape_state[x] && c->shape_state[x] <= c->possible_depth) {
        c->at = before;
        return VBJ_LATER;
    }
    if (c->shape_state[x])
        return vbj_refuse(c, VB_ERR_FORMAT, c->at, "$ref",
                          "leads back to itself without a step into a property or an element");
    if (c->depth >= VBJ_MAX_DEPTH)
        return vbj_refuse(c, VB_ERR_UNSUPPORTED, c->at, "schema", "more than %d schemas inside each other",
                          VBJ_MAX_DEPTH);
    vbj_shape *s = vbj_take(&c->arena, 1, sizeof *s);
    if (!s || !vbj_steps(&c->arena, 10)) return vbj_full(c);
    c->shape_state[x] = (uint8_t)(c->possible_depth + 1);
    c->depth++;
    int rc = compute(c, x, s);
    c->depth--;
    c->shape_state[x] = rc ? 0 : KNOWN;
    c->at = before;
    if (rc) return rc;
    c->shapes[x] = s;
    *out = s;
    return 0;
}

/* --------------------------------------------------------------------------------- is there a value */

static vbj_answer worse(vbj_answer a, vbj_answer b) {
    return a == VBJ_NO || b == VBJ_NO ? VBJ_NO : a == VBJ_MAYBE || b == VBJ_MAYBE ? VBJ_MAYBE : VBJ_YES;
}

vbj_answer vbj_object_possible(vbj_compiler *c, const vbj_object *o) {
    vbj_answer answer = o->n_some ? VBJ_MAYBE : VBJ_YES;
    if (o->n_required > o->hi || o->lo > o->hi) return VBJ_NO;
    for (size_t i = 0; i < o->n_required && answer != VBJ_NO; i++) {
        const char *name = o->required[i];
        if (o->keys && !vbj_dfa_has(o->keys, name, strlen(name))) return VBJ_NO;
        answer = worse(answer, vbj_possible(c, vbj_property_value(c, o, name)));
    }
    if (o->lo > o->n_required && answer != VBJ_NO) answer = worse(answer, vbj_object_room(c, o));
    return answer;
}

vbj_answer vbj_array_possible(vbj_compiler *c, const vbj_array *a) {
    vbj_answer answer = a->n_counts || (a->unique && a->lo > 1) ? VBJ_MAYBE : VBJ_YES;
    if (a->lo > a->hi) return VBJ_NO;
    size_t prefix = vbj_prefix_length(a);
    for (size_t i = 0; i < a->lo && i <= prefix && answer != VBJ_NO; i++)
        answer = worse(answer, vbj_possible(c, vbj_element_value(c, a, i)));
    for (size_t i = 0; i < a->n_counts; i++)
        if (a->counts[i].lo > a->hi || a->counts[i].lo > a->counts[i].hi) return VBJ_NO;
    return answer;
}

static vbj_answer shape_possible(vbj_compiler *c, const vbj_shape *s) {
    if (s->null || s->no || s->yes || s->n_strings || !vbj_dfa_empty(s->numbers.yes)) return VBJ_YES;
    vbj_answer answer = VBJ_NO;
    for (size_t i = 0; i < s->n_arrays + s->n_objects; i++) {
        vbj_answer one = i < s->n_arrays ? vbj_array_possible(c, &s->arrays[i])
                                         : vbj_object_possible(c, &s->objects[i - s->n_arrays]);
        if (one == VBJ_YES) return VBJ_YES;
        if (one == VBJ_MAYBE) answer = VBJ_MAYBE;
    }
    return answer;
}

vbj_answer vbj_possible(vbj_compiler *c, vbj_expr x) {
    enum { DEEPEST = 12 };
    if (x < 0 || c->err->code) return VBJ_MAYBE;
    if (x == VBJ_EXPR_TRUE) return VBJ_YES;
    if (x == VBJ_EXPR_FALSE) return VBJ_NO;
    if (c->answers[x]) return (vbj_answer)(c->answers[x] - 1);
    if ((c->shape_state[x] && c->shape_state[x] != KNOWN) || c->possible_depth >= DEEPEST) return VBJ_MAYBE;
    /* What comes round to itself is left open: the automaton cuts what has no end. */
    c->answers[x] = VBJ_MAYBE + 1;
    const vbj_shape *s;
    c->possible_depth++;
    vbj_answer answer = vbj_shape_of(c, x, &s) ? VBJ_MAYBE : shape_possible(c, s);
    c->possible_depth--;
    c->answers[x] = (uint8_t)(answer + 1);
    return answer;
}
