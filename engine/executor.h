/* executor.h - who computes the layers of a pass: the seam above the kernels and above the products that are
 * offloaded one by one (offload/offload.h). Internal.
 *
 * The CPU is one executor (engine/workspace.c). Another one may take a run of layers from it, or all of them:
 * a pass is then cut into spans (ref/pass.h), which are computed one after the other and hand the residual
 * stream on. Only executors of class bitwise fit in: every logit, hidden row and cache row has the bits of
 * the contract (ref/kernels.h, docs/numerics.md), whoever computed it.
 *
 * Where keys and values lie is the executor's own business while passes run. The rows' caches name the
 * sequence and give the layout; their memory is the host's copy. An executor that keeps rows elsewhere hears
 * when the host is about to read its copy, and when it has written it: sequences are copied, hashed, and
 * their trees cut down to a path by the host. */
#ifndef VB_EXECUTOR_H
#define VB_EXECUTOR_H

#include "ref/pass.h"

typedef struct vb_executor {
    const char *name;
    void *self;
    /* Its part of a pass: the span's layers lie within those that it was given. Errors as vb_forward's. */
    int (*compute)(void *self, const vb_pass_span *s, vb_error *err);
    /* The host is about to read slots [0, slots) of c, or has written slots [from, to): in the layers that
     * are the executor's. And c will be freed. NULL, all three: it computes in the host's copy. */
    void (*fetch)(void *self, const vb_cache *c, int slots);
    void (*written)(void *self, const vb_cache *c, int from, int to);
    void (*forget)(void *self, const vb_cache *c);
    uint64_t (*bytes)(const void *self); /* of host memory that it holds */
} vb_executor;

/* The executors of a context and of those that share its memory. */
typedef struct vb_executors {
    vb_executor cpu;
    vb_executor other; /* computes layers [first, last); first == last: there is none */
    int first, last;
    float *x; /* (max_rows, dim) the residual stream between spans */
} vb_executors;

/* `other` takes layers [first, last) of m from the CPU, in calls of at most max_rows rows. Memory for what
 * they hand on. */
int vb_executors_split(vb_executors *e, const vb_model *m, const vb_executor *other, int first, int last,
                       int max_rows, vb_error *err);
void vb_executors_close(vb_executors *e);
uint64_t vb_executors_bytes(const vb_executors *e, const vb_model *m, int max_rows);

/* The whole pass, span by span. */
int vb_executors_forward(const vb_executors *e, const vb_model *m, const vb_row *rows, int n, float *logits,
                         vb_error *err);

/* See vb_executor. */
void vb_executors_fetch(const vb_executors *e, const vb_cache *c, int slots);
void vb_executors_written(const vb_executors *e, const vb_cache *c, int from, int to);
void vb_executors_forget(const vb_executors *e, const vb_cache *c);

#endif
