/* load.c - builds a vb_tokenizer from a file's metadata. Every rule of validation is here
 * (docs/tokenizers.md, section "What is checked"); what the file may leave out, and what then holds, too. */
#define XXH_INLINE_ALL
#include "tokenizer/load.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define KEY "tokenizer.ggml."

/* ------------------------------------------------------------------------------------------ scalars */

static int bad_key(const vb_gguf *g, const char *key, const char *why, vb_error *err) {
    return vb_fail(err, VB_ERR_FORMAT, "%s: " KEY "%s: %s", vb_gguf_path(g), key, why);
}

static const vb_meta *find(const vb_gguf *g, const char *key) {
    char full[64];
    memcpy(full, KEY, sizeof KEY - 1);
    memcpy(full + sizeof KEY - 1, key, strlen(key) + 1);
    return vb_gguf_find(g, full);
}

/* A scalar string, "" if the key is absent. False if it is there with another type. */
static bool get_string(const vb_gguf *g, const vb_meta *m, const char **s, size_t *len) {
    *s = "", *len = 0;
    return !m || (m->type == VB_VALUE_STRING && vb_meta_string(g, m, 0, s, len));
}

static bool equal(const char *s, size_t len, const char *word) {
    return strlen(word) == len && memcmp(s, word, len) == 0;
}

/* A token id: absent, -1 or 4294967295 mean none. */
static int get_id(vb_tokenizer *t, const vb_gguf *g, const char *key, int32_t *id, vb_error *err) {
    const vb_meta *m = find(g, key);
    uint64_t u = UINT32_MAX;
    int64_t i;
    *id = -1;
    if (!m) return VB_OK;
    if (m->type == VB_VALUE_ARRAY || (!vb_meta_u64(m, 0, &u) && !(vb_meta_i64(m, 0, &i) && i == -1)))
        return bad_key(g, key, "not an integer, as a token id must be", err);
    if (u == UINT32_MAX) return VB_OK;
    if (u >= (uint64_t)t->n)
        return vb_fail(err, VB_ERR_FORMAT,
                       "%s: " KEY "%s: %" PRIu64 " is outside the vocabulary of %d tokens", vb_gguf_path(g),
                       key, u, (int)t->n);
    *id = (int32_t)u;
    return VB_OK;
}

/* A boolean; `fallback` if absent. *given says which (may be NULL). */
static int get_bool(const vb_gguf *g, const char *key, bool fallback, bool *out, bool *given, vb_error *err) {
    const vb_meta *m = find(g, key);
    *out = fallback;
    if (given) *given = m != NULL;
    if (m && (m->type != VB_VALUE_BOOL || !vb_meta_bool(m, 0, out)))
        return bad_key(g, key, "not a boolean", err);
    return VB_OK;
}

/* ------------------------------------------------------------------------------------------ model, pre */

/* The pre-tokenizer is not known: `given` by the caller, else as the file has it. */
static int unknown_pre(const vb_gguf *g, const char *given, const char *pre, size_t len, vb_error *err) {
    vb_buf list = {0};
    char shown[64];
    for (const vb_pre_def *d = vb_pre_defs; d->name; d++) {
        if (d != vb_pre_defs) vb_buf_puts(&list, ", ");
        vb_buf_puts(&list, d->name);
    }
    const char *known = list.s ? list.s : "";
    const int rc =
        given
            ? vb_fail(err, VB_ERR_ARGUMENT, "%s: --pre: '%s' is not known. Known: %s", vb_gguf_path(g),
                      vb_escape(given, strlen(given), shown, sizeof shown), known)
            : vb_fail(
                  err, VB_ERR_UNSUPPORTED,
                  "%s: " KEY
                  "pre: %s%s%s; a wrong pre-tokenizer gives wrong tokens without a sign, so none is guessed. "
                  "Convert the model again with a current converter, or, if you know which one fits, name "
                  "it: "
                  "--pre NAME (vb_tokenizer_params.pre). Known: %s",
                  vb_gguf_path(g), len ? "'" : "",
                  len ? vb_escape(pre, len, shown, sizeof shown) : "absent or empty",
                  len ? "' is not known" : "", known);
    free(list.s);
    return rc;
}

/* The pre-tokenizer that the caller names, else the file's. */
static int load_pre(vb_tokenizer *t, const vb_gguf *g, const char *given, vb_error *err) {
    const char *s;
    size_t len;
    if (!get_string(g, find(g, "pre"), &s, &len)) return bad_key(g, "pre", "not a string", err);
    const vb_pre_def *own = vb_pre_find(s, len);
    t->pre_def = given ? vb_pre_find(given, strlen(given)) : own;
    t->pre_overridden = t->pre_def != own;
    return t->pre_def ? vb_pre_open(&t->pre, t->pre_def, err) : unknown_pre(g, given, s, len, err);
}

static int load_model(vb_tokenizer *t, const vb_gguf *g, const vb_tokenizer_params *p, vb_error *err) {
    const char *s;
    size_t len;
    char shown[64];
    if (!find(g, "model")) return bad_key(g, "model", "absent: the file holds no tokenizer", err);
    if (!get_string(g, find(g, "model"), &s, &len)) return bad_key(g, "model", "not a string", err);
    t->spm = equal(s, len, "llama");
    if (!t->spm && !equal(s, len, "gpt2"))
        return vb_fail(err, VB_ERR_UNSUPPORTED,
                       "%s: " KEY
                       "model: '%s' is not known; known: llama (SentencePiece BPE), gpt2 (byte-level BPE)",
                       vb_gguf_path(g), vb_escape(s, len, shown, sizeof shown));
    if (t->spm) {
        /* Normalisers that SentencePiece would apply and this does not (P6). */
        bool strip;
        if (p->pre)
            return vb_fail(
                err, VB_ERR_ARGUMENT,
                "%s: --pre %s: the tokenizer is SentencePiece, which has no pre-tokenizer: leave the "
                "option out",
                vb_gguf_path(g), p->pre);
        int rc = get_bool(g, "remove_extra_whitespaces", false, &strip, NULL, err);
        if (rc) return rc;
        if (strip)
            return vb_fail(err, VB_ERR_UNSUPPORTED,
                           "%s: " KEY "remove_extra_whitespaces is true: not supported", vb_gguf_path(g));
        const vb_meta *charsmap = find(g, "precompiled_charsmap");
        if (charsmap && charsmap->count > 0)
            return vb_fail(err, VB_ERR_UNSUPPORTED,
                           "%s: " KEY "precompiled_charsmap: normalising is not supported", vb_gguf_path(g));
        return VB_OK;
    }
    return load_pre(t, g, p->pre, err);
}

/* ------------------------------------------------------------------------------------------ entries */

int32_t vb_text_find(const vb_tokenizer *t, const char *s, size_t len) {
    uint64_t h = XXH3_64bits(s, len);
    uint32_t tag = (uint32_t)(h >> 32);
    for (uint32_t i = (uint32_t)h & t->slot_mask;; i = (i + 1) & t->slot_mask) {
        int32_t id = t->slots[i].id;
        if (id < 0) return -1;
        if (t->slots[i].tag == tag && t->raw_len[id] == len && memcmp(t->raw[id], s, len) == 0) return id;
    }
}

/* Enters id under its raw text; returns the id that has this text already, or -1. */
static int32_t enter(vb_tokenizer *t, int32_t id) {
    uint64_t h = XXH3_64bits(t->raw[id], t->raw_len[id]);
    uint32_t tag = (uint32_t)(h >> 32), i = (uint32_t)h & t->slot_mask;
    for (; t->slots[i].id >= 0; i = (i + 1) & t->slot_mask) {
        int32_t o = t->slots[i].id;
        if (t->slots[i].tag == tag && t->raw_len[o] == t->raw_len[id] &&
            memcmp(t->raw[o], t->raw[id], t->raw_len[id]) == 0)
            return o;
    }
    t->slots[i] = (vb_text_slot){tag, id};
    return -1;
}

static int load_tokens(vb_tokenizer *t, const vb_gguf *g, vb_error *err) {
    const vb_meta *m = find(g, "tokens");
    char shown[80];
    if (!m || m->type != VB_VALUE_ARRAY || m->elem != VB_VALUE_STRING || m->count == 0)
        return bad_key(g, "tokens", "absent, empty or not an array of strings", err);
    if (m->count > VB_VOCAB_LIMIT)
        return vb_fail(err, VB_ERR_FORMAT, "%s: " KEY "tokens: %" PRIu64 " tokens; at most %d are supported",
                       vb_gguf_path(g), m->count, VB_VOCAB_LIMIT);
    t->n = (int32_t)m->count;
    size_t n = (size_t)t->n, slots = 64;
    while (slots < 2 * n) slots *= 2;
    int rc;
    if ((rc = vb_alloc((void **)&t->raw, n, sizeof *t->raw, "the vocabulary", err)) ||
        (rc = vb_alloc((void **)&t->raw_len, n, sizeof *t->raw_len, "the vocabulary", err)) ||
        (rc = vb_alloc((void **)&t->kind, n, 1, "the vocabulary", err)) ||
        (rc = vb_alloc((void **)&t->flags, n, 1, "the vocabulary", err)) ||
        (rc = vb_alloc((void **)&t->slots, slots, sizeof *t->slots, "the vocabulary", err)))
        return rc;
    t->slot_mask = (uint32_t)(slots - 1);
    memset(t->slots, 0xFF, slots * sizeof *t->slots);
    for (int32_t id = 0; id < t->n; id++) {
        size_t len;
        if (!vb_meta_string(g, m, (uint64_t)id, &t->raw[id], &len))
            return bad_key(g, "tokens", "unreadable", err);
        if (len > VB_TOKEN_LIMIT)
            return vb_fail(err, VB_ERR_FORMAT,
                           "%s: " KEY "tokens: token %d has %zu bytes; at most %zu are allowed",
                           vb_gguf_path(g), (int)id, len, VB_TOKEN_LIMIT);
        t->raw_len[id] = (uint32_t)len;
        if (len > t->longest) t->longest = (uint32_t)len;
        int32_t twin = len > 0 ? enter(t, id) : -1;
        if (twin >= 0)
            return vb_fail(
                err, VB_ERR_FORMAT,
                "%s: " KEY "tokens: tokens %d and %d have the same text '%s', so text does not say which is "
                "meant; convert the model again",
                vb_gguf_path(g), (int)twin, (int)id, vb_escape(t->raw[id], len, shown, sizeof shown));
    }
    return VB_OK;
}

/* An array that must be as long as the vocabulary, of one of two element types. */
static int same_length(const vb_tokenizer *t, const vb_gguf *g, const vb_meta *m, const char *key,
                       vb_value_type a, vb_value_type b, const char *types, vb_error *err) {
    if (m->type != VB_VALUE_ARRAY || (m->elem != a && m->elem != b))
        return vb_fail(err, VB_ERR_FORMAT, "%s: " KEY "%s: not an array of %s", vb_gguf_path(g), key, types);
    if (m->count != (uint64_t)t->n)
        return vb_fail(err, VB_ERR_FORMAT, "%s: " KEY "%s: %" PRIu64 " elements for %d tokens",
                       vb_gguf_path(g), key, m->count, (int)t->n);
    return VB_OK;
}

static int load_kinds(vb_tokenizer *t, const vb_gguf *g, vb_error *err) {
    const vb_meta *m = find(g, "token_type");
    if (!m) {
        if (t->spm)
            return bad_key(g, "token_type", "absent: byte and control tokens cannot be told from text", err);
        memset(t->kind, VB_TOKEN_NORMAL, (size_t)t->n); /* load_ids makes the special ones control tokens */
        return VB_OK;
    }
    int rc = same_length(t, g, m, "token_type", VB_VALUE_I32, VB_VALUE_U32, "int32 or uint32", err);
    for (int32_t id = 0; rc == VB_OK && id < t->n; id++) {
        uint64_t k = 0;
        if (!vb_meta_u64(m, (uint64_t)id, &k) || k < VB_TOKEN_NORMAL || k > VB_TOKEN_BYTE)
            return vb_fail(err, VB_ERR_FORMAT, "%s: " KEY "token_type: token %d has a kind outside 1..6",
                           vb_gguf_path(g), (int)id);
        t->kind[id] = (uint8_t)k;
    }
    return rc;
}

static int load_scores(vb_tokenizer *t, const vb_gguf *g, vb_error *err) {
    const vb_meta *m = find(g, "scores");
    if (!m && !t->spm) return VB_OK;
    if (!m)
        return bad_key(g, "scores", "absent: the merges of this kind of tokenizer are driven by them", err);
    int rc = same_length(t, g, m, "scores", VB_VALUE_F32, VB_VALUE_F32, "float32", err);
    if (rc || !t->spm) return rc; /* BPE has no use for them */
    if ((rc = vb_alloc((void **)&t->score, (size_t)t->n, sizeof *t->score, "the vocabulary", err))) return rc;
    for (int32_t id = 0; id < t->n; id++) {
        double s;
        if (!vb_meta_f64(m, (uint64_t)id, &s) || !isfinite(s))
            return vb_fail(err, VB_ERR_FORMAT,
                           "%s: " KEY "scores: the score of token %d is not a finite number", vb_gguf_path(g),
                           (int)id);
        t->score[id] = (float)s + 0.0f; /* -0 becomes 0: they are equal and must tie */
    }
    return vb_spm_check_order(t, g, err);
}

/* ------------------------------------------------------------------------------------------ decoded texts */

static int hex(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* "<0xHH>", exactly; -1 otherwise. */
static int byte_token(const char *s, size_t n) {
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>' || hex(s[3]) < 0 || hex(s[4]) < 0) return -1;
    return hex(s[3]) << 4 | hex(s[4]);
}

/* An ordinary BPE entry in bytes; false if it has a character outside the byte alphabet: it is then text as
 * it is. */
static bool from_byte_alphabet(const char *raw, size_t len, char *out, size_t *n) {
    *n = 0;
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        size_t c = vb_utf8_char((const unsigned char *)raw + i, len - i, &cp);
        int byte = c > 0 ? vb_byte_of_char(cp) : -1;
        if (byte < 0) return false;
        out[(*n)++] = (char)byte;
        i += c;
    }
    return true;
}

/* Writes what the entry stands for in text to out (raw_len bytes are enough), returns its length. */
static size_t decode(const vb_tokenizer *t, int32_t id, char *out) {
    const char *raw = t->raw[id];
    size_t len = t->raw_len[id], n = 0;
    switch (t->kind[id]) {
    case VB_TOKEN_BYTE: out[0] = (char)byte_token(raw, len); return 1;
    case VB_TOKEN_USER: memcpy(out, raw, len); return len;
    case VB_TOKEN_NORMAL: break;
    default: return 0;
    }
    if (!t->spm) {
        if (from_byte_alphabet(raw, len, out, &n)) return n;
        memcpy(out, raw, len);
        return len;
    }
    for (size_t i = 0; i < len;) {
        if (len - i >= 3 && memcmp(raw + i, "\xE2\x96\x81", 3) == 0) {
            out[n++] = ' ';
            i += 3;
        } else {
            out[n++] = raw[i++];
        }
    }
    return n;
}

/* After load_bytes, which saw to it that byte tokens are well spelled. */
static int load_texts(vb_tokenizer *t, const vb_gguf *g, vb_error *err) {
    uint64_t total = 0;
    for (int32_t id = 0; id < t->n; id++) total += t->raw_len[id];
    if (total > UINT32_MAX) return bad_key(g, "tokens", "more than 4 GiB of text", err);
    int rc;
    if ((rc = vb_alloc((void **)&t->text, (size_t)total, 1, "the vocabulary", err)) ||
        (rc = vb_alloc((void **)&t->text_at, (size_t)t->n + 1, sizeof *t->text_at, "the vocabulary", err)))
        return rc;
    for (int32_t id = 0; id < t->n; id++)
        t->text_at[id + 1] = t->text_at[id] + (uint32_t)decode(t, id, t->text + t->text_at[id]);
    return VB_OK;
}

/* Byte tokens are spelled <0xHH> in either kind of tokenizer; SPM falls back on them. */
static int load_byte_tokens(vb_tokenizer *t, const vb_gguf *g, vb_error *err) {
    for (int32_t id = 0; id < t->n; id++) {
        if (t->kind[id] != VB_TOKEN_BYTE) continue;
        int b = byte_token(t->raw[id], t->raw_len[id]);
        if (b < 0) {
            char shown[80];
            return vb_fail(err, VB_ERR_FORMAT,
                           "%s: " KEY "tokens: byte token %d is '%s', not <0xHH> with two hex digits",
                           vb_gguf_path(g), (int)id,
                           vb_escape(t->raw[id], t->raw_len[id], shown, sizeof shown));
        }
        if (!t->spm) continue;
        if (t->byte_id[b] >= 0)
            return vb_fail(err, VB_ERR_FORMAT, "%s: " KEY "tokens: tokens %d and %d stand for the same byte",
                           vb_gguf_path(g), (int)t->byte_id[b], (int)id);
        t->byte_id[b] = id;
    }
    return VB_OK;
}

/* Which token stands for each single byte. */
static int load_bytes(vb_tokenizer *t, const vb_gguf *g, vb_error *err) {
    for (int b = 0; b < 256; b++) {
        t->byte_id[b] = -1;
        if (t->spm) continue;
        char c[4];
        t->byte_char_len[b] = (uint8_t)vb_utf8_put(vb_char_of_byte((uint8_t)b), c);
        memcpy(t->byte_char[b], c, 2);
        int32_t id = vb_text_find(t, c, t->byte_char_len[b]);
        if (id >= 0 && (t->kind[id] == VB_TOKEN_NORMAL || t->kind[id] == VB_TOKEN_USER)) t->byte_id[b] = id;
    }
    return load_byte_tokens(t, g, err);
}

/* ------------------------------------------------------------------------------------------ ids, flags */

static bool is_text(const vb_tokenizer *t, int32_t id, const char *text) {
    return equal(t->raw[id], t->raw_len[id], text);
}

/* SentencePiece's own numbering, used when the file does not say and the entry is of the right kind. */
static void spm_default(const vb_tokenizer *t, int32_t *id, int32_t at, vb_token_kind kind) {
    if (t->spm && *id < 0 && at < t->n && t->kind[at] == kind) *id = at;
}

static int load_ids(vb_tokenizer *t, const vb_gguf *g, vb_error *err) {
    int rc;
    if ((rc = get_id(t, g, "bos_token_id", &t->bos, err)) ||
        (rc = get_id(t, g, "eos_token_id", &t->eos, err)) ||
        (rc = get_id(t, g, "eot_token_id", &t->eot, err)) ||
        (rc = get_id(t, g, "eom_token_id", &t->eom, err)) ||
        (rc = get_id(t, g, "unknown_token_id", &t->unk, err)))
        return rc;
    spm_default(t, &t->unk, 0, VB_TOKEN_UNKNOWN);
    if (!find(g, "bos_token_id")) spm_default(t, &t->bos, 1, VB_TOKEN_CONTROL);
    if (!find(g, "eos_token_id")) spm_default(t, &t->eos, 2, VB_TOKEN_CONTROL);
    for (int32_t id = 0; t->spm && t->unk < 0 && id < t->n; id++)
        if (t->kind[id] == VB_TOKEN_UNKNOWN) t->unk = id;
    bool all_bytes = true;
    for (int b = 0; b < 256; b++) all_bytes = all_bytes && t->byte_id[b] >= 0;
    if (t->spm && t->unk < 0 && !all_bytes)
        return bad_key(g, "unknown_token_id", "there is neither an unknown token nor a token for every byte",
                       err);
    if (!find(g, "token_type")) {
        const int32_t special[] = {t->bos, t->eos, t->eot, t->eom};
        for (size_t i = 0; i < sizeof special / sizeof *special; i++)
            if (special[i] >= 0) t->kind[special[i]] = VB_TOKEN_CONTROL;
    }
    bool given;
    if ((rc = get_bool(g, "add_bos_token", t->spm || t->pre_def->add_bos, &t->add_bos, &given, err)))
        return rc;
    if (t->add_bos && t->bos < 0) {
        if (given) return bad_key(g, "add_bos_token", "true, but there is no bos_token_id", err);
        t->add_bos = false;
    }
    if ((rc = get_bool(g, "add_eos_token", false, &t->add_eos, NULL, err))) return rc;
    if (t->add_eos && t->eos < 0)
        return bad_key(g, "add_eos_token", "true, but there is no eos_token_id", err);
    return get_bool(g, "add_space_prefix", t->spm, &t->space_prefix, NULL, err);
}

bool vb_file_adds_bos(const vb_gguf *g) {
    const char *s;
    size_t len;
    bool adds = false, spm = get_string(g, find(g, "model"), &s, &len) && equal(s, len, "llama");
    const vb_pre_def *d = !spm && get_string(g, find(g, "pre"), &s, &len) ? vb_pre_find(s, len) : NULL;
    return get_bool(g, "add_bos_token", spm || (d && d->add_bos), &adds, NULL, NULL) == VB_OK && adds &&
           (spm || find(g, "bos_token_id"));
}

/* Names under which the model families end a turn, a message or a text. */
static const char *const stop_texts[] = {"</s>",
                                         "<eos>",
                                         "<|endoftext|>",
                                         "<|end_of_text|>",
                                         "<|end_of_sentence|>",
                                         "<|im_end|>",
                                         "<|eot_id|>",
                                         "<|eom_id|>",
                                         "<|end|>",
                                         "<|endofturn|>",
                                         "<|end_of_turn|>",
                                         "<end_of_turn>",
                                         "<|EOT|>",
                                         "<|return|>",
                                         "<|call|>",
                                         "<EOT>",
                                         "<|END_OF_TURN_TOKEN|>",
                                         "<｜end▁of▁sentence｜>"};

/* Phi-3's published tokenizer swallows white space after its special tokens; the file does not say so. All of
 * them but these three [Phi-3-mini-4k-instruct tokenizer.json, "rstrip"]. */
static bool is_phi3(const vb_gguf *g) {
    const char *s;
    size_t len;
    if (get_string(g, vb_gguf_find(g, "general.architecture"), &s, &len) &&
        (equal(s, len, "phi3") || equal(s, len, "phimoe")))
        return true;
    if (!get_string(g, vb_gguf_find(g, "general.name"), &s, &len)) return false;
    for (size_t i = 0; i + 4 <= len; i++) {
        if ((s[i] | 32) != 'p' || (s[i + 1] | 32) != 'h' || (s[i + 2] | 32) != 'i') continue;
        if (s[i + 3] == '3' || (s[i + 3] == '-' && i + 4 < len && s[i + 4] == '3')) return true;
    }
    return false;
}

static int load_specials(vb_tokenizer *t, const vb_gguf *g, vb_error *err) {
    bool phi3 = t->spm && is_phi3(g);
    int32_t end = -1;
    bool harmony_return = false, harmony_call = false;
    const int32_t given[] = {t->eos, t->eot, t->eom};
    for (int32_t id = 0; id < t->n; id++) {
        uint8_t k = t->kind[id];
        if (k == VB_TOKEN_UNUSED) t->has_unused = t->spm;
        if (k != VB_TOKEN_CONTROL && k != VB_TOKEN_USER && k != VB_TOKEN_UNKNOWN) continue;
        int rc = vb_specials_add(&t->specials, t->raw[id], t->raw_len[id], id, err);
        if (rc) return rc;
        if (phi3 && !is_text(t, id, "<unk>") && !is_text(t, id, "<s>") && !is_text(t, id, "<|endoftext|>"))
            t->flags[id] |= VB_ID_RSTRIP;
        if (k == VB_TOKEN_UNKNOWN) continue;
        for (size_t i = 0; i < sizeof stop_texts / sizeof *stop_texts; i++)
            if (is_text(t, id, stop_texts[i])) t->flags[id] |= VB_ID_STOP;
        if (is_text(t, id, "<|end|>")) end = id;
        harmony_return = harmony_return || is_text(t, id, "<|return|>");
        harmony_call = harmony_call || is_text(t, id, "<|call|>");
    }
    /* In the harmony format <|end|> ends a message in the middle of an answer. */
    if (end >= 0 && harmony_return && harmony_call) t->flags[end] &= (uint8_t)~VB_ID_STOP;
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i] >= 0) t->flags[given[i]] |= VB_ID_STOP;
    for (int32_t id = 0; id < t->n; id++) {
        int rc = t->flags[id] & VB_ID_STOP ? vb_ids_push(&t->stops, id, err) : VB_OK;
        if (rc) return rc;
    }
    return VB_OK;
}

/* True if no entry that merging can make has a space after something else (spm.c cuts the
 * text there then). */
static bool words_stand_alone(const vb_tokenizer *t) {
    for (int32_t id = 0; id < t->n; id++) {
        if (t->kind[id] == VB_TOKEN_CONTROL || t->kind[id] == VB_TOKEN_BYTE ||
            t->kind[id] == VB_TOKEN_UNKNOWN)
            continue;
        bool word = false;
        for (size_t i = 0; i < t->raw_len[id];) {
            bool space = t->raw_len[id] - i >= 3 && memcmp(t->raw[id] + i, "\xE2\x96\x81", 3) == 0;
            if (space && word) return false;
            word = !space;
            i += space ? 3 : 1;
        }
    }
    return true;
}

/* ------------------------------------------------------------------------------------------ merges */

static int bad_merge(const vb_gguf *g, uint64_t i, const char *s, size_t len, const char *why,
                     vb_error *err) {
    char shown[160];
    return vb_fail(err, VB_ERR_FORMAT, "%s: " KEY "merges: merge %" PRIu64 " '%s': %s", vb_gguf_path(g), i,
                   vb_escape(s, len, shown, sizeof shown), why);
}

static int load_merge(vb_tokenizer *t, const vb_gguf *g, const vb_meta *m, uint64_t i, char *joined,
                      vb_error *err) {
    const char *s;
    size_t len;
    if (!vb_meta_string(g, m, i, &s, &len)) return bad_key(g, "merges", "unreadable", err);
    const char *space = memchr(s, ' ', len);
    size_t left = space ? (size_t)(space - s) : len;
    if (left == 0 || left + 1 >= len || memchr(space + 1, ' ', len - left - 1))
        return bad_merge(g, i, s, len, "not two texts with one space between them", err);
    size_t right = len - left - 1;
    int32_t a = vb_text_find(t, s, left), b = vb_text_find(t, space + 1, right), made = -1;
    if (left + right <= t->longest) {
        memcpy(joined, s, left);
        memcpy(joined + left, space + 1, right);
        made = vb_text_find(t, joined, left + right);
    }
    if (a < 0 || b < 0 || made < 0)
        return bad_merge(g, i, s, len,
                         made < 0 ? "its result is not in the vocabulary" : "a half is not in the vocabulary",
                         err);
    uint64_t pair = (uint64_t)(uint32_t)a << 32 | (uint32_t)b, at = vb_mix64(pair) & t->merge_mask;
    for (; t->merges[at].pair != UINT64_MAX; at = (at + 1) & t->merge_mask)
        if (t->merges[at].pair == pair)
            return bad_merge(g, i, s, len, "listed twice, so its rank is not clear", err);
    t->merges[at] = (vb_merge_slot){pair, (int32_t)i, made};
    return VB_OK;
}

static int load_merges(vb_tokenizer *t, const vb_gguf *g, vb_error *err) {
    const vb_meta *m = find(g, "merges");
    if (!m || m->type != VB_VALUE_ARRAY || (m->elem != VB_VALUE_STRING && m->count > 0))
        return bad_key(g, "merges", "absent or not an array of strings", err);
    if (m->count > VB_VOCAB_LIMIT) return bad_key(g, "merges", "too many merges", err);
    uint64_t slots = 64;
    while (2 * slots < 3 * m->count) slots *= 2; /* at most two thirds full */
    char *joined = NULL;
    int rc;
    if ((rc = vb_alloc((void **)&t->merges, (size_t)slots, sizeof *t->merges, "the merges", err)) ||
        (rc = vb_alloc((void **)&joined, t->longest, 1, "the merges", err)))
        return rc;
    t->merge_mask = slots - 1;
    memset(t->merges, 0xFF, (size_t)slots * sizeof *t->merges);
    for (uint64_t i = 0; rc == VB_OK && i < m->count; i++) rc = load_merge(t, g, m, i, joined, err);
    free(joined);
    return rc;
}

/* The ids of U+FFFD, if the vocabulary can write it: what a byte without a token becomes. */
static int load_replacement(vb_tokenizer *t, vb_error *err) {
    bool complete = true;
    for (int b = 0; b < 256; b++) complete = complete && t->byte_id[b] >= 0;
    if (complete || t->byte_id[0xEF] < 0 || t->byte_id[0xBF] < 0 || t->byte_id[0xBD] < 0) return VB_OK;
    vb_work w = {0};
    vb_ids ids = {0};
    int rc = vb_bpe_word(t, &w, "\xEF\xBF\xBD", 3, &ids, err);
    for (size_t i = 0; rc == VB_OK && i < ids.n; i++) t->replacement[t->n_replacement++] = ids.v[i];
    vb_work_free(&w);
    free(ids.v);
    return rc;
}

int vb_tokenizer_load(vb_tokenizer *t, const vb_gguf *g, const vb_tokenizer_params *p, vb_error *err) {
    int rc;
    if ((rc = load_model(t, g, p, err)) || (rc = load_tokens(t, g, err)) || (rc = load_kinds(t, g, err)) ||
        (rc = load_scores(t, g, err)))
        return rc;
    if ((rc = load_bytes(t, g, err)) || (rc = load_ids(t, g, err)) || (rc = load_texts(t, g, err)) ||
        (rc = load_specials(t, g, err)))
        return rc;
    if (t->spm) {
        t->words_stand_alone = words_stand_alone(t);
        return VB_OK;
    }
    if ((rc = load_merges(t, g, err))) return rc;
    return load_replacement(t, err);
}
