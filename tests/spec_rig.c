/* spec_rig.c - runs generations on small models and checks what every step promises (spec_rig.h). */
#include "tests/spec_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* ---------------------------------------------------------------------- models */

int cancel_after = -1;
static bool cancel(void *user) {
    (void)user;
    return cancel_after >= 0 && cancel_after-- == 0;
}

void load(loaded *m, const char *path, int n_ctx) {
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

void unload(loaded *m) {
    vb_context_close(m->context);
    vb_model_close(m->model);
    vb_gguf_close(m->gguf);
}

void load_tiny(loaded *m, const gw_model_spec *spec, int n_ctx) {
    char path[256];
    gw_temp_path(path);
    assert_int_equal(gw_tiny_model(path, spec), 0);
    load(m, path, n_ctx);
    unlink(path);
}

rig_models rig;

int open_rig(void **state) {
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

int close_rig(void **state) {
    (void)state;
    unload(&rig.target);
    unload(&rig.draft);
    unload(&rig.self);
    unload(&rig.check);
    unload(&rig.check_draft);
    return 0;
}

/* ---------------------------------------------------------------------- runs */

const char *const who_name[] = {"alone", "model", "self", "n-gram", "forced text", "suffix"};

const int32_t prompt[N_PROMPT] = {1, 60, 61, 62, 63, 60, 61, 62, 90, 60, 61};

job a_job(vb_accept accept, who by, int gamma, double temperature, uint64_t seed) {
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

/* Over what the caches hold: history[0..n), and of the draft's, where it drafts through text,
 * held[0..n_held). */
static vb_spec *open_over(const job *j, const int32_t *history, size_t n, const int32_t *held,
                          size_t n_held) {
    vb_spec *s = NULL;
    vb_error err = {0};
    vb_spec_params p;
    vb_spec_defaults(&p);
    p.accept = j->accept;
    p.draft = j->by == ALONE       ? VB_DRAFT_NONE
              : j->by == BY_NGRAM  ? VB_DRAFT_NGRAM
              : j->by == BY_FORCED ? VB_DRAFT_FORCED
              : j->by == BY_SUFFIX ? VB_DRAFT_SUFFIX
                                   : VB_DRAFT_MODEL;
    p.mask = j->mask;
    p.draft_context = j->by == BY_MODEL ? j->draft : j->by == BY_ITSELF ? j->self : NULL;
    p.gamma = j->gamma;
    memcpy(p.tree, j->tree, sizeof p.tree);
    p.costs = j->costs;
    p.suffix_min = j->suffix_min;
    if (j->by == BY_MODEL) {
        p.target_tokenizer = j->target_tokenizer;
        p.draft_tokenizer = j->draft_tokenizer;
        p.draft_history = held;
        p.n_draft_history = n_held;
    }
    p.stop = j->stop;
    p.n_stop = j->n_stop;
    p.history = history;
    p.n_history = n;
    vb_context_truncate(j->target, (int)n, NULL);
    if (p.draft_context && !p.draft_tokenizer && (size_t)vb_context_length(p.draft_context) > n)
        vb_context_truncate(p.draft_context, (int)n, NULL);
    if (vb_spec_open(&s, j->target, &j->sampling, &p, &err)) fail_msg("%s", err.message);
    return s;
}

vb_spec *open_job(const job *j) {
    return open_over(j, NULL, 0, NULL, 0);
}

/* Another generation goes on where `s` stands. */
static vb_spec *take_over(const job *j, vb_spec *s) {
    int32_t path[512], draft[512];
    size_t n, n_draft;
    vb_error err = {0};
    const int32_t *held = vb_spec_tokens(s, &n), *of_draft = vb_spec_draft_tokens(s, &n_draft);
    assert_true(n <= 512 && n_draft <= 512);
    memcpy(path, held, n * sizeof *path);
    if (n_draft) memcpy(draft, of_draft, n_draft * sizeof *draft);
    vb_spec_close(s);
    s = open_over(j, path, n - 1, draft, n_draft);
    if (vb_spec_give(s, path + n - 1, 1, &err)) fail_msg("%s", err.message);
    return s;
}

void run(const job *j, outcome *o) {
    vb_spec *s = open_job(j);
    vb_error err = {0};
    unsigned vary = j->vary;
    int steps = 0;
    memset(o, 0, sizeof *o);
    if (vb_spec_prompt(s, j->prompt, j->n_prompt, &err)) fail_msg("%s", err.message);
    while (o->n < j->n && !o->stopped) {
        vb_step step = {0};
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
        int accepted = 0;
        for (int i = 0; i < step.n_drafted; i++) {
            o->copied_at[i] += step.drafted[i].copied;
            o->drawn_at[i] += !step.drafted[i].copied;
            assert_true(step.drafted[i].q_w > 0);
            accepted += step.drafted[i].accepted;
            o->branched += step.drafted[i].parent != i - 1;
            if (!j->tree[0]) assert_int_equal(step.drafted[i].accepted, i < step.n_accepted);
        }
        assert_int_equal(accepted, step.n_accepted);
        size_t n;
        const int32_t *path = vb_spec_tokens(s, &n);
        assert_int_equal(n, (int)j->n_prompt + o->n);
        assert_memory_equal(path + j->n_prompt, o->id, (size_t)o->n * sizeof *o->id);
        assert_int_equal(vb_context_length(j->target), n - 1);
        if (++steps == j->resume_at) s = take_over(j, s);
    }
    vb_spec_stats(s, &o->stats);
    assert_true(j->resume_at || o->stats.emitted == (uint64_t)o->n);
    vb_context_hash(j->target, o->hash);
    if (j->by == BY_MODEL || j->by == BY_ITSELF) {
        vb_context *d = j->by == BY_MODEL ? j->draft : j->self;
        o->draft_length = vb_context_length(d);
        vb_context_hash(d, o->draft_hash);
    }
    vb_spec_close(s);
}

void same(const outcome *a, const outcome *b, const job *j) {
    if (a->n != b->n || memcmp(a->id, b->id, (size_t)a->n * sizeof *a->id) ||
        memcmp(a->logprob, b->logprob, (size_t)a->n * sizeof *a->logprob) || memcmp(a->hash, b->hash, 16))
        fail_msg("%s, drafts by %s, gamma %d, temperature %g, seed %llu: not what the target alone gives",
                 vb_accept_name(j->accept), who_name[j->by], j->gamma, j->sampling.temperature,
                 (unsigned long long)j->sampling.seed);
}
