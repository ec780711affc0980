/* Traces: every decision of a generation is derived again from its full trace, without a model; the same
 * generation gives the same bytes; a change anywhere is noticed. */
#include "tests/gguf_writer.h"
#include "prove/trace_check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct {
    vb_gguf *gguf[2];
    vb_model *model[2];
    vb_tokenizer *tokenizer;
    vb_context *context[2];
} rig;

static int open_rig(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        char path[256];
        vb_error err = {0};
        vb_context_params p;
        vb_context_defaults(&p);
        p.n_threads = 1;
        p.n_ctx = 96;
        gw_model_spec spec = {
            .dim = 64, .layers = 2, .seed = 7, .type = VB_Q8_0, .branch = 0.6f, .n_ctx = 512};
        spec.noise = i ? 0.12f : 0;
        gw_temp_path(path);
        assert_int_equal(gw_tiny_model(path, &spec), 0);
        if (vb_gguf_open(&rig.gguf[i], path, &err) || vb_model_open(&rig.model[i], rig.gguf[i], &err) ||
            vb_context_open(&rig.context[i], rig.model[i], &p, &err) ||
            (i == 0 && vb_tokenizer_open(&rig.tokenizer, rig.gguf[0], &err)))
            fail_msg("%s", err.message);
        unlink(path);
    }
    return 0;
}

static int close_rig(void **state) {
    (void)state;
    vb_tokenizer_close(rig.tokenizer);
    for (int i = 0; i < 2; i++) {
        vb_context_close(rig.context[i]);
        vb_model_close(rig.model[i]);
        vb_gguf_close(rig.gguf[i]);
    }
    return 0;
}

typedef struct text {
    char *data;
    size_t len, room;
    int fail_after; /* lines until writing fails; -1: never */
} text;

static int append(void *user, const char *line, size_t len) {
    text *t = user;
    if (t->fail_after == 0) return 1;
    if (t->fail_after > 0) t->fail_after--;
    if (t->len + len + 1 > t->room) {
        t->room = 2 * (t->len + len + 1);
        t->data = realloc(t->data, t->room);
        assert_non_null(t->data);
    }
    memcpy(t->data + t->len, line, len);
    t->len += len;
    t->data[t->len] = 0;
    return 0;
}

static int shape[VB_TREE_DEPTH]; /* of what a draft model proposes to others than block */

/* A generation with its trace; two turns of text, so that a prompt comes between steps. */
static int generate(text *out, vb_accept accept, vb_draft draft, double temperature, uint64_t seed,
                    bool full) {
    static const int32_t prompt[] = {1, 60, 61, 62, 63, 60, 61, 62, 90, 60, 61}, turn[] = {70, 60, 61};
    const int32_t stop[] = {66, 75};
    vb_sampling s;
    vb_spec_params p;
    vb_spec *spec = NULL;
    vb_trace *trace = NULL;
    vb_error err = {0};
    vb_step step;
    vb_sampling_defaults(&s);
    vb_spec_defaults(&p);
    s.temperature = temperature;
    s.seed = seed;
    s.presence_penalty = 0.25;
    if (seed % 2 && temperature > 0) { /* every sampler that is off by default */
        s.typical_p = 0.9, s.top_n_sigma = 2, s.dynatemp_range = 0.25;
        s.xtc_probability = 0.5, s.xtc_threshold = 0.05;
        s.dry_multiplier = 0.5;
    }
    p.accept = accept;
    p.draft = draft;
    p.draft_context = draft == VB_DRAFT_MODEL ? rig.context[1] : NULL;
    p.gamma = 4;
    if (draft == VB_DRAFT_MODEL && accept != VB_ACCEPT_BLOCK) memcpy(p.tree, shape, sizeof shape);
    p.stop = stop;
    p.n_stop = 2;
    vb_context_truncate(rig.context[0], 0, NULL);
    vb_context_truncate(rig.context[1], 0, NULL);
    const vb_trace_params tp = {.write = append,
                                .user = out,
                                .tokenizer = rig.tokenizer,
                                .target = "target \"one\"",
                                .draft = "draft",
                                .full = full};
    if (vb_spec_open(&spec, rig.context[0], &s, &p, &err)) fail_msg("%s", err.message);
    int rc = vb_trace_open(&trace, spec, &tp, &err);
    assert_int_equal(vb_spec_prompt(spec, prompt, sizeof prompt / sizeof *prompt, NULL), 0);
    for (int i = 0; i < 12 && rc == 0; i++) {
        if (i == 6) assert_int_equal(vb_spec_prompt(spec, turn, 3, NULL), 0);
        assert_int_equal(vb_spec_step(spec, 6, &step, &err), 0);
        rc = vb_trace_step(trace, &step, &err);
    }
    const int closed = vb_trace_close(trace, &err);
    if (rc == 0) rc = closed;
    vb_spec_close(spec);
    return rc;
}

static void every_decision_follows(void **state) {
    (void)state;
    vb_trace_report sum = {0};
    for (int rule = VB_ACCEPT_COUPLED; rule <= VB_ACCEPT_BLOCK; rule++) {
        for (int draft = VB_DRAFT_NONE; draft <= VB_DRAFT_SUFFIX; draft++) {
            if (draft == VB_DRAFT_FORCED) continue; /* needs a mask */
            for (uint64_t seed = 1; seed <= 5; seed++) {
                const double temperature =
                    rule == VB_ACCEPT_GREEDY || seed == 5 ? 0 : 0.5 + 0.3 * (double)seed;
                text t = {.fail_after = -1};
                vb_trace_report n;
                assert_int_equal(
                    generate(&t, (vb_accept)rule, (vb_draft)draft, temperature, seed << 40 | seed, true), 0);
                if (!vb_trace_check(t.data, t.len, NULL, &n))
                    fail_msg("%s: %s", vb_accept_name((vb_accept)rule), n.why);
                assert_int_equal(n.steps, 12);
                assert_int_equal(n.prompts, 2);
                assert_int_equal(n.lines, 16);
                sum.drafted += n.drafted, sum.accepted += n.accepted, sum.draws += n.draws;
                sum.decisions += n.decisions, sum.finals += n.finals, sum.races += n.races;
                free(t.data);
            }
        }
    }
    printf(
        "derived again: %d drafts (%d accepted), %d draws from q, %d decisions, %d last tokens, %d races\n",
        sum.drafted, sum.accepted, sum.draws, sum.decisions, sum.finals, sum.races);
    assert_true(sum.accepted > 0 && sum.draws > 0 && sum.decisions > 0 && sum.finals > 0 && sum.races > 0);
}

/* Without the whole laws less follows, and what does is still held against the trace. */
static void short_traces(void **state) {
    (void)state;
    int coins = 0;
    for (int rule = VB_ACCEPT_COUPLED; rule <= VB_ACCEPT_BLOCK; rule++) {
        for (int draft = VB_DRAFT_NONE; draft <= VB_DRAFT_SUFFIX; draft++) {
            if (draft == VB_DRAFT_FORCED) continue; /* needs a mask */
            text t = {.fail_after = -1};
            vb_trace_report n;
            assert_int_equal(
                generate(&t, (vb_accept)rule, (vb_draft)draft, rule == VB_ACCEPT_GREEDY ? 0 : 1, 11, false),
                0);
            if (!vb_trace_check(t.data, t.len, NULL, &n)) fail_msg("line %d: %s", n.line, n.why);
            assert_false(n.full);
            assert_int_equal(n.steps, 12);
            coins += n.coins;
            char *value = strstr(t.data, "\"value\":\"");
            if (value) {
                value += strlen("\"value\":\"");
                *value = *value == '9' ? '1' : (char)(*value + 1);
                vb_trace_rechain(t.data, t.len);
                assert_false(vb_trace_check(t.data, t.len, NULL, &n));
                assert_int_equal(n.line, 3); /* header, prompt, the first step */
            }
            free(t.data);
        }
    }
    assert_true(coins > 0);
}

static void the_same_bytes(void **state) {
    (void)state;
    for (int full = 0; full < 2; full++) {
        text a = {.fail_after = -1}, b = {.fail_after = -1};
        assert_int_equal(generate(&a, VB_ACCEPT_BLOCK, VB_DRAFT_MODEL, 1, 9, full), 0);
        assert_int_equal(generate(&b, VB_ACCEPT_BLOCK, VB_DRAFT_MODEL, 1, 9, full), 0);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
        free(a.data);
        free(b.data);
    }
}

/* Any changed byte breaks the chain; a line that is left out does, too, and so does a missing end. */
static void changes_are_noticed(void **state) {
    (void)state;
    text t = {.fail_after = -1};
    vb_trace_report n;
    assert_int_equal(generate(&t, VB_ACCEPT_REJECTION, VB_DRAFT_MODEL, 1, 3, true), 0);
    assert_true(vb_trace_check(t.data, t.len, NULL, &n));
    for (size_t at = 0; at < t.len; at += 97) {
        t.data[at] ^= 1;
        assert_false(vb_trace_check(t.data, t.len, NULL, &n));
        int line = 1;
        for (size_t i = 0; i < at; i++) line += t.data[i] == '\n';
        assert_true(n.line == line && n.why[0]);
        t.data[at] ^= 1;
    }
    const char *second = memchr(t.data, '\n', t.len);
    char *without = malloc(t.len);
    const char *third = memchr(second + 1, '\n', t.len - (size_t)(second + 1 - t.data));
    const size_t head = (size_t)(second + 1 - t.data), tail = t.len - (size_t)(third + 1 - t.data);
    memcpy(without, t.data, head);
    memcpy(without + head, third + 1, tail);
    assert_false(vb_trace_check(without, head + tail, NULL, &n));
    size_t cut = t.len - 1;
    while (t.data[cut - 1] != '\n') cut--;
    assert_false(vb_trace_check(t.data, cut, NULL, &n));
    assert_string_equal(n.why, "the trace ends early: its last line is missing");
    free(without);
    free(t.data);
}

/* A wrong number under a right chain: the checker does not take the trace's word for anything. Each of these
 * raises the first digit after some text in the n-th place where it occurs. */
static void wrong_numbers_are_noticed(void **state) {
    (void)state;
    static const char *const what[] = {
        "\"seed\":\"",           "\"value\":\"",          "\"bound\":\"", "\"counter\":[",
        "\"position\":",         "\"drafted\":[{\"id\":", "\"q\":[\"",    "\"p\":[\"",
        "\"emitted\":[{\"id\":", "\"accepted\":",         "\"step\":",    "\"w\":[\"",
        "\"parent\":",
    };
    for (int k = 0; k < 3; k++) { /* the last one: a tree */
        const vb_accept rule = k == 1 ? VB_ACCEPT_BLOCK : VB_ACCEPT_REJECTION;
        text t = {.fail_after = -1};
        vb_trace_report n;
        shape[0] = k == 2 ? 3 : 0, shape[1] = k == 2 ? 2 : 0;
        assert_int_equal(generate(&t, rule, VB_DRAFT_MODEL, 1, 3, true), 0);
        for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
            int places = 0;
            for (char *at = t.data; (at = strstr(at, what[i])) && places < 40; places++) {
                at += strlen(what[i]);
                const char before = *at;
                if (before < '0' || before > '9') continue; /* "accepted":true */
                *at = before == '9' ? '1' : (char)(before + 1);
                vb_trace_rechain(t.data, t.len);
                if (vb_trace_check(t.data, t.len, NULL, &n))
                    fail_msg("%s in place %d can be changed", what[i], places);
                assert_null(strstr(n.why, "chain"));
                *at = before;
            }
            assert_true(places > 0 || i + 1 == sizeof what / sizeof *what); /* chains have no parents */
        }
        vb_trace_rechain(t.data, t.len);
        if (!vb_trace_check(t.data, t.len, NULL, &n)) fail_msg("%s", n.why);
        free(t.data);
    }
    memset(shape, 0, sizeof shape);
}

/* Trees, with the whole laws and without. */
static void trees_follow(void **state) {
    (void)state;
    static const int shapes[4][VB_TREE_DEPTH] = {{2}, {3, 2, 1}, {1, 2, 2}, {8}};
    int accepted = 0, others = 0;
    for (int k = 0; k < 36; k++) {
        const vb_accept rule = k % 3 == 0   ? VB_ACCEPT_COUPLED
                               : k % 3 == 1 ? VB_ACCEPT_GREEDY
                                            : VB_ACCEPT_REJECTION;
        text t = {.fail_after = -1};
        vb_trace_report n;
        memcpy(shape, shapes[k % 4], sizeof shape);
        assert_int_equal(
            generate(&t, rule, VB_DRAFT_MODEL, rule == VB_ACCEPT_GREEDY ? 0 : 1.1, (uint64_t)k, k % 5 != 0),
            0);
        if (!vb_trace_check(t.data, t.len, NULL, &n))
            fail_msg("%s: line %d: %s", vb_accept_name(rule), n.line, n.why);
        accepted += n.accepted;
        others += strstr(t.data, "\"parent\":0,") != NULL;
        free(t.data);
    }
    memset(shape, 0, sizeof shape);
    assert_true(accepted > 50 && others > 10);
}

/* A log-probability that is no number: its decimals may be missing, its bits may not hide it. */
static void numbers_that_are_none_are_noticed(void **state) {
    (void)state;
    static const char *const bits[] = {"7ff8000000000000", "fff8000000000000", "7ff0000000000000",
                                       "fff0000000000000"};
    text t = {.fail_after = -1};
    vb_trace_report n;
    assert_int_equal(generate(&t, VB_ACCEPT_REJECTION, VB_DRAFT_MODEL, 1, 3, true), 0);
    char *shown = strstr(t.data, "\"logprob\":\""), *at = strstr(t.data, "\"logprob_bits\":\"");
    assert_true(shown && at);
    memcpy(shown, "\"logprox\"", 9); /* the decimals go under another name */
    at += strlen("\"logprob_bits\":\"");
    vb_trace_rechain(t.data, t.len);
    if (!vb_trace_check(t.data, t.len, NULL, &n)) fail_msg("%s", n.why);
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        memcpy(at, bits[i], 16);
        vb_trace_rechain(t.data, t.len);
        assert_false(vb_trace_check(t.data, t.len, NULL, &n));
        assert_string_equal(n.why, "\"logprob_bits\" is not finite");
    }
    free(t.data);
}

/* Texts that are no traces: nothing is read beyond them. */
static void chains_of_what_has_none(void **state) {
    (void)state;
    static const char *const texts[] = {"", "\n", "x", "{}\n", "{\"a\":1}", "\n\n\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const size_t len = strlen(texts[i]);
        char *copy = malloc(len + !len);
        assert_non_null(copy);
        memcpy(copy, texts[i], len);
        vb_trace_rechain(copy, len);
        assert_memory_equal(copy, texts[i], len);
        free(copy);
    }
}

static void errors(void **state) {
    (void)state;
    for (int lines = 0; lines < 5; lines++) {
        text t = {.fail_after = lines};
        assert_int_equal(generate(&t, VB_ACCEPT_COUPLED, VB_DRAFT_NGRAM, 1, 3, false), VB_ERR_IO);
        free(t.data);
    }
    vb_trace *trace = NULL;
    const vb_trace_params none = {0};
    assert_int_equal(vb_trace_open(&trace, NULL, &none, NULL), VB_ERR_ARGUMENT);
    assert_null(trace);
    assert_int_equal(vb_trace_close(NULL, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_decision_follows),
        cmocka_unit_test(short_traces),
        cmocka_unit_test(the_same_bytes),
        cmocka_unit_test(changes_are_noticed),
        cmocka_unit_test(trees_follow),
        cmocka_unit_test(wrong_numbers_are_noticed),
        cmocka_unit_test(numbers_that_are_none_are_noticed),
        cmocka_unit_test(chains_of_what_has_none),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests_name("trace", tests, open_rig, close_rig);
}
