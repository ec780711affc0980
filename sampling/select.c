/* select.c - one look at all logits, and the best of them: top-k by a heap. */
#include "sampling/law_parts.h"

#include <math.h>
#include <string.h>

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
int vb_law_survey(vb_law *l, const float *logits, int32_t n, vb_error *err) {
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
int vb_law_ids(const vb_law *l, int32_t block, int32_t limit, int32_t ids[BLOCK]) {
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
    double x = vb_law_value(l, logits, a), y = vb_law_value(l, logits, b);
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
int32_t vb_law_select_top_k(vb_law *l, const float *logits, int32_t limit) {
    const int32_t k = l->s.top_k;
    int32_t n = 0, ids[BLOCK];
    double floor_x = -INFINITY;
    for (int32_t block = 0; block * BLOCK < limit; block++) {
        if (!((double)l->top[block] > floor_x)) continue;
        const int m = vb_law_ids(l, block, limit, ids);
        for (int i = 0; i < m; i++) {
            const double x = vb_law_value(l, logits, ids[i]);
            if (!(x > floor_x)) continue;
            if (n < k) {
                l->heap[n++] = ids[i];
                if (n < k) continue;
                for (int32_t j = k / 2; j-- > 0;) sift_worst(l, logits, j, k);
            } else {
                l->heap[0] = ids[i];
                sift_worst(l, logits, 0, k);
            }
            floor_x = vb_law_value(l, logits, l->heap[0]);
        }
    }
    sort_ids(l->heap, n);
    return n;
}

/* The id with the largest x, the lowest among equals; -1: all are banned. *max: its x. */
int32_t vb_law_best(const vb_law *l, const float *logits, int32_t limit, double *max) {
    int32_t best = -1, ids[BLOCK];
    *max = -INFINITY;
    for (int32_t block = 0; block * BLOCK < limit; block++) {
        if (!((double)l->top[block] > *max)) continue;
        const int m = vb_law_ids(l, block, limit, ids);
        for (int i = 0; i < m; i++) {
            const double x = vb_law_value(l, logits, ids[i]);
            if (x > *max) *max = x, best = ids[i];
        }
    }
    return best;
}
