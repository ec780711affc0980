/* test_server_engine.c - the server's engine: what a request gets is what it gets alone, whoever else is
 * there; requests end when and how they should; nothing is lost, and nothing comes after the end. */
#include "tests/server_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

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

/* Several that begin alike: the beginning is read once, whoever is faster, and copied. */
static void shared_prompts(void **state) {
    (void)state;
    alone a = open_alone();
    for (int who = NOBODY; who <= NGRAM; who++) {
        vbs_engine *e = open_engine((drafting)who, 4, 8);
        client *c[8];
        for (size_t i = 0; i < 8; i++) {
            const uint64_t seed = i < 4 ? 40 + i : 80 + i % 4; /* two prompts */
            c[i] = new_client(seed, 150, i % 2 ? VB_ACCEPT_BLOCK : VB_ACCEPT_COUPLED, 1 + (int)i, 0.9,
                              5 + 3 * i);
            c[i]->prompt[120] += (int32_t)(i % 4); /* and then they differ */
        }
        for (size_t i = 0; i < 8; i++) submit(e, c[i]);
        for (size_t i = 0; i < 8; i++) wait_end(c[i]);
        for (size_t i = 0; i < 8; i++) {
            expect_as_alone(&a, c[i], (drafting)who);
            if (i % 4)
                assert_int_equal(c[i]->result.cached_tokens, 120);
            else
                assert_true(c[i]->result.cached_tokens <=
                            1); /* the first one of a prompt; all begin with BOS */
            assert_int_equal(c[i]->prompt_done, 150);
        }
        vbs_engine_close(e);
        for (size_t i = 0; i < 8; i++) drop(c[i]);
    }
    close_alone(&a);
}

/* An engine whose thread stands still in a round of *blocker's, which is that one's last: what is submitted
 * meanwhile starts together in the next. */
static vbs_engine *stopped_engine(drafting who, int slots, client **blocker) {
    vbs_engine *e = open_engine(who, slots, 20);
    *blocker = new_client(1, 3, VB_ACCEPT_COUPLED, 0, 1, 1);
    hold(*blocker, true);
    submit(e, *blocker);
    wait_step(*blocker);
    return e;
}

/* A short prompt is read in its first round and answered in the second, whatever long ones came before. */
static void short_before_long(void **state) {
    (void)state;
    alone a = open_alone();
    for (int who = NOBODY; who <= NGRAM; who++) {
        client *blocker, *c[4];
        vbs_engine *e = stopped_engine((drafting)who, 5, &blocker);
        for (size_t i = 0; i < 4; i++)
            submit(e, c[i] = new_client(40 + 4 * i, i < 3 ? 150 : 4, VB_ACCEPT_COUPLED, 5, 0.9, 8));
        hold(c[3], true);
        hold(blocker, false);
        wait_step(c[3]);
        assert_int_equal(read_so_far(c[3]), 4);
        assert_in_range(read_so_far(c[0]), 8, 64); /* the oldest has its part */
        assert_int_equal(read_so_far(c[1]) + read_so_far(c[2]), 0);
        hold(c[3], false);
        client *const all[] = {blocker, c[0], c[1], c[2], c[3]};
        for (size_t i = 0; i < 5; i++) wait_end(all[i]);
        for (size_t i = 0; i < 5; i++) expect_as_alone(&a, all[i], (drafting)who);
        vbs_engine_close(e);
        for (size_t i = 0; i < 5; i++) drop(all[i]);
    }
    close_alone(&a);
}

/* One that begins like an older one waits for what they share and not for the rest of the older one's. What
 * it waits for is read as soon as if it read it itself, before the prompt of a still older one. */
static void copies_in_time(void **state) {
    (void)state;
    alone a = open_alone();
    for (int who = NOBODY; who <= NGRAM; who++) {
        client *blocker, *c[2];
        vbs_engine *e = stopped_engine((drafting)who, 4, &blocker);
        submit(e, c[0] = new_client(40, 170, VB_ACCEPT_COUPLED, 5, 0.9, 8));
        submit(e, c[1] = new_client(80, 180, VB_ACCEPT_BLOCK, 5, 0.9, 8));
        client *last = new_client(82, 70, VB_ACCEPT_COUPLED, 5, 0.9, 8);
        last->prompt[60]++;
        submit(e, last);
        hold(last, true);
        hold(blocker, false);
        wait_step(last);
        assert_in_range(read_so_far(c[1]), 60, 150);
        assert_true(read_so_far(c[0]) < 150);
        hold(last, false);
        client *const all[] = {blocker, c[0], c[1], last};
        for (size_t i = 0; i < 4; i++) wait_end(all[i]);
        assert_int_equal(last->result.cached_tokens, 60);
        for (size_t i = 0; i < 4; i++) expect_as_alone(&a, all[i], (drafting)who);
        vbs_engine_close(e);
        for (size_t i = 0; i < 4; i++) drop(all[i]);
    }
    close_alone(&a);
}

/* Requests of one group take all slots while nobody else waits, and half of them otherwise. */
static void groups(void **state) {
    (void)state;
    for (int slots = 1; slots <= 5; slots++) {
        for (int others = 0; others <= 8; others += 4) {
            client *blocker, *c[16];
            vbs_engine *e = stopped_engine(NOBODY, slots, &blocker);
            for (size_t i = 0; i < 8 + (size_t)others; i++) {
                c[i] = new_client(3 * i, 5, VB_ACCEPT_COUPLED, 0, 1, 3);
                if (i < 8) c[i]->r.group = c;
                if (i >= 12) c[i]->r.group = c + 1;
                submit(e, c[i]);
                hold(c[i], true);
            }
            hold(blocker, false);
            /* All that started step in the same round, the first to do so in slot order. */
            size_t n = 0, started[3] = {0};
            wait_end(blocker);
            while (!n)
                for (size_t i = 0; i < 8 + (size_t)others; i++) {
                    pthread_mutex_lock(&c[i]->mutex);
                    n += c[i]->step_calls;
                    pthread_mutex_unlock(&c[i]->mutex);
                }
            for (size_t i = 0; i < 8 + (size_t)others; i++)
                started[i < 8 ? 0 : i < 12 ? 1 : 2] += read_so_far(c[i]) > 0;
            const size_t half = slots > 1 ? (size_t)slots / 2 : 1;
            assert_int_equal(started[0] + started[1] + started[2], slots);
            assert_int_equal(started[0], others ? half : (size_t)slots);
            for (size_t i = 0; i < 8 + (size_t)others; i++) hold(c[i], false);
            for (size_t i = 0; i < 8 + (size_t)others; i++) wait_end(c[i]);
            vbs_engine_close(e);
            drop(blocker);
            for (size_t i = 0; i < 8 + (size_t)others; i++) drop(c[i]);
        }
    }
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
        if (!has_ended(c[i])) vbs_cancel(e, c[i]->job);
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
        const bool refused = vbs_submit(w->e, &w->c[i]->r, &w->c[i]->job, NULL) != 0;
        if (refused) w->c[i]->wrong = true; /* once taken, the engine's thread writes there */
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

/* Resident memory in bytes; 0 where the system does not say. */
static double resident(void) {
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = 0;
    if (f && fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return (double)pages * 4096;
}

/* Eight at a time out of two dozen requests, in any order, some hung up on or cancelled, for a second or
 * VB_SOAK_SECONDS: each gets what it got when it was alone, or the beginning of it. */
static void soak(void **state) {
    (void)state;
    enum { KINDS = 24, AT_ONCE = 8 };
    const char *wish = getenv("VB_SOAK_SECONDS");
    const double seconds = wish ? atof(wish) : 1;
    vbs_engine *e = open_engine(MODEL, 4, AT_ONCE);
    client *kind[KINDS], *c[AT_ONCE] = {NULL};
    size_t of[AT_ONCE] = {0}, n = 0, whole = 0, cached = 0;
    alone a = open_alone();
    for (size_t i = 0; i < KINDS; i++) { /* one after the other: nobody else is there */
        submit(e, kind[i] = mixed_client(i, 5000));
        wait_end(kind[i]);
        expect_as_alone(&a, kind[i], MODEL);
    }
    close_alone(&a);
    gw_rng rng = {17};
    double early = 0;
    const double start = vb_now();
    for (bool open = true; open;) {
        const bool more = vb_now() - start < seconds;
        open = false;
        if (early == 0 && vb_now() - start > seconds / 4) early = resident();
        for (size_t k = 0; k < AT_ONCE; k++) {
            if (c[k]) {
                wait_end(c[k]);
                const client *alone_one = kind[of[k]];
                const bool ended = c[k]->result.end != VBS_END_CALLER;
                assert_true(c[k]->n <= alone_one->n && (!ended || c[k]->n == alone_one->n));
                assert_memory_equal(c[k]->id, alone_one->id, c[k]->n * sizeof c[k]->id[0]);
                assert_memory_equal(c[k]->p, alone_one->p, c[k]->n * sizeof c[k]->p[0]);
                if (ended) assert_int_equal(c[k]->result.end, alone_one->result.end);
                cached += c[k]->result.cached_tokens;
                whole += ended;
                n++;
                drop(c[k]);
                c[k] = NULL;
            }
            if (!more) continue;
            open = true;
            of[k] = (size_t)(gw_next(&rng) % KINDS);
            c[k] = mixed_client(of[k], 5000);
            const uint64_t fate = gw_next(&rng) % 8;
            if (fate == 0) c[k]->hang_up_after = 1 + (size_t)(gw_next(&rng) % 9);
            submit(e, c[k]);
            if (fate == 1 && !has_ended(c[k])) vbs_cancel(e, c[k]->job);
        }
    }
    const double late = resident();
    vbs_metrics m;
    do vbs_metrics_read(e, &m);
    while (m.running > 0);
    assert_true(m.requests == n + KINDS && m.finished + m.cancelled == n + KINDS && m.failed == 0);
    assert_true(whole > 0);
    printf("           %zu requests in %.0f s, %zu to their end, %zu tokens of prompts from the cache; "
           "resident %.1f MB, "
           "%+.2f MB since a quarter of it\n",
           n, vb_now() - start, whole, cached, late * 1e-6, (late - early) * 1e-6);
    vbs_engine_close(e);
    for (size_t i = 0; i < KINDS; i++) drop(kind[i]);
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
        cmocka_unit_test(as_alone),       cmocka_unit_test(prefix_cache),
        cmocka_unit_test(shared_prompts), cmocka_unit_test(short_before_long),
        cmocka_unit_test(copies_in_time), cmocka_unit_test(groups),
        cmocka_unit_test(ends),           cmocka_unit_test(cancelling),
        cmocka_unit_test(closing),        cmocka_unit_test(crowds),
        cmocka_unit_test(soak),           cmocka_unit_test(bad_requests),
        cmocka_unit_test(bad_engines),
    };
    return cmocka_run_group_tests_name("server_engine", tests, write_models, remove_models);
}
