/* queue.c - requests on their way in and out: checked, copied, waiting, cancelled, ended. */
#include "server/engine_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------- taking in */

static int check_request(const vbs_engine *e, const vbs_request *r, vb_error *err) {
    const int n_vocab = vb_model_describe(e->target.model)->n_vocab;
    int rc;
    if (!r->on_step || !r->on_end)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "on_step and on_end must be given: tokens and the end come there");
    if (r->n_prompt == 0 || !r->prompt)
        return vb_fail(err, VB_ERR_ARGUMENT, "the prompt is empty: give at least one token");
    if (r->n_prompt > (size_t)e->n_ctx)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "the prompt has %zu tokens and the context holds %d: shorten it%s", r->n_prompt,
                       e->n_ctx,
                       r->n_prompt > (size_t)vb_model_describe(e->target.model)->n_ctx
                           ? ""
                           : ", or start the server with a larger one");
    for (size_t i = 0; i < r->n_prompt; i++)
        if (r->prompt[i] < 0 || r->prompt[i] >= n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT, "prompt[%zu]: id %d is outside the vocabulary of %d", i,
                           (int)r->prompt[i], n_vocab);
    for (size_t i = 0; i < r->n_stop; i++)
        if (r->stop[i] < 0 || r->stop[i] >= n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT, "stop[%zu]: id %d is outside the vocabulary of %d", i,
                           (int)r->stop[i], n_vocab);
    if ((rc = vb_sampling_check(&r->sampling, n_vocab, err))) return rc;
    if (!vb_accept_name(r->accept))
        return vb_fail(err, VB_ERR_ARGUMENT, "accept %d: no such rule", (int)r->accept);
    if (r->accept == VB_ACCEPT_GREEDY && r->sampling.temperature > 0)
        return vb_fail(err, VB_ERR_ARGUMENT, "accept greedy needs temperature 0, not %g: use coupled",
                       r->sampling.temperature);
    if (r->gamma != VB_GAMMA_AUTO && (r->gamma < 0 || r->gamma > VBS_MAX_GAMMA))
        return vb_fail(err, VB_ERR_ARGUMENT, "gamma is %d, must be 0 (no draft) to %d or VB_GAMMA_AUTO",
                       r->gamma, VBS_MAX_GAMMA);
    if (r->n_top < 0 || r->n_top > VBS_MAX_TOP)
        return vb_fail(err, VB_ERR_ARGUMENT, "n_top is %d, must be 0 to %d", r->n_top, VBS_MAX_TOP);
    return VB_OK;
}

static void free_job(vbs_job *job) {
    if (!job) return;
    free(job->prompt);
    free(job->bias);
    free(job->breakers);
    free(job->stop);
    free(job);
}

static int copy_request(const vbs_engine *e, vbs_job **out, const vbs_request *r, vb_error *err) {
    vbs_job *job = NULL;
    size_t own = 0;
    const int32_t *ids = vb_stop_ids(e->target.tokenizer, &own);
    int rc = vb_alloc((void **)&job, 1, sizeof *job, "a request", err);
    if (rc) return rc;
    if (r->ignore_stop) own = 0;
    if ((rc = vb_alloc((void **)&job->prompt, r->n_prompt, sizeof *job->prompt, "a prompt", err)) ||
        (rc = vb_alloc((void **)&job->bias, r->sampling.n_bias, sizeof *job->bias, "logit bias", err)) ||
        (rc = vb_alloc((void **)&job->breakers, r->sampling.n_dry_breakers, sizeof *job->breakers, "breakers",
                       err)) ||
        (rc = vb_alloc((void **)&job->stop, own + r->n_stop, sizeof *job->stop, "stop ids", err))) {
        free_job(job);
        return rc;
    }
    job->n_stop = own + r->n_stop;
    if (own) memcpy(job->stop, ids, own * sizeof *ids);
    if (r->n_stop) memcpy(job->stop + own, r->stop, r->n_stop * sizeof *r->stop);
    job->r = *r;
    job->r.stop = NULL; /* all of them are in the job's own list */
    memcpy(job->prompt, r->prompt, r->n_prompt * sizeof *job->prompt);
    job->r.prompt = job->prompt;
    if (r->sampling.n_bias) memcpy(job->bias, r->sampling.bias, r->sampling.n_bias * sizeof *job->bias);
    job->r.sampling.bias = job->bias;
    if (r->sampling.n_dry_breakers)
        memcpy(job->breakers, r->sampling.dry_breakers, r->sampling.n_dry_breakers * sizeof *job->breakers);
    job->r.sampling.dry_breakers = job->breakers;
    job->submitted = vb_now();
    *out = job;
    return VB_OK;
}

/* With the mutex held. */
static int enqueue(vbs_engine *e, vbs_job *job, vb_error *err) {
    if (e->draining) {
        e->counts.refused++;
        return vb_fail(err, VB_ERR_FULL, "the server is shutting down and takes no new requests");
    }
    if (e->n_live >= e->n_slots + e->n_queue) {
        e->counts.refused++;
        return vb_fail(err, VB_ERR_FULL,
                       "%d requests are running and %d are waiting, as many as may: try again later",
                       e->n_slots, e->n_queue);
    }
    if (e->last)
        e->last->next = job;
    else
        e->first = job;
    e->last = job;
    job->next_live = e->live;
    e->live = job;
    e->n_live++;
    job->number = e->counts.requests++;
    pthread_cond_signal(&e->news);
    return VB_OK;
}

int vbs_submit(vbs_engine *e, const vbs_request *r, vbs_job **out, vb_error *err) {
    vbs_job *job = NULL;
    int rc = check_request(e, r, err);
    if (rc || (rc = copy_request(e, &job, r, err))) return rc;
    pthread_mutex_lock(&e->mutex);
    rc = enqueue(e, job, err);
    if (!rc) *out = job; /* before the engine's thread can end it: the caller's callbacks may look there */
    pthread_mutex_unlock(&e->mutex);
    if (rc) free_job(job);
    return rc;
}

/* ---------------------------------------------------------------------- from outside, meanwhile */

void vbs_cancel(vbs_engine *e, vbs_job *job) {
    pthread_mutex_lock(&e->mutex);
    for (vbs_job *j = e->live; j; j = j->next_live)
        if (j == job) j->cancelled = true;
    pthread_cond_signal(&e->news);
    pthread_mutex_unlock(&e->mutex);
}

void vbs_engine_drain(vbs_engine *e) {
    pthread_mutex_lock(&e->mutex);
    e->draining = true;
    pthread_mutex_unlock(&e->mutex);
}

void vbs_metrics_read(vbs_engine *e, vbs_metrics *out) {
    pthread_mutex_lock(&e->mutex);
    *out = e->metrics;
    out->requests = e->counts.requests;
    out->finished = e->counts.finished;
    out->cancelled = e->counts.cancelled;
    out->refused = e->counts.refused;
    out->failed = e->counts.failed;
    out->waiting = 0;
    for (const vbs_job *j = e->first; j; j = j->next) out->waiting++;
    out->running = e->n_live - out->waiting;
    pthread_mutex_unlock(&e->mutex);
}

/* ---------------------------------------------------------------------- taking out */

/* Takes *link out of the queue. */
static vbs_job *unlink_job(vbs_engine *e, vbs_job **link) {
    vbs_job *job = *link;
    *link = job->next;
    job->next = NULL;
    e->last = NULL;
    for (vbs_job *j = e->first; j; j = j->next) e->last = j;
    return job;
}

/* Slots that the group of a job holds, or is about to. */
static int held_by_group(const vbs_engine *e, const vbs_job *job, const vbs_job *starting) {
    int n = 0;
    if (!job->r.group) return 0;
    for (int i = 0; i < e->n_slots; i++) n += e->slots[i].job && e->slots[i].job->r.group == job->r.group;
    for (; starting; starting = starting->next) n += starting->r.group == job->r.group;
    return n;
}

/* First come, first served, but that a group with half of the slots lets others go first. Where nobody else
 * waits, or all who wait are of such groups, the first one goes: no slot stays empty while somebody waits. */
vbs_job *vbs_queue_pop(vbs_engine *e, const vbs_job *starting) {
    const int most = e->n_slots > 1 ? e->n_slots / 2 : 1;
    vbs_job **link = &e->first;
    while (*link && held_by_group(e, *link, starting) >= most) link = &(*link)->next;
    if (!*link) link = &e->first;
    return *link ? unlink_job(e, link) : NULL;
}

vbs_job *vbs_queue_pop_ended(vbs_engine *e, vbs_end *why) {
    const bool closing = atomic_load(&e->closing);
    for (vbs_job **link = &e->first; *link; link = &(*link)->next) {
        if (!(*link)->cancelled && !closing) continue;
        *why = (*link)->cancelled ? VBS_END_CALLER : VBS_END_SHUTDOWN;
        return unlink_job(e, link);
    }
    return NULL;
}

void vbs_queue_end(vbs_engine *e, vbs_job *job, vbs_end end, const vb_error *error, const vb_stats *stats) {
    const double now = vb_now();
    vbs_result result = {.end = end,
                         .prompt_tokens = job->r.n_prompt,
                         .cached_tokens = job->cached,
                         .output_tokens = job->output,
                         .queue_s = (job->started > 0 ? job->started : now) - job->submitted,
                         .first_s = job->first > 0 ? job->first - job->submitted : (double)NAN,
                         .stop_id = job->stop_id};
    if (error) result.error = *error;
    if (stats) result.stats = *stats;
    if (job->started > 0) result.prompt_s = (job->prompted > 0 ? job->prompted : now) - job->started;
    if (job->prompted > 0) result.decode_s = now - job->prompted;
    job->r.on_end(job->r.user, &result);

    pthread_mutex_lock(&e->mutex);
    for (vbs_job **link = &e->live; *link; link = &(*link)->next_live)
        if (*link == job) {
            *link = job->next_live;
            break;
        }
    e->n_live--;
    e->counts.finished += end == VBS_END_STOP || end == VBS_END_LENGTH;
    e->counts.cancelled += end == VBS_END_CALLER || end == VBS_END_SHUTDOWN;
    e->counts.failed += end == VBS_END_ERROR;
    pthread_mutex_unlock(&e->mutex);
    free_job(job);
}
