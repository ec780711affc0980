/* check.c - every vector made again, under every way to make it. */
#include "recording.h"

#include <stdlib.h>
#include <string.h>

typedef struct checker {
    const cf_check_params *p;
    cf_check_result *r;
} checker;

static const char *text_of(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void say(checker *c, bool ok, const char *line) {
    if (!ok) c->r->failed++;
    if (c->p->say) c->p->say(c->p->user, ok, line);
}

/* Where two texts first differ, in words: line, what stands there, element. */
static void describe(const char *want, size_t want_len, const char *got, size_t got_len, char *out,
                     size_t size) {
    const size_t least = want_len < got_len ? want_len : got_len;
    size_t at = 0, start = 0, line = 1;
    for (; at < least && want[at] == got[at]; at++) {
        if (want[at] == '\n') {
            line++;
            start = at + 1;
        }
    }
    size_t digits = at; /* the start of the run of hex digits that the difference lies in */
    while (digits > start && want[digits - 1] != '"') digits--;
    const char *key = want + start;
    size_t shown = strcspn(key, "\n");
    const char *cut = strstr(key, ",\"n\":");
    if (cut && (size_t)(cut - key) < shown) shown = (size_t)(cut - key);
    if (shown > 90) shown = 90;
    const bool f32 = digits >= start + 7 && !memcmp(want + digits - 7, "\"f32\":\"", 7);
    if (f32)
        snprintf(out, size, "line %zu, column %zu, %.*s}, element %zu", line, at - start + 1, (int)shown, key,
                 (at - digits) / 8);
    else
        snprintf(out, size, "line %zu, column %zu, %.*s", line, at - start + 1, (int)shown, key);
}

static int remake(checker *c, const char *name, const char *text, size_t len, const cf_config *config,
                  bool *same, vb_error *err) {
    cf_text made = {0};
    char line[640], where[256];
    int rc = cf_remake(&made, c->p->dir, name, text, len, config, err);
    c->r->configurations++;
    c->r->remade += made.len;
    *same = !rc && made.len == len && !memcmp(made.data, text, len);
    if (!rc && !*same) {
        describe(text, len, made.data, made.len, where, sizeof where);
        snprintf(line, sizeof line, "%s: kernels %s, %d threads, batch %d: other bytes: %s", name,
                 config->kernels ? config->kernels : "auto", config->threads, config->batch, where);
        say(c, false, line);
    }
    cf_text_free(&made);
    return rc;
}

/* One contract file under every configuration that matters to its kind. */
static int check_contract(checker *c, const json_t *entry, const char *text, size_t len, vb_error *err) {
    static const int threads[] = {1, 2, 4}, batches[] = {0, 1, 2, 3, 8};
    const char *name = text_of(entry, "file"), *kind = text_of(entry, "kind");
    const bool model = !strcmp(kind, "model") || !strcmp(kind, "trace"), dots = !strcmp(kind, "dots");
    const char *const *kernels = vb_kernel_names();
    bool same = true;
    char line[512];
    int n = 0;
    for (int k = 0; kernels[k]; k++) {
        for (int t = 0; t < 3; t++) {
            for (int b = 0; b < 5; b++) {
                if ((!model && (t || b)) || (!model && !dots && k) || (c->p->quick && n)) continue;
                if (c->p->cancel && c->p->cancel(c->p->user))
                    return vb_fail(err, VB_ERR_CANCELLED, "interrupted");
                const cf_config config = {c->p->quick ? NULL : kernels[k], threads[t], batches[b]};
                int rc = remake(c, name, text, len, &config, &same, err);
                if (rc) return rc;
                if (!same) return VB_OK;
                n++;
            }
        }
    }
    snprintf(line, sizeof line, "%s: %zu bytes, made again in %d ways", name, len, n);
    say(c, true, line);
    return VB_OK;
}

/* One oracle file: our recording of the same prompts must lie within the bound that the file states. */
static int check_oracle(checker *c, const char *name, const char *path, vb_error *err) {
    cf_recording oracle = {0}, ours = {0};
    cf_comparison r;
    cf_bounds bounds = {0, 1e-6, 1e-3};
    char *other = NULL, line[512];
    int rc = cf_recording_open(&oracle, path, err);
    if (rc) return rc;
    if (!cf_parse_f64(text_of(oracle.head, "bound"), 1, &bounds.row))
        rc = vb_fail(err, VB_ERR_FORMAT, "%s: line 1: \"bound\" is not a float64", name);
    if (!rc && !(other = cf_path(c->p->dir, text_of(oracle.head, "recording"))))
        rc = vb_fail(err, VB_ERR_MEMORY, "out of memory for a file name");
    if (!rc) rc = cf_recording_open(&ours, other, err);
    if (!rc) rc = cf_compare(&oracle, &ours, CF_GIVEN, &bounds, &r, err);
    if (rc) goto cleanup;
    if (r.pass)
        snprintf(
            line, sizeof line,
            "%s: %zu arrays within %.2g of their largest value (worst %.2g), max KL %.2g, %zu greedy tokens",
            name, r.rows, bounds.row, r.worst_row, r.max_kl, r.steps);
    else
        snprintf(line, sizeof line,
                 "%s: %s at position %d, layer %d, element %d: %.9g, the oracle has %.9g (bound %.2g, worst "
                 "%.2g, max KL %.2g)",
                 name, r.first.what, r.first.position, r.first.layer, r.first.element, r.first.theirs,
                 r.first.ours, bounds.row, r.worst_row, r.max_kl);
    say(c, r.pass, line);
cleanup:
    free(other);
    cf_recording_close(&ours);
    cf_recording_close(&oracle);
    return rc;
}

static int check_entry(checker *c, const json_t *entry, vb_error *err) {
    const char *name = text_of(entry, "file"), *origin = text_of(entry, "origin");
    char *path = cf_path(c->p->dir, name), *text = NULL;
    size_t len = 0;
    int rc = path ? VB_OK : vb_fail(err, VB_ERR_MEMORY, "out of memory for a file name");
    if (!rc) rc = cf_read_file(path, &text, &len, err);
    if (!rc && !strcmp(origin, "contract") && strcmp(text_of(entry, "kind"), "weights") != 0)
        rc = check_contract(c, entry, text, len, err);
    if (!rc && !strcmp(origin, "oracle")) rc = check_oracle(c, name, path, err);
    free(text);
    free(path);
    return rc;
}

int cf_check(const cf_check_params *p, cf_check_result *result, vb_error *err) {
    checker c = {p, result};
    json_t *lines = NULL;
    memset(result, 0, sizeof *result);
    vb_error e = {0};
    int rc = cf_read_manifest(p->dir, &lines, &e);
    if (rc) {
        if (rc == VB_ERR_IO || rc == VB_ERR_MEMORY) return vb_fail(err, rc, "%s", e.message);
        say(&c, false, e.message);
        return VB_OK;
    }
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const json_t *entry = json_array_get(lines, i);
        memset(&e, 0, sizeof e);
        result->files++;
        result->bytes += (uint64_t)json_integer_value(json_object_get(entry, "bytes"));
        if (cf_verify_file(p->dir, entry, &e)) say(&c, false, e.message);
    }
    /* A damaged input would show up again in everything made from it. */
    for (size_t i = 0; i < json_array_size(lines) && !result->failed; i++) {
        memset(&e, 0, sizeof e);
        rc = check_entry(&c, json_array_get(lines, i), &e);
        if (rc == VB_ERR_CANCELLED) break;
        if (rc) {
            char line[1200];
            snprintf(line, sizeof line, "%s: %s", text_of(json_array_get(lines, i), "file"), e.message);
            say(&c, false, line);
        }
    }
    json_decref(lines);
    return rc == VB_ERR_CANCELLED ? vb_fail(err, rc, "interrupted") : VB_OK;
}
