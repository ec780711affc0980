/* How long a draft gets (sampling/cost.h): the formulas against a second writing, the best length against
 * trying all, the bound on what may be lost against drafters that are right and wrong when it hurts most. */
#include "sampling/cost.h"
#include "base/base.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <cmocka.h>

static void assert_near(double a, double b, double tolerance) {
    if (fabs(a - b) > tolerance) fail_msg("%.17g is not %.17g", a, b);
}

static vb_costs machine(void) {
    vb_costs c;
    vb_costs_typical(&c);
    return c;
}

static void costs_are_lines(void **state) {
    (void)state;
    const vb_costs c = machine();
    vb_error err = {0};
    assert_int_equal(vb_costs_check(&c, &err), 0);
    for (int T = 1; T <= VB_COST_ROWS; T++) {
        assert_near(vb_cost_pass(&c, T, 0), 1e-3 * c.target[0][T - 1], 1e-12);
        assert_near(vb_cost_pass(&c, T, c.far), 1e-3 * c.target[1][T - 1], 1e-12);
        assert_near(vb_cost_pass(&c, T, 2.0 * c.far), 1e-3 * (2 * c.target[1][T - 1] - c.target[0][T - 1]),
                    1e-12);
        if (T < VB_COST_ROWS)
            assert_near(vb_cost_pass(&c, T + 0.5, 0), 0.5e-3 * (c.target[0][T - 1] + c.target[0][T]), 1e-12);
    }
    /* 8 rows more cost what the last 8 did */
    assert_near(vb_cost_pass(&c, 24, 0), 1e-3 * (2 * c.target[0][15] - c.target[0][7]), 1e-12);
    vb_costs bad = c;
    bad.target[1][3] = bad.target[1][2] - 1;
    assert_int_equal(vb_costs_check(&bad, &err), VB_ERR_ARGUMENT);
    if (!strstr(err.message, "target[1][3]")) fail_msg("%s", err.message);
    vb_begin(&err);
    bad = c, bad.far = 0;
    assert_int_equal(vb_costs_check(&bad, &err), VB_ERR_ARGUMENT);
    bad = c, bad.draft[1] = -1;
    assert_int_equal(vb_costs_check(&bad, &err), VB_ERR_ARGUMENT);
    bad = c, bad.token_s = 7;
    assert_true(vb_costs_hash(&bad) == vb_costs_hash(&c)); /* no choice depends on it */
    bad = c, bad.draft_read++;
    assert_true(vb_costs_hash(&bad) != vb_costs_hash(&c));
}

/* ---------------------------------------------------------------------- a generation on paper */

typedef struct paper {
    double time, alone; /* in tokens of the target */
    double lengths;     /* summed */
    uint64_t steps;
} paper;

/* Steps of `max` tokens at most until n are there; gamma < 0: chosen. A draft of a position is right or not,
 * whoever asks. The draft's time and the pass's are those of the costs. */
static paper generate(const vb_costs *c, int gamma, uint64_t n, bool (*right)(uint64_t position),
                      double sure) {
    static vb_pace p;
    paper out = {0};
    double unread = 0;
    vb_pace_start(&p, c);
    for (uint64_t at = 0; at < n;) {
        vb_drafted d[VB_AUTO_MAX] = {{0}};
        int k = 0, accepted = 0;
        if (gamma < 0) {
            vb_pace_plan(&p, 100 + at, VB_AUTO_MAX, true);
            const int max = p.planned[VB_BY_MODEL];
            while (k < max) {
                vb_pace_note(&p, &d[k], VB_BY_MODEL, sure);
                k++;
                if (!vb_pace_more(&p, max)) break;
            }
        } else {
            k = gamma;
        }
        while (accepted < k && right(at + (uint64_t)accepted)) accepted++;
        for (int i = 0; i < k; i++) d[i].tested = i <= accepted, d[i].accepted = i < accepted;
        if (gamma < 0) vb_pace_learn(&p, d, k, accepted + 1);
        const double position = 100 + (double)at;
        if (k > 0) {
            out.time += k * vb_cost_draft(c, position) + 1e-3 * unread * c->draft_read;
            unread = accepted == k;
        } else {
            unread += 1;
        }
        out.time += vb_cost_pass(c, k + 1, position);
        out.alone += (accepted + 1) * vb_cost_pass(c, 1, position);
        out.lengths += k;
        out.steps++;
        at += (uint64_t)accepted + 1;
    }
    return out;
}

static double share; /* of positions whose drafts are right */
static bool by_share(uint64_t position) {
    return (double)(vb_mix64(position * 77 + 5) >> 11) * 0x1p-53 < share;
}
static bool ten_right_then_wrong(uint64_t position) {
    return position % 20 < 10;
}
static bool right_then_wrong(uint64_t position) {
    return position < 200;
}
static bool runs(uint64_t position) {
    return vb_mix64(position / 7) % 3 == 0;
}

/* Where every draft is right equally often, auto is near the best fixed length, by the costs themselves. */
static void near_the_best_fixed_length(void **state) {
    (void)state;
    double least = 1;
    for (int draft = 60; draft <= 500; draft += 110) {
        for (int percent = 30; percent <= 95; percent += 5) {
            vb_costs c = machine();
            c.draft[0] = draft, c.draft[1] = draft + 5;
            share = 0.01 * percent;
            double best = 1;
            int at = 0;
            for (int gamma = 1; gamma <= VB_AUTO_MAX; gamma++) {
                const paper f = generate(&c, gamma, 3000, by_share, 0.8);
                if (f.alone / f.time > best) best = f.alone / f.time, at = gamma;
            }
            const paper a = generate(&c, -1, 3000, by_share, 0.8);
            const double gain = a.alone / a.time;
            if (gain < least * best) least = gain / best;
            if (gain < 0.97 * best)
                printf("draft 0.%03d, %d %% right: auto %.3f (mean length %.2f), gamma %d %.3f\n", draft,
                       percent, gain, a.lengths / (double)a.steps, at, best);
        }
    }
    printf("auto against the best fixed length: at least %.4f\n", least);
    assert_true(least >= 0.97);
}

/* What may be lost is bounded by construction: under any drafter, however long. */
static void never_far_below_the_target_alone(void **state) {
    (void)state;
    bool (*const drafters[])(uint64_t) = {by_share, ten_right_then_wrong, right_then_wrong, runs};
    share = 0;
    double worst = 1;
    for (int draft = 20; draft <= 1000; draft += 70) {
        for (size_t i = 0; i < sizeof drafters / sizeof *drafters; i++) {
            for (int sure = 0; sure < 3; sure++) {
                vb_costs c = machine();
                c.draft[0] = c.draft[1] = draft;
                c.draft_read = draft / 5;
                const paper a = generate(&c, -1, 400, drafters[i], 0.5 * sure);
                if (a.alone / a.time < worst) worst = a.alone / a.time;
                assert_true(a.time <= a.alone * 1.012 + 1.61);
            }
        }
    }
    printf("of 400 tokens: at worst %.4f of the target alone\n", worst);
    assert_true(worst >= 0.97);
}

/* A drafter that is hopeless and then good is taken again: probes find out. */
static void comes_back(void **state) {
    (void)state;
    vb_costs c = machine();
    c.draft_read = 5;
    static vb_pace p;
    vb_pace_start(&p, &c);
    uint64_t late = 0;
    for (int step = 0; step < 3000; step++) {
        vb_drafted d[VB_AUTO_MAX] = {{0}};
        vb_pace_plan(&p, 100, VB_AUTO_MAX, true);
        const int k = p.planned[VB_BY_MODEL];
        const bool right = step > 500;
        for (int i = 0; i < k; i++) {
            vb_pace_note(&p, &d[i], VB_BY_MODEL, 0.9);
            d[i].tested = right || i == 0;
            d[i].accepted = right;
        }
        vb_pace_learn(&p, d, k, right ? k + 1 : 1);
        late += step > 2000 ? (uint64_t)k : 0;
    }
    assert_true(late > 999 * 3);
}

/* A confident drafter goes on where an unsure one stops. */
static void confidence_counts(void **state) {
    (void)state;
    vb_costs c = machine();
    static vb_pace p;
    int length[2];
    for (int sure = 0; sure < 2; sure++) {
        vb_pace_start(&p, &c);
        int k = 0;
        /* what it said with 0.95 was right, with 0.1 wrong */
        for (int step = 0; step < 200; step++) {
            vb_drafted d[VB_AUTO_MAX] = {{0}};
            const bool now = step == 199 ? sure : step % 2;
            vb_pace_plan(&p, 100, VB_AUTO_MAX, true);
            for (k = 0; k < p.planned[VB_BY_MODEL];) {
                vb_pace_note(&p, &d[k], VB_BY_MODEL, now ? 0.95 : 0.1);
                d[k].tested = now || k == 0;
                d[k].accepted = now;
                k++;
                if (!vb_pace_more(&p, p.planned[VB_BY_MODEL])) break;
            }
            if (step < 199) vb_pace_learn(&p, d, k, now ? k + 1 : 1);
        }
        length[sure] = k;
    }
    printf("length with confidence 0.1: %d, with 0.95: %d\n", length[0], length[1]);
    assert_int_equal(length[0], 1);
    assert_true(length[1] >= 3);
}

/* Others in the pass may leave no room below the knee of c(T): then drafts take time from them. */
static void company_counts(void **state) {
    (void)state;
    vb_costs c = machine();
    static vb_pace p;
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < VB_COST_ROWS; t++) c.target[i][t] = t < 4 ? 1000 : 1000 * (t - 2);
    vb_pace_start(&p, &c);
    vb_pace_plan(&p, 100, VB_AUTO_MAX, true);
    assert_int_equal(p.planned[VB_BY_MODEL], 3);
    vb_pace_company(&p, 7, 7);
    vb_pace_plan(&p, 100, VB_AUTO_MAX, true);
    assert_int_equal(p.planned[VB_BY_MODEL], 0);
    vb_pace_company(&p, 0, 0);
    vb_pace_plan(&p, 100, VB_AUTO_MAX, true);
    assert_int_equal(p.planned[VB_BY_MODEL], 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_are_lines),
        cmocka_unit_test(near_the_best_fixed_length),
        cmocka_unit_test(never_far_below_the_target_alone),
        cmocka_unit_test(comes_back),
        cmocka_unit_test(confidence_counts),
        cmocka_unit_test(company_counts),
    };
    return cmocka_run_group_tests_name("cost", tests, NULL, NULL);
}
