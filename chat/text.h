/* text.h - strings as Python has them: made of code points, and of bytes that know who wrote them.
 * Internal. */
#ifndef VB_CHAT_TEXT_H
#define VB_CHAT_TEXT_H

#include "chat/value.h"

/* ---------------------------------------------------------------------------------------------- writing */

/* A text being written. Marks are kept only once there are bytes of both kinds. */
typedef struct vbt_buf {
    vbt *t;
    char *s;
    uint8_t *from; /* NULL: all bytes are as `given` says */
    size_t n, cap;
    bool given;
    size_t limit; /* 0: none */
} vbt_buf;

void vbt_put(vbt_buf *b, const char *s, size_t n, bool given);
void vbt_puts(vbt_buf *b, const char *s, bool given);
void vbt_put_str(vbt_buf *b, const vbt_str *s);
/* Bytes [from, to) of s. */
void vbt_put_part(vbt_buf *b, const vbt_str *s, size_t from, size_t to);
void vbt_put_char(vbt_buf *b, uint32_t cp, bool given);
vbt_val vbt_buf_value(const vbt_buf *b);

/* A string of these bytes, copied. */
vbt_val vbt_text(vbt *t, const char *s, size_t n, bool given);
/* A string that lives as long as the program. */
vbt_val vbt_word(vbt *t, const char *s);
/* Bytes [from, to) of s; shares them. */
vbt_val vbt_part(vbt *t, const vbt_str *s, size_t from, size_t to);
vbt_val vbt_join(vbt *t, const vbt_str *a, const vbt_str *b);

/* ---------------------------------------------------------------------------------------------- reading */

/* The code point at s->s + at and its length in bytes; a byte that is no UTF-8 counts as one character. */
uint32_t vbt_char(const vbt_str *s, size_t at, size_t *bytes);
bool vbt_byte_given(const vbt_str *s, size_t at);
bool vbt_any_given(const vbt_str *s);
bool vbt_ascii(const vbt_str *s);
size_t vbt_char_count(const vbt_str *s);
/* Byte offset of character i (or of the end). */
size_t vbt_char_offset(const vbt_str *s, size_t i);
/* Appends each character as a string of its own. */
void vbt_chars(vbt *t, const vbt_str *s, vbt_val list);
/* Where `what` first stands in s[from, to), SIZE_MAX if nowhere; vbt_rfind: last. */
size_t vbt_find(vbt *t, const vbt_str *s, size_t from, size_t to, const vbt_str *what);
size_t vbt_rfind(vbt *t, const vbt_str *s, size_t from, size_t to, const vbt_str *what);
bool vbt_is(const vbt_str *s, const char *word);
bool vbt_same_text(const vbt_str *a, const vbt_str *b);
/* str.strip(): which is 1 for the start, 2 for the end, 3 for both; chars NULL: white space. */
vbt_val vbt_strip(vbt *t, const vbt_str *s, const vbt_str *chars, int which);
/* str.splitlines() */
vbt_val vbt_splitlines(vbt *t, const vbt_str *s, bool keep);
/* x[::-1] */
vbt_val vbt_reversed(vbt *t, const vbt_str *s);

/* ------------------------------------------------------------------------------------------ unicode.c */

bool vbt_space(uint32_t cp);     /* str.isspace() */
bool vbt_printable(uint32_t cp); /* str.isprintable() */
typedef enum vbt_case { VBT_UPPER, VBT_LOWER, VBT_TITLE, VBT_FOLD, VBT_SWAP, VBT_CAPITAL } vbt_case;
/* str.upper(), .lower(), .title(), .casefold(), .swapcase(), .capitalize() */
vbt_val vbt_change_case(vbt *t, const vbt_str *s, vbt_case to);
/* One of str.isalpha(), .isdigit() and so on by its name. */
bool vbt_text_is(vbt *t, const vbt_str *s, const char *method);

#endif
