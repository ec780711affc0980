/* coins.h - where randomness comes from, and the only three questions that the acceptance rules ask of it.
 *
 * Every coin has a key (position, offset, purpose). In production it is a uniform integer below a bound, cut
 * out of Philox words (seed, key, index); in the law enumeration (tests/law.h) the same rules are driven
 * through every outcome of every coin with its exact probability. So what is enumerated is the code that
 * runs.
 */
#ifndef VB_COINS_H
#define VB_COINS_H

#include "base/base.h"

/* Products of weights need 127 bits. gcc and clang have integers of 128 bits on 64-bit machines. */
#ifndef __SIZEOF_INT128__
#error "verbatim needs unsigned __int128: gcc or clang for a 64-bit machine"
#endif
__extension__ typedef unsigned __int128 vb_u128;

/* The third counter word. Two coins with the same key are the same coin: under `rejection` and `block` no key
 * is used twice (position = that of the step's first token, offset = place in the draft), because block
 * verification looks at coins beyond what it keeps, and meeting them again in the next step biases
 * the law. */
enum {
    VB_PURPOSE_RACE = 0,   /* (position of the token, its id, RACE, 0): noise shared by target and drafter */
    VB_PURPOSE_DRAFT = 1,  /* draws draft token `offset` from q */
    VB_PURPOSE_ACCEPT = 2, /* decides about draft token `offset` */
    VB_PURPOSE_RESIDUAL = 3, /* draws the token that replaces draft token `offset` */
    VB_PURPOSE_BONUS = 4     /* draws the token after `offset` accepted ones, the whole draft */
};

typedef struct vb_coin_key {
    uint32_t position, offset, purpose;
} vb_coin_key;

/* Integer weights walked in order: at() is called with i = 0, 1, 2, ... and starts again at 0. Their sum is
 * total, 0 < total < 2^127. */
typedef struct vb_weights {
    int32_t n;
    vb_u128 total;
    vb_u128 (*at)(void *arg, int32_t i);
    void *arg;
} vb_weights;

typedef struct vb_coins {
    /* True with probability threshold/bound: r < threshold for r uniform in [0, bound). 0 < threshold <
     * bound. */
    bool (*below)(void *self, vb_coin_key key, vb_u128 threshold, vb_u128 bound, vb_coin *coin);
    /* i with probability at(i)/total:
     * the first i with r < at(0) + ... + at(i), for r uniform in [0, total). */
    int32_t (*pick)(void *self, vb_coin_key key, const vb_weights *w, vb_coin *coin);
    /* An id of d, by noise that belongs to the position alone: a draw from d. Asked again with another law
     * it agrees with itself as far as the two laws do. In production vb_race. */
    int32_t (*race)(void *self, const vb_dist *d, uint32_t position);
    /* The first `most` ids of that race, its winner first; returns how many. In production vb_race_ranks. */
    int (*ranks)(void *self, const vb_dist *d, uint32_t position, int most, int32_t *out);
    void *self;
} vb_coins;

/* Coins from Philox. *seed must outlive them and is only read. Each call records the coin it used. */
vb_coins vb_coins_philox(uint64_t *seed);

/* The uniform integer below `bound` (1 <= bound <= 2^127) under a key. With b the bit length of bound - 1:
 * for index = 0, 1, 2, ... take the low b bits of the 128-bit Philox output (first word lowest) until the
 * value is below bound. Each try succeeds with probability above 1/2, each value below bound is equally
 * likely: no bias. */
vb_u128 vb_uniform(uint64_t seed, vb_coin_key key, vb_u128 bound, vb_coin *coin);

/* The same with the source of 128-bit words as an argument, so that the rule can be checked exhaustively. */
typedef vb_u128 (*vb_word_fn)(void *arg, uint32_t index);
vb_u128 vb_uniform_from(vb_word_fn word, void *arg, vb_u128 bound, uint32_t *index);

static inline uint64_t vb_u128_hi(vb_u128 x) {
    return (uint64_t)(x >> 64);
}
static inline uint64_t vb_u128_lo(vb_u128 x) {
    return (uint64_t)x;
}

#endif
