/* philox.c - Philox4x32-10: ten rounds of two multiplications each, for one counter or for several ids
 * side by side. */
#include "sampling/philox.h"

/* One round (section 5 of the reference), (hi, lo) the halves of a 64-bit product:
 *
 *   (h0, l0) = M0 * c0,  (h1, l1) = M1 * c2
 *   c = (h1 ^ c1 ^ k0, l1, h0 ^ c3 ^ k1, l0),  then  k0 += W0, k1 += W1 (golden ratio and sqrt(3) - 1)
 */
#define M0     0xD2511F53u
#define M1     0xCD9E8D57u
#define W0     0x9E3779B9u
#define W1     0xBB67AE85u
#define ROUNDS 10

void vb_philox(const uint32_t counter[4], uint64_t key, uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int r = 0; r < ROUNDS; r++, k0 += W0, k1 += W1) {
        uint64_t p0 = (uint64_t)M0 * c0, p1 = (uint64_t)M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* The same for LANES counters side by side, a shape that compilers turn into SIMD. */
#define LANES 8

static void words_lanes(uint32_t position, const int32_t *ids, uint32_t purpose, uint64_t key, uint64_t *k) {
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int j = 0; j < LANES; j++) c0[j] = position, c1[j] = (uint32_t)ids[j], c2[j] = purpose, c3[j] = 0;
    for (int r = 0; r < ROUNDS; r++, k0 += W0, k1 += W1) {
        for (int j = 0; j < LANES; j++) {
            uint64_t p0 = (uint64_t)M0 * c0[j], p1 = (uint64_t)M1 * c2[j];
            c0[j] = (uint32_t)(p1 >> 32) ^ c1[j] ^ k0;
            c1[j] = (uint32_t)p1;
            c2[j] = (uint32_t)(p0 >> 32) ^ c3[j] ^ k1;
            c3[j] = (uint32_t)p0;
        }
    }
    for (int j = 0; j < LANES; j++) k[j] = (uint64_t)c1[j] << 32 | c0[j];
}

void vb_philox_words(uint32_t position, const int32_t *ids, int n, uint32_t purpose, uint64_t key,
                     uint64_t *k) {
    int j = 0;
    for (; j + LANES <= n; j += LANES) words_lanes(position, ids + j, purpose, key, k + j);
    for (; j < n; j++) {
        const uint32_t counter[4] = {position, (uint32_t)ids[j], purpose, 0};
        uint32_t w[4];
        vb_philox(counter, key, w);
        k[j] = (uint64_t)w[1] << 32 | w[0];
    }
}
