/* adjust.c - ids whose x is not their logit: mask, bias, penalties, DRY (distribution.h). */
#include "sampling/law_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool vb_law_has_penalties(const vb_sampling *s) {
    return s->penalty_last_n != 0 &&
           (s->repeat_penalty != 1 || s->presence_penalty != 0 || s->frequency_penalty != 0);
}

int vb_law_ask_mask(vb_law *l, const int32_t *prefix, size_t n_prefix, vb_error *err) {
    const size_t start = l->start < n_prefix ? l->start : n_prefix;
    return l->mask->at(l->mask->self, prefix + start, n_prefix - start, l->allowed, err);
}

bool vb_law_has_dry(const vb_sampling *s) {
    return s->dry_multiplier > 0 && s->dry_last_n != 0;
}

static adjusted *adjust(vb_law *l, const float *logits, int32_t id) {
    if (l->slot[id] == 0) {
        l->adj[l->n_adj] = (adjusted){id, (double)logits[id]};
        l->seen[l->n_adj] = 0;
        if (l->repeat) l->repeat[l->n_adj] = 0;
        l->slot[id] = (int32_t)++l->n_adj;
        l->top[id / BLOCK] = INFINITY; /* nothing is known of the block */
    }
    return &l->adj[l->slot[id] - 1];
}

static void penalise(vb_law *l, const float *logits, int32_t limit, const int32_t *prefix, size_t n_prefix) {
    const vb_sampling *s = &l->s;
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

/* ---------------------------------------------------------------------- DRY */

static bool breaks(const vb_law *l, int32_t id) {
    for (size_t i = 0; i < l->s.n_dry_breakers; i++)
        if (l->breakers[i] == id) return true;
    return false;
}

static int reserve_z(vb_law *l, size_t n, vb_error *err) {
    if (n <= l->z_capacity) return VB_OK;
    const size_t more = n < 512 ? 1024 : 2 * n;
    int32_t *z = realloc(l->z, more * sizeof *z);
    if (!z) return vb_fail(err, VB_ERR_MEMORY, "out of memory for repeats in %zu tokens (DRY)", n);
    l->z = z;
    l->z_capacity = more;
    return VB_OK;
}

/* z[k]: how many tokens of the window's end stand, in the same order, before its last k tokens. That is
 * the Z function of the window read backwards [Gusfield 1997], in n steps. */
static void repeats(const int32_t *end, int32_t n, int32_t *z) {
    int32_t left = 0, right = 0; /* [left, right) is the match that reaches furthest */
    for (int32_t k = 1; k < n; k++) {
        int32_t len = 0;
        if (k < right) len = z[k - left] < right - k ? z[k - left] : right - k;
        while (k + len < n && end[-1 - len] == end[-1 - k - len]) len++;
        z[k] = len;
        if (k + len > right) left = k, right = k + len;
    }
}

/* base^e, by multiplication from 1 on; 10^30 at most. */
static double power(double base, int32_t e) {
    double r = 1;
    for (; e > 0 && r < 1e30 && base > 1; e--) r = r * base;
    return r < 1e30 ? r : 1e30;
}

static int apply_dry(vb_law *l, const float *logits, int32_t limit, const int32_t *prefix, size_t n_prefix,
                     vb_error *err) {
    const vb_sampling *s = &l->s;
    size_t n = n_prefix;
    if (s->dry_last_n > 0 && n > (size_t)s->dry_last_n) n = (size_t)s->dry_last_n;
    if (n > INT32_MAX) n = INT32_MAX;
    const int rc = reserve_z(l, n, err);
    if (rc) return rc;
    const int32_t *end = prefix + n_prefix;
    int32_t most = 0; /* tokens behind the last breaker: a repeat is no longer */
    while (most < (int32_t)n && !breaks(l, end[-1 - most])) most++;
    repeats(end, (int32_t)n, l->z);
    for (int32_t k = 1; k < (int32_t)n; k++) {
        const int32_t id = end[-k], len = l->z[k] < most ? l->z[k] : most;
        if (len < s->dry_allowed_length || id < 0 || id >= limit || breaks(l, id)) continue;
        adjust(l, logits, id);
        int32_t *longest = &l->repeat[l->slot[id] - 1];
        if (*longest < len) *longest = len;
    }
    for (size_t j = 0; j < l->n_adj; j++)
        if (l->repeat[j])
            l->adj[j].x =
                l->adj[j].x - s->dry_multiplier * power(s->dry_base, l->repeat[j] - s->dry_allowed_length);
    return VB_OK;
}

int vb_law_adjust(vb_law *l, const float *logits, int32_t limit, const int32_t *prefix, size_t n_prefix,
                  vb_error *err) {
    const vb_sampling *s = &l->s;
    for (size_t i = 0; i < s->n_bias; i++)
        if (s->bias[i].id < limit) adjust(l, logits, s->bias[i].id)->x += (double)s->bias[i].bias;
    if (vb_law_has_penalties(s)) penalise(l, logits, limit, prefix, n_prefix);
    return vb_law_has_dry(s) ? apply_dry(l, logits, limit, prefix, n_prefix, err) : VB_OK;
}

void vb_law_forget_adjustments(vb_law *l) {
    for (size_t j = 0; j < l->n_adj; j++) l->slot[l->adj[j].id] = 0;
    l->n_adj = 0;
}

/* x_i as the header defines it. */
