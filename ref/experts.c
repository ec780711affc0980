/* experts.c - mixtures of experts: each row's router chooses its experts (router.c), rows that chose the same
 * one meet its matrices together, and each row adds up what its experts give, in ascending order of their
 * numbers. Which rows share a call changes the groups and no bit (P1): every product is a row's own.
 *
 * References: Shazeer et al. 1701.06538; a shared expert: Dai et al. 2401.06066; the order of operations:
 * docs/numerics.md, "Mixtures of experts". */
#include "ref/pass.h"

#include "gguf/formats.h"
#include "ref/mathf.h"

#include <string.h>

static const vb_ffn *ffn_of(const vb_pass *p) {
    return &p->m->layers[p->layer].ffn;
}

static bool reads_integers(const vb_matrix *w) {
    return vb_type_is_quantized((int)w->type);
}

void vb_experts_input(vb_pass *p) {
    const vb_experts *x = &ffn_of(p)->experts;
    p->quantize = p->quantize || reads_integers(&x->w_gate[0]) || reads_integers(&x->w_up[0]);
    p->acts.planes = p->quantize ? p->planes : 0;
}

/* ---------------------------------------------------------------------- who goes where */

/* sigmoid(shared_gate h) */
static float shared_weight(const vb_pass *p, const float *shared_gate, int row) {
    const int D = p->m->info.dim;
    float dot = 0.0f;
    if (!shared_gate) return 1.0f;
    const vb_matrix w = {.type = VB_F32,
                         .rows = 1,
                         .cols = D,
                         .data = (const uint8_t *)(const void *)shared_gate,
                         .row_bytes = (size_t)D * sizeof(float)};
    const vb_acts h = {.rows = 1, .n = D, .f = p->h + (size_t)row * (size_t)D};
    p->kernels->matmul[VB_F32](&w, &h, 0, 1, &dot, 1);
    return vb_sigmoidf(dot);
}

static void route_row(vb_pass *p, int row, int worker) {
    (void)worker;
    const vb_ffn *f = ffn_of(p);
    const vb_experts *x = &f->experts;
    const size_t at = (size_t)row * (size_t)x->n;
    float *logits = p->moe.logits + at;
    vb_pass_add_bias(p, x->router_bias, x->n, logits);
    if (!vb_all_below(logits, (size_t)x->n, VB_BITS_INFINITE)) p->run.fail(p, VB_PASS_NOT_FINITE);
    vb_route(x, logits, p->moe.order + at, p->moe.chosen + (size_t)row * (size_t)x->used,
             p->moe.weights + at);
    p->moe.shared[row] = shared_weight(p, f->shared_gate, row);
}

/* Sorts the pairs (row, expert) by expert, and those of an expert by row. */
static void group(vb_pass *p) {
    const vb_experts *x = &ffn_of(p)->experts;
    vb_mixture *moe = &p->moe;
    const int pairs = p->n * x->used;
    int32_t *next = moe->ids; /* of each expert: how many pairs, then where the next one goes */
    memset(next, 0, (size_t)x->n * sizeof *next);
    for (int i = 0; i < pairs; i++) next[moe->chosen[i]]++;
    moe->n_groups = 0;
    for (int e = 0, first = 0; e < x->n; e++) {
        const int rows = next[e];
        next[e] = first;
        if (rows) moe->groups[moe->n_groups++] = (vb_expert_group){.expert = e, .first = first, .rows = rows};
        first += rows;
    }
    for (int i = 0; i < pairs; i++) {
        const int at = next[moe->chosen[i]]++;
        moe->pair[i] = at;
        moe->row[at] = i / x->used;
    }
    for (int g = 0; g < moe->n_groups; g++) {
        const vb_expert_group *group = &moe->groups[g];
        for (int i = 0; i < group->rows; i++) moe->group_of[group->first + i] = g;
        moe->ids[g] = group->expert; /* g never passes e: `next` is not needed any more */
    }
    moe->calls++;
    moe->rows += (uint64_t)p->n;
    moe->used += (uint64_t)moe->n_groups;
}

/* The vectors of a group, each of n values: views into the pairs' memory. */
static vb_acts vectors_of(const vb_pass *p, const vb_expert_group *g, const float *f, int n, bool integers) {
    const size_t first = (size_t)g->first, cols = (size_t)n;
    return (vb_acts){.rows = g->rows,
                     .n = n,
                     .planes = integers ? p->planes : 0,
                     .f = f + first * cols,
                     .q = p->moe.q + (size_t)p->planes * first * cols,
                     .d = p->moe.d + first * (cols / 32),
                     .sum16 = p->moe.sum16 + first * (cols / 16)};
}

/* Where the integers of a pair's vector of n values stand: plane 0; further ones lie `*plane` behind. */
static int8_t *integers_of(const vb_pass *p, int pair, size_t n, size_t *plane) {
    const vb_expert_group *g = &p->moe.groups[p->moe.group_of[pair]];
    *plane = (size_t)g->rows * n;
    return p->moe.q + (size_t)p->planes * (size_t)g->first * n + (size_t)(pair - g->first) * n;
}

/* A row's vector, and its integers, to one of its pairs. */
static void gather_pair(vb_pass *p, int pair, int worker) {
    (void)worker;
    const size_t n = (size_t)p->acts.n, t = (size_t)p->moe.row[pair], at = (size_t)pair;
    memcpy(p->moe.in + at * n, p->h + t * n, n * sizeof *p->h);
    if (!p->quantize) return;
    size_t plane;
    int8_t *q = integers_of(p, pair, n, &plane);
    for (size_t i = 0; i < (size_t)p->planes; i++)
        memcpy(q + i * plane, p->acts_q + (i * (size_t)p->acts.rows + t) * n, n);
    memcpy(p->moe.d + at * (n / 32), p->acts_d + t * (n / 32), n / 32 * sizeof *p->acts_d);
    memcpy(p->moe.sum16 + at * (n / 16), p->acts_sum16 + t * (n / 16), n / 16 * sizeof *p->acts_sum16);
}

void vb_experts_choose(vb_pass *p) {
    const vb_experts *x = &ffn_of(p)->experts;
    p->run.each(p, p->n, route_row); /* chosen (n, used), weights (n, experts) */
    vb_pass_observe(p, "ffn_router", x->n, p->moe.logits);
    vb_pass_observe(p, "ffn_weights", x->n, p->moe.weights);
    group(p);
    p->run.each(p, p->n * x->used, gather_pair);
}

/* ---------------------------------------------------------------------- the experts */

/* gate = act(gate + bias)*(up + bias), and its integers */
static void gate_pair(vb_pass *p, int pair, int worker) {
    (void)worker;
    const vb_ffn *f = ffn_of(p);
    const vb_experts *x = &f->experts;
    const size_t n = (size_t)x->dim, at = (size_t)pair * n;
    const size_t expert = (size_t)p->moe.groups[p->moe.group_of[pair]].expert;
    float *gate = p->moe.gate + at, *up = p->moe.up + at;
    vb_pass_add_bias(p, x->b_gate ? x->b_gate + expert * n : NULL, x->dim, gate);
    vb_pass_add_bias(p, x->b_up ? x->b_up + expert * n : NULL, x->dim, up);
    vb_apply_gate(p->kernels, f->gate, gate, up, x->dim, gate);
    if (!reads_integers(&x->w_down[0])) return;
    size_t plane;
    int8_t *q = integers_of(p, pair, n, &plane);
    if (p->kernels->quantize(gate, x->dim, p->planes, q, plane, p->moe.d + (size_t)pair * (n / 32),
                             p->moe.sum16 + (size_t)pair * (n / 16)))
        p->run.fail(p, VB_PASS_NOT_FINITE);
}

/* delta = the sum over the row's experts, ascending, of weight*out, plus the shared one's part */
static void combine_row(vb_pass *p, int row, int worker) {
    (void)worker;
    const vb_ffn *f = ffn_of(p);
    const vb_experts *x = &f->experts;
    const int D = p->m->info.dim;
    float *sum = p->moe.sum + (size_t)row * (size_t)D, *delta = p->delta + (size_t)row * (size_t)D;
    memset(sum, 0, (size_t)D * sizeof *sum);
    for (int u = 0; u < x->used; u++) {
        const size_t i = (size_t)row * (size_t)x->used + (size_t)u, e = (size_t)p->moe.chosen[i];
        float *out = p->moe.out + (size_t)p->moe.pair[i] * (size_t)D;
        vb_pass_add_bias(p, x->b_down ? x->b_down + e * (size_t)D : NULL, D, out);
        p->kernels->add_scaled(out, D, p->moe.weights[(size_t)row * (size_t)x->n + e], sum);
    }
    if (f->dim > 0) p->kernels->add_scaled(delta, D, p->moe.shared[row], sum);
    memcpy(delta, sum, (size_t)D * sizeof *delta);
}

void vb_experts_part(vb_pass *p) {
    const vb_experts *x = &ffn_of(p)->experts;
    vb_mixture *moe = &p->moe;
    const int D = p->m->info.dim, X = x->dim, pairs = p->n * x->used;
    int n = 0;
    p->run.experts(p, moe->ids, moe->n_groups);
    for (int i = 0; i < moe->n_groups; i++) {
        const vb_expert_group *g = &moe->groups[i];
        const vb_matrix *gate = &x->w_gate[g->expert], *up = &x->w_up[g->expert];
        const size_t to = (size_t)g->first * (size_t)X;
        moe->products[n++] =
            (vb_product){gate, vectors_of(p, g, moe->in, D, reads_integers(gate)), moe->gate + to};
        moe->products[n++] = (vb_product){up, vectors_of(p, g, moe->in, D, reads_integers(up)), moe->up + to};
    }
    p->run.multiply_each(p, moe->products, n); /* gate, up (pairs, X) */
    p->run.each(p, pairs, gate_pair);
    n = 0;
    for (int i = 0; i < moe->n_groups; i++) {
        const vb_expert_group *g = &moe->groups[i];
        const vb_matrix *down = &x->w_down[g->expert];
        moe->products[n++] = (vb_product){down, vectors_of(p, g, moe->gate, X, reads_integers(down)),
                                          moe->out + (size_t)g->first * (size_t)D};
    }
    p->run.multiply_each(p, moe->products, n); /* out (pairs, D) */
    p->run.each(p, p->n, combine_row);         /* delta (n, D) */
}
