/* speculate.c - a small model drafts, the target verifies: the same text in fewer target calls.
 *
 *   speculate TARGET.gguf DRAFT.gguf "Once upon a time" 40
 *
 * Prints the text with every run of accepted drafts in [brackets], then what was drafted and accepted. */
#include "verbatim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct side {
    vb_gguf *file;
    vb_tokenizer *tokenizer;
    vb_model *model;
    vb_context *context;
} side;

static int open_side(side *s, const char *path, vb_error *err) {
    vb_context_params params;
    vb_context_defaults(&params);
    int rc = vb_gguf_open(&s->file, path, err);
    if (!rc) rc = vb_tokenizer_open(&s->tokenizer, s->file, err);
    if (!rc) rc = vb_model_open(&s->model, s->file, err);
    if (!rc) rc = vb_context_open(&s->context, s->model, &params, err);
    return rc;
}

static void close_side(side *s) {
    vb_context_close(s->context);
    vb_model_close(s->model);
    vb_tokenizer_close(s->tokenizer);
    vb_gguf_close(s->file);
}

/* One step emits the accepted drafts and one token of the target's own. */
static void print_step(const vb_tokenizer *t, const vb_step *step) {
    for (int i = 0; i < step->n_emitted && !step->emitted[i].stop; i++) {
        size_t n;
        const char *text = vb_token_text(t, step->emitted[i].id, false, &n);
        bool drafted = step->emitted[i].origin == VB_FROM_DRAFT;
        printf("%s%.*s%s", drafted && i == 0 ? "[" : "", (int)n, text,
               drafted && i == step->n_accepted - 1 ? "]" : "");
    }
}

int main(int argc, char **argv) {
    vb_error err = {0};
    side target = {0}, draft = {0};
    vb_spec *spec = NULL;
    vb_spec_params params;
    vb_sampling sampling;
    vb_stats stats;
    int32_t *ids = NULL;
    size_t n, made = 0;
    int status = 1;
    if (argc != 5) {
        fprintf(stderr, "usage: speculate TARGET.gguf DRAFT.gguf TEXT COUNT\n");
        return 2;
    }
    vb_sampling_defaults(&sampling);
    sampling.seed = 1;
    vb_spec_defaults(
        &params); /* the rule "coupled": for a seed, the text does not depend on the draft at all */
    params.draft = VB_DRAFT_MODEL;
    /* The draft may propose the ids that both vocabularies have in common. */
    if (open_side(&target, argv[1], &err) || open_side(&draft, argv[2], &err) ||
        vb_vocab_compatible(target.tokenizer, draft.tokenizer, &params.draft_vocab, &err))
        goto cleanup;
    params.draft_context = draft.context;
    params.stop = vb_stop_ids(target.tokenizer, &params.n_stop);

    if (vb_tokenize_prompt(target.tokenizer, argv[3], strlen(argv[3]), true, &ids, &n, &err) ||
        vb_spec_open(&spec, target.context, &sampling, &params, &err) || vb_spec_prompt(spec, ids, n, &err))
        goto cleanup;
    for (bool end = false; !end && made < (size_t)atoi(argv[4]);) {
        vb_step step;
        if (vb_spec_step(spec, (size_t)atoi(argv[4]) - made, &step, &err)) goto cleanup;
        print_step(target.tokenizer, &step);
        made += (size_t)step.n_emitted;
        end = step.emitted[step.n_emitted - 1].stop;
    }
    vb_spec_stats(spec, &stats);
    printf("\n%zu tokens in %llu target calls; %llu drafted, %llu accepted\n", made,
           (unsigned long long)stats.target_calls, (unsigned long long)stats.drafted,
           (unsigned long long)stats.accepted);
    status = 0;

cleanup:
    if (err.code) fprintf(stderr, "speculate: %s\n", err.message);
    vb_free(ids);
    vb_spec_close(spec);
    close_side(&draft);
    close_side(&target);
    return status;
}
