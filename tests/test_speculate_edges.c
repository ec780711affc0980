/* Speculation at its edges: stop tokens, full contexts, text in pieces, other vocabularies, bad arguments,
 * everything banned; and what prompt lookup finds. */
#include "sampling/drafter.h"
#include "tests/spec_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

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
            const vb_drafter_ngram_params params = {.max = cases[k].max,
                                                    .min = cases[k].min,
                                                    .limit = 50,
                                                    .n_ctx = 16,
                                                    .stop = &stop,
                                                    .n_stop = 1};
            assert_int_equal(vb_drafter_ngram(&d, &params, NULL), 0);
            memcpy(path, cases[k].path, sizeof cases[k].path);
            for (int n = 1; piecewise && n < cases[k].n; n++) {
                memcpy(path, cases[k].path, sizeof cases[k].path);
                out.n = 0; /* writes behind the path */
                assert_int_equal(d.draft(d.self, path, (size_t)n, &out, NULL), 0);
                d.settle(d.self, (size_t)n);
            }
            memcpy(path, cases[k].path, sizeof cases[k].path);
            out.n = 0;
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_tokens),           cmocka_unit_test(a_full_context),
        cmocka_unit_test(pieces_and_resumption), cmocka_unit_test(other_vocabularies),
        cmocka_unit_test(bad_arguments),         cmocka_unit_test(everything_banned),
        cmocka_unit_test(ngram_lookup),
    };
    return cmocka_run_group_tests_name("speculate_edges", tests, open_rig, close_rig);
}
