/* test_calls.c - calls of tools and reasoning: how templates write them, and answers read back.
 *
 * Answers are compared as a line: c(content) r(reasoning) m(marks) and [name arguments] for a call. Every
 * one is read whole, cut in two at every byte and byte by byte: the same line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "include/verbatim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char tools[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"type\": \"object\", "
    "\"properties\": {\"s\": {\"type\": \"string\"}, \"n\": {\"type\": \"number\"}, \"b\": {\"type\": "
    "\"boolean\"}, \"o\": {\"type\": \"object\"}, \"u\": {\"type\": [\"string\", \"null\"]}, \"r\": "
    "{\"$ref\": "
    "\"#/$defs/word\"}, \"e\": {\"enum\": [1, 2]}, \"x\": {}}, \"$defs\": {\"word\": {\"type\": "
    "\"string\"}}}}}, "
    "{\"type\": \"function\", \"function\": {\"name\": \"get\"}}]";

/* Hermes: what Qwen2.5 and many others write. */
static const char hermes[] =
    "{%- if tools %}{{ tools|tojson }}\n{% endif %}{%- for m in messages %}{{ '<|im_start|>' + m.role + "
    "'\\n' }}"
    "{%- if m.reasoning_content %}{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' }}{% endif %}"
    "{{- m.content }}{%- for c in m.tool_calls or [] %}{%- if not loop.first or m.content %}{{ '\\n' }}{% "
    "endif %}"
    "{{- '<tool_call>\\n{\"name\": \"' + c.function.name + '\", \"arguments\": ' + "
    "c.function.arguments|tojson + "
    "'}\\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\\n' }}{% endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}";

typedef struct rig {
    vb_chat *chat;
    vb_calls *calls;
} rig;

static rig open_rig(const char *template) {
    rig r = {0};
    vb_error err;
    if (vb_chat_open_text(&r.chat, template, strlen(template), "t", &err) ||
        vb_calls_open(&r.calls, r.chat, NULL, &err))
        fail_msg("%s", err.message);
    return r;
}

static void close_rig(rig *r) {
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
static void read_cut(const rig *r, const vb_answer_params *p, const char *text, size_t cut, line *l) {
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

static void says_as(const rig *r, const vb_answer_params *p, const char *text, const char *want) {
    static line whole, other;
    read_cut(r, p, text, strlen(text), &whole);
    if (strcmp(whole.s, want) != 0) fail_msg("%s\nsays\n%s\nand not\n%s", text, whole.s, want);
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        read_cut(r, p, text, cut ? cut : SIZE_MAX, &other);
        if (strcmp(other.s, want) != 0)
            fail_msg("%s\ncut at %zu says\n%s\nand not\n%s", text, cut, other.s, want);
    }
}

static void says(const rig *r, const char *text, const char *want) {
    const vb_answer_params p = {.tools = tools, .n_tools = sizeof tools - 1};
    says_as(r, &p, text, want);
}

static void stays(const rig *r, const char *text) {
    char want[4000];
    snprintf(want, sizeof want, "c(%s)", text);
    says(r, text, want);
}

/* ------------------------------------------------------------------------------------------------ Hermes */

static void test_hermes_format(void **state) {
    (void)state;
    rig r = open_rig(hermes);
    const vb_call_format *f = vb_calls_format(r.calls);
    assert_int_equal(f->style, VB_CALLS_MEMBERS);
    assert_true(f->tools && f->parallel && f->probed && !f->arguments_text && !f->id_counts);
    assert_string_equal(f->lead, "\n");
    assert_string_equal(f->open, "");
    assert_string_equal(f->begin, "<tool_call>\n{\"name\": \"");
    assert_string_equal(f->between, "\", \"arguments\": ");
    assert_string_equal(f->end, "}\n</tool_call>");
    assert_string_equal(f->separator, "\n");
    assert_string_equal(f->close, "");
    assert_string_equal(f->think, "<think>\n");
    assert_string_equal(f->think_end, "\n</think>\n\n");
    assert_string_equal(f->think_key, "reasoning_content");
    close_rig(&r);
}

#define CALL(x) "<tool_call>\n" x "\n</tool_call>"

static void test_hermes_calls(void **state) {
    (void)state;
    rig r = open_rig(hermes);
    says(&r, CALL("{\"name\": \"f\", \"arguments\": {\"s\": \"Z\\u00fcrich\", \"n\": 1.50}}"),
         "[f {\"s\": \"Z\\u00fcrich\", \"n\": 1.50}]");
    says(&r, "Well.\n" CALL("{\"name\": \"get\", \"arguments\": {}}"), "c(Well.)[get {}]");
    says(&r, "Well.\n\n" CALL("{\"name\": \"get\", \"arguments\": {}}"), "c(Well.\n)[get {}]");
    says(&r,
         CALL("{\"name\": \"f\", \"arguments\": {}}") "\n" CALL(
             "{\"name\": \"get\", \"arguments\": {\"a\": []}}") "\n",
         "[f {}][get {\"a\": []}]m(\n)");
    /* As models write it who were not told better: other spaces, another order, a string, more members. */
    says(&r, "<tool_call>{\"arguments\":{\"s\":\"</tool_call>\"},\"name\":\"f\"}</tool_call>",
         "[f {\"s\":\"</tool_call>\"}]");
    says(&r, CALL("{\"name\": \"f\", \"arguments\": \"{\\\"n\\\": 1}\"}"), "[f {\"n\": 1}]");
    says(&r, CALL("{\"id\": 7, \"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {}}}"),
         "[f {}]");
    says(&r, CALL("{\"name\": \"get\"}") " Done.", "[get {}]c( Done.)");
    /* Without its last tag at the very end. */
    says(&r, "<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n", "[get {}]");
    close_rig(&r);
}

static void test_hermes_near_misses(void **state) {
    (void)state;
    rig r = open_rig(hermes);
    stays(&r, CALL("{\"name\": \"nobody\", \"arguments\": {}}"));
    stays(&r, CALL("{\"name\": \"f\", \"arguments\": [1]}"));
    stays(&r, CALL("{\"name\": \"f\", \"arguments\": {\"s\": 01}}"));
    stays(&r, CALL("{\"name\": \"f\", \"arguments\": \"{\"}"));
    stays(&r, CALL("{\"name\": \"f\", \"name\": \"get\", \"arguments\": {}}"));
    stays(&r, CALL("{'name': 'f', 'arguments': {}}"));
    stays(&r, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"<tool_call>");
    stays(&r, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}} or so\n</tool_call>");
    stays(&r, "Between <tool_call> and </tool_call> stands JSON.\n<tool_ca");
    stays(&r, " \n x \n\n");
    /* A call inside what was none. */
    says(&r, "<tool_call> " CALL("{\"name\": \"get\", \"arguments\": {}}"), "c(<tool_call> )[get {}]");
    /* No tools, no calls. */
    const vb_answer_params none = {0}, any = {.tools = tools, .n_tools = sizeof tools - 1, .any_name = true};
    says_as(&r, &none, CALL("{\"name\": \"f\", \"arguments\": {}}"),
            "c(" CALL("{\"name\": \"f\", \"arguments\": {}}") ")");
    says_as(&r, &any, CALL("{\"name\": \"nobody\", \"arguments\": {}}"), "[nobody {}]");
    close_rig(&r);
}

static void test_early(void **state) {
    (void)state;
    rig r = open_rig(hermes);
    const vb_answer_params p = {.tools = tools, .n_tools = sizeof tools - 1, .early = true};
    says_as(&r, &p, CALL("{\"name\": \"f\", \"arguments\": {\"s\": \"x\"}}"), "[f {\"s\": \"x\"}]");
    says_as(&r, &p, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": oh", "[f {\"s\": !c(oh)");
    says_as(&r, &p, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"ab", "[f {\"s\": \"ab!");
    says_as(&r, &p, "<tool_call>\n{\"name\": \"nobody\", \"arguments\": {}}",
            "c(<tool_call>\n{\"name\": \"nobody\", \"arguments\": {}})");
    close_rig(&r);
}

static void test_reasoning(void **state) {
    (void)state;
    rig r = open_rig(hermes);
    const vb_answer_params open = {.thinking = true, .tools = tools, .n_tools = sizeof tools - 1},
                           off = {.no_reasoning = true};
    says(&r, "<think>\nHm </thin.\n</think>\n\nFour.", "m(<think>\n)r(Hm </thin.)m(\n</think>\n\n)c(Four.)");
    says(&r, "\n<think>\n\n</think>\n\n" CALL("{\"name\": \"f\", \"arguments\": {}}"),
         "m(\n<think>\n\n</think>\n\n)[f {}]");
    says_as(&r, &open, "Hm.\n\n</think>Four <think>", "r(Hm.\n)m(\n</think>)c(Four <think>)");
    says_as(&r, &open, "I <tool_call> so\n</th", "r(I <tool_call> so\n</th)");
    says_as(&r, &off, "<think>\nHm\n</think>\n\nFour.", "c(<think>\nHm\n</think>\n\nFour.)");
    stays(&r, "Four. <think>\nHm\n</think>");
    close_rig(&r);
}

static void test_control(void **state) {
    (void)state;
    rig r = open_rig(hermes);
    says(&r, "a\1<|x|>\1b", "c(a)m(<|x|>)c(b)");
    says(&r, "\1<tool_call>\1\n{\"name\": \"get\", \"arguments\": {}}\n\1</tool_call>\1", "[get {}]");
    says(&r, "\1<think>\1\nHm\n\1</think>\1\n\nx", "m(<think>\n)r(Hm)m(\n</think>\n\n)c(x)");
    close_rig(&r);
}

/* ------------------------------------------------------------------------------------------------- input */

static char *rendered(const rig *r, const char *variables) {
    const vb_chat_request q = {.variables = variables, .n_variables = strlen(variables), .calls = r->calls};
    vb_prompt p = {0};
    vb_error err;
    if (vb_chat_render(r->chat, NULL, &q, &p, &err)) fail_msg("%s", err.message);
    free(p.spans);
    return p.text;
}

static void renders(const rig *r, const char *variables, const char *want) {
    char *s = rendered(r, variables);
    assert_string_equal(s, want);
    free(s);
}

static void test_input(void **state) {
    (void)state;
    rig r = open_rig(
        "{%- for m in messages %}{{ m.role }}:{{ m.name or '' }}:{{ m.content }}:{%- for c in m.tool_calls "
        "or [] "
        "%}<{{ c.function.name }} {{ c.function.arguments|tojson }}>{{ c.function.arguments is mapping }}"
        "{%- endfor %}|{% endfor %}");
#define ASSISTANT(arguments)                                                                                 \
    "{\"messages\": [{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"1\", "         \
    "\"type\": "                                                                                             \
    "\"function\", \"function\": {\"name\": \"f\", \"arguments\": " arguments                                \
    "}}]}, {\"role\": \"tool\", \"tool_call_id\": \"1\", \"content\": \"r\"}]}"
    renders(&r, ASSISTANT("\"{\\\"z\\\": 1.50, \\\"a\\\": [1e3, 12345678901234567890, 2.5]}\""),
            "assistant:::<f {\"z\": 1.50, \"a\": [1e3, 12345678901234567890, 2.5]}>True|tool:f:r:|");
    renders(&r, ASSISTANT("\"\""), "assistant:::<f {}>True|tool:f:r:|");
    renders(&r, ASSISTANT("\"{\\\"z\\\": \""), "assistant:::<f \"{\\\"z\\\": \">False|tool:f:r:|");
    renders(&r, ASSISTANT("\"[1]\""), "assistant:::<f \"[1]\">False|tool:f:r:|");
    renders(&r, ASSISTANT("{\"k\": true}"), "assistant:::<f {\"k\": true}>True|tool:f:r:|");
    close_rig(&r);
}

int main(void) {
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_hermes_format),
        cmocka_unit_test(test_hermes_calls),
        cmocka_unit_test(test_hermes_near_misses),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_reasoning),
        cmocka_unit_test(test_control),
        cmocka_unit_test(test_input),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
