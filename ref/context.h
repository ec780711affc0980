/* context.h - inside of a vb_context. Internal to the library. */
#ifndef VB_CONTEXT_H
#define VB_CONTEXT_H

#include "session.h"

struct vb_context {
    const vb_model *model;
    vb_context_params params; /* with every 0 replaced by what was chosen */
    const vb_kernels *kernels;
    vb_pool *pool;
    vb_workspace *workspace;
    vb_offload_session *offload; /* NULL: none */
    vb_cache cache;
    uint64_t cache_bytes; /* of keys and values together */
    int length;           /* positions held */

    vb_row *rows;  /* (params.batch) */
    float *logits; /* (logits_rows, n_vocab), grown when a call wants more rows than any before */
    size_t logits_rows;
    int32_t *slot; /* (n_ctx) token i of the last call -> its row of logits, or -1 */
    size_t slots;  /* tokens in the last call */
};

#endif
