/* foreign.c - the engine of foreign.h. */
#include "tests/foreign.h"

#include "conformance/recording.h"
#include "gguf/unpack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const NAMES[FE_LAST] = {
    [FE_NONE] = "no bug",
    [FE_EMBED_SCALED] = "embedding scaled by sqrt(dim)",
    [FE_EPS] = "norm epsilon 1e-2 instead of the file's",
    [FE_NORM_PLUS_ONE] = "norm weight used as 1 + w",
    [FE_NORM_NOT_CENTRED] = "LayerNorm (mean taken off) for RMSNorm",
    [FE_NO_BIAS] = "biases of q, k, v missing",
    [FE_NO_QK_NORM] = "q and k norms missing",
    [FE_QK_NORM_LATE] = "q and k norms after RoPE instead of before",
    [FE_ROPE_PAIRING] = "RoPE pairs (2j, 2j+1) and (j, j + rot/2) exchanged",
    [FE_ROPE_BASE] = "RoPE base not the file's",
    [FE_ROPE_POSITION] = "RoPE positions counted from 1",
    [FE_ROPE_FREQS] = "rope_freqs ignored",
    [FE_ROPE_SCALING] = "linear RoPE scaling ignored",
    [FE_ROPE_NOT_K] = "keys not rotated",
    [FE_KV_HEADS] = "KV head h mod G instead of h/(H/G)",
    [FE_NO_SCALE] = "softmax without the scale",
    [FE_SCALE_DIM] = "scores scaled by sqrt(dim) instead of sqrt(head_dim)",
    [FE_MASK_AHEAD] = "causal mask off by one: sees the next token",
    [FE_MASK_SELF] = "causal mask off by one: does not see itself",
    [FE_SOFTMAX_FIRST] = "position 0 forgotten in attention",
    [FE_NO_RESIDUAL] = "residual of the attention missing",
    [FE_RESIDUAL_NORM] = "residual taken after the norm",
    [FE_POST_NORM] = "norm after the attention instead of before",
    [FE_SWAPPED_GATE_UP] = "gate and up exchanged",
    [FE_GELU] = "GELU for SiLU",
    [FE_FFN_FROM_X] = "FFN reads the stream before its norm",
    [FE_LAYER_WEIGHTS] = "last layer has the first one's ffn_norm",
    [FE_NO_FINAL_NORM] = "final norm missing",
    [FE_LOGITS_SOFTCAP] = "logits capped by 30*tanh(l/30)",
    [FE_VOCAB_SHIFT] = "logits off by one id",
    [FE_LOGPROB_TEMPERATURE] = "log-probabilities after temperature",
    [FE_LOGPROB_ZERO] = "log-probability 0 for generated tokens",
    [FE_LOGPROB_BASE2] = "log-probabilities in bits",
};

const char *fe_fault_name(fe_fault f) {
    return NAMES[f];
}

typedef struct engine {
    vb_gguf *g;
    fe_fault fault;
    const char *arch;
    int dim, layers, heads, kv_heads, head_dim, ffn, rot, n_vocab;
    double eps, base, factor;
    double *x, *h, *q, *k, *v, *heads_out, *delta, *hidden; /* (T, ...) */
    double *logits;                                         /* (n_vocab) of the row last asked for */
    cf_text *out;                                           /* NULL: nothing is recorded */
} engine;

/* ---------------------------------------------------------------------------------------------- the file */

static double number(const engine *e, const char *suffix, double otherwise) {
    char key[96];
    double v;
    snprintf(key, sizeof key, "%s.%s", e->arch, suffix);
    const vb_meta *m = vb_gguf_find(e->g, key);
    return m && vb_meta_f64(m, 0, &v) ? v : otherwise;
}

static const vb_tensor *tensor(const engine *e, int layer, const char *name) {
    char full[96];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    return vb_gguf_find_tensor(e->g, full);
}

/* Row r of a tensor, as numbers. */
static void row_of(const vb_tensor *t, uint64_t r, double *out) {
    const size_t n = (size_t)t->dims[0];
    vb_dequantize_row_f64(t->type, t->data + r * (t->bytes / (t->dims[1] * t->dims[2])), n, out);
}

/* y = W x + b; b may be missing. */
static void linear(const engine *e, int layer, const char *name, const char *bias, const double *x,
                   double *y) {
    const vb_tensor *w = tensor(e, layer, name), *b = bias ? tensor(e, layer, bias) : NULL;
    const int n = (int)w->dims[0], rows = (int)w->dims[1];
    double *row = malloc((size_t)n * sizeof *row);
    for (int r = 0; row && r < rows; r++) {
        double sum = 0;
        row_of(w, (uint64_t)r, row);
        for (int i = 0; i < n; i++) sum += row[i] * x[i];
        y[r] = sum;
    }
    free(row);
    if (!b || e->fault == FE_NO_BIAS) return;
    for (int r = 0; r < rows; r++) {
        float value;
        memcpy(&value, b->data + 4 * (size_t)r, sizeof value);
        y[r] += (double)value;
    }
}

/* ---------------------------------------------------------------------------------------------- the parts */

static void norm(const engine *e, int layer, const char *name, const double *x, int n, double *y) {
    const vb_tensor *w = tensor(e, layer, name);
    double sum = 0, mean = 0;
    if (e->fault == FE_NORM_NOT_CENTRED) {
        for (int i = 0; i < n; i++) mean += x[i] / n;
    }
    for (int i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    const double r = 1 / sqrt(sum / n + (e->fault == FE_EPS ? 1e-2 : e->eps));
    for (int i = 0; i < n; i++) {
        float weight;
        memcpy(&weight, w->data + 4 * (size_t)i, sizeof weight);
        y[i] = (x[i] - mean) * r * ((double)weight + (e->fault == FE_NORM_PLUS_ONE ? 1 : 0));
    }
}

static void rope(const engine *e, double *head, int position) {
    const vb_tensor *freqs = tensor(e, -1, "rope_freqs.weight");
    bool interleaved = !strcmp(e->arch, "llama");
    double base = e->base, p = position;
    if (e->fault == FE_ROPE_PAIRING) interleaved = !interleaved;
    if (e->fault == FE_ROPE_BASE) base = base > 10000 ? 10000 : 500000;
    if (e->fault == FE_ROPE_POSITION) p += 1;
    if (e->fault != FE_ROPE_SCALING) p /= e->factor;
    for (int j = 0; j < e->rot / 2; j++) {
        float f = 1;
        if (freqs && e->fault != FE_ROPE_FREQS) memcpy(&f, freqs->data + 4 * (size_t)j, sizeof f);
        const double angle = p * pow(base, -2.0 * j / e->rot) / (double)f, c = cos(angle), s = sin(angle);
        double *a = head + (interleaved ? 2 * j : j), *b = head + (interleaved ? 2 * j + 1 : j + e->rot / 2);
        const double u = *a * c - *b * s, w = *a * s + *b * c;
        *a = u;
        *b = w;
    }
}

static void head_norms(const engine *e, int layer, double *q, double *k) {
    if (strcmp(e->arch, "qwen3") != 0 || e->fault == FE_NO_QK_NORM) return;
    for (int h = 0; h < e->heads; h++)
        norm(e, layer, "attn_q_norm.weight", q + h * e->head_dim, e->head_dim, q + h * e->head_dim);
    for (int h = 0; h < e->kv_heads; h++)
        norm(e, layer, "attn_k_norm.weight", k + h * e->head_dim, e->head_dim, k + h * e->head_dim);
}

static void project(const engine *e, int layer, int t, const double *h) {
    double *q = e->q + t * e->heads * e->head_dim, *k = e->k + t * e->kv_heads * e->head_dim;
    linear(e, layer, "attn_q.weight", "attn_q.bias", h, q);
    linear(e, layer, "attn_k.weight", "attn_k.bias", h, k);
    linear(e, layer, "attn_v.weight", "attn_v.bias", h, e->v + t * e->kv_heads * e->head_dim);
    if (e->fault != FE_QK_NORM_LATE) head_norms(e, layer, q, k);
    for (int i = 0; i < e->heads; i++) rope(e, q + i * e->head_dim, t);
    for (int i = 0; i < e->kv_heads && e->fault != FE_ROPE_NOT_K; i++) rope(e, k + i * e->head_dim, t);
    if (e->fault == FE_QK_NORM_LATE) head_norms(e, layer, q, k);
}

/* Which positions a token sees. */
static bool sees(const engine *e, int t, int j, int n) {
    if (e->fault == FE_MASK_AHEAD) return j <= t + 1 && j < n;
    if (e->fault == FE_MASK_SELF && t > 0) return j < t;
    if (e->fault == FE_SOFTMAX_FIRST && t > 0) return j > 0 && j <= t;
    return j <= t;
}

static void attend(const engine *e, int t, int n, double *out) {
    double score[256], scale = 1 / sqrt((double)e->head_dim);
    if (e->fault == FE_NO_SCALE) scale = 1;
    if (e->fault == FE_SCALE_DIM) scale = 1 / sqrt((double)e->dim);
    for (int h = 0; h < e->heads; h++) {
        const int kv = e->fault == FE_KV_HEADS ? h % e->kv_heads : h / (e->heads / e->kv_heads);
        const double *q = e->q + (t * e->heads + h) * e->head_dim;
        double max = -INFINITY, sum = 0;
        for (int j = 0; j < n; j++) {
            score[j] = 0;
            if (!sees(e, t, j, n)) continue;
            const double *k = e->k + (j * e->kv_heads + kv) * e->head_dim;
            for (int i = 0; i < e->head_dim; i++) score[j] += q[i] * k[i];
            score[j] *= scale;
            max = fmax(max, score[j]);
        }
        for (int i = 0; i < e->head_dim; i++) out[h * e->head_dim + i] = 0;
        for (int j = 0; j < n; j++) {
            if (!sees(e, t, j, n)) continue;
            const double *v = e->v + (j * e->kv_heads + kv) * e->head_dim, a = exp(score[j] - max);
            sum += a;
            for (int i = 0; i < e->head_dim; i++) out[h * e->head_dim + i] += a * v[i];
        }
        for (int i = 0; i < e->head_dim; i++) out[h * e->head_dim + i] /= sum;
    }
}

static void feed_forward(const engine *e, int layer, const double *h, double *hidden, double *out) {
    double *gate = calloc((size_t)e->ffn, sizeof *gate), *up = calloc((size_t)e->ffn, sizeof *up);
    if (gate && up) {
        linear(e, layer, "ffn_gate.weight", NULL, h, gate);
        linear(e, layer, "ffn_up.weight", NULL, h, up);
        for (int i = 0; i < e->ffn; i++) {
            const double g = e->fault == FE_SWAPPED_GATE_UP ? up[i] : gate[i],
                         u = e->fault == FE_SWAPPED_GATE_UP ? gate[i] : up[i];
            hidden[i] = (e->fault == FE_GELU ? 0.5 * g * (1 + erf(g / sqrt(2))) : g / (1 + exp(-g))) * u;
        }
        linear(e, layer, "ffn_down.weight", NULL, hidden, out);
    }
    free(gate);
    free(up);
}

/* ---------------------------------------------------------------------------------------------- recording */

/* Rows are kept as text per position, so that the file has them in its order. */
static void show(cf_text *rows, int position, int layer, const char *op, const double *x, int n) {
    cf_addf(rows, "{\"position\":%d,", position);
    if (layer >= 0) cf_addf(rows, "\"layer\":%d,", layer);
    cf_addf(rows, "\"op\":\"%s\",\"n\":%d,\"f64\":\"", op, n);
    cf_add_f64(rows, x, (size_t)n);
    cf_addf(rows, "\"}\n");
}

/* One layer for all tokens. */
static void layer_of(const engine *e, int layer, int n, cf_text *rows) {
    const int D = e->dim, Q = e->heads * e->head_dim, K = e->kv_heads * e->head_dim;
    for (int t = 0; t < n; t++) {
        double *x = e->x + t * D, *h = e->h + t * D;
        if (e->fault == FE_POST_NORM)
            memcpy(h, x, (size_t)D * sizeof *h);
        else
            norm(e, layer, "attn_norm.weight", x, D, h);
        project(e, layer, t, h);
    }
    for (int t = 0; t < n; t++) attend(e, t, n, e->heads_out + t * Q);
    for (int t = 0; t < n; t++) {
        double *x = e->x + t * D, *h = e->h + t * D, *delta = e->delta;
        cf_text *r = rows ? &rows[t] : NULL;
        if (r) show(r, t, layer, "attn_norm", h, D);
        if (r) show(r, t, layer, "q", e->q + t * Q, Q);
        if (r) show(r, t, layer, "k", e->k + t * K, K);
        if (r) show(r, t, layer, "v", e->v + t * K, K);
        if (r) show(r, t, layer, "heads", e->heads_out + t * Q, Q);
        linear(e, layer, "attn_output.weight", "attn_output.bias", e->heads_out + t * Q, delta);
        if (e->fault == FE_POST_NORM) norm(e, layer, "attn_norm.weight", delta, D, delta);
        if (r) show(r, t, layer, "attn_out", delta, D);
        for (int i = 0; i < D; i++)
            x[i] = (e->fault == FE_NO_RESIDUAL ? 0 : e->fault == FE_RESIDUAL_NORM ? h[i] : x[i]) + delta[i];
        norm(e, e->fault == FE_LAYER_WEIGHTS ? 0 : layer, "ffn_norm.weight", x, D, h);
        if (r) show(r, t, layer, "ffn_norm", h, D);
        feed_forward(e, layer, e->fault == FE_FFN_FROM_X ? x : h, e->hidden, delta);
        if (r) show(r, t, layer, "ffn_hidden", e->hidden, e->ffn);
        if (r) show(r, t, layer, "ffn_out", delta, D);
        for (int i = 0; i < D; i++) x[i] += delta[i];
        if (r) show(r, t, layer, "layer_out", x, D);
    }
}

static void logits_of(const engine *e, int t, cf_text *r) {
    double *h = e->h + t * e->dim;
    norm(e, -1, "output_norm.weight", e->x + t * e->dim, e->dim, h);
    if (e->fault == FE_NO_FINAL_NORM) memcpy(h, e->x + t * e->dim, (size_t)e->dim * sizeof *h);
    if (r) show(r, t, -1, "output_norm", h, e->dim);
    linear(e, -1, tensor(e, -1, "output.weight") ? "output.weight" : "token_embd.weight", NULL, h, e->logits);
    if (e->fault == FE_LOGITS_SOFTCAP)
        for (int i = 0; i < e->n_vocab; i++) e->logits[i] = 30 * tanh(e->logits[i] / 30);
    if (e->fault == FE_VOCAB_SHIFT)
        memmove(e->logits + 1, e->logits, (size_t)(e->n_vocab - 1) * sizeof *e->logits);
    if (r) show(r, t, -1, "logits", e->logits, e->n_vocab);
}

static double logprob(const engine *e, int32_t id, bool generated) {
    const double T = e->fault == FE_LOGPROB_TEMPERATURE ? 0.8 : 1;
    double max = e->logits[0], sum = 0;
    if (e->fault == FE_LOGPROB_ZERO && generated) return 0;
    for (int i = 1; i < e->n_vocab; i++) max = fmax(max, e->logits[i]);
    for (int i = 0; i < e->n_vocab; i++) sum += exp((e->logits[i] - max) / T);
    const double l = (e->logits[id] - max) / T - log(sum);
    return e->fault == FE_LOGPROB_BASE2 ? l / log(2) : l;
}

/* The whole sequence from nothing; with `out` everything is recorded, otherwise only the last logits are
 * made. */
static void forward(const engine *e, const int32_t *ids, int n, cf_text *out) {
    cf_text *rows = out ? calloc((size_t)n, sizeof *rows) : NULL;
    cf_text lp = {0};
    const vb_tensor *embd = tensor(e, -1, "token_embd.weight");
    for (int t = 0; t < n; t++) {
        row_of(embd, (uint64_t)ids[t], e->x + t * e->dim);
        for (int i = 0; i < e->dim && e->fault == FE_EMBED_SCALED; i++)
            e->x[t * e->dim + i] *= sqrt((double)e->dim);
        if (rows) show(&rows[t], t, -1, "embd", e->x + t * e->dim, e->dim);
    }
    for (int l = 0; l < e->layers; l++) layer_of(e, l, n, rows);
    for (int t = rows ? 0 : n - 1; t < n; t++) {
        logits_of(e, t, rows ? &rows[t] : NULL);
        if (!rows) continue;
        cf_add(out, rows[t].data, rows[t].len);
        cf_text_free(&rows[t]);
        if (t == n - 1) continue;
        const double p = logprob(e, ids[t + 1], false);
        cf_add_f64(&lp, &p, 1);
    }
    if (rows) cf_addf(out, "{\"logprobs\":\"");
    if (rows && lp.data) cf_add(out, lp.data, lp.len);
    if (rows) cf_addf(out, "\"}\n");
    cf_text_free(&lp);
    free(rows);
}

/* The logits of the last position are there already. */
static void greedy(const engine *e, int32_t *ids, int n, int count) {
    cf_text lp = {0};
    cf_addf(e->out, "{\"greedy\":[");
    for (int i = 0; i < count; i++) {
        int best = 0;
        if (i) forward(e, ids, n + i, NULL);
        for (int j = 1; j < e->n_vocab; j++)
            if (e->logits[j] > e->logits[best]) best = j;
        ids[n + i] = best;
        const double p = logprob(e, best, true);
        cf_add_f64(&lp, &p, 1);
        cf_addf(e->out, i ? ",%d" : "%d", best);
    }
    cf_addf(e->out, "],\"logprobs\":\"");
    if (lp.data) cf_add(e->out, lp.data, lp.len);
    cf_addf(e->out, "\"}\n");
    cf_text_free(&lp);
}

/* ---------------------------------------------------------------------------------------------- opening */

static int open_engine(engine *e, const char *path, int room, vb_error *err) {
    const char *arch;
    size_t len;
    static char name[32];
    int rc = vb_gguf_open(&e->g, path, err);
    if (rc) return rc;
    if (!vb_meta_string(e->g, vb_gguf_find(e->g, "general.architecture"), 0, &arch, &len) ||
        len >= sizeof name)
        return vb_fail(err, VB_ERR_FORMAT, "%s: no architecture", path);
    snprintf(name, sizeof name, "%.*s", (int)len, arch);
    e->arch = name;
    e->dim = (int)number(e, "embedding_length", 0);
    e->layers = (int)number(e, "block_count", 0);
    e->heads = (int)number(e, "attention.head_count", 1);
    e->kv_heads = (int)number(e, "attention.head_count_kv", e->heads);
    const int usual = e->dim / e->heads;
    e->head_dim = (int)number(e, "attention.key_length", usual);
    e->rot = (int)number(e, "rope.dimension_count", e->head_dim);
    e->ffn = (int)number(e, "feed_forward_length", 0);
    e->eps = number(e, "attention.layer_norm_rms_epsilon", 1e-5);
    e->base = number(e, "rope.freq_base", 10000);
    e->factor = number(e, "rope.scaling.factor", 1);
    e->n_vocab = (int)tensor(e, -1, "token_embd.weight")->dims[1];
    const size_t D = (size_t)e->dim, Q = (size_t)e->heads * (size_t)e->head_dim,
                 K = (size_t)e->kv_heads * (size_t)e->head_dim, T = (size_t)room;
    double **const parts[] = {&e->x,         &e->h,     &e->q,      &e->k,     &e->v,
                              &e->heads_out, &e->delta, &e->hidden, &e->logits};
    const size_t sizes[] = {T * D, T * D, T * Q, T * K, T * K, T * Q, D, (size_t)e->ffn, (size_t)e->n_vocab};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && !rc; i++)
        rc = vb_alloc((void **)parts[i], sizes[i], sizeof(double), "the foreign engine", err);
    return rc;
}

static void close_engine(engine *e) {
    double *const parts[] = {e->x, e->h, e->q, e->k, e->v, e->heads_out, e->delta, e->hidden, e->logits};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) free(parts[i]);
    vb_gguf_close(e->g);
}

int fe_record(cf_text *out, const char *dir, const char *ours, fe_fault fault, vb_error *err) {
    engine e = {.fault = fault, .out = out};
    cf_recording r;
    int32_t *ids = NULL;
    int rc = cf_recording_open(&r, ours, err);
    if (rc) return rc;
    const int generate = (int)json_integer_value(json_object_get(r.head, "generate"));
    char *path = cf_path(dir, json_string_value(json_object_get(r.head, "model")));
    const int room = (int)r.prompts[0].n + generate;
    rc = path && room <= 256 ? open_engine(&e, path, room, err)
                             : vb_fail(err, VB_ERR_ARGUMENT, "%s: more than 256 tokens", ours);
    if (!rc) rc = vb_alloc((void **)&ids, (size_t)room, sizeof *ids, "tokens", err);
    if (rc) goto cleanup;
    cf_addf(out, "{\"verbatim\":\"vectors\",\"version\":1,\"kind\":\"model\",\"engine\":\"foreign\"}\n");
    memcpy(ids, r.prompts[0].id, r.prompts[0].n * sizeof *ids);
    cf_addf(out, "{\"prompt\":0,\"tokens\":[");
    cf_add_ids(out, ids, r.prompts[0].n);
    cf_addf(out, "]}\n");
    forward(&e, ids, (int)r.prompts[0].n, out);
    /* What is wrong before the logits shows there; the tokens are for what is wrong after them. */
    if (fault == FE_NONE || fault >= FE_LOGPROB_TEMPERATURE) greedy(&e, ids, (int)r.prompts[0].n, generate);
    size_t lines = 0;
    for (size_t i = 0; i < out->len; i++) lines += out->data[i] == '\n';
    cf_addf(out, "{\"end\":%zu}\n", lines);
    rc = cf_text_done(out, err);
cleanup:
    free(ids);
    close_engine(&e);
    cf_recording_close(&r);
    free(path);
    return rc;
}
