/* buf.c - things that grow. See buf.h. */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST = 64 }; /* elements; below that a page of the allocator is no smaller */

int vb_grow(void **array, size_t *room, size_t need, size_t size, const char *what, vb_error *err) {
    if (need <= *room) return VB_OK;
    uint64_t bytes = 0;
    size_t to = *room <= SIZE_MAX / 2 ? 2 * *room : need;
    if (to < LEAST) to = LEAST;
    if (to < need) to = need;
    void *grown =
        vb_mul_u64(to, size, &bytes) && bytes <= SIZE_MAX / 2 ? realloc(*array, (size_t)bytes) : NULL;
    if (!grown) return vb_fail(err, VB_ERR_MEMORY, "out of memory (%zu x %zu bytes for %s)", to, size, what);
    *array = grown;
    *room = to;
    return VB_OK;
}

char *vb_buf_reserve(vb_buf *b, size_t n) {
    void *s = b->s;
    if (b->failed) return NULL;
    b->failed = n > SIZE_MAX / 4 - b->n || vb_grow(&s, &b->room, b->n + n + 1, 1, "text", NULL);
    if (b->failed) return NULL;
    b->s = s;
    return b->s + b->n;
}

bool vb_buf_add(vb_buf *b, const char *bytes, size_t n) {
    char *at = vb_buf_reserve(b, n);
    if (!at) return false;
    if (n) memcpy(at, bytes, n);
    at[n] = 0;
    b->n += n;
    return true;
}

bool vb_buf_puts(vb_buf *b, const char *text) {
    return vb_buf_add(b, text, strlen(text));
}

bool vb_buf_addf(vb_buf *b, const char *format, ...) {
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    char *at = n < 0 ? NULL : vb_buf_reserve(b, (size_t)n);
    if (at) {
        vsnprintf(at, (size_t)n + 1, format, again);
        b->n += (size_t)n;
    }
    va_end(again);
    b->failed |= !at;
    return at != NULL;
}

int vb_buf_done(const vb_buf *b, const char *what, vb_error *err) {
    return b->failed ? vb_fail(err, VB_ERR_MEMORY, "out of memory (%zu bytes for %s)", b->n, what) : VB_OK;
}

char *vb_buf_take(vb_buf *b, size_t *n) {
    char *s = vb_buf_add(b, "", 0) ? b->s : NULL;
    if (!s) free(b->s);
    if (s && n) *n = b->n;
    memset(b, 0, sizeof *b);
    return s;
}

void vb_buf_free(vb_buf *b) {
    free(b->s);
    memset(b, 0, sizeof *b);
}
