/* test_errors.c - every public function that takes a vb_error: whatever the struct holds before a call
 * (another call's error, garbage), afterwards it holds what this call says, and nothing after a success. The
 * table is compared with include/verbatim.h, so that a new function cannot be forgotten. */
#include "tests/model_util.h"

#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { FAIL_ONE, FAIL_OTHER, SUCCEED };

static struct {
    test_model model, other, floats; /* an SPM vocabulary, a BPE one, F32 weights */
    vb_tokenizer *tokenizer, *other_tokenizer;
    vb_context *context;
    char path[256];
} rig;

static const int32_t good_ids[2] = {5, 6};

/* -------------------------------------------------------------------------------- files, tokenizers, chat */

/* A file of metadata alone. */
static vb_gguf *small_file(const char *arch, const char *key, const char *value) {
    vb_error err;
    vb_gguf *g = NULL;
    gw *w = gw_new();
    size_t n;
    gw_str(w, "general.architecture", arch);
    gw_str(w, key, value);
    uint8_t *bytes = gw_finish(w, &n);
    gw_write_bytes(rig.path, bytes, n);
    gw_free(w);
    free(bytes);
    if (vb_gguf_open(&g, rig.path, &err)) fail_msg("%s", err.message);
    return g;
}

static int gguf_open(int how, vb_error *err) {
    vb_gguf *g = NULL;
    vb_gguf_close(small_file("llama", "general.name", "x"));
    const int rc = vb_gguf_open(&g, how == SUCCEED ? rig.path : how ? "/no/such/other" : "/no/such/one", err);
    vb_gguf_close(g);
    return rc;
}

static int tokenizer_open(int how, vb_error *err) {
    vb_tokenizer *t = NULL;
    vb_gguf *g = small_file("llama", "tokenizer.ggml.model", how ? "nobody's" : "somebody's");
    const int rc = vb_tokenizer_open(&t, how == SUCCEED ? rig.model.gguf : g, err);
    vb_tokenizer_close(t);
    vb_gguf_close(g);
    return rc;
}

static int tokenizer_open_with(int how, vb_error *err) {
    vb_tokenizer *t = NULL;
    const vb_tokenizer_params p = {.pre = how == SUCCEED ? NULL : how ? "nobody's" : "somebody's"};
    const int rc = vb_tokenizer_open_with(&t, rig.other.gguf, &p, err);
    vb_tokenizer_close(t);
    return rc;
}

static int tokenize(int how, vb_error *err) {
    int32_t *ids = NULL;
    size_t n;
    const unsigned flags = how == SUCCEED ? 0 : how ? 0x200 : 0x100;
    const int rc = vb_tokenize(rig.tokenizer, "abc", 3, flags, &ids, &n, err);
    vb_free(ids);
    return rc;
}

/* A text that claims to be longer than any can be is refused before it is looked at. */
static int tokenize_prompt(int how, vb_error *err) {
    int32_t *ids = NULL;
    size_t n;
    const size_t len = how == SUCCEED ? 3 : SIZE_MAX - (size_t)how;
    const int rc = vb_tokenize_prompt(rig.tokenizer, "abc", len, true, &ids, &n, err);
    vb_free(ids);
    return rc;
}

static int detokenize(int how, vb_error *err) {
    const int32_t ids[2] = {1, how == SUCCEED ? 2 : how ? -1 : -2};
    char *text = NULL;
    size_t len;
    const int rc = vb_detokenize(rig.tokenizer, ids, 2, false, &text, &len, err);
    vb_free(text);
    return rc;
}

static int vocab_compatible(int how, vb_error *err) {
    int32_t shared;
    const vb_tokenizer *spm = rig.tokenizer, *bpe = rig.other_tokenizer;
    return vb_vocab_compatible(how == FAIL_ONE ? bpe : spm, how == FAIL_OTHER ? bpe : spm, &shared, err);
}

static int chat_open(int how, vb_error *err) {
    vb_chat *c = NULL;
    vb_gguf *g = how == FAIL_ONE ? small_file("llama", "general.name", "x")
                                 : small_file("llama", "tokenizer.chat_template",
                                              how == SUCCEED ? "{{ messages }}" : "{{");
    const int rc = vb_chat_open(&c, g, NULL, err);
    vb_chat_close(c);
    vb_gguf_close(g);
    return rc;
}

static int chat_open_named(int how, vb_error *err) {
    vb_chat *c = NULL;
    const int rc = vb_chat_open_named(&c, how == SUCCEED ? "chatml" : how ? "nobody" : "none", err);
    vb_chat_close(c);
    return rc;
}

static int chat_open_text(int how, vb_error *err) {
    vb_chat *c = NULL;
    const char *text = how == SUCCEED ? "x" : how ? "{% if %}" : "{{";
    const int rc = vb_chat_open_text(&c, text, strlen(text), "template", err);
    vb_chat_close(c);
    return rc;
}

static int chat_fits(int how, vb_error *err) {
    vb_chat *c = NULL;
    int rc = vb_chat_open_named(&c, how == SUCCEED ? "vicuna" : how ? "gemma" : "llama3", err);
    if (!rc) rc = vb_chat_fits(c, rig.tokenizer, err);
    vb_chat_close(c);
    return rc;
}

/* A text rendered, and its ids; `from` is the byte that they start at. */
static int chat_ids(const char *text, size_t from, vb_error *err) {
    const vb_chat_message m = {"user", "Hi"};
    const vb_chat_request r = {.messages = &m, .n_messages = 1};
    vb_chat *c = NULL;
    vb_prompt p = {0};
    int32_t *ids = NULL;
    size_t n;
    int rc = vb_chat_open_text(&c, text, strlen(text), "template", err);
    if (!rc) rc = vb_chat_render(c, rig.tokenizer, &r, &p, err);
    if (!rc) rc = vb_chat_tokenize(rig.tokenizer, &p, from, &ids, &n, err);
    vb_free(ids);
    vb_prompt_free(&p);
    vb_chat_close(c);
    return rc;
}

static int chat_render(int how, vb_error *err) {
    return chat_ids(how == SUCCEED ? "x" : how ? "{{ 1 / 0 }}" : "{{ raise_exception('no') }}", 0, err);
}

static int chat_tokenize(int how, vb_error *err) {
    return chat_ids("x", how == SUCCEED ? 0 : (size_t)how + 2, err);
}

static int calls_open(int how, vb_error *err) {
    vb_chat *c = NULL;
    vb_calls *k = NULL;
    if (how == SUCCEED) assert_int_equal(vb_chat_open_named(&c, "chatml", NULL), 0);
    const int rc = vb_calls_open(&k, c, NULL, err);
    vb_calls_close(k);
    vb_chat_close(c);
    return rc;
}

/* An answer opened, pushed to and ended; `what` says whose error is asked for. */
static int answer_of(const char *tools, char what, bool ended, vb_error *err) {
    const vb_answer_params p = {.tools = tools, .n_tools = strlen(tools)};
    vb_chat *c = NULL;
    vb_calls *k = NULL;
    vb_answer *a = NULL;
    assert_int_equal(vb_chat_open_named(&c, "chatml", NULL), 0);
    assert_int_equal(vb_calls_open(&k, c, NULL, NULL), 0);
    int rc = vb_answer_open(&a, k, &p, what == 'o' ? err : NULL);
    if (!rc && ended) assert_int_equal(vb_answer_end(a, NULL), 0);
    if (!rc && what == 'p') rc = vb_answer_push(a, "x", 1, false, err);
    if (!rc && what == 'e') rc = vb_answer_end(a, err);
    vb_answer_close(a);
    vb_calls_close(k);
    vb_chat_close(c);
    return rc;
}

static int answer_open(int how, vb_error *err) {
    return answer_of(how == SUCCEED ? "[]" : how ? "{}" : "[1]", 'o', false, err);
}

static int answer_push(int how, vb_error *err) {
    return answer_of("[]", 'p', how != SUCCEED, err);
}

static int answer_end(int how, vb_error *err) {
    return answer_of("[]", 'e', how != SUCCEED, err);
}

/* ----------------------------------------------------------------------------------------------- models */

static int model_open(int how, vb_error *err) {
    vb_model *m = NULL;
    vb_gguf *g = small_file(how ? "nobody" : "llama", "general.name", "x");
    const int rc = vb_model_open(&m, how == SUCCEED ? rig.model.gguf : g, err);
    vb_model_close(m);
    vb_gguf_close(g);
    return rc;
}

static int model_open_with(int how, vb_error *err) {
    vb_model *m = NULL;
    vb_model_params p;
    vb_model_defaults(&p);
    if (how == FAIL_ONE) p.rope.base = -1;
    if (how == FAIL_OTHER) p.rope.scaling = VB_ROPE_YARN;
    const int rc = vb_model_open_with(&m, rig.model.gguf, &p, err);
    vb_model_close(m);
    return rc;
}

static int model_repack(int how, vb_error *err) {
    const vb_repack_params p = {.threads = how == SUCCEED ? 0 : how ? -1 : -2, .kernels = "ref"};
    return vb_model_repack(rig.floats.model, &p, err);
}

static int oracle(int how, vb_error *err) {
    static double logits[2 * 4096];
    const int32_t ids[2] = {5, how == SUCCEED ? 6 : how ? -1 : -2};
    return vb_oracle(rig.model.model, ids, 2, logits, err);
}

static int kernels_resolve(int how, vb_error *err) {
    const char *name;
    return vb_kernels_resolve(how == SUCCEED ? "ref" : how ? "nothing" : "none", &name, err);
}

static int offload_open(int how, vb_error *err) {
    vb_offload *o = NULL;
    char program[900] = "", path[1000];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n > 0) program[n] = 0;
    char *slash = strrchr(program, '/');
    if (slash) *slash = 0;
    snprintf(path, sizeof path, "%s/plugins/good.so", program);
    if (how == SUCCEED && access(path, R_OK)) return vb_kernels_resolve("ref", &(const char *){0}, err);
    const int rc = vb_offload_open(&o, how == SUCCEED ? path : how ? "nowhere" : "./nothing.so", err);
    vb_offload_close(o);
    return rc;
}

static int quantize(int how, vb_error *err) {
    char out[256];
    vb_quantize_params p = {0};
    p.type = how == FAIL_ONE ? "Q1_9" : "Q8_0";
    p.n_threads = 1;
    p.force = true;
    gw_temp_path(out);
    const gw_model_spec spec = {.dim = 32, .layers = 1, .heads = 2, .ffn = 32, .seed = 2};
    assert_int_equal(gw_tiny_model(rig.path, &spec), 0);
    const int rc = vb_quantize(how == FAIL_OTHER ? "/no/such/file" : rig.path, out, &p, NULL, err);
    unlink(out);
    return rc;
}

/* --------------------------------------------------------------------------------------------- contexts */

static int context_check(int how, vb_error *err) {
    vb_context_params p;
    uint64_t bytes;
    vb_context_defaults(&p);
    p.n_ctx = how == SUCCEED ? 16 : how ? -1 : -2;
    return vb_context_check(rig.model.model, &p, &bytes, err);
}

static int context_open(int how, vb_error *err) {
    vb_context *c = NULL;
    vb_context_params p;
    vb_context_defaults(&p);
    p.n_threads = 1;
    p.n_ctx = how == SUCCEED ? 16 : how ? -1 : -2;
    const int rc = vb_context_open(&c, rig.model.model, &p, err);
    vb_context_close(c);
    return rc;
}

static void fill(void) {
    vb_error err;
    if (vb_context_truncate(rig.context, 0, &err) || vb_eval(rig.context, good_ids, 2, NULL, &err))
        fail_msg("%s", err.message);
}

static int32_t id_for(int how) {
    return how == SUCCEED ? 5 : how ? -1 : -2;
}

static int eval_one(int how, vb_error *err) {
    const int32_t id = id_for(how);
    fill();
    return vb_eval(rig.context, &id, 1, NULL, err);
}

static int eval_many(int how, vb_error *err) {
    const int32_t id = id_for(how);
    vb_eval_item item = {.context = rig.context, .tokens = &id, .n = 1, .err = err};
    fill();
    return vb_eval_many(&item, 1);
}

static int context_truncate(int how, vb_error *err) {
    fill();
    return vb_context_truncate(rig.context, how == SUCCEED ? 1 : how ? -1 : 3, err);
}

static int context_keep(int how, vb_error *err) {
    fill();
    const int32_t rows[] = {0, how == SUCCEED ? 1 : how + 2};
    return vb_context_keep(rig.context, 0, rows, 2, err);
}

static int context_copy(int how, vb_error *err) {
    fill();
    return vb_context_copy(rig.context, rig.context, how == SUCCEED ? 1 : how ? -1 : 3, err);
}

/* ------------------------------------------------------------------------------------------ speculation */

static int sampling_check(int how, vb_error *err) {
    vb_sampling s;
    vb_sampling_defaults(&s);
    if (how != SUCCEED) s.temperature = how ? -1 : -2;
    return vb_sampling_check(&s, 100, err);
}

static int corpus_open(int how, vb_error *err) {
    const int32_t tokens[] = {1, how == SUCCEED ? -1 : how ? -2 : -3, 2};
    vb_corpus *c = NULL;
    const int rc = vb_corpus_open(&c, tokens, 3, err);
    vb_corpus_close(c);
    return rc;
}

static int corpus_read(int how, vb_error *err) {
    const char *path = how == SUCCEED ? "tests/test_errors.c" : how ? "no such file" : "nor this";
    vb_corpus *c = NULL;
    const int rc = vb_corpus_read(&c, rig.tokenizer, &path, 1, err);
    vb_corpus_close(c);
    return rc;
}

static int draft_tree_read(int how, vb_error *err) {
    int tree[VB_TREE_DEPTH];
    return vb_draft_tree_read(how == SUCCEED ? "3,2" : how ? "3,0" : "33", tree, err);
}

static int costs_check(int how, vb_error *err) {
    vb_costs c;
    vb_costs_typical(&c);
    if (how != SUCCEED) c.far = how ? 0 : -1;
    return vb_costs_check(&c, err);
}

static int costs_measure(int how, vb_error *err) {
    vb_costs c;
    const int32_t id = 1;
    int rc = VB_OK;
    if (how != SUCCEED) rc = vb_eval(rig.context, &id, 1, NULL, NULL);
    if (!rc) rc = vb_costs_measure(how == FAIL_OTHER ? NULL : &c, rig.context, NULL, err);
    vb_context_truncate(rig.context, 0, NULL);
    return rc;
}

static int vocab_frequent(int how, vb_error *err) {
    int32_t *ids = NULL;
    const int rc = vb_vocab_frequent(rig.tokenizer, NULL, 0,
                                     how == SUCCEED ? 5
                                     : how          ? 0
                                                    : 1 << 30,
                                     &ids, err);
    vb_free(ids);
    return rc;
}

static int model_trim(int how, vb_error *err) {
    const int32_t ids[] = {how == SUCCEED ? 1 : how ? -1 : -2, 5};
    vb_model *m = NULL;
    if (vb_model_open(&m, rig.model.gguf, err)) fail_msg("%s", err->message);
    const int rc = vb_model_trim(m, ids, 2, err);
    vb_model_close(m);
    return rc;
}

static int dry_breakers(int how, vb_error *err) {
    const char *text = how == SUCCEED ? "a" : how ? "" : "no token has such a long text";
    int32_t *ids = NULL;
    size_t n;
    const int rc = vb_dry_breakers(rig.tokenizer, &text, 1, &ids, &n, err);
    vb_free(ids);
    return rc;
}

static int spec_open_with(vb_spec **out, int gamma, vb_error *err) {
    vb_sampling s;
    vb_spec_params p;
    vb_sampling_defaults(&s);
    vb_spec_defaults(&p);
    s.temperature = 0;
    p.draft = VB_DRAFT_NGRAM;
    p.gamma = gamma;
    assert_int_equal(vb_context_truncate(rig.context, 0, NULL), 0);
    return vb_spec_open(out, rig.context, &s, &p, err);
}

static vb_spec *spec(void) {
    vb_error err;
    vb_spec *s = NULL;
    if (spec_open_with(&s, 2, &err)) fail_msg("%s", err.message);
    return s;
}

static int spec_open(int how, vb_error *err) {
    vb_spec *s = NULL;
    const int rc = spec_open_with(&s, how == SUCCEED ? 2 : how ? -2 : 1000, err);
    vb_spec_close(s);
    return rc;
}

static int spec_prompt(int how, vb_error *err) {
    const int32_t id = id_for(how);
    vb_spec *s = spec();
    const int rc = vb_spec_prompt(s, &id, 1, err);
    vb_spec_close(s);
    return rc;
}

static int spec_give(int how, vb_error *err) {
    const int32_t id = id_for(how);
    vb_spec *s = spec();
    const int rc = vb_spec_give(s, &id, 1, err);
    vb_spec_close(s);
    return rc;
}

/* A step with nothing to start from, one that may emit nothing, and a good one. */
static int spec_step_by(int how, bool many, vb_error *err) {
    vb_step step;
    vb_spec *s = spec();
    if (how != FAIL_ONE) assert_int_equal(vb_spec_prompt(s, good_ids, 2, NULL), 0);
    vb_step_item item = {.spec = s, .max_emit = how != FAIL_OTHER, .err = err};
    const int rc = many ? vb_spec_step_many(&item, 1) : vb_spec_step(s, item.max_emit, &step, err);
    vb_spec_close(s);
    return rc;
}
static int spec_step(int how, vb_error *err) {
    return spec_step_by(how, false, err);
}
static int spec_step_many(int how, vb_error *err) {
    return spec_step_by(how, true, err);
}

/* --------------------------------------------------------------------------------------------- grammars */

static int grammar_open(int how, vb_error *err) {
    vb_grammar *g = NULL;
    const char *text = how == SUCCEED ? "[a-z]+" : how ? "[a-z" : "a)";
    const int rc = vb_grammar_open(&g, VB_GRAMMAR_REGEX, text, strlen(text), NULL, err);
    vb_grammar_close(g);
    return rc;
}

static int grammar_open_calls(int how, vb_error *err) {
    vb_grammar *g = NULL;
    const char *tools = how == SUCCEED ? "[{\"function\":{\"name\":\"f\"}}]" : how ? "[{}]" : "{}";
    const vb_call_format f = {.style = VB_CALLS_MEMBERS,
                              .lead = "",
                              .open = "",
                              .begin = "<call>{\"name\": \"",
                              .between = "\", \"arguments\": ",
                              .end = "}</call>",
                              .separator = "\n",
                              .close = ""};
    const vb_calls_wanted w = {.tools = tools, .n_tools = strlen(tools), .required = true};
    const int rc = vb_grammar_open_calls(&g, &f, &w, NULL, err);
    vb_grammar_close(g);
    return rc;
}

static int grammar_text(int how, vb_error *err) {
    vb_grammar *g = NULL;
    uint64_t next[4];
    bool complete;
    if (vb_grammar_open(&g, VB_GRAMMAR_REGEX, "[a-z]+", 6, NULL, NULL)) fail_msg("a grammar");
    const int rc =
        vb_grammar_text(g, "a", how == SUCCEED ? 1 : SIZE_MAX - (size_t)how, next, &complete, NULL, err);
    vb_grammar_close(g);
    return rc;
}

static int vocabulary_open(int how, vb_error *err) {
    vb_vocabulary *v = NULL;
    const int rc = vb_vocabulary_open(&v, rig.tokenizer, how == SUCCEED ? 0 : how ? -1 : -2, err);
    vb_vocabulary_close(v);
    return rc;
}

/* A call on a grammar of letters: 'c' opens the constraint, 'g' the guide, and what a guide is asked. */
static int with_guide(char what, int how, vb_error *err) {
    vb_grammar *g = NULL;
    vb_vocabulary *v = NULL;
    vb_constraint *c = NULL;
    vb_guide *u = NULL;
    vb_guide_state at;
    uint64_t next[4], *allowed = calloc(((size_t)vb_tokenizer_size(rig.tokenizer) + 63) / 64, 8);
    char text[8];
    int32_t out[4];
    int n_out;
    size_t len;
    bool complete;
    const int32_t end = vb_token_eos(rig.tokenizer), nobody = how ? -1 : -2;
    const size_t n = how == SUCCEED ? 0 : SIZE_MAX - (size_t)how;
    vb_constraint_params cp = {.end = &end, .n_end = 1, .banned = &nobody};
    vb_guide_params gp = {.after = &nobody};
    if (vb_grammar_open(&g, VB_GRAMMAR_REGEX, "[a-z]+", 6, NULL, NULL) ||
        vb_vocabulary_open(&v, rig.tokenizer, 0, NULL))
        fail_msg("a grammar");
    cp.n_banned = what == 'c' && how != SUCCEED;
    int rc = vb_constraint_open(&c, g, v, &cp, what == 'c' ? err : NULL);
    gp.n_after = what == 'g' && how != SUCCEED;
    if (c && what != 'c') rc = vb_guide_open(&u, c, &gp, what == 'g' ? err : NULL);
    if (u && what == 'a') rc = vb_guide_allowed(u, NULL, n, allowed, err);
    if (u && what == 'f') rc = vb_guide_forced(u, NULL, n, out, 4, &n_out, err);
    if (u && what == 't') rc = vb_guide_forced_text(u, NULL, n, text, sizeof text, &len, err);
    if (u && what == 's') rc = vb_guide_at(u, NULL, n, &at, err);
    if (c && what == 'b') rc = vb_constraint_text(c, "a", how == SUCCEED ? 1 : n, next, &complete, NULL, err);
    vb_guide_close(u);
    vb_constraint_close(c);
    vb_vocabulary_close(v);
    vb_grammar_close(g);
    free(allowed);
    return rc;
}
static int constraint_open(int how, vb_error *err) {
    return with_guide('c', how, err);
}
static int constraint_text(int how, vb_error *err) {
    return with_guide('b', how, err);
}
static int guide_open(int how, vb_error *err) {
    return with_guide('g', how, err);
}
static int guide_allowed(int how, vb_error *err) {
    return with_guide('a', how, err);
}
static int guide_forced(int how, vb_error *err) {
    return with_guide('f', how, err);
}
static int guide_forced_text(int how, vb_error *err) {
    return with_guide('t', how, err);
}
static int guide_at(int how, vb_error *err) {
    return with_guide('s', how, err);
}

/* --------------------------------------------------------------------------------------------- traces */

typedef struct sink {
    int lines; /* that are taken before writing fails; -1: all */
} sink;

static int write_line(void *user, const char *line, size_t len) {
    sink *s = user;
    (void)line;
    (void)len;
    if (s->lines == 0) return -1;
    s->lines -= s->lines > 0;
    return 0;
}

/* A trace of one step, whose writing fails after so many lines. What of it is called with err: opening 'o',
 * the step 's' or closing 'c'; the rest is called without. */
static int trace_of(int lines, char what, vb_error *err) {
    sink out = {lines};
    const vb_trace_params p = {.write = write_line, .user = &out};
    vb_trace *t = NULL;
    vb_step step;
    vb_spec *s = spec();
    assert_int_equal(vb_spec_prompt(s, good_ids, 2, NULL), 0);
    int rc = vb_trace_open(&t, s, &p, what == 'o' ? err : NULL), result = rc;
    if (!rc) {
        assert_int_equal(vb_spec_step(s, 1, &step, NULL), 0);
        rc = vb_trace_step(t, &step, what == 's' ? err : NULL);
        if (what == 's') result = rc;
        rc = vb_trace_close(t, what == 'c' ? err : NULL);
        if (what == 'c') result = rc;
    }
    vb_spec_close(s);
    return result;
}

/* Both failures are the same: there is only one. */
static int trace_open(int how, vb_error *err) {
    return how == FAIL_OTHER ? vb_trace_open(NULL, NULL, NULL, err)
                             : trace_of(how == SUCCEED ? -1 : 0, 'o', err);
}
static int trace_step(int how, vb_error *err) {
    return trace_of(how == SUCCEED ? -1 : 1 + how, 's', err);
}
static int trace_close(int how, vb_error *err) {
    return trace_of(how == SUCCEED ? -1 : 3, 'c', err);
}

/* --------------------------------------------------------------------------------------------- the table */

static const struct row {
    const char *name;
    int (*call)(int how, vb_error *err);
    bool one_failure; /* both ways to fail say the same */
} rows[] = {
    {"vb_gguf_open", gguf_open, false},
    {"vb_tokenizer_open", tokenizer_open, false},
    {"vb_tokenizer_open_with", tokenizer_open_with, false},
    {"vb_tokenize", tokenize, false},
    {"vb_tokenize_prompt", tokenize_prompt, false},
    {"vb_detokenize", detokenize, false},
    {"vb_vocab_compatible", vocab_compatible, false},
    {"vb_chat_open", chat_open, false},
    {"vb_chat_open_named", chat_open_named, false},
    {"vb_chat_open_text", chat_open_text, false},
    {"vb_chat_fits", chat_fits, false},
    {"vb_chat_render", chat_render, false},
    {"vb_chat_tokenize", chat_tokenize, false},
    {"vb_calls_open", calls_open, true},
    {"vb_answer_open", answer_open, false},
    {"vb_answer_push", answer_push, true},
    {"vb_answer_end", answer_end, true},
    {"vb_model_open", model_open, false},
    {"vb_model_open_with", model_open_with, false},
    {"vb_model_repack", model_repack, false},
    {"vb_offload_open", offload_open, false},
    {"vb_context_check", context_check, false},
    {"vb_context_open", context_open, false},
    {"vb_eval", eval_one, false},
    {"vb_eval_many", eval_many, false},
    {"vb_context_truncate", context_truncate, false},
    {"vb_context_keep", context_keep, false},
    {"vb_context_copy", context_copy, false},
    {"vb_oracle", oracle, false},
    {"vb_kernels_resolve", kernels_resolve, false},
    {"vb_sampling_check", sampling_check, false},
    {"vb_grammar_open", grammar_open, false},
    {"vb_grammar_open_calls", grammar_open_calls, false},
    {"vb_grammar_text", grammar_text, false},
    {"vb_vocabulary_open", vocabulary_open, false},
    {"vb_constraint_open", constraint_open, false},
    {"vb_constraint_text", constraint_text, false},
    {"vb_guide_open", guide_open, false},
    {"vb_guide_allowed", guide_allowed, false},
    {"vb_guide_forced", guide_forced, false},
    {"vb_guide_forced_text", guide_forced_text, false},
    {"vb_guide_at", guide_at, false},
    {"vb_model_trim", model_trim, false},
    {"vb_vocab_frequent", vocab_frequent, false},
    {"vb_dry_breakers", dry_breakers, false},
    {"vb_corpus_open", corpus_open, false},
    {"vb_corpus_read", corpus_read, false},
    {"vb_draft_tree_read", draft_tree_read, false},
    {"vb_costs_check", costs_check, false},
    {"vb_costs_measure", costs_measure, false},
    {"vb_spec_open", spec_open, false},
    {"vb_spec_prompt", spec_prompt, false},
    {"vb_spec_give", spec_give, false},
    {"vb_spec_step", spec_step, false},
    {"vb_spec_step_many", spec_step_many, false},
    {"vb_trace_open", trace_open, false},
    {"vb_trace_step", trace_step, true},
    {"vb_trace_close", trace_close, true},
    {"vb_quantize", quantize, false},
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

static int open_rig(void **state) {
    (void)state;
    const gw_model_spec small = {
        .dim = 32, .layers = 1, .heads = 2, .ffn = 32, .seed = 1, .type = VB_Q8_0, .n_ctx = 64};
    gw_model_spec bpe = small, floats = small;
    vb_error err;
    bpe.arch = "qwen2";
    floats.type = VB_F32;
    rig.model = open_tiny(&small);
    rig.other = open_tiny(&bpe);
    rig.floats = open_tiny(&floats);
    rig.context = open_context(&rig.model, 1, 16, VB_ACT_Q8, VB_F16);
    gw_temp_path(rig.path);
    return vb_tokenizer_open(&rig.tokenizer, rig.model.gguf, &err) ||
           vb_tokenizer_open(&rig.other_tokenizer, rig.other.gguf, &err);
}

static int close_rig(void **state) {
    (void)state;
    unlink(rig.path);
    vb_context_close(rig.context);
    vb_tokenizer_close(rig.tokenizer);
    vb_tokenizer_close(rig.other_tokenizer);
    close_tiny(&rig.model);
    close_tiny(&rig.other);
    close_tiny(&rig.floats);
    return 0;
}

/* ----------------------------------------------------------------------------------------------- tests */

static void garbage(vb_error *err) {
    memset(err, 0x5A, sizeof *err);
}

/* A failure told in *err, and nowhere else. */
static void failed(const struct row *r, int rc, const vb_error *err) {
    if (rc == VB_OK) fail_msg("%s does not fail", r->name);
    if (err->code != rc) fail_msg("%s returns %d and says %d", r->name, rc, err->code);
    if (!memchr(err->message, 0, sizeof err->message) || !err->message[0])
        fail_msg("%s fails without a message", r->name);
}

static void succeeded(const struct row *r, int rc, const vb_error *err) {
    if (rc || err->code || err->message[0])
        fail_msg("%s returns %d, says %d: %.200s", r->name, rc, err->code, err->message);
}

/* Failure, another failure, success with one struct; and each with a struct that was never initialised. */
static void test_used_again(void **state) {
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        const struct row *r = &rows[i];
        vb_error err, alone[2];
        for (int how = FAIL_ONE; how <= FAIL_OTHER; how++) {
            garbage(&alone[how]);
            failed(r, r->call(how, &alone[how]), &alone[how]);
        }
        if (!r->one_failure && !strcmp(alone[0].message, alone[1].message))
            fail_msg("%s: both failures say: %s", r->name, alone[0].message);
        garbage(&err);
        for (int round = 0; round < 2; round++) {
            for (int how = FAIL_ONE; how <= FAIL_OTHER; how++) {
                const int rc = r->call(how, &err);
                failed(r, rc, &err);
                if (strcmp(err.message, alone[how].message) != 0)
                    fail_msg("%s says: %s\nand in a new struct: %s", r->name, err.message,
                             alone[how].message);
            }
            succeeded(r, r->call(SUCCEED, &err), &err);
        }
        garbage(&err);
        succeeded(r, r->call(SUCCEED, &err), &err);
    }
}

/* Nobody has to listen. */
static void test_no_struct(void **state) {
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        if (rows[i].call(FAIL_ONE, NULL) == VB_OK) fail_msg("%s does not fail", rows[i].name);
        if (rows[i].call(SUCCEED, NULL) != VB_OK) fail_msg("%s fails", rows[i].name);
    }
}

/* ------------------------------------------------------------------------------------------- the header */

/* The header without comments. */
static char *read_header(void) {
    FILE *f = fopen("include/verbatim.h", "rb");
    if (!f) {
        print_message("runs in the repository's folder only\n");
        skip();
    }
    char *s = calloc(1, 1 << 20);
    assert_non_null(s);
    const size_t n = fread(s, 1, (1 << 20) - 1, f);
    fclose(f);
    assert_true(n > 1000 && n < (1 << 20) - 1);
    for (char *at = s; (at = strstr(at, "/*"));) {
        char *end = strstr(at, "*/");
        assert_non_null(end);
        memset(at, ' ', (size_t)(end + 2 - at));
    }
    return s;
}

/* True where a declaration takes an error: itself, or in items of a type that holds one. */
static bool takes_error(const char *declaration) {
    return strstr(declaration, "vb_error *") || strstr(declaration, "vb_eval_item *") ||
           strstr(declaration, "vb_step_item *");
}

static void test_complete(void **state) {
    (void)state;
    char *header = read_header(), *next = header;
    size_t found = 0, items = 0;
    for (char *d = strtok_r(header, ";", &next); d; d = strtok_r(NULL, ";", &next)) {
        char *open = strchr(d, '(');
        if (strchr(d, '{') || !open || open[1] == '*') { /* a struct or a member of one */
            items += !open && strstr(d, "vb_error *err");
            continue;
        }
        if (!takes_error(d)) continue;
        char *name = open;
        while (name > d && (isalnum((unsigned char)name[-1]) || name[-1] == '_')) name--;
        *open = 0;
        size_t i = 0;
        while (i < N_ROWS && strcmp(rows[i].name, name) != 0) i++;
        if (i == N_ROWS) fail_msg("%s takes a vb_error and is not in the table of tests/test_errors.c", name);
        found++;
    }
    assert_int_equal(found, N_ROWS);
    assert_int_equal(items, 2); /* a third type of items that holds an error: name it in takes_error */
    free(header);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_used_again, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_no_struct, open_rig, close_rig),
        cmocka_unit_test(test_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
