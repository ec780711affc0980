/* compare.c - equality, order and membership as Python has them; a stable sort. */
#include "chat/compare.h"

#include "chat/text.h"

#include <string.h>

/* ---------------------------------------------------------------------------------------------- numbers */

static vbt_val as_int(vbt_val v) {
    return v.type == VBT_BOOL ? vbt_int(v.u.b) : v;
}

/* -1, 0, 1 for an integer against a float; 2 if the float is not a number. Exact: a float of 2^53 or more is
 * an integer itself. */
static int int_against_float(int64_t i, double f) {
    if (f != f) return 2;
    if (f >= 9223372036854775808.0) return -1;
    if (f < -9223372036854775808.0) return 1;
    int64_t whole = (int64_t)f;
    if (i != whole) return i < whole ? -1 : 1;
    double part = f - (double)whole;
    return part > 0 ? -1 : part < 0 ? 1 : 0;
}

static int big_against_big(const vbt_str *a, const vbt_str *b) {
    bool minus_a = a->s[0] == '-', minus_b = b->s[0] == '-';
    if (minus_a != minus_b) return minus_a ? -1 : 1;
    int c = a->n != b->n ? (a->n < b->n ? -1 : 1) : memcmp(a->s, b->s, a->n);
    c = c < 0 ? -1 : c > 0;
    return minus_a ? -c : c;
}

/* Both are numbers. -1, 0, 1, or 2: not ordered. */
static int compare_numbers(vbt *t, vbt_val a, vbt_val b) {
    a = as_int(a), b = as_int(b);
    if (a.type == VBT_BIG || b.type == VBT_BIG) {
        if (vbt_is_decimal(a) || vbt_is_decimal(b))
            vbt_left_out(t, "comparing a number of a call's arguments that is kept as it was written");
        if (a.type == VBT_FLOAT || b.type == VBT_FLOAT)
            vbt_left_out(t, "comparing an integer beyond 64 bits with a float is not supported");
        if (a.type == VBT_INT) return b.u.s->s[0] == '-' ? 1 : -1;
        if (b.type == VBT_INT) return a.u.s->s[0] == '-' ? -1 : 1;
        return big_against_big(a.u.s, b.u.s);
    }
    if (a.type == VBT_INT && b.type == VBT_INT) return a.u.i < b.u.i ? -1 : a.u.i > b.u.i;
    if (a.type == VBT_INT) return int_against_float(a.u.i, b.u.f);
    if (b.type == VBT_INT) {
        int c = int_against_float(b.u.i, a.u.f);
        return c == 2 ? 2 : -c;
    }
    if (a.u.f != a.u.f || b.u.f != b.u.f) return 2;
    return a.u.f < b.u.f ? -1 : a.u.f > b.u.f;
}

/* By code point, which for UTF-8 is by byte. */
static int compare_text(vbt *t, const vbt_str *a, const vbt_str *b) {
    size_t n = a->n < b->n ? a->n : b->n;
    vbt_steps(t, n / 64);
    int c = n > 0 ? memcmp(a->s, b->s, n) : 0;
    if (c != 0) return c < 0 ? -1 : 1;
    return a->n < b->n ? -1 : a->n > b->n;
}

/* ------------------------------------------------------------------------------------------- equality */

bool vbt_is_decimal(vbt_val v) {
    return v.type == VBT_BIG && (memchr(v.u.s->s, '.', v.u.s->n) || memchr(v.u.s->s, 'e', v.u.s->n) ||
                                 memchr(v.u.s->s, 'E', v.u.s->n));
}

bool vbt_same(vbt_val a, vbt_val b) {
    if (a.type != b.type) return false;
    switch (a.type) {
    case VBT_MISSING:
    case VBT_NONE: return true;
    case VBT_BOOL: return a.u.b == b.u.b;
    case VBT_INT: return a.u.i == b.u.i;
    case VBT_FLOAT: return memcmp(&a.u.f, &b.u.f, sizeof a.u.f) == 0;
    case VBT_FUNCTION: return a.u.function == b.u.function;
    default: return a.u.s == b.u.s;
    }
}

/* Containers take an element for equal to itself before they compare: also NaN, which is one object for all
 * that JSON has. */
static bool equal_elements(vbt *t, vbt_val a, vbt_val b) {
    return (a.type == VBT_FLOAT && vbt_same(a, b)) || vbt_equal(t, a, b);
}

static bool equal_lists(vbt *t, const vbt_list *a, const vbt_list *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!equal_elements(t, a->v[i], b->v[i])) return false;
    return true;
}

static bool equal_dicts(vbt *t, const vbt_dict *a, const vbt_dict *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const vbt_val *other = vbt_dict_get(t, b, a->keys[i]);
        if (!other || !equal_elements(t, a->values[i], *other)) return false;
    }
    return true;
}

bool vbt_equal(vbt *t, vbt_val a, vbt_val b) {
    bool same = false;
    if (vbt_is_number(a) && vbt_is_number(b)) return compare_numbers(t, a, b) == 0;
    if (a.type != b.type) return false;
    vbt_enter(t);
    switch (a.type) {
    case VBT_UNDEFINED: same = true; break;
    case VBT_STR: same = compare_text(t, a.u.s, b.u.s) == 0; break;
    case VBT_LIST:
    case VBT_TUPLE:
    case VBT_RANGE: same = equal_lists(t, a.u.list, b.u.list); break;
    case VBT_DICT: same = equal_dicts(t, a.u.dict, b.u.dict); break;
    case VBT_VIEW: vbt_left_out(t, "comparing dict views is not supported; use the filter list");
    case VBT_METHOD:
        same = a.u.method->name == b.u.method->name && vbt_same(a.u.method->self, b.u.method->self);
        break;
    default: same = vbt_same(a, b);
    }
    vbt_leave(t);
    return same;
}

/* ----------------------------------------------------------------------------------------------- order */

bool vbt_ordered(vbt *t, vbt_val a, vbt_val b, const char *op) {
    int c = 2;
    vbt_need_defined(t, a);
    vbt_need_defined(t, b);
    if (vbt_is_number(a) && vbt_is_number(b)) {
        c = compare_numbers(t, a, b);
        if (c == 2) return false;
    } else if (a.type == VBT_STR && b.type == VBT_STR) {
        c = compare_text(t, a.u.s, b.u.s);
    } else if (a.type == b.type && (a.type == VBT_LIST || a.type == VBT_TUPLE)) {
        const vbt_list *x = a.u.list, *y = b.u.list;
        size_t i = 0, n = x->n < y->n ? x->n : y->n;
        vbt_enter(t);
        while (i < n && vbt_equal(t, x->v[i], y->v[i])) i++;
        if (i < n) {
            bool less = vbt_ordered(t, x->v[i], y->v[i], op);
            vbt_leave(t);
            return less;
        }
        vbt_leave(t);
        c = x->n < y->n ? -1 : x->n > y->n;
    } else if (a.type == VBT_VIEW && b.type == VBT_VIEW) {
        vbt_left_out(t, "comparing dict views is not supported; use the filter list");
    } else {
        vbt_raise(t, "'%s' not supported between instances of '%s' and '%s'", op, vbt_type_name(a),
                  vbt_type_name(b));
    }
    return op[0] == '<' ? (c < 0 || (op[1] && c == 0)) : (c > 0 || (op[1] && c == 0));
}

bool vbt_less(vbt *t, vbt_val a, vbt_val b) {
    return vbt_ordered(t, a, b, "<");
}

bool vbt_contains(vbt *t, vbt_val b, vbt_val a) {
    if (b.type == VBT_STR) {
        if (a.type != VBT_STR)
            vbt_raise(t, "'in <string>' requires string as left operand, not %s", vbt_type_name(a));
        return vbt_find(t, b.u.s, 0, b.u.s->n, a.u.s) != SIZE_MAX;
    }
    if (b.type == VBT_DICT) return vbt_dict_get(t, b.u.dict, a) != NULL;
    if (!vbt_is_sequence(b) && b.type != VBT_UNDEFINED)
        vbt_raise(t, "argument of type '%s' is not iterable", vbt_type_name(b));
    const vbt_list *l = vbt_elements(t, b);
    vbt_steps(t, l->n);
    for (size_t i = 0; i < l->n; i++)
        if (vbt_same(a, l->v[i]) || vbt_equal(t, a, l->v[i])) return true;
    return false;
}

/* ---------------------------------------------------------------------------------------------- sorting */

void vbt_sort(vbt *t, vbt_val *v, vbt_val *keys, size_t n, bool reverse) {
    if (n < 2) return;
    size_t half = n / 2;
    vbt_enter(t);
    vbt_sort(t, v, keys, half, reverse);
    vbt_sort(t, v + half, keys + half, n - half, reverse);
    vbt_leave(t);
    vbt_val *out = vbt_alloc(t, n * sizeof *out), *out_keys = vbt_alloc(t, n * sizeof *out_keys);
    for (size_t i = 0, a = 0, b = half; i < n; i++) {
        bool second = a == half;
        if (!second && b < n)
            second = reverse ? vbt_less(t, keys[a], keys[b]) : vbt_less(t, keys[b], keys[a]);
        size_t from = second ? b++ : a++;
        out[i] = v[from];
        out_keys[i] = keys[from];
    }
    memcpy(v, out, n * sizeof *out);
    memcpy(keys, out_keys, n * sizeof *out_keys);
}
