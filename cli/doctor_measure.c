/* doctor_measure.c - what a target, and a draft for it, do on this machine: costs, acceptance on prompts, and
 * speeds, predicted from these and measured in turn with the target alone. */
#include "cli/doctor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 16, ROUNDS = 3 };

static const char *const SAMPLES[] = {
    "#include <stdio.h>\n\n/* Prints the prime numbers below n, one a line. */\nvoid print_primes(int n) {\n",
    "Once upon a time there was a little girl who lived in a small house near the forest. One day",
    "Shopping list:\n- apples\n- bread\n- milk\n- eggs\n- butter\n-",
};

int doctor_read_prompts(const cli_options *o, doctor_prompts *p) {
    size_t n;
    *p = (doctor_prompts){0};
    if (!o->prompts) {
        for (; p->n < (int)(sizeof SAMPLES / sizeof *SAMPLES); p->n++) {
            p->line[p->n] = SAMPLES[p->n];
            p->len[p->n] = strlen(SAMPLES[p->n]);
        }
        return CLI_OK;
    }
    const int rc = cli_read_file(o->prompts, &p->text, &n);
    if (rc) return rc;
    for (const char *at = p->text, *end = p->text + n; at < end && p->n < DOCTOR_PROMPTS;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const size_t len = (size_t)((newline ? newline : end) - at);
        if (len) p->line[p->n] = at, p->len[p->n++] = len;
        at += len + 1;
    }
    return p->n ? CLI_OK : cli_error("%s: no prompt: expected one a line", o->prompts);
}

/* ---------------------------------------------------------------------------------------- what is tried */

typedef struct row {
    vb_draft draft;
    vb_accept accept;
    int gamma;
    vb_stats stats; /* of all prompts */
    double seconds[ROUNDS], first[ROUNDS];
} row;

typedef struct trial {
    cli_session s;
    row rows[MOST_ROWS];
    int n_rows, rounds, n_prompts;
    double others;                   /* part of the processors that other programs took */
    int32_t *prompt[DOCTOR_PROMPTS]; /* vb_free */
    size_t n_prompt[DOCTOR_PROMPTS], n_predict;
} trial;

static void add(trial *t, vb_draft draft, vb_accept accept, int gamma) {
    t->rows[t->n_rows++] = (row){.draft = draft, .accept = accept, .gamma = gamma};
}

/* The target alone first. */
static void choose_rows(trial *t, bool model, bool brief) {
    static const int gammas[] = {1, 2, 3, 5, 7};
    const vb_accept own = t->s.params.accept;
    add(t, VB_DRAFT_NONE, own, 0);
    for (int i = 0; i < 5 && model && !brief; i++) add(t, VB_DRAFT_MODEL, own, gammas[i]);
    if (model) add(t, VB_DRAFT_MODEL, own, VB_GAMMA_AUTO);
    for (int a = VB_ACCEPT_COUPLED; a <= VB_ACCEPT_BLOCK && model && !brief; a++)
        if (a != (int)own && (a != VB_ACCEPT_GREEDY || t->s.sampling.temperature == 0))
            add(t, VB_DRAFT_MODEL, (vb_accept)a, VB_GAMMA_AUTO);
    if (brief) return;
    add(t, VB_DRAFT_NGRAM, own, VB_GAMMA_AUTO);
    add(t, VB_DRAFT_SUFFIX, own, VB_GAMMA_AUTO);
}

/* ---------------------------------------------------------------------------------------- measuring */

static int measure_row(trial *t, row *r, int round) {
    vb_spec_params p = t->s.params;
    int rc = CLI_OK;
    p.draft = r->draft;
    p.accept = r->accept;
    p.gamma = r->gamma ? r->gamma : 1;
    if (r->draft != VB_DRAFT_MODEL) p.draft_context = NULL, p.draft_vocab = 0;
    r->seconds[round] = r->first[round] = 0;
    for (int i = 0; i < t->n_prompts && !rc; i++) {
        cli_timing one;
        rc = cli_time_generation(&t->s, &p, t->s.sampling.seed + (uint64_t)i, t->prompt[i], t->n_prompt[i],
                                 t->n_predict, NULL, &one);
        if (rc) break;
        r->seconds[round] += one.seconds;
        r->first[round] += one.first / t->n_prompts;
        if (round == 0) cli_add_stats(&r->stats, &one.stats);
    }
    return rc;
}

/* All rows in turn, so that a slow moment falls on all. */
static int measure(trial *t) {
    int rc = CLI_OK;
    cli_load load;
    cli_load_begin(&load);
    for (int i = 0; i < t->rounds * t->n_rows && !rc; i++) {
        cli_progress("measuring", i / (double)(t->rounds * t->n_rows));
        rc = measure_row(t, &t->rows[i % t->n_rows], i / t->n_rows);
    }
    cli_progress("", 1);
    t->others = cli_load_others(&load);
    return rc;
}

static double middle(double a[ROUNDS], int n) {
    double b[ROUNDS];
    memcpy(b, a, sizeof b);
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && b[j] < b[j - 1]; j--) {
            const double x = b[j];
            b[j] = b[j - 1], b[j - 1] = x;
        }
    return n % 2 ? b[n / 2] : 0.5 * (b[n / 2 - 1] + b[n / 2]);
}

/* ---------------------------------------------------------------------------------------- predicting */

/* The middle of the texts, prompts included. */
static double position(const trial *t) {
    double sum = 0;
    for (int i = 0; i < t->n_prompts; i++) sum += (double)t->n_prompt[i] / t->n_prompts;
    return sum + 0.5 * (double)t->n_predict;
}

/* c(T) there, in thousandths of a token behind an empty cache. */
static double pass(const trial *t, int T) {
    const vb_costs *c = &t->s.costs;
    const double near = c->target[0][T - 1], far = c->target[1][T - 1];
    return near + position(t) / c->far * (far - near);
}

static double draft_token(const trial *t, vb_draft draft) {
    const vb_costs *c = &t->s.costs;
    return draft == VB_DRAFT_MODEL ? c->draft[0] + position(t) / c->far * (c->draft[1] - c->draft[0]) : 0;
}

/* What the steps that were made cost by the costs, against the target alone for as many tokens. */
static double predicted(const trial *t, const row *r) {
    double time = 0;
    for (int k = 0; k <= 32; k++) {
        if (!r->stats.by_length[k]) continue;
        if (k + 1 > VB_COST_ROWS) return (double)NAN;
        time += (double)r->stats.by_length[k] * pass(t, k + 1);
    }
    time += (double)r->stats.draft_calls * draft_token(t, r->draft);
    return time > 0 ? (double)r->stats.emitted * pass(t, 1) / time : (double)NAN;
}

static json_t *row_json(trial *t, row *r) {
    static const char *const names[] = {"none", "model", "ngram", "forced", "suffix"};
    double ratio[ROUNDS];
    for (int i = 0; i < t->rounds; i++) ratio[i] = t->rows[0].seconds[i] / r->seconds[i];
    const double tokens = (double)(t->n_predict * (size_t)t->n_prompts);
    const vb_stats *s = &r->stats;
    char gamma[32];
    return json_pack(
        "{ss ss ss so so so so so so so}", "drafter", names[r->draft], "accept", vb_accept_name(r->accept),
        "gamma", cli_gamma_name(r->gamma, gamma), "tokens_per_s",
        cli_json_real(tokens / middle(r->seconds, t->rounds)), "first_token_s",
        cli_json_real(middle(r->first, t->rounds)), "speed_up", cli_json_real(middle(ratio, t->rounds)),
        "predicted", cli_json_real(r->gamma ? predicted(t, r) : 1.0), "acceptance",
        s->drafted ? cli_json_real((double)s->accepted / (double)s->drafted) : json_null(), "alpha",
        s->tested ? cli_json_real((double)s->accepted / (double)s->tested) : json_null(), "tokens_per_step",
        cli_json_real(s->steps ? (double)s->emitted / (double)s->steps : 0));
}

/* How much longer the slowest round of the target alone took than the fastest. */
static double spread(const trial *t) {
    const double *s = t->rows[0].seconds;
    double least = s[0], most = s[0];
    for (int i = 1; i < t->rounds; i++) {
        least = s[i] < least ? s[i] : least;
        most = s[i] > most ? s[i] : most;
    }
    return least > 0 ? most / least - 1 : 0;
}

static json_t *trial_json(trial *t) {
    json_t *rows = json_array();
    for (int i = 0; i < t->n_rows; i++) json_array_append_new(rows, row_json(t, &t->rows[i]));
    json_t *o =
        json_pack("{sI si so so so}", "tokens", (json_int_t)t->n_predict, "prompts", t->n_prompts, "costs",
                  cli_costs_json(&t->s.costs), "rows", rows, "spread", cli_json_real(spread(t)));
    cli_load_write(o, t->others);
    return o;
}

/* ---------------------------------------------------------------------------------------- opening */

static int tokenize(trial *t, const doctor_prompts *p) {
    const size_t room = (size_t)vb_context_size(t->s.context);
    vb_error err = {0};
    for (; t->n_prompts < p->n; t->n_prompts++) {
        int32_t **ids = &t->prompt[t->n_prompts];
        size_t *n = &t->n_prompt[t->n_prompts];
        if (vb_tokenize_prompt(t->s.target.tokenizer, p->line[t->n_prompts], p->len[t->n_prompts], true, ids,
                               n, &err))
            return cli_report(&err);
        if (*n == 0 || *n + t->n_predict + 33 > room)
            return cli_error(
                "prompt %d (%zu tokens) and -n %zu do not fit the context of %zu: use a larger -c "
                "or a smaller -n",
                t->n_prompts + 1, *n, t->n_predict, room);
    }
    return CLI_OK;
}

int doctor_measure(const cli_options *o, const char *draft, const doctor_prompts *p, bool brief,
                   json_t **out) {
    trial *t = calloc(1, sizeof *t);
    cli_options own = *o;
    own.draft_model = draft;
    own.draft = draft ? "model" : "ngram";
    own.gamma = CLI_AUTO;
    if (own.seed < 0) own.seed = 1;
    if (!t) return cli_error("out of memory");
    t->n_predict = (size_t)o->n_predict;
    t->rounds = brief ? 1 : ROUNDS;
    int rc = cli_session_open(&t->s, &own);
    if (!rc) rc = tokenize(t, p);
    if (!rc) {
        choose_rows(t, draft != NULL, brief);
        rc = measure(t);
    }
    if (!rc && !(*out = trial_json(t))) rc = cli_error("out of memory");
    for (int i = 0; i < DOCTOR_PROMPTS; i++) vb_free(t->prompt[i]);
    cli_session_close(&t->s);
    free(t);
    return rc;
}

json_t *doctor_memory(const cli_options *o, const cli_model *target, const cli_model *draft) {
    uint64_t weights = vb_model_describe(target->model)->weight_bytes, contexts = 0, bytes;
    const uint64_t there = vb_available_memory();
    vb_context_params p;
    cli_context_params(o, &p);
    if (!vb_context_check(target->model, &p, &bytes, NULL)) contexts += bytes;
    if (draft) {
        weights += vb_model_describe(draft->model)->weight_bytes;
        if (!vb_context_check(draft->model, &p, &bytes, NULL)) contexts += bytes;
    }
    /* Mapped files are given back where memory is short; their interleaved copies are not. */
    return json_pack("{sI sI sI so}", "weights", (json_int_t)weights, "contexts", (json_int_t)contexts,
                     "needed", (json_int_t)weights + (json_int_t)contexts, "there",
                     there == UINT64_MAX ? json_null() : json_integer((json_int_t)there));
}
