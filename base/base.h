/* base.h - what every module stands on: errors, checked arithmetic, time. Internal;
 * knows nothing of models. */
#ifndef VB_BASE_H
#define VB_BASE_H

#include "include/verbatim.h"

#include <stdarg.h>

/* The numerics contract (docs/numerics.md) needs IEEE arithmetic as written: no reassociation, no x87, no
 * contraction. */
#ifdef __FAST_MATH__
#error "verbatim must not be built with -ffast-math: it breaks bit identity (P1)"
#endif

#if defined(__GNUC__)
#define VB_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define VB_PRINTF(f, a)
#endif

/* The first line of every public function that takes an error: forgets what an earlier call left in *err
 * (which may be NULL or never initialised). Everything below a public function shares its error, and there
 * vb_fail keeps the first one. A public function that is called on the way, while there is no error yet,
 * changes nothing by this; one that is called after a failure, to clean up, must be given another error or
 * NULL. */
static inline void vb_begin(vb_error *err) {
    if (!err) return;
    err->code = VB_OK;
    err->message[0] = 0;
}

/* Fills *err (which may be NULL) unless it already holds an error: the first one is the one that explains.
 * Returns code. */
int vb_fail(vb_error *err, int code, const char *format, ...) VB_PRINTF(3, 4);

/* malloc and calloc that report: "out of memory (N bytes for WHAT)". *out is untouched on error. */
int vb_alloc(void **out, size_t count, size_t size, const char *what, vb_error *err);

/* *out = a op b; false on overflow, *out then untouched. */
static inline bool vb_mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool vb_add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

/* Seconds on a clock that never goes back. */
double vb_now(void);

#endif
