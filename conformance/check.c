/* check.c - every vector made again, under every way to make it. */
#include "conformance/recording.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct checker {
    const cf_check_params *p;
    cf_check_result *r;
    const json_t *entry; /* that is being looked at; NULL: none */
    int at;
} checker;

static const char *text_of(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void say(const checker *c, bool ok, const char *text) {
    const cf_case found = {c->at, c->entry ? text_of(c->entry, "file") : CF_MANIFEST,
                           c->entry ? text_of(c->entry, "kind") : "manifest", ok, text};
    if (!ok) c->r->failed++;
    if (c->p->say) c->p->say(c->p->user, &found);
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

static int remake(const checker *c, const char *name, const char *text, size_t len, const cf_config *config,
                  bool *same, vb_error *err) {
    vb_buf made = {0};
    char line[640], where[256];
    int rc = cf_remake(&made, c->p->dir, name, text, len, config, err);
    c->r->configurations++;
    c->r->remade += made.n;
    *same = !rc && made.n == len && !memcmp(made.s, text, len);
    if (!rc && !*same) {
        describe(text, len, made.s, made.n, where, sizeof where);
        snprintf(line, sizeof line, "%s: kernels %s, %d threads, batch %d: other bytes: %s", name,
                 config->kernels ? config->kernels : "auto", config->threads, config->batch, where);
        say(c, false, line);
    }
    vb_buf_free(&made);
    return rc;
}

/* One contract file under every configuration that matters to its kind. */
static int check_contract(const checker *c, const json_t *entry, const char *text, size_t len,
                          vb_error *err) {
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
                    return vb_fail(err, VB_ERR_CANCELLED, "cancelled");
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

/* Our own recording of an oracle's prompts, where none is shipped: the model's architecture was not built
 * when the oracle's was made. VB_ERR_UNSUPPORTED: it still is not. */
static int own_recording(const checker *c, const cf_recording *oracle, cf_recording *out, vb_error *err) {
    static const cf_config best = {NULL, 1, 0};
    vb_buf text = {0};
    cf_prompt *prompts = NULL;
    int rc = vb_alloc((void **)&prompts, oracle->n_prompts + 1, sizeof *prompts, "prompts", err);
    for (size_t i = 0; i < oracle->n_prompts && !rc; i++)
        prompts[i] = (cf_prompt){oracle->prompts[i].id, oracle->prompts[i].n};
    const cf_model_spec spec = {.dir = c->p->dir,
                                .model = text_of(oracle->head, "model"),
                                .command = "verbatim check",
                                .activations = VB_ACT_Q16,
                                .kv = VB_F32,
                                .full = true,
                                .generate =
                                    (int)json_integer_value(json_object_get(oracle->head, "generate")),
                                .prompts = prompts,
                                .n_prompts = oracle->n_prompts};
    if (!rc) rc = cf_make_model(&text, &spec, &best, err);
    if (!rc) rc = cf_recording_read(out, "our recording", text.s, text.n, err);
    vb_buf_free(&text);
    free(prompts);
    return rc;
}

/* One oracle file: our recording of the same prompts must lie within the bound that the file states. */
static int check_oracle(const checker *c, const char *name, const char *path, vb_error *err) {
    cf_recording oracle = {0}, ours = {0};
    cf_comparison r;
    cf_bounds bounds = {0, 1e-6, 1e-3, 0.02};
    char *other = NULL, line[1400];
    int rc = cf_recording_open(&oracle, path, err);
    if (rc) return rc;
    const char *recording = text_of(oracle.head, "recording");
    if (!cf_parse_f64(text_of(oracle.head, "bound"), 1, &bounds.row) || !isfinite(bounds.row))
        rc = vb_fail(err, VB_ERR_FORMAT, "%s: line 1: \"bound\" is not a float64, or not finite", name);
    if (!rc && !*recording) {
        vb_error refusal = {0};
        rc = own_recording(c, &oracle, &ours, &refusal);
        if (rc == VB_ERR_UNSUPPORTED) {
            snprintf(line, sizeof line, "%s: for other engines; this build refuses the model: %s", name,
                     refusal.message);
            say(c, true, line);
            rc = VB_OK;
            goto cleanup;
        }
        if (rc) rc = vb_fail(err, rc, "%s", refusal.message);
    } else if (!rc) {
        other = cf_path(c->p->dir, recording);
        rc = other ? cf_recording_open(&ours, other, err)
                   : vb_fail(err, VB_ERR_MEMORY, "out of memory for a file name");
    }
    if (!rc) rc = cf_compare(&oracle, &ours, CF_GIVEN, &bounds, NULL, &r, err);
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

static int check_entry(const checker *c, vb_error *err) {
    const json_t *entry = c->entry;
    const char *name = text_of(entry, "file"), *origin = text_of(entry, "origin"),
               *kind = text_of(entry, "kind");
    const bool made = strcmp(kind, "weights") != 0 && strcmp(kind, "file") != 0;
    if (!made) return VB_OK; /* its hash is what there is to check */
    char *path = cf_path(c->p->dir, name), *text = NULL;
    size_t len = 0;
    int rc = path ? VB_OK : vb_fail(err, VB_ERR_MEMORY, "out of memory for a file name");
    if (!rc) rc = cf_read_file(path, &text, &len, err);
    if (!rc && !strcmp(origin, "contract")) rc = check_contract(c, entry, text, len, err);
    if (!rc && !strcmp(origin, "oracle")) rc = check_oracle(c, name, path, err);
    free(text);
    free(path);
    return rc;
}

static bool mine(const cf_check_params *p, size_t i) {
    return p->shards < 1 || (int)(i % (size_t)p->shards) == p->shard;
}

int cf_check(const cf_check_params *p, cf_check_result *result, vb_error *err) {
    checker c = {p, result, NULL, -1};
    json_t *lines = NULL;
    memset(result, 0, sizeof *result);
    vb_error e = {0};
    int rc = cf_read_manifest(p->dir, &lines, result->manifest, &e);
    if (rc) {
        if (rc == VB_ERR_IO || rc == VB_ERR_MEMORY) return vb_fail(err, rc, "%s", e.message);
        say(&c, false, e.message);
        return VB_OK;
    }
    const size_t n = json_array_size(lines);
    for (size_t i = 0; i < n; i++) {
        c.entry = json_array_get(lines, i);
        c.at = (int)i;
        memset(&e, 0, sizeof e);
        if (mine(p, i)) {
            result->files++;
            result->bytes += (uint64_t)json_integer_value(json_object_get(c.entry, "bytes"));
        }
        if (cf_verify_file(p->dir, c.entry, &e)) say(&c, false, e.message);
    }
    /* A damaged input would show up again in everything made from it. */
    const bool damaged = result->failed > 0;
    for (size_t i = 0; i < n && !damaged; i++) {
        if (!mine(p, i)) continue;
        c.entry = json_array_get(lines, i);
        c.at = (int)i;
        memset(&e, 0, sizeof e);
        rc = check_entry(&c, &e);
        if (rc == VB_ERR_CANCELLED) break;
        if (rc) {
            char line[1200];
            snprintf(line, sizeof line, "%s: %s", text_of(c.entry, "file"), e.message);
            say(&c, false, line);
        }
    }
    json_decref(lines);
    return rc == VB_ERR_CANCELLED ? vb_fail(err, rc, "cancelled") : VB_OK;
}
