/* The law of texts (prove/joint_text.c): against a plain enumeration of token sequences, and as a judge of
 * texts that right and wrong samplers wrote. The vocabulary has a byte's id beside most letters, so that
 * nearly every text can be cut in several ways. */
#include "tests/model_util.h"
#include "prove/prove.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define BYTES 3
#ifdef __SANITIZE_ADDRESS__
#define RUNS 2
#else
#define RUNS 6
#endif

static struct {
    test_model model[2];
    vb_context *context[2];
    vb_tokenizer *tokenizer;
    int32_t stop[2];
} rig;

static const int32_t PROMPT[] = {1, 60, 61, 62, 63};
#define N_PROMPT (sizeof PROMPT / sizeof *PROMPT)

static int open_rig(void **state) {
    vb_error err = {0};
    (void)state;
    open_tiny_pair(rig.model, rig.context);
    if (vb_tokenizer_open(&rig.tokenizer, rig.model[0].gguf, &err)) fail_msg("%s", err.message);
    return 0;
}

static int close_rig(void **state) {
    (void)state;
    vb_tokenizer_close(rig.tokenizer);
    close_tiny_pair(rig.model, rig.context);
    return 0;
}

static vb_prove_pair pair_of(vb_accept accept, int top_k) {
    vb_prove_pair pair = {.target = rig.context[0], .prompt = PROMPT, .n_prompt = N_PROMPT};
    vb_sampling_defaults(&pair.sampling);
    pair.sampling.temperature = 1;
    pair.sampling.top_k = top_k;
    pair.sampling.top_p = 1;
    pair.sampling.min_p = 0;
    pair.sampling.presence_penalty = 0.5; /* the law depends on how a text is cut */
    vb_spec_defaults(&pair.params);
    pair.params.accept = accept;
    pair.params.draft = VB_DRAFT_MODEL;
    pair.params.draft_context = rig.context[1];
    pair.params.gamma = 2;
    pair.params.stop = rig.stop;
    pair.params.n_stop = 2;
    return pair;
}

/* Two of the likelier first tokens end a text, so that many texts are short; or none does. */
static void choose_stops(bool some) {
    vb_prove_pair pair = pair_of(VB_ACCEPT_REJECTION, 0);
    vb_prove_subject subject;
    vb_joint_params law = {.depth = 1, .least = 1e-3, .max_cells = 8};
    vb_joint *j = NULL;
    vb_error err = {0};
    rig.stop[0] = rig.stop[1] = vb_token_eos(rig.tokenizer);
    if (!some) return;
    if (vb_prove_pair_open(&pair, &subject, &law, &err) || vb_joint_open(&j, &law, &err))
        fail_msg("%s", err.message);
    assert_true(j->n > 4);
    rig.stop[0] = j->cells[2].token;
    rig.stop[1] = j->cells[4].token;
    vb_joint_close(j);
    vb_prove_pair_close(&pair);
}

/* ------------------------------------------------------------------------------------------- enumeration */

typedef struct plain {
    const vb_joint_params *law;
    const vb_joint *j;
    vb_dist_space space[8]; /* one per length of a sequence */
    int32_t path[32];
    char text[64];
    double *p;    /* (cells): of texts that begin with a cell's */
    int *ways;    /* (cells): sequences among them */
    double *lost; /* (cells): in continuations of a cell's own text that are too unlikely to enumerate */
} plain;

/* Adds a text to every cell that it goes through; returns the last one, -1 if that is not a cell. */
static int32_t add_text(plain *e, size_t len, bool ended, double p) {
    int32_t at = 0;
    for (size_t i = 0; i < BYTES && at >= 0 && i < len + ended; i++) {
        at = vb_joint_child(e->j, at, i < len ? (unsigned char)e->text[i] : VB_JOINT_END);
        assert_int_not_equal(at, -2);
        if (at > 0) e->p[at] += p, e->ways[at]++;
    }
    return at;
}

static void enumerate(plain *e, int length, size_t len, double p) {
    const float *logits;
    vb_dist d;
    vb_error err = {0};
    if (length == 8 || p < 1e-7) {
        const int32_t at = add_text(e, len, false, p);
        if (at >= 0) e->lost[at] += p;
        return;
    }
    if (vb_joint_row(e->law, e->path, N_PROMPT + (size_t)length, &e->space[length], &logits, &d, &err))
        fail_msg("%s", err.message);
    for (int32_t i = 0; i < d.n; i++) {
        const double q = p * ((double)d.w[i] / (double)d.total);
        size_t more = 0;
        const char *piece = vb_token_text(rig.tokenizer, d.id[i], false, &more);
        if (vb_is_stop(rig.stop, 2, d.id[i])) {
            add_text(e, len, true, q);
            continue;
        }
        if (more > sizeof e->text - len) more = sizeof e->text - len;
        memcpy(e->text + len, piece ? piece : "", more);
        e->path[N_PROMPT + (size_t)length] = d.id[i];
        if (len + more >= BYTES)
            add_text(e, len + more, false, q);
        else
            enumerate(e, length + 1, len + more, q);
    }
}

/* Every cell's probability is the sum over all sequences, but for what it says is loose. */
static void compare_with_enumeration(double least, int max_cells, double most_loose) {
    vb_prove_pair pair = pair_of(VB_ACCEPT_REJECTION, 0);
    vb_prove_subject subject;
    vb_joint_params law = {.texts = rig.tokenizer, .depth = BYTES, .least = least, .max_cells = max_cells};
    vb_joint *j = NULL;
    vb_error err = {0};
    choose_stops(true);
    if (vb_prove_pair_open(&pair, &subject, &law, &err) || vb_joint_open(&j, &law, &err))
        fail_msg("%s", err.message);
    plain e = {.law = &law, .j = j};
    const size_t capacity = (size_t)law.law.capacity;
    e.p = calloc(j->n, sizeof *e.p);
    e.ways = calloc(j->n, sizeof *e.ways);
    e.lost = calloc(j->n, sizeof *e.lost);
    assert_true(e.p && e.ways && e.lost);
    for (int i = 0; i < 8; i++) {
        e.space[i].capacity = law.law.capacity;
        e.space[i].id = calloc(capacity, sizeof *e.space[i].id);
        e.space[i].w = calloc(capacity, sizeof *e.space[i].w);
        assert_true(e.space[i].id && e.space[i].w);
    }
    memcpy(e.path, PROMPT, sizeof PROMPT);
    enumerate(&e, 0, 0, 1);
    int several = 0, ends = 0;
    double most_lost = 0;
    for (size_t i = 1; i < j->n; i++) {
        const vb_cell *c = &j->cells[i];
        e.lost[i] += e.lost[c->parent]; /* parents come first */
        const double lost = e.lost[c->parent];
        if (e.p[i] + lost < c->p - 1e-12 || e.p[i] > c->p + c->loose + 1e-12)
            fail_msg("cell %zu: %.12g, loose %.3g, enumerated %.12g, lost %.3g", i, c->p, c->loose, e.p[i],
                     lost);
        most_lost = fmax(most_lost, lost);
        several += e.ways[i] > 1 && c->depth == BYTES;
        ends += c->ended;
    }
    for (int depth = 1; depth <= BYTES; depth++) {
        double sum = j->rest[depth] + j->loose[depth];
        for (size_t i = 1; i < j->level[depth + 1]; i++)
            if (j->cells[i].depth == depth || j->cells[i].ended) sum += j->cells[i].p;
        assert_true(fabs(sum - 1) < 1e-12);
        assert_true(j->level[depth + 1] - j->level[depth] <= (size_t)max_cells);
    }
    printf("  least %g: %zu cells, %d of %d bytes in several ways, %d ends, %zu laws, loose %.2g (dropped "
           "%.2g)\n",
           least, j->n, several, BYTES, ends, j->n_expanded, j->loose[BYTES], most_lost);
    assert_true(j->n > 10 && several > 3 && ends > 0);
    assert_true(j->loose[BYTES] <= most_loose && most_lost < 0.1 * least);
    for (int i = 0; i < 8; i++) {
        free(e.space[i].id);
        free(e.space[i].w);
    }
    free(e.p);
    free(e.ways);
    free(e.lost);
    vb_joint_close(j);
    vb_prove_pair_close(&pair);
}

static void every_way_is_counted(void **state) {
    (void)state;
    compare_with_enumeration(1e-4, 200, 1e-3); /* 50,000 samples */
    compare_with_enumeration(1e-2, 20, 1e-2);  /* 500 */
}

/* -------------------------------------------------------------------------------------------- samplers */

/* The first bytes of a completion, as prove --samples-as text has them. */
static void sample_text(const vb_prove_subject *subject, uint64_t seed, int depth, int32_t *row) {
    vb_spec *spec = NULL;
    vb_step step;
    vb_error err = {0};
    int n = 0;
    bool stopped = false;
    if (subject->open(subject->self, seed, false, &spec, &err) ||
        vb_spec_prompt(spec, PROMPT + N_PROMPT - 1, 1, &err))
        fail_msg("%s", err.message);
    while (n < depth && !stopped) {
        if (vb_spec_step(spec, SIZE_MAX, &step, &err)) fail_msg("%s", err.message);
        for (int i = 0; i < step.n_emitted && !stopped; i++) {
            size_t len = 0;
            const char *text = vb_token_text(rig.tokenizer, step.emitted[i].id, false, &len);
            stopped = step.emitted[i].stop;
            for (size_t k = 0; k < len && n < depth && !stopped; k++) row[n++] = (unsigned char)text[k];
        }
    }
    for (bool end = true; n < depth; end = false) row[n++] = end ? VB_JOINT_END : -1;
    vb_spec_close(spec);
}

static vb_prove_report judge(vb_prove_pair *pair, uint64_t n, uint64_t seed, int depth) {
    vb_prove_params p = {.law = {.texts = rig.tokenizer, .depth = depth, .max_cells = 48}};
    vb_prove_subject subject;
    vb_prove_report r = {0};
    vb_error err = {0};
    int32_t *rows = calloc(n, (size_t)depth * sizeof *rows);
    assert_non_null(rows);
    if (vb_prove_pair_open(pair, &subject, &p.law, &err)) fail_msg("%s", err.message);
    for (uint64_t i = 0; i < n; i++) sample_text(&subject, seed + i, depth, rows + i * (uint64_t)depth);
    if (vb_prove_samples(&p, rows, n, &r, &err)) fail_msg("%s", err.message);
    vb_prove_pair_close(pair);
    free(rows);
    return r;
}

static void right_samplers_pass(void **state) {
    (void)state;
    static const vb_accept rules[] = {VB_ACCEPT_COUPLED, VB_ACCEPT_REJECTION, VB_ACCEPT_BLOCK};
    double least = 1, sum = 0;
    for (unsigned run = 0; run < RUNS; run++) {
        vb_prove_pair pair = pair_of(rules[run % 3], run % 2 ? 0 : 8);
        choose_stops(run % 2);
        const vb_prove_report r = judge(&pair, 1000, UINT64_C(1000003) * run, 6);
        if (!r.ok || r.undecided) fail_msg("run %u: a false alarm, p = %g", run, r.stage[0].p);
        assert_true(r.stage[0].depth[2].cells > 10);
        assert_true(r.stage[0].depth[5].loose < 0.2);
        least = fmin(least, r.stage[0].p);
        sum += r.stage[0].depth[2].p;
    }
    printf("  %d runs: least p-value %.3g, mean at 3 bytes %.2f\n", RUNS, least, sum / RUNS);
    assert_true(sum / RUNS > 0.2);
}

static void wrong_samplers_are_found(void **state) {
    (void)state;
    static const char *const names[] = {"argmax-draft-pq", "index-residual", "residual-p",
                                        "shared-coin",     "block-break",    "row-shift"};
    choose_stops(false);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vb_prove_pair pair = pair_of(VB_ACCEPT_REJECTION, 8);
        pair.wrong = vb_wrong_find(names[i]);
        const vb_prove_report r = judge(&pair, strcmp(names[i], "block-break") ? 1000 : 3000, 7, 6);
        printf("  %-20s p %-8.2g TV %.3f\n", names[i], r.stage[0].p, r.stage[0].depth[5].tv);
        assert_false(r.ok);
        assert_true(r.n_worst > 0);
    }
}

/* Ends are judged too: a sampler that now and then goes on where the target stops. */
static void wrong_ends_are_found(void **state) {
    (void)state;
    enum { N = 2000, DEPTH = 4 };
    vb_prove_params p = {.law = {.texts = rig.tokenizer, .depth = DEPTH, .max_cells = 48}};
    vb_prove_pair pair = pair_of(VB_ACCEPT_BLOCK, 0);
    vb_prove_subject subject;
    vb_prove_report r = {0};
    vb_error err = {0};
    static int32_t rows[N * DEPTH];
    choose_stops(true);
    if (vb_prove_pair_open(&pair, &subject, &p.law, &err)) fail_msg("%s", err.message);
    for (uint64_t i = 0; i < N; i++) sample_text(&subject, i, DEPTH, rows + i * DEPTH);
    assert_int_equal(vb_prove_samples(&p, rows, N, &r, &err), 0);
    assert_true(r.ok && !r.undecided);
    int ends = 0;
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < DEPTH; k++)
            if (rows[i * DEPTH + k] == VB_JOINT_END) {
                ends++;
                for (size_t m = k; m < DEPTH; m++) rows[i * DEPTH + m] = ' ';
            }
    assert_true(ends > 20);
    assert_int_equal(vb_prove_samples(&p, rows, N, &r, &err), 0);
    assert_false(r.ok);
    static const int32_t long_prompt[N_PROMPT + 40];
    p.law.prompt = long_prompt; /* a context too short for the law is an error, not a crash */
    p.law.n_prompt = N_PROMPT + 40;
    assert_int_equal(vb_prove_samples(&p, rows, N, &r, &err), VB_ERR_ARGUMENT);
    vb_prove_pair_close(&pair);
}

/* What is loose counts for the sampler wherever it was seen, but not twice what is loose. */
static void loose_counts_for_what_is_seen(void **state) {
    (void)state;
    vb_cell cells[] = {{.parent = -1, .p = 1},
                       {.token = 'a', .depth = 1, .p = 0.5, .loose = 0.2},
                       {.token = 'b', .depth = 1, .p = 0.3, .loose = 0.2}};
    vb_joint j = {.depth = 1, .n_vocab = VB_JOINT_END + 1, .cells = cells, .n = 3, .level = {0, 1, 3}};
    static const struct {
        uint64_t a, b;
        bool fits, ok;
    } seen[] = {{700, 300, true, true},   {500, 500, true, true},   {600, 400, true, true},
                {800, 200, false, false}, {300, 700, false, false}, {710, 290, false, true}};
    j.loose[1] = 0.2;
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        vb_prove_report r = {0};
        cells[1].seen[0] = seen[i].a;
        cells[2].seen[0] = seen[i].b;
        vb_prove_judge(&j, 1000, &r);
        const vb_prove_depth *d = &r.stage[0].depth[0];
        assert_int_equal(d->cells, 3); /* the rest may be larger than 0, too */
        assert_int_equal(d->chi2 < 1e-9, seen[i].fits);
        assert_int_equal(r.ok, seen[i].ok);
        assert_true(d->tv_high >= 0.2 && d->found_tv > 0.2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_is_counted),          cmocka_unit_test(right_samplers_pass),
        cmocka_unit_test(wrong_samplers_are_found),      cmocka_unit_test(wrong_ends_are_found),
        cmocka_unit_test(loose_counts_for_what_is_seen),
    };
    return cmocka_run_group_tests_name("prove_texts", tests, open_rig, close_rig);
}
