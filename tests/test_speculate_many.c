/* test_speculate_many.c - several sequences side by side: what shares a pass has the bits that it has alone,
 * and what fails concerns nobody else. */
#include "engine/context.h"
#include "tests/spec_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SLOTS = 6, ROUNDS = 40 };

/* Contexts that share, of the rig's target and draft. */
static vb_context *target[SLOTS], *draft[SLOTS];

static int stop_after = -1;
static bool stop(void *user) {
    (void)user;
    return stop_after >= 0 && stop_after-- == 0;
}

static void open_shared(vb_context **c, const vb_model *m, int threads, int batch) {
    vb_context_params p;
    vb_context_defaults(&p);
    p.n_ctx = 128;
    p.n_threads = threads;
    p.batch = batch;
    p.cancel = stop;
    for (int i = 0; i < SLOTS; i++) {
        vb_error err = {0};
        c[i] = NULL;
        if (vb_context_open(&c[i], m, &p, &err)) fail_msg("%s", err.message);
        p.share = c[0];
    }
}

static void close_shared(vb_context **c) {
    for (int i = 0; i < SLOTS; i++)
        vb_context_close(c[i]); /* the first one first: the others go on without it */
}

static void expect_same_context(const vb_context *a, const vb_context *b) {
    uint8_t ha[16], hb[16];
    assert_int_equal(vb_context_length(a), vb_context_length(b));
    vb_context_hash(a, ha);
    vb_context_hash(b, hb);
    assert_memory_equal(ha, hb, 16);
}

/* ---------------------------------------------------------------------- vb_eval_many */

/* Random pieces for random contexts, with and without logits, against vb_eval on contexts of their own. */
static void eval_many(void **state) {
    (void)state;
    const size_t V = (size_t)vb_model_describe(rig.target.model)->n_vocab;
    for (int how = 0; how < 3; how++) {
        vb_context *alone[SLOTS];
        gw_rng rng = {(uint64_t)how + 5};
        open_shared(target, rig.target.model, how == 1 ? 2 : 1, how == 2 ? 3 : 64);
        for (int i = 0; i < SLOTS; i++) {
            vb_context_params p;
            vb_context_defaults(&p);
            p.n_threads = 1;
            p.n_ctx = 128;
            assert_int_equal(vb_context_open(&alone[i], rig.target.model, &p, NULL), 0);
        }
        for (int round = 0; round < ROUNDS; round++) {
            vb_eval_item items[SLOTS];
            int32_t tokens[SLOTS][16];
            uint8_t want[SLOTS][16];
            size_t n = 0;
            int slot_of[SLOTS];
            for (int i = SLOTS; i-- > 0;) { /* not in their own order */
                if (gw_next(&rng) % 3 == 0) continue;
                const size_t count = 1 + (size_t)(gw_next(&rng) % 16);
                if (vb_context_length(target[i]) + (int)count > 128) vb_context_truncate(target[i], 9, NULL);
                vb_context_truncate(alone[i], vb_context_length(target[i]), NULL);
                for (size_t t = 0; t < count; t++) {
                    tokens[n][t] = (int32_t)(gw_next(&rng) % V);
                    want[n][t] = gw_next(&rng) % 2;
                }
                items[n] = (vb_eval_item){
                    .context = target[i], .tokens = tokens[n], .n = count, .want = n % 2 ? want[n] : NULL};
                slot_of[n++] = i;
            }
            assert_int_equal(vb_eval_many(items, n), 0);
            for (size_t k = 0; k < n; k++) {
                vb_context *a = alone[slot_of[k]];
                assert_int_equal(vb_eval(a, tokens[k], items[k].n, items[k].want, NULL), 0);
                expect_same_context(a, items[k].context);
                for (size_t t = 0; t < items[k].n; t++) {
                    const float *x = vb_logits(items[k].context, t), *y = vb_logits(a, t);
                    assert_int_equal(x == NULL, y == NULL);
                    if (x) assert_memory_equal(x, y, V * sizeof *x);
                }
            }
            for (int i = 0; i < SLOTS; i++) { /* who took no part has no logits any more */
                bool took_part = false;
                for (size_t k = 0; k < n; k++) took_part |= slot_of[k] == i;
                if (n && !took_part) assert_null(vb_logits(target[i], 0));
            }
        }
        for (int i = 0; i < SLOTS; i++) vb_context_close(alone[i]);
        close_shared(target);
    }
}

/* Every kind of failure of one item, beside two that go on. */
static void eval_many_errors(void **state) {
    (void)state;
    const int32_t good[3] = {1, 60, 61}, foreign[2] = {1, 1 << 20};
    const size_t V = (size_t)vb_model_describe(rig.target.model)->n_vocab;
    open_shared(target, rig.target.model, 1, 64);
    vb_context_truncate(rig.check.context, 0, NULL);
    assert_int_equal(vb_eval(rig.check.context, good, 3, NULL, NULL), 0);
    assert_int_equal(vb_eval(target[1], good, 2, NULL, NULL), 0);
    static int32_t many[200];
    const struct {
        const int32_t *tokens;
        size_t n;
        int code;
    } bad[] = {{foreign, 2, VB_ERR_ARGUMENT}, {good, 0, VB_ERR_ARGUMENT}, {many, 127, VB_ERR_FULL}};
    for (size_t b = 0; b < 3; b++) {
        vb_error err[3] = {{0}};
        vb_eval_item items[3] = {
            {.context = target[0], .tokens = good, .n = 3, .err = &err[0]},
            {.context = target[1], .tokens = bad[b].tokens, .n = bad[b].n, .err = &err[1]},
            {.context = target[2], .tokens = good, .n = 3, .err = &err[2]}};
        assert_int_equal(vb_eval_many(items, 3), bad[b].code);
        assert_true(items[0].code == 0 && items[1].code == bad[b].code && items[2].code == 0);
        assert_true(err[0].code == 0 && err[1].code == bad[b].code && err[2].code == 0);
        assert_int_equal(vb_context_length(target[1]), 2);
        for (int i = 0; i < 3; i += 2) {
            expect_same_context(target[i], rig.check.context);
            assert_memory_equal(vb_logits(target[i], 2), vb_logits(rig.check.context, 2), V * sizeof(float));
            vb_context_truncate(target[i], 0, NULL);
        }
    }
    /* One context twice; another model; more positions than the memory was made for. */
    vb_error err = {0};
    vb_eval_item twice[2] = {{.context = target[0], .tokens = good, .n = 3},
                             {.context = target[0], .tokens = good, .n = 3, .err = &err}};
    assert_int_equal(vb_eval_many(twice, 2), VB_ERR_ARGUMENT);
    assert_true(twice[0].code == 0 && twice[1].code == VB_ERR_ARGUMENT);
    assert_int_equal(vb_context_length(target[0]), 3);
    vb_context_params p;
    vb_context *c = NULL;
    vb_context_defaults(&p);
    p.share = target[0];
    assert_int_equal(vb_context_open(&c, rig.draft.model, &p, NULL), VB_ERR_ARGUMENT);
    p.n_ctx = 129;
    assert_int_equal(vb_context_open(&c, rig.target.model, &p, NULL), VB_ERR_ARGUMENT);
    assert_null(c);
    assert_int_equal(vb_eval_many(NULL, 0), 0);
    /* One that shares costs its cache: far less than the first, which counts what all use. */
    const vb_model_info *info = vb_model_describe(rig.target.model);
    const uint64_t cache = 2 * sizeof(uint16_t) * (uint64_t)info->n_layers * (uint64_t)info->n_kv_heads *
                           (uint64_t)info->head_dim * 128;
    assert_in_range(vb_context_bytes(target[1]), cache, cache + 4096);
    assert_true(vb_context_bytes(target[0]) > 2 * cache);
    close_shared(target);
}

/* A model whose token 7 overflows: only its owner fails, wherever it sits and however often it is tried. */
static void a_number_that_is_not_finite(void **state) {
    (void)state;
    gw_model_spec spec = {.dim = 64, .layers = 2, .seed = 7, .type = VB_F32, .n_ctx = 512};
    gw *w = gw_tiny_writer(&spec);
    assert_non_null(w);
    for (size_t i = 0; i < w->tensors_len; i++) {
        if (strcmp(w->tensors[i].name, "token_embd.weight") != 0) continue;
        for (size_t k = 0; k < 64; k++) {
            const float huge = 3e38f;
            memcpy(w->tensors[i].data + (7 * 64 + k) * sizeof huge, &huge, sizeof huge);
        }
    }
    char path[256];
    loaded bad = {0};
    gw_temp_path(path);
    gw_write(w, path);
    gw_free(w);
    load(&bad, path, 128);
    remove(path);
    open_shared(target, bad.model, 1, 4);
    const int32_t fine[9] = {1, 60, 61, 62, 63, 64, 65, 66, 67}, poison[3] = {1, 7, 60};
    const size_t V = (size_t)vb_model_describe(bad.model)->n_vocab;
    assert_int_equal(vb_eval(bad.context, fine, 9, NULL, NULL), 0);
    for (size_t at = 0; at < 4; at++) {
        vb_eval_item items[4];
        vb_error err[4] = {{0}};
        for (size_t i = 0; i < 4; i++) {
            items[i] = (vb_eval_item){.context = target[i], .tokens = fine, .n = 9, .err = &err[i]};
            vb_context_truncate(target[i], 0, NULL);
        }
        items[at].tokens = poison;
        items[at].n = 3;
        assert_int_equal(vb_eval_many(items, 4), VB_ERR_NUMERIC);
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(items[i].code, i == at ? VB_ERR_NUMERIC : 0);
            assert_int_equal(err[i].code, items[i].code);
            if (i == at) {
                assert_int_equal(vb_context_length(target[i]), 0);
                assert_null(vb_logits(target[i], 2));
                continue;
            }
            expect_same_context(target[i], bad.context);
            assert_memory_equal(vb_logits(target[i], 8), vb_logits(bad.context, 8), V * sizeof(float));
        }
    }
    close_shared(target);
    unload(&bad);
}

/* Prefixes are copied from one to the other, also to one of another length and in either direction; what
 * follows is as if they had been evaluated there. */
static void copies(void **state) {
    (void)state;
    const int V = vb_model_describe(rig.target.model)->n_vocab;
    vb_context_params p;
    vb_context *shorter = NULL, *other_kv = NULL;
    int32_t tokens[60];
    gw_rng rng = {99};
    for (int i = 0; i < 60; i++) tokens[i] = (int32_t)(gw_next(&rng) % (uint64_t)V);
    open_shared(target, rig.target.model, 1, 64);
    vb_context_defaults(&p);
    p.n_ctx = 50;
    p.share = target[0];
    assert_int_equal(vb_context_open(&shorter, rig.target.model, &p, NULL), 0);
    p.k_type = p.v_type = VB_F32;
    assert_int_equal(vb_context_open(&other_kv, rig.target.model, &p, NULL), 0);
    assert_int_equal(vb_eval(target[0], tokens, 40, NULL, NULL), 0);
    assert_int_equal(vb_eval(target[1], tokens + 20, 40, NULL, NULL), 0); /* is overwritten */
    for (int n = 0; n <= 40; n += 8) {
        vb_context *const to[2] = {target[1], shorter};
        vb_context_truncate(rig.check.context, 0, NULL);
        if (n) assert_int_equal(vb_eval(rig.check.context, tokens, (size_t)n, NULL, NULL), 0);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(vb_context_copy(to[k], target[0], n, NULL), 0);
            assert_null(vb_logits(to[k], 0));
            expect_same_context(to[k], rig.check.context);
        }
        assert_int_equal(vb_eval(rig.check.context, tokens + 50, 10, NULL, NULL), 0);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(vb_eval(to[k], tokens + 50, 10, NULL, NULL), 0);
            assert_memory_equal(vb_logits(to[k], 9), vb_logits(rig.check.context, 9),
                                (size_t)V * sizeof(float));
        }
    }
    vb_error err = {0};
    uint8_t before[16], after[16];
    vb_context_hash(shorter, before);
    assert_int_equal(vb_context_copy(shorter, target[0], 41, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_context_copy(shorter, target[0], -1, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_context_copy(other_kv, target[0], 4, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_context_copy(rig.draft.context, target[0], 4, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_eval(target[0], tokens, 20, NULL, NULL), 0);
    assert_int_equal(vb_context_copy(shorter, target[0], 51, &err), VB_ERR_FULL);
    vb_context_hash(shorter, after);
    assert_memory_equal(before, after, 16);
    assert_int_equal(vb_context_copy(target[0], target[0], 7, NULL), 0); /* itself: cut */
    assert_int_equal(vb_context_length(target[0]), 7);
    vb_context_close(shorter);
    vb_context_close(other_kv);
    close_shared(target);
}

/* ---------------------------------------------------------------------- vb_spec_step_many */

typedef struct stream {
    job j;
    vb_spec *s;
    size_t given; /* tokens of the prompt; the rest of the text is its turns */
    outcome o;
    bool done;
    int text_rounds;
} stream;

static job mixed_job(int i, uint64_t salt) {
    static const vb_accept rules[] = {VB_ACCEPT_COUPLED, VB_ACCEPT_REJECTION, VB_ACCEPT_BLOCK};
    static const who drafters[] = {BY_MODEL, BY_NGRAM, BY_MODEL, ALONE, BY_MODEL};
    job j = a_job(rules[i % 3], drafters[(i + (int)salt) % 5], 1 + (i * 3 + (int)salt) % 8,
                  0.5 + 0.3 * (i % 3), salt * 100 + (uint64_t)i);
    j.n = 12 + 5 * (i % 4);
    /* A length that is chosen is a function of the generation's own past under these rules. */
    if (j.accept == VB_ACCEPT_REJECTION || j.accept == VB_ACCEPT_BLOCK)
        if (i % 2) j.gamma = VB_GAMMA_AUTO;
    if (j.by == BY_MODEL && j.accept != VB_ACCEPT_BLOCK && j.gamma != VB_GAMMA_AUTO && j.gamma % 2)
        j.tree[0] = 3, j.tree[1] = 2;
    return j;
}

static void open_stream(stream *st, const job *j, int slot) {
    *st = (stream){.j = *j};
    st->j.target = target[slot];
    st->j.draft = draft[slot];
    st->s = open_job(&st->j);
    assert_int_equal(vb_spec_give(st->s, j->prompt, j->n_prompt, NULL), 0);
}

static void record(stream *st, const vb_step *step) {
    outcome *o = &st->o;
    if (step->n_text) {
        assert_int_equal(step->n_emitted, 0);
        st->text_rounds++;
        return;
    }
    assert_in_range(step->n_emitted, 1, st->j.n - o->n);
    for (int i = 0; i < step->n_emitted; i++) {
        o->id[o->n] = step->emitted[i].id;
        o->logprob[o->n++] = step->emitted[i].logprob;
    }
    st->done = o->n == st->j.n;
}

static void close_stream(stream *st) {
    vb_spec_stats(st->s, &st->o.stats);
    vb_context_hash(st->j.target, st->o.hash);
    st->o.draft_length = vb_context_length(st->j.draft);
    vb_context_hash(st->j.draft, st->o.draft_hash);
    vb_spec_close(st->s);
}

static void expect_as_alone(const stream *st) {
    outcome alone;
    job j = st->j;
    j.target = rig.target.context;
    j.draft = rig.draft.context;
    run(&j, &alone);
    same(&alone, &st->o, &j);
    assert_int_equal(alone.stats.steps, st->o.stats.steps);
    assert_int_equal(alone.stats.drafted, st->o.stats.drafted);
    assert_int_equal(alone.stats.accepted, st->o.stats.accepted);
    assert_int_equal(alone.stats.prompt_tokens, st->o.stats.prompt_tokens);
    if (j.by != BY_MODEL) return;
    assert_int_equal(alone.draft_length, st->o.draft_length);
    assert_memory_equal(alone.draft_hash, st->o.draft_hash, 16);
}

/* Streams that come and go at different times, each with its own rule, drafter, gamma, seed and length. */
static void continuous(void **state) {
    (void)state;
    for (int how = 0; how < 3; how++) {
        enum { STREAMS = 18 };
        stream st[STREAMS];
        int in_slot[SLOTS], opened = 0, closed = 0;
        open_shared(target, rig.target.model, how == 1 ? 2 : 1, how == 2 ? 7 : 64);
        open_shared(draft, rig.draft.model, how == 1 ? 2 : 1, how == 2 ? 5 : 64);
        for (int i = 0; i < SLOTS; i++) in_slot[i] = -1;
        for (int round = 0; closed < STREAMS; round++) {
            vb_step_item items[SLOTS];
            size_t n = 0;
            int slot_of[SLOTS];
            for (int i = 0; i < SLOTS; i++) {
                if (in_slot[i] < 0 && opened < STREAMS && round % (i + 1) == 0) {
                    const job j = mixed_job(opened, (uint64_t)how + 1);
                    open_stream(&st[opened], &j, i);
                    in_slot[i] = opened++;
                }
                if (in_slot[i] < 0) continue;
                const stream *s = &st[in_slot[i]];
                items[n] = (vb_step_item){.spec = s->s, .max_emit = (size_t)(s->j.n - s->o.n), .max_text = 4};
                slot_of[n++] = i;
            }
            assert_int_equal(vb_spec_step_many(items, n), 0);
            for (size_t k = 0; k < n; k++) {
                stream *s = &st[in_slot[slot_of[k]]];
                assert_int_equal(items[k].code, 0);
                record(s, &items[k].step);
                if (!s->done) continue;
                close_stream(s);
                in_slot[slot_of[k]] = -1;
                closed++;
            }
        }
        for (int i = 0; i < STREAMS; i++) {
            assert_int_equal(st[i].text_rounds, 3); /* 10 tokens by 4 */
            expect_as_alone(&st[i]);
        }
        close_shared(target);
        close_shared(draft);
    }
}

/* Every round is cancelled first, at another place; then it goes through. All are rolled back, and none
 * changes. */
static void cancelled(void **state) {
    (void)state;
    stream st[SLOTS];
    open_shared(target, rig.target.model, 1, 64);
    open_shared(draft, rig.draft.model, 1, 64);
    for (int i = 0; i < SLOTS; i++) {
        const job j = mixed_job(i, 7);
        open_stream(&st[i], &j, i);
    }
    int open = SLOTS;
    for (int round = 0; open > 0; round++) {
        vb_step_item items[SLOTS];
        size_t n = 0;
        int slot_of[SLOTS];
        for (int i = 0; i < SLOTS; i++) {
            if (st[i].done) continue;
            items[n] = (vb_step_item){.spec = st[i].s, .max_emit = (size_t)(st[i].j.n - st[i].o.n)};
            memset(&items[n].step, 0x55, sizeof items[n].step);
            slot_of[n++] = i;
        }
        stop_after = round * 7 % 41; /* evaluations ask before every layer */
        const bool undisturbed = vb_spec_step_many(items, n) == 0;
        stop_after = -1;
        for (size_t k = 0; k < n; k++) {
            stream *s = &st[slot_of[k]];
            if (items[k].code == 0) {
                record(s, &items[k].step); /* what was done before stays done */
                open -= s->done;
                continue;
            }
            assert_false(undisturbed);
            assert_int_equal(items[k].code, VB_ERR_CANCELLED);
            const unsigned char *bytes = (const unsigned char *)&items[k].step;
            for (size_t b = 0; b < sizeof items[k].step; b++) assert_int_equal(bytes[b], 0x55);
        }
    }
    for (int i = 0; i < SLOTS; i++) {
        close_stream(&st[i]);
        expect_as_alone(&st[i]);
    }
    close_shared(target);
    close_shared(draft);
}

/* One whose context is full, one with nothing to start from, one with everything banned, one that comes
 * twice: each fails alone. */
static void failing_members(void **state) {
    (void)state;
    const int V = vb_model_describe(rig.target.model)->n_vocab;
    vb_logit_bias *bias = calloc((size_t)V, sizeof *bias);
    for (int i = 0; i < V; i++) bias[i] = (vb_logit_bias){i, -INFINITY};
    stream st[SLOTS];
    open_shared(target, rig.target.model, 1, 64);
    open_shared(draft, rig.draft.model, 1, 64);
    for (int i = 0; i < SLOTS; i++) {
        job j = mixed_job(i, 3);
        if (i == 2) {
            j.sampling.bias = bias;
            j.sampling.n_bias = (size_t)V;
        }
        open_stream(&st[i], &j, i);
    }
    vb_spec_close(st[4].s);
    st[4].s = open_job(&st[4].j); /* nothing was given */
    int32_t filler[118];
    for (int i = 0; i < 118; i++) filler[i] = 60 + i % 5;
    assert_int_equal(vb_spec_give(st[1].s, filler, 117, NULL), 0);
    assert_int_equal(vb_spec_give(st[1].s, filler, 1, NULL), VB_ERR_FULL);
    bool full = false;
    for (int round = 0; !(st[0].done && st[3].done && st[5].done); round++) {
        vb_error err[SLOTS + 1] = {{0}};
        vb_step_item items[SLOTS + 1];
        for (int i = 0; i <= SLOTS; i++) {
            const stream *s = &st[i % SLOTS];
            items[i] = (vb_step_item){
                .spec = s->s, .max_emit = s->done ? 1 : (size_t)(s->j.n - s->o.n), .err = &err[i]};
        }
        const size_t last = SLOTS + (size_t)(round % 2); /* the first one again, every other round */
        assert_int_not_equal(vb_spec_step_many(items, last), 0);
        for (size_t i = 0; i < last; i++) assert_int_equal(items[i].code, err[i].code);
        if (last > SLOTS) assert_int_equal(items[SLOTS].code, VB_ERR_ARGUMENT);
        full |= items[1].code == VB_ERR_FULL;
        assert_true(items[1].code == 0 || items[1].code == VB_ERR_FULL);
        if (round > 0) { /* the first round is the prompt's */
            assert_int_equal(items[2].code, VB_ERR_ARGUMENT);
            assert_non_null(strstr(err[2].message, "bans every id"));
        }
        assert_int_equal(items[4].code, VB_ERR_ARGUMENT);
        for (int i = 0; i < SLOTS; i++) {
            if (i == 1 || i == 2 || i == 4 || st[i].done) continue;
            assert_int_equal(items[i].code, 0);
            record(&st[i], &items[i].step);
            if (st[i].done) close_stream(&st[i]), st[i].s = open_job(&st[i].j); /* goes on failing */
        }
    }
    assert_true(full);
    for (int i = 0; i < SLOTS; i++) {
        vb_spec_close(st[i].s);
        if (i != 1 && i != 2 && i != 4) expect_as_alone(&st[i]);
    }
    vb_step_item too_many[65] = {{.spec = NULL}};
    assert_int_equal(vb_spec_step_many(too_many, 65), VB_ERR_ARGUMENT);
    assert_int_equal(vb_spec_step_many(NULL, 0), 0);
    free(bias);
    close_shared(target);
    close_shared(draft);
}

/* vb_spec_give and steps give what vb_spec_prompt and steps give, and a turn in between is no different. */
static void given_text(void **state) {
    (void)state;
    const int32_t turn[3] = {70, 71, 72};
    int32_t id[2][32];
    for (int how = 0; how < 2; how++) {
        job j = a_job(VB_ACCEPT_REJECTION, BY_MODEL, 4, 1, 5);
        vb_spec *s = open_job(&j);
        vb_step step;
        int n = 0;
        int (*put)(vb_spec *, const int32_t *, size_t, vb_error *) = how ? vb_spec_give : vb_spec_prompt;
        assert_int_equal(put(s, prompt, N_PROMPT, NULL), 0);
        while (n < 30) {
            if (n == 10) assert_int_equal(put(s, turn, 3, NULL), 0);
            assert_int_equal(vb_spec_step(s, (size_t)(n < 10 ? 10 - n : 30 - n), &step, NULL), 0);
            for (int i = 0; i < step.n_emitted; i++) id[how][n++] = step.emitted[i].id;
        }
        vb_spec_close(s);
    }
    assert_memory_equal(id[0], id[1], 30 * sizeof id[0][0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eval_many),       cmocka_unit_test(eval_many_errors),
        cmocka_unit_test(copies),          cmocka_unit_test(a_number_that_is_not_finite),
        cmocka_unit_test(continuous),      cmocka_unit_test(cancelled),
        cmocka_unit_test(failing_members), cmocka_unit_test(given_text),
    };
    return cmocka_run_group_tests_name("speculate_many", tests, open_rig, close_rig);
}
