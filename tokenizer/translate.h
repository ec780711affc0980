/* translate.h - a path of ids of one vocabulary as ids of another, through the text that both stand for.
 * Internal.
 *
 * The result is a function of the path alone: the text is cut into pieces where its bytes say so, each piece
 * is encoded by itself, and only the last one, which may still grow, is encoded again when the path does. So
 * it does not matter in how many steps a path was read, or what stood behind it before. */
#ifndef VB_TRANSLATE_H
#define VB_TRANSLATE_H

#include "tokenizer/tokenizer.h"

typedef struct vb_translation vb_translation;

/* Both tokenizers must outlive it. */
int vb_translation_open(vb_translation **out, const vb_tokenizer *from, const vb_tokenizer *to,
                        vb_error *err);
void vb_translation_close(vb_translation *t);

/* Takes in path[0..n) of ids of `from`. What it has read already must be the path's beginning. */
int vb_translation_read(vb_translation *t, const int32_t *path, size_t n, vb_error *err);
/* Forgets all but path[0..n). False: it had read no more. Else its ids are those that no reading on can
 * change. */
bool vb_translation_cut(vb_translation *t, size_t n);
/* The ids of `to`. Valid until the next call. */
const int32_t *vb_translation_ids(const vb_translation *t, size_t *n);
/* Whether the path's text ends where a character does. */
bool vb_translation_whole(const vb_translation *t);

/* What a control token of one vocabulary is in the other: the one of the same name, BOS for BOS, else for an
 * id that ends a text EOS. -1: nothing. */
int32_t vb_translate_special(const vb_tokenizer *from, const vb_tokenizer *to, int32_t id);
/* Bytes of s[0..n) in front of a character that is not complete. */
size_t vb_whole_characters(const char *s, size_t n);
/* Appends the ids of text that goes on from other text: no space is put in front, and nothing in it is a
 * control token. `w` is zero-initialised, for this tokenizer alone, and freed by vb_work_free. */
int vb_encode_more(const vb_tokenizer *t, vb_work *w, const char *text, size_t len, vb_ids *out,
                   vb_error *err);

#endif
