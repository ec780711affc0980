/* A test of the vectors: mistakes that ports have had or can have, planted one by one into an engine of our
 * own making (foreign.h), a tokenizer, a sampler. Each must be caught by the shipped vectors through the code
 * that `verbatim compare` runs, at the level and place where it first shows; the engines without a mistake
 * must pass.
 *
 * The table that this prints is the one of docs/vectors.md; the test fails if the page says otherwise. The
 * mistakes of acceptance rules: tests/test_planted.c, prove/wrong_rules.c. */
#include "tests/foreign.h"
#include "tests/gguf_writer.h"
#include "tests/planted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* -------------------------------------------------------------------------------------------- levels 2, 3 */

static void formats(void **state) {
    (void)state;
    for (int level = 2; level <= 3; level++) {
        const char *file = level == 2 ? "blocks.jsonl" : "dots.jsonl",
                   *path = level == 2 ? "vectors/blocks.jsonl" : "vectors/dots.jsonl";
        size_t n;
        char *ours = planted_ours(file, &n);
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
                planted_caught(ff_fault_name((ff_fault)f), file, &c, level);
            else
                planted_right(file, &c);
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
        planted_right(files[i], &c);
        assert_true(c.rows > (last_only ? 30 : 80) && c.rows_missing == 0 && c.max_kl < 1e-6);
        assert_true(c.logprobs > 10 && c.steps > 0);
    }
}

static void plant(fe_fault f, const char *file) {
    const cf_comparison c = foreign(file, f);
    planted_caught(fe_fault_name(f), file, &c, f >= FE_LOGITS_PLAIN ? 5 : 4);
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
    char *bytes = planted_ours("models/seeded/arch-llama.gguf", &n), *at = NULL;
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
    planted_caught(bug, file, &c, 4);
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

/* -------------------------------------------------------------------------------------------- the page */

static void the_page_has_the_table(void **state) {
    (void)state;
    char *page;
    size_t n;
    vb_error err = {0};
    if (cf_read_file("docs/vectors.md", &page, &n, &err)) fail_msg("%s", err.message);
    printf("%d bugs planted, %d found:\n%s", planted_count, planted_count, planted_table.s);
    assert_true(planted_count >= 25);
    const char *to = getenv("VB_TABLE"); /* writes it for the page */
    if (to) assert_int_equal(cf_write_file(to, planted_table.s, planted_table.n, &err), 0);
    if (!strstr(page, planted_table.s))
        fail_msg("docs/vectors.md has another table: VB_TABLE=FILE writes the one above");
    free(page);
    vb_buf_free(&planted_table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planted_tokens),   cmocka_unit_test(planted_missing_bos),
        cmocka_unit_test(formats),          cmocka_unit_test(engines_without_a_bug),
        cmocka_unit_test(engines),          cmocka_unit_test(bitwise_only),
        cmocka_unit_test(planted_samplers), cmocka_unit_test(the_page_has_the_table),
    };
    return cmocka_run_group_tests_name("planted_engine", tests, NULL, NULL);
}
