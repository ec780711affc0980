/* text.c - strings: written, cut, searched. Every byte carries along who wrote it. */
#include "chat/text.h"

#include "tokenizer/tokenizer.h"

#include <string.h>

/* ---------------------------------------------------------------------------------------------- writing */

static void room(vbt_buf *b, size_t n) {
    if (b->limit && (n > b->limit || b->n > b->limit - n))
        vbt_fail(b->t, VB_ERR_UNSUPPORTED, "the text is longer than %zu MiB", b->limit >> 20);
    if (n <= b->cap - b->n) return;
    size_t cap = b->cap ? 2 * b->cap : 32;
    while (cap - b->n < n) cap *= 2;
    char *s = vbt_alloc(b->t, cap);
    if (b->n > 0) memcpy(s, b->s, b->n);
    if (b->from) {
        uint8_t *from = vbt_alloc(b->t, cap);
        memcpy(from, b->from, b->n);
        b->from = from;
    }
    b->s = s;
    b->cap = cap;
}

static void mark(vbt_buf *b, const uint8_t *from, size_t n, bool given) {
    if (b->n == 0 && !from) b->given = given, b->from = NULL;
    if (!b->from && !from && given == b->given) return;
    if (!b->from) {
        b->from = vbt_alloc(b->t, b->cap);
        memset(b->from, b->given, b->n);
    }
    if (from)
        memcpy(b->from + b->n, from, n);
    else
        memset(b->from + b->n, given, n);
}

static void put(vbt_buf *b, const char *s, size_t n, const uint8_t *from, bool given) {
    if (n == 0) return;
    room(b, n);
    mark(b, from, n, given);
    memcpy(b->s + b->n, s, n);
    b->n += n;
    vbt_steps(b->t, n / 64);
}

void vbt_put(vbt_buf *b, const char *s, size_t n, bool given) {
    put(b, s, n, NULL, given);
}

void vbt_puts(vbt_buf *b, const char *s, bool given) {
    put(b, s, strlen(s), NULL, given);
}

void vbt_put_part(vbt_buf *b, const vbt_str *s, size_t from, size_t to) {
    put(b, s->s + from, to - from, s->from ? s->from + from : NULL, s->given);
}

void vbt_put_str(vbt_buf *b, const vbt_str *s) {
    vbt_put_part(b, s, 0, s->n);
}

void vbt_put_char(vbt_buf *b, uint32_t cp, bool given) {
    char utf8[4];
    put(b, utf8, vb_utf8_put(cp, utf8), NULL, given);
}

static vbt_val value(vbt *t, vbt_str s) {
    vbt_str *own = vbt_alloc(t, sizeof *own);
    *own = s;
    return (vbt_val){.type = VBT_STR, .u.s = own};
}

vbt_val vbt_buf_value(const vbt_buf *b) {
    return value(b->t, (vbt_str){b->n ? b->s : "", b->n, b->from, b->given, false, -1});
}

vbt_val vbt_text(vbt *t, const char *s, size_t n, bool given) {
    char *own = vbt_alloc(t, n + 1);
    if (n > 0) memcpy(own, s, n);
    return value(t, (vbt_str){own, n, NULL, given, false, -1});
}

vbt_val vbt_word(vbt *t, const char *s) {
    return value(t, (vbt_str){s, strlen(s), NULL, false, false, -1});
}

vbt_val vbt_part(vbt *t, const vbt_str *s, size_t from, size_t to) {
    if (from > to) from = to;
    vbt_str part = {s->s + from, to - from, s->from ? s->from + from : NULL,
                    s->given,    s->markup, s->ascii == 1 ? 1 : -1};
    return value(t, part);
}

vbt_val vbt_join(vbt *t, const vbt_str *a, const vbt_str *b) {
    vbt_buf out = {.t = t};
    if (a->n + b->n > 0) {
        out.cap = a->n + b->n;
        out.s = vbt_alloc(t, out.cap);
    }
    vbt_put_str(&out, a);
    vbt_put_str(&out, b);
    return vbt_buf_value(&out);
}

/* ---------------------------------------------------------------------------------------------- reading */

uint32_t vbt_char(const vbt_str *s, size_t at, size_t *bytes) {
    uint32_t cp = (unsigned char)s->s[at];
    *bytes = 1;
    if (cp < 0x80) return cp;
    size_t n = vb_utf8_char((const unsigned char *)s->s + at, s->n - at, &cp);
    if (n > 0) *bytes = n;
    return n > 0 ? cp : 0xDC00u + (unsigned char)s->s[at]; /* as Python's surrogateescape */
}

bool vbt_byte_given(const vbt_str *s, size_t at) {
    return s->from ? s->from[at] : s->given;
}

bool vbt_any_given(const vbt_str *s) {
    return s->from ? memchr(s->from, 1, s->n) != NULL : s->given;
}

bool vbt_ascii(const vbt_str *s) {
    if (s->ascii < 0) {
        size_t i = 0;
        while (i < s->n && (unsigned char)s->s[i] < 0x80) i++;
        return i == s->n;
    }
    return s->ascii == 1;
}

size_t vbt_char_count(const vbt_str *s) {
    size_t n = 0, bytes;
    for (size_t i = 0; i < s->n; i += bytes, n++) vbt_char(s, i, &bytes);
    return n;
}

size_t vbt_char_offset(const vbt_str *s, size_t i) {
    size_t at = 0, bytes;
    for (; i > 0 && at < s->n; i--, at += bytes) vbt_char(s, at, &bytes);
    return at;
}

void vbt_chars(vbt *t, const vbt_str *s, vbt_val list) {
    size_t bytes;
    for (size_t i = 0; i < s->n; i += bytes) {
        vbt_char(s, i, &bytes);
        vbt_list_add(t, list, vbt_part(t, s, i, i + bytes));
    }
}

size_t vbt_find(vbt *t, const vbt_str *s, size_t from, size_t to, const vbt_str *what) {
    vbt_steps(t, (to - from) / 64);
    if (what->n == 0) return from;
    if (to - from < what->n) return SIZE_MAX;
    const char *p = memmem(s->s + from, to - from, what->s, what->n);
    return p ? (size_t)(p - s->s) : SIZE_MAX;
}

size_t vbt_rfind(vbt *t, const vbt_str *s, size_t from, size_t to, const vbt_str *what) {
    vbt_steps(t, (to - from) / 64);
    if (to - from < what->n) return SIZE_MAX;
    for (size_t at = to - what->n + 1; at-- > from;)
        if (memcmp(s->s + at, what->s, what->n) == 0) return at;
    return SIZE_MAX;
}

bool vbt_is(const vbt_str *s, const char *word) {
    return s->n == strlen(word) && memcmp(s->s, word, s->n) == 0;
}

bool vbt_same_text(const vbt_str *a, const vbt_str *b) {
    return a->n == b->n && memcmp(a->s, b->s, a->n) == 0;
}

/* ---------------------------------------------------------------------------------------------- cutting */

static bool strips(uint32_t cp, const vbt_str *chars) {
    if (!chars) return vbt_space(cp);
    size_t bytes;
    for (size_t i = 0; i < chars->n; i += bytes)
        if (vbt_char(chars, i, &bytes) == cp) return true;
    return false;
}

vbt_val vbt_strip(vbt *t, const vbt_str *s, const vbt_str *chars, int which) {
    size_t from = 0, to = s->n, bytes;
    vbt_steps(t, s->n / 64);
    while ((which & 1) && from < to && strips(vbt_char(s, from, &bytes), chars)) from += bytes;
    while ((which & 2) && to > from) {
        size_t at = to - 1;
        while (at > from && to - at < 4 && ((unsigned char)s->s[at] & 0xC0) == 0x80) at--;
        uint32_t cp = vbt_char(s, at, &bytes);
        if (at + bytes != to) at = to - 1, cp = vbt_char(s, at, &bytes); /* no UTF-8 */
        if (!strips(cp, chars)) break;
        to = at;
    }
    return vbt_part(t, s, from, to);
}

static bool ends_line(uint32_t c) {
    return (c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

vbt_val vbt_splitlines(vbt *t, const vbt_str *s, bool keep) {
    vbt_val out = vbt_list_new(t, VBT_LIST, 0);
    size_t from = 0, bytes;
    for (size_t i = 0; i < s->n;) {
        uint32_t c = vbt_char(s, i, &bytes);
        size_t end = i;
        i += bytes;
        if (!ends_line(c)) continue;
        if (c == '\r' && i < s->n && s->s[i] == '\n') i++;
        vbt_list_add(t, out, vbt_part(t, s, from, keep ? i : end));
        from = i;
    }
    if (from < s->n) vbt_list_add(t, out, vbt_part(t, s, from, s->n));
    return out;
}

vbt_val vbt_reversed(vbt *t, const vbt_str *s) {
    vbt_val list = vbt_list_new(t, VBT_LIST, 0);
    vbt_buf out = {.t = t};
    vbt_chars(t, s, list);
    for (size_t i = list.u.list->n; i-- > 0;) vbt_put_str(&out, list.u.list->v[i].u.s);
    return vbt_buf_value(&out);
}
