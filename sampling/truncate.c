/* truncate.c - which ids stay: thresholds on integers, each a function of the weights alone. */
#include "sampling/law_parts.h"

#include <math.h>
#include <string.h>

/* Ids with w >= least; returns how many. */
int32_t vb_law_keep_from(const vb_dist_space *d, int32_t n, uint64_t least) {
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t id = d->id[i];
        const uint64_t w = d->w[i];
        d->id[kept] = id;
        d->w[kept] = w;
        kept += w >= least;
    }
    return kept;
}

/* The shortest prefix, in the order of falling weight and rising id, with cum*2^32 >= P*W. Radix selection:
 * find digit by digit the weight t of the prefix's last id, then keep all above t and the first few that
 * equal t. */
int32_t vb_law_keep_top_p(const vb_law *l, const vb_dist_space *d, int32_t n) {
    uint64_t total = vb_law_total(d->w, n);
    /* cum*2^32 >= P*W  <=>  cum >= ceil(P*W / 2^32); P < 2^32, so this is at most W */
    uint64_t need = (uint64_t)(((vb_u128)l->top_p * total + 0xffffffffu) >> 32);
    if (need == 0) need = 1;

    /* Ids below this weight sum up to less than W - need, so the prefix is full before the first of
     * them. */
    const uint64_t least = n ? (total - need) / (uint64_t)n : 0;
    n = vb_law_keep_from(d, n, least);

    uint64_t t = 0, above = 0; /* digits of t found so far; sum of the weights beyond every candidate for t */
    for (int shift = 30, width = 11; shift >= 0; shift -= 10, width = 10) {
        const uint64_t mask = ((uint64_t)1 << width) - 1;
        memset(l->bucket, 0, VB_LAW_BUCKETS * sizeof *l->bucket);
        for (int32_t i = 0; i < n; i++)
            if (d->w[i] >> shift >> width == t >> shift >> width)
                l->bucket[d->w[i] >> shift & mask] += d->w[i];
        uint64_t digit = mask;
        while (above + l->bucket[digit] < need) above += l->bucket[digit--];
        t |= digit << shift;
    }
    uint64_t equal = (need - above + t - 1) / t; /* how many of weight t */
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++) {
        if (d->w[i] < t || (d->w[i] == t && equal == 0)) continue;
        if (d->w[i] == t) equal--;
        d->id[kept] = d->id[i];
        d->w[kept++] = d->w[i];
    }
    return kept;
}

/* ---------------------------------------------------------------------- top-n-sigma */

static uint64_t root_of(vb_u128 x) {
    uint64_t r = 0;
    for (int bit = 62; bit >= 0; bit--) {
        const uint64_t t = r | (uint64_t)1 << bit;
        if ((vb_u128)t * t <= x) r = t;
    }
    return r;
}

/* How far below the largest x an id is, in units of 2^-20; 2^38 at most. */
static uint64_t below(double max, double x) {
    const double t = (max - x) * 1048576.0;
    return t < 0x1p38 ? (uint64_t)t : (uint64_t)1 << 38;
}

/* sigma = sqrt(N*S2 - S1^2)/N with S1 and S2 the sums of t and t^2: integers, in any order. With N <=
 * 2^20 both products are at most 2^116. An id stays if t <= n*sigma. */
int32_t vb_law_keep_sigma(const vb_law *l, const float *logits, int32_t limit, double max,
                          const vb_dist_space *d, int32_t n) {
    vb_u128 s1 = 0, s2 = 0;
    uint64_t count = 0;
    int32_t ids[BLOCK], kept = 0;
    for (int32_t block = 0; block * BLOCK < limit; block++) {
        const int m = vb_law_ids(l, block, limit, ids);
        for (int i = 0; i < m; i++) {
            const double x = vb_law_value(l, logits, ids[i]);
            if (isinf(x)) continue; /* banned */
            const uint64_t t = below(max, x);
            s1 += t;
            s2 += (vb_u128)t * t;
            count++;
        }
    }
    const vb_u128 reach = (vb_u128)l->sigmas * root_of(count * s2 - s1 * s1);
    for (int32_t i = 0; i < n; i++) {
        const uint64_t t = below(max, vb_law_value(l, logits, d->id[i]));
        if ((vb_u128)t * count << 16 > reach) continue;
        d->id[kept] = d->id[i];
        d->w[kept++] = d->w[i];
    }
    return kept;
}

/* ---------------------------------------------------------------------- typical-p */

static bool nearer(const vb_surprise *a, const vb_surprise *b) {
    return a->far < b->far || (a->far == b->far && a->at < b->at);
}

/* A heap with the nearest on top. */
static void sift_nearest(vb_surprise *h, int32_t i, int32_t n) {
    for (int32_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && nearer(&h[c + 1], &h[c])) c++;
        if (!nearer(&h[c], &h[i])) return;
        const vb_surprise t = h[i];
        h[i] = h[c];
        h[c] = t;
    }
}

/* |log w - (1/W) sum w log w|, as |W*L - S| with L = floor(2^32 log w) < 2^37 and S = sum w*L < 2^97; the
 * nearest first, lower ids among equals, until they have typical_p of W. */
int32_t vb_law_keep_typical(const vb_law *l, const vb_dist_space *d, int32_t n) {
    const uint64_t total = vb_law_total(d->w, n), taken = (uint64_t)1 << 63;
    const uint64_t need = (uint64_t)(((vb_u128)l->typical_p * total + 0xffffffffu) >> 32);
    vb_surprise *h = l->surprise;
    vb_u128 sum = 0;
    for (int32_t i = 0; i < n; i++) sum += (vb_u128)d->w[i] * vb_law_log(d->w[i]);
    for (int32_t i = 0; i < n; i++) {
        const vb_u128 own = (vb_u128)total * vb_law_log(d->w[i]);
        h[i] = (vb_surprise){own > sum ? own - sum : sum - own, i};
    }
    for (int32_t i = n / 2; i-- > 0;) sift_nearest(h, i, n);
    uint64_t cum = 0;
    for (int32_t left = n; left > 0 && (cum < need || left == n);) {
        cum += d->w[h[0].at];
        d->w[h[0].at] |= taken;
        h[0] = h[--left];
        sift_nearest(h, 0, left);
    }
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++) {
        if (!(d->w[i] & taken)) continue;
        d->id[kept] = d->id[i];
        d->w[kept++] = d->w[i] & ~taken;
    }
    return kept;
}

/* ---------------------------------------------------------------------- XTC */

/* With probability P all ids with w/W >= theta go but the least likely of them (of equals the highest
 * id): a mixture of two laws, and so a law. Both are brought to the total 2^60,
 *
 *   a = floor(w*2^60/W),  b = the same without those that go, W' the rest's total,
 *
 * and w := floor(((2^32 - P)*a + P*b)/2^32), at most 2^60 in all. */
int32_t vb_law_mix_xtc(const vb_law *l, const vb_dist_space *d, int32_t n) {
    const uint64_t total = vb_law_total(d->w, n), one = (uint64_t)1 << 32;
    const uint64_t theta = (uint64_t)(((vb_u128)l->xtc_least * total + 0xffffffffu) >> 32);
    int32_t above = 0, stays = -1, kept = 0;
    uint64_t rest = total;
    for (int32_t i = 0; i < n; i++) {
        if (d->w[i] < theta) continue;
        above++;
        rest -= d->w[i];
        if (stays < 0 || d->w[i] <= d->w[stays]) stays = i;
    }
    if (above < 2) return n;
    rest += d->w[stays];
    for (int32_t i = 0; i < n; i++) {
        const uint64_t w = d->w[i];
        const bool goes = w >= theta && i != stays;
        const uint64_t a = (uint64_t)(((vb_u128)w << 60) / total);
        const uint64_t b = goes ? 0 : (uint64_t)(((vb_u128)w << 60) / rest);
        const uint64_t mixed = (uint64_t)(((vb_u128)(one - l->xtc_p) * a + (vb_u128)l->xtc_p * b) >> 32);
        if (mixed == 0) continue;
        d->id[kept] = d->id[i];
        d->w[kept++] = mixed;
    }
    return kept;
}
