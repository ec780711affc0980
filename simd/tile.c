/* tile.c - see tile.h. */
#include "tile.h"

#include <string.h>

int vb_tile_groups(int tokens, int planes) {
    return VB_TILE_RECORDS / (tokens * planes) / 8 * 8;
}

void vb_tile_fill(vb_tile *tile, const vb_acts *x, int t0, int tokens, int g0, int groups, vb_tile_kind kind,
                  int offset) {
    const size_t n = (size_t)x->n, planes = (size_t)x->planes;
    tile->tokens = tokens;
    tile->groups = groups;
    tile->planes = x->planes;
    for (int t = 0; t < tokens; t++) {
        const size_t row = (size_t)(t0 + t);
        const int8_t *q = x->q + row * n + 32 * (size_t)g0;
        const float *d = x->d + row * (n / 32) + g0;
        const int32_t *sum = x->sum16 + row * (n / 16) + 2 * g0;
        size_t record = (size_t)t;
        for (int g = 0; g < groups; g++, record += (size_t)tokens) {
            for (size_t p = 0; p < planes; p++)
                memcpy(tile->q + 8 * (record * planes + p), q + p * (size_t)x->rows * n + 32 * (size_t)g, 32);
            tile->d[record] = d[g];
            const int32_t s0 = sum[2 * g], s1 = sum[2 * g + 1];
            if (kind == VB_TILE_OFFSET) {
                tile->a[record] = -offset * (s0 + s1);
            } else if (kind == VB_TILE_FLOAT) {
                const float f = (float)(s0 + s1);
                memcpy(&tile->a[record], &f, sizeof f);
            } else {
                tile->a[record] = -offset * s0;
                tile->b[record] = -offset * s1;
            }
        }
    }
}
