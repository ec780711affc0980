/* race.h - the exponential race: sampling that two distributions can share noise in.
 *
 * Each id of a position has an exponential variable E_i; the winner is argmin_i E_i/p(i). By itself this is a
 * draw from p. Run with the same E on q it is a draw from q that agrees with the first one as often as
 * sharing noise allows: at least (1 - TV)/(1 + TV) of the time, in practice within a few percent of the
 * optimum 1 - TV.
 *
 *   k_i = 64 bits of Philox(seed; position, i, RACE, 0)
 *   v_i = min((k_i + 1/2)/2^64, 1 - 2^-53), in float64 ((float64)k_i rounds to nearest even)
 *   E_i = max(v_i, -vb_log1p(-v_i))
 *   winner: the least E_i/w_i (float64 division), strict <, ids ascending, so the lowest id among equals
 *
 * E_i >= v_i, so an id with v_i/w_i >= the best so far cannot win and needs no logarithm. (-log1p(-v), not
 * -log(u): near u = 1 the latter rounds to 0 and would win whatever p is.)
 *
 * References: Daliri, Musco, Suresh 2408.07978 (drafter-invariant speculation by shared exponential
 * variables).
 */
#ifndef VB_RACE_H
#define VB_RACE_H

#include "base/base.h"

/* The winner at `position`; d->n > 0. */
int32_t vb_race(const vb_dist *d, uint64_t seed, uint32_t position);

enum { VB_RACE_MOST = 32 };
/* The first `most` (1 to VB_RACE_MOST) ids of the race, the winner first; returns how many there are. Among
 * the K smallest E/q a choice that another law makes with the same E is most likely: siblings of a tree. */
int vb_race_ranks(const vb_dist *d, uint64_t seed, uint32_t position, int most, int32_t *out);

#endif
