/* attribute.c - x.name, x[key] and x[a:b:c]: attributes before items with a dot, items before attributes in
 * brackets, and Undefined where there is neither, as in Jinja's sandbox. */
#include "chat/number.h"
#include "chat/run.h"

#include <stdio.h>
#include <string.h>

static int shown(const vbt_str *s) {
    return (int)(s->n < 100 ? s->n : 100);
}

static vbt_val no_such(vbt *t, vbt_val of, const vbt_str *name) {
    if (of.type == VBT_NONE) return vbt_undefined(t, "'None' has no attribute '%.*s'", shown(name), name->s);
    return vbt_undefined(t, "'%s object' has no attribute '%.*s'", vbt_type_name(of), shown(name), name->s);
}

static vbt_val loop_attribute(vbt *t, vbt_loop *l, const vbt_str *name, bool *found) {
    int64_t i = (int64_t)l->index;
    *found = true;
    if (vbt_is(name, "index0")) return vbt_int(i);
    if (vbt_is(name, "index")) return vbt_int(i + 1);
    if (vbt_is(name, "first")) return vbt_bool(i == 0);
    if (vbt_is(name, "depth")) return vbt_int(l->depth + 1);
    if (vbt_is(name, "depth0")) return vbt_int(l->depth);
    if (vbt_is(name, "previtem"))
        return i > 0 ? l->passed.u.list->v[i - 1] : vbt_undefined(t, "there is no previous item");
    if (vbt_is(name, "last") || vbt_is(name, "nextitem")) {
        bool more = l->index + 1 < l->passed.u.list->n || vbt_loop_fetch(t, l);
        if (vbt_is(name, "last")) return vbt_bool(!more);
        return more ? l->passed.u.list->v[i + 1] : vbt_undefined(t, "there is no next item");
    }
    if (vbt_is(name, "length") || vbt_is(name, "revindex") || vbt_is(name, "revindex0")) {
        int64_t n;
        while (!l->sized && vbt_loop_fetch(t, l)) {
        }
        n = (int64_t)(l->sized ? l->source->n : l->passed.u.list->n);
        return vbt_int(vbt_is(name, "length") ? n : vbt_is(name, "revindex") ? n - i : n - i - 1);
    }
    *found = false;
    return vbt_none();
}

static vbt_val macro_attribute(vbt *t, const vbt_macro *m, const vbt_str *name, bool *found) {
    *found = true;
    if (vbt_is(name, "name"))
        return m->node->name ? (vbt_val){.type = VBT_STR, .u.s = m->node->name} : vbt_none();
    if (vbt_is(name, "arguments")) {
        vbt_val list = vbt_list_new(t, VBT_TUPLE, 0);
        for (const vbt_node *e = m->node->args; e; e = e->next)
            vbt_list_add(t, list, (vbt_val){.type = VBT_STR, .u.s = e->name});
        return list;
    }
    if (vbt_is(name, "catch_kwargs")) return vbt_bool(m->node->uses_kwargs);
    if (vbt_is(name, "catch_varargs")) return vbt_bool(m->node->uses_varargs);
    if (vbt_is(name, "caller")) return vbt_bool(m->node->uses_caller);
    if (vbt_is(name, "explicit_caller")) vbt_left_out(t, "the attribute explicit_caller is not supported");
    *found = false;
    return vbt_none();
}

static vbt_val range_attribute(const vbt_list *l, const vbt_str *name, bool *found) {
    *found = true;
    if (vbt_is(name, "start")) return vbt_int(l->start);
    if (vbt_is(name, "stop")) return vbt_int(l->stop);
    if (vbt_is(name, "step")) return vbt_int(l->step);
    *found = false;
    return vbt_none();
}

/* What Python's getattr finds. */
static vbt_val own_attribute(vbt *t, vbt_val of, const vbt_str *name, bool *found) {
    const char *method = NULL;
    *found = true;
    if (of.type == VBT_NAMESPACE) {
        const vbt_val *v = vbt_dict_get(t, of.u.dict, (vbt_val){.type = VBT_STR, .u.s = name});
        if (v) return *v;
    }
    switch (vbt_method_known(of, name, &method)) {
    case VBT_HAS_METHOD: {
        vbt_method *m = vbt_alloc(t, sizeof *m);
        m->self = of;
        m->name = method;
        return (vbt_val){.type = VBT_METHOD, .u.method = m};
    }
    case VBT_UNSAFE_METHOD:
        return vbt_undefined(t, "access to attribute '%s' of '%s' object is unsafe.", method,
                             vbt_type_name(of));
    case VBT_LEFT_OUT_METHOD:
        vbt_left_out(t, "the attribute %s of a %s is not supported", method, vbt_type_name(of));
    default: break;
    }
    if (of.type == VBT_LOOP) return loop_attribute(t, of.u.loop, name, found);
    if (of.type == VBT_MACRO) return macro_attribute(t, of.u.macro, name, found);
    if (of.type == VBT_RANGE) return range_attribute(of.u.list, name, found);
    if (of.type == VBT_CYCLER && vbt_is(name, "current")) return of.u.cycler->v[of.u.cycler->at];
    if (of.type == VBT_TUPLE && of.u.list->view) { /* of groupby */
        if (vbt_is(name, "grouper")) return of.u.list->v[0];
        if (vbt_is(name, "list")) return of.u.list->v[1];
    }
    *found = false;
    return vbt_none();
}

static bool hashable(vbt_val v) {
    if (v.type == VBT_LIST || v.type == VBT_DICT || v.type == VBT_NAMESPACE) return false;
    for (size_t i = 0; v.type == VBT_TUPLE && i < v.u.list->n; i++)
        if (v.u.list->v[i].type == VBT_LIST || v.u.list->v[i].type == VBT_DICT) return false;
    return true;
}

/* What of[key] finds in Python; false: it raises TypeError or LookupError. */
static bool own_item(vbt *t, vbt_val of, vbt_val key, vbt_val *out) {
    if (of.type == VBT_DICT) {
        const vbt_val *v = hashable(key) ? vbt_dict_get(t, of.u.dict, key) : NULL;
        if (v) *out = *v;
        return v != NULL;
    }
    bool array = of.type == VBT_LIST || of.type == VBT_TUPLE || of.type == VBT_RANGE;
    if ((!array && of.type != VBT_STR) || (key.type != VBT_INT && key.type != VBT_BOOL)) return false;
    int64_t i = key.type == VBT_INT ? key.u.i : key.u.b, n;
    if (array) {
        n = (int64_t)of.u.list->n;
        if (i < 0) i += n;
        if (i >= 0 && i < n) *out = of.u.list->v[i];
        return i >= 0 && i < n;
    }
    n = (int64_t)vbt_char_count(of.u.s);
    if (i < 0) i += n;
    if (i < 0 || i >= n) return false;
    size_t at = vbt_char_offset(of.u.s, (size_t)i), bytes;
    vbt_char(of.u.s, at, &bytes);
    *out = vbt_part(t, of.u.s, at, at + bytes);
    return true;
}

vbt_val vbt_attribute(vbt *t, vbt_val of, const vbt_str *name) {
    bool found;
    vbt_val v;
    vbt_need_defined(t, of);
    v = own_attribute(t, of, name, &found);
    if (found) return v;
    if (own_item(t, of, (vbt_val){.type = VBT_STR, .u.s = name}, &v)) return v;
    return no_such(t, of, name);
}

vbt_val vbt_item(vbt *t, vbt_val of, vbt_val key) {
    bool found;
    vbt_val v;
    vbt_need_defined(t, of);
    if (of.type == VBT_LOOP && key.type == VBT_INT)
        return vbt_undefined(t, "'LoopContext object' has no element");
    if (own_item(t, of, key, &v)) return v;
    if (key.type == VBT_STR) {
        v = own_attribute(t, of, key.u.s, &found);
        return found ? v : no_such(t, of, key.u.s);
    }
    if (key.type == VBT_INT)
        return vbt_undefined(t, "%s object has no element %lld", vbt_type_name(of), (long long)key.u.i);
    return vbt_undefined(t, "%s object has no such element", vbt_type_name(of));
}

/* ----------------------------------------------------------------------------------------------- slices */

static int64_t bound(vbt *t, vbt_val v, int64_t otherwise, int64_t n, bool down) {
    if (v.type == VBT_NONE) return otherwise;
    if (v.type != VBT_INT && v.type != VBT_BOOL && v.type != VBT_BIG)
        vbt_raise(t, "slice indices must be integers or None or have an __index__ method");
    if (v.type == VBT_BIG) return v.u.s->s[0] == '-' ? (down ? -1 : 0) : (down ? n - 1 : n);
    int64_t i = v.type == VBT_INT ? v.u.i : v.u.b;
    if (i < 0) i = i < -n ? -1 - n : i;
    if (i < 0) i += n;
    if (i < 0) return down ? -1 : 0;
    return i >= n ? (down ? n - 1 : n) : i;
}

vbt_val vbt_slice(vbt *t, vbt_val of, vbt_val a, vbt_val b, vbt_val c) {
    vbt_need_defined(t, of);
    bool array = of.type == VBT_LIST || of.type == VBT_TUPLE || of.type == VBT_RANGE;
    if (of.type == VBT_DICT) vbt_raise(t, "unhashable type: 'slice'");
    if (!array && of.type != VBT_STR) vbt_raise(t, "'%s' object is not subscriptable", vbt_type_name(of));
    int64_t step = c.type == VBT_NONE ? 1 : 0, n = (int64_t)vbt_length(t, of);
    if (step == 0 && c.type != VBT_INT && c.type != VBT_BOOL)
        vbt_raise(t, "slice indices must be integers or None or have an __index__ method");
    if (step == 0) step = c.type == VBT_INT ? c.u.i : c.u.b;
    if (step == 0) vbt_raise(t, "slice step cannot be zero");
    bool down = step < 0;
    int64_t from = bound(t, a, down ? n - 1 : 0, n, down), to = bound(t, b, down ? -1 : n, n, down);
    if (of.type == VBT_STR && step == 1) {
        size_t start = vbt_char_offset(of.u.s, (size_t)from);
        return vbt_part(t, of.u.s, start, to > from ? vbt_char_offset(of.u.s, (size_t)to) : start);
    }
    vbt_val chars = vbt_list_new(t, VBT_LIST, 0),
            out = vbt_list_new(t, of.type == VBT_STR ? VBT_LIST : of.type, 0);
    if (of.type == VBT_STR) vbt_chars(t, of.u.s, chars);
    const vbt_list *l = of.type == VBT_STR ? chars.u.list : of.u.list;
    vbt_steps(t, l->n);
    for (int64_t i = from; down ? i > to : i < to;) {
        vbt_list_add(t, out, l->v[i]);
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    if (of.type == VBT_RANGE) {
        out.u.list->start = of.u.list->start + from * of.u.list->step;
        out.u.list->stop = of.u.list->start + to * of.u.list->step;
        if (__builtin_mul_overflow(of.u.list->step, step, &out.u.list->step)) out.u.list->step = step;
    }
    if (of.type != VBT_STR) return out;
    vbt_buf text = {.t = t};
    for (size_t i = 0; i < out.u.list->n; i++) vbt_put_str(&text, out.u.list->v[i].u.s);
    return vbt_buf_value(&text);
}

/* ----------------------------------------------------------------------------------------------- paths */

static bool only_digits(const vbt_str *s) {
    for (size_t i = 0; i < s->n; i++)
        if (s->s[i] < '0' || s->s[i] > '9') return false;
    return s->n > 0;
}

vbt_val vbt_path(vbt *t, vbt_val of, vbt_val path) {
    if (path.type == VBT_NONE || path.type == VBT_MISSING) return of;
    if (path.type != VBT_STR) return vbt_item(t, of, path);
    const vbt_str *s = path.u.s;
    for (size_t from = 0; from <= s->n;) {
        const char *dot = memchr(s->s + from, '.', s->n - from);
        size_t to = dot ? (size_t)(dot - s->s) : s->n;
        vbt_val part = vbt_part(t, s, from, to);
        if (only_digits(part.u.s)) part = vbt_int_text(t, part.u.s->s, part.u.s->n, false);
        of = vbt_item(t, of, part);
        from = to + 1;
    }
    return of;
}
