/* mask.c - which ids may come next. See mask.h. */
#include "grammar/mask.h"
#include "grammar/node.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* One walk below a state's head. `stale`: a fresh text was completed on the way, and the memories in
 * the tails do not hold it. */
static void walk(vbg_masker *k, const vbg_trie *t, uint32_t node, vbg_head h, bool stale);

static void mark(vbg_masker *k, const vbg_trie *t, uint32_t node) {
    for (uint32_t i = t->first_id[node]; i < t->first_id[node + 1]; i++)
        k->bits[t->ids[i] / 64] |= UINT64_C(1) << (t->ids[i] % 64);
}

static bool ends_here(const vbg_trie *t, uint32_t node) {
    return t->first_id[node] < t->first_id[node + 1];
}

/* ----------------------------------------------------------------------------------------- state by state */

/* Below a node whose bytes lead to `state`, without any shortcut. */
static void walk_states(vbg_masker *k, const vbg_trie *t, uint32_t node, uint32_t state) {
    if (ends_here(t, node) && (!k->spell || vbg_spell_state(k->spell, state))) mark(k, t, node);
    for (uint32_t i = node + 1; i < t->skip[node]; i = t->skip[i]) {
        const uint32_t next = vbg_advance(k->m, state, (const char *)&t->byte[i], 1);
        if (next != VBG_DEAD_STATE) walk_states(k, t, i, next);
    }
}

/* A second fresh text within one token: the first one counts already. Rare, so by states. */
static void walk_exactly(vbg_masker *k, const vbg_trie *t, uint32_t node) {
    char path[VBG_LONGEST_WORD];
    size_t n = t->depth[node];
    for (uint32_t i = node; i; i = t->parent[i]) path[t->depth[i] - 1] = (char)t->byte[i];
    const uint32_t state = vbg_advance(k->m, k->state, path, n);
    if (state != VBG_DEAD_STATE) walk_states(k, t, node, state);
}

/* ----------------------------------------------------------------------------------------- head by head */

/* True the first time that the pair is met in this mask. Without it an ambiguous grammar would be walked once
 * for each of its ways. */
static bool first_time(vbg_masker *k, uint64_t key) {
    if (2 * (k->n_seen + 1) > k->seen_size) {
        const size_t size = k->seen_size ? 2 * k->seen_size : 1024;
        uint64_t *seen;
        if (vb_alloc((void **)&seen, size, sizeof *seen, "a mask", &k->error)) return false;
        memset(seen, 0xFF, size * sizeof *seen);
        for (size_t i = 0; i < k->seen_size; i++) {
            if (k->seen[i] == UINT64_MAX) continue;
            size_t at = k->seen[i] * UINT64_C(0x9E3779B97F4A7C15) >> 24 & (size - 1);
            while (seen[at] != UINT64_MAX) at = (at + 1) & (size - 1);
            seen[at] = k->seen[i];
        }
        free(k->seen);
        k->seen = seen, k->seen_size = size;
    }
    size_t at = key * UINT64_C(0x9E3779B97F4A7C15) >> 24 & (k->seen_size - 1);
    for (; k->seen[at] != UINT64_MAX; at = (at + 1) & (k->seen_size - 1))
        if (k->seen[at] == key) return false;
    k->seen[at] = key;
    k->n_seen++;
    return true;
}

/* The byte of node `child` read by each head of the state. */
static void enter(vbg_masker *k, const vbg_trie *t, uint32_t child, uint32_t state, bool stale) {
    const vbg_state s = k->m->states[state];
    for (uint32_t i = 0; i < s.n && !k->error.code; i++) {
        vbg_head h = k->m->heads[s.first + i];
        h.lexeme = vbg_step(k->m, h.lexeme, t->byte[child]);
        if (h.lexeme == VBG_NONE) continue;
        if (h.text && stale)
            walk_exactly(k, t, child);
        else
            walk(k, t, child, h, stale);
    }
}

/* The lexeme may be complete at the node: its tail goes on below. */
static void leave(vbg_masker *k, const vbg_trie *t, uint32_t node, const vbg_head *h, bool stale) {
    const uint32_t state = vbg_after(k->m, h->tail);
    stale |= h->text != 0;
    if (t->skip[node] == node + 1 || k->m->states[state].n == 0) return;
    const uint64_t which = (uint64_t)state << 2 | (unsigned)stale << 1 | (t == &k->v->rest);
    if (!first_time(k, which << 30 ^ node)) return;
    for (uint32_t i = node + 1; i < t->skip[node]; i = t->skip[i]) enter(k, t, i, state, stale);
}

static void visit(vbg_masker *k, const vbg_trie *t, uint32_t node, const vbg_head *h, bool stale) {
    if (ends_here(t, node) && (!k->spell || vbg_spell_head(k->spell, h))) mark(k, t, node);
    if (vbg_nullable(k->m->ir, h->lexeme)) leave(k, t, node, h, stale);
}

static void walk(vbg_masker *k, const vbg_trie *t, uint32_t node, vbg_head h, bool stale) {
    const uint32_t end = t->skip[node];
    vbg_node *stack = k->stack;
    stack[t->depth[node]] = h.lexeme;
    if (node) visit(k, t, node, &h, stale);
    for (uint32_t i = node + 1; i < end && !k->m->error.code;) {
        k->walked++;
        h.lexeme = vbg_step(k->m, stack[t->depth[i] - 1], t->byte[i]);
        if (h.lexeme == VBG_NONE) {
            i = t->skip[i];
            continue;
        }
        stack[t->depth[i]] = h.lexeme;
        visit(k, t, i, &h, stale);
        i = h.lexeme == VBG_EMPTY ? t->skip[i] : i + 1;
    }
}

/* ----------------------------------------------------------------------------------------- plain texts */

/* Where the continuation bytes lead that may follow: `want`, or VBG_NONE if not all do or one may end
 * inside a character. */
static bool follow(vbg_machine *m, vbg_node n, unsigned lo, unsigned hi, int more, vbg_node want) {
    vbg_node last = VBG_UNKNOWN;
    for (unsigned c = lo; c <= hi; c++) {
        const vbg_node d = vbg_step(m, n, (uint8_t)c);
        if (d == last) continue; /* mostly one for all */
        last = d;
        if (more == 0 ? d != want
                      : d == VBG_NONE || vbg_nullable(m->ir, d) || !follow(m, d, 0x80, 0xBF, more - 1, want))
            return false;
    }
    return true;
}

/* Whether every plain character leads from the lexeme to `want`. */
static bool plain_leads(vbg_machine *m, vbg_node n, vbg_node want) {
    for (unsigned c = 0x20; c < 0x7F; c++)
        if (c != '"' && c != '\\' && vbg_step(m, n, (uint8_t)c) != want) return false;
    vbg_node last = VBG_UNKNOWN;
    for (unsigned c = 0xC2; c <= 0xF4; c++) {
        const vbg_node d = vbg_step(m, n, (uint8_t)c);
        const bool odd =
            c == 0xE0 || c == 0xED || c == 0xF0 || c == 0xF4 || c == 0xE1 || c == 0xEE || c == 0xF1;
        if (d == last && !odd) continue;
        last = d;
        if (d == VBG_NONE || vbg_nullable(m->ir, d)) return false;
        const unsigned lo = c == 0xE0   ? 0xA0
                            : c == 0xF0 ? 0x90
                                        : 0x80,
                       hi = c == 0xED   ? 0x9F
                            : c == 0xF4 ? 0x8F
                                        : 0xBF;
        if (!follow(m, d, lo, hi, c < 0xE0 ? 0 : c < 0xF0 ? 1 : 2, want)) return false;
    }
    return true;
}

/* Whether every plain character leads from the lexeme back to it, and it is complete nowhere between:
 * then all plain texts are allowed, and none of them leaves it. */
static bool is_closed(vbg_masker *k, vbg_node n) {
    const size_t had = k->room_closed;
    if (n < had && k->closed[n]) return k->closed[n] == 1;
    if (vb_grow((void **)&k->closed, &k->room_closed, (size_t)n + 1, 1, "a mask", &k->error)) return false;
    if (k->room_closed > had) memset(k->closed + had, 0, k->room_closed - had);
    if (!k->closed[n]) k->closed[n] = !vbg_nullable(k->m->ir, n) && plain_leads(k->m, n, n) ? 1 : 2;
    return k->closed[n] == 1;
}

/* No head of the state can begin with a plain character. */
static bool quiet(vbg_machine *m, uint32_t state) {
    const vbg_state s = m->states[state];
    for (uint32_t i = 0; i < s.n; i++)
        for (unsigned c = 0x20; c < 0x100; c++)
            if (c != '"' && c != '\\' && c != 0x7F &&
                vbg_step(m, m->heads[s.first + i].lexeme, (uint8_t)c) != VBG_NONE)
                return false;
    return true;
}

/* ----------------------------------------------------------------------------------------- lexemes */

static bool add_ids(vbg_masker *k, vbg_lexeme *x, const vbg_trie *t, uint32_t node, uint16_t rounds) {
    const uint32_t first = t->first_id[node], n = t->first_id[node + 1] - first;
    if (n == 0) return true;
    if (x->bits) {
        for (uint32_t i = 0; i < n; i++)
            x->bits[t->ids[first + i] / 64] |= UINT64_C(1) << (t->ids[first + i] % 64);
        return true;
    }
    if (x->n_ids + n > x->room_ids &&
        vb_grow((void **)&x->ids, &x->room_ids, x->n_ids + n, sizeof *x->ids, "a mask", &k->error))
        return false;
    for (uint32_t i = 0; i < n; i++) x->ids[x->n_ids + i] = t->ids[first + i]; /* mostly one */
    if (x->round != VBG_NONE) {
        if (vb_grow((void **)&x->rounds, &x->room_rounds, x->n_ids + n, sizeof *x->rounds, "a mask",
                    &k->error))
            return false;
        for (uint32_t i = 0; i < n; i++) x->rounds[x->n_ids + i] = rounds;
    }
    x->n_ids += n;
    return true;
}

static bool add_exits(vbg_masker *k, vbg_lexeme *x, const vbg_trie *t, uint32_t node, uint16_t rounds) {
    const uint32_t which = t == &k->v->rest ? VBG_OF_REST : 0;
    for (uint32_t i = node + 1; i < t->skip[node]; i = t->skip[i]) {
        if (vb_grow((void **)&x->exits, &x->room_exits, x->n_exits + 1, sizeof *x->exits, "a mask",
                    &k->error))
            return false;
        x->exits[x->n_exits++] = (vbg_exit){i | which, rounds, t->byte[i]};
    }
    return true;
}

/* Many ids are better kept as a set. Not with rounds, by which they are ordered. */
static bool make_bits(vbg_masker *k, vbg_lexeme *x) {
    const size_t words = ((size_t)k->v->n_vocab + 63) / 64;
    if (x->bits) return true;
    if (vb_alloc((void **)&x->bits, words, 8, "a mask", &k->error)) return false;
    memset(x->bits, 0, words * 8);
    for (size_t i = 0; i < x->n_ids; i++) x->bits[x->ids[i] / 64] |= UINT64_C(1) << (x->ids[i] % 64);
    free(x->ids);
    x->ids = NULL;
    x->n_ids = x->room_ids = 0;
    return true;
}

/* The walk of a lexeme below a node that its text so far, k->stack[depth], leads to. */
static void walk_below(vbg_masker *k, vbg_lexeme *x, const vbg_trie *t, uint32_t node);

/* All below a node where the lexeme is closed: the plain texts at once, the others along the other trie. */
static void take_plain(vbg_masker *k, vbg_lexeme *x, uint32_t node, vbg_node d) {
    const vbg_trie *t = &k->v->all;
    const uint64_t *plain = k->v->plain[k->v->most_points];
    const uint32_t rest = k->v->rest_of[node];
    if (!make_bits(k, x)) return;
    for (uint32_t i = t->first_id[node]; i < t->first_id[t->skip[node]]; i++) {
        const int32_t id = t->ids[i];
        x->bits[id / 64] |= plain[id / 64] & UINT64_C(1) << (id % 64);
    }
    if (rest == UINT32_MAX) return;
    k->stack[t->depth[node]] = d;
    add_ids(k, x, &k->v->rest, rest, 0);
    walk_below(k, x, &k->v->rest, rest);
}

/* How many continuation bytes are to come after a byte, when `before` were: -1 where no character can be. */
static int to_come(int before, uint8_t c) {
    if (before > 0) return (c & 0xC0) == 0x80 ? before - 1 : -1;
    if (before < 0) return -1;
    return c < 0x80 ? 0 : c < 0xC2 ? -1 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : c < 0xF5 ? 3 : -1;
}

static void walk_below(vbg_masker *k, vbg_lexeme *x, const vbg_trie *t, uint32_t node) {
    const bool counted = x->round != VBG_NONE,
               shortcut = !counted && t == &k->v->all && k->v->most_points > 0;
    const uint32_t end = t->skip[node];
    for (uint32_t i = node + 1; i < end && !k->error.code && !k->m->error.code;) {
        const uint16_t depth = t->depth[i];
        const vbg_node before = k->stack[depth - 1];
        const bool next = counted && before == VBG_EMPTY;
        const vbg_node d = vbg_step(k->m, next ? x->round : before, t->byte[i]);
        const uint16_t rounds = counted ? (uint16_t)(k->count[depth - 1] + next) : 0;
        k->walked++;
        if (d == VBG_NONE) {
            i = t->skip[i];
            continue;
        }
        const bool done = (vbg_at(k->m->ir, d)->flags & VBG_F_NULLABLE) != 0;
        if (counted && done && d != VBG_EMPTY) {
            x->usable = false;
            return;
        }
        k->stack[depth] = d;
        k->count[depth] = rounds;
        if (shortcut) k->wide[depth] = (int8_t)to_come(k->wide[depth - 1], t->byte[i]);
        if (shortcut && k->wide[depth] == 0 && t->skip[i] > i + 8 && is_closed(k, d)) {
            take_plain(k, x, i, d);
            i = t->skip[i];
            continue;
        }
        if (!add_ids(k, x, t, i, rounds) || (done && !add_exits(k, x, t, i, rounds))) return;
        i = d == VBG_EMPTY && !counted ? t->skip[i] : i + 1;
    }
}

/* The walk of a lexeme alone, or of rounds: one is done at VBG_EMPTY, and the next begins. */
static void walk_lexeme(vbg_masker *k, vbg_lexeme *x) {
    k->stack[0] = x->lexeme;
    k->count[0] = 0;
    k->wide[0] = 0;
    walk_below(k, x, x->trie, 0);
    if (x->round == VBG_NONE && x->n_ids > (size_t)k->v->n_vocab / 32) make_bits(k, x);
}

/* Orders by byte, and counted ids by rounds: both by counting. */
static int order(vbg_masker *k, vbg_lexeme *x) {
    vbg_exit *e = NULL;
    int32_t *ids = NULL;
    uint16_t *rounds = NULL;
    uint32_t at[257] = {0}, *first = NULL;
    const size_t most = (size_t)k->v->all.deepest + 2;
    int rc = vb_alloc((void **)&e, x->n_exits + 1, sizeof *e, "a mask", &k->error);
    for (size_t i = 0; i < x->n_exits; i++) at[x->exits[i].byte + 1]++;
    for (int c = 0; c < 256; c++) at[c + 1] += at[c];
    memcpy(x->by_byte, at, sizeof at);
    for (size_t i = 0; i < x->n_exits && !rc; i++) e[at[x->exits[i].byte]++] = x->exits[i];
    if (!rc) {
        free(x->exits);
        x->exits = e;
        x->room_exits = x->n_exits + 1;
    }
    if (rc || !x->rounds) return rc;
    rc = vb_alloc((void **)&first, most + 1, sizeof *first, "a mask", &k->error);
    if (!rc) rc = vb_alloc((void **)&ids, x->n_ids + 1, sizeof *ids, "a mask", &k->error);
    if (!rc) rc = vb_alloc((void **)&rounds, x->n_ids + 1, sizeof *rounds, "a mask", &k->error);
    if (!rc) {
        memset(first, 0, (most + 1) * sizeof *first);
        for (size_t i = 0; i < x->n_ids; i++) first[x->rounds[i] + 1]++;
        for (size_t i = 0; i < most; i++) first[i + 1] += first[i];
        for (size_t i = 0; i < x->n_ids; i++) {
            const uint32_t to = first[x->rounds[i]]++;
            ids[to] = x->ids[i], rounds[to] = x->rounds[i];
        }
        free(x->ids);
        free(x->rounds);
        x->ids = ids, x->rounds = rounds;
        ids = NULL, rounds = NULL;
    }
    free(first);
    free(ids);
    free(rounds);
    return rc;
}

static void free_lexeme(vbg_lexeme *x) {
    if (!x) return;
    free(x->ids);
    free(x->bits);
    free(x->rounds);
    free(x->exits);
    free(x);
}

static uint64_t hash_key(vbg_node lexeme, vbg_node round, bool plain) {
    uint64_t h = ((uint64_t)lexeme << 32 | round) + (plain ? UINT64_C(0x517CC1B727220A95) : 0);
    h *= UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 31;
}

/* Finds or makes the record. `quiet`: of a repetition, that nothing behind it begins with a plain
 * character. */
static const vbg_lexeme *lexeme(vbg_masker *k, vbg_node n, vbg_node round, bool is_quiet) {
    vbg_index *x = &k->index;
    if (2 * (x->n + 1) > x->size) {
        const size_t size = x->size ? 2 * x->size : 64;
        uint32_t *slot;
        if (vb_alloc((void **)&slot, size, sizeof *slot, "a mask", &k->error)) return NULL;
        memset(slot, 0, size * sizeof *slot);
        for (size_t i = 0; i < k->n_lexemes; i++) {
            const vbg_lexeme *y = k->lexemes[i];
            size_t at = hash_key(y->lexeme, y->round, y->round != VBG_NONE && y->plain) & (size - 1);
            while (slot[at]) at = (at + 1) & (size - 1);
            slot[at] = (uint32_t)i + 1;
        }
        free(x->slot);
        x->slot = slot, x->size = size;
    }
    const bool plain = round == VBG_NONE ? is_closed(k, n)
                                         : is_quiet && plain_leads(k->m, n, VBG_EMPTY) &&
                                               plain_leads(k->m, round, VBG_EMPTY);
    size_t at = hash_key(n, round, round != VBG_NONE && plain) & (x->size - 1);
    for (; x->slot[at]; at = (at + 1) & (x->size - 1)) {
        vbg_lexeme *y = k->lexemes[x->slot[at] - 1];
        if (y->lexeme == n && y->round == round && (round == VBG_NONE || y->plain == plain)) return y;
    }
    vbg_lexeme *y;
    if (vb_alloc((void **)&y, 1, sizeof *y, "a mask", &k->error)) return NULL;
    memset(y, 0, sizeof *y);
    y->lexeme = n, y->round = round, y->plain = plain, y->usable = true;
    y->trie = plain ? &k->v->rest : &k->v->all;
    walk_lexeme(k, y);
    if (k->error.code || k->m->error.code || order(k, y) ||
        vb_grow((void **)&k->lexemes, &k->room_lexemes, k->n_lexemes + 1, sizeof *k->lexemes, "a mask",
                &k->error)) {
        free_lexeme(y);
        return NULL;
    }
    k->bytes += sizeof *y + y->room_ids * sizeof *y->ids + y->room_rounds * sizeof *y->rounds +
                y->room_exits * sizeof *y->exits + (y->bits ? ((size_t)k->v->n_vocab + 63) / 64 * 8 : 0);
    k->lexemes[k->n_lexemes++] = y;
    x->slot[at] = (uint32_t)k->n_lexemes;
    x->n++;
    return y;
}

static void add_plain(vbg_masker *k, uint32_t characters) {
    const vbg_vocab *v = k->v;
    const uint64_t *from = v->plain[characters < (uint32_t)v->most_points ? (int)characters : v->most_points];
    for (size_t i = 0; i < ((size_t)v->n_vocab + 63) / 64; i++) k->bits[i] |= from[i];
}

/* What a record says for this tail: of a repetition, with so many rounds to come at least and at most. */
static void apply(vbg_masker *k, const vbg_lexeme *x, uint32_t tail, bool stale, uint32_t least,
                  uint32_t most) {
    if (x->plain) add_plain(k, x->round == VBG_NONE || most == UINT32_MAX ? UINT32_MAX : most + 1);
    for (size_t i = 0; i < x->n_ids && (!x->rounds || x->rounds[i] <= most); i++)
        k->bits[x->ids[i] / 64] |= UINT64_C(1) << (x->ids[i] % 64);
    for (size_t i = 0; x->bits && i < ((size_t)k->v->n_vocab + 63) / 64; i++) k->bits[i] |= x->bits[i];
    if (x->n_exits == 0) return;
    const uint32_t state = vbg_after(k->m, tail);
    const vbg_state s = k->m->states[state];
    for (uint32_t i = 0; i < s.n && !k->error.code; i++)
        for (int c = 0; c < 256; c++) {
            if (x->by_byte[c] == x->by_byte[c + 1]) continue;
            vbg_head h = k->m->heads[s.first + i];
            h.lexeme = vbg_step(k->m, h.lexeme, (uint8_t)c);
            if (h.lexeme == VBG_NONE) continue;
            for (uint32_t e = x->by_byte[c]; e < x->by_byte[c + 1]; e++) {
                const vbg_exit *exit = &x->exits[e];
                const vbg_trie *t = exit->node & VBG_OF_REST ? &k->v->rest : &k->v->all;
                if (exit->rounds < least || exit->rounds > most) continue;
                if (h.text && stale)
                    walk_exactly(k, t, exit->node & ~VBG_OF_REST);
                else
                    walk(k, t, exit->node & ~VBG_OF_REST, h, stale);
            }
        }
}

/* A head in front of more rounds of a counted repetition, and nothing else: which, and how many. */
static bool in_repetition(const vbg_masker *k, const vbg_head *h, vbg_cell *cell) {
    if (k->m->tails[h->tail].n != 1 || h->text) return false;
    *cell = k->m->cells[k->m->members[k->m->tails[h->tail].first]];
    if (cell->kind != VBG_C_NODE) return false;
    const vbg_item *it = vbg_at(k->m->ir, cell->what);
    return it->kind == VBG_K_REPEAT && it->b;
}

/* Literal text: a walk along it is shorter than a record. */
static bool is_literal(const vbg_masker *k, vbg_node n) {
    const vbg_item *it = vbg_at(k->m->ir, n);
    if (it->kind == VBG_K_SEQ) it = vbg_at(k->m->ir, it->a);
    if (it->kind != VBG_K_BYTES) return false;
    const uint64_t *w = k->m->ir->sets[it->a].w;
    int n_bytes = 0;
    for (int i = 0; i < 4; i++) n_bytes += __builtin_popcountll(w[i]);
    return n_bytes <= 2;
}

static void head_mask(vbg_masker *k, const vbg_head *h) {
    vbg_cell cell;
    if (k->spell || is_literal(k, h->lexeme)) {
        walk(k, &k->v->all, 0, *h, false);
        return;
    }
    if (in_repetition(k, h, &cell)) {
        const vbg_item it = *vbg_at(k->m->ir, cell.what);
        const vbg_lexeme *x = lexeme(k, h->lexeme, it.a, quiet(k->m, vbg_after(k->m, cell.tail)));
        if (x && x->usable) {
            apply(k, x, cell.tail, false, it.min, it.max);
            return;
        }
    }
    const vbg_lexeme *x = lexeme(k, h->lexeme, VBG_NONE, false);
    if (x) apply(k, x, h->tail, h->text != 0, 0, UINT32_MAX);
}

int vbg_mask(vbg_masker *k, uint32_t state, uint64_t *bits, vb_error *err) {
    const vbg_state s = k->m->states[state];
    k->bits = bits;
    k->state = state;
    if (k->n_seen) memset(k->seen, 0xFF, k->seen_size * sizeof *k->seen);
    k->n_seen = 0;
    for (uint32_t i = 0; i < s.n && !k->error.code && !k->m->error.code; i++) {
        const vbg_head h = k->m->heads[s.first + i];
        head_mask(k, &h);
    }
    k->bits = NULL;
    if (k->error.code) return vb_fail(err, k->error.code, "%s", k->error.message);
    return k->m->error.code ? vb_fail(err, k->m->error.code, "%s", k->m->error.message) : VB_OK;
}

/* ----------------------------------------------------------------------------------------- the masker */

int vbg_masker_new(vbg_masker **out, vbg_machine *m, const vbg_vocab *v, vbg_spell *spell, vb_error *err) {
    vbg_masker *k;
    int rc = vb_alloc((void **)&k, 1, sizeof *k, "a mask", err);
    if (rc) return rc;
    memset(k, 0, sizeof *k);
    k->m = m, k->v = v, k->spell = spell;
    rc = vb_alloc((void **)&k->stack, (size_t)v->all.deepest + 2, sizeof *k->stack, "a mask", err);
    if (!rc) rc = vb_alloc((void **)&k->count, (size_t)v->all.deepest + 2, sizeof *k->count, "a mask", err);
    if (!rc) rc = vb_alloc((void **)&k->wide, (size_t)v->all.deepest + 2, sizeof *k->wide, "a mask", err);
    if (rc) {
        vbg_masker_free(k);
        return rc;
    }
    *out = k;
    return VB_OK;
}

void vbg_masker_free(vbg_masker *k) {
    if (!k) return;
    for (size_t i = 0; i < k->n_lexemes; i++) free_lexeme(k->lexemes[i]);
    free(k->lexemes);
    free(k->index.slot);
    free(k->stack);
    free(k->count);
    free(k->wide);
    free(k->closed);
    free(k->seen);
    free(k);
}
