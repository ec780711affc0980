/* drafter.h - who proposes tokens. A drafter sees the path (prompt and output so far) and writes its proposal
 * behind it, with the law q that each token was drawn from.
 *
 * What keeps `rejection` and `block` exact: each token is drawn from the q that is reported, and every drawn
 * token is kept. A drafter may stop after any token it kept (a full context, a stop token, low confidence);
 * it may not discard a token because of what it is. Under `coupled` and `greedy` any policy is safe: drafts
 * never influence the output.
 */
#ifndef VB_DRAFTER_H
#define VB_DRAFTER_H

#include "sampling/accept.h"
#include "sampling/distribution.h"
#include "sampling/lm.h"
#include "ref/kernels.h"

/* How tokens are chosen from a law, and the siblings of a tree. */
typedef enum vb_choice {
    VB_CHOOSE_RACE, /* coupled, greedy; siblings: the first ones of the race */
    VB_CHOOSE_COIN, /* rejection; siblings: drawn without replacement, each from what is left of q */
    VB_CHOOSE_GRID, /* block: as VB_CHOOSE_COIN after rescaling q to VB_BLOCK_Q. Chains only */
    VB_CHOOSE_TOP   /* greedy trees: the likeliest ones; each is reported with a one-hot q */
} vb_choice;

/* A list of tokens, each with the one that it follows, which stands before it (vb_drafted.parent): a tree. A
 * chain is parent = i - 1. Nothing follows a stop token. */
typedef struct vb_proposal {
    int max;                    /* in: at most so many tokens */
    int depth;                  /* in: of a tree, at most so many on one path */
    const int *shape;           /* in: (VB_TREE_DEPTH) of a tree, as vb_spec_params.tree; NULL: a chain */
    const vb_dist_space *space; /* in: (max) room for the laws */
    int n;                      /* how many there are; a drafter adds to them */
    vb_dist *q;                 /* out: (n) */
    vb_drafted *drafted;        /* out: (n) id, parent, draw, has_draw */
} vb_proposal;

/* The next token of the list, behind the last one; q and draw are left to the caller. */
static inline vb_drafted *vb_propose(vb_proposal *o, int32_t *path, size_t n, int32_t id) {
    path[n + (size_t)o->n] = id;
    vb_drafted *d = &o->drafted[o->n];
    *d = (vb_drafted){.id = id, .parent = o->n - 1};
    o->n++;
    return d;
}
/* The same, of a law that knows only this one; `one`: its weight. */
void vb_propose_certain(vb_proposal *o, int32_t *path, size_t n, int32_t id, uint64_t one);

/* Which ids may be proposed where nothing is drawn. */
typedef struct vb_certain {
    const vb_law_source *law; /* `allows` alone is asked: proposing ends before what the mask forbids */
    int32_t limit;            /* ids below this */
    vb_choice choice;
    const int32_t *stop; /* nothing follows these */
    size_t n_stop;
} vb_certain;

/* Proposes text[from], text[from + 1], ... up to text[end - 1], each with a one-hot q, while the list is
 * shorter than `most` and than its room. `text` may be the path itself, which grows as it is copied from. */
int vb_propose_all(vb_proposal *o, int32_t *path, size_t n, const int32_t *text, size_t from, size_t end,
                   int most, const vb_certain *c, vb_error *err);

typedef struct vb_drafter {
    void *self;
    /* Takes in path[0..n) (text given from outside). No room is not an error: there will be no drafts. */
    int (*sync)(void *self, const int32_t *path, size_t n, vb_error *err);
    /* Proposes what follows path[0..n) and the out->n drafts that stand behind it already, a chain (text that
     * must follow): writes the tokens to path[n + out->n..]. A drafter that has to evaluate a model for it
     * only begins here: `wants` then says what is to be evaluated, so that many drafters' evaluations can
     * share a pass, and `resume` goes on with the result, until `wants` says no. Meanwhile path and out stay
     * where they are, but for text that must follow: it may be added to them between a `resume` and the next
     * `wants`. */
    int (*draft)(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err);
    /* Only path[0..n) still holds: forgets whatever was taken in beyond. Called after every step, failed ones
     * too. */
    void (*settle)(void *self, size_t n);
    void (*close)(void *self);
    /* NULL: nothing, ever. Fills in the model and tokens, n and want. */
    bool (*wants)(void *self, const vb_lm **lm, vb_eval_item *item);
    int (*resume)(void *self, vb_error *err);
    /* NULL: it does not read the target's hidden rows. Else it is told of every position that the target
     * holds, in order, after each piece of text and after each step: row[i] (width) is that of the token at
     * position from + i, path[from + i], with those before it as its past. */
    int (*see)(void *self, const int32_t *path, size_t from, size_t n, const float *const *row, int width,
               vb_error *err);
    /* NULL: one evaluation gives one draft, whose law says it. Else how sure its drafter is of draft i, of
     * which an evaluation may give none or several (0..1). */
    double (*sure)(void *self, int i);
    /* NULL: the path's. Else the ids that its model's cache holds. */
    const int32_t *(*holds)(void *self, size_t *n);
} vb_drafter;

/* draft, and all that it wants evaluated, one after the other. */
int vb_drafter_draft(const vb_drafter *d, int32_t *path, size_t n, vb_proposal *out, vb_error *err);

typedef struct vb_drafter_model_params {
    vb_lm lm; /* its cache may hold a prefix of the path already */
    vb_law_source law;
    int32_t limit;       /* ids below this are drafted; at most lm.n_vocab */
    const int32_t *kept; /* (n_kept) the ids that its logits are of, ascending; NULL: all of lm.n_vocab */
    size_t n_kept;
    vb_choice choice;
    const vb_coins *coins;
    const int32_t *stop; /* drafting ends after these */
    size_t n_stop;
} vb_drafter_model_params;

/* A smaller model (or the same one) in a context of its own. Of a tree the drafts of a depth are evaluated
 * together, in the order of the list. Copies params; `stop` and `coins` must outlive
 * it. */
int vb_drafter_model(vb_drafter *out, const vb_drafter_model_params *params, vb_error *err);

typedef struct vb_drafter_text_params {
    vb_lm lm;
    const vb_tokenizer *target, *draft; /* must outlive it */
    const int32_t
        *history; /* (n_history) what its cache holds, as ids of `draft`; anything else is forgotten */
    size_t n_history;
    const int32_t *kept; /* as in vb_drafter_model_params */
    size_t n_kept;
    vb_law_source law; /* as for n-grams */
    int32_t limit;
    vb_choice choice;
    const int32_t *stop; /* of the target */
    size_t n_stop;
} vb_drafter_text_params;

/* A model whose vocabulary is not the target's: it reads and writes through text. q is one-hot. */
int vb_drafter_text(vb_drafter *out, const vb_drafter_text_params *params, vb_error *err);

typedef struct vb_drafter_ngram_params {
    int max, min;      /* lengths of the suffix looked up */
    vb_law_source law; /* `allows` alone is asked: drafting ends before what the mask forbids */
    int32_t limit;     /* ids below this are drafted */
    vb_choice choice;
    size_t n_ctx; /* positions in its index */
    const int32_t *stop;
    size_t n_stop;
} vb_drafter_ngram_params;

/* Prompt lookup: the longest suffix of the path, `max` down to `min` tokens, that occurred before; the tokens
 * that followed its latest occurrence. q is one-hot. Each token costs O(1). Reference: Saxena, "Prompt lookup
 * decoding", 2023 (github.com/apoorvumang/prompt-lookup-decoding). */
int vb_drafter_ngram(vb_drafter *out, const vb_drafter_ngram_params *params, vb_error *err);

typedef struct vb_drafter_suffix_params {
    int min; /* tokens of the shortest match that proposes */
    const vb_corpus *corpus;
    const vb_drafter *before; /* proposes where the match is shorter. Taken over; NULL: nobody does */
    vb_law_source law;        /* as for n-grams */
    int32_t limit;
    vb_choice choice;
    size_t n_ctx;
    const int32_t *stop;
    size_t n_stop;
} vb_drafter_suffix_params;

/* What followed the longest repeat (suffix.h), at most twice its length. q is one-hot. */
int vb_drafter_suffix(vb_drafter *out, const vb_drafter_suffix_params *params, vb_error *err);

/* Proposes nothing itself: what must follow is proposed by the loop. */
vb_drafter vb_drafter_none(void);

/* The weight of a law that knows one id only. */
static inline uint64_t vb_one_hot(vb_choice choice) {
    return choice == VB_CHOOSE_GRID ? VB_BLOCK_Q : 1;
}

static inline bool vb_is_stop(const int32_t *stop, size_t n_stop, int32_t id) {
    for (size_t i = 0; i < n_stop; i++)
        if (stop[i] == id) return true;
    return false;
}

/* Does the last draft end the output? */
static inline bool vb_proposal_ends(const vb_proposal *o, const int32_t *stop, size_t n_stop) {
    return o->n > 0 && vb_is_stop(stop, n_stop, o->drafted[o->n - 1].id);
}

#endif
