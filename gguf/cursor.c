/* cursor.c - reads that stay inside the file. Each compares what it needs with what is left before it
 * moves, and messages say at which byte the field begins. */
#include "gguf/cursor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void vb_cursor_init(vb_cursor *c, const char *path, const uint8_t *data, uint64_t size, vb_error *err) {
    memset(c, 0, sizeof *c);
    c->path = path;
    c->data = data;
    c->size = size;
    c->err = err;
}

void vb_cursor_at(vb_cursor *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->where, sizeof c->where, format, args);
    va_end(args);
}

const char *vb_short_path(const char *path) {
    const size_t len = strlen(path), most = 400;
    return len > most ? path + (len - most) : path;
}

int vb_cursor_fail(vb_cursor *c, int code, uint64_t offset, const char *field, const char *format, ...) {
    if (c->code != VB_OK) return c->code;
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->code = code;
    return vb_fail(c->err, code, "%s: byte %" PRIu64 ", %s%s%s: %s", vb_short_path(c->path), offset, c->where,
                   *c->where ? ", " : "", field, text);
}

const uint8_t *vb_cursor_bytes(vb_cursor *c, uint64_t n, const char *field) {
    if (c->code != VB_OK) return NULL;
    if (n > vb_cursor_left(c)) {
        vb_cursor_fail(c, VB_ERR_FORMAT, c->pos, field,
                       "needs %" PRIu64 " bytes, but the file ends after %" PRIu64
                       " more; is the download complete?",
                       n, vb_cursor_left(c));
        return NULL;
    }
    const uint8_t *p = c->data + c->pos;
    c->pos += n;
    return p;
}

uint32_t vb_cursor_u32(vb_cursor *c, const char *field) {
    const uint8_t *p = vb_cursor_bytes(c, 4, field);
    uint32_t v = 0;
    for (int i = 0; p && i < 4; i++) v |= (uint32_t)p[i] << 8 * i;
    return v;
}

uint64_t vb_cursor_u64(vb_cursor *c, const char *field) {
    const uint8_t *p = vb_cursor_bytes(c, 8, field);
    uint64_t v = 0;
    for (int i = 0; p && i < 8; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

const char *vb_cursor_string(vb_cursor *c, uint64_t *len, const char *field) {
    *len = vb_cursor_u64(c, field);
    return (const char *)vb_cursor_bytes(c, *len, field);
}
