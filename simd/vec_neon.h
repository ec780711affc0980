/* vec_neon.h - what *_body.h is written in, for NEON on aarch64. VB_NEON_DOT says how four products per lane
 * are added: 0 by multiplications of 8 bits (every aarch64), 1 by SDOT (FEAT_DotProd, ARMv8.2), 2 also by
 * SMMLA (FEAT_I8MM), two tokens at a time. The names are those of vec_avx512.h. */
#ifndef VB_VEC_NEON_H
#define VB_VEC_NEON_H

#include <arm_neon.h>

/* ------------------------------------------------------------------- rows of weights: one int32 lane each */

enum {
    ROWS = 4,           /* rows in a vector */
    SIGNED_WEIGHTS = 1, /* dot() takes signed bytes; weights below 8 bits fit them as they are */
    SCALED = 0,
    BIASED = 0,
    SIDE = 1,                   /* vectors of rows, */
    STEP = VB_NEON_DOT ? 4 : 2, /* tokens side by side */
    QUADS = 4                   /* of a group at a time, where several groups share words */
};
typedef uint32x4_t ivec; /* 4 int32, or 16 bytes */
typedef float32x4_t fvec;

INLINE int32x4_t s32(ivec a) {
    return vreinterpretq_s32_u32(a);
}
INLINE ivec u32(int32x4_t a) {
    return vreinterpretq_u32_s32(a);
}
INLINE int8x16_t s8(ivec a) {
    return vreinterpretq_s8_u32(a);
}
INLINE ivec i_load(const uint8_t *p) {
    return vreinterpretq_u32_u8(vld1q_u8(p));
}
INLINE void i_store(uint8_t *p, ivec a) {
    vst1q_u8(p, vreinterpretq_u8_u32(a));
}
INLINE ivec i_zero(void) {
    return vdupq_n_u32(0);
}
INLINE ivec i_set(int32_t x) {
    return vdupq_n_u32((uint32_t)x);
}
INLINE ivec i_set8(int x) {
    return vreinterpretq_u32_u8(vdupq_n_u8((uint8_t)x));
}
INLINE ivec i_and(ivec a, ivec b) {
    return vandq_u32(a, b);
}
INLINE ivec i_or(ivec a, ivec b) {
    return vorrq_u32(a, b);
}
INLINE ivec i_xor(ivec a, ivec b) {
    return veorq_u32(a, b);
}
INLINE ivec i_add(ivec a, ivec b) {
    return vaddq_u32(a, b);
}
INLINE ivec i_sub(ivec a, ivec b) {
    return vsubq_u32(a, b);
}
INLINE ivec i_sub8(ivec a, ivec b) {
    return vreinterpretq_u32_u8(vsubq_u8(vreinterpretq_u8_u32(a), vreinterpretq_u8_u32(b)));
}
INLINE ivec i_mul(ivec a, ivec b) {
    return vmulq_u32(a, b);
}
INLINE ivec i_mul_pairs(ivec a, ivec b) {
    const int16x8_t x = vreinterpretq_s16_u32(a), y = vreinterpretq_s16_u32(b);
    return u32(vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
}
INLINE ivec i_right(ivec a, int n) {
    return a >> (uint32_t)n;
}
INLINE ivec i_left(ivec a, int n) {
    return a << (uint32_t)n;
}
INLINE ivec i_right_signed(ivec a, int n) {
    return u32(s32(a) >> n);
}
/* The upper 4 bits of every byte. */
INLINE ivec i_high_nibbles(ivec a) {
    return vreinterpretq_u32_u8(vshrq_n_u8(vreinterpretq_u8_u32(a), 4));
}
INLINE ivec i_left_each(ivec a, ivec n) {
    return vshlq_u32(a, s32(n));
}
/* w | (v moved left by n bits, or right where n < 0, & mask): brings a plane of bits to its place in every
 * byte. */
INLINE ivec i_or_bits(ivec w, ivec v, int n, int mask) {
    return i_or(w, i_and(n >= 0 ? i_left(v, n) : i_right(v, -n), i_set8(mask)));
}
/* table[i] of every byte i, 0..15 */
INLINE ivec i_look_up(const int8_t *table, int offset, ivec i) {
    const int8x16_t t = vaddq_s8(vld1q_s8(table), vdupq_n_s8((int8_t)offset));
    return vreinterpretq_u32_s8(vqtbl1q_s8(t, vreinterpretq_u8_u32(i)));
}
INLINE ivec i_bytes(const uint8_t *p) {
    const uint32_t four[4] = {p[0], p[1], p[2], p[3]};
    return vld1q_u32(four);
}
/* Lanes with a >= b (integers) from x, the others from y. */
INLINE ivec i_if_ge(ivec a, ivec b, ivec x, ivec y) {
    return vbslq_u32(vcgeq_s32(s32(a), s32(b)), x, y);
}

INLINE fvec f_set(float x) {
    return vdupq_n_f32(x);
}
INLINE fvec f_zero(void) {
    return vdupq_n_f32(0.0f);
}
INLINE fvec f_of_int(ivec a) {
    return vcvtq_f32_s32(s32(a));
}
INLINE fvec f_of_bits(ivec a) {
    return vreinterpretq_f32_u32(a);
}
INLINE fvec f_mul(fvec a, fvec b) {
    return vmulq_f32(a, b);
}
INLINE fvec f_sub(fvec a, fvec b) {
    return vsubq_f32(a, b);
}
INLINE fvec f_fma(fvec a, fvec b, fvec c) {
    return vfmaq_f32(c, a, b);
}
INLINE fvec f_fms(fvec a, fvec b, fvec c) {
    return vfmaq_f32(vnegq_f32(c), a, b);
}
INLINE fvec f_halves(const uint8_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}
/* The lower and the upper float16 of each lane. */
INLINE fvec f_low_half(ivec v) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(v)));
}
INLINE fvec f_high_half(ivec v) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vshrn_n_u32(v, 16)));
}

/* Lanes [from, to) of p; the others are +0 and their memory is not touched. */
INLINE fvec f_load_part(const float *p, int from, int to) {
    if (to - from == ROWS) return vld1q_f32(p);
    float all[ROWS] = {0};
    memcpy(all + from, p + from, (size_t)(to - from) * sizeof *p);
    return vld1q_f32(all);
}
INLINE void f_store_part(float *p, fvec v, int from, int to) {
    float all[ROWS];
    vst1q_f32(to - from == ROWS ? p : all, v);
    if (to - from < ROWS) memcpy(p + from, all + from, (size_t)(to - from) * sizeof *p);
}

/* Weights of a group, as dot() wants them: 8 vectors of 4 values of each row; for SMMLA also 8 values of rows
 * 0 and 1, then of rows 2 and 3. */
typedef struct quads {
    ivec u[8];
#if VB_NEON_DOT == 2
    int8x16_t pair[8];
#endif
} quads;
INLINE void prepare(quads *w, int bits, int k0, int k1) {
    (void)bits;
#if VB_NEON_DOT == 2
    VB_UNROLL
    for (int k = k0; k < k1; k += 2) {
        w->pair[k] = s8(vzip1q_u32(w->u[k], w->u[k + 1]));
        w->pair[k + 1] = s8(vzip2q_u32(w->u[k], w->u[k + 1]));
    }
#else
    (void)w;
    (void)k0;
    (void)k1;
#endif
}

/* dot(): acc[i] + sum over quads [k0, k1) of w*x, for n tokens whose integers lie `stride` words apart; k0
 * and k1 are multiples of 4. bits: of the weights. */
#if VB_NEON_DOT

INLINE int8x16_t four_words(const int32_t *x) {
    return vreinterpretq_s8_s32(vld1q_s32(x));
}

#if VB_NEON_DOT == 2
/* SMMLA: (2 rows, 8 values) times (2 tokens, 8 values) is [r0*t0, r0*t1, r1*t0, r1*t1]. */
INLINE void dot_pair(ivec *acc, const quads *w, const int32_t *x, size_t stride, int k0, int k1) {
    int32x4_t low = vdupq_n_s32(0), high = low;
    VB_UNROLL
    for (int k = k0; k < k1; k += 2) {
        const int8x16_t xk =
            vreinterpretq_s8_s32(vcombine_s32(vld1_s32(x + k), vld1_s32(x + stride + (size_t)k)));
        low = vmmlaq_s32(low, w->pair[k], xk);
        high = vmmlaq_s32(high, w->pair[k + 1], xk);
    }
    acc[0] = i_add(acc[0], u32(vuzp1q_s32(low, high)));
    acc[1] = i_add(acc[1], u32(vuzp2q_s32(low, high)));
}
#endif

INLINE void dot(const int side, const int n, ivec *acc, const quads *w, int bits, const ivec *scale,
                const int32_t *x, size_t stride, int k0, int k1) {
    (void)side;
    (void)scale;
    (void)bits;
#if VB_NEON_DOT == 2
    if (n % 2 == 0) {
        VB_UNROLL
        for (int i = 0; i < n; i += 2) dot_pair(acc + i, w, x + (size_t)i * stride, stride, k0, k1);
        return;
    }
#endif
    VB_UNROLL
    for (int k = k0; k < k1; k += 4) {
        VB_UNROLL
        for (int i = 0; i < n; i++) {
            const int8x16_t xk = four_words(x + (size_t)i * stride + (size_t)k);
            int32x4_t sum = s32(acc[i]);
            sum = vdotq_laneq_s32(sum, s8(w->u[k]), xk, 0);
            sum = vdotq_laneq_s32(sum, s8(w->u[k + 1]), xk, 1);
            sum = vdotq_laneq_s32(sum, s8(w->u[k + 2]), xk, 2);
            acc[i] = u32(vdotq_laneq_s32(sum, s8(w->u[k + 3]), xk, 3));
        }
    }
}

#else

/* A 16-bit lane holds a sum of products: at most 8*31*127 = 31496, 4*63*127 = 32004, or 2*128*127 = 32512 of
 * signed 8-bit weights (|x| <= 127). */
INLINE void dot(const int side, const int n, ivec *acc, const quads *w, int bits, const ivec *scale,
                const int32_t *x, size_t stride, int k0, int k1) {
    (void)side;
    (void)scale;
    const int fit = bits <= 5 ? 8 : bits == 6 ? 4 : 2, most = fit < k1 - k0 ? fit : k1 - k0;
    VB_UNROLL
    for (int i = 0; i < n; i++) {
        int32x4_t low = vdupq_n_s32(0), high = low; /* rows 0, 0, 1, 1 and 2, 2, 3, 3 */
        VB_UNROLL
        for (int k = k0; k < k1; k += most) {
            int16x8_t a = vdupq_n_s16(0), b = a;
            VB_UNROLL
            for (int j = 0; j < most; j++) {
                const int32_t *at = x + (size_t)i * stride + (size_t)(k + j);
                const int8x16_t xj = vreinterpretq_s8_s32(vld1q_dup_s32(at)), wj = s8(w->u[k + j]);
                a = vmlal_s8(a, vget_low_s8(wj), vget_low_s8(xj));
                b = vmlal_high_s8(b, wj, xj);
            }
            low = vpadalq_s16(low, a);
            high = vpadalq_s16(high, b);
        }
        acc[i] = i_add(acc[i], u32(vpaddq_s32(low, high)));
    }
}

#endif

/* Four words of 4 rows, row r at p + r*row_bytes, to four vectors of one word of each row. */
INLINE void interleave4(const uint8_t *p, size_t row_bytes, ivec out[4]) {
    ivec a[4];
    VB_UNROLL
    for (int k = 0; k < 4; k++) a[k] = i_load(p + (size_t)k * row_bytes);
    const uint64x2_t b = vreinterpretq_u64_u32(vtrn1q_u32(a[0], a[1])),
                     c = vreinterpretq_u64_u32(vtrn2q_u32(a[0], a[1]));
    const uint64x2_t d = vreinterpretq_u64_u32(vtrn1q_u32(a[2], a[3])),
                     e = vreinterpretq_u64_u32(vtrn2q_u32(a[2], a[3]));
    out[0] = vreinterpretq_u32_u64(vtrn1q_u64(b, d));
    out[1] = vreinterpretq_u32_u64(vtrn1q_u64(c, e));
    out[2] = vreinterpretq_u32_u64(vtrn2q_u64(b, d));
    out[3] = vreinterpretq_u32_u64(vtrn2q_u64(c, e));
}

INLINE void prefetch(const void *p) {
    __builtin_prefetch(p, 0, 2);
}

/* ------------------------------------------------------------------- the contract's 16 lanes */

typedef struct v16 {
    float32x4_t v[4];
} v16;
enum {
    TILE_ROWS = 2,
    TILE_COLS = 2,       /* rows x tokens of float matrices in registers */
    DIRECT = 0,          /* attention: rows of the cache are widened once, into memory */
    QUERIES = 4,         /* in a tile at most */
    TREE_TILE = 4,       /* queries x keys in registers, at most 2 queries */
    VALUE_TILE = 4,      /* query heads x vectors of 16 dimensions */
    MANY_QUERIES = 16,   /* from here on transposing keys costs less than the trees' shuffles, */
    LONG_HEAD = 1 << 20, /* but for heads of so many dimensions, where trees are few */
    VECTORS = 1,         /* of 16 transposed keys, times 4 queries, */
    LANES = 1            /* times so many of the contract's lanes */
};

#define FOUR(expression)                                                                                     \
    v16 r;                                                                                                   \
    EACH(i, 4) r.v[i] = (expression);                                                                        \
    return r

INLINE v16 v16_set(float x) {
    FOUR(vdupq_n_f32(x));
}
INLINE v16 v16_zero(void) {
    return v16_set(0.0f);
}
INLINE v16 v16_load(const float *p) {
    FOUR(vld1q_f32(p + 4 * i));
}
INLINE v16 v16_keep(v16 a) {
    return a;
}
INLINE void v16_store(float *p, v16 a) {
    EACH(i, 4) vst1q_f32(p + 4 * i, a.v[i]);
}
/* The first n lanes, 1 <= n <= 16; the others +0. */
INLINE v16 v16_load_part(const float *p, int n) {
    float all[16] = {0};
    memcpy(all, p, (size_t)n * sizeof *p);
    return v16_load(all);
}
INLINE void v16_store_part(float *p, v16 a, int n) {
    float all[16];
    v16_store(all, a);
    memcpy(p, all, (size_t)n * sizeof *p);
}
/* The first n lanes of x, the rest of y. */
INLINE uint32x4_t below(int n) {
    static const int32_t lanes[4] = {0, 1, 2, 3};
    return vcltq_s32(vld1q_s32(lanes), vdupq_n_s32(n));
}
INLINE v16 v16_part(v16 x, v16 y, int n) {
    FOUR(vbslq_f32(below(n - 4 * i), x.v[i], y.v[i]));
}
INLINE v16 v16_load_half(const uint16_t *p) {
    FOUR(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))));
}
INLINE v16 v16_load_half_part(const uint16_t *p, int n) {
    uint16_t all[16] = {0};
    memcpy(all, p, (size_t)n * sizeof *p);
    return v16_load_half(all);
}
INLINE v16 v16_load_bf16(const uint16_t *p) {
    FOUR(vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)));
}
INLINE v16 v16_load_bf16_part(const uint16_t *p, int n) {
    uint16_t all[16] = {0};
    memcpy(all, p, (size_t)n * sizeof *p);
    return v16_load_bf16(all);
}
INLINE v16 v16_of_integers(int8x16_t x) {
    const int16x8_t half[2] = {vmovl_s8(vget_low_s8(x)), vmovl_s8(vget_high_s8(x))};
    v16 r;
    EACH(i, 2) {
        r.v[2 * i] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(half[i])));
        r.v[2 * i + 1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(half[i])));
    }
    return r;
}
INLINE v16 v16_set_half(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, sizeof h);
    const float32x4_t x = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h)));
    return (v16){{x, x, x, x}};
}
INLINE v16 v16_of_bytes(const int8_t *p) {
    return v16_of_integers(vld1q_s8(p));
}
INLINE v16 v16_of_nibbles(const uint8_t *p, bool high) {
    const uint8x16_t x = vld1q_u8(p), q = high ? vshrq_n_u8(x, 4) : vandq_u8(x, vdupq_n_u8(15));
    return v16_of_integers(vsubq_s8(vreinterpretq_s8_u8(q), vdupq_n_s8(8)));
}
INLINE void v16_store_half_part(uint16_t *p, v16 a, int n) {
    uint16_t all[16];
    EACH(i, 4) vst1_u16(all + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.v[i])));
    memcpy(p, all, (size_t)n * sizeof *p);
}
INLINE v16 v16_add(v16 a, v16 b) {
    FOUR(vaddq_f32(a.v[i], b.v[i]));
}
INLINE v16 v16_sub(v16 a, v16 b) {
    FOUR(vsubq_f32(a.v[i], b.v[i]));
}
INLINE v16 v16_mul(v16 a, v16 b) {
    FOUR(vmulq_f32(a.v[i], b.v[i]));
}
INLINE v16 v16_div(v16 a, v16 b) {
    FOUR(vdivq_f32(a.v[i], b.v[i]));
}
INLINE v16 v16_max(v16 a, v16 b) {
    FOUR(vmaxq_f32(a.v[i], b.v[i]));
}
INLINE v16 v16_fma(v16 a, v16 b, v16 c) {
    FOUR(vfmaq_f32(c.v[i], a.v[i], b.v[i]));
}
INLINE v16 v16_neg(v16 a) {
    FOUR(vnegq_f32(a.v[i]));
}
/* a < b ? x : y, and a is NaN ? x : y */
INLINE v16 v16_if_less(v16 a, v16 b, v16 x, v16 y) {
    FOUR(vbslq_f32(vcltq_f32(a.v[i], b.v[i]), x.v[i], y.v[i]));
}
INLINE v16 v16_if_nan(v16 a, v16 x, v16 y) {
    FOUR(vbslq_f32(vceqq_f32(a.v[i], a.v[i]), y.v[i], x.v[i]));
}
/* The bits of e plus the bits of t shifted up to the exponent. */
INLINE v16 v16_add_exponent(v16 e, v16 t) {
    FOUR(vreinterpretq_f32_u32(
        vaddq_u32(vreinterpretq_u32_f32(e.v[i]), vshlq_n_u32(vreinterpretq_u32_f32(t.v[i]), 23))));
}
INLINE float v16_largest(v16 a) {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.v[0], a.v[1]), vmaxq_f32(a.v[2], a.v[3])));
}

/* The contract's tree: l + l+8, l + l+4, then l + l+2 and l + l+1. */
INLINE float32x4_t upper_tree(v16 a) {
    return vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
}
INLINE float v16_tree(v16 a) {
    const float32x4_t c = upper_tree(a);
    const float32x2_t d = vadd_f32(vget_low_f32(c), vget_high_f32(c));
    return vget_lane_f32(d, 0) + vget_lane_f32(d, 1);
}
/* l + l+2 of two: x, x, y, y */
INLINE float32x4_t two_trees(v16 x, v16 y) {
    const float64x2_t a = vreinterpretq_f64_f32(upper_tree(x)), b = vreinterpretq_f64_f32(upper_tree(y));
    return vaddq_f32(vreinterpretq_f32_f64(vtrn1q_f64(a, b)), vreinterpretq_f32_f64(vtrn2q_f64(a, b)));
}
/* 16 trees at once: lane k of the result is v16_tree(a[k]). */
INLINE v16 v16_trees(const v16 a[16]) {
    FOUR(vpaddq_f32(two_trees(a[4 * i], a[4 * i + 1]), two_trees(a[4 * i + 2], a[4 * i + 3])));
}

/* a[i][k] <-> a[k][i] */
INLINE void v16_transpose(v16 a[16]) {
    v16 t[16];
    for (int i = 0; i < 4; i++) { /* 4 x 4 of them, at rows 4i and columns 4j */
        for (int j = 0; j < 4; j++) {
            const float32x4_t p = a[4 * i].v[j], q = a[4 * i + 1].v[j], r = a[4 * i + 2].v[j],
                              s = a[4 * i + 3].v[j];
            const float64x2_t b = vreinterpretq_f64_f32(vtrn1q_f32(p, q)),
                              c = vreinterpretq_f64_f32(vtrn2q_f32(p, q)),
                              d = vreinterpretq_f64_f32(vtrn1q_f32(r, s)),
                              e = vreinterpretq_f64_f32(vtrn2q_f32(r, s));
            t[4 * j].v[i] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
            t[4 * j + 1].v[i] = vreinterpretq_f32_f64(vtrn1q_f64(c, e));
            t[4 * j + 2].v[i] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
            t[4 * j + 3].v[i] = vreinterpretq_f32_f64(vtrn2q_f64(c, e));
        }
    }
    memcpy(a, t, sizeof t);
}

/* ------------------------------------------------------------------- activations to integers */

/* Bits of the largest |x| of 32. */
INLINE uint32_t largest_bits(const float *x) {
    uint32x4_t max = vdupq_n_u32(0);
    EACH(i, 8)
    max = vmaxq_u32(max, vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x + 4 * i)), vdupq_n_u32(0x7fffffffu)));
    return vmaxvq_u32(max);
}

/* 16 of x times inverse, rounded to nearest even and clamped, to 16 int8 at hi, and lo unless it is NULL.
 * Returns the sum. */
INLINE int32_t round16(const float *x, float inverse, int limit, int8_t *hi, int8_t *lo) {
    int16x4_t h[4], l[4];
    int32x4_t sum = vdupq_n_s32(0);
    EACH(i, 4) {
        int32x4_t q = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x + 4 * i), vdupq_n_f32(inverse)));
        q = vmaxq_s32(vminq_s32(q, vdupq_n_s32(limit)), vdupq_n_s32(-limit));
        sum = vaddq_s32(sum, q);
        const int32x4_t high = lo ? vshrq_n_s32(vaddq_s32(q, vdupq_n_s32(64)), 7) : q;
        h[i] = vmovn_s32(high);
        l[i] = vmovn_s32(vsubq_s32(q, vshlq_n_s32(high, 7)));
    }
    vst1q_s8(hi, vcombine_s8(vmovn_s16(vcombine_s16(h[0], h[1])), vmovn_s16(vcombine_s16(h[2], h[3]))));
    if (lo)
        vst1q_s8(lo, vcombine_s8(vmovn_s16(vcombine_s16(l[0], l[1])), vmovn_s16(vcombine_s16(l[2], l[3]))));
    return vaddvq_s32(sum);
}

/* ------------------------------------------------------------------- float64 */

enum { DOUBLES = 2 };
typedef float64x2_t dvec;
INLINE dvec d_load(const double *p) {
    return vld1q_f64(p);
}
INLINE void d_store(double *p, dvec a) {
    vst1q_f64(p, a);
}
INLINE dvec d_of_floats(const float *p) {
    return vcvt_f64_f32(vld1_f32(p));
}
INLINE dvec d_set(double x) {
    return vdupq_n_f64(x);
}
INLINE dvec d_add(dvec a, dvec b) {
    return vaddq_f64(a, b);
}
INLINE dvec d_sub(dvec a, dvec b) {
    return vsubq_f64(a, b);
}
INLINE dvec d_mul(dvec a, dvec b) {
    return vmulq_f64(a, b);
}
INLINE dvec d_zero_if_less(dvec a, dvec b, dvec y) {
    return vreinterpretq_f64_u64(vbicq_u64(vreinterpretq_u64_f64(y), vcltq_f64(a, b)));
}
INLINE dvec d_add_exponent(dvec e, dvec t) {
    return vreinterpretq_f64_u64(
        vaddq_u64(vreinterpretq_u64_f64(e), vshlq_n_u64(vreinterpretq_u64_f64(t), 52)));
}
/* 0 <= a < 2^51, the fraction dropped. */
INLINE void d_store_integers(uint64_t *p, dvec a) {
    vst1q_u64(p, vcvtq_u64_f64(a));
}

#endif
