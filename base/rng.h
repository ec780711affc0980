/* rng.h - SplitMix64, a small generator of 64-bit numbers [Steele, Lea and Flood 2014]: for seeded weights,
 * trial operands and derived seeds, where the same numbers must come on every machine. What is sampled uses
 * Philox (sampling/philox.h). */
#ifndef VB_RNG_H
#define VB_RNG_H

#include <stdint.h>

#define VB_GOLDEN UINT64_C(0x9e3779b97f4a7c15) /* 2^64 over the golden ratio, odd */

/* Every bit of the result depends on every bit of z; one to one. */
static inline uint64_t vb_mix64(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* The next number. Any state is a good seed, zero too. */
static inline uint64_t vb_splitmix64(uint64_t *state) {
    return vb_mix64(*state += VB_GOLDEN);
}

#endif
