/* tokenize.c - `verbatim tokenize`: standard input, byte for byte, to ids. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

static void print_ids(const int32_t *ids, size_t n) {
    for (size_t i = 0; i < n; i++) cli_outf(i ? " %d" : "%d", ids[i]);
    cli_out("\n", 1);
}

static void print_pieces(const vb_tokenizer *t, const int32_t *ids, size_t n) {
    char quote[1024];
    for (size_t i = 0; i < n; i++) {
        cli_token_quote(t, ids[i], quote, sizeof quote);
        cli_outf("%d\t%s\n", ids[i], quote);
    }
}

int cli_tokenize(cli_options *o) {
    cli_model m = {0};
    char *text = NULL;
    int32_t *ids = NULL;
    size_t len, n;
    vb_error err = {0};
    if (!o->model) return cli_usage("no model: give one with -m FILE");
    if (o->ids && o->pieces) return cli_usage("--ids and --pieces exclude each other");
    cli_interrupt_install();
    int rc = cli_model_open(&m, o, o->model, false);
    if (!rc) rc = cli_read_file("-", &text, &len);
    if (rc) goto cleanup;
    unsigned flags =
        (o->no_special ? 0u : VB_TOKENIZE_PARSE_SPECIAL) | (o->add_bos ? VB_TOKENIZE_ADD_BOS : 0u);
    if (vb_tokenize(m.tokenizer, text, len, flags, &ids, &n, &err)) {
        rc = cli_report(&err);
        goto cleanup;
    }
    if (o->pieces)
        print_pieces(m.tokenizer, ids, n);
    else
        print_ids(ids, n);
    rc = cli_out_finish();
cleanup:
    vb_free(ids);
    free(text);
    cli_model_close(&m);
    return rc;
}
