/* spec_step.c - one step of one or several generations: draft, verify, accept, roll back.
 *
 * Several are taken through it side by side, phase by phase, so that what their models have to evaluate
 * shares a pass: first the drafters', round by round, then the targets'. What is decided about a sequence
 * depends on its own logits and its own coins alone, and one that fails is rolled back alone. */
#include "sampling/spec.h"

#include "base/ids.h"

#include <math.h>
#include <string.h>

/* ---------------------------------------------------------------------- one sequence */

/* Writes draft i and those that it follows behind the path (-1: nothing); returns how many. On a chain that
 * is where they stand already. */
static size_t lay_branch(vb_spec *s, int i) {
    size_t depth = 0;
    for (int at = i; at >= 0; at = s->drafted[at].parent) depth++;
    for (size_t d = depth; d > 0; i = s->drafted[i].parent) s->path[s->n + --d] = s->draft[i];
    return depth;
}

/* The target's law after draft i - 1, computed when first asked for. */
static int target_law(void *arg, int i, const vb_dist **out, vb_error *err) {
    vb_spec *s = arg;
    const vb_law_source *law = &s->p.law;
    vb_dist *p = &s->p_dist[i];
    if (p->n == 0) {
        const size_t end = s->n + lay_branch(s, i - 1);
        const float *logits = vb_lm_logits(&s->p.target, (size_t)i);
        int rc = law->at(law->self, logits, s->p.target.n_vocab, s->path, end, &s->space[i], p, err);
        if (rc) return rc;
        if (p->n == 0)
            return law->why_empty
                       ? law->why_empty(law->self, err)
                       : vb_fail(err, VB_ERR_ARGUMENT, "logit bias bans every id: nothing is left to sample");
        if (s->mask) law->mask_hash(law->self, s->mask[i]);
    }
    *out = p;
    return VB_OK;
}

/* Text that must follow path and drafts is proposed as it is. It needs no draft model, and a law that knows
 * one id is one like any other: the rules verify it. What is proposed depends on the path and on drafts that
 * are kept in the list, as the rules demand. */
static int propose_forced(vb_spec *s, vb_error *err) {
    const vb_law_source *law = &s->p.law;
    vb_proposal *o = &s->proposal;
    int32_t id[VB_MAX_GAMMA];
    int n = 1;
    const int most = o->max < o->depth ? o->max : o->depth;
    while (s->p.one && law->forced && n > 0 && o->n < most && !vb_proposal_ends(o, s->p.stop, s->p.n_stop)) {
        int rc = law->forced(law->self, s->path, s->n + (size_t)o->n, id, most - o->n, &n, err);
        if (rc) return rc;
        for (int i = 0; i < n; i++) {
            if (id[i] < 0 || id[i] >= s->p.target.n_vocab) return VB_OK;
            vb_propose_certain(o, s->path, s->n, id[i], s->p.one);
            o->drafted[o->n - 1].forced = true;
        }
    }
    return VB_OK;
}

/* ---------------------------------------------------------------------- lengths that are chosen */

/* The most tokens that the step may draft. What it emits is a path: of a tree that bounds the depth alone. */
static size_t most_drafts(const vb_spec *s, size_t max_emit) {
    const size_t room = (size_t)s->p.target.n_ctx - s->n; /* besides the pending token */
    size_t max = (size_t)s->p.gamma;
    if (s->stats.steps < s->p.n_lengths && (size_t)s->lengths[s->stats.steps] < max)
        max = (size_t)s->lengths[s->stats.steps];
    if (max_emit == 1) return 0;
    if (max > max_emit - 1 && !s->p.tree) max = max_emit - 1;
    return max < room ? max : room;
}

/* Whether this step's length is chosen as it goes, and not one that is repeated. */
static bool chooses(const vb_spec *s) {
    return s->pace && s->stats.steps >= s->p.n_lengths;
}

/* How sure the drafter is of draft i, whose law was made of these logits: the weight of its likeliest id. A
 * law of one id says that of every draft (temperature 0), so there the logits are asked. */
static double confidence(const vb_spec *s, int i, const float *logits, int32_t n_vocab) {
    const vb_dist *q = &s->q_dist[i];
    if (q->n == 1 && logits) {
        size_t n_kept = 0; /* of a trimmed output matrix */
        const int32_t *kept = s->params.draft_context
                                  ? vb_model_kept(vb_context_model(s->params.draft_context), &n_kept)
                                  : NULL;
        const int32_t n = kept ? (int32_t)n_kept : n_vocab,
                      at = kept ? vb_id_place(kept, n, q->id[0]) : q->id[0];
        if (at >= 0) return vb_lm_sure(logits, n, at);
    }
    uint64_t most = 0;
    for (int32_t j = 0; j < q->n; j++)
        if (q->w[j] > most) most = q->w[j];
    return q->total ? (double)most / (double)q->total : 0;
}

/* The drafts from `from` on have come: text that must follow, copies, or (with logits) the model's (one, but
 * where the drafter itself says how sure it is) and text that must follow it. */
static void note(vb_spec *s, int from, const vb_lm *lm, const float *logits) {
    const vb_drafter *d = &s->drafter;
    for (int i = from; i < s->proposal.n; i++) {
        const bool drawn = (i == from || d->sure) && logits && !s->drafted[i].forced;
        const double sure = !drawn    ? 1
                            : d->sure ? d->sure(d->self, i)
                                      : confidence(s, i, logits, lm->n_vocab);
        vb_pace_note(s->pace, &s->drafted[i], drawn ? VB_BY_MODEL : VB_BY_LOOKUP, sure);
    }
}

/* Text that must follow stands there and the drafter has begun: copies are cut to their plan, which is a
 * function of the path and of the past as they are; where there are none, the model has its own plan. */
static void limit(vb_spec *s, int n_forced) {
    vb_proposal *o = &s->proposal;
    const int copies = n_forced + s->pace->planned[VB_BY_LOOKUP],
              drafts = n_forced + s->pace->planned[VB_BY_MODEL];
    if (o->n > copies) o->n = copies;
    note(s, 0, NULL, NULL);
    const int max = o->n > n_forced ? o->n : drafts;
    if (max < o->max) o->max = max;
}

/* ---------------------------------------------------------------------- proposing */

/* How much is drafted behind n_forced tokens, as far as that is known before: the length of a chain, whose
 * drafter may stop it earlier, or the shape of a tree. */
static void choose(vb_spec *s, int n_forced) {
    vb_proposal *o = &s->proposal;
    const int chain = o->max < o->depth ? o->max : o->depth;
    vb_pace_plan(s->pace, s->n, chain, s->drafter.wants != NULL);
    vb_pace_plan_tree(s->pace, o->max - n_forced);
    const int *planned = s->pace->planned;
    const int most = n_forced + (planned[0] > planned[1] ? planned[0] : planned[1]);
    if (s->pace->shape[0])
        o->shape = s->pace->shape;
    else
        o->max = chain;
    if (most < o->max) o->max = most;
}

/* Begins to draft behind the path. */
static int propose(vb_spec *s, size_t max_emit, vb_error *err) {
    int rc;
    vb_proposal *o = &s->proposal;
    s->n_drafted = s->n_evaluated = 0;
    s->chain = true;
    *o = (vb_proposal){.space = s->space + s->p.gamma + 1, .q = s->q_dist, .drafted = s->drafted};
    memset(s->p_dist, 0, ((size_t)s->p.gamma + 1) * sizeof *s->p_dist);
    if (!s->p.drafter) return VB_OK;
    o->max = (int)most_drafts(s, max_emit);
    if (o->max == 0) return VB_OK;
    o->depth = max_emit - 1 < (size_t)o->max ? (int)(max_emit - 1) : o->max;
    if ((rc = propose_forced(s, err))) return rc;
    const int n_forced = o->n;
    if (s->p.tree && !s->pace) o->shape = s->p.shape;
    if (chooses(s)) choose(s, n_forced);
    if (o->max > o->n && (rc = s->drafter.draft(s->drafter.self, s->path, s->n, o, err))) return rc;
    if (chooses(s)) limit(s, n_forced);
    return VB_OK;
}

/* Takes the proposal as the drafter has left it. Nothing is looked at that follows a stop token: that is a
 * stopping rule, not a choice among drafts, and exact. */
static int take(vb_spec *s, vb_error *err) {
    s->parent[0] = -1;
    for (int i = 0; i < s->proposal.n; i++) {
        const int32_t id = s->drafted[i].id, parent = s->drafted[i].parent;
        if (parent < -1 || parent >= i)
            return vb_fail(err, VB_ERR_ARGUMENT, "draft %d follows draft %d, which is not before it", i,
                           (int)parent);
        if (parent >= 0 && s->ends[parent]) break;
        s->draft[i] = id;
        s->ends[i] = vb_is_stop(s->p.stop, s->p.n_stop, id);
        s->parent[i + 1] = parent + 1;
        s->chain &= parent == i - 1;
        s->n_drafted = i + 1;
    }
    if (!s->chain && s->p.rule != vb_rule_coupled && !s->p.tree)
        return vb_fail(err, VB_ERR_ARGUMENT, "a tree of drafts in a generation that judges chains");
    if (!s->chain && s->p.rule == vb_rule_block)
        return vb_fail(
            err, VB_ERR_ARGUMENT,
            "block verification judges chains: a tree of drafts needs coupled, greedy or rejection");
    return VB_OK;
}

/* What the target has to evaluate: the last token of the path and the drafts. */
static int ask(vb_spec *s, vb_eval_item *item, vb_error *err) {
    const vb_lm *target = &s->p.target;
    int rc = take(s, err);
    if (rc || (vb_lm_length(target) >= s->n && (rc = vb_lm_truncate(target, s->n - 1, err)))) return rc;
    s->want[0] = 1;
    for (int i = 0; i < s->n_drafted; i++) s->want[i + 1] = !s->ends[i];
    *item = (vb_eval_item){.tokens = s->path + s->n - 1,
                           .n = (size_t)s->n_drafted + 1,
                           .want = s->want,
                           .parent = s->chain ? NULL : s->parent,
                           .err = err};
    return VB_OK;
}

/* Fills in the emitted tokens; returns how many. */
static int emit(vb_spec *s, const vb_verify *v) {
    int n = 0;
    for (; n < v->n_accepted; n++)
        s->emitted[n] = (vb_emitted){.id = v->draft[v->kept[n]], .origin = VB_FROM_DRAFT};
    if (v->final >= 0) {
        const int last = n ? v->kept[n - 1] : -1;
        bool leaf = true; /* was nothing drafted after the last one that is kept? */
        for (int i = last + 1; i < v->n; i++) leaf &= v->drafted[i].parent != last;
        const vb_origin origin = v->n == 0 ? VB_FROM_TARGET : leaf ? VB_FROM_BONUS : VB_FROM_RESIDUAL;
        s->emitted[n++] = (vb_emitted){.id = v->final, .origin = origin};
    }
    const vb_kernels *kernels = s->p.kernels ? s->p.kernels : &vb_kernels_ref;
    for (int i = 0; i < n; i++) {
        s->logits[i] = vb_lm_logits(&s->p.target, i ? (size_t)v->kept[i - 1] + 1 : 0);
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
    t->draft_calls += (uint64_t)s->n_evaluated;
    t->tested += (uint64_t)step->n_tested;
    t->accepted += (uint64_t)step->n_accepted;
    for (int i = 0; i < step->n_drafted; i++) {
        int place = 0; /* on its branch */
        for (int at = s->drafted[i].parent; at >= 0; at = s->drafted[at].parent) place++;
        t->tested_at[place] += s->drafted[i].tested;
        t->accepted_at[place] += s->drafted[i].accepted;
        if (s->drafted[i].tested && s->drafted[i].p_total)
            t->likely += (double)s->drafted[i].p_w / (double)s->drafted[i].p_total;
    }
    t->by_length[step->n_drafted]++;
    t->draft_s += step->draft_s;
    t->verify_s += step->verify_s;
    t->sample_s += step->sample_s;
}

/* Completes the records of the drafts; returns how many were tested. */
static int judge(vb_spec *s) {
    int n_tested = 0;
    for (int i = 0; i < s->n_drafted; i++) {
        vb_drafted *d = &s->drafted[i];
        const vb_dist *p = &s->p_dist[d->parent + 1];
        d->p_w = vb_dist_weight(p, d->id);
        d->p_total = p->total;
        d->q_w = vb_dist_weight(&s->q_dist[i], d->id);
        d->q_total = s->q_dist[i].total;
        n_tested += d->tested;
    }
    return n_tested;
}

/* The rows that become positions n - 1, n, ...: the pending token, then the drafts that are kept. The
 * target's cache keeps `held` positions in all. */
static int keep_rows(vb_spec *s, const vb_verify *v, size_t held, vb_error *err) {
    const vb_lm *target = &s->p.target;
    int32_t rows[VB_MAX_GAMMA + 1] = {0};
    const size_t base = s->n - 1;
    int rc;
    for (int i = 0; i < v->n_accepted; i++) rows[i + 1] = v->kept[i] + 1;
    if ((rc = vb_spec_show(s, base, rows, held - base, err))) return rc;
    if (s->chain) return vb_lm_truncate(target, held, err);
    if (!target->kind->keep)
        return vb_fail(err, VB_ERR_UNSUPPORTED, "this target keeps no branch of a tree of drafts");
    return target->kind->keep(target->self, (int)base, rows, held - base, err);
}

/* Did the model draft in the shape of a tree? Where copies stand in front of it, it may not have been
 * asked. */
static bool grew(const vb_spec *s) {
    for (int i = 0; i < s->n_drafted && s->proposal.shape; i++)
        if (!s->drafted[i].forced && !s->drafted[i].copied) return true;
    return false;
}

/* The target's logits are there: decides, and leaves the caches as the new path wants them. */
static int settle(vb_spec *s, vb_step *step, vb_error *err) {
    const double t0 = vb_now();
    vb_verify v = {.n = s->n_drafted,
                   .draft = s->draft,
                   .q = s->q_dist,
                   .ends = s->ends,
                   .position = (uint32_t)s->n,
                   .coins = s->p.coins,
                   .p = target_law,
                   .arg = s,
                   .tree = s->p.tree,
                   .rest = s->rest,
                   .drafted = s->drafted,
                   .kept = s->kept};
    int rc = s->p.rule(&v, err);
    if (rc) return rc;
    const int n_emitted = emit(s, &v), n_tested = judge(s);
    const size_t end = s->n + (size_t)n_emitted;
    if ((rc = keep_rows(s, &v, end - 1, err))) return rc;

    /* From here on nothing can fail: the step is done. */
    lay_branch(s, v.n_accepted ? s->kept[v.n_accepted - 1] : -1);
    if (s->p.drafter) s->drafter.settle(s->drafter.self, s->n + (size_t)v.n_accepted);
    if (v.final >= 0) s->path[end - 1] = v.final;
    if (s->pace && s->drafter.sure) vb_pace_evaluated(s->pace, s->n_evaluated);
    if (s->pace && grew(s))
        vb_pace_learn_tree(s->pace, s->drafted, s->n_drafted, n_emitted);
    else if (s->pace)
        vb_pace_learn(s->pace, s->drafted, s->n_drafted, n_emitted);
    *step = (vb_step){.position = (int32_t)s->n,
                      .n_drafted = s->n_drafted,
                      .n_tested = n_tested,
                      .n_accepted = v.n_accepted,
                      .drafted = s->drafted,
                      .kept = s->kept,
                      .n_emitted = n_emitted,
                      .emitted = s->emitted,
                      .has_final = v.has_final_coin,
                      .final = v.final_coin,
                      .p = s->p_dist,
                      .q = s->q_dist,
                      .mask = (const uint8_t(*)[16])s->mask,
                      .logits = s->logits,
                      .sample_s = vb_now() - t0};
    s->n = end;
    return VB_OK;
}

/* Both caches hold a prefix of the path again, so the call can be repeated. */
static void undo(vb_spec *s) {
    const vb_lm *target = &s->p.target;
    if (vb_lm_length(target) >= s->n) vb_lm_truncate(target, s->n - 1, NULL);
    if (s->p.drafter) s->drafter.settle(s->drafter.self, s->n);
}

/* ---------------------------------------------------------------------- several */

/* The code of an item between the phases; anything else is its result. */
enum { ALIVE = 1 };

typedef struct batch {
    vb_step_item *items; /* (n) */
    size_t n;
    size_t n_text[VB_TOGETHER]; /* tokens of text that are evaluated now; 0: a step */
    const vb_lm *lm[VB_TOGETHER];
    vb_eval_item calls[VB_TOGETHER];
    size_t owner[VB_TOGETHER], n_calls; /* calls[i], of lm[i], is for items[owner[i]] */
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

/* How many tokens of text item k has to evaluate before it can make a step. */
static size_t waiting_text(const vb_step_item *item) {
    const vb_spec *s = item->spec;
    const size_t have = vb_lm_length(&s->p.target);
    size_t n = have + 1 < s->n ? s->n - 1 - have : 0;
    if (item->max_text && n > item->max_text) n = item->max_text;
    return n < VB_LM_PIECE ? n : VB_LM_PIECE;
}

/* Under `coupled` and `greedy` a length may look at who shares the pass: their rows, as far as they are known
 * (text that is read, and as many drafts as in the step before). */
static void tell_company(const batch *b, size_t k) {
    vb_spec *s = b->items[k].spec;
    int others = 0, rows = 0;
    if (!s->pace || s->p.reads_past_alone) return;
    for (size_t j = 0; j < b->n; j++) {
        if (j == k || b->items[j].code != ALIVE) continue;
        others += b->n_text[j] == 0;
        rows += b->n_text[j] ? (int)b->n_text[j] : 1 + b->items[j].spec->n_drafted;
    }
    vb_pace_company(s->pace, others, rows);
}

/* Text that waits comes before a step. */
static void begin(batch *b) {
    for (size_t k = 0; k < b->n; k++) {
        vb_step_item *item = &b->items[k];
        item->code = check_item(b, k);
        b->n_text[k] = item->code == ALIVE ? waiting_text(item) : 0;
    }
    for (size_t k = 0; k < b->n; k++) {
        vb_step_item *item = &b->items[k];
        if (item->code != ALIVE || b->n_text[k]) continue;
        tell_company(b, k);
        const int rc = propose(item->spec, item->max_emit, item->err);
        if (rc) fail(item, rc);
    }
}

/* Sampling looks at whole vocabularies, so the sequences of calls[0..n_calls) do theirs side by side: what
 * one of them writes is its own. */
static void each_call(batch *b, vb_task task) {
    if (b->n_calls > 0) vb_pool_run(vb_lm_pool(b->lm[0]), (int)b->n_calls, task, b);
}

static void resume_task(void *arg, int index, int worker) {
    batch *b = arg;
    vb_step_item *item = &b->items[b->owner[index]];
    vb_spec *s = item->spec;
    const int n = s->proposal.n;
    int rc = b->calls[index].code;
    (void)worker;
    s->n_evaluated++;
    if (!rc) rc = s->drafter.resume(s->drafter.self, item->err);
    if (!rc && !s->proposal.shape) rc = propose_forced(s, item->err); /* siblings are not one text */
    if (!rc && chooses(s) && !s->proposal.shape) {
        const vb_lm *lm = b->lm[index];
        note(s, n, lm, vb_lm_logits(lm, b->calls[index].n - 1));
        if (!vb_pace_more(s->pace, s->proposal.max)) s->proposal.max = s->proposal.n;
    }
    if (rc) fail(item, rc);
}

/* One evaluation for each drafter that wants one. False: none does any more. */
static bool draft_round(batch *b) {
    b->n_calls = 0;
    for (size_t k = 0; k < b->n; k++) {
        vb_spec *s = b->items[k].spec;
        const size_t i = b->n_calls;
        if (b->items[k].code != ALIVE || b->n_text[k] || !s->p.drafter || !s->drafter.wants ||
            s->proposal.max == 0 || !s->drafter.wants(s->drafter.self, &b->lm[i], &b->calls[i]))
            continue;
        b->calls[i].err = b->items[k].err;
        b->owner[b->n_calls++] = k;
    }
    vb_lm_eval_many(b->lm, b->calls, b->n_calls);
    each_call(b, resume_task);
    return b->n_calls > 0;
}

/* All targets in one pass. */
static void evaluate(batch *b) {
    static const uint8_t nothing[VB_LM_PIECE];
    b->n_calls = 0;
    for (size_t k = 0; k < b->n; k++) {
        vb_step_item *item = &b->items[k];
        vb_eval_item *call = &b->calls[b->n_calls];
        if (item->code != ALIVE) continue;
        vb_spec *s = item->spec;
        b->lm[b->n_calls] = &s->p.target;
        if (b->n_text[k]) {
            *call = (vb_eval_item){.tokens = s->path + vb_lm_length(&s->p.target),
                                   .n = b->n_text[k],
                                   .want = nothing,
                                   .err = item->err};
        } else {
            int rc = ask(s, call, item->err);
            if (rc) {
                fail(item, rc);
                continue;
            }
        }
        b->owner[b->n_calls++] = k;
    }
    vb_lm_eval_many(b->lm, b->calls, b->n_calls);
    for (size_t i = 0; i < b->n_calls; i++)
        if (b->calls[i].code) fail(&b->items[b->owner[i]], b->calls[i].code);
}

/* The target has taken in a piece of text; the drafter follows. */
static int follow(vb_spec *s, size_t n_text, vb_step *step, vb_error *err) {
    const size_t held = vb_lm_length(&s->p.target);
    int rc = vb_spec_show(s, held - n_text, NULL, n_text, err);
    if (!rc && s->p.drafter) rc = s->drafter.sync(s->drafter.self, s->path, held + 1, err);
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
