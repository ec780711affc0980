/* render_lines [DATE] - renders many conversations: pairs of lines on standard input, a template as a JSON
 * string and a request as a JSON object. For each one line: {"text": ..., "given": [end of a part that the
 * conversation wrote, ...]} or
 * {"error": ..., "code": VB_ERR_*}. Tests compare them with Jinja2's. */
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

static void render(const char *template, size_t n, const char *request, size_t n_request, const int *date) {
    vb_error err = {0};
    vb_chat *c = NULL;
    vb_prompt p = {0};
    const vb_chat_request r = {.variables = request, .n_variables = n_request, .date = date};
    int rc = vb_chat_open_text(&c, template, n, "template", &err);
    if (!rc) rc = vb_chat_render(c, NULL, &r, &p, &err);
    if (rc) {
        print(json_pack("{s:o, s:i}", "error", text_of(err.message, strlen(err.message)), "code", rc));
    } else {
        json_t *spans = json_array();
        for (size_t i = 0; i < p.n_spans; i++)
            json_array_append_new(spans, json_pack("[I, b]", (json_int_t)p.spans[i].end, p.spans[i].given));
        print(json_pack("{s:o, s:o}", "text", text_of(p.text, p.len), "spans", spans));
    }
    vb_prompt_free(&p);
    vb_chat_close(c);
}

int main(int argc, char **argv) {
    char *line[2] = {NULL, NULL};
    size_t cap[2] = {0, 0};
    ssize_t n[2];
    int date[6] = {2026, 11, 27, 12, 0, 0};
    if (argc > 1)
        sscanf(argv[1], "%d-%d-%d %d:%d:%d", date, date + 1, date + 2, date + 3, date + 4, date + 5);
    while ((n[0] = getline(&line[0], &cap[0], stdin)) > 0 && (n[1] = getline(&line[1], &cap[1], stdin)) > 0) {
        json_t *t = json_loadb(line[0], (size_t)n[0], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (!json_is_string(t)) return 1;
        render(json_string_value(t), json_string_length(t), line[1], (size_t)n[1], date);
        json_decref(t);
    }
    free(line[0]);
    free(line[1]);
    return 0;
}
