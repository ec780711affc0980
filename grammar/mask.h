/* mask.h - which ids may come next: a state of the machine against the trie of a vocabulary. Internal.
 *
 * A head (lexeme h, tail T) allows a token in two ways: h takes all of its bytes, or h takes the first ones,
 * is complete, and T takes the rest. The first does not depend on T, nor does where h can be complete:
 * both are kept under h (vbg_lexeme). Only the second's rest is walked for each state. */
#ifndef VBG_MASK_H
#define VBG_MASK_H

#include "grammar/machine.h"
#include "grammar/spell.h"
#include "grammar/trie.h"

/* Where a lexeme can be complete in the middle of a token: the node behind, by the byte that leads there. */
#define VBG_OF_REST (UINT32_C(1) << 30) /* in vbg_exit.node: of vbg_vocab.rest, else of `all` */
typedef struct vbg_exit {
    uint32_t node;
    uint16_t rounds; /* of a counted repetition that were done: else 0 */
    uint8_t byte;
} vbg_exit;

/* What a lexeme says of a vocabulary, or a counted repetition x{..} whose present round is `lexeme`. */
typedef struct vbg_lexeme {
    vbg_node lexeme, round; /* round: x, or VBG_NONE */
    bool usable;            /* a repetition whose rounds turn out not to be told apart is walked as others */
    const vbg_trie *trie;   /* that is walked */
    int32_t *ids;           /* (n_ids) taken as a whole, beside the plain ones; by rounds if counted */
    uint16_t *rounds;       /* (n_ids) that the token begins beyond the present one, if counted; else NULL */
    size_t n_ids, room_ids, room_rounds;
    uint64_t *bits;  /* or all of them as a set, if they are many; NULL */
    bool plain;      /* all plain texts as well: k characters begin k - 1 rounds if counted */
    vbg_exit *exits; /* ascending by byte */
    size_t n_exits, room_exits;
    uint32_t by_byte[257]; /* exits[by_byte[c]] .. exits[by_byte[c + 1] - 1] have byte c */
} vbg_lexeme;

typedef struct vbg_masker {
    vbg_machine *m;
    const vbg_vocab *v;
    vbg_spell *spell; /* NULL: every byte that the grammar uses is a text of its own */
    vbg_lexeme **lexemes;
    size_t n_lexemes, room_lexemes;
    vbg_index index;
    size_t bytes;
    uint64_t walked; /* nodes of tries, for statistics */
    uint8_t
        *closed; /* (room_closed) of lexemes: every plain character leads back, 1 yes, 2 no, 0 not known */
    size_t room_closed;
    vbg_node *stack; /* (deepest + 2) lexemes along a path */
    uint16_t *count; /* (deepest + 2) rounds along it */
    int8_t *wide;    /* (deepest + 2) continuation bytes to come along it; -1: no character can be */
    vb_error error;
    /* Of the mask under construction. */
    uint64_t *bits;
    uint32_t state;
    uint64_t *seen; /* (trie node, state) pairs that were walked already */
    size_t seen_size, n_seen;
} vbg_masker;

int vbg_masker_new(vbg_masker **out, vbg_machine *m, const vbg_vocab *v, vbg_spell *spell, vb_error *err);
void vbg_masker_free(vbg_masker *k);
/* Sets the bits of all ids that may follow `state` as text; bits holds (n_vocab + 63)/64 zeroed words. */
int vbg_mask(vbg_masker *k, uint32_t state, uint64_t *bits, vb_error *err);

#endif
