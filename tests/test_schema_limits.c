/* test_schema_limits.c - JSON schemas that blow up: each is compiled or refused by what it is, within a
 * second and 64 MB. Work is counted by the compiler; what it forgets to count shows here as time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/buf.h"
#include "grammar/grammar.h"
#include "grammar/schema.h"

/* Sanitizers look at every step, which takes its time. */
#ifdef __has_feature
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif
#if SANITIZED || defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { CHECKED = 1 };
#else
enum { CHECKED = 0 };
#endif

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A text, or n parts made of their number: before, part 0, between, part 1, ..., after. %d is the number. */
typedef struct blow_up {
    const char *before, *part, *between, *after;
    int n;
    bool compiles;
} blow_up;

/* Up to 50 words */
#define WORDS "^(?:\\\\S+\\\\s+){0,49}\\\\S+$"

static const blow_up CASES[] = {
    {"{\"type\":\"string\",\"pattern\":\"((a{1,30}){1,30}){1,30}\"}", NULL, NULL, NULL, 0, false},
    {"{\"type\":\"string\",\"pattern\":\"([a-z]{1,60}-?){1,60}\"}", NULL, NULL, NULL, 0, false},
    {"{\"type\":\"string\",\"pattern\":\"^(a{0,40}b{0,40}c{0,40}){0,40}$\"}", NULL, NULL, NULL, 0, false},
    {"{\"type\":\"string\",\"pattern\":\"(a|b)*a(a|b){40}\"}", NULL, NULL, NULL, 0, false},
    {"{\"type\":\"string\",\"pattern\":\".*a.{30}b.*c.{30}\"}", NULL, NULL, NULL, 0, false},
    {"{\"type\":\"string\",\"pattern\":\"(", "w%dz", "|", ")\"}", 1000, false},
    {"{\"type\":\"object\",\"patternProperties\":{", "\".*%d.{9}\":{}", ",", "}}", 10, false},
    {"{\"anyOf\":[", "{\"minimum\":%d.5,\"maximum\":%d.75}", ",", "]}", 390, false},
    {"{\"anyOf\":[", "{\"minimum\":%d.5,\"maximum\":%d.75}", ",", "]}", 150, true},
    {"{\"oneOf\":[", "{\"minimum\":-%d,\"maximum\":%d.25}", ",", "]}", 60, false},
    {"{\"type\":\"array\",\"items\":false,\"prefixItems\":[", "{\"type\":\"integer\",\"minimum\":%d}", ",",
     "]}", 3000, false},
    {"{\"enum\":[", "%d.25", ",", "]}", 200000, false},
    {"{\"enum\":[", "%d.25", ",", "]}", 2000, true},
    {"{\"not\":{\"enum\":[", "%d", ",", "]}}", 150, true},
    {"{\"not\":{\"enum\":[", "%d", ",", "]}}", 3000, false},
    {"{\"not\":{\"enum\":[", "\"word %d\"", ",", "]}}", 20000, false},
    {"{\"enum\":[", "\"word %d\"", ",", "]}", 50000, false},
    {"{\"allOf\":[", "{\"not\":{\"multipleOf\":29%02d}}", ",", "]}", 20, false},
    {"{\"enum\":[", "\"word %d\"", ",", "]}", 2000, true},
    {"{\"type\":\"object\",\"properties\":{", "\"p%d\":{\"type\":\"string\",\"maxLength\":%d}", ",", "}}",
     3000, true},
    {"{\"type\":\"string\",\"pattern\":\"^(a|b){0,5}c[a-z]{5,90}$\"}", NULL, NULL, NULL, 0, true},
    /* A pattern beside a length, whose product has tens of thousands of states that nobody asked for yet */
    {"{\"type\":\"string\",\"minLength\":1,\"maxLength\":500,\"pattern\":\"" WORDS "\"}", NULL, NULL, NULL, 0,
     true},
    {"{\"type\":\"string\",\"minLength\":450,\"maxLength\":500,\"pattern\":\"" WORDS "\"}", NULL, NULL, NULL,
     0, true},
    {"{\"type\":\"string\",\"format\":\"email\",\"maxLength\":5000}", NULL, NULL, NULL, 0, true},
    /* Whether 400 b can still follow takes too long to find out behind 91 a: it is refused before the text */
    {"{\"type\":\"string\",\"maxLength\":490,\"pattern\":\"^a*b{400}$\"}", NULL, NULL, NULL, 0, false},
    {"{\"type\":\"string\",\"maxLength\":2500,\"pattern\":\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq\"}",
     NULL, NULL, NULL, 0, false},
    {"{\"type\":\"object\",\"properties\":{",
     "\"p%d\":{\"type\":\"string\",\"maxLength\":5%02d,\"pattern\":\"" WORDS "\"}", ",", "}}", 40, true},
};

static void write_case(const blow_up *c, vb_buf *text) {
    vb_buf_addf(text, "%s", c->before);
    for (int i = 0; i < c->n; i++) {
        if (i) vb_buf_addf(text, "%s", c->between);
        for (const char *s = c->part; *s;) {
            const char *number = strchr(s, '%');
            const size_t plain = number ? (size_t)(number - s) : strlen(s);
            vb_buf_add(text, s, plain);
            s += plain;
            if (!number) break;
            vb_buf_addf(text, s[1] == '0' ? "%02d" : "%d", i);
            s = strchr(s, 'd') + 1;
        }
    }
    if (c->after) vb_buf_addf(text, "%s", c->after);
}

static void blow_ups(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const blow_up *c = &CASES[i];
        vb_buf text = {0};
        vb_error err = {0};
        vb_grammar *g = NULL;
        vbg_ir *ir;
        vbg_node root;
        write_case(c, &text);
        assert_int_equal(vb_buf_done(&text, "a schema", &err), 0);
        const double from = cpu_seconds();
        assert_int_equal(vbg_ir_new(&ir, &err), 0);
        int rc = vbj_schema_compile(ir, text.s, text.n, NULL, &root, &err);
        if (!rc) rc = vbg_ir_finish(ir, root, &g, &err);
        const double took = cpu_seconds() - from;
        printf("# %.60s: %.0f ms, %.1f MB%s%.50s\n", text.s, 1e3 * took, (double)ir->bytes / 1e6,
               rc ? ": " : "", err.message);
        if ((rc == 0) != c->compiles) fail_msg("%.80s: %s", text.s, rc ? err.message : "compiles");
        if (rc && !strstr(err.message, "too much memory or time") &&
            !strstr(err.message, "cannot be expressed") && !strstr(err.message, "too large beside"))
            fail_msg("%.80s: %s", text.s, err.message);
        assert_true(ir->bytes <= VBG_MAX_BYTES);
        assert_true(took < (CHECKED ? 4 : 1));
        if (g)
            vb_grammar_close(g);
        else
            vbg_ir_free(ir);
        vb_buf_free(&text);
    }
}

/* The reader of JSON holds integers of 64 bits. A larger one is refused with the way out in the message, and
 * not read as the double beside it; within 64 bits the last digit counts. */
static void large_integers(void **state) {
    (void)state;
    const char least[] = "{\"type\":\"integer\",\"minimum\":9223372036854775807}";
    const struct {
        const char *schema, *refused;
    } cases[] = {{"{\"minimum\":-9223372036854775809}", "line 1, column"},
                 {"{\"maximum\":18446744073709551615}", "within 64 bits; with an exponent"},
                 {"{\"maximum\":1e999}", "real number overflow"},
                 {"{\"maximum\":1.8446744073709552e19}", NULL},
                 {least, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vb_error err = {0};
        vb_grammar *g = NULL;
        int rc =
            vb_grammar_open(&g, VB_GRAMMAR_JSON_SCHEMA, cases[i].schema, strlen(cases[i].schema), NULL, &err);
        assert_int_equal(rc, cases[i].refused ? VB_ERR_FORMAT : 0);
        if (rc && !strstr(err.message, cases[i].refused)) fail_msg("%s: %s", cases[i].schema, err.message);
        for (int k = 0; k < 2 && cases[i].schema == least; k++) {
            const char *number = k ? "9223372036854775806" : "9223372036854775807";
            uint64_t next[4];
            bool complete;
            size_t valid;
            assert_int_equal(vb_grammar_text(g, number, strlen(number), next, &complete, &valid, NULL), 0);
            assert_int_equal(complete && valid == strlen(number), k == 0);
        }
        vb_grammar_close(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(blow_ups), cmocka_unit_test(large_integers)};
    return cmocka_run_group_tests_name("schema_limits", tests, NULL, NULL);
}
