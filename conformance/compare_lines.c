/* compare_lines.c - levels 1 to 3 of another engine: token ids, blocks and products, line by line. There is
 * one right answer, so nothing is tolerated but in the float products `y` under a tolerance. */
#include "conformance/recording.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct side {
    const char *path, *text;
    size_t len, at, line;
    json_t *o; /* of the line */
} side;

typedef struct work {
    side ours, theirs;
    bool bitwise;
    const cf_bounds *bounds;
    cf_comparison *out;
    vb_error *err;
} work;

static const char *text_of(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* The next line into s->o. */
static int next(side *s, vb_error *err) {
    json_error_t je;
    json_decref(s->o);
    s->o = NULL;
    s->line++;
    if (s->at >= s->len)
        return vb_fail(err, VB_ERR_FORMAT, "%s: line %zu: cut off: the last line must be {\"end\":%zu}",
                       s->path, s->line, s->line - 1);
    const char *start = s->text + s->at, *end = memchr(start, '\n', s->len - s->at);
    const size_t n = end ? (size_t)(end - start) : s->len - s->at;
    s->o = vb_json_read(start, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &je);
    if (!s->o)
        return vb_fail(err, VB_ERR_FORMAT, "%s: line %zu, column %d: %s", s->path, s->line, je.column,
                       je.text);
    if (!json_is_object(s->o))
        return vb_fail(err, VB_ERR_FORMAT, "%s: line %zu: not a JSON object", s->path, s->line);
    s->at += n + 1;
    return VB_OK;
}

static int bad(const side *s, const char *what, vb_error *err) {
    return vb_fail(err, VB_ERR_FORMAT, "%s: line %zu: %s", s->path, s->line, what);
}

static void differs(work *w, int level, const char *name, const char *key, size_t element, double ours,
                    double theirs) {
    cf_divergence d = {.found = true,
                       .level = level,
                       .position = (int)w->ours.line - 2,
                       .layer = -1,
                       .element = (int)element,
                       .ours = ours,
                       .theirs = theirs,
                       .line_ours = w->ours.line,
                       .line_theirs = w->theirs.line};
    const float x = (float)ours, y = (float)theirs;
    snprintf(d.what, sizeof d.what, "%s%s%s", name, *name ? " " : "", key);
    d.ulp = cf_float_steps(x, y);
    w->out->rows_beyond++;
    if (!w->out->first_bits.found) w->out->first_bits = d;
    if (!w->out->first.found) w->out->first = d;
}

/* Is there anything to compare under `key`? null, as no member at all, means that it is not known. */
static bool both_have(const work *w, const char *key) {
    const json_t *a = json_object_get(w->ours.o, key), *b = json_object_get(w->theirs.o, key);
    if (!a || json_is_null(a)) return false;
    if (b && !json_is_null(b)) return true;
    w->out->rows_missing++;
    return false;
}

/* Arrays of whole numbers; a length that differs is a difference at the first place that only one of them
 * has. */
static int compare_ints(work *w, int level, const char *name, const char *key) {
    const json_t *a = json_object_get(w->ours.o, key), *b = json_object_get(w->theirs.o, key);
    if (!both_have(w, key)) return VB_OK;
    if (!json_is_array(a)) return bad(&w->ours, "numbers must be an array", w->err);
    if (!json_is_array(b)) return bad(&w->theirs, "numbers must be an array", w->err);
    const size_t n = json_array_size(a), m = json_array_size(b);
    w->out->rows++;
    for (size_t i = 0; i < n || i < m; i++) {
        const json_t *x = json_array_get(a, i), *y = json_array_get(b, i);
        if ((x && !json_is_integer(x)) || (y && !json_is_integer(y)))
            return bad(json_is_integer(y) || !y ? &w->ours : &w->theirs, "a number is not whole", w->err);
        const double p = x ? (double)json_integer_value(x) : -1, q = y ? (double)json_integer_value(y) : -1;
        if (x && y && json_integer_value(x) == json_integer_value(y)) continue;
        differs(w, level, name, key, i, p, q);
        break;
    }
    return VB_OK;
}

/* Number i of a string of 16-bit (4 digits) or float32 (8 digits) numbers. */
static int hex_at(const side *s, const char *hex, size_t i, size_t digits, uint32_t *bits, float *value,
                  vb_error *err) {
    char one[9] = "";
    memcpy(one, hex + i * digits, digits);
    if (strspn(one, "0123456789abcdefABCDEF") != digits)
        return bad(s, "a character that is no hex digit", err);
    *bits = (uint32_t)strtoul(one, NULL, 16);
    *value = (float)(int16_t)*bits;
    if (digits == 8) memcpy(value, bits, sizeof *value);
    return VB_OK;
}

/* Strings of 16-bit or float32 numbers. +0 and -0 are equal. `relative`: float products under a tolerance.
 * What is not finite in THEIRS is the difference that it is; OURS says what is right, and nothing is equal to
 * it. */
static int compare_hex(work *w, int level, const char *name, const char *key, bool floats, bool relative) {
    const json_t *of_ours = json_object_get(w->ours.o, key), *of_theirs = json_object_get(w->theirs.o, key);
    const char *a = json_string_value(of_ours), *b = json_string_value(of_theirs);
    const size_t digits = floats ? 8 : 4;
    if (!both_have(w, key)) return VB_OK;
    if (!a || json_string_length(of_ours) % digits || strlen(a) != json_string_length(of_ours))
        return bad(&w->ours, "an array must be a string of hex digits", w->err);
    if (!b) return bad(&w->theirs, "an array must be a string of hex digits", w->err);
    if (json_string_length(of_theirs) != json_string_length(of_ours))
        return bad(&w->theirs, "an array of another length than OURS has", w->err);
    const size_t n = strlen(a) / digits;
    double size = 0, worst = 0, at[2] = {0};
    size_t element = n;
    w->out->rows += n > 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t u = 0, v = 0;
        float x, y;
        int rc = hex_at(&w->ours, a, i, digits, &u, &x, w->err);
        if (!rc) rc = hex_at(&w->theirs, b, i, digits, &v, &y, w->err);
        if (rc) return rc;
        if (!isfinite(x)) return bad(&w->ours, "a value is not finite", w->err);
        if (fabs((double)x) > size) size = fabs((double)x);
        const double d = isfinite(y) ? fabs((double)x - (double)y) : INFINITY;
        if (u == v || (floats && x == 0 && y == 0)) continue;
        if (element < n && (!relative || d <= worst)) continue;
        element = i;
        worst = d;
        at[0] = (double)x;
        at[1] = (double)y;
    }
    if (element < n && (!relative || !(worst <= w->bounds->row * size)))
        differs(w, level, name, key, element, at[0], at[1]);
    return VB_OK;
}

/* Lines that stand at the same place must be about the same thing. */
static int same_subject(const work *w, const char *const *keys) {
    for (int i = 0; keys[i]; i++) {
        const json_t *a = json_object_get(w->ours.o, keys[i]), *b = json_object_get(w->theirs.o, keys[i]);
        if ((a || b) && !json_equal(a, b))
            return vb_fail(w->err, VB_ERR_ARGUMENT, "%s: line %zu: \"%s\" is not that of %s: line %zu",
                           w->theirs.path, w->theirs.line, keys[i], w->ours.path, w->ours.line);
    }
    return VB_OK;
}

static int compare_line(work *w, const char *kind) {
    static const char *const of_tokens[] = {"bytes", NULL},
                             *const of_blocks[] = {"type", "id", "n", "blocks", NULL},
                             *const of_dots[] = {"case", "activations", "precision", "weights", "dots", "id",
                                                 "rows", "cols",        "x",         "blocks",  NULL};
    char name[24];
    int rc;
    if (!strcmp(kind, "tokens")) {
        if ((rc = same_subject(w, of_tokens)) || (rc = compare_ints(w, 1, "", "special"))) return rc;
        return compare_ints(w, 1, "", "plain");
    }
    if (!strcmp(kind, "blocks")) {
        if ((rc = same_subject(w, of_blocks))) return rc;
        return compare_hex(w, 2, text_of(w->ours.o, "type"), "f32", true, false);
    }
    if ((rc = same_subject(w, of_dots))) return rc;
    if (json_object_get(w->ours.o, "activations")) {
        snprintf(name, sizeof name, "%.7s", text_of(w->ours.o, "activations"));
        rc = compare_hex(w, 3, name, "q", false, false);
        return rc ? rc : compare_hex(w, 3, name, "d", true, false);
    }
    snprintf(name, sizeof name, "%.8s", text_of(w->ours.o, "dots"));
    if ((rc = compare_ints(w, 3, name, "isum")) || (rc = compare_ints(w, 3, name, "msum"))) return rc;
    return compare_hex(w, 3, name, "y", true, !w->bitwise);
}

int cf_compare_lines(const char *ours, const char *a, size_t n, const char *theirs, const char *b, size_t m,
                     cf_tolerance t, const cf_bounds *bounds, cf_comparison *out, vb_error *err) {
    cf_comparison c = {0};
    work w = {.ours = {.path = ours, .text = a, .len = n},
              .theirs = {.path = theirs, .text = b, .len = m},
              .bitwise = t == CF_BITWISE,
              .bounds = bounds,
              .out = &c,
              .err = err};
    char kind[16];
    int rc = next(&w.ours, err);
    if (!rc) rc = next(&w.theirs, err);
    if (rc) goto cleanup;
    snprintf(kind, sizeof kind, "%.15s", text_of(w.ours.o, "kind"));
    if (strcmp(kind, "tokens") != 0 && strcmp(kind, "blocks") != 0 && strcmp(kind, "dots") != 0)
        rc = bad(&w.ours, "\"kind\" must be model, tokens, blocks or dots", err);
    else if (strcmp(kind, text_of(w.theirs.o, "kind")) != 0)
        rc = bad(&w.theirs, "not of the same \"kind\" as OURS", err);
    while (!rc) {
        if ((rc = next(&w.ours, err)) || (rc = next(&w.theirs, err))) break;
        const bool end = json_object_get(w.ours.o, "end") != NULL;
        if (end != (json_object_get(w.theirs.o, "end") != NULL))
            rc = bad(&w.theirs, end ? "a line more than OURS has" : "the end, and OURS goes on", err);
        if (end) break;
        if (!rc) rc = compare_line(&w, kind);
    }
    if (!rc && !c.rows)
        rc = vb_fail(err, VB_ERR_ARGUMENT,
                     "%s and %s have nothing in common: not one value of OURS was compared", ours, theirs);
    if (rc) goto cleanup;
    c.pass = !c.first.found;
    *out = c;
cleanup:
    json_decref(w.ours.o);
    json_decref(w.theirs.o);
    return rc;
}

int cf_compare_files(const char *ours, const char *theirs, cf_tolerance t, const cf_bounds *bounds,
                     const cf_watch *watch, cf_comparison *out, vb_error *err) {
    char *a = NULL, *b = NULL;
    size_t n = 0, m = 0;
    cf_recording x = {0}, y = {0};
    json_t *head = NULL;
    int rc = cf_read_file(ours, &a, &n, err);
    if (!rc) rc = cf_read_file(theirs, &b, &m, err);
    if (rc) goto cleanup;
    const char *end = memchr(a, '\n', n);
    head = vb_json_read(a, end ? (size_t)(end - a) : n, JSON_ALLOW_NUL, NULL);
    const char *kind = text_of(head, "kind");
    if (head && strcmp(kind, "model") != 0) {
        rc = cf_compare_lines(ours, a, n, theirs, b, m, t, bounds, out, err);
    } else {
        rc = cf_recording_read(&x, ours, a, n, err);
        if (!rc) rc = cf_recording_read(&y, theirs, b, m, err);
        if (!rc) rc = cf_compare(&x, &y, t, bounds, watch, out, err);
    }
cleanup:
    json_decref(head);
    cf_recording_close(&x);
    cf_recording_close(&y);
    free(a);
    free(b);
    return rc;
}
