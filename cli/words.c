/* words.c - numbers as people read them, what the words of the statistics mean, and a sentence behind each
 * table. */
#include "cli/cli.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

bool cli_is_gguf(const char *name) {
    const size_t n = strlen(name), end = strlen(".gguf");
    return n > end && !strcmp(name + n - end, ".gguf");
}

uint64_t cli_active(uint64_t all, uint64_t of_experts, uint64_t experts, uint64_t used) {
    if (experts == 0) return all;
    return all - of_experts + (uint64_t)((double)of_experts / (double)experts * (double)used);
}

uint64_t cli_token_bytes(const vb_model_info *m) {
    return cli_active(m->weight_bytes, m->expert_bytes, (uint64_t)m->n_experts, (uint64_t)m->n_experts_used);
}

const char *cli_digits(double x, char out[32]) {
    if (!(fabs(x) < 1e15)) { /* nothing here is so large */
        snprintf(out, 32, isfinite(x) ? "%.2e" : "-", x);
        return out;
    }
    /* How many digits stand before the point, after rounding to three: 999.6 is 1000. */
    char three[32];
    snprintf(three, sizeof three, "%.2e", x);
    const double rounded = strtod(three, NULL);
    int whole = 1;
    for (double a = fabs(rounded); a >= 10; a /= 10) whole++;
    snprintf(out, 32, "%.*f", whole >= 3 ? 0 : 3 - whole, rounded);
    return out;
}

const char *cli_seconds(double s, char out[32]) {
    const bool short_one = s < 0.1;
    cli_digits(short_one ? 1000 * s : s, out);
    strcat(out, short_one ? " ms" : " s");
    return out;
}

const char *cli_percent(double share, char out[32]) {
    cli_digits(100 * share, out);
    strcat(out, " %");
    return out;
}

const char *cli_count(double n, char out[32]) {
    static const struct {
        double size;
        const char *word;
    } words[] = {{1e12, " trillion"}, {1e9, " billion"}, {1e6, " million"}};
    for (int i = 0; i < 3; i++)
        if (n >= 0.9995 * words[i].size && n < 1e18) {
            cli_digits(n / words[i].size, out);
            strcat(out, words[i].word);
            return out;
        }
    snprintf(out, 32, "%.0f", n);
    return out;
}

void cli_help_stats(void) {
    cli_outf(
        "What the words in the statistics mean.\n\n"
        "  target, draft    the model whose text you get, and the smaller one that guesses ahead for it\n"
        "  drafted          tokens that were guessed\n"
        "  tested           those that the target looked at: all up to the first that it refuses\n"
        "  accepted         those that it would have written itself, and that are in the text\n"
        "  acceptance       accepted of drafted, in per cent; it falls as gamma grows\n"
        "  alpha            accepted of tested: how often the two models agree, whatever gamma is\n"
        "  likely           the target's probability of a tested guess, on average: a guess that is certain "
        "of itself\n"
        "                   (copies, drafts through text) is accepted as often; draft_calls counts passes of "
        "the draft\n"
        "  gamma            tokens guessed per step\n"
        "  step             some guesses, one pass of the target over all of them, and one token of its own\n"
        "  mean accepted    accepted per step\n"
        "  tokens per call  tokens of the text per pass of the target; 1 without a draft\n"
        "  coupled          the rule by which a guess is accepted: both models draw with the same noise, so "
        "the text\n"
        "                   of a seed is the target's own, token for token (P2)\n"
        "  rejection, block rules that keep the target's distribution exactly, not the text of a seed (P3)\n"
        "  residual         what a token is drawn from where a guess was refused\n"
        "  bonus            the target's own token behind guesses that were all accepted\n"
        "  c(T)             time of one pass over T tokens; c(T)/c(1) = 1.4 at T = 6 means that checking "
        "five guesses\n"
        "                   costs 1.4 times a token alone\n"
        "  v(T)             the same time over that of reading the weights once at the memory's bandwidth\n"
        "  predicted        the speed-up that acceptance, c(T) and the draft's own time give on paper\n"
        "  TV               total variation: half the sum of the differences of two distributions; 0 is "
        "equal\n"
        "  cell             one possible beginning of a text, counted by itself in `verbatim prove`\n"
        "  KL               Kullback-Leibler divergence, in nats: how far one distribution is from "
        "another\n\n"
        "docs/speculation.md has the formulas, docs/bench.md how speed is measured.\n");
}

void cli_progress(const char *what, double done) {
    if (isatty(STDERR_FILENO) != 1) return;
    if (done >= 1)
        fputs("\r\033[K", stderr);
    else
        fprintf(stderr, "\r(%s: %.0f %%)\033[K", what, 100 * done);
}

void cli_say_speed_up(FILE *to, double speed_up, double acceptance) {
    char x[32], share[32];
    cli_digits(speed_up, x);
    if (!(speed_up > 0)) return;
    if (speed_up >= 1.05)
        fprintf(to, "drafting pays here: %s times the target alone\n", x);
    else if (speed_up > 0.95)
        fprintf(to, "drafting makes no difference here (%s times the target alone)\n", x);
    else if (acceptance >= 0 && acceptance < CLI_LOW_ACCEPTANCE)
        fprintf(to,
                "drafting does not pay here (%s times the target alone): only %s of the guesses were right; "
                "a draft of the "
                "same family, or a smaller --gamma\n",
                x, cli_percent(acceptance, share));
    else
        fprintf(to,
                "drafting does not pay here (%s times the target alone): guessing and checking cost more "
                "than they save; --gamma auto guesses only as much as pays, and `verbatim doctor` measures "
                "what is best\n",
                x);
}
