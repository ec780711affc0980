/* test_grammar_threads.c - one constraint and several threads: slots of a server share what was compiled for
 * a grammar. A file of its own, so that the thread sanitizer runs it and little else. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grammar/constraint.h"
#include "tests/tokenizer_util.h"

static vb_gguf *gguf;
static vb_tokenizer *tokenizer;
static vb_vocabulary *vocabulary;
static int32_t end;

static int set_up(void **state) {
    (void)state;
    vocab v = {0};
    gw *w = gw_new();
    vb_error err = {0};
    char path[256];
    gw_temp_path(path);
    end = vocab_add(&v, "<end>", VB_TOKEN_CONTROL, 0);
    vocab_add_alphabet(&v);
    const char *const words[] = {"ye", "no", "(a", "a)", "12", "((", "))", "noye"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) vocab_add(&v, words[i], VB_TOKEN_NORMAL, 0);
    gw_str(w, "general.architecture", "llama");
    gw_str(w, "tokenizer.ggml.model", "gpt2");
    gw_str(w, "tokenizer.ggml.pre", "gpt-2");
    gw_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)end);
    const char *merges[] = {"y e", "n o"};
    gw_array_str(w, "tokenizer.ggml.merges", merges, 2);
    vocab_write(&v, w, false);
    size_t n;
    uint8_t *bytes = gw_finish(w, &n);
    gw_write_bytes(path, bytes, n);
    gw_free(w);
    free(bytes);
    vocab_free(&v);
    const int opened = vb_gguf_open(&gguf, path, &err);
    unlink(path);
    if (opened || vb_tokenizer_open(&tokenizer, gguf, &err) ||
        vb_vocabulary_open(&vocabulary, tokenizer, 0, &err)) {
        printf("# %s\n", err.message);
        return -1;
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    vb_vocabulary_close(vocabulary);
    vb_tokenizer_close(tokenizer);
    vb_gguf_close(gguf);
    return 0;
}

enum { WORDS = 5 };

static bool has(const uint64_t *allowed, int32_t id) {
    return allowed[id / 64] >> (id % 64) & 1;
}

enum { THREADS = 4, TEXTS = 30, LONGEST_TEXT = 24 };

typedef struct reader {
    const vb_grammar *grammar;
    vb_constraint *shared;
    uint64_t seed;
    const char *wrong;
} reader;

/* Texts at random: every mask of the shared constraint is that of one of its own. */
static void *read_along(void *user) {
    reader *r = user;
    vb_constraint *own = NULL;
    vb_guide *u = NULL, *mine = NULL;
    gw_rng rng = {r->seed};
    if (vb_constraint_open(&own, r->grammar, vocabulary, NULL, NULL)) r->wrong = "no constraint";
    for (int k = 0; k < TEXTS && !r->wrong; k++) {
        int32_t ids[LONGEST_TEXT];
        uint64_t a[WORDS], b[WORDS];
        if (vb_guide_open(&u, r->shared, NULL, NULL) || vb_guide_open(&mine, own, NULL, NULL))
            r->wrong = "no guide";
        for (size_t n = 0; n < LONGEST_TEXT && !r->wrong; n++) {
            if (vb_guide_allowed(u, ids, n, a, NULL) || vb_guide_allowed(mine, ids, n, b, NULL))
                r->wrong = "no mask";
            if (!r->wrong && memcmp(a, b, sizeof a) != 0) r->wrong = "another mask";
            if (r->wrong || has(a, end)) break;
            do ids[n] = (int32_t)(gw_next(&rng) % (unsigned)vb_tokenizer_size(tokenizer));
            while (!has(a, ids[n]));
        }
        vb_guide_close(u);
        vb_guide_close(mine);
        u = mine = NULL;
    }
    vb_constraint_close(own);
    return NULL;
}

/* Slots of a server share a constraint: here with so little room that states are forgotten all the time. */
static void shared_by_threads(void **state) {
    (void)state;
    static const char text[] = "root ::= s s s\ns ::= \"(\" s* [a-z]{0,9} \")\" | [0-9]+ \"ye\" | \"no\" s";
    vb_grammar *g = NULL;
    const vb_constraint_params p = {.max_bytes = 60000};
    vb_constraint *c = NULL;
    reader readers[THREADS];
    pthread_t threads[THREADS];
    assert_int_equal(vb_grammar_open(&g, VB_GRAMMAR_GBNF, text, sizeof text - 1, NULL, NULL), 0);
    assert_int_equal(vb_constraint_open(&c, g, vocabulary, &p, NULL), 0);
    for (uint64_t i = 0; i < THREADS; i++) {
        readers[i] = (reader){.grammar = g, .shared = c, .seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, read_along, &readers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < THREADS; i++)
        if (readers[i].wrong) fail_msg("thread %zu: %s", i, readers[i].wrong);
    vb_constraint_close(c);
    vb_grammar_close(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shared_by_threads)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
