/* generate.c - the loop over vb_spec_step, and the statistics it leaves. */
#include "cli/cli.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void cli_result_free(cli_result *r) {
    free(r->tokens);
    free(r->from_draft);
    free(r->logprobs);
    free(r->lengths);
    free(r->text);
    memset(r, 0, sizeof *r);
}

static int append_text(cli_result *r, const char *text, size_t n) {
    if (vb_grow((void **)&r->text, &r->text_room, r->text_len + n + 1, 1, "the answer", NULL))
        return cli_error("out of memory");
    if (n) memcpy(r->text + r->text_len, text, n);
    r->text_len += n;
    r->text[r->text_len] = 0;
    return CLI_OK;
}

static int append_token(cli_result *r, const vb_tokenizer *t, const vb_emitted *e) {
    size_t room[2] = {r->room, r->room}; /* the three arrays grow in step */
    if (vb_grow((void **)&r->tokens, &room[0], r->n + 1, sizeof *r->tokens, "the answer", NULL) ||
        vb_grow((void **)&r->from_draft, &room[1], r->n + 1, sizeof *r->from_draft, "the answer", NULL) ||
        vb_grow((void **)&r->logprobs, &r->room, r->n + 1, sizeof *r->logprobs, "the answer", NULL))
        return cli_error("out of memory");
    r->tokens[r->n] = e->id;
    r->from_draft[r->n] = e->origin == VB_FROM_DRAFT;
    r->logprobs[r->n] = e->logprob;
    r->n++;
    size_t n = 0;
    const char *text = e->id < vb_tokenizer_size(t) ? vb_token_text(t, e->id, false, &n) : NULL;
    return append_text(r, text, text ? n : 0);
}

static int append_length(cli_result *r, int length) {
    if (vb_grow((void **)&r->lengths, &r->lengths_room, r->n_lengths + 1, sizeof *r->lengths, "the answer",
                NULL))
        return cli_error("out of memory");
    r->lengths[r->n_lengths++] = length;
    return CLI_OK;
}

int cli_generate(cli_session *s, vb_spec *spec, int64_t n, cli_step_fn fn, void *user, cli_result *r) {
    int status = append_text(r, "", 0);
    r->reason = "length";
    while (!status && (n < 0 || r->n < (uint64_t)n)) {
        vb_error err = {0};
        vb_step step;
        size_t most = n < 0 ? SIZE_MAX : (size_t)n - r->n;
        double start = cli_now();
        int rc = cli_interrupted() ? VB_ERR_CANCELLED : vb_spec_step(spec, most, &step, &err);
        r->seconds += cli_now() - start;
        if (rc == VB_ERR_CANCELLED) {
            r->reason = "cancelled";
            break;
        }
        if (rc == VB_ERR_FULL) {
            r->context_full = true;
            break;
        }
        if (rc) {
            status = cli_report(&err);
            break;
        }
        bool stop = false;
        if (r->n_lengths == 0) {
            vb_spec_stats(spec, &r->stats);
            r->first_s = r->stats.prompt_s + r->seconds;
        }
        status = append_length(r, step.n_drafted);
        for (int i = 0; i < step.n_emitted && !stop && !status; i++) {
            stop = step.emitted[i].stop;
            if (!stop) status = append_token(r, s->target.tokenizer, &step.emitted[i]);
        }
        if (!status && fn) status = fn(user, &step);
        if (stop) {
            r->reason = "stop";
            break;
        }
    }
    vb_spec_stats(spec, &r->stats);
    return status;
}

void cli_add_stats(vb_stats *sum, const vb_stats *s) {
    sum->steps += s->steps;
    sum->target_calls += s->target_calls;
    sum->emitted += s->emitted;
    sum->drafted += s->drafted;
    sum->tested += s->tested;
    sum->accepted += s->accepted;
    sum->draft_calls += s->draft_calls;
    sum->likely += s->likely;
    for (int i = 0; i <= 32; i++) sum->by_length[i] += s->by_length[i];
    sum->draft_s += s->draft_s;
    sum->verify_s += s->verify_s;
    sum->sample_s += s->sample_s;
}

int cli_time_generation(cli_session *s, const vb_spec_params *params, uint64_t seed, const int32_t *prompt,
                        size_t n_prompt, size_t n, int32_t *tokens, cli_timing *out) {
    vb_spec_params p = *params;
    vb_sampling sampling = s->sampling;
    vb_spec *spec = NULL;
    vb_error err = {0};
    sampling.seed = seed;
    p.stop = NULL, p.n_stop = 0;
    *out = (cli_timing){0};
    int rc = vb_context_truncate(s->context, 0, &err);
    if (!rc && s->draft_context) rc = vb_context_truncate(s->draft_context, 0, &err);
    if (!rc) rc = vb_spec_open(&spec, s->context, &sampling, &p, &err);
    const double begin = cli_now();
    if (!rc) rc = vb_spec_prompt(spec, prompt, n_prompt, &err);
    const double start = cli_now();
    for (size_t done = 0; done < n && !rc;) {
        vb_step step;
        rc = vb_spec_step(spec, n - done, &step, &err);
        if (done == 0) out->first = cli_now() - begin;
        for (int i = 0; i < step.n_emitted && !rc; i++, done++)
            if (tokens) tokens[done] = step.emitted[i].id;
    }
    out->seconds = cli_now() - start;
    if (!rc) vb_spec_stats(spec, &out->stats);
    vb_spec_close(spec);
    return rc ? cli_report(&err) : CLI_OK;
}

static double ratio(uint64_t a, uint64_t b) {
    return b ? (double)a / (double)b : 0;
}

static double tokens_per_s(const cli_result *r) {
    return r->seconds > 0 ? (double)r->n / r->seconds : 0;
}

json_t *cli_json_stats(const cli_result *r) {
    const vb_stats *t = &r->stats;
    json_t *positions = json_array(), *lengths = json_array();
    for (size_t i = 0; i < r->n_lengths; i++) json_array_append_new(lengths, json_integer(r->lengths[i]));
    for (int i = 0; i < 32 && t->tested_at[i]; i++)
        json_array_append_new(positions, cli_json_real(ratio(t->accepted_at[i], t->tested_at[i])));
    return json_pack("{sI sI sI so so so so so sI sI sI so so so so sI s{so so so so so}}", //
                     "drafted", (json_int_t)t->drafted, "tested", (json_int_t)t->tested,    //
                     "accepted", (json_int_t)t->accepted,                                   //
                     "acceptance",
                     t->drafted ? cli_json_real(ratio(t->accepted, t->drafted)) : json_null(),         //
                     "alpha", t->tested ? cli_json_real(ratio(t->accepted, t->tested)) : json_null(),  //
                     "likely", t->tested ? cli_json_real(t->likely / (double)t->tested) : json_null(), //
                     "acceptance_by_position", positions,                                              //
                     "mean_accepted", cli_json_real(ratio(t->accepted, t->steps)),                     //
                     "steps", (json_int_t)t->steps, "target_calls", (json_int_t)t->target_calls,       //
                     "draft_calls", (json_int_t)t->draft_calls,                                        //
                     "tokens_per_call", cli_json_real(ratio(r->n, t->target_calls)),                   //
                     "tokens_per_s", cli_json_real(tokens_per_s(r)),                                   //
                     "first_token_s", cli_json_real(r->first_s), "lengths", lengths,                   //
                     "prompt_tokens", (json_int_t)t->prompt_tokens,                                    //
                     "seconds",                                                                        //
                     "prompt", cli_json_real(t->prompt_s), "draft", cli_json_real(t->draft_s),         //
                     "verify", cli_json_real(t->verify_s), "sample", cli_json_real(t->sample_s),       //
                     "generation", cli_json_real(r->seconds));
}

void cli_print_offload(const vb_offload *offload, const vb_context *context, bool out) {
    char bound[64] = "", text[400];
    vb_offload_stats t;
    if (!offload) return;
    const vb_offload_info *i = vb_offload_describe(offload);
    vb_context_offload_stats(context, &t);
    if (i->class_ != VB_OFFLOAD_BITWISE)
        snprintf(bound, sizeof bound, " (error %.1e, width %d)", i->error, t.width);
    snprintf(text, sizeof text,
             "offload %.120s, %s%s: of %llu products %llu computed there, %llu declined, %llu failed\n",
             i->name, vb_offload_class_name(i->class_), bound, (unsigned long long)t.products,
             (unsigned long long)t.computed, (unsigned long long)t.declined, (unsigned long long)t.failed);
    if (out)
        cli_out(text, strlen(text));
    else
        fputs(text, stderr);
}

json_t *cli_json_offload(const cli_session *s) {
    vb_offload_stats t;
    if (!s->offload) return json_null();
    const vb_offload_info *i = vb_offload_describe(s->offload);
    vb_context_offload_stats(s->context, &t);
    return json_pack("{ss ss so si sI sI sI sI}", "name", i->name, "class",
                     vb_offload_class_name(i->class_),                                       //
                     "error", cli_json_real(i->error), "width", t.width,                     //
                     "products", (json_int_t)t.products, "computed", (json_int_t)t.computed, //
                     "declined", (json_int_t)t.declined, "failed", (json_int_t)t.failed);
}

void cli_json_pre(json_t *o, const vb_tokenizer *t) {
    const char *pre = t ? vb_tokenizer_pre(t) : "";
    json_object_set_new(o, "pre", *pre ? json_string(pre) : json_null());
    json_object_set_new(o, "pre_overridden", json_boolean(t && vb_tokenizer_pre_overridden(t)));
}

void cli_print_pre(const vb_tokenizer *t) {
    if (vb_tokenizer_pre_overridden(t))
        fprintf(stderr, "pre-tokenizer %s: by --pre, not by the file\n", vb_tokenizer_pre(t));
}

/* How long the drafts were that were chosen, and by which costs. */
static void print_lengths(const cli_session *s, const vb_stats *t) {
    fprintf(stderr, "lengths chosen (steps):");
    for (int i = 0; i <= 32; i++)
        if (t->by_length[i]) fprintf(stderr, " %d (%llu)", i, (unsigned long long)t->by_length[i]);
    fprintf(stderr, "; costs %016llx\n", (unsigned long long)vb_costs_hash(&s->costs));
}

void cli_print_stats(const cli_session *s, const cli_result *r) {
    const vb_stats *t = &r->stats;
    char rate[32], size[100], first[32];
    fprintf(stderr, "%zu token%s in %.3f s", r->n, r->n == 1 ? "" : "s", r->seconds);
    if (r->n) fprintf(stderr, ": %s tokens/s", cli_digits(tokens_per_s(r), rate));
    fprintf(stderr, "; ended: %s%s; prompt: %llu token%s in %.3f s", r->reason,
            r->context_full ? " (the context is full)" : "", (unsigned long long)t->prompt_tokens,
            t->prompt_tokens == 1 ? "" : "s", t->prompt_s);
    if (r->n) fprintf(stderr, "; first token after %s", cli_seconds(r->first_s, first));
    fputc('\n', stderr);
    if (s->params.draft != VB_DRAFT_NONE)
        fprintf(stderr, "draft %s, accept %s, %s, ", s->draft_name, s->o->accept,
                cli_step_name(&s->params, size));
    else
        fprintf(stderr, "no draft, ");
    const int threads = vb_context_threads(s->context);
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    fprintf(stderr, "temperature %g, seed %llu, kernels %s, threads %d", s->sampling.temperature,
            (unsigned long long)s->sampling.seed, vb_context_kernels(s->context), threads);
    if (cpus > 0 && threads > cpus) fprintf(stderr, " (more than the %ld processors here)", cpus);
    fputc('\n', stderr);
    cli_print_pre(s->target.tokenizer);
    cli_print_rope(s->target.model, s->draft_file.model);
    if (s->params.draft != VB_DRAFT_NONE && !t->drafted)
        fprintf(stderr, "nothing was drafted: target calls %llu (%.2f tokens each)\n",
                (unsigned long long)t->target_calls, ratio(r->n, t->target_calls));
    else if (s->params.draft != VB_DRAFT_NONE) {
        char share[32];
        fprintf(stderr,
                "acceptance %s: drafted %llu, tested %llu, accepted %llu; alpha %.3f; mean accepted %.2f; "
                "target calls %llu (%.2f tokens each)\n",
                cli_percent(ratio(t->accepted, t->drafted), share), (unsigned long long)t->drafted,
                (unsigned long long)t->tested, (unsigned long long)t->accepted, ratio(t->accepted, t->tested),
                ratio(t->accepted, t->steps), (unsigned long long)t->target_calls,
                ratio(r->n, t->target_calls));
        fprintf(stderr, "acceptance by position:");
        for (int i = 0; i < 32 && t->tested_at[i]; i++)
            fprintf(stderr, " %.3f", ratio(t->accepted_at[i], t->tested_at[i]));
        fputc('\n', stderr);
        if (s->params.draft_tokenizer && s->params.draft == VB_DRAFT_MODEL)
            fprintf(stderr,
                    "drafted through text: %llu evaluations of the draft model; the target gave the drafts "
                    "that were "
                    "tested %.3f on average, alpha %+.3f of that\n",
                    (unsigned long long)t->draft_calls, t->tested ? t->likely / (double)t->tested : 0,
                    t->tested ? ratio(t->accepted, t->tested) - t->likely / (double)t->tested : 0);
    }
    if (s->params.draft != VB_DRAFT_NONE && s->params.gamma == VB_GAMMA_AUTO) print_lengths(s, t);
    cli_print_offload(s->offload, s->context, false);
    fprintf(stderr,
            "time: drafting %.3f s, verifying %.3f s, sampling %.3f s (`verbatim help stats` explains)\n",
            t->draft_s, t->verify_s, t->sample_s);
    /* Of a few guesses nothing can be said. */
    if (t->drafted >= 50 && ratio(t->accepted, t->drafted) < CLI_LOW_ACCEPTANCE)
        fprintf(
            stderr,
            "warning: few guesses are right; the text is the target's all the same, but a smaller --gamma or "
            "another draft would be faster (`verbatim bench`)\n");
}
