/* remake.c - makes a vector file again from its own first lines. */
#include "conformance/conformance.h"

#include <stdlib.h>
#include <string.h>

/* Line number `number` (from 0) of a text, parsed. */
static json_t *line_of(const char *text, size_t len, int number) {
    const char *at = text, *end = text + len;
    for (int i = 0; i < number && at; i++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (at) at++;
    }
    if (!at || at >= end) return NULL;
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    return vb_json_read(at, (size_t)((stop ? stop : end) - at), JSON_ALLOW_NUL, NULL);
}

static const char *text_of(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* The pre-tokenizer that was named when the file was made; NULL: the model's own. */
static const char *pre_of(const json_t *head) {
    return json_is_true(json_object_get(head, "pre_overridden")) ? text_of(head, "pre") : NULL;
}

static int read_ids(const json_t *array, int32_t **ids, size_t *n, vb_error *err) {
    *n = json_array_size(array);
    int rc = vb_alloc((void **)ids, *n + 1, sizeof **ids, "token ids", err);
    for (size_t i = 0; i < *n && !rc; i++) (*ids)[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return rc;
}

/* The token ids of every {"prompt":...} line. */
static int read_prompts(const char *text, size_t len, cf_prompt *prompts, size_t n, vb_error *err) {
    size_t found = 0;
    const char *at = text, *end = text + len;
    while (at < end && found < n) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        if ((size_t)(stop - at) > 10 && !memcmp(at, "{\"prompt\":", 10)) {
            json_t *line = vb_json_read(at, (size_t)(stop - at), JSON_ALLOW_NUL, NULL);
            int rc =
                read_ids(json_object_get(line, "tokens"), &prompts[found].tokens, &prompts[found].n, err);
            json_decref(line);
            if (rc) return rc;
            found++;
        }
        at = stop + 1;
    }
    return found == n ? VB_OK : vb_fail(err, VB_ERR_FORMAT, "%zu of %zu prompts are there", found, n);
}

static int remake_model(vb_buf *out, const char *dir, const json_t *head, const char *text, size_t len,
                        const cf_config *config, vb_error *err) {
    const json_t *seeds = json_object_get(head, "seeds");
    const json_int_t n = json_integer_value(json_object_get(head, "prompts"));
    cf_prompt *prompts = NULL;
    uint64_t *values = NULL;
    int rc = n >= 1 && n <= 4096 ? VB_OK : vb_fail(err, VB_ERR_FORMAT, "line 1: prompts must be 1 to 4096");
    if (!rc) rc = vb_alloc((void **)&prompts, (size_t)n, sizeof *prompts, "prompts", err);
    if (!rc) rc = vb_alloc((void **)&values, json_array_size(seeds) + 1, sizeof *values, "seeds", err);
    if (!rc) rc = read_prompts(text, len, prompts, (size_t)n, err);
    if (rc) goto cleanup;
    for (size_t i = 0; i < json_array_size(seeds); i++) {
        const char *s = json_string_value(json_array_get(seeds, i));
        values[i] = s ? strtoull(s, NULL, 10) : 0;
    }
    const cf_model_spec spec = {.dir = dir,
                                .model = text_of(head, "model"),
                                .command = text_of(head, "command"),
                                .activations =
                                    !strcmp(text_of(head, "activations"), "q16") ? VB_ACT_Q16 : VB_ACT_Q8,
                                .kv = !strcmp(text_of(head, "kv"), "f32") ? VB_F32 : VB_F16,
                                .full = json_is_true(json_object_get(head, "full")),
                                .generate = (int)json_integer_value(json_object_get(head, "generate")),
                                .seeds = values,
                                .n_seeds = json_array_size(seeds),
                                .prompts = prompts,
                                .n_prompts = (size_t)n};
    rc = cf_make_model(out, &spec, config, err);
cleanup:
    for (json_int_t i = 0; prompts && i < n; i++) free(prompts[i].tokens);
    free(prompts);
    free(values);
    return rc;
}

static int remake_trace(vb_buf *out, const char *dir, const json_t *head, const char *text, size_t len,
                        const cf_config *config, vb_error *err) {
    json_t *prompt = line_of(text, len, 1), *last = NULL;
    int32_t *ids = NULL;
    size_t n = 0, at = len;
    while (at > 1 && text[at - 2] != '\n') at--;
    last = at > 1 ? vb_json_read(text + at - 1, len - at + 1, JSON_ALLOW_NUL, NULL) : NULL;
    int rc = read_ids(json_object_get(prompt, "tokens"), &ids, &n, err);
    cf_trace_spec s = {.dir = dir,
                       .target = text_of(head, "target"),
                       .draft = json_string_value(json_object_get(head, "draft_model")),
                       .pre = pre_of(head),
                       .gamma = (int)json_integer_value(json_object_get(head, "gamma")),
                       .seed = strtoull(text_of(head, "seed"), NULL, 10),
                       .tokens = ids,
                       .n = n};
    const char *temperature = text_of(json_object_get(head, "sampling"), "temperature_bits");
    if (!rc && !cf_parse_f64(temperature, 1, &s.temperature))
        rc = vb_fail(err, VB_ERR_FORMAT, "line 1: sampling.temperature_bits is not 16 hex digits");
    for (int a = VB_ACCEPT_COUPLED; a <= VB_ACCEPT_BLOCK; a++)
        if (!strcmp(text_of(head, "accept"), vb_accept_name((vb_accept)a))) s.accept = (vb_accept)a;
    s.end = (size_t)json_integer_value(json_object_get(last, "end"));
    if (!rc && (n < 1 || s.end <= n))
        rc = vb_fail(err, VB_ERR_FORMAT, "the trace has no prompt, or no end after it");
    if (!rc) rc = cf_make_trace(out, &s, config, err);
    free(ids);
    json_decref(last);
    json_decref(prompt);
    return rc;
}

int cf_remake(vb_buf *out, const char *dir, const char *name, const char *text, size_t len,
              const cf_config *config, vb_error *err) {
    json_t *head = line_of(text, len, 0);
    const char *kind = text_of(head, "kind");
    int rc;
    if (json_object_get(head, "trace"))
        rc = remake_trace(out, dir, head, text, len, config, err);
    else if (!strcmp(kind, "blocks"))
        rc = cf_make_blocks(out, err);
    else if (!strcmp(kind, "dots"))
        rc = cf_make_dots(out, config, err);
    else if (!strcmp(kind, "tokens"))
        rc = cf_make_tokens(out, dir, text_of(head, "model"), pre_of(head), text_of(head, "texts"),
                            (cf_part){0, 0}, err);
    else if (!strcmp(kind, "model"))
        rc = remake_model(out, dir, head, text, len, config, err);
    else
        rc = vb_fail(err, VB_ERR_FORMAT, "%s: line 1: kind \"%.32s\" is not known", name, kind);
    json_decref(head);
    return rc;
}
