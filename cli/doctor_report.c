/* doctor_report.c - what `verbatim doctor` measured, in words. */
#include "cli/doctor.h"

#include <math.h>
#include <string.h>

static double real(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static const char *text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "?";
}

void doctor_print_memory(const json_t *m) {
    char weights[32], contexts[32], there[32];
    const double need = real(m, "needed"), have = real(m, "there");
    cli_outf("memory: weights %s, contexts when full %s", cli_bytes((uint64_t)real(m, "weights"), weights),
             cli_bytes((uint64_t)real(m, "contexts"), contexts));
    if (isfinite(have))
        cli_outf("; available here: %s%s", cli_bytes((uint64_t)have, there),
                 need > have ? ": NOT enough: a smaller -c, or files in fewer bits" : "");
    cli_outf("\n");
}

static void print_row(const json_t *r, bool first) {
    char shown[5][32];
    if (first)
        cli_outf("%-8s %-10s %-6s %9s %9s %10s %11s %9s %12s\n", "drafter", "accept", "gamma", "tokens/s",
                 "speed-up", "predicted", "acceptance", "per step", "first token");
    const double acceptance = real(r, "acceptance");
    cli_outf("%-8s %-10s %-6s %9s %9s %10s %11s %9s %12s\n", text(r, "drafter"), text(r, "accept"),
             text(r, "gamma"), cli_digits(real(r, "tokens_per_s"), shown[0]),
             cli_digits(real(r, "speed_up"), shown[1]), cli_digits(real(r, "predicted"), shown[2]),
             isfinite(acceptance) ? cli_percent(acceptance, shown[3]) : "-",
             cli_digits(real(r, "tokens_per_step"), shown[4]),
             cli_seconds(real(r, "first_token_s"), (char[32]){0}));
}

static double cost(const json_t *costs, const char *key, size_t i) {
    return 1e-3 * json_number_value(json_array_get(json_object_get(costs, key), i));
}

void doctor_print_measured(const json_t *m) {
    const json_t *rows = json_object_get(m, "rows"), *costs = json_object_get(m, "costs");
    char a[32], b[32];
    cli_outf("costs, in tokens of the target alone (%s ms each): a drafted token %s; so many tokens in one "
             "pass:\n",
             cli_digits(1e3 * real(costs, "token_s"), a), cli_digits(cost(costs, "draft", 0), b));
    for (int i = 1; i < VB_COST_ROWS; i += i < 8 ? 1 : 4)
        cli_outf("  %d: %s", i + 1, cli_digits(cost(costs, "target", (size_t)i), a));
    cli_outf("\n");
    for (size_t i = 0; i < json_array_size(rows); i++) print_row(json_array_get(rows, i), i == 0);
}

/* The row that gains most; NULL: there is none beside the target alone. */
static const json_t *best_row(const json_t *m) {
    const json_t *rows = json_object_get(m, "rows"), *best = NULL;
    for (size_t i = 1; i < json_array_size(rows); i++) {
        const json_t *r = json_array_get(rows, i);
        if (!best || real(r, "speed_up") > real(best, "speed_up")) best = r;
    }
    return best;
}

/* Why drafting does not pay, from what a step of the fixed length with the most tokens costs and brings. */
static void say_why(const json_t *m, const json_t *r, char *out, size_t size) {
    const json_t *costs = json_object_get(m, "costs");
    const double d = cost(costs, "draft", 0), four = cost(costs, "target", 3), alpha = real(r, "alpha");
    const bool model = !strcmp(text(r, "drafter"), "model");
    char x[32];
    if (model && d > 0.5)
        snprintf(out, size, "a drafted token costs %s of the target's", cli_digits(d, x));
    else if (four > 2)
        snprintf(out, size,
                 "four tokens in one pass cost %s times one: the weights are not what takes time here",
                 cli_digits(four, x));
    else if (isfinite(alpha) && alpha < 0.4)
        snprintf(out, size, "only %s of the tested guesses are right", cli_percent(alpha, x));
    else
        snprintf(out, size, "guesses bring no more than they cost");
}

void doctor_recommend(const json_t *m, char *out, size_t size) {
    const json_t *best = best_row(m);
    char x[32], why[160];
    if (!best) {
        snprintf(out, size, "nothing was measured");
        return;
    }
    const double gain = real(best, "speed_up");
    if (gain >= 1.05) {
        const char *drafter = text(best, "drafter"), *accept = text(best, "accept");
        snprintf(out, size, "use --gamma %s: %sx (%s%s%s%s)", text(best, "gamma"), cli_digits(gain, x),
                 strcmp(drafter, "model") ? "--draft " : "the draft model",
                 strcmp(drafter, "model") ? drafter : "", strcmp(accept, "coupled") ? ", --accept " : "",
                 strcmp(accept, "coupled") ? accept : "");
        return;
    }
    say_why(m, best, why, sizeof why);
    snprintf(out, size, "do not draft: %sx, because %s", cli_digits(gain, x), why);
}

void doctor_print_ranks(const json_t *ranks) {
    char a[32], b[32], c[32];
    cli_outf("\ndrafts, best first  %9s %10s %11s\n", "speed-up", "predicted", "acceptance");
    for (size_t i = 0; i < json_array_size(ranks); i++) {
        const json_t *r = json_array_get(ranks, i);
        const json_t *why = json_object_get(r, "reason");
        if (why)
            cli_outf("  %s: %s\n", text(r, "file"), json_string_value(why));
        else
            cli_outf("  %9s %10s %11s  %s%s\n", cli_digits(real(r, "speed_up"), a),
                     cli_digits(real(r, "predicted"), b), cli_percent(real(r, "acceptance"), c),
                     text(r, "file"),
                     json_is_true(json_object_get(r, "through_text")) ? " (through text)" : "");
    }
}
