/* schema_object.c - the texts of an object: named properties in the schema's order, then the others, no
 * key twice. */
#include "grammar/schema_internal.h"

#include <string.h>

/* ----------------------------------------------------------------------------------- values of keys */

vbj_expr vbj_property_value(vbj_compiler *c, const vbj_object *o, const char *name) {
    vbj_expr all = VBJ_EXPR_TRUE;
    size_t n = strlen(name);
    for (size_t k = 0; k < o->n_groups; k++) {
        const vbj_group *g = &o->groups[k];
        bool seen = false;
        for (size_t i = 0; i < g->n_named; i++)
            if (strcmp(g->named[i].name, name) == 0) {
                seen = true;
                all = vbj_expr_and(c, all, g->named[i].value);
                break;
            }
        for (size_t i = 0; i < g->n_patterns; i++)
            if (vbj_dfa_has(g->patterns[i].keys, name, n)) {
                seen = true;
                all = vbj_expr_and(c, all, g->patterns[i].value);
            }
        if (!seen) all = vbj_expr_and(c, all, g->rest);
    }
    return all;
}

typedef struct {
    const char *name;
    vbj_expr value;
    bool required;
} named;

typedef struct {
    vbj_compiler *c;
    const vbj_object *o;
    named *names;
    size_t n, room;
    vbj_key_class *classes; /* of the keys that are not named, disjoint */
    size_t n_classes, classes_room;
    uint32_t n_required;
    vbg_node entry;  /* one property of a class */
    vbg_node needed; /* one that `some` asks for */
    uint64_t words;  /* how many keys the classes have, at most VBJ_NO_LIMIT */
    bool impossible; /* no such object */
} lowered;

static int add_name(lowered *l, const char *name, bool required) {
    vbj_compiler *c = l->c;
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->names[i].name, name) == 0) {
            l->names[i].required |= required;
            return 0;
        }
    if (!vbj_steps(&c->arena, 1 + l->n / 8) ||
        !vbj_grow(&c->arena, &l->names, l->n, &l->room, sizeof *l->names))
        return vbj_full(c);
    l->names[l->n++] = (named){name, VBJ_EXPR_TRUE, required};
    return 0;
}

/* All names that any group knows, in the order of the groups; then the required ones that none declares,
 * and last those that conditions speak of. */
static int gather_names(lowered *l) {
    const vbj_object *o = l->o;
    int rc = 0;
    for (int32_t quiet = 0; quiet < 2; quiet++) {
        for (size_t i = 0; quiet && i < o->n_required && !rc; i++) rc = add_name(l, o->required[i], true);
        for (size_t k = 0; k < o->n_groups; k++)
            for (size_t i = 0; o->groups[k].quiet == quiet && i < o->groups[k].n_named && !rc; i++)
                rc = add_name(l, o->groups[k].named[i].name, false);
    }
    return rc;
}

/* Values; names that cannot occur go, and with a required one of them the object. Their keys stay
 * excluded from the classes. */
static int settle_names(lowered *l) {
    vbj_compiler *c = l->c;
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        named p = l->names[i];
        p.value = vbj_property_value(c, l->o, p.name);
        if (p.value < 0) return p.value;
        bool allowed = !l->o->keys || vbj_dfa_has(l->o->keys, p.name, strlen(p.name));
        if (allowed && vbj_possible(c, p.value) == VBJ_NO) allowed = false;
        if (c->err->code) return c->err->code;
        if (!allowed && p.required) l->impossible = true;
        if (!allowed) continue;
        l->n_required += p.required;
        l->names[kept++] = p;
    }
    l->n = kept;
    return 0;
}

/* --------------------------------------------------------------------------------------- other keys */

static const vbj_dfa *without_names(lowered *l) {
    vbj_arena *a = &l->c->arena;
    const char **names = vbj_take(a, l->n + 1, sizeof *names);
    size_t *lengths = vbj_take(a, l->n + 1, sizeof *lengths);
    if (!names || !lengths) return NULL;
    for (size_t i = 0; i < l->n; i++) names[i] = l->names[i].name, lengths[i] = strlen(names[i]);
    const vbj_dfa *all = l->o->keys ? l->o->keys : l->c->all_strings;
    return l->n ? vbj_dfa_product(a, all, vbj_dfa_texts(a, names, lengths, l->n), VBJ_MINUS) : all;
}

typedef struct {
    const vbj_dfa *keys;
    vbj_expr value;
    bool matched;
} part;

typedef struct {
    part *parts;
    size_t n, room;
} part_list;

static int add_part(vbj_compiler *c, part_list *l, const vbj_dfa *keys, vbj_expr value, bool matched) {
    if (!keys) return vbj_full(c);
    if (value < 0) return value;
    if (vbj_dfa_empty(keys)) return 0;
    if (l->n >= VBJ_MAX_ATOMS) c->arena.full = true;
    if (!vbj_grow(&c->arena, &l->parts, l->n, &l->room, sizeof *l->parts) || c->arena.full)
        return vbj_full(c);
    l->parts[l->n++] = (part){keys, value, matched};
    return 0;
}

/* Cuts every part in two: keys that the pattern matches, and the others. */
static int split_parts(vbj_compiler *c, part_list *l, const vbj_key_class *pattern) {
    part_list next = {0};
    int rc = 0;
    for (size_t i = 0; i < l->n && !rc; i++) {
        part p = l->parts[i];
        const vbj_dfa *in = vbj_dfa_product(&c->arena, p.keys, pattern->keys, VBJ_BOTH);
        const vbj_dfa *out = vbj_dfa_product(&c->arena, p.keys, pattern->keys, VBJ_MINUS);
        rc = add_part(c, &next, in, vbj_expr_and(c, p.value, pattern->value), true);
        if (!rc) rc = add_part(c, &next, out, p.value, p.matched);
    }
    *l = next;
    return rc;
}

static int make_classes(lowered *l) {
    vbj_compiler *c = l->c;
    part_list parts = {0};
    c->at_keyword = "patternProperties";
    int rc = add_part(c, &parts, without_names(l), VBJ_EXPR_TRUE, false);
    for (size_t k = 0; k < l->o->n_groups && !rc; k++) {
        const vbj_group *g = &l->o->groups[k];
        for (size_t i = 0; i < parts.n; i++) parts.parts[i].matched = false;
        for (size_t i = 0; i < g->n_patterns && !rc; i++) rc = split_parts(c, &parts, &g->patterns[i]);
        size_t kept = 0;
        for (size_t i = 0; i < parts.n && !rc; i++) {
            part p = parts.parts[i];
            if (!p.matched) p.value = vbj_expr_and(c, p.value, g->rest);
            if (p.value < 0) rc = p.value;
            if (p.value != VBJ_EXPR_FALSE) parts.parts[kept++] = p;
        }
        parts.n = kept;
    }
    for (size_t i = 0; i < parts.n && !rc; i++) {
        if (!vbj_grow(&c->arena, &l->classes, l->n_classes, &l->classes_room, sizeof *l->classes))
            return vbj_full(c);
        l->classes[l->n_classes++] = (vbj_key_class){parts.parts[i].keys, parts.parts[i].value};
    }
    return rc;
}

/* "key": value with a key of the class that the object has not had yet. */
static int class_entry(vbj_compiler *c, const vbj_dfa *keys, vbj_expr value, vbg_node *out) {
    vbg_node v, key = vbj_spell_strings(c, keys);
    if (c->arena.full || c->arena.failed) return vbj_full(c);
    int rc = vbj_emit(c, value, &v);
    *out = vbg_seq(c->ir, vbg_fresh(c->ir, key), vbg_seq(c->ir, c->colon, v));
    return rc;
}

/* The classes' entry, and how many keys there are. Where they can run out, each class must be known to
 * have a value. */
static int emit_classes(lowered *l) {
    vbj_compiler *c = l->c;
    l->entry = VBG_NONE;
    for (size_t i = 0; i < l->n_classes; i++) {
        vbg_node one = VBG_NONE;
        vbj_answer answer = vbj_possible(c, l->classes[i].value);
        if (c->err->code) return c->err->code;
        if (answer == VBJ_NO) continue;
        uint64_t n = vbj_dfa_count(&c->arena, l->classes[i].keys, VBJ_NO_LIMIT);
        if (answer == VBJ_MAYBE && n < VBJ_NO_LIMIT && l->o->lo > l->n_required)
            return vbj_refuse(
                c, VB_ERR_UNSUPPORTED, l->o->blame, "minProperties",
                "together with finitely many keys whose values lead back to this schema it is not supported");
        l->words = l->words + n < VBJ_NO_LIMIT ? l->words + n : VBJ_NO_LIMIT;
        int rc = class_entry(c, l->classes[i].keys, l->classes[i].value, &one);
        if (rc) return rc;
        l->entry = vbg_alt(c->ir, l->entry, one);
    }
    return 0;
}

/* --------------------------------------------------------------------------------- one that must be
 *
 * From complements: "some key of this class has such a value". The entries before it may use up keys of
 * the class, so only a class without end is sure to have one left. */

static int emit_needed(lowered *l) {
    vbj_compiler *c = l->c;
    const vbj_key_class *some = l->o->some;
    l->needed = VBG_NONE;
    bool simple = l->o->n_some == 1 && l->o->hi == VBJ_NO_LIMIT && l->o->lo <= l->n_required + 1;
    for (size_t i = 0; i < l->n_classes; i++) {
        const vbj_dfa *keys = vbj_dfa_product(&c->arena, l->classes[i].keys, some->keys, VBJ_BOTH);
        vbj_expr value = vbj_expr_and(c, l->classes[i].value, some->value);
        vbg_node one = VBG_NONE;
        if (!keys) return vbj_full(c);
        if (value < 0) return value;
        if (vbj_dfa_empty(keys) || vbj_possible(c, value) == VBJ_NO) continue;
        if (!simple)
            return vbj_refuse(c, VB_ERR_UNSUPPORTED, l->o->blame, "not",
                              "of patternProperties, additionalProperties or propertyNames is not supported "
                              "together with this");
        if (vbj_dfa_count(&c->arena, keys, VBJ_NO_LIMIT) < VBJ_NO_LIMIT)
            return vbj_refuse(c, VB_ERR_UNSUPPORTED, l->o->blame, "not",
                              "of finitely many keys is not supported");
        int rc = class_entry(c, keys, value, &one);
        if (rc) return rc;
        l->needed = vbg_alt(c->ir, l->needed, one);
    }
    return c->err->code;
}

/* ----------------------------------------------------------------------------------------- the text */

/* lo to hi entries of the classes behind what is there (`first`: nothing is, and one must come). */
static vbg_node tail(lowered *l, uint32_t lo, uint32_t hi, bool first) {
    vbg_ir *ir = l->c->ir;
    vbg_node more = vbg_seq(ir, l->c->comma, l->entry);
    if (l->o->n_some) {
        vbg_node before = vbg_repeat(ir, vbg_seq(ir, l->entry, l->c->comma), 0, VBG_INF);
        vbg_node all = vbg_seq(ir, before, vbg_seq(ir, l->needed, vbg_repeat(ir, more, 0, VBG_INF)));
        return first ? all : vbg_seq(ir, l->c->comma, all);
    }
    if (hi == VBJ_NO_LIMIT && l->words == VBJ_NO_LIMIT)
        hi = VBG_INF;
    else if (hi > l->words)
        hi = (uint32_t)l->words;
    if (first && lo == 0) lo = 1;
    if (lo > hi) return VBG_NONE;
    if (!first) return l->entry == VBG_NONE ? VBG_EMPTY : vbg_repeat(ir, more, lo, hi);
    if (l->entry == VBG_NONE) return VBG_NONE;
    return vbg_seq(ir, l->entry, vbg_repeat(ir, more, lo - 1, hi == VBG_INF ? VBG_INF : hi - 1));
}

/* node[i][k][first]: the properties from name i on, when k came before (counted up to `cap`). From the
 * last name backwards, two rows are enough. */
static int emit_rows(lowered *l, uint32_t cap, vbg_node *out) {
    vbj_compiler *c = l->c;
    vbg_ir *ir = c->ir;
    uint32_t lo = l->o->lo, hi = l->o->hi;
    bool counts = cap > 0;
    size_t width = 2 * ((size_t)cap + 1);
    vbg_node *row = vbj_take(&c->arena, width, sizeof *row), *next = vbj_take(&c->arena, width, sizeof *next);
    if (!row || !next) return vbj_full(c);
    for (uint32_t k = 0; k <= cap; k++)
        for (int first = 0; first < 2; first++) {
            uint32_t least = counts && lo > k ? lo - k : 0;
            next[2 * k + (uint32_t)first] = tail(l, least, hi == VBJ_NO_LIMIT ? hi : hi - k, first == 1);
        }
    for (size_t i = l->n; i-- > 0;) {
        vbg_node value;
        int rc = vbj_emit(c, l->names[i].value, &value);
        if (rc) return rc;
        vbg_node pair = vbg_seq(ir, vbj_spell_key(c, l->names[i].name), vbg_seq(ir, c->colon, value));
        if (c->arena.full || c->arena.failed || !vbj_steps(&c->arena, 4 * width)) return vbj_full(c);
        for (uint32_t k = 0; k <= cap; k++) {
            uint32_t then = k < cap ? k + 1 : k;
            bool room = !counts || k < cap || hi == VBJ_NO_LIMIT;
            vbg_node with = room ? vbg_seq(ir, pair, next[2 * then]) : VBG_NONE;
            row[2 * k] = vbg_seq(ir, c->comma, with);
            row[2 * k + 1] = with;
            if (l->names[i].required) continue;
            row[2 * k] = vbg_alt(ir, row[2 * k], next[2 * k]);
            row[2 * k + 1] = vbg_alt(ir, row[2 * k + 1], next[2 * k + 1]);
        }
        vbg_node *other = row;
        row = next;
        next = other;
    }
    *out = next[1];
    return 0;
}

static int emit_lowered(lowered *l, vbg_node *out) {
    vbj_compiler *c = l->c;
    uint32_t lo = l->o->lo, hi = l->o->hi;
    /* Nothing is counted where the bounds say nothing: every object has its required properties. */
    uint32_t cap = hi != VBJ_NO_LIMIT ? hi : lo > l->n_required ? lo : 0;
    if (hi != VBJ_NO_LIMIT && l->n_classes == 0 && hi >= l->n && lo <= l->n_required) cap = 0;
    c->at_keyword = hi != VBJ_NO_LIMIT ? "maxProperties" : "minProperties";
    /* Without names there is one place, whose count the repetition does. */
    if (l->n == 0) cap = cap && lo <= hi ? 1 : 0;
    if ((uint64_t)cap * (l->n + 1) > VBJ_MAX_GRID) c->arena.full = true;
    if (c->arena.full) return vbj_full(c);
    vbg_node inner = VBG_NONE;
    if (hi > 0) {
        int rc = l->n ? emit_rows(l, cap, &inner) : 0;
        if (rc) return rc;
        if (!l->n) inner = tail(l, lo, hi, true);
    }
    bool empty = lo == 0 && l->n_required == 0 && !l->o->n_some;
    *out = vbj_bracket(c, '{', inner, empty, '}');
    if (l->n_classes) *out = vbg_scope(c->ir, *out);
    return 0;
}

static int lower(lowered *l) {
    int rc = gather_names(l);
    if (!rc) rc = make_classes(l);
    return rc ? rc : settle_names(l);
}

/* Whether there can be `lo` properties: those that are named, and as many others as their classes have
 * keys. */
vbj_answer vbj_object_room(vbj_compiler *c, const vbj_object *o) {
    lowered l = {.c = c, .o = o};
    if (lower(&l)) return VBJ_MAYBE;
    if (l.impossible) return VBJ_NO;
    uint64_t most = l.n, sure = 0;
    for (size_t i = 0; i < l.n; i++) sure += vbj_possible(c, l.names[i].value) == VBJ_YES;
    for (size_t i = 0; i < l.n_classes; i++) {
        vbj_answer answer = vbj_possible(c, l.classes[i].value);
        if (answer == VBJ_NO) continue;
        uint64_t n = vbj_dfa_count(&c->arena, l.classes[i].keys, VBJ_NO_LIMIT);
        most += n;
        if (answer == VBJ_YES) sure += n;
    }
    return most < o->lo ? VBJ_NO : sure >= o->lo ? VBJ_YES : VBJ_MAYBE;
}

static int emit_simple(vbj_compiler *c, const vbj_object *o, vbg_node *out) {
    lowered l = {.c = c, .o = o};
    *out = VBG_NONE;
    int rc = lower(&l);
    if (rc || l.impossible || l.n_required > o->hi) return rc;
    rc = emit_classes(&l);
    if (!rc && o->n_some) rc = emit_needed(&l);
    if (!rc && o->n_some && l.needed == VBG_NONE) return 0;
    return rc ? rc : emit_lowered(&l, out);
}

/* A key that must be there may be one of the names: one object for each of them, and one for a key that
 * is none. */
static int emit_some_named(vbj_compiler *c, const vbj_object *o, vbg_node *out) {
    lowered l = {.c = c, .o = o};
    int rc = gather_names(&l);
    const vbj_key_class *some = &o->some[o->n_some - 1];
    vbj_object without = *o;
    without.n_some--;
    *out = VBG_NONE;
    for (size_t i = 0; i < l.n && !rc; i++) {
        const char *name = l.names[i].name;
        if (!vbj_dfa_has(some->keys, name, strlen(name))) continue;
        vbj_group *groups = vbj_take(&c->arena, o->n_groups + 1, sizeof *groups);
        const char **required = vbj_take(&c->arena, o->n_required + 1, sizeof *required);
        vbj_property *p = vbj_take(&c->arena, 1, sizeof *p);
        if (!groups || !required || !p) return vbj_full(c);
        if (o->n_groups) memcpy(groups, o->groups, o->n_groups * sizeof *groups);
        if (o->n_required) memcpy(required, o->required, o->n_required * sizeof *required);
        *p = (vbj_property){name, some->value};
        groups[o->n_groups] = (vbj_group){.named = p, .n_named = 1, .rest = VBJ_EXPR_TRUE, .quiet = 1};
        required[o->n_required] = name;
        vbj_object with = without;
        with.groups = groups;
        with.n_groups++;
        with.required = required;
        with.n_required += !l.names[i].required;
        vbg_node one = VBG_NONE;
        rc = vbj_emit_object(c, &with, &one);
        if (!rc) *out = vbg_alt(c->ir, *out, one);
    }
    return rc;
}

int vbj_emit_object(vbj_compiler *c, const vbj_object *o, vbg_node *out) {
    vbg_node named_ones = VBG_NONE;
    const json_t *before = c->at;
    if (o->blame) c->at = o->blame;
    int rc = o->n_some ? emit_some_named(c, o, &named_ones) : 0;
    if (!rc) rc = emit_simple(c, o, out);
    if (!rc) *out = vbg_alt(c->ir, *out, named_ones);
    c->at = before;
    return rc;
}
