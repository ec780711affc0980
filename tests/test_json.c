/* test_json.c - JSON is read as by Jansson itself, piece by piece, and what failed once is not written. What
 * happens when memory really runs out is tests/cli/memory.sh's. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void same_as_jansson(const char *text, size_t n, size_t flags) {
    json_error_t a = {0}, b = {0};
    json_t *x = json_loadb(text, n, flags, &a), *y = vb_json_read(text, n, flags, &b);
    assert_true(x ? json_equal(x, y) : !y);
    if (!x) {
        assert_string_equal(a.text, b.text);
        assert_true(a.line == b.line && a.column == b.column && a.position == b.position);
        assert_int_equal(json_error_code(&a), json_error_code(&b));
    }
    assert_false(vb_json_failed());
    json_decref(x);
    json_decref(y);
}

/* Every beginning of a text that is longer than a piece, with every flag that the project uses. */
static void reading(void **state) {
    (void)state;
    static const char text[] =
        "{\"name\": \"caf\xC3\xA9 \\u0041\\n\", \"list\": [1, -2.5e3, true, null, []],\n\"nested\": {\"a\": "
        "{\"b\": \"0123456789012345678901234567890123456789012345678901234567890123456789\"}},"
        "\"a\\u0000b\": \"\\u0000\", \"twice\": 1, \"twice\": 2} trailing";
    static const size_t flags[] = {0, JSON_ALLOW_NUL, JSON_REJECT_DUPLICATES,
                                   JSON_DECODE_ANY | JSON_ALLOW_NUL};
    for (size_t f = 0; f < sizeof flags / sizeof *flags; f++)
        for (size_t n = 0; n < sizeof text; n++) same_as_jansson(text, n, flags[f]);
    same_as_jansson("[\"\xFF\"]", 5, 0);
    same_as_jansson("3", 1, JSON_DECODE_ANY);
    json_t *v = vb_json_read("[1]", 3, 0, NULL);
    assert_int_equal(json_array_size(v), 1);
    json_decref(v);
}

static void writing(void **state) {
    (void)state;
    json_t *v = json_pack("{s:[i,s,f]}", "key", 1, "two", 0.5);
    size_t n = 0;
    char *ours = vb_json_write(v, JSON_COMPACT, &n), *theirs = json_dumps(v, JSON_COMPACT);
    assert_string_equal(ours, theirs);
    assert_int_equal(n, strlen(theirs));
    free(ours);
    free(theirs);
    assert_null(vb_json_write(NULL, 0, NULL));
    vb_json_fail(); /* a part of v may be missing from now on, and reading something else does not mend it */
    json_t *other = vb_json_read("{}", 2, 0, NULL);
    assert_non_null(other);
    json_decref(other);
    assert_true(vb_json_failed());
    assert_null(vb_json_write(v, 0, NULL));
    vb_json_begin();
    assert_non_null(ours = vb_json_write(v, 0, NULL));
    free(ours);
    json_decref(v);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reading), cmocka_unit_test(writing)};
    if (cmocka_run_group_tests_name("json", tests, NULL, NULL)) return 1;
    vb_json_watch(); /* the same again, as in the program */
    return cmocka_run_group_tests_name("json_watched", tests, NULL, NULL);
}
