/* law_coins.c - coins that try every answer: each question of a run is answered by the parts of the coin's
 * interval in turn, and the path keeps its exact probability (law_parts.h). */
#include "tests/law_parts.h"

#include <stdlib.h>
#include <string.h>

void law_explorer_init(law_explorer *e) {
    memset(e, 0, sizeof *e);
    for (int i = 0; i < LAW_TRAIL; i++) mpq_inits(e->trail[i].lo, e->trail[i].hi, e->trail[i].p, NULL);
    mpq_inits(e->lo, e->hi, e->a, e->b, e->width, NULL);
}

void law_explorer_clear(law_explorer *e) {
    for (int i = 0; i < LAW_TRAIL; i++) mpq_clears(e->trail[i].lo, e->trail[i].hi, e->trail[i].p, NULL);
    mpq_clears(e->lo, e->hi, e->a, e->b, e->width, NULL);
}

static void set_u128(mpz_t z, vb_u128 x) {
    const uint64_t words[2] = {vb_u128_lo(x), vb_u128_hi(x)};
    mpz_import(z, 2, -1, sizeof *words, 0, 0, words);
}

void law_set_ratio(mpq_t q, vb_u128 num, vb_u128 den) {
    set_u128(mpq_numref(q), num);
    set_u128(mpq_denref(q), den);
    mpq_canonicalize(q);
}

/* The question: the coin's interval is cut at at(0)/total, (at(0) + at(1))/total, ...;
 * which part is it in? */
static int32_t ask(law_explorer *e, vb_coin_key key, const vb_weights *w) {
    if (e->depth >= LAW_TRAIL) abort();
    law_answer *now = &e->trail[e->depth];
    const bool fresh = e->depth >= e->known;
    if (!fresh && e->depth < e->known - 1) { /* as in the run before */
        if (memcmp(&now->key, &key, sizeof key)) abort();
        e->depth++;
        return now->value;
    }
    if (fresh) now->index = 0;
    now->key = key;

    /* What is known of this coin. */
    mpq_set_ui(e->lo, 0, 1);
    mpq_set_ui(e->hi, 1, 1);
    for (int i = e->depth; i-- > 0;) {
        if (memcmp(&e->trail[i].key, &key, sizeof key)) continue;
        mpq_set(e->lo, e->trail[i].lo);
        mpq_set(e->hi, e->trail[i].hi);
        e->reused++;
        break;
    }
    /* The parts that are still possible; the index-th one is the answer. */
    vb_u128 cum = 0;
    now->n = 0;
    for (int32_t i = 0; i < w->n; i++) {
        const vb_u128 x = w->at(w->arg, i);
        if (x == 0) continue;
        law_set_ratio(e->a, cum, w->total);
        cum += x;
        law_set_ratio(e->b, cum, w->total);
        if (mpq_cmp(e->a, e->lo) < 0) mpq_set(e->a, e->lo);
        if (mpq_cmp(e->b, e->hi) > 0) mpq_set(e->b, e->hi);
        if (mpq_cmp(e->a, e->b) >= 0) continue;
        if (now->n++ == now->index) {
            mpq_set(now->lo, e->a);
            mpq_set(now->hi, e->b);
            now->value = i;
        }
    }
    if (cum > w->total || now->n == 0) abort();
    /* p = p so far * (hi - lo of the answer) / (hi - lo of what was known) */
    mpq_sub(e->a, now->hi, now->lo);
    mpq_sub(e->width, e->hi, e->lo);
    mpq_div(now->p, e->a, e->width);
    if (e->depth > 0) mpq_mul(now->p, now->p, e->trail[e->depth - 1].p);
    e->depth++;
    if (fresh) e->known = e->depth;
    return now->value;
}

static int32_t explorer_pick(void *self, vb_coin_key key, const vb_weights *w, vb_coin *coin) {
    *coin = (vb_coin){.counter = {key.position, key.offset, key.purpose, 0}};
    return ask(self, key, w);
}

static vb_u128 two_parts(void *arg, int32_t i) {
    const vb_u128 *part = arg;
    return part[i];
}

static bool explorer_below(void *self, vb_coin_key key, vb_u128 threshold, vb_u128 bound, vb_coin *coin) {
    vb_u128 part[2] = {threshold, bound - threshold};
    const vb_weights w = {2, bound, two_parts, part};
    *coin = (vb_coin){.counter = {key.position, key.offset, key.purpose, 0}};
    return ask(self, key, &w) == 0;
}

/* The noise of a position: here one real number, which each law cuts by its own weights. Any noise that
 * belongs to the position will do for what `coupled` promises; that the race's gives a draw is shown
 * elsewhere (test_accept.c). */
static int32_t explorer_race(void *self, const vb_dist *d, uint32_t position) {
    law_explorer *e = self;
    const uint64_t reused = e->reused; /* to meet it again is what it is for */
    vb_residual walk;
    vb_weights w;
    vb_dist_weights(&walk, d, &w);
    const int32_t i = ask(e, (vb_coin_key){position, 0, VB_PURPOSE_RACE}, &w);
    e->reused = reused;
    return d->id[i];
}

/* Any other ids will do behind the one that it chooses: the drafts are wrong, and no more than that. */
static int explorer_ranks(void *self, const vb_dist *d, uint32_t position, int most, int32_t *out) {
    int n = 0;
    out[n++] = explorer_race(self, d, position);
    for (int32_t i = 0; i < d->n && n < most; i++)
        if (d->id[i] != out[0]) out[n++] = d->id[i];
    return n;
}

bool law_explorer_next(law_explorer *e) {
    int i = e->depth;
    while (i > 0 && e->trail[i - 1].index + 1 >= e->trail[i - 1].n) i--;
    if (i == 0) return false;
    e->trail[i - 1].index++;
    e->known = i;
    e->depth = 0;
    return true;
}

vb_coins law_explorer_coins(law_explorer *e) {
    return (vb_coins){explorer_below, explorer_pick, explorer_race, explorer_ranks, e};
}
