/* schema_emit.c - from shapes to the expression over bytes: every expression is a rule, so recursion
 * needs nothing more. */
#include "grammar/schema_internal.h"

#include <string.h>

/* -------------------------------------------------------------------------------------- white space
 *
 * As writers of JSON put it: nothing, one space, or a new line with its indentation, after { [ , and
 * before } ]; after a colon nothing or a space. With `any`, all that RFC 8259 2 allows around these six
 * characters. */

static vbg_node text(vbj_compiler *c, const char *s) {
    return vbg_text(c->ir, s, strlen(s));
}

void vbj_make_spaces(vbj_compiler *c) {
    vbg_ir *ir = c->ir;
    if (c->options.any_whitespace) {
        vbg_node one =
            vbg_alt(ir, vbg_alt(ir, text(c, " "), text(c, "\t")), vbg_alt(ir, text(c, "\n"), text(c, "\r")));
        c->space = vbg_repeat(ir, one, 0, VBG_INF);
        c->comma = vbg_seq(ir, c->space, vbg_seq(ir, text(c, ","), c->space));
        c->colon = vbg_seq(ir, c->space, vbg_seq(ir, text(c, ":"), c->space));
        return;
    }
    vbg_node indent = vbg_alt(ir, vbg_repeat(ir, text(c, " "), 0, 64), vbg_repeat(ir, text(c, "\t"), 1, 16));
    c->space = vbg_alt(ir, VBG_EMPTY, vbg_alt(ir, text(c, " "), vbg_seq(ir, text(c, "\n"), indent)));
    c->comma = vbg_seq(ir, text(c, ","), c->space);
    c->colon = vbg_seq(ir, text(c, ":"), vbg_repeat(ir, text(c, " "), 0, 1));
}

vbg_node vbj_bracket(vbj_compiler *c, char open, vbg_node inner, bool empty, char close) {
    vbg_ir *ir = c->ir;
    vbg_node end = vbg_text(ir, &close, 1);
    vbg_node full = vbg_seq(ir, c->space, vbg_seq(ir, inner, vbg_seq(ir, c->space, end)));
    vbg_node none = empty ? vbg_seq(ir, c->space, end) : VBG_NONE;
    return vbg_seq(ir, vbg_text(ir, &open, 1), vbg_alt(ir, none, full));
}

/* ------------------------------------------------------------------------------------------ scalars */

/* A rule of its own for each automaton: its share of a mask is computed once. */
static int rule_of(vbj_compiler *c, const vbj_dfa *d, bool number, vbg_node *out) {
    if (number) d = vbj_numbers_written(c, d);
    if (!d) return vbj_full(c);
    const uint32_t *known = vbj_map_get(&c->spelt, d);
    if (!known) {
        uint32_t *rule = vbj_take(&c->arena, 1, sizeof *rule);
        if (!rule) return vbj_full(c);
        *rule = vbg_rule_new(c->ir, number ? "number" : "string");
        vbg_rule_set(c->ir, *rule, number ? vbj_spell_ascii(c, d) : vbj_spell_strings(c, d));
        if (c->arena.full || c->arena.failed || !vbj_map_put(&c->arena, &c->spelt, d, rule))
            return vbj_full(c);
        known = rule;
    }
    *out = vbg_rule(c->ir, *known);
    return 0;
}

enum { MAX_PRODUCT = 4000, MAX_LAZY = 4000000, MAX_DEAD = 2000, MAX_AWAY = 30 };

static bool any_state(const vbj_dfa *d, int32_t s, const bool *of) {
    for (int32_t e = d->first[s]; e < d->first[s + 1]; e++)
        if (of[d->edges[e].to]) return true;
    return false;
}

/* The backward sweep of dead_pairs: row k of `live` has a flag for each state from which a text of k
 * characters so far can end. A row follows from the one behind it, in the same way on either side of lo: once
 * two are equal, so are all up to there. */
static void live_rows(const vbj_dfa *d, const vbj_string *s, uint64_t longest, bool *live) {
    const size_t n = (size_t)d->n_states;
    bool same = false;
    for (uint64_t k = longest + 1; k-- > 0;) {
        bool *row = live + k * n;
        if (k == longest) {
            for (size_t i = 0; i < n; i++) row[i] = d->accept[i] || s->hi == VBJ_NO_LIMIT;
            continue;
        }
        if (k + 1 == s->lo) same = false;
        if (same) {
            memcpy(row, row + n, n);
            continue;
        }
        for (size_t i = 0; i < n; i++)
            row[i] = (k >= s->lo && d->accept[i]) || any_state(d, (int32_t)i, row + n);
        same = memcmp(row, row + n, n) == 0;
    }
}

/* Pairs of a number of characters and a state of the pattern that can be reached and that no text of lo to
 * hi characters goes on from: the runtime finds out by going through all that follow. Counted by two sweeps
 * over `longest` characters: backwards what can end, forwards what can be reached. `live` is (longest + 1)
 * rows of a flag per state. */
static uint64_t dead_pairs(const vbj_dfa *d, const vbj_string *s, uint64_t longest, bool *live, bool *here,
                           bool *then) {
    const size_t n = (size_t)d->n_states;
    uint64_t dead = 0;
    bool same = false;
    live_rows(d, s, longest, live);
    here[0] = true;
    for (uint64_t k = 0; k <= longest; k++) {
        for (size_t i = 0; i < n; i++) dead += here[i] && !live[k * n + i];
        if (same) continue; /* what is reached by k characters is what k - 1 reach */
        memset(then, 0, n);
        for (size_t i = 0; i < n; i++)
            for (int32_t e = d->first[i]; here[i] && e < d->first[i + 1]; e++) then[d->edges[e].to] = true;
        same = memcmp(here, then, n) == 0;
        memcpy(here, then, n);
    }
    return dead;
}

/* Whether from every state at most MAX_AWAY characters lead to an end: the search for one goes astray
 * otherwise, down to the length, a tenth of a second for each character of a text. */
static bool all_near(const vbj_dfa *d, bool *near, bool *next) {
    const size_t n = (size_t)d->n_states;
    size_t count = 0;
    memcpy(near, d->accept, n);
    for (int k = 0; k < MAX_AWAY; k++) {
        for (size_t i = 0; i < n; i++) next[i] = near[i] || any_state(d, (int32_t)i, near);
        memcpy(near, next, n);
    }
    for (size_t i = 0; i < n; i++) count += near[i];
    return count == n;
}

/* Whether the runtime may be left with the product of a pattern and a length. */
static int check_lazy(vbj_compiler *c, const vbj_string *s, uint64_t longest) {
    const size_t n = (size_t)s->dfa->n_states;
    bool good = (longest + 1) * (uint64_t)n <= MAX_LAZY;
    vbj_arena part;
    vbj_arena_part(&part, &c->arena);
    if (good && vbj_steps(&part, (longest + 1) * (n + (uint64_t)s->dfa->first[n]) / 8)) {
        bool *live = vbj_take(&part, (size_t)longest + 1, n), *here = vbj_take(&part, n, 1),
             *then = vbj_take(&part, n, 1);
        if (live && here && then) good = s->hi == VBJ_NO_LIMIT || all_near(s->dfa, here, then);
        if (good && live && here && then) {
            memset(here, 0, n);
            good = dead_pairs(s->dfa, s, longest, live, here, then) <= MAX_DEAD;
        }
    }
    vbj_arena_join(&c->arena, &part);
    if (c->arena.full || c->arena.failed) return vbj_full(c);
    if (good) return 0;
    return vbj_refuse(c, VB_ERR_UNSUPPORTED, c->at, s->hi != VBJ_NO_LIMIT ? "maxLength" : "minLength",
                      "too large beside this pattern or format");
}

int vbj_emit_string(vbj_compiler *c, const vbj_string *s, vbg_node *out) {
    vbg_ir *ir = c->ir;
    bool counted = s->lo > 0 || s->hi != VBJ_NO_LIMIT;
    uint64_t longest = s->hi != VBJ_NO_LIMIT ? s->hi : s->lo;
    /* A small product is an automaton of its own; a large one is left to the runtime, which makes the
     * states that it meets. */
    uint64_t states = s->dfa ? (longest + 1) * (uint64_t)s->dfa->n_states : 0;
    bool product = s->dfa && counted && states <= MAX_PRODUCT;
    if (s->dfa && (product || !counted)) {
        const vbj_dfa *d = s->dfa;
        if (product) d = vbj_dfa_product(&c->arena, d, vbj_dfa_lengths(&c->arena, s->lo, s->hi), VBJ_BOTH);
        *out = d ? vbj_spell_strings(c, d) : VBG_NONE;
        return d && !c->arena.full && !c->arena.failed ? 0 : vbj_full(c);
    }
    if (s->dfa) {
        const int rc = check_lazy(c, s, longest);
        if (rc) return rc;
    }
    vbg_node quote = text(c, "\"");
    vbg_node inner = vbg_repeat(ir, vbj_any_character(c), s->lo, s->hi == VBJ_NO_LIMIT ? VBG_INF : s->hi);
    *out = vbg_seq(ir, quote, vbg_seq(ir, inner, quote));
    if (s->dfa) *out = vbg_and(ir, *out, vbj_spell_strings(c, s->dfa));
    return c->arena.full || c->arena.failed ? vbj_full(c) : 0;
}

static int string_rule(vbj_compiler *c, const vbj_string *s, vbg_node *out) {
    if (s->dfa && s->lo == 0 && s->hi == VBJ_NO_LIMIT) return rule_of(c, s->dfa, false, out);
    vbg_node body = VBG_NONE;
    int rc = vbj_emit_string(c, s, &body);
    if (rc) return rc;
    /* Equal bodies are one node, and get one rule. */
    for (size_t i = 0; i < c->n_bodies; i++)
        if (c->bodies[i].body == body) {
            *out = vbg_rule(c->ir, c->bodies[i].rule);
            return 0;
        }
    uint32_t rule = vbg_rule_new(c->ir, "string");
    vbg_rule_set(c->ir, rule, body);
    *out = vbg_rule(c->ir, rule);
    if (!vbj_grow(&c->arena, &c->bodies, c->n_bodies, &c->bodies_room, sizeof *c->bodies)) return vbj_full(c);
    c->bodies[c->n_bodies].body = body;
    c->bodies[c->n_bodies++].rule = rule;
    return 0;
}

/* -------------------------------------------------------------------------------------------- rules */

static int body_of(vbj_compiler *c, const vbj_shape *s, vbg_node *out) {
    vbg_ir *ir = c->ir;
    vbg_node all = VBG_NONE, one = VBG_NONE;
    int rc = 0;
    if (s->null) all = vbg_alt(ir, all, text(c, "null"));
    if (s->no) all = vbg_alt(ir, all, text(c, "false"));
    if (s->yes) all = vbg_alt(ir, all, text(c, "true"));
    if (!vbj_dfa_empty(s->numbers.yes)) {
        rc = rule_of(c, s->numbers.yes, true, &one);
        if (!rc) all = vbg_alt(ir, all, one);
    }
    for (size_t i = 0; i < s->n_strings && !rc; i++) {
        rc = string_rule(c, &s->strings[i], &one);
        if (!rc) all = vbg_alt(ir, all, one);
    }
    for (size_t i = 0; i < s->n_arrays && !rc; i++) {
        rc = vbj_emit_array(c, &s->arrays[i], &one);
        if (!rc) all = vbg_alt(ir, all, one);
    }
    for (size_t i = 0; i < s->n_objects && !rc; i++) {
        rc = vbj_emit_object(c, &s->objects[i], &one);
        if (!rc) all = vbg_alt(ir, all, one);
    }
    *out = all;
    return rc;
}

int vbj_emit(vbj_compiler *c, vbj_expr x, vbg_node *out) {
    if (x < 0) return x;
    if (!c->rules[x]) {
        c->rules[x] = vbg_rule_new(c->ir, NULL) + 1;
        if (!vbj_grow(&c->arena, &c->pending, c->n_pending, &c->pending_room, sizeof *c->pending))
            return vbj_full(c);
        c->pending[c->n_pending++] = x;
    }
    *out = vbg_rule(c->ir, c->rules[x] - 1);
    return 0;
}

int vbj_emit_all(vbj_compiler *c) {
    int rc = 0;
    while (c->n_pending && !rc) {
        vbj_expr x = c->pending[--c->n_pending];
        const vbj_shape *s;
        vbg_node body = VBG_NONE;
        const json_t *before = c->at;
        if (c->nodes[x].value && c->nodes[x].kind != VBJ_VALUE) c->at = c->nodes[x].value;
        rc = vbj_shape_of(c, x, &s);
        if (!rc) rc = body_of(c, s, &body);
        if (!rc) rc = vbg_ir_error(c->ir, c->err);
        if (!rc) vbg_rule_set(c->ir, c->rules[x] - 1, body);
        c->at = before;
    }
    return rc;
}
