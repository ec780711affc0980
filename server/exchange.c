/* exchange.c - jobs of the engine on behalf of one request. See exchange.h. */
#include "server/exchange.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xxhash.h>

/* ---------------------------------------------------------------------------------------------- boxes */

#define WHAT "what a request produced"

static int reserve_box(vbs_box *b, size_t tokens, size_t tops, vb_error *err) {
    int rc = vb_grow((void **)&b->tokens, &b->room, b->n + tokens, sizeof *b->tokens, WHAT, err);
    if (!rc) rc = vb_grow((void **)&b->tops, &b->tops_room, b->n_tops + tops, sizeof *b->tops, WHAT, err);
    return rc;
}

void vbs_box_free(vbs_box *b) {
    free(b->tokens);
    free(b->tops);
    vbs_pieces_free(&b->pieces);
    memset(b, 0, sizeof *b);
}

int vbs_box_append(vbs_box *to, const vbs_box *from, vb_error *err) {
    int rc = reserve_box(to, from->n, from->n_tops, err);
    if (!rc) rc = vbs_pieces_append(&to->pieces, &from->pieces, err);
    if (rc) return rc;
    for (size_t i = 0; i < from->n; i++) {
        to->tokens[to->n] = from->tokens[i];
        to->tokens[to->n++].top += to->n_tops;
    }
    if (from->n_tops) memcpy(to->tops + to->n_tops, from->tops, from->n_tops * sizeof *from->tops);
    to->n_tops += from->n_tops;
    return 0;
}

/* ---------------------------------------------------------------------------------------------- callbacks */

/* One token into the box; the lock is held. */
static int box_token(vbs_choice *c, const vbs_token *t, vb_error *err) {
    vbs_box *b = &c->box;
    const uint64_t from = c->splitter.fed;
    const size_t before = b->pieces.n;
    int rc = reserve_box(b, 1, (size_t)t->n_top, err);
    if (!rc) rc = vbs_splitter_push(&c->splitter, c->x->tokenizer, t->id, &b->pieces, err);
    if (rc) return rc;
    b->tokens[b->n++] = (vbs_out){.id = t->id,
                                  .origin = t->origin,
                                  .logprob = t->logprob,
                                  .p = t->p,
                                  .q = t->q,
                                  .top = b->n_tops,
                                  .n_top = t->n_top,
                                  .n_pieces = b->pieces.n - before,
                                  .from = from,
                                  .rejected = -1,
                                  .drafted = -1};
    if (t->n_top > 0) memcpy(b->tops + b->n_tops, t->top, (size_t)t->n_top * sizeof *t->top);
    b->n_tops += (size_t)t->n_top;
    return 0;
}

/* The step that the last `boxed` tokens came from, of which `kept` belong to the text. */
static void box_step(vbs_choice *c, const vbs_step *step, size_t boxed, size_t kept) {
    if (!boxed) return;
    vbs_out *last = &c->box.tokens[c->box.n - 1];
    const bool cut = kept < step->n;
    last->drafted = cut ? (int)kept : step->n_drafted;
    last->tested = cut ? (int)kept : step->n_tested;
    last->accepted = cut ? (int)kept : step->n_accepted;
    if (step->rejected >= 0 && last->origin == VB_FROM_RESIDUAL) {
        last->rejected = step->rejected;
        last->rejected_p = step->rejected_p;
        last->rejected_q = step->rejected_q;
    }
}

static void announce(vbs_exchange *x) {
    x->news = true;
    pthread_cond_signal(&x->changed);
}

static bool on_step(void *user, const struct vbs_step *step, size_t *kept) {
    vbs_choice *c = user;
    vb_error err = {0};
    size_t boxed = 0;
    pthread_mutex_lock(&c->x->lock);
    for (size_t i = 0; i < step->n && !step->tokens[i].stop && !c->splitter.stopped && !c->failed; i++) {
        c->failed = box_token(c, &step->tokens[i], &err) != 0;
        boxed += !c->failed;
    }
    if (c->splitter.stopped) *kept = boxed;
    box_step(c, step, boxed, *kept);
    bool go_on = !c->splitter.stopped && !c->failed && !c->cancelled;
    announce(c->x);
    pthread_mutex_unlock(&c->x->lock);
    return go_on;
}

static void on_prompt(void *user, size_t done, size_t total, size_t cached) {
    vbs_choice *c = user;
    (void)cached;
    pthread_mutex_lock(&c->x->lock);
    c->x->prompt_done = done;
    c->x->prompt_total = total;
    pthread_mutex_unlock(&c->x->lock);
}

static void on_end(void *user, const struct vbs_result *result) {
    vbs_choice *c = user;
    vb_error err = {0};
    pthread_mutex_lock(&c->x->lock);
    if (vbs_splitter_end(&c->splitter, &c->box.pieces, &err)) c->failed = true;
    c->stopped = c->splitter.stopped;
    c->cut = c->splitter.cut;
    c->calls = c->splitter.calls;
    c->reasoning_tokens = c->splitter.reasoning_tokens;
    c->result = *result;
    c->ended = true;
    announce(c->x);
    pthread_mutex_unlock(&c->x->lock);
}

/* ---------------------------------------------------------------------------------------------- life */

/* The ids of stop strings that are the name of a token without text, such as "<|im_end|>": no text ever holds
 * such a name, so the token itself ends the generation. */
static size_t find_stop_ids(const vbs_exchange *x, int32_t ids[VBS_MAX_STOPS]) {
    const vbs_ask *a = x->ask;
    size_t n = 0, len;
    for (int i = 0; i < a->n_stops; i++) {
        const int32_t id = vb_token_find(x->tokenizer, a->stops[i].text, a->stops[i].len);
        if (id < 0) continue;
        vb_token_text(x->tokenizer, id, false, &len);
        if (len == 0) ids[n++] = id;
    }
    return n;
}

static int submit(vbs_choice *c, const vbs_work *work, vb_error *err) {
    const vbs_ask *a = c->x->ask;
    const vbs_prompt *prompt = &work->prompts[c->index / a->n];
    int32_t stop[VBS_MAX_STOPS];
    vbs_request r = {.prompt = prompt->ids,
                     .n_prompt = prompt->n,
                     .sampling = a->sampling,
                     .accept = a->accept,
                     .gamma = a->gamma,
                     .max_tokens = a->max_tokens,
                     .n_top = a->n_top,
                     .want_logprobs = a->logprobs || a->verbatim,
                     .want_law = a->law,
                     .want_drafts = a->verbatim,
                     .ignore_stop = a->ignore_eos,
                     .stop = stop,
                     .n_stop = find_stop_ids(c->x, stop),
                     .constraint = work->constraint,
                     .after = work->after,
                     .opens = work->opens,
                     .group = c->x,
                     .on_step = on_step,
                     .on_prompt = on_prompt,
                     .on_end = on_end,
                     .user = c};
    memcpy(r.tree, a->tree, sizeof r.tree);
    c->seed = vbs_choice_seed(a->sampling.seed, c->index % a->n);
    r.sampling.seed = c->seed;
    const uint64_t key = XXH3_64bits_withSeed(prompt->ids, prompt->n * sizeof *prompt->ids, c->seed);
    const int rc = vbs_splitter_open(&c->splitter, a, work->calls, work->thinking, key, err);
    return rc ? rc : vbs_submit(c->x->engine, &r, &c->job, err);
}

int vbs_exchange_open(vbs_exchange **out, vbs_engine *e, const vbs_ask *ask, const vbs_work *work,
                      vb_error *err) {
    vbs_exchange *x = calloc(1, sizeof *x);
    size_t n = work->n_prompts * (size_t)ask->n;
    if (!x || !(x->choices = calloc(n, sizeof *x->choices))) {
        free(x);
        return vb_fail(err, VB_ERR_MEMORY, "out of memory for %zu choices", n);
    }
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&x->lock, NULL);
    pthread_cond_init(&x->changed, &clock);
    pthread_condattr_destroy(&clock);
    x->ask = ask;
    x->engine = e;
    x->tokenizer = vbs_tokenizer(e);
    x->began = vb_now();
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        vbs_choice *c = &x->choices[i];
        c->x = x;
        c->index = (int)i;
        rc = submit(c, work, err);
        if (rc)
            vbs_splitter_close(&c->splitter);
        else
            x->n++;
    }
    if (rc) {
        vbs_exchange_close(x);
        return rc;
    }
    *out = x;
    return 0;
}

void vbs_exchange_cancel(vbs_exchange *x) {
    pthread_mutex_lock(&x->lock);
    for (int i = 0; i < x->n; i++) {
        vbs_choice *c = &x->choices[i];
        /* The job exists until its on_end has returned, and that waits for this lock. */
        if (!c->ended && !c->cancelled) vbs_cancel(x->engine, c->job);
        c->cancelled = true;
    }
    pthread_mutex_unlock(&x->lock);
}

static bool all_ended(const vbs_exchange *x) {
    for (int i = 0; i < x->n; i++)
        if (!x->choices[i].ended) return false;
    return true;
}

bool vbs_exchange_ended(vbs_exchange *x) {
    pthread_mutex_lock(&x->lock);
    bool ended = all_ended(x);
    pthread_mutex_unlock(&x->lock);
    return ended;
}

bool vbs_exchange_wait(vbs_exchange *x, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)seconds;
    until.tv_nsec += (long)(1e9 * (seconds - (double)(time_t)seconds));
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&x->lock);
    int rc = 0;
    while (!x->news && !all_ended(x) && !rc) rc = pthread_cond_timedwait(&x->changed, &x->lock, &until);
    bool news = x->news || all_ended(x);
    x->news = false;
    pthread_mutex_unlock(&x->lock);
    return news;
}

void vbs_exchange_close(vbs_exchange *x) {
    if (!x) return;
    vbs_exchange_cancel(x);
    while (!vbs_exchange_ended(x)) vbs_exchange_wait(x, 1);
    for (int i = 0; i < x->n; i++) {
        vbs_box_free(&x->choices[i].box);
        vbs_splitter_close(&x->choices[i].splitter);
    }
    pthread_cond_destroy(&x->changed);
    pthread_mutex_destroy(&x->lock);
    free(x->choices);
    free(x);
}

bool vbs_choice_take(vbs_choice *c, vbs_box *into) {
    into->n = into->n_tops = 0;
    vbs_pieces_clear(&into->pieces);
    pthread_mutex_lock(&c->x->lock);
    vbs_box old = *into;
    *into = c->box;
    c->box = old;
    bool ended = c->ended;
    pthread_mutex_unlock(&c->x->lock);
    return ended;
}

const char *vbs_choice_reason(const vbs_choice *c) {
    if (c->failed || c->result.end == VBS_END_ERROR || c->result.end == VBS_END_SHUTDOWN) return "error";
    if (c->stopped || c->result.end == VBS_END_STOP) return c->calls ? "tool_calls" : "stop";
    if (c->result.end == VBS_END_LENGTH || c->x->timed_out) return "length";
    return "error";
}
