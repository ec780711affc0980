/* generate.c - /v1/chat/completions and /v1/completions: from a body to an answer. */
#include "server/httpd.h"

#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WATCH_MS = 250 }; /* how often a silent wait looks whether the client is still there */

void vbs_answer_close(vbs_answer *a) {
    if (!a) return;
    vbs_exchange_close(a->x);
    vbs_shape_put(&a->s->shapes, a->shape);
    for (size_t i = 0; i < a->n_prompts && a->prompt_ids; i++) vb_free(a->prompt_ids[i]);
    free(a->prompt_ids);
    free(a->prompts);
    vb_prompt_free(&a->rendered);
    vbs_ask_close(&a->ask);
    free(a);
}

/* a->prompts: every prompt as ids. */
static int make_prompts(vbs_answer *a, vbs_problem *p) {
    const vbs_ask *ask = &a->ask;
    size_t n = ask->chat ? 1 : ask->n_prompts;
    a->prompts = calloc(n, sizeof *a->prompts);
    a->prompt_ids = calloc(n, sizeof *a->prompt_ids);
    if (!a->prompts || !a->prompt_ids) return vbs_refuse(p, 500, "server_error", NULL, NULL, "out of memory");
    a->n_prompts = n;
    for (size_t i = 0; i < n; i++) {
        vbs_prompt *out = &a->prompts[i];
        const vbs_prompt *in = ask->chat ? NULL : &ask->prompts[i];
        int rc = 0;
        if (in && in->ids) {
            *out = *in;
        } else {
            rc = in ? vbs_prompt_text(a->s, in->text, in->len, &a->prompt_ids[i], &out->n, p)
                    : vbs_prompt_chat(a->s, ask, &a->rendered, &a->prompt_ids[i], &out->n, p);
            out->ids = a->prompt_ids[i];
        }
        if (rc) return rc;
        int room = vbs_context_size(a->s->engine);
        const char *field = ask->chat ? "messages" : "prompt";
        if (out->n == 0)
            return VBS_BAD(p, field, "the prompt is empty and the model adds no BOS token: give some text");
        const int most = vb_model_describe(vbs_target(a->s->engine))->n_ctx;
        if (out->n >= (size_t)room)
            return vbs_refuse(p, 400, "invalid_request_error", "context_length_exceeded", field,
                              "the prompt has %zu tokens and the context holds %d with the answer%s", out->n,
                              room,
                              out->n >= (size_t)most ? ", no more with this model: shorten it"
                                                     : ": start the server with a larger -c, or shorten it");
    }
    return 0;
}

/* A stop string that is more than the name of a token without text: the name is in no text, so the string can
 * hardly be. */
static void warn_of_stops(vbs_answer *a) {
    const vb_tokenizer *t = vbs_tokenizer(a->s->engine);
    for (int i = 0; i < a->ask.n_stops; i++) {
        const vbs_stop *s = &a->ask.stops[i];
        int32_t *ids = NULL;
        size_t n = 0, len = 1;
        if (vb_tokenize(t, s->text, s->len, VB_TOKENIZE_PARSE_SPECIAL, &ids, &n, NULL)) continue;
        for (size_t k = 0; k < n && n > 1 && len; k++) vb_token_text(t, ids[k], false, &len);
        if (!len)
            vbs_ask_warn(
                &a->ask,
                "stop: \"%.60s\" holds the name of a token that stands for no text; such a name ends "
                "the text only where it is the whole stop string",
                s->text);
        vb_free(ids);
    }
}

/* The constraint of an answer, and behind which id it begins: the end of reasoning, where the prompt ends
 * inside it or the model opens it. */
static int shape(vbs_answer *a, vbs_work *work, vbs_problem *p) {
    const vbs_ask *ask = &a->ask;
    const vb_tokenizer *t = vbs_tokenizer(a->s->engine);
    const vb_call_format *format = a->s->calls ? vb_calls_format(a->s->calls) : NULL;
    const vbs_shape_terms terms = {.tokenizer = t, .n_vocab = a->s->terms.n_vocab, .calls = format};
    const char *field = ask->shape_field ? ask->shape_field : "tools";
    vb_error err = {0};
    work->after = work->opens = -1;
    if (!vbs_ask_shaped(ask)) return 0;
    if (ask->continue_last)
        return VBS_BAD(p, field, "%s: an answer that was begun cannot be held to it: leave one out", field);
    if (format) work->after = vbs_marker_id(t, format->think_end);
    if (work->after < 0 && work->thinking)
        return VBS_BAD(p, field,
                       "%s: the end of this model's reasoning is not one token: switch reasoning off", field);
    if (!work->thinking && work->after >= 0) { /* the model may open it itself */
        work->opens = vbs_marker_id(t, format->think);
        if (work->opens < 0) work->after = -1;
    }
    const int rc = vbs_shape_get(&a->s->shapes, &a->shape, ask, &terms, &err);
    if (rc == VB_ERR_MEMORY) return vbs_refuse(p, 500, "server_error", NULL, NULL, "%s", err.message);
    if (rc) return VBS_BAD(p, field, "%s: %s", field, err.message);
    work->constraint = vbs_shape_constraint(a->shape);
    return 0;
}

static int start(vbs_answer *a, vbs_problem *p) {
    vb_error err = {0};
    warn_of_stops(a);
    vbs_work work = {.prompts = a->prompts,
                     .n_prompts = a->n_prompts,
                     .calls = a->ask.chat ? a->s->calls : NULL,
                     .thinking = a->ask.chat && vb_calls_thinking(a->s->calls, &a->rendered)};
    int rc = shape(a, &work, p);
    if (rc) return rc;
    rc = vbs_exchange_open(&a->x, a->s->engine, &a->ask, &work, &err);
    if (rc == VB_ERR_FULL) {
        vbs_metrics m;
        vbs_metrics_read(a->s->engine, &m);
        size_t n = a->n_prompts * (size_t)a->ask.n, most = (size_t)m.slots + (size_t)m.queue;
        if (n > most)
            return VBS_BAD(p, "n", "n: %zu choices in one request; this server has room for %zu at once", n,
                           most);
        atomic_fetch_add(&a->s->counts.too_busy, 1);
        return vbs_refuse(p, 429, "rate_limit_error", "queue_full", NULL, "%s", err.message);
    }
    if (rc) vbs_problem_from(p, &err);
    return rc;
}

void vbs_answer_watch(vbs_answer *a) {
    vbs_exchange *x = a->x;
    double limit = a->s->p.request_s;
    bool late = limit > 0 && vb_now() - x->began > limit;
    if (x->gone || x->shutdown || x->timed_out) return;
    if (vbs_call_gone(a->call))
        x->gone = true;
    else if (a->s->aborting)
        x->shutdown = true;
    else if (late)
        x->timed_out = true;
    else
        return;
    vbs_exchange_cancel(x);
}

bool vbs_choice_problem(const vbs_answer *a, const vbs_choice *c, vbs_problem *p) {
    const vbs_result *r = &c->result;
    if (strcmp(vbs_choice_reason(c), "error") != 0) return false;
    if (c->failed)
        vbs_refuse(p, 500, "server_error", NULL, NULL, "out of memory");
    else if (r->end == VBS_END_ERROR)
        vbs_refuse(p, 500, "server_error", NULL, NULL, "%s", r->error.message);
    else if (r->end == VBS_END_SHUTDOWN || a->x->shutdown)
        vbs_refuse(p, 503, "server_error", "shutting_down", NULL, "the server is shutting down");
    else
        vbs_refuse(p, 499, "server_error", "cancelled", NULL, "the request was cancelled");
    return true;
}

static void log_answer(vbs_answer *a) {
    uint64_t drafted = 0, accepted = 0;
    size_t prompt = 0, cached = 0, output = 0;
    for (int i = 0; i < a->x->n; i++) {
        const vbs_result *r = &a->x->choices[i].result;
        prompt += r->prompt_tokens;
        cached += r->cached_tokens;
        output += r->output_tokens;
        drafted += r->stats.drafted;
        accepted += r->stats.accepted;
    }
    snprintf(a->call->log, sizeof a->call->log,
             "%.80s prompt %zu (%zu cached) output %zu accepted %llu of %llu%s", a->ask.model, prompt, cached,
             output, (unsigned long long)accepted, (unsigned long long)drafted,
             a->x->gone        ? " client gone"
             : a->x->timed_out ? " time limit"
                               : "");
}

/* Waits for everything, then answers in one piece. */
static int answer_whole(vbs_answer *a) {
    vbs_box *boxes = calloc((size_t)a->x->n, sizeof *boxes);
    vbs_problem p = {0};
    if (!boxes) return vbs_reply_memory(a->call);
    while (!vbs_exchange_ended(a->x)) {
        vbs_exchange_wait(a->x, WATCH_MS / 1e3);
        vbs_answer_watch(a);
    }
    bool failed = false;
    for (int i = 0; i < a->x->n; i++) {
        vbs_choice_take(&a->x->choices[i], &boxes[i]);
        failed = failed || vbs_choice_problem(a, &a->x->choices[i], &p);
    }
    int ok;
    if (failed) {
        if (a->x->gone) log_answer(a);
        ok = a->x->gone ? -1 : vbs_reply_problem(a->call, &p);
    } else {
        log_answer(a);
        ok = vbs_reply_json(a->call, 200, vbs_answer_json(a, boxes));
    }
    for (int i = 0; i < a->x->n; i++) vbs_box_free(&boxes[i]);
    free(boxes);
    return ok;
}

static int answer(vbs_call *c, bool chat) {
    vbs_problem p = {0};
    vbs_answer *a = calloc(1, sizeof *a);
    if (!a) return vbs_reply_memory(c);
    a->call = c;
    a->s = c->s;
    a->created = (int64_t)time(NULL);
    a->native = vbs_native_path(c->head.path);
    snprintf(a->id, sizeof a->id, "%s-%.12s%llu", chat ? "chatcmpl" : "cmpl", c->s->instance,
             (unsigned long long)atomic_fetch_add(&c->s->serial, 1));
    int ok;
    vbs_body_hold(c);
    int rc = vbs_ask_read(&a->ask, chat, c->body.n ? c->body.s : "", c->body.n, &c->s->terms, &p);
    vbs_body_release(c);
    if (rc || make_prompts(a, &p) || start(a, &p)) {
        ok = vbs_reply_problem(c, &p);
    } else if (a->ask.stream) {
        ok = vbs_answer_stream(a);
    } else {
        ok = answer_whole(a);
    }
    vbs_answer_close(a);
    return ok;
}

int vbs_answer_chat(vbs_call *c) {
    return answer(c, true);
}

int vbs_answer_completion(vbs_call *c) {
    return answer(c, false);
}
