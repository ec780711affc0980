/* cli.h - what the commands of `verbatim` share. They stand on include/verbatim.h; `serve` also on server/,
 * `prove` and `trace-check` on prove/, and `check`, `record` and `compare` on conformance/. */
#ifndef VERBATIM_CLI_H
#define VERBATIM_CLI_H

#include "base/json.h"
#include "cli/args.h"
#include "include/verbatim.h"

#include <stdarg.h>
#include <stdio.h>

#if defined(__GNUC__)
#define CLI_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define CLI_PRINTF(f, a)
#endif

int cli_run(cli_options *o);
int cli_chat(cli_options *o);
int cli_render(cli_options *o);
int cli_logits(cli_options *o);
int cli_tokenize(cli_options *o);
int cli_inspect(cli_options *o);
int cli_doctor(cli_options *o);
int cli_cpu(cli_options *o);
int cli_quantize(cli_options *o);
int cli_bench(cli_options *o);
int cli_trace_check(cli_options *o);
int cli_prove(cli_options *o);
int cli_record(cli_options *o);
int cli_check(cli_options *o);
int cli_compare(cli_options *o);
int cli_serve(cli_options *o);
int cli_grammar(cli_options *o);

/* -------------------------------------------------------------------- output (output.c) */

/* "verbatim: ..." on standard error. Returns CLI_FAIL. */
int cli_error(const char *format, ...) CLI_PRINTF(1, 2);
/* The message of a library error. Returns CLI_FAIL. */
int cli_report(const vb_error *err);

/* Standard output; cli_out_open comes first. Writing stops at the first failure (a full disk, a reader that
 * went away), which cli_out_finish reports: nothing is lost silently. */
void cli_out_open(void);
void cli_out(const char *bytes, size_t n);
void cli_outf(const char *format, ...) CLI_PRINTF(1, 2);
void cli_out_flush(void);
bool cli_out_failed(void);
/* Flushes. Returns CLI_OK, or CLI_FAIL after a message. */
int cli_out_finish(void);
/* Prints a JSON value on one line and releases it (NULL: out of memory). Returns CLI_OK or CLI_FAIL. */
int cli_out_json(json_t *value);

/* A string that may hold any bytes, as JSON: bytes that are not UTF-8 become U+FFFD. */
json_t *cli_json_text(const char *bytes, size_t n);
/* A number; null if it is not finite. */
json_t *cli_json_real(double x);

/* Writes bytes so that a person can read them on one line: control characters, backslash, quote and bytes
 * that are not UTF-8 as escapes (\n, \", \x1b). At most `size` bytes with the NUL;
 * cut with "..." if longer. */
void cli_escape(const char *bytes, size_t n, char *out, size_t size);
/* Bytes of the UTF-8 character at the start of bytes[0..n), 0 if there is none that is whole and valid. */
int cli_utf8_char(const char *bytes, size_t n);
/* "1.23 GB": powers of ten, as disks and downloads are counted. */
const char *cli_bytes(uint64_t n, char out[32]);
/* Should terminal colours be used on this stream? --color, NO_COLOR, TERM=dumb and isatty decide. */
bool cli_use_color(const cli_options *o, FILE *stream);

/* Bytes on their way to a descriptor (sink.c). Nothing is written after the first error. */
typedef struct cli_sink {
    int fd;
    int error;  /* errno of the first failed write */
    bool lines; /* what has a newline is written at once: a terminal */
    size_t used;
    char bytes[16384];
} cli_sink;
void cli_sink_put(cli_sink *s, const char *bytes, size_t n);
void cli_sink_format(cli_sink *s, const char *format, va_list ap);
void cli_sink_flush(cli_sink *s);

/* A file that appears under its name only when it is complete: written beside it, then renamed. A device or
 * pipe is written directly. */
typedef struct cli_file {
    cli_sink *sink; /* NULL: not open */
    const char *path;
    char *partial; /* name while incomplete, of this run alone; NULL for a device */
} cli_file;
/* "-" is standard output. */
int cli_file_open(cli_file *f, const char *path);
/* Returns CLI_OK or CLI_FAIL (silently: cli_file_close says what happened). */
int cli_file_write(cli_file *f, const void *bytes, size_t n);
/* Reports a failed write, if any, and removes the partial file; with `keep` puts it in place. */
int cli_file_close(cli_file *f, bool keep);

/* The next line of standard input with its end, allocated (free). Returns 0, 1 when Ctrl-C came instead, -1
 * at the end of input, -2 where it cannot be read or held, which it says. (input.c) */
int cli_read_line(char **line, size_t *n);
/* The same without its end, with a prompt on standard error where a person types. */
int cli_read_prompted(const char *prompt, char **line, size_t *n);
/* Reads a whole file ("-": standard input; input.c). *bytes is allocated (free) and NUL-terminated. */
int cli_read_file(const char *path, char **bytes, size_t *n);

/* "1,2,3", "1 2 3" or "@FILE" with the same inside, as --tokens takes it. *ids is allocated (free). Returns
 * CLI_OK, CLI_FAIL or CLI_USAGE (after a message). */
int cli_parse_tokens(const char *spec, int32_t **ids, size_t *n);

/* --html and --junit, where given: a report (conformance/report.h), which is released. Returns CLI_OK or
 * CLI_FAIL. */
int cli_write_reports(const cli_options *o, json_t *report);
/* --shard I/N: *part from 0, *parts 0 where it was not given.
 * Returns CLI_OK or CLI_USAGE (after a message). */
int cli_parse_shard(const cli_options *o, int *part, int *parts);
/* --merge: the JSON objects of all parts, in the order of their shards: every one of 1..N once, each printed
 * by `command`. *parts is an array (json_decref). Returns CLI_OK or CLI_FAIL (after a message). */
int cli_read_parts(const cli_options *o, const char *command, json_t **parts);

/* Seconds on a clock that never goes back. */
double cli_now(void);

/* -------------------------------------------------------------------- Ctrl-C (interrupt.c) */

/* First thing in main (process.c): standard descriptors that are closed never become a file's; a file that
 * grows beyond its limit is an error; a model file that is cut short while in use is named before the program
 * ends. Returns CLI_OK, or CLI_FAIL (after a message) where the stack is too small. */
int cli_process_open(void);
/* From now on SIGINT and SIGTERM only raise a flag; a second one ends the program. SIGPIPE is ignored: a
 * reader that goes away is a write error like another. */
void cli_interrupt_install(void);
bool cli_interrupted(void);
void cli_interrupt_reset(void);
/* The flag as a vb_context_params.cancel callback. */
bool cli_interrupt_callback(void *user);
/* From here to cli_interrupt_loaded the sentence below names the file that is being loaded. */
void cli_interrupt_loading(const char *path);
/* Returns rc; where that is CLI_OK, a signal that nobody saw meanwhile ends the command here: CLI_FAIL, after
 * the sentence. */
int cli_interrupt_loaded(int rc);
/* Says that a signal ended a command before there was a result, and where. Returns CLI_FAIL. */
int cli_interrupt_report(void);

/* -------------------------------------------------------------------- models (session.c) */

typedef struct cli_model {
    vb_gguf *gguf;
    vb_tokenizer *tokenizer;
    vb_model *model;
} cli_model;

/* Opens file and tokenizer (--pre), and the weights if asked.
 * Returns CLI_OK or CLI_FAIL (after a message). */
int cli_model_open(cli_model *m, const cli_options *o, const char *path, bool weights);
/* What the options say of the law, but for seed, bias and the breakers of DRY. */
vb_sampling cli_sampling(const cli_options *o);
/* A note where a draft cannot pay, because it reads more than the target. */
void cli_warn_draft(const vb_model *target, const vb_model *draft);
/* --pre: CLI_OK, or CLI_USAGE (after a message) for a name that is not known. */
int cli_check_pre(const cli_options *o);
/* Which pre-tokenizer cuts texts, and whether it is not the file's own: "pre" (null with SPM) and
 * "pre_overridden" of an object that says which model it was. t may be NULL: there was none. */
void cli_json_pre(json_t *o, const vb_tokenizer *t);
/* A line about it on standard error, if it is not. */
void cli_print_pre(const vb_tokenizer *t);
void cli_model_close(cli_model *m);

/* --rope-..., --yarn-..., and with `draft` those of the draft model (rope.c). CLI_OK, or CLI_USAGE (after a
 * message) for two that say the same. */
int cli_rope_params(const cli_options *o, bool draft, vb_model_params *p);
/* CLI_OK, or CLI_USAGE (after a message) where a draft's RoPE is given and there is no draft model. */
int cli_rope_check(const cli_options *o);
/* For a command that opens no model otherwise: opens it if the target's RoPE is another than the file's.
 * Returns CLI_OK, CLI_FAIL or CLI_USAGE (after a message). */
int cli_rope_open(const cli_options *o, const vb_gguf *g, vb_model **m);
/* What is not the file's RoPE: "rope" and "draft_rope" of an object that says which models they were; lines
 * on standard error. Either may be NULL. */
void cli_json_rope(json_t *o, const vb_model *target, const vb_model *draft);
void cli_print_rope(const vb_model *target, const vb_model *draft);
/* The text of a token in quotes, escaped, for people: "\" the\"". */
void cli_token_quote(const vb_tokenizer *t, int32_t id, char *out, size_t size);

/* Everything a generation needs: models, contexts, parameters. */
/* What --grammar, --json-schema or --regex ask for (shape.c); all NULL without them. */
typedef struct cli_shape {
    vb_grammar *grammar;
    vb_vocabulary *vocabulary;
    vb_constraint *constraint;
    vb_guide *guide;
    vb_mask mask;
} cli_shape;
bool cli_shape_given(const cli_options *o);
/* CLI_OK, or a usage error for options that exclude each other. */
int cli_shape_check(const cli_options *o);
/* n_vocab: of the model; 0: the tokenizer's. s (may be NULL): ids that its bias bans are no ids. Returns
 * CLI_OK or CLI_FAIL (after a message). */
int cli_shape_open(cli_shape *g, const cli_options *o, const vb_tokenizer *t, int n_vocab,
                   const vb_sampling *s);
void cli_shape_close(cli_shape *g);

typedef struct cli_session {
    const cli_options *o;
    cli_model target, draft_file;
    vb_offload *offload; /* of both contexts; NULL: none */
    vb_context *context, *draft_context;
    vb_sampling sampling;
    vb_spec_params params;
    vb_logit_bias *bias;
    int32_t *breakers; /* of sampling */
    cli_shape shape;
    vb_corpus *corpus;       /* NULL: none */
    const char *draft_name;  /* "none", "model", "self", "ngram", "suffix", "forced" */
    vb_costs costs;          /* with --gamma auto */
    int32_t *lengths;        /* of --gamma-trace */
    int tree[VB_TREE_DEPTH]; /* of --tree */
} cli_session;

/* CLI_OK, or a usage error for options about models, drafter and rule that contradict each other. */
int cli_check_models(const cli_options *o);
/* Checks the options against each other, opens everything. Returns CLI_OK, CLI_FAIL or CLI_USAGE (after a
 * message). */
int cli_session_open(cli_session *s, const cli_options *o);
void cli_session_close(cli_session *s);
/* Another drafter: "none", "ngram", "self", "forced" or "model" with a file (a string that lives as long as
 * the session is not needed). No vb_spec may be open on the session. What drafted before stays where this
 * fails; returns CLI_OK or CLI_FAIL (after a message). */
int cli_session_draft(cli_session *s, const char *kind, const char *path);
/* --gamma auto: the costs of the session's drafter, from their file or measured, into s->params; where the
 * contexts hold a conversation and there is no file, typical ones. Returns CLI_OK or CLI_FAIL (after a
 * message). */
int cli_session_costs(cli_session *s);
/* A random seed of 53 bits. CLI_OK or CLI_FAIL (after a message). */
int cli_random_seed(uint64_t *seed);
/* --kv, --cache-type-k and -v, and with `draft` those of what drafts: the types of the cache. */
void cli_kv_types(const cli_options *o, bool draft, vb_type *k, vb_type *v);
/* The same in words, as reports have it: "f16", or where keys and values differ "q8_0 f16". */
const char *cli_kv_text(const cli_options *o, char out[16]);
/* Context parameters from --ctx, --threads, --batch, --activations, --kv and --kernels. */
void cli_context_params(const cli_options *o, vb_context_params *p);
/* CLI_OK, or CLI_FAIL (after a message) where -c is more than the model was trained for: before anything is
 * copied. */
int cli_check_context(const cli_options *o, const vb_model *m);
/* The way out for `need` positions that a context does not hold: "use -c 600 or more, or" a shorter text;
 * where the model was not trained for so many, that -c is of no help. */
const char *cli_longer_context(const vb_model *m, size_t need, char out[96]);
/* --repack: interleaves the weights of a model that was just opened, unless it is off or, under auto, the
 * copy does not fit (a note says so). */
int cli_repack(const cli_options *o, vb_model *m);

/* -------------------------------------------------------------------- prove --endpoint (prove_endpoint.c) */

struct vb_prove_params;
struct vb_prove_report;

/* What it asks, with the options' own defaults; options that make no sense with it are refused. */
int cli_endpoint_options(cli_options *o);
typedef struct cli_endpoint_facts {
    char model[256];
    uint64_t requests, again, by_text, stops, unlogged;
} cli_endpoint_facts;
/* Judges the endpoint. Returns CLI_OK or CLI_FAIL (after a message). */
int cli_endpoint_prove(const cli_session *s, const int32_t *prompt, size_t n_prompt,
                       const struct vb_prove_params *p, struct vb_prove_report *r, cli_endpoint_facts *facts);

/* `prove --samples FILE` (prove_samples.c): completions that another program sampled. Zero-initialise. */
typedef struct cli_samples {
    bool texts;     /* rows hold bytes, and VB_JOINT_END where a text ends before */
    int depth;      /* tokens or bytes per row */
    int32_t *rows;  /* (n, depth), filled up with -1; free */
    uint64_t n;     /* 0: no file */
    uint64_t ended; /* texts shorter than a row that do not say why they end */
} cli_samples;
/* Returns CLI_OK or CLI_FAIL (after a message with file and line). */
int cli_samples_read(const cli_session *s, cli_samples *out);

/* -------------------------------------------------------------------- words and numbers (words.c) */

/* Three significant digits without an exponent: 24631 is "24600", 0.7443 "0.744", 5 "5.00"; "-" if not
 * finite. */
const char *cli_digits(double x, char out[32]);
/* Of `all` parameters or bytes those that one token goes through: all but the experts that it does not
 * choose, `used` of `experts`, which have of_experts together. */
uint64_t cli_active(uint64_t all, uint64_t of_experts, uint64_t experts, uint64_t used);
uint64_t cli_token_bytes(const vb_model_info *m); /* of its weights */
/* Whether a name ends as a model's file does, with something in front. */
bool cli_is_gguf(const char *name);
const char *cli_percent(double share, char out[32]); /* 0.315 is "31.5 %" */
const char *cli_count(double n, char out[32]);       /* 3.09e9 is "3.09 billion" */
const char *cli_seconds(double s, char out[32]);     /* 1.302 is "1.30 s", 0.0123 "12.3 ms" */
/* `verbatim help stats` */
void cli_help_stats(void);
/* Below this part of guesses accepted a warning says so. */
#define CLI_LOW_ACCEPTANCE 0.3
/* How far something is that takes seconds: on a terminal a line that changes, and goes when all is done. */
void cli_progress(const char *what, double done);
/* One sentence about a measured speed-up; acceptance < 0: not known. */
void cli_say_speed_up(FILE *to, double speed_up, double acceptance);

/* -------------------------------------------------------------------- generation (generate.c) */

typedef struct cli_result {
    int32_t *tokens; /* (n), the stop token not among them */
    bool *from_draft;
    double *logprobs;
    size_t n, room;
    int32_t *lengths; /* (n_lengths) tokens drafted by each step */
    size_t n_lengths, lengths_room;
    double first_s; /* from the prompt to the first token */
    char *text;     /* NUL-terminated */
    size_t text_len, text_room;
    const char *reason; /* "stop", "length" or "cancelled" */
    bool context_full;
    vb_stats stats;
    double seconds; /* in vb_spec_step, by the clock */
} cli_result;

/* One generation from empty caches, by the clock. */
typedef struct cli_timing {
    double seconds; /* of the steps, without the prompt */
    double first;   /* from the prompt's beginning to the first token */
    vb_stats stats;
} cli_timing;
/* n tokens behind the prompt, whatever ends a text; tokens: (n), or NULL. Returns CLI_OK or CLI_FAIL (after a
 * message). */
int cli_time_generation(cli_session *s, const vb_spec_params *params, uint64_t seed, const int32_t *prompt,
                        size_t n_prompt, size_t n, int32_t *tokens, cli_timing *out);
void cli_add_stats(vb_stats *sum, const vb_stats *s);

/* Called after every step; non-zero ends the generation with CLI_FAIL (the callback has said why). */
typedef int (*cli_step_fn)(void *user, const vb_step *step);

/* Generates at most n tokens (-1: until the context is full) after what `spec` was given. */
int cli_generate(cli_session *s, vb_spec *spec, int64_t n, cli_step_fn fn, void *user, cli_result *r);
void cli_result_free(cli_result *r);

/* The statistics for people, on standard error, and for programs. */
void cli_print_stats(const cli_session *s, const cli_result *r);
json_t *cli_json_stats(const cli_result *r);
/* --offload-width without --offload. */
int cli_check_offload(const cli_options *o);
void cli_offload_params(const cli_options *o, vb_offload *offload, vb_context_params *p);
/* What the offload backend did for a context, if there is one: on standard output or standard error. */
void cli_print_offload(const vb_offload *offload, const vb_context *context, bool out);
json_t *cli_json_offload(const cli_session *s);

/* -------------------------------------------------------------------- a busy machine (load.c) */

/* Beside measurements that are kept: what part of the processors' time other programs took meanwhile. */
typedef struct cli_load {
    bool known;
    double all, busy, own; /* seconds of processor time when it began: there, used, used by this program */
} cli_load;
#define CLI_BUSY 0.15 /* from here on a measurement is doubted */
void cli_load_begin(cli_load *l);
/* Since then, 0 to 1; NAN where the system does not say, and of less than half a second. */
double cli_load_others(const cli_load *l);
/* "others" and "at" of an object that is kept: that part, and the time now. */
void cli_load_write(json_t *o, double others);
double cli_load_read(const json_t *o); /* NAN: not known */
/* "3 days ago", by "at". */
const char *cli_load_age(const json_t *o, char out[32]);
/* A note on standard error if others took so much that `what` ("... was measured") may be wrong, with the
 * file ("": none) and the way out. */
void cli_load_warn(double others, const char *what, const char *path, const char *way);

/* -------------------------------------------------------------------- lengths (costs.c) */

typedef struct cli_costs {
    vb_costs costs;
    bool known;      /* else they are to be measured */
    double others;   /* of cli_load, when they were measured */
    char path[1024]; /* where they are kept; "": nowhere */
} cli_costs;
/* --costs or the cache. draft NULL: no model drafts. Returns CLI_OK or CLI_FAIL (after a message). */
int cli_costs_find(const cli_options *o, const vb_gguf *target, const vb_gguf *draft, cli_costs *out);
/* Keeps what was measured because it was not known. */
int cli_costs_keep(const cli_options *o, const cli_costs *c);
/* A note if they were measured on a busy machine. */
void cli_costs_doubt(const cli_costs *c);
json_t *cli_costs_json(const vb_costs *c);
/* What such a file says. NULL, or why it cannot be. Not for several threads at once. */
const char *cli_costs_parse(const char *text, size_t n, vb_costs *out);
/* Of all that speed depends on: the models' contents, the machine, and the options that change it. */
uint64_t cli_speed_key(const cli_options *o, const vb_gguf *target, const vb_gguf *draft);
/* Writes a JSON value, which is released. Returns CLI_OK also where it cannot: nobody asked for the file. Of
 * a folder that is not to be written nothing is said, of a full disk a line. */
int cli_cache_write(const char *path, json_t *value);
/* A file of this kind and key in the cache's folder, which is made. False: there is no such folder. */
bool cli_cache_path(const char *kind, uint64_t key, char out[1024]);

/* --gamma-trace: the lengths of a file that is there, into s->params; those of a run, into one that is not.
 * Return CLI_OK, CLI_FAIL or CLI_USAGE (after a message). */
int cli_lengths_read(cli_session *s);
int cli_lengths_write(const cli_session *s, const cli_result *r);
/* *lengths is allocated (free). NULL, or why it cannot be. Not for several threads at once. */
const char *cli_lengths_parse(const char *text, size_t n, int32_t **lengths, size_t *n_lengths);
/* "auto" or a number. */
const char *cli_gamma_name(int gamma, char out[32]);
/* --tree as a shape, {0} without it. CLI_USAGE: trees are a draft model's, and have a size of their own. */
int cli_read_tree(const cli_options *o, int tree[VB_TREE_DEPTH]);
/* "3,2,1" with `between` for the comma. */
const char *cli_tree_name(const int tree[VB_TREE_DEPTH], char between, char out[80]);
/* "gamma 5", "gamma auto" or "tree 3,2,1": how much a step drafts. */
const char *cli_step_name(const vb_spec_params *p, char out[100]);

/* -------------------------------------------------------------------- chat templates (template.c) */

bool cli_template_named(const char *name); /* one of ours */
/* The text of a template's file; one that cannot be read is a usage error that lists our names. */
int cli_template_file(const char *path, char **text, size_t *n);
/* What --chat-template says, or the model's own. Returns CLI_OK, CLI_FAIL or CLI_USAGE (after a message). */
int cli_template_open(const char *wanted, const vb_gguf *g, const vb_tokenizer *t, vb_chat **out);
/* --date as six numbers, *given whether it is there. */
int cli_template_date(const cli_options *o, int date[6], bool *given);
/* --parse-content-specials: special tokens are recognised in all of a prompt's text. */
void cli_forget_writers(vb_prompt *p);

/* -------------------------------------------------------------------- memory (bandwidth.c) */

typedef struct cli_bandwidth {
    double bytes_per_s; /* read, the best of 5 passes */
    uint64_t bytes;     /* per pass: 2 GiB, or less where memory is short */
    int threads;
    const char *vectors; /* "512-bit" */
    uint64_t checksum;
} cli_bandwidth;

/* With a thread per CPU and the widest loads. Returns CLI_OK or CLI_FAIL (after a message). */
int cli_read_bandwidth(cli_bandwidth *out);

/* -------------------------------------------------------------------- multipliers and energy (machine.c) */

/* Floats that so many threads multiply and add per second with the vectors that these kernels use, the best
 * of 5 rounds; NAN where that is not known. */
double cli_multiply_rate(const char *kernels, int threads);

enum { CLI_PACKAGES = 8 };
typedef struct cli_package {
    char name[32];
    double microjoules, range; /* which begins again at `range` */
} cli_package;
typedef struct cli_energy {
    int n;
    cli_package packages[CLI_PACKAGES];
} cli_energy;

/* What the machine's packages have used so far, as Linux counts it under /sys/class/powercap, or in the
 * folder that VERBATIM_POWERCAP names. Returns NULL, or why it cannot be read. */
const char *cli_energy_read(cli_energy *e);
/* Joules used in between; NAN where one of the two could not be read. Longer than a counter takes to begin
 * again, minutes at least, it is too little. */
double cli_joules_between(const cli_energy *from, const cli_energy *to);

/* -------------------------------------------------------------------- streaming (stream.c) */

/* Prints the text of each step as it comes, with colours, and the [DRAFT]... lines of --verbose. */
typedef struct cli_stream {
    const cli_session *session;
    bool text;    /* stream the text on standard output */
    bool color;   /* with colours */
    bool tty;     /* to a terminal: control characters are shown, not sent */
    bool verbose; /* step lines on standard error */
    uint64_t step;
    vb_utf8 utf8;
} cli_stream;

void cli_stream_init(cli_stream *st, const cli_session *s, bool text);
int cli_stream_step(void *stream, const vb_step *step);
/* Text on standard output, in whole characters; within a colour's code unless that is NULL. */
void cli_stream_put(cli_stream *st, const char *text, size_t n, const char *code);
/* What is held back of an unfinished character. */
void cli_stream_end(cli_stream *st);

#endif
