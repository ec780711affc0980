/* finish.c - the checks between a builder and a grammar: rules that are missing, left recursion, languages
 * without a text. See ir.h. */
#include "grammar/grammar.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static const char *rule_name(const vbg_ir *ir, uint32_t rule) {
    return ir->rules[rule].name ? ir->rules[rule].name : "(without a name)";
}

/* What is known of a node from what is known of those below it. */
static unsigned conclude(const vbg_ir *ir, const vbg_item *it) {
    const unsigned both = VBG_F_NULLABLE | VBG_F_TEXT;
    unsigned f = 0;
    switch ((vbg_kind)it->kind) {
    case VBG_K_SEQ: return vbg_at(ir, it->a)->flags & vbg_at(ir, it->b)->flags & both;
    case VBG_K_ALT:
        for (uint32_t i = 0; i < it->b; i++) f |= vbg_at(ir, ir->lists[it->a + i])->flags & both;
        return f;
    case VBG_K_REPEAT: return it->min == 0 ? both : vbg_at(ir, it->a)->flags & both;
    case VBG_K_RULE: return vbg_at(ir, ir->rules[it->a].body)->flags & both;
    case VBG_K_SCOPE: return vbg_at(ir, it->a)->flags & both;
    case VBG_K_FRESH: return vbg_at(ir, it->a)->flags & VBG_F_TEXT;
    default: return it->flags & both;
    }
}

/* The least fixed point over all nodes: children are older than parents, so a round is one pass, and only
 * rules ask for another. */
static int settle(vbg_ir *ir) {
    const uint64_t from = ir->work;
    /* Derivatives join behind these. They are regular, and whether they have a text is asked when a text
     * leads to them: a count beside a pattern has hundreds of thousands. */
    const size_t n = ir->n_nodes;
    for (size_t i = 0; i < n; i++) {
        vbg_item *it = &ir->nodes[i];
        bool yes;
        if (!(it->flags & VBG_F_REGULAR)) {
            it->flags &= (uint8_t) ~(VBG_F_NULLABLE | VBG_F_TEXT);
        } else if (!(it->flags & VBG_F_PURE) && i != VBG_NONE) {
            if (vbg_has_text(ir, (vbg_node)i, &yes, NULL)) return ir->error.code;
            if (ir->work - from > VBG_MAX_SEARCH)
                return vbg_ir_fail(
                    ir, VB_ERR_UNSUPPORTED,
                    "whether its intersections and exclusions have texts takes too much memory or "
                    "time to find out: more than %d steps",
                    VBG_MAX_SEARCH);
            ir->nodes[i].flags = (uint8_t)((ir->nodes[i].flags & ~VBG_F_TEXT) | (yes ? VBG_F_TEXT : 0));
        }
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < ir->n_nodes; i++) {
            vbg_item *it = &ir->nodes[i];
            if (it->flags & VBG_F_REGULAR) continue;
            const unsigned f = it->flags | conclude(ir, it);
            changed |= f != it->flags;
            it->flags = (uint8_t)f;
        }
    }
    return VB_OK;
}

/* ----------------------------------------------------------------------------------------- left recursion */

/* The k-th node that may stand first in a text of n; VBG_NONE after the last. */
static vbg_node leftmost(const vbg_ir *ir, vbg_node n, uint32_t k) {
    const vbg_item *it = vbg_at(ir, n);
    if (it->flags & VBG_F_REGULAR || !(it->flags & VBG_F_TEXT)) return VBG_NONE;
    switch ((vbg_kind)it->kind) {
    case VBG_K_SEQ: return k == 0 ? it->a : k == 1 && vbg_nullable(ir, it->a) ? it->b : VBG_NONE;
    case VBG_K_ALT: return k < it->b ? ir->lists[it->a + k] : VBG_NONE;
    case VBG_K_RULE: return k == 0 ? ir->rules[it->a].body : VBG_NONE;
    case VBG_K_REPEAT:
    case VBG_K_SCOPE: return k == 0 ? it->a : VBG_NONE;
    default: return VBG_NONE;
    }
}

typedef struct walk {
    vbg_node node;
    uint32_t next;
} walk;

/* A walk along leftmost nodes, depth first: mark 1 on the path, 2 done. A circle goes through a rule. */
static int find_circle(vbg_ir *ir, uint8_t *mark, vbg_node from) {
    walk *path = NULL;
    size_t n = 0, room = 0;
    int rc = vb_grow((void **)&path, &room, 1, sizeof *path, "a grammar", &ir->error);
    if (!rc) path[n++] = (walk){from, 0}, mark[from] = 1;
    while (!rc && n) {
        walk *top = &path[n - 1];
        const vbg_node to = leftmost(ir, top->node, top->next++);
        if (to == VBG_NONE) {
            mark[top->node] = 2;
            n--;
        } else if (mark[to] == 1) {
            size_t i = n - 1;
            while (vbg_at(ir, path[i].node)->kind != VBG_K_RULE) i--;
            rc = vbg_ir_fail(
                ir, VB_ERR_UNSUPPORTED,
                "rule \"%s\" is left recursive: it can begin with itself before any text; put the "
                "recursion last, or write a repetition (x* or x+)",
                rule_name(ir, vbg_at(ir, path[i].node)->a));
        } else if (mark[to] == 0) {
            rc = vb_grow((void **)&path, &room, n + 1, sizeof *path, "a grammar", &ir->error);
            if (!rc) path[n++] = (walk){to, 0}, mark[to] = 1;
        }
    }
    free(path);
    return rc;
}

static int refuse_left_recursion(vbg_ir *ir) {
    uint8_t *mark;
    int rc = vb_alloc((void **)&mark, ir->n_nodes, 1, "a grammar", &ir->error);
    if (rc) return rc;
    memset(mark, 0, ir->n_nodes);
    for (size_t i = 0; i < ir->n_rules && !rc; i++)
        if (mark[ir->rules[i].body] == 0) rc = find_circle(ir, mark, ir->rules[i].body);
    if (!rc && mark[ir->root] == 0) rc = find_circle(ir, mark, ir->root);
    free(mark);
    return rc;
}

int vbg_ir_finish(vbg_ir *ir, vbg_node root, vb_grammar **out, vb_error *err) {
    vb_grammar *g;
    for (size_t i = 0; i < ir->n_rules && !ir->error.code; i++)
        if (!ir->rules[i].set)
            vbg_ir_fail(ir, VB_ERR_ARGUMENT, "rule \"%s\" is used and nowhere defined",
                        rule_name(ir, (uint32_t)i));
    ir->root = root;
    if (!ir->error.code && !settle(ir) && !refuse_left_recursion(ir) &&
        !(vbg_at(ir, root)->flags & VBG_F_TEXT))
        vbg_ir_fail(
            ir, VB_ERR_ARGUMENT,
            "no text can ever be complete under this grammar: every way through it ends in a rule that never "
            "ends, an empty class or an intersection of languages that have nothing in common");
    if (ir->error.code) return vbg_ir_error(ir, err);
    const int rc = vb_alloc((void **)&g, 1, sizeof *g, "a grammar", err);
    if (rc) return rc;
    g->ir = ir;
    *out = g;
    return VB_OK;
}

void vb_grammar_close(vb_grammar *g) {
    if (!g) return;
    vbg_ir_free(g->ir);
    free(g);
}
