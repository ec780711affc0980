/* server_rig.c - clients of the engine, and what the same requests give alone (server_rig.h). */
#include "tests/server_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

char target_path[256], draft_path[256];

int write_models(void **state) {
    (void)state;
    gw_model_spec spec = {.dim = 64, .layers = 2, .seed = 7, .type = VB_Q8_0, .branch = 0.6f, .n_ctx = 512};
    gw_temp_path(target_path);
    gw_temp_path(draft_path);
    if (gw_tiny_model(target_path, &spec)) return -1;
    spec.noise = 0.12f;
    spec.noise_seed = 3;
    return gw_tiny_model(draft_path, &spec);
}

int remove_models(void **state) {
    (void)state;
    return unlink(target_path) | unlink(draft_path);
}

vbs_engine *open_engine(drafting who, int slots, int queue) {
    return open_engine_of(target_path, draft_path, who, slots, queue);
}

vbs_engine *open_engine_of(const char *target, const char *draft, drafting who, int slots, int queue) {
    vbs_engine *e = NULL;
    vb_error err = {0};
    vb_costs costs; /* not measured, so that a second engine has the same */
    vb_costs_typical(&costs);
    const vbs_engine_params p = {.target = target,
                                 .costs = &costs,
                                 .draft = who == MODEL ? draft : NULL,
                                 .alone = who == NGRAM ? VB_DRAFT_NGRAM : VB_DRAFT_NONE,
                                 .slots = slots,
                                 .queue = queue,
                                 .n_ctx = N_CTX,
                                 .n_threads = 2,
                                 .k_type = VB_F16,
                                 .v_type = VB_F16,
                                 .draft_k_type = VB_F16,
                                 .draft_v_type = VB_F16};
    if (vbs_engine_open(&e, &p, &err)) fail_msg("%s", err.message);
    return e;
}

/* ---------------------------------------------------------------------- a client */

static void check_token(client *c, const vbs_token *t) {
    c->wrong |= c->r.want_logprobs ? !(t->logprob <= 0) : !isnan(t->logprob);
    c->wrong |= !(t->p > 0 && t->p <= 1);
    c->wrong |= t->origin == VB_FROM_DRAFT ? !(t->q > 0 && t->q <= 1) : !isnan(t->q);
    c->wrong |= c->r.want_law ? t->n_top > c->r.n_top : t->n_top != c->r.n_top;
    for (int i = 0; i < t->n_top; i++) {
        if (i > 0) c->wrong |= t->top[i].value > t->top[i - 1].value;
        if (t->top[i].id != t->id) continue;
        if (c->r.want_law)
            c->wrong |= t->top[i].value != t->p;
        else if (c->r.want_logprobs)
            c->wrong |= t->top[i].value != t->logprob;
    }
}

static bool on_step(void *user, const vbs_step *step, size_t *kept) {
    client *c = user;
    pthread_mutex_lock(&c->mutex);
    c->step_calls++;
    pthread_cond_broadcast(&c->cond);
    while (c->held) pthread_cond_wait(&c->cond, &c->mutex);
    c->wrong |= c->ended || c->stopped || step->n == 0 || c->n + step->n > MOST || *kept != step->n;
    if (c->cut_after && c->n + step->n > c->cut_after) *kept = c->cut_after - c->n;
    for (size_t i = 0; i < *kept && c->n < MOST; i++) {
        const vbs_token *t = &step->tokens[i];
        check_token(c, t);
        c->id[c->n] = t->id;
        c->logprob[c->n] = t->logprob;
        c->p[c->n] = t->p;
        c->n_top[c->n] = t->n_top;
        for (int k = 0; k < t->n_top; k++) c->top[c->n][k] = t->top[k];
        c->q[c->n] = t->q;
        c->origin[c->n++] = t->origin;
        c->stopped |= t->stop;
    }
    c->steps++;
    c->drafted += *kept < step->n ? *kept : (size_t)step->n_drafted;
    c->accepted += *kept < step->n ? *kept : (size_t)step->n_accepted;
    c->torn = *kept < step->n;
    c->rejections += step->rejected >= 0;
    /* In a tree a sibling of an accepted draft may have been tested, too. */
    const bool refused = c->r.want_drafts && step->n_accepted < step->n_tested;
    c->wrong |= c->r.tree[0] ? step->rejected >= 0 && !refused : (step->rejected >= 0) != refused;
    const bool more =
        (!c->hang_up_after || c->n < c->hang_up_after) && (!c->cut_after || c->n < c->cut_after);
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

client *new_client(uint64_t seed, size_t n_prompt, vb_accept accept, int gamma, double temperature,
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
    c->r.want_law = seed % 4 == 1;
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

client *mixed_client(size_t i, uint64_t salt) {
    static const vb_accept rules[] = {VB_ACCEPT_COUPLED, VB_ACCEPT_REJECTION, VB_ACCEPT_BLOCK,
                                      VB_ACCEPT_GREEDY};
    const vb_accept rule = rules[i % 4];
    static const size_t lengths[] = {5, 90, 1, 33, 150, 64, 65, 12};
    const double temperature = rule == VB_ACCEPT_GREEDY ? 0 : i % 5 == 0 ? 0 : 0.7 + 0.2 * (double)(i % 3);
    static const int gammas[] = {5, 0, 3, 8, 1, 7};
    const bool law = rule == VB_ACCEPT_REJECTION || rule == VB_ACCEPT_BLOCK;
    const int gamma = law && i % 3 == 0 ? VB_GAMMA_AUTO : gammas[i % 6];
    client *c =
        new_client(salt + i, lengths[(i + salt) % 8], rule, gamma, temperature, i % 7 == 6 ? 0 : 10 + i % 9);
    /* Some drafts are trees, where a model drafts. */
    if ((gamma == 3 || gamma == 7) && rule != VB_ACCEPT_BLOCK) c->r.tree[0] = 3, c->r.tree[1] = gamma / 3;
    return c;
}

void submit(vbs_engine *e, client *c) {
    vb_error err = {0};
    c->engine = e;
    if (vbs_submit(e, &c->r, &c->job, &err)) fail_msg("%s", err.message);
}

void wait_tokens(client *c, size_t n) {
    pthread_mutex_lock(&c->mutex);
    while (c->n < n && !c->ended) pthread_cond_wait(&c->cond, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

void wait_step(client *c) {
    pthread_mutex_lock(&c->mutex);
    while (!c->step_calls && !c->ended) pthread_cond_wait(&c->cond, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

size_t read_so_far(client *c) {
    pthread_mutex_lock(&c->mutex);
    const size_t n = c->prompt_done;
    pthread_mutex_unlock(&c->mutex);
    return n;
}

void wait_end(client *c) {
    pthread_mutex_lock(&c->mutex);
    while (!c->ended) pthread_cond_wait(&c->cond, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

bool has_ended(client *c) {
    pthread_mutex_lock(&c->mutex);
    const bool ended = c->ended > 0;
    pthread_mutex_unlock(&c->mutex);
    return ended;
}

void hold(client *c, bool held) {
    pthread_mutex_lock(&c->mutex);
    c->held = held;
    pthread_cond_broadcast(&c->cond);
    pthread_mutex_unlock(&c->mutex);
}

void drop(client *c) {
    assert_int_equal(c->ended, 1);
    assert_false(c->wrong);
    assert_int_equal(c->result.output_tokens, c->n);
    assert_int_equal(c->result.prompt_tokens, c->r.n_prompt);
    assert_true(c->result.stats.accepted == c->accepted);
    assert_true(c->result.stats.drafted == c->drafted || (c->torn && c->r.tree[0])); /* siblings stay */
    assert_true(c->result.queue_s >= 0 && c->result.prompt_s >= 0 && c->result.decode_s >= 0);
    pthread_mutex_destroy(&c->mutex);
    pthread_cond_destroy(&c->cond);
    free(c);
}

/* ---------------------------------------------------------------------- the same alone */

alone open_alone(void) {
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
    a.stop = vb_stop_ids(a.tokenizer, &a.n_stop);
    return a;
}

void close_alone(alone *a) {
    vb_tokenizer_close(a->tokenizer);
    for (int i = 0; i < 2; i++) {
        vb_context_close(a->context[i]);
        vb_model_close(a->model[i]);
        vb_gguf_close(a->gguf[i]);
    }
}

/* The alternatives of token n against the law, the slow way: none of the ids left outweighs the next. */
static void expect_law(const client *c, size_t n, const vb_dist *d) {
    int32_t most = 0;
    for (int32_t i = 0; i < d->n; i++) most += d->w[i] > 0;
    assert_int_equal(c->n_top[n], most < c->r.n_top ? most : c->r.n_top);
    for (int k = 0; k < c->n_top[n]; k++) {
        int32_t best = -1;
        for (int32_t i = 0; i < d->n; i++) {
            bool taken = false;
            for (int before = 0; before < k; before++) taken |= c->top[n][before].id == d->id[i];
            if (!taken && (best < 0 || d->w[i] > d->w[best])) best = i;
        }
        assert_int_equal(c->top[n][k].id, d->id[best]);
        assert_true(c->top[n][k].value == (double)d->w[best] / (double)d->total);
    }
}

void expect_as_alone(alone *a, const client *c, drafting who) {
    vb_spec_params p;
    vb_spec *s = NULL;
    vb_error err = {0};
    vb_spec_defaults(&p);
    p.accept = c->r.accept;
    if (c->r.gamma != 0 && who != NOBODY) {
        p.draft = who == MODEL ? VB_DRAFT_MODEL : VB_DRAFT_NGRAM;
        p.gamma = c->r.gamma;
        p.draft_context = who == MODEL ? a->context[1] : NULL;
        if (who == MODEL) memcpy(p.tree, c->r.tree, sizeof p.tree);
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
            if (n >= c->n && c->torn) break;
            if (n >= c->n) fail_msg("a step was torn apart");
            if (step.emitted[i].id != c->id[n])
                fail_msg("seed %llu, %s, gamma %d, token %zu: %d, alone %d",
                         (unsigned long long)c->r.sampling.seed, vb_accept_name(c->r.accept), c->r.gamma, n,
                         (int)c->id[n], (int)step.emitted[i].id);
            assert_int_equal(step.emitted[i].origin, c->origin[n]);
            if (c->r.want_logprobs) assert_memory_equal(&step.emitted[i].logprob, &c->logprob[n], 8);
            if (c->r.want_law) expect_law(c, n, &step.p[i ? step.kept[i - 1] + 1 : 0]);
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
