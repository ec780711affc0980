/* encode_k.c - Q4_K, Q5_K and Q6_K: 256 values, small integer scales per 32 or 16 of them, one float16 unit
 * for all the scales (and one for all the minimums). Layouts: gguf/formats.h.
 *
 * Three steps for a block. (1) Every group alone, with real numbers for its scale and minimum (fit.c). (2)
 * The float16 units whose multiples come closest to those. (3) Descent: for the units, the best small
 * integers of each group among the neighbours of the present ones; for the integers and codes, the units of
 * least squares. Each half is kept only if the sum of squares falls. */
#include "quantize/encode.h"

#include "quantize/fit.h"
#include "gguf/formats.h"

enum { SUPER = 256, ROUNDS = 4 };

static void store_le16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static int clamp_int(int v, int lo, int hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

static double widen(const float *x, double *wide) {
    double amax = 0;
    for (int i = 0; i < SUPER; i++) {
        wide[i] = (double)x[i];
        const double a = wide[i] < 0 ? -wide[i] : wide[i];
        amax = a > amax ? a : amax;
    }
    return amax;
}

/* ----------------------------------------------------------------------- Q4_K, Q5_K: v = d*sc*q - dmin*mn */

enum { GROUPS = 8, GROUP = 32 };

typedef struct affine_k {
    uint16_t d, dmin;
    int sc[GROUPS], mn[GROUPS];
    double error;
} affine_k;

/* Sum of squares of one group: sum (x - (D q - M))^2 with D = d*sc, M = dmin*mn. */
static double group_error(const double *x, double D, double M, double levels) {
    const double inv = D != 0 ? 1.0 / D : 0.0;
    double e = 0;
    for (int i = 0; i < GROUP; i++) {
        const double r = x[i] - (D * vb_code((x[i] + M) * inv, 0, levels) - M);
        e += r * r;
    }
    return e;
}

/* For the units d and dmin: the best sc and mn of one group within 1 of (*sc, *mn), or zeros (near the least
 * float16 the units may be too coarse for anything else). Returns its sum of squares. */
static double best_neighbours(const double *x, double d, double dmin, double levels, int *sc, int *mn) {
    const int sc0 = *sc, mn0 = *mn;
    double best = group_error(x, d * sc0, dmin * mn0, levels);
    for (int a = -1; a <= 1; a++) {
        for (int b = -1; b <= 1; b++) {
            const int s = sc0 + a, m = mn0 + b;
            if ((a == 0 && b == 0) || s < 0 || s > 63 || m < 0 || m > 63) continue;
            const double e = group_error(x, d * s, dmin * m, levels);
            if (e < best) {
                best = e;
                *sc = s;
                *mn = m;
            }
        }
    }
    const double zeros = group_error(x, 0, 0, levels);
    if (zeros < best) {
        best = zeros;
        *sc = *mn = 0;
    }
    return best;
}

static void descend_groups(const double *x, double levels, affine_k *k) {
    const double d = vb_double_of(k->d), dmin = vb_double_of(k->dmin);
    k->error = 0;
    for (int g = 0; g < GROUPS; g++)
        k->error += best_neighbours(x + GROUP * g, d, dmin, levels, &k->sc[g], &k->mn[g]);
}

/* For given integers and codes, with A = sc*q and B = mn, the least squares of sum (x - (d A - dmin B))^2:
 *   d sum(A A) - dmin sum(A B) = sum(x A),   d sum(A B) - dmin sum(B B) = sum(x B). */
static void refit_units(const double *x, double levels, affine_k *k) {
    const double d = vb_double_of(k->d), dmin = vb_double_of(k->dmin);
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    for (int g = 0; g < GROUPS; g++) {
        const double D = d * k->sc[g], B = k->mn[g], inv = D != 0 ? 1.0 / D : 0.0;
        for (int i = GROUP * g; i < GROUP * (g + 1); i++) {
            const double A = k->sc[g] * vb_code((x[i] + dmin * B) * inv, 0, levels);
            aa += A * A;
            ab += A * B;
            bb += B * B;
            xa += x[i] * A;
            xb += x[i] * B;
        }
    }
    const double det = aa * bb - ab * ab;
    if (det > 0) {
        k->d = vb_half_of((xa * bb - xb * ab) / det);
        k->dmin = vb_half_of((xa * ab - xb * aa) / det);
    } else if (aa > 0) {
        k->d = vb_half_of(xa / aa);
    }
}

static void fit_affine_k(const double *x, int levels, affine_k *k) {
    double s[GROUPS], t[GROUPS];
    for (int g = 0; g < GROUPS; g++) {
        double o;
        vb_fit_affine(x + GROUP * g, GROUP, levels, 1, &s[g], &o);
        t[g] = -o;
    }
    k->d = vb_fit_unit(s, GROUPS, 0, 63);
    k->dmin = vb_fit_unit(t, GROUPS, 0, 63);
    const double d = vb_double_of(k->d), dmin = vb_double_of(k->dmin);
    for (int g = 0; g < GROUPS; g++) {
        k->sc[g] = d > 0 ? (int)vb_code(s[g] / d, 0, 63) : 0;
        k->mn[g] = dmin > 0 ? (int)vb_code(t[g] / dmin, 0, 63) : 0;
    }
    descend_groups(x, levels, k);
    for (int round = 0; round < ROUNDS && k->error > 0; round++) {
        affine_k next = *k;
        refit_units(x, levels, &next);
        descend_groups(x, levels, &next);
        if (next.error >= k->error) break;
        *k = next;
    }
}

/* The 12 bytes of 6-bit scales and minimums. */
static void store_scales(const affine_k *k, uint8_t *scales) {
    for (int i = 0; i < 4; i++) {
        scales[i] = (uint8_t)(k->sc[i] | (k->sc[4 + i] >> 4) << 6);
        scales[4 + i] = (uint8_t)(k->mn[i] | (k->mn[4 + i] >> 4) << 6);
        scales[8 + i] = (uint8_t)((k->sc[4 + i] & 15) | (k->mn[4 + i] & 15) << 4);
    }
}

/* Fits, writes units and scales, and the codes to q. */
static bool encode_affine_k(const float *x, int levels, uint8_t *d_at, uint8_t *dmin_at, uint8_t *scales,
                            uint8_t *q) {
    double wide[SUPER];
    affine_k k;
    if (widen(x, wide) > 65504.0 * 63) return false;
    fit_affine_k(wide, levels, &k);
    store_le16(d_at, k.d);
    store_le16(dmin_at, k.dmin);
    store_scales(&k, scales);
    for (int i = 0; i < SUPER; i++) {
        const int g = i / GROUP;
        const double D = vb_double_of(k.d) * k.sc[g], M = vb_double_of(k.dmin) * k.mn[g];
        q[i] = (uint8_t)vb_code((wide[i] + M) * (D != 0 ? 1.0 / D : 0.0), 0, levels);
    }
    return true;
}

static void store_nibbles(const uint8_t *q, uint8_t *qs) {
    for (int c = 0; c < 4; c++) {
        for (int l = 0; l < 32; l++)
            qs[32 * c + l] = (uint8_t)((q[64 * c + l] & 15) | (q[64 * c + 32 + l] & 15) << 4);
    }
}

bool vb_encode_q4_k(const float *x, uint8_t *out) {
    vb_block_q4_k *b = (vb_block_q4_k *)out;
    uint8_t q[SUPER];
    if (!encode_affine_k(x, 15, b->d, b->dmin, b->scales, q)) return false;
    store_nibbles(q, b->qs);
    return true;
}

bool vb_encode_q5_k(const float *x, uint8_t *out) {
    vb_block_q5_k *b = (vb_block_q5_k *)out;
    uint8_t q[SUPER];
    if (!encode_affine_k(x, 31, b->d, b->dmin, b->scales, q)) return false;
    store_nibbles(q, b->qs);
    for (int l = 0; l < 32; l++) {
        int bits = 0;
        for (int g = 0; g < GROUPS; g++) bits |= (q[32 * g + l] >> 4) << g;
        b->qh[l] = (uint8_t)bits;
    }
    return true;
}

/* ----------------------------------------------------------------------- Q6_K: v = d*sc*(q - 32) */

enum { GROUPS6 = 16, GROUP6 = 16 };

typedef struct scale_k {
    uint16_t d;
    int sc[GROUPS6];
    double error;
} scale_k;

static double group6_error(const double *x, double D) {
    const double inv = D != 0 ? 1.0 / D : 0.0;
    double e = 0;
    for (int i = 0; i < GROUP6; i++) {
        const double r = x[i] - D * vb_code(x[i] * inv, -32, 31);
        e += r * r;
    }
    return e;
}

static void descend_groups6(const double *x, scale_k *k) {
    const double d = vb_double_of(k->d);
    k->error = 0;
    for (int g = 0; g < GROUPS6; g++) {
        const int sc0 = k->sc[g];
        double best = group6_error(x + GROUP6 * g, d * sc0);
        for (int sc = clamp_int(sc0 - 2, -128, 127); sc <= clamp_int(sc0 + 2, -128, 127); sc++) {
            const double e = sc == sc0 ? best : group6_error(x + GROUP6 * g, d * sc);
            if (e < best) {
                best = e;
                k->sc[g] = sc;
            }
        }
        k->error += best;
    }
}

/* For given integers and codes, A = sc*q: d = sum(x A)/sum(A A). */
static void refit_unit6(const double *x, scale_k *k) {
    const double d = vb_double_of(k->d);
    double aa = 0, xa = 0;
    for (int i = 0; i < SUPER; i++) {
        const int sc = k->sc[i / GROUP6];
        const double D = d * sc, A = sc * vb_code(x[i] * (D != 0 ? 1.0 / D : 0.0), -32, 31);
        aa += A * A;
        xa += x[i] * A;
    }
    if (aa > 0) k->d = vb_half_of(xa / aa);
}

static void fit_scale_k(const double *x, scale_k *k) {
    double s[GROUPS6];
    for (int g = 0; g < GROUPS6; g++) s[g] = vb_fit_scale(x + GROUP6 * g, GROUP6, -32, 31);
    k->d = vb_fit_unit(s, GROUPS6, -128, 127);
    const double d = vb_double_of(k->d);
    for (int g = 0; g < GROUPS6; g++) k->sc[g] = d != 0 ? (int)vb_code(s[g] / d, -128, 127) : 0;
    descend_groups6(x, k);
    for (int round = 0; round < ROUNDS && k->error > 0; round++) {
        scale_k next = *k;
        refit_unit6(x, &next);
        descend_groups6(x, &next);
        if (next.error >= k->error) break;
        *k = next;
    }
}

bool vb_encode_q6_k(const float *x, uint8_t *out) {
    vb_block_q6_k *b = (vb_block_q6_k *)out;
    double wide[SUPER];
    uint8_t q[SUPER];
    scale_k k;
    if (widen(x, wide) > 65504.0 * 128 * 32) return false;
    fit_scale_k(wide, &k);
    for (int i = 0; i < SUPER; i++) {
        const int g = i / GROUP6;
        const double D = vb_double_of(k.d) * k.sc[g];
        q[i] = (uint8_t)(32 + (int)vb_code(wide[i] * (D != 0 ? 1.0 / D : 0.0), -32, 31));
    }
    store_le16(b->d, k.d);
    for (int g = 0; g < GROUPS6; g++) b->scales[g] = (uint8_t)(int8_t)k.sc[g];
    for (int h = 0; h < 2; h++) {
        const uint8_t *v = q + 128 * h;
        for (int l = 0; l < 64; l++) b->ql[64 * h + l] = (uint8_t)((v[l] & 15) | (v[64 + l] & 15) << 4);
        for (int l = 0; l < 32; l++)
            b->qh[32 * h + l] =
                (uint8_t)(v[l] >> 4 | (v[32 + l] >> 4) << 2 | (v[64 + l] >> 4) << 4 | (v[96 + l] >> 4) << 6);
    }
    return true;
}
