/* tokenizer.c - the public functions: text to ids, ids to text, questions about ids. */
#include "tokenizer/load.h"

#include <stdlib.h>
#include <string.h>

int vb_tokenizer_open(vb_tokenizer **out, const vb_gguf *g, vb_error *err) {
    return vb_tokenizer_open_with(out, g, NULL, err);
}

int vb_tokenizer_open_with(vb_tokenizer **out, const vb_gguf *g, const vb_tokenizer_params *p,
                           vb_error *err) {
    static const vb_tokenizer_params defaults = {0};
    vb_begin(err);
    vb_tokenizer *t = NULL;
    int rc = vb_alloc((void **)&t, 1, sizeof *t, "a tokenizer", err);
    if (rc == VB_OK) rc = vb_tokenizer_load(t, g, p ? p : &defaults, err);
    if (rc == VB_OK) rc = vb_find_markers(t, err);
    if (rc) {
        vb_tokenizer_close(t);
        return rc;
    }
    *out = t;
    return VB_OK;
}

void vb_tokenizer_close(vb_tokenizer *t) {
    if (!t) return;
    free((void *)t->raw);
    free(t->raw_len);
    free(t->kind);
    free(t->flags);
    free(t->score);
    free(t->text);
    free(t->text_at);
    free(t->slots);
    free(t->specials.nodes);
    free(t->stops.v);
    free(t->markers.nodes);
    free(t->merges);
    vb_pre_close(t->pre);
    free(t);
}

/* -------------------------------------------------------------------------------------------- questions */

static bool in_range(const vb_tokenizer *t, int32_t id) {
    return id >= 0 && id < t->n;
}

int32_t vb_tokenizer_size(const vb_tokenizer *t) {
    return t->n;
}
const char *vb_tokenizer_model(const vb_tokenizer *t) {
    return t->spm ? "spm" : "bpe";
}
const char *vb_tokenizer_pre(const vb_tokenizer *t) {
    return t->spm ? "" : t->pre_def->name;
}
bool vb_tokenizer_pre_overridden(const vb_tokenizer *t) {
    return t->pre_overridden;
}
int32_t vb_token_bos(const vb_tokenizer *t) {
    return t->bos;
}
int32_t vb_token_eos(const vb_tokenizer *t) {
    return t->eos;
}
bool vb_tokenizer_adds_bos(const vb_tokenizer *t) {
    return t->add_bos;
}
bool vb_tokenizer_adds_eos(const vb_tokenizer *t) {
    return t->add_eos;
}

bool vb_token_is_stop(const vb_tokenizer *t, int32_t id) {
    return in_range(t, id) && (t->flags[id] & VB_ID_STOP);
}
const int32_t *vb_stop_ids(const vb_tokenizer *t, size_t *n) {
    *n = t->stops.n;
    return t->stops.v;
}

vb_token_kind vb_token_type(const vb_tokenizer *t, int32_t id) {
    return in_range(t, id) ? (vb_token_kind)t->kind[id] : VB_TOKEN_UNUSED;
}

const char *vb_token_raw(const vb_tokenizer *t, int32_t id, size_t *len) {
    *len = in_range(t, id) ? t->raw_len[id] : 0;
    return in_range(t, id) ? t->raw[id] : "";
}

const char *vb_token_text(const vb_tokenizer *t, int32_t id, bool special, size_t *len) {
    *len = 0;
    if (!in_range(t, id)) return "";
    uint8_t k = t->kind[id];
    if (k == VB_TOKEN_CONTROL || k == VB_TOKEN_UNKNOWN || k == VB_TOKEN_UNUSED)
        return special ? vb_token_raw(t, id, len) : "";
    *len = t->text_at[id + 1] - t->text_at[id];
    return t->text + t->text_at[id];
}

int32_t vb_token_find(const vb_tokenizer *t, const char *raw, size_t len) {
    return len > 0 ? vb_text_find(t, raw, len) : -1;
}

/* -------------------------------------------------------------------------------------------- text -> ids */

/* Bytes of white space at the start of s[0..n). */
static size_t leading_space(const char *s, size_t n) {
    size_t at = 0;
    for (;;) {
        uint32_t cp;
        size_t c = vb_utf8_char((const unsigned char *)s + at, n - at, &cp);
        if (c == 0 || !vb_is_space(cp)) return at;
        at += c;
    }
}

static int encode(const vb_tokenizer *t, vb_work *w, const char *s, size_t n, bool after_special, vb_ids *out,
                  vb_error *err) {
    if (n == 0) return VB_OK;
    return t->spm ? vb_spm_encode(t, w, s, n, after_special && t->space_prefix, out, err)
                  : vb_bpe_encode(t, w, s, n, out, err);
}

/* The longest special token that starts at s[0..n): any that ends within the first `own` bytes, those that
 * users define wherever they end. Markers that are no special tokens count only where there are spans. */
static int32_t special_at(const vb_tokenizer *t, const char *s, size_t n, size_t own, bool spans,
                          size_t *match) {
    const unsigned char byte = (unsigned char)s[0];
    int32_t id = -1;
    *match = 0;
    if (vb_specials_starts(&t->specials, byte)) {
        size_t k = 0;
        if (own > 0) id = vb_specials_match(t, &t->specials, s, own, true, match);
        int32_t other = own < n ? vb_specials_match(t, &t->specials, s, n, false, &k) : -1;
        if (other >= 0 && k > *match) id = other, *match = k;
    }
    if (spans && own > 0 && vb_specials_starts(&t->markers, byte)) {
        size_t k = 0;
        int32_t other = vb_specials_match(t, &t->markers, s, own, true, &k);
        if (other >= 0 && k > *match) id = other, *match = k;
    }
    return id;
}

/* Cuts text at special tokens, the longest first at each place, and encodes what lies between them. */
int vb_encode_text(const vb_tokenizer *t, vb_work *w, const char *text, size_t from, size_t len, unsigned how,
                   const vb_span *spans, vb_ids *out, vb_error *err) {
    const bool all = how & VB_ENCODE_SPECIAL;
    bool after_special = !(how & VB_ENCODE_MORE); /* the start of a text counts as such */
    for (size_t at = from; at < len;) {
        size_t match, own = all ? len - at : 0;
        while (spans && at >= spans->end) spans++;
        if (spans) own = spans->given ? 0 : spans->end - at;
        int32_t id = special_at(t, text + at, len - at, own, spans != NULL, &match);
        if (id < 0) {
            at++;
            continue;
        }
        int rc = encode(t, w, text + from, at - from, after_special, out, err);
        if (rc == VB_OK) rc = vb_ids_push(out, id, err);
        if (rc) return rc;
        at += match;
        if (t->flags[id] & VB_ID_RSTRIP) at += leading_space(text + at, len - at);
        from = at;
        after_special = true;
    }
    return encode(t, w, text + from, len - from, after_special, out, err);
}

static void drop_first(vb_ids *ids) {
    ids->n--;
    memmove(ids->v, ids->v + 1, ids->n * sizeof *ids->v);
}

int vb_tokenize(const vb_tokenizer *t, const char *text, size_t len, unsigned flags, int32_t **ids, size_t *n,
                vb_error *err) {
    vb_begin(err);
    const unsigned known = VB_TOKENIZE_ADD_SPECIAL | VB_TOKENIZE_PARSE_SPECIAL | VB_TOKENIZE_ADD_BOS;
    const bool bos = (flags & VB_TOKENIZE_ADD_BOS) || ((flags & VB_TOKENIZE_ADD_SPECIAL) && t->add_bos);
    vb_work w = {0};
    vb_ids out = {0};
    if (flags & ~known)
        return vb_fail(err, VB_ERR_ARGUMENT, "vb_tokenize: unknown flags 0x%X", flags & ~known);
    if (bos && t->bos < 0)
        return vb_fail(err, VB_ERR_ARGUMENT, "vb_tokenize: the vocabulary has no BOS token");
    if (len > VB_TEXT_LIMIT)
        return vb_fail(err, VB_ERR_ARGUMENT, "vb_tokenize: a text of %zu bytes; at most %zu", len,
                       VB_TEXT_LIMIT);
    /* Most texts have at least 3 bytes per token. At least one, so that *ids is never NULL. */
    int rc = vb_grow((void **)&out.v, &out.cap, len / 3 + 8, sizeof *out.v, "token ids", err);
    if (rc == VB_OK && bos) rc = vb_ids_push(&out, t->bos, err);
    if (rc == VB_OK)
        rc = vb_encode_text(t, &w, text, 0, len, flags & VB_TOKENIZE_PARSE_SPECIAL ? VB_ENCODE_SPECIAL : 0,
                            NULL, &out, err);
    if (rc == VB_OK && bos && out.n > 1 && out.v[1] == t->bos) drop_first(&out); /* the text wrote it */
    if (rc == VB_OK && (flags & VB_TOKENIZE_ADD_SPECIAL) && t->add_eos &&
        (!out.n || out.v[out.n - 1] != t->eos))
        rc = vb_ids_push(&out, t->eos, err);
    vb_work_free(&w);
    if (rc) {
        free(out.v);
        return rc;
    }
    *ids = out.v;
    *n = out.n;
    return VB_OK;
}

int vb_tokenize_prompt(const vb_tokenizer *t, const char *text, size_t len, bool special, int32_t **ids,
                       size_t *n, vb_error *err) {
    return vb_tokenize(t, text, len,
                       (special ? VB_TOKENIZE_PARSE_SPECIAL : 0u) | (t->add_bos ? VB_TOKENIZE_ADD_BOS : 0u),
                       ids, n, err);
}

/* -------------------------------------------------------------------------------------------- ids -> text */

int vb_detokenize(const vb_tokenizer *t, const int32_t *ids, size_t n, bool special, char **text, size_t *len,
                  vb_error *err) {
    vb_begin(err);
    size_t total = 0, k;
    for (size_t i = 0; i < n; i++) {
        if (!in_range(t, ids[i]))
            return vb_fail(err, VB_ERR_ARGUMENT,
                           "vb_detokenize: id %d at place %zu is outside the vocabulary of %d tokens",
                           (int)ids[i], i, (int)t->n);
        vb_token_text(t, ids[i], special, &k);
        total += k; /* n * 64 KiB: cannot overflow where n ids fit into memory on a 64-bit machine */
    }
    char *out = NULL;
    int rc = vb_alloc((void **)&out, total + 1, 1, "text", err);
    if (rc) return rc;
    /* The first id that is not BOS loses the space that vb_tokenize put in front of it. */
    const size_t first = t->space_prefix && t->spm ? (n > 0 && ids[0] == t->bos ? 1 : 0) : n;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const char *s = vb_token_text(t, ids[i], special, &k);
        const size_t skip = i == first && k > 0 && s[0] == ' ';
        memcpy(out + at, s + skip, k - skip);
        at += k - skip;
    }
    *text = out;
    *len = at;
    return VB_OK;
}
