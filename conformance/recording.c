/* recording.c - reads recordings. */
#include "recording.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    cf_recording *r;
    size_t line, rows_room;
    int prompt;
    bool ended;
    vb_error *err;
} reader;

static int bad(reader *d, const char *what) {
    return vb_fail(d->err, VB_ERR_FORMAT, "%s: line %zu: %s", d->r->path, d->line, what);
}

static bool int_of(const json_t *o, const char *key, json_int_t min, json_int_t max, int *out) {
    const json_t *v = json_object_get(o, key);
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max) return false;
    *out = (int)json_integer_value(v);
    return true;
}

/* n values from "f32", "f64" or a JSON array of numbers under `key`, appended at x. */
static int hex_values(reader *d, const char *hex, size_t n, double *x) {
    if (strlen(hex) == 16 * n && n > 0) {
        if (!cf_parse_f64(hex, n, x)) return bad(d, "a character that is no hex digit");
        return VB_OK;
    }
    float *f = NULL;
    int rc = vb_alloc((void **)&f, n + 1, sizeof *f, "values", d->err);
    if (rc) return rc;
    if (!cf_parse_f32(hex, n, f)) rc = bad(d, "not n numbers of 8 (float32) or 16 (float64) hex digits");
    for (size_t i = 0; i < n && !rc; i++) x[i] = (double)f[i];
    free(f);
    return rc;
}

/* Some of the values, the others are not known: NaN. */
static int sparse_values(reader *d, const json_t *ids, const json_t *values, cf_row *row) {
    if (!json_is_array(ids) || json_array_size(ids) != json_array_size(values))
        return bad(d, "\"ids\" and \"values\" are not lists of one length");
    for (int i = 0; i < row->n; i++) row->x[i] = NAN;
    for (size_t k = 0; k < json_array_size(ids); k++) {
        const json_t *id = json_array_get(ids, k), *v = json_array_get(values, k);
        const json_int_t at = json_integer_value(id);
        if (!json_is_integer(id) || at < 0 || at >= row->n || !json_is_number(v))
            return bad(d, "\"ids\" must be elements of the array, \"values\" numbers");
        row->x[at] = json_number_value(v);
    }
    return VB_OK;
}

static int read_values(reader *d, const json_t *o, cf_row *row) {
    const char *full = json_string_value(json_object_get(o, "f32")),
               *f64 = json_string_value(json_object_get(o, "f64"));
    const char *first = json_string_value(json_object_get(o, "first")),
               *last = json_string_value(json_object_get(o, "last"));
    const json_t *values = json_object_get(o, "values");
    const size_t n = (size_t)row->n;
    int rc;
    row->have = !full && !f64 && !values && n > 16 ? 16 : row->n;
    if ((rc = vb_alloc((void **)&row->x, n < 16 ? 16 : n, sizeof *row->x, "values", d->err))) return rc;
    if (full || f64) {
        rc = hex_values(d, full ? full : f64, n, row->x);
    } else if (json_is_array(values) && json_object_get(o, "ids")) {
        return sparse_values(d, json_object_get(o, "ids"), values, row);
    } else if (json_is_array(values)) {
        if (json_array_size(values) != n) return bad(d, "\"values\" has not n numbers");
        for (size_t i = 0; i < n; i++) {
            const json_t *v = json_array_get(values, i);
            if (!json_is_number(v)) return bad(d, "\"values\" holds something that is no number");
            row->x[i] = json_number_value(v);
        }
    } else if (first && last && n > 16) {
        rc = hex_values(d, first, 8, row->x);
        if (!rc) rc = hex_values(d, last, 8, row->x + 8);
    } else {
        return bad(d, "an array needs \"f32\", \"f64\", \"values\", or \"first\" and \"last\"");
    }
    for (int i = 0; i < row->have && !rc; i++)
        if (!isfinite(row->x[i])) rc = bad(d, "a value is not finite");
    return rc;
}

static int read_row(reader *d, const json_t *o) {
    cf_recording *r = d->r;
    cf_row row = {.prompt = d->prompt, .layer = -1, .line = d->line};
    const char *op = json_string_value(json_object_get(o, "op"));
    if (d->prompt < 0) return bad(d, "an array before the first prompt");
    if (!op || strlen(op) >= sizeof row.op) return bad(d, "\"op\" must be a name of at most 15 characters");
    if (!int_of(o, "position", 0, 1 << 24, &row.position))
        return bad(d, "\"position\" must be a whole number");
    if (json_object_get(o, "layer") && !int_of(o, "layer", -1, 100000, &row.layer))
        return bad(d, "\"layer\" must be a whole number");
    if (!int_of(o, "n", 1, 1 << 24, &row.n)) return bad(d, "\"n\" must be 1 to 2^24");
    snprintf(row.op, sizeof row.op, "%s", op);
    if (r->n_rows == d->rows_room) {
        cf_row *grown = realloc(r->rows, (2 * d->rows_room + 256) * sizeof *grown);
        if (!grown) return vb_fail(d->err, VB_ERR_MEMORY, "%s: out of memory", r->path);
        r->rows = grown;
        d->rows_room = 2 * d->rows_room + 256;
    }
    const int rc = read_values(d, o, &row);
    r->rows[r->n_rows++] = row; /* also on error: closing frees it */
    return rc;
}

/* n float64 numbers: hex digits, or a JSON array of numbers and nulls (not known). */
static int read_reals(reader *d, const json_t *v, size_t n, const char *what, double **out) {
    char said[96];
    int rc = vb_alloc((void **)out, n + 1, sizeof **out, what, d->err);
    snprintf(said, sizeof said, "\"%s\" is not 16 hex digits, or a number, for each token", what);
    if (rc) return rc;
    if (json_is_string(v)) return cf_parse_f64(json_string_value(v), n, *out) ? VB_OK : bad(d, said);
    if (!json_is_array(v) || json_array_size(v) != n) return bad(d, said);
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(v, i);
        if (!json_is_number(x) && !json_is_null(x)) return bad(d, said);
        (*out)[i] = json_is_null(x) ? NAN : json_number_value(x);
    }
    return VB_OK;
}

/* ids under `key` into a new entry of *list. */
static int read_tokens(reader *d, const json_t *o, const char *key, cf_tokens **list, size_t *count) {
    const json_t *a = json_object_get(o, key);
    const char *seed = json_string_value(json_object_get(o, "seed"));
    const json_t *margins = json_object_get(o, "margins"), *logprobs = json_object_get(o, "logprobs");
    cf_tokens t = {.prompt = d->prompt,
                   .greedy = !strcmp(key, "greedy"),
                   .line = d->line,
                   .n = json_array_size(a),
                   .prompt_itself = !strcmp(key, "tokens")};
    if (!json_is_array(a)) return bad(d, "token ids must be an array");
    cf_tokens *grown = realloc(*list, (*count + 1) * sizeof *grown);
    if (!grown) return vb_fail(d->err, VB_ERR_MEMORY, "%s: out of memory", d->r->path);
    *list = grown;
    if (seed) t.seed = strtoull(seed, NULL, 10);
    int rc = vb_alloc((void **)&t.id, t.n + 1, sizeof *t.id, "token ids", d->err);
    for (size_t i = 0; i < t.n && !rc; i++) {
        const json_t *v = json_array_get(a, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
            rc = bad(d, "a token id must be a whole number from 0");
        t.id[i] = (int32_t)json_integer_value(v);
    }
    if (margins && !rc) rc = read_reals(d, margins, t.n, "margins", &t.margin);
    if (logprobs && !rc) rc = read_reals(d, logprobs, t.n, "logprobs", &t.logprob);
    (*list)[(*count)++] = t;
    return rc;
}

static int read_line(reader *d, const json_t *o) {
    if (d->ended) return bad(d, "a line after the end");
    if (d->line == 1) {
        const char *kind = json_string_value(json_object_get(o, "kind"));
        const json_t *version = json_object_get(o, "version");
        if (strcmp(kind ? kind : "", "model") != 0)
            return bad(d, "not the head of a recording (\"kind\":\"model\")");
        if (json_integer_value(version) != CF_VERSION) return bad(d, "\"version\" must be 1");
        d->r->head = json_incref((json_t *)(uintptr_t)o);
        return VB_OK;
    }
    if (json_object_get(o, "op")) return read_row(d, o);
    if (json_object_get(o, "prompt")) {
        if (!int_of(o, "prompt", d->prompt + 1, d->prompt + 1, &d->prompt))
            return bad(d, "prompts are numbered 0, 1, 2, ...");
        return read_tokens(d, o, "tokens", &d->r->prompts, &d->r->n_prompts);
    }
    if (d->prompt < 0) return bad(d, "a line before the first prompt");
    if (json_object_get(o, "greedy")) return read_tokens(d, o, "greedy", &d->r->outputs, &d->r->n_outputs);
    if (json_object_get(o, "sampled")) return read_tokens(d, o, "sampled", &d->r->outputs, &d->r->n_outputs);
    if (json_object_get(o, "end")) {
        d->ended = true;
        if (json_integer_value(json_object_get(o, "end")) != (json_int_t)d->line - 1)
            return bad(d, "\"end\" is not the number of lines before it");
        return VB_OK;
    }
    if (json_object_get(o, "logprobs")) {
        cf_tokens *p = &d->r->prompts[d->r->n_prompts - 1];
        if (p->logprob || p->n < 1) return bad(d, "more log-probabilities than the prompt has");
        return read_reals(d, json_object_get(o, "logprobs"), p->n - 1, "logprobs", &p->logprob);
    }
    if (json_object_get(o, "cache")) return VB_OK;
    return bad(d, "none of \"op\", \"prompt\", \"greedy\", \"sampled\", \"logprobs\", \"cache\", \"end\"");
}

int cf_recording_read(cf_recording *r, const char *path, const char *text, size_t len, vb_error *err) {
    reader d = {.r = r, .prompt = -1, .err = err};
    memset(r, 0, sizeof *r);
    int rc = (r->path = strdup(path)) ? VB_OK : vb_fail(err, VB_ERR_MEMORY, "out of memory for a file name");
    for (size_t at = 0; at < len && !rc;) {
        const char *end = memchr(text + at, '\n', len - at);
        const size_t n = end ? (size_t)(end - text) - at : len - at;
        json_error_t je;
        d.line++;
        json_t *o = json_loadb(text + at, n, JSON_REJECT_DUPLICATES, &je);
        if (!o)
            rc = vb_fail(err, VB_ERR_FORMAT, "%s: line %zu, column %d: %s", path, d.line, je.column, je.text);
        else if (!json_is_object(o))
            rc = bad(&d, "not a JSON object");
        else
            rc = read_line(&d, o);
        json_decref(o);
        at += n + 1;
    }
    if (!rc && !d.ended)
        rc = vb_fail(err, VB_ERR_FORMAT, "%s: line %zu: cut off: the last line must be {\"end\":%zu}", path,
                     d.line + 1, d.line);
    if (rc) cf_recording_close(r);
    return rc;
}

int cf_recording_open(cf_recording *r, const char *path, vb_error *err) {
    char *text = NULL;
    size_t len = 0;
    memset(r, 0, sizeof *r);
    int rc = cf_read_file(path, &text, &len, err);
    if (!rc) rc = cf_recording_read(r, path, text, len, err);
    free(text);
    return rc;
}

static void free_tokens(cf_tokens *t, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(t[i].id);
        free(t[i].margin);
        free(t[i].logprob);
    }
    free(t);
}

void cf_recording_close(cf_recording *r) {
    for (size_t i = 0; i < r->n_rows; i++) free(r->rows[i].x);
    free(r->rows);
    free_tokens(r->prompts, r->n_prompts);
    free_tokens(r->outputs, r->n_outputs);
    json_decref(r->head);
    free(r->path);
    memset(r, 0, sizeof *r);
}
