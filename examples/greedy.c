/* greedy.c - generation by hand: evaluate, take the likeliest token, append it, again.
 *
 *   greedy MODEL.gguf "Once upon a time" 40
 *
 * This loop is the definition that speculative decoding is measured against: `verbatim run --temp 0` prints
 * the same text with any draft model. */
#include "verbatim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest logit; of equal ones the lowest id. */
static int32_t argmax(const float *logits, int n_vocab) {
    int32_t best = 0;
    for (int32_t id = 1; id < n_vocab; id++)
        if (logits[id] > logits[best]) best = id;
    return best;
}

static int generate(vb_context *context, const vb_tokenizer *tokenizer, const int32_t *prompt,
                    size_t n_prompt, int count, vb_error *err) {
    const int n_vocab = vb_model_describe(vb_context_model(context))->n_vocab;
    vb_utf8 utf8 = {0}; /* holds back the first bytes of a character until the rest has come */
    int rc = vb_eval(context, prompt, n_prompt, NULL, err);
    size_t last = n_prompt - 1; /* index, in the last vb_eval, of the token whose logits are wanted */
    for (int i = 0; i < count && !rc; i++) {
        int32_t id = argmax(vb_logits(context, last), n_vocab);
        if (vb_token_is_stop(tokenizer, id)) break;

        size_t n;
        const char *text = vb_token_text(tokenizer, id, false, &n);
        char *out = malloc(n + 3);
        if (!out) return VB_ERR_MEMORY;
        fwrite(out, 1, vb_utf8_push(&utf8, text, n, out), stdout);
        fflush(stdout);
        free(out);

        if (i + 1 == count || vb_context_length(context) == vb_context_size(context)) break;
        rc = vb_eval(context, &id, 1, NULL, err);
        last = 0;
    }
    char rest[4];
    fwrite(rest, 1, vb_utf8_flush(&utf8, rest), stdout);
    printf("\n");
    return rc;
}

int main(int argc, char **argv) {
    vb_error err = {0};
    vb_gguf *file = NULL;
    vb_tokenizer *tokenizer = NULL;
    vb_model *model = NULL;
    vb_context *context = NULL;
    vb_context_params params;
    int32_t *ids = NULL;
    size_t n;
    int status = 1;
    if (argc != 4) {
        fprintf(stderr, "usage: greedy MODEL.gguf TEXT COUNT\n");
        return 2;
    }
    vb_context_defaults(&params);
    if (vb_gguf_open(&file, argv[1], &err) || vb_tokenizer_open(&tokenizer, file, &err) ||
        vb_model_open(&model, file, &err) || vb_context_open(&context, model, &params, &err) ||
        vb_tokenize_prompt(tokenizer, argv[2], strlen(argv[2]), true, &ids, &n, &err))
        goto cleanup;
    if (n == 0) {
        fprintf(stderr, "greedy: the text has no tokens and this model adds none\n");
        goto cleanup;
    }
    status = generate(context, tokenizer, ids, n, atoi(argv[3]), &err) != 0;

cleanup:
    if (err.code) fprintf(stderr, "greedy: %s\n", err.message);
    vb_free(ids);
    vb_context_close(context);
    vb_model_close(model);
    vb_tokenizer_close(tokenizer);
    vb_gguf_close(file);
    return status;
}
