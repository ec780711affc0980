/* attention_body.h - attention, written once for every instruction set (names: vec_*.h; load_upto and exp16:
 * ops_body.h). The formulas are those of ref/kernels.h.
 *
 * Positions are taken in blocks, and the keys (or values) of a block meet all query heads of all rows whose
 * positions lie in the same slots. Where such rows of the cache follow one another and the set has registers
 * for it (DIRECT), they are widened to float32 on their way into the multiplication; elsewhere once per
 * block, into scratch memory that the L1 cache holds. Queries go through in tiles of up to QUERIES.
 *
 * Scores exist in two forms with the same bits, because the contract's 16 lanes may be kept in two ways:
 *   few queries   a lane of a register is a lane of the contract; 16 dots end in 16 trees at once, which
 *                 costs some 30 shuffles for every 16 scores
 *   many queries  the keys of a block are transposed, once for all queries. A lane of a register is then a
 *                 position, each of the contract's 16 lanes a register of its own, and the tree is plain
 *                 additions */

#include "simd/cached_body.h"

enum {
    KEYS_AHEAD = 32,    /* positions, asked for ahead of their use */
    VALUES_BLOCK = 128, /* positions whose values are read directly in one go, slice by slice of dimensions */
};

static int padded(int n) {
    return (n + 15) / 16 * 16;
}
static int later(int a, int b) {
    return a > b ? a : b;
}
static int sooner(int a, int b) {
    return a < b ? a : b;
}

/* Rows from t on whose positions below j1 lie in the same slots; returns the first that does not belong.
 * *from, *to: the positions in [j0, j1) that one of them sees. */
static int rows_together(const vb_attention *a, int t, int j0, int j1, int *from, int *to) {
    int end = t, least = a->rows[t].first, most = 0;
    for (; end < a->n_rows; end++) {
        const vb_attention_row *r = &a->rows[end];
        if (j1 > a->base && r->path != a->rows[t].path) break;
        least = sooner(least, r->first);
        most = later(most, r->n);
    }
    *from = later(j0, least);
    *to = sooner(j1, most);
    return end;
}

/* Rows of the cache, or of what was widened from it, that follow one another. */
typedef struct slab {
    const uint8_t *at;
    size_t stride;
} slab;

INLINE slab slab_of(const float *rows, int ld) {
    return (slab){(const uint8_t *)(const void *)rows, (size_t)ld * sizeof *rows};
}
INLINE const uint8_t *row_of(slab s, int i) {
    return s.at + (size_t)i * s.stride;
}

/* True when positions j..j+n-1 of row t lie in slots that follow one another. */
INLINE bool in_a_row(const vb_attention *a, int t, int j, int n) {
    return !a->rows[t].path || j + n <= a->base;
}
/* True when they are read from there, and not by way of `room`. */
INLINE bool direct(const vb_attention *a, int t, int j, int n) {
    return DIRECT && in_a_row(a, t, j, n);
}

/* Queries, or heads, of the next tile when so many are left: as equal as can be up to 8, or 4, 2 and 1. */
INLINE int tile_of(int left) {
    if (QUERIES == 8) {
        const int tiles = (left + 7) / 8;
        return (left + tiles - 1) / tiles;
    }
    return left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/* do_tile(n) for a tile of n, so that n is a constant there. */
#define WITH_TILE(n, do_tile)                                                                                \
    do {                                                                                                     \
        if (QUERIES == 8 && (n) > 4) {                                                                       \
            if ((n) == 8) {                                                                                  \
                do_tile(8);                                                                                  \
            } else if ((n) == 7) {                                                                           \
                do_tile(7);                                                                                  \
            } else if ((n) == 6) {                                                                           \
                do_tile(6);                                                                                  \
            } else {                                                                                         \
                do_tile(5);                                                                                  \
            }                                                                                                \
        } else if ((n) == 4) {                                                                               \
            do_tile(4);                                                                                      \
        } else if (QUERIES == 8 && (n) == 3) {                                                               \
            do_tile(3);                                                                                      \
        } else if ((n) == 2) {                                                                               \
            do_tile(2);                                                                                      \
        } else {                                                                                             \
            do_tile(1);                                                                                      \
        }                                                                                                    \
    } while (0)

/* The queries of some rows, head by head: query i of the next `count` ones. */
typedef struct queries {
    const vb_attention *a;
    int row, head;
} queries;

static void next_queries(queries *at, int count, const float **q, float **scores) {
    const vb_attention *a = at->a;
    for (int i = 0; i < count; i++) {
        const vb_attention_row *r = &a->rows[at->row];
        q[i] = r->q + (size_t)at->head * (size_t)a->head_dim;
        scores[i] = r->scores + (size_t)at->head * a->ld;
        if (++at->head == a->heads) at->head = 0, at->row++;
    }
}

#include "simd/integer_keys_body.h"

/* ------------------------------------------------------------------- scores, few queries */

/* The queries of rows t..end-1, tile by tile: (vectors of 16 dimensions, queries of the tile, 16), so that a
 * tile is read from front to back by one pointer. */
static void pack_queries(const vb_attention *a, int t, int end, float *out) {
    const int n = a->head_dim;
    queries at = {a, t, 0};
    for (int left = (end - t) * a->heads, count; left > 0; left -= count) {
        const float *q[8];
        float *s[8];
        count = tile_of(left);
        next_queries(&at, count, q, s);
        for (int d = 0; d < n; d += 16)
            for (int i = 0; i < count; i++, out += 16)
                v16_store(out, load_upto(q[i] + d, n - d < 16 ? n - d : 16));
    }
}

/* lane[d mod 16] = fmaf(q_d, k_d, lane[d mod 16]) for `count` of the `tile` queries at q times `keys` keys,
 * into acc[i*apart + k]. */
INLINE void key_lanes(vb_type type, const int count, const int keys, const float *q, const int tile, slab key,
                      int n, const int apart, v16 *acc) {
    const int parts = in_blocks(type) ? 2 : 1; /* a block's scale is read once */
    v16 sum[TREE_TILE], y[TREE_TILE], by[TREE_TILE];
    EACH(i, count * keys) sum[i] = v16_zero();
    int d = 0;
    for (; d + 16 * parts <= n; d += 16 * parts) {
        if (parts == 2) {
            EACH(k, keys) by[k] = block_scale(type, row_of(key, k), d);
        }
        EACH(p, parts) {
            EACH(k, keys) {
                const uint8_t *row = row_of(key, k);
                y[k] = parts == 2 ? v16_mul(by[k], block_part(type, row, d, p)) : cached(type, row, d, 16);
            }
            EACH(i, count) {
                const v16 x = v16_keep(v16_load(q + 16 * i));
                EACH(k, keys) sum[i * keys + k] = v16_fma(x, y[k], sum[i * keys + k]);
            }
            q += 16 * tile;
        }
    }
    if (d < n) { /* lanes without an element stay as they are */
        EACH(k, keys) y[k] = cached(type, row_of(key, k), d, n - d);
        EACH(i, count) {
            const v16 x = v16_load(q + 16 * i);
            EACH(k, keys) {
                const v16 s = sum[i * keys + k];
                sum[i * keys + k] = v16_part(v16_fma(x, y[k], s), s, n - d);
            }
        }
    }
    EACH(i, count) EACH(k, keys) acc[i * apart + k] = sum[i * keys + k];
}

/* Keys whose dots with `count` queries are 16 at most. */
#define KEYS_TOGETHER(count) ((count) > 4 ? 2 : (count) > 2 ? 4 : (count) > 1 ? 8 : 16)

/* A tile of `count` queries and 16 keys: scores[i][0..15]. */
INLINE void tree_scores(vb_type type, const int count, const float *q, float *const *scores, slab key, int n,
                        v16 scale) {
    const int together = KEYS_TOGETHER(count);
    const int side = TREE_TILE == 16 || count == 1 ? count : 2;
    const int most = TREE_TILE == 16 && count == 1 ? 8 : TREE_TILE / side;
    const int keys = most < together ? most : together;
    float dots[16]
              [16]; /* copied from memory below: out of a register that would be work for the multipliers */
    for (int m = 0; m < 16 / together; m++) {
        v16 acc[16];
        EACH(i, 16) acc[i] = v16_zero();
        EACH(i, count / side) {
            EACH(l, together / keys)
            key_lanes(type, side, keys, q + 16 * i * side, count,
                      (slab){row_of(key, m * together + l * keys), key.stride}, n, together,
                      acc + i * side * together + l * keys);
        }
        v16_store(dots[m], v16_mul(v16_trees(acc), scale));
    }
    for (int i = 0; i < count; i++) {
        for (int m = 0; m < 16 / together; m++)
            memcpy(scores[i] + m * together, dots[m] + i * together, (size_t)together * sizeof(float));
    }
}

/* ------------------------------------------------------------------- scores, many queries */

/* The contract's lanes l, l + 8 (as many as `lanes` says) of `count` queries: lane[(p*count + i)*VECTORS + v]
 * is of lane l + 8p, query i and positions 16v..16v+15. key: (n, 16*VECTORS), transposed. */
INLINE void lanes_of(const int count, const int lanes, const float *const *q, const float *key, int n, int l,
                     v16 *lane) {
    v16 acc[4 * VECTORS * LANES];
    EACH(i, lanes * count * VECTORS) acc[i] = v16_zero();
    for (int d = l; d + 8 * (lanes - 1) < n; d += 16) {
        EACH(p, lanes) {
            const float *const row = key + (d + 8 * p) * 16 * VECTORS;
            v16 y[VECTORS];
            EACH(v, VECTORS) y[v] = v16_load(row + 16 * v);
            EACH(i, count) {
                const v16 x = v16_set(q[i][d + 8 * p]);
                EACH(v, VECTORS) {
                    const int at = (p * count + i) * VECTORS + v;
                    acc[at] = v16_fma(x, y[v], acc[at]);
                }
            }
        }
    }
    EACH(i, lanes * count * VECTORS) lane[i] = acc[i];
}

/* Lanes l and l + 8, added. The last dimensions may be of lane l alone. */
INLINE void lane_pair(const int count, const float *const *q, const float *key, int n, int l, v16 *sum) {
    const int apart = count * VECTORS;
    v16 lane[2 * 4 * VECTORS];
    if (LANES == 2 && n % 16 == 0) {
        lanes_of(count, LANES, q, key, n, l, lane);
    } else {
        lanes_of(count, 1, q, key, n, l, lane);
        lanes_of(count, 1, q, key, n, l + 8, lane + apart);
    }
    EACH(i, apart) sum[i] = v16_add(lane[i], lane[apart + i]);
}

/* The tree over the 16 lanes, from its leaves: a sum that is complete meets its neighbour, as a carry does
 * when one counts in binary. */
INLINE void lane_scores(const int count, const float *const *q, float *const *scores, int j, const float *key,
                        int n, v16 scale) {
    static const int order[8] = {0, 4, 2, 6, 1, 5, 3, 7};
    v16 kept[3][4 * VECTORS], sum[4 * VECTORS];
    for (int step = 0; step < 8; step++) {
        lane_pair(count, q, key, n, order[step], sum);
        int level = 0;
        for (; step >> level & 1; level++) {
            EACH(i, count * VECTORS) sum[i] = v16_add(kept[level][i], sum[i]);
        }
        if (level < 3) {
            EACH(i, count * VECTORS) kept[level][i] = sum[i];
        }
    }
    EACH(i, count) {
        EACH(v, VECTORS) v16_store(scores[i] + j + 16 * v, v16_mul(sum[i * VECTORS + v], scale));
    }
}

/* 16 keys that follow one another: dimensions [d, d + 16), or as many as there are, as (16, 16*VECTORS). */
INLINE void transpose_whole(vb_type type, slab key, int d, int n, float *out) {
    v16 x[16];
    EACH(k, 16) x[k] = cached(type, row_of(key, k), d, n);
    v16_transpose(x);
    if (n >= 16)
        EACH(i, 16) v16_store(out + i * 16 * VECTORS, x[i]);
    else
        for (int i = 0; i < n; i++) v16_store(out + i * 16 * VECTORS, x[i]);
}

/* Keys of positions from..to-1, a part of 16*VECTORS from j on, as (head_dim, 16*VECTORS); +0 elsewhere. */
INLINE void transpose_keys(vb_type type, const vb_attention *a, int t, int j, int from, int to, float *out) {
    const int n = a->head_dim;
    const slab all = {a->k, a->k_stride};
    for (int v = 0; v < VECTORS; v++, j += 16, out += 16) {
        if (j >= from && j + 16 <= to && in_a_row(a, t, j, 16)) {
            const slab key = {row_of(all, j), a->k_stride};
            int d = 0;
            for (size_t b = 0; b < 16 * a->k_stride; b += 64) prefetch(row_of(key, KEYS_AHEAD) + b);
            for (; d + 16 <= n; d += 16) transpose_whole(type, key, d, 16, out + d * 16 * VECTORS);
            if (d < n) transpose_whole(type, key, d, n - d, out + d * 16 * VECTORS);
            continue;
        }
        for (int d = 0; d < n; d += 16) {
            v16 x[16];
            for (int k = 0; k < 16; k++) {
                const bool seen = j + k >= from && j + k < to;
                x[k] = seen ? cached(type, row_of(all, (int)vb_attention_slot(a, t, j + k)), d, n - d)
                            : v16_zero();
            }
            v16_transpose(x);
            for (int i = 0; i < 16 && d + i < n; i++) v16_store(out + (d + i) * 16 * VECTORS, x[i]);
        }
    }
}

/* ------------------------------------------------------------------- scores */

/* All queries of rows t..end-1, packed, and the 16 keys of positions j..j+15. */
INLINE void sixteen_scores(vb_type type, const vb_attention *a, int t, int end, int j, const float *packed,
                           slab key) {
    const int n = a->head_dim;
    const v16 scale = v16_set(a->scale);
    queries at = {a, t, 0};
    for (int left = (end - t) * a->heads, count; left > 0; left -= count) {
        const float *q[8];
        float *s[8];
        count = tile_of(left);
        next_queries(&at, count, q, s);
        for (int i = 0; i < count; i++) s[i] += j;
#define TILE(c) tree_scores(type, c, packed, s, key, n, scale)
        WITH_TILE(count, TILE);
#undef TILE
        packed += count * padded(n);
    }
}
static void sixteen_f32(const vb_attention *a, int t, int end, int j, const float *packed, slab key) {
    sixteen_scores(VB_F32, a, t, end, j, packed, key);
}
static void sixteen_f16(const vb_attention *a, int t, int end, int j, const float *packed, slab key) {
    sixteen_scores(VB_F16, a, t, end, j, packed, key);
}
static void sixteen_bf16(const vb_attention *a, int t, int end, int j, const float *packed, slab key) {
    sixteen_scores(VB_BF16, a, t, end, j, packed, key);
}
static void sixteen_q8_0(const vb_attention *a, int t, int end, int j, const float *packed, slab key) {
    sixteen_scores(VB_Q8_0, a, t, end, j, packed, key);
}
static void sixteen_q4_0(const vb_attention *a, int t, int end, int j, const float *packed, slab key) {
    sixteen_scores(VB_Q4_0, a, t, end, j, packed, key);
}
/* Where they lie. */
static void sixteen_cached(const vb_attention *a, int t, int end, int j, const float *packed, slab key) {
    switch (a->k_type) {
    case VB_F32: sixteen_f32(a, t, end, j, packed, key); break;
    case VB_BF16: sixteen_bf16(a, t, end, j, packed, key); break;
    case VB_Q8_0: sixteen_q8_0(a, t, end, j, packed, key); break;
    case VB_Q4_0: sixteen_q4_0(a, t, end, j, packed, key); break;
    default: sixteen_f16(a, t, end, j, packed, key); break;
    }
}

/* Rows t..end-1, which lie in the same slots, at positions from..to-1 of the block from j on. */
static void few_scores(const vb_attention *a, int t, int end, int j, int from, int to, const float *packed,
                       float *room) {
    const int n = a->head_dim, ld = padded(n);
    const slab all = {a->k, a->k_stride};
    for (int half = j; half < to; half += 16) {
        if (half + 16 <= from) continue;
        if (half >= from && half + 16 <= to && direct(a, t, half, 16)) {
            const slab key = {row_of(all, half), a->k_stride};
            for (size_t b = 0; b < 16 * a->k_stride; b += 64) prefetch(row_of(key, KEYS_AHEAD) + b);
            sixteen_cached(a, t, end, half, packed, key);
            continue;
        }
        for (int k = later(half, from); k < sooner(half + 16, to); k++)
            widen(a->k_type, (const uint8_t *)a->k + vb_attention_slot(a, t, k) * a->k_stride, a->k_stride, 0,
                  n, room + (k - half) * ld);
        sixteen_f32(a, t, end, half, packed, slab_of(room, ld));
    }
}

INLINE void many_scores(vb_type type, const vb_attention *a, int t, int end, int j, int from, int to,
                        float *room) {
    const int n = a->head_dim;
    const v16 scale = v16_set(a->scale);
    for (int part = j; part < to; part += 16 * VECTORS) {
        if (part + 16 * VECTORS <= from) continue;
        transpose_keys(type, a, t, part, from, to, room);
        queries at = {a, t, 0};
        for (int left = (end - t) * a->heads, count; left > 0; left -= count) {
            const float *q[4];
            float *s[4];
            count = left >= 4 ? 4 : left >= 2 ? 2 : 1;
            next_queries(&at, count, q, s);
            if (count == 4)
                lane_scores(4, q, s, part, room, n, scale);
            else if (count == 2)
                lane_scores(2, q, s, part, room, n, scale);
            else
                lane_scores(1, q, s, part, room, n, scale);
        }
    }
}

static void attend_scores(const vb_attention *a, int j0, int j1, float *room) {
    if (a->k_type == VB_Q8I) {
        integer_scores(a, j0, j1, room);
        return;
    }
    float *const packed = room + VB_ATTEND_BLOCK * padded(a->head_dim);
    int packed_t = -1, packed_end = -1; /* whose queries are there */
    for (int j = j0; j < j1; j += VB_ATTEND_BLOCK) {
        for (int t = 0, end; t < a->n_rows; t = end) {
            int from, to;
            end = rows_together(a, t, j, sooner(j + VB_ATTEND_BLOCK, j1), &from, &to);
            if (from >= to) continue;
            if ((end - t) * a->heads >= MANY_QUERIES && a->head_dim < LONG_HEAD) {
                if (a->k_type == VB_F32)
                    many_scores(VB_F32, a, t, end, j, from, to, room);
                else if (a->k_type == VB_F16)
                    many_scores(VB_F16, a, t, end, j, from, to, room);
                else if (a->k_type == VB_Q8_0)
                    many_scores(VB_Q8_0, a, t, end, j, from, to, room);
                else
                    many_scores(a->k_type, a, t, end, j, from, to, room); /* looked up row by row */
                continue;
            }
            if (packed_t != t || packed_end != end) pack_queries(a, t, end, packed);
            packed_t = t, packed_end = end;
            few_scores(a, t, end, j, from, to, packed, room);
        }
    }
}

/* ------------------------------------------------------------------- softmax */

/* The scores that share 16 lanes with the first one but lie before it, and those behind the last, become
 * -infinity: they add +0 to sums that are never -0. */
static void attend_softmax(const vb_attention *a, int t, int h) {
    const vb_attention_row *row = &a->rows[t];
    float *s = row->scores + (size_t)h * a->ld;
    const int begin = row->first / 16 * 16, end = padded(row->n);
    for (int j = begin; j < row->first; j++) s[j] = -INFINITY;
    for (int j = row->n; j < end; j++) s[j] = -INFINITY;
    v16 most = v16_set(-INFINITY), lane = v16_zero();
    for (int j = begin; j < end; j += 16) most = v16_max(most, v16_load(s + j));
    float max = v16_largest(most);
    if (a->sinks && a->sinks[h] > max) max = a->sinks[h];
    for (int j = begin; j < end; j += 16) {
        const v16 e = exp16(v16_sub(v16_load(s + j), v16_set(max)));
        v16_store(s + j, e);
        lane = v16_add(lane, e);
    }
    row->sums[h] = v16_tree(lane);
    if (!a->sinks) return;
    float sink[16];
    v16_store(sink, exp16(v16_set(a->sinks[h] - max)));
    row->sums[h] = row->sums[h] + sink[0];
}

/* ------------------------------------------------------------------- values */

/* out[i][d] = fmaf(e_j, v_j[d], out[i][d]) for `count` heads, `vectors` times 16 dimensions, the last vector
 * with `last` of them, and n positions in turn. e: (count, ld_e). value: dimensions from `from` on. */
INLINE void value_tile(vb_type type, const int count, const int vectors, const float *e, size_t ld_e,
                       slab value, int n, int from, float *out, size_t ld_out, int last) {
    v16 acc[VALUE_TILE];
    EACH(i, count) {
        EACH(v, vectors) {
            float *at = out + (size_t)i * ld_out + 16 * v;
            acc[i * vectors + v] = v == vectors - 1 ? load_upto(at, last) : v16_load(at);
        }
    }
    for (int j = 0; j < n; j++, value.at += value.stride) {
        v16 x[VALUE_TILE];
        cached_vectors(type, vectors, value.at, from, last, x);
        EACH(i, count) {
            const v16 y = v16_set(e[(size_t)i * ld_e + (size_t)j]);
            EACH(v, vectors) acc[i * vectors + v] = v16_fma(y, x[v], acc[i * vectors + v]);
        }
        if (DIRECT) prefetch(row_of(value, VALUES_BLOCK) + place_of(type, from));
    }
    EACH(i, count) {
        EACH(v, vectors) {
            float *at = out + (size_t)i * ld_out + 16 * v;
            if (v == vectors - 1)
                store_upto(at, acc[i * vectors + v], last);
            else
                v16_store(at, acc[i * vectors + v]);
        }
    }
}

/* Values of positions j..j+n-1 from one dimension on, and where they are. */
typedef struct values {
    slab rows;
    int j, n;
    int d, from; /* dimension d is number `from` of a row */
} values;

/* Vectors of dimensions that go with `count` heads, when so many dimensions are left. */
INLINE int vectors_for(int count, int left) {
    const int most = VALUE_TILE / count;
    return most >= 8 && left >= 128 ? 8 : most >= 4 && left >= 64 ? 4 : most >= 2 && left >= 32 ? 2 : 1;
}

/* `count` heads of row r, from h on, and `vectors` times 16 dimensions, the last vector with `last`. */
INLINE void value_heads(vb_type type, const int count, const vb_attention *a, const vb_attention_row *r,
                        int h, const values *v, int vectors, int last) {
    const size_t dims = (size_t)a->head_dim;
    const float *e = r->scores + (size_t)h * a->ld + v->j;
    float *out = r->out + (size_t)h * dims + v->d;
#define TILE(m) value_tile(type, count, m, e, a->ld, v->rows, v->n, v->from, out, dims, last)
    if (VALUE_TILE / count >= 8 && vectors == 8)
        TILE(8);
    else if (VALUE_TILE / count >= 4 && vectors == 4)
        TILE(4);
    else if (VALUE_TILE / count >= 2 && vectors == 2)
        TILE(2);
    else
        TILE(1);
#undef TILE
}

/* Dimensions [d0, d1) of rows t..end-1, whose positions v->j.. stand in v->rows from number `from` on: slice
 * by slice of the dimensions, so that the L1 cache holds what the rows share. */
INLINE void value_slices(vb_type type, const vb_attention *a, int t, int end, int h0, int h1, int d0, int d1,
                         values all) {
    const int to = all.j + all.n, widest = vectors_for(tile_of(h1 - h0), d1 - d0);
    for (int d = d0, vectors; d < d1; d += 16 * vectors) {
        const bool cut = in_blocks(type) && (all.from + d - d0) % 32 != 0; /* in the middle of a block */
        vectors = cut ? 1 : sooner(widest, vectors_for(1, d1 - d));
        const int last = sooner(16, d1 - d - 16 * (vectors - 1));
        for (int row = t; row < end; row++) {
            const vb_attention_row *r = &a->rows[row];
            const int first = later(all.j, r->first), n = sooner(to, r->n) - first;
            if (n <= 0) continue;
            const values v = {.rows = {row_of(all.rows, first - all.j), all.rows.stride},
                              .j = first,
                              .n = n,
                              .d = d,
                              .from = all.from + d - d0};
            for (int h = h0, count; h < h1; h += count) {
                count = tile_of(h1 - h);
#define TILE(c) value_heads(type, c, a, r, h, &v, vectors, last)
                WITH_TILE(count, TILE);
#undef TILE
            }
        }
    }
}
static void slices_f32(const vb_attention *a, int t, int end, int h0, int h1, int d0, int d1, values all) {
    value_slices(VB_F32, a, t, end, h0, h1, d0, d1, all);
}
static void slices_f16(const vb_attention *a, int t, int end, int h0, int h1, int d0, int d1, values all) {
    value_slices(VB_F16, a, t, end, h0, h1, d0, d1, all);
}
static void slices_bf16(const vb_attention *a, int t, int end, int h0, int h1, int d0, int d1, values all) {
    value_slices(VB_BF16, a, t, end, h0, h1, d0, d1, all);
}
static void slices_q8_0(const vb_attention *a, int t, int end, int h0, int h1, int d0, int d1, values all) {
    value_slices(VB_Q8_0, a, t, end, h0, h1, d0, d1, all);
}
static void slices_q4_0(const vb_attention *a, int t, int end, int h0, int h1, int d0, int d1, values all) {
    value_slices(VB_Q4_0, a, t, end, h0, h1, d0, d1, all);
}
/* Where they lie. */
static void slices_cached(const vb_attention *a, int t, int end, int h0, int h1, int d0, int d1, values all) {
    switch (a->v_type) {
    case VB_F32: slices_f32(a, t, end, h0, h1, d0, d1, all); break;
    case VB_BF16: slices_bf16(a, t, end, h0, h1, d0, d1, all); break;
    case VB_Q8_0: slices_q8_0(a, t, end, h0, h1, d0, d1, all); break;
    case VB_Q4_0: slices_q4_0(a, t, end, h0, h1, d0, d1, all); break;
    default: slices_f16(a, t, end, h0, h1, d0, d1, all); break;
    }
}

/* Rows t..end-1, which lie in the same slots, at positions from..to-1, at most VB_ATTEND_BLOCK unless they
 * are read directly. */
static void block_values(const vb_attention *a, int t, int end, int from, int to, int h0, int h1, int d0,
                         int d1, float *room) {
    const int ld = padded(d1 - d0);
    const slab cache = {a->v, a->v_stride};
    values all = {.j = from, .n = to - from};
    if (direct(a, t, from, to - from)) {
        all.rows = (slab){row_of(cache, from), a->v_stride};
        all.from = d0;
        slices_cached(a, t, end, h0, h1, d0, d1, all);
        return;
    }
    for (int j = from; j < to; j++)
        widen(a->v_type, (const uint8_t *)a->v + vb_attention_slot(a, t, j) * a->v_stride, a->v_stride, d0,
              d1, room + (j - from) * ld);
    all.rows = slab_of(room, ld);
    slices_f32(a, t, end, h0, h1, d0, d1, all);
}

/* Positions of the block from j on. */
static int values_block(const vb_attention *a, int j) {
    bool all = true;
    for (int t = 0; t < a->n_rows; t++) all &= direct(a, t, j, VALUES_BLOCK);
    return all ? VALUES_BLOCK : VB_ATTEND_BLOCK;
}

static void sum_values(const vb_attention *a, int h0, int h1, int d0, int d1, float *room) {
    int first = a->rows[0].first, n = 0;
    for (int t = 0; t < a->n_rows; t++) {
        first = sooner(first, a->rows[t].first);
        n = later(n, a->rows[t].n);
        for (int h = h0; h < h1; h++) {
            float *out = a->rows[t].out + (size_t)h * (size_t)a->head_dim;
            for (int d = d0; d < d1; d++) out[d] = 0.0f;
        }
    }
    for (int j = first / VB_ATTEND_BLOCK * VB_ATTEND_BLOCK, next; j < n; j = next) {
        next = j + values_block(a, j);
        for (int t = 0, end; t < a->n_rows; t = end) {
            int from, to;
            end = rows_together(a, t, j, next, &from, &to);
            if (from < to) block_values(a, t, end, from, to, h0, h1, d0, d1, room);
        }
    }
}

static void attend_values(const vb_attention *a, int h0, int h1, int d0, int d1, float *room) {
    sum_values(a, h0, h1, d0, d1, room);
    for (int t = 0; t < a->n_rows; t++) {
        for (int h = h0; h < h1; h++) {
            float *out = a->rows[t].out + (size_t)h * (size_t)a->head_dim;
            const v16 sum = v16_set(a->rows[t].sums[h]);
            for (int d = d0; d < d1; d += 16)
                store_upto(out + d, v16_div(load_upto(out + d, d1 - d), sum), d1 - d);
        }
    }
}
