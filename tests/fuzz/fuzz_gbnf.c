/* fuzz_gbnf.c - libFuzzer: grammars in GBNF, and texts under them. Input: a grammar, a NUL byte, a
 * text. Nothing may crash or take long; what is refused says why; and what is taken keeps its word: a
 * byte that may come can come, one that may not cannot, and under a small vocabulary no mask is empty
 * before the end. */
#include <stdlib.h>
#include <string.h>

#include "grammar/grammar.h"
#include "grammar/mask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good) {
    if (!good) abort();
}

enum { WORDS = 40 };

/* Pieces of the input itself, and single bytes, not all of them. */
static int make_words(const uint8_t *data, size_t size, vbg_word *w) {
    int n = 0;
    for (size_t i = 0; i < size && n < WORDS; i += 3) {
        const size_t len = 1 + (size_t)data[i] % 4;
        if (i + len > size) break;
        w[n] = (vbg_word){(const char *)data + i, len, n};
        n++;
    }
    return n;
}

/* A walk along allowed ids, each chosen by the input. */
static void follow(vbg_machine *m, vbg_spell *spell, const vbg_vocab *v, const uint8_t *data, size_t size) {
    vbg_masker *k;
    uint32_t state = m->start;
    if (vbg_masker_new(&k, m, v, spell, NULL)) return;
    for (size_t i = 0; i < size && i < 24; i++) {
        uint64_t bits[1] = {0};
        int n = 0, chosen = -1;
        if (vbg_mask(k, state, bits, NULL) || vbg_spell_error(spell, NULL)) break;
        for (int id = 0; id < v->n_vocab; id++) n += bits[0] >> id & 1;
        check(n || m->states[state].accept);
        if (n == 0) break;
        for (int id = 0, at = data[i] % n; id < v->n_vocab && chosen < 0; id++)
            if (bits[0] >> id & 1 && at-- == 0) chosen = id;
        const uint32_t to = vbg_advance(m, state, v->text[chosen].s, v->text[chosen].n);
        if (m->error.code) break;
        check(to != VBG_DEAD_STATE);
        state = to;
    }
    vbg_masker_free(k);
}

static void run(const vb_grammar *g, const uint8_t *text, size_t n) {
    uint64_t next[4], after[4];
    bool complete, then;
    size_t valid;
    vb_error err = {0};
    vbg_word w[WORDS];
    vbg_vocab v;
    vbg_ir *ir;
    vbg_machine *m;
    vbg_spell *spell;
    if (vb_grammar_text(g, (const char *)text, n, next, &complete, &valid, &err)) {
        check(err.message[0]);
        return;
    }
    check(valid <= n && (valid == n || (!complete && !(next[0] | next[1] | next[2] | next[3]))));
    if (n && !vb_grammar_text(g, (const char *)text, n - 1, after, &then, NULL, NULL))
        check((after[text[n - 1] >> 6] >> (text[n - 1] & 63) & 1) == (valid == n));
    const int n_words = make_words(text, n, w);
    if (vbg_vocab_build(&v, w, n_words, NULL)) return;
    if (!vbg_ir_copy(&ir, g->ir, NULL) && !vbg_machine_new(&m, ir, NULL)) {
        m->max_bytes = 16 << 20;
        if (!vbg_spell_new(&spell, m, &v, NULL, NULL)) {
            if (!spell || vbg_spell_state(spell, m->start)) follow(m, spell, &v, text, n);
            vbg_spell_free(spell);
        }
        vbg_machine_free(m);
    }
    vbg_vocab_free(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    const size_t n = nul ? (size_t)(nul - data) : size;
    vb_grammar *g = NULL;
    vb_error err = {0};
    /* In memory of its own, so that a read beyond it is seen. */
    char *source = malloc(n ? n : 1);
    uint8_t *text = malloc(size - n ? size - n : 1);
    if (source && text) {
        const size_t n_text = nul ? size - n - 1 : 0;
        memcpy(source, data, n);
        if (n_text) memcpy(text, nul + 1, n_text);
        if (vb_grammar_open(&g, VB_GRAMMAR_GBNF, source, n, NULL, &err))
            check(err.code < 0 && err.message[0]);
        else
            run(g, text, n_text < 64 ? n_text : 64);
        vb_grammar_close(g);
    }
    free(source);
    free(text);
    return 0;
}
