/* bench_grammar.c - time per mask over whole texts, from cold.
 *
 *   bench_grammar MODEL.gguf LIST
 *
 * LIST: lines "KIND<tab>GRAMMAR-FILE<tab>TEXT-FILE", KIND gbnf, regex or json-schema. Each grammar is
 * read and bound anew, then the text's ids are gone through:
 * at each the mask is made, and the id must be in it. Prints one JSON object: times in microseconds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/figures.h"
#include "include/verbatim.h"

/* CPU time of this thread: what else the machine does is not counted. */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct times {
    double *t;
    size_t n, room;
} times;

static void note(times *x, double t) {
    if (x->n == x->room) {
        double *grown = realloc(x->t, (x->room = 2 * x->room + 1024) * sizeof *x->t);
        if (!grown) exit(1);
        x->t = grown;
    }
    x->t[x->n++] = t;
}

static double at(const times *x, double q) {
    return x->n ? 1e6 * x->t[(size_t)(q * (double)(x->n - 1))] : NAN;
}
static double mean(const times *x) {
    double s = 0;
    for (size_t i = 0; i < x->n; i++) s += x->t[i];
    return x->n ? 1e6 * s / (double)x->n : NAN;
}

typedef struct bench {
    vb_tokenizer *t;
    vb_vocabulary *v;
    times mask, first, open;
    int texts, refused, failed;
    size_t most_bytes;
} bench;

/* One text under one grammar. */
static int one(bench *b, const char *kind, const char *grammar, const char *text_file) {
    vb_error err = {0};
    vb_grammar *g = NULL;
    vb_constraint *c = NULL;
    vb_guide *u = NULL;
    size_t n_source, n_text, n = 0;
    int32_t *ids = NULL;
    char *source = read_file(grammar, &n_source), *text = read_file(text_file, &n_text);
    uint64_t *allowed = calloc(((size_t)vb_tokenizer_size(b->t) + 63) / 64, 8);
    const vb_grammar_kind k = strcmp(kind, "gbnf") == 0    ? VB_GRAMMAR_GBNF
                              : strcmp(kind, "regex") == 0 ? VB_GRAMMAR_REGEX
                                                           : VB_GRAMMAR_JSON_SCHEMA;
    int rc = source && text && allowed ? 0 : -1;
    const double from = now();
    if (!rc) rc = vb_grammar_open(&g, k, source, n_source, NULL, &err);
    if (!rc) rc = vb_constraint_open(&c, g, b->v, NULL, &err);
    if (!rc) rc = vb_guide_open(&u, c, NULL, &err);
    const double opened = now();
    if (!rc) rc = vb_tokenize(b->t, text, n_text, 0, &ids, &n, &err);
    for (size_t i = 0; i <= n && !rc; i++) {
        const double start = now();
        rc = vb_guide_allowed(u, ids, i, allowed, &err);
        const double took = now() - start;
        note(&b->mask, took);
        if (i == 0) note(&b->first, took), note(&b->open, opened - from);
        if (took > 0.005) fprintf(stderr, "%s: mask %zu of %zu took %.1f ms\n", text_file, i, n, 1e3 * took);
        const int32_t want = i < n ? ids[i] : vb_token_eos(b->t);
        if (!rc && !(allowed[want / 64] >> (want % 64) & 1)) {
            fprintf(stderr, "%s: id %zu of %zu is refused\n", text_file, i, n);
            b->refused++;
            break;
        }
    }
    if (rc) {
        fprintf(stderr, "%s: %s\n", grammar, err.message);
        b->failed++;
    }
    if (c) {
        vb_constraint_stats s;
        vb_constraint_stats_get(c, &s);
        if (s.bytes > b->most_bytes) b->most_bytes = s.bytes;
    }
    b->texts++;
    vb_guide_close(u);
    vb_constraint_close(c);
    vb_grammar_close(g);
    vb_free(ids);
    free(source);
    free(text);
    free(allowed);
    return rc;
}

static void report(bench *b, double vocabulary_s) {
    qsort(b->mask.t, b->mask.n, sizeof *b->mask.t, by_value);
    qsort(b->first.t, b->first.n, sizeof *b->first.t, by_value);
    qsort(b->open.t, b->open.n, sizeof *b->open.t, by_value);
    printf("{\"engine\": \"verbatim\", \"texts\": %d, \"failed\": %d, \"refused\": %d, \"ids\": %d, "
           "\"masks\": %zu, "
           "\"mean_us\": %.1f, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, "
           "\"first_p50_us\": %.1f, \"first_max_us\": %.1f, \"open_p50_us\": %.1f, \"open_max_us\": %.1f, "
           "\"most_mb\": %.2f, \"vocabulary_ms\": %.1f}\n",
           b->texts, b->failed, b->refused, vb_tokenizer_size(b->t), b->mask.n, mean(&b->mask),
           at(&b->mask, 0.5), at(&b->mask, 0.9), at(&b->mask, 0.99), at(&b->mask, 1), at(&b->first, 0.5),
           at(&b->first, 1), at(&b->open, 0.5), at(&b->open, 1), (double)b->most_bytes / 1e6,
           1e3 * vocabulary_s);
}

int main(int argc, char **argv) {
    vb_error err = {0};
    vb_gguf *gguf = NULL;
    bench b = {0};
    size_t n;
    if (argc != 3) return fprintf(stderr, "usage: bench_grammar MODEL.gguf LIST\n"), 2;
    char *list = read_file(argv[2], &n);
    if (!list) return fprintf(stderr, "%s: cannot be read\n", argv[2]), 1;
    if (vb_gguf_open(&gguf, argv[1], &err) || vb_tokenizer_open(&b.t, gguf, &err))
        return fprintf(stderr, "%s\n", err.message), 1;
    const double from = now();
    if (vb_vocabulary_open(&b.v, b.t, 0, &err)) return fprintf(stderr, "%s\n", err.message), 1;
    const double vocabulary_s = now() - from;
    list[n] = 0;
    for (char *line = strtok(list, "\n"); line; line = strtok(NULL, "\n")) {
        char *grammar = strchr(line, '\t'), *text = grammar ? strchr(grammar + 1, '\t') : NULL;
        if (!text) continue;
        *grammar++ = 0, *text++ = 0;
        one(&b, line, grammar, text);
    }
    report(&b, vocabulary_s);
    vb_vocabulary_close(b.v);
    vb_tokenizer_close(b.t);
    vb_gguf_close(gguf);
    free(list);
    free(b.mask.t);
    free(b.first.t);
    free(b.open.t);
    return b.refused || b.failed;
}
