/* foreign.c - the engine of foreign.h. */
#include "tests/foreign_engine.h"

#include "conformance/recording.h"

#include <limits.h>
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
    [FE_EMBED_PLAIN] = "embedding not scaled by sqrt(dim)",
    [FE_SCALE_WIDTH] = "scores scaled by sqrt(dim/H) where heads have another size",
    [FE_SCALE_HEAD] = "scores scaled by sqrt(head_dim) where sqrt(dim/H) is right",
    [FE_WINDOW_LONG] = "window of one position too many",
    [FE_WINDOW_SHORT] = "window of one position too few",
    [FE_WINDOW_NONE] = "window ignored",
    [FE_WINDOW_ALL] = "window in layers that see all",
    [FE_WINDOW_LAYERS] = "the first of six layers sees all instead of the last",
    [FE_ROPE_ALL_GLOBAL] = "RoPE of layers that see all in those with a window",
    [FE_ROPE_ALL_LOCAL] = "RoPE of layers with a window in those that see all",
    [FE_ROPE_LOCAL_SCALED] = "linear RoPE scaling in layers with a window",
    [FE_NO_POST_NORM] = "norm behind the attention missing",
    [FE_NO_POST_FFN_NORM] = "norm behind the FFN missing",
    [FE_POST_NORM_SUM] = "norm behind the attention taken of the sum with the residual",
    [FE_POST_NORM_PRE_FFN] = "norm behind the attention taken for the one before the FFN",
    [FE_GELU_ERF] = "GELU by erf instead of tanh (bound of the file)",
    [FE_SILU] = "SiLU for GELU",
    [FE_FUSED_GROUPS] = "fused q, k, v read group by group",
    [FE_FUSED_KV] = "fused q, k, v: k and v exchanged",
    [FE_FUSED_V_EARLY] = "fused q, k, v: v begins one head too early",
    [FE_FUSED_ALTERNATE] = "fused gate and up read as alternating rows",
    [FE_ROPE_WHOLE] = "RoPE over the whole head instead of its first rot values",
    [FE_ROPE_LAST] = "RoPE over the last rot values instead of the first",
    [FE_ROPE_EXPONENT] = "RoPE frequencies by head_dim instead of rot",
    [FE_LONGROPE_SHORT] = "longrope: short factors for a long sequence",
    [FE_LONGROPE_LONG] = "longrope: long factors for a short sequence",
    [FE_LONGROPE_CACHED] = "longrope: keys from before the change keep the short factors",
    [FE_NO_ATTN_FACTOR] = "longrope: attn_factor ignored",
    [FE_YARN_LINEAR] = "YaRN: every frequency divided by the factor",
    [FE_YARN_NO_SCALE] = "YaRN: cosines and sines not scaled by 1 + 0.1 log F",
    [FE_YARN_BETWEEN] = "YaRN: corners not rounded to whole pairs",
    [FE_YARN_ROUNDED] = "gpt-oss's YaRN: corners rounded to whole pairs",
    [FE_NORM_PER_HEAD] = "q and k norms per head instead of over all heads",
    [FE_NO_SINK] = "attention sinks ignored",
    [FE_SINK_VALUE] = "attention sink with a value (that of position 0)",
    [FE_SINK_ADDED] = "attention sink added to every score",
    [FE_WINDOW_ODD] = "window in odd layers instead of even ones",
    [FE_GATE_UP_PLAIN] = "clamped gate: up for up + 1",
    [FE_GATE_SILU] = "clamped gate: SiLU without 1.702",
    [FE_ROUTER_NO_BIAS] = "bias of the router missing",
    [FE_EXPERTS_NO_BIAS] = "biases of the experts missing",
    [FE_RESIDUAL_PLAIN] = "residual multiplier ignored",
    [FE_LOGITS_PLAIN] = "logit divisor ignored",
    [FE_ROUTER_SIGMOID] = "router: softmax and sigmoid exchanged",
    [FE_ROUTER_ALL] = "router: softmax over all experts instead of the chosen",
    [FE_NOT_NORMALISED] = "experts' weights not normalised",
    [FE_NORMALISED] = "experts' weights normalised where they are not",
    [FE_NORMALISED_TWICE] = "experts' weights normalised again after their scale",
    [FE_NO_EXPERT_SCALE] = "experts' weights without their scale",
    [FE_CHOICE_NO_BIAS] = "bias of the choice of experts ignored",
    [FE_BIAS_IN_WEIGHT] = "bias of the choice of experts in their weights",
    [FE_NO_GROUPS] = "groups of experts ignored",
    [FE_GROUP_MAX] = "groups of experts chosen by their maximum",
    [FE_ONE_MORE_EXPERT] = "one expert too many",
    [FE_WEIGHTS_BY_RANK] = "experts' weights in order of size on experts in order of number",
    [FE_NO_SHARED] = "shared expert missing",
    [FE_SHARED_PLAIN] = "shared expert without its gate",
    [FE_SHARED_GATES_ALL] = "shared expert's gate on all experts",
    [FE_NORM_CENTRED] = "RMSNorm for LayerNorm (mean left in)",
    [FE_NORM_NO_BIAS] = "biases of the norms missing",
    [FE_MIXER_SOFTMAX] = "SparseMixer: weights from a softmax over all experts",
    [FE_MIXER_AGAIN] = "SparseMixer: the first expert takes part in the second round",
    [FE_MIXER_WIDE] = "SparseMixer: twice the distance from the best takes part",
    [FE_LOGITS_NO_BIAS] = "bias of the logits missing",
    [FE_LOGITS_SOFTCAP] = "logits capped by 30*tanh(l/30)",
    [FE_VOCAB_SHIFT] = "logits off by one id",
    [FE_LOGPROB_TEMPERATURE] = "log-probabilities after temperature",
    [FE_LOGPROB_ZERO] = "log-probability 0 for generated tokens",
    [FE_LOGPROB_BASE2] = "log-probabilities in bits",
};

const char *fe_fault_name(fe_fault f) {
    return NAMES[f];
}

/* ---------------------------------------------------------------------------------------------- the file */

static double number(const fe_engine *e, const char *suffix, double otherwise) {
    char key[96];
    double v;
    snprintf(key, sizeof key, "%s.%s", e->arch, suffix);
    const vb_meta *m = vb_gguf_find(e->g, key);
    return m && vb_meta_f64(m, 0, &v) ? v : otherwise;
}

const vb_tensor *fe_tensor(const fe_engine *e, int layer, const char *name) {
    char full[96];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    return vb_gguf_find_tensor(e->g, full);
}

/* ---------------------------------------------------------------------------------------------- recording */

void fe_show(vb_buf *rows, int position, int layer, const char *op, const double *x, int n) {
    vb_buf_addf(rows, "{\"position\":%d,", position);
    if (layer >= 0) vb_buf_addf(rows, "\"layer\":%d,", layer);
    vb_buf_addf(rows, "\"op\":\"%s\",\"n\":%d,\"f64\":\"", op, n);
    cf_add_f64(rows, x, (size_t)n);
    vb_buf_addf(rows, "\"}\n");
}

static void logits_of(const fe_engine *e, int t, vb_buf *r) {
    double *h = e->h + t * e->dim;
    fe_norm(e, -1, "output_norm.weight", e->x + t * e->dim, e->dim, h);
    if (e->fault == FE_NO_FINAL_NORM) memcpy(h, e->x + t * e->dim, (size_t)e->dim * sizeof *h);
    if (r) fe_show(r, t, -1, "output_norm", h, e->dim);
    fe_linear(e, -1, fe_tensor(e, -1, "output.weight") ? "output.weight" : "token_embd.weight",
              e->fault == FE_LOGITS_NO_BIAS ? NULL : "output.bias", h, e->logits);
    for (int i = 0; i < e->n_vocab && e->fault != FE_LOGITS_PLAIN; i++) e->logits[i] /= e->logit_divisor;
    const double cap = e->fault == FE_LOGITS_SOFTCAP ? 30 : e->softcap;
    for (int i = 0; i < e->n_vocab && cap > 0; i++) e->logits[i] = cap * tanh(e->logits[i] / cap);
    if (e->fault == FE_VOCAB_SHIFT)
        memmove(e->logits + 1, e->logits, (size_t)(e->n_vocab - 1) * sizeof *e->logits);
    if (r) fe_show(r, t, -1, "logits", e->logits, e->n_vocab);
}

static double logprob(const fe_engine *e, int32_t id, bool generated) {
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
static void forward(const fe_engine *e, const int32_t *ids, int n, vb_buf *out) {
    vb_buf *rows = out ? calloc((size_t)n, sizeof *rows) : NULL;
    vb_buf lp = {0};
    const vb_tensor *embd = fe_tensor(e, -1, "token_embd.weight");
    for (int t = 0; t < n; t++) {
        fe_row(embd, (uint64_t)ids[t], e->x + t * e->dim);
        const double times = e->fault == FE_EMBED_PLAIN ? 1 : e->embd_scale;
        for (int i = 0; i < e->dim; i++) e->x[t * e->dim + i] *= times;
        const bool scaled = e->gemma ? e->fault != FE_EMBED_PLAIN : e->fault == FE_EMBED_SCALED;
        for (int i = 0; i < e->dim && scaled; i++) e->x[t * e->dim + i] *= sqrt((double)e->dim);
        if (rows && t >= e->from) fe_show(&rows[t], t, -1, "embd", e->x + t * e->dim, e->dim);
    }
    for (int l = 0; l < e->layers; l++) fe_layer(e, l, n, rows);
    for (int t = rows ? 0 : n - 1; t < n; t++) {
        logits_of(e, t, rows && t >= e->from ? &rows[t] : NULL);
        if (!rows) continue;
        if (rows[t].s) vb_buf_add(out, rows[t].s, rows[t].n);
        vb_buf_free(&rows[t]);
        if (t == n - 1) continue;
        const double p = logprob(e, ids[t + 1], false);
        cf_add_f64(&lp, &p, 1);
    }
    if (rows) vb_buf_addf(out, "{\"logprobs\":\"");
    if (rows && lp.s) vb_buf_add(out, lp.s, lp.n);
    if (rows) vb_buf_addf(out, "\"}\n");
    vb_buf_free(&lp);
    free(rows);
}

/* The logits of the last position are there already. */
static void greedy(const fe_engine *e, int32_t *ids, int n, int count) {
    vb_buf lp = {0};
    vb_buf_addf(e->out, "{\"greedy\":[");
    for (int i = 0; i < count; i++) {
        int best = 0;
        if (i) forward(e, ids, n + i, NULL);
        for (int j = 1; j < e->n_vocab; j++)
            if (e->logits[j] > e->logits[best]) best = j;
        ids[n + i] = best;
        const double p = logprob(e, best, true);
        cf_add_f64(&lp, &p, 1);
        vb_buf_addf(e->out, i ? ",%d" : "%d", best);
    }
    vb_buf_addf(e->out, "],\"logprobs\":\"");
    if (lp.s) vb_buf_add(e->out, lp.s, lp.n);
    vb_buf_addf(e->out, "\"}\n");
    vb_buf_free(&lp);
}

/* ---------------------------------------------------------------------------------------------- opening */

static void read_numbers(fe_engine *e) {
    e->gemma = !strcmp(e->arch, "gemma3");
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
    e->local_base = number(e, "rope.freq_base_swa", 10000);
    e->factor = number(e, "rope.scaling.factor", 1);
    e->attn_factor = number(e, "rope.scaling.attn_factor", 1);
    e->long_from = (int)number(e, "rope.scaling.original_context_length", INT_MAX);
    e->window = (int)number(e, "attention.sliding_window", 0);
    e->period = (int)number(e, "attention.sliding_window_pattern", !strcmp(e->arch, "gpt-oss") ? 2 : 6);
    e->embd_scale = number(e, "embedding_scale", 1);
    e->residual_scale = number(e, "residual_scale", 1);
    e->logit_divisor = number(e, "logit_scale", 1);
    /* Gemma 3 27B, known by its layers, is the one that scales by the width per head. */
    const double own = e->gemma && e->layers == 62 ? 1 / sqrt((double)e->dim / e->heads) : 0;
    e->attention_scale = number(e, "attention.scale", own);
    const char *type;
    size_t len;
    char key[96];
    snprintf(key, sizeof key, "%s.rope.scaling.type", e->arch);
    const vb_meta *m = vb_gguf_find(e->g, key);
    e->yarn = m && vb_meta_string(e->g, m, 0, &type, &len) && len == 4 && !memcmp(type, "yarn", 4);
    e->softcap = number(e, "final_logit_softcapping", 0);
}

static int open_engine(fe_engine *e, const char *path, int room, vb_error *err) {
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
    read_numbers(e);
    e->n_vocab = (int)fe_tensor(e, -1, "token_embd.weight")->dims[1];
    const size_t D = (size_t)e->dim, Q = (size_t)e->heads * (size_t)e->head_dim,
                 K = (size_t)e->kv_heads * (size_t)e->head_dim, T = (size_t)room;
    double **const parts[] = {&e->x,         &e->h,     &e->q,      &e->k,     &e->v,
                              &e->heads_out, &e->delta, &e->hidden, &e->logits};
    const size_t sizes[] = {
        T * D, T * D, T * Q, T * K, T * K, T * Q, D, (size_t)fe_dense_size(e), (size_t)e->n_vocab};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && !rc; i++)
        rc = vb_alloc((void **)parts[i], sizes[i], sizeof(double), "the foreign engine", err);
    return rc;
}

static void close_engine(fe_engine *e) {
    double *const parts[] = {e->x, e->h, e->q, e->k, e->v, e->heads_out, e->delta, e->hidden, e->logits};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) free(parts[i]);
    vb_gguf_close(e->g);
}

int fe_record(vb_buf *out, const char *dir, const char *ours, fe_fault fault, vb_error *err) {
    fe_engine e = {.fault = fault, .out = out};
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
    size_t first = 0;
    while (first < r.n_rows && r.rows[first].layer < 0) first++;
    if (fault && first < r.n_rows) e.from = r.rows[first].position;
    vb_buf_addf(out, "{\"verbatim\":\"vectors\",\"version\":1,\"kind\":\"model\",\"engine\":\"foreign\"}\n");
    memcpy(ids, r.prompts[0].id, r.prompts[0].n * sizeof *ids);
    vb_buf_addf(out, "{\"prompt\":0,\"tokens\":[");
    cf_add_ids(out, ids, r.prompts[0].n);
    vb_buf_addf(out, "]}\n");
    forward(&e, ids, (int)r.prompts[0].n, out);
    /* What is wrong before the logits shows there; the tokens are for what is wrong after them. */
    if (fault == FE_NONE || fault >= FE_LOGPROB_TEMPERATURE) greedy(&e, ids, (int)r.prompts[0].n, generate);
    size_t lines = 0;
    for (size_t i = 0; i < out->n; i++) lines += out->s[i] == '\n';
    vb_buf_addf(out, "{\"end\":%zu}\n", lines);
    rc = vb_buf_done(out, "a vector file", err);
cleanup:
    free(ids);
    close_engine(&e);
    cf_recording_close(&r);
    free(path);
    return rc;
}
