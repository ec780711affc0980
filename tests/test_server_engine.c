/* test_server_engine.c - the server's engine: what a request gets is what it gets alone, whoever else is
 * there; requests end when and how they should; nothing is lost, and nothing comes after the end. */
#include "base.h"
#include "engine.h"
#include "gguf_writer.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { N_CTX = 192, MOST = 256 };

static char target_path[256], draft_path[256];

/* A target, and a draft that agrees with it some of the time. */
static int write_models(void **state) {
    (void)state;
    gw_model_spec spec = {.dim = 64, .layers = 2, .seed = 7, .type = VB_Q8_0, .branch = 0.6f, .n_ctx = 512};
    gw_temp_path(target_path);
    gw_temp_path(draft_path);
    if (gw_tiny_model(target_path, &spec)) return -1;
    spec.noise = 0.12f;
    spec.noise_seed = 3;
    return gw_tiny_model(draft_path, &spec);
}

static int remove_models(void **state) {
    (void)state;
    return unlink(target_path) | unlink(draft_path);
}

typedef enum drafting { NOBODY, MODEL, NGRAM } drafting;

static vbs_engine *open_engine(drafting who, int slots, int queue) {
    vbs_engine *e = NULL;
    vb_error err = {0};
    const vbs_engine_params p = {.target = target_path,
                                 .draft = who == MODEL ? draft_path : NULL,
                                 .ngram = who == NGRAM,
                                 .slots = slots,
                                 .queue = queue,
                                 .n_ctx = N_CTX,
                                 .n_threads = 2,
                                 .kv_type = VB_F16};
    if (vbs_engine_open(&e, &p, &err)) fail_msg("%s", err.message);
    return e;
}

/* ---------------------------------------------------------------------- a client */

typedef struct client {
    vbs_engine *engine;
    vbs_request r;
    vbs_job *job;
    int32_t prompt[MOST];
    /* What came, written by the engine's thread, read after `ended`. */
    size_t n, steps, prompt_calls, prompt_done;
    int32_t id[MOST];
    double logprob[MOST], p[MOST], q[MOST];
    vb_origin origin[MOST];
    size_t drafted, accepted, rejections;
    bool stopped, wrong;
    size_t hang_up_after; /* tokens after which on_step says false; 0: never */
    vbs_result result;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int ended;
    bool held; /* on_step waits while this is set */
} client;

static void check_token(client *c, const vbs_token *t) {
    c->wrong |= c->r.want_logprobs ? !(t->logprob <= 0) : !isnan(t->logprob);
    c->wrong |= !(t->p > 0 && t->p <= 1);
    c->wrong |= t->origin == VB_FROM_DRAFT ? !(t->q > 0 && t->q <= 1) : !isnan(t->q);
    c->wrong |= t->n_top != c->r.n_top;
    for (int i = 0; i < t->n_top; i++) {
        if (i > 0) c->wrong |= t->top[i].logprob > t->top[i - 1].logprob;
        if (t->top[i].id == t->id && c->r.want_logprobs) c->wrong |= t->top[i].logprob != t->logprob;
    }
}

static bool on_step(void *user, const vbs_step *step) {
    client *c = user;
    pthread_mutex_lock(&c->mutex);
    while (c->held) pthread_cond_wait(&c->cond, &c->mutex);
    c->wrong |= c->ended || c->stopped || step->n == 0 || c->n + step->n > MOST;
    for (size_t i = 0; i < step->n && c->n < MOST; i++) {
        const vbs_token *t = &step->tokens[i];
        check_token(c, t);
        c->id[c->n] = t->id;
        c->logprob[c->n] = t->logprob;
        c->p[c->n] = t->p;
        c->q[c->n] = t->q;
        c->origin[c->n++] = t->origin;
        c->stopped |= t->stop;
    }
    c->steps++;
    c->drafted += (size_t)step->n_drafted;
    c->accepted += (size_t)step->n_accepted;
    c->rejections += step->rejected >= 0;
    c->wrong |= (step->rejected >= 0) != (c->r.want_drafts && step->n_accepted < step->n_tested);
    const bool more = !c->hang_up_after || c->n < c->hang_up_after;
    pthread_cond_broadcast(&c->cond);
    pthread_mutex_unlock(&c->mutex);
    return more;
}

static void on_prompt(void *user, size_t done, size_t total, size_t cached) {
    client *c = user;
    pthread_mutex_lock(&c->mutex);
    c->wrong |= c->ended || total != c->r.n_prompt || done < c->prompt_done || cached > done || done > total;
    c->prompt_done = done;
    c->prompt_calls++;
    pthread_cond_broadcast(&c->cond);
    pthread_mutex_unlock(&c->mutex);
}

static void on_end(void *user, const vbs_result *result) {
    client *c = user;
    pthread_mutex_lock(&c->mutex);
    c->result = *result;
    c->ended++;
    pthread_cond_broadcast(&c->cond);
    pthread_mutex_unlock(&c->mutex);
}

/* A request: `n_prompt` tokens by its seed, which it shares with every other one of that seed up to the
 * shorter one's length. */
static client *new_client(uint64_t seed, size_t n_prompt, vb_accept accept, int gamma, double temperature,
                          size_t max_tokens) {
    client *c = calloc(1, sizeof *c);
    assert_non_null(c);
    gw_rng rng = {seed / 4};
    c->prompt[0] = 1;
    for (size_t i = 1; i < n_prompt; i++) c->prompt[i] = 3 + (int32_t)(gw_next(&rng) % 40);
    vb_sampling_defaults(&c->r.sampling);
    c->r.sampling.temperature = temperature;
    c->r.sampling.seed = seed;
    c->r.prompt = c->prompt;
    c->r.n_prompt = n_prompt;
    c->r.accept = accept;
    c->r.gamma = gamma;
    c->r.max_tokens = max_tokens;
    c->r.n_top = (int)(seed % 3) * 2;
    c->r.want_logprobs = seed % 2 == 0;
    c->r.want_drafts = seed % 5 == 0;
    c->r.ignore_stop = seed % 3 == 0;
    c->r.on_step = on_step;
    c->r.on_prompt = on_prompt;
    c->r.on_end = on_end;
    c->r.user = c;
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->cond, NULL);
    return c;
}

static void submit(vbs_engine *e, client *c) {
    vb_error err = {0};
    c->engine = e;
    if (vbs_submit(e, &c->r, &c->job, &err)) fail_msg("%s", err.message);
}

/* Until the client has `n` tokens, or has ended. */
static void wait_tokens(client *c, size_t n) {
    pthread_mutex_lock(&c->mutex);
    while (c->n < n && !c->ended) pthread_cond_wait(&c->cond, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

static void wait_end(client *c) {
    pthread_mutex_lock(&c->mutex);
    while (!c->ended) pthread_cond_wait(&c->cond, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

static void hold(client *c, bool held) {
    pthread_mutex_lock(&c->mutex);
    c->held = held;
    pthread_cond_broadcast(&c->cond);
    pthread_mutex_unlock(&c->mutex);
}

static void drop(client *c) {
    assert_int_equal(c->ended, 1);
    assert_false(c->wrong);
    assert_int_equal(c->result.output_tokens, c->n);
    assert_int_equal(c->result.prompt_tokens, c->r.n_prompt);
    assert_true(c->result.stats.accepted == c->accepted && c->result.stats.drafted == c->drafted);
    assert_true(c->result.queue_s >= 0 && c->result.prompt_s >= 0 && c->result.decode_s >= 0);
    pthread_mutex_destroy(&c->mutex);
    pthread_cond_destroy(&c->cond);
    free(c);
}

/* ---------------------------------------------------------------------- the same alone */

typedef struct alone {
    vb_gguf *gguf[2];
    vb_model *model[2];
    vb_context *context[2];
    vb_tokenizer *tokenizer;
    int32_t stop[64];
    size_t n_stop;
} alone;

static alone open_alone(void) {
    alone a = {0};
    vb_context_params p;
    vb_context_defaults(&p);
    p.n_threads = 1;
    p.n_ctx = N_CTX;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vb_gguf_open(&a.gguf[i], i ? draft_path : target_path, NULL), 0);
        assert_int_equal(vb_model_open(&a.model[i], a.gguf[i], NULL), 0);
        assert_int_equal(vb_context_open(&a.context[i], a.model[i], &p, NULL), 0);
    }
    assert_int_equal(vb_tokenizer_open(&a.tokenizer, a.gguf[0], NULL), 0);
    for (int32_t id = 0; id < vb_tokenizer_size(a.tokenizer); id++)
        if (vb_token_is_stop(a.tokenizer, id) && a.n_stop < 64) a.stop[a.n_stop++] = id;
    return a;
}

static void close_alone(alone *a) {
    vb_tokenizer_close(a->tokenizer);
    for (int i = 0; i < 2; i++) {
        vb_context_close(a->context[i]);
        vb_model_close(a->model[i]);
        vb_gguf_close(a->gguf[i]);
    }
}

/* The client got, token for token and bit for bit, what vb_spec gives it on empty caches: all of it, or its
 * beginning when it was cut short. */
static void expect_as_alone(alone *a, const client *c, drafting who) {
    vb_spec_params p;
    vb_spec *s = NULL;
    vb_error err = {0};
    vb_spec_defaults(&p);
    p.accept = c->r.accept;
    if (c->r.gamma > 0 && who != NOBODY) {
        p.draft = who == MODEL ? VB_DRAFT_MODEL : VB_DRAFT_NGRAM;
        p.gamma = c->r.gamma;
        p.draft_context = who == MODEL ? a->context[1] : NULL;
    }
    if (!c->r.ignore_stop) {
        p.stop = a->stop;
        p.n_stop = a->n_stop;
    }
    for (int i = 0; i < 2; i++) vb_context_truncate(a->context[i], 0, NULL);
    if (vb_spec_open(&s, a->context[0], &c->r.sampling, &p, &err) ||
        vb_spec_prompt(s, c->prompt, c->r.n_prompt, &err))
        fail_msg("%s", err.message);
    size_t n = 0;
    bool stopped = false;
    int rc = 0;
    while (n < c->n && !stopped && !rc) {
        vb_step step;
        rc = vb_spec_step(s, c->r.max_tokens ? c->r.max_tokens - n : SIZE_MAX, &step, &err);
        for (int i = 0; rc == 0 && i < step.n_emitted; i++, n++) {
            stopped = step.emitted[i].stop;
            if (n >= c->n) fail_msg("a step was torn apart");
            if (step.emitted[i].id != c->id[n])
                fail_msg("seed %llu, %s, gamma %d, token %zu: %d, alone %d",
                         (unsigned long long)c->r.sampling.seed, vb_accept_name(c->r.accept), c->r.gamma, n,
                         (int)c->id[n], (int)step.emitted[i].id);
            assert_int_equal(step.emitted[i].origin, c->origin[n]);
            if (c->r.want_logprobs) assert_memory_equal(&step.emitted[i].logprob, &c->logprob[n], 8);
        }
    }
    assert_int_equal(n, c->n);
    switch (c->result.end) {
    case VBS_END_STOP: assert_true(stopped && c->stopped); break;
    case VBS_END_LENGTH: {
        vb_step step;
        if (c->n != c->r.max_tokens || c->n == 0)
            assert_int_equal(vb_spec_step(s, 1, &step, NULL), VB_ERR_FULL);
        break;
    }
    case VBS_END_ERROR: fail_msg("%s", c->result.error.message); break;
    case VBS_END_CALLER:
    case VBS_END_SHUTDOWN: break;
    }
    vb_spec_close(s);
}

/* ---------------------------------------------------------------------- the tests */

static client *mixed_client(size_t i, uint64_t salt) {
    static const vb_accept rules[] = {VB_ACCEPT_COUPLED, VB_ACCEPT_REJECTION, VB_ACCEPT_BLOCK,
                                      VB_ACCEPT_GREEDY};
    const vb_accept rule = rules[i % 4];
    static const size_t lengths[] = {5, 90, 1, 33, 150, 64, 65, 12};
    const double temperature = rule == VB_ACCEPT_GREEDY ? 0 : i % 5 == 0 ? 0 : 0.7 + 0.2 * (double)(i % 3);
    static const int gammas[] = {5, 0, 3, 8, 1, 7};
    return new_client(salt + i, lengths[(i + salt) % 8], rule, gammas[i % 6], temperature,
                      i % 7 == 6 ? 0 : 10 + i % 9);
}

static void as_alone(void **state) {
    (void)state;
    enum { CLIENTS = 24 };
    alone a = open_alone();
    for (int who = NOBODY; who <= NGRAM; who++) {
        for (int slots = 1; slots <= 5; slots += 4) {
            vbs_engine *e = open_engine((drafting)who, slots, CLIENTS);
            client *c[CLIENTS];
            for (size_t i = 0; i < CLIENTS; i++) submit(e, c[i] = mixed_client(i, (uint64_t)who * 100));
            for (size_t i = 0; i < CLIENTS; i++) wait_end(c[i]);
            size_t drafted = 0, accepted = 0, cached = 0;
            for (size_t i = 0; i < CLIENTS; i++) {
                expect_as_alone(&a, c[i], (drafting)who);
                assert_true(c[i]->result.end == VBS_END_LENGTH || c[i]->result.end == VBS_END_STOP);
                assert_int_equal(c[i]->prompt_done, c[i]->r.n_prompt);
                drafted += c[i]->drafted;
                accepted += c[i]->accepted;
                cached += c[i]->result.cached_tokens;
            }
            assert_int_equal(drafted > 0, who != NOBODY);
            assert_int_equal(accepted > 0, who != NOBODY);
            vbs_engine_close(e); /* the last round is counted then at the latest; read before, so not here */
            (void)cached;
            for (size_t i = 0; i < CLIENTS; i++) drop(c[i]);
        }
    }
    close_alone(&a);
}

/* The second request of a prompt, and the next turn of a conversation, start from the caches. */
static void prefix_cache(void **state) {
    (void)state;
    alone a = open_alone();
    for (int who = NOBODY; who <= NGRAM; who++) {
        vbs_engine *e = open_engine((drafting)who, 2, 8);
        client *first = new_client(40, 100, VB_ACCEPT_REJECTION, 5, 0.9, 20);
        first->r.ignore_stop = true;
        submit(e, first);
        wait_end(first);
        assert_int_equal(first->result.cached_tokens, 0);
        client *other = new_client(80, 70, VB_ACCEPT_COUPLED, 0, 0.9, 5); /* takes the other slot */
        submit(e, other);
        wait_end(other);
        assert_true(other->result.cached_tokens <= 1);
        client *again = new_client(40, 100, VB_ACCEPT_REJECTION, 5, 0.9, 20);
        again->r.ignore_stop = true;
        submit(e, again);
        wait_end(again);
        assert_int_equal(again->result.cached_tokens, 99);
        assert_memory_equal(again->id, first->id, sizeof first->id);
        client *turn = new_client(41, 100, VB_ACCEPT_BLOCK, 3, 0.9, 20);
        memcpy(turn->prompt + 100, again->id, 20 * sizeof *again->id); /* what was said, and a new question */
        memcpy(turn->prompt + 120, first->prompt + 1, 10 * sizeof *first->prompt);
        turn->r.n_prompt = 130;
        submit(e, turn);
        wait_end(turn);
        assert_in_range(turn->result.cached_tokens, 119, 120);
        client *branch = new_client(42, 50, VB_ACCEPT_COUPLED, 7, 0.9, 20); /* goes back */
        submit(e, branch);
        wait_end(branch);
        assert_int_equal(branch->result.cached_tokens, 49);
        client *const all[] = {first, other, again, turn, branch};
        for (size_t i = 0; i < 5; i++) expect_as_alone(&a, all[i], (drafting)who);
        vbs_engine_close(e);
        for (size_t i = 0; i < 5; i++) drop(all[i]);
    }
    close_alone(&a);
}

static void ends(void **state) {
    (void)state;
    alone a = open_alone();
    vbs_engine *e = open_engine(MODEL, 1, 3);
    client *busy = new_client(3, 20, VB_ACCEPT_COUPLED, 5, 1, 0),
           *waiting = new_client(6, 20, VB_ACCEPT_COUPLED, 5, 1, 9),
           *gone = new_client(9, 20, VB_ACCEPT_COUPLED, 5, 1, 9),
           *hangs_up = new_client(12, 120, VB_ACCEPT_COUPLED, 5, 1, 0),
           *refused = new_client(15, 20, VB_ACCEPT_COUPLED, 5, 1, 9);
    vb_error err = {0};
    vbs_metrics m;
    hangs_up->hang_up_after = 7;
    hold(busy, true); /* the only slot is taken */
    submit(e, busy);
    submit(e, waiting);
    submit(e, gone);
    submit(e, hangs_up);
    refused->job = (vbs_job *)(void *)refused;
    assert_int_equal(vbs_submit(e, &refused->r, &refused->job, &err), VB_ERR_FULL);
    assert_ptr_equal(refused->job, refused); /* untouched */
    assert_non_null(strstr(err.message, "try again"));
    vbs_metrics_read(e, &m);
    assert_true(m.ready && m.requests == 4 && m.refused == 1 && m.running + m.waiting == 4 && m.slots == 1);
    vbs_cancel(e, gone->job);
    hold(busy, false);
    wait_tokens(busy, 30);
    wait_end(gone); /* while `busy` goes on */
    assert_int_equal(gone->result.end, VBS_END_CALLER);
    assert_int_equal(gone->n, 0);
    wait_end(busy); /* to the end of the context */
    assert_int_equal(busy->result.end, VBS_END_LENGTH);
    assert_int_equal(busy->n, N_CTX + 1 - 20);
    wait_end(waiting);
    wait_end(hangs_up);
    assert_int_equal(hangs_up->result.end, VBS_END_CALLER);
    assert_in_range(hangs_up->n, 7, 7 + 5);
    expect_as_alone(&a, busy, MODEL);
    expect_as_alone(&a, waiting, MODEL);
    expect_as_alone(&a, hangs_up, MODEL);

    vbs_engine_drain(e);
    memset(&err, 0, sizeof err);
    assert_int_equal(vbs_submit(e, &refused->r, &refused->job, &err), VB_ERR_FULL);
    assert_non_null(strstr(err.message, "shutting down"));
    vbs_metrics_read(e, &m);
    assert_true(m.finished == 2 && m.cancelled == 2 && m.failed == 0 && m.refused == 2 && m.running == 0);
    vbs_engine_close(e);
    drop(busy);
    drop(waiting);
    drop(gone);
    drop(hangs_up);
    free(refused);
    close_alone(&a);
}

/* Cancelled while the prompt is read, after some tokens, and at once; the others do not notice. */
static void cancelling(void **state) {
    (void)state;
    alone a = open_alone();
    vbs_engine *e = open_engine(MODEL, 3, 40);
    client *steady[3], *c[24];
    for (size_t i = 0; i < 3; i++)
        submit(e, steady[i] = new_client(3 + 3 * i, 30, VB_ACCEPT_REJECTION, 4, 1, 100));
    for (size_t i = 0; i < 24; i++) {
        c[i] = new_client(60 + i, i % 3 ? 170 : 9, VB_ACCEPT_COUPLED, 5, 1, 0);
        submit(e, c[i]);
        if (i % 4 == 1) wait_tokens(c[i], 1);
        if (i % 4 == 2) wait_tokens(c[i], 4);
        if (i % 4 == 3) {
            pthread_mutex_lock(&c[i]->mutex); /* its prompt is being read */
            while (c[i]->prompt_calls == 0 && !c[i]->ended) pthread_cond_wait(&c[i]->cond, &c[i]->mutex);
            pthread_mutex_unlock(&c[i]->mutex);
        }
        if (!c[i]->ended) vbs_cancel(e, c[i]->job);
    }
    for (size_t i = 0; i < 24; i++) wait_end(c[i]);
    for (size_t i = 0; i < 3; i++) wait_end(steady[i]);
    for (size_t i = 0; i < 3; i++) expect_as_alone(&a, steady[i], MODEL);
    for (size_t i = 0; i < 24; i++) expect_as_alone(&a, c[i], MODEL);
    vbs_engine_close(e);
    for (size_t i = 0; i < 3; i++) drop(steady[i]);
    for (size_t i = 0; i < 24; i++) drop(c[i]);
    close_alone(&a);
}

/* Closing ends what runs and what waits, each once. */
static void closing(void **state) {
    (void)state;
    for (int after = 0; after < 3; after++) {
        vbs_engine *e = open_engine(MODEL, 2, 8);
        client *c[6];
        for (size_t i = 0; i < 6; i++) submit(e, c[i] = new_client(3 * i, 150, VB_ACCEPT_COUPLED, 5, 1, 0));
        if (after) wait_tokens(c[0], after == 1 ? 1 : 10);
        vbs_engine_close(e);
        for (size_t i = 0; i < 6; i++) {
            assert_int_equal(c[i]->ended, 1);
            assert_true(c[i]->result.end == VBS_END_SHUTDOWN || c[i]->result.end == VBS_END_LENGTH);
            drop(c[i]);
        }
    }
}

/* Several threads submit and cancel at the same time. */
typedef struct crowd {
    vbs_engine *e;
    uint64_t salt;
    client *c[8];
} crowd;

static void *one_of_the_crowd(void *arg) {
    crowd *w = arg;
    vbs_metrics m;
    for (size_t i = 0; i < 8; i++) {
        w->c[i] = mixed_client(i, w->salt);
        w->c[i]->wrong |= vbs_submit(w->e, &w->c[i]->r, &w->c[i]->job, NULL) != 0;
        vbs_metrics_read(w->e, &m);
        if (i % 2) wait_end(w->c[i]);
    }
    for (size_t i = 0; i < 8; i++) wait_end(w->c[i]);
    return NULL;
}

static void crowds(void **state) {
    (void)state;
    enum { THREADS = 4 };
    alone a = open_alone();
    vbs_engine *e = open_engine(MODEL, 4, 40);
    crowd w[THREADS];
    pthread_t t[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        w[i] = (crowd){.e = e, .salt = 1000 + 8 * i};
        assert_int_equal(pthread_create(&t[i], NULL, one_of_the_crowd, &w[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    vbs_engine_drain(e);
    vbs_metrics m;
    do vbs_metrics_read(e, &m);
    while (m.running > 0); /* on_end has come; the last one may still be counted */
    assert_true(m.requests == 8 * THREADS && m.finished == 8 * THREADS);
    vbs_engine_close(e);
    for (size_t i = 0; i < THREADS; i++) {
        for (size_t k = 0; k < 8; k++) {
            expect_as_alone(&a, w[i].c[k], MODEL);
            drop(w[i].c[k]);
        }
    }
    close_alone(&a);
}

static void bad_requests(void **state) {
    (void)state;
    vbs_engine *e = open_engine(NGRAM, 1, 1);
    client *c = new_client(1, 20, VB_ACCEPT_COUPLED, 5, 1, 9);
    const vbs_request good = c->r;
#define BAD(change, word)                                                                                    \
    do {                                                                                                     \
        vb_error err = {0};                                                                                  \
        vbs_job *job = NULL;                                                                                 \
        vbs_request r = good;                                                                                \
        change;                                                                                              \
        assert_int_equal(vbs_submit(e, &r, &job, &err), VB_ERR_ARGUMENT);                                    \
        assert_null(job);                                                                                    \
        if (!strstr(err.message, word)) fail_msg("no \"%s\" in: %s", word, err.message);                     \
    } while (0)
    const int32_t foreign[2] = {1, 1 << 20};
    BAD(r.on_step = NULL, "on_step");
    BAD(r.n_prompt = 0, "empty");
    BAD(r.n_prompt = N_CTX + 1, "shorten");
    BAD((r.prompt = foreign, r.n_prompt = 2), "prompt[1]");
    BAD(r.sampling.temperature = -1, "temperature");
    BAD(r.accept = VB_ACCEPT_GREEDY, "greedy");
    BAD(r.accept = (vb_accept)7, "accept");
    BAD(r.gamma = 33, "gamma");
    BAD(r.n_top = 21, "n_top");
#undef BAD
    /* One that fails on its way: every id is banned. */
    const int n = vb_model_describe(vbs_target(e))->n_vocab;
    vb_logit_bias *bias = calloc((size_t)n, sizeof *bias);
    for (int i = 0; i < n; i++) bias[i] = (vb_logit_bias){i, -INFINITY};
    c->r.sampling.bias = bias;
    c->r.sampling.n_bias = (size_t)n;
    submit(e, c);
    free(bias); /* it was copied */
    wait_end(c);
    assert_int_equal(c->result.end, VBS_END_ERROR);
    assert_non_null(strstr(c->result.error.message, "bans every id"));
    client *next = new_client(2, 20, VB_ACCEPT_COUPLED, 5, 1, 9); /* the slot is as good as new */
    submit(e, next);
    wait_end(next);
    alone a = open_alone();
    expect_as_alone(&a, next, NGRAM);
    close_alone(&a);
    vbs_engine_close(e);
    drop(c);
    drop(next);
}

static void bad_engines(void **state) {
    (void)state;
    char other[256];
    vbs_engine *e = NULL;
    const vbs_engine_params good = {.target = target_path, .n_ctx = N_CTX, .n_threads = 1};
#define BAD(change, expected)                                                                                \
    do {                                                                                                     \
        vb_error err = {0};                                                                                  \
        vbs_engine_params p = good;                                                                          \
        change;                                                                                              \
        assert_int_equal(vbs_engine_open(&e, &p, &err), expected);                                           \
        assert_null(e);                                                                                      \
        assert_int_equal(err.code, expected);                                                                \
    } while (0)
    gw_temp_path(other);
    const gw_model_spec spec = {.seed = 3, .vocab = "bpe", .arch = "qwen2"};
    assert_int_equal(gw_tiny_model(other, &spec), 0);
    BAD(p.target = NULL, VB_ERR_ARGUMENT);
    BAD(p.target = "/does/not/exist.gguf", VB_ERR_IO);
    BAD(p.draft = "/does/not/exist.gguf", VB_ERR_IO);
    BAD(p.draft = other, VB_ERR_VOCAB);
    BAD(p.slots = 65, VB_ERR_ARGUMENT);
    BAD(p.queue = -1, VB_ERR_ARGUMENT);
    BAD(p.n_ctx = 1 << 20, VB_ERR_ARGUMENT);
    BAD(p.kernels = "none such", VB_ERR_UNSUPPORTED);
    BAD(p.repack = "perhaps", VB_ERR_ARGUMENT);
#undef BAD
    unlink(other);
    vbs_engine_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_alone),     cmocka_unit_test(prefix_cache), cmocka_unit_test(ends),
        cmocka_unit_test(cancelling),   cmocka_unit_test(closing),      cmocka_unit_test(crowds),
        cmocka_unit_test(bad_requests), cmocka_unit_test(bad_engines),
    };
    return cmocka_run_group_tests_name("server_engine", tests, write_models, remove_models);
}
