/* repr.h - how Python prints values, and JSON. Internal. */
#ifndef VB_CHAT_REPR_H
#define VB_CHAT_REPR_H

#include "chat/text.h"

/* str(v) appended, and as a value; repr(v) appended. */
void vbt_put_value(vbt_buf *b, vbt_val v);
vbt_val vbt_str_of(vbt *t, vbt_val v);
void vbt_put_repr(vbt_buf *b, vbt_val v);
/* repr of a float: the shortest digits that read back as it. Returns the length. */
size_t vbt_float_text(double f, char out[40]);
/* Markup's escaping of a string: & < > " ' */
vbt_val vbt_html(vbt *t, vbt_val v);

/* json.dumps. indent NULL: on one line. */
typedef struct vbt_json {
    const vbt_str *indent, *item, *key; /* separators */
    bool ascii, sort;
} vbt_json;
void vbt_put_json(vbt_buf *b, vbt_val v, const vbt_json *how);
/* A JSON text as a value, whose strings and numbers are given. */
vbt_val vbt_read_json(vbt *t, const char *s, size_t n);
/* The same; a float is printed as it was written. */
vbt_val vbt_read_exact_json(vbt *t, const char *s, size_t n);

#endif
