/* bench.c - `verbatim bench`: how fast a model is here, what verifying a draft costs, and what speculation
 * gains. What each number means, and how to measure well: docs/bench.md. */
#include "cli/bench.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

void bench_progress(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
}

bool bench_more(int done, int reps, double start) {
    return done < reps || (done < MOST_REPS && cli_now() - start < 1.0);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(const double *values, int n) {
    double sorted[MOST_REPS];
    memcpy(sorted, values, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

/* "tree" (--tree auto) or a shape in front of *text: its siblings per depth with x between, for commas stand
 * between the lengths of the list. *taken: there was one, and the list has it. */
static int parse_shape(const char **text, bench_list *out, bool *taken) {
    char shape[80];
    vb_error err = {0};
    const size_t n = strcspn(*text, ",");
    const bool chosen = n == 4 && !strncmp(*text, "tree", 4);
    *taken = chosen || (memchr(*text, 'x', n) && n < sizeof shape);
    if (!*taken) return CLI_OK;
    if (chosen) {
        out->tree[out->n][0] = VB_TREE_AUTO;
        out->at[out->n] = VB_GAMMA_AUTO;
    } else {
        for (size_t i = 0; i < n; i++) shape[i] = (*text)[i] == 'x' ? ',' : (*text)[i];
        shape[n] = 0;
        if (vb_draft_tree_read(shape, out->tree[out->n], &err)) return cli_usage("--gammas: %s", err.message);
        out->at[out->n] = vb_draft_tree_size(out->tree[out->n]);
    }
    out->n++;
    *text += n + ((*text)[n] == ',');
    return CLI_OK;
}

/* "3,5,8", each in [least, most], ascending or not. */
static int parse_list(const char *option, const char *text, int least, int most, bench_list *out) {
    const bool lengths = !strcmp(option, "--gammas"); /* of drafts: auto is one, too */
    out->n = 0;
    while (*text) {
        char *end;
        bool taken = false;
        const int rc = lengths && out->n < MOST_LIST ? parse_shape(&text, out, &taken) : CLI_OK;
        if (rc) return rc;
        if (taken) continue;
        const long v = strtol(text, &end, 10);
        if (lengths && !strncmp(text, "auto", 4) && (!text[4] || text[4] == ',') && out->n < MOST_LIST) {
            out->at[out->n++] = VB_GAMMA_AUTO;
            text += text[4] ? 5 : 4;
            continue;
        }
        if (end == text || (*end && *end != ',') || v < least || v > most || out->n == MOST_LIST)
            return cli_usage("%s %s: expected up to %d numbers from %d to %d%s with commas between", option,
                             text, MOST_LIST, least, most, lengths ? ", auto or shapes such as 3x2x1" : "");
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
int bench_time_decode(const bench *b, vb_context *c, int at, double *seconds, double *joules) {
    double times[MOST_REPS];
    vb_error err = {0};
    cli_energy before, after;
    int rc = fill(b, c, at), reps = 0;
    cli_energy_read(&before);
    const double begin = cli_now();
    for (; bench_more(reps, b->reps, begin) && !rc; reps++) {
        const double start = cli_now();
        for (int i = 0; i < DECODE_TOKENS && !rc; i++)
            if (vb_eval(c, b->filler + i, 1, NULL, &err)) rc = cli_report(&err);
        times[reps] = (cli_now() - start) / DECODE_TOKENS;
        if (!rc && vb_context_truncate(c, at, &err)) rc = cli_report(&err);
    }
    cli_energy_read(&after);
    if (!rc) *seconds = bench_median(times, reps);
    if (!rc && joules) *joules = cli_joules_between(&before, &after) / reps / DECODE_TOKENS;
    return rc;
}

/* The share of the threads' time in which they wait, for one another or for what one thread does alone:
 * n tokens once more behind `at` positions, one at a time or all together, with two looks at the clock per
 * task, which the other figures need not pay. */
static int measure_waiting(const bench *b, int at, size_t n, bool together, double *share) {
    vb_context *c = b->session.context;
    const int threads = vb_context_threads(c);
    vb_error err = {0};
    int rc = fill(b, c, at);
    const double start = cli_now();
    vb_context_watch(c, true);
    for (size_t i = 0; i < n && !rc; i += together ? n : 1)
        if (vb_eval(c, b->filler + i, together ? n : 1, NULL, &err)) rc = cli_report(&err);
    *share = threads > 1 ? vb_context_waited(c) / (threads * (cli_now() - start)) : (double)NAN;
    vb_context_watch(c, false);
    if (!rc && vb_context_truncate(c, at, &err)) rc = cli_report(&err);
    return rc;
}

static int measure_decode(bench *b) {
    int rc = CLI_OK;
    cli_energy now;
    b->no_joules = cli_energy_read(&now);
    for (int i = 0; i < b->positions.n && !rc; i++) {
        bench_progress("one token at a time, behind %d", b->positions.at[i]);
        rc = bench_time_decode(b, b->session.context, b->positions.at[i], &b->decode[i], &b->joules[i]);
        if (!rc) rc = measure_waiting(b, b->positions.at[i], DECODE_TOKENS, false, &b->waiting[i]);
    }
    if (!rc) {
        const vb_context *c = b->session.context;
        b->multiply_rate = cli_multiply_rate(vb_context_kernels(c), vb_context_threads(c));
    }
    return rc;
}

static int measure_prompt(bench *b) {
    double times[MOST_REPS];
    int rc = CLI_OK;
    for (int i = 0; i < b->lengths.n && !rc; i++) {
        const size_t n = (size_t)b->lengths.at[i];
        bench_progress("a prompt of %zu tokens", n);
        rc = fill(b, b->session.context, 0);
        int reps = 0;
        for (const double begin = cli_now(); bench_more(reps, b->reps, begin) && !rc; reps++)
            rc = time_tokens(b->session.context, b->filler, n, 0, false, &times[reps]);
        if (!rc) b->prompt_rate[i] = (double)n / bench_median(times, reps);
        if (!rc) rc = measure_waiting(b, 0, n, true, &b->prompt_waiting[i]);
    }
    return rc;
}

/* T = 1 .. 16 in turn, not one T after the other, so that a slow moment of the machine does not fall on one T
 * alone. */
static int measure_cost(bench *b, int at, double *cost) {
    double times[MOST_TOKENS + 1][MOST_REPS];
    bench_progress("1 to 16 tokens together, behind %d", at);
    int rc = fill(b, b->session.context, at), reps = -1; /* the first round warms up */
    for (const double begin = cli_now(); bench_more(reps, b->reps, begin) && !rc; reps++)
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
    for (int t = 1; t <= MOST_TOKENS && !rc; t++) cost[t] = bench_median(times[t], reps);
    return rc;
}

static int measure_costs(bench *b) {
    int rc = CLI_OK;
    b->cost = b->costs[0];
    for (int i = b->positions.n; i-- > 0 && !rc;) rc = measure_cost(b, b->positions.at[i], b->costs[i]);
    return rc;
}

static int measure_bandwidth(bench *b) {
    if (b->o->bandwidth > 0) {
        b->bandwidth = (cli_bandwidth){.bytes_per_s = b->o->bandwidth * 1e9, .vectors = "given"};
        return CLI_OK;
    }
    bench_progress("the bandwidth of the memory");
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
    return cli_active(sum, info->expert_bytes, (uint64_t)info->n_experts, (uint64_t)info->n_experts_used);
}

/* Drops what the context is too short for. */
static void fit(bench_list *l, int room, const char *what) {
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
    const vb_model *draft = b->session.draft_file.model;
    int ids = b->session.params.draft_vocab ? b->session.params.draft_vocab : n_vocab;
    /* Where drafts go through text the draft model has ids of its own; it is timed on these, too. */
    if (draft && vb_model_describe(draft)->n_vocab < ids) ids = vb_model_describe(draft)->n_vocab;
    uint32_t state = 1;
    for (int i = 0; i < room; i++) {
        state = state * 1664525u + 1013904223u;
        b->filler[i] = (int32_t)((state >> 8) % (uint32_t)ids);
    }
    b->read_bytes = bytes_per_token(b->session.target.gguf, vb_model_describe(b->session.target.model));
    return read_prompt(b);
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
    cli_load load;
    cli_load_begin(&load);
    if (!rc) rc = measure_decode(b);
    if (!rc) rc = measure_costs(b);
    if (!rc) rc = measure_prompt(b);
    if (!rc) rc = bench_speculation(b);
    b->others = cli_load_others(&load);
    b->peak_rss = peak_rss(); /* before the memory that the bandwidth is measured on */
    if (!rc) rc = measure_bandwidth(b);
    if (!rc && o->json) {
        rc = cli_out_json(bench_json(b));
    } else if (!rc) {
        bench_print(b);
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
