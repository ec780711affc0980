/* The enumeration (law.h) with a draft model of another vocabulary: through text the output law is the
 * target's exactly, under every rule; and two mistakes that are not. */
#include "tests/law.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const struct {
    vb_rule rule;
    vb_choice choice;
} rules[] = {
    {vb_rule_coupled, VB_CHOOSE_RACE}, {vb_rule_rejection, VB_CHOOSE_COIN}, {vb_rule_block, VB_CHOOSE_GRID}};

static int open_vocabularies(void **state) {
    (void)state;
    law_text_open();
    return 0;
}
static int close_vocabularies(void **state) {
    (void)state;
    law_text_close();
    return 0;
}

static law_case a_case(size_t pair, size_t rule, int gamma, uint32_t seed) {
    return (law_case){.name = law_pairs[pair].name,
                      .n_vocab = 4,
                      .gamma = gamma,
                      .n_tokens = 3,
                      .p = {law_pairs[pair].p, 700 + seed, false},
                      .q = {law_pairs[pair].q, 800 + seed, false},
                      .rule = rules[rule].rule,
                      .choice = rules[rule].choice,
                      .trim = seed % 2,
                      .penalties = pair % 2,
                      .stop = seed % 3 ? -1 : 1,
                      .text = true};
}

static vb_costs cheap_drafts(void) {
    vb_costs c = {.far = 100, .draft = {100, 100}};
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < VB_COST_ROWS; t++) c.target[i][t] = 1000 + 10 * t;
    return c;
}

static void exactly_the_targets(void **state) {
    (void)state;
    const vb_costs costs = cheap_drafts();
    unsigned long long cases = 0, paths = 0, drafted = 0;
    double accepted = 0;
    for (size_t pair = 0; pair < LAW_PAIRS; pair++)
        for (size_t rule = 0; rule < 3; rule++)
            for (int gamma = 1; gamma <= 3; gamma++)
                for (uint32_t seed = 0; seed < 6; seed++) {
                    law_result r;
                    law_case c = a_case(pair, rule, gamma, seed);
                    if (seed == 5) c.costs = &costs;
                    if (seed == 4) c.copies = 1;
                    law_init(&r);
                    assert_true(law_enumerate(&c, &r));
                    if (mpq_sgn(r.tv))
                        printf("%s, rule %zu, gamma %d: TV %g\n", c.name, rule, gamma, mpq_get_d(r.tv));
                    assert_int_equal(mpq_sgn(r.tv), 0);
                    assert_int_equal(r.reused, 0);
                    cases++;
                    paths += r.paths;
                    accepted += mpq_get_d(r.accepted);
                    for (int k = 1; k < 8; k++) drafted += r.by_length[k];
                    law_clear(&r);
                }
    printf("%llu cases, %llu paths, law = p exactly; accepted in the first steps: %.2f\n", cases, paths,
           accepted);
    assert_true(drafted > 1000 && accepted > 20);
}

/* The largest total variation that a mistake makes. */
static double worst(law_text_bug bug, size_t rule) {
    double most = 0;
    for (uint32_t seed = 0; seed < 8; seed++) {
        law_result r;
        law_case c = a_case(0, rule, 2, 3 * seed + 1);
        c.text_bug = bug;
        law_init(&r);
        assert_true(law_enumerate(&c, &r));
        if (mpq_get_d(r.tv) > most) most = mpq_get_d(r.tv);
        law_clear(&r);
    }
    return most;
}

static void mistakes(void **state) {
    (void)state;
    const double weighed = worst(TEXT_WEIGHED, 1), spelled = worst(TEXT_SPELLED, 0);
    printf("judged by the draft's own weight: TV %.2f; accepted however it is spelled: TV %.2f\n", weighed,
           spelled);
    assert_true(weighed > 0.05 && spelled > 0.05);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_the_targets),
        cmocka_unit_test(mistakes),
    };
    return cmocka_run_group_tests_name("law through text", tests, open_vocabularies, close_vocabularies);
}
