/* `verbatim prove`, judged itself: no false alarm on right rules, every wrong rule that is wrong enough
 * found, the law it compares with right. */
#include "tests/law.h"
#include "tests/model_util.h"
#include "prove/prove.h"
#include "prove/stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* --------------------------------------------------------------------------------------- a pair of models */

static struct {
    test_model model[2];
    vb_context *context[2];
} rig;

static const int32_t PROMPT[] = {1, 60, 61, 62, 63};

static int open_rig(void **state) {
    (void)state;
    open_tiny_pair(rig.model, rig.context);
    return 0;
}

static int close_rig(void **state) {
    (void)state;
    close_tiny_pair(rig.model, rig.context);
    return 0;
}

static vb_prove_pair pair_of(vb_accept accept, double temperature, int top_k) {
    vb_prove_pair pair = {
        .target = rig.context[0], .prompt = PROMPT, .n_prompt = sizeof PROMPT / sizeof *PROMPT};
    vb_sampling_defaults(&pair.sampling);
    pair.sampling.temperature = temperature;
    pair.sampling.top_k = top_k;
    pair.sampling.top_p = 1;
    pair.sampling.min_p = 0;
    pair.sampling.presence_penalty = 0.5;
    vb_spec_defaults(&pair.params);
    pair.params.accept = accept;
    pair.params.draft = VB_DRAFT_MODEL;
    pair.params.draft_context = rig.context[1];
    pair.params.gamma = 2;
    return pair;
}

#ifdef __SANITIZE_ADDRESS__
enum { RUNS = 6 }; /* each rule at both settings */
#else
enum { RUNS = 20 };
#endif

static vb_prove_report prove(vb_prove_pair *pair, uint64_t samples, uint64_t seed) {
    vb_prove_params p = {
        .law = {.depth = 3, .max_cells = 48}, .samples = samples, .seed = seed, .repeats = 20};
    vb_prove_subject subject;
    vb_prove_report r = {0};
    vb_error err = {0};
    if (vb_prove_pair_open(pair, &subject, &p.law, &err) || vb_prove(&p, &subject, &r, &err))
        fail_msg("%s", err.message);
    vb_prove_pair_close(pair);
    return r;
}

static void no_false_alarm(void **state) {
    (void)state;
    double least = 1, sum = 0;
    for (unsigned run = 0; run < RUNS; run++) {
        const vb_accept accept =
            (vb_accept[]){VB_ACCEPT_REJECTION, VB_ACCEPT_BLOCK, VB_ACCEPT_COUPLED}[run % 3];
        vb_prove_pair pair = pair_of(accept, run % 2 ? 1 : 0.8, run % 2 ? 8 : 20);
        const vb_prove_report r = prove(&pair, 1500, UINT64_C(1000003) * (uint64_t)run);
        assert_true(r.ok);
        assert_int_equal(r.n_stages, 1);
        assert_int_equal(r.repeated, 20);
        assert_int_equal(r.paths, accept == VB_ACCEPT_COUPLED ? 20 : 0);
        assert_true(r.logprobs > 1500 && r.accepted > 100 && r.accepted < r.drafted);
        assert_true(r.stage[0].depth[2].cells > 20);
        least = fmin(least, r.stage[0].p);
        sum += r.stage[0].depth[2].p;
    }
    printf("%d runs: least p-value %.3g, mean at depth 3 %.2f\n", RUNS, least, sum / RUNS);
    assert_true(sum / RUNS > 0.2 && sum / RUNS < 0.8); /* p-values are about uniform */
}

/* Greedy: one path; anything else is impossible. */
static void greedy(void **state) {
    (void)state;
    vb_prove_pair pair = pair_of(VB_ACCEPT_GREEDY, 0, 0);
    const vb_prove_report r = prove(&pair, 100, 1);
    assert_true(r.ok);
    assert_int_equal(r.stage[0].depth[2].cells, 1);
    assert_true(r.stage[0].depth[2].tv == 0);
    assert_int_equal(r.path_differs, 0);
}

static void wrong_rules_on_models(void **state) {
    (void)state;
    static const char *const names[] = {"argmax-draft-pq", "index-residual", "residual-p",
                                        "shared-coin",     "block-break",    "row-shift"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vb_prove_pair pair = pair_of(VB_ACCEPT_REJECTION, 1, 8);
        pair.wrong = vb_wrong_find(names[i]);
        const vb_prove_report r = prove(&pair, 2000, 7);
        printf("  %-20s p %-8.2g TV %.3f, %d stage(s)\n", names[i], r.stage[r.n_stages - 1].p,
               r.stage[r.n_stages - 1].depth[2].tv, r.n_stages);
        assert_false(r.ok);
        assert_int_equal(r.repeat_differs, 0);
        /* the rows themselves are wrong, and so is what they report */
        assert_int_equal(r.logprob_differs > 0, !strcmp(names[i], "row-shift"));
        assert_true(r.n_worst > 0);
    }
    vb_prove_pair pair = pair_of(VB_ACCEPT_REJECTION, 1, 8);
    pair.wrong = vb_wrong_find("residual-p");
    pair.params.draft = VB_DRAFT_NGRAM;
    vb_prove_subject subject;
    vb_joint_params law;
    assert_int_equal(vb_prove_pair_open(&pair, &subject, &law, NULL), VB_ERR_ARGUMENT);
}

/* --------------------------------------------------------------------------------------- tables */

/* Every wrong rule on pairs of tables whose error is enumerated: an error of 0.035 or more in total variation
 * is found in 20,000 samples. */
static bool found(const law_case *c, const law_result *target, uint64_t seed, double *p) {
    static uint64_t seen[LAW_CELLS];
    const int n = 20000;
    double chi2 = 0;
    int cells = 0;
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < n; i++) seen[law_sample(c, seed + (uint64_t)i)]++;
    *p = 0;
    for (int k = 0; k < LAW_CELLS; k++) {
        const double expected = n * mpq_get_d(target->law[k]);
        if (expected == 0 && seen[k]) return true; /* impossible */
        if (expected == 0) continue;
        chi2 += ((double)seen[k] - expected) * ((double)seen[k] - expected) / expected;
        cells++;
    }
    *p = vb_chi2_tail(chi2, cells - 1);
    return *p < VB_PROVE_FAIL;
}

/* The pair of tables on which the rule is most wrong. */
static double worst_tables(const vb_wrong *rule, law_case *out, law_result *target) {
    static const law_style styles[] = {LAW_GENERIC, LAW_ZEROS, LAW_SKEWED};
    double worst = -1;
    for (uint32_t i = 0; i < 3; i++) {
        law_case c = {.name = rule->name,
                      .wrong = rule,
                      .n_vocab = 3,
                      .gamma = 2,
                      .n_tokens = 3,
                      .p = {styles[i], 7 + i, false},
                      .q = {styles[i], 19 + i, false},
                      .stop = -1};
        law_result r;
        law_init(&r);
        assert_true(law_enumerate(&c, &r));
        const double tv = mpq_get_d(r.tv);
        law_clear(&r);
        if (tv > worst) worst = tv, *out = c;
    }
    law_case right = *out;
    right.wrong = NULL;
    right.rule = vb_rule_rejection;
    right.choice = VB_CHOOSE_COIN;
    law_clear(target), law_init(target);
    assert_true(law_enumerate(&right, target));
    assert_int_equal(mpq_sgn(target->tv), 0);
    return worst;
}

static void wrong_rules_on_tables(void **state) {
    (void)state;
    size_t n;
    int large = 0, small = 0;
    const vb_wrong *rules = vb_wrong_rules(&n);
    law_result target;
    law_init(&target);
    for (size_t i = 0; i < n; i++) {
        law_case c;
        double p;
        const double tv = worst_tables(&rules[i], &c, &target);
        const bool yes = found(&c, &target, 1, &p);
        printf("  %-22s enumerated TV %-9.3g p %-9.2g", rules[i].name, tv, p);
        if (tv >= 0.035) {
            printf("found\n");
            assert_true(yes);
            large++;
        } else {
            printf("needs %.3g samples\n", vb_power_samples(27, tv, VB_PROVE_FAIL, VB_PROVE_POWER));
            assert_true(tv > 0);
            small++;
        }
    }
    law_clear(&target);
    printf("%d rules with TV >= 0.035 found, %d below\n", large, small);
    assert_true(large >= 18);
}

/* --------------------------------------------------------------------------------------- the law */

/* The cells of every depth and the rest add up to 1,
 * and the cells' laws are those of evaluating the prefix. */
static void the_law(void **state) {
    (void)state;
    vb_prove_pair pair = pair_of(VB_ACCEPT_REJECTION, 1, 6);
    vb_prove_subject subject;
    vb_joint_params law = {.depth = 3, .least = 1e-3, .max_cells = 30};
    vb_joint *j = NULL;
    vb_error err = {0};
    const int32_t stop[] = {66, 70};
    pair.params.stop = stop;
    pair.params.n_stop = 2;
    if (vb_prove_pair_open(&pair, &subject, &law, &err) || vb_joint_open(&j, &law, &err))
        fail_msg("%s", err.message);
    assert_int_equal(vb_context_length(rig.context[0]), sizeof PROMPT / sizeof *PROMPT - 1);
    for (int depth = 1; depth <= 3; depth++) {
        double sum = j->rest[depth];
        size_t n = 0;
        for (size_t i = 1; i < j->level[depth + 1]; i++) {
            const vb_cell *c = &j->cells[i];
            if (c->depth != depth && !c->ended) continue;
            sum += c->p;
            n++;
            assert_true(c->p >= 1e-3);
        }
        assert_true(fabs(sum - 1) < 1e-12);
        assert_true(n >= 2);
        assert_true(j->level[depth + 1] - j->level[depth] <= 30);
    }
    assert_int_equal(vb_joint_child(j, 0, j->cells[1].token), 1);
    int impossible = 0;
    for (int32_t id = 0; id < rig.model[0].n_vocab; id++) impossible += vb_joint_child(j, 0, id) == -2;
    assert_int_equal(impossible, rig.model[0].n_vocab - 6); /* top-k */
    assert_int_equal(vb_joint_child(j, 0, -5), -2);
    vb_joint_close(j);
    vb_prove_pair_close(&pair);
}

/* Completions of somebody else: those of a right rule pass,
 * the same with one id changed throughout do not. */
static void given_samples(void **state) {
    (void)state;
    enum { N = 3000 };
    vb_prove_pair pair = pair_of(VB_ACCEPT_BLOCK, 1, 8);
    vb_prove_params p = {.law = {.depth = 3, .max_cells = 48}};
    vb_prove_subject subject;
    vb_prove_report r;
    vb_error err = {0};
    int32_t *rows = malloc(3 * N * sizeof *rows);
    assert_non_null(rows);
    if (vb_prove_pair_open(&pair, &subject, &p.law, &err)) fail_msg("%s", err.message);
    for (uint64_t i = 0; i < N; i++) {
        vb_spec *spec = NULL;
        vb_step step;
        assert_int_equal(subject.open(subject.self, 99 + i, false, &spec, &err), 0);
        assert_int_equal(vb_spec_prompt(spec, PROMPT + 4, 1, &err), 0);
        for (int n = 0; n < 3;) {
            assert_int_equal(vb_spec_step(spec, 8, &step, &err), 0);
            for (int k = 0; k < step.n_emitted && n < 3; k++)
                rows[3 * i + (uint64_t)n++] = step.emitted[k].id;
        }
        vb_spec_close(spec);
    }
    assert_int_equal(vb_prove_samples(&p, rows, N, &r, &err), 0);
    assert_true(r.ok && !r.undecided);
    for (uint64_t i = 0; i < N / 5; i++) memcpy(rows + 3 * i, rows, 3 * sizeof *rows); /* one too often */
    assert_int_equal(vb_prove_samples(&p, rows, N, &r, &err), 0);
    assert_false(r.ok);
    assert_true(r.stage[0].depth[2].tv_low > 0.05);
    assert_int_equal(vb_prove_samples(&p, rows, 0, &r, &err), VB_ERR_ARGUMENT);
    vb_prove_pair_close(&pair);
    free(rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_law),
        cmocka_unit_test(no_false_alarm),
        cmocka_unit_test(greedy),
        cmocka_unit_test(wrong_rules_on_models),
        cmocka_unit_test(wrong_rules_on_tables),
        cmocka_unit_test(given_samples),
    };
    return cmocka_run_group_tests_name("prove", tests, open_rig, close_rig);
}
