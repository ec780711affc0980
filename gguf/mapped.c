/* mapped.c - which file is mapped where, for a handler of SIGBUS: a file that is cut short while it is mapped
 * raises that signal in whoever reads behind its new end. The library handles no signals; the program may. */
#include "gguf/gguf.h"

#include <stdatomic.h>

enum { MOST = 512 };

/* `path` is NULL while the entry is free or being filled in, and is written last. */
typedef struct entry {
    _Atomic(const uint8_t *) begin;
    atomic_size_t size;
    _Atomic(const char *) path;
    atomic_bool taken;
} entry;

static entry entries[MOST];

/* More than there are entries: the others have no name in messages. */
void vb_mapped_add(const vb_part *part) {
    for (int i = 0; i < MOST; i++) {
        entry *e = &entries[i];
        if (atomic_exchange(&e->taken, true)) continue;
        atomic_store(&e->begin, part->data);
        atomic_store(&e->size, (size_t)part->size);
        atomic_store(&e->path, part->path);
        return;
    }
}

void vb_mapped_remove(const vb_part *part) {
    for (int i = 0; i < MOST; i++) {
        entry *e = &entries[i];
        if (!atomic_load(&e->path) || atomic_load(&e->begin) != part->data) continue;
        atomic_store(&e->path, NULL);
        atomic_store(&e->taken, false);
        return;
    }
}

const char *vb_gguf_file_at(const void *address) {
    const uint8_t *at = address;
    for (int i = 0; i < MOST; i++) {
        const char *path = atomic_load(&entries[i].path);
        const uint8_t *begin = atomic_load(&entries[i].begin);
        if (path && at >= begin && (size_t)(at - begin) < atomic_load(&entries[i].size)) return path;
    }
    return NULL;
}
