/* output.c - everything that leaves the program: messages, text, JSON, files.
 * No write error goes unnoticed. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static cli_sink std_out = {.fd = STDOUT_FILENO};
static bool in_line; /* standard output's last line has no end yet */

double cli_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int cli_error(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    cli_out_flush();
    if (in_line && std_out.lines) fputc('\n', stderr); /* on a terminal text is not gone on with */
    in_line = false;
    fputs("verbatim: ", stderr);
    /* What there was no memory for looks malformed or missing to whoever comes to it. */
    if (vb_json_failed())
        fputs("out of memory for JSON", stderr);
    else
        vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    return CLI_FAIL;
}

int cli_report(const vb_error *err) {
    /* Where the library only says that it was asked to stop, this program knows by whom. */
    if (err->code == VB_ERR_CANCELLED && !strcmp(err->message, "cancelled")) return cli_interrupt_report();
    return cli_error("%s", err->message[0] ? err->message : "failed without a message");
}

void cli_out_open(void) {
    std_out.lines = isatty(STDOUT_FILENO) == 1;
    atexit(cli_out_flush);
}

void cli_out(const char *bytes, size_t n) {
    if (n) in_line = bytes[n - 1] != '\n';
    cli_sink_put(&std_out, bytes, n);
}

void cli_outf(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    cli_sink_format(&std_out, format, ap);
    va_end(ap);
}

void cli_out_flush(void) {
    cli_sink_flush(&std_out);
}

bool cli_out_failed(void) {
    return std_out.error != 0;
}

int cli_out_finish(void) {
    static bool said;
    cli_out_flush();
    if (!std_out.error) return CLI_OK;
    if (said) return CLI_FAIL;
    said = true;
    if (std_out.error == EPIPE)
        return cli_error("standard output: its reader went away (%s)", strerror(std_out.error));
    return cli_error("cannot write standard output: %s", strerror(std_out.error));
}

int cli_out_json(json_t *value) {
    char *text = value ? vb_json_write(value, JSON_COMPACT, NULL) : NULL;
    json_decref(value);
    if (!text) return cli_error("out of memory for the JSON output");
    cli_out(text, strlen(text));
    cli_out("\n", 1);
    free(text);
    return cli_out_finish();
}

int cli_utf8_char(const char *bytes, size_t n) {
    const unsigned char *b = (const unsigned char *)bytes;
    if (n < 1) return 0;
    if (b[0] < 0x80) return 1;
    int len = b[0] >= 0xC2 && b[0] < 0xE0   ? 2
              : b[0] >= 0xE0 && b[0] < 0xF0 ? 3
              : b[0] >= 0xF0 && b[0] < 0xF5 ? 4
                                            : 0;
    if (!len || n < (size_t)len) return 0;
    for (int i = 1; i < len; i++)
        if ((b[i] & 0xC0) != 0x80) return 0;
    if (b[0] == 0xE0 && b[1] < 0xA0) return 0; /* over-long */
    if (b[0] == 0xED && b[1] > 0x9F) return 0; /* surrogates */
    if (b[0] == 0xF0 && b[1] < 0x90) return 0; /* over-long */
    if (b[0] == 0xF4 && b[1] > 0x8F) return 0; /* beyond U+10FFFF */
    return len;
}

json_t *cli_json_text(const char *bytes, size_t n) {
    char *clean = malloc(3 * n + 1);
    if (!clean) {
        vb_json_fail();
        return NULL;
    }
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        int len = cli_utf8_char(bytes + i, n - i);
        memcpy(clean + used, len ? bytes + i : "\xEF\xBF\xBD", len ? (size_t)len : 3);
        used += len ? (size_t)len : 3;
        i += len ? (size_t)len : 1;
    }
    json_t *text = json_stringn(clean, used);
    free(clean);
    return text;
}

json_t *cli_json_real(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

/* Writes one character, or the escape of one byte, to out; returns the bytes of input used. */
static size_t escape_one(const char *bytes, size_t n, char out[8]) {
    unsigned char c = (unsigned char)bytes[0];
    const char *named = c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r" : c == '"' ? "\\\"" : NULL;
    if (c == '\\') named = "\\\\";
    int len = cli_utf8_char(bytes, n);
    /* U+0080..U+009F are control characters too: some terminals obey them. */
    bool control = c < 0x20 || c == 0x7F || (c == 0xC2 && len == 2 && (unsigned char)bytes[1] < 0xA0);
    if (named) {
        snprintf(out, 8, "%s", named);
        return 1;
    }
    if (!len || control) {
        snprintf(out, 8, "\\x%02x", c);
        return 1;
    }
    memcpy(out, bytes, (size_t)len);
    out[len] = 0;
    return (size_t)len;
}

void cli_escape(const char *bytes, size_t n, char *out, size_t size) {
    size_t used = 0;
    char one[8];
    out[0] = 0;
    for (size_t i = 0; i < n;) {
        size_t step = escape_one(bytes + i, n - i, one), len = strlen(one);
        if (used + len + (i + step < n ? 4 : 1) > size) {
            snprintf(out + used, size - used, "...");
            return;
        }
        memcpy(out + used, one, len + 1);
        used += len;
        i += step;
    }
}

const char *cli_bytes(uint64_t n, char out[32]) {
    const char *unit[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
    double x = (double)n;
    int i = 0;
    while (x >= 999.5 && i < 6) {
        x /= 1000;
        i++;
    }
    snprintf(out, 32, i == 0 ? "%.0f %s" : "%.3g %s", x, unit[i]);
    return out;
}

bool cli_use_color(const cli_options *o, FILE *stream) {
    if (!strcmp(o->color, "always")) return true;
    if (!strcmp(o->color, "never")) return false;
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if ((no_color && *no_color) || (term && !strcmp(term, "dumb"))) return false;
    return isatty(fileno(stream)) == 1;
}

/* Opens `path`, or for a regular file one beside it, under a name that nobody else has: "wb" of a name with
 * the process's number would empty that of a process with this number in another container. */
static int open_output(cli_file *f, const char *path) {
    struct stat st;
    int fd = -1;
    if (!strcmp(path, "-")) return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        do fd = open(path, O_WRONLY | O_CLOEXEC); /* of a pipe that waits for its reader */
        while (fd < 0 && errno == EINTR && !cli_interrupted());
        return fd;
    }
    const size_t size = strlen(path) + 48;
    if (!(f->partial = malloc(size))) return -1;
    for (int i = 1; fd < 0 && i <= 1000; i++) {
        const int n = snprintf(f->partial, size, "%s.partial-%ld", path, (long)getpid());
        if (i > 1) snprintf(f->partial + n, size - (size_t)n, "-%d", i);
        fd = open(f->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST) break;
    }
    return fd;
}

int cli_file_open(cli_file *f, const char *path) {
    memset(f, 0, sizeof *f);
    f->path = path;
    f->sink = calloc(1, sizeof *f->sink);
    const int fd = f->sink ? open_output(f, path) : -1;
    if (fd < 0) {
        const int e = errno;
        free(f->sink);
        free(f->partial);
        memset(f, 0, sizeof *f);
        return cli_error("cannot write %s: %s", path, strerror(e));
    }
    f->sink->fd = fd;
    return CLI_OK;
}

int cli_file_write(cli_file *f, const void *bytes, size_t n) {
    cli_sink_put(f->sink, bytes, n);
    return f->sink->error ? CLI_FAIL : CLI_OK;
}

int cli_file_close(cli_file *f, bool keep) {
    int rc = CLI_OK;
    if (!f->sink) return rc;
    cli_sink_flush(f->sink);
    int error = f->sink->error;
    if (close(f->sink->fd) && !error && errno != EINTR) error = errno;
    if (keep && !error && f->partial && rename(f->partial, f->path)) error = errno;
    if (error) rc = cli_error("cannot write %s: %s", f->path, strerror(error));
    if (f->partial && (rc || !keep)) remove(f->partial);
    free(f->partial);
    free(f->sink);
    f->partial = NULL;
    f->sink = NULL;
    return rc;
}
