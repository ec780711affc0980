/* test_calls_formats.c - every form of calls that a template was found to write. See calls_rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/calls_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ every format */

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
        cr_rig r = cr_open_file(want[i][0]);
        const vb_call_format *f = vb_calls_format(r.calls);
        char items[200] = "", got[1500];
        if (f->style == VB_CALLS_TAGS)
            snprintf(items, sizeof items, "%s,%s,%s,%s", f->item, f->value, f->value_other, f->item_end);
        snprintf(got, sizeof got, "%d|%s|%s|%s|%s|%s|%s|%s|%s|%s%s%s%s%s", f->style, f->lead, f->open,
                 f->begin, f->between, f->end, f->separator, f->close, items, f->tools ? "tools" : "",
                 f->parallel ? " parallel" : "", f->arguments_text ? " text" : "",
                 f->id_counts ? " counts" : "", f->probed ? "" : " table");
        if (strcmp(got, want[i][1]) != 0) fail_msg("%s is\n%s\nand not\n%s", want[i][0], got, want[i][1]);
        cr_close(&r);
    }
}

static void test_other_objects(void **state) {
    (void)state;
    cr_rig r = cr_open_file("llama3");
    cr_says(&r, "{\"name\": \"f\", \"parameters\": {\"n\": 1}}", "[f {\"n\": 1}]");
    cr_says(&r, " {\"name\": \"f\", \"arguments\": {}}; {\"name\": \"get\", \"parameters\": {}}",
            "[f {}]m(;)[get {}]");
    cr_says(&r, "\1<|python_tag|>\1{\"name\": \"f\", \"parameters\": {}}", "[f {}]");
    cr_says(&r, "Look: \1<|python_tag|>\1f.call(s=\"x\")", "c(Look: )[f {\"s\": \"x\"}]");
    cr_stays(&r, "{\"name\": \"f\"}");
    cr_stays(&r, "{\"name\": \"Ada\", \"parameters\": {}}");
    cr_stays(&r, "So: {\"name\": \"f\", \"parameters\": {}}");
    cr_close(&r);
    r = cr_open_file("mistral-v3");
    cr_says(&r, "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"n\": 2}, \"id\": \"abcdefghi\"}]\n",
            "[f {\"n\": 2}]m(]\n)");
    cr_says(&r, "[TOOL_CALLS][{\"name\":\"f\",\"arguments\":{}},{\"name\":\"get\",\"arguments\":{}}]",
            "[f {}][get {}]m(])");
    cr_stays(&r, "[TOOL_CALLS]{\"name\": \"f\", \"arguments\": {}}");
    cr_close(&r);
    r = cr_open_file("command-r7b");
    cr_says(&r,
            "<|START_ACTION|>[{\"tool_call_id\":\"0\",\"tool_name\":\"f\",\"parameters\":{}}]<|END_ACTION|>",
            "[f {}]m(]<|END_ACTION|>)");
    cr_close(&r);
}

static void test_names_first(void **state) {
    (void)state;
    cr_rig r = cr_open_file("mistral-v11");
    cr_says(&r, "[TOOL_CALLS]f[CALL_ID]abc123XYZ[ARGS]{\"s\": \"[TOOL_CALLS]get[ARGS]{}\"}",
            "[f {\"s\": \"[TOOL_CALLS]get[ARGS]{}\"}]");
    cr_stays(&r, "[TOOL_CALLS]f[ARGS]{}");
    cr_stays(&r, "[TOOL_CALLS]f[CALL_ID]abc123XYZ[ARGS][]");
    cr_close(&r);
    r = cr_open_file("deepseek-v3");
    cr_says(&r,
            "ok<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"s\": "
            "\"```\"}\n```<｜tool▁call▁end｜>\n"
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>get\n```json\n{}\n```<｜tool▁call▁end｜><"
            "｜tool▁calls▁end｜>",
            "c(ok)[f {\"s\": \"```\"}][get {}]m(<｜tool▁calls▁end｜>)");
    cr_stays(&r, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"s\"");
    cr_close(&r);
    r = cr_open_file("kimi-k2");
    cr_says(
        &r,
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:3<|tool_call_argument_begin|>{}<|tool_"
        "call_end|>"
        "<|tool_calls_section_end|>",
        "[f {}]m(<|tool_calls_section_end|>)");
    cr_stays(&r, "<|tool_calls_section_begin|><|tool_call_begin|>functions.f<|tool_call_argument_begin|>{}");
    cr_close(&r);
    r = cr_open_file("apertus");
    cr_says(&r, "<|tools_prefix|>[{\"f\": {\"n\": 0}}, {\"get\": {}}]<|tools_suffix|>",
            "[f {\"n\": 0}][get {}]m(]<|tools_suffix|>)");
    cr_close(&r);
}

#define CODER(name, x)    "<tool_call>\n<function=" name ">\n" x "</function>\n</tool_call>"
#define PARAMETER(key, x) "<parameter=" key ">\n" x "\n</parameter>\n"

static void test_tags(void **state) {
    (void)state;
    cr_rig r = cr_open_file("qwen-coder");
    cr_says(
        &r,
        CODER("f",
              PARAMETER("s", "42") PARAMETER("n", "42") PARAMETER("b", "True") PARAMETER("o", "{'k': None}")
                  PARAMETER("u", "null") PARAMETER("r", "1") PARAMETER("e", "2") PARAMETER("x", "[1]")),
        "[f {\"s\": \"42\", \"n\": 42, \"b\": true, \"o\": {\"k\": null}, \"u\": null, \"r\": \"1\", \"e\": "
        "2, "
        "\"x\": [1]}]");
    cr_says(
        &r,
        CODER("f", PARAMETER("s", "") PARAMETER("n", "much") PARAMETER("u", "5") PARAMETER("y", "a word")),
        "[f {\"s\": \"\", \"n\": \"much\", \"u\": \"5\", \"y\": \"a word\"}]");
    cr_says(&r, CODER("f", PARAMETER("s", "\n a </parameter> b\n</parameter>\n</function> \n\n")),
            "[f {\"s\": \"\\n a </parameter> b\\n</parameter>\\n</function> \\n\\n\"}]");
    cr_says(&r, "Hm.\n\n" CODER("get", ""), "c(Hm.)[get {}]");
    cr_says(&r, "<tool_call><function=f><parameter=n>1</parameter></function></tool_call>", "[f {\"n\": 1}]");
    cr_says(&r, "<tool_call>\n<function=f>\n" PARAMETER("n", "1") "</function>\n", "[f {\"n\": 1}]");
    cr_says(&r, "<tool_call>\n<function=f>\n<parameter=s>\n" CODER("get", ""),
            "c(<tool_call>\n<function=f>\n<parameter=s>\n)[get {}]");
    cr_stays(&r, CODER("nobody", PARAMETER("s", "x")));
    cr_stays(&r, "<tool_call>\n<function=f>\n" PARAMETER("s", "x"));
    cr_stays(&r, "<tool_call>\n<function=f>\n<parameter=s>\nx</function>\n</tool_call>");
    cr_close(&r);
    r = cr_open_file("glm");
    cr_says(
        &r,
        "<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>1</arg_value>\n<arg_key>n</arg_key>\n<arg_value>1</"
        "arg_value>\n</tool_call>",
        "[f {\"s\": \"1\", \"n\": 1}]");
    cr_says(&r, "<tool_call>get</tool_call>", "[get {}]");
    cr_stays(&r, "<tool_call>get me</tool_call>");
    cr_close(&r);
    r = cr_open_file("deepseek-v3.2");
    cr_says(&r,
            "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"s\" "
            "string=\"false\">5</｜DSML｜parameter>\n"
            "<｜DSML｜parameter name=\"n\" "
            "string=\"true\">5</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
            "[f {\"s\": 5, \"n\": \"5\"}]m(\n</｜DSML｜function_calls>)");
    cr_close(&r);
}

static void test_literals(void **state) {
    (void)state;
    cr_rig r = cr_open_file("lfm2");
#define LFM(x) "<|tool_call_start|>[" x "]<|tool_call_end|>"
    cr_says(
        &r, LFM("f(s='it\\'s \"so\"', n=-1.5e3, b=True, o={'k': [None, False, (1,), [], {}]}), get()"),
        "[f {\"s\": \"it's \\\"so\\\"\", \"n\": -1.5e3, \"b\": true, \"o\": {\"k\": [null, false, [1], [], "
        "{}]}}][get {}]"
        "m(]<|tool_call_end|>)");
    cr_says(&r, LFM("f(s=\"\\u00e9\\x41\\101\\n\\q\")"), "[f {\"s\": \"éAA\\n\\\\q\"}]m(]<|tool_call_end|>)");
    cr_says(&r, LFM("f(s=\"say \"hi\" now\")"), "[f {\"s\": \"say \\\"hi\\\" now\"}]m(]<|tool_call_end|>)");
    cr_stays(&r, LFM("f(1)"));
    cr_stays(&r, LFM("f(s=oops)"));
    cr_stays(&r, LFM("f(s='x'"));
    cr_stays(&r, LFM("f(o={1: 2})"));
    cr_close(&r);
    r = cr_open_file("gemma4");
#define Q "<|\"|>"
    cr_says(&r, "<|tool_call>call:f{s:" Q "a \"b\" <|x|>" Q ",n:1,o:{k:[true,null," Q "}" Q "]}}<tool_call|>",
            "[f {\"s\": \"a \\\"b\\\" <|x|>\", \"n\": 1, \"o\": {\"k\": [true, null, \"}\"]}}]");
    cr_stays(&r, "<|tool_call>call:f{s:bare word}<tool_call|>");
    cr_stays(&r, "<|tool_call>call:f{s:" Q "x}<tool_call|>");
    cr_close(&r);
}

static void test_channels(void **state) {
    (void)state;
    cr_rig r = cr_open_file("gpt-oss");
    cr_says(&r, "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Four.",
            "m(<|channel|>analysis<|message|>)r(Hm.)m(<|end|><|start|>assistant<|channel|>final<|message|>)c("
            "Four.)");
    cr_says(&r, "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"n\": 1}<|call|>",
            "[f {\"n\": 1}]m(<|call|>)");
    cr_says(&r,
            "<|channel|>commentary<|message|>I ask.<|end|><|start|>assistant "
            "to=functions.get<|channel|>commentary json<|message|>{}",
            "m(<|channel|>commentary<|message|>)c(I ask.)m(<|end|>)[get {}]");
    cr_stays(&r, "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{n: 1}");
    cr_stays(&r, "Plain.");
    cr_stays(&r, "a <| b");
    cr_close(&r);
}

static void test_recipients(void **state) {
    (void)state;
    cr_rig r = cr_open_file("functionary");
    assert_string_equal(vb_calls_format(r.calls)->everyone, "all");
    cr_says(&r, "all\nFour.", "m(all\n)c(Four.)");
    cr_says(&r, "f\n{\"n\": 1}", "[f {\"n\": 1}]");
    cr_says(&r, "all\nI ask. >>> 1\n>>>f\n{\"n\": 1}>>>get\n{}\n>>>all\nDone.",
            "m(all\n)c(I ask. >>> 1\n)[f {\"n\": 1}][get {}]m(\n>>>all\n)c(Done.)");
    cr_says(&r, "get\n{}\n", "[get {}]m(\n)");
    cr_says(&r, "all\n>>>none\n{}", "m(all\n)c(>>>none\n{})");
    cr_stays(&r, "f\n{n: 1}");
    cr_stays(&r, "none\n{}");
    cr_stays(&r, "f {}");
    cr_stays(&r, "f");
    cr_stays(&r, "Plain.");
    cr_close(&r);
    r = cr_open_file("functionary-tokens");
    cr_says(&r, "all\n<|content|>Hm.\n<|from|>assistant\n<|recipient|>f\n<|content|>{\"n\": 1}",
            "m(all\n<|content|>)c(Hm.)[f {\"n\": 1}]");
    cr_says(&r, "get\n<|content|>{}\n<|from|>assistant\n<|recipient|>f\n<|content|>{}", "[get {}][f {}]");
    cr_stays(&r, "f\n{}");
    cr_close(&r);
}

/* A list of calls, in JSON: the table's, and without marks where others stand between marks. */
static void test_lists(void **state) {
    (void)state;
    static const char list[] = "[{\"name\": \"f\", \"arguments\": {\"n\": 1}},\n {\"name\": \"get\", "
                               "\"arguments\": {}}]";
    cr_rig r = cr_open_file("hammer");
    cr_says(&r, list, "[f {\"n\": 1}][get {}]m(])");
    cr_stays(&r, "[]");
    cr_stays(&r, "[{\"name\": \"none\", \"arguments\": {}}]");
    cr_close(&r);
    r = cr_open_file("hermes");
    cr_stays(&r, list);
    const vb_answer_params p = {.tools = cr_tools, .n_tools = strlen(cr_tools), .loose = true};
    cr_says_as(&r, &p, list, "[f {\"n\": 1}][get {}]m(])");
    cr_says_as(&r, &p, "```json\n[\n{\"name\": \"get\", \"arguments\": {}}\n]\n```\nso.",
               "[get {}]m(\n]\n```)c(\nso.)");
    static const char *const others[] = {"a [{\"name\": \"get\", \"arguments\": {}}]",
                                         "[1, {\"name\": \"get\", \"arguments\": {}}]", "[\n1]", "["};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char want[100];
        snprintf(want, sizeof want, "c(%s)", others[i]);
        cr_says_as(&r, &p, others[i], want);
    }
    cr_close(&r);
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
        const vb_answer_params p = {.tools = cr_tools, .n_tools = strlen(cr_tools), .early = true};
        cr_rig r = cr_open_file(formats[i]);
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
        cr_close(&r);
    }
    cr_rig r = cr_open_file("hermes");
    cr_stays(&r, CALL("{\"name\": \"f\", \"arguments\": {\"s\": \"\xC3(\"}}"));
    cr_stays(&r, CALL("{\"name\": \"f\", \"arguments\": {\"s\": \"\xED\xA0\x80\"}}"));
    cr_close(&r);
    r = cr_open_file("qwen-coder");
    cr_stays(&r, CODER("f", PARAMETER("s", "\xFF")));
    cr_stays(&r, CODER("f", PARAMETER("n", "\xC3")));
    cr_close(&r);
    r = cr_open_file("lfm2");
    cr_stays(&r, LFM("f(s='\xC3')"));
    cr_close(&r);
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
        cr_rig r = cr_open(template);
        const vb_call_format *f = vb_calls_format(r.calls);
        if (strcmp(f->begin, "<tool>{\"name\": \"") != 0 || strcmp(f->end, "}</tool>") != 0 || *f->close ||
            *f->open)
            fail_msg("%s: %s, %s, %s and %s", template, f->open, f->begin, f->end, f->close);
        assert_true(strncmp(f->think, "<think>", 7) == 0);
        cr_close(&r);
    }
}

int main(void) {
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_formats),     cmocka_unit_test(test_other_objects),
        cmocka_unit_test(test_names_first), cmocka_unit_test(test_tags),
        cmocka_unit_test(test_literals),    cmocka_unit_test(test_channels),
        cmocka_unit_test(test_recipients),  cmocka_unit_test(test_lists),
        cmocka_unit_test(test_characters),  cmocka_unit_test(test_formats_beside_reasoning),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
