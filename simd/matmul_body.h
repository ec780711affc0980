/* matmul_body.h - block-quantised matrices times activation vectors, written once for every instruction set:
 * the names in here (ivec, dot, ...) are those of vec_*.h and weights_body.h. The formula is vb_matmul_fn's
 * (ref/kernels.h); the layout of the weights is repack.h's, so that int32 lane r is row r and a vector holds
 * 4 neighbouring values of each of ROWS rows.
 *
 * One pass over the weights serves all tokens: a group is unpacked into 8 vectors, then a loop over the
 * tokens does the dot instructions and the float step on each. Weights are unsigned there (u = q + offset),
 * and isum starts from -offset*xsum instead of 0: sum (u - offset)*x = sum u*x - offset*sum x, exactly. */

/* ---------------------------------------------------------------------- one group, some tokens */

INLINE vb_tile_kind kind_of(vb_type type) {
    if (type == VB_Q4_1 || type == VB_Q5_1 || type == VB_Q4_K || type == VB_Q5_K) return VB_TILE_FLOAT;
    return type == VB_Q6_K || type == VB_Q3_K || type == VB_Q2_K ? VB_TILE_HALVES : VB_TILE_OFFSET;
}

/* acc[i] += the whole integers' dot product over quads [k0, k1); with two planes that is 128*hi + lo. */
INLINE void dots(const int n, int planes, ivec *acc, const quads *w, int bits, const int32_t *x, int k0,
                 int k1) {
    const size_t stride = 8 * (size_t)planes;
    if (planes == 1) {
        dot(n, acc, w, bits, x, stride, k0, k1);
        return;
    }
    ivec both[STEP];
    EACH(i, n) both[i] = i_zero();
    dot(n, both, w, bits, x, stride, k0, k1);
    EACH(i, n) both[i] = i_left(both[i], 7);
    dot(n, both, w, bits, x + 8, stride, k0, k1);
    EACH(i, n) acc[i] = i_add(acc[i], both[i]);
}

INLINE ivec mul_add(ivec a, ivec b, ivec c, ivec d) {
    return i_add(i_mul(a, b), i_mul(c, d));
}

/* What an activation's record starts the sums of a group from, and what its float step needs. */
typedef struct records {
    const int32_t *q; /* tokens x planes x 8 words */
    const int32_t *a, *b;
    const float *d;
} records;

INLINE records records_at(const vb_tile *x, size_t record, int planes) {
    return (records){x->q + 8 * record * (size_t)planes, x->a + record, x->b + record, x->d + record};
}

/* Sums of the formats without a minimum start from a record's a (and b: second half). */
INLINE bool starts_from_record(vb_type type) {
    const vb_tile_kind kind = kind_of(type);
    return kind == VB_TILE_OFFSET ? offset_of(type) != 0 : kind == VB_TILE_HALVES && type != VB_Q2_K;
}

/* The float step of the contract for n tokens, from the sums of the group, or of its halves:
 * acc[i] = fmaf(d_x, fmaf(d_w, isum, -(m_w*msum)), acc[i]). */
INLINE void float_step(vb_type type, const int n, ivec *isum, const ivec *half, const scales *s,
                       const records *r, fvec *acc) {
    const vb_tile_kind kind = kind_of(type);
    fvec inner[STEP];
    if (kind == VB_TILE_HALVES) EACH(i, n) isum[i] = mul_add(s->s0, isum[i], s->s1, half[i]);
    EACH(i, n) {
        const fvec sum = f_of_int(isum[i]);
        if (kind == VB_TILE_FLOAT) {
            inner[i] = f_fms(s->d, sum, f_mul(s->m, f_of_bits(i_set(r->a[i]))));
        } else if (type == VB_Q2_K) {
            const ivec msum = mul_add(s->n0, i_set(r->a[i]), s->n1, i_set(r->b[i]));
            inner[i] = f_fms(s->d, sum, f_mul(s->m, f_of_int(msum)));
        } else {
            inner[i] = f_mul(s->d, sum);
        }
    }
    EACH(i, n) acc[i] = f_fma(f_set(r->d[i]), inner[i], acc[i]);
}

/* What the sums of a group, and of its second half, start from. */
INLINE void start_sums(vb_type type, const int n, const records *r, ivec *isum, ivec *half) {
    const bool start = starts_from_record(type);
    EACH(i, n) isum[i] = start ? i_set(r->a[i]) : i_zero();
    if (kind_of(type) == VB_TILE_HALVES) EACH(i, n) half[i] = start ? i_set(r->b[i]) : i_zero();
}

/* Dots and the float step for n tokens. */
INLINE void step(vb_type type, const int n, int planes, const quads *w, const scales *s, records r,
                 fvec *acc) {
    const bool halves = kind_of(type) == VB_TILE_HALVES;
    const int bits = bits_of(type);
    ivec isum[STEP], half[STEP];
    start_sums(type, n, &r, isum, half);
    dots(n, planes, isum, w, bits, r.q, 0, halves ? 4 : 8);
    if (halves) dots(n, planes, half, w, bits, r.q, 4, 8);
    float_step(type, n, isum, half, s, &r, acc);
}

/* One token, and groups [g, g + groups_together) of the block at p, whose records start at `record`. Memory
 * decides here: every word is loaded once and in order, which is how the CPU reads ahead best, and the bits
 * of several groups are taken out of it. */
INLINE void one_token(vb_type type, int planes, const uint8_t *p, const int g, const scales *block,
                      const vb_tile *x, size_t record, fvec *acc) {
    const int n = groups_together(type);
    const bool halves = kind_of(type) == VB_TILE_HALVES;
    ivec isum[4], half[4];
    records r[4];
    EACH(j, n) {
        r[j] = records_at(x, record + (size_t)j, planes);
        start_sums(type, 1, &r[j], &isum[j], &half[j]);
    }
    EACH(i, 8 / QUADS) {
        const int k0 = QUADS * i, k1 = k0 + QUADS;
        EACH(j, n) {
            quads w;
            EACH(k, QUADS) w.u[k0 + k] = quad(type, p, g + j, k0 + k);
            prepare(&w, bits_of(type), k0, k1);
            dots(1, planes, halves && k0 >= 4 ? &half[j] : &isum[j], &w, bits_of(type), r[j].q, k0, k1);
        }
    }
    EACH(j, n) {
        const scales s = group_scales(type, p, *block, g + j);
        float_step(type, 1, &isum[j], &half[j], &s, &r[j], acc);
    }
}

#ifdef VB_WIDE
#include "simd/amx_body.h"
#endif

/* Group g of the block at p for all tokens, whose records start at `record`. */
INLINE void group(vb_type type, int planes, const uint8_t *p, const int g, const scales *block,
                  const vb_tile *x, size_t record, fvec *acc) {
    const scales s = group_scales(type, p, *block, g);
    quads w;
    unpack(type, p, g, w.u);
    prepare(&w, bits_of(type), 0, 8);
    int t = 0;
#ifdef VB_WIDE /* amx_body.h: most of the tokens of a wide call */
    t = wide_group(type, planes, &w, &s, x, record, acc);
#endif
    for (; t + STEP <= x->tokens; t += STEP)
        step(type, STEP, planes, &w, &s, records_at(x, record + (size_t)t, planes), acc + t);
    for (; t < x->tokens; t++)
        step(type, 1, planes, &w, &s, records_at(x, record + (size_t)t, planes), acc + t);
}

/* ---------------------------------------------------------------------- slices of rows */

/* Formats with planes of bits apart from each other: group by group, the CPU does not see by itself that
 * memory is read in order. */
INLINE bool hidden_order(vb_type type) {
    return type == VB_Q3_K || type == VB_Q5_K || type == VB_Q6_K;
}

enum {
    AHEAD = 8192 /* bytes of weights asked for ahead of their use, when several tokens keep the CPU busy
                      between loads */
};

/* `groups` groups of VB_LANES rows at p, the tile's groups from `first` on, into the accumulators:
 * acc[v*tokens + t] for rows v*ROWS .. and token t. next: the slice that will be wanted after this one, or
 * NULL. */
INLINE void slice(vb_type type, int planes, const uint8_t *p, const uint8_t *next, int groups, int first,
                  const vb_tile *x, fvec *acc) {
    const vb_interleave l = vb_interleave_of(type);
    const size_t head = (size_t)(VB_LANES * l.head_bytes), size = head + (size_t)(64 * l.words);
    const size_t tokens = (size_t)x->tokens;
    const uint8_t *const end = p + (size_t)(groups / l.groups) * size;
    for (int g = 0; g < groups; p += size) {
        const size_t record = (size_t)(first + g) * tokens;
        g += l.groups;
        const size_t left = (size_t)(end - p);
        const uint8_t *ahead = left > AHEAD || !next ? p + AHEAD : next + (AHEAD - left);
        for (int v = 0; v < VB_LANES / ROWS; v++) {
            const uint8_t *words = p + head + 4 * ROWS * v;
            fvec *to = acc + (size_t)v * tokens;
            const scales s = block_scales(type, p + v * ROWS * l.head_bytes, words);
            if (tokens == 1 && groups_together(type) > 1) {
                EACH(i, l.groups / groups_together(type)) {
                    const int j = i * groups_together(type);
                    one_token(type, planes, words, j, &s, x, record + (size_t)j, to);
                }
                continue;
            }
            EACH(j, l.groups) {
                if (v == 0 && next && (tokens > 2 || hidden_order(type)))
                    for (size_t i = 0; i < size / (size_t)l.groups; i += 64)
                        prefetch(ahead + (size_t)j * (size / (size_t)l.groups) + i);
                group(type, planes, words, j, &s, x, record + (size_t)j * tokens, to);
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
    const int per = vb_interleave_of(w->type).groups, groups = w->cols / 32;
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
    vb_tile *tile = vb_tile_own();
    fvec acc[VB_TILE_TOKENS * (VB_LANES / ROWS)];
#ifdef VB_WIDE
    wide_open(kind_of(w->type) == VB_TILE_HALVES, x->rows);
#endif
    for (int t0 = 0; t0 < x->rows; t0 += VB_TILE_TOKENS) {
        const int tokens = x->rows - t0 < VB_TILE_TOKENS ? x->rows - t0 : VB_TILE_TOKENS;
        const int most = vb_tile_groups(tokens, x->planes);
        for (int g0 = 0; g0 < groups; g0 += most) {
            vb_tile_fill(tile, x, t0, tokens, g0, groups - g0 < most ? groups - g0 : most, kind_of(w->type),
                         offset_of(w->type));
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
#ifdef VB_WIDE
    wide_close(x->rows);
#endif
}

#define KERNEL(name, type)                                                                                   \
    static void slice_##name##_1(const uint8_t *p, const uint8_t *next, int groups, int first,               \
                                 const vb_tile *x, fvec *acc) {                                              \
        slice(type, 1, p, next, groups, first, x, acc);                                                      \
    }                                                                                                        \
    static void slice_##name##_2(const uint8_t *p, const uint8_t *next, int groups, int first,               \
                                 const vb_tile *x, fvec *acc) {                                              \
        slice(type, 2, p, next, groups, first, x, acc);                                                      \
    }                                                                                                        \
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
