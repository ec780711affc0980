/* spec_rig.h - generations on real contexts, for the tests of speculation: small seeded models, a run with
 * its checks, a comparison of two runs. */
#ifndef SPEC_RIG_H
#define SPEC_RIG_H

#include "tests/gguf_writer.h"

/* ---------------------------------------------------------------------- models */

typedef struct loaded {
    vb_gguf *gguf;
    vb_model *model;
    vb_context *context;
} loaded;

void load(loaded *m, const char *path, int n_ctx);
void load_tiny(loaded *m, const gw_model_spec *spec, int n_ctx);
void unload(loaded *m);

/* A target in Q8_0, a draft that agrees with it some of the time, the target again for drafting by itself. */
typedef struct rig_models {
    loaded target, draft, self;
    loaded check, check_draft; /* contexts that never speculate */
} rig_models;
extern rig_models rig;
int open_rig(void **state);
int close_rig(void **state);

/* Evaluations to go until a context of `load` is cancelled; -1: never. */
extern int cancel_after;

/* ---------------------------------------------------------------------- runs */

#define MOST 160

typedef enum who { ALONE, BY_MODEL, BY_ITSELF, BY_NGRAM, BY_FORCED, BY_SUFFIX } who;
extern const char *const who_name[];

typedef struct job {
    vb_context *target, *draft, *self;
    vb_sampling sampling;
    vb_accept accept;
    who by;
    int gamma, n;
    int tree[VB_TREE_DEPTH]; /* vb_spec_params.tree */
    const vb_costs *costs;   /* of VB_GAMMA_AUTO */
    const int32_t *prompt;
    size_t n_prompt;
    const int32_t *stop;
    size_t n_stop;
    const vb_mask *mask; /* NULL: none */
    unsigned vary;       /* != 0: max_emit varies from step to step, by this seed */
    int suffix_min;      /* vb_spec_params.suffix_min */
    const vb_tokenizer *target_tokenizer, *draft_tokenizer; /* the model drafts through text */
    int resume_at; /* != 0: after so many steps another vb_spec goes on from what the caches hold */
    int cancels;   /* != 0: every step is interrupted first, at various places */
} job;

typedef struct outcome {
    int n, rc; /* rc: of the last step */
    int32_t id[MOST];
    double logprob[MOST];
    bool stopped;
    vb_stats stats;
    uint64_t branched;                    /* drafts that do not follow the one before them in the list */
    uint64_t copied_at[32], drawn_at[32]; /* drafts by their place: copies, and others */
    uint8_t hash[16], draft_hash[16];
    int draft_length;
} outcome;

#define N_PROMPT 11
extern const int32_t prompt[N_PROMPT];

/* 24 tokens after `prompt`, with the default sampling parameters at this temperature. */
job a_job(vb_accept accept, who by, int gamma, double temperature, uint64_t seed);
vb_spec *open_job(const job *j); /* on emptied caches */
/* Runs a job; after each step checks what every step promises. */
void run(const job *j, outcome *o);
/* Fails unless tokens, log-probabilities and the target's cache are the same. */
void same(const outcome *a, const outcome *b, const job *j);

#endif
