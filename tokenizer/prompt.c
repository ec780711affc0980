/* prompt.c - a rendered chat template to ids: special tokens are recognised in the template's bytes only.
 *
 * Files exist whose turn markers are typed as ordinary or unused entries (docs/tokenizers.md). A template
 * that writes one means the token, and merging never makes it: such entries are found here, by their shape,
 * and count as special where the template wrote them. */
#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------ markers */

/* <|...|> and <｜...｜> without white space: nothing else looks like this. */
static bool sure_marker(const char *s, size_t n) {
    static const char wide[] = "\xEF\xBD\x9C";
    bool bar = n > 4 && s[1] == '|' && s[n - 2] == '|';
    bool wide_bar = n > 8 && memcmp(s + 1, wide, 3) == 0 && memcmp(s + n - 4, wide, 3) == 0;
    return s[0] == '<' && s[n - 1] == '>' && (bar || wide_bar);
}

/* <name>, </name>, [NAME], [/NAME]: perhaps a marker, perhaps a word. */
static bool maybe_marker(const char *s, size_t n) {
    bool angle = s[0] == '<' && s[n - 1] == '>', square = s[0] == '[' && s[n - 1] == ']';
    if ((!angle && !square) || n < 4) return false;
    for (size_t i = 1; i < n - 1; i++) {
        char c = s[i];
        bool upper = c >= 'A' && c <= 'Z', other = (c >= '0' && c <= '9') || c == '_' || (c == '/' && i == 1);
        bool lower = (c >= 'a' && c <= 'z') || c == '-' || c == '|' || (unsigned char)c >= 0x80;
        if (!upper && !other && !(lower && angle)) return false;
    }
    return true;
}

/* Whether merging makes this entry of its own text. */
static int is_word(const vb_tokenizer *t, int32_t id, bool *word, vb_error *err) {
    vb_work w = {0};
    vb_ids out = {0};
    int rc = t->spm ? vb_spm_encode(t, &w, t->raw[id], t->raw_len[id], false, &out, err)
                    : vb_bpe_encode(t, &w, t->raw[id], t->raw_len[id], &out, err);
    *word = rc == VB_OK && out.n == 1 && out.v[0] == id;
    vb_work_free(&w);
    free(out.v);
    return rc;
}

int vb_find_markers(vb_tokenizer *t, vb_error *err) {
    for (int32_t id = 0; id < t->n; id++) {
        const char *s = t->raw[id];
        size_t n = t->raw_len[id];
        bool word = false;
        int rc = VB_OK;
        if (t->kind[id] != VB_TOKEN_NORMAL && t->kind[id] != VB_TOKEN_UNUSED) continue;
        if (n < 4 || n > 200 || (s[0] != '<' && s[0] != '[')) continue;
        if (memchr(s, ' ', n) || (!sure_marker(s, n) && !maybe_marker(s, n))) continue;
        if (!sure_marker(s, n)) rc = is_word(t, id, &word, err);
        if (rc == VB_OK && !word) {
            t->flags[id] |= VB_ID_MARKER;
            rc = vb_specials_add(&t->markers, s, n, id, err);
        }
        if (rc) return rc;
    }
    return VB_OK;
}

bool vb_token_is_marker(const vb_tokenizer *t, int32_t id) {
    if (id < 0 || id >= t->n) return false;
    const uint8_t k = t->kind[id];
    return k == VB_TOKEN_CONTROL || k == VB_TOKEN_USER || k == VB_TOKEN_UNKNOWN ||
           (t->flags[id] & VB_ID_MARKER);
}

/* ------------------------------------------------------------------------------------------------ prompts */

int vb_chat_tokenize(const vb_tokenizer *t, const vb_prompt *p, size_t from, int32_t **ids, size_t *n,
                     vb_error *err) {
    vb_begin(err);
    vb_work w = {0};
    vb_ids out = {0};
    if (from > p->len)
        return vb_fail(err, VB_ERR_ARGUMENT, "vb_chat_tokenize: byte %zu of a prompt of %zu", from, p->len);
    if (p->len > VB_TEXT_LIMIT)
        return vb_fail(err, VB_ERR_ARGUMENT, "vb_chat_tokenize: a text of %zu bytes; at most %zu", p->len,
                       VB_TEXT_LIMIT);
    int rc = vb_grow((void **)&out.v, &out.cap, (p->len - from) / 3 + 8, sizeof *out.v, "token ids", err);
    const bool bos = from == 0 && t->add_bos && t->bos >= 0;
    if (rc == VB_OK && bos) rc = vb_ids_push(&out, t->bos, err);
    if (rc == VB_OK) rc = vb_encode_text(t, &w, p->text, from, p->len, 0, p->spans, &out, err);
    vb_work_free(&w);
    if (rc) {
        free(out.v);
        return rc;
    }
    if (bos && out.n > 1 && out.v[1] == t->bos) /* the template wrote it */
        memmove(out.v, out.v + 1, --out.n * sizeof *out.v);
    *ids = out.v;
    *n = out.n;
    return VB_OK;
}
