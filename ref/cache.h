/* cache.h - where the keys and values of a sequence lie: the one place that knows. Internal.
 *
 * A cache holds, for every layer and key head, one row of head_dim values per position, keys and values
 * apart, each of its type, and in one layout: (layer, kv_head, position, head_dim). A row never depends on
 * later positions, so that forgetting positions is a matter of counting (P4). */
#ifndef VB_CACHE_H
#define VB_CACHE_H

#include "ref/kv.h"

typedef struct vb_cache {
    vb_type k_type, v_type; /* kv.h */
    int n_layers, n_kv_heads, head_dim;
    int n_ctx; /* positions there is room for */
    void *k, *v;
    void *own[2]; /* the memory that k and v lie in */
} vb_cache;

/* Bytes of one row of keys, or of values. */
static inline size_t vb_cache_row_bytes(const vb_cache *c, vb_type type) {
    return vb_kv_bytes(type, c->head_dim);
}

/* Bytes from the start of k (or v), whose type is given, to the row in a slot; rows of later slots follow one
 * another. Position j lies in slot j, but while a tree is held (engine/tree.h). */
static inline size_t vb_cache_row(const vb_cache *c, vb_type type, int layer, int kv_head, int slot) {
    const size_t head = (size_t)layer * (size_t)c->n_kv_heads + (size_t)kv_head;
    return (head * (size_t)c->n_ctx + (size_t)slot) * vb_cache_row_bytes(c, type);
}

#endif
