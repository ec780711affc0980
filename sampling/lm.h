/* lm.h - a language model as speculation sees it: tokens in, logits out, positions that can be forgotten. One
 * seam, so that the loop that runs is also the loop that the law enumeration drives, with tables in place of
 * models. */
#ifndef VB_LM_H
#define VB_LM_H

#include "base/pool.h"

typedef struct vb_lm {
    void *self;
    int32_t n_vocab;
    int n_ctx; /* positions it can hold */
    /* As vb_eval, vb_logits, vb_context_truncate and vb_context_length. */
    int (*eval)(void *self, const int32_t *tokens, size_t n, const uint8_t *want, vb_error *err);
    const float *(*logits)(void *self, size_t i);
    int (*truncate)(void *self, int n, vb_error *err);
    int (*length)(void *self);
} vb_lm;

/* A context as vb_lm. */
vb_lm vb_lm_context(vb_context *c);

/* Several models' evaluations at once. */
typedef struct vb_lm_call {
    const vb_lm *lm;
    const int32_t *tokens; /* as the arguments of lm->eval */
    size_t n;
    const uint8_t *want;
    vb_error *err;
    int code; /* out: what lm->eval would have returned */
} vb_lm_call;

enum { VB_TOGETHER = 64 }; /* most sequences that one pass is shared by; more of them take several */

/* Evaluates calls[0..n), n <= VB_TOGETHER: contexts together (vb_eval_many), anything else one by one. */
void vb_lm_eval_many(vb_lm_call *calls, size_t n);

/* The threads of a context that is not evaluating; NULL for anything else. */
vb_pool *vb_lm_pool(const vb_lm *m);

/* Evaluates tokens without asking for logits, in pieces; on error the length is as before. */
int vb_lm_feed(const vb_lm *m, const int32_t *tokens, size_t n, vb_error *err);

#endif
