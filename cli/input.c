/* input.c - what comes in: files, and lines of standard input. A signal that interrupts a read does not end
 * it, unless it is the one that asks for an end (interrupt.c). */
#include "cli/cli.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cli_read_file(const char *path, char **bytes, size_t *n) {
    const bool standard = !strcmp(path, "-");
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), rc = CLI_FAIL;
    vb_buf text = {0};
    if (fd < 0) return cli_error("cannot read %s: %s", path, strerror(errno));
    for (;;) {
        char *at = vb_buf_reserve(&text, 1 << 16);
        if (!at) {
            cli_error("out of memory reading %s", path);
            goto cleanup;
        }
        const ssize_t got = read(fd, at, text.room - text.n - 1);
        if (got < 0 && errno == EINTR && !cli_interrupted()) continue;
        if (got < 0) {
            cli_error("cannot read %s: %s", path, strerror(errno));
            goto cleanup;
        }
        if (!got) break;
        text.n += (size_t)got;
    }
    *bytes = vb_buf_take(&text, n);
    rc = CLI_OK;
cleanup:
    vb_buf_free(&text);
    if (!standard) close(fd);
    return rc;
}

int cli_read_prompted(const char *prompt, char **line, size_t *n) {
    if (isatty(STDIN_FILENO) == 1) fputs(prompt, stderr);
    const int rc = cli_read_line(line, n);
    if (!rc && *n && (*line)[*n - 1] == '\n') (*line)[--*n] = 0;
    return rc;
}

/* Not getline, which takes what it has for a whole line when a signal comes. */
int cli_read_line(char **line, size_t *n) {
    static char buffer[4096];
    static size_t from, to;
    vb_buf text = {0};
    *line = NULL;
    for (;;) {
        if (from == to) {
            const ssize_t got = read(STDIN_FILENO, buffer, sizeof buffer);
            if (got < 0 && errno == EINTR && !cli_interrupted()) continue;
            if (got <= 0) {
                const int reason = got < 0 ? errno : 0;
                if (text.n && got == 0) break; /* the last line may lack its end */
                vb_buf_free(&text);
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
        if (!vb_buf_add(&text, buffer + from, piece)) {
            vb_buf_free(&text);
            cli_error("out of memory for a line");
            return -2;
        }
        from += piece;
        if (end) break;
    }
    *line = vb_buf_take(&text, n); /* the loop ends with a line only */
    return 0;
}
