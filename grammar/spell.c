/* spell.c - whether what may still come can be spelled with a vocabulary. See spell.h. */
#include "grammar/spell.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* Bounds on a question that only unusual vocabularies ask: beyond them the grammar is refused. */
enum { MAX_TRIE = 4096, MAX_PRODUCT = 2000000, MAX_ROUNDS = 100000, MAX_DEEP = 1000 };

/* A set of trie nodes, by number: equal sets have equal numbers. 0: none, 1: the root alone. */
typedef uint32_t nodes;

typedef struct memo {
    vbg_node x;
    nodes a, value;
} memo;

struct vbg_spell {
    vbg_machine *m;
    vbg_trie t;
    size_t words; /* of a set */
    uint64_t *sets;
    size_t n_sets, room_sets;
    memo *memos; /* an open table: x = VBG_UNKNOWN is free */
    size_t n_memos, size;
    memo *heads; /* likewise: value 1 or 0 */
    size_t n_heads, heads_size;
    nodes *tails; /* (room_tails) pre of each tail, VBG_UNKNOWN */
    size_t room_tails;
    bool changed; /* something new was asked */
    memo nowhere; /* where an entry is that there was no memory for */
    vb_error error;
};

int vbg_spell_error(const vbg_spell *s, vb_error *err) {
    return s && s->error.code ? vb_fail(err, s->error.code, "%s", s->error.message) : VB_OK;
}

static void too_much(vbg_spell *s, const char *what) {
    vb_fail(&s->error, VB_ERR_UNSUPPORTED,
            "the vocabulary lacks bytes that the grammar uses, and what can be spelled without them takes "
            "too long to "
            "find out (%s)",
            what);
}

/* ----------------------------------------------------------------------------------------- sets of nodes */

static nodes set_number(vbg_spell *s, const uint64_t *w) {
    for (size_t i = 0; i < s->n_sets; i++)
        if (memcmp(s->sets + i * s->words, w, s->words * 8) == 0) return (nodes)i;
    if (vb_grow((void **)&s->sets, &s->room_sets, (s->n_sets + 1) * s->words, 8, "a vocabulary", &s->error))
        return 0;
    memcpy(s->sets + s->n_sets * s->words, w, s->words * 8);
    if (s->n_sets > MAX_TRIE) too_much(s, "sets");
    return (nodes)s->n_sets++;
}

static nodes set_union(vbg_spell *s, nodes a, nodes b) {
    uint64_t w[MAX_TRIE / 64 + 1];
    if (a == b || b == 0) return a;
    if (a == 0) return b;
    for (size_t i = 0; i < s->words; i++) w[i] = s->sets[a * s->words + i] | s->sets[b * s->words + i];
    return set_number(s, w);
}

static bool set_has(const vbg_spell *s, nodes a, uint32_t node) {
    return s->sets[a * s->words + node / 64] >> (node % 64) & 1;
}

static uint64_t hash_pair(uint32_t x, uint32_t a) {
    uint64_t h = ((uint64_t)x << 32 | a) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 30;
}

/* The entry of (x, a), or a new one with the value `fresh`. The pointer is good until the next call. */
static memo *entry(vbg_spell *s, memo **table, size_t *n, size_t *size, vbg_node x, nodes a, bool *is_new) {
    *is_new = false;
    if (2 * (*n + 1) > *size) {
        const size_t to = *size ? 2 * *size : 256;
        memo *t;
        if (vb_alloc((void **)&t, to, sizeof *t, "a vocabulary", &s->error)) return &s->nowhere;
        for (size_t i = 0; i < to; i++) t[i] = (memo){VBG_UNKNOWN, 0, 0};
        for (size_t i = 0; i < *size; i++) {
            if ((*table)[i].x == VBG_UNKNOWN) continue;
            size_t at = hash_pair((*table)[i].x, (*table)[i].a) & (to - 1);
            while (t[at].x != VBG_UNKNOWN) at = (at + 1) & (to - 1);
            t[at] = (*table)[i];
        }
        free(*table);
        *table = t, *size = to;
    }
    size_t at = hash_pair(x, a) & (*size - 1);
    for (; (*table)[at].x != VBG_UNKNOWN; at = (at + 1) & (*size - 1))
        if ((*table)[at].x == x && (*table)[at].a == a) return &(*table)[at];
    (*table)[at] = (memo){x, a, 0};
    ++*n;
    *is_new = true;
    return &(*table)[at];
}

/* ----------------------------------------------------------------------------------------- lexemes */

/* Pairs of a derivative and a trie node, numbered as they are met, and the steps between them. */
typedef struct product {
    vbg_node *x;
    uint32_t *node;
    size_t n, room_x, room_node;
    uint32_t *slot;
    size_t size;
    struct step {
        uint32_t from, to;
    } * steps;
    size_t n_steps, room_steps;
} product;

static uint32_t pair_number(vbg_spell *s, product *p, vbg_node x, uint32_t node) {
    if (2 * (p->n + 1) > p->size) {
        const size_t size = p->size ? 2 * p->size : 256;
        uint32_t *slot;
        if (vb_alloc((void **)&slot, size, sizeof *slot, "a vocabulary", &s->error)) return 0;
        memset(slot, 0, size * sizeof *slot);
        for (size_t i = 0; i < p->n; i++) {
            size_t at = hash_pair(p->x[i], p->node[i]) & (size - 1);
            while (slot[at]) at = (at + 1) & (size - 1);
            slot[at] = (uint32_t)i + 1;
        }
        free(p->slot);
        p->slot = slot, p->size = size;
    }
    size_t at = hash_pair(x, node) & (p->size - 1);
    for (; p->slot[at]; at = (at + 1) & (p->size - 1))
        if (p->x[p->slot[at] - 1] == x && p->node[p->slot[at] - 1] == node) return p->slot[at] - 1;
    if (vb_grow((void **)&p->x, &p->room_x, p->n + 1, sizeof *p->x, "a vocabulary", &s->error) ||
        vb_grow((void **)&p->node, &p->room_node, p->n + 1, sizeof *p->node, "a vocabulary", &s->error))
        return 0;
    p->x[p->n] = x, p->node[p->n] = node;
    p->slot[at] = (uint32_t)++p->n;
    if (p->n > MAX_PRODUCT) too_much(s, "states");
    return (uint32_t)p->n - 1;
}

static void add_step(vbg_spell *s, product *p, uint32_t from, vbg_node x, uint32_t node) {
    const uint32_t to = pair_number(s, p, x, node);
    if (vb_grow((void **)&p->steps, &p->room_steps, p->n_steps + 1, sizeof *p->steps, "a vocabulary",
                &s->error))
        return;
    p->steps[p->n_steps++] = (struct step){from, to};
    if (p->n_steps > MAX_PRODUCT) too_much(s, "steps");
}

/* All that can be reached from the pairs that are in already. */
static void explore(vbg_spell *s, product *p) {
    for (uint32_t i = 0; i < p->n && !s->error.code && !s->m->error.code; i++) {
        const uint32_t node = p->node[i];
        for (uint32_t c = node + 1; c < s->t.skip[node]; c = s->t.skip[c]) {
            const vbg_node x = vbg_step(s->m, p->x[i], s->t.byte[c]);
            if (x == VBG_NONE) continue;
            if (s->t.skip[c] > c + 1) add_step(s, p, i, x, c);
            if (s->t.first_id[c] < s->t.first_id[c + 1]) add_step(s, p, i, x, 0);
        }
    }
    if (s->m->error.code) vb_fail(&s->error, s->m->error.code, "%s", s->m->error.message);
}

static void free_product(product *p) {
    free(p->x);
    free(p->node);
    free(p->slot);
    free(p->steps);
}

/* good[i]: from pair i a complete lexeme at a node of `a` can be reached. */
static bool *backwards(vbg_spell *s, const product *p, nodes a) {
    bool *good;
    if (s->error.code || vb_alloc((void **)&good, p->n + 1, sizeof *good, "a vocabulary", &s->error))
        return NULL;
    for (size_t i = 0; i < p->n; i++) good[i] = vbg_nullable(s->m->ir, p->x[i]) && set_has(s, a, p->node[i]);
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = p->n_steps; i-- > 0;)
            if (good[p->steps[i].to] && !good[p->steps[i].from]) good[p->steps[i].from] = changed = true;
    }
    return good;
}

/* Leaves good[] only where infinitely many texts lead on: a circle of good pairs can be reached. */
static void endless_only(vbg_spell *s, const product *p, bool *good) {
    uint32_t *out;
    bool *circle = NULL;
    if (vb_alloc((void **)&out, p->n + 1, sizeof *out, "a vocabulary", &s->error)) return;
    memset(out, 0, (p->n + 1) * sizeof *out);
    for (size_t i = 0; i < p->n_steps; i++)
        if (good[p->steps[i].from] && good[p->steps[i].to]) out[p->steps[i].from]++;
    /* Take away, again and again, what has no step left: what stays reaches a circle. */
    if (!vb_alloc((void **)&circle, p->n + 1, sizeof *circle, "a vocabulary", &s->error)) {
        for (size_t i = 0; i < p->n; i++) circle[i] = good[i];
        for (bool changed = true; changed;) {
            changed = false;
            for (size_t i = 0; i < p->n; i++) out[i] = 0;
            for (size_t i = 0; i < p->n_steps; i++)
                if (circle[p->steps[i].from] && circle[p->steps[i].to]) out[p->steps[i].from]++;
            for (size_t i = 0; i < p->n; i++)
                if (circle[i] && out[i] == 0) circle[i] = false, changed = true;
        }
        memcpy(good, circle, p->n * sizeof *good);
    }
    free(out);
    free(circle);
}

static nodes pre_lexeme(vbg_spell *s, vbg_node x, nodes a, bool endless) {
    product p = {0};
    uint64_t w[MAX_TRIE / 64 + 1] = {0};
    for (uint32_t node = 0; node < s->t.n && !s->error.code; node++) pair_number(s, &p, x, node);
    explore(s, &p);
    bool *good = backwards(s, &p, a);
    if (good && endless) endless_only(s, &p, good);
    for (uint32_t node = 0; good && node < s->t.n; node++)
        if (good[node]) w[node / 64] |= UINT64_C(1) << (node % 64);
    free(good);
    free_product(&p);
    return s->error.code ? 0 : set_number(s, w);
}

/* ----------------------------------------------------------------------------------------- expressions */

/* What is run as one lexeme, & and ~ over counted repetitions too. */
static bool is_lexeme(const vbg_item *it) {
    if (!(it->flags & VBG_F_REGULAR)) return false;
    return !(it->flags & VBG_F_COUNTED) || it->kind == VBG_K_AND || it->kind == VBG_K_NOT;
}

static nodes pre(vbg_spell *s, vbg_node x, nodes a, int deep);

/* The sum of pre^k(x, a) over min <= k <= max. */
static nodes pre_repeat(vbg_spell *s, const vbg_item *it, nodes a, int deep) {
    nodes v = a;
    uint32_t k = 0;
    for (; k < it->min && !s->error.code; k++) {
        const nodes next = pre(s, it->a, v, deep);
        if (next == v) k = it->min - 1; /* as it will be from now on */
        v = next;
        if (k >= MAX_ROUNDS && k < it->min - 1) too_much(s, "repetitions");
    }
    for (nodes sum = v;; k++) {
        if (k >= it->max || s->error.code) return sum;
        v = pre(s, it->a, v, deep);
        const nodes more = set_union(s, sum, v);
        /* pre of a sum is the sum of pre: if this round added nothing, none will. */
        if (more == sum) return sum;
        sum = more;
    }
}

/* One level: what is below comes from the table. */
static nodes compute(vbg_spell *s, vbg_node x, nodes a, int deep) {
    const vbg_item it = *vbg_at(s->m->ir, x);
    nodes sum = 0;
    if (is_lexeme(&it)) return pre_lexeme(s, x, a, false);
    switch ((vbg_kind)it.kind) {
    case VBG_K_SEQ: return pre(s, it.a, pre(s, it.b, a, deep), deep);
    case VBG_K_ALT:
        for (uint32_t i = 0; i < it.b; i++)
            sum = set_union(s, sum, pre(s, s->m->ir->lists[it.a + i], a, deep));
        return sum;
    case VBG_K_REPEAT: return pre_repeat(s, &it, a, deep);
    case VBG_K_RULE: return pre(s, s->m->ir->rules[it.a].body, a, deep);
    case VBG_K_SCOPE: return pre(s, it.a, a, deep);
    case VBG_K_FRESH: return pre_lexeme(s, it.a, a, true);
    default: return 0;
    }
}

/* From the table, where what is being found out stands with what is known of it so far. */
static nodes pre(vbg_spell *s, vbg_node x, nodes a, int deep) {
    bool is_new;
    if (s->error.code || a == 0) return 0;
    if (x == VBG_EMPTY) return a;
    if (!(vbg_at(s->m->ir, x)->flags & VBG_F_TEXT)) return 0;
    if (deep > MAX_DEEP) return too_much(s, "depth"), 0;
    memo *e = entry(s, &s->memos, &s->n_memos, &s->size, x, a, &is_new);
    if (!is_new) return e->value;
    s->changed = true;
    const nodes v = compute(s, x, a, deep + 1);
    return entry(s, &s->memos, &s->n_memos, &s->size, x, a, &is_new)->value = v;
}

/* pre with everything at its fixed point: every value is found again from the others until none grows. */
static nodes settled(vbg_spell *s, vbg_node x, nodes a) {
    s->changed = false;
    pre(s, x, a, 0);
    for (bool again = s->changed; again && !s->error.code;) {
        again = false;
        for (size_t i = 0; i < s->size && !s->error.code; i++) {
            const memo e = s->memos[i];
            if (e.x == VBG_UNKNOWN) continue;
            const vbg_item it = *vbg_at(s->m->ir, e.x);
            if (is_lexeme(&it) || it.kind == VBG_K_FRESH) continue; /* stand on nothing else */
            s->changed = false;
            bool is_new;
            const nodes now = compute(s, e.x, e.a, 0);
            memo *here = entry(s, &s->memos, &s->n_memos, &s->size, e.x, e.a, &is_new);
            again |= s->changed || here->value != now;
            here->value = now;
        }
    }
    return pre(s, x, a, 0);
}

/* ----------------------------------------------------------------------------------------- stacks */

/* Tails are finished from below: each waits on a list for those under it. */
static nodes pre_tail(vbg_spell *s, uint32_t tail) {
    uint32_t *todo = NULL;
    size_t n = 0, room = 0;
    const vbg_machine *m = s->m;
    if (m->n_tails > s->room_tails) {
        const size_t had = s->room_tails;
        if (vb_grow((void **)&s->tails, &s->room_tails, m->n_tails, sizeof *s->tails, "a vocabulary",
                    &s->error))
            return 0;
        memset(s->tails + had, 0xFF, (s->room_tails - had) * sizeof *s->tails);
    }
    if (s->tails[tail] != VBG_UNKNOWN) return s->tails[tail];
    if (!vb_grow((void **)&todo, &room, 1, sizeof *todo, "a vocabulary", &s->error)) todo[n++] = tail;
    while (n && !s->error.code) {
        const uint32_t now = todo[n - 1];
        const struct vbg_tail t = m->tails[now];
        nodes sum = 0;
        bool ready = true;
        for (uint32_t i = 0; i < t.n && !s->error.code; i++) {
            const vbg_cell c = m->cells[m->members[t.first + i]];
            if (c.kind == VBG_C_END) {
                sum = set_union(s, sum, 1);
            } else if (s->tails[c.tail] == VBG_UNKNOWN) {
                ready = false;
                if (!vb_grow((void **)&todo, &room, n + 1, sizeof *todo, "a vocabulary", &s->error))
                    todo[n++] = c.tail;
                break;
            } else if (ready) {
                const nodes below = s->tails[c.tail];
                sum = set_union(s, sum, c.kind == VBG_C_NODE ? settled(s, c.what, below) : below);
            }
        }
        if (ready) s->tails[now] = sum, n--;
    }
    free(todo);
    return s->error.code ? 0 : s->tails[tail];
}

/* The heads table gets an answer for every expression that the product met between two texts of the
 * vocabulary, not for the first alone: where a text goes on, it goes on to one of these, so that counting
 * up to a length costs one walk through the product and not one for each count. */
static void remember_heads(vbg_spell *s, const product *p, const bool *good, nodes a) {
    for (size_t i = 0; i < p->n && !s->error.code; i++) {
        bool is_new;
        if (p->node[i] == 0)
            entry(s, &s->heads, &s->n_heads, &s->heads_size, p->x[i], a, &is_new)->value = good[i];
    }
}

bool vbg_spell_head(vbg_spell *s, const vbg_head *h) {
    const nodes a = pre_tail(s, h->tail);
    bool is_new;
    if (s->error.code || a == 0) return false;
    const memo *e = entry(s, &s->heads, &s->n_heads, &s->heads_size, h->lexeme, a, &is_new);
    if (!is_new) return e->value != 0;
    product p = {0};
    pair_number(s, &p, h->lexeme, 0);
    explore(s, &p);
    bool *good = backwards(s, &p, a);
    const bool yes = good && good[0];
    if (good) remember_heads(s, &p, good, a);
    free(good);
    free_product(&p);
    return yes && !s->error.code;
}

bool vbg_spell_state(vbg_spell *s, uint32_t state) {
    const vbg_state x = s->m->states[state];
    bool yes = x.accept;
    for (uint32_t i = 0; i < x.n && !yes; i++) {
        const vbg_head h = s->m->heads[x.first + i];
        yes = vbg_spell_head(s, &h);
    }
    return yes;
}

/* ----------------------------------------------------------------------------------------- the vocabulary */

/* Whether the texts in `short_ones` spell w: positions that can be reached, left to right. */
static bool spelled(const vbg_trie *short_ones, const vbg_word *w, bool *reach) {
    memset(reach, 0, w->n + 1);
    reach[0] = true;
    for (size_t i = 0; i < w->n; i++) {
        if (!reach[i]) continue;
        uint32_t node = 0;
        for (size_t j = i; j < w->n; j++) {
            uint32_t c = node + 1;
            while (c < short_ones->skip[node] && short_ones->byte[c] != (uint8_t)w->s[j])
                c = short_ones->skip[c];
            if (c >= short_ones->skip[node]) break;
            node = c;
            if (short_ones->first_id[c] < short_ones->first_id[c + 1]) reach[j + 1] = true;
        }
    }
    return reach[w->n];
}

static int by_length(const void *x, const void *y) {
    const vbg_word *a = x, *b = y;
    return a->n < b->n ? -1 : a->n > b->n;
}

/* The texts that others do not spell. Shortest first; the trie of those found is made anew for each
 * length. */
static int irreducible(vbg_spell *s, const vbg_vocab *v, const uint64_t *no_text, const bool *used,
                       vb_error *err) {
    vbg_word *w, *kept = NULL, *copy = NULL;
    bool *reach = NULL;
    size_t n = 0, n_kept = 0;
    int rc = vb_alloc((void **)&w, (size_t)v->n_vocab + 1, sizeof *w, "a vocabulary", err);
    if (!rc) rc = vb_alloc((void **)&kept, (size_t)v->n_vocab + 1, sizeof *kept, "a vocabulary", err);
    if (!rc) rc = vb_alloc((void **)&copy, (size_t)v->n_vocab + 1, sizeof *copy, "a vocabulary", err);
    if (!rc) rc = vb_alloc((void **)&reach, VBG_LONGEST_WORD + 1, 1, "a vocabulary", err);
    for (int32_t id = 0; id < v->n_vocab && !rc; id++) {
        bool all = v->text[id].s != NULL && !(no_text && no_text[id / 64] >> (id % 64) & 1);
        for (size_t i = 0; all && i < v->text[id].n; i++) all = used[(uint8_t)v->text[id].s[i]];
        if (all) w[n++] = v->text[id];
    }
    if (!rc && n) qsort(w, n, sizeof *w, by_length);
    for (size_t i = 0, j; i < n && !rc; i = j) {
        const size_t before = n_kept;
        for (j = i; j < n && w[j].n == w[i].n && !rc; j++)
            if (!spelled(&s->t, &w[j], reach)) kept[n_kept++] = w[j];
        if (n_kept == before) continue;
        vbg_trie_free(&s->t);
        memcpy(copy, kept, n_kept * sizeof *copy);
        rc = vbg_trie_build(&s->t, copy, n_kept, err);
        if (!rc && s->t.n > MAX_TRIE) {
            too_much(s, "texts of the vocabulary");
            rc = vbg_spell_error(s, err);
        }
    }
    free(w);
    free(kept);
    free(copy);
    free(reach);
    return rc;
}

/* Every byte, where one of these stands below anything. */
static bool names_all(const vbg_ir *ir, vbg_node n) {
    return n == VBG_ANYBYTE || n == VBG_ALL || (n > VBG_ALL && vbg_at(ir, n)->kind == VBG_K_NOT);
}

/* Bytes that some expression of the grammar reads. */
static void used_bytes(const vbg_ir *ir, bool *used) {
    bool all = names_all(ir, ir->root);
    memset(used, 0, 256);
    for (size_t i = 0; i < ir->n_rules; i++) all |= names_all(ir, ir->rules[i].body);
    for (size_t i = VBG_ALL + 1; i < ir->n_nodes; i++) {
        const vbg_item *it = vbg_at(ir, (vbg_node)i);
        const vbg_kind k = (vbg_kind)it->kind;
        if (k == VBG_K_BYTES)
            for (unsigned c = 0; c < 256; c++) used[c] |= vbg_set_has(&ir->sets[it->a], c);
        if (k == VBG_K_ALT || k == VBG_K_AND)
            for (uint32_t j = 0; j < it->b; j++) all |= names_all(ir, ir->lists[it->a + j]);
        if (k == VBG_K_SEQ || k == VBG_K_NOT || k == VBG_K_REPEAT || k == VBG_K_SCOPE || k == VBG_K_FRESH)
            all |= names_all(ir, it->a) || (k == VBG_K_SEQ && names_all(ir, it->b));
    }
    for (size_t i = 0; i < ir->n_dfas; i++)
        for (uint32_t e = 0; e < ir->dfas[i].first[ir->dfas[i].n_states]; e++)
            for (unsigned c = ir->dfas[i].edges[e].lo; c <= ir->dfas[i].edges[e].hi; c++) used[c] = true;
    if (all) memset(used, 1, 256);
}

int vbg_spell_new(vbg_spell **out, vbg_machine *m, const vbg_vocab *v, const uint64_t *no_text,
                  vb_error *err) {
    bool used[256], all = true;
    vbg_spell *s;
    used_bytes(m->ir, used);
    for (int c = 0; c < 256; c++) all &= v->bytes[c] || !used[c];
    *out = NULL;
    if (all) return VB_OK;
    int rc = vb_alloc((void **)&s, 1, sizeof *s, "a vocabulary", err);
    if (rc) return rc;
    memset(s, 0, sizeof *s);
    s->m = m;
    rc = vbg_trie_build(&s->t, NULL, 0, err);
    if (!rc) rc = irreducible(s, v, no_text, used, err);
    if (!rc) {
        uint64_t w[MAX_TRIE / 64 + 1] = {0};
        s->words = ((size_t)s->t.n + 63) / 64;
        set_number(s, w);
        w[0] = 1;
        set_number(s, w);
        rc = vbg_spell_error(s, err);
    }
    if (rc)
        vbg_spell_free(s);
    else
        *out = s;
    return rc;
}

void vbg_spell_free(vbg_spell *s) {
    if (!s) return;
    vbg_trie_free(&s->t);
    free(s->sets);
    free(s->memos);
    free(s->heads);
    free(s->tails);
    free(s);
}

size_t vbg_spell_bytes(const vbg_spell *s) {
    if (!s) return 0;
    return s->room_sets * 8 + (s->size + s->heads_size) * sizeof(memo) + s->room_tails * sizeof(nodes) +
           (size_t)s->t.n * 15;
}
