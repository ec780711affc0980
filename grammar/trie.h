/* trie.h - the texts of a vocabulary as a trie, in the order of a walk. Internal.
 *
 * Nodes are numbered depth first, children by their byte: node 0 is the root, and the nodes below i are
 * i + 1 .. skip[i] - 1. A walk that may not enter i goes on at skip[i]. */
#ifndef VBG_TRIE_H
#define VBG_TRIE_H

#include "base/base.h"

typedef struct vbg_word {
    const char *s;
    size_t n;
    int32_t id;
} vbg_word;

typedef struct vbg_trie {
    uint32_t n;       /* nodes */
    uint8_t *byte;    /* (n) that leads to the node; of the root 0 */
    uint16_t *depth;  /* (n) */
    uint32_t *skip;   /* (n) */
    uint32_t *parent; /* (n) of the root 0 */
    uint32_t
        *first_id; /* (n + 1) the ids whose text ends at i: ids[first_id[i]] .. ids[first_id[i + 1] - 1] */
    int32_t *ids;
    uint16_t deepest;
} vbg_trie;

/* Longer texts are refused: how deep a walk goes is bounded by it. */
enum { VBG_LONGEST_WORD = 2048 };

/* Of words that are not empty and no longer than VBG_LONGEST_WORD. The order of `words` changes. */
int vbg_trie_build(vbg_trie *out, vbg_word *words, size_t n, vb_error *err);
void vbg_trie_free(vbg_trie *t);

/* A vocabulary, made once for a tokenizer and a set of ids that may not be generated.
 *
 * Most texts are `plain`: whole UTF-8 characters, none of them a control character, a quotation mark or a
 * backslash. Where a language takes every plain character and comes back to where it was (inside a
 * string), all plain texts are allowed at once, and only the rest is walked. */
typedef struct vbg_vocab {
    int32_t n_vocab;
    vbg_trie all, rest;   /* rest: of texts that are not plain */
    uint32_t *rest_of;    /* (all.n) the node of `rest` with the same bytes; UINT32_MAX: none */
    uint64_t **plain;     /* (most_points + 1) plain[k]: ids of plain texts of 1 .. k characters */
    int most_points;      /* longest plain text; plain[most_points] are all */
    const vbg_word *text; /* (n_vocab) of each id; s = NULL: stands for no text here */
    uint32_t bytes[256];  /* so many ids stand for this byte alone */
    size_t memory;
} vbg_vocab;

/* `text` stays the caller's and must outlive the vocabulary. */
int vbg_vocab_build(vbg_vocab *out, const vbg_word *text, int32_t n_vocab, vb_error *err);
void vbg_vocab_free(vbg_vocab *v);

#endif
