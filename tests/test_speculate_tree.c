/* Trees of drafts on real contexts: the text, the log-probabilities and the caches of the target alone (P2,
 * P4, P5), the drafter's cache as one that read the path alone, interruptions, masks, the end of the context,
 * and what is refused. That the law is right: test_law_tree.c. */
#include "tests/spec_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const int shapes[][VB_TREE_DEPTH] = {{2},          {3, 2, 1},    {2, 2, 2}, {1, 3, 1},
                                            {4, 1, 1, 1}, {1, 1, 2, 2}, {32}};
#define N_SHAPES (sizeof shapes / sizeof *shapes)

static job tree_job(vb_accept accept, who by, size_t shape, double temperature, uint64_t seed) {
    job j = a_job(accept, by, 3, temperature, seed);
    memcpy(j.tree, shapes[shape % N_SHAPES], sizeof j.tree);
    return j;
}

/* The drafter's cache is byte for byte one that was fed as many tokens of the path. */
static void check_draft(const job *j, const outcome *o) {
    int32_t path[MOST + N_PROMPT];
    uint8_t hash[16];
    vb_context *c = j->by == BY_ITSELF ? rig.check.context : rig.check_draft.context;
    memcpy(path, j->prompt, j->n_prompt * sizeof *path);
    memcpy(path + j->n_prompt, o->id, (size_t)o->n * sizeof *path);
    if (o->draft_length == 0) return;
    assert_true(o->draft_length <= (int)j->n_prompt + o->n);
    vb_context_truncate(c, 0, NULL);
    assert_int_equal(vb_eval(c, path, (size_t)o->draft_length, NULL, NULL), 0);
    vb_context_hash(c, hash);
    assert_memory_equal(hash, o->draft_hash, 16);
}

static void the_target_alone(void **state) {
    (void)state;
    static const double temperatures[] = {0, 0.7, 1.4};
    uint64_t trees = 0, chains = 0, steps = 0, chain_steps = 0;
    int runs = 0;
    for (uint64_t seed = 0; seed < 42; seed++) {
        outcome alone, o, chain;
        job j = tree_job(VB_ACCEPT_COUPLED, ALONE, seed, temperatures[seed % 3], seed);
        if (seed % 4 == 1) j.sampling.top_k = 0, j.sampling.top_p = 1, j.sampling.min_p = 0;
        if (seed % 4 == 2) j.sampling.repeat_penalty = 1.2, j.sampling.presence_penalty = 0.3;
        if (seed % 4 == 3) j.sampling.dry_multiplier = 0.8, j.sampling.dry_allowed_length = 1;
        run(&j, &alone);
        for (who by = BY_MODEL; by <= BY_ITSELF; by++) {
            j.by = by;
            j.vary = seed % 5 == 0 ? 31u * (unsigned)seed + 1 : 0;
            run(&j, &o);
            same(&alone, &o, &j);
            check_draft(&j, &o);
            runs++;
            if (by == BY_ITSELF || j.vary) continue;
            job c = j;
            c.gamma = 0;
            while (c.tree[c.gamma]) c.tree[c.gamma++] = 0; /* a chain as deep */
            run(&c, &chain);
            trees += o.stats.accepted, steps += o.stats.steps;
            chains += chain.stats.accepted, chain_steps += chain.stats.steps;
        }
    }
    printf("%d trees equal to the target alone; accepted in a step %.3f, by chains as deep %.3f\n", runs,
           (double)trees / (double)steps, (double)chains / (double)chain_steps);
    assert_true(trees * chain_steps > chains * steps);
}

/* Shapes chosen step by step: the target's text, whatever was chosen; trees are among it where depths of a
 * draft are dear. */
static void chosen_shapes(void **state) {
    (void)state;
    vb_costs costs = {.far = 100, .draft = {500, 500}};
    uint64_t branched = 0;
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < VB_COST_ROWS; t++) costs.target[i][t] = 1000 + 10 * t;
    for (uint64_t seed = 0; seed < 12; seed++) {
        outcome alone, o, again;
        job j = tree_job(VB_ACCEPT_COUPLED, ALONE, 0, seed % 3 ? 1 : 0, seed);
        run(&j, &alone);
        j.by = BY_MODEL;
        j.gamma = VB_GAMMA_AUTO;
        j.tree[0] = VB_TREE_AUTO;
        j.costs = &costs;
        run(&j, &o);
        same(&alone, &o, &j);
        check_draft(&j, &o);
        branched += o.branched;
        j.accept = VB_ACCEPT_REJECTION;
        run(&j, &o);
        j.cancels = 5;
        run(&j, &again);
        same(&o, &again, &j);
        check_draft(&j, &o);
    }
    printf("%llu drafts were siblings of others\n", (unsigned long long)branched);
    assert_true(branched > 0);
}

/* Under rejection a seed's text is the same again, interrupted or not, and logits, caches and
 * log-probabilities are those of its path. */
static void rejection(void **state) {
    (void)state;
    uint64_t accepted = 0;
    for (uint64_t seed = 0; seed < 21; seed++) {
        outcome a, b;
        job j = tree_job(VB_ACCEPT_REJECTION, BY_MODEL, seed, 1, seed);
        if (seed % 3 == 0) j.sampling.top_k = 0, j.sampling.top_p = 1, j.sampling.min_p = 0;
        run(&j, &a);
        check_draft(&j, &a);
        j.cancels = 9;
        run(&j, &b);
        same(&a, &b, &j);
        assert_memory_equal(a.draft_hash, b.draft_hash, 16);
        assert_true(a.stats.accepted == b.stats.accepted && a.stats.drafted == b.stats.drafted);
        accepted += a.stats.accepted;
        vb_context *c = rig.check.context;
        vb_context_truncate(c, 0, NULL);
        assert_int_equal(vb_eval(c, j.prompt, j.n_prompt, NULL, NULL), 0);
        for (int i = 0; i < a.n; i++) {
            const double lp = vb_logprob(vb_logits(c, i ? 0 : j.n_prompt - 1),
                                         vb_model_describe(rig.target.model)->n_vocab, a.id[i]);
            assert_memory_equal(&lp, &a.logprob[i], sizeof lp);
            if (i + 1 < a.n) assert_int_equal(vb_eval(c, &a.id[i], 1, NULL, NULL), 0);
        }
        uint8_t hash[16];
        vb_context_hash(c, hash);
        assert_memory_equal(hash, a.hash, 16);
    }
    assert_true(accepted > 50);
}

/* A mask that each place of each branch has of its own. */
static int by_prefix(void *self, const int32_t *ids, size_t n, uint64_t *allowed, vb_error *err) {
    const int *n_vocab = self;
    uint32_t h = (uint32_t)n + 7;
    (void)err;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint32_t)ids[i]) * 0x9E3779B1u ^ h >> 13;
    memset(allowed, 0, ((size_t)*n_vocab + 63) / 64 * sizeof *allowed);
    for (int id = 0; id < *n_vocab; id++)
        if (((h ^ (uint32_t)id) * 0x85EBCA6Bu >> 16) % 3 == 0) allowed[id / 64] |= (uint64_t)1 << (id % 64);
    return VB_OK;
}

/* The same with text that must follow: one id at every third place. */
static int forced_by_prefix(void *self, const int32_t *ids, size_t n, int32_t *out, int max, int *n_out,
                            vb_error *err) {
    (void)self, (void)ids, (void)err;
    *n_out = n % 3 == 0 && max > 0;
    if (*n_out) out[0] = 60 + (int32_t)(n % 7);
    return VB_OK;
}

static int or_forced(void *self, const int32_t *ids, size_t n, uint64_t *allowed, vb_error *err) {
    const int *n_vocab = self;
    if (n % 3) return by_prefix(self, ids, n, allowed, err);
    memset(allowed, 0, ((size_t)*n_vocab + 63) / 64 * sizeof *allowed);
    const size_t id = 60 + n % 7;
    allowed[id / 64] |= (uint64_t)1 << (id % 64);
    return VB_OK;
}

static void masks(void **state) {
    (void)state;
    int n_vocab = vb_model_describe(rig.target.model)->n_vocab;
    const vb_mask plain = {.self = &n_vocab,
                           .at = by_prefix,
                           .n_vocab = n_vocab,
                           .name = "0123456789abcdef0123456789abcdef"},
                  forced = {.self = &n_vocab,
                            .at = or_forced,
                            .forced = forced_by_prefix,
                            .n_vocab = n_vocab,
                            .name = "123456789abcdef0123456789abcdef0"};
    uint64_t accepted = 0;
    for (uint64_t seed = 0; seed < 28; seed++) {
        outcome alone, o;
        job j = tree_job(VB_ACCEPT_COUPLED, ALONE, seed, seed % 3 ? 1 : 0, seed);
        j.mask = seed % 2 ? &forced : &plain;
        run(&j, &alone);
        j.by = BY_MODEL;
        run(&j, &o);
        same(&alone, &o, &j);
        check_draft(&j, &o);
        accepted += o.stats.accepted;
        j.accept = VB_ACCEPT_REJECTION; /* what the mask forbids is an error of the run */
        run(&j, &o);
        accepted += o.stats.accepted;
    }
    assert_true(accepted > 100);
}

/* Up to the last position of the context, and behind stop tokens. */
static void ends(void **state) {
    (void)state;
    int32_t stop;
    int stopped = 0;
    for (uint64_t seed = 0; seed < 14; seed++) {
        outcome alone, o;
        job j = tree_job(VB_ACCEPT_COUPLED, ALONE, seed, seed % 2 ? 1 : 0, seed);
        j.n = MOST;
        run(&j, &alone);
        stop = alone.id[5 + seed];
        j.stop = &stop;
        j.n_stop = seed % 2;
        run(&j, &alone);
        j.by = BY_MODEL;
        run(&j, &o);
        same(&alone, &o, &j);
        assert_int_equal(alone.rc, o.rc);
        assert_int_equal(alone.stopped, o.stopped);
        stopped += o.stopped;
    }
    assert_int_equal(stopped, 7);
}

static void refused(const job *j, const char *words) {
    vb_spec_params p;
    vb_spec *s = NULL;
    vb_error err = {0};
    vb_spec_defaults(&p);
    p.accept = j->accept;
    p.draft = j->by == BY_NGRAM ? VB_DRAFT_NGRAM : VB_DRAFT_MODEL;
    p.draft_context = j->draft;
    p.gamma = j->gamma;
    memcpy(p.tree, j->tree, sizeof p.tree);
    vb_context_truncate(j->target, 0, NULL);
    vb_context_truncate(j->draft, 0, NULL);
    assert_int_equal(vb_spec_open(&s, j->target, &j->sampling, &p, &err), VB_ERR_ARGUMENT);
    assert_null(s);
    if (!strstr(err.message, words)) fail_msg("\"%s\" does not say \"%s\"", err.message, words);
}

static void what_is_refused(void **state) {
    (void)state;
    job j = tree_job(VB_ACCEPT_BLOCK, BY_MODEL, 1, 1, 1);
    refused(&j, "block verification judges chains");
    j.accept = VB_ACCEPT_REJECTION;
    j.by = BY_NGRAM;
    refused(&j, "needs a draft model");
    j.by = BY_MODEL;
    j.gamma = VB_GAMMA_AUTO;
    refused(&j, "chains only");
    j.gamma = 3;
    j.tree[0] = 33;
    refused(&j, "tree[0] is 33");
    j.tree[0] = 8;
    j.tree[1] = 5;
    refused(&j, "more than 32");
    j.tree[0] = -2;
    refused(&j, "tree[0] is -2");
    j.tree[0] = VB_TREE_AUTO;
    j.tree[1] = 0;
    refused(&j, "VB_TREE_AUTO goes with VB_GAMMA_AUTO");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_target_alone),
        cmocka_unit_test(chosen_shapes),
        cmocka_unit_test(rejection),
        cmocka_unit_test(masks),
        cmocka_unit_test(ends),
        cmocka_unit_test(what_is_refused),
    };
    return cmocka_run_group_tests_name("speculate_tree", tests, open_rig, close_rig);
}
