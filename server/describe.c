/* describe.c - what a request is told about its tokens: where each came from, how likely it was, and what
 * else was.
 *
 * Log-probabilities are log softmax of the target's raw logits in float64 (P5): l_i - max - log(sum), the sum
 * once per token for all alternatives, with the bits of vb_logprob. p and q are the integer laws after
 * truncation: what mask, penalties, temperature, top-k, top-p and min-p leave, as w / W. */
#include "server/engine_parts.h"

#include "base/ids.h"

#include <math.h>
#include <string.h>

static double ratio(uint64_t part, uint64_t whole) {
    return whole ? (double)part / (double)whole : (double)NAN;
}

/* p(id): ids are ascending. */
static double probability(const vb_dist *d, int32_t id) {
    const int32_t at = vb_id_place(d->id, d->n, id);
    return ratio(at >= 0 ? d->w[at] : 0, d->total);
}

/* The n most likely ids of a row, lower ids first among equals: insertion into a short sorted list. */
static int find_top(const vb_kernels *kernels, const float *logits, int n_vocab, int n, vbs_top *top) {
    int held = 0;
    if (n > n_vocab) n = n_vocab;
    if (n == 0) return 0;
    for (int32_t id = 0; id < n_vocab; id++) {
        const double l = (double)logits[id];
        if (held == n && l <= top[held - 1].value) continue;
        int at = held < n ? held++ : held - 1;
        for (; at > 0 && top[at - 1].value < l; at--) top[at] = top[at - 1];
        top[at] = (vbs_top){id, l};
    }
    /* With the largest logit m: vb_logprob(m) = (m - m) - log(sum), so log(sum) = -vb_logprob(m). */
    const double max = top[0].value, log_sum = -vb_logprob_by(kernels, logits, n_vocab, top[0].id);
    for (int i = 0; i < held; i++) top[i].value = (top[i].value - max) - log_sum;
    return held;
}

/* The n most likely ids of a law, lower ids first among equals, compared as the integers that they are. */
static int find_likely(const vb_dist *d, int n, vbs_top *top) {
    uint64_t weight[VBS_MAX_TOP];
    int held = 0;
    for (int32_t i = 0; i < d->n && n; i++) {
        const uint64_t w = d->w[i];
        if (w == 0 || (held == n && w <= weight[held - 1])) continue;
        int at = held < n ? held++ : held - 1;
        for (; at > 0 && weight[at - 1] < w; at--) top[at] = top[at - 1], weight[at] = weight[at - 1];
        top[at].id = d->id[i], weight[at] = w;
    }
    for (int i = 0; i < held; i++) top[i].value = ratio(weight[i], d->total);
    return held;
}

/* The place of draft i on its own path: 0 behind the path. */
static int place_of(const vb_step *step, int i) {
    int place = 0;
    while ((i = step->drafted[i].parent) >= 0) place++;
    return place;
}

void vbs_count_places(const vb_step *step, int from, uint64_t tested[32], uint64_t accepted[32]) {
    for (int i = from; i < step->n_drafted; i++) {
        const int place = place_of(step, i);
        tested[place] += step->drafted[i].tested;
        accepted[place] += step->drafted[i].accepted;
    }
}

/* Token i of the step. */
static void describe(const vbs_engine *e, const vbs_request *r, const vb_step *step, int i, vbs_token *t,
                     vbs_top *top) {
    const vb_emitted *from = &step->emitted[i];
    const vb_dist *p = &step->p[i ? step->kept[i - 1] + 1 : 0];
    const vb_drafted *d = i < step->n_accepted ? &step->drafted[step->kept[i]] : NULL;
    *t = (vbs_token){.id = from->id,
                     .origin = from->origin,
                     .stop = from->stop,
                     .logprob = r->want_logprobs ? from->logprob : (double)NAN,
                     .p = probability(p, from->id),
                     .q = d ? ratio(d->q_w, d->q_total) : (double)NAN,
                     .top = top};
    const int n_vocab = vb_model_describe(e->target.model)->n_vocab;
    t->n_top = r->want_law ? find_likely(p, r->n_top, top)
                           : find_top(e->kernels, step->logits[i], n_vocab, r->n_top, top);
}

/* Cuts a step to its first n tokens, fewer than it emitted: the text ends there. So many drafts were
 * accepted, and what was drafted beyond them counts neither as accepted nor as rejected, as after a stop
 * token. */
static void cut(vb_step *step, int n, vb_stats *beyond) {
    int drafted = 0, tested = 0;
    /* The list goes depth by depth. */
    while (drafted < step->n_drafted && place_of(step, drafted) < n)
        tested += step->drafted[drafted++].tested;
    beyond->emitted += (uint64_t)(step->n_emitted - n);
    beyond->drafted += (uint64_t)(step->n_drafted - drafted);
    beyond->tested += (uint64_t)(step->n_tested - tested);
    beyond->accepted += (uint64_t)(step->n_accepted - n);
    vbs_count_places(step, drafted, beyond->tested_at, beyond->accepted_at);
    step->n_drafted = drafted;
    step->n_tested = tested;
    step->n_emitted = step->n_accepted = n;
}

bool vbs_report(vbs_engine *e, vbs_slot *slot, vb_step *step) {
    const vbs_request *r = &slot->job->r;
    vbs_step out = {.n = (size_t)step->n_emitted,
                    .tokens = e->tokens,
                    .n_drafted = step->n_drafted,
                    .n_tested = step->n_tested,
                    .n_accepted = step->n_accepted,
                    .rejected = -1,
                    .rejected_p = (double)NAN,
                    .rejected_q = (double)NAN};
    for (int i = 0; i < step->n_emitted; i++)
        describe(e, r, step, i, &e->tokens[i], e->top + (size_t)i * VBS_MAX_TOP);
    const int last = step->n_accepted ? step->kept[step->n_accepted - 1] : -1;
    int refused = last + 1; /* of siblings the first */
    while (refused < step->n_drafted && step->drafted[refused].parent != last) refused++;
    if (r->want_drafts && refused < step->n_drafted && step->drafted[refused].tested) {
        const vb_drafted *d = &step->drafted[refused];
        out.rejected = d->id;
        out.rejected_p = ratio(d->p_w, d->p_total);
        out.rejected_q = ratio(d->q_w, d->q_total);
    }
    size_t kept = out.n;
    const bool go_on = r->on_step(r->user, &out, &kept);
    if (kept < out.n) cut(step, (int)kept, &slot->job->beyond);
    slot->job->output += kept;
    return go_on;
}
