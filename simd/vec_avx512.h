/* vec_avx512.h - what matmul_body.h, float_body.h and ops_body.h are written in, for AVX-512 (F, BW, VL, DQ,
 * VNNI). The names are those of vec_avx2.h and vec_neon.h. kernels_avx512.c and kernels_amx.c include this
 * file, with the instruction set switched on. */
#ifndef VB_VEC_AVX512_H
#define VB_VEC_AVX512_H

#include <immintrin.h>

/* ------------------------------------------------------------------- rows of weights: one int32 lane each */

enum {
    ROWS = 16,          /* rows in a vector */
    SIGNED_WEIGHTS = 0, /* dot() wants unsigned weights of any size */
    SCALED = 0,
    BIASED = 0,
    SIDE = 1, /* vectors of rows, */
    STEP = 2, /* tokens side by side */
    QUADS = 1 /* of a group at a time, where several groups share words */
};
typedef __m512i ivec; /* 16 int32, or 64 bytes */
typedef __m512 fvec;

INLINE ivec i_load(const uint8_t *p) {
    return _mm512_loadu_si512((const void *)p);
}
INLINE void i_store(uint8_t *p, ivec a) {
    _mm512_storeu_si512((void *)p, a);
}
INLINE ivec i_zero(void) {
    return _mm512_setzero_si512();
}
INLINE ivec i_set(int32_t x) {
    return _mm512_set1_epi32(x);
}
INLINE ivec i_set8(int x) {
    return _mm512_set1_epi8((char)x);
}
INLINE ivec i_and(ivec a, ivec b) {
    return _mm512_and_si512(a, b);
}
INLINE ivec i_or(ivec a, ivec b) {
    return _mm512_or_si512(a, b);
}
INLINE ivec i_xor(ivec a, ivec b) {
    return _mm512_xor_si512(a, b);
}
INLINE ivec i_add(ivec a, ivec b) {
    return _mm512_add_epi32(a, b);
}
INLINE ivec i_sub(ivec a, ivec b) {
    return _mm512_sub_epi32(a, b);
}
INLINE ivec i_sub8(ivec a, ivec b) {
    return _mm512_sub_epi8(a, b);
}
INLINE ivec i_mul(ivec a, ivec b) {
    return _mm512_mullo_epi32(a, b);
}
INLINE ivec i_mul_pairs(ivec a, ivec b) {
    return _mm512_madd_epi16(a, b);
}
INLINE ivec i_right(ivec a, int n) {
    return _mm512_srli_epi32(a, (unsigned)n);
}
INLINE ivec i_left(ivec a, int n) {
    return _mm512_slli_epi32(a, (unsigned)n);
}
INLINE ivec i_right_signed(ivec a, int n) {
    return _mm512_srai_epi32(a, (unsigned)n);
}
/* The upper 4 bits of every byte. */
INLINE ivec i_high_nibbles(ivec a) {
    return i_and(i_right(a, 4), i_set8(15));
}
/* w | (v moved left by n bits, or right where n < 0, & mask): brings a plane of bits to its place in every
 * byte. */
INLINE ivec i_or_bits(ivec w, ivec v, int n, int mask) {
    return _mm512_ternarylogic_epi32(w, _mm512_rolv_epi32(v, i_set(n & 31)), i_set8(mask), 0xf8);
}
/* table[i] of every byte i, 0..15 */
INLINE ivec i_look_up(const int8_t *table, int offset, ivec i) {
    const __m128i t =
        _mm_add_epi8(_mm_loadu_si128((const __m128i *)(const void *)table), _mm_set1_epi8((char)offset));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), i);
}
INLINE ivec i_bytes(const uint8_t *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

INLINE fvec f_set(float x) {
    return _mm512_set1_ps(x);
}
INLINE fvec f_zero(void) {
    return _mm512_setzero_ps();
}
INLINE fvec f_of_int(ivec a) {
    return _mm512_cvtepi32_ps(a);
}
INLINE fvec f_of_bits(ivec a) {
    return _mm512_castsi512_ps(a);
}
INLINE fvec f_mul(fvec a, fvec b) {
    return _mm512_mul_ps(a, b);
}
INLINE fvec f_sub(fvec a, fvec b) {
    return _mm512_sub_ps(a, b);
}
INLINE fvec f_fma(fvec a, fvec b, fvec c) {
    return _mm512_fmadd_ps(a, b, c);
}
INLINE fvec f_fms(fvec a, fvec b, fvec c) {
    return _mm512_fmsub_ps(a, b, c);
}
INLINE fvec f_halves(const uint8_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
/* The lower and the upper float16 of each lane. */
INLINE fvec f_low_half(ivec v) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v));
}
INLINE fvec f_high_half(ivec v) {
    return f_low_half(_mm512_srli_epi32(v, 16));
}
/* Lanes with a >= b (integers) from x, the others from y. */
INLINE ivec i_if_ge(ivec a, ivec b, ivec x, ivec y) {
    return _mm512_mask_mov_epi32(y, _mm512_cmpge_epi32_mask(a, b), x);
}
INLINE ivec i_left_each(ivec a, ivec n) {
    return _mm512_sllv_epi32(a, n);
}

/* Lanes [from, to) of p; the others are +0 and their memory is not touched. */
INLINE fvec f_load_part(const float *p, int from, int to) {
    return _mm512_maskz_loadu_ps((__mmask16)((0xffffu << from) & (0xffffu >> (ROWS - to))), p);
}
INLINE void f_store_part(float *p, fvec v, int from, int to) {
    _mm512_mask_storeu_ps(p, (__mmask16)((0xffffu << from) & (0xffffu >> (ROWS - to))), v);
}

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

/* acc + the products of u (unsigned) with one word of the activations, the same for every row. GCC loads the
 * word into a register of its own, of which formats with many scales have none to spare; the instruction can
 * read it from memory. */
INLINE ivec dot_word(ivec acc, ivec u, const int32_t *word) {
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(u), "m"(*word));
    return acc;
}

/* acc[i] + sum over quads [k0, k1) of w*x, for n tokens whose integers lie `stride` words apart. bits: of the
 * weights. */
INLINE void dot(const int side, const int n, ivec *acc, const quads *w, int bits, const ivec *scale,
                const int32_t *x, size_t stride, int k0, int k1) {
    (void)side;
    (void)scale;
    VB_UNROLL
    for (int k = k0; k < k1; k++) {
        VB_UNROLL
        for (int i = 0; i < n; i++) {
            const int32_t *word = &x[(size_t)i * stride + (size_t)k];
            acc[i] = bits == 8 ? _mm512_dpbusd_epi32(acc[i], w->u[k], i_set(*word))
                               : dot_word(acc[i], w->u[k], word);
        }
    }
}

/* Four words of 16 rows, row r at p + r*row_bytes, to four vectors of one word of each row. */
INLINE ivec four_rows(const uint8_t *p, size_t apart) {
    const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)p);
    ivec v = _mm512_castsi128_si512(a);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(p + apart)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(p + 2 * apart)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(p + 3 * apart)), 3);
}
INLINE void interleave4(const uint8_t *p, size_t row_bytes, ivec out[4]) {
    ivec a[4]; /* 16-byte lane m of a[k] is row 4m + k */
    VB_UNROLL
    for (int k = 0; k < 4; k++) a[k] = four_rows(p + (size_t)k * row_bytes, 4 * row_bytes);
    const ivec b = _mm512_unpacklo_epi32(a[0], a[1]), c = _mm512_unpackhi_epi32(a[0], a[1]);
    const ivec d = _mm512_unpacklo_epi32(a[2], a[3]), e = _mm512_unpackhi_epi32(a[2], a[3]);
    out[0] = _mm512_unpacklo_epi64(b, d);
    out[1] = _mm512_unpackhi_epi64(b, d);
    out[2] = _mm512_unpacklo_epi64(c, e);
    out[3] = _mm512_unpackhi_epi64(c, e);
}

INLINE void prefetch(const void *p) {
    _mm_prefetch((const char *)p, _MM_HINT_T1);
}

/* ------------------------------------------------------------------- the contract's 16 lanes */

typedef __m512 v16;
enum {
    TILE_ROWS = 4,
    TILE_COLS = 4,     /* rows x tokens of float matrices in registers */
    DIRECT = 1,        /* attention: rows of the cache are widened on their way into the multiplication */
    QUERIES = 8,       /* in a tile at most */
    TREE_TILE = 16,    /* queries x keys in registers */
    VALUE_TILE = 16,   /* query heads x vectors of 16 dimensions */
    MANY_QUERIES = 24, /* from here on transposing keys costs less than the trees' shuffles, */
    LONG_HEAD = 128,   /* but for heads of so many dimensions, where trees are few */
    VECTORS = 2,       /* of 16 transposed keys, times 4 queries, */
    LANES = 2          /* times so many of the contract's lanes */
};

INLINE v16 v16_zero(void) {
    return _mm512_setzero_ps();
}
INLINE v16 v16_set(float x) {
    return _mm512_set1_ps(x);
}
INLINE v16 v16_load(const float *p) {
    return _mm512_loadu_ps(p);
}
INLINE v16 v16_keep(v16 a) {
    __asm__("" : "+v"(a));
    return a;
}
INLINE void v16_store(float *p, v16 a) {
    _mm512_storeu_ps(p, a);
}
INLINE __mmask16 first(int n) {
    return (__mmask16)(0xffffu >> (16 - n));
}
/* The first n lanes, 1 <= n <= 16; the others +0. */
INLINE v16 v16_load_part(const float *p, int n) {
    return _mm512_maskz_loadu_ps(first(n), p);
}
INLINE void v16_store_part(float *p, v16 a, int n) {
    _mm512_mask_storeu_ps(p, first(n), a);
}
/* The first n lanes of a, the rest of b. */
INLINE v16 v16_part(v16 a, v16 b, int n) {
    return _mm512_mask_mov_ps(b, first(n), a);
}
INLINE v16 v16_load_half(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
INLINE v16 v16_load_half_part(const uint16_t *p, int n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p));
}
INLINE v16 v16_of_bf16(__m256i h) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
INLINE v16 v16_load_bf16(const uint16_t *p) {
    return v16_of_bf16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
INLINE v16 v16_load_bf16_part(const uint16_t *p, int n) {
    return v16_of_bf16(_mm256_maskz_loadu_epi16(first(n), p));
}
INLINE v16 v16_set_half(const uint8_t *p) {
    int16_t h;
    memcpy(&h, p, sizeof h);
    return _mm512_cvtph_ps(_mm256_set1_epi16(h));
}
INLINE v16 v16_of_bytes(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
INLINE v16 v16_of_nibbles(const uint8_t *p, bool high) {
    const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p), low = _mm_set1_epi8(15);
    const __m128i q = _mm_sub_epi8(_mm_and_si128(high ? _mm_srli_epi16(x, 4) : x, low), _mm_set1_epi8(8));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q));
}
INLINE void v16_store_half_part(uint16_t *p, v16 a, int n) {
    _mm256_mask_storeu_epi16(p, first(n), _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
INLINE v16 v16_add(v16 a, v16 b) {
    return _mm512_add_ps(a, b);
}
INLINE v16 v16_sub(v16 a, v16 b) {
    return _mm512_sub_ps(a, b);
}
INLINE v16 v16_mul(v16 a, v16 b) {
    return _mm512_mul_ps(a, b);
}
INLINE v16 v16_div(v16 a, v16 b) {
    return _mm512_div_ps(a, b);
}
INLINE v16 v16_max(v16 a, v16 b) {
    return _mm512_max_ps(a, b);
}
INLINE v16 v16_fma(v16 a, v16 b, v16 c) {
    return _mm512_fmadd_ps(a, b, c);
}
INLINE v16 v16_neg(v16 a) {
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}
/* a < b ? x : y, and a is NaN ? x : y */
INLINE v16 v16_if_less(v16 a, v16 b, v16 x, v16 y) {
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), x);
}
INLINE v16 v16_if_nan(v16 a, v16 x, v16 y) {
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), x);
}
/* The bits of e plus the bits of t shifted up to the exponent. */
INLINE v16 v16_add_exponent(v16 e, v16 t) {
    return _mm512_castsi512_ps(
        _mm512_add_epi32(_mm512_castps_si512(e), _mm512_slli_epi32(_mm512_castps_si512(t), 23)));
}
INLINE float v16_largest(v16 a) {
    return _mm512_reduce_max_ps(a);
}

/* The contract's tree. */
INLINE float v16_tree(v16 a) {
    const __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}

/* 16 trees at once: lane k of the result is v16_tree(a[k]). Each level adds pairs of vectors with the halves
 * of one swapped: a blend and a shuffle, where two shuffles would wait for one another (which of two numbers
 * comes first does not change their sum). */
INLINE v16 v16_trees(const v16 a[16]) {
    v16 b[8], c[4], d[2];
    VB_UNROLL
    for (int i = 0; i < 8; i++) /* lanes l + l+8: [a[2i] x 8, a[2i+1] x 8] */
        b[i] = _mm512_add_ps(_mm512_mask_mov_ps(a[2 * i], 0xff00, a[2 * i + 1]),
                             _mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0x4e));
    VB_UNROLL
    for (int i = 0; i < 4; i++) /* l + l+4: 4 lanes of each of a[4i..4i+3] */
        c[i] = _mm512_add_ps(_mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0x88),
                             _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0xdd));
    VB_UNROLL
    for (int i = 0; i < 2; i++) /* l + l+2 */
        d[i] = _mm512_add_ps(_mm512_mask_mov_ps(c[2 * i], 0xcccc, c[2 * i + 1]),
                             _mm512_shuffle_ps(c[2 * i], c[2 * i + 1], 0x4e));
    const v16 e = _mm512_add_ps(_mm512_shuffle_ps(d[0], d[1], 0x88), _mm512_shuffle_ps(d[0], d[1], 0xdd));
    /* Lane 4m + i holds the tree of a[4i + m]. */
    return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), e);
}

/* a[i][k] <-> a[k][i] */
INLINE void v16_transpose(v16 a[16]) {
    v16 b[16], c[16];
    VB_UNROLL
    for (int i = 0; i < 8; i++) {
        b[2 * i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]);
    }
    VB_UNROLL
    for (int i = 0; i < 8; i++) { /* lane m of 4 in c[4g + k]: column 4m + k of rows 4g..4g+3 */
        const int from = i / 2 * 4 + i % 2;
        const __m512d x = _mm512_castps_pd(b[from]), y = _mm512_castps_pd(b[from + 2]);
        c[i / 2 * 4 + i % 2 * 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
        c[i / 2 * 4 + i % 2 * 2 + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
    }
    VB_UNROLL
    for (int i = 0; i < 4; i++) {
        const v16 even = _mm512_shuffle_f32x4(c[i], c[4 + i], 0x88),
                  odd = _mm512_shuffle_f32x4(c[i], c[4 + i], 0xdd),
                  even2 = _mm512_shuffle_f32x4(c[8 + i], c[12 + i], 0x88),
                  odd2 = _mm512_shuffle_f32x4(c[8 + i], c[12 + i], 0xdd);
        a[i] = _mm512_shuffle_f32x4(even, even2, 0x88);
        a[4 + i] = _mm512_shuffle_f32x4(odd, odd2, 0x88);
        a[8 + i] = _mm512_shuffle_f32x4(even, even2, 0xdd);
        a[12 + i] = _mm512_shuffle_f32x4(odd, odd2, 0xdd);
    }
}

/* ------------------------------------------------------------------- activations to integers */

/* Bits of the largest |x| of 32. */
INLINE uint32_t largest_bits(const float *x) {
    const ivec mask = i_set(0x7fffffff);
    const ivec a = _mm512_and_si512(_mm512_loadu_si512(x), mask),
               b = _mm512_and_si512(_mm512_loadu_si512(x + 16), mask);
    return _mm512_reduce_max_epu32(_mm512_max_epu32(a, b));
}

/* 16 of x times inverse, rounded to nearest even and clamped, to 16 int8 at hi, and lo unless it is NULL.
 * Returns the sum. */
INLINE int32_t round16(const float *x, float inverse, int limit, int8_t *hi, int8_t *lo) {
    ivec q = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), _mm512_set1_ps(inverse)));
    q = _mm512_max_epi32(_mm512_min_epi32(q, i_set(limit)), i_set(-limit));
    ivec h = q;
    if (lo) {
        h = _mm512_srai_epi32(_mm512_add_epi32(q, i_set(64)), 7);
        const ivec l = _mm512_sub_epi32(q, _mm512_slli_epi32(h, 7));
        _mm_storeu_si128((__m128i *)(void *)lo, _mm512_cvtepi32_epi8(l));
    }
    _mm_storeu_si128((__m128i *)(void *)hi, _mm512_cvtepi32_epi8(h));
    return _mm512_reduce_add_epi32(q);
}

/* ------------------------------------------------------------------- float64 */

enum { DOUBLES = 8 };
typedef __m512d dvec;
INLINE dvec d_load(const double *p) {
    return _mm512_loadu_pd(p);
}
INLINE void d_store(double *p, dvec a) {
    _mm512_storeu_pd(p, a);
}
INLINE dvec d_of_floats(const float *p) {
    return _mm512_cvtps_pd(_mm256_loadu_ps(p));
}
INLINE dvec d_set(double x) {
    return _mm512_set1_pd(x);
}
INLINE dvec d_add(dvec a, dvec b) {
    return _mm512_add_pd(a, b);
}
INLINE dvec d_sub(dvec a, dvec b) {
    return _mm512_sub_pd(a, b);
}
INLINE dvec d_mul(dvec a, dvec b) {
    return _mm512_mul_pd(a, b);
}
INLINE dvec d_zero_if_less(dvec a, dvec b, dvec y) {
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(a, b, _CMP_NLT_UQ), y);
}
INLINE dvec d_add_exponent(dvec e, dvec t) {
    return _mm512_castsi512_pd(
        _mm512_add_epi64(_mm512_castpd_si512(e), _mm512_slli_epi64(_mm512_castpd_si512(t), 52)));
}
/* 0 <= a < 2^51, the fraction dropped. */
INLINE void d_store_integers(uint64_t *p, dvec a) {
    _mm512_storeu_si512(p, _mm512_cvttpd_epu64(a));
}

#endif
