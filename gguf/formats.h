/* formats.h - the layout of every tensor type that Verbatim reads, bit by bit.
 *
 * A tensor is rows of `dims[0]` values; a row is whole blocks, without gaps. A block is a struct of bytes
 * here, so that it has no alignment and no padding and can be laid over a mapped file on any machine.
 * gguf/unpack.c takes blocks apart in plain C, and simd/weights_body.h does the same with vectors.
 *
 * How to read the diagrams. Bytes run downwards or left to right with growing address; inside a byte, bit 7
 * is drawn left and bit 0 right. Numbers of two bytes are little endian. `f16` is a float16. v[i] is value i
 * of the block, q[i] the unsigned integer stored for it.
 *
 *   type     id  values  bytes  bits   value                                        integer of
 *                                per value
 *   F32       0       1      4  32     f
 *   F16       1       1      2  16     f
 *   BF16     30       1      2  16     f
 *   Q4_0      2      32     18   4.5   d*(q - 8)                                    4 bits
 *   Q4_1      3      32     20   5     d*q + m                                      4 bits
 *   Q5_0      6      32     22   5.5   d*(q - 16)                                   4 + 1 bits
 *   Q5_1      7      32     24   6     d*q + m                                      4 + 1 bits
 *   Q8_0      8      32     34   8.5   d*q                                          8 bits, signed
 *   Q2_K     10     256     84   2.625 d*sc*q - dmin*mn      sc, mn per 16 values   2 bits
 *   Q3_K     11     256    110   3.438 d*(sc - 32)*(q - 4)   sc per 16 values       2 + 1 bits
 *   Q4_K     12     256    144   4.5   d*sc*q - dmin*mn      sc, mn per 32 values   4 bits
 *   Q5_K     13     256    176   5.5   d*sc*q - dmin*mn      sc, mn per 32 values   4 + 1 bits
 *   Q6_K     14     256    210   6.563 d*sc*(q - 32)         sc per 16 values       4 + 2 bits
 *   IQ4_NL   20      32     18   4.5   d*table[q]                                   4 bits
 *   IQ4_XS   23     256    136   4.25  d*(sc - 32)*table[q]  sc per 32 values       4 bits
 *   MXFP4    39      32     17   4.25  2^(e - 127)*e2m1[q]                          4 bits
 *
 * Sources: the GGUF specification (ggml, docs/gguf.md) for the type numbers; the block layouts are those of
 * ggml's files, checked here against files written by other programs; MXFP4 is OCP Microscaling
 * Formats 1.0, 5.2 and 5.4.1. */
#ifndef VB_FORMATS_H
#define VB_FORMATS_H

#include "base/base.h"

/* ------------------------------------------------------------------------------ 32 values, one scale
 *
 * The pair order that all 4-bit formats of 32 values share: byte j of qs holds v[j] below and v[j+16] above.
 *
 *            bit 7     4 3     0
 *   qs[0]     | q[16]   | q[0]  |
 *   qs[1]     | q[17]   | q[1]  |
 *    ...
 *   qs[15]    | q[31]   | q[15] |
 */

/*   byte 0  1   2 ............ 17
 *       | f16 d | qs, 16 bytes    |          v[i] = d*(q[i] - 8) */
typedef struct vb_block_q4_0 {
    uint8_t d[2];
    uint8_t qs[16];
} vb_block_q4_0;

/*   byte 0  1   2  3   4 ............ 19
 *       | f16 d | f16 m | qs, 16 bytes    |  v[i] = d*q[i] + m */
typedef struct vb_block_q4_1 {
    uint8_t d[2];
    uint8_t m[2];
    uint8_t qs[16];
} vb_block_q4_1;

/* The fifth bits are a 32-bit little-endian word: bit i is bit 4 of q[i].
 *
 *   byte 0  1   2 .... 5   6 ............ 21
 *       | f16 d | qh u32 | qs, 16 bytes    |  v[i] = d*(q[i] - 16)
 *
 *            bit 7                           0
 *   qh[0]     | q[7]  | q[6]  | ... | q[0]   |   <- bit 4 of each
 *   qh[1]     | q[15] | q[14] | ... | q[8]   |
 *   qh[2]     | q[23] | q[22] | ... | q[16]  |
 *   qh[3]     | q[31] | q[30] | ... | q[24]  | */
typedef struct vb_block_q5_0 {
    uint8_t d[2];
    uint8_t qh[4];
    uint8_t qs[16];
} vb_block_q5_0;

/*   byte 0  1   2  3   4 .... 7   8 ............ 23
 *       | f16 d | f16 m | qh u32 | qs, 16 bytes    |  v[i] = d*q[i] + m */
typedef struct vb_block_q5_1 {
    uint8_t d[2];
    uint8_t m[2];
    uint8_t qh[4];
    uint8_t qs[16];
} vb_block_q5_1;

/*   byte 0  1   2 ............ 33
 *       | f16 d | q, 32 x int8    |          v[i] = d*q[i] */
typedef struct vb_block_q8_0 {
    uint8_t d[2];
    uint8_t qs[32];
} vb_block_q8_0;

/* As Q4_0, but q is an index into vb_iq4_table, whose steps widen outwards as weights thin out.
 *   byte 0  1   2 ............ 17
 *       | f16 d | qs, 16 bytes    |          v[i] = d*table[q[i]] */
typedef struct vb_block_iq4_nl {
    uint8_t d[2];
    uint8_t qs[16];
} vb_block_iq4_nl;

/* e is an E8M0 scale, a bare exponent: 2^(e - 127), 255 is NaN. q is an E2M1 number, sign | exponent |
 * mantissa:
 *
 *            bit 3   2   1   0
 *             | s | e   e | m |      0 0.5 1 1.5 2 3 4 6, and the same negative
 *
 *   byte 0   1 ............ 16
 *       | e | qs, 16 bytes    |              v[i] = 2^(e - 127)*e2m1[q[i]] */
typedef struct vb_block_mxfp4 {
    uint8_t e;
    uint8_t qs[16];
} vb_block_mxfp4;

/* ---------------------------------------------------------------------------------------- 256 values
 *
 * The "K" formats and IQ4_XS: one float16 scale (and minimum) for 256 values, small integer scales inside.
 *
 * The order of 2-bit fields that Q2_K, Q3_K and the upper bits of Q6_K share: 32 bytes hold 128 values in 4
 * planes. With h = 0, 1 the half of the block and l = 0..31:
 *
 *                   bit 7        6 5        4 3        2 1        0
 *   qs[32h + l]      | v[128h+96+l] | v[128h+64+l] | v[128h+32+l] | v[128h+l] |
 */

/*   byte  0 ............. 15  16 ............ 79  80 81   82  83
 *        | scales, 16 bytes  | qs, 64 bytes      | f16 d | f16 dmin |
 *
 *            bit 7     4 3     0
 *   scales[g] | mn      | sc    |    of v[16g .. 16g+15]
 *   qs        2-bit fields as above
 *   v[i] = d*sc*q[i] - dmin*mn,  g = i/16 */
typedef struct vb_block_q2_k {
    uint8_t scales[16];
    uint8_t qs[64];
    uint8_t d[2];
    uint8_t dmin[2];
} vb_block_q2_k;

/*   byte  0 ............ 31  32 ............ 95  96 .............. 107  108 109
 *        | hmask, 32 bytes  | qs, 64 bytes      | scales, 12 bytes     | f16 d |
 *
 *   qs        bits 0 and 1 of q[i]: 2-bit fields as above
 *   hmask     bit 2 of q[i], one bit plane per 32 values:
 *
 *            bit 7          6          5                 0
 *   hmask[l]  | q[224+l]  | q[192+l]  | q[160+l] | ... | q[l] |
 *
 *   scales    16 of 6 bits, s[g] of v[16g .. 16g+15]:
 *             the low 4 bits in bytes 0-7, the high 2 bits in bytes 8-11
 *
 *                  bit 7     6 5        4 3        2 1        0
 *   scales[g]         | s[g+8] bits 3-0   | s[g] bits 3-0       |     g = 0..7
 *   scales[8 + k]     | s[12+k]  | s[8+k]   | s[4+k]   | s[k]     |     k = 0..3, bits 5-4 of each
 *
 *   v[i] = d*(s[i/16] - 32)*(q[i] - 4)     (a clear bit in hmask takes 4 away, hence the name "mask") */
typedef struct vb_block_q3_k {
    uint8_t hmask[32];
    uint8_t qs[64];
    uint8_t scales[12];
    uint8_t d[2];
} vb_block_q3_k;

/* The 12 bytes of scales that Q4_K and Q5_K share: sc[g] and mn[g] of v[32g .. 32g+31], g = 0..7, 6 bits
 * each. The first four of each are stored plainly; the other four are split into 4 low bits and 2 high bits,
 * which fill the gaps.
 *
 *                 bit 7       6 5                          0
 *   scales[k]      | sc[4+k]   | sc[k]                       |     k = 0..3     (left: bits 5-4)
 *   scales[4 + k]  | mn[4+k]   | mn[k]                       |                  (left: bits 5-4)
 *   scales[8 + k]  | mn[4+k] bits 3-0 | sc[4+k] bits 3-0     |
 */

/*   byte  0  1   2   3      4 ............. 15  16 ............ 143
 *        | f16 d | f16 dmin | scales, 12 bytes | qs, 128 bytes      |
 *
 *   qs        pairs of 32: with c = 0..3 and l = 0..31
 *
 *                  bit 7        4 3      0
 *   qs[32c + l]     | q[64c+32+l]  | q[64c+l] |
 *
 *   v[i] = d*sc[i/32]*q[i] - dmin*mn[i/32] */
typedef struct vb_block_q4_k {
    uint8_t d[2];
    uint8_t dmin[2];
    uint8_t scales[12];
    uint8_t qs[128];
} vb_block_q4_k;

/*   byte  0  1   2   3      4 ............. 15  16 ....... 47  48 ............ 175
 *        | f16 d | f16 dmin | scales, 12 bytes | qh, 32 bytes | qs, 128 bytes     |
 *
 *   qs        bits 0-3 of q[i], as in Q4_K
 *   qh        bit 4 of q[i], one bit plane per 32 values:
 *
 *            bit 7          6                  0
 *   qh[l]     | q[224+l]  | q[192+l]  | ... | q[l] |
 *
 *   v[i] = d*sc[i/32]*q[i] - dmin*mn[i/32] */
typedef struct vb_block_q5_k {
    uint8_t d[2];
    uint8_t dmin[2];
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
} vb_block_q5_k;

/*   byte  0 ............ 127  128 ........ 191  192 ............... 207  208 209
 *        | ql, 128 bytes     | qh, 64 bytes    | scales, 16 x int8      | f16 d |
 *
 *   ql        bits 0-3 of q[i]: with h = 0, 1 and k = 0..63
 *
 *                  bit 7         4 3       0
 *   ql[64h + k]     | q[128h+64+k]  | q[128h+k] |
 *
 *   qh        bits 4 and 5 of q[i]: 2-bit fields as above, 32 bytes per half
 *   scales[g] of v[16g .. 16g+15], signed
 *   v[i] = d*scales[i/16]*(q[i] - 32) */
typedef struct vb_block_q6_k {
    uint8_t ql[128];
    uint8_t qh[64];
    uint8_t scales[16];
    uint8_t d[2];
} vb_block_q6_k;

/*   byte  0  1   2        3   4 ........... 7   8 ............ 135
 *        | f16 d | u16 scales_h | scales_l, 4 bytes | qs, 128 bytes     |
 *
 *   scales    s[g] of v[32g .. 32g+31], 6 bits: the low 4 bits in scales_l, the high 2 bits in scales_h
 *
 *                 bit 7          4 3         0                     bit 15  14              1   0
 *   scales_l[k]    | s[2k+1]       | s[2k]     |       scales_h    | s[7]   | s[6] | ... | s[0] |
 *                    bits 3-0 of each                                bits 5-4 of each
 *
 *   qs[16g .. 16g+15]  v[32g .. 32g+31] in the pair order of Q4_0, q an index into vb_iq4_table
 *   v[i] = d*(s[i/32] - 32)*table[q[i]] */
typedef struct vb_block_iq4_xs {
    uint8_t d[2];
    uint8_t scales_h[2];
    uint8_t scales_l[4];
    uint8_t qs[128];
} vb_block_iq4_xs;

_Static_assert(sizeof(vb_block_q4_0) == 18, "Q4_0");
_Static_assert(sizeof(vb_block_q4_1) == 20, "Q4_1");
_Static_assert(sizeof(vb_block_q5_0) == 22, "Q5_0");
_Static_assert(sizeof(vb_block_q5_1) == 24, "Q5_1");
_Static_assert(sizeof(vb_block_q8_0) == 34, "Q8_0");
_Static_assert(sizeof(vb_block_q2_k) == 84, "Q2_K");
_Static_assert(sizeof(vb_block_q3_k) == 110, "Q3_K");
_Static_assert(sizeof(vb_block_q4_k) == 144, "Q4_K");
_Static_assert(sizeof(vb_block_q5_k) == 176, "Q5_K");
_Static_assert(sizeof(vb_block_q6_k) == 210, "Q6_K");
_Static_assert(sizeof(vb_block_iq4_nl) == 18, "IQ4_NL");
_Static_assert(sizeof(vb_block_iq4_xs) == 136, "IQ4_XS");
_Static_assert(sizeof(vb_block_mxfp4) == 17, "MXFP4");

/* --------------------------------------------------------------------------------------------- tables */

/* What the 4-bit indices of IQ4_NL and IQ4_XS stand for. */
extern const int8_t vb_iq4_table[16];
/* Twice the E2M1 numbers, so that they are integers: the scale that goes with them is 2^(e - 128). */
extern const int8_t vb_e2m1_twice[16];

/* The name of any tensor type number ever given out, supported or not: "IQ2_XXS", "Q4_2 (removed)"; NULL if
 * unknown. */
const char *vb_type_any_name(uint32_t type);

/* True for the types whose blocks hold integers and scales; false for F32, F16 and BF16 and for unknown
 * numbers. */
bool vb_type_is_quantized(int type);

/* Two bytes, little endian, from any address. */
static inline uint16_t vb_load_le16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

#endif
