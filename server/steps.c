/* steps.c - the engine's thread: takes requests to free slots, and takes every running one a step further per
 * round, so that none waits for another to finish. */
#include "engine_parts.h"

#include <string.h>

enum { CHUNK = 64 }; /* tokens of a prompt per round: what others wait for at most */

/* ---------------------------------------------------------------------- one slot, one step */

static void count(vbs_engine *e, const vb_step *step) {
    vbs_metrics *m = &e->m;
    m->steps++;
    m->output_tokens += (uint64_t)step->n_emitted;
    m->drafted += (uint64_t)step->n_drafted;
    m->tested += (uint64_t)step->n_tested;
    m->accepted += (uint64_t)step->n_accepted;
    for (int i = 0; i < step->n_tested; i++) m->tested_at[i]++;
    for (int i = 0; i < step->n_accepted; i++) m->accepted_at[i]++;
    m->draft_s += step->draft_s;
    m->verify_s += step->verify_s;
    m->sample_s += step->sample_s;
}

static void fail(vbs_engine *e, vbs_slot *slot, const vb_error *err) {
    if (err->code == VB_ERR_CANCELLED)
        vbs_slot_end(e, slot, VBS_END_SHUTDOWN, NULL); /* only closing stops a forward pass */
    else
        vbs_slot_end(e, slot, VBS_END_ERROR, err);
}

static void tell_prompt(const vbs_slot *slot) {
    const vbs_request *r = &slot->job->r;
    if (r->on_prompt) r->on_prompt(r->user, slot->given, r->n_prompt, slot->job->cached);
}

/* The next piece of the prompt. */
static void read_prompt(vbs_engine *e, vbs_slot *slot) {
    vbs_job *job = slot->job;
    const size_t left = job->r.n_prompt - slot->given, n = left < CHUNK ? left : CHUNK;
    vb_error err = {0};
    const double t0 = vb_now();
    if (vb_spec_prompt(slot->spec, job->prompt + slot->given, n, &err)) {
        fail(e, slot, &err);
        return;
    }
    slot->given += n;
    e->m.prompt_tokens += n;
    e->m.prompt_s += vb_now() - t0;
    if (slot->given == job->r.n_prompt) job->prompted = vb_now();
    tell_prompt(slot);
}

static void generate(vbs_engine *e, vbs_slot *slot) {
    vbs_job *job = slot->job;
    const size_t max = job->r.max_tokens ? job->r.max_tokens - job->output : SIZE_MAX;
    vb_error err = {0};
    vb_step step;
    const int rc = vb_spec_step(slot->spec, max, &step, &err);
    if (rc == VB_ERR_FULL) {
        vbs_slot_end(e, slot, VBS_END_LENGTH, NULL);
        return;
    }
    if (rc) {
        fail(e, slot, &err);
        return;
    }
    count(e, &step);
    const bool stop = step.emitted[step.n_emitted - 1].stop;
    if (!vbs_report(e, slot, &step))
        vbs_slot_end(e, slot, VBS_END_CALLER, NULL);
    else if (stop)
        vbs_slot_end(e, slot, VBS_END_STOP, NULL);
    else if (job->output == job->r.max_tokens)
        vbs_slot_end(e, slot, VBS_END_LENGTH, NULL);
}

/* ---------------------------------------------------------------------- rounds */

static void start(vbs_engine *e, vbs_job *job) {
    vb_error err = {0};
    vbs_slot *slot = vbs_slot_for(e, job);
    job->started = vb_now();
    if (vbs_slot_take(e, slot, job, &err)) {
        vbs_queue_end(e, job, VBS_END_ERROR, &err, NULL);
        return;
    }
    e->m.cached_tokens += job->cached;
    tell_prompt(slot);
}

static int count_running(const vbs_engine *e) {
    int n = 0;
    for (int i = 0; i < e->n_slots; i++) n += e->slots[i].job != NULL;
    return n;
}

/* What changed since the last round. Sleeps while there is nothing to do. Requests to start and requests that
 * ended while they waited are handed out as lists, because callbacks must not come under the mutex. False:
 * the engine closes. */
static bool look(vbs_engine *e, vbs_job **to_start, vbs_job **ended) {
    vbs_job **start_end = to_start, **ended_end = ended;
    vbs_end why;
    pthread_mutex_lock(&e->mutex);
    e->metrics = e->m;
    int running = count_running(e);
    while (running == 0 && !e->first && !atomic_load(&e->closing)) pthread_cond_wait(&e->news, &e->mutex);
    while ((*ended_end = vbs_queue_pop_ended(e, &why))) {
        (*ended_end)->ended = why;
        ended_end = &(*ended_end)->next;
    }
    while (running < e->n_slots && (*start_end = vbs_queue_pop(e))) {
        start_end = &(*start_end)->next;
        running++;
    }
    for (int i = 0; i < e->n_slots; i++)
        if (e->slots[i].job) e->slots[i].cancelled = e->slots[i].job->cancelled;
    const bool closing = atomic_load(&e->closing);
    pthread_mutex_unlock(&e->mutex);
    return !closing;
}

void *vbs_engine_run(void *engine) {
    vbs_engine *e = engine;
    for (bool open = true; open;) {
        vbs_job *to_start = NULL, *ended = NULL, *next;
        open = look(e, &to_start, &ended);
        const double t0 = vb_now();
        for (; ended; ended = next) {
            next = ended->next;
            vbs_queue_end(e, ended, ended->ended, NULL, NULL);
        }
        for (; to_start; to_start = next) {
            next = to_start->next;
            to_start->next = NULL;
            start(e, to_start);
        }
        for (int i = 0; i < e->n_slots; i++) {
            vbs_slot *slot = &e->slots[i];
            if (!slot->job) continue;
            if (slot->cancelled)
                vbs_slot_end(e, slot, VBS_END_CALLER, NULL);
            else if (!open)
                vbs_slot_end(e, slot, VBS_END_SHUTDOWN, NULL);
            else if (slot->given < slot->job->r.n_prompt)
                read_prompt(e, slot);
            else
                generate(e, slot);
        }
        e->m.busy_s += vb_now() - t0;
    }
    return NULL;
}
