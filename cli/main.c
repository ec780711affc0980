/* main.c - the verbatim command: a table of sub-commands. */
#include "cli/cli.h"
#include "cli/options.h"

#include <string.h>

static const cli_command COMMANDS[] = {
    {"run", CMD_RUN, "-m MODEL [-md DRAFT | --draft KIND] -p TEXT|-f FILE [options]",
     "Continue a text. Standard output: the text (or one JSON object). Standard error: the statistics.",
     "The exit status is 0, 1 (failure) or 2 (usage). Ctrl-C ends the text and prints the statistics.\n"
     "Example: verbatim run -m target.gguf -md draft.gguf -p \"Once upon a time\" --compare",
     0, cli_run},
    {"chat", CMD_CHAT, "-m MODEL [-md DRAFT | --draft KIND] [options]",
     "Talk with a model. /help lists the commands.", "Ctrl-C stops an answer, Ctrl-D ends the conversation.",
     0, cli_chat},
    {"serve", CMD_SERVE, "-m MODEL [-md DRAFT | --draft ngram] [options]",
     "Answer requests over HTTP: an OpenAI-compatible server with a page of its own (docs/server.md).",
     "Every option is also a key of --config FILE.json (draft_model, port, ...) and a variable of the "
     "environment\n"
     "(VERBATIM_DRAFT_MODEL, VERBATIM_PORT, ...); the command line goes before the environment, that before "
     "the file.\n"
     "SIGINT or SIGTERM ends the server when running answers are done, a second one at once.\n"
     "Example: verbatim serve -m target.gguf -md draft.gguf",
     0, cli_serve},
    {"tokenize", CMD_TOKENIZE, "-m MODEL [options] < TEXT",
     "Turn standard input, byte for byte, into token ids.", NULL, 0, cli_tokenize},
    {"grammar", CMD_GRAMMAR, "FILE [--kind KIND] [-m MODEL] [-p TEXT|-f FILE] [--json]",
     "Read a grammar, test a text with it, and print what may come next: bytes, and with -m token ids.",
     "docs/grammar.md describes the kinds. The exit status is 0 if the text given with -p or -f is a whole "
     "one "
     "of the\ngrammar, 1 if not; without a text, 0 if the grammar is read.\n"
     "Example: verbatim grammar schema.json -m target.gguf -p '{\"name\":'",
     1, cli_grammar},
    {"render", CMD_RENDER, "[-m MODEL | --template NAME|FILE] [options] < REQUEST.json",
     "Print a conversation as a chat template writes it, byte for byte.",
     "The request is a JSON object: messages, tools, add_generation_prompt, bos_token, eos_token, date, "
     "chat_template_kwargs\n"
     "and any other member are the template's variables. The exit status is 1 where the template raises.\n"
     "Example: echo '{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}' | verbatim render --template "
     "chatml",
     0, cli_render},
    {"logits", CMD_LOGITS, "-m MODEL --tokens IDS --out FILE [options]",
     "Write the raw logits after every token of a sequence: float32, little endian, positions x vocabulary.",
     "No token is added: what --tokens says is what is evaluated.", 0, cli_logits},
    {"inspect", CMD_INSPECT, "FILE [options]",
     "Show a GGUF file's metadata, tensors, types and memory needs.", NULL, 1, cli_inspect},
    {"doctor", CMD_DOCTOR, "TARGET [DRAFT] [options]",
     "Say whether a draft fits a target, what drafting costs and gains on this machine, and what to use. "
     "Exit "
     "status 1 if it does not fit.",
     "What is measured is kept under ~/.cache/verbatim (VERBATIM_CACHE), by the files' contents and the "
     "machine.",
     2, cli_doctor},
    {"quantize", CMD_QUANTIZE, "IN OUT TYPE [options]", "Write a GGUF model with its matrices in fewer bits.",
     "IN is a model in F32, F16 or BF16. TYPE is F16, BF16, Q8_0, Q6_K, Q5_1, Q5_K_M, Q5_K, Q5_0, Q4_1, "
     "Q4_K_M,\n"
     "Q4_K or Q4_0; docs/quantize.md says what each does. OUT appears when it is complete.\n"
     "Example: verbatim quantize model-f16.gguf model-q4_k_m.gguf Q4_K_M",
     3, cli_quantize},
    {"prove", CMD_PROVE,
     "-m MODEL [-md DRAFT | --draft KIND] [--accept RULE] [--samples N|FILE] [--endpoint URL] [options]",
     "Sample many short completions and compare them with the target's exact law (docs/prove.md).",
     "Rules that are WRONG ON PURPOSE, to see that they are found (with -md or --draft self):\n"
     "  argmax-draft-pq truncated-draft discarding-draft shared-coin restarted-coin row-shift\n"
     "  index-residual residual-p unnormalised-residual accept-argmax at-most bonus-row-before\n"
     "  block-break block-p-tau-one block-round-up block-textbook block-at-most block-bonus-before\n"
     "  block-position-coin block-one-coin block-shared-coin block-discarding-draft block-row-shift\n"
     "The exit status is 0 if nothing speaks against the law, 1 if it is wrong, 2 for a wrong command line.\n"
     "Example: verbatim prove -m target.gguf -md draft.gguf --accept rejection --temp 1 --top-k 0\n"
     "Of a server: verbatim prove -m target.gguf --endpoint http://127.0.0.1:8000/v1",
     0, cli_prove},
    {"trace-check", CMD_TRACE_CHECK, "FILE [--json] [-m MODEL --json-schema|--grammar|--regex ...]",
     "Derive every decision of a trace again from its p, q and coins, without a model.",
     "FILE was written by `run --trace FILE --trace-full`; - is standard input. Without --trace-full the "
     "whole "
     "laws\n"
     "are missing, and only what does not need them is checked. The exit status is 0 if everything follows, "
     "1 "
     "if not.",
     1, cli_trace_check},
    {"check", CMD_CHECK, "[DIR] [options]",
     "Make the golden vectors of DIR (vectors) again with this build, in every way, and compare bytes.",
     "Every set of kernels that this CPU runs, 1, 2 and 4 threads, 1, 2, 3, 8 and all tokens per call. A "
     "changed "
     "bit\nanywhere is named. docs/vectors.md describes the files.",
     1, cli_check},
    {"compare", CMD_COMPARE, "OURS THEIRS [options]",
     "Compare two recordings of a model, or two files of tokens, blocks or dots: where another engine first "
     "differs, and by how much.",
     "OURS is a recording of this program (vectors/recordings, vectors/oracle, `verbatim record`), THEIRS "
     "any in "
     "the form of\ndocs/vectors.md; what THEIRS leaves out is not compared, and counted. The exit status is "
     "0 within the "
     "tolerance, 1 if not.",
     2, cli_compare},
    {"record", CMD_RECORD, "--out DIR [-m MODEL] [-md DRAFT] [options]",
     "Write golden vectors: of the block formats, or of a model.",
     "Without -m: the blocks and dots of every tensor type. With -m and -p or --tokens: everything that the "
     "model computes,\nunder q8 and q16. With -md also: speculative traces under every rule. With -m and "
     "--texts: "
     "token ids.\nExample: verbatim record -m model.gguf -p \"Once upon a time\" --out mine",
     0, cli_record},
    {"bench", CMD_BENCH, "-m MODEL [-md DRAFT] [options]",
     "Measure speed: decoding, prompts, verifying 1 to 16 tokens together, speculation, memory.",
     "docs/bench.md says what the numbers mean.", 0, cli_bench},
    {"cpu", CMD_CPU, "", "Say what this CPU has, which kernels of this build it can run, and the one chosen.",
     NULL, 0, cli_cpu},
};
enum { N_COMMANDS = sizeof COMMANDS / sizeof COMMANDS[0] };

/* `verbatim help TOPIC`: what belongs to no command. */
static const struct {
    const char *name, *summary;
    void (*print)(void);
} TOPICS[] = {{"stats", "what alpha, acceptance, coupled, c(T) and the other words mean", cli_help_stats},
              {"coming-from", "options of other programs, and what to write here", cli_foreign_table}};

/* On standard output where it was asked for, else on standard error. */
static void print_overview(void (*print)(const char *format, ...)) {
    print("verbatim %s: exact speculative decoding of GGUF language models\n\nusage: verbatim COMMAND "
          "[options]\n\n",
          VB_VERSION);
    for (int i = 0; i < N_COMMANDS; i++) print("  %-11s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
    print("\n");
    for (size_t i = 0; i < sizeof TOPICS / sizeof TOPICS[0]; i++)
        print("  help %-14s %s\n", TOPICS[i].name, TOPICS[i].summary);
    print("\n`verbatim COMMAND --help` lists the options of a command; `verbatim --version` prints the "
          "version.\n");
}

static void print_err(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
}

static const cli_command *find_command(const char *name) {
    for (int i = 0; i < N_COMMANDS; i++)
        if (!strcmp(name, COMMANDS[i].name)) return &COMMANDS[i];
    return NULL;
}

static int unknown_command(const char *name) {
    if (name[0] == '-') {
        char names[256] = "";
        size_t used = 0;
        for (int i = 0; i < N_COMMANDS && used < sizeof names; i++)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                     i == 0               ? ""
                                     : i + 1 < N_COMMANDS ? ", "
                                                          : " or ",
                                     COMMANDS[i].name);
        return cli_usage("a command comes first: %s; as in `verbatim run -m MODEL -p TEXT`", names);
    }
    const char *best = NULL;
    int least = 3;
    for (int i = 0; i < N_COMMANDS; i++) {
        int d = cli_edit_distance(name, COMMANDS[i].name);
        if (d < least) {
            least = d;
            best = COMMANDS[i].name;
        }
    }
    if (cli_is_gguf(name))
        return cli_usage(
            "a command comes before the model: verbatim run -m %s -p TEXT, or chat, serve, doctor", name);
    if (best) return cli_usage("unknown command \"%s\"; did you mean %s?", name, best);
    return cli_usage("unknown command \"%s\"; `verbatim --help` lists them", name);
}

static int run_command(const cli_command *command, int argc, char **argv) {
    static cli_options o; /* of some kilobytes: not on the stack, which may be small */
    cli_config config = {0};
    int rc = CLI_OK;
    cli_defaults(command->bit, &o);
    if (command->bit == CMD_SERVE) rc = cli_config_read(&config, command, argc, argv, &o);
    if (!rc) rc = cli_parse(command, argc, argv, &o);
    if (!rc && o.help) {
        cli_help(command);
        rc = cli_out_finish();
    } else if (!rc) {
        rc = command->run(&o);
    }
    cli_options_free(&o);
    cli_config_close(&config);
    return rc;
}

int main(int argc, char **argv) {
    vb_json_watch();
    if (cli_process_open()) return CLI_FAIL;
    cli_out_open();
    if (argc < 2) {
        print_overview(print_err);
        return CLI_USAGE;
    }
    const char *first = argv[1];
    if (!strcmp(first, "--version") || !strcmp(first, "version")) {
        cli_outf("verbatim %s\n", VB_VERSION);
        return cli_out_finish();
    }
    bool help = !strcmp(first, "help");
    for (size_t i = 0; help && argc > 2 && i < sizeof TOPICS / sizeof TOPICS[0]; i++)
        if (!strcmp(argv[2], TOPICS[i].name)) {
            TOPICS[i].print();
            return cli_out_finish();
        }
    if (help && argc > 2) {
        const cli_command *command = find_command(argv[2]);
        if (!command) return unknown_command(argv[2]);
        cli_help(command);
        return cli_out_finish();
    }
    if (help || !strcmp(first, "--help") || !strcmp(first, "-h")) {
        print_overview(cli_outf);
        return cli_out_finish();
    }
    const cli_command *command = find_command(first);
    if (!command) return unknown_command(first);
    const int rc = run_command(command, argc - 2, argv + 2);
    /* A part may be missing in what no JSON was the end of, a comparison of two files for one. */
    return rc == CLI_OK && vb_json_failed() ? cli_error("out of memory") : rc;
}
