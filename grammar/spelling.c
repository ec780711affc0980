/* spelling.c - all ways to write one JSON string [RFC 8259, 7]: so that "a" and "\u0061" are one key. */
#include "grammar/node.h"

#include <string.h>

#include "base/utf8.h"

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* \uXXXX at s; false if it is none. */
static bool unit(const char *s, size_t n, uint32_t *out) {
    uint32_t v = 0;
    if (n < 6 || s[0] != '\\' || s[1] != 'u') return false;
    for (int i = 2; i < 6; i++) {
        const int d = digit(s[i]);
        if (d < 0) return false;
        v = v << 4 | (uint32_t)d;
    }
    *out = v;
    return true;
}

/* One character of a string's inside; its length in bytes, 0 if there is none. Halves of surrogate pairs that
 * stand alone are characters, too. */
static size_t character(const char *s, size_t n, uint32_t *cp) {
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (s[0] != '\\') return vb_utf8_char((const unsigned char *)s, n, cp);
    if (n < 2) return 0;
    const char *at = s[1] ? strchr(names, s[1]) : NULL;
    if (at) return *cp = (uint32_t)(unsigned char)meant[at - names], 2;
    if (!unit(s, n, cp)) return 0;
    uint32_t low;
    if (*cp < 0xD800 || *cp >= 0xDC00 || !unit(s + 6, n - 6, &low) || low < 0xDC00 || low >= 0xE000) return 6;
    *cp = 0x10000 + ((*cp - 0xD800) << 10) + (low - 0xDC00);
    return 12;
}

/* \uXXXX, digits in either case. */
static vbg_node written_unit(vbg_ir *ir, uint32_t v) {
    vbg_node r = VBG_EMPTY;
    for (int i = 0; i < 4; i++, v >>= 4) {
        const char c = "0123456789abcdef"[v & 15];
        vbg_node d = vbg_byte_range(ir, (uint8_t)c, (uint8_t)c);
        if (c >= 'a') d = vbg_alt(ir, d, vbg_byte_range(ir, (uint8_t)(c - 32), (uint8_t)(c - 32)));
        r = vbg_seq(ir, d, r);
    }
    return vbg_seq(ir, vbg_text(ir, "\\u", 2), r);
}

static vbg_node written(vbg_ir *ir, uint32_t cp) {
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char raw[4];
    vbg_node r = cp >= 0x10000 ? vbg_seq(ir, written_unit(ir, 0xD800 + ((cp - 0x10000) >> 10)),
                                         written_unit(ir, 0xDC00 + ((cp - 0x10000) & 0x3FF)))
                               : written_unit(ir, cp);
    if (cp >= 0x20 && cp != '"' && cp != '\\' && (cp < 0xD800 || cp >= 0xE000))
        r = vbg_alt(ir, r, vbg_text(ir, raw, vb_utf8_put(cp, raw)));
    const char *at = cp && cp < 128 ? strchr(meant, (int)cp) : NULL;
    if (at) r = vbg_alt(ir, r, vbg_text(ir, (const char[]){'\\', names[at - meant]}, 2));
    return r;
}

vbg_node vbg_spellings(vbg_ir *ir, const char *s, size_t n) {
    if (n < 2 || s[0] != '"' || s[n - 1] != '"') return vbg_text(ir, s, n);
    uint32_t cps[256];
    size_t at = 1, n_cps = 0;
    vbg_node r = VBG_EMPTY;
    /* In pieces, joined from the left: a sequence leans to the right, so each piece is built from its end. */
    while (at < n - 1) {
        for (n_cps = 0; at < n - 1 && n_cps < 256; n_cps++) {
            const size_t k = character(s + at, n - 1 - at, &cps[n_cps]);
            if (k == 0) return vbg_text(ir, s, n);
            at += k;
        }
        vbg_node piece = VBG_EMPTY;
        while (n_cps-- > 0) piece = vbg_seq(ir, written(ir, cps[n_cps]), piece);
        r = vbg_seq(ir, r, piece);
    }
    const vbg_node quote = vbg_text(ir, "\"", 1);
    return vbg_seq(ir, quote, vbg_seq(ir, r, quote));
}
