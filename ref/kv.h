/* kv.h - keys and values on their way into the cache: how each type of a cache rounds them. What attention
 * sees is what lies there, read back (kernels.h, `cached`). Internal.
 *
 *   F32    as it is
 *   F16    to nearest, ties to even                                   |x| < 65520
 *   BF16   to nearest, ties to even                                   |x| < 0x1.ffp127
 *   Q8_0   per 32: a = max |x_i|, d = float16(a/127);
 *          q_i = clamp(round_half_even(x_i * (1/d)), -127, 127)       |x| < 127*65520
 *   Q8I    as Q8_0, of keys alone: what differs is how they meet a query (kernels.h)
 *   Q4_0   per 32: m = the x_i of greatest size (the first of equals), d = float16(m/-8);
 *          q_i = clamp(round_half_even(x_i * (1/d)) + 8, 0, 15)       |x| < 8*65520
 *
 * All in float32, the quotients rounded once; where d is 0, every q_i is what reads back as 0. The blocks are
 * those of the file format (gguf/formats.h); a row is whole blocks, so a head's size must be a multiple of
 * 32. Read back: d*q_i, d*(q_i - 8), exact. */
#ifndef VB_KV_H
#define VB_KV_H

#include "base/base.h"

/* The types that a cache may have, by i = 0, 1, ...; false behind the last. */
bool vb_kv_type(int i, vb_type *type);
/* No type of values. */
bool vb_kv_keys_only(vb_type type);
/* "Q8_0" and so on. */
const char *vb_kv_name(vb_type type);
/* Values per block; 0: no type of a cache. */
int vb_kv_block(vb_type type);
/* Bytes of n values, whole blocks. */
size_t vb_kv_bytes(vb_type type, int n);
/* The bits of the float from which on |x| does not fit. */
uint32_t vb_kv_limit(vb_type type);
/* n values, whole blocks, all of them below the limit, to their place. F16 is the kernels' own (to_half). */
void vb_kv_store(vb_type type, const float *x, int n, void *to);

#endif
