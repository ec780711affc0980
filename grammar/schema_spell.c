/* schema_spell.c - from sets of strings, as automata over characters, to the bytes of JSON.
 *
 * A character is written as itself, in UTF-8, or escaped:
 *   \" \\ \/ \b \f \n \r \t   those characters
 *   \uXXXX                    control characters, < > & (which writers of HTML escape), and all that is
 *                             not ASCII;
 *                             beyond U+FFFF as two, a high and a low surrogate
 * Printable ASCII has one spelling otherwise: no writer of JSON escapes it. A surrogate alone is no
 * character.
 *
 * References: RFC 8259 7; The Unicode Standard 15, tables 3-5 (UTF-16) and 3-7 (UTF-8) */
#include "grammar/schema_dfa_build.h"
#include "grammar/schema_internal.h"

#include <string.h>

/* A state of the automaton over bytes. `list` says where the numbers lead that the bytes still to come
 * spell: `digits` more of base 64 (UTF-8's continuation bytes) or base 16 (\u's digits). */
typedef struct {
    uint32_t lo, hi;
    int32_t to;
} span;

typedef enum { AT_STATE, AT_ESCAPE, AT_UTF8, AT_HEX, AT_LOW, AT_LOW_U, AT_END } place_kind;

typedef struct {
    place_kind kind;
    int digits;
    int32_t state; /* AT_STATE, AT_ESCAPE: of the automaton over characters */
    const span *list;
    size_t n;
    uint64_t hash;
} place;

typedef struct {
    vbj_arena *arena;
    const vbj_dfa *d;
    place *places;
    size_t n, room;
    int32_t *table;
    size_t size;
    bool quoted; /* in quotes; otherwise the characters alone */
    vbj_build build;
    span *scratch[6];
    size_t scratch_room[6];
} speller;

static uint64_t hash_place(const place *p) {
    uint64_t h = (uint64_t)p->kind * 31 + (uint64_t)p->digits;
    h = (h ^ (uint32_t)p->state) * 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < p->n; i++) {
        h = (h ^ ((uint64_t)p->list[i].lo << 32 | p->list[i].hi)) * 0x9E3779B97F4A7C15u;
        h = (h ^ h >> 29 ^ (uint32_t)p->list[i].to) * 0x9E3779B97F4A7C15u;
    }
    return h ^ h >> 31;
}

static bool grow_places(speller *s) {
    size_t size = s->size ? 2 * s->size : 256;
    int32_t *table = vbj_take(s->arena, size, sizeof *table);
    if (!table) return false;
    for (size_t i = 0; i < s->n; i++) {
        size_t at = s->places[i].hash & (size - 1);
        while (table[at]) at = (at + 1) & (size - 1);
        table[at] = (int32_t)i + 1;
    }
    s->table = table;
    s->size = size;
    return true;
}

static int32_t place_index(speller *s, place p) {
    p.hash = hash_place(&p);
    if (2 * (s->n + 1) > s->size && !grow_places(s)) return -1;
    size_t at = p.hash & (s->size - 1);
    for (; s->table[at]; at = (at + 1) & (s->size - 1)) {
        const place *q = &s->places[s->table[at] - 1];
        if (q->hash == p.hash && q->kind == p.kind && q->digits == p.digits && q->state == p.state &&
            q->n == p.n && (!p.n || memcmp(q->list, p.list, p.n * sizeof *p.list) == 0))
            return s->table[at] - 1;
    }
    if (!vbj_grow(s->arena, &s->places, s->n, &s->room, sizeof p)) return -1;
    if (p.n) {
        span *copy = vbj_take(s->arena, p.n, sizeof *copy);
        if (!copy) return -1;
        memcpy(copy, p.list, p.n * sizeof *copy);
        p.list = copy;
    }
    s->places[s->n++] = p;
    s->table[at] = (int32_t)s->n;
    return vbj_steps(s->arena, 1 + p.n) ? (int32_t)s->n - 1 : -1;
}

static int32_t state_place(speller *s, int32_t state) {
    return place_index(s, (place){.kind = AT_STATE, .state = state});
}

/* The part of `list` within lo..hi, counted from lo, in scratch list `which`. */
static size_t cut_list(speller *s, int which, const span *list, size_t n, uint32_t lo, uint32_t hi) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (list[i].hi < lo || list[i].lo > hi) continue;
        span part = {(list[i].lo > lo ? list[i].lo : lo) - lo, (list[i].hi < hi ? list[i].hi : hi) - lo,
                     list[i].to};
        if (!vbj_grow(s->arena, &s->scratch[which], count, &s->scratch_room[which], sizeof part)) return 0;
        s->scratch[which][count++] = part;
    }
    return count;
}

/* The place after the first of `digits` + 1 digits, which is v: -1 nowhere, -2 no room. */
static int32_t after_digit(speller *s, const place *p, uint32_t v) {
    int bits = p->kind == AT_HEX ? 4 : 6, left = p->digits - 1;
    uint32_t step = (uint32_t)1 << (bits * left);
    size_t n = cut_list(s, left, p->list, p->n, v * step, v * step + (step - 1));
    if (s->arena->full || s->arena->failed) return -2;
    if (!n) return -1;
    if (!left) return s->scratch[0][0].to;
    int32_t at = place_index(s, (place){.kind = p->kind, .digits = left, .list = s->scratch[left], .n = n});
    return at < 0 ? -2 : at;
}

static bool edge(speller *s, uint32_t lo, uint32_t hi, int32_t to) {
    return vbj_build_edge(&s->build, lo, hi, to);
}

/* Digits first .. last lead on as bytes from `byte`. */
static bool digit_edges(speller *s, const place *p, uint32_t first, uint32_t last, uint32_t byte) {
    for (uint32_t v = first; v <= last; v++) {
        int32_t to = after_digit(s, p, v);
        if (to == -2) return false;
        if (to >= 0 && !edge(s, byte + v - first, byte + v - first, to)) return false;
    }
    return true;
}

static bool hex_edges(speller *s, const place *p) {
    return digit_edges(s, p, 0, 9, '0') && digit_edges(s, p, 10, 15, 'A') && digit_edges(s, p, 10, 15, 'a');
}

/* The edges of an automaton's state, as spans whose targets are places; false: no room. */
static bool state_list(speller *s, int32_t state, span **list, size_t *n) {
    int32_t first = s->d->first[state], last = s->d->first[state + 1];
    *n = (size_t)(last - first);
    *list = vbj_take(s->arena, *n + 1, sizeof **list);
    if (!*list) return false;
    for (int32_t e = first; e < last; e++) {
        int32_t to = state_place(s, s->d->edges[e].to);
        if (to < 0) return false;
        (*list)[e - first] = (span){s->d->edges[e].lo, s->d->edges[e].hi, to};
    }
    return true;
}

/* Lead bytes of UTF-8: `digits` continuation bytes follow, the lead holds the character from bit 6 *
 * digits on. */
static bool lead_edges(speller *s, const span *list, size_t n, int digits, uint32_t lo, uint32_t hi,
                       uint32_t byte) {
    size_t cut = cut_list(s, 5, list, n, lo, hi);
    if (s->arena->full || s->arena->failed) return false;
    if (!cut) return true;
    span *whole = vbj_take(s->arena, cut, sizeof *whole);
    if (!whole) return false;
    for (size_t i = 0; i < cut; i++)
        whole[i] = (span){s->scratch[5][i].lo + lo, s->scratch[5][i].hi + lo, s->scratch[5][i].to};
    place p = {.kind = AT_UTF8, .digits = digits + 1, .list = whole, .n = cut};
    return digit_edges(s, &p, lo >> (6 * digits), hi >> (6 * digits), byte + (lo >> (6 * digits)));
}

/* A character by itself, in UTF-8; the end of the string; a backslash. */
static bool state_edges(speller *s, int32_t state) {
    span *list;
    size_t n;
    if (!state_list(s, state, &list, &n)) return false;
    for (uint32_t c = 0x20; c < 0x80; c++) {
        int32_t to = -1;
        if (c == '"') {
            to = s->quoted && s->d->accept[state] ? place_index(s, (place){.kind = AT_END}) : -1;
        } else if (c == '\\') {
            to = n ? place_index(s, (place){.kind = AT_ESCAPE, .state = state}) : -1;
        } else {
            for (size_t i = 0; i < n && to < 0; i++)
                if (list[i].lo <= c && c <= list[i].hi) to = list[i].to;
        }
        if (s->arena->full || s->arena->failed) return false;
        if (to >= 0 && !edge(s, c, c, to)) return false;
    }
    return lead_edges(s, list, n, 1, 0x80, 0x7FF, 0xC0) && lead_edges(s, list, n, 2, 0x800, 0xFFFF, 0xE0) &&
           lead_edges(s, list, n, 3, 0x10000, VBJ_LAST_CODE_POINT, 0xF0);
}

static bool add_span(speller *s, span **list, size_t *n, size_t *room, span what) {
    if (!vbj_grow(s->arena, list, *n, room, sizeof what)) return false;
    (*list)[(*n)++] = what;
    return true;
}

/* What follows a high surrogate: \u and the low one. The 1024 characters of one high surrogate are a list
 * of their own; where all of them lead to one place, the next high surrogates often do as well. */
static bool surrogate_spans(speller *s, const span *list, size_t n, span **out, size_t *n_out, size_t *room) {
    for (uint32_t high = 0; high < 0x400; high++) {
        uint32_t lo = 0x10000 + high * 0x400;
        size_t cut = cut_list(s, 4, list, n, lo, lo + 0x3FF);
        if (s->arena->full || s->arena->failed) return false;
        if (!cut) continue;
        uint32_t last = high;
        if (cut == 1 && s->scratch[4][0].lo == 0 && s->scratch[4][0].hi == 0x3FF) {
            for (size_t i = 0; i < n; i++)
                if (list[i].lo <= lo && lo <= list[i].hi) last = ((list[i].hi - 0x10000 + 1) >> 10) - 1;
        }
        int32_t to = place_index(s, (place){.kind = AT_LOW, .list = s->scratch[4], .n = cut});
        if (to < 0 || !add_span(s, out, n_out, room, (span){0xD800 + high, 0xD800 + last, to})) return false;
        high = last;
    }
    return true;
}

/* The numbers that \uXXXX may have in a state: characters, ascending, with the surrogates in between. */
static bool escape_list(speller *s, const span *list, size_t n, span **out, size_t *n_out) {
    static const uint32_t escaped[][2] = {{0, 0x1F},  {'&', '&'},     {'<', '<'},
                                          {'>', '>'}, {0x7F, 0xD7FF}, {0xE000, 0xFFFF}};
    size_t room = 0;
    *out = NULL;
    *n_out = 0;
    for (size_t k = 0; k < sizeof escaped / sizeof *escaped; k++) {
        if (escaped[k][0] == 0xE000 && !surrogate_spans(s, list, n, out, n_out, &room)) return false;
        for (size_t i = 0; i < n; i++) {
            uint32_t lo = list[i].lo > escaped[k][0] ? list[i].lo : escaped[k][0];
            uint32_t hi = list[i].hi < escaped[k][1] ? list[i].hi : escaped[k][1];
            if (lo <= hi && !add_span(s, out, n_out, &room, (span){lo, hi, list[i].to})) return false;
        }
    }
    return true;
}

/* Behind a backslash. */
static bool escape_edges(speller *s, int32_t state) {
    static const char names[] = "\"/\\bfnrt", means[] = "\"/\\\b\f\n\r\t";
    span *list, *numbers;
    size_t n, n_numbers;
    if (!state_list(s, state, &list, &n)) return false;
    for (size_t k = 0; names[k]; k++)
        for (size_t i = 0; i < n; i++)
            if (list[i].lo <= (unsigned char)means[k] && (unsigned char)means[k] <= list[i].hi &&
                !edge(s, (unsigned char)names[k], (unsigned char)names[k], list[i].to))
                return false;
    if (!escape_list(s, list, n, &numbers, &n_numbers)) return false;
    if (!n_numbers) return true;
    int32_t to = place_index(s, (place){.kind = AT_HEX, .digits = 4, .list = numbers, .n = n_numbers});
    return to >= 0 && edge(s, 'u', 'u', to);
}

/* After a high surrogate: a backslash, then u, then a number from DC00 to DFFF. */
static bool low_edges(speller *s, const place *p) {
    if (p->kind == AT_LOW) {
        int32_t to = place_index(s, (place){.kind = AT_LOW_U, .list = p->list, .n = p->n});
        return to >= 0 && edge(s, '\\', '\\', to);
    }
    span *list = vbj_take(s->arena, p->n, sizeof *list);
    if (!list) return false;
    for (size_t i = 0; i < p->n; i++)
        list[i] = (span){p->list[i].lo + 0xDC00, p->list[i].hi + 0xDC00, p->list[i].to};
    int32_t to = place_index(s, (place){.kind = AT_HEX, .digits = 4, .list = list, .n = p->n});
    return to >= 0 && edge(s, 'u', 'u', to);
}

static bool place_edges(speller *s, place p) {
    switch (p.kind) {
    case AT_STATE: return state_edges(s, p.state);
    case AT_ESCAPE: return escape_edges(s, p.state);
    case AT_UTF8: return digit_edges(s, &p, 0, 63, 0x80);
    case AT_HEX: return hex_edges(s, &p);
    case AT_LOW:
    case AT_LOW_U: return low_edges(s, &p);
    case AT_END: return true;
    }
    return false;
}

/* ----------------------------------------------------------------------------------------- to nodes */

static vbg_node leaf(vbj_compiler *c, vbj_arena *a, const vbj_dfa *d) {
    size_t edges = (size_t)d->first[d->n_states];
    vbg_dfa_edge *list = vbj_take(a, edges, sizeof *list);
    uint32_t *first = vbj_take(a, (size_t)d->n_states + 1, sizeof *first);
    if (!list || !first) return VBG_NONE;
    for (int32_t i = 0; i <= d->n_states; i++) first[i] = (uint32_t)d->first[i];
    for (size_t e = 0; e < edges; e++)
        list[e] = (vbg_dfa_edge){
            .lo = (uint8_t)d->edges[e].lo, .hi = (uint8_t)d->edges[e].hi, .to = (uint32_t)d->edges[e].to};
    vbg_dfa_table table = {
        .n_states = (uint32_t)d->n_states, .start = 0, .accept = d->accept, .first = first, .edges = list};
    return vbg_dfa(c->ir, &table);
}

vbg_node vbj_spell_ascii(vbj_compiler *c, const vbj_dfa *d) {
    vbj_arena part;
    vbj_arena_part(&part, &c->arena);
    vbg_node node = leaf(c, &part, d);
    vbj_arena_join(&c->arena, &part);
    return node;
}

static vbg_node spell(vbj_compiler *c, const vbj_dfa *d, bool quoted) {
    vbj_arena part;
    vbj_arena_part(&part, &c->arena);
    speller s = {.arena = &part, .d = d, .quoted = quoted};
    vbg_node node = VBG_NONE;
    vbj_build_begin(&s.build, &part);
    /* With quotes, place 0 is the opening one. */
    bool good = !quoted || (vbj_build_state(&s.build, false) && edge(&s, '"', '"', 1) &&
                            place_index(&s, (place){.kind = AT_END, .digits = 1}) == 0);
    good = good && state_place(&s, 0) >= 0;
    for (size_t k = quoted; good && k < s.n; k++) {
        const place *p = &s.places[k];
        bool accept = quoted ? p->kind == AT_END : p->kind == AT_STATE && d->accept[p->state];
        good = vbj_build_state(&s.build, accept) && place_edges(&s, *p);
    }
    const vbj_dfa *bytes = good ? vbj_build_end(&s.build) : NULL;
    if (bytes) node = leaf(c, &part, bytes);
    vbj_arena_join(&c->arena, &part);
    return node;
}

vbg_node vbj_spell_strings(vbj_compiler *c, const vbj_dfa *d) {
    return spell(c, d, true);
}

vbg_node vbj_any_character(vbj_compiler *c) {
    if (c->any_character == VBG_NONE) {
        const vbj_dfa *one = vbj_dfa_lengths(&c->arena, 1, 1);
        c->any_character = one ? spell(c, one, false) : VBG_NONE;
    }
    return c->any_character;
}

/* Only characters with one spelling: printable ASCII without " & / < > \\ */
static bool plain(const char *name) {
    for (; *name; name++)
        if (*name < ' ' || *name > '~' || strchr("\"&/<>\\", *name)) return false;
    return true;
}

vbg_node vbj_spell_key(vbj_compiler *c, const char *name) {
    size_t n = strlen(name);
    if (!plain(name)) {
        const vbj_dfa *d = vbj_dfa_texts(&c->arena, &name, &n, 1);
        return d ? vbj_spell_strings(c, d) : VBG_NONE;
    }
    char *quoted = vbj_take(&c->arena, n + 3, 1);
    if (!quoted) return VBG_NONE;
    quoted[0] = quoted[n + 1] = '"';
    memcpy(quoted + 1, name, n);
    return vbg_text(c->ir, quoted, n + 2);
}
