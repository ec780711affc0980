/* tests.c - "x is name": the tests by name. */
#include "chat/compare.h"
#include "chat/names.h"
#include "chat/number.h"
#include "chat/repr.h"
#include "chat/run.h"

#include <string.h>

static bool callable(vbt_val v) {
    return v.type == VBT_MACRO || v.type == VBT_FUNCTION || v.type == VBT_METHOD || v.type == VBT_LOOP ||
           v.type == VBT_JOINER || v.type == VBT_UNDEFINED;
}

static bool sequence(vbt_val v) {
    return v.type == VBT_STR || v.type == VBT_LIST || v.type == VBT_TUPLE || v.type == VBT_RANGE ||
           v.type == VBT_DICT || v.type == VBT_UNDEFINED;
}

/* Tests of the value alone. -1: there is none of this name. */
static int simple(vbt *t, const vbt_str *name, vbt_val v) {
    if (vbt_is(name, "defined")) return v.type != VBT_UNDEFINED;
    if (vbt_is(name, "undefined")) return v.type == VBT_UNDEFINED;
    if (vbt_is(name, "none")) return v.type == VBT_NONE;
    if (vbt_is(name, "boolean")) return v.type == VBT_BOOL;
    if (vbt_is(name, "true")) return v.type == VBT_BOOL && v.u.b;
    if (vbt_is(name, "false")) return v.type == VBT_BOOL && !v.u.b;
    if (vbt_is(name, "integer")) return v.type == VBT_INT || (v.type == VBT_BIG && !vbt_is_decimal(v));
    if (vbt_is(name, "float")) return v.type == VBT_FLOAT;
    if (vbt_is(name, "number")) return vbt_is_number(v);
    if (vbt_is(name, "string")) return v.type == VBT_STR;
    if (vbt_is(name, "mapping")) return v.type == VBT_DICT;
    if (vbt_is(name, "sequence")) return sequence(v);
    if (vbt_is(name, "iterable")) return vbt_can_iterate(v);
    if (vbt_is(name, "callable")) return callable(v);
    if (vbt_is(name, "escaped")) return v.type == VBT_STR && v.u.s->markup;
    if (vbt_is(name, "lower")) return vbt_text_is(t, vbt_str_of(t, v).u.s, "islower");
    if (vbt_is(name, "upper")) return vbt_text_is(t, vbt_str_of(t, v).u.s, "isupper");
    if (vbt_is(name, "odd")) return vbt_equal(t, vbt_binary(t, '%', v, vbt_int(2)), vbt_int(1));
    if (vbt_is(name, "even")) return vbt_equal(t, vbt_binary(t, '%', v, vbt_int(2)), vbt_int(0));
    if (vbt_is(name, "filter")) return v.type == VBT_STR && vbt_filter_known(v.u.s);
    if (vbt_is(name, "test")) return v.type == VBT_STR && vbt_test_known(v.u.s);
    return -1;
}

/* Tests with one argument: the name of it, NULL if it has none. */
static const struct {
    const char *name;
    char op;
    const char *argument;
} with_argument[] = {{"divisibleby", '%', "num"}, {"sameas", 's', "other"},   {"in", 'i', "seq"},
                     {"==", '=', NULL},           {"eq", '=', NULL},          {"equalto", '=', NULL},
                     {"!=", '!', NULL},           {"ne", '!', NULL},          {">", '>', NULL},
                     {"gt", '>', NULL},           {"greaterthan", '>', NULL}, {"ge", 'g', NULL},
                     {">=", 'g', NULL},           {"<", '<', NULL},           {"lt", '<', NULL},
                     {"lessthan", '<', NULL},     {"<=", 'l', NULL},          {"le", 'l', NULL}};

static const char *const without[] = {"defined",  "undefined", "none",    "boolean", "true",    "false",
                                      "integer",  "float",     "number",  "string",  "mapping", "sequence",
                                      "iterable", "callable",  "escaped", "lower",   "upper",   "odd",
                                      "even",     "filter",    "test"};

bool vbt_test_known(const vbt_str *name) {
    for (size_t i = 0; i < sizeof with_argument / sizeof *with_argument; i++)
        if (vbt_is(name, with_argument[i].name)) return true;
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        if (vbt_is(name, without[i])) return true;
    return false;
}

static bool compared(vbt *t, char op, vbt_val v, vbt_val x) {
    switch (op) {
    case '%': return vbt_equal(t, vbt_binary(t, '%', v, x), vbt_int(0));
    case 's': return vbt_same(v, x);
    case 'i': return vbt_contains(t, x, v);
    case '=': return vbt_equal(t, v, x);
    case '!': return !vbt_equal(t, v, x);
    case '<': return vbt_ordered(t, v, x, "<");
    case 'l': return vbt_ordered(t, v, x, "<=");
    case '>': return vbt_ordered(t, v, x, ">");
    default: return vbt_ordered(t, v, x, ">=");
    }
}

bool vbt_test(vbt *t, const vbt_str *name, vbt_val v, const vbt_args *a) {
    for (size_t i = 0; i < sizeof with_argument / sizeof *with_argument; i++) {
        if (!vbt_is(name, with_argument[i].name)) continue;
        vbt_val x;
        if (!with_argument[i].argument && (a->n != 1 || a->n_named))
            vbt_raise(t, "%s expected 2 arguments, got %zu", with_argument[i].name, a->n + 1);
        vbt_bind(t, with_argument[i].name, a, with_argument[i].argument ? with_argument[i].argument : "b", 1,
                 &x);
        return compared(t, with_argument[i].op, v, x);
    }
    if (!vbt_test_known(name))
        vbt_raise(t, "No test named '%.*s' found.", (int)(name->n < 60 ? name->n : 60), name->s);
    if (a->n || a->n_named) vbt_raise(t, "the test %.*s takes no argument", (int)name->n, name->s);
    return simple(t, name, v) == 1;
}
