/* regex.c - reading regular expressions. The syntax is that of ECMA-262 as JSON Schema's `pattern` asks for,
 * with its annex B where text from the wild relies on it; docs/grammar.md has the table. See regex.h.
 *
 *   alternatives = sequence { "|" sequence }
 *   sequence     = { "^" | "$" | atom [ "*" | "+" | "?" | "{" m [ "," [ n ] ] "}" ] [ "?" ] }
 *   atom         = "." | class | escape | "(" [ "?:" | "?<name>" ] alternatives ")" | a character */
#include "grammar/regex.h"
#include "grammar/classes.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"

enum { MAX_NESTING = 200, MAX_RE_NODES = 1000000 };

typedef struct parser {
    vbg_regex *r;
    const char *s;
    size_t n, at;
    int nesting;
    vb_error *err;
    /* Children under construction, of all parentheses that are open. */
    uint32_t *open;
    size_t n_open, room_open;
} parser;

/* Position in characters, from 1. */
static size_t column(const parser *p, size_t at) {
    size_t c = 1;
    for (size_t i = 0; i < at && i < p->n; i++) c += ((uint8_t)p->s[i] & 0xC0) != 0x80;
    return c;
}

static int bad(parser *p, size_t at, const char *what) {
    return vb_fail(p->err, VB_ERR_FORMAT, "regular expression, character %zu: %s", column(p, at), what);
}
static int unknown(parser *p, size_t at, const char *what) {
    return vb_fail(p->err, VB_ERR_UNSUPPORTED, "regular expression, character %zu: %s", column(p, at), what);
}

static bool peek(const parser *p, const char *what) {
    const size_t n = strlen(what);
    return p->n - p->at >= n && memcmp(p->s + p->at, what, n) == 0;
}
static bool take(parser *p, const char *what) {
    if (!peek(p, what)) return false;
    p->at += strlen(what);
    return true;
}

/* ----------------------------------------------------------------------------------------- nodes */

static int add(parser *p, vbg_regex_node node, uint32_t *out) {
    vbg_regex *r = p->r;
    if (r->n_nodes >= MAX_RE_NODES) return unknown(p, p->at, "more than 1,000,000 parts");
    const int rc = vb_grow((void **)&r->nodes, &r->room_nodes, r->n_nodes + 1, sizeof *r->nodes,
                           "a regular expression", p->err);
    if (rc) return rc;
    r->nodes[r->n_nodes] = node;
    *out = (uint32_t)r->n_nodes++;
    return VB_OK;
}

static int push(parser *p, uint32_t node) {
    const int rc = vb_grow((void **)&p->open, &p->room_open, p->n_open + 1, sizeof *p->open,
                           "a regular expression", p->err);
    if (!rc) p->open[p->n_open++] = node;
    return rc;
}

/* The open nodes from `base` on become the children of one: that one itself if it is alone. */
static int gather(parser *p, vbg_regex_kind kind, size_t base, uint32_t *out) {
    vbg_regex *r = p->r;
    const size_t n = p->n_open - base;
    if (n == 1) {
        *out = p->open[base];
        p->n_open = base;
        return VB_OK;
    }
    if (n == 0) return add(p, (vbg_regex_node){.kind = VBG_RE_EMPTY}, out);
    int rc = vb_grow((void **)&r->children, &r->room_children, r->n_children + n, sizeof *r->children,
                     "a regular expression", p->err);
    if (rc) return rc;
    memcpy(r->children + r->n_children, p->open + base, n * sizeof *p->open);
    rc = add(p, (vbg_regex_node){.kind = kind, .first = (uint32_t)r->n_children, .n = (uint32_t)n}, out);
    r->n_children += n;
    p->n_open = base;
    return rc;
}

static int add_class(parser *p, vbg_class *c, bool negate, uint32_t *out) {
    vbg_regex *r = p->r;
    int rc = vbg_class_finish(c, negate, p->err);
    if (!rc)
        rc = vb_grow((void **)&r->ranges, &r->room_ranges, r->n_ranges + c->n + 1, sizeof *r->ranges,
                     "a regular expression", p->err);
    if (rc) return rc;
    if (c->n) memcpy(r->ranges + r->n_ranges, c->r, c->n * sizeof *c->r);
    const vbg_regex_node node = {.kind = VBG_RE_CLASS, .first = (uint32_t)r->n_ranges, .n = (uint32_t)c->n};
    r->n_ranges += c->n;
    return add(p, node, out);
}

/* ----------------------------------------------------------------------------------------- characters */

static int next_char(parser *p, uint32_t *cp) {
    const size_t n = vb_utf8_char((const unsigned char *)p->s + p->at, p->n - p->at, cp);
    if (n == 0) return bad(p, p->at, "the pattern is not valid UTF-8");
    p->at += n;
    return VB_OK;
}

static int hex_digits(parser *p, int least, int most, uint32_t *out) {
    uint32_t v = 0;
    int n = 0;
    for (; n < most && p->at < p->n; n++, p->at++) {
        const char c = p->s[p->at];
        const int d = c >= '0' && c <= '9'                 ? c - '0'
                      : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                           : -1;
        if (d < 0) break;
        v = v << 4 | (uint32_t)d;
    }
    if (n < least) return bad(p, p->at, "hexadecimal digits are missing after \\x or \\u");
    *out = v;
    return VB_OK;
}

/* Behind \u: four digits, a pair of them for what lies above U+FFFF, or digits in braces. */
static int unicode_escape(parser *p, uint32_t *cp) {
    const size_t from = p->at;
    int rc;
    if (take(p, "{")) {
        if ((rc = hex_digits(p, 1, 6, cp))) return rc;
        if (!take(p, "}")) return bad(p, p->at, "\\u{ without }");
        if (*cp > 0x10FFFF) return bad(p, from, "\\u{...} above 10FFFF");
        return VB_OK;
    }
    if ((rc = hex_digits(p, 4, 4, cp))) return rc;
    if (*cp >= 0xD800 && *cp < 0xDC00 && peek(p, "\\u")) {
        uint32_t low = 0;
        const size_t back = p->at;
        p->at += 2;
        if ((rc = hex_digits(p, 4, 4, &low))) return rc;
        if (low >= 0xDC00 && low < 0xE000)
            *cp = 0x10000 + ((*cp - 0xD800) << 10) + (low - 0xDC00);
        else
            p->at = back;
    }
    if (*cp >= 0xD800 && *cp < 0xE000)
        return unknown(p, from, "half of a surrogate pair, which no text in UTF-8 has");
    return VB_OK;
}

/* \d \D \w \W \s \S \p{..} \P{..}: adds to the class. *done = false if the escape is none of these. */
static int class_escape(parser *p, vbg_class *c, bool *done) {
    const char e = p->s[p->at];
    const size_t from = p->at;
    vbg_class more = {0};
    int rc = VB_OK;
    *done = true;
    switch (e | 32) {
    case 'd': rc = vbg_class_digits(&more, p->err); break;
    case 'w': rc = vbg_class_word(&more, p->err); break;
    case 's': rc = vbg_class_space(&more, p->err); break;
    case 'p': {
        const char *close =
            p->n - p->at > 2 && p->s[p->at + 1] == '{' ? memchr(p->s + p->at, '}', p->n - p->at) : NULL;
        if (!close) return bad(p, from, "\\p without {property}");
        const char *name = p->s + p->at + 2;
        bool known;
        rc = vbg_class_property(&more, name, (size_t)(close - name), &known, p->err);
        if (!rc && !known)
            rc = unknown(p, from,
                         "this \\p{...} is not known: general categories are (L, Lu, Letter, Nd, ...), and "
                         "Any, ASCII");
        p->at = (size_t)(close - p->s);
        break;
    }
    default: *done = false; return VB_OK;
    }
    p->at++;
    if (!rc) rc = vbg_class_finish(&more, e < 'a', p->err);
    for (size_t i = 0; i < more.n && !rc; i++) rc = vbg_class_add(c, more.r[i].lo, more.r[i].hi, p->err);
    free(more.r);
    return rc;
}

/* An escape that stands for one character; p->at is behind the backslash. */
static int char_escape(parser *p, bool in_class, uint32_t *cp) {
    const size_t from = p->at;
    const char e = p->s[p->at];
    p->at++;
    switch (e) {
    case 't': return *cp = '\t', VB_OK;
    case 'n': return *cp = '\n', VB_OK;
    case 'r': return *cp = '\r', VB_OK;
    case 'f': return *cp = '\f', VB_OK;
    case 'v': return *cp = '\v', VB_OK;
    case 'x': return hex_digits(p, 2, 2, cp);
    case 'u': return unicode_escape(p, cp);
    case 'c':
        if (p->at == p->n || (p->s[p->at] | 32) < 'a' || (p->s[p->at] | 32) > 'z')
            return bad(p, from, "\\c without a letter");
        *cp = (uint32_t)p->s[p->at++] & 31;
        return VB_OK;
    case '0':
        if (p->at < p->n && p->s[p->at] >= '0' && p->s[p->at] <= '9')
            return unknown(p, from, "octal escapes: write \\xHH");
        return *cp = 0, VB_OK;
    case 'b':
        if (in_class) return *cp = '\b', VB_OK;
        return unknown(p, from, "word boundaries (\\b)");
    case 'B': return unknown(p, from, "word boundaries (\\B)");
    case 'k': return unknown(p, from, "back references (\\k)");
    default: break;
    }
    if (e >= '1' && e <= '9') return unknown(p, from, "back references (\\1 to \\9)");
    if ((e >= 'a' && e <= 'z') || (e >= 'A' && e <= 'Z'))
        return unknown(p, from, "this escape of a letter has no meaning here");
    p->at--;
    return next_char(p, cp);
}

/* ----------------------------------------------------------------------------------------- classes */

/* One member of a class, or the end of a range: *single = false if it was \d and the like, already added. */
static int member(parser *p, vbg_class *c, bool *single, uint32_t *cp) {
    *single = true;
    if (peek(p, "[:") || peek(p, "[.") || peek(p, "[="))
        return unknown(p, p->at, "POSIX classes ([:alpha:]): write the ranges, or \\p{L}");
    if (!take(p, "\\")) return next_char(p, cp);
    if (p->at == p->n) return bad(p, p->at, "a backslash at the end");
    bool done;
    const int rc = class_escape(p, c, &done);
    if (rc || done) return *single = false, rc;
    return char_escape(p, true, cp);
}

static int char_class(parser *p, uint32_t *out) {
    const size_t from = p->at - 1;
    vbg_class c = {0};
    const bool negate = take(p, "^");
    int rc = VB_OK;
    while (!rc && !take(p, "]")) {
        uint32_t lo = 0, hi = 0;
        bool single, also;
        if (p->at >= p->n) {
            rc = bad(p, from, "[ without ]");
            break;
        }
        if ((rc = member(p, &c, &single, &lo))) break;
        hi = lo;
        if (peek(p, "-") && p->n - p->at > 1 && p->s[p->at + 1] != ']') {
            const size_t dash = p->at++;
            if ((rc = member(p, &c, &also, &hi))) break;
            if (!single || !also) { /* annex B: then the dash is one of the class */
                rc = vbg_class_add(&c, '-', '-', p->err);
                if (!rc && single) rc = vbg_class_add(&c, lo, lo, p->err);
                if (!rc && also) rc = vbg_class_add(&c, hi, hi, p->err);
                continue;
            }
            if (hi < lo) rc = bad(p, dash, "a range whose end is below its beginning");
        }
        if (!rc && single) rc = vbg_class_add(&c, lo, hi, p->err);
    }
    if (!rc) rc = add_class(p, &c, negate, out);
    free(c.r);
    return rc;
}

static int one_char(parser *p, uint32_t cp, uint32_t *out) {
    vbg_class c = {0};
    int rc = vbg_class_add(&c, cp, cp, p->err);
    if (!rc) rc = add_class(p, &c, false, out);
    free(c.r);
    return rc;
}

static int any_char(parser *p, uint32_t *out) {
    vbg_class c = {0};
    int rc = vbg_class_newlines(&c, p->err);
    if (!rc) rc = add_class(p, &c, true, out);
    free(c.r);
    return rc;
}

static int escape(parser *p, uint32_t *out) {
    vbg_class c = {0};
    bool done;
    uint32_t cp = 0;
    if (p->at == p->n) return bad(p, p->at, "a backslash at the end");
    int rc = class_escape(p, &c, &done);
    if (!rc && done) rc = add_class(p, &c, false, out);
    if (!rc && !done && !(rc = char_escape(p, false, &cp))) rc = one_char(p, cp, out);
    free(c.r);
    return rc;
}

/* ----------------------------------------------------------------------------------------- structure */

static int alternatives(parser *p, uint32_t *out);

/* Behind "(": what kind of group it is. */
static int group(parser *p, uint32_t *out) {
    const size_t from = p->at - 1;
    if (peek(p, "?=") || peek(p, "?!")) return unknown(p, from, "lookahead, (?= and (?!");
    if (peek(p, "?<=") || peek(p, "?<!")) return unknown(p, from, "lookbehind, (?<= and (?<!");
    if (peek(p, "?>")) return unknown(p, from, "atomic groups, (?>");
    if (take(p, "?P<") || take(p, "?<")) {
        const char *close = memchr(p->s + p->at, '>', p->n - p->at);
        if (!close || close == p->s + p->at) return bad(p, from, "a group's name without >");
        p->at = (size_t)(close - p->s) + 1;
    } else if (!take(p, "?:") && peek(p, "?")) {
        return unknown(p, from,
                       "this kind of group: plain (...), (?:...) and (?<name>...) are known, flags are not");
    }
    if (++p->nesting > MAX_NESTING) return unknown(p, from, "more than 200 parentheses inside each other");
    const int rc = alternatives(p, out);
    if (rc) return rc;
    p->nesting--;
    return take(p, ")") ? VB_OK : bad(p, from, "( without )");
}

static bool number(parser *p, uint32_t *out) {
    uint64_t v = 0;
    const size_t from = p->at;
    for (; p->at < p->n && p->s[p->at] >= '0' && p->s[p->at] <= '9'; p->at++)
        if (v <= UINT32_MAX) v = v * 10 + (uint64_t)(p->s[p->at] - '0');
    *out = v < UINT32_MAX ? (uint32_t)v : UINT32_MAX - 1;
    return p->at > from;
}

/* {m}, {m,} or {m,n} at "{": false (and nothing taken) if it is none, which leaves a character. */
static int braces(parser *p, uint32_t *min, uint32_t *max, bool *is) {
    const size_t from = p->at++;
    *is = false;
    if (peek(p, ",")) {
        const size_t back = p->at++;
        if (number(p, max) && peek(p, "}"))
            return unknown(p, from, "{,n}, which some engines read as {0,n} and others as text: write {0,n}");
        p->at = back;
    } else if (number(p, min)) {
        *max = *min;
        if (take(p, ",") && !number(p, max)) *max = VBG_INF;
        *is = take(p, "}");
    }
    if (!*is)
        p->at = from;
    else if (*max < *min)
        return bad(p, from, "{m,n} with n below m");
    return VB_OK;
}

/* The repetition behind an atom, if there is one. Lazy ones have the same language. */
static int repetition(parser *p, uint32_t *node) {
    uint32_t min = 0, max = 0;
    const size_t from = p->at;
    bool is = true;
    if (take(p, "*"))
        max = VBG_INF;
    else if (take(p, "+"))
        min = 1, max = VBG_INF;
    else if (take(p, "?"))
        max = 1;
    else if (peek(p, "{")) {
        const int rc = braces(p, &min, &max, &is);
        if (rc) return rc;
    } else {
        is = false;
    }
    if (!is) return VB_OK;
    if (!take(p, "?") && take(p, "+")) return unknown(p, from, "possessive repetitions, x*+");
    vbg_regex *r = p->r;
    const int rc = vb_grow((void **)&r->children, &r->room_children, r->n_children + 1, sizeof *r->children,
                           "a regular expression", p->err);
    if (rc) return rc;
    r->children[r->n_children++] = *node;
    return add(p, (vbg_regex_node){VBG_RE_REPEAT, (uint32_t)r->n_children - 1, 1, min, max}, node);
}

static int atom(parser *p, uint32_t *node) {
    const size_t from = p->at;
    uint32_t cp = 0, min, max;
    bool is = false;
    if (take(p, "(")) return group(p, node);
    if (take(p, "[")) return char_class(p, node);
    if (take(p, "\\")) return escape(p, node);
    if (take(p, ".")) return any_char(p, node);
    if (peek(p, "*") || peek(p, "+") || peek(p, "?")) return bad(p, from, "nothing to repeat");
    if (peek(p, "{")) {
        const int rc = braces(p, &min, &max, &is);
        if (rc) return rc;
        if (is) return bad(p, from, "nothing to repeat");
    }
    const int rc = next_char(p, &cp);
    return rc ? rc : one_char(p, cp, node);
}

static int sequence(parser *p, uint32_t *out) {
    const size_t base = p->n_open;
    while (p->at < p->n && !peek(p, "|") && !peek(p, ")")) {
        uint32_t node = 0;
        int rc;
        if (peek(p, "^") || peek(p, "$")) {
            const vbg_regex_kind kind = p->s[p->at++] == '^' ? VBG_RE_BEGIN : VBG_RE_END;
            rc = add(p, (vbg_regex_node){.kind = kind}, &node);
        } else {
            rc = atom(p, &node);
        }
        if (!rc) rc = repetition(p, &node);
        if (!rc) rc = push(p, node);
        if (rc) return rc;
    }
    return gather(p, VBG_RE_SEQ, base, out);
}

static int alternatives(parser *p, uint32_t *out) {
    const size_t base = p->n_open;
    do {
        uint32_t node = 0;
        int rc = sequence(p, &node);
        if (!rc) rc = push(p, node);
        if (rc) return rc;
    } while (take(p, "|"));
    return gather(p, VBG_RE_ALT, base, out);
}

int vbg_regex_parse(vbg_regex *out, const char *text, size_t n, vb_error *err) {
    vbg_regex r = {0};
    parser p = {.r = &r, .s = text, .n = n, .err = err};
    uint32_t root = 0;
    int rc = alternatives(&p, &root);
    if (!rc && p.at < n) rc = bad(&p, p.at, ") without (");
    /* The root is the last: a lone child may not be. */
    if (!rc && root + 1 != r.n_nodes) rc = vb_fail(err, VB_ERR_FORMAT, "regular expression: no root");
    free(p.open);
    if (rc)
        vbg_regex_free(&r);
    else
        *out = r;
    return rc;
}

void vbg_regex_free(vbg_regex *r) {
    free(r->nodes);
    free(r->children);
    free(r->ranges);
    memset(r, 0, sizeof *r);
}
