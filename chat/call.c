/* call.c - calls: macros, loops that call themselves, and the functions that every template has. */
#include "chat/number.h"
#include "chat/repr.h"
#include "chat/run.h"

#include <string.h>

const vbt_val *vbt_named(const vbt_args *a, const char *name) {
    for (size_t i = 0; i < a->n_named; i++)
        if (vbt_is(a->names[i].u.s, name)) return &a->values[i];
    return NULL;
}

void vbt_bind(vbt *t, const char *what, const vbt_args *a, const char *names, size_t need, vbt_val *v) {
    char name[32];
    size_t n = 0, used = 0;
    for (const char *p = names; *p; n++) {
        size_t len = strcspn(p, " ");
        memcpy(name, p, len);
        name[len] = 0;
        p += len + (p[len] == ' ');
        const vbt_val *by_name = vbt_named(a, name);
        if (n < a->n && by_name) vbt_raise(t, "%s() got multiple values for argument '%s'", what, name);
        v[n] = n < a->n ? a->v[n] : by_name ? *by_name : (vbt_val){.type = VBT_MISSING};
        used += by_name != NULL;
        if (n < need && v[n].type == VBT_MISSING)
            vbt_raise(t, "%s() missing 1 required positional argument: '%s'", what, name);
    }
    if (a->n > n) vbt_raise(t, "%s() takes at most %zu arguments (%zu given)", what, n, a->n);
    if (used == a->n_named) return;
    for (size_t i = 0; i < a->n_named; i++) {
        const vbt_str *s = a->names[i].u.s;
        bool known = false;
        for (const char *p = names; *p;) {
            size_t len = strcspn(p, " ");
            known = known || (len == s->n && memcmp(p, s->s, len) == 0);
            p += len + (p[len] == ' ');
        }
        if (!known)
            vbt_raise(t, "%s() got an unexpected keyword argument '%.*s'", what, (int)(s->n < 80 ? s->n : 80),
                      s->s);
    }
}

/* ----------------------------------------------------------------------------------------------- macros */

static const char *macro_name(const vbt_macro *m, int *len) {
    *len = m->node->name ? (int)(m->node->name->n < 80 ? m->node->name->n : 80) : 6;
    return m->node->name ? m->node->name->s : "caller";
}

static vbt_val *slot(vbt_frame *f, const char *name) {
    for (size_t i = 0; i < f->scope->n; i++)
        if (f->scope->refs[i].name && vbt_is(f->scope->refs[i].name, name)) return &f->v[i];
    return NULL;
}

/* kwargs: what no argument took. Raises if the macro does not want them. */
static void rest_by_name(vbt *t, const vbt_macro *m, const vbt_args *a, const bool *taken, vbt_frame *f) {
    vbt_val rest = vbt_dict_new(t, 0);
    int len;
    const char *name = macro_name(m, &len);
    for (size_t i = 0; i < a->n_named; i++)
        if (!taken[i]) vbt_dict_set(t, rest.u.dict, a->names[i], a->values[i]);
    if (m->node->uses_kwargs) {
        *slot(f, "kwargs") = rest;
    } else if (rest.u.dict->n > 0) {
        const vbt_str *s = rest.u.dict->keys[0].u.s;
        vbt_raise(t, "macro '%.*s' takes no keyword argument '%.*s'", len, name, (int)(s->n < 80 ? s->n : 80),
                  s->s);
    }
}

static void rest_by_place(vbt *t, const vbt_macro *m, const vbt_args *a, size_t n_args, vbt_frame *f) {
    int len;
    const char *name = macro_name(m, &len);
    if (m->node->uses_varargs) {
        vbt_val rest = vbt_list_new(t, VBT_TUPLE, 0);
        for (size_t i = n_args; i < a->n; i++) vbt_list_add(t, rest, a->v[i]);
        *slot(f, "varargs") = rest;
    } else if (a->n > n_args) {
        vbt_raise(t, "macro '%.*s' takes not more than %zu argument(s)", len, name, n_args);
    }
}

vbt_val vbt_call_macro(vbt *t, const vbt_macro *m, const vbt_args *a) {
    const vbt_node *n = m->node;
    vbt_frame *f = vbt_frame_new(t, n->scope, m->outer), *before = t->frame;
    bool *taken = vbt_alloc(t, a->n_named + 1);
    size_t i = 0;
    for (const vbt_node *e = n->args; e; e = e->next, i++) {
        vbt_val *place = vbt_find_name(f, e->name);
        if (i < a->n) *place = a->v[i];
        for (size_t k = 0; i >= a->n && k < a->n_named; k++)
            if (vbt_same_text(a->names[k].u.s, e->name)) {
                *place = a->values[k];
                taken[k] = true;
            }
    }
    if (n->uses_caller) {
        vbt_val *place = slot(f, "caller");
        *place = vbt_undefined(t, "No caller defined");
        for (size_t k = 0; k < a->n_named; k++)
            if (!taken[k] && vbt_is(a->names[k].u.s, "caller")) {
                if (a->values[k].type != VBT_NONE) *place = a->values[k];
                taken[k] = true;
            }
    }
    rest_by_name(t, m, a, taken, f);
    rest_by_place(t, m, a, i, f);
    vbt_enter(t);
    t->frame = f;
    for (const vbt_node *e = n->args; e; e = e->next) {
        vbt_val *place = vbt_find_name(f, e->name);
        if (place->type != VBT_MISSING) continue;
        vbt_val v = e->a ? vbt_eval(t, e->a)
                         : vbt_undefined(t, "parameter '%.*s' was not provided",
                                         (int)(e->name->n < 80 ? e->name->n : 80), e->name->s);
        *place = v;
    }
    vbt_val v = vbt_capture(t, n->list);
    t->frame = before;
    vbt_leave(t);
    return v;
}

/* ------------------------------------------------------------------------------------------ functions */

static vbt_val range(vbt *t, const vbt_args *a) {
    int64_t start = 0, stop, step = 1;
    if (a->n_named) vbt_raise(t, "range() takes no keyword arguments");
    if (a->n == 0 || a->n > 3) vbt_raise(t, "range expected 1 to 3 arguments, got %zu", a->n);
    stop = vbt_need_int(t, a->v[a->n > 1], "range()");
    if (a->n > 1) start = vbt_need_int(t, a->v[0], "range()");
    if (a->n > 2) step = vbt_need_int(t, a->v[2], "range()");
    if (step == 0) vbt_raise(t, "range() arg 3 must not be zero");
    /* In 128 bits: the distance of two 64-bit numbers. */
    __extension__ typedef __int128 wide;
    wide span = step > 0 ? (wide)stop - start : (wide)start - stop,
         width = step > 0 ? (wide)step : -(wide)step;
    wide n = span > 0 ? (span + width - 1) / width : 0;
    if (n > VBT_RANGE_LIMIT)
        vbt_raise(t, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", VBT_RANGE_LIMIT);
    vbt_val v = vbt_list_new(t, VBT_RANGE, (size_t)n);
    vbt_steps(t, (uint64_t)n);
    for (int64_t i = 0; i < (int64_t)n; i++) vbt_list_add(t, v, vbt_int((int64_t)(start + (wide)i * step)));
    v.u.list->start = start, v.u.list->stop = stop, v.u.list->step = step;
    return v;
}

static void add_pair(vbt *t, vbt_val dict, vbt_val pair, size_t at) {
    if (!vbt_can_iterate(pair))
        vbt_raise(t, "cannot convert dictionary update sequence element #%zu to a sequence", at);
    const vbt_list *l = vbt_elements(t, pair);
    if (l->n != 2)
        vbt_raise(t, "dictionary update sequence element #%zu has length %zu; 2 is required", at, l->n);
    vbt_dict_set(t, dict.u.dict, l->v[0], l->v[1]);
}

static vbt_val dict(vbt *t, const vbt_args *a) {
    vbt_val d = vbt_dict_new(t, 0);
    if (a->n > 1) vbt_raise(t, "dict expected at most 1 argument, got %zu", a->n);
    if (a->n == 1 && (a->v[0].type == VBT_DICT)) {
        for (size_t i = 0; i < a->v[0].u.dict->n; i++)
            vbt_dict_set(t, d.u.dict, a->v[0].u.dict->keys[i], a->v[0].u.dict->values[i]);
    } else if (a->n == 1) {
        /* An Undefined has an attribute `keys` of no use: it raises. */
        vbt_need_defined(t, a->v[0]);
        const vbt_list *l = vbt_elements(t, a->v[0]);
        for (size_t i = 0; i < l->n; i++) add_pair(t, d, l->v[i], i);
    }
    for (size_t i = 0; i < a->n_named; i++) vbt_dict_set(t, d.u.dict, a->names[i], a->values[i]);
    return d;
}

static vbt_val namespace(vbt *t, const vbt_args *a) {
    vbt_val ns = dict(t, a);
    ns.type = VBT_NAMESPACE;
    return ns;
}

static vbt_val raise_exception(vbt *t, const vbt_args *a) {
    vbt_val message;
    vbt_bind(t, "raise_exception", a, "message", 1, &message);
    const vbt_str *s = vbt_str_of(t, message).u.s;
    vbt_raise(t, "%.*s", (int)(s->n < 800 ? s->n : 800), s->s);
}

static vbt_val strftime_now(vbt *t, const vbt_args *a) {
    vbt_val format;
    vbt_bind(t, "strftime_now", a, "format", 1, &format);
    if (format.type != VBT_STR)
        vbt_raise(t, "strftime() argument 1 must be str, not %s", vbt_type_name(format));
    if (t->render->bad_date) vbt_raise(t, "date: expected \"YYYY-MM-DD\" or \"YYYY-MM-DD HH:MM:SS\"");
    t->render->asked_date = true;
    return vbt_strftime(t, format.u.s, t->render->date);
}

static vbt_val cycler(vbt *t, const vbt_args *a) {
    vbt_cycler *c = vbt_alloc(t, sizeof *c);
    if (a->n_named) vbt_raise(t, "cycler() takes no keyword arguments");
    if (a->n == 0) vbt_raise(t, "at least one item has to be provided");
    c->v = (vbt_val *)(uintptr_t)a->v;
    c->n = a->n;
    return (vbt_val){.type = VBT_CYCLER, .u.cycler = c};
}

static vbt_val joiner(vbt *t, const vbt_args *a) {
    vbt_cycler *c = vbt_alloc(t, sizeof *c);
    c->v = vbt_alloc(t, sizeof *c->v);
    vbt_bind(t, "joiner", a, "sep", 0, c->v);
    if (c->v->type == VBT_MISSING) *c->v = vbt_word(t, ", ");
    c->n = 1;
    return (vbt_val){.type = VBT_JOINER, .u.cycler = c};
}

static vbt_val lipsum(vbt *t, const vbt_args *a) {
    (void)a;
    vbt_left_out(t, "lipsum() is not supported: its text is random");
}

const vbt_function *vbt_global(const vbt_str *name) {
    static const vbt_function functions[] = {{"range", range},         {"dict", dict},
                                             {"namespace", namespace}, {"raise_exception", raise_exception},
                                             {"cycler", cycler},       {"joiner", joiner},
                                             {"lipsum", lipsum},       {"strftime_now", strftime_now}};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (vbt_is(name, functions[i].name)) return &functions[i];
    return NULL;
}

/* ------------------------------------------------------------------------------------------- any call */

static vbt_val call_loop(vbt *t, const vbt_loop *loop, const vbt_args *a) {
    vbt_val over;
    vbt_bind(t, "loop", a, "iterable", 1, &over);
    if (!loop->node->flag)
        vbt_raise(t, "The loop must have the 'recursive' marker to be called recursively.");
    vbt_loop *inner = vbt_alloc(t, sizeof *inner);
    *inner = *loop;
    inner->taken = 0;
    inner->depth = loop->depth + 1;
    inner->changed = (vbt_val){.type = VBT_MISSING};
    inner->source = vbt_elements(t, over);
    vbt_enter(t);
    vbt_val v = vbt_run_loop(t, inner, true);
    vbt_leave(t);
    return v;
}

vbt_val vbt_call(vbt *t, vbt_val f, const vbt_args *a) {
    switch (f.type) {
    case VBT_FUNCTION: return f.u.function->call(t, a);
    case VBT_METHOD: return vbt_call_method(t, f.u.method->self, f.u.method->name, a);
    case VBT_MACRO: return vbt_call_macro(t, f.u.macro, a);
    case VBT_LOOP: return call_loop(t, f.u.loop, a);
    case VBT_JOINER:
        if (a->n || a->n_named) vbt_raise(t, "joiner() takes no arguments");
        return f.u.cycler->at++ ? f.u.cycler->v[0] : vbt_word(t, "");
    default: vbt_need_defined(t, f); vbt_raise(t, "'%s' object is not callable", vbt_type_name(f));
    }
}
