/* base.c - how an error is filled in, memory that reports what it was for, and a clock. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int vb_fail(vb_error *err, int code, const char *format, ...) {
    if (err && err->code == VB_OK) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        err->code = code;
    }
    return code;
}

int vb_alloc(void **out, size_t count, size_t size, const char *what, vb_error *err) {
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p) return vb_fail(err, VB_ERR_MEMORY, "out of memory (%zu x %zu bytes for %s)", count, size, what);
    *out = p;
    return VB_OK;
}

void vb_free(void *p) {
    free(p);
}

double vb_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
