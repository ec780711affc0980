/* Recordings compared: a difference planted at every level is found where it is; near ties do not count;
 * tolerances let pass what they say; malformed and cut off recordings are errors that name the line. */
#include "tests/gguf_writer.h"
#include "conformance/recording.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define OURS "vectors/recordings/arch-qwen2.q16.jsonl"

static char theirs_path[256];

static int name_file(void **state) {
    (void)state;
    gw_temp_path(theirs_path);
    return 0;
}

static int remove_file(void **state) {
    (void)state;
    return unlink(theirs_path);
}

/* Writes OURS with `from`, searched after `after`, replaced by `to` (same length where lines must stay). */
static void write_theirs(const char *after, const char *from, const char *to) {
    char *text;
    size_t n;
    vb_buf t = {0};
    vb_error err = {0};
    if (cf_read_file(OURS, &text, &n, &err)) fail_msg("%s", err.message);
    char *at = strstr(text, after);
    assert_non_null(at);
    at = strstr(at, from);
    assert_non_null(at);
    vb_buf_add(&t, text, (size_t)(at - text));
    vb_buf_add(&t, to, strlen(to));
    vb_buf_add(&t, at + strlen(from), strlen(at + strlen(from)));
    assert_int_equal(cf_write_file(theirs_path, t.s, t.n, &err), 0);
    vb_buf_free(&t);
    free(text);
}

static int compare(const char *ours, const char *theirs, const char *tolerance, cf_comparison *c,
                   vb_error *err) {
    cf_recording a = {0}, b = {0};
    cf_tolerance t;
    cf_bounds bounds;
    assert_true(cf_tolerance_of(tolerance, &t, &bounds));
    int rc = cf_recording_open(&a, ours, err);
    if (!rc) rc = cf_recording_open(&b, theirs, err);
    if (!rc) rc = cf_compare(&a, &b, t, &bounds, NULL, c, err);
    cf_recording_close(&a);
    cf_recording_close(&b);
    return rc;
}

static cf_comparison compared(const char *ours, const char *theirs, const char *tolerance) {
    cf_comparison c;
    vb_error err = {0};
    if (compare(ours, theirs, tolerance, &c, &err)) fail_msg("%s", err.message);
    return c;
}

static void a_recording_equals_itself(void **state) {
    (void)state;
    const cf_comparison c = compared(OURS, OURS, "bitwise");
    assert_true(c.pass && !c.first.found && !c.first_bits.found);
    assert_true(c.rows > 200 && c.rows_beyond == 0 && c.rows_missing == 0 && c.steps == 36);
    assert_int_equal(c.positions, c.top1);
    assert_int_equal(c.positions, c.top5);
    assert_true(c.max_kl < 1e-12);
}

/* In the array of a layer and operation at a position, element 5 becomes 1e30, or its last bit changes. */
static void a_difference_is_found_where_it_is(void **state) {
    (void)state;
    static const char *const ops[] = {"attn_norm", "q",        "k",          "v",       "heads",
                                      "attn_out",  "ffn_norm", "ffn_hidden", "ffn_out", "layer_out"};
    for (int layer = 0; layer < 2; layer++) {
        for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
            char after[96], from[9] = "", *text, *at;
            size_t n;
            snprintf(after, sizeof after, "{\"position\":3,\"layer\":%d,\"op\":\"%s\"", layer, ops[i]);
            assert_int_equal(cf_read_file(OURS, &text, &n, NULL), 0);
            at = strstr(text, after);
            assert_non_null(at);
            memcpy(from, strstr(at, "\"f32\":\"") + 7 + 40, 8);
            free(text);
            char to[9];
            snprintf(to, sizeof to, "%08lx", strtoul(from, NULL, 16) ^ 1ul);
            write_theirs(after, from, to);
            cf_comparison c = compared(OURS, theirs_path, "bitwise");
            assert_false(c.pass);
            assert_int_equal(c.rows_beyond, 1);
            assert_int_equal(c.first.level, 4);
            assert_int_equal(c.first.position, 3);
            assert_int_equal(c.first.layer, layer);
            assert_int_equal(c.first.element, 5);
            assert_int_equal(c.first.ulp, 1);
            assert_string_equal(c.first.what, ops[i]);
            assert_true(compared(OURS, theirs_path, "f16").pass);

            write_theirs(after, from, "7149f2ca"); /* 1e30 */
            c = compared(OURS, theirs_path, "q8");
            assert_false(c.pass);
            assert_int_equal(c.first.layer, layer);
            assert_int_equal(c.first.element, 5);
            assert_string_equal(c.first.what, ops[i]);
        }
    }
}

static void tokens_and_near_ties(void **state) {
    (void)state;
    char *text, *at, from[64], to[64], first[16];
    size_t n;
    /* Another first greedy token. */
    assert_int_equal(cf_read_file(OURS, &text, &n, NULL), 0);
    at = strstr(text, "{\"greedy\":[") + 11;
    snprintf(first, sizeof first, "%.*s", (int)strcspn(at, ","), at);
    char *margins = strstr(at, "\"margins\":\"") + 11;
    char margin[17];
    snprintf(margin, sizeof margin, "%.16s", margins);
    free(text);
    snprintf(from, sizeof from, "{\"greedy\":[%s,", first);
    snprintf(to, sizeof to, "{\"greedy\":[%d,", atoi(first) ^ 1);
    write_theirs("{\"greedy\"", from, to);
    cf_comparison c = compared(OURS, theirs_path, "bitwise");
    assert_false(c.pass);
    assert_int_equal(c.first.level, 5);
    assert_string_equal(c.first.what, "greedy token");
    assert_int_equal(c.first.position, 11);
    double gap;
    assert_true(cf_parse_f64(margin, 1, &gap));
    const bool tie = gap < 0.5;
    assert_int_equal(compared(OURS, theirs_path, "q8").pass, tie);

    /* The same where the margin is next to nothing: a copy of OURS says so. */
    char ours[sizeof theirs_path + 8];
    snprintf(ours, sizeof ours, "%s.ours", theirs_path);
    snprintf(from, sizeof from, "%s", margin);
    write_theirs("{\"greedy\"", from, "3f00000000000000");
    assert_int_equal(rename(theirs_path, ours), 0);
    snprintf(from, sizeof from, "{\"greedy\":[%s,", first);
    write_theirs("{\"greedy\"", from, to);
    c = compared(ours, theirs_path, "f16");
    assert_true(c.pass && c.first_bits.near_tie);
    assert_int_equal(c.near_ties, 1);
    assert_false(compared(ours, theirs_path, "bitwise").pass);
    unlink(ours);

    /* Sampled tokens count bit for bit only. */
    assert_int_equal(cf_read_file(OURS, &text, &n, NULL), 0);
    at = strstr(text, "\"sampled\":[") + 11;
    snprintf(from, sizeof from, "\"sampled\":[%.*s,", (int)strcspn(at, ","), at);
    snprintf(to, sizeof to, "\"sampled\":[%d,", atoi(at) ^ 1);
    free(text);
    write_theirs("\"sampled\":[", from, to);
    assert_false(compared(OURS, theirs_path, "bitwise").pass);
    assert_true(compared(OURS, theirs_path, "f16").pass);
}

static void tolerances(void **state) {
    (void)state;
    const cf_comparison q8 = compared(OURS, "vectors/recordings/arch-qwen2.q8.jsonl", "q8");
    assert_true(q8.pass && q8.first_bits.found);
    assert_false(compared(OURS, "vectors/recordings/arch-qwen2.q8.jsonl", "bitwise").pass);
    const cf_comparison oracle = compared("vectors/oracle/arch-qwen2.jsonl", OURS, "f16");
    assert_true(oracle.pass && oracle.max_kl < 1e-6);
}

static void malformed_recordings(void **state) {
    (void)state;
    static const char *const cases[][4] = {
        {"{\"position\":2,", "\"f32\":\"", "\"f32\":\"x", "not n numbers"},
        {"{\"position\":2,", "\"n\":", "\"n\":-", "\"n\" must be"},
        {"{\"position\":2,", "\"op\":", "\"op\":1,\"op\":", "duplicate"},
        {"{\"position\":2,", "\"position\":2", "\"position\":2.5", "\"position\" must be"},
        {"{\"position\":2,", "\"f32\"", "\"f99\"", "an array needs"},
        {"{\"position\":2,", "\"f32\":\"", "\"f32\":\"7f800000", "not n numbers"},
        {"{\"greedy\"", "\"greedy\":[", "\"greedy\":[-1,", "a token id must be"},
        {"{\"verbatim\"", "\"version\":1", "\"version\":2", "\"version\" must be 1"},
        {"{\"verbatim\"", "\"kind\":\"model\"", "\"kind\":\"dots\"", "not the head of a recording"},
        {"{\"end\"", "{\"end\"", "[]\n{\"end\"", "not a JSON object"},
        {"{\"end\"", "{\"end\":", "{\"end\":1", "not the number of lines"},
        {"{\"prompt\":0", "\"prompt\":0", "\"prompt\":1", "numbered"},
        {"{\"cache\"", "\"cache\"", "\"cash\"", "none of"}};
    cf_comparison c;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vb_error err = {0};
        write_theirs(cases[i][0], cases[i][1], cases[i][2]);
        assert_int_not_equal(compare(OURS, theirs_path, "bitwise", &c, &err), 0);
        if (!strstr(err.message, cases[i][3]) || !strstr(err.message, ": line "))
            fail_msg("case %zu: \"%s\" is not about \"%s\"", i, err.message, cases[i][3]);
    }
    char *text;
    size_t n;
    assert_int_equal(cf_read_file(OURS, &text, &n, NULL), 0);
    for (size_t cut = 0; cut < n; cut += n / 40) {
        vb_error err = {0};
        assert_int_equal(cf_write_file(theirs_path, text, cut, NULL), 0);
        assert_int_equal(compare(OURS, theirs_path, "bitwise", &c, &err), VB_ERR_FORMAT);
        assert_non_null(strstr(err.message, ": line "));
    }
    free(text);
    vb_error err = {0};
    assert_int_equal(compare(OURS, "vectors/recordings/arch-qwen3.q16.jsonl", "q8", &c, &err),
                     VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "different models"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recording_equals_itself), cmocka_unit_test(a_difference_is_found_where_it_is),
        cmocka_unit_test(tokens_and_near_ties),      cmocka_unit_test(tolerances),
        cmocka_unit_test(malformed_recordings),
    };
    return cmocka_run_group_tests(tests, name_file, remove_file);
}
