/* stats.c - chi-square's tails through the incomplete gamma function, power through the noncentral law,
 * and bounds on total variation. References: stats.h. */
#include "prove/stats.h"

#include <float.h>
#include <math.h>

double vb_log_gamma(double x) {
    /* Gamma(x) = Gamma(x + 1)/x up to 16, then Stirling: (x - 1/2) log x - x + log(2 pi)/2 + 1/(12x) - ... */
    double shift = 0;
    while (x < 16) {
        shift += log(x);
        x += 1;
    }
    const double y = 1 / (x * x);
    const double series =
        (1.0 / 12 - y * (1.0 / 360 - y * (1.0 / 1260 - y * (1.0 / 1680 - y * (1.0 / 1188))))) / x;
    return (x - 0.5) * log(x) - x + 0.91893853320467274178 + series - shift;
}

/* log of x^a e^-x / Gamma(a): for large a the three terms cancel, so they are put together first,
 * a*(log(x/a) - (x - a)/a) + ... */
static double log_front(double a, double x) {
    if (a < 16) return a * log(x) - x - vb_log_gamma(a);
    const double u = (x - a) / a, y = 1 / (a * a);
    const double series = (1.0 / 12 - y * (1.0 / 360 - y * (1.0 / 1260 - y * (1.0 / 1680)))) / a;
    return a * (log1p(u) - u) + 0.5 * log(a) - 0.91893853320467274178 - series;
}

double vb_gamma_q(double a, double x) {
    if (x <= 0) return 1;
    if (x < a + 1) { /* P = front * sum over n of x^n / (a (a + 1) ... (a + n)) */
        double term = 1 / a, sum = term;
        for (int n = 1; n < 1000000 && term > sum * DBL_EPSILON / 4; n++) {
            term *= x / (a + n);
            sum += term;
        }
        return 1 - exp(log_front(a, x)) * sum;
    }
    const double tiny = 1e-300; /* Q = front / (x + 1 - a - 1(1 - a)/(x + 3 - a - ...)) */
    double b = x + 1 - a, c = 1 / tiny, d = 1 / b, h = d;
    for (int i = 1; i < 1000000; i++) {
        const double an = -(double)i * (i - a);
        b += 2;
        d = an * d + b;
        if (fabs(d) < tiny) d = tiny;
        c = b + an / c;
        if (fabs(c) < tiny) c = tiny;
        d = 1 / d;
        h *= d * c;
        if (fabs(d * c - 1) < DBL_EPSILON) break;
    }
    return exp(log_front(a, x)) * h;
}

double vb_chi2_tail(double x, int df) {
    return vb_gamma_q(0.5 * df, 0.5 * x);
}

double vb_chi2_critical(double alpha, int df) {
    double lo = 0, hi = df + 10;
    while (vb_chi2_tail(hi, df) > alpha && hi < 1e12) hi *= 2;
    for (int i = 0; i < 200 && hi - lo > 1e-13 * hi; i++) {
        const double mid = 0.5 * (lo + hi);
        if (vb_chi2_tail(mid, df) > alpha)
            lo = mid;
        else
            hi = mid;
    }
    return 0.5 * (lo + hi);
}

double vb_chi2_tail_noncentral(double x, int df, double lambda) {
    /* sum over j of Poisson(j; lambda/2) * tail(x, df + 2j), outwards from the largest term */
    const double half = 0.5 * lambda;
    const long mode = (long)half;
    double sum = 0;
    if (lambda <= 0) return vb_chi2_tail(x, df);
    for (long j = mode; j >= 0; j--) {
        const double weight = exp((double)j * log(half) - half - vb_log_gamma((double)j + 1));
        if (weight < 1e-30) break;
        sum += weight * vb_gamma_q(0.5 * df + (double)j, 0.5 * x);
    }
    for (long j = mode + 1;; j++) {
        const double weight = exp((double)j * log(half) - half - vb_log_gamma((double)j + 1));
        if (weight < 1e-30) break;
        sum += weight * vb_gamma_q(0.5 * df + (double)j, 0.5 * x);
    }
    return sum > 1 ? 1 : sum;
}

/* The noncentrality at which the test has this power. */
static double lambda_for(int cells, double alpha, double power) {
    const double critical = vb_chi2_critical(alpha, cells - 1);
    double lo = 0, hi = 1;
    while (vb_chi2_tail_noncentral(critical, cells - 1, hi) < power && hi < 1e9) hi *= 2;
    for (int i = 0; i < 60; i++) {
        const double mid = 0.5 * (lo + hi);
        if (vb_chi2_tail_noncentral(critical, cells - 1, mid) < power)
            lo = mid;
        else
            hi = mid;
    }
    return hi;
}

double vb_power(double n, int cells, double tv, double alpha) {
    if (cells < 2) return 0;
    return vb_chi2_tail_noncentral(vb_chi2_critical(alpha, cells - 1), cells - 1, 4 * n * tv * tv);
}

double vb_power_samples(int cells, double tv, double alpha, double power) {
    if (cells < 2) return HUGE_VAL;
    return ceil(lambda_for(cells, alpha, power) / (4 * tv * tv));
}

double vb_power_tv(double n, int cells, double alpha, double power) {
    if (cells < 2) return 1;
    const double tv = sqrt(lambda_for(cells, alpha, power) / (4 * n));
    return tv < 1 ? tv : 1;
}

double vb_tv_radius(double n, int cells, double alpha) {
    if (cells < 2) return 0;
    /* log(2^m - 2) = m log 2 + log(1 - 2^(1 - m)) */
    const double many = cells * 0.69314718055994530942 + log1p(-exp2(1.0 - cells));
    const double weissman = sqrt((many - log(alpha)) / (2 * n));
    const double mcdiarmid = 0.5 * sqrt((cells - 1) / n) + sqrt(-log(alpha) / (2 * n));
    return fmin(weissman, mcdiarmid);
}
