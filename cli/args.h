/* args.h - the command line: one table of options, from which parsing, checking and --help all come. */
#ifndef VERBATIM_CLI_ARGS_H
#define VERBATIM_CLI_ARGS_H

#include "include/verbatim.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLI_MAX_OPTIONS 256

/* Exit statuses. Scripts rely on them. */
enum { CLI_OK = 0, CLI_FAIL = 1, CLI_USAGE = 2 };

/* The commands that take options, as bits: an option lists those it belongs to. */
enum {
    CMD_RUN = 1,
    CMD_CHAT = 2,
    CMD_LOGITS = 4,
    CMD_TOKENIZE = 8,
    CMD_INSPECT = 16,
    CMD_DOCTOR = 32,
    CMD_CPU = 64,
    CMD_QUANTIZE = 128,
    CMD_TRACE_CHECK = 256,
    CMD_PROVE = 512,
    CMD_RECORD = 1024,
    CMD_CHECK = 2048,
    CMD_BENCH = 4096,
    CMD_COMPARE = 8192,
    CMD_SERVE = 16384,
    CMD_RENDER = 32768,
    CMD_GRAMMAR = 65536
};

enum { CLI_MAX_WORDS = 1024, CLI_AUTO = -1 /* --gamma auto */ };

typedef struct cli_list {
    const char **items;
    size_t n;
} cli_list;

/* Options of `verbatim serve` alone. */
typedef struct cli_serve_options {
    const char *host, *api_key, *api_key_file, *config, *preset;
    int64_t port, slots, queue, max_connections;
    double max_body, request_timeout, idle_timeout, drain, keep_alive;
    cli_list cors, allow_host;
    bool ignore_tools, quiet;
} cli_serve_options;

/* Another RoPE than the file's, of target or draft. 0 or NULL: the file's (ext: negative). */
typedef struct cli_rope {
    const char *scaling;
    double base, scale, freq_scale, ext, attn, beta_fast, beta_slow;
    int64_t from;
} cli_rope;

/* Every option of every command. Strings point into argv. */
typedef struct cli_options {
    cli_serve_options serve;
    cli_rope rope, draft_rope;
    const char *offload, *lengths, *gammas, *positions; /* the last three: numbers with commas between */
    int64_t offload_width, reps;
    double bandwidth;
    const char *model, *draft_model, *draft, *prompt, *file;
    int64_t n_predict, gamma, draft_suffix, draft_vocab, seed, ctx, threads, batch;
    vb_sampling sampling;             /* but for seed, bias and DRY's breakers (cli_sampling) */
    int64_t depth, bytes, cells;      /* prove: tokens, bytes of texts, cells per depth */
    const char *samples, *samples_as; /* prove: a number or a file, and its form */
    const char *endpoint, *model_name, *request, *request_alone, *prompt_as; /* prove --endpoint */
    int64_t connections, repeats;
    double timeout, logprob_tolerance;
    cli_list logit_bias, merge, corpus, dry_breakers, draft_vocab_from;
    const char *cache_k, *cache_v, *draft_cache_k, *draft_cache_v;
    const char *accept, *activations, *kv, *kernels, *repack, *color, *trace, *tokens, *out, *system,
        *chat_template, *tools, *date, *pre, *kind, *texts, *name, *tolerance, *html, *junit, *shard,
        *prompts;
    const char *costs, *gamma_trace, *drafts, *tree;
    const char *grammar, *json_schema, *regex, *json_whitespace;
    bool trace_full, json, brief, compare, verbose, ignore_eos, oracle, ids, pieces, no_special, add_bos,
        content_specials, continue_final, strict_calls, pure, force, manifest, quick, draft_text, help;
    /* Arguments that are no options: FILE of `inspect`, IN OUT TYPE of `quantize`,
     * further files of --merge. */
    const char *words[CLI_MAX_WORDS];
    int n_words;
    uint64_t given[CLI_MAX_OPTIONS / 64]; /* bit i: option i of the table was on the command line */
} cli_options;

typedef struct cli_command {
    const char *name;
    unsigned bit;
    const char *usage;   /* after "verbatim NAME " */
    const char *summary; /* one line */
    const char *notes;   /* printed after the options; may be NULL */
    int max_words;       /* arguments that are no options; --merge takes CLI_MAX_WORDS */
    int (*run)(cli_options *o);
} cli_command;

/* Reads argv[0..argc) into options that hold the command's defaults (cli_defaults) and what a configuration
 * says (cli_config_read). Returns CLI_OK or CLI_USAGE (after a message on standard error). o->help set: print
 * cli_help and do nothing else. */
int cli_parse(const cli_command *command, int argc, char **argv, cli_options *o);
void cli_options_free(cli_options *o);
/* The defaults, which --help states too. */
void cli_defaults(unsigned command, cli_options *o);
/* What a configuration file (--config) and the environment (VERBATIM_*) say. Read before the command line,
 * which goes before both: what it gives is not even looked at there, but for lists, which add up. Lists and
 * texts point into *c: close it (cli_config_close) after the options are done with. Returns CLI_OK or
 * CLI_USAGE (after a message that names the variable or the key). */
typedef struct cli_config {
    char **own; /* (n_own) strings to be freed */
    size_t n_own;
} cli_config;
int cli_config_read(cli_config *c, const cli_command *command, int argc, char **argv, cli_options *o);
void cli_config_close(cli_config *c);
/* True if the option of that long name ("--seed") was on the command line. */
bool cli_given(const cli_options *o, const char *long_name);
/* The options of a command, from the table, on standard output. */
void cli_help(const cli_command *command);
/* "a usage error: ..." on standard error. Returns CLI_USAGE. */
int cli_usage(const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 1, 2)))
#endif
    ;
/* Number of single-character edits between two words, two letters that changed places being one, at most 99:
 * what "did you mean" is made of. */
int cli_edit_distance(const char *a, const char *b);

#endif
