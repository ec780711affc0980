/* test_encode.c - the encoders of quantize/: what comes back from numbers that a format can hold, how far the
 * others are from the best there is (found by brute force here), and the edges: zeros, tiny, huge and
 * non-finite values. */
#include "quantize/encode.h"
#include "quantize/fit.h"
#include "tests/gguf_writer.h"
#include "gguf/half.h"
#include "quantize/mix.h"
#include "gguf/unpack.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include <cmocka.h>

enum { SUPER = 256 };

static const vb_type block_types[] = {VB_Q8_0, VB_Q4_0, VB_Q4_1, VB_Q5_0, VB_Q5_1, VB_Q4_K, VB_Q5_K, VB_Q6_K};
static const vb_type all_types[] = {VB_F32,  VB_F16,  VB_BF16, VB_Q8_0, VB_Q4_0, VB_Q4_1,
                                    VB_Q5_0, VB_Q5_1, VB_Q4_K, VB_Q5_K, VB_Q6_K};
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* n values encoded and decoded; n whole blocks, at most 64*SUPER. */
static void round_trip(vb_type type, const float *x, size_t n, float *y) {
    static uint8_t bytes[64 * SUPER * 4];
    vb_encode_fault fault;
    assert_true(n <= 64 * SUPER);
    assert_int_equal(vb_encode(type, x, n, bytes, &fault), -1);
    assert_int_equal(vb_validate_blocks(type, bytes, n / (size_t)vb_type_block_values((int)type), NULL), -1);
    vb_dequantize_row(type, bytes, n, y);
}

static double squares(const float *x, const float *y, size_t n) {
    double e = 0;
    for (size_t i = 0; i < n; i++) e += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return e;
}

static void normals(gw_rng *rng, float std, size_t n, float *x) {
    for (size_t i = 0; i < n; i++) x[i] = std * gw_normal(rng);
}

/* --------------------------------------------------------------------------- numbers that a type can hold */

/* A scale that float16 holds, of varied size. */
static float some_half(gw_rng *rng) {
    return vb_half_to_float((uint16_t)(0x1400 + gw_next(rng) % 0x1800)); /* 2^-10 .. 2^-4 or so */
}

static int some_int(gw_rng *rng, int lo, int hi) {
    return lo + (int)(gw_next(rng) % (uint64_t)(hi - lo + 1));
}

/* 256 values on a grid of `type`. In a K block every group uses the whole range of codes and there is one
 * scale (and one minimum) that needs all its six or seven bits: otherwise several grids hold the same
 * numbers. */
static void grid_values(vb_type type, gw_rng *rng, float *x) {
    const float d = some_half(rng), m = some_half(rng) * (type == VB_Q4_1 || type == VB_Q5_1 ? -3.0f : 1.0f);
    for (int i = 0; i < SUPER; i++) {
        static int sc, mn;
        if (i % 16 == 0 && (type == VB_Q6_K || i % 32 == 0)) {
            sc = i ? some_int(rng, 20, type == VB_Q6_K ? 127 : 63) : type == VB_Q6_K ? -128 : 63;
            mn = i ? some_int(rng, 0, 63) : 63;
        }
        const int first = i % 16 == 0, second = i % 16 == 1; /* the ends of the range */
        float v = 0;
        switch (type) {
        case VB_Q8_0: v = d * (float)(i % 32 ? some_int(rng, -127, 127) : 127); break;
        case VB_Q4_0: v = d * (float)some_int(rng, -8, 7); break;
        case VB_Q5_0: v = d * (float)some_int(rng, -16, 15); break;
        case VB_Q4_1: v = vb_half_to_float(vb_float_to_half(m)) + d * (float)some_int(rng, 0, 15); break;
        case VB_Q5_1: v = vb_half_to_float(vb_float_to_half(m)) + d * (float)some_int(rng, 0, 31); break;
        case VB_Q4_K:
        case VB_Q5_K: {
            const int top = type == VB_Q4_K ? 15 : 31;
            v = d * (float)sc * (float)(first ? 0 : second ? top : some_int(rng, 0, top)) - m * (float)mn;
            break;
        }
        default: v = d * (float)sc * (float)(first ? -32 : second ? 31 : some_int(rng, -32, 31)); break;
        }
        x[i] = v;
    }
}

static void test_grid_comes_back(void **state) {
    (void)state;
    gw_rng rng = {1};
    float x[SUPER], y[SUPER];
    for (size_t t = 0; t < COUNT(block_types); t++) {
        for (int k = 0; k < 200; k++) {
            grid_values(block_types[t], &rng, x);
            round_trip(block_types[t], x, SUPER, y);
            for (int i = 0; i < SUPER; i++) {
                if (x[i] == y[i]) continue;
                fail_msg("%s, block %d, value %d: %a came back as %a", vb_type_name((int)block_types[t]), k,
                         i, (double)x[i], (double)y[i]);
            }
        }
    }
}

/* Normal weights, encoded, decoded and encoded again: the second time costs next to nothing. */
static void test_second_generation(void **state) {
    (void)state;
    gw_rng rng = {2};
    static float x[32 * SUPER], y[32 * SUPER], z[32 * SUPER];
    for (size_t t = 0; t < COUNT(all_types); t++) {
        normals(&rng, 0.02f, COUNT(x), x);
        round_trip(all_types[t], x, COUNT(x), y);
        round_trip(all_types[t], y, COUNT(x), z);
        const double first = squares(x, y, COUNT(x)), second = squares(y, z, COUNT(x));
        if (getenv("VERBOSE"))
            print_message("# %s: %.3g then %.3g\n", vb_type_name((int)all_types[t]), first, second);
        assert_true(second <= 0.02 * first);
    }
}

static void test_ternary(void **state) {
    (void)state;
    gw_rng rng = {3};
    float x[SUPER], y[SUPER];
    for (size_t t = 0; t < COUNT(block_types); t++) {
        const float d = some_half(&rng);
        for (int i = 0; i < SUPER; i++) x[i] = d * (float)some_int(&rng, -1, 1);
        round_trip(block_types[t], x, SUPER, y);
        /* Q8_0 takes no search: there the step is d/127 rounded to float16. */
        const bool close = block_types[t] == VB_Q8_0;
        for (int i = 0; i < SUPER; i++) assert_true(fabsf(x[i] - y[i]) <= (close ? 1e-3f * d : 0.0f));
    }
}

/* --------------------------------------------------------------------------- edges */

static void test_zeros(void **state) {
    (void)state;
    float x[SUPER], y[SUPER];
    for (size_t t = 0; t < COUNT(all_types); t++) {
        for (int i = 0; i < SUPER; i++) x[i] = all_types[t] < VB_Q4_0 || i % 2 ? 0.0f : -0.0f;
        if (all_types[t] == VB_BF16) memset(x, 0, sizeof x);
        round_trip(all_types[t], x, SUPER, y);
        for (int i = 0; i < SUPER; i++) assert_int_equal(vb_float_bits(y[i]), 0);
    }
}

/* One size of numbers after the other, from below the least float16 to the largest that fits: always finite,
 * and never worse than writing zeros. */
static void test_every_size(void **state) {
    (void)state;
    gw_rng rng = {4};
    float x[SUPER], y[SUPER];
    const float zero[SUPER] = {0};
    for (size_t t = 0; t < COUNT(block_types); t++) {
        for (int e = -149; e <= 14; e++) {
            const float size = ldexpf(1.0f, e);
            for (int shape = 0; shape < 3; shape++) {
                normals(&rng, 0.3f * size, SUPER, x);
                if (shape == 1) x[17] = 3.0f * size;
                for (int i = 0; i < SUPER && shape == 2; i++) x[i] = -fabsf(x[i]);
                round_trip(block_types[t], x, SUPER, y);
                const double kept = squares(x, y, SUPER), whole = squares(x, zero, SUPER);
                if (!(kept <= whole))
                    fail_msg("%s at 2^%d: %g > %g", vb_type_name((int)block_types[t]), e, kept, whole);
                /* From 2^-9 on float16 has its full 11 bits for scales 500 times smaller. */
                if (e >= -6) assert_true(kept <= 0.03 * whole);
            }
        }
    }
}

static void test_constant_blocks(void **state) {
    (void)state;
    float x[SUPER], y[SUPER];
    for (size_t t = 0; t < COUNT(block_types); t++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            for (int i = 0; i < SUPER; i++) x[i] = (float)sign * 0.7310f;
            round_trip(block_types[t], x, SUPER, y);
            for (int i = 0; i < SUPER; i++) assert_true(fabsf(x[i] - y[i]) <= 1e-3f);
        }
    }
}

static void expect_fault(vb_type type, const float *x, int64_t at, vb_encode_fault what) {
    uint8_t bytes[SUPER * 4];
    vb_encode_fault fault;
    const int64_t got = vb_encode(type, x, SUPER, bytes, &fault);
    if (got != at || fault != what)
        fail_msg("%s: element %lld, fault %d; expected %lld, %d", vb_type_name((int)type), (long long)got,
                 (int)fault, (long long)at, (int)what);
}

static void test_refused_values(void **state) {
    (void)state;
    /* The largest magnitude of each type: the float16 scale 65504 times the largest code, and times 63 or
     * 128. */
    static const struct {
        vb_type type;
        double limit;
    } limits[] = {{VB_Q8_0, 65504.0 * 127},     {VB_Q4_0, 65504.0 * 8}, {VB_Q5_0, 65504.0 * 16},
                  {VB_Q4_1, 65504.0},           {VB_Q5_1, 65504.0},     {VB_Q4_K, 65504.0 * 63},
                  {VB_Q5_K, 65504.0 * 63},      {VB_F16, 65519.0},      {VB_BF16, 0x1.fefffep127},
                  {VB_Q6_K, 65504.0 * 128 * 32}};
    gw_rng rng = {5};
    float x[SUPER], y[SUPER];
    for (size_t t = 0; t < COUNT(all_types); t++) {
        for (int k = 0; k < 3; k++) {
            normals(&rng, 1.0f, SUPER, x);
            x[201] = k == 0 ? INFINITY : k == 1 ? -INFINITY : NAN;
            x[230] = NAN;
            expect_fault(all_types[t], x, 201, VB_ENCODE_NOT_FINITE);
        }
    }
    for (size_t t = 0; t < COUNT(limits); t++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            normals(&rng, 1.0f, SUPER, x);
            x[77] = (float)sign * (float)limits[t].limit;
            round_trip(limits[t].type, x, SUPER, y);
            assert_true(fabs((double)y[77] / (double)x[77] - 1) <
                        0.2); /* codes are not symmetric: -8 but 7 */
            x[77] = (float)sign * nextafterf((float)limits[t].limit, INFINITY) * 1.01f;
            if (isfinite(x[77])) expect_fault(limits[t].type, x, 77, VB_ENCODE_TOO_LARGE);
        }
    }
}

static void test_half_rounding(void **state) {
    (void)state;
    gw_rng rng = {6};
    float x[SUPER], y[SUPER];
    for (int round = 0; round < 200; round++) {
        normals(&rng, ldexpf(1.0f, round % 40 - 26), SUPER, x);
        round_trip(VB_F16, x, SUPER, y);
        for (int i = 0; i < SUPER; i++) {
            const uint16_t h = vb_float_to_half(y[i]);
            const double e = fabs((double)x[i] - (double)y[i]);
            assert_true(e <= fabs((double)x[i] - (double)vb_half_to_float((uint16_t)(h + 1))));
            if (h & 0x7fff)
                assert_true(e <= fabs((double)x[i] - (double)vb_half_to_float((uint16_t)(h - 1))));
        }
        round_trip(VB_F32, x, SUPER, y);
        assert_memory_equal(x, y, sizeof x);
    }
}

/* --------------------------------------------------------------------------- distance to the best */

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The least sum of squares of x - s q over all real s and codes q in [lo, hi]. As 1/s grows, code i changes
 * where |x_i|/s passes a half: between two neighbours of those places nothing changes, and one place in each
 * interval says it all. Both signs of s. */
static double best_scale_error(const float *x, int n, int lo, int hi) {
    static double places[2 * 64 * 64];
    double whole = 0, gain = 0;
    int count = 0;
    for (int i = 0; i < n; i++) {
        whole += (double)x[i] * (double)x[i];
        for (int k = 0; k < -lo && x[i] != 0; k++) places[count++] = (k + 0.5) / fabs((double)x[i]);
    }
    qsort(places, (size_t)count, sizeof places[0], by_value);
    for (int j = 0; j < count; j++) {
        const double inv = j + 1 < count ? 0.5 * (places[j] + places[j + 1]) : 2 * places[j];
        for (int sign = -1; sign <= 1; sign += 2) {
            double xq = 0, qq = 0;
            for (int i = 0; i < n; i++) {
                const double q = fmin(fmax(nearbyint((double)x[i] * inv * sign), lo), hi);
                xq += (double)x[i] * q;
                qq += q * q;
            }
            if (qq > 0) gain = fmax(gain, xq * xq / qq);
        }
    }
    return whole - gain;
}

/* The same for x - (s q + o), q in [0, levels], by a fine grid of both ends of the range with least squares
 * in each. */
static double best_line_error(const float *x, int n, int levels, bool o_max_zero) {
    double lo = o_max_zero ? 0 : (double)x[0], hi = (double)x[0], best = -1;
    for (int i = 0; i < n; i++) {
        lo = fmin(lo, (double)x[i]);
        hi = fmax(hi, (double)x[i]);
    }
    for (int a = -10; a <= 30; a++) {
        for (int b = -10; b <= 30; b++) {
            const double step = (hi - lo) / (levels + 0.05 * (a + b)), o = lo - 0.05 * a * step;
            double sx = 0, sq = 0, qq = 0, xq = 0, e = 0;
            for (int i = 0; i < n; i++) {
                const double q = fmin(fmax(nearbyint(((double)x[i] - o) / step), 0), levels);
                sx += (double)x[i];
                sq += q;
                qq += q * q;
                xq += (double)x[i] * q;
            }
            double s = (n * xq - sx * sq) / (n * qq - sq * sq), m = (sx - s * sq) / n;
            if (o_max_zero && m > 0) {
                m = 0;
                s = xq / qq;
            }
            for (int i = 0; i < n; i++) {
                const double q = fmin(fmax(nearbyint(((double)x[i] - o) / step), 0), levels);
                e += ((double)x[i] - s * q - m) * ((double)x[i] - s * q - m);
            }
            if (best < 0 || e < best) best = e;
        }
    }
    return best;
}

/* Root mean square error over many normal blocks, divided by that of the best real-numbered scales: what the
 * search misses, plus, for the K types, what 6 and 8 bits for a scale cost. */
static void test_distance_to_best(void **state) {
    (void)state;
    static const struct {
        vb_type type;
        int group, lo, hi;
        bool line, o_max_zero;
        double bound;
    } cases[] = {
        {VB_Q4_0, 32, -8, 7, false, false, 1.003},  {VB_Q5_0, 32, -16, 15, false, false, 1.012},
        {VB_Q4_1, 32, 0, 15, true, false, 1.012},   {VB_Q5_1, 32, 0, 31, true, false, 1.015},
        {VB_Q4_K, 32, 0, 15, true, true, 1.02},     {VB_Q5_K, 32, 0, 31, true, true, 1.05},
        {VB_Q6_K, 16, -32, 31, false, false, 1.06},
    };
    gw_rng rng = {7};
    static float x[16 * SUPER], y[16 * SUPER];
    for (size_t c = 0; c < COUNT(cases); c++) {
        double ours, best = 0;
        normals(&rng, 0.02f, COUNT(x), x);
        round_trip(cases[c].type, x, COUNT(x), y);
        ours = squares(x, y, COUNT(x));
        for (size_t i = 0; i < COUNT(x); i += (size_t)cases[c].group) {
            best += cases[c].line ? best_line_error(x + i, cases[c].group, cases[c].hi, cases[c].o_max_zero)
                                  : best_scale_error(x + i, cases[c].group, cases[c].lo, cases[c].hi);
        }
        const double ratio = sqrt(ours / best);
        if (getenv("VERBOSE"))
            print_message("# %s: %.4f of the best\n", vb_type_name((int)cases[c].type), ratio);
        if (!(ratio <= cases[c].bound))
            fail_msg("%s: %.4f of the best error, the bound is %.4f", vb_type_name((int)cases[c].type), ratio,
                     cases[c].bound);
    }
}

/* --------------------------------------------------------------------------- same bytes */

/* XXH3-64 of what seeded weights encode to.
 * A compiler, flag or platform that gives other bytes shows here. */
static void test_golden_bytes(void **state) {
    (void)state;
    static const uint64_t golden[COUNT(all_types)] = {
        0x797b9ba30a8bc008, 0x78829b7f2520ff27, 0x57a3fb70da9ffdae, 0xd03d09a5ff21c773,
        0xb32c52e81acc7187, 0x9ee5c973b115d161, 0x58d504eb3b4a1555, 0x49074cf89d415467,
        0x26f1d00fe3694ffb, 0x0eaaa6fe644ab35c, 0x00d8fe5e2a3244ac};
    static float x[16 * SUPER];
    static uint8_t bytes[sizeof x];
    gw_rng rng = {8};
    normals(&rng, 0.02f, COUNT(x), x);
    for (size_t i = 0; i < COUNT(x); i += 97) x[i] *= 8.0f;
    for (size_t t = 0; t < COUNT(all_types); t++) {
        vb_encode_fault fault;
        assert_int_equal(vb_encode(all_types[t], x, COUNT(x), bytes, &fault), -1);
        const size_t n = COUNT(x) / (size_t)vb_type_block_values((int)all_types[t]) *
                         (size_t)vb_type_block_bytes((int)all_types[t]);
        const uint64_t hash = XXH3_64bits(bytes, n);
        if (getenv("VERBOSE"))
            print_message("# %s 0x%016llx\n", vb_type_name((int)all_types[t]), (unsigned long long)hash);
        if (hash != golden[t])
            fail_msg("%s: 0x%016llx", vb_type_name((int)all_types[t]), (unsigned long long)hash);
    }
}

static void test_can_encode(void **state) {
    (void)state;
    int n = 0;
    for (int type = -1; type <= VB_TYPE_LIMIT; type++) n += vb_can_encode(type);
    assert_int_equal(n, (int)COUNT(all_types));
    for (size_t t = 0; t < COUNT(all_types); t++) assert_true(vb_can_encode((int)all_types[t]));
    for (const char *const *name = vb_quantize_types(); *name; name++) {
        assert_non_null(vb_mix_find(*name));
        assert_true(vb_can_encode((int)vb_mix_find(*name)->base));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grid_comes_back),  cmocka_unit_test(test_second_generation),
        cmocka_unit_test(test_ternary),          cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_every_size),       cmocka_unit_test(test_constant_blocks),
        cmocka_unit_test(test_refused_values),   cmocka_unit_test(test_half_rounding),
        cmocka_unit_test(test_distance_to_best), cmocka_unit_test(test_golden_bytes),
        cmocka_unit_test(test_can_encode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
