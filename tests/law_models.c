/* law_models.c - the laws of the enumeration: tables of small integers, what penalties and the real law make
 * of them, and language models that are such tables (law_parts.h). */
#include "tests/law_parts.h"

#include "ref/mathf.h"

#include <stdlib.h>
#include <string.h>

const law_pair law_pairs[LAW_PAIRS] = {
    {"generic", LAW_GENERIC, LAW_GENERIC},
    {"skewed", LAW_SKEWED, LAW_SKEWED},
    {"zeros", LAW_ZEROS, LAW_ZEROS},
    {"disjoint", LAW_EVEN, LAW_ODD},
    {"one-hot p", LAW_ONE_HOT, LAW_GENERIC},
    {"one-hot q", LAW_GENERIC, LAW_ONE_HOT},
    {"both one-hot", LAW_ONE_HOT, LAW_ONE_HOT},
};

uint32_t law_mix(uint32_t h, uint32_t x) {
    h = (h ^ x) * 0x9E3779B1u;
    h ^= h >> 15;
    h *= 0x85EBCA6Bu;
    return h ^ h >> 13;
}

void law_table_weights(const law_table *t, int n_vocab, const int32_t *prefix, size_t n, uint64_t *w) {
    uint32_t h = law_mix(t->seed, (uint32_t)n);
    for (size_t i = 0; i < n; i++) h = law_mix(h, (uint32_t)prefix[i] + 1);
    uint64_t total = 0;
    int largest = 0;
    for (int i = 0; i < n_vocab; i++) {
        const uint32_t r = law_mix(h, 77u + (uint32_t)i);
        switch (t->style) {
        case LAW_GENERIC: w[i] = 1 + r % 6; break;
        case LAW_ZEROS: w[i] = r % 3 == 0 ? 0 : r / 3 % 6; break;
        case LAW_SKEWED: w[i] = r % 2 ? 60 : 1; break;
        case LAW_ONE_HOT: w[i] = (uint32_t)i == h % (uint32_t)n_vocab; break;
        case LAW_EVEN: w[i] = i % 2 == 0 ? 1 + r % 6 : 0; break;
        case LAW_ODD: w[i] = i % 2 == 1 ? 1 + r % 6 : 0; break;
        }
        total += w[i];
        if (w[i] > w[largest]) largest = i;
    }
    if (total == 0) w[h % (uint32_t)n_vocab] = total = 1;
    if (t->pow2) {
        uint64_t power = 1;
        while (power < total) power *= 2;
        w[largest] += power - total;
    }
}

void law_exp_weights(const double *z, int n, uint64_t *w) {
    for (int i = 0; i < n; i++) w[i] = (uint64_t)(0x1p40 * vb_exp(z[i]));
}

/* The weights of the real law, by a vb_law of its own. */
static void real_weights(const law_case *c, const law_table *t, const int32_t *prefix, size_t n,
                         uint64_t *w) {
    uint64_t table[LAW_VOCAB], room[LAW_VOCAB];
    int32_t ids[LAW_VOCAB];
    float logits[LAW_VOCAB];
    const vb_dist_space space = {LAW_VOCAB, ids, room};
    vb_law *l = NULL;
    vb_dist d;
    law_table_weights(t, c->n_vocab, prefix, n, table);
    for (int i = 0; i < c->n_vocab; i++) logits[i] = (float)table[i], w[i] = 0;
    if (vb_law_open(&l, &c->sampling, c->n_vocab, law_exp_weights, NULL) ||
        vb_law_distribution(l, logits, c->n_vocab, prefix, n, &space, &d, NULL))
        abort();
    for (int32_t i = 0; i < d.n; i++) w[d.id[i]] = d.w[i];
    vb_law_close(l);
}

void law_final_weights(const law_case *c, const law_table *t, const int32_t *prefix, size_t n, uint64_t *w) {
    if (c->masked) {
        law_masked_weights(c, t, prefix, n, w);
        return;
    }
    if (c->real) {
        real_weights(c, t, prefix, n, w);
        return;
    }
    law_table_weights(t, c->n_vocab, prefix, n, w);
    if (!c->penalties) return;
    for (int i = 0; i < c->n_vocab; i++) {
        bool recent = false;
        for (size_t j = n > 2 ? n - 2 : 0; j < n; j++) recent |= prefix[j] == i;
        if (!recent) w[i] *= 2;
    }
}

/* ---------------------------------------------------------------------- table models */

void law_hidden_row(const int32_t *path, size_t n, float out[2]) {
    uint32_t h = 3;
    for (size_t i = 0; i < n; i++) h = law_mix(h, (uint32_t)path[i]);
    out[0] = (float)n;
    out[1] = (float)(h >> 8);
}

/* What is held in front and the branch of row i; returns its length. */
static size_t table_branch(const law_lm_state *m, int32_t i, int32_t *path) {
    size_t n = (size_t)m->first, depth = 0;
    memcpy(path, m->tokens, n * sizeof *path);
    for (int32_t at = i; at >= 0; at = m->parent[at]) depth++;
    n += depth;
    for (int32_t at = i; at >= 0; at = m->parent[at])
        path[(size_t)m->first + --depth] = m->tokens[m->first + at];
    return n;
}

/* Takes in the tokens of a call; false: they do not fit what is held. */
static bool table_take(law_lm_state *m, const vb_eval_item *item) {
    if ((size_t)m->n + item->n > LAW_TAPE || (m->held && !item->parent)) return false;
    if (!m->held) m->first = m->n;
    for (size_t i = 0; i < item->n; i++) {
        const int32_t at = m->n - m->first;
        m->parent[at] = item->parent ? item->parent[i] : at - 1;
        if (m->parent[at] >= at || m->parent[at] < -1) return false;
        m->held |= m->parent[at] != at - 1;
        m->tokens[m->n++] = item->tokens[i];
    }
    return true;
}

static void table_eval(const vb_lm *const *lm, vb_eval_item *items, size_t n_items) {
    for (size_t k = 0; k < n_items; k++) {
        law_lm_state *m = lm[k]->self;
        vb_eval_item *item = &items[k];
        const int before = m->n;
        item->code = VB_OK;
        if (!table_take(m, item)) {
            item->code = vb_fail(item->err, VB_ERR_FULL, "the tape is full or holds a tree");
            continue;
        }
        for (size_t i = 0; i < item->n; i++) {
            uint64_t w[LAW_VOCAB];
            int32_t path[LAW_TAPE];
            const size_t n = table_branch(m, before - m->first + (int32_t)i, path);
            law_table_weights(m->t, m->c->n_vocab, path + m->cold, n - (size_t)m->cold, w);
            for (int j = 0; j < m->c->n_vocab; j++) m->rows[i][j] = (float)w[j];
            law_hidden_row(path, n, m->hidden[i]);
        }
    }
}

static const float *table_logits(void *self, size_t i) {
    const law_lm_state *m = self;
    const size_t shift = (size_t)m->row_shift;
    return m->rows[i >= shift ? i - shift : 0];
}

static int table_truncate(void *self, int n, vb_error *err) {
    law_lm_state *m = self;
    if (n < 0 || n > m->n) return vb_fail(err, VB_ERR_ARGUMENT, "truncate to %d of %d", n, m->n);
    if (m->held && n > m->first) return vb_fail(err, VB_ERR_ARGUMENT, "truncate inside a tree");
    m->n = n;
    m->held = false;
    return VB_OK;
}

static int table_keep(void *self, int n, const int32_t *rows, size_t k, vb_error *err) {
    law_lm_state *m = self;
    if (n != m->first) return vb_fail(err, VB_ERR_ARGUMENT, "keep behind %d, not %d", n, m->first);
    for (size_t i = 0; i < k; i++) {
        if (rows[i] < (int32_t)i || n + rows[i] >= m->n)
            return vb_fail(err, VB_ERR_ARGUMENT, "row %d cannot be kept", (int)rows[i]);
        if (m->parent[rows[i]] != (i ? rows[i - 1] : -1))
            return vb_fail(err, VB_ERR_ARGUMENT, "row %d does not follow", (int)rows[i]);
    }
    for (size_t i = 0; i < k; i++) {
        m->tokens[(size_t)n + i] = m->tokens[n + rows[i]];
    }
    m->n = n + (int)k;
    m->held = false;
    return VB_OK;
}

static int table_length(void *self) {
    const law_lm_state *m = self;
    return m->n;
}

static const float *table_hidden(void *self, size_t i) {
    const law_lm_state *m = self;
    return m->hidden[i];
}

static int table_want_hidden(void *self, int *width, vb_error *err) {
    (void)self, (void)err;
    *width = 2;
    return VB_OK;
}

static const vb_lm_kind table_kind = {.eval = table_eval,
                                      .logits = table_logits,
                                      .truncate = table_truncate,
                                      .keep = table_keep,
                                      .length = table_length,
                                      .hidden = table_hidden,
                                      .want_hidden = table_want_hidden};

vb_lm law_lm(law_lm_state *m, const law_case *c, const law_table *t, int n_ctx, int row_shift) {
    *m = (law_lm_state){.c = c, .t = t, .row_shift = row_shift};
    return (vb_lm){m, &table_kind, c->n_vocab, n_ctx};
}
