/* cache.h - where the keys and values of a sequence lie: the one place that knows. Internal.
 *
 * A cache holds, for every layer and key head, one row of head_dim values per position, keys and values apart
 * and in one layout: (layer, kv_head, position, head_dim). A row never depends on later positions, so that
 * forgetting positions is a matter of counting (P4). */
#ifndef VB_CACHE_H
#define VB_CACHE_H

#include "base/base.h"

typedef struct vb_cache {
    vb_type type; /* VB_F16 or VB_F32 */
    int n_layers, n_kv_heads, head_dim;
    int n_ctx; /* positions there is room for */
    void *k, *v;
    void *own[2]; /* the memory that k and v lie in */
} vb_cache;

/* Bytes of one row. */
static inline size_t vb_cache_row_bytes(const vb_cache *c) {
    return (size_t)c->head_dim * (c->type == VB_F32 ? sizeof(float) : sizeof(uint16_t));
}

/* Bytes from the start of k, and of v, to the row in a slot; rows of later slots follow one another. Position
 * j lies in slot j, but while a tree is held (engine/tree.h). */
static inline size_t vb_cache_row(const vb_cache *c, int layer, int kv_head, int slot) {
    const size_t head = (size_t)layer * (size_t)c->n_kv_heads + (size_t)kv_head;
    return (head * (size_t)c->n_ctx + (size_t)slot) * vb_cache_row_bytes(c);
}

#endif
