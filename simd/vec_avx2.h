/* vec_avx2.h - the words of vec.h for AVX2 with FMA and F16C. VB_AVX2_VNNI says how four products per lane
 * are added: 0 by vpmaddubsw and vpmaddwd, 1 by vpdpbusd (AVX-VNNI). kernels_avx2.c and kernels_avxvnni.c
 * include this file, with the instruction set switched on. */
#ifndef VB_VEC_AVX2_H
#define VB_VEC_AVX2_H

#include <immintrin.h>

/* ------------------------------------------------------------------- rows of weights: one int32 lane each */

enum {
    ROWS = 8,                       /* rows in a vector */
    SIGNED_WEIGHTS = !VB_AVX2_VNNI, /* maddubs saturates on large unsigned weights of 8 bits */
    SCALED = !VB_AVX2_VNNI,
    BIASED = VB_AVX2_VNNI,
    SIDE = 2, /* vectors of rows, */
    STEP = 3, /* times tokens, side by side */
    QUADS = 2 /* of a group at a time, where several groups share words */
};
typedef __m256i ivec; /* 8 int32, or 32 bytes */
typedef __m256 fvec;

INLINE ivec i_load(const uint8_t *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
INLINE void i_store(uint8_t *p, ivec a) {
    _mm256_storeu_si256((__m256i *)(void *)p, a);
}
INLINE ivec i_zero(void) {
    return _mm256_setzero_si256();
}
INLINE ivec i_set(int32_t x) {
    return _mm256_set1_epi32(x);
}
INLINE ivec i_set8(int x) {
    return _mm256_set1_epi8((char)x);
}
INLINE ivec i_and(ivec a, ivec b) {
    return _mm256_and_si256(a, b);
}
INLINE ivec i_or(ivec a, ivec b) {
    return _mm256_or_si256(a, b);
}
INLINE ivec i_xor(ivec a, ivec b) {
    return _mm256_xor_si256(a, b);
}
INLINE ivec i_add(ivec a, ivec b) {
    return _mm256_add_epi32(a, b);
}
INLINE ivec i_sub(ivec a, ivec b) {
    return _mm256_sub_epi32(a, b);
}
INLINE ivec i_sub8(ivec a, ivec b) {
    return _mm256_sub_epi8(a, b);
}
INLINE ivec i_mul(ivec a, ivec b) {
    return _mm256_mullo_epi32(a, b);
}
INLINE ivec i_mul_pairs(ivec a, ivec b) {
    return _mm256_madd_epi16(a, b);
}
INLINE ivec i_right(ivec a, int n) {
    return _mm256_srli_epi32(a, n);
}
INLINE ivec i_left(ivec a, int n) {
    return _mm256_slli_epi32(a, n);
}
INLINE ivec i_right_signed(ivec a, int n) {
    return _mm256_srai_epi32(a, n);
}
INLINE ivec i_left_each(ivec a, ivec n) {
    return _mm256_sllv_epi32(a, n);
}
/* The upper 4 bits of every byte. */
INLINE ivec i_high_nibbles(ivec a) {
    return i_and(i_right(a, 4), i_set8(15));
}
/* w | (v moved left by n bits, or right where n < 0, & mask): brings a plane of bits to its place in every
 * byte. */
INLINE ivec i_or_bits(ivec w, ivec v, int n, int mask) {
    const ivec moved = n >= 0 ? i_left(v, n) : i_right(v, -n);
    return i_or(w, i_and(moved, i_set8(mask)));
}
/* table[i] of every byte i, 0..15 */
INLINE ivec i_look_up(const int8_t *table, int offset, ivec i) {
    const __m128i t =
        _mm_add_epi8(_mm_loadu_si128((const __m128i *)(const void *)table), _mm_set1_epi8((char)offset));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(t), i);
}
INLINE ivec i_bytes(const uint8_t *p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
/* Lanes with a >= b (integers) from x, the others from y. */
INLINE ivec i_if_ge(ivec a, ivec b, ivec x, ivec y) {
    return _mm256_blendv_epi8(x, y, _mm256_cmpgt_epi32(b, a));
}

INLINE fvec f_set(float x) {
    return _mm256_set1_ps(x);
}
INLINE fvec f_zero(void) {
    return _mm256_setzero_ps();
}
INLINE fvec f_of_int(ivec a) {
    return _mm256_cvtepi32_ps(a);
}
INLINE fvec f_of_bits(ivec a) {
    return _mm256_castsi256_ps(a);
}
INLINE fvec f_mul(fvec a, fvec b) {
    return _mm256_mul_ps(a, b);
}
INLINE fvec f_sub(fvec a, fvec b) {
    return _mm256_sub_ps(a, b);
}
INLINE fvec f_fma(fvec a, fvec b, fvec c) {
    return _mm256_fmadd_ps(a, b, c);
}
INLINE fvec f_fms(fvec a, fvec b, fvec c) {
    return _mm256_fmsub_ps(a, b, c);
}
INLINE fvec f_halves(const uint8_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
/* The lower and the upper float16 of each lane. */
INLINE fvec f_high_half(ivec v) {
    const ivec h = _mm256_srli_epi32(v, 16), pairs = _mm256_packus_epi32(h, h); /* 0-3, 0-3, 4-7, 4-7 */
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(pairs, 0x08)));
}
INLINE fvec f_low_half(ivec v) {
    return f_high_half(_mm256_slli_epi32(v, 16));
}

/* -1 in lanes [from, to). */
INLINE ivec lanes8(int from, int to) {
    const ivec i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_and_si256(_mm256_cmpgt_epi32(i, i_set(from - 1)), _mm256_cmpgt_epi32(i_set(to), i));
}
/* Lanes [from, to) of p; the others are +0 and their memory is not touched. By way of a buffer, because
 * emulators of vmaskmov touch all of it. */
INLINE fvec f_load_part(const float *p, int from, int to) {
    if (to - from == ROWS) return _mm256_loadu_ps(p);
    float all[ROWS] = {0};
    memcpy(all + from, p + from, (size_t)(to - from) * sizeof *p);
    return _mm256_loadu_ps(all);
}
INLINE void f_store_part(float *p, fvec v, int from, int to) {
    float all[ROWS];
    _mm256_storeu_ps(to - from == ROWS ? p : all, v);
    if (to - from < ROWS) memcpy(p + from, all + from, (size_t)(to - from) * sizeof *p);
}

#if VB_AVX2_VNNI

/* Weights of a group, as dot() wants them: 8 vectors of 4 values of each row. */
typedef struct quads {
    ivec u[8];
} quads;
INLINE void prepare(quads *w, int bits, int k0, int k1) {
    (void)w;
    (void)bits;
    (void)k0;
    (void)k1;
}

/* acc + four products of u (unsigned) and x (signed) in each lane: vpdpbusd in its VEX form. VB_VNNI_EVEX
 * asks for the form that CPUs with AVX-512 have (AVX512VL and VNNI), to measure this set on one that lacks
 * AVX-VNNI. */
INLINE ivec dot_add(ivec acc, ivec u, ivec x) {
#ifdef VB_VNNI_EVEX
    __asm__("%{evex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(u), "x"(x));
    return acc;
#else
    return _mm256_dpbusd_avx_epi32(acc, u, x);
#endif
}

INLINE void dot(const int side, const int n, ivec *acc, const quads *w, int bits, const ivec *scale,
                const int32_t *x, size_t stride, int k0, int k1) {
    (void)bits;
    (void)scale;
    if (side * n == 1 && k1 - k0 > 4) { /* a chain of 8 is longer than what a CPU keeps in flight */
        ivec second = i_zero();
        VB_UNROLL
        for (int k = k0; k < k0 + 4; k++) {
            acc[0] = dot_add(acc[0], w->u[k], i_set(x[k]));
            second = dot_add(second, w->u[k + 4], i_set(x[k + 4]));
        }
        acc[0] = i_add(acc[0], second);
        return;
    }
    VB_UNROLL
    for (int k = k0; k < k1; k++) {
        VB_UNROLL
        for (int i = 0; i < n; i++) {
            const ivec xk = i_set(x[(size_t)i * stride + (size_t)k]);
            VB_UNROLL
            for (int v = 0; v < side; v++) acc[v * n + i] = dot_add(acc[v * n + i], w[v].u[k], xk);
        }
    }
}

#else

/* Weights of a group, as dot() wants them: 8 vectors of 4 values of each row; 8-bit ones also without their
 * sign. */
typedef struct quads {
    ivec u[8], abs[8];
} quads;
INLINE void prepare(quads *w, int bits, int k0, int k1) {
    if (bits < 8) return;
    VB_UNROLL
    for (int k = k0; k < k1; k++) w->abs[k] = _mm256_abs_epi8(w->u[k]);
}

/* v is in a register from here on. */
#define HERE(v)     __asm__("" : "+x"(v))
/* v += a in int16 or int32, now: gcc otherwise turns sums of many into trees or puts additions off, for which
 * 16 registers are too few. */
#define ADD16(v, a) __asm__("vpaddw %1, %0, %0" : "+x"(v) : "x"(a))
#define ADD32(v, a) __asm__("vpaddd %1, %0, %0" : "+x"(v) : "x"(a))

/* acc[i] + sum over quads [k0, k1) of w*x, for n tokens whose integers lie `stride` words apart. maddubs adds
 * two products into an int16: u*|x| is at most 2*15*127 = 3810, 2*31*127 = 7874 or 2*63*127 = 16002, so that
 * 8, 4 or 2 of them add up below 32768; signed 8-bit weights give 2*128*127 = 32512, one at a time, with
 * their sign moved over to x. */
INLINE void dot(const int side, const int n, ivec *acc, const quads *w, int bits, const ivec *scale,
                const int32_t *x, size_t stride, int k0, int k1) {
    const int fit = bits <= 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1, most = fit < k1 - k0 ? fit : k1 - k0;
    const ivec ones = _mm256_set1_epi16(1);
    VB_UNROLL
    for (int k = k0; k < k1; k += most) {
        ivec sum[8]; /* side*n is at most 8 */
        VB_UNROLL
        for (int j = 0; j < most; j++) {
            ivec u[SIDE], abs[SIDE];
            VB_UNROLL
            for (int v = 0; v < side; v++) {
                u[v] = w[v].u[k + j];
                if (bits < 8) HERE(u[v]);
                if (bits == 8) abs[v] = w[v].abs[k + j];
                if (bits == 8) HERE(abs[v]);
            }
            VB_UNROLL
            for (int i = 0; i < n; i++) {
                const ivec xj = i_set(x[(size_t)i * stride + (size_t)(k + j)]);
                VB_UNROLL
                for (int v = 0; v < side; v++) {
                    ivec *s = sum + v * n + i;
                    const ivec p = bits == 8 ? _mm256_maddubs_epi16(abs[v], _mm256_sign_epi8(xj, u[v]))
                                             : _mm256_maddubs_epi16(u[v], xj);
                    if (j == 0)
                        *s = p;
                    else
                        ADD16(*s, p);
                }
            }
        }
        VB_UNROLL
        for (int i = 0; i < side * n; i++) {
            const ivec four = _mm256_madd_epi16(sum[i], scale ? scale[i / n] : ones);
            if (bits > 5)
                ADD32(acc[i], four);
            else
                acc[i] = i_add(acc[i], four);
        }
    }
}

#endif

/* Four words of 8 rows, row r at p + r*row_bytes, to four vectors of one word of each row. */
INLINE ivec two_rows(const uint8_t *p, size_t apart) {
    const ivec v = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_inserti128_si256(v, _mm_loadu_si128((const __m128i *)(const void *)(p + apart)), 1);
}
INLINE void interleave4(const uint8_t *p, size_t row_bytes, ivec out[4]) {
    ivec a[4]; /* 16-byte lane m of a[k] is row 4m + k */
    VB_UNROLL
    for (int k = 0; k < 4; k++) a[k] = two_rows(p + (size_t)k * row_bytes, 4 * row_bytes);
    const ivec b = _mm256_unpacklo_epi32(a[0], a[1]), c = _mm256_unpackhi_epi32(a[0], a[1]);
    const ivec d = _mm256_unpacklo_epi32(a[2], a[3]), e = _mm256_unpackhi_epi32(a[2], a[3]);
    out[0] = _mm256_unpacklo_epi64(b, d);
    out[1] = _mm256_unpackhi_epi64(b, d);
    out[2] = _mm256_unpacklo_epi64(c, e);
    out[3] = _mm256_unpackhi_epi64(c, e);
}

INLINE void prefetch(const void *p) {
    _mm_prefetch((const char *)p, _MM_HINT_T1);
}

/* ------------------------------------------------------------------- the contract's 16 lanes */

typedef struct v16 {
    __m256 a, b;
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

INLINE v16 v16_zero(void) {
    return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()};
}
INLINE v16 v16_set(float x) {
    return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
INLINE v16 v16_load(const float *p) {
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
INLINE v16 v16_keep(v16 v) {
    return v;
}
INLINE void v16_store(float *p, v16 v) {
    _mm256_storeu_ps(p, v.a);
    _mm256_storeu_ps(p + 8, v.b);
}
/* The first n lanes, 1 <= n <= 16; the others +0. */
INLINE v16 v16_load_part(const float *p, int n) {
    float all[16] = {0};
    memcpy(all, p, (size_t)n * sizeof *p);
    return v16_load(all);
}
INLINE void v16_store_part(float *p, v16 v, int n) {
    float all[16];
    v16_store(all, v);
    memcpy(p, all, (size_t)n * sizeof *p);
}
/* The first n lanes of x, the rest of y. */
INLINE v16 v16_part(v16 x, v16 y, int n) {
    return (v16){_mm256_blendv_ps(y.a, x.a, _mm256_castsi256_ps(lanes8(0, n))),
                 _mm256_blendv_ps(y.b, x.b, _mm256_castsi256_ps(lanes8(0, n - 8)))};
}
INLINE v16 v16_load_half(const uint16_t *p) {
    return (v16){f_halves((const uint8_t *)p), f_halves((const uint8_t *)(p + 8))};
}
INLINE v16 v16_load_half_part(const uint16_t *p, int n) {
    uint16_t all[16] = {0};
    memcpy(all, p, (size_t)n * sizeof *p);
    return v16_load_half(all);
}
INLINE __m256 of_bf16(const uint16_t *p) {
    const ivec w = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(w, 16));
}
INLINE v16 v16_load_bf16(const uint16_t *p) {
    return (v16){of_bf16(p), of_bf16(p + 8)};
}
INLINE v16 v16_load_bf16_part(const uint16_t *p, int n) {
    uint16_t all[16] = {0};
    memcpy(all, p, (size_t)n * sizeof *p);
    return v16_load_bf16(all);
}
INLINE v16 of_bytes(__m128i x) {
    return (v16){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)),
                 _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(x, 8)))};
}
INLINE v16 v16_set_half(const uint8_t *p) {
    int16_t h;
    memcpy(&h, p, sizeof h);
    const __m256 x = _mm256_cvtph_ps(_mm_set1_epi16(h));
    return (v16){x, x};
}
INLINE v16 v16_of_bytes(const int8_t *p) {
    return of_bytes(_mm_loadu_si128((const __m128i *)(const void *)p));
}
INLINE v16 v16_of_nibbles(const uint8_t *p, bool high) {
    const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p), low = _mm_set1_epi8(15);
    return of_bytes(_mm_sub_epi8(_mm_and_si128(high ? _mm_srli_epi16(x, 4) : x, low), _mm_set1_epi8(8)));
}
INLINE void v16_store_half_part(uint16_t *p, v16 v, int n) {
    uint16_t all[16];
    _mm_storeu_si128((__m128i *)(void *)all,
                     _mm256_cvtps_ph(v.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128((__m128i *)(void *)(all + 8),
                     _mm256_cvtps_ph(v.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    memcpy(p, all, (size_t)n * sizeof *p);
}
#define BOTH(op, x, y) ((v16){op((x).a, (y).a), op((x).b, (y).b)})
INLINE v16 v16_add(v16 x, v16 y) {
    return BOTH(_mm256_add_ps, x, y);
}
INLINE v16 v16_sub(v16 x, v16 y) {
    return BOTH(_mm256_sub_ps, x, y);
}
INLINE v16 v16_mul(v16 x, v16 y) {
    return BOTH(_mm256_mul_ps, x, y);
}
INLINE v16 v16_div(v16 x, v16 y) {
    return BOTH(_mm256_div_ps, x, y);
}
INLINE v16 v16_max(v16 x, v16 y) {
    return BOTH(_mm256_max_ps, x, y);
}
INLINE v16 v16_fma(v16 x, v16 y, v16 z) {
    return (v16){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
INLINE v16 v16_neg(v16 x) {
    return BOTH(_mm256_xor_ps, x, v16_set(-0.0f));
}
/* a < b ? x : y, and a is NaN ? x : y */
INLINE v16 v16_if_less(v16 a, v16 b, v16 x, v16 y) {
    return (v16){_mm256_blendv_ps(y.a, x.a, _mm256_cmp_ps(a.a, b.a, _CMP_LT_OQ)),
                 _mm256_blendv_ps(y.b, x.b, _mm256_cmp_ps(a.b, b.b, _CMP_LT_OQ))};
}
INLINE v16 v16_if_nan(v16 a, v16 x, v16 y) {
    return (v16){_mm256_blendv_ps(y.a, x.a, _mm256_cmp_ps(a.a, a.a, _CMP_UNORD_Q)),
                 _mm256_blendv_ps(y.b, x.b, _mm256_cmp_ps(a.b, a.b, _CMP_UNORD_Q))};
}
/* The bits of e plus the bits of t shifted up to the exponent. */
INLINE __m256 add_exponent(__m256 e, __m256 t) {
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(e), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
}
INLINE v16 v16_add_exponent(v16 e, v16 t) {
    return BOTH(add_exponent, e, t);
}
INLINE float v16_largest(v16 v) {
    const __m256 a = _mm256_max_ps(v.a, v.b);
    const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

/* The contract's tree. */
INLINE float v16_tree(v16 v) {
    const __m256 b = _mm256_add_ps(v.a, v.b);
    const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}

/* 8 trees at once. */
INLINE __m256 trees8(const v16 *a) {
    __m256 c[4], d[2];
    VB_UNROLL
    for (int i = 0; i < 4; i++) { /* l + l+8, then l + l+4: [a[2i] x 4, a[2i+1] x 4] */
        const __m256 x = _mm256_add_ps(a[2 * i].a, a[2 * i].b),
                     y = _mm256_add_ps(a[2 * i + 1].a, a[2 * i + 1].b);
        c[i] = _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
    }
    VB_UNROLL
    for (int i = 0; i < 2; i++) /* l + l+2: [a[4i], a[4i+2] | a[4i+1], a[4i+3]] x 2 */
        d[i] = _mm256_add_ps(_mm256_shuffle_ps(c[2 * i], c[2 * i + 1], 0x44),
                             _mm256_shuffle_ps(c[2 * i], c[2 * i + 1], 0xee));
    /* l + l+1: 0, 2, 4, 6 | 1, 3, 5, 7 */
    const __m256 e = _mm256_add_ps(_mm256_shuffle_ps(d[0], d[1], 0x88), _mm256_shuffle_ps(d[0], d[1], 0xdd));
    return _mm256_permutevar8x32_ps(e, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
/* 16 trees at once: lane k of the result is v16_tree(a[k]). */
INLINE v16 v16_trees(const v16 a[16]) {
    return (v16){trees8(a), trees8(a + 8)};
}

/* a[i][k] <-> a[k][i] for 8 x 8 of them. */
INLINE void transpose8(__m256 a[8]) {
    __m256 b[8], c[8];
    VB_UNROLL
    for (int i = 0; i < 4; i++) {
        b[2 * i] = _mm256_unpacklo_ps(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm256_unpackhi_ps(a[2 * i], a[2 * i + 1]);
    }
    VB_UNROLL
    for (int i = 0; i < 4; i++) { /* half m of c[4g + k]: column 4m + k of rows 4g..4g+3 */
        const int from = i / 2 * 4 + i % 2;
        c[i / 2 * 4 + i % 2 * 2] = _mm256_shuffle_ps(b[from], b[from + 2], 0x44);
        c[i / 2 * 4 + i % 2 * 2 + 1] = _mm256_shuffle_ps(b[from], b[from + 2], 0xee);
    }
    VB_UNROLL
    for (int i = 0; i < 4; i++) {
        a[i] = _mm256_permute2f128_ps(c[i], c[4 + i], 0x20);
        a[4 + i] = _mm256_permute2f128_ps(c[i], c[4 + i], 0x31);
    }
}
/* a[i][k] <-> a[k][i] */
INLINE void v16_transpose(v16 a[16]) {
    __m256 part[4][8];
    for (int i = 0; i < 8; i++) {
        part[0][i] = a[i].a;
        part[1][i] = a[i].b;
        part[2][i] = a[8 + i].a;
        part[3][i] = a[8 + i].b;
    }
    for (int p = 0; p < 4; p++) transpose8(part[p]);
    for (int i = 0; i < 8; i++) {
        a[i] = (v16){part[0][i], part[2][i]};
        a[8 + i] = (v16){part[1][i], part[3][i]};
    }
}

/* ------------------------------------------------------------------- activations to integers */

/* Bits of the largest |x| of 32. Without their sign, bits compare as signed integers too. */
INLINE uint32_t largest_bits(const float *x) {
    ivec max = i_zero();
    VB_UNROLL
    for (int i = 0; i < 4; i++)
        max =
            _mm256_max_epi32(max, _mm256_and_si256(i_load((const uint8_t *)(x + 8 * i)), i_set(0x7fffffff)));
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(max), _mm256_extracti128_si256(max, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}

/* 16 int32 that fit, in order, as int8. */
INLINE void store_bytes(int8_t *p, ivec a, ivec b) {
    const ivec w = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
    _mm_storeu_si128((__m128i *)(void *)p, bytes);
}

/* 16 of x times inverse, rounded to nearest even and clamped, to 16 int8 at hi, and lo unless it is NULL.
 * Returns the sum. */
INLINE int32_t round16(const float *x, float inverse, int limit, int8_t *hi, int8_t *lo) {
    ivec q[2], h[2], l[2];
    VB_UNROLL
    for (int i = 0; i < 2; i++) {
        q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(inverse)));
        q[i] = _mm256_max_epi32(_mm256_min_epi32(q[i], i_set(limit)), i_set(-limit));
        h[i] = _mm256_srai_epi32(i_add(q[i], i_set(64)), 7);
        l[i] = i_sub(q[i], i_left(h[i], 7));
    }
    if (lo) {
        store_bytes(hi, h[0], h[1]);
        store_bytes(lo, l[0], l[1]);
    } else {
        store_bytes(hi, q[0], q[1]);
    }
    const ivec sum = i_add(q[0], q[1]);
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* ------------------------------------------------------------------- float64 */

enum { DOUBLES = 4 };
typedef __m256d dvec;
INLINE dvec d_load(const double *p) {
    return _mm256_loadu_pd(p);
}
INLINE void d_store(double *p, dvec a) {
    _mm256_storeu_pd(p, a);
}
INLINE dvec d_of_floats(const float *p) {
    return _mm256_cvtps_pd(_mm_loadu_ps(p));
}
INLINE dvec d_set(double x) {
    return _mm256_set1_pd(x);
}
INLINE dvec d_add(dvec a, dvec b) {
    return _mm256_add_pd(a, b);
}
INLINE dvec d_sub(dvec a, dvec b) {
    return _mm256_sub_pd(a, b);
}
INLINE dvec d_mul(dvec a, dvec b) {
    return _mm256_mul_pd(a, b);
}
INLINE dvec d_zero_if_less(dvec a, dvec b, dvec y) {
    return _mm256_and_pd(_mm256_cmp_pd(a, b, _CMP_NLT_UQ), y);
}
INLINE dvec d_add_exponent(dvec e, dvec t) {
    return _mm256_castsi256_pd(
        _mm256_add_epi64(_mm256_castpd_si256(e), _mm256_slli_epi64(_mm256_castpd_si256(t), 52)));
}
/* 0 <= a < 2^51, the fraction dropped: then 2^52 + a is exact and holds the integer in its low bits. */
INLINE void d_store_integers(uint64_t *p, dvec a) {
    const dvec big = d_set(0x1p52);
    const __m256i bits = _mm256_castpd_si256(d_add(_mm256_floor_pd(a), big));
    _mm256_storeu_si256((__m256i *)(void *)p, _mm256_xor_si256(bits, _mm256_castpd_si256(big)));
}

#endif
