/* gbnf.c - reading GBNF, the notation of llama.cpp's grammars. docs/grammar.md has it.
 *
 *   grammar  = { name "::=" alternatives }          "#" comments to the line's end
 *   alternatives = sequence { "|" sequence }
 *   sequence = { item [ "*" | "+" | "?" | "{" m [ "," [ n ] ] "}" ] }
 *   item     = '"' text '"' | "[" [ "^" ] ranges "]" | "." | name | "(" alternatives ")"
 *
 * A rule ends where the next one begins: within parentheses lines break anywhere, outside after "|"
 * and "::=", and before "|". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "grammar/classes.h"
#include "grammar/grammar.h"

enum { MAX_NESTING = 200, MAX_RULE_NAME = 200 };

typedef struct name_entry {
    const char *s;
    size_t n;
    uint32_t rule;
    int first_line; /* where it is first used; 0: it is defined */
} name_entry;

typedef struct gbnf {
    vbg_ir *ir;
    const char *s;
    size_t n, at;
    int nesting;
    vb_error *err;
    name_entry *names;
    size_t n_names, room_names;
    uint32_t *index; /* hash -> name + 1 */
    size_t index_size;
    vbg_node *open; /* alternatives and items under construction, of all parentheses that are open */
    size_t n_open, room_open;
} gbnf;

static int line_of(const gbnf *p, size_t at) {
    int line = 1;
    for (size_t i = 0; i < at && i < p->n; i++) line += p->s[i] == '\n';
    return line;
}

static int bad(gbnf *p, size_t at, const char *format, ...) VB_PRINTF(3, 4);
static int bad(gbnf *p, size_t at, const char *format, ...) {
    char what[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    return vb_fail(p->err, VB_ERR_FORMAT, "grammar, line %d: %s", line_of(p, at), what);
}

static bool more(const gbnf *p) {
    return p->at < p->n;
}
static char now(const gbnf *p) {
    return p->at < p->n ? p->s[p->at] : 0;
}

/* White space and comments; of ends of lines only with `lines`. */
static void skip(gbnf *p, bool lines) {
    while (more(p)) {
        const char c = now(p);
        if (c == '#')
            while (more(p) && now(p) != '\n' && now(p) != '\r') p->at++;
        else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r')))
            p->at++;
        else
            return;
    }
}

static bool in_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static size_t name_length(const gbnf *p) {
    size_t n = 0;
    while (p->at + n < p->n && in_name(p->s[p->at + n])) n++;
    return n;
}

/* ----------------------------------------------------------------------------------------- names */

static uint64_t hash_name(const char *s, size_t n) {
    uint64_t h = 7;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)s[i]) * UINT64_C(0x100000001B3);
    return h ^ h >> 29;
}

static int find_name(gbnf *p, size_t n, name_entry **out) {
    const char *s = p->s + p->at;
    if (n > MAX_RULE_NAME) return bad(p, p->at, "a rule's name of %zu characters", n);
    if (2 * (p->n_names + 1) > p->index_size) {
        const size_t size = p->index_size ? 2 * p->index_size : 64;
        uint32_t *index;
        int rc = vb_alloc((void **)&index, size, sizeof *index, "a grammar", p->err);
        if (rc) return rc;
        memset(index, 0, size * sizeof *index);
        for (size_t i = 0; i < p->n_names; i++) {
            size_t at = hash_name(p->names[i].s, p->names[i].n) & (size - 1);
            while (index[at]) at = (at + 1) & (size - 1);
            index[at] = (uint32_t)i + 1;
        }
        free(p->index);
        p->index = index, p->index_size = size;
    }
    size_t at = hash_name(s, n) & (p->index_size - 1);
    for (; p->index[at]; at = (at + 1) & (p->index_size - 1)) {
        *out = &p->names[p->index[at] - 1];
        if ((*out)->n == n && memcmp((*out)->s, s, n) == 0) return VB_OK;
    }
    char copy[MAX_RULE_NAME + 1];
    memcpy(copy, s, n);
    copy[n] = 0;
    int rc =
        vb_grow((void **)&p->names, &p->room_names, p->n_names + 1, sizeof *p->names, "a grammar", p->err);
    if (rc) return rc;
    p->index[at] = (uint32_t)p->n_names + 1;
    *out = &p->names[p->n_names++];
    **out = (name_entry){s, n, vbg_rule_new(p->ir, copy), line_of(p, p->at)};
    return vbg_ir_error(p->ir, p->err);
}

/* ----------------------------------------------------------------------------------------- characters */

static int hex(gbnf *p, int digits, uint32_t *cp) {
    uint32_t v = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        const char c = now(p);
        const int d = c >= '0' && c <= '9'                 ? c - '0'
                      : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                           : -1;
        if (d < 0) return bad(p, p->at, "an escape needs %d hexadecimal digits", digits);
        v = v << 4 | (uint32_t)d;
    }
    if (v > 0x10FFFF || (v >= 0xD800 && v < 0xE000)) return bad(p, p->at, "U+%04X is not a character", v);
    *cp = v;
    return VB_OK;
}

static int character(gbnf *p, uint32_t *cp) {
    if (now(p) != '\\') {
        const size_t n = vb_utf8_char((const unsigned char *)p->s + p->at, p->n - p->at, cp);
        if (n == 0) return bad(p, p->at, "not valid UTF-8");
        p->at += n;
        return VB_OK;
    }
    p->at++;
    if (!more(p)) return bad(p, p->at, "a backslash at the end");
    const char c = p->s[p->at++];
    switch (c) {
    case 'n': return *cp = '\n', VB_OK;
    case 'r': return *cp = '\r', VB_OK;
    case 't': return *cp = '\t', VB_OK;
    case 'x': return hex(p, 2, cp);
    case 'u': return hex(p, 4, cp);
    case 'U': return hex(p, 8, cp);
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-':
    case '^': return *cp = (uint32_t)c, VB_OK;
    default: break;
    }
    return bad(p, p->at - 2,
               "the escape \\%c is not known: \\n \\r \\t \\\\ \\\" \\[ \\] \\xHH \\uHHHH \\UHHHHHHHH are",
               c);
}

static int literal(gbnf *p, vbg_node *out) {
    const size_t from = p->at++;
    vb_buf text = {0};
    int rc = VB_OK;
    while (!rc && more(p) && now(p) != '"') {
        uint32_t cp = 0;
        char utf8[4];
        if (now(p) == '\n') break;
        rc = character(p, &cp);
        if (!rc) vb_buf_add(&text, utf8, vb_utf8_put(cp, utf8));
    }
    if (!rc && now(p) != '"') rc = bad(p, from, "\" without its closing \" in the same line");
    p->at++;
    if (!rc) rc = vb_buf_done(&text, "a grammar", p->err);
    if (!rc) *out = vbg_text(p->ir, text.s, text.n);
    vb_buf_free(&text);
    return rc;
}

static int char_class(gbnf *p, vbg_node *out) {
    const size_t from = p->at++;
    vbg_class c = {0};
    const bool negate = now(p) == '^';
    int rc = VB_OK;
    if (negate) p->at++;
    while (!rc && more(p) && now(p) != ']') {
        uint32_t lo = 0, hi;
        rc = character(p, &lo);
        hi = lo;
        if (!rc && now(p) == '-' && p->at + 1 < p->n && p->s[p->at + 1] != ']') {
            p->at++;
            rc = character(p, &hi);
        }
        if (!rc && hi < lo) rc = bad(p, from, "a range whose end is below its beginning");
        if (!rc) rc = vbg_class_add(&c, lo, hi, p->err);
    }
    if (!rc && !more(p)) rc = bad(p, from, "[ without ]");
    p->at++;
    if (!rc) rc = vbg_class_finish(&c, negate, p->err);
    if (!rc) *out = vbg_points(p->ir, c.r, c.n);
    free(c.r);
    return rc;
}

/* ----------------------------------------------------------------------------------------- structure */

static int push(gbnf *p, vbg_node n) {
    const int rc =
        vb_grow((void **)&p->open, &p->room_open, p->n_open + 1, sizeof *p->open, "a grammar", p->err);
    if (!rc) p->open[p->n_open++] = n;
    return rc;
}

static int number(gbnf *p, uint32_t *out) {
    uint64_t v = 0;
    const size_t from = p->at;
    for (; now(p) >= '0' && now(p) <= '9'; p->at++) {
        v = v * 10 + (uint64_t)(now(p) - '0');
        if (v >= UINT32_MAX) return bad(p, from, "a repetition of more than 4294967294");
    }
    if (p->at == from) return bad(p, from, "a number is missing in { }");
    *out = (uint32_t)v;
    return VB_OK;
}

static int repetition(gbnf *p, vbg_node *n) {
    const size_t from = p->at;
    uint32_t min = 0, max = VBG_INF;
    int rc = VB_OK;
    switch (now(p)) {
    case '*': break;
    case '+': min = 1; break;
    case '?': max = 1; break;
    case '{':
        p->at++;
        skip(p, p->nesting > 0);
        rc = number(p, &min);
        if (rc) return rc;
        skip(p, p->nesting > 0);
        max = min;
        if (now(p) == ',') {
            p->at++;
            skip(p, p->nesting > 0);
            max = VBG_INF;
            if (now(p) != '}' && (rc = number(p, &max))) return rc;
            skip(p, p->nesting > 0);
        }
        if (now(p) != '}') return bad(p, from, "{ without }");
        if (max < min) return bad(p, from, "{m,n} with n below m");
        break;
    default: return VB_OK;
    }
    p->at++;
    *n = vbg_repeat(p->ir, *n, min, max);
    skip(p, p->nesting > 0);
    return repetition(p, n); /* x*? and the like: a repetition of a repetition */
}

static int alternatives(gbnf *p, vbg_node *out);

static int item(gbnf *p, vbg_node *out, bool *is) {
    const size_t from = p->at;
    const char c = now(p);
    const vbg_range all = {0, 0x10FFFF};
    *is = true;
    if (c == '"') return literal(p, out);
    if (c == '[') return char_class(p, out);
    if (c == '.') {
        p->at++;
        *out = vbg_points(p->ir, &all, 1);
        return VB_OK;
    }
    if (c == '(') {
        p->at++;
        if (++p->nesting > MAX_NESTING)
            return bad(p, from, "more than %d parentheses inside each other", MAX_NESTING);
        skip(p, true);
        const int rc = alternatives(p, out);
        if (rc) return rc;
        if (now(p) != ')') return bad(p, more(p) ? p->at : from, "( without )");
        p->at++;
        p->nesting--;
        return VB_OK;
    }
    const size_t n = name_length(p);
    if (n == 0) return *is = false, VB_OK;
    name_entry *name = NULL;
    const int rc = find_name(p, n, &name);
    if (rc) return rc;
    p->at += n;
    *out = vbg_rule(p->ir, name->rule);
    return VB_OK;
}

static int sequence(gbnf *p, vbg_node *out) {
    const size_t base = p->n_open;
    for (;;) {
        vbg_node n = VBG_NONE;
        bool is;
        int rc = item(p, &n, &is);
        if (rc) return rc;
        if (!is) break;
        skip(p, p->nesting > 0);
        rc = repetition(p, &n);
        if (!rc) rc = push(p, n);
        if (rc) return rc;
    }
    if (now(p) == '*' || now(p) == '+' || now(p) == '?' || now(p) == '{')
        return bad(p, p->at, "nothing to repeat");
    vbg_node r = VBG_EMPTY;
    while (p->n_open > base) r = vbg_seq(p->ir, p->open[--p->n_open], r);
    *out = r;
    return vbg_ir_error(p->ir, p->err);
}

/* True (and the bar taken) if an alternative follows: outside parentheses also on a later line. */
static bool bar(gbnf *p) {
    const size_t back = p->at;
    skip(p, true);
    if (now(p) == '|') {
        p->at++;
        skip(p, true);
        return true;
    }
    if (p->nesting == 0) p->at = back;
    return false;
}

static int alternatives(gbnf *p, vbg_node *out) {
    const size_t base = p->n_open;
    do {
        vbg_node n = VBG_NONE;
        int rc = sequence(p, &n);
        if (!rc) rc = push(p, n);
        if (rc) return rc;
    } while (bar(p));
    *out = vbg_alts(p->ir, p->open + base, p->n_open - base);
    p->n_open = base;
    return vbg_ir_error(p->ir, p->err);
}

static int rule(gbnf *p) {
    const size_t from = p->at, n = name_length(p);
    name_entry *name = NULL;
    vbg_node body = VBG_NONE;
    if (n == 0) {
        char found[32];
        return bad(p, from, "a rule's name is missing: found \"%s\"",
                   vb_escape(p->s + p->at, p->n - p->at < 8 ? p->n - p->at : 8, found, sizeof found));
    }
    int rc = find_name(p, n, &name);
    if (rc) return rc;
    const size_t which = (size_t)(name - p->names);
    if (name->first_line == 0) return bad(p, from, "rule \"%.*s\" is defined twice", (int)n, p->s + from);
    name->first_line = 0;
    p->at += n;
    skip(p, false);
    if (p->n - p->at < 3 || memcmp(p->s + p->at, "::=", 3) != 0)
        return bad(p, p->at, "::= is missing behind the name \"%.*s\"", (int)n, p->s + from);
    p->at += 3;
    skip(p, true);
    rc = alternatives(p, &body);
    if (rc) return rc;
    vbg_rule_set(p->ir, p->names[which].rule, body);
    skip(p, false);
    if (more(p) && now(p) != '\n' && now(p) != '\r') {
        char found[32];
        return bad(p, p->at, "\"%s\" is not understood here",
                   vb_escape(p->s + p->at, p->n - p->at < 8 ? p->n - p->at : 8, found, sizeof found));
    }
    skip(p, true);
    return VB_OK;
}

static int read_all(gbnf *p, vbg_node *root) {
    skip(p, true);
    while (more(p)) {
        const int rc = rule(p);
        if (rc) return rc;
    }
    *root = VBG_NONE;
    for (size_t i = 0; i < p->n_names; i++) {
        const name_entry *e = &p->names[i];
        if (e->first_line)
            return vb_fail(p->err, VB_ERR_FORMAT,
                           "grammar, line %d: rule \"%.*s\" is used and nowhere defined", e->first_line,
                           (int)e->n, e->s);
        if (e->n == 4 && memcmp(e->s, "root", 4) == 0) *root = vbg_rule(p->ir, e->rule);
    }
    if (*root == VBG_NONE) return vb_fail(p->err, VB_ERR_FORMAT, "the grammar has no rule \"root\"");
    return vbg_ir_error(p->ir, p->err);
}

int vbg_gbnf_read(vbg_ir *ir, const char *text, size_t n, vbg_node *root, vb_error *err) {
    gbnf p = {.ir = ir, .s = text, .n = n, .err = err};
    int rc = read_all(&p, root);
    if (!rc) rc = vbg_unroll_left(ir, err);
    if (!rc) rc = vbg_inline_small(ir, root, err);
    free(p.names);
    free(p.index);
    free(p.open);
    return rc;
}
