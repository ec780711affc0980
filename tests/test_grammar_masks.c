/* test_grammar_masks.c - masks of random grammars under random vocabularies, every id at every prefix,
 * against enumeration: an id is allowed iff some run of ids completes the text to one that the slow
 * recogniser of grammar_reference.c accepts. Vocabularies overlap, split a character between ids, lack
 * bytes. Then the same comparison must notice mistakes that are planted. VB_GRAMMARS=N: how many grammars. */
#include "grammar/grammar.h"
#include "grammar/mask.h"
#include "tests/grammar_reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LONGEST = 7, MAX_WORDS = 24, TEXTS = 21845 }; /* 1 + 4 + ... + 4^7 texts of up to seven bytes */

/* The text of a number: its digits in base 4 behind a leading 1. */
static int text_of(int number, char *out) {
    int n = 0, first = 0, count = 1;
    while (number >= first + count) first += count, count *= 4, n++;
    number -= first;
    for (int i = n - 1; i >= 0; i--, number /= 4) out[i] = ref_alphabet[number % 4];
    return n;
}
static int number_of(const char *s, int n) {
    int first = 0, count = 1, x = 0;
    for (int i = 0; i < n; i++) {
        first += count, count *= 4;
        x = 4 * x + (int)((const char *)memchr(ref_alphabet, s[i], 4) - ref_alphabet);
    }
    return first + x;
}

typedef enum plant { HONEST, KEEP_DEAD_ENDS, END_EARLY, OTHER_STATE, FORGET_STRADDLERS } plant;

typedef struct rig {
    ref_grammar g;
    char what[2000];
    vbg_word word[MAX_WORDS];
    char bytes[MAX_WORDS][4];
    int n_words;
    bool viable[TEXTS], accepted[TEXTS]; /* by number: can be completed within LONGEST, is complete */
    vb_grammar *grammar;
    vbg_vocab v;
    vbg_machine *m;
    vbg_spell *spell;
    vbg_masker *k;
    plant plant;
    bool memory, sound_only;
    long checked, allowed, witnesses, unknown;
} rig;

static void random_words(rig *r, uint64_t *rng, bool complete) {
    const int mode = complete ? 0 : (int)(vb_splitmix64(rng) % 3); /* all bytes; most; few */
    r->n_words = 0;
    for (int i = 0; i < 4; i++)
        if (mode == 0 || vb_splitmix64(rng) % (mode == 1 ? 4 : 2)) {
            r->bytes[r->n_words][0] = ref_alphabet[i];
            r->word[r->n_words].n = 1;
            r->n_words++;
        }
    const int more = 1 + (int)(vb_splitmix64(rng) % 16);
    for (int i = 0; i < more; i++) {
        const int n = 1 + (int)(vb_splitmix64(rng) % 4);
        for (int k = 0; k < n; k++) r->bytes[r->n_words][k] = ref_alphabet[vb_splitmix64(rng) % 4];
        r->word[r->n_words++].n = (size_t)n;
    }
    for (int i = 0; i < r->n_words; i++) r->word[i].s = r->bytes[i], r->word[i].id = i;
}

/* Every text that the recogniser takes, and every beginning of one whose rest is a run of ids. */
static void enumerate(rig *r) {
    char s[LONGEST];
    memset(r->viable, 0, sizeof r->viable);
    for (int t = 0; t < TEXTS; t++) {
        bool spelled[LONGEST + 1] = {false};
        const int n = text_of(t, s);
        r->accepted[t] = ref_match(&r->g, s, n);
        if (!r->accepted[t]) continue;
        spelled[n] = true;
        for (int i = n - 1; i >= 0; i--)
            for (int w = 0; w < r->n_words; w++)
                if (r->word[w].n <= (size_t)(n - i) && memcmp(r->word[w].s, s + i, r->word[w].n) == 0)
                    spelled[i] |= spelled[i + (int)r->word[w].n];
        for (int i = 0; i <= n; i++) r->viable[number_of(s, i)] |= spelled[i];
    }
}

static void ask(rig *r, uint32_t state, uint64_t *bits) {
    vb_error err = {0};
    if (vbg_mask(r->k, state, bits, &err)) fail_msg("%s: %s", r->what, err.message);
}

/* What the mask leads to: a complete text by allowed ids alone, within 40 bytes. Breadth first over states.
 * 1: found, 0: there is none, -1: too many states to say. */
static int witness(rig *r, uint32_t state, const char *s, int n, char *out, int *n_out) {
    enum { MOST = 600 };
    static struct {
        uint32_t state;
        int from, word, len;
    } q[MOST];
    int head = 0, tail = 1;
    q[0].state = state, q[0].from = -1, q[0].len = n;
    const int most = r->memory ? 60 : MOST; /* memories make a state of every order of texts */
    while (head < tail) {
        if (r->m->states[q[head].state].accept) {
            char text[64];
            int at = q[head].len;
            *n_out = at;
            for (int i = head; q[i].from >= 0; i = q[i].from) {
                at -= (int)r->word[q[i].word].n;
                memcpy(text + at, r->word[q[i].word].s, r->word[q[i].word].n);
            }
            memcpy(text, s, (size_t)n);
            memcpy(out, text, (size_t)*n_out);
            return 1;
        }
        uint64_t bits[1] = {0};
        ask(r, q[head].state, bits);
        for (int w = 0; w < r->n_words && tail < most; w++) {
            if (!(bits[0] >> w & 1) || q[head].len + (int)r->word[w].n > 56) continue;
            const uint32_t to = vbg_advance(r->m, q[head].state, r->word[w].s, r->word[w].n);
            bool known = to == VBG_DEAD_STATE;
            for (int i = 0; i < tail && !known; i++) known = q[i].state == to;
            if (known) continue;
            q[tail].state = to, q[tail].from = head, q[tail].word = w;
            q[tail].len = q[head].len + (int)r->word[w].n;
            tail++;
        }
        head++;
    }
    return tail < most ? 0 : -1;
}

/* The mask as it is, or with a mistake in it. */
static uint64_t mask_of(rig *r, uint32_t state) {
    uint64_t bits[1] = {0};
    ask(r, state, bits);
    if (r->plant == KEEP_DEAD_ENDS) /* what bytes allow, whatever can be spelled afterwards */
        for (int w = 0; w < r->n_words; w++)
            if (vbg_advance(r->m, state, r->word[w].s, r->word[w].n) != VBG_DEAD_STATE)
                bits[0] |= UINT64_C(1) << w;
    if (r->plant == OTHER_STATE) {
        bits[0] = 0;
        ask(r, state > 2 ? state - 1 : state, bits);
    }
    if (r->plant == FORGET_STRADDLERS) { /* ids whose bytes end one lexeme and begin another */
        const vbg_state s = r->m->states[state];
        uint64_t inside = 0;
        for (int w = 0; w < r->n_words; w++)
            for (uint32_t h = 0; h < s.n; h++) {
                vbg_node x = r->m->heads[s.first + h].lexeme;
                for (size_t i = 0; i < r->word[w].n; i++) x = vbg_step(r->m, x, (uint8_t)r->word[w].s[i]);
                if (x != VBG_NONE) inside |= UINT64_C(1) << w;
            }
        bits[0] &= inside;
    }
    return bits[0];
}

/* False, and says why, at the first difference. */
static bool compare(rig *r, uint32_t state, const char *s, int n, int depth, char *why, size_t size) {
    const bool end = r->m->states[state].accept || (r->plant == END_EARLY && n == 2);
    if (end != r->accepted[number_of(s, n)])
        return snprintf(why, size, "end after %d bytes: %d", n, end), false;
    const uint64_t mask = mask_of(r, state);
    if (n && !mask && !end) return snprintf(why, size, "empty mask after %d bytes", n), false;
    for (int w = 0; w < r->n_words; w++) {
        const int len = n + (int)r->word[w].n;
        char t[64], found[64];
        int n_found;
        if (len > LONGEST) continue;
        memcpy(t, s, (size_t)n);
        memcpy(t + n, r->word[w].s, r->word[w].n);
        const bool allowed = mask >> w & 1;
        r->checked++;
        r->allowed += allowed;
        if (!allowed && !r->sound_only && r->viable[number_of(t, len)])
            return snprintf(why, size, "id %d after %d bytes refused", w, n), false;
        if (!allowed) continue;
        const uint32_t to = vbg_advance(r->m, state, r->word[w].s, r->word[w].n);
        if (!r->viable[number_of(t, len)]) { /* then a longer text must show it */
            const int w_rc = witness(r, to, t, len, found, &n_found);
            r->witnesses++;
            r->unknown += w_rc < 0;
            if (w_rc == 0 || (w_rc > 0 && !ref_match(&r->g, found, n_found)))
                return snprintf(why, size, "id %d after %d bytes allowed", w, n), false;
        }
        if (depth && !compare(r, to, t, len, depth - 1, why, size)) return false;
    }
    return true;
}

static void close_rig(rig *r) {
    vbg_masker_free(r->k);
    vbg_spell_free(r->spell);
    vbg_machine_free(r->m);
    vbg_vocab_free(&r->v);
    vb_grammar_close(r->grammar);
}

/* A random grammar and vocabulary, ready to be asked. False if there is no text, or none can be spelled: then
 * enumeration must find none either. */
static bool open_rig(rig *r, uint64_t seed, bool memory) {
    uint64_t rng = seed;
    vbg_ir *ir;
    vb_error err = {0};
    memset(r, 0, sizeof *r);
    r->memory = memory;
    /* Fresh texts, if only finitely many of them can be spelled, are exact only where every byte is an id:
     * elsewhere what is allowed must be right, and more might be (grammar/spell.h). */
    const bool complete = memory && seed % 2;
    r->sound_only = memory && !complete;
    ref_random(&r->g, &rng, memory ? 1 + complete : 0);
    ref_print(&r->g, r->what, sizeof r->what);
    random_words(r, &rng, complete);
    assert_int_equal(vbg_ir_new(&ir, NULL), 0);
    const int rc = vbg_ir_finish(ir, ref_build(ir, &r->g), &r->grammar, &err);
    enumerate(r);
    if (rc) {
        vbg_ir_free(ir);
        if (rc != VB_ERR_ARGUMENT && !strstr(err.message, "left recursive"))
            fail_msg("seed %llu: %s", (unsigned long long)seed, err.message);
        for (int t = 0; t < TEXTS && rc == VB_ERR_ARGUMENT; t++)
            if (r->accepted[t])
                fail_msg("seed %llu: %s: text %d, yet %s", (unsigned long long)seed, r->what, t, err.message);
        return false;
    }
    assert_int_equal(vbg_vocab_build(&r->v, r->word, r->n_words, NULL), 0);
    assert_int_equal(vbg_ir_copy(&ir, r->grammar->ir, NULL), 0);
    assert_int_equal(vbg_machine_new(&r->m, ir, NULL), 0);
    if (vbg_spell_new(&r->spell, r->m, &r->v, NULL, &err)) fail_msg("%s", err.message);
    assert_int_equal(vbg_masker_new(&r->k, r->m, &r->v, r->spell, NULL), 0);
    if (r->spell && !vbg_spell_state(r->spell, r->m->start)) {
        if (r->viable[0] && !r->sound_only)
            fail_msg("seed %llu: %s: can be spelled", (unsigned long long)seed, r->what);
        close_rig(r);
        return false;
    }
    return true;
}

static int how_many(int least) {
    const char *s = getenv("VB_GRAMMARS");
    return s ? atoi(s) : least;
}

static void run_many(int n, uint64_t first, bool memory) {
    static rig r;
    long grammars = 0, unusual = 0, checked = 0, allowed = 0, witnesses = 0, unknown = 0;
    for (int i = 0; i < n; i++) {
        char why[200] = "";
        if (!open_rig(&r, first + (uint64_t)i, memory)) continue;
        if (getenv("VB_SHOW"))
            printf("# seed %llu: %s\n", (unsigned long long)first + (unsigned)i, r.what), fflush(stdout);
        grammars++, unusual += r.spell != NULL;
        if (!compare(&r, r.m->start, "", 0, memory ? 2 : 3, why, sizeof why)) {
            for (int w = 0; w < r.n_words; w++) {
                char e[40];
                printf("# id %d: ", w);
                for (size_t k = 0; k < r.word[w].n; k++) printf("%02x", (uint8_t)r.word[w].s[k]);
                (void)e;
                printf("\n");
            }
            fail_msg("seed %llu: %s: %s", (unsigned long long)(first + (uint64_t)i), r.what, why);
        }
        checked += r.checked, allowed += r.allowed, witnesses += r.witnesses, unknown += r.unknown;
        close_rig(&r);
    }
    printf("# %ld grammars of %d (%ld under vocabularies without some byte): %ld ids compared, %ld allowed, "
           "%ld by longer "
           "texts, %ld of them not followed to the end\n",
           grammars, n, unusual, checked, allowed, witnesses, unknown);
    assert_true(unknown * (memory ? 4 : 50) <= allowed);
    assert_true(grammars > n / 4 && unusual > n / 20);
}

static void every_id(void **state) {
    (void)state;
    run_many(how_many(300), 1, false);
}

static void with_memory(void **state) {
    (void)state;
    run_many(how_many(200), 1000000, true);
}

/* The comparison notices each of these on some grammar, most of them soon. */
static void planted(void **state) {
    (void)state;
    static const char *const names[] = {"", "dead ends kept", "end allowed early",
                                        "the mask of another state", "straddling ids forgotten"};
    for (plant p = KEEP_DEAD_ENDS; p <= FORGET_STRADDLERS; p++) {
        static rig r;
        char why[200] = "";
        int caught = 0, tried = 0;
        for (uint64_t seed = 1; seed <= 500 && !caught; seed++) {
            if (!open_rig(&r, seed, false)) continue;
            r.plant = p;
            tried++;
            caught = !compare(&r, r.m->start, "", 0, 3, why, sizeof why);
            close_rig(&r);
        }
        printf("# planted: %s: %s after %d grammars (%s)\n", names[p], caught ? "caught" : "NOT caught",
               tried, why);
        assert_true(caught);
    }
}

/* By hand: a letter that no id has, or only one together with what stands before it. */
static void dead_ends(void **state) {
    (void)state;
    static const struct {
        const char *words[6];
        uint64_t start; /* the first mask */
        const char *why;
    } t[] = {
        {{"a", "b", "ad", "c"}, 1 | 4, "b needs x or y, which no id has"},
        {{"a", "b", "ad"}, 4, "neither c nor d can follow a, but the id ad has both"},
        {{"a", "bx", "b"}, 2, "bx alone"},
        {{"a", "d", "b", "x"}, 1 | 4, "all can be completed"},
        {{"b", "y", "yx"}, 1, "y goes on to y, and at last to yx"},
        {{"b", "y", "c"}, 0, "y never comes to an end"},
    };
    const char *const grammar = "root ::= \"a\" (\"c\" | \"d\") | \"b\" r\nr ::= \"x\" | \"y\" r";
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        vbg_word w[6];
        static rig r;
        uint64_t bits[1] = {0};
        int n = 0;
        vbg_ir *ir;
        memset(&r, 0, sizeof r);
        for (; n < 6 && t[i].words[n]; n++) w[n] = (vbg_word){t[i].words[n], strlen(t[i].words[n]), n};
        assert_int_equal(vb_grammar_open(&r.grammar, VB_GRAMMAR_GBNF, grammar, strlen(grammar), NULL, NULL),
                         0);
        assert_int_equal(vbg_vocab_build(&r.v, w, n, NULL), 0);
        assert_int_equal(vbg_ir_copy(&ir, r.grammar->ir, NULL), 0);
        assert_int_equal(vbg_machine_new(&r.m, ir, NULL), 0);
        assert_int_equal(vbg_spell_new(&r.spell, r.m, &r.v, NULL, NULL), 0);
        assert_int_equal(vbg_masker_new(&r.k, r.m, &r.v, r.spell, NULL), 0);
        ask(&r, r.m->start, bits);
        if (bits[0] != t[i].start) fail_msg("%s: mask %llx", t[i].why, (unsigned long long)bits[0]);
        assert_int_equal(vbg_spell_state(r.spell, r.m->start), t[i].start != 0);
        close_rig(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead_ends),
        cmocka_unit_test(every_id),
        cmocka_unit_test(with_memory),
        cmocka_unit_test(planted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
