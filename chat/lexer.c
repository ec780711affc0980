/* lexer.c - template text to tokens, with trim_blocks and lstrip_blocks as transformers sets them.
 *
 * White space around tags: "{%-" takes off what stands before it, "-%}" what stands behind. Without a sign a
 * tag that is alone on its line takes the spaces before it (lstrip_blocks) and one newline behind it
 * (trim_blocks); "{%+" and
 * "+%}" turn that off. {{ }} takes nothing without a sign. Comments are tags. */
#include "chat/number.h"
#include "chat/parse.h"

#include "tokenizer/tokenizer.h"

#include <string.h>

typedef struct lexer {
    vbt *t;
    vbt_str text;
    size_t at;
    int line;
    bool line_starts; /* what was read last ended in a newline */
    vbt_token *v;
    size_t n, cap;
    vbt_val names; /* dict: each name once */
} lexer;

static void push(lexer *x, vbt_token token) {
    if (x->n == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : 256;
        vbt_token *grown = vbt_alloc(x->t, cap * sizeof *grown);
        if (x->n > 0) memcpy(grown, x->v, x->n * sizeof *grown);
        x->v = grown;
        x->cap = cap;
    }
    token.line = x->line;
    x->v[x->n++] = token;
}

_Noreturn static void wrong(lexer *x, const char *what) {
    x->t->line = x->line;
    vbt_fail(x->t, VB_ERR_FORMAT, "%s", what);
}

/* Goes on to `to`. */
static void advance(lexer *x, size_t to) {
    for (size_t i = x->at; i < to; i++) x->line += x->text.s[i] == '\n';
    if (to > x->at) x->line_starts = x->text.s[to - 1] == '\n';
    x->at = to;
}

static bool starts(const lexer *x, size_t at, const char *what) {
    size_t n = strlen(what);
    return x->text.n - at >= n && memcmp(x->text.s + at, what, n) == 0;
}

static size_t skip_spaces(const lexer *x, size_t at) {
    size_t bytes;
    while (at < x->text.n && vbt_space(vbt_char(&x->text, at, &bytes))) at += bytes;
    return at;
}

/* The end of a tag's closing pair at `at`, with what it takes of the text behind; 0 if there is none. */
static size_t closing(const lexer *x, size_t at, const char *pair, bool block) {
    if (at >= x->text.n) return 0;
    if (x->text.s[at] == '-' && starts(x, at + 1, pair)) return skip_spaces(x, at + 3);
    if (block && x->text.s[at] == '+' && starts(x, at + 1, pair)) return at + 3;
    if (!starts(x, at, pair)) return 0;
    return at + 2 + (block && at + 2 < x->text.n && x->text.s[at + 2] == '\n');
}

/* ----------------------------------------------------------------------------------------------- text */

/* Data [from, to) before a tag that starts with `sign` ('-', '+' or another). */
static void push_data(lexer *x, size_t from, size_t to, char sign, bool print, bool line_starts) {
    vbt_val part = vbt_part(x->t, &x->text, from, to);
    if (sign == '-') {
        part = vbt_strip(x->t, part.u.s, NULL, 2);
    } else if (sign != '+' && !print) {
        size_t at = to;
        while (at > from && x->text.s[at - 1] != '\n') at--;
        vbt_str line = {x->text.s + at, to - at, NULL, false, false, -1};
        if ((at > from || line_starts) && line.n > 0 && vbt_strip(x->t, &line, NULL, 3).u.s->n == 0)
            part = vbt_part(x->t, &x->text, from, at);
    }
    if (part.u.s->n > 0) push(x, (vbt_token){.type = VBT_T_DATA, .value = part});
}

/* "{%- raw %}" at `at`: the offset behind it, 0 if it is something else. */
static size_t raw_start(const lexer *x, size_t at) {
    if (!starts(x, at, "{%")) return 0;
    at += 2;
    if (at < x->text.n && (x->text.s[at] == '-' || x->text.s[at] == '+')) at++;
    at = skip_spaces(x, at);
    if (!starts(x, at, "raw")) return 0;
    at = skip_spaces(x, at + 3);
    if (starts(x, at, "-%}")) return skip_spaces(x, at + 3);
    return starts(x, at, "%}") ? at + 2 : 0;
}

static void raw(lexer *x) {
    for (size_t at = x->at; at < x->text.n; at++) {
        if (!starts(x, at, "{%")) continue;
        size_t k = at + 2;
        char sign = k < x->text.n ? x->text.s[k] : 0;
        if (sign == '-' || sign == '+') k++;
        k = skip_spaces(x, k);
        if (!starts(x, k, "endraw")) continue;
        size_t end = closing(x, skip_spaces(x, k + 6), "%}", true);
        if (end == 0) continue;
        push_data(x, x->at, at, sign, false, x->line_starts);
        advance(x, end);
        return;
    }
    wrong(x, "Missing end of raw directive");
}

static void comment(lexer *x) {
    for (size_t at = x->at; at < x->text.n; at++) {
        size_t end = closing(x, at, "#}", true);
        if (end == 0) continue;
        advance(x, end);
        return;
    }
    wrong(x, "Missing end of comment tag");
}

/* ------------------------------------------------------------------------------------------ inside tags */

static bool word_start(uint32_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (c >= 0x80 && vbt_printable(c) && !vbt_space(c));
}

static void name(lexer *x) {
    size_t end = x->at, bytes;
    while (end < x->text.n) {
        uint32_t c = vbt_char(&x->text, end, &bytes);
        if (!word_start(c) && !(c >= '0' && c <= '9')) break;
        end += bytes;
    }
    vbt_val own = vbt_part(x->t, &x->text, x->at, end);
    const vbt_val *known = vbt_dict_get(x->t, x->names.u.dict, own);
    if (!known) vbt_dict_set(x->t, x->names.u.dict, own, own);
    push(x, (vbt_token){.type = VBT_T_NAME, .value = known ? *known : own});
    advance(x, end);
}

static uint32_t hex(lexer *x, size_t at, int n) {
    uint32_t v = 0;
    for (int i = 0; i < n; i++) {
        char c = at + (size_t)i < x->text.n ? x->text.s[at + (size_t)i] : 0;
        uint32_t d = c >= '0' && c <= '9' ? (uint32_t)(c - '0') : (uint32_t)((c | 32) - 'a' + 10);
        if (d > 15) wrong(x, "a wrong escape in a string");
        v = v << 4 | d;
    }
    return v;
}

/* What follows a backslash at `at`; returns the offset behind it. Python keeps escapes that it does
 * not know. */
static size_t escape(lexer *x, size_t at, vbt_buf *b) {
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char c = x->text.s[at];
    const char *known = strchr(from, c);
    if (c == '\n') return at + 1;
    if (c && known) {
        vbt_put(b, to + (known - from), 1, false);
        return at + 1;
    }
    if (c >= '0' && c <= '7') {
        uint32_t v = 0;
        size_t end = at;
        while (end < x->text.n && end < at + 3 && x->text.s[end] >= '0' && x->text.s[end] <= '7')
            v = v * 8 + (uint32_t)(x->text.s[end++] - '0');
        vbt_put_char(b, v, false);
        return end;
    }
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (c == 'N') wrong(x, "\\N{...} in a string is not supported");
    if (digits == 0) {
        vbt_put(b, "\\", 1, false);
        return at;
    }
    uint32_t cp = hex(x, at + 1, digits);
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        wrong(x, "an escape in a string that is no character");
    vbt_put_char(b, cp, false);
    return at + 1 + (size_t)digits;
}

static void string(lexer *x) {
    const char quote = x->text.s[x->at];
    vbt_buf b = {.t = x->t};
    size_t at = x->at + 1;
    while (at < x->text.n && x->text.s[at] != quote) {
        if (x->text.s[at] == '\\' && at + 1 < x->text.n) {
            at = escape(x, at + 1, &b);
            continue;
        }
        size_t end = at + 1;
        while (end < x->text.n && x->text.s[end] != quote && x->text.s[end] != '\\') end++;
        vbt_put(&b, x->text.s + at, end - at, false);
        at = end;
    }
    if (at >= x->text.n) wrong(x, "a string without an end");
    push(x, (vbt_token){.type = VBT_T_STRING, .value = vbt_buf_value(&b)});
    advance(x, at + 1);
}

/* Digits with single _ between them; the offset behind. */
static size_t digits(const lexer *x, size_t at, const char *set) {
    size_t from = at;
    while (at < x->text.n) {
        char c = x->text.s[at];
        bool digit = c && strchr(set, c) != NULL;
        if (!digit && !(c == '_' && at > from && at + 1 < x->text.n && x->text.s[at + 1] &&
                        strchr(set, x->text.s[at + 1])))
            break;
        at++;
    }
    return at;
}

static void number(lexer *x) {
    static const char ten[] = "0123456789";
    size_t at = x->at, end;
    char kind = at + 1 < x->text.n && x->text.s[at] == '0' ? (char)(x->text.s[at + 1] | 32) : 0;
    vbt_val v;
    const char *set = kind == 'x'   ? "0123456789abcdefABCDEF"
                      : kind == 'o' ? "01234567"
                      : kind == 'b' ? "01"
                                    : NULL;
    bool after_point = at > 0 && x->text.s[at - 1] == '.';
    size_t skip = set && at + 2 < x->text.n && x->text.s[at + 2] == '_' ? 3 : 2;
    if (set && (end = digits(x, at + skip, set)) > at + skip) {
        if (!vbt_parse_int(x->t, vbt_part(x->t, &x->text, at, end).u.s, 0, &v)) wrong(x, "a wrong number");
    } else {
        size_t whole = digits(x, at, ten), point = whole, e;
        if (!after_point && point + 1 < x->text.n && x->text.s[point] == '.')
            point = digits(x, point + 1, ten);
        if (point == whole + 1) point = whole;
        end = point;
        if (!after_point && end + 1 < x->text.n && (x->text.s[end] | 32) == 'e') {
            e = end + 1;
            if (x->text.s[e] == '+' || x->text.s[e] == '-') e++;
            if (digits(x, e, ten) > e) end = digits(x, e, ten);
        }
        const vbt_str *s = vbt_part(x->t, &x->text, at, end).u.s;
        double f;
        if (end > whole) {
            if (!vbt_parse_float(x->t, s, &f)) wrong(x, "a wrong number");
            v = vbt_float(f);
        } else {
            /* "007" is 00, then 7: an error of the parser. */
            if (s->s[0] == '0') end = digits(x, at, "0"), s = vbt_part(x->t, &x->text, at, end).u.s;
            if (!vbt_parse_int(x->t, s, 10, &v)) wrong(x, "a wrong number");
        }
    }
    push(x, (vbt_token){.type = VBT_T_NUMBER, .value = v});
    advance(x, end);
}

static void op(lexer *x, char *open, size_t *n_open, size_t max_open) {
    static const struct {
        const char *text;
        int op;
    } two[] = {{"==", VBT_OP_EQ}, {"!=", VBT_OP_NE},       {"<=", VBT_OP_LE},
               {">=", VBT_OP_GE}, {"//", VBT_OP_FLOORDIV}, {"**", VBT_OP_POW}};
    char c = x->text.s[x->at];
    for (size_t i = 0; i < sizeof two / sizeof *two; i++) {
        if (!starts(x, x->at, two[i].text)) continue;
        push(x, (vbt_token){.type = VBT_T_OP, .op = two[i].op});
        advance(x, x->at + 2);
        return;
    }
    if (!c || !strchr("+-/*%~[](){}><=.:|,;", c)) {
        x->t->line = x->line;
        vbt_fail(x->t, VB_ERR_FORMAT, "unexpected char '%c'", c >= ' ' && c < 127 ? c : '?');
    }
    const char *pair = strchr("([{", c);
    if (pair) {
        if (*n_open == max_open) wrong(x, "brackets nested too deep");
        open[(*n_open)++] = ")]}"[pair - "([{"];
    } else if (c == ')' || c == ']' || c == '}') {
        if (*n_open == 0 || open[*n_open - 1] != c) wrong(x, "a closing bracket that closes nothing");
        --*n_open;
    }
    push(x, (vbt_token){.type = VBT_T_OP, .op = c});
    advance(x, x->at + 1);
}

/* The tokens up to `close`, which is "%}" or "}}". */
static void inside(lexer *x, bool print) {
    char open[VBT_DEPTH_LIMIT];
    size_t n_open = 0, bytes;
    for (;;) {
        size_t end = n_open == 0 ? closing(x, x->at, print ? "}}" : "%}", !print) : 0;
        if (end > 0) {
            push(x, (vbt_token){.type = print ? VBT_T_PRINT_END : VBT_T_TAG_END});
            advance(x, end);
            return;
        }
        if (x->at >= x->text.n) wrong(x, "the template ends inside a tag");
        uint32_t c = vbt_char(&x->text, x->at, &bytes);
        if (vbt_space(c))
            advance(x, skip_spaces(x, x->at));
        else if (c >= '0' && c <= '9')
            number(x);
        else if (word_start(c))
            name(x);
        else if (c == '\'' || c == '"')
            string(x);
        else
            op(x, open, &n_open, sizeof open);
    }
}

/* ----------------------------------------------------------------------------------------------- all */

/* One newline at the end goes; \r\n and \r become \n. */
static vbt_str normal(vbt *t, const char *s, size_t n) {
    char *out = vbt_alloc(t, n + 1);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        out[k++] = s[i] == '\r' ? '\n' : s[i];
        if (s[i] == '\r' && i + 1 < n && s[i + 1] == '\n') i++;
    }
    if (k > 0 && out[k - 1] == '\n') k--;
    return (vbt_str){out, k, NULL, false, false, -1};
}

const vbt_token *vbt_lex(vbt *t, const char *text, size_t n) {
    lexer x = {.t = t, .text = normal(t, text, n), .line = 1, .line_starts = true};
    x.names = vbt_dict_new(t, 0);
    for (size_t i = 0, k; i < n; i += k) {
        k = vb_utf8_char((const unsigned char *)text + i, n - i, NULL);
        if (k == 0) vbt_fail(t, VB_ERR_FORMAT, "the template is no UTF-8 at byte %zu", i);
    }
    while (x.at < x.text.n) {
        size_t from = x.at, at = from;
        bool line_starts = x.line_starts;
        while (at < x.text.n && !starts(&x, at, "{{") && !starts(&x, at, "{%") && !starts(&x, at, "{#")) at++;
        bool print = starts(&x, at, "{{");
        char sign = at + 2 < x.text.n ? x.text.s[at + 2] : 0;
        if (at >= x.text.n) { /* the rest: no tag takes anything off */
            push_data(&x, from, at, '+', false, line_starts);
            break;
        }
        push_data(&x, from, at, sign, print, line_starts);
        size_t behind_raw = raw_start(&x, at);
        advance(&x, behind_raw ? behind_raw : at + 2 + (sign == '-' || sign == '+'));
        if (behind_raw) {
            raw(&x);
        } else if (x.text.s[at + 1] == '#') {
            comment(&x);
        } else {
            push(&x, (vbt_token){.type = print ? VBT_T_PRINT : VBT_T_TAG});
            inside(&x, print);
        }
    }
    push(&x, (vbt_token){.type = VBT_T_END});
    return x.v;
}
