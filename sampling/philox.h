/* philox.h - Philox4x32-10: a counter-based generator. Word = f(key, counter), no state: any coin of any step
 * can be looked up again by whoever checks a trace, and the noise of a position does not depend on how it was
 * reached.
 *
 * References:
 * - Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011,
 *   doi 10.1145/2063384.2063405 (multipliers, Weyl constants and round count; known answers: their Random123
 *   test vectors)
 */
#ifndef VB_PHILOX_H
#define VB_PHILOX_H

#include <stdint.h>

/* Four words for (key, counter). The key's first word is its low half. */
void vb_philox(const uint32_t counter[4], uint64_t key, uint32_t out[4]);

/* k[j] = the first two words, low word first, of the counters (position, ids[j], purpose, 0). */
void vb_philox_words(uint32_t position, const int32_t *ids, int n, uint32_t purpose, uint64_t key,
                     uint64_t *k);

#endif
