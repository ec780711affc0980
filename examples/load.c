/* load.c - open a model, turn text into tokens, look at what comes next.
 *
 *   load MODEL.gguf "Once upon a time"
 *
 * Prints the tokens of the text and the five likeliest next ones with their log-probabilities. */
#include "verbatim.h"

#include <stdio.h>
#include <string.h>

/* A token as text. Tokens are bytes, possibly part of a character; newlines would spoil the list. */
static void print_token(const vb_tokenizer *t, int32_t id) {
    size_t n;
    const char *text = vb_token_text(t, id, true, &n);
    printf("%7d  \"", id);
    for (size_t i = 0; i < n; i++) putchar(text[i] == '\n' ? ' ' : text[i]);
    printf("\"");
}

/* The five largest logits, by five passes: the vocabulary is small and this is not the hot path. */
static void print_likeliest(const vb_tokenizer *t, const float *logits, int n_vocab) {
    int32_t best[5];
    for (int k = 0; k < 5 && k < n_vocab; k++) {
        best[k] = -1;
        for (int32_t id = 0; id < n_vocab; id++) {
            int taken = 0;
            for (int j = 0; j < k; j++) taken |= best[j] == id;
            if (!taken && (best[k] < 0 || logits[id] > logits[best[k]])) best[k] = id;
        }
        print_token(t, best[k]);
        printf("  log p %.4f\n", vb_logprob(logits, n_vocab, best[k]));
    }
}

int main(int argc, char **argv) {
    vb_error err = {0};
    vb_gguf *file = NULL;
    vb_tokenizer *tokenizer = NULL;
    vb_model *model = NULL;
    vb_context *context = NULL;
    int32_t *ids = NULL;
    size_t n;
    int status = 1;
    if (argc != 3) {
        fprintf(stderr, "usage: load MODEL.gguf TEXT\n");
        return 2;
    }

    /* File, tokenizer and weights are three things: each can be used without the others. */
    if (vb_gguf_open(&file, argv[1], &err) || vb_tokenizer_open(&tokenizer, file, &err) ||
        vb_model_open(&model, file, &err))
        goto cleanup;
    const vb_model_info *info = vb_model_describe(model);
    printf("%s: %s, %d layers, %d ids\n", argv[1], info->architecture, info->n_layers, info->n_vocab);

    /* ADD_SPECIAL: with the beginning-of-text token if this model wants one. */
    if (vb_tokenize_prompt(tokenizer, argv[2], strlen(argv[2]), true, &ids, &n, &err)) goto cleanup;
    for (size_t i = 0; i < n; i++) {
        print_token(tokenizer, ids[i]);
        printf("\n");
    }

    /* A context is one sequence: its KV cache. Evaluating appends to it. */
    vb_context_params params;
    vb_context_defaults(&params);
    if (vb_context_open(&context, model, &params, &err) || vb_eval(context, ids, n, NULL, &err)) goto cleanup;
    printf("what comes next:\n");
    print_likeliest(tokenizer, vb_logits(context, n - 1), info->n_vocab);
    status = 0;

cleanup:
    if (err.code) fprintf(stderr, "load: %s\n", err.message);
    vb_free(ids);
    vb_context_close(context);
    vb_model_close(model);
    vb_tokenizer_close(tokenizer);
    vb_gguf_close(file);
    return status;
}
