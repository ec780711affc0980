/* planted_sampler.c - level 5: the sampler written again, with mistakes (planted.h). */
#include "tests/planted.h"

#include "ref/mathf.h"
#include "sampling/coins.h"
#include "sampling/philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef enum sampler_bug {
    S_NONE = 0,
    S_TEMPERATURE_LAST,
    S_GREEDY_LAST,
    S_TOP_K_TIES,
    S_TOP_P_SHORT,
    S_MIN_P_ABSOLUTE,
    S_NO_TEMPERATURE,
    S_POSITION,
    S_INVERSE_FLOAT,
    S_LAST
} sampler_bug;

static const char *const SAMPLER_BUGS[S_LAST] = {
    [S_TEMPERATURE_LAST] = "temperature after top-p and min-p",
    [S_GREEDY_LAST] = "greedy: of equal logits the highest id",
    [S_TOP_K_TIES] = "top-k: of equals the highest id stays",
    [S_TOP_P_SHORT] = "top-p without the token that reaches P",
    [S_MIN_P_ABSOLUTE] = "min-p as a probability, not a part of the largest",
    [S_NO_TEMPERATURE] = "temperature ignored",
    [S_POSITION] = "noise of the position before",
    [S_INVERSE_FLOAT] = "noise from 32 of 64 bits",
};

typedef struct candidate {
    double x;
    int32_t id;
    uint64_t w;
} candidate;

static bool ties_high;
static int by_logit(const void *p, const void *q) {
    const candidate *a = p, *b = q;
    if (a->x > b->x || a->x < b->x) return a->x > b->x ? -1 : 1;
    return (a->id > b->id) != ties_high ? 1 : -1;
}
static int by_id(const void *p, const void *q) {
    const candidate *a = p, *b = q;
    return a->id < b->id ? -1 : 1;
}

/* The law of docs/speculation.md and the race, written again; returns the token. */
static int32_t sample(const float *logits, int n_vocab, const vb_sampling *s, uint32_t position,
                      sampler_bug bug) {
    static candidate c[4096];
    if (s->temperature <= 0) {
        int32_t first = 0;
        for (int32_t i = 1; i < n_vocab; i++)
            if (logits[i] > logits[first] || (bug == S_GREEDY_LAST && logits[i] >= logits[first])) first = i;
        return first;
    }
    const double T = bug == S_NO_TEMPERATURE ? 1 : s->temperature;
    int n = n_vocab;
    assert_true(n_vocab <= 4096);
    for (int i = 0; i < n; i++) c[i] = (candidate){(double)logits[i], i, 0};
    ties_high = bug == S_TOP_K_TIES;
    qsort(c, (size_t)n, sizeof *c, by_logit);
    if (s->top_k > 0 && s->top_k < n) n = s->top_k;
    const double max = c[0].x;
    uint64_t total = 0, cumulative = 0;
    for (int i = 0; i < n; i++) {
        c[i].w = (uint64_t)(0x1p40 * vb_exp((c[i].x - max) / (bug == S_TEMPERATURE_LAST ? 1 : T)));
        total += c[i].w;
    }
    int kept = 0;
    while (kept < n && (kept == 0 || (double)cumulative < s->top_p * (double)total))
        cumulative += c[kept++].w;
    if (bug == S_TOP_P_SHORT && kept > 1) kept--;
    n = kept;
    kept = 0;
    for (int i = 0; i < n; i++) {
        const double least = bug == S_MIN_P_ABSOLUTE ? s->min_p * (double)total : s->min_p * 0x1p40;
        if (i == 0 || (double)c[i].w >= least) c[kept++] = c[i];
    }
    n = kept;
    for (int i = 0; i < n && bug == S_TEMPERATURE_LAST; i++)
        c[i].w = (uint64_t)(0x1p40 * vb_exp((c[i].x - max) / T));
    qsort(c, (size_t)n, sizeof *c, by_id);
    double best = INFINITY;
    int32_t winner = -1;
    for (int i = 0; i < n; i++) {
        uint64_t k;
        if (!c[i].w) continue;
        vb_philox_words(bug == S_POSITION ? position - 1 : position, &c[i].id, 1, VB_PURPOSE_RACE, s->seed,
                        &k);
        if (bug == S_INVERSE_FLOAT) k <<= 32;
        const double v = fmin(((double)k + 0.5) * 0x1p-64, 1 - 0x1p-53),
                     key = fmax(-vb_log1p(-v), v) / (double)c[i].w;
        if (key < best) best = key, winner = c[i].id;
    }
    return winner;
}

/* The recording with the tokens that this sampler draws from our own logits. */
static void resample(cf_recording *r, const char *model, sampler_bug bug) {
    vb_gguf *g = NULL;
    vb_model *m = NULL;
    vb_context *c = NULL;
    vb_context_params p;
    vb_error err = {0};
    char path[128];
    snprintf(path, sizeof path, "vectors/models/seeded/%s.gguf", model);
    vb_context_defaults(&p);
    p.activations = VB_ACT_Q16;
    p.k_type = p.v_type = VB_F32;
    p.n_threads = 1;
    if (vb_gguf_open(&g, path, &err) || vb_model_open(&m, g, &err) || vb_context_open(&c, m, &p, &err))
        fail_msg("%s", err.message);
    const int n_vocab = vb_model_describe(m)->n_vocab;
    for (size_t i = 0; i < r->n_outputs; i++) {
        cf_tokens *out = &r->outputs[i];
        const cf_tokens *prompt = &r->prompts[0];
        vb_sampling s;
        vb_sampling_defaults(&s);
        s.temperature = out->greedy ? 0 : 0.8;
        s.seed = out->seed;
        uint8_t want[256] = {0};
        assert_true(prompt->n < sizeof want);
        want[prompt->n - 1] = 1;
        assert_int_equal(vb_context_truncate(c, 0, &err), 0);
        if (vb_eval(c, prompt->id, prompt->n, want, &err)) fail_msg("%s", err.message);
        size_t row = prompt->n - 1;
        for (size_t k = 0; k < out->n; k++) {
            out->id[k] = sample(vb_logits(c, row), n_vocab, &s, (uint32_t)(prompt->n + k), bug);
            row = 0;
            want[0] = 1;
            if (vb_eval(c, &out->id[k], 1, want, &err)) fail_msg("%s", err.message);
        }
        free(out->logprob);
        out->logprob = NULL;
    }
    vb_context_close(c);
    vb_model_close(m);
    vb_gguf_close(g);
}

void planted_samplers(void **state) {
    (void)state;
    for (int f = S_NONE; f < S_LAST; f++) {
        for (int ties = 0; ties < 2; ties++) {
            const char *model = ties ? "arch-llama-ties" : "arch-llama";
            char file[96], path[128];
            cf_recording a = {0}, b = {0};
            cf_comparison c = {0};
            vb_error err = {0};
            const cf_bounds none = {0};
            if (f != S_NONE && ties != (f == S_TOP_K_TIES || f == S_GREEDY_LAST)) continue;
            snprintf(file, sizeof file, "recordings/%s.q16.jsonl", model);
            snprintf(path, sizeof path, "vectors/%s", file);
            if (cf_recording_open(&a, path, &err) || cf_recording_open(&b, path, &err))
                fail_msg("%s", err.message);
            resample(&b, model, (sampler_bug)f);
            if (cf_compare(&a, &b, CF_BITWISE, &none, NULL, &c, &err)) fail_msg("%s", err.message);
            if (f)
                planted_caught(SAMPLER_BUGS[f], file, &c, 5);
            else
                planted_right("the sampler", &c);
            cf_recording_close(&a);
            cf_recording_close(&b);
        }
    }
}
