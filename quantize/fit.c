/* fit.c - the search for the scale: candidates that put the largest number on some code, each followed by
 * the least squares for the codes that it gives. The best one wins. */
#include "quantize/fit.h"

#include "gguf/half.h"

uint16_t vb_half_of(double v) {
    const double max = 65504.0;
    return vb_float_to_half((float)(v < -max ? -max : v > max ? max : v));
}

double vb_double_of(uint16_t half) {
    return (double)vb_half_to_float(half);
}

/* How much better a later candidate must be. Numbers that lie on a grid also lie on finer ones: there
 * candidates differ by rounding alone, and the first, the coarsest,
 * is the one whose scale is a short number. */
#define BETTER (1.0 + 0x1p-40)

/* Sums over one assignment of codes. */
typedef struct sums {
    double q, qq, xq;
} sums;

/* q[i] = code((x[i] - o)*inv). */
static sums assign(const double *x, int n, double inv, double o, double lo, double hi) {
    sums t = {0, 0, 0};
    for (int i = 0; i < n; i++) {
        const double q = vb_code((x[i] - o) * inv, lo, hi);
        t.q += q;
        t.qq += q * q;
        t.xq += x[i] * q;
    }
    return t;
}

/* ------------------------------------------------------------------------------------- scale alone */

/* For given codes the best scale is s = sum(x q)/sum(q q), and it lowers the sum of squares from sum(x x) by
 * sum(x q)^2/sum(q q): the gain. So the search maximises the gain and never needs the error itself. */
typedef struct scale_try {
    double gain, s;
} scale_try;

static void try_scale(const double *x, int n, double lo, double hi, double s, scale_try *best) {
    const sums t = assign(x, n, 1.0 / s, 0.0, lo, hi);
    if (t.qq <= 0) return;
    const double gain = t.xq * t.xq / t.qq;
    if (gain > best->gain * BETTER) {
        best->gain = gain;
        best->s = t.xq / t.qq;
    }
}

double vb_fit_scale(const double *x, int n, int lo, int hi) {
    double amax = 0;
    for (int i = 0; i < n; i++) {
        const double a = x[i] < 0 ? -x[i] : x[i];
        amax = a > amax ? a : amax;
    }
    if (amax <= 0) return 0;
    scale_try best = {0, 0};
    /* Candidates: the largest |x| lands on code k. Whole k, so that numbers that lie on a grid
     * find it again ... */
    for (int k = 1; k < hi; k++) try_scale(x, n, lo, hi, amax / k, &best);
    /* ... and around the last code in quarter steps, for either end of the range: a largest |x| beyond the
     * last code is cut off, which pays when it is alone. */
    for (int k = 4 * hi - 4; k <= 4 * -lo + 8; k++) {
        try_scale(x, n, lo, hi, 4 * amax / k, &best);
        try_scale(x, n, lo, hi, -4 * amax / k, &best);
    }
    /* Alternate: codes for the scale, the best scale for the codes. The gain never falls. */
    for (int round = 0; round < 8; round++) {
        const double before = best.gain;
        try_scale(x, n, lo, hi, best.s, &best);
        if (best.gain <= before) break;
    }
    return best.s;
}

/* ------------------------------------------------------------------------------------- scale and offset */

typedef struct affine_try {
    double gain, s, o;
} affine_try;

/* For given codes, with means over the n values, the best line is
 *   s = (n sum(x q) - sum(x) sum(q)) / (n sum(q q) - sum(q)^2),   o = (sum(x) - s sum(q))/n
 * and the sum of squares falls from sum(x x) by s sum(x q) + o sum(x). Where o must not be positive and comes
 * out so, the best is o = 0 with s as above for the scale alone; the formula for the gain still holds. */
static void try_affine(const double *x, int n, double sum_x, double levels, int o_max_zero, double s,
                       double o, affine_try *best) {
    const sums t = assign(x, n, 1.0 / s, o, 0, levels);
    const double det = n * t.qq - t.q * t.q;
    double s_new = 0, o_new = sum_x / n;
    if (det > 0) {
        s_new = (n * t.xq - sum_x * t.q) / det;
        o_new = (sum_x - s_new * t.q) / n;
    }
    if (o_max_zero && o_new > 0) {
        o_new = 0;
        s_new = t.qq > 0 ? t.xq / t.qq : 0;
    }
    const double gain = s_new * t.xq + o_new * sum_x;
    if (s_new > 0 && gain > best->gain * BETTER) *best = (affine_try){gain, s_new, o_new};
}

void vb_fit_affine(const double *x, int n, int levels, int o_max_zero, double *s, double *o) {
    double lo = x[0], hi = x[0], sum_x = 0;
    for (int i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
        sum_x += x[i];
    }
    if (o_max_zero && lo > 0) lo = 0;
    *s = 0;
    *o = o_max_zero && hi > 0 && lo >= 0 ? 0 : lo;
    if (hi <= lo) return;
    affine_try best = {0, 0, 0};
    /* Candidates: lo lands on code a, hi on code levels - b; whole ranges first, for numbers that lie on a
     * grid. */
    for (int k = 1; k < levels; k++) try_affine(x, n, sum_x, levels, o_max_zero, (hi - lo) / k, lo, &best);
    for (int a = -4; a <= 2; a++) {
        for (int b = -4; b <= 2; b++) {
            const double step = (hi - lo) / (levels - 0.25 * (a + b));
            try_affine(x, n, sum_x, levels, o_max_zero, step, lo - 0.25 * a * step, &best);
        }
    }
    for (int round = 0; round < 8 && best.s > 0; round++) {
        const double before = best.gain;
        try_affine(x, n, sum_x, levels, o_max_zero, best.s, best.o, &best);
        if (best.gain <= before) break;
    }
    if (best.s > 0) {
        *s = best.s;
        *o = best.o;
    }
}

/* ------------------------------------------------------------------------------------- unit of the scales */

static double unit_error(const double *v, int n, double d, double lo, double hi) {
    const double inv = 1.0 / d;
    double e = 0;
    for (int i = 0; i < n; i++) {
        const double r = v[i] - d * vb_code(v[i] * inv, lo, hi);
        e += r * r;
    }
    return e;
}

uint16_t vb_fit_unit(const double *v, int n, int lo, int hi) {
    double amax = 0, best_error = -1;
    for (int i = 0; i < n; i++) {
        const double a = v[i] < 0 ? -v[i] : v[i];
        amax = a > amax ? a : amax;
    }
    uint16_t best = 0;
    /* Candidates: the largest |v| lands on the whole number k; both signs where negative multiples exist. */
    for (int k = hi > -lo ? hi : -lo; k >= 1; k--) {
        for (int sign = 1; sign >= (lo < 0 ? -1 : 1); sign -= 2) {
            const uint16_t half = vb_half_of(sign * amax / k);
            const double d = vb_double_of(half);
            if (d == 0) continue;
            const double e = unit_error(v, n, d, lo, hi);
            if (best_error < 0 || e < best_error) {
                best_error = e;
                best = half;
            }
        }
    }
    return best;
}
