/* corpus.c - texts that drafts are copied from: read once, indexed once, never changed. */
#include "sampling/corpus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int vb_corpus_open(vb_corpus **out, const int32_t *tokens, size_t n, vb_error *err) {
    vb_begin(err);
    vb_corpus *c = NULL;
    int rc;
    if (!out || (n && !tokens)) return vb_fail(err, VB_ERR_ARGUMENT, "vb_corpus_open: an argument is NULL");
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < -1)
            return vb_fail(err, VB_ERR_ARGUMENT,
                           "token %zu of the corpus: id %d is none (-1 separates texts)", i, (int)tokens[i]);
    if ((rc = vb_alloc((void **)&c, 1, sizeof *c, "a corpus", err))) return rc;
    if ((rc = vb_suffix_open(&c->index, n, err)) ||
        (rc = vb_alloc((void **)&c->text, n ? n : 1, sizeof *c->text, "a corpus", err))) {
        vb_corpus_close(c);
        return rc;
    }
    for (; c->n < n && vb_suffix_add(c->index, tokens[c->n]); c->n++) c->text[c->n] = tokens[c->n];
    *out = c;
    return VB_OK;
}

void vb_corpus_close(vb_corpus *c) {
    if (!c) return;
    vb_suffix_close(c->index);
    free(c->text);
    free(c);
}

size_t vb_corpus_tokens(const vb_corpus *c) {
    return c->n;
}

uint64_t vb_corpus_hash(const vb_corpus *c) {
    uint8_t bytes[4096];
    uint64_t h = c->n;
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        for (int k = 0; k < 4; k++) bytes[n++] = (uint8_t)((uint32_t)c->text[i] >> 8 * k);
        if (n < sizeof bytes && i + 1 < c->n) continue;
        h = XXH3_64bits_withSeed(bytes, n, h);
        n = 0;
    }
    return h;
}

/* ---------------------------------------------------------------------- from files */

/* A file as bytes (vb_free). */
static int read_file(const char *path, char **out, size_t *n, vb_error *err) {
    FILE *f = fopen(path, "rb");
    char *bytes = NULL;
    long size = -1;
    int rc = VB_OK;
    if (f && fseek(f, 0, SEEK_END) == 0) size = ftell(f);
    if (size < 0 || fseek(f, 0, SEEK_SET) != 0) {
        rc = vb_fail(err, VB_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    } else if (!(rc = vb_alloc((void **)&bytes, (size_t)size + 1, 1, path, err)) &&
               fread(bytes, 1, (size_t)size, f) != (size_t)size) {
        rc = vb_fail(err, VB_ERR_IO, "%s: ends early", path);
    }
    if (f) fclose(f);
    if (rc) {
        free(bytes);
        return rc;
    }
    *out = bytes;
    *n = (size_t)size;
    return VB_OK;
}

/* The ids of one file, behind the n that are there, and a separator. */
static int append(int32_t **all, size_t *n, const vb_tokenizer *t, const char *path, vb_error *err) {
    char *text = NULL;
    int32_t *ids = NULL, *more;
    size_t len, m = 0;
    int rc = read_file(path, &text, &len, err);
    if (!rc) rc = vb_tokenize(t, text, len, 0, &ids, &m, err);
    if (rc) goto cleanup;
    more = realloc(*all, (*n + m + 1) * sizeof *more);
    if (!more) {
        rc = vb_fail(err, VB_ERR_MEMORY, "%s: out of memory for %zu tokens", path, *n + m);
        goto cleanup;
    }
    if (m) memcpy(more + *n, ids, m * sizeof *more);
    more[*n + m] = -1;
    *all = more;
    *n += m + 1;
cleanup:
    free(text);
    vb_free(ids);
    return rc;
}

int vb_corpus_read(vb_corpus **out, const vb_tokenizer *t, const char *const *paths, size_t n_paths,
                   vb_error *err) {
    vb_begin(err);
    int32_t *tokens = NULL;
    size_t n = 0;
    int rc = VB_OK;
    if (!out || !t || (n_paths && !paths))
        return vb_fail(err, VB_ERR_ARGUMENT, "vb_corpus_read: an argument is NULL");
    for (size_t i = 0; i < n_paths && !rc; i++) rc = append(&tokens, &n, t, paths[i], err);
    if (!rc) rc = vb_corpus_open(out, tokens, n, err);
    free(tokens);
    return rc;
}

/* ---------------------------------------------------------------------- the ids that occur */

typedef struct counted {
    int32_t id;
    uint64_t n;
} counted;

static int by_count(const void *a, const void *b) {
    const counted *x = a, *y = b;
    if (x->n != y->n) return x->n > y->n ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}
static int by_id(const void *a, const void *b) {
    const int32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

int vb_vocab_frequent(const vb_tokenizer *t, const char *const *paths, size_t n_paths, size_t n,
                      int32_t **ids, vb_error *err) {
    vb_begin(err);
    if (!t || !ids || (n_paths && !paths))
        return vb_fail(err, VB_ERR_ARGUMENT, "vb_vocab_frequent: an argument is NULL");
    const size_t size = (size_t)vb_tokenizer_size(t);
    if (n < 1 || n > size)
        return vb_fail(err, VB_ERR_ARGUMENT, "%zu ids of a vocabulary of %zu: must be from 1 to that", n,
                       size);
    int32_t *tokens = NULL, *list = NULL;
    counted *all = NULL;
    size_t n_tokens = 0, n_stop = 0;
    int rc = VB_OK;
    for (size_t i = 0; i < n_paths && !rc; i++) rc = append(&tokens, &n_tokens, t, paths[i], err);
    if (rc || (rc = vb_alloc((void **)&all, size, sizeof *all, "counts of ids", err)) ||
        (rc = vb_alloc((void **)&list, n, sizeof *list, "the ids of a trimmed output matrix", err)))
        goto cleanup;
    for (size_t i = 0; i < size; i++) all[i].id = (int32_t)i;
    for (size_t i = 0; i < n_tokens; i++)
        if (tokens[i] >= 0) all[tokens[i]].n++;
    const int32_t *stop = vb_stop_ids(t, &n_stop);
    for (size_t i = 0; i < n_stop; i++) all[stop[i]].n = UINT64_MAX;
    qsort(all, size, sizeof *all, by_count);
    for (size_t i = 0; i < n; i++) list[i] = all[i].id;
    qsort(list, n, sizeof *list, by_id);
    *ids = list;
    list = NULL;
cleanup:
    free(tokens);
    free(all);
    free(list);
    return rc;
}
