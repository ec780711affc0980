/* input.c - what comes in: files, and lines of standard input. A signal that interrupts a read does not end
 * it, unless it is the one that asks for an end (interrupt.c). */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cli_read_file(const char *path, char **bytes, size_t *n) {
    const bool standard = !strcmp(path, "-");
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), rc = CLI_FAIL;
    size_t used = 0, capacity = 1 << 16;
    char *text = fd < 0 ? NULL : malloc(capacity);
    ssize_t got = text ? 1 : 0;
    if (fd < 0) return cli_error("cannot read %s: %s", path, strerror(errno));
    while (text && got) {
        got = read(fd, text + used, capacity - used - 1);
        if (got < 0 && errno == EINTR && !cli_interrupted()) continue;
        if (got < 0) {
            cli_error("cannot read %s: %s", path, strerror(errno));
            goto cleanup;
        }
        used += (size_t)got;
        if (used + 1 < capacity) continue;
        char *grown = realloc(text, capacity *= 2);
        if (!grown) free(text);
        text = grown;
    }
    if (!text) {
        cli_error("out of memory reading %s", path);
        goto cleanup;
    }
    text[used] = 0;
    *bytes = text;
    *n = used;
    text = NULL;
    rc = CLI_OK;
cleanup:
    free(text);
    if (!standard) close(fd);
    return rc;
}

/* Not getline, which takes what it has for a whole line when a signal comes. */
int cli_read_line(char **line, size_t *n) {
    static char buffer[4096];
    static size_t from, to;
    size_t used = 0, capacity = 0;
    *line = NULL;
    for (;;) {
        if (from == to) {
            const ssize_t got = read(STDIN_FILENO, buffer, sizeof buffer);
            if (got < 0 && errno == EINTR && !cli_interrupted()) continue;
            if (got <= 0) {
                const int reason = got < 0 ? errno : 0;
                if (used && got == 0) break; /* the last line may lack its end */
                free(*line);
                *line = NULL;
                if (reason == EINTR) return 1;
                if (!reason) return -1;
                cli_error("cannot read standard input: %s", strerror(reason));
                return -2;
            }
            from = 0;
            to = (size_t)got;
        }
        const char *end = memchr(buffer + from, '\n', to - from);
        const size_t piece = end ? (size_t)(end - buffer) + 1 - from : to - from;
        if (used + piece + 1 > capacity) {
            capacity = 2 * (used + piece + 1);
            char *grown = realloc(*line, capacity);
            if (!grown) {
                free(*line);
                *line = NULL;
                cli_error("out of memory for a line");
                return -2;
            }
            *line = grown;
        }
        memcpy(*line + used, buffer + from, piece);
        used += piece;
        from += piece;
        if (end) break;
    }
    (*line)[used] = 0; /* the loop ends with a line only */
    *n = used;
    return 0;
}
