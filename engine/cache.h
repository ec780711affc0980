/* cache.h - making, copying and hashing caches of keys and values. The layout is ref/cache.h's. Internal. */
#ifndef VB_ENGINE_CACHE_H
#define VB_ENGINE_CACHE_H

#include "ref/cache.h"
#include "ref/model.h"

/* The shape of a cache of n_ctx positions of a model, without its memory. VB_ERR_MEMORY: too large to
 * address. */
int vb_cache_size(vb_cache *c, const vb_model *m, vb_type k, vb_type v, int n_ctx, vb_error *err);
/* The same with its memory. */
int vb_cache_open(vb_cache *c, const vb_model *m, vb_type k, vb_type v, int n_ctx, vb_error *err);
void vb_cache_close(vb_cache *c);
uint64_t vb_cache_bytes(const vb_cache *c); /* of keys and values together */
/* Positions [0, n) of `from`, which is a cache of the same model and types. */
void vb_cache_copy(vb_cache *to, const vb_cache *from, int n);
/* What lies in slot `from`, to slot `to`. */
void vb_cache_move(vb_cache *c, int from, int to);
/* XXH3-128, canonical form, over positions [0, n): over all layers, over all kv_heads their keys, then
 * likewise their values; the bytes as they lie in the cache, little endian. The capacity does not show,
 * nor do the slots: position j >= base lies in path[j - base], or in slot j where path is NULL. */
void vb_cache_hash(const vb_cache *c, int n, int base, const int32_t *path, uint8_t hash[16]);

#endif
