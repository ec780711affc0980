/* distribution.h - from logits to the integer law that is sampled (docs/speculation.md, "The law").
 *
 *   x_i = logit_i                                                         float32, then everything in float64
 *   bias:        x_i = x_i + bias_i, entry by entry; -inf bans the id
 *   mask:        x_i = -inf for every id that may not follow; from here on such ids are as if they were not
 *                there: neither max x nor top-k sees them
 *   penalties:   for each id that occurs c > 0 times among the last penalty_last_n tokens of the prefix:
 *                x_i = x_i > 0 ? x_i/repeat : x_i*repeat;  x_i = x_i - (c*frequency + presence)
 *   DRY:         for each id that stands k >= 1 tokens before the end of the window (the last dry_last_n
 *                tokens of the prefix) and is no breaker: the longest L, over its k, such that the L tokens
 *                before it are the last L of the prefix, no breaker among them; if L >= allowed:
 *                x_i = x_i - multiplier*base^(L - allowed); the power: multiplied up from 1, at most 10^30
 *   temperature: T = 0: w = 1 for the largest x (lowest id among equals), nothing else
 *   dynamic:     H the entropy of v_i = floor(2^40 * vb_exp(x_i - max x)) over all ids, n of them not 0:
 *                H = log V - floor(S/V)*2^-32, V = sum of v_i, S = sum v_i*floor(2^32 * vb_log(v_i));
 *                T = low + (high - low)*vb_pow(H/log n, exponent), the ratio within [0, 1],
 *                low = max(0, T - range), high = T + range
 *                T > 0: z_i = (x_i - max x)/T
 *   top-n-sigma: t_i = min(2^38, floor((max x - x_i)*2^20)) over all ids that are not banned, N of them;
 *                ids with t_i*N*2^16 <= floor(n_sigma*2^16)*floor(sqrt(N*sum t^2 - (sum t)^2))
 *   top-k:       the top_k largest x, lower ids first among equals
 *   the law:     w_i = floor(2^40 * vb_exp(z_i)), W = sum of w_i; so the largest has w = 2^40 exactly
 *   typical-p:   P = floor(typical_p*2^32); in the order of rising |W*L_i - S|, L_i = floor(2^32 *
 *                vb_log(w_i)), S = sum w_i*L_i, lower ids first among equals, the shortest prefix (at least
 *                one id) with cum*2^32 >= P*W
 *   top-p:       P = floor(top_p*2^32); in the order of falling w, lower ids first among equals, the shortest
 *                prefix (at least one id) with cum*2^32 >= P*W, W summed after what came before
 *   min-p:       M = floor(min_p*2^32); ids with w_i*2^32 >= M*2^40
 *   XTC:         ids with w_i*2^32 >= floor(threshold*2^32)*W, if they are two or more, go but for the least
 *                likely one (of equals the highest id), with probability X/2^32, X =
 *                floor(xtc_probability*2^32): w_i = floor(((2^32 - X)*floor(w_i*2^60/W) +
 *                X*floor(w_i*2^60/W'))/2^32), the second term 0 for those that go, W' the sum of the others
 *
 * Ids with w_i = 0 are left out. With at most 2^20 ids, W <= 2^60.
 *
 * References: nucleus sampling: Holtzman et al. 1904.09751; top-k: Fan et al. 1805.04833; min-p: Nguyen et
 * al. 2407.01082; repetition penalty: Keskar et al. 1909.05858; typical: Meister et al. 2202.00666;
 * top-n-sigma: Tang et al. 2411.07641; XTC and DRY: p-e-w, text-generation-webui, pull requests 6335 and
 * 5677. The fixed-point thresholds are ours. */
#ifndef VB_DISTRIBUTION_H
#define VB_DISTRIBUTION_H

#include "sampling/coins.h"

#define VB_LAW_BITS  40        /* the largest weight is 2^40 */
#define VB_LAW_VOCAB (1 << 20) /* most ids: W <= 2^60 is what the bounds in accept.c stand on */

/* Room for one distribution. */
typedef struct vb_dist_space {
    int32_t capacity;
    int32_t *id;
    uint64_t *w;
} vb_dist_space;

/* The law at a prefix, as the loop and the drafters see it: a vb_law, or a table in the tests. */
typedef struct vb_law_source {
    void *self;
    int32_t capacity; /* most ids in one distribution */
    /* As vb_law_distribution. */
    int (*at)(void *self, const float *logits, int32_t limit, const int32_t *prefix, size_t n_prefix,
              const vb_dist_space *space, vb_dist *out, vb_error *err);
    int (*why_empty)(const void *self, vb_error *err); /* as vb_law_why_empty; NULL: bias bans all */
    /* The rest is there where a mask is, else NULL. */
    void (*begin)(void *self, size_t start);               /* as vb_law_begin */
    bool (*mask_hash)(const void *self, uint8_t hash[16]); /* of what it said in the last at() */
    /* May id follow prefix[0..n_prefix)? */
    int (*allows)(void *self, const int32_t *prefix, size_t n_prefix, int32_t id, bool *yes, vb_error *err);
    /* As vb_mask.forced, with the whole prefix. NULL also where the mask does not say. */
    int (*forced)(void *self, const int32_t *prefix, size_t n_prefix, int32_t *out, int max, int *n_out,
                  vb_error *err);
} vb_law_source;

typedef struct vb_law vb_law;
/* Valid as long as the law, and as long as its mask is not set. */
vb_law_source vb_law_as_source(vb_law *l);
/* w_i = floor(2^40 * vb_exp(z_i)): the kernel of that name (kernels.h). */
typedef void (*vb_exp_weights_fn)(const double *z, int n, uint64_t *w);

/* Copies the parameters (vb_sampling_check has been passed) and allocates all scratch memory, once. */
int vb_law_open(vb_law **out, const vb_sampling *s, int32_t n_vocab, vb_exp_weights_fn exp_weights,
                vb_error *err);
void vb_law_close(vb_law *l);
/* Puts a mask into the law, between bias and penalties. `m` must outlive it. */
int vb_law_set_mask(vb_law *l, const vb_mask *m, vb_error *err);
/* What is generated begins at prefix[start]: the mask is asked about prefix[start..n_prefix). */
void vb_law_begin(vb_law *l, size_t start);
/* Why the last distribution was empty: VB_ERR_MASK if the mask allows nothing, else VB_ERR_ARGUMENT. */
int vb_law_why_empty(const vb_law *l, vb_error *err);
/* Most ids that a distribution can hold. */
int32_t vb_law_capacity(const vb_law *l);

/* The distribution after prefix[0..n_prefix), from logits (limit), of the ids below `limit` (<= n_vocab).
 * *out points into `space`. out->n = 0 when every id is banned (vb_law_why_empty). Errors: VB_ERR_NUMERIC
 * for a logit that is not finite, those of the mask. */
int vb_law_distribution(vb_law *l, const float *logits, int32_t limit, const int32_t *prefix, size_t n_prefix,
                        const vb_dist_space *space, vb_dist *out, vb_error *err);

/* w of an id; 0 when it is not there. */
uint64_t vb_dist_weight(const vb_dist *d, int32_t id);

/* Replaces the weights by ones with the total 2^bits: floor(w*2^bits/W), the remainder to the largest weight
 * (lowest id among equals). What becomes 0 is left out. `space` is where d points. 40 <= bits + 20, bits
 * <= 62. */
void vb_dist_rescale(vb_dist *d, const vb_dist_space *space, int bits);

#endif
