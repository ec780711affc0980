/* bench_streams.c - how much more text several generations give together than one alone (vb_spec_step_many).
 *
 *   bench_streams MODEL.gguf [STREAMS [TOKENS [DRAFT.gguf [GAMMA [THREADS]]]]]
 *
 * STREAMS (4) sequences with their own prompts and seeds, TOKENS (64) each; and the first of them alone. Each
 * is measured ROUNDS times in turn. Prints tokens per second of all streams together, and what it is of one
 * stream's. Ends with status 1 when a sequence is not what it was the first time: the first one's alone and
 * together. */
#include "include/verbatim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 16, PROMPT = 16, LONGEST = 512, ROUNDS = 3 };

typedef struct models {
    vb_gguf *gguf[2];
    vb_model *model[2]; /* target, draft */
    vb_context *context[2][MOST];
} models;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int open_one(models *m, int which, const char *path, int streams, int n_threads, vb_error *err) {
    vb_context_params p;
    vb_context_defaults(&p);
    p.n_ctx = PROMPT + LONGEST;
    p.n_threads = n_threads;
    const vb_repack_params r = {.threads = n_threads};
    int rc = vb_gguf_open(&m->gguf[which], path, err);
    if (!rc) rc = vb_model_open(&m->model[which], m->gguf[which], err);
    if (!rc) rc = vb_model_repack(m->model[which], &r, err);
    for (int i = 0; i < streams && !rc; i++) {
        rc = vb_context_open(&m->context[which][i], m->model[which], &p, err);
        p.share = m->context[which][0];
    }
    return rc;
}

static void close_all(models *m) {
    for (int which = 1; which >= 0; which--) {
        for (int i = 0; i < MOST; i++) vb_context_close(m->context[which][i]);
        vb_model_close(m->model[which]);
        vb_gguf_close(m->gguf[which]);
    }
}

/* Opens stream i on emptied caches and reads its prompt. */
static int open_stream(const models *m, int i, int gamma, vb_spec **out, vb_error *err) {
    const int n_vocab = vb_model_describe(m->model[0])->n_vocab;
    int32_t prompt[PROMPT];
    vb_sampling s;
    vb_spec_params p;
    vb_sampling_defaults(&s);
    s.seed = 100 + (uint64_t)i;
    vb_spec_defaults(&p);
    p.gamma = gamma;
    p.logprobs = false;
    if (m->model[1]) {
        p.draft = VB_DRAFT_MODEL;
        p.draft_context = m->context[1][i];
        vb_context_truncate(p.draft_context, 0, NULL);
    }
    vb_context_truncate(m->context[0][i], 0, NULL);
    for (int k = 0; k < PROMPT; k++) prompt[k] = (7 * k + 13 * i + 3) % n_vocab;
    int rc = vb_spec_open(out, m->context[0][i], &s, &p, err);
    return rc ? rc : vb_spec_prompt(*out, prompt, PROMPT, err);
}

/* `streams` sequences of `tokens` tokens; *seconds without their prompts. */
static int generate(const models *m, int streams, size_t tokens, int gamma, int32_t (*text)[LONGEST],
                    double *seconds, vb_error *err) {
    vb_spec *spec[MOST] = {NULL};
    vb_step_item items[MOST];
    size_t n[MOST] = {0};
    static vb_error errors[MOST];
    int rc = 0, open = streams;
    for (int i = 0; i < streams && !rc; i++) rc = open_stream(m, i, gamma, &spec[i], err);
    const double start = now();
    while (open > 0 && !rc) {
        int of[MOST], n_items = 0;
        for (int i = 0; i < streams; i++) {
            if (n[i] == tokens) continue;
            of[n_items] = i;
            items[n_items++] = (vb_step_item){.spec = spec[i], .max_emit = tokens - n[i], .err = &errors[i]};
        }
        rc = vb_spec_step_many(items, (size_t)n_items);
        for (int i = 0; i < streams && rc; i++)
            if (errors[i].code == rc) *err = errors[i];
        for (int k = 0; k < n_items && !rc; k++) {
            const int i = of[k];
            for (int t = 0; t < items[k].step.n_emitted; t++) text[i][n[i]++] = items[k].step.emitted[t].id;
            open -= n[i] == tokens;
        }
    }
    *seconds = now() - start;
    for (int i = 0; i < streams; i++) vb_spec_close(spec[i]);
    return rc;
}

static int measure(const models *m, int streams, size_t tokens, int gamma, vb_error *err) {
    static int32_t first[MOST][LONGEST], text[MOST][LONGEST];
    double alone = 0, together = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int k = 0; k < 2; k++) {
            const int count = k ? streams : 1;
            double seconds;
            int rc = generate(m, count, tokens, gamma, text, &seconds, err);
            if (rc) return rc;
            printf("%d stream%s: %.1f tokens/s\n", count, k ? "s" : "", (double)tokens * count / seconds);
            fflush(stdout);
            *(k ? &together : &alone) += seconds;
            if (round == 0 && k == 1) memcpy(first + 1, text + 1, sizeof first - sizeof first[0]);
            if (round == 0 && k == 0) memcpy(first[0], text[0], sizeof first[0]);
            for (int i = 0; i < count; i++) {
                if (!memcmp(first[i], text[i], tokens * sizeof text[i][0])) continue;
                fprintf(stderr, "bench_streams: stream %d is not what it was before\n", i);
                return 1;
            }
        }
    }
    printf("%d streams together: %.2f times one\n", streams, streams * alone / together);
    return 0;
}

int main(int argc, char **argv) {
    vb_error err = {0};
    models m = {.gguf = {NULL}};
    const int streams = argc > 2 ? atoi(argv[2]) : 4, tokens = argc > 3 ? atoi(argv[3]) : 64;
    const char *draft = argc > 4 && argv[4][0] ? argv[4] : NULL;
    const int gamma = argc > 5 ? atoi(argv[5]) : 5, n_threads = argc > 6 ? atoi(argv[6]) : 0;
    if (argc < 2 || argc > 7 || streams < 2 || streams > MOST || tokens < 1 || tokens > LONGEST) {
        fprintf(stderr,
                "usage: bench_streams MODEL.gguf [STREAMS (2-%d) [TOKENS (1-%d) [DRAFT.gguf [GAMMA "
                "[THREADS]]]]]\n",
                MOST, LONGEST);
        return 2;
    }
    int rc = open_one(&m, 0, argv[1], streams, n_threads, &err);
    if (!rc && draft) rc = open_one(&m, 1, draft, streams, n_threads, &err);
    if (!rc) rc = measure(&m, streams, (size_t)tokens, gamma, &err);
    if (err.code) fprintf(stderr, "bench_streams: %s\n", err.message);
    close_all(&m);
    return rc ? 1 : 0;
}
