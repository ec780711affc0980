/* fuzz_http.c - libFuzzer: requests as bytes. The first byte says in how large pieces they come. Where a head
 * and a body in chunks end, and what they mean, must not depend on that; what is taken is within its limits.
 * `make fuzz` builds and runs it. */
#include "server/http_head.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
    if (!good) abort();
}

/* A text in pieces: the end of its head. */
static long find_end(const char *text, size_t n, size_t step, vbs_problem *p) {
    size_t seen = 0;
    long end = 0;
    for (size_t at = step; !end; at += step) {
        end = vbs_head_end(text, at < n ? at : n, &seen, p);
        if (at >= n) break;
    }
    return end;
}

/* The length of a body in chunks, -1: refused, -2: not whole. */
static long dechunk(const char *text, size_t n, size_t step) {
    vbs_chunks c = {0};
    vbs_problem p;
    size_t at = 0, used = 0;
    while (at < n && !vbs_chunks_ended(&c)) {
        const char *piece;
        size_t n_piece;
        const size_t here = n - at < step ? n - at : step;
        const long taken = vbs_chunks_take(&c, text + at, here, &piece, &n_piece, &p);
        if (taken < 0) {
            check(p.status >= 400 && p.message[0]);
            return -1;
        }
        check(taken > 0 && (size_t)taken <= here && n_piece <= (size_t)taken && piece == text + at);
        at += (size_t)taken;
        used += n_piece;
    }
    return vbs_chunks_ended(&c) ? (long)used : -2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static vbs_head h;
    vbs_problem p = {0};
    if (size < 1) return 0;
    const size_t step = data[0] + 1u, n = size - 1;
    char *text = malloc(n + 1); /* in memory of its own, so that a read beyond it is seen */
    if (!text) return 0;
    memcpy(text, data + 1, n);
    const long end = find_end(text, n, step, &p);
    check((end < 0) == (find_end(text, n, n + 1, &p) < 0) &&
          (end < 0 || end == find_end(text, n, n + 1, &p)));
    if (end < 0) check(p.status >= 400 && p.message[0]);
    check(dechunk(text, n, step) == dechunk(text, n, n + 1));
    if (end > 0) {
        if (vbs_head_read(&h, text, (size_t)end, &p)) {
            check(p.status >= 400 && p.status < 600 && p.message[0]);
        } else {
            check(h.method[0] && h.path[0] == '/' && !strstr(h.path, "//") && h.n_headers <= VBS_MAX_HEADERS);
            check(h.old || h.host[0] || vbs_head_find(&h, "Host"));
            check(!h.chunked || (!h.length && !vbs_head_find(&h, "Content-Length")));
            for (int i = 0; i < h.n_headers; i++)
                check(h.headers[i].name[0] && !strpbrk(h.headers[i].value, "\r\n"));
        }
    }
    free(text);
    return 0;
}
