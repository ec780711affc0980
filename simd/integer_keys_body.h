/* integer_keys_body.h - scores of keys that meet a rounded query (VB_Q8I; docs/numerics.md, "attention"),
 * written once for every instruction set.
 *
 * The keys of a head are rows of Q8_0 blocks, and a query is rounded as an activation is: so the scores are
 * the product of a matrix of Q8_0 as mapped, the keys, and some vectors, the queries: with this set's dot
 * instructions, 64 products to one where the floats' scores have 16. Its lanes are keys: there is no tree. */

/* The queries of rows t..end-1 as activations, in `room`. What scales the scores goes into theirs. */
static vb_acts round_queries(const vb_attention *a, int t, int end, float *room) {
    const size_t n = (size_t)a->head_dim, heads = (size_t)a->heads, all = (size_t)(end - t) * heads;
    int8_t *q = (int8_t *)room;
    float *d = room + all * n / sizeof(float);
    int32_t *sum16 = (int32_t *)(void *)(d + all * n / 32);
    for (size_t i = 0; i < all; i++) {
        const float *from = a->rows[(size_t)t + i / heads].q + i % heads * n;
        float *own = d + i * n / 32;
        quantize(from, (int)n, 1, q + i * n, 0, own, sum16 + i * n / 16); /* finite: the pass has looked */
        for (size_t b = 0; b < n / 32; b++) own[b] = own[b] * a->scale;
    }
    return (vb_acts){.rows = (int)all, .n = (int)n, .planes = 1, .q = q, .d = d, .sum16 = sum16};
}

/* Rows from t on whose scores follow one another, so that one product writes them all. */
static int scores_together(const vb_attention *a, int t) {
    int end = t + 1;
    while (end < a->n_rows && a->rows[end].scores == a->rows[end - 1].scores + (size_t)a->heads * a->ld)
        end++;
    return end;
}

/* ---------------------------------------------------------------------- one tile of queries */

/* Sums of keys ROWS at a time, key r at keys + r*stride, and `count` queries from q0 on: the float steps of
 * vb_matmul_fn with the group's words interleaved on their way into the multiplication (group_body.h). */
INLINE void key_sums(const int count, const uint8_t *keys, size_t stride, const vb_acts *x, size_t q0,
                     fvec *acc) {
    const size_t n = (size_t)x->n, blocks = n / 32;
    const int offset = offset_of(VB_Q8_0), start = biased(VB_Q8_0, 1) ? BIAS : 0;
    EACH(i, count) acc[i] = f_zero();
    for (size_t b = 0; b < blocks; b++, keys += sizeof(vb_block_q8_0)) {
        const int32_t *q = (const int32_t *)(const void *)(x->q + q0 * n + 32 * b);
        const int32_t *sum = x->sum16 + q0 * (n / 16) + 2 * b;
        const float *d = x->d + q0 * blocks + b;
        uint8_t halves[2 * ROWS];
        ivec isum[8];
        quads w;
        EACH(r, ROWS) memcpy(halves + 2 * r, keys + (size_t)r * stride, 2);
        EACH(i, count) {
            const int32_t *own = sum + (size_t)i * (n / 16);
            isum[i] = i_set(start - offset * (own[0] + own[1]));
        }
        EACH(half, 2) {
            interleave4(keys + 2 + 16 * half, stride, w.u + 4 * half);
            EACH(k, 4) {
                if (offset) w.u[4 * half + k] = i_xor(w.u[4 * half + k], i_set8(offset));
            }
            prepare(&w, 8, 4 * half, 4 * half + 4);
            dot(1, count, isum, &w, 8, NULL, q, n / 4, 4 * half, 4 * half + 4);
        }
        const fvec scale = f_halves(halves);
        EACH(i, count) {
            const fvec inner = f_mul(scale, f_of_sum(VB_Q8_0, 1, isum[i]));
            acc[i] = f_fma(f_set(d[(size_t)i * blocks]), inner, acc[i]);
        }
    }
}

INLINE void score_keys(const int count, const uint8_t *keys, size_t stride, const vb_acts *x, size_t q0,
                       float *scores, size_t ld, int n) {
    fvec acc[8];
    key_sums(count, keys, stride, x, q0, acc);
    EACH(i, count) f_store_part(scores + (q0 + (size_t)i) * ld, acc[i], 0, n);
}

/* As meet_keys, of few queries. Keys from `readable` on may not be read: the last ones are copied. */
static void meet_few(const vb_attention *a, const uint8_t *keys, size_t stride, int from, int to,
                     int readable, const vb_acts *x, float *scores, uint8_t *copy) {
    const size_t bytes = block_at(VB_Q8_0, a->head_dim);
    for (int j = from; j < to; j += ROWS) {
        const int n = sooner(ROWS, to - j);
        slab at = {keys + (size_t)j * stride, stride};
        for (size_t b = 0; b < ROWS * stride; b += 64) prefetch(row_of(at, KEYS_AHEAD) + b);
        if (j + ROWS > readable) {
            memset(copy, 0, ROWS * bytes);
            for (int i = 0; i < n; i++) memcpy(copy + (size_t)i * bytes, row_of(at, i), bytes);
            at = (slab){copy, bytes};
        }
        for (int q0 = 0, count; q0 < x->rows; q0 += count) {
            count = tile_of(x->rows - q0);
#define TILE(c) score_keys(c, at.at, at.stride, x, (size_t)q0, scores + j, a->ld, n)
            WITH_TILE(count, TILE);
#undef TILE
        }
    }
}

/* ---------------------------------------------------------------------- all of them */

/* scores[q*ld + j] of keys [from, to), key j at keys + j*stride; those before `readable` may be read. */
static void meet_keys(const vb_attention *a, const void *keys, size_t stride, int from, int to, int readable,
                      const vb_acts *x, float *scores, uint8_t *copy) {
    if (x->rows <= 8) {
        meet_few(a, keys, stride, from, to, readable, x, scores, copy);
        return;
    }
    /* Interleaved into memory, once for all of them. */
    const vb_matrix w = {.type = VB_Q8_0, .rows = to, .cols = a->head_dim, .data = keys, .row_bytes = stride};
    matmul_q8_0(&w, x, from, to, scores, a->ld);
}

/* Row t's positions [from, to), which lie anywhere: copied together first. x: its queries. */
static void meet_scattered(const vb_attention *a, int t, int from, int to, const vb_acts *x, uint8_t *copy) {
    const size_t bytes = block_at(VB_Q8_0, a->head_dim);
    for (int j = from, n; j < to; j += n) {
        n = sooner(VB_ATTEND_BLOCK, to - j);
        for (int i = 0; i < n; i++)
            memcpy(copy + (size_t)i * bytes,
                   (const uint8_t *)a->k + vb_attention_slot(a, t, j + i) * a->k_stride, bytes);
        meet_keys(a, copy, bytes, 0, n, VB_ATTEND_BLOCK, x, a->rows[t].scores + j, copy);
    }
}

static void integer_scores(const vb_attention *a, int j0, int j1, float *room) {
    const size_t n = (size_t)a->head_dim, heads = (size_t)a->heads;
    float *const packed = room + VB_ATTEND_BLOCK * padded(a->head_dim);
    for (int t = 0, end; t < a->n_rows; t = end) {
        int from = j1, to = j0, elsewhere = j1; /* from there on rows have paths of their own */
        end = scores_together(a, t);
        const vb_acts x = round_queries(a, t, end, packed);
        for (int i = t; i < end; i++) {
            from = sooner(from, later(j0, a->rows[i].first));
            to = later(to, sooner(j1, a->rows[i].n));
            if (a->rows[i].path) elsewhere = a->base;
        }
        if (from < sooner(to, elsewhere))
            meet_keys(a, a->k, a->k_stride, from, sooner(to, elsewhere), sooner(to, elsewhere), &x,
                      a->rows[t].scores, (uint8_t *)room);
        for (int i = t; i < end && elsewhere < to; i++) {
            const size_t before = (size_t)(i - t) * heads;
            const vb_acts own = {.rows = a->heads,
                                 .n = x.n,
                                 .planes = 1,
                                 .q = x.q + before * n,
                                 .d = x.d + before * n / 32,
                                 .sum16 = x.sum16 + before * n / 16};
            meet_scattered(a, i, later(elsewhere, later(j0, a->rows[i].first)), sooner(j1, a->rows[i].n),
                           &own, (uint8_t *)room);
        }
    }
}
