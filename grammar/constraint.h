/* constraint.h - the inside of vb_vocabulary and vb_constraint, for the guide. Internal to grammar/. */
#ifndef VBG_CONSTRAINT_H
#define VBG_CONSTRAINT_H

#include <pthread.h>

#include "grammar/grammar.h"
#include "grammar/mask.h"

struct vb_vocabulary {
    const vb_tokenizer *tokenizer;
    vbg_word *text; /* (n_vocab) */
    vbg_vocab v;
    uint8_t hash[16];
};

/* A mask that is kept: text ids alone, end ids come on top. */
typedef struct vbg_kept {
    uint32_t state;
    uint64_t *bits;
} vbg_kept;

struct vb_constraint {
    pthread_mutex_t lock;
    const vb_grammar *grammar;
    const vb_vocabulary *vocabulary;
    vbg_vocab v;       /* the vocabulary's, with bytes and texts of this constraint, */
    vbg_vocab own;     /* or one of its own: vb_constraint_params.written */
    vbg_word *text;    /* (n_vocab) of `own`; NULL: the vocabulary's */
    uint64_t *no_text; /* end and banned ids: no text here, whatever they stand for */
    int32_t *end;
    size_t n_end, words, max_bytes;
    uint8_t hash[16];
    uint32_t epoch; /* counts how often all was forgotten: states of another epoch mean nothing */
    vbg_machine *m;
    vbg_spell *spell;
    vbg_masker *k;
    vbg_kept *kept; /* an open table; bits = NULL is free */
    size_t n_kept, kept_size;
    vb_constraint_stats stats;
};

/* All with the lock held. Forgets what is too much, before something is asked. */
int vbg_make_room(vb_constraint *c, vb_error *err);
int vbg_forget(vb_constraint *c, vb_error *err);
/* Text ids and end ids that may follow; valid until the next call of vbg_make_room. */
int vbg_state_mask(vb_constraint *c, uint32_t state, uint64_t *allowed, vb_error *err);
/* The state after an id that stands for text; VBG_DEAD_STATE. */
uint32_t vbg_after_id(vb_constraint *c, uint32_t state, int32_t id);
/* What an id stands for; s = NULL: no text. */
vbg_word vbg_word_of(const vb_constraint *c, int32_t id);
int vbg_failed(vb_constraint *c, vb_error *err);
bool vbg_is_end(const vb_constraint *c, int32_t id);

#endif
