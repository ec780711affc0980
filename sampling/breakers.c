/* breakers.c - which ids end a repeat (DRY): those whose text holds one of a few strings. */
#include "include/verbatim.h"

#include "base/base.h"

#include <stdlib.h>
#include <string.h>

static const char *const DEFAULTS[] = {"\n", ":", "\"", "*"};
enum { N_DEFAULTS = sizeof DEFAULTS / sizeof *DEFAULTS };

static bool holds(const char *text, size_t len, const char *part) {
    const size_t n = strlen(part);
    for (size_t i = 0; i + n <= len; i++)
        if (!memcmp(text + i, part, n)) return true;
    return false;
}

/* Marks the ids that hold the text; returns how many. */
static size_t mark(const vb_tokenizer *t, const char *part, uint8_t *marks) {
    size_t n = 0;
    for (int32_t id = 0; id < vb_tokenizer_size(t); id++) {
        size_t len = 0;
        const char *text = vb_token_text(t, id, true, &len);
        if (!text || !holds(text, len, part)) continue;
        marks[id] = 1;
        n++;
    }
    return n;
}

int vb_dry_breakers(const vb_tokenizer *t, const char *const *texts, size_t n_texts, int32_t **ids, size_t *n,
                    vb_error *err) {
    vb_begin(err);
    uint8_t *marks = NULL;
    int32_t *list = NULL;
    int rc;
    if (!t || !ids || !n) return vb_fail(err, VB_ERR_ARGUMENT, "vb_dry_breakers: an argument is NULL");
    const size_t size = (size_t)vb_tokenizer_size(t);
    const char *const *all = texts ? texts : DEFAULTS;
    if (!texts) n_texts = N_DEFAULTS;
    if ((rc = vb_alloc((void **)&marks, size, 1, "breakers", err)) ||
        (rc = vb_alloc((void **)&list, size, sizeof *list, "breakers", err)))
        goto cleanup;
    for (size_t i = 0; i < n_texts; i++) {
        if (all[i][0] && (mark(t, all[i], marks) || !texts)) continue;
        rc = vb_fail(err, VB_ERR_ARGUMENT,
                     "the sequence breaker \"%.64s\" is in the text of no single token: name one that is",
                     all[i]);
        goto cleanup;
    }
    *n = 0;
    for (size_t id = 0; id < size; id++)
        if (marks[id]) list[(*n)++] = (int32_t)id;
    *ids = list;
    list = NULL;
cleanup:
    free(marks);
    free(list);
    return rc;
}
