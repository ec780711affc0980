/* config.c - options from a configuration file and the environment, in front of the command line. */
#include "options.h"

#include "cli.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

/* What is not an option of a command, and is somebody's all the same. */
static const char *const OTHER_VARIABLES[] = {"VERBATIM_OFFLOAD_PATH", NULL};

enum { MAX_NAME = 64 };

/* The option that a key means: any of its long names, with '_' or '-', in any case for variables. Its first
 * long name goes to `flag`. */
static const cli_option *find_key(const cli_command *command, const char *key, bool any_case,
                                  char flag[MAX_NAME]) {
    char word[48];
    size_t n = strlen(key);
    if (n == 0 || n > 40) return NULL;
    for (size_t i = 0; i <= n; i++)
        word[i] = (char)(key[i] == '_' ? '-' : any_case ? tolower((unsigned char)key[i]) : key[i]);
    for (size_t i = 0; i < CLI_N_OPTIONS; i++) {
        if (!(CLI_OPTIONS[i].commands & command->bit)) continue;
        for (const char *at = CLI_OPTIONS[i].names; *at;) {
            size_t len = strcspn(at, "|");
            if (len == n + 2 && !strncmp(at, "--", 2) && !strncmp(at + 2, word, n)) {
                snprintf(flag, MAX_NAME, "--%s", word);
                return &CLI_OPTIONS[i];
            }
            at += len + (at[len] == '|');
        }
    }
    return NULL;
}

/* Appends "FLAG=VALUE", or "FLAG". */
static int add(cli_config *c, const char *flag, const char *value) {
    size_t n = strlen(flag) + (value ? strlen(value) : 0) + 2;
    char *text = malloc(n), **own = realloc(c->own, (c->n_own + 1) * sizeof *own);
    if (own) c->own = own;
    if (!text || !own) {
        free(text);
        return cli_usage("out of memory");
    }
    snprintf(text, n, "%s%s%s", flag, value ? "=" : "", value ? value : "");
    c->own[c->n_own++] = text;
    return CLI_OK;
}

static int add_json(cli_config *c, const cli_option *o, const char *flag, const char *file, const char *key,
                    const json_t *v) {
    char number[40];
    if (json_is_null(v)) return CLI_OK;
    if (o->kind == CLI_LIST && json_is_array(v)) {
        int rc = CLI_OK;
        for (size_t i = 0; i < json_array_size(v) && !rc; i++)
            rc = add_json(c, o, flag, file, key, json_array_get(v, i));
        return rc;
    }
    if (o->kind == CLI_FLAG) {
        if (!json_is_boolean(v)) return cli_usage("%s: \"%s\" must be true or false", file, key);
        return json_is_true(v) ? add(c, flag, NULL) : CLI_OK;
    }
    if (json_is_string(v)) return add(c, flag, json_string_value(v));
    if (json_is_integer(v)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        return add(c, flag, number);
    }
    if (json_is_real(v)) {
        snprintf(number, sizeof number, "%.17g", json_real_value(v));
        return add(c, flag, number);
    }
    return cli_usage("%s: \"%s\" must be %s", file, key,
                     o->kind == CLI_LIST ? "a string or a list of strings" : "a string or a number");
}

/* The variable of an option, by any of its names; NULL if there is none. */
static const char *variable(const cli_option *o) {
    for (const char *at = o->names; *at;) {
        size_t len = strcspn(at, "|");
        char name[MAX_NAME + 16];
        if (!strncmp(at, "--", 2) && len < MAX_NAME) {
            int n = snprintf(name, sizeof name, "VERBATIM_%.*s", (int)(len - 2), at + 2);
            for (int i = 0; i < n; i++)
                name[i] = (char)(name[i] == '-' ? '_' : toupper((unsigned char)name[i]));
            const char *value = getenv(name);
            if (value) return value;
        }
        at += len + (at[len] == '|');
    }
    return NULL;
}

static int add_file(cli_config *c, const cli_command *command, const char *path) {
    char *bytes = NULL, flag[MAX_NAME];
    size_t n;
    json_error_t e;
    int rc = cli_read_file(path, &bytes, &n);
    if (rc) return rc;
    const size_t mark = n >= 3 && !memcmp(bytes, "\xEF\xBB\xBF", 3) ? 3 : 0; /* a byte order mark */
    json_t *root = vb_json_read(bytes + mark, n - mark, JSON_REJECT_DUPLICATES, &e), *v;
    const char *key;
    free(bytes);
    if (!root && json_error_code(&e) == json_error_null_character)
        return cli_usage("%s: line %d, column %d: the character NUL (\\u0000) cannot be part of an option",
                         path, e.line, e.column);
    if (!root) return cli_usage("%s: line %d, column %d: %s", path, e.line, e.column, e.text);
    if (!json_is_object(root)) rc = cli_usage("%s: expected a JSON object: {\"port\": 9000}", path);
    json_object_foreach(root, key, v) {
        const cli_option *o = find_key(command, key, false, flag);
        if (!o || !strcmp(flag, "--config") || !strcmp(flag, "--help"))
            rc = cli_usage(
                "%s: there is no option \"%.60s\"; `verbatim %s --help` lists them, as keys without the "
                "dashes",
                path, key, command->name);
        else if (!variable(o)) /* the environment goes before the file */
            rc = add_json(c, o, flag, path, key, v);
        if (rc) break;
    }
    json_decref(root);
    return rc;
}

static int add_variable(cli_config *c, const cli_command *command, const char *entry) {
    char name[128], flag[MAX_NAME];
    size_t n = strcspn(entry, "=");
    if (n >= sizeof name) return CLI_OK;
    snprintf(name, sizeof name, "%.*s", (int)n, entry);
    for (size_t i = 0; OTHER_VARIABLES[i]; i++)
        if (!strcmp(name, OTHER_VARIABLES[i])) return CLI_OK;
    const cli_option *o = find_key(command, name + 9, true, flag);
    const char *value = entry[n] ? entry + n + 1 : "";
    if (!o)
        return cli_usage("the environment has %s, and there is no such option: see `verbatim %s --help`",
                         name, command->name);
    if (o->kind != CLI_FLAG) return add(c, flag, value);
    if (!strcmp(value, "1") || !strcmp(value, "true")) return add(c, flag, NULL);
    if (!*value || !strcmp(value, "0") || !strcmp(value, "false")) return CLI_OK;
    return cli_usage("%s=%s: must be true or false", name, value);
}

/* --config on the command line; *help says whether only help is wanted. */
static const char *find_config(int argc, char **argv, bool *help) {
    const char *path = getenv("VERBATIM_CONFIG");
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) *help = true;
        if (!strncmp(argv[i], "--config=", 9)) path = argv[i] + 9;
        if (!strcmp(argv[i], "--config") && i + 1 < argc) path = argv[i + 1];
    }
    return path;
}

int cli_config_open(cli_config *c, const cli_command *command, int argc, char **argv) {
    bool help = false;
    int rc = CLI_OK;
    memset(c, 0, sizeof *c);
    const char *path = find_config(argc, argv, &help);
    if (path && !help) rc = add_file(c, command, path);
    for (char **e = environ; e && *e && !rc && !help; e++)
        if (!strncmp(*e, "VERBATIM_", 9)) rc = add_variable(c, command, *e);
    if (!rc && !(c->argv = calloc((size_t)argc + c->n_own + 1, sizeof *c->argv)))
        rc = cli_usage("out of memory");
    if (rc) {
        cli_config_close(c);
        return rc;
    }
    for (size_t i = 0; i < c->n_own; i++) c->argv[c->argc++] = c->own[i];
    for (int i = 0; i < argc; i++) c->argv[c->argc++] = argv[i];
    return CLI_OK;
}

void cli_config_close(cli_config *c) {
    for (size_t i = 0; i < c->n_own; i++) free(c->own[i]);
    free(c->own);
    free(c->argv);
    memset(c, 0, sizeof *c);
}
