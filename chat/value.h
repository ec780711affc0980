/* value.h - what a chat template computes with: values as Python has them, and the memory of one run.
 * Internal; docs/chat.md says what is executed.
 *
 *   value.c      memory, limits, errors; constructors of values; lists and dicts
 *   text.c       strings as code points; where each byte comes from
 *   unicode.c    what Python says about characters: case, white space, printable
 *   number.c     arithmetic, Python's int(), float(), round()
 *   repr.c       str() and repr()
 *   compare.c    ==, <, in, sorting
 *   json.c       JSON to values; tojson.c: values to JSON
 *   lexer.c      template text to tokens; parser.c, parse_expr.c: tokens to a tree; scope.c: which names a
 * scope sets eval.c, exec.c, call.c    expressions; statements; calls filters*.c, tests.c, methods*.c,
 * format.c   what templates call by name chat.c       the public functions; markers.c: prompt to ids
 *
 * All values of a run live in one arena, which is freed at its end: nothing is freed before, and a value is
 * never changed once others can see it. An error leaves the run at once through longjmp: there is nothing to
 * clean up on the way, so no function below returns an error code. */
#ifndef VB_CHAT_VALUE_H
#define VB_CHAT_VALUE_H

#include "base/base.h"

#include <setjmp.h>

/* ----------------------------------------------------------------------------------------------- limits
 *
 * A template is a stranger's program. Hitting one of these is an error that names it. */

#define VBT_TEMPLATE_LIMIT ((size_t)1 << 20)   /* bytes of a template */
#define VBT_OUTPUT_LIMIT   ((size_t)64 << 20)  /* bytes of a rendered prompt */
#define VBT_MEMORY_LIMIT   ((size_t)256 << 20) /* bytes of a run, and 32 for each byte that it is given */
#define VBT_STEP_LIMIT     ((uint64_t)50 * 1000 * 1000) /* nodes, elements, 64 bytes searched */
#define VBT_DEPTH_LIMIT    1000                         /* nested expressions, blocks, calls and values */
#define VBT_RANGE_LIMIT    100000                       /* numbers of a range(), Jinja's own limit */

struct vbt;

/* ----------------------------------------------------------------------------------------------- values */

typedef enum vbt_type {
    VBT_MISSING, /* no value: a name that was not set; never seen by a template */
    VBT_UNDEFINED,
    VBT_NONE,
    VBT_BOOL,
    VBT_INT,
    VBT_BIG, /* an integer beyond 64 bits: kept and printed, not computed with */
    VBT_FLOAT,
    VBT_STR,
    VBT_LIST,
    VBT_TUPLE,
    VBT_RANGE, /* a list that prints as range(a, b) */
    VBT_VIEW,  /* dict.items(), .keys(), .values(): has a length, no elements by number */
    VBT_ITER,  /* a generator: to be gone through once */
    VBT_DICT,
    VBT_NAMESPACE,
    VBT_LOOP,
    VBT_MACRO,
    VBT_METHOD,   /* a method of a value, not called yet */
    VBT_FUNCTION, /* range, namespace, raise_exception, ... */
    VBT_CYCLER,
    VBT_JOINER
} vbt_type;

/* A string: bytes, normally UTF-8. `given`: the conversation wrote it, not the template. If only parts are
 * given, `from` has a byte for each byte of s: 1 where it is given. */
typedef struct vbt_str {
    const char *s;
    size_t n;
    const uint8_t *from; /* NULL: all bytes are as `given` says */
    bool given;
    bool markup;  /* Markup of Jinja: the filters safe and escape make it */
    int8_t ascii; /* 1 yes, 0 no, -1 not looked at yet */
} vbt_str;

typedef struct vbt_val {
    vbt_type type;
    bool given; /* of numbers that a caller passed in; strings have their own */
    union {
        bool b;
        int64_t i;
        double f;
        const vbt_str *s; /* of VBT_BIG: its decimal text. Of VBT_UNDEFINED: what is said when it is used */
        struct vbt_list *list;
        struct vbt_dict *dict;
        struct vbt_loop *loop;
        struct vbt_macro *macro;
        struct vbt_method *method;
        const struct vbt_function *function;
        struct vbt_cycler *cycler;
    } u;
} vbt_val;

typedef struct vbt_list {
    vbt_val *v;
    size_t n, cap;
    int64_t start, stop, step; /* VBT_RANGE: as it was made */
    const char *view;          /* VBT_VIEW: "dict_items", ... */
    bool used;                 /* VBT_ITER: its elements have been taken */
    void (*fill)(struct vbt *t,
                 struct vbt_list *l); /* VBT_ITER: makes the elements when they are asked for */
    void *how;                        /* for fill */
} vbt_list;

typedef struct vbt_dict {
    vbt_val *keys, *values; /* in the order of insertion */
    size_t n, cap;
    uint32_t *slots; /* open addressing over keys, entry + 1; NULL while there are few */
    size_t n_slots;
} vbt_dict;

typedef struct vbt_cycler {
    vbt_val *v; /* joiner: v[0] is the separator */
    size_t n, at;
} vbt_cycler;

/* Arguments of a call. */
typedef struct vbt_args {
    const vbt_val *v;
    size_t n;
    const vbt_val *names, *values; /* (n_named) */
    size_t n_named;
} vbt_args;

typedef struct vbt_function {
    const char *name;
    vbt_val (*call)(struct vbt *t, const vbt_args *a);
} vbt_function;

typedef struct vbt_method {
    vbt_val self;
    const char *name;
} vbt_method;

/* ---------------------------------------------------------------------------------------------- one run */

typedef struct vbt_block {
    struct vbt_block *before;
    size_t size;
} vbt_block;

/* The reading of a template, or one rendering. */
typedef struct vbt {
    vbt_block *blocks;
    char *at;
    size_t room;        /* bytes left at `at` */
    size_t used, limit; /* bytes of all blocks */
    uint64_t steps;
    int depth;
    int line; /* of the template, where it is read or evaluated */
    const char *file;
    vb_error *err;
    int rc;
    jmp_buf out;
    struct vbt_render *render; /* of a rendering: the time */
    const vbt_dict *variables;
    struct vbt_frame *frame;
    struct vbt_buf *text; /* where output goes */
} vbt;

/* Ends the run with an error: "FILE, line N: ...". */
_Noreturn void vbt_fail(vbt *t, int code, const char *format, ...) VB_PRINTF(3, 4);
/* What Jinja2 would raise. */
#define vbt_raise(t, ...) vbt_fail(t, VB_ERR_ARGUMENT, __VA_ARGS__)
/* What Jinja2 does and this does not. */
#define vbt_left_out(t, ...) vbt_fail(t, VB_ERR_UNSUPPORTED, __VA_ARGS__)

void *vbt_alloc(vbt *t, size_t n); /* zeroed */
void vbt_free_all(vbt *t);
void vbt_steps(vbt *t, uint64_t n);
/* Around everything that calls itself. */
void vbt_enter(vbt *t);
static inline void vbt_leave(vbt *t) {
    t->depth--;
}

/* ----------------------------------------------------------------------------------------------- making */

static inline vbt_val vbt_none(void) {
    return (vbt_val){.type = VBT_NONE};
}
static inline vbt_val vbt_bool(bool b) {
    return (vbt_val){.type = VBT_BOOL, .u.b = b};
}
static inline vbt_val vbt_int(int64_t i) {
    return (vbt_val){.type = VBT_INT, .u.i = i};
}
static inline vbt_val vbt_float(double f) {
    return (vbt_val){.type = VBT_FLOAT, .u.f = f};
}
/* An Undefined that says this when it is used for anything but printing, looping and asking. */
vbt_val vbt_undefined(vbt *t, const char *format, ...) VB_PRINTF(2, 3);
vbt_val vbt_list_new(vbt *t, vbt_type type, size_t cap);
void vbt_list_add(vbt *t, vbt_val list, vbt_val v);
/* A generator whose elements `fill` makes. */
vbt_val vbt_iter_new(vbt *t, void (*fill)(vbt *t, vbt_list *l), void *how);
vbt_val vbt_pair(vbt *t, vbt_val a, vbt_val b); /* a tuple */
vbt_val vbt_dict_new(vbt *t, size_t cap);
/* A key that is there keeps its place. Errors: keys that Python cannot hash. */
void vbt_dict_set(vbt *t, vbt_dict *d, vbt_val key, vbt_val value);
const vbt_val *vbt_dict_get(vbt *t, const vbt_dict *d, vbt_val key); /* NULL: it is not there */
const vbt_val *vbt_dict_name(vbt *t, const vbt_dict *d, const char *name);

static inline bool vbt_is_sequence(vbt_val v) { /* holds its elements in u.list */
    return v.type >= VBT_LIST && v.type <= VBT_ITER;
}
static inline bool vbt_is_number(vbt_val v) {
    return v.type >= VBT_BOOL && v.type <= VBT_FLOAT;
}
/* Python's name of its type: "str", "dict", "NoneType". */
const char *vbt_type_name(vbt_val v);
bool vbt_truth(vbt *t, vbt_val v);
/* The elements of anything that can be gone through; `what` is said in the error otherwise. */
const vbt_list *vbt_elements(vbt *t, vbt_val v);
bool vbt_can_iterate(vbt_val v);
/* len(); raises where Python does. */
size_t vbt_length(vbt *t, vbt_val v);
/* Undefined used for what it cannot do. */
void vbt_need_defined(vbt *t, vbt_val v);

#endif
