/* test_gguf_defects.c - one planted defect for every rule of docs/formats.md: each must be refused with the
 * right code and a message that names file, byte offset and field. */
#include "gguf/gguf.h"
#include "tests/gguf_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int open_bytes(vb_gguf **g, const uint8_t *bytes, size_t n, vb_error *err) {
    memset(err, 0, sizeof *err);
    return vb_gguf_open_memory(g, bytes, n, "test.gguf", err);
}

/* A defect changes the good file before it is written; `patch` changes the bytes after. */
typedef struct defect {
    const char *name;
    void (*plant)(gw *w);
    void (*patch)(gw *w, uint8_t *bytes, size_t *size);
    int code;
    const char *parts[4]; /* what the message must contain, besides "test.gguf" */
} defect;

static void put_u64(uint8_t *p, uint64_t v) {
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> 8 * i);
}

static void bad_magic(gw *w) {
    w->magic[0] = 'X';
}
static void magic_ggjt(gw *w) {
    memcpy(w->magic, "tjgg", 4);
}
static void patch_lfs(gw *w, uint8_t *b, size_t *n) {
    (void)w;
    (void)n;
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\n";
    memcpy(b, pointer, sizeof pointer);
}
static void patch_empty(gw *w, uint8_t *b, size_t *n) {
    (void)w;
    (void)b;
    *n = 0;
}
static void version_0(gw *w) {
    w->version = 0;
}
static void version_1(gw *w) {
    w->version = 1;
}
static void version_4(gw *w) {
    w->version = 4;
}
static void version_big(gw *w) {
    w->version = 0x03000000;
}
static void entries_max(gw *w) {
    w->n_kv = UINT64_MAX;
}
static void entries_many(gw *w) {
    w->n_kv = 0xffffffff;
}
static void entries_one_more(gw *w) {
    w->n_kv++;
}
static void entries_cap(gw *w) {
    gw_strn(w, "pad", NULL, 0);
    uint8_t *zeros = calloc(1, 1600000);
    assert_non_null(zeros);
    gw_raw_bytes(w, zeros, 1600000);
    free(zeros);
    w->n_kv = 100001;
}
static void tensors_max(gw *w) {
    w->n_tensors = UINT64_MAX;
}
static void tensors_many(gw *w) {
    w->n_tensors = (uint64_t)1 << 60;
}
static void tensors_one_more(gw *w) {
    w->n_tensors++;
}

static void key_empty(gw *w) {
    gw_u8(w, "", 1);
}
static void key_nul(gw *w) {
    gw_raw(w, "a\0b", 3, VB_VALUE_U8, "x", 1);
}
static void key_space(gw *w) {
    gw_u8(w, "a b", 1);
}
static void key_utf8(gw *w) {
    gw_u8(w, "caf\xc3\xa9", 1);
}
static void key_long(gw *w) {
    char *key = malloc(65536);
    assert_non_null(key);
    memset(key, 'k', 65536);
    gw_raw(w, key, 65536, VB_VALUE_U8, "x", 1);
    free(key);
}
static void key_huge(gw *w) {
    uint8_t len[8];
    put_u64(len, UINT64_MAX - 3);
    gw_raw_bytes(w, len, 8);
    w->n_kv++;
}
static void key_twice(gw *w) {
    gw_u8(w, "t.u8", 1);
}
static void type_13(gw *w) {
    gw_raw(w, "x", 1, 13, "\0\0\0\0\0\0\0\0", 8);
}
static void type_max(gw *w) {
    gw_raw(w, "x", 1, UINT32_MAX, "\0\0\0\0\0\0\0\0", 8);
}
static void bool_2(gw *w) {
    gw_raw(w, "x", 1, VB_VALUE_BOOL, "\2", 1);
}
static void bools_2(gw *w) {
    gw_array(w, "x", VB_VALUE_BOOL, "\0\1\1\7", 4, 4);
}
static void string_huge(gw *w) {
    gw_raw(w, "x", 1, VB_VALUE_STRING, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
}
static void array_nested(gw *w) {
    gw_array(w, "x", VB_VALUE_ARRAY, "\0\0\0\0\0\0\0\0\0\0\0\0", 1, 12);
}
static void array_type(gw *w) {
    gw_array(w, "x", (vb_value_type)77, "\0\0\0\0", 1, 4);
}
static void array_product(gw *w) {
    gw_array(w, "x", VB_VALUE_U64, NULL, (UINT64_MAX >> 3) + 2, 0);
}
static void array_long(gw *w) {
    gw_array(w, "x", VB_VALUE_U8, NULL, 1u << 30, 0);
}
static void array_bytes_max(gw *w) {
    gw_array(w, "x", VB_VALUE_U8, NULL, UINT64_MAX, 0);
}
static void strings_many(gw *w) {
    gw_array(w, "x", VB_VALUE_STRING, NULL, UINT64_MAX / 8, 0);
}
static void strings_one_huge(gw *w) {
    gw_array(w, "x", VB_VALUE_STRING, "\1\0\0\0\0\0\0\0a\xff\xff\xff\xff\xff\xff\xff\x7f", 2, 17);
}
static void patch_cut_kv(gw *w, uint8_t *b, size_t *n) {
    (void)b;
    *n = w->tensors_at - 2; /* inside t.bytes, and now too short for the tensor count: that is found first */
    put_u64(b + 8, 0);
}

static void align_0(gw *w) {
    gw_u32(w, "general.alignment", 0);
}
static void align_4(gw *w) {
    gw_u32(w, "general.alignment", 4);
}
static void align_24(gw *w) {
    gw_u32(w, "general.alignment", 24);
}
static void align_huge(gw *w) {
    gw_u32(w, "general.alignment", 1u << 21);
}
static void align_u64(gw *w) {
    gw_u64(w, "general.alignment", 32);
}
static void align_array(gw *w) {
    gw_array(w, "general.alignment", VB_VALUE_U32, (uint32_t[]){32}, 1, 4);
}
static void align_mismatch(gw *w) {
    gw_u32(w, "general.alignment", 512);
} /* offsets stay multiples of 32 */

static void rename_to(gw *w, size_t i, const char *name, size_t len) {
    free(w->tensors[i].name);
    w->tensors[i].name = malloc(len + 1);
    assert_non_null(w->tensors[i].name);
    memcpy(w->tensors[i].name, name, len);
    w->tensors[i].name_len = w->tensors[i].name_bytes = len;
}
static void name_empty(gw *w) {
    rename_to(w, 1, "", 0);
}
static void name_long(gw *w) {
    char name[65];
    memset(name, 'n', sizeof name);
    rename_to(w, 1, name, sizeof name);
}
static void name_nul(gw *w) {
    rename_to(w, 1, "a\0weight", 8);
}
static void name_twice(gw *w) {
    rename_to(w, 1, "a.weight", 8);
}
static void name_huge(gw *w) {
    w->tensors[0].name_len = UINT64_MAX;
}
static void dims_0(gw *w) {
    w->tensors[0].n_dims = 0;
}
static void dims_5(gw *w) {
    w->tensors[0].n_dims = 5;
}
static void dims_max(gw *w) {
    w->tensors[0].n_dims = UINT32_MAX;
}
static void dim_zero(gw *w) {
    w->tensors[0].dims[1] = 0;
}
static void dim_huge(gw *w) {
    w->tensors[0].dims[1] = ((uint64_t)1 << 40) + 1;
}
static void dim_negative(gw *w) {
    w->tensors[0].dims[1] = UINT64_MAX;
}
static void dim_product(gw *w) {
    w->tensors[0].dims[0] = w->tensors[0].dims[1] = (uint64_t)1 << 40;
}
static void dim_bytes(gw *w) {
    w->tensors[0].dims[0] = (uint64_t)1 << 31; /* 2^63 values, 4 bytes each */
    w->tensors[0].dims[1] = (uint64_t)1 << 32;
}
static void dim_large(gw *w) {
    w->tensors[0].dims[1] = 1u << 20;
}
static void dim_block(gw *w) {
    w->tensors[1].dims[0] = 63;
}
static void type_removed(gw *w) {
    w->tensors[1].type = 4;
}
static void type_iq2(gw *w) {
    w->tensors[1].type = 16;
}
static void type_tq1(gw *w) {
    w->tensors[1].type = 34;
}
static void type_nvfp4(gw *w) {
    w->tensors[1].type = 40;
}
static void type_q8_1(gw *w) {
    w->tensors[1].type = 9;
}
static void type_private(gw *w) {
    w->tensors[1].type = 152;
}
static void type_negative(gw *w) {
    w->tensors[1].type = UINT32_MAX;
}
static void offset_odd(gw *w) {
    w->tensors[1].offset += 1;
}
static void offset_max(gw *w) {
    w->tensors[1].offset = UINT64_MAX - 31;
}
static void offset_beyond(gw *w) {
    w->tensors[1].offset = (uint64_t)1 << 31;
}
static void overlap_same(gw *w) {
    w->tensors[1].offset = 0;
}
static void overlap_last(gw *w) {
    w->tensors[1].offset = 512 - 32;
}
static void patch_last_byte(gw *w, uint8_t *b, size_t *n) {
    (void)w;
    (void)b;
    *n -= 1;
}
static void patch_no_data(gw *w, uint8_t *b, size_t *n) {
    (void)b;
    *n = w->data_at;
}
static void patch_no_padding(gw *w, uint8_t *b, size_t *n) {
    (void)b;
    *n = w->data_at - 1;
}
static void split_array(gw *w) {
    gw_array(w, "split.count", VB_VALUE_U16, "\2\0", 1, 2);
}
static void split_text(gw *w) {
    gw_str(w, "split.count", "2");
}
static void split_no(gw *w) {
    gw_u16(w, "split.count", 2);
    gw_u16(w, "split.no", 2);
}
static void split_many(gw *w) {
    gw_u16(w, "split.count", 65535);
}

#define F VB_ERR_FORMAT
#define U VB_ERR_UNSUPPORTED
static const defect defects[] = {
    {"empty file", NULL, patch_empty, F, {"byte 0", "magic", "not a GGUF file"}},
    {"magic", bad_magic, NULL, F, {"byte 0", "magic", "not a GGUF file"}},
    {"GGJT", magic_ggjt, NULL, F, {"byte 0", "GGJT", "convert"}},
    {"LFS pointer", NULL, patch_lfs, F, {"byte 0", "git lfs pull"}},
    {"version 0", version_0, NULL, U, {"byte 4", "version 0"}},
    {"version 1", version_1, NULL, U, {"byte 4", "version 1", "convert"}},
    {"version 4", version_4, NULL, U, {"byte 4", "version 4", "2 and 3"}},
    {"big endian", version_big, NULL, U, {"byte 4", "big endian", "convert"}},
    {"2^64-1 entries", entries_max, NULL, F, {"byte 16", "metadata count", "18446744073709551615"}},
    {"2^32-1 entries", entries_many, NULL, F, {"byte 16", "metadata count", "4294967295"}},
    {"one entry more", entries_one_more, NULL, F, {"tensor 0", "name"}},
    {"too many entries", entries_cap, NULL, F, {"byte 16", "metadata count", "100001"}},
    {"2^64-1 tensors", tensors_max, NULL, F, {"byte 8", "tensor count"}},
    {"2^60 tensors", tensors_many, NULL, F, {"byte 8", "tensor count"}},
    {"one tensor more", tensors_one_more, NULL, F, {"tensor 3", "name"}},
    {"empty key", key_empty, NULL, F, {"metadata entry 17", "key", "0 bytes long"}},
    {"NUL in a key", key_nul, NULL, F, {"metadata entry 17", "key", "0x00"}},
    {"space in a key", key_space, NULL, F, {"metadata entry 17", "key", "0x20"}},
    {"key not ASCII", key_utf8, NULL, F, {"metadata entry 17", "key", "0xc3"}},
    {"long key", key_long, NULL, F, {"metadata entry 17", "key", "65536"}},
    {"key of 2^64-4 bytes", key_huge, NULL, F, {"metadata entry 17", "key", "18446744073709551612"}},
    {"key twice", key_twice, NULL, F, {"metadata entry 17 't.u8'", "key", "twice"}},
    {"type 13", type_13, NULL, F, {"'x'", "type", "13"}},
    {"type 2^32-1", type_max, NULL, F, {"'x'", "type", "4294967295"}},
    {"truth value 2", bool_2, NULL, F, {"'x'", "value", "not 2"}},
    {"truth value 7 in an array", bools_2, NULL, F, {"'x'", "value", "not 7"}},
    {"string of 2^64-1 bytes", string_huge, NULL, F, {"'x'", "value", "18446744073709551615"}},
    {"array of arrays", array_nested, NULL, U, {"'x'", "array type", "arrays of arrays"}},
    {"array of type 77", array_type, NULL, F, {"'x'", "array type", "77"}},
    {"array count times size", array_product, NULL, F, {"'x'", "value", "2305843009213693953"}},
    {"array longer than the file", array_long, NULL, F, {"'x'", "value", "1073741824"}},
    {"array of 2^64-1 bytes", array_bytes_max, NULL, F, {"'x'", "value", "18446744073709551615"}},
    {"2^61 strings", strings_many, NULL, F, {"'x'", "array count"}},
    {"long string in an array",
     strings_one_huge,
     NULL,
     F,
     {"'x'", "string of an array", "9223372036854775807"}},
    {"ends in metadata", NULL, patch_cut_kv, F, {"'t.bytes'", "value", "ends", "download"}},
    {"alignment 0", align_0, NULL, F, {"general.alignment", "0 is not a power of two"}},
    {"alignment 4", align_4, NULL, F, {"general.alignment", "4 is not a power of two from 8"}},
    {"alignment 24", align_24, NULL, F, {"general.alignment", "24 is not a power of two"}},
    {"alignment 2^21", align_huge, NULL, F, {"general.alignment", "2097152"}},
    {"alignment in 64 bits", align_u64, NULL, F, {"general.alignment", "type", "32-bit"}},
    {"alignment in an array", align_array, NULL, F, {"general.alignment", "type", "32-bit"}},
    {"alignment not kept", align_mismatch, NULL, F, {"'c.weight'", "offset", "608", "alignment 512"}},
    {"empty name", name_empty, NULL, F, {"tensor 1", "name", "0 bytes long"}},
    {"long name", name_long, NULL, F, {"tensor 1", "name", "65 bytes long"}},
    {"NUL in a name", name_nul, NULL, F, {"tensor 1", "name", "0x00"}},
    {"name twice", name_twice, NULL, F, {"'a.weight'", "name", "twice"}},
    {"name of 2^64-1 bytes", name_huge, NULL, F, {"tensor 0", "name"}},
    {"no dimension", dims_0, NULL, F, {"tensor 0 'a.weight'", "number of dimensions", "0; 1 to 4"}},
    {"5 dimensions", dims_5, NULL, F, {"tensor 0 'a.weight'", "number of dimensions", "5; 1 to 4"}},
    {"2^32-1 dimensions", dims_max, NULL, F, {"tensor 0 'a.weight'", "number of dimensions"}},
    {"dimension 0", dim_zero, NULL, F, {"tensor 0 'a.weight'", "dimension", "0; 1 to 2^40"}},
    {"dimension over 2^40", dim_huge, NULL, F, {"tensor 0 'a.weight'", "dimension", "1099511627777"}},
    {"dimension 2^64-1", dim_negative, NULL, F, {"tensor 0 'a.weight'", "dimension", "18446744073709551615"}},
    {"dimensions overflow", dim_product, NULL, F, {"tensor 0 'a.weight'", "dimension", "overflows"}},
    {"bytes overflow", dim_bytes, NULL, F, {"tensor 0 'a.weight'", "dimension", "larger than the file"}},
    {"larger than the file",
     dim_large,
     NULL,
     F,
     {"tensor 0 'a.weight'", "dimension", "larger than the file", "is the download complete?"}},
    {"not whole blocks", dim_block, NULL, F, {"tensor 1 'b.weight'", "63", "blocks of 32 (Q8_0)"}},
    {"removed type", type_removed, NULL, U, {"tensor 1 'b.weight'", "type 4", "Q4_2"}},
    {"IQ2_XXS", type_iq2, NULL, U, {"tensor 1 'b.weight'", "type 16", "IQ2_XXS", "Q4_K_M"}},
    {"TQ1_0", type_tq1, NULL, U, {"tensor 1 'b.weight'", "type 34", "TQ1_0"}},
    {"NVFP4", type_nvfp4, NULL, U, {"tensor 1 'b.weight'", "type 40", "NVFP4"}},
    {"Q8_1", type_q8_1, NULL, U, {"tensor 1 'b.weight'", "type 9", "Q8_1"}},
    {"private type", type_private, NULL, U, {"tensor 1 'b.weight'", "type 152", "unknown"}},
    {"type 2^32-1", type_negative, NULL, U, {"tensor 1 'b.weight'", "type 4294967295", "unknown"}},
    {"offset not aligned", offset_odd, NULL, F, {"tensor 1 'b.weight'", "offset", "513", "alignment 32"}},
    {"offset wraps", offset_max, NULL, F, {"tensor 1 'b.weight'", "offset", "18446744073709551584"}},
    {"offset beyond the file", offset_beyond, NULL, F, {"tensor 1 'b.weight'", "offset", "2147483648"}},
    {"same place", overlap_same, NULL, F, {"offset", "overlap"}},
    {"overlap by one block", overlap_last, NULL, F, {"tensor 1 'b.weight'", "overlap", "'a.weight'"}},
    {"last byte missing",
     NULL,
     patch_last_byte,
     F,
     {"tensor 2 'c.weight'", "offset", "beyond the data section"}},
    {"no data", NULL, patch_no_data, F, {"tensor 0 'a.weight'", "has 0 bytes", "download"}},
    {"no padding", NULL, patch_no_padding, F, {"tensor 0 'a.weight'", "has 0 bytes"}},
    {"split.count is an array", split_array, NULL, F, {"'split.count'", "count"}},
    {"split.count is a string", split_text, NULL, F, {"'split.count'", "count"}},
    {"split.no = split.count", split_no, NULL, F, {"split.no", "part 2 of 2"}},
    {"65535 parts", split_many, NULL, F, {"split.count", "65535"}},
};
#undef F
#undef U

/* Opens what the defect makes; reports whatever is not as expected. */
static bool check_defect(const defect *d) {
    gw *w = gw_sample();
    if (d->plant) d->plant(w);
    size_t n;
    uint8_t *bytes = gw_finish(w, &n);
    if (d->patch) d->patch(w, bytes, &n);
    vb_gguf *const untouched = (vb_gguf *)(void *)&n;
    vb_gguf *g = untouched;
    vb_error err;
    const int code = open_bytes(&g, bytes, n, &err);
    bool ok = code == d->code && err.code == d->code && strstr(err.message, "test.gguf") && g == untouched &&
              !strchr(err.message, '\n');
    for (size_t i = 0; i < sizeof d->parts / sizeof d->parts[0] && d->parts[i]; i++) {
        ok = ok && strstr(err.message, d->parts[i]);
    }
    if (!ok) print_error("%s: code %d, message: %s\n", d->name, code, err.message);
    if (!code) vb_gguf_close(g);
    /* Without a vb_error the code is the same. */
    g = NULL;
    if (vb_gguf_open_memory(&g, bytes, n, "test.gguf", NULL) != d->code) ok = false;
    free(bytes);
    gw_free(w);
    return ok;
}

static void test_defects(void **state) {
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < sizeof defects / sizeof defects[0]; i++) bad += !check_defect(&defects[i]);
    print_message("%zu planted defects\n", sizeof defects / sizeof defects[0]);
    assert_int_equal(bad, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_defects)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
