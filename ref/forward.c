/* forward.c - the forward pass of a pre-norm decoder, once, for everything: prompts, single tokens,
 * verification of drafts, batches of several sequences, and every architecture: it walks the layers' plans
 * (model.h) and does not know whose they are.
 *
 * References: RMSNorm: Zhang and Sennrich 1910.07467; the order of operations: docs/numerics.md. */
#include "ref/pass.h"

#include "gguf/unpack.h"

#include <string.h>

/* The row's RoPE angles, which layers share. */
static void turn_row(vb_pass *p, int row, int worker) {
    (void)worker;
    const vb_model *m = p->m;
    const vb_row *r = &p->rows[row];
    for (int i = 0; i < m->n_ropes; i++) {
        const size_t at = vb_pass_angles(p, i, row);
        vb_rope_angles(&m->ropes[i], r->cache->n_ctx, r->position, p->cosine + at, p->sine + at);
    }
}

/* x = embedding of the token, as float32, times the model's scale; and the angles. */
static void embed_row(vb_pass *p, int row, int worker) {
    const vb_model *m = p->m;
    const size_t t = (size_t)row, D = (size_t)m->info.dim;
    const vb_row *r = &p->rows[row];
    const uint8_t *weights = m->embd.data + (size_t)r->token * m->embd.row_bytes;
    vb_dequantize_row(m->embd.type, weights, D, p->x + t * D);
    const float scale = (float)m->embd_scale;
    for (size_t i = 0; i < D && scale != 1.0f; i++) p->x[t * D + i] = p->x[t * D + i] * scale;
    if (!vb_all_below(p->x + t * D, D, VB_BITS_NORM_LIMIT)) p->run.fail(p, VB_PASS_NOT_FINITE);
    turn_row(p, row, worker);
}

static void after_ffn_row(vb_pass *p, int row, int worker) {
    (void)worker;
    const vb_layer *l = &p->m->layers[p->layer];
    vb_pass_add_delta(p, l->ffn.b_down, l->post_ffn_norm, row);
}

static int check(vb_pass *p, vb_error *err) {
    vb_failure what = VB_PASS_FINE;
    const int rc = p->run.check(p, &what, err), first = p->rows[0].position,
              last = p->rows[p->n - 1].position;
    if (rc) return rc;
    switch (what) {
    case VB_PASS_FINE: break;
    case VB_PASS_NOT_FINITE:
        return vb_fail(
            err, VB_ERR_NUMERIC,
            "layer %d gave a value that is not finite at positions %d to %d: the weights are damaged or "
            "overflow float32",
            p->layer, first, last);
    case VB_PASS_KV_RANGE:
        return vb_fail(
            err, VB_ERR_NUMERIC,
            "layer %d gave a key or value beyond what the cache's type holds at positions %d to %d: use an "
            "F32 KV cache",
            p->layer, first, last);
    }
    return VB_OK;
}

/* One call per wanted row: they need not be neighbours. */
static void observe_wanted(vb_pass *p, const float *logits) {
    const size_t D = (size_t)p->m->info.dim, V = (size_t)vb_model_n_logits(p->m);
    size_t i = 0;
    for (int row = 0; row < p->n; row++) {
        if (!p->rows[row].want) continue;
        const int position = p->rows[row].position;
        p->observe(p->user, "output_norm", -1, position, 1, (int)D, p->h + i * D);
        p->observe(p->user, "logits", -1, position, 1, (int)V, logits + i * V);
        i++;
    }
}

/* logits (wanted, n_vocab) = Wout norm(x), of wanted rows only. */
static int output(vb_pass *p, float *logits, vb_error *err) {
    const vb_model *m = p->m;
    const size_t D = (size_t)m->info.dim, V = (size_t)vb_model_n_logits(m);
    const vb_stage *stage = &m->stages[m->n_stages - 1];
    int wanted = 0, i = 0;
    for (int row = 0; row < p->n; row++) wanted += p->rows[row].want;
    if (wanted == 0) return VB_OK;
    vb_pass_input(p, p->h, wanted, m->info.dim, stage);
    for (int row = 0; row < p->n; row++) {
        if (p->rows[row].want)
            vb_pass_normalize(p, p->x + (size_t)row * D, m->output_norm, m->output_norm_bias, i++);
    }
    p->run.multiply(p, stage, &logits);
    for (int row = 0; row < wanted; row++)
        vb_pass_add_bias(p, m->output_bias, (int)V, logits + (size_t)row * V);
    if (!vb_all_below(logits, (size_t)wanted * V, VB_BITS_INFINITE)) p->run.fail(p, VB_PASS_NOT_FINITE);
    if (m->logit_divisor != 1.0f) {
        for (size_t k = 0; k < (size_t)wanted * V; k++) logits[k] = logits[k] / m->logit_divisor;
    }
    if (m->logit_softcap > 0.0f) {
        for (int row = 0; row < wanted; row++)
            p->kernels->softcap(logits + (size_t)row * V, (int)V, m->logit_softcap);
    }
    const int rc = check(p, err);
    if (rc == VB_OK && p->observe) observe_wanted(p, logits);
    return rc;
}

/* x as another span left it. */
static void take_stream(vb_pass *p, const vb_pass_span *s) {
    memcpy(p->x, s->x, (size_t)s->n * (size_t)p->m->info.dim * sizeof *p->x);
    p->run.each(p, s->n, turn_row);
}

/* x for the span that follows, or the logits. */
static int leave(vb_pass *p, const vb_pass_span *s, vb_error *err) {
    const size_t D = (size_t)p->m->info.dim;
    p->layer = -1;
    if (s->last < p->m->info.n_layers) {
        memcpy(s->x, p->x, (size_t)s->n * D * sizeof *p->x);
        return VB_OK;
    }
    for (int row = 0; row < s->n; row++) {
        if (s->rows[row].hidden) memcpy(s->rows[row].hidden, p->x + (size_t)row * D, D * sizeof *p->x);
    }
    return output(p, s->logits, err);
}

int vb_forward(vb_pass *p, const vb_pass_span *s, vb_error *err) {
    const int D = p->m->info.dim, n = s->n;
    p->rows = s->rows;
    p->n = n;
    p->layer = -1;
    if (s->first == 0)
        p->run.each(p, n, embed_row); /* x (n, D) */
    else
        take_stream(p, s);
    vb_pass_observe(p, "embd", D, p->x);

    for (p->layer = s->first; p->layer < s->last; p->layer++) {
        if (p->cancel && p->cancel(p->user)) return vb_fail(err, VB_ERR_CANCELLED, "cancelled");
        vb_attention_part(p);             /* delta = attention(norm(x)) */
        vb_ffn_part(p);                   /* x += delta, delta = ffn(norm(x)) */
        p->run.each(p, n, after_ffn_row); /* x += delta */
        vb_pass_observe(p, "ffn_out", D, p->delta);
        vb_pass_observe(p, "layer_out", D, p->x);
        const int rc = check(p, err);
        if (rc) return rc;
    }
    return leave(p, s, err);
}
