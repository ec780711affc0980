/* prove_endpoint.c - `verbatim prove --endpoint`: the options' way to prove/endpoint.h. */
#include "cli/cli.h"

#include "prove/endpoint.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 500 /* completions between two lines of progress */

int cli_endpoint_options(cli_options *o) {
    static const char *const here[] = {"--model-name",    "--connections", "--timeout",          "--request",
                                       "--request-alone", "--prompt-as",   "--logprob-tolerance"};
    static const char *const elsewhere[] = {"-md", "--draft", "--accept", "--tree"};
    if (!o->endpoint) {
        for (size_t i = 0; i < sizeof here / sizeof *here; i++)
            if (cli_given(o, here[i])) return cli_usage("%s is about a server: add --endpoint URL", here[i]);
        return CLI_OK;
    }
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (cli_given(o, elsewhere[i]))
            return cli_usage("%s: who drafts for the endpoint, and how, is the server's own business",
                             elsewhere[i]);
    if (!cli_given(o, "--temp")) o->sampling.temperature = 1;
    if (!cli_given(o, "--top-k")) o->sampling.top_k = 0;
    if (!cli_given(o, "--top-p")) o->sampling.top_p = 1;
    if (!cli_given(o, "--min-p")) o->sampling.min_p = 0;
    return CLI_OK;
}

static void fill_facts(const vb_endpoint *e, cli_endpoint_facts *f, vb_prove_report *r) {
    vb_endpoint_counts c;
    vb_endpoint_count(e, &c);
    *f = (cli_endpoint_facts){.requests = c.http.requests,
                              .again = c.http.repeated,
                              .by_text = c.by_text,
                              .stops = c.stops,
                              .unlogged = c.unlogged};
    r->drafted = c.drafted;
    r->accepted = c.accepted;
    snprintf(f->model, sizeof f->model, "%s", vb_endpoint_model(e));
}

int cli_endpoint_prove(const cli_session *s, const int32_t *prompt, size_t n_prompt, const vb_prove_params *p,
                       vb_prove_report *r, cli_endpoint_facts *facts) {
    const cli_options *o = s->o;
    const bool text = !strcmp(o->prompt_as, "text");
    const vb_endpoint_params ep = {.http = {.url = o->endpoint,
                                            .key = getenv("VERBATIM_API_KEY"),
                                            .connections = (int)o->connections,
                                            .timeout_s = o->timeout,
                                            .cancel = cli_interrupt_callback},
                                   .model = o->model_name,
                                   .request = o->request,
                                   .alone = o->request_alone,
                                   .sampling = &s->sampling,
                                   .tokenizer = s->target.tokenizer,
                                   .prompt = prompt,
                                   .n_prompt = n_prompt,
                                   .text = text ? (o->prompt ? o->prompt : "Once upon a time") : NULL,
                                   .stop = s->params.stop,
                                   .n_stop = s->params.n_stop,
                                   .tokens = (int)o->depth,
                                   .more = (int)o->gamma};
    vb_error err = {0};
    vb_endpoint *e = NULL;
    if (vb_endpoint_open(&e, &ep, &err)) return cli_report(&err);
    const vb_prove_batches batches = {.self = e,
                                      .draw = vb_endpoint_draw,
                                      .size = BATCH,
                                      .same_path = o->request_alone != NULL,
                                      .tolerance = o->logprob_tolerance};
    const int rc = vb_prove_in_batches(p, &batches, r, &err);
    fill_facts(e, facts, r);
    vb_endpoint_close(e);
    return rc ? cli_report(&err) : CLI_OK;
}
