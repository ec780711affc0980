/* test_golden.c - the forward pass and the oracle against logits that an independent NumPy program computed,
 * and against how far llama.cpp is from them. Needs the fixtures (VB_FIXTURES: a folder with golden/ and
 * models/).
 *
 * The bars, each printed with what was measured:
 *   - our float64 oracle: every logit within 1e-5 of the largest one of NumPy's;
 *   - q8 activations, F16 cache: mean KL at most 0.65 of llama.cpp's on types with 256-wide blocks and their
 *     mixtures, at most 1.4 on types with 32-wide blocks and 1.1 in their geometric mean, at most 2 on float
 *     weights;
 *   - q16 activations, F32 cache: mean KL at most 1e-6 on block-quantised weights; and the oracle's greedy
 *     token at each of 32 further positions wherever its margin exceeds 1e-3;
 *   - architectures that are not implemented are refused. */
#include "include/verbatim.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N_TOKENS = 48, N_GREEDY = 32 };

typedef enum family { FLOATS, NARROW, WIDE } family; /* blocks of 1, 32, 256 values; the widest in the file */

typedef struct golden {
    const char *name;
    char path[4096];
    int32_t tokens[N_TOKENS + N_GREEDY]; /* the sequence, then the oracle's greedy continuation */
    double margin[N_GREEDY];
    double peer_kl;
    family family;
    bool block_quantized;
    int n_vocab;
    float *oracle; /* (N_TOKENS, n_vocab) */
} golden;

static json_t *manifest;
static char folder[2048];
static double narrow_log_sum; /* of log(ratio) over the 32-wide types */
static int narrow_count;

static json_t *get(json_t *object, const char *key) {
    json_t *v = json_object_get(object, key);
    if (!v) fail_msg("manifest.json: %s is missing", key);
    return v;
}

static int load_manifest(void **state) {
    (void)state;
    const char *root = getenv("VB_FIXTURES");
    if (!root || !*root) return 0;
    snprintf(folder, sizeof folder, "%s", root);
    char path[4096];
    snprintf(path, sizeof path, "%s/golden/manifest.json", root);
    json_error_t error;
    manifest = json_load_file(path, 0, &error);
    if (!manifest) fprintf(stderr, "%s: %s\n", path, error.text);
    return manifest ? 0 : -1;
}

static int free_manifest(void **state) {
    (void)state;
    json_decref(manifest);
    return 0;
}

static void need_fixtures(void) {
    if (manifest) return;
    print_message("skipped: VB_FIXTURES is not set\n");
    skip();
}

static float *read_floats(const char *file, size_t n) {
    char path[4096];
    snprintf(path, sizeof path, "%s/golden/%s", folder, file);
    float *out = malloc(n * sizeof *out);
    FILE *f = fopen(path, "rb");
    if (!f || !out || fread(out, sizeof *out, n, f) != n || fgetc(f) != EOF)
        fail_msg("%s: cannot read %zu floats", path, n);
    fclose(f);
    return out;
}

static void load_golden(json_t *entry, golden *g) {
    memset(g, 0, sizeof *g);
    g->name = json_string_value(get(entry, "name"));
    snprintf(g->path, sizeof g->path, "%s/%s", folder, json_string_value(get(entry, "file")));
    json_t *tokens = get(entry, "tokens"), *greedy = get(entry, "greedy");
    assert_int_equal(json_array_size(tokens), N_TOKENS);
    for (size_t i = 0; i < N_TOKENS; i++)
        g->tokens[i] = (int32_t)json_integer_value(json_array_get(tokens, i));
    for (size_t i = 0; i < N_GREEDY; i++) {
        g->tokens[N_TOKENS + i] = (int32_t)json_integer_value(json_array_get(get(greedy, "ids"), i));
        g->margin[i] = json_number_value(json_array_get(get(greedy, "margins"), i));
    }
    json_t *peer = get(get(entry, "peers"), json_string_value(get(entry, "peer")));
    g->peer_kl = json_number_value(get(peer, "kl_mean"));
    g->n_vocab = (int)json_integer_value(get(entry, "n_vocab"));
    const char *type;
    json_t *count;
    json_object_foreach(get(entry, "tensor_types"), type, count) {
        for (int t = 0; t < VB_TYPE_LIMIT; t++) {
            if (!vb_type_name(t) || strcmp(vb_type_name(t), type) != 0) continue;
            const int values = vb_type_block_values(t);
            const family f = values == 1 ? FLOATS : values == 32 ? NARROW : WIDE;
            if (f > g->family) g->family = f;
        }
    }
    g->oracle = read_floats(json_string_value(get(entry, "oracle")), (size_t)N_TOKENS * (size_t)g->n_vocab);
}

/* log softmax in float64, with the system's libm: this is a check, not part of the contract. */
static double log_sum_exp(const float *l, int n) {
    double max = -(double)INFINITY, sum = 0.0;
    for (int i = 0; i < n; i++) max = fmax(max, (double)l[i]);
    for (int i = 0; i < n; i++) sum += exp((double)l[i] - max);
    return max + log(sum);
}

/* KL(p || q) in nats of the softmaxes of two rows of logits. */
static double kl(const float *p, const float *q, int n) {
    const double zp = log_sum_exp(p, n), zq = log_sum_exp(q, n);
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        const double lp = (double)p[i] - zp;
        sum += exp(lp) * (lp - ((double)q[i] - zq));
    }
    return sum;
}

static int argmax(const float *l, int n) {
    int best = 0;
    for (int i = 1; i < n; i++) {
        if (l[i] > l[best]) best = i;
    }
    return best;
}

typedef struct measured {
    double kl_mean, kl_max;
    int top1, greedy_wrong, greedy_ties;
} measured;

/* All tokens in pieces, one of them of a single token; the sequence's logits against the oracle's, and its
 * continuation teacher-forced, so that a near-tie does not end the comparison. */
static measured run(const vb_model *m, const golden *g, vb_activations activations, vb_type kv_type) {
    const int n = N_TOKENS + N_GREEDY - 1, V = g->n_vocab;
    measured r = {.kl_mean = 0.0};
    vb_error err = {.code = VB_OK};
    vb_context_params p;
    vb_context_defaults(&p);
    p.activations = activations;
    p.k_type = p.v_type = kv_type;
    p.n_ctx = n;
    p.n_threads = 1;
    vb_context *c = NULL;
    uint8_t want[N_TOKENS + N_GREEDY];
    memset(want, 1, sizeof want);
    if (vb_context_open(&c, m, &p, &err)) fail_msg("%s", err.message);
    if (vb_eval(c, g->tokens, (size_t)n, want, &err)) fail_msg("%s: %s", g->name, err.message);
    for (int t = 0; t < N_TOKENS; t++) {
        const float *want_logits = g->oracle + (size_t)t * (size_t)V, *got = vb_logits(c, (size_t)t);
        const double d = kl(want_logits, got, V);
        r.kl_mean += d / N_TOKENS;
        r.kl_max = fmax(r.kl_max, d);
        r.top1 += argmax(want_logits, V) == argmax(got, V);
    }
    for (int i = 0; i < N_GREEDY; i++) {
        const bool tie = !(g->margin[i] > 1e-3);
        r.greedy_ties += tie;
        r.greedy_wrong +=
            !tie && argmax(vb_logits(c, (size_t)N_TOKENS - 1 + (size_t)i), V) != g->tokens[N_TOKENS + i];
    }
    vb_context_close(c);
    return r;
}

/* Largest difference of our oracle's logits from NumPy's, relative to the largest logit. */
static double oracle_error(const vb_model *m, const golden *g) {
    const size_t n = (size_t)N_TOKENS * (size_t)g->n_vocab;
    double *logits = malloc(n * sizeof *logits), worst = 0.0, largest = 0.0;
    vb_error err = {.code = VB_OK};
    assert_non_null(logits);
    if (vb_oracle(m, g->tokens, N_TOKENS, logits, &err)) fail_msg("%s: %s", g->name, err.message);
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs(logits[i] - (double)g->oracle[i]));
        largest = fmax(largest, fabs((double)g->oracle[i]));
    }
    free(logits);
    return worst / largest;
}

/* Returns the number of bars missed. */
static int judge(const golden *g, double oracle, const measured *q8, const measured *q16) {
    int missed = 0;
    const double ratio = q8->kl_mean / g->peer_kl, bar = g->family == WIDE     ? 0.65
                                                         : g->family == NARROW ? 1.4
                                                                               : 2.0;
    print_message("| %s | %.1e | %.2e | %.2e | %.2f | %d | %.2e | %d | %d of %d |\n", g->name, oracle,
                  q8->kl_mean, g->peer_kl, ratio, q8->top1, q16->kl_mean, q16->top1,
                  N_GREEDY - q16->greedy_ties - q16->greedy_wrong, N_GREEDY - q16->greedy_ties);
    if (g->family == NARROW) {
        narrow_log_sum += log(ratio);
        narrow_count++;
    }
    missed += !(oracle <= 1e-5);
    missed += !(ratio <= bar);
    missed += g->family != FLOATS && !(q16->kl_mean <= 1e-6);
    missed += q16->greedy_wrong != 0;
    if (missed) print_message("^ %s misses %d of its bars\n", g->name, missed);
    return missed;
}

static void test_models(void **state) {
    (void)state;
    need_fixtures();
    int missed = 0, models = 0;
    size_t i;
    json_t *entry;
    print_message("| model | oracle: largest error | q8, KV F16: mean KL | llama.cpp | ratio | top-1 of 48 | "
                  "q16, KV F32: "
                  "mean KL | top-1 of 48 | greedy |\n|---|---|---|---|---|---|---|---|---|\n");
    json_array_foreach(get(manifest, "models"), i, entry) {
        golden g;
        vb_error err = {.code = VB_OK};
        vb_gguf *file = NULL;
        vb_model *m = NULL;
        load_golden(entry, &g);
        if (vb_gguf_open(&file, g.path, &err) || vb_model_open(&m, file, &err)) fail_msg("%s", err.message);
        assert_int_equal(vb_model_describe(m)->n_vocab, g.n_vocab);
        const measured q8 = run(m, &g, VB_ACT_Q8, VB_F16), q16 = run(m, &g, VB_ACT_Q16, VB_F32);
        missed += judge(&g, oracle_error(m, &g), &q8, &q16);
        models++;
        vb_model_close(m);
        vb_gguf_close(file);
        free(g.oracle);
    }
    const double mean = exp(narrow_log_sum / narrow_count);
    print_message("%d models; geometric mean of the ratios on 32-wide types: %.3f (bar 1.1)\n", models, mean);
    assert_true(models >= 27 && narrow_count >= 7);
    assert_true(mean <= 1.1);
    assert_int_equal(missed, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_models)};
    return cmocka_run_group_tests_name("golden", tests, load_manifest, free_manifest);
}
