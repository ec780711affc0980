/* foreign_layer.c - a layer of the engine of foreign.h, with its mistakes. */
#include "tests/foreign_engine.h"

#include "gguf/unpack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------------- products */

void fe_row(const vb_tensor *t, uint64_t r, double *out) {
    const size_t n = (size_t)t->dims[0];
    vb_dequantize_row_f64(t->type, t->data + r * (t->bytes / (t->dims[1] * t->dims[2])), n, out);
}

void fe_product(const vb_tensor *w, int first, int step, int rows, const double *x, double *y) {
    const int n = (int)w->dims[0];
    double *row = malloc((size_t)n * sizeof *row);
    for (int r = 0; row && r < rows; r++) {
        double sum = 0;
        fe_row(w, (uint64_t)first + (uint64_t)r * (uint64_t)step, row);
        for (int i = 0; i < n; i++) sum += row[i] * x[i];
        y[r] = sum;
    }
    free(row);
}

void fe_linear(const fe_engine *e, int layer, const char *name, const char *bias, const double *x,
               double *y) {
    const vb_tensor *w = fe_tensor(e, layer, name), *b = bias ? fe_tensor(e, layer, bias) : NULL;
    const int rows = (int)w->dims[1];
    fe_product(w, 0, 1, rows, x, y);
    if (!b || e->fault == FE_NO_BIAS) return;
    for (int r = 0; r < rows; r++) {
        float value;
        memcpy(&value, b->data + 4 * (size_t)r, sizeof value);
        y[r] += (double)value;
    }
}

/* q, k and v are rows of one tensor, in this order. */
static void fused_qkv(const fe_engine *e, const vb_tensor *w, const double *x, double *q, double *k,
                      double *v) {
    const int n = e->head_dim, Q = e->heads * n, K = e->kv_heads * n, per = Q / e->kv_heads;
    int at_k = Q, at_v = Q + K;
    if (e->fault == FE_FUSED_GROUPS) {
        for (int g = 0; g < e->kv_heads; g++) {
            const int at = g * (per + 2 * n);
            fe_product(w, at, 1, per, x, q + g * per);
            fe_product(w, at + per, 1, n, x, k + g * n);
            fe_product(w, at + per + n, 1, n, x, v + g * n);
        }
        return;
    }
    if (e->fault == FE_FUSED_KV) at_k = Q + K, at_v = Q;
    if (e->fault == FE_FUSED_V_EARLY) at_v -= n;
    fe_product(w, 0, 1, Q, x, q);
    fe_product(w, at_k, 1, K, x, k);
    fe_product(w, at_v, 1, K, x, v);
}

/* ---------------------------------------------------------------------------------------------- the parts */

/* LayerNorm, of the bias that stands beside the weight, in phimoe; RMSNorm in all others. */
void fe_norm(const fe_engine *e, int layer, const char *name, const double *x, int n, double *y) {
    const vb_tensor *w = fe_tensor(e, layer, name), *b;
    const bool centred =
        !strcmp(e->arch, "phimoe") ? e->fault != FE_NORM_CENTRED : e->fault == FE_NORM_NOT_CENTRED;
    char beside[64];
    snprintf(beside, sizeof beside, "%.*s.bias", (int)strcspn(name, "."), name);
    b = e->fault == FE_NORM_NO_BIAS ? NULL : fe_tensor(e, layer, beside);
    double sum = 0, mean = 0;
    for (int i = 0; i < n && centred; i++) mean += x[i] / n;
    for (int i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    const double r = 1 / sqrt(sum / n + (e->fault == FE_EPS ? 1e-2 : e->eps));
    for (int i = 0; i < n; i++) {
        float weight, bias = 0;
        memcpy(&weight, w->data + 4 * (size_t)i, sizeof weight);
        if (b) memcpy(&bias, b->data + 4 * (size_t)i, sizeof bias);
        y[i] = (x[i] - mean) * r * ((double)weight + (e->fault == FE_NORM_PLUS_ONE ? 1 : 0)) + (double)bias;
    }
}

/* How many of the last positions a layer sees; 0: all. */
static int window_of(const fe_engine *e, int layer) {
    int window = e->window;
    const int full = e->fault == FE_WINDOW_LAYERS || e->fault == FE_WINDOW_ODD
                         ? 0
                         : e->period - 1; /* which of a period sees all */
    if (!window || e->fault == FE_WINDOW_NONE) return 0;
    if ((e->gemma || !strcmp(e->arch, "gpt-oss")) && layer % e->period == full && e->fault != FE_WINDOW_ALL)
        return 0;
    if (e->fault == FE_WINDOW_LONG) window++;
    if (e->fault == FE_WINDOW_SHORT) window--;
    return window;
}

/* Which of gemma3's two RoPE tables a layer has. */
static bool has_local_table(const fe_engine *e, int layer) {
    if (!e->gemma || !e->window || e->fault == FE_ROPE_ALL_GLOBAL) return false;
    if (e->fault == FE_ROPE_ALL_LOCAL) return true;
    return layer % e->period != (e->fault == FE_WINDOW_LAYERS ? 0 : e->period - 1);
}

/* The factors that divide the frequencies, for a token of a sequence of n; NULL: none. */
static const vb_tensor *factors_of(const fe_engine *e, int position, int n) {
    bool is_long = n > e->long_from;
    if (e->fault == FE_LONGROPE_SHORT) is_long = false;
    if (e->fault == FE_LONGROPE_LONG) is_long = true;
    if (e->fault == FE_LONGROPE_CACHED) is_long = position >= e->long_from;
    const vb_tensor *own =
        fe_tensor(e, -1, is_long ? "rope_factors_long.weight" : "rope_factors_short.weight");
    return e->fault == FE_ROPE_FREQS ? NULL : own ? own : fe_tensor(e, -1, "rope_freqs.weight");
}

/* The pair that turns `beta` times within the context that the model was trained with at first. */
static double corner(const fe_engine *e, double beta) {
    return e->rot * log(e->long_from / (beta * 2 * acos(-1))) / (2 * log(e->base));
}

/* What yarn makes of the frequency of pair j. */
static double yarn(const fe_engine *e, int j, double f) {
    double low = corner(e, 32), high = corner(e, 1);
    const bool between =
        !strcmp(e->arch, "gpt-oss") ? e->fault != FE_YARN_ROUNDED : e->fault == FE_YARN_BETWEEN;
    if (!between) low = floor(low), high = ceil(high);
    low = fmax(low, 0);
    high = fmin(high, e->rot - 1);
    const double r = e->fault == FE_YARN_LINEAR ? 1 : fmin(fmax((j - low) / (high - low), 0), 1);
    return f / e->factor * r + f * (1 - r);
}

/* RoPE's angle of pair j at `position` of n. */
static double angle_of(const fe_engine *e, int layer, int j, int rot, int position, int n) {
    const vb_tensor *factors = factors_of(e, position, n);
    const bool local = has_local_table(e, layer);
    double base = local ? e->local_base : e->base, p = position;
    const int exponent = e->fault == FE_ROPE_EXPONENT ? e->head_dim : rot;
    float f = 1;
    if (e->fault == FE_ROPE_BASE) base = base > 10000 ? 10000 : 500000;
    if (e->fault == FE_ROPE_POSITION) p += 1;
    if (e->yarn) return p * yarn(e, j, pow(base, -2.0 * j / exponent));
    if (e->fault != FE_ROPE_SCALING && (!local || e->fault == FE_ROPE_LOCAL_SCALED)) p /= e->factor;
    if (factors && j < (int)factors->dims[0]) memcpy(&f, factors->data + 4 * (size_t)j, sizeof f);
    return p * pow(base, -2.0 * j / exponent) / (double)f;
}

static void rope(const fe_engine *e, int layer, double *head, int position, int n) {
    double m = e->fault == FE_NO_ATTN_FACTOR ? 1 : e->attn_factor;
    if (e->yarn && e->fault != FE_YARN_NO_SCALE) m *= 1 + 0.1 * log(e->factor);
    const int rot = e->fault == FE_ROPE_WHOLE ? e->head_dim : e->rot;
    bool interleaved =
        !strcmp(e->arch, "llama") || !strcmp(e->arch, "granitemoe") || !strcmp(e->arch, "ernie4_5-moe");
    if (e->fault == FE_ROPE_PAIRING) interleaved = !interleaved;
    if (e->fault == FE_ROPE_LAST) head += e->head_dim - rot;
    for (int j = 0; j < rot / 2; j++) {
        const double angle = angle_of(e, layer, j, rot, position, n), c = m * cos(angle), s = m * sin(angle);
        double *a = head + (interleaved ? 2 * j : j), *b = head + (interleaved ? 2 * j + 1 : j + rot / 2);
        const double u = *a * c - *b * s, w = *a * s + *b * c;
        *a = u;
        *b = w;
    }
}

/* Over each head, or over all of them where the weights are as many. */
static void head_norm(const fe_engine *e, int layer, const char *name, int heads, double *x) {
    const vb_tensor *w = fe_tensor(e, layer, name);
    if (!w || e->fault == FE_NO_QK_NORM) return;
    const int all = heads * e->head_dim;
    if ((int)w->dims[0] == all && all != e->head_dim && e->fault != FE_NORM_PER_HEAD) {
        fe_norm(e, layer, name, x, all, x);
        return;
    }
    for (int h = 0; h < heads; h++)
        fe_norm(e, layer, name, x + h * e->head_dim, e->head_dim, x + h * e->head_dim);
}

static void head_norms(const fe_engine *e, int layer, double *q, double *k) {
    head_norm(e, layer, "attn_q_norm.weight", e->heads, q);
    head_norm(e, layer, "attn_k_norm.weight", e->kv_heads, k);
}

/* Token t of n. */
static void project(const fe_engine *e, int layer, int t, int n, const double *h) {
    const vb_tensor *fused = fe_tensor(e, layer, "attn_qkv.weight");
    double *q = e->q + t * e->heads * e->head_dim, *k = e->k + t * e->kv_heads * e->head_dim,
           *v = e->v + t * e->kv_heads * e->head_dim;
    if (fused) {
        fused_qkv(e, fused, h, q, k, v);
    } else {
        fe_linear(e, layer, "attn_q.weight", "attn_q.bias", h, q);
        fe_linear(e, layer, "attn_k.weight", "attn_k.bias", h, k);
        fe_linear(e, layer, "attn_v.weight", "attn_v.bias", h, v);
    }
    if (e->fault != FE_QK_NORM_LATE) head_norms(e, layer, q, k);
    for (int i = 0; i < e->heads; i++) rope(e, layer, q + i * e->head_dim, t, n);
    for (int i = 0; i < e->kv_heads && e->fault != FE_ROPE_NOT_K; i++)
        rope(e, layer, k + i * e->head_dim, t, n);
    if (e->fault == FE_QK_NORM_LATE) head_norms(e, layer, q, k);
}

/* Which of n positions token t sees. */
static bool sees(const fe_engine *e, int layer, int t, int j, int n) {
    const int window = window_of(e, layer);
    if (e->fault == FE_MASK_AHEAD) return j <= t + 1 && j < n;
    if (e->fault == FE_MASK_SELF && t > 0) return j < t;
    if (e->fault == FE_SOFTMAX_FIRST && t > 0) return j > 0 && j <= t;
    return j <= t && (!window || j > t - window);
}

static double scale_of(const fe_engine *e) {
    if (e->fault == FE_NO_SCALE) return 1;
    if (e->fault == FE_SCALE_DIM) return 1 / sqrt((double)e->dim);
    if (e->fault == FE_SCALE_HEAD) return 1 / sqrt((double)e->head_dim);
    if (e->fault == FE_SCALE_WIDTH) return 1 / sqrt((double)e->dim / e->heads);
    return e->attention_scale > 0 ? e->attention_scale : 1 / sqrt((double)e->head_dim);
}

/* A head's sink, -infinity where there is none. */
static double sink_of(const fe_engine *e, int layer, int head) {
    const vb_tensor *t = fe_tensor(e, layer, "attn_sinks.weight");
    float sink;
    if (!t || e->fault == FE_NO_SINK) return -INFINITY;
    memcpy(&sink, t->data + 4 * (size_t)head, sizeof sink);
    return (double)sink;
}

static void attend(const fe_engine *e, int layer, int t, int n, double *out) {
    double score[256];
    for (int h = 0; h < e->heads; h++) {
        const int kv = e->fault == FE_KV_HEADS ? h % e->kv_heads : h / (e->heads / e->kv_heads);
        const double *q = e->q + (t * e->heads + h) * e->head_dim;
        const double sink = sink_of(e, layer, h), added = e->fault == FE_SINK_ADDED ? sink : 0;
        double max = sink, sum = 0;
        for (int j = 0; j < n; j++) {
            score[j] = 0;
            if (!sees(e, layer, t, j, n)) continue;
            const double *k = e->k + (j * e->kv_heads + kv) * e->head_dim;
            for (int i = 0; i < e->head_dim; i++) score[j] += q[i] * k[i];
            score[j] = score[j] * scale_of(e) + added;
            max = fmax(max, score[j]);
        }
        for (int i = 0; i < e->head_dim; i++) out[h * e->head_dim + i] = 0;
        for (int j = 0; j < n; j++) {
            if (!sees(e, layer, t, j, n)) continue;
            const double *v = e->v + (j * e->kv_heads + kv) * e->head_dim, a = exp(score[j] - max);
            sum += a;
            for (int i = 0; i < e->head_dim; i++) out[h * e->head_dim + i] += a * v[i];
        }
        if (sink > -INFINITY && e->fault != FE_SINK_ADDED) sum += exp(sink - max);
        for (int i = 0; i < e->head_dim && e->fault == FE_SINK_VALUE; i++)
            out[h * e->head_dim + i] += exp(sink - max) * e->v[kv * e->head_dim + i];
        for (int i = 0; i < e->head_dim; i++) out[h * e->head_dim + i] /= sum;
    }
}

/* What the gate is made of: silu, or for gemma3 the tanh form of gelu. */
static double activation(const fe_engine *e, double g) {
    if (e->fault == FE_GELU || e->fault == FE_GELU_ERF) return 0.5 * g * (1 + erf(g / sqrt(2)));
    if (!e->gemma || e->fault == FE_SILU) return g / (1 + exp(-g));
    return 0.5 * g * (1 + tanh(sqrt(2 / acos(-1)) * (g + 0.044715 * g * g * g)));
}

double fe_gated(const fe_engine *e, double gate, double up) {
    if (strcmp(e->arch, "gpt-oss") != 0) return activation(e, gate) * up;
    gate = fmin(gate, 7);
    up = fmax(fmin(up, 7), -7);
    const double steep = e->fault == FE_GATE_SILU ? 1 : 1.702;
    return gate / (1 + exp(-steep * gate)) * (up + (e->fault == FE_GATE_UP_PLAIN ? 0 : 1));
}

/* The dense part of a layer, or its shared expert. Returns the size of its hidden vector; 0: it has none. */
static int feed_forward(const fe_engine *e, int layer, const double *h, double *hidden, double *out) {
    const bool shared = fe_tensor(e, layer, "ffn_up_shexp.weight") != NULL;
    const vb_tensor *g = fe_tensor(e, layer, shared ? "ffn_gate_shexp.weight" : "ffn_gate.weight"),
                    *u = fe_tensor(e, layer, shared ? "ffn_up_shexp.weight" : "ffn_up.weight");
    if (!u) return 0;
    const bool alternate = e->fault == FE_FUSED_ALTERNATE;
    const int n = g ? (int)g->dims[1] : e->ffn;
    double *gate = calloc((size_t)n, sizeof *gate), *up = calloc((size_t)n, sizeof *up);
    if (gate && up) {
        /* Without a tensor of its own the gate is the first half of the rows of ffn_up. */
        fe_product(g ? g : u, 0, alternate ? 2 : 1, n, h, gate);
        fe_product(u, g ? 0 : alternate ? 1 : n, alternate ? 2 : 1, n, h, up);
        const bool swapped = e->fault == FE_SWAPPED_GATE_UP;
        for (int i = 0; i < n; i++)
            hidden[i] = fe_gated(e, swapped ? up[i] : gate[i], swapped ? gate[i] : up[i]);
        fe_linear(e, layer, shared ? "ffn_down_shexp.weight" : "ffn_down.weight", NULL, hidden, out);
    }
    free(gate);
    free(up);
    return n;
}

/* ---------------------------------------------------------------------------------------------- the layer */

/* x += delta, after the norm behind the half layer where there is one. */
static void add_delta(const fe_engine *e, int layer, const char *behind, double *x, double *delta) {
    const bool ffn = !strcmp(behind, "post_ffw_norm.weight");
    const bool left_out = e->fault == (ffn ? FE_NO_POST_FFN_NORM : FE_NO_POST_NORM) ||
                          (e->fault == FE_POST_NORM_PRE_FFN && !ffn);
    /* Where there is no norm before the FFN of this name, the one behind the attention is it. */
    const bool normed = fe_tensor(e, layer, behind) && fe_tensor(e, layer, "ffn_norm.weight") && !left_out;
    for (int i = 0; i < e->dim && e->fault != FE_RESIDUAL_PLAIN; i++) delta[i] *= e->residual_scale;
    if (normed && e->fault != FE_POST_NORM_SUM) fe_norm(e, layer, behind, delta, e->dim, delta);
    for (int i = 0; i < e->dim; i++) x[i] += delta[i];
    if (normed && e->fault == FE_POST_NORM_SUM) fe_norm(e, layer, behind, x, e->dim, x);
}

static void attention_half(const fe_engine *e, int layer, int t, vb_buf *r) {
    const int D = e->dim, Q = e->heads * e->head_dim, K = e->kv_heads * e->head_dim;
    double *x = e->x + t * D, *h = e->h + t * D, *delta = e->delta;
    if (r) fe_show(r, t, layer, "attn_norm", h, D);
    if (r) fe_show(r, t, layer, "q", e->q + t * Q, Q);
    if (r) fe_show(r, t, layer, "k", e->k + t * K, K);
    if (r) fe_show(r, t, layer, "v", e->v + t * K, K);
    if (r) fe_show(r, t, layer, "heads", e->heads_out + t * Q, Q);
    fe_linear(e, layer, "attn_output.weight", "attn_output.bias", e->heads_out + t * Q, delta);
    if (e->fault == FE_POST_NORM) fe_norm(e, layer, "attn_norm.weight", delta, D, delta);
    for (int i = 0; i < D && e->fault == FE_NO_RESIDUAL; i++) x[i] = 0;
    if (e->fault == FE_RESIDUAL_NORM) memcpy(x, h, (size_t)D * sizeof *x);
    add_delta(e, layer, "post_attention_norm.weight", x, delta);
    if (r) fe_show(r, t, layer, "attn_out", delta, D);
}

static void ffn_half(const fe_engine *e, int layer, int t, vb_buf *r) {
    const int D = e->dim;
    double *x = e->x + t * D, *h = e->h + t * D, *delta = e->delta;
    const bool own = fe_tensor(e, layer, "ffn_norm.weight") && e->fault != FE_POST_NORM_PRE_FFN;
    const char *before = own ? "ffn_norm.weight" : "post_attention_norm.weight";
    fe_norm(e, e->fault == FE_LAYER_WEIGHTS ? 0 : layer, before, x, D, h);
    if (r) fe_show(r, t, layer, "ffn_norm", h, D);
    const double *from = e->fault == FE_FFN_FROM_X ? x : h;
    const int hidden = feed_forward(e, layer, from, e->hidden, delta);
    if (r && hidden) fe_show(r, t, layer, "ffn_hidden", e->hidden, hidden);
    if (fe_tensor(e, layer, "ffn_gate_inp.weight"))
        fe_experts(e, layer, t, from, hidden ? delta : NULL, delta, r);
    add_delta(e, layer, "post_ffw_norm.weight", x, delta);
    if (r) fe_show(r, t, layer, "ffn_out", delta, D);
    if (r) fe_show(r, t, layer, "layer_out", x, D);
}

void fe_layer(const fe_engine *e, int layer, int n, vb_buf *rows) {
    const int D = e->dim, Q = e->heads * e->head_dim;
    for (int t = 0; t < n; t++) {
        double *x = e->x + t * D, *h = e->h + t * D;
        if (e->fault == FE_POST_NORM)
            memcpy(h, x, (size_t)D * sizeof *h);
        else
            fe_norm(e, layer, "attn_norm.weight", x, D, h);
        project(e, layer, t, n, h);
    }
    for (int t = 0; t < n; t++) attend(e, layer, t, n, e->heads_out + t * Q);
    for (int t = 0; t < n; t++) {
        vb_buf *r = rows && t >= e->from ? &rows[t] : NULL;
        attention_half(e, layer, t, r);
        ffn_half(e, layer, t, r);
    }
}
