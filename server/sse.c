/* sse.c - an answer as a stream of server-sent events: the role first, then text in whole characters as it
 * comes, a chunk with the reason, the usage if asked for, [DONE]. */
#include "server/httpd.h"
#include "base/json.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct part {
    vbs_box fresh, pending; /* pending: tokens whose text is not out yet */
    bool introduced, done;
    size_t offset; /* for the older API's text_offset */
} part;

typedef struct stream {
    vbs_answer *a;
    part *parts; /* (x->n) */
    vb_buf out;  /* events that the client has not taken yet; failed: out of memory, they are whole events */
    double last; /* when something was last produced */
    size_t prompt_said;
    bool finished;
} stream;

/* One event; releases value. */
static void put_event(stream *s, json_t *value) {
    size_t n;
    char *text = vbs_json_dump(value, &n);
    json_decref(value);
    s->out.failed |= !text;
    if (text && vb_buf_reserve(&s->out, n + 8)) {
        vb_buf_puts(&s->out, "data: ");
        vb_buf_add(&s->out, text, n);
        vb_buf_puts(&s->out, "\n\n");
    }
    free(text);
}

/* A chunk around one choice (NULL: none, for the usage); releases it. */
static json_t *chunk(const stream *s, json_t *choice) {
    const vbs_answer *a = s->a;
    json_t *choices = json_array();
    if (choice) json_array_append_new(choices, choice);
    json_t *o = json_pack("{ss ss sI ss ss so}", "id", a->id, "object",
                          a->ask.chat ? "chat.completion.chunk" : "text_completion", "created",
                          (json_int_t)a->created, "model", a->ask.model, "system_fingerprint",
                          vbs_fingerprint(a), "choices", choices);
    if (o && choice && a->ask.include_usage) json_object_set_new(o, "usage", json_null());
    return o;
}

/* What a piece adds to the message. */
static json_t *delta(const vbs_piece *p, const char *text) {
    json_t *call;
    switch (p->kind) {
    case VBS_CONTENT: return json_pack("{so}", "content", vbs_json_text(text, p->len));
    case VBS_REASONING: return json_pack("{so}", "reasoning_content", vbs_json_text(text, p->len));
    case VBS_CALL:
        call = vbs_call_json(text, p->len, "", 0);
        json_object_set_new(call, "index", json_integer(p->call));
        break;
    default:
        call =
            json_pack("{si s{so}}", "index", p->call, "function", "arguments", vbs_json_text(text, p->len));
        break;
    }
    return json_pack("{s[o]}", "tool_calls", call);
}

/* A piece (NULL: none is left) and the tokens [first, end) of a box. */
static void put_piece(stream *s, int i, const vbs_box *b, size_t first, size_t end, const vbs_piece *p,
                      const char *text) {
    static const vbs_piece nothing = {VBS_CONTENT, 0, 0};
    const vbs_answer *a = s->a;
    json_t *choice = json_pack("{si}", "index", i);
    if (!p) p = &nothing;
    if (a->ask.chat)
        json_object_set_new(choice, "delta", delta(p, text));
    else
        json_object_set_new(choice, "text", vbs_json_text(text, p->len));
    json_object_set_new(choice, "logprobs", vbs_logprobs_json(a, b, first, end, &s->parts[i].offset));
    json_object_set_new(choice, "finish_reason", json_null());
    if (a->ask.token_ids) json_object_set_new(choice, "token_ids", vbs_ids_json(b, first, end));
    if (a->ask.verbatim) json_object_set_new(choice, "verbatim", vbs_tokens_json(a, b, first, end));
    put_event(s, chunk(s, choice));
}

static void introduce(stream *s, int i) {
    part *p = &s->parts[i];
    p->introduced = true;
    if (!s->a->ask.chat) return;
    json_t *choice = json_pack("{si s{ss ss} sn sn}", "index", i, "delta", "role", "assistant", "content", "",
                               "logprobs", "finish_reason");
    json_t *o = chunk(s, choice);
    if (o) json_object_set_new(o, "seed", json_integer((json_int_t)s->a->x->choices[i].seed));
    put_event(s, o);
}

/* The reason, and with the last choice to end the reports. */
static void finish(stream *s, int i, bool last) {
    const vbs_answer *a = s->a;
    json_t *choice = json_pack("{si}", "index", i);
    if (a->ask.chat)
        json_object_set_new(choice, "delta", json_object());
    else
        json_object_set_new(choice, "text", json_string(""));
    json_object_set_new(choice, "logprobs", json_null());
    json_object_set_new(choice, "finish_reason", json_string(vbs_choice_reason(&a->x->choices[i])));
    json_t *o = chunk(s, choice);
    if (o && last) vbs_report_json(a, o);
    put_event(s, o);
}

/* Takes the tokens [0, n) and so many pieces out of a box. */
static void drop(vbs_box *b, size_t n, size_t pieces) {
    b->n -= n;
    if (b->n) memmove(b->tokens, b->tokens + n, b->n * sizeof *b->tokens);
    if (!b->n) b->n_tops = 0;
    vbs_pieces_drop(&b->pieces, pieces);
}

/* Whether the client hears of tokens besides their text. */
static bool tells_tokens(const vbs_ask *a) {
    return a->logprobs || a->token_ids || a->verbatim;
}

/* Everything of choice i that has text to it; with `ended` also the rest. Tokens stand in the chunk of the
 * first piece that they let out. */
static void put_choice(stream *s, int i, bool ended) {
    part *p = &s->parts[i];
    vbs_box *b = &p->pending;
    const char *text = b->pieces.text.s ? b->pieces.text.s : "";
    size_t first = 0, piece = 0;
    if (ended) b->n = vbs_box_kept(&s->a->x->choices[i], b);
    for (size_t k = 0; k < b->n; k++)
        for (size_t n = b->tokens[k].n_pieces; n > 0; n--) {
            put_piece(s, i, b, first, k + 1, &b->pieces.v[piece], text);
            text += b->pieces.v[piece++].len;
            first = k + 1;
        }
    for (; ended && piece < b->pieces.n; first = b->n) {
        put_piece(s, i, b, first, b->n, &b->pieces.v[piece], text);
        text += b->pieces.v[piece++].len;
    }
    if (ended && first < b->n && tells_tokens(&s->a->ask)) put_piece(s, i, b, first, b->n, NULL, "");
    if (ended) first = b->n;
    if (first || piece) drop(b, first, piece);
}

static void log_stream(const stream *s, const char *how) {
    const vbs_answer *a = s->a;
    size_t output = 0;
    uint64_t drafted = 0, accepted = 0;
    /* Results are the engine's to write until the choices have ended, a step from now: nobody reads more. */
    if (!vbs_exchange_ended(a->x)) vbs_exchange_cancel(a->x);
    while (!vbs_exchange_ended(a->x)) vbs_exchange_wait(a->x, 1);
    for (int i = 0; i < a->x->n; i++) {
        output += a->x->choices[i].result.output_tokens;
        drafted += a->x->choices[i].result.stats.drafted;
        accepted += a->x->choices[i].result.stats.accepted;
    }
    snprintf(a->call->log, sizeof a->call->log, "%.80s stream %s output %zu accepted %llu of %llu",
             a->ask.model, how, output, (unsigned long long)accepted, (unsigned long long)drafted);
}

static void fail(stream *s, const vbs_problem *p) {
    vb_json_begin();
    put_event(s, vbs_problem_json(p));
    vb_buf_puts(&s->out, "data: [DONE]\n\n");
    s->finished = true;
    log_stream(s, "failed");
}

/* What has come since the last time. */
static void collect(stream *s) {
    vbs_exchange *x = s->a->x;
    vb_error err = {0};
    vbs_problem problem;
    int left = 0;
    for (int i = 0; i < x->n; i++) left += !s->parts[i].done;
    for (int i = 0; i < x->n && !s->finished; i++) {
        part *p = &s->parts[i];
        if (p->done) continue;
        if (!p->introduced) introduce(s, i);
        bool ended = vbs_choice_take(&x->choices[i], &p->fresh);
        if (vbs_box_append(&p->pending, &p->fresh, &err)) s->out.failed = true;
        put_choice(s, i, ended);
        if (!ended) continue;
        p->done = true;
        left--;
        if (vbs_choice_problem(s->a, &x->choices[i], &problem))
            fail(s, &problem);
        else
            finish(s, i, left == 0);
    }
    if (left || s->finished) return;
    if (s->a->ask.include_usage) {
        json_t *o = chunk(s, NULL);
        if (o) json_object_set_new(o, "usage", vbs_usage_json(s->a));
        put_event(s, o);
    }
    vb_buf_puts(&s->out, "data: [DONE]\n\n");
    s->finished = true;
    log_stream(s, x->timed_out ? "time limit" : "done");
}

/* A comment, which clients ignore, so that nobody on the way takes silence for death. */
static void keep_alive(stream *s, double now, bool must) {
    vbs_exchange *x = s->a->x;
    char line[96];
    if (!must && now - s->last < s->a->s->p.keep_alive_s) return;
    pthread_mutex_lock(&x->lock);
    size_t done = x->prompt_done, total = x->prompt_total;
    pthread_mutex_unlock(&x->lock);
    int n = done < total ? snprintf(line, sizeof line, ": prompt %zu of %zu tokens\n\n", done, total)
                         : snprintf(line, sizeof line, ": waiting\n\n");
    vb_buf_add(&s->out, line, (size_t)n);
}

/* The end of a stream that failed, which takes no memory: what came before is whole, and an error says that
 * it is not all. */
static int tell_failure(stream *s) {
    char text[256];
    const int n = snprintf(text, sizeof text, "data: %s\n\ndata: [DONE]\n\n", VBS_OUT_OF_MEMORY);
    s->finished = true;
    log_stream(s, "out of memory");
    return vbs_reply_more(s->a->call, text, (size_t)n);
}

/* What there is to say next. Returns 0, or -1 if there is nobody to say it to. */
static int next_events(stream *s) {
    s->out.n = 0;
    if (s->parts[0].introduced) vbs_exchange_wait(s->a->x, 0.25);
    vbs_answer_watch(s->a);
    if (s->a->x->gone) return -1;
    collect(s);
    const double now = vb_now();
    if (s->out.n == 0) keep_alive(s, now, vbs_call_doubtful(s->a->call));
    if (s->out.n) s->last = now;
    const int rc = vbs_reply_more(s->a->call, s->out.s, s->out.n);
    return rc || !s->out.failed ? rc : tell_failure(s);
}

int vbs_answer_stream(vbs_answer *a) {
    part *parts = calloc((size_t)a->x->n, sizeof *parts);
    if (!parts) return vbs_reply_memory(a->call);
    stream s = {.a = a, .parts = parts, .last = vb_now()};
    snprintf(a->call->log, sizeof a->call->log, "%.80s stream not taken", a->ask.model);
    vbs_reply_header(a->call, "Cache-Control", "no-cache");
    vbs_reply_header(a->call, "X-Accel-Buffering", "no");
    int rc = vbs_reply_stream(a->call, 200, "text/event-stream");
    while (!rc && !s.finished) rc = next_events(&s);
    if (!rc) rc = vbs_reply_end(a->call);
    if (rc && !s.finished) log_stream(&s, "client gone");
    for (int i = 0; i < a->x->n; i++) {
        vbs_box_free(&parts[i].fresh);
        vbs_box_free(&parts[i].pending);
    }
    free(parts);
    vb_buf_free(&s.out);
    return rc;
}
