/* recording.c - reads recordings. */
#include "conformance/recording.h"

#include <errno.h>
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

/* n values from hex digits of float32 or float64 at x. */
static int hex_values(reader *d, const char *hex, size_t n, double *x) {
    if (strlen(hex) == 16 * n && n > 0) {
        if (!cf_parse_f64(hex, n, x)) return bad(d, "a character that is no hex digit");
        return VB_OK;
    }
    float *f = NULL;
    if (strlen(hex) != 8 * n) return bad(d, "not n numbers of 8 (float32) or 16 (float64) hex digits");
    int rc = vb_alloc((void **)&f, n + 1, sizeof *f, "values", d->err);
    if (rc) return rc;
    if (!cf_parse_f32(hex, n, f)) rc = bad(d, "a character that is no hex digit");
    for (size_t i = 0; i < n && !rc; i++) x[i] = (double)f[i];
    free(f);
    return rc;
}

/* A JSON array of numbers. */
static int number_values(reader *d, const json_t *values, size_t n, double *x) {
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(values, i);
        if (!json_is_number(v)) return bad(d, "\"values\" holds something that is no number");
        x[i] = json_number_value(v);
    }
    return VB_OK;
}

typedef struct known {
    int32_t element;
    double x;
} known;

static int by_element(const void *p, const void *q) {
    const known *a = p, *b = q;
    return (a->element > b->element) - (a->element < b->element);
}

/* The elements that row->x belongs to, and both in ascending order. */
static int order_elements(reader *d, const json_t *ids, cf_row *row) {
    const size_t n = (size_t)row->have;
    known *list = NULL;
    int rc = vb_alloc((void **)&row->element, n + 1, sizeof *row->element, "elements", d->err);
    if (!rc) rc = vb_alloc((void **)&list, n + 1, sizeof *list, "elements", d->err);
    for (size_t k = 0; k < n && !rc; k++) {
        const json_t *id = json_array_get(ids, k);
        const json_int_t at = json_integer_value(id);
        if (!json_is_integer(id) || at < 0 || at >= row->n)
            rc = bad(d, "\"ids\" must be elements of the array, whole numbers from 0 and below n");
        else
            list[k] = (known){(int32_t)at, row->x[k]};
    }
    if (!rc && n) qsort(list, n, sizeof *list, by_element);
    for (size_t k = 0; k < n && !rc; k++) {
        row->element[k] = list[k].element;
        row->x[k] = list[k].x;
        if (k && list[k].element == list[k - 1].element) rc = bad(d, "\"ids\" names an element twice");
    }
    free(list);
    return rc;
}

/* A string without NUL, which texts may hold, and hex digits and names may not; otherwise NULL. */
static const char *word_of(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    const char *s = json_string_value(v);
    return s && strlen(s) == json_string_length(v) ? s : NULL;
}

static int read_values(reader *d, const json_t *o, cf_row *row) {
    const char *full = word_of(o, "f32"), *f64 = word_of(o, "f64");
    const char *first = word_of(o, "first"), *last = word_of(o, "last");
    const json_t *values = json_object_get(o, "values"), *ids = json_object_get(o, "ids");
    const size_t n = (size_t)row->n;
    int rc;
    /* Room is taken for what the line holds, after a look at how much that is. */
    if (full || f64)
        row->have = strlen(full ? full : f64) / 8 < n ? 0 : row->n;
    else if (json_is_array(values))
        row->have = (int)json_array_size(values);
    else if (first && last && n > 16)
        row->have = 16;
    else
        return bad(d, "an array needs \"f32\", \"f64\", \"values\", or \"first\" and \"last\"");
    if (json_is_array(values) && ids && (!json_is_array(ids) || json_array_size(ids) != (size_t)row->have))
        return bad(d, "\"ids\" and \"values\" are not lists of one length");
    if ((rc = vb_alloc((void **)&row->x, (size_t)row->have + 1, sizeof *row->x, "values", d->err))) return rc;
    if (full || f64) {
        rc = hex_values(d, full ? full : f64, n, row->x);
    } else if (json_is_array(values)) {
        if (!ids && row->have != row->n) return bad(d, "\"values\" has not n numbers");
        rc = number_values(d, values, (size_t)row->have, row->x);
        if (!rc && ids) rc = order_elements(d, ids, row);
    } else {
        rc = hex_values(d, first, 8, row->x);
        if (!rc) rc = hex_values(d, last, 8, row->x + 8);
    }
    for (int i = 0; i < row->have && !rc; i++)
        if (!isfinite(row->x[i])) rc = bad(d, "a value is not finite");
    return rc;
}

static int read_row(reader *d, const json_t *o) {
    cf_recording *r = d->r;
    cf_row row = {.prompt = d->prompt, .layer = -1, .line = d->line};
    const char *op = word_of(o, "op");
    if (d->prompt < 0) return bad(d, "an array before the first prompt");
    if (!op || strlen(op) >= sizeof row.op) return bad(d, "\"op\" must be a name of at most 15 characters");
    if (!int_of(o, "position", 0, 1 << 24, &row.position))
        return bad(d, "\"position\" must be a whole number");
    if (json_object_get(o, "layer") && !int_of(o, "layer", -1, 100000, &row.layer))
        return bad(d, "\"layer\" must be a whole number");
    if (!int_of(o, "n", 1, 1 << 24, &row.n)) return bad(d, "\"n\" must be 1 to 2^24");
    snprintf(row.op, sizeof row.op, "%s", op);
    int rc = vb_grow((void **)&r->rows, &d->rows_room, r->n_rows + 1, sizeof *r->rows, "a recording", d->err);
    if (rc) return rc;
    rc = read_values(d, o, &row);
    r->rows[r->n_rows++] = row; /* also on error: closing frees it */
    return rc;
}

/* n float64 numbers: hex digits, or a JSON array of numbers and nulls. null alone means that a value is not
 * known (NaN in *out): a NaN that an engine computed is a wrong value, and must not pass for a missing
 * one. */
static int read_reals(reader *d, const json_t *v, size_t n, const char *what, double **out) {
    char said[128];
    int rc = VB_OK;
    snprintf(said, sizeof said, "\"%s\" is not 16 hex digits, or a number or null, for each token", what);
    if (json_is_string(v) ? json_string_length(v) != 16 * n : json_array_size(v) != n) return bad(d, said);
    if (!json_is_string(v) && !json_is_array(v)) return bad(d, said);
    if ((rc = vb_alloc((void **)out, n + 1, sizeof **out, what, d->err))) return rc;
    if (json_is_string(v) && !cf_parse_f64(json_string_value(v), n, *out)) return bad(d, said);
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(v, i);
        if (json_is_array(v) && !json_is_number(x) && !json_is_null(x)) return bad(d, said);
        if (json_is_array(v)) (*out)[i] = json_is_null(x) ? NAN : json_number_value(x);
        if (isfinite((*out)[i]) || json_is_null(x)) continue;
        snprintf(said, sizeof said, "\"%s\": value %zu is not finite (null stands for one that is not known)",
                 what, i);
        return bad(d, said);
    }
    return rc;
}

static int read_margins(reader *d, const json_t *v, size_t n, double **out) {
    const int rc = read_reals(d, v, n, "margins", out);
    for (size_t i = 0; i < n && !rc; i++)
        if ((*out)[i] < 0) return bad(d, "\"margins\": the best logit is no less than the second");
    return rc;
}

/* A decimal string, as seeds are written. */
static int read_seed(reader *d, const json_t *v, uint64_t *out) {
    const char *s = json_string_value(v);
    if (!v) return VB_OK;
    errno = 0;
    if (!s || !*s || strspn(s, "0123456789") != strlen(s) || (*out = strtoull(s, NULL, 10), errno))
        return bad(d, "\"seed\" must be a decimal string, such as \"1\"");
    return VB_OK;
}

/* ids under `key` into a new entry of *list. */
static int read_tokens(reader *d, const json_t *o, const char *key, cf_tokens **list, size_t *count) {
    const json_t *a = json_object_get(o, key);
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
    int rc = vb_alloc((void **)&t.id, t.n + 1, sizeof *t.id, "token ids", d->err);
    if (!rc) rc = read_seed(d, json_object_get(o, "seed"), &t.seed);
    for (size_t i = 0; i < t.n && !rc; i++) {
        const json_t *v = json_array_get(a, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
            rc = bad(d, "a token id must be a whole number from 0");
        t.id[i] = (int32_t)json_integer_value(v);
    }
    if (margins && !rc) rc = read_margins(d, margins, t.n, &t.margin);
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

int cf_row_order(const void *p, const void *q) {
    const cf_row *a = *(const cf_row *const *)p, *b = *(const cf_row *const *)q;
    if (a->prompt != b->prompt) return a->prompt < b->prompt ? -1 : 1;
    if (a->position != b->position) return a->position < b->position ? -1 : 1;
    if (a->layer != b->layer) return a->layer < b->layer ? -1 : 1;
    return strcmp(a->op, b->op);
}

static int output_order(const void *p, const void *q) {
    const cf_tokens *a = *(const cf_tokens *const *)p, *b = *(const cf_tokens *const *)q;
    if (a->prompt != b->prompt) return a->prompt < b->prompt ? -1 : 1;
    if (a->greedy != b->greedy) return a->greedy ? -1 : 1;
    return (a->seed > b->seed) - (a->seed < b->seed);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* What is there twice would leave it to chance which of the two is compared. */
static int check_twice(const cf_recording *r, vb_error *err) {
    const size_t n = r->n_rows, m = r->n_outputs;
    const cf_row **row = NULL;
    const cf_tokens **output = NULL;
    int rc = vb_alloc((void **)&row, n + 1, sizeof *row, "an index", err);
    if (!rc) rc = vb_alloc((void **)&output, m + 1, sizeof *output, "an index", err);
    for (size_t i = 0; i < n && !rc; i++) row[i] = &r->rows[i];
    for (size_t i = 0; i < m && !rc; i++) output[i] = &r->outputs[i];
    if (!rc && n) qsort(row, n, sizeof *row, cf_row_order);
    if (!rc && m) qsort(output, m, sizeof *output, output_order);
    for (size_t i = 1; i < n && !rc; i++)
        if (!cf_row_order(&row[i - 1], &row[i]))
            rc = vb_fail(err, VB_ERR_FORMAT, "%s: line %zu: the array of line %zu again", r->path,
                         larger(row[i - 1]->line, row[i]->line), smaller(row[i - 1]->line, row[i]->line));
    for (size_t i = 1; i < m && !rc; i++)
        if (!output_order(&output[i - 1], &output[i]))
            rc = vb_fail(err, VB_ERR_FORMAT, "%s: line %zu: the output of line %zu again (prompt and seed)",
                         r->path, larger(output[i - 1]->line, output[i]->line),
                         smaller(output[i - 1]->line, output[i]->line));
    free(row);
    free(output);
    return rc;
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
        json_t *o = vb_json_read(text + at, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &je);
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
    if (!rc) rc = check_twice(r, err);
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
    for (size_t i = 0; i < r->n_rows; i++) {
        free(r->rows[i].x);
        free(r->rows[i].element);
    }
    free(r->rows);
    free_tokens(r->prompts, r->n_prompts);
    free_tokens(r->outputs, r->n_outputs);
    json_decref(r->head);
    free(r->path);
    memset(r, 0, sizeof *r);
}
