/* slots.c - the sequences that the engine keeps: opened once, lent to one request after the other. A slot
 * costs its KV caches; threads and working memory are the same for all.
 *
 * A slot's caches stay when its request ends. The next request that shares a prefix with them starts there:
 * the rest is cut off, and what remains is byte for byte what evaluating the prefix again would give (P4,
 * P1), so a request cannot tell, but for the time, whether its prompt was cached. */
#include "server/engine_parts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------- opening and closing */

int vbs_slot_open(vbs_engine *e, vbs_slot *slot, const vbs_engine_params *ep, const vb_context_params *p,
                  vb_error *err) {
    vb_context_params target = *p, draft = *p;
    draft.k_type = ep->draft_k_type;
    draft.v_type = ep->draft_v_type;
    target.share = e->slots[0].target; /* NULL for that one itself */
    draft.share = e->slots[0].draft;
    int rc = vb_context_open(&slot->target, e->target.model, &target, err);
    if (rc) return rc;
    const int n_ctx = vb_context_size(slot->target);
    if (e->draft.model) {
        const int trained = vb_model_describe(e->draft.model)->n_ctx;
        /* Another vocabulary may want more ids for a text. */
        draft.n_ctx = e->through_text && n_ctx <= INT_MAX / 2 ? n_ctx + n_ctx / 2 : n_ctx;
        if (draft.n_ctx > trained) draft.n_ctx = trained; /* beyond it there are no drafts, and no error */
        if ((rc = vb_context_open(&slot->draft, e->draft.model, &draft, err))) return rc;
    }
    const size_t n_draft = e->through_text ? (size_t)draft.n_ctx : 0;
    if ((rc = vb_alloc((void **)&slot->draft_tokens, n_draft, sizeof *slot->draft_tokens, "a slot", err)))
        return rc;
    return vb_alloc((void **)&slot->tokens, (size_t)n_ctx + 1, sizeof *slot->tokens, "a slot", err);
}

void vbs_slot_close(vbs_slot *slot) {
    vb_spec_close(slot->spec);
    vb_guide_close(slot->guide);
    vb_context_close(slot->draft);
    vb_context_close(slot->target);
    free(slot->tokens);
    free(slot->draft_tokens);
}

uint64_t vbs_slot_bytes(const vbs_slot *slot) {
    return vb_context_bytes(slot->target) + (slot->draft ? vb_context_bytes(slot->draft) : 0);
}

/* ---------------------------------------------------------------------- the prefix cache */

/* What the slot's caches hold prefixes of: the path of its request, or of its last one. */
static const int32_t *path_of(const vbs_slot *slot, size_t *n) {
    if (slot->job) return vb_spec_tokens(slot->spec, n);
    *n = slot->n_tokens;
    return slot->tokens;
}

/* How many tokens the prompt shares with the slot's path, at most `most`. Its last one is always evaluated
 * again. */
static size_t shared_prefix(const vbs_slot *slot, const vbs_job *job, size_t most) {
    size_t held, n = 0;
    const int32_t *path = path_of(slot, &held);
    if (most > held) most = held;
    if (most > job->r.n_prompt - 1) most = job->r.n_prompt - 1;
    while (n < most && path[n] == job->prompt[n]) n++;
    return n;
}

/* The same, of tokens that its target's cache holds. */
static size_t shared_cache(const vbs_slot *slot, const vbs_job *job) {
    return shared_prefix(slot, job, (size_t)vb_context_length(slot->target));
}

enum { FORCED_GAMMA = 8 }; /* tokens of forced text in one step, where nobody drafts */

/* A few tokens in common, the start of every conversation, are not worth a copy. */
enum { WORTH = 16 };

/* A slot that holds little else is continued. Others keep what they have:
 * a prefix can be copied from them. */
vbs_slot *vbs_slot_for(vbs_engine *e, const vbs_job *job) {
    vbs_slot *best = NULL;
    size_t best_shared = 0;
    for (int i = 0; i < e->n_slots; i++) {
        vbs_slot *slot = &e->slots[i];
        if (slot->job) continue;
        size_t shared = shared_cache(slot, job);
        if (shared < WORTH || 2 * shared < slot->n_tokens) shared = 0;
        if (best && (shared < best_shared || (shared == best_shared && slot->used >= best->used))) continue;
        best = slot;
        best_shared = shared;
    }
    return best;
}

const vbs_slot *vbs_slot_waits_for(const vbs_engine *e, const vbs_slot *slot) {
    for (int i = 0; i < e->n_slots; i++) {
        const vbs_slot *other = &e->slots[i];
        if (!other->job || other->job->number >= slot->job->number) continue;
        if (other->read + 1 >= other->job->r.n_prompt) continue;
        const size_t shared = shared_prefix(other, slot->job, SIZE_MAX);
        /* What the two share can be copied as soon as it is read, whatever the other goes on to read. */
        if (shared >= slot->read + WORTH && shared > other->read) return other;
    }
    return NULL;
}

void vbs_slot_share(vbs_engine *e, vbs_slot *slot) {
    vbs_slot *from = NULL;
    size_t n = slot->read + WORTH - 1;
    for (int i = 0; i < e->n_slots; i++) {
        vbs_slot *other = &e->slots[i];
        const size_t shared = other == slot ? 0 : shared_cache(other, slot->job);
        if (shared <= n) continue;
        from = other;
        n = shared;
    }
    if (!from || vb_context_copy(slot->target, from->target, (int)n, NULL)) return;
    if (slot->draft && !e->through_text) { /* as much of it as there is, if that is more than it has */
        const int held = vb_context_length(from->draft), most = held < (int)n ? held : (int)n;
        if (most > vb_context_length(slot->draft)) vb_context_copy(slot->draft, from->draft, most, NULL);
    }
    slot->job->cached += n - slot->read;
    e->m.cached_tokens += n - slot->read;
    slot->read = n;
}

/* Cuts a cache to its first n tokens. */
static int keep(vb_context *c, size_t n, vb_error *err) {
    return (size_t)vb_context_length(c) > n ? vb_context_truncate(c, (int)n, err) : VB_OK;
}

/* ---------------------------------------------------------------------- requests */

/* Under a constraint; what it forces is drafted also where nobody else drafts. */
static int constrain(const vbs_engine *e, vbs_slot *slot, const vbs_job *job, vb_spec_params *p,
                     vb_error *err) {
    const vbs_request *r = &job->r;
    if (!r->constraint) return VB_OK;
    const vb_guide_params g = {
        .after = &r->after, .n_after = r->after >= 0, .opens = &r->opens, .n_opens = r->opens >= 0};
    const int rc = vb_guide_open(&slot->guide, r->constraint, &g, err);
    if (rc) return rc;
    slot->mask = vb_guide_mask(slot->guide);
    p->mask = &slot->mask;
    if (p->draft == VB_DRAFT_NONE && !slot->draft && e->alone == VB_DRAFT_NONE) {
        p->draft = VB_DRAFT_FORCED;
        p->gamma = FORCED_GAMMA;
    }
    return VB_OK;
}

/* The draft's cache begins with whatever ids of its own it holds of the prompt. */
static void through_text(const vbs_engine *e, const vbs_slot *slot, vb_spec_params *p) {
    p->target_tokenizer = e->target.tokenizer;
    p->draft_tokenizer = e->draft.tokenizer;
    p->draft_history = slot->draft_tokens;
    p->n_draft_history = slot->n_draft_tokens;
}

static void remember_draft(const vbs_engine *e, vbs_slot *slot) {
    size_t n;
    const int32_t *held = e->through_text ? vb_spec_draft_tokens(slot->spec, &n) : NULL;
    if (!held) return; /* a request without drafts leaves the cache alone */
    memcpy(slot->draft_tokens, held, n * sizeof *held);
    slot->n_draft_tokens = n;
}

static void close_generation(vbs_slot *slot) {
    vb_spec_close(slot->spec);
    vb_guide_close(slot->guide);
    slot->spec = NULL;
    slot->guide = NULL;
}

int vbs_slot_take(vbs_engine *e, vbs_slot *slot, vbs_job *job, vb_error *err) {
    const vbs_request *r = &job->r;
    const size_t cached = shared_cache(slot, job);
    vb_spec_params p;
    int rc;
    if ((rc = keep(slot->target, cached, err)) ||
        (slot->draft && !e->through_text && (rc = keep(slot->draft, cached, err))))
        return rc;
    vb_spec_defaults(&p);
    p.accept = r->accept;
    p.logprobs = r->want_logprobs || r->n_top > 0;
    p.history = job->prompt;
    p.n_history = cached;
    if (r->gamma != 0) {
        p.draft = slot->draft ? VB_DRAFT_MODEL : e->alone;
        p.suffix_min = e->suffix_min;
        p.corpus = e->corpus;
        p.gamma = r->gamma;
        if (slot->draft && !e->through_text) memcpy(p.tree, r->tree, sizeof p.tree); /* text: chains */
        p.costs = &e->costs;
        p.draft_context = slot->draft;
        p.draft_vocab = e->draft_vocab;
        if (e->through_text) through_text(e, slot, &p);
    }
    p.stop = job->stop;
    p.n_stop = job->n_stop;
    if ((rc = constrain(e, slot, job, &p, err))) return rc;
    if ((rc = vb_spec_open(&slot->spec, slot->target, &r->sampling, &p, err)) ||
        (rc = vb_spec_give(slot->spec, job->prompt + cached, r->n_prompt - cached, err))) {
        close_generation(slot);
        return rc;
    }
    slot->job = job;
    slot->read = cached;
    slot->cancelled = false;
    job->cached = cached;
    return VB_OK;
}

/* What the vb_spec counted, without what lies beyond the end of the request's text. */
static void read_stats(const vbs_slot *slot, vb_stats *s) {
    const vb_stats *beyond = &slot->job->beyond;
    vb_spec_stats(slot->spec, s);
    s->emitted -= beyond->emitted;
    s->drafted -= beyond->drafted;
    s->tested -= beyond->tested;
    s->accepted -= beyond->accepted;
    for (int i = 0; i < 32; i++) {
        s->tested_at[i] -= beyond->tested_at[i];
        s->accepted_at[i] -= beyond->accepted_at[i];
    }
}

void vbs_slot_end(vbs_engine *e, vbs_slot *slot, vbs_end end, const vb_error *error) {
    vbs_job *job = slot->job;
    vb_stats stats;
    const int32_t *path = vb_spec_tokens(slot->spec, &slot->n_tokens);
    memcpy(slot->tokens, path, slot->n_tokens * sizeof *path);
    remember_draft(e, slot);
    read_stats(slot, &stats);
    close_generation(slot);
    slot->job = NULL;
    slot->used = ++e->ended;
    vbs_queue_end(e, job, end, error, &stats);
}
