/* config.c - options from a configuration file and the environment, in front of the command line. */
#include "cli/options.h"

#include "cli/cli.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

extern char **environ;

/* What is not an option of a command, and is somebody's all the same. */
static const char *const OTHER_VARIABLES[] = {"VERBATIM_OFFLOAD_PATH", "VERBATIM_CACHE", NULL};

enum { MAX_NAME = 64 };

/* A key as an option of another program would be written: --draft-model-name. False: it is too long for
 * one. */
static bool as_option(const char *key, char name[MAX_NAME]) {
    size_t n = 2;
    name[0] = name[1] = '-';
    for (; *key && n + 1 < MAX_NAME; key++)
        name[n++] = (char)(*key == '_' ? '-' : tolower((unsigned char)*key));
    name[n] = 0;
    return !*key;
}

static const char *foreign(const char *key, unsigned command) {
    char name[MAX_NAME];
    return as_option(key, name) ? cli_foreign_name(name, command) : NULL;
}

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
    const char *alias = as_option(key, flag) ? cli_foreign_alias(flag, command->bit) : NULL;
    return alias ? cli_find_option(alias, command->bit) : NULL;
}

/* What the command line gives is not looked at here, but for lists, which add up. */
static bool overridden(const cli_command *command, int argc, char **argv, const cli_option *o) {
    for (int i = 0; i < argc && o->kind != CLI_LIST && strcmp(argv[i], "--") != 0; i++) {
        char name[MAX_NAME];
        const char *equals = argv[i][0] && argv[i][1] && argv[i][2] ? strchr(argv[i] + 3, '=') : NULL;
        const size_t n = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        if (argv[i][0] != '-' || n >= sizeof name) continue;
        snprintf(name, sizeof name, "%.*s", (int)n, argv[i]);
        const cli_option *found = cli_find_option(name, command->bit);
        if (found == o) return true;
        if (found && found->kind != CLI_FLAG && !equals) i++; /* its value is no name */
    }
    return false;
}

/* A copy that lives as long as the configuration. */
static const char *keep(cli_config *c, const char *value) {
    char *text = strdup(value), **own = realloc(c->own, (c->n_own + 1) * sizeof *own);
    if (own) c->own = own;
    if (!text || !own) {
        free(text);
        cli_usage("out of memory");
        return NULL;
    }
    c->own[c->n_own++] = text;
    return text;
}

static int set(cli_config *c, const cli_option *o, const char *said, const char *value, cli_options *to) {
    const char *own = keep(c, value);
    return own ? cli_set_value(o, said, own, to) : CLI_USAGE;
}

static int set_json(cli_config *c, const cli_option *o, const char *file, const char *key, const json_t *v,
                    cli_options *to) {
    char said[300], number[40];
    const char *text = number;
    if (json_is_null(v)) return CLI_OK;
    if (o->kind == CLI_LIST && json_is_array(v)) {
        int rc = CLI_OK;
        for (size_t i = 0; i < json_array_size(v) && !rc; i++)
            rc = set_json(c, o, file, key, json_array_get(v, i), to);
        return rc;
    }
    if (json_is_object(v))
        return cli_usage(
            "%s: \"%s\" is a section, and there are none here: write its keys side by side, as in "
            "{\"draft_model\": \"draft.gguf\", \"port\": 9000}",
            file, key);
    if (o->kind == CLI_FLAG) {
        if (!json_is_boolean(v)) return cli_usage("%s: \"%s\" must be true or false", file, key);
        return json_is_true(v) ? cli_set_value(o, key, NULL, to) : CLI_OK;
    }
    if (json_is_string(v))
        text = json_string_value(v);
    else if (json_is_integer(v))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        snprintf(number, sizeof number, "%.17g", json_real_value(v));
    else
        return cli_usage("%s: \"%s\" must be %s", file, key,
                         o->kind == CLI_LIST ? "a string or a list of strings" : "a string or a number");
    snprintf(said, sizeof said, "%s: \"%s\": %s", file, key, text);
    return set(c, o, said, text, to);
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

static int unknown_key(const cli_command *command, const char *file, const char *key) {
    const char *answer = foreign(key, command->bit);
    if (answer) return cli_usage("%s: \"%.60s\": %s", file, key, answer);
    return cli_usage(
        "%s: there is no option \"%.60s\"; `verbatim %s --help` lists them, as keys without the dashes", file,
        key, command->name);
}

static int not_json(const char *path, const char *bytes, const json_error_t *e) {
    if (bytes[strspn(bytes, " \t\r\n")] != '{')
        return cli_usage("%s: line %d, column %d: not JSON; --config takes JSON (no YAML): {\"port\": 9000}",
                         path, e->line, e->column);
    if (json_error_code(e) == json_error_null_character)
        return cli_usage("%s: line %d, column %d: the character NUL (\\u0000) cannot be part of an option",
                         path, e->line, e->column);
    return cli_usage("%s: line %d, column %d: %s", path, e->line, e->column, e->text);
}

static int read_config(cli_config *c, const cli_command *command, const char *path, int argc, char **argv,
                       cli_options *to) {
    char *bytes = NULL, flag[MAX_NAME];
    size_t n;
    json_error_t e;
    int rc = cli_read_file(path, &bytes, &n);
    if (rc) return rc;
    const size_t mark = n >= 3 && !memcmp(bytes, "\xEF\xBB\xBF", 3) ? 3 : 0; /* a byte order mark */
    json_t *root = vb_json_read(bytes + mark, n - mark, JSON_REJECT_DUPLICATES, &e), *v;
    const char *key;
    if (!root) rc = not_json(path, bytes + mark, &e);
    free(bytes);
    if (rc) return rc;
    if (!json_is_object(root)) rc = cli_usage("%s: expected a JSON object: {\"port\": 9000}", path);
    json_object_foreach(root, key, v) {
        const cli_option *o = find_key(command, key, false, flag);
        if (!o || !strcmp(flag, "--config") || !strcmp(flag, "--help"))
            rc = unknown_key(command, path, key);
        else if (!variable(o) &&
                 !overridden(command, argc, argv, o)) /* the environment goes before the file */
            rc = set_json(c, o, path, key, v, to);
        if (rc) break;
    }
    json_decref(root);
    return rc;
}

static bool ends_with(const char *s, const char *end) {
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

/* Kubernetes puts variables of every service into every pod of a namespace, and Docker's links do the same: a
 * service called "verbatim" gives VERBATIM_SERVICE_HOST, VERBATIM_SERVICE_PORT(_NAME),
 * VERBATIM_PORT=tcp://... and VERBATIM_PORT_8000_TCP(_ADDR, _PORT, _PROTO); one called "verbatim-page"
 * VERBATIM_PAGE_SERVICE_HOST. Nobody who sets up a server has written them, and none is an option. */
static bool of_a_service(const char *name, const char *value) {
    static const char *const protocols[] = {"tcp", "udp", "sctp"};
    const char *port = name;
    if (ends_with(name, "_SERVICE_HOST") || ends_with(name, "_SERVICE_PORT") ||
        strstr(name, "_SERVICE_PORT_"))
        return true;
    for (int i = 0; i < 3; i++) {
        const size_t n = strlen(protocols[i]);
        if (ends_with(name, "_PORT") && !strncmp(value, protocols[i], n) && !strncmp(value + n, "://", 3))
            return true;
    }
    while ((port = strstr(port, "_PORT_")) != NULL) {
        port += 6;
        const size_t digits = strspn(port, "0123456789");
        for (int i = 0; digits && i < 3; i++) {
            const size_t n = strlen(protocols[i]);
            if (port[digits] == '_' && !strncasecmp(port + digits + 1, protocols[i], n) &&
                (!port[digits + 1 + n] || port[digits + 1 + n] == '_'))
                return true;
        }
    }
    return false;
}

static int read_variable(cli_config *c, const cli_command *command, const char *entry, int argc, char **argv,
                         cli_options *to) {
    char name[128], flag[MAX_NAME], said[300];
    size_t n = strcspn(entry, "=");
    if (n >= sizeof name) return CLI_OK;
    snprintf(name, sizeof name, "%.*s", (int)n, entry);
    for (size_t i = 0; OTHER_VARIABLES[i]; i++)
        if (!strcmp(name, OTHER_VARIABLES[i])) return CLI_OK;
    const cli_option *o = find_key(command, name + 9, true, flag);
    const char *value = entry[n] ? entry + n + 1 : "", *answer;
    if (o && !strcmp(flag, "--help"))
        o = NULL; /* a server that prints its help and ends with 0 did not start */
    if (of_a_service(name, value)) return CLI_OK;
    if (!o && (answer = foreign(name + 9, command->bit)) != NULL) return cli_usage("%s: %s", name, answer);
    if (!o)
        return cli_usage("the environment has %s, and there is no such option: see `verbatim %s --help`",
                         name, command->name);
    if (overridden(command, argc, argv, o)) return CLI_OK;
    snprintf(said, sizeof said, "%s=%s", name, value);
    if (o->kind != CLI_FLAG) return set(c, o, said, value, to);
    if (!strcmp(value, "1") || !strcmp(value, "true")) return cli_set_value(o, said, NULL, to);
    if (!*value || !strcmp(value, "0") || !strcmp(value, "false")) return CLI_OK;
    return cli_usage("%s: must be true or false", said);
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

int cli_config_read(cli_config *c, const cli_command *command, int argc, char **argv, cli_options *o) {
    bool help = false;
    int rc = CLI_OK;
    memset(c, 0, sizeof *c);
    const char *path = find_config(argc, argv, &help);
    if (help) return CLI_OK;
    if (path) rc = read_config(c, command, path, argc, argv, o);
    for (char **e = environ; e && *e && !rc; e++)
        if (!strncmp(*e, "VERBATIM_", 9)) rc = read_variable(c, command, *e, argc, argv, o);
    return rc;
}

void cli_config_close(cli_config *c) {
    for (size_t i = 0; i < c->n_own; i++) free(c->own[i]);
    free(c->own);
    memset(c, 0, sizeof *c);
}
