/* seeded_models.c - writes the small seeded models of vectors/models/seeded (docs/vectors.md) into a folder,
 * and the lines of sources.jsonl on standard output. The same bytes on every machine.
 *
 *   seeded_models DIR
 *
 *   arch-*      one per architecture: Q8_0, grouped-query attention, what is special about it;
 *               arch-llama-ties: of every three ids the logits are equal
 *   type-*      one per tensor type, llama; types of 256-wide blocks have one layer, because a row is at
 *               least a block
 *   draft-llama the weights of arch-llama with noise, for speculative traces
 *   vocab-*     vocabularies alone, for token ids */
#include "tests/gguf_writer.h"

#include <stdio.h>
#include <string.h>

static int write_model(const char *dir, const char *name, const gw_model_spec *spec, bool vocabulary) {
    char path[1024];
    const int n = snprintf(path, sizeof path, "%s/%s.gguf", dir, name);
    if (n < 0 || (size_t)n >= sizeof path) return 1;
    gw *w = gw_tiny_writer(spec);
    if (!w) {
        fprintf(stderr, "seeded_models: %s: the type does not fit the dimensions\n", name);
        return 1;
    }
    if (vocabulary) w->tensors_len = 0, w->n_tensors = 0;
    gw_write(w, path);
    gw_free(w);
    printf("{\"model\":\"models/seeded/%s.gguf\",\"origin\":\"seeded\",\"licence\":\"CC0-1.0\","
           "\"command\":\"build/tests/tools/seeded_models DIR\"}\n",
           name);
    return 0;
}

/* Ids in threes with the same output row, so that every choice is between equals: 40 (top-k) cuts through a
 * three. */
static int write_ties(const char *dir, const gw_model_spec *spec) {
    char path[1024];
    const int n = snprintf(path, sizeof path, "%s/arch-llama-ties.gguf", dir);
    if (n < 0 || (size_t)n >= sizeof path) return 1;
    gw *w = gw_tiny_writer(spec);
    if (!w) return 1;
    for (size_t i = 0; i < w->tensors_len; i++) {
        gw_tensor_entry *t = &w->tensors[i];
        if (strcmp(t->name, "output.weight") != 0) continue;
        const size_t row = (size_t)(t->bytes / t->dims[1]);
        for (size_t r = 0; r < t->dims[1]; r++)
            if (r % 3) memcpy(t->data + r * row, t->data + (r - r % 3) * row, row);
    }
    gw_write(w, path);
    gw_free(w);
    printf("{\"model\":\"models/seeded/arch-llama-ties.gguf\",\"origin\":\"seeded\",\"licence\":\"CC0-1.0\","
           "\"command\":\"build/tests/tools/seeded_models DIR\"}\n");
    return 0;
}

static int write_types(const char *dir) {
    for (int type = 0; type < VB_TYPE_LIMIT; type++) {
        const int block = vb_type_block_values(type);
        char name[64];
        if (!block) continue;
        gw_model_spec s = {.dim = 32,
                           .heads = 2,
                           .kv_heads = 1,
                           .head_dim = 16,
                           .ffn = 96,
                           .layers = 2,
                           .n_ctx = 128,
                           .seed = 100 + (uint64_t)type,
                           .type = (vb_type)type,
                           .tied = true};
        if (block == 256) s.dim = 256, s.heads = 4, s.head_dim = 64, s.ffn = 256, s.layers = 1;
        snprintf(name, sizeof name, "type-%s", vb_type_name(type));
        if (write_model(dir, name, &s, false)) return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: seeded_models DIR\n");
        return 2;
    }
    const gw_model_spec llama = {.kv_heads = 2,
                                 .ffn = 160,
                                 .n_ctx = 128,
                                 .seed = 1,
                                 .type = VB_Q8_0,
                                 .branch = 0.6f,
                                 .rope_freqs = true};
    const gw_model_spec qwen2 = {.arch = "qwen2",
                                 .kv_heads = 2,
                                 .ffn = 160,
                                 .n_ctx = 128,
                                 .seed = 2,
                                 .type = VB_Q8_0,
                                 .rope_base = 1e6f};
    const gw_model_spec qwen3 = {.arch = "qwen3",
                                 .kv_heads = 2,
                                 .head_dim = 32,
                                 .ffn = 160,
                                 .n_ctx = 128,
                                 .seed = 3,
                                 .type = VB_Q8_0,
                                 .tied = true};
    const gw_model_spec linear = {
        .kv_heads = 4, .ffn = 96, .n_ctx = 128, .seed = 4, .type = VB_Q5_1, .rope_linear = 4};
    const gw_model_spec spm = {.dim = 32, .vocab_variant = 105},
                        bpe = {.arch = "qwen2", .dim = 32, .vocab_variant = 100},
                        llama3 = {.arch = "qwen2", .dim = 32, .vocab_variant = 100, .pre = "llama-bpe"},
                        gpt2 = {.arch = "qwen2", .dim = 32, .vocab_variant = 100, .pre = "gpt-2"},
                        smollm = {.arch = "qwen2", .dim = 32, .vocab_variant = 100, .pre = "smollm"};
    const gw_model_spec ties = {
        .dim = 32, .heads = 2, .ffn = 64, .n_ctx = 128, .seed = 6, .type = VB_Q8_0, .logit_scale = 0.3f};
    gw_model_spec draft = llama;
    draft.noise = 0.12f;
    draft.noise_seed = 1;
    const char *dir = argv[1];
    return write_model(dir, "arch-llama", &llama, false) || write_model(dir, "arch-qwen2", &qwen2, false) ||
           write_model(dir, "arch-qwen3", &qwen3, false) ||
           write_model(dir, "arch-llama-linear", &linear, false) || write_ties(dir, &ties) ||
           write_model(dir, "draft-llama", &draft, false) || write_types(dir) ||
           write_model(dir, "vocab-spm", &spm, true) || write_model(dir, "vocab-bpe-qwen2", &bpe, true) ||
           write_model(dir, "vocab-bpe-llama3", &llama3, true) ||
           write_model(dir, "vocab-bpe-gpt2", &gpt2, true) ||
           write_model(dir, "vocab-bpe-smollm", &smollm, true);
}
