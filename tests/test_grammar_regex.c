/* test_grammar_regex.c - regular expressions against Perl's own (PCRE2), and what is refused. */
#include "grammar/classes.h"
#include "grammar/node.h"
#include "grammar/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utf8proc.h>

static vbg_node build(vbg_ir *ir, const char *pattern, bool search) {
    vbg_regex r;
    vb_error err = {0};
    if (vbg_regex_parse(&r, pattern, strlen(pattern), &err)) fail_msg("%s: %s", pattern, err.message);
    const vbg_node n = vbg_regex_build(ir, &r, search);
    if (vbg_ir_error(ir, &err)) fail_msg("%s: %s", pattern, err.message);
    vbg_regex_free(&r);
    return n;
}

static void check(const char *pattern, bool search, const char *text, bool want) {
    vbg_ir *ir;
    assert_int_equal(vbg_ir_new(&ir, NULL), 0);
    const vbg_node n = build(ir, pattern, search);
    if (vbg_matches(ir, n, text, strlen(text)) != want)
        fail_msg("/%s/%s on \"%s\" should be %d", pattern, search ? " anywhere" : "", text, want);
    vbg_ir_free(ir);
}

static void meanings(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool whole, search;
    } t[] = {
        {"abc", "abc", true, true},
        {"abc", "xabcx", false, true},
        {"^abc", "abcx", false, true},
        {"^abc", "xabc", false, false},
        {"abc$", "xabc", false, true},
        {"^$", "", true, true},
        {"^$", "a", false, false},
        {"a|^b", "cb", false, false},
        {"a|^b", "bc", false, true},
        {"(^|,)x($|,)", "a,x,b", false, true},
        {"(^|,)x($|,)", "axb", false, false},
        {"(^|,)x($|,)", "x", true, true},
        {"(^a)*b", "b", true, true},
        {"(^a)*b", "ab", true, true},
        {"(^a)*b", "aab", false, true},
        {"(^a)+b", "aab", false, false},
        {"(a$)+", "aa", false, true},
        {"x*", "", true, true},
        {"a{2,3}", "aaaa", false, true},
        {"^a{2,3}$", "aaaa", false, false},
        {"^a{2,}?$", "aaaa", true, true},
        {"a{0}b", "b", true, true},
        {"a{x}", "a{x}", true, true},
        {"[^a]", "\xC3\xA9", true, true},
        {"^.$", "\xF0\x9F\x98\x80", true, true},
        {"^.$", "\n", false, false},
        {"^[\\s\\S]$", "\n", true, true},
        {"\\u00e9", "\xC3\xA9", true, true},
        {"\\ud83d\\ude00", "\xF0\x9F\x98\x80", true, true},
        {"\\u{1F600}", "\xF0\x9F\x98\x80", true, true},
        {"^\\d+$", "\xD9\xA1", false, false},
        {"^\\p{Nd}+$", "\xD9\xA1", true, true},
        {"^\\p{Lu}\\P{Lu}$", "Aa", true, true},
        {"^\\p{L}+$", "a\xC3\xA9Z", true, true},
        {"^\\s$", "\xC2\xA0", true, true},
        {"[]a", "a", false, false},
        {"[^]", "\n", true, true},
        {"[a-]", "-", true, true},
        {"[\\d-x]", "-", true, true},
        {"[\\]]", "]", true, true},
        {"(?<year>\\d{4})-(?:0[1-9]|1[0-2])", "2026-11", true, true},
        {"\\/\\-\\.", "/-.", true, true},
        {"\\cJ", "\n", true, true},
        {"^(?:a|b)*?c", "ababc", true, true},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        check(t[i].pattern, false, t[i].text, t[i].whole);
        check(t[i].pattern, true, t[i].text, t[i].search);
    }
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        int code;
        const char *says;
    } t[] = {
        {"a(?=b)", VB_ERR_UNSUPPORTED, "character 2: lookahead"},
        {"(?<!b)", VB_ERR_UNSUPPORTED, "character 1: lookbehind"},
        {"(a)\\1", VB_ERR_UNSUPPORTED, "back references"},
        {"\xC3\xA9\\b", VB_ERR_UNSUPPORTED, "character 3: word boundaries"},
        {"(?i)a", VB_ERR_UNSUPPORTED, "this kind of group"},
        {"(?>a)", VB_ERR_UNSUPPORTED, "atomic"},
        {"a++", VB_ERR_UNSUPPORTED, "possessive"},
        {"[[:alpha:]]", VB_ERR_UNSUPPORTED, "POSIX"},
        {"\\p{Greek}", VB_ERR_UNSUPPORTED, "\\p{...}"},
        {"a{,3}", VB_ERR_UNSUPPORTED, "{0,n}"},
        {"\\012", VB_ERR_UNSUPPORTED, "octal"},
        {"\\ud800", VB_ERR_UNSUPPORTED, "surrogate"},
        {"\\A", VB_ERR_UNSUPPORTED, "escape of a letter"},
        {"(a", VB_ERR_FORMAT, "( without )"},
        {"a)", VB_ERR_FORMAT, "character 2: ) without ("},
        {"[a", VB_ERR_FORMAT, "[ without ]"},
        {"[z-a]", VB_ERR_FORMAT, "below its beginning"},
        {"*a", VB_ERR_FORMAT, "nothing to repeat"},
        {"a{3,2}", VB_ERR_FORMAT, "n below m"},
        {"a\\", VB_ERR_FORMAT, "backslash"},
        {"\\u12", VB_ERR_FORMAT, "hexadecimal"},
        {"\xFF", VB_ERR_FORMAT, "UTF-8"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        vbg_regex r;
        vb_error err = {0};
        assert_int_equal(vbg_regex_parse(&r, t[i].pattern, strlen(t[i].pattern), &err), t[i].code);
        if (!strstr(err.message, t[i].says)) fail_msg("/%s/: %s", t[i].pattern, err.message);
    }
}

/* Emptiness, intersection and complement. */
static void algebra(void **state) {
    (void)state;
    vbg_ir *ir;
    bool yes;
    assert_int_equal(vbg_ir_new(&ir, NULL), 0);
    const vbg_node a = build(ir, "[a-f]{3}", false), b = build(ir, "[e-z]*", false),
                   c = build(ir, "[x-z]+", false);
    assert_int_equal(vbg_has_text(ir, vbg_and(ir, a, b), &yes, NULL), 0);
    assert_true(yes);
    assert_int_equal(vbg_has_text(ir, vbg_and(ir, a, c), &yes, NULL), 0);
    assert_false(yes);
    assert_int_equal(vbg_has_text(ir, vbg_and(ir, a, vbg_not(ir, build(ir, "...", false))), &yes, NULL), 0);
    assert_false(yes);
    assert_true(vbg_matches(ir, vbg_and(ir, a, b), "efe", 3));
    assert_false(vbg_matches(ir, vbg_and(ir, a, b), "efa", 3));
    assert_true(vbg_matches(ir, vbg_and(ir, b, vbg_not(ir, c)), "xya", 3) == false);
    assert_true(vbg_matches(ir, vbg_and(ir, b, vbg_not(ir, c)), "xye", 3));
    vbg_ir_free(ir);
}

/* Every code point's category by name is what utf8proc says of it. */
static void categories(void **state) {
    (void)state;
    static const char *const names[] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd",
                                        "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
                                        "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"};
    for (int k = 0; k < 30; k++) {
        vbg_class c = {0};
        bool known;
        size_t at = 0;
        assert_int_equal(vbg_class_property(&c, names[k], 2, &known, NULL), 0);
        assert_true(known);
        assert_int_equal(vbg_class_finish(&c, false, NULL), 0);
        for (int32_t cp = 0; cp <= 0x10FFFF; cp++) {
            while (at < c.n && c.r[at].hi < (uint32_t)cp) at++;
            const bool in = at < c.n && c.r[at].lo <= (uint32_t)cp;
            if (in != (utf8proc_category(cp) == (utf8proc_category_t)k))
                fail_msg("%s: U+%04X", names[k], (unsigned)cp);
        }
        free(c.r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meanings),
        cmocka_unit_test(refusals),
        cmocka_unit_test(algebra),
        cmocka_unit_test(categories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
