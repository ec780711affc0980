/* matmul_body.h - block-quantised matrices times activation vectors, written once for every instruction set.
 * The layout of the weights is repack.h's, so that int32 lane r is row r and a vector holds 4 neighbouring
 * values of each of ROWS rows.
 *
 * One pass over the weights serves all tokens: a group is unpacked into 8 vectors, then a loop over the
 * tokens does the dot instructions and the float step on each (group_body.h). With matrix instructions most
 * tokens of a wide call go by wide_group (amx_body.h); elsewhere that is nothing (narrow_body.h). */

/* SIDE vectors of rows of a group for all tokens, whose records start at `record`. */
INLINE void steps(vb_type type, int planes, const quads *w, const scales *s, const vb_tile *x, size_t record,
                  fvec *acc) {
    const size_t apart = (size_t)x->tokens;
    int t = wide_group(type, planes, w, s, x, record, acc);
    for (; t + STEP <= x->tokens; t += STEP)
        step(type, STEP, planes, w, s, records_at(x, record + (size_t)t, planes), acc + t, apart);
    for (; SIDE > 1 && t + 2 <= x->tokens; t += 2)
        step(type, 2, planes, w, s, records_at(x, record + (size_t)t, planes), acc + t, apart);
    for (; t < x->tokens; t++)
        step(type, 1, planes, w, s, records_at(x, record + (size_t)t, planes), acc + t, apart);
}
typedef void steps_fn(const quads *w, const scales *s, const vb_tile *x, size_t record, fvec *acc);

/* *to = s, field by field: copied whole, so large a structure goes by slow instructions for strings. */
INLINE void keep_scales(vb_type type, scales *to, scales s) {
    to->d = s.d;
    to->m = s.m;
    if (!vb_format_halves(type)) return;
    to->s0 = s.s0;
    to->s1 = s.s1;
    to->n0 = s.n0;
    to->n1 = s.n1;
    to->f0 = s.f0;
    to->f1 = s.f1;
    to->g0 = s.g0;
    to->g1 = s.g1;
}

/* Group g of the block at p for one token: one vector of rows after the other, whose weights stay in
 * registers. */
INLINE void lone_group(vb_type type, int planes, const uint8_t *p, const int g, const scales *block,
                       const vb_tile *x, size_t record, fvec *acc) {
    const records r = records_at(x, record, planes);
    EACH(v, SIDE) {
        const uint8_t *words = p + 4 * ROWS * v;
        const scales s = scales_for(type, planes, group_scales(type, words, block[v], g));
        quads w;
        ivec isum, half;
        unpack(type, words, g, w.u);
        prepare(&w, bits_of(type), 0, 8);
        sums(type, 1, 1, planes, &w, &s, &r, &isum, &half);
        float_step(type, 1, 1, planes, &isum, &half, &s, &r, acc + v, 0);
    }
}

/* Group g of the block at p. Weights of several vectors of rows are more than 16 registers hold: they go by
 * way of memory, and so `apart`, which is steps() of this type, can be a function by itself, once for all
 * groups of a block. */
INLINE void group(vb_type type, int planes, steps_fn *apart, const uint8_t *p, const int g,
                  const scales *block, const vb_tile *x, size_t record, fvec *acc) {
    scales s[SIDE];
    quads w[SIDE];
    EACH(v, SIDE) {
        const uint8_t *words = p + 4 * ROWS * v;
        keep_scales(type, &s[v], scales_for(type, planes, group_scales(type, words, block[v], g)));
        unpack(type, words, g, w[v].u);
        prepare(&w[v], bits_of(type), 0, 8);
    }
    if (SIDE > 1)
        apart(w, s, x, record, acc);
    else
        steps(type, planes, w, s, x, record, acc);
}

/* ---------------------------------------------------------------------- slices of rows */

enum {
    AHEAD = 8192 /* bytes of weights asked for ahead of their use, when several tokens keep the CPU busy
                      between loads */
};

/* `groups` groups of VB_LANES rows at p, the tile's groups from `first` on, into the accumulators:
 * acc[v*tokens + t] for rows v*ROWS .. and token t. next: the slice that will be wanted after this one, or
 * NULL. */
INLINE void slice(vb_type type, int planes, steps_fn *apart, const uint8_t *p, const uint8_t *next,
                  int groups, int first, const vb_tile *x, fvec *acc) {
    const vb_format *l = vb_format_of(type);
    const size_t head = (size_t)(VB_LANES * l->head_bytes), size = head + (size_t)(64 * l->words);
    const size_t tokens = (size_t)x->tokens;
    const uint8_t *const end = p + (size_t)(groups / l->groups) * size;
    for (int g = 0; g < groups; p += size) {
        const size_t record = (size_t)(first + g) * tokens;
        g += l->groups;
        const size_t left = (size_t)(end - p);
        const uint8_t *ahead = left > AHEAD || !next ? p + AHEAD : next + (AHEAD - left);
        for (int v = 0; v < VB_LANES / ROWS; v += SIDE) {
            const uint8_t *words = p + head + 4 * ROWS * v;
            fvec *to = acc + (size_t)v * tokens;
            scales s[SIDE];
            EACH(i, SIDE) {
                s[i] = block_scales(type, p + (v + i) * ROWS * l->head_bytes, words + 4 * ROWS * i);
                if (tokens > 1 || l->together == 1) continue;
                EACH(m, l->groups / l->together) {
                    const int j = m * l->together;
                    one_token(type, planes, words + 4 * ROWS * i, j, &s[i], x, record + (size_t)j, to + i);
                }
            }
            if (tokens == 1 && l->together > 1) continue;
            EACH(j, l->groups) {
                if (v == 0 && next && (tokens > 2 || l->hidden))
                    for (size_t i = 0; i < size / (size_t)l->groups; i += 64)
                        prefetch(ahead + (size_t)j * (size / (size_t)l->groups) + i);
                if (SIDE > 1 && tokens == 1)
                    lone_group(type, planes, words, j, s, x, record + (size_t)j, to);
                else
                    group(type, planes, apart, words, j, s, x, record + (size_t)j * tokens, to);
            }
        }
    }
}

typedef enum move { CLEAR, LOAD, STORE } move;

/* Accumulators of rows [from, to) of the VB_LANES at y, from and to relative to y; others are cleared, and
 * never stored. */
INLINE void move_rows(const vb_tile *x, fvec *acc, float *y, size_t ldy, int from, int to, move what) {
    for (int v = 0; v < VB_LANES / ROWS; v++, from -= ROWS, to -= ROWS, y += ROWS, acc += x->tokens) {
        const int a = from < 0 ? 0 : from, b = to > ROWS ? ROWS : to;
        if (a >= b && what == STORE) continue;
        for (int t = 0; t < x->tokens; t++) {
            if (what == STORE)
                f_store_part(y + (size_t)t * ldy, acc[t], a, b);
            else
                acc[t] = what == CLEAR || a >= b ? f_zero() : f_load_part(y + (size_t)t * ldy, a, b);
        }
    }
}

typedef void slice_fn(const uint8_t *p, const uint8_t *next, int groups, int first, const vb_tile *x,
                      fvec *acc);

/* Weights as mapped are interleaved a few groups at a time, on the way into the kernel. */
enum { ON_THE_FLY = 8 };

/* Groups [g, g + n) of `groups` of a row block: the same share of the next block's bytes is asked for. 16
 * rows are too many streams for a CPU to notice by itself. */
static void prefetch_part(const uint8_t *p, size_t bytes, int g, int n, int groups) {
    const size_t from = bytes * (size_t)g / (size_t)groups, to = bytes * (size_t)(g + n) / (size_t)groups;
    for (size_t i = from; i < to; i += 64) prefetch(p + i);
}

static void slice_mapped(slice_fn *fn, const vb_matrix *w, int row, int g0, const vb_tile *x, fvec *acc) {
    _Alignas(64) uint8_t buffer[ON_THE_FLY * 34 * VB_LANES]; /* Q8_0 is the widest */
    const int per = vb_format_of(w->type)->groups, groups = w->cols / 32;
    const uint8_t *next = w->data + (size_t)(row + VB_LANES) * w->row_bytes;
    const bool more = row + 2 * VB_LANES <= w->rows;
    for (int g = 0; g < x->groups; g += ON_THE_FLY) {
        const int n = x->groups - g < ON_THE_FLY ? x->groups - g : ON_THE_FLY;
        if (more) prefetch_part(next, VB_LANES * w->row_bytes, g0 + g, n, groups);
        pack(w, row, (size_t)((g0 + g) / per), (size_t)(n / per), buffer);
        fn(buffer, NULL, n, g, x, acc);
    }
}

static void matmul(slice_fn *fn, const vb_matrix *w, const vb_acts *x, int row0, int row1, float *y,
                   size_t ldy) {
    const int groups = w->cols / 32;
    const vb_tile_start start = {kind_of(w->type, x->planes), offset_of(w->type),
                                 biased(w->type, x->planes) ? BIAS : 0};
    vb_tile *tile = vb_tile_own();
    fvec acc[VB_TILE_TOKENS * (VB_LANES / ROWS)];
    wide_open(vb_format_halves(w->type), x->rows);
    for (int t0 = 0; t0 < x->rows; t0 += VB_TILE_TOKENS) {
        const int tokens = x->rows - t0 < VB_TILE_TOKENS ? x->rows - t0 : VB_TILE_TOKENS;
        const int most = vb_tile_groups(tokens, x->planes);
        for (int g0 = 0; g0 < groups; g0 += most) {
            vb_tile_fill(tile, x, t0, tokens, g0, groups - g0 < most ? groups - g0 : most, start);
            for (int row = row0 / VB_LANES * VB_LANES; row < row1; row += VB_LANES) {
                float *out = y + (size_t)t0 * ldy + row;
                move_rows(tile, acc, out, ldy, row0 - row, row1 - row, g0 == 0 ? CLEAR : LOAD);
                if (w->packed) {
                    const size_t before = w->row_bytes * (size_t)g0 / (size_t)groups;
                    const uint8_t *p = (const uint8_t *)w->packed + (size_t)row * w->row_bytes;
                    p += before * VB_LANES;
                    fn(p, p + VB_LANES * w->row_bytes, tile->groups, 0, tile, acc);
                } else {
                    slice_mapped(fn, w, row, g0, tile, acc);
                }
                move_rows(tile, acc, out, ldy, row0 - row, row1 - row, STORE);
            }
        }
    }
    wide_close(x->rows);
}

#define KERNEL_OF_PLANES(name, type, planes)                                                                 \
    static __attribute__((noinline)) void steps_##name##_##planes(                                           \
        const quads *w, const scales *s, const vb_tile *x, size_t record, fvec *acc) {                       \
        steps(type, planes, w, s, x, record, acc);                                                           \
    }                                                                                                        \
    static void slice_##name##_##planes(const uint8_t *p, const uint8_t *next, int groups, int first,        \
                                        const vb_tile *x, fvec *acc) {                                       \
        slice(type, planes, SIDE > 1 ? steps_##name##_##planes : NULL, p, next, groups, first, x, acc);      \
    }
#define KERNEL(name, type)                                                                                   \
    KERNEL_OF_PLANES(name, type, 1)                                                                          \
    KERNEL_OF_PLANES(name, type, 2)                                                                          \
    static void matmul_##name(const vb_matrix *w, const vb_acts *x, int row0, int row1, float *y,            \
                              size_t ldy) {                                                                  \
        matmul(x->planes == 2 ? slice_##name##_2 : slice_##name##_1, w, x, row0, row1, y, ldy);              \
    }

KERNEL(q4_0, VB_Q4_0)
KERNEL(q4_1, VB_Q4_1)
KERNEL(q5_0, VB_Q5_0)
KERNEL(q5_1, VB_Q5_1)
KERNEL(q8_0, VB_Q8_0)
KERNEL(q2_k, VB_Q2_K)
KERNEL(q3_k, VB_Q3_K)
KERNEL(q4_k, VB_Q4_K)
KERNEL(q5_k, VB_Q5_K)
KERNEL(q6_k, VB_Q6_K)
KERNEL(iq4_nl, VB_IQ4_NL)
KERNEL(iq4_xs, VB_IQ4_XS)
KERNEL(mxfp4, VB_MXFP4)
