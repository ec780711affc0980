/* fit.h - the scale (and offset) with which a few codes come closest to given numbers. The mathematics that
 * all encoders share; it knows nothing of block layouts.
 *
 * Everything is float64 arithmetic in a fixed order: +, -, *, /, comparisons, and rounding to the nearest
 * integer. No libm function takes part, so the same numbers give the same codes on every machine. */
#ifndef VB_FIT_H
#define VB_FIT_H

#include <stdint.h>

/* The nearest integer, ties to even, for |v| < 2^51: from 2^52 to 2^53 float64 holds the integers and nothing
 * else, so adding 1.5*2^52 rounds and subtracting it gives the result back. */
static inline double vb_round_even(double v) {
    return (v + 0x1.8p52) - 0x1.8p52;
}

/* The code of v, a value in units of the scale: rounded, then clamped. Clamping comes first, since v may be
 * large; it commutes with rounding because lo and hi are integers. */
static inline double vb_code(double v, double lo, double hi) {
    v = v < lo ? lo : v > hi ? hi : v;
    return vb_round_even(v);
}

/* Least sum of squares of x[i] - s*q[i] over s and integers q[i] in [lo, hi], lo < 0 < hi: writes s (of
 * either sign, 0 when all x are 0). x: (n) finite. A search over a grid of candidates: a local optimum, not
 * proved to be the global one (docs/quantize.md gives the distance measured). */
double vb_fit_scale(const double *x, int n, int lo, int hi);

/* Least sum of squares of x[i] - (s*q[i] + o) over s >= 0, o and integers q[i] in [0, levels]; with
 * `o_max_zero` only o <= 0. When all x are equal s may be 0. */
void vb_fit_affine(const double *x, int n, int levels, int o_max_zero, double *s, double *o);

/* The float16 d (as bits) with which integer multiples d*k[i], k[i] in [lo, hi], come closest to v[i] in
 * least squares: the unit of the small scales in a K block. Finite; 0 when all v are 0. */
uint16_t vb_fit_unit(const double *v, int n, int lo, int hi);

/* Nearest float16 to a float64, not beyond the largest finite one. */
uint16_t vb_half_of(double v);
double vb_double_of(uint16_t half);

#endif
