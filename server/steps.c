/* steps.c - the engine's thread: takes requests to free slots, and takes all running ones a step further per
 * round, together, with one reading of the weights (vb_spec_step_many).
 *
 * Prompts are read in pieces, in the same rounds as the others' steps (turns.c says who reads how much).
 * While somebody generates, or is about to, the pieces are short, because everybody waits for them. */
#include "server/engine_parts.h"

#include <string.h>

/* Tokens of prompts per round: when nobody generates, and beside others' steps, of which TEXT_LEAST in any
 * case. */
enum { TEXT_ALONE = 64, TEXT_BESIDE = 32, TEXT_LEAST = 8 };

/* ---------------------------------------------------------------------- one request */

static void count(vbs_engine *e, const vb_step *step) {
    vbs_metrics *m = &e->m;
    m->steps++;
    m->output_tokens += (uint64_t)step->n_emitted;
    m->drafted += (uint64_t)step->n_drafted;
    m->tested += (uint64_t)step->n_tested;
    m->accepted += (uint64_t)step->n_accepted;
    vbs_count_places(step, 0, m->tested_at, m->accepted_at);
    m->sample_s += step->sample_s;
}

static size_t text_left(const vbs_slot *slot) {
    return slot->job->r.n_prompt - 1 - slot->read;
}

/* The prompt's last token is evaluated by the first step. */
static void tell_prompt(const vbs_slot *slot) {
    vbs_job *job = slot->job;
    const bool all = text_left(slot) == 0;
    if (all) job->prompted = vb_now();
    if (job->r.on_prompt) job->r.on_prompt(job->r.user, slot->read + all, job->r.n_prompt, job->cached);
}

static void fail(vbs_engine *e, vbs_slot *slot, const vb_error *err) {
    if (err->code == VB_ERR_FULL)
        vbs_slot_end(e, slot, VBS_END_LENGTH, NULL);
    else if (err->code == VB_ERR_CANCELLED)
        vbs_slot_end(e, slot, VBS_END_SHUTDOWN, NULL); /* only closing stops a forward pass */
    else
        vbs_slot_end(e, slot, VBS_END_ERROR, err);
}

/* What a step brought. */
static void deliver(vbs_engine *e, vbs_slot *slot, vb_step *step) {
    vbs_job *job = slot->job;
    if (step->n_text) {
        slot->read += (size_t)step->n_text;
        tell_prompt(slot);
        return;
    }
    if (job->first <= 0) {
        job->first = vb_now();
        e->m.first_s += job->first - job->submitted;
        e->m.first_n++;
    }
    job->stop_id = step->emitted[step->n_emitted - 1].id;
    const bool stop = step->emitted[step->n_emitted - 1].stop, go_on = vbs_report(e, slot, step);
    count(e, step);
    if (!go_on)
        vbs_slot_end(e, slot, VBS_END_CALLER, NULL);
    else if (stop)
        vbs_slot_end(e, slot, VBS_END_STOP, NULL);
    else if (job->output == job->r.max_tokens)
        vbs_slot_end(e, slot, VBS_END_LENGTH, NULL);
}

/* ---------------------------------------------------------------------- all of them */

/* The running request that came first after number `after` - 1. */
static vbs_slot *oldest_from(vbs_engine *e, uint64_t after) {
    vbs_slot *best = NULL;
    for (int i = 0; i < e->n_slots; i++) {
        vbs_slot *slot = &e->slots[i];
        if (slot->job && slot->job->number >= after && (!best || slot->job->number < best->job->number))
            best = slot;
    }
    return best;
}

/* Drafts that a step of a request may be expected to have. */
static size_t drafts_of(const vbs_request *r) {
    if (r->gamma && r->tree[0] > 0) return (size_t)vb_draft_tree_size(r->tree);
    return r->gamma == VB_GAMMA_AUTO ? 7 : (size_t)r->gamma;
}

/* How much of the prompts is read in this round: what fits into one pass beside the steps. One who comes to
 * the end of its prompt is about to generate, and waits for the pass as those do who generate. */
static size_t text_budget(const vbs_engine *e, size_t n_reading) {
    size_t rows = 0;
    bool ends = false;
    for (int i = 0; i < e->n_slots; i++) {
        const vbs_slot *slot = &e->slots[i];
        if (slot->job && text_left(slot) == 0) rows += 1 + drafts_of(&slot->job->r);
    }
    for (size_t i = 0; i < n_reading; i++)
        ends |= e->readers[i].behind < 0 && e->readers[i].left <= TEXT_BESIDE;
    if (rows == 0) return ends ? TEXT_BESIDE : TEXT_ALONE;
    if (rows + TEXT_LEAST > e->batch) return TEXT_LEAST;
    return e->batch - rows < TEXT_BESIDE ? e->batch - rows : TEXT_BESIDE;
}

/* The index of a slot among those who read, all of whom are older than the one that asks. */
static int index_of(const vbs_engine *e, const vbs_slot *slot, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (e->reading[i] == slot) return (int)i;
    return -1;
}

/* Lists those who read, the oldest first, after each has copied what another has read for it. */
static size_t list_readers(vbs_engine *e) {
    size_t n = 0;
    for (vbs_slot *slot = oldest_from(e, 0); slot; slot = oldest_from(e, slot->job->number + 1)) {
        if (text_left(slot) == 0) continue;
        const vbs_slot *older = vbs_slot_waits_for(e, slot);
        if (!older) {
            const size_t before = slot->read;
            vbs_slot_share(e, slot);
            if (slot->read > before) tell_prompt(slot);
            if (text_left(slot) == 0) continue;
        }
        e->reading[n] = slot;
        e->readers[n] = (vbs_reader){.left = text_left(slot), .behind = older ? index_of(e, older, n) : -1};
        n++;
    }
    return n;
}

static void take_part(vbs_engine *e, size_t at, vbs_slot *slot, size_t text) {
    const vbs_request *r = &slot->job->r;
    e->taking_part[at] = slot;
    e->items[at] = (vb_step_item){.spec = slot->spec,
                                  .max_emit = r->max_tokens ? r->max_tokens - slot->job->output : SIZE_MAX,
                                  .max_text = text,
                                  .err = &e->errors[at]};
}

/* Who takes part in this round, and with how much text. */
static size_t plan(vbs_engine *e) {
    size_t n = 0;
    const size_t n_reading = list_readers(e);
    vbs_divide(e->readers, n_reading, text_budget(e, n_reading));
    for (int i = 0; i < e->n_slots; i++)
        if (e->slots[i].job && text_left(&e->slots[i]) == 0) take_part(e, n++, &e->slots[i], 0);
    for (size_t i = 0; i < n_reading; i++)
        if (e->readers[i].piece > 0) take_part(e, n++, e->reading[i], e->readers[i].piece);
    return n;
}

/* Times of passes that all share are counted once: as reading when nobody generates. */
static void count_times(vbs_engine *e, size_t n, double wall) {
    double draft = 0, verify = 0;
    bool steps = false;
    for (size_t i = 0; i < n; i++) {
        if (e->items[i].code || e->items[i].step.n_text) continue;
        steps = true;
        draft = e->items[i].step.draft_s;
        verify = e->items[i].step.verify_s;
    }
    e->m.draft_s += draft;
    e->m.verify_s += verify;
    if (!steps) e->m.prompt_s += wall;
}

static void step_all(vbs_engine *e) {
    const size_t n = plan(e);
    if (n == 0) return;
    const double t0 = vb_now();
    vb_spec_step_many(e->items, n);
    count_times(e, n, vb_now() - t0);
    for (size_t i = 0; i < n; i++) {
        if (e->items[i].code)
            fail(e, e->taking_part[i], &e->errors[i]);
        else
            deliver(e, e->taking_part[i], &e->items[i].step);
    }
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
    e->m.prompt_tokens += job->r.n_prompt;
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
    e->m.context_bytes = 0;
    for (int i = 0; i < e->n_slots; i++) e->m.context_bytes += vbs_slot_bytes(&e->slots[i]);
    pthread_mutex_lock(&e->mutex);
    e->metrics = e->m;
    int running = count_running(e);
    while (running == 0 && !e->first && !atomic_load(&e->closing)) pthread_cond_wait(&e->news, &e->mutex);
    while ((*ended_end = vbs_queue_pop_ended(e, &why))) {
        (*ended_end)->ended = why;
        ended_end = &(*ended_end)->next;
    }
    while (running < e->n_slots && (*start_end = vbs_queue_pop(e, *to_start))) {
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
            if (slot->job && (slot->cancelled || !open))
                vbs_slot_end(e, slot, slot->cancelled ? VBS_END_CALLER : VBS_END_SHUTDOWN, NULL);
        }
        step_all(e);
        e->m.busy_s += vb_now() - t0;
    }
    return NULL;
}
