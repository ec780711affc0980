/* ir.c - building expressions: hash-consing, and the identities that keep derivatives few. See ir.h.
 *
 * Folded away, so that equal languages are mostly equal nodes [Owens, Reppy, Turon 2009, "Regular-expression
 * derivatives re-examined"]: alternation and intersection are sets (order and repetition do not count), sets
 * of bytes in them are merged, sequences lean to the right, and
 *   a|0 = a   0 a = a 0 = 0   e a = a e = a   a & ~0 = a   a & 0 = 0   ~~a = a   a{1,1} = a   a{0,0} = e */
#include "grammar/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* ----------------------------------------------------------------------------------------- the builder */

int vbg_ir_fail(vbg_ir *ir, int code, const char *format, ...) {
    if (ir->error.code) return ir->error.code;
    va_list ap;
    va_start(ap, format);
    ir->error.code = code;
    vsnprintf(ir->error.message, sizeof ir->error.message, format, ap);
    va_end(ap);
    return code;
}

int vbg_ir_error(const vbg_ir *ir, vb_error *err) {
    return ir->error.code ? vb_fail(err, ir->error.code, "%s", ir->error.message) : VB_OK;
}

/* Room for `need` elements of an array of the builder, within its bound. */
static bool grow(vbg_ir *ir, void **array, size_t *room, size_t need, size_t size) {
    const size_t had = *room;
    if (ir->error.code) return false;
    if (need <= had) return true;
    if (vb_grow(array, room, need, size, "a grammar", &ir->error)) return false;
    ir->bytes += (*room - had) * size;
    if (ir->bytes <= VBG_MAX_BYTES) return true;
    vbg_ir_fail(ir, VB_ERR_UNSUPPORTED,
                "the grammar needs more than %d MB: fewer or shorter alternatives, repetitions or exclusions",
                VBG_MAX_BYTES >> 20);
    return false;
}
#define GROW(ir, array, need)                                                                                \
    grow(ir, (void **)&(ir)->array, &(ir)->room_##array, (size_t)(need), sizeof *(ir)->array)

static uint32_t hash_item(const vbg_ir *ir, const vbg_item *it) {
    uint64_t h = it->kind * UINT64_C(0x9E3779B97F4A7C15);
    const uint32_t v[4] = {it->a, it->b, it->min, it->max};
    const bool list = it->kind == VBG_K_ALT || it->kind == VBG_K_AND;
    for (size_t i = list ? 1 : 0; i < 4; i++) h = (h ^ v[i]) * UINT64_C(0xD6E8FEB86659FD93), h ^= h >> 29;
    for (uint32_t i = 0; list && i < it->b; i++)
        h = (h ^ ir->lists[it->a + i]) * UINT64_C(0xD6E8FEB86659FD93), h ^= h >> 29;
    return (uint32_t)(h >> 16);
}

static bool same_item(const vbg_ir *ir, const vbg_item *x, const vbg_item *y) {
    if (x->kind != y->kind || x->b != y->b || x->min != y->min || x->max != y->max) return false;
    if (x->kind != VBG_K_ALT && x->kind != VBG_K_AND) return x->a == y->a;
    return memcmp(ir->lists + x->a, ir->lists + y->a, x->b * sizeof *ir->lists) == 0;
}

static bool rehash(vbg_ir *ir) {
    const size_t size = ir->table_size ? 2 * ir->table_size : 1024;
    uint32_t *t = calloc(size, sizeof *t);
    if (!t) {
        vbg_ir_fail(ir, VB_ERR_MEMORY, "out of memory (%zu bytes for a grammar)", size * sizeof *t);
        return false;
    }
    free(ir->table);
    ir->bytes += (size - ir->table_size) * sizeof *t;
    ir->table = t;
    ir->table_size = size;
    for (size_t i = 0; i < ir->n_nodes; i++) {
        size_t at = hash_item(ir, &ir->nodes[i]) & (size - 1);
        while (t[at]) at = (at + 1) & (size - 1);
        t[at] = (uint32_t)i + 1;
    }
    return true;
}

/* How deep vbg_derive calls itself for it: it walks the right spine of sequences in a loop. */
static uint16_t depth_of(const vbg_ir *ir, const vbg_item *it) {
    unsigned d = 0;
    if (it->kind == VBG_K_SEQ) {
        d = ir->nodes[it->a].depth + 1u;
        if (ir->nodes[it->a].flags & VBG_F_NULLABLE && ir->nodes[it->b].depth > d) d = ir->nodes[it->b].depth;
    } else if (it->kind == VBG_K_ALT || it->kind == VBG_K_AND) {
        if (!(it->flags & VBG_F_REGULAR)) return 0;
        for (uint32_t i = 0; i < it->b; i++) {
            const unsigned x = ir->nodes[ir->lists[it->a + i]].depth + 1u;
            if (x > d) d = x;
        }
    } else if (it->kind == VBG_K_NOT || it->kind == VBG_K_REPEAT) {
        d = ir->nodes[it->a].depth + 1u;
    }
    return (uint16_t)d;
}

/* The node of this item: the one that exists, or a new one with these flags. */
static vbg_node intern(vbg_ir *ir, vbg_item it) {
    if (ir->error.code) return VBG_NONE;
    if (2 * (ir->n_nodes + 1) > ir->table_size && !rehash(ir)) return VBG_NONE;
    size_t at = hash_item(ir, &it) & (ir->table_size - 1);
    for (; ir->table[at]; at = (at + 1) & (ir->table_size - 1))
        if (same_item(ir, &ir->nodes[ir->table[at] - 1], &it)) return ir->table[at] - 1;
    it.depth = depth_of(ir, &it);
    if (it.depth > VBG_MAX_DEPTH) {
        vbg_ir_fail(ir, VB_ERR_UNSUPPORTED,
                    "the grammar nests its parentheses or repetitions more than %d deep", VBG_MAX_DEPTH);
        return VBG_NONE;
    }
    if (ir->n_nodes >= VBG_MAX_NODES) {
        vbg_ir_fail(ir, VB_ERR_UNSUPPORTED, "the grammar needs more than %d expressions", VBG_MAX_NODES);
        return VBG_NONE;
    }
    if (!GROW(ir, nodes, ir->n_nodes + 1)) return VBG_NONE;
    ir->nodes[ir->n_nodes] = it;
    ir->table[at] = (uint32_t)ir->n_nodes + 1;
    return (vbg_node)ir->n_nodes++;
}

int vbg_ir_new(vbg_ir **out, vb_error *err) {
    vbg_ir *ir;
    const vbg_set any = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    int rc = vb_alloc((void **)&ir, 1, sizeof *ir, "a grammar", err);
    if (rc) return rc;
    const unsigned pure = VBG_F_REGULAR | VBG_F_PURE | VBG_F_TEXT;
    intern(ir, (vbg_item){.kind = VBG_K_NONE, .flags = VBG_F_REGULAR | VBG_F_SEEN});
    intern(ir, (vbg_item){.kind = VBG_K_EMPTY, .flags = (uint8_t)(pure | VBG_F_NULLABLE)});
    if (GROW(ir, sets, 1)) ir->sets[ir->n_sets++] = any;
    intern(ir, (vbg_item){.kind = VBG_K_BYTES, .flags = (uint8_t)pure});
    intern(ir, (vbg_item){.kind = VBG_K_NOT, .flags = (uint8_t)(pure | VBG_F_NULLABLE), .a = VBG_NONE});
    if ((rc = vbg_ir_error(ir, err))) {
        vbg_ir_free(ir);
        return rc;
    }
    *out = ir;
    return VB_OK;
}

void vbg_ir_free(vbg_ir *ir) {
    if (!ir) return;
    for (size_t i = 0; i < ir->n_rules; i++) free(ir->rules[i].name);
    for (size_t i = 0; i < ir->n_dfas; i++) {
        free(ir->dfas[i].accept);
        free(ir->dfas[i].alive);
        free(ir->dfas[i].first);
        free(ir->dfas[i].edges);
    }
    free(ir->nodes);
    free(ir->sets);
    free(ir->lists);
    free(ir->rules);
    free(ir->dfas);
    free(ir->table);
    free(ir);
}

/* ----------------------------------------------------------------------------------------- sets of bytes */

vbg_node vbg_byte_set(vbg_ir *ir, const uint64_t set[4]) {
    if (ir->error.code || !(set[0] | set[1] | set[2] | set[3])) return VBG_NONE;
    size_t i = 0;
    /* Few differ; those of single bytes are most of a long list, and stand where they are found at once. */
    for (; i < ir->n_sets; i++)
        if (memcmp(ir->sets[i].w, set, sizeof ir->sets[i].w) == 0) break;
    if (i == ir->n_sets) {
        if (!GROW(ir, sets, i + 1)) return VBG_NONE;
        memcpy(ir->sets[i].w, set, sizeof ir->sets[i].w);
        ir->n_sets++;
    }
    return intern(
        ir,
        (vbg_item){.kind = VBG_K_BYTES, .flags = VBG_F_REGULAR | VBG_F_PURE | VBG_F_TEXT, .a = (vbg_node)i});
}

vbg_node vbg_byte_range(vbg_ir *ir, unsigned lo, unsigned hi) {
    uint64_t w[4] = {0};
    if (lo == hi && ir->single[lo]) return ir->single[lo];
    for (unsigned c = lo; c <= hi; c++) w[c >> 6] |= UINT64_C(1) << (c & 63);
    const vbg_node n = vbg_byte_set(ir, w);
    if (lo == hi) ir->single[lo] = n;
    return n;
}

vbg_node vbg_text(vbg_ir *ir, const char *bytes, size_t n) {
    vbg_node r = VBG_EMPTY;
    while (n-- > 0) r = vbg_seq(ir, vbg_byte_range(ir, (uint8_t)bytes[n], (uint8_t)bytes[n]), r);
    return r;
}

/* ----------------------------------------------------------------------------------------- sequences */

/* What is run as one lexeme: regular, and no counted repetition in it. */
static bool lexical(const vbg_ir *ir, vbg_node n) {
    return (ir->nodes[n].flags & (VBG_F_REGULAR | VBG_F_COUNTED)) == VBG_F_REGULAR;
}

/* The sequence of a, which is none or is lexical in front of what is not, and b. */
static vbg_node pair(vbg_ir *ir, vbg_node a, vbg_node b) {
    const vbg_item behind = ir->nodes[b];
    if (behind.kind == VBG_K_SEQ && lexical(ir, a) && !lexical(ir, b) && lexical(ir, behind.a))
        return pair(ir, vbg_seq(ir, a, behind.a), behind.b); /* two lexemes side by side are one */
    const unsigned x = ir->nodes[a].flags, y = ir->nodes[b].flags;
    const unsigned both = VBG_F_REGULAR | VBG_F_NULLABLE | VBG_F_PURE | VBG_F_TEXT;
    return intern(ir, (vbg_item){.kind = VBG_K_SEQ,
                                 .flags = (uint8_t)((x & y & both) | ((x | y) & VBG_F_COUNTED)),
                                 .a = a,
                                 .b = b});
}

vbg_node vbg_seq(vbg_ir *ir, vbg_node a, vbg_node b) {
    if (ir->error.code || a == VBG_NONE || b == VBG_NONE) return VBG_NONE;
    if (a == VBG_EMPTY) return b;
    if (b == VBG_EMPTY) return a;
    if (lexical(ir, a) && !lexical(ir, b)) return pair(ir, a, b);
    /* (x y) b = x (y b): what stands on a's right spine, the last one first. */
    vbg_node *spine = NULL;
    size_t n = 0, room = 0;
    for (; ir->nodes[a].kind == VBG_K_SEQ; a = ir->nodes[a].b) {
        if (vb_grow((void **)&spine, &room, n + 1, sizeof *spine, "a grammar", &ir->error)) break;
        spine[n++] = ir->nodes[a].a;
    }
    for (vbg_node left = a; !ir->error.code; left = spine[--n]) {
        /* Only a lexeme in front of what is none can be a sequence itself. */
        b = ir->nodes[left].kind == VBG_K_SEQ && lexical(ir, b) ? vbg_seq(ir, left, b) : pair(ir, left, b);
        if (n == 0) break;
    }
    free(spine);
    return ir->error.code ? VBG_NONE : b;
}

/* ----------------------------------------------------------------------------------------- sets of nodes */

static int by_number(const void *x, const void *y) {
    const vbg_node a = *(const vbg_node *)x, b = *(const vbg_node *)y;
    return a < b ? -1 : a > b;
}

/* Appends n, or its members if it is of that kind and regular, to the list under construction at the end of
 * ir->lists. Alternations of rules stay nested: a chain of optional members would become quadratic. */
static bool add_members(vbg_ir *ir, vbg_kind kind, vbg_node n, size_t *count) {
    const vbg_item it = ir->nodes[n];
    const bool flat = it.kind == kind && it.flags & VBG_F_REGULAR;
    const size_t more = flat ? it.b : 1;
    if (!GROW(ir, lists, ir->n_lists + *count + more)) return false;
    vbg_node *to = ir->lists + ir->n_lists + *count;
    if (flat)
        memcpy(to, ir->lists + it.a, more * sizeof *to);
    else
        *to = n;
    *count += more;
    return true;
}

/* Merges the byte sets of a sorted list into one; they need not be neighbours. */
static size_t merge_sets(vbg_ir *ir, vbg_kind kind, vbg_node *list, size_t n) {
    uint64_t w[4] = {0};
    size_t kept = 0, sets = 0;
    for (size_t i = 0; i < n; i++) {
        if (ir->nodes[list[i]].kind != VBG_K_BYTES) continue;
        const uint64_t *s = ir->sets[ir->nodes[list[i]].a].w;
        for (int k = 0; k < 4; k++) w[k] = sets == 0 ? s[k] : kind == VBG_K_ALT ? w[k] | s[k] : w[k] & s[k];
        sets++;
    }
    if (sets < 2) return n;
    for (size_t i = 0; i < n; i++)
        if (ir->nodes[list[i]].kind != VBG_K_BYTES) list[kept++] = list[i];
    const size_t at = (size_t)(list - ir->lists);
    const vbg_node merged = vbg_byte_set(ir, w);
    ir->lists[at + kept] = merged; /* the list has room: two sets went */
    qsort(ir->lists + at, kept + 1, sizeof *list, by_number);
    return kept + 1;
}

/* Sorts the list at the end of ir->lists and folds: `unit` members go (0 in a|0, ~0 in a&~0), a `zero` (the
 * other one) is the answer, a node and its complement are the zero too. */
static vbg_node set_of(vbg_ir *ir, vbg_kind kind, size_t n) {
    const vbg_node unit = kind == VBG_K_ALT ? VBG_NONE : VBG_ALL,
                   zero = kind == VBG_K_ALT ? VBG_ALL : VBG_NONE;
    vbg_node *list = ir->lists + ir->n_lists;
    size_t kept = 0;
    unsigned all = 0xFF, any = 0;
    qsort(list, n, sizeof *list, by_number);
    n = merge_sets(ir, kind, list, n);
    if (ir->error.code) return VBG_NONE;
    list = ir->lists + ir->n_lists;
    for (size_t i = 0; i < n; i++) {
        if (list[i] == zero) return zero;
        if (list[i] == unit || (kept && list[kept - 1] == list[i])) continue;
        list[kept++] = list[i];
    }
    if (kept == 0) return unit;
    if (kept == 1) return list[0];
    for (size_t i = 0; i < kept; i++) all &= ir->nodes[list[i]].flags, any |= ir->nodes[list[i]].flags;
    unsigned flags = (all & VBG_F_REGULAR) | (any & VBG_F_COUNTED);
    if (kind == VBG_K_ALT)
        flags |= (all & VBG_F_PURE) | (any & (VBG_F_NULLABLE | VBG_F_TEXT));
    else
        flags |= all & (VBG_F_NULLABLE | VBG_F_TEXT);
    const size_t before = ir->n_nodes;
    const vbg_node r = intern(ir, (vbg_item){.kind = (uint8_t)kind,
                                             .flags = (uint8_t)flags,
                                             .a = (vbg_node)ir->n_lists,
                                             .b = (vbg_node)kept});
    if (ir->n_nodes > before) ir->n_lists += kept;
    return r;
}

vbg_node vbg_alts(vbg_ir *ir, const vbg_node *nodes, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (!add_members(ir, VBG_K_ALT, nodes[i], &count)) return VBG_NONE;
    return ir->error.code ? VBG_NONE : set_of(ir, VBG_K_ALT, count);
}

vbg_node vbg_alt(vbg_ir *ir, vbg_node a, vbg_node b) {
    if (a == VBG_NONE || a == b) return b;
    if (b == VBG_NONE) return a;
    return vbg_alts(ir, (const vbg_node[]){a, b}, 2);
}

static bool regular_or_fail(vbg_ir *ir, vbg_node a, const char *what) {
    if (ir->error.code) return false;
    if (ir->nodes[a].flags & VBG_F_REGULAR) return true;
    vbg_ir_fail(ir, VB_ERR_UNSUPPORTED, "%s of languages that refer to rules is not supported", what);
    return false;
}

vbg_node vbg_and(vbg_ir *ir, vbg_node a, vbg_node b) {
    size_t count = 0;
    if (!regular_or_fail(ir, a, "the intersection") || !regular_or_fail(ir, b, "the intersection"))
        return VBG_NONE;
    if (a == VBG_NONE || b == VBG_NONE) return VBG_NONE;
    if (a == b || b == VBG_ALL) return a;
    if (a == VBG_ALL) return b;
    if (!add_members(ir, VBG_K_AND, a, &count) || !add_members(ir, VBG_K_AND, b, &count)) return VBG_NONE;
    return set_of(ir, VBG_K_AND, count);
}

vbg_node vbg_not(vbg_ir *ir, vbg_node a) {
    if (!regular_or_fail(ir, a, "the complement")) return VBG_NONE;
    const vbg_item it = ir->nodes[a];
    if (it.kind == VBG_K_NOT) return it.a;
    return intern(ir, (vbg_item){.kind = VBG_K_NOT,
                                 .flags = (uint8_t)(VBG_F_REGULAR | VBG_F_TEXT | (it.flags & VBG_F_COUNTED) |
                                                    (it.flags & VBG_F_NULLABLE ? 0 : VBG_F_NULLABLE)),
                                 .a = a});
}

vbg_node vbg_repeat(vbg_ir *ir, vbg_node a, uint32_t min, uint32_t max) {
    if (ir->error.code || min > max) return VBG_NONE;
    if (max == 0 || a == VBG_EMPTY) return VBG_EMPTY;
    if (a == VBG_NONE) return min == 0 ? VBG_EMPTY : VBG_NONE;
    const vbg_item it = ir->nodes[a];
    if (min == 1 && max == 1) return a;
    if (it.flags & VBG_F_REGULAR && it.flags & VBG_F_NULLABLE)
        min = 0; /* what it may skip it may do less often */
    if (it.kind == VBG_K_REPEAT && !it.b && it.min <= 1 && it.max == VBG_INF && max == VBG_INF && min <= 1)
        return vbg_repeat(ir, it.a, it.min < min ? it.min : min, VBG_INF); /* (x*)* = x*, (x+)+ = x+ */
    return vbg_repeat_as(ir, a, min, max, vbg_is_counted(ir, a, min, max));
}

vbg_node vbg_repeat_as(vbg_ir *ir, vbg_node a, uint32_t min, uint32_t max, bool counted) {
    if (ir->error.code) return VBG_NONE;
    if (max == 0) return VBG_EMPTY;
    const vbg_item it = ir->nodes[a];
    unsigned flags = it.flags & (VBG_F_REGULAR | VBG_F_PURE | VBG_F_COUNTED | VBG_F_TEXT | VBG_F_NULLABLE);
    if (min == 0) flags |= VBG_F_NULLABLE | VBG_F_TEXT;
    if (counted) flags |= VBG_F_COUNTED;
    return intern(
        ir, (vbg_item){
                .kind = VBG_K_REPEAT, .flags = (uint8_t)flags, .a = a, .b = counted, .min = min, .max = max});
}

/* ----------------------------------------------------------------------------------------- rules, memory */

uint32_t vbg_rule_new(vbg_ir *ir, const char *name) {
    if (!GROW(ir, rules, ir->n_rules + 1)) return 0;
    char *copy = NULL;
    if (name) {
        const size_t n = strlen(name) + 1;
        copy = malloc(n);
        if (!copy) {
            vbg_ir_fail(ir, VB_ERR_MEMORY, "out of memory (%zu bytes for a rule's name)", n);
            return 0;
        }
        memcpy(copy, name, n);
        ir->bytes += n;
    }
    ir->rules[ir->n_rules] = (vbg_rule_entry){.name = copy, .body = VBG_NONE};
    return (uint32_t)ir->n_rules++;
}

void vbg_rule_set(vbg_ir *ir, uint32_t rule, vbg_node body) {
    if (ir->error.code || rule >= ir->n_rules) return;
    ir->rules[rule].body = body;
    ir->rules[rule].set = true;
}

vbg_node vbg_rule(vbg_ir *ir, uint32_t rule) {
    return intern(ir, (vbg_item){.kind = VBG_K_RULE, .a = rule});
}

vbg_node vbg_scope(vbg_ir *ir, vbg_node a) {
    if (a == VBG_NONE) return VBG_NONE;
    return intern(
        ir,
        (vbg_item){.kind = VBG_K_SCOPE, .flags = ir->nodes[a].flags & (VBG_F_NULLABLE | VBG_F_TEXT), .a = a});
}

vbg_node vbg_fresh(vbg_ir *ir, vbg_node e) {
    if (!regular_or_fail(ir, e, "the memory")) return VBG_NONE;
    if (e == VBG_NONE) return VBG_NONE;
    if (ir->nodes[e].flags & VBG_F_NULLABLE) {
        vbg_ir_fail(ir, VB_ERR_UNSUPPORTED, "a text that must differ from earlier ones may not be empty");
        return VBG_NONE;
    }
    return intern(ir, (vbg_item){.kind = VBG_K_FRESH, .flags = VBG_F_TEXT, .a = e});
}

/* ----------------------------------------------------------------------------------------- DFAs */

/* alive[s]: an accepting state can be reached. Backwards from them, until nothing changes; DFAs mostly
 * come in an order in which few rounds do. */
static void find_alive(vbg_dfa_entry *d) {
    for (uint32_t s = 0; s < d->n_states; s++) d->alive[s] = d->accept[s];
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t s = d->n_states; s-- > 0;)
            for (uint32_t e = d->first[s]; e < d->first[s + 1] && !d->alive[s]; e++)
                if (d->alive[d->edges[e].to]) d->alive[s] = changed = true;
    }
}

static bool good_table(const vbg_dfa_table *d) {
    if (d->n_states == 0 || d->start >= d->n_states || d->first[0] != 0) return false;
    for (uint32_t s = 0; s < d->n_states; s++) {
        if (d->first[s + 1] < d->first[s]) return false;
        for (uint32_t e = d->first[s]; e < d->first[s + 1]; e++) {
            const vbg_dfa_edge *x = &d->edges[e];
            if (x->to >= d->n_states || x->lo > x->hi) return false;
            if (e > d->first[s] && x->lo <= d->edges[e - 1].hi) return false;
        }
    }
    return true;
}

static bool copy_table(vbg_ir *ir, vbg_dfa_entry *to, const vbg_dfa_table *d) {
    const size_t n = d->n_states, n_edges = d->first[n];
    ir->bytes += n * (sizeof *to->first + 2 * sizeof *to->accept) + n_edges * sizeof *to->edges;
    if (ir->bytes > VBG_MAX_BYTES) {
        vbg_ir_fail(ir, VB_ERR_UNSUPPORTED, "the grammar needs more than %d MB: a pattern has %zu states",
                    VBG_MAX_BYTES >> 20, n);
        return false;
    }
    if (vb_alloc((void **)&to->accept, n, sizeof *to->accept, "a DFA", &ir->error) ||
        vb_alloc((void **)&to->alive, n, sizeof *to->alive, "a DFA", &ir->error) ||
        vb_alloc((void **)&to->first, n + 1, sizeof *to->first, "a DFA", &ir->error) ||
        vb_alloc((void **)&to->edges, n_edges + 1, sizeof *to->edges, "a DFA", &ir->error))
        return false;
    to->n_states = d->n_states;
    memcpy(to->accept, d->accept, n * sizeof *to->accept);
    memcpy(to->first, d->first, (n + 1) * sizeof *to->first);
    if (n_edges) memcpy(to->edges, d->edges, n_edges * sizeof *to->edges);
    find_alive(to);
    return true;
}

vbg_node vbg_dfa_state(vbg_ir *ir, uint32_t dfa, uint32_t state) {
    const vbg_dfa_entry *d = &ir->dfas[dfa];
    bool on = false;
    if (!d->alive[state]) return VBG_NONE;
    for (uint32_t e = d->first[state]; e < d->first[state + 1]; e++) on |= d->alive[d->edges[e].to];
    if (!on) return VBG_EMPTY; /* accepting, and nothing follows */
    return intern(ir, (vbg_item){.kind = VBG_K_DFA,
                                 .flags = (uint8_t)(VBG_F_REGULAR | VBG_F_PURE | VBG_F_TEXT |
                                                    (d->accept[state] ? VBG_F_NULLABLE : 0)),
                                 .a = dfa,
                                 .b = state});
}

vbg_node vbg_dfa(vbg_ir *ir, const vbg_dfa_table *d) {
    if (ir->error.code) return VBG_NONE;
    if (!good_table(d)) {
        vbg_ir_fail(ir, VB_ERR_ARGUMENT, "a DFA's table is not in order");
        return VBG_NONE;
    }
    if (!GROW(ir, dfas, ir->n_dfas + 1)) return VBG_NONE;
    vbg_dfa_entry *to = &ir->dfas[ir->n_dfas++];
    memset(to, 0, sizeof *to);
    if (!copy_table(ir, to, d)) return VBG_NONE;
    return vbg_dfa_state(ir, (uint32_t)ir->n_dfas - 1, d->start);
}

/* ----------------------------------------------------------------------------------------- copying */

int vbg_ir_copy(vbg_ir **out, const vbg_ir *from, vb_error *err) {
    vbg_ir *ir;
    int rc = vbg_ir_new(&ir, err);
    if (rc) return rc;
    if (GROW(ir, nodes, from->n_nodes) && GROW(ir, sets, from->n_sets) &&
        GROW(ir, lists, from->n_lists + 1) && GROW(ir, rules, from->n_rules + 1) &&
        GROW(ir, dfas, from->n_dfas + 1)) {
        memcpy(ir->nodes, from->nodes, from->n_nodes * sizeof *ir->nodes);
        memcpy(ir->sets, from->sets, from->n_sets * sizeof *ir->sets);
        if (from->n_lists) memcpy(ir->lists, from->lists, from->n_lists * sizeof *ir->lists);
        memcpy(ir->single, from->single, sizeof ir->single);
        ir->n_nodes = from->n_nodes, ir->n_sets = from->n_sets, ir->n_lists = from->n_lists;
        ir->root = from->root;
        for (; ir->n_rules < from->n_rules; ir->n_rules++)
            ir->rules[ir->n_rules] = (vbg_rule_entry){.body = from->rules[ir->n_rules].body, .set = true};
        for (size_t i = 0; i < from->n_dfas; i++) {
            const vbg_dfa_entry *d = &from->dfas[i];
            memset(&ir->dfas[ir->n_dfas++], 0, sizeof *ir->dfas);
            if (!copy_table(ir, &ir->dfas[i],
                            &(vbg_dfa_table){d->n_states, 0, d->accept, d->first, d->edges}))
                break;
        }
        ir->table_size = from->table_size / 2; /* made anew, of the size that it had */
        if (!ir->error.code) rehash(ir);
    }
    if ((rc = vbg_ir_error(ir, err))) {
        vbg_ir_free(ir);
        return rc;
    }
    *out = ir;
    return VB_OK;
}
