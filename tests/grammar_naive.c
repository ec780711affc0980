/* grammar_naive.c - see grammar_naive.h. */
#include "tests/grammar_naive.h"

#include "base/json.h"
#include "grammar/node.h"

#include <stdlib.h>
#include <string.h>

bool grammar_naive_forgets;

/* Texts that the nearest scope has recorded, the newest first. */
typedef struct used {
    const char *s;
    size_t n;
    const struct used *next;
} used;

/* What has to match behind the node at hand. */
typedef struct after {
    enum { THEN, AGAIN, END_SCOPE, END_FRESH } kind;
    vbg_node node;     /* THEN */
    uint32_t min, max; /* AGAIN: node, so often */
    size_t from;       /* AGAIN, END_FRESH: where the round or the text began */
    const used *scope; /* END_SCOPE: the one around it */
    const struct after *next;
} after;

typedef struct {
    const vbg_ir *ir;
    const char *text;
    size_t n;
    uint64_t steps;
} reader;

static bool match(reader *r, vbg_node node, size_t pos, const used *scope, const after *k);

static bool same_text(const char *a, size_t n, const char *b, size_t m) {
    if (n == m && memcmp(a, b, n) == 0) return true;
    if (!n || !m || *a != '"' || *b != '"') return false;
    json_t *x = json_loadb(a, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    json_t *y = json_loadb(b, m, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    const bool same = x && y && json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

static bool resume(reader *r, size_t pos, const used *scope, const after *k) {
    if (!k) return pos == r->n;
    switch (k->kind) {
    case THEN: return match(r, k->node, pos, scope, k->next);
    case END_SCOPE: return resume(r, pos, k->scope, k->next);
    case END_FRESH:
        for (const used *u = grammar_naive_forgets ? NULL : scope; u; u = u->next)
            if (same_text(u->s, u->n, r->text + k->from, pos - k->from)) return false;
        return resume(r, pos, &(used){r->text + k->from, pos - k->from, scope}, k->next);
    case AGAIN:
        if (k->min == 0 && resume(r, pos, scope, k->next)) return true;
        if (k->max == 0 || (pos == k->from && k->min == 0)) return false;
        return match(r, k->node, pos, scope,
                     &(after){.kind = AGAIN,
                              .node = k->node,
                              .min = k->min ? k->min - 1 : 0,
                              .max = k->max == VBG_INF ? VBG_INF : k->max - 1,
                              .from = pos,
                              .next = k->next});
    }
    return false;
}

static bool match_dfa(reader *r, const vbg_item *it, size_t pos, const used *scope, const after *k) {
    const vbg_dfa_entry *d = &r->ir->dfas[it->a];
    for (uint32_t s = it->b;;) {
        if (d->accept[s] && resume(r, pos, scope, k)) return true;
        if (pos == r->n) return false;
        const unsigned char c = (unsigned char)r->text[pos++];
        uint32_t e = d->first[s];
        while (e < d->first[s + 1] && !(d->edges[e].lo <= c && c <= d->edges[e].hi)) e++;
        if (e == d->first[s + 1]) return false;
        s = d->edges[e].to;
    }
}

/* All of them match up to the same place. */
static bool match_all(reader *r, const vbg_item *it, size_t pos, const used *scope, const after *k) {
    for (size_t end = pos; end <= r->n; end++) {
        reader part = {.ir = r->ir, .text = r->text, .n = end};
        bool all = true;
        for (uint32_t i = 0; i < it->b && all; i++)
            all = match(&part, r->ir->lists[it->a + i], pos, NULL, NULL);
        r->steps += part.steps;
        if (all && resume(r, end, scope, k)) return true;
    }
    return false;
}

static bool match(reader *r, vbg_node node, size_t pos, const used *scope, const after *k) {
    const vbg_item *it = vbg_at(r->ir, node);
    if (++r->steps > 20000000) return false;
    switch ((vbg_kind)it->kind) {
    case VBG_K_EMPTY: return resume(r, pos, scope, k);
    case VBG_K_BYTES:
        return pos < r->n && vbg_set_has(&r->ir->sets[it->a], (unsigned char)r->text[pos]) &&
               resume(r, pos + 1, scope, k);
    case VBG_K_SEQ: return match(r, it->a, pos, scope, &(after){.kind = THEN, .node = it->b, .next = k});
    case VBG_K_ALT:
        for (uint32_t i = 0; i < it->b; i++)
            if (match(r, r->ir->lists[it->a + i], pos, scope, k)) return true;
        return false;
    case VBG_K_REPEAT:
        return resume(
            r, pos, scope,
            &(after){
                .kind = AGAIN, .node = it->a, .min = it->min, .max = it->max, .from = SIZE_MAX, .next = k});
    case VBG_K_DFA: return match_dfa(r, it, pos, scope, k);
    case VBG_K_RULE: return match(r, r->ir->rules[it->a].body, pos, scope, k);
    case VBG_K_AND: return match_all(r, it, pos, scope, k);
    case VBG_K_SCOPE:
        return match(r, it->a, pos, NULL, &(after){.kind = END_SCOPE, .scope = scope, .next = k});
    case VBG_K_FRESH: return match(r, it->a, pos, scope, &(after){.kind = END_FRESH, .from = pos, .next = k});
    default: return false;
    }
}

bool grammar_naive_match(const vbg_ir *ir, vbg_node root, const char *text, size_t n) {
    reader r = {.ir = ir, .text = text, .n = n};
    return match(&r, root, 0, NULL, NULL);
}
