/* test_server_ask.c - bodies of requests: what is read, what is refused and with which words, what is
 * ignored; and who may ask at all. */
#include "server/httpd.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static vbs_terms terms(void) {
    vbs_terms t = {.name = "m", .gamma = 5, .has_draft = true, .n_vocab = 1000};
    vb_sampling_defaults(&t.sampling);
    return t;
}

static int ask_with(vbs_ask *a, bool chat, const char *body, const vbs_terms *t, vbs_problem *p) {
    return vbs_ask_read(a, chat, body, strlen(body), t, p);
}

static void good(bool chat, const char *body, vbs_ask *a) {
    vbs_terms t = terms();
    vbs_problem p;
    if (ask_with(a, chat, body, &t, &p)) fail_msg("%s: %s", body, p.message);
    assert_int_equal(p.status, 0);
}

static void bad_with(bool chat, const char *body, int status, const char *words, const vbs_terms *t) {
    vbs_ask a;
    vbs_problem p;
    if (!ask_with(&a, chat, body, t, &p)) fail_msg("%s was taken", body);
    if (p.status != status || !strstr(p.message, words)) fail_msg("%s: %d %s", body, p.status, p.message);
    vbs_ask_close(&a);
}

static void bad(bool chat, const char *body, int status, const char *words) {
    vbs_terms t = terms();
    bad_with(chat, body, status, words, &t);
}

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static void test_defaults(void **state) {
    (void)state;
    vbs_ask a;
    good(true, "{" HI "}", &a);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.gamma, 5);
    assert_int_equal(a.max_tokens, 0);
    assert_int_equal(a.accept, VB_ACCEPT_COUPLED);
    assert_false(a.has_seed);
    assert_true(a.sampling.seed < (UINT64_C(1) << 53));
    assert_true(fabs(a.sampling.temperature - 0.8) < 1e-12);
    assert_int_equal(json_array_size(a.warnings), 0);
    assert_string_equal(a.model, "m");
    vbs_ask_close(&a);
    good(false, "{\"prompt\":\"x\"}", &a);
    assert_int_equal(a.max_tokens, 16);
    vbs_ask_close(&a);
    vbs_terms t = terms();
    vbs_problem p;
    t.max_tokens = -1;
    assert_int_equal(ask_with(&a, false, "{\"prompt\":\"x\"}", &t, &p), 0);
    assert_int_equal(a.max_tokens, 0);
    vbs_ask_close(&a);
}

static void test_fields(void **state) {
    (void)state;
    vbs_ask a;
    good(true,
         "{\"model\":\"m:fast\",\"temperature\":0,\"top_p\":0.5,\"top_k\":-1,\"min_p\":0.1,\"max_completion_"
         "tokens\":7,"
         "\"stop\":[\"a\",\"bc\"],\"seed\":9007199254740993,\"n\":2,\"logprobs\":true,\"top_logprobs\":4,"
         "\"logit_bias\":{\"7\":-100,\"3\":1.5},\"presence_penalty\":1,\"frequency_penalty\":-1,\"stream\":"
         "true,"
         "\"stream_options\":{\"include_usage\":true},\"user\":\"u\",\"accept\":\"greedy\",\"verbatim\":"
         "true," HI "}",
         &a);
    assert_int_equal(a.gamma, 3);
    assert_string_equal(a.model, "m:fast");
    assert_int_equal(a.sampling.top_k, 0);
    assert_int_equal(a.max_tokens, 7);
    assert_int_equal(a.n_stops, 2);
    assert_int_equal(a.stops[1].len, 2);
    assert_true(a.has_seed && a.sampling.seed == UINT64_C(9007199254740993));
    assert_int_equal(a.n, 2);
    assert_int_equal(a.n_top, 4);
    assert_int_equal(a.sampling.n_bias, 2);
    assert_int_equal(a.sampling.bias[0].id, 3);
    assert_int_equal(a.sampling.bias[1].id, 7);
    assert_true(a.stream && a.include_usage && a.verbatim && a.logprobs);
    assert_int_equal(a.accept, VB_ACCEPT_GREEDY);
    assert_int_equal(json_array_size(a.warnings), 0);
    vbs_ask_close(&a);
    good(true, "{\"model\":null,\"temperature\":null,\"stop\":null,\"seed\":null,\"tools\":null," HI "}", &a);
    vbs_ask_close(&a);
    good(true, "{\"max_tokens\":5.0,\"seed\":-1," HI "}", &a);
    assert_int_equal(a.max_tokens, 5);
    assert_false(a.has_seed);
    vbs_ask_close(&a);
}

static void test_refused_fields(void **state) {
    (void)state;
    static const struct {
        const char *field;
        int status;
        const char *words;
    } cases[] = {
        {"\"temperature\":\"hot\"", 400, "expected a number"},
        {"\"temperature\":-1", 400, "outside"},
        {"\"temperature\":1e999", 400, "temperature: the number is too large"},
        {"\"top_p\":0", 400, "top_p"},
        {"\"top_p\":2", 400, "outside"},
        {"\"min_p\":1.5", 400, "outside"},
        {"\"top_k\":1.5", 400, "whole number"},
        {"\"max_tokens\":0", 400, "at least one"},
        {"\"max_tokens\":1,\"max_completion_tokens\":2", 400, "give one"},
        {"\"n\":0", 400, "outside"},
        {"\"n\":17", 400, "outside"},
        {"\"seed\":-2", 400, "outside"},
        {"\"seed\":99999999999999999999", 400, "a seed is at most 2^63 - 1"},
        {"\"stop\":\"\"", 400, "empty"},
        {"\"stop\":[1]", 400, "expected a string"},
        {"\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\",\"d\",\"e\","
         "\"f\",\"g\",\"h\"]",
         400, "more than 16"},
        {"\"top_logprobs\":3", 400, "logprobs"},
        {"\"logprobs\":true,\"top_logprobs\":21", 400, "outside"},
        {"\"logit_bias\":{\"x\":1}", 400, "no token id"},
        {"\"logit_bias\":{\"1000\":1}", 400, "no token id"},
        {"\"logit_bias\":{\"1\":101}", 400, "-100 to 100"},
        {"\"logit_bias\":{\"7\":1,\"07\":2}", 400, "twice"},
        {"\"logit_bias\":[1]", 400, "object"},
        {"\"stream\":1", 400, "true or false"},
        {"\"stream_options\":1", 400, "object"},
        {"\"accept\":\"maybe\"", 400, "coupled"},
        {"\"accept\":\"greedy\"", 400, "temperature 0"},
        {"\"gamma\":33", 400, "outside"},
        {"\"model\":\"other\"", 404, "m:balanced"},
        {"\"model\":\"m:slow\"", 404, "m:fast"},
        {"\"model\":\"mm\"", 404, "there is m"},
        {"\"gamma\":\"many\"", 400, "or \"auto\""},
        {"\"model\":3", 400, "string"},
        {"\"response_format\":{\"type\":\"yaml\"}", 400, "response_format"},
        {"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}", 400, "json_schema"},
        {"\"response_format\":{\"type\":\"json_schema\",\"schema\":[1]}", 400, "expected a JSON schema"},
        {"\"response_format\":{\"type\":\"regex\",\"pattern\":3}", 400, "expected a string"},
        {"\"grammar\":\"root ::= x\",\"regex\":\"x\"", 400, "leave one out"},
        {"\"format\":\"json\",\"guided_json\":{\"type\":\"null\"}", 400, "leave one out"},
        {"\"guided_choice\":[1]", 400, "expected a string"},
        {"\"structured_outputs\":3", 400, "expected an object"},
        {"\"format\":\"xml\"", 400, "format"},
        {"\"json_whitespace\":\"some\",\"format\":\"json\"", 400, "compact or any"},
        {"\"regex\":\"x\",\"ignore_eos\":true", 400, "ignore_eos"},
        {"\"ebnf\":\"root\"", 400, "grammar"},
        {"\"mirostat\":2", 400, "not supported"},
        {"\"min_tokens\":3", 400, "not supported"},
        {"\"repeat_penalty\":1.1,\"repetition_penalty\":1.2", 400, "give one"},
        {"\"stop\":\"a\",\"stop\":\"b\"", 400, "duplicate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[512];
        snprintf(body, sizeof body, "{%s," HI "}", cases[i].field);
        bad(true, body, cases[i].status, cases[i].words);
    }
}

/* What the text must look like: every name for it. */
static void test_shapes(void **state) {
    (void)state;
    static const struct {
        const char *field;
        vbs_shape_kind kind;
        const char *text;
    } cases[] = {
        {"\"response_format\":{\"type\":\"text\"}", VBS_SHAPE_NONE, NULL},
        {"\"response_format\":{\"type\":\"json_object\"}", VBS_SHAPE_OBJECT, NULL},
        {"\"response_format\":{\"type\":\"json_object\",\"schema\":{\"type\":\"null\"}}", VBS_SHAPE_SCHEMA,
         "{\"type\":\"null\"}"},
        {"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"schema\":{\"b\":1,"
         "\"a\":2}}}",
         VBS_SHAPE_SCHEMA, "{\"b\":1,\"a\":2}"},
        {"\"response_format\":{\"type\":\"grammar\",\"grammar\":\"root ::= x\"}", VBS_SHAPE_GBNF,
         "root ::= x"},
        {"\"json_schema\":{\"type\":\"null\"}", VBS_SHAPE_SCHEMA, "{\"type\":\"null\"}"},
        {"\"json_schema\":{}", VBS_SHAPE_NONE, NULL},
        {"\"guided_json\":\"{}\"", VBS_SHAPE_SCHEMA, "{}"},
        {"\"guided_choice\":[\"a.b\",\"c\"]", VBS_SHAPE_REGEX, "a\\.b|c"},
        {"\"structured_outputs\":{\"regex\":\"[ab]\"}", VBS_SHAPE_REGEX, "[ab]"},
        {"\"grammar_string\":\"root ::= x\"", VBS_SHAPE_GBNF, "root ::= x"},
        {"\"format\":\"json\"", VBS_SHAPE_OBJECT, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vbs_ask a;
        char body[512];
        snprintf(body, sizeof body, "{%s," HI "}", cases[i].field);
        good(true, body, &a);
        assert_int_equal(a.shape, cases[i].kind);
        if (cases[i].text) assert_string_equal(a.shape_text, cases[i].text);
        assert_int_equal(json_array_size(a.warnings), 0);
        vbs_ask_close(&a);
    }
}

static void test_messages(void **state) {
    (void)state;
    vbs_ask a;
    vbs_problem p;
    vbs_terms t = terms();
    good(true,
         "{\"messages\":[{\"role\":\"developer\",\"content\":\"d\"},{\"role\":\"user\",\"content\":[{"
         "\"type\":\"text\","
         "\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\",\"content\":null},"
         "{\"role\":\"user\",\"content\":\"c\",\"name\":\"n\"}]}",
         &a);
    assert_string_equal(
        a.variables,
        "{\"messages\":[{\"role\":\"system\",\"content\":\"d\"},{\"role\":\"user\",\"content\":"
        "\"a\\nb\"},{\"role\":\"assistant\",\"content\":\"\"},{\"role\":\"user\",\"content\":\"c\","
        "\"name\":\"n\"}]}");
    assert_true(a.open_turn && !a.continue_last);
    assert_int_equal(a.n_variables, strlen(a.variables));
    assert_int_equal(json_array_size(a.warnings), 0);
    vbs_ask_close(&a);
    t.system_prompt = "be brief";
    assert_int_equal(ask_with(&a, true, "{" HI "}", &t, &p), 0);
    assert_string_equal(a.variables,
                        "{\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},{\"role\":"
                        "\"user\",\"content\":\"hi\"}]}");
    vbs_ask_close(&a);
    assert_int_equal(ask_with(&a, true,
                              "{\"messages\":[{\"role\":\"system\",\"content\":\"own\"},{\"role\":\"user\","
                              "\"content\":\"x\"}]}",
                              &t, &p),
                     0);
    assert_null(strstr(a.variables, "be brief"));
    vbs_ask_close(&a);
    bad(true, "{}", 400, "expected a list");
    bad(true, "{\"messages\":[]}", 400, "empty");
    bad(true, "{\"messages\":[1]}", 400, "messages[0]");
    bad(true, "{\"messages\":[{\"role\":\"function\",\"content\":\"x\"}]}", 400, "\"function\"");
    bad(true, "{\"messages\":[{\"role\":\"tool\",\"tool_call_id\":\"1\"}]}", 400, "content is missing");
    bad(true, "{\"messages\":[{\"role\":\"user\"}]}", 400, "missing");
    bad(true, "{\"messages\":[{\"role\":\"user\",\"content\":3}]}", 400, "string or a list");
    bad(true, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}", 400,
        "image_url");
    bad(true, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}", 400, "expected");
    bad(true, "{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}]}", 400,
        "calls a tool");
    bad(true, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]}", 400, "not the JSON");
    bad(true, "{\"messages\":[{\"role\":\"user\",\"content\":\"\xFF\"}]}", 400, "not the JSON");
    bad(true, "[1]", 400, "object");
    bad(true, "", 400, "JSON object");
    bad(true, "{\"messages\":", 400, "line 1");
}

static void test_prompts(void **state) {
    (void)state;
    vbs_ask a;
    good(false, "{\"prompt\":[\"a\",\"bc\",[1,2]],\"n\":2,\"logprobs\":0}", &a);
    assert_int_equal(a.n_prompts, 3);
    assert_int_equal(a.prompts[1].len, 2);
    assert_int_equal(a.prompts[2].n, 2);
    assert_true(a.logprobs);
    assert_int_equal(a.n_top, 0);
    vbs_ask_close(&a);
    good(false, "{\"prompt\":[5,6,7]}", &a);
    assert_int_equal(a.n_prompts, 1);
    assert_int_equal(a.prompts[0].ids[2], 7);
    vbs_ask_close(&a);
    good(false, "{\"prompt\":\"x\",\"echo\":false,\"suffix\":null,\"best_of\":1}", &a);
    vbs_ask_close(&a);
    bad(false, "{}", 400, "there is none");
    bad(false, "{\"prompt\":[]}", 400, "expected a string");
    bad(false, "{\"prompt\":[[]]}", 400, "prompt[0]");
    bad(false, "{\"prompt\":[1,\"x\"]}", 400, "element 1");
    bad(false, "{\"prompt\":[1000]}", 400, "0 to 999");
    bad(false, "{\"prompt\":[-1]}", 400, "token id");
    bad(false, "{\"prompt\":[1.5]}", 400, "token id");
    bad(false, "{\"prompt\":3}", 400, "expected a string");
    bad(false, "{\"prompt\":\"x\",\"echo\":true}", 400, "echo");
    bad(false, "{\"prompt\":\"x\",\"suffix\":\"y\"}", 400, "suffix");
    bad(false, "{\"prompt\":\"x\",\"best_of\":3}", 400, "best_of");
    bad(false, "{\"prompt\":\"x\",\"logprobs\":true}", 400, "whole number");
    bad(false, "{\"prompt\":[\"a\",\"b\"],\"n\":9}", 400, "more than 16");
}

static void test_warnings(void **state) {
    (void)state;
    vbs_ask a;
    vbs_problem p;
    vbs_terms t = terms();
    good(true, "{\"frobnicate\":1,\"store\":true,\"nothing\":null,\"grammar\":\"\",\"mirostat\":0," HI "}",
         &a);
    assert_int_equal(json_array_size(a.warnings), 2);
    assert_non_null(strstr(json_string_value(json_array_get(a.warnings, 0)), "frobnicate"));
    vbs_ask_close(&a);
    t.ignore_tools = true;
    assert_int_equal(ask_with(&a, true, "{\"tools\":[{}],\"tool_choice\":\"auto\"," HI "}", &t, &p), 0);
    assert_int_equal(json_array_size(a.warnings), 1);
    assert_null(a.tools);
    vbs_ask_close(&a);
    bad_with(true, "{\"tools\":[{}],\"tool_choice\":\"required\"," HI "}", 400, "ignores tools", &t);
    bad_with(true, "{\"tools\":[{}],\"tool_choice\":{\"type\":\"function\"}," HI "}", 400, "expected none",
             &t);
}

static void test_without_draft(void **state) {
    (void)state;
    vbs_ask a;
    vbs_problem p;
    vbs_terms t = terms();
    t.has_draft = false;
    assert_int_equal(ask_with(&a, true, "{\"model\":\"m:off\"," HI "}", &t, &p), 0);
    assert_int_equal(a.gamma, 0);
    vbs_ask_close(&a);
    bad_with(true, "{\"model\":\"m:fast\"," HI "}", 404, "no draft", &t);
    bad_with(true, "{\"gamma\":2," HI "}", 400, "nobody drafts", &t);
}

static void test_trees(void **state) {
    (void)state;
    vbs_ask a;
    vbs_problem p;
    vbs_terms t = terms();
    t.draft = "draft.gguf";
    assert_int_equal(ask_with(&a, true, "{\"tree\":\"3,2\",\"accept\":\"rejection\"," HI "}", &t, &p), 0);
    assert_true(a.tree[0] == 3 && a.tree[1] == 2 && a.tree[2] == 0 && a.gamma == 9);
    vbs_ask_close(&a);
    bad_with(true, "{\"tree\":\"3,2\",\"accept\":\"block\"," HI "}", 400, "judges chains", &t);
    bad_with(true, "{\"tree\":\"3,2\",\"gamma\":2," HI "}", 400, "a size of its own", &t);
    bad_with(true, "{\"tree\":\"30,2\"," HI "}", 400, "more than 32", &t);
    bad_with(true, "{\"tree\":3," HI "}", 400, "expected a string", &t);
    t.tree[0] = 4; /* the server's own: a gamma, a preset, block verification and \"off\" ask for chains */
    t.gamma = 4;
    static const struct {
        const char *fields;
        int tree, gamma;
    } with[] = {{"", 4, 4},
                {"\"gamma\":2,", 0, 2},
                {"\"model\":\"m:fast\",", 0, 3},
                {"\"accept\":\"block\",", 0, 4},
                {"\"tree\":\"off\",", 0, 4},
                {"\"tree\":\"1,2\",\"model\":\"m:off\",", 1, 3}};
    for (size_t i = 0; i < sizeof with / sizeof *with; i++) {
        char body[200];
        snprintf(body, sizeof body, "{%s" HI "}", with[i].fields);
        assert_int_equal(ask_with(&a, true, body, &t, &p), 0);
        assert_int_equal(a.tree[0], with[i].tree);
        assert_int_equal(a.gamma, with[i].gamma);
        vbs_ask_close(&a);
    }
    t = terms();
    bad_with(true, "{\"tree\":\"2\"," HI "}", 400, "without -md", &t);
}

static void test_depth(void **state) {
    (void)state;
    char body[300000];
    size_t n = 0;
    n += (size_t)snprintf(body, sizeof body, "{\"x\":");
    for (int i = 0; i < 140000; i++) body[n++] = '[';
    for (int i = 0; i < 140000; i++) body[n++] = ']';
    body[n] = 0;
    bad(true, body, 400, "deeper");
    bad(true, "{\"x\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}", 400, "expected a list");
}

static void test_choice_seeds(void **state) {
    (void)state;
    assert_true(vbs_choice_seed(5, 0) == 5);
    assert_true(vbs_choice_seed(UINT64_MAX, 0) == UINT64_MAX);
    for (int i = 1; i < 16; i++) {
        assert_true(vbs_choice_seed(5, i) < (UINT64_C(1) << 53));
        for (int k = 0; k < i; k++) assert_true(vbs_choice_seed(5, i) != vbs_choice_seed(5, k));
        assert_true(vbs_choice_seed(5, i) != vbs_choice_seed(6, i - 1));
    }
}

static void test_hosts(void **state) {
    (void)state;
    static const char *const names[] = {"box"};
    vbs_server_params p = {.host = "127.0.0.1", .hosts = names, .n_hosts = 1};
    vbs_problem problem;
    static const char *const right[] = {"localhost",
                                        "localhost:8000",
                                        "LOCALHOST:1",
                                        "127.0.0.1:8000",
                                        "[::1]:8000",
                                        "[::1]",
                                        "10.1.2.3",
                                        "app.localhost",
                                        "box:80",
                                        "localhost.",
                                        "host.docker.internal:8000",
                                        "Host.Docker.Internal",
                                        "host.containers.internal"};
    static const char *const wrong[] = {"evil.com",
                                        "evil.com:8000",
                                        "localhost.evil.com",
                                        "",
                                        "127.0.0.1.evil.com",
                                        "localhost:80@evil",
                                        "[::1",
                                        "[localhost]x",
                                        "notlocalhost",
                                        "docker.internal",
                                        "evil.docker.internal",
                                        "host.docker.internal.evil.com",
                                        "ahost.docker.internal",
                                        "127.0.0.1:8000:9"};
    assert_int_equal(vbs_guard_host(&p, NULL, &problem), 0);
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        if (vbs_guard_host(&p, right[i], &problem)) fail_msg("%s was refused", right[i]);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (!vbs_guard_host(&p, wrong[i], &problem)) fail_msg("%s was let in", wrong[i]);
        assert_int_equal(problem.status, 403);
    }
}

static void test_origins(void **state) {
    (void)state;
    static const char *const one[] = {"https://app.example"}, *const all[] = {"*"}, *const keys[] = {"k"};
    vbs_server_params p = {.host = "127.0.0.1"};
    vbs_problem problem;
    const char *allow;
    assert_int_equal(vbs_guard_origin(&p, NULL, "localhost", &allow, &problem), 0);
    assert_string_equal(allow, "*");
    static const char *const local[] = {
        "http://localhost:3000",   "http://127.0.0.1",         "http://[::1]:5173",
        "http://192.168.1.5:8000", "app://obsidian.md",        "tauri://localhost",
        "vscode-webview://1a2b3c", "vscode-file://vscode-app", "http://tauri.localhost"};
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++) {
        if (vbs_guard_origin(&p, local[i], "192.168.1.5:8000", &allow, &problem))
            fail_msg("%s was refused", local[i]);
        assert_string_equal(allow, local[i]);
    }
    static const char *const foreign[] = {"https://evil.com",
                                          "null",
                                          "http://127.evil.com",
                                          "file://",
                                          "http://localhost.evil.com",
                                          "https://app.example",
                                          "http://192.168.1.6:8000",
                                          "https://app.evil.com",
                                          "application://x",
                                          "chrome-extension://abc",
                                          "app:",
                                          "https://vscode-webview.evil.com"};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        if (!vbs_guard_origin(&p, foreign[i], "192.168.1.5:8000", &allow, &problem))
            fail_msg("%s was let in", foreign[i]);
        assert_null(allow);
    }
    p.origins = one;
    p.n_origins = 1;
    assert_int_equal(vbs_guard_origin(&p, "https://app.example", "localhost", &allow, &problem), 0);
    assert_int_equal(vbs_guard_origin(&p, "https://app.example.evil", "localhost", &allow, &problem), -1);
    p.origins = all;
    assert_int_equal(vbs_guard_origin(&p, "https://evil.com", "localhost", &allow, &problem), 0);
    p = (vbs_server_params){.keys = keys, .n_keys = 1}; /* who has the key may */
    assert_int_equal(vbs_guard_origin(&p, "https://evil.com", "localhost", &allow, &problem), 0);
}

static void test_keys(void **state) {
    (void)state;
    static const char *const keys[] = {"secret", "other-key"};
    vbs_server_params p = {.keys = keys, .n_keys = 2};
    vbs_problem problem;
    assert_int_equal(vbs_guard_key(&p, "Bearer secret", NULL, &problem), 0);
    assert_int_equal(vbs_guard_key(&p, "bearer other-key", NULL, &problem), 0);
    assert_int_equal(vbs_guard_key(&p, NULL, "secret", &problem), 0);
    static const char *const wrong[] = {"Bearer secre", "Bearer secrets", "Bearer ",
                                        "Basic secret", "secret",         "Bearer Secret"};
    for (size_t i = 0; i < 6; i++) {
        if (!vbs_guard_key(&p, wrong[i], NULL, &problem)) fail_msg("%s was let in", wrong[i]);
        assert_int_equal(problem.status, 401);
    }
    assert_int_equal(vbs_guard_key(&p, NULL, NULL, &problem), -1);
    p.n_keys = 0;
    assert_int_equal(vbs_guard_key(&p, NULL, NULL, &problem), 0);
}

static void check_dump(json_t *v, const char *want) {
    size_t n;
    char *text = vbs_json_dump(v, &n);
    assert_non_null(text);
    assert_string_equal(text, want);
    assert_int_equal(n, strlen(want));
    free(text);
    json_decref(v);
}

static void test_json_text(void **state) {
    (void)state;
    check_dump(json_pack("[f,f,f,f,f,i,b,n]", 0.8, 1.0, -0.0, 1e300, 0.1 + 0.2, -3, 1), //
               "[0.8,1.0,-0.0,1e+300,0.30000000000000004,-3,true,null]");
    check_dump(json_pack("{s{s[]}}", "a", "b"), "{\"a\":{\"b\":[]}}");
    check_dump(vbs_json_text("a\"\\\n\x01\x7F\xC3\xA9\xFF", 9),
               "\"a\\\"\\\\\\n\\u0001\x7F\xC3\xA9\xEF\xBF\xBD\"");
    check_dump(vbs_json_text("\b\f\r\t\x1F", 5), "\"\\b\\f\\r\\t\\u001F\"");
    check_dump(vbs_json_real(NAN), "null");
    check_dump(vbs_json_text("\xE2\x82", 2), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
    check_dump(vbs_json_bytes("\x00\xFF", 2), "[0,255]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),       cmocka_unit_test(test_fields),
        cmocka_unit_test(test_refused_fields), cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_messages),       cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_warnings),       cmocka_unit_test(test_trees),
        cmocka_unit_test(test_without_draft),  cmocka_unit_test(test_depth),
        cmocka_unit_test(test_choice_seeds),   cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_origins),        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_json_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
