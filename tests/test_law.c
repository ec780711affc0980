/* P3 by enumeration: on tables of small integers, every outcome of every coin of the real loop, with rational
 * probabilities. The law of the first tokens equals the target's exactly, the expected number of accepted
 * drafts equals the formulas, and no coin is used twice. */
#include "tests/law.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

typedef struct shape {
    const char *name;
    int n_vocab, gamma, n_tokens;
    bool trim;
} shape;

/* Full steps wherever that is affordable; "trim" asks for no more tokens than are still missing. */
static const shape shapes[] = {
    {"V2 g1 n4", 2, 1, 4, false}, {"V2 g2 n3", 2, 2, 3, false}, {"V2 g3 n3", 2, 3, 3, false},
    {"V3 g1 n3", 3, 1, 3, false}, {"V3 g2 n2", 3, 2, 2, false}, {"V3 g2 n3", 3, 2, 3, true},
    {"V4 g1 n2", 4, 1, 2, false}, {"V3 g3 n4", 3, 3, 4, true},  {"V3 g2 n3 full", 3, 2, 3, false},
    {"V4 g2 n3", 4, 2, 3, true},  {"V2 g3 n4", 2, 3, 4, false},
};

#define N_SHAPES (sizeof shapes / sizeof *shapes)

typedef struct totals {
    uint64_t cases, paths;
} totals;

/* Runs one case and checks everything that the rule promises. */
static void check(law_case *c, bool block, totals *t, mpq_t accepted) {
    law_result r;
    mpq_t formula;
    law_init(&r);
    mpq_init(formula);
    c->rule = block ? vb_rule_block : vb_rule_rejection;
    c->choice = block ? VB_CHOOSE_GRID : VB_CHOOSE_COIN;
    assert_true(law_enumerate(c, &r));
    law_expected_accepted(c, block, formula);
    if (mpq_sgn(r.tv) || r.reused || mpq_cmp(formula, r.accepted))
        printf("%s %s: TV %g, accepted %.15g by formula %.15g, %llu coins used twice\n", c->name,
               block ? "block" : "rejection", mpq_get_d(r.tv), mpq_get_d(r.accepted), mpq_get_d(formula),
               (unsigned long long)r.reused);
    assert_int_equal(mpq_sgn(r.tv), 0);
    assert_int_equal(r.reused, 0);
    assert_int_equal(mpq_cmp(formula, r.accepted), 0);
    if (accepted) mpq_set(accepted, r.accepted);
    t->cases++;
    t->paths += r.paths;
    mpq_clear(formula);
    law_clear(&r);
}

static void both(law_case *c, totals *t) {
    check(c, false, t, NULL);
    check(c, true, t, NULL);
}

static void all_shapes(void **state) {
    (void)state;
    totals t = {0};
    for (size_t i = 0; i < N_SHAPES; i++) {
        for (size_t j = 0; j < LAW_PAIRS; j++) {
            const shape *s = &shapes[i];
            char name[64];
            snprintf(name, sizeof name, "%s %s", s->name, law_pairs[j].name);
            law_case c = {.name = name,
                          .n_vocab = s->n_vocab,
                          .gamma = s->gamma,
                          .n_tokens = s->n_tokens,
                          .trim = s->trim,
                          .p = {law_pairs[j].p, 100 + (uint32_t)i, false},
                          .q = {law_pairs[j].q, 200 + (uint32_t)i, false},
                          .stop = -1};
            both(&c, &t);
        }
    }
    printf("%llu cases, %llu paths: output law = p exactly in every one\n", (unsigned long long)t.cases,
           (unsigned long long)t.paths);
}

/* The drafter is the target itself: with rejection everything is accepted. */
static void equal_models(void **state) {
    (void)state;
    totals t = {0};
    mpq_t accepted;
    mpq_init(accepted);
    law_case c = {.name = "equal", .n_vocab = 3, .gamma = 2, .n_tokens = 3, .trim = true, .stop = -1};
    c.p = c.q = (law_table){LAW_GENERIC, 5, true};
    check(&c, false, &t, accepted);
    assert_int_equal(mpq_cmp_ui(accepted, 2, 1), 0);
    check(&c, true, &t, accepted);
    assert_int_equal(mpq_cmp_ui(accepted, 2, 1), 0);
    mpq_clear(accepted);
}

/* The samplers that change the law in their own way, with penalties that see the drafts (DRY): p and q by the
 * same steps, the output exactly the target's law. Then the same with a law that does not see the drafts. */
static void samplers(void **state) {
    static const char *const names[] = {"typical-p",           "top-n-sigma", "XTC",
                                        "dynamic temperature", "DRY",         "all"};
    static const struct {
        vb_rule rule;
        vb_choice choice;
    } rules[] = {{vb_rule_coupled, VB_CHOOSE_RACE},
                 {vb_rule_rejection, VB_CHOOSE_COIN},
                 {vb_rule_block, VB_CHOOSE_GRID}};
    uint64_t paths = 0;
    (void)state;
    for (int k = 0; k < 36; k++) {
        const int which = k % 6, rule = k / 6 % 3;
        const bool blind = k >= 18; /* planted: the target's law without the drafts */
        law_case c = {.name = names[which],
                      .n_vocab = 4,
                      .gamma = 2,
                      .n_tokens = 3,
                      .trim = true,
                      .p = {LAW_GENERIC, 31 + (uint32_t)which, false},
                      .q = {LAW_GENERIC, 32, false},
                      .stop = -1,
                      .real = true,
                      .prefix_without_drafts = blind,
                      .rule = rules[rule].rule,
                      .choice = rules[rule].choice};
        if (blind && which < 4) continue; /* those do not look at the prefix */
        vb_sampling_defaults(&c.sampling);
        c.sampling.temperature = 2.5; /* logits are 1 to 6 */
        c.sampling.top_k = 0, c.sampling.top_p = 1, c.sampling.min_p = 0;
        if (which == 0 || which == 5) c.sampling.typical_p = 0.8;
        if (which == 1 || which == 5) c.sampling.top_n_sigma = 1.5;
        if (which == 2 || which == 5) c.sampling.xtc_probability = 0.4, c.sampling.xtc_threshold = 0.2;
        if (which == 3 || which == 5) c.sampling.dynatemp_range = 1.5;
        if (which == 4 || which == 5) c.sampling.dry_multiplier = 2, c.sampling.dry_allowed_length = 1;
        law_result r;
        law_init(&r);
        assert_true(law_enumerate(&c, &r));
        if (blind) {
            if (rule == 1) printf("%s that does not see the drafts: TV %.2g\n", c.name, mpq_get_d(r.tv));
            assert_true(mpq_get_d(r.tv) > 0.01);
        } else {
            assert_int_equal(mpq_sgn(r.tv), 0);
            assert_int_equal(r.reused, 0);
            assert_true(r.paths > 3);
        }
        paths += r.paths;
        law_clear(&r);
    }
    printf("samplers as laws: %llu paths, output law = p exactly under three rules\n",
           (unsigned long long)paths);
}

/* A trimmed draft vocabulary is a drafter that knows fewer ids: q = 0 elsewhere is exact. Renormalising the
 * target's law over the same ids is not. */
static void trimmed_vocabulary(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        const bool block = k % 2, planted = k >= 2;
        law_result r;
        law_case c = {.name = "a trimmed vocabulary",
                      .n_vocab = 4,
                      .gamma = 2,
                      .n_tokens = 3,
                      .trim = true,
                      .p = {LAW_GENERIC, 81, false},
                      .q = {LAW_GENERIC, 82, false},
                      .stop = -1,
                      .limit = 2,
                      .trim_p = planted,
                      .rule = block ? vb_rule_block : vb_rule_rejection,
                      .choice = block ? VB_CHOOSE_GRID : VB_CHOOSE_COIN};
        law_init(&r);
        assert_true(law_enumerate(&c, &r));
        if (planted)
            printf("a trim that renormalises p, %s: TV %.2g\n", block ? "block" : "rejection",
                   mpq_get_d(r.tv));
        assert_true(planted ? mpq_get_d(r.tv) > 0.1 : mpq_sgn(r.tv) == 0);
        law_clear(&r);
    }
}

/* Copies in front of the model: who drafts depends on the path, and so does the length. */
static void copies(void **state) {
    (void)state;
    uint64_t paths = 0;
    for (int k = 0; k < 8; k++) {
        const bool block = k % 2;
        law_result r;
        law_case c = {.name = block ? "copies, block" : "copies, rejection",
                      .n_vocab = k < 4 ? 2 : 3,
                      .gamma = 2,
                      .n_tokens = k < 4 ? 4 : 3,
                      .trim = true,
                      .p = {k & 2 ? LAW_SKEWED : LAW_GENERIC, 71, false},
                      .q = {LAW_GENERIC, 72, false},
                      .stop = -1,
                      .copies = k < 4 ? 2 : 1,
                      .rule = block ? vb_rule_block : vb_rule_rejection,
                      .choice = block ? VB_CHOOSE_GRID : VB_CHOOSE_COIN};
        law_init(&r);
        assert_true(law_enumerate(&c, &r));
        assert_int_equal(mpq_sgn(r.tv), 0);
        assert_int_equal(r.reused, 0);
        paths += r.paths;
        law_clear(&r);
    }
    printf("copies in front of a model: %llu paths, output law = p exactly\n", (unsigned long long)paths);
}

static void penalties_stops_limits(void **state) {
    (void)state;
    totals t = {0};
    const law_case base = {.n_vocab = 3,
                           .gamma = 2,
                           .n_tokens = 3,
                           .trim = true,
                           .p = {LAW_GENERIC, 31, false},
                           .q = {LAW_ZEROS, 32, false},
                           .stop = -1};
    law_case c = base;
    c.name = "penalties over the drafted path", c.penalties = true;
    both(&c, &t);
    c = base, c.name = "a stop token", c.stop = 1;
    both(&c, &t);
    c = base, c.name = "a drafter that knows two of three ids", c.limit = 2;
    both(&c, &t);
    c = base, c.name = "a drafter that stops depending on what it kept", c.stop_early = true, c.gamma = 3;
    both(&c, &t);
    c = base, c.name = "a drafter whose context fills up", c.draft_n_ctx = 2;
    c.n_tokens = 3;
    law_result r;
    law_init(&r); /* the formula knows nothing of this one */
    c.rule = vb_rule_block, c.choice = VB_CHOOSE_GRID;
    assert_true(law_enumerate(&c, &r));
    assert_int_equal(mpq_sgn(r.tv), 0);
    law_clear(&r);
    c = base, c.name = "penalties, stop token, early stopping, two of four ids";
    c.n_vocab = 4, c.penalties = true, c.stop = 3, c.stop_early = true, c.limit = 2;
    both(&c, &t);
    printf("%llu cases, %llu paths\n", (unsigned long long)t.cases, (unsigned long long)t.paths);
}

/* E[accepted]: block is never below rejection, equal at gamma 1, and above it where there is something to
 * gain. Tables whose totals are powers of two, so that both draw from the same q; P is rounded down by less
 * than 2^-32 a place. */
static void block_accepts_more(void **state) {
    (void)state;
    totals t = {0};
    mpq_t a, b;
    int gains = 0;
    mpq_inits(a, b, NULL);
    for (uint32_t seed = 0; seed < 12; seed++) {
        law_case c = {.name = "block against rejection",
                      .n_vocab = 3,
                      .gamma = 1 + (int)(seed % 3),
                      .n_tokens = 1,
                      .p = {seed % 2 ? LAW_GENERIC : LAW_SKEWED, seed, true},
                      .q = {LAW_GENERIC, seed + 50, true},
                      .stop = -1};
        check(&c, false, &t, a);
        check(&c, true, &t, b);
        mpq_sub(b, b, a);
        const double gain = mpq_get_d(b);
        assert_true(gain > -3 * 0x1p-32);
        if (c.gamma == 1) assert_true(gain < 0x1p-32);
        if (gain > 1e-3) gains++;
        printf("gamma %d: rejection %.6f, block %+.6f\n", c.gamma, mpq_get_d(a), gain);
    }
    assert_true(gains >= 3);
    mpq_clears(a, b, NULL);
}

/* Sun et al., section 1: p = (1/3, 2/3), q = (2/3, 1/3) at both of two places: token-wise 10/9, block-wise
 * 11/9. The tables here depend on context, so the pair is built as a rule-level check. */
static int fixed_p(void *arg, int i, const vb_dist **out, vb_error *err) {
    (void)i, (void)err;
    *out = arg;
    return VB_OK;
}

typedef struct count_coins {
    vb_u128 threshold[2], bound[2];
    int asked;
    unsigned answers;
} count_coins;

static bool count_below(void *self, vb_coin_key key, vb_u128 threshold, vb_u128 bound, vb_coin *coin) {
    count_coins *c = self;
    (void)key, (void)coin;
    c->threshold[c->asked] = threshold;
    c->bound[c->asked] = bound;
    return c->answers >> c->asked++ & 1;
}

static int32_t count_pick(void *self, vb_coin_key key, const vb_weights *w, vb_coin *coin) {
    (void)self, (void)key, (void)w, (void)coin;
    return 0;
}

static double toy(vb_rule rule, uint64_t total_q) {
    const int32_t ids[2] = {0, 1};
    const uint64_t pw[2] = {1, 2}, qw[2] = {total_q - total_q / 3, total_q / 3};
    vb_dist p = {2, ids, pw, 3}, q[2] = {{2, ids, qw, total_q}, {2, ids, qw, total_q}};
    double expected = 0;
    for (int xy = 0; xy < 4; xy++) {
        const int32_t draft[2] = {xy & 1, xy >> 1};
        const double weight = (double)qw[draft[0]] / (double)total_q * (double)qw[draft[1]] / (double)total_q;
        for (unsigned answers = 0; answers < 4; answers++) {
            count_coins state = {.answers = answers};
            vb_coins coins = {.below = count_below, .pick = count_pick, .self = &state};
            vb_drafted drafted[2] = {{0}};
            const bool ends[2] = {false, false};
            int32_t kept[2];
            vb_verify v = {.n = 2,
                           .draft = draft,
                           .q = q,
                           .ends = ends,
                           .coins = &coins,
                           .p = fixed_p,
                           .arg = &p,
                           .drafted = drafted,
                           .kept = kept};
            assert_int_equal(rule(&v, NULL), 0);
            double pr = weight;
            for (int i = 0; i < state.asked; i++) {
                const double h = (double)state.threshold[i] / (double)state.bound[i];
                pr *= answers >> i & 1 ? h : 1 - h;
            }
            for (int i = state.asked; i < 2; i++) pr /= 2; /* answers nobody asked for */
            expected += pr * v.n_accepted;
        }
    }
    return expected;
}

static void the_papers_example(void **state) {
    (void)state;
    const double token = toy(vb_rule_rejection, 3), block = toy(vb_rule_block, VB_BLOCK_Q);
    printf("accepted: token-wise %.9f (10/9), block-wise %.9f (11/9)\n", token, block);
    assert_true(token > 10.0 / 9 - 1e-12 && token < 10.0 / 9 + 1e-12);
    assert_true(block > 11.0 / 9 - 1e-8 && block < 11.0 / 9 + 1e-8);
}

/* The same loop with Philox coins instead of all coins: chi-square of the joint law of three tokens. What the
 * enumeration cannot see is the coins themselves. Fixed seeds, so this cannot flake; N and limit find any
 * total variation of 0.013 with probability 0.999. */
static void production_coins(void **state) {
    (void)state;
    enum { N = 1 << 18 };
    for (int block = 0; block < 2; block++) {
        law_case c = {.name = "sampled",
                      .n_vocab = 4,
                      .gamma = 3,
                      .n_tokens = 3,
                      .p = {LAW_GENERIC, 71, false},
                      .q = {LAW_GENERIC, 72, false},
                      .rule = block ? vb_rule_block : vb_rule_rejection,
                      .choice = block ? VB_CHOOSE_GRID : VB_CHOOSE_COIN,
                      .trim = true,
                      .stop = -1};
        law_result r;
        static int seen[LAW_CELLS];
        memset(seen, 0, sizeof seen);
        law_init(&r);
        assert_true(law_enumerate(&c, &r));
        assert_int_equal(mpq_sgn(r.tv), 0);
        c.trim = false;
        for (uint64_t seed = 0; seed < N; seed++) {
            const int k = law_sample(&c, seed * 0x9E3779B97F4A7C15u);
            assert_true(k >= 0);
            seen[k]++;
        }
        double chi = 0;
        int cells = 0;
        for (int k = 0; k < LAW_CELLS; k++) {
            const double e = N * mpq_get_d(r.law[k]), d = seen[k] - e;
            if (e == 0) {
                assert_int_equal(seen[k], 0);
                continue;
            }
            assert_true(e > 20);
            chi += d * d / e;
            cells++;
        }
        printf("%s, Philox coins: chi-square %.1f on %d (limit 154 at 1e-9)\n", block ? "block" : "rejection",
               chi, cells - 1);
        assert_int_equal(cells, 64);
        assert_true(chi < 154);
        law_clear(&r);
    }
}

/* `coupled` over every value of the noise: the law is the target's, whether a model drafts, a tree made by
 * hand, or nobody. A drafter that reads the target's hidden rows is shown every position once, with the row
 * of a plain evaluation. */
static void coupled_and_trees(void **state) {
    (void)state;
    totals t = {0};
    uint64_t seen = 0;
    double accepted[3] = {0};
    for (size_t i = 0; i < N_SHAPES; i++) {
        for (size_t j = 0; j < LAW_PAIRS; j++) {
            for (int who = 0; who < 3; who++) {
                law_result r;
                law_case c = {.name = shapes[i].name,
                              .n_vocab = shapes[i].n_vocab,
                              .gamma = who == 1 ? 7 : shapes[i].gamma,
                              .n_tokens = shapes[i].n_tokens,
                              .p = {law_pairs[j].p, 300 + (uint32_t)i, false},
                              .q = {law_pairs[j].q, 400 + (uint32_t)i, false},
                              .rule = vb_rule_coupled,
                              .choice = VB_CHOOSE_RACE,
                              .penalties = j % 2,
                              .stop = i % 3 == 0 ? 1 : -1,
                              .tree = who == 1,
                              .sees = who < 2,
                              .alone = who == 2};
                law_init(&r);
                assert_true(law_enumerate(&c, &r));
                if (mpq_sgn(r.tv))
                    printf("%s, %s, %d: TV %g\n", c.name, law_pairs[j].name, who, mpq_get_d(r.tv));
                assert_int_equal(mpq_sgn(r.tv), 0);
                assert_int_equal(r.reused, 0);
                accepted[who] += mpq_get_d(r.accepted);
                seen += r.seen;
                t.cases++;
                t.paths += r.paths;
                law_clear(&r);
            }
        }
    }
    printf("coupled: %llu cases, %llu paths; accepted in the first steps: chains %.2f, trees %.2f; %llu "
           "hidden rows "
           "checked\n",
           (unsigned long long)t.cases, (unsigned long long)t.paths, accepted[0], accepted[1],
           (unsigned long long)seen);
    assert_true(accepted[0] > 1 && accepted[1] > 1 && accepted[2] == 0 && seen > 1000);
}

/* The same by seeds: token for token what the target alone gives (P2). */
static void trees_by_seeds(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        law_case c = {.name = "a tree by seeds",
                      .n_vocab = 4,
                      .gamma = 7,
                      .n_tokens = 4,
                      .p = {LAW_GENERIC, (uint32_t)seed % 7, false},
                      .q = {LAW_GENERIC, 8, false},
                      .rule = vb_rule_coupled,
                      .choice = VB_CHOOSE_RACE,
                      .penalties = seed % 2,
                      .stop = seed % 3 ? -1 : 2,
                      .alone = true};
        const int alone = law_sample(&c, seed);
        c.alone = false;
        assert_int_equal(law_sample(&c, seed), alone);
        c.tree = c.sees = true;
        assert_int_equal(law_sample(&c, seed), alone);
    }
}

/* Rejection and block refuse a tree where chains are due: another rule judges trees (test_law_tree.c). */
static void trees_where_chains_are_due(void **state) {
    (void)state;
    law_result r;
    law_case c = {.name = "refused on purpose",
                  .n_vocab = 3,
                  .gamma = 7,
                  .n_tokens = 2,
                  .p = {LAW_GENERIC, 1, false},
                  .rule = vb_rule_block,
                  .stop = -1,
                  .tree = true};
    law_init(&r);
    assert_false(law_enumerate(&c, &r));
    c.rule = vb_rule_rejection;
    assert_false(law_enumerate(&c, &r));
    law_clear(&r);
}

/* Costs of a machine: a pass of T tokens, and a drafted token, in thousandths of one token. */
static vb_costs costs_of(int32_t per_row, int32_t draft) {
    vb_costs c = {.far = 100, .draft = {draft, draft}};
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < VB_COST_ROWS; t++) c.target[i][t] = 1000 + per_row * t;
    return c;
}

/* Lengths that are chosen (cost.h), on machines where drafting costs nothing, something, and much: what is
 * proposed depends on what was accepted before and on the drafter's laws, and the law is still p. */
static void lengths_that_are_chosen(void **state) {
    (void)state;
    const vb_costs machines[] = {costs_of(0, 0), costs_of(10, 100), costs_of(100, 250), costs_of(300, 350)};
    totals t = {0};
    uint64_t by_length[8] = {0};
    for (size_t m = 0; m < sizeof machines / sizeof *machines; m++) {
        for (size_t i = 0; i < N_SHAPES; i++) {
            for (size_t j = 0; j < LAW_PAIRS; j++) {
                for (int block = 0; block < 2; block++) {
                    law_result r;
                    const law_case c = {.name = shapes[i].name,
                                        .n_vocab = shapes[i].n_vocab,
                                        .gamma = shapes[i].gamma,
                                        .n_tokens = shapes[i].n_tokens,
                                        .trim = shapes[i].trim,
                                        .p = {law_pairs[j].p, 500 + (uint32_t)i, false},
                                        .q = {law_pairs[j].q, 600 + (uint32_t)i, false},
                                        .rule = block ? vb_rule_block : vb_rule_rejection,
                                        .choice = block ? VB_CHOOSE_GRID : VB_CHOOSE_COIN,
                                        .costs = &machines[m],
                                        .penalties = j % 2,
                                        .stop = i % 2 ? -1 : 1};
                    law_init(&r);
                    assert_true(law_enumerate(&c, &r));
                    if (mpq_sgn(r.tv) || r.reused)
                        printf("%s, %s, machine %zu, %s: TV %g\n", c.name, law_pairs[j].name, m,
                               block ? "block" : "rejection", mpq_get_d(r.tv));
                    assert_int_equal(mpq_sgn(r.tv), 0);
                    assert_int_equal(r.reused, 0);
                    for (int k = 0; k < 8; k++) by_length[k] += r.by_length[k];
                    t.cases++;
                    t.paths += r.paths;
                    law_clear(&r);
                }
            }
        }
    }
    printf("lengths chosen: %llu cases, %llu paths; steps that drafted 0, 1, 2, 3: %llu, %llu, %llu, %llu\n",
           (unsigned long long)t.cases, (unsigned long long)t.paths, (unsigned long long)by_length[0],
           (unsigned long long)by_length[1], (unsigned long long)by_length[2],
           (unsigned long long)by_length[3]);
    for (int k = 0; k < 4; k++) assert_true(by_length[k] > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_shapes),
        cmocka_unit_test(equal_models),
        cmocka_unit_test(trimmed_vocabulary),
        cmocka_unit_test(copies),
        cmocka_unit_test(samplers),
        cmocka_unit_test(penalties_stops_limits),
        cmocka_unit_test(block_accepts_more),
        cmocka_unit_test(the_papers_example),
        cmocka_unit_test(lengths_that_are_chosen),
        cmocka_unit_test(coupled_and_trees),
        cmocka_unit_test(trees_by_seeds),
        cmocka_unit_test(trees_where_chains_are_due),
        cmocka_unit_test(production_coins),
    };
    return cmocka_run_group_tests_name("law", tests, NULL, NULL);
}
