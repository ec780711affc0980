/* encode.h - numbers to blocks of weights, the inverse of gguf/unpack.h. What each encoder minimises and how
 * it searches: docs/quantize.md. */
#ifndef VB_ENCODE_H
#define VB_ENCODE_H

#include "include/verbatim.h"

/* What keeps a value out of a type. */
typedef enum vb_encode_fault {
    VB_ENCODE_NOT_FINITE, /* an infinity or a NaN */
    VB_ENCODE_TOO_LARGE   /* beyond what the type (its float16 scale) can hold */
} vb_encode_fault;

/* True for the types that vb_encode writes:
 * F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K. */
bool vb_can_encode(int type);

/* Encodes n values, a multiple of the type's block, into n / block values * block bytes at `out`.
 * Deterministic: the bytes depend on the values of each block alone. Returns -1, or the index of the first
 * value in the way, with its fault; `out` is then partly written. */
int64_t vb_encode(vb_type type, const float *x, size_t n, uint8_t *out, vb_encode_fault *fault);

/* The encoders of one block, for vb_encode: x finite, of one block. False when a scale does not fit a
 * float16. */
typedef bool vb_encode_block_fn(const float *x, uint8_t *out);
vb_encode_block_fn vb_encode_q8_0, vb_encode_q4_0, vb_encode_q4_1, vb_encode_q5_0,
    vb_encode_q5_1;                                                /* 32 values */
vb_encode_block_fn vb_encode_q4_k, vb_encode_q5_k, vb_encode_q6_k; /* 256 values */

#endif
