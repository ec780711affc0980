/* scripted_model.c - writes a model that says what a script has for it, for tests of what is made of answers.
 *
 *   scripted_model SCRIPT.json OUT.gguf
 *
 * A script is an object: "template", the chat template; "control", texts of control tokens; "say", an object
 * of control tokens and lists of texts. A prompt that ends in such a token is answered with the list, token
 * by token, and the end. Texts that are no control tokens become tokens of their own; all must differ,
 * because what follows a token depends on it alone.
 *
 * The model: each token's embedding is a vector of its own, attention and feed-forward add nothing, and the
 * output matrix has a row's weight where the token before it is. */
#include "tests/gguf_writer.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS = 1024, END = 2, BYTES = 3, N_CTX = 65536 };

typedef struct script {
    const char *text[MAX_TOKENS];
    int32_t kind[MAX_TOKENS];
    int next[MAX_TOKENS]; /* END unless a script says otherwise */
    int n;
} script;

static void give_up(const char *what, const char *which) {
    fprintf(stderr, "scripted_model: %s: %s\n", which, what);
    exit(1);
}

static int find(const script *s, const char *text) {
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->text[i], text)) return i;
    return -1;
}

static int add(script *s, const char *text, int32_t kind) {
    if (s->n == MAX_TOKENS) give_up("too many tokens", text);
    if (find(s, text) >= 0) give_up("a text that is there already", text);
    s->text[s->n] = text;
    s->kind[s->n] = kind;
    s->next[s->n] = END;
    return s->n++;
}

static void add_bytes(script *s) {
    static char names[256][8];
    for (int i = 0; i < 256; i++) {
        snprintf(names[i], sizeof names[i], "<0x%02X>", i);
        add(s, names[i], VB_TOKEN_BYTE);
    }
}

/* A list of texts behind the token `from`. */
static void say(script *s, const char *from, json_t *list) {
    int at = find(s, from);
    size_t i;
    json_t *v;
    if (at < 0) give_up("no control token", from);
    json_array_foreach(list, i, v) {
        const char *text = json_string_value(v);
        int next = text ? find(s, text) : -1;
        if (!text) give_up("a list that holds something else than texts", from);
        if (next < 0)
            next = add(s, text, VB_TOKEN_USER);
        else if (s->kind[next] != VB_TOKEN_CONTROL || s->next[next] != END)
            give_up("said twice", text);
        s->next[at] = next;
        at = next;
    }
}

static void read_script(script *s, json_t *root) {
    size_t i;
    json_t *v;
    const char *key;
    add(s, "<unk>", VB_TOKEN_UNKNOWN);
    add(s, "<s>", VB_TOKEN_CONTROL);
    add(s, "</s>", VB_TOKEN_CONTROL);
    add_bytes(s);
    add(s, "\xE2\x96\x81", VB_TOKEN_NORMAL);
    json_array_foreach(json_object_get(root, "control"), i, v) add(s, json_string_value(v), VB_TOKEN_CONTROL);
    json_object_foreach(json_object_get(root, "say"), key, v) say(s, key, v);
}

static void matrix(gw *w, const char *name, int rows, int cols, const float *x) {
    gw_tensor(w, name, VB_F32, 2, (uint64_t[]){(uint64_t)cols, (uint64_t)rows}, x,
              (uint64_t)rows * (uint64_t)cols * sizeof *x);
}

static void ones(gw *w, const char *name, int n, float *x) {
    for (int i = 0; i < n; i++) x[i] = 1;
    gw_tensor(w, name, VB_F32, 1, (uint64_t[]){(uint64_t)n}, x, (uint64_t)n * sizeof *x);
}

static void write_weights(gw *w, const script *s, int dim) {
    enum { HEAD = 32 };
    const size_t size = (size_t)dim * (size_t)dim;
    float *x = calloc(size, sizeof *x);
    if (!x) give_up("out of memory", "weights");
    matrix(w, "blk.0.attn_q.weight", HEAD, dim, x);
    matrix(w, "blk.0.attn_k.weight", HEAD, dim, x);
    matrix(w, "blk.0.attn_v.weight", HEAD, dim, x);
    matrix(w, "blk.0.attn_output.weight", dim, HEAD, x);
    matrix(w, "blk.0.ffn_gate.weight", HEAD, dim, x);
    matrix(w, "blk.0.ffn_up.weight", HEAD, dim, x);
    matrix(w, "blk.0.ffn_down.weight", dim, HEAD, x);
    for (int i = 0; i < s->n; i++) x[i * dim + i] = 1;
    matrix(w, "token_embd.weight", s->n, dim, x);
    memset(x, 0, size * sizeof *x);
    /* A normalised embedding is sqrt(dim) where it is not 0: the right logit is 40, all others 0. */
    for (int i = 0; i < s->n; i++) x[s->next[i] * dim + i] = 40 / sqrtf((float)dim);
    matrix(w, "output.weight", s->n, dim, x);
    ones(w, "blk.0.attn_norm.weight", dim, x);
    ones(w, "blk.0.ffn_norm.weight", dim, x);
    ones(w, "output_norm.weight", dim, x);
    free(x);
}

static void write_model(const script *s, const char *template, const char *path) {
    const int dim = (s->n + 31) / 32 * 32;
    float scores[MAX_TOKENS] = {0};
    gw *w = gw_new();
    gw_str(w, "general.architecture", "llama");
    gw_str(w, "general.name", "scripted");
    gw_u32(w, "llama.context_length", N_CTX);
    gw_u32(w, "llama.embedding_length", (uint32_t)dim);
    gw_u32(w, "llama.block_count", 1);
    gw_u32(w, "llama.feed_forward_length", 32);
    gw_u32(w, "llama.attention.head_count", 1);
    gw_u32(w, "llama.attention.head_count_kv", 1);
    gw_u32(w, "llama.attention.key_length", 32);
    gw_u32(w, "llama.attention.value_length", 32);
    gw_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-6f);
    gw_u32(w, "llama.rope.dimension_count", 32);
    gw_str(w, "tokenizer.ggml.model", "llama");
    gw_array_str(w, "tokenizer.ggml.tokens", s->text, (size_t)s->n);
    gw_array(w, "tokenizer.ggml.scores", VB_VALUE_F32, scores, (uint64_t)s->n, (size_t)s->n * sizeof *scores);
    gw_array(w, "tokenizer.ggml.token_type", VB_VALUE_I32, s->kind, (uint64_t)s->n,
             (size_t)s->n * sizeof *s->kind);
    gw_u32(w, "tokenizer.ggml.bos_token_id", 1);
    gw_u32(w, "tokenizer.ggml.eos_token_id", END);
    gw_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    gw_bool(w, "tokenizer.ggml.add_bos_token", true);
    gw_bool(w, "tokenizer.ggml.add_space_prefix", false);
    if (template) gw_str(w, "tokenizer.chat_template", template);
    write_weights(w, s, dim);
    gw_write(w, path);
    gw_free(w);
}

int main(int argc, char **argv) {
    static script s;
    json_error_t e;
    if (argc != 3) {
        fprintf(stderr, "usage: scripted_model SCRIPT.json OUT.gguf\n");
        return 2;
    }
    json_t *root = json_load_file(argv[1], JSON_REJECT_DUPLICATES, &e);
    if (!root) give_up(e.text, argv[1]);
    read_script(&s, root);
    write_model(&s, json_string_value(json_object_get(root, "template")), argv[2]);
    json_decref(root);
    return 0;
}
