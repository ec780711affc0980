/* schema_array.c - the texts of an array: the first elements one by one, the others by a count. */
#include "grammar/schema_internal.h"

#include <string.h>

size_t vbj_prefix_length(const vbj_array *a) {
    size_t n = 0;
    for (size_t i = 0; i < a->n_groups; i++)
        if (a->groups[i].n_prefix > n) n = a->groups[i].n_prefix;
    return n;
}

vbj_expr vbj_element_value(vbj_compiler *c, const vbj_array *a, size_t i) {
    vbj_expr all = VBJ_EXPR_TRUE;
    for (size_t k = 0; k < a->n_groups; k++) {
        const vbj_item_group *g = &a->groups[k];
        all = vbj_expr_and(c, all, i < g->n_prefix ? g->prefix[i] : g->rest);
    }
    return all;
}

typedef struct {
    vbj_compiler *c;
    const vbj_array *a;
    size_t prefix;
    uint32_t lo, hi;
    vbj_expr what; /* of `contains`: how many elements are it, from least to most */
    uint32_t least, most;
} lowered;

static int bad_count(lowered *l, const char *keyword, const char *why) {
    return vbj_refuse(l->c, VB_ERR_UNSUPPORTED, l->a->blame, keyword, "%s", why);
}

/* An element that cannot be ends the array before it. */
static int shorten(lowered *l) {
    for (size_t i = 0; i <= l->prefix && i < l->hi; i++) {
        vbj_answer answer = vbj_possible(l->c, vbj_element_value(l->c, l->a, i));
        if (l->c->err->code) return l->c->err->code;
        if (answer == VBJ_NO) l->hi = (uint32_t)i;
    }
    return 0;
}

/* One element; with `is` 1 or -1 such that it is, or is not, what `contains` counts. */
static int element(lowered *l, size_t i, int is, vbg_node *out) {
    vbj_expr x = vbj_element_value(l->c, l->a, i);
    if (is) x = vbj_expr_and(l->c, x, is > 0 ? l->what : vbj_expr_not(l->c, l->what));
    if (x == VBJ_EXPR_FALSE) {
        *out = VBG_NONE;
        return 0;
    }
    return vbj_emit(l->c, x, out);
}

/* ------------------------------------------------------------------------------------- plain arrays */

/* The elements from `prefix` on, behind others (`first`: behind none, and one must come). */
static int rest_of(lowered *l, bool first, vbg_node *out) {
    vbg_ir *ir = l->c->ir;
    uint32_t done = (uint32_t)l->prefix;
    uint32_t lo = l->lo > done ? l->lo - done : 0;
    uint32_t hi = l->hi == VBJ_NO_LIMIT ? VBG_INF : l->hi > done ? l->hi - done : 0;
    vbg_node one = VBG_NONE;
    int rc = hi ? element(l, l->prefix, 0, &one) : 0;
    if (first && lo == 0) lo = 1;
    *out = VBG_NONE;
    if (rc || lo > hi) return rc;
    vbg_node more = vbg_seq(ir, l->c->comma, one);
    if (!first)
        *out = hi ? vbg_repeat(ir, more, lo, hi) : VBG_EMPTY;
    else
        *out = vbg_seq(ir, one, vbg_repeat(ir, more, lo - 1, hi == VBG_INF ? VBG_INF : hi - 1));
    return 0;
}

/* From the last of the prefix backwards: behind element i comes the next, or the end where there are
 * enough. */
static int plain(lowered *l, vbg_node *out) {
    vbg_ir *ir = l->c->ir;
    vbg_node behind;
    if (l->prefix == 0) return rest_of(l, true, out);
    int rc = rest_of(l, false, &behind);
    for (size_t i = l->prefix; i-- > 0 && !rc;) {
        vbg_node one;
        rc = element(l, i, 0, &one);
        /* `behind` may stand behind element i; without it the array has i + 1 elements. */
        if (i + 1 < l->prefix && i + 1 >= l->lo) behind = vbg_alt(ir, VBG_EMPTY, behind);
        if (i + 1 == l->prefix && i + 1 < l->lo && l->hi <= i + 1) behind = VBG_NONE;
        vbg_node here = vbg_seq(ir, one, behind);
        behind = i ? vbg_seq(ir, l->c->comma, here) : here;
    }
    *out = behind;
    return rc;
}

/* ----------------------------------------------------------------------------------------- contains
 *
 * Place (i, k): i elements are there, k of them counted. Beyond `width` elements and `most` or `least`
 * counted ones nothing depends on more of them: the last column and row lead to themselves. An element
 * that is not counted is not `what`, unless there is no upper bound: then it may be anything. */

typedef struct {
    uint32_t rows, columns; /* places have i <= rows, k <= columns */
    bool loop_rows, loop_columns;
    uint32_t *rules;
} grid;

static int step_to(lowered *l, const grid *g, uint32_t i, int is, uint32_t then, vbg_node *all) {
    vbg_ir *ir = l->c->ir;
    vbg_node one;
    uint32_t next = i < g->rows ? i + 1 : i;
    int rc = element(l, i < l->prefix ? i : l->prefix, is, &one);
    if (rc) return rc;
    if (i) one = vbg_seq(ir, l->c->comma, one);
    *all = vbg_alt(ir, *all, vbg_seq(ir, one, vbg_rule(ir, g->rules[next * (g->columns + 1) + then])));
    return 0;
}

static int place_body(lowered *l, const grid *g, uint32_t i, uint32_t k, vbg_node *out) {
    int rc = 0;
    *out = i && i >= l->lo && k >= l->least ? VBG_EMPTY : VBG_NONE;
    if (i == g->rows && !g->loop_rows) return 0;
    if (k < g->columns) rc = step_to(l, g, i, 1, k + 1, out);
    return rc ? rc : step_to(l, g, i, g->loop_columns ? 0 : -1, k, out);
}

static int counted(lowered *l, vbg_node *out) {
    vbj_compiler *c = l->c;
    grid g = {.loop_rows = l->hi == VBJ_NO_LIMIT, .loop_columns = l->most == VBJ_NO_LIMIT};
    uint32_t first_free = l->prefix > l->lo ? (uint32_t)l->prefix : l->lo;
    g.rows = g.loop_rows ? (first_free ? first_free : 1) : l->hi;
    g.columns = g.loop_columns ? l->least : l->most;
    c->at_keyword = "contains";
    if (((uint64_t)g.rows + 1) * ((uint64_t)g.columns + 1) > VBJ_MAX_GRID / 4) c->arena.full = true;
    size_t n = c->arena.full ? 0 : ((size_t)g.rows + 1) * (g.columns + 1);
    g.rules = vbj_take(&c->arena, n, sizeof *g.rules);
    if (!g.rules || c->arena.full) return vbj_full(c);
    for (size_t i = 0; i < n; i++) g.rules[i] = vbg_rule_new(c->ir, NULL);
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        vbg_node body;
        rc = place_body(l, &g, (uint32_t)(i / (g.columns + 1)), (uint32_t)(i % (g.columns + 1)), &body);
        if (!rc) vbg_rule_set(c->ir, g.rules[i], body);
    }
    *out = vbg_rule(c->ir, g.rules[0]);
    return rc;
}

/* ----------------------------------------------------------------------------------- no value twice
 *
 * The automaton compares texts. Strings are compared decoded, and null, true and false have one spelling
 * each; numbers end where something else begins, arrays and objects have many spellings. */

static int unique(lowered *l, vbg_node *out) {
    vbj_compiler *c = l->c;
    vbg_ir *ir = c->ir;
    const vbj_shape *s;
    int rc = vbj_shape_of(c, vbj_element_value(c, l->a, 0), &s);
    if (rc) return rc;
    if (l->prefix || s->n_arrays || s->n_objects || !vbj_dfa_empty(s->numbers.yes))
        return bad_count(l, "uniqueItems", "only supported for items that are strings, true, false or null");
    vbg_node all = VBG_NONE;
    uint64_t words = (uint64_t)s->null + s->no + s->yes;
    if (s->null) all = vbg_alt(ir, all, vbg_text(ir, "null", 4));
    if (s->no) all = vbg_alt(ir, all, vbg_text(ir, "false", 5));
    if (s->yes) all = vbg_alt(ir, all, vbg_text(ir, "true", 4));
    for (size_t i = 0; i < s->n_strings && !rc; i++) {
        vbg_node one;
        const vbj_string *x = &s->strings[i];
        rc = vbj_emit_string(c, x, &one);
        all = vbg_alt(ir, all, one);
        /* Atoms may overlap: then their words are not counted twice, but taken to be endless where they
         * cannot be counted. */
        if (s->n_strings > 1 && l->lo > 1 && x->dfa)
            return bad_count(l, "uniqueItems",
                             "with minItems above 1, and strings of several kinds, is not supported");
        uint64_t n = VBJ_NO_LIMIT;
        if (x->dfa) n = vbj_dfa_count(&c->arena, x->dfa, VBJ_NO_LIMIT);
        if (!x->dfa && x->hi == 0) n = 1;
        words += n;
    }
    if (rc) return rc;
    uint32_t hi = l->hi == VBJ_NO_LIMIT ? VBG_INF : l->hi, lo = l->lo ? l->lo : 1;
    if (words < VBJ_NO_LIMIT && hi > words) hi = (uint32_t)words;
    *out = VBG_NONE;
    if (lo > hi) return 0;
    vbg_node one = vbg_fresh(ir, all);
    vbg_node more = vbg_seq(ir, c->comma, one);
    *out = vbg_seq(ir, one, vbg_repeat(ir, more, lo - 1, hi == VBG_INF ? VBG_INF : hi - 1));
    return 0;
}

/* ----------------------------------------------------------------------------------------- together */

int vbj_emit_array(vbj_compiler *c, const vbj_array *a, vbg_node *out) {
    lowered l = {
        .c = c, .a = a, .prefix = vbj_prefix_length(a), .lo = a->lo, .hi = a->hi, .most = VBJ_NO_LIMIT};
    const json_t *before = c->at;
    if (a->blame) c->at = a->blame;
    bool scoped = false;
    vbg_node inner = VBG_NONE;
    int rc = shorten(&l);
    *out = VBG_NONE;
    if (rc || l.lo > l.hi) return rc;
    if (l.prefix > l.hi) l.prefix = l.hi;
    for (size_t i = 0; i < a->n_counts; i++) {
        if (a->counts[i].lo == 0 && a->counts[i].hi == VBJ_NO_LIMIT) continue;
        if (l.least || l.most != VBJ_NO_LIMIT)
            return bad_count(&l, "contains", "two of them for one array are not supported");
        l.what = a->counts[i].what;
        l.least = a->counts[i].lo;
        l.most = a->counts[i].hi;
    }
    bool counting = l.least || l.most != VBJ_NO_LIMIT;
    scoped = a->unique && l.hi > 1;
    if (counting && scoped) return bad_count(&l, "uniqueItems", "together with contains it is not supported");
    if (l.hi > 0) rc = scoped ? unique(&l, &inner) : counting ? counted(&l, &inner) : plain(&l, &inner);
    if (rc) return rc;
    *out = vbj_bracket(c, '[', inner, l.lo == 0 && l.least == 0, ']');
    if (scoped) *out = vbg_scope(c->ir, *out);
    c->at = before;
    return 0;
}
