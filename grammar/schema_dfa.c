#include "grammar/schema_dfa.h"
#include "grammar/schema_dfa_build.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------- building
 *
 * States are added one after the other, each with all its edges, in any order of targets; vbj_build_end
 * cuts away what cannot be reached or cannot accept. */

void vbj_build_begin(vbj_build *b, vbj_arena *a) {
    memset(b, 0, sizeof *b);
    b->arena = a;
}

bool vbj_build_state(vbj_build *b, bool accept) {
    if (!vbj_grow(b->arena, &b->first, b->n_states + 1, &b->first_room, sizeof *b->first)) return false;
    if (!vbj_grow(b->arena, &b->accept, b->n_states, &b->accept_room, sizeof *b->accept)) return false;
    b->first[b->n_states] = b->n_edges;
    b->accept[b->n_states++] = accept;
    b->first[b->n_states] = b->n_edges;
    return vbj_steps(b->arena, 1);
}

bool vbj_build_edge(vbj_build *b, uint32_t lo, uint32_t hi, int32_t to) {
    int32_t begin = b->first[b->n_states - 1];
    if (b->n_edges > begin) {
        vbj_edge *last = &b->edges[b->n_edges - 1];
        if (last->to == to && last->hi + 1 == lo) {
            last->hi = hi;
            return true;
        }
    }
    if (b->n_edges == INT32_MAX / 2) return false;
    if (!vbj_grow(b->arena, &b->edges, (size_t)b->n_edges, &b->edges_room, sizeof *b->edges)) return false;
    b->edges[b->n_edges++] = (vbj_edge){lo, hi, to};
    b->first[b->n_states] = b->n_edges;
    return vbj_steps(b->arena, 1);
}

/* Marks what can reach an accepting state, by a walk over reversed edges. */
static bool mark_alive(vbj_build *b, bool *alive) {
    size_t n = b->n_states;
    int32_t *head = vbj_take(b->arena, n + 1, sizeof *head);
    int32_t *next = vbj_take(b->arena, (size_t)b->n_edges + 1, sizeof *next);
    int32_t *from = vbj_take(b->arena, (size_t)b->n_edges + 1, sizeof *from);
    int32_t *queue = vbj_take(b->arena, n + 1, sizeof *queue);
    if (!head || !next || !from || !queue) return false;
    memset(head, 0xFF, (n + 1) * sizeof *head);
    for (size_t s = 0; s < n; s++)
        for (int32_t e = b->first[s]; e < b->first[s + 1]; e++) {
            from[e] = (int32_t)s;
            next[e] = head[b->edges[e].to];
            head[b->edges[e].to] = e;
        }
    size_t waiting = 0;
    for (size_t s = 0; s < n; s++)
        if (b->accept[s]) alive[s] = true, queue[waiting++] = (int32_t)s;
    while (waiting) {
        int32_t s = queue[--waiting];
        for (int32_t e = head[s]; e >= 0; e = next[e])
            if (!alive[from[e]]) alive[from[e]] = true, queue[waiting++] = from[e];
    }
    return vbj_steps(b->arena, n + (size_t)b->n_edges);
}

/* Numbers the living states in the order in which they are met from the start, breadth first. */
static int32_t number_states(vbj_build *b, const bool *alive, int32_t *number, int32_t *order) {
    memset(number, 0xFF, b->n_states * sizeof *number);
    int32_t n = 1;
    number[0] = 0;
    order[0] = 0;
    for (int32_t i = 0; i < n; i++)
        for (int32_t e = b->first[order[i]]; e < b->first[order[i] + 1]; e++) {
            int32_t to = b->edges[e].to;
            if (!alive[to] || number[to] >= 0) continue;
            number[to] = n;
            order[n++] = to;
        }
    return n;
}

const vbj_dfa *vbj_build_end(vbj_build *b) {
    vbj_arena *a = b->arena;
    bool *alive = vbj_take(a, b->n_states + 1, sizeof *alive);
    int32_t *number = vbj_take(a, b->n_states + 1, sizeof *number);
    int32_t *order = vbj_take(a, b->n_states + 1, sizeof *order);
    if (!alive || !number || !order || !mark_alive(b, alive)) return NULL;
    int32_t n = number_states(b, alive, number, order), n_edges = 0;
    vbj_dfa *d = vbj_take(a, 1, sizeof *d);
    if (!d) return NULL;
    int32_t *first = vbj_take(a, (size_t)n + 1, sizeof *first);
    bool *accept = vbj_take(a, (size_t)n, sizeof *accept);
    vbj_edge *edges = vbj_take(a, (size_t)b->n_edges + 1, sizeof *edges);
    if (!first || !accept || !edges) return NULL;
    *d = (vbj_dfa){.n_states = n, .first = first, .edges = edges, .accept = accept};
    for (int32_t i = 0; i < n; i++) {
        first[i] = n_edges;
        accept[i] = b->accept[order[i]];
        for (int32_t e = b->first[order[i]]; e < b->first[order[i] + 1]; e++) {
            vbj_edge edge = b->edges[e];
            if (!alive[edge.to]) continue;
            edge.to = number[edge.to];
            edges[n_edges++] = edge;
        }
    }
    first[n] = n_edges;
    return d;
}

const vbj_dfa *vbj_dfa_keep(vbj_arena *a, vbj_arena *part, const vbj_dfa *d) {
    vbj_dfa *copy = d ? vbj_take(a, 1, sizeof *copy) : NULL;
    if (copy) {
        size_t n = (size_t)d->n_states, n_edges = (size_t)d->first[n];
        int32_t *first = vbj_take(a, n + 1, sizeof *first);
        bool *accept = vbj_take(a, n, sizeof *accept);
        vbj_edge *edges = vbj_take(a, n_edges, sizeof *edges);
        if (first && accept && edges) {
            memcpy(first, d->first, (n + 1) * sizeof *first);
            memcpy(accept, d->accept, n * sizeof *accept);
            if (n_edges) memcpy(edges, d->edges, n_edges * sizeof *edges);
            *copy = (vbj_dfa){.n_states = d->n_states, .first = first, .edges = edges, .accept = accept};
        } else {
            copy = NULL;
        }
    }
    vbj_arena_join(a, part);
    return copy;
}

/* -------------------------------------------------------------------------------------- simple ones */

const vbj_dfa *vbj_dfa_none(vbj_arena *a) {
    vbj_build b;
    vbj_build_begin(&b, a);
    return vbj_build_state(&b, false) ? vbj_build_end(&b) : NULL;
}

static bool any_character(vbj_build *b, int32_t to) {
    return vbj_build_edge(b, 0, 0xD7FF, to) && vbj_build_edge(b, 0xE000, VBJ_LAST_CODE_POINT, to);
}

const vbj_dfa *vbj_dfa_lengths(vbj_arena *a, uint32_t lo, uint32_t hi) {
    vbj_build b;
    vbj_build_begin(&b, a);
    if (lo > hi) return vbj_dfa_none(a);
    /* Without a limit state lo loops; with one, state hi is the last. */
    uint32_t last = hi == UINT32_MAX ? lo : hi;
    for (uint32_t i = 0; i <= last; i++) {
        if (i == INT32_MAX / 2 || !vbj_build_state(&b, i >= lo)) return NULL;
        if (i == last && hi != UINT32_MAX) break;
        if (!any_character(&b, (int32_t)(i < last ? i + 1 : i))) return NULL;
    }
    return vbj_build_end(&b);
}

const vbj_dfa *vbj_dfa_all(vbj_arena *a) {
    return vbj_dfa_lengths(a, 0, UINT32_MAX);
}

/* The trie of texts, as a nondeterministic automaton with one path per text: the subset construction
 * shares beginnings, the refinement ends. */
const vbj_dfa *vbj_dfa_texts(vbj_arena *a, const char *const *texts, const size_t *lengths, size_t n) {
    vbj_nfa nfa;
    vbj_nfa_begin(&nfa, a);
    nfa.start = vbj_nfa_state(&nfa);
    nfa.accept = vbj_nfa_state(&nfa);
    for (size_t i = 0; i < n; i++) {
        int32_t at = nfa.start;
        for (size_t p = 0; p < lengths[i];) {
            uint32_t c = 0;
            size_t step = vb_utf8_char((const unsigned char *)texts[i] + p, lengths[i] - p, &c);
            if (!step) return vbj_dfa_none(a);
            int32_t to = vbj_nfa_state(&nfa);
            if (!vbj_nfa_range(&nfa, at, c, c, to)) return NULL;
            at = to;
            p += step;
        }
        if (!vbj_nfa_eps(&nfa, at, VBJ_EPS, nfa.accept)) return NULL;
    }
    return vbj_nfa_determine(&nfa);
}

/* ---------------------------------------------------------------------------------------- questions */

bool vbj_dfa_empty(const vbj_dfa *x) {
    return !x->accept[0] && x->first[1] == 0;
}

bool vbj_dfa_same(const vbj_dfa *x, const vbj_dfa *y) {
    if (x == y) return true;
    size_t n = (size_t)x->n_states;
    if (x->n_states != y->n_states || memcmp(x->first, y->first, (n + 1) * sizeof *x->first) != 0 ||
        memcmp(x->accept, y->accept, n * sizeof *x->accept) != 0)
        return false;
    for (int32_t e = 0; e < x->first[n]; e++) {
        const vbj_edge *p = &x->edges[e], *q = &y->edges[e];
        if (p->lo != q->lo || p->hi != q->hi || p->to != q->to) return false;
    }
    return true;
}

int32_t vbj_dfa_next(const vbj_dfa *x, int32_t s, uint32_t c) {
    int32_t lo = x->first[s], hi = x->first[s + 1];
    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        if (x->edges[mid].hi < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < x->first[s + 1] && x->edges[lo].lo <= c ? x->edges[lo].to : -1;
}

bool vbj_dfa_has(const vbj_dfa *x, const char *text, size_t n) {
    int32_t s = 0;
    for (size_t p = 0; p < n && s >= 0;) {
        uint32_t c = 0;
        size_t step = vb_utf8_char((const unsigned char *)text + p, n - p, &c);
        if (!step) return false;
        s = vbj_dfa_next(x, s, c);
        p += step;
    }
    return s >= 0 && x->accept[s];
}

/* Texts from each state: count(s) = accept(s) + sum over edges (hi - lo + 1) count(to), by repeated
 * passes. All states lie on accepting paths, so a circle means infinitely many; without one, n passes
 * reach every value. */
uint64_t vbj_dfa_count(vbj_arena *a, const vbj_dfa *x, uint64_t most) {
    size_t n = (size_t)x->n_states;
    uint64_t *count = vbj_take(a, n, sizeof *count);
    if (!count) return most;
    for (size_t pass = 0; pass <= n; pass++) {
        bool changed = false;
        for (size_t s = n; s-- > 0;) {
            uint64_t c = x->accept[s];
            for (int32_t e = x->first[s]; e < x->first[s + 1] && c < most; e++) {
                uint64_t product;
                const vbj_edge *edge = &x->edges[e];
                if (!vb_mul_u64(count[edge->to], (uint64_t)edge->hi - edge->lo + 1, &product) ||
                    !vb_add_u64(c, product, &c))
                    c = most;
            }
            if (c > most) c = most;
            changed |= c != count[s];
            count[s] = c;
        }
        if (!changed) return count[0];
        if (count[0] >= most || !vbj_steps(a, n)) return most;
    }
    return most;
}

/* ----------------------------------------------------------------------------------------- products
 *
 * A state of the product is a pair of states, of which one may be -1 (nowhere) where the kind still needs
 * the other. */

typedef struct {
    int32_t x, y;
} pair;

typedef struct {
    vbj_arena *arena;
    pair *pairs;
    size_t n, room;
    int32_t *table; /* hash table of indices + 1 */
    size_t size;
} pairs;

static uint64_t hash_pair(pair p) {
    uint64_t h = (uint64_t)(uint32_t)p.x << 32 | (uint32_t)p.y;
    h *= 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static bool rehash(pairs *p) {
    size_t size = p->size ? 2 * p->size : 64;
    int32_t *table = vbj_take(p->arena, size, sizeof *table);
    if (!table) return false;
    for (size_t i = 0; i < p->n; i++) {
        size_t at = hash_pair(p->pairs[i]) & (size - 1);
        while (table[at]) at = (at + 1) & (size - 1);
        table[at] = (int32_t)i + 1;
    }
    p->table = table;
    p->size = size;
    return true;
}

static int32_t pair_index(pairs *p, pair what) {
    if (2 * (p->n + 1) > p->size && !rehash(p)) return -1;
    size_t at = hash_pair(what) & (p->size - 1);
    for (; p->table[at]; at = (at + 1) & (p->size - 1)) {
        pair have = p->pairs[p->table[at] - 1];
        if (have.x == what.x && have.y == what.y) return p->table[at] - 1;
    }
    if (p->n == INT32_MAX / 4 || !vbj_grow(p->arena, &p->pairs, p->n, &p->room, sizeof *p->pairs)) return -1;
    p->pairs[p->n++] = what;
    p->table[at] = (int32_t)p->n;
    return (int32_t)p->n - 1;
}

static bool wanted(pair p, vbj_product_kind kind) {
    if (kind == VBJ_BOTH) return p.x >= 0 && p.y >= 0;
    if (kind == VBJ_MINUS) return p.x >= 0;
    return p.x >= 0 || p.y >= 0;
}

/* The edges of one pair: both lists in step, cut where either begins or ends. */
static bool product_edges(vbj_build *b, pairs *p, pair from, const vbj_dfa *x, const vbj_dfa *y,
                          vbj_product_kind kind) {
    int32_t i = from.x >= 0 ? x->first[from.x] : 0, i_end = from.x >= 0 ? x->first[from.x + 1] : 0;
    int32_t j = from.y >= 0 ? y->first[from.y] : 0, j_end = from.y >= 0 ? y->first[from.y + 1] : 0;
    for (uint32_t c = 0; i < i_end || j < j_end;) {
        while (i < i_end && x->edges[i].hi < c) i++;
        while (j < j_end && y->edges[j].hi < c) j++;
        uint32_t hi = VBJ_LAST_CODE_POINT;
        pair to = {-1, -1};
        if (i < i_end) {
            if (x->edges[i].lo <= c)
                to.x = x->edges[i].to, hi = x->edges[i].hi;
            else
                hi = x->edges[i].lo - 1;
        }
        if (j < j_end) {
            uint32_t end = y->edges[j].lo <= c ? y->edges[j].hi : y->edges[j].lo - 1;
            if (y->edges[j].lo <= c) to.y = y->edges[j].to;
            if (end < hi) hi = end;
        }
        if (wanted(to, kind)) {
            int32_t index = pair_index(p, to);
            if (index < 0 || !vbj_build_edge(b, c, hi, index)) return false;
        }
        if (hi == VBJ_LAST_CODE_POINT) break;
        c = hi + 1;
    }
    return true;
}

const vbj_dfa *vbj_dfa_product(vbj_arena *a, const vbj_dfa *x, const vbj_dfa *y, vbj_product_kind kind) {
    if (!x || !y) return NULL;
    vbj_arena part;
    vbj_arena_part(&part, a);
    vbj_build b;
    vbj_build_begin(&b, &part);
    pairs p = {.arena = &part};
    const vbj_dfa *d = NULL;
    bool good = pair_index(&p, (pair){0, 0}) >= 0;
    for (size_t k = 0; good && k < p.n; k++) {
        pair from = p.pairs[k];
        bool in_x = from.x >= 0 && x->accept[from.x], in_y = from.y >= 0 && y->accept[from.y];
        bool accept = kind == VBJ_BOTH ? in_x && in_y : kind == VBJ_EITHER ? in_x || in_y : in_x && !in_y;
        good = vbj_build_state(&b, accept) && product_edges(&b, &p, from, x, y, kind);
    }
    if (good) d = vbj_dfa_minimal(&part, vbj_build_end(&b));
    return vbj_dfa_keep(a, &part, d);
}
