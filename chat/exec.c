/* exec.c - statements of a template: they write text and set names. */
#include "chat/names.h"
#include "chat/repr.h"
#include "chat/run.h"

vbt_val vbt_capture(vbt *t, const vbt_node *list) {
    vbt_buf b = {.t = t, .limit = VBT_OUTPUT_LIMIT}, *outer = t->text;
    t->text = &b;
    (void)vbt_exec(t, list);
    t->text = outer;
    return vbt_buf_value(&b);
}

static vbt_val capture_in(vbt *t, const vbt_scope *scope, const vbt_node *list) {
    vbt_frame *outer = t->frame;
    t->frame = vbt_frame_new(t, scope, outer);
    vbt_val v = vbt_capture(t, list);
    t->frame = outer;
    return v;
}

/* ----------------------------------------------------------------------------------------------- loops */

/* One more element into loop->passed; false at the end. The test runs when the element is asked for, as it
 * does in a generator: what the body sets may decide it. */
bool vbt_loop_fetch(vbt *t, vbt_loop *loop) {
    const vbt_node *n = loop->node;
    while (loop->taken < loop->source->n) {
        vbt_val v = loop->source->v[loop->taken++];
        bool through = true;
        vbt_steps(t, 1);
        if (n->c) {
            vbt_frame *before = t->frame;
            t->frame = vbt_frame_new(t, n->test_scope, loop->outer);
            vbt_assign(t, n->a, v);
            through = vbt_truth(t, vbt_eval(t, n->c));
            t->frame = before;
        }
        if (!through) continue;
        vbt_list_add(t, loop->passed, v);
        return true;
    }
    return false;
}

static vbt_flow else_branch(vbt *t, const vbt_node *n, vbt_frame *outer) {
    t->frame = vbt_frame_new(t, n->else_scope, outer);
    return vbt_exec(t, n->d);
}

/* Runs the body for each element. Jinja's else runs unless a body got to its end. */
vbt_val vbt_run_loop(vbt *t, vbt_loop *loop, bool capture) {
    const vbt_node *n = loop->node;
    vbt_frame *before = t->frame;
    vbt_buf b = {.t = t, .limit = VBT_OUTPUT_LIMIT}, *outer_text = t->text;
    bool got_through = false;
    if (capture) t->text = &b;
    loop->passed = vbt_list_new(t, VBT_LIST, 4);
    for (loop->index = 0; loop->index < loop->passed.u.list->n || vbt_loop_fetch(t, loop); loop->index++) {
        t->frame = vbt_frame_new(t, n->scope, loop->outer);
        vbt_assign(t, n->a, loop->passed.u.list->v[loop->index]);
        for (size_t i = 0; n->uses_loop && i < n->scope->n; i++)
            if (n->scope->refs[i].name && vbt_is(n->scope->refs[i].name, "loop"))
                t->frame->v[i] = (vbt_val){.type = VBT_LOOP, .u.loop = loop};
        vbt_flow flow = vbt_exec(t, n->list);
        if (flow == VBT_BREAK) break;
        if (flow == VBT_GO_ON) got_through = true;
    }
    if (!got_through && n->d) (void)else_branch(t, n, loop->outer);
    t->frame = before;
    t->text = outer_text;
    return vbt_buf_value(&b);
}

static void for_(vbt *t, const vbt_node *n) {
    vbt_loop *loop = vbt_alloc(t, sizeof *loop);
    vbt_val v = vbt_eval(t, n->b);
    loop->node = n;
    loop->outer = t->frame;
    loop->sized = !n->c;
    loop->changed = (vbt_val){.type = VBT_MISSING};
    t->line = n->line;
    loop->source = vbt_elements(t, v);
    (void)vbt_run_loop(t, loop, false);
}

/* ----------------------------------------------------------------------------------------------- others */

static vbt_val macro_value(vbt *t, const vbt_node *n) {
    vbt_macro *m = vbt_alloc(t, sizeof *m);
    m->node = n;
    m->outer = t->frame;
    return (vbt_val){.type = VBT_MACRO, .u.macro = m};
}

static void call_block(vbt *t, const vbt_node *n) {
    vbt_node call = *n->a;
    call.value = macro_value(t, n);
    vbt_put_value(t->text, vbt_eval(t, &call));
}

static void with(vbt *t, const vbt_node *n) {
    vbt_frame *outer = t->frame, *inner = vbt_frame_new(t, n->scope, outer);
    for (const vbt_node *e = n->args; e; e = e->next) {
        vbt_val v = vbt_eval(t, e->b);
        t->frame = inner;
        vbt_assign(t, e->a, v);
        t->frame = outer;
    }
    t->frame = inner;
}

/* A block sees what the top of the template sets, not the loop that it stands in. */
static vbt_flow block(vbt *t, const vbt_node *n) {
    vbt_frame *top = t->frame;
    while (top->outer) top = top->outer;
    t->frame = vbt_frame_new(t, n->scope, top);
    return vbt_exec(t, n->list);
}

static vbt_flow exec(vbt *t, const vbt_node *n) {
    vbt_frame *before = t->frame;
    vbt_flow flow = VBT_GO_ON;
    vbt_val v;
    switch (n->kind) {
    case VBT_N_PRINT: vbt_put_value(t->text, vbt_eval(t, n->a)); break;
    case VBT_N_FOR: for_(t, n); break;
    case VBT_N_IF: flow = vbt_exec(t, vbt_truth(t, vbt_eval(t, n->a)) ? n->list : n->b); break;
    case VBT_N_SET: vbt_assign(t, n->a, vbt_eval(t, n->b)); break;
    case VBT_N_SET_BLOCK:
        t->frame = vbt_frame_new(t, n->scope, before);
        v = vbt_capture(t, n->list);
        v = vbt_apply_filters(t, n->b, v);
        t->frame = before;
        vbt_assign(t, n->a, v);
        break;
    case VBT_N_MACRO: {
        vbt_val *place = vbt_find_name(t->frame, n->name);
        if (place) *place = macro_value(t, n);
        break;
    }
    case VBT_N_CALL_BLOCK: call_block(t, n); break;
    case VBT_N_FILTER_BLOCK:
        v = capture_in(t, n->scope, n->list);
        vbt_put_value(t->text, vbt_apply_filters(t, n->a, v));
        break;
    case VBT_N_WITH:
        with(t, n);
        flow = vbt_exec(t, n->list);
        break;
    case VBT_N_BLOCK: flow = block(t, n); break;
    case VBT_N_SCOPE:
        t->frame = vbt_frame_new(t, n->scope, before);
        flow = vbt_exec(t, n->list);
        break;
    case VBT_N_BREAK: return VBT_BREAK;
    case VBT_N_CONTINUE: return VBT_CONTINUE;
    default: vbt_fail(t, VB_ERR_FORMAT, "this stands where a statement is expected");
    }
    t->frame = before;
    return flow;
}

vbt_flow vbt_exec(vbt *t, const vbt_node *list) {
    vbt_flow flow = VBT_GO_ON;
    vbt_enter(t);
    for (const vbt_node *n = list; n && flow == VBT_GO_ON; n = n->next) {
        t->line = n->line;
        vbt_steps(t, 1);
        flow = exec(t, n);
    }
    vbt_leave(t);
    return flow;
}
