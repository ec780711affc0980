/* law_text.c - two vocabularies of four ids over the letters a and b, for the enumeration of drafts through
 * text, and the mistakes that such a drafter invites (law.h). */
#include "tests/law.h"
#include "tests/tokenizer_util.h"

#include <string.h>

/* By id. Both spell "ab" in more than one way, and no id means the same in both. */
static const char *const target_text[] = {"a", "b", "ab", "ba"}, *const draft_text[] = {"b", "ba", "a", "aa"};

static struct {
    vb_gguf *gguf[2];
    vb_tokenizer *tokenizer[2];
} made;

static void make(int which, const char *const *text, const char *const *merges) {
    vocab v = {0};
    for (int i = 0; i < 4; i++) vocab_add(&v, text[i], VB_TOKEN_NORMAL, 0);
    gw *w = bpe_writer(&v, "gpt-2", merges, 2);
    made.tokenizer[which] = must_open(w, &made.gguf[which]);
    gw_free(w);
    vocab_free(&v);
}

void law_text_open(void) {
    static const char *const target_merges[] = {"a b", "b a"}, *const draft_merges[] = {"b a", "a a"};
    make(0, target_text, target_merges);
    make(1, draft_text, draft_merges);
}

void law_text_close(void) {
    for (int i = 0; i < 2; i++) {
        vb_tokenizer_close(made.tokenizer[i]);
        vb_gguf_close(made.gguf[i]);
    }
}

int law_text_drafter(const law_case *c, const vb_drafter_model_params *m, vb_drafter *out, vb_error *err) {
    const vb_drafter_text_params p = {.lm = m->lm,
                                      .target = made.tokenizer[0],
                                      .draft = made.tokenizer[1],
                                      .law = m->law,
                                      .limit = m->limit,
                                      .choice = m->choice,
                                      .stop = m->stop,
                                      .n_stop = m->n_stop};
    (void)c;
    return vb_drafter_text(out, &p, err);
}

/* TEXT_WEIGHED: what is proposed for certain is said to have been drawn with the probability that the draft
 * model gave its id. Here 3 of 4, the rest another id's. */
void law_text_weigh(int n_vocab, vb_proposal *out) {
    static int32_t id[VB_MAX_GAMMA][2];
    static uint64_t w[VB_MAX_GAMMA][2];
    for (int i = 0; i < out->n; i++) {
        const int32_t x = out->drafted[i].id, y = (x + 1) % n_vocab;
        id[i][0] = x < y ? x : y;
        id[i][1] = x < y ? y : x;
        w[i][0] = x < y ? 3 : 1;
        w[i][1] = x < y ? 1 : 3;
        out->q[i] = (vb_dist){2, id[i], w[i], 4};
    }
}

/* TEXT_SPELLED: a draft is accepted where its text begins with that of the target's choice, however it is
 * spelled. */
int law_text_rule(vb_verify *v, vb_error *err) {
    v->n_accepted = 0;
    v->final = -1;
    v->has_final_coin = false;
    for (int i = 0;; i++) {
        const vb_dist *p;
        if (i > 0 && v->ends[i - 1]) return VB_OK;
        const int rc = v->p(v->arg, i, &p, err);
        if (rc) return rc;
        const int32_t y = v->coins->race(v->coins->self, p, v->position + (uint32_t)i);
        if (i == v->n || strncmp(target_text[v->draft[i]], target_text[y], strlen(target_text[y])) != 0) {
            v->final = y;
            return VB_OK;
        }
        v->drafted[i].tested = v->drafted[i].accepted = true;
        v->kept[v->n_accepted++] = i;
    }
}
