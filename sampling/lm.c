/* lm.c - a context as a vb_lm, and several of them evaluated in one pass. */
#include "sampling/lm.h"

#include "engine/context.h"

static int context_eval(void *self, const int32_t *tokens, size_t n, const uint8_t *want, vb_error *err) {
    return vb_eval(self, tokens, n, want, err);
}
static const float *context_logits(void *self, size_t i) {
    return vb_logits(self, i);
}
static int context_truncate(void *self, int n, vb_error *err) {
    return vb_context_truncate(self, n, err);
}
static int context_length(void *self) {
    return vb_context_length(self);
}

vb_lm vb_lm_context(vb_context *c) {
    return (vb_lm){.self = c,
                   .n_vocab = vb_model_describe(vb_context_model(c))->n_vocab,
                   .n_ctx = vb_context_size(c),
                   .eval = context_eval,
                   .logits = context_logits,
                   .truncate = context_truncate,
                   .length = context_length};
}

void vb_lm_eval_many(vb_lm_call *calls, size_t n) {
    vb_eval_item items[VB_TOGETHER];
    size_t n_items = 0;
    for (size_t i = 0; i < n; i++) {
        const vb_lm_call *c = &calls[i];
        if (c->lm->eval == context_eval)
            items[n_items++] = (vb_eval_item){
                .context = c->lm->self, .tokens = c->tokens, .n = c->n, .want = c->want, .err = c->err};
        else
            calls[i].code = c->lm->eval(c->lm->self, c->tokens, c->n, c->want, c->err);
    }
    if (n_items == 0) return;
    vb_eval_many(items, n_items);
    for (size_t i = n; i-- > 0;)
        if (calls[i].lm->eval == context_eval) calls[i].code = items[--n_items].code;
}

vb_pool *vb_lm_pool(const vb_lm *m) {
    return m->eval == context_eval ? ((const vb_context *)m->self)->scratch->pool : NULL;
}

#define PIECE 512

int vb_lm_feed(const vb_lm *m, const int32_t *tokens, size_t n, vb_error *err) {
    static const uint8_t nothing[PIECE];
    const int before = m->length(m->self);
    if (n > (size_t)(m->n_ctx - before))
        return vb_fail(err, VB_ERR_FULL, "%zu tokens do not fit: the context holds %d of %d", n, before,
                       m->n_ctx);
    for (size_t i = 0; i < n;) {
        const size_t piece = n - i < PIECE ? n - i : PIECE;
        int rc = m->eval(m->self, tokens + i, piece, nothing, err);
        if (rc) {
            m->truncate(m->self, before, NULL);
            return rc;
        }
        i += piece;
    }
    return VB_OK;
}
