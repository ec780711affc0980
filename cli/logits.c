/* logits.c - `verbatim logits`: the raw logits after every token of a given sequence,
 * for comparing engines. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int cli_parse_tokens(const char *spec, int32_t **ids, size_t *n) {
    char *file = NULL;
    size_t len = strlen(spec), count = 0;
    int rc = CLI_FAIL;
    if (spec[0] == '@' && cli_read_file(spec + 1, &file, &len)) return CLI_FAIL;
    const char *at = file ? file : spec;
    const char *end = at + len;
    int32_t *out = malloc((len / 2 + 1) * sizeof *out); /* an id and its separator take two bytes or more */
    if (!out) {
        cli_error("out of memory for the token ids");
        goto cleanup;
    }
    for (;;) {
        at += strspn(at, " \t\r\n");
        if (at >= end) break;
        char *after;
        errno = 0;
        long id = strtol(at, &after, 10);
        if (after == at || errno || id < 0 || id > INT32_MAX) {
            char shown[64];
            cli_escape(at, strlen(at), shown, sizeof shown);
            rc = cli_usage("--tokens: expected a token id at \"%s\" (number %zu)", shown, count + 1);
            goto cleanup;
        }
        out[count++] = (int32_t)id;
        at = after + strspn(after, " \t\r\n");
        if (*at == ',')
            at++;
        else if (at == after && at < end) {
            rc = cli_usage("--tokens: ids are separated by commas or spaces (after number %zu)", count);
            goto cleanup;
        }
    }
    if (!count) {
        rc = cli_usage("--tokens: no token ids");
        goto cleanup;
    }
    *ids = out;
    *n = count;
    out = NULL;
    rc = CLI_OK;
cleanup:
    free(out);
    free(file);
    return rc;
}

/* Writes floats as little-endian IEEE binary32, whatever the machine. */
static int write_row(cli_file *out, const float *row, int n) {
    unsigned char bytes[4096];
    int rc = CLI_OK;
    for (int i = 0; i < n && !rc; i += 1024) {
        int m = n - i < 1024 ? n - i : 1024;
        for (int j = 0; j < m; j++) {
            uint32_t u;
            memcpy(&u, &row[i + j], 4);
            for (int b = 0; b < 4; b++) bytes[4 * j + b] = (unsigned char)(u >> (8 * b));
        }
        rc = cli_file_write(out, bytes, 4 * (size_t)m);
    }
    return rc;
}

static int engine_logits(const cli_options *o, const vb_model *model, const int32_t *ids, size_t n,
                         cli_file *out) {
    vb_context *c = NULL;
    vb_offload *offload = NULL;
    uint8_t *want = NULL;
    vb_error err = {0};
    vb_context_params p;
    int rc = CLI_OK;
    cli_context_params(o, &p);
    const int most = vb_model_describe(model)->n_ctx;
    if (n > (size_t)most)
        return cli_error("%zu tokens do not fit: this model was trained for %d positions", n, most);
    if (o->ctx && (uint64_t)o->ctx < n)
        return cli_error("%zu tokens do not fit a context of %d positions: leave -c out or raise it", n,
                         p.n_ctx);
    p.n_ctx = o->ctx ? (int)o->ctx : (int)n;
    int n_vocab = vb_model_describe(model)->n_vocab;
    size_t batch = p.batch ? (size_t)p.batch : 64;
    if (o->offload && vb_offload_open(&offload, o->offload, &err)) return cli_report(&err);
    cli_offload_params(o, offload, &p);
    if (vb_context_open(&c, model, &p, &err)) rc = cli_report(&err);
    if (!rc && !(want = malloc(batch))) rc = cli_error("out of memory");
    if (!rc) memset(want, 1, batch);
    for (size_t i = 0; i < n && !rc; i += batch) {
        size_t m = n - i < batch ? n - i : batch;
        if (vb_eval(c, ids + i, m, want, &err)) rc = cli_report(&err);
        for (size_t j = 0; j < m && !rc; j++) rc = write_row(out, vb_logits(c, j), n_vocab);
    }
    if (!rc) cli_print_offload(offload, c, false);
    free(want);
    vb_context_close(c);
    vb_offload_close(offload);
    return rc;
}

static int oracle_logits(const cli_options *o, const vb_model *model, const int32_t *ids, size_t n,
                         cli_file *out) {
    vb_error err = {0};
    int n_vocab = vb_model_describe(model)->n_vocab, rc = CLI_FAIL;
    size_t size;
    double *logits = NULL;
    float *row = NULL;
    if (cli_given(o, "--activations") || cli_given(o, "--kv") || cli_given(o, "--kernels") ||
        cli_given(o, "--batch") || o->offload)
        fprintf(stderr, "verbatim: note: the oracle is float64 throughout: --activations, --kv, --kernels, "
                        "--batch and --offload play no part\n");
    if (__builtin_mul_overflow(n * sizeof *logits, (size_t)n_vocab, &size) || !(logits = malloc(size)) ||
        !(row = malloc((size_t)n_vocab * sizeof *row))) {
        cli_error("out of memory for %zu x %d float64 logits: fewer --tokens", n, n_vocab);
        goto cleanup;
    }
    if (vb_oracle(model, ids, n, logits, &err)) {
        cli_report(&err);
        goto cleanup;
    }
    rc = CLI_OK;
    for (size_t i = 0; i < n && !rc; i++) {
        for (int j = 0; j < n_vocab; j++) row[j] = (float)logits[i * (size_t)n_vocab + (size_t)j];
        rc = write_row(out, row, n_vocab);
    }
cleanup:
    free(row);
    free(logits);
    return rc;
}

int cli_logits(cli_options *o) {
    cli_model m = {0};
    cli_file out = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    vb_model_params mp;
    if (!o->model) return cli_usage("no model: give one with -m FILE");
    if (!o->tokens) return cli_usage("no tokens: give --tokens 1,2,3 or --tokens @FILE");
    if (!o->out) return cli_usage("no output: give --out FILE");
    int rc = cli_check_offload(o);
    if (!rc) rc = cli_check_pre(o); /* and it changes nothing, see below */
    if (!rc) rc = cli_rope_params(o, false, &mp);
    if (!rc) rc = cli_parse_tokens(o->tokens, &ids, &n);
    if (rc) return rc;
    cli_interrupt_install();
    vb_error err = {0};
    cli_interrupt_loading(o->model);
    /* No tokenizer: ids are given, and a model whose tokenizer is unknown can still be compared. */
    if (vb_gguf_open(&m.gguf, o->model, &err) || vb_model_open_with(&m.model, m.gguf, &mp, &err))
        rc = cli_report(&err);
    if (!rc) rc = cli_check_context(o, m.model);
    if (!rc && !o->oracle) rc = cli_repack(o, m.model);
    rc = cli_interrupt_loaded(rc);
    if (!rc) rc = cli_file_open(&out, o->out);
    if (!rc) {
        rc = (o->oracle ? oracle_logits : engine_logits)(o, m.model, ids, n, &out);
        int closed = cli_file_close(&out, rc == CLI_OK);
        if (!rc) rc = closed;
    }
    cli_model_close(&m);
    free(ids);
    return rc;
}
