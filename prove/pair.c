/* pair.c - a target, a draft and a rule as the subject of vb_prove; right rules through vb_spec_open, as
 * every program runs them, wrong ones assembled from parts. */
#include "prove/prove.h"

#include "engine/context.h"

#include <stdlib.h>

/* ------------------------------------------------------------------------------------------- wrong parts */

static const float *row_before(void *self, size_t i) {
    const vb_prove_pair *pair = self;
    const size_t shift = (size_t)pair->wrong->row_shift;
    return vb_logits(pair->target, i >= shift ? i - shift : 0);
}
static void shifted_eval(const vb_lm *const *m, vb_eval_item *items, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const vb_prove_pair *pair = m[i]->self;
        items[i].context = pair->target;
    }
    vb_eval_many(items, n);
}
static int shifted_truncate(void *self, int n, vb_error *err) {
    const vb_prove_pair *pair = self;
    return vb_context_truncate(pair->target, n, err);
}
static int shifted_length(void *self) {
    const vb_prove_pair *pair = self;
    return vb_context_length(pair->target);
}

static const vb_lm_kind shifted = {
    .eval = shifted_eval, .logits = row_before, .truncate = shifted_truncate, .length = shifted_length};

static int wrong_sync(void *self, const int32_t *path, size_t n, vb_error *err) {
    const vb_prove_pair *pair = self;
    return pair->drafter.sync(pair->drafter.self, path, n, err);
}
static int wrong_draft(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    const vb_prove_pair *pair = self;
    int rc = vb_drafter_draft(&pair->drafter, path, n, out, err);
    if (!rc) vb_wrong_trim(pair->wrong, out);
    return rc;
}
static void wrong_settle(void *self, size_t n) {
    const vb_prove_pair *pair = self;
    pair->drafter.settle(pair->drafter.self, n);
}
static void wrong_close(void *self) {
    const vb_prove_pair *pair = self;
    pair->drafter.close(pair->drafter.self);
}

static int open_wrong(vb_prove_pair *pair, vb_spec **out, vb_error *err) {
    const vb_spec_params *p = &pair->params;
    const vb_wrong *w = pair->wrong;
    vb_lm target = vb_lm_context(pair->target);
    if (w->row_shift) {
        target.self = pair;
        target.kind = &shifted;
    }
    vb_drafter_model_params m = {.lm = vb_lm_context(p->draft_context),
                                 .law = vb_law_as_source(pair->law),
                                 .limit = p->draft_vocab ? p->draft_vocab : target.n_vocab,
                                 .choice = w->choice,
                                 .coins = &pair->wrong_coins,
                                 .stop = p->stop,
                                 .n_stop = p->n_stop};
    if (m.limit > m.lm.n_vocab) m.limit = m.lm.n_vocab;
    int rc = vb_drafter_model(&pair->drafter, &m, err);
    if (rc) return rc;
    const vb_drafter drafter = {
        .self = pair, .sync = wrong_sync, .draft = wrong_draft, .settle = wrong_settle, .close = wrong_close};
    const vb_spec_parts parts = {.target = target,
                                 .law = m.law,
                                 .drafter = &drafter,
                                 .coins = &pair->wrong_coins,
                                 .rule = w->rule,
                                 .gamma = p->gamma,
                                 .stop = p->stop,
                                 .n_stop = p->n_stop,
                                 .history = pair->prompt,
                                 .n_history = pair->n_prompt - 1,
                                 .logprobs = true};
    return vb_spec_assemble(out, &parts, err);
}

/* ------------------------------------------------------------------------------------------- a generation */

static int open_generation(void *self, uint64_t seed, bool alone, vb_spec **out, vb_error *err) {
    vb_prove_pair *pair = self;
    const int base = (int)pair->n_prompt - 1;
    int rc = vb_context_truncate(pair->target, base, err);
    if (rc) return rc;
    vb_context *draft = pair->params.draft_context;
    if (draft && vb_context_length(draft) > base && (rc = vb_context_truncate(draft, base, err))) return rc;
    pair->seed = pair->sampling.seed = seed;
    if (pair->wrong && !alone) return open_wrong(pair, out, err);
    vb_spec_params params = pair->params;
    if (alone) {
        params.draft = VB_DRAFT_NONE;
        params.draft_context = NULL;
    }
    params.history = pair->prompt;
    params.n_history = (size_t)base;
    return vb_spec_open(out, pair->target, &pair->sampling, &params, err);
}

int vb_prove_pair_open(vb_prove_pair *pair, vb_prove_subject *subject, vb_joint_params *law, vb_error *err) {
    int rc;
    if (pair->n_prompt < 1) return vb_fail(err, VB_ERR_ARGUMENT, "the prompt is empty");
    if (pair->wrong && pair->params.draft != VB_DRAFT_MODEL)
        return vb_fail(err, VB_ERR_ARGUMENT, "the wrong rule %s needs a draft model", pair->wrong->name);
    if (pair->wrong && pair->params.draft_tokenizer)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "the wrong rule %s needs a draft model of the target's vocabulary", pair->wrong->name);
    const vb_lm target = vb_lm_context(pair->target);
    if ((rc = vb_sampling_check(&pair->sampling, target.n_vocab, err)) ||
        (rc = vb_law_open(&pair->law, &pair->sampling, target.n_vocab, pair->target->kernels->exp_weights,
                          err)))
        return rc;
    if (pair->params.mask && (rc = vb_law_set_mask(pair->law, pair->params.mask, err))) {
        vb_prove_pair_close(pair);
        return rc;
    }
    vb_law_begin(pair->law, pair->n_prompt);
    if ((rc = vb_context_truncate(pair->target, 0, err)) ||
        (rc = vb_lm_feed(&target, pair->prompt, pair->n_prompt - 1, err))) {
        vb_prove_pair_close(pair);
        return rc;
    }
    if (pair->params.draft_context) vb_context_truncate(pair->params.draft_context, 0, NULL);
    pair->coins = pair->wrong && pair->wrong->key ? vb_real_coins(&pair->seed) : vb_coins_philox(&pair->seed);
    if (pair->wrong) pair->wrong_coins = vb_wrong_coins_on(&pair->space, pair->wrong, &pair->coins);
    *subject = (vb_prove_subject){.self = pair,
                                  .open = open_generation,
                                  .same_path = !pair->wrong && (pair->params.accept == VB_ACCEPT_COUPLED ||
                                                                pair->params.accept == VB_ACCEPT_GREEDY ||
                                                                pair->sampling.temperature <= 0 ||
                                                                pair->params.draft == VB_DRAFT_NONE)};
    law->target = target;
    law->law = vb_law_as_source(pair->law);
    law->prompt = pair->prompt;
    law->n_prompt = pair->n_prompt;
    law->stop = pair->params.stop;
    law->n_stop = pair->params.n_stop;
    return VB_OK;
}

void vb_prove_pair_close(vb_prove_pair *pair) {
    vb_law_close(pair->law);
    pair->law = NULL;
}
