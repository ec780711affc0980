/* Answers that call tools as grammars: demanded, named, one or several, strict under auto, beside a schema
 * for the content; with and without ids, between marks and without. Texts are complete, beginnings, or
 * neither. */
#include "include/verbatim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define TOOLS                                                                                                \
    "[{\"type\":\"function\",\"function\":{\"name\":\"add\",\"strict\":true,\"parameters\":{\"type\":"       \
    "\"object\","                                                                                            \
    "\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"],\"additionalProperties\":false}}},"  \
    "{\"type\":\"function\",\"function\":{\"name\":\"now\"}}]"

static const vb_call_format hermes = {.style = VB_CALLS_MEMBERS,
                                      .lead = "\n",
                                      .open = "",
                                      .begin = "<tool_call>\n{\"name\": \"",
                                      .between = "\", \"arguments\": ",
                                      .end = "}\n</tool_call>",
                                      .separator = "\n",
                                      .close = "",
                                      .parallel = true};
static const vb_call_format mistral = {.style = VB_CALLS_NAMED,
                                       .lead = "",
                                       .open = "[CALLS]",
                                       .begin = "",
                                       .between = "[ID]\1[ARGS]",
                                       .end = "",
                                       .separator = "",
                                       .close = "!"};

enum { NO, BEGINNING, WHOLE };

static void says(const vb_call_format *f, vb_calls_wanted w, const char *text, int due) {
    vb_grammar *g = NULL;
    vb_error err = {0};
    uint64_t next[4];
    bool complete = false;
    size_t valid = 0;
    if (!w.tools) w.tools = TOOLS;
    w.n_tools = strlen(w.tools);
    if (vb_grammar_open_calls(&g, f, &w, NULL, &err)) fail_msg("%s", err.message);
    assert_int_equal(vb_grammar_text(g, text, strlen(text), next, &complete, &valid, &err), 0);
    const int is = valid < strlen(text) ? NO : complete ? WHOLE : BEGINNING;
    if (is != due) fail_msg("%s: %d, not %d (valid up to %zu)", text, is, due, valid);
    vb_grammar_close(g);
}

#define ADD  "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 3}}\n</tool_call>"
#define NOW  "<tool_call>\n{\"name\": \"now\", \"arguments\": {\"x\": [1]}}\n</tool_call>"
#define BAD  "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"b\""
#define BAD2 "<tool_call>\n{\"name\": \"sub"

static void demanded(void **state) {
    (void)state;
    const vb_calls_wanted any = {.required = true}, named = {.required = true, .name = "add", .one = true};
    says(&hermes, any, "", BEGINNING);
    says(&hermes, any, ADD, WHOLE);
    says(&hermes, any, NOW, WHOLE);
    says(&hermes, any, ADD "\n" NOW, WHOLE);
    says(&hermes, any, "I think", NO);
    says(&hermes, any, BAD, NO);
    says(&hermes, any, BAD2, NO);
    says(&hermes, named, ADD, WHOLE);
    says(&hermes, named, ADD "\n", NO);
    says(&hermes, named, "<tool_call>\n{\"name\": \"n", NO);
    says(&mistral, any, "[CALLS]add[ID]abcDEF123[ARGS]{\"a\": 3}!", WHOLE);
    says(&mistral, any, "[CALLS]add[ID]abcDEF12[ARGS]", NO);
    says(&mistral, any, "[CALLS]now[ID]abcDEF123[ARGS]{}", BEGINNING);
}

static void under_auto(void **state) {
    (void)state;
    const vb_calls_wanted text = {0};
    static const char schema[] = "{\"type\":\"boolean\"}";
    const vb_calls_wanted json = {
        .content = schema, .n_content = sizeof schema - 1, .content_kind = VB_GRAMMAR_JSON_SCHEMA};
    says(&hermes, text, "", WHOLE);
    says(&hermes, text, "I think so. a < b, <tool", WHOLE);
    says(&hermes, text, "Let me see.\n" ADD, WHOLE);
    says(&hermes, text, "Let me see.\n" ADD "\n" NOW, WHOLE);
    says(&hermes, text, "Let me see.\n<tool_call>", BEGINNING);
    says(&hermes, text, "Let me see.\n<tool_call>x", NO);
    says(&hermes, text, BAD, NO);
    says(&hermes, text, ADD " and more", NO);
    says(&hermes, json, "true", WHOLE);
    says(&hermes, json, "tru", BEGINNING);
    says(&hermes, json, ADD, WHOLE);
    says(&hermes, json, "true" ADD, NO);
}

/* Names that JSON has to escape: what is written is read back as the name. Where nothing escapes them they
 * are refused. */
static void names(void **state) {
    (void)state;
    static const char tools[] = "[{\"function\":{\"name\":\"a\\\"b\\\\ \\u00fc\\n\"}}]";
    const vb_calls_wanted w = {.tools = tools, .n_tools = sizeof tools - 1, .required = true};
    vb_grammar *g = NULL;
    vb_error err = {0};
    says(&hermes, w, "<tool_call>\n{\"name\": \"a\\\"b\\\\ \xC3\xBC\\n\", \"arguments\": {}}\n</tool_call>",
         WHOLE);
    says(&hermes, w, "<tool_call>\n{\"name\": \"a\"", NO);
    assert_int_equal(vb_grammar_open_calls(&g, &mistral, &w, NULL, &err), VB_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "rename it"));
    assert_null(g);
}

static void refused(void **state) {
    (void)state;
    vb_grammar *g = NULL;
    vb_error err = {0};
    vb_call_format f = hermes;
    const vb_calls_wanted none = {.tools = TOOLS, .n_tools = strlen(TOOLS), .required = true, .name = "sub"};
    const char bad[] = "[{\"function\":{\"name\":\"f\",\"parameters\":{\"$ref\":\"x.json\"}}}]";
    const vb_calls_wanted schema = {.tools = bad, .n_tools = sizeof bad - 1, .required = true};
    assert_int_equal(vb_grammar_open_calls(&g, &f, &none, NULL, &err), VB_ERR_ARGUMENT);
    assert_int_equal(vb_grammar_open_calls(&g, &f, &schema, NULL, &err), VB_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "x.json"));
    assert_non_null(strstr(err.message, "of f"));
    f.style = VB_CALLS_PYTHON;
    assert_int_equal(vb_grammar_open_calls(&g, &f, &none, NULL, &err), VB_ERR_UNSUPPORTED);
    assert_null(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demanded),
        cmocka_unit_test(under_auto),
        cmocka_unit_test(names),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests_name("grammar_calls", tests, NULL, NULL);
}
