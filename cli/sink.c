/* sink.c - bytes on their way to a descriptor. Not stdio, which loses what was in its buffer when a write is
 * interrupted by a signal: here it goes on, unless the signal is the one that wants the end. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void write_all(cli_sink *s, const char *bytes, size_t n) {
    while (n && !s->error) {
        const ssize_t done = write(s->fd, bytes, n);
        if (done < 0 && errno == EINTR && !cli_interrupted()) continue;
        if (done < 0) {
            s->error = errno;
            return;
        }
        bytes += done;
        n -= (size_t)done;
    }
}

void cli_sink_flush(cli_sink *s) {
    write_all(s, s->bytes, s->used);
    s->used = 0;
}

void cli_sink_put(cli_sink *s, const char *bytes, size_t n) {
    if (n > sizeof s->bytes - s->used) cli_sink_flush(s);
    if (n > sizeof s->bytes) {
        write_all(s, bytes, n);
        return;
    }
    if (n) memcpy(s->bytes + s->used, bytes, n);
    s->used += n;
    if (s->lines && n && memchr(bytes, '\n', n)) cli_sink_flush(s);
}

void cli_sink_format(cli_sink *s, const char *format, va_list ap) {
    char line[512];
    va_list again;
    va_copy(again, ap);
    const int n = vsnprintf(line, sizeof line, format, ap);
    if (n >= 0 && (size_t)n < sizeof line) {
        cli_sink_put(s, line, (size_t)n);
    } else {
        char *text = n < 0 ? NULL : malloc((size_t)n + 1);
        if (text) {
            vsnprintf(text, (size_t)n + 1, format, again);
            cli_sink_put(s, text, (size_t)n);
        } else if (!s->error) {
            s->error = n < 0 ? EINVAL : ENOMEM;
        }
        free(text);
    }
    va_end(again);
}
