/* repack.c - the interleaved form of weights, in plain C. The layout is drawn in repack.h, the blocks in
 * gguf/formats.h. */
#include "simd/repack.h"

#include <string.h>

size_t vb_packed_bytes(const vb_matrix *w) {
    if (vb_format_of(w->type)->groups == 0) return 0;
    return ((size_t)w->rows + VB_LANES - 1) / VB_LANES * VB_LANES * w->row_bytes;
}

/* Bit 4k + i of the fifth bits to bit 8i + k: the upper two bits of the position come from the lower two. */
static uint32_t spread_fifth_bits(uint32_t x) {
    uint32_t out = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t plane = x >> i & 0x11111111u; /* bits 4k + i, k = 0..7, now at 4k */
        plane = (plane | plane >> 3) & 0x03030303u;
        plane = (plane | plane >> 6) & 0x000f000fu;
        plane = (plane | plane >> 12) & 0x000000ffu;
        out |= plane << 8 * i;
    }
    return out;
}

static void fix_words(vb_type type, int n, uint8_t *words) {
    if (type == VB_Q8_0) {
        for (int i = 0; i < n * 64; i++) words[i] ^= 0x80;
    } else if (type == VB_Q5_0 || type == VB_Q5_1) {
        uint8_t *fifth = words + (type == VB_Q5_1 ? 64 : 0);
        for (int r = 0; r < VB_LANES; r++) {
            const uint8_t *p = fifth + 4 * r;
            const uint32_t x = spread_fifth_bits((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                                                 (uint32_t)p[3] << 24);
            for (int i = 0; i < 4; i++) fifth[4 * r + i] = (uint8_t)(x >> 8 * i);
        }
    }
}

void vb_pack(const vb_matrix *w, int row, size_t block0, size_t blocks, uint8_t *out) {
    const vb_format *l = vb_format_of(w->type);
    const size_t size = (size_t)(4 * l->words + l->head_bytes);
    const size_t head = (size_t)l->head_bytes;
    const int rows = w->rows - row < VB_LANES ? w->rows - row : VB_LANES;
    if (rows < VB_LANES) memset(out, 0, blocks * size * VB_LANES);
    for (size_t b = 0; b < blocks; b++, out += size * VB_LANES) {
        for (int r = 0; r < rows; r++) {
            const uint8_t *in = w->data + (size_t)(row + r) * w->row_bytes + (block0 + b) * size;
            memcpy(out + head * (size_t)r, in + l->head_at, head);
            uint8_t *word = out + VB_LANES * head + 4 * r;
            for (int v = 0; v < l->words; v++)
                memcpy(word + 64 * vb_word_place(w->type, v), in + l->words_at + 4 * v, 4);
        }
        fix_words(w->type, l->words, out + VB_LANES * head);
    }
}
