/* points.c - classes of code points and lists of words as expressions over bytes: tries, so that one byte
 * leads to one place. See ir.h. */
#include "grammar/node.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* ----------------------------------------------------------------------------------------- code points */

typedef struct points {
    vbg_ir *ir;
    const vbg_range *r; /* ascending, disjoint, not adjacent */
    size_t n;
    vbg_node any[4]; /* k continuation bytes of any value */
} points;

/* How much of [lo, hi] the ranges cover: 0 nothing, 2 all, 1 a part. */
static int covered(const points *p, uint32_t lo, uint32_t hi) {
    size_t a = 0, b = p->n;
    while (a < b) { /* the first range that ends at lo or above */
        const size_t m = (a + b) / 2;
        if (p->r[m].hi < lo)
            a = m + 1;
        else
            b = m;
    }
    if (a == p->n || p->r[a].lo > hi) return 0;
    return p->r[a].lo <= lo && hi <= p->r[a].hi ? 2 : 1;
}

/* What may follow when code points from `base` on are left to be told apart by k continuation bytes:
 * continuation byte i of the first leads to base + i*64^(k-1). */
static vbg_node follow(points *p, uint32_t base, int k) {
    const uint32_t size = UINT32_C(1) << 6 * k;
    const int c = covered(p, base, base + size - 1);
    if (c != 1 || k == 0) return c == 0 ? VBG_NONE : p->any[k];
    vbg_node to[64] = {0}, r = VBG_NONE;
    for (unsigned i = 0; i < 64; i++) to[i] = follow(p, base + (i << 6 * (k - 1)), k - 1);
    for (unsigned i = 0; i < 64; i++) {
        uint64_t w[4] = {0};
        if (to[i] == VBG_NONE) continue;
        for (unsigned j = i; j < 64; j++) /* all that lead to the same place, as one set */
            if (to[j] == to[i]) w[2] |= UINT64_C(1) << j;
        r = vbg_alt(p->ir, r, vbg_seq(p->ir, vbg_byte_set(p->ir, w), to[i]));
        for (unsigned j = 63; j > i; j--)
            if (to[j] == to[i]) to[j] = VBG_NONE;
    }
    return r;
}

/* All lead bytes first .. last, which begin k continuation bytes each. */
static vbg_node led(points *p, unsigned first, unsigned last, uint32_t mask, int k) {
    vbg_node r = VBG_NONE, to[64] = {0};
    for (unsigned c = first; c <= last; c++) to[c - first] = follow(p, (c & mask) << 6 * k, k);
    for (unsigned i = 0; i <= last - first; i++) {
        uint64_t w[4] = {0};
        const vbg_node t = to[i];
        for (unsigned j = i; j <= last - first && t != VBG_NONE; j++)
            if (to[j] == t) {
                w[(first + j) >> 6] |= UINT64_C(1) << ((first + j) & 63);
                to[j] = VBG_NONE;
            }
        if (t != VBG_NONE) r = vbg_alt(p->ir, r, vbg_seq(p->ir, vbg_byte_set(p->ir, w), t));
    }
    return r;
}

static int by_lo(const void *x, const void *y) {
    const vbg_range *a = x, *b = y;
    return a->lo < b->lo ? -1 : a->lo > b->lo;
}

/* Sorted, merged, without surrogates and what is too large. Returns how many; `to` has room for n + 2. */
static size_t normalise(vbg_range *to, const vbg_range *r, size_t n) {
    size_t m = 0, out = 0;
    for (size_t i = 0; i < n; i++) {
        vbg_range x = r[i];
        if (x.hi > 0x10FFFF) x.hi = 0x10FFFF;
        if (x.lo <= x.hi) to[m++] = x;
    }
    qsort(to, m, sizeof *to, by_lo);
    for (size_t i = 0; i < m; i++) {
        if (out && to[i].lo <= to[out - 1].hi + 1) {
            if (to[i].hi > to[out - 1].hi) to[out - 1].hi = to[i].hi;
        } else {
            to[out++] = to[i];
        }
    }
    for (size_t i = 0; i < out; i++) { /* at most one of them holds both sides of the hole */
        const vbg_range x = to[i];
        if (x.hi < 0xD800 || x.lo > 0xDFFF) continue;
        if (x.lo < 0xD800 && x.hi > 0xDFFF) {
            memmove(to + i + 1, to + i, (out - i) * sizeof *to);
            out++;
            to[i].hi = 0xD7FF, to[i + 1].lo = 0xE000;
            break;
        }
        if (x.lo < 0xD800)
            to[i].hi = 0xD7FF;
        else if (x.hi > 0xDFFF)
            to[i].lo = 0xE000;
        else
            memmove(to + i, to + i + 1, (out - i - 1) * sizeof *to), out--, i--;
    }
    return out;
}

vbg_node vbg_points(vbg_ir *ir, const vbg_range *ranges, size_t n) {
    vbg_range *r;
    uint64_t ascii[4] = {0};
    if (ir->error.code || vb_alloc((void **)&r, n + 2, sizeof *r, "a class of characters", &ir->error))
        return VBG_NONE;
    points p = {.ir = ir, .r = r, .n = normalise(r, ranges, n), .any = {VBG_EMPTY}};
    for (int k = 1; k < 4; k++) p.any[k] = vbg_seq(ir, vbg_byte_range(ir, 0x80, 0xBF), p.any[k - 1]);
    for (uint32_t c = 0; c < 0x80; c++)
        if (covered(&p, c, c)) ascii[c >> 6] |= UINT64_C(1) << (c & 63);
    vbg_node a = vbg_byte_set(ir, ascii);
    /* Overlong forms lie below what each length is for. */
    vbg_range *hi = r;
    while (p.n && hi->hi < 0x80) hi++, p.n--;
    if (p.n && hi->lo < 0x80) hi->lo = 0x80;
    p.r = hi;
    a = vbg_alt(ir, a, led(&p, 0xC2, 0xDF, 0x1F, 1));
    while (p.n && hi->hi < 0x800) hi++, p.n--;
    if (p.n && hi->lo < 0x800) hi->lo = 0x800;
    p.r = hi;
    a = vbg_alt(ir, a, led(&p, 0xE0, 0xEF, 0x0F, 2));
    while (p.n && hi->hi < 0x10000) hi++, p.n--;
    if (p.n && hi->lo < 0x10000) hi->lo = 0x10000;
    p.r = hi;
    a = vbg_alt(ir, a, led(&p, 0xF0, 0xF4, 0x07, 3));
    free(r);
    return a;
}

/* ----------------------------------------------------------------------------------------- words */

static int by_bytes(const void *x, const void *y) {
    const vbg_span *a = x, *b = y;
    const size_t n = a->n < b->n ? a->n : b->n;
    const int c = n ? memcmp(a->s, b->s, n) : 0;
    return c ? c : a->n < b->n ? -1 : a->n > b->n;
}

/* The sorted words w[0..n), each from byte `at` on. */
static vbg_node words_from(vbg_ir *ir, const vbg_span *w, size_t n, size_t at) {
    if (ir->error.code) return VBG_NONE;
    if (n == 1) return vbg_text(ir, w->s + at, w->n - at);
    /* What the first and the last share, all share. */
    size_t same = at;
    while (same < w[0].n && same < w[n - 1].n && w[0].s[same] == w[n - 1].s[same]) same++;
    vbg_node r = VBG_NONE;
    size_t i = 0;
    for (; i < n && w[i].n == same; i++) r = VBG_EMPTY;
    while (i < n) {
        size_t j = i + 1;
        while (j < n && w[j].s[same] == w[i].s[same]) j++;
        r = vbg_alt(ir, r,
                    vbg_seq(ir, vbg_text(ir, w[i].s + same, 1), words_from(ir, w + i, j - i, same + 1)));
        i = j;
    }
    return vbg_seq(ir, vbg_text(ir, w->s + at, same - at), r);
}

vbg_node vbg_words(vbg_ir *ir, const vbg_span *words, size_t n) {
    vbg_span *w;
    if (ir->error.code || n == 0 || vb_alloc((void **)&w, n, sizeof *w, "words", &ir->error)) return VBG_NONE;
    memcpy(w, words, n * sizeof *w);
    qsort(w, n, sizeof *w, by_bytes);
    const vbg_node r = words_from(ir, w, n, 0);
    free(w);
    return r;
}
