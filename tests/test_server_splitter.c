/* test_server_splitter.c - content, reasoning and calls out of tokens: the same however an answer is cut into
 * tokens; stop strings in the content alone; what is kept, counted and where the answer ends. */
#include "server/splitter.h"
#include "tests/tokenizer_util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A template with Hermes' calls and thoughts. */
static const char TEMPLATE[] =
    "{%- if tools %}<|im_start|>system\n# Tools\n{% for t in tools %}{{ t|tojson }}\n{% endfor "
    "%}<|im_end|>\n{% endif -%}"
    "{%- for m in messages -%}"
    "<|im_start|>{{ m.role }}"
    "{%- if m.reasoning_content %}{{ '\n<think>\n' ~ m.reasoning_content ~ '\n</think>\n' }}{% endif -%}"
    "{%- if m.content %}{{ '\n' ~ m.content }}{% endif -%}"
    "{%- for c in m.tool_calls or [] -%}"
    "{{ '\n<tool_call>\n{\"name\": \"' ~ c.function.name ~ '\", \"arguments\": ' ~ "
    "(c.function.arguments|tojson) ~ "
    "'}\n</tool_call>' }}"
    "{%- endfor -%}"
    "<|im_end|>\n"
    "{%- endfor -%}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking %}<think>\n{% endif %}{% "
    "endif -%}";

#define TOOLS                                                                                                \
    "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\","              \
    "\"properties\":{"                                                                                       \
    "\"a\":{\"type\":\"string\"}}}}},{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]"
#define CALL_F                                                                                               \
    "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"\xC3\xA9 }</tool_call> "                        \
    "\\\"x\\\"\"}}\n</tool_call>"
#define ARGS_F "{\"a\": \"\xC3\xA9 }</tool_call> \\\"x\\\"\"}"
#define CALL_G "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>"

static vb_chat *chat;
static vb_calls *calls;

static int open_template(void **state) {
    (void)state;
    return vb_chat_open_text(&chat, TEMPLATE, strlen(TEMPLATE), "t", NULL) ||
                   vb_calls_open(&calls, chat, NULL, NULL)
               ? -1
               : 0;
}

static int close_template(void **state) {
    (void)state;
    vb_calls_close(calls);
    vb_chat_close(chat);
    return 0;
}

/* ------------------------------------------------------------------------------------------- an answer */

typedef struct got {
    char content[600], reasoning[600], calls[600]; /* calls: NAME(ARGUMENTS) one after the other */
    size_t n_calls, reasoning_tokens, tokens, kept;
    bool stopped;
} got;

typedef struct set_up {
    bool tools, thinking, stream, one_call, loose;
    vbs_reasoning reasoning;
    const char *stop;
} set_up;

static void append(char *to, const char *text, size_t len) {
    const size_t n = strlen(to);
    assert_true(n + len < 600);
    memcpy(to + n, text, len);
    to[n + len] = 0;
}

static void collect(got *g, const vbs_pieces *p) {
    const char *at = p->text.s ? p->text.s : "";
    for (size_t i = 0; i < p->n; at += p->v[i++].len) {
        const vbs_piece *v = &p->v[i];
        if (v->kind == VBS_CONTENT) append(g->content, at, v->len);
        if (v->kind == VBS_REASONING) append(g->reasoning, at, v->len);
        if (v->kind == VBS_CALL) {
            assert_int_equal(strlen(at), 9); /* the id */
            append(g->calls, " ", g->calls[0] != 0);
            append(g->calls, at + 10, v->len - 10);
        }
        if (v->kind == VBS_ARGUMENTS) append(g->calls, at, v->len);
    }
    assert_true(!p->n || at == p->text.s + p->text.n);
}

/* The tokens ids[0..n) as an answer; `from` of each is kept as the exchange keeps it. */
static got split(const vb_tokenizer *t, const int32_t *ids, size_t n, const set_up *s) {
    vbs_ask ask = {.chat = true,
                   .stream = s->stream,
                   .tools = s->tools ? (char *)(uintptr_t)TOOLS : NULL,
                   .n_tools = strlen(TOOLS),
                   .one_call = s->one_call,
                   .loose_calls = s->loose,
                   .reasoning = s->reasoning,
                   .n_stops = s->stop != NULL};
    if (s->stop) ask.stops[0] = (vbs_stop){s->stop, strlen(s->stop)};
    vbs_splitter x;
    vbs_pieces out = {0};
    uint64_t *from = calloc(n + 1, sizeof *from);
    vb_error err = {0};
    got g = {.tokens = 0};
    assert_non_null(from);
    if (vbs_splitter_open(&x, &ask, calls, s->thinking, 7, &err)) fail_msg("%s", err.message);
    for (; g.tokens < n && !x.stopped; g.tokens++) {
        from[g.tokens] = x.fed;
        if (vbs_splitter_push(&x, t, ids[g.tokens], &out, &err)) fail_msg("%s", err.message);
    }
    /* What comes behind the end is not taken. */
    const size_t n_pieces = out.n;
    if (x.stopped && vbs_splitter_push(&x, t, ids[0], &out, &err)) fail_msg("%s", err.message);
    if (x.stopped) assert_int_equal(out.n, n_pieces);
    if (vbs_splitter_end(&x, &out, &err)) fail_msg("%s", err.message);
    collect(&g, &out);
    /* Every byte has become known as something. */
    if (!x.stopped) assert_int_equal(x.told, x.fed);
    if (!x.stopped) assert_int_equal(x.n_ends, 0);
    g.kept = g.tokens;
    while (x.stopped && g.kept && from[g.kept - 1] >= x.cut) g.kept--;
    g.n_calls = x.calls;
    g.reasoning_tokens = x.reasoning_tokens;
    g.stopped = x.stopped;
    vbs_splitter_close(&x);
    vbs_pieces_free(&out);
    free(from);
    return g;
}

static void expect_same(const char *answer, size_t cut, const got *a, const got *b) {
    if (strcmp(a->content, b->content) || strcmp(a->reasoning, b->reasoning) || strcmp(a->calls, b->calls) ||
        a->n_calls != b->n_calls)
        fail_msg("%s cut at %zu:\n%s|%s|%s\n%s|%s|%s", answer, cut, a->content, a->reasoning, a->calls,
                 b->content, b->reasoning, b->calls);
}

/* An answer in one token, in two at every byte, and byte by byte. */
static got every_way(const char *answer, const set_up *s) {
    const size_t n = strlen(answer);
    vocab v = {0};
    char part[700];
    int32_t ids[700] = {0};
    spm_head(&v);
    vocab_add_bytes(&v);
    const int32_t whole = vocab_add(&v, answer, VB_TOKEN_USER, 0);
    /* Entries of a vocabulary are UTF-8 and differ; what is not, or is there already, comes as bytes. */
    gw *w = spm_writer(&v);
    vb_gguf *g;
    vb_tokenizer *t = must_open(w, &g);
    for (size_t i = 0; i < n; i++) ids[i] = BYTE0 + (unsigned char)answer[i];
    const got bytes = split(t, ids, n, s);
    const got one = split(t, &whole, 1, s);
    if (!s->stop && !s->one_call) expect_same(answer, n, &bytes, &one);
    close_all(t, g, w, &v);
    for (size_t cut = 1; cut < n; cut++) {
        if (((unsigned char)answer[cut] & 0xC0) == 0x80) continue;
        memset(&v, 0, sizeof v);
        spm_head(&v);
        vocab_add_bytes(&v);
        memcpy(part, answer, cut);
        part[cut] = 0;
        ids[0] = vocab_add(&v, part, VB_TOKEN_USER, 0);
        ids[1] = strcmp(part, answer + cut) ? vocab_add(&v, answer + cut, VB_TOKEN_USER, 0) : ids[0];
        w = spm_writer(&v);
        t = must_open(w, &g);
        const got two = split(t, ids, 2, s);
        expect_same(answer, cut, &bytes, &two);
        close_all(t, g, w, &v);
    }
    return bytes;
}

/* ------------------------------------------------------------------------------------------------- tests */

static void test_kinds(void **state) {
    (void)state;
    static const struct {
        const char *answer;
        set_up s;
        const char *content, *reasoning, *calls;
        size_t n_calls;
    } rows[] = {
        {"Hello, w\xC3\xB6rld.", {.tools = true}, "Hello, w\xC3\xB6rld.", "", "", 0},
        {CALL_F, {.tools = true}, "", "", "f" ARGS_F, 1},
        /* Between marks a tool that is not there is called, too. */
        {"<tool_call>\n{\"name\": \"z\", \"arguments\": {}}\n</tool_call>",
         {.tools = true},
         "",
         "",
         "z{}",
         1},
        {"Let me see.\n" CALL_F "\n" CALL_G, {.tools = true}, "Let me see.", "", "f" ARGS_F " g{}", 2},
        /* Without tools it is text. */
        {CALL_G, {.tools = false}, CALL_G, "", "", 0},
        {"<think>\nhm \xC3\xA9\n</think>\n\nYes.", {.tools = true}, "Yes.", "hm \xC3\xA9", "", 0},
        {"hm\n</think>\n\nYes.", {.thinking = true}, "Yes.", "hm", "", 0},
        {"hm\n</think>\n\n" CALL_G, {.tools = true, .thinking = true}, "", "hm", "g{}", 1},
        {"<think>\nhm\n</think>\n\nYes.", {.reasoning = VBS_REASONING_HIDDEN}, "Yes.", "", "", 0},
        {"<think>\nhm\n</think>\n\nYes.",
         {.reasoning = VBS_REASONING_CONTENT},
         "<think>\nhm\n</think>\n\nYes.",
         "",
         "",
         0},
        /* Nearly calls. */
        {"<tool_call>\n{\"name\": \"g\"", {.tools = true}, "<tool_call>\n{\"name\": \"g\"", "", "", 0},
        {"<tool_cal", {.tools = true}, "<tool_cal", "", "", 0},
        {"a < b <tool", {.tools = true}, "a < b <tool", "", "", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int stream = 0; stream < 2; stream++) {
            set_up s = rows[i].s;
            s.stream = stream;
            const got g = every_way(rows[i].answer, &s);
            if (strcmp(g.content, rows[i].content) || strcmp(g.reasoning, rows[i].reasoning) ||
                strcmp(g.calls, rows[i].calls) || g.n_calls != rows[i].n_calls)
                fail_msg("%s, stream %d: %s|%s|%s", rows[i].answer, stream, g.content, g.reasoning, g.calls);
        }
}

/* Calls without their marks, as some models write them whatever their template shows. */
static void test_loose(void **state) {
    (void)state;
#define BARE "{\n  \"name\": \"g\",\n  \"arguments\": {\"x\": [1, {}]}\n}"
#define WANT "g{\"x\": [1, {}]}"
    static const struct {
        const char *answer, *content, *calls;
    } rows[] = {
        {BARE, "", WANT},
        {"```json\n" BARE "\n```", "", WANT},
        {"```\n" BARE "\n```\n", "", WANT},
        {"I call it:\n```json\n" BARE "\n```\nso.", "I call it:\n\nso.", WANT},
        {"I call it:\n" BARE, "I call it:\n", WANT},
        {"```json\n" BARE "\n" BARE "\n```", "", WANT " " WANT},
        {"{{\"name\": \"g\", \"arguments\": {}}}}", "", "g{}"},
        {"<tool_call>\n{{\"name\": \"g\", \"arguments\": {}}}\n</tool_call>", "", "g{}"},
        {"<think>\nhm\n</think>\n\n```json\n" BARE "\n```", "", WANT},
        {BARE ",", ",", WANT},
        /* Not at the beginning of a line; other members; another tool; no object of arguments. */
        {"so " BARE, "so " BARE, ""},
        {"{\"name\": \"h\", \"arguments\": {}}", "{\"name\": \"h\", \"arguments\": {}}", ""},
        {"{\"name\": \"g\"}", "{\"name\": \"g\"}", ""},
        {"{\"name\": \"g\", \"arguments\": [1]}", "{\"name\": \"g\", \"arguments\": [1]}", ""},
        {"```json\n{\"a\": 1}\n```", "```json\n{\"a\": 1}\n```", ""},
        {"```python\n{}\n```\n", "```python\n{}\n```\n", ""},
        {"`{`", "`{`", ""},
        {"```json", "```json", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int stream = 0; stream < 2; stream++) {
            set_up s = {.tools = true, .stream = stream, .loose = true};
            const got g = every_way(rows[i].answer, &s);
            if (strcmp(g.content, rows[i].content) || strcmp(g.calls, rows[i].calls))
                fail_msg("%s, stream %d: %s|%s", rows[i].answer, stream, g.content, g.calls);
        }
        /* A member too many is seen when the call has been announced, in a stream; whole, it is content. */
#define MORE "{\"name\": \"g\", \"arguments\": {}, \"more\": 1}"
    const set_up loose = {.tools = true, .loose = true}, strict = {.tools = true};
    assert_string_equal(every_way(MORE, &loose).content, MORE);
    assert_string_equal(every_way("```json\n" BARE "\n```", &strict).content, "```json\n" BARE "\n```");
}

/* Stop strings cut the content, and nothing else; tokens of what was said before are kept. */
static void test_stops(void **state) {
    (void)state;
    static const char answer[] = "<think>\nSTOP it\n</think>\n\nab " CALL_F "cd STOP ef";
    set_up s = {.tools = true, .stop = "STOP"};
    got g = every_way(answer, &s);
    assert_true(g.stopped);
    assert_string_equal(g.reasoning, "STOP it");
    assert_string_equal(g.content, "ab cd ");
    assert_string_equal(g.calls, "f" ARGS_F);
    /* Byte by byte: the token that completes it is the last one taken, those of the string are not kept. */
    const size_t end = (size_t)(strstr(answer, "STOP ef") - answer);
    assert_int_equal(g.tokens, end + 4);
    assert_int_equal(g.kept, end);
    /* A stop string at the very beginning of the content: thoughts and calls before it are kept. */
    s.stop = "ab";
    g = every_way(answer, &s);
    assert_string_equal(g.content, "");
    assert_int_equal(g.kept, strstr(answer, "ab") - answer);
    /* One that stands in a thought and in arguments alone stops nothing. */
    s.stop = "\"x";
    assert_false(every_way(answer, &s).stopped);
    s.stop = "it\n";
    assert_false(every_way(answer, &s).stopped);
}

static void test_one_call(void **state) {
    (void)state;
    set_up s = {.tools = true, .one_call = true};
    for (int stream = 0; stream < 2; stream++) {
        s.stream = stream;
        const got g = every_way("a" CALL_F "\n" CALL_G, &s);
        assert_true(g.stopped);
        assert_int_equal(g.n_calls, 1);
        assert_string_equal(g.calls, "f" ARGS_F);
        assert_string_equal(g.content, "a");
        assert_int_equal(g.kept, 1 + strlen(CALL_F));
    }
}

static void test_reasoning_tokens(void **state) {
    (void)state;
    set_up s = {.tools = true};
    /* Byte by byte: the bytes of the thought, without markers. */
    assert_int_equal(every_way("<think>\nhm, so\n</think>\n\nYes.", &s).reasoning_tokens, strlen("hm, so"));
    assert_int_equal(every_way("Yes.", &s).reasoning_tokens, 0);
    s.reasoning = VBS_REASONING_HIDDEN;
    assert_int_equal(every_way("<think>\nhm, so\n</think>\n\nYes.", &s).reasoning_tokens, strlen("hm, so"));
}

/* A vocabulary of bytes and one word, or none; the word's id. */
typedef struct bytes {
    vocab v;
    gw *w;
    vb_gguf *g;
    vb_tokenizer *t;
} bytes;

static int32_t open_bytes(bytes *b, const char *word) {
    memset(b, 0, sizeof *b);
    spm_head(&b->v);
    vocab_add_bytes(&b->v);
    const int32_t id = word ? vocab_add(&b->v, word, VB_TOKEN_USER, 0) : -1;
    b->w = spm_writer(&b->v);
    b->t = must_open(b->w, &b->g);
    return id;
}

/* A thought that ends, with the answer, in the middle of a character. */
static void test_torn(void **state) {
    (void)state;
    bytes b;
    open_bytes(&b, NULL);
    const int32_t ids[] = {BYTE0 + 'a', BYTE0 + 0xC3};
    set_up s = {.thinking = true, .stream = true};
    assert_string_equal(split(b.t, ids, 2, &s).reasoning, "a\xC3");
    /* Where content follows, the half character comes before it. */
    static const char answer[] = "a\xC3</think>b";
    vbs_ask ask = {.chat = true};
    vbs_splitter x;
    vbs_pieces out = {0};
    assert_int_equal(vbs_splitter_open(&x, &ask, calls, true, 0, NULL), 0);
    for (const char *c = answer; *c; c++)
        assert_int_equal(vbs_splitter_push(&x, b.t, BYTE0 + (unsigned char)*c, &out, NULL), 0);
    assert_int_equal(vbs_splitter_end(&x, &out, NULL), 0);
    assert_int_equal(out.text.n, 3);
    assert_memory_equal(out.text.s,
                        "a\xC3"
                        "b",
                        3);
    assert_int_equal(out.v[out.n - 1].kind, VBS_CONTENT);
    vbs_splitter_close(&x);
    vbs_pieces_free(&out);
    close_all(b.t, b.g, b.w, &b.v);
}

/* Pieces: one for each token and kind; the first ones go, with their texts, and others are put behind. */
static void test_pieces(void **state) {
    (void)state;
    bytes b;
    open_bytes(&b, NULL);
    vbs_ask ask = {.chat = true};
    vbs_splitter x;
    vbs_pieces out = {0}, all = {0};
    assert_int_equal(vbs_splitter_open(&x, &ask, NULL, false, 0, NULL), 0);
    for (const char *c = "abc"; *c; c++)
        assert_int_equal(vbs_splitter_push(&x, b.t, BYTE0 + (unsigned char)*c, &out, NULL), 0);
    assert_int_equal(out.n, 3);
    vbs_pieces_drop(&out, 2);
    assert_int_equal(out.n, 1);
    assert_int_equal(out.text.n, 1);
    assert_int_equal(vbs_pieces_append(&all, &out, NULL), 0);
    assert_int_equal(vbs_pieces_append(&all, &out, NULL), 0);
    assert_int_equal(all.n, 2);
    assert_memory_equal(all.text.s, "cc", 2);
    vbs_splitter_close(&x);
    vbs_pieces_free(&out);
    vbs_pieces_free(&all);
    close_all(b.t, b.g, b.w, &b.v);
}

/* Markers that are control tokens: no reader is shown their texts, and they mean what they mean. */
static void test_control(void **state) {
    (void)state;
    static const char *const markers[] = {"<think>", "</think>", "<tool_call>", "</tool_call>", "<|other|>"};
    vocab v = {0};
    int32_t mark[5], ids[200];
    spm_head(&v);
    vocab_add_bytes(&v);
    for (int i = 0; i < 5; i++) mark[i] = vocab_add(&v, markers[i], VB_TOKEN_CONTROL, 0);
    gw *w = spm_writer(&v);
    vb_gguf *g;
    vb_tokenizer *t = must_open(w, &g);
    size_t n = 0;
    const char *script = "1\nhm\n2\n\nA5b3\n{\"name\": \"g\", \"arguments\": {}}\n4";
    for (const char *c = script; *c; c++)
        ids[n++] = *c >= '1' && *c <= '5' ? mark[*c - '1'] : BYTE0 + (unsigned char)*c;
    for (int stream = 0; stream < 2; stream++) {
        const set_up s = {.tools = true, .stream = stream};
        const got x = split(t, ids, n, &s);
        assert_string_equal(x.reasoning, "hm");
        assert_string_equal(x.content, "Ab");
        assert_string_equal(x.calls, "g{}");
    }
    close_all(t, g, w, &v);
}

/* Ids: the same for the same key, others for another one. */
static void test_ids(void **state) {
    (void)state;
    bytes b;
    const int32_t id = open_bytes(&b, CALL_F CALL_G);
    char seen[4][10];
    for (int k = 0; k < 2; k++) {
        vbs_ask ask = {.chat = true, .tools = (char *)(uintptr_t)TOOLS, .n_tools = strlen(TOOLS)};
        vbs_splitter x;
        vbs_pieces out = {0};
        assert_int_equal(vbs_splitter_open(&x, &ask, calls, false, (uint64_t)k, NULL), 0);
        assert_int_equal(vbs_splitter_push(&x, b.t, id, &out, NULL), 0);
        assert_int_equal(vbs_splitter_end(&x, &out, NULL), 0);
        const char *at = out.text.s;
        int n = 0;
        for (size_t i = 0; i < out.n; at += out.v[i++].len)
            if (out.v[i].kind == VBS_CALL) snprintf(seen[2 * k + n++], 10, "%s", at);
        assert_int_equal(n, 2);
        vbs_splitter_close(&x);
        vbs_pieces_free(&out);
    }
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++) assert_string_not_equal(seen[i], seen[k]);
    close_all(b.t, b.g, b.w, &b.v);
}

/* What is not a conversation, or has no template, is content byte for byte. */
static void test_plain(void **state) {
    (void)state;
    bytes b;
    const int32_t id = open_bytes(&b, CALL_F);
    for (int k = 0; k < 2; k++) {
        vbs_ask ask = {.chat = k == 0};
        vbs_splitter x;
        vbs_pieces out = {0};
        assert_int_equal(vbs_splitter_open(&x, &ask, k == 0 ? NULL : calls, false, 0, NULL), 0);
        assert_int_equal(vbs_splitter_push(&x, b.t, id, &out, NULL), 0);
        assert_int_equal(vbs_splitter_end(&x, &out, NULL), 0);
        assert_int_equal(out.text.n, strlen(CALL_F));
        assert_memory_equal(out.text.s, CALL_F, strlen(CALL_F));
        vbs_splitter_close(&x);
        vbs_pieces_free(&out);
    }
    close_all(b.t, b.g, b.w, &b.v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),   cmocka_unit_test(test_loose),
        cmocka_unit_test(test_stops),   cmocka_unit_test(test_one_call),
        cmocka_unit_test(test_torn),    cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_control), cmocka_unit_test(test_reasoning_tokens),
        cmocka_unit_test(test_ids),     cmocka_unit_test(test_plain),
    };
    return cmocka_run_group_tests(tests, open_template, close_template);
}
