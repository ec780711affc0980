/* output.c - everything that leaves the program: messages, text, JSON, files.
 * No write error goes unnoticed. */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int out_errno; /* of the first failed write to standard output */

double cli_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int cli_error(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fputs("verbatim: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    return CLI_FAIL;
}

int cli_report(const vb_error *err) {
    return cli_error("%s", err->message[0] ? err->message : "failed without a message");
}

void cli_out(const char *bytes, size_t n) {
    if (out_errno || !n) return;
    errno = 0;
    if (fwrite(bytes, 1, n, stdout) != n) out_errno = errno ? errno : EIO;
}

void cli_outf(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    errno = 0;
    if (!out_errno && vfprintf(stdout, format, ap) < 0) out_errno = errno ? errno : EIO;
    va_end(ap);
}

void cli_out_flush(void) {
    errno = 0;
    if (!out_errno && fflush(stdout)) out_errno = errno ? errno : EIO;
}

bool cli_out_failed(void) {
    return out_errno != 0;
}

int cli_out_finish(void) {
    static bool said;
    cli_out_flush();
    if (!out_errno) return CLI_OK;
    if (said) return CLI_FAIL;
    said = true;
    if (out_errno == EPIPE)
        return cli_error("standard output: its reader went away (%s)", strerror(out_errno));
    return cli_error("cannot write standard output: %s", strerror(out_errno));
}

int cli_out_json(json_t *value) {
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
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
    if (!clean) return NULL;
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

int cli_file_open(cli_file *f, const char *path) {
    struct stat st;
    memset(f, 0, sizeof *f);
    f->path = path;
    bool standard = !strcmp(path, "-");
    bool direct = standard || (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
    if (!direct) {
        size_t size = strlen(path) + 32;
        f->partial = malloc(size);
        if (!f->partial) return cli_error("out of memory");
        snprintf(f->partial, size, "%s.partial-%ld", path, (long)getpid());
    }
    int fd = standard ? dup(STDOUT_FILENO) : -1;
    f->stream = standard ? fdopen(fd, "wb") : fopen(direct ? path : f->partial, "wb");
    if (!f->stream) {
        int e = errno;
        if (fd >= 0) close(fd);
        free(f->partial);
        f->partial = NULL;
        return cli_error("cannot write %s: %s", path, strerror(e));
    }
    return CLI_OK;
}

int cli_file_write(cli_file *f, const void *bytes, size_t n) {
    errno = 0;
    if (!f->error && fwrite(bytes, 1, n, f->stream) != n) f->error = errno ? errno : EIO;
    return f->error ? CLI_FAIL : CLI_OK;
}

int cli_file_close(cli_file *f, bool keep) {
    int rc = CLI_OK;
    if (!f->stream) return rc;
    errno = 0;
    if (fclose(f->stream) && !f->error) f->error = errno ? errno : EIO;
    f->stream = NULL;
    if (keep && !f->error && f->partial && rename(f->partial, f->path)) f->error = errno;
    if (f->error) rc = cli_error("cannot write %s: %s", f->path, strerror(f->error));
    if (f->partial && (rc || !keep)) remove(f->partial);
    free(f->partial);
    f->partial = NULL;
    return rc;
}

int cli_read_file(const char *path, char **bytes, size_t *n) {
    FILE *in = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    size_t used = 0, capacity = 1 << 16;
    char *text = NULL;
    int rc = CLI_FAIL;
    if (!in) {
        cli_error("cannot read %s: %s", path, strerror(errno));
        goto cleanup;
    }
    text = malloc(capacity);
    while (text) {
        used += fread(text + used, 1, capacity - used - 1, in);
        if (used + 1 < capacity) break;
        char *grown = realloc(text, capacity *= 2);
        if (!grown) free(text);
        text = grown;
    }
    if (!text) {
        cli_error("out of memory reading %s", path);
        goto cleanup;
    }
    if (ferror(in)) {
        cli_error("cannot read %s: %s", path, strerror(errno));
        goto cleanup;
    }
    text[used] = 0;
    *bytes = text;
    *n = used;
    text = NULL;
    rc = CLI_OK;
cleanup:
    free(text);
    if (in && in != stdin) fclose(in);
    return rc;
}
