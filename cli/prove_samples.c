/* prove_samples.c - `verbatim prove --samples FILE`: completions of another program, one a line, as token ids
 * or as texts. A line that is no completion is an error with its number: a sample left out would change the
 * law. */
#include "cli/cli.h"

#include "prove/joint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    const cli_session *session;
    cli_samples *out;
    uint64_t line; /* from 1 */
} reader;

#define WHERE "%s: line %llu: "

static bool is_stop(const reader *r, int32_t id) {
    return vb_is_stop(r->session->params.stop, r->session->params.n_stop, id);
}

/* What is beyond `depth` ids does not matter. */
static int read_ids(const reader *r, const char *line, size_t len, int32_t *row) {
    const char *file = r->session->o->samples, *at = line, *end = line + len;
    const int depth = r->out->depth;
    const long size = vb_model_describe(r->session->target.model)->n_vocab;
    int n = 0;
    while (n < depth && !(n > 0 && is_stop(r, row[n - 1]))) {
        while (at < end && strchr(" ,\t\r", *at) && *at) at++;
        if (at == end) break;
        char *after;
        errno = 0;
        const long id = strtol(at, &after, 10);
        if (after == at || after > end || errno || id < 0 || id >= size)
            return cli_error(WHERE "expected token ids of the target's vocabulary", file,
                             (unsigned long long)r->line);
        row[n++] = (int32_t)id;
        at = after;
    }
    if (n < depth && (n == 0 || !is_stop(r, row[n - 1])))
        return cli_error(
            WHERE "%d ids, and the law of %d tokens is judged: give at least so many, or fewer that end with "
                  "a stop token",
            file, (unsigned long long)r->line, n, depth);
    for (; n < depth; n++) row[n] = -1;
    return CLI_OK;
}

/* The first bytes of a text, and its end if it comes before. */
static void put_text(const cli_samples *out, const char *text, size_t len, int32_t *row) {
    const size_t depth = (size_t)out->depth;
    for (size_t i = 0; i < depth; i++)
        row[i] = i < len ? (unsigned char)text[i] : i == len ? VB_JOINT_END : -1;
}

/* A string, or an object that also says why the text ends. */
static int read_json(const reader *r, const char *line, size_t len, int32_t *row) {
    const char *file = r->session->o->samples;
    json_error_t je;
    json_t *v = vb_json_read(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
    const json_t *text = json_is_object(v) ? json_object_get(v, "text") : v;
    const json_t *reason = json_object_get(v, "finish_reason");
    const bool stop = json_is_string(reason) && !strcmp(json_string_value(reason), "stop"),
               length = json_is_string(reason) && !strcmp(json_string_value(reason), "length"),
               unsaid = !reason || json_is_null(reason);
    const size_t n = json_string_length(text);
    int rc = CLI_OK;
    if (!v)
        rc = cli_error(WHERE "column %d: %s", file, (unsigned long long)r->line, je.column, je.text);
    else if (!json_is_string(text))
        rc = cli_error(WHERE "expected a string, or an object with \"text\"", file,
                       (unsigned long long)r->line);
    else if (!stop && !length && !unsaid)
        rc = cli_error(WHERE "\"finish_reason\": expected \"stop\" or \"length\"", file,
                       (unsigned long long)r->line);
    else if (length && n < (size_t)r->out->depth)
        rc = cli_error(
            WHERE "%zu bytes cut off, and the law of %d bytes is judged: sample longer completions, or judge "
                  "--bytes %zu",
            file, (unsigned long long)r->line, n, r->out->depth, n ? n : 1);
    else
        put_text(r->out, json_string_value(text), n, row);
    if (!rc && unsaid && n < (size_t)r->out->depth) r->out->ended++;
    json_decref(v);
    return rc;
}

static int read_line(const reader *r, const char *line, size_t len, int32_t *row) {
    const char *form = r->session->o->samples_as;
    if (!strcmp(form, "ids")) return read_ids(r, line, len, row);
    if (!strcmp(form, "json")) return read_json(r, line, len, row);
    put_text(r->out, line, len, row);
    r->out->ended += len < (size_t)r->out->depth;
    return CLI_OK;
}

int cli_samples_read(const cli_session *s, cli_samples *out) {
    const cli_options *o = s->o;
    reader r = {.session = s, .out = out};
    char *text = NULL;
    size_t len;
    uint64_t lines = 0;
    out->texts = strcmp(o->samples_as, "ids") != 0;
    out->depth = (int)(out->texts ? o->bytes : o->depth);
    int rc = cli_read_file(o->samples, &text, &len);
    if (rc) return rc;
    for (size_t i = 0; i < len; i++) lines += text[i] == '\n';
    lines += len && text[len - 1] != '\n';
    out->rows = calloc(lines ? lines : 1, (size_t)out->depth * sizeof *out->rows);
    if (!out->rows) rc = cli_error("out of memory");
    if (!rc && !lines) rc = cli_error("%s: no samples", o->samples);
    for (const char *at = text, *end = text + len; at < end && !rc;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        int32_t *row = out->rows + r.line++ * (size_t)out->depth;
        rc = read_line(&r, at, (size_t)(stop - at), row);
        at = newline ? newline + 1 : end;
    }
    out->n = lines;
    free(text);
    return rc;
}
