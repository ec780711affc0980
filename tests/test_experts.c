/* test_experts.c - mixtures of experts: the router against cases worked out by hand; every architecture that
 * has experts gives the same bits for any split and any number of threads (P1), the same tokens,
 * log-probabilities and caches with and without drafts (P2, P4, P5); experts that no token chooses are never
 * read, and those that do not fit into memory are read as mapped. */
#include "tests/model_util.h"
#include "tests/spec_rig.h"
#include "engine/experts.h"
#include "ref/mathf.h"
#include "ref/pass.h"
#include "simd/simd.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---------------------------------------------------------------------- the router */

enum { MOST_EXPERTS = 16 };

static void check_route(const vb_experts *x, const float *logits, const int32_t *chosen,
                        const float *weights) {
    float order[MOST_EXPERTS], w[MOST_EXPERTS];
    int32_t got[MOST_EXPERTS];
    vb_route(x, logits, order, got, w);
    assert_memory_equal(got, chosen, (size_t)x->used * sizeof *got);
    for (int e = 0, u = 0; e < x->n; e++) {
        const bool is_chosen = u < x->used && chosen[u] == e;
        const float want = is_chosen ? weights[u++] : 0.0f;
        if (fabsf(w[e] - want) > 4e-7f)
            fail_msg("expert %d weighs %a, not %a", e, (double)w[e], (double)want);
        assert_true(is_chosen || w[e] == 0.0f);
    }
}

static void test_router(void **state) {
    (void)state;
    const float l[8] = {1.0f, 3.0f, 2.0f, 3.0f, -1.0f, 0.5f, 3.0f, 2.0f};
    const vb_experts plain = {.n = 8, .used = 2, .scale = 1.0f, .groups = 1, .groups_used = 1};
    double sum = 0;
    for (int i = 0; i < 8; i++) sum += exp((double)l[i]);

    /* Three are equal: the two lowest are chosen. */
    const int32_t lowest[2] = {1, 3};
    const float p = (float)(exp(3.0) / sum);
    check_route(&plain, l, lowest, (const float[]){p, p});
    vb_experts x = plain;
    x.normalise = true;
    check_route(&x, l, lowest, (const float[]){0.5f, 0.5f});
    x.scale = 2.5f;
    check_route(&x, l, lowest, (const float[]){1.25f, 1.25f});

    x = plain;
    x.kind = VB_ROUTER_SOFTMAX_CHOSEN;
    x.used = 4;
    const float a = (float)(1.0 / (3.0 + exp(-1.0))), b = (float)(exp(-1.0) / (3.0 + exp(-1.0)));
    check_route(&x, l, (const int32_t[]){1, 2, 3, 6}, (const float[]){a, b, a, a});

    /* The bias chooses 4 and leaves its weight alone. */
    const float bias[8] = {0, 0, 0, 0, 5.0f, 0, 0, 0};
    x = plain;
    x.kind = VB_ROUTER_SIGMOID;
    x.choice_bias = bias;
    const float s3 = (float)(1 / (1 + exp(-3.0))), s4 = (float)(1 / (1 + exp(1.0)));
    check_route(&x, l, (const int32_t[]){1, 4}, (const float[]){s3, s4});

    /* Groups of two: {1, 3}, {2, 3}, {-1, 0.5}, {3, 2}. By their largest 0, 1 and 3 would tie; by the sum of
     * two, 1 and 3 are best, and expert 1 is out. */
    x = plain;
    x.kind = VB_ROUTER_SIGMOID;
    x.groups = 4;
    x.groups_used = 2;
    const float s2 = (float)(1 / (1 + exp(-2.0)));
    check_route(&x, l, (const int32_t[]){3, 6}, (const float[]){s3, s3});
    x.used = 4;
    check_route(&x, l, (const int32_t[]){2, 3, 6, 7}, (const float[]){s2, s3, s3, s2});
}

/* The best is weighed among those near it, then the best of the others among those near that one. */
static void test_sparse_mixer(void **state) {
    (void)state;
    const vb_experts x = {
        .n = 6, .used = 2, .kind = VB_ROUTER_SPARSE_MIXER, .scale = 1.0f, .groups = 1, .groups_used = 1};
    const float near = (float)(1 / (1 + exp(-0.03))); /* 2 and 1.97 */
    check_route(&x, (const float[]){1.0f, 1.97f, 0.0f, 2.0f, 1.9f, -5.0f}, (const int32_t[]){1, 3},
                (const float[]){1.0f, near});
    check_route(&x, (const float[]){1.97f, 1.0f, 0.0f, 3.0f, 2.0f, -5.0f}, (const int32_t[]){3, 4},
                (const float[]){1.0f, near});
    /* Below zero distances are measured by each logit's own size; equal ones share, the lower number
     * first. */
    check_route(&x, (const float[]){-2.0f, -2.0f, -1.0f, -1.01f, -1.1f, -2.0f}, (const int32_t[]){2, 3},
                (const float[]){(float)(1 / (1 + exp(-0.01))), 1.0f});
    check_route(&x, (const float[]){0.0f, 0.0f, 0.0f, -1.0f, -1.0f, -1.0f}, (const int32_t[]){0, 1},
                (const float[]){1.0f / 3, 0.5f});
}

/* Logits whose probabilities round to the same float, but which differ: the larger one wins. */
static void test_logits_choose(void **state) {
    (void)state;
    const vb_experts x = {.n = 3, .used = 1, .scale = 1.0f, .groups = 1, .groups_used = 1};
    const float high = 20.0f, low = nextafterf(20.0f, 0.0f);
    float order[3], w[3];
    int32_t chosen[1];
    vb_route(&x, (const float[]){low, high, 60.0f}, order, chosen, w);
    assert_int_equal(chosen[0], 2);
    vb_route(&x, (const float[]){low, high, -60.0f}, order, chosen, w);
    assert_int_equal(chosen[0], 1);
}

/* ---------------------------------------------------------------------- every architecture */

static const char *const mixtures[] = {"mixtral", "qwen2moe", "qwen3moe",     "gpt-oss",    "granitemoe",
                                       "olmoe",   "glm4moe",  "ernie4_5-moe", "minimax-m2", "phimoe"};
enum { N_MIXTURES = sizeof mixtures / sizeof mixtures[0], N = 90 };

static void open_published(test_model *t, const char *name) {
    char path[128];
    vb_error err = {0};
    snprintf(path, sizeof path, "vectors/models/hf/%s.gguf", name);
    if (vb_gguf_open(&t->gguf, path, &err) || vb_model_open(&t->model, t->gguf, &err))
        fail_msg("%s", err.message);
    t->n_vocab = vb_model_describe(t->model)->n_vocab;
}

/* Logits of all tokens, `piece` at a time, and the cache's hash. */
static float *logits_under(const test_model *t, vb_activations activations, const char *kernels, int threads,
                           int batch, int piece, uint8_t hash[16]) {
    int32_t tokens[N];
    uint8_t want[N];
    vb_context *c = NULL;
    vb_context_params p;
    vb_error err = {0};
    const size_t V = (size_t)t->n_vocab;
    float *out = malloc((size_t)N * V * sizeof *out);
    assert_non_null(out);
    memset(want, 1, sizeof want);
    random_tokens(3, t->n_vocab, tokens, N);
    vb_context_defaults(&p);
    p.activations = activations;
    p.kernels = kernels;
    p.n_threads = threads;
    p.batch = batch;
    if (vb_context_open(&c, t->model, &p, &err)) fail_msg("%s", err.message);
    for (int done = 0; done < N;) {
        const int n = piece < N - done ? piece : N - done;
        eval(c, tokens + done, n, want);
        for (int i = 0; i < n; i++)
            memcpy(out + (size_t)(done + i) * V, vb_logits(c, (size_t)i), V * sizeof *out);
        done += n;
    }
    vb_context_hash(c, hash);
    vb_context_close(c);
    return out;
}

static float *logits_of(const test_model *t, const char *kernels, int threads, int batch, int piece,
                        uint8_t hash[16]) {
    return logits_under(t, VB_ACT_Q8, kernels, threads, batch, piece, hash);
}

static void test_splits(void **state) {
    (void)state;
    static const struct {
        const char *kernels;
        int threads, batch, piece;
    } ways[] = {{"auto", 1, 1, N}, {"auto", 3, 64, 1}, {"auto", 2, 33, 40}, {"ref", 2, 7, N}};
    for (int i = 0; i < N_MIXTURES; i++) {
        test_model t = {0};
        uint8_t hash[16], other[16];
        open_published(&t, mixtures[i]);
        float *first = logits_of(&t, "auto", 2, 64, N, hash);
        for (size_t k = 0; k < sizeof ways / sizeof ways[0]; k++) {
            float *again =
                logits_of(&t, ways[k].kernels, ways[k].threads, ways[k].batch, ways[k].piece, other);
            if (memcmp(first, again, (size_t)N * (size_t)t.n_vocab * sizeof *first) ||
                memcmp(hash, other, 16))
                fail_msg("%s: other bits in way %zu", mixtures[i], k);
            free(again);
        }
        free(first);
        close_tiny(&t);
    }
}

/* Experts in every format: the same bits for the reference, for tokens one by one and for all together. */
static void test_formats(void **state) {
    (void)state;
    static const vb_type types[] = {VB_F16,  VB_BF16, VB_Q4_0,   VB_Q4_1,   VB_Q5_0,
                                    VB_Q5_1, VB_Q8_0, VB_Q2_K,   VB_Q3_K,   VB_Q4_K,
                                    VB_Q5_K, VB_Q6_K, VB_IQ4_NL, VB_IQ4_XS, VB_MXFP4};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const gw_model_spec spec = {.arch = "qwen3moe",
                                    .type = types[i],
                                    .seed = 40 + i,
                                    .dim = 256,
                                    .layers = 1,
                                    .heads = 4,
                                    .kv_heads = 1,
                                    .ffn = 256,
                                    .experts = 5,
                                    .experts_used = 2};
        for (int a = 0; a < 2; a++) {
            const vb_activations acts = a ? VB_ACT_Q16 : VB_ACT_Q8;
            test_model t = open_tiny(&spec);
            uint8_t hash[16], other[16];
            float *first = logits_under(&t, acts, "ref", 2, 64, N, hash);
            for (int way = 0; way < 2; way++) {
                float *again = logits_under(&t, acts, "auto", 1 + 2 * way, 64, way ? 1 : 50, other);
                if (memcmp(first, again, (size_t)N * (size_t)t.n_vocab * sizeof *first) ||
                    memcmp(hash, other, 16))
                    fail_msg("%s, %s, way %d: other bits", vb_type_name((int)types[i]), a ? "q16" : "q8",
                             way);
                free(again);
            }
            free(first);
            close_tiny(&t);
        }
    }
}

static void test_speculation(void **state) {
    (void)state;
    for (int i = 0; i < N_MIXTURES; i++) {
        char path[128];
        snprintf(path, sizeof path, "vectors/models/hf/%s.gguf", mixtures[i]);
        load(&rig.target, path, 128);
        load(&rig.self, path, 128);
        for (int temperature = 0; temperature < 2; temperature++) {
            outcome alone, drafted;
            job j = a_job(VB_ACCEPT_COUPLED, ALONE, 4, (double)temperature, 11);
            run(&j, &alone);
            for (int by = BY_ITSELF; by <= BY_NGRAM; by++) {
                j.by = (who)by;
                run(&j, &drafted);
                same(&alone, &drafted, &j);
                if (by == BY_ITSELF) assert_true(drafted.stats.accepted > 0);
            }
        }
        unload(&rig.target);
        unload(&rig.self);
    }
}

/* ---------------------------------------------------------------------- experts that nobody uses */

static const gw_model_spec sparse = {.arch = "qwen3moe",
                                     .type = VB_Q8_0,
                                     .seed = 21,
                                     .kv_heads = 2,
                                     .ffn = 64,
                                     .experts = 16,
                                     .experts_used = 2};

typedef struct seen {
    bool used[2][16]; /* (layer, expert) */
} seen;

static void note(void *user, const char *what, int layer, int position, int rows, int cols,
                 const float *values) {
    seen *s = user;
    (void)position;
    if (strcmp(what, "ffn_weights") != 0) return;
    for (int i = 0; i < rows * cols; i++) s->used[layer][i % cols] |= values[i] != 0.0f;
}

/* The scale of the first block of an expert's ffn_up becomes infinite. */
static void open_damaged(test_model *t, int layer, int expert) {
    char name[64];
    vb_error err = {0};
    gw *w = gw_tiny_writer(&sparse);
    size_t i = 0;
    snprintf(name, sizeof name, "blk.%d.ffn_up_exps.weight", layer);
    while (strcmp(w->tensors[i].name, name) != 0) i++;
    uint8_t *scale = w->tensors[i].data + (size_t)expert * (size_t)(w->tensors[i].bytes / 16);
    scale[0] = 0x00;
    scale[1] = 0x7c;
    if (open_writer(w, t, &err)) fail_msg("%s", err.message);
}

static int eval_noting(const test_model *t, seen *s, const int32_t *tokens, int n, vb_error *err) {
    vb_context *c = NULL;
    vb_context_params p;
    vb_context_defaults(&p);
    p.observe = note;
    p.user = s;
    p.n_threads = 2;
    if (vb_context_open(&c, t->model, &p, err)) fail_msg("%s", err->message);
    const int rc = vb_eval(c, tokens, (size_t)n, NULL, err);
    if (rc) assert_int_equal(vb_context_length(c), 0);
    vb_expert_stats stats;
    vb_context_expert_stats(c, &stats);
    uint64_t distinct = 0;
    for (int i = 0; i < 32; i++) distinct += s->used[i / 16][i % 16];
    if (!rc) assert_true(stats.layers == 2 && stats.rows == 2 * (uint64_t)n && stats.experts == distinct);
    vb_context_close(c);
    return rc;
}

static void test_by_use(void **state) {
    (void)state;
    const int32_t tokens[3] = {17, 40, 301};
    vb_error err = {0};
    test_model t = open_tiny(&sparse);
    seen s = {0};
    assert_int_equal(eval_noting(&t, &s, tokens, 3, &err), 0);
    int used = -1, unused = -1;
    for (int e = 0; e < 16; e++) {
        if (s.used[1][e]) used = e;
        if (!s.used[1][e]) unused = e;
    }
    assert_true(used >= 0 && unused >= 0);
    for (int e = 0; e < 16; e++) {
        const size_t item = t.model->layers[1].ffn.experts.first + (size_t)e;
        assert_int_equal(vb_once_is(t.model->experts_ready, item), s.used[1][e]);
    }
    close_tiny(&t);

    open_damaged(&t, 1, unused);
    assert_int_equal(eval_noting(&t, &s, tokens, 3, &err), 0);
    close_tiny(&t);
    open_damaged(&t, 1, used);
    for (int again = 0; again < 2; again++) {
        err = (vb_error){0};
        assert_int_equal(eval_noting(&t, &s, tokens, 3, &err), VB_ERR_FORMAT);
        assert_non_null(strstr(err.message, "tiny.gguf: tensor blk.1.ffn_up_exps.weight, block"));
    }
    close_tiny(&t);
}

/* Some experts interleaved, the rest as mapped: the same bits. */
static void test_room(void **state) {
    (void)state;
    const vb_kernels *kernels = NULL;
    vb_error err = {0};
    uint8_t hash[16], other[16];
    test_model t = open_tiny(&sparse);
    float *first = logits_of(&t, "auto", 1, 64, N, hash);
    close_tiny(&t);
    assert_int_equal(vb_kernels_choose("auto", &kernels, &err), 0);
    if (!vb_packer(kernels)) skip();
    for (int part = 0; part <= 3; part++) {
        t = open_tiny(&sparse);
        const uint64_t all = vb_experts_packed_bytes(t.model);
        assert_true(all >= 32 * 3 * 64 * 68);
        const uint64_t room = part == 3 ? 2 * all : all * (uint64_t)part / 3 + 1;
        if (vb_experts_pack_by_use(t.model, vb_packer(kernels), room, &err)) fail_msg("%s", err.message);
        assert_true(t.model->expert_copies->used == 0);
        float *again = logits_of(&t, "auto", 2, 64, 20, other);
        const uint64_t taken = t.model->expert_copies->used;
        assert_true(taken <= room && (part == 0) == (taken == 0));
        assert_int_equal(part == 3, taken == all); /* 90 tokens choose each of the 32 */
        assert_memory_equal(first, again, (size_t)N * (size_t)t.n_vocab * sizeof *first);
        assert_memory_equal(hash, other, 16);
        free(again);
        close_tiny(&t);
    }
    free(first);
}

/* The key gets another value, or is added. */
static void set_u32(gw *w, const char *key, uint32_t value) {
    const size_t len = strlen(key);
    for (size_t i = 0; i + len + 8 <= w->kv_size; i++) {
        if (memcmp(w->kv + i, key, len) != 0) continue;
        memcpy(w->kv + i + len + 4, &value, sizeof value); /* behind the value's type */
        return;
    }
    gw_u32(w, key, value);
}

/* What a file may not say. */
static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
        int code;
        const char *message;
    } cases[] = {
        {"expert_used_count", 17, VB_ERR_FORMAT, "expert_used_count is larger than expert_count"},
        {"expert_gating_func", 4, VB_ERR_UNSUPPORTED, "expert_gating_func"},
        {"expert_group_count", 3, VB_ERR_FORMAT, "expert_group_count does not divide"},
        {"expert_shared_count", 1, VB_ERR_UNSUPPORTED, "qwen3moe.expert_shared_count is not known"},
        {"expert_feed_forward_length", 96, VB_ERR_FORMAT, "ffn_gate_exps.weight has the shape"},
        {"expert_count", 8, VB_ERR_FORMAT, "expected [64, 8]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char key[64];
        test_model t;
        vb_error err = {0};
        gw *w = gw_tiny_writer(&sparse);
        snprintf(key, sizeof key, "qwen3moe.%s", cases[i].key);
        set_u32(w, key, cases[i].value);
        assert_int_equal(open_writer(w, &t, &err), cases[i].code);
        if (!strstr(err.message, cases[i].message)) fail_msg("%s: %s", cases[i].key, err.message);
    }
    /* Tensors of other layers' kinds: a bias that chooses, in an architecture that has none; a dense part. */
    static const char *const names[] = {"blk.0.exp_probs_b.bias", "blk.0.ffn_gate_inp.bias",
                                        "blk.1.ffn_down.bias"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        test_model t;
        vb_error err = {0};
        gw *w = gw_tiny_writer(&sparse);
        gw_tensor(w, names[i], VB_F32, 1, (uint64_t[]){i == 2 ? 64 : 16}, NULL, i == 2 ? 256 : 64);
        assert_int_equal(open_writer(w, &t, &err), VB_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.message, names[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_router),        cmocka_unit_test(test_sparse_mixer),
        cmocka_unit_test(test_logits_choose), cmocka_unit_test(test_splits),
        cmocka_unit_test(test_formats),       cmocka_unit_test(test_speculation),
        cmocka_unit_test(test_by_use),        cmocka_unit_test(test_room),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("experts", tests, NULL, NULL);
}
