/* trace_check.c - `verbatim trace-check`: does everything in a trace follow from what it says itself? */
#include "cli/cli.h"

#include "prove/trace_check.h"

#include <stdlib.h>
#include <string.h>

static json_t *as_json(const vb_trace_report *r) {
    return json_pack("{sb so so sb si si si si s{si si si si si si si si}}",             //
                     "ok", r->ok, "line", r->ok ? json_null() : json_integer(r->line),   //
                     "why", r->ok ? json_null() : cli_json_text(r->why, strlen(r->why)), //
                     "full", r->full, "lines", r->lines, "steps", r->steps,              //
                     "prompts", r->prompts, "tokens", r->tokens, "derived",              //
                     "drafted", r->drafted, "accepted", r->accepted, "draws", r->draws,  //
                     "decisions", r->decisions, "finals", r->finals, "races", r->races, "coins", r->coins,
                     "masks", r->masks);
}

static void print(const vb_trace_report *r) {
    cli_outf("OK: %s\n", r->full
                             ? "every token follows from p, q and the noise of the seed, and every line from "
                               "the one before"
                             : "every decision follows from its p, q and coin, and every line from the one "
                               "before");
    cli_outf("%d lines, %d steps, %d tokens; %d drafted, %d accepted\n", r->lines, r->steps, r->tokens,
             r->drafted, r->accepted);
    cli_outf("derived again: %d draws from q, %d decisions, %d last tokens, %d races, %d coins\n", r->draws,
             r->decisions, r->finals, r->races, r->coins);
    if (r->masked)
        cli_outf(r->masks ? "what the grammar allowed: derived again at %d places\n"
                          : "not derived: what the grammar allowed; give the grammar and -m MODEL for this\n",
                 r->masks);
    if (!r->full)
        cli_outf("not derived: what needs the whole laws p and q (races, draws, last tokens); record with "
                 "--trace-full for these\n");
}

/* The grammar that the generation had, on the model's vocabulary. */
static int open_grammar(cli_shape *g, cli_model *m, const cli_options *o) {
    int rc = cli_shape_check(o);
    if (rc || !cli_shape_given(o)) return rc;
    if (!o->model) return cli_usage("a grammar needs the model whose vocabulary it was for: -m FILE");
    rc = cli_model_open(m, o, o->model, true);
    return rc ? rc : cli_shape_open(g, o, m->tokenizer, vb_model_describe(m->model)->n_vocab, NULL);
}

int cli_trace_check(cli_options *o) {
    char *text = NULL;
    size_t len = 0;
    vb_trace_report r;
    cli_shape shape = {0};
    cli_model model = {0};
    if (o->n_words != 1)
        return cli_usage("one trace is checked: verbatim trace-check FILE (- is standard input)");
    int rc = open_grammar(&shape, &model, o);
    if (!rc) rc = cli_read_file(o->words[0], &text, &len);
    const bool ok = !rc && vb_trace_check(text, len, shape.guide ? &shape.mask : NULL, &r);
    free(text);
    cli_shape_close(&shape);
    cli_model_close(&model);
    if (rc) return rc;
    if (o->json)
        rc = cli_out_json(as_json(&r));
    else if (ok)
        print(&r), rc = cli_out_finish();
    if (!ok) return cli_error("%s: line %d: %s", o->words[0], r.line, r.why);
    return rc;
}
