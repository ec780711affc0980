/* buf.h - things that grow: an array of any element, and bytes written one after the other. Internal. */
#ifndef VB_BUF_H
#define VB_BUF_H

#include "base/base.h"

/* Makes room for `need` elements of `size` bytes in *array, which has room for *room and may be NULL with
 * *room = 0. The room at least doubles, so that appending n elements one by one copies O(n) of them in all.
 * `what` the elements are is for the message, "out of memory (N x SIZE bytes for WHAT)"; *array and *room are
 * untouched on error. */
int vb_grow(void **array, size_t *room, size_t need, size_t size, const char *what, vb_error *err);

/* Bytes with a NUL behind them. Zero-initialise; `s` is NULL until something is added or vb_buf_reserve is
 * called.
 *
 * Once there is no memory, `failed` is set and what follows is not added: whoever writes many small pieces
 * looks at it once, at the end. What was added before stays. */
typedef struct vb_buf {
    char *s;
    size_t n, room; /* bytes written, without the NUL; bytes allocated */
    bool failed;
} vb_buf;

/* Room for n more bytes and the NUL; returns where they go, NULL if the buffer has failed. */
char *vb_buf_reserve(vb_buf *b, size_t n);
/* Each returns false if the buffer has failed, now or before. */
bool vb_buf_add(vb_buf *b, const char *bytes, size_t n);
bool vb_buf_puts(vb_buf *b, const char *text);
bool vb_buf_addf(vb_buf *b, const char *format, ...) VB_PRINTF(2, 3);
/* VB_ERR_MEMORY, naming what the bytes were for, if the buffer has failed. */
int vb_buf_done(const vb_buf *b, const char *what, vb_error *err);
/* Hands the bytes over, to be freed by the caller, and forgets them: "" if nothing was added. NULL if the
 * buffer has failed; the bytes are then freed. *n (may be NULL) is their number. */
char *vb_buf_take(vb_buf *b, size_t *n);
void vb_buf_free(vb_buf *b); /* and zeroes it */

#endif
