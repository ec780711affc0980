/* context.h - inside of a vb_context. Internal to the library. */
#ifndef VB_CONTEXT_H
#define VB_CONTEXT_H

#include "engine/cache.h"
#include "engine/tree.h"
#include "engine/workspace.h"

/* What the contexts of one model may share: threads, the memory of a forward pass, the logits of the last
 * one. Those who share it belong to one thread at a time, together. */
typedef struct vb_scratch {
    int users;
    int n_ctx; /* of the longest context it can serve */
    vb_pool *pool;
    vb_workspace *workspace;
    vb_executors executors;
    vb_offload_session *offload; /* NULL: none */
    vb_row *rows;                /* (batch) */
    float *logits; /* (logits_rows, n_vocab), grown when a call wants more rows than any before */
    size_t logits_rows;
    uint64_t call; /* number of the last evaluation: the logits of those before are gone */
} vb_scratch;

struct vb_context {
    const vb_model *model;
    vb_context_params params; /* with every 0 replaced by what was chosen */
    const vb_kernels *kernels;
    vb_scratch *scratch;
    bool opened_scratch; /* for this context first, so its bytes count here */
    vb_cache cache;
    int length; /* positions held; slots, while a tree is */
    vb_tree tree;
    bool takes_tree; /* the evaluation in progress is of it */

    int32_t *slot; /* (n_ctx) token i of the last call -> its row of logits, or -1 */
    size_t slots;  /* tokens in the last call */
    uint64_t call; /* its number, of scratch->call */

    bool keeps_hidden;
    float *hidden; /* (hidden_rows, dim) hidden rows of the last call's tokens, grown like the logits */
    size_t hidden_rows;
};

/* From now on `other` computes layers [first, last) of the passes of this context and of all that will share
 * its memory; it must outlive them. Before the first evaluation, and before another context shares. Nothing
 * shows which executor computed what (executor.h), so a pass is not observed meanwhile. */
int vb_context_delegate(vb_context *c, const vb_executor *other, int first, int last, vb_error *err);

/* From now on every evaluation leaves the hidden row of each of its tokens: the residual stream behind
 * the last layer, before the output norm. For drafters that read them. */
void vb_context_keep_hidden(vb_context *c);
/* (dim) of token i of the last evaluation; NULL if there is none. Valid until the next one of this
 * context. */
const float *vb_context_hidden(const vb_context *c, size_t i);

#endif
