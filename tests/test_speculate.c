/* Speculation on real contexts: P2 (the same tokens), P4 (the same caches), P5 (the same log-probabilities),
 * and the joint law of the first tokens, sampled. The models are small and seeded: they speak no language,
 * but their arithmetic is the real one. */
#include "sampling/distribution.h"
#include "ref/mathf.h"
#include "tests/spec_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* ---------------------------------------------------------------------- P2 */

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

/* ---------------------------------------------------------------------- P4, P5 */

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

/* ---------------------------------------------------------------------- the law, sampled */

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
    enum { K = 4, CELLS = K * K * K };
    const int N =
        getenv("VB_FIXTURES") ? 1 << 15 : 1 << 13; /* the quick run finds a total variation of 0.07 */
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
    double p[1 + K + K * K][K] = {{0}}, cell[CELLS];
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
        for (int run_ = 0; run_ < N; run_++) {
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
            j.sampling.seed = (uint64_t)run_;
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coupled_is_the_target_alone), cmocka_unit_test(greedy_under_every_rule),
        cmocka_unit_test(alone_under_every_rule),      cmocka_unit_test(caches_and_logprobs),
        cmocka_unit_test(errors_leave_it_repeatable),  cmocka_unit_test(joint_law),
    };
    return cmocka_run_group_tests_name("speculate", tests, open_rig, close_rig);
}
