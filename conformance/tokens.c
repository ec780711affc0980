/* tokens.c - level 1: the ids of a set of texts (docs/vectors.md). */
#include "inputs.h"

#include <stdlib.h>
#include <string.h>

/* The bytes of a text line: "text", or "hex" where they are not UTF-8. *bytes is allocated. */
static int text_of(const json_t *line, char **bytes, size_t *n, const char *path, int number, vb_error *err) {
    const char *hex = json_string_value(json_object_get(line, "hex"));
    const json_t *text = json_object_get(line, "text");
    if (json_is_string(text)) {
        *n = json_string_length(text);
        int rc = vb_alloc((void **)bytes, *n + 1, 1, "a text", err);
        if (!rc) memcpy(*bytes, json_string_value(text), *n);
        return rc;
    }
    if (!hex || strlen(hex) % 2 || strspn(hex, "0123456789abcdef") != strlen(hex))
        return vb_fail(err, VB_ERR_FORMAT, "%s: line %d has neither \"text\" nor \"hex\"", path, number);
    int rc = vb_alloc((void **)bytes, strlen(hex) / 2 + 1, 1, "a text", err);
    if (rc) return rc;
    *n = strlen(hex) / 2;
    for (size_t i = 0; i < *n; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        (*bytes)[i] = (char)strtoul(pair, NULL, 16);
    }
    return VB_OK;
}

static int one_text(cf_text *out, const vb_tokenizer *t, const char *bytes, size_t n, vb_error *err) {
    int32_t *ids = NULL;
    size_t n_ids;
    int rc = vb_tokenize(t, bytes, n, VB_TOKENIZE_PARSE_SPECIAL, &ids, &n_ids, err);
    if (rc) return rc;
    cf_addf(out, "{\"bytes\":\"");
    cf_add_bytes(out, (const uint8_t *)bytes, n);
    cf_addf(out, "\",\"special\":[");
    cf_add_ids(out, ids, n_ids);
    vb_free(ids);
    ids = NULL;
    if ((rc = vb_tokenize(t, bytes, n, 0, &ids, &n_ids, err))) return rc;
    cf_addf(out, "],\"plain\":[");
    cf_add_ids(out, ids, n_ids);
    vb_free(ids);
    cf_addf(out, "]}\n");
    return VB_OK;
}

int cf_make_tokens(cf_text *out, const char *dir, const char *model, const char *texts, vb_error *err) {
    char *model_path = cf_path(dir, model), *texts_path = cf_path(dir, texts), *file = NULL, *bytes = NULL;
    vb_gguf *g = NULL;
    vb_tokenizer *t = NULL;
    json_t *line = NULL;
    size_t n = 0;
    int rc = model_path && texts_path ? VB_OK : vb_fail(err, VB_ERR_MEMORY, "out of memory for a file name");
    if (!rc) rc = cf_read_file(texts_path, &file, &n, err);
    if (!rc) rc = vb_gguf_open(&g, model_path, err);
    if (!rc) rc = vb_tokenizer_open(&t, g, err);
    if (rc) goto cleanup;
    json_t *h = cf_header("tokens", "verbatim record --tokens-of MODEL --texts TEXTS --out DIR");
    json_object_set_new(h, "model", json_string(model));
    json_object_set_new(h, "texts", json_string(texts));
    json_object_set_new(h, "tokenizer", json_string(vb_tokenizer_model(t)));
    json_object_set_new(h, "pre", json_string(vb_tokenizer_pre(t)));
    json_object_set_new(h, "n_vocab", json_integer(vb_tokenizer_size(t)));
    cf_add_json(out, h);
    int number = 0;
    for (char *at = file, *next; *at && !rc; at = next) {
        json_error_t je;
        size_t len = strcspn(at, "\n");
        next = at + len + (at[len] == '\n');
        number++;
        size_t n_bytes = 0;
        line = json_loadb(at, len, JSON_ALLOW_NUL, &je);
        if (!line) rc = vb_fail(err, VB_ERR_FORMAT, "%s: line %d: %s", texts_path, number, je.text);
        if (!rc && json_object_get(line, "texts")) { /* the head of the file */
            json_decref(line);
            line = NULL;
            continue;
        }
        if (!rc) rc = text_of(line, &bytes, &n_bytes, texts_path, number, err);
        if (!rc) rc = one_text(out, t, bytes, n_bytes, err);
        free(bytes);
        bytes = NULL;
        json_decref(line);
        line = NULL;
    }
    if (!rc) {
        cf_add_end(out);
        rc = cf_text_done(out, err);
    }
cleanup:
    json_decref(line);
    free(bytes);
    free(file);
    vb_tokenizer_close(t);
    vb_gguf_close(g);
    free(model_path);
    free(texts_path);
    return rc;
}
