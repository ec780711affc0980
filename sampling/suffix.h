/* suffix.h - a suffix automaton over a text that grows: where does the longest repeat of its end, or of
 * another text's, go on? One more token costs O(1), amortised, whatever lengths repeat.
 *
 * A state stands for the substrings that end at the same places. `len` is the longest of them; `link`
 * leads to the longest suffix of it that ends at more places; `end` is the position behind its latest
 * known occurrence. The state of the whole text links to the longest suffix that occurred before: that
 * is the match.
 *
 * References: Blumer et al., "The smallest automaton recognizing the subwords of a text", 1985 (the
 * online construction: at most 2n states, 3n edges); Oliaro et al., "SuffixDecoding", 2411.04975
 * (drafts from it). */
#ifndef VB_SUFFIX_H
#define VB_SUFFIX_H

#include "base/base.h"

typedef struct vb_suffix vb_suffix;

/* A state and how much of it was matched. {0, 0}: nothing. */
typedef struct vb_suffix_match {
    int32_t state;
    int32_t len; /* tokens; at most the state's */
} vb_suffix_match;

/* Room for n tokens, allocated once. VB_ERR_UNSUPPORTED: n is above VB_SUFFIX_TOKENS. */
int vb_suffix_open(vb_suffix **out, size_t n, vb_error *err);
void vb_suffix_close(vb_suffix *s);
#define VB_SUFFIX_TOKENS ((size_t)1 << 28)

/* Forgets everything. */
void vb_suffix_clear(vb_suffix *s);
size_t vb_suffix_length(const vb_suffix *s);
/* The next token. False: there is no room. */
bool vb_suffix_add(vb_suffix *s, int32_t token);
/* The longest suffix of the text that occurred before its end, and where it last ended then. The latest
 * place is exact but for suffixes that are suffixes of more than 32 longer repeats; those may name an
 * earlier one. */
vb_suffix_match vb_suffix_repeat(const vb_suffix *s, size_t *end);
/* The longest suffix of (what was matched, token) that occurs in the text. */
vb_suffix_match vb_suffix_step(const vb_suffix *s, vb_suffix_match m, int32_t token);
/* The position behind an occurrence of it. */
size_t vb_suffix_end(const vb_suffix *s, vb_suffix_match m);
size_t vb_suffix_states(const vb_suffix *s);

#endif
