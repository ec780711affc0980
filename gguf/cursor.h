/* cursor.h - bounded reads from a mapped file. Every byte that the parser looks at goes through here.
 *
 * A cursor never reads past `size` and never computes pos + n before knowing that it fits. The first error is
 * kept: from then on every read returns zero or NULL and does nothing, so that a caller may read several
 * fields and check once. */
#ifndef VB_CURSOR_H
#define VB_CURSOR_H

#include "base/base.h"

typedef struct vb_cursor {
    const uint8_t *data;
    uint64_t size, pos;
    const char *path; /* for messages */
    char where[160];  /* for messages: "metadata entry 3 'general.name'"; may be empty */
    vb_error *err;    /* may be NULL */
    int code;         /* the first error, or VB_OK */
} vb_cursor;

void vb_cursor_init(vb_cursor *c, const char *path, const uint8_t *data, uint64_t size, vb_error *err);

/* Sets `where`. */
void vb_cursor_at(vb_cursor *c, const char *format, ...) VB_PRINTF(2, 3);

/* Records an error about the field at byte `offset`, unless there is one already: "PATH: byte N, WHERE,
 * FIELD: ...". Returns the first error's code. */
int vb_cursor_fail(vb_cursor *c, int code, uint64_t offset, const char *field, const char *format, ...)
    VB_PRINTF(5, 6);

/* n bytes, in place; NULL when fewer are left. */
const uint8_t *vb_cursor_bytes(vb_cursor *c, uint64_t n, const char *field);
/* Little-endian numbers. */
uint32_t vb_cursor_u32(vb_cursor *c, const char *field);
uint64_t vb_cursor_u64(vb_cursor *c, const char *field);
/* A string: its length in 8 bytes, then that many bytes. Returns them in place; NULL on error. */
const char *vb_cursor_string(vb_cursor *c, uint64_t *len, const char *field);

static inline uint64_t vb_cursor_left(const vb_cursor *c) {
    return c->size - c->pos;
}

/* The end of a path, short enough to leave room for the rest of a message. */
const char *vb_short_path(const char *path);

#endif
