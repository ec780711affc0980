/* A trimmed draft model: its logits are those of the rows that stay, bit for bit; it drafts those ids alone,
 * and the text is the target's. */
#include "tests/spec_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { MOST_IDS = 1024 };

static int32_t kept[MOST_IDS];
static size_t n_kept;

static bool all_but_one;

/* Every third id, and all below 100; or all but the first one, which nobody writes. */
static void choose(int n_vocab) {
    n_kept = 0;
    for (int32_t id = 0; id < n_vocab && n_kept < MOST_IDS; id++)
        if (all_but_one ? id > 0 : id % 3 == 0 || id < 100) kept[n_kept++] = id;
}

/* The draft of the rig, trimmed. */
static void load_trimmed(loaded *m, bool packed) {
    gw_model_spec spec = {.dim = 64,
                          .layers = 2,
                          .seed = 7,
                          .type = VB_Q8_0,
                          .branch = 0.6f,
                          .n_ctx = 512,
                          .noise = 0.12f,
                          .noise_seed = 3};
    char path[256];
    vb_error err = {0};
    vb_context_params p;
    gw_temp_path(path);
    assert_int_equal(gw_tiny_model(path, &spec), 0);
    vb_context_defaults(&p);
    p.n_threads = 1;
    p.n_ctx = 128;
    if (vb_gguf_open(&m->gguf, path, &err) || vb_model_open(&m->model, m->gguf, &err))
        fail_msg("%s", err.message);
    choose(vb_model_describe(m->model)->n_vocab);
    if (vb_model_trim(m->model, kept, n_kept, &err) || (packed && vb_model_repack(m->model, NULL, &err)) ||
        vb_context_open(&m->context, m->model, &p, &err))
        fail_msg("%s", err.message);
    unlink(path);
}

static int by_id(const void *a, const void *b) {
    const int32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void the_same_bits(void **state) {
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        loaded m;
        size_t n;
        static const uint8_t want[N_PROMPT] = {1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1};
        load_trimmed(&m, packed);
        assert_ptr_not_equal(vb_model_kept(m.model, &n), NULL);
        assert_int_equal(n, n_kept);
        assert_true(n < (size_t)vb_model_describe(m.model)->n_vocab);
        vb_context_truncate(rig.check_draft.context, 0, NULL);
        assert_int_equal(vb_eval(m.context, prompt, N_PROMPT, want, NULL), 0);
        assert_int_equal(vb_eval(rig.check_draft.context, prompt, N_PROMPT, want, NULL), 0);
        for (size_t row = 0; row < N_PROMPT; row++) {
            if (!want[row]) continue;
            const float *few = vb_logits(m.context, row), *all = vb_logits(rig.check_draft.context, row);
            for (size_t i = 0; i < n; i++) assert_memory_equal(&few[i], &all[kept[i]], sizeof *few);
        }
        unload(&m);
    }
    size_t n = 1;
    assert_null(vb_model_kept(rig.draft.model, &n));
    assert_int_equal(n, 0);
}

/* P2 and P4, drafts of kept ids only, and q = 0 elsewhere: what a law of the draft holds was kept. */
static void generations(void **state) {
    static const vb_accept rules[] = {VB_ACCEPT_COUPLED, VB_ACCEPT_GREEDY, VB_ACCEPT_REJECTION,
                                      VB_ACCEPT_BLOCK};
    loaded m;
    int drafted = 0, accepted = 0;
    (void)state;
    load_trimmed(&m, true);
    for (int r = 0; r < 4; r++) {
        for (uint64_t seed = 1; seed <= 6; seed++) {
            const double temperature = rules[r] == VB_ACCEPT_GREEDY ? 0 : 0.7;
            job alone = a_job(VB_ACCEPT_COUPLED, ALONE, 1, temperature, seed),
                j = a_job(rules[r], BY_MODEL, 4, temperature, seed);
            outcome a, o;
            j.draft = m.context;
            run(&j, &o);
            accepted += (int)o.stats.accepted;
            if (r < 2) {
                run(&alone, &a);
                same(&o, &a, &j);
            }
            vb_spec *s = open_job(&j);
            vb_step step;
            assert_int_equal(vb_spec_prompt(s, prompt, N_PROMPT, NULL), 0);
            for (int k = 0; k < 6; k++) {
                assert_int_equal(vb_spec_step(s, 9, &step, NULL), 0);
                for (int i = 0; i < step.n_drafted; i++)
                    for (int32_t q = 0; q < step.q[i].n; q++, drafted++)
                        assert_non_null(bsearch(&step.q[i].id[q], kept, n_kept, sizeof *kept, by_id));
            }
            vb_spec_close(s);
        }
    }
    printf("%d weights of q, all of kept ids; %d drafts accepted\n", drafted, accepted);
    assert_true(drafted > 500 && accepted > 50);

    /* Where only ids may come that have no row, nothing is drafted. */
    vb_logit_bias *bias = calloc(n_kept, sizeof *bias);
    for (size_t i = 0; i < n_kept; i++) bias[i] = (vb_logit_bias){kept[i], -INFINITY};
    job j = a_job(VB_ACCEPT_REJECTION, BY_MODEL, 4, 0.7, 1);
    outcome o;
    j.draft = m.context;
    j.sampling.bias = bias;
    j.sampling.n_bias = n_kept;
    run(&j, &o);
    assert_int_equal(o.stats.drafted, 0);
    assert_int_equal(o.n, j.n);
    free(bias);
    unload(&m);
}

/* How sure a draft is at temperature 0 is asked of its logits, whose places are not ids any more. */
static void as_sure_as_with_all_rows(void **state) {
    (void)state;
    loaded m;
    outcome whole, trimmed;
    all_but_one = true;
    load_trimmed(&m, true);
    all_but_one = false;
    job j = a_job(VB_ACCEPT_COUPLED, BY_MODEL, VB_GAMMA_AUTO, 0, 1);
    j.n = 90;
    run(&j, &whole);
    j.draft = m.context;
    run(&j, &trimmed);
    same(&trimmed, &whole, &j);
    int lengths = 0;
    for (int k = 0; k <= 32; k++) {
        lengths += whole.stats.by_length[k] > 0;
        if (trimmed.stats.by_length[k] != whole.stats.by_length[k])
            fail_msg("%llu steps of %d drafts, with all rows %llu",
                     (unsigned long long)trimmed.stats.by_length[k], k,
                     (unsigned long long)whole.stats.by_length[k]);
    }
    assert_true(lengths > 2);
    unload(&m);
}

static void errors(void **state) {
    (void)state;
    loaded m;
    vb_error err = {0};
    const int32_t down[] = {2, 1}, far[] = {1 << 20}, one[] = {1};
    load_trimmed(&m, false);
    assert_int_equal(vb_model_trim(m.model, kept, n_kept, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "trimmed already"));
    assert_int_equal(vb_model_trim(rig.draft.model, down, 2, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "ascend"));
    assert_int_equal(vb_model_trim(rig.draft.model, far, 1, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "outside"));
    assert_int_equal(vb_model_trim(rig.draft.model, one, 0, &err), VB_ERR_ARGUMENT);
    job j = a_job(VB_ACCEPT_COUPLED, ALONE, 1, 1, 1);
    vb_spec *s = NULL;
    vb_spec_params p;
    vb_spec_defaults(&p);
    assert_int_equal(vb_spec_open(&s, m.context, &j.sampling, &p, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "for draft models"));
    unload(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bits),
        cmocka_unit_test(generations),
        cmocka_unit_test(as_sure_as_with_all_rows),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests_name("trim", tests, open_rig, close_rig);
}
