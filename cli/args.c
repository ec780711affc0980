/* args.c - parses a command line by the table in options.c. */
#include "cli/options.h"

#include "cli/cli.h"

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
    const size_t n = strlen(a), m = strlen(b);
    if (n > MAX || m > MAX) return 99;
    int rows[3][MAX + 1]; /* rows[i % 3][j]: distance of a[0..i) and b[0..j) */
    for (size_t i = 0; i <= n; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = i ? above[j - 1] + (a[i - 1] != b[j - 1]) : (int)j;
            if (row[j - 1] + 1 < row[j]) row[j] = row[j - 1] + 1;
            if (i && above[j] + 1 < row[j]) row[j] = above[j] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two_above[j - 2] + 1 < row[j])
                row[j] = two_above[j - 2] + 1; /* two letters changed places */
        }
    }
    return rows[n % 3][m];
}

bool cli_next_word(const char **at, char word[48]) {
    if (!*at || !**at) return false;
    size_t n = strcspn(*at, "|");
    snprintf(word, 48, "%.*s", (int)n, *at);
    *at += n + ((*at)[n] == '|');
    return true;
}

bool cli_has_word(const char *words, const char *word) {
    char w[48];
    while (cli_next_word(&words, w))
        if (!strcmp(w, word)) return true;
    return false;
}

static const cli_option *named(const char *name, unsigned command) {
    for (size_t i = 0; i < CLI_N_OPTIONS; i++)
        if ((CLI_OPTIONS[i].commands & command) && cli_has_word(CLI_OPTIONS[i].names, name))
            return &CLI_OPTIONS[i];
    return NULL;
}

const cli_option *cli_find_option(const char *name, unsigned command) {
    char two[64] = "-"; /* the same name with a dash more */
    const cli_option *o = named(name, command);
    const char *alias = o ? NULL : cli_foreign_alias(name, command);
    if (alias) o = named(alias, command);
    if (o || name[0] != '-' || name[1] == '-' || strlen(name) < 4) return o;
    snprintf(two + 1, sizeof two - 1, "%s", name);
    return cli_find_option(two, command);
}

/* How far a misspelt name may be from the right one, without its dashes: a short one is soon as near to any
 * other. */
static int near(size_t length) {
    return length < 3 ? 0 : length < 6 ? 1 : length < 10 ? 2 : 3;
}

/* The option of the command that `name` was meant for, by its beginning or by its letters. */
static bool guess(const cli_command *command, const char *name, char best[48]) {
    const size_t dashes = strspn(name, "-"), n = strlen(name);
    char w[48];
    int least = near(n - dashes) + 1;
    best[0] = 0;
    for (size_t i = 0; i < CLI_N_OPTIONS; i++) {
        if (!(CLI_OPTIONS[i].commands & command->bit)) continue;
        const char *at = CLI_OPTIONS[i].names;
        while (cli_next_word(&at, w)) {
            const char *meant = dashes == 1 && n > 3 && w[1] == '-' ? w + 1 : w; /* one dash does for two */
            const int d = n - dashes >= 3 && w[1] == '-' && !strncmp(meant, name, n)
                              ? 0
                              : cli_edit_distance(name, meant);
            if (d >= least) continue;
            snprintf(best, 48, "%s", w);
            least = d;
        }
    }
    return best[0] != 0;
}

static int unknown_option(const cli_command *command, const char *name) {
    const char *answer = cli_foreign_name(name, command->bit);
    char best[48];
    if (answer) return cli_usage("%s: %s", name, answer);
    if (cli_find_option(name, UINT_MAX))
        return cli_usage("%s is not an option of `verbatim %s`; see `verbatim %s --help`", name,
                         command->name, command->name);
    if (guess(command, name, best)) return cli_usage("unknown option %s; did you mean %s?", name, best);
    return cli_usage("unknown option %s; see `verbatim %s --help`", name, command->name);
}

static int bad_choice(const cli_option *opt, const char *said, const char *value) {
    char list[128] = "", w[48];
    const char *at = opt->choices;
    while (cli_next_word(&at, w)) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", w);
    }
    bool number = value[0] && strspn(value, "0123456789") == strlen(value);
    if (cli_has_word(opt->names, "--draft") && number)
        return cli_usage("%s: expected one of %s; the number of drafted tokens is --gamma %s", said, list,
                         value);
    return cli_usage("%s: expected one of %s", said, list);
}

static int set_int(const cli_option *opt, const char *said, const char *value, int64_t *out) {
    const int64_t min = (int64_t)opt->min, max = opt->max < 9.2e18 ? (int64_t)opt->max : INT64_MAX;
    char *end;
    errno = 0;
    if (opt->choices && !strcmp(value, opt->choices)) {
        *out = CLI_AUTO;
        return CLI_OK;
    }
    const long long v = strtoll(value, &end, 10);
    if (end == value || *end)
        return cli_usage("%s: expected a whole number%s%s", said, opt->choices ? " or " : "",
                         opt->choices ? opt->choices : "");
    if (errno == ERANGE || v < min || v > max)
        return cli_usage("%s: expected %lld to %lld%s%s", said, (long long)min, (long long)max,
                         opt->choices ? " or " : "", opt->choices ? opt->choices : "");
    *out = v;
    return CLI_OK;
}

static int set_real(const cli_option *opt, const char *said, const char *value, double *out) {
    char *end;
    double v = strtod(value, &end);
    if (end == value || *end) return cli_usage("%s: expected a number", said);
    if (!(v >= opt->min && v <= opt->max)) {
        if (opt->min == CLI_ABOVE_0) return cli_usage("%s: expected more than 0, at most %g", said, opt->max);
        return cli_usage("%s: expected %g to %g", said, opt->min, opt->max);
    }
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

int cli_set_value(const cli_option *opt, const char *said, const char *value, cli_options *o) {
    void *field = (char *)o + opt->offset;
    const size_t at = (size_t)(opt - CLI_OPTIONS);
    int64_t whole = 0;
    int rc = CLI_OK;
    switch (opt->kind) {
    case CLI_FLAG: *(bool *)field = true; break;
    case CLI_INT: rc = set_int(opt, said, value, field); break;
    case CLI_SHORT:
        if (!(rc = set_int(opt, said, value, &whole))) *(int *)field = (int)whole;
        break;
    case CLI_REAL: rc = set_real(opt, said, value, field); break;
    case CLI_LIST: rc = append(field, value); break;
    case CLI_CHOICE:
        if (!cli_has_word(opt->choices, value)) return bad_choice(opt, said, value);
        *(const char **)field = value;
        break;
    case CLI_STRING: *(const char **)field = value; break;
    }
    if (!rc) o->given[at / 64] |= UINT64_C(1) << at % 64;
    return rc;
}

/* One option at argv[*i], with its value. */
static int parse_option(const cli_command *command, int argc, char **argv, int *i, cli_options *o) {
    char name[64];
    const char *equals = argv[*i][1] && argv[*i][2] ? strchr(argv[*i] + 3, '=') : NULL;
    size_t n = equals ? (size_t)(equals - argv[*i]) : strlen(argv[*i]);
    if (n >= sizeof name) return cli_usage("unknown option %s", argv[*i]);
    memcpy(name, argv[*i], n);
    name[n] = 0;

    const cli_option *opt = cli_find_option(name, command->bit);
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
    char said[200];
    snprintf(said, sizeof said, "%s %s", name, value ? value : "");
    return cli_set_value(opt, said, value, o);
}

int cli_parse(const cli_command *command, int argc, char **argv, cli_options *o) {
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
            return cli_usage("unexpected argument \"%s\"%s; see `verbatim %s --help`", argv[i],
                             cli_is_gguf(argv[i]) ? ": a model is given with -m, a draft model with -md" : "",
                             command->name);
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
        if (((o->given[i / 64] >> i % 64) & 1) && cli_has_word(CLI_OPTIONS[i].names, long_name)) return true;
    return false;
}
