/* spec_step.c - one step of one or several generations: draft, verify, accept, roll back.
 *
 * Several are taken through it side by side, phase by phase, so that what their models have to evaluate
 * shares a pass: first the drafters', round by round, then the targets'. What is decided about a sequence
 * depends on its own logits and its own coins alone, and one that fails is rolled back alone. */
#include "sampling/spec.h"

#include <math.h>
#include <string.h>

/* ---------------------------------------------------------------------- one sequence */

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

/* Begins to draft behind the path. */
static int propose(vb_spec *s, size_t max_emit, vb_error *err) {
    s->n_drafted = 0;
    s->ends = false;
    s->proposal = (vb_proposal){
        .space = s->space + s->p.gamma + 1, .q = s->q_dist, .drafted = s->drafted, .max = s->p.gamma};
    memset(s->p_dist, 0, ((size_t)s->p.gamma + 1) * sizeof *s->p_dist);
    if (!s->p.drafter) return VB_OK;
    size_t max = (size_t)s->p.gamma;
    if (max > max_emit - 1) max = max_emit - 1;
    const size_t room = (size_t)s->p.target.n_ctx - s->n; /* besides the pending token */
    if (max > room) max = room;
    s->proposal.max = (int)max;
    return max ? s->drafter.draft(s->drafter.self, s->path, s->n, &s->proposal, err) : VB_OK;
}

/* Nothing is looked at after a stop token.
 * That is a stopping rule, not a choice among drafts: it is exact. */
static void trim(vb_spec *s) {
    while (s->n_drafted < s->proposal.n && !s->ends)
        s->ends = vb_is_stop(s->p.stop, s->p.n_stop, s->drafted[s->n_drafted++].id);
}

/* What the target has to evaluate: the last token of the path and the drafts. */
static int ask(vb_spec *s, vb_lm_call *call, vb_error *err) {
    const vb_lm *target = &s->p.target;
    int rc;
    if ((size_t)target->length(target->self) >= s->n &&
        (rc = target->truncate(target->self, (int)s->n - 1, err)))
        return rc;
    memset(s->want, 1, (size_t)s->n_drafted + 1);
    if (s->ends) s->want[s->n_drafted] = 0;
    *call = (vb_lm_call){.lm = target,
                         .tokens = s->path + s->n - 1,
                         .n = (size_t)s->n_drafted + 1,
                         .want = s->want,
                         .err = err};
    return VB_OK;
}

/* Fills in the emitted tokens; returns how many. */
static int emit(vb_spec *s, const vb_verify *v) {
    int n = 0;
    for (; n < v->n_accepted; n++) s->emitted[n] = (vb_emitted){.id = v->draft[n], .origin = VB_FROM_DRAFT};
    if (v->final >= 0) {
        vb_origin origin = v->n == 0 ? VB_FROM_TARGET : n == v->n ? VB_FROM_BONUS : VB_FROM_RESIDUAL;
        s->emitted[n++] = (vb_emitted){.id = v->final, .origin = origin};
    }
    const vb_kernels *kernels = s->p.kernels ? s->p.kernels : &vb_kernels_ref;
    for (int i = 0; i < n; i++) {
        s->logits[i] = s->p.target.logits(s->p.target.self, (size_t)i);
        s->emitted[i].logprob = (double)NAN;
        if (s->p.logprobs)
            s->emitted[i].logprob =
                vb_logprob_by(kernels, s->logits[i], s->p.target.n_vocab, s->emitted[i].id);
        s->emitted[i].stop = vb_is_stop(s->p.stop, s->p.n_stop, s->emitted[i].id);
    }
    return n;
}

static void count(vb_spec *s, const vb_step *step) {
    vb_stats *t = &s->stats;
    if (step->n_text) {
        t->prompt_s += step->verify_s;
        return;
    }
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

/* Completes the records of the drafts; returns how many were tested. */
static int judge(vb_spec *s) {
    int n_tested = 0;
    for (int i = 0; i < s->n_drafted; i++) {
        vb_drafted *d = &s->drafted[i];
        d->p_w = vb_dist_weight(&s->p_dist[i], d->id);
        d->p_total = s->p_dist[i].total;
        d->q_w = vb_dist_weight(&s->q_dist[i], d->id);
        d->q_total = s->q_dist[i].total;
        n_tested += d->tested;
    }
    return n_tested;
}

/* The target's logits are there: decides, and leaves the caches as the new path wants them. */
static int settle(vb_spec *s, vb_step *step, vb_error *err) {
    const vb_lm *target = &s->p.target;
    const double t0 = vb_now();
    vb_verify v = {.n = s->n_drafted,
                   .draft = s->path + s->n,
                   .q = s->q_dist,
                   .ends = s->ends,
                   .position = (uint32_t)s->n,
                   .seed = s->p.seed,
                   .coins = s->p.coins,
                   .p = target_law,
                   .arg = s,
                   .drafted = s->drafted};
    int rc = s->p.rule(&v, err);
    if (rc) return rc;
    const int n_emitted = emit(s, &v), n_tested = judge(s);
    const size_t end = s->n + (size_t)n_emitted;
    if ((rc = target->truncate(target->self, (int)end - 1, err))) return rc;

    /* From here on nothing can fail: the step is done. */
    if (s->p.drafter) s->drafter.settle(s->drafter.self, s->n + (size_t)v.n_accepted);
    if (v.final >= 0) s->path[end - 1] = v.final;
    *step = (vb_step){.position = (int32_t)s->n,
                      .n_drafted = s->n_drafted,
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
                      .sample_s = vb_now() - t0};
    s->n = end;
    return VB_OK;
}

/* Both caches hold a prefix of the path again, so the call can be repeated. */
static void undo(vb_spec *s) {
    const vb_lm *target = &s->p.target;
    if ((size_t)target->length(target->self) >= s->n) target->truncate(target->self, (int)s->n - 1, NULL);
    if (s->p.drafter) s->drafter.settle(s->drafter.self, s->n);
}

/* ---------------------------------------------------------------------- several */

/* The code of an item between the phases; anything else is its result. */
enum { ALIVE = 1 };

typedef struct batch {
    vb_step_item *items; /* (n) */
    size_t n;
    size_t n_text[VB_TOGETHER]; /* tokens of text that are evaluated now; 0: a step */
    vb_lm_call calls[VB_TOGETHER];
    size_t owner[VB_TOGETHER], n_calls; /* calls[i] is for items[owner[i]] */
    double draft_s, verify_s;
} batch;

static void fail(vb_step_item *item, int code) {
    item->code = code;
    undo(item->spec);
}

static int check_item(const batch *b, size_t k) {
    const vb_step_item *item = &b->items[k];
    const vb_spec *s = item->spec;
    for (size_t j = 0; j < k; j++)
        if (b->items[j].spec == s)
            return vb_fail(item->err, VB_ERR_ARGUMENT, "item %zu is the generation of item %zu", k, j);
    if (item->max_emit == 0)
        return vb_fail(item->err, VB_ERR_ARGUMENT, "max_emit is 0: a step emits at least one token");
    if (s->n == 0)
        return vb_fail(item->err, VB_ERR_ARGUMENT,
                       "no token to start from: give a prompt (at least BOS) first");
    if (s->n > (size_t)s->p.target.n_ctx)
        return vb_fail(item->err, VB_ERR_FULL,
                       "the context of %d tokens is full: open it with a larger n_ctx", s->p.target.n_ctx);
    return ALIVE;
}

#define PIECE 512 /* most tokens of text in one go */

/* Text that waits comes before a step. */
static void begin(batch *b) {
    for (size_t k = 0; k < b->n; k++) {
        vb_step_item *item = &b->items[k];
        b->n_text[k] = 0;
        item->code = check_item(b, k);
        if (item->code != ALIVE) continue;
        vb_spec *s = item->spec;
        const size_t have = (size_t)s->p.target.length(s->p.target.self);
        if (have + 1 < s->n) {
            size_t n = s->n - 1 - have;
            if (item->max_text && n > item->max_text) n = item->max_text;
            b->n_text[k] = n < PIECE ? n : PIECE;
        } else {
            int rc = propose(s, item->max_emit, item->err);
            if (rc) fail(item, rc);
        }
    }
}

/* Sampling looks at whole vocabularies, so the sequences of calls[0..n_calls) do theirs side by side: what
 * one of them writes is its own. */
static void each_call(batch *b, vb_task task) {
    if (b->n_calls > 0) vb_pool_run(vb_lm_pool(b->calls[0].lm), (int)b->n_calls, task, b);
}

static void resume_task(void *arg, int index, int worker) {
    batch *b = arg;
    vb_step_item *item = &b->items[b->owner[index]];
    int rc = b->calls[index].code;
    (void)worker;
    if (!rc) rc = item->spec->drafter.resume(item->spec->drafter.self, item->err);
    if (rc) fail(item, rc);
}

/* One evaluation for each drafter that wants one. False: none does any more. */
static bool draft_round(batch *b) {
    b->n_calls = 0;
    for (size_t k = 0; k < b->n; k++) {
        vb_spec *s = b->items[k].spec;
        vb_lm_call *call = &b->calls[b->n_calls];
        if (b->items[k].code != ALIVE || b->n_text[k] || !s->p.drafter || !s->drafter.wants ||
            s->proposal.max == 0 || !s->drafter.wants(s->drafter.self, call))
            continue;
        call->err = b->items[k].err;
        b->owner[b->n_calls++] = k;
    }
    vb_lm_eval_many(b->calls, b->n_calls);
    each_call(b, resume_task);
    return b->n_calls > 0;
}

/* All targets in one pass. */
static void evaluate(batch *b) {
    static const uint8_t nothing[PIECE];
    b->n_calls = 0;
    for (size_t k = 0; k < b->n; k++) {
        vb_step_item *item = &b->items[k];
        vb_lm_call *call = &b->calls[b->n_calls];
        if (item->code != ALIVE) continue;
        vb_spec *s = item->spec;
        const vb_lm *target = &s->p.target;
        if (b->n_text[k]) {
            *call = (vb_lm_call){.lm = target,
                                 .tokens = s->path + target->length(target->self),
                                 .n = b->n_text[k],
                                 .want = nothing,
                                 .err = item->err};
        } else {
            trim(s);
            int rc = ask(s, call, item->err);
            if (rc) {
                fail(item, rc);
                continue;
            }
        }
        b->owner[b->n_calls++] = k;
    }
    vb_lm_eval_many(b->calls, b->n_calls);
    for (size_t i = 0; i < b->n_calls; i++)
        if (b->calls[i].code) fail(&b->items[b->owner[i]], b->calls[i].code);
}

/* The target has taken in a piece of text; the drafter follows. */
static int follow(vb_spec *s, size_t n_text, vb_step *step, vb_error *err) {
    const size_t known = (size_t)s->p.target.length(s->p.target.self) + 1;
    int rc = s->p.drafter ? s->drafter.sync(s->drafter.self, s->path, known, err) : VB_OK;
    if (rc) return rc;
    *step = (vb_step){.position = (int32_t)s->n, .n_text = (int)n_text};
    return VB_OK;
}

static void finish(vb_step_item *item, const vb_step *step) {
    item->step = *step;
    item->code = VB_OK;
    count(item->spec, step);
}

static void settle_task(void *arg, int index, int worker) {
    const batch *b = arg;
    const size_t k = b->owner[index];
    vb_step_item *item = &b->items[k];
    vb_step step;
    (void)worker;
    if (item->code != ALIVE || b->n_text[k]) return;
    const int rc = settle(item->spec, &step, item->err);
    if (rc) {
        fail(item, rc);
        return;
    }
    step.draft_s = b->draft_s;
    step.verify_s = b->verify_s;
    finish(item, &step);
}

/* Drafters share memory, so they take in text one after the other. */
static void follow_all(batch *b) {
    for (size_t k = 0; k < b->n; k++) {
        vb_step_item *item = &b->items[k];
        vb_step step;
        if (item->code != ALIVE || !b->n_text[k]) continue;
        const int rc = follow(item->spec, b->n_text[k], &step, item->err);
        if (rc) {
            fail(item, rc);
            continue;
        }
        step.verify_s = b->verify_s;
        finish(item, &step);
    }
}

int vb_spec_step_many(vb_step_item *items, size_t n) {
    batch b = {.items = items, .n = n};
    for (size_t k = 0; k < n; k++) vb_begin(items[k].err);
    if (n > VB_TOGETHER) {
        for (size_t k = 0; k < n; k++)
            items[k].code = vb_fail(items[k].err, VB_ERR_ARGUMENT, "%zu generations in one step: at most %d",
                                    n, VB_TOGETHER);
        return VB_ERR_ARGUMENT;
    }
    const double t0 = vb_now();
    begin(&b);
    while (draft_round(&b)) continue;
    const double t1 = vb_now();
    evaluate(&b);
    b.draft_s = t1 - t0;
    b.verify_s = vb_now() - t1;
    each_call(&b, settle_task);
    follow_all(&b);
    for (size_t k = 0; k < n; k++)
        if (items[k].code) return items[k].code;
    return VB_OK;
}

int vb_spec_step(vb_spec *s, size_t max_emit, vb_step *step, vb_error *err) {
    vb_begin(err);
    vb_step_item item = {.spec = s, .max_emit = max_emit, .err = err};
    do {
        const int rc = vb_spec_step_many(&item, 1);
        if (rc) return rc;
    } while (item.step.n_emitted == 0);
    *step = item.step;
    return VB_OK;
}
