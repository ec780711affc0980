/* Philox against published answers; uniform integers without bias, checked over every word. */
#include "sampling/coins.h"
#include "sampling/philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* The Random123 test vectors of philox4x32 with 10 rounds: counter, key, output. */
static void known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4];
        uint64_t key;
        uint32_t out[4];
    } known[] = {
        {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         0xffffffffffffffff,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         0x299f31d0a4093822,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        vb_philox(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
}

static void many_at_once(void **state) {
    (void)state;
    int32_t ids[37];
    uint64_t k[37];
    for (int i = 0; i < 37; i++) ids[i] = i * i * 4099;
    for (int n = 0; n <= 37; n++) {
        memset(k, 0, sizeof k);
        vb_philox_words(1234567, ids, n, 9, 0xdeadbeefcafe, k);
        for (int i = 0; i < n; i++) {
            const uint32_t counter[4] = {1234567, (uint32_t)ids[i], 9, 0};
            uint32_t w[4];
            vb_philox(counter, 0xdeadbeefcafe, w);
            assert_true(k[i] == ((uint64_t)w[1] << 32 | w[0]));
        }
    }
}

/* A source whose first words are given and whose later ones are told apart. */
typedef struct words {
    vb_u128 first;
    uint32_t asked;
} words;

static vb_u128 word(void *arg, uint32_t index) {
    words *w = arg;
    w->asked = index + 1;
    return index == 0 ? w->first : 0; /* a retry gives 0, which is below every bound */
}

/* For each bound: over all words of b bits each value comes from exactly one of them, the others ask again.
 * The bits above do not matter. */
static void every_word(void **state) {
    (void)state;
    for (uint32_t bound = 1; bound <= 300; bound++) {
        uint32_t bits = 0;
        while ((1u << bits) < bound) bits++;
        uint32_t seen[512] = {0}, retries = 0;
        for (uint32_t x = 0; x < 1u << bits; x++) {
            words w = {(vb_u128)x | (vb_u128)0xabcdef << 100 | (vb_u128)1 << (bits + 3), 0};
            uint32_t index;
            const vb_u128 r = vb_uniform_from(word, &w, bound, &index);
            if (index == 0)
                seen[(uint32_t)r]++;
            else
                retries++;
            if (bound == 1) assert_int_equal(w.asked, 0);
        }
        for (uint32_t r = 0; r < bound; r++) assert_int_equal(seen[r], 1);
        assert_int_equal(retries, (1u << bits) - bound);
        assert_true(2 * retries < 1u << bits || bound == 1);
    }
}

static void wide_bounds(void **state) {
    (void)state;
    const vb_u128 top = (vb_u128)1 << 127;
    words w = {~(vb_u128)0, 0};
    uint32_t index;
    assert_true(vb_uniform_from(word, &w, top, &index) == top - 1);
    assert_int_equal(index, 0);
    w.first = (vb_u128)1 << 127; /* 128 bits are cut to 127 */
    assert_true(vb_uniform_from(word, &w, top, &index) == 0);
    w.first = ((vb_u128)1 << 64);
    assert_true(vb_uniform_from(word, &w, ((vb_u128)1 << 64) + 1, &index) == (vb_u128)1 << 64);
    w.first++;
    assert_true(vb_uniform_from(word, &w, ((vb_u128)1 << 64) + 1, &index) == 0);
    assert_int_equal(index, 1);
}

/* What is recorded is enough to find the coin again. */
static void coins_are_recorded(void **state) {
    (void)state;
    const vb_u128 bound = ((vb_u128)3 << 90) + 12345;
    int retried = 0;
    for (uint32_t i = 0; i < 200; i++) {
        const vb_coin_key key = {i, 3, VB_PURPOSE_ACCEPT};
        vb_coin c;
        const vb_u128 r = vb_uniform(77, key, bound, &c);
        uint32_t w[4];
        assert_int_equal(c.counter[0], i);
        assert_int_equal(c.counter[1], 3);
        assert_int_equal(c.counter[2], VB_PURPOSE_ACCEPT);
        retried += c.counter[3] > 0;
        vb_philox(c.counter, 77, w);
        const vb_u128 x = (vb_u128)w[3] << 96 | (vb_u128)w[2] << 64 | (vb_u128)w[1] << 32 | w[0];
        assert_true((x & (((vb_u128)1 << 92) - 1)) == r);
        assert_true(c.value_hi == vb_u128_hi(r) && c.value_lo == vb_u128_lo(r));
        assert_true(c.bound_hi == vb_u128_hi(bound) && c.bound_lo == vb_u128_lo(bound));
    }
    assert_true(retried > 20 && retried < 90); /* a quarter of the words is beyond this bound */
}

/* pick() is the cumulative rule, for every value of the coin. */
static vb_u128 three(void *arg, int32_t i) {
    const uint64_t *w = arg;
    return w[i];
}

static void pick_and_below(void **state) {
    (void)state;
    uint64_t w[3] = {2, 0, 3}, seed = 5;
    const vb_weights weights = {3, 5, three, w};
    const vb_coins coins = vb_coins_philox(&seed);
    int seen[5] = {0};
    for (uint32_t i = 0; i < 400; i++) {
        const vb_coin_key key = {i, 0, VB_PURPOSE_DRAFT};
        vb_coin c;
        const int32_t x = coins.pick(coins.self, key, &weights, &c);
        assert_int_equal(x, c.value_lo < 2 ? 0 : 2);
        seen[c.value_lo]++;
        const bool yes = coins.below(coins.self, key, 2, 5, &c);
        assert_int_equal(yes, c.value_lo < 2);
    }
    for (int i = 0; i < 5; i++) assert_true(seen[i] > 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),      cmocka_unit_test(many_at_once),
        cmocka_unit_test(every_word),         cmocka_unit_test(wide_bounds),
        cmocka_unit_test(coins_are_recorded), cmocka_unit_test(pick_and_below),
    };
    return cmocka_run_group_tests_name("philox", tests, NULL, NULL);
}
