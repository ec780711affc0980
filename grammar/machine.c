/* machine.c - cells, tails, states, and what a byte does to them. See machine.h. */
#include "grammar/machine.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* ----------------------------------------------------------------------------------------- storage */

static bool too_large(vbg_machine *m) {
    if (m->max_bytes == 0 || m->bytes <= m->max_bytes) return false;
    vb_fail(&m->error, VB_ERR_UNSUPPORTED,
            "the grammar's states need more than %zu MB at this place of the text", m->max_bytes >> 20);
    return true;
}

static bool grow(vbg_machine *m, void **array, size_t *room, size_t need, size_t size) {
    const size_t had = *room;
    if (m->error.code) return false;
    if (need <= had) return true;
    if (vb_grow(array, room, need, size, "the states of a grammar", &m->error)) return false;
    m->bytes += (*room - had) * size;
    return !too_large(m);
}
#define GROW(m, array, need)                                                                                 \
    grow(m, (void **)&(m)->array, &(m)->room_##array, (size_t)(need), sizeof *(m)->array)

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * UINT64_C(0xD6E8FEB86659FD93);
    return h ^ h >> 29;
}

static uint64_t hash_words(const uint32_t *w, size_t n, uint64_t h) {
    for (size_t i = 0; i < n; i++) h = mix(h, w[i]);
    return h;
}

static uint64_t hash_of(const vbg_machine *m, const vbg_index *x, uint32_t i) {
    if (x == &m->cell_index) return hash_words((const uint32_t *)&m->cells[i], 3, 1);
    if (x == &m->tail_index) return hash_words(m->members + m->tails[i].first, m->tails[i].n, 2);
    if (x == &m->text_index) return mix(mix(3, m->texts[i].before), m->texts[i].byte);
    return hash_words((const uint32_t *)(m->heads + m->states[i].first), 3 * (size_t)m->states[i].n,
                      m->states[i].accept ? 5 : 4);
}

/* Room for one more in the table, which is never more than half full. */
static bool widen(vbg_machine *m, vbg_index *x) {
    if (m->error.code) return false;
    if (2 * (x->n + 1) <= x->size) return true;
    const size_t size = x->size ? 2 * x->size : 256;
    uint32_t *slot;
    if (vb_alloc((void **)&slot, size, sizeof *slot, "the states of a grammar", &m->error)) return false;
    memset(slot, 0, size * sizeof *slot);
    for (size_t i = 0; i < x->size; i++) {
        if (!x->slot[i]) continue;
        size_t at = hash_of(m, x, x->slot[i] - 1) & (size - 1);
        while (slot[at]) at = (at + 1) & (size - 1);
        slot[at] = x->slot[i];
    }
    m->bytes += (size - x->size) * sizeof *slot;
    free(x->slot);
    x->slot = slot;
    x->size = size;
    return true;
}

static uint32_t cell(vbg_machine *m, vbg_cell_kind kind, vbg_node what, uint32_t tail) {
    const vbg_cell c = {(uint32_t)kind, what, tail};
    if (!widen(m, &m->cell_index)) return 0;
    size_t at = hash_words((const uint32_t *)&c, 3, 1) & (m->cell_index.size - 1);
    for (uint32_t i; (i = m->cell_index.slot[at]); at = (at + 1) & (m->cell_index.size - 1))
        if (memcmp(&m->cells[i - 1], &c, sizeof c) == 0) return i - 1;
    if (!GROW(m, cells, m->n_cells + 1)) return 0;
    m->cells[m->n_cells++] = c;
    m->cell_index.n++;
    return m->cell_index.slot[at] = (uint32_t)m->n_cells, (uint32_t)m->n_cells - 1;
}

/* The tail of these cells, ascending and each once. */
static uint32_t tail_of(vbg_machine *m, const uint32_t *c, size_t n) {
    if (!widen(m, &m->tail_index)) return 0;
    size_t at = hash_words(c, n, 2) & (m->tail_index.size - 1);
    for (uint32_t i; (i = m->tail_index.slot[at]); at = (at + 1) & (m->tail_index.size - 1)) {
        const struct vbg_tail *t = &m->tails[i - 1];
        if (t->n == n && memcmp(m->members + t->first, c, n * sizeof *c) == 0) return i - 1;
    }
    /* c may point into the members. */
    const size_t inside = m->n_members && c >= m->members && c < m->members + m->n_members
                              ? (size_t)(c - m->members)
                              : SIZE_MAX;
    if (!GROW(m, members, m->n_members + n) || !GROW(m, tails, m->n_tails + 1)) return 0;
    memcpy(m->members + m->n_members, inside == SIZE_MAX ? c : m->members + inside, n * sizeof *c);
    m->tails[m->n_tails] = (struct vbg_tail){(uint32_t)m->n_members, (uint32_t)n, VBG_UNKNOWN, VBG_UNKNOWN};
    m->n_members += n;
    m->tail_index.n++;
    m->tail_index.slot[at] = (uint32_t)++m->n_tails;
    return (uint32_t)m->n_tails - 1;
}

static uint32_t push(vbg_machine *m, vbg_cell_kind kind, vbg_node what, uint32_t tail) {
    const uint32_t c = cell(m, kind, what, tail);
    return tail_of(m, &c, 1);
}

static int by_number(const void *x, const void *y) {
    const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

static uint32_t unite(vbg_machine *m, const uint32_t *tails, size_t n);

/* x a | x b = x (a | b): cells of one expression become one, in front of the union of their tails. Else a
 * text with nested ambiguity (b ::= b{0,3} .) has a set of stacks that doubles with every byte. */
typedef struct group {
    uint32_t kind;
    vbg_node what;
    uint32_t cell, tail;
} group;

static int by_what(const void *x, const void *y) {
    const group *a = x, *b = y;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->what != b->what) return a->what < b->what ? -1 : 1;
    return a->cell < b->cell ? -1 : a->cell > b->cell;
}

static size_t merge_cells(vbg_machine *m, uint32_t *c, size_t n) {
    group *g;
    uint32_t *tails;
    size_t k = 0;
    if (vb_alloc((void **)&g, n, sizeof *g, "the states of a grammar", &m->error)) return n;
    for (size_t i = 0; i < n; i++) {
        const vbg_cell x = m->cells[c[i]];
        g[i] = (group){x.kind, x.what, c[i], x.tail};
    }
    qsort(g, n, sizeof *g, by_what);
    if (!vb_alloc((void **)&tails, n, sizeof *tails, "the states of a grammar", &m->error)) {
        for (size_t i = 0, j; i < n; i = j) {
            for (j = i; j < n && g[j].kind == g[i].kind && g[j].what == g[i].what; j++)
                tails[j - i] = g[j].tail;
            c[k++] =
                j - i > 1 ? cell(m, (vbg_cell_kind)g[i].kind, g[i].what, unite(m, tails, j - i)) : g[i].cell;
        }
        free(tails);
        qsort(c, k, sizeof *c, by_number);
    }
    free(g);
    return k ? k : n;
}

enum { MOST_UNITING = 100 };

static uint32_t sorted_tail(vbg_machine *m, uint32_t *c, size_t n) {
    size_t k = 0;
    qsort(c, n, sizeof *c, by_number);
    for (size_t i = 0; i < n; i++)
        if (k == 0 || c[k - 1] != c[i]) c[k++] = c[i];
    const uint32_t t = tail_of(m, c, k);
    if (k < 2 || m->uniting == MOST_UNITING || m->error.code) return t;
    if (m->tails[t].merged == VBG_UNKNOWN) {
        m->uniting++;
        k = merge_cells(m, c, k);
        m->uniting--;
        const uint32_t r = m->error.code ? t : tail_of(m, c, k);
        m->tails[t].merged = r;
    }
    return m->tails[t].merged;
}

/* The union of tails. */
static uint32_t unite(vbg_machine *m, const uint32_t *tails, size_t n) {
    uint32_t *c;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) k += m->tails[tails[i]].n;
    if (m->error.code || vb_alloc((void **)&c, k, sizeof *c, "the states of a grammar", &m->error)) return 0;
    k = 0;
    for (size_t i = 0; i < n; i++) {
        const struct vbg_tail *t = &m->tails[tails[i]];
        memcpy(c + k, m->members + t->first, t->n * sizeof *c);
        k += t->n;
    }
    const uint32_t r = sorted_tail(m, c, k);
    free(c);
    return r;
}

/* The union of the tails of h[0..n). */
static uint32_t unite_heads(vbg_machine *m, const vbg_head *h, size_t n) {
    uint32_t few[16], *tails = few;
    if (n > 16 && vb_alloc((void **)&tails, n, sizeof *tails, "the states of a grammar", &m->error)) return 0;
    for (size_t i = 0; i < n; i++) tails[i] = h[i].tail;
    const uint32_t r = unite(m, tails, n);
    if (tails != few) free(tails);
    return r;
}

static uint32_t longer_text(vbg_machine *m, uint32_t before, uint8_t byte) {
    if (!widen(m, &m->text_index)) return 0;
    size_t at = mix(mix(3, before), byte) & (m->text_index.size - 1);
    for (uint32_t i; (i = m->text_index.slot[at]); at = (at + 1) & (m->text_index.size - 1))
        if (m->texts[i - 1].before == before && m->texts[i - 1].byte == byte) return i - 1;
    if (!GROW(m, texts, m->n_texts + 1)) return 0;
    m->texts[m->n_texts] = (struct vbg_text){before, byte};
    m->text_index.n++;
    m->text_index.slot[at] = (uint32_t)++m->n_texts;
    return (uint32_t)m->n_texts - 1;
}

/* ----------------------------------------------------------------------------------------- states */

static bool add_head(vbg_machine *m, vbg_heads *to, vbg_head h) {
    if (!grow(m, (void **)&to->h, &to->room, to->n + 1, sizeof *to->h)) return false;
    to->h[to->n++] = h;
    return true;
}

static int by_head(const void *x, const void *y) {
    const vbg_head *a = x, *b = y;
    if (a->lexeme != b->lexeme) return a->lexeme < b->lexeme ? -1 : 1;
    if (a->text != b->text) return a->text < b->text ? -1 : 1;
    return a->tail < b->tail ? -1 : a->tail > b->tail;
}

/* Sorts the heads, unites the tails of equal lexemes. */
static void settle(vbg_machine *m, vbg_heads *s) {
    size_t k = 0;
    if (s->n > 1) qsort(s->h, s->n, sizeof *s->h, by_head);
    for (size_t i = 0, j; i < s->n; i = j) {
        for (j = i + 1; j < s->n && s->h[j].lexeme == s->h[i].lexeme && s->h[j].text == s->h[i].text;) j++;
        vbg_head h = s->h[i];
        if (s->h[j - 1].tail != h.tail) h.tail = unite_heads(m, s->h + i, j - i);
        s->h[k++] = h;
    }
    s->n = k;
}

static uint32_t state_of(vbg_machine *m, const vbg_heads *s) {
    if ((s->n == 0 && !s->accept) || !widen(m, &m->state_index)) return VBG_DEAD_STATE;
    size_t at = hash_words((const uint32_t *)s->h, 3 * s->n, s->accept ? 5 : 4) & (m->state_index.size - 1);
    for (uint32_t i; (i = m->state_index.slot[at]); at = (at + 1) & (m->state_index.size - 1)) {
        const vbg_state *x = &m->states[i - 1];
        if (x->n == s->n && x->accept == s->accept &&
            (s->n == 0 || memcmp(m->heads + x->first, s->h, s->n * sizeof *s->h) == 0))
            return i - 1;
    }
    if (!GROW(m, heads, m->n_heads + s->n) || !GROW(m, states, m->n_states + 1)) return VBG_DEAD_STATE;
    if (s->n) memcpy(m->heads + m->n_heads, s->h, s->n * sizeof *s->h);
    m->states[m->n_states] = (vbg_state){(uint32_t)m->n_heads, (uint32_t)s->n, s->accept};
    m->n_heads += s->n;
    m->state_index.n++;
    m->state_index.slot[at] = (uint32_t)++m->n_states;
    return (uint32_t)m->n_states - 1;
}

/* ----------------------------------------------------------------------------------------- lexemes */

static bool alive(vbg_machine *m, vbg_node n) {
    bool yes = false;
    if (n == VBG_NONE || vbg_at(m->ir, n)->flags & VBG_F_PURE) return n != VBG_NONE;
    vbg_has_text(m->ir, n, &yes, &m->error);
    return yes;
}

vbg_node vbg_step_slow(vbg_machine *m, vbg_node n, uint8_t c) {
    if (m->error.code) return VBG_NONE;
    const vbg_item it = *vbg_at(m->ir, n);
    /* A byte set in front needs no table: most states of literal text are such. */
    if (it.kind == VBG_K_BYTES) return vbg_set_has(&m->ir->sets[it.a], c) ? VBG_EMPTY : VBG_NONE;
    if (it.kind == VBG_K_SEQ && vbg_at(m->ir, it.a)->kind == VBG_K_BYTES)
        return vbg_set_has(&m->ir->sets[vbg_at(m->ir, it.a)->a], c) && alive(m, it.b) ? it.b : VBG_NONE;
    vbg_node d = vbg_derive(m->ir, n, c);
    if (!alive(m, d)) d = VBG_NONE;
    if (vbg_ir_error(m->ir, &m->error) || m->error.code) return VBG_NONE;
    const size_t had = m->room_next;
    if (!GROW(m, next, n + 1)) return VBG_NONE;
    if (m->room_next > had) memset(m->next + had, 0, (m->room_next - had) * sizeof *m->next);
    if (!m->next[n]) {
        if (vb_alloc((void **)&m->next[n], 256, sizeof **m->next, "the states of a grammar", &m->error))
            return VBG_NONE;
        memset(m->next[n], 0xFF, 256 * sizeof **m->next);
        m->bytes += 256 * sizeof **m->next;
        if (too_large(m)) return VBG_NONE;
    }
    return m->next[n][c] = d;
}

/* ----------------------------------------------------------------------------------------- memories */

enum { MAX_CELLS_TO_SCOPE = 200 };

/* A tail, up to the nearest scope on each of its paths, with `text` recorded there. */
static uint32_t remember(vbg_machine *m, uint32_t tail, vbg_node text, int deep) {
    const struct vbg_tail t = m->tails[tail];
    uint32_t *c;
    if (deep > MAX_CELLS_TO_SCOPE) {
        vb_fail(&m->error, VB_ERR_UNSUPPORTED, "a fresh text stands too deep below its scope");
        return tail;
    }
    if (m->error.code || vb_alloc((void **)&c, t.n, sizeof *c, "the states of a grammar", &m->error))
        return tail;
    for (uint32_t i = 0; i < t.n; i++) {
        const vbg_cell x = m->cells[m->members[t.first + i]];
        c[i] = m->members[t.first + i];
        if (x.kind == VBG_C_NODE) c[i] = cell(m, VBG_C_NODE, x.what, remember(m, x.tail, text, deep + 1));
        if (x.kind == VBG_C_SCOPE) c[i] = cell(m, VBG_C_SCOPE, vbg_alt(m->ir, x.what, text), x.tail);
    }
    const uint32_t r = sorted_tail(m, c, t.n);
    free(c);
    return r;
}

/* Calls for each memory that can be the nearest one below the tail: the tail restricted to it. */
static void by_memory(vbg_machine *m, uint32_t tail, int deep, vbg_node *used, uint32_t *restricted,
                      size_t *n) {
    enum { MAX_MEMORIES = 8 };
    const struct vbg_tail t = m->tails[tail];
    *n = 0;
    for (uint32_t i = 0; i < t.n && !m->error.code; i++) {
        const uint32_t member = m->members[t.first + i];
        const vbg_cell x = m->cells[member];
        vbg_node u[MAX_MEMORIES] = {x.kind == VBG_C_SCOPE ? x.what : VBG_NONE};
        uint32_t r[MAX_MEMORIES] = {tail_of(m, &member, 1)};
        size_t k = 1;
        if (x.kind == VBG_C_NODE && deep <= MAX_CELLS_TO_SCOPE) {
            by_memory(m, x.tail, deep + 1, u, r, &k);
            for (size_t j = 0; j < k; j++) r[j] = push(m, VBG_C_NODE, x.what, r[j]);
        }
        for (size_t j = 0; j < k; j++) {
            size_t at = 0;
            while (at < *n && used[at] != u[j]) at++;
            if (at == MAX_MEMORIES) {
                vb_fail(&m->error, VB_ERR_UNSUPPORTED, "a fresh text may belong to more than %d memories",
                        MAX_MEMORIES);
                return;
            }
            if (at == *n) {
                used[at] = u[j], restricted[at] = r[j];
                ++*n;
            } else {
                const uint32_t both[2] = {restricted[at], r[j]};
                restricted[at] = unite(m, both, 2);
            }
        }
    }
}

/* The expression of the recorded text: all spellings of a JSON string, else the bytes. */
static vbg_node recorded(vbg_machine *m, uint32_t text) {
    size_t n = 0;
    char *s;
    for (uint32_t t = text; t > 1; t = m->texts[t].before) n++;
    if (vb_alloc((void **)&s, n + 1, 1, "a key", &m->error)) return VBG_NONE;
    for (uint32_t t = text; t > 1; t = m->texts[t].before) s[--n] = (char)m->texts[t].byte;
    for (uint32_t t = text; t > 1; t = m->texts[t].before) n++;
    const vbg_node r = vbg_spellings(m->ir, s, n);
    free(s);
    return r;
}

static void add_fresh(vbg_machine *m, vbg_heads *to, vbg_node e, uint32_t tail) {
    vbg_node used[8];
    uint32_t restricted[8];
    size_t n;
    by_memory(m, tail, 0, used, restricted, &n);
    for (size_t i = 0; i < n && !m->error.code; i++) {
        const vbg_node lexeme = used[i] == VBG_NONE ? e : vbg_and(m->ir, e, vbg_not(m->ir, used[i]));
        if (alive(m, lexeme)) add_head(m, to, (vbg_head){lexeme, restricted[i], 1});
    }
    vbg_ir_error(m->ir, &m->error);
}

/* ----------------------------------------------------------------------------------------- closure */

/* What is left to expand: an expression in front of a tail, or (node = VBG_UNKNOWN) a tail alone. */
typedef struct item {
    vbg_node node;
    uint32_t tail;
} item;

typedef struct work {
    item *list; /* all that were met; those from `done` on are still to do */
    size_t n, done, room;
    uint32_t *seen;
    size_t size;
} work;

static void meet(vbg_machine *m, work *w, vbg_node node, uint32_t tail) {
    const item x = {node, tail};
    if (m->error.code) return;
    if (w->n < 16) { /* few: compared one by one */
        for (size_t i = 0; i < w->n; i++)
            if (w->list[i].node == node && w->list[i].tail == tail) return;
    } else {
        if (2 * (w->n + 1) > w->size) {
            const size_t size = w->size ? 2 * w->size : 64;
            uint32_t *seen;
            if (vb_alloc((void **)&seen, size, sizeof *seen, "the states of a grammar", &m->error)) return;
            memset(seen, 0, size * sizeof *seen);
            for (size_t i = 0; i < w->n; i++) {
                size_t at = mix(mix(7, w->list[i].node), w->list[i].tail) & (size - 1);
                while (seen[at]) at = (at + 1) & (size - 1);
                seen[at] = (uint32_t)i + 1;
            }
            free(w->seen);
            w->seen = seen, w->size = size;
        }
        size_t at = mix(mix(7, node), tail) & (w->size - 1);
        for (; w->seen[at]; at = (at + 1) & (w->size - 1)) {
            const item *y = &w->list[w->seen[at] - 1];
            if (y->node == node && y->tail == tail) return;
        }
        w->seen[at] = (uint32_t)w->n + 1;
    }
    if (vb_grow((void **)&w->list, &w->room, w->n + 1, sizeof *w->list, "the states of a grammar", &m->error))
        return;
    w->list[w->n++] = x;
}

static uint32_t before_tail(vbg_machine *m, vbg_node node, uint32_t tail) {
    return node == VBG_EMPTY ? tail : push(m, VBG_C_NODE, node, tail);
}

/* The heads of an expression in front of a tail. That the expression may be empty is for who met it. */
static void expand(vbg_machine *m, work *w, vbg_heads *to, item x) {
    const vbg_item it = *vbg_at(m->ir, x.node);
    if (!(it.flags & VBG_F_TEXT)) return;
    if ((it.flags & (VBG_F_REGULAR | VBG_F_COUNTED)) == VBG_F_REGULAR) {
        if (x.node != VBG_EMPTY && alive(m, x.node)) add_head(m, to, (vbg_head){x.node, x.tail, 0});
        return;
    }
    switch ((vbg_kind)it.kind) {
    case VBG_K_SEQ:
        meet(m, w, it.a, before_tail(m, it.b, x.tail));
        if (vbg_nullable(m->ir, it.a)) meet(m, w, it.b, x.tail);
        break;
    case VBG_K_ALT:
        for (uint32_t i = 0; i < it.b; i++) meet(m, w, m->ir->lists[it.a + i], x.tail);
        break;
    case VBG_K_REPEAT: {
        /* A round that reads nothing adds nothing: x{0,n} = x' x{0,n-1} | e, x' the texts of x with bytes. */
        const vbg_node rest = vbg_repeat_as(m->ir, it.a, it.min ? it.min - 1 : 0,
                                            it.max == VBG_INF ? VBG_INF : it.max - 1, it.b != 0);
        meet(m, w, it.a, before_tail(m, rest, x.tail));
        break;
    }
    case VBG_K_AND: /* of counted repetitions: regular, so derived as a whole */
    case VBG_K_NOT:
        if (alive(m, x.node)) add_head(m, to, (vbg_head){x.node, x.tail, 0});
        break;
    case VBG_K_RULE: meet(m, w, m->ir->rules[it.a].body, x.tail); break;
    case VBG_K_SCOPE: meet(m, w, it.a, push(m, VBG_C_SCOPE, VBG_NONE, x.tail)); break;
    case VBG_K_FRESH: add_fresh(m, to, it.a, x.tail); break;
    default: break;
    }
}

uint32_t vbg_after(vbg_machine *m, uint32_t tail) {
    work w = {0};
    vbg_heads s = {0};
    if (m->tails[tail].after != VBG_UNKNOWN) return m->tails[tail].after;
    meet(m, &w, VBG_UNKNOWN, tail);
    while (w.done < w.n && !m->error.code) {
        const item x = w.list[w.done++];
        if (x.node != VBG_UNKNOWN) {
            expand(m, &w, &s, x);
            continue;
        }
        const struct vbg_tail t = m->tails[x.tail];
        for (uint32_t i = 0; i < t.n; i++) {
            const vbg_cell c = m->cells[m->members[t.first + i]];
            if (c.kind == VBG_C_END) s.accept = true;
            if (c.kind == VBG_C_NODE) meet(m, &w, c.what, c.tail);
            if (c.kind == VBG_C_SCOPE || (c.kind == VBG_C_NODE && vbg_nullable(m->ir, c.what)))
                meet(m, &w, VBG_UNKNOWN, c.tail);
        }
    }
    settle(m, &s);
    const uint32_t r = state_of(m, &s);
    vbg_ir_error(m->ir, &m->error);
    m->tails[tail].after = r;
    m->bytes -= s.room * sizeof *s.h;
    free(w.list);
    free(w.seen);
    free(s.h);
    return m->error.code ? VBG_DEAD_STATE : r;
}

/* ----------------------------------------------------------------------------------------- steps */

static void step(vbg_machine *m, const vbg_head *from, size_t n, uint8_t c, vbg_heads *to) {
    to->n = 0;
    to->accept = false;
    for (size_t i = 0; i < n && !m->error.code; i++) {
        vbg_head h = from[i];
        h.lexeme = vbg_step(m, h.lexeme, c);
        if (h.lexeme == VBG_NONE) continue;
        if (h.text) h.text = longer_text(m, h.text, c);
        if (vbg_nullable(m->ir, h.lexeme)) {
            const uint32_t tail = h.text ? remember(m, h.tail, recorded(m, h.text), 0) : h.tail;
            const uint32_t after = vbg_after(m, tail);
            const vbg_state s = m->states[after];
            to->accept |= s.accept;
            for (uint32_t k = 0; k < s.n; k++)
                if (!add_head(m, to, m->heads[s.first + k])) return;
        }
        if (h.lexeme != VBG_EMPTY && !add_head(m, to, h)) return;
    }
    settle(m, to);
}

uint32_t vbg_advance(vbg_machine *m, uint32_t state, const char *bytes, size_t n) {
    if (n == 0) return state;
    vbg_heads *a = &m->scratch[0], *b = &m->scratch[1];
    const vbg_state s = m->states[state];
    a->n = 0;
    for (uint32_t i = 0; i < s.n; i++)
        if (!add_head(m, a, m->heads[s.first + i])) return VBG_DEAD_STATE;
    for (size_t i = 0; i < n; i++) {
        step(m, a->h, a->n, (uint8_t)bytes[i], b);
        vbg_heads *swap = a;
        a = b, b = swap;
        if (a->n == 0 && i + 1 < n) return VBG_DEAD_STATE;
    }
    return m->error.code ? VBG_DEAD_STATE : state_of(m, a);
}

void vbg_next_bytes(vbg_machine *m, uint32_t state, uint64_t next[4]) {
    const vbg_state s = m->states[state];
    memset(next, 0, 4 * sizeof *next);
    for (uint32_t i = 0; i < s.n; i++)
        for (unsigned b = 0; b < 256; b++)
            if (vbg_step(m, m->heads[s.first + i].lexeme, (uint8_t)b) != VBG_NONE)
                next[b >> 6] |= UINT64_C(1) << (b & 63);
}

bool vbg_follow_text(vbg_machine *m, const char *text, size_t len, uint64_t next[4], bool *complete,
                     size_t *valid) {
    uint32_t state = m->start;
    uint64_t set[4] = {0};
    size_t i = 0;
    for (; i < len; i++) {
        const uint32_t to = vbg_advance(m, state, text + i, 1);
        if (to == VBG_DEAD_STATE) break;
        state = to;
    }
    if (i == len) vbg_next_bytes(m, state, set);
    if (m->error.code) return false;
    memcpy(next, set, sizeof set);
    *complete = i == len && m->states[state].accept;
    if (valid) *valid = i;
    return true;
}

/* ----------------------------------------------------------------------------------------- the machine */

int vbg_machine_new(vbg_machine **out, vbg_ir *ir, vb_error *err) {
    vbg_machine *m;
    int rc = vb_alloc((void **)&m, 1, sizeof *m, "the states of a grammar", err);
    if (rc) {
        vbg_ir_free(ir);
        return rc;
    }
    memset(m, 0, sizeof *m);
    m->ir = ir;
    if (GROW(m, states, 1)) m->states[m->n_states++] = (vbg_state){0, 0, false};
    if (GROW(m, texts, 2)) m->n_texts = 2;
    const uint32_t end = push(m, VBG_C_END, 0, 0);
    if (!m->error.code) m->start = vbg_after(m, push(m, VBG_C_NODE, ir->root, end));
    if (m->error.code) {
        rc = vb_fail(err, m->error.code, "%s", m->error.message);
        vbg_machine_free(m);
        return rc;
    }
    *out = m;
    return VB_OK;
}

void vbg_machine_free(vbg_machine *m) {
    if (!m) return;
    for (size_t i = 0; i < m->room_next; i++) free(m->next[i]);
    free(m->next);
    free(m->cells);
    free(m->members);
    free(m->tails);
    free(m->heads);
    free(m->states);
    free(m->texts);
    free(m->cell_index.slot);
    free(m->tail_index.slot);
    free(m->state_index.slot);
    free(m->text_index.slot);
    free(m->scratch[0].h);
    free(m->scratch[1].h);
    vbg_ir_free(m->ir);
    free(m);
}

size_t vbg_machine_bytes(const vbg_machine *m) {
    return m->bytes + m->ir->bytes;
}
