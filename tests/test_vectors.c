/* Golden vectors: those of vectors/ are made again in every way; a changed bit anywhere is found and named; a
 * file that is wrong although its hashes are right is found by making it again. */
#include "conformance/conformance.h"
#include "tests/gguf_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

typedef struct said {
    int ok, failed;
    char first[1200];
} said;

static void say(void *user, const cf_case *found) {
    said *s = user;
    if (found->ok) s->ok++;
    if (!found->ok && s->failed++ == 0) snprintf(s->first, sizeof s->first, "%s", found->text);
}

static said check(const char *dir, bool quick) {
    said s = {0};
    cf_check_result r;
    vb_error err = {0};
    const cf_check_params p = {.dir = dir, .quick = quick, .say = say, .user = &s};
    if (cf_check(&p, &r, &err)) fail_msg("%s", err.message);
    assert_int_equal(r.failed, s.failed);
    return s;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOW = true };
#else
enum { SLOW = false };
#endif

/* In one way only where programs run many times slower: under a sanitizer or an emulator. */
static void the_shipped_vectors_are_made_again(void **state) {
    (void)state;
    const char *emulator = getenv("VB_RUNNER");
    const said s = check("vectors", SLOW || (emulator && *emulator));
    if (s.failed) fail_msg("%d failed, the first: %s", s.failed, s.first);
    assert_true(s.ok >= 40);
}

/* -------------------------------------------------------------------------------------------- a small set */

static char dir[256];
static const char *const FILES[] = {
    "manifest.jsonl",     "blocks.jsonl",   "models/m.gguf", "models/sources.jsonl",
    "recordings/m.jsonl", "traces/m.jsonl", "README.md"};
enum { N_FILES = sizeof FILES / sizeof FILES[0] };

static const char *file_path(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void put(const char *name, vb_buf *t) {
    vb_error err = {0};
    if (cf_write_file(file_path(name), t->s, t->n, &err)) fail_msg("%s", err.message);
    vb_buf_free(t);
}

static int make_set(void **state) {
    (void)state;
    static const uint64_t seeds[] = {7};
    static int32_t ids[] = {1, 290, 372, 351};
    const cf_config config = {"ref", 1, 0};
    cf_prompt prompt = {ids, 4};
    vb_buf t = {0};
    vb_error err = {0};
    gw_temp_path(dir);
    unlink(dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    mkdir(file_path("models"), 0700);
    mkdir(file_path("recordings"), 0700);
    mkdir(file_path("traces"), 0700);
    const gw_model_spec spec = {
        .dim = 32, .heads = 2, .layers = 1, .n_ctx = 64, .seed = 9, .type = VB_Q8_0, .tied = true};
    assert_int_equal(gw_tiny_model(file_path("models/m.gguf"), &spec), 0);
    vb_buf_addf(&t, "{\"model\":\"models/"
                    "m.gguf\",\"origin\":\"seeded\",\"licence\":\"CC0-1.0\",\"command\":\"test_vectors\"}\n");
    put("models/sources.jsonl", &t);
    assert_int_equal(cf_make_blocks(&t, &err), 0);
    put("blocks.jsonl", &t);
    const cf_model_spec m = {.dir = dir,
                             .model = "models/m.gguf",
                             .command = "none",
                             .activations = VB_ACT_Q16,
                             .kv = VB_F32,
                             .full = true,
                             .generate = 4,
                             .seeds = seeds,
                             .n_seeds = 1,
                             .prompts = &prompt,
                             .n_prompts = 1};
    if (cf_make_model(&t, &m, &config, &err)) fail_msg("%s", err.message);
    put("recordings/m.jsonl", &t);
    const cf_trace_spec trace = {.dir = dir,
                                 .target = "models/m.gguf",
                                 .draft = "models/m.gguf",
                                 .accept = VB_ACCEPT_BLOCK,
                                 .gamma = 2,
                                 .seed = 3,
                                 .temperature = 1,
                                 .tokens = ids,
                                 .n = 4,
                                 .end = 10};
    if (cf_make_trace(&t, &trace, &config, &err)) fail_msg("%s", err.message);
    put("traces/m.jsonl", &t);
    vb_buf_addf(&t, "Any file is listed: pictures and pages too.\n");
    put("README.md", &t);
    if (cf_write_manifest(dir, &err)) fail_msg("%s", err.message);
    return 0;
}

static int remove_set(void **state) {
    (void)state;
    for (int i = 0; i < N_FILES; i++) unlink(file_path(FILES[i]));
    rmdir(file_path("models"));
    rmdir(file_path("recordings"));
    rmdir(file_path("traces"));
    return rmdir(dir);
}

static void a_good_set_passes(void **state) {
    (void)state;
    const said s = check(dir, false);
    if (s.failed) fail_msg("%s", s.first);
    assert_int_equal(s.ok, 3);
}

static void a_changed_bit_is_found_and_named(void **state) {
    (void)state;
    gw_rng rng = {17};
    for (int i = 0; i < 25 * N_FILES; i++) {
        const char *name = FILES[i % N_FILES];
        char *bytes, place[64];
        size_t n;
        assert_int_equal(cf_read_file(file_path(name), &bytes, &n, NULL), 0);
        const size_t at = i < N_FILES ? n - 1 : (size_t)(gw_next(&rng) % n);
        const int bit = (int)(gw_next(&rng) % 8);
        bytes[at] = (char)(bytes[at] ^ 1 << bit);
        assert_int_equal(cf_write_file(file_path(name), bytes, n, NULL), 0);
        const said s = check(dir, true);
        bytes[at] = (char)(bytes[at] ^ 1 << bit);
        assert_int_equal(cf_write_file(file_path(name), bytes, n, NULL), 0);
        free(bytes);
        if (s.failed == 0) fail_msg("%s: byte %zu, bit %d: not noticed", name, at, bit);
        assert_non_null(strstr(s.first, name));
        snprintf(place, sizeof place, "byte %zu: bit %d was changed", at, bit);
        if (!strstr(s.first, place)) fail_msg("%s: not the place \"%s\"", s.first, place);
    }
    const said s = check(dir, true);
    assert_int_equal(s.failed, 0);
}

/* One bit of every shipped file, another one each time: the message names file, byte and bit. VB_SEED repeats
 * a run. */
static void a_changed_bit_of_any_shipped_file(void **state) {
    (void)state;
    const char *given = getenv("VB_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    gw_rng rng = {seed};
    json_t *lines;
    vb_error err = {0};
    size_t flipped = 0;
    printf("VB_SEED=%llu\n", (unsigned long long)seed);
    if (cf_read_manifest("vectors", &lines, NULL, &err)) fail_msg("%s", err.message);
    for (size_t i = SLOW ? gw_next(&rng) % 8 : 0; i < json_array_size(lines); i += SLOW ? 8 : 1) {
        const json_t *entry = json_array_get(lines, i);
        const char *name = json_string_value(json_object_get(entry, "file"));
        char path[512], place[64], *bytes;
        size_t n;
        snprintf(path, sizeof path, "vectors/%s", name);
        if (cf_read_file(path, &bytes, &n, &err)) fail_msg("%s", err.message);
        if (n == 0) {
            fail_msg("%s: empty", path);
            return;
        }
        assert_int_equal(cf_verify_bytes(entry, bytes, n, &err), 0);
        const size_t at = (size_t)(gw_next(&rng) % n);
        const int bit = (int)(gw_next(&rng) % 8);
        bytes[at] = (char)(bytes[at] ^ 1 << bit);
        snprintf(place, sizeof place, "byte %zu: bit %d was changed", at, bit);
        vb_error said_here = {0};
        if (cf_verify_bytes(entry, bytes, n, &said_here) != VB_ERR_FORMAT)
            fail_msg("%s: %s and nobody noticed", name, place);
        if (!strstr(said_here.message, name) || !strstr(said_here.message, place))
            fail_msg("%s: not \"%s\": %s", name, place, said_here.message);
        free(bytes);
        flipped++;
    }
    json_decref(lines);
    printf("%zu files, a bit of each\n", flipped);
}

/* Replaces the last digit of the first match's 8-digit number and lets the manifest agree. */
static void a_wrong_value_with_right_hashes_is_found(void **state) {
    (void)state;
    static const char *const where[][3] = {{"blocks.jsonl", "\"type\":\"Q6_K\"", "Q6_K"},
                                           {"recordings/m.jsonl", "\"op\":\"heads\"", "\"op\":\"heads\""},
                                           {"traces/m.jsonl", "{\"step\":1", "line 4"}};
    for (int i = 0; i < 3; i++) {
        const char *name = where[i][0];
        char *bytes;
        size_t n;
        vb_error err = {0};
        assert_int_equal(cf_read_file(file_path(name), &bytes, &n, NULL), 0);
        char *at = strstr(bytes, where[i][1]);
        assert_non_null(at);
        at = i == 2 ? strstr(at, "\"value\":\"") + 9 : strstr(at, "\"f32\":\"") + 7 + 8 * 3;
        const char old = *at;
        *at = old == '1' ? '2' : '1';
        assert_int_equal(cf_write_file(file_path(name), bytes, n, NULL), 0);
        assert_int_equal(cf_write_manifest(dir, &err), 0);
        const said s = check(dir, true);
        *at = old;
        assert_int_equal(cf_write_file(file_path(name), bytes, n, NULL), 0);
        assert_int_equal(cf_write_manifest(dir, &err), 0);
        free(bytes);
        assert_int_equal(s.failed, 1);
        assert_non_null(strstr(s.first, name));
        if (!strstr(s.first, where[i][2])) fail_msg("%s", s.first);
        if (i < 2) assert_non_null(strstr(s.first, "element 3"));
    }
}

/* Every file is made again in one part, and no part does what another one does. */
static void parts_are_the_whole(void **state) {
    (void)state;
    enum { PARTS = 3 };
    cf_check_result whole, part, sum = {0};
    vb_error err = {0};
    cf_check_params p = {.dir = dir, .quick = true};
    assert_int_equal(cf_check(&p, &whole, &err), 0);
    for (int i = 0; i < PARTS; i++) {
        p.shard = i;
        p.shards = PARTS;
        assert_int_equal(cf_check(&p, &part, &err), 0);
        assert_int_equal(part.failed, 0);
        assert_string_equal(part.manifest, whole.manifest);
        sum.files += part.files;
        sum.configurations += part.configurations;
        sum.bytes += part.bytes;
        sum.remade += part.remade;
    }
    assert_int_equal(sum.files, whole.files);
    assert_int_equal(sum.configurations, whole.configurations);
    assert_int_equal(sum.bytes, whole.bytes);
    assert_int_equal(sum.remade, whole.remade);
}

/* An oracle file without a recording of ours: our build makes one and is held to the bound, or refuses the
 * model. */
static void an_oracle_alone(void **state) {
    (void)state;
    static const char head[] =
        "{\"verbatim\":\"vectors\",\"version\":1,\"kind\":\"model\",\"origin\":\"oracle\",\"licence\":\"CC0-"
        "1.0\",\"command\":\"none\","
        "\"model\":\"models/"
        "m.gguf\",\"architecture\":\"llama\",\"bound\":\"3f50000000000000\",\"generate\":4}\n";
    vb_buf t = {0};
    char *bytes;
    size_t n;
    vb_error err = {0};
    assert_int_equal(cf_read_file(file_path("recordings/m.jsonl"), &bytes, &n, NULL), 0);
    vb_buf_add(&t, head, sizeof head - 1);
    const char *rest = strchr(bytes, '\n') + 1;
    vb_buf_add(&t, rest, n - (size_t)(rest - bytes));
    char *at = strstr(t.s, "\"op\":\"heads\"");
    at = strstr(at, "\"f32\":\"") + 7;
    mkdir(file_path("oracle"), 0700);
    for (int wrong = 0; wrong < 2; wrong++) {
        if (wrong) memcpy(at, "44000000", 8); /* 512 */
        assert_int_equal(cf_write_file(file_path("oracle/m.jsonl"), t.s, t.n, &err), 0);
        if (cf_write_manifest(dir, &err)) fail_msg("%s", err.message);
        const said s = check(dir, true);
        assert_int_equal(s.failed, wrong);
        if (wrong) assert_non_null(strstr(s.first, "oracle/m.jsonl: heads at position 0"));
    }
    unlink(file_path("oracle/m.jsonl"));
    rmdir(file_path("oracle"));
    assert_int_equal(cf_write_manifest(dir, &err), 0);
    vb_buf_free(&t);
    free(bytes);
}

static void files_that_are_missing_or_unlisted_are_found(void **state) {
    (void)state;
    vb_buf t = {0};
    char from[512];
    snprintf(from, sizeof from, "%s", file_path("blocks.jsonl"));
    assert_int_equal(rename(from, file_path("other.jsonl")), 0);
    said s = check(dir, true);
    assert_int_equal(s.failed, 1);
    assert_non_null(strstr(s.first, "other.jsonl is not in the manifest"));
    assert_int_equal(rename(file_path("other.jsonl"), from), 0);

    vb_buf_addf(&t, "{\"end\":0}\n");
    put("recordings/new.jsonl", &t);
    s = check(dir, true);
    unlink(file_path("recordings/new.jsonl"));
    assert_int_equal(s.failed, 1);
    assert_non_null(strstr(s.first, "recordings/new.jsonl"));

    char *bytes;
    size_t n;
    assert_int_equal(cf_read_file(file_path("manifest.jsonl"), &bytes, &n, NULL), 0);
    for (size_t cut = 0; cut < n; cut += 97) {
        assert_int_equal(cf_write_file(file_path("manifest.jsonl"), bytes, cut, NULL), 0);
        assert_int_equal(check(dir, true).failed, 1);
    }
    assert_int_equal(cf_write_file(file_path("manifest.jsonl"), bytes, n, NULL), 0);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shipped_vectors_are_made_again),
        cmocka_unit_test(a_good_set_passes),
        cmocka_unit_test(a_changed_bit_is_found_and_named),
        cmocka_unit_test(a_changed_bit_of_any_shipped_file),
        cmocka_unit_test(parts_are_the_whole),
        cmocka_unit_test(a_wrong_value_with_right_hashes_is_found),
        cmocka_unit_test(an_oracle_alone),
        cmocka_unit_test(files_that_are_missing_or_unlisted_are_found),
    };
    return cmocka_run_group_tests(tests, make_set, remove_set);
}
