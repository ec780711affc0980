/* test_kv.c - the types of the cache (ref/kv.h): how each rounds, against the rule of docs/numerics.md in
 * other words and planted mistakes; the same bits for every set, thread count and cutting of a prompt (P1); a
 * cache after rejected drafts byte for byte as if they had never been (P4); memory; how far each is from
 * float64; what is refused. */
#include "engine/context.h"
#include "gguf/half.h"
#include "gguf/unpack.h"
#include "tests/model_util.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 70 };

/* ---------------------------------------------------------------------- rounding */

/* What a value reads back as, in float64 from the rule. Both quotients are rounded once, to float32. */
static double rule(vb_type type, const float *x, int i) {
    double most = 0, sign = 1;
    for (int j = 0; j < 32; j++) {
        if (fabs((double)x[j]) > most) most = fabs((double)x[j]), sign = x[j] < 0 ? -1 : 1;
    }
    const float wide = type == VB_Q8_0 ? (float)(most / 127) : (float)(-sign * most / 8);
    const double d = (double)vb_half_to_float(vb_float_to_half(wide));
    if (d == 0) return 0;
    double q = nearbyint((double)(float)((double)x[i] * (double)(float)(1 / d)));
    const double low = type == VB_Q8_0 ? -127 : -8, high = type == VB_Q8_0 ? 127 : 7;
    return d * fmin(fmax(q, low), high);
}

static void random_block(gw_rng *rng, int style, float *x) {
    static const float sizes[] = {1.0f, 1e-3f, 3e4f, 1e-7f, 1e-12f};
    for (int i = 0; i < 32; i++) {
        x[i] = gw_normal(rng) * sizes[style % 5];
        if (style % 7 == 3) x[i] = x[i] < 0 ? -1.5f : 1.5f; /* equals */
        if (style % 11 == 5) x[i] = 0.0f;
        if (style % 13 == 7) x[i] = (float)(int)(gw_next(rng) % 255) - 127.0f; /* halves of q4_0's steps */
    }
}

static void test_blocks(void **state) {
    (void)state;
    static const vb_type types[] = {VB_Q8_0, VB_Q4_0};
    gw_rng rng = {8};
    for (int style = 0; style < 20000; style++) {
        float x[32], got[32];
        uint8_t block[34];
        random_block(&rng, style, x);
        for (int t = 0; t < 2; t++) {
            vb_kv_store(types[t], x, 32, block);
            vb_dequantize_row(types[t], block, 32, got);
            for (int i = 0; i < 32; i++) {
                if ((double)got[i] != rule(types[t], x, i))
                    fail_msg("%s, block %d: %a is %a, must be %a", vb_type_name((int)types[t]), style,
                             (double)x[i], (double)got[i], rule(types[t], x, i));
            }
        }
    }
}

/* The rule tells mistakes apart that are easily made. */
static void test_planted(void **state) {
    (void)state;
    gw_rng rng = {9};
    int unrounded = 0, truncated = 0, last = 0;
    for (int n = 0; n < 300; n++) {
        float x[32], a = 0;
        random_block(&rng, 0, x);
        for (int i = 0; i < 32; i++) a = fabsf(x[i]) > a ? fabsf(x[i]) : a;
        const double d = (double)vb_half_to_float(vb_float_to_half(a / 127));
        for (int i = 0; i < 32; i++) {
            const double right = rule(VB_Q8_0, x, i);
            unrounded += d * nearbyint((double)x[i] * 127 / (double)a) != right; /* by the wide scale */
            truncated += d * trunc((double)x[i] / d) != right;
        }
        x[3] = -(x[7] = 9.0f); /* equals of greatest size: the first one's sign counts */
        uint8_t block[18];
        float got[32];
        vb_kv_store(VB_Q4_0, x, 32, block);
        vb_dequantize_row(VB_Q4_0, block, 32, got);
        last += got[3] == -9.0f && got[7] == 7.875f;
    }
    printf("%d by the wide scale, %d by truncation, differ\n", unrounded, truncated);
    assert_true(unrounded > 10 && truncated > 1000);
    assert_int_equal(last, 300);
}

/* ---------------------------------------------------------------------- keys that meet a rounded query */

enum { HEAD = 128, KEYS = 40 };

typedef enum mistake {
    NONE,
    WHOLE_HEAD,  /* one scale for all of the query, not one per 32 values */
    TRUNCATED,   /* and not to the nearest integer */
    HALF_SCALE,  /* the query's scale in 16 bits, as in a block */
    SCALE_LAST,  /* the sum times the scale, not d times the scale */
    BACKWARDS,   /* the last block first */
    ONE_ROUNDING /* both scales first, then the sum */
} mistake;
static const char *const mistakes[] = {"none",       "whole head", "truncated",   "half scale",
                                       "scale last", "backwards",  "one rounding"};

static float largest(const float *x, int n) {
    float a = 0;
    for (int i = 0; i < n; i++) a = fabsf(x[i]) > a ? fabsf(x[i]) : a;
    return a;
}

/* The rule of docs/numerics.md, or one that is nearly it. */
static float integer_score(const float *q, const uint8_t *key, float scale, mistake m) {
    float acc = 0;
    for (int i = 0; i < HEAD / 32; i++) {
        const int b = m == BACKWARDS ? HEAD / 32 - 1 - i : i;
        const float *x = q + 32 * b, a = m == WHOLE_HEAD ? largest(q, HEAD) : largest(x, 32);
        const int8_t *k = (const int8_t *)key + 34 * b + 2;
        uint16_t half;
        long long isum = 0;
        memcpy(&half, key + 34 * b, sizeof half);
        float d = a / 127.0f;
        if (m == HALF_SCALE) d = vb_half_to_float(vb_float_to_half(d));
        const float inverse = 127.0f / a;
        for (int j = 0; j < 32; j++) {
            const float to = m == TRUNCATED ? truncf(x[j] * inverse) : nearbyintf(x[j] * inverse);
            isum += (long long)fminf(fmaxf(to, -127), 127) * k[j];
        }
        if (m != SCALE_LAST) d = d * scale;
        acc = m == ONE_ROUNDING ? fmaf(d * vb_half_to_float(half), (float)isum, acc)
                                : fmaf(d, vb_half_to_float(half) * (float)isum, acc);
    }
    return m == SCALE_LAST ? acc * scale : acc;
}

static void test_integer_keys(void **state) {
    (void)state;
    gw_rng rng = {12};
    int differ[ONE_ROUNDING + 1] = {0};
    for (int round = 0; round < 20; round++) {
        float q[HEAD], x[HEAD], scores[2 * VB_ATTEND_BLOCK];
        uint8_t keys[KEYS * HEAD / 32 * 34];
        for (int j = 0; j < KEYS; j++) {
            for (int i = 0; i < HEAD; i++) x[i] = gw_normal(&rng);
            vb_kv_store(VB_Q8I, x, HEAD, keys + j * HEAD / 32 * 34);
        }
        for (int i = 0; i < HEAD; i++) q[i] = gw_normal(&rng) * (i < 32 ? 4.0f : 1.0f);
        const vb_attention_row row = {.q = q, .scores = scores, .first = round % 3, .n = KEYS};
        const vb_attention a = {.k = keys,
                                .k_stride = HEAD / 32 * 34,
                                .k_type = VB_Q8I,
                                .heads = 1,
                                .head_dim = HEAD,
                                .scale = 0x1.6a09e6p-4f,
                                .n_rows = 1,
                                .rows = &row,
                                .ld = 2 * VB_ATTEND_BLOCK};
        vb_kernels_ref.attend_scores(&a, 0, KEYS, NULL);
        for (int j = row.first; j < KEYS; j++) {
            for (int m = NONE; m <= ONE_ROUNDING; m++)
                differ[m] += scores[j] != integer_score(q, keys + j * HEAD / 32 * 34, a.scale, (mistake)m);
        }
    }
    for (int m = NONE; m <= ONE_ROUNDING; m++)
        printf("%s: %d of 781 scores differ\n", mistakes[m], differ[m]);
    assert_int_equal(differ[NONE], 0);
    for (int m = NONE + 1; m <= ONE_ROUNDING; m++) assert_true(differ[m] > 20);
}

static void test_plain(void **state) {
    (void)state;
    gw_rng rng = {10};
    float x[64];
    uint16_t half[64], bf16[64];
    for (int i = 0; i < 64; i++) x[i] = gw_normal(&rng) * (i % 2 ? 1.0f : 1e-3f);
    vb_kv_store(VB_F16, x, 64, half);
    vb_kv_store(VB_BF16, x, 64, bf16);
    for (int i = 0; i < 64; i++) {
        const uint32_t bits = vb_float_bits(x[i]), up = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
        assert_int_equal(bf16[i], up);
        assert_int_equal(half[i], vb_float_to_half(x[i]));
    }
}

/* The largest value that fits reads back finite, and the next one would not. */
static void test_limits(void **state) {
    (void)state;
    vb_type type;
    for (int i = 0; vb_kv_type(i, &type); i++) {
        float x[32] = {0}, back[32];
        uint8_t block[128];
        const uint32_t limit = vb_kv_limit(type);
        for (int over = 0; over < 2; over++) {
            x[5] = vb_bits_float(over ? limit : limit - 1);
            vb_kv_store(type, x, 32, block);
            vb_dequantize_row(type == VB_Q8I ? VB_Q8_0 : type, block, 32, back);
            if (!!isfinite(back[5]) != !over)
                fail_msg("%s: %a reads back as %a", vb_kv_name(type), (double)x[5], (double)back[5]);
        }
    }
}

/* ---------------------------------------------------------------------- contexts */

static test_model open_model(const char *arch, int window) {
    const gw_model_spec spec = {.seed = 21,
                                .arch = arch,
                                .type = VB_Q8_0,
                                .dim = 128,
                                .heads = 4,
                                .kv_heads = 2,
                                .ffn = 128,
                                .window = window,
                                .layers = 2};
    return open_tiny(&spec);
}

static vb_context *context(const test_model *t, const char *kernels, int threads, int batch, vb_type k,
                           vb_type v) {
    vb_context_params p;
    vb_context *c = NULL;
    vb_error err = {0};
    vb_context_defaults(&p);
    p.n_ctx = 2 * N;
    p.kernels = kernels;
    p.n_threads = threads;
    p.batch = batch;
    p.k_type = k;
    p.v_type = v;
    if (vb_context_open(&c, t->model, &p, &err)) fail_msg("%s", err.message);
    return c;
}

static void same_cache(const vb_context *a, const vb_context *b) {
    const vb_cache *x = &a->cache, *y = &b->cache;
    for (int layer = 0; layer < x->n_layers; layer++) {
        for (int head = 0; head < x->n_kv_heads; head++) {
            const size_t k = vb_cache_row(x, x->k_type, layer, head, 0),
                         v = vb_cache_row(x, x->v_type, layer, head, 0);
            assert_memory_equal((char *)x->k + k, (char *)y->k + k, N * vb_cache_row_bytes(x, x->k_type));
            assert_memory_equal((char *)x->v + v, (char *)y->v + v, N * vb_cache_row_bytes(x, x->v_type));
        }
    }
}

/* One token at a time by the reference; by every set in pieces, with wrong drafts taken back and a tree. */
static void check_types(const test_model *t, vb_type k, vb_type v) {
    static const int32_t parent[7] = {-1, 0, 0, 1, 2, 4, 5}, path[5] = {0, 2, 4, 5, 6};
    int32_t tokens[2 * N], drafts[7];
    vb_error err = {0};
    random_tokens(5, t->n_vocab, tokens, 2 * N);
    vb_context *plain = context(t, "ref", 1, 64, k, v);
    for (int i = 0; i < N; i++) eval(plain, tokens + i, 1, NULL);
    for (const char *const *name = vb_kernel_names(); *name; name++) {
        vb_context *c = context(t, *name, 2, 9, k, v);
        eval(c, tokens, 30, NULL);
        eval(c, tokens + N, 13, NULL);
        assert_int_equal(vb_context_truncate(c, 30, &err), VB_OK);
        for (int i = 0; i < 7; i++) drafts[i] = tokens[N + i];
        for (int i = 0; i < 5; i++) drafts[path[i]] = tokens[30 + i];
        vb_eval_item item = {.context = c, .tokens = drafts, .n = 7, .parent = parent, .err = &err};
        if (vb_eval_many(&item, 1) || vb_context_keep(c, 30, path, 5, &err)) fail_msg("%s", err.message);
        eval(c, tokens + 35, N - 35, NULL);
        assert_memory_equal(vb_logits(plain, 0), vb_logits(c, (size_t)N - 36),
                            (size_t)t->n_vocab * sizeof(float));
        same_cache(plain, c);
        vb_context_close(c);
    }
    vb_context_close(plain);
}

static void test_same_bits(void **state) {
    (void)state;
    static const vb_type pairs[][2] = {
        {VB_F16, VB_F16},   {VB_F32, VB_F32},  {VB_BF16, VB_BF16}, {VB_Q8_0, VB_Q8_0}, {VB_Q4_0, VB_Q4_0},
        {VB_Q8_0, VB_Q4_0}, {VB_F16, VB_Q8_0}, {VB_Q4_0, VB_F32},  {VB_Q8I, VB_Q8_0},  {VB_Q8I, VB_F16}};
    static const char *const archs[] = {"llama", "gemma3"};
    for (int i = 0; i < 2; i++) {
        test_model t = open_model(archs[i], i ? 20 : 0);
        for (size_t j = 0; j < sizeof pairs / sizeof pairs[0]; j++) check_types(&t, pairs[j][0], pairs[j][1]);
        close_tiny(&t);
    }
}

static void test_memory(void **state) {
    (void)state;
    test_model t = open_model("llama", 0);
    const struct {
        vb_type type;
        double bytes; /* of a value */
    } sizes[] = {{VB_F32, 4}, {VB_F16, 2}, {VB_BF16, 2}, {VB_Q8_0, 34.0 / 32}, {VB_Q4_0, 18.0 / 32}};
    for (int i = 0; i < 5; i++) {
        vb_context_params p;
        uint64_t bytes = 0;
        vb_context_defaults(&p);
        p.n_ctx = 100;
        p.k_type = sizes[i].type;
        p.v_type = sizes[(i + 2) % 5].type;
        assert_int_equal(vb_context_check(t.model, &p, &bytes, NULL), VB_OK);
        const double want = 100.0 * 2 * 2 * 32 * (sizes[i].bytes + sizes[(i + 2) % 5].bytes);
        assert_true((double)bytes == want);
    }
    close_tiny(&t);
}

/* Mean KL to float64 under q16, so that the cache is all that is rounded. */
static double distance(const test_model *t, vb_type k, vb_type v, const double *truth) {
    int32_t tokens[N];
    uint8_t want[N];
    const int V = t->n_vocab;
    vb_context_params p;
    vb_context *c = NULL;
    vb_error err = {0};
    double sum = 0;
    random_tokens(5, V, tokens, N);
    memset(want, 1, sizeof want);
    vb_context_defaults(&p);
    p.n_ctx = N;
    p.activations = VB_ACT_Q16;
    p.k_type = k;
    p.v_type = v;
    if (vb_context_open(&c, t->model, &p, &err) || vb_eval(c, tokens, N, want, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < N; i++) {
        const float *l = vb_logits(c, (size_t)i);
        const double *o = truth + (size_t)i * (size_t)V;
        double max = -HUGE_VAL, total = 0;
        for (int j = 0; j < V; j++) max = fmax(max, o[j]);
        for (int j = 0; j < V; j++) total += exp(o[j] - max);
        for (int j = 0; j < V; j++) {
            const double lp = o[j] - max - log(total);
            sum += exp(lp) * (lp - vb_logprob(l, V, j)) / N;
        }
    }
    vb_context_close(c);
    return sum;
}

static void test_distance(void **state) {
    (void)state;
    static const vb_type types[] = {VB_F32, VB_F16, VB_BF16, VB_Q8_0, VB_Q4_0};
    static const double most[] = {1e-6, 1e-6, 1e-4, 3e-4, 0.1};
    /* VB_Q8I: below, of keys only */
    test_model t = open_model("llama", 0);
    int32_t tokens[N];
    vb_error err = {0};
    double *truth = malloc(N * (size_t)t.n_vocab * sizeof *truth), before = -1;
    assert_non_null(truth);
    random_tokens(5, t.n_vocab, tokens, N);
    assert_int_equal(vb_oracle(t.model, tokens, N, truth, &err), VB_OK);
    for (int i = 0; i < 5; i++) {
        const double keys = distance(&t, types[i], VB_F32, truth),
                     values = distance(&t, VB_F32, types[i], truth),
                     both = distance(&t, types[i], types[i], truth);
        printf("%s: mean KL %.2g (keys alone %.2g, values alone %.2g)\n", vb_type_name((int)types[i]), both,
               keys, values);
        assert_true(both < most[i] && both >= before);
        before = i == 2 ? -1 : both; /* bf16 has fewer bits than q8_0, and no common scale: either order */
    }
    const double floats = distance(&t, VB_Q8_0, VB_Q8_0, truth),
                 integers = distance(&t, VB_Q8I, VB_Q8_0, truth);
    printf("Q8I and Q8_0: mean KL %.2g (keys alone %.2g)\n", integers, distance(&t, VB_Q8I, VB_F32, truth));
    assert_true(integers > floats && integers < 3 * most[3]);
    free(truth);
    close_tiny(&t);
}

/* ---------------------------------------------------------------------- refused */

static void refused(const test_model *t, vb_type k, vb_type v, const char *words) {
    vb_context_params p;
    vb_context *c = NULL;
    vb_error err = {0};
    vb_context_defaults(&p);
    p.k_type = k;
    p.v_type = v;
    assert_int_equal(vb_context_open(&c, t->model, &p, &err), VB_ERR_ARGUMENT);
    if (!strstr(err.message, words)) fail_msg("\"%s\" does not say \"%s\"", err.message, words);
}

static void test_refused(void **state) {
    (void)state;
    const gw_model_spec narrow = {
        .seed = 2, .type = VB_F32, .dim = 48, .heads = 2, .head_dim = 24, .ffn = 64, .layers = 1};
    test_model t = open_tiny(&narrow), wide = open_model("llama", 0);
    vb_context *a = context(&wide, "auto", 1, 8, VB_Q8_0, VB_F16),
               *b = context(&wide, "auto", 1, 8, VB_Q8_0, VB_Q8_0);
    vb_error err = {0};
    refused(&t, VB_Q8_0, VB_F16, "k_type: the heads of this model have 24 values, which is no multiple of");
    refused(&t, VB_F16, VB_Q4_0, "v_type: the heads");
    refused(&t, VB_Q6_K, VB_F16, "k_type is 14");
    refused(&t, VB_Q8I, VB_F16, "k_type: the heads of this model have 24 values");
    refused(&wide, VB_F16, VB_Q8I, "v_type is Q8I: it says how keys meet a query, which values do not");
    assert_int_equal(vb_context_copy(a, b, 0, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "v_type"));
    vb_context_close(a);
    vb_context_close(b);
    close_tiny(&t);
    close_tiny(&wide);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),       cmocka_unit_test(test_planted),
        cmocka_unit_test(test_plain),        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_same_bits),    cmocka_unit_test(test_memory),
        cmocka_unit_test(test_distance),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_integer_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
