/* bench_hostile.c - what drafts that are wrong on purpose cost under --gamma auto, by the clock.
 *
 *   bench_hostile TARGET.gguf DRAFT.gguf PROMPT_FILE [TOKENS [ROUNDS [THREADS]]]
 *
 * The draft model works as always and takes its time; then its token is replaced: by a random one, by always
 * the same, or by the target's own for ten positions and a wrong one for the next ten. Each round runs the
 * target alone and every drafter in turn, at temperature 0; printed is the median over rounds of the time
 * alone over the drafter's, the drafts and the steps. */
#include "bench/figures.h"
#include "engine/context.h"
#include "sampling/speculate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROUNDS = 32 };

typedef enum hostile_kind { ALONE, AS_IT_IS, RANDOM, CONSTANT, TEN_RIGHT, N_KINDS } hostile_kind;

static const char *const NAMES[N_KINDS] = {"alone", "as it is", "random", "constant", "ten right, ten wrong"};

typedef struct hostile {
    vb_drafter inner;
    hostile_kind kind;
    vb_proposal *out;
    int32_t *path;
    size_t n, start;
    const int32_t *right; /* (n_right) what the target writes behind `start` */
    size_t n_right;
    int32_t n_vocab;
    uint32_t noise;
} hostile;

static int hostile_sync(void *self, const int32_t *path, size_t n, vb_error *err) {
    const hostile *h = self;
    return h->inner.sync(h->inner.self, path, n, err);
}

static int hostile_draft(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    hostile *h = self;
    h->path = path;
    h->n = n;
    h->out = out;
    return h->inner.draft(h->inner.self, path, n, out, err);
}

static bool hostile_wants(void *self, const vb_lm **lm, vb_eval_item *item) {
    const hostile *h = self;
    return h->inner.wants(h->inner.self, lm, item);
}

/* Under `coupled` and at temperature 0 any id may be proposed: none enters the output unless it is the
 * target's own. */
static int hostile_resume(void *self, vb_error *err) {
    hostile *h = self;
    const int before = h->out->n, rc = h->inner.resume(h->inner.self, err);
    for (int i = before; i < h->out->n && h->kind != AS_IT_IS; i++) {
        const size_t at = h->n + (size_t)i - h->start;
        int32_t id = h->n_vocab / 2;
        h->noise = h->noise * 1664525u + 1013904223u;
        if (h->kind == RANDOM) id = (int32_t)(h->noise % (uint32_t)h->n_vocab);
        if (h->kind == TEN_RIGHT && at % 20 < 10 && at < h->n_right) id = h->right[at];
        h->out->drafted[i].id = h->path[h->n + (size_t)i] = id;
    }
    return rc;
}

static void hostile_settle(void *self, size_t n) {
    const hostile *h = self;
    h->inner.settle(h->inner.self, n);
}

static void hostile_close(void *self) {
    hostile *h = self;
    h->inner.close(h->inner.self);
    free(h);
}

typedef struct bench {
    vb_context *target, *draft;
    vb_costs costs;
    int32_t *prompt, *right, *written;
    size_t n_prompt, n;
} bench;

static int open_drafter(const bench *b, hostile_kind kind, const vb_law_source *law, const vb_coins *coins,
                        vb_drafter *out, vb_error *err) {
    hostile *h = NULL;
    const vb_drafter_model_params m = {.lm = vb_lm_context(b->draft),
                                       .law = *law,
                                       .limit = vb_model_describe(vb_context_model(b->draft))->n_vocab,
                                       .choice = VB_CHOOSE_RACE,
                                       .coins = coins};
    int rc = vb_alloc((void **)&h, 1, sizeof *h, "a drafter", err);
    if (rc) return rc;
    *h = (hostile){.kind = kind,
                   .start = b->n_prompt,
                   .right = b->right,
                   .n_right = b->n,
                   .n_vocab = m.limit,
                   .noise = 19};
    if ((rc = vb_drafter_model(&h->inner, &m, err))) {
        free(h);
        return rc;
    }
    *out = (vb_drafter){.self = h,
                        .sync = hostile_sync,
                        .draft = hostile_draft,
                        .settle = hostile_settle,
                        .close = hostile_close,
                        .wants = hostile_wants,
                        .resume = hostile_resume};
    return VB_OK;
}

/* b->n tokens into `written`, and the seconds that they took behind the prompt. */
static int generate(bench *b, hostile_kind kind, double *seconds, vb_stats *stats, vb_error *err) {
    uint64_t seed = 1;
    const vb_coins coins = vb_coins_philox(&seed);
    const vb_kernels *kernels = b->target->kernels;
    vb_sampling greedy;
    vb_law *law = NULL;
    vb_spec *spec = NULL;
    vb_drafter drafter;
    vb_spec_parts parts = {.target = vb_lm_context(b->target),
                           .coins = &coins,
                           .rule = vb_rule_coupled,
                           .gamma = kind ? VB_COST_ROWS - 1 : 0,
                           .costs = kind ? &b->costs : NULL,
                           .one = 1,
                           .kernels = kernels};
    size_t at = 0;
    int rc;
    vb_sampling_defaults(&greedy);
    greedy.temperature = 0;
    if ((rc = vb_context_truncate(b->target, 0, err)) || (rc = vb_context_truncate(b->draft, 0, err)) ||
        (rc = vb_law_open(&law, &greedy, parts.target.n_vocab, kernels->exp_weights, err)))
        return rc;
    parts.law = vb_law_as_source(law);
    if (kind && (rc = open_drafter(b, kind, &parts.law, &coins, &drafter, err))) goto cleanup;
    if (kind) parts.drafter = &drafter;
    if ((rc = vb_spec_assemble(&spec, &parts, err)) ||
        (rc = vb_spec_prompt(spec, b->prompt, b->n_prompt, err)))
        goto cleanup;
    const double begin = vb_now();
    while (at < b->n && !rc) {
        vb_step step;
        if ((rc = vb_spec_step(spec, b->n - at, &step, err))) break;
        for (int i = 0; i < step.n_emitted; i++) b->written[at++] = step.emitted[i].id;
    }
    *seconds = vb_now() - begin;
    vb_spec_stats(spec, stats);
cleanup:
    vb_spec_close(spec);
    vb_law_close(law);
    return rc;
}

static int measure(bench *b, int rounds, vb_error *err) {
    double seconds[N_KINDS][MOST_ROUNDS] = {{0}};
    vb_stats stats[N_KINDS];
    int rc = vb_costs_measure(&b->costs, b->target, b->draft, err);
    for (int round = 0; round < rounds && !rc; round++) {
        for (int kind = 0; kind < N_KINDS && !rc; kind++) {
            rc = generate(b, (hostile_kind)kind, &seconds[kind][round], &stats[kind], err);
            if (kind == ALONE) memcpy(b->right, b->written, b->n * sizeof *b->right);
            if (!rc && memcmp(b->right, b->written, b->n * sizeof *b->right) != 0)
                return vb_fail(err, VB_ERR_FORMAT, "%s: another text than the target's alone", NAMES[kind]);
        }
    }
    if (rc) return rc;
    printf("d %.3f, c(2) %.3f, c(4) %.3f, reading %.3f; %zu tokens, %d rounds\n", 1e-3 * b->costs.draft[0],
           1e-3 * b->costs.target[0][1], 1e-3 * b->costs.target[0][3], 1e-3 * b->costs.draft_read, b->n,
           rounds);
    for (int kind = 1; kind < N_KINDS; kind++) {
        double ratio[MOST_ROUNDS];
        for (int i = 0; i < rounds; i++) ratio[i] = seconds[ALONE][i] / seconds[kind][i];
        const double middle = median(ratio, rounds);
        printf("%-22s %.3f of the target alone (%.3f to %.3f), %llu drafts in %llu steps, %llu right\n",
               NAMES[kind], middle, ratio[0], ratio[rounds - 1], (unsigned long long)stats[kind].drafted,
               (unsigned long long)stats[kind].steps, (unsigned long long)stats[kind].accepted);
    }
    return VB_OK;
}

int main(int argc, char **argv) {
    vb_error err = {0};
    vb_gguf *file[2] = {NULL};
    vb_model *model[2] = {NULL};
    vb_context *context[2] = {NULL};
    vb_tokenizer *tokenizer = NULL;
    if (argc < 4) {
        fprintf(stderr, "usage: bench_hostile TARGET DRAFT PROMPT_FILE [TOKENS [ROUNDS [THREADS]]]\n");
        return 2;
    }
    bench b = {.n = argc > 4 ? strtoul(argv[4], NULL, 10) : 128};
    int rounds = argc > 5 ? atoi(argv[5]) : 3, rc = VB_OK;
    if (rounds < 1 || rounds > MOST_ROUNDS) rounds = 3;
    size_t len;
    char *text = read_file(argv[3], &len);
    if (!text) {
        fprintf(stderr, "bench_hostile: %s: cannot be read\n", argv[3]);
        return 1;
    }
    vb_context_params p;
    vb_context_defaults(&p);
    if (argc > 6) p.n_threads = atoi(argv[6]);
    p.n_ctx = 2048;
    for (int i = 0; i < 2 && !rc; i++) {
        if ((rc = vb_gguf_open(&file[i], argv[1 + i], &err)) ||
            (rc = vb_model_open(&model[i], file[i], &err)) || (rc = vb_model_repack(model[i], NULL, &err)) ||
            (rc = vb_context_open(&context[i], model[i], &p, &err)))
            break;
    }
    b.target = context[0];
    b.draft = context[1];
    b.right = calloc(b.n + 1, sizeof *b.right);
    b.written = calloc(b.n + 1, sizeof *b.written);
    if (!rc) rc = vb_tokenizer_open(&tokenizer, file[0], &err);
    if (!rc) rc = vb_tokenize_prompt(tokenizer, text, len, true, &b.prompt, &b.n_prompt, &err);
    if (!rc && b.right && b.written) rc = measure(&b, rounds, &err);
    if (rc) fprintf(stderr, "bench_hostile: %s\n", err.message);
    for (int i = 0; i < 2; i++) {
        vb_context_close(context[i]);
        vb_model_close(model[i]);
        vb_gguf_close(file[i]);
    }
    vb_tokenizer_close(tokenizer);
    vb_free(b.prompt);
    free(b.right);
    free(b.written);
    free(text);
    return rc ? 1 : 0;
}
