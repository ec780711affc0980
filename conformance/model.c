/* model.c - levels 4 and 5: everything that a model computes for some prompts, and what it goes on to say. */
#include "conformance/inputs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* In the order of a file: within a position first these, layer by layer;
 * docs/numerics.md says what each is. */
static const char *const OPS[] = {"embd",       "attn_norm", "q",         "k",           "v",
                                  "heads",      "attn_out",  "ffn_norm",  "ffn_router",  "ffn_weights",
                                  "ffn_hidden", "ffn_out",   "layer_out", "output_norm", "logits"};
enum { N_OPS = sizeof OPS / sizeof OPS[0] };

typedef struct row {
    int position, layer, op, n;
    float *x;
} row;

/* Collects what vb_eval shows; the order in which it comes depends on how tokens share calls. */
typedef struct collector {
    bool on, failed;
    row *rows;
    size_t n, room;
} collector;

static void collect(void *user, const char *what, int layer, int position, int rows, int cols,
                    const float *values) {
    collector *c = user;
    int op = 0;
    while (op < N_OPS && strcmp(OPS[op], what) != 0) op++;
    if (!c->on || c->failed || op == N_OPS)
        return; /* what later versions show beside these is not recorded */
    for (int i = 0; i < rows; i++) {
        if (vb_grow((void **)&c->rows, &c->room, c->n + 1, sizeof *c->rows, "activations", NULL)) break;
        float *x = malloc((size_t)cols * sizeof *x);
        if (!x) break;
        memcpy(x, values + (size_t)i * (size_t)cols, (size_t)cols * sizeof *x);
        c->rows[c->n++] = (row){position + i, layer, op, cols, x};
        if (i == rows - 1) return;
    }
    c->failed = true;
}

static void forget(collector *c) {
    for (size_t i = 0; i < c->n; i++) free(c->rows[i].x);
    c->n = 0;
}

/* embd first, output_norm and logits after all layers. */
static int layer_rank(const row *r) {
    return r->layer >= 0 ? r->layer : r->op == 0 ? -1 : 1 << 30;
}

static int by_place(const void *a, const void *b) {
    const row *x = a, *y = b;
    if (x->position != y->position) return x->position < y->position ? -1 : 1;
    if (layer_rank(x) != layer_rank(y)) return layer_rank(x) < layer_rank(y) ? -1 : 1;
    return (x->op > y->op) - (x->op < y->op);
}

static void add_row(vb_buf *out, const row *r, bool full) {
    char hash[33];
    const size_t n = (size_t)r->n;
    cf_hash128(r->x, n * sizeof *r->x, hash);
    vb_buf_addf(out, "{\"position\":%d,", r->position);
    if (r->layer >= 0) vb_buf_addf(out, "\"layer\":%d,", r->layer);
    vb_buf_addf(out, "\"op\":\"%s\",\"n\":%d,\"xxh3\":\"%s\",", OPS[r->op], r->n, hash);
    if (full || n <= 16) {
        vb_buf_addf(out, "\"f32\":\"");
        cf_add_f32(out, r->x, n);
    } else {
        vb_buf_addf(out, "\"first\":\"");
        cf_add_f32(out, r->x, 8);
        vb_buf_addf(out, "\",\"last\":\"");
        cf_add_f32(out, r->x + n - 8, 8);
    }
    vb_buf_addf(out, "\"}\n");
}

/* The log-probability of the token that follows, after every position but the last. */
static void add_logprobs(vb_buf *out, const vb_context *c, const cf_prompt *p, int n_vocab) {
    vb_buf_addf(out, "{\"logprobs\":\"");
    for (size_t i = 0; i + 1 < p->n; i++) {
        const double l = vb_logprob(vb_logits(c, i), n_vocab, p->tokens[i + 1]);
        cf_add_f64(out, &l, 1);
    }
    vb_buf_addf(out, "\"}\n");
}

static double margin_of(const float *logits, int n) {
    float best = -INFINITY, second = -INFINITY;
    for (int i = 0; i < n; i++) {
        if (logits[i] > best) {
            second = best;
            best = logits[i];
        } else if (logits[i] > second) {
            second = logits[i];
        }
    }
    return (double)best - (double)second;
}

/* What the model says next, without a draft. */
static int generate(vb_buf *out, vb_context *c, const cf_prompt *p, const vb_sampling *s, int count,
                    vb_error *err) {
    vb_spec *spec = NULL;
    vb_spec_params sp;
    vb_buf ids = {0}, logprobs = {0}, margins = {0};
    const int n_vocab = vb_model_describe(vb_context_model(c))->n_vocab;
    int rc = vb_context_truncate(c, (int)p->n - 1, err);
    if (rc) return rc;
    vb_spec_defaults(&sp);
    sp.history = p->tokens;
    sp.n_history = p->n - 1;
    if ((rc = vb_spec_open(&spec, c, s, &sp, err)) ||
        (rc = vb_spec_prompt(spec, p->tokens + p->n - 1, 1, err)))
        goto cleanup;
    for (int i = 0; i < count; i++) {
        vb_step step;
        if ((rc = vb_spec_step(spec, 1, &step, err))) goto cleanup;
        const double margin = margin_of(step.logits[0], n_vocab);
        vb_buf_addf(&ids, i ? ",%d" : "%d", (int)step.emitted[0].id);
        cf_add_f64(&logprobs, &step.emitted[0].logprob, 1);
        cf_add_f64(&margins, &margin, 1);
    }
    if (s->temperature <= 0)
        vb_buf_addf(out, "{\"greedy\":[");
    else
        vb_buf_addf(
            out,
            "{\"seed\":\"%llu\",\"temperature\":\"%g\",\"top_k\":%d,\"top_p\":\"%g\",\"min_p\":\"%g\","
            "\"sampled\":[",
            (unsigned long long)s->seed, s->temperature, s->top_k, s->top_p, s->min_p);
    if (ids.s) vb_buf_add(out, ids.s, ids.n);
    vb_buf_addf(out, "],\"logprobs\":\"");
    if (logprobs.s) vb_buf_add(out, logprobs.s, logprobs.n);
    vb_buf_addf(out, "\",\"margins\":\"");
    if (margins.s) vb_buf_add(out, margins.s, margins.n);
    vb_buf_addf(out, "\"}\n");
    if (ids.failed || logprobs.failed || margins.failed) out->failed = true;
cleanup:
    vb_spec_close(spec);
    vb_buf_free(&ids);
    vb_buf_free(&logprobs);
    vb_buf_free(&margins);
    return rc;
}

static int one_prompt(vb_buf *out, const cf_model_spec *s, size_t k, vb_context *c, collector *seen,
                      vb_error *err) {
    const cf_prompt *p = &s->prompts[k];
    uint8_t *want = NULL;
    uint8_t hash[16];
    int rc = vb_context_truncate(c, 0, err);
    if (!rc) rc = vb_alloc((void **)&want, p->n, 1, "a prompt", err);
    if (rc) return rc;
    memset(want, 1, p->n);
    vb_buf_addf(out, "{\"prompt\":%zu,\"tokens\":[", k);
    cf_add_ids(out, p->tokens, p->n);
    vb_buf_addf(out, "]}\n");
    forget(seen);
    seen->on = true;
    rc = vb_eval(c, p->tokens, p->n, want, err);
    seen->on = false;
    if (!rc && seen->failed) rc = vb_fail(err, VB_ERR_MEMORY, "out of memory for a recording");
    if (rc) goto cleanup;
    if (seen->n) qsort(seen->rows, seen->n, sizeof *seen->rows, by_place);
    for (size_t i = 0; i < seen->n; i++) add_row(out, &seen->rows[i], s->full);
    add_logprobs(out, c, p, vb_model_describe(vb_context_model(c))->n_vocab);
    vb_context_hash(c, hash);
    vb_buf_addf(out, "{\"cache\":\"");
    cf_add_bytes(out, hash, sizeof hash);
    vb_buf_addf(out, "\"}\n");
    vb_sampling sampling;
    vb_sampling_defaults(&sampling);
    for (size_t i = 0; i <= s->n_seeds && s->generate > 0 && !rc; i++) {
        sampling.temperature = i ? 0.8 : 0;
        sampling.seed = i ? s->seeds[i - 1] : 0;
        rc = generate(out, c, p, &sampling, s->generate, err);
    }
cleanup:
    free(want);
    return rc;
}

static void add_model_header(vb_buf *out, const cf_model_spec *s, const vb_model_info *info,
                             const char *hash) {
    json_t *h = cf_header("model", s->command), *seeds = json_array();
    json_object_set_new(h, "model", json_string(s->model));
    json_object_set_new(h, "model_xxh3", json_string(hash));
    json_object_set_new(h, "architecture", json_string(info->architecture));
    json_object_set_new(h, "n_layers", json_integer(info->n_layers));
    json_object_set_new(h, "n_vocab", json_integer(info->n_vocab));
    json_object_set_new(h, "activations", json_string(s->activations == VB_ACT_Q16 ? "q16" : "q8"));
    json_object_set_new(h, "kv", json_string(s->kv == VB_F32 ? "f32" : "f16"));
    json_object_set_new(h, "full", json_boolean(s->full));
    json_object_set_new(h, "prompts", json_integer((json_int_t)s->n_prompts));
    json_object_set_new(h, "generate", json_integer(s->generate));
    for (size_t i = 0; i < s->n_seeds; i++) {
        char text[24];
        snprintf(text, sizeof text, "%llu", (unsigned long long)s->seeds[i]);
        json_array_append_new(seeds, json_string(text));
    }
    json_object_set_new(h, "seeds", seeds);
    cf_add_json(out, h);
}

/* Lines of the whole file before its end: the head; of each prompt its tokens, `rows` arrays per position,
 * log-probabilities, the cache and what was generated. */
static size_t lines_of(const cf_model_spec *s, size_t rows) {
    size_t n = 1;
    for (size_t i = 0; i < s->n_prompts; i++)
        n += 1 + s->prompts[i].n * rows + 2 + (s->generate > 0 ? 1 + s->n_seeds : 0);
    return n;
}

int cf_make_model(vb_buf *out, const cf_model_spec *s, const cf_config *config, vb_error *err) {
    char *path = cf_path(s->dir, s->model), *bytes = NULL, hash[33];
    vb_gguf *g = NULL;
    vb_model *m = NULL;
    vb_context *c = NULL;
    collector seen = {0};
    size_t longest = 1, size, from, to, rows = 0;
    bool last;
    int rc = path ? VB_OK : vb_fail(err, VB_ERR_MEMORY, "out of memory for a file name");
    if (!rc) rc = cf_read_file(path, &bytes, &size, err);
    if (!rc) rc = cf_part_range(s->part, s->n_prompts, "prompts", &from, &to, &last, err);
    if (rc) goto cleanup;
    cf_hash128(bytes, size, hash);
    if ((rc = vb_gguf_open(&g, path, err)) || (rc = vb_model_open(&m, g, err))) goto cleanup;
    for (size_t i = 0; i < s->n_prompts; i++) {
        if (s->prompts[i].n < 1) {
            rc = vb_fail(err, VB_ERR_ARGUMENT, "prompt %zu has no tokens", i);
            goto cleanup;
        }
        if (s->prompts[i].n > longest) longest = s->prompts[i].n;
    }
    vb_context_params p;
    vb_context_defaults(&p);
    p.n_ctx = (int)longest + s->generate;
    p.n_threads = config->threads;
    p.batch = config->batch ? config->batch : (int)longest;
    p.kernels = config->kernels;
    p.activations = s->activations;
    p.k_type = p.v_type = s->kv;
    p.observe = collect;
    p.user = &seen;
    if ((rc = vb_context_open(&c, m, &p, err))) goto cleanup;
    if (from == 0) add_model_header(out, s, vb_model_describe(m), hash);
    for (size_t i = from; i < to && !rc; i++) {
        rc = one_prompt(out, s, i, c, &seen, err);
        rows = seen.n / s->prompts[i].n;
    }
    if (rc) goto cleanup;
    if (last) cf_add_end_of(out, lines_of(s, rows));
    rc = vb_buf_done(out, "a vector file", err);
cleanup:
    forget(&seen);
    free(seen.rows);
    vb_context_close(c);
    vb_model_close(m);
    vb_gguf_close(g);
    free(bytes);
    free(path);
    return rc;
}
