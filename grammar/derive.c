/* derive.c - derivatives, and what can be asked of a regular expression by taking them. See ir.h.
 *
 *   d(e) = d(0) = 0    d(set) = e if the byte is in it, else 0
 *   d(a b) = d(a) b | d(b) if a has the empty text        d(a|b) = d(a) | d(b)     d(a&b) = d(a) & d(b)
 *   d(~a) = ~d(a)                                         d(a{m,n}) = d(a) a{m-1,n-1}
 *
 * The last one also where a has the empty text: then a{m,n} = a{0,n} (vbg_repeat sees to it). */
#include "grammar/node.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

bool vbg_is_regular(const vbg_ir *ir, vbg_node a) {
    return (vbg_at(ir, a)->flags & VBG_F_REGULAR) != 0;
}

bool vbg_nullable(const vbg_ir *ir, vbg_node a) {
    return (vbg_at(ir, a)->flags & VBG_F_NULLABLE) != 0;
}

static vbg_node derive_members(vbg_ir *ir, vbg_item it, uint8_t c) {
    vbg_node some[16], *d = some, r = VBG_NONE;
    if (it.b > 16 && vb_alloc((void **)&d, it.b, sizeof *d, "a grammar", &ir->error)) return VBG_NONE;
    size_t n = 0;
    for (uint32_t i = 0; i < it.b; i++) {
        const vbg_node x = vbg_derive(ir, ir->lists[it.a + i], c);
        if (x != VBG_NONE) d[n++] = x;
        if (x == VBG_NONE && it.kind == VBG_K_AND) goto done;
    }
    if (it.kind == VBG_K_ALT) {
        r = vbg_alts(ir, d, n);
    } else {
        r = VBG_ALL;
        for (size_t i = 0; i < n; i++) r = vbg_and(ir, r, d[i]);
    }
done:
    if (d != some) free(d);
    return r;
}

static vbg_node derive_sequence(vbg_ir *ir, vbg_node n, uint8_t c) {
    vbg_node r = VBG_NONE;
    for (;;) {
        const vbg_item it = *vbg_at(ir, n);
        if (it.kind != VBG_K_SEQ) return vbg_alt(ir, r, vbg_derive(ir, n, c));
        r = vbg_alt(ir, r, vbg_seq(ir, vbg_derive(ir, it.a, c), it.b));
        if (!vbg_nullable(ir, it.a)) return r;
        n = it.b;
    }
}

static vbg_node derive_dfa(vbg_ir *ir, vbg_item it, uint8_t c) {
    const vbg_dfa_entry *d = &ir->dfas[it.a];
    for (uint32_t e = d->first[it.b]; e < d->first[it.b + 1]; e++)
        if (c >= d->edges[e].lo && c <= d->edges[e].hi) return vbg_dfa_state(ir, it.a, d->edges[e].to);
    return VBG_NONE;
}

vbg_node vbg_derive(vbg_ir *ir, vbg_node n, uint8_t c) {
    const vbg_item it = *vbg_at(ir, n);
    vbg_node d;
    ir->work++;
    switch ((vbg_kind)it.kind) {
    case VBG_K_BYTES: return vbg_set_has(&ir->sets[it.a], c) ? VBG_EMPTY : VBG_NONE;
    case VBG_K_SEQ: return derive_sequence(ir, n, c);
    case VBG_K_ALT:
    case VBG_K_AND: return derive_members(ir, it, c);
    case VBG_K_NOT: return vbg_not(ir, vbg_derive(ir, it.a, c));
    case VBG_K_REPEAT:
        d = vbg_derive(ir, it.a, c);
        if (d == VBG_NONE) return d;
        return vbg_seq(ir, d,
                       vbg_repeat_as(ir, it.a, it.min ? it.min - 1 : 0,
                                     it.max == VBG_INF ? VBG_INF : it.max - 1, false));
    case VBG_K_DFA: return derive_dfa(ir, it, c);
    default: return VBG_NONE;
    }
}

/* ------------------------------------------------------------------------------------- classes of bytes */

static void tell(uint64_t h[2], uint64_t v) {
    h[0] = (h[0] ^ v) * UINT64_C(0x9E3779B97F4A7C15), h[0] ^= h[0] >> 32;
    h[1] = (h[1] + v + 1) * UINT64_C(0xD6E8FEB86659FD93), h[1] ^= h[1] >> 29;
}

/* What the builder has got since the last time. A grammar gets new sets and DFAs while it is searched: to
 * tell all of it again each time took seconds. */
static void tell_new(vbg_ir *ir) {
    for (; ir->reps_sets < ir->n_sets; ir->reps_sets++)
        for (unsigned c = 0; c < 256; c++)
            tell(ir->told[0][c], (uint64_t)vbg_set_has(&ir->sets[ir->reps_sets], c));
    for (; ir->reps_dfas < ir->n_dfas; ir->reps_dfas++) {
        const vbg_dfa_entry *d = &ir->dfas[ir->reps_dfas];
        for (uint32_t s = 0; s < d->n_states; s++)
            for (uint32_t e = d->first[s]; e < d->first[s + 1]; e++)
                for (unsigned c = d->edges[e].lo; c <= d->edges[e].hi; c++)
                    tell(ir->told[1][c], (uint64_t)s << 32 | d->edges[e].to);
        /* Between DFAs, so that their edges do not run into each other. */
        for (unsigned c = 0; c < 256; c++) tell(ir->told[1][c], UINT64_MAX);
    }
}

/* Bytes are of one class if every set has both or neither and every DFA goes the same way by both from every
 * state: two hashes of what is told of a byte, which differ for different classes but for a chance of
 * 2^-128. */
const uint8_t *vbg_byte_classes(vbg_ir *ir, int *n) {
    if (!ir->n_reps || ir->reps_sets != ir->n_sets || ir->reps_dfas != ir->n_dfas) {
        tell_new(ir);
        ir->n_reps = 0;
        for (int c = 0; c < 256; c++) {
            int k = 0;
            while (k < ir->n_reps &&
                   (memcmp(ir->told[0][ir->reps[k]], ir->told[0][c], sizeof ir->told[0][c]) != 0 ||
                    memcmp(ir->told[1][ir->reps[k]], ir->told[1][c], sizeof ir->told[1][c]) != 0))
                k++;
            if (k == ir->n_reps) ir->reps[ir->n_reps++] = (uint8_t)c;
        }
        ir->work += 256;
    }
    *n = ir->n_reps;
    return ir->reps;
}

/* -------------------------------------------------------------------------------------------- questions */

bool vbg_matches(vbg_ir *ir, vbg_node a, const char *text, size_t n) {
    for (size_t i = 0; i < n && a != VBG_NONE; i++) a = vbg_derive(ir, a, (uint8_t)text[i]);
    return vbg_nullable(ir, a);
}

/* A search among derivatives: who was met, and from where. */
typedef struct search {
    vbg_node *node;
    size_t *parent;
    size_t n, room_n, room_p;
    uint32_t *seen; /* hash -> index + 1 */
    size_t size;
} search;

static bool met(vbg_ir *ir, search *s, vbg_node n, size_t parent) {
    if (2 * (s->n + 1) > s->size) {
        const size_t size = s->size ? 2 * s->size : 256;
        uint32_t *t = calloc(size, sizeof *t);
        if (!t)
            return vbg_ir_fail(ir, VB_ERR_MEMORY, "out of memory (%zu bytes for a search)", 4 * size), true;
        for (size_t i = 0; i < s->n; i++) {
            size_t at = s->node[i] * UINT64_C(0x9E3779B97F4A7C15) >> 20 & (size - 1);
            while (t[at]) at = (at + 1) & (size - 1);
            t[at] = (uint32_t)i + 1;
        }
        free(s->seen);
        s->seen = t, s->size = size;
    }
    size_t at = n * UINT64_C(0x9E3779B97F4A7C15) >> 20 & (s->size - 1);
    for (; s->seen[at]; at = (at + 1) & (s->size - 1))
        if (s->node[s->seen[at] - 1] == n) return true;
    if (vb_grow((void **)&s->node, &s->room_n, s->n + 1, sizeof *s->node, "a search", &ir->error) ||
        vb_grow((void **)&s->parent, &s->room_p, s->n + 1, sizeof *s->parent, "a search", &ir->error))
        return true;
    s->node[s->n] = n, s->parent[s->n] = parent;
    s->seen[at] = (uint32_t)++s->n;
    return false;
}

static bool known(const vbg_ir *ir, vbg_node n, bool *yes) {
    const unsigned f = vbg_at(ir, n)->flags;
    if (f & (VBG_F_PURE | VBG_F_NULLABLE)) return *yes = true, true;
    if (!(f & VBG_F_SEEN)) return false;
    return *yes = (f & VBG_F_SOME) != 0, true;
}

/* The derivatives of the i-th one. Where one is known to have a text, so do all on the way to it. */
static void look_behind(vbg_ir *ir, search *s, size_t i, bool *yes) {
    int n_reps;
    const uint8_t *reps = vbg_byte_classes(ir, &n_reps);
    for (int k = 0; k < n_reps && !*yes; k++) {
        const vbg_node d = vbg_derive(ir, s->node[i], reps[k]);
        if (!known(ir, d, yes)) met(ir, s, d, i);
        for (size_t p = i; *yes; p = s->parent[p]) {
            ir->nodes[s->node[p]].flags |= VBG_F_SEEN | VBG_F_SOME;
            if (p == 0) break;
        }
    }
}

/* Breadth first and depth first in turn, each going on from what it met itself: a short text is found before
 * a long loop is gone through, and a text that is long by a count without all that are shorter. */
static bool look(vbg_ir *ir, search *s, bool *yes) {
    const uint64_t from = ir->work;
    size_t oldest = 0, n_deep = 0, room_deep = 0, room_done = 0, n_done = 0;
    size_t *deep = NULL;
    bool *done = NULL;
    *yes = false;
    for (bool wide = true; !ir->error.code && !*yes; wide = !wide) {
        if (vb_grow((void **)&deep, &room_deep, s->n, sizeof *deep, "a search", &ir->error) ||
            vb_grow((void **)&done, &room_done, s->n, sizeof *done, "a search", &ir->error))
            break;
        /* What the step before has met; that of the other kind is left to the order in which it was met. */
        for (; n_done < s->n; done[n_done++] = false)
            if (wide) deep[n_deep++] = n_done;
        while (n_deep && done[deep[n_deep - 1]]) n_deep--;
        while (oldest < s->n && done[oldest]) oldest++;
        if (oldest == s->n) break;
        const size_t i = wide || !n_deep ? oldest : deep[n_deep - 1];
        done[i] = true;
        look_behind(ir, s, i, yes);
        if (ir->work - from > VBG_MAX_SEARCH)
            vbg_ir_fail(ir, VB_ERR_UNSUPPORTED,
                        "whether an intersection or an exclusion has a text takes too much memory or time to "
                        "find out: more than %d steps",
                        VBG_MAX_SEARCH);
    }
    free(deep);
    free(done);
    return !ir->error.code;
}

int vbg_has_text(vbg_ir *ir, vbg_node a, bool *yes, vb_error *err) {
    search s = {0};
    if (ir->error.code || known(ir, a, yes)) return vbg_ir_error(ir, err);
    met(ir, &s, a, 0);
    /* Where there is none, none of those met has one. */
    if (look(ir, &s, yes) && !*yes)
        for (size_t i = 0; i < s.n; i++) ir->nodes[s.node[i]].flags |= VBG_F_SEEN;
    free(s.node);
    free(s.parent);
    free(s.seen);
    return vbg_ir_error(ir, err);
}

/* ---------------------------------------------------------------------------------------- counted loops */

enum { COUNTED_FROM = 8, COUNTED_BYTES = 16, COUNTED_STATES = 64 };

bool vbg_is_counted(vbg_ir *ir, vbg_node a, uint32_t min, uint32_t max) {
    search s = {0};
    const unsigned want = VBG_F_REGULAR | VBG_F_PURE, f = vbg_at(ir, a)->flags;
    if ((f & want) != want || f & (VBG_F_NULLABLE | VBG_F_COUNTED)) return false;
    if (min < COUNTED_FROM && (max < COUNTED_FROM || max == VBG_INF)) return false;
    int first = 0;
    for (int c = 0; c < 256; c++) first += vbg_derive(ir, a, (uint8_t)c) != VBG_NONE;
    bool good = first >= COUNTED_BYTES;
    met(ir, &s, a, 0);
    for (size_t i = 0; good && i < s.n && !ir->error.code; i++) {
        int n_reps;
        const uint8_t *reps = vbg_byte_classes(ir, &n_reps);
        for (int k = 0; k < n_reps && good; k++) {
            const vbg_node d = vbg_derive(ir, s.node[i], reps[k]);
            if (d == VBG_NONE || d == VBG_EMPTY) continue;
            met(ir, &s, d, i);
            good = !vbg_nullable(ir, d) && s.n <= COUNTED_STATES;
        }
    }
    free(s.node);
    free(s.parent);
    free(s.seen);
    return good && !ir->error.code;
}
