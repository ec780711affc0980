/* test_tree.c - trees of tokens in one evaluation: every token's logits are the bits of its own path fed as a
 * chain, what its path left in the cache has the chain's hash wherever it lies, and after vb_context_keep the
 * cache is byte for byte the chain's (P1, P4). */
#include "engine/context.h"
#include "tests/model_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { HELD = 41, ROWS = 13, ROOM = 96 };

static vb_context *context(const test_model *t, const char *kernels, int batch, vb_type kv) {
    vb_context_params p;
    vb_context *c = NULL;
    vb_error err = {0};
    vb_context_defaults(&p);
    p.n_ctx = ROOM;
    p.kernels = kernels;
    p.n_threads = batch % 3 + 1;
    p.batch = batch;
    p.k_type = p.v_type = kv;
    if (vb_context_open(&c, t->model, &p, &err)) fail_msg("%s", err.message);
    return c;
}

static void feed(vb_context *c, const int32_t *tokens, size_t n) {
    vb_error err = {0};
    if (n && vb_eval(c, tokens, n, NULL, &err)) fail_msg("%s", err.message);
}

/* The rows from `from` on: those before are held already. */
static void feed_rows(vb_context *c, const int32_t *tokens, const int32_t *parent, size_t from, size_t n) {
    vb_error err = {0};
    static const uint8_t want[ROWS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    vb_eval_item item = {.context = c,
                         .tokens = tokens + from,
                         .n = n - from,
                         .want = want,
                         .parent = parent + from,
                         .err = &err};
    if (vb_eval_many(&item, 1)) fail_msg("%s", err.message);
    assert_int_equal(vb_context_length(c), HELD + n);
}

static void feed_tree(vb_context *c, const int32_t *tokens, const int32_t *parent, size_t n) {
    feed_rows(c, tokens, parent, 0, n);
}

/* A tree that grows: what was evaluated before it has branches, then the rest. Returns the first row of the
 * last call, whose logits are there. */
static size_t feed_twice(vb_context *c, const int32_t *tokens, const int32_t *parent, size_t n) {
    size_t first = 0;
    bool chain = true;
    while (chain && first < n) chain = parent[first] == (int32_t)first - 1, first++;
    if (first < n / 2) first = n / 2;
    feed_rows(c, tokens, parent, 0, first);
    vb_eval_item loose = {
        .context = c, .tokens = tokens, .n = 1, .parent = (const int32_t[]){(int32_t)first}};
    assert_int_equal(vb_eval_many(&loose, 1), VB_ERR_ARGUMENT); /* and changes nothing */
    feed_rows(c, tokens, parent, first, n);
    return first;
}

/* The path to a row, root first; returns its length. */
static size_t path_to(const int32_t *parent, int32_t row, int32_t *path) {
    size_t n = 0;
    for (int32_t i = row; i >= 0; i = parent[i]) n++;
    size_t at = n;
    for (int32_t i = row; i >= 0; i = parent[i]) path[--at] = i;
    return n;
}

static void random_tree(gw_rng *rng, int n, int32_t *parent) {
    for (int i = 0; i < n; i++) parent[i] = (int32_t)(gw_next(rng) % (uint64_t)(i + 1)) - 1;
    parent[n - 1] = 0; /* no chain */
}

/* One row: its path as a chain behind the same prompt, in `chain`. */
static void check_row(const test_model *t, vb_context *tree, vb_context *chain, const int32_t *tokens,
                      const int32_t *parent, int32_t row, size_t first) {
    int32_t path[ROWS] = {0}, ids[ROWS];
    uint8_t want[16], got[16];
    vb_error err = {0};
    const size_t n = path_to(parent, row, path);
    for (size_t i = 0; i < n; i++) ids[i] = tokens[path[i]];
    assert_int_equal(vb_context_truncate(chain, HELD, &err), VB_OK);
    feed(chain, ids, n);
    if ((size_t)row >= first && memcmp(vb_logits(tree, (size_t)row - first), vb_logits(chain, n - 1),
                                       (size_t)t->n_vocab * sizeof(float)))
        fail_msg("token %d of the tree, behind %zu others: other logits than its path alone", (int)row,
                 n - 1);
    vb_context_hash(chain, want);
    vb_cache_hash(&tree->cache, HELD + (int)n, tree->tree.base, tree->tree.path + tree->tree.start[row], got);
    if (memcmp(want, got, sizeof want))
        fail_msg("token %d of the tree: another cache than its path", (int)row);
}

/* Keeps the path to a row and goes on: the same cache as the chain's, which holds it already, and the same
 * logits afterwards. */
static void check_kept(const test_model *t, vb_context *tree, vb_context *chain, const int32_t *parent,
                       int32_t row, int32_t next) {
    int32_t path[ROWS];
    uint8_t want[16], got[16];
    vb_error err = {0};
    const size_t n = path_to(parent, row, path);
    if (vb_context_keep(tree, HELD, path, n, &err)) fail_msg("%s", err.message);
    assert_int_equal(vb_context_length(tree), HELD + n);
    feed(tree, &next, 1);
    feed(chain, &next, 1);
    assert_memory_equal(vb_logits(tree, 0), vb_logits(chain, 0), (size_t)t->n_vocab * sizeof(float));
    vb_context_hash(chain, want);
    vb_context_hash(tree, got);
    assert_memory_equal(want, got, sizeof want);
    const vb_cache *a = &tree->cache, *b = &chain->cache;
    const size_t bytes = (HELD + n + 1) * vb_cache_row_bytes(a, a->k_type);
    for (int layer = 0; layer < a->n_layers; layer++) {
        for (int head = 0; head < a->n_kv_heads; head++) {
            const size_t at = vb_cache_row(a, a->k_type, layer, head, 0);
            assert_memory_equal((const char *)a->k + at, (const char *)b->k + at, bytes);
            assert_memory_equal((const char *)a->v + at, (const char *)b->v + at, bytes);
        }
    }
}

/* The row with the longest path. Random trees are shallow, so a path through half of the rows is put in. */
static int32_t deepest(int32_t *parent) {
    int32_t path[ROWS], best = 0;
    size_t longest = 0;
    for (int32_t i = 4; i < ROWS; i += 2) parent[i] = i - 2;
    for (int32_t i = 0; i < ROWS; i++) {
        const size_t n = path_to(parent, i, path);
        if (n > longest) longest = n, best = i;
    }
    return best;
}

static void check_trees(const test_model *t, const char *kernels, int batch, vb_type kv, uint64_t seed) {
    gw_rng rng = {seed};
    int32_t prompt[HELD], tokens[ROWS], parent[ROWS];
    vb_error err = {0};
    random_tokens(seed, t->n_vocab, prompt, HELD);
    vb_context *tree = context(t, kernels, batch, kv), *chain = context(t, kernels, 64, kv);
    feed(tree, prompt, HELD);
    feed(chain, prompt, HELD);
    for (int round = 0; round < 4; round++) {
        random_tokens(seed + 10 + (uint64_t)round, t->n_vocab, tokens, ROWS);
        random_tree(&rng, ROWS, parent);
        const int32_t row = round % 2 ? deepest(parent) : (int32_t)(gw_next(&rng) % ROWS);
        size_t first = 0; /* of the last call */
        if (round < 2)
            feed_tree(tree, tokens, parent, ROWS);
        else
            first = feed_twice(tree, tokens, parent, ROWS);
        for (int32_t i = 0; i < ROWS; i++) check_row(t, tree, chain, tokens, parent, i, first);
        check_row(t, tree, chain, tokens, parent, row, first);
        check_kept(t, tree, chain, parent, row, tokens[0]);
        assert_int_equal(vb_context_truncate(tree, HELD, &err), VB_OK);
    }
    vb_context_close(tree);
    vb_context_close(chain);
}

static void test_trees(void **state) {
    (void)state;
    static const char *const archs[] = {"llama", "gemma3", "qwen3", "phi3", "qwen3moe"};
    for (int i = 0; i < 5; i++) {
        const gw_model_spec spec = {.seed = 40 + (uint64_t)i,
                                    .arch = archs[i],
                                    .type = VB_Q8_0,
                                    .dim = 96,
                                    .heads = 6,
                                    .kv_heads = i == 3 ? 6 : 2,
                                    .ffn = 128,
                                    .window = i % 2 ? 20 : 0,
                                    .experts = i == 4 ? 6 : 0,
                                    .experts_used = i == 4 ? 2 : 0,
                                    .layers = 2};
        test_model t = open_tiny(&spec);
        for (const char *const *name = vb_kernel_names(); *name; name++) {
            check_trees(&t, *name, 64, VB_F16, 1);
            check_trees(&t, *name, 5, i % 2 ? VB_F32 : VB_F16, 2); /* a tree in three pieces */
        }
        close_tiny(&t);
    }
}

static void expect(int rc, const vb_error *err, const char *words) {
    assert_int_equal(rc, VB_ERR_ARGUMENT);
    if (!strstr(err->message, words)) fail_msg("\"%s\" does not say \"%s\"", err->message, words);
}

/* What a context that holds a tree refuses, and that it stays as it is. */
static void test_refused(void **state) {
    (void)state;
    const gw_model_spec spec = {.seed = 9,
                                .arch = "llama",
                                .type = VB_F32,
                                .dim = 64,
                                .heads = 4,
                                .kv_heads = 2,
                                .ffn = 64,
                                .layers = 1};
    static const int32_t parent[4] = {-1, 0, 0, 2}, loose[2] = {-1, 1}, early[2] = {-2, 0};
    test_model t = open_tiny(&spec);
    int32_t tokens[HELD];
    vb_error err = {0};
    random_tokens(3, t.n_vocab, tokens, HELD);
    vb_context *c = context(&t, "auto", 64, VB_F16), *other = context(&t, "auto", 64, VB_F16);
    feed(c, tokens, HELD);
    vb_eval_item bad = {.context = c, .tokens = tokens, .n = 2, .parent = loose, .err = &err};
    expect(vb_eval_many(&bad, 1), &err, "parent[1] is 1");
    bad.parent = early;
    expect(vb_eval_many(&bad, 1), &err, "parent[0] is -2");
    feed_tree(c, tokens, parent, 4);
    expect(vb_eval(c, tokens, 1, NULL, &err), &err, "holds a tree");
    expect(vb_context_truncate(c, HELD + 3, &err), &err, "vb_context_keep");
    expect(vb_context_copy(other, c, HELD + 1, &err), &err, "holds a tree");
    expect(vb_context_keep(c, HELD - 1, (const int32_t[]){0}, 1, &err), &err, "begins at");
    expect(vb_context_keep(c, HELD, (const int32_t[]){1}, 1, &err), &err, "no path");
    expect(vb_context_keep(c, HELD, (const int32_t[]){0, 3}, 2, &err), &err, "no path");
    expect(vb_context_keep(c, HELD, (const int32_t[]){4}, 1, &err), &err, "0 to 3");
    expect(vb_context_keep(c, HELD, (const int32_t[]){0, 2, 3, 3, 3}, 5, &err), &err, "cannot keep");
    assert_int_equal(vb_context_copy(other, c, HELD, &err), VB_OK);
    assert_int_equal(vb_context_truncate(c, HELD + 2, &err), VB_OK); /* rows 0 and 1 are a chain */
    feed(other, tokens, 2);
    uint8_t want[16], got[16];
    vb_context_hash(other, want);
    vb_context_hash(c, got);
    assert_memory_equal(want, got, sizeof want);
    assert_int_equal(vb_context_keep(c, HELD, (const int32_t[]){0}, 1, &err), VB_OK); /* of a chain */
    expect(vb_context_keep(c, HELD, (const int32_t[]){1}, 1, &err), &err, "chain");
    vb_context_close(c);
    vb_context_close(other);
    close_tiny(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_trees), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
