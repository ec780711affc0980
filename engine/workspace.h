/* workspace.h - the memory of a forward pass, and how it is run: over the threads of a pool, with products
 * offloaded where a backend takes them. Internal: vb_eval_many calls it with the rows of one or more
 * contexts, which then share one reading of the weights. */
#ifndef VB_WORKSPACE_H
#define VB_WORKSPACE_H

#include "base/pool.h"
#include "engine/executor.h"
#include "offload/session.h"

typedef struct vb_workspace_params {
    const vb_kernels *kernels;
    vb_pool *pool;              /* NULL: one thread */
    int max_rows;               /* per call */
    int n_ctx;                  /* of the longest cache */
    int planes;                 /* 1: q8, 2: q16 */
    bool (*cancel)(void *user); /* vb_pass, as the next two */
    void (*observe)(void *user, const char *what, int layer, int position, int rows, int cols,
                    const float *values);
    void *user;
    vb_product_hook offload; /* multiply may be NULL */
} vb_workspace_params;

typedef struct vb_workspace vb_workspace;

int vb_workspace_open(vb_workspace **out, const vb_model *m, const vb_workspace_params *p, vb_error *err);
void vb_workspace_close(vb_workspace *w);
void vb_workspace_expert_stats(const vb_workspace *w, vb_expert_stats *out);

/* The CPU: vb_forward (ref/pass.h) in this memory. */
vb_executor vb_workspace_executor(vb_workspace *w);

#endif
