/* The statistics of `verbatim prove` against published tables, closed forms and the power table of
 * docs/prove.md. */
#include "prove/stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void near(double got, double want, double relative) {
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("%.17g, not %.17g (relative error %.2g)", got, want, fabs(got - want) / fabs(want));
}

static void log_gamma(void **state) {
    (void)state;
    double log_factorial = 0; /* log (n - 1)! */
    for (int n = 1; n < 400; n++) {
        if (n > 2) near(vb_log_gamma(n), log_factorial, 1e-14);
        log_factorial += log(n);
    }
    near(vb_log_gamma(0.5), 0.5723649429247001, 1e-14); /* log sqrt(pi), A&S 6.1.8 */
    near(vb_log_gamma(1.5), -0.1207822376352452, 1e-13);
    near(vb_log_gamma(10000), 82099.71749644238, 1e-14);
}

/* Percentage points: Abramowitz and Stegun, table 26.8. */
static void published_values(void **state) {
    (void)state;
    static const struct {
        double tail;
        int df;
        double x;
    } table[] = {{0.05, 1, 3.84146},  {0.01, 1, 6.63490},   {0.001, 1, 10.828},   {0.0001, 1, 15.137},
                 {0.05, 10, 18.3070}, {0.001, 10, 29.588},  {0.0001, 10, 35.564}, {0.995, 10, 2.15586},
                 {0.05, 30, 43.7729}, {0.001, 30, 59.703},  {0.05, 100, 124.342}, {0.001, 100, 149.449},
                 {0.5, 100, 99.3341}, {0.995, 100, 67.3276}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        near(vb_chi2_critical(table[i].tail, table[i].df), table[i].x, 5e-5);
}

/* df = 2: exp(-x/2). Even df: exp(-x/2) * sum over j < df/2 of (x/2)^j/j!. df = 1: erfc. */
static void closed_forms(void **state) {
    (void)state;
    for (double x = 0.01; x < 1300; x *= 1.7) {
        near(vb_chi2_tail(x, 2), exp(-x / 2), 1e-12);
        near(vb_chi2_tail(x, 1), erfc(sqrt(x / 2)), 1e-11);
        for (int df = 4; df <= 64; df *= 2) {
            double term = exp(-x / 2), sum = 0;
            for (int j = 0; j < df / 2; j++) {
                sum += term;
                term *= x / 2 / (j + 1);
            }
            if (sum > 1e-300) near(vb_chi2_tail(x, df), sum, 1e-11);
        }
    }
    double sum = 0; /* df = 10,000 by the same sum */
    for (int j = 0; j < 5000; j++) sum += (double)expl(j * logl(5000) - 5000 - lgammal(j + 1));
    near(vb_chi2_tail(10000, 10000), sum, 1e-11);
    assert_true(vb_chi2_tail(0, 5) == 1);
}

/* Pr[X >= x] for one degree of freedom: both tails of a normal with mean sqrt(lambda). */
static void noncentral(void **state) {
    (void)state;
    for (double lambda = 0.5; lambda < 200; lambda *= 2.3)
        for (double x = 0.5; x < 150; x *= 1.9) {
            const double m = sqrt(lambda), r = sqrt(x), s = sqrt(0.5);
            near(vb_chi2_tail_noncentral(x, 1, lambda), 0.5 * (erfc((r - m) * s) + erfc((r + m) * s)), 1e-9);
        }
    near(vb_chi2_tail_noncentral(7, 3, 0), vb_chi2_tail(7, 3), 1e-15);
}

/* docs/prove.md: samples for power 0.999. */
static void power_table(void **state) {
    (void)state;
    static const struct {
        double alpha;
        int cells;
        double critical, n[3]; /* thousands, for TV 0.02, 0.01, 0.005 */
    } table[] = {{1e-6, 8, 40.5, {51, 205, 821}},
                 {1e-6, 64, 131.4, {88, 354, 1420}},
                 {1e-9, 8, 55.9, {65, 261, 1040}},
                 {1e-9, 64, 155.1, {108, 430, 1720}}};
    static const double tv[] = {0.02, 0.01, 0.005};
    for (size_t i = 0; i < 4; i++) {
        const double critical = vb_chi2_critical(table[i].alpha, table[i].cells - 1);
        near(critical, table[i].critical, 2e-3);
        for (int k = 0; k < 3; k++) {
            const double n = vb_power_samples(table[i].cells, tv[k], table[i].alpha, 0.999);
            near(n / 1000, table[i].n[k], 0.011); /* the table's own rounding */
            near(vb_power(n, table[i].cells, tv[k], table[i].alpha), 0.999, 1e-6);
            near(vb_power_tv(n, table[i].cells, table[i].alpha, 0.999), tv[k], 1e-4);
        }
    }
    near(vb_power_samples(8, 0.01, 1e-9, 0.999), 261e3, 0.01);
}

static void bounds(void **state) {
    (void)state;
    /* Weissman et al.: 97k samples for 8 cells, 291k for 64, at TV 0.01 and 1e-6 */
    near(vb_tv_radius(96770, 8, 1e-6), 0.01, 1e-3);
    assert_true(vb_tv_radius(291000, 64, 1e-6) <= 0.0100001);
    /* both are decreasing in n, and the second is the smaller one for many cells */
    near(vb_tv_radius(1e6, 4096, 1e-6), 0.5 * sqrt(4095e-6) + sqrt(-log(1e-6) / 2e6), 1e-12);
    assert_true(vb_tv_radius(1000, 1, 0.1) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_gamma),  cmocka_unit_test(published_values), cmocka_unit_test(closed_forms),
        cmocka_unit_test(noncentral), cmocka_unit_test(power_table),      cmocka_unit_test(bounds),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
