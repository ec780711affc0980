/* test_kernels_ref.c - the scalar kernels against their definitions, worked out here in another way: exact
 * rational results in float64 or 64-bit integers where they exist, the contract's formula spelled out with
 * explicit lanes where rounding matters, and independent float64 mathematics with a tolerance for the rest.
 * Hashes pin the bits (P1). */
#include "tests/gguf_writer.h"
#include "gguf/half.h"
#include "ref/kernels.h"
#include "ref/mathf.h"
#include "gguf/unpack.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <xxhash.h>

static const vb_type block_types[] = {VB_Q4_0, VB_Q4_1, VB_Q5_0, VB_Q5_1,   VB_Q8_0,   VB_Q2_K, VB_Q3_K,
                                      VB_Q4_K, VB_Q5_K, VB_Q6_K, VB_IQ4_NL, VB_IQ4_XS, VB_MXFP4};
enum { N_BLOCK_TYPES = sizeof block_types / sizeof block_types[0], MAX_N = 2048, MAX_T = 40 };

static float uniform(gw_rng *r) {
    return (float)(int32_t)(gw_next(r) >> 32) * 0x1p-31f;
}

static void fold(uint64_t *hash, const void *data, size_t size) {
    *hash = XXH3_64bits_withSeed(data, size, *hash);
}

static void expect_bits(uint64_t got, uint64_t want) {
    if (got != want)
        fail_msg("the bits have changed: hash %016llx, expected %016llx", (unsigned long long)got,
                 (unsigned long long)want);
}

/* ---------------------------------------------------------------------- activations */

typedef struct acts {
    vb_acts a;
    float *f;
    int8_t *q;
    float *d;
    int32_t *sum16;
} acts;

static acts make_acts(const float *x, int rows, int n, int planes) {
    const size_t R = (size_t)rows, N = (size_t)n;
    acts out = {
        .f = malloc(R * N * 4), .q = malloc(2 * R * N), .d = malloc(R * N / 8), .sum16 = malloc(R * N / 4)};
    assert_true(out.f && out.q && out.d && out.sum16);
    memcpy(out.f, x, R * N * 4);
    for (size_t t = 0; t < R; t++)
        assert_int_equal(vb_kernels_ref.quantize(x + t * N, n, planes, out.q + t * N, R * N,
                                                 out.d + t * (N / 32), out.sum16 + t * (N / 16)),
                         0);
    out.a = (vb_acts){
        .rows = rows, .n = n, .planes = planes, .f = out.f, .q = out.q, .d = out.d, .sum16 = out.sum16};
    return out;
}

static void free_acts(acts *a) {
    free(a->f);
    free(a->q);
    free(a->d);
    free(a->sum16);
}

/* One group by the definition, with the system's rint and ordinary comparisons. */
static void check_group(const float *x, int planes) {
    int8_t q[64];
    float d;
    int32_t sum16[2];
    assert_int_equal(vb_kernels_ref.quantize(x, 32, planes, q, 32, &d, sum16), 0);
    float a = 0.0f;
    for (int i = 0; i < 32; i++) a = fmaxf(a, fabsf(x[i]));
    const float L = planes == 2 ? 16256.0f : 127.0f;
    const bool zero = a < 0x1p-100f;
    const float inverse = zero ? 0.0f : L / a;
    assert_true(d == (zero ? 0.0f : a / L));
    int sums[2] = {0, 0};
    for (int i = 0; i < 32; i++) {
        const float scaled = x[i] * inverse;
        const long want = lrintf(fminf(fmaxf(scaled, -L), L));
        const int got = planes == 2 ? 128 * q[i] + q[32 + i] : q[i];
        assert_int_equal(got, want);
        if (planes == 2) assert_in_range(q[32 + i] + 64, 0, 127);
        sums[i / 16] += got;
    }
    assert_int_equal(sum16[0], sums[0]);
    assert_int_equal(sum16[1], sums[1]);
}

static void test_quantize(void **state) {
    (void)state;
    gw_rng r = {1};
    float x[32];
    for (int round = 0; round < 20000; round++) {
        const int kind = round % 8;
        const float size = ldexpf(1.0f, (int)(gw_next(&r) % 240) - 120);
        for (int i = 0; i < 32; i++) {
            x[i] = uniform(&r) * size;
            if (kind == 1) x[i] = (float)(int)(gw_next(&r) % 255) - 127.0f;           /* integers */
            if (kind == 2) x[i] = ((float)(int)(gw_next(&r) % 254) - 127.0f) + 0.5f;  /* ties */
            if (kind == 3) x[i] = ((float)(int)(gw_next(&r) % 32512) - 16256.0f) / 2; /* ties of q16 */
            if (kind == 4 && i % 5) x[i] = 0.0f;
            if (kind == 5) x[i] = ldexpf(x[i], (int)(gw_next(&r) % 30) - 30);
        }
        if (kind == 1 || kind == 2) x[gw_next(&r) % 32] = 127.0f; /* so that L/a = 1 */
        if (kind == 3) x[gw_next(&r) % 32] = -16256.0f;
        check_group(x, 1);
        check_group(x, 2);
    }
}

static void test_quantize_edges(void **state) {
    (void)state;
    static const float values[] = {0.0f,       -0.0f,           0x1p-149f,   0x1.fffffep-101f, 0x1p-100f,
                                   -0x1p-100f, 0x1p-126f,       1.0f,        -127.0f,          16256.0f,
                                   0x1p127f,   0x1.fffffep127f, -0x1.8p100f, 0x1.000002p0f};
    float x[32];
    for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
        for (int others = 0; others < 2; others++) {
            for (int i = 0; i < 32; i++) x[i] = others ? values[v] * 0.37f * (float)(i % 3 - 1) : 0.0f;
            x[v] = values[v];
            check_group(x, 1);
            check_group(x, 2);
        }
    }
    /* Not finite: an error wherever it stands. */
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    int8_t q[128];
    float d[2];
    int32_t sum16[4];
    for (int i = 0; i < 64; i++) {
        float y[64] = {0};
        y[i] = bad[i % 3];
        assert_int_equal(vb_kernels_ref.quantize(y, 64, 1 + i % 2, q, 64, d, sum16), VB_ERR_NUMERIC);
    }
}

/* ---------------------------------------------------------------------- block-quantised products */

static int64_t largest_sum; /* of magnitudes, seen by expected_dot */

/* The contract, with 64-bit integers: what the 32-bit sums must be, or the test fails on the range. */
static float expected_dot(vb_type type, const uint8_t *row, const acts *x, int t) {
    const int n = x->a.n;
    float acc = 0.0f;
    for (int b = 0; b < n / 32; b++) {
        vb_block32 w;
        vb_unpack32(type, row, (size_t)b, &w);
        int64_t isum = 0, msum = 0, magnitude = 0;
        for (int i = 0; i < 32; i++) {
            const size_t at = (size_t)t * (size_t)n + (size_t)(32 * b + i);
            const int64_t hi = x->q[at], lo = x->a.planes == 2 ? x->q[(size_t)x->a.rows * (size_t)n + at] : 0;
            const int64_t v = x->a.planes == 2 ? 128 * hi + lo : hi;
            isum += w.scale[i / 16] * w.q[i] * v;
            msum += w.min[i / 16] * v;
            magnitude += llabs(w.scale[i / 16] * w.q[i] * v);
        }
        assert_true(magnitude <= INT32_MAX);
        if (magnitude > largest_sum) largest_sum = magnitude;
        const float inner = fmaf(w.d, (float)(int32_t)isum, -(w.m * (float)(int32_t)msum));
        acc = fmaf(x->d[t * (n / 32) + b], inner, acc);
    }
    return acc;
}

/* The same product of real numbers: weights times the activations that the integers stand for, in float64. */
static double real_dot(vb_type type, const uint8_t *row, const acts *x, int t, double *size) {
    const int n = x->a.n;
    static double w[MAX_N];
    vb_dequantize_row_f64(type, row, (size_t)n, w);
    double sum = 0.0;
    *size = 0.0;
    for (int i = 0; i < n; i++) {
        const size_t at = (size_t)t * (size_t)n + (size_t)i;
        const int q = x->a.planes == 2 ? 128 * x->q[at] + x->q[(size_t)x->a.rows * (size_t)n + at] : x->q[at];
        const double term = w[i] * (double)x->d[t * (n / 32) + i / 32] * q;
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static vb_matrix make_matrix(vb_type type, gw_rng *r, int rows, int cols, uint8_t **data) {
    const size_t n = (size_t)rows * (size_t)cols;
    const size_t blocks = (size_t)cols / (size_t)vb_type_block_values((int)type);
    const size_t row_bytes = blocks * (size_t)vb_type_block_bytes((int)type);
    *data = malloc((size_t)rows * row_bytes);
    assert_non_null(*data);
    if (!gw_random_blocks(type, r, 0.5f, n, *data)) fail_msg("no blocks of type %s", vb_type_name((int)type));
    return (vb_matrix){.type = type, .rows = rows, .cols = cols, .data = *data, .row_bytes = row_bytes};
}

static void check_blocks(vb_type type, int planes, uint64_t *hash) {
    enum { ROWS = 21, COLS = 768 };
    gw_rng r = {100 + (uint64_t)type};
    uint8_t *data;
    vb_matrix w = make_matrix(type, &r, ROWS, COLS, &data);
    static float x[MAX_T * COLS], y[MAX_T * ROWS], one[ROWS];
    for (size_t i = 0; i < MAX_T * COLS; i++) x[i] = uniform(&r);
    acts a = make_acts(x, MAX_T, COLS, planes);
    const vb_matmul_fn matmul = vb_kernels_ref.matmul[type];
    matmul(&w, &a.a, 0, ROWS, y, ROWS);
    fold(hash, y, sizeof y);
    for (int t = 0; t < MAX_T; t++) {
        for (int row = 0; row < ROWS; row++) {
            const uint8_t *at = data + (size_t)row * w.row_bytes;
            const float got = y[t * ROWS + row], want = expected_dot(type, at, &a, t);
            assert_memory_equal(&got, &want, 4);
            double size;
            const double real = real_dot(type, at, &a, t, &size);
            if (!(fabs((double)got - real) <= 1e-6 * size + 1e-30))
                fail_msg("%s row %d: %g, real %g", vb_type_name((int)type), row, (double)got, real);
        }
        acts alone =
            make_acts(x + (size_t)t * COLS, 1, COLS, planes); /* one token at a time, in two ranges of rows */
        matmul(&w, &alone.a, 16, ROWS, one, ROWS);
        matmul(&w, &alone.a, 0, 16, one, ROWS);
        assert_memory_equal(one, y + t * ROWS, sizeof one);
        free_acts(&alone);
    }
    free_acts(&a);
    free(data);
}

static void test_blocks(void **state) {
    (void)state;
    uint64_t hash = 0;
    for (int i = 0; i < N_BLOCK_TYPES; i++) {
        check_blocks(block_types[i], 1, &hash);
        check_blocks(block_types[i], 2, &hash);
    }
    expect_bits(hash, 0x99c67561c8f4f6f9u);
}

/* Where a format keeps its float16 scales (-1: no more), and the bytes of its small integer scales. */
typedef struct layout {
    vb_type type;
    int half[2], small, small_len;
} layout;

static const layout layouts[] = {
    {VB_Q4_0, {0, -1}, 0, 0},      {VB_Q4_1, {0, 2}, 0, 0},    {VB_Q5_0, {0, -1}, 0, 0},
    {VB_Q5_1, {0, 2}, 0, 0},       {VB_Q8_0, {0, -1}, 0, 0},   {VB_Q2_K, {80, 82}, 0, 16},
    {VB_Q3_K, {108, -1}, 96, 12},  {VB_Q4_K, {0, 2}, 4, 12},   {VB_Q5_K, {0, 2}, 4, 12},
    {VB_Q6_K, {208, -1}, 192, 16}, {VB_IQ4_NL, {0, -1}, 0, 0}, {VB_IQ4_XS, {0, -1}, 2, 6},
    {VB_MXFP4, {-1, -1}, 0, 1},
};

/* One row against activations of the largest size with the signs that add everything up, and the opposite
 * ones. */
static void check_extreme_row(const layout *l, const uint8_t *row, int values, size_t bytes) {
    double real[256];
    float x[256];
    vb_dequantize_row_f64(l->type, row, (size_t)values, real);
    for (int signs = 0; signs < 3; signs++) {
        for (int i = 0; i < values; i++) {
            const float sign = real[i] < 0 ? -1.0f : 1.0f;
            x[i] = signs == 0 ? sign : signs == 1 ? -sign : 1.0f;
        }
        for (int planes = 1; planes <= 2; planes++) {
            acts a = make_acts(x, 1, values, planes);
            const vb_matrix w = {.type = l->type, .rows = 1, .cols = values, .data = row, .row_bytes = bytes};
            float got;
            vb_kernels_ref.matmul[l->type](&w, &a.a, 0, 1, &got, 1);
            const float want = expected_dot(l->type, row, &a, 0);
            assert_memory_equal(&got, &want, 4);
            free_acts(&a);
        }
    }
}

/* The largest integers a format can hold, against the largest activations: no 32-bit sum may overflow. Every
 * byte of the integers takes every value, and the small scales their extremes, Q6_K's -128 among them. */
static void check_extremes(const layout *l) {
    static const int scales[] = {0x00, 0x3f, 0x7f, 0x80, 0xff};
    const int values = vb_type_block_values((int)l->type);
    const size_t bytes = (size_t)vb_type_block_bytes((int)l->type);
    uint8_t row[512];
    for (int fill = 0; fill < 256; fill++) {
        for (size_t k = 0; k < 5; k++) {
            memset(row, fill, bytes);
            memset(row + l->small, scales[k] == 0xff && l->type == VB_MXFP4 ? 0x81 : scales[k],
                   (size_t)l->small_len);
            for (int h = 0; h < 2; h++) {
                if (l->half[h] >= 0) memcpy(row + l->half[h], "\0\x3c", 2); /* 1 */
            }
            check_extreme_row(l, row, values, bytes);
        }
    }
}

static void test_extremes(void **state) {
    (void)state;
    assert_int_equal(sizeof layouts / sizeof layouts[0], N_BLOCK_TYPES);
    for (int i = 0; i < N_BLOCK_TYPES; i++) check_extremes(&layouts[i]);
    assert_int_equal(largest_sum, 2130706432); /* Q6_K under q16: 32 * 32 * 128 * 16256 */
}

/* ---------------------------------------------------------------------- float products */

static float float_of(vb_type type, const void *data, size_t i) {
    if (type == VB_F32) return ((const float *)data)[i];
    return type == VB_F16 ? vb_half_to_float(((const uint16_t *)data)[i])
                          : vb_bf16_to_float(((const uint16_t *)data)[i]);
}

/* 16 lanes, element i to lane i mod 16, and the tree written out. */
static float lanes_dot(vb_type type, const void *w, const float *x, int n) {
    float l[16] = {0};
    for (int i = 0; i < n; i++) l[i % 16] = fmaf(float_of(type, w, (size_t)i), x[i], l[i % 16]);
    const float a = (l[0] + l[8]) + (l[4] + l[12]), b = (l[2] + l[10]) + (l[6] + l[14]);
    const float c = (l[1] + l[9]) + (l[5] + l[13]), d = (l[3] + l[11]) + (l[7] + l[15]);
    return (a + b) + (c + d);
}

static void test_floats(void **state) {
    (void)state;
    static const vb_type types[] = {VB_F32, VB_F16, VB_BF16};
    static const int sizes[] = {1, 7, 15, 16, 17, 40, 64, 100, 511, 512, 513, 1030, 1500};
    enum { ROWS = 5 };
    static float x[MAX_T * MAX_N], y[MAX_T * ROWS];
    uint64_t hash = 0;
    for (size_t k = 0; k < 3; k++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            const int n = sizes[s];
            gw_rng r = {200 + k};
            uint8_t *data;
            const vb_matrix w = make_matrix(types[k], &r, ROWS, n, &data);
            for (int i = 0; i < MAX_T * n; i++) x[i] = uniform(&r);
            const vb_acts a = {.rows = MAX_T, .n = n, .f = x};
            vb_kernels_ref.matmul[types[k]](&w, &a, 0, ROWS, y, ROWS);
            fold(&hash, y, sizeof y);
            for (int t = 0; t < MAX_T; t++) {
                for (int row = 0; row < ROWS; row++) {
                    const float want = lanes_dot(types[k], data + (size_t)row * w.row_bytes, x + t * n, n);
                    assert_memory_equal(&want, &y[t * ROWS + row], 4);
                }
            }
            free(data);
        }
    }
    expect_bits(hash, 0xe306dc9e859f3755u);
}

/* ---------------------------------------------------------------------- norm, RoPE, attention, SwiGLU */

static void test_rmsnorm(void **state) {
    (void)state;
    static const int sizes[] = {1, 8, 20, 64, 100, 896};
    float x[896], w[896], y[896];
    uint64_t hash = 0;
    for (size_t s = 0; s < 6; s++) {
        gw_rng r = {300};
        const int n = sizes[s];
        double squares = 0.0;
        for (int i = 0; i < n; i++) {
            x[i] = 3.0f * uniform(&r);
            w[i] = uniform(&r);
            squares += (double)x[i] * (double)x[i];
        }
        vb_kernels_ref.rmsnorm(x, w, n, 1e-5f, y);
        fold(&hash, y, (size_t)n * 4);
        const float scale = 1.0f / sqrtf(lanes_dot(VB_F32, x, x, n) / (float)n + 1e-5f);
        for (int i = 0; i < n; i++) {
            assert_true(y[i] == (x[i] * scale) * w[i]);
            const double real = (double)x[i] / sqrt(squares / n + 1e-5) * (double)w[i];
            assert_true(fabs((double)y[i] - real) <= 1e-6 * fabs(real));
        }
        vb_kernels_ref.rmsnorm(x, w, n, 1e-5f, x); /* in place, as heads are normalised */
        assert_memory_equal(x, y, (size_t)n * 4);
    }
    expect_bits(hash, 0x2b485a54b83dbf09u);
}

static void test_layernorm(void **state) {
    (void)state;
    static const int sizes[] = {1, 8, 20, 64, 100, 896};
    float x[896], w[896], b[896], y[896];
    uint64_t hash = 0;
    for (size_t s = 0; s < 12; s++) {
        gw_rng r = {301};
        const int n = sizes[s % 6];
        const float *bias = s < 6 ? b : NULL;
        double sum = 0.0, squares = 0.0;
        for (int i = 0; i < n; i++) {
            x[i] = 2.0f + uniform(&r);
            w[i] = uniform(&r);
            b[i] = uniform(&r);
            sum += (double)x[i];
        }
        for (int i = 0; i < n; i++) squares += ((double)x[i] - sum / n) * ((double)x[i] - sum / n);
        vb_kernels_ref.layernorm(x, w, bias, n, 1e-5f, y);
        fold(&hash, y, (size_t)n * 4);
        for (int i = 0; i < n; i++) {
            const double scaled = ((double)x[i] - sum / n) / sqrt(squares / n + 1e-5) * (double)w[i];
            assert_true(fabs((double)y[i] - scaled - (bias ? (double)b[i] : 0.0)) <= 4e-6);
        }
        vb_kernels_ref.layernorm(x, w, bias, n, 1e-5f, x);
        assert_memory_equal(x, y, (size_t)n * 4);
    }
    expect_bits(hash, 0x5441f7e3545f9bafu);
}

static void test_rope(void **state) {
    (void)state;
    static const int cases[][2] = {{8, 8}, {20, 20}, {64, 64}, {64, 32}, {6, 2}};
    enum { HEADS = 3 };
    float x[HEADS * 64], y[HEADS * 64], c[32], s[32];
    uint64_t hash = 0;
    for (int k = 0; k < 10; k++) {
        const int dim = cases[k / 2][0], rot = cases[k / 2][1];
        const bool halves = k % 2;
        gw_rng r = {400};
        for (int j = 0; j < rot / 2; j++) {
            c[j] = uniform(&r); /* any numbers will do, and no libm's last bit enters the hash */
            s[j] = uniform(&r);
        }
        for (int i = 0; i < HEADS * dim; i++) x[i] = y[i] = uniform(&r);
        vb_kernels_ref.rope(y, HEADS, dim, rot, halves, c, s);
        fold(&hash, y, (size_t)(HEADS * dim) * 4);
        for (int h = 0; h < HEADS; h++) {
            for (int j = 0; j < rot / 2; j++) {
                const int i0 = h * dim + (halves ? j : 2 * j),
                          i1 = h * dim + (halves ? j + rot / 2 : 2 * j + 1);
                assert_true(y[i0] == fmaf(x[i0], c[j], -(x[i1] * s[j])));
                assert_true(y[i1] == fmaf(x[i0], s[j], x[i1] * c[j]));
            }
            for (int i = rot; i < dim; i++) assert_true(y[h * dim + i] == x[h * dim + i]);
        }
    }
    expect_bits(hash, 0xf6198fb97a7d038au);
}

static void check_attention(int n, int dim, vb_type type, uint64_t *hash) {
    enum { STRIDE = 80, MAX = 200 };
    static float kv[2][MAX * STRIDE], scores[MAX];
    static uint16_t half[2][MAX * STRIDE];
    float q[64], out[64];
    gw_rng r = {500 + (uint64_t)n};
    for (int i = 0; i < dim; i++) q[i] = 4.0f * uniform(&r);
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < n * STRIDE; i++) {
            const uint16_t h = vb_float_to_half(uniform(&r));
            half[side][i] = h;
            kv[side][i] = vb_half_to_float(h);
        }
    }
    const void *k = type == VB_F16 ? (const void *)half[0] : kv[0],
               *v = type == VB_F16 ? (const void *)half[1] : kv[1];
    const float scale = 1.0f / sqrtf((float)dim);
    float total_weight;
    const size_t stride = STRIDE * (type == VB_F16 ? sizeof(uint16_t) : sizeof(float));
    const vb_attention_row row = {.q = q, .scores = scores, .sums = &total_weight, .out = out, .n = n};
    const vb_attention a = {.k = k,
                            .v = v,
                            .k_stride = stride,
                            .v_stride = stride,
                            .k_type = type,
                            .v_type = type,
                            .heads = 1,
                            .head_dim = dim,
                            .scale = scale,
                            .n_rows = 1,
                            .rows = &row,
                            .ld = MAX};
    vb_kernels_ref.attend_scores(&a, 0, n, NULL);
    vb_kernels_ref.attend_softmax(&a, 0, 0);
    vb_kernels_ref.attend_values(&a, 0, 1, 0, dim, NULL);
    fold(hash, out, (size_t)dim * 4);

    float s[MAX], e[MAX], lane[16] = {0}, max = -INFINITY;
    double total = 0.0, weight[MAX];
    for (int j = 0; j < n; j++) {
        s[j] = lanes_dot(VB_F32, kv[0] + j * STRIDE, q, dim) * scale;
        max = fmaxf(max, s[j]);
    }
    for (int j = 0; j < n; j++) {
        e[j] = vb_expf(s[j] - max);
        lane[j % 16] += e[j];
        double dot = 0.0;
        for (int i = 0; i < dim; i++) dot += (double)q[i] * (double)kv[0][j * STRIDE + i];
        total += weight[j] = exp(dot / sqrt(dim));
    }
    float ones[16];
    for (int i = 0; i < 16; i++) ones[i] = 1.0f;
    const float sum = lanes_dot(VB_F32, ones, lane, 16);
    assert_true(total_weight == sum);
    for (int d = 0; d < dim; d++) {
        float acc = 0.0f;
        double real = 0.0;
        for (int j = 0; j < n; j++) {
            acc = fmaf(e[j], kv[1][j * STRIDE + d], acc);
            real += weight[j] / total * (double)kv[1][j * STRIDE + d];
        }
        assert_true(out[d] == acc / sum);
        assert_true(fabs((double)out[d] - real) < 2e-6);
    }
}

static void test_attention(void **state) {
    (void)state;
    static const int lengths[] = {1, 2, 15, 16, 17, 33, 200}, dims[] = {6, 8, 16, 20, 64};
    uint64_t hash = 0, hash32 = 0;
    for (size_t i = 0; i < 7; i++) {
        for (size_t j = 0; j < 5; j++) {
            check_attention(lengths[i], dims[j], VB_F16, &hash);
            check_attention(lengths[i], dims[j], VB_F32, &hash32);
        }
    }
    assert_int_equal(hash, hash32); /* the same numbers, stored in two ways */
    expect_bits(hash, 0xd5c27131dcd3ea65u);
}

static void test_elementwise(void **state) {
    (void)state;
    enum { N = 1000 };
    float g[N], u[N], h[N], y[N];
    uint16_t half[N];
    uint64_t hash = 0;
    gw_rng r = {600};
    for (int i = 0; i < N; i++) {
        g[i] = 200.0f * uniform(&r); /* beyond where expf overflows and vanishes */
        u[i] = uniform(&r);
        y[i] = g[i];
    }
    vb_kernels_ref.swiglu(g, u, N, h);
    vb_kernels_ref.add(u, N, y);
    vb_kernels_ref.to_half(g, N, half);
    fold(&hash, h, sizeof h);
    for (int i = 0; i < N; i++) {
        const double real = (double)g[i] / (1.0 + exp(-(double)g[i])) * (double)u[i];
        assert_true(h[i] == (g[i] / (1.0f + vb_expf(-g[i]))) * u[i]);
        assert_true(fabs((double)h[i] - real) <= 1e-6 * fabs(real) + 1e-35);
        assert_true(y[i] == g[i] + u[i]);
        assert_int_equal(half[i], vb_float_to_half(g[i]));
    }
    expect_bits(hash, 0xfbd000730101e6feu);
}

/* gpt-oss's gate, and the sum of experts. */
static void test_experts(void **state) {
    (void)state;
    enum { N = 1000 };
    float g[N], u[N], h[N], y[N], old[N];
    uint64_t hash = 0;
    gw_rng r = {650};
    for (int i = 0; i < N; i++) {
        g[i] = i % 10 ? 20.0f * uniform(&r) : 200.0f * uniform(&r);
        u[i] = 20.0f * uniform(&r);
        y[i] = old[i] = uniform(&r);
    }
    vb_kernels_ref.swiglu_clamped(g, u, N, h);
    vb_kernels_ref.add_scaled(u, N, 0.375f, y);
    fold(&hash, h, sizeof h);
    for (int i = 0; i < N; i++) {
        const double gate = fmin((double)g[i], 7.0), up = fmax(fmin((double)u[i], 7.0), -7.0);
        const double real = gate / (1.0 + exp(-1.702 * gate)) * (up + 1.0);
        assert_true(fabs((double)h[i] - real) <= 2e-5 * fabs(real) + 1e-35); /* 1.702*200 is rounded */
        assert_true(y[i] == fmaf(0.375f, u[i], old[i]));
    }
    expect_bits(hash, 0xc679eaa58e284b1bu);
}

static void test_exp_weights(void **state) {
    (void)state;
    enum { N = 2000 };
    double z[N];
    uint64_t w[N];
    gw_rng r = {700};
    for (int i = 0; i < N; i++) z[i] = -40.0 * fabs((double)uniform(&r));
    z[0] = 0.0;
    z[1] = -0.0;
    z[2] = -(double)INFINITY;
    z[3] = -1000.0;
    z[4] = -27.8; /* just below log(2^-40) = -27.726 */
    z[5] = -27.7;
    vb_kernels_ref.exp_weights(z, N, w);
    assert_true(w[0] == UINT64_C(1) << 40 && w[1] == UINT64_C(1) << 40 && w[2] == 0 && w[3] == 0);
    assert_true(w[4] == 0 && w[5] == 1);
    for (int i = 6; i < N; i++) {
        const long double real = 0x1p40L * expl((long double)z[i]);
        assert_true(fabsl((long double)w[i] - (real - 0.5L)) <= 0.501L);
    }
    uint64_t hash = 0;
    fold(&hash, w, sizeof w);
    expect_bits(hash, 0x216cd9ef45d53361u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantize),  cmocka_unit_test(test_quantize_edges),
        cmocka_unit_test(test_blocks),    cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_floats),    cmocka_unit_test(test_rmsnorm),
        cmocka_unit_test(test_layernorm), cmocka_unit_test(test_rope),
        cmocka_unit_test(test_attention), cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_experts),   cmocka_unit_test(test_exp_weights),
    };
    return cmocka_run_group_tests_name("kernels, scalar", tests, NULL, NULL);
}
