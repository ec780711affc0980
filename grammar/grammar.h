/* grammar.h - a finished grammar: what its makers (ir.h) leave behind and a constraint begins with.
 * Internal. */
#ifndef VBG_GRAMMAR_H
#define VBG_GRAMMAR_H

#include "grammar/node.h"

struct vb_grammar {
    vbg_ir *ir;       /* never changes any more */
    uint8_t hash[16]; /* XXH3-128 of kind, parameters and source text; zeros if it was built otherwise */
};

/* Sets g->hash. */
void vbg_hash_source(vb_grammar *g, vb_grammar_kind kind, const char *text, size_t n,
                     const vb_grammar_params *p);
/* Reads GBNF into the builder. */
int vbg_gbnf_read(vbg_ir *ir, const char *text, size_t n, vbg_node *root, vb_error *err);

/* Writes left recursion as repetition, where that can be done (left.c). Rules that are used must be set. */
int vbg_unroll_left(vbg_ir *ir, vb_error *err);

/* Writes out small regular rules where they are named (inline.c). Rules that are used must be set. */
int vbg_inline_small(vbg_ir *ir, vbg_node *root, vb_error *err);

#endif
