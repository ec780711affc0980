/* spm.c - SentencePiece's BPE: merges driven by scores [Kudo and Richardson 1808.06226; sentencepiece
 * bpe_model.cc].
 *
 * A text starts as its characters. Of all adjacent pairs whose joined text is a vocabulary entry the one of
 * highest score is joined, the leftmost of several, until there is none. What is then still not an entry is
 * written as its bytes <0xHH>, or, where the vocabulary lacks one of them, as the unknown token: one for a
 * whole run of such characters. */
#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define END UINT32_MAX
static const char SPACE[3] = {'\xE2', '\x96', '\x81'}; /* U+2581, written for a space */

/* Ascending as the score descends. The score's bits as an unsigned number in the order
 * of floats, inverted. */
static uint32_t score_key(float score) {
    uint32_t u;
    memcpy(&u, &score, sizeof u);
    return u >> 31 ? u : ~(u | 0x80000000u);
}

/* Only these kinds are made by merging; control and byte entries never come from text. */
static int32_t piece(const vb_tokenizer *t, const char *s, size_t n) {
    if (n > t->longest) return -1;
    int32_t id = vb_text_find(t, s, n);
    if (id < 0) return -1;
    uint8_t k = t->kind[id];
    return k == VB_TOKEN_NORMAL || k == VB_TOKEN_USER || k == VB_TOKEN_UNUSED ? id : -1;
}

static int by_score(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Scores are the order in which merges were learned, so the entries that merging makes have scores of their
 * own. Some converters write one placeholder for all of them: then the leftmost pair is joined every time,
 * and a text becomes other tokens without a sign. Real vocabularies have ties too (LLaMA's 15 runs of spaces;
 * entries that were added to a trained vocabulary and all have the score 0, up to half of it), hence the
 * bound: at least a quarter as many different scores as such entries, and not one for all. */
int vb_spm_check_order(const vb_tokenizer *t, const vb_gguf *g, vb_error *err) {
    float *score = NULL;
    int32_t n = 0, different = 0;
    int rc = vb_alloc((void **)&score, (size_t)t->n, sizeof *score, "the vocabulary", err);
    if (rc) return rc;
    for (int32_t id = 0; id < t->n; id++) {
        const size_t first = vb_utf8_char((const unsigned char *)t->raw[id], t->raw_len[id], NULL);
        if (t->kind[id] == VB_TOKEN_NORMAL && t->raw_len[id] > (first ? first : 1)) score[n++] = t->score[id];
    }
    qsort(score, (size_t)n, sizeof *score, by_score);
    for (int32_t i = 0; i < n; i++) different += i == 0 || score[i] > score[i - 1];
    free(score);
    if (n < 2 || (different > 1 && different >= n / 4)) return VB_OK;
    return vb_fail(
        err, VB_ERR_FORMAT,
        "%s: tokenizer.ggml.scores: %d different scores for the %d entries that merging makes, which gives "
        "the merges no order: the converter wrote a placeholder, and text would become wrong tokens "
        "without a sign. Convert the model again, from its tokenizer.model",
        vb_gguf_path(g), (int)different, (int)n);
}

static uint32_t start_of(const vb_work *w, uint32_t i) {
    return w->prev[i] == END ? 0 : w->end[w->prev[i]];
}

/* made_of[i]: what the pair (i, next[i]) becomes, -1 if nothing. A heap entry counts while its score is that
 * of the pair that its position has now. */
static int set_pair(const vb_tokenizer *t, vb_work *w, const char *s, uint32_t i, vb_error *err) {
    w->made_of[i] = -1;
    if (w->next[i] == END) return VB_OK;
    uint32_t from = start_of(w, i);
    int32_t id = piece(t, s + from, w->end[w->next[i]] - from);
    if (id < 0) return VB_OK;
    w->made_of[i] = id;
    if (w->unused_left && t->kind[id] == VB_TOKEN_UNUSED) w->unused_left[id] = w->end[i] - from;
    return vb_heap_push(&w->heap, (vb_heap_item){(uint64_t)score_key(t->score[id]) << 32 | i, 0}, err);
}

/* A symbol that no merge touched and that is no entry. */
static int put_unknown(const vb_tokenizer *t, vb_work *w, const char *s, size_t n, vb_ids *out,
                       vb_error *err) {
    bool bytes = true;
    for (size_t i = 0; i < n; i++) bytes = bytes && t->byte_id[(uint8_t)s[i]] >= 0;
    int rc = VB_OK;
    if (bytes) {
        for (size_t i = 0; rc == VB_OK && i < n; i++) rc = vb_ids_push(out, t->byte_id[(uint8_t)s[i]], err);
        w->in_unknown = false;
        return rc;
    }
    if (!w->in_unknown) rc = vb_ids_push(out, t->unk, err); /* load.c saw to it that there is one */
    w->in_unknown = true;
    return rc;
}

/* Writes the symbol s[0..n). An unused entry is taken apart again, as it was put together. */
static int put_symbol(const vb_tokenizer *t, vb_work *w, const char *s, size_t n, vb_ids *out,
                      vb_error *err) {
    int rc = VB_OK;
    size_t depth = 0;
    for (;;) {
        int32_t id = piece(t, s, n);
        uint32_t left = id >= 0 && w->unused_left && t->kind[id] == VB_TOKEN_UNUSED ? w->unused_left[id] : 0;
        if (left > 0) {
            if ((rc =
                     vb_grow((void **)&w->later, &w->cap_later, depth + 1, sizeof *w->later, "symbols", err)))
                return rc;
            w->later[depth++] = (uint32_t)n - left; /* the right part waits */
            n = left;
            continue;
        }
        if (id >= 0) {
            w->in_unknown = false;
            rc = vb_ids_push(out, id, err);
        } else {
            rc = put_unknown(t, w, s, n, out, err);
        }
        if (rc || depth == 0) return rc;
        s += n;
        n = w->later[--depth];
    }
}

/* Merges s[0..n) and appends its ids. */
static int encode_chunk(const vb_tokenizer *t, vb_work *w, const char *s, size_t n, vb_ids *out,
                        vb_error *err) {
    int rc = VB_OK;
    if ((rc = vb_work_reserve(w, n, err))) return rc;
    uint32_t count = 0;
    for (size_t at = 0; at < n; count++) {
        size_t c = vb_utf8_char((const unsigned char *)s + at, n - at, NULL);
        at += c > 0 ? c : 1;
        w->end[count] = (uint32_t)at;
        w->prev[count] = count > 0 ? count - 1 : END;
        w->next[count] = at < n ? count + 1 : END;
    }
    w->heap.n = 0;
    for (uint32_t i = 0; i < count; i++)
        if ((rc = set_pair(t, w, s, i, err))) return rc;
    while (w->heap.n > 0) {
        uint64_t key = vb_heap_pop(&w->heap).key;
        uint32_t i = (uint32_t)key;
        if (w->made_of[i] < 0 || score_key(t->score[w->made_of[i]]) != key >> 32) continue;
        uint32_t r = w->next[i];
        w->end[i] = w->end[r];
        w->next[i] = w->next[r];
        if (w->next[r] != END) w->prev[w->next[r]] = i;
        w->made_of[r] = -1;
        if ((rc = set_pair(t, w, s, i, err))) return rc;
        if (w->prev[i] != END && (rc = set_pair(t, w, s, w->prev[i], err))) return rc;
    }
    for (uint32_t i = 0, from = 0; rc == VB_OK && i != END; i = w->next[i]) {
        rc = put_symbol(t, w, s + from, w->end[i] - from, out, err);
        from = w->end[i];
    }
    return rc;
}

/* text with U+2581 for every space, and one in front, into w->norm. */
static int normalise(vb_work *w, const char *text, size_t len, bool prefix, size_t *n, vb_error *err) {
    size_t spaces = prefix;
    for (size_t i = 0; i < len; i++) spaces += text[i] == ' ';
    int rc = vb_grow((void **)&w->norm, &w->norm_cap, len + 3 * spaces, 1, "text", err);
    if (rc) return rc;
    char *p = w->norm;
    if (prefix) memcpy(p, SPACE, sizeof SPACE), p += 3;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == ' ') {
            memcpy(p, SPACE, sizeof SPACE);
            p += 3;
        } else {
            *p++ = text[i];
        }
    }
    *n = (size_t)(p - w->norm);
    return VB_OK;
}

int vb_spm_encode(const vb_tokenizer *t, vb_work *w, const char *text, size_t len, bool prefix, vb_ids *out,
                  vb_error *err) {
    size_t n;
    int rc = normalise(w, text, len, prefix, &n, err);
    if (rc == VB_OK && t->has_unused && !w->unused_left)
        rc = vb_alloc((void **)&w->unused_left, (size_t)t->n, sizeof *w->unused_left, "unused entries", err);
    w->in_unknown = false;
    /* Where no entry has a space after something else, no merge crosses such a place: word by word is the
     * same. */
    for (size_t at = 0; rc == VB_OK && at < n;) {
        size_t end = n;
        if (t->words_stand_alone) {
            bool word = false; /* past the leading spaces */
            for (end = at; end < n; end++) {
                bool space = end + 3 <= n && memcmp(w->norm + end, SPACE, sizeof SPACE) == 0;
                if (space && word) break;
                if (space) end += 2;
                word = !space;
            }
        }
        rc = encode_chunk(t, w, w->norm + at, end - at, out, err);
        at = end;
    }
    return rc;
}
