/* utf8.h - UTF-8 and white space, as everything that reads or writes text needs them. Internal. Cutting a
 * stream of bytes at characters (vb_utf8_push) is public: include/verbatim.h. */
#ifndef VB_UTF8_H
#define VB_UTF8_H

#include "base/base.h"

/* Length (1..4) of the well-formed UTF-8 character at s, at most n bytes; 0 if there is none (surrogates,
 * overlong forms and code points above U+10FFFF are not well-formed). *cp may be NULL. [Unicode 15, table
 * 3-7] */
size_t vb_utf8_char(const unsigned char *s, size_t n, uint32_t *cp);
/* Writes cp as UTF-8, returns the length. */
size_t vb_utf8_put(uint32_t cp, char out[4]);
/* The Unicode property White_Space: what \s means in the published patterns. */
bool vb_is_space(uint32_t cp);

/* Text as C-like escapes for messages, cut to fit `size`. Returns out. */
char *vb_escape(const char *s, size_t len, char *out, size_t size);

#endif
