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

/* How tokens are chosen from a law. */
typedef enum vb_choice {
    VB_CHOOSE_RACE, /* coupled, greedy */
    VB_CHOOSE_COIN, /* rejection */
    VB_CHOOSE_GRID  /* block: as VB_CHOOSE_COIN after rescaling q to VB_BLOCK_Q */
} vb_choice;

/* The law at a prefix: vb_law_distribution, or a table in the tests. */
typedef struct vb_law_source {
    void *self;
    int32_t capacity; /* most ids in one distribution */
    int (*at)(void *self, const float *logits, int32_t limit, const int32_t *prefix, size_t n_prefix,
              const vb_dist_space *space, vb_dist *out, vb_error *err);
} vb_law_source;

typedef struct vb_proposal {
    int max;                    /* in: at most so many tokens */
    const vb_dist_space *space; /* in: (max) room for the laws */
    int n;                      /* out */
    vb_dist *q;                 /* out: (n) */
    vb_drafted *drafted;        /* out: (n) id, draw, has_draw */
} vb_proposal;

typedef struct vb_drafter {
    void *self;
    /* Takes in path[0..n) (text given from outside). No room is not an error: there will be no drafts. */
    int (*sync)(void *self, const int32_t *path, size_t n, vb_error *err);
    /* Proposes what follows path[0..n); writes the tokens to path[n..]. A drafter that has to evaluate a
     * model for it only begins here: `wants` then says what is to be evaluated, so that many drafters'
     * evaluations can share a pass, and `resume` goes on with the result, until `wants` says no. Meanwhile
     * path and out stay where they are. */
    int (*draft)(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err);
    /* Only path[0..n) still holds: forgets whatever was taken in beyond. Called after every step, failed ones
     * too. */
    void (*settle)(void *self, size_t n);
    void (*close)(void *self);
    bool (*wants)(void *self, vb_lm_call *call); /* NULL: nothing, ever. Fills in lm, tokens, n and want */
    int (*resume)(void *self, vb_error *err);
} vb_drafter;

/* draft, and all that it wants evaluated, one after the other. */
int vb_drafter_draft(const vb_drafter *d, int32_t *path, size_t n, vb_proposal *out, vb_error *err);

typedef struct vb_drafter_model_params {
    vb_lm lm; /* its cache may hold a prefix of the path already */
    vb_law_source law;
    int32_t limit; /* ids below this are drafted; at most lm.n_vocab */
    vb_choice choice;
    uint64_t seed;
    const vb_coins *coins;
    const int32_t *stop; /* drafting ends after these */
    size_t n_stop;
} vb_drafter_model_params;

/* A smaller model (or the same one) in a context of its own. Copies params; `stop` and `coins` must outlive
 * it. */
int vb_drafter_model(vb_drafter *out, const vb_drafter_model_params *params, vb_error *err);

/* Prompt lookup: the longest suffix of the path, ngram_max down to ngram_min tokens, that occurred before;
 * the tokens that followed its latest occurrence. q is one-hot. Holds an index of `n_ctx` positions; each
 * token costs O(1). Reference: Saxena, "Prompt lookup decoding", 2023
 * (github.com/apoorvumang/prompt-lookup-decoding). */
int vb_drafter_ngram(vb_drafter *out, int ngram_max, int ngram_min, int32_t limit, vb_choice choice,
                     size_t n_ctx, const int32_t *stop, size_t n_stop, vb_error *err);

static inline bool vb_is_stop(const int32_t *stop, size_t n_stop, int32_t id) {
    for (size_t i = 0; i < n_stop; i++)
        if (stop[i] == id) return true;
    return false;
}

#endif
