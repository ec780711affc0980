/* test_math.c - the elementary functions of ref/mathf.c against the system's long double (64 or more bits of
 * mantissa): the largest error over many points is printed and bounded, edges are exact, and a hash of all
 * results pins the bits, so that another compiler, optimisation level or CPU that gives other bits is noticed
 * (P1). */
#include "ref/mathf.h"
#include "base/rng.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <xxhash.h>

static uint64_t rng_state;

static uint64_t rng(void) {
    return vb_splitmix64(&rng_state);
}

/* Uniform in [a, b), an exact multiple of (b - a)/2^53 rounded. */
static double uniform(double a, double b) {
    return a + (b - a) * ((double)(rng() >> 11) * 0x1p-53);
}

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static double ulp_error(double got, long double want) {
    if (want == 0.0L) return got == 0.0 ? 0.0 : (double)INFINITY;
    int e;
    frexpl(want, &e);
    if (e < DBL_MIN_EXP) e = DBL_MIN_EXP;
    return (double)(fabsl((long double)got - want) / ldexpl(1.0L, e - DBL_MANT_DIG));
}

static double ulp_error_f(float got, double want) {
    int e;
    frexp(want, &e);
    if (e < FLT_MIN_EXP) e = FLT_MIN_EXP;
    return fabs((double)got - want) / ldexp(1.0, e - FLT_MANT_DIG);
}

static void expect_below(const char *name, double worst, double bound) {
    print_message("%-28s largest error %.4f ulp (bound %.3f)\n", name, worst, bound);
    if (!(worst <= bound)) fail_msg("%s: error %.4f ulp exceeds %.3f", name, worst, bound);
}

/* The hash of all results in order: the same on every platform. */
static void expect_bits(uint64_t got, uint64_t want) {
    if (got != want)
        fail_msg("the bits have changed: hash %016llx, expected %016llx", (unsigned long long)got,
                 (unsigned long long)want);
}

static bool wide(void) {
#if LDBL_MANT_DIG >= 64
    return true;
#else
    print_message("skipped: long double is no wider than double here\n");
    return false;
#endif
}

static void test_expf(void **state) {
    (void)state;
    double worst = 0.0;
    uint64_t hash = 0;
    for (uint64_t u = 0; u < 0x100000000u; u += 1009) {
        const float x = float_of((uint32_t)u);
        const float y = vb_expf(x);
        if (x != x) {
            assert_true(y != y);
            continue;
        }
        hash = XXH3_64bits_withSeed(&y, sizeof y, hash);
        if (x < -0x1.5d589ep+6f) {
            assert_true(y == 0.0f && !signbit(y));
        } else if (x > 0x1.62e42ep+6f) {
            assert_true(y == INFINITY);
        } else {
            const double e = ulp_error_f(y, exp((double)x));
            if (e > worst) worst = e;
        }
    }
    expect_below("expf", worst, 1.0);
    assert_true(vb_expf(0.0f) == 1.0f && vb_expf(-0.0f) == 1.0f);
    assert_true(vb_expf(-0x1.5d589ep+6f) >= 0x1p-126f);
    assert_true(vb_expf(0x1.62e42ep+6f) < INFINITY);
    assert_true(vb_expf(-INFINITY) == 0.0f && vb_expf(INFINITY) == INFINITY);
    expect_bits(hash, 0x4d9dd87a0b47f9c7u);
}

/* Near the interval's end, where attention and SwiGLU live: every float in [-2, -1] and [1, 2]. */
static void test_expf_every_float(void **state) {
    (void)state;
    double worst = 0.0;
    for (uint32_t u = 0x3f800000u; u <= 0x40000000u; u += 3) {
        for (uint32_t sign = 0; sign < 2; sign++) {
            const float x = float_of(u | sign << 31);
            const double e = ulp_error_f(vb_expf(x), exp((double)x));
            if (e > worst) worst = e;
        }
    }
    expect_below("expf, 1 <= |x| <= 2", worst, 1.0);
}

static void test_tanhf(void **state) {
    (void)state;
    double worst = 0.0;
    for (uint64_t u = 0; u < 0x100000000u; u += 4001) {
        const float x = float_of((uint32_t)u), y = vb_tanhf(x);
        if (x != x) {
            assert_true(y != y);
            continue;
        }
        const double e = ulp_error_f(y, tanh((double)x));
        if (e > worst) worst = e;
    }
    expect_below("tanhf", worst, 1.5);
    assert_true(vb_tanhf(INFINITY) == 1.0f && vb_tanhf(-INFINITY) == -1.0f);
}

static void test_sigmoidf(void **state) {
    (void)state;
    double worst = 0.0, worst_plus = 0.0;
    uint64_t hash = 0;
    for (uint64_t u = 0; u < 0x100000000u; u += 4001) {
        const float x = float_of((uint32_t)u), y = vb_sigmoidf(x), z = vb_softplusf(x);
        if (x != x) {
            assert_true(y != y && z != z);
            continue;
        }
        hash = XXH3_64bits_withSeed(&y, sizeof y, hash);
        hash = XXH3_64bits_withSeed(&z, sizeof z, hash);
        /* Below about -87.3 e^x is no normal number: softplus is 0 there, and sigmoid from -88.7 on. */
        if (x < -87.3f) {
            assert_true(z >= 0.0f && z < 0x1.8p-126f && y >= 0.0f && y < 0x1.8p-126f);
            continue;
        }
        const double e = ulp_error_f(y, 1 / (1 + exp(-(double)x)));
        const double f =
            x == INFINITY ? 0.0 : ulp_error_f(z, fmax((double)x, 0) + log1p(exp(-fabs((double)x))));
        if (e > worst) worst = e;
        if (f > worst_plus) worst_plus = f;
    }
    expect_below("sigmoidf", worst, 2.5);
    expect_below("softplusf", worst_plus, 2.0);
    assert_true(vb_sigmoidf(0.0f) == 0.5f && vb_sigmoidf(INFINITY) == 1.0f && vb_sigmoidf(-INFINITY) == 0.0f);
    assert_true(vb_softplusf(INFINITY) == INFINITY && vb_softplusf(-INFINITY) == 0.0f);
    expect_bits(hash, 0xec1785821a333da3u);
}

static void test_exp(void **state) {
    (void)state;
    rng_state = 1;
    double worst = 0.0;
    uint64_t hash = 0;
    for (int i = 0; i < 1000000; i++) {
        const double x = i % 2 ? uniform(-30.0, 0.0) : uniform(-708.0, 709.0);
        const double y = vb_exp(x), e = ulp_error(y, expl((long double)x));
        hash = XXH3_64bits_withSeed(&y, sizeof y, hash);
        if (e > worst) worst = e;
    }
    if (wide()) expect_below("exp", worst, 1.0);
    assert_true(vb_exp(0.0) == 1.0 && vb_exp(-0.0) == 1.0);
    assert_true(vb_exp(-0x1.6232bdd7abcd2p+9) >= DBL_MIN && vb_exp(-0x1.6232bdd7abcd3p+9) == 0.0);
    assert_true(vb_exp(0x1.62e42fefa39efp+9) < (double)INFINITY &&
                vb_exp(0x1.62e42fefa39fp+9) == (double)INFINITY);
    assert_true(vb_exp(-(double)INFINITY) == 0.0 && vb_exp((double)NAN) != vb_exp((double)NAN));
    expect_bits(hash, 0x028eb0ddcad8cdf4u);
}

static void test_log(void **state) {
    (void)state;
    rng_state = 2;
    double worst = 0.0, worst1 = 0.0;
    uint64_t hash = 0;
    for (int i = 0; i < 1000000; i++) {
        /* near 1, near 2^k, and everywhere down to subnormals */
        double x = i % 3 == 0 ? uniform(0.5, 2.0) : i % 3 == 1 ? uniform(0.99, 1.01) : uniform(0.0, 1.0);
        if (i % 3 == 2) x = ldexp(x, (int)(rng() % 2000) - 1060);
        if (x == 0.0) continue;
        const double y = vb_log(x), e = ulp_error(y, logl((long double)x));
        hash = XXH3_64bits_withSeed(&y, sizeof y, hash);
        if (e > worst) worst = e;
        /* log1p where the coupled race calls it: -v, v uniform, v tiny, v near 1; and positive x */
        double z = i % 4 == 0 ? -uniform(0.0, 1.0) : i % 4 == 1 ? uniform(0.0, 10.0) : x;
        const int down = (int)(rng() % 70); /* a statement of its own: arguments have no order */
        if (i % 4 == 2) z = -ldexp(uniform(0.5, 1.0), -down);
        if (i % 4 == 3) z = -1.0 + ldexp(uniform(0.5, 1.0), -(down % 50));
        const double y1 = vb_log1p(z), e1 = ulp_error(y1, log1pl((long double)z));
        hash = XXH3_64bits_withSeed(&y1, sizeof y1, hash);
        if (e1 > worst1) worst1 = e1;
    }
    if (wide()) {
        expect_below("log", worst, 1.0);
        expect_below("log1p", worst1, 1.0);
    }
    assert_true(vb_log(1.0) == 0.0 && vb_log(0.0) == -(double)INFINITY && vb_log(-1.0) != vb_log(-1.0));
    assert_true(vb_log((double)INFINITY) == (double)INFINITY && vb_log(DBL_MAX) < 710.0);
    assert_true(vb_log1p(0.0) == 0.0 && vb_log1p(-1.0) == -(double)INFINITY &&
                vb_log1p(-2.0) != vb_log1p(-2.0));
    assert_true(vb_log1p(-0x1p-65) == -0x1p-65); /* E >= v needs this at the smallest v */
    expect_bits(hash, 0x0f3e5beab0ecd790u);
}

static void test_pow(void **state) {
    (void)state;
    rng_state = 3;
    double worst = 0.0, worst_far = 0.0;
    uint64_t hash = 0;
    static const double bases[] = {10000.0, 500000.0, 1000000.0, 1.5, 2.0, 10.0, 5000000.0, 1.0001};
    for (int i = 0; i < 600000; i++) {
        const double base = i % 2 ? bases[rng() % 8] : uniform(1.0, 1e6);
        const double exponent = i % 4 < 2 ? -(2.0 * (double)(rng() % 128)) / 256.0 : uniform(-2.0, 2.0);
        const double y = vb_pow(base, exponent);
        hash = XXH3_64bits_withSeed(&y, sizeof y, hash);
        const double e = ulp_error(y, powl((long double)base, (long double)exponent));
        if (e > worst) worst = e;
        const double far = uniform(-300.0, 300.0), b = uniform(0.1, 10.0);
        const double ef = ulp_error(vb_pow(b, far), powl((long double)b, (long double)far));
        if (ef > worst_far) worst_far = ef;
    }
    if (wide()) {
        expect_below("pow, RoPE's range", worst, 1.0);
        expect_below("pow, to the ends", worst_far, 8.0);
    }
    assert_true(vb_pow(2.0, 10.0) == 1024.0 && vb_pow(7.0, 0.0) == 1.0 && vb_pow(1.0, 300.0) == 1.0);
    assert_true(vb_pow(2.0, 5000.0) == (double)INFINITY && vb_pow(2.0, -5000.0) == 0.0);
    assert_true(vb_pow(-1.0, 2.0) != vb_pow(-1.0, 2.0));
    expect_bits(hash, 0xc2441c9282d6939au);
}

/* sinl and cosl of x87 systems reduce with a 66-bit pi in some libraries; glibc and musl do it right. */
static void test_sincos(void **state) {
    (void)state;
    rng_state = 4;
    double worst = 0.0, worst_big = 0.0;
    uint64_t hash = 0;
    for (int i = 0; i < 1000000; i++) {
        double x = uniform(-10.0, 10.0);
        if (i % 4 == 1) x = uniform(0.0, 131072.0);
        if (i % 4 == 2) x = uniform(-0x1p30, 0x1p30);
        if (i % 4 == 3) x = (double)(int64_t)(rng() % 1000000) * 0x1.921fb54442d18p+0; /* next to zeros */
        double s, c;
        vb_sincos(x, &s, &c);
        hash = XXH3_64bits_withSeed(&s, sizeof s, hash);
        hash = XXH3_64bits_withSeed(&c, sizeof c, hash);
        const double es = ulp_error(s, sinl((long double)x)), ec = ulp_error(c, cosl((long double)x));
        double *w = i % 4 == 2 ? &worst_big : &worst;
        if (es > *w) *w = es;
        if (ec > *w) *w = ec;
    }
    if (wide()) {
        expect_below("sin, cos", worst, 0.8);
        expect_below("sin, cos, |x| to 2^30", worst_big, 0.8);
    }
    double s, c;
    vb_sincos(0.0, &s, &c);
    assert_true(s == 0.0 && c == 1.0);
    vb_sincos(0x1.1p+30, &s, &c);
    assert_true(s != s && c != c);
    expect_bits(hash, 0xcd36411006f212d3u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expf),  cmocka_unit_test(test_expf_every_float),
        cmocka_unit_test(test_tanhf), cmocka_unit_test(test_sigmoidf),
        cmocka_unit_test(test_exp),   cmocka_unit_test(test_log),
        cmocka_unit_test(test_pow),   cmocka_unit_test(test_sincos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
