/* accept.c - the acceptance rules. Read vb_rule_rejection first: it is algorithm 1 of Leviathan et al.
 * line by line, a loop over the drafts that stops where r < p/q fails. vb_rule_coupled is shorter and
 * walks a tree by the race (race.h); vb_rule_block is the longest, and its comment has the proof's idea. */
#include "sampling/accept.h"

#include "base/ids.h"

#include "sampling/distribution.h"

#include <string.h>

/* Notation: p = w/W and q = v/V, integers over integers. Bounds, with at most 2^20 ids:
 *
 *   w, v <= 2^40, W, V <= 2^60                          (distribution.h)
 *   block: v <= V = 2^34 (VB_BLOCK_Q), P <= ONE = 2^32
 *
 * so that every product and sum below stays under 2^127. */

/* ---------------------------------------------------------------------- coins */

static bool below(const vb_verify *v, uint32_t offset, vb_u128 threshold, vb_u128 bound, vb_drafted *d) {
    /* No coin where the outcome is certain. The first case includes 0 of 0: see vb_rule_block. */
    if (threshold >= bound) return true;
    if (threshold == 0) return false;
    const vb_coin_key key = {v->position, offset, VB_PURPOSE_ACCEPT};
    d->has_coin = true;
    return v->coins->below(v->coins->self, key, threshold, bound, &d->coin);
}

static void draw_final(vb_verify *v, uint32_t purpose, const vb_dist *p, const vb_weights *w) {
    const vb_coin_key key = {v->position, (uint32_t)v->n_accepted, purpose};
    v->final = p->id[v->coins->pick(v->coins->self, key, w, &v->final_coin)];
    v->has_final_coin = true;
}

static vb_u128 dist_at(void *arg, int32_t i) {
    const vb_residual *walk = arg;
    return walk->p->w[i];
}

void vb_dist_weights(vb_residual *walk, const vb_dist *p, vb_weights *out) {
    *walk = (vb_residual){.p = p};
    *out = (vb_weights){p->n, p->total, dist_at, walk};
}

/* The law after draft i - 1, the last one that is kept. Where a mask lets nothing follow what was
 * accepted, the step ends with that, and the next one says so: the text is that of the target alone up to
 * there. *p = NULL then. */
static int law_after_kept(vb_verify *v, int i, const vb_dist **p, vb_error *err) {
    int rc = v->p(v->arg, i, p, err);
    if (rc != VB_ERR_MASK || v->n_accepted == 0) return rc;
    vb_begin(err);
    *p = NULL;
    return VB_OK;
}

/* The token after a whole draft that was accepted: a plain draw from p. */
static int draw_bonus(vb_verify *v, vb_error *err) {
    const vb_dist *p;
    int rc = law_after_kept(v, v->n, &p, err);
    if (rc || !p) return rc;
    vb_residual walk;
    vb_weights w;
    vb_dist_weights(&walk, p, &w);
    draw_final(v, VB_PURPOSE_BONUS, p, &w);
    return VB_OK;
}

static void start(vb_verify *v) {
    v->n_accepted = 0;
    v->final = -1;
    v->has_final_coin = false;
}

/* ---------------------------------------------------------------------- coupled, greedy */

/* The target's own choice y, made with noise that the drafts had no influence on. A draft is accepted iff it
 * is y; y is emitted either way. So the output is that of the target alone, whoever drafted (P2).
 *
 * On a tree the walk follows y: from a draft (at first the path) to the child that is y. */
int vb_rule_coupled(vb_verify *v, vb_error *err) {
    start(v);
    for (int at = -1, next;; at = next) {
        const vb_dist *p;
        if (at >= 0 && v->ends[at]) return VB_OK;
        int rc = law_after_kept(v, at + 1, &p, err);
        if (rc || !p) return rc;
        const int32_t y = v->coins->race(v->coins->self, p, v->position + (uint32_t)v->n_accepted);
        next = -1;
        for (int i = at + 1; i < v->n; i++) {
            vb_drafted *d = &v->drafted[i];
            if (d->parent != at) continue;
            d->tested = true;
            d->accepted = next < 0 && v->draft[i] == y;
            if (d->accepted) next = i;
        }
        if (next < 0) {
            v->final = y;
            return VB_OK;
        }
        v->kept[v->n_accepted++] = next;
    }
}

/* ---------------------------------------------------------------------- rejection */

static uint64_t matching(vb_residual *walk, int32_t i) {
    if (i == 0) walk->j = 0;
    const vb_dist *q = walk->q;
    while (walk->j < q->n && q->id[walk->j] < walk->p->id[i]) walk->j++;
    return walk->j < q->n && q->id[walk->j] == walk->p->id[i] ? q->w[walk->j] : 0;
}

/* max(0, w*V - v*W), proportional to max(0, p - q); the sum is at most W*V <= 2^120 */
static vb_u128 rejection_at(void *arg, int32_t i) {
    vb_residual *walk = arg;
    const vb_u128 a = (vb_u128)walk->p->w[i] * walk->q->total;
    const vb_u128 b = (vb_u128)matching(walk, i) * walk->p->total;
    return a > b ? a - b : 0;
}

static void sum_up(vb_weights *w) {
    w->total = 0;
    for (int32_t i = 0; i < w->n; i++) w->total += w->at(w->arg, i);
}

void vb_rejection_residual(vb_residual *walk, const vb_dist *p, const vb_dist *q, vb_weights *out) {
    *walk = (vb_residual){p, q, 0, 0};
    *out = (vb_weights){p->n, 0, rejection_at, walk};
    sum_up(out);
}

/* ---------------------------------------------------------------------- rejection on trees */

/* What is left of p while the siblings at a node are rejected one after the other: w(y) over p's ids, sum
 * R. */
typedef struct remains {
    const vb_dist *p;
    uint64_t *w, total;
} remains;

/* All weights times a power of two, so that 2^61 <= R < 2^62: it changes no probability, and what rounding
 * takes below is then next to nothing. */
static void raise(remains *r) {
    int shift = 0;
    while (r->total && r->total << shift < (uint64_t)1 << 61) shift++;
    for (int32_t i = 0; i < r->p->n && shift; i++) r->w[i] <<= shift;
    r->total <<= shift;
}

/* m(y) = min(w(y), floor(q(y)*R)): so much of y's weight goes to the draft y. R < 2^62, V <= 2^60. */
static uint64_t share_of(const remains *r, int32_t i, uint64_t v, uint64_t V) {
    const vb_u128 most = (vb_u128)v * r->total;
    return (vb_u128)r->w[i] * V <= most ? r->w[i] : (uint64_t)(most / V);
}

static void take_shares(remains *r, const vb_dist *q) {
    vb_residual walk = {.p = r->p, .q = q};
    uint64_t left = 0;
    for (int32_t i = 0; i < r->p->n; i++) {
        r->w[i] -= share_of(r, i, matching(&walk, i), q->total);
        left += r->w[i];
    }
    r->total = left;
    raise(r);
}

static vb_u128 remains_at(void *arg, int32_t i) {
    const remains *r = arg;
    return r->w[i];
}

/* Accepted with probability m(x)/(q(x)*R), both sides of the comparison at most 2^122. */
static bool judge_sibling(const vb_verify *v, int i, const remains *r) {
    const vb_dist *q = &v->q[i];
    const int32_t at = vb_id_place(r->p->id, r->p->n, v->draft[i]);
    const uint64_t x = vb_dist_weight(q, v->draft[i]);
    const vb_u128 threshold = at < 0 ? 0 : (vb_u128)share_of(r, at, x, q->total) * q->total;
    v->drafted[i].tested = true;
    v->drafted[i].accepted = below(v, (uint32_t)i, threshold, (vb_u128)x * r->total, &v->drafted[i]);
    return v->drafted[i].accepted;
}

/* At a node the siblings are judged in the order in which they were drawn, each against what is left of p:
 *
 *   accept x with probability m(x)/(q(x)*R), else w(y) = w(y) - m(y) for all y, R their sum
 *
 * where q is what x was drawn from: the drafter's law without the siblings before it. Given those, the token
 * is y because the draft was y and accepted with probability q(y) * m(y)/(q(y)*R) = m(y)/R, and otherwise
 * what is left has the weights w(y) - m(y): in all w(y)/R, whatever m <= min(w, q*R) is. So rounding m down
 * is exact, and the weights stay integers of 62 bits however many siblings there are. After a sibling that is
 * accepted its own children are judged, with p anew; after none the token comes from what is left. */
static int rejection_on_tree(vb_verify *v, vb_error *err) {
    start(v);
    for (int at = -1, next;; at = next) {
        const vb_dist *p;
        bool leaf = true;
        int rc;
        if (at >= 0 && v->ends[at]) return VB_OK;
        if ((rc = law_after_kept(v, at + 1, &p, err)) || !p) return rc;
        remains r = {p, v->rest, p->total};
        memcpy(r.w, p->w, (size_t)p->n * sizeof *r.w);
        raise(&r);
        next = -1;
        for (int i = at + 1; i < v->n && next < 0; i++) {
            if (v->drafted[i].parent != at) continue;
            leaf = false;
            if (judge_sibling(v, i, &r))
                next = i;
            else
                take_shares(&r, &v->q[i]);
        }
        if (next < 0) {
            const vb_weights w = {p->n, r.total, remains_at, &r};
            draw_final(v, leaf ? VB_PURPOSE_BONUS : VB_PURPOSE_RESIDUAL, p, &w);
            return VB_OK;
        }
        v->kept[v->n_accepted++] = next;
    }
}

/* Accept x with probability min(1, p(x)/q(x)): r < w_x*V, r uniform in [0, v_x*W); both at most 2^100. A
 * rejection has p(x) < q(x), so some other id has p > q and the residual is not empty. */
int vb_rule_rejection(vb_verify *v, vb_error *err) {
    if (v->tree) return rejection_on_tree(v, err);
    start(v);
    for (int i = 0; i < v->n; i++) {
        const vb_dist *p, *q = &v->q[i];
        int rc = v->p(v->arg, i, &p, err);
        if (rc) return rc;
        vb_drafted *d = &v->drafted[i];
        const vb_u128 threshold = (vb_u128)vb_dist_weight(p, v->draft[i]) * q->total;
        const vb_u128 bound = (vb_u128)vb_dist_weight(q, v->draft[i]) * p->total;
        d->tested = true;
        d->accepted = below(v, (uint32_t)i, threshold, bound, d);
        if (!d->accepted) {
            vb_residual walk;
            vb_weights r;
            vb_rejection_residual(&walk, p, q, &r);
            draw_final(v, VB_PURPOSE_RESIDUAL, p, &r);
            return VB_OK;
        }
        v->kept[v->n_accepted++] = i;
    }
    return vb_chain_ends(v) ? VB_OK : draw_bonus(v, err);
}

/* ---------------------------------------------------------------------- block */

uint64_t vb_block_next(uint64_t P, uint64_t w, const vb_dist *p, uint64_t v) {
    /* P*p/q = P*w*2^34 / (v*W): numerator at most 2^106, denominator at most 2^94 */
    const vb_u128 num = ((vb_u128)P * w) << VB_BLOCK_Q_BITS;
    const vb_u128 den = (vb_u128)v * p->total;
    if (v == 0 || num >= den * VB_BLOCK_ONE) return VB_BLOCK_ONE;
    return (uint64_t)(num / den);
}

/* R(y) = P*p(y) - q(y)*P'(y), P' as above, in units of 1/(ONE*W*V):  P*w*V - v*W*P'.  Never negative, because
 * P' is rounded down; the sum is at most P*W*V <= 2^126. */
static vb_u128 block_at(void *arg, int32_t i) {
    vb_residual *walk = arg;
    const uint64_t v = matching(walk, i), w = walk->p->w[i];
    const vb_u128 num = ((vb_u128)walk->P * w) << VB_BLOCK_Q_BITS;
    const vb_u128 den = (vb_u128)v * walk->p->total;
    if (v == 0) return num;
    if (num >= den * VB_BLOCK_ONE) return num - den * VB_BLOCK_ONE;
    return num % den; /* num - den*floor(num/den) */
}

void vb_block_residual(vb_residual *walk, const vb_dist *p, const vb_dist *q, uint64_t P, vb_weights *out) {
    *walk = (vb_residual){p, q, P, 0};
    *out = (vb_weights){p->n, 0, block_at, walk};
    sum_up(out);
}

/* Block verification. P_0 = 1, P_{i+1} = min(1, P_i*p(x_{i+1})/q(x_{i+1})) rounded down to a multiple of
 * 1/ONE. Each place i + 1 is accepted or not on its own, with probability
 *
 *   h = S/(S + 1 - P),  S = sum of R(y) over the NEXT token's law;  after the last draft h = P
 *
 * and tau is the last place accepted: a failure does not end the loop. The token after tau comes from R with
 * P_tau. Exactness (docs/speculation.md): Pr[tau >= i | x] = P_i, and R is defined by the rounded P, so
 * whatever is lost by rounding down goes to the residual. h = 0/0 happens only where P = 1 and the next place
 * is accepted for sure (S = 0); its outcome then does not matter.
 *
 * Why q has the total 2^34 and ONE is 2^32: S + 1 - P in units of 1/(ONE*W*V) is at most
 * 2^(32 + 60 + 34) = 2^126. p = w/W is used as it is; q may be any law as long as it is the one that the
 * tokens were drawn from. */
int vb_rule_block(vb_verify *v, vb_error *err) {
    uint64_t P = VB_BLOCK_ONE, P_tau = P;
    const vb_dist *p = NULL, *p_tau = NULL;
    int rc, tau = 0;

    start(v);
    if (v->n == 0) return draw_bonus(v, err);
    if ((rc = v->p(v->arg, 0, &p_tau, err))) return rc;
    p = p_tau;
    for (int i = 0; i < v->n && P > 0; i++) {
        const int32_t x = v->draft[i];
        vb_u128 threshold, bound;
        P = vb_block_next(P, vb_dist_weight(p, x), p, vb_dist_weight(&v->q[i], x));
        if (i + 1 < v->n) {
            vb_residual walk;
            vb_weights r;
            if ((rc = v->p(v->arg, i + 1, &p, err))) return rc;
            vb_block_residual(&walk, p, &v->q[i + 1], P, &r);
            threshold = r.total;
            bound = r.total + (((vb_u128)(VB_BLOCK_ONE - P) * p->total) << VB_BLOCK_Q_BITS);
        } else {
            threshold = P;
            bound = VB_BLOCK_ONE;
        }
        if (below(v, (uint32_t)i, threshold, bound, &v->drafted[i])) {
            tau = i + 1;
            P_tau = P;
            p_tau = p;
        }
    }
    for (int i = 0; i < v->n; i++) {
        v->drafted[i].tested = i <= tau;
        v->drafted[i].accepted = i < tau;
        v->kept[i] = i;
    }
    v->n_accepted = tau;
    if (tau == v->n) return vb_chain_ends(v) ? VB_OK : draw_bonus(v, err);

    vb_residual walk;
    vb_weights r;
    vb_block_residual(&walk, p_tau, &v->q[tau], P_tau, &r);
    draw_final(v, VB_PURPOSE_RESIDUAL, p_tau, &r);
    return VB_OK;
}
