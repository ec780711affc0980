/* test_publishers.c - the float64 oracle against the code of the architectures' publishers: small seeded
 * models as the transformers implementation computes them in float64 (tools/oracle/hf.py). The recordings
 * are shipped, so nothing but the repository's folder is needed. `verbatim check` compares the contract's
 * own arithmetic with the same recordings. */
#include "conformance/recording.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Logits in a recording are rounded to float32, which is off by 2^-24 = 6e-8 of a value at most; its
 * log-probabilities are in float64. Files have epsilons, factors of RoPE and gemma3's sqrt(dim) in
 * float32. */
#define LOGIT_BOUND   1e-7
#define LOGPROB_BOUND 2e-8

typedef struct published {
    cf_recording r;
    vb_gguf *gguf;
    vb_model *model;
    const int32_t *ids;
    size_t n;
    double *logits; /* (n, n_vocab) */
    int n_vocab;
} published;

static void open_published(published *p, const char *name) {
    char path[256];
    vb_error err = {.code = VB_OK};
    memset(p, 0, sizeof *p);
    snprintf(path, sizeof path, "vectors/oracle/hf-%s.jsonl", name);
    if (cf_recording_open(&p->r, path, &err)) fail_msg("%s", err.message);
    snprintf(path, sizeof path, "vectors/%s", json_string_value(json_object_get(p->r.head, "model")));
    if (vb_gguf_open(&p->gguf, path, &err) || vb_model_open(&p->model, p->gguf, &err))
        fail_msg("%s", err.message);
    assert_int_equal(p->r.n_prompts, 1);
    p->ids = p->r.prompts[0].id;
    p->n = p->r.prompts[0].n;
    p->n_vocab = vb_model_describe(p->model)->n_vocab;
    p->logits = malloc(p->n * (size_t)p->n_vocab * sizeof *p->logits);
    assert_non_null(p->logits);
    assert_non_null(p->r.prompts[0].logprob);
    if (vb_oracle(p->model, p->ids, p->n, p->logits, &err)) fail_msg("%s", err.message);
}

static void close_published(published *p) {
    free(p->logits);
    vb_model_close(p->model);
    vb_gguf_close(p->gguf);
    cf_recording_close(&p->r);
}

/* Largest difference over the largest logit. Each position's logits must be there. */
static double distance(const published *p) {
    double worst = 0, largest = 0;
    size_t rows = 0;
    for (size_t i = 0; i < p->r.n_rows; i++) {
        const cf_row *row = &p->r.rows[i];
        if (strcmp(row->op, "logits") != 0) continue;
        const double *ours = p->logits + (size_t)row->position * (size_t)p->n_vocab;
        assert_int_equal(row->have, p->n_vocab);
        assert_in_range(row->position, 0, p->n - 1);
        for (int v = 0; v < row->have; v++) {
            worst = fmax(worst, fabs(ours[v] - row->x[v]));
            largest = fmax(largest, fabs(row->x[v]));
        }
        rows++;
    }
    assert_int_equal(rows, p->n);
    return worst / largest;
}

/* Largest difference of the log-probabilities of the prompt's tokens, in nats. */
static double logprob_distance(const published *p) {
    double worst = 0;
    for (size_t i = 0; i + 1 < p->n; i++) {
        const double *row = p->logits + i * (size_t)p->n_vocab;
        double max = -HUGE_VAL, sum = 0;
        for (int v = 0; v < p->n_vocab; v++) max = fmax(max, row[v]);
        for (int v = 0; v < p->n_vocab; v++) sum += exp(row[v] - max);
        worst = fmax(worst, fabs(row[p->ids[i + 1]] - max - log(sum) - p->r.prompts[0].logprob[i]));
    }
    return worst;
}

static void the_oracle_computes_what_the_publishers_do(void **state) {
    (void)state;
    /* Files keep the factors of llama's RoPE in float32; those of phi3 lose nothing by it here. */
    static const struct {
        const char *name;
        double nats;
    } models[] = {
        {"llama", 2e-8},         {"mistral", 1e-12},    {"qwen2", 1e-12},      {"qwen3", 1e-12},
        {"gemma3", 1e-12},       {"phi3-short", 1e-12}, {"phi3-long", 1e-12},  {"llama-yarn", 1e-12},
        {"qwen2-yarn", 1e-12},   {"mixtral", 1e-12},    {"qwen2moe", 1e-12},   {"qwen3moe", 1e-12},
        {"gpt-oss", 1e-12},      {"granitemoe", 1e-12}, {"olmoe", 1e-12},      {"glm4moe", 1e-12},
        {"ernie4_5-moe", 1e-12}, {"minimax-m2", 1e-12}, {"gemma3-27b", 1e-12}, {"phimoe", 1e-12}};
    int missed = 0;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        published p;
        open_published(&p, models[i].name);
        const double off = distance(&p), nats = logprob_distance(&p);
        printf("# %s: logits off by %.2g of the largest, log-probabilities by %.2g\n", models[i].name, off,
               nats);
        missed += !(off <= LOGIT_BOUND && nats <= models[i].nats);
        close_published(&p);
    }
    assert_int_equal(missed, 0);
}

/* The longer prompt begins with the shorter one. Under one table for both the positions that they share
 * would have the same logits, so that the two recordings would hold no more than one of them does. */
static void the_two_tables_of_longrope_are_told_apart(void **state) {
    (void)state;
    published shorter, longer;
    open_published(&shorter, "phi3-short");
    open_published(&longer, "phi3-long");
    assert_true(shorter.n < longer.n);
    assert_memory_equal(shorter.ids, longer.ids, shorter.n * sizeof *shorter.ids);
    double apart = 0;
    for (size_t i = 0; i < shorter.n * (size_t)shorter.n_vocab; i++)
        apart = fmax(apart, fabs(shorter.logits[i] - longer.logits[i]));
    assert_true(apart > 1e-2);
    close_published(&shorter);
    close_published(&longer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oracle_computes_what_the_publishers_do),
        cmocka_unit_test(the_two_tables_of_longrope_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
