/* render.c - `verbatim render`: a conversation as its template writes it, byte for byte. */
#include "cli/cli.h"

#include <stdlib.h>

static int open_template(const cli_options *o, vb_gguf **g, vb_tokenizer **t, vb_chat **c) {
    vb_error err = {0};
    if (!o->model) return cli_template_open(o->chat_template, NULL, NULL, c);
    const vb_tokenizer_params p = {.pre = o->pre};
    if (vb_gguf_open(g, o->model, &err) || vb_tokenizer_open_with(t, *g, &p, &err)) return cli_report(&err);
    return cli_template_open(o->chat_template, *g, *t, c);
}

static int print_ids(const vb_tokenizer *t, const vb_prompt *p) {
    int32_t *ids = NULL;
    size_t n = 0;
    vb_error err = {0};
    if (vb_chat_tokenize(t, p, 0, &ids, &n, &err)) return cli_report(&err);
    for (size_t i = 0; i < n; i++) cli_outf("%s%d", i > 0 ? " " : "", ids[i]);
    cli_out("\n", 1);
    vb_free(ids);
    return CLI_OK;
}

int cli_render(cli_options *o) {
    vb_gguf *g = NULL;
    vb_tokenizer *t = NULL;
    vb_chat *c = NULL;
    vb_prompt p = {0};
    vb_error err = {0};
    char *request = NULL;
    size_t n = 0;
    int date[6];
    bool dated;
    if (!o->model && !o->chat_template)
        return cli_usage("no template: give a model's with -m MODEL, or one with --template NAME|FILE");
    if (o->ids && !o->model) return cli_usage("--ids: token ids are a model's: give one with -m MODEL");
    int rc = cli_template_date(o, date, &dated);
    if (rc) return rc;
    cli_interrupt_install();
    rc = open_template(o, &g, &t, &c);
    if (!rc) rc = cli_read_file("-", &request, &n);
    if (rc) goto cleanup;
    const vb_chat_request r = {.variables = request,
                               .n_variables = n,
                               .date = dated ? date : NULL,
                               .continue_last = o->continue_final};
    if (vb_chat_render(c, t, &r, &p, &err)) {
        rc = cli_report(&err);
        goto cleanup;
    }
    if (o->content_specials) cli_forget_writers(&p);
    if (o->ids)
        rc = print_ids(t, &p);
    else
        cli_out(p.text, p.len);
    if (!rc) rc = cli_out_finish();
    if (!rc && p.dated)
        fprintf(
            stderr,
            "verbatim: the template asked for the date and got today's; --date YYYY-MM-DD gives another\n");
cleanup:
    vb_prompt_free(&p);
    vb_chat_close(c);
    vb_tokenizer_close(t);
    vb_gguf_close(g);
    free(request);
    return rc;
}
