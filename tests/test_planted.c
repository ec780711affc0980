/* A test of the tests: mistakes that real engines have shipped, planted one by one into the loop, a rule or a
 * drafter. The enumeration must catch every one, and must pass the right code in the same harness.
 *
 * The mistakes: prove/wrong_rules.h. The table that this prints is the one of docs/speculation.md; the test
 * fails if the page says otherwise. */
#include "conformance/conformance.h"
#include "tests/law.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static vb_buf table; /* of docs/speculation.md */

/* The mistakes that prove/wrong_rules.c does not name, because no sample shows them or they are not in a
 * rule. */
static int no_bonus(vb_verify *v, vb_error *err) {
    int rc = vb_rule_rejection(v, err);
    if (v->n_accepted == v->n) v->final = -1, v->has_final_coin = false;
    return rc;
}

static int drop_bonus(vb_step *step) {
    return step->n_accepted > 0 && step->n_accepted == step->n_drafted ? step->n_accepted : step->n_emitted;
}

/* ---------------------------------------------------------------------- the hunt */

typedef struct hunt {
    double tv;         /* the largest seen */
    bool tv_found;     /* exactly: not 0 */
    bool length_found; /* emitted is not accepted + 1 */
    uint64_t reused;
} hunt;

/* Runs a (wrong) program on a few pairs of tables: three ids over full steps, four ids over the first two
 * tokens. */
static hunt run(const law_case *wrong) {
    static const struct {
        int n_vocab, n_tokens;
        law_style p, q;
    } tables[] = {
        {3, 3, LAW_GENERIC, LAW_GENERIC}, {3, 3, LAW_ZEROS, LAW_ZEROS},    {3, 3, LAW_SKEWED, LAW_SKEWED},
        {4, 2, LAW_GENERIC, LAW_ZEROS},   {4, 2, LAW_GENERIC, LAW_SKEWED},
    };
    hunt h = {0};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        law_case c = *wrong;
        law_result r;
        mpq_t d;
        c.n_vocab = tables[i].n_vocab;
        c.n_tokens = tables[i].n_tokens;
        c.gamma = wrong->shape[0] ? vb_draft_tree_size(wrong->shape) : 2;
        c.stop = -1;
        c.p = (law_table){tables[i].p, 7 + (uint32_t)i, false};
        c.q = (law_table){tables[i].q, 19 + (uint32_t)i, false};
        law_init(&r);
        mpq_init(d);
        assert_true(law_enumerate(&c, &r));
        if (mpq_get_d(r.tv) > h.tv) h.tv = mpq_get_d(r.tv);
        h.tv_found |= mpq_sgn(r.tv) != 0;
        mpq_sub(d, r.emitted, r.accepted);
        h.length_found |= mpq_cmp_ui(d, 1, 1) != 0;
        h.reused += r.reused;
        mpq_clear(d);
        law_clear(&r);
    }
    return h;
}

static void caught(const char *what, const law_case *c) {
    const hunt h = run(c);
    assert_true(h.tv_found || h.length_found);
    vb_buf_addf(&table, "| %s | %#.2g | %s |\n", what, h.tv,
                h.reused         ? "a coin is met again"
                : h.length_found ? "too few tokens"
                                 : "");
}

/* Seeds, of 400, for which two programs write different texts. */
static int texts_that_differ(law_case a, law_case b) {
    int differ = 0;
    for (uint64_t seed = 0; seed < 400; seed++) differ += law_sample(&a, seed) != law_sample(&b, seed);
    return differ;
}

/* A mistake that leaves the law what it is: each proposal is drawn from the law that is reported, whatever
 * made it so long. But the text of a seed is no longer a function of the request. */
static void caught_by_seeds(const char *what, const law_case *right, const law_case *wrong) {
    const hunt h = run(wrong);
    assert_false(h.tv_found);
    assert_false(h.length_found);
    assert_true(texts_that_differ(*right, *wrong) > 0);
    vb_buf_addf(&table, "| %s | 0.0 | another text for the seed |\n", what);
}

static void right_rules_pass(void **state) {
    (void)state;
    const law_case right[] = {
        {.name = "rejection", .rule = vb_rule_rejection, .choice = VB_CHOOSE_COIN, .penalties = true},
        {.name = "block", .rule = vb_rule_block, .choice = VB_CHOOSE_GRID, .penalties = true},
        {.name = "rejection, second writing", .rule = vb_second_rejection, .choice = VB_CHOOSE_COIN},
        {.name = "block, second writing", .rule = vb_second_block, .choice = VB_CHOOSE_GRID},
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        const hunt h = run(&right[i]);
        assert_false(h.tv_found);
        assert_false(h.length_found);
        assert_int_equal(h.reused, 0);
    }
}

/* Every rule that `verbatim prove --accept` knows to be wrong. */
static void wrong_rules(void **state) {
    (void)state;
    size_t n;
    const vb_wrong *rules = vb_wrong_rules(&n);
    for (size_t i = 0; i < n; i++) {
        const law_case c = {.name = rules[i].name, .wrong = &rules[i]};
        caught(rules[i].what, &c);
        assert_ptr_equal(vb_wrong_find(rules[i].name), &rules[i]);
    }
    assert_null(vb_wrong_find("rejection"));
}

static void wrong_around_them(void **state) {
    (void)state;
    law_case c = {.name = "planted", .rule = no_bonus, .choice = VB_CHOOSE_COIN};
    caught("no bonus token", &c);
    c.rule = vb_rule_rejection;
    c.after = drop_bonus;
    caught("bonus token in the context but not in the output", &c);
    c.after = NULL;
    c.penalties = c.prefix_without_drafts = true;
    caught("penalties do not see the drafted tokens", &c);
    c.rule = vb_rule_block;
    c.choice = VB_CHOOSE_GRID;
    caught("block: penalties do not see the drafted tokens", &c);
}

/* Coins that belong to positions do no harm under rejection: what lies beyond the first rejection is never
 * looked at. And a one-step test of block cannot see them: only what follows the first token of the second
 * step does. */
static void coins_by_position(void **state) {
    (void)state;
    const vb_wrong *block = vb_wrong_find("block-position-coin");
    vb_wrong rejection = *block;
    rejection.rule = vb_rule_rejection;
    rejection.choice = VB_CHOOSE_COIN;
    law_case c = {.name = "by position", .wrong = &rejection};
    const hunt h = run(&c);
    assert_false(h.tv_found);
    assert_false(h.length_found);
    law_result r;
    c = (law_case){.name = "block, the first token alone",
                   .wrong = block,
                   .n_vocab = 3,
                   .gamma = 2,
                   .n_tokens = 1,
                   .p = {LAW_GENERIC, 7, false},
                   .q = {LAW_GENERIC, 19, false},
                   .stop = -1};
    law_init(&r);
    assert_true(law_enumerate(&c, &r));
    assert_int_equal(mpq_sgn(r.tv), 0);
    law_clear(&r);
}

/* --gamma auto under rejection and block: cost.h says what a length may look at. */
static void lengths(void **state) {
    (void)state;
    vb_costs costs = {.far = 100, .draft = {100, 100}};
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < VB_COST_ROWS; t++) costs.target[i][t] = 1000 + 10 * t;
    for (int block = 0; block < 2; block++) {
        const law_case base = {.name = "lengths",
                               .rule = block ? vb_rule_block : vb_rule_rejection,
                               .choice = block ? VB_CHOOSE_GRID : VB_CHOOSE_COIN,
                               .n_vocab = 4,
                               .n_tokens = 4,
                               .gamma = 2,
                               .p = {LAW_GENERIC, 7, false},
                               .q = {LAW_GENERIC, 19, false},
                               .stop = -1,
                               .costs = &costs};
        law_case c = base, other = base;
        const hunt h = run(&base);
        assert_false(h.tv_found);
        c.length_bug = LENGTH_DROPS;
        caught(block ? "block: a length that leaves out a token after drawing it"
                     : "a length that leaves out a token after drawing it",
               &c);
        c.length_bug = other.length_bug = LENGTH_CLOCK;
        c.clock = 1, other.clock = 2;
        caught_by_seeds(block ? "block: a length that looks at the clock"
                              : "a length that looks at the clock",
                        &c, &other);
        c.length_bug = LENGTH_COLD;
        caught_by_seeds(block ? "block: a drafter that is cold after a prefix hit"
                              : "a drafter that is cold after a prefix hit",
                        &base, &c);
    }
}

/* Pairs of siblings at even places of the list: one coin draws both. */
static vb_coin_key one_coin_for_siblings(vb_coin_key k) {
    if (k.purpose == VB_PURPOSE_DRAFT) k.offset &= ~1u;
    return k;
}

/* The rule of chains, which does not round, where the list that was drawn happens to be one. */
static int by_what_was_drawn(vb_verify *v, vb_error *err) {
    v->tree = false;
    for (int i = 0; i < v->n; i++) v->tree |= v->drafted[i].parent != i - 1;
    return vb_rule_rejection(v, err);
}

/* Two siblings behind the path, drawn without replacement and judged one after the other. */
static void trees(void **state) {
    (void)state;
    const vb_wrong one_coin = {
        .name = "tree", .rule = vb_rule_rejection, .choice = VB_CHOOSE_COIN, .key = one_coin_for_siblings};
    const law_case right = {
        .name = "a tree", .rule = vb_rule_rejection, .choice = VB_CHOOSE_COIN, .shape = {2}};
    law_case c = right;
    const hunt h = run(&right);
    assert_false(h.tv_found || h.length_found || h.reused);
    c.tree_bug = TREE_RERANKED;
    caught("tree: of two siblings that were drawn the likelier one is judged, the other left out", &c);
    c.tree_bug = TREE_NOT_RENORMALISED;
    caught("tree: q of the second sibling is not renormalised", &c);
    c.tree_bug = TREE_RIGHT;
    c.rule = by_what_was_drawn;
    c.shape[0] = 1, c.shape[1] = 2; /* behind some tokens the drafter knows one id */
    caught("tree: the rule of chains judges a list that happens to be one", &c);
    c.shape[0] = 2, c.shape[1] = 0;
    c.wrong = &one_coin;
    caught("tree: siblings share a coin", &c);
}

static void the_page_has_the_table(void **state) {
    (void)state;
    char *page;
    size_t n;
    vb_error err = {0};
    if (cf_read_file("docs/speculation.md", &page, &n, &err)) fail_msg("%s", err.message);
    assert_int_equal(vb_buf_done(&table, "a vector file", &err), 0);
    printf("%s", table.s);
    const char *to = getenv("VB_TABLE"); /* writes it for the page */
    if (to) assert_int_equal(cf_write_file(to, table.s, table.n, &err), 0);
    if (!strstr(page, table.s))
        fail_msg("docs/speculation.md has another table: VB_TABLE=FILE writes the one above");
    free(page);
    vb_buf_free(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_rules_pass),
        cmocka_unit_test(wrong_rules),
        cmocka_unit_test(wrong_around_them),
        cmocka_unit_test(coins_by_position),
        cmocka_unit_test(lengths),
        cmocka_unit_test(trees),
        cmocka_unit_test(the_page_has_the_table),
    };
    return cmocka_run_group_tests_name("planted", tests, NULL, NULL);
}
