/* traces.c - level 5: speculative traces, every draft, weight, coin and decision (docs/trace.md). Always
 * under q16 with a float32 cache, without stop tokens, so that a trace's own lines say how to make it again;
 * the names in a trace are the models' paths below the folder of the vectors. */
#include "conformance/conformance.h"

#include <stdlib.h>
#include <string.h>

typedef struct side {
    char *path;
    vb_gguf *gguf;
    vb_tokenizer *tokenizer;
    vb_model *model;
    vb_context *context;
} side;

static int side_open(side *s, const cf_trace_spec *spec, const char *name, const cf_config *config,
                     vb_error *err) {
    const vb_tokenizer_params tp = {.pre = spec->pre};
    int rc;
    vb_context_params p;
    if (!(s->path = cf_path(spec->dir, name)))
        return vb_fail(err, VB_ERR_MEMORY, "out of memory for a file name");
    if ((rc = vb_gguf_open(&s->gguf, s->path, err)) ||
        (rc = vb_tokenizer_open_with(&s->tokenizer, s->gguf, &tp, err)) ||
        (rc = vb_model_open(&s->model, s->gguf, err)))
        return rc;
    vb_context_defaults(&p);
    p.n_ctx = (int)spec->end;
    p.n_threads = config->threads;
    p.batch = config->batch;
    p.kernels = config->kernels;
    p.activations = VB_ACT_Q16;
    p.k_type = p.v_type = VB_F32;
    return vb_context_open(&s->context, s->model, &p, err);
}

static void side_close(side *s) {
    vb_context_close(s->context);
    vb_model_close(s->model);
    vb_tokenizer_close(s->tokenizer);
    vb_gguf_close(s->gguf);
    free(s->path);
}

static int write_line(void *user, const char *line, size_t len) {
    vb_buf *t = user;
    vb_buf_add(t, line, len);
    return t->failed;
}

static int steps(vb_spec *spec, vb_trace *trace, size_t end, vb_error *err) {
    for (;;) {
        size_t n;
        vb_step step;
        vb_spec_tokens(spec, &n);
        if (n >= end) return VB_OK;
        int rc = vb_spec_step(spec, end - n, &step, err);
        if (!rc) rc = vb_trace_step(trace, &step, err);
        if (rc) return rc;
    }
}

int cf_make_trace(vb_buf *out, const cf_trace_spec *s, const cf_config *config, vb_error *err) {
    side target = {0}, draft = {0};
    vb_spec *spec = NULL;
    vb_trace *trace = NULL;
    vb_spec_params p;
    vb_sampling sampling;
    int rc = side_open(&target, s, s->target, config, err);
    if (!rc && s->draft) rc = side_open(&draft, s, s->draft, config, err);
    if (rc) goto cleanup;
    vb_sampling_defaults(&sampling);
    sampling.temperature = s->temperature;
    sampling.seed = s->seed;
    vb_spec_defaults(&p);
    p.accept = s->accept;
    p.gamma = s->gamma;
    p.draft = s->draft ? VB_DRAFT_MODEL : VB_DRAFT_NGRAM;
    p.draft_context = draft.context;
    if (s->draft) rc = vb_vocab_compatible(target.tokenizer, draft.tokenizer, &p.draft_vocab, err);
    if (!rc) rc = vb_spec_open(&spec, target.context, &sampling, &p, err);
    if (!rc) rc = vb_spec_prompt(spec, s->tokens, s->n, err);
    if (rc) goto cleanup;
    const vb_trace_params tp = {.write = write_line,
                                .user = out,
                                .tokenizer = target.tokenizer,
                                .target = s->target,
                                .draft = s->draft,
                                .full = true};
    if ((rc = vb_trace_open(&trace, spec, &tp, err))) goto cleanup;
    rc = steps(spec, trace, s->end, err);
    const int closed = vb_trace_close(trace, rc ? NULL : err);
    if (!rc) rc = closed ? closed : vb_buf_done(out, "a vector file", err);
cleanup:
    vb_spec_close(spec);
    side_close(&draft);
    side_close(&target);
    return rc;
}
