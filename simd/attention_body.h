/* attention_body.h - attention, written once for every instruction set (names: vec_*.h; load_upto and exp16:
 * ops_body.h). The formulas are those of ref/kernels.h.
 *
 * Positions are taken in blocks of 32. The keys (or values) of a block are read from the cache and widened to
 * float32 once, into scratch memory that the L1 cache holds, and then meet all query heads of all rows whose
 * positions lie in the same slots. Queries go through in tiles of 4, 2 or 1.
 *
 * Scores exist in two forms with the same bits, because the contract's 16 lanes may be kept in two ways:
 *   few queries   a lane of a register is a lane of the contract; 16 dots end in 16 trees at once, which
 *                 costs some 30 shuffles for every 16 scores
 *   many queries  the keys of a block are transposed, once for all queries. A lane of a register is then a
 *                 position, each of the contract's 16 lanes a register of its own, and the tree is plain
 *                 additions */

enum { MANY_QUERIES = 16 }; /* from here on transposing costs less than the trees' shuffles */

/* ------------------------------------------------------------------- from the cache to registers */

/* 16 values of a row in the cache from element i on; n < 16 of them if the row ends, the rest +0. */
INLINE v16 cached(vb_type type, const uint8_t *row, int i, int n) {
    if (type == VB_F32) return load_upto((const float *)(const void *)row + i, n);
    const uint16_t *h = (const uint16_t *)(const void *)row + i;
    return n >= 16 ? v16_load_half(h) : v16_load_half_part(h, n);
}

/* Dimensions [d0, d1) of a row to `out`, whose last vector of 16 is filled up. Asks for the row that comes a
 * block later, if it lies where most do. */
INLINE void widen(vb_type type, const uint8_t *row, size_t stride, int d0, int d1, float *out) {
    const size_t size = type == VB_F32 ? 4 : 2, later = VB_ATTEND_BLOCK * stride;
    for (size_t at = (size_t)d0 * size; at < (size_t)d1 * size; at += 64) prefetch(row + later + at);
    int d = d0;
    for (; d + 64 <= d1; d += 64) {
        v16 x[4];
        EACH(i, 4) x[i] = cached(type, row, d + 16 * i, 16);
        EACH(i, 4) v16_store(out + (d - d0) + 16 * i, x[i]);
    }
    for (; d < d1; d += 16) v16_store(out + (d - d0), cached(type, row, d, d1 - d));
}

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

/* ------------------------------------------------------------------- scores, few queries */

/* lane[d mod 16] = fmaf(q_d, k_d, lane[d mod 16]) for `count` queries times `keys` keys, into acc[i*apart +
 * k]. keys: (., padded(n)). */
INLINE void key_lanes(const int count, const int keys, const float *const *q, const float *key, int n,
                      const int apart, v16 *acc) {
    const int ld = padded(n);
    v16 sum[TREE_TILE];
    EACH(i, count * keys) sum[i] = v16_zero();
    int d = 0;
    for (; d + 16 <= n; d += 16) {
        v16 x[TREE_TILE];
        EACH(i, count) x[i] = v16_load(q[i] + d);
        EACH(k, keys) {
            const v16 y = v16_load(key + k * ld + d);
            EACH(i, count) sum[i * keys + k] = v16_fma(x[i], y, sum[i * keys + k]);
        }
    }
    if (d < n) { /* lanes without an element stay as they are */
        EACH(i, count) {
            const v16 x = v16_load_part(q[i] + d, n - d);
            EACH(k, keys) {
                const v16 s = sum[i * keys + k];
                sum[i * keys + k] = v16_part(v16_fma(x, v16_load(key + k * ld + d), s), s, n - d);
            }
        }
    }
    EACH(i, count) EACH(k, keys) acc[i * apart + k] = sum[i * keys + k];
}

/* `count` (4, 2 or 1) queries and 16 keys: scores[i][0..15]. */
INLINE void tree_scores(const int count, const float *const *q, float *const *scores, const float *key, int n,
                        v16 scale) {
    const int together = 16 / count; /* keys whose dots with all queries make 16 */
    const int side = count == 1 ? 1 : count == 2 || TREE_TILE < 16 ? 2 : 4;
    const int keys = TREE_TILE / side < together ? TREE_TILE / side : together;
    for (int k = 0; k < 16; k += together) {
        v16 acc[16];
        EACH(i, count / side) {
            EACH(l, together / keys)
            key_lanes(side, keys, q + i * side, key + (k + l * keys) * padded(n), n, together,
                      acc + i * side * together + l * keys);
        }
        float dots[16];
        v16_store(dots, v16_mul(v16_trees(acc), scale));
        EACH(i, count) memcpy(scores[i] + k, dots + i * together, (size_t)together * sizeof *dots);
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

/* Keys of positions from..to-1, a part of 16*VECTORS from j on, as (head_dim, 16*VECTORS); +0 elsewhere. */
INLINE void transpose_keys(vb_type type, const vb_attention *a, int t, int j, int from, int to, float *out) {
    const int n = a->head_dim;
    for (int v = 0; v < VECTORS; v++) {
        const uint8_t *row[16];
        for (int k = 0; k < 16; k++) {
            const int at = j + 16 * v + k;
            row[k] = NULL;
            if (at < from || at >= to) continue;
            row[k] = (const uint8_t *)a->k + vb_attention_slot(a, t, at) * a->k_stride;
            for (size_t b = 0; b < a->k_stride; b += 64) prefetch(row[k] + VB_ATTEND_BLOCK * a->k_stride + b);
        }
        for (int d = 0; d < n; d += 16) {
            v16 x[16];
            for (int k = 0; k < 16; k++) x[k] = row[k] ? cached(type, row[k], d, n - d) : v16_zero();
            v16_transpose(x);
            for (int i = 0; i < 16 && d + i < n; i++) v16_store(out + (d + i) * 16 * VECTORS + 16 * v, x[i]);
        }
    }
}

/* ------------------------------------------------------------------- scores */

/* Every count of queries, in tiles of 4, 2 and 1. */
#define IN_TILES(total, tile)                                                                                \
    for (int left = (total); left > 0;) {                                                                    \
        if (left >= 4) {                                                                                     \
            tile(4);                                                                                         \
            left -= 4;                                                                                       \
        } else if (left >= 2) {                                                                              \
            tile(2);                                                                                         \
            left -= 2;                                                                                       \
        } else {                                                                                             \
            tile(1);                                                                                         \
            left -= 1;                                                                                       \
        }                                                                                                    \
    }

/* Rows t..end-1, which lie in the same slots, at positions from..to-1 of the block from j on. */
INLINE void few_scores(vb_type type, const vb_attention *a, int t, int end, int j, int from, int to,
                       float *room) {
    const int n = a->head_dim, ld = padded(n);
    const v16 scale = v16_set(a->scale);
    for (int half = j; half < to; half += 16) {
        if (half + 16 <= from) continue;
        for (int k = later(half, from); k < sooner(half + 16, to); k++)
            widen(type, (const uint8_t *)a->k + vb_attention_slot(a, t, k) * a->k_stride, a->k_stride, 0, n,
                  room + (k - half) * ld);
        queries at = {a, t, 0};
        const float *q[4];
        float *s[4];
#define TILE(count)                                                                                          \
    next_queries(&at, count, q, s);                                                                          \
    EACH(i, count) s[i] += half;                                                                             \
    tree_scores(count, q, s, room, n, scale)
        IN_TILES((end - t) * a->heads, TILE)
#undef TILE
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
        const float *q[4];
        float *s[4];
#define TILE(count)                                                                                          \
    next_queries(&at, count, q, s);                                                                          \
    lane_scores(count, q, s, part, room, n, scale)
        IN_TILES((end - t) * a->heads, TILE)
#undef TILE
    }
}

INLINE void block_scores(vb_type type, const vb_attention *a, int j0, int j1, float *room) {
    for (int t = 0, end; t < a->n_rows; t = end) {
        int from, to;
        end = rows_together(a, t, j0, j1, &from, &to);
        if (from >= to) continue;
        if ((end - t) * a->heads >= MANY_QUERIES)
            many_scores(type, a, t, end, j0, from, to, room);
        else
            few_scores(type, a, t, end, j0, from, to, room);
    }
}

static void attend_scores(const vb_attention *a, int j0, int j1, float *room) {
    for (int j = j0; j < j1; j += VB_ATTEND_BLOCK) {
        const int end = sooner(j + VB_ATTEND_BLOCK, j1);
        if (a->k_type == VB_F32)
            block_scores(VB_F32, a, j, end, room);
        else
            block_scores(VB_F16, a, j, end, room);
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

/* out[i][d] = fmaf(e_j, v_j[d], out[i][d]) for `count` heads, `vectors` times 16 dimensions and the positions
 * from..to-1 in turn. value: (., ld) from position `from` on. */
INLINE void value_tile(const int count, const int vectors, const float *e, size_t ld_e, const float *value,
                       int ld, int from, int to, float *out, size_t ld_out, int last) {
    v16 acc[VALUE_TILE];
    EACH(i, count) {
        EACH(v, vectors) {
            float *at = out + (size_t)i * ld_out + 16 * v;
            acc[i * vectors + v] = v == vectors - 1 ? load_upto(at, last) : v16_load(at);
        }
    }
    for (int j = from; j < to; j++, value += ld) {
        v16 x[VALUE_TILE];
        EACH(v, vectors) x[v] = v16_load(value + 16 * v);
        EACH(i, count) {
            const v16 y = v16_set(e[(size_t)i * ld_e + (size_t)j]);
            EACH(v, vectors) acc[i * vectors + v] = v16_fma(y, x[v], acc[i * vectors + v]);
        }
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

/* `count` heads of row t, from h on, and the positions from..to-1: dimensions [d0, d1). */
INLINE void value_rows(const int count, const vb_attention *a, int t, int h, const float *value, int ld,
                       int from, int to, int d0, int d1) {
    const vb_attention_row *r = &a->rows[t];
    const float *e = r->scores + (size_t)h * a->ld;
    const size_t n = (size_t)a->head_dim;
    float *out = r->out + (size_t)h * n;
    for (int d = d0; d < d1;) {
        const int vectors = (d1 - d + 15) / 16;
#define TILE(v)                                                                                              \
    do {                                                                                                     \
        value_tile(count, v, e, a->ld, value + (d - d0), ld, from, to, out + d, n, d1 - d - 16 * ((v)-1));   \
        d += 16 * (v);                                                                                       \
    } while (0)
        if (VALUE_TILE / count >= 8 && vectors >= 8)
            TILE(8);
        else if (VALUE_TILE / count >= 4 && vectors >= 4)
            TILE(4);
        else if (VALUE_TILE / count >= 2 && vectors >= 2)
            TILE(2);
        else
            TILE(1);
#undef TILE
    }
}

/* Rows t..end-1, which lie in the same slots, at positions from..to-1. */
INLINE void block_values(vb_type type, const vb_attention *a, int t, int end, int from, int to, int h0,
                         int h1, int d0, int d1, float *room) {
    const int ld = padded(d1 - d0);
    for (int j = from; j < to; j++)
        widen(type, (const uint8_t *)a->v + vb_attention_slot(a, t, j) * a->v_stride, a->v_stride, d0, d1,
              room + (j - from) * ld);
    for (; t < end; t++) {
        const int first = later(from, a->rows[t].first), last = sooner(to, a->rows[t].n);
        if (first >= last) continue;
        const float *value = room + (first - from) * ld;
        int h = h0;
#define TILE(count)                                                                                          \
    value_rows(count, a, t, h, value, ld, first, last, d0, d1);                                              \
    h += count
        IN_TILES(h1 - h0, TILE)
#undef TILE
    }
}

INLINE void sum_values(vb_type type, const vb_attention *a, int h0, int h1, int d0, int d1, float *room) {
    int first = a->rows[0].first, n = 0;
    for (int t = 0; t < a->n_rows; t++) {
        first = sooner(first, a->rows[t].first);
        n = later(n, a->rows[t].n);
        for (int h = h0; h < h1; h++) {
            float *out = a->rows[t].out + (size_t)h * (size_t)a->head_dim;
            for (int d = d0; d < d1; d++) out[d] = 0.0f;
        }
    }
    for (int j = first / VB_ATTEND_BLOCK * VB_ATTEND_BLOCK; j < n; j += VB_ATTEND_BLOCK) {
        for (int t = 0, end; t < a->n_rows; t = end) {
            int from, to;
            end = rows_together(a, t, j, j + VB_ATTEND_BLOCK, &from, &to);
            if (from < to) block_values(type, a, t, end, from, to, h0, h1, d0, d1, room);
        }
    }
}

static void attend_values(const vb_attention *a, int h0, int h1, int d0, int d1, float *room) {
    if (a->v_type == VB_F32)
        sum_values(VB_F32, a, h0, h1, d0, d1, room);
    else
        sum_values(VB_F16, a, h0, h1, d0, d1, room);
    for (int t = 0; t < a->n_rows; t++) {
        for (int h = h0; h < h1; h++) {
            float *out = a->rows[t].out + (size_t)h * (size_t)a->head_dim;
            const v16 sum = v16_set(a->rows[t].sums[h]);
            for (int d = d0; d < d1; d += 16)
                store_upto(out + d, v16_div(load_upto(out + d, d1 - d), sum), d1 - d);
        }
    }
}
