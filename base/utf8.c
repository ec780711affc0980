/* utf8.c - well-formed UTF-8, white space, and cutting a byte stream at character boundaries. */
#include "base/utf8.h"

#include <string.h>

/* The range of the second byte narrows for four lead bytes;
 * all others take 80..BF [Unicode 15, table 3-7]. */
static size_t lead(unsigned char c, unsigned char *lo, unsigned char *hi) {
    *lo = 0x80, *hi = 0xBF;
    if (c < 0x80) return 1;
    if (c < 0xC2) return 0;
    if (c < 0xE0) return 2;
    if (c < 0xF0) {
        if (c == 0xE0) *lo = 0xA0; /* overlong */
        if (c == 0xED) *hi = 0x9F; /* surrogates */
        return 3;
    }
    if (c < 0xF5) {
        if (c == 0xF0) *lo = 0x90; /* overlong */
        if (c == 0xF4) *hi = 0x8F; /* above U+10FFFF */
        return 4;
    }
    return 0;
}

/* How many of the bytes s[0..n) belong to one character, well-formed or cut short by n; 0 if s[0] starts
 * none. *want is the length of the whole character. */
static size_t prefix(const unsigned char *s, size_t n, size_t *want) {
    unsigned char lo, hi;
    *want = lead(s[0], &lo, &hi);
    if (*want == 0) return 0;
    size_t i = 1;
    for (; i < *want && i < n; i++) {
        if (s[i] < lo || s[i] > hi) return 0;
        lo = 0x80, hi = 0xBF;
    }
    return i;
}

size_t vb_utf8_char(const unsigned char *s, size_t n, uint32_t *cp) {
    size_t want;
    if (n == 0 || prefix(s, n, &want) != want || want == 0) return 0;
    if (cp) {
        uint32_t c = want == 1 ? s[0] : s[0] & (0x7Fu >> want);
        for (size_t i = 1; i < want; i++) c = c << 6 | (s[i] & 0x3Fu);
        *cp = c;
    }
    return want;
}

size_t vb_utf8_put(uint32_t cp, char out[4]) {
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)((0xF00u >> n & 0xFF) | cp);
    return n;
}

bool vb_is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
           c == 0x3000;
}

size_t vb_utf8_push(vb_utf8 *u, const char *bytes, size_t len, char *out) {
    size_t written = 0;
    for (size_t i = 0; i < len;) {
        /* Complete what is held, one byte at a time: at most three come from before. */
        u->held[u->n_held++] = (unsigned char)bytes[i++];
        for (;;) {
            size_t want, got = prefix(u->held, (size_t)u->n_held, &want);
            if (got > 0 && got < want) break; /* a character that goes on in the next byte */
            /* Whole, or no character: then its first byte passes through and the rest is looked at again. */
            size_t go = got > 0 ? got : 1;
            memcpy(out + written, u->held, go);
            written += go;
            u->n_held -= (int)go;
            memmove(u->held, u->held + go, (size_t)u->n_held);
            if (u->n_held == 0) break;
        }
    }
    return written;
}

size_t vb_utf8_flush(vb_utf8 *u, char *out) {
    size_t n = (size_t)u->n_held;
    memcpy(out, u->held, n);
    u->n_held = 0;
    return n;
}

char *vb_escape(const char *s, size_t len, char *out, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        size_t c = vb_utf8_char((const unsigned char *)s + i, len - i, NULL);
        unsigned char b = (unsigned char)s[i];
        char e[8];
        size_t k = c;
        if (c == 0 || b < 0x20 || b == 0x7F) {
            static const char digit[] = "0123456789ABCDEF";
            e[0] = '\\', e[1] = 'x';
            e[2] = digit[b >> 4], e[3] = digit[b & 15];
            k = 4, c = 1;
            if (b == '\n') e[1] = 'n', k = 2;
        } else {
            memcpy(e, s + i, k);
        }
        if (n + k + 4 > size) { /* room for "..." */
            memcpy(out + n, "...", 4);
            return out;
        }
        memcpy(out + n, e, k);
        n += k;
        i += c;
    }
    out[n] = 0;
    return out;
}
