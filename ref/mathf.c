/* mathf.c - elementary functions as fixed sequences of correctly rounded operations (P1).
 *
 * Every line below is one or a few IEEE operations, to nearest even; fma where, and only where, fma is
 * written. Polynomials are minimax fits of our own (Remez-like, coefficients rounded one after another from
 * the lowest power up), evaluated by Horner's rule. "ulp" means units in the last place of the result.
 *
 * References:
 * - range reduction with a constant in two or three parts: Cody and Waite 1980, "Software Manual for the
 *   Elementary Functions"; exactness of the first step with fma: Boldo, Daumas and Li 2009, "Formally
 *   verified argument reduction with a fused multiply-add"
 * - log through s = f/(2 + f): Abramowitz and Stegun 4.1.29
 * - adding 1.5*2^23 (1.5*2^52) rounds to an integer that stands in the low bits: Knuth, TAOCP 2,
 *   4.2.2 */
#include "ref/mathf.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "verbatim must not be built with -ffast-math: it breaks bit identity (P1)"
#endif
_Static_assert(FLT_EVAL_METHOD == 0, "float expressions must be evaluated in their own type (no x87)");
_Static_assert(sizeof(float) == 4 && sizeof(double) == 8 && FLT_MANT_DIG == 24 && DBL_MANT_DIG == 53,
               "IEEE 754 binary32 and binary64 are needed");

static inline uint32_t bits_of_float(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_of_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline uint64_t bits_of_double(double x) {
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline double double_of_bits(uint64_t u) {
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* ---------------------------------------------------------------------- exp, float32
 *
 *   n = nearest integer to x*log2(e),  r = x - n*ln 2,  |r| <= 0.3466
 *   e^x = 2^n * (1 + (r + r^2*q(r)))           q of degree 5, error 2^-33
 *
 * n*ln2_hi needs at most 31 bits and x - n*ln2_hi at most 24, so the first fma is exact. The power of two is
 * added to the exponent bits: between the two limits the result is a normal number, so that this is exact
 * too. */
float vb_expf(float x) {
    const float magic = 0x1.8p+23f;
    const float t = fmaf(x, 0x1.715476p+0f, magic); /* low bits: n */
    const float n = t - magic;
    float r = fmaf(n, -0x1.62e43p-1f, x);
    r = fmaf(n, 0x1.05c61p-29f, r);
    float q = 0x1.9dfbe4p-13f;
    q = fmaf(q, r, 0x1.6d4cc8p-10f);
    q = fmaf(q, r, 0x1.11130ep-7f);
    q = fmaf(q, r, 0x1.5554e8p-5f);
    q = fmaf(q, r, 0x1.555554p-3f);
    q = fmaf(q, r, 0x1.0p-1f);
    const float p = fmaf(r * r, q, r);
    const float e = 1.0f + p;
    const float y = float_of_bits(bits_of_float(e) + (bits_of_float(t) << 23));
    if (x < -0x1.5d589ep+6f) return 0.0f;
    if (x > 0x1.62e42ep+6f) return float_of_bits(0x7f800000u);
    return x != x ? x + x : y;
}

/* ---------------------------------------------------------------------- exp, float64
 *
 * The same with q of degree 10, error 2^-64, and without fma: sampling takes 150,000 of these per token, and
 * where fma is a library call it would cost several times as much. ln2_40 has 40 bits, so n*ln2_40 is exact,
 * and so is taking it from x: both are multiples of the last place of a number below 1. */

static const double ln2_40 = 0x1.62e42fefa4000p-1;
static const double ln2_rest = -0x1.8432a1b0e2634p-43;

static inline double exp_q(double r) {
    double q = 0x1.1e5df021d9b02p-29;
    q = q * r + 0x1.af66cc8df50ecp-26;
    q = q * r + 0x1.27e5927ce898ap-22;
    q = q * r + 0x1.71ddf37f3a856p-19;
    q = q * r + 0x1.a01a01502f121p-16;
    q = q * r + 0x1.a01a01b1e74a1p-13;
    q = q * r + 0x1.6c16c16c275c2p-10;
    q = q * r + 0x1.111111110f162p-7;
    q = q * r + 0x1.5555555555530p-5;
    q = q * r + 0x1.555555555555ap-3;
    return q * r + 0x1.0p-1;
}

double vb_exp(double x) {
    const double magic = 0x1.8p+52;
    const double t = x * 0x1.71547652b82fep+0 + magic;
    const double n = t - magic;
    const double r = (x - n * ln2_40) - n * ln2_rest;
    const double e = 1.0 + (r + (r * r) * exp_q(r));
    const double y = double_of_bits(bits_of_double(e) + (bits_of_double(t) << 52));
    if (x < -0x1.6232bdd7abcd2p+9) return 0.0;
    if (x > 0x1.62e42fefa39efp+9) return double_of_bits(0x7ff0000000000000u);
    return x != x ? x + x : y;
}

/* e^(hi + lo), |lo| small against hi: as vb_exp, with what is left over of r added at the end. */
static double exp_two(double hi, double lo) {
    if (hi < -0x1.6232bdd7abcd2p+9) return 0.0;
    if (hi > 0x1.62e42fefa39efp+9) return double_of_bits(0x7ff0000000000000u);
    const double magic = 0x1.8p+52;
    const double t = hi * 0x1.71547652b82fep+0 + magic;
    const double n = t - magic;
    const double r0 = hi - n * ln2_40;
    const double w = lo - n * ln2_rest;
    const double r = r0 + w;
    const double c = (r0 - r) + w;
    const double e = 1.0 + (r + ((r * r) * exp_q(r) + c));
    return double_of_bits(bits_of_double(e) + (bits_of_double(t) << 52));
}

/* ---------------------------------------------------------------------- tanh, float32
 *
 *   |x| < 0.625:  tanh x = x + x^3*p(x^2)              p of degree 5, error 2^-32
 *   otherwise:    tanh |x| = 1 - 2/(e^(2|x|) + 1),     with the sign of x
 *
 * Below 0.625 the second form would lose bits where 1 and 2/(e + 1) cancel. 2|x| is exact. From about 9.01 on
 * the quotient is below half a unit of 1, and the result is 1. */
float vb_tanhf(float x) {
    const float a = x < 0.0f ? -x : x;
    const float z = a * a;
    float p = 0x1.1a27fep-9f;
    p = fmaf(p, z, -0x1.0c5ecep-7f);
    p = fmaf(p, z, 0x1.63a55p-6f);
    p = fmaf(p, z, -0x1.b9f188p-5f);
    p = fmaf(p, z, 0x1.11107ap-3f);
    p = fmaf(p, z, -0x1.555554p-2f);
    const float small = fmaf(a * z, p, a);
    const float large = 1.0f - 2.0f / (vb_expf(a + a) + 1.0f);
    const float y = a < 0.625f ? small : large;
    return x < 0.0f ? -y : y;
}

/* ---------------------------------------------------------------------- sigmoid and softplus, float32
 *
 *   softplus x = log(1 + e^x) = max(x, 0) + log(1 + z),  z = e^-|x|, 0 <= z <= 1
 *   log(1 + z) = z - s*(z - R),  s = z/(2 + z),  R = s^2*p(s^2)        p of degree 4, error 2^-32
 *
 * as in the logarithms below: 2s = z - s*z, and log(1 + z) = 2s + s*R. */
float vb_sigmoidf(float x) {
    return 1.0f / (1.0f + vb_expf(-x));
}

float vb_softplusf(float x) {
    const float z = vb_expf(x < 0.0f ? x : -x);
    const float s = z / (2.0f + z), w = s * s;
    float p = 0x1.f04950p-3f;
    p = fmaf(p, w, 0x1.b73bdap-3f);
    p = fmaf(p, w, 0x1.25046ep-2f);
    p = fmaf(p, w, 0x1.9996dcp-2f);
    p = fmaf(p, w, 0x1.555558p-1f);
    const float y = fmaf(-s, z - w * p, z);
    return x > 0.0f ? x + y : y;
}

/* ---------------------------------------------------------------------- logarithms
 *
 *   x = 2^k * (1 + f),  1 + f in [sqrt(1/2), sqrt(2)),  s = f/(2 + f),  z = s^2
 *   log(1 + f) = 2s + s*z*R(z) = f - (f^2/2 - s*(f^2/2 + z*R(z)))
 *                                                         R of degree 7, error 2^-66 of log(1 + f)
 *   log x      = k*ln 2 + log(1 + f)
 *
 * As above, k*ln2_40 is exact. */

static inline double log_zr(double z) {
    double r = 0x1.0f1338ea2b437p-3;
    r = fma(r, z, 0x1.0f66b39585589p-3);
    r = fma(r, z, 0x1.3b202a84e16e3p-3);
    r = fma(r, z, 0x1.745ce1a87c199p-3);
    r = fma(r, z, 0x1.c71c724bc1de9p-3);
    r = fma(r, z, 0x1.249249243940fp-2);
    r = fma(r, z, 0x1.9999999999d13p-2);
    r = fma(r, z, 0x1.5555555555555p-1);
    return z * r;
}

/* x = 2^k * m, m in [sqrt(1/2), sqrt(2)); x > 0 and finite. Returns k. */
static int split_power(double x, double *m) {
    int k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p+54;
        k = -54;
    }
    const uint64_t root_half = 0x3fe6a09e667f3bcdu;
    const uint64_t shifted = bits_of_double(x) + (0x3ff0000000000000u - root_half);
    k += (int)(shifted >> 52) - 1023;
    *m = double_of_bits((shifted & 0x000fffffffffffffu) + root_half);
    return k;
}

/* k*ln 2 + log(1 + f) + c, c small against the rest. */
static double log_core(int k, double f, double c) {
    const double s = f / (2.0 + f);
    const double half_square = 0.5 * f * f;
    const double tail = s * (half_square + log_zr(s * s));
    const double kd = (double)k;
    return kd * ln2_40 - ((half_square - (tail + (kd * ln2_rest + c))) - f);
}

double vb_log(double x) {
    if (!(x > 0.0)) return x == 0.0 ? -(double)INFINITY : (double)NAN;
    if (x > DBL_MAX) return x;
    double m;
    const int k = split_power(x, &m);
    return log_core(k, m - 1.0, 0.0);
}

/* u = 1 + x rounded loses (1 + x) - u, which comes back divided by u:
 *   log(1 + x) = log u + (1 + x - u)/u + ... */
double vb_log1p(double x) {
    if (!(x > -1.0)) return x == -1.0 ? -(double)INFINITY : (double)NAN;
    if (x > DBL_MAX) return x;
    if (fabs(x) < 0x1p-54) return x;
    if (x > -0x1.2bec333018866p-2 && x < 0x1.a827999fcef34p-2) return log_core(0, x, 0.0);
    const double u = 1.0 + x;
    const double lost = x >= 1.0 ? 1.0 - (u - x) : x - (u - 1.0);
    double m;
    const int k = split_power(u, &m);
    return log_core(k, m - 1.0, lost / u);
}

/* base^y = e^(y*log base), the logarithm as hi + lo to about 2^-59 of itself:
 *   s = f/(2 + f) as s_hi + s_lo,  log base = (k*ln2_40 + 2*s_hi) + (k*ln2_rest + 2*s_lo + s*z*R(z)) */
double vb_pow(double base, double exponent) {
    if (!(base > 0.0 && base <= DBL_MAX && fabs(exponent) <= DBL_MAX)) return (double)NAN;
    double m;
    const double k = (double)split_power(base, &m);
    const double f = m - 1.0;
    const double d = 2.0 + f;
    const double d_lo = f - (d - 2.0);
    const double s = f / d;
    const double s_lo = (fma(-s, d, f) - s * d_lo) / d;
    const double tail = fma(s, log_zr(s * s), 2.0 * s_lo) + k * ln2_rest;
    /* k*ln2_40 is 0 or larger than 2s, so this sum's error is what is left of 2s. */
    const double a = k * ln2_40;
    const double b = 2.0 * s;
    const double sum = a + b;
    const double rest = (k == 0.0 ? 0.0 : b - (sum - a)) + tail;
    const double log_hi = sum + rest;
    const double log_lo = rest - (log_hi - sum);
    const double y_hi = exponent * log_hi;
    const double y_lo = fma(exponent, log_hi, -y_hi) + exponent * log_lo;
    return exp_two(y_hi, y_lo);
}

/* ---------------------------------------------------------------------- sine and cosine
 *
 *   n = nearest integer to x*2/pi,  r = x - n*pi/2 as r + r_lo, |r| <= pi/4
 *   sin r = r + (r^3*S(r^2) + r_lo*(1 - r^2/2)),   cos r = 1 - r^2/2 + (r^4*C(r^2) - r*r_lo)
 *
 * pi/2 in three parts of 53 bits. For |x| <= 2^30, x and n*pio2_1 are multiples of 2^-53 and their difference
 * is below 1: the first fma is exact. S and C have degree 5, errors 2^-58 and 2^-64. */
void vb_sincos(double x, double *s, double *c) {
    if (!(fabs(x) <= 0x1p+30)) {
        *s = *c = (double)NAN;
        return;
    }
    const double pio2_1 = 0x1.921fb54442d18p+0, pio2_2 = 0x1.1a62633145c07p-54,
                 pio2_3 = -0x1.f1976b7ed8fbcp-110;
    const double magic = 0x1.8p+52;
    const double t = fma(x, 0x1.45f306dc9c883p-1, magic);
    const double n = t - magic;
    const double r0 = fma(-n, pio2_1, x);
    const double w = n * pio2_2;
    const double w_lo = fma(n, pio2_2, -w);
    const double r = r0 - w;
    const double back = r - r0;
    double r_lo = (r0 - (r - back)) - (w + back); /* r0 - w - r exactly (Knuth's two-sum) */
    r_lo = (r_lo - w_lo) - n * pio2_3;

    const double z = r * r;
    double q = 0x1.5d9312ba377b9p-33;
    q = fma(q, z, -0x1.ae5e66e1e7a39p-26);
    q = fma(q, z, 0x1.71de35793b8aep-19);
    q = fma(q, z, -0x1.a01a019c146f3p-13);
    q = fma(q, z, 0x1.111111110f89ep-7);
    q = fma(q, z, -0x1.5555555555549p-3);
    const double half = 0.5 * z;
    const double sine = r + fma(r * z, q, r_lo * (1.0 - half));

    q = -0x1.8fb09d892e139p-37;
    q = fma(q, z, 0x1.1ee9f05b60a66p-29);
    q = fma(q, z, -0x1.27e4f8118b14bp-22);
    q = fma(q, z, 0x1.a01a019cbe2edp-16);
    q = fma(q, z, -0x1.6c16c16c15218p-10);
    q = fma(q, z, 0x1.555555555554cp-5);
    const double near = 1.0 - half;
    const double cosine = near + (((1.0 - near) - half) + fma(z * z, q, -(r * r_lo)));

    /* Quadrants: n mod 4 stands in the two lowest bits of t. */
    const unsigned quadrant = (unsigned)(bits_of_double(t) & 3u);
    const double a = quadrant & 1u ? cosine : sine;
    const double b = quadrant & 1u ? sine : cosine;
    *s = quadrant & 2u ? -a : a;
    *c = (quadrant == 1u || quadrant == 2u) ? -b : b;
}
