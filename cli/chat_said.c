/* chat_said.c - an answer of `verbatim chat`, told apart while it comes: text as it is, thoughts dimmed,
 * calls of tools on lines of their own. See chat_tools.h. */
#include "cli/chat_tools.h"

#include <stdlib.h>
#include <string.h>

#define DIM   "\x1b[2m"
#define CYAN  "\x1b[36m"
#define PLAIN "\x1b[0m"

int chat_said_open(chat_said *s, const chat *c, cli_stream *stream, const vb_prompt *prompt) {
    vb_error err = {0};
    const vb_call_format *f = vb_calls_format(c->calls);
    memset(s, 0, sizeof *s);
    s->c = c;
    s->stream = stream;
    s->last = VB_SAID_CONTENT;
    s->color = cli_use_color(c->session.o, stdout);
    s->calls = json_array();
    if (!s->calls) return cli_error("out of memory");
    if (!c->tools.list && !f->think[0] && !f->think_end[0] && !f->everyone[0]) return CLI_OK;
    const vb_answer_params p = {.tools = c->tools.text,
                                .n_tools = c->tools.len,
                                .thinking = vb_calls_thinking(c->calls, prompt),
                                .early = true,
                                .loose = !c->session.o->strict_calls,
                                .seed = c->session.sampling.seed + c->turns};
    if (vb_answer_open(&s->answer, c->calls, &p, &err)) return cli_report(&err);
    stream->text = false; /* it is shown here */
    return CLI_OK;
}

void chat_said_close(chat_said *s) {
    vb_answer_close(s->answer);
    vb_buf_free(&s->content);
    vb_buf_free(&s->reasoning);
    vb_buf_free(&s->arguments);
    json_decref(s->calls);
    memset(s, 0, sizeof *s);
}

/* Text of one kind. Without colours thoughts stand between the model's own marks. */
static void show(chat_said *s, vb_said_kind kind, const char *text, size_t len) {
    const vb_call_format *f = vb_calls_format(s->c->calls);
    const bool thought = kind == VB_SAID_REASONING, before = s->last == VB_SAID_REASONING;
    if (thought != before && !s->color) {
        const char *mark = thought ? f->think : f->think_end;
        cli_stream_put(s->stream, mark, strlen(mark), NULL);
    } else if (before && !thought) {
        cli_stream_put(s->stream, "\n", 1, NULL);
    }
    const char *code = !s->color ? NULL : thought ? DIM : kind == VB_SAID_CONTENT ? NULL : CYAN;
    cli_stream_put(s->stream, text, len, code);
    s->last = kind;
    if (len) s->begun = text[len - 1] != '\n';
}

static int begin_call(chat_said *s, const vb_said *e) {
    json_t *call = json_pack("{ss ss s{ss}}", "id", e->id, "type", "function", "function", "name", e->name);
    if (!call || json_array_append_new(s->calls, call)) return cli_error("out of memory");
    if (s->begun) show(s, VB_SAID_CONTENT, "\n", 1);
    show(s, VB_SAID_CALL, e->name, strlen(e->name));
    show(s, VB_SAID_CALL, " ", 1);
    s->arguments.n = 0;
    s->passed_on = false;
    return CLI_OK;
}

static int end_call(chat_said *s) {
    json_t *f = json_object_get(json_array_get(s->calls, json_array_size(s->calls) - 1), "function");
    json_t *text = json_stringn(s->arguments.s ? s->arguments.s : "{}", s->arguments.s ? s->arguments.n : 2);
    show(s, VB_SAID_CALL, "\n", 1);
    return text && !json_object_set_new(f, "arguments", text) ? CLI_OK : cli_error("out of memory");
}

/* What was announced and is no call: it is forgotten, and what was not shown of it is text. */
static void cut_call(chat_said *s, const vb_said *e) {
    json_array_remove(s->calls, json_array_size(s->calls) - 1);
    vb_buf_add(&s->content, e->text, e->len);
    if (!s->passed_on) show(s, VB_SAID_CONTENT, e->text, e->len);
}

static int take(chat_said *s, const vb_said *e) {
    switch (e->kind) {
    case VB_SAID_CONTENT: vb_buf_add(&s->content, e->text, e->len); break;
    case VB_SAID_REASONING: vb_buf_add(&s->reasoning, e->text, e->len); break;
    case VB_SAID_ARGUMENTS:
        vb_buf_add(&s->arguments, e->text, e->len);
        s->passed_on = true;
        break;
    case VB_SAID_CALL: return begin_call(s, e);
    case VB_SAID_CALL_END: return end_call(s);
    case VB_SAID_CALL_CUT: cut_call(s, e); return CLI_OK;
    case VB_SAID_MARKS: return CLI_OK;
    }
    show(s, e->kind, e->text, e->len);
    return CLI_OK;
}

static int drain(chat_said *s) {
    vb_said e;
    int rc = CLI_OK;
    while (!rc && vb_answer_next(s->answer, &e)) rc = take(s, &e);
    cli_out_flush();
    return rc;
}

int chat_said_step(void *said, const vb_step *step) {
    chat_said *s = said;
    const vb_tokenizer *t = s->c->session.target.tokenizer;
    vb_error err = {0};
    if (s->first_at == 0) s->first_at = cli_now();
    int rc = cli_stream_step(s->stream, step);
    for (int i = 0; s->answer && !rc && i < step->n_emitted && !step->emitted[i].stop; i++) {
        size_t n = 0, shown = 0;
        const int32_t id = step->emitted[i].id;
        const char *text = id < vb_tokenizer_size(t) ? vb_token_text(t, id, true, &n) : NULL;
        if (text) vb_token_text(t, id, false, &shown);
        if (vb_answer_push(s->answer, text ? text : "", text ? n : 0, n > 0 && shown == 0, &err))
            rc = cli_report(&err);
        if (!rc) rc = drain(s);
    }
    return rc;
}

int chat_said_end(chat_said *s, const char *text, json_t **message) {
    vb_error err = {0};
    int rc = CLI_OK;
    if (s->answer) rc = vb_answer_end(s->answer, &err) ? cli_report(&err) : drain(s);
    if (!s->answer) vb_buf_puts(&s->content, text);
    if (!rc && (s->content.failed || s->reasoning.failed || s->arguments.failed))
        rc = cli_error("out of memory");
    if (rc) return rc;
    const bool calls = json_array_size(s->calls) > 0;
    json_t *m = json_pack(
        "{ss so}", "role", "assistant", "content",
        calls && !s->content.n ? json_null() : cli_json_text(s->content.s ? s->content.s : "", s->content.n));
    if (m && s->reasoning.n)
        json_object_set_new(m, "reasoning_content", cli_json_text(s->reasoning.s, s->reasoning.n));
    if (m && calls) json_object_set(m, "tool_calls", s->calls);
    if (!m || vb_json_failed()) {
        json_decref(m);
        return cli_error("out of memory");
    }
    *message = m;
    return CLI_OK;
}
