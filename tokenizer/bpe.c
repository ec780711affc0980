/* bpe.c - byte-level byte pair encoding.
 *
 * A word starts as its bytes, one token each. The adjacent pair of lowest rank (place in
 * tokenizer.ggml.merges) becomes one token, the leftmost such pair first, until no adjacent pair has a rank
 * [Sennrich et al. 1508.07909; GPT-2]. Short words: a scan per merge. Long ones: a heap of (rank, position),
 * O(n log n) for any text. */
#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT = 32 };
#define END UINT32_MAX

/* The GPT-2 byte alphabet: the printable Latin-1 characters stand for themselves, the other 68 bytes in
 * ascending order for U+0100, U+0101, ... [openai/gpt-2 encoder.py] */
static bool is_itself(uint32_t b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
}

uint32_t vb_char_of_byte(uint8_t byte) {
    if (is_itself(byte)) return byte;
    uint32_t c = 256;
    for (uint32_t b = 0; b < byte; b++) c += !is_itself(b);
    return c;
}

int vb_byte_of_char(uint32_t cp) {
    if (cp < 256) return is_itself(cp) ? (int)cp : -1;
    if (cp <= 256 + 32) return (int)(cp - 256);            /* 0..32 */
    if (cp <= 256 + 66) return (int)(cp - 256 - 33 + 127); /* 127..160 */
    return cp == 256 + 67 ? 173 : -1;
}

int vb_work_reserve(vb_work *w, size_t symbols, vb_error *err) {
    if (symbols <= w->cap) return VB_OK;
    size_t to = w->cap ? w->cap : 256;
    while (to < symbols) to *= 2;
    uint32_t **u[] = {&w->next, &w->prev, &w->end};
    int32_t **i[] = {&w->id, &w->rank, &w->made_of};
    for (size_t k = 0; k < 3; k++) {
        size_t none = 0;
        int rc = vb_grow((void **)u[k], &none, to, sizeof(uint32_t), "symbols", err);
        none = 0;
        if (rc == VB_OK) rc = vb_grow((void **)i[k], &none, to, sizeof(int32_t), "symbols", err);
        if (rc) return rc;
    }
    w->cap = to;
    return VB_OK;
}

void vb_work_free(vb_work *w) {
    free(w->heap.v);
    free(w->next);
    free(w->prev);
    free(w->end);
    free(w->id);
    free(w->rank);
    free(w->made_of);
    free(w->unused_left);
    free(w->later);
    free(w->norm);
    vb_splitter_close(w->splitter);
}

/* The vocabulary has no token for this byte: the unknown token, else what it has for U+FFFD. */
static int put_unknown_byte(const vb_tokenizer *t, uint8_t byte, vb_ids *out, vb_error *err) {
    if (t->unk >= 0) return vb_ids_push(out, t->unk, err);
    if (t->n_replacement == 0)
        return vb_fail(
            err, VB_ERR_UNSUPPORTED,
            "the vocabulary cannot express the byte 0x%02X: it has no token for it, no unknown token and no "
            "way to write U+FFFD; leave the byte out of the text",
            byte);
    for (int i = 0; i < t->n_replacement; i++) {
        int rc = vb_ids_push(out, t->replacement[i], err);
        if (rc) return rc;
    }
    return VB_OK;
}

static int put_symbol(const vb_tokenizer *t, int32_t id, uint8_t byte, vb_ids *out, vb_error *err) {
    return id >= 0 ? vb_ids_push(out, id, err) : put_unknown_byte(t, byte, out, err);
}

static int32_t rank_of(const vb_tokenizer *t, int32_t left, int32_t right, int32_t *made) {
    const vb_merge_slot *m = left < 0 || right < 0 ? NULL : vb_merge_find(t, left, right);
    if (m) *made = m->id;
    return m ? m->rank : INT32_MAX;
}

static int short_word(const vb_tokenizer *t, const uint8_t *s, size_t n, vb_ids *out, vb_error *err) {
    int32_t id[SHORT], rank[SHORT], made[SHORT];
    uint8_t first[SHORT]; /* first byte of each symbol, for messages about bytes without a token */
    for (size_t i = 0; i < n; i++) id[i] = t->byte_id[s[i]], first[i] = s[i];
    for (size_t i = 0; i + 1 < n; i++) rank[i] = rank_of(t, id[i], id[i + 1], &made[i]);
    for (;;) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (n < 2 || rank[best] == INT32_MAX) break;
        id[best] = made[best];
        size_t tail = --n - best - 1; /* symbols right of the new one */
        memmove(id + best + 1, id + best + 2, tail * sizeof *id);
        memmove(first + best + 1, first + best + 2, tail);
        if (tail > 0) {
            memmove(rank + best + 1, rank + best + 2, (tail - 1) * sizeof *rank);
            memmove(made + best + 1, made + best + 2, (tail - 1) * sizeof *made);
            rank[best] = rank_of(t, id[best], id[best + 1], &made[best]);
        }
        if (best > 0) rank[best - 1] = rank_of(t, id[best - 1], id[best], &made[best - 1]);
    }
    int rc = VB_OK;
    for (size_t i = 0; rc == VB_OK && i < n; i++) rc = put_symbol(t, id[i], first[i], out, err);
    return rc;
}

/* rank[i] belongs to the pair (i, next[i]): INT32_MAX if it has none or i is gone. A heap entry counts only
 * while it names the rank that its position has now; ranks are unique per pair, so that is the same pair. */
static int set_pair(const vb_tokenizer *t, vb_work *w, uint32_t i, vb_error *err) {
    w->rank[i] = w->next[i] == END ? INT32_MAX : rank_of(t, w->id[i], w->id[w->next[i]], &w->made_of[i]);
    if (w->rank[i] == INT32_MAX) return VB_OK;
    return vb_heap_push(&w->heap, (vb_heap_item){(uint64_t)(uint32_t)w->rank[i] << 32 | i, 0}, err);
}

static int long_word(const vb_tokenizer *t, vb_work *w, const uint8_t *s, size_t n, vb_ids *out,
                     vb_error *err) {
    int rc = vb_work_reserve(w, n, err);
    if (rc) return rc;
    w->heap.n = 0;
    for (uint32_t i = 0; i < n; i++) {
        w->id[i] = t->byte_id[s[i]];
        w->next[i] = i + 1 < n ? i + 1 : END;
        w->prev[i] = i > 0 ? i - 1 : END;
    }
    for (uint32_t i = 0; i < n; i++)
        if ((rc = set_pair(t, w, i, err))) return rc;
    while (w->heap.n > 0) {
        uint64_t key = vb_heap_pop(&w->heap).key;
        uint32_t i = (uint32_t)key, r;
        if (w->rank[i] != (int32_t)(key >> 32)) continue;
        r = w->next[i];
        w->id[i] = w->made_of[i];
        w->next[i] = w->next[r];
        if (w->next[r] != END) w->prev[w->next[r]] = i;
        w->rank[r] = INT32_MAX;
        if ((rc = set_pair(t, w, i, err))) return rc;
        if (w->prev[i] != END && (rc = set_pair(t, w, w->prev[i], err))) return rc;
    }
    for (uint32_t i = 0; rc == VB_OK && i != END; i = w->next[i])
        rc = put_symbol(t, w->id[i], s[i], out, err);
    return rc;
}

/* The ordinary token whose text is the whole word, -1 if there is none. */
static int32_t whole_word(const vb_tokenizer *t, const uint8_t *s, size_t n) {
    char raw[2 * 256];
    if (n > 256 || n > t->longest) return -1;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        memcpy(raw + k, t->byte_char[s[i]], t->byte_char_len[s[i]]);
        k += t->byte_char_len[s[i]];
    }
    int32_t id = vb_text_find(t, raw, k);
    return id >= 0 && t->kind[id] == VB_TOKEN_NORMAL ? id : -1;
}

int vb_bpe_word(const vb_tokenizer *t, vb_work *w, const char *word, size_t n, vb_ids *out, vb_error *err) {
    const uint8_t *s = (const uint8_t *)word;
    if (t->pre_def->whole_words) {
        int32_t id = whole_word(t, s, n);
        if (id >= 0) return vb_ids_push(out, id, err);
    }
    return n <= SHORT ? short_word(t, s, n, out, err) : long_word(t, w, s, n, out, err);
}

int vb_bpe_encode(const vb_tokenizer *t, vb_work *w, const char *text, size_t len, vb_ids *out,
                  vb_error *err) {
    char *owned = NULL;
    const uint32_t *ends;
    size_t n_words;
    int rc = VB_OK;
    if (t->pre_def->nfc && (rc = vb_nfc(text, len, &text, &len, &owned, err))) goto cleanup;
    if (!w->splitter && (rc = vb_splitter_open(&w->splitter, t->pre, err))) goto cleanup;
    if ((rc = vb_split(w->splitter, text, len, &ends, &n_words, err))) goto cleanup;
    size_t at = 0;
    for (size_t i = 0; rc == VB_OK && i < n_words; i++) {
        rc = vb_bpe_word(t, w, text + at, ends[i] - at, out, err);
        at = ends[i];
    }
cleanup:
    free(owned);
    return rc;
}
