/* bench_context.c - what long contexts cost, by position and by the types of the cache.
 *
 *   bench_context MODEL.gguf [POSITIONS [TYPES [ROWS [ROUNDS [KERNELS [THREADS]]]]]]
 *   bench_context 3b.gguf 128,2000,8000,32000 f16:f16,q8_0:q8_0,q8i:q8_0 1,6 9
 *
 * A context of each pair of types (keys:values) is made to hold that many positions without evaluating them:
 * what lies there does not matter for the time, and a prompt of 32,000 tokens takes minutes. Then all of them
 * are timed in turn, and the memory's read bandwidth beside each. Medians over rounds: milliseconds; bytes of
 * weights and cache over the time, as a share of that bandwidth; the rate of the first pair of types in the
 * same round, behind the same positions; the time of one token there. */
#include "bench/figures.h"
#include "engine/context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST = 8, MOST_ROUNDS = 99, MOST_ROWS = 16, READ = 256 << 20, PIECE = 1 << 20 };

typedef struct list {
    int n, at[MOST];
} list;

typedef struct bench {
    list positions, rows;
    int n_types, rounds;
    vb_type types[MOST][2];
    vb_context *contexts[MOST];
    vb_pool *pool;
    uint64_t *memory, sums[VB_MAX_THREADS * 8];
    uint64_t weights;
    double seconds[MOST][MOST][MOST][MOST_ROUNDS], bandwidth[MOST][MOST][MOST][MOST_ROUNDS];
} bench;

static void read_piece(void *arg, int index, int worker) {
    bench *b = arg;
    typedef uint64_t words __attribute__((vector_size(64)));
    const words *v = (const words *)(const void *)(b->memory + (size_t)index * PIECE / 8);
    words s[4] = {{0}};
    for (size_t i = 0; i < PIECE / sizeof *v; i += 4) {
        for (int k = 0; k < 4; k++) s[k] ^= v[i + (size_t)k];
    }
    b->sums[8 * worker] += s[0][0] ^ s[1][1] ^ s[2][2] ^ s[3][3];
}

static double read_bandwidth(bench *b) {
    const double start = vb_now();
    vb_pool_run(b->pool, READ / PIECE, read_piece, b);
    return READ / (vb_now() - start);
}

static void pretend(vb_context *c, int n) {
    const vb_cache *x = &c->cache;
    for (int layer = 0; layer < x->n_layers; layer++) {
        for (int head = 0; head < x->n_kv_heads; head++) {
            memset((char *)x->k + vb_cache_row(x, x->k_type, layer, head, c->length), 0,
                   (size_t)(n - c->length) * vb_cache_row_bytes(x, x->k_type));
            memset((char *)x->v + vb_cache_row(x, x->v_type, layer, head, c->length), 0,
                   (size_t)(n - c->length) * vb_cache_row_bytes(x, x->v_type));
        }
    }
    c->length = n;
}

static int pass(vb_context *c, int rows, double *seconds, vb_error *err) {
    static const uint8_t want[MOST_ROWS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    int32_t tokens[MOST_ROWS];
    const int at = c->length, n_vocab = vb_model_describe(c->model)->n_vocab;
    for (int i = 0; i < rows; i++) tokens[i] = (int32_t)((uint32_t)(i + 1) * 2654435761u % (uint32_t)n_vocab);
    const double start = vb_now();
    const int rc = vb_eval(c, tokens, (size_t)rows, want, err);
    *seconds = vb_now() - start;
    return rc ? rc : vb_context_truncate(c, at, err);
}

static int measure(bench *b, vb_error *err) {
    int rc = 0;
    for (int p = 0; p < b->positions.n && !rc; p++) {
        for (int t = 0; t < b->n_types; t++) pretend(b->contexts[t], b->positions.at[p]);
        for (int round = -1; round < b->rounds && !rc; round++) {
            for (int t = 0; t < b->n_types && !rc; t++) {
                for (int r = 0; r < b->rows.n && !rc; r++) {
                    const int to = round < 0 ? 0 : round;
                    rc = pass(b->contexts[t], b->rows.at[r], &b->seconds[p][t][r][to], err);
                    b->bandwidth[p][t][r][to] = read_bandwidth(b);
                }
            }
        }
    }
    return rc;
}

/* ---------------------------------------------------------------------- report */

static void print(bench *b) {
    double time[MOST_ROUNDS], share[MOST_ROUNDS], rate[MOST_ROUNDS], rows[MOST_ROUNDS];
    printf("%9s %-11s %4s %9s %9s %11s %10s\n", "positions", "types", "rows", "ms", "bandwidth", "of first",
           "of one row");
    for (int p = 0; p < b->positions.n; p++) {
        for (int t = 0; t < b->n_types; t++) {
            const vb_cache *c = &b->contexts[t]->cache;
            const double bytes =
                (double)b->weights +
                (double)b->positions.at[p] * c->n_layers * c->n_kv_heads *
                    (double)(vb_cache_row_bytes(c, c->k_type) + vb_cache_row_bytes(c, c->v_type));
            for (int r = 0; r < b->rows.n; r++) {
                for (int i = 0; i < b->rounds; i++) {
                    time[i] = b->seconds[p][t][r][i];
                    share[i] = bytes / time[i] / b->bandwidth[p][t][r][i];
                    rate[i] = b->seconds[p][0][r][i] / time[i];
                    rows[i] = time[i] / b->seconds[p][t][0][i];
                }
                char types[24];
                snprintf(types, sizeof types, "%s:%s", vb_kv_name(c->k_type), vb_kv_name(c->v_type));
                printf("%9d %-11s %4d %9.2f %9.2f %11.3f %10.2f\n", b->positions.at[p], types, b->rows.at[r],
                       1e3 * median(time, b->rounds), median(share, b->rounds), median(rate, b->rounds),
                       median(rows, b->rounds));
            }
        }
    }
}

/* ---------------------------------------------------------------------- options */

static int read_list(const char *text, int least, int most, list *out) {
    for (out->n = 0; *text; out->n++) {
        char *end;
        const long v = strtol(text, &end, 10);
        if (end == text || out->n == MOST || v < least || v > most || (*end && *end != ',')) return 1;
        out->at[out->n] = (int)v;
        text = *end ? end + 1 : end;
    }
    return out->n == 0;
}

/* The type whose name is text[0..n); false: there is none. */
static bool type_named(const char *text, size_t n, vb_type *out) {
    for (int i = 0; vb_kv_type(i, out); i++) {
        const char *name = vb_kv_name(*out);
        if (strlen(name) == n && !strncasecmp(name, text, n)) return true;
    }
    return false;
}

static int read_types(const char *text, bench *b) {
    for (b->n_types = 0; *text; b->n_types++) {
        const size_t k = strcspn(text, ":"), both = strcspn(text, ",");
        if (b->n_types == MOST || k >= both || !type_named(text, k, &b->types[b->n_types][0]) ||
            !type_named(text + k + 1, both - k - 1, &b->types[b->n_types][1]))
            return 1;
        text += both + (text[both] != 0);
    }
    return b->n_types == 0;
}

static int open_contexts(bench *b, const vb_model *m, const char *kernels, int threads, vb_error *err) {
    int most = 0, rc = 0;
    for (int i = 0; i < b->positions.n; i++) most = b->positions.at[i] > most ? b->positions.at[i] : most;
    for (int t = 0; t < b->n_types && !rc; t++) {
        vb_context_params p;
        vb_context_defaults(&p);
        p.n_ctx = most + MOST_ROWS;
        p.n_threads = threads;
        p.kernels = kernels;
        p.k_type = b->types[t][0];
        p.v_type = b->types[t][1];
        p.share = t ? b->contexts[0] : NULL;
        rc = vb_context_open(&b->contexts[t], m, &p, err);
    }
    threads = rc ? 1 : vb_context_threads(b->contexts[0]);
    if (!rc && threads > 1) rc = vb_pool_open(&b->pool, threads, err);
    return rc;
}

int main(int argc, char **argv) {
    static bench b;
    vb_error err = {0};
    vb_gguf *g = NULL;
    vb_model *m = NULL;
    const char *kernels = argc > 6 ? argv[6] : "auto";
    b.rounds = argc > 5 ? atoi(argv[5]) : 9;
    if (argc < 2 || read_list(argc > 2 ? argv[2] : "128,2000,8000", 0, 1 << 20, &b.positions) ||
        read_types(argc > 3 ? argv[3] : "f16:f16,q8_0:q8_0,q8i:q8_0", &b) ||
        read_list(argc > 4 ? argv[4] : "1,6", 1, MOST_ROWS, &b.rows) || b.rounds < 1 ||
        b.rounds > MOST_ROUNDS) {
        fprintf(stderr, "usage: bench_context MODEL.gguf [POSITIONS [TYPES [ROWS [ROUNDS [KERNELS "
                        "[THREADS]]]]]], positions ascending\n");
        return 2;
    }
    const vb_repack_params repack = {.kernels = kernels};
    int rc = vb_gguf_open(&g, argv[1], &err) || vb_model_open(&m, g, &err) ||
             vb_model_repack(m, &repack, &err) ||
             open_contexts(&b, m, kernels, argc > 7 ? atoi(argv[7]) : 0, &err);
    b.memory = calloc(READ, 1);
    if (!rc && b.memory) {
        memset(b.memory, 1, READ);
        b.weights = vb_model_describe(m)->weight_bytes;
        printf("%s, kernels %s, %d threads, %.0f MB of weights\n", argv[1], vb_context_kernels(b.contexts[0]),
               vb_context_threads(b.contexts[0]), 1e-6 * (double)b.weights);
        rc = measure(&b, &err);
        if (!rc) print(&b);
    }
    if (rc) fprintf(stderr, "bench_context: %s\n", err.message);
    for (int t = b.n_types; t-- > 0;) vb_context_close(b.contexts[t]);
    vb_pool_close(b.pool);
    free(b.memory);
    vb_model_close(m);
    vb_gguf_close(g);
    return rc ? 1 : 0;
}
