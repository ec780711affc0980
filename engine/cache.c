/* cache.c - memory of the caches of keys and values, and what is done to whole ones. */
#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t on the stack */
#include "engine/cache.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int vb_cache_size(vb_cache *c, const vb_model *m, vb_type k, vb_type v, int n_ctx, vb_error *err) {
    *c = (vb_cache){.k_type = k,
                    .v_type = v,
                    .n_layers = m->info.n_layers,
                    .n_kv_heads = m->info.n_kv_heads,
                    .head_dim = m->info.head_dim,
                    .n_ctx = n_ctx};
    uint64_t rows = (uint64_t)c->n_layers, bytes;
    const uint64_t row = (uint64_t)vb_cache_row_bytes(c, k) + (uint64_t)vb_cache_row_bytes(c, v);
    if (!vb_mul_u64(rows, (uint64_t)c->n_kv_heads, &rows) || !vb_mul_u64(rows, (uint64_t)n_ctx, &rows) ||
        !vb_mul_u64(rows, row, &bytes) || bytes > SIZE_MAX / 2)
        return vb_fail(err, VB_ERR_MEMORY, "the KV cache is too large: ask for a smaller n_ctx");
    return VB_OK;
}

enum { LINE = 64 }; /* of the CPU's cache: rows that begin on one are read with fewer loads */

static void *aligned(void *memory) {
    char *p = memory;
    return p + (LINE - (uintptr_t)p % LINE) % LINE;
}

/* calloc takes large blocks from the system as pages that cost nothing until they are written, so a long
 * context costs what is used of it. */
int vb_cache_open(vb_cache *c, const vb_model *m, vb_type k, vb_type v, int n_ctx, vb_error *err) {
    static const char what[] = "the KV cache (a smaller n_ctx needs less)";
    int rc = vb_cache_size(c, m, k, v, n_ctx, err);
    if (rc) return rc;
    const size_t keys = vb_cache_row(c, k, c->n_layers, 0, 0), values = vb_cache_row(c, v, c->n_layers, 0, 0);
    if ((rc = vb_alloc(&c->own[0], keys + LINE, 1, what, err)) ||
        (rc = vb_alloc(&c->own[1], values + LINE, 1, what, err)))
        return rc;
    c->k = aligned(c->own[0]);
    c->v = aligned(c->own[1]);
    return VB_OK;
}

void vb_cache_close(vb_cache *c) {
    free(c->own[0]);
    free(c->own[1]);
}

uint64_t vb_cache_bytes(const vb_cache *c) {
    return (uint64_t)vb_cache_row(c, c->k_type, c->n_layers, 0, 0) +
           (uint64_t)vb_cache_row(c, c->v_type, c->n_layers, 0, 0);
}

/* `slots` rows from slot `there` of from_rows to slot `at` of to_rows: keys, or values. */
static void copy_side(const vb_cache *to, const vb_cache *from, vb_type type, void *to_rows,
                      const void *from_rows, int at, int there, int slots) {
    const size_t bytes = (size_t)slots * vb_cache_row_bytes(to, type);
    for (int layer = 0; layer < to->n_layers; layer++) {
        for (int head = 0; head < to->n_kv_heads; head++)
            memmove((char *)to_rows + vb_cache_row(to, type, layer, head, at),
                    (const char *)from_rows + vb_cache_row(from, type, layer, head, there), bytes);
    }
}

void vb_cache_copy(vb_cache *to, const vb_cache *from, int n) {
    copy_side(to, from, to->k_type, to->k, from->k, 0, 0, n);
    copy_side(to, from, to->v_type, to->v, from->v, 0, 0, n);
}

void vb_cache_move(vb_cache *c, int from, int to) {
    copy_side(c, c, c->k_type, c->k, c->k, to, from, 1);
    copy_side(c, c, c->v_type, c->v, c->v, to, from, 1);
}

void vb_cache_hash(const vb_cache *c, int n, int base, const int32_t *path, uint8_t hash[16]) {
    const int together = path && base < n ? base : n; /* of these j lies in slot j */
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    for (int layer = 0; layer < c->n_layers; layer++) {
        for (int side = 0; side < 2; side++) {
            const char *from = side == 0 ? c->k : c->v;
            const vb_type type = side == 0 ? c->k_type : c->v_type;
            const size_t row = vb_cache_row_bytes(c, type);
            for (int head = 0; head < c->n_kv_heads; head++) {
                XXH3_128bits_update(&state, from + vb_cache_row(c, type, layer, head, 0),
                                    (size_t)together * row);
                for (int j = together; j < n; j++)
                    XXH3_128bits_update(&state, from + vb_cache_row(c, type, layer, head, path[j - base]),
                                        row);
            }
        }
    }
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    memcpy(hash, canonical.digest, 16);
}
