/* trie.c - vocabularies as tries. See trie.h. */
#include "grammar/trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static int by_bytes(const void *x, const void *y) {
    const vbg_word *a = x, *b = y;
    const size_t n = a->n < b->n ? a->n : b->n;
    const int c = memcmp(a->s, b->s, n);
    if (c) return c;
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static size_t shared(const vbg_word *a, const vbg_word *b) {
    size_t k = 0;
    while (k < a->n && k < b->n && a->s[k] == b->s[k]) k++;
    return k;
}

/* The nodes of sorted words. path[d]: the node at depth d of the word before. */
static void fill(vbg_trie *t, const vbg_word *w, size_t n, uint32_t *path) {
    uint32_t i = 1;
    t->byte[0] = 0, t->depth[0] = 0, t->parent[0] = 0, path[0] = 0;
    for (size_t k = 0; k < n; k++) {
        size_t d = k ? shared(&w[k - 1], &w[k]) : 0;
        for (size_t up = k ? w[k - 1].n : 0; up > d; up--) t->skip[path[up]] = i;
        for (; d < w[k].n; d++, i++) {
            t->byte[i] = (uint8_t)w[k].s[d];
            t->depth[i] = (uint16_t)(d + 1);
            t->parent[i] = path[d];
            t->first_id[i] = (uint32_t)k; /* words before this one end before this node */
            path[d + 1] = i;
        }
        t->ids[k] = w[k].id;
        if (w[k].n > t->deepest) t->deepest = (uint16_t)w[k].n;
    }
    for (size_t up = n ? w[n - 1].n : 0; up > 0; up--) t->skip[path[up]] = i;
    t->skip[0] = i;
    t->first_id[0] = 0;
    t->first_id[i] = (uint32_t)n;
}

int vbg_trie_build(vbg_trie *out, vbg_word *words, size_t n, vb_error *err) {
    vbg_trie t = {0};
    uint32_t *path = NULL;
    size_t nodes = 1;
    if (n) qsort(words, n, sizeof *words, by_bytes);
    for (size_t k = 0; k < n; k++) nodes += words[k].n - (k ? shared(&words[k - 1], &words[k]) : 0);
    if (nodes > UINT32_MAX / 2) return vb_fail(err, VB_ERR_UNSUPPORTED, "a vocabulary of %zu bytes", nodes);
    t.n = (uint32_t)nodes;
    int rc = vb_alloc((void **)&t.byte, nodes, sizeof *t.byte, "a vocabulary", err);
    if (!rc) rc = vb_alloc((void **)&t.depth, nodes, sizeof *t.depth, "a vocabulary", err);
    if (!rc) rc = vb_alloc((void **)&t.skip, nodes, sizeof *t.skip, "a vocabulary", err);
    if (!rc) rc = vb_alloc((void **)&t.parent, nodes, sizeof *t.parent, "a vocabulary", err);
    if (!rc) rc = vb_alloc((void **)&t.first_id, nodes + 1, sizeof *t.first_id, "a vocabulary", err);
    if (!rc) rc = vb_alloc((void **)&t.ids, n + 1, sizeof *t.ids, "a vocabulary", err);
    if (!rc) rc = vb_alloc((void **)&path, VBG_LONGEST_WORD + 1, sizeof *path, "a vocabulary", err);
    if (rc) {
        vbg_trie_free(&t);
        return rc;
    }
    fill(&t, words, n, path);
    free(path);
    *out = t;
    return VB_OK;
}

void vbg_trie_free(vbg_trie *t) {
    free(t->byte);
    free(t->depth);
    free(t->skip);
    free(t->parent);
    free(t->first_id);
    free(t->ids);
    memset(t, 0, sizeof *t);
}

/* Characters of a plain text; 0 if it is not plain. */
static int plain_points(const vbg_word *w) {
    size_t at = 0;
    int n = 0;
    for (; at < w->n; n++) {
        const unsigned char c = (unsigned char)w->s[at];
        if (c < 0x20 || c == 0x7F || c == '"' || c == '\\') return 0;
        const size_t k = vb_utf8_char((const unsigned char *)w->s + at, w->n - at, NULL);
        if (k == 0) return 0;
        at += k;
    }
    return n;
}

/* plain[k] from plain[k - 1] and the words of k characters. */
static int count_plain(vbg_vocab *v, const int *points, vb_error *err) {
    const size_t words = ((size_t)v->n_vocab + 63) / 64;
    int rc = vb_alloc((void **)&v->plain, (size_t)v->most_points + 1, sizeof *v->plain, "a vocabulary", err);
    if (rc) return rc;
    memset(v->plain, 0, ((size_t)v->most_points + 1) * sizeof *v->plain);
    for (int k = 0; k <= v->most_points; k++) {
        bool any = k == 0 || k == v->most_points;
        for (int32_t id = 0; id < v->n_vocab && !any; id++) any = points[id] == k;
        if (!any) { /* long texts are few, and most lengths have none */
            v->plain[k] = v->plain[k - 1];
            continue;
        }
        if ((rc = vb_alloc((void **)&v->plain[k], words, 8, "a vocabulary", err))) return rc;
        v->memory += words * 8;
        if (k)
            memcpy(v->plain[k], v->plain[k - 1], words * 8);
        else
            memset(v->plain[k], 0, words * 8);
        for (int32_t id = 0; id < v->n_vocab && k; id++)
            if (points[id] == k) v->plain[k][id / 64] |= UINT64_C(1) << (id % 64);
    }
    return VB_OK;
}

/* Both tries at once, in the order of a walk: path[d] is the node of `rest` at depth d, or none. */
static int map_rest(vbg_vocab *v, vb_error *err) {
    uint32_t *path;
    int rc = vb_alloc((void **)&v->rest_of, v->all.n, sizeof *v->rest_of, "a vocabulary", err);
    if (!rc) rc = vb_alloc((void **)&path, (size_t)v->all.deepest + 2, sizeof *path, "a vocabulary", err);
    if (rc) return rc;
    path[0] = 0;
    v->rest_of[0] = 0;
    for (uint32_t i = 1; i < v->all.n; i++) {
        const uint32_t above = path[v->all.depth[i] - 1];
        uint32_t c = above == UINT32_MAX ? UINT32_MAX : above + 1;
        while (c != UINT32_MAX && c < v->rest.skip[above] && v->rest.byte[c] != v->all.byte[i])
            c = v->rest.skip[c];
        if (c != UINT32_MAX && c >= v->rest.skip[above]) c = UINT32_MAX;
        v->rest_of[i] = path[v->all.depth[i]] = c;
    }
    free(path);
    return VB_OK;
}

int vbg_vocab_build(vbg_vocab *out, const vbg_word *text, int32_t n_vocab, vb_error *err) {
    vbg_vocab v = {.n_vocab = n_vocab, .text = text};
    vbg_word *some = NULL;
    int *points = NULL;
    size_t n = 0, n_rest = 0;
    int rc = vb_alloc((void **)&some, (size_t)n_vocab + 1, sizeof *some, "a vocabulary", err);
    if (!rc) rc = vb_alloc((void **)&points, (size_t)n_vocab + 1, sizeof *points, "a vocabulary", err);
    for (int32_t id = 0; id < n_vocab && !rc; id++) {
        points[id] = 0;
        if (!text[id].s) continue;
        some[n++] = text[id];
        points[id] = plain_points(&text[id]);
        if (points[id] > v.most_points) v.most_points = points[id];
        if (text[id].n == 1) v.bytes[(uint8_t)text[id].s[0]]++;
    }
    if (!rc) rc = vbg_trie_build(&v.all, some, n, err);
    for (int32_t id = 0; id < n_vocab && !rc; id++)
        if (text[id].s && points[id] == 0) some[n_rest++] = text[id];
    if (!rc) rc = vbg_trie_build(&v.rest, some, n_rest, err);
    if (!rc) rc = map_rest(&v, err);
    if (!rc) rc = count_plain(&v, points, err);
    v.memory += (size_t)v.all.n * 19 + (size_t)v.rest.n * 15 + n * 8;
    free(some);
    free(points);
    if (rc)
        vbg_vocab_free(&v);
    else
        *out = v;
    return rc;
}

void vbg_vocab_free(vbg_vocab *v) {
    for (int k = v->plain ? v->most_points : -1; k >= 0; k--)
        if (k == 0 || v->plain[k] != v->plain[k - 1]) free(v->plain[k]);
    free(v->plain);
    free(v->rest_of);
    vbg_trie_free(&v->all);
    vbg_trie_free(&v->rest);
    memset(v, 0, sizeof *v);
}
