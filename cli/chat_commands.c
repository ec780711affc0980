/* chat_commands.c - what a line that begins with a slash asks for in `verbatim chat`. See chat.h. */
#include "cli/chat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct command {
    const char *name, *argument, *help;
    int (*run)(chat *c, const char *argument); /* "" without one */
} command;

static int wrong(const char *said, const char *wanted) {
    fprintf(stderr, "\"%s\": expected %s\n", said, wanted);
    return CLI_OK;
}

/* --------------------------------------------------------------------------------------------- messages */

static const char *role_of(const chat *c, size_t i) {
    return json_string_value(json_object_get(json_array_get(c->messages, i), "role"));
}

static bool is_role(const chat *c, size_t i, const char *role) {
    const char *r = i < json_array_size(c->messages) ? role_of(c, i) : NULL;
    return r && !strcmp(r, role);
}

static int reset(chat *c, const char *argument) {
    (void)argument;
    fputs("(a new conversation)\n", stderr);
    return chat_reset(c);
}

static int set_system(chat *c, const char *text) {
    const bool there = is_role(c, 0, "system");
    if (!*text) {
        const char *now =
            there ? json_string_value(json_object_get(json_array_get(c->messages, 0), "content")) : NULL;
        fprintf(stderr, now ? "system message: %s\n" : "there is no system message\n", now);
        return CLI_OK;
    }
    if (there) json_array_remove(c->messages, 0);
    if (!strcmp(text, "none")) {
        fputs("(no system message)\n", stderr);
        return CLI_OK;
    }
    fputs("(system message set)\n", stderr);
    json_t *m = json_pack("{ssso}", "role", "system", "content", cli_json_text(text, strlen(text)));
    return m && !json_array_insert_new(c->messages, 0, m) ? CLI_OK : cli_error("out of memory");
}

/* Takes messages away from the end up to and with the last of the user; false: there is none. */
static bool drop_turn(chat *c, bool with_question) {
    size_t n = json_array_size(c->messages);
    while (n > 0 && !is_role(c, n - 1, "user") && !is_role(c, n - 1, "system"))
        json_array_remove(c->messages, --n);
    if (!is_role(c, n - 1, "user")) return false;
    if (with_question) json_array_remove(c->messages, n - 1);
    return true;
}

static int undo(chat *c, const char *argument) {
    (void)argument;
    fputs(drop_turn(c, true) ? "(your last message and its answer are forgotten)\n"
                             : "there is nothing to forget\n",
          stderr);
    return CLI_OK;
}

/* The same question once more, with the next seed: the same one would give the same answer. */
static int retry(chat *c, const char *argument) {
    (void)argument;
    if (!drop_turn(c, false)) {
        fputs("there is no answer yet\n", stderr);
        return CLI_OK;
    }
    c->session.sampling.seed++;
    if (c->session.sampling.temperature > 0)
        fprintf(stderr, "(seed %llu)\n", (unsigned long long)c->session.sampling.seed);
    else
        fputs("(at temperature 0 the answer is the same again: /temp 0.8)\n", stderr);
    const int rc = chat_reopen(c);
    return rc ? rc : chat_answer(c, false);
}

/* ------------------------------------------------------------------------------------------------ files */

static int save(chat *c, const char *path) {
    cli_file f;
    size_t n = 0;
    if (!*path) return wrong("/save", "the name of a file");
    json_t *root = json_pack("{sO}", "messages", c->messages);
    char *text = vb_json_write(root, JSON_PRESERVE_ORDER | JSON_INDENT(1), &n);
    json_decref(root);
    if (!text) return cli_error("out of memory");
    int rc = cli_file_open(&f, path);
    if (!rc) {
        rc = cli_file_write(&f, text, n);
        if (!rc) rc = cli_file_write(&f, "\n", 1);
        const int closed = cli_file_close(&f, !rc);
        rc = rc ? rc : closed;
    }
    if (!rc) fprintf(stderr, "(%zu messages in %s)\n", json_array_size(c->messages), path);
    free(text);
    return CLI_OK; /* what went wrong was said, and the conversation is still here */
}

/* Whether every message is one that this program can go on from. */
static bool all_messages(const json_t *list) {
    size_t i;
    json_t *m;
    json_array_foreach(((json_t *)(uintptr_t)list), i, m) {
        if (!json_is_string(json_object_get(m, "role"))) return false;
        if (!json_is_string(json_object_get(m, "content")) && !json_object_get(m, "tool_calls")) return false;
    }
    return json_array_size(list) > 0;
}

static int load(chat *c, const char *path) {
    char *text = NULL;
    size_t n = 0;
    json_error_t e;
    if (!*path) return wrong("/load", "the name of a file");
    if (cli_read_file(path, &text, &n)) return CLI_OK;
    json_t *root = vb_json_read(text, n, JSON_REJECT_DUPLICATES, &e);
    json_t *list = json_is_array(root) ? root : json_object_get(root, "messages");
    free(text);
    if (!root)
        fprintf(stderr, "%s: line %d, column %d: %s\n", path, e.line, e.column, e.text);
    else if (!json_is_array(list) || !all_messages(list))
        fprintf(stderr,
                "%s: expected {\"messages\": [{\"role\": ..., \"content\": ...}, ...]}, as /save writes it\n",
                path);
    else {
        json_decref(c->messages);
        c->messages = json_incref(list);
        fprintf(stderr, "(%zu messages from %s)\n", json_array_size(list), path);
    }
    json_decref(root);
    return CLI_OK;
}

/* --------------------------------------------------------------------------------------------- sampling */

static int set_seed(chat *c, const char *text) {
    char *end;
    if (!*text && cli_random_seed(&c->session.sampling.seed)) return CLI_OK;
    if (*text) {
        const unsigned long long seed = strtoull(text, &end, 10);
        if (end == text || *end || *text == '-')
            return wrong(text, "a whole number from 0, or nothing for a random one");
        c->session.sampling.seed = seed;
    }
    fprintf(stderr, "(seed %llu)\n", (unsigned long long)c->session.sampling.seed);
    return chat_reopen(c);
}

static int set_temperature(chat *c, const char *text) {
    char *end;
    const double t = strtod(text, &end);
    if (end == text || *end || !(t >= 0 && t <= 1e6))
        return wrong(text, "a number from 0 (always the likeliest token)");
    if (t > 0 && c->session.params.accept == VB_ACCEPT_GREEDY)
        return wrong(text, "0: --accept greedy is the rule of temperature 0");
    c->session.sampling.temperature = t;
    fprintf(stderr, "(temperature %g)\n", t);
    return chat_reopen(c);
}

/* Tokens drafted per step. */
static int set_gamma(chat *c, long gamma) {
    char name[32];
    c->session.params.gamma = (int)gamma;
    memset(c->session.tree, 0, sizeof c->session.tree); /* a chain again */
    memset(c->session.params.tree, 0, sizeof c->session.params.tree);
    if (c->session.params.draft == VB_DRAFT_NONE)
        fputs("(nobody drafts: /draft FILE or /draft ngram)\n", stderr);
    else
        fprintf(stderr, "(guesses per step: %s)\n", cli_gamma_name((int)gamma, name));
    const int rc = cli_session_costs(&c->session);
    return rc ? rc : chat_reopen(c);
}

static int read_gamma(chat *c, const char *text) {
    char *end;
    const long gamma = strtol(text, &end, 10);
    if (!strcmp(text, "auto")) return set_gamma(c, VB_GAMMA_AUTO);
    if (end == text || *end || gamma < 1 || gamma > 32) return wrong(text, "1 to 32, or auto");
    return set_gamma(c, gamma);
}

static int set_preset(chat *c, const char *name) {
    static const struct {
        const char *name;
        int gamma;
    } presets[] = {{"fast", 3}, {"balanced", 5}, {"max", 7}, {"auto", VB_GAMMA_AUTO}};
    for (int i = 0; i < 4; i++)
        if (!strcmp(name, presets[i].name)) return set_gamma(c, presets[i].gamma);
    return wrong(name, "fast (3 tokens per step), balanced (5), max (7) or auto; /draft none drafts nothing");
}

/* The vb_spec is closed while the drafter changes, and opened again over the same caches. */
static int set_draft(chat *c, const char *what) {
    static const char *const kinds[] = {"none", "ngram", "suffix", "self"};
    const char *kind = "model";
    if (!*what) {
        fprintf(stderr, "draft %s\n", c->session.draft_name);
        return CLI_OK;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(what, kinds[i])) kind = kinds[i];
    const int rc = chat_change_draft(c, kind, what);
    if (!rc) fprintf(stderr, "(draft %s)\n", c->session.draft_name);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ shown */

static int show_drafts(chat *c, const char *argument) {
    (void)argument;
    c->drafts = !c->drafts;
    fputs(c->drafts ? "(accepted guesses are green, refused ones struck out)\n" : "(plain text)\n", stderr);
    return CLI_OK;
}

static int stats(chat *c, const char *argument) {
    (void)argument;
    chat_print_stats(c);
    return CLI_OK;
}

/* -------------------------------------------------------------------------------------------- the table */

static int help(chat *c, const char *argument);

static const command COMMANDS[] = {
    {"/help", "", "this list", help},
    {"/system", "TEXT", "the system message from now on; none: without one", set_system},
    {"/retry", "", "the last question once more, with another seed", retry},
    {"/undo", "", "forget your last message and its answer", undo},
    {"/reset", "", "forget the conversation (the system message stays)", reset},
    {"/save", "FILE", "write the conversation as JSON", save},
    {"/load", "FILE", "go on with one", load},
    {"/temp", "T", "temperature; 0 is always the likeliest token", set_temperature},
    {"/seed", "N", "seed of the noise; without a number a random one", set_seed},
    {"/draft", "FILE", "another draft model; or none, ngram, suffix, self", set_draft},
    {"/preset", "NAME", "guesses per step: fast (3), balanced (5), max (7), auto", set_preset},
    {"/gamma", "K", "guesses per step, or auto", read_gamma},
    {"/drafts", "", "show which tokens were guessed, and refused guesses; again: plain text", show_drafts},
    {"/stats", "", "tokens, speed, acceptance", stats},
};
enum { N_COMMANDS = sizeof COMMANDS / sizeof COMMANDS[0] };

const char *const chat_command_names[] = {"/help",   "/system", "/retry", "/undo",  "/reset",  "/save",
                                          "/load",   "/temp",   "/seed",  "/draft", "/preset", "/gamma",
                                          "/drafts", "/stats",  "/quit",  NULL};

static int help(chat *c, const char *argument) {
    (void)argument;
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(stderr, "%-8s %-5s %s\n", COMMANDS[i].name, COMMANDS[i].argument, COMMANDS[i].help);
    fprintf(stderr, "%-8s %-5s %s\n", "/quit", "", "end (as Ctrl-D does); Ctrl-C stops an answer");
    fputs("A line that ends in \\ goes on in the next one", stderr);
    fputs(cli_line_edits(c->line) ? "; so does Alt-Enter, and what is pasted is one message.\n" : ".\n",
          stderr);
    return CLI_OK;
}

int chat_obey(chat *c, const char *line, bool *end) {
    const size_t n = strcspn(line, " \t\n");
    const char *argument = line + n + strspn(line + n, " \t\n");
    char *copy = NULL;
    int rc = CLI_OK;
    if ((n == 5 && (!strncmp(line, "/quit", n) || !strncmp(line, "/exit", n)))) {
        *end = true;
        return rc;
    }
    for (int i = 0; i < N_COMMANDS; i++) {
        const command *k = &COMMANDS[i];
        if (strlen(k->name) != n || strncmp(k->name, line, n) != 0) continue;
        if (*argument && !*k->argument) return wrong(line, k->name);
        if (!(copy = strdup(argument))) return cli_error("out of memory");
        size_t len = strlen(copy);
        while (len > 0 && strchr(" \t\n", copy[len - 1])) copy[--len] = 0;
        rc = k->run(c, copy);
        free(copy);
        return rc;
    }
    fprintf(stderr, "no such command: %.*s\n", (int)n, line);
    return help(c, "");
}
