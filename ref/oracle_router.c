/* oracle_router.c - the oracle's router, in float64: written from docs/numerics.md's formulas once more, so
 * that a mistake in router.c is seen. */
#include "ref/oracle_router.h"

#include "ref/mathf.h"

#include <math.h>
#include <string.h>

/* How many of s[0 .. n-1] come before s[i]: larger ones, and equal ones with a lower number. */
static int rank_of(const double *s, int n, int i) {
    int before = 0;
    for (int j = 0; j < n; j++) before += s[j] > s[i] || (s[j] == s[i] && j < i);
    return before;
}

/* The two best of a group, added. */
static double group_sum(const double *s, int size) {
    double sum = 0.0;
    for (int i = 0; i < size; i++) {
        if (rank_of(s, size, i) < 2) sum += s[i];
    }
    return sum;
}

static void leave_groups(const vb_experts *x, double *s) {
    const int size = x->n / x->groups;
    double sums[VB_MAX_EXPERT_GROUPS] = {0};
    if (size < 1) return;
    for (int g = 0; g < x->groups; g++) sums[g] = group_sum(s + g * size, size);
    for (int e = 0; e < x->n; e++) {
        if (rank_of(sums, x->groups, e / size) >= x->groups_used) s[e] = -(double)INFINITY;
    }
}

/* The larger of two, b where they are not ordered. */
static double larger_of(double a, double b) {
    return a > b ? a : b;
}

/* SparseMixer: round 0 gives its weight to the best of all, round 1 to the best of the others, each as the
 * softmax over what is left within 2 % of the best. */
static void mix_sparsely(const vb_experts *x, const double *l, double *weight) {
    for (int e = 0; e < x->n; e++) {
        const int round = rank_of(l, x->n, e);
        double sum = 0.0;
        weight[e] = 0.0;
        for (int j = 0; j < x->n && round < 2; j++) {
            const bool out = rank_of(l, x->n, j) < round;
            if (!out && !((l[e] - l[j]) / larger_of(fabs(l[j]), l[e]) > 0.02)) sum += vb_exp(l[j] - l[e]);
        }
        if (round < 2) weight[e] = 1.0 / sum;
    }
}

void vb_oracle_route(const vb_experts *x, double *logits) {
    double choice[VB_MAX_EXPERTS] = {0}, weight[VB_MAX_EXPERTS] = {0}, max = logits[0], all = 0.0, sum = 0.0;
    for (int e = 1; e < x->n; e++) max = logits[e] > max ? logits[e] : max;
    for (int e = 0; e < x->n; e++) all += vb_exp(logits[e] - max);
    for (int e = 0; e < x->n; e++) {
        const double power = vb_exp(logits[e] - max);
        weight[e] = x->kind == VB_ROUTER_SIGMOID   ? 1.0 / (1.0 + vb_exp(-logits[e]))
                    : x->kind == VB_ROUTER_SOFTMAX ? power / all
                                                   : power;
        choice[e] = x->kind == VB_ROUTER_SOFTMAX_CHOSEN ? logits[e] : weight[e];
        if (x->choice_bias) choice[e] += (double)x->choice_bias[e];
    }
    if (x->kind == VB_ROUTER_SPARSE_MIXER) {
        memcpy(choice, logits, (size_t)x->n * sizeof *choice);
        mix_sparsely(x, choice, weight);
    }
    if (x->groups > 1) leave_groups(x, choice);
    for (int e = 0; e < x->n; e++) {
        if (rank_of(choice, x->n, e) >= x->used) weight[e] = 0.0;
        sum += weight[e];
    }
    const bool divide = x->normalise || x->kind == VB_ROUTER_SOFTMAX_CHOSEN;
    for (int e = 0; e < x->n; e++)
        logits[e] = weight[e] / (divide && sum > 0.0 ? sum : 1.0) * (double)x->scale;
}
