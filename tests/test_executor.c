/* test_executor.c - the seam above the product hook (engine/executor.h), held open by a test double: an
 * executor that computes some or all layers of a pass with the scalar reference, and keeps their keys and
 * values in memory of its own. Logits, hidden rows and caches are the CPU's, bit for bit, through prompts in
 * pieces, sequences in one call, trees, copies and truncation. Doubles that miss one of the interface's calls
 * are found. */
#include "engine/context.h"
#include "tests/model_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM = 96, BATCH = 7, LAYERS = 3, CACHES = 4 };

/* ---------------------------------------------------------------------- the double */

typedef struct mirror {
    const vb_cache *host; /* NULL: a free place */
    vb_cache own;
} mirror;

typedef struct elsewhere {
    const vb_model *model;
    vb_executor reference; /* computes in the mirrors */
    vb_workspace *workspace;
    int first, last;
    mirror mirrors[CACHES];
    int spans, rows, fetched, told, forgotten; /* calls */
} elsewhere;

static mirror *mirror_of(elsewhere *e, const vb_cache *host) {
    mirror *none = NULL;
    for (int i = 0; i < CACHES; i++) {
        if (e->mirrors[i].host == host) return &e->mirrors[i];
        if (!e->mirrors[i].host) none = &e->mirrors[i];
    }
    assert_non_null(none);
    vb_error err = {0};
    none->host = host;
    assert_int_equal(vb_cache_open(&none->own, e->model, host->k_type, host->v_type, host->n_ctx, &err),
                     VB_OK);
    return none;
}

static int compute(void *self, const vb_pass_span *s, vb_error *err) {
    elsewhere *e = self;
    vb_row rows[BATCH];
    vb_pass_span own = *s;
    assert_true(s->n <= BATCH && s->first == e->first && s->last == e->last);
    for (int i = 0; i < s->n; i++) {
        rows[i] = s->rows[i];
        rows[i].cache = &mirror_of(e, s->rows[i].cache)->own;
    }
    own.rows = rows;
    e->spans++;
    e->rows += s->n;
    return e->reference.compute(e->reference.self, &own, err);
}

/* Slots [from, to) of its layers. */
static void carry(const elsewhere *e, const vb_cache *source, const vb_cache *target, int from, int to) {
    const size_t row = vb_cache_row_bytes(source, source->k_type); /* the values' are of the same type */
    for (int layer = e->first; layer < e->last; layer++) {
        for (int head = 0; head < source->n_kv_heads; head++) {
            const size_t at = vb_cache_row(source, source->k_type, layer, head, from);
            memcpy((char *)target->k + at, (const char *)source->k + at, (size_t)(to - from) * row);
            memcpy((char *)target->v + at, (const char *)source->v + at, (size_t)(to - from) * row);
        }
    }
}

static void fetch(void *self, const vb_cache *c, int slots) {
    elsewhere *e = self;
    e->fetched++;
    carry(e, &mirror_of(e, c)->own, c, 0, slots);
}

static void written(void *self, const vb_cache *c, int from, int to) {
    elsewhere *e = self;
    e->told++;
    carry(e, c, &mirror_of(e, c)->own, from, to);
}

static void forget(void *self, const vb_cache *c) {
    elsewhere *e = self;
    mirror *m = mirror_of(e, c);
    e->forgotten++;
    vb_cache_close(&m->own);
    *m = (mirror){.host = NULL};
}

static uint64_t bytes(const void *self) {
    const elsewhere *e = self;
    return e->reference.bytes(e->reference.self);
}

static void open_elsewhere(elsewhere *e, const vb_model *m, int first, int last) {
    vb_error err = {0};
    const vb_workspace_params wp = {
        .kernels = &vb_kernels_ref, .max_rows = BATCH, .n_ctx = ROOM, .planes = 1};
    *e = (elsewhere){.model = m, .first = first, .last = last};
    if (vb_workspace_open(&e->workspace, m, &wp, &err)) fail_msg("%s", err.message);
    e->reference = vb_workspace_executor(e->workspace);
}

static vb_executor executor(elsewhere *e) {
    return (vb_executor){.name = "elsewhere",
                         .self = e,
                         .compute = compute,
                         .fetch = fetch,
                         .written = written,
                         .forget = forget,
                         .bytes = bytes};
}

/* ---------------------------------------------------------------------- pairs of contexts */

static test_model open_model(const char *arch, uint64_t seed) {
    const gw_model_spec spec = {.seed = seed,
                                .arch = arch,
                                .type = VB_Q8_0,
                                .dim = 64,
                                .heads = 4,
                                .kv_heads = 2,
                                .ffn = 96,
                                .window = strstr(arch, "moe") ? 0 : 20,
                                .layers = LAYERS,
                                .experts = strstr(arch, "moe") ? 4 : 0};
    return open_tiny(&spec);
}

static vb_context *context(const test_model *t, vb_context *share) {
    vb_context_params p;
    vb_context *c = NULL;
    vb_error err = {0};
    vb_context_defaults(&p);
    p.n_ctx = ROOM;
    p.n_threads = 2;
    p.batch = BATCH;
    p.share = share;
    if (vb_context_open(&c, t->model, &p, &err)) fail_msg("%s", err.message);
    vb_context_keep_hidden(c);
    return c;
}

/* The same two sequences twice: by the CPU alone, and with an executor. */
typedef struct pair {
    test_model model;
    vb_context *cpu[2], *split[2];
    elsewhere e;
} pair;

static void open_pair(pair *p, const char *arch, uint64_t seed, int first, int last) {
    vb_error err = {0};
    p->model = open_model(arch, seed);
    open_elsewhere(&p->e, p->model.model, first, last);
    const vb_executor other = executor(&p->e);
    p->cpu[0] = context(&p->model, NULL);
    p->split[0] = context(&p->model, NULL);
    const uint64_t before = vb_context_bytes(p->split[0]);
    if (vb_context_delegate(p->split[0], &other, first, last, &err)) fail_msg("%s", err.message);
    const uint64_t between = BATCH * (uint64_t)vb_model_describe(p->model.model)->dim * sizeof(float);
    assert_int_equal(vb_context_bytes(p->split[0]), before + bytes(&p->e) + between);
    p->cpu[1] = context(&p->model, p->cpu[0]);
    p->split[1] = context(&p->model, p->split[0]);
}

static void close_pair(pair *p) {
    for (int i = 0; i < 2; i++) {
        vb_context_close(p->cpu[i]);
        vb_context_close(p->split[i]);
    }
    assert_int_equal(p->e.forgotten, 2);
    vb_workspace_close(p->e.workspace);
    close_tiny(&p->model);
}

/* How many of the wanted logits, the hidden rows and the caches of a sequence differ. */
static int differences(const pair *p, int sequence, size_t n) {
    const vb_context *a = p->cpu[sequence], *b = p->split[sequence];
    const vb_model_info *info = vb_model_describe(p->model.model);
    uint8_t hash[2][16];
    int wrong = 0;
    for (size_t i = 0; i < n; i++) {
        const float *x = vb_logits(a, i), *y = vb_logits(b, i);
        assert_int_equal(!x, !y);
        if (x) wrong += memcmp(x, y, (size_t)info->n_vocab * sizeof *x) != 0;
        wrong +=
            memcmp(vb_context_hidden(a, i), vb_context_hidden(b, i), (size_t)info->dim * sizeof(float)) != 0;
    }
    vb_context_hash(a, hash[0]);
    vb_context_hash(b, hash[1]);
    return wrong + (memcmp(hash[0], hash[1], 16) != 0);
}

static int feed(pair *p, int sequence, const int32_t *tokens, const int32_t *parent, size_t n) {
    static const uint8_t all[ROOM] = {1, 0, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    vb_error err = {0};
    for (int side = 0; side < 2; side++) {
        vb_context *c = side ? p->split[sequence] : p->cpu[sequence];
        vb_eval_item item = {
            .context = c, .tokens = tokens, .n = n, .want = all, .parent = parent, .err = &err};
        if (vb_eval_many(&item, 1)) fail_msg("%s", err.message);
    }
    return differences(p, sequence, n);
}

/* Both sequences in one call. */
static int feed_both(pair *p, const int32_t *tokens, size_t n) {
    vb_error err = {0};
    for (int side = 0; side < 2; side++) {
        vb_context *const *c = side ? p->split : p->cpu;
        vb_eval_item items[2] = {{.context = c[0], .tokens = tokens, .n = n, .err = &err},
                                 {.context = c[1], .tokens = tokens + n, .n = n + 1, .err = &err}};
        if (vb_eval_many(items, 2)) fail_msg("%s", err.message);
    }
    return differences(p, 0, n) + differences(p, 1, n + 1);
}

static void truncate_to(pair *p, int sequence, int n) {
    assert_int_equal(vb_context_truncate(p->cpu[sequence], n, NULL), VB_OK);
    assert_int_equal(vb_context_truncate(p->split[sequence], n, NULL), VB_OK);
}

static void keep(pair *p, int sequence, int n, const int32_t *rows, size_t k) {
    vb_error err = {0};
    if (vb_context_keep(p->cpu[sequence], n, rows, k, &err)) fail_msg("%s", err.message);
    if (vb_context_keep(p->split[sequence], n, rows, k, &err)) fail_msg("%s", err.message);
}

static void copy_first(pair *p, int n) {
    vb_error err = {0};
    if (vb_context_copy(p->cpu[1], p->cpu[0], n, &err)) fail_msg("%s", err.message);
    if (vb_context_copy(p->split[1], p->split[0], n, &err)) fail_msg("%s", err.message);
}

/* A conversation's ups and downs; returns how much differed. */
static int live(pair *p) {
    static const int32_t parent[9] = {-1, 0, 0, 1, 2, 2, 4, 4, 7}, path[5] = {0, 2, 4, 7, 8};
    int32_t tokens[ROOM];
    int wrong = 0;
    random_tokens(4, p->model.n_vocab, tokens, ROOM);
    wrong += feed(p, 0, tokens, NULL, 23); /* in pieces of BATCH */
    truncate_to(p, 0, 17);
    wrong += feed(p, 0, tokens + 30, parent, 9);
    keep(p, 0, 17, path, 5);
    wrong += feed(p, 0, tokens + 40, NULL, 2);
    copy_first(p, 21);
    wrong += feed(p, 1, tokens + 50, NULL, 3);
    return wrong + feed_both(p, tokens + 60, 4);
}

/* ---------------------------------------------------------------------- tests */

static void test_same_bits(void **state) {
    (void)state;
    static const char *const archs[] = {"llama", "gemma3", "qwen3moe"};
    static const int spans[][2] = {{0, LAYERS}, {0, 1}, {1, 2}, {2, LAYERS}, {1, LAYERS}};
    for (int i = 0; i < 3; i++) {
        for (int s = 0; s < 5; s++) {
            pair p;
            open_pair(&p, archs[i], 60 + (uint64_t)i, spans[s][0], spans[s][1]);
            const int wrong = live(&p);
            if (wrong) fail_msg("%s, layers %d to %d: %d differ", archs[i], spans[s][0], spans[s][1], wrong);
            /* 23 rows, 9 rows, 2, 3, and 4 + 5 together, in calls of 7 */
            assert_int_equal(p.e.spans, 4 + 2 + 1 + 1 + 2);
            assert_int_equal(p.e.rows, 23 + 9 + 2 + 3 + 9);
            close_pair(&p);
        }
    }
}

static void no_fetch(void *self, const vb_cache *c, int slots) {
    (void)self, (void)c, (void)slots;
}
static void not_told(void *self, const vb_cache *c, int from, int to) {
    (void)self, (void)c, (void)from, (void)to;
}
/* One slot too late, as an off by one in a copy would have it. */
static void told_late(void *self, const vb_cache *c, int from, int to) {
    written(self, c, from + 1, to);
}
static int without_layer(void *self, const vb_pass_span *s, vb_error *err) {
    elsewhere *e = self;
    vb_pass_span less = *s;
    e->last = --less.last; /* so that the last of its layers is nobody's */
    const int rc = compute(self, &less, err);
    e->last++;
    return rc;
}

static void test_planted(void **state) {
    (void)state;
    static const char *const what[] = {"no fetch", "not told", "told late", "a layer left out"};
    for (int i = 0; i < 4; i++) {
        pair p;
        open_pair(&p, "llama", 60, 0, 2);
        vb_executor *other = &p.split[0]->scratch->executors.other;
        if (i == 0) other->fetch = no_fetch;
        if (i == 1) other->written = not_told;
        if (i == 2) other->written = told_late;
        if (i == 3) other->compute = without_layer;
        const int wrong = live(&p);
        printf("%s: %d differ\n", what[i], wrong);
        if (!wrong) fail_msg("%s: not found", what[i]);
        close_pair(&p);
    }
}

static void observe(void *user, const char *what, int layer, int position, int rows, int cols,
                    const float *values) {
    (void)user, (void)what, (void)layer, (void)position, (void)rows, (void)cols, (void)values;
}

static void expect(int rc, int want, const vb_error *err, const char *words) {
    assert_int_equal(rc, want);
    if (!strstr(err->message, words)) fail_msg("\"%s\" does not say \"%s\"", err->message, words);
}

static void test_refused(void **state) {
    (void)state;
    vb_error err = {0};
    pair p;
    vb_context_params cp;
    vb_context *c = NULL;
    const int32_t token = 5;
    open_pair(&p, "llama", 60, 0, 2);
    const vb_executor other = executor(&p.e);
    expect(vb_context_delegate(p.split[0], &other, 2, 3, &err), VB_ERR_ARGUMENT, &err, "and once");
    vb_context_defaults(&cp);
    cp.observe = observe;
    assert_int_equal(vb_context_open(&c, p.model.model, &cp, &err), VB_OK);
    expect(vb_context_delegate(c, &other, 0, 1, &err), VB_ERR_UNSUPPORTED, &err, "observed");
    vb_context_close(c);
    c = context(&p.model, NULL);
    static const int bad[][2] = {{0, LAYERS + 1}, {-1, 1}, {1, 1}, {2, 1}};
    for (int i = 0; i < 4; i++)
        expect(vb_context_delegate(c, &other, bad[i][0], bad[i][1], &err), VB_ERR_ARGUMENT, &err,
               "not a part of the model's 3 layers");
    eval(c, &token, 1, NULL);
    expect(vb_context_delegate(c, &other, 0, 1, &err), VB_ERR_ARGUMENT, &err, "before the first");
    vb_context_close(c);
    close_pair(&p);
}

/* An executor's error is the evaluation's, and the context stays as it was. */
static int failing(void *self, const vb_pass_span *s, vb_error *err) {
    (void)self, (void)s;
    return vb_fail(err, VB_ERR_NUMERIC, "it broke");
}

static void test_error(void **state) {
    (void)state;
    vb_error err = {0};
    pair p;
    const int32_t tokens[3] = {5, 6, 7};
    open_pair(&p, "llama", 60, 1, 2);
    vb_executor *other = &p.split[0]->scratch->executors.other;
    assert_int_equal(feed(&p, 0, tokens, NULL, 3), 0);
    other->compute = failing;
    expect(vb_eval(p.split[0], tokens, 2, NULL, &err), VB_ERR_NUMERIC, &err, "it broke");
    assert_int_equal(vb_context_length(p.split[0]), 3);
    other->compute = compute;
    assert_int_equal(feed(&p, 0, tokens, NULL, 3), 0);
    copy_first(&p, 1); /* the second sequence has a mirror to forget, too */
    close_pair(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_planted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
