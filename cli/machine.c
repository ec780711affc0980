/* machine.c - what else of this machine `verbatim bench` measures against: how fast it multiplies floats, and
 * what energy it takes. */
#include "cli/cli.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/* ---------------------------------------------------------------------- multiplications */

enum { MOST_THREADS = 256, ROUNDS = 5, LOOPS = 1 << 20, CHAINS = 12 };

/* CHAINS sums of `lanes` floats side by side, more than the multipliers have stages; returns the number of
 * floats multiplied and added, and something that depends on all sums. */
#define CHAINS_BODY(vector, lanes, set, fma, first)                                                          \
    vector acc[CHAINS], x = set(1e-9f);                                                                      \
    for (int i = 0; i < CHAINS; i++) acc[i] = set((float)i);                                                 \
    for (int n = 0; n < LOOPS; n++) {                                                                        \
        acc[0] = fma(x, x, acc[0]), acc[1] = fma(x, x, acc[1]), acc[2] = fma(x, x, acc[2]);                  \
        acc[3] = fma(x, x, acc[3]), acc[4] = fma(x, x, acc[4]), acc[5] = fma(x, x, acc[5]);                  \
        acc[6] = fma(x, x, acc[6]), acc[7] = fma(x, x, acc[7]), acc[8] = fma(x, x, acc[8]);                  \
        acc[9] = fma(x, x, acc[9]), acc[10] = fma(x, x, acc[10]), acc[11] = fma(x, x, acc[11]);              \
    }                                                                                                        \
    for (int i = 0; i < CHAINS; i++) *sum += first(acc[i]);                                                  \
    return (double)LOOPS * CHAINS * (lanes)

typedef double (*multiplier)(float *sum);

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx512f"))) static double multiply_512(float *sum) {
    CHAINS_BODY(__m512, 16, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_cvtss_f32);
}
__attribute__((target("avx2,fma"))) static double multiply_256(float *sum) {
    CHAINS_BODY(__m256, 8, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_cvtss_f32);
}
#elif defined(__aarch64__) && defined(__ARM_NEON)
static float32x4_t fma_neon(float32x4_t a, float32x4_t b, float32x4_t c) {
    return vfmaq_f32(c, a, b);
}
static float first_neon(float32x4_t a) {
    return vgetq_lane_f32(a, 0);
}
static double multiply_128(float *sum) {
    CHAINS_BODY(float32x4_t, 4, vdupq_n_f32, fma_neon, first_neon);
}
#endif

/* The widest that the kernels chosen here use: a set without 512-bit registers is held to its own bound. */
static multiplier widest(const char *kernels) {
#if defined(__x86_64__) && defined(__GNUC__)
    if (!strcmp(kernels, "avx512") || !strcmp(kernels, "amx")) return multiply_512;
    if (!strcmp(kernels, "avx2") || !strcmp(kernels, "avxvnni")) return multiply_256;
#elif defined(__aarch64__) && defined(__ARM_NEON)
    if (strcmp(kernels, "ref") != 0) return multiply_128;
#endif
    (void)kernels;
    return NULL;
}

typedef struct one {
    pthread_t thread;
    multiplier fn;
    double rate;
    float sum;
} one;

static void *multiply(void *arg) {
    one *o = arg;
    const double start = cli_now(), n = o->fn(&o->sum);
    o->rate = n / (cli_now() - start);
    return NULL;
}

double cli_multiply_rate(const char *kernels, int threads) {
    const multiplier fn = widest(kernels);
    double best = NAN;
    if (!fn || threads < 1 || threads > MOST_THREADS) return NAN;
    one *all = calloc((size_t)threads, sizeof *all);
    for (int round = 0; all && round < ROUNDS; round++) {
        int started = 1;
        double rate = 0;
        for (int i = 0; i < threads; i++) all[i].fn = fn;
        for (; started < threads; started++)
            if (pthread_create(&all[started].thread, NULL, multiply, &all[started])) break;
        multiply(&all[0]);
        for (int i = 1; i < started; i++) pthread_join(all[i].thread, NULL);
        for (int i = 0; i < started; i++) rate += all[i].rate;
        if (started == threads && !(rate < best)) best = rate;
    }
    free(all);
    return best;
}

/* ---------------------------------------------------------------------- energy */

/* A file with one number; false without it. */
static bool read_number(const char *folder, const char *name, const char *file, double *out) {
    char path[512], line[64];
    if ((size_t)snprintf(path, sizeof path, "%s/%s/%s", folder, name, file) >= sizeof path) return false;
    FILE *f = fopen(path, "r");
    if (!f) return false;
    char *end = line;
    if (fgets(line, sizeof line, f)) *out = strtod(line, &end);
    fclose(f);
    return end != line;
}

/* A package, not a part of one ("intel-rapl:0", not "intel-rapl:0:0"). AMD's have these names, too. */
static bool is_package(const char *name) {
    const char *colon = strchr(name, ':');
    return colon && !strchr(colon + 1, ':') && !strncmp(name, "intel-rapl", 10);
}

const char *cli_energy_read(cli_energy *e) {
    const char *folder = getenv("VERBATIM_POWERCAP");
    if (!folder || !*folder) folder = "/sys/class/powercap";
    bool there = false;
    DIR *dir = opendir(folder);
    *e = (cli_energy){0};
    for (const struct dirent *d; dir && (d = readdir(dir)) != NULL;) {
        cli_package *p = &e->packages[e->n];
        if (!is_package(d->d_name) || e->n == CLI_PACKAGES) continue;
        there = true;
        if (snprintf(p->name, sizeof p->name, "%s", d->d_name) >= (int)sizeof p->name) continue;
        if (!read_number(folder, d->d_name, "energy_uj", &p->microjoules)) continue;
        if (!read_number(folder, d->d_name, "max_energy_range_uj", &p->range)) p->range = 0;
        e->n++;
    }
    if (dir) closedir(dir);
    if (e->n) return NULL;
    return there ? "its counters are readable for root only (/sys/class/powercap)"
                 : "this system has no counters of it (/sys/class/powercap)";
}

double cli_joules_between(const cli_energy *from, const cli_energy *to) {
    double sum = 0;
    if (from->n == 0) return NAN;
    for (int i = 0; i < from->n; i++) {
        const cli_package *a = &from->packages[i];
        int j = 0;
        while (j < to->n && strcmp(to->packages[j].name, a->name) != 0) j++;
        if (j == to->n) return NAN;
        double used = to->packages[j].microjoules - a->microjoules;
        if (used < 0) used += a->range; /* the counter began again */
        if (used < 0) return NAN;
        sum += used;
    }
    return 1e-6 * sum;
}
