/* lm.c - a context as a vb_lm, and several models evaluated in one pass. */
#include "sampling/lm.h"

#include "engine/context.h"
#include "ref/mathf.h"

/* ---------------------------------------------------------------------- contexts */

static void context_eval(const vb_lm *const *m, vb_eval_item *items, size_t n) {
    for (size_t i = 0; i < n; i++) items[i].context = m[i]->self;
    vb_eval_many(items, n);
}
static const float *context_logits(void *self, size_t i) {
    return vb_logits(self, i);
}
static int context_truncate(void *self, int n, vb_error *err) {
    return vb_context_truncate(self, n, err);
}
static int context_keep(void *self, int n, const int32_t *rows, size_t k, vb_error *err) {
    return vb_context_keep(self, n, rows, k, err);
}
static int context_length(void *self) {
    return vb_context_length(self);
}
static vb_pool *context_pool(void *self) {
    const vb_context *c = self;
    return c->scratch->pool;
}

static const float *context_hidden(void *self, size_t i) {
    return vb_context_hidden(self, i);
}
static int context_want_hidden(void *self, int *width, vb_error *err) {
    vb_context *c = self;
    (void)err;
    vb_context_keep_hidden(c);
    *width = c->model->info.dim;
    return VB_OK;
}

static const vb_lm_kind context_kind = {.eval = context_eval,
                                        .logits = context_logits,
                                        .truncate = context_truncate,
                                        .keep = context_keep,
                                        .length = context_length,
                                        .hidden = context_hidden,
                                        .want_hidden = context_want_hidden,
                                        .pool = context_pool};

vb_lm vb_lm_context(vb_context *c) {
    return (vb_lm){.self = c,
                   .kind = &context_kind,
                   .n_vocab = vb_model_describe(vb_context_model(c))->n_vocab,
                   .n_ctx = vb_context_size(c)};
}

/* ---------------------------------------------------------------------- any */

void vb_lm_eval_many(const vb_lm *const *m, vb_eval_item *items, size_t n) {
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && m[to]->kind == m[from]->kind;) to++;
        m[from]->kind->eval(m + from, items + from, to - from);
    }
}

int vb_lm_eval(const vb_lm *m, const int32_t *tokens, size_t n, const uint8_t *want, vb_error *err) {
    vb_eval_item item = {.tokens = tokens, .n = n, .want = want, .err = err};
    m->kind->eval(&m, &item, 1);
    return item.code;
}

int vb_lm_want_hidden(const vb_lm *m, int *width, vb_error *err) {
    if (m->kind->want_hidden) return m->kind->want_hidden(m->self, width, err);
    return vb_fail(err, VB_ERR_UNSUPPORTED, "a drafter wants the target's hidden rows, and it has none");
}

int vb_lm_feed_by(const vb_lm *m, const int32_t *tokens, size_t n, vb_lm_piece_fn done, void *user,
                  vb_error *err) {
    static const uint8_t nothing[VB_LM_PIECE];
    const size_t before = vb_lm_length(m);
    int rc;
    if (n > (size_t)m->n_ctx - before)
        return vb_fail(err, VB_ERR_FULL, "%zu tokens do not fit: the context holds %zu of %d", n, before,
                       m->n_ctx);
    for (size_t i = 0; i < n;) {
        const size_t piece = n - i < VB_LM_PIECE ? n - i : VB_LM_PIECE;
        if ((rc = vb_lm_eval(m, tokens + i, piece, nothing, err)) ||
            (done && (rc = done(user, i, piece, err)))) {
            vb_lm_truncate(m, before, NULL);
            return rc;
        }
        i += piece;
    }
    return VB_OK;
}

int vb_lm_feed(const vb_lm *m, const int32_t *tokens, size_t n, vb_error *err) {
    return vb_lm_feed_by(m, tokens, n, NULL, NULL, err);
}

double vb_lm_sure(const float *logits, int32_t n, int32_t at) {
    const float mine = logits[at], least = mine - 12;
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        if (logits[i] >= least) sum += vb_exp((double)logits[i] - (double)mine);
    return 1 / sum;
}
