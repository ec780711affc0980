/* test_calls.c - calls of tools and reasoning in the form that most models write (Hermes), what templates are
 * given, and ids of calls. See calls_rig.h; test_calls_formats.c has the other forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/calls_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ------------------------------------------------------------------------------------------------ Hermes */

static void test_hermes_format(void **state) {
    (void)state;
    cr_rig r = cr_open(hermes);
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
    cr_close(&r);
}

static void test_hermes_calls(void **state) {
    (void)state;
    cr_rig r = cr_open(hermes);
    cr_says(&r, CALL("{\"name\": \"f\", \"arguments\": {\"s\": \"Z\\u00fcrich\", \"n\": 1.50}}"),
            "[f {\"s\": \"Z\\u00fcrich\", \"n\": 1.50}]");
    cr_says(&r, "Well.\n" CALL("{\"name\": \"get\", \"arguments\": {}}"), "c(Well.)[get {}]");
    cr_says(&r, "Well.\n\n" CALL("{\"name\": \"get\", \"arguments\": {}}"), "c(Well.\n)[get {}]");
    cr_says(&r,
            CALL("{\"name\": \"f\", \"arguments\": {}}") "\n" CALL(
                "{\"name\": \"get\", \"arguments\": {\"a\": []}}") "\n",
            "[f {}][get {\"a\": []}]m(\n)");
    /* As models write it who were not told better: other spaces, another order, a string, more members. */
    cr_says(&r, "<tool_call>{\"arguments\":{\"s\":\"</tool_call>\"},\"name\":\"f\"}</tool_call>",
            "[f {\"s\":\"</tool_call>\"}]");
    cr_says(&r, CALL("{\"name\": \"f\", \"arguments\": \"{\\\"n\\\": 1}\"}"), "[f {\"n\": 1}]");
    cr_says(&r,
            CALL("{\"id\": 7, \"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {}}}"),
            "[f {}]");
    cr_says(&r, CALL("{\"name\": \"get\"}") " Done.", "[get {}]c( Done.)");
    /* Without its last tag at the very end. */
    cr_says(&r, "<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n", "[get {}]");
    cr_close(&r);
}

static void test_hermes_near_misses(void **state) {
    (void)state;
    cr_rig r = cr_open(hermes);
    cr_stays(&r, CALL("{\"name\": \"nobody\", \"arguments\": {}}"));
    cr_stays(&r, CALL("{\"name\": \"f\", \"arguments\": [1]}"));
    cr_stays(&r, CALL("{\"name\": \"f\", \"arguments\": {\"s\": 01}}"));
    cr_stays(&r, CALL("{\"name\": \"f\", \"arguments\": \"{\"}"));
    cr_stays(&r, CALL("{\"name\": \"f\", \"name\": \"get\", \"arguments\": {}}"));
    cr_stays(&r, CALL("{'name': 'f', 'arguments': {}}"));
    cr_stays(&r, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"<tool_call>");
    cr_stays(&r, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}} or so\n</tool_call>");
    cr_stays(&r, "Between <tool_call> and </tool_call> stands JSON.\n<tool_ca");
    cr_stays(&r, " \n x \n\n");
    /* A call inside what was none. */
    cr_says(&r, "<tool_call> " CALL("{\"name\": \"get\", \"arguments\": {}}"), "c(<tool_call> )[get {}]");
    /* No tools, no calls. */
    const vb_answer_params none = {0},
                           any = {.tools = cr_tools, .n_tools = strlen(cr_tools), .any_name = true};
    cr_says_as(&r, &none, CALL("{\"name\": \"f\", \"arguments\": {}}"),
               "c(" CALL("{\"name\": \"f\", \"arguments\": {}}") ")");
    cr_says_as(&r, &any, CALL("{\"name\": \"nobody\", \"arguments\": {}}"), "[nobody {}]");
    cr_says_as(&r, &any, CALL("{\"name\": \"a\", \"name\": \"b\"}"),
               "c(" CALL("{\"name\": \"a\", \"name\": \"b\"}") ")");
    cr_close(&r);
}

static void test_early(void **state) {
    (void)state;
    cr_rig r = cr_open(hermes);
    const vb_answer_params p = {.tools = cr_tools, .n_tools = strlen(cr_tools), .early = true};
    cr_says_as(&r, &p, CALL("{\"name\": \"f\", \"arguments\": {\"s\": \"x\"}}"), "[f {\"s\": \"x\"}]");
    cr_says_as(&r, &p, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": oh", "[f {\"s\": !c(oh)");
    cr_says_as(&r, &p, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"ab", "[f {\"s\": \"ab!");
    cr_says_as(&r, &p, "<tool_call>\n{\"name\": \"nobody\", \"arguments\": {}}",
               "c(<tool_call>\n{\"name\": \"nobody\", \"arguments\": {}})");
    cr_close(&r);
}

/* What models write that forget the markers: an object at the beginning of a line, or between fences. */
static void test_loose(void **state) {
    (void)state;
    cr_rig r = cr_open(hermes);
    const vb_answer_params p = {.tools = cr_tools, .n_tools = strlen(cr_tools), .loose = true};
#define OBJECT      "{\n  \"name\": \"f\",\n  \"arguments\": {\"s\": \"```\"}\n}"
#define OBJECT_CALL "[f {\"s\": \"```\"}]"
    cr_says_as(&r, &p, OBJECT, OBJECT_CALL);
    cr_says_as(&r, &p, "```json\n" OBJECT "\n```", OBJECT_CALL "m(\n```)");
    cr_says_as(&r, &p, "So:\n\n```\n" OBJECT "\n```\nDone.", "c(So:\n\n)" OBJECT_CALL "m(\n```)c(\nDone.)");
    cr_says_as(&r, &p, "```json\n" OBJECT "\n", OBJECT_CALL "m(\n)");
    cr_says_as(&r, &p, OBJECT "\n" OBJECT, OBJECT_CALL OBJECT_CALL);
    cr_says_as(&r, &p, CALL(OBJECT), OBJECT_CALL);
    cr_says_as(&r, &p, "{{\"name\": \"get\", \"arguments\": {}}}", "[get {}]");
    static const char *const others[] = {("So: " OBJECT),
                                         "{\"name\": \"f\"}",
                                         "{\"name\": \"Ada\", \"arguments\": {}}",
                                         "```json\n{\"a\": 1}\n```",
                                         "{\"name\": \"f\", \"arguments\": {}, \"more\": 1}",
                                         "```c\nint x;\n```",
                                         "`{`",
                                         "```",
                                         "{"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char want[500];
        snprintf(want, sizeof want, "c(%s)", others[i]);
        cr_says_as(&r, &p, others[i], want);
    }
    cr_close(&r);
}

static void test_reasoning(void **state) {
    (void)state;
    cr_rig r = cr_open(hermes);
    const vb_answer_params open = {.thinking = true, .tools = cr_tools, .n_tools = strlen(cr_tools)},
                           off = {.no_reasoning = true};
    cr_says(&r, "<think>\nHm </thin.\n</think>\n\nFour.",
            "m(<think>\n)r(Hm </thin.)m(\n</think>\n\n)c(Four.)");
    cr_says(&r, "\n<think>\n\n</think>\n\n" CALL("{\"name\": \"f\", \"arguments\": {}}"),
            "m(\n<think>\n\n</think>\n\n)[f {}]");
    cr_says_as(&r, &open, "Hm.\n\n</think>Four <think>", "r(Hm.\n)m(\n</think>)c(Four <think>)");
    cr_says_as(&r, &open, "I <tool_call> so\n</th", "r(I <tool_call> so\n</th)");
    cr_says_as(&r, &off, "<think>\nHm\n</think>\n\nFour.", "c(<think>\nHm\n</think>\n\nFour.)");
    cr_says_as(&r, &off, "\1<think>\1\nHm\n\1</think>\1\1<x>\1", "c(<think>\nHm\n</think>)m(<x>)");
    cr_stays(&r, "Four. <think>\nHm\n</think>");
    cr_says(&r, "<think>\na\n</think>\n\n<think>b</think>x",
            "m(<think>\n)r(a)m(\n</think>\n\n)c(<think>b</think>x)");
    cr_close(&r);
}

static void test_control(void **state) {
    (void)state;
    cr_rig r = cr_open(hermes);
    cr_says(&r, "a\1<|x|>\1b", "c(a)m(<|x|>)c(b)");
    cr_says(&r, "\1<tool_call>\1\n{\"name\": \"get\", \"arguments\": {}}\n\1</tool_call>\1", "[get {}]");
    cr_says(&r, "\1<think>\1\nHm\n\1</think>\1\n\nx", "m(<think>\n)r(Hm)m(\n</think>\n\n)c(x)");
    cr_close(&r);
}

/* ------------------------------------------------------------------------------------------------- input */

static void renders(const cr_rig *r, const char *variables, const char *want) {
    char *s = cr_rendered(r, variables);
    assert_string_equal(s, want);
    free(s);
}

static void test_input(void **state) {
    (void)state;
    cr_rig r = cr_open(
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
    cr_close(&r);
}

/* ------------------------------------------------------------------------------------- prompts and ids */

static void test_thinking(void **state) {
    (void)state;
    cr_rig r = cr_open(
        "{%- for m in messages %}{{ m.content }}|{% if m.reasoning_content %}<think>{{ m.reasoning_content }}"
        "</think>{% endif %}{% endfor %}{% if add_generation_prompt %}a:{% if t %}<think>\n{% elif e "
        "%}<think>"
        "</think>{% endif %}{% endif %}{% if q %}{{ messages[0].content }}{% endif %}");
    static const struct {
        const char *variables;
        bool thinking;
    } cases[] = {
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"add_generation_prompt\": true, \"t\": "
         "1}",
         true},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"add_generation_prompt\": true, \"e\": "
         "1}",
         false},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"<think>\"}], \"add_generation_prompt\": true}",
         false},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"\\n<think>\"}], \"q\": 1}", false},
    };
    assert_string_equal(vb_calls_format(r.calls)->think, "<think>");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const vb_chat_request q = {.variables = cases[i].variables,
                                   .n_variables = strlen(cases[i].variables)};
        vb_prompt p = {0};
        assert_int_equal(vb_chat_render(r.chat, NULL, &q, &p, NULL), 0);
        if (vb_calls_thinking(r.calls, &p) != cases[i].thinking)
            fail_msg("%s: %d", cases[i].variables, !cases[i].thinking);
        vb_prompt_free(&p);
    }
    cr_close(&r);
}

static void id_of(const char *format, const char *text, uint64_t seed, char id[80]) {
    cr_rig r = cr_open_file(format);
    const vb_answer_params p = {.tools = cr_tools, .n_tools = strlen(cr_tools), .seed = seed};
    vb_answer *a = NULL;
    vb_said e;
    assert_int_equal(vb_answer_open(&a, r.calls, &p, NULL), 0);
    assert_int_equal(vb_answer_push(a, text, strlen(text), false, NULL), 0);
    assert_int_equal(vb_answer_end(a, NULL), 0);
    id[0] = 0;
    while (vb_answer_next(a, &e))
        if (e.kind == VB_SAID_CALL) snprintf(id, 80, "%s", e.id);
    vb_answer_close(a);
    cr_close(&r);
}

static void test_ids(void **state) {
    (void)state;
    char a[80], b[80], c[80];
    id_of("mistral-v11", "[TOOL_CALLS]f[CALL_ID]abc123XYZ[ARGS]{}", 1, a);
    assert_string_equal(a, "abc123XYZ");
    id_of("mistral-v3", "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}, \"id\": \"id9876543\"}]", 1, a);
    assert_string_equal(a, "id9876543");
    id_of("kimi-k2",
          "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:3<|tool_call_argument_begin|>{}", 1, a);
    assert_string_equal(a, "functions.f:3");
    id_of("command-r7b",
          "<|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": \"f\", \"parameters\": {}}]", 1, a);
    id_of("hermes", CALL("{\"id\": \"x\", \"name\": \"f\", \"arguments\": {}}"), 1, b);
    id_of("hermes", CALL("{\"name\": \"f\", \"arguments\": {}}"), 2, c);
    assert_int_equal(strlen(a), 9);
    assert_string_equal(a, b);
    assert_string_not_equal(b, c);
    assert_int_equal(strspn(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"), 9);
}

/* A client's conversation with a call of id `id`, its result, and a tool. */
static char *history(const cr_rig *r, const char *id) {
    char s[1500];
    snprintf(
        s, sizeof s,
        "{\"bos_token\": \"\", \"eos_token\": \"</s>\", \"tools\": %s, \"messages\": [{\"role\": \"user\", "
        "\"content\": "
        "\"go\"}, {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"%s\", \"type\": "
        "\"function\", "
        "\"function\": {\"name\": \"f\", \"arguments\": \"{\\\"s\\\": \\\"x\\\"}\"}}]}, {\"role\": \"tool\", "
        "\"tool_call_id\": \"%s\", \"content\": \"done\"}]}",
        "[{\"name\": \"f\"}]", id, id);
    return cr_rendered(r, s);
}

static void writes(const char *format, const char *id, const char *part, bool there) {
    cr_rig r = cr_open_file(format);
    char *s = history(&r, id);
    if ((strstr(s, part) != NULL) != there)
        fail_msg("%s: %s\n%s %s", format, s, there ? "does not hold" : "holds", part);
    free(s);
    cr_close(&r);
}

static void test_histories(void **state) {
    (void)state;
    writes("hermes", "call_1", "{\"name\": \"f\", \"arguments\": {\"s\": \"x\"}}", true);
    writes("hermes-strings", "call_1", "\"arguments\": {\"s\": \"x\"}", true);
    writes("mistral-v3", "abcdefgh9", "\"id\": \"abcdefgh9\"", true);
    writes("mistral-v3", "call_0123456789", "\"id\": \"", true);
    writes("mistral-v3", "call_0123456789", "call_", false);
    writes("kimi-k2", "call_1", "<|tool_call_begin|>functions.f:0<|", true);
    writes("kimi-k2", "functions.f:7", "<|tool_call_begin|>functions.f:7<|", true);
    writes("granite3", "1", "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"s\": \"x\"}}]", true);
    writes("lfm2", "1", "<|tool_call_start|>[f(s='x')]<|tool_call_end|>", true);
    writes("phi4-mini", "1", "<|system|><|tool|>[{\"name\": \"f\"}]<|/tool|>", true);
    writes("glm", "1", "<arg_key>s</arg_key>\n<arg_value>x</arg_value>", true);
}

int main(void) {
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_hermes_format),
        cmocka_unit_test(test_hermes_calls),
        cmocka_unit_test(test_hermes_near_misses),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_loose),
        cmocka_unit_test(test_reasoning),
        cmocka_unit_test(test_control),
        cmocka_unit_test(test_input),
        cmocka_unit_test(test_thinking),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_histories),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
