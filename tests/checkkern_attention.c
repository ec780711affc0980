/* checkkern_attention.c - one random job of attention, whole by the reference and in random pieces by a set:
 * the same bits of e_j, sums and outputs? */
#include "tests/checkkern.h"

#include "ref/kv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t below(gw_rng *rng, size_t n) {
    return (size_t)(gw_next(rng) % n);
}

/* Bytes from one row of n values to the next, or as much more as keeps whole values: `more` of them. */
static size_t stride_of(vb_type type, size_t n, size_t more) {
    const int block = vb_kv_block(type);
    return vb_kv_bytes(type, (int)n) + more * vb_kv_bytes(type, block);
}

/* `slots` rows of n values, `stride` bytes apart, the last one at the end of readable memory. */
static void *cache(vb_type type, size_t slots, size_t n, size_t stride, ck_acts_style style, gw_rng *rng) {
    uint8_t *rows = ck_guarded((slots - 1) * stride + vb_kv_bytes(type, (int)n));
    float *f = malloc(n * sizeof *f);
    if (!f) abort();
    for (size_t s = 0; s < slots; s++) {
        ck_floats(f, (int)n, style, rng);
        vb_kv_store(type, f, (int)n, rows + s * stride);
    }
    free(f);
    return rows;
}

static float *numbers(size_t n, gw_rng *rng) {
    float *f = ck_guarded(n * sizeof *f);
    ck_floats(f, (int)n, CK_GAUSS, rng);
    return f;
}

/* Where positions lie. A chain: as they come. Permuted: anywhere, the same for all rows. A tree: the
 * positions below `base` as they come, those above on a path of the row's own. */
static void lay_out(const ck_attention_shape *s, int t, vb_attention_row *r, size_t slots, int32_t *permuted,
                    gw_rng *rng) {
    const int last = s->n - s->rows + t;
    r->n = last + 1;
    if (s->layout == CK_PERMUTED) r->path = permuted;
    if (s->layout == CK_TREE) {
        const int base = s->n - s->rows, depth = 1 + (int)below(rng, (size_t)t + 1);
        int32_t *path = ck_guarded((size_t)depth * sizeof *path);
        r->n = base + depth;
        for (int i = 0; i < depth; i++) path[i] = base + (int32_t)below(rng, slots - (size_t)base);
        r->path = path;
    }
    r->first = s->window && r->n > s->window ? r->n - s->window : 0;
}

typedef struct both {
    vb_attention_row *rows[2]; /* of the reference and of the set */
    vb_attention a[2];
} both;

static both set_up(const ck_attention_shape *s, gw_rng *rng) {
    both b;
    const size_t heads = (size_t)s->heads, dim = (size_t)s->head_dim, n_rows = (size_t)s->rows;
    const size_t slots = (size_t)s->n, ld = (slots + VB_ATTEND_BLOCK - 1) / VB_ATTEND_BLOCK * VB_ATTEND_BLOCK;
    const size_t k_stride = stride_of(s->k_type, dim, below(rng, 5)),
                 v_stride = stride_of(s->v_type, dim, below(rng, 5));
    int32_t *permuted = ck_guarded(slots * sizeof *permuted);
    for (size_t i = 0; i < slots; i++) {
        const size_t j = below(rng, i + 1);
        permuted[i] = permuted[j];
        permuted[j] = (int32_t)i;
    }
    b.a[0] = (vb_attention){
        .k = cache(s->k_type, slots, dim, k_stride, s->style, rng),
        .v = cache(s->v_type, slots, dim, v_stride, s->style, rng),
        .k_stride = k_stride,
        .v_stride = v_stride,
        .k_type = s->k_type,
        .v_type = s->v_type,
        .heads = s->heads,
        .head_dim = s->head_dim,
        .scale = 0.125f,
        .sinks = s->sinks ? numbers(heads, rng) : NULL,
        .base = s->layout == CK_TREE ? s->n - s->rows : 0,
        .n_rows = s->rows,
        .ld = ld,
    };
    b.a[1] = b.a[0];
    for (int i = 0; i < 2; i++) b.a[i].rows = b.rows[i] = ck_guarded(n_rows * sizeof(vb_attention_row));
    /* Scores of rows that follow one another, as a pass has them, or each with unreadable memory behind. */
    const bool together = below(rng, 2);
    float *scores[2] = {NULL, NULL};
    for (int i = 0; i < 2 && together; i++) scores[i] = ck_guarded(n_rows * heads * ld * sizeof(float));
    for (size_t t = 0; t < n_rows; t++) {
        vb_attention_row r = {.q = numbers(heads * dim, rng)};
        lay_out(s, (int)t, &r, slots, permuted, rng);
        for (int i = 0; i < 2; i++) {
            r.scores = together ? scores[i] + t * heads * ld : ck_guarded(heads * ld * sizeof(float));
            r.sums = ck_guarded(heads * sizeof(float));
            r.out = ck_guarded(heads * dim * sizeof(float));
            memset(r.scores, 0xa5, heads * ld * sizeof(float));
            b.rows[i][t] = r;
        }
    }
    return b;
}

/* In pieces, and the pieces backwards where their order is free. */
static void run_in_pieces(const vb_kernels *set, const vb_attention *a, int n, gw_rng *rng) {
    const size_t bytes = vb_attend_room(a->head_dim, (size_t)a->n_rows * (size_t)a->heads) * sizeof(float);
    float *room = ck_guarded(bytes);
    memset(room, 0xff, bytes); /* NaN: nothing may come from it */
    for (int to = n; to > 0;) {
        const int blocks = (to + VB_ATTEND_BLOCK - 1) / VB_ATTEND_BLOCK;
        const int from = (int)below(rng, (size_t)blocks) * VB_ATTEND_BLOCK;
        set->attend_scores(a, from, to, room);
        to = from;
    }
    for (int t = a->n_rows; t-- > 0;) {
        for (int h = a->heads; h-- > 0;) set->attend_softmax(a, t, h);
    }
    for (int h1 = a->heads; h1 > 0;) {
        const int h0 = (int)below(rng, (size_t)h1);
        for (int d1 = a->head_dim; d1 > 0;) {
            const int d0 = (int)below(rng, (size_t)(d1 + 15) / 16) * 16;
            set->attend_values(a, h0, h1, d0, d1, room);
            d1 = d0;
        }
        h1 = h0;
    }
}

static void run_whole(const vb_kernels *set, const vb_attention *a, int n) {
    float *room =
        ck_guarded(vb_attend_room(a->head_dim, (size_t)a->n_rows * (size_t)a->heads) * sizeof *room);
    set->attend_scores(a, 0, n, room);
    for (int t = 0; t < a->n_rows; t++) {
        for (int h = 0; h < a->heads; h++) set->attend_softmax(a, t, h);
    }
    set->attend_values(a, 0, a->heads, 0, a->head_dim, room);
}

const char *ck_attention(const vb_kernels *set, const ck_attention_shape *s, gw_rng *rng) {
    static char what[200];
    const both b = set_up(s, rng);
    const char *differs = NULL;
    run_whole(&vb_kernels_ref, &b.a[0], s->n);
    run_in_pieces(set, &b.a[1], s->n, rng);
    for (int t = 0; t < s->rows && !differs; t++) {
        const vb_attention_row *r = &b.rows[0][t], *g = &b.rows[1][t];
        for (int h = 0; h < s->heads && !differs; h++) {
            const size_t at = (size_t)h * b.a[0].ld + (size_t)r->first, dims = (size_t)s->head_dim;
            if (memcmp(r->scores + at, g->scores + at, (size_t)(r->n - r->first) * sizeof(float)))
                differs = "a weight of the softmax";
            else if (memcmp(r->sums + h, g->sums + h, sizeof(float)))
                differs = "a sum";
            else if (memcmp(r->out + (size_t)h * dims, g->out + (size_t)h * dims, dims * sizeof(float)))
                differs = "the output";
            if (differs)
                snprintf(what, sizeof what,
                         "%s of head %d of %d, row %d of %d (positions %d to %d) differs; head of %d, K %s, "
                         "V %s, layout %d, window %d, sinks %d, style %d",
                         differs, h, s->heads, t, s->rows, r->first, r->n - 1, s->head_dim,
                         vb_kv_name(s->k_type), vb_kv_name(s->v_type), (int)s->layout, s->window,
                         (int)s->sinks, (int)s->style);
        }
    }
    ck_release();
    return differs ? what : NULL;
}
