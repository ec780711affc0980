/* checkkern_bench.c - how fast the matrix kernels of every set are, beside the read bandwidth of this
 * machine.
 *
 *   test_checkkern --bench [--set NAME] [--type NAME] [--cols 2048] [--mb 512] [--rounds 5] [--threads N]
 *
 * One line per set, type and form (packed, or as mapped). GB/s are bytes of weights per second with one
 * vector; v(T) is the time of T vectors times the read bandwidth over the bytes of the weights: 1 is what
 * reading them once costs. Weights are larger than any cache. Reads and kernels take turns, and the best of
 * all rounds counts for each. */
#include "simd/simd.h"
#include "tests/checkkern.h"

#include "base/pool.h"
#include "simd/repack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

typedef struct options {
    const char *set, *type;
    int cols, mb, rounds, threads;
} options;

enum { READ_PIECE = 1 << 20, ROWS_PER_TASK = 128 };
static const int vectors[] = {1, 2, 4, 6, 8, 12, 16, 64};
enum {
    N_VECTORS = sizeof vectors / sizeof vectors[0],
    N_TIMES = N_VECTORS + 1
}; /* the last: one vector, q16 */

typedef struct bench {
    const options *o;
    vb_pool *pool;
    const vb_kernels *set;
    vb_matrix w; /* packed or mapped */
    vb_acts x[N_TIMES];
    float *y;
    uint8_t *bytes;
    size_t size;
    uint64_t *sums; /* per worker */
    const vb_acts *now;
} bench;

#if defined(__x86_64__) && defined(__GNUC__)
typedef uint64_t words __attribute__((vector_size(64)));
__attribute__((target_clones("avx512f", "avx2", "default")))
#else
typedef uint64_t words __attribute__((vector_size(16)));
#endif
static uint64_t
sum_of(const uint8_t *p) {
    const words *v = (const words *)(const void *)p;
    words s0 = {0}, s1 = s0, s2 = s0, s3 = s0;
    for (size_t i = 0; i < READ_PIECE / sizeof *v; i += 4) {
        s0 ^= v[i];
        s1 ^= v[i + 1];
        s2 ^= v[i + 2];
        s3 ^= v[i + 3];
    }
    s0 ^= s1 ^ s2 ^ s3;
    return s0[0] ^ s0[1];
}

static void read_task(void *arg, int index, int worker) {
    bench *b = arg;
    b->sums[8 * worker] += sum_of(b->bytes + (size_t)index * READ_PIECE);
}

static void matmul_task(void *arg, int index, int worker) {
    (void)worker;
    bench *b = arg;
    const int row0 = index * ROWS_PER_TASK;
    const int row1 = b->w.rows - row0 < ROWS_PER_TASK ? b->w.rows : row0 + ROWS_PER_TASK;
    b->set->matmul[b->w.type](&b->w, b->now, row0, row1, b->y, (size_t)b->w.rows);
}

/* Of one thread, the time that it had a CPU: other programs then disturb less. */
static double now(const bench *b) {
    if (b->o->threads > 1) return vb_now();
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double timed(bench *b, int tasks, vb_task task) {
    const double start = now(b);
    vb_pool_run(b->pool, tasks, task, b);
    return now(b) - start;
}

static void take(double *best, double seconds) {
    if (seconds < *best) *best = seconds;
}

static void run(bench *b, const char *form) {
    double best[N_TIMES], read = 1e9;
    for (int i = 0; i < N_TIMES; i++) best[i] = 1e9;
    for (int round = 0; round < b->o->rounds; round++) {
        take(&read, timed(b, (int)(b->size / READ_PIECE), read_task));
        for (int i = 0; i < N_TIMES; i++) {
            b->now = &b->x[i];
            take(&best[i], timed(b, (b->w.rows + ROWS_PER_TASK - 1) / ROWS_PER_TASK, matmul_task));
        }
    }
    const double bytes = (double)b->w.rows * (double)b->w.row_bytes;
    const size_t bytes_read = b->size / READ_PIECE * READ_PIECE;
    const double pass = read * bytes / (double)bytes_read;
    printf("%-7s %-7s %-6s read %5.1f GB/s  T=1 %5.1f GB/s %3.0f %%  q16 %3.0f %%  v", b->set->name,
           vb_type_name((int)b->w.type), form, bytes / pass * 1e-9, bytes / best[0] * 1e-9,
           100 * pass / best[0], 100 * pass / best[N_TIMES - 1]);
    for (int i = 1; i < N_VECTORS; i++) printf(" (%d) %.2f", vectors[i], best[i] / pass);
    printf("  %.0f GMAC/s\n",
           (double)b->w.rows * b->w.cols * vectors[N_VECTORS - 1] / best[N_VECTORS - 1] * 1e-9);
    fflush(stdout);
}

static uint8_t *huge(size_t n) {
    uint8_t *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        fprintf(stderr, "checkkern: no memory for %zu bytes\n", n);
        exit(2);
    }
#ifdef MADV_HUGEPAGE
    madvise(p, n, MADV_HUGEPAGE);
#endif
    return p;
}

/* A matrix of o->mb megabytes, 64 random rows over and over. */
static void bench_type(bench *b, vb_type type) {
    gw_rng rng = {1};
    const vb_matrix seed = ck_matrix(type, 64, b->o->cols, CK_NORMAL, &rng);
    const size_t piece = 64 * seed.row_bytes, pieces = ((size_t)b->o->mb << 20) / piece;
    b->w = seed;
    b->w.rows = (int)(64 * pieces);
    b->size = pieces * piece;
    b->bytes = huge(b->size);
    b->w.data = b->bytes;
    b->y = (float *)(void *)huge((size_t)b->w.rows * 64 * sizeof(float));
    for (int i = 0; i < N_TIMES; i++) {
        const int planes = vb_type_block_values((int)type) == 1 ? 0 : i == N_TIMES - 1 ? 2 : 1;
        b->x[i] = ck_acts(i == N_TIMES - 1 ? 1 : vectors[i], b->o->cols, planes, CK_GAUSS, &rng);
    }
    for (int mapped = 0; mapped < 2; mapped++) {
        if (!mapped && !seed.packed) continue;
        const void *from = mapped ? (const void *)seed.data : seed.packed;
        for (size_t i = 0; i < pieces; i++) memcpy(b->bytes + i * piece, from, piece);
        b->w.packed = mapped ? NULL : b->bytes;
        run(b, mapped ? "mapped" : "packed");
    }
    munmap(b->y, (size_t)b->w.rows * 64 * sizeof(float));
    munmap(b->bytes, b->size);
    ck_release();
}

static int parse(options *o, int argc, char **argv) {
    for (int i = 0; i + 1 < argc; i += 2) {
        const char *k = argv[i], *v = argv[i + 1];
        if (!strcmp(k, "--set"))
            o->set = v;
        else if (!strcmp(k, "--type"))
            o->type = v;
        else if (!strcmp(k, "--cols"))
            o->cols = atoi(v);
        else if (!strcmp(k, "--mb"))
            o->mb = atoi(v);
        else if (!strcmp(k, "--rounds"))
            o->rounds = atoi(v);
        else if (!strcmp(k, "--threads"))
            o->threads = atoi(v);
        else
            return 1;
    }
    return argc % 2 || o->cols < 256 || o->cols % 256 || o->mb < 1 || o->rounds < 1 || o->threads < 1;
}

int ck_bench(int argc, char **argv) {
    options o = {.cols = 2048, .mb = 512, .rounds = 5, .threads = vb_physical_cores()};
    if (parse(&o, argc, argv)) {
        fprintf(stderr,
                "usage: --bench [--set NAME] [--type NAME] [--cols N] [--mb N] [--rounds N] [--threads N]\n");
        return 2;
    }
    bench b = {.o = &o};
    b.sums = calloc((size_t)o.threads * 8, sizeof *b.sums);
    if (!b.sums || (o.threads > 1 && vb_pool_open(&b.pool, o.threads, NULL))) return 2;
    for (const char *const *name = vb_kernel_names(); *name; name++) {
        if ((o.set && strcmp(o.set, *name)) || vb_kernels_choose(*name, &b.set, NULL)) continue;
        if (!o.set && b.set == &vb_kernels_ref) continue; /* seconds per line */
        for (int t = 0; t < VB_TYPE_LIMIT; t++) {
            if (vb_type_name(t) && (!o.type || !strcmp(o.type, vb_type_name(t)))) bench_type(&b, (vb_type)t);
        }
    }
    vb_pool_close(b.pool);
    free(b.sums);
    return 0;
}
