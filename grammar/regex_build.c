/* regex_build.c - a regular expression's tree as an expression over UTF-8. See regex.h.
 *
 * Anchors say something of what surrounds a match, so the texts of a part depend on where it stands:
 * F(x, b, e) are those of x where, if b, nothing stands before them and, if e, nothing follows. More
 * of b and e allow more. Z(x, b, e) says that the empty text is one of them. With that
 *
 *   F(^, b, e) = e if b, else 0          F($, b, e) = e if e, else 0
 *   F(x y, b, e) = F(x,b,0) F(y,0,e)  |  F(y,b,e) if Z(x,b,0)  |  F(x,b,e) if Z(y,0,e)
 *                  |  the empty text if Z(x,b,e) and Z(y,b,e)
 *   F(x{m,n}, b, e) = F(x,b,e) if m <= 1 <= n  |  F(x,b,0) F(x,0,0){m-2,n-2} F(x,0,e) if n >= 2
 *                  |  the empty text if m = 0 or Z(x,b,e);    m = 0 if a round may be empty somewhere
 *
 * Without anchors below x this is x's language whatever b and e are. */
#include "grammar/regex.h"
#include "grammar/node.h"

#include <stdlib.h>
#include <string.h>

typedef struct built {
    vbg_node f[2][2]; /* [b][e] */
} built;

static bool empty(const vbg_ir *ir, const built *x, int b, int e) {
    return vbg_nullable(ir, x->f[b][e]);
}

static built same(vbg_node n) {
    return (built){{{n, n}, {n, n}}};
}

static bool anchored(const built *x) {
    return x->f[0][0] != x->f[1][1] || x->f[0][1] != x->f[1][1] || x->f[1][0] != x->f[1][1];
}

static built seq(vbg_ir *ir, const built *x, const built *y) {
    if (!anchored(x) && !anchored(y)) return same(vbg_seq(ir, x->f[0][0], y->f[0][0]));
    built r;
    for (int b = 0; b < 2; b++)
        for (int e = 0; e < 2; e++) {
            vbg_node n = vbg_seq(ir, x->f[b][0], y->f[0][e]);
            if (empty(ir, x, b, 0)) n = vbg_alt(ir, n, y->f[b][e]);
            if (empty(ir, y, 0, e)) n = vbg_alt(ir, n, x->f[b][e]);
            if (empty(ir, x, b, e) && empty(ir, y, b, e)) n = vbg_alt(ir, n, VBG_EMPTY);
            r.f[b][e] = n;
        }
    return r;
}

static built repeat(vbg_ir *ir, const built *x, uint32_t min, uint32_t max) {
    if (!anchored(x)) return same(vbg_repeat(ir, x->f[0][0], min, max));
    built r;
    for (int b = 0; b < 2; b++)
        for (int e = 0; e < 2; e++) {
            const bool skip = empty(ir, x, b, 0) || empty(ir, x, 0, 0) || empty(ir, x, 0, e);
            const uint32_t m = skip ? 0 : min;
            vbg_node n = min == 0 || empty(ir, x, b, e) ? VBG_EMPTY : VBG_NONE;
            if (m <= 1 && max >= 1) n = vbg_alt(ir, n, x->f[b][e]);
            if (max >= 2) {
                const vbg_node inner =
                    vbg_repeat(ir, x->f[0][0], m > 2 ? m - 2 : 0, max == VBG_INF ? max : max - 2);
                n = vbg_alt(ir, n, vbg_seq(ir, x->f[b][0], vbg_seq(ir, inner, x->f[0][e])));
            }
            r.f[b][e] = n;
        }
    return r;
}

static built build(vbg_ir *ir, const vbg_regex *r, const built *done, const vbg_regex_node *n) {
    const uint32_t *child = r->children ? r->children + n->first : NULL;
    built x;
    switch (n->kind) {
    case VBG_RE_CLASS: return same(vbg_points(ir, n->n ? r->ranges + n->first : NULL, n->n));
    case VBG_RE_REPEAT: return repeat(ir, &done[child[0]], n->min, n->max);
    case VBG_RE_BEGIN: return (built){{{VBG_NONE, VBG_NONE}, {VBG_EMPTY, VBG_EMPTY}}};
    case VBG_RE_END: return (built){{{VBG_NONE, VBG_EMPTY}, {VBG_NONE, VBG_EMPTY}}};
    case VBG_RE_SEQ:
        x = done[child[n->n - 1]];
        for (uint32_t i = n->n - 1; i-- > 0;) x = seq(ir, &done[child[i]], &x);
        return x;
    case VBG_RE_ALT:
        x = done[child[0]];
        for (uint32_t i = 1; i < n->n; i++)
            for (int k = 0; k < 4; k++)
                x.f[k / 2][k % 2] = vbg_alt(ir, x.f[k / 2][k % 2], done[child[i]].f[k / 2][k % 2]);
        return x;
    default: return same(VBG_EMPTY);
    }
}

vbg_node vbg_regex_build(vbg_ir *ir, const vbg_regex *r, bool search) {
    built *done;
    const vbg_range all = {0, 0x10FFFF};
    if (ir->error.code || r->n_nodes == 0 ||
        vb_alloc((void **)&done, r->n_nodes, sizeof *done, "a regular expression", &ir->error))
        return VBG_NONE;
    for (size_t i = 0; i < r->n_nodes; i++) done[i] = build(ir, r, done, &r->nodes[i]);
    const built x = done[r->n_nodes - 1];
    free(done);
    if (!search) return x.f[1][1];
    const vbg_node any = vbg_repeat(ir, vbg_points(ir, &all, 1), 0, VBG_INF);
    const vbg_node ahead = vbg_seq(ir, any, x.f[0][0]);
    if (!anchored(&x)) return vbg_seq(ir, ahead, any);
    vbg_node n = vbg_alt(ir, vbg_seq(ir, ahead, any), vbg_seq(ir, any, x.f[0][1]));
    n = vbg_alt(ir, n, vbg_seq(ir, x.f[1][0], any));
    return vbg_alt(ir, n, x.f[1][1]);
}
