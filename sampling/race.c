/* race.c - the exponential race over the ids of a law. Most ids lose without their logarithm being
 * computed, because the uniform variable alone already bounds it from below. */
#include "sampling/race.h"

#include "sampling/coins.h"
#include "ref/mathf.h"
#include "sampling/philox.h"

#define CHUNK 128

/* The n least so far, ascending; of equals the one that came first, which has the lower id. */
typedef struct podium {
    int most, n;
    int32_t *id;
    double time[VB_RACE_MOST];
} podium;

static void arrive(podium *p, int32_t id, double time) {
    if (p->n == p->most && time >= p->time[p->n - 1]) return;
    int at = p->n < p->most ? p->n++ : p->n - 1;
    for (; at > 0 && time < p->time[at - 1]; at--) {
        p->time[at] = p->time[at - 1];
        p->id[at] = p->id[at - 1];
    }
    p->time[at] = time;
    p->id[at] = id;
}

int vb_race_ranks(const vb_dist *d, uint64_t seed, uint32_t position, int most, int32_t *out) {
    uint64_t k[CHUNK];
    podium p = {.most = most < VB_RACE_MOST ? most : VB_RACE_MOST, .id = out};
    for (int32_t from = 0; from < d->n; from += CHUNK) {
        const int m = d->n - from < CHUNK ? d->n - from : CHUNK;
        vb_philox_words(position, d->id + from, m, VB_PURPOSE_RACE, seed, k);
        for (int j = 0; j < m; j++) {
            const double w = (double)d->w[from + j];
            double v = ((double)k[j] + 0.5) * 0x1p-64;
            if (v > 1 - 0x1p-53) v = 1 - 0x1p-53;
            /* v/w >= the last one's time, first without the division:
             * beyond this margin rounding cannot change the answer */
            const double last = p.time[p.most - 1];
            if (p.n == p.most && (v > last * w * (1 + 0x1p-40) || v / w >= last)) continue;
            double e = -vb_log1p(-v);
            if (e < v) e = v;
            arrive(&p, d->id[from + j], e / w);
        }
    }
    return p.n;
}

int32_t vb_race(const vb_dist *d, uint64_t seed, uint32_t position) {
    int32_t winner = -1;
    vb_race_ranks(d, seed, position, 1, &winner);
    return winner;
}
