/* float_body.h - F32, F16 and BF16 matrices, written once for every instruction set (names: vec_*.h). A tile
 * of TILE_ROWS rows times TILE_COLS tokens is held in registers, one 16-lane accumulator for each, so that a
 * row is converted once for several tokens and a token read once for several rows. */

/* 16 weights from element i of a row; n of them (1..16), the rest +0, in the second. */
INLINE v16 weights(vb_type type, const uint8_t *row, size_t i) {
    if (type == VB_F32) return v16_load((const float *)(const void *)row + i);
    if (type == VB_F16) return v16_load_half((const uint16_t *)(const void *)row + i);
    return v16_load_bf16((const uint16_t *)(const void *)row + i);
}
INLINE v16 weights_part(vb_type type, const uint8_t *row, size_t i, int n) {
    if (type == VB_F32) return v16_load_part((const float *)(const void *)row + i, n);
    if (type == VB_F16) return v16_load_half_part((const uint16_t *)(const void *)row + i, n);
    return v16_load_bf16_part((const uint16_t *)(const void *)row + i, n);
}

/* rows x tokens outputs: y[t*ldy + r]. ahead: so many bytes behind its weights each row asks for others on
 * the way; 0: it does not. */
INLINE void float_tile(vb_type type, const int rows, const int tokens, const uint8_t *w, size_t row_bytes,
                       const float *x, size_t n, float *y, size_t ldy, size_t ahead) {
    const size_t size = type == VB_F32 ? 4 : 2;
    v16 acc[16];
    EACH(i, rows * tokens) acc[i] = v16_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 wr[TILE_ROWS];
        if (ahead && i * size % 64 == 0) {
            EACH(r, rows) prefetch(w + (size_t)r * row_bytes + i * size + ahead);
        }
        EACH(r, rows) wr[r] = weights(type, w + (size_t)r * row_bytes, i);
        EACH(t, tokens) {
            const v16 xt = v16_load(x + (size_t)t * n + i);
            EACH(r, rows) acc[t * rows + r] = v16_fma(wr[r], xt, acc[t * rows + r]);
        }
    }
    if (i < n) {
        const int rest = (int)(n - i);
        EACH(t, tokens) {
            const v16 xt = v16_load_part(x + (size_t)t * n + i, rest);
            EACH(r, rows) {
                const v16 a = acc[t * rows + r], wr = weights_part(type, w + (size_t)r * row_bytes, i, rest);
                acc[t * rows + r] = v16_part(v16_fma(wr, xt, a), a, rest);
            }
        }
    }
    if (rows * tokens == 16) {
        float out[16];
        v16_store(out, v16_trees(acc));
        EACH(t, tokens) EACH(r, rows) y[(size_t)t * ldy + (size_t)r] = out[t * rows + r];
    } else {
        EACH(t, tokens) EACH(r, rows) y[(size_t)t * ldy + (size_t)r] = v16_tree(acc[t * rows + r]);
    }
}

INLINE void float_rows(vb_type type, const int rows, const uint8_t *w, size_t row_bytes, const float *x,
                       size_t n, int tokens, float *y, size_t ldy, size_t ahead) {
    int t = 0;
    for (; t + TILE_COLS <= tokens; t += TILE_COLS, ahead = 0)
        float_tile(type, rows, TILE_COLS, w, row_bytes, x + (size_t)t * n, n, y + (size_t)t * ldy, ldy,
                   ahead);
    if (TILE_COLS > 2 && t + 2 <= tokens) {
        float_tile(type, rows, 2, w, row_bytes, x + (size_t)t * n, n, y + (size_t)t * ldy, ldy, ahead);
        t += 2;
        ahead = 0;
    }
    for (; t < tokens; t++, ahead = 0)
        float_tile(type, rows, 1, w, row_bytes, x + (size_t)t * n, n, y + (size_t)t * ldy, ldy, ahead);
}

enum {
    FLOAT_TOKENS = 16, /* stay in the L2 cache while rows pass by, */
    FLOAT_ROWS = 16,   /* and rows that do while tokens pass by */
    /* One token: rows are read from front to back, which the CPU sees and reads ahead by itself, as long as
       the vector stays in the L1 cache: so many values. A longer one passes by once per row, a second stream
       beside the first; then two pages of 4 KiB ahead are asked for. */
    SHORT_VECTOR = 4096,
    PAGES_AHEAD = 8192
};

INLINE void matmul_floats(vb_type type, const vb_matrix *w, const vb_acts *x, int row0, int row1, float *y,
                          size_t ldy) {
    const size_t n = (size_t)w->cols;
    if (x->rows == 1) {
        for (int r = row0; r < row1; r++) {
            const uint8_t *row = w->data + (size_t)r * w->row_bytes;
            /* Twice, each with a constant: to test it at every step cost a tenth (3B F16). */
            if (n <= SHORT_VECTOR)
                float_tile(type, 1, 1, row, w->row_bytes, x->f, n, y + r, ldy, 0);
            else
                float_tile(type, 1, 1, row, w->row_bytes, x->f, n, y + r, ldy, PAGES_AHEAD);
        }
        return;
    }
    for (int r0 = row0; r0 < row1; r0 += FLOAT_ROWS) {
        const int r1 = row1 - r0 < FLOAT_ROWS ? row1 : r0 + FLOAT_ROWS;
        for (int t0 = 0; t0 < x->rows; t0 += FLOAT_TOKENS) {
            const int tokens = x->rows - t0 < FLOAT_TOKENS ? x->rows - t0 : FLOAT_TOKENS;
            int r = r0;
            for (; r < r1; r += r + TILE_ROWS <= r1 ? TILE_ROWS : 1) {
                const uint8_t *row = w->data + (size_t)r * w->row_bytes;
                float *out = y + (size_t)t0 * ldy + r;
                /* The next rows: short streams side by side are too many for a CPU to notice. */
                const size_t ahead = t0 == 0 ? TILE_ROWS * w->row_bytes : 0;
                if (r + TILE_ROWS <= r1)
                    float_rows(type, TILE_ROWS, row, w->row_bytes, x->f + (size_t)t0 * n, n, tokens, out, ldy,
                               ahead);
                else
                    float_rows(type, 1, row, w->row_bytes, x->f + (size_t)t0 * n, n, tokens, out, ldy, 0);
            }
        }
    }
}

static void matmul_f32(const vb_matrix *w, const vb_acts *x, int row0, int row1, float *y, size_t ldy) {
    matmul_floats(VB_F32, w, x, row0, row1, y, ldy);
}
static void matmul_f16(const vb_matrix *w, const vb_acts *x, int row0, int row1, float *y, size_t ldy) {
    matmul_floats(VB_F16, w, x, row0, row1, y, ldy);
}
static void matmul_bf16(const vb_matrix *w, const vb_acts *x, int row0, int row1, float *y, size_t ldy) {
    matmul_floats(VB_BF16, w, x, row0, row1, y, ldy);
}
