/* inline.c - rules that are small and regular are written out where they are named: `char` in ("\""
 * char* "\"") becomes a part of the string's lexeme. Rules with an unbounded repetition stay rules:
 * what is fused with one would make a lexeme of its own for every place, and a share of the masks for
 * each. */
#include <stdlib.h>
#include <string.h>

#include "grammar/grammar.h"

enum { MOST_PARTS = 200, MOST_PASSES = 20 };

typedef struct pass {
    vbg_ir *ir;
    vbg_node *to;    /* what a node becomes */
    uint32_t *parts; /* how large it is written out, up to MOST_PARTS + 1 */
    bool *loops;     /* an unbounded repetition below */
    bool *small;     /* of rules */
} pass;

static void measure(pass *p, vbg_node n) {
    const vbg_item *it = vbg_at(p->ir, n);
    uint32_t sum = 1;
    bool loops = it->kind == VBG_K_REPEAT && it->max == VBG_INF;
    const vbg_kind k = (vbg_kind)it->kind;
    if (k == VBG_K_SEQ || k == VBG_K_NOT || k == VBG_K_REPEAT || k == VBG_K_SCOPE || k == VBG_K_FRESH)
        sum += p->parts[it->a], loops |= p->loops[it->a];
    if (k == VBG_K_SEQ) sum += p->parts[it->b], loops |= p->loops[it->b];
    for (uint32_t i = 0; (k == VBG_K_ALT || k == VBG_K_AND) && i < it->b && sum <= MOST_PARTS; i++)
        sum += p->parts[p->ir->lists[it->a + i]], loops |= p->loops[p->ir->lists[it->a + i]];
    p->parts[n] = sum > MOST_PARTS ? MOST_PARTS + 1 : sum;
    p->loops[n] = loops;
}

static vbg_node rewrite(pass *p, vbg_node n) {
    vbg_ir *ir = p->ir;
    const vbg_item it = *vbg_at(ir, n);
    if (it.flags & VBG_F_REGULAR) return n;
    switch ((vbg_kind)it.kind) {
    case VBG_K_RULE: return p->small[it.a] ? ir->rules[it.a].body : n;
    case VBG_K_SEQ: return vbg_seq(ir, p->to[it.a], p->to[it.b]);
    case VBG_K_REPEAT: return vbg_repeat(ir, p->to[it.a], it.min, it.max);
    case VBG_K_SCOPE: return vbg_scope(ir, p->to[it.a]);
    case VBG_K_ALT: {
        vbg_node *list;
        vbg_node r = VBG_NONE;
        if (vb_alloc((void **)&list, it.b, sizeof *list, "a grammar", &ir->error)) return VBG_NONE;
        for (uint32_t i = 0; i < it.b; i++) list[i] = p->to[ir->lists[it.a + i]];
        r = vbg_alts(ir, list, it.b);
        free(list);
        return r;
    }
    default: return n;
    }
}

static void again(pass *p, vbg_node *root) {
    vbg_ir *ir = p->ir;
    const size_t n = ir->n_nodes;
    for (size_t i = 0; i < n && !ir->error.code; i++) p->to[i] = rewrite(p, (vbg_node)i);
    for (size_t r = 0; r < ir->n_rules; r++) ir->rules[r].body = p->to[ir->rules[r].body];
    *root = p->to[*root];
}

static int make_room(pass *p, vb_error *err) {
    const size_t n = p->ir->n_nodes;
    free(p->to);
    free(p->parts);
    free(p->loops);
    p->to = NULL, p->parts = NULL, p->loops = NULL;
    int rc = vb_alloc((void **)&p->to, n, sizeof *p->to, "a grammar", err);
    if (!rc) rc = vb_alloc((void **)&p->parts, n, sizeof *p->parts, "a grammar", err);
    if (!rc) rc = vb_alloc((void **)&p->loops, n, sizeof *p->loops, "a grammar", err);
    for (size_t i = 0; i < n && !rc; i++) measure(p, (vbg_node)i);
    return rc;
}

int vbg_inline_small(vbg_ir *ir, vbg_node *root, vb_error *err) {
    pass p = {.ir = ir};
    bool changed = true;
    int rc = vbg_ir_error(ir, err);
    if (!rc) rc = vb_alloc((void **)&p.small, ir->n_rules + 1, sizeof *p.small, "a grammar", err);
    if (!rc) memset(p.small, 0, ir->n_rules * sizeof *p.small);
    for (int i = 0; i < MOST_PASSES && changed && !rc; i++) {
        changed = false;
        rc = make_room(&p, err);
        for (size_t r = 0; r < ir->n_rules && !rc; r++) {
            const vbg_node b = ir->rules[r].body;
            if (p.small[r] || !vbg_is_regular(ir, b) || p.loops[b] || p.parts[b] > MOST_PARTS) continue;
            p.small[r] = changed = true;
        }
        if (changed && !rc) again(&p, root);
        if (!rc) rc = vbg_ir_error(ir, err);
    }
    free(p.to);
    free(p.parts);
    free(p.loops);
    free(p.small);
    return rc;
}
