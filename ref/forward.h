/* forward.h - the one forward pass, and the memory that it works in. Internal: vb_eval calls it with the rows
 * of one context; a server may call it with rows of several, which share one reading of the weights. */
#ifndef VB_FORWARD_H
#define VB_FORWARD_H

#include "model.h"
#include "pool.h"

/* Keys and values of one sequence, float16 or float32. The row of head_dim values of (layer, kv_head,
 * position) starts at element ((layer*n_kv_heads + kv_head)*n_ctx + position)*head_dim of k and of v. */
typedef struct vb_cache {
    vb_type type; /* VB_F16 or VB_F32 */
    int n_ctx;
    void *k, *v; /* (layer, kv_head, position, head_dim) */
} vb_cache;

/* One token to evaluate. Rows that share a cache must come with ascending positions, without gaps. */
typedef struct vb_row {
    int32_t token;
    int32_t position;
    bool want; /* its logits */
    vb_cache *cache;
} vb_row;

/* Where a whole product may be computed instead (offload/). */
typedef struct vb_product_hook {
    void *self;
    /* True: y (x->rows, w->rows) is filled. False: y is not to be read; the kernels compute it. */
    bool (*multiply)(void *self, const vb_matrix *w, const vb_acts *x, float *y);
    /* VB_OK, or why no result of this workspace is to be believed any more. */
    int (*check)(void *self, vb_error *err);
} vb_product_hook;

typedef struct vb_workspace_params {
    const vb_kernels *kernels;
    vb_pool *pool;              /* NULL: one thread */
    int max_rows;               /* per call */
    int n_ctx;                  /* of the longest cache */
    int planes;                 /* 1: q8, 2: q16 */
    bool (*cancel)(void *user); /* asked before every layer; may be NULL */
    /* verbatim.h, vb_context_params.observe; only for rows of one cache. Positions count from rows[0]. May be
     * NULL. */
    void (*observe)(void *user, const char *what, int layer, int position, int rows, int cols,
                    const float *values);
    void *user;
    vb_product_hook offload; /* multiply may be NULL */
} vb_workspace_params;

typedef struct vb_workspace vb_workspace;

int vb_workspace_open(vb_workspace **out, const vb_model *m, const vb_workspace_params *p, vb_error *err);
void vb_workspace_close(vb_workspace *w);
uint64_t vb_workspace_bytes(const vb_workspace *w);

/* Evaluates rows[0..n), n <= max_rows: writes their keys and values into their caches and, for each wanted
 * row in order, its logits: logits is (wanted rows, n_vocab). Which rows share a call does not change a bit
 * (P1). Tokens and positions must be valid. Errors: VB_ERR_NUMERIC, VB_ERR_CANCELLED; the caches then hold
 * rubbish at the rows' positions. */
int vb_forward(vb_workspace *w, const vb_row *rows, int n, float *logits, vb_error *err);

#endif
