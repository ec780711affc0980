/* chat.c - `verbatim chat`: a conversation. The KV cache is kept from turn to turn: only what is new is
 * evaluated. */
#include "cli/chat_tools.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --------------------------------------------------------------------------------------------- messages */

int chat_add(chat *c, const char *role, const char *content) {
    json_t *m = json_object();
    json_object_set_new(m, "role", json_string(role));
    json_object_set_new(m, "content", cli_json_text(content, strlen(content)));
    if (json_object_size(m) != 2) {
        json_decref(m);
        return cli_error("out of memory");
    }
    return json_array_append_new(c->messages, m) ? cli_error("out of memory") : CLI_OK;
}

static void drop_last_message(chat *c) {
    json_array_remove(c->messages, json_array_size(c->messages) - 1);
}

/* The conversation as its template writes it, up to where the assistant speaks. */
static int render(const chat *c, vb_prompt *p) {
    vb_error err = {0};
    json_t *variables = json_pack("{sO sO*}", "messages", c->messages, "tools", c->tools.list);
    size_t n = 0;
    char *text = vb_json_write(variables, JSON_PRESERVE_ORDER, &n);
    json_decref(variables);
    if (!text) return cli_error("out of memory");
    const vb_chat_request r = {.variables = text,
                               .n_variables = n,
                               .open_turn = true,
                               .date = c->dated ? c->date : NULL,
                               .calls = c->calls};
    const int rc = vb_chat_render(c->template, c->session.target.tokenizer, &r, p, &err);
    free(text);
    if (!rc && c->session.o->content_specials) cli_forget_writers(p);
    return rc ? cli_report(&err) : CLI_OK;
}

/* ----------------------------------------------------------------------------------------------- caches */

/* Counts that outlive a vb_spec. */
static void add_stats(const chat *c, vb_stats *total) {
    vb_stats t = {0};
    if (c->spec) vb_spec_stats(c->spec, &t);
    *total = c->before;
    total->drafted += t.drafted;
    total->tested += t.tested;
    total->accepted += t.accepted;
    total->prompt_tokens += t.prompt_tokens;
}

/* Ends the vb_spec. Where drafts go through text, the draft's cache is not cut along the path: what it holds
 * is remembered for the next one. */
static int close_spec(chat *c) {
    size_t n = 0;
    const int32_t *held = c->spec ? vb_spec_draft_tokens(c->spec, &n) : NULL;
    add_stats(c, &c->before);
    if (held && n && c->session.params.draft_tokenizer) {
        int32_t *ids = realloc(c->draft_ids, n * sizeof *ids);
        if (!ids) return cli_error("out of memory");
        memcpy(ids, held, n * sizeof *ids);
        c->draft_ids = ids;
        c->n_draft_ids = n;
    }
    vb_spec_close(c->spec);
    c->spec = NULL;
    return CLI_OK;
}

/* Cuts the caches back to what they hold of ids[0..keep) and goes on from there. */
static int rewind_to(chat *c, const int32_t *ids, size_t keep) {
    vb_error err = {0};
    vb_context *target = c->session.context, *draft = c->session.draft_context;
    size_t held = (size_t)vb_context_length(target);
    vb_spec_params params = c->session.params;
    if (keep > held) keep = held;
    if (close_spec(c)) return CLI_FAIL;
    if (vb_context_truncate(target, (int)keep, &err)) return cli_report(&err);
    params.draft_history = c->draft_ids;
    params.n_draft_history = c->n_draft_ids;
    if (draft && !params.draft_tokenizer && (size_t)vb_context_length(draft) > keep &&
        vb_context_truncate(draft, (int)keep, &err))
        return cli_report(&err);
    params.history = ids;
    params.n_history = keep;
    if (vb_spec_open(&c->spec, target, &c->session.sampling, &params, &err)) return cli_report(&err);
    return CLI_OK;
}

int chat_reset(chat *c) {
    while (json_array_size(c->messages) > 0 &&
           strcmp(json_string_value(
                      json_object_get(json_array_get(c->messages, json_array_size(c->messages) - 1), "role")),
                  "system") != 0)
        drop_last_message(c);
    return rewind_to(c, NULL, 0);
}

/* With `kind`, the drafter changes on the way. */
static int reopen(chat *c, const char *kind, const char *path) {
    size_t n = 0;
    const int32_t *held = vb_spec_tokens(c->spec, &n);
    int32_t *ids = malloc((n + 1) * sizeof *ids); /* those of the vb_spec end with it */
    if (!ids) return cli_error("out of memory");
    if (n) memcpy(ids, held, n * sizeof *ids);
    if (close_spec(c)) {
        free(ids);
        return CLI_FAIL;
    }
    if (kind) (void)cli_session_draft(&c->session, kind, path); /* said why; the old one goes on */
    const int rc = rewind_to(c, ids, n);
    free(ids);
    return rc;
}

int chat_reopen(chat *c) {
    return reopen(c, NULL, NULL);
}

int chat_change_draft(chat *c, const char *kind, const char *path) {
    return reopen(c, kind, path);
}

/* The ids of what the conversation gained since the last answer, when they can be told from the text alone:
 * the new text must start with a special token, at which every tokenizer splits. *ids stays NULL when they
 * cannot. This is for answers whose ids are not those that their own text would be given, as happens when
 * they are sampled. */
static int tokenize_new(const chat *c, const vb_prompt *p, int32_t **ids, size_t *n) {
    const vb_tokenizer *t = c->session.target.tokenizer;
    vb_error err = {0};
    size_t head = c->prompt.len, answer = strlen(c->answer), len = 0, n_have;
    if (p->len < head + answer || memcmp(p->text, c->prompt.text, head) ||
        memcmp(p->text + head, c->answer, answer))
        return CLI_OK;
    const char *rest = p->text + head + answer;
    const int32_t *have = vb_spec_tokens(c->spec, &n_have);
    if (n_have && vb_token_is_stop(t, have[n_have - 1])) {
        /* The answer's own end is in the cache already. */
        const char *stop = vb_token_text(t, have[n_have - 1], true, &len);
        if (!len || strncmp(rest, stop, len)) return CLI_OK;
        rest += len;
    }
    int32_t *out = NULL;
    size_t m = 0;
    if (vb_chat_tokenize(t, p, (size_t)(rest - p->text), &out, &m, &err)) return cli_report(&err);
    vb_token_kind kind = m ? vb_token_type(t, out[0]) : VB_TOKEN_NORMAL;
    if (kind == VB_TOKEN_CONTROL || kind == VB_TOKEN_USER || len) {
        *ids = out;
        *n = m;
    } else {
        vb_free(out);
    }
    return CLI_OK;
}

static size_t common_prefix(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b) {
    size_t n = 0;
    while (n < n_a && n < n_b && a[n] == b[n]) n++;
    return n;
}

/* Evaluates ids in pieces, so that a person sees that something happens. Ctrl-C leaves what was read so far
 * in the caches: a next turn finds it there. */
static int read_prompt(chat *c, const int32_t *ids, size_t n) {
    enum { PIECE = 128 };
    const double start = cli_now();
    const bool show = isatty(STDERR_FILENO) == 1;
    bool shown = false;
    vb_error err = {0};
    int rc = 0;
    for (size_t done = 0; done < n && !rc; done += PIECE) {
        const size_t piece = n - done < PIECE ? n - done : PIECE;
        rc = vb_spec_prompt(c->spec, ids + done, piece, &err);
        if (rc || !show || done + piece >= n || cli_now() - start < 0.5) continue;
        fprintf(stderr, "\r(reading: %zu of %zu tokens)\033[K", done + piece, n);
        shown = true;
    }
    if (shown) fputs("\r\033[K", stderr);
    if (rc == VB_ERR_CANCELLED) {
        fputs("(stopped)\n", stderr);
        return CLI_FAIL;
    }
    return rc ? cli_report(&err) : CLI_OK;
}

/* Evaluates the conversation up to the point where the assistant speaks;
 * what the caches hold of it is kept. */
static int give_prompt(chat *c, const vb_prompt *p) {
    int32_t *ids = NULL, *fresh = NULL;
    size_t n = 0, n_fresh = 0, kept;
    vb_error err = {0};
    int rc = CLI_OK;
    if (vb_chat_tokenize(c->session.target.tokenizer, p, 0, &ids, &n, &err)) return cli_report(&err);
    size_t n_have;
    const int32_t *have = vb_spec_tokens(c->spec, &n_have);
    kept = common_prefix(have, n_have, ids, n);
    if (n_have && kept < n_have && c->answer) {
        rc = tokenize_new(c, p, &fresh, &n_fresh);
        if (fresh) kept = n_have;
    }
    const int32_t *more = fresh ? fresh : ids + kept;
    size_t n_more = fresh ? n_fresh : n - kept, room = (size_t)vb_context_size(c->session.context);
    char way[96];
    if (!rc && kept + n_more > room)
        rc = cli_error("the conversation has %zu tokens and the context holds %zu positions: %s a new "
                       "conversation (/reset)",
                       kept + n_more, room, cli_longer_context(c->session.target.model, kept + n_more, way));
    if (!rc && kept < n_have) {
        rc = rewind_to(c, ids, kept);
        kept = (size_t)vb_context_length(c->session.context);
        more = ids + kept;
        n_more = n - kept;
    }
    if (!rc) rc = read_prompt(c, more, n_more);
    if (!rc) c->reused += kept;
    vb_free(ids);
    vb_free(fresh);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ turns */

static void count_first(chat *c, double at) {
    if (at == 0) return;
    c->first = at - c->asked;
    c->firsts += c->first;
    c->begun++;
}

/* Generates, shows, and appends what was said. */
static int speak(chat *c, const vb_prompt *p, cli_result *r) {
    cli_stream stream;
    chat_said said;
    json_t *message = NULL;
    cli_stream_init(&stream, &c->session, true);
    if (!c->drafts) stream.color = false;
    int rc = chat_said_open(&said, c, &stream, p);
    if (!rc) rc = cli_generate(&c->session, c->spec, c->session.o->n_predict, chat_said_step, &said, r);
    count_first(c, said.first_at);
    if (!rc) rc = chat_said_end(&said, r->text, &message);
    stream.text = true;
    cli_stream_end(&stream);
    if (!said.answer || said.begun || rc) cli_out("\n", 1);
    cli_out_flush();
    if (cli_out_failed()) rc = cli_out_finish();
    if (!rc && json_array_append(c->messages, message)) rc = cli_error("out of memory");
    json_decref(message);
    chat_said_close(&said);
    return rc;
}

/* Takes the prompt over. */
static int answer(chat *c, vb_prompt *p) {
    cli_result r = {0};
    int rc = speak(c, p, &r);
    if (!rc && r.context_full) fprintf(stderr, "(the context is full: /reset starts a new conversation)\n");
    if (!rc && !strcmp(r.reason, "cancelled")) fprintf(stderr, "(stopped)\n");
    if (!rc && c->interactive && !strcmp(r.reason, "length") && !r.context_full)
        fprintf(stderr, "(cut after %zu tokens: -n)\n", r.n);
    c->turns++;
    c->generated += r.n;
    c->seconds += r.seconds;
    vb_prompt_free(&c->prompt);
    free(c->answer);
    c->prompt = *p;
    *p = (vb_prompt){0};
    c->answer = r.text;
    r.text = NULL;
    cli_result_free(&r);
    return rc;
}

/* One answer, to a question or to results. *calls: what it calls, or NULL; the message's own. */
static int answer_once(chat *c, bool undo, const json_t **calls) {
    vb_prompt p = {0};
    *calls = NULL;
    c->asked = cli_now();
    int rc = render(c, &p);
    if (!rc) rc = give_prompt(c, &p);
    if (!rc) {
        rc = answer(c, &p);
        *calls = json_object_get(json_array_get(c->messages, json_array_size(c->messages) - 1), "tool_calls");
        return rc;
    }
    vb_prompt_free(&p);
    if (undo) drop_last_message(c);
    return c->interactive ? CLI_OK : CLI_FAIL;
}

int chat_answer(chat *c, bool undo) {
    const json_t *calls;
    bool done = false;
    int rc = answer_once(c, undo, &calls);
    while (!rc && calls && !done) {
        rc = chat_run_calls(c, calls, &done);
        if (!rc && !done) rc = answer_once(c, false, &calls);
    }
    return rc;
}

void chat_print_stats(const chat *c) {
    char share[32], rate[32], mean[32];
    vb_stats t;
    add_stats(c, &t);
    fprintf(stderr,
            "%llu turn%s; %zu tokens generated, %s tokens/s; prompt tokens: %llu evaluated, %llu reused "
            "from the cache\n",
            (unsigned long long)c->turns, c->turns == 1 ? "" : "s", c->generated,
            cli_digits(c->seconds > 0 ? (double)c->generated / c->seconds : 0, rate),
            (unsigned long long)t.prompt_tokens, (unsigned long long)c->reused);
    if (c->begun)
        fprintf(stderr, "first token after %s; %s on average\n", cli_seconds(c->first, rate),
                cli_seconds(c->firsts / (double)c->begun, mean));
    fprintf(stderr, "context: %d of %d positions; draft %s, accept %s, seed %llu\n",
            vb_context_length(c->session.context), vb_context_size(c->session.context), c->session.draft_name,
            c->session.o->accept, (unsigned long long)c->session.sampling.seed);
    cli_print_pre(c->session.target.tokenizer);
    cli_print_rope(c->session.target.model, c->session.draft_file.model);
    if (t.drafted)
        fprintf(stderr,
                "acceptance %s: drafted %llu, tested %llu, accepted %llu; alpha %.3f (`verbatim help stats` "
                "explains)\n",
                cli_percent((double)t.accepted / (double)t.drafted, share), (unsigned long long)t.drafted,
                (unsigned long long)t.tested, (unsigned long long)t.accepted,
                t.tested ? (double)t.accepted / (double)t.tested : 0);
}

/* A message: a line, joined with the next ones while it ends in a backslash. *out is NULL at the end of
 * input. */
static int read_message(const chat *c, char **out) {
    vb_buf message = {0};
    char *line = NULL;
    size_t n = 0;
    bool more = true;
    int failed = CLI_OK;
    while (more) {
        free(line);
        const int rc = cli_line_read(c->line, message.n ? ". " : "> ", &line, &n);
        if (rc > 0) { /* Ctrl-C at the prompt: an empty line */
            cli_interrupt_reset();
            if (c->interactive) fputs("(Ctrl-D or /quit ends the conversation)\n", stderr);
            continue;
        }
        if (rc == -2) failed = CLI_FAIL;
        if (rc < 0) break;
        more = n && line[n - 1] == '\\';
        if (more) line[n - 1] = '\n';
        if (!vb_buf_add(&message, line, n)) {
            failed = cli_error("out of memory for a message");
            break;
        }
    }
    free(line);
    if (failed) vb_buf_free(&message); /* a part of a message is none */
    *out = message.s;
    return failed;
}

static int converse(chat *c) {
    int rc = CLI_OK;
    bool end = false;
    while (!rc && !end) {
        char *line;
        cli_interrupt_reset(); /* a Ctrl-C that stopped an answer is over */
        rc = read_message(c, &line);
        if (!line) break;
        cli_interrupt_reset();
        cli_line_remember(c->line, line);
        if (line[0] == '/') {
            rc = chat_obey(c, line, &end);
        } else if (line[strspn(line, " \t\n")]) {
            rc = chat_add(c, "user", line);
            if (!rc) rc = chat_answer(c, true);
        }
        free(line);
    }
    return rc;
}

static void say_hello(const chat *c) {
    const cli_options *o = c->session.o;
    fprintf(stderr, "%s, template %s, draft %s, seed %llu. /help lists the commands, Ctrl-D ends.\n",
            o->model, o->chat_template ? o->chat_template : "the model's own", c->session.draft_name,
            (unsigned long long)c->session.sampling.seed);
}

static int open_tools(chat *c) {
    const char *path = c->session.o->tools;
    vb_error err = {0};
    if (vb_calls_open(&c->calls, c->template, c->session.target.tokenizer, &err)) return cli_report(&err);
    if (!path) return CLI_OK;
    const vb_call_format *f = vb_calls_format(c->calls);
    if (!f->tools || f->style == VB_CALLS_NONE)
        return cli_error("--tools: the chat template of this model %s",
                         f->tools ? "writes calls in a way that is not known here"
                                  : "does not show tools to the model");
    return chat_tools_open(&c->tools, path);
}

int cli_chat(cli_options *o) {
    chat c;
    memset(&c, 0, sizeof c);
    cli_interrupt_install();
    c.interactive = isatty(STDIN_FILENO) == 1;
    c.drafts = !strcmp(o->color, "always");
    c.messages = json_array();
    c.line = cli_line_open(chat_command_names);
    int rc = c.messages && c.line ? cli_template_date(o, c.date, &c.dated) : cli_error("out of memory");
    if (!rc) rc = cli_session_open(&c.session, o);
    if (!rc)
        rc = cli_template_open(o->chat_template, c.session.target.gguf, c.session.target.tokenizer,
                               &c.template);
    if (!rc) rc = open_tools(&c);
    if (!rc && o->system) rc = chat_add(&c, "system", o->system);
    if (!rc) rc = chat_reset(&c);
    if (!rc && c.interactive) say_hello(&c);
    if (!rc) rc = converse(&c);
    vb_spec_close(c.spec);
    json_decref(c.messages);
    vb_prompt_free(&c.prompt);
    vb_calls_close(c.calls);
    chat_tools_close(&c.tools);
    vb_chat_close(c.template);
    free(c.answer);
    free(c.draft_ids);
    cli_line_close(c.line);
    cli_session_close(&c.session);
    int out = cli_out_finish();
    return rc ? rc : out;
}
