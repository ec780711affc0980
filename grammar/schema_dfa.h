/* schema_dfa.h - deterministic automata over code points, with edges that are ranges.
 *
 * The sets of strings and of numbers that a schema speaks of are regular, and closed under everything
 * that schemas do with sets (allOf: intersection, anyOf: union, not: complement). So each is kept as a
 * complete answer to "which texts", as an automaton over the text's code points; how a text is spelled in
 * JSON (escapes, UTF-8) comes last, in schema_emit.c.
 *
 * References
 *   Hopcroft, Motwani, Ullman, Introduction to Automata Theory (3rd edition): 2.3.5 (subset
 *   construction), 4.2.1 (products),
 *   4.4.3 (equivalent states, merged here by Moore's refinement) */
#ifndef VB_GRAMMAR_SCHEMA_DFA_H
#define VB_GRAMMAR_SCHEMA_DFA_H

#include "grammar/schema_arena.h"

enum { VBJ_LAST_CODE_POINT = 0x10FFFF };

/* From a state, code points lo..hi lead to state `to`. */
typedef struct {
    uint32_t lo, hi;
    int32_t to;
} vbj_edge;

/* State 0 is the start. The edges of state s are edges[first[s]] .. edges[first[s + 1] - 1], ascending
 * and disjoint; a code point without an edge leads nowhere. Every state but the start lies on a path from
 * the start to an accepting one, so the language is empty iff the start does not accept and has no edge.
 * Immutable once made, and lives in an arena. */
typedef struct {
    int32_t n_states;
    const int32_t *first;
    const vbj_edge *edges;
    const bool *accept;
} vbj_dfa;

/* All functions that make an automaton return NULL where the arena is full. */

const vbj_dfa *vbj_dfa_none(vbj_arena *a);
/* Every sequence of Unicode scalar values (surrogates are no characters of a text). */
const vbj_dfa *vbj_dfa_all(vbj_arena *a);
/* Every text of lo to hi characters; hi UINT32_MAX: no limit. */
const vbj_dfa *vbj_dfa_lengths(vbj_arena *a, uint32_t lo, uint32_t hi);
/* The n texts given (valid UTF-8, a length each). */
const vbj_dfa *vbj_dfa_texts(vbj_arena *a, const char *const *texts, const size_t *lengths, size_t n);

typedef enum { VBJ_BOTH, VBJ_EITHER, VBJ_MINUS } vbj_product_kind;
const vbj_dfa *vbj_dfa_product(vbj_arena *a, const vbj_dfa *x, const vbj_dfa *y, vbj_product_kind kind);
const vbj_dfa *vbj_dfa_minimal(vbj_arena *a, const vbj_dfa *x);

/* Copies d from a part of the arena `a` into `a` and ends the part; NULL stays NULL. */
const vbj_dfa *vbj_dfa_keep(vbj_arena *a, vbj_arena *part, const vbj_dfa *d);

bool vbj_dfa_empty(const vbj_dfa *x);
bool vbj_dfa_same(const vbj_dfa *x, const vbj_dfa *y); /* byte for byte; of minimal ones: the same language */
bool vbj_dfa_has(const vbj_dfa *x, const char *text, size_t n);
/* The target of `c` from state s, or -1. */
int32_t vbj_dfa_next(const vbj_dfa *x, int32_t s, uint32_t c);
/* The number of texts, at most `most`; `most` for infinitely many. */
uint64_t vbj_dfa_count(vbj_arena *a, const vbj_dfa *x, uint64_t most);

/* ------------------------------------------------------------------------------------- with choices
 *
 * A nondeterministic automaton under construction: what regular expressions become first. Two kinds of
 * empty edges hold at the ends of the text alone, which is what ^ and $ mean. */
typedef enum { VBJ_EPS, VBJ_EPS_BEGIN, VBJ_EPS_END } vbj_eps_kind;

typedef struct {
    int32_t from, to;
    uint32_t lo, hi; /* a range, or lo > hi: an empty edge of kind hi */
} vbj_nfa_edge;

typedef struct {
    vbj_arena *arena;
    vbj_nfa_edge *edges;
    size_t n_edges, edges_room;
    int32_t n_states;
    int32_t start, accept;
} vbj_nfa;

void vbj_nfa_begin(vbj_nfa *n, vbj_arena *a);
int32_t vbj_nfa_state(vbj_nfa *n);
/* False where the arena is full. */
bool vbj_nfa_range(vbj_nfa *n, int32_t from, uint32_t lo, uint32_t hi, int32_t to);
bool vbj_nfa_eps(vbj_nfa *n, int32_t from, vbj_eps_kind kind, int32_t to);
/* The minimal deterministic automaton. Ranges are cut to Unicode scalar values. */
const vbj_dfa *vbj_nfa_determine(vbj_nfa *n);

#endif
