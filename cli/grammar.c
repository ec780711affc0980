/* grammar.c - `verbatim grammar`: what a grammar is, whether a text is one of its, and what may come next. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct asked {
    vb_grammar *grammar;
    cli_model model;
    vb_vocabulary *vocabulary;
    vb_constraint *constraint;
    char *source, *text;
    size_t n_source, n_text;
    double read_s, vocabulary_s, bind_s;
} asked;

/* --kind, else by the file's name: .json is a schema, .regex a regular expression, anything else GBNF. */
static vb_grammar_kind kind_of(const cli_options *o) {
    static const char *const names[] = {"gbnf", "regex", "json-schema", "json-object"};
    for (int i = 0; i < 4 && o->kind; i++)
        if (strcmp(o->kind, names[i]) == 0) return (vb_grammar_kind)i;
    const char *dot = strrchr(o->words[0], '.');
    if (dot && strcmp(dot, ".json") == 0) return VB_GRAMMAR_JSON_SCHEMA;
    return dot && strcmp(dot, ".regex") == 0 ? VB_GRAMMAR_REGEX : VB_GRAMMAR_GBNF;
}

/* A regular expression's file ends with its line. */
static void cut_line(char *s, size_t *n) {
    while (*n && (s[*n - 1] == '\n' || s[*n - 1] == '\r')) --*n;
}

static int open_all(asked *a, const cli_options *o) {
    vb_error err = {0};
    const vb_grammar_kind kind = kind_of(o);
    int rc = cli_read_file(o->words[0], &a->source, &a->n_source);
    if (rc) return rc;
    if (kind == VB_GRAMMAR_REGEX) cut_line(a->source, &a->n_source);
    double from = cli_now();
    if (vb_grammar_open(&a->grammar, kind, a->source, a->n_source, NULL, &err)) return cli_report(&err);
    a->read_s = cli_now() - from;
    if (!o->model) return CLI_OK;
    if ((rc = cli_model_open(&a->model, o, o->model, false))) return rc;
    from = cli_now();
    if (vb_vocabulary_open(&a->vocabulary, a->model.tokenizer, 0, &err)) return cli_report(&err);
    a->vocabulary_s = cli_now() - from;
    from = cli_now();
    if (vb_constraint_open(&a->constraint, a->grammar, a->vocabulary, NULL, &err)) return cli_report(&err);
    a->bind_s = cli_now() - from;
    return CLI_OK;
}

static void close_all(asked *a) {
    vb_constraint_close(a->constraint);
    vb_vocabulary_close(a->vocabulary);
    vb_grammar_close(a->grammar);
    cli_model_close(&a->model);
    free(a->source);
    free(a->text);
}

/* "a-z", "\"", ...: runs of bytes, escaped. */
static void print_bytes(const uint64_t next[4]) {
    for (int c = 0; c < 256; c++) {
        char lo[8], hi[8];
        int end = c;
        if (!(next[c >> 6] >> (c & 63) & 1)) continue;
        while (end < 255 && next[(end + 1) >> 6] >> ((end + 1) & 63) & 1) end++;
        cli_escape((const char[]){(char)c}, 1, lo, sizeof lo);
        cli_escape((const char[]){(char)end}, 1, hi, sizeof hi);
        cli_outf(end > c ? " %s..%s" : " %s", c == ' ' ? "space" : lo, end == ' ' ? "space" : hi);
        c = end;
    }
}

enum { SHOWN_IDS = 40 };

/* The ids after the text, tokenised as the model would; and the text that must follow. */
static int print_ids(const asked *a, json_t *json) {
    vb_error err = {0};
    vb_guide *g = NULL;
    const int32_t n_vocab = vb_tokenizer_size(a->model.tokenizer);
    const size_t words = ((size_t)n_vocab + 63) / 64;
    const vb_guide_params p = {.prefix = a->text, .n_prefix = a->n_text};
    uint64_t *allowed = calloc(words, sizeof *allowed);
    char forced[256], quote[1024];
    size_t n_forced = 0, n = 0;
    int rc = CLI_OK;
    if (!allowed) return cli_error("out of memory");
    if (vb_guide_open(&g, a->constraint, &p, &err) || vb_guide_allowed(g, NULL, 0, allowed, &err) ||
        vb_guide_forced_text(g, NULL, 0, forced, sizeof forced, &n_forced, &err))
        rc = cli_report(&err);
    for (size_t i = 0; i < words && !rc; i++) n += (size_t)__builtin_popcountll(allowed[i]);
    if (!rc && json) {
        json_t *ids = json_array();
        for (int32_t id = 0; id < n_vocab; id++)
            if (allowed[id / 64] >> (id % 64) & 1) json_array_append_new(ids, json_integer(id));
        json_object_set_new(json, "ids", ids);
        json_object_set_new(json, "forced", cli_json_text(forced, n_forced));
    } else if (!rc) {
        int shown = 0;
        cli_outf("ids that may come: %zu of %d\n", n, n_vocab);
        for (int32_t id = 0; id < n_vocab && shown < SHOWN_IDS; id++) {
            if (!(allowed[id / 64] >> (id % 64) & 1)) continue;
            cli_token_quote(a->model.tokenizer, id, quote, sizeof quote);
            cli_outf("  %d\t%s%s\n", id, quote, vb_token_is_stop(a->model.tokenizer, id) ? " (end)" : "");
            shown++;
        }
        if (n > SHOWN_IDS) cli_outf("  and %zu more (--json lists all)\n", n - SHOWN_IDS);
        cli_escape(forced, n_forced, quote, sizeof quote);
        if (n_forced) cli_outf("text that must come: \"%s\"\n", quote);
    }
    vb_guide_close(g);
    free(allowed);
    return rc;
}

static int say(const asked *a, const cli_options *o, const uint64_t next[4], bool complete, size_t valid) {
    json_t *json = o->json ? json_object() : NULL;
    const bool dead = valid < a->n_text;
    bool any = false;
    int rc = CLI_OK;
    for (int i = 0; i < 4; i++) any |= next[i] != 0;
    if (json) {
        json_t *bytes = json_array();
        for (int c = 0; c < 256; c++)
            if (next[c >> 6] >> (c & 63) & 1) json_array_append_new(bytes, json_integer(c));
        json_object_set_new(json, "complete", json_boolean(complete));
        json_object_set_new(json, "beginning", json_boolean(!dead));
        json_object_set_new(json, "valid_bytes", json_integer((json_int_t)valid));
        json_object_set_new(json, "bytes", bytes);
    } else if (dead) {
        cli_outf("the text is no beginning of one of the grammar: its first %zu bytes are, and then", valid);
        char found[64];
        cli_escape(a->text + valid, a->n_text - valid < 12 ? a->n_text - valid : 12, found, sizeof found);
        cli_outf(" \"%s\" does not fit\n", found);
    } else {
        cli_outf("the text is %s\n", complete && !any ? "complete, and nothing may follow"
                                     : complete       ? "complete, and may go on"
                                                      : "a beginning of one of the grammar, not complete");
        cli_outf("bytes that may come:");
        print_bytes(next);
        cli_outf("%s\n", any ? "" : " none");
    }
    if (!dead && a->constraint && a->model.tokenizer) rc = print_ids(a, json);
    if (json && !rc) return cli_out_json(json);
    json_decref(json);
    return rc;
}

static void explain(const asked *a) {
    vb_grammar_facts f;
    vb_grammar_describe(a->grammar, &f);
    cli_outf("read in %.1f ms: %zu rules, %zu expressions, %.2f MB\n", a->read_s * 1e3, f.rules,
             f.expressions, (double)f.bytes / 1e6);
    if (!a->constraint) return;
    vb_constraint_stats s;
    vb_constraint_stats_get(a->constraint, &s);
    cli_outf("vocabulary: %d ids, %.1f MB in %.0f ms; bound in %.2f ms%s\n",
             vb_tokenizer_size(a->model.tokenizer), (double)s.vocab_bytes / 1e6, a->vocabulary_s * 1e3,
             a->bind_s * 1e3,
             s.bytes_missing ? " (it lacks bytes that the grammar uses: what cannot be spelled is cut)" : "");
}

int cli_grammar(cli_options *o) {
    asked a = {0};
    uint64_t next[4];
    bool complete = false;
    size_t valid = 0;
    vb_error err = {0};
    if (o->n_words != 1) return cli_usage("no grammar: verbatim grammar FILE");
    if (o->file && o->prompt) return cli_usage("-p and -f exclude each other");
    int rc = open_all(&a, o);
    if (!rc && o->file) rc = cli_read_file(o->file, &a.text, &a.n_text);
    if (!rc && o->prompt) {
        a.n_text = strlen(o->prompt);
        if (!(a.text = malloc(a.n_text + 1))) rc = cli_error("out of memory");
        if (a.text) memcpy(a.text, o->prompt, a.n_text + 1);
    }
    if (!rc && !o->json) explain(&a);
    if (!rc && vb_grammar_text(a.grammar, a.text ? a.text : "", a.n_text, next, &complete, &valid, &err))
        rc = cli_report(&err);
    if (!rc) rc = say(&a, o, next, complete, valid);
    close_all(&a);
    const int written = cli_out_finish();
    if (rc || written) return rc ? rc : written;
    return (o->file || o->prompt) && !complete ? CLI_FAIL : CLI_OK;
}
