/* bench_eval.c - how fast a model is evaluated here: one token at a time, and k tokens together, which
 * decides whether a draft pays: c(k) is the time of k tokens over the time of one.
 *
 *   bench_eval MODEL.gguf [KERNELS [THREADS]]
 *
 * Prints tokens/s, c(k), the bytes of weights read per second, and the peak memory beyond weights and KV
 * cache. Every figure is the median of repeated calls. */
#include "bench/figures.h"
#include "include/verbatim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { PREFIX = 32, MOST = 16, MAX_REPEATS = 200 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The median time of evaluating k tokens behind a prefix, all logits wanted; each time from the same cache.
 * Ends after a second or MAX_REPEATS calls, never before three. */
static int time_batch(vb_context *c, const int32_t *tokens, size_t k, double *seconds, vb_error *err) {
    static const uint8_t want[MOST] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    double times[MAX_REPEATS];
    int n = 0, rc = 0;
    const double start = now();
    while (!rc && n < MAX_REPEATS && (n < 3 || now() - start < 1.0)) {
        const double t = now();
        rc = vb_eval(c, tokens, k, want, err);
        times[n++] = now() - t;
        if (!rc) rc = vb_context_truncate(c, PREFIX, err);
    }
    *seconds = median(times, n);
    return rc;
}

static int measure(vb_context *c, const vb_model_info *info, const char *path, vb_error *err) {
    static const size_t sizes[] = {2, 4, 6, 8, MOST};
    int32_t tokens[PREFIX];
    double one, many;
    for (int i = 0; i < PREFIX; i++) tokens[i] = (7 * i + 3) % info->n_vocab;
    int rc = vb_eval(c, tokens, PREFIX, NULL, err);
    if (!rc) rc = time_batch(c, tokens, 1, &one, err);
    if (rc) return rc;
    printf("%s: kernels %s, %d threads: %.1f tokens/s, %.2f GB/s of weights;", path, vb_context_kernels(c),
           vb_context_threads(c), 1 / one, 1e-9 * (double)info->weight_bytes / one);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        rc = time_batch(c, tokens, sizes[i], &many, err);
        if (rc) return rc;
        printf(" c(%zu) %.2f", sizes[i], many / one);
        fflush(stdout);
    }
    return 0;
}

/* Peak resident memory in bytes. Linux counts in kilobytes, macOS in bytes. */
static double peak_bytes(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
#ifdef __APPLE__
    return (double)u.ru_maxrss;
#else
    return 1024.0 * (double)u.ru_maxrss;
#endif
}

int main(int argc, char **argv) {
    vb_error err = {0};
    vb_gguf *file = NULL;
    vb_model *model = NULL;
    vb_context *context = NULL;
    vb_context_params params;
    int status = 1;
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: bench_eval MODEL.gguf [KERNELS [THREADS]]\n");
        return 2;
    }
    vb_context_defaults(&params);
    params.n_ctx = 256;
    if (argc > 2) params.kernels = argv[2];
    if (argc > 3) params.n_threads = atoi(argv[3]);
    if (vb_gguf_open(&file, argv[1], &err) || vb_model_open(&model, file, &err)) goto cleanup;
    const vb_model_info *info = vb_model_describe(model);
    if (vb_context_open(&context, model, &params, &err) || measure(context, info, argv[1], &err))
        goto cleanup;
    const double kv = 4.0 * info->n_layers * info->n_kv_heads * info->head_dim * vb_context_size(context);
    printf("; peak memory %.1f MB, %.1f beyond weights and KV\n", 1e-6 * peak_bytes(),
           1e-6 * (peak_bytes() - (double)info->weight_bytes - kv));
    status = 0;

cleanup:
    if (err.code) fprintf(stderr, "\nbench_eval: %s\n", err.message);
    vb_context_close(context);
    vb_model_close(model);
    vb_gguf_close(file);
    return status;
}
