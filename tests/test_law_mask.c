/* P8 in the law: masked laws by enumeration, on the real loop and the real law, with a language that is a
 * list of texts and a vocabulary whose ids overlap and cut a character in two. Under every rule the law
 * of the output is the target's, at each position over the ids after which a text can still be completed;
 * nothing else ever comes out. Then the mistakes: each is planted and must be caught. */
#include "base/buf.h"
#include "conformance/conformance.h"
#include "tests/law.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static vb_buf laws, table; /* of docs/speculation.md */

static const struct {
    const char *name;
    vb_rule rule;
    vb_choice choice;
} rules[] = {{"coupled", vb_rule_coupled, VB_CHOOSE_RACE},
             {"rejection", vb_rule_rejection, VB_CHOOSE_COIN},
             {"block", vb_rule_block, VB_CHOOSE_GRID}};

static law_case a_case(int rule, int gamma, int n_tokens, int law) {
    static const law_style styles[][2] = {{LAW_GENERIC, LAW_GENERIC},
                                          {LAW_SKEWED, LAW_ZEROS},
                                          {LAW_ZEROS, LAW_SKEWED},
                                          {LAW_GENERIC, LAW_EVEN}};
    law_case c = {.name = rules[rule].name,
                  .n_vocab = LAW_VOCAB,
                  .gamma = gamma,
                  .n_tokens = n_tokens,
                  .p = {styles[law % 4][0], 40 + (uint32_t)law, false},
                  .q = {styles[law % 4][1], 60 + (uint32_t)law, false},
                  .rule = rules[rule].rule,
                  .choice = rules[rule].choice,
                  .trim = true,
                  .masked = true,
                  .stop = 0};
    vb_sampling_defaults(&c.sampling);
    c.sampling.temperature = law % 2 ? 6 : 2.5; /* logits are 0..60 */
    c.sampling.top_k = law % 3 == 0 ? 0 : law % 3 + 1;
    c.sampling.top_p = 1;
    c.sampling.min_p = 0;
    c.sampling.presence_penalty = law % 2 ? 0 : 1.5;
    c.sampling.penalty_last_n = -1;
    return c;
}

static void masked_laws(void **state) {
    (void)state;
    for (int rule = 0; rule < 3; rule++) {
        uint64_t cases = 0, paths = 0;
        double accepted = 0;
        for (int law = 0; law < 12; law++) {
            for (int gamma = 1; gamma <= 3; gamma++) {
                law_result r;
                law_case c = a_case(rule, gamma, 4, law);
                c.trim = law % 5 != 0;
                law_init(&r);
                assert_true(law_enumerate(&c, &r));
                if (mpq_sgn(r.tv))
                    printf("%s, law %d, gamma %d: TV %g\n", c.name, law, gamma, mpq_get_d(r.tv));
                assert_int_equal(mpq_sgn(r.tv), 0);
                assert_int_equal(r.reused, 0);
                accepted += mpq_get_d(r.accepted);
                cases++;
                paths += r.paths;
                law_clear(&r);
            }
        }
        printf("%s: %llu cases, %llu paths: the masked law exactly, %.3f accepted in a first step\n",
               rules[rule].name, (unsigned long long)cases, (unsigned long long)paths,
               accepted / (double)cases);
        assert_true(accepted > 1);
    }
}

/* The target alone under the mask, and P2: with and without a draft, seed by seed. */
static void same_by_seeds(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        law_case c = a_case(0, 1 + (int)(seed % 4), 4, (int)(seed % 12));
        c.alone = true;
        const int alone = law_sample(&c, seed);
        assert_true(alone >= 0);
        c.alone = false;
        assert_int_equal(law_sample(&c, seed), alone);
    }
}

/* ---------------------------------------------------------------------- mistakes */

static void caught(const char *what, law_mask_bug bug, int from_rule, int to_rule) {
    double tv = 0;
    uint64_t stuck = 0;
    for (int rule = from_rule; rule <= to_rule; rule++) {
        for (int law = 0; law < 6; law++) {
            law_result r;
            law_case c = a_case(rule, 2, 4, law);
            c.bug = bug;
            law_init(&r);
            assert_true(law_enumerate(&c, &r));
            if (mpq_get_d(r.tv) > tv) tv = mpq_get_d(r.tv);
            stuck += r.stuck;
            law_clear(&r);
        }
    }
    vb_buf_addf(&table, "| %s | %#.2g | %s |\n", what, tv, stuck ? "nothing may follow" : "");
    assert_true(tv > 1e-3);
}

static void mistakes(void **state) {
    (void)state;
    caught("mask on p only: drafts come from the law without it, and are judged by the one with it",
           MASK_P_ONLY, 1, 2);
    caught("mask on q only", MASK_Q_ONLY, 0, 2);
    caught("mask of the path without its drafts", MASK_WRONG_PREFIX, 0, 2);
    caught("the end is allowed too early", MASK_EARLY_END, 0, 2);
    caught("a dead end is left in", MASK_DEAD_END, 0, 2);
    caught("forced text is inserted, not verified", MASK_FORCED_INSERTED, 1, 1);
    caught("mask after temperature and truncation, then renormalised", MASK_AFTER, 0, 2);
}

/* What is not promised: the masked law is not the target's law given that the text is valid. The
 * enumeration agrees with the law of texts where they fit into it. */
static void not_the_conditional_law(void **state) {
    (void)state;
    law_text_laws t;
    law_case c = a_case(1, 2, 4, 0);
    c.sampling.presence_penalty = 0;
    law_of_texts(&c, &t);
    double sum[2] = {0}, tv = 0;
    for (int k = 0; k < t.n; k++) {
        vb_buf_addf(&laws, "| `%s` | %.4f | %.4f |\n", t.text[k], t.masked[k], t.conditional[k]);
        sum[0] += t.masked[k];
        sum[1] += t.conditional[k];
        tv += fabs(t.masked[k] - t.conditional[k]) / 2;
    }
    vb_buf_addf(&laws,
                "\nThe target alone writes one of them with probability %.2g. The total variation between "
                "the two laws is %.2f.\n",
                t.valid, tv);
    assert_true(fabs(sum[0] - 1) < 1e-9 && fabs(sum[1] - 1) < 1e-9 && tv > 0.1);
    law_result r;
    law_init(&r);
    assert_true(law_enumerate(&c, &r));
    const double ends = mpq_get_d(r.law[2 * 729 + 3 * 81 + 1 * 9]); /* a, b, end */
    const double joined = mpq_get_d(r.law[4 * 729 + 1 * 81]);       /* ab, end */
    assert_true(fabs(ends + joined - t.masked[0]) < 1e-9);
    law_clear(&r);
}

static void the_page_has_the_tables(void **state) {
    (void)state;
    char *page;
    size_t n;
    vb_error err = {0};
    if (cf_read_file("docs/speculation.md", &page, &n, &err)) fail_msg("%s", err.message);
    assert_int_equal(vb_buf_done(&table, "the table", &err), 0);
    assert_int_equal(vb_buf_done(&laws, "the laws", &err), 0);
    printf("%s%s", table.s, laws.s);
    const char *to = getenv("VB_TABLE"); /* writes it for the page */
    if (to) assert_int_equal(cf_write_file(to, table.s, table.n, &err), 0);
    if ((to = getenv("VB_LAWS"))) assert_int_equal(cf_write_file(to, laws.s, laws.n, &err), 0);
    if (!strstr(page, table.s) || !strstr(page, laws.s))
        fail_msg(
            "docs/speculation.md has other tables: VB_TABLE=FILE writes the first, VB_LAWS=FILE the second");
    free(page);
    vb_buf_free(&laws);
    vb_buf_free(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masked_laws),
        cmocka_unit_test(same_by_seeds),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(not_the_conditional_law),
        cmocka_unit_test(the_page_has_the_tables),
    };
    return cmocka_run_group_tests_name("law_mask", tests, NULL, NULL);
}
