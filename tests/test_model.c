/* test_model.c - vb_model_open fails closed (P6): each file below differs from a good one in one place, and
 * the error must be of the right kind and name that place. */
#include "tests/model_util.h"
#include "ref/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---------------------------------------------------------------------- small changes to a good file */

static void patch(gw *w, const char *from, const char *to) {
    const size_t n = strlen(from);
    assert_int_equal(n, strlen(to));
    uint8_t *at = memmem(w->kv, w->kv_size, from, n);
    if (!at) fail_msg("no \"%s\" in the file", from);
    memcpy(at, to, n);
}

/* Hides a key under another architecture's name, as if it were not there. */
static void hide(gw *w, const char *key) {
    char other[128];
    snprintf(other, sizeof other, "%s", key);
    memcpy(other, "hidden", 5);
    patch(w, key, other);
}

static gw_tensor_entry *tensor(gw *w, const char *name) {
    for (size_t i = 0; i < w->tensors_len; i++) {
        if (!strcmp(w->tensors[i].name, name)) return &w->tensors[i];
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

static void rename_tensor(gw *w, const char *from, const char *to) {
    gw_tensor_entry *t = tensor(w, from);
    free(t->name);
    t->name = strdup(to);
    t->name_len = t->name_bytes = strlen(to);
}

static void add_vector(gw *w, const char *name, int n, float value) {
    float *x = calloc((size_t)n, sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < n; i++) x[i] = value;
    gw_tensor(w, name, VB_F32, 1, (uint64_t[]){(uint64_t)n}, x, (uint64_t)n * 4);
    free(x);
}

static void set_float(gw *w, const char *name, size_t i, float value) {
    memcpy(tensor(w, name)->data + 4 * i, &value, 4);
}

static const gw_model_spec llama = {.seed = 50}, tied = {.seed = 50, .tied = true},
                           qwen2 = {.seed = 51, .arch = "qwen2"}, qwen3 = {.seed = 52, .arch = "qwen3"},
                           q8_0 = {.seed = 53, .type = VB_Q8_0}, freqs = {.seed = 55, .rope_freqs = true};

/* ---------------------------------------------------------------------- refused */

typedef struct refusal {
    const gw_model_spec *spec;
    void (*change)(gw *w);
    int code;
    const char *says;
} refusal;

/* Keys. */
static void unknown_key(gw *w) {
    gw_f32(w, "llama.logit_scale", 0.5f);
}
static void no_layers(gw *w) {
    hide(w, "llama.block_count");
}
static void no_eps(gw *w) {
    hide(w, "llama.attention.layer_norm_rms_epsilon");
}
static void no_context(gw *w) {
    hide(w, "llama.context_length");
}
static void no_ffn(gw *w) {
    hide(w, "llama.feed_forward_length");
}
static void no_heads(gw *w) {
    hide(w, "llama.attention.head_count");
}
static void heads_text(gw *w) {
    hide(w, "llama.attention.head_count");
    gw_str(w, "llama.attention.head_count", "4");
}
static void heads_zero(gw *w) {
    hide(w, "llama.attention.head_count");
    gw_u32(w, "llama.attention.head_count", 0);
}
static void heads_differ(gw *w) {
    hide(w, "llama.attention.head_count");
    gw_array(w, "llama.attention.head_count", VB_VALUE_U32, (uint32_t[]){4, 2}, 2, 8);
}
static void heads_uneven(gw *w) {
    hide(w, "llama.attention.head_count_kv");
    gw_u32(w, "llama.attention.head_count_kv", 3);
}
static void layers_many(gw *w) {
    hide(w, "llama.block_count");
    gw_u64(w, "llama.block_count", UINT64_C(1) << 40);
}
static void eps_zero(gw *w) {
    hide(w, "llama.attention.layer_norm_rms_epsilon");
    gw_f32(w, "llama.attention.layer_norm_rms_epsilon", 0.0f);
}
static void eps_nan(gw *w) {
    hide(w, "llama.attention.layer_norm_rms_epsilon");
    gw_f32(w, "llama.attention.layer_norm_rms_epsilon", NAN);
}
static void base_negative(gw *w) {
    hide(w, "llama.rope.freq_base");
    gw_f32(w, "llama.rope.freq_base", -10000.0f);
}
static void rot_odd(gw *w) {
    hide(w, "llama.rope.dimension_count");
    gw_u32(w, "llama.rope.dimension_count", 15);
}
static void rot_large(gw *w) {
    hide(w, "llama.rope.dimension_count");
    gw_u32(w, "llama.rope.dimension_count", 18);
}
static void dynamic(gw *w) {
    gw_str(w, "llama.rope.scaling.type", "dynamic");
    gw_f32(w, "llama.rope.scaling.factor", 4.0f);
}
static void yarn_shrinks(gw *w) {
    gw_str(w, "llama.rope.scaling.type", "yarn");
    gw_f32(w, "llama.rope.scaling.factor", 0.5f);
}
static void yarn_between(gw *w) { /* gpt-oss's way has no key */
    gw_str(w, "llama.rope.scaling.type", "yarn");
    gw_bool(w, "llama.rope.scaling.yarn_truncate", false);
}
static void attn_factor(gw *w) {
    gw_f32(w, "llama.rope.scaling.attn_factor", 1.2f);
}
static void experts(gw *w) {
    gw_u32(w, "llama.expert_count", 8);
}
static void experts_of_qwen3(gw *w) {
    gw_u32(w, "qwen3.expert_count", 8);
}
static void not_causal(gw *w) {
    gw_bool(w, "llama.attention.causal", false);
}
static void value_length(gw *w) {
    gw_u32(w, "llama.attention.value_length", 8);
}
static void tiny_factor(gw *w) {
    gw_str(w, "llama.rope.scaling.type", "linear");
    gw_f32(w, "llama.rope.scaling.factor", 1e-8f);
}

/* Tensors. */
static void no_norm(gw *w) {
    rename_tensor(w, "blk.1.ffn_norm.weight", "ffn.1.norm");
}
static void extra(gw *w) {
    add_vector(w, "blk.0.post_attention_norm.weight", 64, 1.0f);
}
static void extra_layer(gw *w) {
    add_vector(w, "blk.2.attn_norm.weight", 64, 1.0f);
}
static void odd_number(gw *w) {
    rename_tensor(w, "blk.1.attn_norm.weight", "blk.01.attn_norm.weight");
}
static void output_bias(gw *w) {
    add_vector(w, "output.bias", 64, 1.0f);
}
static void transposed(gw *w) {
    gw_tensor_entry *t = tensor(w, "blk.0.ffn_down.weight");
    const uint64_t swap = t->dims[0];
    t->dims[0] = t->dims[1];
    t->dims[1] = swap;
}
static void short_norm(gw *w) {
    gw_tensor_entry *t = tensor(w, "blk.0.attn_norm.weight");
    t->dims[0] = 32;
    t->bytes = 128;
}
static void half_norm(gw *w) {
    gw_tensor_entry *t = tensor(w, "output_norm.weight");
    t->type = VB_F16;
    t->bytes = 128;
}
static void no_embedding(gw *w) {
    rename_tensor(w, "token_embd.weight", "token_embd.wrong");
}
static void no_qkv_bias(gw *w) {
    rename_tensor(w, "blk.1.attn_k.bias", "blk.1.attn_k.bits");
}
static void missing_bias(gw *w) {
    rename_tensor(w, "blk.1.attn_k.bias", "blk.1.attn_output.bias");
}
static void drop_last(gw *w) {
    const gw_tensor_entry *last = &w->tensors[--w->tensors_len];
    w->n_tensors--;
    free(last->name);
    free(last->data);
}
static void missing_layer(gw *w) {
    hide(w, "llama.block_count");
    gw_u32(w, "llama.block_count", 3);
}
static void nan_weight(gw *w) {
    set_float(w, "blk.1.ffn_up.weight", 77, NAN);
}
static void infinite_norm(gw *w) {
    set_float(w, "output_norm.weight", 5, INFINITY);
}
static void infinite_scale(gw *w) {
    memcpy(tensor(w, "blk.0.attn_v.weight")->data + 34 * 9, "\0\x7c", 2);
}
static void zero_factor(gw *w) {
    set_float(w, "rope_freqs.weight", 3, 0.0f);
}
static void many_tokens(gw *w) {
    /* The list of tokens as written is kept; the matrix loses a row. */
    tensor(w, "token_embd.weight")->dims[1]--;
}
static void single_expert(gw *w) {
    rename_tensor(w, "blk.1.ffn_up.weight", "blk.1.ffn_up.7.weight");
}
static void q_norm(gw *w) {
    add_vector(w, "blk.0.attn_q_norm.weight", 16, 1.0f);
}
static void qwen_freqs(gw *w) {
    add_vector(w, "rope_freqs.weight", 8, 1.0f);
}

static const refusal refusals[] = {
    {&llama, unknown_key, VB_ERR_UNSUPPORTED, "llama.logit_scale"},
    {&llama, no_layers, VB_ERR_FORMAT, "block_count is missing"},
    {&llama, no_eps, VB_ERR_FORMAT, "layer_norm_rms_epsilon is missing"},
    {&llama, no_context, VB_ERR_FORMAT, "context_length is missing"},
    {&llama, no_ffn, VB_ERR_FORMAT, "feed_forward_length is missing"},
    {&llama, no_heads, VB_ERR_FORMAT, "head_count is missing"},
    {&llama, heads_text, VB_ERR_FORMAT, "head_count is not a non-negative integer"},
    {&llama, heads_zero, VB_ERR_FORMAT, "head_count is 0"},
    {&llama, heads_differ, VB_ERR_UNSUPPORTED, "head_count differs between layers"},
    {&llama, heads_uneven, VB_ERR_FORMAT, "multiple of attention.head_count_kv"},
    {&llama, layers_many, VB_ERR_FORMAT, "block_count is 1099511627776"},
    {&llama, eps_zero, VB_ERR_FORMAT, "epsilon is 0"},
    {&llama, eps_nan, VB_ERR_FORMAT, "epsilon is"},
    {&llama, base_negative, VB_ERR_FORMAT, "freq_base is -10000"},
    {&llama, rot_odd, VB_ERR_FORMAT, "dimension_count is odd"},
    {&llama, rot_large, VB_ERR_FORMAT, "dimension_count is 18"},
    {&llama, dynamic, VB_ERR_UNSUPPORTED, "rope.scaling.type"},
    {&llama, yarn_shrinks, VB_ERR_UNSUPPORTED, "rope.scaling.factor is below 1 under yarn"},
    {&llama, yarn_between, VB_ERR_UNSUPPORTED, "yarn_truncate is not known"},
    {&llama, attn_factor, VB_ERR_UNSUPPORTED, "attn_factor"},
    {&llama, experts, VB_ERR_FORMAT, "expert_used_count is missing"},
    {&qwen3, experts_of_qwen3, VB_ERR_UNSUPPORTED, "expert_count other than 0"},
    {&llama, not_causal, VB_ERR_UNSUPPORTED, "causal"},
    {&llama, value_length, VB_ERR_UNSUPPORTED, "value_length"},
    {&llama, tiny_factor, VB_ERR_UNSUPPORTED, "RoPE angles"},
    {&llama, no_norm, VB_ERR_UNSUPPORTED, "ffn.1.norm"},
    {&llama, extra, VB_ERR_UNSUPPORTED, "blk.0.post_attention_norm.weight"},
    {&llama, extra_layer, VB_ERR_UNSUPPORTED, "blk.2.attn_norm.weight"},
    {&llama, odd_number, VB_ERR_UNSUPPORTED, "blk.01.attn_norm.weight"},
    {&llama, output_bias, VB_ERR_UNSUPPORTED, "output.bias"},
    {&llama, single_expert, VB_ERR_UNSUPPORTED, "blk.1.ffn_up.7.weight is one expert by itself"},
    {&llama, transposed, VB_ERR_FORMAT,
     "blk.0.ffn_down.weight has the shape [64, 128, 1, 1], expected [128, 64]"},
    {&llama, short_norm, VB_ERR_FORMAT,
     "blk.0.attn_norm.weight has the shape [32, 1, 1, 1], expected [64, 1]"},
    {&llama, half_norm, VB_ERR_UNSUPPORTED, "output_norm.weight is F16"},
    {&llama, no_embedding, VB_ERR_FORMAT, "token_embd.weight is missing"},
    {&qwen2, no_qkv_bias, VB_ERR_UNSUPPORTED, "attn_k.bits"},
    {&qwen2, missing_bias, VB_ERR_FORMAT, "blk.1.attn_k.bias is missing"},
    {&tied, drop_last, VB_ERR_FORMAT, "output_norm.weight is missing"},
    {&llama, missing_layer, VB_ERR_FORMAT, "blk.2.attn_norm.weight is missing"},
    {&llama, nan_weight, VB_ERR_FORMAT, "blk.1.ffn_up.weight, block 77"},
    {&llama, infinite_norm, VB_ERR_FORMAT, "output_norm.weight, block 5"},
    {&q8_0, infinite_scale, VB_ERR_FORMAT, "blk.0.attn_v.weight, block 9"},
    {&freqs, zero_factor, VB_ERR_FORMAT, "rope_freqs.weight[3]"},
    {&llama, many_tokens, VB_ERR_FORMAT, "tokenizer.ggml.tokens lists"},
    {&llama, q_norm, VB_ERR_UNSUPPORTED, "attn_q_norm"},
    {&qwen3, qwen_freqs, VB_ERR_UNSUPPORTED, "rope_freqs"},
};

static void check(const refusal *r, int index) {
    test_model t;
    vb_error err = {.code = VB_OK};
    gw *w = gw_tiny_writer(r->spec);
    r->change(w);
    const int rc = open_writer(w, &t, &err);
    if (rc != r->code)
        fail_msg("file %d (%s): code %d, expected %d: %s", index, r->says, rc, r->code, err.message);
    if (rc && !strstr(err.message, r->says))
        fail_msg("file %d: \"%s\" does not say \"%s\"", index, err.message, r->says);
    if (rc && !strstr(err.message, "tiny.gguf"))
        fail_msg("file %d: \"%s\" does not name the file", index, err.message);
    if (!rc) close_tiny(&t);
}

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) check(&refusals[i], (int)i);
}

/* What one architecture reads, another refuses: a value of each kind of key and a tensor of each name that
 * some architecture has is put into a file of every other one (P6). */
typedef struct belonging {
    const char *name;
    bool tensor;
    const char *archs; /* to which it belongs */
} belonging;

static const belonging belongings[] = {
    {"attention.sliding_window_pattern", false, "gemma3"},
    {"rope.freq_base_swa", false, "gemma3"},
    {"final_logit_softcapping", false, "gemma3"},
    {"logit_scale", false, ""},
    {"blk.0.attn_q.bias", true, "llama qwen2 qwen3"},
    {"blk.0.ffn_down.bias", true, "llama qwen2 qwen3"},
    {"blk.0.attn_q_norm.weight", true, "qwen3 gemma3"},
    {"blk.0.attn_k_norm.weight", true, "qwen3 gemma3"},
    {"blk.0.post_attention_norm.weight", true, "gemma3"},
    {"blk.0.post_ffw_norm.weight", true, "gemma3"},
    {"blk.0.attn_qkv.weight", true, "phi3"},
    {"blk.0.attn_q.weight", true, "llama qwen2 qwen3 gemma3"},
    {"blk.0.ffn_gate.weight", true, "llama qwen2 qwen3 gemma3"},
    {"rope_freqs.weight", true, "llama"},
    {"rope_factors_short.weight", true, "phi3"},
    {"rope_factors_long.weight", true, "phi3"},
};

static void test_belongings(void **state) {
    (void)state;
    static const char *const archs[] = {"llama", "qwen2", "qwen3", "gemma3", "phi3"};
    for (size_t a = 0; a < sizeof archs / sizeof *archs; a++) {
        const gw_model_spec spec = {.seed = 80 + a, .arch = archs[a]};
        for (size_t i = 0; i < sizeof belongings / sizeof *belongings; i++) {
            const belonging *b = &belongings[i];
            if (strstr(b->archs, archs[a])) continue;
            test_model t;
            vb_error err = {.code = VB_OK};
            char key[128];
            gw *w = gw_tiny_writer(&spec);
            snprintf(key, sizeof key, "%s%s%s", b->tensor ? "" : archs[a], b->tensor ? "" : ".", b->name);
            if (b->tensor)
                add_vector(w, key, 64, 1.0f);
            else
                gw_f32(w, key, 1.0f);
            const int rc = open_writer(w, &t, &err);
            if (rc != VB_ERR_UNSUPPORTED || !strstr(err.message, key))
                fail_msg("%s in a file of %s: code %d: %s", key, archs[a], rc, err.message);
        }
    }
}

/* A window that the plan can give, and one that only shortens the contexts there may be. */
static void test_windows(void **state) {
    (void)state;
    const gw_model_spec mistral = {.seed = 90, .window = 128},
                        qwen = {.seed = 91, .arch = "qwen2", .window = 128};
    test_model t = open_tiny(&mistral);
    assert_int_equal(vb_model_describe(t.model)->n_ctx, 512);
    assert_int_equal(t.model->layers[1].attn.window, 128);
    close_tiny(&t);
    t = open_tiny(&qwen);
    assert_int_equal(vb_model_describe(t.model)->n_ctx, 128);
    assert_int_equal(t.model->layers[1].attn.window, 0);
    close_tiny(&t);
}

/* Both tables of longrope are there, or neither. */
static void test_longrope(void **state) {
    (void)state;
    const gw_model_spec spec = {.seed = 92, .arch = "phi3", .long_from = 64};
    test_model t = open_tiny(&spec);
    const vb_rope *r = &t.model->ropes[0];
    assert_ptr_equal(vb_rope_freq(r, 64), r->freq);
    assert_ptr_equal(vb_rope_freq(r, 65), r->freq_long);
    vb_context *small = open_context(&t, 1, 8, VB_ACT_Q8, VB_F16), *large = NULL;
    vb_context_params p;
    vb_error err;
    const int32_t token = 1;
    vb_context_defaults(&p);
    p.n_ctx = 64;
    assert_int_equal(vb_context_open(&large, t.model, &p, &err), VB_OK);
    assert_int_equal(vb_eval(large, &token, 1, NULL, &err), VB_OK);
    assert_int_equal(vb_context_copy(small, large, 1, &err), VB_ERR_ARGUMENT); /* rows of another table */
    assert_non_null(strstr(err.message, "RoPE frequencies"));
    vb_context_close(large);
    vb_context_close(small);
    close_tiny(&t);
    gw *w = gw_tiny_writer(&spec);
    rename_tensor(w, "rope_factors_short.weight", "rope_factors_other.weight");
    assert_int_equal(open_writer(w, &t, &err), VB_ERR_UNSUPPORTED);
}

static void test_architecture(void **state) {
    (void)state;
    test_model t;
    vb_error err = {.code = VB_OK};
    gw *w = gw_new();
    gw_str(w, "general.architecture", "mamba");
    assert_int_equal(open_writer(w, &t, &err), VB_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "\"mamba\" is not supported; known are llama"));
    w = gw_new();
    gw_u32(w, "general.architecture", 3);
    assert_int_equal(open_writer(w, &t, NULL), VB_ERR_FORMAT);
    w = gw_new();
    gw_str(w, "general.name", "nameless");
    assert_int_equal(open_writer(w, &t, NULL), VB_ERR_FORMAT);
}

/* ---------------------------------------------------------------------- accepted */

static void equal_heads(gw *w) {
    hide(w, "llama.attention.head_count_kv");
    gw_array(w, "llama.attention.head_count_kv", VB_VALUE_U32, (uint32_t[]){4, 4}, 2, 8);
}
static void harmless_keys(gw *w) {
    gw_u32(w, "llama.vocab_size", 1);
    gw_u32(w, "llama.attention.sliding_window", 512);
    gw_u32(w, "llama.expert_count", 0);
    gw_u32(w, "llama.expert_used_count", 0);
    gw_bool(w, "llama.attention.causal", true);
    gw_str(w, "llama.tensor_data_layout", "Meta AI original pth");
    gw_f32(w, "llamas.logit_scale", 0.5f); /* another architecture's */
}
static void scaling_none(gw *w) {
    gw_str(w, "llama.rope.scaling.type", "none");
    gw_f32(w, "llama.rope.scaling.factor", 4.0f);
}
static void scaling_linear(gw *w) {
    gw_str(w, "llama.rope.scaling.type", "linear");
    gw_f32(w, "llama.rope.scaling.factor", 4.0f);
}
static void scaling_old(gw *w) {
    gw_f32(w, "llama.rope.scale_linear", 4.0f);
}
static void scaling_untyped(gw *w) {
    gw_f32(w, "llama.rope.scaling.factor", 4.0f);
}
static void biases(gw *w) {
    static const char *const names[] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                        "ffn_gate", "ffn_up", "ffn_down"};
    static const int sizes[] = {64, 64, 64, 64, 128, 128, 64};
    for (int layer = 0; layer < 2; layer++) {
        for (int i = 0; i < 7; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s.bias", layer, names[i]);
            add_vector(w, name, sizes[i], 0.1f + 0.05f * (float)i);
        }
    }
}

enum { N = 24 };

/* Logits after N tokens under q16, checked against the oracle. */
static void run(void (*change)(gw *w), float *logits) {
    test_model t;
    vb_error err = {.code = VB_OK};
    int32_t tokens[N];
    gw *w = gw_tiny_writer(&llama);
    if (change) change(w);
    if (open_writer(w, &t, &err)) fail_msg("%s", err.message);
    random_tokens(60, t.n_vocab, tokens, N);
    const size_t V = (size_t)t.n_vocab;
    double *oracle = malloc(N * V * sizeof *oracle);
    assert_non_null(oracle);
    assert_int_equal(vb_oracle(t.model, tokens, N, oracle, NULL), 0);
    vb_context *c = open_context(&t, 1, 64, VB_ACT_Q16, VB_F32);
    eval(c, tokens, N, NULL);
    memcpy(logits, vb_logits(c, N - 1), V * sizeof *logits);
    for (size_t i = 0; i < V; i++) {
        if (!(fabs((double)logits[i] - oracle[(N - 1) * V + i]) < 1e-4))
            fail_msg("logit %zu is %g, the oracle says %g", i, (double)logits[i], oracle[(N - 1) * V + i]);
    }
    vb_context_close(c);
    free(oracle);
    close_tiny(&t);
}

static void test_variants(void **state) {
    (void)state;
    test_model t = open_tiny(&llama);
    const size_t size = (size_t)t.n_vocab * sizeof(float);
    float *plain = malloc(size), *other = malloc(size), *scaled = malloc(size);
    assert_true(plain && other && scaled);
    run(NULL, plain);
    run(equal_heads, other);
    assert_memory_equal(plain, other, size);
    run(harmless_keys, other);
    assert_memory_equal(plain, other, size);
    run(scaling_none, other);
    assert_memory_equal(plain, other, size);
    run(scaling_linear, scaled);
    assert_memory_not_equal(plain, scaled, size);
    run(scaling_old, other);
    assert_memory_equal(scaled, other, size);
    run(scaling_untyped, other);
    assert_memory_equal(scaled, other, size);
    run(biases, other);
    assert_memory_not_equal(plain, other, size);
    free(plain);
    free(other);
    free(scaled);
    close_tiny(&t);
}

static void test_describe(void **state) {
    (void)state;
    const gw_model_spec spec = {
        .seed = 70, .arch = "qwen3", .heads = 4, .kv_heads = 2, .head_dim = 32, .type = VB_Q8_0};
    test_model t = open_tiny(&spec);
    const vb_model_info *i = vb_model_describe(t.model);
    assert_string_equal(i->architecture, "qwen3");
    assert_string_equal(i->name, "seeded qwen3 64x2");
    assert_true(i->dim == 64 && i->n_layers == 2 && i->n_heads == 4 && i->n_kv_heads == 2 &&
                i->head_dim == 32);
    assert_true(i->ffn_dim == 128 && i->n_ctx == 512 && i->n_vocab > 256);
    /* 2 x (q 128, k 64, v 64, o 128, gate, up, down 128 each) x 64, embedding and output, norms */
    const uint64_t matrices = 2 * 64 * (128 + 64 + 64 + 128 + 3 * 128) + 2 * 64 * (uint64_t)i->n_vocab;
    const uint64_t vectors = 2 * (64 + 64 + 32 + 32) + 64;
    assert_int_equal(i->parameters, matrices + vectors);
    assert_int_equal(i->weight_bytes, matrices / 32 * 34 + vectors * 4);
    close_tiny(&t);
    vb_model_close(NULL);
}

static void test_oracle_errors(void **state) {
    (void)state;
    test_model t = open_tiny(&llama);
    double untouched = 1.5;
    const int32_t bad = t.n_vocab, good = 1;
    assert_int_equal(vb_oracle(t.model, &bad, 1, &untouched, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_oracle(t.model, &good, 0, &untouched, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_oracle(t.model, &good, 513, &untouched, NULL), VB_ERR_ARGUMENT);
    assert_true(untouched == 1.5);
    close_tiny(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_architecture),
        cmocka_unit_test(test_belongings), cmocka_unit_test(test_windows),
        cmocka_unit_test(test_longrope),   cmocka_unit_test(test_variants),
        cmocka_unit_test(test_describe),   cmocka_unit_test(test_oracle_errors),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
