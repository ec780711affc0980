/* gguf_models.c - small complete models with seeded weights and vocabularies of their own (gguf_writer.h). */
#include "tests/gguf_writer.h"

#include "gguf/formats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------------------------- vocabulary */

/* Words whose every prefix becomes a token, so that both kinds of merging have something to do. */
static const char *const words[] = {"the", "and", "was", "said", "that", "had",  "they",  "with",  "little",
                                    "she", "you", "for", "once", "upon", "time", "there", "house", "water"};
enum { N_WORDS = sizeof words / sizeof words[0] };

typedef struct vocab {
    char **token;
    int32_t *type;
    float *score;
    size_t n, cap;
    char **merge;
    size_t n_merges, merges_cap;
} vocab;

static void *must(void *p) {
    if (!p) {
        perror("gguf_models");
        abort();
    }
    return p;
}

static char *copy_text(const char *text, size_t len) {
    char *s = must(malloc(len + 1));
    memcpy(s, text, len);
    s[len] = 0;
    return s;
}

static size_t vocab_find(const vocab *v, const char *text, size_t len) {
    for (size_t i = 0; i < v->n; i++) {
        if (strlen(v->token[i]) == len && !memcmp(v->token[i], text, len)) return i;
    }
    return v->n;
}

/* Appends a token, unless a token of this text is there. */
static void vocab_add(vocab *v, const char *text, size_t len, vb_token_kind type) {
    if (vocab_find(v, text, len) < v->n) return;
    if (v->n == v->cap) {
        v->cap = 2 * v->cap + 512;
        v->token = must(realloc(v->token, v->cap * sizeof *v->token));
        v->type = must(realloc(v->type, v->cap * sizeof *v->type));
        v->score = must(realloc(v->score, v->cap * sizeof *v->score));
    }
    v->token[v->n] = copy_text(text, len);
    v->type[v->n] = (int32_t)type;
    v->score[v->n] = type == VB_TOKEN_NORMAL ? -(float)v->n : 0.0f; /* earlier is better */
    v->n++;
}

static void vocab_merge(vocab *v, const char *left, size_t left_len, const char *right, size_t right_len) {
    char both[64], line[64];
    snprintf(both, sizeof both, "%.*s%.*s", (int)left_len, left, (int)right_len, right);
    if (vocab_find(v, both, strlen(both)) < v->n) return;
    vocab_add(v, both, strlen(both), VB_TOKEN_NORMAL);
    snprintf(line, sizeof line, "%.*s %.*s", (int)left_len, left, (int)right_len, right);
    if (v->n_merges == v->merges_cap) {
        v->merges_cap = 2 * v->merges_cap + 64;
        v->merge = must(realloc(v->merge, v->merges_cap * sizeof *v->merge));
    }
    v->merge[v->n_merges++] = copy_text(line, strlen(line));
}

/* The prefixes of every word with a space sign in front, and the words' two-letter beginnings without. */
static void vocab_words(vocab *v, const char *space, int variant) {
    for (int i = 0; i < N_WORDS; i++) {
        const char *word = words[(i + variant) % N_WORDS];
        char text[32];
        const size_t len = (size_t)snprintf(text, sizeof text, "%s%s", space, word), first = strlen(space);
        for (size_t k = first; k < len; k++) vocab_merge(v, text, k, text + k, 1);
        vocab_merge(v, word, 1, word + 1, 1);
    }
}

/* Words of digits, signs and spaces, so that where a text is cut shows in its ids. In the byte alphabet:
 * U+0120 is the space, U+010A the newline. */
static void vocab_signs(vocab *v, bool bytes) {
    static const char *const signs[] = {"000",
                                        "123",
                                        "100",
                                        "1000",
                                        "3.1",
                                        "1b2",
                                        "v2",
                                        "'ll",
                                        "'ve",
                                        "'s",
                                        "'t",
                                        "n't",
                                        "...",
                                        "()",
                                        "--",
                                        "\xc4\xa0\xc4\xa0\xc4\xa0",
                                        "\xc4\x8a\xc4\x8a",
                                        "WE'LL"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        const char *word = signs[i];
        const size_t len = strlen(word);
        if (!bytes && (*word & 0x80)) continue;
        for (size_t k = (*word & 0x80) ? 2 : 1; k < len;) {
            const size_t next = (word[k] & 0x80) ? 2 : 1;
            vocab_merge(v, word, k, word + k, next);
            k += next;
        }
    }
}

/* SentencePiece style: <unk>, <s>, </s>, 256 byte tokens, characters, pieces with "\u2581" for a space. */
static void vocab_spm(vocab *v, int variant) {
    vocab_add(v, "<unk>", 5, VB_TOKEN_UNKNOWN);
    vocab_add(v, "<s>", 3, VB_TOKEN_CONTROL);
    vocab_add(v, "</s>", 4, VB_TOKEN_CONTROL);
    for (int b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)b & 255u);
        vocab_add(v, text, 6, VB_TOKEN_BYTE);
    }
    vocab_add(v, "\xe2\x96\x81", 3, VB_TOKEN_NORMAL);
    for (int c = '!'; c <= '~'; c++) {
        const char text = (char)c;
        vocab_add(v, &text, 1, VB_TOKEN_NORMAL);
    }
    vocab_words(v, "\xe2\x96\x81", variant);
    if (variant >= 100) vocab_signs(v, false);
}

/* GPT-2 style: every byte as a character. Printable ASCII and most of Latin-1 stand for themselves, the other
 * bytes, in order, for U+0100 onwards. Then merges, then the control tokens. */
static void vocab_bpe(vocab *v, int variant) {
    int next = 256;
    for (int b = 0; b < 256; b++) {
        const bool plain = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
        const int code = plain ? b : next++;
        char text[2] = {(char)code, 0};
        size_t len = 1;
        if (code >= 0x80) {
            text[0] = (char)(0xc0 | code >> 6);
            text[1] = (char)(0x80 | (code & 63));
            len = 2;
        }
        vocab_add(v, text, len, VB_TOKEN_NORMAL);
    }
    vocab_words(v, "\xc4\xa0", variant); /* U+0120 stands for the space */
    if (variant >= 100) vocab_signs(v, true);
    vocab_add(v, "<|endoftext|>", 13, VB_TOKEN_CONTROL);
    vocab_add(v, "<|im_start|>", 12, VB_TOKEN_CONTROL);
    vocab_add(v, "<|im_end|>", 10, VB_TOKEN_CONTROL);
}

static void vocab_free(vocab *v) {
    for (size_t i = 0; i < v->n; i++) free(v->token[i]);
    for (size_t i = 0; i < v->n_merges; i++) free(v->merge[i]);
    free(v->token);
    free(v->type);
    free(v->score);
    free(v->merge);
}

/* Writes the tokenizer.* keys; returns the number of tokens. */
static int write_vocab(gw *w, const gw_model_spec *s) {
    vocab v = {0};
    const bool spm = !strcmp(s->vocab, "spm");
    if (spm) {
        vocab_spm(&v, s->vocab_variant);
    } else {
        vocab_bpe(&v, s->vocab_variant);
    }
    for (int i = 0; s->vocab_size > 0 && v.n < (size_t)s->vocab_size; i++) {
        char text[32];
        const int len = snprintf(text, sizeof text, "[PAD%d]", i);
        vocab_add(&v, text, (size_t)len, VB_TOKEN_UNUSED);
    }
    const int n = (int)v.n;
    gw_str(w, "tokenizer.ggml.model", spm ? "llama" : "gpt2");
    if (!spm) gw_str(w, "tokenizer.ggml.pre", s->pre);
    gw_array_str(w, "tokenizer.ggml.tokens", (const char *const *)v.token, v.n);
    if (spm) gw_array(w, "tokenizer.ggml.scores", VB_VALUE_F32, v.score, v.n, v.n * sizeof *v.score);
    gw_array(w, "tokenizer.ggml.token_type", VB_VALUE_I32, v.type, v.n, v.n * sizeof *v.type);
    if (spm) {
        gw_u32(w, "tokenizer.ggml.bos_token_id", 1);
        gw_u32(w, "tokenizer.ggml.eos_token_id", 2);
        gw_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    } else {
        gw_array_str(w, "tokenizer.ggml.merges", (const char *const *)v.merge, v.n_merges);
        gw_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)vocab_find(&v, "<|endoftext|>", 13));
        gw_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)vocab_find(&v, "<|im_end|>", 10));
    }
    gw_bool(w, "tokenizer.ggml.add_bos_token", spm);
    if (s->chat_template) gw_str(w, "tokenizer.chat_template", s->chat_template);
    vocab_free(&v);
    return n;
}

/* --------------------------------------------------------------------------------------------- weights */

/* A seed from a seed and a name: FNV-1a, so that a tensor does not depend on its neighbours. */
static gw_rng named_rng(uint64_t seed, const char *name) {
    uint64_t h = 0xcbf29ce484222325u ^ seed;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 0x100000001b3u;
    gw_rng r = {h};
    r.state = gw_next(&r);
    return r;
}

/* A vector in float32: mean + std * normal. */
static void add_vector(gw *w, const gw_model_spec *s, const char *name, int n, float mean, float std) {
    float *x = must(calloc((size_t)n, sizeof *x));
    gw_rng r = named_rng(s->seed, name), noise = named_rng(s->noise_seed ^ 0x5eed, name);
    for (int i = 0; i < n; i++) {
        x[i] = mean + std * gw_normal(&r);
        if (s->noise > 0) x[i] += s->noise * std * gw_normal(&noise);
    }
    gw_tensor(w, name, VB_F32, 1, (uint64_t[]){(uint64_t)n}, x, (uint64_t)n * sizeof *x);
    free(x);
}

/* `depth` matrices (rows, cols) of the model's type, standard deviation std. */
static bool add_matrices(gw *w, const gw_model_spec *s, const char *name, int depth, int rows, int cols,
                         float std) {
    const size_t values = (size_t)vb_type_block_values((int)s->type),
                 n = (size_t)depth * (size_t)rows * (size_t)cols;
    if (!values || (size_t)cols % values) return false;
    const size_t bytes = n / values * (size_t)vb_type_block_bytes((int)s->type);
    float *x = must(calloc(n ? n : 1, sizeof *x));
    uint8_t *data = must(calloc(bytes ? bytes : 1, 1));
    gw_rng r = named_rng(s->seed, name), noise = named_rng(s->noise_seed ^ 0x5eed, name);
    for (size_t i = 0; i < n; i++) {
        x[i] = std * gw_normal(&r);
        if (s->noise > 0) x[i] += s->noise * std * gw_normal(&noise);
    }
    bool ok = gw_quantize(s->type, x, n, data);
    if (!ok && s->noise <= 0) ok = gw_random_blocks(s->type, &r, std, n, data);
    const uint64_t dims[3] = {(uint64_t)cols, (uint64_t)rows, (uint64_t)depth};
    if (ok) gw_tensor(w, name, s->type, depth > 1 ? 3 : 2, dims, data, bytes);
    free(x);
    free(data);
    return ok;
}

static bool add_matrix(gw *w, const gw_model_spec *s, const char *name, int rows, int cols, float std) {
    return add_matrices(w, s, name, 1, rows, cols, std);
}

static float inverse_sqrt(int n) {
    return 1.0f / sqrtf((float)n);
}

/* The router in float32, as files have it, and the experts. */
static bool add_experts(gw *w, const gw_model_spec *s, int layer) {
    gw_model_spec f32 = *s;
    const float in = inverse_sqrt(s->dim), out = s->branch * inverse_sqrt(s->ffn);
    char name[64];
    bool ok = true;
    f32.type = VB_F32;
#define NAME(suffix) (snprintf(name, sizeof name, "blk.%d." suffix, layer), name)
    ok = add_matrix(w, &f32, NAME("ffn_gate_inp.weight"), s->experts, s->dim, in) && ok;
    ok = add_matrices(w, s, NAME("ffn_gate_exps.weight"), s->experts, s->ffn, s->dim, in) && ok;
    ok = add_matrices(w, s, NAME("ffn_up_exps.weight"), s->experts, s->ffn, s->dim, in) && ok;
    ok = add_matrices(w, s, NAME("ffn_down_exps.weight"), s->experts, s->dim, s->ffn, out) && ok;
#undef NAME
    return ok;
}

static bool add_layer(gw *w, const gw_model_spec *s, int layer) {
    const int q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    const float in = inverse_sqrt(s->dim);
    char name[64];
    bool ok = true;
#define NAME(suffix) (snprintf(name, sizeof name, "blk.%d." suffix, layer), name)
    add_vector(w, s, NAME("attn_norm.weight"), s->dim, 1.0f, 0.1f);
    const bool phi3 = !strcmp(s->arch, "phi3"), gemma3 = !strcmp(s->arch, "gemma3");
    if (phi3) {
        ok = add_matrix(w, s, NAME("attn_qkv.weight"), q + 2 * kv, s->dim, in) && ok;
    } else {
        ok = add_matrix(w, s, NAME("attn_q.weight"), q, s->dim, in) && ok;
        ok = add_matrix(w, s, NAME("attn_k.weight"), kv, s->dim, in) && ok;
        ok = add_matrix(w, s, NAME("attn_v.weight"), kv, s->dim, in) && ok;
    }
    if (!strcmp(s->arch, "qwen2")) {
        add_vector(w, s, NAME("attn_q.bias"), q, 0.0f, 0.1f);
        add_vector(w, s, NAME("attn_k.bias"), kv, 0.0f, 0.1f);
        add_vector(w, s, NAME("attn_v.bias"), kv, 0.0f, 0.1f);
    }
    if (!strncmp(s->arch, "qwen3", 5) || gemma3) {
        add_vector(w, s, NAME("attn_q_norm.weight"), s->head_dim, 1.0f, 0.1f);
        add_vector(w, s, NAME("attn_k_norm.weight"), s->head_dim, 1.0f, 0.1f);
    }
    ok = add_matrix(w, s, NAME("attn_output.weight"), s->dim, q, s->branch * inverse_sqrt(q)) && ok;
    if (gemma3) add_vector(w, s, NAME("post_attention_norm.weight"), s->dim, s->branch, 0.1f);
    add_vector(w, s, NAME("ffn_norm.weight"), s->dim, 1.0f, 0.1f);
    if (s->experts) return add_experts(w, s, layer) && ok;
    if (!phi3) ok = add_matrix(w, s, NAME("ffn_gate.weight"), s->ffn, s->dim, in) && ok;
    ok = add_matrix(w, s, NAME("ffn_up.weight"), phi3 ? 2 * s->ffn : s->ffn, s->dim, in) && ok;
    ok = add_matrix(w, s, NAME("ffn_down.weight"), s->dim, s->ffn, s->branch * inverse_sqrt(s->ffn)) && ok;
    if (gemma3) add_vector(w, s, NAME("post_ffw_norm.weight"), s->dim, s->branch, 0.1f);
#undef NAME
    return ok;
}

/* --------------------------------------------------------------------------------------------- the file */

static gw_model_spec with_defaults(const gw_model_spec *spec) {
    gw_model_spec s = *spec;
    if (!s.arch) s.arch = "llama";
    if (!s.dim) s.dim = 64;
    if (!s.layers) s.layers = 2;
    if (!s.heads) s.heads = 4;
    if (!s.kv_heads) s.kv_heads = s.heads;
    if (!s.head_dim) s.head_dim = s.dim / s.heads;
    if (!s.ffn) s.ffn = 2 * s.dim;
    if (!s.n_ctx) s.n_ctx = 512;
    if (s.experts && !s.experts_used) s.experts_used = 2;
    if (!s.rot) s.rot = s.head_dim;
    if (!s.vocab) s.vocab = !strncmp(s.arch, "qwen", 4) ? "bpe" : "spm";
    if (!s.pre) s.pre = "qwen2";
    if (s.rope_base <= 0) s.rope_base = 10000.0f;
    if (s.logit_scale <= 0) s.logit_scale = 4.0f;
    if (s.branch <= 0) s.branch = 1.0f;
    return s;
}

static void write_hyperparameters(gw *w, const gw_model_spec *s) {
    char key[128];
#define KEY(suffix) (snprintf(key, sizeof key, "%s." suffix, s->arch), key)
    char name[64];
    snprintf(name, sizeof name, "seeded %s %dx%d", s->arch, s->dim, s->layers);
    gw_str(w, "general.architecture", s->arch);
    gw_str(w, "general.name", name);
    gw_u32(w, KEY("context_length"), (uint32_t)s->n_ctx);
    gw_u32(w, KEY("embedding_length"), (uint32_t)s->dim);
    gw_u32(w, KEY("block_count"), (uint32_t)s->layers);
    gw_u32(w, KEY("feed_forward_length"), (uint32_t)s->ffn);
    gw_u32(w, KEY("attention.head_count"), (uint32_t)s->heads);
    gw_u32(w, KEY("attention.head_count_kv"), (uint32_t)s->kv_heads);
    gw_f32(w, KEY("attention.layer_norm_rms_epsilon"), 1e-5f);
    gw_u32(w, KEY("rope.dimension_count"), (uint32_t)s->rot);
    gw_f32(w, KEY("rope.freq_base"), s->rope_base);
    if (s->rope_linear > 0) {
        gw_str(w, KEY("rope.scaling.type"), "linear");
        gw_f32(w, KEY("rope.scaling.factor"), s->rope_linear);
    }
    if (s->window) gw_u32(w, KEY("attention.sliding_window"), (uint32_t)s->window);
    if (s->window_pattern) gw_u32(w, KEY("attention.sliding_window_pattern"), (uint32_t)s->window_pattern);
    if (s->softcap > 0) gw_f32(w, KEY("final_logit_softcapping"), s->softcap);
    if (s->long_from) {
        gw_u32(w, KEY("rope.scaling.original_context_length"), (uint32_t)s->long_from);
        gw_f32(w, KEY("rope.scaling.attn_factor"), 1.2f);
    }
    if (s->experts) {
        gw_u32(w, KEY("expert_count"), (uint32_t)s->experts);
        gw_u32(w, KEY("expert_used_count"), (uint32_t)s->experts_used);
        gw_u32(w, KEY("expert_feed_forward_length"), (uint32_t)s->ffn);
    }
    if (s->head_dim * s->heads != s->dim || !strncmp(s->arch, "qwen3", 5)) {
        gw_u32(w, KEY("attention.key_length"), (uint32_t)s->head_dim);
        gw_u32(w, KEY("attention.value_length"), (uint32_t)s->head_dim);
    }
#undef KEY
}

/* Factors of RoPE's frequencies, from 1 to `last` in equal steps. */
static void add_factors(gw *w, const char *name, int n, float last) {
    float *factor = must(calloc((size_t)n, sizeof *factor));
    for (int i = 0; i < n; i++) factor[i] = 1.0f + (last - 1.0f) * (float)i / (float)(n > 1 ? n - 1 : 1);
    gw_tensor(w, name, VB_F32, 1, (uint64_t[]){(uint64_t)n}, factor, (uint64_t)n * 4);
    free(factor);
}

gw *gw_tiny_writer(const gw_model_spec *spec) {
    const gw_model_spec s = with_defaults(spec);
    gw *w = gw_new();
    write_hyperparameters(w, &s);
    const int n_vocab = write_vocab(w, &s);
    /* Logits are a normalised vector (its length sqrt(dim)) times rows of the output matrix. */
    const float out = s.logit_scale * inverse_sqrt(s.dim);
    bool ok = add_matrix(w, &s, "token_embd.weight", n_vocab, s.dim, s.tied ? out : 1.0f);
    for (int i = 0; i < s.layers && ok; i++) ok = add_layer(w, &s, i);
    add_vector(w, &s, "output_norm.weight", s.dim, 1.0f, 0.1f);
    if (!s.tied) ok = ok && add_matrix(w, &s, "output.weight", n_vocab, s.dim, out);
    if (s.rope_freqs) add_factors(w, "rope_freqs.weight", s.rot / 2, 8.0f);
    if (s.long_from) {
        add_factors(w, "rope_factors_short.weight", s.rot / 2, 2.0f);
        add_factors(w, "rope_factors_long.weight", s.rot / 2, 30.0f);
    }
    if (!ok) {
        gw_free(w);
        return NULL;
    }
    return w;
}

int gw_tiny_model(const char *path, const gw_model_spec *spec) {
    gw *w = gw_tiny_writer(spec);
    if (!w) return VB_ERR_ARGUMENT;
    gw_write(w, path);
    gw_free(w);
    return VB_OK;
}
