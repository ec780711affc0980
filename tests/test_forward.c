/* test_forward.c - one forward pass, whatever the split of the tokens, the batch or the threads (P1): logits
 * of every position and the cache are compared byte for byte. And the pass is the model's: with 15-bit
 * activations and a float32 cache it stays next to the float64 oracle, on every architecture and shape. Then
 * what the comparison is worth: planted changes must be noticed. */
#include "tests/model_util.h"

#include "engine/context.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 200 };

/* Grouped queries, odd head sizes, head_dim*heads apart from dim, tied or not, RoPE variants, float and block
 * types. */
static const gw_model_spec specs[] = {
    {.seed = 1, .type = VB_F32, .heads = 8, .head_dim = 8, .tied = true},
    {.seed = 2, .type = VB_Q8_0, .heads = 8, .kv_heads = 2, .head_dim = 20, .rope_linear = 2.5f},
    {.seed = 3, .arch = "qwen2", .type = VB_Q4_0, .heads = 4, .kv_heads = 2, .tied = true, .rope_base = 1e6f},
    {.seed = 4, .arch = "qwen3", .type = VB_F16, .heads = 4, .kv_heads = 1, .head_dim = 64},
    {.seed = 5, .type = VB_Q5_1, .heads = 8, .kv_heads = 4, .head_dim = 8, .rope_freqs = true},
    {.seed = 6, .arch = "qwen3", .type = VB_Q4_K, .dim = 256, .heads = 4, .ffn = 256, .layers = 1},
    {.seed = 9,
     .arch = "gemma3",
     .type = VB_F16,
     .heads = 4,
     .kv_heads = 1,
     .head_dim = 24,
     .layers = 7,
     .window = 21,
     .softcap = 5.0f,
     .tied = true},
    {.seed = 10,
     .arch = "gemma3",
     .type = VB_Q8_0,
     .heads = 4,
     .kv_heads = 2,
     .layers = 3,
     .window = 16,
     .window_pattern = 2},
    {.seed = 11, .arch = "phi3", .type = VB_Q4_0, .heads = 4, .kv_heads = 2, .window = 37, .long_from = 512},
    {.seed = 12, .arch = "phi3", .type = VB_F32, .dim = 80, .heads = 5, .rot = 10, .long_from = 24},
    {.seed = 13,
     .arch = "qwen3moe",
     .type = VB_Q4_0,
     .kv_heads = 2,
     .ffn = 96,
     .experts = 16,
     .experts_used = 4},
    {.seed = 14, .arch = "qwen3moe", .type = VB_F16, .dim = 40, .heads = 5, .ffn = 24, .experts = 5},
    {.seed = 7, .type = VB_BF16, .dim = 40, .heads = 5, .head_dim = 6, .ffn = 72},
    {.seed = 8,
     .arch = "qwen2",
     .type = VB_Q6_K,
     .dim = 256,
     .heads = 8,
     .kv_heads = 4,
     .ffn = 512,
     .layers = 1},
};
enum { N_SPECS = sizeof specs / sizeof specs[0] };

typedef struct trace {
    float *logits; /* (N, n_vocab) */
    uint8_t hash[16];
} trace;

/* Evaluates N tokens split as `next` says: it returns how many come with the next call. */
static trace run(const test_model *t, const int32_t *tokens, int threads, int batch, vb_activations a,
                 vb_type kv, int (*next)(gw_rng *r), uint64_t seed) {
    const size_t V = (size_t)t->n_vocab;
    trace out = {.logits = malloc((size_t)N * V * sizeof(float))};
    assert_non_null(out.logits);
    uint8_t want[N];
    memset(want, 1, sizeof want);
    vb_context *c = open_context(t, threads, batch, a, kv);
    gw_rng r = {seed};
    for (int done = 0; done < N;) {
        int n = next(&r);
        if (n > N - done) n = N - done;
        eval(c, tokens + done, n, want);
        for (int i = 0; i < n; i++)
            memcpy(out.logits + (size_t)(done + i) * V, vb_logits(c, (size_t)i), V * sizeof(float));
        done += n;
    }
    vb_context_hash(c, out.hash);
    vb_context_close(c);
    return out;
}

static int all_at_once(gw_rng *r) {
    (void)r;
    return N;
}
static int one_by_one(gw_rng *r) {
    (void)r;
    return 1;
}
static int random_pieces(gw_rng *r) {
    return 1 + (int)(gw_next(r) % 40);
}

static bool same(const trace *a, const trace *b, int n_vocab) {
    return !memcmp(a->logits, b->logits, (size_t)N * (size_t)n_vocab * sizeof(float)) &&
           !memcmp(a->hash, b->hash, 16);
}

static void check_splits(const gw_model_spec *spec, vb_activations a, vb_type kv) {
    static const struct {
        int threads, batch;
        int (*next)(gw_rng *r);
    } ways[] = {
        {1, 1, all_at_once}, {2, 64, one_by_one},    {1, 200, all_at_once},
        {3, 7, all_at_once}, {4, 33, random_pieces}, {1, 5, random_pieces},
    };
    int32_t tokens[N];
    test_model t = open_tiny(spec);
    random_tokens(spec->seed, t.n_vocab, tokens, N);
    trace first = run(&t, tokens, 1, 64, a, kv, all_at_once, 0);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        trace other = run(&t, tokens, ways[i].threads, ways[i].batch, a, kv, ways[i].next, spec->seed + i);
        if (!same(&first, &other, t.n_vocab))
            fail_msg("model %d, way %zu (%d threads, batch %d): other bits", (int)spec->seed, i,
                     ways[i].threads, ways[i].batch);
        free(other.logits);
    }
    free(first.logits);
    close_tiny(&t);
}

static void test_splits_q8(void **state) {
    (void)state;
    for (int i = 0; i < N_SPECS; i++) check_splits(&specs[i], VB_ACT_Q8, i % 2 ? VB_F16 : VB_F32);
}

static void test_splits_q16(void **state) {
    (void)state;
    for (int i = 1; i < N_SPECS; i += 4) check_splits(&specs[i], VB_ACT_Q16, i == 1 ? VB_F32 : VB_F16);
}

/* q8 on float weights is no rounding at all, so q8 and q16 agree there; on block weights they must not. */
static void test_activations_matter(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        int32_t tokens[N];
        test_model t = open_tiny(&specs[i]);
        random_tokens(9, t.n_vocab, tokens, N);
        trace a = run(&t, tokens, 1, 64, VB_ACT_Q8, VB_F32, all_at_once, 0);
        trace b = run(&t, tokens, 1, 64, VB_ACT_Q16, VB_F32, all_at_once, 0);
        assert_int_equal(same(&a, &b, t.n_vocab), specs[i].type == VB_F32);
        free(a.logits);
        free(b.logits);
        close_tiny(&t);
    }
}

static void test_oracle(void **state) {
    (void)state;
    enum { SHORT = 40 };
    for (int i = 0; i < N_SPECS; i++) {
        int32_t tokens[N];
        uint8_t want[SHORT];
        memset(want, 1, sizeof want);
        test_model t = open_tiny(&specs[i]);
        const size_t V = (size_t)t.n_vocab;
        double *oracle = malloc(SHORT * V * sizeof *oracle), worst = 0.0, squares = 0.0;
        vb_error err = {.code = VB_OK};
        assert_non_null(oracle);
        random_tokens(10, t.n_vocab, tokens, SHORT);
        vb_context *c = open_context(&t, 1, 16, VB_ACT_Q16, VB_F32);
        eval(c, tokens, SHORT, want);
        assert_int_equal(vb_oracle(t.model, tokens, SHORT, oracle, &err), 0);
        for (size_t row = 0; row < SHORT; row++) {
            for (size_t v = 0; v < V; v++) {
                const double o = oracle[row * V + v];
                worst = fmax(worst, fabs(o - (double)vb_logits(c, row)[v]));
                squares += o * o;
            }
        }
        const double relative = worst / sqrt(squares / (double)(SHORT * V));
        const bool block = vb_type_block_values((int)specs[i].type) > 1;
        print_message("model %d, %s: largest difference from the oracle %.1e of the rms logit\n", i + 1,
                      vb_type_name((int)specs[i].type), relative);
        assert_true(relative < (block ? 5e-3 : 2e-5));
        free(oracle);
        vb_context_close(c);
        close_tiny(&t);
    }
}

/* Rows of two sequences in one call give what each gives alone. */
static void test_shared_call(void **state) {
    (void)state;
    enum { LEN = 30 };
    test_model t = open_tiny(&specs[1]);
    const size_t V = (size_t)t.n_vocab;
    int32_t tokens[2][LEN];
    vb_context *alone[2], *shared[2];
    uint8_t want[LEN], hash[2][16];
    vb_row rows[2 * LEN];
    float *logits = malloc(2 * LEN * V * sizeof *logits);
    assert_non_null(logits);
    memset(want, 1, sizeof want);
    int n = 0;
    for (int s = 0; s < 2; s++) {
        random_tokens(20 + (uint64_t)s, t.n_vocab, tokens[s], LEN);
        alone[s] = open_context(&t, 1, 64, VB_ACT_Q8, VB_F16);
        shared[s] = open_context(&t, 2, 64, VB_ACT_Q8, VB_F16);
        eval(alone[s], tokens[s], LEN, want);
    }
    for (int i = 0; i < LEN; i++) { /* interleaved; the second sequence starts five rows later */
        rows[n++] = (vb_row){
            .token = tokens[0][i], .position = i, .want = true, .cache = &shared[0]->cache, .slot = i};
        if (i >= 5)
            rows[n++] = (vb_row){.token = tokens[1][i - 5],
                                 .position = i - 5,
                                 .want = true,
                                 .cache = &shared[1]->cache,
                                 .slot = i - 5};
    }
    assert_int_equal(vb_executors_forward(&shared[0]->scratch->executors, t.model, rows, n, logits, NULL), 0);
    for (int i = 0; i < n; i++) {
        const int s = rows[i].cache == &shared[1]->cache;
        assert_memory_equal(logits + (size_t)i * V, vb_logits(alone[s], (size_t)rows[i].position),
                            V * sizeof(float));
    }
    shared[0]->length = LEN;
    vb_context_hash(shared[0], hash[0]);
    vb_context_hash(alone[0], hash[1]);
    assert_memory_equal(hash[0], hash[1], 16);
    for (int s = 0; s < 2; s++) {
        vb_context_close(alone[s]);
        vb_context_close(shared[s]);
    }
    free(logits);
    close_tiny(&t);
}

/* Changes one bit of what the next token will read, and says whether logits and hash show it. */
static void expect_noticed(const test_model *t, const vb_context *plain, size_t value, bool in_k) {
    int32_t tokens[N];
    uint8_t h0[16], h1[16];
    random_tokens(30, t->n_vocab, tokens, N);
    vb_context *c = open_context(t, 1, 64, VB_ACT_Q8, VB_F32);
    eval(c, tokens, N - 1, NULL);
    uint32_t *bits = (uint32_t *)(in_k ? c->cache.k : c->cache.v) + value;
    *bits ^= 1u << 20;
    eval(c, tokens + N - 1, 1, NULL);
    vb_context_hash(plain, h0);
    vb_context_hash(c, h1);
    assert_memory_not_equal(h0, h1, 16);
    assert_memory_not_equal(vb_logits(plain, 0), vb_logits(c, 0), (size_t)t->n_vocab * sizeof(float));
    vb_context_close(c);
}

static void test_planted_changes(void **state) {
    (void)state;
    test_model t = open_tiny(&specs[0]);
    const vb_model_info *i = vb_model_describe(t.model);
    int32_t tokens[N];
    random_tokens(30, t.n_vocab, tokens, N);
    vb_context *plain = open_context(&t, 1, 64, VB_ACT_Q8, VB_F32);
    eval(plain, tokens, N - 1, NULL);
    eval(plain, tokens + N - 1, 1, NULL);
    /* (layer, kv_head, position, dimension): the first value, the last head's last position, one in the
     * middle */
    const size_t per_head = (size_t)vb_context_size(plain) * (size_t)i->head_dim;
    const size_t last_head = ((size_t)i->n_layers * (size_t)i->n_kv_heads - 1) * per_head;
    expect_noticed(&t, plain, 0, true);
    expect_noticed(&t, plain, last_head + (size_t)(N - 2) * (size_t)i->head_dim, true);
    expect_noticed(&t, plain, last_head + 100 * (size_t)i->head_dim + 3, false);
    expect_noticed(&t, plain, per_head + 7, false);

    /* One key a row off: position 50 reads what belongs to 51. */
    vb_context *c = open_context(&t, 1, 64, VB_ACT_Q8, VB_F32);
    eval(c, tokens, N - 1, NULL);
    float *k = c->cache.k;
    memcpy(k + 50 * i->head_dim, k + 51 * i->head_dim, (size_t)i->head_dim * sizeof *k);
    eval(c, tokens + N - 1, 1, NULL);
    assert_memory_not_equal(vb_logits(plain, 0), vb_logits(c, 0), (size_t)t.n_vocab * sizeof(float));
    vb_context_close(c);

    /* One bit of one weight in the last layer. */
    gw *w = gw_tiny_writer(&specs[0]);
    for (size_t n = 0; n < w->tensors_len; n++) {
        if (!strcmp(w->tensors[n].name, "blk.1.ffn_down.weight")) w->tensors[n].data[101] ^= 1;
    }
    test_model other;
    assert_int_equal(open_writer(w, &other, NULL), 0);
    c = open_context(&other, 1, 64, VB_ACT_Q8, VB_F32);
    eval(c, tokens, N - 1, NULL);
    eval(c, tokens + N - 1, 1, NULL);
    assert_memory_not_equal(vb_logits(plain, 0), vb_logits(c, 0), (size_t)t.n_vocab * sizeof(float));
    vb_context_close(c);
    close_tiny(&other);
    vb_context_close(plain);
    close_tiny(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splits_q8),          cmocka_unit_test(test_splits_q16),
        cmocka_unit_test(test_activations_matter), cmocka_unit_test(test_oracle),
        cmocka_unit_test(test_shared_call),        cmocka_unit_test(test_planted_changes),
    };
    return cmocka_run_group_tests_name("forward", tests, NULL, NULL);
}
