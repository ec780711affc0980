/* check.c - `verbatim check`: the golden vectors against this build. */
#include "cli.h"

#include "conformance.h"

static void say(void *user, bool ok, const char *line) {
    (void)user;
    cli_outf("%s - %s\n", ok ? "ok" : "not ok", line);
    cli_out_flush();
}

int cli_check(cli_options *o) {
    cf_check_result r;
    vb_error err = {0};
    const cf_check_params p = {.dir = o->n_words ? o->words[0] : "vectors",
                               .quick = o->quick,
                               .say = say,
                               .cancel = cli_interrupt_callback};
    cli_interrupt_install();
    const double start = cli_now();
    if (cf_check(&p, &r, &err)) return cli_report(&err);
    cli_outf("%d files, %.1f MB; made again %d times, %.1f MB; %d failed; %.1f s\n", r.files,
             (double)r.bytes / 1e6, r.configurations, (double)r.remade / 1e6, r.failed, cli_now() - start);
    const int rc = cli_out_finish();
    return r.failed ? CLI_FAIL : rc;
}
