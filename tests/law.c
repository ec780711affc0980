/* law.c - the enumeration: one path through the loop, the sums over all paths as rationals, and what the
 * formulas say (law.h). */
#include "tests/law_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void law_init(law_result *r) {
    memset(r, 0, sizeof *r);
    for (int i = 0; i < LAW_CELLS; i++) mpq_init(r->law[i]);
    mpq_inits(r->tv, r->accepted, r->emitted, NULL);
}

void law_clear(law_result *r) {
    for (int i = 0; i < LAW_CELLS; i++) mpq_clear(r->law[i]);
    mpq_clears(r->tv, r->accepted, r->emitted, NULL);
}

/* Cell of an output of at most n_tokens tokens: digits token + 1, 0 for nothing. */
static int cell(const law_case *c, const int32_t *tokens, int n) {
    int k = 0;
    for (int i = 0; i < c->n_tokens; i++) k = k * (c->n_vocab + 1) + (i < n ? tokens[i] + 1 : 0);
    return k;
}

typedef struct one_run {
    int n, accepted, emitted; /* the latter two of the first step */
    int seen;
    bool stuck; /* a mask let nothing through */
    int by_length[8], branched;
    int32_t tokens[LAW_TOKENS + VB_MAX_GAMMA + 1];
} one_run;

/* In front of the model: what followed the path's end when it occurred before. */
static int put_copies(const law_case *c, const vb_drafter_model_params *m, vb_drafter *d, vb_error *err) {
    const vb_drafter model = *d;
    const vb_drafter_suffix_params p = {.min = c->copies,
                                        .before = &model,
                                        .limit = m->limit,
                                        .choice = m->choice,
                                        .n_ctx = LAW_TAPE,
                                        .stop = m->stop,
                                        .n_stop = m->n_stop};
    return vb_drafter_suffix(d, &p, err);
}

/* One path through the loop: until n_tokens or a stop token. */
static bool run(const law_case *c, const vb_coins *right, one_run *o) {
    law_lm_state target, draft;
    law_env env = {.c = c};
    law_source source = {c, &env, c->prefix_without_drafts, true}, draft_source = {c, &env, false, false};
    const vb_mask mask = law_mask_of(c, &env.step_n);
    vb_error err = {0};
    vb_spec *s = NULL;
    vb_step step;
    bool done = false;

    vb_wrong_coins space;
    const vb_coins planted = c->wrong ? vb_wrong_coins_on(&space, c->wrong, right) : *right,
                   *coins = &planted;
    const vb_drafter_model_params dp = {
        .lm = law_lm(&draft, c, &c->q, c->draft_n_ctx ? c->draft_n_ctx : LAW_TAPE, 0),
        .law = law_of(&draft_source),
        .limit = c->limit ? c->limit : c->n_vocab,
        .choice = c->wrong ? c->wrong->choice : c->choice,
        .coins = coins,
        .stop = &c->stop,
        .n_stop = c->stop >= 0};
    const vb_drafter drafter = law_drafter(&env);
    vb_spec_parts parts = {.target = law_lm(&target, c, &c->p, LAW_TAPE, c->wrong ? c->wrong->row_shift : 0),
                           .law = law_target(&source),
                           .drafter = c->alone ? NULL : &drafter,
                           .coins = coins,
                           .rule = c->bug == MASK_FORCED_INSERTED ? law_insert_forced
                                   : c->text_bug == TEXT_SPELLED  ? law_text_rule
                                   : c->wrong                     ? c->wrong->rule
                                                                  : c->rule,
                           .one = vb_one_hot(c->choice),
                           .gamma = c->gamma,
                           .tree = c->shape[0] > 0,
                           .costs = c->costs,
                           .reads_past_alone = true,
                           .stop = &c->stop,
                           .n_stop = c->stop >= 0};
    const int32_t prompt = 0;
    memcpy(parts.shape, c->shape, sizeof parts.shape);
    draft.cold = c->length_bug == LENGTH_COLD;
    *o = (one_run){.accepted = -1};
    if (c->masked && (vb_law_open(&env.law, &c->sampling, LAW_VOCAB, law_exp_weights, &err) ||
                      vb_law_open(&env.bare, &c->sampling, LAW_VOCAB, law_exp_weights, &err) ||
                      vb_law_set_mask(env.law, &mask, &err)))
        goto fail;
    if (c->masked) vb_law_begin(env.law, 1);
    if (c->real && vb_law_open(&env.bare, &c->sampling, c->n_vocab, law_exp_weights, &err)) goto fail;
    if ((c->text ? law_text_drafter(c, &dp, &env.real, &err) : vb_drafter_model(&env.real, &dp, &err)) ||
        (c->copies && put_copies(c, &dp, &env.real, &err)) || vb_spec_assemble(&s, &parts, &err) ||
        vb_spec_prompt(s, &prompt, 1, &err))
        goto fail;
    for (bool stopped = false; o->n < c->n_tokens && !stopped;) {
        const int missing = c->n_tokens - o->n;
        const int rc = vb_spec_step(s, c->trim ? (size_t)missing : LAW_TAPE, &step, &err);
        if (rc == VB_ERR_MASK && c->bug) { /* the text ends where nothing may follow */
            o->stuck = true;
            break;
        }
        if (rc) goto fail;
        const int taken = c->after ? c->after(&step) : step.n_emitted;
        o->by_length[step.n_drafted & 7]++;
        bool chain = true;
        for (int i = 0; i < step.n_drafted; i++) chain &= step.drafted[i].parent == i - 1;
        o->branched += !chain;
        if (o->accepted < 0) o->accepted = step.n_accepted, o->emitted = taken;
        for (int i = 0; i < taken && !stopped; i++) {
            o->tokens[o->n++] = step.emitted[i].id;
            stopped = step.emitted[i].stop;
        }
    }
    if (o->n > c->n_tokens) o->n = c->n_tokens;
    o->seen = (int)env.told;
    done = !c->sees || env.told == (size_t)target.n;
    if (!done) printf("%s: %zu hidden rows of %d positions\n", c->name, env.told, target.n);
fail:
    if (err.code && !o->stuck) printf("%s: %s\n", c->name, err.message);
    vb_spec_close(s);
    if (c->alone && env.real.close) env.real.close(env.real.self); /* the vb_spec had no drafter to close */
    vb_law_close(env.law);
    vb_law_close(env.bare);
    return done;
}

int law_sample(const law_case *c, uint64_t seed) {
    const vb_coins coins = c->wrong && c->wrong->key ? vb_real_coins(&seed) : vb_coins_philox(&seed);
    one_run o;
    return run(c, &coins, &o) ? cell(c, o.tokens, o.n) : -1;
}

/* Runs one path and adds it, with its probability, to the result. */
static bool add_path(const law_case *c, law_explorer *e, law_result *r) {
    const vb_coins coins = law_explorer_coins(e);
    one_run o;
    mpq_t one, x;
    if (!run(c, &coins, &o)) return false;
    mpq_inits(one, x, NULL);
    mpq_set_ui(one, 1, 1);
    mpq_t *p = e->depth ? &e->trail[e->depth - 1].p : &one;
    const int k = cell(c, o.tokens, o.n);
    mpq_add(r->law[k], r->law[k], *p);
    mpq_set_ui(x, (unsigned long)o.accepted, 1);
    mpq_mul(x, x, *p);
    mpq_add(r->accepted, r->accepted, x);
    mpq_set_ui(x, (unsigned long)o.emitted, 1);
    mpq_mul(x, x, *p);
    mpq_add(r->emitted, r->emitted, x);
    r->paths++;
    r->seen += (uint64_t)o.seen;
    for (int i = 0; i < 8; i++) r->by_length[i] += (uint64_t)o.by_length[i];
    r->branched += (uint64_t)o.branched;
    r->stuck += o.stuck;
    mpq_clears(one, x, NULL);
    return true;
}

/* tv = 1/2 sum |law - p|, walking all outputs of the target alone. */
static void compare(const law_case *c, law_result *r, int32_t *path, int n, const mpq_t p, mpq_t *rest) {
    if (n == c->n_tokens || (n > 0 && path[n] == c->stop)) { /* path[0] is the prompt */
        mpq_t *seen = &r->law[cell(c, path + 1, n)];
        mpq_t d;
        mpq_init(d);
        mpq_sub(d, *seen, p);
        mpq_sub(*rest, *rest, *seen);
        mpq_abs(d, d);
        mpq_add(r->tv, r->tv, d);
        mpq_clear(d);
        return;
    }
    uint64_t w[LAW_VOCAB], total = 0;
    mpq_t x;
    mpq_init(x);
    law_final_weights(c, &c->p, path, (size_t)n + 1, w);
    for (int i = 0; i < c->n_vocab; i++) total += w[i];
    for (int i = 0; i < c->n_vocab; i++) {
        if (w[i] == 0) continue; /* what comes out there nevertheless is left in `rest` */
        law_set_ratio(x, w[i], total);
        mpq_mul(x, x, p);
        path[n + 1] = i;
        compare(c, r, path, n + 1, x, rest);
    }
    mpq_clear(x);
}

bool law_enumerate(const law_case *c, law_result *r) {
    static law_explorer e;
    bool ok = true;
    law_explorer_init(&e);
    do ok = add_path(c, &e, r);
    while (ok && law_explorer_next(&e));
    r->reused = e.reused;

    mpq_t one, rest;
    int32_t path[LAW_TOKENS + 1] = {0};
    mpq_inits(one, rest, NULL);
    mpq_set_ui(one, 1, 1);
    for (int i = 0; i < LAW_CELLS; i++) mpq_add(rest, rest, r->law[i]);
    if (ok && mpq_cmp(rest, one)) {
        printf("%s: the probabilities of all paths sum to %.17g, not 1\n", c->name, mpq_get_d(rest));
        ok = false;
    }
    compare(c, r, path, 0, one, &rest);
    mpq_add(r->tv, r->tv, rest); /* outputs that the target never gives */
    mpq_div_2exp(r->tv, r->tv, 1);
    mpq_clears(one, rest, NULL);
    law_explorer_clear(&e);
    return ok;
}

/* ---------------------------------------------------------------------- formulas */

/* Adds sum over l of E[acceptance of the first l drafts] for drafts that follow path[0..n). weight: the
 * probability under q of the drafts so far. share: prod min(1, r_i), or P. Written from the formulas with
 * rationals, not from the code: q on the grid of 2^34 and P rounded down to 2^-32 for block. */
static void expected(const law_case *c, bool block, int32_t *path, size_t n, int left, const mpq_t weight,
                     const mpq_t share, mpq_t sum) {
    uint64_t p[LAW_VOCAB] = {0}, q[LAW_VOCAB] = {0}, P = 0, Q = 0;
    if (left == 0) return;
    law_final_weights(c, &c->p, path, n, p);
    law_final_weights(c, &c->q, path, n, q);
    const int limit = c->limit ? c->limit : c->n_vocab;
    int largest = 0;
    for (int i = 0; i < c->n_vocab; i++) P += p[i];
    for (int i = 0; i < limit; i++) {
        Q += q[i];
        if (q[i] > q[largest]) largest = i;
    }
    if (Q == 0) return;
    if (block) { /* onto the grid */
        uint64_t grid = 0;
        for (int i = 0; i < limit; i++) q[i] = (uint64_t)(((vb_u128)q[i] << 34) / Q), grid += q[i];
        Q = (uint64_t)1 << 34;
        q[largest] += Q - grid;
    }
    mpq_t px, qx, s, w;
    mpq_inits(px, qx, s, w, NULL);
    for (int i = 0; i < limit; i++) {
        if (q[i] == 0) continue;
        law_set_ratio(px, p[i], P);
        law_set_ratio(qx, q[i], Q);
        mpq_div(s, px, qx);
        if (block) {
            mpq_mul(s, s, share);
            if (mpq_cmp_ui(s, 1, 1) > 0) mpq_set_ui(s, 1, 1);
            mpq_mul_2exp(s, s, 32);
            mpz_fdiv_q(mpq_numref(s), mpq_numref(s), mpq_denref(s));
            mpz_set_ui(mpq_denref(s), 1);
            mpq_div_2exp(s, s, 32);
        } else {
            if (mpq_cmp_ui(s, 1, 1) > 0) mpq_set_ui(s, 1, 1);
            mpq_mul(s, s, share);
        }
        mpq_mul(w, weight, qx);
        mpq_mul(px, w, s); /* this prefix's term */
        mpq_add(sum, sum, px);
        path[n] = i;
        int more = left - 1;
        if (i == c->stop) more = 0;
        if (c->stop_early) {
            uint32_t h = 5;
            for (size_t j = 0; j <= n; j++) h = law_mix(h, (uint32_t)path[j]);
            if (h % 2) more = 0;
        }
        expected(c, block, path, n + 1, more, w, s, sum);
    }
    mpq_clears(px, qx, s, w, NULL);
}

void law_expected_accepted(const law_case *c, bool block, mpq_t out) {
    int32_t path[LAW_TAPE] = {0};
    mpq_t one;
    mpq_init(one);
    mpq_set_ui(one, 1, 1);
    mpq_set_ui(out, 0, 1);
    int gamma = c->gamma;
    if (c->trim && gamma > c->n_tokens - 1) gamma = c->n_tokens - 1;
    expected(c, block, path, 1, gamma, one, one, out);
    mpq_clear(one);
}
