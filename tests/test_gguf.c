/* test_gguf.c - the reader on good files, and one planted defect for every rule of docs/formats.md: each must
 * be refused with the right code and a message that names file, byte offset and field. */
#include "gguf/gguf.h"
#include "tests/gguf_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int open_bytes(vb_gguf **g, const uint8_t *bytes, size_t n, vb_error *err) {
    memset(err, 0, sizeof *err);
    return vb_gguf_open_memory(g, bytes, n, "test.gguf", err);
}

static vb_gguf *open_writer(gw *w) {
    vb_gguf *g = NULL;
    vb_error err;
    size_t n;
    uint8_t *bytes = gw_finish(w, &n);
    const int code = open_bytes(&g, bytes, n, &err);
    if (code) print_error("%s\n", err.message);
    assert_int_equal(code, VB_OK);
    free(bytes);
    return g;
}

static void test_tensors(void **state) {
    (void)state;
    gw *w = gw_sample();
    vb_gguf *g = open_writer(w);
    assert_int_equal(vb_gguf_version(g), 3);
    assert_int_equal(vb_gguf_splits(g), 1);
    assert_string_equal(vb_gguf_path(g), "test.gguf");
    assert_int_equal(vb_gguf_tensor_count(g), 3);
    const vb_tensor *a = vb_gguf_find_tensor(g, "a.weight"), *b = vb_gguf_find_tensor(g, "b.weight");
    const vb_tensor *c = vb_gguf_find_tensor(g, "c.weight");
    assert_ptr_equal(a, vb_gguf_tensor(g, 0));
    assert_ptr_equal(b, vb_gguf_tensor(g, 1));
    assert_ptr_equal(c, vb_gguf_tensor(g, 2));
    assert_null(vb_gguf_tensor(g, 3));
    assert_null(vb_gguf_find_tensor(g, "a.weigh"));
    assert_null(vb_gguf_find_tensor(g, ""));
    assert_int_equal(a->bytes, 512);
    assert_memory_equal(a->data, w->tensors[0].data, 512);
    assert_int_equal(a->offset, w->data_at);
    assert_int_equal(a->n_dims, 2);
    assert_int_equal(a->dims[0], 32);
    assert_int_equal(a->dims[1], 4);
    assert_int_equal(a->dims[2] * a->dims[3], 1);
    assert_int_equal(b->type, VB_Q8_0);
    assert_int_equal(b->bytes, 68);
    assert_int_equal(c->n_dims, 4);
    assert_int_equal(c->bytes, 12);
    assert_int_equal(c->offset, w->data_at + 512 + 96); /* 68 rounded up to the alignment */
    assert_int_equal(vb_gguf_file_bytes(g), c->offset + 12);
    vb_gguf_close(g);
    gw_free(w);
}

static void assert_text(const vb_gguf *g, const char *key, uint64_t i, const char *text, size_t len) {
    const char *p = NULL;
    size_t n = 0;
    assert_true(vb_meta_string(g, vb_gguf_find(g, key), i, &p, &n));
    assert_int_equal(n, len);
    assert_memory_equal(p, text, len);
}

static void test_metadata(void **state) {
    (void)state;
    gw *w = gw_sample();
    vb_gguf *g = open_writer(w);
    uint64_t u = 0;
    int64_t s = 0;
    double d = 0;
    bool b = false;
    const char *p;
    size_t n;
#define M(key) vb_gguf_find(g, key)
    assert_int_equal(vb_gguf_meta_count(g), 17);
    assert_string_equal(vb_gguf_meta(g, 0)->key, "general.architecture");
    assert_null(vb_gguf_meta(g, 17));
    assert_null(M("t.none"));
    assert_text(g, "general.architecture", 0, "llama", 5);
    assert_text(g, "t.strings", 0, "<unk>", 5);
    assert_text(g, "t.strings", 1, "", 0);
    assert_text(g, "t.strings", 3, "hello", 5);
    assert_text(g, "t.bytes", 0, "a\0b\xff", 4);
    assert_false(vb_meta_string(g, M("t.strings"), 4, &p, &n));
    assert_false(vb_meta_string(g, M("general.architecture"), 1, &p, &n));
    assert_false(vb_meta_string(g, M("t.u8"), 0, &p, &n));
    /* A copy of an entry is not an entry of the file, so its strings cannot be found. */
    const vb_meta copy = *M("t.strings");
    assert_false(vb_meta_string(g, &copy, 0, &p, &n));

    assert_true(vb_meta_u64(M("t.u8"), 0, &u) && u == 200);
    assert_true(vb_meta_u64(M("t.u16"), 0, &u) && u == 65535);
    assert_true(vb_meta_u64(M("t.u32"), 0, &u) && u == 4000000000u);
    assert_true(vb_meta_u64(M("t.u64"), 0, &u) && u == UINT64_MAX);
    assert_false(vb_meta_u64(M("t.i8"), 0, &u)); /* negative */
    assert_false(vb_meta_u64(M("t.i64"), 0, &u));
    assert_false(vb_meta_u64(M("t.f32"), 0, &u));
    assert_false(vb_meta_u64(M("t.bool"), 0, &u));
    assert_false(vb_meta_u64(M("t.strings"), 0, &u));
    assert_true(vb_meta_i64(M("t.i8"), 0, &s) && s == -128);
    assert_true(vb_meta_i64(M("t.i16"), 0, &s) && s == -2);
    assert_true(vb_meta_i64(M("t.i32"), 0, &s) && s == -5);
    assert_true(vb_meta_i64(M("t.i64"), 0, &s) && s == INT64_MIN);
    assert_true(vb_meta_i64(M("t.u32"), 0, &s) && s == 4000000000);
    assert_false(vb_meta_i64(M("t.u64"), 0, &s)); /* out of range */
    assert_true(vb_meta_i64(M("t.ints"), 1, &s) && s == -8);
    assert_true(vb_meta_u64(M("t.ints"), 2, &u) && u == 9);
    assert_false(vb_meta_i64(M("t.ints"), 3, &s));
    assert_false(vb_meta_u64(M("t.empty"), 0, &u));
    assert_true(vb_meta_f64(M("t.f32"), 0, &d) && d == (double)0.1f);
    assert_true(vb_meta_f64(M("t.f64"), 0, &d) && d == 0.1);
    assert_true(vb_meta_f64(M("t.i8"), 0, &d) && d == -128);
    assert_true(vb_meta_f64(M("t.i64"), 0, &d) && d == -0x1p63);
    assert_false(vb_meta_f64(M("t.u64"), 0, &d)); /* 2^64 - 1 is not a float64 */
    assert_false(vb_meta_f64(M("t.bool"), 0, &d));
    assert_true(vb_meta_bool(M("t.bool"), 0, &b) && b);
    assert_true(vb_meta_bool(M("t.bools"), 0, &b) && !b);
    assert_true(vb_meta_bool(M("t.bools"), 1, &b) && b);
    assert_false(vb_meta_bool(M("t.bools"), 2, &b));
    assert_false(vb_meta_bool(M("t.u8"), 0, &b));
    assert_int_equal(M("t.strings")->type, VB_VALUE_ARRAY);
    assert_int_equal(M("t.strings")->elem, VB_VALUE_STRING);
    assert_int_equal(M("t.strings")->count, 4);
    assert_int_equal(M("general.architecture")->offset, 24 + 8 + 20 + 4);
#undef M
    vb_gguf_close(g);
    gw_free(w);
}

/* Version 2, another alignment, and a file with no tensors at all (a vocabulary). */
static void test_variants(void **state) {
    (void)state;
    gw *w = gw_new();
    w->version = 2;
    gw_alignment(w, 64);
    gw_tensor(w, "a", VB_F32, 1, (uint64_t[]){3}, NULL, 12);
    gw_tensor(w, "b", VB_BF16, 1, (uint64_t[]){3}, NULL, 6);
    vb_gguf *g = open_writer(w);
    assert_int_equal(vb_gguf_version(g), 2);
    assert_int_equal(vb_gguf_find_tensor(g, "a")->offset % 64, 0);
    assert_int_equal(vb_gguf_find_tensor(g, "b")->offset, vb_gguf_find_tensor(g, "a")->offset + 64);
    vb_gguf_close(g);
    gw_free(w);

    w = gw_new();
    g = open_writer(w);
    assert_int_equal(vb_gguf_meta_count(g) + vb_gguf_tensor_count(g), 0);
    assert_null(vb_gguf_find(g, "x"));
    vb_gguf_close(g);
    gw_str(w, "tokenizer.ggml.model", "llama");
    g = open_writer(w);
    assert_non_null(vb_gguf_find(g, "tokenizer.ggml.model"));
    vb_gguf_close(g);
    gw_free(w);
}

/* Gaps and any order of data are allowed, as long as nothing overlaps. */
static void test_gaps(void **state) {
    (void)state;
    gw *w = gw_sample();
    w->tensors[0].offset = 1024;
    w->tensors[1].offset = 0;
    w->tensors[2].offset = 4096;
    vb_gguf *g = open_writer(w);
    assert_memory_equal(vb_gguf_find_tensor(g, "a.weight")->data, w->tensors[0].data, 512);
    vb_gguf_close(g);
    gw_free(w);
}

static void test_many(void **state) {
    (void)state;
    enum { MANY = 20000 };
    gw *w = gw_new();
    char name[32];
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "k.%u", (unsigned)i);
        gw_u32(w, name, i);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "t.%u", (unsigned)i);
        gw_tensor(w, name, VB_F32, 1, (uint64_t[]){1}, NULL, 4);
    }
    vb_gguf *g = open_writer(w);
    for (uint32_t i = 0; i < MANY; i++) {
        uint64_t v = 0;
        snprintf(name, sizeof name, "k.%u", (unsigned)i);
        assert_true(vb_meta_u64(vb_gguf_find(g, name), 0, &v) && v == i);
        snprintf(name, sizeof name, "t.%u", (unsigned)i);
        assert_ptr_equal(vb_gguf_find_tensor(g, name), vb_gguf_tensor(g, i));
    }
    vb_gguf_close(g);
    gw_free(w);
}

static void test_type_table(void **state) {
    (void)state;
    static const struct {
        int type;
        const char *name;
        int values, bytes;
    } want[] = {
        {0, "F32", 1, 4},       {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},    {3, "Q4_1", 32, 20},
        {6, "Q5_0", 32, 22},    {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},    {10, "Q2_K", 256, 84},
        {11, "Q3_K", 256, 110}, {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176}, {14, "Q6_K", 256, 210},
        {20, "IQ4_NL", 32, 18}, {23, "IQ4_XS", 256, 136}, {30, "BF16", 1, 2},     {39, "MXFP4", 32, 17},
    };
    int known = 0;
    for (int t = -3; t < 100; t++) {
        const char *name = vb_type_name(t);
        known += name != NULL;
        assert_int_equal(vb_type_block_values(t) != 0, name != NULL);
        assert_int_equal(vb_type_block_bytes(t) != 0, name != NULL);
    }
    assert_int_equal(known, (int)(sizeof want / sizeof want[0]));
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        assert_string_equal(vb_type_name(want[i].type), want[i].name);
        assert_int_equal(vb_type_block_values(want[i].type), want[i].values);
        assert_int_equal(vb_type_block_bytes(want[i].type), want[i].bytes);
    }
}

/* Errors of the operating system. */
static void test_files(void **state) {
    (void)state;
    char path[256];
    vb_gguf *g = NULL;
    vb_error err = {0};
    assert_int_equal(vb_gguf_open(&g, "/nonexistent/x.gguf", &err), VB_ERR_IO);
    assert_non_null(strstr(err.message, "/nonexistent/x.gguf: cannot open"));
    assert_null(strstr(err.message, "downloaded"));
    assert_int_equal(vb_gguf_open(&g, "somebody/model", &err), VB_ERR_IO); /* another program's name for it */
    assert_non_null(strstr(err.message, "a .gguf file on this machine, and nothing is downloaded"));
    err.code = VB_OK;
    assert_int_equal(vb_gguf_open(&g, "/tmp", &err), VB_ERR_IO);
    assert_non_null(strstr(err.message, "/tmp: this is a folder: name a .gguf file in it"));
    assert_int_equal(vb_gguf_open(&g, "/dev/null", &err), VB_ERR_IO);
    assert_non_null(strstr(err.message, "not a regular file"));
    err.code = VB_OK;
    gw_temp_path(path);
    assert_int_equal(vb_gguf_open(&g, path, &err), VB_ERR_FORMAT);
    assert_non_null(strstr(err.message, "empty"));
    assert_null(g);

    gw *w = gw_sample();
    gw_write(w, path);
    assert_int_equal(vb_gguf_open(&g, path, NULL), VB_OK);
    assert_string_equal(vb_gguf_path(g), path);
    assert_memory_equal(vb_gguf_find_tensor(g, "a.weight")->data, w->tensors[0].data, 512);
    vb_gguf_prefetch(g);

    /* Which file an address belongs to, with the same file open twice. */
    vb_gguf *again = NULL;
    const uint8_t *data = vb_gguf_find_tensor(g, "a.weight")->data;
    assert_int_equal(vb_gguf_open(&again, path, NULL), VB_OK);
    const uint8_t *other = vb_gguf_find_tensor(again, "a.weight")->data;
    assert_ptr_equal(vb_gguf_file_at(data), vb_gguf_path(g));
    assert_ptr_equal(vb_gguf_file_at(other), vb_gguf_path(again));
    assert_null(vb_gguf_file_at(&err));
    assert_null(vb_gguf_file_at(NULL));
    vb_gguf_close(again);
    assert_null(vb_gguf_file_at(other));
    assert_ptr_equal(vb_gguf_file_at(data), vb_gguf_path(g));
    vb_gguf_close(g);
    assert_null(vb_gguf_file_at(data));
    vb_gguf_close(NULL);
    gw_free(w);
    unlink(path);

    /* A very long path leaves room for what is wrong. */
    char *longer = malloc(6001);
    assert_non_null(longer);
    memset(longer, 'p', 6000);
    longer[6000] = 0;
    err.code = VB_OK;
    assert_int_equal(vb_gguf_open(&g, longer, &err), VB_ERR_IO);
    assert_non_null(strstr(err.message, "cannot open"));
    free(longer);
}

/* Every fixture opens, and a large vocabulary does so quickly. */
static void test_fixtures(void **state) {
    (void)state;
    static const char *const files[] = {
        "models/stories260K.gguf",          "models/type-IQ4_XS.gguf",
        "models/type-MXFP4.gguf",           "models/mix-Q4_K_M.gguf",
        "models/arch-gemma3.gguf",          "tokenizers/ggml-vocab-llama-spm.gguf",
        "tokenizers/ggml-vocab-qwen2.gguf", "tokenizers/ggml-vocab-llama-bpe.gguf",
    };
    const char *dir = getenv("VB_FIXTURES");
    if (!dir) {
        print_message("skipped: VB_FIXTURES is not set\n");
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        vb_gguf *g = NULL;
        vb_error err = {0};
        const double start = vb_now();
        if (vb_gguf_open(&g, path, &err)) fail_msg("%s", err.message);
        const double ms = 1e3 * (vb_now() - start);
        const vb_meta *tokens = vb_gguf_find(g, "tokenizer.ggml.tokens");
        assert_non_null(tokens);
        const char *text;
        size_t len;
        assert_true(vb_meta_string(g, tokens, tokens->count - 1, &text, &len));
        print_message("%s: %zu entries, %zu tensors, %zu tokens, %.1f ms\n", files[i], vb_gguf_meta_count(g),
                      vb_gguf_tensor_count(g), (size_t)tokens->count, ms);
        vb_gguf_close(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors), cmocka_unit_test(test_metadata), cmocka_unit_test(test_variants),
        cmocka_unit_test(test_gaps),    cmocka_unit_test(test_many),     cmocka_unit_test(test_type_table),
        cmocka_unit_test(test_files),   cmocka_unit_test(test_fixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
