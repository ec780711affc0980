/* test_chat_language.c - the template language: what expressions and statements give, as Jinja2 and Python
 * have it; what raises, what is left out, what the limits stop. The expectations were computed by Jinja2
 * 3.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "include/verbatim.h"

#include <stdlib.h>
#include <string.h>

static const char variables[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \" Hi \"}, {\"role\": \"assistant\", \"content\": "
    "\"Yo\"}],"
    " \"n\": 3, \"big\": 12345678901234567890, \"neg\": -0.0, \"d\": {\"b\": 1, \"a\": [1, 2.5, null, true]},"
    " \"s\": \"Stra\u00dfe\", \"items\": {\"items\": 7}}";

/* The text of a template, or NULL with the error's code in *rc and its message in *err. */
static char *rendered(const char *template, size_t n, int *rc, vb_error *err) {
    static const int date[6] = {2024, 2, 29, 13, 5, 9};
    const vb_chat_request r = {.variables = variables, .n_variables = strlen(variables), .date = date};
    vb_chat *c = NULL;
    vb_prompt p = {0};
    *rc = vb_chat_open_text(&c, template, n, "t", err);
    if (*rc == VB_OK) *rc = vb_chat_render(c, NULL, &r, &p, err);
    vb_chat_close(c);
    free(p.spans);
    return p.text;
}

typedef struct expectation {
    const char *template, *text;
} expectation;

static void expect(const expectation *e, size_t n) {
    for (size_t i = 0; i < n; i++) {
        vb_error err;
        int rc;
        char *text = rendered(e[i].template, strlen(e[i].template), &rc, &err);
        if (rc) fail_msg("%s: %s", e[i].template, err.message);
        if (strcmp(text, e[i].text) != 0)
            fail_msg("%s gives\n%s\nand not\n%s", e[i].template, text, e[i].text);
        vb_free(text);
    }
}
#define EXPECT(...)                                                                                          \
    expect((const expectation[]){__VA_ARGS__},                                                               \
           sizeof((const expectation[]){__VA_ARGS__}) / sizeof(expectation))

static void fails(const char *template, int code, const char *what) {
    vb_error err;
    int rc;
    char *text = rendered(template, strlen(template), &rc, &err);
    if (!rc) fail_msg("%s gives %s", template, text);
    if (rc != code || !strstr(err.message, what)) fail_msg("%s: %d, %s", template, rc, err.message);
}

static void test_numbers(void **state) {
    (void)state;
    EXPECT({"{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }}",
            "3 -4 2 3.5 1024 0.5"},
           {"{{ 1e16 }} {{ 1e15 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ neg }} {{ 1.0 }}",
            "1e+16 1000000000000000.0 0.30000000000000004 1e-05 -0.0 1.0"},
           {"{{ big }} {{ big == 12345678901234567890 }} {{ -big }} {{ 9223372036854775807 }}",
            "12345678901234567890 True -12345678901234567890 9223372036854775807"},
           {"{{ true + 1 }} {{ 1 == 1.0 == true }} {{ {1: 'a'}[1.0] }}", "2 True a"},
           {"{{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 42|round }} {{ 1.2|round(0, 'ceil') }}",
            "2.0 4.0 2.67 42 2.0"},
           {"{{ '12'|int }} {{ ' 0x1f '|int(0, 16) }} {{ '1e3'|int }} {{ 'x'|int(7) }} {{ '1.5'|float }}",
            "12 31 1000 7 1.5"},
           {"{{ ('0' * 600 ~ '1.5')|float }} {{ ('9' * 30)|int }}", "1.5 999999999999999999999999999999"},
           {"{{ 5.5 // 2 }} {{ -5.5 % 2 }} {{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }}", "2.0 0.5 True False"});
    fails("{{ 9223372036854775807 + 1 }}", VB_ERR_UNSUPPORTED, "64 bits");
    fails("{{ big * 2 }}", VB_ERR_UNSUPPORTED, "64 bits");
    fails("{{ 1 / 0 }}", VB_ERR_ARGUMENT, "division by zero");
    fails("{{ 'a' + 1 }}", VB_ERR_ARGUMENT, "can only concatenate str");
}

static void test_text(void **state) {
    (void)state;
    EXPECT(
        {"{{ s|upper }} {{ s|length }} {{ s[4] }} {{ s[-2:] }} {{ s[::-1] }}",
         "STRASSE 6 \u00df \u00dfe e\u00dfartS"},
        {"{{ ' a\u3000\x1f '|trim }}|{{ 'xxax'.strip('x') }}|{{ 'a  b'.split() }}|{{ 'a,b,'.split(',') }}",
         "a|a|['a', 'b']|['a', 'b', '']"},
        {"{{ \"it's\" ~ [\"it's\", 'q\"', '\\n', '\u00e9\u2028'] }}",
         "it's[\"it's\", 'q\"', '\\n', '\u00e9\\u2028']"},
        {"{{ '%s|%5.1f|%-3d|%03d|%x' % ('a', 2.25, 7, 5, 255) }}", "a|  2.2|7  |005|ff"},
        {"{{ 'hello world'|title }} {{ 'hELLO'|capitalize }} {{ 'ab'.replace('', '-') }}",
         "Hello World Hello -a-b-"},
        {"{{ 'a\nb'|indent }}|{{ 'abc def ghi'|truncate(5, leeway=0) }}|{{ 'x' * 3 }}", "a\n    b|ab...|xxx"},
        {"{{ '{}-{1}'|length }}{{ '{0}-{name}'.format('a', name='b') }}{{ '{:>4}|{:.2f}'.format('x', 1.005) "
         "}}",
         "6a-b   x|1.00"},
        {"{{ '\u03a3\u0391\u03a3'|lower }} {{ 'a' in 'abc' }} {{ 'abc'.find('c') }} {{ 'b' < 'a' }}",
         "\u03c3\u03b1\u03c2 True 2 False"});
}

static void test_containers(void **state) {
    (void)state;
    EXPECT({"{{ d }}", "{'b': 1, 'a': [1, 2.5, None, True]}"},
           {"{{ d|tojson }} {{ d|tojson(sort_keys=true, separators=(',', ':')) }}",
            "{\"b\": 1, \"a\": [1, 2.5, null, true]} {\"a\":[1,2.5,null,true],\"b\":1}"},
           {"{{ [s, '<']|tojson }} {{ [s]|tojson(ensure_ascii=true) }}",
            "[\"Stra\u00dfe\", \"<\"] [\"Stra\\u00dfe\"]"},
           {"{{ {'a': [1]}|tojson(indent=2) }}", "{\n  \"a\": [\n    1\n  ]\n}"},
           {"{{ items['items'] }} {{ d.items()|list }} {{ d|dictsort }}",
            "7 [('b', 1), ('a', [1, 2.5, None, True])] [('a', [1, 2.5, None, True]), ('b', 1)]"},
           {"{{ [3, 1, 2]|sort(reverse=true) }} {{ ['B', 'a']|sort }} {{ ['B', 'b']|unique|list }} {{ [1, "
            "2]|sum }}",
            "[3, 2, 1] ['a', 'B'] ['B'] 3"},
           {"{{ messages|map(attribute='role')|join(',') }} {{ messages|selectattr('role', 'equalto', "
            "'user')|list|length }}",
            "user,assistant 1"},
           {"{{ (1,) }} {{ () }} {{ range(3) }} {{ range(3)|list }} {{ range(5)|batch(2)|list }}",
            "(1,) () range(0, 3) [0, 1, 2] [[0, 1], [2, 3], [4]]"},
           {"{{ [1, 2, 3][1:] }} {{ [1, 2, 3][::-2] }} {{ [1] + [2] }} {{ 2 in [1, 2] }} {{ dict(a=1) }}",
            "[2, 3] [3, 1] [1, 2] True {'a': 1}"},
           {"{{ nothing }}|{{ d.nothing }}|{{ nothing is defined }}|{{ nothing|default('x') }}|{{ none.x "
            "}}|{{ 'a' if false }}|",
            "||False|x|||"},
           {"{{ [].append is defined }} {{ d.pop is defined }}", "False False"});
    fails("{{ [].append(1) }}", VB_ERR_ARGUMENT, "unsafe");
    fails("{{ d.update({}) }}", VB_ERR_ARGUMENT, "unsafe");
    fails("{{ nothing.x }}", VB_ERR_ARGUMENT, "'nothing' is undefined");
    fails("{{ nothing + 1 }}", VB_ERR_ARGUMENT, "'nothing' is undefined");
    fails("{{ nothing|tojson }}", VB_ERR_ARGUMENT, "not JSON serializable");
    fails("{{ d[[]] + 1 }}", VB_ERR_ARGUMENT, "no such element");
}

static void test_statements(void **state) {
    (void)state;
    EXPECT(
        {"{% for m in messages %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ m.role }};{% endfor %}",
         "1TrueFalseuser;2FalseTrueassistant;"},
        {"{% for k, v in d.items() %}{{ k }}{% else %}none{% endfor %}{% for x in [] %}{% else %}none{% "
         "endfor %}",
         "banone"},
        {"{% for i in range(5) if i % 2 %}{{ i }}{{ loop.length }}{% if i == 3 %}{% break %}{% endif %}{% "
         "endfor %}",
         "1232"},
        {"{% set x = 1 %}{% for i in [1, 2] %}{% set x = i %}{% endfor %}{{ x }}{% if true %}{% set x = 5 "
         "%}{% endif %}{{ x }}",
         "15"},
        {"{% set ns = namespace(x=0) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
         "3"},
        {"{% macro f(a, b=a) %}{{ a }}{{ b }}{{ varargs }}{% endmacro %}{{ f(1) }}{{ f(1, 2, 3) }}",
         "11()12(3,)"},
        {"{% macro f() %}<{{ caller(1) }}>{% endmacro %}{% call(x) f() %}{{ x + 1 }}{% endcall %}", "<2>"},
        {"{% set x %} a {% endset %}{{ x|trim }}{% filter upper %}b{% endfilter %}{% with y = 2 %}{{ y }}{% "
         "endwith %}{{ y }}",
         "aB2"},
        {"{% for a in [1, [2, [3]]] recursive %}{{ loop(a) if a is not number else a }}{{ loop.depth }};{% "
         "endfor %}",
         "11;22;33;2;1;"},
        {"  {% if true %}\n  a\n  {% endif %}\nb\n", "  a\nb"},
        {"a\n  {%- if true -%}  \n b {%- endif %}\n\nc\n\n", "ab\nc\n"},
        {"a {%+ if true +%}\nb{% endif %}{# c #}\n{% raw %}{{ x }}{% endraw %}", "a \nb{{ x }}"},
        {"{% generation %}a{% endgeneration %}{{ strftime_now('%d %b %Y %H:%M %A') }}",
         "a29 Feb 2024 13:05 Thursday"},
        {"{% for i in [1] %}{% continue %}{% else %}x{% endfor %}", "x"},
        {"{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{{ loop.cycle('a', 'b') }}{{ loop.previtem }}{{ "
         "loop.nextitem }}{% endfor %}",
         "Truea1Falseb12Truea1"});
    fails("{{ raise_exception('no ' ~ n) }}", VB_ERR_ARGUMENT, "t, line 1: no 3");
    fails("a\n{% if x %}\n", VB_ERR_FORMAT, "t, line");
    fails("{{ 1 | nosuch }}", VB_ERR_FORMAT, "No filter named 'nosuch'");
    fails("{% if true %}{{ 1 | nosuch }}{% endif %}", VB_ERR_ARGUMENT, "No filter named 'nosuch' found");
    fails("{% nosuch %}", VB_ERR_FORMAT, "unknown tag 'nosuch'");
    fails("{% include 'x' %}", VB_ERR_FORMAT, "include");
    fails("{{ [1]|random }}", VB_ERR_UNSUPPORTED, "random");
    fails("{{ 'a'.encode() }}", VB_ERR_UNSUPPORTED, "encode");
}

/* Text that a template puts before, between and behind turns is there, which recognising by pieces
 * overlooked. */
static void test_literals(void **state) {
    (void)state;
#define TURN "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>"
    EXPECT({"before{% for m in messages %}" TURN "{% endfor %}",
            "before<|im_start|>user\n Hi <|im_end|><|im_start|>assistant\nYo<|im_end|>"},
           {"{% for m in messages %}" TURN "between{% endfor %}behind",
            "<|im_start|>user\n Hi <|im_end|>between<|im_start|>assistant\nYo<|im_end|>betweenbehind"},
           {"{% for m in messages|reverse %}{{ m.role }}{% endfor %}{% for m in messages[-1:] %}{{ m.role "
            "}}{% endfor %}",
            "assistantuserassistant"},
           {"{% set system = 'S' %}{% for m in messages %}{% if loop.first %}{{ system }}{% endif %}{{ "
            "m.role }}{% endfor %}",
            "Suserassistant"});
}

/* A template is a stranger's program: it ends. */
static void test_limits(void **state) {
    (void)state;
    char *deep = malloc(400001);
    vb_error err;
    int rc;
    static const char *const patterns[] = {"(", "[", "not ", "-", "{% if x %}", "a.", "{{", "1 + ", "{'a':"};
    fails("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
          VB_ERR_UNSUPPORTED, "more than");
    fails("{% set x = 'a' * 3000000 %}{% for i in range(100000) %}{{ 'b' in x }}{% endfor %}",
          VB_ERR_UNSUPPORTED, "steps");
    fails("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", VB_ERR_UNSUPPORTED, "nested");
    fails("{% set ns = namespace(x=[]) %}{% for i in range(5000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ "
          "ns.x }}",
          VB_ERR_UNSUPPORTED, "nested");
    fails("{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
          VB_ERR_UNSUPPORTED, "MiB");
    fails("{{ 'a' * 1000000000000 }}", VB_ERR_UNSUPPORTED, "MiB");
    fails("{{ [0] * 1000000000000 }}", VB_ERR_UNSUPPORTED, "MiB");
    fails("{{ '%1000000000000d' % 1 }}", VB_ERR_UNSUPPORTED, "wider");
    fails("{{ range(100001) }}", VB_ERR_ARGUMENT, "MAX_RANGE");
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        size_t k = strlen(patterns[i]), n = 0;
        const char *head = patterns[i][0] == '{' && patterns[i][1] != '\'' ? "" : "{{ ";
        memcpy(deep, head, strlen(head));
        for (n = strlen(head); n + k < 400000; n += k) memcpy(deep + n, patterns[i], k);
        char *text = rendered(deep, n, &rc, &err);
        assert_null(text);
        assert_int_not_equal(rc, VB_OK);
    }
    free(deep);
    fails("\xff", VB_ERR_FORMAT, "UTF-8");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),    cmocka_unit_test(test_text),     cmocka_unit_test(test_containers),
        cmocka_unit_test(test_statements), cmocka_unit_test(test_literals), cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
