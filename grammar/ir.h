/* ir.h - languages over bytes as expressions: what GBNF, regular expressions and JSON schemas are compiled
 * to, and what the automaton runs. Internal.
 *
 * A node is a number; equal expressions have equal numbers (they are hash-consed), so that a sub-expression
 * used n times costs one node. Nodes never change and never go; children are older than their parents.
 * Recursion goes through rules. Languages of nodes:
 *
 *   VBG_NONE          no text at all                 a b (seq)      a text of a, then one of b
 *   VBG_EMPTY         the empty text                 a | b (alt)    a text of either
 *   a byte set        one byte of it                 a{m,n}         m to n texts of a, one after the other
 *   a DFA's state     what the DFA accepts from it   a & b, ~a      intersection, complement: regular a, b
 *   a rule's name     what its body says             scope, fresh   see below
 *
 * `regular` is a node without rules, scopes and fresh texts below it. A regular expression is run as a DFA
 * whose states are its derivatives (Brzozowski 1964): the derivative of e by a byte c is the
 * expression of all w with cw in L(e). They are made when first needed (derive.h).
 *
 * Lexemes. Everything regular that is not behind a rule reference is fused with its regular neighbours and
 * walked as one DFA; its share of a mask is computed once, whatever surrounds it. So the language of
 * one value (a string with its quotes, a number) belongs into a rule of its own. */
#ifndef VBG_IR_H
#define VBG_IR_H

#include "base/base.h"

typedef uint32_t vbg_node;
typedef struct vbg_ir vbg_ir;

enum { VBG_NONE = 0, VBG_EMPTY = 1 };
enum { VBG_ANYBYTE = 2, VBG_ALL = 3 }; /* one byte; every string of bytes, ~VBG_NONE */
#define VBG_INF UINT32_MAX

/* Code points lo..hi, both included. */
typedef struct vbg_range {
    uint32_t lo, hi;
} vbg_range;

typedef struct vbg_span {
    const char *s;
    size_t n;
} vbg_span;

/* A DFA over bytes: from state s the edges first[s] .. first[s + 1] - 1, ascending and without
 * overlap. Copied by vbg_dfa; states from which nothing is accepted are cut there. */
typedef struct vbg_dfa_edge {
    uint32_t to;
    uint8_t lo, hi; /* both included */
} vbg_dfa_edge;

typedef struct vbg_dfa_table {
    uint32_t n_states, start;
    const bool *accept;        /* (n_states) */
    const uint32_t *first;     /* (n_states + 1) */
    const vbg_dfa_edge *edges; /* (first[n_states]) */
} vbg_dfa_table;

/* Bounds on what is built, so that no grammar takes the machine: more is VB_ERR_UNSUPPORTED. */
enum { VBG_MAX_NODES = 1000000, VBG_MAX_BYTES = 64 << 20 };

int vbg_ir_new(vbg_ir **out, vb_error *err);
void vbg_ir_free(vbg_ir *ir);
/* A builder after a failure answers VBG_NONE to everything and keeps the first error; this returns it. */
int vbg_ir_error(const vbg_ir *ir, vb_error *err);
/* Makes the builder fail, for whoever builds into it and finds a mistake. Returns code. */
int vbg_ir_fail(vbg_ir *ir, int code, const char *format, ...) VB_PRINTF(3, 4);

/* ----------------------------------------------------------------------------------------- expressions */

vbg_node vbg_text(vbg_ir *ir, const char *bytes, size_t n);
vbg_node vbg_byte_set(vbg_ir *ir, const uint64_t set[4]); /* bit c % 64 of word c / 64 */
/* One code point of any of the ranges, as UTF-8. Surrogates and what lies above U+10FFFF are left out. */
vbg_node vbg_points(vbg_ir *ir, const vbg_range *ranges, size_t n);
vbg_node vbg_seq(vbg_ir *ir, vbg_node a, vbg_node b);
vbg_node vbg_alt(vbg_ir *ir, vbg_node a, vbg_node b);
vbg_node vbg_alts(vbg_ir *ir, const vbg_node *nodes, size_t n);
/* a{min,max}; max = VBG_INF: no upper bound. Counted, never unrolled. */
vbg_node vbg_repeat(vbg_ir *ir, vbg_node a, uint32_t min, uint32_t max);
/* Any of these texts: a trie, so that thousands of them cost a byte's step no more than one does. */
vbg_node vbg_words(vbg_ir *ir, const vbg_span *words, size_t n);
/* Regular a and b only: VB_ERR_UNSUPPORTED otherwise. The complement is over all strings of bytes, valid
 * UTF-8 or not. */
vbg_node vbg_and(vbg_ir *ir, vbg_node a, vbg_node b);
vbg_node vbg_not(vbg_ir *ir, vbg_node a);
vbg_node vbg_dfa(vbg_ir *ir, const vbg_dfa_table *dfa);

/* ----------------------------------------------------------------------------------------- rules, memory */

/* A rule may be referred to before it is set. `name` is for messages and may be NULL. */
uint32_t vbg_rule_new(vbg_ir *ir, const char *name);
void vbg_rule_set(vbg_ir *ir, uint32_t rule, vbg_node body);
vbg_node vbg_rule(vbg_ir *ir, uint32_t rule);
/* Runs `a` with an empty memory of its own: an object whose keys shall differ. */
vbg_node vbg_scope(vbg_ir *ir, vbg_node a);
/* A text of the regular e that differs from all texts that the nearest scope around it has recorded, and is
 * recorded then. No text of e may be the beginning of another. Texts that begin with '"' are compared as the
 * JSON strings they are, however they are spelt, others byte by byte. Where fresh texts can run out
 * although the grammar asks for another one is for the builder to exclude. */
vbg_node vbg_fresh(vbg_ir *ir, vbg_node e);

/* ----------------------------------------------------------------------------------------- questions */

bool vbg_is_regular(const vbg_ir *ir, vbg_node a);
/* Whether the empty text belongs to it; of what contains rules only known after vbg_ir_finish. */
bool vbg_nullable(const vbg_ir *ir, vbg_node a);
/* Whether a regular expression has a text at all. VB_ERR_UNSUPPORTED where that takes too long to find
 * out. */
int vbg_has_text(vbg_ir *ir, vbg_node a, bool *yes, vb_error *err);
/* Whether a regular expression has this text. */
bool vbg_matches(vbg_ir *ir, vbg_node a, const char *text, size_t n);

/* Sets the root, and checks: every rule is set, none is left recursive (VB_ERR_UNSUPPORTED, by name),
 * there is a text (VB_ERR_ARGUMENT). On success the grammar owns the builder. */
int vbg_ir_finish(vbg_ir *ir, vbg_node root, vb_grammar **out, vb_error *err);

#endif
