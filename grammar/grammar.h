/* grammar.h - a finished grammar: what its makers (ir.h) leave behind and a constraint begins with.
 * Internal. */
#ifndef VBG_GRAMMAR_H
#define VBG_GRAMMAR_H

#include "grammar/node.h"

struct vb_grammar {
    vbg_ir *ir; /* never changes any more */
};

#endif
