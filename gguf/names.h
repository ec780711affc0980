/* names.h - storage for names, and an index that finds an entry by name in one step and refuses duplicates.
 *
 * The entries are an array of any struct whose first member is `const char *name`. */
#ifndef VB_NAMES_H
#define VB_NAMES_H

#include "base/base.h"

/* Copies of names, NUL-terminated, freed together. */
typedef struct vb_arena {
    struct vb_arena_chunk *chunk; /* the newest */
    size_t used, size;            /* of the newest */
} vb_arena;

/* NULL when out of memory. `text` holds no NUL. */
const char *vb_arena_copy(vb_arena *a, const char *text, size_t len);
void vb_arena_free(vb_arena *a);

typedef struct vb_names {
    uint32_t *slot; /* (mask + 1) an entry's index plus one; 0: empty */
    uint32_t mask;
    const void *entries;
    size_t stride;
} vb_names;

/* Indexes entries[0..n), each `stride` bytes; n < 2^31. The array must stay where it is. Returns
 * VB_ERR_FORMAT, without a message, when two have the same name or when names were chosen to collide (more
 * than 256 in one run of a table that is at most a quarter full): then *clash is the later of the two. */
int vb_names_build(vb_names *t, const void *entries, size_t n, size_t stride, size_t *clash, vb_error *err);
/* The entry of this name, or NULL. */
const void *vb_names_find(const vb_names *t, const char *name);
void vb_names_free(vb_names *t);

#endif
