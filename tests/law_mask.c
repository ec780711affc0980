/* law_mask.c - a small language as a mask, by definition: an id may follow iff the text with it can be
 * completed to one of a list of texts, by ids that are there. Then the law under it in a second writing,
 * and the mistakes that the enumeration must catch. */
#include "tests/law.h"

#include "ref/mathf.h"

#include <string.h>

/* "é" is the bytes c3 a9: one id for both, and one for each. No id writes "x". */
static const char *const texts[] = {"ab",
                                    "abab",
                                    "a\xc3\xa9",
                                    ("\xc3\xa9"
                                     "ab"),
                                    "bx",
                                    "cc\xc3\xa9"};
static const char *const piece[LAW_VOCAB] = {"", "a", "b", "ab", "\xc3\xa9", "\xc3", "\xa9", "c"};

#define N_TEXTS (sizeof texts / sizeof *texts)
#define ROOM    64

/* Can these bytes be written by ids? */
static bool spellable(const char *s) {
    if (!*s) return true;
    for (int id = 1; id < LAW_VOCAB; id++) {
        const size_t n = strlen(piece[id]);
        if (!strncmp(s, piece[id], n) && spellable(s + n)) return true;
    }
    return false;
}

/* The text of ids, or false after an end. */
static bool text_of(const int32_t *ids, size_t n, char out[ROOM]) {
    size_t len = 0;
    out[0] = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t more = strlen(piece[ids[i]]);
        if (ids[i] == 0 || len + more >= ROOM) return false;
        memcpy(out + len, piece[ids[i]], more + 1);
        len += more;
    }
    return true;
}

static bool allows(const int32_t *ids, size_t n, int32_t id, bool dead_ends) {
    char text[ROOM];
    if (!text_of(ids, n, text)) return false;
    const size_t len = strlen(text), more = strlen(piece[id]);
    for (size_t i = 0; i < N_TEXTS; i++) {
        const char *rest = texts[i] + len;
        if (strncmp(texts[i], text, len)) continue;
        if (id == 0 ? !*rest : !strncmp(rest, piece[id], more) && (dead_ends || spellable(rest + more)))
            return true;
    }
    return false;
}

bool law_mask_allows(const int32_t *ids, size_t n, int32_t id) {
    return allows(ids, n, id, false);
}

/* ---------------------------------------------------------------------- as a vb_mask */

typedef struct language {
    const law_case *c;
    const size_t *step_n;
} language;

static int language_at(void *self, const int32_t *ids, size_t n, uint64_t *allowed, vb_error *err) {
    const language *l = self;
    const law_mask_bug bug = l->c->bug;
    (void)err;
    allowed[0] = 0;
    if (bug == MASK_WRONG_PREFIX && n > *l->step_n - 1) n = *l->step_n - 1;
    for (int id = 0; id < LAW_VOCAB; id++)
        if (allows(ids, n, id, bug == MASK_DEAD_END) || (bug == MASK_EARLY_END && id == 0 && n > 0))
            allowed[0] |= (uint64_t)1 << id;
    return VB_OK;
}

/* The ids, longest first, of what follows where one text is left. */
static int language_forced(void *self, const int32_t *ids, size_t n, int32_t *out, int max, int *n_out,
                           vb_error *err) {
    char text[ROOM];
    const char *rest = NULL;
    size_t left = 0;
    (void)self, (void)err;
    *n_out = 0;
    if (!text_of(ids, n, text)) return VB_OK;
    for (size_t i = 0; i < N_TEXTS; i++)
        if (!strncmp(texts[i], text, strlen(text)) && spellable(texts[i] + strlen(text)))
            rest = texts[i] + strlen(text), left++;
    if (left != 1) return VB_OK;
    while (*rest && *n_out < max) {
        int best = 0;
        for (int id = 1; id < LAW_VOCAB; id++)
            if (!strncmp(rest, piece[id], strlen(piece[id])) && strlen(piece[id]) > strlen(piece[best]))
                best = id;
        out[(*n_out)++] = best;
        rest += strlen(piece[best]);
    }
    return VB_OK;
}

vb_mask law_mask_of(const law_case *c, const size_t *step_n) {
    static language l;
    l = (language){c, step_n};
    return (vb_mask){.self = &l,
                     .at = language_at,
                     .forced = language_forced,
                     .n_vocab = LAW_VOCAB,
                     .name = "00000000000000000000000000000000"};
}

/* ---------------------------------------------------------------------- the law again */

/* Order of DESIGN and docs/speculation.md: mask, penalties, temperature, top-k among the allowed, weights. */
static void weights(const law_case *c, const law_table *t, const int32_t *prefix, size_t n, bool masked,
                    uint64_t *w) {
    double x[LAW_VOCAB], max = -1e300;
    bool in[LAW_VOCAB];
    uint64_t table[LAW_VOCAB];
    law_table_weights(t, LAW_VOCAB, prefix, n, table);
    for (int i = 0; i < LAW_VOCAB; i++) {
        x[i] = (double)table[i];
        in[i] = !masked || law_mask_allows(prefix + 1, n - 1, i);
        for (size_t j = 0; j < n; j++)
            if (prefix[j] == i) {
                x[i] -= c->sampling.presence_penalty;
                break;
            }
        if (in[i] && x[i] > max) max = x[i];
    }
    for (int i = 0; i < LAW_VOCAB; i++) {
        int better = 0;
        for (int j = 0; j < LAW_VOCAB; j++) better += in[j] && (x[j] > x[i] || (x[j] == x[i] && j < i));
        w[i] = 0;
        if (!in[i] || (c->sampling.top_k && better >= c->sampling.top_k)) continue;
        w[i] = (uint64_t)(0x1p40 * vb_exp((x[i] - max) / c->sampling.temperature));
    }
}

void law_masked_weights(const law_case *c, const law_table *t, const int32_t *prefix, size_t n, uint64_t *w) {
    weights(c, t, prefix, n, true, w);
}
void law_bare_weights(const law_case *c, const law_table *t, const int32_t *prefix, size_t n, uint64_t *w) {
    weights(c, t, prefix, n, false, w);
}

/* ---------------------------------------------------------------------- masked and conditional */

typedef struct two_laws {
    const law_case *c;
    int32_t path[1 + LAW_TEXT_IDS];
    law_text_laws *out;
} two_laws;

/* Adds what the ids path[1..n) have: under the mask, and under the target's law without one, where only
 * whole texts are counted. */
static void walk(two_laws *t, size_t n, double masked, double bare) {
    uint64_t m[LAW_VOCAB], b[LAW_VOCAB], m_sum = 0, b_sum = 0;
    char text[ROOM];
    text_of(t->path + 1, n - 1, text);
    law_masked_weights(t->c, &t->c->p, t->path, n, m);
    law_bare_weights(t->c, &t->c->p, t->path, n, b);
    for (int i = 0; i < LAW_VOCAB; i++) m_sum += m[i], b_sum += b[i];
    for (int i = 0; i < LAW_VOCAB; i++) {
        if (!law_mask_allows(t->path + 1, n - 1, i)) continue;
        const double pm = masked * (double)m[i] / (double)m_sum, pb = bare * (double)b[i] / (double)b_sum;
        if (i > 0) {
            t->path[n] = i;
            walk(t, n + 1, pm, pb);
            continue;
        }
        for (size_t k = 0; k < N_TEXTS; k++)
            if (!strcmp(texts[k], text)) t->out->masked[k] += pm, t->out->conditional[k] += pb;
    }
}

void law_of_texts(const law_case *c, law_text_laws *out) {
    two_laws t = {.c = c, .out = out};
    *out = (law_text_laws){.n = (int)N_TEXTS, .text = texts};
    walk(&t, 1, 1, 1);
    for (size_t k = 0; k < N_TEXTS; k++) out->valid += out->conditional[k];
    for (size_t k = 0; k < N_TEXTS; k++) out->conditional[k] /= out->valid;
}
