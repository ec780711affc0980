/* trace_check.c - `verbatim trace-check`: does everything in a trace follow from what it says itself? */
#include "cli/cli.h"

#include "prove/trace_check.h"

#include <stdlib.h>
#include <string.h>

static json_t *as_json(const vb_trace_report *r) {
    return json_pack("{sb so so sb si si si si s{si si si si si si si}}",                //
                     "ok", r->ok, "line", r->ok ? json_null() : json_integer(r->line),   //
                     "why", r->ok ? json_null() : cli_json_text(r->why, strlen(r->why)), //
                     "full", r->full, "lines", r->lines, "steps", r->steps,              //
                     "prompts", r->prompts, "tokens", r->tokens, "derived",              //
                     "drafted", r->drafted, "accepted", r->accepted, "draws", r->draws,  //
                     "decisions", r->decisions, "finals", r->finals, "races", r->races, "coins", r->coins);
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
    if (!r->full)
        cli_outf("not derived: what needs the whole laws p and q (races, draws, last tokens); record with "
                 "--trace-full for these\n");
}

int cli_trace_check(cli_options *o) {
    char *text = NULL;
    size_t len = 0;
    vb_trace_report r;
    if (o->n_words != 1)
        return cli_usage("one trace is checked: verbatim trace-check FILE (- is standard input)");
    int rc = cli_read_file(o->words[0], &text, &len);
    if (rc) return rc;
    const bool ok = vb_trace_check(text, len, NULL, &r);
    free(text);
    if (o->json)
        rc = cli_out_json(as_json(&r));
    else if (ok)
        print(&r), rc = cli_out_finish();
    if (!ok) return cli_error("%s: line %d: %s", o->words[0], r.line, r.why);
    return rc;
}
