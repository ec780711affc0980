/* wrong_rules.c - one writing of rejection and one of block verification, whose flags plant the mistakes;
 * then coins that are used twice, and the list by name. */
#include "prove/wrong_rules.h"

#include "sampling/race.h"

#include <string.h>

/* The right rules again, written so that each mistake is one flag. */
typedef struct flags {
    bool by_index, residual_is_p, not_normalised, bonus_row_before, u_at_most, break_early, p_tau_one,
        round_up, textbook_residual, accept_argmax;
} flags;

/* ----------------------------------------------------------------------------------------------- weights */

/* What a token is drawn from: f(i) for each of p's ids. */
typedef struct walk {
    const vb_dist *p, *q;
    flags f;
    uint64_t P;
    vb_u128 rest; /* not normalised: what the last id gets on top, at place p->n */
    vb_u128 (*weight)(const struct walk *, int32_t);
} walk;

static vb_u128 p_weight(const walk *k, int32_t i) {
    return k->p->w[i];
}

static vb_u128 rejection_weight(const walk *k, int32_t i) {
    const vb_dist *p = k->p, *q = k->q;
    if (i == p->n) return k->rest;
    if (k->f.residual_is_p) return p->w[i];
    const uint64_t v = k->f.by_index ? (i < q->n ? q->w[i] : 0) : vb_dist_weight(q, p->id[i]);
    const vb_u128 x = (vb_u128)p->w[i] * q->total, y = (vb_u128)v * p->total;
    return x > y ? x - y : 0;
}

static uint64_t next(const flags *f, uint64_t P, uint64_t w, const vb_dist *p, uint64_t v) {
    const vb_u128 num = ((vb_u128)P * w) << VB_BLOCK_Q_BITS, den = (vb_u128)v * p->total;
    if (v == 0 || num >= den * VB_BLOCK_ONE) return VB_BLOCK_ONE;
    return (uint64_t)((num + (f->round_up ? den - 1 : 0)) / den);
}

/* P*w*V - v*W*P', or the textbook's max(0, P*p - q) */
static vb_u128 block_weight(const walk *k, int32_t i) {
    const uint64_t v = vb_dist_weight(k->q, k->p->id[i]);
    const uint64_t to = k->f.textbook_residual ? VB_BLOCK_ONE : next(&k->f, k->P, k->p->w[i], k->p, v);
    const vb_u128 x = ((vb_u128)k->P * k->p->w[i]) << VB_BLOCK_Q_BITS, y = (vb_u128)v * k->p->total * to;
    return x > y ? x - y : 0;
}

static vb_u128 at(void *arg, int32_t i) {
    const walk *k = arg;
    return k->weight(k, i);
}

static vb_u128 sum_of(const walk *k) {
    vb_u128 sum = 0;
    for (int32_t i = 0; i < k->p->n; i++) sum += k->weight(k, i);
    return sum;
}

/* ----------------------------------------------------------------------------------------------- rules */

static void begin(vb_verify *v) {
    v->n_accepted = 0;
    v->final = -1;
    v->has_final_coin = false;
}

static bool decide(const flags *f, const vb_verify *v, int offset, vb_u128 threshold, vb_u128 bound,
                   vb_drafted *d) {
    if (f->u_at_most) threshold++;
    if (threshold >= bound) return true;
    if (threshold == 0) return false;
    const vb_coin_key key = {v->position, (uint32_t)offset, VB_PURPOSE_ACCEPT};
    d->has_coin = true;
    return v->coins->below(v->coins->self, key, threshold, bound, &d->coin);
}

/* Where nothing is left to draw from, wrong code falls back to p. */
static void draw(vb_verify *v, uint32_t purpose, walk *k) {
    const vb_coin_key key = {v->position, (uint32_t)v->n_accepted, purpose};
    vb_weights w = {k->p->n, sum_of(k), at, k};
    if (k->f.not_normalised && k->q) { /* u beyond the sum: the last id */
        k->rest = (vb_u128)k->p->total * k->q->total - w.total;
        w.total += k->rest;
        w.n++;
    }
    if (w.total == 0) {
        k->weight = p_weight;
        w.total = k->p->total;
    }
    const int32_t i = v->coins->pick(v->coins->self, key, &w, &v->final_coin);
    v->final = k->p->id[i < k->p->n ? i : k->p->n - 1];
    v->has_final_coin = true;
}

static int bonus(vb_verify *v, const flags *f, vb_error *err) {
    walk k = {.weight = p_weight};
    if (vb_chain_ends(v)) return VB_OK;
    int rc = v->p(v->arg, f->bonus_row_before && v->n ? v->n - 1 : v->n, &k.p, err);
    if (rc) return rc;
    draw(v, VB_PURPOSE_BONUS, &k);
    return VB_OK;
}

static int32_t argmax(const vb_dist *p) {
    int32_t best = 0;
    for (int32_t i = 1; i < p->n; i++)
        if (p->w[i] > p->w[best]) best = i;
    return p->id[best];
}

static int rejection(vb_verify *v, const flags f, vb_error *err) {
    begin(v);
    for (int i = 0; i < v->n; i++) {
        const vb_dist *p, *q = &v->q[i];
        int rc = v->p(v->arg, i, &p, err);
        if (rc) return rc;
        const vb_u128 threshold = (vb_u128)vb_dist_weight(p, v->draft[i]) * q->total;
        const vb_u128 bound = (vb_u128)vb_dist_weight(q, v->draft[i]) * p->total;
        vb_drafted *d = &v->drafted[i];
        d->tested = true;
        d->accepted = f.accept_argmax ? argmax(p) == v->draft[i] : decide(&f, v, i, threshold, bound, d);
        if (!d->accepted) {
            walk k = {.p = p, .q = q, .f = f, .weight = rejection_weight};
            draw(v, VB_PURPOSE_RESIDUAL, &k);
            return VB_OK;
        }
        v->kept[v->n_accepted++] = i;
    }
    return bonus(v, &f, err);
}

static int block(vb_verify *v, const flags f, vb_error *err) {
    uint64_t P = VB_BLOCK_ONE, P_tau = P;
    const vb_dist *p;
    int tau = 0, rc;
    begin(v);
    for (int i = 0; i < v->n; i++) {
        vb_u128 threshold, bound = VB_BLOCK_ONE;
        if ((rc = v->p(v->arg, i, &p, err))) return rc;
        P = next(&f, P, vb_dist_weight(p, v->draft[i]), p, vb_dist_weight(&v->q[i], v->draft[i]));
        threshold = P;
        if (i + 1 < v->n) {
            if ((rc = v->p(v->arg, i + 1, &p, err))) return rc;
            const walk k = {.p = p, .q = &v->q[i + 1], .f = f, .P = P, .weight = block_weight};
            threshold = sum_of(&k);
            bound = threshold + (((vb_u128)(VB_BLOCK_ONE - P) * p->total) << VB_BLOCK_Q_BITS);
        }
        if (decide(&f, v, i, threshold, bound, &v->drafted[i])) {
            tau = i + 1;
            P_tau = P;
        } else if (f.break_early) {
            break;
        }
    }
    for (int i = 0; i < v->n; i++) {
        v->drafted[i].tested = i <= tau;
        v->drafted[i].accepted = i < tau;
        v->kept[i] = i;
    }
    v->n_accepted = tau;
    if (tau == v->n) return bonus(v, &f, err);
    if ((rc = v->p(v->arg, tau, &p, err))) return rc;
    walk k = {
        .p = p, .q = &v->q[tau], .f = f, .P = f.p_tau_one ? VB_BLOCK_ONE : P_tau, .weight = block_weight};
    draw(v, VB_PURPOSE_RESIDUAL, &k);
    return VB_OK;
}

#define RULE(name, base, ...)                                                                                \
    static int name(vb_verify *v, vb_error *err) {                                                           \
        return base(v, (flags){__VA_ARGS__}, err);                                                           \
    }
RULE(residual_by_index, rejection, .by_index = true)
RULE(residual_is_p, rejection, .residual_is_p = true)
RULE(residual_not_normalised, rejection, .not_normalised = true)
RULE(accepts_argmax, rejection, .accept_argmax = true)
RULE(rejection_at_most, rejection, .u_at_most = true)
RULE(rejection_bonus_before, rejection, .bonus_row_before = true)
RULE(block_break, block, .break_early = true)
RULE(block_p_tau_one, block, .p_tau_one = true)
RULE(block_round_up, block, .round_up = true)
RULE(block_textbook, block, .textbook_residual = true)
RULE(block_at_most, block, .u_at_most = true)
RULE(block_bonus_before, block, .bonus_row_before = true)

int vb_second_rejection(vb_verify *v, vb_error *err) {
    return rejection(v, (flags){0}, err);
}
int vb_second_block(vb_verify *v, vb_error *err) {
    return block(v, (flags){0}, err);
}

/* ----------------------------------------------------------------------------------------------- coins */

static vb_coin_key one_stream(vb_coin_key k) {
    return (vb_coin_key){k.position, k.offset, 0};
}
static vb_coin_key by_position(vb_coin_key k) {
    return (vb_coin_key){k.position + k.offset, 0, k.purpose};
}
static vb_coin_key one_u(vb_coin_key k) {
    return k.purpose == VB_PURPOSE_ACCEPT ? (vb_coin_key){k.position, 0, k.purpose} : k;
}
static vb_coin_key every_step_alike(vb_coin_key k) {
    return (vb_coin_key){0, k.offset, k.purpose};
}

static vb_coin_key changed(const vb_wrong *w, vb_coin_key key) {
    return w->key ? w->key(key) : key;
}

static bool below(void *self, vb_coin_key key, vb_u128 threshold, vb_u128 bound, vb_coin *coin) {
    const vb_wrong_coins *c = self;
    return c->base->below(c->base->self, changed(c->wrong, key), threshold, bound, coin);
}

/* Weights without those below half of the largest. */
typedef struct cut {
    const vb_weights *w;
    vb_u128 least;
} cut;

static vb_u128 cut_at(void *arg, int32_t i) {
    const cut *c = arg;
    const vb_u128 x = c->w->at(c->w->arg, i);
    return x < c->least ? 0 : x;
}

static int32_t pick(void *self, vb_coin_key key, const vb_weights *w, vb_coin *coin) {
    const vb_wrong_coins *c = self;
    const bool drafts = key.purpose == VB_PURPOSE_DRAFT && c->wrong->draw != VB_DRAW_RIGHT;
    int32_t best = 0;
    vb_u128 largest = 0;
    for (int32_t i = 0; drafts && i < w->n; i++) {
        const vb_u128 x = w->at(w->arg, i);
        if (x > largest) largest = x, best = i;
    }
    key = changed(c->wrong, key);
    if (!drafts) return c->base->pick(c->base->self, key, w, coin);
    if (c->wrong->draw == VB_DRAW_ARGMAX) return best;
    cut rest = {w, (largest + 1) / 2};
    vb_weights kept = {w->n, 0, cut_at, &rest};
    for (int32_t i = 0; i < w->n; i++) kept.total += cut_at(&rest, i);
    return c->base->pick(c->base->self, key, &kept, coin);
}

static int32_t race(void *self, const vb_dist *d, uint32_t position) {
    const vb_wrong_coins *c = self;
    return c->base->race(c->base->self, d, position);
}

static int ranks(void *self, const vb_dist *d, uint32_t position, int most, int32_t *out) {
    const vb_wrong_coins *c = self;
    return c->base->ranks(c->base->self, d, position, most, out);
}

vb_coins vb_wrong_coins_on(vb_wrong_coins *space, const vb_wrong *w, const vb_coins *base) {
    *space = (vb_wrong_coins){w, base};
    return (vb_coins){below, pick, race, ranks, space};
}

static double real_of(const uint64_t *seed, vb_coin_key key, vb_coin *coin) {
    return (double)(uint64_t)vb_uniform(*seed, key, (vb_u128)1 << 53, coin) * 0x1p-53;
}

static bool real_below(void *self, vb_coin_key key, vb_u128 threshold, vb_u128 bound, vb_coin *coin) {
    return real_of(self, key, coin) * (double)bound < (double)threshold;
}

static int32_t real_pick(void *self, vb_coin_key key, const vb_weights *w, vb_coin *coin) {
    const double r = real_of(self, key, coin) * (double)w->total;
    vb_u128 cum = 0;
    int32_t last = 0;
    for (int32_t i = 0; i < w->n; i++) {
        const vb_u128 x = w->at(w->arg, i);
        cum += x;
        if (x) last = i;
        if (r < (double)cum) return i;
    }
    return last; /* rounding */
}

static int32_t real_race(void *self, const vb_dist *d, uint32_t position) {
    const uint64_t *seed = self;
    return vb_race(d, *seed, position);
}

static int real_ranks(void *self, const vb_dist *d, uint32_t position, int most, int32_t *out) {
    const uint64_t *seed = self;
    return vb_race_ranks(d, *seed, position, most, out);
}

vb_coins vb_real_coins(uint64_t *seed) {
    return (vb_coins){real_below, real_pick, real_race, real_ranks, seed};
}

/* A confidence threshold on the wrong side: a token is drawn, found unlikely, and dropped. */
void vb_wrong_trim(const vb_wrong *w, vb_proposal *p) {
    for (int i = 0; w->discards && i < p->n; i++)
        if (4 * vb_dist_weight(&p->q[i], p->drafted[i].id) < p->q[i].total) p->n = i;
}

/* ----------------------------------------------------------------------------------------------- the list */

#define REJECTION VB_CHOOSE_COIN, VB_DRAW_RIGHT, false, 0, NULL
#define BLOCK     VB_CHOOSE_GRID, VB_DRAW_RIGHT, false, 0, NULL

static const vb_wrong RULES[] = {
    {"argmax-draft-pq", "drafts are the argmax of q, accepted by p/q", vb_rule_rejection, VB_CHOOSE_COIN,
     VB_DRAW_ARGMAX, false, 0, NULL},
    {"truncated-draft", "drafts are drawn from truncated q, accepted by raw q", vb_rule_rejection,
     VB_CHOOSE_COIN, VB_DRAW_TRUNCATED, false, 0, NULL},
    {"discarding-draft", "the drafter drops tokens that it finds unlikely", vb_rule_rejection, VB_CHOOSE_COIN,
     VB_DRAW_RIGHT, true, 0, NULL},
    {"shared-coin", "draft, acceptance and residual share a random stream", vb_rule_rejection, VB_CHOOSE_COIN,
     VB_DRAW_RIGHT, false, 0, one_stream},
    {"restarted-coin", "every step starts the random stream again", vb_rule_rejection, VB_CHOOSE_COIN,
     VB_DRAW_RIGHT, false, 0, every_step_alike},
    {"row-shift", "logits off by one row", vb_rule_rejection, VB_CHOOSE_COIN, VB_DRAW_RIGHT, false, 1, NULL},
    {"index-residual", "residual pairs p and q by index, not by id", residual_by_index, REJECTION},
    {"residual-p", "residual is p", residual_is_p, REJECTION},
    {"unnormalised-residual", "residual is not normalised", residual_not_normalised, REJECTION},
    {"accept-argmax", "accepts iff the draft is the argmax of p", accepts_argmax, REJECTION},
    {"at-most", "u <= p/q instead of u < p/q", rejection_at_most, REJECTION},
    {"bonus-row-before", "bonus token from the row before", rejection_bonus_before, REJECTION},
    {"block-break", "block: stops at the first failure", block_break, BLOCK},
    {"block-p-tau-one", "block: residual with P_tau = 1", block_p_tau_one, BLOCK},
    {"block-round-up", "block: rounds P up", block_round_up, BLOCK},
    {"block-textbook", "block: textbook residual max(0, P*p - q) with a rounded P", block_textbook, BLOCK},
    {"block-at-most", "block: u <= h instead of u < h", block_at_most, BLOCK},
    {"block-bonus-before", "block: bonus token from the row before", block_bonus_before, BLOCK},
    {"block-position-coin", "block: coins belong to positions, so the next step meets them again",
     vb_rule_block, VB_CHOOSE_GRID, VB_DRAW_RIGHT, false, 0, by_position},
    {"block-one-coin", "block: one coin decides about all places", vb_rule_block, VB_CHOOSE_GRID,
     VB_DRAW_RIGHT, false, 0, one_u},
    {"block-shared-coin", "block: draft, acceptance and residual share a random stream", vb_rule_block,
     VB_CHOOSE_GRID, VB_DRAW_RIGHT, false, 0, one_stream},
    {"block-discarding-draft", "block: the drafter drops tokens that it finds unlikely", vb_rule_block,
     VB_CHOOSE_GRID, VB_DRAW_RIGHT, true, 0, NULL},
    {"block-row-shift", "block: logits off by one row", vb_rule_block, VB_CHOOSE_GRID, VB_DRAW_RIGHT, false,
     1, NULL},
};

const vb_wrong *vb_wrong_rules(size_t *n) {
    *n = sizeof RULES / sizeof RULES[0];
    return RULES;
}

const vb_wrong *vb_wrong_find(const char *name) {
    for (size_t i = 0; i < sizeof RULES / sizeof RULES[0]; i++)
        if (!strcmp(name, RULES[i].name)) return &RULES[i];
    return NULL;
}
