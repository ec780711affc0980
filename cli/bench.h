/* bench.h - what the parts of `verbatim bench` share: bench.c measures tokens, bench_spec.c speculation, and
 * bench_report.c says what was found. */
#ifndef VERBATIM_CLI_BENCH_H
#define VERBATIM_CLI_BENCH_H

#include "cli/cli.h"

enum { MOST_TOKENS = 16, MOST_LIST = 16, MOST_REPS = 100, DECODE_TOKENS = 32 };

typedef struct bench_list {
    int n, at[MOST_LIST];
    int tree[MOST_LIST][VB_TREE_DEPTH]; /* of --gammas: a shape, at[] then its size; {0}: a chain */
} bench_list;

/* What was measured with one draft length, in every repetition; gamma = 0: the target alone. */
typedef struct bench_run {
    int gamma;               /* VB_GAMMA_AUTO among them */
    int tree[VB_TREE_DEPTH]; /* a tree of so many tokens, or {0} */
    double seconds[MOST_REPS];
    double first[MOST_REPS]; /* from the prompt's beginning to the first token */
    vb_stats stats;          /* of all repetitions, added up */
    bool identical;
} bench_run;

typedef struct bench {
    cli_session session;
    const cli_options *o;
    int reps, rounds; /* rounds: of speculation */
    bench_list lengths, gammas, positions;
    int32_t *filler; /* tokens to evaluate where any will do */
    int32_t *prompt; /* vb_free */
    size_t n_prompt;
    char *file_text;
    uint64_t read_bytes;             /* weights that one token reads */
    double experts[MOST_TOKENS + 1]; /* distinct ones of a layer that a call of so many tokens reads */
    double decode[MOST_LIST], prompt_rate[MOST_LIST], draft_token;
    double waiting[MOST_LIST], prompt_waiting[MOST_LIST]; /* shares of the threads' time; NAN: one thread */
    double joules[MOST_LIST];                             /* per token; NAN where they are not readable */
    const char *no_joules;                                /* why */
    double multiply_rate;                                 /* floats per second, NAN: not known */
    double costs[MOST_LIST][MOST_TOKENS + 1];             /* by position */
    const double *cost;                                   /* behind the first one */
    bench_run *runs;                                      /* (1 + gammas.n) */
    int32_t *alone;                                       /* (reps, n_predict) tokens */
    double peak_rss;
    double others; /* part of the processors that other programs took meanwhile */
    cli_bandwidth bandwidth;
} bench;

void bench_progress(const char *format, ...) CLI_PRINTF(1, 2);

/* Whether to measure once more: what is over quickly is repeated for a second. */
bool bench_more(int done, int reps, double start);

double bench_median(const double *values, int n);

/* Seconds per token, one at a time, behind `at` positions: the median over repetitions. joules: the mean per
 * token, NAN where it cannot be read; may be NULL. */
int bench_time_decode(const bench *b, vb_context *c, int at, double *seconds, double *joules);

/* Measures the target alone and every length of b->gammas in turn. Does nothing without a draft. */
int bench_speculation(bench *b);

/* The gain that the measured acceptance, draft cost and verification cost give, without overheads; NAN where
 * the cost of so many tokens was not measured. */
double bench_predicted(const bench *b, const bench_run *r);

/* The time that guessing k tokens takes. */
double bench_drafting(const bench *b, const bench_run *r, int k);
/* "5", "auto" or "3x2x1". */
const char *bench_run_name(const bench_run *r, char out[80]);

/* The median over repetitions of how much faster than the target alone in the same round. */
double bench_speed_up(const bench *b, const bench_run *r);

json_t *bench_json(const bench *b);
void bench_print(const bench *b);

#endif
