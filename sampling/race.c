/* race.c - the exponential race over the ids of a law. Most ids lose without their logarithm being
 * computed, because the uniform variable alone already bounds it from below. */
#include "sampling/race.h"

#include "sampling/coins.h"
#include "ref/mathf.h"
#include "sampling/philox.h"

#define CHUNK 128

int32_t vb_race(const vb_dist *d, uint64_t seed, uint32_t position) {
    uint64_t k[CHUNK];
    double best = 0;
    int32_t winner = -1;
    for (int32_t from = 0; from < d->n; from += CHUNK) {
        const int m = d->n - from < CHUNK ? d->n - from : CHUNK;
        vb_philox_words(position, d->id + from, m, VB_PURPOSE_RACE, seed, k);
        for (int j = 0; j < m; j++) {
            const double w = (double)d->w[from + j];
            double v = ((double)k[j] + 0.5) * 0x1p-64;
            if (v > 1 - 0x1p-53) v = 1 - 0x1p-53;
            /* v/w >= best, first without the division:
             * beyond this margin rounding cannot change the answer */
            if (winner >= 0 && (v > best * w * (1 + 0x1p-40) || v / w >= best)) continue;
            double e = -vb_log1p(-v);
            if (e < v) e = v;
            if (winner < 0 || e / w < best) best = e / w, winner = d->id[from + j];
        }
    }
    return winner;
}
