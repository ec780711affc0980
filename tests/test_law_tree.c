/* Trees of drafts by enumeration: siblings drawn without replacement and judged one after the other, and what
 * the race proposes. As test_law.c has it for chains: the output law is the target's exactly, and no coin is
 * used twice. Then the mistakes that trees invite. */
#include "tests/law.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

typedef struct shape {
    const char *name;
    int tree[VB_TREE_DEPTH];
    int n_vocab, n_tokens;
    bool trim;
} shape;

/* "full": steps draft all of the shape, however many tokens are still missing. */
static const shape shapes[] = {
    {"2 of two ids, full", {2}, 2, 3, false},    {"2 of three ids, full", {2}, 3, 2, false},
    {"2,2 of three ids", {2, 2}, 3, 3, true},    {"3 of three ids", {3}, 3, 3, true},
    {"3,1 of four ids", {3, 1}, 4, 3, true},     {"2,1 of two ids, full", {2, 1}, 2, 3, false},
    {"1,2 of three ids", {1, 2}, 3, 3, true},    {"2,2 of two ids, full", {2, 2}, 2, 3, false},
    {"1,1,2 of two ids", {1, 1, 2}, 2, 4, true}, {"4 of three ids: one is missing", {4}, 3, 2, true},
};

#define N_SHAPES (sizeof shapes / sizeof *shapes)

static law_case case_of(const shape *s, law_style p, law_style q, uint32_t seed, bool coupled) {
    law_case c = {.name = s->name,
                  .n_vocab = s->n_vocab,
                  .n_tokens = s->n_tokens,
                  .trim = s->trim,
                  .p = {p, 700 + seed, false},
                  .q = {q, 800 + seed, false},
                  .rule = coupled ? vb_rule_coupled : vb_rule_rejection,
                  .choice = coupled ? VB_CHOOSE_RACE : VB_CHOOSE_COIN,
                  .stop = -1};
    memcpy(c.shape, s->tree, sizeof c.shape);
    c.gamma = vb_draft_tree_size(s->tree);
    return c;
}

/* The enumeration of a case; its expected number of accepted drafts. */
static double exact(const law_case *c, const char *pair, uint64_t *paths) {
    law_result r;
    law_init(&r);
    assert_true(law_enumerate(c, &r));
    if (mpq_sgn(r.tv) || r.reused)
        printf("%s, %s: TV %g, %llu coins used twice\n", c->name, pair, mpq_get_d(r.tv),
               (unsigned long long)r.reused);
    assert_int_equal(mpq_sgn(r.tv), 0);
    assert_int_equal(r.reused, 0);
    const double accepted = mpq_get_d(r.accepted);
    *paths += r.paths;
    law_clear(&r);
    return accepted;
}

/* All shapes and pairs under both rules, with penalties along each path, stop tokens and hidden rows in
 * turn; and the chain of the same depth, which accepts less. */
static void all_shapes(void **state) {
    (void)state;
    uint64_t paths[2] = {0}, of_chains = 0;
    double accepted[2] = {0}, chain = 0;
    int cases = 0;
    for (size_t i = 0; i < N_SHAPES; i++) {
        for (size_t j = 0; j < LAW_PAIRS; j++) {
            for (int coupled = 0; coupled < 2; coupled++) {
                law_case c = case_of(&shapes[i], law_pairs[j].p, law_pairs[j].q, (uint32_t)i, coupled);
                c.penalties = (i + j) % 2;
                c.stop = (i + j) % 3 == 0 ? 1 : -1;
                c.sees = j % 2;
                accepted[coupled] += exact(&c, law_pairs[j].name, &paths[coupled]);
                cases++;
                if (coupled) continue;
                c.sees = false;
                c.gamma = 0;
                while (c.shape[c.gamma]) c.shape[c.gamma++] = 0;
                chain += exact(&c, law_pairs[j].name, &of_chains);
            }
        }
    }
    printf(
        "%d trees: output law = p exactly; %llu paths under rejection, %llu under coupled; accepted in the "
        "first steps %.3f (chains as deep: %.3f)\n",
        cases, (unsigned long long)paths[0], (unsigned long long)paths[1], accepted[0], chain);
    assert_true(accepted[0] > 1.05 * chain && accepted[1] > 1);
}

/* A drafter that knows fewer ids, one whose context fills up, one that copies where there is a repeat (a
 * chain) and grows trees elsewhere. */
static void odd_drafters(void **state) {
    (void)state;
    uint64_t paths = 0;
    const shape s = {"odd", {2, 1}, 3, 3, true};
    for (int k = 0; k < 4; k++) {
        law_case c = case_of(&s, LAW_GENERIC, LAW_GENERIC, 40 + (uint32_t)k, false);
        if (k == 0) c.name = "two of three ids", c.limit = 2;
        if (k == 1) c.name = "one of three ids", c.limit = 1;
        if (k == 2) c.name = "a context that fills up", c.draft_n_ctx = 3;
        if (k == 3) c.name = "copies in front", c.copies = 1;
        exact(&c, "generic", &paths);
    }
    printf("odd drafters: %llu paths, output law = p exactly\n", (unsigned long long)paths);
}

/* Shapes that are chosen by the costs and by what came of the drafts before (cost.h), on machines where rows
 * of a pass are cheap and depths of a draft dear: chains and trees take turns, and the law is still p. */
static void chosen_shapes(void **state) {
    (void)state;
    uint64_t paths = 0, by_length[8] = {0}, trees = 0;
    int cases = 0;
    for (int m = 0; m < 3; m++) {
        vb_costs costs = {.far = 100, .draft = {300, 300}};
        for (int i = 0; i < 2; i++)
            for (int t = 0; t < VB_COST_ROWS; t++) costs.target[i][t] = 1000 + (m == 2 ? 250 : 10 * m) * t;
        for (size_t j = 0; j < LAW_PAIRS; j++) {
            for (int n_vocab = 2; n_vocab < 4; n_vocab++) {
                law_result r;
                const law_case c = {.name = "chosen shapes",
                                    .n_vocab = n_vocab,
                                    .gamma = 4,
                                    .n_tokens = n_vocab == 2 ? 4 : 3,
                                    .trim = true,
                                    .p = {law_pairs[j].p, 910, false},
                                    .q = {law_pairs[j].q, 920, false},
                                    .rule = vb_rule_rejection,
                                    .choice = VB_CHOOSE_COIN,
                                    .costs = &costs,
                                    .shape = {1},
                                    .penalties = j % 2,
                                    .stop = j % 3 ? -1 : 1};
                law_init(&r);
                assert_true(law_enumerate(&c, &r));
                if (mpq_sgn(r.tv)) printf("machine %d, %s: TV %g\n", m, law_pairs[j].name, mpq_get_d(r.tv));
                assert_int_equal(mpq_sgn(r.tv), 0);
                assert_int_equal(r.reused, 0);
                paths += r.paths;
                trees += r.branched;
                for (int k = 0; k < 8; k++) by_length[k] += r.by_length[k];
                cases++;
                law_clear(&r);
            }
        }
    }
    printf("shapes chosen: %d cases, %llu paths, output law = p exactly; steps that drafted 0 to 4: %llu, "
           "%llu, %llu, "
           "%llu, %llu\n",
           cases, (unsigned long long)paths, (unsigned long long)by_length[0],
           (unsigned long long)by_length[1], (unsigned long long)by_length[2],
           (unsigned long long)by_length[3], (unsigned long long)by_length[4]);
    printf("%llu of these steps with siblings\n", (unsigned long long)trees);
    assert_true(by_length[1] > 100 && by_length[2] > trees / 100 && trees > 1000);
}

/* By seeds, with Philox: under coupled token for token the target alone. */
static void by_seeds(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        const shape *s = &shapes[seed % N_SHAPES];
        law_case c = case_of(s, LAW_GENERIC, LAW_GENERIC, (uint32_t)(seed % 7), true), alone = c;
        alone.alone = true;
        assert_int_equal(law_sample(&c, seed), law_sample(&alone, seed));
    }
}

/* Siblings by the race: the first one is the chain's draft, and each further one raises the share of steps in
 * which the target's choice is among them. */
static void siblings_find_the_choice(void **state) {
    (void)state;
    enum { N = 20000 };
    int32_t id[2][40];
    uint64_t w[2][40];
    int found[4] = {0};
    for (int k = 0; k < 2; k++)
        for (int32_t i = 0; i < 40; i++)
            id[k][i] = i, w[k][i] = 1 + (uint64_t)(i * (k ? 17 : 13) % 40) * (40 - (uint64_t)i);
    vb_dist d[2];
    for (int k = 0; k < 2; k++) {
        d[k] = (vb_dist){40, id[k], w[k], 0};
        for (int32_t i = 0; i < 40; i++) d[k].total += w[k][i];
    }
    uint64_t seed = 9;
    const vb_coins c = vb_coins_philox(&seed);
    for (uint32_t t = 0; t < N; t++) {
        int32_t rank[4];
        const int32_t y = c.race(c.self, &d[0], t);
        assert_int_equal(c.ranks(c.self, &d[1], t, 4, rank), 4);
        assert_int_equal(rank[0], c.race(c.self, &d[1], t));
        for (int k = 0; k < 4; k++) {
            for (int l = 0; l < k; l++) assert_int_not_equal(rank[k], rank[l]);
            found[k] += rank[k] == y;
        }
    }
    printf("the target's choice is the sibling at place 1 to 4 in %.3f, %.3f, %.3f, %.3f of the races\n",
           found[0] / (double)N, found[1] / (double)N, found[2] / (double)N, found[3] / (double)N);
    for (int k = 0; k + 1 < 4; k++) assert_true(found[k] > found[k + 1] && found[k + 1] > 0);
}

static void shapes_as_text(void **state) {
    (void)state;
    int tree[VB_TREE_DEPTH];
    vb_error err = {0};
    assert_int_equal(vb_draft_tree_read("3,2,1", tree, &err), VB_OK);
    assert_true(tree[0] == 3 && tree[1] == 2 && tree[2] == 1 && tree[3] == 0);
    assert_int_equal(vb_draft_tree_size(tree), 3 + 6 + 6);
    static const char *const bad[] = {"",      "3,", ",3",  "0", "3,0",  "33",
                                      "4,4,2", "-1", "3;2", "a", "2 ,1", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(vb_draft_tree_read(bad[i], tree, &err), VB_ERR_ARGUMENT);
        assert_int_equal(tree[1], 2); /* as before */
    }
    assert_int_equal(vb_draft_tree_read("auto", tree, &err), VB_OK);
    assert_true(tree[0] == VB_TREE_AUTO && vb_draft_tree_size(tree) == 0);
    assert_int_equal(vb_draft_tree_read("off", tree, &err), VB_OK);
    assert_int_equal(vb_draft_tree_size(tree), 0);
    assert_int_equal(vb_draft_tree_read("32", tree, &err), VB_OK);
    assert_int_equal(vb_draft_tree_read("1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", tree, &err), VB_OK);
    assert_int_equal(vb_draft_tree_size(tree), 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_as_text), cmocka_unit_test(all_shapes),
        cmocka_unit_test(odd_drafters),   cmocka_unit_test(chosen_shapes),
        cmocka_unit_test(by_seeds),       cmocka_unit_test(siblings_find_the_choice),
    };
    return cmocka_run_group_tests_name("law_tree", tests, NULL, NULL);
}
