/* cached_body.h - keys and values from their place in the cache to float32, by the cache's types (ref/kv.h);
 * written once for every instruction set (names: vec_*.h; load_upto: ops_body.h). */

#include "gguf/half.h"

/* Types whose rows are blocks of 32 values behind a scale. */
INLINE bool in_blocks(vb_type type) {
    return type == VB_Q8_0 || type == VB_Q4_0;
}
INLINE size_t block_at(vb_type type, int d) {
    return (size_t)(d / 32) * (type == VB_Q8_0 ? sizeof(vb_block_q8_0) : sizeof(vb_block_q4_0));
}

/* Where in a row element d lies, a multiple of 16. */
INLINE size_t place_of(vb_type type, int d) {
    switch (type) {
    case VB_F32: return 4 * (size_t)d;
    case VB_Q8_0: return block_at(type, d) + 2 + (size_t)(d % 32);
    case VB_Q4_0: return block_at(type, d) + 2;
    default: return 2 * (size_t)d;
    }
}

/* Of the block that d lies in: its scale, in all lanes, and the integers of its first or second half. Their
 * product is exact. */
INLINE v16 block_scale(vb_type type, const uint8_t *row, int d) {
    return v16_set_half(row + block_at(type, d));
}
INLINE v16 block_part(vb_type type, const uint8_t *row, int d, int part) {
    const uint8_t *at = row + block_at(type, d) + 2;
    return type == VB_Q8_0 ? v16_of_bytes((const int8_t *)at + 16 * part) : v16_of_nibbles(at, part == 1);
}

/* 16 values of a row in the cache from element i on; n < 16 of them if the row ends, the rest +0. */
INLINE v16 cached(vb_type type, const uint8_t *row, int i, int n) {
    if (type == VB_F32) return load_upto((const float *)(const void *)row + i, n);
    if (in_blocks(type)) return v16_mul(block_scale(type, row, i), block_part(type, row, i, i / 16 % 2));
    const uint16_t *h = (const uint16_t *)(const void *)row + i;
    if (type == VB_BF16) return n >= 16 ? v16_load_bf16(h) : v16_load_bf16_part(h, n);
    return n >= 16 ? v16_load_half(h) : v16_load_half_part(h, n);
}

/* `vectors` times 16 values from element i on, the last vector `last` of them. In blocks i is a multiple of
 * 32 where there are several vectors, so that a scale is read once for two of them. */
INLINE void cached_vectors(vb_type type, const int vectors, const uint8_t *row, int i, int last, v16 *x) {
    if (!in_blocks(type) || vectors == 1) {
        EACH(v, vectors) x[v] = cached(type, row, i + 16 * v, v == vectors - 1 ? last : 16);
        return;
    }
    EACH(b, vectors / 2) {
        const v16 by = block_scale(type, row, i + 32 * b);
        EACH(p, 2) x[2 * b + p] = v16_mul(by, block_part(type, row, i + 32 * b, p));
    }
}

/* Dimensions [d0, d1) of a row to `out`, whose last vector of 16 is filled up. Asks for the row that comes a
 * block later, if it lies where most do. */
INLINE void widen_as(vb_type type, const uint8_t *row, size_t stride, int d0, int d1, float *out) {
    const size_t later = VB_ATTEND_BLOCK * stride;
    for (size_t at = place_of(type, d0); at < place_of(type, d1); at += 64) prefetch(row + later + at);
    int d = d0;
    if (in_blocks(type) && d % 32 == 0) {
        for (; d + 32 <= d1; d += 32) {
            const v16 by = block_scale(type, row, d);
            EACH(p, 2) v16_store(out + (d - d0) + 16 * p, v16_mul(by, block_part(type, row, d, p)));
        }
    }
    for (; d + 64 <= d1; d += 64) {
        v16 x[4];
        EACH(i, 4) x[i] = cached(type, row, d + 16 * i, 16);
        EACH(i, 4) v16_store(out + (d - d0) + 16 * i, x[i]);
    }
    for (; d < d1; d += 16) v16_store(out + (d - d0), cached(type, row, d, d1 - d));
}
static void widen(vb_type type, const uint8_t *row, size_t stride, int d0, int d1, float *out) {
    switch (type) {
    case VB_F32: widen_as(VB_F32, row, stride, d0, d1, out); break;
    case VB_BF16: widen_as(VB_BF16, row, stride, d0, d1, out); break;
    case VB_Q8_0: widen_as(VB_Q8_0, row, stride, d0, d1, out); break;
    case VB_Q4_0: widen_as(VB_Q4_0, row, stride, d0, d1, out); break;
    default: widen_as(VB_F16, row, stride, d0, d1, out); break;
    }
}
