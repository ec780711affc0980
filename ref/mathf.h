/* mathf.h - elementary functions that give the same bits everywhere. libm's exp, log, sin, cos and pow differ between
 * systems (and between CPUs of one system); these are fixed sequences of +, -, *, /, sqrt, fma and bit moves.
 * Formulas, ranges and measured errors: docs/numerics.md. */
#ifndef VB_MATHF_H
#define VB_MATHF_H

/* exp in float32: x <= -87.33654 (below the least normal result) gives +0, x > 88.72284 gives +inf, NaN gives NaN. */
float vb_expf(float x);
float vb_tanhf(float x);

/* float64 */
double vb_exp(double x);
double vb_log(double x);
double vb_log1p(double x);
double vb_pow(double base, double exponent); /* base > 0 */
void vb_sincos(double x, double *s, double *c); /* |x| <= 2^30 */

#endif
