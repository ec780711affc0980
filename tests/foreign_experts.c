/* foreign_experts.c - mixtures of experts in the engine of foreign.h, with their mistakes. Expert by expert
 * and token by token, as a person would write it first. */
#include "tests/foreign_engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOFTMAX, SIGMOID, CHOSEN, MIXER, MOST = 64 };

/* What the published models of each architecture do. */
static const struct habits {
    const char *arch;
    int kind;
    bool normalised;
} habits[] = {{"llama", SOFTMAX, true},   {"qwen2moe", SOFTMAX, false},    {"qwen3moe", SOFTMAX, true},
              {"gpt-oss", CHOSEN, false}, {"granitemoe", CHOSEN, false},   {"olmoe", SOFTMAX, false},
              {"glm4moe", SIGMOID, true}, {"ernie4_5-moe", SOFTMAX, true}, {"minimax-m2", SIGMOID, true},
              {"phimoe", MIXER, false}};

static double key(const fe_engine *e, const char *suffix, double otherwise) {
    char name[96];
    double v;
    snprintf(name, sizeof name, "%s.%s", e->arch, suffix);
    const vb_meta *m = vb_gguf_find(e->g, name);
    return m && vb_meta_f64(m, 0, &v) ? v : otherwise;
}

int fe_dense_size(const fe_engine *e) {
    int size = e->ffn;
    for (int l = 0; l < e->layers; l++) {
        const vb_tensor *up = fe_tensor(e, l, "ffn_up_shexp.weight");
        if (up && (int)up->dims[1] > size) size = (int)up->dims[1];
    }
    return size > 0 ? size : 1;
}

static double value_of(const vb_tensor *t, size_t i) {
    float v;
    memcpy(&v, t->data + 4 * i, sizeof v);
    return (double)v;
}

/* The place of the largest that is not taken; the first of equal ones. */
static int best(const double *x, int n, const bool *taken) {
    int at = -1;
    for (int i = 0; i < n; i++)
        if (!taken[i] && (at < 0 || x[i] > x[at])) at = i;
    return at;
}

static void leave_best_groups(const fe_engine *e, double *choice, int n) {
    const int groups = (int)key(e, "expert_group_count", 1), kept = (int)key(e, "expert_group_used_count", 1);
    double score[MOST];
    bool taken[MOST] = {false};
    if (groups <= 1 || e->fault == FE_NO_GROUPS) return;
    for (int g = 0; g < groups; g++) {
        double a = -INFINITY, b = -INFINITY;
        for (int i = g * (n / groups); i < (g + 1) * (n / groups); i++) {
            b = fmax(b, fmin(a, choice[i]));
            a = fmax(a, choice[i]);
        }
        score[g] = e->fault == FE_GROUP_MAX ? a : a + b;
    }
    for (int k = 0; k < kept; k++) taken[best(score, groups, taken)] = true;
    for (int i = 0; i < n; i++)
        if (!taken[i / (n / groups)]) choice[i] = -INFINITY;
}

static void probabilities(int kind, const double *logits, const bool *of, int n, double *p) {
    double max = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        if (of[i]) max = fmax(max, logits[i]);
    for (int i = 0; i < n; i++) sum += of[i] ? exp(logits[i] - max) : 0;
    for (int i = 0; i < n; i++)
        p[i] = !of[i] ? 0 : kind == SIGMOID ? 1 / (1 + exp(-logits[i])) : exp(logits[i] - max) / sum;
}

static void normalise(double *w, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += w[i];
    for (int i = 0; i < n; i++) w[i] /= sum;
}

/* Sorts the weights of the chosen, largest first, onto the chosen in order of number. */
static void by_rank(double *w, int n) {
    for (int i = 0; i < n; i++) {
        for (int j = i + 1; j < n; j++) {
            if (w[i] == 0 || w[j] <= w[i]) continue;
            const double t = w[i];
            w[i] = w[j];
            w[j] = t;
        }
    }
}

/* phimoe: each of two rounds takes the largest logit that is left; its weight is its share of a softmax over
 * those near it. */
static void sparse_mixer(const fe_engine *e, const double *logits, int n, double *w) {
    const double near = e->fault == FE_MIXER_WIDE ? 0.04 : 0.02;
    bool gone[MOST] = {false};
    for (int i = 0; i < n; i++) w[i] = 0;
    for (int round = 0; round < 2; round++) {
        const int top = best(logits, n, gone);
        double sum = 0;
        for (int i = 0; i < n; i++) {
            const bool out = gone[i] && e->fault != FE_MIXER_AGAIN;
            const double distance = (logits[top] - logits[i]) / fmax(fabs(logits[i]), logits[top]);
            if (!out && (distance <= near || e->fault == FE_MIXER_SOFTMAX))
                sum += exp(logits[i] - logits[top]);
        }
        w[top] = 1 / sum;
        gone[top] = true;
    }
}

/* The weight of every expert, 0 for those that are not chosen. */
static void route(const fe_engine *e, int layer, const double *logits, int n, double *w) {
    const vb_tensor *bias = fe_tensor(e, layer, "exp_probs_b.bias");
    const struct habits *h = habits;
    while (strcmp(h->arch, e->arch) != 0) h++;
    int kind = h->kind, used = (int)key(e, "expert_used_count", 1) + (e->fault == FE_ONE_MORE_EXPERT);
    double p[MOST], choice[MOST], scale = key(e, "expert_weights_scale", 1);
    bool all[MOST] = {false}, taken[MOST] = {false};
    if (kind == MIXER) {
        sparse_mixer(e, logits, n, w);
        return;
    }
    if (e->fault == FE_ROUTER_SIGMOID) kind = kind == SIGMOID ? SOFTMAX : SIGMOID;
    for (int i = 0; i < n; i++) all[i] = true;
    probabilities(kind, logits, all, n, p);
    for (int i = 0; i < n; i++)
        choice[i] = p[i] + (bias && e->fault != FE_CHOICE_NO_BIAS ? value_of(bias, (size_t)i) : 0);
    leave_best_groups(e, choice, n);
    for (int k = 0; k < used; k++) taken[best(choice, n, taken)] = true;
    if (kind == CHOSEN && e->fault != FE_ROUTER_ALL) probabilities(kind, logits, taken, n, p);
    for (int i = 0; i < n; i++) w[i] = !taken[i] ? 0 : e->fault == FE_BIAS_IN_WEIGHT ? choice[i] : p[i];
    if (e->fault == FE_NORMALISED || (h->normalised && e->fault != FE_NOT_NORMALISED)) normalise(w, n);
    for (int i = 0; i < n && e->fault != FE_NO_EXPERT_SCALE; i++) w[i] *= scale;
    if (e->fault == FE_NORMALISED_TWICE) normalise(w, n);
    if (e->fault == FE_WEIGHTS_BY_RANK) by_rank(w, n);
}

/* y = matrix `expert` of the tensor times x, plus its bias where there is one. */
static void expert_product(const fe_engine *e, int layer, const char *part, int expert, const double *x,
                           double *y) {
    char name[64];
    snprintf(name, sizeof name, "ffn_%s_exps.weight", part);
    const vb_tensor *w = fe_tensor(e, layer, name);
    const int rows = (int)w->dims[1];
    snprintf(name, sizeof name, "ffn_%s_exps.bias", part);
    const vb_tensor *b = fe_tensor(e, layer, name);
    fe_product(w, expert * rows, 1, rows, x, y);
    for (int r = 0; r < rows && b && e->fault != FE_EXPERTS_NO_BIAS; r++)
        y[r] += value_of(b, (size_t)expert * (size_t)rows + (size_t)r);
}

static double shared_weight(const fe_engine *e, int layer, const double *h) {
    const vb_tensor *gate = fe_tensor(e, layer, "ffn_gate_inp_shexp.weight");
    double dot = 0;
    if (e->fault == FE_NO_SHARED) return 0;
    if (!gate || e->fault == FE_SHARED_PLAIN) return 1;
    for (int i = 0; i < e->dim; i++) dot += value_of(gate, (size_t)i) * h[i];
    return 1 / (1 + exp(-dot));
}

void fe_experts(const fe_engine *e, int layer, int position, const double *h, const double *shared,
                double *out, vb_buf *r) {
    const vb_tensor *router = fe_tensor(e, layer, "ffn_gate_inp.weight"),
                    *bias = fe_tensor(e, layer, "ffn_gate_inp.bias");
    const int n = (int)router->dims[1], X = (int)fe_tensor(e, layer, "ffn_up_exps.weight")->dims[1];
    double logits[MOST], w[MOST], sum[512] = {0}, y[512], gate[512], up[512];
    fe_product(router, 0, 1, n, h, logits);
    for (int i = 0; i < n && bias && e->fault != FE_ROUTER_NO_BIAS; i++)
        logits[i] += value_of(bias, (size_t)i);
    route(e, layer, logits, n, w);
    if (r) fe_show(r, position, layer, "ffn_router", logits, n);
    if (r) fe_show(r, position, layer, "ffn_weights", w, n);
    for (int i = 0; i < n; i++) {
        if (w[i] == 0) continue;
        expert_product(e, layer, "gate", i, h, gate);
        expert_product(e, layer, "up", i, h, up);
        for (int k = 0; k < X; k++) gate[k] = fe_gated(e, gate[k], up[k]);
        expert_product(e, layer, "down", i, gate, y);
        for (int k = 0; k < e->dim; k++) sum[k] += w[i] * y[k];
    }
    const double share = shared ? shared_weight(e, layer, h) : 0;
    for (int k = 0; k < e->dim; k++)
        out[k] =
            (e->fault == FE_SHARED_GATES_ALL ? share * sum[k] : sum[k]) + (shared ? share * shared[k] : 0);
}
