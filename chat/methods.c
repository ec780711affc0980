/* methods.c - which methods values have, and those of lists, dicts, cyclers and loops. methods_str.c has the
 * others. */
#include "chat/compare.h"
#include "chat/number.h"
#include "chat/run.h"

#include <string.h>

/* ---------------------------------------------------------------------------------------------- by name */

/* Each line: what is there, what Jinja's sandbox refuses because it changes its value, what Python has and
 * this does not. */
typedef struct method_table {
    const char *has, *unsafe, *left_out;
} method_table;

static const method_table str_methods = {" capitalize casefold center count endswith expandtabs find format "
                                         "index isalnum isalpha isascii isdecimal isdigit "
                                         "isidentifier islower isnumeric isprintable isspace istitle isupper "
                                         "join ljust lower lstrip partition removeprefix "
                                         "removesuffix replace rfind rindex rjust rpartition rsplit rstrip "
                                         "split splitlines startswith strip swapcase title "
                                         "upper zfill ",
                                         " ", " encode format_map maketrans translate "};
static const method_table list_methods = {" copy count index ",
                                          " append clear extend insert pop remove reverse sort ", " "};
static const method_table tuple_methods = {" count index ", " ", " "};
static const method_table dict_methods = {" copy get items keys values ",
                                          " clear pop popitem setdefault update ", " fromkeys "};
static const method_table view_methods = {" ", " ", " isdisjoint mapping "};
static const method_table iter_methods = {" ", " gi_frame gi_code ",
                                          " close send throw gi_running gi_suspended gi_yieldfrom "};
static const method_table int_methods = {" ", " ",
                                         " as_integer_ratio bit_count bit_length conjugate denominator "
                                         "from_bytes imag numerator real to_bytes is_integer "};
static const method_table float_methods = {" is_integer ", " ",
                                           " as_integer_ratio conjugate fromhex hex imag real "};
static const method_table loop_methods = {" changed cycle ", " ", " "};
static const method_table cycler_methods = {" next reset ", " ", " items pos "};
static const method_table no_methods = {" ", " ", " "};

static const method_table *table_of(vbt_val v) {
    switch (v.type) {
    case VBT_STR: return &str_methods;
    case VBT_LIST: return &list_methods;
    case VBT_TUPLE:
    case VBT_RANGE: return &tuple_methods;
    case VBT_DICT: return &dict_methods;
    case VBT_VIEW: return &view_methods;
    case VBT_ITER: return &iter_methods;
    case VBT_BOOL:
    case VBT_INT:
    case VBT_BIG: return &int_methods;
    case VBT_FLOAT: return &float_methods;
    case VBT_LOOP: return &loop_methods;
    case VBT_CYCLER: return &cycler_methods;
    default: return &no_methods;
    }
}

static bool listed(const char *words, const vbt_str *name, const char **found, char *out) {
    if (name->n == 0 || name->n > 30 || memchr(name->s, ' ', name->n)) return false;
    memcpy(out + 1, name->s, name->n);
    out[0] = ' ';
    out[name->n + 1] = ' ';
    out[name->n + 2] = 0;
    const char *p = strstr(words, out);
    if (p) *found = p + 1;
    return p != NULL;
}

vbt_known vbt_method_known(vbt_val of, const vbt_str *name, const char **found) {
    static const char *const double_underscore[] = {
        "__class__",    "__init__", "__doc__",    "__dict__",         "__len__",     "__str__",
        "__repr__",     "__eq__",   "__hash__",   "__getattribute__", "__getitem__", "__iter__",
        "__contains__", "__dir__",  "__reduce__", "__new__",          "__call__"};
    const method_table *m = table_of(of);
    char word[40];
    if (listed(m->has, name, found, word)) return VBT_HAS_METHOD;
    if (listed(m->unsafe, name, found, word)) return VBT_UNSAFE_METHOD;
    if (listed(m->left_out, name, found, word)) return VBT_LEFT_OUT_METHOD;
    for (size_t i = 0; i < sizeof double_underscore / sizeof *double_underscore; i++)
        if (vbt_is(name, double_underscore[i])) {
            *found = double_underscore[i];
            return VBT_UNSAFE_METHOD;
        }
    return VBT_NO_METHOD;
}

/* `name` starts a word of a table. */
static bool is(const char *name, const char *word) {
    size_t n = strlen(word);
    return strncmp(name, word, n) == 0 && (name[n] == ' ' || name[n] == 0);
}

static void count_args(vbt *t, const vbt_args *a, const char *name, size_t least, size_t most) {
    int n = (int)strcspn(name, " ");
    if (a->n_named) vbt_raise(t, "%.*s() takes no keyword arguments", n, name);
    if (a->n < least) vbt_raise(t, "%.*s expected at least %zu arguments, got %zu", n, name, least, a->n);
    if (a->n > most) vbt_raise(t, "%.*s expected at most %zu arguments, got %zu", n, name, most, a->n);
}

/* ----------------------------------------------------------------------------------------- containers */

static vbt_val view(vbt *t, const vbt_dict *d, const char *what) {
    vbt_val v = vbt_list_new(t, VBT_VIEW, d->n);
    v.u.list->view = what;
    for (size_t i = 0; i < d->n; i++)
        vbt_list_add(t, v,
                     !strcmp(what, "dict_keys")     ? d->keys[i]
                     : !strcmp(what, "dict_values") ? d->values[i]
                                                    : vbt_pair(t, d->keys[i], d->values[i]));
    return v;
}

static vbt_val dict_method(vbt *t, vbt_val self, const char *name, const vbt_args *a) {
    vbt_dict *d = self.u.dict;
    if (is(name, "get")) {
        count_args(t, a, name, 1, 2);
        const vbt_val *v = vbt_dict_get(t, d, a->v[0]);
        return v ? *v : a->n > 1 ? a->v[1] : vbt_none();
    }
    count_args(t, a, name, 0, 0);
    vbt_steps(t, d->n);
    if (is(name, "copy")) {
        vbt_val copy = vbt_dict_new(t, d->n);
        for (size_t i = 0; i < d->n; i++) vbt_dict_set(t, copy.u.dict, d->keys[i], d->values[i]);
        return copy;
    }
    return view(t, d, is(name, "items") ? "dict_items" : is(name, "keys") ? "dict_keys" : "dict_values");
}

static vbt_val list_method(vbt *t, vbt_val self, const char *name, const vbt_args *a) {
    const vbt_list *l = self.u.list;
    if (is(name, "copy")) {
        count_args(t, a, name, 0, 0);
        vbt_val copy = vbt_list_new(t, VBT_LIST, l->n);
        for (size_t i = 0; i < l->n; i++) vbt_list_add(t, copy, l->v[i]);
        return copy;
    }
    bool counts = is(name, "count");
    count_args(t, a, name, 1, counts || self.type == VBT_RANGE ? 1 : 3);
    int64_t n = (int64_t)l->n, from = a->n > 1 ? vbt_need_int(t, a->v[1], "index") : 0,
            to = a->n > 2 ? vbt_need_int(t, a->v[2], "index") : n, found = 0;
    if (from < 0) from = from < -n ? 0 : from + n;
    if (to < 0) to = to < -n ? 0 : to + n;
    for (int64_t i = from; i < to && i < n; i++) {
        if (!vbt_same(l->v[i], a->v[0]) && !vbt_equal(t, l->v[i], a->v[0])) continue;
        if (!counts) return vbt_int(i);
        found++;
    }
    if (!counts) vbt_raise(t, "the value is not in the %s", vbt_type_name(self));
    return vbt_int(found);
}

static vbt_val cycler_method(vbt *t, vbt_cycler *c, const char *name, const vbt_args *a) {
    count_args(t, a, name, 0, 0);
    if (is(name, "reset")) {
        c->at = 0;
        return vbt_none();
    }
    vbt_val v = c->v[c->at];
    c->at = (c->at + 1) % c->n;
    return v;
}

static vbt_val loop_method(vbt *t, vbt_loop *l, const char *name, const vbt_args *a) {
    count_args(t, a, name, 0, SIZE_MAX);
    if (is(name, "cycle")) {
        if (a->n == 0) vbt_raise(t, "no items for cycling given");
        return a->v[l->index % a->n];
    }
    vbt_val now = vbt_list_new(t, VBT_TUPLE, a->n);
    for (size_t i = 0; i < a->n; i++) vbt_list_add(t, now, a->v[i]);
    if (l->changed.type != VBT_MISSING && vbt_equal(t, l->changed, now)) return vbt_bool(false);
    l->changed = now;
    return vbt_bool(true);
}

vbt_val vbt_call_method(vbt *t, vbt_val self, const char *name, const vbt_args *a) {
    switch (self.type) {
    case VBT_STR: return vbt_str_method(t, self.u.s, name, a);
    case VBT_DICT: return dict_method(t, self, name, a);
    case VBT_CYCLER: return cycler_method(t, self.u.cycler, name, a);
    case VBT_LOOP: return loop_method(t, self.u.loop, name, a);
    case VBT_FLOAT:
        count_args(t, a, name, 0, 0);
        return vbt_bool(self.u.f - self.u.f == 0 && vbt_round(t, self.u.f, 0) == self.u.f);
    default: return list_method(t, self, name, a);
    }
}
