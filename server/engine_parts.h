/* engine_parts.h - inside of the engine: engine.c opens and closes it, queue.c takes requests in, slots.c
 * keeps the sequences, steps.c computes, turns.c says who reads how much of a prompt. Internal to the server.
 *
 * Who may touch what: everything under `mutex` by any thread that holds it, the rest of an open engine by its
 * own thread alone. A job belongs to the queue until its slot takes it, then to the engine's thread; only
 * `cancelled` and `next_live` stay under the mutex. */
#ifndef VERBATIM_SERVER_ENGINE_PARTS_H
#define VERBATIM_SERVER_ENGINE_PARTS_H

#include "base/base.h"
#include "engine/context.h"
#include "server/engine.h"

#include <pthread.h>
#include <stdatomic.h>

enum { VBS_MAX_GAMMA = 32, VBS_MAX_SLOTS = 64 };

struct vbs_job {
    vbs_job *next;      /* in the queue, or in a list that one thread holds */
    vbs_job *next_live; /* of all accepted ones whose on_end has not returned */
    bool cancelled;
    uint64_t number;     /* of the accepted ones, in order */
    vbs_end ended;       /* of one that never got a slot */
    vbs_request r;       /* its pointers lead to the copies below */
    int32_t *prompt;     /* (n_prompt) */
    vb_logit_bias *bias; /* (n_bias) */
    int32_t *breakers;   /* (n_dry_breakers) */
    int32_t *stop;       /* (n_stop) every id that ends it, the model's own among them */
    size_t n_stop;
    double submitted, started, prompted; /* vb_now() at acceptance, at the slot, when the prompt was in */
    double first;                        /* when its first tokens were there; 0: not yet */
    int32_t stop_id;
    size_t cached, output;
    vb_stats beyond; /* what its vb_spec counted and is not the request's (vbs_report) */
};

/* One sequence's place: its caches, which outlive the request so that the next one may start from them. */
typedef struct vbs_slot {
    vb_context *target, *draft; /* draft NULL: none */
    vbs_job *job;               /* NULL: free */
    vb_spec *spec;
    vb_guide *guide; /* of a job with a constraint, and as a mask of spec */
    vb_mask mask;
    bool cancelled;  /* the job's, as of the last look under the mutex */
    size_t read;     /* tokens of the prompt that are evaluated; after all but the last come the steps */
    int32_t *tokens; /* (n_ctx + 1): of a free slot, what its caches hold prefixes of */
    size_t n_tokens;
    int32_t *draft_tokens; /* (n_draft_tokens) through text: of a free slot, what the draft's cache holds */
    size_t n_draft_tokens;
    uint64_t used; /* when it was last freed, in requests; the slot of the lowest is emptied first */
} vbs_slot;

typedef struct vbs_file {
    vb_gguf *gguf;
    vb_tokenizer *tokenizer;
    vb_model *model;
} vbs_file;

/* One who reads a prompt, for vbs_divide. */
typedef struct vbs_reader {
    size_t left;  /* tokens of its prompt, at least 1 */
    int behind;   /* the index of the older reader that it waits for, or -1 */
    size_t piece; /* out: how many it reads in this round; of all together at most the budget */
    size_t rank;  /* working memory */
} vbs_reader;

struct vbs_engine {
    vbs_file target, draft; /* draft.model NULL: none */
    int32_t draft_vocab;
    bool through_text; /* the draft's vocabulary is another one */
    vb_draft alone;    /* who drafts where no model does */
    int suffix_min;    /* matches that are copied in front of the model, or alone */
    vb_corpus *corpus; /* NULL: none */
    vb_costs costs;    /* where somebody drafts */
    uint64_t drafts_hash;
    int n_slots, n_queue, n_ctx;
    const vb_kernels *kernels; /* of all contexts */
    size_t batch;              /* rows of one pass */
    vbs_slot *slots;           /* (n_slots) */
    uint64_t ended;            /* requests so far */
    pthread_t thread;
    bool started;
    atomic_bool closing; /* set under the mutex; read by a forward pass in progress, which it stops */

    pthread_mutex_t mutex;
    pthread_cond_t news;
    bool draining;
    vbs_job *first, *last; /* the queue */
    vbs_job *live;
    int n_live;
    vbs_metrics metrics; /* what the engine's thread counted, as of its last round */
    vbs_metrics counts;  /* requests, refused, finished, cancelled, failed */

    vbs_metrics m; /* the engine's thread counts here */
    /* The round in progress. */
    vbs_slot *reading[VBS_MAX_SLOTS];
    vbs_reader readers[VBS_MAX_SLOTS]; /* (of the same) */
    vbs_slot *taking_part[VBS_MAX_SLOTS];
    vb_step_item items[VBS_MAX_SLOTS];
    vb_error errors[VBS_MAX_SLOTS];
    vbs_token tokens[VBS_MAX_GAMMA + 1];
    vbs_top top[(VBS_MAX_GAMMA + 1) * VBS_MAX_TOP];
};

/* queue.c. All but vbs_queue_end with the mutex held. */
/* The next to take a slot, beside those of the list `starting`, which take theirs now. NULL: nobody waits. */
vbs_job *vbs_queue_pop(vbs_engine *e, const vbs_job *starting);
/* The first that was cancelled while it waited, or any on closing; NULL: none. */
vbs_job *vbs_queue_pop_ended(vbs_engine *e, vbs_end *why);
/* Calls on_end, then forgets and frees the job. */
void vbs_queue_end(vbs_engine *e, vbs_job *job, vbs_end end, const vb_error *error, const vb_stats *stats);

/* slots.c */
int vbs_slot_open(vbs_engine *e, vbs_slot *slot, const vbs_engine_params *ep, const vb_context_params *p,
                  vb_error *err);
void vbs_slot_close(vbs_slot *slot);
uint64_t vbs_slot_bytes(const vbs_slot *slot); /* of its contexts, now */
/* The free slot to take: one that the prompt continues, else the one left longest ago. NULL: none is free. */
vbs_slot *vbs_slot_for(vbs_engine *e, const vbs_job *job);
/* Gives the job the slot. On error the slot is free and the job is the caller's. */
int vbs_slot_take(vbs_engine *e, vbs_slot *slot, vbs_job *job, vb_error *err);
/* The older request that is reading what this one's prompt shares with its own, beyond what this one has
 * read: this one waits for it, and copies it then. NULL: there is none. */
const vbs_slot *vbs_slot_waits_for(const vbs_engine *e, const vbs_slot *slot);
/* Copies from another slot's caches what they hold of this one's prompt beyond what it has read, if that is
 * worth it. */
void vbs_slot_share(vbs_engine *e, vbs_slot *slot);
/* Ends the job and frees the slot; its caches stay. */
void vbs_slot_end(vbs_engine *e, vbs_slot *slot, vbs_end end, const vb_error *error);

/* describe.c: calls on_step. False: the request ends here. *step is cut to what belongs to the request, as
 * are the counts of job and slot. */
/* Adds the drafts from `from` on to the counts of their places, each on its own path. */
void vbs_count_places(const vb_step *step, int from, uint64_t tested[32], uint64_t accepted[32]);
bool vbs_report(vbs_engine *e, vbs_slot *slot, vb_step *step);

/* turns.c: how the budget of a round is divided among those who read their prompts, the oldest first in the
 * list: a quarter of it is the oldest's, the rest goes to the shortest rests first. */
void vbs_divide(vbs_reader *readers, size_t n, size_t budget);

/* steps.c: the engine's thread. */
void *vbs_engine_run(void *engine);

#endif
