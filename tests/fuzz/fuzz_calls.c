/* fuzz_calls.c - an answer from nowhere, in every format of tests/templates, in any pieces. The first byte
 * is the format, the second what is asked for, the third seeds the cuts; the bytes between two \1 are
 * control tokens'. Nothing is lost: content, reasoning, marks and the calls' own texts are the answer; the
 * pieces do not matter; arguments are a JSON object. */
#include "chat/calls.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_FORMATS = 64 };
static vb_calls *formats[MAX_FORMATS];
static size_t n_formats;

static void open_format(const char *name) {
    static const char folder[] = "tests/templates/";
    char path[300], *text = calloc(1, 1 << 16);
    vb_chat *c = NULL;
    snprintf(path, sizeof path, "%s%.200s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f || !text) abort();
    const size_t n = fread(text, 1, (1 << 16) - 1, f);
    fclose(f);
    if (vb_chat_open_text(&c, text, n, name, NULL) || vb_calls_open(&formats[n_formats++], c, NULL, NULL))
        abort();
    free(text);
}

static int is_template(const struct dirent *e) {
    return strstr(e->d_name, ".jinja") != NULL;
}

static void open_all(void) {
    struct dirent **names;
    const int n = scandir("tests/templates", &names, is_template, alphasort);
    if (n <= 0 || n > MAX_FORMATS) {
        fprintf(stderr, "no templates: run it in the repository's folder\n");
        exit(1);
    }
    for (int i = 0; i < n; i++) {
        open_format(names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

static const char tools[] = "[{\"name\": \"f\", \"parameters\": {\"properties\": {\"s\": {\"type\": "
                            "\"string\"}, \"n\": {\"type\": \"number\"}, "
                            "\"o\": {\"type\": [\"object\", \"null\"]}}}}, {\"name\": \"get\"}]";

/* Everything said, as one text: kinds and joined bytes. */
typedef struct log {
    vb_buf all, said, arguments;
    int kind;
    bool cut;
} log;

static void take(vb_answer *a, log *l) {
    vb_said e;
    char first;
    while (vb_answer_next(a, &e)) {
        if (e.kind == VB_SAID_CALL) {
            l->arguments.n = 0;
            vb_buf_addf(&l->said, "\2%s\3", e.name);
        } else if (e.kind == VB_SAID_ARGUMENTS) {
            vb_buf_add(&l->arguments, e.text, e.len);
        } else {
            vb_buf_add(&l->all, e.text, e.len);
        }
        const bool joins =
            e.kind == VB_SAID_CONTENT || e.kind == VB_SAID_REASONING || e.kind == VB_SAID_MARKS;
        if (joins && (int)e.kind != l->kind) vb_buf_addf(&l->said, "\4%d", (int)e.kind);
        if (joins) vb_buf_add(&l->said, e.text, e.len);
        if (e.kind != VB_SAID_ARGUMENTS) l->kind = joins ? (int)e.kind : -1;
        if (e.kind == VB_SAID_CALL_END || e.kind == VB_SAID_CALL_CUT) {
            vb_buf_add(&l->said, l->arguments.s ? l->arguments.s : "", l->arguments.n);
            vb_buf_addf(&l->said, "\5%d", (int)e.kind);
        }
        l->cut |= e.kind == VB_SAID_CALL_CUT;
        if (e.kind != VB_SAID_CALL_END) continue;
        if (!vbc_json_whole(l->arguments.s ? l->arguments.s : "", l->arguments.n, &first) || first != '{')
            abort();
    }
}

static void answer(const vb_calls *k, vb_answer_params p, const char *s, size_t n, uint32_t cuts, log *l) {
    vb_answer *a = NULL;
    bool control = false;
    *l = (log){.kind = -1};
    if (vb_answer_open(&a, k, &p, NULL)) abort();
    for (size_t i = 0, end; i < n; i = end) {
        end = i + 1;
        if (s[i] == 1) {
            control = !control;
            continue;
        }
        cuts = cuts * 1664525 + 1013904223;
        while (end < n && s[end] != 1 && end - i < (cuts >> 28) + 1) end++;
        if (vb_answer_push(a, s + i, end - i, control, NULL)) abort();
        if (cuts >> 27 & 1) take(a, l);
    }
    if (vb_answer_end(a, NULL)) abort();
    take(a, l);
    vb_answer_close(a);
}

static bool same(const vb_buf *a, const vb_buf *b) {
    return a->n == b->n && (a->n == 0 || memcmp(a->s, b->s, a->n) == 0);
}

static void drop(log *l) {
    vb_buf_free(&l->all);
    vb_buf_free(&l->said);
    vb_buf_free(&l->arguments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    log whole, other, early;
    vb_buf plain = {0};
    if (n_formats == 0) open_all();
    if (size < 3) return 0;
    const vb_calls *k = formats[data[0] % n_formats];
    vb_answer_params p = {.tools = data[1] & 1 ? NULL : tools,
                          .n_tools = sizeof tools - 1,
                          .thinking = data[1] & 2,
                          .no_reasoning = data[1] & 4,
                          .any_name = data[1] & 8,
                          .loose = data[1] & 16};
    const char *s = (const char *)data + 3;
    for (size_t i = 0; i < size - 3; i++)
        if (s[i] != 1) vb_buf_add(&plain, s + i, 1);
    answer(k, p, s, size - 3, 0, &whole);
    answer(k, p, s, size - 3, data[2] * 2654435761U + 1, &other);
    if (!same(&whole.all, &plain) || !same(&other.all, &plain) || !same(&whole.said, &other.said)) abort();
    p.early = true;
    answer(k, p, s, size - 3, data[2] * 2246822519U + 7, &early);
    if (!same(&early.all, &plain) || (!early.cut && !same(&early.said, &whole.said))) abort();
    drop(&whole);
    drop(&other);
    drop(&early);
    vb_buf_free(&plain);
    return 0;
}
