/* Whether a tree is drafted (sampling/cost.h, vb_pace_plan_tree): generations on paper, by the costs and with
 * drafters of a known hit rate. With trees at hand a generation is never slower than without, and how much
 * faster is the table of docs/speculation.md. */
#include "base/base.h"
#include "base/buf.h"
#include "base/rng.h"
#include "conformance/conformance.h"
#include "sampling/cost.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { TOKENS = 20000 };

/* Of the siblings at a node the first is right with probability a, each further one, if those before are not,
 * with probability `next`. */
typedef struct drafter {
    double a, next;
} drafter;

typedef struct machine {
    const char *name;
    double flat, slope, draft; /* rows at the price of one, what each further one costs, a drafted token */
} machine;

static const machine MACHINES[] = {
    {"free rows, d 0.5", 16, 0, 0.5},       {"free rows, d 0.15", 16, 0, 0.15},
    {"4 free rows, d 0.35", 4, 0.12, 0.35}, {"4 free rows, d 0.17", 4, 0.12, 0.17},
    {"0.15 a row, d 0.2", 1, 0.15, 0.2},
};
#define N_MACHINES (sizeof MACHINES / sizeof *MACHINES)
static const double RATES[] = {0.3, 0.5, 0.6, 0.7, 0.8, 0.9};
#define N_RATES (sizeof RATES / sizeof *RATES)

static vb_costs costs_of(const machine *m) {
    vb_costs c = {
        .far = 1000, .draft = {(int32_t)(1000 * m->draft), (int32_t)(1000 * m->draft)}, .draft_read = 10};
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < VB_COST_ROWS; t++)
            c.target[i][t] = 1000 + (int32_t)(1000 * m->slope * (t + 1 > m->flat ? t + 1 - m->flat : 0)) + t;
    return c;
}

static bool hit(uint64_t *rng, double p) {
    return (double)(vb_splitmix64(rng) >> 11) * 0x1p-53 < p;
}

/* The drafts of a shape in the order of the list; returns how many. */
static int lay(const int *shape, vb_drafted *d) {
    int n = 0, from = -1, to = 0;
    for (int depth = 0; shape[depth]; depth++) {
        const int end = n;
        for (int at = from; at < to; at++)
            for (int b = 0; b < shape[depth]; b++) d[n++] = (vb_drafted){.parent = at};
        from = end, to = n;
    }
    return n;
}

/* Judges them; returns how many are accepted. */
static int judge(uint64_t *rng, const drafter *who, vb_drafted *d, int n) {
    int at = -1, accepted = 0;
    for (;;) {
        int next = -1, rank = 0;
        for (int i = at + 1; i < n && next < 0; i++) {
            if (d[i].parent != at) continue;
            d[i].tested = true;
            d[i].accepted = hit(rng, rank++ ? who->next : who->a);
            if (d[i].accepted) next = i;
        }
        if (next < 0) return accepted;
        accepted++;
        at = next;
    }
}

/* What a step takes: c(n + 1), and for each depth a pass of the draft model over the depth before it, which
 * takes as much more than one token as the target's or as reading takes, whichever is more. */
static double time_of(const vb_costs *c, const int *shape, int n) {
    double time = vb_cost_pass(c, n + 1, 0);
    int wide = 1;
    for (int d = 0; shape[d]; wide *= shape[d++]) {
        const double like = vb_cost_draft(c, 0) * vb_cost_pass(c, wide, 0) / vb_cost_pass(c, 1, 0),
                     read = vb_cost_draft(c, 0) + 1e-3 * c->draft_read * (wide - 1);
        time += like > read ? like : read;
    }
    return time;
}

/* Tokens per time of the target alone that a generation comes to; *branched: its share of steps with
 * siblings. */
static double generate(const vb_costs *c, const drafter *who, bool trees, double *branched) {
    static vb_pace p;
    uint64_t rng = 77;
    double time = 0, steps = 0, of_trees = 0, unread = 0; /* that the draft model has to read first */
    int tokens = 0;
    vb_pace_start(&p, c);
    p.trees = trees;
    while (tokens < TOKENS) {
        vb_drafted d[VB_AUTO_MAX] = {{0}};
        int shape[VB_AUTO_MAX + 1] = {0};
        vb_pace_plan(&p, 0, VB_AUTO_MAX, true);
        vb_pace_plan_tree(&p, VB_AUTO_MAX);
        const bool tree = p.shape[0] > 0;
        for (int i = 0; i < VB_TREE_DEPTH && tree && p.shape[i]; i++) shape[i] = p.shape[i];
        if (!tree) {
            vb_drafted one = {.parent = -1};
            for (int k = 0; k < p.planned[VB_BY_MODEL] && (!k || vb_pace_more(&p, p.planned[VB_BY_MODEL]));
                 k++) {
                shape[k] = 1;
                vb_pace_note(&p, &one, VB_BY_MODEL, who->a);
            }
        }
        const int n = lay(shape, d), accepted = judge(&rng, who, d, n);
        int depth = 0;
        while (shape[depth]) depth++;
        time += time_of(c, shape, n) + (n ? unread * 1e-3 * c->draft_read : 0);
        unread = n == 0 ? unread + 1 : accepted == depth;
        if (tree)
            vb_pace_learn_tree(&p, d, n, accepted + 1);
        else
            vb_pace_learn(&p, d, n, accepted + 1);
        tokens += accepted + 1;
        of_trees += tree;
        steps++;
    }
    *branched = of_trees / steps;
    return tokens / time;
}

/* The best fixed chain, in the long run. */
static double best_chain(const vb_costs *c, const drafter *who) {
    double best = 0, tokens = 1, reach = 1;
    int shape[VB_AUTO_MAX + 1] = {0};
    for (int k = 0; k < VB_AUTO_MAX; k++) {
        const double rate = tokens / (time_of(c, shape, k) + (k ? reach * 1e-3 * c->draft_read : 0));
        if (rate > best) best = rate;
        shape[k] = 1;
        reach *= who->a;
        tokens += reach;
    }
    return best;
}

static void never_slower_than_chains(void **state) {
    (void)state;
    static const double nexts[] = {0.05, 0.2, 0.4};
    double worst = 9, worst_of_best = 9, most = 0;
    for (size_t m = 0; m < N_MACHINES; m++) {
        const vb_costs c = costs_of(&MACHINES[m]);
        for (size_t i = 0; i < N_RATES; i++) {
            for (int k = 0; k < 3; k++) {
                const drafter who = {RATES[i], nexts[k]};
                double share, none;
                const double chains = generate(&c, &who, false, &none),
                             both = generate(&c, &who, true, &share);
                const double best = best_chain(&c, &who);
                assert_true(none == 0);
                if (both / chains < worst) worst = both / chains;
                if (both / best < worst_of_best) worst_of_best = both / best;
                if (both / best > most) most = both / best;
                if (both < 0.99 * chains || both < 0.9895 * best)
                    fail_msg("%s, %.1f, then %.2f: %.3f with trees, %.3f without, %.3f by the best chain",
                             MACHINES[m].name, RATES[i], nexts[k], both, chains, best);
            }
        }
    }
    printf("with trees at least %.3f of without, %.3f of the best fixed chain; at most %.2f of it\n", worst,
           worst_of_best, most);
    assert_true(most > 1.15);
    for (size_t m = 0; m < N_MACHINES; m++) { /* a drafter that is never right */
        const vb_costs c = costs_of(&MACHINES[m]);
        const drafter hostile = {0, 0};
        double share;
        assert_true(generate(&c, &hostile, true, &share) > 0.97);
    }
}

/* The table: the best fixed chain, then both, where a second guess is right in 0.3 of the places at which the
 * first is not, and so on. */
static void the_page_has_the_table(void **state) {
    (void)state;
    vb_buf table = {0};
    char *page = NULL;
    size_t n;
    vb_error err = {0};
    for (size_t m = 0; m < N_MACHINES; m++) {
        const vb_costs c = costs_of(&MACHINES[m]);
        vb_buf_addf(&table, "| %s |", MACHINES[m].name);
        for (size_t i = 0; i < N_RATES; i++) {
            const drafter who = {RATES[i], 0.3};
            double share;
            const double both = generate(&c, &who, true, &share);
            vb_buf_addf(&table, " %.2f, %.2f (%.0f %%) |", best_chain(&c, &who), both, 100 * share);
        }
        vb_buf_addf(&table, "\n");
    }
    assert_int_equal(vb_buf_done(&table, "a table", &err), 0);
    printf("%s", table.s);
    const char *to = getenv("VB_TABLE"); /* writes it for the page */
    if (to) assert_int_equal(cf_write_file(to, table.s, table.n, &err), 0);
    if (cf_read_file("docs/speculation.md", &page, &n, &err)) fail_msg("%s", err.message);
    if (!strstr(page, table.s))
        fail_msg("docs/speculation.md has another table: VB_TABLE=FILE writes the one above");
    free(page);
    vb_buf_free(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(never_slower_than_chains),
                                       cmocka_unit_test(the_page_has_the_table)};
    return cmocka_run_group_tests_name("cost_tree", tests, NULL, NULL);
}
