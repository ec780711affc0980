/* Masks on contexts: the same text with and without drafts, nothing that the mask forbids, forced text,
 * the error where nothing may follow, traces that are derived again with the mask; and hidden rows of a
 * context, seen by a drafter. */
#include "engine/context.h"
#include "prove/trace_check.h"
#include "sampling/speculate.h"
#include "tests/spec_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---------------------------------------------------------------------- a mask by the prefix */

typedef struct hashed {
    uint32_t seed;
    int n_vocab;
    size_t dead_after; /* after so many ids nothing may follow */
} hashed;

static uint32_t mix(uint32_t h, uint32_t x) {
    h = (h ^ x) * 0x9E3779B1u;
    h ^= h >> 15;
    h *= 0x85EBCA6Bu;
    return h ^ h >> 13;
}

static uint32_t hash_of(const hashed *m, const int32_t *ids, size_t n) {
    uint32_t h = mix(m->seed, (uint32_t)n);
    for (size_t i = 0; i < n; i++) h = mix(h, (uint32_t)ids[i] + 1);
    return h;
}

/* Every third place has one id only, the others about a third of all. */
static bool allows(const hashed *m, uint32_t h, int id) {
    if (h % 3 == 0) return id == (int)(h / 3 % (uint32_t)m->n_vocab);
    return mix(h, (uint32_t)id) % 3 == 0;
}

static int hashed_at(void *self, const int32_t *ids, size_t n, uint64_t *allowed, vb_error *err) {
    const hashed *m = self;
    const uint32_t h = hash_of(m, ids, n);
    (void)err;
    memset(allowed, 0, ((size_t)m->n_vocab + 63) / 64 * sizeof *allowed);
    for (int id = 0; id < m->n_vocab && n < m->dead_after; id++)
        if (allows(m, h, id)) allowed[id / 64] |= (uint64_t)1 << (id % 64);
    return VB_OK;
}

static int hashed_forced(void *self, const int32_t *ids, size_t n, int32_t *out, int max, int *n_out,
                         vb_error *err) {
    const hashed *m = self;
    int32_t path[MOST + 64];
    (void)err;
    *n_out = 0;
    memcpy(path, ids, n * sizeof *path);
    while (*n_out < max && n < m->dead_after) {
        const uint32_t h = hash_of(m, path, n);
        if (h % 3) break;
        out[(*n_out)++] = path[n++] = (int32_t)(h / 3 % (uint32_t)m->n_vocab);
    }
    return VB_OK;
}

static vb_mask mask_of(hashed *m) {
    return (vb_mask){.self = m,
                     .at = hashed_at,
                     .forced = hashed_forced,
                     .n_vocab = m->n_vocab,
                     .name = "0123456789abcdef0123456789abcdef"};
}

static int n_vocab(void) {
    return vb_model_describe(rig.target.model)->n_vocab;
}

/* ---------------------------------------------------------------------- the same text */

static void check_allowed(const hashed *m, const outcome *o) {
    for (int i = 0; i < o->n; i++) {
        const uint32_t h = hash_of(m, o->id, (size_t)i);
        if (!allows(m, h, o->id[i])) fail_msg("token %d, id %d, is forbidden", i, (int)o->id[i]);
    }
}

static void same_text(void **state) {
    (void)state;
    static const who all[] = {BY_MODEL, BY_ITSELF, BY_NGRAM, BY_FORCED};
    uint64_t accepted[5] = {0};
    for (uint64_t seed = 1; seed <= 40; seed++) {
        hashed h = {.seed = (uint32_t)seed * 77, .n_vocab = n_vocab() - (int)(seed % 3), .dead_after = 1000};
        const vb_mask mask = mask_of(&h);
        const vb_accept rule = seed % 4 == 0 ? VB_ACCEPT_GREEDY : VB_ACCEPT_COUPLED;
        job j = a_job(rule, ALONE, 1 + (int)(seed % 6), rule == VB_ACCEPT_GREEDY ? 0 : 1.2, seed);
        outcome alone, o;
        j.mask = &mask;
        j.sampling.top_k = seed % 2 ? 0 : 8;
        run(&j, &alone);
        check_allowed(&h, &alone);
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            j.by = all[i];
            j.vary = seed % 5 == 0 ? (unsigned)seed : 0;
            j.cancels = seed % 7 == 0 ? 3 : 0;
            run(&j, &o);
            same(&o, &alone, &j);
            accepted[j.by] += o.stats.accepted;
            j.vary = 0, j.cancels = 0;
        }
    }
    printf("accepted under masks: model %llu, self %llu, n-gram %llu, forced %llu\n",
           (unsigned long long)accepted[1], (unsigned long long)accepted[2], (unsigned long long)accepted[3],
           (unsigned long long)accepted[4]);
    for (int i = 1; i < 5; i++) assert_true(accepted[i] > 0);
}

/* Rejection and block promise the law (test_law_mask.c); here, that nothing else comes out, and that a
 * seed gives the same again. */
static void allowed_only(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        hashed h = {.seed = (uint32_t)seed * 91, .n_vocab = n_vocab(), .dead_after = 1000};
        const vb_mask mask = mask_of(&h);
        for (int by = BY_MODEL; by <= BY_FORCED; by++) {
            job j = a_job(seed % 2 ? VB_ACCEPT_REJECTION : VB_ACCEPT_BLOCK, (who)by, 4, 1.1, seed);
            outcome a, b;
            j.mask = &mask;
            run(&j, &a);
            run(&j, &b);
            check_allowed(&h, &a);
            same(&a, &b, &j);
        }
    }
}

/* ---------------------------------------------------------------------- where nothing may follow */

static void nothing_may_follow(void **state) {
    (void)state;
    hashed h = {.seed = 5, .n_vocab = n_vocab(), .dead_after = 6};
    const vb_mask mask = mask_of(&h);
    for (int by = ALONE; by <= BY_FORCED; by++) {
        job j = a_job(VB_ACCEPT_COUPLED, (who)by, 3, 1, 4);
        vb_error err = {0};
        vb_step step;
        int rc = 0, n = 0;
        j.mask = &mask;
        vb_spec *s = open_job(&j);
        assert_int_equal(vb_spec_prompt(s, prompt, N_PROMPT, NULL), 0);
        while ((rc = vb_spec_step(s, 10, &step, &err)) == VB_OK) n += step.n_emitted;
        assert_int_equal(rc, VB_ERR_MASK);
        assert_int_equal(n, 6);
        assert_int_equal(vb_context_length(j.target), N_PROMPT + 6 - 1);
        /* a new text: the mask begins again */
        assert_int_equal(vb_spec_prompt(s, prompt + 1, 3, &err), 0);
        assert_int_equal(vb_spec_step(s, 1, &step, &err), 0);
        assert_true(allows(&h, hash_of(&h, NULL, 0), step.emitted[0].id));
        vb_spec_close(s);
    }
    vb_logit_bias bias[2048];
    job j = a_job(VB_ACCEPT_COUPLED, ALONE, 3, 1, 4);
    vb_error err = {0};
    vb_step step;
    j.mask = &mask;
    j.sampling.n_bias = 0;
    j.sampling.bias = bias;
    for (int id = 0; id < n_vocab(); id++)
        if (allows(&h, hash_of(&h, NULL, 0), id))
            bias[j.sampling.n_bias++] = (vb_logit_bias){id, -(float)HUGE_VAL};
    vb_spec *s = open_job(&j);
    assert_int_equal(vb_spec_prompt(s, prompt, N_PROMPT, NULL), 0);
    assert_int_equal(vb_spec_step(s, 1, &step, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "logit bias bans all"));
    vb_spec_close(s);
}

static void masks_that_cannot_be(void **state) {
    (void)state;
    hashed h = {.seed = 5, .n_vocab = n_vocab(), .dead_after = 6};
    vb_sampling sampling;
    vb_spec_params p;
    vb_spec *s = NULL;
    vb_error err;
    vb_sampling_defaults(&sampling);
    vb_spec_defaults(&p);
    vb_context_truncate(rig.target.context, 0, NULL);
    for (int i = 0; i < 5; i++) {
        vb_mask mask = mask_of(&h);
        p.mask = &mask;
        p.draft = VB_DRAFT_NONE;
        if (i == 0) mask.n_vocab = n_vocab() + 1;
        if (i == 1) mask.n_vocab = 0;
        if (i == 2) mask.name = "short";
        if (i == 3) mask.at = NULL;
        if (i == 4) p.draft = VB_DRAFT_FORCED, p.mask = NULL;
        assert_int_equal(vb_spec_open(&s, rig.target.context, &sampling, &p, &err), VB_ERR_ARGUMENT);
        assert_null(s);
    }
}

/* ---------------------------------------------------------------------- traces */

typedef struct text {
    char *s;
    size_t n;
} text;

static int append(void *user, const char *line, size_t len) {
    text *t = user;
    t->s = realloc(t->s, t->n + len + 1);
    assert_non_null(t->s);
    memcpy(t->s + t->n, line, len + 1);
    t->n += len;
    return 0;
}

static text trace_of(vb_accept rule, who by, const vb_mask *mask, bool full) {
    text t = {0};
    job j = a_job(rule, by, 4, rule == VB_ACCEPT_GREEDY ? 0 : 1.3, 17);
    vb_trace *trace = NULL;
    vb_step step;
    j.mask = mask;
    j.sampling.top_k = 12;
    vb_spec *s = open_job(&j);
    const vb_trace_params tp = {.write = append, .user = &t, .full = full};
    assert_int_equal(vb_trace_open(&trace, s, &tp, NULL), 0);
    assert_int_equal(vb_spec_prompt(s, prompt, N_PROMPT, NULL), 0);
    for (int i = 0; i < 8; i++) {
        if (i == 5) assert_int_equal(vb_spec_prompt(s, prompt, 4, NULL), 0);
        assert_int_equal(vb_spec_step(s, 8, &step, NULL), 0);
        assert_int_equal(vb_trace_step(trace, &step, NULL), 0);
    }
    assert_int_equal(vb_trace_close(trace, NULL), 0);
    vb_spec_close(s);
    return t;
}

static void traces(void **state) {
    (void)state;
    hashed h = {.seed = 9, .n_vocab = n_vocab(), .dead_after = 1000}, other = h;
    const vb_mask mask = mask_of(&h);
    other.seed = 10;
    vb_mask wrong = mask_of(&other), renamed = mask;
    renamed.name = "00000000000000000000000000000000";
    int masks = 0;
    for (int rule = VB_ACCEPT_COUPLED; rule <= VB_ACCEPT_BLOCK; rule++) {
        for (int by = ALONE; by <= BY_FORCED; by++) {
            for (int full = 0; full < 2; full++) {
                vb_trace_report r;
                text t = trace_of((vb_accept)rule, (who)by, &mask, full);
                if (!vb_trace_check(t.s, t.n, &mask, &r)) fail_msg("line %d: %s", r.line, r.why);
                assert_true(r.masked && r.masks >= 8);
                masks += r.masks;
                assert_true(vb_trace_check(t.s, t.n, NULL, &r)); /* as it is, not derived */
                assert_int_equal(r.masks, 0);
                assert_false(vb_trace_check(t.s, t.n, &wrong, &r));
                assert_non_null(strstr(r.why, "the mask says otherwise"));
                assert_false(vb_trace_check(t.s, t.n, &renamed, &r));
                assert_int_equal(r.line, 1);
                char *first = strstr(t.s, "\"mask\":[\"");
                assert_non_null(first);
                first[9] = first[9] == '0' ? '1' : '0';
                vb_trace_rechain(t.s, t.n);
                assert_false(vb_trace_check(t.s, t.n, &mask, &r));
                assert_int_equal(r.line, 3);
                free(t.s);
            }
        }
    }
    printf("%d masks derived again\n", masks);
    text t = trace_of(VB_ACCEPT_COUPLED, BY_MODEL, NULL, true);
    vb_trace_report r;
    assert_null(strstr(t.s, "mask")); /* a trace without a mask knows no such word */
    assert_false(vb_trace_check(t.s, t.n, &mask, &r));
    free(t.s);
}

/* ---------------------------------------------------------------------- hidden rows */

/* A drafter that reads hidden rows and does nothing else: each is the one that a plain evaluation leaves. */
typedef struct reader {
    vb_context *plain;
    int32_t n_vocab;
    size_t told;
    int wrong;
} reader;

static int reader_sync(void *self, const int32_t *path, size_t n, vb_error *err) {
    (void)self, (void)path, (void)n, (void)err;
    return VB_OK;
}
/* Drafts what the model itself would say greedily, so that some of it is kept. */
static int reader_draft(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    reader *r = self;
    int rc = vb_context_truncate(rig.self.context, 0, err);
    if (!rc) rc = vb_eval(rig.self.context, path, n, NULL, err);
    for (size_t last = n - 1; !rc && out->n < out->max; last = 0) {
        const float *logits = vb_logits(rig.self.context, last);
        int32_t best = 0;
        for (int32_t id = 1; id < r->n_vocab; id++)
            if (logits[id] > logits[best]) best = id;
        vb_propose_certain(out, path, n, best, 1);
        rc = vb_eval(rig.self.context, &best, 1, NULL, err);
    }
    return rc;
}
static void reader_settle(void *self, size_t n) {
    (void)self, (void)n;
}
static void reader_close(void *self) {
    (void)self;
}

static int reader_see(void *self, const int32_t *path, size_t from, size_t n, const float *const *row,
                      int width, vb_error *err) {
    reader *r = self;
    const int dim = vb_model_describe(rig.target.model)->dim;
    assert_int_equal(from, r->told);
    assert_int_equal(width, dim);
    for (size_t i = 0; i < n; i++) {
        int rc = vb_context_truncate(r->plain, (int)(from + i), err);
        if (rc || (rc = vb_eval(r->plain, path + from + i, 1, NULL, err))) return rc;
        r->wrong += memcmp(row[i], vb_context_hidden(r->plain, 0), (size_t)dim * sizeof **row) != 0;
    }
    r->told += n;
    return VB_OK;
}

static int law_at(void *self, const float *logits, int32_t limit, const int32_t *prefix, size_t n_prefix,
                  const vb_dist_space *space, vb_dist *out, vb_error *err) {
    return vb_law_distribution(self, logits, limit, prefix, n_prefix, space, out, err);
}

static void hidden_rows(void **state) {
    (void)state;
    reader r = {.plain = rig.check.context, .n_vocab = n_vocab()};
    vb_law *law = NULL;
    vb_sampling sampling;
    vb_spec *s = NULL;
    vb_error err = {0};
    vb_step step;
    uint64_t seed = 3;
    const vb_coins coins = vb_coins_philox(&seed);
    int32_t given[60];
    for (int i = 0; i < 60; i++) given[i] = prompt[i % N_PROMPT];
    vb_sampling_defaults(&sampling);
    vb_context_truncate(rig.target.context, 0, NULL);
    vb_context_truncate(r.plain, 0, NULL);
    vb_context_keep_hidden(r.plain);
    assert_int_equal(vb_law_open(&law, &sampling, n_vocab(), rig.target.context->kernels->exp_weights, &err),
                     0);
    const vb_drafter drafter = {.self = &r,
                                .sync = reader_sync,
                                .draft = reader_draft,
                                .settle = reader_settle,
                                .close = reader_close,
                                .see = reader_see};
    const vb_spec_parts parts = {.target = vb_lm_context(rig.target.context),
                                 .law = {.self = law, .capacity = vb_law_capacity(law), .at = law_at},
                                 .drafter = &drafter,
                                 .coins = &coins,
                                 .rule = vb_rule_coupled,
                                 .gamma = 4};
    if (vb_spec_assemble(&s, &parts, &err) || vb_spec_prompt(s, given, 40, &err)) fail_msg("%s", err.message);
    assert_int_equal(r.told, 39); /* the prompt's, but for the pending token's */
    uint64_t accepted = 0;
    for (int i = 0; i < 20; i++) {
        if (i == 10) assert_int_equal(vb_spec_give(s, given, 20, &err), 0); /* evaluated by the steps */
        if (vb_spec_step(s, 5, &step, &err)) fail_msg("%s", err.message);
        accepted += (uint64_t)step.n_accepted;
        assert_int_equal(r.told, vb_context_length(rig.target.context));
    }
    printf("%zu hidden rows, %d wrong; %llu drafts accepted\n", r.told, r.wrong,
           (unsigned long long)accepted);
    assert_int_equal(r.wrong, 0);
    assert_true(accepted > 0);
    vb_spec_close(s);
    vb_law_close(law);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_text),
        cmocka_unit_test(allowed_only),
        cmocka_unit_test(nothing_may_follow),
        cmocka_unit_test(masks_that_cannot_be),
        cmocka_unit_test(traces),
        cmocka_unit_test(hidden_rows),
    };
    return cmocka_run_group_tests_name("speculate_mask", tests, open_rig, close_rig);
}
