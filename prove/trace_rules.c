/* trace_rules.c - the drafts and the rules once more, from docs/speculation.md. */
#include "prove/trace_parts.h"

#include <stdlib.h>

static bool races(const checker *c) {
    return is(c->rule, "coupled") || is(c->rule, "greedy");
}

/* The ids of the siblings that were drafted before draft i; *first: the first of them. */
static int siblings_before(const step *s, int i, int32_t *ids, int *first) {
    int n = 0;
    *first = i;
    for (int k = i; k-- > 0;)
        if (s->parent[k] == s->parent[i]) ids[n++] = s->id[k], *first = k;
    return n;
}

/* The law of a sibling is the first one's, under rejection without those before it. */
static bool same_law(checker *c, int i, int first, const int32_t *before, int n) {
    const law *q = &c->q[i], *whole = &c->q[first];
    wide left = whole->total;
    for (int k = 0; k < n && !races(c); k++) left -= vb_tc_weight(whole, before[k]);
    if (q->total != left) FAIL("draft %d: its law is not what the siblings before it leave", i);
    for (int k = 0; k < q->n; k++)
        if (q->w[k] != vb_tc_weight(whole, q->id[k])) FAIL("draft %d: its law is not its siblings'", i);
    return true;
}

/* A tree begins behind what is certain: forced text, copies. */
static bool in_shape(checker *c, int i, int n_before) {
    const step *s = &c->s;
    int head = 0;
    while (head < s->n && (s->forced[head] || s->copied[head])) head++;
    const int depth = vb_tc_depth(s, i) - head;
    if (i < head ? s->parent[i] != i - 1
                 : depth < 1 || depth >= MAX_DRAFTS || n_before >= c->shape[depth - 1])
        FAIL("draft %d is not where the tree's shape has one", i);
    return true;
}

bool vb_tc_drafts(checker *c) {
    const step *s = &c->s;
    for (int i = 0; i < s->n; i++) {
        const json_t *draw = json_object_get(json_array_get(s->drafted, (size_t)i), "draw");
        const law *p = &c->p[s->parent[i] + 1], *q = &c->q[i];
        int32_t siblings[MAX_DRAFTS];
        int first;
        const int n_before = siblings_before(s, i, siblings, &first);
        wide r;
        c->r->drafted++;
        for (int k = 0; k < n_before; k++)
            if (siblings[k] == s->id[i]) FAIL("draft %d is there twice", i);
        if (c->trees && c->shape[0] && !in_shape(c, i, n_before)) return false;
        if (i && s->parent[i] < s->parent[i - 1])
            FAIL("draft %d: drafts stand in another order than parents", i);
        if (n_before && c->r->full && c->temperature > 0 && !same_law(c, i, first, siblings, n_before))
            return false;
        if (s->has_p[i] && p->there && (s->p[i][0] != vb_tc_weight(p, s->id[i]) || s->p[i][1] != p->total))
            FAIL("draft %d: p is not what its law says", i);
        if (c->r->full && (s->q[i][0] != vb_tc_weight(q, s->id[i]) || s->q[i][1] != q->total))
            FAIL("draft %d: q is not what its law says", i);
        if (s->q[i][0] == 0) FAIL("draft %d has probability 0", i);
        const bool certain = s->forced[i] || s->copied[i] || is(c->draft, "ngram") || c->through_text;
        if (certain) {
            if (s->q[i][0] != s->q[i][1]) FAIL("draft %d: its law is not one-hot", i);
        } else if (is(c->draft, "forced") || is(c->draft, "suffix")) {
            FAIL("draft %d is neither forced nor a copy", i);
        } else if (races(c)) {
            const json_int_t position = s->position + vb_tc_depth(s, s->parent[i]);
            if (c->r->full && vb_tc_race(c, q, position, siblings, n_before) != s->id[i])
                FAIL("draft %d does not win the race on q", i);
        } else {
            if (!vb_tc_coin(c, draw, i, 1, s->q[i][1], &r)) return false;
            if (c->r->full && vb_tc_pick(q->id, q->w, q->n, r) != s->id[i])
                FAIL("draft %d is not what its coin draws", i);
            c->r->draws += c->r->full;
        }
        if (draw && (certain || races(c))) FAIL("draft %d has a coin and needs none", i);
    }
    return true;
}

/* Probability threshold/bound; a coin only where that is open. */
static bool decide(checker *c, int i, wide threshold, wide bound, bool *yes) {
    const json_t *coin = json_object_get(json_array_get(c->s.drafted, (size_t)i), "coin");
    wide r;
    *yes = threshold >= bound;
    if (threshold >= bound || threshold == 0) {
        if (coin) FAIL("draft %d: a coin for what is certain", i);
        return true;
    }
    if (!vb_tc_coin(c, coin, i, 2, bound, &r)) return false;
    *yes = r < threshold;
    c->r->decisions++;
    return true;
}

/* The token after the accepted ones, from the weights w over p's ids (NULL: not known, the coin alone). */
static bool check_final(checker *c, int purpose, const law *p, const wide *w) {
    wide total = 0, r;
    int32_t id;
    for (int i = 0; w && i < p->n; i++) total += w[i];
    if (w && total == 0) FAIL("the last token comes from an empty residual");
    if (!vb_tc_coin(c, c->s.final, c->s.accepted, purpose, total, &r)) return false;
    if (!w) return true;
    if (!vb_tc_id(c, json_object_get(json_array_get(c->s.emitted, (size_t)c->s.accepted), "id"), &id))
        return false;
    if (id != vb_tc_pick(p->id, w, p->n, r)) FAIL("the last token is not what its coin draws");
    c->r->finals++;
    return true;
}

bool vb_tc_coupled(checker *c) {
    const step *s = &c->s;
    if (s->final) FAIL("a coin for the last token of a race");
    for (int i = 0; i <= s->accepted; i++) {
        const int at = vb_tc_last(s, i);
        int32_t id;
        if (i == s->accepted && s->ends) break;
        if (!c->r->full) continue;
        if (!c->p[at + 1].there) FAIL("the law of place %d is missing", i);
        if (!vb_tc_id(c, json_object_get(json_array_get(s->emitted, (size_t)i), "id"), &id)) return false;
        if (vb_tc_race(c, &c->p[at + 1], s->position + i, NULL, 0) != id)
            FAIL("token %d does not win the race", i);
        for (int k = at + 1; k < s->n; k++)
            if (s->parent[k] == at && (id == s->id[k]) != (i < s->accepted && s->kept[i] == k))
                FAIL("draft %d was judged otherwise", k);
    }
    return true;
}

static bool room(checker *c, int n) {
    if (n <= c->w_room) return true;
    free(c->w);
    c->w = malloc((size_t)n * sizeof *c->w);
    c->w_room = c->w ? n : 0;
    if (!c->w) FAIL("out of memory");
    return true;
}

/* What is left of p between siblings: c->w over p's ids, *total their sum, raised to [2^61, 2^62). */
static void raise(checker *c, int n, wide *total) {
    wide factor = 1;
    while (*total && *total * factor < (wide)1 << 61) factor *= 2;
    for (int k = 0; k < n; k++) c->w[k] *= factor;
    *total *= factor;
}

/* m(y) = min(w, floor(v*R/V)) */
static wide share_of(wide w, wide total, wide v, wide V) {
    const wide most = v * total / V;
    return w < most ? w : most;
}

/* The children of draft `at` in their order, until one is accepted (*next, else -1). */
static bool judge_siblings(checker *c, int at, int *next) {
    const step *s = &c->s;
    const law *p = &c->p[at + 1];
    wide total = p->total;
    if (!p->there) FAIL("the law behind draft %d is missing", at);
    if (!room(c, p->n)) return false;
    memcpy(c->w, p->w, (size_t)p->n * sizeof *c->w);
    raise(c, p->n, &total);
    *next = -1;
    for (int i = at + 1; i < s->n && *next < 0; i++) {
        const law *q = &c->q[i];
        wide share = 0, left = 0;
        bool yes;
        if (s->parent[i] != at) continue;
        for (int k = 0; k < p->n; k++)
            if (p->id[k] == s->id[i]) share = share_of(c->w[k], total, s->q[i][0], q->total);
        if (!decide(c, i, share * q->total, s->q[i][0] * total, &yes)) return false;
        if (yes) *next = i;
        for (int k = 0; k < p->n && !yes; k++) {
            c->w[k] -= share_of(c->w[k], total, vb_tc_weight(q, p->id[k]), q->total);
            left += c->w[k];
        }
        if (!yes) raise(c, p->n, (total = left, &total));
    }
    return true;
}

/* At each node the siblings one after the other, each against what those before it have left of p. */
static bool rejection_on_tree(checker *c) {
    const step *s = &c->s;
    if (!c->r->full)
        return s->ends || check_final(c, vb_tc_leaf(s, vb_tc_last(s, s->accepted)) ? 4 : 3, NULL, NULL);
    for (int i = 0;; i++) {
        const int at = vb_tc_last(s, i);
        int next;
        if (i == s->accepted && s->ends) return true;
        if (!judge_siblings(c, at, &next)) return false;
        if (next != (i < s->accepted ? s->kept[i] : -1))
            FAIL("a draft behind draft %d was judged otherwise", at);
        if (next < 0) return check_final(c, vb_tc_leaf(s, at) ? 4 : 3, &c->p[at + 1], c->w);
    }
}

/* accept iff r < w*V for r in [0, v*W); otherwise a draw from max(0, w*V - v*W) */
bool vb_tc_rejection(checker *c) {
    const step *s = &c->s;
    const bool full = c->r->full;
    if (c->trees) return rejection_on_tree(c);
    for (int i = 0; i < s->n; i++) {
        const law *p = &c->p[i], *q = &c->q[i];
        bool yes;
        if (!s->has_p[i] || (full && !p->there)) FAIL("draft %d was not looked at", i);
        if (!decide(c, i, s->p[i][0] * s->q[i][1], s->q[i][0] * s->p[i][1], &yes)) return false;
        if (yes != (i < s->accepted)) FAIL("draft %d was judged otherwise", i);
        if (yes) continue;
        if (!full) return check_final(c, 3, p, NULL);
        if (!room(c, p->n)) return false;
        for (int k = 0; k < p->n; k++) {
            const wide a = p->w[k] * q->total, b = vb_tc_weight(q, p->id[k]) * p->total;
            c->w[k] = a > b ? a - b : 0;
        }
        return check_final(c, 3, p, c->w);
    }
    if (s->ends) return true;
    if (full && !c->p[s->n].there) FAIL("the law of the bonus token is missing");
    return check_final(c, 4, &c->p[s->n], full ? c->p[s->n].w : NULL);
}

static const wide ONE = (wide)1 << 32, GRID = (wide)1 << 34;

/* P' = min(1, floor(P*p/q)) in units of 1/ONE */
static wide next_p(wide P, wide w, wide W, wide v) {
    if (v == 0) return ONE;
    const wide x = P * w * GRID / (v * W);
    return x < ONE ? x : ONE;
}

/* R(y) = P*w*V - v*W*P' */
static bool residual(checker *c, int place, wide P, wide *sum) {
    const law *p = &c->p[place], *q = &c->q[place];
    if (!p->there) FAIL("the law of place %d is missing", place);
    if (!room(c, p->n)) return false;
    *sum = 0;
    for (int k = 0; k < p->n; k++) {
        const wide v = vb_tc_weight(q, p->id[k]);
        c->w[k] = P * p->w[k] * GRID - v * p->total * next_p(P, p->w[k], p->total, v);
        *sum += c->w[k];
    }
    return true;
}

bool vb_tc_block(checker *c) {
    const step *s = &c->s;
    wide P = ONE, P_tau = ONE, r, sum;
    int tau = 0;
    for (int i = 0; i < s->n && P; i++) {
        bool yes;
        if (!s->has_p[i]) FAIL("draft %d was not looked at", i);
        if (s->q[i][1] != GRID) FAIL("draft %d: q is not on the grid of block", i);
        P = next_p(P, s->p[i][0], s->p[i][1], s->q[i][0]);
        if (i + 1 == s->n) {
            if (!decide(c, i, P, ONE, &yes)) return false;
        } else if (c->r->full) {
            if (!residual(c, i + 1, P, &sum)) return false;
            if (!decide(c, i, sum, sum + (ONE - P) * c->p[i + 1].total * GRID, &yes)) return false;
        } else {
            const json_t *coin = json_object_get(json_array_get(s->drafted, (size_t)i), "coin");
            if (coin && !vb_tc_coin(c, coin, i, 2, 0, &r)) return false;
            yes = i < s->accepted; /* the threshold needs the whole laws: taken as it is */
        }
        if (yes) tau = i + 1, P_tau = P;
    }
    if (tau != s->accepted) FAIL("%d drafts are kept, not %d", tau, s->accepted);
    if (tau == s->n && s->ends) return true;
    if (!c->r->full) return check_final(c, tau == s->n ? 4 : 3, NULL, NULL);
    if (tau == s->n) {
        if (!c->p[tau].there) FAIL("the law of the bonus token is missing");
        return check_final(c, 4, &c->p[tau], c->p[tau].w);
    }
    return residual(c, tau, P_tau, &sum) && check_final(c, 3, &c->p[tau], c->w);
}
