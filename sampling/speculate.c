#include "speculate.h"

#include "kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The path is prompt and output so far; its last token is always pending: known, but not yet in the target's
 * cache. A step then evaluates [last, d_1 .. d_k] together, and row i of the logits gives the law of the
 * token at n + i:
 *
 *   path      x_0 ... x_{n-2}  x_{n-1} | d_1  ...  d_k
 *   cache     x_0 ... x_{n-2}          |
 *   evaluated                  x_{n-1}   d_1  ...  d_k
 *   law of                               n    ...  n+k-1  n+k
 *
 * Afterwards the cache is cut back to the new path without its last token (P4). */
struct vb_spec {
    vb_spec_parts p;
    vb_drafter drafter;
    int32_t *path; /* (path_capacity) */
    size_t n, path_capacity;

    int32_t *arena_id; /* (2*gamma + 1, capacity): the laws of one step */
    uint64_t *arena_w;
    vb_dist_space *space; /* (2*gamma + 1): gamma + 1 of the target, then gamma of the drafter */
    vb_dist *p_dist;      /* (gamma + 1) */
    vb_dist *q_dist;      /* (gamma) */
    vb_drafted *drafted;  /* (gamma) */
    vb_emitted *emitted;  /* (gamma + 1) */
    const float **logits; /* (gamma + 1) */
    uint8_t *want;        /* (gamma + 1) */
    vb_stats stats;

    /* Only with vb_spec_open. */
    vb_law *law;
    int32_t *stop;
    vb_logit_bias *bias;
    uint64_t seed;
    vb_coins coins;
    vb_sampling sampling;
    vb_spec_params params;
    bool opened;
};

/* ---------------------------------------------------------------------- parameters */

const char *vb_accept_name(vb_accept a) {
    switch (a) {
    case VB_ACCEPT_COUPLED: return "coupled";
    case VB_ACCEPT_GREEDY: return "greedy";
    case VB_ACCEPT_REJECTION: return "rejection";
    case VB_ACCEPT_BLOCK: return "block";
    }
    return NULL;
}

void vb_spec_defaults(vb_spec_params *p) {
    *p = (vb_spec_params){.accept = VB_ACCEPT_COUPLED,
                          .draft = VB_DRAFT_NONE,
                          .gamma = 5,
                          .ngram_max = 4,
                          .ngram_min = 1,
                          .logprobs = true};
}

#define NGRAM_LIMIT 16

static int check_params(const vb_context *target, const vb_sampling *s, const vb_spec_params *p,
                        vb_error *err) {
    const int n_vocab = vb_model_describe(vb_context_model(target))->n_vocab;
    int rc = vb_sampling_check(s, n_vocab, err);
    if (rc) return rc;
    if (!vb_accept_name(p->accept))
        return vb_fail(err, VB_ERR_ARGUMENT, "accept %d: no such rule", (int)p->accept);
    if (p->accept == VB_ACCEPT_GREEDY && s->temperature > 0)
        return vb_fail(err, VB_ERR_ARGUMENT, "accept greedy needs temperature 0, not %g: use coupled",
                       s->temperature);
    if (p->draft != VB_DRAFT_NONE && p->draft != VB_DRAFT_MODEL && p->draft != VB_DRAFT_NGRAM)
        return vb_fail(err, VB_ERR_ARGUMENT, "draft %d: no such drafter", (int)p->draft);
    if (p->draft != VB_DRAFT_NONE && (p->gamma < 1 || p->gamma > VB_MAX_GAMMA))
        return vb_fail(err, VB_ERR_ARGUMENT, "gamma %d: must be from 1 to %d", p->gamma, VB_MAX_GAMMA);
    if (p->draft_vocab < 0 || p->draft_vocab > n_vocab)
        return vb_fail(err, VB_ERR_ARGUMENT, "draft_vocab %d: must be from 0 (all) to %d",
                       (int)p->draft_vocab, n_vocab);
    if (p->draft == VB_DRAFT_MODEL && !p->draft_context)
        return vb_fail(err, VB_ERR_ARGUMENT, "a draft model needs a draft_context");
    if (p->draft == VB_DRAFT_MODEL && p->draft_context == target)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "draft_context is the target's: give the drafter a context of its own");
    if (p->draft == VB_DRAFT_NGRAM &&
        !(1 <= p->ngram_min && p->ngram_min <= p->ngram_max && p->ngram_max <= NGRAM_LIMIT))
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "n-grams of %d to %d tokens: must be 1 <= ngram_min <= ngram_max <= %d", p->ngram_min,
                       p->ngram_max, NGRAM_LIMIT);
    for (size_t i = 0; i < p->n_stop; i++)
        if (p->stop[i] < 0 || p->stop[i] >= n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT, "stop[%zu]: id %d is outside the vocabulary of %d", i,
                           (int)p->stop[i], n_vocab);
    const vb_offload *offload = vb_context_offload(target);
    vb_offload_stats products;
    vb_context_offload_stats(target, &products);
    if (p->draft != VB_DRAFT_NONE && offload && products.width == 0 &&
        vb_offload_describe(offload)->class_ != VB_OFFLOAD_BITWISE)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "speculation under the offload backend %.64s, classed %s, needs a width "
                       "(offload_width): without one, a "
                       "draft would change the target's last bits",
                       vb_offload_describe(offload)->name,
                       vb_offload_class_name(vb_offload_describe(offload)->class_));
    if (p->n_history != (size_t)vb_context_length(target))
        return vb_fail(
            err, VB_ERR_ARGUMENT,
            "the target's cache holds %d tokens, history names %zu: pass what it holds, or truncate it",
            vb_context_length(target), p->n_history);
    if (p->draft == VB_DRAFT_MODEL && p->n_history < (size_t)vb_context_length(p->draft_context))
        return vb_fail(
            err, VB_ERR_ARGUMENT,
            "the draft's cache holds %d tokens, history names %zu: it must hold the first ones of history",
            vb_context_length(p->draft_context), p->n_history);
    return VB_OK;
}

/* ---------------------------------------------------------------------- opening */

static int allocate(vb_spec *s, vb_error *err) {
    const size_t gamma = (size_t)s->p.gamma, capacity = (size_t)s->p.law.capacity, n_laws = 2 * gamma + 1;
    int rc;
    s->path_capacity = (size_t)s->p.target.n_ctx + gamma + 2;
    if ((rc = vb_alloc((void **)&s->path, s->path_capacity, sizeof *s->path, "the path", err)) ||
        (rc =
             vb_alloc((void **)&s->arena_id, n_laws * capacity, sizeof *s->arena_id, "distributions", err)) ||
        (rc = vb_alloc((void **)&s->arena_w, n_laws * capacity, sizeof *s->arena_w, "distributions", err)) ||
        (rc = vb_alloc((void **)&s->space, n_laws, sizeof *s->space, "distributions", err)) ||
        (rc = vb_alloc((void **)&s->p_dist, gamma + 1, sizeof *s->p_dist, "distributions", err)) ||
        (rc = vb_alloc((void **)&s->q_dist, gamma, sizeof *s->q_dist, "distributions", err)) ||
        (rc = vb_alloc((void **)&s->drafted, gamma, sizeof *s->drafted, "drafts", err)) ||
        (rc = vb_alloc((void **)&s->emitted, gamma + 1, sizeof *s->emitted, "output", err)) ||
        (rc = vb_alloc((void **)&s->logits, gamma + 1, sizeof *s->logits, "output", err)) ||
        (rc = vb_alloc((void **)&s->want, gamma + 1, sizeof *s->want, "output", err)))
        return rc;
    for (size_t i = 0; i < n_laws; i++)
        s->space[i] =
            (vb_dist_space){(int32_t)capacity, s->arena_id + i * capacity, s->arena_w + i * capacity};
    return VB_OK;
}

/* Takes over the drafter, also on error (vb_spec_close then closes it). */
static int assemble(vb_spec *s, const vb_spec_parts *parts, vb_error *err) {
    s->p = *parts;
    if (parts->drafter) {
        s->drafter = *parts->drafter;
        s->p.drafter = &s->drafter;
    } else {
        s->p.gamma = 0;
    }
    int rc = allocate(s, err);
    if (rc) return rc;
    if (parts->n_history) memcpy(s->path, parts->history, parts->n_history * sizeof *s->path);
    s->n = parts->n_history;
    return VB_OK;
}

int vb_spec_assemble(vb_spec **out, const vb_spec_parts *parts, vb_error *err) {
    vb_spec *s = NULL;
    int rc = vb_alloc((void **)&s, 1, sizeof *s, "speculation", err);
    if (rc) return rc;
    if ((rc = assemble(s, parts, err))) {
        vb_spec_close(s);
        return rc;
    }
    *out = s;
    return VB_OK;
}

static int law_at(void *self, const float *logits, int32_t limit, const int32_t *prefix, size_t n_prefix,
                  const vb_dist_space *space, vb_dist *out, vb_error *err) {
    return vb_law_distribution(self, logits, limit, prefix, n_prefix, space, out, err);
}

static int open_drafter(vb_spec *s, const vb_lm *target, const vb_law_source *law, vb_drafter *out,
                        vb_error *err) {
    const vb_spec_params *p = &s->params;
    int32_t limit = p->draft_vocab ? p->draft_vocab : target->n_vocab;
    vb_choice choice = p->accept == VB_ACCEPT_REJECTION ? VB_CHOOSE_COIN
                       : p->accept == VB_ACCEPT_BLOCK   ? VB_CHOOSE_GRID
                                                        : VB_CHOOSE_RACE;
    if (p->draft == VB_DRAFT_NGRAM)
        return vb_drafter_ngram(out, p->ngram_max, p->ngram_min, limit, choice, (size_t)target->n_ctx,
                                s->stop, p->n_stop, err);
    vb_drafter_model_params m = {.lm = vb_lm_context(p->draft_context),
                                 .law = *law,
                                 .choice = choice,
                                 .seed = s->seed,
                                 .coins = &s->coins,
                                 .stop = s->stop,
                                 .n_stop = p->n_stop};
    m.limit = limit < m.lm.n_vocab ? limit : m.lm.n_vocab;
    return vb_drafter_model(out, &m, err);
}

/* Copies what the caller's pointers lead to. */
static int copy_params(vb_spec *s, const vb_sampling *sampling, const vb_spec_params *p, vb_error *err) {
    int rc;
    if ((rc = vb_alloc((void **)&s->stop, p->n_stop, sizeof *s->stop, "stop ids", err)) ||
        (rc = vb_alloc((void **)&s->bias, sampling->n_bias, sizeof *s->bias, "logit bias", err)))
        return rc;
    if (p->n_stop) memcpy(s->stop, p->stop, p->n_stop * sizeof *s->stop);
    if (sampling->n_bias) memcpy(s->bias, sampling->bias, sampling->n_bias * sizeof *s->bias);
    s->params = *p;
    s->params.stop = s->stop;
    s->params.history = NULL;
    s->sampling = *sampling;
    s->sampling.bias = s->bias;
    s->seed = sampling->seed;
    s->coins = vb_coins_philox(&s->seed);
    s->opened = true;
    return VB_OK;
}

int vb_spec_open(vb_spec **out, vb_context *target, const vb_sampling *sampling, const vb_spec_params *p,
                 vb_error *err) {
    vb_spec *s = NULL;
    const vb_kernels *kernels;
    vb_drafter drafter;
    int rc;

    if (!out || !target || !sampling || !p)
        return vb_fail(err, VB_ERR_ARGUMENT, "vb_spec_open: an argument is NULL");
    if ((rc = check_params(target, sampling, p, err))) return rc;
    if ((rc = vb_kernels_choose(vb_context_kernels(target), &kernels, err))) return rc;
    if ((rc = vb_alloc((void **)&s, 1, sizeof *s, "speculation", err))) return rc;
    if ((rc = copy_params(s, sampling, p, err))) goto cleanup;
    vb_lm lm = vb_lm_context(target);
    if ((rc = vb_law_open(&s->law, sampling, lm.n_vocab, kernels->exp_weights, err))) goto cleanup;

    vb_spec_parts parts = {.target = lm,
                           .law = {s->law, vb_law_capacity(s->law), law_at},
                           .coins = &s->coins,
                           .rule = p->accept == VB_ACCEPT_REJECTION ? vb_rule_rejection
                                   : p->accept == VB_ACCEPT_BLOCK   ? vb_rule_block
                                                                    : vb_rule_coupled,
                           .seed = s->seed,
                           .gamma = p->gamma,
                           .stop = s->stop,
                           .n_stop = p->n_stop,
                           .history = p->history,
                           .n_history = p->n_history,
                           .logprobs = p->logprobs};
    if (p->draft == VB_DRAFT_NONE) {
        parts.rule = vb_rule_coupled; /* the target alone is always the race */
    } else {
        if ((rc = open_drafter(s, &lm, &parts.law, &drafter, err))) goto cleanup;
        parts.drafter = &drafter;
    }
    if ((rc = assemble(s, &parts, err))) goto cleanup;
    *out = s;
    s = NULL;
cleanup:
    vb_spec_close(s);
    return rc;
}

void vb_spec_close(vb_spec *s) {
    if (!s) return;
    if (s->drafter.close) s->drafter.close(s->drafter.self);
    free(s->path);
    free(s->arena_id);
    free(s->arena_w);
    free(s->space);
    free(s->p_dist);
    free(s->q_dist);
    free(s->drafted);
    free(s->emitted);
    free(s->logits);
    free(s->want);
    vb_law_close(s->law);
    free(s->stop);
    free(s->bias);
    free(s);
}

/* ---------------------------------------------------------------------- prompt */

int vb_spec_prompt(vb_spec *s, const int32_t *tokens, size_t n, vb_error *err) {
    const vb_lm *target = &s->p.target;
    const double t0 = vb_now();
    const size_t before = (size_t)target->length(target->self);
    int rc;

    if (n == 0) return VB_OK;
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= target->n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT, "token %zu: id %d is outside the vocabulary of %d", i,
                           (int)tokens[i], (int)target->n_vocab);
    if (s->n > (size_t)target->n_ctx || n > (size_t)target->n_ctx - s->n)
        return vb_fail(err, VB_ERR_FULL,
                       "%zu tokens after %zu do not fit a context of %d: open it with a larger n_ctx", n,
                       s->n, target->n_ctx);
    memcpy(s->path + s->n, tokens, n * sizeof *tokens);
    const size_t end = s->n + n; /* all but the last one are evaluated now */
    if ((rc = vb_lm_feed(target, s->path + before, end - 1 - before, err))) return rc;
    if (s->p.drafter && (rc = s->drafter.sync(s->drafter.self, s->path, end, err))) {
        target->truncate(target->self, (int)before, NULL);
        s->drafter.settle(s->drafter.self, s->n);
        return rc;
    }
    s->n = end;
    s->stats.prompt_tokens += n;
    s->stats.prompt_s += vb_now() - t0;
    return VB_OK;
}

/* ---------------------------------------------------------------------- a step */

/* The target's law after i drafts, computed when first asked for. */
static int target_law(void *arg, int i, const vb_dist **out, vb_error *err) {
    vb_spec *s = arg;
    vb_dist *p = &s->p_dist[i];
    if (p->n == 0) {
        const float *logits = s->p.target.logits(s->p.target.self, (size_t)i);
        int rc = s->p.law.at(s->p.law.self, logits, s->p.target.n_vocab, s->path, s->n + (size_t)i,
                             &s->space[i], p, err);
        if (rc) return rc;
        if (p->n == 0)
            return vb_fail(err, VB_ERR_ARGUMENT, "logit bias bans every id: nothing is left to sample");
    }
    *out = p;
    return VB_OK;
}

/* Drafts behind the path; *n_drafted tokens, none after a stop token. */
static int propose(vb_spec *s, size_t max_emit, int *n_drafted, vb_error *err) {
    *n_drafted = 0;
    if (!s->p.drafter) return VB_OK;
    size_t max = (size_t)s->p.gamma;
    if (max > max_emit - 1) max = max_emit - 1;
    const size_t room = (size_t)s->p.target.n_ctx - s->n; /* besides the pending token */
    if (max > room) max = room;
    if (max == 0) return VB_OK;

    vb_proposal proposal = {
        .max = (int)max, .space = s->space + s->p.gamma + 1, .q = s->q_dist, .drafted = s->drafted};
    int rc = s->drafter.draft(s->drafter.self, s->path, s->n, &proposal, err);
    if (rc) return rc;
    /* Not looking at what was drawn after a stop token is a stopping rule, not a choice among drafts: it is
     * exact. */
    while (*n_drafted < proposal.n) {
        const int32_t id = s->drafted[(*n_drafted)++].id;
        if (vb_is_stop(s->p.stop, s->p.n_stop, id)) break;
    }
    return VB_OK;
}

static int evaluate(vb_spec *s, int n_drafted, bool ends, vb_error *err) {
    const vb_lm *target = &s->p.target;
    int rc;
    if ((size_t)target->length(target->self) >= s->n &&
        (rc = target->truncate(target->self, (int)s->n - 1, err)))
        return rc;
    memset(s->want, 1, (size_t)n_drafted + 1);
    if (ends) s->want[n_drafted] = 0;
    return target->eval(target->self, s->path + s->n - 1, (size_t)n_drafted + 1, s->want, err);
}

/* Fills in the emitted tokens; returns how many. */
static int emit(vb_spec *s, const vb_verify *v) {
    int n = 0;
    for (; n < v->n_accepted; n++) s->emitted[n] = (vb_emitted){.id = v->draft[n], .origin = VB_FROM_DRAFT};
    if (v->final >= 0) {
        vb_origin origin = v->n == 0 ? VB_FROM_TARGET : n == v->n ? VB_FROM_BONUS : VB_FROM_RESIDUAL;
        s->emitted[n++] = (vb_emitted){.id = v->final, .origin = origin};
    }
    for (int i = 0; i < n; i++) {
        s->logits[i] = s->p.target.logits(s->p.target.self, (size_t)i);
        s->emitted[i].logprob =
            s->p.logprobs ? vb_logprob(s->logits[i], s->p.target.n_vocab, s->emitted[i].id) : (double)NAN;
        s->emitted[i].stop = vb_is_stop(s->p.stop, s->p.n_stop, s->emitted[i].id);
    }
    return n;
}

static void count(vb_spec *s, const vb_step *step) {
    vb_stats *t = &s->stats;
    t->steps++;
    t->target_calls++;
    t->emitted += (uint64_t)step->n_emitted;
    t->drafted += (uint64_t)step->n_drafted;
    t->tested += (uint64_t)step->n_tested;
    t->accepted += (uint64_t)step->n_accepted;
    for (int i = 0; i < step->n_tested; i++) t->tested_at[i]++;
    for (int i = 0; i < step->n_accepted; i++) t->accepted_at[i]++;
    t->draft_s += step->draft_s;
    t->verify_s += step->verify_s;
    t->sample_s += step->sample_s;
}

int vb_spec_step(vb_spec *s, size_t max_emit, vb_step *step, vb_error *err) {
    const vb_lm *target = &s->p.target;
    const double t0 = vb_now();
    int n_drafted, rc;

    if (max_emit == 0) return vb_fail(err, VB_ERR_ARGUMENT, "max_emit is 0: a step emits at least one token");
    if (s->n == 0)
        return vb_fail(err, VB_ERR_ARGUMENT, "no token to start from: give a prompt (at least BOS) first");
    if (s->n > (size_t)target->n_ctx)
        return vb_fail(err, VB_ERR_FULL, "the context of %d tokens is full: open it with a larger n_ctx",
                       target->n_ctx);

    memset(s->p_dist, 0, ((size_t)s->p.gamma + 1) * sizeof *s->p_dist);
    if ((rc = propose(s, max_emit, &n_drafted, err))) goto undo;
    const bool ends = n_drafted > 0 && vb_is_stop(s->p.stop, s->p.n_stop, s->drafted[n_drafted - 1].id);
    const double t1 = vb_now();
    if ((rc = evaluate(s, n_drafted, ends, err))) goto undo;
    const double t2 = vb_now();

    vb_verify v = {.n = n_drafted,
                   .draft = s->path + s->n,
                   .q = s->q_dist,
                   .ends = ends,
                   .position = (uint32_t)s->n,
                   .seed = s->p.seed,
                   .coins = s->p.coins,
                   .p = target_law,
                   .arg = s,
                   .drafted = s->drafted};
    if ((rc = s->p.rule(&v, err))) goto undo;
    const int n_emitted = emit(s, &v);
    int n_tested = 0;
    for (int i = 0; i < n_drafted; i++) {
        vb_drafted *d = &s->drafted[i];
        d->p_w = vb_dist_weight(&s->p_dist[i], d->id);
        d->p_total = s->p_dist[i].total;
        d->q_w = vb_dist_weight(&s->q_dist[i], d->id);
        d->q_total = s->q_dist[i].total;
        n_tested += d->tested;
    }
    const size_t end = s->n + (size_t)n_emitted;
    if ((rc = target->truncate(target->self, (int)end - 1, err))) goto undo;

    /* From here on nothing can fail: the step is done. */
    if (s->p.drafter) s->drafter.settle(s->drafter.self, s->n + (size_t)v.n_accepted);
    if (v.final >= 0) s->path[end - 1] = v.final;
    const double t3 = vb_now();
    *step = (vb_step){.position = (int32_t)s->n,
                      .n_drafted = n_drafted,
                      .n_tested = n_tested,
                      .n_accepted = v.n_accepted,
                      .drafted = s->drafted,
                      .n_emitted = n_emitted,
                      .emitted = s->emitted,
                      .has_final = v.has_final_coin,
                      .final = v.final_coin,
                      .p = s->p_dist,
                      .q = s->q_dist,
                      .logits = s->logits,
                      .draft_s = t1 - t0,
                      .verify_s = t2 - t1,
                      .sample_s = t3 - t2};
    s->n = end;
    count(s, step);
    return VB_OK;

undo: /* both caches hold a prefix of the path again, so the call can be repeated */
    if ((size_t)target->length(target->self) >= s->n) target->truncate(target->self, (int)s->n - 1, NULL);
    if (s->p.drafter) s->drafter.settle(s->drafter.self, s->n);
    return rc;
}

const int32_t *vb_spec_tokens(const vb_spec *s, size_t *n) {
    if (n) *n = s->n;
    return s->path;
}

void vb_spec_stats(const vb_spec *s, vb_stats *out) {
    *out = s->stats;
}

const vb_sampling *vb_spec_sampling(const vb_spec *s) {
    return s->opened ? &s->sampling : NULL;
}
const vb_spec_params *vb_spec_parameters(const vb_spec *s) {
    return s->opened ? &s->params : NULL;
}
int32_t vb_spec_vocab(const vb_spec *s) {
    return s->p.target.n_vocab;
}
