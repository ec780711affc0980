/* test_buf.c - what grows: room, contents, and running out. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_grow(void **state) {
    (void)state;
    int32_t *v = NULL;
    size_t room = 0, moves = 0;
    for (size_t n = 0; n < 100000; n++) {
        const size_t before = room;
        assert_int_equal(vb_grow((void **)&v, &room, n + 1, sizeof *v, "numbers", NULL), 0);
        moves += room != before;
        v[n] = (int32_t)n;
    }
    assert_true(moves < 20); /* it doubles */
    for (int32_t n = 0; n < 100000; n++) assert_int_equal(v[n], n);
    vb_error err = {0};
    int32_t *same = v;
    const size_t was = room;
    assert_int_equal(vb_grow((void **)&v, &room, SIZE_MAX / 2, sizeof *v, "numbers", &err), VB_ERR_MEMORY);
    assert_non_null(strstr(err.message, "numbers"));
    assert_ptr_equal(v, same);
    assert_int_equal(room, was);
    vb_free(v);
}

static void test_bytes(void **state) {
    (void)state;
    vb_buf b = {0};
    assert_true(vb_buf_puts(&b, "a"));
    assert_true(vb_buf_add(&b, "\0b", 2));
    assert_true(vb_buf_addf(&b, "%d %s", 12, "x"));
    assert_int_equal(b.n, 7);
    assert_memory_equal(b.s, "a\0b12 x", 8);
    size_t n = 0;
    char *s = vb_buf_take(&b, &n);
    assert_int_equal(n, 7);
    assert_null(b.s);
    assert_int_equal(b.n, 0);
    vb_free(s);
    s = vb_buf_take(&b, &n); /* nothing added: an empty text, not NULL */
    assert_string_equal(s, "");
    assert_int_equal(n, 0);
    vb_free(s);
}

/* A piece that cannot fit fails the buffer for good; what was there stays until it is taken. */
static void test_failed(void **state) {
    (void)state;
    vb_buf b = {0};
    vb_error err = {0};
    assert_true(vb_buf_puts(&b, "kept"));
    assert_null(vb_buf_reserve(&b, SIZE_MAX / 2));
    assert_false(vb_buf_puts(&b, "x"));
    assert_false(vb_buf_addf(&b, "%d", 1));
    assert_string_equal(b.s, "kept");
    assert_int_equal(vb_buf_done(&b, "a test", &err), VB_ERR_MEMORY);
    assert_non_null(strstr(err.message, "a test"));
    assert_null(vb_buf_take(&b, NULL));
    assert_null(b.s);
    assert_false(b.failed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
