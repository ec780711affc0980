/* openblas.c - an offload backend on OpenBLAS: prompts by sgemm. A shared library of its own, so that the
 * program does not need OpenBLAS (make offload-openblas; docs/offload.md has the measurements).
 *
 * Rows of weights are dequantised a tile at a time into float32 scratch that stays in the cache, and
 * multiplied by all vectors at once. Tiles are spread over the caller's threads; OpenBLAS itself runs on one
 * thread in each, so a result does not depend on how many there are. With few vectors the work of
 * dequantising is not shared by enough products, so calls under LEAST_QUANTIZED and LEAST_FLOAT vectors are
 * declined. Vectors before block-quantised weights are the integers times their scale, as the contract has
 * it: the class is `bounded`, the same products in another order.
 *
 * sgemm: C = alpha*A*B + beta*C [Dongarra et al. 1990, A Set of Level 3 Basic Linear Algebra Subprograms]. */
#include "offload/offload.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void openblas_set_num_threads(int n);

enum { TILE_ROWS = 48, LEAST_QUANTIZED = 16, LEAST_FLOAT = 2, MOST_THREADS = 256 };

typedef struct state {
    float *tile[MOST_THREADS]; /* (TILE_ROWS, tile_cols) per thread */
    int tile_cols, tiles;
    float *x; /* (rows, cols) vectors of integers, multiplied out */
    size_t x_size;
} state;

static int start(void **self, char *message, size_t message_size) {
    openblas_set_num_threads(1);
    *self = calloc(1, sizeof(state));
    if (!*self) snprintf(message, message_size, "out of memory");
    return *self ? 0 : -1;
}

static void stop(void *self) {
    state *s = self;
    for (int i = 0; i < s->tiles; i++) free(s->tile[i]);
    free(s->x);
    free(s);
}

/* F32, F16 and BF16 as numbered in GGUF files. */
static int is_float(int32_t type) {
    return type == 0 || type == 1 || type == 30;
}

static int accepts(void *self, const vb_offload_matrix *w, int32_t n, int32_t planes) {
    (void)self;
    (void)planes;
    return n >= (is_float(w->type) ? LEAST_FLOAT : LEAST_QUANTIZED);
}

/* Memory grows to the largest matrix seen. */
static int prepare(state *s, int threads, int cols, size_t values) {
    if (threads > MOST_THREADS) return -1;
    if (cols > s->tile_cols) {
        for (int i = 0; i < s->tiles; i++) free(s->tile[i]);
        s->tiles = 0;
        s->tile_cols = cols;
    }
    for (; s->tiles < threads; s->tiles++) {
        s->tile[s->tiles] = malloc((size_t)TILE_ROWS * (size_t)s->tile_cols * sizeof(float));
        if (!s->tile[s->tiles]) return -1;
    }
    if (values > s->x_size) {
        free(s->x);
        s->x = calloc(values, sizeof *s->x);
        s->x_size = s->x ? values : 0;
    }
    return values && !s->x ? -1 : 0;
}

/* d*q of one vector. */
static void multiply_out(const vb_offload_acts *x, size_t t, float *out) {
    const size_t n = (size_t)x->cols, plane = (size_t)x->rows * n;
    const int8_t *q = x->q + t * n;
    for (size_t i = 0; i < n; i++) {
        const int integer = x->planes == 2 ? 128 * q[i] + q[plane + i] : q[i];
        out[i] = x->d[t * (n / 32) + i / 32] * (float)integer;
    }
}

typedef struct job {
    state *s;
    const vb_offload_matrix *w;
    const vb_offload_acts *x;
    const vb_offload_host *host;
    const float *vectors;
    float *y;
} job;

static void vector_task(void *arg, int index, int worker) {
    const job *j = arg;
    (void)worker;
    multiply_out(j->x, (size_t)index, j->s->x + (size_t)index * (size_t)j->x->cols);
}

/* Rows [index*TILE_ROWS, ...): y (vectors, rows) = vectors (vectors, cols) * tile^T (cols, rows). */
static void tile_task(void *arg, int index, int worker) {
    const job *j = arg;
    const vb_offload_matrix *w = j->w;
    const int first = index * TILE_ROWS, rows = w->rows - first < TILE_ROWS ? w->rows - first : TILE_ROWS;
    const char *data = (const char *)w->data + (size_t)first * w->row_bytes;
    const float *tile = (const float *)(const void *)data;
    if (w->type != 0) {
        for (int r = 0; r < rows; r++)
            j->host->dequantize(w->type, data + (size_t)r * w->row_bytes, (size_t)w->cols,
                                j->s->tile[worker] + (size_t)r * (size_t)w->cols);
        tile = j->s->tile[worker];
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, j->x->rows, rows, w->cols, 1.0f, j->vectors, w->cols,
                tile, w->cols, 0.0f, j->y + first, w->rows);
}

static int multiply(void *self, void *handle, const vb_offload_matrix *w, const vb_offload_acts *x, float *y,
                    const vb_offload_host *host) {
    job j = {.s = self, .w = w, .x = x, .host = host, .vectors = x->f, .y = y};
    const int integers = !is_float(w->type);
    (void)handle;
    if (prepare(self, host->threads, w->cols, integers ? (size_t)x->rows * (size_t)x->cols : 0))
        return VB_OFFLOAD_FAILED;
    if (integers) {
        host->run(host, x->rows, vector_task, &j);
        j.vectors = j.s->x;
    }
    host->run(host, (w->rows + TILE_ROWS - 1) / TILE_ROWS, tile_task, &j);
    return VB_OFFLOAD_DONE;
}

static const vb_offload_backend backend = {.abi = VB_OFFLOAD_ABI,
                                           .size = sizeof backend,
                                           .name = "openblas",
                                           .description = "OpenBLAS sgemm on dequantised tiles, for prompts",
                                           .open = start,
                                           .close = stop,
                                           .accepts = accepts,
                                           .multiply = multiply};

const vb_offload_backend *vb_offload_entry(uint32_t abi);
const vb_offload_backend *vb_offload_entry(uint32_t abi) {
    return abi == VB_OFFLOAD_ABI ? &backend : NULL;
}
