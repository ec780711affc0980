/* calls_rig.c - answers of models read back, for the tests of calls. See calls_rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/calls_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char cr_tools[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"type\": \"object\", "
    "\"properties\": {\"s\": {\"type\": \"string\"}, \"n\": {\"type\": \"number\"}, \"b\": {\"type\": "
    "\"boolean\"}, \"o\": {\"type\": \"object\"}, \"u\": {\"type\": [\"string\", \"null\"]}, \"r\": "
    "{\"$ref\": "
    "\"#/$defs/word\"}, \"e\": {\"enum\": [1, 2]}, \"x\": {}}, \"$defs\": {\"word\": {\"type\": "
    "\"string\"}}}}}, "
    "{\"type\": \"function\", \"function\": {\"name\": \"get\"}}]";

cr_rig cr_open(const char *template) {
    cr_rig r = {0};
    vb_error err;
    if (vb_chat_open_text(&r.chat, template, strlen(template), "t", &err) ||
        vb_calls_open(&r.calls, r.chat, NULL, &err))
        fail_msg("%s", err.message);
    return r;
}

void cr_close(cr_rig *r) {
    vb_calls_close(r->calls);
    vb_chat_close(r->chat);
}
/* ---------------------------------------------------------------------------------------------- reading */

typedef struct line {
    char s[20000];
    size_t n;
    int open; /* the kind that is being written, -1: none */
} line;

static void put(line *l, const char *s, size_t n) {
    assert_true(l->n + n < sizeof l->s);
    memcpy(l->s + l->n, s, n);
    l->n += n;
    l->s[l->n] = 0;
}

static void events(vb_answer *a, line *l) {
    vb_said e;
    while (vb_answer_next(a, &e)) {
        const bool joins =
            e.kind == VB_SAID_CONTENT || e.kind == VB_SAID_REASONING || e.kind == VB_SAID_MARKS;
        if (l->open >= 0 && l->open != (int)e.kind) {
            put(l, ")", 1);
            l->open = -1;
        }
        if (joins && l->open < 0) {
            put(l, e.kind == VB_SAID_CONTENT ? "c(" : e.kind == VB_SAID_REASONING ? "r(" : "m(", 2);
            l->open = (int)e.kind;
        }
        if (joins || e.kind == VB_SAID_ARGUMENTS) put(l, e.text, e.len);
        if (e.kind == VB_SAID_CALL) {
            put(l, "[", 1);
            put(l, e.name, strlen(e.name));
            put(l, " ", 1);
        }
        if (e.kind == VB_SAID_CALL_END) put(l, "]", 1);
        if (e.kind == VB_SAID_CALL_CUT) put(l, "!", 1);
    }
}

/* The text in pieces: [0, cut) and the rest, or byte by byte (cut = SIZE_MAX). Bytes between two \1 are
 * control tokens'; the \1 are not part of the text. */
static void read_cut(const cr_rig *r, const vb_answer_params *p, const char *text, size_t cut, line *l) {
    vb_answer *a = NULL;
    vb_error err;
    bool control = false;
    l->n = 0;
    l->open = -1;
    l->s[0] = 0;
    if (vb_answer_open(&a, r->calls, p, &err)) fail_msg("%s", err.message);
    for (size_t i = 0, end; text[i]; i = end) {
        end = i + 1;
        if (text[i] == 1) {
            control = !control;
            continue;
        }
        while (text[end] && text[end] != 1 && cut != SIZE_MAX && end != cut) end++;
        if (vb_answer_push(a, text + i, end - i, control, &err)) fail_msg("%s", err.message);
        events(a, l);
    }
    if (vb_answer_end(a, &err)) fail_msg("%s", err.message);
    events(a, l);
    if (l->open >= 0) put(l, ")", 1);
    vb_answer_close(a);
}

void cr_says_as(const cr_rig *r, const vb_answer_params *p, const char *text, const char *want) {
    static line whole, other;
    read_cut(r, p, text, strlen(text), &whole);
    if (strcmp(whole.s, want) != 0) fail_msg("%s\nsays\n%s\nand not\n%s", text, whole.s, want);
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        read_cut(r, p, text, cut ? cut : SIZE_MAX, &other);
        if (strcmp(other.s, want) != 0)
            fail_msg("%s\ncut at %zu says\n%s\nand not\n%s", text, cut, other.s, want);
    }
}

void cr_says(const cr_rig *r, const char *text, const char *want) {
    const vb_answer_params p = {.tools = cr_tools, .n_tools = strlen(cr_tools)};
    cr_says_as(r, &p, text, want);
}

void cr_stays(const cr_rig *r, const char *text) {
    char want[4000];
    snprintf(want, sizeof want, "c(%s)", text);
    cr_says(r, text, want);
}

char *cr_rendered(const cr_rig *r, const char *variables) {
    const vb_chat_request q = {.variables = variables, .n_variables = strlen(variables), .calls = r->calls};
    vb_prompt p = {0};
    vb_error err;
    if (vb_chat_render(r->chat, NULL, &q, &p, &err)) fail_msg("%s", err.message);
    free(p.spans);
    return p.text;
}

cr_rig cr_open_file(const char *name) {
    static char text[1 << 16];
    char path[200];
    snprintf(path, sizeof path, "tests/templates/%s.jinja", name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        print_message("runs in the repository's folder only\n");
        skip();
    }
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return cr_open(text);
}
