/* run.h - evaluating a template's tree. Internal. */
#ifndef VB_CHAT_RUN_H
#define VB_CHAT_RUN_H

#include "chat/parse.h"

/* The names of a scope while it runs. */
typedef struct vbt_frame {
    struct vbt_frame *outer;
    const vbt_scope *scope;
    vbt_val *v; /* (scope->n) */
} vbt_frame;

/* A for loop while it runs: elements are taken from `source` one by one, those that `test` lets through. */
typedef struct vbt_loop {
    const vbt_node *node;
    vbt_frame *outer; /* where the loop stands */
    const vbt_list *source;
    size_t taken;   /* of source */
    vbt_val passed; /* list: what came through so far */
    size_t index;   /* of the current one in passed */
    bool sized;     /* the source knows its length: no test */
    int depth;
    vbt_val changed; /* what loop.changed() saw last */
} vbt_loop;

typedef struct vbt_macro {
    const vbt_node *node;
    vbt_frame *outer; /* where it was defined */
} vbt_macro;

/* What a rendering is given besides its variables. */
typedef struct vbt_render {
    const int *date; /* year, month, day, hour, minute, second */
    bool today;      /* nobody gave a date */
    bool bad_date;   /* the one given is none */
    bool asked_date; /* the template asked for it */
} vbt_render;

/* eval.c */
vbt_val vbt_eval(vbt *t, const vbt_node *n);
vbt_frame *vbt_frame_new(vbt *t, const vbt_scope *scope, vbt_frame *outer);
/* The place of a name; NULL: no scope has one. */
vbt_val *vbt_find_name(vbt_frame *f, const vbt_str *name);
void vbt_assign(vbt *t, const vbt_node *target, vbt_val v);
/* The filters of a block, applied to v. */
vbt_val vbt_apply_filters(vbt *t, const vbt_node *filters, vbt_val v);

/* exec.c */
typedef enum vbt_flow { VBT_GO_ON, VBT_BREAK, VBT_CONTINUE } vbt_flow;
vbt_flow vbt_exec(vbt *t, const vbt_node *list);
/* The text that the statements write. */
vbt_val vbt_capture(vbt *t, const vbt_node *list);
vbt_val vbt_run_loop(vbt *t, vbt_loop *loop, bool capture);
bool vbt_loop_fetch(vbt *t, vbt_loop *loop);

/* call.c */
vbt_val vbt_call(vbt *t, vbt_val f, const vbt_args *a);
const vbt_function *vbt_global(const vbt_str *name);
const vbt_val *vbt_named(const vbt_args *a, const char *name);
/* Arguments by their names: `names` are words with spaces between, the first `need` of them must be there;
 * v[i] is VBT_MISSING where one is not. `what` is called. */
void vbt_bind(vbt *t, const char *what, const vbt_args *a, const char *names, size_t need, vbt_val *v);
vbt_val vbt_call_macro(vbt *t, const vbt_macro *m, const vbt_args *a);

/* attribute.c */
vbt_val vbt_attribute(vbt *t, vbt_val of, const vbt_str *name);
vbt_val vbt_item(vbt *t, vbt_val of, vbt_val key);
/* of[a:b:c]; VBT_NONE: not given */
vbt_val vbt_slice(vbt *t, vbt_val of, vbt_val a, vbt_val b, vbt_val c);
/* "a.b.0": attributes of attributes, as filters take them. */
vbt_val vbt_path(vbt *t, vbt_val of, vbt_val path);

/* methods.c: how Python stands to a method's name. */
typedef enum vbt_known { VBT_NO_METHOD, VBT_HAS_METHOD, VBT_UNSAFE_METHOD, VBT_LEFT_OUT_METHOD } vbt_known;
vbt_known vbt_method_known(vbt_val of, const vbt_str *name, const char **found);
vbt_val vbt_call_method(vbt *t, vbt_val self, const char *name, const vbt_args *a);
vbt_val vbt_str_method(vbt *t, const vbt_str *s, const char *name, const vbt_args *a);
/* datetime.strftime */
vbt_val vbt_strftime(vbt *t, const vbt_str *format, const int *date);

/* continue.c: puts a tag behind the last message's content among t->variables, and ends a rendered text where
 * it stands. */
vbt_val vbt_continue_mark(vbt *t, const vb_chat_request *q);
vbt_val vbt_continue_cut(vbt *t, const vbt_str *text, vbt_val tag);
/* reads.c: whether a tree takes this variable from the caller. */
bool vbt_reads(const vbt_node *body, const vbt_scope *scope, const char *name);

#endif
