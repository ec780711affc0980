/* bench.c - `verbatim bench`: how fast a model is here, what verifying a draft costs, and what speculation
 * gains. What each number means, and how to measure well: docs/bench.md. */
#include "cli/cli.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { MOST_TOKENS = 16, MOST_LIST = 16, MOST_REPS = 100, DECODE_TOKENS = 32 };

typedef struct list {
    int n, at[MOST_LIST];
} list;

/* What was measured with one draft length, in every repetition; gamma = 0: the target alone. */
typedef struct spec_run {
    int gamma;
    double seconds[MOST_REPS];
    vb_stats stats; /* of all repetitions, added up */
    bool identical;
} spec_run;

typedef struct bench {
    cli_session session;
    const cli_options *o;
    int reps, rounds; /* rounds: of speculation */
    list lengths, gammas, positions;
    int32_t *filler; /* tokens to evaluate where any will do */
    int32_t *prompt; /* vb_free */
    size_t n_prompt;
    char *file_text;
    uint64_t read_bytes;             /* weights that one token reads */
    double experts[MOST_TOKENS + 1]; /* distinct ones of a layer that a call of so many tokens reads */
    double decode[MOST_LIST], prompt_rate[MOST_LIST], draft_token;
    double costs[MOST_LIST][MOST_TOKENS + 1]; /* by position */
    const double *cost;                       /* behind the first one */
    spec_run *runs;                           /* (1 + gammas.n) */
    int32_t *alone;                           /* (reps, n_predict) tokens */
    double peak_rss;
    cli_bandwidth bandwidth;
} bench;

static void progress(const char *format, ...) CLI_PRINTF(1, 2);
static void progress(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
}

/* What is over quickly is repeated for a second. */
static bool more(int done, int reps, double start) {
    return done < reps || (done < MOST_REPS && cli_now() - start < 1.0);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, int n) {
    double sorted[MOST_REPS];
    memcpy(sorted, values, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

/* "3,5,8", each in [least, most], ascending or not. */
static int parse_list(const char *option, const char *text, int least, int most, list *out) {
    out->n = 0;
    while (*text) {
        char *end;
        const long v = strtol(text, &end, 10);
        if (end == text || (*end && *end != ',') || v < least || v > most || out->n == MOST_LIST)
            return cli_usage("%s %s: expected up to %d numbers from %d to %d with commas between", option,
                             text, MOST_LIST, least, most);
        out->at[out->n++] = (int)v;
        text = *end ? end + 1 : end;
    }
    return CLI_OK;
}

/* ---------------------------------------------------------------------------------------- evaluating */

/* Seconds for n tokens behind `at` positions, which the context holds; then it holds them again. */
static int time_tokens(vb_context *c, const int32_t *tokens, size_t n, int at, bool all_logits,
                       double *seconds) {
    static const uint8_t want[MOST_TOKENS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    vb_error err = {0};
    const double start = cli_now();
    int rc = vb_eval(c, tokens, n, all_logits ? want : NULL, &err);
    *seconds = cli_now() - start;
    if (!rc) rc = vb_context_truncate(c, at, &err);
    return rc ? cli_report(&err) : CLI_OK;
}

/* Makes the context hold `at` positions, any. */
static int fill(const bench *b, vb_context *c, int at) {
    vb_error err = {0};
    int rc = vb_context_truncate(c, 0, &err);
    if (!rc && at > 0) rc = vb_eval(c, b->filler, (size_t)at, NULL, &err);
    return rc ? cli_report(&err) : CLI_OK;
}

/* Seconds per token, one at a time: the median over repetitions of DECODE_TOKENS tokens. */
static int time_decode(const bench *b, vb_context *c, int at, double *seconds) {
    double times[MOST_REPS];
    vb_error err = {0};
    int rc = fill(b, c, at), reps = 0;
    const double begin = cli_now();
    for (; more(reps, b->reps, begin) && !rc; reps++) {
        const double start = cli_now();
        for (int i = 0; i < DECODE_TOKENS && !rc; i++)
            if (vb_eval(c, b->filler + i, 1, NULL, &err)) rc = cli_report(&err);
        times[reps] = (cli_now() - start) / DECODE_TOKENS;
        if (!rc && vb_context_truncate(c, at, &err)) rc = cli_report(&err);
    }
    if (!rc) *seconds = median(times, reps);
    return rc;
}

static int measure_decode(bench *b) {
    int rc = CLI_OK;
    for (int i = 0; i < b->positions.n && !rc; i++) {
        progress("one token at a time, behind %d", b->positions.at[i]);
        rc = time_decode(b, b->session.context, b->positions.at[i], &b->decode[i]);
    }
    return rc;
}

static int measure_prompt(bench *b) {
    double times[MOST_REPS];
    int rc = CLI_OK;
    for (int i = 0; i < b->lengths.n && !rc; i++) {
        const size_t n = (size_t)b->lengths.at[i];
        progress("a prompt of %zu tokens", n);
        rc = fill(b, b->session.context, 0);
        int reps = 0;
        for (const double begin = cli_now(); more(reps, b->reps, begin) && !rc; reps++)
            rc = time_tokens(b->session.context, b->filler, n, 0, false, &times[reps]);
        if (!rc) b->prompt_rate[i] = (double)n / median(times, reps);
    }
    return rc;
}

/* T = 1 .. 16 in turn, not one T after the other, so that a slow moment of the machine does not fall on one T
 * alone. */
static int measure_cost(bench *b, int at, double *cost) {
    double times[MOST_TOKENS + 1][MOST_REPS];
    progress("1 to 16 tokens together, behind %d", at);
    int rc = fill(b, b->session.context, at), reps = -1; /* the first round warms up */
    for (const double begin = cli_now(); more(reps, b->reps, begin) && !rc; reps++)
        for (int t = 1; t <= MOST_TOKENS && !rc; t++) {
            vb_expert_stats before, after;
            vb_context_expert_stats(b->session.context, &before);
            rc = time_tokens(b->session.context, b->filler, (size_t)t, at, true,
                             &times[t][reps < 0 ? 0 : reps]);
            vb_context_expert_stats(b->session.context, &after);
            if (after.layers > before.layers)
                b->experts[t] =
                    (double)(after.experts - before.experts) / (double)(after.layers - before.layers);
        }
    for (int t = 1; t <= MOST_TOKENS && !rc; t++) cost[t] = median(times[t], reps);
    return rc;
}

static int measure_costs(bench *b) {
    int rc = CLI_OK;
    b->cost = b->costs[0];
    for (int i = b->positions.n; i-- > 0 && !rc;) rc = measure_cost(b, b->positions.at[i], b->costs[i]);
    return rc;
}

/* ---------------------------------------------------------------------------------------- speculation */

static void add_stats(vb_stats *sum, const vb_stats *s) {
    sum->steps += s->steps;
    sum->target_calls += s->target_calls;
    sum->emitted += s->emitted;
    sum->drafted += s->drafted;
    sum->tested += s->tested;
    sum->accepted += s->accepted;
    sum->draft_s += s->draft_s;
    sum->verify_s += s->verify_s;
    sum->sample_s += s->sample_s;
}

/* One generation from empty caches. The time is that of the steps, without the prompt. */
static int generate(bench *b, spec_run *r, int rep, int32_t *tokens) {
    cli_session *s = &b->session;
    vb_spec_params p = s->params;
    vb_sampling sampling = s->sampling;
    vb_spec *spec = NULL;
    vb_error err = {0};
    vb_stats stats;
    const size_t n = (size_t)b->o->n_predict;
    sampling.seed += (uint64_t)rep;
    p.gamma = r->gamma ? r->gamma : p.gamma;
    if (!r->gamma) p.draft = VB_DRAFT_NONE, p.draft_context = NULL;
    p.stop = NULL, p.n_stop = 0;
    int rc = vb_context_truncate(s->context, 0, &err);
    if (!rc && s->draft_context) rc = vb_context_truncate(s->draft_context, 0, &err);
    if (!rc) rc = vb_spec_open(&spec, s->context, &sampling, &p, &err);
    if (!rc) rc = vb_spec_prompt(spec, b->prompt, b->n_prompt, &err);
    const double start = cli_now();
    for (size_t done = 0; done < n && !rc;) {
        vb_step step;
        rc = vb_spec_step(spec, n - done, &step, &err);
        for (int i = 0; i < step.n_emitted && !rc; i++) tokens[done++] = step.emitted[i].id;
    }
    r->seconds[rep] = cli_now() - start;
    if (!rc) {
        vb_spec_stats(spec, &stats);
        add_stats(&r->stats, &stats);
    }
    vb_spec_close(spec);
    return rc ? cli_report(&err) : CLI_OK;
}

/* Alone, gamma 1, gamma 2, ..., alone, ...: a slow moment of the machine falls on all. */
static int measure_speculation(bench *b) {
    const size_t n = (size_t)b->o->n_predict;
    if (b->session.params.draft == VB_DRAFT_NONE) return CLI_OK;
    b->runs = calloc((size_t)b->gammas.n + 1, sizeof *b->runs);
    b->alone = calloc(2 * n, sizeof *b->alone);
    if (!b->runs || !b->alone) return cli_error("out of memory");
    for (int i = 0; i <= b->gammas.n; i++)
        b->runs[i] = (spec_run){.gamma = i ? b->gammas.at[i - 1] : 0, .identical = true};
    int rc = CLI_OK;
    if (b->session.draft_context) {
        progress("one token at a time, the draft");
        rc = time_decode(b, b->session.draft_context, b->positions.at[0], &b->draft_token);
    }
    progress("speculation and the target alone, in turn");
    const double begin = cli_now();
    for (; more(b->rounds, b->reps, begin) && !rc; b->rounds++) {
        for (int i = 0; i <= b->gammas.n && !rc; i++) {
            int32_t *tokens = i ? b->alone + n : b->alone;
            rc = generate(b, &b->runs[i], b->rounds, tokens);
            if (!rc && i && memcmp(tokens, b->alone, n * sizeof *tokens) != 0) b->runs[i].identical = false;
        }
    }
    return rc;
}

/* The gain that the measured acceptance, draft cost and verification cost give, without overheads: tokens per
 * step times the time of a token alone, over gamma drafted tokens and one verification of gamma + 1. */
static double predicted(const bench *b, const spec_run *r) {
    if (r->gamma + 1 > MOST_TOKENS || r->stats.steps == 0) return NAN;
    const double per_step = (double)r->stats.emitted / (double)r->stats.steps;
    return per_step * b->cost[1] / (r->gamma * b->draft_token + b->cost[r->gamma + 1]);
}

/* The median over repetitions of how much faster than the target alone in the same round. */
static double speed_up(const bench *b, const spec_run *r) {
    double ratios[MOST_REPS];
    for (int i = 0; i < b->rounds; i++) ratios[i] = b->runs[0].seconds[i] / r->seconds[i];
    return median(ratios, b->rounds);
}

static int measure_bandwidth(bench *b) {
    if (b->o->bandwidth > 0) {
        b->bandwidth = (cli_bandwidth){.bytes_per_s = b->o->bandwidth * 1e9, .vectors = "given"};
        return CLI_OK;
    }
    progress("the bandwidth of the memory");
    return cli_read_bandwidth(&b->bandwidth);
}

/* ---------------------------------------------------------------------------------------- preparing */

/* Every matrix but an embedding that is only looked up in, and of the experts those that a token uses. */
static uint64_t bytes_per_token(const vb_gguf *g, const vb_model_info *info) {
    uint64_t sum = 0;
    bool has_output = false;
    for (size_t i = 0; i < vb_gguf_tensor_count(g); i++) {
        const vb_tensor *t = vb_gguf_tensor(g, i);
        if (!strcmp(t->name, "output.weight")) has_output = true;
    }
    for (size_t i = 0; i < vb_gguf_tensor_count(g); i++) {
        const vb_tensor *t = vb_gguf_tensor(g, i);
        if (!has_output || strcmp(t->name, "token_embd.weight") != 0) sum += t->bytes;
    }
    if (info->n_experts)
        sum -= (uint64_t)((double)info->expert_bytes / info->n_experts *
                          (info->n_experts - info->n_experts_used));
    return sum;
}

/* Drops what the context is too short for. */
static void fit(list *l, int room, const char *what) {
    int kept = 0;
    for (int i = 0; i < l->n; i++) {
        if (l->at[i] <= room)
            l->at[kept++] = l->at[i];
        else
            fprintf(stderr, "bench: the context is too short for %s %d: left out\n", what, l->at[i]);
    }
    l->n = kept;
}

static int read_prompt(bench *b) {
    const char *text = b->o->prompt ? b->o->prompt : "Once upon a time";
    size_t len = strlen(text);
    vb_error err = {0};
    if (b->o->prompt && b->o->file)
        return cli_usage("-p and -f both give the text to continue: leave one out");
    if (b->o->file) {
        int rc = cli_read_file(b->o->file, &b->file_text, &len);
        if (rc) return rc;
        text = b->file_text;
    }
    if (vb_tokenize_prompt(b->session.target.tokenizer, text, len, true, &b->prompt, &b->n_prompt, &err))
        return cli_report(&err);
    const int room = vb_context_size(b->session.context);
    const size_t need = b->n_prompt + (size_t)b->o->n_predict + 33; /* and the longest draft */
    char way[96];
    if (b->n_prompt == 0) return cli_error("the prompt is empty and %s adds no BOS token", b->o->model);
    if (need > (size_t)room)
        return cli_error("the prompt (%zu tokens) and -n %lld do not fit the context of %d: %s a smaller -n",
                         b->n_prompt, (long long)b->o->n_predict, room,
                         cli_longer_context(b->session.target.model, need, way));
    return CLI_OK;
}

static int prepare(bench *b) {
    const cli_options *o = b->o;
    b->reps = (int)o->reps;
    int rc = parse_list("--lengths", o->lengths, 1, 1 << 20, &b->lengths);
    if (!rc) rc = parse_list("--gammas", o->gammas, 1, 32, &b->gammas);
    if (!rc) rc = parse_list("--at", o->positions, 0, 1 << 20, &b->positions);
    if (!rc && o->n_predict < 1)
        rc = cli_usage("-n %lld: bench needs a number of tokens", (long long)o->n_predict);
    if (!rc) rc = cli_session_open(&b->session, o);
    if (rc) return rc;
    const int room = vb_context_size(b->session.context),
              n_vocab = vb_model_describe(b->session.target.model)->n_vocab;
    fit(&b->lengths, room, "a prompt of");
    fit(&b->positions, room - DECODE_TOKENS, "position");
    if (b->positions.n == 0)
        return cli_error("the context holds %d positions, too few to measure in: use a larger -c, up to the "
                         "%d of the model, or a shorter --at",
                         room, vb_model_describe(b->session.target.model)->n_ctx);
    b->filler = calloc((size_t)room, sizeof *b->filler);
    if (!b->filler) return cli_error("out of memory");
    const int ids = b->session.params.draft_vocab ? b->session.params.draft_vocab : n_vocab;
    uint32_t state = 1;
    for (int i = 0; i < room; i++) {
        state = state * 1664525u + 1013904223u;
        b->filler[i] = (int32_t)((state >> 8) % (uint32_t)ids);
    }
    b->read_bytes = bytes_per_token(b->session.target.gguf, vb_model_describe(b->session.target.model));
    return read_prompt(b);
}

/* ---------------------------------------------------------------------------------------- results */

/* v(T): reading the weights once at the bandwidth of this machine would take read_bytes/bandwidth. */
static double against_bandwidth(const bench *b, double seconds) {
    return seconds * b->bandwidth.bytes_per_s / (double)b->read_bytes;
}

static json_t *by_number(const list *l, const double *values) {
    json_t *o = json_object();
    char key[16];
    for (int i = 0; i < l->n; i++) {
        snprintf(key, sizeof key, "%d", l->at[i]);
        json_object_set_new(o, key, cli_json_real(values[i]));
    }
    return o;
}

/* Position -> T -> c(T)/c(1). */
static json_t *costs_json(const bench *b) {
    json_t *o = json_object();
    char key[16];
    for (int i = 0; i < b->positions.n; i++) {
        json_t *cost = json_object();
        for (int t = 1; t <= MOST_TOKENS; t++) {
            snprintf(key, sizeof key, "%d", t);
            json_object_set_new(cost, key, cli_json_real(b->costs[i][t] / b->costs[i][1]));
        }
        snprintf(key, sizeof key, "%d", b->positions.at[i]);
        json_object_set_new(o, key, cost);
    }
    return o;
}

static json_t *speculation_json(const bench *b) {
    if (!b->runs) return json_null();
    json_t *o = json_object();
    for (int i = 0; i <= b->gammas.n; i++) {
        const spec_run *r = &b->runs[i];
        const double rate = (double)b->o->n_predict / median(r->seconds, b->rounds);
        char key[16];
        snprintf(key, sizeof key, "%d", r->gamma);
        if (i == 0) {
            json_object_set_new(o, "alone", json_pack("{so}", "tokens_per_s", cli_json_real(rate)));
            continue;
        }
        const vb_stats *s = &r->stats;
        json_object_set_new(
            o, key,
            json_pack("{so so so so so so sb}", "tokens_per_s", cli_json_real(rate), "speed_up",
                      cli_json_real(speed_up(b, r)), "predicted", cli_json_real(predicted(b, r)), "alpha",
                      cli_json_real((double)s->accepted / (double)s->tested), "acceptance",
                      cli_json_real((double)s->accepted / (double)s->drafted), "tokens_per_step",
                      cli_json_real((double)s->emitted / (double)s->steps), "identical", r->identical));
    }
    return o;
}

static json_t *experts_json(const bench *b) {
    const vb_model_info *i = vb_model_describe(b->session.target.model);
    if (i->n_experts == 0) return json_null();
    json_t *distinct = json_object();
    for (int t = 1; t <= MOST_TOKENS; t++) {
        char key[16];
        snprintf(key, sizeof key, "%d", t);
        json_object_set_new(distinct, key, cli_json_real(b->experts[t]));
    }
    const double part = 1.0 - (double)i->n_experts_used / i->n_experts;
    return json_pack("{si si sI so}", "count", i->n_experts, "used", i->n_experts_used, "active_parameters",
                     (json_int_t)((double)i->parameters - part * (double)i->expert_parameters), "distinct",
                     distinct);
}

static json_t *result_json(const bench *b) {
    json_t *cost = json_object(), *v = json_object(), *seconds = json_object(), *o = json_object();
    const cli_session *s = &b->session;
    double rates[MOST_LIST];
    for (int i = 0; i < b->positions.n; i++) rates[i] = 1.0 / b->decode[i];
    for (int t = 1; t <= MOST_TOKENS; t++) {
        char key[16];
        snprintf(key, sizeof key, "%d", t);
        json_object_set_new(cost, key, cli_json_real(b->cost[t] / b->cost[1]));
        json_object_set_new(v, key, cli_json_real(against_bandwidth(b, b->cost[t])));
        json_object_set_new(seconds, key, cli_json_real(b->cost[t]));
    }
    json_object_set_new(o, "model", cli_json_text(b->o->model, strlen(b->o->model)));
    cli_json_pre(o, b->session.target.tokenizer);
    if (b->o->draft_model)
        json_object_set_new(o, "draft_model", cli_json_text(b->o->draft_model, strlen(b->o->draft_model)));
    json_object_set_new(o, "draft", json_string(s->draft_name));
    json_object_set_new(o, "decode",
                        json_pack("{so so si so}", "tokens_per_s", cli_json_real(rates[0]), "bandwidth_share",
                                  cli_json_real(1.0 / against_bandwidth(b, b->decode[0])), "at",
                                  b->positions.at[0], "by_position", by_number(&b->positions, rates)));
    json_object_set_new(o, "prompt", by_number(&b->lengths, b->prompt_rate));
    json_object_set_new(o, "cost", cost);
    json_object_set_new(o, "cost_by_position", costs_json(b));
    json_object_set_new(o, "v", v);
    json_object_set_new(o, "seconds", seconds);
    json_object_set_new(o, "experts", experts_json(b));
    json_object_set_new(o, "speculation", speculation_json(b));
    json_object_set_new(o, "draft_seconds", b->draft_token > 0 ? cli_json_real(b->draft_token) : json_null());
    json_object_set_new(o, "memory",
                        json_pack("{so sI sI sI}", "peak_rss", cli_json_real(b->peak_rss), "context",
                                  (json_int_t)vb_context_bytes(s->context), "weights",
                                  (json_int_t)vb_model_describe(s->target.model)->weight_bytes,
                                  "read_per_token", (json_int_t)b->read_bytes));
    json_object_set_new(o, "bandwidth",
                        json_pack("{so sI ss si}", "bytes_per_s", cli_json_real(b->bandwidth.bytes_per_s),
                                  "bytes", (json_int_t)b->bandwidth.bytes, "vectors", b->bandwidth.vectors,
                                  "threads", b->bandwidth.threads));
    json_object_set_new(o, "kernels", json_string(vb_context_kernels(s->context)));
    json_object_set_new(o, "threads", json_integer(vb_context_threads(s->context)));
    json_object_set_new(o, "activations", json_string(b->o->activations));
    json_object_set_new(o, "kv", json_string(b->o->kv));
    json_object_set_new(o, "repetitions", json_integer(b->reps));
    if (s->offload) json_object_set_new(o, "offload", cli_json_offload(s));
    json_object_set_new(o, "version", json_string(VB_VERSION));
    return o;
}

static void print_speculation(const bench *b) {
    if (!b->runs) return;
    char shown[5][32];
    cli_outf("\nspeculation  %8s %9s %10s %11s %7s %9s  %s\n", "tokens/s", "speed-up", "predicted",
             "acceptance", "alpha", "per step", "identical");
    for (int i = 0; i <= b->gammas.n; i++) {
        const spec_run *r = &b->runs[i];
        const double rate = (double)b->o->n_predict / median(r->seconds, b->rounds);
        const vb_stats *s = &r->stats;
        if (i == 0) {
            cli_outf("  alone      %8s\n", cli_digits(rate, shown[0]));
            continue;
        }
        cli_outf("  gamma %-4d %8s %9s %10s %11s %7.3f %9s  %s\n", r->gamma, cli_digits(rate, shown[0]),
                 cli_digits(speed_up(b, r), shown[1]), cli_digits(predicted(b, r), shown[2]),
                 cli_percent((double)s->accepted / (double)s->drafted, shown[3]),
                 (double)s->accepted / (double)s->tested,
                 cli_digits((double)s->emitted / (double)s->steps, shown[4]), r->identical ? "yes" : "no");
    }
}

/* What `serve --preset` calls this length, if anything. */
static const char *preset_of(int gamma) {
    return gamma == 3   ? " (serve: --preset fast)"
           : gamma == 5 ? " (serve: --preset balanced)"
           : gamma == 7 ? " (serve: --preset max)"
                        : "";
}

static uint64_t cache_bytes(void) {
    long bytes = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
    bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    return bytes > 0 ? (uint64_t)bytes : 0;
}

/* Why drafting does not pay: where a step's time goes, in tokens of the target alone, and what it writes. */
static void print_why(const bench *b, const spec_run *r) {
    char draft[32], check[32], tokens[32];
    const bool cached = b->read_bytes < cache_bytes() || against_bandwidth(b, b->decode[0]) < 0.95;
    const double per_step = (double)r->stats.emitted / (double)r->stats.steps;
    cli_outf(
        "A step of gamma %d takes %s (guessing) + %s (checking) times a token alone, and writes %s tokens.\n",
        r->gamma, cli_digits(r->gamma * b->draft_token / b->cost[1], draft),
        r->gamma + 1 <= MOST_TOKENS ? cli_digits(b->cost[r->gamma + 1] / b->cost[1], check) : "?",
        cli_digits(per_step, tokens));
    if (cached)
        cli_outf("The weights stand in the CPU's cache, which makes a token alone cheap; models of gigabytes "
                 "gain.\n");
    else if (per_step < 1.3)
        cli_outf("Few guesses are right: a draft of the target's own family and release would be.\n");
}

static void print_verdict(const bench *b) {
    const spec_run *best = NULL;
    char x[32];
    if (!b->runs || b->gammas.n < 1) return;
    for (int i = 1; i <= b->gammas.n; i++)
        if (!best || speed_up(b, &b->runs[i]) > speed_up(b, best)) best = &b->runs[i];
    const double gain = speed_up(b, best);
    cli_digits(gain, x);
    if (gain >= 1.05) {
        cli_outf("\nDraft: --gamma %d%s is %s times the target alone.\n", best->gamma, preset_of(best->gamma),
                 x);
    } else {
        cli_outf("\nDo not draft with this pair here: at best %s times the target alone (gamma %d).\n", x,
                 best->gamma);
        print_why(b, best);
    }
}

static void print_result(const bench *b) {
    const cli_session *s = &b->session;
    char size[32], rss[32];
    cli_outf("%s: %s of weights read per token, kernels %s, %d threads, activations %s\n", b->o->model,
             cli_bytes(b->read_bytes, size), vb_context_kernels(s->context), vb_context_threads(s->context),
             b->o->activations);
    cli_outf("read bandwidth %.1f GB/s (", b->bandwidth.bytes_per_s * 1e-9);
    if (b->bandwidth.bytes)
        cli_outf("best of 5, %.1f GB, %d threads, %s loads", (double)b->bandwidth.bytes * 1e-9,
                 b->bandwidth.threads, b->bandwidth.vectors);
    else
        cli_outf("given");
    cli_outf("); peak memory %s\n\n", cli_bytes((uint64_t)b->peak_rss, rss));
    for (int i = 0; i < b->positions.n; i++)
        cli_outf("decode behind %-5d  %9s tokens/s  %3.0f %% of the bandwidth%s\n", b->positions.at[i],
                 cli_digits(1.0 / b->decode[i], size), 100.0 / against_bandwidth(b, b->decode[i]),
                 against_bandwidth(b, b->decode[i]) < 0.95 ? " (from the CPU's cache)" : "");
    for (int i = 0; i < b->lengths.n; i++)
        cli_outf("prompt of %-5d      %9s tokens/s\n", b->lengths.at[i], cli_digits(b->prompt_rate[i], size));
    cli_outf("\ntokens together  ");
    for (int t = 1; t <= MOST_TOKENS; t++) cli_outf("%6d", t);
    cli_outf("\nc(T)/c(1)        ");
    for (int t = 1; t <= MOST_TOKENS; t++) cli_outf("%6.2f", b->cost[t] / b->cost[1]);
    for (int i = 1; i < b->positions.n; i++) {
        cli_outf("\n  behind %-8d", b->positions.at[i]);
        for (int t = 1; t <= MOST_TOKENS; t++) cli_outf("%6.2f", b->costs[i][t] / b->costs[i][1]);
    }
    cli_outf("\nv(T)             ");
    for (int t = 1; t <= MOST_TOKENS; t++) cli_outf("%6.2f", against_bandwidth(b, b->cost[t]));
    if (vb_model_describe(s->target.model)->n_experts) cli_outf("\nexperts          ");
    for (int t = 1; t <= MOST_TOKENS && b->experts[1] > 0; t++) cli_outf("%6.1f", b->experts[t]);
    cli_outf("\n");
    print_speculation(b);
    print_verdict(b);
    cli_outf("`verbatim help stats` says what the words mean.\n");
}

static double peak_rss(void) {
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u)) return NAN;
#ifdef __APPLE__
    return (double)u.ru_maxrss;
#else
    return (double)u.ru_maxrss * 1024.0;
#endif
}

int cli_bench(cli_options *o) {
    bench *b = calloc(1, sizeof *b);
    if (!b) return cli_error("out of memory");
    b->o = o;
    if (o->seed < 0) o->seed = 1; /* a measurement can be repeated */
    cli_interrupt_install();
    int rc = prepare(b);
    if (!rc) rc = measure_decode(b);
    if (!rc) rc = measure_costs(b);
    if (!rc) rc = measure_prompt(b);
    if (!rc) rc = measure_speculation(b);
    b->peak_rss = peak_rss(); /* before the memory that the bandwidth is measured on */
    if (!rc) rc = measure_bandwidth(b);
    if (!rc && o->json) {
        rc = cli_out_json(result_json(b));
    } else if (!rc) {
        print_result(b);
        cli_print_offload(b->session.offload, b->session.context, true);
    }
    if (!rc) rc = cli_out_finish();
    free(b->runs);
    free(b->alone);
    free(b->filler);
    vb_free(b->prompt);
    free(b->file_text);
    cli_session_close(&b->session);
    free(b);
    return rc;
}
