/* calls_scan.c - JSON checked byte by byte, and literals found in what a model writes. */
#include "chat/calls.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------ JSON */

enum {
    VALUE = 0, /* a value is to come */
    FIRST_ITEM,
    FIRST_KEY,
    KEY,
    COLON,
    BEHIND, /* a value inside a container has ended */
    STRING,
    KEY_STRING,
    ESCAPE,
    KEY_ESCAPE,
    HEX,
    KEY_HEX,
    MINUS,
    ZERO,
    DIGITS,
    POINT,
    FRACTION,
    EXPONENT,
    SIGN,
    POWER,
    WORD,
    OVER
};

static bool in_object(const vbc_json *j) {
    const int at = j->depth - 1;
    return j->stack[at / 8] >> (at % 8) & 1;
}

static vbc_step push(vbc_json *j, bool object) {
    if (j->depth >= VBC_DEPTH) return VBC_WRONG;
    const uint8_t bit = (uint8_t)(1U << (j->depth % 8));
    if (object)
        j->stack[j->depth / 8] |= bit;
    else
        j->stack[j->depth / 8] &= (uint8_t)~bit;
    j->depth++;
    j->state = object ? FIRST_KEY : FIRST_ITEM;
    return VBC_MORE;
}

/* A value has ended. */
static vbc_step pop(vbc_json *j) {
    j->state = j->depth > 0 ? BEHIND : OVER;
    return j->depth > 0 ? VBC_MORE : VBC_DONE;
}

static const char *const words[] = {"true", "false", "null"};

static vbc_step begin(vbc_json *j, unsigned char c) {
    if (vbc_space((char)c)) return VBC_MORE;
    if (j->depth == 0) j->top = c;
    switch (c) {
    case '{': return push(j, true);
    case '[': return push(j, false);
    case '"': j->state = STRING; return VBC_MORE;
    case '-': j->state = MINUS; return VBC_MORE;
    case '0': j->state = ZERO; return VBC_MORE;
    case 't':
    case 'f':
    case 'n':
        j->state = WORD;
        j->word = (uint8_t)(c == 't' ? 0 : c == 'f' ? 1 : 2);
        j->at = 1;
        return VBC_MORE;
    default: j->state = DIGITS; return c >= '1' && c <= '9' ? VBC_MORE : VBC_WRONG;
    }
}

static vbc_step behind(vbc_json *j, unsigned char c) {
    if (vbc_space((char)c)) return VBC_MORE;
    if (c == ',') {
        j->state = in_object(j) ? KEY : VALUE;
        return VBC_MORE;
    }
    if (c != (in_object(j) ? '}' : ']')) return VBC_WRONG;
    j->depth--;
    return pop(j);
}

/* The bytes of a character after the first. [Unicode 15, table 3-7] */
static vbc_step first_byte(vbc_json *j, unsigned char c) {
    if (c < 0xC2 || c > 0xF4) return VBC_WRONG;
    j->more = (uint8_t)(c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3);
    j->least = (uint8_t)(c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80);
    j->most = (uint8_t)(c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF);
    return VBC_MORE;
}

static vbc_step in_string(vbc_json *j, unsigned char c) {
    const bool key = j->state == KEY_STRING;
    if (j->more > 0) {
        if (c < j->least || c > j->most) return VBC_WRONG;
        j->more--;
        j->least = 0x80;
        j->most = 0xBF;
        return VBC_MORE;
    }
    if (c == '"') {
        if (!key) return pop(j);
        j->state = COLON;
        return VBC_MORE;
    }
    if (c == '\\') j->state = key ? KEY_ESCAPE : ESCAPE;
    if (c < 0x20) return VBC_WRONG;
    return c >= 0x80 ? first_byte(j, c) : VBC_MORE;
}

static bool hexadecimal(unsigned char c) {
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static vbc_step in_escape(vbc_json *j, unsigned char c) {
    const bool key = j->state == KEY_ESCAPE || j->state == KEY_HEX;
    if (j->state == HEX || j->state == KEY_HEX) {
        if (!hexadecimal(c)) return VBC_WRONG;
        if (--j->digits == 0) j->state = key ? KEY_STRING : STRING;
        return VBC_MORE;
    }
    if (c == 'u') {
        j->state = key ? KEY_HEX : HEX;
        j->digits = 4;
        return VBC_MORE;
    }
    j->state = key ? KEY_STRING : STRING;
    return c && strchr("\"\\/bfnrt", c) ? VBC_MORE : VBC_WRONG;
}

/* A number ends before the byte that does not belong to it. */
static vbc_step number_ends(vbc_json *j, unsigned char c) {
    if (pop(j) == VBC_DONE) return VBC_BEFORE;
    return behind(j, c);
}

static vbc_step in_number(vbc_json *j, unsigned char c) {
    const bool digit = c >= '0' && c <= '9', e = (c | 32) == 'e';
    const uint8_t was = j->state;
    switch (was) {
    case MINUS: j->state = c == '0' ? ZERO : DIGITS; return digit ? VBC_MORE : VBC_WRONG;
    case POINT:
    case EXPONENT:
    case SIGN:
        if (was == EXPONENT && (c == '+' || c == '-')) {
            j->state = SIGN;
            return VBC_MORE;
        }
        j->state = was == POINT ? FRACTION : POWER;
        return digit ? VBC_MORE : VBC_WRONG;
    default: break;
    }
    if (digit && was != ZERO) return VBC_MORE;
    if (c == '.' && (was == ZERO || was == DIGITS)) {
        j->state = POINT;
        return VBC_MORE;
    }
    if (e && was != POWER) {
        j->state = EXPONENT;
        return VBC_MORE;
    }
    return number_ends(j, c);
}

static vbc_step in_word(vbc_json *j, unsigned char c) {
    const char *w = words[j->word];
    if (c != (unsigned char)w[j->at]) return VBC_WRONG;
    return w[++j->at] ? VBC_MORE : pop(j);
}

static vbc_step at_key(vbc_json *j, unsigned char c) {
    if (vbc_space((char)c)) return VBC_MORE;
    if (c == '}' && j->state == FIRST_KEY) {
        j->depth--;
        return pop(j);
    }
    j->state = KEY_STRING;
    return c == '"' ? VBC_MORE : VBC_WRONG;
}

vbc_step vbc_json_byte(vbc_json *j, unsigned char c) {
    switch (j->state) {
    case VALUE: return begin(j, c);
    case FIRST_ITEM:
        if (c == ']') {
            j->depth--;
            return pop(j);
        }
        return begin(j, c);
    case FIRST_KEY:
    case KEY: return at_key(j, c);
    case COLON:
        if (vbc_space((char)c)) return VBC_MORE;
        j->state = VALUE;
        return c == ':' ? VBC_MORE : VBC_WRONG;
    case BEHIND: return behind(j, c);
    case STRING:
    case KEY_STRING: return in_string(j, c);
    case ESCAPE:
    case KEY_ESCAPE:
    case HEX:
    case KEY_HEX: return in_escape(j, c);
    case WORD: return in_word(j, c);
    case OVER: return VBC_WRONG;
    default: return in_number(j, c);
    }
}

bool vbc_json_whole(const char *s, size_t n, char *first) {
    vbc_json j = {0};
    bool done = false;
    for (size_t i = 0; i < n; i++) {
        if (done) {
            if (!vbc_space(s[i])) return false;
            continue;
        }
        const vbc_step step = vbc_json_byte(&j, (unsigned char)s[i]);
        if (step == VBC_WRONG) return false;
        if (step == VBC_BEFORE && !vbc_space(s[i])) return false;
        done = step != VBC_MORE;
    }
    *first = (char)j.top;
    /* A number at the end of the text has no byte behind it. */
    return done || vbc_json_byte(&j, ' ') == VBC_BEFORE;
}

static uint32_t four(const char *s) {
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) v = v << 4 | (uint32_t)(s[i] <= '9' ? s[i] - '0' : (s[i] | 32) - 'a' + 10);
    return v;
}

bool vbc_json_text(const char *s, size_t n, vb_buf *out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    for (size_t i = 1; i + 1 < n;) {
        const char *slash = memchr(s + i, '\\', n - 1 - i);
        const size_t end = slash ? (size_t)(slash - s) : n - 1;
        vb_buf_add(out, s + i, end - i);
        i = end;
        if (!slash) break;
        if (s[i + 1] != 'u') {
            vb_buf_add(out, to + (strchr(from, s[i + 1]) - from), 1);
            i += 2;
            continue;
        }
        uint32_t c = four(s + i + 2);
        i += 6;
        if (c >= 0xDC00 && c <= 0xDFFF) return false;
        if (c >= 0xD800 && c <= 0xDBFF) {
            if (n - i < 7 || s[i] != '\\' || s[i + 1] != 'u') return false;
            const uint32_t low = four(s + i + 2);
            if (low < 0xDC00 || low > 0xDFFF) return false;
            c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
            i += 6;
        }
        char utf8[4];
        vb_buf_add(out, utf8, vb_utf8_put(c, utf8));
    }
    return true;
}

void vbc_json_escape(vb_buf *b, const char *s, size_t n) {
    static const char special[] = "\"\\\n\r\t\f\b", letter[] = "\"\\nrtfb";
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        const char *known = s[i] ? strchr(special, s[i]) : NULL;
        if (!known && (unsigned char)s[i] >= 0x20) continue;
        vb_buf_add(b, s + from, i - from);
        from = i + 1;
        if (known)
            vb_buf_addf(b, "\\%c", letter[known - special]);
        else
            vb_buf_addf(b, "\\u%04x", (unsigned)s[i]);
    }
    vb_buf_add(b, s + from, n - from);
}

void vbc_json_put(vb_buf *b, const char *s, size_t n) {
    vb_buf_puts(b, "\"");
    vbc_json_escape(b, s, n);
    vb_buf_puts(b, "\"");
}

/* -------------------------------------------------------------------------------------------- literals */

size_t vbc_spaces(const char *s, size_t n) {
    size_t i = 0;
    while (i < n && vbc_space(s[i])) i++;
    return i;
}

static bool id_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Whether white space may stand before literal[i] although the literal has none there. */
static bool may_space(const char *literal, size_t i) {
    if (i == 0) return false;
    const char a = literal[i - 1], b = literal[i];
    static const char marks[] = "{}[],:";
    return strchr(marks, a) || strchr(marks, b) || (a == '>' && b == '<') || (a == '>' && b == '"');
}

vbc_fit vbc_match(const char *literal, const char *s, size_t n, size_t *used, vb_buf *id) {
    size_t i = 0, at = 0;
    for (;;) {
        const bool space = vbc_space(literal[i]);
        while (vbc_space(literal[i])) i++;
        if (!literal[i]) {
            *used = at;
            return VBC_YES;
        }
        if (space || may_space(literal, i)) at += vbc_spaces(s + at, n - at);
        if (at == n) return VBC_PART;
        if (literal[i] == 1) {
            const size_t from = at;
            while (at < n && id_byte(s[at])) at++;
            if (at == from) return VBC_NO;
            if (at == n) return VBC_PART;
            if (id) vb_buf_add(id, s + from, at - from);
        } else if (literal[i] != s[at++]) {
            return VBC_NO;
        }
        i++;
    }
}
