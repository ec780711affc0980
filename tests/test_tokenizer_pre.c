/* The pre-tokenizer patterns: how each family cuts text, and what becomes of text that is not UTF-8.
 *
 * The expected pieces were made with another regular-expression engine (Python's `regex`) from the patterns
 * in the published tokenizer.json files, not with this code. */
#include "tests/tokenizer_util.h"

#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_TEXTS = 7, N_FAMILIES = 15 };

/* clang-format off */
static const char *const texts[] = {"I'Ll pay 12345 Caf\303\251sABC's don'T",
    "a\012\012 b  c   \012 d",
    "x\302\262 \302\275\331\243 12 1234",
    "\344\270\255\346\226\2071314\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252 \355\225\234\352\265\255\354\226\264\077!",
    "/path//to\012//x ...!!\012\012",
    "e\314\201a\314\243\314\201 \340\244\225\340\244\277",
    "    \343\200\200x  "};

/* Pieces, separated by '|'. */
static const struct {
    const char *name;
    const char *pieces[N_TEXTS];
} expected[N_FAMILIES] = {
    {"gpt-2",
     {"I|'|Ll| pay| 12345| Caf\303\251sABC|'s| don|'|T",
      "a|\012\012| b| | c|   \012| d",
      "x|\302\262| \302\275\331\243| 12| 1234",
      "\344\270\255\346\226\207|1314|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| \355\225\234\352\265\255\354\226\264|\077!",
      "/|path|//|to|\012|//|x| ...!!|\012\012",
      "e|\314\201|a|\314\243\314\201| \340\244\225|\340\244\277",
      "    |\343\200\200|x|  "}},
    {"llama-bpe",
     {"I|'Ll| pay| |123|45| Caf\303\251sABC|'s| don|'T",
      "a|\012\012| b| | c|   \012| d",
      "x|\302\262| |\302\275\331\243| |12| |123|4",
      "\344\270\255\346\226\207|131|4|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| \355\225\234\352\265\255\354\226\264|\077!",
      "/path|//|to|\012|//|x| ...!!\012\012",
      "e|\314\201a|\314\243\314\201| \340\244\225|\340\244\277",
      "    |\343\200\200x|  "}},
    {"qwen2",
     {"I|'Ll| pay| |1|2|3|4|5| Caf\303\251sABC|'s| don|'T",
      "a|\012\012| b| | c|   \012| d",
      "x|\302\262| |\302\275|\331\243| |1|2| |1|2|3|4",
      "\344\270\255\346\226\207|1|3|1|4|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| \355\225\234\352\265\255\354\226\264|\077!",
      "/path|//|to|\012|//|x| ...!!\012\012",
      "\303\251\341\272\241|\314\201| \340\244\225|\340\244\277",
      "    |\343\200\200x|  "}},
    {"deepseek-llm",
     {"I|'|Ll| pay| |1|2|3|4|5| Caf|\303\251|sABC|'|s| don|'|T",
      "a|\012|\012| b| | c|   |\012| d",
      "x|\302\262| |\302\275|\331\243| |1|2| |1|2|3|4",
      "\344\270\255\346\226\207|1|3|1|4|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| |\355\225\234\352\265\255\354\226\264|\077!",
      "/|path|//|to|\012|//|x| ...!!|\012|\012",
      "e|\314\201|a|\314\243\314\201 |\340\244\225\340\244\277",
      "    |\343\200\200|x|  "}},
    {"deepseek-coder",
     {"I|'|Ll| pay| |1|2|3|4|5| Caf\303\251sABC|'|s| don|'|T",
      "a|\012|\012| b| | c|   |\012| d",
      "x|\302\262| |\302\275|\331\243| |1|2| |1|2|3|4",
      "\344\270\255\346\226\207|1|3|1|4|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| |\355\225\234\352\265\255\354\226\264|\077!",
      "/|path|//|to|\012|//|x| ...!!|\012|\012",
      "e|\314\201|a|\314\243\314\201| |\340\244\225|\340\244\277",
      "    |\343\200\200|x|  "}},
    {"deepseek-v3",
     {"I|'Ll| pay| |123|45| Caf\303\251sABC|'s| don|'T",
      "a|\012\012| b| | c|   \012| d",
      "x|\302\262| |\302\275\331\243| |12| |123|4",
      "\344\270\255\346\226\207|131|4|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| \355\225\234\352\265\255\354\226\264|\077!",
      "/path|//|to|\012|//|x| ...!!\012\012",
      "e\314\201a\314\243\314\201| \340\244\225\340\244\277",
      "    |\343\200\200x|  "}},
    {"falcon",
     {"I|'|Ll| pay| |123|45| Caf\303\251sABC|'|s| don|'|T",
      "a|\012\012| b| | c|   \012| d",
      "x|\302|\262| \302|\275|\331\243| |12| |123|4",
      "\344\270\255\346\226\207|131|4|\345\255\227\343\201|\262|\343\202\211\343\201\214\343\201\252| \355\225\234\352\265\255\354\226\264|\077!",
      "/|path|//|to|\012|//|x| |...!!|\012\012",
      "e|\314\201|a|\314\243\314\201| \340\244\225|\340\244\277",
      "    |\343\200\200|x|  "}},
    {"starcoder",
     {"I|'|Ll| pay| |1|2|3|4|5| Caf\303\251sABC|'s| don|'|T",
      "a|\012\012| b| | c|   \012| d",
      "x|\302\262| |\302\275|\331\243| |1|2| |1|2|3|4",
      "\344\270\255\346\226\207|1|3|1|4|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| \355\225\234\352\265\255\354\226\264|\077!",
      "/|path|//|to|\012|//|x| ...!!|\012\012",
      "e|\314\201|a|\314\243\314\201| \340\244\225|\340\244\277",
      "    |\343\200\200|x|  "}},
    {"refact",
     {"I|'|Ll| pay| |1|2|3|4|5| Caf\303\251sABC|'s| don|'|T",
      "a|\012\012| b| | c|   \012| d",
      "x|\302\262| |\302\275|\331\243| |1|2| |1|2|3|4",
      "\344\270\255\346\226\207|1|3|1|4|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| \355\225\234\352\265\255\354\226\264|\077!",
      "/|path|//|to|\012|//|x| ...!!|\012\012",
      "e|\314\201|a|\314\243\314\201| \340\244\225|\340\244\277",
      "    |\343\200\200|x|  "}},
    {"mpt",
     {"I|'|Ll| pay| 12345| Caf\303\251sABC|'s| don|'|T",
      "a|\012\012| b| | c|   \012| d",
      "x|\302\262| \302\275\331\243| 12| 1234",
      "\344\270\255\346\226\207|1314|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| \355\225\234\352\265\255\354\226\264|\077!",
      "/|path|//|to|\012|//|x| ...!!|\012\012",
      "\303\251\341\272\241|\314\201| \340\244\225|\340\244\277",
      "    |\343\200\200|x|  "}},
    {"olmo",
     {"I|'|Ll| pay| 12345| Caf\303\251sABC|'s| don|'|T",
      "a|\012\012| b| | c|   \012| d",
      "x|\302\262| \302\275\331\243| 12| 1234",
      "\344\270\255\346\226\207|1314|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| \355\225\234\352\265\255\354\226\264|\077!",
      "/|path|//|to|\012|//|x| ...!!|\012\012",
      "\303\251\341\272\241|\314\201| \340\244\225|\340\244\277",
      "    |\343\200\200|x|  "}},
    {"smollm",
     {"I|'|Ll| pay| |1|2|3|4|5| Caf\303\251sABC|'s| don|'|T",
      "a|\012\012| b| | c|   \012| d",
      "x|\302\262| |\302\275|\331\243| |1|2| |1|2|3|4",
      "\344\270\255\346\226\207|1|3|1|4|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| \355\225\234\352\265\255\354\226\264|\077!",
      "/|path|//|to|\012|//|x| ...!!|\012\012",
      "e|\314\201|a|\314\243\314\201| \340\244\225|\340\244\277",
      "    |\343\200\200|x|  "}},
    {"command-r",
     {"I|'|Ll| pay| |1|2|3|4|5| Caf\303\251sABC|'s| don|'|T",
      "a|\012\012| b| | c|   \012| d",
      "x|\302\262| |\302\275|\331\243| |1|2| |1|2|3|4",
      "\344\270\255\346\226\207|1|3|1|4|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| \355\225\234\352\265\255\354\226\264|\077!",
      "/|path|//|to|\012|//|x| ...!!|\012\012",
      "\303\251\341\272\241|\314\201| \340\244\225|\340\244\277",
      "    |\343\200\200|x|  "}},
    {"tekken",
     {"I|'Ll| pay| |1|2|3|4|5| Caf\303\251s|ABC|'s| don|'T",
      "a|\012\012| b| | c|   \012| d",
      "x|\302\262| |\302\275|\331\243| |1|2| |1|2|3|4",
      "\344\270\255\346\226\207|1|3|1|4|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| \355\225\234\352\265\255\354\226\264|\077!",
      "/path|//|to|\012|//|x| ...!!\012\012",
      "e\314\201a\314\243\314\201| \340\244\225\340\244\277",
      "    |\343\200\200x|  "}},
    {"gpt-4o",
     {"I'Ll| pay| |123|45| Caf\303\251s|ABC's| don'T",
      "a|\012\012| b| | c|   \012| d",
      "x|\302\262| |\302\275\331\243| |12| |123|4",
      "\344\270\255\346\226\207|131|4|\345\255\227\343\201\262\343\202\211\343\201\214\343\201\252| \355\225\234\352\265\255\354\226\264|\077!",
      "/path|//|to|\012|//|x| ...!!\012\012",
      "e\314\201a\314\243\314\201| \340\244\225\340\244\277",
      "    |\343\200\200x|  "}},
};
/* clang-format on */

/* The words of a text, separated by '|', in memory to be freed. */
static char *pieces_of(const char *name, const char *text, size_t len) {
    vb_error err = {0};
    const vb_pre_def *def = vb_pre_find(name, strlen(name));
    vb_pre *pre = NULL;
    vb_splitter *s = NULL;
    const uint32_t *ends;
    char *owned = NULL;
    size_t n, at = 0;
    assert_non_null(def);
    if (vb_pre_open(&pre, def, &err) || vb_splitter_open(&s, pre, &err)) fail_msg("%s", err.message);
    if (def->nfc && vb_nfc(text, len, &text, &len, &owned, &err)) fail_msg("%s", err.message);
    if (vb_split(s, text, len, &ends, &n, &err)) fail_msg("%s", err.message);
    vb_buf out = {0};
    vb_buf_puts(&out, "");
    for (size_t i = 0; i < n; i++) {
        assert_true(ends[i] > at && ends[i] <= len);
        if (i > 0) vb_buf_puts(&out, "|");
        vb_buf_add(&out, text + at, ends[i] - at);
        at = ends[i];
    }
    assert_int_equal(at, len); /* nothing lost */
    assert_false(out.failed);
    vb_splitter_close(s);
    vb_pre_close(pre);
    free(owned);
    return out.s;
}

static void test_pieces(void **state) {
    (void)state;
    for (int f = 0; f < N_FAMILIES; f++) {
        for (int k = 0; k < N_TEXTS; k++) {
            char *got = pieces_of(expected[f].name, texts[k], strlen(texts[k]));
            if (strcmp(got, expected[f].pieces[k]) != 0)
                fail_msg("%s: got      %s\nexpected %s", expected[f].name, got, expected[f].pieces[k]);
            free(got);
        }
    }
}

/* Every family is in the table, and the texts tell apart all families whose rules differ. */
static void test_told_apart(void **state) {
    (void)state;
    int n = 0;
    for (const vb_pre_def *d = vb_pre_defs; d->name; d++, n++)
        assert_ptr_equal(vb_pre_find(d->name, strlen(d->name)), d);
    assert_int_equal(n, N_FAMILIES);
    static const char *const alike[][3] = {{"starcoder", "refact", "smollm"}, {"mpt", "olmo", NULL}};
    for (int a = 0; a < N_FAMILIES; a++) {
        assert_non_null(vb_pre_find(expected[a].name, strlen(expected[a].name)));
        for (int b = a + 1; b < N_FAMILIES; b++) {
            bool same = true, may = false;
            for (int k = 0; k < N_TEXTS; k++)
                same = same && !strcmp(expected[a].pieces[k], expected[b].pieces[k]);
            for (size_t g = 0; g < 2; g++) {
                bool has_a = false, has_b = false;
                for (int i = 0; i < 3 && alike[g][i]; i++) {
                    has_a = has_a || !strcmp(alike[g][i], expected[a].name);
                    has_b = has_b || !strcmp(alike[g][i], expected[b].name);
                }
                may = may || (has_a && has_b);
            }
            if (same != may)
                fail_msg("%s and %s: %s", expected[a].name, expected[b].name,
                         same ? "not told apart" : "differ");
        }
    }
    assert_ptr_equal(vb_pre_find("llama3", 6), vb_pre_find("llama-bpe", 9));
    assert_ptr_equal(vb_pre_find("deepseek-r1-qwen", 16), vb_pre_find("qwen2", 5));
    assert_null(vb_pre_find("default", 7));
    assert_null(vb_pre_find("qwen", 4));
    assert_null(vb_pre_find("", 0));
}

/* U+180E was a space once and PCRE2 still says so; the published patterns' engines do not. */
static void test_white_space(void **state) {
    (void)state;
    char *got = pieces_of("gpt-2", "a \u180e\u180eb", strlen("a \u180e\u180eb"));
    assert_string_equal(got, "a| \u180e\u180e|b");
    free(got);
    got = pieces_of("deepseek-llm", "\u180e\u2028", strlen("\u180e\u2028"));
    assert_string_equal(got, "\u180e|\u2028");
    free(got);
    /* (?i:'s) takes the long s too, as the published pattern does. */
    got = pieces_of("llama-bpe", "a'\u017fb", strlen("a'\u017fb"));
    assert_string_equal(got, "a|'\u017f|b");
    free(got);
}

/* Bytes that are not UTF-8 become words of their own; what is left of them ends as a text would. */
static void test_invalid(void **state) {
    (void)state;
    static const struct {
        const char *text, *pieces;
    } c[] = {
        {"ab\xff\xfe"
         "cd",
         "ab|\xff\xfe|cd"},
        {"\xe4\xb8", "\xe4\xb8"},                          /* cut short */
        {"x\xed\xa0\x80y", "x|\xed\xa0\x80|y"},            /* a surrogate */
        {"\xc0\xaf", "\xc0\xaf"},                          /* overlong */
        {"\xf4\x90\x80\x80", "\xf4\x90\x80\x80"},          /* above U+10FFFF */
        {"a  \xff", "a|  |\xff"},                          /* the two spaces end their text */
        {"\xf0\x9f\x9a\x80\x80", "\xf0\x9f\x9a\x80|\x80"}, /* one byte too many */
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char *got = pieces_of("gpt-2", c[i].text, strlen(c[i].text));
        assert_string_equal(got, c[i].pieces);
        free(got);
    }
    for (int f = 0; f < N_FAMILIES; f++) { /* and in every family nothing is lost (pieces_of checks) */
        free(pieces_of(expected[f].name, "\xff", 1));
        free(pieces_of(expected[f].name, "", 0));
        free(pieces_of(expected[f].name, "a\0b", 3));
    }
}

static void check_nfc(const char *text, const char *expect) {
    vb_error err = {0};
    const char *out;
    char *owned;
    size_t n;
    assert_int_equal(vb_nfc(text, strlen(text), &out, &n, &owned, &err), 0);
    assert_int_equal(n, strlen(expect));
    assert_memory_equal(out, expect, n);
    free(owned);
}

static void test_nfc(void **state) {
    (void)state;
    check_nfc("plain \u00e9", "plain \u00e9");
    check_nfc("e\u0301", "\u00e9");
    check_nfc("\u2126\u212b\u212a", "\u03a9\u00c5K"); /* singletons */
    check_nfc("a\u0301\u0323",
              "\u1ea1\u0301"); /* marks are ordered first: dot below (220) before acute (230) */
    check_nfc("\u1100\u1161\u11a8", "\uac01"); /* Hangul */
    check_nfc("\u0958", "\u0915\u093c");       /* excluded from composition */
    check_nfc("e\u0301\xff"
              "e\u0301",
              "\u00e9\xff\u00e9");           /* around bytes that are not UTF-8 */
    check_nfc("e\xff\u0301", "e\xff\u0301"); /* which part a letter from its mark */
    /* The marks of one letter are sorted stably by class, however many: 3000 of class 230 and 220 in turn. */
    enum { N = 3000 };
    static char text[4 * N + 2], expect[4 * N + 2];
    char *p = text, *low = expect, *high = expect + 1 + 2 * N;
    *p++ = 'q', *low++ = 'q';
    for (int i = 0; i < N; i++) {
        memcpy(p, "\u0301\u0323", 4);
        memcpy(low, "\u0323", 2);
        memcpy(high, "\u0301", 2);
        p += 4, low += 2, high += 2;
    }
    check_nfc(text, expect);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),  cmocka_unit_test(test_told_apart), cmocka_unit_test(test_white_space),
        cmocka_unit_test(test_invalid), cmocka_unit_test(test_nfc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
