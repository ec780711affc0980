/* json.c - JSON texts to values and values to JSON, as Python's json does both. */
#include "chat/compare.h"
#include "chat/number.h"
#include "chat/repr.h"

#include "tokenizer/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------------- reading */

typedef struct reader {
    vbt *t;
    const char *s;
    size_t n, at;
    bool exact; /* numbers keep their text */
} reader;

_Noreturn static void wrong(reader *r, const char *what) {
    vbt_fail(r->t, VB_ERR_ARGUMENT, "no JSON at byte %zu: %s", r->at, what);
}

static void spaces(reader *r) {
    while (r->at < r->n && strchr(" \t\n\r", r->s[r->at]) && r->s[r->at]) r->at++;
}

static bool word(reader *r, const char *w) {
    size_t n = strlen(w);
    if (r->n - r->at < n || memcmp(r->s + r->at, w, n) != 0) return false;
    r->at += n;
    return true;
}

static uint32_t four_digits(reader *r) {
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        char c = r->at < r->n ? r->s[r->at++] : 0;
        uint32_t d = c >= '0' && c <= '9' ? (uint32_t)(c - '0') : (uint32_t)((c | 32) - 'a' + 10);
        if (d > 15) wrong(r, "expected four hexadecimal digits");
        v = v << 4 | d;
    }
    return v;
}

static void escape(reader *r, vbt_buf *b) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = r->at < r->n ? r->s[r->at++] : 0;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        vbt_put(b, to + (known - from), 1, true);
        return;
    }
    if (c != 'u') wrong(r, "an unknown escape in a string");
    uint32_t cp = four_digits(r);
    if (cp >= 0xD800 && cp <= 0xDBFF && r->n - r->at >= 6 && r->s[r->at] == '\\' && r->s[r->at + 1] == 'u') {
        r->at += 2;
        uint32_t low = four_digits(r);
        if (low < 0xDC00 || low > 0xDFFF) wrong(r, "half of a surrogate pair");
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
    }
    if (cp >= 0xD800 && cp <= 0xDFFF) wrong(r, "half of a surrogate pair");
    vbt_put_char(b, cp, true);
}

static vbt_val read_string(reader *r) {
    vbt_buf b = {.t = r->t, .given = true};
    size_t from = ++r->at;
    for (;;) {
        if (r->at >= r->n) wrong(r, "a string without an end");
        unsigned char c = (unsigned char)r->s[r->at];
        if (c == '"' || c == '\\') {
            vbt_put(&b, r->s + from, r->at++ - from, true);
            if (c == '"') return vbt_buf_value(&b);
            escape(r, &b);
            from = r->at;
        } else if (c < 0x20) {
            wrong(r, "a control character in a string");
        } else {
            size_t k = vb_utf8_char((const unsigned char *)r->s + r->at, r->n - r->at, NULL);
            if (k == 0) wrong(r, "bytes that are no UTF-8");
            r->at += k;
        }
    }
}

/* A float whose text Python would print otherwise (1.50, 1e3) is kept as an integer beyond 64 bits is: as its
 * text, not to be computed with. */
static vbt_val exact_float(vbt *t, vbt_val v, const char *s, size_t n) {
    char text[40];
    if (!isinf(v.u.f) && vbt_float_text(v.u.f, text) == n && memcmp(text, s, n) == 0) return v;
    v.type = VBT_BIG;
    v.u.s = vbt_text(t, s, n, true).u.s;
    return v;
}

static vbt_val read_number(reader *r) {
    size_t from = r->at, digits;
    bool real = false;
    if (r->s[r->at] == '-') r->at++;
    digits = r->at;
    while (r->at < r->n && r->s[r->at] >= '0' && r->s[r->at] <= '9') r->at++;
    if (r->at == digits) wrong(r, "expected a value");
    if (r->s[digits] == '0' && r->at - digits > 1) wrong(r, "a number that starts with 0");
    if (r->n - r->at >= 2 && r->s[r->at] == '.' && r->s[r->at + 1] >= '0' && r->s[r->at + 1] <= '9') {
        real = true;
        r->at++;
        while (r->at < r->n && r->s[r->at] >= '0' && r->s[r->at] <= '9') r->at++;
    }
    if (r->at < r->n && (r->s[r->at] | 32) == 'e') {
        size_t e = r->at + 1;
        if (e < r->n && (r->s[e] == '+' || r->s[e] == '-')) e++;
        if (e < r->n && r->s[e] >= '0' && r->s[e] <= '9') {
            real = true;
            while (e < r->n && r->s[e] >= '0' && r->s[e] <= '9') e++;
            r->at = e;
        }
    }
    if (!real) return vbt_int_text(r->t, r->s + from, r->at - from, true);
    vbt_val v = vbt_float(vbt_strtod(r->t, r->s + from, r->at - from));
    v.given = true;
    return r->exact ? exact_float(r->t, v, r->s + from, r->at - from) : v;
}

static vbt_val read_value(reader *r);

static vbt_val read_list(reader *r) {
    vbt_val list = vbt_list_new(r->t, VBT_LIST, 0);
    r->at++;
    spaces(r);
    if (word(r, "]")) return list;
    do vbt_list_add(r->t, list, read_value(r));
    while (word(r, ","));
    if (!word(r, "]")) wrong(r, "expected , or ] in a list");
    return list;
}

static vbt_val read_object(reader *r) {
    vbt_val dict = vbt_dict_new(r->t, 0);
    r->at++;
    spaces(r);
    if (word(r, "}")) return dict;
    do {
        spaces(r);
        if (r->at >= r->n || r->s[r->at] != '"') wrong(r, "expected a key in quotes");
        vbt_val key = read_string(r);
        spaces(r);
        if (!word(r, ":")) wrong(r, "expected : behind a key");
        vbt_dict_set(r->t, dict.u.dict, key, read_value(r));
    } while (word(r, ","));
    if (!word(r, "}")) wrong(r, "expected , or } in an object");
    return dict;
}

/* White space around it is skipped. Like Python's, it takes NaN and Infinity. */
static vbt_val read_value(reader *r) {
    vbt_val v;
    spaces(r);
    if (r->at >= r->n) wrong(r, "it ends too early");
    vbt_enter(r->t);
    char c = r->s[r->at];
    if (c == '{')
        v = read_object(r);
    else if (c == '[')
        v = read_list(r);
    else if (c == '"')
        v = read_string(r);
    else if (word(r, "true"))
        v = vbt_bool(true);
    else if (word(r, "false"))
        v = vbt_bool(false);
    else if (word(r, "null"))
        v = vbt_none();
    else if (word(r, "NaN"))
        v = vbt_float(NAN);
    else if (word(r, "Infinity"))
        v = vbt_float(INFINITY);
    else if (word(r, "-Infinity"))
        v = vbt_float(-INFINITY);
    else
        v = read_number(r);
    vbt_leave(r->t);
    spaces(r);
    return v;
}

static vbt_val read_all(vbt *t, const char *s, size_t n, bool exact) {
    reader r = {t, s, n, 0, exact};
    vbt_val v = read_value(&r);
    if (r.at < n) wrong(&r, "more text behind the value");
    return v;
}

vbt_val vbt_read_json(vbt *t, const char *s, size_t n) {
    return read_all(t, s, n, false);
}

vbt_val vbt_read_exact_json(vbt *t, const char *s, size_t n) {
    return read_all(t, s, n, true);
}

/* ---------------------------------------------------------------------------------------------- writing */

static void put_escaped(vbt_buf *b, const vbt_str *s, bool ascii) {
    size_t bytes, from = 0;
    vbt_puts(b, "\"", true);
    for (size_t i = 0; i < s->n; i += bytes) {
        static const char special[] = "\"\\\n\r\t\f\b", letter[] = "\"\\nrtfb";
        uint32_t c = vbt_char(s, i, &bytes);
        const char *known = c && c < 0x80 ? strchr(special, (int)c) : NULL;
        char e[16];
        if (!known && c >= 0x20 && !(ascii && c >= 0x7F)) continue;
        vbt_put_part(b, s, from, i);
        from = i + bytes;
        if (known)
            snprintf(e, sizeof e, "\\%c", letter[known - special]);
        else if (c < 0x10000)
            snprintf(e, sizeof e, "\\u%04x", (unsigned)c);
        else
            snprintf(e, sizeof e, "\\u%04x\\u%04x", (unsigned)(0xD800 + ((c - 0x10000) >> 10)),
                     (unsigned)(0xDC00 + ((c - 0x10000) & 0x3FF)));
        vbt_puts(b, e, vbt_byte_given(s, i));
    }
    vbt_put_part(b, s, from, s->n);
    vbt_puts(b, "\"", true);
}

static void put_float(vbt_buf *b, double f, bool given) {
    char text[40];
    if (f != f || isinf(f))
        vbt_puts(b, f != f ? "NaN" : f < 0 ? "-Infinity" : "Infinity", given);
    else
        vbt_put(b, text, vbt_float_text(f, text), given);
}

static void new_line(vbt_buf *b, const vbt_json *how, int level) {
    if (!how->indent) return;
    vbt_puts(b, "\n", true);
    for (int i = 0; i < level; i++) vbt_put_str(b, how->indent);
}

static void put_json(vbt_buf *b, vbt_val v, const vbt_json *how, int level);

static void put_array(vbt_buf *b, const vbt_list *l, const vbt_json *how, int level) {
    vbt_puts(b, "[", true);
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0) vbt_put_str(b, how->item);
        new_line(b, how, level + 1);
        put_json(b, l->v[i], how, level + 1);
    }
    if (l->n > 0) new_line(b, how, level);
    vbt_puts(b, "]", true);
}

static vbt_val key_text(vbt *t, vbt_val k) {
    vbt_buf b = {.t = t};
    switch (k.type) {
    case VBT_STR: return k;
    case VBT_FLOAT: put_float(&b, k.u.f, k.given); break;
    case VBT_BOOL: vbt_puts(&b, k.u.b ? "true" : "false", k.given); break;
    case VBT_NONE: vbt_puts(&b, "null", k.given); break;
    case VBT_INT:
    case VBT_BIG: return vbt_str_of(t, k);
    default: vbt_raise(t, "keys must be str, int, float, bool or None, not %s", vbt_type_name(k));
    }
    return vbt_buf_value(&b);
}

static void put_object(vbt_buf *b, const vbt_dict *d, const vbt_json *how, int level) {
    vbt *t = b->t;
    vbt_val *keys = vbt_alloc(t, (d->n + 1) * sizeof *keys),
            *values = vbt_alloc(t, (d->n + 1) * sizeof *values);
    if (d->n > 0) {
        memcpy(keys, d->keys, d->n * sizeof *keys);
        memcpy(values, d->values, d->n * sizeof *values);
    }
    if (how->sort) vbt_sort(t, values, keys, d->n, false);
    vbt_puts(b, "{", true);
    for (size_t i = 0; i < d->n; i++) {
        if (i > 0) vbt_put_str(b, how->item);
        new_line(b, how, level + 1);
        put_escaped(b, key_text(t, keys[i]).u.s, how->ascii);
        vbt_put_str(b, how->key);
        put_json(b, values[i], how, level + 1);
    }
    if (d->n > 0) new_line(b, how, level);
    vbt_puts(b, "}", true);
}

static void put_json(vbt_buf *b, vbt_val v, const vbt_json *how, int level) {
    vbt_enter(b->t);
    switch (v.type) {
    case VBT_NONE: vbt_puts(b, "null", true); break;
    case VBT_BOOL: vbt_puts(b, v.u.b ? "true" : "false", true); break;
    case VBT_INT:
    case VBT_BIG: vbt_put_repr(b, v); break;
    case VBT_FLOAT: put_float(b, v.u.f, v.given); break;
    case VBT_STR: put_escaped(b, v.u.s, how->ascii); break;
    case VBT_LIST:
    case VBT_TUPLE: put_array(b, v.u.list, how, level); break;
    case VBT_DICT: put_object(b, v.u.dict, how, level); break;
    default: vbt_raise(b->t, "Object of type %s is not JSON serializable", vbt_type_name(v));
    }
    vbt_leave(b->t);
}

void vbt_put_json(vbt_buf *b, vbt_val v, const vbt_json *how) {
    put_json(b, v, how, 0);
}
