/* P8 on models: ten schemas, under the small models of spec_rig and their own vocabulary. With and without
 * drafts the text of a seed is the same; every text is complete and in the grammar, but those that the length
 * ended, which are a beginning of one. VB_ALL_GRAMMARS=1: 200 seeds, else a few. */
#include "tests/spec_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char record[] =
    "{\"type\":\"object\",\"properties\":{\"ok\":{\"type\":\"boolean\"},\"n\":{\"type\":\"integer\","
    "\"minimum\":0,\"maximum\":99}},\"required\":[\"ok\",\"n\"],\"additionalProperties\":false}";

static const char nested[] =
    "{\"type\":\"object\",\"properties\":{\"x\":{\"$ref\":\"#/$defs/"
    "p\"}},\"required\":[\"x\"],\"additionalProperties\":false,\"$defs\":{\"p\":{\"type\":\"object\","
    "\"properties\":{\"y\":{\"const\":\"z\"}},\"required\":[\"y\"],\"additionalProperties\":false}}}";

static const char *const schemas[] = {
    "{\"type\":\"boolean\"}",
    "{\"enum\":[\"red\",\"green\",12,null,{\"a\":[1]}]}",
    "{\"type\":\"integer\",\"minimum\":-20,\"maximum\":1300}",
    record,
    "{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"ab\",\"abc\"]},\"minItems\":1,\"maxItems\":3}",
    "{\"type\":\"string\",\"maxLength\":4}",
    "{\"type\":\"string\",\"pattern\":\"^[ab]{2}c?$\"}",
    "{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"maxItems\":2}]}",
    nested,
    "{\"type\":\"string\",\"format\":\"date\"}",
};
#define N_SCHEMAS (sizeof schemas / sizeof *schemas)

typedef struct shaped {
    vb_tokenizer *tokenizer;
    vb_vocabulary *vocabulary;
    vb_grammar *grammar;
    vb_constraint *constraint;
    vb_guide *guide;
    vb_mask mask;
} shaped;

static void open_schema(shaped *s, const char *schema) {
    vb_error err = {0};
    if (vb_grammar_open(&s->grammar, VB_GRAMMAR_JSON_SCHEMA, schema, strlen(schema), NULL, &err) ||
        vb_constraint_open(&s->constraint, s->grammar, s->vocabulary, NULL, &err) ||
        vb_guide_open(&s->guide, s->constraint, NULL, &err))
        fail_msg("%s: %s", schema, err.message);
    s->mask = vb_guide_mask(s->guide);
}

static void close_schema(shaped *s) {
    vb_guide_close(s->guide);
    vb_constraint_close(s->constraint);
    vb_grammar_close(s->grammar);
}

/* A complete text of the grammar, or a beginning of one that the length ended. */
static bool check_text(const shaped *s, const outcome *o) {
    char text[4096];
    size_t len = 0, n, valid = 0;
    uint64_t next[4];
    bool complete = false;
    for (int i = 0; i < o->n - o->stopped; i++) {
        const char *piece = vb_token_text(s->tokenizer, o->id[i], false, &n);
        assert_true(len + n < sizeof text);
        memcpy(text + len, piece, n);
        len += n;
    }
    assert_int_equal(vb_grammar_text(s->grammar, text, len, next, &complete, &valid, NULL), 0);
    if (valid != len || (o->stopped && !complete))
        fail_msg("not a text of the grammar: %.*s", (int)len, text);
    return o->stopped;
}

static void ten_schemas(void **state) {
    (void)state;
    static const who all[] = {BY_MODEL, BY_ITSELF, BY_NGRAM, BY_FORCED};
    const uint64_t seeds = getenv("VB_ALL_GRAMMARS") ? 200 : 3;
    uint64_t texts = 0, whole = 0, accepted[5] = {0}, forced = 0;
    shaped s = {0};
    vb_error err = {0};
    const int n_vocab = vb_model_describe(rig.target.model)->n_vocab;
    if (vb_tokenizer_open(&s.tokenizer, rig.target.gguf, &err) ||
        vb_vocabulary_open(&s.vocabulary, s.tokenizer, n_vocab, &err))
        fail_msg("%s", err.message);
    size_t n_stop;
    const int32_t *stop = vb_stop_ids(s.tokenizer, &n_stop);
    for (size_t k = 0; k < N_SCHEMAS; k++) {
        open_schema(&s, schemas[k]);
        for (uint64_t seed = 1; seed <= seeds; seed++) {
            job j = a_job(seed % 4 ? VB_ACCEPT_COUPLED : VB_ACCEPT_GREEDY, ALONE, 1 + (int)(seed % 7),
                          seed % 4 ? 0.7 + 0.2 * (double)(seed % 5) : 0, seed + 1000 * k);
            outcome alone, o;
            j.mask = &s.mask;
            j.n = 40;
            j.stop = stop;
            j.n_stop = n_stop;
            j.sampling.top_k = seed % 2 ? 0 : 20;
            run(&j, &alone);
            whole += check_text(&s, &alone);
            texts++;
            for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
                j.by = all[i];
                run(&j, &o);
                same(&o, &alone, &j);
                accepted[j.by] += o.stats.accepted;
                if (j.by == BY_FORCED) forced += o.stats.drafted;
            }
            /* the law's rules: another text, but one of the grammar */
            for (int rule = VB_ACCEPT_REJECTION; rule <= VB_ACCEPT_BLOCK; rule++) {
                j.by = seed % 2 ? BY_MODEL : BY_NGRAM;
                j.accept = (vb_accept)rule;
                j.sampling.temperature = 1;
                run(&j, &o);
                whole += check_text(&s, &o);
                texts++;
            }
        }
        close_schema(&s);
    }
    vb_vocabulary_close(s.vocabulary);
    vb_tokenizer_close(s.tokenizer);
    printf("%llu texts, %llu complete, the others ended by length; accepted: model %llu, self %llu, n-gram "
           "%llu, forced "
           "text %llu of %llu\n",
           (unsigned long long)texts, (unsigned long long)whole, (unsigned long long)accepted[1],
           (unsigned long long)accepted[2], (unsigned long long)accepted[3], (unsigned long long)accepted[4],
           (unsigned long long)forced);
    assert_true(whole > 0 && accepted[1] > 0 && accepted[4] > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_schemas),
    };
    return cmocka_run_group_tests_name("speculate_grammar", tests, open_rig, close_rig);
}
