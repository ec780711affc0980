/* distribution.c - the law in the order of its definition (distribution.h): one look at all logits, mask,
 * bias and penalties, temperature, weights, and the truncations one after the other. */
#include "sampling/law_parts.h"

#include "sampling/mask.h"

#include <stdlib.h>
#include <string.h>

/* Distinct ids with a bias, or anything in the windows. */
static size_t most_adjusted(const vb_sampling *s, size_t n_vocab) {
    size_t n = s->n_bias;
    if (vb_law_has_penalties(s)) n += s->penalty_last_n < 0 ? n_vocab : (size_t)s->penalty_last_n;
    if (vb_law_has_dry(s)) n += s->dry_last_n < 0 ? n_vocab : (size_t)s->dry_last_n;
    return n < n_vocab ? n : n_vocab;
}

static bool is_typical(const vb_law *l) {
    return l->s.typical_p > 0 && l->s.typical_p < 1;
}

static int allocate(vb_law *l, const vb_sampling *s, vb_error *err) {
    static const char what[] = "sampling";
    const size_t n_vocab = (size_t)l->n_vocab;
    int rc;
    if ((rc = vb_alloc((void **)&l->bias, s->n_bias, sizeof *l->bias, "logit bias", err)) ||
        (rc = vb_alloc((void **)&l->slot, n_vocab, sizeof *l->slot, what, err)) ||
        (rc = vb_alloc((void **)&l->adj, l->adj_capacity, sizeof *l->adj, what, err)) ||
        (rc = vb_alloc((void **)&l->seen, l->adj_capacity, sizeof *l->seen, what, err)) ||
        (rc = vb_alloc((void **)&l->heap, (size_t)l->s.top_k, sizeof *l->heap, what, err)) ||
        (rc = vb_alloc((void **)&l->bucket, VB_LAW_BUCKETS, sizeof *l->bucket, what, err)) ||
        (rc = vb_alloc((void **)&l->top, n_vocab / BLOCK + 1, sizeof *l->top, what, err)))
        return rc;
    if (is_typical(l) &&
        (rc = vb_alloc((void **)&l->surprise, (size_t)vb_law_capacity(l), sizeof *l->surprise, what, err)))
        return rc;
    if (!vb_law_has_dry(s)) return VB_OK;
    if ((rc = vb_alloc((void **)&l->repeat, l->adj_capacity, sizeof *l->repeat, what, err))) return rc;
    return vb_alloc((void **)&l->breakers, s->n_dry_breakers, sizeof *l->breakers, what, err);
}

int vb_law_open(vb_law **out, const vb_sampling *s, int32_t n_vocab, vb_exp_weights_fn exp_weights,
                vb_error *err) {
    vb_law *l = NULL;
    int rc = VB_OK;

    if (n_vocab < 1 || n_vocab > VB_LAW_VOCAB)
        return vb_fail(err, VB_ERR_UNSUPPORTED, "a vocabulary of %d: sampling is defined for 1 to %d ids",
                       (int)n_vocab, VB_LAW_VOCAB);
    if ((rc = vb_sampling_check(s, n_vocab, err))) return rc;
    if ((rc = vb_alloc((void **)&l, 1, sizeof *l, "sampling", err))) return rc;
    l->s = *s;
    l->n_vocab = n_vocab;
    l->exp_weights = exp_weights;
    l->top_p = (uint64_t)(s->top_p * 4294967296.0); /* exact: a power of two; the cast is the floor */
    l->min_p = (uint64_t)(s->min_p * 4294967296.0);
    l->typical_p = (uint64_t)(s->typical_p * 4294967296.0);
    l->xtc_p = (uint64_t)(s->xtc_probability * 4294967296.0);
    l->xtc_least = (uint64_t)(s->xtc_threshold * 4294967296.0);
    l->sigmas = (uint64_t)(s->top_n_sigma * 65536.0);
    l->s.top_k = s->top_k > n_vocab ? n_vocab : s->top_k;

    l->adj_capacity = most_adjusted(s, (size_t)n_vocab);
    if ((rc = allocate(l, s, err))) goto cleanup;
    if (s->n_bias) memcpy(l->bias, s->bias, s->n_bias * sizeof *l->bias);
    if (vb_law_has_dry(s) && s->n_dry_breakers)
        memcpy(l->breakers, s->dry_breakers, s->n_dry_breakers * sizeof *l->breakers);
    l->s.bias = l->bias;
    l->s.dry_breakers = l->breakers;
    *out = l;
    l = NULL;
cleanup:
    vb_law_close(l);
    return rc;
}

void vb_law_close(vb_law *l) {
    if (!l) return;
    free(l->bias);
    free(l->slot);
    free(l->adj);
    free(l->seen);
    free(l->heap);
    free(l->bucket);
    free(l->allowed);
    free(l->top);
    free(l->surprise);
    free(l->breakers);
    free(l->repeat);
    free(l->z);
    free(l);
}

int vb_law_set_mask(vb_law *l, const vb_mask *m, vb_error *err) {
    int rc = vb_mask_check(m, l->n_vocab, err);
    if (rc) return rc;
    if ((rc = vb_alloc((void **)&l->allowed, vb_mask_words(l->n_vocab), sizeof *l->allowed, "a mask", err)))
        return rc;
    l->mask = m;
    return VB_OK;
}

void vb_law_begin(vb_law *l, size_t start) {
    l->start = start;
}

int vb_law_why_empty(const vb_law *l, vb_error *err) {
    size_t n = 0;
    for (size_t i = 0; l->mask && i < vb_mask_words(l->n_vocab); i++)
        n += (size_t)__builtin_popcountll(l->allowed[i]);
    if (l->mask && n == 0)
        return vb_fail(err, VB_ERR_MASK,
                       "the mask allows no id here: what was generated cannot go on, and cannot end either");
    if (l->mask)
        return vb_fail(err, VB_ERR_ARGUMENT, "logit bias bans all %zu ids that the mask allows here", n);
    return vb_fail(err, VB_ERR_ARGUMENT, "logit bias bans every id: nothing is left to sample");
}

int32_t vb_law_capacity(const vb_law *l) {
    if (l->s.temperature == 0) return 1;
    return l->s.top_k > 0 ? l->s.top_k : l->n_vocab;
}

/* ---------------------------------------------------------------------- all together */

/* Weights of ids[0..n) (NULL: of all below n), and what the truncations leave of them. */
static int32_t truncated(vb_law *l, const float *logits, int32_t limit, const int32_t *ids, int32_t n,
                         double max, double temperature, const vb_dist_space *space) {
    int32_t kept = vb_law_weights(l, logits, ids, n, max, temperature, space);
    if (l->sigmas > 0) kept = vb_law_keep_sigma(l, logits, limit, max, space, kept);
    if (is_typical(l)) kept = vb_law_keep_typical(l, space, kept);
    if (l->s.top_p < 1) kept = vb_law_keep_top_p(l, space, kept);
    if (l->min_p > 0)
        kept = vb_law_keep_from(space, kept, l->min_p << (VB_LAW_BITS - 32)); /* w*2^32 >= M*2^40 */
    return l->xtc_p > 0 ? vb_law_mix_xtc(l, space, kept) : kept;
}

int vb_law_distribution(vb_law *l, const float *logits, int32_t limit, const int32_t *prefix, size_t n_prefix,
                        const vb_dist_space *space, vb_dist *out, vb_error *err) {
    int rc = vb_law_survey(l, logits, limit, err);
    if (rc || (l->mask && (rc = vb_law_ask_mask(l, prefix, n_prefix, err)))) return rc;
    if (l->mask && limit > l->mask->n_vocab) limit = l->mask->n_vocab;
    if ((rc = vb_law_adjust(l, logits, limit, prefix, n_prefix, err))) {
        vb_law_forget_adjustments(l);
        return rc;
    }
    double max, temperature = l->s.temperature;
    int32_t best = vb_law_best(l, logits, limit, &max), kept = 0;
    if (best >= 0) temperature = vb_law_temperature(l, logits, limit, max);
    if (best >= 0 && !(temperature > 0)) {
        space->id[0] = best;
        space->w[0] = 1;
        kept = 1;
    } else if (best >= 0) {
        const bool cut = l->s.top_k > 0 && l->s.top_k < limit;
        const int32_t n = cut ? vb_law_select_top_k(l, logits, limit) : limit;
        kept = truncated(l, logits, limit, cut ? l->heap : NULL, n, max, temperature, space);
    }
    vb_law_forget_adjustments(l);
    *out = (vb_dist){.n = kept, .id = space->id, .w = space->w, .total = vb_law_total(space->w, kept)};
    return VB_OK;
}

/* ---------------------------------------------------------------------- as a source */

static int source_at(void *self, const float *logits, int32_t limit, const int32_t *prefix, size_t n_prefix,
                     const vb_dist_space *space, vb_dist *out, vb_error *err) {
    return vb_law_distribution(self, logits, limit, prefix, n_prefix, space, out, err);
}
static int source_why_empty(const void *self, vb_error *err) {
    return vb_law_why_empty(self, err);
}
static void source_begin(void *self, size_t start) {
    vb_law_begin(self, start);
}
static bool source_mask_hash(const void *self, uint8_t hash[16]) {
    const vb_law *l = self;
    vb_mask_hash(l->allowed, l->n_vocab, hash);
    return true;
}
static int source_allows(void *self, const int32_t *prefix, size_t n_prefix, int32_t id, bool *yes,
                         vb_error *err) {
    vb_law *l = self;
    int rc = vb_law_ask_mask(l, prefix, n_prefix, err);
    *yes = rc == VB_OK && id < l->n_vocab && vb_mask_bit(l->allowed, id);
    return rc;
}
static int source_forced(void *self, const int32_t *prefix, size_t n_prefix, int32_t *out, int max,
                         int *n_out, vb_error *err) {
    const vb_law *l = self;
    const size_t start = l->start < n_prefix ? l->start : n_prefix;
    return l->mask->forced(l->mask->self, prefix + start, n_prefix - start, out, max, n_out, err);
}

vb_law_source vb_law_as_source(vb_law *l) {
    vb_law_source s = {
        .self = l, .capacity = vb_law_capacity(l), .at = source_at, .why_empty = source_why_empty};
    if (!l->mask) return s;
    s.begin = source_begin;
    s.mask_hash = source_mask_hash;
    s.allows = source_allows;
    if (l->mask->forced) s.forced = source_forced;
    return s;
}

/* ---------------------------------------------------------------------- distributions */

uint64_t vb_dist_weight(const vb_dist *d, int32_t id) {
    int32_t lo = 0, hi = d->n;
    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        if (d->id[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < d->n && d->id[lo] == id ? d->w[lo] : 0;
}

void vb_dist_rescale(vb_dist *d, const vb_dist_space *space, int bits) {
    const uint64_t one = (uint64_t)1 << bits;
    uint64_t sum = 0, largest = 0;
    int32_t kept = 0, at = 0;
    for (int32_t i = 0; i < d->n; i++) {
        uint64_t w = d->w[i], v = (uint64_t)(((vb_u128)w << bits) / d->total);
        if (w > largest) largest = w, at = kept;
        if (v == 0) continue;
        space->id[kept] = d->id[i];
        space->w[kept++] = v;
        sum += v;
    }
    space->w[at] += one - sum;
    *d = (vb_dist){.n = kept, .id = space->id, .w = space->w, .total = one};
}
