/* tiny_pair.c - writes small seeded models into a folder, for the command's own tests and for `make demo`
 * while no trained models are there. Their weights are random numbers: they speak no language, but everything
 * that is proved about generation can be seen on them.
 *
 *   tiny_pair DIR
 *
 *   target.gguf  llama, SPM vocabulary, Q8_0
 *   draft.gguf   the same weights with noise: agrees with the target most of the time
 *   other.gguf   another vocabulary of the same kind: must be refused as a draft
 *   chat.gguf    qwen2, BPE vocabulary, ChatML template
 *   short.gguf   target's vocabulary, trained for 64 positions only
 *   long.gguf    target with 32768 positions
 *   known.gguf   a BPE vocabulary in which it shows how a text is cut into words, pre-tokenizer qwen2
 *   nopre.gguf   the same, but the pre-tokenizer is called "default"
 *   float.gguf   F32, rows of 192 and 1024 values: something to quantise
 *   parts-00001-of-00002.gguf and parts-00002-of-00002.gguf   target in two files */
#include "tests/gguf_writer.h"

#include <stdio.h>
#include <stdlib.h>

static int write_model(const char *dir, const char *name, const gw_model_spec *spec) {
    char path[1024];
    const int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path || gw_tiny_model(path, spec)) {
        fprintf(stderr, "tiny_pair: cannot write %s/%s\n", dir, name);
        return 1;
    }
    return 0;
}

/* The model in two files: the first has the keys and half of the tensors, the second the others. */
static int write_parts(const char *dir, const gw_model_spec *spec) {
    char path[2][1024];
    gw *part[2] = {gw_tiny_writer(spec), gw_new()};
    if (!part[0]) return 1;
    const size_t n = part[0]->tensors_len, half = n / 2;
    for (size_t i = half; i < n; i++) {
        gw_tensor_entry *t = &part[0]->tensors[i];
        gw_tensor(part[1], t->name, t->type, t->n_dims, t->dims, t->data, t->bytes);
        free(t->name);
        free(t->data);
    }
    part[0]->tensors_len = part[0]->n_tensors = half;
    for (int i = 0; i < 2; i++) {
        gw_u16(part[i], "split.no", (uint16_t)i);
        gw_u16(part[i], "split.count", 2);
        gw_i32(part[i], "split.tensors.count", (int32_t)n);
        snprintf(path[i], sizeof path[i], "%s/parts-%05d-of-00002.gguf", dir, i + 1);
        gw_write(part[i], path[i]);
        gw_free(part[i]);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: tiny_pair DIR\n");
        return 2;
    }
    const gw_model_spec target = {.n_ctx = 512, .seed = 7, .type = VB_Q8_0};
    gw_model_spec draft = target, other = target, small = target, large = target;
    draft.noise = 0.15f;
    draft.noise_seed = 1;
    other.vocab_variant = 3;
    small.n_ctx = 64;
    small.noise = 0.15f;
    large.n_ctx = 32768;
    const gw_model_spec chat = {
        .arch = "qwen2",
        .n_ctx = 512,
        .seed = 11,
        .type = VB_Q8_0,
        .chat_template = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
                         "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
                         "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"};
    const gw_model_spec known = {
        .arch = "qwen2", .n_ctx = 512, .seed = 11, .type = VB_Q8_0, .vocab_variant = 100};
    gw_model_spec nopre = known;
    nopre.pre = "default";
    const gw_model_spec floats = {.dim = 192, .ffn = 1024, .n_ctx = 512, .seed = 13};
    return write_model(argv[1], "target.gguf", &target) || write_model(argv[1], "draft.gguf", &draft) ||
           write_model(argv[1], "other.gguf", &other) || write_model(argv[1], "chat.gguf", &chat) ||
           write_model(argv[1], "short.gguf", &small) || write_model(argv[1], "long.gguf", &large) ||
           write_model(argv[1], "known.gguf", &known) || write_model(argv[1], "nopre.gguf", &nopre) ||
           write_model(argv[1], "float.gguf", &floats) || write_parts(argv[1], &target);
}
