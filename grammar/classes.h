/* classes.h - sets of characters under construction, and the named ones. Internal to grammar/. */
#ifndef VBG_CLASSES_H
#define VBG_CLASSES_H

#include "grammar/ir.h"

typedef struct vbg_class {
    vbg_range *r;
    size_t n, room;
} vbg_class;

int vbg_class_add(vbg_class *c, uint32_t lo, uint32_t hi, vb_error *err);
/* Sorts and merges; with `negate` the complement in U+0000 .. U+10FFFF. */
int vbg_class_finish(vbg_class *c, bool negate, vb_error *err);

/* \d and \w of ECMA-262: ASCII alone. \s: its white space and line ends. What `.` leaves out: line ends. */
int vbg_class_digits(vbg_class *c, vb_error *err);
int vbg_class_word(vbg_class *c, vb_error *err);
int vbg_class_space(vbg_class *c, vb_error *err);
int vbg_class_newlines(vbg_class *c, vb_error *err);
/* A general category by its short or long name ("Lu", "Uppercase_Letter", "gc=Lu"), "Any" or "ASCII". */
int vbg_class_property(vbg_class *c, const char *name, size_t n, bool *known, vb_error *err);

#endif
