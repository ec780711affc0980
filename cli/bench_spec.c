/* bench_spec.c - the part of `verbatim bench` that runs speculation beside the target alone. */
#include "cli/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int generate(bench *b, bench_run *r, int rep, int32_t *tokens) {
    vb_spec_params p = b->session.params;
    cli_timing one;
    p.gamma = r->gamma ? r->gamma : p.gamma;
    memcpy(p.tree, r->tree, sizeof p.tree);
    if (!r->gamma) p.draft = VB_DRAFT_NONE, p.draft_context = NULL;
    const int rc = cli_time_generation(&b->session, &p, b->session.sampling.seed + (uint64_t)rep, b->prompt,
                                       b->n_prompt, (size_t)b->o->n_predict, tokens, &one);
    if (rc) return rc;
    r->seconds[rep] = one.seconds;
    r->first[rep] = one.first;
    cli_add_stats(&r->stats, &one.stats);
    return CLI_OK;
}

/* --gammas auto: what passes cost, from empty contexts. */
static int find_costs(bench *b) {
    cli_session *s = &b->session;
    const int gamma = s->params.gamma;
    vb_error err = {0};
    bool chosen = false;
    for (int i = 0; i < b->gammas.n; i++) chosen |= b->gammas.at[i] == VB_GAMMA_AUTO;
    if (!chosen) return CLI_OK;
    bench_progress("what passes cost, for gamma auto");
    if (vb_context_truncate(s->context, 0, &err) ||
        (s->draft_context && vb_context_truncate(s->draft_context, 0, &err)))
        return cli_report(&err);
    s->params.gamma = VB_GAMMA_AUTO;
    const int rc = cli_session_costs(s);
    s->params.gamma = gamma;
    return rc;
}

/* Trees are a draft model's, and block verification judges chains. */
static int check_trees(const bench *b) {
    const vb_spec_params *p = &b->session.params;
    for (int i = 0; i < b->gammas.n; i++) {
        if (!b->gammas.tree[i][0]) continue;
        if (p->draft != VB_DRAFT_MODEL)
            return cli_usage("--gammas: a tree needs a draft model: give -md FILE or --draft self");
        if (p->accept == VB_ACCEPT_BLOCK)
            return cli_usage("--gammas: a tree needs --accept coupled, greedy or rejection, not block");
    }
    return CLI_OK;
}

/* Alone, gamma 1, gamma 2, ..., alone, ...: a slow moment of the machine falls on all. */
int bench_speculation(bench *b) {
    const size_t n = (size_t)b->o->n_predict;
    int rc;
    if (b->session.params.draft == VB_DRAFT_NONE) return CLI_OK;
    b->runs = calloc((size_t)b->gammas.n + 1, sizeof *b->runs);
    b->alone = calloc(2 * n, sizeof *b->alone);
    if (!b->runs || !b->alone) return cli_error("out of memory");
    for (int i = 0; i <= b->gammas.n; i++)
        b->runs[i] = (bench_run){.gamma = i ? b->gammas.at[i - 1] : 0, .identical = true};
    for (int i = 0; i < b->gammas.n; i++)
        memcpy(b->runs[i + 1].tree, b->gammas.tree[i], sizeof b->gammas.tree[i]);
    if ((rc = check_trees(b))) return rc;
    rc = find_costs(b);
    if (!rc && b->session.draft_context) {
        bench_progress("one token at a time, the draft");
        rc = bench_time_decode(b, b->session.draft_context, b->positions.at[0], &b->draft_token, NULL);
    }
    bench_progress("speculation and the target alone, in turn");
    const double begin = cli_now();
    for (; bench_more(b->rounds, b->reps, begin) && !rc; b->rounds++) {
        for (int i = 0; i <= b->gammas.n && !rc; i++) {
            int32_t *tokens = i ? b->alone + n : b->alone;
            rc = generate(b, &b->runs[i], b->rounds, tokens);
            if (!rc && i && memcmp(tokens, b->alone, n * sizeof *tokens) != 0) b->runs[i].identical = false;
        }
    }
    return rc;
}

const char *bench_run_name(const bench_run *r, char out[80]) {
    return r->tree[0] ? cli_tree_name(r->tree, 'x', out) : cli_gamma_name(r->gamma, out);
}

/* Guessing k tokens. Of a tree depth by depth: the draft model reads those of a depth in one pass, which
 * costs more than one token by as much as the target's does. */
double bench_drafting(const bench *b, const bench_run *r, int k) {
    double time = 0;
    int wide = 1;
    if (!r->tree[0]) return k * b->draft_token;
    if (r->tree[0] == VB_TREE_AUTO) return NAN; /* shapes are not counted */
    for (int d = 0; d < VB_TREE_DEPTH && r->tree[d] && k > 0; d++) {
        time += b->draft_token * b->cost[wide < MOST_TOKENS ? wide : MOST_TOKENS] / b->cost[1];
        wide *= r->tree[d];
        k -= wide;
    }
    return time;
}

/* The gain that the measured acceptance, draft cost and verification cost give, without overheads: the time
 * of as many tokens alone, over that of the steps, each with its k drafted tokens and one pass over k + 1. */
double bench_predicted(const bench *b, const bench_run *r) {
    const bool text = b->session.params.draft_tokenizer != NULL; /* a draft may take several evaluations */
    double time = 0;
    for (int k = 0; k <= 32; k++) {
        if (r->stats.by_length[k] == 0) continue;
        if (k + 1 > MOST_TOKENS) return NAN;
        time += (double)r->stats.by_length[k] * ((text ? 0 : bench_drafting(b, r, k)) + b->cost[k + 1]);
    }
    if (text) time += (double)r->stats.draft_calls * b->draft_token;
    return time > 0 ? (double)r->stats.emitted * b->cost[1] / time : (double)NAN;
}

/* The median over repetitions of how much faster than the target alone in the same round. */
double bench_speed_up(const bench *b, const bench_run *r) {
    double ratios[MOST_REPS];
    for (int i = 0; i < b->rounds; i++) ratios[i] = b->runs[0].seconds[i] / r->seconds[i];
    return bench_median(ratios, b->rounds);
}
