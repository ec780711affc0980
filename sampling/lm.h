/* lm.h - a language model as speculation sees it: tokens in, logits out, positions that can be forgotten. One
 * seam, so that the loop that runs is also the loop that the law enumeration drives, with tables in place of
 * models. */
#ifndef VB_LM_H
#define VB_LM_H

#include "base/pool.h"

enum { VB_TOGETHER = 64 }; /* most sequences that one pass is shared by; more of them take several */

typedef struct vb_lm vb_lm;

/* What models of one kind can do. */
typedef struct vb_lm_kind {
    /* items[i] for m[i], all of this kind, n <= VB_TOGETHER: as vb_eval_many, which a context's is. The field
     * `context` is filled in here where it means anything. */
    void (*eval)(const vb_lm *const *m, vb_eval_item *items, size_t n);
    /* As vb_logits, vb_context_truncate, vb_context_keep and vb_context_length. */
    const float *(*logits)(void *self, size_t i);
    int (*truncate)(void *self, int n, vb_error *err);
    int (*keep)(void *self, int n, const int32_t *rows, size_t k, vb_error *err); /* NULL: chains only */
    int (*length)(void *self);
    /* The hidden row after token i of the last evaluation, which vb_lm_want_hidden asked for. */
    const float *(*hidden)(void *self, size_t i);
    int (*want_hidden)(void *self, int *width, vb_error *err); /* NULL: it has none */
    /* Threads of a model that is not evaluating. NULL: none. */
    vb_pool *(*pool)(void *self);
} vb_lm_kind;

struct vb_lm {
    void *self;
    const vb_lm_kind *kind;
    int32_t n_vocab;
    int n_ctx; /* positions it can hold */
};

/* A context as vb_lm. */
vb_lm vb_lm_context(vb_context *c);

/* Evaluates items[i] by m[i], n <= VB_TOGETHER: models of one kind together. */
void vb_lm_eval_many(const vb_lm *const *m, vb_eval_item *items, size_t n);
/* As vb_eval. */
int vb_lm_eval(const vb_lm *m, const int32_t *tokens, size_t n, const uint8_t *want, vb_error *err);
/* From now on every evaluation leaves hidden rows; *width: floats in one. VB_ERR_UNSUPPORTED: it has none. */
int vb_lm_want_hidden(const vb_lm *m, int *width, vb_error *err);

static inline size_t vb_lm_length(const vb_lm *m) {
    return (size_t)m->kind->length(m->self);
}
static inline int vb_lm_truncate(const vb_lm *m, size_t n, vb_error *err) {
    return m->kind->truncate(m->self, (int)n, err);
}
static inline const float *vb_lm_logits(const vb_lm *m, size_t i) {
    return m->kind->logits(m->self, i);
}
static inline vb_pool *vb_lm_pool(const vb_lm *m) {
    return m->kind->pool ? m->kind->pool(m->self) : NULL;
}

enum { VB_LM_PIECE = 512 }; /* tokens of text in one evaluation */

/* How likely the id of logits[at] is at temperature 1, told from those of the n logits that are at most 12
 * below its own: what the others have is less than 6e-6 each, and most of the time of a whole softmax. */
double vb_lm_sure(const float *logits, int32_t n, int32_t at);

/* Evaluates tokens without asking for logits, in pieces; on error the length is as before. */
int vb_lm_feed(const vb_lm *m, const int32_t *tokens, size_t n, vb_error *err);
/* The same; after each piece `done` is told which of the tokens it was, and may read their hidden rows. */
typedef int (*vb_lm_piece_fn)(void *user, size_t from, size_t n, vb_error *err);
int vb_lm_feed_by(const vb_lm *m, const int32_t *tokens, size_t n, vb_lm_piece_fn done, void *user,
                  vb_error *err);

#endif
