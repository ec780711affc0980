/* repack.h - weights interleaved for the SIMD kernels: the file's own bytes, 16 rows side by side.
 *
 * A SIMD kernel wants one row per int32 lane: then the exact sum of a group needs no horizontal additions and
 * the float step of the contract (ref/kernels.h) works on 16 rows at once. So the rows are taken 16 at a
 * time, and block b of these 16 rows is laid down as
 *
 *   head    16 x the odd bytes of the block (a float16 d, or the E8M0 byte of MXFP4); absent where a block is
 *           whole words
 *   word v  16 x 4 bytes: word v of the block of row 0, of row 1, ... of row 15,  v = 0, 1, ..., words - 1
 *
 *     byte of the packed block
 *     0                    2*16 or 16 or 0          + 64                     + 128
 *     | head: d of rows 0-15 | word 0: r0 r1 ... r15 | word 1: r0 r1 ... r15 | ...
 *
 * Nothing is decoded and nothing grows: packed size = rows (rounded up to 16; missing rows are zero) times
 * row_bytes. A word is 4 bytes, so each 64-byte vector holds 4 (8-bit), 8 (nibbles) or 16 (2-bit planes)
 * values of each of 16 rows, and dot instructions that add 4 neighbouring bytes into an int32 lane (VNNI,
 * NEON dotprod, AMX) take it as it lies. AVX2 takes each vector as two halves of 8 rows.
 *
 * Two changes are made so that kernels need not:
 *
 *   Q8_0        every q is stored as q + 128 (dot instructions want one unsigned side)
 *   Q5_0, Q5_1  the 32 fifth bits: that of value 4k + i moves from bit 4k + i to bit 8i + k, i < 4, k < 8, so
 *               that shifting the word brings a whole quad of fifth bits to bit 4 of its bytes
 */
#ifndef VB_REPACK_H
#define VB_REPACK_H

#include "ref/kernels.h"
#include "simd/format.h"

enum { VB_LANES = 16 }; /* rows side by side */

/* Where word w of a block is laid down: in the order in which a kernel reads them, scales first, then the
 * vectors of bits that belong together side by side, so that memory is read from front to back.
 *
 *   Q2_K  d and dmin, scales, qs
 *   Q3_K  scales, (hmask[k], qs[k]) for k = 0..7, qs[8..15]                                    by words
 *   Q5_K  d and dmin, scales, (qh[k], qs[k]) for k = 0..7, qs[8..31]
 *   Q6_K  scales, (qh[k], ql[k], ql[8 + k]) for k = 0..7, (qh[8 + k], ql[16 + k], ql[24 + k]) for k = 0..7 */
static inline int vb_word_place(vb_type type, int w) {
    switch (type) {
    case VB_Q2_K: return w < 20 ? w + 1 : 0;
    case VB_Q3_K: return w < 8 ? 3 + 2 * w : w < 16 ? 2 * w - 12 : w < 24 ? w + 3 : w - 24;
    case VB_Q5_K: return w < 4 ? w : w < 12 ? 2 * w - 4 : w < 20 ? 2 * w - 19 : w;
    case VB_Q6_K:
        if (w < 32) return 4 + 24 * (w / 16) + 3 * (w % 8) + 1 + w / 8 % 2;
        return w < 48 ? 4 + 24 * (w / 8 % 2) + 3 * (w % 8) : w - 48;
    default: return w;
    }
}

/* Bytes of w's packed form; 0 for types that have none. */
size_t vb_packed_bytes(const vb_matrix *w);

/* Packs blocks [block0, block0 + blocks) of rows [row, row + 16) of w, row a multiple of 16. */
typedef void vb_pack_fn(const vb_matrix *w, int row, size_t block0, size_t blocks, uint8_t *out);
vb_pack_fn vb_pack; /* plain C; SIMD sets have their own, same bytes */

#endif
