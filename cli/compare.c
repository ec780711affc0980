/* compare.c - `verbatim compare`: two recordings of one model. */
#include "cli.h"

#include "recording.h"

static json_t *json_divergence(const cf_divergence *d) {
    if (!d->found) return json_null();
    return json_pack("{s:i, s:i, s:i, s:i, s:s, s:i, s:o, s:o, s:I, s:b, s:I, s:I}", "level", d->level,
                     "prompt", d->prompt, "position", d->position, "layer", d->layer, "what", d->what,
                     "element", d->element, "ours", cli_json_real(d->ours), "theirs",
                     cli_json_real(d->theirs), "ulp", (json_int_t)d->ulp, "near_tie", d->near_tie,
                     "line_ours", (json_int_t)d->line_ours, "line_theirs", (json_int_t)d->line_theirs);
}

static int print_json(const cli_options *o, const cf_comparison *c, const cf_bounds *b) {
    return cli_out_json(json_pack(
        "{s:b, s:s, s:{s:f, s:f, s:f}, s:o, s:o, s:I, s:I, s:I, s:o, s:I, s:o, s:o, s:I, s:I, s:I, s:I}",
        "pass", c->pass, "tolerance", o->tolerance, "bounds", "row", b->row, "kl", b->kl, "near_tie",
        b->near_tie, "first", json_divergence(&c->first), "first_bits", json_divergence(&c->first_bits),
        "arrays", (json_int_t)c->rows, "arrays_beyond", (json_int_t)c->rows_beyond, "arrays_only_ours",
        (json_int_t)c->rows_missing, "worst_array", cli_json_real(c->worst_row), "positions",
        (json_int_t)c->positions, "mean_kl", cli_json_real(c->mean_kl), "max_kl", cli_json_real(c->max_kl),
        "top1", (json_int_t)c->top1, "top5", (json_int_t)c->top5, "tokens", (json_int_t)c->steps, "near_ties",
        (json_int_t)c->near_ties));
}

static void print_divergence(const char *what, const cf_divergence *d) {
    cli_outf("%s: ", what);
    if (!d->found) {
        cli_outf("none\n");
        return;
    }
    cli_outf("level %d, prompt %d, position %d, ", d->level, d->prompt, d->position);
    if (d->layer >= 0) cli_outf("layer %d, ", d->layer);
    if (d->element >= 0)
        cli_outf("%s, element %d: %.9g, theirs %.9g, %lld ulp", d->what, d->element, d->ours, d->theirs,
                 (long long)d->ulp);
    else
        cli_outf("%s: %.0f, theirs %.0f%s", d->what, d->ours, d->theirs, d->near_tie ? " (a near tie)" : "");
    cli_outf(" (lines %zu and %zu)\n", d->line_ours, d->line_theirs);
}

static void print_text(const cli_options *o, const cf_comparison *c) {
    print_divergence("first difference", &c->first_bits);
    if (o->tolerance[0] != 'b') print_divergence("first beyond the tolerance", &c->first);
    cli_outf("arrays: %zu compared, %zu beyond the tolerance, %zu only in OURS; worst difference %.3g of the "
             "largest value\n",
             c->rows, c->rows_beyond, c->rows_missing, c->worst_row);
    if (c->positions)
        cli_outf(
            "logits: %zu positions, mean KL %.3g, max KL %.3g, same best token %zu, same best five %zu\n",
            c->positions, c->mean_kl, c->max_kl, c->top1, c->top5);
    if (c->steps) cli_outf("tokens: %zu compared, %zu differences at near ties\n", c->steps, c->near_ties);
    cli_outf("%s under --tolerance %s\n", c->pass ? "pass" : "FAIL", o->tolerance);
}

int cli_compare(cli_options *o) {
    cf_recording ours = {0}, theirs = {0};
    cf_tolerance tolerance;
    cf_bounds bounds;
    cf_comparison c = {0};
    vb_error err = {0};
    int rc = CLI_OK;
    if (o->n_words != 2) return cli_usage("two recordings are compared: verbatim compare OURS THEIRS");
    if (!cf_tolerance_of(o->tolerance, &tolerance, &bounds))
        return cli_usage("--tolerance: bitwise, f16 or q8");
    if (cf_recording_open(&ours, o->words[0], &err) || cf_recording_open(&theirs, o->words[1], &err) ||
        cf_compare(&ours, &theirs, tolerance, &bounds, &c, &err)) {
        rc = cli_report(&err);
        goto cleanup;
    }
    if (o->json)
        rc = print_json(o, &c, &bounds);
    else
        print_text(o, &c);
    const int done = cli_out_finish();
    if (!rc) rc = c.pass ? done : CLI_FAIL;
cleanup:
    cf_recording_close(&ours);
    cf_recording_close(&theirs);
    return rc;
}
