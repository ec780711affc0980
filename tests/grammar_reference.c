/* grammar_reference.c - see grammar_reference.h. */
#include "tests/grammar_reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char ref_alphabet[REF_ALPHABET] = {'a', ',', '\xC3', '\xA9'};

/* ------------------------------------------------------------------------------------- random grammars */

static int add(ref_grammar *g, ref_node n) {
    g->node[g->n] = n;
    return g->n++;
}

static int set_of(ref_grammar *g, uint64_t *rng) {
    const unsigned one =
        (unsigned)(vb_splitmix64(rng) % 6); /* mostly a single symbol: then there are dead ends */
    return add(g, (ref_node){R_SET, one < 4 ? 1 << one : 1 + (int)(vb_splitmix64(rng) % 15), 0, 0, 0});
}

/* Regular and not empty-handed: for &, \ and fresh texts. */
static int regular(ref_grammar *g, uint64_t *rng, int deep) {
    const unsigned what = (unsigned)(vb_splitmix64(rng) % 8);
    if (deep == 0 || what < 3 || g->n > REF_NODES - 12) return set_of(g, rng);
    const int a = regular(g, rng, deep - 1);
    if (what == 3) {
        const int max = 1 + (int)(vb_splitmix64(rng) % 3);
        return add(g, (ref_node){R_REPEAT, a, 0, (int)(vb_splitmix64(rng) % 2), max == 3 ? -1 : max});
    }
    const int b = regular(g, rng, deep - 1);
    return add(g, (ref_node){what < 6 ? R_SEQ : R_ALT, a, b, 0, 0});
}

/* A fresh text: one or two symbols other than the comma, then a comma; no one begins another. */
static int fresh(ref_grammar *g, uint64_t *rng, bool finite) {
    const int some = add(g, (ref_node){R_SET, 13, 0, 0, 0});
    const int more = add(g, (ref_node){R_REPEAT, some, (int)0, 1, finite && vb_splitmix64(rng) % 2 ? 2 : -1});
    const int comma = add(g, (ref_node){R_SET, 2, 0, 0, 0});
    return add(g, (ref_node){R_FRESH, add(g, (ref_node){R_SEQ, more, comma, 0, 0}), 0, 0, 0});
}

static int any(ref_grammar *g, uint64_t *rng, int deep, bool may_recurse, int memory) {
    const unsigned what = (unsigned)(vb_splitmix64(rng) % 14);
    if (g->n > REF_NODES - 16) return set_of(g, rng);
    if (may_recurse && what < 2)
        return add(g, (ref_node){R_RULE, (int)(vb_splitmix64(rng) % REF_RULES), 0, 0, 0});
    if (deep == 0 || what < 4) return what == 3 ? add(g, (ref_node){R_EMPTY, 0, 0, 0, 0}) : set_of(g, rng);
    if (what == 4) {
        const int a = regular(g, rng, 2), b = regular(g, rng, 2);
        return add(g, (ref_node){vb_splitmix64(rng) % 2 ? R_AND : R_WITHOUT, a, b, 0, 0});
    }
    if (memory && what < 8) {
        const int f = fresh(g, rng, memory == 2);
        const int loop = add(g, (ref_node){R_REPEAT, f, 0, 0, -1});
        const int tail = any(g, rng, deep - 1, true, 0);
        return add(g, (ref_node){R_SCOPE, add(g, (ref_node){R_SEQ, loop, tail, 0, 0}), 0, 0, 0});
    }
    const int a = any(g, rng, deep - 1, may_recurse, memory);
    if (what < 8) {
        const int min = (int)(vb_splitmix64(rng) % 3), more = (int)(vb_splitmix64(rng) % 4);
        return add(g, (ref_node){R_REPEAT, a, 0, min, more == 3 ? -1 : min + more ? min + more : 1});
    }
    /* Right of something that reads, rules may come: left recursion is not made. */
    const bool seq = what < 11;
    if (seq && g->node[a].kind == R_SET)
        return add(g, (ref_node){R_SEQ, a, any(g, rng, deep - 1, true, memory), 0, 0});
    return add(g, (ref_node){seq ? R_SEQ : R_ALT, a, any(g, rng, deep - 1, false, memory), 0, 0});
}

void ref_random(ref_grammar *g, uint64_t *rng, int memory) {
    memset(g, 0, sizeof *g);
    for (int r = 0; r < REF_RULES; r++) {
        const int mark = g->n;
        g->rules[r] = any(g, rng, 2, false, r == 0 ? memory : 0);
        if (g->n > REF_NODES - 20) g->n = mark, g->rules[r] = set_of(g, rng);
    }
    g->root = any(g, rng, 3, true, memory);
}

/* ----------------------------------------------------------------------------------------- as expressions */

vbg_node ref_build(vbg_ir *ir, const ref_grammar *g) {
    vbg_node made[REF_NODES];
    uint32_t rules[REF_RULES];
    for (int r = 0; r < REF_RULES; r++) rules[r] = vbg_rule_new(ir, "r");
    for (int i = 0; i < g->n; i++) {
        const ref_node *n = &g->node[i];
        uint64_t set[4] = {0};
        switch (n->kind) {
        case R_EMPTY: made[i] = VBG_EMPTY; break;
        case R_SET:
            for (int k = 0; k < REF_ALPHABET; k++) {
                const uint8_t c = (uint8_t)ref_alphabet[k];
                if (n->a >> k & 1) set[c >> 6] |= UINT64_C(1) << (c & 63);
            }
            made[i] = vbg_byte_set(ir, set);
            break;
        case R_SEQ: made[i] = vbg_seq(ir, made[n->a], made[n->b]); break;
        case R_ALT: made[i] = vbg_alt(ir, made[n->a], made[n->b]); break;
        case R_REPEAT:
            made[i] = vbg_repeat(ir, made[n->a], (uint32_t)n->min, n->max < 0 ? VBG_INF : (uint32_t)n->max);
            break;
        case R_RULE: made[i] = vbg_rule(ir, rules[n->a]); break;
        case R_AND: made[i] = vbg_and(ir, made[n->a], made[n->b]); break;
        case R_WITHOUT: made[i] = vbg_and(ir, made[n->a], vbg_not(ir, made[n->b])); break;
        case R_SCOPE: made[i] = vbg_scope(ir, made[n->a]); break;
        case R_FRESH: made[i] = vbg_fresh(ir, made[n->a]); break;
        }
    }
    for (int r = 0; r < REF_RULES; r++) vbg_rule_set(ir, rules[r], made[g->rules[r]]);
    return made[g->root];
}

/* ----------------------------------------------------------------------------------------- recognising */

enum { MAX_ENDS = 400, MAX_USED = 8 };

/* Where a piece may end, with what the scope around it has recorded by then (places of texts). */
typedef struct end {
    int at, n_used;
    struct {
        int from, to;
    } used[MAX_USED];
} end;

typedef struct ends {
    end e[MAX_ENDS];
    int n;
} ends;

typedef struct matcher {
    const ref_grammar *g;
    const char *s;
    int n;
} matcher;

static bool same_end(const end *x, const end *y) {
    return x->at == y->at && x->n_used == y->n_used &&
           memcmp(x->used, y->used, (size_t)x->n_used * sizeof x->used[0]) == 0;
}

static void put(ends *to, const end *e) {
    for (int i = 0; i < to->n; i++)
        if (same_end(&to->e[i], e)) return;
    if (to->n == MAX_ENDS) {
        fprintf(stderr, "reference: too many ends\n");
        abort();
    }
    to->e[to->n++] = *e;
}

static void run(const matcher *m, int node, const end *from, ends *to);

static void run_all(const matcher *m, int node, const ends *from, ends *to) {
    for (int i = 0; i < from->n; i++) run(m, node, &from->e[i], to);
}

/* Given back in the reverse order: a stack of them. */
enum { MAX_ENDS_LISTS = 4000 };
static ends *pool[MAX_ENDS_LISTS];
static int n_pool;

static ends *new_ends(void) {
    if (n_pool == MAX_ENDS_LISTS) abort();
    if (!pool[n_pool] && !(pool[n_pool] = malloc(sizeof *pool[n_pool]))) abort();
    pool[n_pool]->n = 0;
    return pool[n_pool++];
}
static void drop_ends(int n) {
    n_pool -= n;
}

static void run_repeat(const matcher *m, const ref_node *n, const end *from, ends *to) {
    ends *now = new_ends(), *next = new_ends();
    put(now, from);
    for (int k = 0; now->n && (n->max < 0 || k <= n->max) && k <= m->n + n->min; k++) {
        if (k >= n->min)
            for (int i = 0; i < now->n; i++) put(to, &now->e[i]);
        if (k == n->max) break;
        next->n = 0;
        run_all(m, n->a, now, next);
        ends *swap = now;
        now = next, next = swap;
    }
    drop_ends(2);
}

static void run_two(const matcher *m, const ref_node *n, const end *from, ends *to) {
    ends *a = new_ends(), *b = new_ends();
    run(m, n->a, from, a);
    if (n->kind == R_SEQ) {
        run_all(m, n->b, a, to);
    } else {
        run(m, n->b, from, b);
        for (int i = 0; i < a->n; i++) {
            bool both = false;
            for (int k = 0; k < b->n; k++) both |= same_end(&a->e[i], &b->e[k]);
            if (both == (n->kind == R_AND)) put(to, &a->e[i]);
        }
    }
    drop_ends(2);
}

static void run_fresh(const matcher *m, const ref_node *n, const end *from, ends *to) {
    ends *a = new_ends();
    run(m, n->a, from, a);
    for (int i = 0; i < a->n; i++) {
        end e = a->e[i];
        const int len = e.at - from->at;
        bool used = false;
        for (int k = 0; k < e.n_used; k++)
            used |= e.used[k].to - e.used[k].from == len &&
                    memcmp(m->s + e.used[k].from, m->s + from->at, (size_t)len) == 0;
        if (used) continue;
        if (e.n_used == MAX_USED) abort();
        e.used[e.n_used].from = from->at, e.used[e.n_used++].to = e.at;
        put(to, &e);
    }
    drop_ends(1);
}

/* A rule that is under way at the same place adds nothing to itself: without this a left recursive grammar,
 * which is refused by the code under test, would have no end here. */
static void run_rule(const matcher *m, int rule, const end *from, ends *to) {
    enum { DEEPEST = 64 };
    static struct { int rule, at; } under_way[DEEPEST];
    static int n = 0;
    for (int i = 0; i < n; i++)
        if (under_way[i].rule == rule && under_way[i].at == from->at) return;
    if (n == DEEPEST) return;
    under_way[n].rule = rule, under_way[n++].at = from->at;
    run(m, m->g->rules[rule], from, to);
    n--;
}

static void run(const matcher *m, int node, const end *from, ends *to) {
    const ref_node *n = &m->g->node[node];
    end e = *from;
    switch (n->kind) {
    case R_EMPTY: put(to, from); break;
    case R_SET:
        for (int k = 0; k < REF_ALPHABET && e.at < m->n; k++)
            if (n->a >> k & 1 && m->s[from->at] == ref_alphabet[k]) {
                e.at = from->at + 1;
                put(to, &e);
                break;
            }
        break;
    case R_SEQ:
    case R_AND:
    case R_WITHOUT: run_two(m, n, from, to); break;
    case R_ALT:
        run(m, n->a, from, to);
        run(m, n->b, from, to);
        break;
    case R_REPEAT: run_repeat(m, n, from, to); break;
    case R_RULE: run_rule(m, n->a, from, to); break;
    case R_SCOPE: {
        ends *inner = new_ends();
        const end clean = {.at = from->at};
        run(m, n->a, &clean, inner);
        for (int i = 0; i < inner->n; i++) {
            e.at = inner->e[i].at;
            put(to, &e);
        }
        drop_ends(1);
        break;
    }
    case R_FRESH: run_fresh(m, n, from, to); break;
    }
}

bool ref_match(const ref_grammar *g, const char *text, int n) {
    const matcher m = {g, text, n};
    const end start = {.at = 0};
    ends *to = new_ends();
    bool yes = false;
    run(&m, g->root, &start, to);
    for (int i = 0; i < to->n; i++) yes |= to->e[i].at == n;
    drop_ends(1);
    return yes;
}

/* ----------------------------------------------------------------------------------------- in words */

static size_t words(const ref_grammar *g, int node, char *out, size_t size) {
    const ref_node *n = &g->node[node];
    static const char *const between[] = {
        [R_SEQ] = " ", [R_ALT] = " | ", [R_AND] = " & ", [R_WITHOUT] = " \\ "};
    size_t k = 0;
#define OUT(...) k += (size_t)snprintf(out + (k < size ? k : size), k < size ? size - k : 0, __VA_ARGS__)
#define SUB(x)   k += words(g, x, out + (k < size ? k : size), k < size ? size - k : 0)
    switch (n->kind) {
    case R_EMPTY: OUT("e"); break;
    case R_SET:
        OUT("[%s%s%s%s]", n->a & 1 ? "a" : "", n->a & 2 ? "," : "", n->a & 4 ? "C" : "", n->a & 8 ? "9" : "");
        break;
    case R_SEQ:
    case R_ALT:
    case R_AND:
    case R_WITHOUT:
        OUT("(");
        SUB(n->a);
        OUT("%s", between[n->kind]);
        SUB(n->b);
        OUT(")");
        break;
    case R_REPEAT:
        SUB(n->a);
        OUT("{%d,%d}", n->min, n->max);
        break;
    case R_RULE: OUT("r%d", n->a); break;
    case R_SCOPE:
        OUT("scope(");
        SUB(n->a);
        OUT(")");
        break;
    case R_FRESH:
        OUT("fresh(");
        SUB(n->a);
        OUT(")");
        break;
    }
#undef OUT
#undef SUB
    return k;
}

void ref_print(const ref_grammar *g, char *out, size_t size) {
    size_t k = 0;
    for (int r = 0; r < REF_RULES && k < size; r++) {
        k += (size_t)snprintf(out + k, size - k, "r%d = ", r);
        if (k < size) k += words(g, g->rules[r], out + k, size - k);
        if (k < size) k += (size_t)snprintf(out + k, size - k, "; ");
    }
    if (k < size) words(g, g->root, out + k, size - k);
}
