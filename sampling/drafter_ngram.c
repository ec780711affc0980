/* drafter_ngram.c - the text itself drafts: what followed the last n tokens when they occurred before. */
#include "sampling/drafter.h"

#include <stdlib.h>
#include <string.h>

/* One hash table per length: n-gram -> the position after its latest occurrence. Open addressing, twice as
 * many slots as positions; a slot holds the position (0: empty) and the n-gram itself is read from the path,
 * so equal hashes of different n-grams are told apart. */
typedef struct drafter_ngram {
    vb_drafter_ngram_params p;
    size_t slots;   /* per table, a power of two */
    int32_t *table; /* (max - min + 1, slots) */
    size_t indexed; /* n-grams that end before this position, with a token after them, are in the tables */
} drafter_ngram;

static uint64_t hash(const int32_t *tokens, int n) {
    uint64_t h = 0x9E3779B97F4A7C15u;
    for (int i = 0; i < n; i++) {
        h = (h ^ (uint32_t)tokens[i]) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    return h;
}

/* The slot of the n-gram that ends before `end`: its own, or the empty one where it belongs. */
static int32_t *find(const drafter_ngram *g, int n, const int32_t *path, size_t end) {
    int32_t *table = g->table + (size_t)(n - g->p.min) * g->slots;
    const int32_t *gram = path + end - n;
    for (size_t i = (size_t)hash(gram, n);; i++) {
        int32_t *slot = &table[i & (g->slots - 1)];
        if (*slot == 0 || memcmp(path + *slot - n, gram, (size_t)n * sizeof *gram) == 0) return slot;
    }
}

static int sync(void *self, const int32_t *path, size_t n, vb_error *err) {
    drafter_ngram *g = self;
    (void)err;
    /* an n-gram enters when a token follows it, so the path's own end is never found */
    for (; g->indexed + 1 <= n && 2 * g->indexed < g->slots; g->indexed++)
        for (int len = g->p.min; len <= g->p.max && (size_t)len <= g->indexed; len++)
            *find(g, len, path, g->indexed) = (int32_t)g->indexed;
    return VB_OK;
}

static int draft(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    drafter_ngram *g = self;
    int rc = sync(self, path, n, err);
    if (rc) return rc;
    const size_t end = n + (size_t)out->n;
    size_t from = 0;
    for (int len = g->p.max; len >= g->p.min && from == 0; len--)
        if ((size_t)len <= end) from = (size_t)*find(g, len, path, end);
    if (from == 0) return VB_OK;
    /* Past the end of the path the copy goes on with what it has written itself: a loop is continued. */
    const vb_certain c = {&g->p.law, g->p.limit, g->p.choice, g->p.stop, g->p.n_stop};
    return vb_propose_all(out, path, n, path, from, SIZE_MAX, out->max, &c, err);
}

static void settle(void *self, size_t n) {
    (void)self, (void)n;
}

static void ngram_close(void *self) {
    drafter_ngram *g = self;
    free(g->table);
    free(g);
}

int vb_drafter_ngram(vb_drafter *out, const vb_drafter_ngram_params *params, vb_error *err) {
    drafter_ngram *g = NULL;
    int rc = vb_alloc((void **)&g, 1, sizeof *g, "n-gram drafter", err);
    if (rc) return rc;
    *g = (drafter_ngram){.p = *params, .slots = 16};
    while (g->slots < 2 * (params->n_ctx + 1)) g->slots *= 2;
    rc = vb_alloc((void **)&g->table, (size_t)(params->max - params->min + 1) * g->slots, sizeof *g->table,
                  "the index of the n-gram drafter", err);
    if (rc) {
        ngram_close(g);
        return rc;
    }
    *out = (vb_drafter){.self = g, .sync = sync, .draft = draft, .settle = settle, .close = ngram_close};
    return VB_OK;
}
