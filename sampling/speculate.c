/* speculate.c - opens and closes a vb_spec, takes in the prompt and answers questions about it. The step
 * itself is in spec_step.c. */
#include "sampling/spec.h"

#include "engine/context.h"

#include <stdlib.h>
#include <string.h>

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
#define SUFFIX_MIN  2 /* one token that repeats says little */

static int check_tree(const vb_spec_params *p, vb_error *err) {
    const int size = vb_draft_tree_size(p->tree);
    const bool chosen = p->tree[0] == VB_TREE_AUTO;
    for (int i = chosen; i < VB_TREE_DEPTH && p->tree[i]; i++)
        if (p->tree[i] < 0 || p->tree[i] > VB_MAX_GAMMA)
            return vb_fail(err, VB_ERR_ARGUMENT, "tree[%d] is %d: must be from 1 to %d", i, p->tree[i],
                           VB_MAX_GAMMA);
    if (size > VB_MAX_GAMMA)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "the tree has more than %d tokens: take fewer siblings or depths", VB_MAX_GAMMA);
    if (p->draft != VB_DRAFT_MODEL)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "a tree needs a draft model: copies and forced text have no siblings");
    if (p->draft_tokenizer)
        return vb_fail(
            err, VB_ERR_ARGUMENT,
            "a tree needs a draft of the target's own vocabulary: one that drafts text drafts chains");
    if (p->accept == VB_ACCEPT_BLOCK)
        return vb_fail(
            err, VB_ERR_ARGUMENT,
            "block verification judges chains: a tree of drafts needs coupled, greedy or rejection");
    if ((p->gamma == VB_GAMMA_AUTO) != chosen || p->n_lengths)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "a tree has the size of its shape: lengths are chosen or repeated of chains only, and "
                       "VB_TREE_AUTO goes with VB_GAMMA_AUTO");
    return VB_OK;
}

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
    if ((int)p->draft < VB_DRAFT_NONE || p->draft > VB_DRAFT_SUFFIX)
        return vb_fail(err, VB_ERR_ARGUMENT, "draft %d: no such drafter", (int)p->draft);
    if (p->draft != VB_DRAFT_NONE && p->gamma != VB_GAMMA_AUTO && (p->gamma < 1 || p->gamma > VB_MAX_GAMMA))
        return vb_fail(err, VB_ERR_ARGUMENT, "gamma %d: must be from 1 to %d, or VB_GAMMA_AUTO", p->gamma,
                       VB_MAX_GAMMA);
    if (p->draft != VB_DRAFT_NONE && p->tree[0] && (rc = check_tree(p, err))) return rc;
    if (p->costs && (rc = vb_costs_check(p->costs, err))) return rc;
    for (size_t i = 0; i < p->n_lengths; i++)
        if (p->lengths[i] < 0 || p->lengths[i] > VB_MAX_GAMMA)
            return vb_fail(err, VB_ERR_ARGUMENT, "lengths[%zu] is %d: must be from 0 to %d", i,
                           (int)p->lengths[i], VB_MAX_GAMMA);
    if (p->draft_vocab < 0 || p->draft_vocab > n_vocab)
        return vb_fail(err, VB_ERR_ARGUMENT, "draft_vocab %d: must be from 0 (all) to %d",
                       (int)p->draft_vocab, n_vocab);
    if (p->draft == VB_DRAFT_MODEL && !p->draft_context)
        return vb_fail(err, VB_ERR_ARGUMENT, "a draft model needs a draft_context");
    if (p->draft == VB_DRAFT_MODEL && p->draft_context == target)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "draft_context is the target's: give the drafter a context of its own");
    if (p->draft == VB_DRAFT_MODEL && !p->target_tokenizer != !p->draft_tokenizer)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "a draft model of another vocabulary needs target_tokenizer and draft_tokenizer");
    if (p->draft == VB_DRAFT_MODEL && p->draft_tokenizer && p->tree[0])
        return vb_fail(err, VB_ERR_ARGUMENT, "trees of drafts need a draft model of the target's vocabulary");
    if (p->draft == VB_DRAFT_NGRAM &&
        !(1 <= p->ngram_min && p->ngram_min <= p->ngram_max && p->ngram_max <= NGRAM_LIMIT))
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "n-grams of %d to %d tokens: must be 1 <= ngram_min <= ngram_max <= %d", p->ngram_min,
                       p->ngram_max, NGRAM_LIMIT);
    if (p->suffix_min < 0 || p->suffix_min > vb_context_size(target))
        return vb_fail(err, VB_ERR_ARGUMENT, "suffix_min %d: must be from 0 to the context's %d",
                       p->suffix_min, vb_context_size(target));
    if (p->corpus && p->draft == VB_DRAFT_MODEL && !p->suffix_min)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "a corpus before a draft model needs suffix_min, the shortest match that is copied");
    if (p->draft == VB_DRAFT_FORCED && !p->mask)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "drafts of forced text need a mask, which says what must follow");
    for (size_t i = 0; i < p->n_stop; i++)
        if (p->stop[i] < 0 || p->stop[i] >= n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT, "stop[%zu]: id %d is outside the vocabulary of %d", i,
                           (int)p->stop[i], n_vocab);
    size_t n_kept;
    if (vb_model_kept(vb_context_model(target), &n_kept))
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "the target's output matrix is trimmed to %zu of %d rows: that is for draft models",
                       n_kept, n_vocab);
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
    if (p->draft == VB_DRAFT_MODEL && !p->draft_tokenizer &&
        p->n_history < (size_t)vb_context_length(p->draft_context))
        return vb_fail(
            err, VB_ERR_ARGUMENT,
            "the draft's cache holds %d tokens, history names %zu: it must hold the first ones of history",
            vb_context_length(p->draft_context), p->n_history);
    return VB_OK;
}

/* ---------------------------------------------------------------------- opening */

static int allocate(vb_spec *s, vb_error *err) {
    const int32_t widest = s->p.draft_capacity > s->p.law.capacity ? s->p.draft_capacity : s->p.law.capacity;
    const size_t gamma = (size_t)s->p.gamma, capacity = (size_t)widest, n_laws = 2 * gamma + 1;
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
        (rc = vb_alloc((void **)&s->want, gamma + 1, sizeof *s->want, "output", err)) ||
        (rc = vb_alloc((void **)&s->parent, gamma + 1, sizeof *s->parent, "drafts", err)) ||
        (rc = vb_alloc((void **)&s->draft, gamma, sizeof *s->draft, "drafts", err)) ||
        (rc = vb_alloc((void **)&s->ends, gamma, sizeof *s->ends, "drafts", err)) ||
        (rc = vb_alloc((void **)&s->kept, gamma, sizeof *s->kept, "drafts", err)))
        return rc;
    if ((rc = vb_alloc((void **)&s->rest, s->p.tree ? capacity : 0, sizeof *s->rest, "distributions", err)))
        return rc;
    if ((rc = vb_alloc((void **)&s->lengths, s->p.n_lengths, sizeof *s->lengths, "lengths", err)) ||
        (s->p.costs && (rc = vb_alloc((void **)&s->pace, 1, sizeof *s->pace, "lengths", err))))
        return rc;
    if (s->p.law.mask_hash && (rc = vb_alloc((void **)&s->mask, gamma + 1, sizeof *s->mask, "a mask", err)))
        return rc;
    if (s->p.drafter && s->drafter.see) {
        const size_t rows = gamma + 1 > VB_LM_PIECE ? gamma + 1 : VB_LM_PIECE;
        if ((rc = vb_lm_want_hidden(&s->p.target, &s->hidden_width, err)) ||
            (rc = vb_alloc((void **)&s->hidden, rows, sizeof *s->hidden, "hidden rows", err)))
            return rc;
    }
    for (size_t i = 0; i < n_laws; i++)
        s->space[i] =
            (vb_dist_space){(int32_t)capacity, s->arena_id + i * capacity, s->arena_w + i * capacity};
    return VB_OK;
}

/* What is generated from here on is the mask's. */
static void begin_output(vb_spec *s, size_t start) {
    s->start = start;
    /* The past of a generation begins with its text: a conversation that is gone on with from a file is
     * answered as it would have been. */
    if (s->pace && s->p.reads_past_alone) {
        vb_pace_start(s->pace, &s->pace->costs);
        s->pace->trees = s->p.tree;
    }
    if (s->p.law.begin) s->p.law.begin(s->p.law.self, start);
    if (s->draft_law) vb_law_begin(s->draft_law, start);
}

/* Takes over the drafter, also on error (vb_spec_close then closes it). */
static int assemble(vb_spec *s, const vb_spec_parts *parts, vb_error *err) {
    s->p = *parts;
    if (parts->drafter) {
        s->drafter = *parts->drafter;
        s->p.drafter = &s->drafter;
    } else {
        s->p.gamma = 0;
        s->p.costs = NULL;
    }
    int rc = allocate(s, err);
    if (rc) return rc;
    if (parts->n_lengths) memcpy(s->lengths, parts->lengths, parts->n_lengths * sizeof *s->lengths);
    if (s->pace) {
        vb_pace_start(s->pace, parts->costs);
        s->pace->trees = parts->tree;
    }
    if (parts->n_history) memcpy(s->path, parts->history, parts->n_history * sizeof *s->path);
    s->n = parts->n_history;
    begin_output(s, s->n);
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

static vb_choice choice_of(vb_accept rule) {
    return rule == VB_ACCEPT_REJECTION ? VB_CHOOSE_COIN
           : rule == VB_ACCEPT_BLOCK   ? VB_CHOOSE_GRID
                                       : VB_CHOOSE_RACE;
}

/* Copies, alone or in front of a draft model, which is taken over on success. */
static int open_suffix(const vb_spec *s, const vb_lm *target, const vb_law_source *law,
                       const vb_drafter *before, vb_drafter *out, vb_error *err) {
    const vb_spec_params *p = &s->params;
    const vb_drafter_suffix_params g = {.min = p->suffix_min ? p->suffix_min : SUFFIX_MIN,
                                        .corpus = p->corpus,
                                        .before = before,
                                        .law = *law,
                                        .limit = p->draft_vocab ? p->draft_vocab : target->n_vocab,
                                        .choice = choice_of(p->accept),
                                        .n_ctx = (size_t)target->n_ctx,
                                        .stop = s->stop,
                                        .n_stop = p->n_stop};
    return vb_drafter_suffix(out, &g, err);
}

/* At temperature 0 a law has one id. Siblings are then the likeliest ids under the same bias, mask and
 * penalties: those of a law at temperature 1 that holds as many as there are siblings. */
static int open_top(vb_spec *s, const vb_lm *target, vb_drafter_model_params *m, vb_error *err) {
    vb_sampling top = s->sampling;
    int rc;
    top.temperature = 1;
    top.dynatemp_range = 0;
    top.top_n_sigma = 0;
    top.typical_p = 1;
    top.top_p = 1;
    top.min_p = 0;
    top.xtc_probability = 0;
    top.top_k = VB_PACE_SIBLINGS; /* most that are chosen here */
    for (int i = 0; i < VB_TREE_DEPTH; i++)
        if (s->params.tree[i] > top.top_k) top.top_k = s->params.tree[i];
    if ((rc = vb_law_open(&s->draft_law, &top, target->n_vocab, s->exp_weights, err)) ||
        (s->params.mask && (rc = vb_law_set_mask(s->draft_law, s->params.mask, err))))
        return rc;
    m->law = vb_law_as_source(s->draft_law);
    m->choice = VB_CHOOSE_TOP;
    return VB_OK;
}

/* The model as it is, or with copies in front of it. Takes it over. */
static int before_model(const vb_spec *s, const vb_lm *target, const vb_law_source *law,
                        const vb_drafter *model, vb_drafter *out, vb_error *err) {
    *out = *model;
    const int rc = s->params.suffix_min ? open_suffix(s, target, law, model, out, err) : VB_OK;
    if (rc) model->close(model->self);
    return rc;
}

/* A model of another vocabulary. */
static int open_text(const vb_spec *s, const vb_lm *target, const vb_law_source *law, vb_drafter *out,
                     vb_error *err) {
    const vb_spec_params *p = &s->params;
    const vb_context *draft = p->draft_context;
    vb_drafter_text_params t = {.lm = vb_lm_context(p->draft_context),
                                .target = p->target_tokenizer,
                                .draft = p->draft_tokenizer,
                                .history = p->draft_history,
                                .n_history = p->n_draft_history,
                                .law = *law,
                                .limit = p->draft_vocab ? p->draft_vocab : target->n_vocab,
                                .choice = choice_of(p->accept),
                                .stop = s->stop,
                                .n_stop = p->n_stop};
    t.kept = vb_model_kept(vb_context_model(draft), &t.n_kept);
    return vb_drafter_text(out, &t, err);
}

static int open_drafter(vb_spec *s, const vb_lm *target, const vb_law_source *law, vb_drafter *out,
                        vb_error *err) {
    const vb_spec_params *p = &s->params;
    const int32_t limit = p->draft_vocab ? p->draft_vocab : target->n_vocab;
    const vb_choice choice = choice_of(p->accept);
    vb_drafter model;
    int rc;
    if (p->draft == VB_DRAFT_SUFFIX) return open_suffix(s, target, law, NULL, out, err);
    if (p->draft == VB_DRAFT_FORCED) {
        *out = vb_drafter_none();
        return VB_OK;
    }
    if (p->draft == VB_DRAFT_NGRAM) {
        const vb_drafter_ngram_params g = {.max = p->ngram_max,
                                           .min = p->ngram_min,
                                           .law = *law,
                                           .limit = limit,
                                           .choice = choice,
                                           .n_ctx = (size_t)target->n_ctx,
                                           .stop = s->stop,
                                           .n_stop = p->n_stop};
        return vb_drafter_ngram(out, &g, err);
    }
    if (p->draft_tokenizer) {
        if ((rc = open_text(s, target, law, &model, err))) return rc;
        return before_model(s, target, law, &model, out, err);
    }
    vb_drafter_model_params m = {.lm = vb_lm_context(p->draft_context),
                                 .law = *law,
                                 .choice = choice,
                                 .coins = &s->coins,
                                 .stop = s->stop,
                                 .n_stop = p->n_stop};
    if (p->tree[0] && s->sampling.temperature <= 0) {
        if ((rc = open_top(s, target, &m, err))) return rc;
    }
    m.limit = limit < m.lm.n_vocab ? limit : m.lm.n_vocab;
    m.kept = vb_model_kept(vb_context_model(p->draft_context), &m.n_kept);
    if ((rc = vb_drafter_model(&model, &m, err))) return rc;
    return before_model(s, target, law, &model, out, err);
}

/* Copies what the caller's pointers lead to. */
static int copy_params(vb_spec *s, const vb_sampling *sampling, const vb_spec_params *p, vb_error *err) {
    int rc;
    const size_t n_breakers = sampling->n_dry_breakers;
    if ((rc = vb_alloc((void **)&s->breakers, n_breakers, sizeof *s->breakers, "breakers", err)) ||
        (rc = vb_alloc((void **)&s->stop, p->n_stop, sizeof *s->stop, "stop ids", err)) ||
        (rc = vb_alloc((void **)&s->bias, sampling->n_bias, sizeof *s->bias, "logit bias", err)))
        return rc;
    if (p->n_stop) memcpy(s->stop, p->stop, p->n_stop * sizeof *s->stop);
    if (sampling->n_bias) memcpy(s->bias, sampling->bias, sampling->n_bias * sizeof *s->bias);
    if (n_breakers) memcpy(s->breakers, sampling->dry_breakers, n_breakers * sizeof *s->breakers);
    s->params = *p;
    s->params.stop = s->stop;
    s->params.history = NULL;
    s->params.lengths = NULL;
    s->params.costs = NULL;
    s->sampling = *sampling;
    s->sampling.bias = s->bias;
    s->sampling.dry_breakers = s->breakers;
    s->seed = sampling->seed;
    s->coins = vb_coins_philox(&s->seed);
    s->opened = true;
    return VB_OK;
}

/* What a step drafts at most: of lengths that are chosen or repeated the longest. */
static int longest(const vb_spec_params *p) {
    int most = p->gamma == VB_GAMMA_AUTO ? VB_AUTO_MAX : p->gamma;
    if (p->draft == VB_DRAFT_MODEL && p->tree[0] > 0) return vb_draft_tree_size(p->tree);
    for (size_t i = 0; i < p->n_lengths; i++)
        if (p->lengths[i] > most) most = p->lengths[i];
    return most;
}

int vb_spec_open(vb_spec **out, vb_context *target, const vb_sampling *sampling, const vb_spec_params *p,
                 vb_error *err) {
    vb_begin(err);
    vb_spec *s = NULL;
    vb_drafter drafter;
    int rc;

    if (!out || !target || !sampling || !p)
        return vb_fail(err, VB_ERR_ARGUMENT, "vb_spec_open: an argument is NULL");
    if ((rc = check_params(target, sampling, p, err))) return rc;
    if ((rc = vb_alloc((void **)&s, 1, sizeof *s, "speculation", err))) return rc;
    if ((rc = copy_params(s, sampling, p, err))) goto cleanup;
    vb_lm lm = vb_lm_context(target);
    s->exp_weights = target->kernels->exp_weights;
    if ((rc = vb_law_open(&s->law, sampling, lm.n_vocab, target->kernels->exp_weights, err)) ||
        (p->mask && (rc = vb_law_set_mask(s->law, p->mask, err))))
        goto cleanup;

    vb_costs costs;
    if (p->costs)
        costs = *p->costs;
    else
        vb_costs_typical(&costs);
    vb_spec_parts parts = {.target = lm,
                           .law = vb_law_as_source(s->law),
                           .coins = &s->coins,
                           .rule = p->accept == VB_ACCEPT_REJECTION ? vb_rule_rejection
                                   : p->accept == VB_ACCEPT_BLOCK   ? vb_rule_block
                                                                    : vb_rule_coupled,
                           .gamma = longest(p),
                           .tree = p->draft == VB_DRAFT_MODEL && p->tree[0],
                           .costs = p->gamma == VB_GAMMA_AUTO ? &costs : NULL,
                           .reads_past_alone =
                               p->accept == VB_ACCEPT_REJECTION || p->accept == VB_ACCEPT_BLOCK,
                           .lengths = p->lengths,
                           .n_lengths = p->n_lengths,
                           .one = vb_one_hot(choice_of(p->accept)),
                           .stop = s->stop,
                           .n_stop = p->n_stop,
                           .history = p->history,
                           .n_history = p->n_history,
                           .logprobs = p->logprobs,
                           .kernels = target->kernels};
    if (p->draft == VB_DRAFT_NONE) {
        parts.rule = vb_rule_coupled; /* the target alone is always the race */
    } else {
        if ((rc = open_drafter(s, &lm, &parts.law, &drafter, err))) goto cleanup;
        parts.drafter = &drafter;
        if (s->draft_law) parts.draft_capacity = vb_law_capacity(s->draft_law);
    }
    s->params.draft_history = NULL;
    if (p->tree[0] > 0) memcpy(parts.shape, p->tree, sizeof parts.shape);
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
    free(s->parent);
    free(s->mask);
    free(s->draft);
    free(s->ends);
    free(s->kept);
    free(s->rest);
    free(s->hidden);
    free(s->pace);
    free(s->lengths);
    vb_law_close(s->law);
    vb_law_close(s->draft_law);
    free(s->stop);
    free(s->bias);
    free(s->breakers);
    free(s);
}

/* ---------------------------------------------------------------------- prompt */

int vb_spec_give(vb_spec *s, const int32_t *tokens, size_t n, vb_error *err) {
    vb_begin(err);
    const vb_lm *target = &s->p.target;
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= target->n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT, "token %zu: id %d is outside the vocabulary of %d", i,
                           (int)tokens[i], (int)target->n_vocab);
    if (n == 0) return VB_OK;
    if (s->n > (size_t)target->n_ctx || n > (size_t)target->n_ctx - s->n)
        return vb_fail(err, VB_ERR_FULL,
                       "%zu tokens after %zu do not fit a context of %d: open it with a larger n_ctx", n,
                       s->n, target->n_ctx);
    memcpy(s->path + s->n, tokens, n * sizeof *tokens);
    s->n += n;
    s->stats.prompt_tokens += n;
    begin_output(s, s->n);
    return VB_OK;
}

int vb_spec_show(vb_spec *s, size_t from, const int32_t *rows, size_t n, vb_error *err) {
    if (!s->hidden || n == 0) return VB_OK;
    for (size_t i = 0; i < n; i++)
        s->hidden[i] = s->p.target.kind->hidden(s->p.target.self, rows ? (size_t)rows[i] : i);
    return s->drafter.see(s->drafter.self, s->path, from, n, s->hidden, s->hidden_width, err);
}

typedef struct taken {
    vb_spec *s;
    size_t before;
} taken;

static int piece_taken(void *user, size_t from, size_t n, vb_error *err) {
    const taken *t = user;
    return vb_spec_show(t->s, t->before + from, NULL, n, err);
}

int vb_spec_prompt(vb_spec *s, const int32_t *tokens, size_t n, vb_error *err) {
    vb_begin(err);
    const vb_lm *target = &s->p.target;
    const double t0 = vb_now();
    const size_t before = vb_lm_length(target), start = s->start;
    int rc = vb_spec_give(s, tokens, n, err);
    if (rc || n == 0) return rc;
    /* all but the last one are evaluated now */
    taken t = {s, before};
    if ((rc = vb_lm_feed_by(target, s->path + before, s->n - 1 - before, piece_taken, &t, err)) == VB_OK &&
        s->p.drafter && (rc = s->drafter.sync(s->drafter.self, s->path, s->n, err)) != VB_OK)
        vb_lm_truncate(target, before, NULL);
    if (rc) {
        s->n -= n;
        s->stats.prompt_tokens -= n;
        begin_output(s, start);
        if (s->p.drafter) s->drafter.settle(s->drafter.self, s->n);
        return rc;
    }
    s->stats.prompt_s += vb_now() - t0;
    return VB_OK;
}

/* ---------------------------------------------------------------------- what it is */

const int32_t *vb_spec_tokens(const vb_spec *s, size_t *n) {
    if (n) *n = s->n;
    return s->path;
}

const int32_t *vb_spec_draft_tokens(const vb_spec *s, size_t *n) {
    *n = 0;
    if (!s->opened || s->params.draft != VB_DRAFT_MODEL) return NULL;
    if (s->drafter.holds) return s->drafter.holds(s->drafter.self, n);
    *n = (size_t)vb_context_length(s->params.draft_context);
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
int vb_spec_longest(const vb_spec *s) {
    return s->p.gamma;
}
const vb_costs *vb_spec_costs(const vb_spec *s) {
    return s->pace ? &s->pace->costs : NULL;
}
