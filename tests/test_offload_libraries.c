/* test_offload_libraries.c - backends as libraries: how they are found, what is refused, and OpenBLAS. */
#include "tests/offload_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "offload/offload.h"

/* The folder of this program, where the build puts the libraries. */
static const char *built(const char *name, char path[1100]) {
    char program[1000] = "";
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n > 0) program[n] = 0;
    char *slash = strrchr(program, '/');
    if (slash) *slash = 0;
    snprintf(path, 1100, "%s/%s", program, name);
    return path;
}

static void load_fails(const char *name, int code, const char *why) {
    vb_offload *o = NULL;
    vb_error err = {.code = VB_OK};
    assert_int_equal(vb_offload_open(&o, name, &err), code);
    assert_null(o);
    if (!strstr(err.message, why)) fail_msg("no \"%s\" in: %s", why, err.message);
}

static void test_libraries(void **unused) {
    (void)unused;
    char path[1100];
    if (access(built("plugins/good.so", path), R_OK)) {
        print_message("%s is not built\n", path);
        skip();
    }
    vb_offload *o = NULL;
    vb_error err = {.code = VB_OK};
    if (vb_offload_open(&o, path, &err)) fail_msg("%s", err.message);
    assert_string_equal(vb_offload_describe(o)->name, "good");
    assert_string_equal(vb_offload_describe(o)->path, path);
    assert_int_equal(vb_offload_describe(o)->class_, VB_OFFLOAD_BITWISE);
    assert_true(vb_offload_describe(o)->types == UINT64_C(1) << VB_F32);
    test_model m = tiny(VB_F32);
    vb_context *c = open_good(&m, o, 0, true, 1, 0), *plain = open_good(&m, NULL, 0, false, 1, 0);
    float *got = all_logits(c, &m, 3), *want = all_logits(plain, &m, N);
    same_logits(got, want, &m);
    free(got);
    free(want);
    vb_context_close(c);
    vb_context_close(plain);
    close_tiny(&m);
    vb_offload_close(o);

    load_fails(built("plugins/other_version.so", path), VB_ERR_UNSUPPORTED, "version 2");
    load_fails(built("plugins/unknown_version.so", path), VB_ERR_UNSUPPORTED, "does not know version 1");
    load_fails(built("plugins/no_entry.so", path), VB_ERR_UNSUPPORTED, VB_OFFLOAD_SYMBOL);
    load_fails(built("plugins/missing.so", path), VB_ERR_IO, "missing.so");
    load_fails("nowhere", VB_ERR_IO, "verbatim-nowhere.so");
    load_fails("", VB_ERR_ARGUMENT, "named");
    gw_temp_path(path);
    gw_write_bytes(path, "not a library", 13);
    load_fails(path, VB_ERR_IO, path);
    unlink(path);
}

/* OpenBLAS, where it is installed: bounded, and steady in a width. */
static void test_openblas(void **unused) {
    (void)unused;
    char path[1100];
    vb_offload *o = NULL;
    vb_error err = {.code = VB_OK};
    if (access(built("../bin/verbatim-openblas.so", path), R_OK)) {
        print_message("%s is not built: OpenBLAS is not installed\n", path);
        skip();
    }
    if (vb_offload_open(&o, path, &err)) fail_msg("%s", err.message);
    assert_int_equal(vb_offload_describe(o)->class_, VB_OFFLOAD_BOUNDED);
    static const vb_type types[] = {VB_F32, VB_F16, VB_BF16, VB_Q8_0, VB_Q5_1};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        test_model m = tiny(types[i]);
        vb_context *wide = open_good(&m, o, 0, true, 2, 0), *a = open_good(&m, o, 20, true, 1, 0),
                   *b = open_good(&m, o, 20, false, 2, 0);
        float *x = all_logits(a, &m, N), *y = all_logits(b, &m, 3);
        same_logits(x, y, &m);
        free(x);
        free(y);
        free(all_logits(wide, &m, N));
        vb_offload_stats s;
        vb_context_offload_stats(wide, &s);
        assert_int_equal(s.computed, s.products);
        vb_context_close(wide);
        vb_context_close(a);
        vb_context_close(b);
        close_tiny(&m);
    }
    vb_offload_close(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libraries),
        cmocka_unit_test(test_openblas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
