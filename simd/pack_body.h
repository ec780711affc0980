/* pack_body.h - interleaving rows (repack.h), written once for every instruction set (names: vec_*.h). Same
 * bytes as vb_pack. */

/* Bit 4k + i of the fifth bits to bit 8i + k (repack.c, spread_fifth_bits). */
INLINE ivec spread_fifth_bits(ivec x) {
    ivec out = i_zero();
    EACH(i, 4) {
        ivec plane = i_and(i_right(x, i), i_set(0x11111111));
        plane = i_and(i_or(plane, i_right(plane, 3)), i_set(0x03030303));
        plane = i_and(i_or(plane, i_right(plane, 6)), i_set(0x000f000f));
        plane = i_and(i_or(plane, i_right(plane, 12)), i_set(0x000000ff));
        out = i_or(out, i_left(plane, 8 * i));
    }
    return out;
}

INLINE ivec fixed_word(vb_type type, int word, ivec v) {
    if (type == VB_Q8_0) return i_xor(v, i_set8(128));
    if ((type == VB_Q5_0 && word == 0) || (type == VB_Q5_1 && word == 1)) return spread_fifth_bits(v);
    return v;
}

/* One block of VB_LANES rows. p: the block of the first row. */
INLINE void pack_block(vb_type type, const uint8_t *p, size_t row_bytes, uint8_t *out) {
    const vb_format *l = vb_format_of(type);
    const size_t head = (size_t)l->head_bytes;
    if (head) {
        EACH(r, VB_LANES) memcpy(out + (size_t)r * head, p + (size_t)r * row_bytes + l->head_at, head);
    }
    out += VB_LANES * head;
    for (int v = 0; v < VB_LANES / ROWS; v++) {
        const uint8_t *from = p + (size_t)(v * ROWS) * row_bytes + l->words_at;
        uint8_t *to = out + 4 * ROWS * v;
        const int fours = l->words / 4 * 4;
        for (int i = 0; i < fours; i += 4) {
            ivec a[4];
            interleave4(from + 4 * i, row_bytes, a);
            EACH(k, 4) i_store(to + 64 * vb_word_place(type, i + k), fixed_word(type, i + k, a[k]));
        }
        for (int i = fours; i < l->words; i++) {
            uint8_t one[4 * ROWS];
            EACH(r, ROWS) memcpy(one + 4 * r, from + 4 * i + (size_t)r * row_bytes, 4);
            i_store(to + 64 * vb_word_place(type, i), fixed_word(type, i, i_load(one)));
        }
    }
}

INLINE void pack_blocks(vb_type type, const vb_matrix *w, int row, size_t block0, size_t blocks,
                        uint8_t *out) {
    const vb_format *l = vb_format_of(type);
    const size_t size = (size_t)(4 * l->words + l->head_bytes);
    const uint8_t *p = w->data + (size_t)row * w->row_bytes + block0 * size;
    for (size_t b = 0; b < blocks; b++)
        pack_block(type, p + b * size, w->row_bytes, out + b * size * VB_LANES);
}

static void pack(const vb_matrix *w, int row, size_t block0, size_t blocks, uint8_t *out) {
    if (w->rows - row < VB_LANES) {
        vb_pack(w, row, block0, blocks, out);
        return;
    }
#define PACK(type)                                                                                           \
    case type: pack_blocks(type, w, row, block0, blocks, out); break
    switch (w->type) {
        PACK(VB_Q4_0);
        PACK(VB_Q4_1);
        PACK(VB_Q5_0);
        PACK(VB_Q5_1);
        PACK(VB_Q8_0);
        PACK(VB_Q2_K);
        PACK(VB_Q3_K);
        PACK(VB_Q4_K);
        PACK(VB_Q5_K);
        PACK(VB_Q6_K);
        PACK(VB_IQ4_NL);
        PACK(VB_IQ4_XS);
        PACK(VB_MXFP4);
    default: break;
    }
}
