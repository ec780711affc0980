/* run.c - `verbatim run`: continue a text, with or without a draft. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct run_state {
    cli_session session;
    char *file_text;
    int32_t *prompt; /* vb_free */
    size_t n_prompt;
    vb_spec *spec;
    cli_stream stream;
    vb_trace *trace;
    cli_file trace_file;
    cli_result result;
    cli_result alone; /* --compare: the target without a draft */
    bool compared;
} run_state;

static int check_options(const cli_options *o) {
    if (o->prompt && o->file) return cli_usage("-p and -f both give the text to continue: leave one out");
    if (!o->prompt && !o->file)
        return cli_usage("no text to continue: give -p TEXT or -f FILE (- is standard input)");
    return CLI_OK;
}

static int read_prompt(run_state *r) {
    const cli_options *o = r->session.o;
    const char *text = o->prompt;
    size_t len = text ? strlen(text) : 0;
    if (o->file) {
        int rc = cli_read_file(o->file, &r->file_text, &len);
        if (rc) return rc;
        text = r->file_text;
    }
    vb_error err = {0};
    const vb_tokenizer *t = r->session.target.tokenizer;
    if (vb_tokenize_prompt(t, text, len, !o->no_special, &r->prompt, &r->n_prompt, &err))
        return cli_report(&err);
    if (!r->n_prompt)
        return cli_error("the prompt is empty and %s adds no BOS token: give some text", o->model);
    int room = vb_context_size(r->session.context);
    char way[96];
    if (r->n_prompt <= (size_t)room) return CLI_OK;
    /* With room for the text that was asked for, as far as the model goes. */
    const size_t most = (size_t)vb_model_describe(r->session.target.model)->n_ctx;
    size_t need = r->n_prompt + (o->n_predict > 0 ? (size_t)o->n_predict : 1);
    if (need > most && r->n_prompt < most) need = most;
    return cli_error("the prompt has %zu tokens and the context holds %d positions: %s a shorter prompt",
                     r->n_prompt, room, cli_longer_context(r->session.target.model, need, way));
}

static int write_trace(void *user, const char *line, size_t n) {
    return cli_file_write(user, line, n);
}

/* A failed write is reported when the file is closed, anything else here. */
static int trace_failed(const run_state *r, const vb_error *err) {
    return r->trace_file.sink && r->trace_file.sink->error ? CLI_FAIL : cli_report(err);
}

/* Names in a trace leave the folder out: the same generation gives the same bytes on every machine. */
static const char *file_name(const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path;
}

static int open_trace(run_state *r) {
    const cli_options *o = r->session.o;
    vb_error err = {0};
    if (!o->trace) return CLI_OK;
    if (cli_file_open(&r->trace_file, o->trace)) return CLI_FAIL;
    vb_trace_params p = {.write = write_trace,
                         .user = &r->trace_file,
                         .tokenizer = r->session.target.tokenizer,
                         .target = file_name(o->model),
                         .draft = file_name(o->draft_model),
                         .rope = vb_model_rope(r->session.target.model),
                         .draft_rope =
                             r->session.draft_file.model ? vb_model_rope(r->session.draft_file.model) : NULL,
                         .full = o->trace_full};
    return vb_trace_open(&r->trace, r->spec, &p, &err) ? trace_failed(r, &err) : CLI_OK;
}

/* Puts the trace in place if all went well so far. Returns rc, or what went wrong now. */
static int close_trace(run_state *r, int rc) {
    vb_error err = {0};
    if (r->trace && vb_trace_close(r->trace, &err) && !rc) rc = trace_failed(r, &err);
    r->trace = NULL;
    int closed = cli_file_close(&r->trace_file, rc == CLI_OK);
    return rc ? rc : closed;
}

static int on_step(void *user, const vb_step *step) {
    run_state *r = user;
    vb_error err = {0};
    if (r->trace && vb_trace_step(r->trace, step, &err)) return trace_failed(r, &err);
    return cli_stream_step(&r->stream, step);
}

/* Evaluates the prompt and generates, shown and traced unless `quiet`. A cancelled prompt is a cancelled
 * generation of no tokens. */
static int generate(run_state *r, const vb_spec_params *params, bool quiet, cli_result *result) {
    vb_error err = {0};
    int rc = vb_spec_open(&r->spec, r->session.context, &r->session.sampling, params, &err);
    if (!rc) rc = vb_spec_prompt(r->spec, r->prompt, r->n_prompt, &err);
    if (rc && rc != VB_ERR_CANCELLED) return cli_report(&err);
    int status = quiet ? CLI_OK : open_trace(r);
    if (!status)
        status =
            cli_generate(&r->session, r->spec, r->session.o->n_predict, quiet ? NULL : on_step, r, result);
    return quiet ? status : close_trace(r, status);
}

/* The target alone, same seed, same everything, in the same context. */
static int run_alone(run_state *r) {
    vb_error err = {0};
    vb_spec_params params = r->session.params;
    params.draft = VB_DRAFT_NONE;
    params.draft_context = NULL;
    vb_spec_close(r->spec);
    r->spec = NULL;
    if (vb_context_truncate(r->session.context, 0, &err)) return cli_report(&err);
    int rc = generate(r, &params, true, &r->alone);
    r->compared = !rc && strcmp(r->alone.reason, "cancelled") != 0;
    return rc;
}

/* The first token in which two outputs differ; their length if they are identical. */
static size_t common_length(const cli_result *a, const cli_result *b) {
    size_t n = 0;
    while (n < a->n && n < b->n && a->tokens[n] == b->tokens[n]) n++;
    return n;
}

static bool identical(const run_state *r) {
    const cli_result *a = &r->result, *b = &r->alone;
    return a->n == b->n && common_length(a, b) == a->n && !strcmp(a->reason, b->reason);
}

/* P2 promises identical tokens under these; under the others the law is the same (P3). */
static bool identity_promised(const run_state *r) {
    vb_accept a = r->session.params.accept;
    return a == VB_ACCEPT_COUPLED || a == VB_ACCEPT_GREEDY || r->session.sampling.temperature == 0 ||
           r->session.params.draft == VB_DRAFT_NONE;
}

static double speed_up(const run_state *r) {
    const cli_result *a = &r->result, *b = &r->alone;
    if (a->seconds <= 0 || b->seconds <= 0 || !a->n || !b->n) return 0;
    return ((double)a->n / a->seconds) / ((double)b->n / b->seconds);
}

static void print_comparison(const run_state *r) {
    const cli_result *a = &r->result, *b = &r->alone;
    char rate[32];
    fprintf(stderr, "target alone: %zu tokens in %.3f s: %s tokens/s; speed-up %.2fx\n", b->n, b->seconds,
            cli_digits(b->seconds > 0 ? (double)b->n / b->seconds : 0, rate), speed_up(r));
    const vb_stats *t = &a->stats;
    if (t->drafted) cli_say_speed_up(stderr, speed_up(r), (double)t->accepted / (double)t->drafted);
    size_t same = common_length(a, b);
    if (identical(r)) {
        fprintf(stderr, "identical tokens: yes (%zu of %zu)\n", same, b->n);
    } else if (!identity_promised(r)) {
        fprintf(
            stderr,
            "identical tokens: no (first difference at token %zu); --accept %s gives the same law, identity "
            "is not promised\n",
            same, r->session.o->accept);
    } else {
        fprintf(
            stderr,
            "identical tokens: NO, first difference at token %zu. This breaks promise P2: please report it\n",
            same);
    }
}

static json_t *comparison_json(const run_state *r) {
    const cli_result *b = &r->alone;
    return json_pack("{sb sb so so sI}", "identical", identical(r), "identity_promised", identity_promised(r),
                     "speed_up", cli_json_real(speed_up(r)), "target_tokens_per_s",
                     cli_json_real(b->seconds > 0 ? (double)b->n / b->seconds : 0), "common_tokens",
                     (json_int_t)common_length(&r->result, b));
}

static json_t *result_json(const run_state *r) {
    char kv[16], tree[80];
    const cli_session *s = &r->session;
    const cli_result *a = &r->result;
    json_t *tokens = json_array(), *from_draft = json_array(), *logprobs = json_array(), *o = json_object();
    for (size_t i = 0; i < a->n; i++) {
        json_array_append_new(tokens, json_integer(a->tokens[i]));
        json_array_append_new(from_draft, json_boolean(a->from_draft[i]));
        json_array_append_new(logprobs, cli_json_real(a->logprobs[i]));
    }
    json_object_set_new(o, "text", cli_json_text(a->text, a->text_len));
    json_object_set_new(o, "tokens", tokens);
    json_object_set_new(o, "from_draft", from_draft);
    json_object_set_new(o, "logprobs", logprobs);
    json_object_set_new(o, "reason", json_string(a->reason));
    json_object_set_new(o, "seed", json_integer((json_int_t)s->sampling.seed));
    json_object_set_new(o, "stats", cli_json_stats(a));
    if (r->compared) json_object_set_new(o, "compare", comparison_json(r));
    json_object_set_new(o, "model", cli_json_text(s->o->model, strlen(s->o->model)));
    cli_json_pre(o, s->target.tokenizer);
    cli_json_rope(o, s->target.model, s->draft_file.model);
    if (s->o->draft_model)
        json_object_set_new(o, "draft_model", cli_json_text(s->o->draft_model, strlen(s->o->draft_model)));
    json_object_set_new(o, "draft", json_string(s->draft_name));
    json_object_set_new(o, "accept", json_string(s->o->accept));
    json_object_set_new(
        o, "gamma", s->params.gamma == VB_GAMMA_AUTO ? json_string("auto") : json_integer(s->params.gamma));
    if (s->params.tree[0])
        json_object_set_new(o, "tree", json_string(cli_tree_name(s->params.tree, ',', tree)));
    if (s->params.costs) json_object_set_new(o, "costs", cli_costs_json(s->params.costs));
    json_object_set_new(o, "temperature", json_real(s->sampling.temperature));
    json_object_set_new(o, "prompt_tokens", json_integer((json_int_t)r->n_prompt));
    json_object_set_new(o, "activations", json_string(s->o->activations));
    json_object_set_new(o, "kv", json_string(cli_kv_text(s->o, kv)));
    json_object_set_new(o, "kernels", json_string(vb_context_kernels(s->context)));
    json_object_set_new(o, "threads", json_integer(vb_context_threads(s->context)));
    if (s->offload) json_object_set_new(o, "offload", cli_json_offload(s));
    json_object_set_new(o, "version", json_string(VB_VERSION));
    return o;
}

static int run_checked(run_state *r, const cli_options *o) {
    int rc = cli_session_open(&r->session, o);
    if (!rc) rc = read_prompt(r);
    if (!rc) rc = cli_lengths_read(&r->session);
    if (rc) return rc;
    /* With --verbose the text comes after the step lines, in one piece. */
    cli_stream_init(&r->stream, &r->session, !o->json && !o->verbose);
    rc = generate(r, &r->session.params, false, &r->result);
    cli_stream_end(&r->stream);
    if (!rc) rc = cli_lengths_write(&r->session, &r->result);
    if (!rc && o->compare && strcmp(r->result.reason, "cancelled")) rc = run_alone(r);
    if (rc) return rc;

    if (o->json)
        rc = cli_out_json(result_json(r));
    else {
        if (o->verbose) cli_out(r->result.text, r->result.text_len);
        cli_out("\n", 1);
        rc = cli_out_finish();
    }
    cli_print_stats(&r->session, &r->result);
    if (r->compared) print_comparison(r);
    /* A broken promise is a failure that scripts must see. */
    if (!rc && r->compared && identity_promised(r) && !identical(r)) rc = CLI_FAIL;
    return rc;
}

int cli_run(cli_options *o) {
    run_state r;
    memset(&r, 0, sizeof r);
    int rc = check_options(o);
    if (rc) return rc;
    cli_interrupt_install();
    rc = run_checked(&r, o);
    vb_spec_close(r.spec);
    vb_free(r.prompt);
    free(r.file_text);
    cli_result_free(&r.result);
    cli_result_free(&r.alone);
    cli_session_close(&r.session);
    return rc;
}
