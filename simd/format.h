/* format.h - what the SIMD kernels know of each block-quantised format, in one table: how its blocks are cut
 * into words (repack.h), what its integers look like unpacked (weights_body.h), and what its sums start from
 * (tile.h). The bits themselves are drawn in gguf/formats.h. */
#ifndef VB_FORMAT_H
#define VB_FORMAT_H

#include "include/verbatim.h"

/* What a group's sums start from, or its minimum multiplies: the words a and b of a token's record, made from
 * s[0], s[1], the exact sums of the activations' integers over the two halves of the group. */
typedef enum vb_tile_kind {
    VB_TILE_OFFSET, /* a = -offset*(s[0] + s[1]): what the unsigned storage of weights added too much */
    VB_TILE_FLOAT,  /* a = the bits of (float)(s[0] + s[1]), which is exact: the minimum's factor */
    VB_TILE_HALVES, /* a = -offset*s[0], b = -offset*s[1]: the halves have scales of their own */
    VB_TILE_SUMS,   /* a = s[0], b = s[1]: and minimums of their own */
    /* For the last two, of one plane, where a set of kernels has another use for the sums: */
    VB_TILE_FLOATS, /* a, b = the bits of (float)s[0], (float)s[1] */
    VB_TILE_PAIRS   /* a = s[0] and, in the upper half of the word, s[1] */
} vb_tile_kind;

typedef struct vb_format {
    int groups; /* of 32 values in a block, 1 or 8; 0: the type is read as mapped (F32, F16, BF16) */
    int head_at, head_bytes; /* the odd bytes of a block: 0, 1 or 2 */
    int words_at, words;     /* its 4-byte words */
    int bits;                /* of the largest weight, unsigned */
    int offset; /* the weight q is stored as u = q + offset; 8-bit ones may be used as q instead */
    vb_tile_kind kind;
    int together; /* groups of a block whose bits stand in the same words */
    bool hidden;  /* planes of bits apart from each other: group by group, the CPU does not see by itself that
                     memory is read in order */
} vb_format;

/* groups, head at, bytes, words at, words, bits, offset, kind, together, hidden */
static const vb_format vb_formats[VB_TYPE_LIMIT] = {
    [VB_Q4_0] = {1, 0, 2, 2, 4, 4, 8, VB_TILE_OFFSET, 1, false},
    [VB_Q4_1] = {1, 0, 0, 0, 5, 4, 0, VB_TILE_FLOAT, 1, false},
    [VB_Q5_0] = {1, 0, 2, 2, 5, 5, 16, VB_TILE_OFFSET, 1, false},
    [VB_Q5_1] = {1, 0, 0, 0, 6, 5, 0, VB_TILE_FLOAT, 1, false},
    [VB_Q8_0] = {1, 0, 2, 2, 8, 8, 128, VB_TILE_OFFSET, 1, false},
    [VB_Q2_K] = {8, 0, 0, 0, 21, 4, 0, VB_TILE_SUMS, 4, false},
    [VB_Q3_K] = {8, 108, 2, 0, 27, 4, 4, VB_TILE_HALVES, 4, true},
    [VB_Q4_K] = {8, 0, 0, 0, 36, 4, 0, VB_TILE_FLOAT, 2, false},
    [VB_Q5_K] = {8, 0, 0, 0, 44, 5, 0, VB_TILE_FLOAT, 2, true},
    [VB_Q6_K] = {8, 208, 2, 0, 52, 6, 32, VB_TILE_HALVES, 4, true},
    [VB_IQ4_NL] = {1, 0, 2, 2, 4, 8, 128, VB_TILE_OFFSET, 1, false},
    [VB_IQ4_XS] = {8, 0, 0, 0, 34, 8, 128, VB_TILE_OFFSET, 1, false},
    [VB_MXFP4] = {1, 0, 1, 1, 4, 5, 12, VB_TILE_OFFSET, 1, false},
};

/* The row of a type; all zeros where it has none. Where the compiler knows the type, it knows the row. */
static inline const vb_format *vb_format_of(vb_type type) {
    return &vb_formats[type];
}

static inline bool vb_format_halves(vb_type type) {
    return vb_formats[type].kind == VB_TILE_HALVES || vb_formats[type].kind == VB_TILE_SUMS;
}

#endif
