/* chat_tools.c - tools of `verbatim chat`: commands that a model may ask for and a person allows. The
 * arguments come on the command's standard input as JSON; what it prints goes back to the model. */
#include "cli/chat_tools.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MAX_RESULT = 65536 }; /* bytes of a result that the model is given */

/* ------------------------------------------------------------------------------------------- the file */

static int take_tool(chat_tools *t, const char *path, size_t at, json_t *tool) {
    json_t *function = json_object_get(tool, "function");
    const char *name = json_string_value(json_object_get(function, "name")),
               *command = json_string_value(json_object_get(tool, "command"));
    if (!name || !*name || !command || !*command)
        return cli_error("%s: tool %zu: expected {\"type\": \"function\", \"function\": {\"name\": ..., "
                         "\"description\": ..., \"parameters\": ...}, \"command\": ...}",
                         path, at + 1);
    if (json_object_get(t->commands, name))
        return cli_error("%s: tool %zu: \"%s\" is there twice", path, at + 1, name);
    json_t *shown = json_copy(tool);
    json_object_del(shown, "command");
    if (json_object_set_new(t->commands, name, json_string(command)) || json_array_append_new(t->list, shown))
        return cli_error("out of memory");
    return CLI_OK;
}

int chat_tools_open(chat_tools *t, const char *path) {
    char *text = NULL;
    size_t n = 0, i;
    json_error_t e;
    json_t *tool;
    memset(t, 0, sizeof *t);
    int rc = cli_read_file(path, &text, &n);
    if (rc) return rc;
    json_t *root = vb_json_read(text, n, JSON_REJECT_DUPLICATES, &e);
    json_t *list = json_is_array(root) ? root : json_object_get(root, "tools");
    free(text);
    t->list = json_array();
    t->commands = json_object();
    if (!t->list || !t->commands)
        rc = cli_error("out of memory");
    else if (!root)
        rc = cli_error("%s: line %d, column %d: %s", path, e.line, e.column, e.text);
    else if (!json_array_size(list))
        rc = cli_error("%s: expected a list of tools", path);
    for (i = 0; !rc && i < json_array_size(list); i++) {
        tool = json_array_get(list, i);
        rc = take_tool(t, path, i, tool);
    }
    if (!rc && !(t->text = vb_json_write(t->list, JSON_COMPACT, &t->len))) rc = cli_error("out of memory");
    json_decref(root);
    return rc;
}

void chat_tools_close(chat_tools *t) {
    json_decref(t->list);
    json_decref(t->commands);
    free(t->text);
    memset(t, 0, sizeof *t);
}

/* ---------------------------------------------------------------------------------------------- running */

/* The command's standard input: a file that has no name, so that nobody waits for somebody who does not
 * read. */
static FILE *input_of(const char *arguments) {
    FILE *f = tmpfile();
    if (!f) return NULL;
    if (fputs(arguments, f) < 0 || fflush(f) || fseek(f, 0, SEEK_SET)) {
        fclose(f);
        return NULL;
    }
    return f;
}

/* Starts it; *out is where its output comes from. */
static int start(const char *command, FILE *input, pid_t *pid, int *out) {
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)command, NULL};
    posix_spawn_file_actions_t files;
    int fd[2];
    if (pipe(fd)) return errno;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, fileno(input), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, fd[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, fd[1], STDERR_FILENO);
    posix_spawn_file_actions_addclose(&files, fd[0]);
    posix_spawn_file_actions_addclose(&files, fd[1]);
    const int rc = posix_spawn(pid, "/bin/sh", &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    close(fd[1]);
    if (rc)
        close(fd[0]);
    else
        *out = fd[0];
    return rc;
}

/* All that it prints, of which the first MAX_RESULT bytes are kept. */
static void read_output(int fd, vb_buf *out) {
    char piece[4096];
    for (;;) {
        const ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR) continue; /* Ctrl-C ends the command, too */
        if (n <= 0) break;
        const size_t room = MAX_RESULT - out->n;
        vb_buf_add(out, piece, (size_t)n < room ? (size_t)n : room);
    }
    if (out->n == MAX_RESULT) vb_buf_puts(out, "\n(cut here)");
    close(fd);
}

/* What the command says, or why it could not. */
static void run(const char *command, const char *arguments, vb_buf *out) {
    pid_t pid = 0;
    int fd = -1, status = 0;
    cli_out_flush();
    FILE *input = input_of(arguments);
    const int rc = input ? start(command, input, &pid, &fd) : errno;
    if (input) fclose(input);
    if (rc) {
        vb_buf_addf(out, "error: the command cannot be started: %s", strerror(rc));
        return;
    }
    read_output(fd, out);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    while (out->n && out->s[out->n - 1] == '\n') out->s[--out->n] = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status)) vb_buf_addf(out, "\n(exit status %d)", WEXITSTATUS(status));
    if (WIFSIGNALED(status)) vb_buf_addf(out, "\n(ended by signal %d)", WTERMSIG(status));
}

/* y: true. Anything else, and the end of input, is a no. */
static bool allowed(const chat *c, const char *name, bool *done) {
    char prompt[128], *line = NULL;
    size_t n = 0;
    snprintf(prompt, sizeof prompt, "run %.60s? [y/n] ", name);
    cli_interrupt_reset();
    if (!c->interactive) fprintf(stderr, "%s\n", prompt);
    const int rc = cli_line_read(c->line, prompt, &line, &n);
    *done = rc != 0;
    const bool yes = !rc && (!strcmp(line, "y") || !strcmp(line, "yes"));
    free(line);
    return yes;
}

static int add_result(chat *c, const char *id, const vb_buf *text) {
    json_t *m = json_pack("{ss ss so}", "role", "tool", "tool_call_id", id, "content",
                          cli_json_text(text->s ? text->s : "", text->n));
    return m && !json_array_append_new(c->messages, m) ? CLI_OK : cli_error("out of memory");
}

int chat_run_calls(chat *c, const json_t *calls, bool *done) {
    int rc = CLI_OK;
    *done = false;
    for (size_t i = 0; i < json_array_size(calls) && !rc; i++) {
        const json_t *call = json_array_get(calls, i), *f = json_object_get(call, "function");
        const char *name = json_string_value(json_object_get(f, "name")),
                   *arguments = json_string_value(json_object_get(f, "arguments"));
        const char *command = json_string_value(json_object_get(c->tools.commands, name));
        vb_buf result = {0};
        if (!command)
            vb_buf_addf(&result, "error: there is no tool \"%s\"", name);
        else if (!*done && allowed(c, name, done))
            run(command, arguments, &result);
        else
            vb_buf_puts(&result, "error: the user did not allow this");
        if (c->interactive && command) fprintf(stderr, "(%zu bytes)\n", result.n);
        rc = result.failed ? cli_error("out of memory")
                           : add_result(c, json_string_value(json_object_get(call, "id")), &result);
        vb_buf_free(&result);
    }
    return rc;
}
