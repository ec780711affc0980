/* schema.h - from a JSON schema to the expression that gives its instances, as JSON texts. Internal. */
#ifndef VB_GRAMMAR_SCHEMA_H
#define VB_GRAMMAR_SCHEMA_H

#include "grammar/ir.h"

typedef struct vbj_options {
    /* White space between tokens: false: nothing, one space, or a line's end with up to 64 spaces or 16
     * tabs, where writers of JSON put it; true: all that RFC 8259 allows. */
    bool any_whitespace;
    /* Refuse keywords that no draft knows; otherwise they are annotations, unless they look like a slip
     * of the pen. */
    bool strict;
} vbj_options;

/* *root: the texts of the instances of the schema (docs/grammar.md says how they are written). Errors:
 * VB_ERR_FORMAT for a text that is no JSON or no schema, VB_ERR_UNSUPPORTED for what cannot be expressed,
 * with the keyword and its JSON pointer, and for what takes too much time or memory; VB_ERR_MEMORY. A
 * schema without any instance gives VBG_NONE. */
int vbj_schema_compile(vbg_ir *ir, const char *text, size_t len, const vbj_options *options, vbg_node *root,
                       vb_error *err);
/* Any JSON object. */
int vbj_object_compile(vbg_ir *ir, const vbj_options *options, vbg_node *root, vb_error *err);

#endif
