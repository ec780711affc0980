/* pass.c - the words in which the parts of a layer are written. See pass.h. */
#include "ref/pass.h"

#include "gguf/formats.h"
#include "gguf/half.h"

bool vb_all_below(const float *x, size_t n, uint32_t limit) {
    uint32_t max = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = vb_float_bits(x[i]) & 0x7fffffffu;
        if (bits > max) max = bits;
    }
    return max < limit;
}

void vb_pass_input(vb_pass *p, const float *v, int n, int cols, const vb_stage *stage) {
    p->quantize = false;
    for (int i = 0; i < stage->n; i++)
        p->quantize = p->quantize || vb_type_is_quantized((int)stage->w[i]->type);
    p->acts = (vb_acts){.rows = n,
                        .n = cols,
                        .planes = p->quantize ? p->planes : 0,
                        .f = v,
                        .q = p->acts_q,
                        .d = p->acts_d,
                        .sum16 = p->acts_sum16};
}

void vb_pass_quantize(vb_pass *p, int row, int worker) {
    (void)worker;
    if (!p->quantize) return;
    const size_t t = (size_t)row, n = (size_t)p->acts.n;
    if (p->kernels->quantize(p->acts.f + t * n, p->acts.n, p->planes, p->acts_q + t * n,
                             (size_t)p->acts.rows * n, p->acts_d + t * (n / 32),
                             p->acts_sum16 + t * (n / 16)))
        p->run.fail(p, VB_PASS_NOT_FINITE);
}

void vb_pass_normalize(vb_pass *p, const float *from, const float *weight, const float *bias, int row) {
    const int n = p->m->info.dim;
    float *to = p->h + (size_t)row * (size_t)n;
    if (p->m->layer_norm)
        p->kernels->layernorm(from, weight, bias, n, p->m->eps, to);
    else
        p->kernels->rmsnorm(from, weight, n, p->m->eps, to);
    vb_pass_quantize(p, row, 0);
}

void vb_pass_add_bias(vb_pass *p, const float *bias, int n, float *y) {
    if (bias) p->kernels->add(bias, n, y);
}

void vb_pass_add_delta(vb_pass *p, const float *bias, const float *norm, int row) {
    const int n = p->m->info.dim;
    float *delta = p->delta + (size_t)row * (size_t)n, *x = p->x + (size_t)row * (size_t)n;
    vb_pass_add_bias(p, bias, n, delta);
    if (norm) {
        if (!vb_all_below(delta, (size_t)n, VB_BITS_NORM_LIMIT)) p->run.fail(p, VB_PASS_NOT_FINITE);
        p->kernels->rmsnorm(delta, norm, n, p->m->eps, delta);
    }
    for (int i = 0; i < n && p->m->residual_scale != 1.0f; i++) delta[i] = delta[i] * p->m->residual_scale;
    p->kernels->add(delta, n, x);
    if (!vb_all_below(x, (size_t)n, VB_BITS_NORM_LIMIT)) p->run.fail(p, VB_PASS_NOT_FINITE);
}

const vb_stage *vb_pass_stage(const vb_pass *p, int n) {
    return &p->m->stages[VB_STAGES_PER_LAYER * p->layer + n];
}

void vb_pass_observe(vb_pass *p, const char *what, int cols, const float *values) {
    if (p->observe) p->observe(p->user, what, p->layer, p->rows[0].position, p->n, cols, values);
}
