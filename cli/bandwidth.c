/* bandwidth.c - how fast this machine reads memory: what the speed of a language model at one token is
 * measured against. */
#include "cli/cli.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define WIDE 1
#else
#define WIDE 0
#endif

enum { MOST_THREADS = 256, ROUNDS = 5 };

typedef uint64_t (*reader)(const uint64_t *p, size_t n);

/* Sums n words, n a multiple of 64, with eight sums of `lanes` words side by side. */
#define READER_BODY(vector, lanes)                                                                           \
    const vector *v = (const vector *)(const void *)p;                                                       \
    vector s0 = {0}, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;                          \
    for (size_t i = 0; i < n / (lanes); i += 8) {                                                            \
        s0 += v[i], s1 += v[i + 1], s2 += v[i + 2], s3 += v[i + 3];                                          \
        s4 += v[i + 4], s5 += v[i + 5], s6 += v[i + 6], s7 += v[i + 7];                                      \
    }                                                                                                        \
    s0 += s1 + s2 + s3 + s4 + s5 + s6 + s7

#if WIDE
typedef uint64_t words4 __attribute__((vector_size(32)));
typedef uint64_t words8 __attribute__((vector_size(64)));

__attribute__((target("avx2"))) static uint64_t read_avx2(const uint64_t *p, size_t n) {
    READER_BODY(words4, 4);
    return s0[0] + s0[1] + s0[2] + s0[3];
}
__attribute__((target("avx512f"))) static uint64_t read_avx512(const uint64_t *p, size_t n) {
    READER_BODY(words8, 8);
    return s0[0] + s0[1] + s0[2] + s0[3] + s0[4] + s0[5] + s0[6] + s0[7];
}
#endif

static uint64_t read_plain(const uint64_t *p, size_t n) {
    READER_BODY(uint64_t, 1);
    return s0;
}

static reader widest(const char **name) {
#if WIDE
    if (__builtin_cpu_supports("avx512f")) {
        *name = "512-bit";
        return read_avx512;
    }
    if (__builtin_cpu_supports("avx2")) {
        *name = "256-bit";
        return read_avx2;
    }
#endif
    *name = "64-bit";
    return read_plain;
}

typedef struct share {
    pthread_t thread;
    bool started;
    uint64_t *words;
    size_t n;
    reader fn; /* NULL: writes instead, so that the pages are there */
    uint64_t sum;
} share;

static void *work(void *arg) {
    share *s = arg;
    if (s->fn)
        s->sum = s->fn(s->words, s->n);
    else
        for (size_t i = 0; i < s->n; i++) s->words[i] = i;
    return NULL;
}

/* One pass by all threads. Returns seconds, or a negative number. */
static double pass(share *shares, int threads) {
    const double start = cli_now();
    bool all = true;
    for (int i = 0; i < threads; i++)
        all &= shares[i].started = pthread_create(&shares[i].thread, NULL, work, &shares[i]) == 0;
    for (int i = 0; i < threads; i++)
        if (shares[i].started) pthread_join(shares[i].thread, NULL);
    return all ? cli_now() - start : -1;
}

int cli_read_bandwidth(cli_bandwidth *out) {
    const uint64_t unit = UINT64_C(1) << 25, most = UINT64_C(1) << 31, available = vb_available_memory();
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    const int threads = cpus < 1 ? 1 : cpus > MOST_THREADS ? MOST_THREADS : (int)cpus;
    uint64_t bytes = most;
    if (available / 2 < bytes) bytes = available / 2 < 2 * unit ? 2 * unit : available / 2 / unit * unit;
    memset(out, 0, sizeof *out);
    out->threads = threads;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return cli_error("out of memory for measuring the bandwidth (%llu bytes)", (unsigned long long)bytes);
#ifdef MADV_HUGEPAGE
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    share *shares = calloc((size_t)threads, sizeof *shares);
    int rc = shares ? CLI_OK : cli_error("out of memory");
    const size_t each = bytes / sizeof(uint64_t) / (size_t)threads / 64 * 64;
    for (int i = 0; i < threads && !rc; i++)
        shares[i] = (share){.words = (uint64_t *)memory + (size_t)i * each, .n = each};
    if (!rc && pass(shares, threads) < 0) rc = cli_error("cannot start %d threads", threads);
    for (int i = 0; i < threads && !rc; i++) shares[i].fn = widest(&out->vectors);
    out->bytes = (uint64_t)each * sizeof(uint64_t) * (uint64_t)threads;
    for (int round = 0; round < ROUNDS && !rc; round++) {
        const double seconds = pass(shares, threads);
        if (seconds <= 0)
            rc = cli_error("cannot start %d threads", threads);
        else if ((double)out->bytes / seconds > out->bytes_per_s)
            out->bytes_per_s = (double)out->bytes / seconds;
    }
    for (int i = 0; i < threads && shares; i++)
        out->checksum += shares[i].sum; /* used: it must be computed */
    free(shares);
    munmap(memory, bytes);
    return rc;
}
