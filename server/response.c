/* response.c - answers as JSON: choices, log-probabilities, usage, and what speculation did. */
#include "server/httpd.h"

#include "base/buf.h"
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *token_text(const vbs_answer *a, int32_t id, bool special, size_t *n) {
    const vb_tokenizer *t = a->x->tokenizer;
    *n = 0;
    const char *text = id >= 0 && id < vb_tokenizer_size(t) ? vb_token_text(t, id, special, n) : NULL;
    return text ? text : "";
}

static double ratio(uint64_t a, uint64_t b) {
    return b ? (double)a / (double)b : NAN;
}

/* Times for people: milliseconds with three digits. */
static json_t *ms(double seconds) {
    return json_real(round(1e6 * seconds) / 1e3);
}

/* ------------------------------------------------------------------------------------------ totals */

static void add_up(const vbs_answer *a, vbs_totals *o) {
    memset(o, 0, sizeof *o);
    o->first_s = (double)NAN;
    for (int i = 0; i < a->x->n; i++) {
        const vbs_result *r = &a->x->choices[i].result;
        /* One prompt counts once, however many choices continue it. */
        if (i % a->ask.n == 0) o->prompt += r->prompt_tokens;
        if (i % a->ask.n == 0) o->cached += r->cached_tokens;
        o->output += r->output_tokens;
        o->reasoning += a->x->choices[i].reasoning_tokens;
        o->t.steps += r->stats.steps;
        o->t.target_calls += r->stats.target_calls;
        o->t.drafted += r->stats.drafted;
        o->t.tested += r->stats.tested;
        o->t.accepted += r->stats.accepted;
        for (int k = 0; k < 32; k++) {
            o->t.tested_at[k] += r->stats.tested_at[k];
            o->t.accepted_at[k] += r->stats.accepted_at[k];
        }
        for (int k = 0; k <= 32; k++) o->t.by_length[k] += r->stats.by_length[k];
        o->queue_s = fmax(o->queue_s, r->queue_s);
        o->prompt_s += i % a->ask.n == 0 ? r->prompt_s : 0;
        o->decode_s = fmax(o->decode_s, r->decode_s);
        o->first_s = fmin(o->first_s, r->first_s); /* NaN: that choice has no token */
    }
}

json_t *vbs_usage_json(const vbs_answer *a) {
    vbs_totals o;
    add_up(a, &o);
    return json_pack("{sI sI sI s{sI} s{sI sI sI}}", "prompt_tokens", (json_int_t)o.prompt,
                     "completion_tokens", (json_int_t)o.output, "total_tokens",
                     (json_int_t)o.prompt + (json_int_t)o.output, "prompt_tokens_details", "cached_tokens",
                     (json_int_t)o.cached, "completion_tokens_details", "reasoning_tokens",
                     (json_int_t)o.reasoning, "accepted_prediction_tokens", (json_int_t)o.t.accepted,
                     "rejected_prediction_tokens", (json_int_t)(o.t.drafted - o.t.accepted));
}

static json_t *timings_json(const vbs_totals *o) {
    size_t computed = o->prompt - o->cached;
    double output = (double)o->output;
    return json_pack(
        "{sI sI so so sI so so so sI sI}", "cache_n", (json_int_t)o->cached, "prompt_n", (json_int_t)computed,
        "prompt_ms", ms(o->prompt_s), "prompt_per_second",
        vbs_json_real(o->prompt_s > 0 ? round(1e2 * (double)computed / o->prompt_s) / 1e2 : NAN),
        "predicted_n", (json_int_t)o->output, "predicted_ms", ms(o->decode_s), "predicted_per_second",
        vbs_json_real(o->decode_s > 0 ? round(1e2 * output / o->decode_s) / 1e2 : NAN), "queue_ms",
        ms(o->queue_s), "draft_n", (json_int_t)o->t.drafted, "draft_n_accepted", (json_int_t)o->t.accepted);
}

static json_t *stats_json(const vbs_answer *a, const vbs_totals *o) {
    json_t *at = json_array();
    for (int k = 0; k < 32 && o->t.tested_at[k]; k++)
        json_array_append_new(at, vbs_json_real(ratio(o->t.accepted_at[k], o->t.tested_at[k])));
    return json_pack(
        "{ss so sI sI sI sI sI sI so so so}", "accept", vb_accept_name(a->ask.accept), "gamma",
        vbs_gamma_json(a->ask.gamma), "total_draft_tokens", (json_int_t)o->t.drafted, "accepted_draft_tokens",
        (json_int_t)o->t.accepted, "rejected_draft_tokens", (json_int_t)(o->t.drafted - o->t.accepted),
        "tested_draft_tokens", (json_int_t)o->t.tested, "steps", (json_int_t)o->t.steps, "target_calls",
        (json_int_t)o->t.target_calls, "acceptance", vbs_json_real(ratio(o->t.accepted, o->t.drafted)),
        "alpha", vbs_json_real(ratio(o->t.accepted, o->t.tested)), "acceptance_by_position", at);
}

/* gamma auto: how many steps drafted 0, 1, 2, ... tokens, and by which costs. */
static void add_lengths(const vbs_answer *a, const vbs_totals *o, json_t *stats) {
    json_t *steps = json_array();
    const vb_costs *costs = vbs_costs(a->s->engine);
    char hash[24];
    int last = 32;
    while (last > 0 && o->t.by_length[last] == 0) last--;
    for (int k = 0; k <= last; k++) json_array_append_new(steps, json_integer((json_int_t)o->t.by_length[k]));
    json_object_set_new(stats, "steps_by_length", steps);
    if (!costs) return;
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)vb_costs_hash(costs));
    json_object_set_new(stats, "costs", json_string(hash));
}

void vbs_report_json(const vbs_answer *a, json_t *into) {
    vbs_totals o;
    add_up(a, &o);
    json_object_set_new(into, "timings", timings_json(&o));
    json_t *stats = stats_json(a, &o);
    if (stats) vbs_native_stats(a, &o, stats);
    if (stats && a->ask.gamma && a->ask.tree[0]) {
        char shape[80] = "auto";
        for (size_t i = 0, n = 0; i < VB_TREE_DEPTH && a->ask.tree[i] > 0; i++)
            n += (size_t)snprintf(shape + n, sizeof shape - n, i ? ",%d" : "%d", a->ask.tree[i]);
        json_object_set_new(stats, "tree", json_string(shape));
    }
    if (stats && a->ask.gamma == VB_GAMMA_AUTO) add_lengths(a, &o, stats);
    json_object_set_new(into, "stats", stats);
    json_object_set_new(into, "seed", json_integer((json_int_t)a->ask.sampling.seed));
    vbs_date_json(&a->rendered, into);
    if (a->x->timed_out)
        json_array_append_new(a->ask.warnings, json_string("ended by the server's time limit for a request"));
    if (json_array_size(a->ask.warnings)) json_object_set(into, "warnings", a->ask.warnings);
    if (a->native) vbs_native_json(a, into);
}

/* ------------------------------------------------------------------------------------------ tokens */

size_t vbs_box_kept(const vbs_choice *c, const vbs_box *b) {
    size_t n = b->n;
    while (c->stopped && n && b->tokens[n - 1].from >= c->cut) n--;
    return n;
}

/* `value` is a log-probability, or a probability in the law (post_sampling_probs). */
static json_t *alternative(const vbs_answer *a, int32_t id, double value) {
    size_t n;
    const char *text = token_text(a, id, true, &n);
    return json_pack("{so so so}", "token", vbs_json_text(text, n), a->ask.law ? "prob" : "logprob",
                     vbs_json_real(value), "bytes", vbs_json_bytes(text, n));
}

/* As the chat API has it; for probabilities with the names of llama.cpp's server. */
static json_t *chat_logprobs(const vbs_answer *a, const vbs_box *b, size_t first, size_t n) {
    json_t *content = json_array();
    for (size_t i = first; i < n; i++) {
        const vbs_out *t = &b->tokens[i];
        json_t *entry = alternative(a, t->id, a->ask.law ? t->p : t->logprob), *top = json_array();
        for (int k = 0; k < t->n_top && k < a->ask.n_top; k++)
            json_array_append_new(
                top, alternative(a, b->tops[t->top + (size_t)k].id, b->tops[t->top + (size_t)k].value));
        json_object_set_new(entry, "id", json_integer(t->id));
        json_object_set_new(entry, a->ask.law ? "top_probs" : "top_logprobs", top);
        json_object_set_new(entry, "from_draft", json_boolean(t->origin == VB_FROM_DRAFT));
        json_array_append_new(content, entry);
    }
    return json_pack("{so sn}", "content", content, "refusal");
}

/* As the older API has it: parallel lists. Its map of alternatives keeps one of each text. */
static json_t *text_logprobs(const vbs_answer *a, const vbs_box *b, size_t first, size_t n, size_t *offset) {
    json_t *tokens = json_array(), *values = json_array(), *tops = json_array(), *offsets = json_array(),
           *drafts = json_array();
    for (size_t i = first; i < n; i++) {
        const vbs_out *t = &b->tokens[i];
        size_t len;
        const char *text = token_text(a, t->id, true, &len);
        json_array_append_new(tokens, vbs_json_token(text, len));
        json_array_append_new(values, vbs_json_real(a->ask.law ? t->p : t->logprob));
        json_array_append_new(drafts, json_boolean(t->origin == VB_FROM_DRAFT));
        json_array_append_new(offsets, json_integer((json_int_t)*offset));
        *offset += len;
        json_t *map = json_object();
        for (int k = a->ask.n_top < t->n_top ? a->ask.n_top - 1 : t->n_top - 1; k >= 0; k--) {
            const vbs_top *top = &b->tops[t->top + (size_t)k];
            json_t *key = vbs_json_token(token_text(a, top->id, true, &len), len);
            json_object_set_new(map, key ? json_string_value(key) : "", vbs_json_real(top->value));
            json_decref(key);
        }
        json_array_append_new(tops, map);
    }
    return json_pack("{so so so so so}", "tokens", tokens, a->ask.law ? "token_probs" : "token_logprobs",
                     values, a->ask.law ? "top_probs" : "top_logprobs", tops, "text_offset", offsets,
                     "from_draft", drafts);
}

json_t *vbs_logprobs_json(const vbs_answer *a, const vbs_box *b, size_t first, size_t n, size_t *offset) {
    if (!a->ask.logprobs) return json_null();
    return a->ask.chat ? chat_logprobs(a, b, first, n) : text_logprobs(a, b, first, n, offset);
}

static const char *origin_name(vb_origin o) {
    return o == VB_FROM_DRAFT      ? "draft"
           : o == VB_FROM_RESIDUAL ? "residual"
           : o == VB_FROM_BONUS    ? "bonus"
                                   : "target";
}

static json_t *token_json(const vbs_answer *a, const vbs_out *t) {
    size_t n;
    const char *text = token_text(a, t->id, true, &n);
    json_t *o =
        json_pack("{si so sb ss so so so}", "id", (int)t->id, "text", vbs_json_text(text, n), "from_draft",
                  t->origin == VB_FROM_DRAFT, "origin", origin_name(t->origin), "p", vbs_json_real(t->p), "q",
                  vbs_json_real(t->q), "logprob", vbs_json_real(t->logprob));
    if (t->rejected >= 0) {
        text = token_text(a, t->rejected, true, &n);
        json_object_set_new(o, "rejected",
                            json_pack("{si so so so}", "id", (int)t->rejected, "text", vbs_json_text(text, n),
                                      "p", vbs_json_real(t->rejected_p), "q", vbs_json_real(t->rejected_q)));
    }
    if (t->drafted >= 0)
        json_object_set_new(
            o, "step",
            json_pack("{si si si}", "drafted", t->drafted, "tested", t->tested, "accepted", t->accepted));
    return o;
}

json_t *vbs_tokens_json(const vbs_answer *a, const vbs_box *b, size_t first, size_t n) {
    json_t *tokens = json_array();
    for (size_t i = first; i < n; i++) json_array_append_new(tokens, token_json(a, &b->tokens[i]));
    return json_pack("{so}", "tokens", tokens);
}

json_t *vbs_ids_json(const vbs_box *b, size_t first, size_t n) {
    json_t *ids = json_array();
    for (size_t i = first; i < n; i++) json_array_append_new(ids, json_integer(b->tokens[i].id));
    return ids;
}

/* ------------------------------------------------------------------------------------------ whole answers */

/* All pieces of one kind in one text. */
static json_t *kind_json(const vbs_pieces *p, vbs_kind kind) {
    vb_buf text = {0};
    const char *at = p->text.s;
    for (size_t i = 0; i < p->n; at += p->v[i++].len)
        if (p->v[i].kind == kind) vb_buf_add(&text, at, p->v[i].len);
    if (text.failed) vb_json_fail();
    json_t *o = vbs_json_text(text.s ? text.s : "", text.n);
    vb_buf_free(&text);
    return o;
}

static bool has_kind(const vbs_pieces *p, vbs_kind kind) {
    for (size_t i = 0; i < p->n; i++)
        if (p->v[i].kind == kind) return true;
    return false;
}

json_t *vbs_call_json(const char *text, size_t len, const char *arguments, size_t n_arguments) {
    const char *name = text + strlen(text) + 1; /* behind the id and its NUL */
    return json_pack("{ss ss s{so so}}", "id", text, "type", "function", "function", "name",
                     vbs_json_text(name, len - (size_t)(name - text)), "arguments",
                     vbs_json_text(arguments, n_arguments));
}

/* Each call with its arguments, the pieces of which follow it. */
static json_t *calls_json(const vbs_pieces *p) {
    json_t *list = json_array();
    const char *at = p->text.s;
    for (size_t i = 0; i < p->n; at += p->v[i++].len) {
        if (p->v[i].kind != VBS_CALL) continue;
        vb_buf arguments = {0};
        const char *next = at + p->v[i].len;
        for (size_t k = i + 1; k < p->n; next += p->v[k++].len)
            if (p->v[k].kind == VBS_ARGUMENTS && p->v[k].call == p->v[i].call)
                vb_buf_add(&arguments, next, p->v[k].len);
        if (arguments.failed) vb_json_fail();
        json_array_append_new(list,
                              vbs_call_json(at, p->v[i].len, arguments.s ? arguments.s : "", arguments.n));
        vb_buf_free(&arguments);
    }
    return list;
}

static json_t *message_json(const vbs_pieces *p) {
    const bool calls = has_kind(p, VBS_CALL), content = has_kind(p, VBS_CONTENT);
    json_t *o = json_pack("{ss so}", "role", "assistant", "content",
                          calls && !content ? json_null() : kind_json(p, VBS_CONTENT));
    if (has_kind(p, VBS_REASONING)) json_object_set_new(o, "reasoning_content", kind_json(p, VBS_REASONING));
    if (calls) json_object_set_new(o, "tool_calls", calls_json(p));
    json_object_set_new(o, "refusal", json_null());
    return o;
}

static json_t *choice_json(const vbs_answer *a, const vbs_choice *c, const vbs_box *b) {
    size_t kept = vbs_box_kept(c, b), offset = 0;
    json_t *o = json_pack("{si}", "index", c->index);
    if (a->ask.chat)
        json_object_set_new(o, "message", message_json(&b->pieces));
    else
        json_object_set_new(o, "text", kind_json(&b->pieces, VBS_CONTENT));
    json_object_set_new(o, "logprobs", vbs_logprobs_json(a, b, 0, kept, &offset));
    json_object_set_new(o, "finish_reason", json_string(vbs_choice_reason(c)));
    json_object_set_new(o, "seed", json_integer((json_int_t)c->seed));
    if (a->ask.token_ids) json_object_set_new(o, "token_ids", vbs_ids_json(b, 0, kept));
    if (a->ask.verbatim) json_object_set_new(o, "verbatim", vbs_tokens_json(a, b, 0, kept));
    return o;
}

const char *vbs_fingerprint(const vbs_answer *a) {
    const bool drawn = a->ask.accept == VB_ACCEPT_REJECTION || a->ask.accept == VB_ACCEPT_BLOCK;
    return drawn && a->ask.gamma && a->ask.sampling.temperature > 0 ? a->s->drafted_fingerprint
                                                                    : a->s->fingerprint;
}

json_t *vbs_answer_json(const vbs_answer *a, vbs_box *boxes) {
    json_t *choices = json_array();
    for (int i = 0; i < a->x->n; i++)
        json_array_append_new(choices, choice_json(a, &a->x->choices[i], &boxes[i]));
    json_t *o = json_pack("{ss ss sI ss ss so so}", "id", a->id, "object",
                          a->ask.chat ? "chat.completion" : "text_completion", "created",
                          (json_int_t)a->created, "model", a->ask.model, "system_fingerprint",
                          vbs_fingerprint(a), "choices", choices, "usage", vbs_usage_json(a));
    if (o) vbs_report_json(a, o);
    return o;
}
