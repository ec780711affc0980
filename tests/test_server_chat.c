/* test_server_chat.c - what a conversation's request comes with besides texts: tools and their calls,
 * reasoning, how the prompt ends, variables of the template. Each row is a request; what the template is
 * given is compared as text. */
#include "server/ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define USER  "{\"role\":\"user\",\"content\":\"hi\"}"
#define HI    "\"messages\":[" USER "]"
#define TOOL  "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}}"
#define OTHER "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}"
#define CALL                                                                                                 \
    "{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1.10}\"}}"

/* Templates that read different switches; opened once. */
enum { PLAIN, SWITCH, THINKING, EFFORT, BOTH, N_TEMPLATES };
static vb_chat *templates[N_TEMPLATES];

static int open_templates(void **state) {
    static const char *const texts[] = {"{{ messages }}", "{{ enable_thinking }}", "{{ thinking }}",
                                        "{{ reasoning_effort }}", "{{ enable_thinking ~ reasoning_effort }}"};
    (void)state;
    for (int i = 0; i < N_TEMPLATES; i++)
        if (vb_chat_open_text(&templates[i], texts[i], strlen(texts[i]), "t", NULL)) return -1;
    return 0;
}

static int close_templates(void **state) {
    (void)state;
    for (int i = 0; i < N_TEMPLATES; i++) vb_chat_close(templates[i]);
    return 0;
}

static vbs_terms terms(int template) {
    vbs_terms t = {.name = "m",
                   .n_vocab = 1000,
                   .n_ctx = 512,
                   .template = templates[template],
                   .shows_tools = true,
                   .reads_calls = true};
    vb_sampling_defaults(&t.sampling);
    return t;
}

static int ask(vbs_ask *a, const vbs_terms *t, const char *fields, vbs_problem *p) {
    char body[2048];
    snprintf(body, sizeof body, "{%s}", fields);
    return vbs_ask_read(a, true, body, strlen(body), t, p);
}

static void taken(vbs_ask *a, const vbs_terms *t, const char *fields) {
    vbs_problem p;
    if (ask(a, t, fields, &p)) fail_msg("%s: %s", fields, p.message);
}

static void refused(const vbs_terms *t, const char *fields, const char *param, const char *words) {
    vbs_ask a;
    vbs_problem p;
    if (!ask(&a, t, fields, &p)) fail_msg("%s was taken", fields);
    if (p.status != 400 || strcmp(p.param, param) != 0 || !strstr(p.message, words))
        fail_msg("%s: %d, field \"%s\", %s", fields, p.status, p.param, p.message);
    vbs_ask_close(&a);
}

/* ------------------------------------------------------------------------------------------------- tools */

static void test_tools(void **state) {
    (void)state;
    vbs_ask a;
    vbs_terms t = terms(PLAIN);
    static const struct {
        const char *fields;
        vbs_tool_choice choice;
        bool shown, one_call;
    } rows[] = {
        {"\"tools\":[" TOOL "]," HI, VBS_TOOLS_AUTO, true, false},
        {"\"tools\":[" TOOL "," OTHER "],\"tool_choice\":\"auto\"," HI, VBS_TOOLS_AUTO, true, false},
        {"\"tools\":[" TOOL "],\"tool_choice\":\"none\"," HI, VBS_TOOLS_NONE, false, false},
        {"\"tools\":[],\"tool_choice\":\"auto\"," HI, VBS_TOOLS_AUTO, false, false},
        {"\"tools\":null," HI, VBS_TOOLS_AUTO, false, false},
        {"\"tools\":[" TOOL "],\"parallel_tool_calls\":false," HI, VBS_TOOLS_AUTO, true, true},
        {"\"tools\":[" TOOL "],\"parallel_tool_calls\":true," HI, VBS_TOOLS_AUTO, true, false},
        {"\"parallel_tool_calls\":false," HI, VBS_TOOLS_AUTO, false, false},
        {"\"functions\":[],\"function_call\":\"none\"," HI, VBS_TOOLS_AUTO, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        taken(&a, &t, rows[i].fields);
        assert_int_equal(a.tool_choice, rows[i].choice);
        assert_int_equal(a.tools != NULL, rows[i].shown);
        assert_int_equal(strstr(a.variables, "\"tools\":[{") != NULL, rows[i].shown);
        assert_int_equal(a.one_call, rows[i].one_call);
        assert_int_equal(json_array_size(a.warnings), 0);
        vbs_ask_close(&a);
    }
    /* As the client wrote them, in its order. */
    taken(&a, &t, "\"tools\":[" TOOL "]," HI);
    assert_string_equal(a.tools, "[" TOOL "]");
    assert_string_equal(a.variables, "{" HI ",\"tools\":[" TOOL "]}");
    vbs_ask_close(&a);
}

static void test_tools_refused(void **state) {
    (void)state;
    vbs_terms t = terms(PLAIN);
    static const char *const rows[][3] = {
        {"\"tools\":{}", "tools", "expected a list"},
        {"\"tools\":[1]", "tools", "tools[0]"},
        {"\"tools\":[{\"type\":\"function\"}]", "tools", "tools[0]"},
        {"\"tools\":[{\"type\":\"web_search\"}]", "tools", "web_search"},
        {"\"tools\":[{\"function\":{\"name\":\"\"}}]", "tools", "tools[0]"},
        {"\"tools\":[{\"function\":{\"name\":\"f\",\"parameters\":3}}]", "tools", "schema"},
        {"\"tools\":[" TOOL "," OTHER "," TOOL "]", "tools", "twice"},
        {"\"tools\":[" TOOL "],\"tool_choice\":\"maybe\"", "tool_choice", "expected none"},
        {"\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"allowed_tools\"}", "tool_choice", "expected none"},
        {"\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"h\"}}",
         "tool_choice", "none of the tools"},
        {"\"tool_choice\":\"required\"", "tool_choice", "no tools"},
        {"\"tools\":[" TOOL "],\"parallel_tool_calls\":1", "parallel_tool_calls", "true or false"},
        {"\"functions\":[{\"name\":\"f\"}]", "functions", "older API"},
        {"\"function_call\":{\"name\":\"f\"}", "function_call", "tool_choice"},
    };
    char fields[600];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(fields, sizeof fields, "%s,%s", rows[i][0], HI);
        refused(&t, fields, rows[i][1], rows[i][2]);
    }
    /* A template that cannot. */
    t.shows_tools = false;
    refused(&t, "\"tools\":[" TOOL "]," HI, "tools", "does not show");
    t.shows_tools = true;
    t.reads_calls = false;
    refused(&t, "\"tools\":[" TOOL "]," HI, "tools", "not known here");
    vbs_ask a;
    taken(&a, &t, "\"tools\":[" TOOL "],\"tool_choice\":\"none\"," HI);
    vbs_ask_close(&a);
    refused(&t, "\"messages\":[" USER ",{\"role\":\"assistant\",\"tool_calls\":[" CALL "]}," USER "]",
            "messages", "messages[1] calls a tool");
}

/* A conversation with a call and its result, as it goes through. */
static void test_calls(void **state) {
    (void)state;
    vbs_ask a;
    vbs_terms t = terms(PLAIN);
    taken(&a, &t,
          "\"messages\":[" USER
          ",{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"annotations\":[],"
          "\"tool_calls\":[{\"index\":0,\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
          "\"arguments\":\"{\\\"a\\\": 1.10}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":[{"
          "\"type\":\"text\",\"text\":\"42\"}]}]");
    assert_string_equal(a.variables, "{\"messages\":[" USER
                                     ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" CALL
                                     "]},{\"role\":\"tool\",\"content\":\"42\",\"tool_call_id\":\"1\"}]}");
    vbs_ask_close(&a);
    /* Reasoning under either name; the content of an assistant who only thought is "". */
    taken(&a, &t,
          "\"messages\":[" USER ",{\"role\":\"assistant\",\"reasoning\":\"hm\"},{\"role\":\"assistant\","
          "\"content\":\"c\",\"reasoning_content\":\"x\",\"reasoning\":\"y\"}," USER "]");
    assert_string_equal(a.variables,
                        "{\"messages\":[" USER
                        ",{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"hm\"},{\"role\":"
                        "\"assistant\",\"content\":\"c\",\"reasoning_content\":\"x\"}," USER "]}");
    vbs_ask_close(&a);
    static const char *const rows[][2] = {
        {"{\"role\":\"user\",\"content\":\"x\",\"tool_calls\":[" CALL "]}", "only the assistant"},
        {"{\"role\":\"assistant\",\"tool_calls\":[1]}", "tool_calls[0]"},
        {"{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"\"}}]}", "tool_calls[0]"},
        {"{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":[]}}]}",
         "arguments"},
        {"{\"role\":\"assistant\",\"content\":\"\",\"function_call\":{\"name\":\"f\"}}", "older API"},
        {"{\"role\":\"assistant\",\"tool_calls\":3}", "expected a list"},
    };
    char fields[900];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(fields, sizeof fields, "\"messages\":[%s," USER "]", rows[i][0]);
        refused(&t, fields, "messages", rows[i][1]);
    }
    refused(&t, "\"messages\":[" USER ",{\"role\":\"assistant\",\"tool_calls\":[" CALL "]}]", "messages",
            "results are missing");
}

/* --------------------------------------------------------------------------------------------- reasoning */

static void test_reasoning(void **state) {
    (void)state;
    static const struct {
        int template;
        const char *fields, *given; /* given: members beside messages; NULL: refused */
        int warnings;               /* or the field that is refused: its name is `param` */
        const char *param;
    } rows[] = {
        {SWITCH, "\"enable_thinking\":false", ",\"enable_thinking\":false", 0, NULL},
        {SWITCH, "\"enable_thinking\":true", ",\"enable_thinking\":true", 0, NULL},
        {SWITCH, "\"think\":false", ",\"enable_thinking\":false", 0, NULL},
        {SWITCH, "\"thinking\":{\"type\":\"disabled\"}", ",\"enable_thinking\":false", 0, NULL},
        {SWITCH, "\"reasoning_effort\":\"none\"", ",\"enable_thinking\":false", 0, NULL},
        {SWITCH, "\"reasoning\":{\"enabled\":true}", ",\"enable_thinking\":true", 0, NULL},
        {SWITCH, "\"reasoning_effort\":\"low\"", ",\"enable_thinking\":true", 1, NULL},
        {SWITCH, "\"reasoning\":{\"effort\":\"none\"}", ",\"enable_thinking\":false", 0, NULL},
        {SWITCH, "\"reasoning\":{\"max_tokens\":5}", NULL, 0, "reasoning"},
        {SWITCH, "\"enable_thinking\":true,\"reasoning_effort\":\"none\"", NULL, 0, "enable_thinking"},
        {SWITCH, "\"enable_thinking\":\"yes\"", NULL, 0, "enable_thinking"},
        {SWITCH, "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":100}", NULL, 0, "thinking"},
        {THINKING, "\"enable_thinking\":true", ",\"thinking\":true", 0, NULL},
        {EFFORT, "\"reasoning_effort\":\"low\"", ",\"reasoning_effort\":\"low\"", 0, NULL},
        {EFFORT, "\"think\":\"high\"", ",\"reasoning_effort\":\"high\"", 0, NULL},
        {EFFORT, "\"enable_thinking\":true", NULL, 0, "enable_thinking"},
        {EFFORT, "\"reasoning_effort\":3", NULL, 0, "reasoning_effort"},
        {BOTH, "\"reasoning_effort\":\"low\"", ",\"reasoning_effort\":\"low\",\"enable_thinking\":true", 0,
         NULL},
        {BOTH, "\"reasoning_effort\":\"none\"", ",\"reasoning_effort\":\"none\",\"enable_thinking\":false", 0,
         NULL},
        {BOTH, "\"reasoning_effort\":\"low\",\"reasoning\":{\"effort\":\"high\"}", NULL, 0, "reasoning"},
        {PLAIN, "\"enable_thinking\":false", "", 0, NULL},
        {PLAIN, "\"reasoning_effort\":\"none\"", "", 0, NULL},
        {PLAIN, "\"reasoning_effort\":\"low\"", NULL, 0, "reasoning_effort"},
        {PLAIN, "\"enable_thinking\":true", NULL, 0, "enable_thinking"},
        {SWITCH, "\"chat_template_kwargs\":{\"enable_thinking\":false}", ",\"enable_thinking\":false", 0,
         NULL},
        {SWITCH, "\"chat_template_args\":{\"enable_thinking\":false}", ",\"enable_thinking\":false", 0, NULL},
        {PLAIN, "\"chat_template_kwargs\":{\"nothing\":[1]}", ",\"nothing\":[1]", 1, NULL},
        {PLAIN, "\"chat_template_kwargs\":{\"messages\":[]}", NULL, 0, "chat_template_kwargs"},
        {PLAIN, "\"chat_template_kwargs\":[]", NULL, 0, "chat_template_kwargs"},
    };
    char fields[400], want[400];
    vbs_ask a;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vbs_terms t = terms(rows[i].template);
        snprintf(fields, sizeof fields, "%s," HI, rows[i].fields);
        snprintf(want, sizeof want, "{" HI "%s}", rows[i].given ? rows[i].given : "");
        if (!rows[i].given) {
            refused(&t, fields, rows[i].param, rows[i].param);
            continue;
        }
        taken(&a, &t, fields);
        assert_string_equal(a.variables, want);
        assert_int_equal(json_array_size(a.warnings), rows[i].warnings);
        vbs_ask_close(&a);
    }
}

static void test_reasoning_place(void **state) {
    (void)state;
    static const struct {
        const char *fields;
        vbs_reasoning place;
    } rows[] = {
        {"\"reasoning_format\":\"auto\"", VBS_REASONING_APART},
        {"\"reasoning_format\":\"deepseek\"", VBS_REASONING_APART},
        {"\"reasoning_format\":\"none\"", VBS_REASONING_CONTENT},
        {"\"reasoning_format\":\"hidden\"", VBS_REASONING_HIDDEN},
        {"\"separate_reasoning\":false", VBS_REASONING_CONTENT},
        {"\"separate_reasoning\":true,\"include_reasoning\":true", VBS_REASONING_APART},
        {"\"include_reasoning\":false", VBS_REASONING_HIDDEN},
        {"\"reasoning\":{\"exclude\":true}", VBS_REASONING_HIDDEN},
        {"\"stream_reasoning\":true", VBS_REASONING_APART},
    };
    char fields[300];
    vbs_ask a;
    vbs_terms t = terms(PLAIN);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(fields, sizeof fields, "%s," HI, rows[i].fields);
        taken(&a, &t, fields);
        assert_int_equal(a.reasoning, rows[i].place);
        assert_int_equal(json_array_size(a.warnings), 0);
        vbs_ask_close(&a);
    }
    refused(&t, "\"reasoning_format\":\"deepseek-legacy\"," HI, "reasoning_format", "expected auto");
    refused(&t, "\"include_reasoning\":3," HI, "include_reasoning", "true or false");
}

/* --------------------------------------------------------------------------------------- the prompt's end */

static void test_end(void **state) {
    (void)state;
#define BEGUN(more) "\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\"It\"" more "}]"
    static const struct {
        const char *fields;
        bool by_default; /* --continue-final */
        int end;         /* 0: opened, 1: gone on with, 2: as it is; -1: refused */
    } rows[] = {
        {HI, false, 0},
        {HI, true, 0},
        {"\"add_generation_prompt\":false," HI, false, 2},
        {BEGUN(""), false, -1},
        {BEGUN(""), true, 1},
        {BEGUN(",\"prefix\":true"), false, 1},
        {BEGUN(",\"partial\":true"), false, 1},
        {BEGUN(",\"prefix\":false"), false, -1},
        {"\"continue_final_message\":true," BEGUN(""), false, 1},
        {"\"continue_\":true," BEGUN(""), false, 1},
        {"\"continue_final_message\":true,\"add_generation_prompt\":false," BEGUN(""), false, 1},
        {"\"continue_final_message\":true,\"add_generation_prompt\":true," BEGUN(""), false, -1},
        {"\"continue_final_message\":false," BEGUN(""), true, 0},
        {"\"add_generation_prompt\":true," BEGUN(""), true, 0},
        {"\"add_generation_prompt\":false," BEGUN(""), true, 2},
        {"\"continue_final_message\":false," BEGUN(",\"prefix\":true"), false, -1},
        {"\"continue_final_message\":true," HI, false, -1},
        {"\"messages\":[{\"role\":\"assistant\",\"content\":\"x\",\"prefix\":true}," USER "]", false, -1},
        {"\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"prefix\":true}]", false, -1},
        {BEGUN(",\"prefix\":1"), false, -1},
        {BEGUN(",\"prefix\":true,\"tool_calls\":[" CALL "]"), false, -1},
    };
    vbs_ask a;
    vbs_problem p;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vbs_terms t = terms(PLAIN);
        t.continue_final = rows[i].by_default;
        const int rc = ask(&a, &t, rows[i].fields, &p);
        if ((rc != 0) != (rows[i].end < 0)) fail_msg("row %zu: %d %s", i, rc, rc ? p.message : "");
        if (!rc && (a.continue_last != (rows[i].end == 1) || a.open_turn != (rows[i].end == 0)))
            fail_msg("row %zu: %d %d", i, a.continue_last, a.open_turn);
        /* Nothing of this is the template's to see. */
        if (!rc) assert_null(strstr(a.variables, "prefix"));
        vbs_ask_close(&a);
    }
}

static void test_date(void **state) {
    (void)state;
    vbs_ask a;
    vbs_terms t = terms(PLAIN);
    taken(&a, &t, "\"date\":\"2026-11-27 09:05:03\"," HI);
    assert_true(a.has_date && a.date[0] == 2026 && a.date[3] == 9 && a.date[5] == 3);
    vbs_ask_close(&a);
    taken(&a, &t, "\"date\":null," HI);
    assert_false(a.has_date);
    vbs_ask_close(&a);
    refused(&t, "\"date\":\"yesterday\"," HI, "date", "YYYY-MM-DD");
    refused(&t, "\"date\":3," HI, "date", "YYYY-MM-DD");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_tools_refused),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_reasoning),
        cmocka_unit_test(test_reasoning_place),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_date),
    };
    return cmocka_run_group_tests(tests, open_templates, close_templates);
}
