/* bench_kernels.c - what the matrix kernels cost when the weights lie in the cache: the arithmetic alone.
 *
 *   bench_kernels [SETS [TYPES [VECTORS [COLS [ROUNDS]]]]]
 *   bench_kernels avx2,avx512 Q4_K,Q6_K,Q4_0,Q8_0 1,6,16,32 2048 21
 *
 * One thread, 64 rows of interleaved weights, in turn over sets, types and numbers of vectors; the median of
 * the rounds. A figure is in cycles per 512 multiply-adds: one group of 32 values of 16 rows with one vector.
 * Cycles are those of the core's own clock: a chain of dependent additions, one a cycle, is timed right
 * before each call. */
#include "bench/figures.h"
#include "simd/simd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST = 16, ROWS_HERE = 64, MOST_ROUNDS = 199, CHAIN = 20000 };

typedef struct bench {
    int n_sets, n_types, n_vectors, cols, rounds;
    const vb_kernels *sets[MOST];
    vb_type types[MOST];
    int vectors[MOST];
    uint8_t *weights;
    float *x, *y;
    vb_acts acts;
} bench;

/* Seconds of one cycle: CHAIN additions, each of which needs the one before. */
static double cycle(void) {
    const double start = vb_now();
    uint64_t v = 1;
    for (int i = 0; i < CHAIN; i++) {
        v += 3;
        __asm__ volatile("" : "+r"(v));
    }
    return (vb_now() - start) / CHAIN;
}

static void *get(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p) {
        fprintf(stderr, "bench_kernels: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return p;
}

static int known(bench *b, const char *sets, const char *types, const char *vectors) {
    char text[3][256];
    snprintf(text[0], sizeof text[0], "%s", sets);
    snprintf(text[1], sizeof text[1], "%s", types);
    snprintf(text[2], sizeof text[2], "%s", vectors);
    char *rest = NULL;
    for (char *s = strtok_r(text[0], ",", &rest); s && b->n_sets < MOST; s = strtok_r(NULL, ",", &rest)) {
        vb_error err = {0};
        if (vb_kernels_choose(s, &b->sets[b->n_sets++], &err)) {
            fprintf(stderr, "bench_kernels: %s\n", err.message);
            return 1;
        }
    }
    for (char *s = strtok_r(text[1], ",", &rest); s && b->n_types < MOST; s = strtok_r(NULL, ",", &rest)) {
        int t = 0;
        while (t < VB_TYPE_LIMIT && (!vb_type_name(t) || strcasecmp(vb_type_name(t), s) != 0)) t++;
        if (t == VB_TYPE_LIMIT || !vb_format_of((vb_type)t)->groups) {
            fprintf(stderr, "bench_kernels: %s is no type whose weights are interleaved\n", s);
            return 1;
        }
        b->types[b->n_types++] = (vb_type)t;
    }
    for (char *s = strtok_r(text[2], ",", &rest); s && b->n_vectors < MOST; s = strtok_r(NULL, ",", &rest)) {
        b->vectors[b->n_vectors++] = atoi(s);
        if (b->vectors[b->n_vectors - 1] < 1 || b->vectors[b->n_vectors - 1] > 512) {
            fprintf(stderr, "bench_kernels: %s vectors, but 1 to 512 can be\n", s);
            return 1;
        }
    }
    return 0;
}

/* Weights of every type at once: bytes that give finite scales wherever they stand. */
static int fill(bench *b) {
    const size_t n = (size_t)b->cols, most = 512;
    b->weights = get(ROWS_HERE * n * 2);
    uint32_t r = 1;
    for (size_t i = 0; i < ROWS_HERE * n * 2; i++) {
        r = r * 1664525u + 1013904223u;
        b->weights[i] = (uint8_t)(r >> 24 & 0x3b);
    }
    b->x = get(n * most * sizeof(float));
    b->y = get(ROWS_HERE * most * sizeof(float));
    for (size_t i = 0; i < n * most; i++) {
        r = r * 1664525u + 1013904223u;
        b->x[i] = (float)(int32_t)r * 0x1p-31f;
    }
    int8_t *q = get(n * most);
    float *d = get(n / 32 * most * sizeof(float));
    int32_t *sums = get(n / 16 * most * sizeof(int32_t));
    for (size_t t = 0; t < most; t++) {
        const int rc = vb_kernels_ref.quantize(b->x + t * n, b->cols, 1, q + t * n, 0, d + t * (n / 32),
                                               sums + t * (n / 16));
        if (rc) return rc;
    }
    b->acts = (vb_acts){.n = b->cols, .planes = 1, .f = b->x, .q = q, .d = d, .sum16 = sums};
    return 0;
}

static double once(bench *b, const vb_kernels *set, vb_type type, int vectors) {
    const int blocks = b->cols / vb_type_block_values((int)type);
    const size_t row = (size_t)blocks * (size_t)vb_type_block_bytes((int)type);
    const vb_matrix w = {type, ROWS_HERE, b->cols, b->weights, row, b->weights};
    b->acts.rows = vectors;
    const int groups = ROWS_HERE / 16 * (b->cols / 32) * vectors; /* of 16 rows, each with each vector */
    const double steps = groups;
    const int repeat = 1 + (int)(20000 / steps);
    const double unit = cycle();
    set->matmul[type](&w, &b->acts, 0, ROWS_HERE, b->y, ROWS_HERE);
    const double start = vb_now();
    for (int i = 0; i < repeat; i++) set->matmul[type](&w, &b->acts, 0, ROWS_HERE, b->y, ROWS_HERE);
    return (vb_now() - start) / repeat / steps / unit;
}

int main(int argc, char **argv) {
    static bench b;
    static double all[MOST][MOST][MOST][MOST_ROUNDS];
    b.cols = argc > 4 ? atoi(argv[4]) : 2048;
    b.rounds = argc > 5 ? atoi(argv[5]) : 21;
    if (b.cols < 256 || b.cols % 256 || b.rounds < 1 || b.rounds > MOST_ROUNDS) {
        fprintf(stderr, "usage: bench_kernels [SETS [TYPES [VECTORS [COLS, a multiple of 256 [ROUNDS]]]]]\n");
        return 2;
    }
    if (known(&b, argc > 1 ? argv[1] : "auto", argc > 2 ? argv[2] : "Q4_K,Q6_K,Q4_0,Q8_0",
              argc > 3 ? argv[3] : "1,6,16,32") ||
        fill(&b))
        return 1;
    for (int r = 0; r < b.rounds; r++)
        for (int s = 0; s < b.n_sets; s++)
            for (int t = 0; t < b.n_types; t++)
                for (int v = 0; v < b.n_vectors; v++)
                    all[s][t][v][r] = once(&b, b.sets[s], b.types[t], b.vectors[v]);
    printf("cycles per 512 multiply-adds; vectors:");
    for (int v = 0; v < b.n_vectors; v++) printf(" %6d", b.vectors[v]);
    puts("");
    for (int t = 0; t < b.n_types; t++)
        for (int s = 0; s < b.n_sets; s++) {
            printf("%-8s %-28s", vb_type_name((int)b.types[t]), b.sets[s]->name);
            for (int v = 0; v < b.n_vectors; v++) printf(" %6.2f", median(all[s][t][v], b.rounds));
            puts("");
        }
    return 0;
}
