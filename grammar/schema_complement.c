/* schema_complement.c - what fails: the complements of strings, arrays and objects, as unions with one atom
 * for each way to be wrong. */
#include "grammar/schema_internal.h"

#include <string.h>

/* Those outside the automaton, those that are too short, those that are too long. */
int vbj_string_complement(vbj_compiler *c, const vbj_string *s, vbj_shape *out) {
    vbj_string *list = vbj_take(&c->arena, 3, sizeof *list);
    if (!list) return vbj_full(c);
    size_t n = 0;
    if (s->dfa) {
        const vbj_dfa *rest = vbj_dfa_product(&c->arena, c->all_strings, s->dfa, VBJ_MINUS);
        if (!rest) return vbj_full(c);
        if (!vbj_dfa_empty(rest)) list[n++] = (vbj_string){rest, 0, VBJ_NO_LIMIT};
    }
    if (s->lo > 0) list[n++] = (vbj_string){NULL, 0, s->lo - 1};
    if (s->hi != VBJ_NO_LIMIT) list[n++] = (vbj_string){NULL, s->hi + 1, VBJ_NO_LIMIT};
    out->strings = list;
    out->n_strings = n;
    return 0;
}

/* ----------------------------------------------------------------------------------------------- arrays */

/* A value behind the n of a list (the address of its pointer). */
static int add(vbj_failures *f, void *list, size_t *n, size_t *room, const void *value, size_t size) {
    char *items;
    if (!vbj_grow(&f->c->arena, list, *n, room, size)) return vbj_full(f->c);
    memcpy(&items, list, sizeof items);
    memcpy(items + (*n)++ * size, value, size);
    return 0;
}

static int add_array(vbj_failures *f, vbj_array a) {
    a.blame = f->schema;
    return a.lo > a.hi ? 0 : add(f, &f->arrays, &f->n_arrays, &f->arrays_room, &a, sizeof a);
}

/* Arrays whose element i is there and is not x. */
static int wrong_element(vbj_failures *f, size_t i, vbj_expr x) {
    vbj_arena *a = &f->c->arena;
    vbj_item_group *g = vbj_take(a, 1, sizeof *g);
    vbj_expr *prefix = vbj_take(a, i + 1, sizeof *prefix);
    if (!g || !prefix) return vbj_full(f->c);
    prefix[i] = vbj_expr_not(f->c, x);
    if (prefix[i] < 0 || prefix[i] == VBJ_EXPR_FALSE) return prefix[i] < 0 ? prefix[i] : 0;
    *g = (vbj_item_group){prefix, i + 1, VBJ_EXPR_TRUE};
    return add_array(f, (vbj_array){.groups = g, .n_groups = 1, .lo = (uint32_t)i + 1, .hi = VBJ_NO_LIMIT});
}

static int count_atom(vbj_failures *f, vbj_expr what, uint32_t lo, uint32_t hi) {
    vbj_contains *count = vbj_take(&f->c->arena, 1, sizeof *count);
    if (!count) return vbj_full(f->c);
    *count = (vbj_contains){what, lo, hi};
    return what < 0 ? what : add_array(f, (vbj_array){.counts = count, .n_counts = 1, .hi = VBJ_NO_LIMIT});
}

int vbj_array_complement(vbj_failures *f, const vbj_array *a) {
    int rc = 0;
    if (a->unique)
        return vbj_refuse(f->c, VB_ERR_UNSUPPORTED, f->schema, "uniqueItems",
                          "its complement (not, oneOf, if) is not supported");
    if (a->lo > 0) rc = add_array(f, (vbj_array){.hi = a->lo - 1});
    if (!rc && a->hi != VBJ_NO_LIMIT) rc = add_array(f, (vbj_array){.lo = a->hi + 1, .hi = VBJ_NO_LIMIT});
    for (size_t g = 0; g < a->n_groups && !rc; g++) {
        const vbj_item_group *group = &a->groups[g];
        for (size_t i = 0; i < group->n_prefix && !rc; i++) rc = wrong_element(f, i, group->prefix[i]);
        if (rc || group->rest == VBJ_EXPR_TRUE) continue;
        if (group->rest == VBJ_EXPR_FALSE)
            rc = add_array(f, (vbj_array){.lo = (uint32_t)group->n_prefix + 1, .hi = VBJ_NO_LIMIT});
        else if (group->n_prefix)
            rc = vbj_refuse(f->c, VB_ERR_UNSUPPORTED, f->schema, "items",
                            "its complement (not, oneOf, if) after prefixItems is not supported");
        else
            rc = count_atom(f, vbj_expr_not(f->c, group->rest), 1, VBJ_NO_LIMIT);
    }
    for (size_t i = 0; i < a->n_counts && !rc; i++) {
        const vbj_contains *n = &a->counts[i];
        if (n->lo > 0) rc = count_atom(f, n->what, 0, n->lo - 1);
        if (!rc && n->hi != VBJ_NO_LIMIT) rc = count_atom(f, n->what, n->hi + 1, VBJ_NO_LIMIT);
    }
    return rc;
}

/* ---------------------------------------------------------------------------------------------- objects */

static int add_object(vbj_failures *f, vbj_object o) {
    o.blame = f->schema;
    return o.lo > o.hi ? 0 : add(f, &f->objects, &f->n_objects, &f->objects_room, &o, sizeof o);
}

/* Objects with a property `name` whose value is x (`required`), or without it (x FALSE). */
static int with_property(vbj_failures *f, const char *name, vbj_expr x, bool required) {
    vbj_group *g = vbj_take(&f->c->arena, 1, sizeof *g);
    vbj_property *p = vbj_take(&f->c->arena, 1, sizeof *p);
    const char **names = vbj_take(&f->c->arena, 1, sizeof *names);
    if (!g || !p || !names) return vbj_full(f->c);
    if (x < 0) return x;
    *p = (vbj_property){name, x};
    *g = (vbj_group){.named = p, .n_named = 1, .rest = VBJ_EXPR_TRUE, .quiet = 1};
    *names = name;
    return add_object(
        f, (vbj_object){
               .groups = g, .n_groups = 1, .required = names, .n_required = required, .hi = VBJ_NO_LIMIT});
}

static int with_key(vbj_failures *f, const vbj_dfa *keys, vbj_expr x) {
    vbj_key_class *some = vbj_take(&f->c->arena, 1, sizeof *some);
    if (!some || !keys) return vbj_full(f->c);
    if (x < 0) return x;
    if (x == VBJ_EXPR_FALSE || vbj_dfa_empty(keys)) return 0;
    *some = (vbj_key_class){keys, x};
    return add_object(f, (vbj_object){.some = some, .n_some = 1, .hi = VBJ_NO_LIMIT});
}

/* Keys that the group neither names nor matches. */
static const vbj_dfa *other_keys(vbj_compiler *c, const vbj_group *g) {
    const char **names = vbj_take(&c->arena, g->n_named + 1, sizeof *names);
    size_t *lengths = vbj_take(&c->arena, g->n_named + 1, sizeof *lengths);
    if (!names || !lengths) return NULL;
    for (size_t i = 0; i < g->n_named; i++) names[i] = g->named[i].name, lengths[i] = strlen(names[i]);
    const vbj_dfa *d = vbj_dfa_texts(&c->arena, names, lengths, g->n_named);
    d = vbj_dfa_product(&c->arena, c->all_strings, d, VBJ_MINUS);
    for (size_t i = 0; i < g->n_patterns; i++)
        d = vbj_dfa_product(&c->arena, d, g->patterns[i].keys, VBJ_MINUS);
    return d;
}

static bool is_required(const vbj_object *o, const char *name) {
    for (size_t i = 0; i < o->n_required; i++)
        if (strcmp(o->required[i], name) == 0) return true;
    return false;
}

/* A required property fails by being missing or by its value: together, it may be there if it has another
 * value. One atom for both, else n such properties would give 2^n. */
static int without_required(vbj_failures *f, const vbj_object *o, const char *name) {
    vbj_expr value = VBJ_EXPR_TRUE;
    for (size_t k = 0; k < o->n_groups; k++)
        for (size_t i = 0; i < o->groups[k].n_named; i++)
            if (strcmp(o->groups[k].named[i].name, name) == 0)
                value = vbj_expr_and(f->c, value, o->groups[k].named[i].value);
    return with_property(f, name, vbj_expr_not(f->c, value), false);
}

int vbj_object_complement(vbj_failures *f, const vbj_object *o) {
    vbj_compiler *c = f->c;
    int rc = 0;
    if (o->lo > 0) rc = add_object(f, (vbj_object){.hi = o->lo - 1});
    if (!rc && o->hi != VBJ_NO_LIMIT) rc = add_object(f, (vbj_object){.lo = o->hi + 1, .hi = VBJ_NO_LIMIT});
    for (size_t i = 0; i < o->n_required && !rc; i++) rc = without_required(f, o, o->required[i]);
    if (!rc && o->keys)
        rc = with_key(f, vbj_dfa_product(&c->arena, c->all_strings, o->keys, VBJ_MINUS), VBJ_EXPR_TRUE);
    for (size_t k = 0; k < o->n_groups && !rc; k++) {
        const vbj_group *g = &o->groups[k];
        for (size_t i = 0; i < g->n_named && !rc; i++)
            if (g->named[i].value != VBJ_EXPR_TRUE && !is_required(o, g->named[i].name))
                rc = with_property(f, g->named[i].name, vbj_expr_not(c, g->named[i].value), true);
        for (size_t i = 0; i < g->n_patterns && !rc; i++)
            rc = with_key(f, g->patterns[i].keys, vbj_expr_not(c, g->patterns[i].value));
        if (!rc && g->rest != VBJ_EXPR_TRUE) rc = with_key(f, other_keys(c, g), vbj_expr_not(c, g->rest));
    }
    return rc;
}

/* ----------------------------------------------------------------------------------------------- values */

int vbj_value_complement(vbj_compiler *c, const json_t *value, vbj_shape *out) {
    vbj_shape one, all;
    vbj_failures f = {.c = c, .schema = c->at};
    int rc = vbj_value_shape(c, value, &one);
    if (rc) return rc;
    vbj_shape_all(&all);
    if (one.null) all.null = false;
    if (one.no) all.no = false;
    if (one.yes) all.yes = false;
    if (json_is_number(value)) rc = vbj_numbers_not(c, &one.numbers, &all.numbers);
    if (one.n_strings) rc = vbj_string_complement(c, one.strings, &all);
    if (one.n_arrays) {
        rc = vbj_array_complement(&f, one.arrays);
        all.arrays = f.arrays;
        all.n_arrays = f.n_arrays;
    }
    if (one.n_objects) {
        /* Without one of its names, with another value, or with more names. */
        vbj_group open = one.objects->groups[0];
        vbj_object o = *one.objects;
        open.rest = VBJ_EXPR_TRUE;
        o.groups = &open;
        o.lo = 0;
        rc = vbj_object_complement(&f, &o);
        all.objects = f.objects;
        all.n_objects = f.n_objects;
    }
    *out = all;
    return rc;
}

int vbj_has_shape(vbj_compiler *c, const char *name, bool has, vbj_shape *out) {
    vbj_failures f = {.c = c, .schema = c->at};
    if (has)
        vbj_shape_all(out);
    else
        vbj_shape_none(out);
    int rc = with_property(&f, name, has ? VBJ_EXPR_TRUE : VBJ_EXPR_FALSE, has);
    out->objects = f.objects;
    out->n_objects = f.n_objects;
    return rc;
}
