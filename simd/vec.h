/* vec.h - the words that *_body.h are written in, and that every set of instructions has to define: a file
 * vec_NAME.h does, kernels_NAME.c includes it, and this file behind it, which refuses to compile where a word
 * is missing or has another type, and names it. It declares nothing.
 *
 * What is said here of a word holds in all sets, bit by bit; how fast it is may differ. Numbers of lanes are
 * the set's own, but for v16, which always has the contract's 16. */

#define VB_WORD(result, name, parameters)                                                                    \
    _Static_assert(__builtin_types_compatible_p(__typeof__(name), result parameters),                        \
                   "simd/vec.h asks for " #result " " #name #parameters)
#define VB_NUMBER(name, holds) _Static_assert(holds, "simd/vec.h: " #name " must satisfy " #holds)

/* ---------------------------------------------------------------------- rows of weights
 *
 * ivec: ROWS int32 lanes, which are also 4*ROWS bytes; lane r belongs to row r. fvec: ROWS floats. */

VB_NUMBER(ROWS, ROWS > 0 && VB_LANES % ROWS == 0);                     /* rows in a vector */
VB_NUMBER(SIGNED_WEIGHTS, SIGNED_WEIGHTS == 0 || SIGNED_WEIGHTS == 1); /* dot() wants 8-bit weights signed */
VB_NUMBER(SCALED, SCALED == 0 || SCALED == 1); /* dot() multiplies by scales of int16 on the way */
VB_NUMBER(BIASED, BIASED == 0 || BIASED == 1); /* sums of one plane become floats by a subtraction */
VB_NUMBER(SIDE, SIDE >= 1 && VB_LANES / ROWS % SIDE == 0); /* vectors of rows side by side in step() */
VB_NUMBER(STEP, STEP >= 1 && STEP <= 8);                   /* tokens side by side in step() */
VB_NUMBER(QUADS, QUADS >= 1 && 4 % QUADS == 0); /* of a group at a time, where several groups share words */
VB_NUMBER(ivec, sizeof(ivec) == 4 * ROWS);
VB_NUMBER(fvec, sizeof(fvec) == 4 * ROWS);

VB_WORD(ivec, i_load, (const uint8_t *p)); /* from any address, like all loads here */
VB_WORD(void, i_store, (uint8_t * p, ivec a));
VB_WORD(ivec, i_zero, (void));
VB_WORD(ivec, i_set, (int32_t x));
VB_WORD(ivec, i_set8, (int x));             /* every byte */
VB_WORD(ivec, i_bytes, (const uint8_t *p)); /* ROWS bytes, unsigned, one to a lane */
VB_WORD(ivec, i_and, (ivec a, ivec b));
VB_WORD(ivec, i_or, (ivec a, ivec b));
VB_WORD(ivec, i_xor, (ivec a, ivec b));
VB_WORD(ivec, i_add, (ivec a, ivec b)); /* int32, wrapping */
VB_WORD(ivec, i_sub, (ivec a, ivec b));
VB_WORD(ivec, i_sub8, (ivec a, ivec b)); /* bytes, wrapping */
VB_WORD(ivec, i_mul, (ivec a, ivec b));  /* the low 32 bits */
/* x[0]*y[0] + x[1]*y[1] of the two signed int16 of each lane */
VB_WORD(ivec, i_mul_pairs, (ivec a, ivec b));
VB_WORD(ivec, i_right, (ivec a, int n)); /* unsigned lanes, 0 <= n < 32 */
VB_WORD(ivec, i_left, (ivec a, int n));
VB_WORD(ivec, i_right_signed, (ivec a, int n));
VB_WORD(ivec, i_left_each, (ivec a, ivec n)); /* each lane by its own n */
VB_WORD(ivec, i_high_nibbles, (ivec a));      /* the upper 4 bits of every byte */
/* w | (v moved left by n bits, or right where n < 0, & mask in every byte) */
VB_WORD(ivec, i_or_bits, (ivec w, ivec v, int n, int mask));
/* table[i] + offset of every byte i, 0..15 */
VB_WORD(ivec, i_look_up, (const int8_t *table, int offset, ivec i));
/* Lanes with a >= b (signed) from x, the others from y. */
VB_WORD(ivec, i_if_ge, (ivec a, ivec b, ivec x, ivec y));

VB_WORD(fvec, f_set, (float x));
VB_WORD(fvec, f_zero, (void));
VB_WORD(fvec, f_of_int, (ivec a));  /* rounded to nearest even */
VB_WORD(fvec, f_of_bits, (ivec a)); /* the same bits */
VB_WORD(fvec, f_mul, (fvec a, fvec b));
VB_WORD(fvec, f_sub, (fvec a, fvec b));
VB_WORD(fvec, f_fma, (fvec a, fvec b, fvec c)); /* a*b + c, rounded once */
VB_WORD(fvec, f_fms, (fvec a, fvec b, fvec c)); /* a*b - c, rounded once */
VB_WORD(fvec, f_halves, (const uint8_t *p));    /* ROWS float16 side by side */
VB_WORD(fvec, f_low_half, (ivec v));            /* the float16 in the lower half of each lane */
VB_WORD(fvec, f_high_half, (ivec v));
/* Lanes [from, to) of p, the others +0; memory of other lanes is not touched. */
VB_WORD(fvec, f_load_part, (const float *p, int from, int to));
VB_WORD(void, f_store_part, (float *p, fvec v, int from, int to));

/* Weights of one group as dot() wants them: .u[8], quad k of every row, and what prepare() makes of quads
 * [k0, k1) beside them; k0 and k1 are multiples of QUADS. */
VB_NUMBER(quads, sizeof(((quads *)0)->u) == 8 * sizeof(ivec));
VB_WORD(void, prepare, (quads * w, int bits, int k0, int k1));
/* acc[v*n + i] += sum over quads [k0, k1) of w[v]*x, exactly, for `side` vectors of rows (1 or SIDE) and n
 * tokens, whose 8 words of 4 signed bytes lie `stride` words apart, |x| <= 127; side*n <= 8. bits: of the
 * weights, unsigned, or signed where they are 8 and SIGNED_WEIGHTS. scale: NULL, or where SCALED a factor of
 * the sums of each of w, in both int16 of each lane. */
VB_WORD(void, dot,
        (const int side, const int n, ivec *acc, const quads *w, int bits, const ivec *scale,
         const int32_t *x, size_t stride, int k0, int k1));

/* Four words of ROWS rows, row r at p + r*row_bytes, to four vectors of one word of each row. */
VB_WORD(void, interleave4, (const uint8_t *p, size_t row_bytes, ivec out[4]));
VB_WORD(void, prefetch, (const void *p)); /* into the L2 cache */

/* ---------------------------------------------------------------------- the contract's 16 lanes */

VB_NUMBER(v16, sizeof(v16) == 16 * sizeof(float));
VB_NUMBER(TILE_ROWS, TILE_ROWS >= 1 && TILE_ROWS <= 4); /* rows and tokens of float matrices in registers */
VB_NUMBER(TILE_COLS, TILE_COLS >= 1 && TILE_COLS <= 4);
/* attention: whether rows of the cache are widened on their way into the multiplication; queries of a tile,
 * queries x keys in registers, heads x vectors of 16 dimensions; from how many queries on, of heads below
 * which length, keys are transposed, and vectors of transposed keys times so many of the contract's lanes */
VB_NUMBER(DIRECT, DIRECT == 0 || DIRECT == 1);
VB_NUMBER(QUERIES, QUERIES == 4 || (QUERIES == 8 && TREE_TILE == 16));
VB_NUMBER(MANY_QUERIES, MANY_QUERIES > 0);
VB_NUMBER(LONG_HEAD, LONG_HEAD > 0);
VB_NUMBER(TREE_TILE, TREE_TILE == 4 || TREE_TILE == 16);
VB_NUMBER(VALUE_TILE, VALUE_TILE == 4 || VALUE_TILE == 8 || VALUE_TILE == 16);
VB_NUMBER(VECTORS, VECTORS == 1 || VECTORS == 2);
VB_NUMBER(LANES, LANES == 1 || LANES == 2);

VB_WORD(v16, v16_zero, (void));
VB_WORD(v16, v16_set, (float x));
VB_WORD(v16, v16_load, (const float *p));
VB_WORD(v16, v16_keep, (v16 a)); /* a, loaded once and not at each use, where the set has registers for it */
VB_WORD(void, v16_store, (float *p, v16 a));
/* The first n lanes, 1 <= n <= 16; the others +0 and their memory is not touched. */
VB_WORD(v16, v16_load_part, (const float *p, int n));
VB_WORD(void, v16_store_part, (float *p, v16 a, int n));
VB_WORD(v16, v16_part, (v16 a, v16 b, int n));    /* the first n lanes of a, the rest of b */
VB_WORD(v16, v16_load_half, (const uint16_t *p)); /* float16 */
VB_WORD(v16, v16_load_half_part, (const uint16_t *p, int n));
VB_WORD(v16, v16_load_bf16, (const uint16_t *p));
VB_WORD(v16, v16_load_bf16_part, (const uint16_t *p, int n));
VB_WORD(v16, v16_set_half, (const uint8_t *p));                   /* a float16, in every lane */
VB_WORD(v16, v16_of_bytes, (const int8_t *p));                    /* 16 integers */
VB_WORD(v16, v16_of_nibbles, (const uint8_t *p, bool high));      /* of 16 bytes, less 8 */
VB_WORD(void, v16_store_half_part, (uint16_t * p, v16 a, int n)); /* rounded to nearest even */
VB_WORD(v16, v16_add, (v16 a, v16 b));
VB_WORD(v16, v16_sub, (v16 a, v16 b));
VB_WORD(v16, v16_mul, (v16 a, v16 b));
VB_WORD(v16, v16_div, (v16 a, v16 b));
VB_WORD(v16, v16_max, (v16 a, v16 b)); /* of numbers */
VB_WORD(v16, v16_fma, (v16 a, v16 b, v16 c));
VB_WORD(v16, v16_neg, (v16 a));
VB_WORD(v16, v16_if_less, (v16 a, v16 b, v16 x, v16 y)); /* a < b ? x : y */
VB_WORD(v16, v16_if_nan, (v16 a, v16 x, v16 y));         /* a is NaN ? x : y */
VB_WORD(v16, v16_add_exponent, (v16 e, v16 t)); /* the bits of e + (the bits of t moved left by 23) */
VB_WORD(float, v16_largest, (v16 a));
VB_WORD(float, v16_tree, (v16 a));          /* the contract's sum of 16 lanes */
VB_WORD(v16, v16_trees, (const v16 a[16])); /* lane k: v16_tree(a[k]) */
VB_WORD(void, v16_transpose, (v16 a[16]));  /* a[i][k] <-> a[k][i] */

/* ---------------------------------------------------------------------- activations to integers */

VB_WORD(uint32_t, largest_bits, (const float *x)); /* of the largest |x| of 32 */
/* 16 of x times inverse, rounded to nearest even, clamped to +-limit, to 16 int8 at hi; where lo is not NULL
 * as 128*hi + lo, lo in [-64, 63]. Returns their sum. */
VB_WORD(int32_t, round16, (const float *x, float inverse, int limit, int8_t *hi, int8_t *lo));

/* ---------------------------------------------------------------------- float64 */

VB_NUMBER(dvec, sizeof(dvec) == DOUBLES * sizeof(double));
VB_WORD(dvec, d_load, (const double *p));
VB_WORD(void, d_store, (double *p, dvec a));
VB_WORD(dvec, d_of_floats, (const float *p));
VB_WORD(dvec, d_set, (double x));
VB_WORD(dvec, d_add, (dvec a, dvec b));
VB_WORD(dvec, d_sub, (dvec a, dvec b));
VB_WORD(dvec, d_mul, (dvec a, dvec b));
VB_WORD(dvec, d_zero_if_less, (dvec a, dvec b, dvec y)); /* a < b ? +0 : y */
VB_WORD(dvec, d_add_exponent, (dvec e, dvec t)); /* the bits of e + (the bits of t moved left by 52) */
VB_WORD(void, d_store_integers, (uint64_t * p, dvec a)); /* 0 <= a < 2^51, the fraction dropped */
