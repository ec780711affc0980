/* tile.h - activations cut to a tile that stays in the L1 and L2 caches while many rows of weights pass by.
 * Shared by the SIMD sets; plain C.
 *
 * A record is one group of 32 values of one token. Records lie in the order in which a kernel reads them: all
 * tokens of group 0, all tokens of group 1, ... Besides the integers and d each record holds one or two words
 * `a`, `b`, made from the exact sums of the activations' integers, that undo the unsigned storage of weights
 * or multiply their minimum (vb_tile_kind, format.h). */
#ifndef VB_TILE_H
#define VB_TILE_H

#include "ref/kernels.h"
#include "simd/format.h"

enum {
    VB_TILE_RECORDS = 1024, /* of one plane; half as many of two */
    VB_TILE_TOKENS = 64     /* 8 groups of 64 tokens in two planes fill a tile */
};

typedef struct vb_tile {
    int tokens, groups, planes;
    _Alignas(64) int32_t q[VB_TILE_RECORDS * 8]; /* (groups, tokens, planes, 8 words of 4 integers) */
    float d[VB_TILE_RECORDS];                    /* (groups, tokens) */
    int32_t a[VB_TILE_RECORDS], b[VB_TILE_RECORDS];
} vb_tile;

/* The tile of the calling thread: 45 kB, too much for the stacks that some callers have. */
vb_tile *vb_tile_own(void);
/* Most groups, a multiple of 8, that fit with so many tokens (at most VB_TILE_TOKENS). */
int vb_tile_groups(int tokens, int planes);
/* What the words a and b of a record hold; bias is added to those of VB_TILE_OFFSET and VB_TILE_HALVES. */
typedef struct vb_tile_start {
    vb_tile_kind kind;
    int offset;
    int32_t bias;
} vb_tile_start;
/* Copies tokens [t0, t0 + tokens), groups [g0, g0 + groups). */
void vb_tile_fill(vb_tile *tile, const vb_acts *x, int t0, int tokens, int g0, int groups,
                  vb_tile_start start);

#endif
