/* schema_strings.c - sets of strings: patterns, lengths, and the cache of automata.
 *
 * A pattern is an expression of ECMA-262 that matches anywhere in the string, unless ^ and $ say
 * otherwise. */
#include "grammar/regex.h"
#include "grammar/schema_internal.h"

#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------- the cache */

typedef struct vbj_cached {
    const struct vbj_cached *next;
    const char *name;
    const vbj_dfa *dfa;
} vbj_cached;

static size_t slot_of(const char *name) {
    uint64_t h = 1;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001B3u;
    h *= 0x9E3779B97F4A7C15u;
    return (size_t)(h >> 32) % VBJ_CACHE_SLOTS;
}

const vbj_dfa *vbj_cache_get(const vbj_compiler *c, const char *name) {
    for (const vbj_cached *p = c->cache[slot_of(name)]; p; p = p->next)
        if (strcmp(p->name, name) == 0) return p->dfa;
    return NULL;
}

bool vbj_cache_put(vbj_compiler *c, const char *name, const vbj_dfa *d) {
    size_t slot = slot_of(name), n = strlen(name) + 1;
    vbj_cached *p = vbj_take(&c->arena, 1, sizeof *p);
    char *copy = vbj_take(&c->arena, n, 1);
    if (!p || !copy) return false;
    memcpy(copy, name, n);
    *p = (vbj_cached){c->cache[slot], copy, d};
    c->cache[slot] = p;
    return true;
}

/* -------------------------------------------------------------------------------------- expressions */

static bool build(vbj_nfa *n, const vbg_regex *r, size_t node, int32_t from, int32_t to);

/* x{min,max}: min copies, then copies that may be left out, or one that comes round. */
static bool build_repeat(vbj_nfa *n, const vbg_regex *r, const vbg_regex_node *node, int32_t from,
                         int32_t to) {
    size_t child = r->children[node->first];
    int32_t at = from;
    for (uint32_t i = 0; i < node->min; i++) {
        int32_t next = vbj_nfa_state(n);
        if (!build(n, r, child, at, next)) return false;
        at = next;
    }
    if (node->max == VBG_INF) {
        int32_t loop = vbj_nfa_state(n), back = vbj_nfa_state(n);
        return vbj_nfa_eps(n, at, VBJ_EPS, loop) && build(n, r, child, loop, back) &&
               vbj_nfa_eps(n, back, VBJ_EPS, loop) && vbj_nfa_eps(n, loop, VBJ_EPS, to);
    }
    for (uint32_t i = node->min; i < node->max; i++) {
        int32_t next = vbj_nfa_state(n);
        if (!vbj_nfa_eps(n, at, VBJ_EPS, to) || !build(n, r, child, at, next)) return false;
        at = next;
    }
    return vbj_nfa_eps(n, at, VBJ_EPS, to);
}

static bool build(vbj_nfa *n, const vbg_regex *r, size_t index, int32_t from, int32_t to) {
    const vbg_regex_node *node = &r->nodes[index];
    switch (node->kind) {
    case VBG_RE_EMPTY: return vbj_nfa_eps(n, from, VBJ_EPS, to);
    case VBG_RE_BEGIN: return vbj_nfa_eps(n, from, VBJ_EPS_BEGIN, to);
    case VBG_RE_END: return vbj_nfa_eps(n, from, VBJ_EPS_END, to);
    case VBG_RE_CLASS:
        for (uint32_t i = 0; i < node->n; i++)
            if (!vbj_nfa_range(n, from, r->ranges[node->first + i].lo, r->ranges[node->first + i].hi, to))
                return false;
        return true;
    case VBG_RE_ALT:
        for (uint32_t i = 0; i < node->n; i++)
            if (!build(n, r, r->children[node->first + i], from, to)) return false;
        return true;
    case VBG_RE_SEQ:
        for (uint32_t i = 0; i < node->n; i++) {
            int32_t next = i + 1 < node->n ? vbj_nfa_state(n) : to;
            if (!build(n, r, r->children[node->first + i], from, next)) return false;
            from = next;
        }
        return node->n || vbj_nfa_eps(n, from, VBJ_EPS, to);
    case VBG_RE_REPEAT: return build_repeat(n, r, node, from, to);
    }
    return false;
}

/* All strings with a match: anything, the expression, anything. */
static const vbj_dfa *search(vbj_arena *keep, const vbg_regex *r) {
    vbj_arena part;
    vbj_arena_part(&part, keep);
    vbj_nfa n;
    vbj_nfa_begin(&n, &part);
    n.start = vbj_nfa_state(&n);
    int32_t before = vbj_nfa_state(&n), after = vbj_nfa_state(&n);
    n.accept = vbj_nfa_state(&n);
    bool good = vbj_nfa_range(&n, n.start, 0, VBJ_LAST_CODE_POINT, n.start) &&
                vbj_nfa_eps(&n, n.start, VBJ_EPS, before) && build(&n, r, r->n_nodes - 1, before, after) &&
                vbj_nfa_eps(&n, after, VBJ_EPS, n.accept) &&
                vbj_nfa_range(&n, n.accept, 0, VBJ_LAST_CODE_POINT, n.accept);
    return vbj_dfa_keep(keep, &part, good ? vbj_nfa_determine(&n) : NULL);
}

static const vbj_dfa *plain(vbj_compiler *c, const json_t *schema, const char *keyword, const char *text,
                            size_t n) {
    vbg_regex r;
    vb_error why;
    vb_begin(&why);
    if (vbg_regex_parse(&r, text, n, &why)) {
        vbj_refuse(c, why.code, schema, keyword, "%s", why.message);
        return NULL;
    }
    c->at_keyword = keyword;
    const vbj_dfa *d = search(&c->arena, &r);
    vbg_regex_free(&r);
    return d;
}

/* ---------------------------------------------------------------------------------------- lookahead
 *
 * Lookahead in general is left out (vbg_regex_parse refuses it), but the form that schemas use stands
 * right behind ^: ^(?!X)Y are the matches of ^Y that no match of ^X begins, which intersection and
 * complement express. */

/* The place of the parenthesis that closes the group which begins at text[at]; n if there is none. */
static size_t group_end(const char *text, size_t n, size_t at) {
    size_t depth = 0;
    bool in_class = false;
    for (size_t i = at; i < n; i++) {
        if (text[i] == '\\')
            i++;
        else if (in_class)
            in_class = text[i] != ']';
        else if (text[i] == '[')
            in_class = true;
        else if (text[i] == '(')
            depth++;
        else if (text[i] == ')' && --depth == 0)
            return i;
    }
    return n;
}

/* Whether a | stands outside all groups: then ^ belongs to the first branch alone. */
static bool branches(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '|') return true;
        if (text[i] == '\\')
            i++;
        else if (text[i] == '(')
            i = group_end(text, n, i);
        else if (text[i] == '[')
            for (i++; i < n && text[i] != ']'; i++) i += text[i] == '\\';
    }
    return false;
}

static const vbj_dfa *anchored(vbj_compiler *c, const json_t *schema, const char *keyword, const char *text,
                               size_t n) {
    char *whole = vbj_take(&c->arena, n + 8, 1);
    if (!whole) return NULL;
    int length = snprintf(whole, n + 8, "^(?:%.*s)", (int)n, text);
    return plain(c, schema, keyword, whole, (size_t)length);
}

static const vbj_dfa *with_lookahead(vbj_compiler *c, const json_t *schema, const char *keyword,
                                     const char *text, size_t n) {
    const vbj_dfa *all = c->all_strings;
    size_t at = 1;
    while (all && n - at > 3 && text[at] == '(' && text[at + 1] == '?' &&
           (text[at + 2] == '!' || text[at + 2] == '=')) {
        size_t end = group_end(text, n, at);
        if (end == n) break;
        const vbj_dfa *d = anchored(c, schema, keyword, text + at + 3, end - at - 3);
        all = vbj_dfa_product(&c->arena, all, d, text[at + 2] == '!' ? VBJ_MINUS : VBJ_BOTH);
        at = end + 1;
    }
    if (at == 1 || !all) return all ? plain(c, schema, keyword, text, n) : NULL;
    return vbj_dfa_product(&c->arena, all, anchored(c, schema, keyword, text + at, n - at), VBJ_BOTH);
}

const vbj_dfa *vbj_pattern(vbj_compiler *c, const json_t *schema, const char *keyword, const char *pattern,
                           size_t len) {
    char *name = vbj_take(&c->arena, len + 16, 1);
    if (!name) return NULL;
    snprintf(name, len + 16, "pattern %s", pattern);
    const vbj_dfa *d = vbj_cache_get(c, name);
    if (d && strlen(pattern) == len) return d;
    if (len > 4 && len < 100000 && strncmp(pattern, "^(?", 3) == 0 && !branches(pattern, len))
        d = with_lookahead(c, schema, keyword, pattern, len);
    else
        d = plain(c, schema, keyword, pattern, len);
    if (!d || (strlen(pattern) == len && !vbj_cache_put(c, name, d)) || vbj_check_dfa(c, d)) return NULL;
    return d;
}

/* ---------------------------------------------------------------------------------------- questions */

int vbj_check_dfa(vbj_compiler *c, const vbj_dfa *d) {
    if (d->n_states > VBJ_MAX_STATES) c->arena.full = true;
    return c->arena.full ? vbj_full(c) : 0;
}

/* Is a string of the automaton between lo and hi characters long? The states after each length, until lo
 * is reached and an accepting one is among them. */
static int length_possible(vbj_compiler *c, const vbj_string *s, bool *yes) {
    size_t n = (size_t)s->dfa->n_states;
    vbj_arena part;
    vbj_arena_part(&part, &c->arena);
    bool *now = vbj_take(&part, n, sizeof *now), *next = vbj_take(&part, n, sizeof *next);
    *yes = false;
    bool any = true;
    if (now) now[0] = true;
    /* After n lengths beyond lo every state that can accept has done so. */
    for (uint64_t length = 0; now && next && any && length <= s->hi && length <= s->lo + (uint64_t)n;
         length++) {
        any = false;
        memset(next, 0, n * sizeof *next);
        for (size_t k = 0; k < n; k++) {
            if (!now[k]) continue;
            any = true;
            if (length >= s->lo && s->dfa->accept[k]) *yes = true;
            for (int32_t e = s->dfa->first[k]; e < s->dfa->first[k + 1]; e++)
                next[s->dfa->edges[e].to] = true;
        }
        bool *other = now;
        now = next;
        next = other;
        if (*yes || !vbj_steps(&part, n / 4 + 1)) break;
    }
    bool failed = !now || !next;
    vbj_arena_join(&c->arena, &part);
    return failed || c->arena.full ? vbj_full(c) : 0;
}

int vbj_string_possible(vbj_compiler *c, const vbj_string *s, bool *yes) {
    *yes = s->lo <= s->hi && (!s->dfa || !vbj_dfa_empty(s->dfa));
    if (!*yes || !s->dfa || (s->lo == 0 && s->hi == VBJ_NO_LIMIT)) return 0;
    return length_possible(c, s, yes);
}
