/* fuzz_regex.c - libFuzzer: regular expressions, and texts, against Perl's own matcher (PCRE2) where
 * both take the pattern. Input: a pattern, a NUL byte, a text. Nothing may crash or take long, and the
 * two agree whether the whole text matches. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "grammar/node.h"
#include "grammar/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
    if (!good) abort();
}

static bool is_utf8(const char *s, size_t n) {
    for (size_t i = 0, k; i < n; i += k)
        if (!(k = vb_utf8_char((const unsigned char *)s + i, n - i, NULL))) return false;
    return true;
}

/* Where Perl means something else by the same letters: \s and \v of other sets, \c, "." and line ends,
 * $ before a last line's end, classes like [] and [^], escapes inside of \p, \u, \x of other lengths,
 * {,n}; and what takes backtracking too long. */
static bool same_dialect(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\\' && i + 1 < n && strchr("dDwWtnrf.*+?()[]{}|^$/-\\", s[i + 1])) {
            i++;
            continue;
        }
        if (s[i] == '\\' || s[i] == '.' || s[i] == '$' || s[i] == '#') return false;
        if (s[i] == '[' && i + 1 < n && (s[i + 1] == ']' || s[i + 1] == '^')) return false;
        if (s[i] == '{' && i + 1 < n && (s[i + 1] == ',' || s[i + 1] == ' ')) return false;
        if (s[i] == '(' && i + 1 < n && (s[i + 1] == '?' || s[i + 1] == '*')) return false;
    }
    return true;
}

/* 1 match, 0 none, -1 not known. */
static int perl(const char *pattern, size_t n, const char *text, size_t n_text, bool search) {
    int rc, known = -1;
    PCRE2_SIZE at;
    const uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NO_AUTO_CAPTURE |
                             PCRE2_ALLOW_EMPTY_CLASS | (search ? 0 : PCRE2_ANCHORED | PCRE2_ENDANCHORED);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, n, options, &rc, &at, NULL);
    if (!code) return -1;
    pcre2_match_data *m = pcre2_match_data_create_from_pattern(code, NULL);
    pcre2_match_context *c = pcre2_match_context_create(NULL);
    if (m && c) {
        pcre2_set_match_limit(c, 100000);
        rc = pcre2_match(code, (PCRE2_SPTR)text, n_text, 0, 0, m, c);
        known = rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : -1;
    }
    pcre2_match_context_free(c);
    pcre2_match_data_free(m);
    pcre2_code_free(code);
    return known;
}

static void compare(const char *pattern, size_t n, const char *text, size_t n_text) {
    vbg_regex r;
    vb_error err = {0};
    if (vbg_regex_parse(&r, pattern, n, &err)) {
        check(err.code < 0 && err.message[0]);
        return;
    }
    for (int search = 0; search < 2; search++) {
        vbg_ir *ir;
        if (vbg_ir_new(&ir, NULL)) break;
        const vbg_node node = vbg_regex_build(ir, &r, search);
        if (!vbg_ir_error(ir, NULL) && is_utf8(text, n_text)) {
            const bool ours = vbg_matches(ir, node, text, n_text);
            if (!vbg_ir_error(ir, NULL) && same_dialect(pattern, n)) {
                const int theirs = perl(pattern, n, text, n_text, search);
                check(theirs < 0 || theirs == ours);
            }
        }
        vbg_ir_free(ir);
    }
    vbg_regex_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    const size_t n = nul ? (size_t)(nul - data) : size, n_text = nul ? size - n - 1 : 0;
    char *pattern = malloc(n ? n : 1), *text = malloc(n_text ? n_text : 1);
    if (pattern && text && n <= 200) {
        memcpy(pattern, data, n);
        if (n_text) memcpy(text, nul + 1, n_text);
        compare(pattern, n, text, n_text < 64 ? n_text : 64);
    }
    free(pattern);
    free(text);
    return 0;
}
