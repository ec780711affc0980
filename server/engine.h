/* engine.h - requests in, tokens out: the part of the server that knows models and nothing of HTTP.
 *
 * One thread of its own computes for everybody: it keeps up to `slots` requests running over one copy of the
 * weights, evaluates what they need together in one batch per step, and calls each request back. What a
 * request gets does not depend on the others: the bits are those of running alone (P1, P2, P4). Requests
 * beyond the slots wait in a bounded queue, first come first served; those that belong together (group) hold
 * at most half of the slots while others wait.
 *
 * All functions may be called from any thread. Callbacks come from the engine's thread, must be quick and
 * must not call back into the engine. */
#ifndef VERBATIM_SERVER_ENGINE_H
#define VERBATIM_SERVER_ENGINE_H

#include "include/verbatim.h"

#define VBS_MAX_TOP 20 /* alternatives reported per token, the limit of the API that the server speaks */

typedef struct vbs_engine vbs_engine;
typedef struct vbs_job vbs_job;
struct vbs_step;
struct vbs_result;

typedef struct vbs_engine_params {
    const char *target, *draft;                  /* paths of GGUF files; draft NULL: `alone` drafts */
    const char *pre;                             /* as in vb_tokenizer_params, of both */
    const vb_model_params *target_as, *draft_as; /* how they are opened; NULL: as their files say */
    vb_draft alone;                              /* VB_DRAFT_NGRAM, VB_DRAFT_SUFFIX, or nobody (0) */
    int suffix_min;                              /* as in vb_spec_params */
    const char *const *corpus;                   /* (n_corpus) text files that copies are made from, too */
    size_t n_corpus;
    bool draft_text;    /* the draft's vocabulary may be another one: it drafts through text then */
    size_t draft_vocab; /* ids that the draft model proposes; 0: all */
    const char *const *draft_vocab_from; /* (n_draft_vocab_from) files whose most frequent ids they are */
    size_t n_draft_vocab_from;
    int slots;           /* requests computed at the same time. 0: 4 */
    int queue;           /* requests that may wait for a slot. 0: 32 */
    int n_ctx;           /* positions of each slot. 0: as trained, at most 16384, within the memory at hand */
    int n_threads;       /* as there */
    const char *kernels; /* as there */
    vb_activations activations;
    vb_type k_type, v_type, draft_k_type, draft_v_type; /* of caches: VB_F16 as in vb_context_defaults, ... */
    const char *repack;                                 /* "auto" (NULL), "on", "off" */
    const vb_costs *costs; /* what passes cost, where somebody drafts. Copied. NULL: measured */
    /* Loading: what is being done, and how much of it (0..1). May be NULL. */
    void (*progress)(void *user, const char *what, double fraction);
    /* Something that the operator should know and that stops nothing, in one line. May be NULL. */
    void (*note)(void *user, const char *text);
    void *user;
} vbs_engine_params;

/* What a request wants. Everything pointed at is copied by vbs_submit. */
typedef struct vbs_request {
    const int32_t *prompt; /* at least one token */
    size_t n_prompt;
    vb_sampling sampling; /* its seed is the request's own key */
    vb_accept accept;
    int gamma;               /* 0: the target alone; VB_GAMMA_AUTO */
    int tree[VB_TREE_DEPTH]; /* as vb_spec_params.tree, instead of gamma where a draft model is; {0}: gamma */
    size_t max_tokens;       /* output tokens; 0: as many as the context holds */
    int n_top;               /* alternatives wanted with each token, 0..VBS_MAX_TOP */
    bool want_logprobs;
    bool want_law;    /* the alternatives are those of the law that the token was drawn from, with their p */
    bool want_drafts; /* report rejected drafts too */
    bool ignore_stop; /* go on after an id that ends a generation by itself (vb_stop_ids) */
    const int32_t *stop; /* further ids that end it, ignore_stop or not */
    size_t n_stop;
    /* What the text must look like; NULL: anything. Must live until on_end has returned. */
    vb_constraint *constraint;
    int32_t after, opens; /* as in vb_guide_params, one id each; -1: none */
    const void *group;    /* the same for all that belong together (choices of one answer). NULL: none */

    /* A number of tokens, one step's worth, in order. False: the request ends here (a stop string was met,
     * the client has gone); on_end follows with VBS_END_CALLER. *kept, at first all of them, is how many of
     * the tokens belong to the request: what a step drafted beyond a stop string does not, and is in no count
     * of the result and of the metrics, as if the target alone had ended there. */
    bool (*on_step)(void *user, const struct vbs_step *step, size_t *kept);
    /* The prompt is being read: `done` of `total` tokens, of which `cached` came from the prefix cache. May
     * be NULL. */
    void (*on_prompt)(void *user, size_t done, size_t total, size_t cached);
    /* Comes exactly once for every accepted request, as its last callback. */
    void (*on_end)(void *user, const struct vbs_result *result);
    void *user;
} vbs_request;

typedef struct vbs_top {
    int32_t id;
    double value; /* log-probability as vbs_token.logprob; with want_law probability as vbs_token.p */
} vbs_top;

typedef struct vbs_token {
    int32_t id;
    vb_origin origin;
    bool stop;      /* an id that ends the generation: not part of the text */
    double logprob; /* log softmax of the target's raw logits (P5); NaN when not asked for */
    double p, q; /* after truncation: probability under the target; under the drafter (NaN if not drafted) */
    int n_top;   /* as many as were asked for; of a law with fewer ids, those */
    const vbs_top *top; /* most likely first; (n_top) */
} vbs_token;

typedef struct vbs_step {
    size_t n;
    const vbs_token *tokens; /* (n) emitted */
    int n_drafted, n_tested, n_accepted;
    int32_t rejected; /* the draft that was rejected in this step (with want_drafts), or -1 */
    double rejected_p, rejected_q;
} vbs_step;

typedef enum vbs_end {
    VBS_END_STOP = 0, /* an id that ends the generation */
    VBS_END_LENGTH,   /* max_tokens, or the context is full */
    VBS_END_CALLER,   /* on_step said so, or vbs_cancel */
    VBS_END_SHUTDOWN, /* the engine closes */
    VBS_END_ERROR
} vbs_end;

typedef struct vbs_result {
    vbs_end end;
    vb_error error; /* with VBS_END_ERROR */
    size_t prompt_tokens, cached_tokens, output_tokens;
    vb_stats stats; /* drafted, tested, accepted and so on, of this request alone */
    double queue_s, prompt_s, decode_s;
    double first_s;  /* from acceptance to the first tokens; NaN: there were none */
    int32_t stop_id; /* with VBS_END_STOP: the id that ended it */
} vbs_result;

/* For /metrics and /health. Counters since the start. prompt_tokens are all tokens of prompts that were
 * begun, and cached_tokens those of them that did not have to be evaluated. Seconds are of the engine's
 * thread: a pass that many requests share counts once. */
typedef struct vbs_metrics {
    bool ready; /* false while models load */
    uint64_t requests, finished, cancelled, refused, failed;
    uint64_t prompt_tokens, cached_tokens, output_tokens, steps, drafted, tested, accepted;
    uint64_t tested_at[32], accepted_at[32];
    double draft_s, verify_s, sample_s, prompt_s, busy_s;
    double first_s;   /* from acceptance to the first token, of all that had one together */
    uint64_t first_n; /* so many */
    int running, waiting, slots, queue;
    uint64_t weight_bytes, context_bytes;
} vbs_metrics;

/* Loads the models and starts the thread. Errors: those of opening models and contexts, VB_ERR_VOCAB. */
int vbs_engine_open(vbs_engine **out, const vbs_engine_params *p, vb_error *err);
/* Ends all requests with VBS_END_SHUTDOWN (each gets its on_end) and frees everything. */
void vbs_engine_close(vbs_engine *e);
/* Takes no new requests any more; those running and waiting go on. */
void vbs_engine_drain(vbs_engine *e);

const vb_tokenizer *vbs_tokenizer(const vbs_engine *e);
const vb_gguf *vbs_target_file(const vbs_engine *e);
const vb_model *vbs_target(const vbs_engine *e);
const vb_model *vbs_draft(const vbs_engine *e); /* NULL: none */
int vbs_context_size(const vbs_engine *e);      /* positions of a slot */
/* What passes cost here: what gamma auto goes by. NULL: nobody drafts. */
const vb_costs *vbs_costs(const vbs_engine *e);
/* Of all that a proposal depends on besides the request: who drafts, the draft model, its ids and caches,
 * what is copied from, the costs. Under rejection and block the text of a seed depends on it. 0: nobody
 * drafts. */
uint64_t vbs_drafts_hash(const vbs_engine *e);
/* The kernels and threads that compute. */
const char *vbs_kernels(const vbs_engine *e);
int vbs_threads(const vbs_engine *e);
void vbs_metrics_read(vbs_engine *e, vbs_metrics *out);

/* Accepts a request. On success *job names it until its on_end has returned. Errors: VB_ERR_ARGUMENT (a
 * field; a prompt that leaves no room), VB_ERR_FULL: queue full or draining, try again later. */
int vbs_submit(vbs_engine *e, const vbs_request *r, vbs_job **job, vb_error *err);
/* Ends the request early: its on_end follows with VBS_END_CALLER. Harmless while on_end runs;
 * not after it. */
void vbs_cancel(vbs_engine *e, vbs_job *job);

#endif
