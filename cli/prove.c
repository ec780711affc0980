/* prove.c - `verbatim prove`: is what comes out the target's own law? The method is prove/prove.h's. */
#include "cli/cli.h"

#include "prove/part.h"
#include "prove/prove.h"
#include "prove/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct prove_state {
    cli_session session;
    const vb_wrong *wrong;
    int32_t *prompt; /* vb_free */
    size_t n_prompt;
    cli_samples samples; /* --samples FILE */
    vb_prove_pair pair;
    vb_prove_report report;
    size_t merged;               /* --merge: so many parts */
    cli_endpoint_facts endpoint; /* --endpoint */
    double seconds;
} prove_state;

static int check_rule(prove_state *s, const cli_options *o) {
    static const char *const right[] = {"coupled", "greedy", "rejection", "block"};
    for (size_t i = 0; i < 4; i++)
        if (!strcmp(o->accept, right[i])) return CLI_OK;
    s->wrong = vb_wrong_find(o->accept);
    if (!s->wrong)
        return cli_usage(
            "--accept %s: expected coupled, greedy, rejection, block, or one of the wrong rules that "
            "`verbatim prove --help` lists",
            o->accept);
    if (!o->draft_model && (!o->draft || strcmp(o->draft, "self")))
        return cli_usage(
            "--accept %s is wrong in how it drafts or judges drafts of a model: give -md DRAFT or "
            "--draft self",
            o->accept);
    if (o->tree) return cli_usage("--accept %s is wrong about chains: leave --tree out", o->accept);
    return CLI_OK;
}

static int read_prompt(prove_state *s, const cli_options *o) {
    vb_error err = {0};
    const vb_tokenizer *t = s->session.target.tokenizer;
    const char *text = o->prompt ? o->prompt : "Once upon a time";
    if (vb_tokenize_prompt(t, text, strlen(text), true, &s->prompt, &s->n_prompt, &err))
        return cli_report(&err);
    if (!s->n_prompt)
        return cli_error("the prompt is empty and %s adds no BOS token: give some text", o->model);
    return CLI_OK;
}

/* -------------------------------------------------------------------------------------------- output */

/* A text in quotes, and whether it ends there. */
static void text_quote(const vb_prove_worst *w, char *out, size_t size) {
    char bytes[VB_JOINT_DEPTH], escaped[4 * VB_JOINT_DEPTH + 8];
    size_t n = 0;
    for (int i = 0; i < w->n && w->token[i] != VB_JOINT_END; i++) bytes[n++] = (char)w->token[i];
    cli_escape(bytes, n, escaped, sizeof escaped);
    snprintf(out, size, "\"%s\"%s", escaped, n < (size_t)w->n ? " end" : "");
}

static void token_list(const prove_state *s, const vb_prove_worst *w, char *out, size_t size) {
    size_t used = 0;
    out[0] = 0;
    if (s->samples.texts) {
        text_quote(w, out, size);
        return;
    }
    for (int i = 0; i < w->n && used + 64 < size; i++) {
        char quoted[40];
        if (s->session.target.tokenizer)
            cli_token_quote(s->session.target.tokenizer, w->token[i], quoted, sizeof quoted);
        else /* parts are added up without the model */
            snprintf(quoted, sizeof quoted, "%d", (int)w->token[i]);
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? " " : "", quoted);
    }
}

static void print_stage(const prove_state *s, const vb_prove_stage *stage) {
    const bool texts = s->samples.texts;
    double loose = 0;
    cli_outf("\n%llu completions, compared with the exact law of their first %s:\n",
             (unsigned long long)stage->samples, texts ? "bytes" : "tokens");
    cli_outf("  %6s  cells  chi-square   p-value    TV seen  TV of the sampler (99.9 %%)  found from TV\n",
             texts ? "bytes" : "tokens");
    for (int k = 0; k < s->report.tokens; k++) {
        const vb_prove_depth *d = &stage->depth[k];
        cli_outf("  %6d %6d %11.1f  %8.2g   %8.4f         %.4f to %.4f         %.4f\n", k + 1, d->cells,
                 d->chi2, d->p, d->tv, d->tv_low, d->tv_high, d->found_tv);
        loose = fmax(loose, d->loose);
    }
    if (loose > 0)
        cli_outf(
            "  unlikely ways to cut a text into tokens, %.2g of the probability, were not followed and count "
            "for\n  whatever is seen\n",
            loose);
    if (stage->impossible)
        cli_outf("  %llu completions hold a %s to which the target gives the probability 0\n",
                 (unsigned long long)stage->impossible, texts ? "text" : "token");
    cli_outf("  p-value of all together: %.2g\n", stage->p);
}

static void print_endpoint_facts(const prove_state *s) {
    const cli_endpoint_facts *f = &s->endpoint;
    if (f->by_text)
        cli_outf("%llu tokens were told by a text that a byte's id has too, and taken for the other one: "
                 "token_ids of the "
                 "endpoint would leave no doubt\n",
                 (unsigned long long)f->by_text);
    if (f->stops)
        cli_outf("%llu completions ended with a stop token that was not named: taken for the EOS token%s\n",
                 (unsigned long long)f->stops,
                 s->session.params.n_stop > 1 ? ", though the target has others" : "");
    if (f->unlogged)
        cli_outf("%llu tokens came without a log-probability\n", (unsigned long long)f->unlogged);
}

static void print_checks(const prove_state *s) {
    const vb_prove_report *r = &s->report;
    const double tolerance = s->session.o->logprob_tolerance;
    const bool exact = !s->session.o->endpoint || tolerance <= 0;
    if (r->repeated)
        cli_outf("same seed, same completion: %llu of %llu differ\n", (unsigned long long)r->repeat_differs,
                 (unsigned long long)r->repeated);
    if (r->paths)
        cli_outf("same seed, the target alone (P2): %llu of %llu differ\n",
                 (unsigned long long)r->path_differs, (unsigned long long)r->paths);
    if (r->logprobs && exact)
        cli_outf("log-probabilities, bit for bit those of the target alone (P5): %llu of %llu differ\n",
                 (unsigned long long)r->logprob_differs, (unsigned long long)r->logprobs);
    else if (r->logprobs)
        cli_outf("log-probabilities against those of the target alone (P5): %llu of %llu differ by more than "
                 "%g nats, at most %.3g\n",
                 (unsigned long long)r->logprob_differs, (unsigned long long)r->logprobs, tolerance,
                 r->logprob_worst);
    if (r->drafted)
        cli_outf("drafted %llu tokens, accepted %llu\n", (unsigned long long)r->drafted,
                 (unsigned long long)r->accepted);
}

/* What the numbers say, in one line, and what it would take to see more. */
static void print_verdict(const prove_state *s) {
    const vb_prove_report *r = &s->report;
    const vb_prove_stage *stage = &r->stage[r->n_stages - 1];
    const vb_prove_depth *last = &stage->depth[r->tokens - 1];
    double low = 0;
    for (int k = 0; k < r->tokens; k++) low = fmax(low, stage->depth[k].tv_low);
    cli_outf("\n");
    if (stage->p < VB_PROVE_FAIL) {
        cli_outf(
            "FAIL: this is not the target's law (p = %.2g, total variation at least %.3f). Most wrong:\n",
            stage->p, low);
        for (int i = 0; i < r->n_worst; i++) {
            char text[300];
            token_list(s, &r->worst[i], text, sizeof text);
            cli_outf("  %-32s law %.4f, seen %.4f\n", text, r->worst[i].expected, r->worst[i].seen);
        }
        return;
    }
    if (!r->ok) {
        cli_outf("FAIL: a check above shows differences where there must be none\n");
        return;
    }
    if (r->undecided)
        cli_outf("UNDECIDED: p = %.2g is unlikely by chance, and no proof: bring %llu samples\n", stage->p,
                 (unsigned long long)(VB_PROVE_MORE * stage->samples));
    else
        cli_outf("PASS: nothing speaks against the target's law\n");
    if (last->cells < 2) return;
    const double half = 0.5 * last->found_tv;
    cli_outf("An error of %.4f or more in total variation between these cells of %d %s would have been found "
             "with\nprobability 0.999; one of %.4f takes %.3g samples.\n",
             last->found_tv, r->tokens, s->samples.texts ? "bytes" : "tokens", half,
             vb_power_samples(last->cells, half, VB_PROVE_AGAIN / r->tokens, VB_PROVE_POWER));
}

static json_t *stage_json(const vb_prove_report *r, const vb_prove_stage *stage, bool texts) {
    json_t *depths = json_array();
    for (int k = 0; k < r->tokens; k++) {
        const vb_prove_depth *d = &stage->depth[k];
        json_array_append_new(
            depths, json_pack("{si si so so so so so so}", texts ? "bytes" : "tokens", k + 1, "cells",
                              d->cells, "chi2", cli_json_real(d->chi2), "p", cli_json_real(d->p), //
                              "tv", cli_json_real(d->tv), "tv_low", cli_json_real(d->tv_low),     //
                              "tv_high", cli_json_real(d->tv_high), "found_tv", cli_json_real(d->found_tv)));
    }
    return json_pack("{sI sI so so}", "samples", (json_int_t)stage->samples, "impossible",
                     (json_int_t)stage->impossible, "p", cli_json_real(stage->p), "depths", depths);
}

static json_t *endpoint_json(const prove_state *s) {
    const cli_endpoint_facts *f = &s->endpoint;
    if (!s->session.o->endpoint) return json_null();
    return json_pack("{ss ss sI sI sI sI sI so}", "url", s->session.o->endpoint, "model", f->model, //
                     "requests", (json_int_t)f->requests, "again", (json_int_t)f->again, "by_text",
                     (json_int_t)f->by_text, "unnamed_stops", (json_int_t)f->stops, "without_logprob",
                     (json_int_t)f->unlogged, "logprob_worst", cli_json_real(s->report.logprob_worst));
}

static json_t *report_json(const prove_state *s) {
    const vb_prove_report *r = &s->report;
    json_t *stages = json_array(), *worst = json_array();
    for (int i = 0; i < r->n_stages; i++)
        json_array_append_new(stages, stage_json(r, &r->stage[i], s->samples.texts));
    for (int i = 0; i < r->n_worst; i++) {
        json_t *ids = json_array();
        for (int k = 0; k < r->worst[i].n; k++)
            json_array_append_new(ids, json_integer(r->worst[i].token[k]));
        json_array_append_new(worst, json_pack("{so so so}", s->samples.texts ? "bytes" : "tokens", ids,
                                               "law", cli_json_real(r->worst[i].expected), "seen",
                                               cli_json_real(r->worst[i].seen)));
    }
    json_t *o = json_object();
    cli_json_pre(o, s->session.target.tokenizer);
    cli_json_rope(o, s->session.target.model, s->session.draft_file.model);
    const char *who = s->session.o->endpoint ? "endpoint" : s->samples.n ? "samples" : s->session.o->accept;
    json_object_update_new(
        o,
        json_pack("{sb sb ss so sb so so sI sI sI sI sI sI sI sI sI so}", "ok", r->ok, "undecided",
                  r->undecided,                                                                           //
                  "accept", who, "endpoint", endpoint_json(s), "wrong_on_purpose", s->wrong != NULL,      //
                  "stages", stages, "worst", worst, "laws", (json_int_t)r->laws,                          //
                  "repeated", (json_int_t)r->repeated, "repeat_differs", (json_int_t)r->repeat_differs,   //
                  "paths", (json_int_t)r->paths, "path_differs", (json_int_t)r->path_differs,             //
                  "logprobs", (json_int_t)r->logprobs, "logprob_differs", (json_int_t)r->logprob_differs, //
                  "drafted", (json_int_t)r->drafted, "accepted", (json_int_t)r->accepted, "seconds",
                  cli_json_real(s->seconds)));
    return o;
}

static int print_report(const prove_state *s) {
    const cli_options *o = s->session.o;
    vb_spec_params shown = {.gamma = (int)o->gamma};
    char size[100];
    memcpy(shown.tree, s->session.tree, sizeof shown.tree);
    if (o->json) return cli_out_json(report_json(s));
    if (o->endpoint)
        cli_outf("endpoint %s, model %s, %d connections, seeds from %lld; %llu answers%s\n", o->endpoint,
                 s->endpoint.model, (int)o->connections, (long long)o->seed,
                 (unsigned long long)s->endpoint.requests,
                 s->endpoint.again ? ", some after HTTP status 429 or 503" : "");
    else if (s->samples.n)
        cli_outf("judged: %llu completions of %s\n", (unsigned long long)s->samples.n, o->samples);
    else
        cli_outf("accept %s%s%s%s, draft %s, %s, seeds from %lld\n", o->accept,
                 s->wrong ? " (wrong on purpose: " : "", s->wrong ? s->wrong->what : "", s->wrong ? ")" : "",
                 s->session.draft_name, cli_step_name(&shown, size), (long long)o->seed);
    if (s->merged)
        cli_outf("%zu parts; the law computed after %llu prefixes; %.1f s together\n", s->merged,
                 (unsigned long long)s->report.laws, s->seconds);
    else
        cli_outf(
            "temperature %g, top-k %d, top-p %g, min-p %g; the law computed after %llu prefixes; %.1f s\n",
            o->sampling.temperature, o->sampling.top_k, o->sampling.top_p, o->sampling.min_p,
            (unsigned long long)s->report.laws, s->seconds);
    for (int i = 0; i < s->report.n_stages; i++) print_stage(s, &s->report.stage[i]);
    cli_outf("\n");
    print_checks(s);
    print_endpoint_facts(s);
    if (s->samples.ended)
        cli_outf("%llu completions have fewer than %d bytes and are taken for ended: one that was cut off "
                 "there is "
                 "not\n",
                 (unsigned long long)s->samples.ended, s->report.tokens);
    print_verdict(s);
    return cli_out_finish();
}

/* -------------------------------------------------------------------------------------------- the command */

static void progress(void *user, uint64_t done, uint64_t all) {
    (void)user;
    fprintf(stderr, "\r%llu of %llu%s", (unsigned long long)done, (unsigned long long)all,
            done == all ? "\n" : "");
}

/* -------------------------------------------------------------------------------------------- in parts */

/* Part o->shard of the first stage, for --merge. */
static int prove_part(prove_state *s, const cli_options *o, const vb_prove_params *p,
                      const vb_prove_subject *subject, int part, int parts) {
    const uint64_t n = p->samples, i = (uint64_t)part, all = (uint64_t)parts;
    const double start = cli_now();
    vb_joint *j = NULL;
    vb_error err = {0};
    if (vb_prove_part(p, subject, n * i / all, n * (i + 1) / all, &j, &s->report, &err))
        return cli_report(&err);
    json_t *out = vb_prove_part_json(j, &s->report);
    vb_joint_close(j);
    char seed[24];
    snprintf(seed, sizeof seed, "%lld", (long long)o->seed);
    json_t *head = json_pack("{ss si ss s{ss sb ss si ss sI} sf}", "verbatim", "prove", "version", 1, "shard",
                             o->shard, "run", "accept", o->accept, "wrong_on_purpose", s->wrong != NULL,
                             "draft", s->session.draft_name, "gamma", (int)o->gamma, "seed", seed, "samples",
                             (json_int_t)n, "seconds", cli_now() - start);
    if (head && out && json_object_update(head, out)) {
        json_decref(head);
        head = NULL;
    }
    if (!out) json_decref(head), head = NULL;
    json_decref(out);
    const int rc = cli_out_json(head), done = cli_out_finish();
    return rc ? rc : done;
}

static int prove_merge(const cli_options *o) {
    json_t *parts = NULL;
    prove_state s = {.session = {.o = o, .draft_name = "?"}};
    cli_options shown = *o;
    vb_error err = {0};
    int rc = cli_read_parts(o, "prove", &parts);
    if (rc) return rc;
    const json_t *run = json_object_get(json_array_get(parts, 0), "run");
    const char *accept = json_string_value(json_object_get(run, "accept")),
               *draft = json_string_value(json_object_get(run, "draft"));
    const json_int_t samples = json_integer_value(json_object_get(run, "samples"));
    for (size_t i = 0; i < json_array_size(parts) && !rc; i++) {
        const json_t *p = json_array_get(parts, i);
        if (!json_equal(json_object_get(p, "run"), run) || !accept || !draft || samples < 1)
            rc = cli_error("part %zu is not of the same run as part 1 (\"run\")", i + 1);
        s.seconds += json_number_value(json_object_get(p, "seconds"));
    }
    if (!rc && vb_prove_parts_judge(parts, (uint64_t)samples, &s.report, &err)) rc = cli_report(&err);
    if (!rc) {
        const char *seed = json_string_value(json_object_get(run, "seed"));
        shown.accept = accept;
        shown.gamma = json_integer_value(json_object_get(run, "gamma"));
        shown.seed = seed ? strtoll(seed, NULL, 10) : 0;
        s.session.o = &shown;
        s.session.draft_name = draft;
        s.merged = json_array_size(parts);
        s.wrong = vb_wrong_find(accept);
        rc = print_report(&s);
        if (!rc) rc = s.report.ok ? CLI_OK : CLI_FAIL;
    }
    json_decref(parts);
    return rc;
}

static int prove(prove_state *s, const cli_options *o, uint64_t samples) {
    vb_error err = {0};
    vb_prove_subject subject;
    vb_prove_params p = {.law = {.depth = (int)o->depth, .max_cells = (int)o->cells},
                         .samples = samples,
                         .seed = (uint64_t)o->seed,
                         .repeats = samples < (uint64_t)o->repeats ? samples : (uint64_t)o->repeats,
                         .cancel = cli_interrupt_callback,
                         .progress = isatty(STDERR_FILENO) ? progress : NULL};
    int rc = CLI_OK;
    int part, parts;
    if ((rc = cli_parse_shard(o, &part, &parts))) return rc;
    s->pair = (vb_prove_pair){.target = s->session.context,
                              .sampling = s->session.sampling,
                              .params = s->session.params,
                              .wrong = s->wrong,
                              .prompt = s->prompt,
                              .n_prompt = s->n_prompt};
    if (!samples && (rc = cli_samples_read(&s->session, &s->samples))) return rc;
    if (s->samples.texts) {
        p.law.texts = s->session.target.tokenizer;
        p.law.depth = (int)o->bytes;
    }
    const double start = cli_now();
    if (vb_prove_pair_open(&s->pair, &subject, &p.law, &err)) return cli_report(&err);
    if (parts) return prove_part(s, o, &p, &subject, part, parts);
    if (o->endpoint) {
        rc = cli_endpoint_prove(&s->session, s->prompt, s->n_prompt, &p, &s->report, &s->endpoint);
        if (rc) return rc;
    } else if ((samples ? vb_prove(&p, &subject, &s->report, &err)
                        : vb_prove_samples(&p, s->samples.rows, s->samples.n, &s->report, &err))) {
        return cli_report(&err);
    }
    s->seconds = cli_now() - start;
    rc = print_report(s);
    return rc ? rc : s->report.ok ? CLI_OK : CLI_FAIL;
}

int cli_prove(cli_options *o) {
    prove_state s = {0};
    uint64_t samples = 20000;
    if (o->merge.n) return o->shard ? cli_usage("--merge and --shard exclude each other") : prove_merge(o);
    if (o->shard && !o->json)
        return cli_usage(
            "--shard: a part proves nothing by itself: print it with --json, add all parts up with --merge");
    if (o->shard && o->endpoint) return cli_usage("--shard and --endpoint exclude each other");
    if (o->samples) { /* a number, or a file */
        char *end;
        errno = 0;
        const unsigned long long n = strtoull(o->samples, &end, 10);
        const bool number = o->samples[0] >= '0' && o->samples[0] <= '9' && !*end;
        if (number && (errno || n < 100 || n > 1000000000))
            return cli_usage("--samples %s: expected 100 to 1000000000, or a file", o->samples);
        samples = number ? n : 0;
    }
    if (o->shard && !samples) return cli_usage("--shard splits what is sampled here, not a file");
    if (samples && (cli_given(o, "--samples-as") || cli_given(o, "--bytes")))
        return cli_usage(
            "--samples-as and --bytes are about completions of another program: add --samples FILE");
    int rc = cli_endpoint_options(o);
    if (!rc) rc = check_rule(&s, o);
    if (rc) return rc;
    if (o->endpoint && !samples)
        return cli_usage("--samples %s: with --endpoint the number of completions to ask for", o->samples);
    cli_interrupt_install();
    if ((rc = cli_session_open(&s.session, o))) return rc;
    if (!(rc = read_prompt(&s, o))) rc = prove(&s, o, samples);
    vb_prove_pair_close(&s.pair);
    vb_free(s.prompt);
    free(s.samples.rows);
    cli_session_close(&s.session);
    return rc;
}
