/* scope.c - which scope a name belongs to, decided before the template runs, as Jinja's compiler does.
 *
 * A name that a scope sets anywhere is the scope's own from its start: it begins as what an outer scope holds
 * under this name, or as nothing, and never falls back on the caller's variables, unless it is read before it
 * is set or set in a branch only. if has no scope of its own; loops, macros, with, blocks that capture have
 * one. */
#include "chat/names.h"
#include "chat/parse.h"

#include <string.h>

/* What a walk knows of the scope that it is in. `refs` is copied for each branch of an if. */
typedef struct walk {
    vbt *t;
    vbt_scope *scope;
    bool soft; /* in a branch: an unknown filter is an error only when it is reached */
} walk;

static vbt_ref *find(vbt_scope *s, const vbt_str *name) {
    for (size_t i = 0; i < s->n; i++)
        if (s->refs[i].name == name) return &s->refs[i];
    return NULL;
}

static bool outer_has(const vbt_scope *s, const vbt_str *name) {
    for (vbt_scope *o = s->outer; o; o = o->outer)
        if (find(o, name)) return true;
    return false;
}

static vbt_ref *add(walk *w, const vbt_str *name, vbt_load load, bool stored) {
    vbt_scope *s = w->scope;
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 8;
        vbt_ref *grown = vbt_alloc(w->t, cap * sizeof *grown);
        if (s->n > 0) memcpy(grown, s->refs, s->n * sizeof *grown);
        s->refs = grown;
        s->cap = cap;
    }
    vbt_steps(w->t, 1);
    s->refs[s->n] = (vbt_ref){name, load, stored};
    return &s->refs[s->n++];
}

static void load(walk *w, const vbt_str *name) {
    if (!find(w->scope, name) && !outer_has(w->scope, name)) add(w, name, VBT_LOAD_RESOLVE, false);
}

static void store(walk *w, const vbt_str *name) {
    vbt_ref *r = find(w->scope, name);
    if (r)
        r->stored = true;
    else
        add(w, name, outer_has(w->scope, name) ? VBT_LOAD_ALIAS : VBT_LOAD_UNDEFINED, true);
}

static void parameter(walk *w, const vbt_str *name) {
    vbt_ref *r = find(w->scope, name);
    if (!r) r = add(w, name, VBT_LOAD_PARAMETER, true);
    r->load = VBT_LOAD_PARAMETER;
    r->stored = true;
}

/* ------------------------------------------------------------------------------------------ expressions */

static void check_known(walk *w, const vbt_node *n) {
    bool known = n->kind == VBT_N_FILTER ? vbt_filter_known(n->name) : vbt_test_known(n->name);
    w->t->line = n->line;
    if (!known && !w->soft)
        vbt_fail(w->t, VB_ERR_FORMAT, "No %s named '%.*s'", n->kind == VBT_N_FILTER ? "filter" : "test",
                 (int)(n->name->n < 60 ? n->name->n : 60), n->name->s);
}

static void expression(walk *w, const vbt_node *n) {
    if (!n) return;
    vbt_enter(w->t);
    bool soft = w->soft;
    if (n->kind == VBT_N_NAME) load(w, n->name);
    if (n->kind == VBT_N_FILTER || n->kind == VBT_N_TEST) check_known(w, n);
    if (n->kind == VBT_N_IF_ELSE) w->soft = true;
    expression(w, n->a);
    expression(w, n->b);
    expression(w, n->c);
    for (const vbt_node *e = n->list; e; e = e->next) expression(w, e);
    w->soft = soft;
    vbt_leave(w->t);
}

static void target(walk *w, const vbt_node *n, bool as_parameter) {
    if (n->kind == VBT_N_NSREF)
        load(w, n->name);
    else if (n->kind == VBT_N_NAME)
        as_parameter ? parameter(w, n->name) : store(w, n->name);
    vbt_enter(w->t);
    for (const vbt_node *e = n->kind == VBT_N_TUPLE ? n->list : NULL; e; e = e->next)
        target(w, e, as_parameter);
    vbt_leave(w->t);
}

/* ------------------------------------------------------------------------------------------- statements
 *
 * Two walks: names of this scope first, all of it; then the scopes inside it, which see all of its
 * names. */

static void own_names(walk *w, const vbt_node *list);

/* What the branches set and the code before did not may stay unset: it starts as what is outside. */
static void branches(walk *w, const vbt_node *n) {
    vbt_scope *s = w->scope;
    bool soft = w->soft;
    w->soft = true;
    expression(w, n->a);
    vbt_scope before = *s, after[2];
    for (int i = 0; i < 2; i++) {
        vbt_scope copy = before;
        copy.cap = before.n; /* grows into memory of its own */
        copy.refs = vbt_alloc(w->t, (before.n + 1) * sizeof *copy.refs);
        if (before.n > 0) memcpy(copy.refs, before.refs, before.n * sizeof *copy.refs);
        *s = copy;
        own_names(w, i == 0 ? n->list : n->b);
        after[i] = *s;
    }
    *s = before;
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < after[i].n; k++) {
            const vbt_ref *a = &after[i].refs[k];
            vbt_ref *mine = find(s, a->name), was = mine ? *mine : (vbt_ref){.stored = false};
            if (!mine) mine = add(w, a->name, a->load, false);
            if (a->stored && !was.stored) {
                mine->stored = true;
                mine->load = outer_has(s, a->name) ? VBT_LOAD_ALIAS : VBT_LOAD_RESOLVE;
            }
        }
    }
    w->soft = soft;
}

static void own_names(walk *w, const vbt_node *list) {
    for (const vbt_node *n = list; n; n = n->next) {
        vbt_enter(w->t);
        switch (n->kind) {
        case VBT_N_PRINT: expression(w, n->a); break;
        case VBT_N_FOR: expression(w, n->b); break;
        case VBT_N_IF: branches(w, n); break;
        case VBT_N_SET:
            expression(w, n->b);
            target(w, n->a, false);
            break;
        case VBT_N_SET_BLOCK: target(w, n->a, false); break;
        case VBT_N_MACRO: store(w, n->name); break;
        case VBT_N_CALL_BLOCK:
        case VBT_N_FILTER_BLOCK: expression(w, n->a); break;
        case VBT_N_WITH:
            for (const vbt_node *e = n->args; e; e = e->next) expression(w, e->b);
            break;
        default: break;
        }
        vbt_leave(w->t);
    }
}

static void inner_scopes(vbt *t, vbt_scope *s, vbt_node *list);

static vbt_scope *scope_new(vbt *t, vbt_scope *outer) {
    vbt_scope *s = vbt_alloc(t, sizeof *s);
    s->outer = outer;
    return s;
}

/* Whether `name` is read in `n` or in anything inside it, where nothing in between declares it. */
static bool reads(vbt *t, const vbt_node *n, const char *name) {
    bool found = false;
    for (; n && !found; n = n->next) {
        vbt_enter(t);
        if (n->kind == VBT_N_NAME && vbt_is(n->name, name)) found = true;
        if (n->kind == VBT_N_NSREF && vbt_is(n->name, name)) found = true;
        if (n->kind != VBT_N_BLOCK)
            found = found || reads(t, n->a, name) || reads(t, n->b, name) || reads(t, n->c, name) ||
                    reads(t, n->d, name) || reads(t, n->list, name) || reads(t, n->args, name);
        vbt_leave(t);
    }
    return found;
}

static const vbt_str *word(vbt *t, const vbt_node *n, const char *name);

static void for_scopes(vbt *t, vbt_scope *s, vbt_node *n) {
    walk w = {t, scope_new(t, s), false};
    n->scope = w.scope;
    n->uses_loop = n->flag || reads(t, n->list, "loop");
    if (n->uses_loop && reads(t, n->list, "loop")) parameter(&w, word(t, n->list, "loop"));
    target(&w, n->a, true);
    own_names(&w, n->list);
    inner_scopes(t, n->scope, n->list);
    if (n->c) {
        w.scope = n->test_scope = scope_new(t, s);
        target(&w, n->a, true);
        expression(&w, n->c);
    }
    if (n->d) {
        w.scope = n->else_scope = scope_new(t, s);
        own_names(&w, n->d);
        inner_scopes(t, n->else_scope, n->d);
    }
}

static void macro_scopes(vbt *t, vbt_scope *s, vbt_node *n) {
    walk w = {t, scope_new(t, s), false};
    static const char *const special[] = {"caller", "kwargs", "varargs"};
    bool *const uses[] = {&n->uses_caller, &n->uses_kwargs, &n->uses_varargs};
    n->scope = w.scope;
    for (const vbt_node *e = n->args; e; e = e->next) {
        expression(&w, e->a);
        parameter(&w, e->name);
    }
    for (int i = 0; i < 3; i++) {
        const vbt_node *named = n->args;
        while (named && !vbt_is(named->name, special[i])) named = named->next;
        bool read = reads(t, n->list, special[i]);
        if (i == 0 && read && named && !named->a) {
            t->line = n->line;
            vbt_fail(t, VB_ERR_FORMAT,
                     "When defining macros or call blocks the special \"caller\" argument must be omitted or "
                     "be given "
                     "a default.");
        }
        *uses[i] = read && !named;
        if (*uses[i]) parameter(&w, word(t, n->list, special[i]));
    }
    own_names(&w, n->list);
    inner_scopes(t, n->scope, n->list);
}

/* The one object that stands for a name in the tree. */
static const vbt_str *word(vbt *t, const vbt_node *n, const char *name) {
    const vbt_str *found = NULL;
    for (; n && !found; n = n->next) {
        vbt_enter(t);
        if ((n->kind == VBT_N_NAME || n->kind == VBT_N_NSREF) && vbt_is(n->name, name)) found = n->name;
        const vbt_node *const parts[] = {n->a, n->b, n->c, n->d, n->list, n->args};
        for (size_t i = 0; i < 6 && !found; i++)
            if (parts[i]) found = word(t, parts[i], name);
        vbt_leave(t);
    }
    return found;
}

static void inner_scope(vbt *t, vbt_scope *s, vbt_node *n) {
    walk w = {t, NULL, false};
    switch (n->kind) {
    case VBT_N_FOR: for_scopes(t, s, n); break;
    case VBT_N_MACRO:
    case VBT_N_CALL_BLOCK: macro_scopes(t, s, n); break;
    case VBT_N_IF:
        inner_scopes(t, s, n->list);
        inner_scopes(t, s, n->b);
        break;
    case VBT_N_BLOCK: /* it sees what the caller passed in and the top sets */
    case VBT_N_SET_BLOCK:
    case VBT_N_FILTER_BLOCK:
    case VBT_N_SCOPE:
    case VBT_N_WITH:
        w.scope = n->scope = scope_new(t, n->kind == VBT_N_BLOCK ? NULL : s);
        for (const vbt_node *e = n->args; e; e = e->next) target(&w, e->a, true);
        if (n->kind == VBT_N_SET_BLOCK) expression(&w, n->b);
        own_names(&w, n->list);
        inner_scopes(t, n->scope, n->list);
        break;
    default: break;
    }
}

static void inner_scopes(vbt *t, vbt_scope *s, vbt_node *list) {
    for (vbt_node *n = list; n; n = n->next) {
        vbt_enter(t);
        inner_scope(t, s, n);
        vbt_leave(t);
    }
}

vbt_scope *vbt_find_scopes(vbt *t, vbt_node *body) {
    walk w = {t, scope_new(t, NULL), false};
    own_names(&w, body);
    inner_scopes(t, w.scope, body);
    t->line = 0;
    return w.scope;
}
