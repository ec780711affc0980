/* text.c - stop strings across token boundaries, characters in one piece. See text.h. */
#include "server/text.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

void vbs_text_open(vbs_text *t, const vbs_stop *stops, int n_stops) {
    memset(t, 0, sizeof *t);
    t->stops = stops;
    t->n_stops = n_stops;
    for (int i = 0; i < n_stops; i++)
        if (stops[i].len > t->longest) t->longest = stops[i].len;
}

void vbs_text_close(vbs_text *t) {
    free(t->held);
    free(t->out);
    memset(t, 0, sizeof *t);
}

/* The length of the longest stop string that ends where bytes[0..n) end; 0 if none does. */
static size_t complete(const vbs_text *t, const char *bytes, size_t n) {
    size_t best = 0;
    for (int i = 0; i < t->n_stops; i++) {
        const vbs_stop *s = &t->stops[i];
        if (s->len <= n && s->len > best && !memcmp(bytes + n - s->len, s->text, s->len)) best = s->len;
    }
    return best;
}

/* How many bytes at the end of bytes[0..n) begin a stop string without completing it. */
static size_t beginning(const vbs_text *t, const char *bytes, size_t n) {
    size_t k = t->longest ? t->longest - 1 : 0;
    for (k = k < n ? k : n; k > 0; k--)
        for (int i = 0; i < t->n_stops; i++)
            if (t->stops[i].len > k && !memcmp(bytes + n - k, t->stops[i].text, k)) return k;
    return 0;
}

int vbs_text_push(vbs_text *t, const char *bytes, size_t n, vb_error *err) {
    if (t->stopped) {
        t->n_out = 0;
        return 0;
    }
    if (n > SIZE_MAX / 4 - t->n_held) return vb_fail(err, VB_ERR_MEMORY, "a text of %zu bytes", n);
    int rc = vb_grow((void **)&t->held, &t->room, t->n_held + n, 1, "text", err);
    if (!rc) rc = vb_grow((void **)&t->out, &t->out_room, t->n_held + n + 3, 1, "text", err);
    if (rc) return rc;
    size_t old = t->n_held, all = old + n, free_bytes = all;
    if (n) memcpy(t->held + old, bytes, n);
    t->taken += n;
    for (size_t end = old + 1; end <= all && !t->stopped; end++) {
        size_t len = complete(t, t->held, end);
        if (!len) continue;
        t->stopped = true;
        free_bytes = end - len;
        t->cut = t->taken - (all - free_bytes);
    }
    size_t keep = t->stopped ? 0 : beginning(t, t->held, all);
    if (!t->stopped) free_bytes = all - keep;
    t->n_out = vb_utf8_push(&t->utf8, t->held, free_bytes, t->out);
    if (keep) memmove(t->held, t->held + free_bytes, keep);
    t->n_held = keep;
    return 0;
}

int vbs_text_end(vbs_text *t, vb_error *err) {
    int rc = vb_grow((void **)&t->out, &t->out_room, t->n_held + 6, 1, "text", err);
    if (rc) return rc;
    t->n_out = vb_utf8_push(&t->utf8, t->held, t->n_held, t->out);
    t->n_out += vb_utf8_flush(&t->utf8, t->out + t->n_out);
    t->n_held = 0;
    return 0;
}
