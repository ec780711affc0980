/* `verbatim prove` at its real size: 20,000 completions a run, on a pair of models. Twenty runs of right
 * rules must raise no alarm; every wrong rule that is off by 0.035 or more in total variation on these very
 * models must be found; of the others the size that they would take is printed.
 *
 * How far off a rule is on these models is what is seen beyond what a right rule shows by chance; the laws
 * themselves are enumerated on tables in tests/test_prove.c. Takes minutes, so it runs with the extended
 * tests only (VB_FIXTURES); VB_POWER=N takes N samples, VB_RULE=NAME looks at one wrong rule alone. */
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

static struct {
    test_model model[2];
    vb_context *context[2];
    uint64_t samples;
} rig;

static const int32_t PROMPT[] = {1, 60, 61, 62, 63};

static int open_rig(void **state) {
    (void)state;
    const char *given = getenv("VB_POWER");
    if (given || getenv("VB_FIXTURES")) rig.samples = given ? strtoull(given, NULL, 10) : 20000;
    if (rig.samples) open_tiny_pair(rig.model, rig.context);
    return 0;
}

static int close_rig(void **state) {
    (void)state;
    if (rig.samples) close_tiny_pair(rig.model, rig.context);
    return 0;
}

static vb_prove_report prove(vb_accept accept, const vb_wrong *wrong, uint64_t samples, uint64_t seed) {
    vb_prove_pair pair = {.target = rig.context[0],
                          .prompt = PROMPT,
                          .n_prompt = sizeof PROMPT / sizeof *PROMPT,
                          .wrong = wrong};
    vb_prove_params p = {
        .law = {.depth = 3, .max_cells = 64}, .samples = samples, .seed = seed, .repeats = 50};
    vb_prove_subject subject;
    vb_prove_report r = {0};
    vb_error err = {0};
    vb_sampling_defaults(&pair.sampling);
    pair.sampling.temperature = 1;
    pair.sampling.top_k = 8;
    pair.sampling.top_p = 1;
    pair.sampling.min_p = 0;
    vb_spec_defaults(&pair.params);
    pair.params.accept = accept;
    pair.params.draft = VB_DRAFT_MODEL;
    pair.params.draft_context = rig.context[1];
    pair.params.gamma = 2;
    if (vb_prove_pair_open(&pair, &subject, &p.law, &err) || vb_prove(&p, &subject, &r, &err))
        fail_msg("%s", err.message);
    vb_prove_pair_close(&pair);
    return r;
}

static void skip_unless_extended(void) {
    if (rig.samples) return;
    printf("minutes long: with VB_FIXTURES or VB_POWER only\n");
    skip();
}

static void no_alarm_in_twenty_runs(void **state) {
    (void)state;
    skip_unless_extended();
    if (getenv("VB_RULE")) skip();
    static const vb_accept rules[] = {VB_ACCEPT_COUPLED, VB_ACCEPT_REJECTION, VB_ACCEPT_BLOCK};
    double least = 1, sum = 0;
    int again = 0;
    for (unsigned run = 0; run < 20; run++) {
        const vb_prove_report r = prove(rules[run % 3], NULL, rig.samples, 1 + UINT64_C(10000019) * run);
        if (!r.ok) fail_msg("run %u: a false alarm, p = %g", run, r.stage[r.n_stages - 1].p);
        again += r.n_stages > 1;
        least = fmin(least, r.stage[0].p);
        sum += r.stage[0].depth[2].p;
    }
    printf(
        "20 runs of %llu: no alarm, least p-value %.3g, %d asked for more samples, mean p at depth 3 %.2f\n",
        (unsigned long long)rig.samples, least, again, sum / 20);
}

/* Samples that the first stage needs to fail with probability 0.999, estimated from what is seen: chi-square
 * exceeds its degrees of freedom by N*c, noncentrality, and the least that is needed is that of c*n. An
 * impossible token is a proof by itself. 0: nothing is seen beyond chance. */
static double samples_needed(const vb_prove_stage *s) {
    double least = 0;
    if (s->impossible) return log(1000) * (double)s->samples / (double)s->impossible;
    for (int k = 0; k < 3; k++) {
        const vb_prove_depth *d = &s->depth[k];
        /* noncentrality of an error of d in n samples: 4*n*d^2, which is n for d = 1/2 */
        const double wanted = vb_power_samples(d->cells, 0.5, VB_PROVE_FAIL / 3, VB_PROVE_POWER);
        const double n = wanted * (double)s->samples / (d->chi2 - (d->cells - 1));
        if (d->p < 1e-4 && (least <= 0 || n < least)) least = n;
    }
    return least;
}

/* TV seen is larger than 0 by chance: by how much, a right rule with as many samples shows. */
static void wrong_rules_found(void **state) {
    (void)state;
    skip_unless_extended();
    size_t n;
    int found = 0, small = 0;
    const vb_wrong *rules = vb_wrong_rules(&n);
    const vb_prove_report right = prove(VB_ACCEPT_REJECTION, NULL, rig.samples, 77);
    const double chance = right.stage[0].depth[2].tv;
    const char *only = getenv("VB_RULE");
    printf("| rule | TV seen, three tokens | p | verdict | samples that it takes |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < n; i++) {
        if (only && strcmp(only, rules[i].name)) continue;
        const vb_prove_report r = prove(VB_ACCEPT_REJECTION, &rules[i], rig.samples, 7);
        const vb_prove_stage *last = &r.stage[r.n_stages - 1];
        const double tv = last->depth[2].tv, off = fmax(0, tv - chance), takes = samples_needed(last);
        printf("| `%s` | %.3f | %.2g | %sfound%s | ", rules[i].name, tv, last->p, r.ok ? "not " : "",
               r.n_stages > 1 ? " in the second stage" : "");
        if (takes > 0)
            printf("%.2g |\n", takes);
        else
            printf("an error of 0.005 would take %.2g |\n",
                   vb_power_samples(last->depth[2].cells, 0.005, VB_PROVE_FAIL / 3, VB_PROVE_POWER));
        found += !r.ok;
        small += r.ok;
        if (r.ok && off >= 0.035 && rig.samples >= 20000)
            fail_msg("%s: off by about %.3f and not found", rules[i].name, off);
    }
    printf("%d found, %d too small to see; a right rule shows %.3f by chance\n", found, small, chance);
    if (only) return;
    if (rig.samples >= 20000) assert_true(found >= 12); /* fewer samples: a look, not a test */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_alarm_in_twenty_runs),
        cmocka_unit_test(wrong_rules_found),
    };
    return cmocka_run_group_tests_name("prove_power", tests, open_rig, close_rig);
}
