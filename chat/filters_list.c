/* filters_list.c - filters of lists, dicts and whatever can be gone through. Those that are generators in
 * Jinja make their elements only when somebody asks for them. */
#include "chat/compare.h"
#include "chat/filters.h"
#include "chat/names.h"
#include "chat/number.h"

#include <string.h>

static void no_args(vbt *t, const char *name, const vbt_args *a) {
    vbt_bind(t, name, a, "", 0, NULL);
}

vbt_val vbt_key(vbt *t, vbt_val v, vbt_val path, bool case_sensitive) {
    v = vbt_path(t, v, path);
    return v.type == VBT_STR && !case_sensitive ? vbt_change_case(t, v.u.s, VBT_LOWER) : v;
}

/* A list of its own with the elements of v. */
static vbt_val own_list(vbt *t, vbt_val v) {
    const vbt_list *l = vbt_elements(t, v);
    vbt_val out = vbt_list_new(t, VBT_LIST, l->n);
    for (size_t i = 0; i < l->n; i++) vbt_list_add(t, out, l->v[i]);
    return out;
}

static vbt_val list(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "list", a);
    return own_list(t, v);
}

static vbt_val length(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "len", a);
    return vbt_int((int64_t)vbt_length(t, v));
}

static vbt_val default_(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val x[2];
    vbt_bind(t, "default", a, "default_value boolean", 0, x);
    if (v.type != VBT_UNDEFINED && !(vbt_flag(t, x[1], false) && !vbt_truth(t, v))) return v;
    return x[0].type == VBT_MISSING ? vbt_word(t, "") : x[0];
}

static vbt_val first(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "first", a);
    if (v.type == VBT_ITER) { /* takes one of it, and leaves the others */
        vbt_list *l = v.u.list;
        if (l->fill) l->fill(t, l);
        l->fill = NULL;
        if (l->used || l->n == 0) return vbt_undefined(t, "No first item, sequence was empty.");
        l->n--;
        return *l->v++;
    }
    const vbt_list *l = vbt_elements(t, v);
    return l->n ? l->v[0] : vbt_undefined(t, "No first item, sequence was empty.");
}

static vbt_val last(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "last", a);
    if (v.type == VBT_ITER) vbt_raise(t, "'generator' object is not reversible");
    const vbt_list *l = vbt_elements(t, v);
    return l->n ? l->v[l->n - 1] : vbt_undefined(t, "No last item, sequence was empty.");
}

static vbt_val reverse(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "reverse", a);
    if (v.type == VBT_STR) return vbt_reversed(t, v.u.s);
    if (!vbt_can_iterate(v)) vbt_raise(t, "argument must be iterable");
    const vbt_list *l = vbt_elements(t, v);
    vbt_val out = vbt_list_new(t, v.type == VBT_ITER ? VBT_LIST : VBT_ITER, l->n);
    for (size_t i = l->n; i-- > 0;) vbt_list_add(t, out, l->v[i]);
    return out;
}

static vbt_val join(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val x[2];
    vbt_bind(t, "join", a, "d attribute", 0, x);
    const vbt_list *l = vbt_elements(t, v);
    vbt_val sep = x[0].type == VBT_MISSING ? vbt_word(t, "") : vbt_str_of(t, x[0]);
    vbt_buf out = {.t = t, .limit = VBT_OUTPUT_LIMIT};
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0) vbt_put_str(&out, sep.u.s);
        vbt_put_value(&out, vbt_path(t, l->v[i], x[1]));
    }
    return vbt_buf_value(&out);
}

static vbt_val sum(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val x[2];
    vbt_bind(t, "sum", a, "attribute start", 0, x);
    vbt_val total = x[1].type == VBT_MISSING ? vbt_int(0) : x[1];
    if (!vbt_can_iterate(v)) vbt_raise(t, "'%s' object is not iterable", vbt_type_name(v));
    if (total.type == VBT_STR) vbt_raise(t, "sum() can't sum strings [use ''.join(seq) instead]");
    const vbt_list *l = vbt_elements(t, v);
    for (size_t i = 0; i < l->n; i++) total = vbt_binary(t, '+', total, vbt_path(t, l->v[i], x[0]));
    return total;
}

static vbt_val attr(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val name;
    vbt_bind(t, "attr", a, "name", 1, &name);
    if (name.type != VBT_STR) vbt_raise(t, "attribute name must be string, not '%s'", vbt_type_name(name));
    vbt_need_defined(t, v);
    if (v.type == VBT_DICT) { /* attributes only, no items */
        vbt_val none = vbt_dict_new(t, 0);
        vbt_val found = vbt_attribute(t, none, name.u.s);
        if (found.type != VBT_METHOD) return found;
    }
    return vbt_attribute(t, v, name.u.s);
}

/* ----------------------------------------------------------------------------------------- generators */

typedef struct maker {
    vbt_val of;
    vbt_args a;
    vbt_val x[2];
    bool reject, attribute;
} maker;

static vbt_val generator(vbt *t, void (*fill)(vbt *t, vbt_list *l), maker m) {
    maker *own = vbt_alloc(t, sizeof *own);
    *own = m;
    return vbt_iter_new(t, fill, own);
}

static void append(vbt *t, vbt_list *l, vbt_val v) {
    vbt_list_add(t, (vbt_val){.type = VBT_LIST, .u.list = l}, v);
}

static void fill_items(vbt *t, vbt_list *out) {
    const maker *m = out->how;
    out->fill = NULL;
    if (m->of.type == VBT_UNDEFINED) return;
    if (m->of.type != VBT_DICT) vbt_raise(t, "Can only get item pairs from a mapping.");
    const vbt_dict *d = m->of.u.dict;
    for (size_t i = 0; i < d->n; i++) append(t, out, vbt_pair(t, d->keys[i], d->values[i]));
}

static vbt_val items(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "items", a);
    return generator(t, fill_items, (maker){.of = v});
}

static const vbt_str *name_argument(vbt *t, vbt_val v, const char *what) {
    if (v.type != VBT_STR) vbt_raise(t, "No %s named like that found.", what);
    return v.u.s;
}

static vbt_args rest_of(const vbt_args *a, size_t from) {
    return (vbt_args){a->v + from, a->n - from, a->names, a->values, a->n_named};
}

static void fill_map(vbt *t, vbt_list *out) {
    const maker *m = out->how;
    const vbt_val *attribute = m->a.n == 0 ? vbt_named(&m->a, "attribute") : NULL,
                  *otherwise = vbt_named(&m->a, "default");
    out->fill = NULL;
    if (!vbt_truth(t, m->of)) return;
    if (attribute && m->a.n_named > (otherwise ? 2u : 1u)) vbt_raise(t, "Unexpected keyword argument");
    if (!attribute && m->a.n == 0) vbt_raise(t, "map requires a filter argument");
    const vbt_list *l = vbt_elements(t, m->of);
    const vbt_args rest = attribute ? m->a : rest_of(&m->a, 1);
    for (size_t i = 0; i < l->n; i++) {
        vbt_val v;
        vbt_steps(t, 1);
        if (attribute && otherwise && otherwise->type != VBT_NONE) {
            v = vbt_path(t, l->v[i], *attribute);
            if (attribute->type == VBT_STR && memchr(attribute->u.s->s, '.', attribute->u.s->n))
                vbt_left_out(t, "map with a dotted attribute and a default is not supported");
            if (v.type == VBT_UNDEFINED) v = *otherwise;
        } else if (attribute) {
            v = vbt_path(t, l->v[i], *attribute);
        } else {
            v = vbt_filter(t, name_argument(t, m->a.v[0], "filter"), l->v[i], &rest);
        }
        append(t, out, v);
    }
}

static vbt_val map(vbt *t, vbt_val v, const vbt_args *a) {
    return generator(t, fill_map, (maker){.of = v, .a = *a});
}

static void fill_select(vbt *t, vbt_list *out) {
    const maker *m = out->how;
    const size_t at = m->attribute ? 1 : 0;
    out->fill = NULL;
    if (!vbt_truth(t, m->of)) return;
    if (m->attribute && m->a.n == 0) vbt_raise(t, "Missing parameter for attribute name");
    const vbt_list *l = vbt_elements(t, m->of);
    for (size_t i = 0; i < l->n; i++) {
        vbt_val v = m->attribute ? vbt_path(t, l->v[i], m->a.v[0]) : l->v[i];
        bool yes;
        vbt_steps(t, 1);
        if (m->a.n > at) {
            const vbt_args rest = rest_of(&m->a, at + 1);
            yes = vbt_test(t, name_argument(t, m->a.v[at], "test"), v, &rest);
        } else {
            yes = vbt_truth(t, v);
        }
        if (yes != m->reject) append(t, out, l->v[i]);
    }
}

static vbt_val select_(vbt *t, vbt_val v, const vbt_args *a) {
    return generator(t, fill_select, (maker){.of = v, .a = *a});
}
static vbt_val reject(vbt *t, vbt_val v, const vbt_args *a) {
    return generator(t, fill_select, (maker){.of = v, .a = *a, .reject = true});
}
static vbt_val selectattr(vbt *t, vbt_val v, const vbt_args *a) {
    return generator(t, fill_select, (maker){.of = v, .a = *a, .attribute = true});
}
static vbt_val rejectattr(vbt *t, vbt_val v, const vbt_args *a) {
    return generator(t, fill_select, (maker){.of = v, .a = *a, .reject = true, .attribute = true});
}

static void fill_unique(vbt *t, vbt_list *out) {
    const maker *m = out->how;
    vbt_val seen = vbt_dict_new(t, 0);
    out->fill = NULL;
    const vbt_list *l = vbt_elements(t, m->of);
    for (size_t i = 0; i < l->n; i++) {
        vbt_val key = vbt_key(t, l->v[i], m->x[1], vbt_flag(t, m->x[0], false));
        if (vbt_dict_get(t, seen.u.dict, key)) continue;
        vbt_dict_set(t, seen.u.dict, key, vbt_none());
        append(t, out, l->v[i]);
    }
}

static vbt_val unique(vbt *t, vbt_val v, const vbt_args *a) {
    maker m = {.of = v};
    vbt_bind(t, "unique", a, "case_sensitive attribute", 0, m.x);
    return generator(t, fill_unique, m);
}

static void fill_batch(vbt *t, vbt_list *out) {
    const maker *m = out->how;
    const vbt_list *l = vbt_elements(t, m->of);
    int64_t size = vbt_need_int(t, m->x[0], "linecount"), n = 0;
    bool fills = m->x[1].type != VBT_MISSING && m->x[1].type != VBT_NONE;
    vbt_val row = vbt_list_new(t, VBT_LIST, 0);
    out->fill = NULL;
    for (size_t i = 0; i < l->n; i++, n++) {
        if (n == size) {
            append(t, out, row);
            row = vbt_list_new(t, VBT_LIST, 0);
            n = 0;
        }
        vbt_list_add(t, row, l->v[i]);
    }
    for (; fills && n > 0 && n < size; n++) {
        vbt_steps(t, 1);
        vbt_list_add(t, row, m->x[1]);
    }
    if (row.u.list->n > 0) append(t, out, row);
}

static vbt_val batch(vbt *t, vbt_val v, const vbt_args *a) {
    maker m = {.of = v};
    vbt_bind(t, "batch", a, "linecount fill_with", 1, m.x);
    return generator(t, fill_batch, m);
}

static void fill_slice(vbt *t, vbt_list *out) {
    const maker *m = out->how;
    const vbt_list *l = vbt_elements(t, m->of);
    int64_t slices = vbt_need_int(t, m->x[0], "slices"), n = (int64_t)l->n, at = 0;
    bool fills = m->x[1].type != VBT_MISSING && m->x[1].type != VBT_NONE;
    out->fill = NULL;
    if (slices == 0) vbt_raise(t, "integer division or modulo by zero");
    for (int64_t i = 0; i < slices; i++) {
        vbt_val row = vbt_list_new(t, VBT_LIST, 0);
        int64_t size = n / slices + (i < n % slices);
        vbt_steps(t, 1);
        for (int64_t k = 0; k < size; k++) vbt_list_add(t, row, l->v[at++]);
        if (fills && i >= n % slices) vbt_list_add(t, row, m->x[1]);
        append(t, out, row);
    }
}

static vbt_val slice(vbt *t, vbt_val v, const vbt_args *a) {
    maker m = {.of = v};
    vbt_bind(t, "slice", a, "slices fill_with", 1, m.x);
    return generator(t, fill_slice, m);
}

/* ----------------------------------------------------------------------------------------------- order */

static vbt_val keys_of(vbt *t, vbt_val list, vbt_val path, bool case_sensitive) {
    vbt_val keys = vbt_list_new(t, VBT_LIST, list.u.list->n);
    for (size_t i = 0; i < list.u.list->n; i++)
        vbt_list_add(t, keys, vbt_key(t, list.u.list->v[i], path, case_sensitive));
    return keys;
}

/* "a,b": a list of keys. */
static vbt_val several_keys(vbt *t, vbt_val list, const vbt_str *paths, bool case_sensitive) {
    vbt_val keys = vbt_list_new(t, VBT_LIST, list.u.list->n);
    for (size_t i = 0; i < list.u.list->n; i++) {
        vbt_val key = vbt_list_new(t, VBT_LIST, 2);
        for (size_t from = 0; from <= paths->n;) {
            const char *comma = memchr(paths->s + from, ',', paths->n - from);
            size_t to = comma ? (size_t)(comma - paths->s) : paths->n;
            vbt_list_add(t, key, vbt_key(t, list.u.list->v[i], vbt_part(t, paths, from, to), case_sensitive));
            from = to + 1;
        }
        vbt_list_add(t, keys, key);
    }
    return keys;
}

static vbt_val sort(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val x[3];
    vbt_bind(t, "sort", a, "reverse case_sensitive attribute", 0, x);
    vbt_val out = own_list(t, v);
    bool exact = vbt_flag(t, x[1], false);
    vbt_val keys =
        x[2].type == VBT_STR ? several_keys(t, out, x[2].u.s, exact) : keys_of(t, out, x[2], exact);
    vbt_sort(t, out.u.list->v, keys.u.list->v, out.u.list->n, vbt_flag(t, x[0], false));
    return out;
}

static vbt_val dictsort(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val x[3];
    vbt_bind(t, "dictsort", a, "case_sensitive by reverse", 0, x);
    const vbt_str *by = x[1].type == VBT_MISSING ? vbt_word(t, "key").u.s
                        : x[1].type == VBT_STR   ? x[1].u.s
                                                 : NULL;
    if (!by || (!vbt_is(by, "key") && !vbt_is(by, "value")))
        vbt_raise(t, "You can only sort by either \"key\" or \"value\"");
    vbt_need_defined(t, v);
    if (v.type != VBT_DICT) vbt_raise(t, "'%s' object has no attribute 'items'", vbt_type_name(v));
    vbt_val out = vbt_list_new(t, VBT_LIST, v.u.dict->n);
    for (size_t i = 0; i < v.u.dict->n; i++)
        vbt_list_add(t, out, vbt_pair(t, v.u.dict->keys[i], v.u.dict->values[i]));
    vbt_val keys = keys_of(t, out, vbt_int(vbt_is(by, "value")), vbt_flag(t, x[0], false));
    vbt_sort(t, out.u.list->v, keys.u.list->v, out.u.list->n, vbt_flag(t, x[2], false));
    return out;
}

static vbt_val least_or_most(vbt *t, vbt_val v, const vbt_args *a, bool most) {
    vbt_val x[2];
    vbt_bind(t, most ? "max" : "min", a, "case_sensitive attribute", 0, x);
    const vbt_list *l = vbt_elements(t, v);
    if (l->n == 0) return vbt_undefined(t, "No aggregated item, sequence was empty.");
    bool exact = vbt_flag(t, x[0], false);
    size_t best = 0;
    vbt_val key = vbt_key(t, l->v[0], x[1], exact);
    for (size_t i = 1; i < l->n; i++) {
        vbt_val other = vbt_key(t, l->v[i], x[1], exact);
        if (!vbt_ordered(t, other, key, most ? ">" : "<")) continue;
        best = i;
        key = other;
    }
    return l->v[best];
}

static vbt_val min_(vbt *t, vbt_val v, const vbt_args *a) {
    return least_or_most(t, v, a, false);
}
static vbt_val max_(vbt *t, vbt_val v, const vbt_args *a) {
    return least_or_most(t, v, a, true);
}

static vbt_val group_key(vbt *t, vbt_val v, const vbt_val *x, bool exact) {
    bool fills = x[1].type != VBT_MISSING && x[1].type != VBT_NONE;
    vbt_val key = vbt_path(t, v, x[0]);
    if (fills && x[0].type == VBT_STR && memchr(x[0].u.s->s, '.', x[0].u.s->n))
        vbt_left_out(t, "groupby with a dotted attribute and a default is not supported");
    if (fills && key.type == VBT_UNDEFINED) key = x[1];
    return key.type == VBT_STR && !exact ? vbt_change_case(t, key.u.s, VBT_LOWER) : key;
}

static vbt_val groupby(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val x[3];
    vbt_bind(t, "groupby", a, "attribute default case_sensitive", 1, x);
    bool exact = vbt_flag(t, x[2], false);
    vbt_val all = own_list(t, v), keys = vbt_list_new(t, VBT_LIST, 0), out = vbt_list_new(t, VBT_LIST, 0);
    vbt_list *l = all.u.list;
    for (size_t i = 0; i < l->n; i++) vbt_list_add(t, keys, group_key(t, l->v[i], x, exact));
    vbt_sort(t, l->v, keys.u.list->v, l->n, false);
    for (size_t i = 0; i < l->n;) {
        vbt_val group = vbt_list_new(t, VBT_LIST, 0);
        size_t from = i;
        while (i < l->n && vbt_equal(t, keys.u.list->v[i], keys.u.list->v[from]))
            vbt_list_add(t, group, l->v[i++]);
        if (i == from) vbt_list_add(t, group, l->v[i++]); /* not a number: equal to nothing */
        vbt_val pair = vbt_pair(t, group_key(t, l->v[from], x, true), group);
        pair.u.list->view = "group";
        vbt_list_add(t, out, pair);
    }
    return out;
}

const vbt_filter_def vbt_list_filters[] = {
    {"attr", attr},       {"batch", batch},      {"count", length},
    {"d", default_},      {"default", default_}, {"dictsort", dictsort},
    {"first", first},     {"groupby", groupby},  {"items", items},
    {"join", join},       {"last", last},        {"length", length},
    {"list", list},       {"map", map},          {"max", max_},
    {"min", min_},        {"reject", reject},    {"rejectattr", rejectattr},
    {"reverse", reverse}, {"select", select_},   {"selectattr", selectattr},
    {"slice", slice},     {"sort", sort},        {"sum", sum},
    {"unique", unique},   {NULL, NULL}};
