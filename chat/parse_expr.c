/* parse_expr.c - expressions of a template, by descent in Jinja's order of binding:
 *
 *   x if c else y;  or;  and;  not;  == != < <= > >= in, not in;  + -;  ~;  * / // %;  **;  unary - +;  . []
 * ();  | is */
#include "chat/parse.h"

#include <stdio.h>
#include <string.h>

vbt_node *vbt_node_new(vbt_parser *p, vbt_kind kind, int line) {
    vbt_node *n = vbt_alloc(p->t, sizeof *n);
    n->kind = kind;
    n->line = line;
    return n;
}

void vbt_syntax(vbt_parser *p, const char *format, ...) {
    char said[300];
    va_list ap;
    va_start(ap, format);
    vsnprintf(said, sizeof said, format, ap);
    va_end(ap);
    p->t->line = p->at->line;
    vbt_fail(p->t, VB_ERR_FORMAT, "%s", said);
}

bool vbt_at_op(const vbt_parser *p, int op) {
    return p->at->type == VBT_T_OP && p->at->op == op;
}

bool vbt_at_name(const vbt_parser *p, const char *name) {
    return p->at->type == VBT_T_NAME && vbt_is(p->at->value.u.s, name);
}

bool vbt_skip_op(vbt_parser *p, int op) {
    if (!vbt_at_op(p, op)) return false;
    p->at++;
    return true;
}

bool vbt_skip_name(vbt_parser *p, const char *name) {
    if (!vbt_at_name(p, name)) return false;
    p->at++;
    return true;
}

/* What stands where something else was expected. */
static const char *shown(const vbt_parser *p, char out[64]) {
    const vbt_token *x = p->at;
    switch (x->type) {
    case VBT_T_NAME:
        snprintf(out, 64, "'%.*s'", (int)(x->value.u.s->n < 50 ? x->value.u.s->n : 50), x->value.u.s->s);
        break;
    case VBT_T_OP:
        if (x->op < 256)
            snprintf(out, 64, "'%c'", x->op);
        else
            snprintf(out, 64, "'%.2s'", &"==!=<=>=//**"[2 * (x->op - VBT_OP_EQ)]);
        break;
    case VBT_T_STRING: return "a string";
    case VBT_T_NUMBER: return "a number";
    case VBT_T_TAG_END:
    case VBT_T_PRINT_END: return "the end of the tag";
    default: return "the end of the template";
    }
    return out;
}

void vbt_expect_op(vbt_parser *p, int op) {
    char what[64];
    if (!vbt_skip_op(p, op)) vbt_syntax(p, "expected '%c', found %s", op, shown(p, what));
}

const vbt_str *vbt_expect_name(vbt_parser *p) {
    char what[64];
    if (p->at->type != VBT_T_NAME) vbt_syntax(p, "expected a name, found %s", shown(p, what));
    return (p->at++)->value.u.s;
}

static void append(vbt_node ***end, vbt_node *n) {
    **end = n;
    *end = &n->next;
}

/* ---------------------------------------------------------------------------------------------- primary */

static vbt_node *constant(vbt_parser *p, vbt_val v) {
    vbt_node *n = vbt_node_new(p, VBT_N_CONST, p->at->line);
    n->value = v;
    return n;
}

static vbt_node *primary_name(vbt_parser *p, bool with_ns) {
    const vbt_token *x = p->at++;
    const vbt_str *s = x->value.u.s;
    vbt_node *n;
    if (vbt_is(s, "true") || vbt_is(s, "True")) return constant(p, vbt_bool(true));
    if (vbt_is(s, "false") || vbt_is(s, "False")) return constant(p, vbt_bool(false));
    if (vbt_is(s, "none") || vbt_is(s, "None")) return constant(p, vbt_none());
    n = vbt_node_new(p, VBT_N_NAME, x->line);
    n->name = s;
    if (with_ns && vbt_skip_op(p, '.')) {
        n->kind = VBT_N_NSREF;
        n->value.type = VBT_STR;
        n->value.u.s = vbt_expect_name(p);
    }
    return n;
}

static vbt_node *list_or_dict(vbt_parser *p, bool dict) {
    vbt_node *n = vbt_node_new(p, dict ? VBT_N_DICT : VBT_N_LIST, p->at->line), **end = &n->list;
    const int close = dict ? '}' : ']';
    p->at++;
    while (!vbt_at_op(p, close)) {
        if (n->list) vbt_expect_op(p, ',');
        if (vbt_at_op(p, close)) break;
        vbt_node *e = vbt_parse_expression(p, true);
        if (dict) {
            vbt_node *pair = vbt_node_new(p, VBT_N_PAIR, e->line);
            pair->a = e;
            vbt_expect_op(p, ':');
            pair->b = vbt_parse_expression(p, true);
            e = pair;
        }
        append(&end, e);
    }
    p->at++;
    return n;
}

static vbt_node *tuple(vbt_parser *p, bool with_if, const char *end, bool in_brackets, bool simple,
                       bool with_ns);

static vbt_node *primary(vbt_parser *p, bool with_ns) {
    char what[64];
    const vbt_token *x = p->at;
    vbt_node *n;
    switch (x->type) {
    case VBT_T_NAME: return primary_name(p, with_ns);
    case VBT_T_NUMBER: p->at++; return constant(p, x->value);
    case VBT_T_STRING: {
        vbt_val v = x->value;
        while ((++p->at)->type == VBT_T_STRING) v = vbt_join(p->t, v.u.s, p->at->value.u.s);
        return constant(p, v);
    }
    case VBT_T_OP:
        if (vbt_skip_op(p, '(')) {
            n = tuple(p, true, NULL, true, false, false);
            vbt_expect_op(p, ')');
            return n;
        }
        if (vbt_at_op(p, '[') || vbt_at_op(p, '{')) return list_or_dict(p, vbt_at_op(p, '{'));
        break;
    default: break;
    }
    vbt_syntax(p, "expected an expression, found %s", shown(p, what));
}

static bool at_tuple_end(const vbt_parser *p, const char *end) {
    return p->at->type == VBT_T_PRINT_END || p->at->type == VBT_T_TAG_END || vbt_at_op(p, ')') ||
           (end && vbt_at_name(p, end));
}

static vbt_node *tuple(vbt_parser *p, bool with_if, const char *end, bool in_brackets, bool simple,
                       bool with_ns) {
    char what[64];
    vbt_node *n = vbt_node_new(p, VBT_N_TUPLE, p->at->line), **last = &n->list;
    bool several = false;
    for (;;) {
        if (n->list) vbt_expect_op(p, ',');
        if (at_tuple_end(p, end)) break;
        append(&last, simple ? primary(p, with_ns) : vbt_parse_expression(p, with_if));
        if (!vbt_at_op(p, ',')) break;
        several = true;
    }
    if (several) return n;
    if (n->list) return n->list;
    if (!in_brackets) vbt_syntax(p, "expected an expression, found %s", shown(p, what));
    return n;
}

vbt_node *vbt_parse_tuple(vbt_parser *p, bool with_if, const char *end) {
    return tuple(p, with_if, end, false, false, false);
}

static void check_target(vbt_parser *p, const vbt_node *n) {
    if (n->kind == VBT_N_NAME && !vbt_is(n->name, "true")) return;
    if (n->kind == VBT_N_NSREF) return;
    if (n->kind != VBT_N_TUPLE) vbt_syntax(p, "this cannot be assigned to");
    for (const vbt_node *e = n->list; e; e = e->next) check_target(p, e);
}

vbt_node *vbt_parse_target(vbt_parser *p, bool with_ns, const char *end) {
    vbt_node *n = tuple(p, false, end, false, true, with_ns);
    check_target(p, n);
    return n;
}

/* ------------------------------------------------------------------------------------------ behind it */

/* "(...)" of a call: a chain of arguments. */
static vbt_node *arguments(vbt_parser *p) {
    vbt_node *list = NULL, **end = &list;
    bool named = false, star = false, stars = false;
    vbt_expect_op(p, '(');
    while (!vbt_at_op(p, ')')) {
        if (list) vbt_expect_op(p, ',');
        if (list && vbt_at_op(p, ')')) break;
        vbt_node *n = vbt_node_new(p, VBT_N_ARG, p->at->line);
        bool right = !stars;
        if (vbt_skip_op(p, '*')) {
            n->kind = VBT_N_LIST_ARG;
            right = right && !star;
            star = true;
        } else if (vbt_skip_op(p, VBT_OP_POW)) {
            n->kind = VBT_N_DICT_ARG;
            stars = true;
        } else if (p->at->type == VBT_T_NAME && p->at[1].type == VBT_T_OP && p->at[1].op == '=') {
            n->kind = VBT_N_NAMED_ARG;
            n->name = p->at->value.u.s;
            p->at += 2;
            named = true;
        } else {
            right = right && !named && !star;
        }
        if (!right) vbt_syntax(p, "invalid syntax for function call expression");
        n->a = vbt_parse_expression(p, true);
        append(&end, n);
    }
    p->at++;
    return list;
}

static vbt_node *slice_or_expression(vbt_parser *p) {
    vbt_node *n = vbt_node_new(p, VBT_N_SLICE, p->at->line), *first = NULL;
    if (!vbt_at_op(p, ':')) {
        first = vbt_parse_expression(p, true);
        if (!vbt_at_op(p, ':')) return first;
    }
    p->at++;
    n->a = first;
    if (!vbt_at_op(p, ':') && !vbt_at_op(p, ']') && !vbt_at_op(p, ',')) n->b = vbt_parse_expression(p, true);
    if (vbt_skip_op(p, ':') && !vbt_at_op(p, ']') && !vbt_at_op(p, ',')) n->c = vbt_parse_expression(p, true);
    return n;
}

static vbt_node *subscript(vbt_parser *p, vbt_node *of) {
    vbt_node *n = vbt_node_new(p, VBT_N_ITEM, p->at->line);
    n->a = of;
    if (vbt_skip_op(p, '.')) {
        if (p->at->type == VBT_T_NAME) {
            n->kind = VBT_N_ATTRIBUTE;
            n->name = (p->at++)->value.u.s;
            return n;
        }
        if (p->at->type != VBT_T_NUMBER || p->at->value.type == VBT_FLOAT)
            vbt_syntax(p, "expected name or number");
        n->b = constant(p, p->at->value);
        p->at++;
        return n;
    }
    p->at++;
    vbt_node *list = NULL, **end = &list;
    while (!vbt_at_op(p, ']')) {
        if (list) vbt_expect_op(p, ',');
        append(&end, slice_or_expression(p));
    }
    p->at++;
    if (list && !list->next) {
        n->b = list;
        return n;
    }
    for (const vbt_node *e = list; e; e = e->next)
        if (e->kind == VBT_N_SLICE) vbt_syntax(p, "slices with commas are not supported");
    n->b = vbt_node_new(p, VBT_N_TUPLE, n->line);
    n->b->list = list;
    return n;
}

static vbt_node *call(vbt_parser *p, vbt_node *of) {
    vbt_node *n = vbt_node_new(p, VBT_N_CALL, p->at->line);
    n->a = of;
    n->list = arguments(p);
    return n;
}

/* What follows an operand, one after the other, as long as `one` finds it there; it gives NULL if it does
 * not. Each nests the tree one deeper: counted against the depth. */
static vbt_node *chain(vbt_parser *p, vbt_node *n, vbt_node *(*one)(vbt_parser *p, vbt_node *n)) {
    const int depth = p->t->depth;
    for (vbt_node *next; (next = one(p, n)); vbt_enter(p->t)) n = next;
    p->t->depth = depth;
    return n;
}

static vbt_node *one_postfix(vbt_parser *p, vbt_node *n) {
    if (vbt_at_op(p, '.') || vbt_at_op(p, '[')) return subscript(p, n);
    return vbt_at_op(p, '(') ? call(p, n) : NULL;
}

static vbt_node *postfix(vbt_parser *p, vbt_node *n) {
    return chain(p, n, one_postfix);
}

/* A name with dots, as filters and tests may have. */
static const vbt_str *dotted(vbt_parser *p) {
    const vbt_str *s = vbt_expect_name(p);
    while (vbt_skip_op(p, '.')) {
        vbt_val dot = vbt_word(p->t, ".");
        s = vbt_join(p->t, vbt_join(p->t, s, dot.u.s).u.s, vbt_expect_name(p)).u.s;
    }
    return s;
}

vbt_node *vbt_parse_filters(vbt_parser *p, vbt_node *node, bool inline_start) {
    int depth = p->t->depth;
    while (inline_start || vbt_skip_op(p, '|')) {
        vbt_node *n = vbt_node_new(p, VBT_N_FILTER, p->at->line);
        vbt_enter(p->t);
        n->a = node;
        n->name = dotted(p);
        if (vbt_at_op(p, '(')) n->list = arguments(p);
        node = n;
        inline_start = false;
    }
    p->t->depth = depth;
    return node;
}

static bool starts_argument(const vbt_parser *p) {
    if (p->at->type == VBT_T_NAME)
        return !vbt_at_name(p, "else") && !vbt_at_name(p, "or") && !vbt_at_name(p, "and");
    return p->at->type == VBT_T_STRING || p->at->type == VBT_T_NUMBER || vbt_at_op(p, '[') ||
           vbt_at_op(p, '{');
}

static vbt_node *test(vbt_parser *p, vbt_node *of) {
    vbt_node *n = vbt_node_new(p, VBT_N_TEST, p->at->line), *not = NULL;
    p->at++; /* is */
    if (vbt_at_name(p, "not")) not = vbt_node_new(p, VBT_N_NOT, (p->at++)->line);
    n->a = of;
    n->name = dotted(p);
    if (vbt_at_op(p, '(')) {
        n->list = arguments(p);
    } else if (starts_argument(p)) {
        if (vbt_at_name(p, "is")) vbt_syntax(p, "You cannot chain multiple tests with is");
        n->list = vbt_node_new(p, VBT_N_ARG, p->at->line);
        n->list->a = postfix(p, primary(p, false));
    }
    if (not ) not ->a = n;
    return not ? not : n;
}

static vbt_node *one_filter_or_test(vbt_parser *p, vbt_node *n) {
    if (vbt_at_op(p, '|')) return vbt_parse_filters(p, n, false);
    if (vbt_at_name(p, "is")) return test(p, n);
    return vbt_at_op(p, '(') ? call(p, n) : NULL;
}

static vbt_node *filters_and_tests(vbt_parser *p, vbt_node *n) {
    return chain(p, n, one_filter_or_test);
}

/* ------------------------------------------------------------------------------------------ operators */

static vbt_node *unary(vbt_parser *p, bool with_filters) {
    vbt_node *n;
    vbt_enter(p->t);
    if (vbt_at_op(p, '-') || vbt_at_op(p, '+')) {
        n = vbt_node_new(p, VBT_N_NEGATE, p->at->line);
        n->flag = vbt_at_op(p, '-');
        p->at++;
        n->a = unary(p, false);
    } else {
        n = primary(p, false);
    }
    n = postfix(p, n);
    if (with_filters) n = filters_and_tests(p, n);
    vbt_leave(p->t);
    return n;
}

/* Operators of one strength, to the left: 0 is **, 1 * / // %, 3 + -; 2 is ~ with all its parts at once. */
static vbt_node *binary(vbt_parser *p, int level) {
    vbt_node *left = level == 0 ? unary(p, true) : binary(p, level - 1);
    int depth = p->t->depth;
    if (level == 2) {
        if (!vbt_at_op(p, '~')) return left;
        vbt_node *n = vbt_node_new(p, VBT_N_CONCAT, p->at->line), **end = &n->list;
        append(&end, left);
        while (vbt_skip_op(p, '~')) append(&end, binary(p, 1));
        return n;
    }
    for (;; vbt_enter(p->t)) {
        int op = p->at->type == VBT_T_OP ? p->at->op : 0;
        bool mine = level == 0   ? op == VBT_OP_POW
                    : level == 1 ? op == '*' || op == '/' || op == '%' || op == VBT_OP_FLOORDIV
                                 : op == '+' || op == '-';
        if (!mine) break;
        vbt_node *n = vbt_node_new(p, VBT_N_BINARY, p->at->line);
        p->at++;
        n->op = op == VBT_OP_POW ? 'p' : op == VBT_OP_FLOORDIV ? 'f' : op;
        n->a = left;
        n->b = level == 0 ? unary(p, true) : binary(p, level - 1);
        left = n;
    }
    p->t->depth = depth;
    return left;
}

/* The operator of a comparison at the parser, as its first letters: '<', 'l' (<=), '>', 'g' (>=), '=', '!',
 * 'i', 'n'. */
static int comparison(vbt_parser *p) {
    int op = 0;
    if (p->at->type == VBT_T_OP) {
        op = p->at->op == VBT_OP_EQ                 ? '='
             : p->at->op == VBT_OP_NE               ? '!'
             : p->at->op == VBT_OP_LE               ? 'l'
             : p->at->op == VBT_OP_GE               ? 'g'
             : p->at->op == '<' || p->at->op == '>' ? p->at->op
                                                    : 0;
    } else if (vbt_at_name(p, "in")) {
        op = 'i';
    } else if (vbt_at_name(p, "not") && p->at[1].type == VBT_T_NAME && vbt_is(p->at[1].value.u.s, "in")) {
        op = 'n';
        p->at++;
    }
    if (op) p->at++;
    return op;
}

static vbt_node *compare(vbt_parser *p) {
    vbt_node *left = binary(p, 3), *n = NULL, **end = NULL;
    int op;
    while ((op = comparison(p))) {
        if (!n) {
            n = vbt_node_new(p, VBT_N_COMPARE, left->line);
            n->a = left;
            end = &n->list;
        }
        vbt_node *part = vbt_node_new(p, VBT_N_COMPARE, p->at->line);
        part->op = op;
        part->b = binary(p, 3);
        append(&end, part);
    }
    return n ? n : left;
}

static vbt_node *not_(vbt_parser *p) {
    if (!vbt_at_name(p, "not")) return compare(p);
    vbt_node *n = vbt_node_new(p, VBT_N_NOT, (p->at++)->line);
    vbt_enter(p->t);
    n->a = not_(p);
    vbt_leave(p->t);
    return n;
}

static vbt_node *and_or(vbt_parser *p, bool or) {
    vbt_node *left = or ? and_or(p, false) : not_(p);
    int depth = p->t->depth;
    while (vbt_skip_name(p, or ? "or" : "and")) {
        vbt_node *n = vbt_node_new(p, or ? VBT_N_OR : VBT_N_AND, left->line);
        vbt_enter(p->t);
        n->a = left;
        n->b = or ? and_or(p, false) : not_(p);
        left = n;
    }
    p->t->depth = depth;
    return left;
}

vbt_node *vbt_parse_expression(vbt_parser *p, bool with_if) {
    vbt_enter(p->t);
    vbt_node *n = and_or(p, true);
    while (with_if && vbt_skip_name(p, "if")) {
        vbt_node *e = vbt_node_new(p, VBT_N_IF_ELSE, n->line);
        e->b = n;
        e->a = and_or(p, true);
        if (vbt_skip_name(p, "else")) e->c = vbt_parse_expression(p, true);
        n = e;
    }
    vbt_leave(p->t);
    return n;
}
