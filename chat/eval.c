/* eval.c - expressions of a template. */
#include "chat/compare.h"
#include "chat/names.h"
#include "chat/number.h"
#include "chat/repr.h"
#include "chat/run.h"

/* ----------------------------------------------------------------------------------------------- names */

vbt_val *vbt_find_name(vbt_frame *f, const vbt_str *name) {
    for (; f; f = f->outer)
        for (size_t i = 0; i < f->scope->n; i++)
            if (f->scope->refs[i].name == name && f->scope->refs[i].stored) return &f->v[i];
    return NULL;
}

/* What the caller passed in, or what every template knows. */
static vbt_val passed_in(vbt *t, const vbt_str *name) {
    const vbt_val *v = vbt_dict_get(t, t->variables, (vbt_val){.type = VBT_STR, .u.s = name});
    if (v) return *v;
    const vbt_function *f = vbt_global(name);
    return f ? (vbt_val){.type = VBT_FUNCTION, .u.function = f} : (vbt_val){.type = VBT_MISSING};
}

vbt_frame *vbt_frame_new(vbt *t, const vbt_scope *scope, vbt_frame *outer) {
    vbt_frame *f = vbt_alloc(t, sizeof *f);
    f->outer = outer;
    f->scope = scope;
    f->v = vbt_alloc(t, (scope->n + 1) * sizeof *f->v);
    for (size_t i = 0; i < scope->n; i++) {
        const vbt_ref *r = &scope->refs[i];
        if (!r->stored) continue;
        const vbt_val *there = r->load == VBT_LOAD_ALIAS ? vbt_find_name(outer, r->name) : NULL;
        if (there)
            f->v[i] = *there;
        else if (r->load == VBT_LOAD_RESOLVE || r->load == VBT_LOAD_ALIAS)
            f->v[i] = passed_in(t, r->name);
    }
    return f;
}

static vbt_val read_name(vbt *t, const vbt_str *name) {
    const vbt_val *place = vbt_find_name(t->frame, name);
    vbt_val v = place ? *place : passed_in(t, name);
    if (v.type == VBT_MISSING)
        return vbt_undefined(t, "'%.*s' is undefined", (int)(name->n < 100 ? name->n : 100), name->s);
    return v;
}

static void assign_ns(vbt *t, const vbt_node *n, vbt_val v) {
    const vbt_val *place = vbt_find_name(t->frame, n->name);
    vbt_val ns = place ? *place : passed_in(t, n->name);
    if (ns.type != VBT_NAMESPACE) vbt_raise(t, "cannot assign attribute on non-namespace object");
    vbt_dict_set(t, ns.u.dict, n->value, v);
}

void vbt_assign(vbt *t, const vbt_node *n, vbt_val v) {
    if (n->kind == VBT_N_NSREF) {
        assign_ns(t, n, v);
        return;
    }
    if (n->kind == VBT_N_NAME) {
        vbt_val *place = vbt_find_name(t->frame, n->name);
        if (place) *place = v; /* every name that is assigned to has one */
        return;
    }
    const vbt_list *l = vbt_elements(t, v);
    size_t i = 0, want = 0;
    for (const vbt_node *e = n->list; e; e = e->next) want++;
    if (l->n > want) vbt_raise(t, "too many values to unpack (expected %zu)", want);
    if (l->n < want) vbt_raise(t, "not enough values to unpack (expected %zu, got %zu)", want, l->n);
    vbt_enter(t);
    for (const vbt_node *e = n->list; e; e = e->next) vbt_assign(t, e, l->v[i++]);
    vbt_leave(t);
}

/* ----------------------------------------------------------------------------------------------- calls */

static vbt_val named_list(vbt *t) {
    return vbt_list_new(t, VBT_LIST, 0);
}

/* The arguments of a call, filter or test. */
static vbt_args arguments(vbt *t, const vbt_node *list, const vbt_val *caller) {
    vbt_args a = {0};
    if (!list && !caller) return a;
    vbt_val v = vbt_list_new(t, VBT_LIST, 4), names = named_list(t), values = named_list(t);
    for (const vbt_node *n = list; n; n = n->next) {
        vbt_val x = vbt_eval(t, n->a);
        if (n->kind == VBT_N_ARG) {
            vbt_list_add(t, v, x);
        } else if (n->kind == VBT_N_NAMED_ARG) {
            vbt_list_add(t, names, (vbt_val){.type = VBT_STR, .u.s = n->name});
            vbt_list_add(t, values, x);
        } else if (n->kind == VBT_N_LIST_ARG) {
            const vbt_list *l = vbt_elements(t, x);
            for (size_t i = 0; i < l->n; i++) vbt_list_add(t, v, l->v[i]);
        } else {
            if (x.type != VBT_DICT)
                vbt_raise(t, "argument after ** must be a mapping, not %s", vbt_type_name(x));
            for (size_t i = 0; i < x.u.dict->n; i++) {
                if (x.u.dict->keys[i].type != VBT_STR) vbt_raise(t, "keywords must be strings");
                vbt_list_add(t, names, x.u.dict->keys[i]);
                vbt_list_add(t, values, x.u.dict->values[i]);
            }
        }
    }
    if (caller) {
        vbt_list_add(t, names, vbt_word(t, "caller"));
        vbt_list_add(t, values, *caller);
    }
    a = (vbt_args){v.u.list->v, v.u.list->n, names.u.list->v, values.u.list->v, names.u.list->n};
    for (size_t i = 0; i < a.n_named; i++)
        for (size_t k = 0; k < i; k++)
            if (vbt_equal(t, a.names[i], a.names[k]))
                vbt_raise(t, "got multiple values for keyword argument '%.*s'",
                          (int)(a.names[i].u.s->n < 80 ? a.names[i].u.s->n : 80), a.names[i].u.s->s);
    return a;
}

static vbt_val eval_call(vbt *t, const vbt_node *n) {
    /* The value of a call node of {% call %} is its macro. */
    const vbt_val *caller = n->value.type == VBT_MACRO ? &n->value : NULL;
    vbt_val f = vbt_eval(t, n->a);
    vbt_args a = arguments(t, n->list, caller);
    t->line = n->line;
    return vbt_call(t, f, &a);
}

static vbt_val eval_filter(vbt *t, const vbt_node *n, vbt_val v) {
    vbt_args a = arguments(t, n->list, NULL);
    t->line = n->line;
    return vbt_filter(t, n->name, v, &a);
}

vbt_val vbt_apply_filters(vbt *t, const vbt_node *filters, vbt_val v) {
    if (!filters) return v;
    vbt_enter(t);
    v = eval_filter(t, filters, vbt_apply_filters(t, filters->a, v));
    vbt_leave(t);
    return v;
}

static vbt_val eval_test(vbt *t, const vbt_node *n) {
    vbt_val v = vbt_eval(t, n->a);
    vbt_args a = arguments(t, n->list, NULL);
    t->line = n->line;
    return vbt_bool(vbt_test(t, n->name, v, &a));
}

/* ------------------------------------------------------------------------------------------ operators */

static bool compared(vbt *t, int op, vbt_val a, vbt_val b) {
    switch (op) {
    case '=': return vbt_equal(t, a, b);
    case '!': return !vbt_equal(t, a, b);
    case '<': return vbt_ordered(t, a, b, "<");
    case 'l': return vbt_ordered(t, a, b, "<=");
    case '>': return vbt_ordered(t, a, b, ">");
    case 'g': return vbt_ordered(t, a, b, ">=");
    case 'i': return vbt_contains(t, b, a);
    default: return !vbt_contains(t, b, a);
    }
}

/* a < b < c: each is evaluated once, and no further than the first that is false. */
static vbt_val eval_compare(vbt *t, const vbt_node *n) {
    vbt_val left = vbt_eval(t, n->a);
    for (const vbt_node *part = n->list; part; part = part->next) {
        vbt_val right = vbt_eval(t, part->b);
        t->line = n->line;
        if (!compared(t, part->op, left, right)) return vbt_bool(false);
        left = right;
    }
    return vbt_bool(true);
}

static vbt_val eval_concat(vbt *t, const vbt_node *n) {
    vbt_buf b = {.t = t, .limit = VBT_OUTPUT_LIMIT};
    for (const vbt_node *e = n->list; e; e = e->next) vbt_put_value(&b, vbt_eval(t, e));
    return vbt_buf_value(&b);
}

static vbt_val eval_list(vbt *t, const vbt_node *n) {
    vbt_val list = vbt_list_new(t, n->kind == VBT_N_LIST ? VBT_LIST : VBT_TUPLE, 4);
    for (const vbt_node *e = n->list; e; e = e->next) vbt_list_add(t, list, vbt_eval(t, e));
    return list;
}

static vbt_val eval_dict(vbt *t, const vbt_node *n) {
    vbt_val dict = vbt_dict_new(t, 4);
    for (const vbt_node *e = n->list; e; e = e->next) {
        vbt_val key = vbt_eval(t, e->a);
        vbt_dict_set(t, dict.u.dict, key, vbt_eval(t, e->b));
    }
    return dict;
}

static vbt_val eval_item(vbt *t, const vbt_node *n) {
    vbt_val of = vbt_eval(t, n->a);
    if (n->b->kind != VBT_N_SLICE) {
        vbt_val key = vbt_eval(t, n->b);
        t->line = n->line;
        return vbt_item(t, of, key);
    }
    vbt_val a = n->b->a ? vbt_eval(t, n->b->a) : vbt_none(), b = n->b->b ? vbt_eval(t, n->b->b) : vbt_none(),
            c = n->b->c ? vbt_eval(t, n->b->c) : vbt_none();
    t->line = n->line;
    return vbt_slice(t, of, a, b, c);
}

static vbt_val eval_branch(vbt *t, const vbt_node *n) {
    if (vbt_truth(t, vbt_eval(t, n->a))) return vbt_eval(t, n->b);
    if (n->c) return vbt_eval(t, n->c);
    return vbt_undefined(
        t, "the inline if-expression on line %d evaluated to false and no else section was defined.",
        n->line);
}

static vbt_val eval_binary(vbt *t, const vbt_node *n) {
    vbt_val a = vbt_eval(t, n->a), b = vbt_eval(t, n->b);
    t->line = n->line;
    return vbt_binary(t, (char)n->op, a, b);
}

static vbt_val eval(vbt *t, const vbt_node *n) {
    vbt_val v;
    switch (n->kind) {
    case VBT_N_CONST: return n->value;
    case VBT_N_NAME: return read_name(t, n->name);
    case VBT_N_TUPLE:
    case VBT_N_LIST: return eval_list(t, n);
    case VBT_N_DICT: return eval_dict(t, n);
    case VBT_N_ATTRIBUTE:
        v = vbt_eval(t, n->a);
        t->line = n->line;
        return vbt_attribute(t, v, n->name);
    case VBT_N_ITEM: return eval_item(t, n);
    case VBT_N_CALL: return eval_call(t, n);
    case VBT_N_FILTER: v = vbt_eval(t, n->a); return eval_filter(t, n, v);
    case VBT_N_TEST: return eval_test(t, n);
    case VBT_N_IF_ELSE: return eval_branch(t, n);
    case VBT_N_AND: v = vbt_eval(t, n->a); return vbt_truth(t, v) ? vbt_eval(t, n->b) : v;
    case VBT_N_OR: v = vbt_eval(t, n->a); return vbt_truth(t, v) ? v : vbt_eval(t, n->b);
    case VBT_N_NOT: return vbt_bool(!vbt_truth(t, vbt_eval(t, n->a)));
    case VBT_N_COMPARE: return eval_compare(t, n);
    case VBT_N_BINARY: return eval_binary(t, n);
    case VBT_N_CONCAT: return eval_concat(t, n);
    case VBT_N_NEGATE:
        v = vbt_eval(t, n->a);
        t->line = n->line;
        return vbt_negate(t, v, n->flag);
    default: vbt_fail(t, VB_ERR_FORMAT, "this stands where a value is expected");
    }
}

vbt_val vbt_eval(vbt *t, const vbt_node *n) {
    vbt_enter(t);
    t->line = n->line;
    vbt_val v = eval(t, n);
    vbt_leave(t);
    return v;
}
