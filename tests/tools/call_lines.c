/* call_lines - how templates write calls, and answers read back: pairs of lines on standard input, a
 * template as a JSON string and an object that says what to do. For each one line.
 *
 *   {"do": "format"}: the pieces of text that were found
 *   {"do": "render", "request": {...}}: {"text": ...} as a client's messages give it
 *   {"do": "read", "text": ..., "tools": [...]}: what the text says, read whole: {"content", "reasoning",
 *       "calls": [[name, arguments, the model's text]], "cut": [...], "marks"}. It is read again cut in two
 *       at every byte, byte by byte, and with early events; "differs": a reading that said something else.
 *       "parts" is a list of texts in place of "text": those at odd places are control tokens'. "cuts": so
 *       many at most. */
#include "chat/value.h"

#include "base/base.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print(json_t *v) {
    char *s = json_dumps(v, JSON_COMPACT);
    puts(s ? s : "{}");
    free(s);
    json_decref(v);
}

static json_t *text_of(const char *s, size_t n) {
    json_t *v = json_stringn(s, n);
    return v ? v : json_string("(no UTF-8)");
}

static void fail(const vb_error *err) {
    print(json_pack("{s:o, s:i}", "error", text_of(err->message, strlen(err->message)), "code", err->code));
}

static void format(const vb_calls *k) {
    const vb_call_format *f = vb_calls_format(k);
    static const char *const styles[] = {"none", "members", "named", "tags", "python", "gemma"};
    json_t *o = json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "style", styles[f->style], "tools", f->tools,
                          "parallel", f->parallel, "id_counts", f->id_counts, "arguments_text",
                          f->arguments_text, "probed", f->probed);
    const struct {
        const char *name, *text;
    } all[] = {{"lead", f->lead},
               {"open", f->open},
               {"begin", f->begin},
               {"between", f->between},
               {"end", f->end},
               {"separator", f->separator},
               {"close", f->close},
               {"item", f->item},
               {"value", f->value},
               {"value_other", f->value_other},
               {"item_end", f->item_end},
               {"think", f->think},
               {"think_end", f->think_end},
               {"think_key", f->think_key},
               {"everyone", f->everyone}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        json_object_set_new(o, all[i].name, text_of(all[i].text, strlen(all[i].text)));
    print(o);
}

/* What an answer said, neighbours joined. */
typedef struct reading {
    json_t *calls, *cut;
    char *channel[2], *marks;
    size_t n[2], n_marks;
    char *all; /* every byte in its order */
    size_t n_all;
} reading;

static void append(char **to, size_t *n, const char *s, size_t len) {
    *to = realloc(*to, *n + len + 1);
    if (!*to) abort();
    memcpy(*to + *n, s, len);
    *n += len;
    (*to)[*n] = 0;
}

static void take(vb_answer *a, reading *r, char **arguments, size_t *n_arguments, char **name) {
    vb_said e;
    while (vb_answer_next(a, &e)) {
        if (e.kind == VB_SAID_CONTENT || e.kind == VB_SAID_REASONING)
            append(&r->channel[e.kind == VB_SAID_REASONING], &r->n[e.kind == VB_SAID_REASONING], e.text,
                   e.len);
        if (e.kind == VB_SAID_MARKS) append(&r->marks, &r->n_marks, e.text, e.len);
        if (e.kind == VB_SAID_CALL) {
            free(*name);
            *name = strdup(e.name);
            *n_arguments = 0;
        }
        if (e.kind == VB_SAID_ARGUMENTS) append(arguments, n_arguments, e.text, e.len);
        if (e.kind != VB_SAID_CALL && e.kind != VB_SAID_ARGUMENTS) append(&r->all, &r->n_all, e.text, e.len);
        if (e.kind == VB_SAID_CALL_END || e.kind == VB_SAID_CALL_CUT)
            json_array_append_new(e.kind == VB_SAID_CALL_END ? r->calls : r->cut,
                                  json_pack("[s, o, o]", *name ? *name : "",
                                            text_of(*arguments ? *arguments : "", *n_arguments),
                                            text_of(e.text, e.len)));
    }
}

typedef struct text {
    char *s;
    uint8_t *control;
    size_t n;
} text;

/* Reads the text in pieces that end before `cut` and at the end; cut 0: byte by byte. */
static reading read_answer(const vb_calls *k, const vb_answer_params *p, const text *t, size_t cut) {
    reading r = {.calls = json_array(), .cut = json_array()};
    vb_answer *a = NULL;
    vb_error err = {0};
    char *arguments = NULL, *name = NULL;
    size_t n_arguments = 0;
    if (vb_answer_open(&a, k, p, &err)) {
        append(&r.channel[0], &r.n[0], err.message, strlen(err.message));
        return r;
    }
    for (size_t i = 0; i < t->n;) {
        size_t end = i + 1;
        while (end < t->n && cut > 0 && t->control[end] == t->control[i] && end != cut) end++;
        if (vb_answer_push(a, t->s + i, end - i, t->control[i], &err)) abort();
        take(a, &r, &arguments, &n_arguments, &name);
        i = end;
    }
    if (vb_answer_end(a, &err)) abort();
    take(a, &r, &arguments, &n_arguments, &name);
    vb_answer_close(a);
    free(arguments);
    free(name);
    return r;
}

static json_t *said(reading *r) {
    json_t *o = json_pack("{s:o, s:o, s:o, s:O, s:O}", "content",
                          text_of(r->channel[0] ? r->channel[0] : "", r->n[0]), "reasoning",
                          text_of(r->channel[1] ? r->channel[1] : "", r->n[1]), "marks",
                          text_of(r->marks ? r->marks : "", r->n_marks), "calls", r->calls, "cut", r->cut);
    return o;
}

static void drop(reading *r) {
    json_decref(r->calls);
    json_decref(r->cut);
    free(r->channel[0]);
    free(r->channel[1]);
    free(r->marks);
    free(r->all);
}

static void compare(const vb_calls *k, vb_answer_params *p, const text *t, json_t *first, size_t cuts) {
    const size_t step = cuts > 0 && t->n > cuts ? t->n / cuts : 1;
    const bool cut = json_array_size(json_object_get(first, "cut")) > 0;
    for (size_t i = 0; i <= t->n; i += step) {
        reading r = read_answer(k, p, t, i);
        json_t *o = said(&r);
        if (!json_equal(o, first) || r.n_all != t->n || (t->n && memcmp(r.all, t->s, t->n) != 0)) {
            json_object_set_new(o, "at", json_integer((json_int_t)i));
            json_object_set_new(o, "lost", json_boolean(r.n_all != t->n));
            json_object_set(first, "differs", o);
        }
        json_decref(o);
        drop(&r);
    }
    if (p->early || cut) return;
    p->early = true;
    reading r = read_answer(k, p, t, 0);
    json_t *o = said(&r);
    if (json_array_size(r.cut) == 0 && !json_equal(o, first)) json_object_set(first, "differs early", o);
    json_decref(o);
    drop(&r);
}

static void read_text(const vb_calls *k, const json_t *what) {
    const json_t *tools = json_object_get(what, "tools"), *parts = json_object_get(what, "parts"),
                 *one = json_object_get(what, "text"), *part;
    char *list = tools ? json_dumps(tools, 0) : NULL;
    vb_answer_params p = {.tools = list, .n_tools = list ? strlen(list) : 0};
    text t = {calloc(1, 1), NULL, 0};
    size_t i;
    p.thinking = json_is_true(json_object_get(what, "thinking"));
    p.any_name = json_is_true(json_object_get(what, "any_name"));
    p.loose = json_is_true(json_object_get(what, "loose"));
    p.early = json_is_true(json_object_get(what, "early"));
    p.no_reasoning = json_is_true(json_object_get(what, "no_reasoning"));
    json_t *both = parts ? json_incref((json_t *)(uintptr_t)parts) : json_pack("[O]", one);
    json_array_foreach(both, i, part) {
        const size_t n = json_string_length(part);
        t.control = realloc(t.control, t.n + n + 1);
        memset(t.control + t.n, (int)(i % 2), n);
        append(&t.s, &t.n, json_string_value(part), n);
    }
    json_decref(both);
    reading r = read_answer(k, &p, &t, t.n + 1);
    json_t *o = said(&r);
    drop(&r);
    compare(k, &p, &t, o, (size_t)json_integer_value(json_object_get(what, "cuts")));
    print(o);
    free(t.s);
    free(t.control);
    free(list);
}

static void render(const vb_chat *c, const vb_calls *k, const json_t *what) {
    static const int date[6] = {2026, 11, 27, 12, 0, 0};
    vb_error err = {0};
    vb_prompt p = {0};
    char *request = json_dumps(json_object_get(what, "request"), 0);
    const vb_chat_request r = {.variables = request,
                               .n_variables = request ? strlen(request) : 0,
                               .date = date,
                               .calls = json_is_true(json_object_get(what, "as_is")) ? NULL : k};
    if (vb_chat_render(c, NULL, &r, &p, &err))
        fail(&err);
    else
        print(json_pack("{s:o, s:b}", "text", text_of(p.text, p.len), "thinking", vb_calls_thinking(k, &p)));
    vb_prompt_free(&p);
    free(request);
}

int main(void) {
    char *line[2] = {NULL, NULL}, *before = NULL;
    size_t cap[2] = {0, 0};
    ssize_t n[2];
    vb_chat *c = NULL;
    vb_calls *k = NULL;
    vb_error err = {0};
    while ((n[0] = getline(&line[0], &cap[0], stdin)) > 0 && (n[1] = getline(&line[1], &cap[1], stdin)) > 0) {
        json_t *what = json_loads(line[1], JSON_ALLOW_NUL, NULL);
        const char *do_ = json_string_value(json_object_get(what, "do"));
        int rc = 0;
        if (!before || strcmp(before, line[0]) != 0) {
            json_t *t = json_loadb(line[0], (size_t)n[0], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            if (!json_is_string(t)) {
                free(before);
                return 1;
            }
            free(before);
            before = strdup(line[0]);
            vb_calls_close(k);
            vb_chat_close(c);
            c = NULL;
            k = NULL;
            rc = vb_chat_open_text(&c, json_string_value(t), json_string_length(t), "template", &err);
            if (!rc) rc = vb_calls_open(&k, c, NULL, &err);
            json_decref(t);
        }
        if (rc || !k || !do_)
            fail(&err);
        else if (!strcmp(do_, "format"))
            format(k);
        else if (!strcmp(do_, "render"))
            render(c, k, what);
        else
            read_text(k, what);
        json_decref(what);
    }
    free(line[0]);
    free(line[1]);
    free(before);
    vb_calls_close(k);
    vb_chat_close(c);
    return 0;
}
