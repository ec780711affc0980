/* Speculation on real contexts: P2 (the same tokens), P4 (the same caches), P5 (the same log-probabilities),
 * and what happens at the edges. The models are small and seeded: they speak no language, but their
 * arithmetic is the real one. With VB_FIXTURES also on trained models. */
#include "gguf_writer.h"
#include "speculate.h"

#include "mathf.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* ------------------------------------------------------------------------------------------------ models */

typedef struct loaded {
    vb_gguf *gguf;
    vb_model *model;
    vb_context *context;
} loaded;

static int cancel_after = -1; /* calls of `cancel` until it says yes; -1: never */
static bool cancel(void *user) {
    (void)user;
    return cancel_after >= 0 && cancel_after-- == 0;
}

static void load(loaded *m, const char *path, int n_ctx) {
    vb_error err = {0};
    vb_context_params p;
    vb_context_defaults(&p);
    p.n_threads = 1;
    p.n_ctx = n_ctx;
    p.cancel = cancel;
    if (vb_gguf_open(&m->gguf, path, &err) || vb_model_open(&m->model, m->gguf, &err) ||
        vb_context_open(&m->context, m->model, &p, &err))
        fail_msg("%s: %s", path, err.message);
}

static void unload(loaded *m) {
    vb_context_close(m->context);
    vb_model_close(m->model);
    vb_gguf_close(m->gguf);
}

static void load_tiny(loaded *m, const gw_model_spec *spec, int n_ctx) {
    char path[256];
    gw_temp_path(path);
    assert_int_equal(gw_tiny_model(path, spec), 0);
    load(m, path, n_ctx);
    unlink(path);
}

/* A target in Q8_0, a draft that agrees with it some of the time, the target again for drafting by itself. */
static struct {
    loaded target, draft, self, check; /* check: a context that never speculates */
    loaded check_draft;
} rig;

static int open_rig(void **state) {
    (void)state;
    gw_model_spec spec = {.dim = 64, .layers = 2, .seed = 7, .type = VB_Q8_0, .branch = 0.6f, .n_ctx = 512};
    load_tiny(&rig.target, &spec, 128);
    load_tiny(&rig.self, &spec, 128);
    load_tiny(&rig.check, &spec, 128);
    spec.noise = 0.12f;
    spec.noise_seed = 3;
    load_tiny(&rig.draft, &spec, 128);
    load_tiny(&rig.check_draft, &spec, 128);
    return 0;
}

static int close_rig(void **state) {
    (void)state;
    unload(&rig.target);
    unload(&rig.draft);
    unload(&rig.self);
    unload(&rig.check);
    unload(&rig.check_draft);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ runs */

#define MOST 160

typedef enum who { ALONE, BY_MODEL, BY_ITSELF, BY_NGRAM } who;
static const char *const who_name[] = {"alone", "model", "self", "n-gram"};

typedef struct job {
    vb_context *target, *draft, *self;
    vb_sampling sampling;
    vb_accept accept;
    who by;
    int gamma, n;
    const int32_t *prompt;
    size_t n_prompt;
    const int32_t *stop;
    size_t n_stop;
    unsigned vary; /* != 0: max_emit varies from step to step, by this seed */
    int cancels;   /* != 0: every step is interrupted first, at various places */
} job;

typedef struct outcome {
    int n, rc; /* rc: of the last step */
    int32_t id[MOST];
    double logprob[MOST];
    bool stopped;
    vb_stats stats;
    uint8_t hash[16], draft_hash[16];
    int draft_length;
} outcome;

static const int32_t prompt[] = {1, 60, 61, 62, 63, 60, 61, 62, 90, 60, 61};
#define N_PROMPT (sizeof prompt / sizeof *prompt)

static job a_job(vb_accept accept, who by, int gamma, double temperature, uint64_t seed) {
    job j = {.target = rig.target.context,
             .draft = rig.draft.context,
             .self = rig.self.context,
             .accept = accept,
             .by = by,
             .gamma = gamma,
             .n = 24,
             .prompt = prompt,
             .n_prompt = N_PROMPT};
    vb_sampling_defaults(&j.sampling);
    j.sampling.temperature = temperature;
    j.sampling.seed = seed;
    return j;
}

static vb_spec *open_job(const job *j) {
    vb_spec *s = NULL;
    vb_error err = {0};
    vb_spec_params p;
    vb_spec_defaults(&p);
    p.accept = j->accept;
    p.draft = j->by == ALONE ? VB_DRAFT_NONE : j->by == BY_NGRAM ? VB_DRAFT_NGRAM : VB_DRAFT_MODEL;
    p.draft_context = j->by == BY_MODEL ? j->draft : j->by == BY_ITSELF ? j->self : NULL;
    p.gamma = j->gamma;
    p.stop = j->stop;
    p.n_stop = j->n_stop;
    vb_context_truncate(j->target, 0, NULL);
    if (p.draft_context) vb_context_truncate(p.draft_context, 0, NULL);
    if (vb_spec_open(&s, j->target, &j->sampling, &p, &err)) fail_msg("%s", err.message);
    return s;
}

/* Runs a job; after each step checks what every step promises. */
static void run(const job *j, outcome *o) {
    vb_spec *s = open_job(j);
    vb_error err = {0};
    unsigned vary = j->vary;
    memset(o, 0, sizeof *o);
    if (vb_spec_prompt(s, j->prompt, j->n_prompt, &err)) fail_msg("%s", err.message);
    while (o->n < j->n && !o->stopped) {
        vb_step step;
        size_t most = (size_t)(j->n - o->n);
        if (vary) {
            vary = vary * 1664525u + 1013904223u;
            if (most > 1 + (vary >> 28)) most = 1 + (vary >> 28);
        }
        for (int at = 0; at < j->cancels; at++) { /* fails a few times at other places, then goes through */
            cancel_after = at;
            memset(&err, 0, sizeof err);
            o->rc = vb_spec_step(s, most, &step, &err);
            cancel_after = -1;
            if (o->rc == 0) break;
            assert_int_equal(o->rc, VB_ERR_CANCELLED);
            o->rc = -1000;
        }
        memset(&err, 0, sizeof err);
        if (j->cancels == 0 || o->rc == -1000) o->rc = vb_spec_step(s, most, &step, &err);
        if (o->rc) {
            if (o->rc != VB_ERR_FULL) fail_msg("%s", err.message);
            break;
        }
        assert_int_equal(step.position, (int)j->n_prompt + o->n);
        assert_in_range(step.n_emitted, 1, (int)most);
        assert_true(step.n_emitted == step.n_accepted + 1 || step.emitted[step.n_emitted - 1].stop);
        for (int i = 0; i < step.n_emitted; i++) {
            const vb_emitted *e = &step.emitted[i];
            o->id[o->n] = e->id;
            o->logprob[o->n++] = e->logprob;
            o->stopped |= e->stop;
            assert_int_equal(e->origin == VB_FROM_DRAFT, i < step.n_accepted);
        }
        for (int i = 0; i < step.n_drafted; i++) {
            assert_true(step.drafted[i].q_w > 0);
            assert_int_equal(step.drafted[i].accepted, i < step.n_accepted);
        }
        size_t n;
        const int32_t *path = vb_spec_tokens(s, &n);
        assert_int_equal(n, (int)j->n_prompt + o->n);
        assert_memory_equal(path + j->n_prompt, o->id, (size_t)o->n * sizeof *o->id);
        assert_int_equal(vb_context_length(j->target), n - 1);
    }
    vb_spec_stats(s, &o->stats);
    assert_true(o->stats.emitted == (uint64_t)o->n);
    vb_context_hash(j->target, o->hash);
    if (j->by == BY_MODEL || j->by == BY_ITSELF) {
        vb_context *d = j->by == BY_MODEL ? j->draft : j->self;
        o->draft_length = vb_context_length(d);
        vb_context_hash(d, o->draft_hash);
    }
    vb_spec_close(s);
}

static void same(const outcome *a, const outcome *b, const job *j) {
    if (a->n != b->n || memcmp(a->id, b->id, (size_t)a->n * sizeof *a->id) ||
        memcmp(a->logprob, b->logprob, (size_t)a->n * sizeof *a->logprob) || memcmp(a->hash, b->hash, 16))
        fail_msg("%s, drafts by %s, gamma %d, temperature %g, seed %llu: not what the target alone gives",
                 vb_accept_name(j->accept), who_name[j->by], j->gamma, j->sampling.temperature,
                 (unsigned long long)j->sampling.seed);
}

/* The cache after speculation against one that was fed the same tokens in one piece, and each log-probability
 * against the logits of one token at a time. */
static void like_a_fresh_one(const job *j, const outcome *o) {
    int32_t path[MOST + N_PROMPT];
    uint8_t hash[16];
    vb_context *c = rig.check.context, *d = j->by == BY_ITSELF ? c : rig.check_draft.context;
    memcpy(path, j->prompt, j->n_prompt * sizeof *path);
    memcpy(path + j->n_prompt, o->id, (size_t)o->n * sizeof *path);
    const size_t n = j->n_prompt + (size_t)o->n - 1;
    vb_context_truncate(c, 0, NULL);
    assert_int_equal(vb_eval(c, path, n, NULL, NULL), 0);
    vb_context_hash(c, hash);
    assert_memory_equal(hash, o->hash, 16);
    vb_context_truncate(c, 0, NULL);
    assert_int_equal(vb_eval(c, path, j->n_prompt, NULL, NULL), 0);
    for (int i = 0; i < o->n; i++) {
        const float *logits = vb_logits(c, i == 0 ? j->n_prompt - 1 : 0);
        const double lp = vb_logprob(logits, vb_model_describe(vb_context_model(c))->n_vocab, o->id[i]);
        assert_memory_equal(&lp, &o->logprob[i], sizeof lp);
        if (i + 1 < o->n) assert_int_equal(vb_eval(c, &o->id[i], 1, NULL, NULL), 0);
    }
    if (o->draft_length > 0) {
        assert_true(o->draft_length <= (int)n + 1);
        vb_context_truncate(d, 0, NULL);
        assert_int_equal(vb_eval(d, path, (size_t)o->draft_length, NULL, NULL), 0);
        vb_context_hash(d, hash);
        assert_memory_equal(hash, o->draft_hash, 16);
    }
}

/* ------------------------------------------------------------------------------------------------ P2 */

static void truncation(vb_sampling *s, int kind) {
    if (kind == 0) return; /* the defaults */
    s->top_k = kind == 1 ? 0 : 7, s->top_p = kind == 1 ? 1 : 0.9, s->min_p = 0;
    if (kind == 2) s->repeat_penalty = 1.2, s->presence_penalty = 0.3, s->frequency_penalty = 0.1;
}

static void coupled_is_the_target_alone(void **state) {
    (void)state;
    static const int gammas[] = {1, 3, 5, 7};
    static const double temperatures[] = {0.3, 0.8, 1.5};
    uint64_t drafted[4] = {0}, accepted[4] = {0};
    int runs = 0;
    for (uint64_t seed = 0; seed < 8; seed++) {
        for (int t = 0; t < 3; t++) {
            for (int kind = 0; kind < 3; kind++) {
                outcome alone, o;
                job j = a_job(VB_ACCEPT_COUPLED, ALONE, 1, temperatures[t], seed);
                truncation(&j.sampling, kind);
                run(&j, &alone);
                assert_int_equal(alone.n, j.n);
                for (who by = BY_MODEL; by <= BY_NGRAM; by++) {
                    for (int g = 0; g < 4; g++) {
                        j.by = by;
                        j.gamma = gammas[g];
                        j.vary = g == 1 ? 17u * (unsigned)seed + 1 : 0;
                        run(&j, &o);
                        same(&alone, &o, &j);
                        drafted[by] += o.stats.drafted;
                        accepted[by] += o.stats.accepted;
                        runs++;
                    }
                }
            }
        }
    }
    printf("%d runs equal to the target alone; accepted of drafted:", runs);
    for (who by = BY_MODEL; by <= BY_NGRAM; by++) {
        printf(" %s %.2f", who_name[by], (double)accepted[by] / (double)drafted[by]);
        assert_true(accepted[by] > 0);
    }
    puts("");
    assert_true(accepted[BY_MODEL] < drafted[BY_MODEL]);
    assert_true(accepted[BY_ITSELF] == drafted[BY_ITSELF]); /* the same race on the same law */
}

static void greedy_under_every_rule(void **state) {
    (void)state;
    outcome alone, o;
    job j = a_job(VB_ACCEPT_GREEDY, ALONE, 1, 0, 0);
    run(&j, &alone);
    for (int rule = VB_ACCEPT_COUPLED; rule <= VB_ACCEPT_BLOCK; rule++) {
        for (who by = BY_MODEL; by <= BY_NGRAM; by++) {
            for (int gamma = 1; gamma <= 7; gamma += 2) {
                j.accept = (vb_accept)rule;
                j.by = by;
                j.gamma = gamma;
                j.sampling.seed = (uint64_t)gamma; /* no influence at temperature 0 */
                run(&j, &o);
                same(&alone, &o, &j);
            }
        }
    }
}

/* The target alone takes no notice of `accept`. */
static void alone_under_every_rule(void **state) {
    (void)state;
    outcome a, b;
    job j = a_job(VB_ACCEPT_COUPLED, ALONE, 1, 1, 5);
    run(&j, &a);
    for (int rule = VB_ACCEPT_REJECTION; rule <= VB_ACCEPT_BLOCK; rule++) {
        j.accept = (vb_accept)rule;
        run(&j, &b);
        same(&a, &b, &j);
    }
}

/* ------------------------------------------------------------------------------------------------ P4, P5 */

static void caches_and_logprobs(void **state) {
    (void)state;
    for (int rule = VB_ACCEPT_COUPLED; rule <= VB_ACCEPT_BLOCK; rule++) {
        if (rule == VB_ACCEPT_GREEDY) continue;
        for (who by = BY_MODEL; by <= BY_NGRAM; by++) {
            for (uint64_t seed = 0; seed < 6; seed++) {
                outcome o;
                job j = a_job((vb_accept)rule, by, 1 + (int)seed, 1.2, seed);
                j.vary = (unsigned)seed;
                truncation(&j.sampling, (int)seed % 3);
                run(&j, &o);
                like_a_fresh_one(&j, &o);
            }
        }
    }
}

/* Interrupted at every place, then repeated: the same tokens, caches and coins as without interruption. */
static void errors_leave_it_repeatable(void **state) {
    (void)state;
    for (int rule = VB_ACCEPT_COUPLED; rule <= VB_ACCEPT_BLOCK; rule++) {
        if (rule == VB_ACCEPT_GREEDY) continue;
        for (who by = BY_MODEL; by <= BY_NGRAM; by++) {
            outcome a, b;
            job j = a_job((vb_accept)rule, by, 4, 1, 11);
            run(&j, &a);
            j.cancels = 14;
            run(&j, &b);
            same(&a, &b, &j);
            assert_int_equal(a.draft_length, b.draft_length);
            assert_memory_equal(a.draft_hash, b.draft_hash, 16);
            assert_true(a.stats.accepted == b.stats.accepted);
        }
    }
}

/* ------------------------------------------------------------------------------------------------ edges */

static void stop_tokens(void **state) {
    (void)state;
    outcome alone, o;
    job j = a_job(VB_ACCEPT_COUPLED, ALONE, 1, 1, 21);
    run(&j, &alone);
    for (int at = 0; at < 12; at++) {
        const int32_t stop[2] = {alone.id[at], 0};
        int first = 0;
        while (alone.id[first] != stop[0] && alone.id[first] != 0) first++;
        j.stop = stop;
        j.n_stop = 2;
        for (int rule = VB_ACCEPT_COUPLED; rule <= VB_ACCEPT_BLOCK; rule++) {
            if (rule == VB_ACCEPT_GREEDY) continue;
            for (who by = ALONE; by <= BY_NGRAM; by++) {
                j.accept = (vb_accept)rule;
                j.by = by;
                j.gamma = 6;
                run(&j, &o);
                for (int i = 0; i < o.n; i++)
                    assert_int_equal(o.id[i] == stop[0] || o.id[i] == 0, o.stopped && i == o.n - 1);
                if (rule == VB_ACCEPT_COUPLED || by == ALONE) {
                    assert_true(o.stopped);
                    assert_int_equal(o.n, first + 1);
                    assert_memory_equal(o.id, alone.id, (size_t)o.n * sizeof *o.id);
                }
            }
        }
    }
}

static void a_full_context(void **state) {
    (void)state;
    gw_model_spec spec = {.dim = 64, .layers = 2, .seed = 7, .type = VB_Q8_0, .branch = 0.6f, .n_ctx = 512};
    loaded small, short_draft;
    load_tiny(&small, &spec, 40);
    spec.noise = 0.12f;
    spec.noise_seed = 3;
    load_tiny(&short_draft, &spec, 20);
    outcome alone, o;
    job j = a_job(VB_ACCEPT_COUPLED, ALONE, 1, 1, 4);
    j.target = small.context;
    j.n = 100;
    run(&j, &alone);
    assert_int_equal(alone.rc, VB_ERR_FULL);
    assert_int_equal(alone.n, 40 + 1 - (int)N_PROMPT); /* the last token needs no place of its own */
    for (who by = BY_MODEL; by <= BY_NGRAM; by++) {
        for (int gamma = 1; gamma <= 8; gamma++) {
            j.by = by;
            j.gamma = gamma;
            run(&j, &o);
            assert_int_equal(o.rc, VB_ERR_FULL);
            same(&alone, &o, &j);
        }
    }
    /* A draft that holds 20 positions stops drafting; the output goes on. */
    j.by = BY_MODEL;
    j.draft = short_draft.context;
    for (int gamma = 1; gamma <= 8; gamma++) {
        j.gamma = gamma;
        run(&j, &o);
        same(&alone, &o, &j);
        assert_true(o.stats.drafted > 0 && o.draft_length <= 20);
    }
    /* A prompt that does not fit changes nothing. */
    vb_error err = {0};
    vb_spec *s = open_job(&j);
    int32_t long_prompt[64] = {0};
    assert_int_equal(vb_spec_prompt(s, long_prompt, 41, &err), VB_ERR_FULL);
    assert_int_equal(vb_spec_prompt(s, prompt, N_PROMPT, NULL), 0);
    vb_step step;
    assert_int_equal(vb_spec_step(s, 1, &step, NULL), 0);
    assert_int_equal(step.emitted[0].id, alone.id[0]);
    vb_spec_close(s);
    unload(&small);
    unload(&short_draft);
}

/* Text in several pieces, a turn in between, and a generation that is taken up again by a second vb_spec. */
static void pieces_and_resumption(void **state) {
    (void)state;
    const int32_t turn[] = {70, 71, 72};
    int32_t id[2][40];
    int n[2] = {0};
    for (int how = 0; how < 2; how++) {
        job j = a_job(VB_ACCEPT_COUPLED, how ? BY_MODEL : ALONE, 4, 1, 33);
        vb_spec *s = open_job(&j);
        vb_step step;
        if (how) {
            assert_int_equal(vb_spec_prompt(s, prompt, 3, NULL), 0);
            assert_int_equal(vb_spec_prompt(s, prompt + 3, 0, NULL), 0);
            assert_int_equal(vb_spec_prompt(s, prompt + 3, N_PROMPT - 3, NULL), 0);
        } else {
            assert_int_equal(vb_spec_prompt(s, prompt, N_PROMPT, NULL), 0);
        }
        while (n[how] < 10) {
            assert_int_equal(vb_spec_step(s, (size_t)(10 - n[how]), &step, NULL), 0);
            for (int i = 0; i < step.n_emitted; i++) id[how][n[how]++] = step.emitted[i].id;
        }
        assert_int_equal(vb_spec_prompt(s, turn, 3, NULL), 0);
        while (n[how] < 30) {
            if (how && n[how] > 17 && n[how] < 24) { /* close it, open another on the same caches */
                size_t held;
                int32_t history[64];
                const int32_t *path = vb_spec_tokens(s, &held);
                memcpy(history, path, held * sizeof *path);
                vb_spec_close(s);
                vb_spec_params p;
                vb_spec_defaults(&p);
                p.draft = VB_DRAFT_MODEL;
                p.draft_context = j.draft;
                p.gamma = 3;
                p.history = history;
                p.n_history = (size_t)vb_context_length(j.target);
                assert_int_equal(p.n_history, held - 1);
                assert_int_equal(vb_spec_open(&s, j.target, &j.sampling, &p, NULL), 0);
                assert_int_equal(vb_spec_prompt(s, history + held - 1, 1, NULL), 0); /* what was pending */
            }
            assert_int_equal(vb_spec_step(s, (size_t)(30 - n[how]), &step, NULL), 0);
            for (int i = 0; i < step.n_emitted; i++) id[how][n[how]++] = step.emitted[i].id;
        }
        vb_spec_close(s);
    }
    assert_memory_equal(id[0], id[1], sizeof id[0][0] * 30);

    /* History alone is enough to start from: its last token is evaluated again. */
    vb_spec_params p;
    vb_spec *s = NULL;
    vb_step step;
    job j = a_job(VB_ACCEPT_COUPLED, ALONE, 4, 1, 33);
    vb_context_truncate(j.target, 0, NULL);
    assert_int_equal(vb_eval(j.target, prompt, N_PROMPT, NULL, NULL), 0);
    vb_spec_defaults(&p);
    p.history = prompt;
    p.n_history = N_PROMPT;
    assert_int_equal(vb_spec_open(&s, j.target, &j.sampling, &p, NULL), 0);
    assert_int_equal(vb_spec_step(s, 1, &step, NULL), 0);
    assert_int_equal(step.emitted[0].id, id[0][0]);
    assert_int_equal(vb_spec_prompt(s, turn, 3, NULL), 0);
    vb_spec_close(s);
}

static void other_vocabularies(void **state) {
    (void)state;
    gw_model_spec spec = {.dim = 64, .layers = 2, .seed = 7, .branch = 0.6f, .n_ctx = 512};
    loaded target, draft;
    outcome alone, o;
    const int small = vb_model_describe(rig.draft.model)->n_vocab;
    spec.vocab_size = small + 32;
    load_tiny(&target, &spec, 128);
    for (int larger = 0; larger < 2;
         larger++) { /* a target with 32 ids more than its draft, and the other way round */
        job j = a_job(VB_ACCEPT_COUPLED, ALONE, 1, 1.5, 8);
        j.sampling.top_k = 0;
        j.sampling.top_p = 1;
        j.target = larger ? rig.target.context : target.context;
        j.draft = larger ? target.context : rig.draft.context;
        run(&j, &alone);
        j.by = BY_MODEL;
        j.gamma = 5;
        run(&j, &o);
        same(&alone, &o, &j);
        assert_true(o.stats.drafted > 0);
    }
    /* draft_vocab keeps the drafter below a limit. */
    vb_spec_params p;
    vb_spec *s = NULL;
    vb_step step;
    job j = a_job(VB_ACCEPT_REJECTION, BY_MODEL, 5, 1, 8);
    vb_spec_defaults(&p);
    p.accept = VB_ACCEPT_REJECTION;
    p.draft = VB_DRAFT_MODEL;
    p.draft_context = j.draft;
    p.draft_vocab = 50;
    vb_context_truncate(j.target, 0, NULL);
    vb_context_truncate(j.draft, 0, NULL);
    assert_int_equal(vb_spec_open(&s, j.target, &j.sampling, &p, NULL), 0);
    assert_int_equal(vb_spec_prompt(s, prompt, N_PROMPT, NULL), 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(vb_spec_step(s, 10, &step, NULL), 0);
        assert_int_equal(step.n_drafted, 5);
        for (int k = 0; k < step.n_drafted; k++) assert_true(step.drafted[k].id < 50);
    }
    vb_spec_close(s);
    /* A prompt with an id that the draft does not know: no drafts, no error. */
    load_tiny(&draft, &(gw_model_spec){.dim = 64, .layers = 1, .seed = 9, .n_ctx = 512}, 128);
    const int32_t foreign[2] = {1, small + 5};
    j = a_job(VB_ACCEPT_COUPLED, BY_MODEL, 5, 1, 8);
    j.target = target.context;
    j.draft = draft.context;
    j.prompt = foreign;
    j.n_prompt = 2;
    run(&j, &o);
    assert_true(o.stats.drafted == 0 && o.n == j.n);
    unload(&draft);
    unload(&target);
}

static void bad_arguments(void **state) {
    (void)state;
    vb_sampling s;
    vb_spec_params p, good;
    vb_spec *out = NULL;
    vb_context *t = rig.target.context;
    const int32_t far = 1 << 20;
    vb_context_truncate(t, 0, NULL);
    vb_context_truncate(rig.draft.context, 0, NULL);
    vb_sampling_defaults(&s);
    vb_spec_defaults(&good);
    good.draft = VB_DRAFT_MODEL;
    good.draft_context = rig.draft.context;
#define BAD(change, word)                                                                                    \
    do {                                                                                                     \
        vb_error err = {0};                                                                                  \
        p = good;                                                                                            \
        change;                                                                                              \
        assert_int_equal(vb_spec_open(&out, t, &s, &p, &err), VB_ERR_ARGUMENT);                              \
        assert_null(out);                                                                                    \
        if (!strstr(err.message, word)) fail_msg("no \"%s\" in: %s", word, err.message);                     \
    } while (0)
    BAD(p.gamma = 0, "gamma");
    BAD(p.gamma = 33, "gamma");
    BAD(p.accept = VB_ACCEPT_GREEDY, "temperature");
    BAD(p.accept = (vb_accept)9, "accept");
    BAD(p.draft = (vb_draft)9, "draft");
    BAD(p.draft_context = NULL, "draft_context");
    BAD(p.draft_context = t, "draft_context");
    BAD(p.draft_vocab = -1, "draft_vocab");
    BAD(p.draft_vocab = 1 << 20, "draft_vocab");
    BAD((p.draft = VB_DRAFT_NGRAM, p.ngram_min = 0), "ngram_min");
    BAD((p.draft = VB_DRAFT_NGRAM, p.ngram_max = 17), "ngram_max");
    BAD((p.draft = VB_DRAFT_NGRAM, p.ngram_min = 3, p.ngram_max = 2), "ngram_min");
    BAD((p.stop = &far, p.n_stop = 1), "stop[0]");
    BAD((p.history = prompt, p.n_history = 2), "history");
    s.temperature = -1;
    BAD((void)0, "temperature");
    vb_sampling_defaults(&s);
    assert_int_equal(vb_eval(rig.draft.context, prompt, 3, NULL, NULL), 0);
    BAD((void)0, "draft's cache");
    vb_context_truncate(rig.draft.context, 0, NULL);

    vb_step step;
    vb_error err = {0};
    assert_int_equal(vb_spec_open(&out, t, &s, &good, NULL), 0);
    assert_int_equal(vb_spec_step(out, 5, &step, &err), VB_ERR_ARGUMENT); /* nothing to start from */
    assert_int_equal(vb_spec_prompt(out, &far, 1, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_spec_prompt(out, prompt, 2, NULL), 0);
    assert_int_equal(vb_spec_step(out, 0, &step, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_spec_step(out, 5, &step, NULL), 0);
    vb_spec_close(out);
    vb_spec_close(NULL);
}

static void everything_banned(void **state) {
    (void)state;
    const int n = vb_model_describe(rig.target.model)->n_vocab;
    vb_logit_bias *bias = calloc((size_t)n, sizeof *bias);
    for (int i = 0; i < n; i++) bias[i] = (vb_logit_bias){i, -INFINITY};
    job j = a_job(VB_ACCEPT_COUPLED, BY_MODEL, 3, 1, 1);
    j.sampling.bias = bias;
    j.sampling.n_bias = (size_t)n;
    vb_spec *s = open_job(&j);
    vb_error err = {0};
    vb_step step;
    assert_int_equal(vb_spec_prompt(s, prompt, 3, NULL), 0);
    assert_int_equal(vb_spec_step(s, 1, &step, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "bans every id"));
    vb_spec_close(s);
    j.sampling.n_bias = (size_t)n - 1; /* one id is left, and both models draft it */
    s = open_job(&j);
    assert_int_equal(vb_spec_prompt(s, prompt, 3, NULL), 0);
    assert_int_equal(vb_spec_step(s, 9, &step, &err), 0);
    assert_int_equal(step.n_emitted, 4);
    for (int i = 0; i < 4; i++) assert_int_equal(step.emitted[i].id, n - 1);
    vb_spec_close(s);
    free(bias);
}

/* Prompt lookup: the longest suffix, its latest occurrence, and loops are continued. */
static void ngram_lookup(void **state) {
    (void)state;
    static const struct {
        int32_t path[10];
        int n, max, min, n_out;
        int32_t out[4];
    } cases[] = {
        {{1, 2, 3, 9, 1, 2, 3}, 7, 4, 1, 4, {9, 1, 2, 3}},
        {{1, 2, 3, 9, 2, 3, 8, 2, 3}, 9, 4, 1, 4, {8, 2, 3, 8}}, /* the latest of two */
        {{7, 2, 3, 9, 5, 3, 8, 2, 3}, 9, 4, 1, 4, {9, 5, 3, 8}}, /* a longer match wins over a later one */
        {{1, 2, 3, 4}, 4, 4, 1, 0, {0}},                         /* nothing occurred before */
        {{5, 5}, 2, 4, 1, 4, {5, 5, 5, 5}},                      /* a loop */
        {{1, 2, 9, 3, 2}, 5, 4, 2, 0, {0}},                      /* too short for ngram_min = 2 */
        {{1, 2, 60, 3, 2}, 5, 4, 1, 0, {0}},                     /* 60 is beyond the limit */
        {{1, 2, 30, 3, 2}, 5, 4, 1, 1, {30}},                    /* 30 is a stop token */
        {{4}, 1, 4, 1, 0, {0}},
    };
    const int32_t stop = 30;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        for (int piecewise = 0; piecewise < 2; piecewise++) {
            vb_drafter d;
            int32_t path[20], ids[4];
            uint64_t w[4];
            vb_dist_space space[4];
            vb_dist q[4];
            vb_drafted drafted[4];
            vb_proposal out = {.max = 4, .space = space, .q = q, .drafted = drafted};
            for (int i = 0; i < 4; i++) space[i] = (vb_dist_space){1, &ids[i], &w[i]};
            assert_int_equal(
                vb_drafter_ngram(&d, cases[k].max, cases[k].min, 50, VB_CHOOSE_RACE, 16, &stop, 1, NULL), 0);
            memcpy(path, cases[k].path, sizeof cases[k].path);
            for (int n = 1; piecewise && n < cases[k].n; n++) {
                memcpy(path, cases[k].path, sizeof cases[k].path);
                assert_int_equal(d.draft(d.self, path, (size_t)n, &out, NULL),
                                 0); /* writes behind the path */
                d.settle(d.self, (size_t)n);
            }
            memcpy(path, cases[k].path, sizeof cases[k].path);
            assert_int_equal(d.draft(d.self, path, (size_t)cases[k].n, &out, NULL), 0);
            assert_int_equal(out.n, cases[k].n_out);
            for (int i = 0; i < out.n; i++) {
                assert_int_equal(drafted[i].id, cases[k].out[i]);
                assert_int_equal(path[cases[k].n + i], cases[k].out[i]);
                assert_true(q[i].n == 1 && q[i].id[0] == cases[k].out[i] && q[i].w[0] == q[i].total);
            }
            d.close(d.self);
        }
    }
}

/* ------------------------------------------------------------------------------------------------ the law,
 * sampled */

static void exp_weights(const double *z, int n, uint64_t *w) {
    for (int i = 0; i < n; i++) w[i] = (uint64_t)(0x1p40 * vb_exp(z[i]));
}

static int law_of(vb_law *l, vb_context *c, const int32_t *path, size_t n, int32_t *id, double *p) {
    uint64_t w[8];
    const vb_dist_space space = {8, id, w};
    vb_dist d;
    vb_context_truncate(c, 0, NULL);
    assert_int_equal(vb_eval(c, path, n, NULL, NULL), 0);
    assert_int_equal(vb_law_distribution(l, vb_logits(c, n - 1),
                                         vb_model_describe(vb_context_model(c))->n_vocab, path, n, &space, &d,
                                         NULL),
                     0);
    for (int i = 0; i < d.n; i++) p[i] = (double)d.w[i] / (double)d.total;
    return d.n;
}

/* The joint law of the first three tokens under rejection and block, against the exact one; chi-square, fixed
 * seeds. */
static void joint_law(void **state) {
    (void)state;
    enum { K = 4, CELLS = K * K * K, N = 1 << 14 };
    gw_model_spec spec = {.dim = 32,
                          .layers = 1,
                          .heads = 2,
                          .seed = 5,
                          .branch = 0.6f,
                          .type = VB_Q8_0,
                          .n_ctx = 64,
                          .logit_scale = 2};
    loaded target, draft;
    load_tiny(&target, &spec, 32);
    spec.noise = 0.2f;
    load_tiny(&draft, &spec, 32);
    job j = a_job(VB_ACCEPT_REJECTION, BY_MODEL, 3, 1, 0);
    j.target = target.context;
    j.draft = draft.context;
    j.n = 3;
    j.sampling.top_k = K;
    j.sampling.top_p = 1;
    j.sampling.min_p = 0;
    j.sampling.presence_penalty = 0.5;

    vb_law *l = NULL;
    int32_t id[1 + K + K * K][K], path[16] = {1, 2, 3};
    double p[1 + K + K * K][K], cell[CELLS];
    assert_int_equal(
        vb_law_open(&l, &j.sampling, vb_model_describe(target.model)->n_vocab, exp_weights, NULL), 0);
    assert_int_equal(law_of(l, target.context, path, 3, id[0], p[0]), K);
    for (int a = 0; a < K; a++) {
        path[3] = id[0][a];
        assert_int_equal(law_of(l, target.context, path, 4, id[1 + a], p[1 + a]), K);
        for (int b = 0; b < K; b++) {
            const int row = 1 + K + a * K + b;
            path[4] = id[1 + a][b];
            assert_int_equal(law_of(l, target.context, path, 5, id[row], p[row]), K);
            for (int c = 0; c < K; c++) cell[(a * K + b) * K + c] = p[0][a] * p[1 + a][b] * p[row][c];
        }
    }
    vb_law_close(l);

    for (int rule = VB_ACCEPT_REJECTION; rule <= VB_ACCEPT_BLOCK; rule++) {
        int seen[CELLS] = {0};
        uint64_t drafted = 0, accepted = 0;
        const double t0 = vb_now();
        vb_context_truncate(target.context, 0, NULL);
        vb_context_truncate(draft.context, 0, NULL);
        assert_int_equal(vb_eval(target.context, path, 3, NULL, NULL), 0);
        assert_int_equal(vb_eval(draft.context, path, 2, NULL, NULL), 0);
        for (uint32_t run_ = 0; run_ < N; run_++) {
            vb_spec_params sp;
            vb_spec *s = NULL;
            vb_step step;
            int32_t out[8];
            int n = 0;
            vb_spec_defaults(&sp);
            sp.accept = (vb_accept)rule;
            sp.draft = VB_DRAFT_MODEL;
            sp.draft_context = draft.context;
            sp.gamma = 3;
            sp.history = path;
            sp.n_history = 3;
            sp.logprobs = false;
            j.sampling.seed = run_;
            vb_context_truncate(target.context, vb_context_length(target.context) < 3 ? 2 : 3, NULL);
            vb_context_truncate(draft.context, 2, NULL);
            if (vb_context_length(target.context) < 3)
                assert_int_equal(vb_eval(target.context, path + 2, 1, NULL, NULL), 0);
            assert_int_equal(vb_spec_open(&s, target.context, &j.sampling, &sp, NULL), 0);
            while (n < 3) {
                assert_int_equal(vb_spec_step(s, 4, &step, NULL), 0);
                for (int i = 0; i < step.n_emitted; i++) out[n++] = step.emitted[i].id;
                drafted += (uint64_t)step.n_drafted;
                accepted += (uint64_t)step.n_accepted;
            }
            vb_spec_close(s);
            int a = 0, b = 0, c = 0;
            while (id[0][a] != out[0]) assert_true(++a < K);
            while (id[1 + a][b] != out[1]) assert_true(++b < K);
            while (id[1 + K + a * K + b][c] != out[2]) assert_true(++c < K);
            seen[(a * K + b) * K + c]++;
        }
        double chi = 0, tv = 0;
        for (int i = 0; i < CELLS; i++) {
            const double e = N * cell[i], d = seen[i] - e;
            assert_true(e > 5);
            chi += d * d / e;
            tv += fabs(d) / (2 * N);
        }
        printf("%s: chi-square %.1f on 63 (limit 154 at 1e-9), TV %.4f over %d runs, %.2f of drafts "
               "accepted, %.1f s\n",
               vb_accept_name((vb_accept)rule), chi, tv, N, (double)accepted / (double)drafted,
               vb_now() - t0);
        assert_true(chi < 154);
        assert_true(accepted > 0 && accepted < drafted);
    }
    unload(&target);
    unload(&draft);
}

/* ------------------------------------------------------------------------------------------------ trained
 * models */

static bool fixture(const char *name, char *path, size_t size) {
    const char *root = getenv("VB_FIXTURES");
    if (!root) {
        print_message("skipped: VB_FIXTURES is not set\n");
        return false;
    }
    snprintf(path, size, "%s/models/%s", root, name);
    return true;
}

static void trained_pair(void **state) {
    (void)state;
    char path[2][512];
    if (!fixture("stories260K.gguf", path[0], 512) || !fixture("llama2xs.gguf", path[1], 512)) skip();
    loaded target, draft, self;
    load(&target, path[0], 128);
    load(&draft, path[1], 128);
    load(&self, path[0], 128);
    static const double temperatures[] = {0.3, 0.8, 1.0, 1.5};
    static const int32_t once[] = {1, 403, 407, 261, 378}; /* a beginning of a story */
    double alpha[4][4] = {{0}};
    int runs = 0;
    const double t0 = vb_now();
    for (int t = 0; t < 4; t++) {
        uint64_t tested[4] = {0}, accepted[4] = {0};
        for (uint64_t seed = 0; seed < 200; seed++) {
            outcome alone, o;
            job j = a_job(VB_ACCEPT_COUPLED, ALONE, 1, temperatures[t], seed);
            j.target = target.context;
            j.draft = draft.context;
            j.self = self.context;
            j.prompt = once;
            j.n_prompt = 5;
            if (temperatures[t] == 1.0) j.sampling.top_k = 0, j.sampling.top_p = 1, j.sampling.min_p = 0;
            run(&j, &alone);
            for (who by = BY_MODEL; by <= BY_NGRAM; by++) {
                for (int gamma = 1; gamma <= 7; gamma += 2) {
                    j.by = by;
                    j.gamma = gamma;
                    run(&j, &o);
                    same(&alone, &o, &j);
                    tested[by] += o.stats.tested;
                    accepted[by] += o.stats.accepted;
                    runs++;
                }
            }
        }
        for (who by = BY_MODEL; by <= BY_NGRAM; by++)
            alpha[t][by] = (double)accepted[by] / (double)tested[by];
        printf("temperature %.1f%s: alpha of llama2xs %.3f, of itself %.3f, of n-grams %.3f\n",
               temperatures[t], temperatures[t] == 1.0 ? " (no truncation)" : "", alpha[t][BY_MODEL],
               alpha[t][BY_ITSELF], alpha[t][BY_NGRAM]);
        assert_true(alpha[t][BY_ITSELF] == 1);
    }
    printf("%d runs of 24 tokens equal to the target alone, %.1f s\n", runs, vb_now() - t0);
    assert_true(alpha[2][BY_MODEL] >= 0.6);

    for (int rule = VB_ACCEPT_COUPLED; rule <= VB_ACCEPT_BLOCK; rule++) {
        if (rule == VB_ACCEPT_GREEDY) continue;
        uint64_t tested = 0, accepted = 0, steps = 0, emitted = 0;
        for (uint64_t seed = 0; seed < 200; seed++) {
            outcome o;
            job j = a_job((vb_accept)rule, BY_MODEL, 5, 1, seed);
            j.target = target.context;
            j.draft = draft.context;
            j.prompt = once;
            j.n_prompt = 5;
            j.sampling.top_k = 0, j.sampling.top_p = 1, j.sampling.min_p = 0;
            run(&j, &o);
            tested += o.stats.tested;
            accepted += o.stats.accepted;
            steps += o.stats.steps;
            emitted += o.stats.emitted;
        }
        printf("%s, temperature 1, gamma 5: alpha %.3f, %.2f tokens a step\n",
               vb_accept_name((vb_accept)rule), (double)accepted / (double)tested,
               (double)emitted / (double)steps);
        assert_true((double)accepted / (double)tested > 0.55);
    }
    unload(&target);
    unload(&draft);
    unload(&self);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coupled_is_the_target_alone),
        cmocka_unit_test(greedy_under_every_rule),
        cmocka_unit_test(alone_under_every_rule),
        cmocka_unit_test(caches_and_logprobs),
        cmocka_unit_test(errors_leave_it_repeatable),
        cmocka_unit_test(stop_tokens),
        cmocka_unit_test(a_full_context),
        cmocka_unit_test(pieces_and_resumption),
        cmocka_unit_test(other_vocabularies),
        cmocka_unit_test(bad_arguments),
        cmocka_unit_test(everything_banned),
        cmocka_unit_test(ngram_lookup),
        cmocka_unit_test(joint_law),
        cmocka_unit_test(trained_pair),
    };
    return cmocka_run_group_tests_name("speculate", tests, open_rig, close_rig);
}
