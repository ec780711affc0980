/* unpack.h - blocks of weights to numbers, in plain C. The scalar kernels, the oracle and the vectors of
 * dequantised blocks stand on it. The SIMD kernels decode blocks by themselves, out of the interleaved form
 * (simd/weights_body.h), and tests/test_checkkern.c holds them to the bits that come from here. */
#ifndef VB_UNPACK_H
#define VB_UNPACK_H

#include "gguf/formats.h"

/* 32 consecutive values of a row, taken apart but not multiplied out:
 *
 *   value[i] = d*scale[i/16]*q[i] - m*min[i/16]                 exactly, i = 0..31
 *
 *   type          q                d              scale          m         min
 *   Q4_0          q - 8            d              1, 1           0         0, 0
 *   Q5_0          q - 16           d              1, 1           0         0, 0
 *   Q8_0          q                d              1, 1           0         0, 0
 *   IQ4_NL        table[q]         d              1, 1           0         0, 0
 *   MXFP4         2*e2m1[q]        2^(e - 128)    1, 1           0         0, 0
 *   Q4_1, Q5_1    q                d              1, 1           -(file's m)  1, 1
 *   Q4_K, Q5_K    q                d*sc           1, 1           dmin*mn   1, 1
 *   IQ4_XS        table[q]         d*(sc - 32)    1, 1           0         0, 0
 *   Q6_K          q - 32           d              sc, sc'        0         0, 0
 *   Q3_K          q - 4            d              sc-32, sc'-32  0         0, 0
 *   Q2_K          q                d              sc, sc'        dmin      mn, mn'
 *
 * d and m are float32 and every product here is exact (11 bits of a float16 times at most 6). Where there is
 * no minimum, m = 0 and min = {0, 0}: -(m*0) is then -0, the neutral element of addition, so that one formula
 * with fmaf serves all types and rounds the same as d*q alone. */
typedef struct vb_block32 {
    int8_t q[32];
    float d, m;
    int32_t scale[2], min[2];
} vb_block32;

/* Unpacks values [32*group, 32*group + 32) of the row that starts at `row` (any alignment). */
typedef void vb_unpack_fn(const uint8_t *row, size_t group, vb_block32 *out);

/* The function for a block-quantised type; NULL for F32, F16, BF16 and unknown numbers. */
vb_unpack_fn *vb_unpacker(int type);
/* The same in one call; `type` must be block-quantised. */
void vb_unpack32(vb_type type, const void *row, size_t group, vb_block32 *out);

/* The first n values of a row of any type; n a multiple of the type's block. Each is the exact value, rounded
 * once to float32 where that is narrower. */
void vb_dequantize_row(vb_type type, const void *row, size_t n, float *out);
/* The same in float64, where every value of every type is exact: products of a float16 and 12 bits are
 * multiples of 2^-24 below 2^28, and differences of two of them need at most 53 bits. */
void vb_dequantize_row_f64(vb_type type, const void *row, size_t n, double *out);

/* Looks for the first block whose scales would give values that are not finite: an infinite or NaN d, dmin or
 * m; an E8M0 scale above 252 (255 is NaN, with 253 and 254 values leave float32); for F32, F16 and BF16 the
 * values themselves. Returns its index, or -1 when all are good; *what (if not NULL) then names the field. */
int64_t vb_validate_blocks(vb_type type, const void *data, uint64_t n_blocks, const char **what);

#endif
