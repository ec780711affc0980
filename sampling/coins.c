/* coins.c - a uniform integer below any bound out of Philox's words, without bias: a word that is too
 * large is thrown away, and the next index is asked (coins.h has the rule). */
#include "sampling/coins.h"

#include "sampling/philox.h"
#include "sampling/race.h"

vb_u128 vb_uniform_from(vb_word_fn word, void *arg, vb_u128 bound, uint32_t *index) {
    /* mask = 2^b - 1, the least such number not below bound - 1 */
    vb_u128 mask = bound - 1;
    for (int shift = 1; shift < 128; shift *= 2) mask |= mask >> shift;

    *index = 0;
    if (mask == 0) return 0;
    for (;; ++*index) {
        vb_u128 r = word(arg, *index) & mask;
        if (r < bound) return r;
    }
}

typedef struct philox_key {
    uint64_t seed;
    vb_coin_key key;
} philox_key;

static vb_u128 philox_word(void *arg, uint32_t index) {
    const philox_key *k = arg;
    const uint32_t counter[4] = {k->key.position, k->key.offset, k->key.purpose, index};
    uint32_t w[4];
    vb_philox(counter, k->seed, w);
    return (vb_u128)w[3] << 96 | (vb_u128)w[2] << 64 | (vb_u128)w[1] << 32 | w[0];
}

vb_u128 vb_uniform(uint64_t seed, vb_coin_key key, vb_u128 bound, vb_coin *coin) {
    philox_key k = {seed, key};
    uint32_t index;
    vb_u128 r = vb_uniform_from(philox_word, &k, bound, &index);
    if (coin) {
        *coin = (vb_coin){.counter = {key.position, key.offset, key.purpose, index},
                          .value_hi = vb_u128_hi(r),
                          .value_lo = vb_u128_lo(r),
                          .bound_hi = vb_u128_hi(bound),
                          .bound_lo = vb_u128_lo(bound)};
    }
    return r;
}

static bool philox_below(void *self, vb_coin_key key, vb_u128 threshold, vb_u128 bound, vb_coin *coin) {
    const uint64_t *seed = self;
    return vb_uniform(*seed, key, bound, coin) < threshold;
}

static int32_t philox_pick(void *self, vb_coin_key key, const vb_weights *w, vb_coin *coin) {
    const uint64_t *seed = self;
    vb_u128 r = vb_uniform(*seed, key, w->total, coin);
    int32_t last = 0;
    for (int32_t i = 0; i < w->n; i++) {
        vb_u128 x = w->at(w->arg, i);
        if (r < x) return i;
        r -= x;
        if (x) last = i;
    }
    return last; /* not reached: r < total, the sum of the weights */
}

static int32_t philox_race(void *self, const vb_dist *d, uint32_t position) {
    const uint64_t *seed = self;
    return vb_race(d, *seed, position);
}

static int philox_ranks(void *self, const vb_dist *d, uint32_t position, int most, int32_t *out) {
    const uint64_t *seed = self;
    return vb_race_ranks(d, *seed, position, most, out);
}

vb_coins vb_coins_philox(uint64_t *seed) {
    return (vb_coins){philox_below, philox_pick, philox_race, philox_ranks, seed};
}
