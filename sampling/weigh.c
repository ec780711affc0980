/* weigh.c - from x to integer weights. */
#include "sampling/law_parts.h"

#include "ref/mathf.h"

#include <math.h>

/* ---------------------------------------------------------------------- weights */

/* vb_exp(z)*2^40 < 1 for every z below this: the weight is 0 without asking (40*ln 2 = 27.73). */
#define Z_ZERO (-28.0)

/* Weights of ids that were listed: n of them, at most a block. Writes ids and weights of those with w > 0
 * behind the first `kept`, returns how many there are now. */
static int32_t weigh(const vb_law *l, const int32_t *ids, const double *x, int n, double max,
                     double temperature, const vb_dist_space *space, int32_t kept) {
    double z[BLOCK];
    uint64_t w[BLOCK];
    int32_t id[BLOCK];
    int m = 0;
    for (int i = 0; i < n; i++) {
        const double zi = (x[i] - max) / temperature;
        if (!(zi >= Z_ZERO)) continue;
        z[m] = zi;
        id[m++] = ids[i];
    }
    if (m) l->exp_weights(z, m, w);
    for (int j = 0; j < m; j++) {
        if (w[j] == 0) continue;
        space->id[kept] = id[j];
        space->w[kept++] = w[j];
    }
    return kept;
}

/* The same for a block of which every id may be chosen, at its logit: no question is asked of a single id,
 * and z below Z_ZERO gives w = 0 by itself. */
static int32_t weigh_block(const vb_law *l, const float *logits, int32_t first, double max,
                           double temperature, const vb_dist_space *space, int32_t kept) {
    double z[BLOCK];
    uint64_t w[BLOCK];
    for (int i = 0; i < BLOCK; i++) z[i] = ((double)logits[first + i] - max) / temperature;
    l->exp_weights(z, BLOCK, w);
    if (space->capacity - kept < BLOCK) { /* no room for ids that are written and not counted */
        for (int i = 0; i < BLOCK; i++) {
            if (w[i] == 0) continue;
            space->id[kept] = first + i;
            space->w[kept++] = w[i];
        }
        return kept;
    }
    for (int i = 0; i < BLOCK; i++) {
        space->id[kept] = first + i;
        space->w[kept] = w[i];
        kept += w[i] != 0;
    }
    return kept;
}

/* Weights of ids[0..n); ids == NULL: of all below n that may be chosen. Returns how many are not 0. A
 * block is passed by if its largest x is further from the maximum than where weights end, by one T more
 * than that: z >= -28 means max - x <= 28*T, and the rounding of max - 29*T is less than T, or than the
 * distance of max to the next number. */
int32_t vb_law_weights(const vb_law *l, const float *logits, const int32_t *ids, int32_t n, double max,
                       double temperature, const vb_dist_space *space) {
    const double reach = max + (Z_ZERO - 1) * temperature;
    double x[BLOCK];
    int32_t some[BLOCK], kept = 0;
    for (int32_t first = 0; first < n; first += BLOCK) {
        int m = n - first < BLOCK ? n - first : BLOCK;
        const int32_t *list = ids ? ids + first : some;
        if (!ids) {
            const bool changed = isinf(l->top[first / BLOCK]);
            if (!changed && (double)l->top[first / BLOCK] < reach) continue;
            m = vb_law_ids(l, first / BLOCK, n, some);
            if (m == BLOCK && !changed) {
                kept = weigh_block(l, logits, first, max, temperature, space, kept);
                continue;
            }
        }
        for (int i = 0; i < m; i++) x[i] = vb_law_value(l, logits, list[i]);
        kept = weigh(l, list, x, m, max, temperature, space, kept);
    }
    return kept;
}

uint64_t vb_law_total(const uint64_t *w, int32_t n) {
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += w[i];
    return sum;
}

/* ---------------------------------------------------------------------- the temperature itself */

uint64_t vb_law_log(uint64_t w) {
    return (uint64_t)(4294967296.0 * vb_log((double)w));
}

/* T as the entropy has it. The entropy of w/W is log W - (1/W) sum w log w: the sum is one of integers,
 * and has no order; what follows is a fixed sequence of operations. */
double vb_law_temperature(const vb_law *l, const float *logits, int32_t limit, double max) {
    const double range = l->s.dynatemp_range, T = l->s.temperature;
    if (!(range > 0)) return T;
    uint64_t total = 0;
    vb_u128 sum = 0;
    int32_t n = 0;
    for (int32_t block = 0; block * BLOCK < limit; block++) {
        int32_t ids[BLOCK], id[BLOCK];
        uint64_t w[BLOCK];
        double x[BLOCK];
        const vb_dist_space space = {BLOCK, id, w};
        const int m = vb_law_ids(l, block, limit, ids);
        for (int i = 0; i < m; i++) x[i] = vb_law_value(l, logits, ids[i]);
        const int32_t kept = weigh(l, ids, x, m, max, 1, &space, 0);
        for (int32_t i = 0; i < kept; i++) {
            total += w[i];
            sum += (vb_u128)w[i] * vb_law_log(w[i]);
        }
        n += kept;
    }
    const double low = T > range ? T - range : 0, high = T + range;
    if (n < 2) return low;
    double share =
        (vb_log((double)total) - (double)(uint64_t)(sum / total) / 4294967296.0) / vb_log((double)n);
    if (share < 0) share = 0;
    if (share > 1) share = 1;
    return low + (high - low) * vb_pow(share, l->s.dynatemp_exponent);
}
