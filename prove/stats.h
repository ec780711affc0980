/* stats.h - the statistics of `verbatim prove`: chi-square, its power, and bounds on total variation.
 *
 * References:
 * - incomplete gamma functions: Abramowitz and Stegun 6.5.29 (series), 6.5.31 (continued fraction, evaluated
 *   by the modified Lentz method); Stirling series 6.1.40
 * - chi-square test: Pearson 1900; noncentral chi-square as a Poisson mixture: A&S 26.4.25
 * - Weissman, Ordentlich, Seroussi, Verdu, Weinberger 2003 (HPL-2003-97R1): the L1 deviation of an empirical
 *   law on m cells; McDiarmid 1989
 *
 * Accuracy: relative error below 1e-11 for degrees of freedom up to 10,000 and probabilities down to 1e-300
 * (tests/test_stats.c compares with published and independent values).
 */
#ifndef VB_STATS_H
#define VB_STATS_H

#include "base/base.h"

/* log Gamma(x), x > 0 */
double vb_log_gamma(double x);
/* Q(a, x) = Gamma(a, x)/Gamma(a), a > 0, x >= 0 */
double vb_gamma_q(double a, double x);
/* Pr[X >= x] for chi-square with df degrees of freedom */
double vb_chi2_tail(double x, int df);
/* The x with vb_chi2_tail(x, df) = alpha, 0 < alpha < 1 */
double vb_chi2_critical(double alpha, int df);
/* Pr[X >= x] for noncentral chi-square */
double vb_chi2_tail_noncentral(double x, int df, double lambda);

/* The probability that a chi-square test of level alpha on `cells` cells finds an error of total variation tv
 * in n samples, at the least: the alternative that is hardest to see has the noncentrality 4*n*tv^2. */
double vb_power(double n, int cells, double tv, double alpha);
/* The smallest n with that power, and the smallest tv that n samples find with it (at most 1). */
double vb_power_samples(int cells, double tv, double alpha, double power);
double vb_power_tv(double n, int cells, double alpha, double power);

/* With confidence 1 - alpha the total variation between a law on m cells and n samples from it is below this,
 * whatever the law: the smaller of sqrt(log((2^m - 2)/alpha)/(2n)) [Weissman et al.] and
 * sqrt((m - 1)/n)/2 + sqrt(log(1/alpha)/(2n)) [mean by Cauchy-Schwarz, deviation by McDiarmid]. */
double vb_tv_radius(double n, int cells, double alpha);

#endif
