/* A draft model of another vocabulary: the translation of ids is a function of the path, however that was
 * read; the text is the target's, for every rule and seed; and what is proposed does not depend on how the
 * draft's cache came to be. */
#include "base/base.h"
#include "tests/spec_rig.h"
#include "tokenizer/translate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* Under the address sanitizer a run takes thirty times as long, and fewer of them meet every line as well. */
#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 2 };
#else
enum { SEEDS = 8 };
#endif
enum { N_CTX = 256, KEPT_MERGES = 1200 };

static const char TARGET[] = "vectors/models/tales-target-q8_0.gguf",
                  DRAFT[] = "vectors/models/tales-draft-q8_0.gguf";

/* The shipped pair, the draft with a vocabulary of its own; and that draft once more, for checks. */
static struct {
    loaded target, draft, check, same;
    vb_tokenizer *t, *d;
    int32_t *prompt;
    size_t n_prompt;
} pair;

static const char TALE[] = "Once upon a time there was a poor miller who had three sons, and the youngest of "
                           "them went into the forest. \"";

static int open_pair(void **state) {
    char path[256];
    vb_error err = {0};
    (void)state;
    gw_temp_path(path);
    assert_int_equal(gw_other_vocab(DRAFT, path, KEPT_MERGES), 0);
    load(&pair.target, TARGET, N_CTX);
    load(&pair.draft, path, N_CTX + N_CTX / 2);
    load(&pair.check, path, N_CTX + N_CTX / 2);
    load(&pair.same, DRAFT, N_CTX);
    unlink(path);
    if (vb_tokenizer_open(&pair.t, pair.target.gguf, &err) ||
        vb_tokenizer_open(&pair.d, pair.draft.gguf, &err) ||
        vb_tokenize_prompt(pair.t, TALE, strlen(TALE), true, &pair.prompt, &pair.n_prompt, &err))
        fail_msg("%s", err.message);
    return 0;
}

static int close_pair(void **state) {
    (void)state;
    vb_tokenizer_close(pair.t);
    vb_tokenizer_close(pair.d);
    unload(&pair.target);
    unload(&pair.draft);
    unload(&pair.check);
    unload(&pair.same);
    vb_free(pair.prompt);
    return 0;
}

static uint32_t state_of_noise = 1;
static uint32_t noise(void) {
    state_of_noise = state_of_noise * 1664525u + 1013904223u;
    return state_of_noise >> 8;
}

/* ---------------------------------------------------------------------- ids to ids */

static void expect_from_scratch(const vb_translation *t, const vb_tokenizer *from, const vb_tokenizer *to,
                                const int32_t *path, size_t n) {
    vb_translation *anew = NULL;
    size_t a, b;
    assert_int_equal(vb_translation_open(&anew, from, to, NULL), 0);
    assert_int_equal(vb_translation_read(anew, path, n, NULL), 0);
    const int32_t *x = vb_translation_ids(t, &a), *y = vb_translation_ids(anew, &b);
    assert_int_equal(a, b);
    if (a) assert_memory_equal(x, y, a * sizeof *x);
    assert_int_equal(vb_translation_whole(t), vb_translation_whole(anew));
    vb_translation_close(anew);
}

/* Random paths over all ids, half of them single bytes, so that characters are cut and control tokens come;
 * read in pieces, cut back, read on. */
static void a_function_of_the_path(void **state) {
    enum { MOST_PATH = 400 };
    (void)state;
    int cuts = 0;
    for (int way = 0; way < 2; way++) {
        const vb_tokenizer *from = way ? pair.d : pair.t, *to = way ? pair.t : pair.d;
        const int32_t ids = vb_tokenizer_size(from);
        for (int round = 0; round < 60; round++) {
            vb_translation *t = NULL;
            int32_t path[MOST_PATH];
            size_t n = 0;
            assert_int_equal(vb_translation_open(&t, from, to, NULL), 0);
            while (n < MOST_PATH) {
                const size_t more = 1 + noise() % 12;
                for (size_t i = 0; i < more && n < MOST_PATH; i++) {
                    const uint32_t kind = noise() % 12;
                    path[n++] = kind == 0   ? vb_token_eos(from)
                                : kind == 1 ? (way ? ids - 1 - 32 : 32 /* a space in the alphabet of bytes */)
                                : round % 3
                                    ? (int32_t)(noise() % (uint32_t)ids)
                                    : (way ? ids - 1 - (int32_t)(noise() % 256) : (int32_t)(noise() % 256));
                }
                if (noise() % 4) {
                    assert_int_equal(vb_translation_read(t, path, n, NULL), 0);
                    expect_from_scratch(t, from, to, path, n);
                }
                if (noise() % 3 == 0) {
                    n -= noise() % (n < 30 ? n : 30);
                    cuts += vb_translation_cut(t, n);
                }
            }
            vb_translation_close(t);
        }
    }
    printf("%d times text was taken back\n", cuts);
    assert_true(cuts > 200);
}

/* What the draft reads is what the target's text says. */
static void the_same_text(void **state) {
    (void)state;
    vb_translation *t = NULL;
    size_t n, a, b;
    char *x, *y;
    assert_int_equal(vb_translation_open(&t, pair.t, pair.d, NULL), 0);
    assert_int_equal(vb_translation_read(t, pair.prompt, pair.n_prompt, NULL), 0);
    const int32_t *ids = vb_translation_ids(t, &n);
    assert_true(n > pair.n_prompt); /* its vocabulary is the poorer one */
    assert_int_equal(ids[0], vb_token_bos(pair.d));
    assert_int_not_equal(ids[0], vb_token_bos(pair.t));
    assert_int_equal(vb_detokenize(pair.t, pair.prompt, pair.n_prompt, false, &x, &a, NULL), 0);
    assert_int_equal(vb_detokenize(pair.d, ids, n, false, &y, &b, NULL), 0);
    assert_int_equal(a, b);
    assert_memory_equal(x, y, a);
    /* Cut into pieces or not: the ids of this text are the same. */
    int32_t *whole;
    assert_int_equal(vb_tokenize_prompt(pair.d, TALE, strlen(TALE), true, &whole, &a, NULL), 0);
    assert_int_equal(a, n);
    assert_memory_equal(ids, whole, n * sizeof *ids);
    vb_free(x), vb_free(y), vb_free(whole);
    vb_translation_close(t);
    static const struct {
        const char *s;
        size_t whole;
    } ends[] = {{"", 0},         {"a", 1},
                {"\xC3", 0},     {"a\xC3\xA4", 3},
                {"\xE2\x82", 0}, {"x\xF0\x9F\x98", 1},
                {"\xFF", 1},     {"\x80\x80\x80\x80", 4}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        assert_int_equal(vb_whole_characters(ends[i].s, strlen(ends[i].s)), ends[i].whole);
}

/* ---------------------------------------------------------------------- generations */

static job text_job(vb_accept rule, int gamma, double temperature, uint64_t seed) {
    job j = a_job(rule, BY_MODEL, gamma, temperature, seed);
    j.target = pair.target.context;
    j.draft = pair.draft.context;
    j.target_tokenizer = pair.t;
    j.draft_tokenizer = pair.d;
    j.prompt = pair.prompt;
    j.n_prompt = pair.n_prompt;
    j.n = 40;
    return j;
}

/* P2 for coupled and greedy, for every rule the same text again, also when the generation is interrupted, and
 * when it is begun again in the middle over what the caches hold, or over an empty draft. */
static void generations(void **state) {
    (void)state;
    static const vb_accept rules[] = {VB_ACCEPT_COUPLED, VB_ACCEPT_GREEDY, VB_ACCEPT_REJECTION,
                                      VB_ACCEPT_BLOCK};
    uint64_t drafted = 0, accepted = 0, tested = 0;
    double likely = 0;
    for (int r = 0; r < 4; r++) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            const double temperature = rules[r] == VB_ACCEPT_GREEDY ? 0 : 0.7;
            job j = text_job(rules[r], 1 + (int)(seed % 6), temperature, seed), alone = j;
            outcome o, a, again;
            run(&j, &o);
            assert_true(o.stats.draft_calls >= o.stats.drafted / 2);
            drafted += o.stats.drafted, accepted += o.stats.accepted, tested += o.stats.tested;
            likely += o.stats.likely;
            if (r < 2) {
                alone.by = ALONE;
                run(&alone, &a);
                same(&o, &a, &j);
            }
            j.cancels = 3;
            run(&j, &again);
            same(&again, &o, &j);
            assert_int_equal(again.stats.drafted, o.stats.drafted);
            j.cancels = 0;
            for (int at = 1; at < 6; at += 2) {
                j.resume_at = at;
                run(&j, &again);
                same(&again, &o, &j);
            }
        }
    }
    printf("%llu drafted, %llu tested, %llu accepted; sum of p at what was tested %.1f\n",
           (unsigned long long)drafted, (unsigned long long)tested, (unsigned long long)accepted, likely);
    assert_true(accepted > 40 * SEEDS);
    /* Equality accepts what p says, on average: within five standard deviations. */
    const double off = (double)accepted - likely;
    assert_true(off * off < 25 * 0.25 * (double)tested);
}

/* The draft's cache holds what its ids say, byte for byte, after every step (P4), and each proposal is one of
 * a drafter that reads the path anew. Every q is one-hot. */
static void caches_and_proposals(void **state) {
    (void)state;
    int steps = 0, fewer = 0;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        const vb_accept rule = seed % 2 ? VB_ACCEPT_REJECTION : VB_ACCEPT_BLOCK;
        job j = text_job(rule, 5, 0.8, seed);
        vb_spec *s = open_job(&j);
        vb_step step;
        assert_int_equal(vb_spec_prompt(s, pair.prompt, pair.n_prompt, NULL), 0);
        for (int k = 0; k < 10; k++, steps++) {
            uint8_t due[16], got[16];
            size_t n;
            assert_int_equal(vb_spec_step(s, 9, &step, NULL), 0);
            for (int i = 0; i < step.n_drafted; i++) {
                assert_true(step.q[i].n == 1 && step.q[i].id[0] == step.drafted[i].id);
                assert_false(step.drafted[i].has_draw);
            }
            fewer += step.n_drafted < 5;
            const int32_t *held = vb_spec_draft_tokens(s, &n);
            assert_int_equal(n, vb_context_length(pair.draft.context));
            vb_context_truncate(pair.check.context, 0, NULL);
            static const uint8_t none[2 * N_CTX];
            assert_int_equal(vb_eval(pair.check.context, held, n, none, NULL), 0);
            vb_context_hash(pair.check.context, due);
            vb_context_hash(pair.draft.context, got);
            assert_memory_equal(due, got, 16);
        }
        vb_spec_close(s);
    }
    printf("%d steps, %d with fewer drafts than room\n", steps, fewer);
}

/* Under auto: lengths are chosen by the evaluations that a draft takes. */
static void lengths(void **state) {
    (void)state;
    for (int r = 0; r < 2; r++) {
        job j = text_job(r ? VB_ACCEPT_COUPLED : VB_ACCEPT_REJECTION, VB_GAMMA_AUTO, 0.6, 3);
        outcome o, again;
        run(&j, &o);
        j.resume_at = 0;
        run(&j, &again);
        same(&again, &o, &j);
        assert_int_equal(again.stats.drafted, o.stats.drafted);
        assert_true(o.stats.drafted > 5);
    }
}

/* Where ids go for another vocabulary's without a translation, hardly anything is right: what the text is
 * for. */
static void without_the_text(void **state) {
    (void)state;
    uint64_t accepted[3] = {0}, tested[3] = {0};
    for (uint64_t seed = 1; seed <= 6; seed++) {
        for (int how = 0; how < 3; how++) {
            job j = text_job(VB_ACCEPT_COUPLED, 4, 0.5, seed);
            outcome o;
            if (how) j.target_tokenizer = j.draft_tokenizer = NULL;
            if (how == 2) j.draft = pair.same.context; /* the draft as it was, with the target's ids */
            vb_context_truncate(j.draft, 0, NULL);
            run(&j, &o);
            accepted[how] += o.stats.accepted;
            tested[how] += o.stats.tested;
        }
    }
    printf(
        "alpha through text %.3f, ids as they are %.3f, the same model with the target's vocabulary %.3f\n",
        (double)accepted[0] / (double)tested[0], (double)accepted[1] / (double)(tested[1] + 1),
        (double)accepted[2] / (double)tested[2]);
    assert_true(accepted[0] > 100 && accepted[1] * 20 < accepted[0]);
}

static void errors(void **state) {
    (void)state;
    vb_spec *s = NULL;
    vb_error err = {0};
    vb_sampling sampling;
    vb_spec_params p;
    vb_sampling_defaults(&sampling);
    vb_spec_defaults(&p);
    p.draft = VB_DRAFT_MODEL;
    p.draft_context = pair.draft.context;
    p.draft_tokenizer = pair.d;
    vb_context_truncate(pair.target.context, 0, NULL);
    assert_int_equal(vb_spec_open(&s, pair.target.context, &sampling, &p, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "target_tokenizer and draft_tokenizer"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_text), cmocka_unit_test(a_function_of_the_path),
        cmocka_unit_test(generations),   cmocka_unit_test(caches_and_proposals),
        cmocka_unit_test(lengths),       cmocka_unit_test(without_the_text),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests_name("drafts through text", tests, open_pair, close_pair);
}
