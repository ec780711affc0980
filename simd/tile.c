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

static void float_sums(int32_t *a, size_t stride, const int32_t *sum, int groups) {
    for (int g = 0; g < groups; g++, a += stride) {
        const float f = (float)(sum[2 * g] + sum[2 * g + 1]);
        memcpy(a, &f, sizeof f);
    }
}

void vb_tile_fill(vb_tile *tile, const vb_acts *x, int t0, int tokens, int g0, int groups, vb_tile_kind kind,
                  int offset) {
    const size_t n = (size_t)x->n, planes = (size_t)x->planes;
    tile->tokens = tokens;
    tile->groups = groups;
    tile->planes = x->planes;
    const size_t stride = (size_t)tokens;
    const int factor = kind == VB_TILE_SUMS ? 1 : -offset;
    for (int t = 0; t < tokens; t++) {
        const size_t row = (size_t)(t0 + t);
        const int8_t *q = x->q + row * n + 32 * (size_t)g0;
        const float *d = x->d + row * (n / 32) + g0;
        const int32_t *sum = x->sum16 + row * (n / 16) + 2 * g0;
        for (size_t p = 0; p < planes; p++)
            copy_groups(tile->q + 8 * ((size_t)t * planes + p), 8 * stride * planes,
                        q + p * (size_t)x->rows * n, groups);
        for (int g = 0; g < groups; g++) tile->d[(size_t)t + (size_t)g * stride] = d[g];
        int32_t *a = tile->a + t, *b = tile->b + t;
        switch (kind) {
        case VB_TILE_OFFSET:
            for (int g = 0; g < groups; g++) a[(size_t)g * stride] = factor * (sum[2 * g] + sum[2 * g + 1]);
            break;
        case VB_TILE_FLOAT: float_sums(a, stride, sum, groups); break;
        case VB_TILE_HALVES:
        case VB_TILE_SUMS:
            for (int g = 0; g < groups; g++) {
                a[(size_t)g * stride] = factor * sum[2 * g];
                b[(size_t)g * stride] = factor * sum[2 * g + 1];
            }
            break;
        }
    }
}
