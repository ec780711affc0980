/* compare.c - `verbatim compare`: two recordings of one model. */
#include "cli/cli.h"

#include "base/buf.h"
#include "conformance/recording.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
        "{s:b, s:s, s:{s:f, s:f, s:f, s:f}, s:o, s:o, s:I, s:I, s:I, s:o, s:I, s:o, s:o, s:I, s:I, s:I, s:I, "
        "s:I, s:I, s:I, s:o}",
        "pass", c->pass, "tolerance", o->tolerance, "bounds", "row", b->row, "kl", b->kl, "near_tie",
        b->near_tie, "logprob", b->logprob, "first", json_divergence(&c->first), "first_bits",
        json_divergence(&c->first_bits), "arrays", (json_int_t)c->rows, "arrays_beyond",
        (json_int_t)c->rows_beyond, "arrays_only_ours", (json_int_t)c->rows_missing, "worst_array",
        cli_json_real(c->worst_row), "positions", (json_int_t)c->positions, "mean_kl",
        cli_json_real(c->mean_kl), "max_kl", cli_json_real(c->max_kl), "top1", (json_int_t)c->top1, "top5",
        (json_int_t)c->top5, "tokens", (json_int_t)c->steps, "tokens_not_compared",
        (json_int_t)c->steps_missing, "near_ties", (json_int_t)c->near_ties, "logprobs",
        (json_int_t)c->logprobs, "logprobs_not_compared", (json_int_t)c->logprobs_missing, "worst_logprob",
        cli_json_real(c->worst_logprob)));
}

/* In words, for people. */
static void describe(const cf_divergence *d, char *out, size_t size) {
    char layer[32] = "";
    if (d->layer >= 0) snprintf(layer, sizeof layer, "layer %d, ", d->layer);
    if (!d->found)
        snprintf(out, size, "none");
    else if (d->element >= 0)
        snprintf(out, size,
                 "level %d, prompt %d, position %d, %s%s, element %d: %.9g, theirs %.9g, %lld ulp (lines %zu "
                 "and %zu)",
                 d->level, d->prompt, d->position, layer, d->what, d->element, d->ours, d->theirs,
                 (long long)d->ulp, d->line_ours, d->line_theirs);
    else
        snprintf(out, size, "level %d, prompt %d, position %d, %s%s: %.0f, theirs %.0f%s (lines %zu and %zu)",
                 d->level, d->prompt, d->position, layer, d->what, d->ours, d->theirs,
                 d->near_tie ? " (a near tie)" : "", d->line_ours, d->line_theirs);
}

static void print_divergence(const char *what, const cf_divergence *d) {
    char text[512];
    describe(d, text, sizeof text);
    cli_outf("%s: %s\n", what, text);
}

/* What was compared and what was not, in words. */
typedef struct words {
    char arrays[160], tokens[96], logprobs[96];
} words;

static words words_of(const cf_comparison *c) {
    words w;
    snprintf(w.arrays, sizeof w.arrays,
             "%zu compared, %zu beyond the tolerance, %zu not compared; worst difference %.3g of the largest "
             "value",
             c->rows, c->rows_beyond, c->rows_missing, c->worst_row);
    if (!c->rows) snprintf(w.arrays, sizeof w.arrays, "NONE compared of %zu", c->rows_missing);
    snprintf(w.tokens, sizeof w.tokens, "%zu compared, %zu differences at near ties, %zu not compared",
             c->steps, c->near_ties, c->steps_missing);
    if (!c->steps) snprintf(w.tokens, sizeof w.tokens, "NONE compared of %zu", c->steps_missing);
    snprintf(w.logprobs, sizeof w.logprobs, "%zu compared, worst difference %.3g nats, %zu not compared",
             c->logprobs, c->worst_logprob, c->logprobs_missing);
    if (!c->logprobs) snprintf(w.logprobs, sizeof w.logprobs, "NONE compared of %zu", c->logprobs_missing);
    return w;
}

/* Of levels 1 to 3 there are arrays alone. */
static void print_text(const cli_options *o, const cf_comparison *c) {
    const words w = words_of(c);
    print_divergence("first difference", &c->first_bits);
    if (o->tolerance[0] != 'b') print_divergence("first beyond the tolerance", &c->first);
    cli_outf("arrays: %s\n", w.arrays);
    if (c->positions)
        cli_outf(
            "logits: %zu positions, mean KL %.3g, max KL %.3g, same best token %zu, same best five %zu\n",
            c->positions, c->mean_kl, c->max_kl, c->top1, c->top5);
    if (c->steps || c->steps_missing) cli_outf("tokens: %s\n", w.tokens);
    if (c->logprobs || c->logprobs_missing) cli_outf("log-probabilities: %s\n", w.logprobs);
    cli_outf("%s under --tolerance %s\n", c->pass ? "pass" : "FAIL", o->tolerance);
}

/* ------------------------------------------------------------------------------------------------ reports */

/* What the reports show: per layer and operation the worst array, per position the KL, per output its
 * verdict. */
typedef struct place {
    int layer;
    char op[16];
    size_t arrays, beyond, missing; /* compared; of these beyond the tolerance; not compared */
    double worst;
    int position, prompt; /* of the worst array */
} place;

typedef struct gathered {
    place *places;
    size_t n, room;
    json_t *cases, *kl;
    bool failed;
} gathered;

static place *place_of(gathered *g, const cf_row *row) {
    for (size_t i = 0; i < g->n; i++)
        if (g->places[i].layer == row->layer && !strcmp(g->places[i].op, row->op)) return &g->places[i];
    if (vb_grow((void **)&g->places, &g->room, g->n + 1, sizeof *g->places, "places", NULL)) return NULL;
    place *p = &g->places[g->n++];
    *p = (place){.layer = row->layer, .worst = -1};
    snprintf(p->op, sizeof p->op, "%s", row->op);
    return p;
}

static void see_array(void *user, const cf_row *ours, const cf_row *theirs, double relative, double kl,
                      bool good) {
    gathered *g = user;
    place *p = place_of(g, ours);
    if (!p) {
        g->failed = true;
        return;
    }
    if (!theirs) {
        p->missing++;
        return;
    }
    p->arrays++;
    p->beyond += !good;
    if (relative > p->worst) {
        p->worst = relative;
        p->position = ours->position;
        p->prompt = ours->prompt;
    }
    if (kl >= 0) {
        char name[64];
        snprintf(name, sizeof name, "prompt %d, position %d", ours->prompt, ours->position);
        json_array_append_new(g->kl, json_pack("[s, o]", name, cli_json_real(kl)));
    }
}

static void see_tokens(void *user, const cf_tokens *ours, size_t tokens, size_t logprobs,
                       const cf_divergence *d) {
    gathered *g = user;
    char name[96], text[512];
    if (ours->prompt_itself)
        snprintf(name, sizeof name, "prompt %d: log-probabilities", ours->prompt);
    else if (ours->greedy)
        snprintf(name, sizeof name, "prompt %d: greedy tokens", ours->prompt);
    else
        snprintf(name, sizeof name, "prompt %d: sampled tokens, seed %llu", ours->prompt,
                 (unsigned long long)ours->seed);
    if (d->found)
        describe(d, text, sizeof text);
    else
        snprintf(text, sizeof text, "no difference; %zu tokens and %zu log-probabilities compared", tokens,
                 logprobs);
    json_array_append_new(g->cases,
                          json_pack("{s:s, s:s, s:b, s:b, s:s}", "group", "level 5", "name", name, "ok",
                                    !d->found || d->near_tie, "skipped", !tokens && !logprobs, "text", text));
}

static int by_layer(const void *a, const void *b) {
    const place *x = a, *y = b;
    return (x->layer > y->layer) - (x->layer < y->layer);
}

/* The table of layers and operations, and a case for each. */
static json_t *heat_of(gathered *g, const cf_bounds *bounds) {
    json_t *columns = json_array(), *rows = json_array();
    const char *op[32];
    size_t n_ops = 0;
    for (size_t i = 0; i < g->n; i++) {
        size_t k = 0;
        while (k < n_ops && strcmp(op[k], g->places[i].op) != 0) k++;
        if (k == n_ops && n_ops < 32) {
            op[n_ops++] = g->places[i].op;
            json_array_append_new(columns, json_string(g->places[i].op));
        }
    }
    json_t *row = NULL;
    for (size_t i = 0; i < g->n; i++) {
        const place *p = &g->places[i];
        char name[32], text[160];
        if (p->layer < 0)
            snprintf(name, sizeof name, "outside");
        else
            snprintf(name, sizeof name, "layer %d", p->layer);
        if (!i || p->layer != g->places[i - 1].layer) {
            row = json_array();
            json_array_append_new(row, json_string(name));
            for (size_t k = 0; k < n_ops; k++) json_array_append_new(row, json_null());
            json_array_append_new(rows, row);
        }
        for (size_t k = 0; k < n_ops; k++)
            if (!strcmp(op[k], p->op) && p->arrays) json_array_set_new(row, k + 1, cli_json_real(p->worst));
        if (p->arrays)
            snprintf(text, sizeof text,
                     "%zu arrays, %zu beyond; worst %.3g of the largest value, prompt %d, position %d; %zu "
                     "not compared",
                     p->arrays, p->beyond, p->worst, p->prompt, p->position, p->missing);
        else
            snprintf(text, sizeof text, "none of %zu arrays is known in THEIRS", p->missing);
        char full[64];
        snprintf(full, sizeof full, "%s, %s", name, p->op);
        json_array_append_new(g->cases,
                              json_pack("{s:s, s:s, s:b, s:b, s:s}", "group",
                                        strcmp(p->op, "logits") != 0 ? "level 4" : "level 5", "name", full,
                                        "ok", p->beyond == 0, "skipped", p->arrays == 0, "text", text));
    }
    return json_pack("{s:s, s:f, s:o, s:o}", "title", "Worst difference, over the array's largest value",
                     "bound", bounds->row, "columns", columns, "rows", rows);
}

static json_t *report_of(const cli_options *o, gathered *g, const cf_comparison *c, const cf_bounds *b) {
    char first[512], bits[512], kl[96];
    const words w = words_of(c);
    if (g->n) qsort(g->places, g->n, sizeof *g->places, by_layer);
    json_t *heat = heat_of(g, b);
    describe(&c->first, first, sizeof first);
    describe(&c->first_bits, bits, sizeof bits);
    snprintf(kl, sizeof kl, "mean %.3g, largest %.3g; the same best token at %zu of %zu positions",
             c->mean_kl, c->max_kl, c->top1, c->positions);
    json_t *facts = json_pack("[[s,o], [s,o], [s,s], [s,s], [s,s], [s,s], [s,s], [s,s], [s,s]]", "ours",
                              cli_json_text(o->words[0], strlen(o->words[0])), "theirs",
                              cli_json_text(o->words[1], strlen(o->words[1])), "tolerance", o->tolerance,
                              "first difference", bits, "first beyond the tolerance", first,
                              "KL(ours || theirs)", c->positions ? kl : "no logits in full", "arrays",
                              w.arrays, "tokens", w.tokens, "log-probabilities", w.logprobs);
    return json_pack("{s:s, s:b, s:s, s:o, s:o, s:o, s:{s:s, s:f, s:o}}", "title", "verbatim compare", "pass",
                     c->pass, "verdict", c->pass ? "Within the tolerance." : "Beyond the tolerance.", "facts",
                     facts, "cases", json_incref(g->cases), "heat", heat, "bars", "title",
                     "KL at each position, nats", "bound", b->kl, "values", json_incref(g->kl));
}

int cli_compare(cli_options *o) {
    cf_tolerance tolerance;
    cf_bounds bounds;
    cf_comparison c = {0};
    gathered g = {.cases = json_array(), .kl = json_array()};
    const cf_watch watch = {&g, see_array, see_tokens};
    vb_error err = {0};
    int rc = CLI_OK;
    if (o->n_words != 2) {
        rc = cli_usage("two recordings are compared: verbatim compare OURS THEIRS");
        goto cleanup;
    }
    if (!cf_tolerance_of(o->tolerance, &tolerance, &bounds)) {
        rc = cli_usage("--tolerance: bitwise, f32, f16 or q8");
        goto cleanup;
    }
    if (cf_compare_files(o->words[0], o->words[1], tolerance, &bounds, &watch, &c, &err)) {
        rc = cli_report(&err);
        goto cleanup;
    }
    if (g.failed) rc = cli_error("out of memory for a report");
    if (!rc && (o->html || o->junit)) rc = cli_write_reports(o, report_of(o, &g, &c, &bounds));
    if (!rc && o->json)
        rc = print_json(o, &c, &bounds);
    else if (!rc)
        print_text(o, &c);
    const int done = cli_out_finish();
    if (!rc) rc = c.pass ? done : CLI_FAIL;
cleanup:
    json_decref(g.cases);
    json_decref(g.kl);
    free(g.places);
    return rc;
}
