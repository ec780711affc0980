/* P2 on trained models, and how often a real draft is right. Needs VB_FIXTURES. */
#include "base/base.h"
#include "tests/spec_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

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
        cmocka_unit_test(trained_pair),
    };
    return cmocka_run_group_tests_name("speculate_trained", tests, NULL, NULL);
}
