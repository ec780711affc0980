/* test_server_turns.c - how the prompts' share of a round is divided: the shortest rests first, a part for
 * the oldest, nobody starved, nothing wasted. */
#include "server/engine_parts.h"

#include "tests/gguf_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MOST = 12 };

static vbs_reader reads(size_t left) {
    return (vbs_reader){.left = left, .behind = -1};
}

#define EXPECT(r, ...)                                                                                       \
    do {                                                                                                     \
        const size_t expected[] = {__VA_ARGS__};                                                             \
        for (size_t i_ = 0; i_ < sizeof expected / sizeof *expected; i_++)                                   \
            assert_int_equal((r)[i_].piece, expected[i_]);                                                   \
    } while (0)

static void by_hand(void **state) {
    (void)state;
    vbs_reader r[4] = {reads(3000), reads(2900), reads(3000), reads(3)};
    vbs_divide(r, 4, 64);
    EXPECT(r, 16, 45, 0, 3);
    r[1].left = 3000; /* of two that are equal the older one */
    vbs_divide(r, 4, 64);
    EXPECT(r, 61, 0, 0, 3);
    vbs_divide(r, 1, 64);
    EXPECT(r, 64);
    vbs_divide(r + 3, 1, 64);
    EXPECT(r + 3, 3);
    vbs_divide(r, 4, 1); /* the oldest goes on under any budget */
    EXPECT(r, 1, 0, 0, 0);
    vbs_divide(r, 4, 0);
    EXPECT(r, 0, 0, 0, 0);
    vbs_divide(r, 0, 64);
    /* Who is waited for counts as short as who waits, also in a chain, and who waits reads nothing. */
    vbs_reader chain[4] = {reads(3000), reads(5000), reads(4000), reads(200)};
    chain[2].behind = 1;
    chain[3].behind = 2;
    vbs_divide(chain, 4, 64);
    EXPECT(chain, 16, 48, 0, 0);
}

/* Whatever comes meanwhile, the oldest ends after at most four times its rounds alone. */
static void oldest_goes_on(void **state) {
    (void)state;
    for (size_t budget = 1; budget <= 64; budget++) {
        size_t left = 1000, rounds = 0;
        const size_t part = budget / 4 ? budget / 4 : 1;
        for (; left > 0; rounds++) {
            vbs_reader r[MOST] = {reads(left)};
            for (size_t i = 1; i < MOST; i++) r[i] = reads(1 + (rounds * i) % 20); /* a new crowd each time */
            vbs_divide(r, MOST, budget);
            assert_true(r[0].piece >= part || r[0].piece == left);
            left -= r[0].piece;
        }
    }
}

/* Random readers, who wait for random older ones: nobody gets more than is left of its prompt, who waits gets
 * nothing, the budget is used as far as there is anything to read, a shorter one is never served worse, and
 * all end. */
static void at_random(void **state) {
    (void)state;
    gw_rng rng = {11};
    for (int round = 0; round < 2000; round++) {
        vbs_reader r[MOST];
        size_t n = 1 + (size_t)(gw_next(&rng) % MOST), passes = 0;
        const size_t budget = 1 + (size_t)(gw_next(&rng) % 64);
        for (size_t i = 0; i < n; i++) {
            r[i] = reads(1 + (size_t)(gw_next(&rng) % 300));
            if (i > 0 && gw_next(&rng) % 3 == 0) r[i].behind = (int)(gw_next(&rng) % i);
        }
        for (; n > 0; passes++) {
            size_t given = 0, wanted = 0;
            vbs_divide(r, n, budget);
            for (size_t i = 0; i < n; i++) {
                assert_true(r[i].piece <= r[i].left && (r[i].behind < 0 || r[i].piece == 0));
                given += r[i].piece;
                wanted += r[i].behind < 0 ? r[i].left : 0;
                for (size_t k = 1; k < n; k++)
                    if (i > 0 && r[i].piece && r[k].behind < 0 && r[k].rank < r[i].rank)
                        assert_true(r[k].piece == r[k].left);
            }
            assert_int_equal(given, wanted < budget ? wanted : budget);
            assert_true(r[0].piece > 0);
            for (size_t i = n; i-- > 0;) {
                r[i].left -= r[i].piece;
                if (r[i].left > 0) continue;
                memmove(r + i, r + i + 1, (n - i - 1) * sizeof *r);
                n--;
                for (size_t k = 0; k < n; k++) {
                    if (r[k].behind == (int)i) r[k].behind = -1;
                    if (r[k].behind > (int)i) r[k].behind--;
                }
            }
        }
        assert_true(passes <= 300 * MOST);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_hand), cmocka_unit_test(oldest_goes_on),
                                       cmocka_unit_test(at_random)};
    return cmocka_run_group_tests_name("server_turns", tests, NULL, NULL);
}
