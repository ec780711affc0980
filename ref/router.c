/* router.c - which experts a token goes through, and with what weights, from the logits of a layer's router.
 *
 * References: top-k routing: Shazeer et al. 1701.06538; choice by groups and by a bias that is no part of the
 * weights: DeepSeek-V3 2412.19437; SparseMixer: Liu et al. 2310.00811, GRIN 2409.12136; the order of
 * operations: docs/numerics.md, "Mixtures of experts". */
#include "ref/pass.h"

#include "ref/mathf.h"

#include <math.h>

/* p_i = e_i/sum, e_i = expf(l_i - max); sum: lane[i mod 16] = lane[i mod 16] + e_i, then the tree */
static void softmax(const float *l, int n, float *p) {
    float lane[16] = {0}, max = l[0];
    for (int i = 1; i < n; i++) {
        if (l[i] > max) max = l[i];
    }
    for (int i = 0; i < n; i++) {
        p[i] = vb_expf(l[i] - max);
        lane[i % 16] = lane[i % 16] + p[i];
    }
    for (int s = 8; s > 0; s /= 2) {
        for (int j = 0; j < s; j++) lane[j] = lane[j] + lane[j + s];
    }
    for (int i = 0; i < n; i++) p[i] = p[i] / lane[0];
}

/* The `used` largest of x[0 .. n-1], ties to the lower place, as flags. */
static void best_of(const float *x, int n, int used, bool *taken) {
    for (int i = 0; i < n; i++) taken[i] = false;
    for (int u = 0; u < used; u++) {
        int best = -1;
        for (int i = 0; i < n; i++) {
            if (!taken[i] && (best < 0 || x[i] > x[best])) best = i;
        }
        taken[best] = true;
    }
}

/* The sum of the two largest of a group's values. */
static float group_score(const float *x, int size) {
    float first = -INFINITY, second = -INFINITY;
    for (int i = 0; i < size; i++) {
        if (x[i] > first) {
            second = first;
            first = x[i];
        } else if (x[i] > second) {
            second = x[i];
        }
    }
    return first + second;
}

/* Only experts of the best groups can be chosen. */
static void keep_groups(const vb_experts *x, float *order) {
    const int size = x->n / x->groups;
    float score[VB_MAX_EXPERT_GROUPS];
    bool kept[VB_MAX_EXPERT_GROUPS];
    if (size < 1) return;
    for (int g = 0; g < x->groups; g++) score[g] = group_score(order + g * size, size);
    best_of(score, x->groups, x->groups_used, kept);
    for (int e = 0; e < x->n; e++) {
        if (!kept[e / size]) order[e] = -INFINITY;
    }
}

/* p: what weighs an expert, of which `order` is what chooses it. Where neither a bias nor groups change it,
 * the logits themselves choose: probabilities that are rounded to the same float would tie. */
static void score(const vb_experts *x, const float *logits, float *order, float *p) {
    if (x->kind == VB_ROUTER_SOFTMAX) softmax(logits, x->n, p);
    for (int e = 0; e < x->n && x->kind == VB_ROUTER_SIGMOID; e++) p[e] = vb_sigmoidf(logits[e]);
    const bool by_logits = x->kind == VB_ROUTER_SOFTMAX_CHOSEN || x->kind == VB_ROUTER_SPARSE_MIXER ||
                           (!x->choice_bias && x->groups == 1);
    for (int e = 0; e < x->n; e++) {
        order[e] = by_logits ? logits[e] : p[e];
        if (x->choice_bias) order[e] = order[e] + x->choice_bias[e];
    }
    if (x->groups > 1) keep_groups(x, order);
}

/* w_e = expf(l_e - max) / sum over the chosen, added up in ascending order */
static void softmax_of_chosen(const vb_experts *x, const float *logits, const int32_t *chosen,
                              float *weights) {
    float max = logits[chosen[0]], sum = 0.0f;
    for (int u = 1; u < x->used; u++) {
        if (logits[chosen[u]] > max) max = logits[chosen[u]];
    }
    for (int u = 0; u < x->used; u++) sum = sum + (weights[chosen[u]] = vb_expf(logits[chosen[u]] - max));
    for (int u = 0; u < x->used; u++) weights[chosen[u]] = weights[chosen[u]] / sum;
}

/* 1 over the sum of expf(l_e - l_best), e ascending, over the experts near the best: (l_best - l_e) /
 * max(|l_e|, l_best) is not above 0.02. `out` takes no part; -1: all do. */
static float share_of_best(const vb_experts *x, const float *logits, int best, int out) {
    float sum = 0.0f;
    for (int e = 0; e < x->n; e++) {
        const float size = fabsf(logits[e]), factor = size < logits[best] ? logits[best] : size;
        if (e == out || (logits[best] - logits[e]) / factor > 0x1.47ae14p-6f) continue;
        sum = sum + vb_expf(logits[e] - logits[best]);
    }
    return 1.0f / sum;
}

/* SparseMixer as it is evaluated, for two experts: the best of all, then the best of the others, and each
 * weighs what its share of those near it is; the two weights do not add up to 1. */
static void sparse_mixer(const vb_experts *x, const float *logits, const int32_t *chosen, float *weights) {
    const bool later = logits[chosen[1]] > logits[chosen[0]];
    const int first = chosen[later], second = chosen[!later];
    weights[first] = share_of_best(x, logits, first, -1);
    weights[second] = share_of_best(x, logits, second, first);
}

void vb_route(const vb_experts *x, const float *logits, float *order, int32_t *chosen, float *weights) {
    bool taken[VB_MAX_EXPERTS];
    int n = 0;
    score(x, logits, order, weights);
    best_of(order, x->n, x->used, taken);
    for (int e = 0; e < x->n; e++) {
        if (taken[e]) chosen[n++] = e;
        if (!taken[e]) weights[e] = 0.0f;
    }
    if (x->kind == VB_ROUTER_SOFTMAX_CHOSEN) softmax_of_chosen(x, logits, chosen, weights);
    if (x->kind == VB_ROUTER_SPARSE_MIXER) sparse_mixer(x, logits, chosen, weights);
    if (x->normalise) {
        float sum = 0.0f;
        for (int u = 0; u < x->used; u++) sum = sum + weights[chosen[u]];
        sum = sum + 0x1.79ca10p-67f; /* 1e-20: no division by 0 */
        for (int u = 0; u < x->used; u++) weights[chosen[u]] = weights[chosen[u]] / sum;
    }
    for (int u = 0; u < x->used && x->scale != 1.0f; u++) weights[chosen[u]] = weights[chosen[u]] * x->scale;
}
