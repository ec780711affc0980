/* oracle.c - the same models in float64: weights dequantised exactly, activations and cache never rounded to
 * anything narrower. It says how far the contract itself is from the model (docs/numerics.md), so it shares
 * as little with forward.c as it can: the whole sequence goes through one layer after another, matrices are
 * read row by row as float64, sums run from first to last. What it shares: the bound tensors, the decoding of
 * blocks, the plans of the layers, RoPE's frequencies, and the elementary functions of mathf.c (not libm's),
 * so that its bits, too, are the same everywhere.
 *
 * The oracle itself is checked against an independent NumPy program (tests/test_golden.c) and against the
 * code of the architectures' publishers (tests/test_publishers.c).
 *
 * References: as in forward.c. */
#include "ref/model.h"

#include "gguf/unpack.h"
#include "ref/mathf.h"
#include "ref/oracle_router.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Shapes: T tokens, D dim, Q n_heads*head_dim, K n_kv_heads*head_dim, F ffn_dim. */
typedef struct scratch {
    double *x;         /* (T, D) residual stream */
    double *h;         /* (T, D) normalised */
    double *q;         /* (T, Q) */
    double *k, *v;     /* (T, K) of the present layer */
    double *heads;     /* (T, Q) */
    double *delta;     /* (T, D) */
    double *gate, *up; /* (T, F) */
    double *row;       /* (max columns) one row of a matrix */
    double *scores;    /* (T) */
    double *weights;   /* (T, E) of the experts of the present layer, E the most that a layer has */
    double *in, *out;  /* (T, D) of the tokens that chose an expert */
    double *inner;     /* (T, X) twice, X the longest hidden vector of an expert */
} scratch;

static double *row_of(double *base, size_t row, size_t cols) {
    return base + row * cols;
}

/* y (T, rows) = x (T, cols) times w transposed, plus bias (rows) if there is one. */
static void multiply(const vb_matrix *w, const float *bias, const double *x, size_t T, double *row,
                     double *y) {
    const size_t rows = (size_t)w->rows, cols = (size_t)w->cols;
    for (size_t r = 0; r < rows; r++) {
        vb_dequantize_row_f64(w->type, w->data + r * w->row_bytes, cols, row);
        for (size_t t = 0; t < T; t++) {
            double sum = 0.0;
            for (size_t i = 0; i < cols; i++) sum += row[i] * x[t * cols + i];
            y[t * rows + r] = sum + (bias ? (double)bias[r] : 0.0);
        }
    }
}

/* y = x / sqrt(mean(x^2) + eps) * w; y may be x. */
static void rms_norm(const double *x, const float *w, size_t n, double eps, double *y) {
    double squares = 0.0;
    for (size_t i = 0; i < n; i++) squares += x[i] * x[i];
    const double root = sqrt(squares / (double)n + eps);
    for (size_t i = 0; i < n; i++) y[i] = x[i] / root * (double)w[i];
}

/* The same with the mean taken off, plus b where there is one. */
static void layer_norm(const double *x, const float *w, const float *b, size_t n, double eps, double *y) {
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    const double root = sqrt(squares / (double)n + eps);
    for (size_t i = 0; i < n; i++) y[i] = (x[i] - mean) / root * (double)w[i] + (b ? (double)b[i] : 0.0);
}

/* h = the norm of x that the model has before its parts, for T tokens. */
static void norm_before(const vb_model *m, const float *w, const float *b, scratch *s, size_t T) {
    const size_t D = (size_t)m->info.dim;
    for (size_t t = 0; t < T; t++) {
        if (m->layer_norm)
            layer_norm(s->x + t * D, w, b, D, (double)m->eps, s->h + t * D);
        else
            rms_norm(s->x + t * D, w, D, (double)m->eps, s->h + t * D);
    }
}

/* Turns one head by the angles of `position`. */
static void rotate(const vb_rope *rope, const double *freq, size_t position, double *head) {
    const int half = rope->rot / 2;
    for (int j = 0; j < half; j++) {
        const double angle = (double)position * rope->scale * freq[j];
        double s, c;
        vb_sincos(angle, &s, &c);
        s *= rope->mscale;
        c *= rope->mscale;
        double *a = rope->halves ? head + j : head + 2 * j;
        double *b = rope->halves ? head + j + half : head + 2 * j + 1;
        const double old_a = *a, old_b = *b;
        *a = old_a * c - old_b * s;
        *b = old_a * s + old_b * c;
    }
}

/* Norms over heads where the plan has them, then RoPE, for `heads` heads of one token. T: tokens of the whole
 * sequence, which stand for the context's size. */
static void finish_heads(const vb_model *m, const vb_attn *a, const float *norm, size_t position, size_t T,
                         int heads, double *x) {
    const size_t n = (size_t)a->head_dim;
    const vb_rope *rope = &m->ropes[a->rope];
    if (norm && a->norm_whole) rms_norm(x, norm, (size_t)heads * n, (double)m->eps, x);
    for (size_t h = 0; h < (size_t)heads; h++) {
        if (norm && !a->norm_whole) rms_norm(x + h * n, norm, n, (double)m->eps, x + h * n);
        rotate(rope, vb_rope_freq(rope, (int)T), position, x + h * n);
    }
}

/* What scores are divided by. The plan's scale is mostly 1/sqrt(k) rounded, k a whole number; here it is not
 * rounded. */
static double root_of(const vb_attn *a) {
    const double k = 1.0 / ((double)a->scale * (double)a->scale);
    return fabs(k - round(k)) < 1e-6 * k && k > 0.5 ? sqrt(round(k)) : 1.0 / (double)a->scale;
}

/* Head `head` of token t: softmax over its own and the earlier positions that it sees, applied to their
 * values; a sink is one more logit, without a value. */
static void attend(const vb_attn *a, scratch *s, size_t t, size_t head) {
    const size_t H = (size_t)a->n_heads, G = (size_t)a->n_kv_heads, n = (size_t)a->head_dim;
    const size_t group = head * G / H;
    const double *q = row_of(s->q, t, H * n) + head * n;
    double *out = row_of(s->heads, t, H * n) + head * n;
    const size_t first = a->window && t + 1 > (size_t)a->window ? t + 1 - (size_t)a->window : 0;
    const double sink = a->sinks ? (double)a->sinks[head] : -(double)INFINITY, root = root_of(a);
    double max = sink, total = 0.0;
    for (size_t j = first; j <= t; j++) {
        const double *k = row_of(s->k, j, G * n) + group * n;
        double dot = 0.0;
        for (size_t d = 0; d < n; d++) dot += q[d] * k[d];
        s->scores[j] = dot / root;
        if (s->scores[j] > max) max = s->scores[j];
    }
    for (size_t j = first; j <= t; j++) total += s->scores[j] = vb_exp(s->scores[j] - max);
    if (a->sinks) total += vb_exp(sink - max);
    for (size_t d = 0; d < n; d++) out[d] = 0.0;
    for (size_t j = first; j <= t; j++) {
        const double weight = s->scores[j] / total, *v = row_of(s->v, j, G * n) + group * n;
        for (size_t d = 0; d < n; d++) out[d] += weight * v[d];
    }
}

/* x += norm(delta), or delta, times the model's multiplier */
static void add_delta(const vb_model *m, const float *norm, scratch *s, size_t T) {
    const size_t D = (size_t)m->info.dim;
    for (size_t t = 0; t < T && norm; t++)
        rms_norm(s->delta + t * D, norm, D, (double)m->eps, s->delta + t * D);
    for (size_t i = 0; i < T * D; i++) s->x[i] += s->delta[i] * (double)m->residual_scale;
}

/* tanh x = 1 - 2/(e^2x + 1). Where x is small the difference loses digits of tanh x, but none of what counts:
 * below it is added to 1, or a logit that small changes no law. */
static double tanh_of(double x) {
    return 1.0 - 2.0 / (vb_exp(2.0 * x) + 1.0);
}

/* GELU in its tanh form [Hendrycks and Gimpel 1606.08415]. */
static double gelu(double x) {
    return 0.5 * x * (1.0 + tanh_of(sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
}

static void attention_part(const vb_model *m, const vb_layer *l, scratch *s, size_t T) {
    const vb_attn *a = &l->attn;
    const size_t n = (size_t)a->head_dim;
    const size_t Q = (size_t)a->n_heads * n, K = (size_t)a->n_kv_heads * n;
    norm_before(m, l->attn_norm, l->attn_norm_bias, s, T);
    multiply(&a->wq, a->bq, s->h, T, s->row, s->q);
    multiply(&a->wk, a->bk, s->h, T, s->row, s->k);
    multiply(&a->wv, a->bv, s->h, T, s->row, s->v);
    for (size_t t = 0; t < T; t++) {
        finish_heads(m, a, a->q_norm, t, T, a->n_heads, s->q + t * Q);
        finish_heads(m, a, a->k_norm, t, T, a->n_kv_heads, s->k + t * K);
    }
    for (size_t t = 0; t < T; t++) {
        for (size_t head = 0; head < (size_t)a->n_heads; head++) attend(a, s, t, head);
    }
    multiply(&a->wo, a->bo, s->heads, T, s->row, s->delta);
    add_delta(m, l->post_attn_norm, s, T);
}

static double sigmoid(double x) {
    return 1.0 / (1.0 + vb_exp(-x));
}

/* What the gate g makes of u. */
static double gated(vb_gate kind, double g, double u) {
    switch (kind) {
    case VB_SWIGLU: break;
    case VB_GEGLU: return gelu(g) * u;
    case VB_SWIGLU_CLAMPED:
        g = g > 7.0 ? 7.0 : g;
        u = u > 7.0 ? 7.0 : u < -7.0 ? -7.0 : u;
        return g * sigmoid(1.702 * g) * (u + 1.0);
    }
    return g * sigmoid(g) * u;
}

/* delta += weight * expert(h) for the tokens that chose expert e. */
static void add_expert(const vb_model *m, const vb_ffn *f, size_t e, scratch *s, size_t T) {
    const vb_experts *x = &f->experts;
    const size_t D = (size_t)m->info.dim, X = (size_t)x->dim, E = (size_t)x->n;
    double *gate = s->inner, *up = s->inner + T * X;
    size_t n = 0;
    for (size_t t = 0; t < T; t++) {
        if (s->weights[t * E + e] != 0.0) memcpy(s->in + D * n++, s->h + t * D, D * sizeof *s->in);
    }
    multiply(&x->w_gate[e], x->b_gate ? x->b_gate + e * X : NULL, s->in, n, s->row, gate);
    multiply(&x->w_up[e], x->b_up ? x->b_up + e * X : NULL, s->in, n, s->row, up);
    for (size_t i = 0; i < n * X; i++) gate[i] = gated(f->gate, gate[i], up[i]);
    multiply(&x->w_down[e], x->b_down ? x->b_down + e * D : NULL, gate, n, s->row, s->out);
    const double *out = s->out;
    for (size_t t = 0; t < T; t++) {
        const double weight = s->weights[t * E + e];
        if (weight == 0.0) continue;
        for (size_t i = 0; i < D; i++) s->delta[t * D + i] += weight * out[i];
        out += D;
    }
}

/* delta += the experts' sum; what delta holds at first is the shared expert's, times its gate. */
static void experts_part(const vb_model *m, const vb_ffn *f, scratch *s, size_t T) {
    const vb_experts *x = &f->experts;
    const size_t D = (size_t)m->info.dim, E = (size_t)x->n;
    for (size_t t = 0; t < T; t++) {
        double dot = 0.0;
        for (size_t i = 0; i < D && f->shared_gate; i++) dot += (double)f->shared_gate[i] * s->h[t * D + i];
        const double share = f->dim == 0 ? 0.0 : f->shared_gate ? sigmoid(dot) : 1.0;
        for (size_t i = 0; i < D; i++) s->delta[t * D + i] = share == 0.0 ? 0.0 : s->delta[t * D + i] * share;
    }
    multiply(&x->router, x->router_bias, s->h, T, s->row, s->weights);
    for (size_t t = 0; t < T; t++) vb_oracle_route(x, s->weights + t * E);
    for (size_t e = 0; e < E; e++) add_expert(m, f, e, s, T);
}

static void ffn_part(const vb_model *m, const vb_layer *l, scratch *s, size_t T) {
    const vb_ffn *f = &l->ffn;
    const size_t F = (size_t)f->dim;
    norm_before(m, l->ffn_norm, l->ffn_norm_bias, s, T);
    if (f->dim > 0) {
        multiply(&f->w_gate, f->b_gate, s->h, T, s->row, s->gate);
        multiply(&f->w_up, f->b_up, s->h, T, s->row, s->up);
        for (size_t i = 0; i < T * F; i++) s->gate[i] = gated(f->gate, s->gate[i], s->up[i]);
        multiply(&f->w_down, f->b_down, s->gate, T, s->row, s->delta);
    }
    if (f->experts.n > 0) experts_part(m, f, s, T);
    add_delta(m, l->post_ffn_norm, s, T);
}

static int grab(double **out, size_t rows, size_t cols, vb_error *err) {
    if (rows > SIZE_MAX / sizeof(double) / cols)
        return vb_fail(err, VB_ERR_MEMORY, "the oracle needs too much memory: give it fewer tokens");
    void *p = NULL;
    int rc = vb_alloc(&p, rows * cols, sizeof(double), "the oracle", err);
    if (rc == VB_OK) *out = p;
    return rc;
}

static void release(scratch *s) {
    double *const all[] = {s->x,  s->h,   s->q,      s->k,       s->v,  s->heads, s->delta, s->gate,
                           s->up, s->row, s->scores, s->weights, s->in, s->out,   s->inner};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static size_t larger(size_t a, int b) {
    return a > (size_t)b ? a : (size_t)b;
}

static int reserve(const vb_model *m, scratch *s, size_t T, vb_error *err) {
    const vb_model_info *i = &m->info;
    const size_t D = (size_t)i->dim;
    size_t F = 1, E = 1, X = 1; /* of the largest layer */
    for (int layer = 0; layer < i->n_layers; layer++) {
        F = larger(F, m->layers[layer].ffn.dim);
        E = larger(E, m->layers[layer].ffn.experts.n);
        X = larger(X, m->layers[layer].ffn.experts.dim);
    }
    const size_t n = (size_t)i->head_dim, Q = (size_t)i->n_heads * n, K = (size_t)i->n_kv_heads * n;
    int rc;
    if ((rc = grab(&s->x, T, D, err)) || (rc = grab(&s->h, T, D, err)) || (rc = grab(&s->q, T, Q, err)) ||
        (rc = grab(&s->k, T, K, err)) || (rc = grab(&s->v, T, K, err)) || (rc = grab(&s->heads, T, Q, err)) ||
        (rc = grab(&s->delta, T, D, err)) || (rc = grab(&s->gate, T, F, err)) ||
        (rc = grab(&s->up, T, F, err)) || (rc = grab(&s->row, 1, D + Q + F + X, err)) ||
        (rc = grab(&s->scores, T, 1, err)) || (rc = grab(&s->weights, T, E, err)) ||
        (rc = grab(&s->in, T, D, err)) || (rc = grab(&s->out, T, D, err)) ||
        (rc = grab(&s->inner, T, 2 * X, err)))
        return rc;
    return VB_OK;
}

int vb_oracle(const vb_model *m, const int32_t *tokens, size_t n, double *logits, vb_error *err) {
    vb_begin(err);
    const size_t D = (size_t)m->info.dim, V = (size_t)m->info.n_vocab;
    if (n == 0 || n > (size_t)m->info.n_ctx)
        return vb_fail(err, VB_ERR_ARGUMENT, "%zu tokens: must be 1 to %d, the model's context", n,
                       m->info.n_ctx);
    for (size_t t = 0; t < n; t++) {
        if (tokens[t] < 0 || tokens[t] >= m->info.n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT, "token %zu is %d, must be 0 to %d", t, (int)tokens[t],
                           m->info.n_vocab - 1);
    }
    scratch s = {.x = NULL};
    double *result = NULL; /* logits are untouched on error */
    int rc = reserve(m, &s, n, err);
    if (rc == VB_OK) rc = grab(&result, n, V, err);
    if (rc) goto cleanup;

    for (size_t t = 0; t < n; t++)
        vb_dequantize_row_f64(m->embd.type, m->embd.data + (size_t)tokens[t] * m->embd.row_bytes, D,
                              s.x + t * D);
    for (size_t i = 0; i < n * D; i++) s.x[i] *= m->embd_scale;
    for (int layer = 0; layer < m->info.n_layers; layer++) {
        attention_part(m, &m->layers[layer], &s, n);
        ffn_part(m, &m->layers[layer], &s, n);
    }
    norm_before(m, m->output_norm, m->output_norm_bias, &s, n);
    multiply(&m->output, m->output_bias, s.h, n, s.row, result);
    for (size_t i = 0; i < n * V; i++) result[i] /= (double)m->logit_divisor;
    const double cap = (double)m->logit_softcap;
    for (size_t i = 0; i < n * V && cap > 0.0; i++) result[i] = cap * tanh_of(result[i] / cap);
    for (size_t i = 0; i < n * V; i++) {
        if (!isfinite(result[i])) {
            rc = vb_fail(err, VB_ERR_NUMERIC, "the oracle's logits after token %zu are not finite", i / V);
            goto cleanup;
        }
    }
    memcpy(logits, result, n * V * sizeof *logits);
cleanup:
    free(result);
    release(&s);
    return rc;
}
