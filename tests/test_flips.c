/* test_flips.c - how often rounding changes which experts a token goes through, for every architecture that
 * has experts. The choice is a threshold: where two experts are nearly equal, q16 may choose the other one
 * than the float64 oracle, and from there on computes another model. So choices are compared one by one; a
 * flip must lie within the error of what is chosen by, and before the first of a prompt the logits must be
 * as near to the oracle's as a dense model's are.
 *
 * The models are those in vectors/models/hf, quantised where their rows are whole blocks. `test_flips 110`
 * reads 110 prompts instead of 8. */
#include "tests/model_util.h"
#include "tests/gguf_writer.h"
#include "ref/oracle_router.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { N = 48, MOST_LAYERS = 8, MOST_EXPERTS = 16 };

static int prompts = 8; /* of N tokens, for each architecture */

/* One layer's choice at one position: what the experts were chosen by, and which were. */
typedef struct choice {
    double score[MOST_EXPERTS];
    bool chosen[MOST_EXPERTS];
} choice;

static choice of_oracle[MOST_LAYERS][N], of_engine[MOST_LAYERS][N];
static vb_experts routers[MOST_LAYERS]; /* in the order of the layers that have experts */
static int n_choices, n_layers, layers[MOST_LAYERS];

/* What decides: the router's logits, or, where a bias chooses, the probabilities with it. */
static void score(const vb_experts *x, const double *logits, double *out) {
    double max = logits[0], sum = 0;
    for (int e = 1; e < x->n; e++) max = fmax(max, logits[e]);
    for (int e = 0; e < x->n; e++) sum += exp(logits[e] - max);
    for (int e = 0; e < x->n; e++) {
        const double p =
            x->kind == VB_ROUTER_SIGMOID ? 1 / (1 + exp(-logits[e])) : exp(logits[e] - max) / sum;
        out[e] = x->choice_bias ? p + x->choice_bias[e] : logits[e];
    }
}

/* The oracle goes layer by layer through all positions (ld --wrap: Makefile). */
void __real_vb_oracle_route(const vb_experts *x, double *logits);
void __wrap_vb_oracle_route(const vb_experts *x, double *logits);
void __wrap_vb_oracle_route(const vb_experts *x, double *logits) {
    const int layer = n_choices / N;
    assert_in_range(layer, 0, MOST_LAYERS - 1);
    assert_in_range(x->n, 2, MOST_EXPERTS);
    choice *c = &of_oracle[layer][n_choices++ % N];
    routers[layer] = *x;
    score(x, logits, c->score);
    __real_vb_oracle_route(x, logits);
    for (int e = 0; e < x->n; e++) c->chosen[e] = logits[e] > 0;
}

static void observe(void *user, const char *what, int layer, int position, int rows, int cols,
                    const float *values) {
    (void)user;
    const bool router = !strcmp(what, "ffn_router");
    if (!router && strcmp(what, "ffn_weights") != 0) return;
    int at = 0;
    while (at < n_layers && layers[at] != layer) at++;
    if (at == n_layers) layers[n_layers++] = layer;
    assert_in_range(at, 0, MOST_LAYERS - 1);
    for (int r = 0; r < rows; r++) {
        choice *c = &of_engine[at][position + r];
        double logits[MOST_EXPERTS] = {0};
        for (int e = 0; e < cols; e++) {
            if (router)
                logits[e] = (double)values[r * cols + e];
            else
                c->chosen[e] = values[r * cols + e] > 0;
        }
        if (router) score(&routers[at], logits, c->score);
    }
}

/* What came of one model. */
typedef struct count {
    long choices, flips, positions;
    double kl;    /* sum over positions before the first flip of their prompt */
    double worst; /* of flips that come first: the gap between the two experts over the scores' error */
} count;

/* The least gap, by the oracle, between an expert that only it chose and one that only the engine did, over
 * the largest error of a score; 0: the same experts. */
static double flipped(const choice *o, const choice *g, int n) {
    double gap = HUGE_VAL, error = 0;
    bool differ = false;
    for (int a = 0; a < n; a++) {
        error = fmax(error, fabs(o->score[a] - g->score[a]));
        for (int b = 0; b < n; b++)
            if (o->chosen[a] && !g->chosen[a] && g->chosen[b] && !o->chosen[b])
                gap = fmin(gap, fabs(o->score[a] - o->score[b])), differ = true;
    }
    return differ ? gap / error : 0;
}

/* Returns the first position at which another expert was chosen. */
static int compare_choices(const char *name, count *c) {
    int first = N;
    for (int i = 0; i < N; i++)
        for (int l = 0; l < n_layers; l++) {
            const double ratio = flipped(&of_oracle[l][i], &of_engine[l][i], routers[l].n);
            c->choices++;
            if (ratio == 0) continue;
            c->flips++;
            if (first < N) continue; /* the consequence of another one, perhaps */
            first = i;
            c->worst = fmax(c->worst, ratio);
            print_message(
                "%s: layer %d, position %d: another expert, at a gap of %.2f times the scores' error\n", name,
                layers[l], i, ratio);
        }
    return first;
}

static double divergence(const double *o, const float *g, int n) {
    double max_o = -HUGE_VAL, max_g = -HUGE_VAL, sum_o = 0, sum_g = 0, kl = 0;
    for (int v = 0; v < n; v++) max_o = fmax(max_o, o[v]), max_g = fmax(max_g, (double)g[v]);
    for (int v = 0; v < n; v++) sum_o += exp(o[v] - max_o), sum_g += exp((double)g[v] - max_g);
    for (int v = 0; v < n; v++) {
        const double x = o[v] - max_o - log(sum_o);
        kl += exp(x) * (x - ((double)g[v] - max_g - log(sum_g)));
    }
    return kl;
}

static count measure(const char *name, const char *path, vb_activations activations) {
    test_model t = {0};
    vb_context *c = NULL;
    vb_context_params p;
    vb_error err = {0};
    count out = {0};
    uint8_t want[N];
    memset(want, 1, sizeof want);
    vb_context_defaults(&p);
    p.n_ctx = N, p.n_threads = 1, p.activations = activations, p.k_type = p.v_type = VB_F32;
    p.observe = observe;
    if (vb_gguf_open(&t.gguf, path, &err) || vb_model_open(&t.model, t.gguf, &err) ||
        vb_context_open(&c, t.model, &p, &err))
        fail_msg("%s: %s", name, err.message);
    t.n_vocab = vb_model_describe(t.model)->n_vocab;
    double *logits = malloc((size_t)N * (size_t)t.n_vocab * sizeof *logits);
    assert_non_null(logits);
    gw_rng rng = {18};
    for (int k = 0; k < prompts; k++) {
        int32_t ids[N];
        for (int i = 0; i < N; i++) ids[i] = (int32_t)(gw_next(&rng) % (uint64_t)t.n_vocab);
        n_choices = n_layers = 0;
        if (vb_oracle(t.model, ids, N, logits, &err) || vb_context_truncate(c, 0, &err) ||
            vb_eval(c, ids, N, want, &err))
            fail_msg("%s: %s", name, err.message);
        assert_int_equal(n_choices, n_layers * N);
        const int first = compare_choices(name, &out);
        for (int i = 0; i < first; i++)
            out.kl += divergence(logits + (size_t)i * (size_t)t.n_vocab, vb_logits(c, (size_t)i), t.n_vocab);
        out.positions += first;
    }
    free(logits);
    vb_context_close(c);
    close_tiny(&t);
    return out;
}

static const char *const mixtures[] = {"mixtral", "qwen2moe", "qwen3moe",     "gpt-oss",    "granitemoe",
                                       "olmoe",   "glm4moe",  "ernie4_5-moe", "minimax-m2", "phimoe"};

static void quantised(const char *name, char path[256]) {
    char in[128];
    vb_error err = {0};
    const vb_quantize_params q = {.type = "Q4_0", .force = true, .n_threads = 1};
    snprintf(in, sizeof in, "vectors/models/hf/%s.gguf", name);
    gw_temp_path(path);
    if (vb_quantize(in, path, &q, NULL, &err)) fail_msg("%s: %s", name, err.message);
}

static void test_flips(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof mixtures / sizeof mixtures[0]; i++) {
        char path[256];
        quantised(mixtures[i], path);
        const count c = measure(mixtures[i], path, VB_ACT_Q16);
        unlink(path);
        print_message("%s: %ld choices, %ld of them flipped, mean KL %.1e over %ld positions\n", mixtures[i],
                      c.choices, c.flips, c.kl / (double)c.positions, c.positions);
        assert_true(c.choices >= 2L * N * prompts && c.positions >= N * prompts / 2);
        assert_true(c.kl / (double)c.positions <= 1e-6);
        assert_true(c.worst < 10);
        assert_true(c.flips <= c.choices / 100);
    }
}

/* What the bounds are worth: activations of 8 bits go beyond them. */
static void test_bounds(void **state) {
    (void)state;
    char path[256];
    quantised("mixtral", path);
    const count c = measure("mixtral under q8", path, VB_ACT_Q8);
    unlink(path);
    assert_true(c.kl / (double)c.positions > 1e-6 && c.flips > 0);
}

int main(int argc, char **argv) {
    if (argc > 1) prompts = atoi(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flips),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests_name("flips", tests, NULL, NULL);
}
