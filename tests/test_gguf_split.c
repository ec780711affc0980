/* test_gguf_split.c - models in several files: opened as one, or refused with the reason. */
#include "tests/gguf_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PARTS = 3 };

typedef struct folder {
    char path[256];
    char part[PARTS][320];
} folder;

static void name_part(const folder *f, int i, int count, char out[320]) {
    snprintf(out, 320, "%s/m-%05d-of-%05d.gguf", f->path, i + 1, count);
}

static int make_folder(void **state) {
    folder *f = calloc(1, sizeof *f);
    if (!f) return -1;
    gw_temp_path(f->path);
    unlink(f->path);
    if (mkdir(f->path, 0700)) return -1;
    for (int i = 0; i < PARTS; i++) name_part(f, i, PARTS, f->part[i]);
    *state = f;
    return 0;
}

static int remove_folder(void **state) {
    folder *f = *state;
    for (int i = 0; i < PARTS; i++) unlink(f->part[i]);
    const int failed = rmdir(f->path);
    free(f);
    return failed;
}

/* Part i: split.* keys, and i + 1 tensors whose first value is their number. */
static gw *part(int i) {
    gw *w = gw_new();
    gw_u16(w, "split.no", (uint16_t)i);
    gw_u16(w, "split.count", PARTS);
    gw_i32(w, "split.tensors.count", 1 + 2 + 3);
    if (i == 0) gw_str(w, "general.architecture", "llama");
    if (i == 2) gw_alignment(w, 128);
    for (int t = 0; t <= i; t++) {
        char name[32];
        const float value[2] = {(float)(10 * i + t), 0};
        snprintf(name, sizeof name, "part%d.%d", i, t);
        gw_tensor(w, name, VB_F32, 1, (uint64_t[]){2}, value, sizeof value);
    }
    return w;
}

static void write_all(const folder *f) {
    for (int i = 0; i < PARTS; i++) {
        gw *w = part(i);
        gw_write(w, f->part[i]);
        gw_free(w);
    }
}

static void test_opens_as_one(void **state) {
    const folder *f = *state;
    vb_gguf *g = NULL;
    vb_error err = {0};
    write_all(f);
    if (vb_gguf_open(&g, f->part[0], &err)) fail_msg("%s", err.message);
    assert_int_equal(vb_gguf_splits(g), PARTS);
    assert_int_equal(vb_gguf_tensor_count(g), 6);
    assert_int_equal(vb_gguf_meta_count(g), 4); /* of the first part */
    uint64_t bytes = 0;
    for (int i = 0; i < PARTS; i++) {
        for (int t = 0; t <= i; t++) {
            char name[32];
            float value;
            snprintf(name, sizeof name, "part%d.%d", i, t);
            const vb_tensor *x = vb_gguf_find_tensor(g, name);
            assert_non_null(x);
            assert_int_equal(x->split, i);
            memcpy(&value, x->data, sizeof value);
            assert_true(value == (float)(10 * i + t));
        }
        FILE *file = fopen(f->part[i], "rb");
        assert_non_null(file);
        fseek(file, 0, SEEK_END);
        bytes += (uint64_t)ftell(file);
        fclose(file);
    }
    assert_int_equal(vb_gguf_file_bytes(g), bytes);
    vb_gguf_close(g);
}

/* Opening `path` must fail with this code and these words. */
static void assert_refused(const char *path, int code, const char *a, const char *b) {
    vb_gguf *g = NULL;
    vb_error err = {0};
    const int got = vb_gguf_open(&g, path, &err);
    if (got != code || !strstr(err.message, a) || !strstr(err.message, b)) {
        print_error("code %d, message: %s\n", got, err.message);
    }
    assert_int_equal(got, code);
    assert_non_null(strstr(err.message, a));
    assert_non_null(strstr(err.message, b));
    assert_null(g);
}

static void test_later_part(void **state) {
    const folder *f = *state;
    char other[300];
    write_all(f);
    assert_refused(f->part[1], VB_ERR_ARGUMENT, "part 2 of 3", "/m-00001-of-00003.gguf");
    snprintf(other, sizeof other, "%s/renamed.gguf", f->path);
    assert_int_equal(rename(f->part[1], other), 0);
    assert_refused(other, VB_ERR_ARGUMENT, "part 2 of 3", "ends in -00001-of-00003.gguf");
    assert_refused(f->part[0], VB_ERR_IO, "m-00002-of-00003.gguf", "No such file");
    unlink(other);
}

static void test_renamed_first(void **state) {
    const folder *f = *state;
    char other[300];
    write_all(f);
    snprintf(other, sizeof other, "%s/x.gguf", f->path);
    assert_int_equal(rename(f->part[0], other), 0);
    assert_refused(other, VB_ERR_FORMAT, "first of 3 parts", "-00001-of-00003.gguf");
    unlink(other);
}

static gw *wrong(int part_no, const char *key) {
    gw *w = gw_new();
    gw_u16(w, "split.no", (uint16_t)(!strcmp(key, "split.no") ? 1 : part_no));
    gw_u16(w, "split.count", !strcmp(key, "split.count") ? 4 : PARTS);
    gw_i32(w, "split.tensors.count", !strcmp(key, "split.tensors.count") ? 7 : 6);
    gw_str(w, "general.architecture", !strcmp(key, "general.architecture") ? "qwen2" : "llama");
    const char *name = !strcmp(key, "name") ? "part0.0" : "part2.0";
    gw_tensor(w, name, VB_F32, 1, (uint64_t[]){2}, NULL, 8);
    if (strcmp(key, "fewer")) {
        gw_tensor(w, "part2.1", VB_F32, 1, (uint64_t[]){2}, NULL, 8);
        gw_tensor(w, "part2.2", VB_F32, 1, (uint64_t[]){2}, NULL, 8);
    }
    if (!strcmp(key, "type")) w->tensors[0].type = 16;
    return w;
}

static void test_parts_that_disagree(void **state) {
    const folder *f = *state;
    static const struct {
        const char *key;
        int code;
        const char *a, *b;
    } cases[] = {
        {"none", VB_OK, "", ""},
        {"split.no", VB_ERR_FORMAT, "00003-of-00003", "says part 2 of 3"},
        {"split.count", VB_ERR_FORMAT, "00003-of-00003", "says part 3 of 4"},
        {"split.tensors.count", VB_ERR_FORMAT, "00003-of-00003", "7 tensors in all"},
        {"general.architecture", VB_ERR_FORMAT, "00003-of-00003", "general.architecture"},
        {"name", VB_ERR_FORMAT, "'part0.0'", "twice"},
        {"fewer", VB_ERR_FORMAT, "split.tensors.count", "hold 4"},
        {"type", VB_ERR_UNSUPPORTED, "00003-of-00003", "IQ2_XXS"},
    };
    write_all(f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gw *w = wrong(2, cases[i].key);
        gw_write(w, f->part[2]);
        gw_free(w);
        if (cases[i].code) {
            assert_refused(f->part[0], cases[i].code, cases[i].a, cases[i].b);
        } else {
            vb_gguf *g = NULL;
            assert_int_equal(vb_gguf_open(&g, f->part[0], NULL), VB_OK);
            vb_gguf_close(g);
        }
    }
}

/* A file that says nothing of splits, or that it is one of one, is a model of its own whatever its name. */
static void test_single(void **state) {
    const folder *f = *state;
    for (int count = 0; count <= 2; count++) {
        gw *w = gw_sample();
        if (count) gw_u16(w, "split.count", (uint16_t)(count - 1));
        gw_write(w, f->part[0]);
        gw_free(w);
        vb_gguf *g = NULL;
        assert_int_equal(vb_gguf_open(&g, f->part[0], NULL), VB_OK);
        assert_int_equal(vb_gguf_splits(g), 1);
        vb_gguf_close(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_as_one),  cmocka_unit_test(test_later_part),
        cmocka_unit_test(test_renamed_first), cmocka_unit_test(test_parts_that_disagree),
        cmocka_unit_test(test_single),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
