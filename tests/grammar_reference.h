/* grammar_reference.h - random grammars, and a slow recogniser of their own for them: a text belongs to an
 * expression if it can be cut into pieces that belong to its parts. Nothing of grammar/ is in it. */
#ifndef GRAMMAR_REFERENCE_H
#define GRAMMAR_REFERENCE_H

#include "base/rng.h"
#include "grammar/ir.h"

typedef enum ref_kind {
    R_EMPTY,
    R_SET,
    R_SEQ,
    R_ALT,
    R_REPEAT,
    R_RULE,
    R_AND,
    R_WITHOUT,
    R_SCOPE,
    R_FRESH
} ref_kind;

typedef struct ref_node {
    ref_kind kind;
    int a, b, min, max; /* of R_SET: a is a set of the alphabet's symbols */
} ref_node;

enum { REF_NODES = 64, REF_RULES = 3, REF_ALPHABET = 4 };

typedef struct ref_grammar {
    ref_node node[REF_NODES];
    int n, rules[REF_RULES], root;
} ref_grammar;

extern const char ref_alphabet[REF_ALPHABET]; /* 'a', ',', and the two bytes of U+00E9 */

/* A random grammar, the same for a seed. `memory` 1: with scopes and fresh texts,
 * infinitely many; 2: or finitely many. */
void ref_random(ref_grammar *g, uint64_t *rng, int memory);
/* The same as an expression. */
vbg_node ref_build(vbg_ir *ir, const ref_grammar *g);
/* Whether the text, at most 60 bytes, is one of the grammar's. */
bool ref_match(const ref_grammar *g, const char *text, int n);
/* In words, for messages. */
void ref_print(const ref_grammar *g, char *out, size_t size);

#endif
