/* exchange.h - one request being answered: its choices as jobs of the engine, and what they have produced so
 * far.
 *
 * The engine's thread turns tokens into text, told apart into content, reasoning and calls of tools where the
 * request has any (splitter.h; stop strings end a generation there, at the token that completes them in the
 * content), and puts both into a box per choice; the connection's thread empties the boxes, as a stream
 * or at the end. The engine's thread never waits for a client. */
#ifndef VERBATIM_SERVER_EXCHANGE_H
#define VERBATIM_SERVER_EXCHANGE_H

#include "server/engine.h"
#include "server/splitter.h"

#include <pthread.h>

typedef struct vbs_exchange vbs_exchange;

typedef struct vbs_out {
    int32_t id;
    vb_origin origin;
    double logprob, p, q;
    size_t top;       /* its alternatives start here in vbs_box.tops */
    size_t n_pieces;  /* how many of vbs_box.pieces this token let out */
    uint64_t from;    /* where its own bytes start in all that was generated */
    int32_t rejected; /* the draft that this token replaced; -1: none */
    double rejected_p, rejected_q;
    int n_top;
    int drafted, tested, accepted; /* of the step whose last token this is; drafted -1: not a last one */
} vbs_out;

typedef struct vbs_box {
    vbs_out *tokens; /* (n) */
    size_t n, room;
    vbs_top *tops; /* (n_tops) */
    size_t n_tops, tops_room;
    vbs_pieces pieces;
} vbs_box;

typedef struct vbs_choice {
    vbs_exchange *x;
    int index;
    uint64_t seed;
    vbs_job *job;
    vbs_splitter splitter; /* the engine's thread */
    /* Behind the exchange's lock. */
    vbs_box box;
    bool cancelled, ended;
    vbs_result result; /* once ended */
    bool stopped;      /* by a stop string, or because one call was enough */
    uint64_t cut;      /* where: tokens from there on are not part of the answer */
    size_t calls, reasoning_tokens;
    bool failed; /* out of memory on the way */
} vbs_choice;

struct vbs_exchange {
    const vbs_ask *ask;
    vbs_engine *engine;
    const vb_tokenizer *tokenizer;
    vbs_choice *choices; /* (n) */
    int n;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool news;
    size_t prompt_done, prompt_total; /* of the choice that is reading its prompt */
    bool shutdown, timed_out, gone;   /* why choices were cancelled */
    double began;
};

/* What prompts are continued, and how the model writes what is no content. */
typedef struct vbs_work {
    const vbs_prompt *prompts; /* (n_prompts) */
    size_t n_prompts;
    const vb_calls *calls;     /* NULL: all is content */
    bool thinking;             /* the prompt ends inside reasoning */
    vb_constraint *constraint; /* what every choice must look like; NULL: anything */
    /* It begins behind the id `after`, where the first id is `opens` or that is -1; -1: at once. */
    int32_t after, opens;
} vbs_work;

/* Submits every choice: prompts[i] for the i-th prompt. All or none runs. Returns 0 or a VB_ERR_*:
 * VB_ERR_FULL when the queue is. The ask outlives the exchange. */
int vbs_exchange_open(vbs_exchange **out, vbs_engine *e, const vbs_ask *ask, const vbs_work *work,
                      vb_error *err);
/* Cancels what still runs, waits for it, and frees everything. */
void vbs_exchange_close(vbs_exchange *x);
/* Waits for news, at most `seconds`. True if there are some, or all choices have ended. */
bool vbs_exchange_wait(vbs_exchange *x, double seconds);
bool vbs_exchange_ended(vbs_exchange *x);
void vbs_exchange_cancel(vbs_exchange *x);
/* Puts what choice c has produced since the last time into *into (whose own content is dropped; its memory is
 * swapped). Returns true if the choice had ended then: nothing follows. */
bool vbs_choice_take(vbs_choice *c, vbs_box *into);
void vbs_box_free(vbs_box *b);
/* Appends a box to another, offsets adjusted. */
int vbs_box_append(vbs_box *to, const vbs_box *from, vb_error *err);
/* "stop", "tool_calls" or "length"; "error" if it ended otherwise. */
const char *vbs_choice_reason(const vbs_choice *c);

#endif
