/* test_checkkern.c - every kernel of every set that this CPU runs, against the scalar reference, by memcmp
 * (P1). One test per set and kernel. Inputs and outputs end at unreadable pages, and outputs are compared
 * with all that surrounds them.
 *
 *   test_checkkern [--seed N] [--rounds N] [--set NAME]      the seed of a failure is printed with it;
 *                                                            0 rounds: a sample of the matrices
 *   test_checkkern --bench [...]                speeds (checkkern_bench.c)
 *
 * Not covered, because undefined by the contract: NaN and infinite inputs of all kernels but quantize, which
 * refuses them. */
#include "simd/simd.h"
#include "tests/checkkern.h"

#include "simd/cpu.h"
#include "gguf/half.h"
#include "simd/repack.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t seed = 1;
static int rounds = 1; /* 0: a sample of the matrices, for emulated instructions */

typedef struct check {
    char name[64];
    const vb_kernels *set;
    vb_type type; /* of matmul */
} check;

static gw_rng start(const check *c, int round) {
    gw_rng rng = {seed + 1000003u * (uint64_t)round};
    for (const char *p = c->name; *p; p++) rng.state = rng.state * 31 + (uint8_t)*p;
    return rng;
}

static int below(gw_rng *rng, int n) {
    return (int)(gw_next(rng) % (uint64_t)n);
}

/* Two buffers of n bytes with the same content, "outputs" of the reference and of the kernel. */
typedef struct twice {
    void *want, *got;
    size_t n;
} twice;

static twice outputs(size_t n) {
    const twice t = {ck_guarded(n), ck_guarded(n), n};
    memset(t.want, 0xa5, n);
    memset(t.got, 0xa5, n);
    return t;
}

static void same(const check *c, const twice *t, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void same(const check *c, const twice *t, const char *format, ...) {
    const uint8_t *want = t->want, *got = t->got;
    if (!memcmp(want, got, t->n)) return;
    size_t i = 0;
    while (want[i] == got[i]) i++;
    char shape[160];
    va_list args;
    va_start(args, format);
    vsnprintf(shape, sizeof shape, format, args);
    va_end(args);
    fail_msg("%s: byte %zu of %zu differs (%s); again with --seed %llu", c->name, i, t->n, shape,
             (unsigned long long)seed);
}

/* ---------------------------------------------------------------------- matrices */

static void matmul_case(const check *c, const vb_matrix *w, const vb_acts *x, gw_rng *rng) {
    const size_t ldy = (size_t)w->rows + 3;
    vb_matrix m = *w;
    const twice y = outputs((size_t)x->rows * ldy * sizeof(float));
    const int cut = below(rng, w->rows + 1), from = below(rng, w->rows),
              to = from + 1 + below(rng, w->rows - from);
    for (int mapped = 0; mapped < (w->packed ? 2 : 1); mapped++) {
        m.packed = mapped ? NULL : w->packed;
        memset(y.want, 0xa5, y.n);
        memset(y.got, 0xa5, y.n);
        vb_kernels_ref.matmul[c->type](&m, x, 0, w->rows, y.want, ldy);
        c->set->matmul[c->type](&m, x, 0, cut, y.got, ldy);
        c->set->matmul[c->type](&m, x, cut, w->rows, y.got, ldy);
        same(c, &y, "%d x %d, %d vectors, %d planes, cut at %d, %s", w->rows, w->cols, x->rows, x->planes,
             cut, mapped ? "as mapped" : "packed");
        memset(y.want, 0xa5, y.n);
        memset(y.got, 0xa5, y.n);
        vb_kernels_ref.matmul[c->type](&m, x, from, to, y.want, ldy);
        c->set->matmul[c->type](&m, x, from, to, y.got, ldy);
        same(c, &y, "%d x %d, %d vectors, %d planes, rows %d to %d, %s", w->rows, w->cols, x->rows, x->planes,
             from, to, mapped ? "as mapped" : "packed");
    }
}

static void matmul_shape(const check *c, int rows, int cols, int tokens, gw_rng *rng, ck_weights_style ws,
                         ck_acts_style as) {
    const vb_matrix w = ck_matrix(c->type, rows, cols, ws, rng);
    const bool plain = vb_type_block_values((int)c->type) == 1;
    for (int planes = plain ? 0 : 1; planes <= (plain ? 0 : 2); planes++) {
        const vb_acts x = ck_acts(tokens, cols, planes, as, rng);
        matmul_case(c, &w, &x, rng);
    }
    ck_release();
}

/* Every style, and several tokens at a time, on few and small matrices. */
static void matmul_sample(const check *c) {
    gw_rng rng = start(c, 0);
    const int cols = vb_type_block_values((int)c->type) == 1 ? 40 : 256;
    for (int i = 0; i < CK_WEIGHTS_STYLES * CK_ACTS_STYLES; i += CK_ACTS_STYLES + 1)
        matmul_shape(c, 3, cols, 1, &rng, (ck_weights_style)(i / CK_ACTS_STYLES),
                     (ck_acts_style)(i % CK_ACTS_STYLES));
    matmul_shape(c, 17, cols, 5, &rng, CK_NORMAL, CK_GAUSS);
}

static void test_matmul(void **state) {
    const check *c = *state;
    const int values = vb_type_block_values((int)c->type);
    vb_cpu_features(); /* the emulator of tests/amx takes SIGILL back from cmocka */
    const int unit = values == 1 ? 1 : values;
    if (rounds == 0) matmul_sample(c);
    for (int round = 0; round < rounds; round++) {
        gw_rng rng = start(c, round);
        for (int tokens = 1; tokens <= 33; tokens++) /* every T, every style */
            matmul_shape(c, 17, values == 1 ? 40 + tokens : 256 + values * (tokens % 3), tokens, &rng,
                         (ck_weights_style)(tokens % CK_WEIGHTS_STYLES),
                         (ck_acts_style)(tokens % CK_ACTS_STYLES));
        for (int ws = 0; ws < CK_WEIGHTS_STYLES; ws++)
            for (int as = 0; as < CK_ACTS_STYLES; as++)
                matmul_shape(c, 3, 512, 3, &rng, (ck_weights_style)ws, (ck_acts_style)as);
        for (int s = 0; s < CK_WEIGHTS_STYLES * CK_ACTS_STYLES; s += 3) /* enough for matrix instructions */
            matmul_shape(c, 3, 256, 49, &rng, (ck_weights_style)(s % CK_WEIGHTS_STYLES),
                         (ck_acts_style)(s / CK_WEIGHTS_STYLES));
        for (int rows = 1; rows <= 49; rows += 4) /* partial blocks of rows, row tails of floats */
            matmul_shape(c, rows, unit * (1 + rows % 9), 1 + rows % 6, &rng, CK_NORMAL, CK_GAUSS);
        /* Several tiles of tokens and of columns (simd/tile.h). */
        matmul_shape(c, 33, 768, 67, &rng, CK_NORMAL, CK_GAUSS);
        matmul_shape(c, 2, 33024, 1, &rng, CK_NORMAL, CK_MIXED);
        matmul_shape(c, 18, 4864, 9, &rng, CK_LARGE, CK_CONSTANT);
    }
}

/* ---------------------------------------------------------------------- activations */

static void quantize_case(const check *c, int n, int planes, const float *x) {
    const size_t N = (size_t)n, stride = N + 5;
    const twice q = outputs((size_t)(planes - 1) * stride + N), d = outputs(N / 32 * sizeof(float)),
                sum = outputs(N / 16 * sizeof(int32_t));
    const int want = vb_kernels_ref.quantize(x, n, planes, q.want, stride, d.want, sum.want);
    assert_int_equal(c->set->quantize(x, n, planes, q.got, stride, d.got, sum.got), want);
    if (want) return;
    same(c, &q, "integers of %d values, %d planes", n, planes);
    same(c, &d, "scales of %d values, %d planes", n, planes);
    same(c, &sum, "sums of %d values, %d planes", n, planes);
}

/* Values that land in the middle of two integers, where ties go to even. */
static void ties(float *x, int n, int limit, gw_rng *rng) {
    for (int i = 0; i < n; i++) x[i] = (float)(below(rng, 2 * limit) - limit) + 0.5f;
    for (int i = 0; i < n; i += 32) x[i] = (float)limit;
}

static void test_quantize(void **state) {
    const check *c = *state;
    static const float bad[] = {INFINITY, -INFINITY, NAN, -NAN};
    for (int round = 0; round < rounds; round++) {
        gw_rng rng = start(c, round);
        for (int n = 32; n <= 1024; n += 32) {
            for (int planes = 1; planes <= 2; planes++) {
                float *x = ck_guarded((size_t)n * sizeof *x);
                for (int style = 0; style < CK_ACTS_STYLES; style++) {
                    ck_floats(x, n, (ck_acts_style)style, &rng);
                    quantize_case(c, n, planes, x);
                }
                ties(x, n, planes == 2 ? 16256 : 127, &rng);
                quantize_case(c, n, planes, x);
                for (int i = 0; i < 8; i++) {
                    const int at = below(&rng, n);
                    const float keep = x[at];
                    x[at] = bad[i % 4];
                    quantize_case(c, n, planes, x);
                    x[at] = i < 4 ? 0x1.fffffep127f : 0x1p-149f;
                    quantize_case(c, n, planes, x);
                    x[at] = keep;
                }
                ck_release();
            }
        }
    }
}

/* ---------------------------------------------------------------------- vectors */

static float *floats(int n, ck_acts_style style, gw_rng *rng) {
    float *x = ck_guarded((size_t)n * sizeof *x);
    ck_floats(x, n, style, rng);
    return x;
}

/* y of n values by one of the two norms; b is the layer norm's, or NULL. */
static void norm(const vb_kernels *k, bool layer, const float *x, const float *w, const float *b, int n,
                 float eps, float *y) {
    if (layer)
        k->layernorm(x, w, b, n, eps, y);
    else
        k->rmsnorm(x, w, n, eps, y);
}

static void check_norm(const check *c, bool layer) {
    gw_rng rng = start(c, 0);
    for (int n = 1; n <= 300 * rounds; n++) {
        const ck_acts_style style = (ck_acts_style)(n % CK_ACTS_STYLES);
        const float eps = n % 2 ? 1e-5f : 1e-6f;
        const float *x = floats(n, style == CK_HUGE ? CK_GAUSS : style, &rng), *w = floats(n, CK_GAUSS, &rng);
        const float *b = layer && n % 3 ? floats(n, CK_GAUSS, &rng) : NULL;
        const twice y = outputs((size_t)n * sizeof(float));
        norm(&vb_kernels_ref, layer, x, w, b, n, eps, y.want);
        norm(c->set, layer, x, w, b, n, eps, y.got);
        same(c, &y, "%d values", n);
        memcpy(y.got, x, y.n); /* in place */
        norm(c->set, layer, y.got, w, b, n, eps, y.got);
        same(c, &y, "%d values, in place", n);
        ck_release();
    }
}

static void test_rmsnorm(void **state) {
    check_norm(*state, false);
}

static void test_layernorm(void **state) {
    check_norm(*state, true);
}

static void test_rope(void **state) {
    const check *c = *state;
    gw_rng rng = start(c, 0);
    for (int i = 0; i < 400 * rounds; i++) {
        const int heads = 1 + below(&rng, 3), rot = 2 * (1 + below(&rng, 70)),
                  head_dim = rot + below(&rng, 20);
        const float *x = floats(heads * head_dim, CK_GAUSS, &rng);
        const float *cosine = floats(rot / 2, CK_GAUSS, &rng), *sine = floats(rot / 2, CK_GAUSS, &rng);
        const twice y = outputs((size_t)(heads * head_dim) * sizeof(float));
        memcpy(y.want, x, y.n);
        memcpy(y.got, x, y.n);
        vb_kernels_ref.rope(y.want, heads, head_dim, rot, i % 2, cosine, sine);
        c->set->rope(y.got, heads, head_dim, rot, i % 2, cosine, sine);
        same(c, &y, "%d heads of %d, %d turned, %s", heads, head_dim, rot, i % 2 ? "halves" : "pairs");
        ck_release();
    }
}

static void test_swiglu(void **state) {
    const check *c = *state;
    gw_rng rng = start(c, 0);
    for (int n = 1; n <= 200 * rounds; n++) {
        float *g = floats(n, n % 5 ? CK_GAUSS : CK_MIXED, &rng), *u = floats(n, CK_GAUSS, &rng);
        for (int i = 0; i < n; i++)
            g[i] *= n % 3 == 0 ? 60.0f : 3.0f; /* to the ends of vb_expf's range and beyond */
        const twice h = outputs((size_t)n * sizeof(float));
        vb_kernels_ref.swiglu(g, u, n, h.want);
        c->set->swiglu(g, u, n, h.got);
        same(c, &h, "%d values", n);
        ck_release();
    }
}

/* Through both forms of vb_tanhf and beyond its ends, with partial vectors. */
static void test_geglu(void **state) {
    const check *c = *state;
    gw_rng rng = start(c, 0);
    for (int n = 1; n <= 200 * rounds; n++) {
        float *g = floats(n, n % 5 ? CK_GAUSS : CK_MIXED, &rng), *u = floats(n, CK_GAUSS, &rng);
        for (int i = 0; i < n; i++) g[i] *= n % 3 == 0 ? 60.0f : n % 3 == 1 ? 0.01f : 1.0f;
        const twice h = outputs((size_t)n * sizeof(float));
        vb_kernels_ref.geglu(g, u, n, h.want);
        c->set->geglu(g, u, n, h.got);
        same(c, &h, "%d values", n);
        ck_release();
    }
}

/* Around both clamps, beyond them, and where the exponential leaves its range; in place, too. */
static void test_swiglu_clamped(void **state) {
    const check *c = *state;
    gw_rng rng = start(c, 0);
    for (int n = 1; n <= 200 * rounds; n++) {
        float *g = floats(n, n % 5 ? CK_GAUSS : CK_MIXED, &rng), *u = floats(n, CK_GAUSS, &rng);
        for (int i = 0; i < n; i++) {
            g[i] *= n % 3 == 0 ? 60.0f : 4.0f;
            u[i] *= n % 2 ? 6.0f : 1.0f;
            if (n % 7 == 0) g[i] = vb_bits_float(vb_float_bits(7.0f) + (uint32_t)i - 3);
            if (n % 11 == 0) u[i] = vb_bits_float(vb_float_bits(i % 2 ? -7.0f : 7.0f) + (uint32_t)i - 3);
        }
        const twice h = outputs((size_t)n * sizeof(float));
        vb_kernels_ref.swiglu_clamped(g, u, n, h.want);
        memcpy(h.got, g, h.n);
        c->set->swiglu_clamped(n % 2 ? g : h.got, u, n, h.got);
        same(c, &h, "%d values", n);
        ck_release();
    }
}

static void test_add_scaled(void **state) {
    const check *c = *state;
    gw_rng rng = start(c, 0);
    for (int n = 1; n <= 200 * rounds; n++) {
        const float *x = floats(n, (ck_acts_style)(n % CK_ACTS_STYLES), &rng);
        float a;
        ck_floats(&a, 1, n % 4 ? CK_GAUSS : CK_MIXED, &rng);
        const twice y = outputs((size_t)n * sizeof(float));
        ck_floats(y.want, n, CK_MIXED, &rng);
        memcpy(y.got, y.want, y.n);
        vb_kernels_ref.add_scaled(x, n, a, y.want);
        c->set->add_scaled(x, n, a, y.got);
        same(c, &y, "%d values times %a", n, (double)a);
        ck_release();
    }
}

/* The same around the point where its two forms meet, around zero, and where the result becomes 1. */
static void test_softcap(void **state) {
    const check *c = *state;
    static const float around[] = {0.625f, -0.625f, 9.01f, -9.01f, 0.0f, 1e30f};
    gw_rng rng = start(c, 0);
    for (int n = 1; n <= 100 * rounds; n++) {
        float *x = floats(n, n % 5 ? CK_GAUSS : CK_MIXED, &rng);
        const float cap = n % 2 ? 30.0f : 1.0f;
        for (int i = 0; i < n && n % 4 == 0; i++)
            x[i] = vb_bits_float(vb_float_bits(around[n / 4 % 6]) + (uint32_t)(4096 * i)) * cap;
        const twice y = outputs((size_t)n * sizeof(float));
        memcpy(y.want, x, y.n);
        memcpy(y.got, x, y.n);
        vb_kernels_ref.softcap(y.want, n, cap);
        c->set->softcap(y.got, n, cap);
        same(c, &y, "%d values, cap %g", n, (double)cap);
        ck_release();
    }
}

/* Around both ends of vb_expf's range, bit by bit. */
static void test_swiglu_ends(void **state) {
    const check *c = *state;
    static const float ends[] = {0x1.5d589ep+6f, -0x1.62e42ep+6f, 0.0f, 0x1.62e43p-2f};
    for (int e = 0; e < 4; e++) {
        float *g = ck_guarded(4000 * sizeof *g), *u = ck_guarded(4000 * sizeof *u);
        for (int i = 0; i < 4000; i++) {
            g[i] = vb_bits_float(vb_float_bits(ends[e]) + (uint32_t)i - (e == 2 ? 0u : 2000u));
            u[i] = 1.0f;
        }
        const twice h = outputs(4000 * sizeof(float));
        vb_kernels_ref.swiglu(g, u, 4000, h.want);
        c->set->swiglu(g, u, 4000, h.got);
        same(c, &h, "around %a", (double)ends[e]);
        ck_release();
    }
}

static void test_add(void **state) {
    const check *c = *state;
    gw_rng rng = start(c, 0);
    for (int n = 1; n <= 200 * rounds; n++) {
        const float *x = floats(n, (ck_acts_style)(n % CK_ACTS_STYLES), &rng);
        const twice y = outputs((size_t)n * sizeof(float));
        ck_floats(y.want, n, CK_MIXED, &rng);
        memcpy(y.got, y.want, y.n);
        vb_kernels_ref.add(x, n, y.want);
        c->set->add(x, n, y.got);
        same(c, &y, "%d values", n);
        ck_release();
    }
}

/* All float32 that lie on or next to a float16 or the middle of two, and tails. */
static void test_to_half(void **state) {
    const check *c = *state;
    enum { N = 6 * 0x7c00 };
    float *x = ck_guarded(N * sizeof *x);
    for (uint32_t h = 0; h < 0x7c00; h++) {
        const uint32_t bits = vb_float_bits(vb_half_to_float((uint16_t)h));
        const uint32_t middle = bits + (h < 0x0400 ? 0u : 0x1000u);
        const uint32_t near[6] = {bits, bits + 1, middle - 1, middle, middle + 1, bits | 0x80000000u};
        for (int i = 0; i < 6; i++) x[6 * h + (uint32_t)i] = vb_bits_float(near[i] & 0xffffffffu);
    }
    x[2] = 0.0f; /* 0 - 1 as bits is a NaN */
    const twice y = outputs(N * sizeof(uint16_t));
    vb_kernels_ref.to_half(x, N, y.want);
    c->set->to_half(x, N, y.got);
    same(c, &y, "all float16");
    gw_rng rng = start(c, 0);
    for (int n = 1; n <= 100; n++) {
        const float *f = floats(n, CK_MIXED, &rng);
        const twice z = outputs((size_t)n * sizeof(uint16_t));
        vb_kernels_ref.to_half(f, n, z.want);
        c->set->to_half(f, n, z.got);
        same(c, &z, "%d values", n);
        if (n % 15 == 0) ck_release();
    }
    ck_release();
}

static void test_exp_weights(void **state) {
    const check *c = *state;
    gw_rng rng = start(c, 0);
    for (int n = 1; n <= 120 * rounds; n++) {
        double *z = ck_guarded((size_t)n * sizeof *z);
        for (int i = 0; i < n; i++) {
            const double u = (double)(gw_next(&rng) >> 11) * 0x1p-53;
            static const double reach[] = {1.0, 30.0, 800.0, 1e-9, 0.0, 1e300};
            z[i] = -u * reach[below(&rng, 6)];
        }
        const twice w = outputs((size_t)n * sizeof(uint64_t));
        vb_kernels_ref.exp_weights(z, n, w.want);
        c->set->exp_weights(z, n, w.got);
        same(c, &w, "%d values", n);
        ck_release();
    }
}

static void test_exp_sum(void **state) {
    const check *c = *state;
    gw_rng rng = start(c, 0);
    static const float reach[] = {1.0f, 30.0f, 800.0f, 1e-9f, 0.0f, 1e37f};
    for (int n = 1; n <= 200 * rounds; n++) {
        float *x = ck_guarded((size_t)n * sizeof *x), max = -INFINITY;
        for (int i = 0; i < n; i++) {
            x[i] = gw_normal(&rng) * reach[n % 4 ? n % 3 : below(&rng, 6)];
            if (x[i] > max) max = x[i];
        }
        const twice sum = outputs(sizeof(double));
        *(double *)sum.want = vb_kernels_ref.exp_sum(x, n, max);
        *(double *)sum.got = c->set->exp_sum(x, n, max);
        same(c, &sum, "%d values", n);
        *(double *)sum.want = vb_logprob(x, n, n / 2);
        *(double *)sum.got = vb_logprob_by(c->set, x, n, n / 2);
        same(c, &sum, "log-probability in %d values", n);
        ck_release();
    }
}

/* ---------------------------------------------------------------------- attention */

static void attention_case(const check *c, const ck_attention_shape *s, gw_rng *rng) {
    const char *differs = ck_attention(c->set, s, rng);
    if (differs) fail_msg("%s: %s; again with --seed %llu", c->name, differs, (unsigned long long)seed);
}

/* All but `n` and `rows` at random: one to 17 heads of every size in use and odd ones. */
static ck_attention_shape random_shape(int n, int rows, gw_rng *rng) {
    static const int dims[] = {64, 128, 80, 96, 256, 1, 7, 16, 20, 40, 112};
    static const int heads[] = {1, 2, 3, 4, 5, 7, 8, 16, 17};
    static const vb_type types[] = {VB_F16, VB_F32, VB_BF16, VB_Q8_0, VB_Q4_0, VB_Q8I};
    static const ck_acts_style styles[] = {CK_GAUSS, CK_SIGNS, CK_ZEROS, CK_CONSTANT, CK_TINY};
    ck_attention_shape s = {.n = n, .rows = rows};
    s.head_dim = dims[below(rng, 11)];
    s.heads = heads[below(rng, 9)];
    const int fit = s.head_dim % 32 ? 3 : 5; /* of the types */
    s.k_type = types[below(rng, fit == 3 ? 3 : 6)];
    s.v_type = types[below(rng, fit)];
    s.layout = (ck_layout)below(rng, 3);
    s.window = below(rng, 3) ? 0 : 1 + below(rng, n);
    s.sinks = below(rng, 3) == 0;
    s.style = styles[below(rng, 5)];
    return s;
}

static void test_attention(void **state) {
    const check *c = *state;
    vb_cpu_features(); /* as in test_matmul: many queries that meet rounded keys are such a product */
    for (int round = 0; round < rounds; round++) {
        gw_rng rng = start(c, round);
        for (int n = 1; n <= 100; n++) {
            for (int i = 0; i < 3; i++) {
                const ck_attention_shape s = random_shape(n, 1 + below(&rng, n < 9 ? n : 9), &rng);
                attention_case(c, &s, &rng);
            }
        }
        for (int window = 1; window <= 53; window++) {
            const ck_attention_shape s = {.rows = 3, .heads = 2, .head_dim = 64, .n = 53, .window = window};
            ck_attention_shape f16 = s;
            f16.k_type = f16.v_type = VB_F16;
            attention_case(c, &s, &rng);
            attention_case(c, &f16, &rng);
        }
        for (int i = 0; i < 6; i++) {
            const ck_attention_shape s = random_shape(500 + below(&rng, 64), 1 + below(&rng, 40), &rng);
            attention_case(c, &s, &rng);
        }
    }
}

/* ---------------------------------------------------------------------- all of them */

typedef struct entry {
    const char *what;
    CMUnitTestFunction test;
} entry;

static const entry entries[] = {
    {"quantize", test_quantize},
    {"rmsnorm", test_rmsnorm},
    {"layernorm", test_layernorm},
    {"rope", test_rope},
    {"swiglu", test_swiglu},
    {"swiglu_ends", test_swiglu_ends},
    {"add", test_add},
    {"to_half", test_to_half},
    {"exp_weights", test_exp_weights},
    {"exp_sum", test_exp_sum},
    {"attention", test_attention},
    {"geglu", test_geglu},
    {"swiglu_clamped", test_swiglu_clamped},
    {"add_scaled", test_add_scaled},
    {"softcap", test_softcap},
};
enum { N_ENTRIES = sizeof entries / sizeof entries[0], MAX_TESTS = 8 * (N_ENTRIES + VB_TYPE_LIMIT) };

static check checks[MAX_TESTS];
static struct CMUnitTest tests[MAX_TESTS];
static size_t n_tests;

static void plan(const vb_kernels *set, const char *what, vb_type type, CMUnitTestFunction test) {
    check *c = &checks[n_tests];
    snprintf(c->name, sizeof c->name, "%s: %s", set->name, what);
    c->set = set;
    c->type = type;
    tests[n_tests++] = (struct CMUnitTest){.name = c->name, .test_func = test, .initial_state = c};
}

/* A build or CPU with the reference alone has nothing to compare; one test then says so. */
static void test_nothing(void **state) {
    (void)state;
    print_message("only the reference runs here\n");
    skip();
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--bench")) return ck_bench(argc - 2, argv + 2);
    if (argc > 1 && !strcmp(argv[1], "--bench-attention")) return ck_bench_attention(argc - 2, argv + 2);
    const char *only = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--set")) only = argv[i + 1];
        if (!strcmp(argv[i], "--seed")) seed = strtoull(argv[i + 1], NULL, 10);
        if (!strcmp(argv[i], "--rounds")) rounds = atoi(argv[i + 1]);
    }
    unsetenv("VERBATIM_KERNELS");
    for (const char *const *name = vb_kernel_names(); *name; name++) {
        const vb_kernels *set = NULL;
        vb_error err = {0};
        if (vb_kernels_choose(*name, &set, &err)) {
            fprintf(stderr, "checkkern: %s\n", err.message);
            return 2;
        }
        if (set == &vb_kernels_ref || (only && strcmp(only, *name))) continue;
        for (int t = 0; t < VB_TYPE_LIMIT; t++) {
            char what[32];
            if (!vb_type_name(t)) continue;
            snprintf(what, sizeof what, "matmul %s", vb_type_name(t));
            plan(set, what, (vb_type)t, test_matmul);
        }
        for (size_t i = 0; i < N_ENTRIES; i++) plan(set, entries[i].what, VB_F32, entries[i].test);
    }
    if (only && n_tests == 0) {
        fprintf(stderr, "checkkern: no kernels \"%s\" run here\n", only);
        return 2;
    }
    if (n_tests == 0)
        tests[n_tests++] = (struct CMUnitTest){.name = "no other set", .test_func = test_nothing};
    print_message("# seed %llu\n", (unsigned long long)seed);
    return _cmocka_run_group_tests("checkkern", tests, n_tests, NULL, NULL);
}
