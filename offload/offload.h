/* offload.h - the interface of a backend: a shared library that computes matrix products elsewhere, on
 * another library, an accelerator, another machine. Plain C, no other header of Verbatim; docs/offload.md is
 * the guide.
 *
 * A backend is a shared library that exports
 *
 *   const vb_offload_backend *vb_offload_entry(uint32_t abi);
 *
 * which returns a table for that version of this interface, or NULL if it does not know it. The table and its
 * strings live as long as the library is loaded.
 *
 * What a backend computes is what ref/kernels.h defines, y = W x for several vectors x, from the same
 * operands:
 *
 *   block-quantised W:  y_t[r] = sum_i value(W, r, i) * (d_t[i/32] * q_t[i])   (q_t, d_t: vb_offload_acts)
 *   F32, F16, BF16 W:   y_t[r] = sum_i W[r, i] * f_t[i]
 *
 * When the library is loaded it is compared with the reference on random weights and activations and classed
 * (offload/prove.c):
 *
 *   bitwise  every output had the bits of the contract
 *   bounded  every output was within what float32 additions in any order can give:
 *            |y - contract| <= 2*(cols + 4)*2^-24 * sum_i |w_i|*|x_i|,
 *            with |w_i| the size of the value's parts, |d*s*q| + |m*n|
 *   refused  anything else; loading fails
 *
 * Trust ends there, too: in use a part of each product is computed again on the CPU, and a result outside the
 * class is an error, not an answer. So a backend can make Verbatim slow or stop it, but hardly make it wrong.
 * It is native code in the same process all the same: load only what you would run.
 *
 * Calls come from one thread at a time. */
#ifndef VB_OFFLOAD_H
#define VB_OFFLOAD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VB_OFFLOAD_ABI    1u
#define VB_OFFLOAD_SYMBOL "vb_offload_entry"

/* What a product came to. Any other number counts as failed. */
enum {
    VB_OFFLOAD_DONE = 0,
    VB_OFFLOAD_DECLINED = 1, /* not this one: the CPU computes it */
    VB_OFFLOAD_FAILED = 2    /* it should have worked: the CPU computes it, and the failure is counted */
};

/* Weights of `rows` outputs and `cols` inputs; row r starts at data + r*row_bytes. `type` is numbered as in
 * GGUF files; gguf/formats.h draws the blocks. */
typedef struct vb_offload_matrix {
    int32_t type, rows, cols;
    const void *data;
    size_t row_bytes;
} vb_offload_matrix;

/* `rows` vectors of `cols` values. planes = 0: only f is there (for F32, F16, BF16 weights, which read f in
 * any case). planes = 1: also q, d and sum16, q in [-127, 127]. planes = 2: the integer is 128*q[0] + q[1],
 * in [-16256, 16256]. */
typedef struct vb_offload_acts {
    int32_t rows, cols, planes;
    const float *f;       /* (rows, cols), before they became integers */
    const int8_t *q;      /* (planes, rows, cols) */
    const float *d;       /* (rows, cols/32) */
    const int32_t *sum16; /* (rows, cols/16) sums of 16 integers */
} vb_offload_acts;

/* What the caller lends. */
typedef struct vb_offload_host {
    uint32_t abi, size; /* VB_OFFLOAD_ABI, sizeof(vb_offload_host): later versions only append */
    int32_t threads;
    /* Runs task(arg, 0 .. n-1, worker) on these threads, worker in [0, threads), and returns when all are
     * done. */
    void (*run)(const struct vb_offload_host *host, int32_t n, void (*task)(void *arg, int index, int worker),
                void *arg);
    /* The first n values of a row of weights, each rounded once to float32. n: a multiple of 256, or cols. */
    void (*dequantize)(int32_t type, const void *row, size_t n, float *out);
    void *self; /* the caller's own */
} vb_offload_host;

typedef struct vb_offload_backend {
    uint32_t abi, size; /* VB_OFFLOAD_ABI, sizeof(vb_offload_backend) */
    const char *name, *description;
    /* Starts the backend. Returns 0, or anything else with the reason in message (NUL-terminated). */
    int (*open)(void **self, char *message, size_t message_size);
    void (*close)(void *self);
    /* Non-zero: will compute this matrix times n vectors. Depends on nothing but its arguments (not on
     * `data`): contexts ask once and rely on it. */
    int (*accepts)(void *self, const vb_offload_matrix *w, int32_t n, int32_t planes);
    /* Makes weights resident; `w` stays as it is until detach. Returns 0 with a handle (NULL is one too), or
     * anything else when this matrix stays with the CPU. Both may be NULL:
     * nothing is kept, handles are NULL. */
    int (*attach)(void *self, const vb_offload_matrix *w, void **handle);
    void (*detach)(void *self, void *handle);
    /* y (x->rows, w->rows) = w times each vector. y is scratch memory that counts only with VB_OFFLOAD_DONE:
     * what was written before a failure is thrown away. */
    int (*multiply)(void *self, void *handle, const vb_offload_matrix *w, const vb_offload_acts *x, float *y,
                    const vb_offload_host *host);
} vb_offload_backend;

typedef const vb_offload_backend *vb_offload_entry_fn(uint32_t abi);

#ifdef __cplusplus
}
#endif
#endif
