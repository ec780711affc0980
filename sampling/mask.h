/* mask.h - which ids may follow: bits over the vocabulary, as a vb_mask fills them in (include/verbatim.h).
 *
 * A mask is a pure function of the ids that were generated so far. It stands in the law between bias and
 * penalties, for target and drafter alike (distribution.h), so that the law stays a function of logits and
 * prefix, and every rule is exact for it as it is.
 */
#ifndef VB_MASK_H
#define VB_MASK_H

#include "base/base.h"

static inline size_t vb_mask_words(int32_t n_vocab) {
    return ((size_t)n_vocab + 63) / 64;
}
static inline bool vb_mask_bit(const uint64_t *allowed, int32_t id) {
    return allowed[id / 64] >> (id % 64) & 1;
}

/* XXH3-128 (canonical) of the bits as ceil(n_vocab/8) bytes, id 0 the lowest bit of the first. */
void vb_mask_hash(const uint64_t *allowed, int32_t n_vocab, uint8_t hash[16]);
/* VB_ERR_ARGUMENT for one that cannot be used with a vocabulary of n_vocab ids. */
int vb_mask_check(const vb_mask *m, int32_t n_vocab, vb_error *err);

#endif
