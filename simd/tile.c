/* tile.c - see tile.h. */
#include "simd/tile.h"

#include <string.h>

vb_tile *vb_tile_own(void) {
    static _Thread_local vb_tile own;
    return &own;
}

int vb_tile_groups(int tokens, int planes) {
    return VB_TILE_RECORDS / (tokens * planes) / 8 * 8;
}

/* 32 bytes each, to every `stride` words. */
static void copy_groups(int32_t *to, size_t stride, const int8_t *q, int groups) {
    for (int g = 0; g < groups; g++, to += stride, q += 32) memcpy(to, q, 32);
}

static int32_t float_bits(int32_t x) {
    const float f = (float)x;
    int32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* One token's words a and b, to every `stride` records. sum: of the halves of each group. */
static void fill_sums(int32_t *a, int32_t *b, size_t stride, const int32_t *sum, int groups,
                      vb_tile_start start) {
    const int factor = start.kind == VB_TILE_SUMS ? 1 : -start.offset;
    const int32_t bias = start.kind == VB_TILE_SUMS ? 0 : start.bias;
    for (int g = 0; g < groups; g++, a += stride, b += stride, sum += 2) {
        switch (start.kind) {
        case VB_TILE_OFFSET: *a = factor * (sum[0] + sum[1]) + bias; break;
        case VB_TILE_FLOAT: *a = float_bits(sum[0] + sum[1]); break;
        case VB_TILE_HALVES:
        case VB_TILE_SUMS:
            *a = factor * sum[0] + bias;
            *b = factor * sum[1] + bias;
            break;
        case VB_TILE_FLOATS:
            *a = float_bits(sum[0]);
            *b = float_bits(sum[1]);
            break;
        case VB_TILE_PAIRS:
            *a = (int32_t)((uint32_t)sum[0] & 0xffff) | (int32_t)((uint32_t)sum[1] << 16);
            break;
        }
    }
}

void vb_tile_fill(vb_tile *tile, const vb_acts *x, int t0, int tokens, int g0, int groups,
                  vb_tile_start start) {
    const size_t n = (size_t)x->n, planes = (size_t)x->planes;
    tile->tokens = tokens;
    tile->groups = groups;
    tile->planes = x->planes;
    const size_t stride = (size_t)tokens;
    for (int t = 0; t < tokens; t++) {
        const size_t row = (size_t)(t0 + t);
        const int8_t *q = x->q + row * n + 32 * (size_t)g0;
        const float *d = x->d + row * (n / 32) + g0;
        for (size_t p = 0; p < planes; p++)
            copy_groups(tile->q + 8 * ((size_t)t * planes + p), 8 * stride * planes,
                        q + p * (size_t)x->rows * n, groups);
        for (int g = 0; g < groups; g++) tile->d[(size_t)t + (size_t)g * stride] = d[g];
        fill_sums(tile->a + t, tile->b + t, stride, x->sum16 + row * (n / 16) + 2 * g0, groups, start);
    }
}
