/* regex.h - regular expressions as text: read into a tree over code points, and from there into an expression
 * over bytes. Internal. What is taken and what it means: docs/grammar.md. */
#ifndef VBG_REGEX_H
#define VBG_REGEX_H

#include "grammar/ir.h"

typedef enum vbg_regex_kind {
    VBG_RE_EMPTY,  /* the empty text */
    VBG_RE_CLASS,  /* one code point: first .. first + n - 1 of vbg_regex.ranges, ascending, merged;
                      n = 0: none */
    VBG_RE_SEQ,    /* the children, one after the other: first .. first + n - 1 of vbg_regex.children */
    VBG_RE_ALT,    /* one of the children */
    VBG_RE_REPEAT, /* the child children[first], min to max times (VBG_INF) */
    VBG_RE_BEGIN,  /* ^: nothing stands before */
    VBG_RE_END     /* $: nothing follows */
} vbg_regex_kind;

typedef struct vbg_regex_node {
    vbg_regex_kind kind;
    uint32_t first, n, min, max;
} vbg_regex_node;

/* Children stand before their parents; the last node is the root. */
typedef struct vbg_regex {
    vbg_regex_node *nodes;
    size_t n_nodes, room_nodes;
    uint32_t *children; /* indices of nodes */
    size_t n_children, room_children;
    vbg_range *ranges;
    size_t n_ranges, room_ranges;
} vbg_regex;

/* Reads a pattern (UTF-8). VB_ERR_FORMAT for what is no pattern, VB_ERR_UNSUPPORTED for lookaround, back
 * references and word boundaries: by name, with the character's position. *out is to be freed after success
 * only. */
int vbg_regex_parse(vbg_regex *out, const char *text, size_t n, vb_error *err);
void vbg_regex_free(vbg_regex *r);
/* The texts in UTF-8 that the pattern matches: as a whole, or with `search` anywhere in them, as
 * RegExp.prototype.test of ECMA-262 does. */
vbg_node vbg_regex_build(vbg_ir *ir, const vbg_regex *r, bool search);

#endif
