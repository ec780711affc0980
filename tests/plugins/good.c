/* good.c - the smallest backend: F32 weights, sums in the order of the contract, so its class is bitwise. */
#include "offload/offload.h"

#include <math.h>

static int start(void **self, char *message, size_t message_size) {
    (void)message;
    (void)message_size;
    *self = NULL;
    return 0;
}

static void stop(void *self) {
    (void)self;
}

static int accepts(void *self, const vb_offload_matrix *w, int32_t n, int32_t planes) {
    (void)self;
    (void)n;
    (void)planes;
    return w->type == 0;
}

/* 16 lanes, element i to lane i mod 16, then a tree: docs/numerics.md. */
static float dot(const float *a, const float *b, int n) {
    float lane[16] = {0};
    for (int i = 0; i < n; i++) lane[i % 16] = fmaf(a[i], b[i], lane[i % 16]);
    for (int s = 8; s > 0; s /= 2)
        for (int i = 0; i < s; i++) lane[i] = lane[i] + lane[i + s];
    return lane[0];
}

static int multiply(void *self, void *handle, const vb_offload_matrix *w, const vb_offload_acts *x, float *y,
                    const vb_offload_host *host) {
    (void)self;
    (void)handle;
    (void)host;
    for (int t = 0; t < x->rows; t++)
        for (int r = 0; r < w->rows; r++)
            y[t * w->rows + r] = dot((const float *)w->data + (size_t)r * (size_t)w->cols,
                                     x->f + (size_t)t * (size_t)x->cols, w->cols);
    return VB_OFFLOAD_DONE;
}

static const vb_offload_backend backend = {.abi = VB_OFFLOAD_ABI,
                                           .size = sizeof backend,
                                           .name = "good",
                                           .description = "F32 in the contract's order",
                                           .open = start,
                                           .close = stop,
                                           .accepts = accepts,
                                           .multiply = multiply};

const vb_offload_backend *vb_offload_entry(uint32_t abi);
const vb_offload_backend *vb_offload_entry(uint32_t abi) {
    return abi == VB_OFFLOAD_ABI ? &backend : NULL;
}
