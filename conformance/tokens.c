/* tokens.c - level 1: the ids of a set of texts (docs/vectors.md). */
#include "conformance/inputs.h"

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

static int one_text(vb_buf *out, const vb_tokenizer *t, const char *bytes, size_t n, vb_error *err) {
    int32_t *ids = NULL;
    size_t n_ids;
    int rc = vb_tokenize(t, bytes, n, VB_TOKENIZE_PARSE_SPECIAL, &ids, &n_ids, err);
    if (rc) return rc;
    vb_buf_addf(out, "{\"bytes\":\"");
    cf_add_bytes(out, (const uint8_t *)bytes, n);
    vb_buf_addf(out, "\",\"special\":[");
    cf_add_ids(out, ids, n_ids);
    vb_free(ids);
    ids = NULL;
    if ((rc = vb_tokenize(t, bytes, n, 0, &ids, &n_ids, err))) return rc;
    vb_buf_addf(out, "],\"plain\":[");
    cf_add_ids(out, ids, n_ids);
    vb_free(ids);
    vb_buf_addf(out, "]}\n");
    return VB_OK;
}

/* One line of the texts. *bytes is allocated; *head: it is the head of the file, and has no text. */
static int read_text(const char *at, size_t len, const char *path, int number, bool *head, char **bytes,
                     size_t *n, vb_error *err) {
    json_error_t je;
    json_t *line = vb_json_read(at, len, JSON_ALLOW_NUL, &je);
    if (!line) return vb_fail(err, VB_ERR_FORMAT, "%s: line %d: %s", path, number, je.text);
    *head = json_object_get(line, "texts") != NULL;
    const int rc = *head ? VB_OK : text_of(line, bytes, n, path, number, err);
    json_decref(line);
    return rc;
}

/* The texts numbered from..to - 1; *count: how many there are. out NULL: they are counted only. */
static int texts_of(vb_buf *out, const vb_tokenizer *t, const char *file, const char *path, size_t from,
                    size_t to, size_t *count, vb_error *err) {
    int number = 0, rc = VB_OK;
    *count = 0;
    for (const char *at = file, *next; *at && !rc; at = next) {
        const size_t len = strcspn(at, "\n");
        char *bytes = NULL;
        size_t n = 0;
        bool head = false;
        next = at + len + (at[len] == '\n');
        number++;
        rc = read_text(at, len, path, number, &head, &bytes, &n, err);
        if (!rc && !head) {
            if (out && *count >= from && *count < to) rc = one_text(out, t, bytes, n, err);
            (*count)++;
        }
        free(bytes);
    }
    return rc;
}

static void add_tokens_header(vb_buf *out, const vb_tokenizer *t, const char *model, const char *texts) {
    json_t *h = cf_header("tokens", "verbatim record --tokens-of MODEL --texts TEXTS --out DIR");
    json_object_set_new(h, "model", json_string(model));
    json_object_set_new(h, "texts", json_string(texts));
    json_object_set_new(h, "tokenizer", json_string(vb_tokenizer_model(t)));
    json_object_set_new(h, "pre", json_string(vb_tokenizer_pre(t)));
    if (vb_tokenizer_pre_overridden(t)) json_object_set_new(h, "pre_overridden", json_true());
    json_object_set_new(h, "n_vocab", json_integer(vb_tokenizer_size(t)));
    cf_add_json(out, h);
}

int cf_make_tokens(vb_buf *out, const char *dir, const char *model, const char *pre, const char *texts,
                   cf_part part, vb_error *err) {
    const vb_tokenizer_params tp = {.pre = pre};
    char *model_path = cf_path(dir, model), *texts_path = cf_path(dir, texts), *file = NULL;
    vb_gguf *g = NULL;
    vb_tokenizer *t = NULL;
    size_t n = 0, count = 0, from, to;
    bool last;
    int rc = model_path && texts_path ? VB_OK : vb_fail(err, VB_ERR_MEMORY, "out of memory for a file name");
    if (!rc) rc = cf_read_file(texts_path, &file, &n, err);
    if (!rc) rc = vb_gguf_open(&g, model_path, err);
    if (!rc) rc = vb_tokenizer_open_with(&t, g, &tp, err);
    if (!rc) rc = texts_of(NULL, t, file, texts_path, 0, 0, &count, err);
    if (!rc) rc = cf_part_range(part, count, "texts", &from, &to, &last, err);
    if (rc) goto cleanup;
    if (from == 0) add_tokens_header(out, t, model, texts);
    if ((rc = texts_of(out, t, file, texts_path, from, to, &count, err))) goto cleanup;
    if (last) cf_add_end_of(out, count + 1);
    rc = vb_buf_done(out, "a vector file", err);
cleanup:
    free(file);
    vb_tokenizer_close(t);
    vb_gguf_close(g);
    free(model_path);
    free(texts_path);
    return rc;
}
