/* ffn.c - the other half of a layer: the gated feed-forward part [Shazeer 2002.05202]. */
#include "ref/pass.h"

/* x += what the heads found; then the norm that this part reads. */
static void after_attention_row(vb_pass *p, int row, int worker) {
    (void)worker;
    const vb_layer *l = &p->m->layers[p->layer];
    vb_pass_add_delta(p, l->attn.bo, l->post_attn_norm, row);
    vb_pass_normalize(p, p->x + (size_t)row * (size_t)p->m->info.dim, l->ffn_norm, row);
}

static void gate_row(vb_pass *p, int row, int worker) {
    const vb_ffn *f = &p->m->layers[p->layer].ffn;
    const size_t at = (size_t)row * (size_t)f->dim;
    vb_pass_add_bias(p, f->b_gate, f->dim, p->gate + at);
    vb_pass_add_bias(p, f->b_up, f->dim, p->up + at);
    switch (f->gate) {
    case VB_SWIGLU: p->kernels->swiglu(p->gate + at, p->up + at, f->dim, p->hidden + at); break;
    case VB_GEGLU: p->kernels->geglu(p->gate + at, p->up + at, f->dim, p->hidden + at); break;
    }
    vb_pass_quantize(p, row, worker);
}

void vb_ffn_part(vb_pass *p) {
    const int D = p->m->info.dim, F = p->m->layers[p->layer].ffn.dim;
    const vb_stage *gate_up = vb_pass_stage(p, 2), *down = vb_pass_stage(p, 3);

    vb_pass_input(p, p->h, p->n, gate_up);
    p->run.each(p, p->n, after_attention_row); /* x += delta, h (n, D) = norm(x) */
    vb_pass_observe(p, "attn_out", D, p->delta);
    vb_pass_observe(p, "ffn_norm", D, p->h);
    p->run.multiply(p, gate_up, (float *const[]){p->gate, p->up}); /* gate, up (n, F) */

    vb_pass_input(p, p->hidden, p->n, down);
    p->run.each(p, p->n, gate_row); /* hidden (n, F) = act(gate)*up */
    vb_pass_observe(p, "ffn_hidden", F, p->hidden);
    p->run.multiply(p, down, &p->delta); /* delta (n, D) */
}
