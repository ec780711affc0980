/* The rules at the edge of their arithmetic, against GMP, and the race against its definition and its theory.
 * (That the rules give the right law: test_law.c.) */
#include "sampling/accept.h"
#include "sampling/distribution.h"
#include "ref/mathf.h"
#include "sampling/philox.h"
#include "sampling/race.h"

#include <gmp.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static uint64_t state_of_noise = 1;
static uint64_t noise(void) {
    state_of_noise = state_of_noise * 6364136223846793005u + 1442695040888963407u;
    return state_of_noise >> 20;
}

static void set_u128(mpz_t z, vb_u128 x) {
    const uint64_t words[2] = {vb_u128_lo(x), vb_u128_hi(x)};
    mpz_import(z, 2, -1, sizeof *words, 0, 0, words);
}

/* ---------------------------------------------------------------------- wide numbers */

/* Distributions of n ids with weights up to 2^40. */
typedef struct pair {
    int n;
    int32_t *id;
    uint64_t *pw, *qw;
    vb_dist p, q;
} pair;

static void total(vb_dist *d) {
    d->total = 0;
    for (int i = 0; i < d->n; i++) d->total += d->w[i];
}

/* kind 0: all weights 2^40 (the largest totals); 1: random sizes; 2: one id has it all under q */
static void make_pair(pair *x, int n, int kind) {
    x->n = n;
    x->id = malloc((size_t)n * sizeof *x->id);
    x->pw = malloc((size_t)n * sizeof *x->pw);
    x->qw = malloc((size_t)n * sizeof *x->qw);
    for (int i = 0; i < n; i++) {
        x->id[i] = i;
        x->pw[i] = kind == 1 ? 1 + (noise() >> (noise() % 40)) % ((uint64_t)1 << 40) : (uint64_t)1 << 40;
        x->qw[i] = kind == 1   ? 1 + (noise() >> (noise() % 40)) % ((uint64_t)1 << 40)
                   : kind == 2 ? (i == n / 2 ? (uint64_t)1 << 40 : 1)
                               : (uint64_t)1 << 40;
    }
    x->p = (vb_dist){n, x->id, x->pw, 0};
    x->q = (vb_dist){n, x->id, x->qw, 0};
    total(&x->p);
    total(&x->q);
}

static void free_pair(pair *x) {
    free(x->id);
    free(x->pw);
    free(x->qw);
}

/* Residual weights and totals equal the formulas in numbers without a limit, and stay below 2^127. */
static void residual(const pair *x, int block, uint64_t P) {
    const vb_u128 limit = (vb_u128)1 << 127;
    vb_residual walk;
    vb_weights w;
    mpz_t a, b, sum, got;
    mpz_inits(a, b, sum, got, NULL);
    if (block)
        vb_block_residual(&walk, &x->p, &x->q, P, &w);
    else
        vb_rejection_residual(&walk, &x->p, &x->q, &w);
    assert_int_equal(w.n, x->p.n);
    for (int i = 0; i < w.n; i++) {
        const uint64_t v = vb_dist_weight(&x->q, x->p.id[i]);
        mpz_set_ui(a, x->p.w[i]);
        mpz_mul_ui(a, a, x->q.total);
        mpz_set_ui(b, v);
        mpz_mul_ui(b, b, x->p.total);
        if (block) { /* R = P*w*V - v*W*min(ONE, floor(P*w*V/(v*W))) */
            mpz_mul_ui(a, a, P);
            if (v) {
                mpz_fdiv_q(got, a, b);
                if (mpz_cmp_ui(got, VB_BLOCK_ONE) > 0) mpz_set_ui(got, VB_BLOCK_ONE);
                assert_true(mpz_cmp_ui(got, vb_block_next(P, x->p.w[i], &x->p, v)) == 0);
                mpz_mul(b, b, got);
            }
        }
        mpz_sub(a, a, b);
        if (mpz_sgn(a) < 0) mpz_set_ui(a, 0);
        set_u128(got, w.at(w.arg, i));
        assert_int_equal(mpz_cmp(a, got), 0);
        mpz_add(sum, sum, a);
    }
    set_u128(got, w.total);
    assert_int_equal(mpz_cmp(sum, got), 0);
    assert_true(w.total < limit);
    if (block) { /* the coin's bound, S + (ONE - P)*W*V */
        mpz_set_ui(a, VB_BLOCK_ONE - P);
        mpz_mul_ui(a, a, x->p.total);
        mpz_mul_ui(a, a, x->q.total);
        mpz_add(a, a, sum);
        assert_true(mpz_sizeinbase(a, 2) <= 127);
    }
    mpz_clears(a, b, sum, got, NULL);
}

static void wide_residuals(void **state) {
    (void)state;
    static const int sizes[] = {1, 2, 7, 1000, 100000, VB_LAW_VOCAB};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        for (int kind = 0; kind < 3; kind++) {
            pair x;
            make_pair(&x, sizes[k], kind);
            residual(&x, 0, 0);
            const vb_dist_space space = {x.n, x.id, x.qw};
            int32_t *ids =
                malloc((size_t)x.n * sizeof *ids); /* rescaling leaves ids out: p keeps its own list */
            memcpy(ids, x.id, (size_t)x.n * sizeof *ids);
            x.p.id = ids;
            vb_dist_rescale(&x.q, &space, VB_BLOCK_Q_BITS);
            residual(&x, 1, VB_BLOCK_ONE);
            residual(&x, 1, VB_BLOCK_ONE / 3);
            residual(&x, 1, 1);
            free(ids);
            free_pair(&x);
        }
    }
}

/* ---------------------------------------------------------------------- certain outcomes */

typedef struct given {
    const vb_dist *p;
} given;

static int given_p(void *arg, int i, const vb_dist **out, vb_error *err) {
    const given *g = arg;
    (void)err;
    *out = &g->p[i];
    return 0;
}

/* One-hot laws (temperature 0): every rule accepts exactly what equals the argmax, and needs no accepting
 * coin. */
static void one_hot_laws(void **state) {
    (void)state;
    static const vb_rule rules[] = {vb_rule_coupled, vb_rule_rejection, vb_rule_block};
    const int32_t id[3] = {4, 5, 6};
    const uint64_t one = 1, grid = VB_BLOCK_Q;
    const vb_dist p[3] = {{1, &id[0], &one, 1}, {1, &id[1], &one, 1}, {1, &id[2], &one, 1}};
    for (int rule = 0; rule < 3; rule++) {
        for (int wrong = 0; wrong <= 2; wrong++) { /* the place of a wrong draft; 2: none */
            for (int ends = 0; ends < 2; ends++) {
                const uint64_t *w = rule == 2 ? &grid : &one;
                int32_t draft[2] = {wrong == 0 ? 9 : 4, wrong == 1 ? 9 : 5};
                const vb_dist q[2] = {{1, &draft[0], w, *w}, {1, &draft[1], w, *w}};
                uint64_t seed = 3;
                vb_coins coins = vb_coins_philox(&seed);
                given g = {p};
                vb_drafted drafted[2] = {{.parent = -1}, {.parent = 0}};
                const bool ending[2] = {false, ends};
                int32_t kept[2];
                vb_verify v = {.n = 2,
                               .draft = draft,
                               .q = q,
                               .ends = ending,
                               .coins = &coins,
                               .p = given_p,
                               .arg = &g,
                               .drafted = drafted,
                               .kept = kept};
                assert_int_equal(rules[rule](&v, NULL), 0);
                assert_int_equal(v.n_accepted, wrong);
                assert_int_equal(v.final, ends && wrong == 2 ? -1 : id[wrong]);
                for (int i = 0; i < 2; i++) {
                    assert_false(drafted[i].has_coin);
                    assert_int_equal(drafted[i].tested, i <= wrong);
                    assert_int_equal(drafted[i].accepted, i < wrong);
                }
            }
        }
    }
}

/* ---------------------------------------------------------------------- the race */

/* The definition, with a logarithm for every id. */
static int32_t race_by_definition(const vb_dist *d, uint64_t seed, uint32_t position) {
    int32_t winner = -1;
    double best = 0;
    for (int i = 0; i < d->n; i++) {
        const uint32_t counter[4] = {position, (uint32_t)d->id[i], 0, 0};
        uint32_t w[4];
        vb_philox(counter, seed, w);
        double v = ((double)((uint64_t)w[1] << 32 | w[0]) + 0.5) / 18446744073709551616.0;
        if (v > 1 - 0x1p-53) v = 1 - 0x1p-53;
        const double e = fmax(v, -vb_log1p(-v)), key = e / (double)d->w[i];
        if (winner < 0 || key < best) winner = d->id[i], best = key;
    }
    return winner;
}

static void race_is_as_defined(void **state) {
    (void)state;
    for (uint32_t run = 0; run < 400; run++) {
        pair x;
        make_pair(&x, 1 + (int)(noise() % 700), (int)(run % 3));
        assert_int_equal(vb_race(&x.p, run * 7919, run), race_by_definition(&x.p, run * 7919, run));
        assert_int_equal(vb_race(&x.q, run * 7919, run), race_by_definition(&x.q, run * 7919, run));
        free_pair(&x);
    }
}

/* Chi-square of the winners against p, and the share of agreement of two races against
 * sum over x of 1/sum over y of max(p_y/p_x, q_y/q_x). Fixed seeds: this cannot flake. */
static void race_in_theory(void **state) {
    (void)state;
    enum { N = 1 << 18, V = 8 };
    const int32_t id[V] = {0, 3, 4, 9, 11, 12, 40, 41};
    const uint64_t pw[V] = {1, 2, 4, 8, 16, 32, 64, 129}, qw[V] = {5, 2, 1, 20, 16, 60, 30, 122};
    const vb_dist p = {V, id, pw, 256}, q = {V, id, qw, 256};
    double expected = 0;
    for (int x = 0; x < V; x++) {
        double sum = 0;
        for (int y = 0; y < V; y++) sum += fmax((double)pw[y] / (double)pw[x], (double)qw[y] / (double)qw[x]);
        expected += 1 / sum;
    }
    int seen[64] = {0}, equal = 0;
    for (uint32_t t = 0; t < N; t++) {
        const int32_t y = vb_race(&p, 12345, t);
        seen[y]++;
        equal += y == vb_race(&q, 12345, t);
    }
    double chi = 0;
    for (int i = 0; i < V; i++) {
        const double e = N * (double)pw[i] / 256, d = seen[id[i]] - e;
        chi += d * d / e;
    }
    const double z = (equal - N * expected) / sqrt(N * expected * (1 - expected));
    printf("race: chi-square %.1f on 7 (limit 55.9 at 1e-9), agreement %.5f by theory %.5f (z %.2f)\n", chi,
           (double)equal / N, expected, z);
    assert_true(chi < 55.9);
    assert_true(fabs(z) < 6);
}

/* Equal races agree always; the largest k is not lost. */
static void race_edges(void **state) {
    (void)state;
    const int32_t id[2] = {0, 1};
    const uint64_t w[2] = {1, (uint64_t)1 << 40};
    const vb_dist d = {2, id, w, w[0] + w[1]}, one = {1, id, w, 1};
    for (uint32_t t = 0; t < 1000; t++) {
        assert_int_equal(vb_race(&one, t, t), 0);
        assert_int_equal(vb_race(&d, t, t), 1); /* 2^-40 against 1 */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wide_residuals),     cmocka_unit_test(one_hot_laws),
        cmocka_unit_test(race_is_as_defined), cmocka_unit_test(race_in_theory),
        cmocka_unit_test(race_edges),
    };
    return cmocka_run_group_tests_name("accept", tests, NULL, NULL);
}
