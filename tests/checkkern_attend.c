/* checkkern_attend.c - how fast attention to a long context is, by the types of keys and values.
 *
 *   test_checkkern --bench-attention [--set NAME] [--heads 8] [--dim 128] [--positions 8192] [--rows 1]
 *                  [--mb 256] [--rounds 9] [--threads N]
 *
 * Caches of --mb megabytes in F16, more than a CPU's cache holds, are walked through by every pair of types
 * in turn, key head by key head. Medians over rounds: the time beside F16's in the same round, and the share
 * of what the multipliers allow (one position and query head: dim/16 multiplications of 16 floats for the
 * score, as many for the value) that scores and values reach. Keys of Q8I are multiplied 64 at a time, so
 * their share may be above 1. */
#include "simd/simd.h"
#include "tests/checkkern.h"

#include "base/pool.h"
#include "ref/kv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if VB_X86
#include <immintrin.h>
#endif

typedef struct options {
    const char *set;
    int heads, dim, positions, rows, mb, rounds, threads;
} options;

typedef struct pair {
    vb_type k, v;
} pair;
static const pair pairs[] = {{VB_F16, VB_F16},   {VB_Q8_0, VB_Q8_0}, {VB_Q8I, VB_Q8_0}, {VB_Q8I, VB_F16},
                             {VB_Q4_0, VB_Q4_0}, {VB_Q8I, VB_Q4_0},  {VB_BF16, VB_BF16}};
enum { N_PAIRS = sizeof pairs / sizeof pairs[0], MOST_ROUNDS = 99, PARTS = 2 };

typedef struct bench {
    const options *o;
    const vb_kernels *set;
    vb_pool *pool;
    int cells; /* key heads */
    pair types;
    uint8_t *k, *v;
    float *q, *scores, *sums, *out, *room; /* the last four: of a worker */
    size_t ld, room_floats;
    double *seconds; /* (threads, PARTS): scores, values */
} bench;

static double cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void cell_task(void *arg, int index, int worker) {
    bench *b = arg;
    const options *o = b->o;
    const size_t n = (size_t)o->dim, w = (size_t)worker, queries = (size_t)o->heads * (size_t)o->rows;
    const size_t positions = (size_t)o->positions;
    vb_attention_row rows[16];
    for (int t = 0; t < o->rows; t++) {
        const size_t at = (size_t)t * (size_t)o->heads;
        rows[t] = (vb_attention_row){.q = b->q + at * n,
                                     .scores = b->scores + (w * queries + at) * b->ld,
                                     .sums = b->sums + w * queries + at,
                                     .out = b->out + (w * queries + at) * n,
                                     .n = o->positions};
    }
    vb_attention a = {.k_stride = vb_kv_bytes(b->types.k, o->dim),
                      .v_stride = vb_kv_bytes(b->types.v, o->dim),
                      .k_type = b->types.k,
                      .v_type = b->types.v,
                      .heads = o->heads,
                      .head_dim = o->dim,
                      .scale = 0.125f,
                      .base = o->positions,
                      .n_rows = o->rows,
                      .rows = rows,
                      .ld = b->ld};
    a.k = b->k + (size_t)index * positions * a.k_stride;
    a.v = b->v + (size_t)index * positions * a.v_stride;
    float *room = b->room + w * b->room_floats;
    const double start = cpu_now();
    b->set->attend_scores(&a, 0, o->positions, room);
    const double scored = cpu_now();
    for (int t = 0; t < o->rows; t++) {
        for (int h = 0; h < o->heads; h++) b->set->attend_softmax(&a, t, h);
    }
    const double weighed = cpu_now();
    b->set->attend_values(&a, 0, o->heads, 0, o->dim, room);
    b->seconds[PARTS * worker] += scored - start;
    b->seconds[PARTS * worker + 1] += cpu_now() - weighed;
}

/* ---------------------------------------------------------------------- what the multipliers allow */

/* Multiplications of 16 floats per second of one thread, 0 where it is not measured. */
#if VB_X86
enum { LOOPS = 1 << 21, CHAINS = 12 };
__attribute__((target("avx512f"))) static double fma_512(void) {
    __m512 acc[CHAINS], x = _mm512_set1_ps(1e-9f);
    for (int i = 0; i < CHAINS; i++) acc[i] = _mm512_set1_ps((float)i);
    const double start = cpu_now();
    for (int n = 0; n < LOOPS; n++) {
        VB_UNROLL
        for (int i = 0; i < CHAINS; i++) acc[i] = _mm512_fmadd_ps(x, x, acc[i]);
        __asm__ volatile("" : "+v"(x));
    }
    const double seconds = cpu_now() - start;
    volatile float sink = 0;
    for (int i = 0; i < CHAINS; i++) sink = sink + _mm512_reduce_add_ps(acc[i]);
    return (double)LOOPS * CHAINS / seconds;
}
__attribute__((target("avx2,fma"))) static double fma_256(void) {
    __m256 acc[CHAINS], x = _mm256_set1_ps(1e-9f);
    for (int i = 0; i < CHAINS; i++) acc[i] = _mm256_set1_ps((float)i);
    const double start = cpu_now();
    for (int n = 0; n < LOOPS; n++) {
        VB_UNROLL
        for (int i = 0; i < CHAINS; i++) acc[i] = _mm256_fmadd_ps(x, x, acc[i]);
        __asm__ volatile("" : "+x"(x));
    }
    const double seconds = cpu_now() - start;
    volatile float sink = 0;
    for (int i = 0; i < CHAINS; i++) sink = sink + _mm256_cvtss_f32(acc[i]);
    return (double)LOOPS * CHAINS / 2 / seconds;
}
static double fma_rate(const vb_kernels *set) {
    const bool wide = !strcmp(set->name, "avx512") || !strcmp(set->name, "amx");
    return wide ? fma_512() : strcmp(set->name, "ref") ? fma_256() : 0;
}
#else
static double fma_rate(const vb_kernels *set) {
    (void)set;
    return 0;
}
#endif

/* ---------------------------------------------------------------------- rounds */

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, by_value);
    return values[n / 2];
}

/* One walk; wall[0]: seconds of it all, wall[1], wall[2]: CPU time of scores and values of one thread. */
static void walk(bench *b, pair types, double wall[3]) {
    b->types = types;
    memset(b->seconds, 0, (size_t)b->o->threads * PARTS * sizeof *b->seconds);
    const double start = vb_now();
    vb_pool_run(b->pool, b->cells, cell_task, b);
    wall[0] = vb_now() - start;
    wall[1] = wall[2] = 0;
    for (int t = 0; t < b->o->threads; t++) {
        for (int part = 0; part < PARTS; part++) wall[1 + part] += b->seconds[PARTS * t + part];
    }
}

static void bench_set(bench *b) {
    static double times[N_PAIRS][4][MOST_ROUNDS];
    const options *o = b->o;
    const double positions = (double)b->cells * o->positions;
    const int vectors = (o->dim + 15) / 16;
    const double fmas = positions * o->heads * o->rows * vectors;
    for (int round = -1; round < o->rounds; round++) {
        const double rate = fma_rate(b->set);
        double f16 = 0;
        for (int p = 0; p < N_PAIRS; p++) {
            double wall[3];
            if (vb_kv_block(pairs[p].k) > 1 && o->dim % 32) continue;
            walk(b, pairs[p], wall);
            if (p == 0) f16 = wall[0];
            if (round < 0) continue;
            times[p][0][round] = wall[0];
            times[p][1][round] = f16 / wall[0];
            times[p][2][round] = rate > 0 ? fmas / rate / wall[1] : 0;
            times[p][3][round] = rate > 0 ? fmas / rate / wall[2] : 0;
        }
    }
    for (int p = 0; p < N_PAIRS; p++) {
        const double bytes =
            positions * (double)(vb_kv_bytes(pairs[p].k, o->dim) + vb_kv_bytes(pairs[p].v, o->dim));
        if (vb_kv_block(pairs[p].k) > 1 && o->dim % 32) continue;
        const double seconds = median(times[p][0], o->rounds);
        printf("%-7s K %-5s V %-5s %7.2f ms  %5.1f GB/s  %.2f times F16's rate  of the multipliers: scores "
               "%.2f, values %.2f\n",
               b->set->name, vb_kv_name(pairs[p].k), vb_kv_name(pairs[p].v), 1e3 * seconds,
               bytes / seconds * 1e-9, median(times[p][1], o->rounds), median(times[p][2], o->rounds),
               median(times[p][3], o->rounds));
        fflush(stdout);
    }
}

static void fill(bench *b) {
    const options *o = b->o;
    gw_rng rng = {1};
    const size_t n = (size_t)o->dim, queries = (size_t)o->heads * (size_t)o->rows, t = (size_t)o->threads;
    const size_t row = vb_kv_bytes(VB_F16, o->dim), bytes = (size_t)b->cells * (size_t)o->positions * row;
    b->ld = ((size_t)o->positions + VB_ATTEND_BLOCK - 1) / VB_ATTEND_BLOCK * VB_ATTEND_BLOCK + 32;
    b->room_floats = vb_attend_room(o->dim, queries) + 64;
    b->k = malloc(bytes);
    b->v = malloc(bytes);
    b->q = malloc(queries * n * sizeof(float));
    b->scores = calloc(t * queries * b->ld, sizeof(float));
    b->sums = malloc(t * queries * sizeof(float));
    b->out = malloc(t * queries * n * sizeof(float));
    b->room = malloc(t * b->room_floats * sizeof(float));
    b->seconds = malloc(t * PARTS * sizeof(double));
    if (!b->k || !b->v || !b->q || !b->scores || !b->sums || !b->out || !b->room || !b->seconds) abort();
    ck_floats(b->q, (int)(queries * n), CK_GAUSS, &rng);
    /* Bytes that are small numbers whatever their type: float16s, scales and integers alike. */
    for (size_t i = 0; i + 2 <= bytes; i += 2) {
        const uint16_t h = (uint16_t)(0x2400 + (gw_next(&rng) & 0x83ff));
        memcpy(b->k + i, &h, sizeof h);
        memcpy(b->v + i, &h, sizeof h);
    }
}

static int parse(options *o, int argc, char **argv) {
    struct {
        const char *name;
        int *value, least, most;
    } const all[] = {{"--heads", &o->heads, 1, 64},      {"--dim", &o->dim, 1, 1024},
                     {"--rows", &o->rows, 1, 16},        {"--positions", &o->positions, 1, 1 << 20},
                     {"--mb", &o->mb, 1, 1 << 14},       {"--rounds", &o->rounds, 1, MOST_ROUNDS},
                     {"--threads", &o->threads, 1, 1024}};
    for (int i = 0; i + 1 < argc; i += 2) {
        bool known = !strcmp(argv[i], "--set");
        if (known) o->set = argv[i + 1];
        for (size_t j = 0; j < sizeof all / sizeof all[0]; j++) {
            if (strcmp(argv[i], all[j].name) != 0) continue;
            *all[j].value = atoi(argv[i + 1]);
            known = *all[j].value >= all[j].least && *all[j].value <= all[j].most;
        }
        if (!known) return 1;
    }
    return argc % 2;
}

int ck_bench_attention(int argc, char **argv) {
    options o = {.heads = 8,
                 .dim = 128,
                 .positions = 8192,
                 .rows = 1,
                 .mb = 256,
                 .rounds = 9,
                 .threads = vb_physical_cores()};
    if (parse(&o, argc, argv)) {
        fprintf(stderr,
                "usage: --bench-attention [--set NAME] [--heads N] [--dim N] [--positions N] [--rows N] "
                "[--mb N] [--rounds N] [--threads N]\n");
        return 2;
    }
    bench b = {.o = &o};
    const size_t cell = (size_t)o.positions * vb_kv_bytes(VB_F16, o.dim);
    b.cells = (int)(((size_t)o.mb << 20) / 2 / cell);
    if (b.cells < o.threads) b.cells = o.threads;
    b.cells -= b.cells % o.threads;
    if (o.threads > 1 && vb_pool_open(&b.pool, o.threads, NULL)) return 2;
    fill(&b);
    for (const char *const *name = vb_kernel_names(); *name; name++) {
        if ((o.set && strcmp(o.set, *name)) || vb_kernels_choose(*name, &b.set, NULL)) continue;
        if (!o.set && b.set == &vb_kernels_ref) continue; /* seconds per line */
        bench_set(&b);
    }
    vb_pool_close(b.pool);
    free(b.k), free(b.v), free(b.q), free(b.scores), free(b.sums), free(b.out), free(b.room), free(b.seconds);
    return 0;
}
