/* compat.c - may this draft propose tokens to that target? Ids are all that passes between them, so what must
 * agree is what an id means. */
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN = 3 };

/* An entry that fills a vocabulary up to a round size:
 * unused, or a converter's "[PAD<id>]" of whatever kind. */
static bool is_padding(const vb_tokenizer *t, int32_t id) {
    char pad[32];
    if (t->kind[id] == VB_TOKEN_UNUSED) return true;
    int n = snprintf(pad, sizeof pad, "[PAD%d]", (int)id);
    return (size_t)n == t->raw_len[id] && memcmp(pad, t->raw[id], t->raw_len[id]) == 0;
}

static bool same_entry(const vb_tokenizer *a, const vb_tokenizer *b, int32_t id) {
    return a->kind[id] == b->kind[id] && a->raw_len[id] == b->raw_len[id] &&
           memcmp(a->raw[id], b->raw[id], a->raw_len[id]) == 0;
}

static const char *kind_name(uint8_t kind) {
    static const char *const name[] = {"?", "normal", "unknown", "control", "user", "unused", "byte"};
    return name[kind <= VB_TOKEN_BYTE ? kind : 0];
}

static void describe(vb_buf *b, const vb_tokenizer *t, int32_t id) {
    char text[48];
    vb_buf_addf(b, "'%s' (%s)", vb_escape(t->raw[id], t->raw_len[id], text, sizeof text),
                kind_name(t->kind[id]));
}

/* The ids below which both vocabularies are equal, *shared. What follows the first difference is not shared;
 * that is fine if one of the two has nothing but padding there, for padding is never said on purpose.
 * Otherwise the first differences are written to `report`. Returns how many there are. */
static int32_t compare(const vb_tokenizer *a, const vb_tokenizer *b, int32_t *shared, vb_buf *report) {
    const int32_t n = a->n < b->n ? a->n : b->n;
    int32_t first = 0, differences = 0;
    while (first < n && same_entry(a, b, first)) first++;
    *shared = first;
    int32_t id = first;
    while (id < n && (is_padding(a, id) || is_padding(b, id))) id++;
    if (id == n) return 0;
    for (id = first; id < n; id++) {
        if (same_entry(a, b, id) || differences++ >= SHOWN) continue;
        vb_buf_addf(report, "%s%d: ", differences > 1 ? ", " : "", (int)id);
        describe(report, a, id);
        vb_buf_puts(report, " and ");
        describe(report, b, id);
    }
    return differences;
}

/* A special id must mean the same where both have one, and exist in both where it is used. */
static int compare_ids(const vb_tokenizer *a, const vb_tokenizer *b, vb_error *err) {
    const struct {
        const char *name;
        int32_t a, b;
        bool used; /* put into texts without being asked for */
    } special[] = {{"BOS", a->bos, b->bos, a->add_bos || b->add_bos},
                   {"EOS", a->eos, b->eos, true},
                   {"end-of-turn", a->eot, b->eot, false},
                   {"end-of-message", a->eom, b->eom, false},
                   {"unknown", a->unk, b->unk, false}};
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        if (special[i].a == special[i].b) continue;
        if (!special[i].used && (special[i].a < 0 || special[i].b < 0)) continue;
        return vb_fail(
            err, VB_ERR_VOCAB,
            "the %s tokens differ: %d in the target, %d in the draft (-1: none); use a draft of the same "
            "family and release, or one that needs no model (n-grams)",
            special[i].name, (int)special[i].a, (int)special[i].b);
    }
    const struct {
        const char *name;
        bool a, b;
    } rule[] = {{"BOS is put in front of a text", a->add_bos, b->add_bos},
                {"EOS is put after a text", a->add_eos, b->add_eos},
                {"a space is put in front of a text", a->space_prefix, b->space_prefix}};
    for (size_t i = 0; i < sizeof rule / sizeof *rule; i++) {
        if (rule[i].a == rule[i].b) continue;
        return vb_fail(err, VB_ERR_VOCAB,
                       "%s by the %s's rule only; use a draft of the same family and release, or one that "
                       "needs no model "
                       "(n-grams)",
                       rule[i].name, rule[i].a ? "target" : "draft");
    }
    return VB_OK;
}

/* Families that share their patterns and what goes with them cut text alike whatever they are called. */
static bool same_rules(const vb_pre_def *a, const vb_pre_def *b) {
    if (a == b) return true;
    if (a->nfc != b->nfc || a->whole_words != b->whole_words || a->bytes_from != b->bytes_from) return false;
    for (size_t i = 0; i < sizeof a->patterns / sizeof *a->patterns; i++) {
        if (!a->patterns[i] || !b->patterns[i]) return a->patterns[i] == b->patterns[i];
        if (strcmp(a->patterns[i], b->patterns[i]) != 0) return false;
    }
    return true;
}

int vb_vocab_compatible(const vb_tokenizer *target, const vb_tokenizer *draft, int32_t *shared,
                        vb_error *err) {
    vb_begin(err);
    if (target->spm != draft->spm)
        return vb_fail(err, VB_ERR_VOCAB,
                       "the target's tokenizer is %s, the draft's is %s; use a draft of the same family, or "
                       "one that needs "
                       "no model (n-grams)",
                       vb_tokenizer_model(target), vb_tokenizer_model(draft));
    vb_buf report = {0};
    int32_t common, differences = compare(target, draft, &common, &report);
    int rc = VB_OK;
    if (differences > 0) {
        rc = vb_fail(err, VB_ERR_VOCAB,
                     "the draft's vocabulary (%d tokens) is not the target's (%d): ids that mean different "
                     "things: %d%s, "
                     "target and draft: %s; use a draft of the same family and release, or one that needs no "
                     "model (n-grams)",
                     (int)draft->n, (int)target->n, (int)differences,
                     differences > SHOWN ? ", the first" : "", report.s ? report.s : "");
    } else if (!target->spm && !same_rules(target->pre_def, draft->pre_def)) {
        rc = vb_fail(
            err, VB_ERR_VOCAB,
            "the target cuts text into words as '%s' does, the draft as '%s'; one of the two files names the "
            "wrong tokenizer.ggml.pre: convert it again",
            target->pre_def->name, draft->pre_def->name);
    } else {
        rc = compare_ids(target, draft, err);
    }
    if (rc == VB_OK && common == 0)
        rc = vb_fail(err, VB_ERR_VOCAB, "the two vocabularies have no id in common");
    vb_buf_free(&report);
    if (rc == VB_OK) *shared = common;
    return rc;
}
