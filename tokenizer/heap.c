/* heap.c - a binary min-heap, and the growing arrays of this folder. */
#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

int vb_grow(void **p, size_t *cap, size_t need, size_t size, const char *what, vb_error *err) {
    if (need <= *cap) return VB_OK;
    size_t to = *cap ? *cap : 64;
    while (to < need) {
        if (to > SIZE_MAX / 2 / size)
            return vb_fail(err, VB_ERR_MEMORY, "out of memory (%zu %s)", need, what);
        to *= 2;
    }
    void *q = realloc(*p, to * size);
    if (!q) return vb_fail(err, VB_ERR_MEMORY, "out of memory (%zu x %zu bytes for %s)", to, size, what);
    *p = q;
    *cap = to;
    return VB_OK;
}

void vb_string_add(vb_string *b, const char *s, size_t n) {
    if (b->rc) return;
    b->rc = vb_grow((void **)&b->s, &b->cap, b->n + n + 1, 1, "text", b->err);
    if (b->rc) return;
    if (n) memcpy(b->s + b->n, s, n);
    b->n += n;
    b->s[b->n] = 0;
}

void vb_string_puts(vb_string *b, const char *s) {
    vb_string_add(b, s, strlen(s));
}

static void sift_down(vb_heap_item *v, size_t n, size_t i) {
    vb_heap_item x = v[i];
    for (size_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && v[c + 1].key < v[c].key) c++;
        if (x.key <= v[c].key) break;
        v[i] = v[c];
    }
    v[i] = x;
}

int vb_heap_push(vb_heap *h, vb_heap_item x, vb_error *err) {
    if (h->n == h->cap) {
        int rc = vb_grow((void **)&h->v, &h->cap, h->n + 1, sizeof *h->v, "merge candidates", err);
        if (rc) return rc;
    }
    size_t i = h->n++;
    for (; i > 0 && x.key < h->v[(i - 1) / 2].key; i = (i - 1) / 2) h->v[i] = h->v[(i - 1) / 2];
    h->v[i] = x;
    return VB_OK;
}

void vb_heapify(vb_heap *h) {
    for (size_t i = h->n / 2; i-- > 0;) sift_down(h->v, h->n, i);
}

vb_heap_item vb_heap_pop(vb_heap *h) {
    vb_heap_item top = h->v[0];
    if (--h->n > 0) {
        h->v[0] = h->v[h->n];
        sift_down(h->v, h->n, 0);
    }
    return top;
}
