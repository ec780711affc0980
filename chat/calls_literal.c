/* calls_literal.c - values as Python or Gemma writes them, turned into JSON byte by byte; and the calls that
 * are made of them: f(a=1), call:f{a:1}.
 *
 * Some templates write a string between quotes without escaping what it holds. So a quote ends a string only
 * if what follows can follow a value; every well-formed text is read alike. */
#include "chat/calls.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

enum { VALUE, FIRST, BEHIND_COMMA, AFTER, COLON, OPENING, TEXT, TEXT_ENDS, ESCAPE, DIGITS, WORD, BARE_KEY };

static const char gemma_quote[] = "<|\"|>";

static bool in_dict(const vbc_literal *l) {
    const int at = l->depth - 1;
    return l->depth > 0 && (l->stack[at / 8] >> (at % 8) & 1);
}

static vbc_step push(vbc_literal *l, bool dict, vb_buf *out) {
    if (l->depth >= VBC_DEPTH) return VBC_WRONG;
    const uint8_t bit = (uint8_t)(1U << (l->depth % 8));
    if (dict)
        l->stack[l->depth / 8] |= bit;
    else
        l->stack[l->depth / 8] &= (uint8_t)~bit;
    l->depth++;
    l->key = dict;
    l->state = FIRST;
    vb_buf_puts(out, dict ? "{" : "[");
    return VBC_MORE;
}

static vbc_step value_ends(vbc_literal *l) {
    l->state = l->key ? COLON : AFTER;
    return l->depth > 0 || l->key ? VBC_MORE : VBC_DONE;
}

static vbc_step pop(vbc_literal *l, vb_buf *out) {
    vb_buf_puts(out, in_dict(l) ? "}" : "]");
    l->depth--;
    l->key = false;
    return value_ends(l);
}

static bool closes(const vbc_literal *l, char c) {
    return in_dict(l) ? c == '}' : c == ']' || (c == ')' && !l->gemma);
}

/* ----------------------------------------------------------------------------------------------- strings */

/* A code of an escape. Halves of surrogate pairs go out as JSON writes them. */
static void put_code(vb_buf *out, uint32_t c) {
    char s[16];
    if (c >= 0xD800 && c <= 0xDFFF) {
        vb_buf_addf(out, "\\u%04x", (unsigned)c);
    } else if (c < 0x80) {
        s[0] = (char)c;
        vbc_json_escape(out, s, 1);
    } else {
        vb_buf_add(out, s, vb_utf8_put(c, s));
    }
}

static vbc_step in_escape(vbc_literal *l, char c, vb_buf *out) {
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char *known = c ? strchr(from, c) : NULL;
    l->state = TEXT;
    l->code = 0;
    if (known) {
        put_code(out, (unsigned char)to[known - from]);
    } else if (c == 'x' || c == 'u' || c == 'U') {
        l->digits = (uint8_t)(c == 'x' ? 2 : c == 'u' ? 4 : 8);
        l->base = 16;
        l->state = DIGITS;
    } else if (c >= '0' && c <= '7') {
        l->code = (uint32_t)(c - '0');
        l->digits = 2;
        l->base = 8;
        l->state = DIGITS;
    } else if (c == '/') { /* JSON's, which Python does not know */
        put_code(out, '/');
    } else if (c != '\n') {
        put_code(out, '\\');
        return vbc_literal_byte(l, c, out);
    }
    return VBC_MORE;
}

static vbc_step in_digits(vbc_literal *l, char c, vb_buf *out) {
    const int d = c >= '0' && c <= '9'                 ? c - '0'
                  : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                       : 99;
    const bool digit = d < l->base;
    if (!digit && l->base == 16) return VBC_WRONG;
    if (digit) {
        l->code = l->code * l->base + (uint32_t)d;
        l->digits--;
    }
    if (digit && l->digits > 0) return VBC_MORE;
    if (l->code > 0x10FFFF) return VBC_WRONG;
    put_code(out, l->code);
    l->state = TEXT;
    return digit ? VBC_MORE : vbc_literal_byte(l, c, out);
}

/* Whether a value or key can end before this byte. */
static bool may_follow(const vbc_literal *l, char c) {
    if (l->key) return c == ':';
    if (l->depth > 0) return c == ',' || closes(l, c);
    return c == ',' || c == (l->gemma ? '}' : ')');
}

/* Behind a quote: does the string end there? held is the quote and what follows. */
static vbc_step text_ends(vbc_literal *l, char c, vb_buf *out) {
    const size_t quote = l->gemma ? sizeof gemma_quote - 1 : 1;
    if (l->gemma && l->held.n < quote) {
        if (c == gemma_quote[l->held.n]) {
            vb_buf_add(&l->held, &c, 1);
            return VBC_MORE;
        }
    } else if (vbc_space(c)) {
        vb_buf_add(&l->held, &c, 1);
        return VBC_MORE;
    } else if (may_follow(l, c)) {
        vb_buf_puts(out, "\"");
        l->held.n = 0;
        if (value_ends(l) == VBC_DONE) return VBC_BEFORE;
        return vbc_literal_byte(l, c, out);
    }
    /* It does not: what was held is text, and a quote in it may end the string in turn. */
    vbc_json_escape(out, l->held.s, 1);
    vb_buf rest = {0};
    vb_buf_add(&rest, l->held.s + 1, l->held.n - 1);
    vb_buf_add(&rest, &c, 1);
    l->held.n = 0;
    l->state = TEXT;
    vbc_step step = rest.failed ? VBC_WRONG : VBC_MORE;
    for (size_t i = 0; i < rest.n && step == VBC_MORE; i++) step = vbc_literal_byte(l, rest.s[i], out);
    vb_buf_free(&rest);
    return step;
}

static vbc_step in_text(vbc_literal *l, char c, vb_buf *out) {
    if (c == (l->gemma ? gemma_quote[0] : l->quote)) {
        l->state = TEXT_ENDS;
        l->held.n = 0;
        if (!vb_buf_add(&l->held, &c, 1)) return VBC_WRONG;
    } else if (c == '\\' && !l->gemma) {
        l->state = ESCAPE;
    } else {
        vbc_json_escape(out, &c, 1);
    }
    return VBC_MORE;
}

/* ------------------------------------------------------------------------------------------------- words */

static vbc_step word_ends(vbc_literal *l, char c, vb_buf *out) {
    static const char *const words[][2] = {{"True", "true"}, {"False", "false"}, {"None", "null"},
                                           {"true", "true"}, {"false", "false"}, {"null", "null"}};
    char first = 0;
    const char *json = NULL;
    vb_buf_add(&l->held, "", 0);
    if (l->held.failed) return VBC_WRONG;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(l->held.s, words[i][0]) == 0) json = words[i][1];
    if (!json && vbc_json_whole(l->held.s, l->held.n, &first)) json = l->held.s;
    if (!json || l->key) return VBC_WRONG;
    vb_buf_puts(out, json);
    l->held.n = 0;
    if (value_ends(l) == VBC_DONE) return VBC_BEFORE;
    return vbc_literal_byte(l, c, out);
}

static bool word_byte(char c) {
    return vbc_name_byte(c) || c == '+';
}

static vbc_step begin(vbc_literal *l, char c, vb_buf *out) {
    if (vbc_space(c)) return VBC_MORE;
    if (l->state != VALUE && closes(l, c)) return pop(l, out);
    /* Python allows a comma before the end, JSON does not: it is written with the value behind it. */
    if (l->state == BEHIND_COMMA) vb_buf_puts(out, ", ");
    l->held.n = 0;
    if (l->gemma ? c == gemma_quote[0] : c == '"' || c == '\'') {
        vb_buf_puts(out, "\"");
        l->quote = c;
        l->digits = 1;
        l->state = l->gemma ? OPENING : TEXT;
        return VBC_MORE;
    }
    if (l->key) {
        if (!l->gemma) return VBC_WRONG;
        vb_buf_puts(out, "\"");
        l->state = BARE_KEY;
        return vbc_literal_byte(l, c, out);
    }
    if (c == '{' || c == '[' || (c == '(' && !l->gemma)) return push(l, c == '{', out);
    l->state = WORD;
    return vbc_literal_byte(l, c, out);
}

static vbc_step after(vbc_literal *l, char c, vb_buf *out) {
    if (vbc_space(c)) return VBC_MORE;
    if (closes(l, c)) return pop(l, out);
    l->key = in_dict(l);
    l->state = BEHIND_COMMA;
    return c == ',' ? VBC_MORE : VBC_WRONG;
}

static vbc_step in_bare_key(vbc_literal *l, char c, vb_buf *out) {
    if (c != ':') {
        vbc_json_escape(out, &c, 1);
        return strchr(",{}[]<", c) ? VBC_WRONG : VBC_MORE; /* and NUL */
    }
    vb_buf_puts(out, "\"");
    l->state = COLON;
    return vbc_literal_byte(l, c, out);
}

vbc_step vbc_literal_byte(vbc_literal *l, char c, vb_buf *out) {
    switch (l->state) {
    case VALUE:
    case FIRST:
    case BEHIND_COMMA: return begin(l, c, out);
    case AFTER: return after(l, c, out);
    case COLON:
        if (vbc_space(c)) return VBC_MORE;
        l->key = false;
        l->state = VALUE;
        vb_buf_puts(out, ": ");
        return c == ':' ? VBC_MORE : VBC_WRONG;
    case OPENING:
        if (c != gemma_quote[l->digits++]) return VBC_WRONG;
        if (!gemma_quote[l->digits]) l->state = TEXT;
        return VBC_MORE;
    case TEXT: return in_text(l, c, out);
    case TEXT_ENDS: return text_ends(l, c, out);
    case ESCAPE: return in_escape(l, c, out);
    case DIGITS: return in_digits(l, c, out);
    case BARE_KEY: return in_bare_key(l, c, out);
    default:
        if (!word_byte(c)) return word_ends(l, c, out);
        vb_buf_add(&l->held, &c, 1);
        return VBC_MORE;
    }
}

void vbc_literal_free(vbc_literal *l) {
    vb_buf_free(&l->held);
    memset(l, 0, sizeof *l);
}

/* ------------------------------------------------------------------------------------------------- calls */

enum { OPEN = VBC_OWN, FIRST_NAME, NAME_TO_COME, IN_NAME, IN_VALUE, BEHIND };

/* What the arguments are so far is JSON, and `sure` stands behind whole characters. */
static bool check(vbc_reader *r, size_t from) {
    for (size_t i = from; i < r->args.n && !r->args.failed; i++) {
        if (vbc_json_byte(&r->json, (unsigned char)r->args.s[i]) == VBC_WRONG) return false;
        if (r->json.more == 0) r->sure = i + 1;
    }
    return !r->args.failed;
}

static vbc_step python_byte(vbc_reader *r, char c) {
    switch (r->state) {
    case VBC_NAME:
        if (vbc_in_name(r, c)) return VBC_MORE;
        r->state = FIRST_NAME;
        if (r->either && r->name.n > 5 && memcmp(r->name.s + r->name.n - 5, ".call", 5) == 0) {
            r->name.n -= 5;
            r->name.s[r->name.n] = 0;
        }
        return c == '(' && vbc_know_name(r) ? VBC_MORE : VBC_WRONG;
    case FIRST_NAME:
    case NAME_TO_COME:
        if (vbc_space(c)) return VBC_MORE;
        if (c == ')') {
            r->begun = true;
            vb_buf_puts(&r->args, r->n_args ? "}" : "{}");
            return vbc_to_tail(r);
        }
        r->state = IN_NAME;
        r->key.n = 0;
        return python_byte(r, c);
    case IN_NAME:
        if (vbc_name_byte(c)) {
            vb_buf_add(&r->key, &c, 1);
            return VBC_MORE;
        }
        if (vbc_space(c)) return VBC_MORE;
        if (c != '=' || r->key.n == 0) return VBC_WRONG;
        r->begun = true;
        vb_buf_puts(&r->args, r->n_args++ ? ", " : "{");
        vbc_json_put(&r->args, r->key.s, r->key.n);
        vb_buf_puts(&r->args, ": ");
        vbc_literal_free(&r->literal);
        r->state = IN_VALUE;
        return VBC_MORE;
    case IN_VALUE: {
        const vbc_step step = vbc_literal_byte(&r->literal, c, &r->args);
        if (step == VBC_MORE || step == VBC_WRONG) return step;
        r->state = BEHIND;
        return step == VBC_BEFORE ? python_byte(r, c) : VBC_MORE;
    }
    case BEHIND:
        if (vbc_space(c)) return VBC_MORE;
        r->state = NAME_TO_COME;
        return c == ',' ? VBC_MORE : c == ')' ? python_byte(r, c) : VBC_WRONG;
    default: return vbc_read_tail(r, c);
    }
}

static vbc_step gemma_byte(vbc_reader *r, char c) {
    switch (r->state) {
    case VBC_NAME:
        if (vbc_in_name(r, c)) return VBC_MORE;
        if (!vbc_know_name(r) || c != '{') return VBC_WRONG;
        r->state = IN_VALUE;
        r->begun = true;
        return gemma_byte(r, c);
    case IN_VALUE: {
        const vbc_step step = vbc_literal_byte(&r->literal, c, &r->args);
        return step == VBC_DONE ? vbc_to_tail(r) : step == VBC_BEFORE ? VBC_WRONG : step;
    }
    default: return vbc_read_tail(r, c);
    }
}

vbc_step vbc_read_python(vbc_reader *r, char c) {
    const size_t from = r->args.n;
    const vbc_step step = r->style == VB_CALLS_GEMMA ? gemma_byte(r, c) : python_byte(r, c);
    const bool good = check(r, from);
    return good || step == VBC_WRONG ? step : VBC_WRONG;
}
