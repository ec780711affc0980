/* mathf.h - elementary functions that give the same bits everywhere. libm's exp, log, sin, cos and pow differ
 * between systems (and between CPUs of one system); these are fixed sequences of +, -, *, /, fma and bit
 * moves. Formulas, ranges, coefficients and measured errors: docs/numerics.md, "Elementary functions". */
#ifndef VB_MATHF_H
#define VB_MATHF_H

/* exp in float32, error below 1 ulp. x < -0x1.5d589ep+6 (about -87.33654, below which results would be
 * subnormal) gives +0, x > 0x1.62e42ep+6 (about 88.72283) gives +inf, NaN gives NaN. Straight-line code for
 * SIMD to repeat. */
float vb_expf(float x);
/* tanh in float32, for activations and softcaps: error below 1.5 ulp. */
float vb_tanhf(float x);

/* 1/(1 + e^-x) in float32, for routers and gates: error below 2.5 ulp; +0 where e^-x overflows. */
float vb_sigmoidf(float x);
/* log(1 + e^x) in float32: error below 2 ulp. +inf gives +inf, NaN gives NaN; results below 2^-126 are
 * +0. */
float vb_softplusf(float x);

/* float64 */

/* Error below 1 ulp. x < -0x1.6232bdd7abcd2p+9 (about -708.396) gives +0, x > 0x1.62e42fefa39efp+9 (about
 * 709.783) gives +inf, NaN gives NaN. Straight-line code for SIMD to repeat. */
double vb_exp(double x);
/* Error below 1 ulp. 0 gives -inf, x < 0 and NaN give NaN. */
double vb_log(double x);
/* log(1 + x). Error below 1 ulp. -1 gives -inf, x < -1 and NaN give NaN. */
double vb_log1p(double x);
/* base^exponent for a finite base > 0 and a finite exponent; otherwise NaN. Error below 1 ulp where
 * |exponent*log(base)| <= 32, as in RoPE. Underflow gives +0, overflow +inf, as in vb_exp. */
double vb_pow(double base, double exponent);
/* Error below 0.8 ulp each for |x| <= 2^30; NaN for larger |x|. */
void vb_sincos(double x, double *s, double *c);

#endif
