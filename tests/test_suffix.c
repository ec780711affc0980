/* The suffix automaton against a search by definition, the drafter's proposals, and what makes them
 * exact: they are a function of the path, however it was read. */
#include "sampling/suffix.h"

#include "tests/spec_rig.h"
#include "sampling/drafter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static uint32_t state_of_noise = 1;
static uint32_t noise(void) {
    state_of_noise = state_of_noise * 1664525u + 1013904223u;
    return state_of_noise >> 8;
}

/* The longest suffix of text[0..n) that occurs in text[0..m), ending before `before`. */
static int longest(const int32_t *text, int n, const int32_t *in, int m, int *end) {
    int best = 0;
    for (int e = 1; e <= m; e++) {
        int len = 0;
        while (len < e && len < n && in[e - 1 - len] == text[n - 1 - len]) len++;
        if (len > 0 && len >= best) best = len, *end = e;
    }
    return best;
}

/* Random texts over few and many letters, and the worst ones: runs, and runs with one change. */
static void automaton_by_definition(void **state) {
    enum { N = 200 };
    (void)state;
    for (int kind = 0; kind < 40; kind++) {
        int32_t text[N], other[N];
        const uint32_t letters = 1 + (uint32_t)kind % 7;
        for (int i = 0; i < N; i++)
            text[i] = (int32_t)(noise() % letters), other[i] = (int32_t)(noise() % letters);
        if (kind >= 35) memset(text, 0, sizeof text), text[17 * (kind - 34)] = 1;
        vb_suffix *s = NULL;
        assert_int_equal(vb_suffix_open(&s, N, NULL), 0);
        for (int n = 1; n <= N; n++) {
            assert_true(vb_suffix_add(s, text[n - 1]));
            int due_end = 0;
            size_t end = 0;
            const int due = longest(text, n, text, n - 1, &due_end);
            const vb_suffix_match m = vb_suffix_repeat(s, &end);
            assert_int_equal(m.len, due);
            if (due == 0) continue;
            /* An occurrence, and the latest one where few repeats nest. */
            assert_true(end < (size_t)n && end >= (size_t)due);
            assert_memory_equal(text + end - due, text + n - due, (size_t)due * sizeof *text);
            if (letters > 2 && kind < 35) assert_int_equal(end, due_end);
        }
        assert_false(vb_suffix_add(s, 0));
        assert_true(vb_suffix_states(s) <= 2 * N);
        vb_suffix_match m = {0, 0};
        for (int n = 1; n <= N; n++) {
            int at = 0;
            m = vb_suffix_step(s, m, other[n - 1]);
            assert_int_equal(m.len, longest(other, n, text, N, &at));
            const size_t end = vb_suffix_end(s, m);
            assert_memory_equal(text + end - m.len, other + n - m.len, (size_t)m.len * sizeof *text);
        }
        vb_suffix_clear(s);
        assert_int_equal(vb_suffix_length(s), 0);
        assert_true(vb_suffix_add(s, 5) && vb_suffix_length(s) == 1);
        vb_suffix_close(s);
    }
    vb_error err = {0};
    vb_suffix *s = NULL;
    assert_int_equal(vb_suffix_open(&s, VB_SUFFIX_TOKENS + 1, &err), VB_ERR_UNSUPPORTED);
}

/* ---------------------------------------------------------------------- proposals */

enum { MOST_DRAFTS = 8, STOP = 30, LIMIT = 50, ROOM = 128 };

typedef struct asked {
    int n;
    int32_t id[MOST_DRAFTS];
} asked;

/* What d proposes behind path[0..n), of which the last `given` tokens stand in the proposal already. */
static asked ask(const vb_drafter *d, const int32_t *path, int n, int given) {
    static int32_t ids[MOST_DRAFTS];
    static uint64_t w[MOST_DRAFTS];
    int32_t copy[ROOM + MOST_DRAFTS];
    vb_dist_space space[MOST_DRAFTS];
    vb_dist q[MOST_DRAFTS];
    vb_drafted drafted[MOST_DRAFTS];
    vb_proposal out = {.max = MOST_DRAFTS, .space = space, .q = q, .drafted = drafted};
    asked a = {0};
    for (int i = 0; i < MOST_DRAFTS; i++) space[i] = (vb_dist_space){1, &ids[i], &w[i]};
    memcpy(copy, path, (size_t)n * sizeof *path);
    n -= given;
    for (int i = 0; i < given; i++) vb_propose_certain(&out, copy, (size_t)n, path[n + i], 1);
    assert_int_equal(vb_drafter_draft(d, copy, (size_t)n, &out, NULL), 0);
    for (int i = given; i < out.n; i++) {
        a.id[a.n++] = drafted[i].id;
        assert_true(drafted[i].copied && !drafted[i].has_draw);
        assert_true(q[i].n == 1 && q[i].id[0] == drafted[i].id && q[i].w[0] == q[i].total);
    }
    return a;
}

static vb_drafter open_suffix(int min, const vb_corpus *corpus) {
    static const int32_t stop = STOP;
    vb_drafter d;
    const vb_drafter_suffix_params p = {
        .min = min, .corpus = corpus, .limit = LIMIT, .n_ctx = ROOM, .stop = &stop, .n_stop = 1};
    assert_int_equal(vb_drafter_suffix(&d, &p, NULL), 0);
    return d;
}

static void lookups(void **state) {
    (void)state;
    static const int32_t books[] = {1, 2, 3, 4, 41, 42, -1, 7, 8, 9, 1, 2};
    static const struct {
        int32_t path[12];
        int n, given, min;
        bool corpus;
        int n_out;
        int32_t out[MOST_DRAFTS];
    } cases[] = {
        {{1, 2, 3, 9, 1, 2, 3}, 7, 0, 1, false, 6, {9, 1, 2, 3, 9, 1}}, /* twice as long as the match */
        {{1, 2, 3, 9, 2, 3, 8, 2, 3}, 9, 0, 1, false, 4, {8, 2, 3, 8}}, /* the latest of two */
        {{7, 2, 3, 9, 5, 3, 8, 2, 3}, 9, 0, 1, false, 4, {9, 5, 3, 8}}, /* the longest, not the latest */
        {{1, 2, 3, 4}, 4, 0, 1, false, 0, {0}},
        {{5, 5, 5, 5}, 4, 0, 1, false, 6, {5, 5, 5, 5, 5, 5}}, /* a loop */
        {{1, 2, 9, 3, 2}, 5, 0, 2, false, 0, {0}},             /* too short */
        {{1, 2, 60, 3, 1, 2}, 6, 0, 1, false, 0, {0}},         /* 60 is beyond the limit */
        {{1, 2, STOP, 3, 1, 2}, 6, 0, 1, false, 1, {STOP}},
        {{1, 2, 3, 9, 5, 1, 2}, 7, 1, 1, false, 4, {3, 9, 5, 1}},      /* behind text that must follow */
        {{9, 1, 2, 3}, 4, 0, 2, true, 3, {4, 41, 42}},                 /* from a book, which ends */
        {{2, 3, 9, 1, 2, 3}, 6, 0, 2, true, 3, {4, 41, 42}},           /* the book's match is longer */
        {{1, 2, 3, 9, 1, 2, 3}, 7, 0, 2, true, 6, {9, 1, 2, 3, 9, 1}}, /* as long: the path's own */
        {{42, 7, 8, 42, 7}, 5, 0, 2, true, 4, {8, 42, 7, 8}},          /* no match across books */
        {{1, 2, 40, 1, 2, 3}, 6, 1, 2, true, 3, {4, 41, 42}},          /* a book, behind what must follow */
        {{1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 9}, 11, 0, 2, false, 4, {6, 1, 2, 3}}, /* 9 stands for 5 */
        {{1, 2, 3, 4, 5, 6, 1, 2, 3, 9}, 10, 0, 2, false, 0, {0}},             /* too short to say so */
        {{1, 2, 3, 4, 5, 1, 2, 3, 4, 9, 8}, 11, 0, 2, false, 0, {0}},          /* one token later no more */
        {{6, 9, 7, 1, 2, 3, 4, 1, 2, 3, 4, 9}, 12, 0, 1, false, 4, {2, 3, 4, 9}}, /* though 9 occurred, too */
    };
    vb_corpus *corpus = NULL;
    assert_int_equal(vb_corpus_open(&corpus, books, sizeof books / sizeof *books, NULL), 0);
    assert_int_equal(vb_corpus_tokens(corpus), 12);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        for (int piecewise = 0; piecewise < 2; piecewise++) {
            vb_drafter d = open_suffix(cases[k].min, cases[k].corpus ? corpus : NULL);
            for (int n = 1; piecewise && n < cases[k].n - cases[k].given; n++) {
                ask(&d, cases[k].path, n, 0);
                d.settle(d.self, (size_t)n);
            }
            const asked a = ask(&d, cases[k].path, cases[k].n, cases[k].given);
            if (a.n != cases[k].n_out || memcmp(a.id, cases[k].out, (size_t)a.n * sizeof *a.id))
                fail_msg("case %zu: %d drafts, %d %d ..., due %d", k, a.n, (int)a.id[0], (int)a.id[1],
                         cases[k].n_out);
            d.close(d.self);
        }
    }
    vb_corpus_close(corpus);
}

/* ---------------------------------------------------------------------- a function of the path */

/* Generations in which drafts are kept in part, at random. After every step a drafter that reads the path
 * anew proposes the same. `beyond`: the planted mistake, a drafter that takes its own drafts into the
 * automaton. Returns how many steps had another proposal. */
static int differing_steps(bool beyond, bool with_corpus) {
    int differ = 0;
    static const int32_t books[] = {1, 2, 3, 1, 1, 2, 2, 3, 3, 1, 2, 1, 3, 2, 2, 1};
    vb_corpus *corpus = NULL;
    assert_int_equal(vb_corpus_open(&corpus, books, 16, NULL), 0);
    for (int seed = 0; seed < 20; seed++) {
        vb_drafter d = open_suffix(1, with_corpus ? corpus : NULL);
        int32_t path[ROOM + MOST_DRAFTS];
        int n = 3;
        for (int i = 0; i < n; i++) path[i] = (int32_t)(1 + noise() % 3);
        while (n < 90) {
            vb_drafter anew = open_suffix(1, with_corpus ? corpus : NULL);
            const asked a = ask(&d, path, n, 0), b = ask(&anew, path, n, 0);
            differ += a.n != b.n || memcmp(a.id, b.id, (size_t)a.n * sizeof *a.id) != 0;
            anew.close(anew.self);
            memcpy(path + n, a.id, (size_t)a.n * sizeof *a.id);
            if (beyond) assert_int_equal(d.sync(d.self, path, (size_t)n + (size_t)a.n, NULL), 0);
            const int kept = (int)(noise() % (uint32_t)(a.n + 1));
            if (!beyond) d.settle(d.self, (size_t)n + (size_t)kept);
            path[n + kept] = (int32_t)(1 + noise() % 3);
            n += kept + 1;
            if (noise() % 10 == 0 && n > 20) { /* text is taken back */
                n -= 10;
                d.settle(d.self, (size_t)n);
            }
        }
        d.close(d.self);
    }
    vb_corpus_close(corpus);
    return differ;
}

static void proposals_follow_from_the_path(void **state) {
    (void)state;
    assert_int_equal(differing_steps(false, false), 0);
    assert_int_equal(differing_steps(false, true), 0);
    const int caught = differing_steps(true, false);
    printf("a suffix from beyond the path: another proposal than after reading the path anew in %d steps\n",
           caught);
    assert_true(caught > 100);
}

/* ---------------------------------------------------------------------- in the loop */

/* P2 and P4 under every rule: alone, in front of a model, with a corpus; and the text of a seed under
 * rejection and block is that of a generation that begins again in the middle (a prefix hit). */
static void generations(void **state) {
    (void)state;
    static const vb_accept rules[] = {VB_ACCEPT_COUPLED, VB_ACCEPT_GREEDY, VB_ACCEPT_REJECTION,
                                      VB_ACCEPT_BLOCK};
    int copied = 0, drawn = 0;
    for (int r = 0; r < 4; r++) {
        for (int kind = 0; kind < 3; kind++) {
            for (uint64_t seed = 1; seed <= 6; seed++) {
                const double temperature = rules[r] == VB_ACCEPT_GREEDY ? 0 : 0.6;
                job alone = a_job(VB_ACCEPT_COUPLED, ALONE, 1, temperature, seed),
                    j = a_job(rules[r], kind ? BY_MODEL : BY_SUFFIX, 6, temperature, seed);
                outcome a, o, again;
                j.n = alone.n = 60;
                j.suffix_min = kind == 2 ? 2 : kind ? 3 : 1;
                run(&j, &o);
                run(&j, &again);
                same(&again, &o, &j);
                for (int i = 0; i < 32; i++) copied += (int)o.copied_at[i], drawn += (int)o.drawn_at[i];
                if (r < 2) {
                    run(&alone, &a);
                    same(&o, &a, &j);
                }
                j.resume_at = 5; /* the vb_spec is closed and opened again over what the caches hold */
                run(&j, &again);
                same(&again, &o, &j);
            }
        }
    }
    printf("%d copies, %d tokens drawn by a model\n", copied, drawn);
    assert_true(copied > 500 && drawn > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(automaton_by_definition),
        cmocka_unit_test(lookups),
        cmocka_unit_test(proposals_follow_from_the_path),
        cmocka_unit_test(generations),
    };
    return cmocka_run_group_tests_name("suffix", tests, open_rig, close_rig);
}
