/* ffn.c - the other half of a layer: the gated feed-forward part [Shazeer 2002.05202], dense, or a mixture of
 * experts (experts.c), or both. */
#include "ref/pass.h"

/* x += what the heads found; then the norm that this part reads. */
static void after_attention_row(vb_pass *p, int row, int worker) {
    (void)worker;
    const vb_layer *l = &p->m->layers[p->layer];
    vb_pass_add_delta(p, l->attn.bo, l->post_attn_norm, row);
    vb_pass_normalize(p, p->x + (size_t)row * (size_t)p->m->info.dim, l->ffn_norm, l->ffn_norm_bias, row);
}

void vb_apply_gate(const vb_kernels *kernels, vb_gate gate, const float *g, const float *u, int n, float *h) {
    switch (gate) {
    case VB_SWIGLU: kernels->swiglu(g, u, n, h); break;
    case VB_GEGLU: kernels->geglu(g, u, n, h); break;
    case VB_SWIGLU_CLAMPED: kernels->swiglu_clamped(g, u, n, h); break;
    }
}

static void gate_row(vb_pass *p, int row, int worker) {
    const vb_ffn *f = &p->m->layers[p->layer].ffn;
    const size_t at = (size_t)row * (size_t)f->dim;
    vb_pass_add_bias(p, f->b_gate, f->dim, p->gate + at);
    vb_pass_add_bias(p, f->b_up, f->dim, p->up + at);
    vb_apply_gate(p->kernels, f->gate, p->gate + at, p->up + at, f->dim, p->hidden + at);
    vb_pass_quantize(p, row, worker);
}

/* delta (n, D) = w_down of what gate and up (n, F) have become */
static void dense_part(vb_pass *p) {
    const int F = p->m->layers[p->layer].ffn.dim;
    const vb_stage *down = vb_pass_stage(p, 3);
    vb_pass_input(p, p->hidden, p->n, F, down);
    p->run.each(p, p->n, gate_row); /* hidden (n, F) = act(gate)*up */
    vb_pass_observe(p, "ffn_hidden", F, p->hidden);
    p->run.multiply(p, down, &p->delta);
}

void vb_ffn_part(vb_pass *p) {
    const int D = p->m->info.dim;
    const vb_ffn *f = &p->m->layers[p->layer].ffn;
    const vb_stage *first = vb_pass_stage(p, 2); /* gate, up, router: those that there are */
    const bool dense = f->dim > 0, mixture = f->experts.n > 0;

    vb_pass_input(p, p->h, p->n, D, first);
    if (mixture) vb_experts_input(p);
    p->run.each(p, p->n, after_attention_row); /* x += delta, h (n, D) = norm(x) */
    vb_pass_observe(p, "attn_out", D, p->delta);
    vb_pass_observe(p, "ffn_norm", D, p->h);
    float *const with[] = {p->gate, p->up, p->moe.logits}, *const without[] = {p->moe.logits};
    p->run.multiply(p, first, dense ? with : without); /* gate, up (n, F); logits (n, experts) */

    if (mixture) vb_experts_choose(p); /* while h and its integers are there */
    if (dense) dense_part(p);          /* delta (n, D) */
    if (mixture) vb_experts_part(p);   /* delta (n, D): the experts' sum, and the shared one's */
}
