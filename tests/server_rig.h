/* server_rig.h - clients of the server's engine, for its tests: small models, requests of many kinds, what
 * came of each, and what the same request gives alone. */
#ifndef SERVER_RIG_H
#define SERVER_RIG_H

#include "base/base.h"
#include "server/engine.h"
#include "tests/gguf_writer.h"

#include <pthread.h>

enum { N_CTX = 192, MOST = 256 };

/* A target, and a draft that agrees with it some of the time, as files: group fixtures. */
extern char target_path[256], draft_path[256];
int write_models(void **state);
int remove_models(void **state);

typedef enum drafting { NOBODY, MODEL, NGRAM } drafting;
vbs_engine *open_engine(drafting who, int slots, int queue);
/* The same over other files. */
vbs_engine *open_engine_of(const char *target, const char *draft, drafting who, int slots, int queue);

/* ---------------------------------------------------------------------- clients */

typedef struct client {
    vbs_engine *engine;
    vbs_request r;
    vbs_job *job;
    int32_t prompt[MOST];
    /* What came, written by the engine's thread, read after `ended`. */
    size_t n, steps, step_calls, prompt_calls, prompt_done;
    int32_t id[MOST];
    double logprob[MOST], p[MOST], q[MOST];
    int n_top[MOST];
    vbs_top top[MOST][4];
    vb_origin origin[MOST];
    size_t drafted, accepted, rejections;
    bool stopped, wrong, torn; /* torn: the last step was not kept whole */
    size_t hang_up_after;      /* tokens after which on_step says false; 0: never */
    size_t cut_after;          /* the same, and what a step has beyond them is left out */
    vbs_result result;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int ended;
    bool held; /* on_step waits while this is set */
} client;

/* A request: `n_prompt` tokens by its seed, which it shares with every other one of that seed up to the
 * shorter one's length. */
client *new_client(uint64_t seed, size_t n_prompt, vb_accept accept, int gamma, double temperature,
                   size_t max_tokens);
/* Number i of a mixture of rules, gammas, temperatures and lengths. */
client *mixed_client(size_t i, uint64_t salt);
void submit(vbs_engine *e, client *c);
/* Until the client has `n` tokens, or has ended. */
void wait_tokens(client *c, size_t n);
void wait_end(client *c);
bool has_ended(client *c);
/* on_step waits while this is set, and with it the engine. */
void hold(client *c, bool held);
/* Until on_step has been called, or waits to be let go. */
void wait_step(client *c);
/* Tokens of its prompt that were read, so far. */
size_t read_so_far(client *c);
/* Frees one that has ended; fails if anything was reported wrongly. */
void drop(client *c);

/* ---------------------------------------------------------------------- the same alone */

typedef struct alone {
    vb_gguf *gguf[2];
    vb_model *model[2];
    vb_context *context[2];
    vb_tokenizer *tokenizer;
    const int32_t *stop;
    size_t n_stop;
} alone;

alone open_alone(void);
void close_alone(alone *a);
/* The client got, token for token and bit for bit, what vb_spec gives it on empty caches: all of it, or its
 * beginning when it was cut short. */
void expect_as_alone(alone *a, const client *c, drafting who);

#endif
