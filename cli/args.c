/* args.c - parses a command line by the table in options.c. */
#include "options.h"

#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cli_usage(const char *format, ...) {
    va_list ap;
    if (vb_json_failed()) return cli_error("out of memory for the configuration");
    va_start(ap, format);
    fputs("verbatim: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    return CLI_USAGE;
}

int cli_edit_distance(const char *a, const char *b) {
    enum { MAX = 40 };
    size_t n = strlen(a), m = strlen(b);
    if (n > MAX || m > MAX) return 99;
    int row[MAX + 1];
    for (size_t j = 0; j <= m; j++) row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0]; /* distance of a[0..i-1) and b[0..j-1) */
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            int insert = row[j] + 1, drop = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < insert ? change : insert;
            if (drop < row[j]) row[j] = drop;
        }
    }
    return row[m];
}

/* Goes through the words of "a|b|c". Start with *at = words; false at the end. */
static bool next_word(const char **at, char word[48]) {
    if (!*at || !**at) return false;
    size_t n = strcspn(*at, "|");
    snprintf(word, 48, "%.*s", (int)n, *at);
    *at += n + ((*at)[n] == '|');
    return true;
}

static bool has_word(const char *words, const char *word) {
    char w[48];
    while (next_word(&words, w))
        if (!strcmp(w, word)) return true;
    return false;
}

/* The option called `name`, or NULL. */
static const cli_option *find_option(const char *name, unsigned command) {
    for (size_t i = 0; i < CLI_N_OPTIONS; i++)
        if ((CLI_OPTIONS[i].commands & command) && has_word(CLI_OPTIONS[i].names, name))
            return &CLI_OPTIONS[i];
    return NULL;
}

static int unknown_option(const cli_command *command, const char *name) {
    char best[48] = "", w[48];
    int best_distance = 4; /* further away is no help */
    for (size_t i = 0; i < CLI_N_OPTIONS; i++) {
        if (!(CLI_OPTIONS[i].commands & command->bit)) continue;
        const char *at = CLI_OPTIONS[i].names;
        while (next_word(&at, w)) {
            int d = cli_edit_distance(name, w);
            if (d < best_distance && d < (int)strlen(w) - 1) {
                best_distance = d;
                snprintf(best, sizeof best, "%s", w);
            }
        }
    }
    if (find_option(name, UINT_MAX))
        return cli_usage("%s is not an option of `verbatim %s`; see `verbatim %s --help`", name,
                         command->name, command->name);
    if (best[0]) return cli_usage("unknown option %s; did you mean %s?", name, best);
    return cli_usage("unknown option %s; see `verbatim %s --help`", name, command->name);
}

static int bad_choice(const cli_option *opt, const char *name, const char *value) {
    char list[128] = "", w[48];
    const char *at = opt->choices;
    while (next_word(&at, w)) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", w);
    }
    bool number = value[0] && strspn(value, "0123456789") == strlen(value);
    if (!strcmp(name, "--draft") && number)
        return cli_usage("%s %s: expected one of %s; the number of drafted tokens is --gamma %s", name, value,
                         list, value);
    return cli_usage("%s %s: expected one of %s", name, value, list);
}

static int set_int(const cli_option *opt, const char *name, const char *value, int64_t *out) {
    char *end;
    errno = 0;
    long long v = strtoll(value, &end, 10);
    if (end == value || *end) return cli_usage("%s %s: expected a whole number", name, value);
    if (errno == ERANGE || (double)v < opt->min || (double)v > opt->max)
        return cli_usage("%s %s: expected %.0f to %lld", name, value, opt->min,
                         opt->max < 9e18 ? (long long)opt->max : LLONG_MAX); /* a double rounds 2^63 - 1 up */
    *out = v;
    return CLI_OK;
}

static int set_real(const cli_option *opt, const char *name, const char *value, double *out) {
    char *end;
    double v = strtod(value, &end);
    if (end == value || *end) return cli_usage("%s %s: expected a number", name, value);
    if (!(v >= opt->min && v <= opt->max))
        return cli_usage("%s %s: expected %g to %g", name, value, opt->min, opt->max);
    *out = v;
    return CLI_OK;
}

static int append(cli_list *list, const char *value) {
    const char **grown = realloc(list->items, (list->n + 1) * sizeof *grown);
    if (!grown) return cli_usage("out of memory");
    list->items = grown;
    list->items[list->n++] = value;
    return CLI_OK;
}

static int set_value(const cli_option *opt, const char *name, const char *value, cli_options *o) {
    void *field = (char *)o + opt->offset;
    switch (opt->kind) {
    case CLI_FLAG: *(bool *)field = true; return CLI_OK;
    case CLI_STRING: *(const char **)field = value; return CLI_OK;
    case CLI_INT: return set_int(opt, name, value, field);
    case CLI_REAL: return set_real(opt, name, value, field);
    case CLI_LIST: return append(field, value);
    case CLI_CHOICE:
        if (!has_word(opt->choices, value)) return bad_choice(opt, name, value);
        *(const char **)field = value;
        return CLI_OK;
    }
    return CLI_USAGE;
}

/* One option at argv[*i], with its value. */
static int parse_option(const cli_command *command, int argc, char **argv, int *i, cli_options *o) {
    char name[64];
    const char *equals = !strncmp(argv[*i], "--", 2) ? strchr(argv[*i], '=') : NULL;
    size_t n = equals ? (size_t)(equals - argv[*i]) : strlen(argv[*i]);
    if (n >= sizeof name) return cli_usage("unknown option %s", argv[*i]);
    memcpy(name, argv[*i], n);
    name[n] = 0;

    const cli_option *opt = find_option(name, command->bit);
    if (!opt) return unknown_option(command, name);
    const char *value = NULL;
    if (opt->kind == CLI_FLAG) {
        if (equals) return cli_usage("%s takes no value", name);
    } else if (equals) {
        value = equals + 1;
    } else {
        if (*i + 1 >= argc) return cli_usage("%s needs a value: %s", name, opt->arg);
        value = argv[++*i];
    }
    int rc = set_value(opt, name, value, o);
    const size_t at = (size_t)(opt - CLI_OPTIONS);
    if (!rc) o->given[at / 64] |= UINT64_C(1) << at % 64;
    return rc;
}

int cli_parse(const cli_command *command, int argc, char **argv, cli_options *o) {
    cli_defaults(command->bit, o);
    bool options = true;
    for (int i = 0; i < argc; i++) {
        if (options && !strcmp(argv[i], "--")) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            int rc = parse_option(command, argc, argv, &i, o);
            if (rc) return rc;
            if (o->help) return CLI_OK;
        } else if (o->n_words < (o->merge.n ? CLI_MAX_WORDS : command->max_words)) {
            o->words[o->n_words++] = argv[i];
        } else {
            return cli_usage("unexpected argument \"%s\"; see `verbatim %s --help`", argv[i], command->name);
        }
    }
    return CLI_OK;
}

void cli_options_free(cli_options *o) {
    free(o->logit_bias.items);
    free(o->merge.items);
    free(o->serve.cors.items);
    free(o->serve.allow_host.items);
    o->logit_bias = o->merge = (cli_list){NULL, 0};
}

bool cli_given(const cli_options *o, const char *long_name) {
    for (size_t i = 0; i < CLI_N_OPTIONS; i++)
        if (has_word(CLI_OPTIONS[i].names, long_name)) return (o->given[i / 64] >> i % 64) & 1;
    return false;
}

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
    while (next_word(&at, w)) {
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

void cli_help(const cli_command *command) {
    cli_outf("usage: verbatim %s %s\n\n%s\n\n", command->name, command->usage, command->summary);
    for (size_t i = 0; i < CLI_N_OPTIONS; i++)
        if (CLI_OPTIONS[i].commands & command->bit) help_option(&CLI_OPTIONS[i]);
    if (command->notes) cli_outf("\n%s\n", command->notes);
}
