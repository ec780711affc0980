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
    says_as(&r, &any, CALL("{\"name\": \"a\", \"name\": \"b\"}"),
            "c(" CALL("{\"name\": \"a\", \"name\": \"b\"}") ")");
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

/* What models write that forget the markers: an object at the beginning of a line, or between fences. */
static void test_loose(void **state) {
    (void)state;
    rig r = open_rig(hermes);
    const vb_answer_params p = {.tools = tools, .n_tools = sizeof tools - 1, .loose = true};
#define OBJECT      "{\n  \"name\": \"f\",\n  \"arguments\": {\"s\": \"```\"}\n}"
#define OBJECT_CALL "[f {\"s\": \"```\"}]"
    says_as(&r, &p, OBJECT, OBJECT_CALL);
    says_as(&r, &p, "```json\n" OBJECT "\n```", OBJECT_CALL "m(\n```)");
    says_as(&r, &p, "So:\n\n```\n" OBJECT "\n```\nDone.", "c(So:\n\n)" OBJECT_CALL "m(\n```)c(\nDone.)");
    says_as(&r, &p, "```json\n" OBJECT "\n", OBJECT_CALL "m(\n)");
    says_as(&r, &p, OBJECT "\n" OBJECT, OBJECT_CALL OBJECT_CALL);
    says_as(&r, &p, CALL(OBJECT), OBJECT_CALL);
    says_as(&r, &p, "{{\"name\": \"get\", \"arguments\": {}}}", "[get {}]");
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
        says_as(&r, &p, others[i], want);
    }
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
    says_as(&r, &off, "\1<think>\1\nHm\n\1</think>\1\1<x>\1", "c(<think>\nHm\n</think>)m(<x>)");
    stays(&r, "Four. <think>\nHm\n</think>");
    says(&r, "<think>\na\n</think>\n\n<think>b</think>x",
         "m(<think>\n)r(a)m(\n</think>\n\n)c(<think>b</think>x)");
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

/* ------------------------------------------------------------------------------------------ every format */

static rig open_file(const char *name) {
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
    return open_rig(text);
}

/* What the format is, in one line: style, pieces between bars, and flags. */
static void test_formats(void **state) {
    (void)state;
    static const char *const want[][2] = {
        {"hermes",
         "1|\n||<tool_call>\n{\"name\": \"|\", \"arguments\": |}\n</tool_call>|\n|||tools parallel"},
        {"hermes-strings",
         "1|\n||<tool_call>\n{\"name\": \"|\", \"arguments\": |}\n</tool_call>|\n|||tools parallel text"},
        {"whole-calls", "1|||<call>{\"id\": \"\1\", \"type\": \"function\", \"function\": {\"name\": \"|\", "
                        "\"arguments\": |}}</call>||||tools parallel"},
        {"llama3", "1|||{\"name\": \"|\", \"parameters\": |}||||tools"},
        {"mistral-v3",
         "1||[TOOL_CALLS][|{\"name\": \"|\", \"arguments\": |, \"id\": \"\1\"}|, |]||tools parallel"},
        {"mistral-v11", "2|||[TOOL_CALLS]|[CALL_ID]\1[ARGS]|||||tools parallel"},
        {"mistral-v13", "2|||[TOOL_CALLS]|[ARGS]|||||tools parallel"},
        {"deepseek-v3", "2||<｜tool▁calls▁begin｜>|<｜tool▁call▁begin｜>function<｜tool▁sep｜>|\n```json\n|"
                        "\n```<｜tool▁call▁end｜>"
                        "|\n|<｜tool▁calls▁end｜>||tools parallel text"},
        {"deepseek-v3.1", "2||<｜tool▁calls▁begin｜>|<｜tool▁call▁begin｜>|<｜tool▁sep｜>|<｜tool▁call▁end｜>"
                          "||<｜tool▁calls▁end｜>|"
                          "|tools parallel"},
        {"kimi-k2",
         "2||<|tool_calls_section_begin|>|<|tool_call_begin|>functions.|:\1<|tool_call_argument_begin|>|"
         "<|tool_call_end|>||<|tool_calls_section_end|>||tools parallel counts"},
        {"apertus", "2||<|tools_prefix|>[|{\"|\": |}|, |]<|tools_suffix|>||tools parallel"},
        {"command-r7b",
         "1||<|START_ACTION|>[\n    |{\"tool_call_id\": \"\1\", \"tool_name\": \"|\", \"parameters\": |}|,\n"
         "    |\n]<|END_ACTION|>||tools parallel counts"},
        {"qwen-coder", "3|\n\n||<tool_call>\n<function=|>\n|</function>\n</"
                       "tool_call>|\n||<parameter=,>\n,>\n,\n</parameter>\n|"
                       "tools parallel"},
        {"glm", "3|\n||<tool_call>|\n|</tool_call>|\n||<arg_key>,</arg_key>\n<arg_value>,</"
                "arg_key>\n<arg_value>,</arg_value>\n|"
                "tools parallel"},
        {"minimax-m2", "3|\n|<minimax:tool_call>\n|<invoke "
                       "name=\"|\">\n|</invoke>\n||</minimax:tool_call>|<parameter name=\",\">,"
                       "\">,</parameter>\n|tools parallel"},
        {"deepseek-v3.2",
         "3|\n\n|<｜DSML｜function_calls>\n|<｜DSML｜invoke "
         "name=\"|\">\n|</｜DSML｜invoke>\n||</｜DSML｜function_calls>|"
         "<｜DSML｜parameter name=\",\" string=\"true\">,\" string=\"false\">,</｜DSML｜parameter>\n|tools "
         "parallel"},
        {"gemma4", "5|||<|tool_call>call:|{|}<tool_call|>||||tools parallel"},
        {"lfm2", "4||<|tool_call_start|>[||(|)|, |]<|tool_call_end|>||tools parallel table"},
        {"granite3", "1||<|tool_call|>[|{\"name\": \"|\", \"arguments\": |}|, |]||tools parallel table"},
        {"phi4-mini",
         "1||<|tool_call|>[|{\"name\": \"|\", \"arguments\": |}|, |]<|/tool_call|>||tools parallel table"},
        {"smollm3",
         "1|||<tool_call>\n{\"name\": \"|\", \"arguments\": |}\n</tool_call>|\n|||tools parallel table"},
        {"gpt-oss",
         "2|||<|channel|>commentary to=functions.| <|constrain|>json<|message|>|<|call|>||||tools table"},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        rig r = open_file(want[i][0]);
        const vb_call_format *f = vb_calls_format(r.calls);
        char items[200] = "", got[1500];
        if (f->style == VB_CALLS_TAGS)
            snprintf(items, sizeof items, "%s,%s,%s,%s", f->item, f->value, f->value_other, f->item_end);
        snprintf(got, sizeof got, "%d|%s|%s|%s|%s|%s|%s|%s|%s|%s%s%s%s%s", f->style, f->lead, f->open,
                 f->begin, f->between, f->end, f->separator, f->close, items, f->tools ? "tools" : "",
                 f->parallel ? " parallel" : "", f->arguments_text ? " text" : "",
                 f->id_counts ? " counts" : "", f->probed ? "" : " table");
        if (strcmp(got, want[i][1]) != 0) fail_msg("%s is\n%s\nand not\n%s", want[i][0], got, want[i][1]);
        close_rig(&r);
    }
}

static void test_other_objects(void **state) {
    (void)state;
    rig r = open_file("llama3");
    says(&r, "{\"name\": \"f\", \"parameters\": {\"n\": 1}}", "[f {\"n\": 1}]");
    says(&r, " {\"name\": \"f\", \"arguments\": {}}; {\"name\": \"get\", \"parameters\": {}}",
         "[f {}]m(;)[get {}]");
    says(&r, "\1<|python_tag|>\1{\"name\": \"f\", \"parameters\": {}}", "[f {}]");
    says(&r, "Look: \1<|python_tag|>\1f.call(s=\"x\")", "c(Look: )[f {\"s\": \"x\"}]");
    stays(&r, "{\"name\": \"f\"}");
    stays(&r, "{\"name\": \"Ada\", \"parameters\": {}}");
    stays(&r, "So: {\"name\": \"f\", \"parameters\": {}}");
    close_rig(&r);
    r = open_file("mistral-v3");
    says(&r, "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"n\": 2}, \"id\": \"abcdefghi\"}]\n",
         "[f {\"n\": 2}]m(]\n)");
    says(&r, "[TOOL_CALLS][{\"name\":\"f\",\"arguments\":{}},{\"name\":\"get\",\"arguments\":{}}]",
         "[f {}][get {}]m(])");
    stays(&r, "[TOOL_CALLS]{\"name\": \"f\", \"arguments\": {}}");
    close_rig(&r);
    r = open_file("command-r7b");
    says(&r, "<|START_ACTION|>[{\"tool_call_id\":\"0\",\"tool_name\":\"f\",\"parameters\":{}}]<|END_ACTION|>",
         "[f {}]m(]<|END_ACTION|>)");
    close_rig(&r);
}

static void test_names_first(void **state) {
    (void)state;
    rig r = open_file("mistral-v11");
    says(&r, "[TOOL_CALLS]f[CALL_ID]abc123XYZ[ARGS]{\"s\": \"[TOOL_CALLS]get[ARGS]{}\"}",
         "[f {\"s\": \"[TOOL_CALLS]get[ARGS]{}\"}]");
    stays(&r, "[TOOL_CALLS]f[ARGS]{}");
    stays(&r, "[TOOL_CALLS]f[CALL_ID]abc123XYZ[ARGS][]");
    close_rig(&r);
    r = open_file("deepseek-v3");
    says(&r,
         "ok<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"s\": "
         "\"```\"}\n```<｜tool▁call▁end｜>\n"
         "<｜tool▁call▁begin｜>function<｜tool▁sep｜>get\n```json\n{}\n```<｜tool▁call▁end｜><"
         "｜tool▁calls▁end｜>",
         "c(ok)[f {\"s\": \"```\"}][get {}]m(<｜tool▁calls▁end｜>)");
    stays(&r, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"s\"");
    close_rig(&r);
    r = open_file("kimi-k2");
    says(&r,
         "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:3<|tool_call_argument_begin|>{}<|tool_"
         "call_end|>"
         "<|tool_calls_section_end|>",
         "[f {}]m(<|tool_calls_section_end|>)");
    stays(&r, "<|tool_calls_section_begin|><|tool_call_begin|>functions.f<|tool_call_argument_begin|>{}");
    close_rig(&r);
    r = open_file("apertus");
    says(&r, "<|tools_prefix|>[{\"f\": {\"n\": 0}}, {\"get\": {}}]<|tools_suffix|>",
         "[f {\"n\": 0}][get {}]m(]<|tools_suffix|>)");
    close_rig(&r);
}

#define CODER(name, x)    "<tool_call>\n<function=" name ">\n" x "</function>\n</tool_call>"
#define PARAMETER(key, x) "<parameter=" key ">\n" x "\n</parameter>\n"

static void test_tags(void **state) {
    (void)state;
    rig r = open_file("qwen-coder");
    says(&r,
         CODER("f",
               PARAMETER("s", "42") PARAMETER("n", "42") PARAMETER("b", "True") PARAMETER("o", "{'k': None}")
                   PARAMETER("u", "null") PARAMETER("r", "1") PARAMETER("e", "2") PARAMETER("x", "[1]")),
         "[f {\"s\": \"42\", \"n\": 42, \"b\": true, \"o\": {\"k\": null}, \"u\": null, \"r\": \"1\", \"e\": "
         "2, "
         "\"x\": [1]}]");
    says(&r,
         CODER("f", PARAMETER("s", "") PARAMETER("n", "much") PARAMETER("u", "5") PARAMETER("y", "a word")),
         "[f {\"s\": \"\", \"n\": \"much\", \"u\": \"5\", \"y\": \"a word\"}]");
    says(&r, CODER("f", PARAMETER("s", "\n a </parameter> b\n</parameter>\n</function> \n\n")),
         "[f {\"s\": \"\\n a </parameter> b\\n</parameter>\\n</function> \\n\\n\"}]");
    says(&r, "Hm.\n\n" CODER("get", ""), "c(Hm.)[get {}]");
    says(&r, "<tool_call><function=f><parameter=n>1</parameter></function></tool_call>", "[f {\"n\": 1}]");
    says(&r, "<tool_call>\n<function=f>\n" PARAMETER("n", "1") "</function>\n", "[f {\"n\": 1}]");
    says(&r, "<tool_call>\n<function=f>\n<parameter=s>\n" CODER("get", ""),
         "c(<tool_call>\n<function=f>\n<parameter=s>\n)[get {}]");
    stays(&r, CODER("nobody", PARAMETER("s", "x")));
    stays(&r, "<tool_call>\n<function=f>\n" PARAMETER("s", "x"));
    stays(&r, "<tool_call>\n<function=f>\n<parameter=s>\nx</function>\n</tool_call>");
    close_rig(&r);
    r = open_file("glm");
    says(&r,
         "<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>1</arg_value>\n<arg_key>n</arg_key>\n<arg_value>1</"
         "arg_value>\n</tool_call>",
         "[f {\"s\": \"1\", \"n\": 1}]");
    says(&r, "<tool_call>get</tool_call>", "[get {}]");
    stays(&r, "<tool_call>get me</tool_call>");
    close_rig(&r);
    r = open_file("deepseek-v3.2");
    says(&r,
         "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"s\" "
         "string=\"false\">5</｜DSML｜parameter>\n"
         "<｜DSML｜parameter name=\"n\" "
         "string=\"true\">5</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
         "[f {\"s\": 5, \"n\": \"5\"}]m(\n</｜DSML｜function_calls>)");
    close_rig(&r);
}

static void test_literals(void **state) {
    (void)state;
    rig r = open_file("lfm2");
#define LFM(x) "<|tool_call_start|>[" x "]<|tool_call_end|>"
    says(&r, LFM("f(s='it\\'s \"so\"', n=-1.5e3, b=True, o={'k': [None, False, (1,), [], {}]}), get()"),
         "[f {\"s\": \"it's \\\"so\\\"\", \"n\": -1.5e3, \"b\": true, \"o\": {\"k\": [null, false, [1], [], "
         "{}]}}][get {}]"
         "m(]<|tool_call_end|>)");
    says(&r, LFM("f(s=\"\\u00e9\\x41\\101\\n\\q\")"), "[f {\"s\": \"éAA\\n\\\\q\"}]m(]<|tool_call_end|>)");
    says(&r, LFM("f(s=\"say \"hi\" now\")"), "[f {\"s\": \"say \\\"hi\\\" now\"}]m(]<|tool_call_end|>)");
    stays(&r, LFM("f(1)"));
    stays(&r, LFM("f(s=oops)"));
    stays(&r, LFM("f(s='x'"));
    stays(&r, LFM("f(o={1: 2})"));
    close_rig(&r);
    r = open_file("gemma4");
#define Q "<|\"|>"
    says(&r, "<|tool_call>call:f{s:" Q "a \"b\" <|x|>" Q ",n:1,o:{k:[true,null," Q "}" Q "]}}<tool_call|>",
         "[f {\"s\": \"a \\\"b\\\" <|x|>\", \"n\": 1, \"o\": {\"k\": [true, null, \"}\"]}}]");
    stays(&r, "<|tool_call>call:f{s:bare word}<tool_call|>");
    stays(&r, "<|tool_call>call:f{s:" Q "x}<tool_call|>");
    close_rig(&r);
}

static void test_channels(void **state) {
    (void)state;
    rig r = open_file("gpt-oss");
    says(&r, "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Four.",
         "m(<|channel|>analysis<|message|>)r(Hm.)m(<|end|><|start|>assistant<|channel|>final<|message|>)c("
         "Four.)");
    says(&r, "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"n\": 1}<|call|>",
         "[f {\"n\": 1}]m(<|call|>)");
    says(&r,
         "<|channel|>commentary<|message|>I ask.<|end|><|start|>assistant "
         "to=functions.get<|channel|>commentary json<|message|>{}",
         "m(<|channel|>commentary<|message|>)c(I ask.)m(<|end|>)[get {}]");
    stays(&r, "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{n: 1}");
    stays(&r, "Plain.");
    stays(&r, "a <| b");
    close_rig(&r);
}

static void test_recipients(void **state) {
    (void)state;
    rig r = open_file("functionary");
    assert_string_equal(vb_calls_format(r.calls)->everyone, "all");
    says(&r, "all\nFour.", "m(all\n)c(Four.)");
    says(&r, "f\n{\"n\": 1}", "[f {\"n\": 1}]");
    says(&r, "all\nI ask. >>> 1\n>>>f\n{\"n\": 1}>>>get\n{}\n>>>all\nDone.",
         "m(all\n)c(I ask. >>> 1\n)[f {\"n\": 1}][get {}]m(\n>>>all\n)c(Done.)");
    says(&r, "get\n{}\n", "[get {}]m(\n)");
    says(&r, "all\n>>>none\n{}", "m(all\n)c(>>>none\n{})");
    stays(&r, "f\n{n: 1}");
    stays(&r, "none\n{}");
    stays(&r, "f {}");
    stays(&r, "f");
    stays(&r, "Plain.");
    close_rig(&r);
    r = open_file("functionary-tokens");
    says(&r, "all\n<|content|>Hm.\n<|from|>assistant\n<|recipient|>f\n<|content|>{\"n\": 1}",
         "m(all\n<|content|>)c(Hm.)[f {\"n\": 1}]");
    says(&r, "get\n<|content|>{}\n<|from|>assistant\n<|recipient|>f\n<|content|>{}", "[get {}][f {}]");
    stays(&r, "f\n{}");
    close_rig(&r);
}

/* A list of calls, in JSON: the table's, and without marks where others stand between marks. */
static void test_lists(void **state) {
    (void)state;
    static const char list[] = "[{\"name\": \"f\", \"arguments\": {\"n\": 1}},\n {\"name\": \"get\", "
                               "\"arguments\": {}}]";
    rig r = open_file("hammer");
    says(&r, list, "[f {\"n\": 1}][get {}]m(])");
    stays(&r, "[]");
    stays(&r, "[{\"name\": \"none\", \"arguments\": {}}]");
    close_rig(&r);
    r = open_file("hermes");
    stays(&r, list);
    const vb_answer_params p = {.tools = tools, .n_tools = sizeof tools - 1, .loose = true};
    says_as(&r, &p, list, "[f {\"n\": 1}][get {}]m(])");
    says_as(&r, &p, "```json\n[\n{\"name\": \"get\", \"arguments\": {}}\n]\n```\nso.",
            "[get {}]m(\n]\n```)c(\nso.)");
    static const char *const others[] = {"a [{\"name\": \"get\", \"arguments\": {}}]",
                                         "[1, {\"name\": \"get\", \"arguments\": {}}]", "[\n1]", "["};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char want[100];
        snprintf(want, sizeof want, "c(%s)", others[i]);
        says_as(&r, &p, others[i], want);
    }
    close_rig(&r);
}

/* Of arguments whole characters are told, also early, and bytes that are no UTF-8 make no call. */
static void test_characters(void **state) {
    (void)state;
    static const char *const formats[] = {"hermes", "qwen-coder", "gemma4", "lfm2", "deepseek-v3.1"};
    static const char *const texts[] = {CALL("{\"name\": \"f\", \"arguments\": {\"s\": \"Zürich 👩\"}}"),
                                        CODER("f", PARAMETER("s", "Zürich 👩")),
                                        "<|tool_call>call:f{s:" Q "Zürich 👩" Q "}<tool_call|>",
                                        LFM("f(s='Zürich 👩')"),
                                        ("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"s\": "
                                         "\"Zürich 👩\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>")};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const vb_answer_params p = {.tools = tools, .n_tools = sizeof tools - 1, .early = true};
        rig r = open_file(formats[i]);
        vb_answer *a = NULL;
        vb_said e;
        size_t bytes = 0, parts = 0;
        assert_int_equal(vb_answer_open(&a, r.calls, &p, NULL), 0);
        for (size_t j = 0; texts[i][j]; j++) {
            assert_int_equal(vb_answer_push(a, texts[i] + j, 1, false, NULL), 0);
            while (vb_answer_next(a, &e)) {
                if (e.kind != VB_SAID_ARGUMENTS) continue;
                assert_true(((unsigned char)e.text[0] & 0xC0) != 0x80);
                bytes += e.len;
                parts++;
            }
        }
        vb_answer_close(a);
        assert_int_equal(bytes, strlen("{\"s\": \"Zürich 👩\"}"));
        if (parts < 8) fail_msg("%s: arguments in %zu parts", formats[i], parts);
        close_rig(&r);
    }
    rig r = open_file("hermes");
    stays(&r, CALL("{\"name\": \"f\", \"arguments\": {\"s\": \"\xC3(\"}}"));
    stays(&r, CALL("{\"name\": \"f\", \"arguments\": {\"s\": \"\xED\xA0\x80\"}}"));
    close_rig(&r);
    r = open_file("qwen-coder");
    stays(&r, CODER("f", PARAMETER("s", "\xFF")));
    stays(&r, CODER("f", PARAMETER("n", "\xC3")));
    close_rig(&r);
    r = open_file("lfm2");
    stays(&r, LFM("f(s='\xC3')"));
    close_rig(&r);
}

/* Prompts that open reasoning, and templates that write empty reasoning before a call. */
static void test_formats_beside_reasoning(void **state) {
    (void)state;
    static const char
        head[] = "{%- for m in messages %}{{ '<|' + m.role + '|>' }}{%- if m.role == 'assistant' %}",
        calls[] =
            "{{ m.content or '' }}{%- for c in m.tool_calls or [] %}{{ '<tool>{\"name\": \"' + "
            "c.function.name + '\", \"arguments\": ' + c.function.arguments|tojson + '}</tool>' }}{% endfor "
            "%}",
        rest[] = "{%- else %}{{ m.content }}{% endif %}{{ '<|end|>' }}{% endfor %}"
                 "{%- if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{% endif %}";
    static const char *const before[] = {"", "{{ '<think>\\n\\n</think>\\n\\n' }}",
                                         "{{ '<think>' + (m.reasoning_content or '') + '</think>' }}",
                                         "{%- if m.tool_calls %}{{ '<think></think>' }}{% endif %}"};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        char template[1500];
        snprintf(template, sizeof template, "%s%s%s%s", head, before[i], calls, rest);
        rig r = open_rig(template);
        const vb_call_format *f = vb_calls_format(r.calls);
        if (strcmp(f->begin, "<tool>{\"name\": \"") != 0 || strcmp(f->end, "}</tool>") != 0 || *f->close ||
            *f->open)
            fail_msg("%s: %s, %s, %s and %s", template, f->open, f->begin, f->end, f->close);
        assert_true(strncmp(f->think, "<think>", 7) == 0);
        close_rig(&r);
    }
}

/* ------------------------------------------------------------------------------------- prompts and ids */

static void test_thinking(void **state) {
    (void)state;
    rig r = open_rig(
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
    close_rig(&r);
}

static void id_of(const char *format, const char *text, uint64_t seed, char id[80]) {
    rig r = open_file(format);
    const vb_answer_params p = {.tools = tools, .n_tools = sizeof tools - 1, .seed = seed};
    vb_answer *a = NULL;
    vb_said e;
    assert_int_equal(vb_answer_open(&a, r.calls, &p, NULL), 0);
    assert_int_equal(vb_answer_push(a, text, strlen(text), false, NULL), 0);
    assert_int_equal(vb_answer_end(a, NULL), 0);
    id[0] = 0;
    while (vb_answer_next(a, &e))
        if (e.kind == VB_SAID_CALL) snprintf(id, 80, "%s", e.id);
    vb_answer_close(a);
    close_rig(&r);
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
static char *history(const rig *r, const char *id) {
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
    return rendered(r, s);
}

static void writes(const char *format, const char *id, const char *part, bool there) {
    rig r = open_file(format);
    char *s = history(&r, id);
    if ((strstr(s, part) != NULL) != there)
        fail_msg("%s: %s\n%s %s", format, s, there ? "does not hold" : "holds", part);
    free(s);
    close_rig(&r);
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
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_other_objects),
        cmocka_unit_test(test_names_first),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_recipients),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_formats_beside_reasoning),
        cmocka_unit_test(test_thinking),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_histories),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
