/* left.c - left recursion is written as a repetition, because a machine that opens a rule before it reads
 * a byte would open a left recursive one for ever.
 *
 * A body is taken apart by what stands first: A = A t | r, with t what follows a leading A and r the rest.
 * The least language that solves this is r t*. Where A leads to itself through other rules (a circle of
 * them), their bodies are put in its place first, the circle's earlier ones in order (M. C. Paull, "Algorithm
 * design", 1988). Every step is an equality of languages, so that what cannot be taken apart (the recursion
 * stands behind something that may be empty, or the steps are too many) stays as it is, and vbg_ir_finish
 * refuses it by name. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "grammar/grammar.h"

enum { MOST_STEPS = 100000, MOST_DEPTH = 1000 };

typedef struct left {
    vbg_ir *ir;
    uint32_t *first; /* rules that the body of rule r may begin with: list[first[r]] .. */
    uint32_t *list;  /* .. list[first[r + 1] - 1] */
    size_t n_list, room_list;
    size_t steps;
} left;

/* n = (rule) follow | rest. */
typedef struct parts {
    vbg_node follow, rest;
} parts;

static bool goes_on(left *l, int depth) {
    return depth < MOST_DEPTH && ++l->steps < MOST_STEPS && !l->ir->error.code;
}

/* ------------------------------------------------------------------------------ what leads where */

static int note_leading(left *l, vbg_node n, int depth) {
    const vbg_item it = *vbg_at(l->ir, n);
    int rc = VB_OK;
    if (it.flags & VBG_F_REGULAR || depth == MOST_DEPTH) return VB_OK;
    switch ((vbg_kind)it.kind) {
    case VBG_K_RULE:
        rc = vb_grow((void **)&l->list, &l->room_list, l->n_list + 1, sizeof *l->list, "a grammar",
                     &l->ir->error);
        if (!rc) l->list[l->n_list++] = it.a;
        return rc;
    case VBG_K_SEQ:
    case VBG_K_REPEAT: return note_leading(l, it.a, depth + 1);
    case VBG_K_ALT:
        for (uint32_t i = 0; i < it.b && !rc; i++) rc = note_leading(l, l->ir->lists[it.a + i], depth + 1);
        return rc;
    default: return VB_OK;
    }
}

/* ----------------------------------------------------------------------------------------- taking apart */

static parts take_apart(left *l, vbg_node n, uint32_t rule, int depth);

static parts take_alternatives(left *l, vbg_item it, uint32_t rule, int depth) {
    parts sum = {VBG_NONE, VBG_NONE};
    vbg_node *both;
    if (vb_alloc((void **)&both, 2 * (size_t)it.b, sizeof *both, "a grammar", &l->ir->error)) return sum;
    for (uint32_t i = 0; i < it.b; i++) {
        const parts p = take_apart(l, l->ir->lists[it.a + i], rule, depth + 1);
        both[i] = p.follow;
        both[it.b + i] = p.rest;
    }
    sum.follow = vbg_alts(l->ir, both, it.b);
    sum.rest = vbg_alts(l->ir, both + it.b, it.b);
    free(both);
    return sum;
}

static parts take_apart(left *l, vbg_node n, uint32_t rule, int depth) {
    vbg_ir *ir = l->ir;
    const vbg_item it = *vbg_at(ir, n);
    const parts whole = {VBG_NONE, n};
    if (it.flags & VBG_F_REGULAR || !goes_on(l, depth)) return whole;
    switch ((vbg_kind)it.kind) {
    case VBG_K_RULE: return it.a == rule ? (parts){VBG_EMPTY, VBG_NONE} : whole;
    case VBG_K_SEQ: {
        const parts p = take_apart(l, it.a, rule, depth + 1);
        if (p.follow == VBG_NONE) return whole;
        return (parts){vbg_seq(ir, p.follow, it.b), vbg_seq(ir, p.rest, it.b)};
    }
    case VBG_K_REPEAT: { /* a{m,n} = a a{m-1,n-1}, and nothing if m = 0 */
        const parts p = take_apart(l, it.a, rule, depth + 1);
        if (p.follow == VBG_NONE) return whole;
        const vbg_node more =
            vbg_repeat(ir, it.a, it.min ? it.min - 1 : 0, it.max == VBG_INF ? VBG_INF : it.max - 1);
        const vbg_node rest = vbg_seq(ir, p.rest, more);
        return (parts){vbg_seq(ir, p.follow, more), it.min ? rest : vbg_alt(ir, rest, VBG_EMPTY)};
    }
    case VBG_K_ALT: return take_alternatives(l, it, rule, depth);
    default: return whole;
    }
}

/* Rule r begins with none of the circle's earlier ones and not with itself after this. */
static void straighten(left *l, const uint32_t *circle, size_t at) {
    vbg_ir *ir = l->ir;
    vbg_node body = ir->rules[circle[at]].body;
    for (size_t i = 0; i < at; i++) {
        const parts p = take_apart(l, body, circle[i], 0);
        if (p.follow != VBG_NONE)
            body = vbg_alt(ir, vbg_seq(ir, ir->rules[circle[i]].body, p.follow), p.rest);
    }
    const parts own = take_apart(l, body, circle[at], 0);
    if (own.follow != VBG_NONE) body = vbg_seq(ir, own.rest, vbg_repeat(ir, own.follow, 0, VBG_INF));
    if (!ir->error.code && l->steps < MOST_STEPS) vbg_rule_set(ir, circle[at], body);
}

/* Rules that lead to each other are straightened together, in the order of the text. */
static int by_number(const void *x, const void *y) {
    const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

static void straighten_circle(left *l, uint32_t *circle, size_t n) {
    if (n == 1) {
        bool own = false;
        for (uint32_t i = l->first[*circle]; i < l->first[*circle + 1]; i++) own |= l->list[i] == *circle;
        if (!own) return;
    }
    qsort(circle, n, sizeof *circle, by_number);
    for (size_t i = 0; i < n && goes_on(l, 0); i++) straighten(l, circle, i);
}

/* ----------------------------------------------------------------------------------------- circles */

static int find_leading(left *l) {
    const size_t n = l->ir->n_rules;
    for (size_t r = 0; r < n; r++) {
        l->first[r] = (uint32_t)l->n_list;
        const int rc = note_leading(l, l->ir->rules[r].body, 0);
        if (rc) return rc;
    }
    l->first[n] = (uint32_t)l->n_list;
    return VB_OK;
}

/* Per rule, for the search of circles (strongly connected components; R. E. Tarjan, "Depth-first search and
 * linear graph algorithms", 1972). */
typedef struct visit {
    uint32_t number, low; /* from 1, in the order of the visits; the lowest that can be reached */
    uint32_t edge;        /* the next one to go along */
    bool waiting;         /* on the list of those whose circle is not closed */
} visit;

typedef struct search {
    visit *of;
    uint32_t *path, *waiting;
    size_t n_path, n_waiting;
    uint32_t number;
} search;

static void enter(search *s, const left *l, uint32_t r) {
    s->number++;
    s->of[r] = (visit){s->number, s->number, l->first[r], true};
    s->path[s->n_path++] = s->waiting[s->n_waiting++] = r;
}

static void leave(search *s, left *l, uint32_t r) {
    const visit *v = &s->of[r];
    s->n_path--;
    if (s->n_path) {
        visit *above = &s->of[s->path[s->n_path - 1]];
        if (v->low < above->low) above->low = v->low;
    }
    if (v->low != v->number) return;
    size_t from = s->n_waiting;
    do s->of[s->waiting[--from]].waiting = false;
    while (s->waiting[from] != r);
    straighten_circle(l, s->waiting + from, s->n_waiting - from);
    s->n_waiting = from;
}

static void find_circles(search *s, left *l) {
    for (uint32_t root = 0; root < l->ir->n_rules && !l->ir->error.code; root++) {
        if (s->of[root].number) continue;
        enter(s, l, root);
        while (s->n_path) {
            const uint32_t r = s->path[s->n_path - 1];
            visit *v = &s->of[r];
            if (v->edge == l->first[r + 1]) {
                leave(s, l, r);
                continue;
            }
            const uint32_t to = l->list[v->edge++];
            if (s->of[to].number == 0)
                enter(s, l, to);
            else if (s->of[to].waiting && s->of[to].number < v->low)
                v->low = s->of[to].number;
        }
    }
}

int vbg_unroll_left(vbg_ir *ir, vb_error *err) {
    left l = {.ir = ir};
    search s = {0};
    const size_t n = ir->n_rules;
    int rc = vbg_ir_error(ir, err);
    if (!rc) rc = vb_alloc((void **)&l.first, n + 1, sizeof *l.first, "a grammar", err);
    if (!rc) rc = vb_alloc((void **)&s.of, n + 1, sizeof *s.of, "a grammar", err);
    if (!rc) rc = vb_alloc((void **)&s.path, n + 1, sizeof *s.path, "a grammar", err);
    if (!rc) rc = vb_alloc((void **)&s.waiting, n + 1, sizeof *s.waiting, "a grammar", err);
    if (!rc) {
        memset(s.of, 0, n * sizeof *s.of);
        if (!find_leading(&l)) l.steps = 0, find_circles(&s, &l);
        rc = vbg_ir_error(ir, err);
    }
    free(l.first);
    free(l.list);
    free(s.of);
    free(s.path);
    free(s.waiting);
    return rc;
}
