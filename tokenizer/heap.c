/* heap.c - a binary min-heap. */
#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

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
