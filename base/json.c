/* json.c - Jansson between two calls that notice when memory runs out: its allocator is watched, and a
 * reserve lets its reader end in an orderly way (json.h says why). */
#include "base/json.h"

#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local bool failed;

bool vb_json_failed(void) {
    return failed;
}

void vb_json_begin(void) {
    failed = false;
}

void vb_json_fail(void) {
    failed = true;
}

/* ---------------------------------------------------------------------- Jansson's memory */

static bool watched; /* set once, before there are threads */

/* While a text is read: memory for the time between an allocation that failed and the end of reading.
 * Jansson's reader collects a token in a buffer, does not notice when that cannot grow, and looks for the
 * token's end beyond it. So it gets what it asks for once more, and reading ends with the next piece of the
 * text. */
static _Thread_local struct reserve {
    char *bytes;
    size_t room, used;
} reserve;

static void *from_reserve(size_t n) {
    enum { ALIGN = 16 };
    if (n > SIZE_MAX - ALIGN) return NULL;
    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    if (n > reserve.room - reserve.used) return NULL;
    void *p = reserve.bytes + reserve.used;
    reserve.used += n;
    return p;
}

static void *watched_malloc(size_t n) {
    void *p = malloc(n);
    if (p) return p;
    failed = true;
    return from_reserve(n);
}

static void watched_free(void *p) {
    const uintptr_t at = (uintptr_t)p, from = (uintptr_t)reserve.bytes;
    if (!from || at < from || at - from >= reserve.room) free(p);
}

void vb_json_watch(void) {
    watched = true;
    json_set_alloc_funcs(watched_malloc, watched_free);
}

/* ---------------------------------------------------------------------- reading */

typedef struct source {
    const char *at, *end;
} source;

/* A piece is short, so that what Jansson allocates for one fits into the reserve. */
static size_t feed(void *to, size_t most, void *from) {
    enum { PIECE = 64 };
    source *s = from;
    size_t n = (size_t)(s->end - s->at);
    if (failed) return (size_t)-1;
    if (n > most) n = most;
    if (n > PIECE) n = PIECE;
    memcpy(to, s->at, n);
    s->at += n;
    return n;
}

/* Twice the text, which is as large as the buffer of a token becomes, and what a piece takes. */
static bool open_reserve(size_t n) {
    enum { PIECES = 16384 };
    if (!watched) return true;
    if (n > (SIZE_MAX - PIECES) / 2) return false;
    const size_t room = 2 * n + PIECES;
    char *bytes = malloc(room);
    if (!bytes) return false;
    reserve = (struct reserve){.bytes = bytes, .room = room};
    return true;
}

static void close_reserve(void) {
    free(reserve.bytes);
    reserve = (struct reserve){0};
}

json_t *vb_json_read(const char *text, size_t n, size_t flags, json_error_t *where) {
    const bool before = failed;
    source s = {text, text + n};
    json_error_t own;
    json_t *value = NULL;
    if (!where) where = &own;
    *where = (json_error_t){.line = -1, .column = -1};
    failed = !open_reserve(n);
    if (!failed) {
        value = json_load_callback(feed, &s, flags, where);
        failed |= !value && json_error_code(where) == json_error_out_of_memory;
    }
    if (failed) {
        json_decref(value);
        value = NULL;
        snprintf(where->text, sizeof where->text, "out of memory");
    }
    close_reserve();
    failed |= before;
    return value;
}

/* ---------------------------------------------------------------------- writing */

/* Jansson looks at some of the results only; a buffer that has failed goes on failing. */
static int put(const char *bytes, size_t n, void *to) {
    return vb_buf_add(to, bytes, n) ? 0 : -1;
}

char *vb_json_write(const json_t *value, size_t flags, size_t *n) {
    vb_buf s = {0};
    if (!value || json_dump_callback(value, put, &s, flags) || failed || !vb_buf_reserve(&s, 0)) {
        failed |= s.failed && watched; /* who checks every call is not to be reminded for ever */
        vb_buf_free(&s);
        return NULL;
    }
    return vb_buf_take(&s, n);
}
