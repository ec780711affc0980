/* report.c - reports for people and build servers (--html, --junit), and work in parts (--shard, --merge). */
#include "cli/cli.h"

#include "conformance/report.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------ reports */

static int write_report(const char *path, void (*add)(vb_buf *out, const json_t *report),
                        const json_t *report) {
    vb_buf t = {0};
    cli_file f = {0};
    add(&t, report);
    int rc = t.failed ? cli_error("out of memory for a report") : cli_file_open(&f, path);
    if (!rc) {
        rc = cli_file_write(&f, t.s, t.n);
        const int closed = cli_file_close(&f, rc == CLI_OK);
        if (!rc) rc = closed;
    }
    vb_buf_free(&t);
    return rc;
}

int cli_write_reports(const cli_options *o, json_t *report) {
    int rc = report && !vb_json_failed() ? CLI_OK : cli_error("out of memory for a report");
    if (!rc && o->html) rc = write_report(o->html, cf_add_html, report);
    if (!rc && o->junit) rc = write_report(o->junit, cf_add_junit, report);
    json_decref(report);
    return rc;
}

/* ------------------------------------------------------------------------------------------------ parts */

static bool read_shard(const char *text, int *part, int *parts) {
    char *end;
    const long i = strtol(text, &end, 10);
    if (end == text || *end != '/') return false;
    const char *second = end + 1;
    const long n = strtol(second, &end, 10);
    if (end == second || *end || n < 1 || n > 100000 || i < 1 || i > n) return false;
    *part = (int)i - 1;
    *parts = (int)n;
    return true;
}

int cli_parse_shard(const cli_options *o, int *part, int *parts) {
    *part = *parts = 0;
    if (o->shard && !read_shard(o->shard, part, parts))
        return cli_usage("--shard %s: expected I/N with I from 1 to N, such as 2/8", o->shard);
    return CLI_OK;
}

static const char *text_of(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* One part into its place. */
static int read_part(const char *path, const char *command, json_t **slots, int *parts) {
    char *bytes = NULL;
    size_t n;
    int part = 0, of = 0;
    json_error_t je;
    int rc = cli_read_file(path, &bytes, &n);
    if (rc) return rc;
    json_t *o = vb_json_read(bytes, n, JSON_REJECT_DUPLICATES, &je);
    free(bytes);
    if (!o) return cli_error("%s: line %d, column %d: %s", path, je.line, je.column, je.text);
    if (strcmp(text_of(o, "verbatim"), command) != 0 || !read_shard(text_of(o, "shard"), &part, &of))
        rc = cli_error("%s: not what `verbatim %s --shard I/N --json` prints", path, command);
    else if (*parts && *parts != of)
        rc = cli_error("%s: part %s, and the first file is one of %d parts", path, text_of(o, "shard"),
                       *parts);
    else if (!*slots && !(*slots = json_array()))
        rc = cli_error("out of memory");
    *parts = rc ? *parts : of;
    while (!rc && json_array_size(*slots) < (size_t)of)
        if (json_array_append_new(*slots, json_null())) rc = cli_error("out of memory");
    if (!rc && !json_is_null(json_array_get(*slots, (size_t)part)))
        rc = cli_error("%s: part %s is there twice", path, text_of(o, "shard"));
    if (!rc && json_array_set(*slots, (size_t)part, o)) rc = cli_error("out of memory");
    json_decref(o);
    return rc;
}

int cli_read_parts(const cli_options *o, const char *command, json_t **out) {
    json_t *slots = NULL;
    int parts = 0, rc = CLI_OK;
    for (size_t i = 0; i < o->merge.n && !rc; i++) rc = read_part(o->merge.items[i], command, &slots, &parts);
    for (int i = 0; i < o->n_words && !rc; i++) rc = read_part(o->words[i], command, &slots, &parts);
    for (int i = 0; i < parts && !rc; i++)
        if (json_is_null(json_array_get(slots, (size_t)i)))
            rc = cli_error("part %d/%d is missing", i + 1, parts);
    if (rc)
        json_decref(slots);
    else
        *out = slots;
    return rc;
}
