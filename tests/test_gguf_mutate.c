/* test_gguf_mutate.c - damaged files must give errors, never a crash or a read outside the file. The bytes
 * lie in memory of exactly their size, so that an address sanitizer sees every step beyond.
 *
 * The seed is printed; VB_SEED replays one. */
#include "gguf/gguf.h"
#include "tests/gguf_writer.h"
#include "tests/walk_gguf.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Opens the bytes; if that works, touches all that the interface gives. Returns the code. */
static int try_bytes(const uint8_t *bytes, size_t n) {
    vb_gguf *g = NULL;
    vb_error err = {0};
    const int code = vb_gguf_open_memory(&g, bytes, n, "mutant", &err);
    if (code) {
        assert_null(g);
        assert_true(code == VB_ERR_FORMAT || code == VB_ERR_UNSUPPORTED || code == VB_ERR_ARGUMENT);
        assert_int_equal(err.code, code);
        assert_non_null(strstr(err.message, "mutant"));
        return code;
    }
    walk_gguf(g);
    vb_gguf_close(g);
    return code;
}

static void test_every_truncation(void **state) {
    (void)state;
    gw *w = gw_sample();
    size_t n;
    uint8_t *bytes = gw_finish(w, &n);
    for (size_t k = 0; k < n; k++) assert_int_not_equal(try_bytes(bytes, k), VB_OK);
    assert_int_equal(try_bytes(bytes, n), VB_OK);
    print_message("%zu truncations\n", n);
    free(bytes);
    gw_free(w);
}

/* Every bit of the header, metadata and tensor table flipped. Many of these files are good ones with other
 * contents. */
static void test_every_bit(void **state) {
    (void)state;
    gw *w = gw_sample();
    size_t n, good = 0;
    uint8_t *bytes = gw_finish(w, &n);
    for (size_t bit = 0; bit < 8 * (size_t)w->data_at; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        good += try_bytes(bytes, n) == VB_OK;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    print_message("%zu flipped bits, %zu of the files still good\n", 8 * (size_t)w->data_at, good);
    assert_true(good > 0 && good < 8 * (size_t)w->data_at);
    free(bytes);
    gw_free(w);
}

/* Numbers that overflow, wrap or lie at a limit. */
static uint64_t nasty(gw_rng *r) {
    static const uint64_t list[] = {0,
                                    1,
                                    0x7f,
                                    0xff,
                                    0x7fff,
                                    0xffff,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff,
                                    0x100000000,
                                    1u << 20,
                                    100000,
                                    1000001,
                                    INT64_MAX,
                                    UINT64_MAX,
                                    UINT64_MAX - 7,
                                    UINT64_MAX / 8 + 1,
                                    (uint64_t)1 << 40,
                                    (uint64_t)1 << 61,
                                    (uint64_t)1 << 63};
    return list[gw_next(r) % (sizeof list / sizeof list[0])];
}

static size_t mutate(gw_rng *r, uint8_t *bytes, size_t n) {
    const int changes = 1 + (int)(gw_next(r) % 4);
    for (int i = 0; i < changes; i++) {
        const size_t at = gw_next(r) % n, other = gw_next(r) % n;
        const uint64_t v = nasty(r);
        const size_t width = (size_t)1 << gw_next(r) % 4;
        switch (gw_next(r) % 5) {
        case 0: bytes[at] = (uint8_t)gw_next(r); break;
        case 1: bytes[at] ^= (uint8_t)(1u << gw_next(r) % 8); break;
        case 2:
            for (size_t k = 0; k < width && at + k < n; k++) bytes[at + k] = (uint8_t)(v >> 8 * k);
            break;
        case 3: { /* copy a piece somewhere else */
            const size_t most = n - (at > other ? at : other), len = gw_next(r) % 32;
            memmove(bytes + at, bytes + other, len < most ? len : most);
            break;
        }
        default: /* take a piece out */
            if (at + 64 < n && n > 128) {
                const size_t len = 1 + gw_next(r) % 16;
                memmove(bytes + at, bytes + at + len, n - at - len);
                n -= len;
            }
        }
    }
    return n;
}

static void test_mutations(void **state) {
    (void)state;
    enum { ROUNDS = 10000 };
    const char *given = getenv("VB_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 0) : 20240823;
    print_message("seed %" PRIu64 " (VB_SEED)\n", seed);
    gw *w = gw_sample();
    gw_u16(w, "split.count", 1);
    gw_alignment(w, 32);
    size_t n, good = 0;
    uint8_t *bytes = gw_finish(w, &n);
    uint8_t *copy = malloc(n);
    assert_non_null(copy);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        gw_rng r = {seed * ROUNDS + round};
        memcpy(copy, bytes, n);
        /* Mostly where the structure is; the data section has none. */
        good += try_bytes(copy, mutate(&r, copy, round % 8 ? (size_t)w->data_at : n)) == VB_OK;
        memcpy(copy, bytes, n);
        mutate(&r, copy, (size_t)w->data_at);
        good += try_bytes(copy, n) == VB_OK;
    }
    print_message("%d mutants, %zu of them still good\n", 2 * ROUNDS, good);
    free(copy);
    free(bytes);
    gw_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
