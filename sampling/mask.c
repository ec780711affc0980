/* mask.c - bits over the vocabulary, as hashes (mask.h). */
#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t on the stack */
#include "sampling/mask.h"

#include <string.h>
#include <xxhash.h>

void vb_mask_hash(const uint64_t *allowed, int32_t n_vocab, uint8_t hash[16]) {
    XXH3_state_t state;
    XXH128_canonical_t digest;
    const size_t bytes = ((size_t)n_vocab + 7) / 8;
    XXH3_128bits_reset(&state);
    for (size_t at = 0; at < bytes; at += 8) { /* byte by byte: the same on a machine of another order */
        uint8_t b[8];
        for (int i = 0; i < 8; i++) b[i] = (uint8_t)(allowed[at / 8] >> 8 * i);
        XXH3_128bits_update(&state, b, bytes - at < 8 ? bytes - at : 8);
    }
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(&state));
    memcpy(hash, digest.digest, 16);
}

int vb_mask_check(const vb_mask *m, int32_t n_vocab, vb_error *err) {
    if (!m->at) return vb_fail(err, VB_ERR_ARGUMENT, "the mask has no function at()");
    if (m->n_vocab < 1 || m->n_vocab > n_vocab)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "the mask is for %d ids, the model has %d: open it for this model's vocabulary",
                       (int)m->n_vocab, (int)n_vocab);
    if (!m->name || strlen(m->name) != 32 || strspn(m->name, "0123456789abcdef") != 32)
        return vb_fail(err, VB_ERR_ARGUMENT, "the mask's name must be 32 hex digits: a hash of what it is");
    return VB_OK;
}
