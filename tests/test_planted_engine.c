/* A test of the vectors: mistakes that ports have had or can have, planted one by one into an engine of our
 * own making (foreign.h), a tokenizer, a sampler. Each must be caught by the shipped vectors through the code
 * that `verbatim compare` runs, at the level and place where it first shows; the engines without a mistake
 * must pass.
 *
 * The table that this prints is the one of docs/vectors.md; the test fails if the page says otherwise. The
 * mistakes of acceptance rules: tests/test_planted.c, prove/wrong_rules.c. */
#include "sampling/coins.h"
#include "tests/foreign.h"
#include "tests/gguf_writer.h"
#include "ref/mathf.h"
#include "sampling/philox.h"
#include "conformance/recording.h"
#include "tokenizer/tokenizer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static vb_buf table; /* of docs/vectors.md */
static int planted;

/* One bug in the table, and the bug must have been found at this level. */
static void caught(const char *bug, const char *file, const cf_comparison *c, int level) {
    char where[160], text[400];
    if (c->pass || !c->first.found) fail_msg("%s: not noticed by %s", bug, file);
    if (c->first.level != level)
        fail_msg("%s: seen at level %d (%s), not %d", bug, c->first.level, c->first.what, level);
    if (level == 1)
        snprintf(where, sizeof where, "text %d, %s, id %d", c->first.position, c->first.what,
                 c->first.element);
    else if (level <= 3)
        snprintf(where, sizeof where, "line %zu, %s, element %d", c->first.line_ours, c->first.what,
                 c->first.element);
    else if (c->first.layer >= 0)
        snprintf(where, sizeof where, "position %d, layer %d, %s", c->first.position, c->first.layer,
                 c->first.what);
    else
        snprintf(where, sizeof where, "position %d, %s", c->first.position, c->first.what);
    snprintf(text, sizeof text, "| %d | %s | `%s` | %s |\n", level, bug, file, where);
    vb_buf_add(&table, text, strlen(text));
    planted++;
}

static void right(const char *what, const cf_comparison *c) {
    if (c->pass) return;
    fail_msg("%s: a right engine fails: level %d, %s, position %d, layer %d, element %d: %.9g, theirs %.9g",
             what, c->first.level, c->first.what, c->first.position, c->first.layer, c->first.element,
             c->first.ours, c->first.theirs);
}

static char *read_ours(const char *name, size_t *n) {
    char path[256], *text;
    vb_error err = {0};
    snprintf(path, sizeof path, "vectors/%s", name);
    if (cf_read_file(path, &text, n, &err)) fail_msg("%s", err.message);
    return text;
}

/* -------------------------------------------------------------------------------------------- level 1 */

typedef struct vocabulary {
    vb_gguf *g;
    vb_tokenizer *t;
    vb_pre_def def;
} vocabulary;

typedef void (*token_bug)(vocabulary *v);

static void reversed_merges(vocabulary *v) {
    for (uint64_t i = 0; i <= v->t->merge_mask; i++) v->t->merges[i].rank = 1000000 - v->t->merges[i].rank;
}
static void pattern(vocabulary *v, const char *name) {
    const vb_pre_def *other = vb_pre_find(name, strlen(name));
    assert_non_null(other);
    vb_pre_close(v->t->pre);
    v->t->pre = NULL;
    assert_int_equal(vb_pre_open(&v->t->pre, other, NULL), 0);
}
static void single_digits(vocabulary *v) {
    pattern(v, "qwen2");
}
static void gpt2_pattern(vocabulary *v) {
    pattern(v, "gpt-2");
}
static void no_nfc(vocabulary *v) {
    v->def = *v->t->pre_def;
    v->def.nfc = false;
    v->t->pre_def = &v->def;
}
static void no_byte_fallback(vocabulary *v) {
    for (int i = 0; i < 256; i++) v->t->byte_id[i] = -1;
}
static void no_space_prefix(vocabulary *v) {
    v->t->space_prefix = false;
}
static void leftmost_first(vocabulary *v) {
    for (int32_t i = 0; i < v->t->n; i++) v->t->score[i] = 0;
}
static void specials_are_text(vocabulary *v) {
    memset(&v->t->specials.root, 0xff, sizeof v->t->specials.root);
}

/* tokens/NAME.jsonl as the tokenizer with this bug has it. */
static void tokenise(vb_buf *out, const char *model, const char *ours, size_t n, token_bug bug) {
    vocabulary v = {0};
    char path[256];
    vb_error err = {0};
    snprintf(path, sizeof path, "vectors/%s", model);
    if (vb_gguf_open(&v.g, path, &err) || vb_tokenizer_open(&v.t, v.g, &err)) fail_msg("%s", err.message);
    if (bug) bug(&v);
    for (const char *at = ours; at < ours + n;) {
        const size_t len = strcspn(at, "\n");
        json_t *line = json_loadb(at, len, 0, NULL);
        const char *hex = json_string_value(json_object_get(line, "bytes"));
        if (hex) {
            char text[4096];
            const size_t bytes = strlen(hex) / 2;
            assert_true(bytes < sizeof text);
            for (size_t i = 0; i < bytes; i++) {
                const char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
                text[i] = (char)strtoul(pair, NULL, 16);
            }
            for (int plain = 0; plain < 2; plain++) {
                int32_t *ids = NULL;
                size_t count;
                json_t *array = json_array();
                if (vb_tokenize(v.t, text, bytes, plain ? 0 : VB_TOKENIZE_PARSE_SPECIAL, &ids, &count, &err))
                    fail_msg("%s", err.message);
                for (size_t i = 0; i < count; i++) json_array_append_new(array, json_integer(ids[i]));
                json_object_set_new(line, plain ? "plain" : "special", array);
                vb_free(ids);
            }
        }
        cf_add_json(out, line);
        at += len + 1;
    }
    vb_tokenizer_close(v.t);
    vb_gguf_close(v.g);
}

static void tokens(void **state) {
    (void)state;
    static const struct {
        const char *bug, *name;
        token_bug plant;
    } cases[] = {
        {NULL, "vocab-bpe-gpt2", NULL},
        {NULL, "vocab-bpe-llama3", NULL},
        {NULL, "vocab-bpe-qwen2", NULL},
        {NULL, "vocab-spm", NULL},
        {"BPE merges in the wrong order", "vocab-bpe-gpt2", reversed_merges},
        {"digits one by one instead of by three", "vocab-bpe-llama3", single_digits},
        {"pre-tokenizer of GPT-2 for another one", "vocab-bpe-llama3", gpt2_pattern},
        {"NFC missing", "vocab-bpe-qwen2", no_nfc},
        {"special tokens read as text", "vocab-bpe-qwen2", specials_are_text},
        {"no byte fallback", "vocab-spm", no_byte_fallback},
        {"no space in front of the text", "vocab-spm", no_space_prefix},
        {"SentencePiece merges by place, not by score", "vocab-spm", leftmost_first},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char file[64], model[96];
        vb_buf theirs = {0};
        cf_comparison c = {0};
        vb_error err = {0};
        const cf_bounds none = {0};
        size_t n;
        snprintf(file, sizeof file, "tokens/%s.jsonl", cases[i].name);
        snprintf(model, sizeof model, "models/seeded/%s.gguf", cases[i].name);
        char *ours = read_ours(file, &n);
        tokenise(&theirs, model, ours, n, cases[i].plant);
        if (cf_compare_lines(file, ours, n, "theirs", theirs.s, theirs.n, CF_BITWISE, &none, &c, &err))
            fail_msg("%s", err.message);
        if (cases[i].bug)
            caught(cases[i].bug, file, &c, 1);
        else
            right(file, &c);
        vb_buf_free(&theirs);
        free(ours);
    }
}

/* The prompt itself differs: said before any number is compared. */
static void missing_bos(void **state) {
    (void)state;
    static const char name[] = "recordings/arch-llama.q16.jsonl";
    size_t n;
    char *ours = read_ours(name, &n), *at = strstr(ours, "\"tokens\":[1,");
    cf_recording a = {0}, b = {0};
    cf_comparison c = {0};
    vb_error err = {0};
    const cf_bounds none = {0};
    assert_non_null(at);
    assert_int_equal(cf_recording_read(&a, name, ours, n, &err), 0);
    memmove(at + 10, at + 12, n - (size_t)(at + 12 - ours) + 1);
    assert_int_equal(cf_recording_read(&b, "theirs", ours, n - 2, &err),
                     VB_ERR_FORMAT); /* 10 log-probabilities for 10 */
    free(ours);
    /* As an engine without log-probabilities of the prompt would write it. */
    static const char theirs[] = "{\"verbatim\":\"vectors\",\"version\":1,\"kind\":\"model\"}\n"
                                 "{\"prompt\":0,\"tokens\":[290,372,351]}\n{\"greedy\":[1,2]}\n{\"end\":3}\n";
    err = (vb_error){0};
    if (cf_recording_read(&b, "theirs", theirs, sizeof theirs - 1, &err)) fail_msg("%s", err.message);
    assert_int_equal(cf_compare(&a, &b, CF_F32, &none, NULL, &c, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "level 1"));
    const char *text = "| 1 | BOS missing | `recordings/arch-llama.q16.jsonl` | tokens of prompt 0 |\n";
    vb_buf_add(&table, text, strlen(text));
    planted++;
    cf_recording_close(&a);
    cf_recording_close(&b);
}

/* -------------------------------------------------------------------------------------------- levels 2, 3 */

static void formats(void **state) {
    (void)state;
    for (int level = 2; level <= 3; level++) {
        const char *file = level == 2 ? "blocks.jsonl" : "dots.jsonl",
                   *path = level == 2 ? "vectors/blocks.jsonl" : "vectors/dots.jsonl";
        size_t n;
        char *ours = read_ours(file, &n);
        for (int f = FF_NONE; f < FF_LAST; f++) {
            vb_buf theirs = {0};
            cf_comparison c = {0};
            vb_error err = {0};
            const cf_bounds none = {0};
            if (f && (f < FF_HALF_AWAY) != (level == 2)) continue;
            if (ff_record(&theirs, path, (ff_fault)f, &err) ||
                cf_compare_lines(file, ours, n, "theirs", theirs.s, theirs.n, CF_BITWISE, &none, &c, &err))
                fail_msg("%s", err.message);
            if (f)
                caught(ff_fault_name((ff_fault)f), file, &c, level);
            else
                right(file, &c);
            vb_buf_free(&theirs);
        }
        free(ours);
    }
}

/* -------------------------------------------------------------------------------------------- levels 4, 5 */

#define ARCH(name)    "recordings/arch-" name ".q16.jsonl"
#define STANDIN(name) "oracle/standin-" name ".jsonl" /* every array at every position */
#define HF(name)      "oracle/hf-" name ".jsonl"      /* every array at the last position */

/* The vectors on which a fault shows, several for some; ARCH("llama") for those that are not here. */
static const struct place {
    fe_fault fault;
    const char *file;
} places[] = {
    {FE_NORM_PLUS_ONE, ARCH("llama")},
    {FE_NORM_PLUS_ONE, STANDIN("gemma3")},
    {FE_NO_BIAS, ARCH("qwen2")},
    {FE_NO_QK_NORM, ARCH("qwen3")},
    {FE_NO_QK_NORM, STANDIN("gemma3")},
    {FE_QK_NORM_LATE, ARCH("qwen3")},
    {FE_QK_NORM_LATE, STANDIN("gemma3")},
    {FE_ROPE_PAIRING, ARCH("llama")},
    {FE_ROPE_PAIRING, HF("phi3-short")},
    {FE_ROPE_BASE, ARCH("qwen2")},
    {FE_ROPE_SCALING, ARCH("llama-linear")},
    {FE_ROPE_SCALING, STANDIN("gemma3")},
    {FE_NO_SCALE, ARCH("llama")},
    {FE_NO_SCALE, STANDIN("gemma3")},
    {FE_SWAPPED_GATE_UP, ARCH("llama")},
    {FE_SWAPPED_GATE_UP, HF("phi3-short")},
    {FE_EMBED_PLAIN, STANDIN("gemma3")},
    {FE_SCALE_WIDTH, HF("gemma3")},
    {FE_SCALE_HEAD, HF("gemma3-27b")},
    {FE_WINDOW_LONG, STANDIN("gemma3")},
    {FE_WINDOW_LONG, STANDIN("phi3")},
    {FE_WINDOW_SHORT, STANDIN("gemma3")},
    {FE_WINDOW_SHORT, STANDIN("phi3")},
    {FE_WINDOW_NONE, HF("mistral")},
    {FE_WINDOW_NONE, STANDIN("gemma3")},
    {FE_WINDOW_ALL, STANDIN("gemma3")},
    {FE_WINDOW_LAYERS, STANDIN("gemma3")},
    {FE_ROPE_ALL_GLOBAL, STANDIN("gemma3")},
    {FE_ROPE_ALL_LOCAL, STANDIN("gemma3")},
    {FE_ROPE_LOCAL_SCALED, STANDIN("gemma3")},
    {FE_NO_POST_NORM, STANDIN("gemma3")},
    {FE_NO_POST_FFN_NORM, STANDIN("gemma3")},
    {FE_POST_NORM_SUM, STANDIN("gemma3")},
    {FE_POST_NORM_PRE_FFN, STANDIN("gemma3")},
    {FE_GELU_ERF, STANDIN("gemma3")},
    {FE_SILU, STANDIN("gemma3")},
    {FE_FUSED_GROUPS, STANDIN("phi3")},
    {FE_FUSED_KV, STANDIN("phi3")},
    {FE_FUSED_V_EARLY, STANDIN("phi3")},
    {FE_FUSED_ALTERNATE, HF("phi3-short")},
    {FE_ROPE_WHOLE, HF("phi3-short")},
    {FE_ROPE_LAST, HF("phi3-short")},
    {FE_ROPE_EXPONENT, HF("phi3-short")},
    {FE_LONGROPE_SHORT, HF("phi3-long")},
    {FE_LONGROPE_LONG, HF("phi3-short")},
    {FE_LONGROPE_CACHED, HF("phi3-long")},
    {FE_NO_ATTN_FACTOR, HF("phi3-short")},
    {FE_EMBED_PLAIN, HF("granitemoe")},
    {FE_NO_SCALE, HF("gpt-oss")},
    {FE_ROPE_PAIRING, HF("ernie4_5-moe")},
    {FE_WINDOW_NONE, HF("gpt-oss")},
    {FE_WINDOW_ALL, HF("gpt-oss")},
    {FE_ROPE_WHOLE, HF("minimax-m2")},
    {FE_YARN_LINEAR, HF("llama-yarn")},
    {FE_YARN_LINEAR, HF("gpt-oss")},
    {FE_YARN_NO_SCALE, HF("qwen2-yarn")},
    {FE_YARN_BETWEEN, HF("llama-yarn")},
    {FE_YARN_ROUNDED, HF("gpt-oss")},
    {FE_NORM_PER_HEAD, HF("olmoe")},
    {FE_NORM_PER_HEAD, HF("minimax-m2")},
    {FE_NO_SINK, HF("gpt-oss")},
    {FE_SINK_VALUE, HF("gpt-oss")},
    {FE_SINK_ADDED, HF("gpt-oss")},
    {FE_WINDOW_ODD, HF("gpt-oss")},
    {FE_GATE_UP_PLAIN, HF("gpt-oss")},
    {FE_GATE_SILU, HF("gpt-oss")},
    {FE_ROUTER_NO_BIAS, HF("gpt-oss")},
    {FE_EXPERTS_NO_BIAS, HF("gpt-oss")},
    {FE_RESIDUAL_PLAIN, HF("granitemoe")},
    {FE_LOGITS_PLAIN, HF("granitemoe")},
    {FE_ROUTER_SIGMOID, STANDIN("qwen3moe")},
    {FE_ROUTER_SIGMOID, HF("minimax-m2")},
    {FE_ROUTER_ALL, HF("gpt-oss")},
    {FE_ROUTER_ALL, HF("granitemoe")},
    {FE_NOT_NORMALISED, STANDIN("qwen3moe")},
    {FE_NOT_NORMALISED, HF("mixtral")},
    {FE_NORMALISED, HF("qwen2moe")},
    {FE_NORMALISED, HF("olmoe")},
    {FE_NORMALISED_TWICE, HF("glm4moe")},
    {FE_NO_EXPERT_SCALE, HF("glm4moe")},
    {FE_CHOICE_NO_BIAS, HF("minimax-m2")},
    {FE_BIAS_IN_WEIGHT, HF("glm4moe")},
    {FE_BIAS_IN_WEIGHT, HF("ernie4_5-moe")},
    {FE_NO_GROUPS, HF("glm4moe")},
    {FE_GROUP_MAX, HF("glm4moe")},
    {FE_ONE_MORE_EXPERT, HF("qwen3moe")},
    {FE_WEIGHTS_BY_RANK, STANDIN("qwen3moe")},
    {FE_NO_SHARED, HF("ernie4_5-moe")},
    {FE_SHARED_PLAIN, HF("qwen2moe")},
    {FE_SHARED_GATES_ALL, HF("qwen2moe")},
    {FE_NORM_CENTRED, HF("phimoe")},
    {FE_NORM_NO_BIAS, HF("phimoe")},
    {FE_MIXER_SOFTMAX, HF("phimoe")},
    {FE_MIXER_AGAIN, HF("phimoe")},
    {FE_MIXER_WIDE, HF("phimoe")},
    {FE_LOGITS_NO_BIAS, HF("phimoe")},
    {FE_LOGITS_SOFTCAP, ARCH("llama")},
    {FE_LOGITS_SOFTCAP, STANDIN("gemma3")},
};

/* Mistakes are compared under f32, as a person would compare another engine. The right engine must keep to
 * the bound of an oracle's file, which is tighter; and GELU by erf is off by less than f32 forgives. */
static void bounds_for(const cf_recording *ours, fe_fault f, cf_tolerance *t, cf_bounds *bounds) {
    const char *bound = json_string_value(json_object_get(ours->head, "bound"));
    assert_true(cf_tolerance_of("f32", t, bounds));
    if (!bound || (f != FE_NONE && f != FE_GELU_ERF)) return;
    assert_true(cf_parse_f64(bound, 1, &bounds->row));
    *t = CF_GIVEN;
}

static cf_comparison foreign(const char *file, fe_fault f) {
    char path[128];
    vb_buf text = {0};
    cf_recording a = {0}, b = {0};
    cf_tolerance t;
    cf_bounds bounds;
    cf_comparison c = {0};
    vb_error err = {0};
    snprintf(path, sizeof path, "vectors/%s", file);
    if (fe_record(&text, "vectors", path, f, &err) || cf_recording_open(&a, path, &err) ||
        cf_recording_read(&b, "theirs", text.s, text.n, &err))
        fail_msg("%s: %s", fe_fault_name(f), err.message);
    bounds_for(&a, f, &t, &bounds);
    if (cf_compare(&a, &b, t, &bounds, NULL, &c, &err)) fail_msg("%s: %s", fe_fault_name(f), err.message);
    cf_recording_close(&a);
    cf_recording_close(&b);
    vb_buf_free(&text);
    return c;
}

static void engines_without_a_bug(void **state) {
    (void)state;
    static const char *const files[] = {
        ARCH("llama"),      ARCH("llama-linear"), ARCH("llama-ties"),
        ARCH("qwen2"),      ARCH("qwen3"),        "recordings/type-Q4_0.q16.jsonl",
        STANDIN("gemma3"),  STANDIN("phi3"),      HF("mistral"),
        HF("gemma3"),       HF("phi3-short"),     HF("phi3-long"),
        HF("llama-yarn"),   HF("qwen2-yarn"),     HF("mixtral"),
        HF("qwen3moe"),     HF("qwen2moe"),       HF("gpt-oss"),
        HF("granitemoe"),   HF("olmoe"),          HF("glm4moe"),
        HF("ernie4_5-moe"), HF("minimax-m2"),     STANDIN("qwen3moe"),
        HF("gemma3-27b"),   HF("phimoe"),
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const cf_comparison c = foreign(files[i], FE_NONE);
        const bool last_only = strstr(files[i], "/hf-") != NULL;
        right(files[i], &c);
        assert_true(c.rows > (last_only ? 30 : 80) && c.rows_missing == 0 && c.max_kl < 1e-6);
        assert_true(c.logprobs > 10 && c.steps > 0);
    }
}

static void plant(fe_fault f, const char *file) {
    const cf_comparison c = foreign(file, f);
    caught(fe_fault_name(f), file, &c, f >= FE_LOGITS_PLAIN ? 5 : 4);
}

static void engines(void **state) {
    (void)state;
    for (int f = FE_NONE + 1; f < FE_LAST; f++) {
        bool somewhere = false;
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            if (places[i].fault != (fe_fault)f) continue;
            plant((fe_fault)f, places[i].file);
            somewhere = true;
        }
        if (!somewhere) plant((fe_fault)f, ARCH("llama"));
    }
}

/* An engine that follows the contract bit for bit, with a file that says something else: what a tolerance
 * would let pass. */
static void contract_engine_with(const char *bug, const char *key, const void *value, size_t size) {
    static const char file[] = "recordings/arch-llama.q16.jsonl";
    char path[128], copy[256];
    cf_recording a = {0}, b = {0};
    cf_comparison c = {0};
    vb_buf text = {0};
    vb_error err = {0};
    const cf_bounds none = {0};
    size_t n;
    char *bytes = read_ours("models/seeded/arch-llama.gguf", &n), *at = NULL;
    for (size_t i = 0; i + strlen(key) < n && !at; i++)
        if (!memcmp(bytes + i, key, strlen(key)))
            at = bytes + i + strlen(key) + 4; /* past the value's type */
    assert_non_null(at);
    memcpy(at, value, size);
    gw_temp_path(copy);
    assert_int_equal(cf_write_file(copy, bytes, n, NULL), 0);
    free(bytes);
    snprintf(path, sizeof path, "vectors/%s", file);
    if (cf_recording_open(&a, path, &err)) fail_msg("%s", err.message);
    const cf_prompt prompt = {a.prompts[0].id, a.prompts[0].n};
    const cf_model_spec spec = {.model = copy,
                                .command = "test",
                                .activations = VB_ACT_Q16,
                                .kv = VB_F32,
                                .full = true,
                                .generate = 1,
                                .prompts = &prompt,
                                .n_prompts = 1};
    const cf_config config = {NULL, 1, 0};
    if (cf_make_model(&text, &spec, &config, &err)) fail_msg("%s", err.message);
    memcpy(strstr(text.s, "model_xxh3"), "other_xxh3", 10); /* it takes its file for the right one */
    if (cf_recording_read(&b, "theirs", text.s, text.n, &err) ||
        cf_compare(&a, &b, CF_BITWISE, &none, NULL, &c, &err))
        fail_msg("%s", err.message);
    caught(bug, file, &c, 4);
    cf_recording_close(&a);
    cf_recording_close(&b);
    vb_buf_free(&text);
    unlink(copy);
}

static void bitwise_only(void **state) {
    (void)state;
    const float eps = 1e-6f;
    contract_engine_with("norm epsilon 1e-6 instead of 1e-5 (bitwise)",
                         "llama.attention.layer_norm_rms_epsilon", &eps, sizeof eps);
}

/* -------------------------------------------------------------------------------------------- the sampler */

typedef enum sampler_bug {
    S_NONE = 0,
    S_TEMPERATURE_LAST,
    S_GREEDY_LAST,
    S_TOP_K_TIES,
    S_TOP_P_SHORT,
    S_MIN_P_ABSOLUTE,
    S_NO_TEMPERATURE,
    S_POSITION,
    S_INVERSE_FLOAT,
    S_LAST
} sampler_bug;

static const char *const SAMPLER_BUGS[S_LAST] = {
    [S_TEMPERATURE_LAST] = "temperature after top-p and min-p",
    [S_GREEDY_LAST] = "greedy: of equal logits the highest id",
    [S_TOP_K_TIES] = "top-k: of equals the highest id stays",
    [S_TOP_P_SHORT] = "top-p without the token that reaches P",
    [S_MIN_P_ABSOLUTE] = "min-p as a probability, not a part of the largest",
    [S_NO_TEMPERATURE] = "temperature ignored",
    [S_POSITION] = "noise of the position before",
    [S_INVERSE_FLOAT] = "noise from 32 of 64 bits",
};

typedef struct candidate {
    double x;
    int32_t id;
    uint64_t w;
} candidate;

static bool ties_high;
static int by_logit(const void *p, const void *q) {
    const candidate *a = p, *b = q;
    if (a->x > b->x || a->x < b->x) return a->x > b->x ? -1 : 1;
    return (a->id > b->id) != ties_high ? 1 : -1;
}
static int by_id(const void *p, const void *q) {
    const candidate *a = p, *b = q;
    return a->id < b->id ? -1 : 1;
}

/* The law of docs/speculation.md and the race, written again; returns the token. */
static int32_t sample(const float *logits, int n_vocab, const vb_sampling *s, uint32_t position,
                      sampler_bug bug) {
    static candidate c[4096];
    if (s->temperature <= 0) {
        int32_t first = 0;
        for (int32_t i = 1; i < n_vocab; i++)
            if (logits[i] > logits[first] || (bug == S_GREEDY_LAST && logits[i] >= logits[first])) first = i;
        return first;
    }
    const double T = bug == S_NO_TEMPERATURE ? 1 : s->temperature;
    int n = n_vocab;
    assert_true(n_vocab <= 4096);
    for (int i = 0; i < n; i++) c[i] = (candidate){(double)logits[i], i, 0};
    ties_high = bug == S_TOP_K_TIES;
    qsort(c, (size_t)n, sizeof *c, by_logit);
    if (s->top_k > 0 && s->top_k < n) n = s->top_k;
    const double max = c[0].x;
    uint64_t total = 0, cumulative = 0;
    for (int i = 0; i < n; i++) {
        c[i].w = (uint64_t)(0x1p40 * vb_exp((c[i].x - max) / (bug == S_TEMPERATURE_LAST ? 1 : T)));
        total += c[i].w;
    }
    int kept = 0;
    while (kept < n && (kept == 0 || (double)cumulative < s->top_p * (double)total))
        cumulative += c[kept++].w;
    if (bug == S_TOP_P_SHORT && kept > 1) kept--;
    n = kept;
    kept = 0;
    for (int i = 0; i < n; i++) {
        const double least = bug == S_MIN_P_ABSOLUTE ? s->min_p * (double)total : s->min_p * 0x1p40;
        if (i == 0 || (double)c[i].w >= least) c[kept++] = c[i];
    }
    n = kept;
    for (int i = 0; i < n && bug == S_TEMPERATURE_LAST; i++)
        c[i].w = (uint64_t)(0x1p40 * vb_exp((c[i].x - max) / T));
    qsort(c, (size_t)n, sizeof *c, by_id);
    double best = INFINITY;
    int32_t winner = -1;
    for (int i = 0; i < n; i++) {
        uint64_t k;
        if (!c[i].w) continue;
        vb_philox_words(bug == S_POSITION ? position - 1 : position, &c[i].id, 1, VB_PURPOSE_RACE, s->seed,
                        &k);
        if (bug == S_INVERSE_FLOAT) k <<= 32;
        const double v = fmin(((double)k + 0.5) * 0x1p-64, 1 - 0x1p-53),
                     key = fmax(-vb_log1p(-v), v) / (double)c[i].w;
        if (key < best) best = key, winner = c[i].id;
    }
    return winner;
}

/* The recording with the tokens that this sampler draws from our own logits. */
static void resample(cf_recording *r, const char *model, sampler_bug bug) {
    vb_gguf *g = NULL;
    vb_model *m = NULL;
    vb_context *c = NULL;
    vb_context_params p;
    vb_error err = {0};
    char path[128];
    snprintf(path, sizeof path, "vectors/models/seeded/%s.gguf", model);
    vb_context_defaults(&p);
    p.activations = VB_ACT_Q16;
    p.k_type = p.v_type = VB_F32;
    p.n_threads = 1;
    if (vb_gguf_open(&g, path, &err) || vb_model_open(&m, g, &err) || vb_context_open(&c, m, &p, &err))
        fail_msg("%s", err.message);
    const int n_vocab = vb_model_describe(m)->n_vocab;
    for (size_t i = 0; i < r->n_outputs; i++) {
        cf_tokens *out = &r->outputs[i];
        const cf_tokens *prompt = &r->prompts[0];
        vb_sampling s;
        vb_sampling_defaults(&s);
        s.temperature = out->greedy ? 0 : 0.8;
        s.seed = out->seed;
        uint8_t want[256] = {0};
        assert_true(prompt->n < sizeof want);
        want[prompt->n - 1] = 1;
        assert_int_equal(vb_context_truncate(c, 0, &err), 0);
        if (vb_eval(c, prompt->id, prompt->n, want, &err)) fail_msg("%s", err.message);
        size_t row = prompt->n - 1;
        for (size_t k = 0; k < out->n; k++) {
            out->id[k] = sample(vb_logits(c, row), n_vocab, &s, (uint32_t)(prompt->n + k), bug);
            row = 0;
            want[0] = 1;
            if (vb_eval(c, &out->id[k], 1, want, &err)) fail_msg("%s", err.message);
        }
        free(out->logprob);
        out->logprob = NULL;
    }
    vb_context_close(c);
    vb_model_close(m);
    vb_gguf_close(g);
}

static void samplers(void **state) {
    (void)state;
    for (int f = S_NONE; f < S_LAST; f++) {
        for (int ties = 0; ties < 2; ties++) {
            const char *model = ties ? "arch-llama-ties" : "arch-llama";
            char file[96], path[128];
            cf_recording a = {0}, b = {0};
            cf_comparison c = {0};
            vb_error err = {0};
            const cf_bounds none = {0};
            if (f != S_NONE && ties != (f == S_TOP_K_TIES || f == S_GREEDY_LAST)) continue;
            snprintf(file, sizeof file, "recordings/%s.q16.jsonl", model);
            snprintf(path, sizeof path, "vectors/%s", file);
            if (cf_recording_open(&a, path, &err) || cf_recording_open(&b, path, &err))
                fail_msg("%s", err.message);
            resample(&b, model, (sampler_bug)f);
            if (cf_compare(&a, &b, CF_BITWISE, &none, NULL, &c, &err)) fail_msg("%s", err.message);
            if (f)
                caught(SAMPLER_BUGS[f], file, &c, 5);
            else
                right("the sampler", &c);
            cf_recording_close(&a);
            cf_recording_close(&b);
        }
    }
}

/* -------------------------------------------------------------------------------------------- the page */

static void the_page_has_the_table(void **state) {
    (void)state;
    char *page;
    size_t n;
    vb_error err = {0};
    if (cf_read_file("docs/vectors.md", &page, &n, &err)) fail_msg("%s", err.message);
    printf("%d bugs planted, %d found:\n%s", planted, planted, table.s);
    assert_true(planted >= 25);
    const char *to = getenv("VB_TABLE"); /* writes it for the page */
    if (to) assert_int_equal(cf_write_file(to, table.s, table.n, &err), 0);
    if (!strstr(page, table.s))
        fail_msg("docs/vectors.md has another table: VB_TABLE=FILE writes the one above");
    free(page);
    vb_buf_free(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens),   cmocka_unit_test(missing_bos),
        cmocka_unit_test(formats),  cmocka_unit_test(engines_without_a_bug),
        cmocka_unit_test(engines),  cmocka_unit_test(bitwise_only),
        cmocka_unit_test(samplers), cmocka_unit_test(the_page_has_the_table),
    };
    return cmocka_run_group_tests_name("planted_engine", tests, NULL, NULL);
}
