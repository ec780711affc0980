/* schema_dfa_set.c - from choices to one path (subset construction), and to the fewest states (Hopcroft's
 * refinement).
 *
 * References
 *   Hopcroft, An n log n algorithm for minimizing states in a finite automaton, 1971
 *   Valmari, Fast brief practical DFA minimization, 2012: the same where edges may be missing */
#include "grammar/schema_dfa.h"
#include "grammar/schema_dfa_build.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------- with choices */

void vbj_nfa_begin(vbj_nfa *n, vbj_arena *a) {
    memset(n, 0, sizeof *n);
    n->arena = a;
}

int32_t vbj_nfa_state(vbj_nfa *n) {
    vbj_steps(n->arena, 1);
    return n->n_states++;
}

static bool add_edge(vbj_nfa *n, int32_t from, uint32_t lo, uint32_t hi, int32_t to) {
    if (n->n_edges >= INT32_MAX / 4 || n->n_states >= INT32_MAX / 4) {
        n->arena->full = true;
        return false;
    }
    if (!vbj_grow(n->arena, &n->edges, n->n_edges, &n->edges_room, sizeof *n->edges)) return false;
    n->edges[n->n_edges++] = (vbj_nfa_edge){from, to, lo, hi};
    return vbj_steps(n->arena, 1);
}

bool vbj_nfa_range(vbj_nfa *n, int32_t from, uint32_t lo, uint32_t hi, int32_t to) {
    if (hi > VBJ_LAST_CODE_POINT) hi = VBJ_LAST_CODE_POINT;
    /* Surrogates are no characters of a text. */
    if (lo <= 0xDFFF && hi >= 0xD800) {
        if (lo < 0xD800 && !add_edge(n, from, lo, 0xD7FF, to)) return false;
        if (hi <= 0xDFFF) return true;
        lo = 0xE000;
    }
    return lo > hi || add_edge(n, from, lo, hi, to);
}

bool vbj_nfa_eps(vbj_nfa *n, int32_t from, vbj_eps_kind kind, int32_t to) {
    return add_edge(n, from, UINT32_MAX, (uint32_t)kind, to);
}

static bool is_eps(const vbj_nfa_edge *e) {
    return e->lo > e->hi;
}

/* A state of the result is a set of states, kept as a sorted list in `members`. */
typedef struct {
    size_t begin, n;
    uint64_t hash;
} state_set;

typedef struct {
    const vbj_nfa *nfa;
    vbj_arena *arena;
    int32_t *first; /* nfa's edges by origin: order[first[s]] .. */
    int32_t *order;
    int32_t *members;
    size_t n_members, members_room;
    state_set *sets;
    size_t n_sets, sets_room;
    int32_t *table;
    size_t table_size;
    /* scratch */
    uint32_t *mark;
    uint32_t round;
    int32_t *list;
    size_t n_list;
} subsets;

static bool index_edges(subsets *s) {
    const vbj_nfa *n = s->nfa;
    size_t states = (size_t)n->n_states;
    s->first = vbj_take(s->arena, states + 2, sizeof *s->first);
    s->order = vbj_take(s->arena, n->n_edges + 1, sizeof *s->order);
    s->mark = vbj_take(s->arena, states + 1, sizeof *s->mark);
    s->list = vbj_take(s->arena, states + 1, sizeof *s->list);
    if (!s->first || !s->order || !s->mark || !s->list) return false;
    for (size_t e = 0; e < n->n_edges; e++) s->first[n->edges[e].from + 1]++;
    for (size_t i = 0; i < states; i++) s->first[i + 1] += s->first[i];
    int32_t *fill = vbj_take(s->arena, states + 1, sizeof *fill);
    if (!fill) return false;
    memcpy(fill, s->first, states * sizeof *fill);
    for (size_t e = 0; e < n->n_edges; e++) s->order[fill[n->edges[e].from]++] = (int32_t)e;
    return true;
}

static void visit(subsets *s, int32_t state) {
    if (s->mark[state] == s->round) return;
    s->mark[state] = s->round;
    s->list[s->n_list++] = state;
}

/* Follows empty edges of the kinds in `kinds` (bits) from the states in s->list. */
static bool close_list(subsets *s, unsigned kinds) {
    for (size_t i = 0; i < s->n_list; i++) {
        int32_t state = s->list[i];
        for (int32_t k = s->first[state]; k < s->first[state + 1]; k++) {
            const vbj_nfa_edge *e = &s->nfa->edges[s->order[k]];
            if (is_eps(e) && (kinds >> e->hi & 1)) visit(s, e->to);
        }
        if (!vbj_steps(s->arena, 1 + (uint64_t)(s->first[state + 1] - s->first[state]))) return false;
    }
    return true;
}

static int compare_int(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static bool grow_table(subsets *s) {
    size_t size = s->table_size ? 2 * s->table_size : 64;
    int32_t *table = vbj_take(s->arena, size, sizeof *table);
    if (!table) return false;
    for (size_t i = 0; i < s->n_sets; i++) {
        size_t at = s->sets[i].hash & (size - 1);
        while (table[at]) at = (at + 1) & (size - 1);
        table[at] = (int32_t)i + 1;
    }
    s->table = table;
    s->table_size = size;
    return true;
}

/* The index of the set in s->list, added if it is new; -1 where the arena is full. */
static int32_t set_index(subsets *s) {
    if (!vbj_steps(s->arena, vbj_sorting(s->n_list))) return -1;
    qsort(s->list, s->n_list, sizeof *s->list, compare_int);
    uint64_t hash = s->n_list;
    for (size_t i = 0; i < s->n_list; i++)
        hash = (hash ^ (uint32_t)s->list[i]) * 0x9E3779B97F4A7C15u, hash ^= hash >> 31;
    if (2 * (s->n_sets + 1) > s->table_size && !grow_table(s)) return -1;
    size_t at = hash & (s->table_size - 1);
    for (; s->table[at]; at = (at + 1) & (s->table_size - 1)) {
        const state_set *have = &s->sets[s->table[at] - 1];
        if (have->hash == hash && have->n == s->n_list &&
            memcmp(s->members + have->begin, s->list, s->n_list * sizeof *s->list) == 0)
            return s->table[at] - 1;
    }
    for (size_t i = 0; i < s->n_list; i++) {
        if (!vbj_grow(s->arena, &s->members, s->n_members, &s->members_room, sizeof *s->members)) return -1;
        s->members[s->n_members++] = s->list[i];
    }
    if (!vbj_grow(s->arena, &s->sets, s->n_sets, &s->sets_room, sizeof *s->sets)) return -1;
    s->sets[s->n_sets++] = (state_set){s->n_members - s->n_list, s->n_list, hash};
    s->table[at] = (int32_t)s->n_sets;
    return (int32_t)s->n_sets - 1;
}

/* Whether the text may end in set k: an accepting state is reached by empty edges that hold at the end. */
static bool ends(subsets *s, size_t k) {
    s->round++;
    s->n_list = 0;
    for (size_t i = 0; i < s->sets[k].n; i++) visit(s, s->members[s->sets[k].begin + i]);
    unsigned kinds = 1u << VBJ_EPS | 1u << VBJ_EPS_END | (k == 0 ? 1u << VBJ_EPS_BEGIN : 0u);
    close_list(s, kinds);
    return s->mark[s->nfa->accept] == s->round;
}

typedef struct {
    uint32_t at;  /* the first code point at which the edge is open, or no longer open */
    int32_t edge; /* its index, ~index where it closes */
} cut;

static int compare_cut(const void *a, const void *b) {
    const cut *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return (x->edge > y->edge) - (x->edge < y->edge);
}

/* All ranges that leave set k, swept from low to high: between two cuts the same edges are open. */
static bool set_edges(subsets *s, vbj_build *b, size_t k, cut **cuts, size_t *room, int32_t *open) {
    size_t n = 0, n_open = 0;
    for (size_t i = 0; i < s->sets[k].n; i++) {
        int32_t state = s->members[s->sets[k].begin + i];
        for (int32_t j = s->first[state]; j < s->first[state + 1]; j++) {
            const vbj_nfa_edge *e = &s->nfa->edges[s->order[j]];
            if (is_eps(e)) continue;
            if (!vbj_grow(s->arena, cuts, n + 1, room, sizeof **cuts)) return false;
            (*cuts)[n++] = (cut){e->lo, s->order[j]};
            (*cuts)[n++] = (cut){e->hi + 1, ~s->order[j]};
        }
    }
    if (!vbj_steps(s->arena, vbj_sorting(n))) return false;
    if (n) qsort(*cuts, n, sizeof **cuts, compare_cut);
    for (size_t i = 0; i < n;) {
        uint32_t at = (*cuts)[i].at;
        size_t looked = 0;
        for (; i < n && (*cuts)[i].at == at; i++) {
            int32_t edge = (*cuts)[i].edge;
            if (edge >= 0) {
                open[n_open++] = edge;
                continue;
            }
            size_t o = 0;
            while (open[o] != ~edge) o++;
            open[o] = open[--n_open];
            looked += o;
        }
        if (!vbj_steps(s->arena, (looked + n_open) / 8)) return false;
        if (!n_open) continue;
        s->round++;
        s->n_list = 0;
        for (size_t o = 0; o < n_open; o++) visit(s, s->nfa->edges[open[o]].to);
        if (!close_list(s, 1u << VBJ_EPS)) return false;
        int32_t to = set_index(s);
        if (to < 0 || !vbj_build_edge(b, at, (*cuts)[i].at - 1, to)) return false;
    }
    return true;
}

const vbj_dfa *vbj_nfa_determine(vbj_nfa *n) {
    vbj_arena part;
    vbj_arena_part(&part, n->arena);
    subsets s = {.nfa = n, .arena = &part, .round = 1};
    int32_t *open = vbj_take(&part, n->n_edges + 1, sizeof *open);
    const vbj_dfa *d = NULL;
    bool good = open && !n->arena->full && index_edges(&s);
    if (good) visit(&s, n->start);
    good = good && close_list(&s, 1u << VBJ_EPS | 1u << VBJ_EPS_BEGIN) && set_index(&s) >= 0;
    vbj_build b;
    vbj_build_begin(&b, &part);
    cut *cuts = NULL;
    size_t cuts_room = 0;
    for (size_t k = 0; good && k < s.n_sets; k++)
        good = vbj_build_state(&b, ends(&s, k)) && set_edges(&s, &b, k, &cuts, &cuts_room, open);
    if (good) d = vbj_dfa_minimal(&part, vbj_build_end(&b));
    return vbj_dfa_keep(n->arena, &part, d);
}

/* ------------------------------------------------------------------------------------ fewest states
 *
 * The alphabet is cut into classes that no edge tells apart. Blocks of states are split until all states
 * of a block lead, by every class, into the same block: a block S splits another B by class c into those
 * whose edge of c leads into S and the others. Of two halves only the smaller has to split others again. */

typedef struct {
    vbj_arena *arena;
    const vbj_dfa *d;
    uint32_t *bounds; /* class i is the code points bounds[i] .. bounds[i + 1] - 1 */
    size_t n_bounds;
    int32_t *into_first, *into; /* edges by target */
    int32_t *from;              /* edge -> its state */
    int32_t *states;            /* permuted, so that a block is a run */
    int32_t *place;             /* state -> its place in `states` */
    int32_t *block;             /* state -> block */
    int32_t *begin, *size;      /* of blocks */
    int32_t *marked;            /* states of a block that lead into the splitter, moved to its front */
    int32_t n_blocks;
    int32_t *waiting, n_waiting;
    bool *waits;
} refinement;

static int compare_bound(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool make_classes(refinement *r) {
    const vbj_dfa *d = r->d;
    size_t n = 0, edges = (size_t)d->first[d->n_states];
    r->bounds = vbj_take(r->arena, 2 * edges + 1, sizeof *r->bounds);
    if (!r->bounds) return false;
    for (size_t e = 0; e < edges; e++) {
        r->bounds[n++] = d->edges[e].lo;
        r->bounds[n++] = d->edges[e].hi + 1;
    }
    if (n) qsort(r->bounds, n, sizeof *r->bounds, compare_bound);
    for (size_t i = 0; i < n; i++)
        if (!r->n_bounds || r->bounds[r->n_bounds - 1] != r->bounds[i])
            r->bounds[r->n_bounds++] = r->bounds[i];
    return true;
}

static size_t class_of(const refinement *r, uint32_t c) {
    size_t lo = 0, hi = r->n_bounds;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (r->bounds[mid] <= c)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static bool reverse_edges(refinement *r) {
    const vbj_dfa *d = r->d;
    size_t n = (size_t)d->n_states, edges = (size_t)d->first[n];
    r->into_first = vbj_take(r->arena, n + 2, sizeof *r->into_first);
    r->into = vbj_take(r->arena, edges + 1, sizeof *r->into);
    r->from = vbj_take(r->arena, edges + 1, sizeof *r->from);
    int32_t *fill = vbj_take(r->arena, n + 1, sizeof *fill);
    if (!r->into_first || !r->into || !r->from || !fill) return false;
    for (size_t e = 0; e < edges; e++) r->into_first[d->edges[e].to + 1]++;
    for (size_t i = 0; i < n; i++) r->into_first[i + 1] += r->into_first[i];
    memcpy(fill, r->into_first, n * sizeof *fill);
    for (size_t s = 0; s < n; s++)
        for (int32_t e = d->first[s]; e < d->first[s + 1]; e++) {
            r->from[e] = (int32_t)s;
            r->into[fill[d->edges[e].to]++] = e;
        }
    return true;
}

static void wait_for(refinement *r, int32_t block) {
    if (r->waits[block]) return;
    r->waits[block] = true;
    r->waiting[r->n_waiting++] = block;
}

/* Two blocks to begin with: accepting states and the others. */
static bool first_blocks(refinement *r) {
    size_t n = (size_t)r->d->n_states;
    int32_t **lists[] = {&r->states, &r->place, &r->block, &r->begin, &r->size, &r->marked, &r->waiting};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (!(*lists[i] = vbj_take(r->arena, n + 2, sizeof **lists[i]))) return false;
    if (!(r->waits = vbj_take(r->arena, n + 2, sizeof *r->waits))) return false;
    int32_t at = 0;
    for (int accept = 0; accept < 2; accept++) {
        int32_t begin = at;
        for (size_t s = 0; s < n; s++)
            if (r->d->accept[s] == (accept == 1)) {
                r->states[at] = (int32_t)s;
                r->place[s] = at++;
                r->block[s] = r->n_blocks;
            }
        if (at == begin) continue;
        r->begin[r->n_blocks] = begin;
        r->size[r->n_blocks] = at - begin;
        wait_for(r, r->n_blocks++);
    }
    return true;
}

static void mark_state(refinement *r, int32_t s, int32_t *touched, int32_t *n_touched) {
    int32_t b = r->block[s], front = r->begin[b] + r->marked[b], at = r->place[s];
    if (at < front) return;
    if (!r->marked[b]++) touched[(*n_touched)++] = b;
    int32_t other = r->states[front];
    r->states[front] = s;
    r->states[at] = other;
    r->place[s] = front;
    r->place[other] = at;
}

/* Cuts the marked front of a block off, as a block of its own. */
static void split_block(refinement *r, int32_t b) {
    int32_t n = r->marked[b];
    r->marked[b] = 0;
    if (n == r->size[b]) return;
    int32_t fresh = r->n_blocks++;
    r->begin[fresh] = r->begin[b];
    r->size[fresh] = n;
    r->begin[b] += n;
    r->size[b] -= n;
    for (int32_t i = 0; i < n; i++) r->block[r->states[r->begin[fresh] + i]] = fresh;
    if (r->waits[b] || r->size[fresh] <= r->size[b])
        wait_for(r, fresh);
    else
        wait_for(r, b);
}

typedef struct {
    uint32_t class_number;
    int32_t from;
} into_class;

static int compare_class(const void *a, const void *b) {
    uint32_t x = ((const into_class *)a)->class_number, y = ((const into_class *)b)->class_number;
    return (x > y) - (x < y);
}

static bool refine(refinement *r) {
    into_class *into = NULL;
    size_t room = 0;
    int32_t *touched = vbj_take(r->arena, (size_t)r->d->n_states + 2, sizeof *touched);
    if (!touched) return false;
    while (r->n_waiting) {
        int32_t splitter = r->waiting[--r->n_waiting];
        r->waits[splitter] = false;
        size_t n = 0;
        for (int32_t i = 0; i < r->size[splitter]; i++) {
            int32_t to = r->states[r->begin[splitter] + i];
            for (int32_t k = r->into_first[to]; k < r->into_first[to + 1]; k++) {
                const vbj_edge *e = &r->d->edges[r->into[k]];
                size_t last = class_of(r, e->hi);
                for (size_t c = class_of(r, e->lo); c <= last; c++) {
                    if (!vbj_grow(r->arena, &into, n, &room, sizeof *into)) return false;
                    into[n++] = (into_class){(uint32_t)c, r->from[r->into[k]]};
                }
            }
        }
        if (!vbj_steps(r->arena, 1 + vbj_sorting(n))) return false;
        if (n) qsort(into, n, sizeof *into, compare_class);
        for (size_t i = 0; i < n;) {
            int32_t n_touched = 0;
            uint32_t c = into[i].class_number;
            for (; i < n && into[i].class_number == c; i++) mark_state(r, into[i].from, touched, &n_touched);
            for (int32_t t = 0; t < n_touched; t++) split_block(r, touched[t]);
        }
    }
    return true;
}

const vbj_dfa *vbj_dfa_minimal(vbj_arena *a, const vbj_dfa *x) {
    if (!x) return NULL;
    refinement r = {.arena = a, .d = x};
    if (!make_classes(&r) || !reverse_edges(&r) || !first_blocks(&r) || !refine(&r)) return NULL;
    /* One state of each block stands for it, and the block of the start comes first. */
    int32_t start = r.block[0], *number = vbj_take(a, (size_t)r.n_blocks + 1, sizeof *number);
    if (!number) return NULL;
    for (int32_t b = 0; b < r.n_blocks; b++) number[b] = b == start ? 0 : b < start ? b + 1 : b;
    vbj_build b;
    vbj_build_begin(&b, a);
    for (int32_t k = 0; k < r.n_blocks; k++) {
        int32_t which = k == 0 ? start : k <= start ? k - 1 : k;
        int32_t s = r.states[r.begin[which]];
        if (!vbj_build_state(&b, x->accept[s])) return NULL;
        for (int32_t e = x->first[s]; e < x->first[s + 1]; e++)
            if (!vbj_build_edge(&b, x->edges[e].lo, x->edges[e].hi, number[r.block[x->edges[e].to]]))
                return NULL;
    }
    return vbj_build_end(&b);
}
