#include "grammar/schema_arena.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct vbj_chunk {
    vbj_chunk *next;
    size_t used, size;
    max_align_t data[];
};

enum { CHUNK = 1 << 16 };

void vbj_arena_begin(vbj_arena *a, size_t limit, uint64_t max_steps) {
    memset(a, 0, sizeof *a);
    a->limit = limit;
    a->max_steps = max_steps;
}

void vbj_arena_end(vbj_arena *a) {
    while (a->chunks) {
        vbj_chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
    a->used = 0;
}

void vbj_arena_part(vbj_arena *part, const vbj_arena *a) {
    vbj_arena_begin(part, a->limit - a->used, a->max_steps > a->steps ? a->max_steps - a->steps : 0);
    part->full = a->full;
    part->failed = a->failed;
}

void vbj_arena_join(vbj_arena *a, vbj_arena *part) {
    a->steps += part->steps;
    a->full |= part->full;
    a->failed |= part->failed;
    vbj_arena_end(part);
}

static vbj_chunk *new_chunk(vbj_arena *a, size_t bytes) {
    size_t size = bytes > CHUNK ? bytes : CHUNK;
    if (size > a->limit || a->used > a->limit - size) {
        a->full = true;
        return NULL;
    }
    vbj_chunk *c = malloc(sizeof *c + size);
    if (!c) {
        a->failed = true;
        return NULL;
    }
    c->used = 0;
    c->size = size;
    a->used += size;
    /* A block with a chunk of its own goes behind the newest, whose rest stays in use. */
    if (a->chunks && bytes > CHUNK) {
        c->next = a->chunks->next;
        a->chunks->next = c;
    } else {
        c->next = a->chunks;
        a->chunks = c;
    }
    return c;
}

void *vbj_take(vbj_arena *a, size_t count, size_t size) {
    const size_t align = sizeof(max_align_t);
    if (size && count > (SIZE_MAX - align) / size) {
        a->full = true;
        return NULL;
    }
    size_t bytes = (count * size + align - 1) / align * align;
    if (!bytes) bytes = align;
    vbj_chunk *c = a->chunks;
    if (!c || c->size - c->used < bytes) c = new_chunk(a, bytes);
    if (!c) return NULL;
    void *p = (char *)c->data + c->used;
    c->used += bytes;
    return memset(p, 0, bytes);
}

bool vbj_grow(vbj_arena *a, void *items, size_t n, size_t *room, size_t size) {
    if (n < *room) return true;
    void *old;
    memcpy(&old, items, sizeof old);
    size_t more = *room ? 2 * *room : 8;
    if (more <= n) more = n + 1;
    void *block = vbj_take(a, more, size);
    if (!block) return false;
    if (*room) memcpy(block, old, *room * size);
    memcpy(items, &block, sizeof block);
    *room = more;
    return true;
}

uint64_t vbj_sorting(uint64_t n) {
    uint64_t steps = n;
    for (uint64_t k = n; k > 1; k /= 2) steps += n;
    return steps;
}

bool vbj_steps(vbj_arena *a, uint64_t n) {
    a->steps += n;
    if (a->steps > a->max_steps) a->full = true;
    return !a->full;
}
