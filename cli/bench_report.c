/* bench_report.c - what `verbatim bench` prints: JSON, or tables with a verdict. */
#include "cli/bench.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* v(T): reading the weights once at the bandwidth of this machine would take read_bytes/bandwidth. */
static double against_bandwidth(const bench *b, double seconds) {
    return seconds * b->bandwidth.bytes_per_s / (double)b->read_bytes;
}

static json_t *by_number(const bench_list *l, const double *values) {
    json_t *o = json_object();
    char key[16];
    for (int i = 0; i < l->n; i++) {
        snprintf(key, sizeof key, "%d", l->at[i]);
        json_object_set_new(o, key, cli_json_real(values[i]));
    }
    return o;
}

/* Of what the multipliers allow, attention to the positions between the first of the list and this one, in
 * the time that a token takes longer for them: two multiplications and additions per position, query head and
 * dimension. NAN where there is no such time. A layer with a window sees fewer, so the share is too large
 * there. */
static double attention_share(const bench *b, int i) {
    const vb_model_info *m = vb_model_describe(b->session.target.model);
    const double more = b->positions.at[i] - b->positions.at[0], seconds = b->decode[i] - b->decode[0];
    if (!(more > 0) || !(seconds > 0)) return NAN;
    return 2.0 * m->n_layers * m->n_heads * m->head_dim * more / b->multiply_rate / seconds;
}

static json_t *attention_json(const bench *b) {
    json_t *o = json_object();
    char key[16];
    for (int i = 1; i < b->positions.n; i++) {
        snprintf(key, sizeof key, "%d", b->positions.at[i]);
        json_object_set_new(o, key, cli_json_real(attention_share(b, i)));
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

/* How many steps drafted 0, 1, 2, ... tokens. */
static json_t *lengths_json(const vb_stats *s) {
    json_t *a = json_array();
    int last = 32;
    while (last > 0 && s->by_length[last] == 0) last--;
    for (int k = 0; k <= last; k++) json_array_append_new(a, json_integer((json_int_t)s->by_length[k]));
    return a;
}

static json_t *speculation_json(const bench *b) {
    if (!b->runs) return json_null();
    json_t *o = json_object();
    for (int i = 0; i <= b->gammas.n; i++) {
        const bench_run *r = &b->runs[i];
        const double rate = (double)b->o->n_predict / bench_median(r->seconds, b->rounds);
        const double first = bench_median(r->first, b->rounds);
        char key[80];
        bench_run_name(r, key);
        if (r->tree[0] == VB_TREE_AUTO) memcpy(key, "tree", 5); /* auto is the chains' */
        if (i == 0) {
            json_object_set_new(o, "alone",
                                json_pack("{so so}", "tokens_per_s", cli_json_real(rate), "first_token_s",
                                          cli_json_real(first)));
            continue;
        }
        const vb_stats *s = &r->stats;
        json_object_set_new(
            o, key,
            json_pack("{so so so so so so so so sb}", "tokens_per_s", cli_json_real(rate), "first_token_s",
                      cli_json_real(first), "steps_by_length", lengths_json(s), "speed_up",
                      cli_json_real(bench_speed_up(b, r)), "predicted", cli_json_real(bench_predicted(b, r)),
                      "alpha", cli_json_real((double)s->accepted / (double)s->tested), "acceptance",
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
    const uint64_t active =
        cli_active(i->parameters, i->expert_parameters, (uint64_t)i->n_experts, (uint64_t)i->n_experts_used);
    return json_pack("{si si sI so}", "count", i->n_experts, "used", i->n_experts_used, "active_parameters",
                     (json_int_t)active, "distinct", distinct);
}

json_t *bench_json(const bench *b) {
    char kv[16];
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
    cli_json_rope(o, b->session.target.model, b->session.draft_file.model);
    if (b->o->draft_model)
        json_object_set_new(o, "draft_model", cli_json_text(b->o->draft_model, strlen(b->o->draft_model)));
    json_object_set_new(o, "draft", json_string(s->draft_name));
    json_object_set_new(
        o, "decode",
        json_pack("{so so si so so so so so}", "tokens_per_s", cli_json_real(rates[0]), "bandwidth_share",
                  cli_json_real(1.0 / against_bandwidth(b, b->decode[0])), "at", b->positions.at[0],
                  "by_position", by_number(&b->positions, rates), "attention_share", attention_json(b),
                  "multiply_rate", cli_json_real(b->multiply_rate), "joules_per_token",
                  by_number(&b->positions, b->joules), "waiting", by_number(&b->positions, b->waiting)));
    json_object_set_new(o, "prompt", by_number(&b->lengths, b->prompt_rate));
    json_object_set_new(o, "prompt_waiting", by_number(&b->lengths, b->prompt_waiting));
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
    json_object_set_new(o, "kv", json_string(cli_kv_text(b->o, kv)));
    json_object_set_new(o, "repetitions", json_integer(b->reps));
    cli_load_write(o, b->others);
    if (s->offload) json_object_set_new(o, "offload", cli_json_offload(s));
    json_object_set_new(o, "version", json_string(VB_VERSION));
    return o;
}

static void print_speculation(const bench *b) {
    if (!b->runs) return;
    char shown[6][32], name[80], label[100];
    cli_outf("\nspeculation  %8s %9s %10s %11s %7s %9s %12s  %s\n", "tokens/s", "speed-up", "predicted",
             "acceptance", "alpha", "per step", "first token", "identical");
    for (int i = 0; i <= b->gammas.n; i++) {
        const bench_run *r = &b->runs[i];
        const double rate = (double)b->o->n_predict / bench_median(r->seconds, b->rounds);
        const vb_stats *s = &r->stats;
        if (i == 0) {
            cli_outf("  alone      %8s %65s\n", cli_digits(rate, shown[0]),
                     cli_seconds(bench_median(r->first, b->rounds), shown[5]));
            continue;
        }
        snprintf(label, sizeof label, "%s %s", r->tree[0] ? "tree" : "gamma", bench_run_name(r, name));
        cli_outf("  %-10s %8s %9s %10s %11s %7.3f %9s %12s  %s\n", label, cli_digits(rate, shown[0]),
                 cli_digits(bench_speed_up(b, r), shown[1]), cli_digits(bench_predicted(b, r), shown[2]),
                 cli_percent((double)s->accepted / (double)s->drafted, shown[3]),
                 (double)s->accepted / (double)s->tested,
                 cli_digits((double)s->emitted / (double)s->steps, shown[4]),
                 cli_seconds(bench_median(r->first, b->rounds), shown[5]), r->identical ? "yes" : "no");
    }
}

/* What `serve --preset` calls this length, if anything. */
static const char *preset_of(int gamma) {
    return gamma == 3               ? " (serve: --preset fast)"
           : gamma == 5             ? " (serve: --preset balanced)"
           : gamma == 7             ? " (serve: --preset max)"
           : gamma == VB_GAMMA_AUTO ? " (serve: --preset auto)"
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
static void print_why(const bench *b, const bench_run *r) {
    char draft[32], check[32], tokens[32], name[80];
    double drafts = 0, passes = 0;
    for (int k = 0; k <= 32; k++) {
        const double part = (double)r->stats.by_length[k] / (double)r->stats.steps;
        if (part > 0) drafts += part * bench_drafting(b, r, k);
        if (part > 0) passes += part * (k + 1 <= MOST_TOKENS ? b->cost[k + 1] : (double)NAN);
    }
    const bool cached = b->read_bytes < cache_bytes() || against_bandwidth(b, b->decode[0]) < 0.95;
    const double per_step = (double)r->stats.emitted / (double)r->stats.steps;
    cli_outf(
        "A step of %s %s takes %s (guessing) + %s (checking) times a token alone, and writes %s tokens.\n",
        r->tree[0] ? "tree" : "gamma", bench_run_name(r, name), cli_digits(drafts / b->cost[1], draft),
        cli_digits(passes / b->cost[1], check), cli_digits(per_step, tokens));
    if (cached)
        cli_outf("The weights stand in the CPU's cache, which makes a token alone cheap; models of gigabytes "
                 "gain.\n");
    else if (per_step < 1.3)
        cli_outf("Few guesses are right: a draft of the target's own family and release would be.\n");
}

static void print_verdict(const bench *b) {
    const bench_run *best = NULL;
    char x[32], name[80];
    if (!b->runs || b->gammas.n < 1) return;
    for (int i = 1; i <= b->gammas.n; i++)
        if (!best || bench_speed_up(b, &b->runs[i]) > bench_speed_up(b, best)) best = &b->runs[i];
    const double gain = bench_speed_up(b, best);
    cli_digits(gain, x);
    if (gain >= 1.05) {
        cli_outf("\nDraft: --%s %s%s is %s times the target alone.\n", best->tree[0] ? "tree" : "gamma",
                 best->tree[0] ? cli_tree_name(best->tree, ',', name) : cli_gamma_name(best->gamma, name),
                 best->tree[0] ? "" : preset_of(best->gamma), x);
    } else {
        cli_outf("\nDo not draft with this pair here: at best %s times the target alone (%s %s).\n", x,
                 best->tree[0] ? "tree" : "gamma", bench_run_name(best, name));
        print_why(b, best);
    }
}

/* The costs that --gamma auto goes by were measured once and kept; where these are far from them, one of the
 * two was measured beside other work. */
static void print_kept(const bench *b) {
    static const int passes[] = {4, 8, 16};
    const cli_session *s = &b->session;
    const vb_gguf *own = s->draft_file.gguf ? s->draft_file.gguf : s->target.gguf;
    const double at = b->positions.at[0];
    char kept[32], now[32];
    cli_costs c;
    if (s->params.draft == VB_DRAFT_NONE ||
        cli_costs_find(b->o, s->target.gguf, s->draft_context ? own : NULL, &c) || !c.known)
        return;
    for (int i = 0; i < 3; i++) {
        const int t = passes[i] - 1;
        const double near = c.costs.target[0][t], far = c.costs.target[1][t],
                     one = c.costs.target[0][0] +
                           at / c.costs.far * (c.costs.target[1][0] - c.costs.target[0][0]),
                     then = (near + at / c.costs.far * (far - near)) / one,
                     here = b->cost[t + 1] / b->cost[1];
        if (then < 1.3 * here && here < 1.3 * then) continue;
        cli_outf("Kept for --gamma auto: c(%d)/c(1) = %s, measured now: %s. Removing %s lets it be measured "
                 "again.\n",
                 passes[i], cli_digits(then, kept), cli_digits(here, now), c.path);
        return;
    }
}

static void print_waiting(double share) {
    if (isfinite(share)) cli_outf(", threads wait %.0f %% of the time", 100.0 * share);
    cli_outf("\n");
}

void bench_print(const bench *b) {
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
    for (int i = 0; i < b->positions.n; i++) {
        cli_outf("decode behind %-5d  %9s tokens/s  %3.0f %% of the bandwidth%s", b->positions.at[i],
                 cli_digits(1.0 / b->decode[i], size), 100.0 / against_bandwidth(b, b->decode[i]),
                 against_bandwidth(b, b->decode[i]) < 0.95 ? " (from the CPU's cache)" : "");
        if (isfinite(attention_share(b, i)))
            cli_outf(", attention %.0f %% of the multipliers", 100.0 * attention_share(b, i));
        if (isfinite(b->joules[i])) cli_outf(", %s J a token", cli_digits(b->joules[i], size));
        print_waiting(b->waiting[i]);
    }
    for (int i = 0; i < b->lengths.n; i++) {
        cli_outf("prompt of %-5d      %9s tokens/s", b->lengths.at[i], cli_digits(b->prompt_rate[i], size));
        print_waiting(b->prompt_waiting[i]);
    }
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
    print_kept(b);
    if (b->others > CLI_BUSY)
        cli_outf(
            "Other programs used %.0f %% of the processors meanwhile: measure again on a quieter machine.\n",
            100 * b->others);
    if (b->no_joules) cli_outf("Energy is not measured: %s.\n", b->no_joules);
    cli_outf("`verbatim help stats` says what the words mean.\n");
}
