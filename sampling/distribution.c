/* distribution.c - the law in the order of its definition (distribution.h): parameters, then bias, mask and
 * penalties, one look at all logits, top-k by a heap, weights by vb_exp, top-p by radix selection, min-p. */
#include "sampling/distribution.h"

#include "sampling/mask.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Ids whose x is not simply the logit: those with a bias or a penalty. */
typedef struct adjusted {
    int32_t id;
    double x;
} adjusted;

struct vb_law {
    vb_sampling s;
    int32_t n_vocab;
    vb_exp_weights_fn exp_weights;
    uint64_t top_p, min_p; /* floor(parameter * 2^32) */
    vb_logit_bias *bias;
    int32_t *slot; /* (n_vocab) index + 1 into adj; 0 for ids that are not adjusted. All 0 between calls */
    adjusted *adj; /* (adj_capacity) */
    int32_t *seen; /* (adj_capacity) occurrences in the penalty window */
    size_t n_adj, adj_capacity;
    int32_t *heap;    /* (top_k) */
    uint64_t *bucket; /* (BUCKETS) */
    float *top;       /* of each block of ids: no x in it is larger */

    const vb_mask *mask; /* NULL: none */
    size_t start;        /* where in the prefix its ids begin */
    uint64_t *allowed;   /* (n_vocab bits) what it said last */
};

#define BUCKETS 2048

enum { BLOCK = 64 }; /* ids: a word of a mask */

/* ---------------------------------------------------------------------- parameters */

void vb_sampling_defaults(vb_sampling *s) {
    *s = (vb_sampling){.temperature = 0.8,
                       .top_k = 40,
                       .top_p = 0.95,
                       .min_p = 0.05,
                       .repeat_penalty = 1.0,
                       .penalty_last_n = 64};
}

int vb_sampling_check(const vb_sampling *s, int n_vocab, vb_error *err) {
    vb_begin(err);
    if (!(s->temperature >= 0 && s->temperature <= 1e6))
        return vb_fail(err, VB_ERR_ARGUMENT, "temperature %g: must be from 0 (greedy) to 1e6",
                       s->temperature);
    if (s->top_k < 0) return vb_fail(err, VB_ERR_ARGUMENT, "top_k %d: must be 0 (off) or more", s->top_k);
    if (!(s->top_p > 0 && s->top_p <= 1))
        return vb_fail(err, VB_ERR_ARGUMENT, "top_p %g: must be above 0 and at most 1 (off)", s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return vb_fail(err, VB_ERR_ARGUMENT, "min_p %g: must be from 0 (off) to 1", s->min_p);
    if (!(s->repeat_penalty >= 1e-3 && s->repeat_penalty <= 1e3))
        return vb_fail(err, VB_ERR_ARGUMENT, "repeat_penalty %g: must be from 0.001 to 1000 (1: off)",
                       s->repeat_penalty);
    if (!(fabs(s->presence_penalty) <= 1e6))
        return vb_fail(err, VB_ERR_ARGUMENT, "presence_penalty %g: must be from -1e6 to 1e6",
                       s->presence_penalty);
    if (!(fabs(s->frequency_penalty) <= 1e6))
        return vb_fail(err, VB_ERR_ARGUMENT, "frequency_penalty %g: must be from -1e6 to 1e6",
                       s->frequency_penalty);
    if (s->penalty_last_n < -1)
        return vb_fail(err, VB_ERR_ARGUMENT, "penalty_last_n %d: must be -1 (all), 0 (off) or more",
                       s->penalty_last_n);
    if (s->n_bias && !s->bias) return vb_fail(err, VB_ERR_ARGUMENT, "bias is NULL, n_bias is %zu", s->n_bias);
    for (size_t i = 0; i < s->n_bias; i++) {
        const vb_logit_bias *b = &s->bias[i];
        if (b->id < 0 || b->id >= n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT, "bias[%zu]: id %d is outside the vocabulary of %d", i,
                           (int)b->id, n_vocab);
        if (!isfinite(b->bias) && !(b->bias < 0))
            return vb_fail(err, VB_ERR_ARGUMENT, "bias[%zu]: %g must be finite or -inf (ban)", i,
                           (double)b->bias);
    }
    return VB_OK;
}

static bool has_penalties(const vb_sampling *s) {
    return s->penalty_last_n != 0 &&
           (s->repeat_penalty != 1 || s->presence_penalty != 0 || s->frequency_penalty != 0);
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
    l->s.top_k = s->top_k > n_vocab ? n_vocab : s->top_k;

    size_t n_adj = s->n_bias; /* distinct ids with a bias, or anything in the window */
    if (has_penalties(s)) n_adj = s->penalty_last_n < 0 ? (size_t)n_vocab : n_adj + (size_t)s->penalty_last_n;
    l->adj_capacity = n_adj < (size_t)n_vocab ? n_adj : (size_t)n_vocab;
    if ((rc = vb_alloc((void **)&l->bias, s->n_bias, sizeof *l->bias, "logit bias", err)) ||
        (rc = vb_alloc((void **)&l->slot, (size_t)n_vocab, sizeof *l->slot, "sampling", err)) ||
        (rc = vb_alloc((void **)&l->adj, l->adj_capacity, sizeof *l->adj, "sampling", err)) ||
        (rc = vb_alloc((void **)&l->seen, l->adj_capacity, sizeof *l->seen, "sampling", err)) ||
        (rc = vb_alloc((void **)&l->heap, (size_t)l->s.top_k, sizeof *l->heap, "sampling", err)) ||
        (rc = vb_alloc((void **)&l->bucket, BUCKETS, sizeof *l->bucket, "sampling", err)) ||
        (rc = vb_alloc((void **)&l->top, (size_t)n_vocab / BLOCK + 1, sizeof *l->top, "sampling", err)))
        goto cleanup;
    if (s->n_bias) memcpy(l->bias, s->bias, s->n_bias * sizeof *l->bias);
    l->s.bias = l->bias;
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

/* ---------------------------------------------------------------------- bias, mask, penalties */

static int ask_mask(vb_law *l, const int32_t *prefix, size_t n_prefix, vb_error *err) {
    const size_t start = l->start < n_prefix ? l->start : n_prefix;
    return l->mask->at(l->mask->self, prefix + start, n_prefix - start, l->allowed, err);
}

static adjusted *adjust(vb_law *l, const float *logits, int32_t id) {
    if (l->slot[id] == 0) {
        l->adj[l->n_adj] = (adjusted){id, (double)logits[id]};
        l->seen[l->n_adj] = 0;
        l->slot[id] = (int32_t)++l->n_adj;
        l->top[id / BLOCK] = INFINITY; /* nothing is known of the block */
    }
    return &l->adj[l->slot[id] - 1];
}

static void apply_adjustments(vb_law *l, const float *logits, int32_t limit, const int32_t *prefix,
                              size_t n_prefix) {
    const vb_sampling *s = &l->s;
    for (size_t i = 0; i < s->n_bias; i++)
        if (s->bias[i].id < limit) adjust(l, logits, s->bias[i].id)->x += (double)s->bias[i].bias;
    if (!has_penalties(s)) return;

    size_t from = 0;
    if (s->penalty_last_n > 0 && n_prefix > (size_t)s->penalty_last_n)
        from = n_prefix - (size_t)s->penalty_last_n;
    for (size_t i = from; i < n_prefix; i++) {
        if (prefix[i] < 0 || prefix[i] >= limit) continue;
        adjust(l, logits, prefix[i]);
        l->seen[l->slot[prefix[i]] - 1]++;
    }
    for (size_t j = 0; j < l->n_adj; j++) {
        if (l->seen[j] == 0) continue;
        double x = l->adj[j].x;
        x = x > 0 ? x / s->repeat_penalty : x * s->repeat_penalty;
        l->adj[j].x = x - ((double)l->seen[j] * s->frequency_penalty + s->presence_penalty);
    }
}

static void forget_adjustments(vb_law *l) {
    for (size_t j = 0; j < l->n_adj; j++) l->slot[l->adj[j].id] = 0;
    l->n_adj = 0;
}

/* x_i as the header defines it. */
static inline double value(const vb_law *l, const float *logits, int32_t id) {
    return l->slot[id] ? l->adj[l->slot[id] - 1].x : (double)logits[id];
}

/* ---------------------------------------------------------------------- one look at all logits
 *
 * A vocabulary has 150,000 ids, and few of them matter. So all logits are looked at once, as integers, for
 * two questions: are they finite, and what is the largest of each block of 64. From then on a block is
 * entered only if one of its ids can still change the result. */

/* Finite floats in order, as integers; infinities and NaN lie beyond them at both ends. */
static inline int32_t ordered(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ ((bits >> 31) & 0x7fffffff);
}

/* The ends of a block, by operations that a compiler finds vector instructions for. */
static void ends_of(const float *x, int32_t *least, int32_t *most) {
    int32_t lo = INT32_MAX, hi = INT32_MIN;
    for (int i = 0; i < BLOCK; i++) {
        const int32_t k = ordered(x[i]);
        lo = k < lo ? k : lo;
        hi = k > hi ? k : hi;
    }
    *least = lo;
    *most = hi;
}

static int not_finite(const float *logits, int32_t n, vb_error *err) {
    int32_t i = 0;
    while (i + 1 < n && isfinite(logits[i])) i++;
    return vb_fail(err, VB_ERR_NUMERIC, "the logit of id %d is %g: the model or its weights are broken",
                   (int)i, (double)logits[i]);
}

/* top[b] = the largest logit of block b. */
static int survey(vb_law *l, const float *logits, int32_t n, vb_error *err) {
    const int32_t infinite = 0x7f800000;
    for (int32_t i = 0; i < n; i += BLOCK) {
        float last[BLOCK];
        const float *x = logits + i;
        int32_t least, most;
        if (n - i < BLOCK) {
            for (int32_t k = 0; k < BLOCK; k++) last[k] = x[i + k < n ? k : 0];
            x = last;
        }
        ends_of(x, &least, &most);
        if (most >= infinite || least <= ~infinite) return not_finite(logits, n, err);
        const int32_t bits = most ^ ((most >> 31) & 0x7fffffff);
        memcpy(&l->top[i / BLOCK], &bits, sizeof bits);
    }
    return VB_OK;
}

/* The ids of a block that may be chosen, ascending; returns how many. */
static int ids_of(const vb_law *l, int32_t block, int32_t limit, int32_t ids[BLOCK]) {
    const int32_t first = block * BLOCK, n = limit - first < BLOCK ? limit - first : BLOCK;
    uint64_t word = l->mask ? l->allowed[block] : UINT64_MAX;
    if (n < BLOCK) word &= ((uint64_t)1 << n) - 1;
    if (word == UINT64_MAX) {
        for (int32_t i = 0; i < BLOCK; i++) ids[i] = first + i;
        return BLOCK;
    }
    int m = 0;
    for (; word; word &= word - 1) ids[m++] = first + __builtin_ctzll(word);
    return m;
}

/* ---------------------------------------------------------------------- top-k */

/* Is a a worse candidate than b: smaller x, or the higher id among equals. */
static inline bool worse(const vb_law *l, const float *logits, int32_t a, int32_t b) {
    double x = value(l, logits, a), y = value(l, logits, b);
    return x < y || (x == y && a > b);
}

/* Binary heaps over l->heap[0..n): the worst candidate on top, or the largest id. */
static void sift_worst(vb_law *l, const float *logits, int32_t i, int32_t n) {
    for (int32_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && worse(l, logits, l->heap[c + 1], l->heap[c])) c++;
        if (!worse(l, logits, l->heap[c], l->heap[i])) return;
        int32_t t = l->heap[i];
        l->heap[i] = l->heap[c];
        l->heap[c] = t;
    }
}

static void sort_ids(int32_t *a, int32_t n) {
    for (int32_t start = n / 2 - 1, end = n; end > 1;) {
        if (start < 0) { /* the heap stands: its top, the largest id, goes to the end */
            end--;
            int32_t t = a[0];
            a[0] = a[end];
            a[end] = t;
        }
        for (int32_t i = start < 0 ? 0 : start, c; (c = 2 * i + 1) < end; i = c) {
            if (c + 1 < end && a[c + 1] > a[c]) c++;
            if (a[c] <= a[i]) break;
            int32_t t = a[i];
            a[i] = a[c];
            a[c] = t;
        }
        if (start >= 0) start--;
    }
}

/* The top_k best of the ids below the limit that may be chosen, in l->heap, ascending. Ids come in ascending
 * order, so an id that equals the worst one kept is worse than it: only a strictly larger x enters, and a
 * block whose largest x is not larger is passed by. Expected cost limit/64 + k*log(k)*log(limit/k). */
static int32_t select_top_k(vb_law *l, const float *logits, int32_t limit) {
    const int32_t k = l->s.top_k;
    int32_t n = 0, ids[BLOCK];
    double floor_x = -INFINITY;
    for (int32_t block = 0; block * BLOCK < limit; block++) {
        if (!((double)l->top[block] > floor_x)) continue;
        const int m = ids_of(l, block, limit, ids);
        for (int i = 0; i < m; i++) {
            const double x = value(l, logits, ids[i]);
            if (!(x > floor_x)) continue;
            if (n < k) {
                l->heap[n++] = ids[i];
                if (n < k) continue;
                for (int32_t j = k / 2; j-- > 0;) sift_worst(l, logits, j, k);
            } else {
                l->heap[0] = ids[i];
                sift_worst(l, logits, 0, k);
            }
            floor_x = value(l, logits, l->heap[0]);
        }
    }
    sort_ids(l->heap, n);
    return n;
}

/* The id with the largest x, the lowest among equals; -1: all are banned. *max: its x. */
static int32_t best_of(const vb_law *l, const float *logits, int32_t limit, double *max) {
    int32_t best = -1, ids[BLOCK];
    *max = -INFINITY;
    for (int32_t block = 0; block * BLOCK < limit; block++) {
        if (!((double)l->top[block] > *max)) continue;
        const int m = ids_of(l, block, limit, ids);
        for (int i = 0; i < m; i++) {
            const double x = value(l, logits, ids[i]);
            if (x > *max) *max = x, best = ids[i];
        }
    }
    return best;
}

/* ---------------------------------------------------------------------- weights */

/* vb_exp(z)*2^40 < 1 for every z below this: the weight is 0 without asking (40*ln 2 = 27.73). */
#define Z_ZERO (-28.0)

/* Weights of ids that were listed: n of them, at most a block. Writes ids and weights of those with w > 0
 * behind the first `kept`, returns how many there are now. */
static int32_t weigh(const vb_law *l, const int32_t *ids, const double *x, int n, double max,
                     const vb_dist_space *space, int32_t kept) {
    double z[BLOCK];
    uint64_t w[BLOCK];
    int32_t id[BLOCK];
    int m = 0;
    for (int i = 0; i < n; i++) {
        const double zi = (x[i] - max) / l->s.temperature;
        if (!(zi >= Z_ZERO)) continue;
        z[m] = zi;
        id[m++] = ids[i];
    }
    if (m) l->exp_weights(z, m, w);
    for (int j = 0; j < m; j++) {
        if (w[j] == 0) continue;
        space->id[kept] = id[j];
        space->w[kept++] = w[j];
    }
    return kept;
}

/* The same for a block of which every id may be chosen, at its logit: no question is asked of a single id,
 * and z below Z_ZERO gives w = 0 by itself. */
static int32_t weigh_block(const vb_law *l, const float *logits, int32_t first, double max,
                           const vb_dist_space *space, int32_t kept) {
    double z[BLOCK];
    uint64_t w[BLOCK];
    const double temperature = l->s.temperature;
    for (int i = 0; i < BLOCK; i++) z[i] = ((double)logits[first + i] - max) / temperature;
    l->exp_weights(z, BLOCK, w);
    if (space->capacity - kept < BLOCK) { /* no room for ids that are written and not counted */
        for (int i = 0; i < BLOCK; i++) {
            if (w[i] == 0) continue;
            space->id[kept] = first + i;
            space->w[kept++] = w[i];
        }
        return kept;
    }
    for (int i = 0; i < BLOCK; i++) {
        space->id[kept] = first + i;
        space->w[kept] = w[i];
        kept += w[i] != 0;
    }
    return kept;
}

/* Weights of ids[0..n); ids == NULL: of all below n that may be chosen. Returns how many are not 0. A block
 * is passed by if its largest x is further from the maximum than where weights end, by one T more than that:
 * z >= -28 means max - x <= 28*T, and the rounding of max - 29*T is less than T, or than the distance of max
 * to the next number. */
static int32_t weights(const vb_law *l, const float *logits, const int32_t *ids, int32_t n, double max,
                       const vb_dist_space *space) {
    const double reach = max + (Z_ZERO - 1) * l->s.temperature;
    double x[BLOCK];
    int32_t some[BLOCK], kept = 0;
    for (int32_t first = 0; first < n; first += BLOCK) {
        int m = n - first < BLOCK ? n - first : BLOCK;
        const int32_t *list = ids ? ids + first : some;
        if (!ids) {
            const bool changed = isinf(l->top[first / BLOCK]);
            if (!changed && (double)l->top[first / BLOCK] < reach) continue;
            m = ids_of(l, first / BLOCK, n, some);
            if (m == BLOCK && !changed) {
                kept = weigh_block(l, logits, first, max, space, kept);
                continue;
            }
        }
        for (int i = 0; i < m; i++) x[i] = value(l, logits, list[i]);
        kept = weigh(l, list, x, m, max, space, kept);
    }
    return kept;
}

static uint64_t total_weight(const uint64_t *w, int32_t n) {
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += w[i];
    return sum;
}

/* Ids with w >= least; returns how many. */
static int32_t keep_from(const vb_dist_space *d, int32_t n, uint64_t least) {
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
static int32_t keep_top_p(const vb_law *l, const vb_dist_space *d, int32_t n) {
    uint64_t total = total_weight(d->w, n);
    /* cum*2^32 >= P*W  <=>  cum >= ceil(P*W / 2^32); P < 2^32, so this is at most W */
    uint64_t need = (uint64_t)(((vb_u128)l->top_p * total + 0xffffffffu) >> 32);
    if (need == 0) need = 1;

    /* Ids below this weight sum up to less than W - need, so the prefix is full before the first of them. */
    const uint64_t least = n ? (total - need) / (uint64_t)n : 0;
    n = keep_from(d, n, least);

    uint64_t t = 0, above = 0; /* digits of t found so far; sum of the weights beyond every candidate for t */
    for (int shift = 30, width = 11; shift >= 0; shift -= 10, width = 10) {
        const uint64_t mask = ((uint64_t)1 << width) - 1;
        memset(l->bucket, 0, BUCKETS * sizeof *l->bucket);
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

/* ---------------------------------------------------------------------- all together */

int vb_law_distribution(vb_law *l, const float *logits, int32_t limit, const int32_t *prefix, size_t n_prefix,
                        const vb_dist_space *space, vb_dist *out, vb_error *err) {
    int rc = survey(l, logits, limit, err);
    if (rc || (l->mask && (rc = ask_mask(l, prefix, n_prefix, err)))) return rc;
    if (l->mask && limit > l->mask->n_vocab) limit = l->mask->n_vocab;
    apply_adjustments(l, logits, limit, prefix, n_prefix);

    const bool greedy = l->s.temperature == 0;
    const bool cut = !greedy && l->s.top_k > 0 && l->s.top_k < limit;
    double max;
    const int32_t n = cut ? select_top_k(l, logits, limit) : limit, best = best_of(l, logits, limit, &max);
    int32_t kept = 0;
    if (greedy && best >= 0) {
        space->id[0] = best;
        space->w[0] = 1;
        kept = 1;
    } else if (best >= 0) {
        kept = weights(l, logits, cut ? l->heap : NULL, n, max, space);
        if (l->s.top_p < 1) kept = keep_top_p(l, space, kept);
        if (l->min_p > 0)
            kept = keep_from(space, kept, l->min_p << (VB_LAW_BITS - 32)); /* w*2^32 >= M*2^40 */
    }
    forget_adjustments(l);
    *out = (vb_dist){.n = kept, .id = space->id, .w = space->w, .total = total_weight(space->w, kept)};
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
    int rc = ask_mask(l, prefix, n_prefix, err);
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
