/* names.c - names lie one after the other in large blocks, and a hash table with open addressing finds
 * their entries. */
#include "gguf/names.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---------------------------------------------------------------------------------------------- arena */

typedef struct vb_arena_chunk {
    struct vb_arena_chunk *next;
    char text[];
} vb_arena_chunk;

const char *vb_arena_copy(vb_arena *a, const char *text, size_t len) {
    if (!a->chunk || len + 1 > a->size - a->used) {
        const size_t size = len + 1 > 65536 ? len + 1 : 65536;
        vb_arena_chunk *chunk = malloc(sizeof *chunk + size);
        if (!chunk) return NULL;
        chunk->next = a->chunk;
        a->chunk = chunk;
        a->size = size;
        a->used = 0;
    }
    char *copy = a->chunk->text + a->used;
    memcpy(copy, text, len);
    copy[len] = 0;
    a->used += len + 1;
    return copy;
}

void vb_arena_free(vb_arena *a) {
    while (a->chunk) {
        vb_arena_chunk *next = a->chunk->next;
        free(a->chunk);
        a->chunk = next;
    }
}

/* ---------------------------------------------------------------------------------------------- index */

enum { LONGEST_RUN = 256 };

static const char *name_of(const vb_names *t, uint32_t slot) {
    return *(const char *const *)(const void *)((const char *)t->entries + (size_t)(slot - 1) * t->stride);
}

/* The slot that holds `name`, or the empty one where it belongs; NULL after LONGEST_RUN others. */
static uint32_t *find_slot(const vb_names *t, const char *name) {
    uint32_t at = (uint32_t)XXH3_64bits(name, strlen(name)) & t->mask;
    for (int run = 0; run < LONGEST_RUN; run++, at = (at + 1) & t->mask) {
        if (!t->slot[at] || !strcmp(name_of(t, t->slot[at]), name)) return &t->slot[at];
    }
    return NULL;
}

int vb_names_build(vb_names *t, const void *entries, size_t n, size_t stride, size_t *clash, vb_error *err) {
    uint32_t size = 16;
    while (size < 4 * (uint64_t)n) size *= 2;
    void *slot = NULL;
    const int code = vb_alloc(&slot, size, sizeof(uint32_t), "an index of names", err);
    if (code) return code;
    *t = (vb_names){.slot = slot, .mask = size - 1, .entries = entries, .stride = stride};
    for (size_t i = 0; i < n; i++) {
        uint32_t *at = find_slot(t, name_of(t, (uint32_t)i + 1));
        if (!at || *at) {
            *clash = i;
            vb_names_free(t);
            return VB_ERR_FORMAT;
        }
        *at = (uint32_t)i + 1;
    }
    return VB_OK;
}

const void *vb_names_find(const vb_names *t, const char *name) {
    if (!t->slot) return NULL;
    const uint32_t *at = find_slot(t, name);
    return at && *at ? (const char *)t->entries + (size_t)(*at - 1) * t->stride : NULL;
}

void vb_names_free(vb_names *t) {
    free(t->slot);
    memset(t, 0, sizeof *t);
}
