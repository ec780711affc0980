/* parser.c - statements of a template: what stands between {% and %}. */
#include "chat/parse.h"

#include <string.h>

static vbt_node *statements(vbt_parser *p, const char *const *ends);

/* The body of a block and its end tag: up to one of `ends`, which is left for the caller to look at. */
static vbt_node *body(vbt_parser *p, const char *const *ends) {
    vbt_skip_op(p, ':'); /* as in Python */
    if (p->at->type != VBT_T_TAG_END) vbt_syntax(p, "expected the end of the tag");
    p->at++;
    vbt_enter(p->t);
    vbt_node *list = statements(p, ends);
    vbt_leave(p->t);
    if (p->at->type == VBT_T_END) vbt_syntax(p, "the template ends before {%% %s %%}", ends[0]);
    return list;
}

static vbt_node *body_to(vbt_parser *p, const char *end) {
    vbt_node *list = body(p, (const char *const[]){end, NULL});
    p->at++;
    return list;
}

/* ----------------------------------------------------------------------------------------- one by one */

static void no_loop_target(vbt_parser *p, const vbt_node *n) {
    if (n->kind == VBT_N_NAME && vbt_is(n->name, "loop"))
        vbt_syntax(p, "Can't assign to special loop variable in for-loop target");
    for (const vbt_node *e = n->kind == VBT_N_TUPLE ? n->list : NULL; e; e = e->next) no_loop_target(p, e);
}

static vbt_node *for_(vbt_parser *p) {
    vbt_node *n = vbt_node_new(p, VBT_N_FOR, p->at->line);
    p->at++;
    n->a = vbt_parse_target(p, false, "in");
    no_loop_target(p, n->a);
    if (!vbt_skip_name(p, "in")) vbt_syntax(p, "expected 'in'");
    n->b = vbt_parse_tuple(p, false, "recursive");
    if (vbt_skip_name(p, "if")) n->c = vbt_parse_expression(p, true);
    n->flag = vbt_skip_name(p, "recursive");
    p->loops++;
    n->list = body(p, (const char *const[]){"endfor", "else", NULL});
    p->loops--;
    if (vbt_skip_name(p, "else"))
        n->d = body_to(p, "endfor");
    else
        p->at++;
    return n;
}

/* if, and each elif, which is an if in the else of the one before. */
static vbt_node *if_(vbt_parser *p) {
    vbt_node *n = vbt_node_new(p, VBT_N_IF, p->at->line);
    p->at++;
    n->a = vbt_parse_tuple(p, false, NULL);
    n->list = body(p, (const char *const[]){"endif", "elif", "else", NULL});
    if (vbt_at_name(p, "elif")) {
        vbt_enter(p->t);
        n->b = if_(p);
        vbt_leave(p->t);
    } else if (vbt_skip_name(p, "else")) {
        n->b = body_to(p, "endif");
    } else {
        p->at++;
    }
    return n;
}

static vbt_node *set(vbt_parser *p) {
    vbt_node *n = vbt_node_new(p, VBT_N_SET, p->at->line);
    p->at++;
    n->a = vbt_parse_target(p, true, NULL);
    if (vbt_skip_op(p, '=')) {
        n->b = vbt_parse_tuple(p, true, NULL);
        return n;
    }
    n->kind = VBT_N_SET_BLOCK;
    n->b = vbt_parse_filters(p, NULL, false);
    n->list = body_to(p, "endset");
    return n;
}

/* "(a, b=1)": a chain of names, each with its default in `a`. */
static vbt_node *signature(vbt_parser *p) {
    vbt_node *list = NULL, **end = &list;
    bool defaults = false;
    vbt_expect_op(p, '(');
    while (!vbt_at_op(p, ')')) {
        if (list) vbt_expect_op(p, ',');
        vbt_node *n = vbt_node_new(p, VBT_N_NAME, p->at->line);
        n->name = vbt_expect_name(p);
        if (vbt_skip_op(p, '='))
            n->a = vbt_parse_expression(p, true);
        else if (defaults)
            vbt_syntax(p, "non-default argument follows default argument");
        defaults = defaults || n->a;
        for (const vbt_node *e = list; e; e = e->next)
            if (e->name == n->name) vbt_syntax(p, "an argument named twice");
        *end = n;
        end = &n->next;
    }
    p->at++;
    return list;
}

static vbt_node *macro(vbt_parser *p) {
    vbt_node *n = vbt_node_new(p, VBT_N_MACRO, p->at->line);
    int loops = p->loops;
    p->at++;
    n->name = vbt_expect_name(p);
    n->args = signature(p);
    p->loops = 0;
    n->list = body_to(p, "endmacro");
    p->loops = loops;
    return n;
}

static vbt_node *call_block(vbt_parser *p) {
    vbt_node *n = vbt_node_new(p, VBT_N_CALL_BLOCK, p->at->line);
    int loops = p->loops;
    p->at++;
    if (vbt_at_op(p, '(')) n->args = signature(p);
    n->a = vbt_parse_expression(p, true);
    if (n->a->kind != VBT_N_CALL) vbt_syntax(p, "expected call");
    p->loops = 0;
    n->list = body_to(p, "endcall");
    p->loops = loops;
    return n;
}

static vbt_node *filter_block(vbt_parser *p) {
    vbt_node *n = vbt_node_new(p, VBT_N_FILTER_BLOCK, p->at->line);
    p->at++;
    n->a = vbt_parse_filters(p, NULL, true);
    n->list = body_to(p, "endfilter");
    return n;
}

static vbt_node *with(vbt_parser *p) {
    vbt_node *n = vbt_node_new(p, VBT_N_WITH, p->at->line), **end = &n->args;
    p->at++;
    while (p->at->type != VBT_T_TAG_END && !vbt_at_op(p, ':')) {
        if (n->args) vbt_expect_op(p, ',');
        vbt_node *pair = vbt_node_new(p, VBT_N_PAIR, p->at->line);
        /* Jinja reads a tuple here, whose commas end at the =. */
        pair->a = vbt_parse_target(p, false, NULL);
        vbt_expect_op(p, '=');
        pair->b = vbt_parse_expression(p, true);
        *end = pair;
        end = &pair->next;
    }
    n->list = body_to(p, "endwith");
    return n;
}

static vbt_node *block(vbt_parser *p) {
    vbt_node *n = vbt_node_new(p, VBT_N_BLOCK, p->at->line);
    int loops = p->loops;
    p->at++;
    n->name = vbt_expect_name(p);
    if (vbt_at_name(p, "scoped") || vbt_at_name(p, "required"))
        vbt_syntax(p, "{%% block %%} with scoped or required is not supported");
    p->loops = 0;
    n->list = body_to(p, "endblock");
    p->loops = loops;
    if (p->at->type == VBT_T_NAME && p->at->value.u.s == n->name) p->at++;
    return n;
}

/* {% generation %}: what the model wrote, for training. Only its scope shows here. */
static vbt_node *generation(vbt_parser *p) {
    vbt_node *n = vbt_node_new(p, VBT_N_SCOPE, p->at->line);
    int loops = p->loops;
    p->at++;
    p->loops = 0;
    n->list = body_to(p, "endgeneration");
    p->loops = loops;
    return n;
}

static vbt_node *autoescape(vbt_parser *p) {
    vbt_node *n = vbt_node_new(p, VBT_N_SCOPE, p->at->line);
    p->at++;
    vbt_node *on = vbt_parse_expression(p, true);
    if (on->kind != VBT_N_CONST || vbt_truth(p->t, on->value))
        vbt_syntax(p, "{%% autoescape %%} with anything but false is not supported");
    n->list = body_to(p, "endautoescape");
    return n;
}

static vbt_node *jump(vbt_parser *p) {
    vbt_node *n = vbt_node_new(p, vbt_at_name(p, "break") ? VBT_N_BREAK : VBT_N_CONTINUE, p->at->line);
    if (p->loops == 0) vbt_syntax(p, "'%.*s' outside loop", (int)p->at->value.u.s->n, p->at->value.u.s->s);
    p->at++;
    return n;
}

/* {% print a, b %} */
static vbt_node *print(vbt_parser *p) {
    vbt_node *list = NULL, **end = &list;
    p->at++;
    while (p->at->type != VBT_T_TAG_END) {
        if (list) vbt_expect_op(p, ',');
        vbt_node *n = vbt_node_new(p, VBT_N_PRINT, p->at->line);
        n->a = vbt_parse_expression(p, true);
        *end = n;
        end = &n->next;
    }
    return list;
}

/* ----------------------------------------------------------------------------------------------- all */

static vbt_node *statement(vbt_parser *p) {
    static const struct {
        const char *tag;
        vbt_node *(*parse)(vbt_parser *p);
    } tags[] = {{"for", for_},
                {"if", if_},
                {"set", set},
                {"macro", macro},
                {"call", call_block},
                {"filter", filter_block},
                {"with", with},
                {"block", block},
                {"break", jump},
                {"continue", jump},
                {"print", print},
                {"generation", generation},
                {"autoescape", autoescape}};
    static const char *const left_out[] = {"extends", "include", "import", "from"};
    if (p->at->type != VBT_T_NAME) vbt_syntax(p, "tag name expected");
    const vbt_str *name = p->at->value.u.s;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (vbt_is(name, tags[i].tag)) return tags[i].parse(p);
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (vbt_is(name, left_out[i]))
            vbt_syntax(p, "{%% %s %%} is not supported: there is one template", left_out[i]);
    vbt_syntax(p, "Encountered unknown tag '%.*s'", (int)(name->n < 60 ? name->n : 60), name->s);
}

static bool at_one_of(const vbt_parser *p, const char *const *ends) {
    for (; ends && *ends; ends++)
        if (vbt_at_name(p, *ends)) return true;
    return false;
}

static vbt_node *statements(vbt_parser *p, const char *const *ends) {
    vbt_node *list = NULL, **end = &list;
    while (p->at->type != VBT_T_END) {
        vbt_node *n;
        if (p->at->type == VBT_T_DATA) {
            n = vbt_node_new(p, VBT_N_PRINT, p->at->line);
            n->a = vbt_node_new(p, VBT_N_CONST, p->at->line);
            n->a->value = (p->at++)->value;
        } else if (p->at->type == VBT_T_PRINT) {
            n = vbt_node_new(p, VBT_N_PRINT, (p->at++)->line);
            n->a = vbt_parse_tuple(p, true, NULL);
            if (p->at->type != VBT_T_PRINT_END) vbt_syntax(p, "expected the end of {{ }}");
            p->at++;
        } else {
            p->at++; /* {% */
            if (at_one_of(p, ends)) return list;
            n = statement(p);
            if (p->at->type != VBT_T_TAG_END) vbt_syntax(p, "expected the end of the tag");
            p->at++;
        }
        *end = n;
        while (*end) end = &(*end)->next;
    }
    return list;
}

vbt_node *vbt_parse(vbt *t, const char *text, size_t n) {
    vbt_parser p = {.t = t, .at = vbt_lex(t, text, n)};
    vbt_node *list = statements(&p, NULL);
    t->line = 0;
    return list;
}
