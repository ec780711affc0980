/* encode.c - F16, BF16 and the formats of 32 values with one scale. Layouts: gguf/formats.h. */
#include "quantize/encode.h"

#include "quantize/fit.h"
#include "gguf/formats.h"
#include "gguf/half.h"

enum { N = 32 };

static void store_le16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static double widen(const float *x, double *wide) {
    double amax = 0;
    for (int i = 0; i < N; i++) {
        wide[i] = (double)x[i];
        const double a = wide[i] < 0 ? -wide[i] : wide[i];
        amax = a > amax ? a : amax;
    }
    return amax;
}

/* Value j below, value j + 16 above; the fifth bits in a word of their own where there is one
 * (qh not NULL). */
static void store_codes(const int *q, uint8_t *qh, uint8_t *qs) {
    uint32_t high = 0;
    for (int i = 0; i < N; i++) high |= (uint32_t)(q[i] >> 4 & 1) << i;
    for (int j = 0; j < 16; j++) qs[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
    for (int k = 0; qh && k < 4; k++) qh[k] = (uint8_t)(high >> 8 * k);
}

/* --------------------------------------------------------------------------------------- scale alone */

/* Sum of squares left with scale d: sum (x - d q)^2. */
static double scale_error(const double *x, double d, double lo, double hi) {
    const double inv = d != 0 ? 1.0 / d : 0.0;
    double e = 0;
    for (int i = 0; i < N; i++) {
        const double r = x[i] - d * vb_code(x[i] * inv, lo, hi);
        e += r * r;
    }
    return e;
}

/* The best float16 scale near s: the nearest one and its two neighbours. */
static uint16_t best_half_scale(const double *x, double s, double lo, double hi) {
    const uint16_t mid = vb_half_of(s);
    uint16_t best = mid;
    double best_error = scale_error(x, vb_double_of(mid), lo, hi);
    for (int step = -1; step <= 1; step += 2) {
        const int rest = (mid & 0x7fff) + step;
        if (rest < 0 || rest > 0x7bff) continue;
        const uint16_t half = (uint16_t)((mid & 0x8000) | rest);
        const double e = scale_error(x, vb_double_of(half), lo, hi);
        if (e < best_error) {
            best_error = e;
            best = half;
        }
    }
    return best;
}

/* v = d*(q - half_range), codes in [-half_range, half_range - 1]. The largest |v| that any d reaches is
 * 65504*half_range. */
static bool encode_symmetric(const float *x, int half_range, uint8_t *d_at, uint8_t *qh, uint8_t *qs) {
    double wide[N];
    int q[N];
    const double amax = widen(x, wide);
    if (amax > 65504.0 * half_range) return false;
    const uint16_t half = best_half_scale(wide, vb_fit_scale(wide, N, -half_range, half_range - 1),
                                          -half_range, half_range - 1);
    const double d = vb_double_of(half), inv = d != 0 ? 1.0 / d : 0.0;
    for (int i = 0; i < N; i++) q[i] = (int)vb_code(wide[i] * inv, -half_range, half_range - 1) + half_range;
    store_le16(d_at, half);
    store_codes(q, qh, qs);
    return true;
}

bool vb_encode_q4_0(const float *x, uint8_t *out) {
    vb_block_q4_0 *b = (vb_block_q4_0 *)out;
    return encode_symmetric(x, 8, b->d, NULL, b->qs);
}

bool vb_encode_q5_0(const float *x, uint8_t *out) {
    vb_block_q5_0 *b = (vb_block_q5_0 *)out;
    return encode_symmetric(x, 16, b->d, b->qh, b->qs);
}

/* With 8 bits a search gains nothing worth its time: the largest |x| lands on 127. */
bool vb_encode_q8_0(const float *x, uint8_t *out) {
    vb_block_q8_0 *b = (vb_block_q8_0 *)out;
    double wide[N];
    const double amax = widen(x, wide);
    if (amax > 65504.0 * 127) return false;
    const uint16_t half = best_half_scale(wide, amax / 127, -127, 127);
    const double d = vb_double_of(half), inv = d != 0 ? 1.0 / d : 0.0;
    store_le16(b->d, half);
    for (int i = 0; i < N; i++) b->qs[i] = (uint8_t)(int8_t)vb_code(wide[i] * inv, -127, 127);
    return true;
}

/* --------------------------------------------------------------------------------------- scale and offset */

typedef struct line {
    uint16_t d, m;
    double error;
} line;

/* Sum of squares left with float16 d and m: sum (x - (d q + m))^2. */
static void try_line(const double *x, int d_bits, int m_bits, double levels, line *best) {
    if ((d_bits & 0x7fff) > 0x7bff || (m_bits & 0x7fff) > 0x7bff || d_bits < 0 || m_bits < 0) return;
    const double d = vb_double_of((uint16_t)d_bits), m = vb_double_of((uint16_t)m_bits);
    const double inv = d != 0 ? 1.0 / d : 0.0;
    double e = 0;
    for (int i = 0; i < N; i++) {
        const double r = x[i] - (d * vb_code((x[i] - m) * inv, 0, levels) + m);
        e += r * r;
    }
    if (best->error < 0 || e < best->error) *best = (line){(uint16_t)d_bits, (uint16_t)m_bits, e};
}

/* The best pair of float16 near (s, o): the nearest ones and their neighbours. Where the codes leave room at
 * the top, the same line with all codes moved up (o - c s) may round better: numbers that lie on a grid find
 * it again. */
static line best_line(const double *x, double s, double o, int levels) {
    line best = {0, 0, -1};
    double hi = x[0];
    for (int i = 1; i < N; i++) hi = x[i] > hi ? x[i] : hi;
    const int d = vb_half_of(s), m = vb_half_of(o);
    for (int i = -1; i <= 1; i++) {
        for (int j = -1; j <= 1; j++) try_line(x, d + i, m + j, levels, &best);
    }
    const int top = s > 0 ? (int)vb_code((hi - o) / s, 0, levels) : levels;
    for (int c = 1; c <= levels - top && best.error > 0; c++)
        try_line(x, d, vb_half_of(o - c * s), levels, &best);
    return best;
}

static bool encode_affine(const float *x, int levels, uint8_t *d_at, uint8_t *m_at, uint8_t *qh,
                          uint8_t *qs) {
    double wide[N], s, o;
    int q[N];
    if (widen(x, wide) > 65504.0) return false;
    vb_fit_affine(wide, N, levels, 0, &s, &o);
    const line fit = best_line(wide, s, o, levels);
    const double d = vb_double_of(fit.d), m = vb_double_of(fit.m), inv = d != 0 ? 1.0 / d : 0.0;
    for (int i = 0; i < N; i++) q[i] = (int)vb_code((wide[i] - m) * inv, 0, levels);
    store_le16(d_at, fit.d);
    store_le16(m_at, fit.m);
    store_codes(q, qh, qs);
    return true;
}

bool vb_encode_q4_1(const float *x, uint8_t *out) {
    vb_block_q4_1 *b = (vb_block_q4_1 *)out;
    return encode_affine(x, 15, b->d, b->m, NULL, b->qs);
}

bool vb_encode_q5_1(const float *x, uint8_t *out) {
    vb_block_q5_1 *b = (vb_block_q5_1 *)out;
    return encode_affine(x, 31, b->d, b->m, b->qh, b->qs);
}

/* --------------------------------------------------------------------------------------- any type */

static const struct {
    vb_encode_block_fn *encode;
    int values;
} encoders[VB_TYPE_LIMIT] = {
    [VB_Q8_0] = {vb_encode_q8_0, 32},  [VB_Q4_0] = {vb_encode_q4_0, 32},  [VB_Q4_1] = {vb_encode_q4_1, 32},
    [VB_Q5_0] = {vb_encode_q5_0, 32},  [VB_Q5_1] = {vb_encode_q5_1, 32},  [VB_Q4_K] = {vb_encode_q4_k, 256},
    [VB_Q5_K] = {vb_encode_q5_k, 256}, [VB_Q6_K] = {vb_encode_q6_k, 256},
};

bool vb_can_encode(int type) {
    if (type == VB_F32 || type == VB_F16 || type == VB_BF16) return true;
    return type >= 0 && type < VB_TYPE_LIMIT && encoders[type].encode;
}

static bool finite_bits(float f) {
    return (vb_float_bits(f) & 0x7f800000u) != 0x7f800000u;
}

/* One value as F32, F16 or BF16. False when rounding makes it infinite. */
static bool encode_one(vb_type type, float x, uint8_t *out) {
    if (type == VB_F32) {
        const uint32_t bits = vb_float_bits(x);
        for (int k = 0; k < 4; k++) out[k] = (uint8_t)(bits >> 8 * k);
        return true;
    }
    const uint16_t bits = type == VB_F16 ? vb_float_to_half(x) : vb_float_to_bf16(x);
    store_le16(out, bits);
    return (bits & 0x7fffu) < (type == VB_F16 ? 0x7c00u : 0x7f80u);
}

static size_t largest(const float *x, size_t n) {
    size_t at = 0;
    for (size_t i = 1; i < n; i++) {
        if ((vb_float_bits(x[i]) & 0x7fffffffu) > (vb_float_bits(x[at]) & 0x7fffffffu)) at = i;
    }
    return at;
}

int64_t vb_encode(vb_type type, const float *x, size_t n, uint8_t *out, vb_encode_fault *fault) {
    for (size_t i = 0; i < n; i++) {
        if (finite_bits(x[i])) continue;
        *fault = VB_ENCODE_NOT_FINITE;
        return (int64_t)i;
    }
    *fault = VB_ENCODE_TOO_LARGE;
    const size_t bytes = (size_t)vb_type_block_bytes((int)type);
    if (!encoders[type].encode) {
        for (size_t i = 0; i < n; i++) {
            if (!encode_one(type, x[i], out + i * bytes)) return (int64_t)i;
        }
        return -1;
    }
    const size_t values = (size_t)encoders[type].values;
    for (size_t b = 0; b < n / values; b++) {
        const float *block = x + b * values;
        if (!encoders[type].encode(block, out + b * bytes))
            return (int64_t)(b * values + largest(block, values));
    }
    return -1;
}
