/* render.c - conversations as prompts, without generating: /apply-template, /tokenize with messages, and
 * /v1/chat/completions/input_tokens. All of them read a request as /v1/chat/completions does. */
#include "server/httpd.h"

#include <stdio.h>
#include <string.h>

typedef struct rendering {
    vbs_ask ask;
    vb_prompt prompt;
    int32_t *ids;
    size_t n;
} rendering;

static void release(rendering *r) {
    vbs_ask_close(&r->ask);
    vb_prompt_free(&r->prompt);
    vb_free(r->ids);
}

/* Of a body that is held (vbs_body_hold), and released here. 0, or -1 with *p; release *r either way. */
static int render(vbs_call *c, rendering *r, vbs_problem *p) {
    memset(r, 0, sizeof *r);
    int rc = vbs_ask_read(&r->ask, true, c->body.n ? c->body.s : "", c->body.n, &c->s->terms, p);
    vbs_body_release(c);
    return rc ? rc : vbs_prompt_chat(c->s, &r->ask, &r->prompt, &r->ids, &r->n, p);
}

static void add_warnings(const rendering *r, json_t *o) {
    if (json_array_size(r->ask.warnings)) json_object_set(o, "warnings", r->ask.warnings);
}

void vbs_date_json(const vb_prompt *prompt, json_t *into) {
    char text[80];
    const int *d = prompt->date;
    if (!prompt->asked_date) return;
    snprintf(text, sizeof text, "%04d-%02d-%02d %02d:%02d:%02d", d[0], d[1], d[2], d[3], d[4], d[5]);
    json_object_set_new(into, "date", json_string(text));
}

static json_t *ids_json(const rendering *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->n; i++) json_array_append_new(list, json_integer(r->ids[i]));
    return list;
}

static int reply(vbs_call *c, rendering *r, const vbs_problem *p, json_t *o) {
    if (o) add_warnings(r, o);
    const int rc = p->status ? vbs_reply_problem(c, p) : vbs_reply_json(c, 200, o);
    release(r);
    return rc;
}

/* As llama.cpp has it; with return_token_ids also the ids. */
int vbs_answer_template(vbs_call *c) {
    rendering r;
    vbs_problem p = {0};
    vbs_body_hold(c);
    if (render(c, &r, &p)) return reply(c, &r, &p, NULL);
    json_t *o = json_pack("{so}", "prompt", vbs_json_text(r.prompt.text, r.prompt.len));
    if (r.ask.token_ids) {
        json_object_set_new(o, "token_ids", ids_json(&r));
        json_object_set_new(o, "count", json_integer((json_int_t)r.n));
    }
    vbs_date_json(&r.prompt, o);
    return reply(c, &r, &p, o);
}

/* As llama.cpp has it. */
int vbs_answer_count(vbs_call *c) {
    rendering r;
    vbs_problem p = {0};
    vbs_body_hold(c);
    if (render(c, &r, &p)) return reply(c, &r, &p, NULL);
    return reply(c, &r, &p, json_pack("{sI}", "input_tokens", (json_int_t)r.n));
}

/* As vLLM has it. */
int vbs_answer_tokenize_chat(vbs_call *c, bool pieces) {
    const vb_tokenizer *t = vbs_tokenizer(c->s->engine);
    rendering r;
    vbs_problem p = {0};
    if (render(c, &r, &p)) return reply(c, &r, &p, NULL);
    json_t *o = json_pack("{so sI si}", "tokens", ids_json(&r), "count", (json_int_t)r.n, "max_model_len",
                          vbs_context_size(c->s->engine)),
           *texts = pieces ? json_array() : NULL;
    for (size_t i = 0; pieces && i < r.n; i++) {
        size_t k;
        const char *text = vb_token_text(t, r.ids[i], true, &k);
        json_array_append_new(texts, vbs_json_text(text ? text : "", text ? k : 0));
    }
    if (pieces) json_object_set_new(o, "token_strs", texts);
    return reply(c, &r, &p, o);
}
