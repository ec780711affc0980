/* help.c - `verbatim COMMAND --help`: the options in groups, those that most people need first. */
#include "cli/options.h"

#include "cli/cli.h"

#include <string.h>

/* Long names, one of each option. What stands in no group comes last; tests/cli/usage.sh asks for none of
 * that. */
static const struct {
    const char *title, *names;
} GROUPS[] = {
    {"What most people need", "--model|--draft-model|--draft|--prompt|--file|--n-predict|--gamma|--preset|--"
                              "compare|--port|--ctx|--system|"
                              "--system-prompt|--chat-template|--template|--tokens|--out|--short|--verbose|--"
                              "samples|--endpoint|--quick|--prefix|--kind"},
    {"The conversation and its template", "--date|--pre|--no-special|--add-bos|--ids|--pieces|--tools|--"
                                          "continue-final|--parse-content-specials|--strict-calls"},
    {"The law that tokens are drawn from",
     "--temp|--top-k|--top-p|--min-p|--typical|--top-nsigma|--xtc-probability|--xtc-threshold|--dynatemp-"
     "range|--dynatemp-exp|--dry-multiplier|"
     "--dry-base|--dry-allowed-length|--dry-penalty-last-n|--dry-sequence-breaker|--repeat-penalty|--"
     "presence-penalty|--frequency-penalty|--repeat-last-n|"
     "--logit-bias|--seed|--ignore-eos"},
    {"What the text must look like", "--json-schema|--grammar|--regex|--json-whitespace"},
    {"Drafting", "--accept|--tree|--gammas|--costs|--gamma-trace|--draft-suffix|--ngram-corpus|--draft-vocab|"
                 "--draft-vocab-from|--draft-text|--drafts"},
    {"The proof",
     "--samples-as|--bytes|--model-name|--connections|--timeout|--request|--request-alone|--prompt-as|"
     "--logprob-tolerance|--repeats|--depth|--cells"},
    {"What is measured, recorded or compared", "--reps|--lengths|--bandwidth|--at|--name|--texts|--manifest|-"
                                               "-prompts|--tolerance|--oracle|--shard|--merge|"
                                               "--pure|--force"},
    {"Who may ask the server, and how much",
     "--host|--api-key|--api-key-file|--allow-host|--cors|--slots|--queue|--max-body|--max-connections|"
     "--request-timeout|--idle-timeout|--keep-alive|--drain|--ignore-tools|--config"},
    {"Speed and memory (the output does not depend on these, but for --activations, --kv, -ctk and -ctv)",
     "--threads|--batch|--kernels|--repack|--activations|--kv|--cache-type-k|--cache-type-v|--cache-type-k-"
     "draft|--cache-type-v-draft|--offload|--offload-width"},
    {"Longer contexts than in training (the output depends on these)",
     "--rope-scaling|--rope-scale|--rope-freq-scale|--rope-freq-base|--yarn-orig-ctx|--yarn-ext-factor|--"
     "yarn-attn-factor|--yarn-beta-fast|--yarn-beta-slow|"
     "--rope-scaling-draft|--rope-scale-draft|--rope-freq-scale-draft|--rope-freq-base-draft|--yarn-orig-ctx-"
     "draft|--yarn-ext-factor-draft|--yarn-attn-factor-draft|--yarn-beta-fast-draft|--yarn-beta-slow-draft"},
    {"What is printed", "--json|--html|--junit|--trace|--trace-full|--color|--quiet|--help"},
};
enum { N_GROUPS = sizeof GROUPS / sizeof GROUPS[0] };

/* Prints words with line breaks before column 100, continuing at column `indent`; `column` is where the pen
 * is. */
static void print_wrapped(const char *text, int indent, int column) {
    bool first = true;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (!first && column + 1 + n > 100) {
            cli_outf("\n%*s", indent, "");
            column = indent;
            first = true;
        }
        cli_outf("%s%.*s", first ? "" : " ", n, text);
        column += n + !first;
        first = false;
        text += n;
        text += strspn(text, " ");
    }
    cli_outf("\n");
}

static void help_option(const cli_option *opt) {
    enum { COLUMN = 30 };
    char head[160] = "", also[160] = "", w[48], text[512];
    const char *at = opt->names;
    bool has_long = false;
    while (cli_next_word(&at, w)) {
        bool is_long = !strncmp(w, "--", 2);
        char *into = is_long && has_long ? also : head;
        size_t used = strlen(into);
        snprintf(into + used, 160 - used, "%s%s", used ? ", " : "", w);
        has_long |= is_long;
    }
    if (opt->arg) {
        size_t used = strlen(head);
        snprintf(head + used, sizeof head - used, " %s", opt->arg);
    }
    snprintf(text, sizeof text, "%s%s%s%s", opt->help, also[0] ? " (also " : "", also, also[0] ? ")" : "");
    cli_outf("  %-*s", COLUMN - 2, head);
    if (strlen(head) > COLUMN - 3) cli_outf("\n%*s", COLUMN, "");
    print_wrapped(text, COLUMN, COLUMN);
}

/* The group of an option; N_GROUPS: none. */
static int group_of(const cli_option *opt) {
    for (int g = 0; g < N_GROUPS; g++) {
        char w[48];
        for (const char *at = opt->names; cli_next_word(&at, w);)
            if (cli_has_word(GROUPS[g].names, w)) return g;
    }
    return N_GROUPS;
}

static void help_group(const cli_command *command, int group) {
    bool any = false;
    for (size_t i = 0; i < CLI_N_OPTIONS; i++) {
        if (!(CLI_OPTIONS[i].commands & command->bit) || group_of(&CLI_OPTIONS[i]) != group) continue;
        if (!any) cli_outf("%s:\n", group < N_GROUPS ? GROUPS[group].title : "Others");
        any = true;
        help_option(&CLI_OPTIONS[i]);
    }
    if (any) cli_outf("\n");
}

void cli_help(const cli_command *command) {
    cli_outf("usage: verbatim %s %s\n\n%s\n\n", command->name, command->usage, command->summary);
    for (int g = 0; g <= N_GROUPS; g++) help_group(command, g);
    if (command->notes) cli_outf("%s\n", command->notes);
}
