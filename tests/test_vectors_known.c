/* What a recording does not know, and what it must not say: null is a missing value, which is counted and
 * never passed over in silence; NaN and infinities are no values, in whichever form, file and place they
 * stand, and under every tolerance. */
#include "tests/gguf_writer.h"
#include "conformance/recording.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char *const tolerances[] = {"bitwise", "f32", "f16", "q8"};

static char ours[256], theirs[256];

static int name_files(void **state) {
    (void)state;
    gw_temp_path(ours);
    gw_temp_path(theirs);
    return 0;
}

static int remove_files(void **state) {
    (void)state;
    unlink(ours);
    unlink(theirs);
    return 0;
}

/* A file of these lines after the head of its kind; NULL ends them. */
static void write_lines(const char *path, const char *kind, const char *const *lines) {
    vb_buf t = {0};
    size_t n = 1;
    vb_error err = {0};
    vb_buf_addf(&t, "{\"verbatim\":\"vectors\",\"version\":1,\"kind\":\"%s\"}\n", kind);
    for (; lines[n - 1]; n++) {
        vb_buf_add(&t, lines[n - 1], strlen(lines[n - 1]));
        vb_buf_add(&t, "\n", 1);
    }
    vb_buf_addf(&t, "{\"end\":%zu}\n", n);
    if (cf_write_file(path, t.s, t.n, &err)) fail_msg("%s", err.message);
    vb_buf_free(&t);
}

/* A recording with one array, the prompt's log-probabilities and one output; NULL leaves a line out. */
static void write_recording(const char *path, const char *array, const char *logprobs, const char *output) {
    const char *lines[5] = {"{\"prompt\":0,\"tokens\":[1,2,3]}"};
    int n = 1;
    if (array) lines[n++] = array;
    if (logprobs) lines[n++] = logprobs;
    if (output) lines[n++] = output;
    write_lines(path, "model", lines);
}

static int compare(const char *a, const char *b, const char *tolerance, cf_comparison *c, vb_error *err) {
    cf_tolerance t;
    cf_bounds bounds;
    assert_true(cf_tolerance_of(tolerance, &t, &bounds));
    return cf_compare_files(a, b, t, &bounds, NULL, c, err);
}

static cf_comparison compared(const char *tolerance) {
    cf_comparison c;
    vb_error err = {0};
    if (compare(ours, theirs, tolerance, &c, &err)) fail_msg("%s", err.message);
    return c;
}

/* `theirs` is malformed, whichever side it is on, under every tolerance. */
static void malformed(const char *name, const char *what) {
    for (size_t t = 0; t < 4; t++) {
        for (int side = 0; side < 2; side++) {
            cf_comparison c;
            vb_error err = {0};
            const int rc = compare(side ? theirs : ours, side ? ours : theirs, tolerances[t], &c, &err);
            if (rc != VB_ERR_FORMAT || !strstr(err.message, theirs) || !strstr(err.message, ": line ") ||
                !strstr(err.message, what))
                fail_msg("%s, --tolerance %s, side %d: %d, \"%s\" is not about \"%s\"", name, tolerances[t],
                         side, rc, err.message, what);
        }
    }
}

#define ARRAY    "{\"position\":2,\"op\":\"logits\",\"n\":4,\"f32\":\"3f800000400000004040000040800000\"}"
#define LOGPROBS "{\"logprobs\":[-1.5,-2.5]}"
#define OUTPUT   "{\"greedy\":[7,8],\"logprobs\":[-0.5,-0.25],\"margins\":[1,2]}"

static void numbers_that_are_none(void **state) {
    (void)state;
    static const char *const hex[] = {"7ff8000000000000", "fff8000000000000", "7ff0000000000001",
                                      "7ff0000000000000", "fff0000000000000", "7FFfffffffffffff"},
                             *const hex32[] = {"7fc00000", "ffc00000", "7f800001", "7f800000", "FF800000"},
                             *const decimal[] = {"1e999",  "-1e999", "\"nan\"", "\"inf\"",
                                                 "\"-1\"", "NaN",    "true"};
    char line[400];
    write_recording(ours, ARRAY, LOGPROBS, OUTPUT);
    for (size_t i = 0; i < sizeof hex / sizeof *hex; i++) {
        snprintf(line, sizeof line, "{\"logprobs\":\"bff8000000000000%s\"}", hex[i]);
        write_recording(theirs, ARRAY, line, OUTPUT);
        malformed(line, "value 1 is not finite");
        for (int k = 0; k < 3; k++) {
            static const char *const form[] = {"{\"greedy\":[7,8],\"logprobs\":\"%s%.0s\"}",
                                               "{\"greedy\":[7,8],\"margins\":\"%s%.0s\"}",
                                               "{\"seed\":\"1\",\"sampled\":[7,8],\"logprobs\":\"%.0s%s\"}"};
            char first[40], last[40];
            snprintf(first, sizeof first, "%s3fd0000000000000", hex[i]);
            snprintf(last, sizeof last, "bfd0000000000000%s", hex[i]);
            snprintf(line, sizeof line, form[k], first, last);
            write_recording(theirs, ARRAY, LOGPROBS, line);
            malformed(line, "is not finite");
        }
        snprintf(line, sizeof line, "{\"position\":2,\"op\":\"logits\",\"n\":1,\"f64\":\"%s\"}", hex[i]);
        write_recording(theirs, line, LOGPROBS, OUTPUT);
        malformed(line, "a value is not finite");
    }
    for (size_t i = 0; i < sizeof hex32 / sizeof *hex32; i++) {
        snprintf(line, sizeof line, "{\"position\":2,\"op\":\"logits\",\"n\":2,\"f32\":\"3f800000%s\"}",
                 hex32[i]);
        write_recording(theirs, line, LOGPROBS, OUTPUT);
        malformed(line, "a value is not finite");
        snprintf(line, sizeof line,
                 "{\"position\":2,\"layer\":0,\"op\":\"q\",\"n\":20,\"first\":\"%032d%032d\",\"last\":\"%"
                 "056d%s\"}",
                 0, 0, 0, hex32[i]);
        write_recording(theirs, line, LOGPROBS, OUTPUT);
        malformed(line, "a value is not finite");
    }
    for (size_t i = 0; i < sizeof decimal / sizeof *decimal; i++) {
        snprintf(line, sizeof line, "{\"logprobs\":[-1.5,%s]}", decimal[i]);
        write_recording(theirs, ARRAY, line, OUTPUT);
        malformed(line, "");
        snprintf(line, sizeof line, "{\"greedy\":[7,8],\"margins\":[%s,1]}", decimal[i]);
        write_recording(theirs, ARRAY, LOGPROBS, line);
        malformed(line, "");
        snprintf(line, sizeof line, "{\"position\":2,\"op\":\"logits\",\"n\":4,\"values\":[1,2,3,%s]}",
                 decimal[i]);
        write_recording(theirs, line, LOGPROBS, OUTPUT);
        malformed(line, "");
        snprintf(line, sizeof line, "{\"position\":2,\"op\":\"logits\",\"n\":4,\"ids\":[3],\"values\":[%s]}",
                 decimal[i]);
        write_recording(theirs, line, LOGPROBS, OUTPUT);
        malformed(line, "");
    }
}

static void other_malformed_lines(void **state) {
    (void)state;
    static const char *const arrays[][2] = {
        {"{\"position\":2,\"op\":\"logits\",\"n\":4,\"ids\":[1,1],\"values\":[2,2]}",
         "names an element twice"},
        {"{\"position\":2,\"op\":\"logits\",\"n\":4,\"ids\":[4],\"values\":[2]}", "elements of the array"},
        {"{\"position\":2,\"op\":\"logits\",\"n\":4,\"ids\":[-1],\"values\":[2]}", "elements of the array"},
        {"{\"position\":2,\"op\":\"logits\",\"n\":4,\"ids\":[1],\"values\":[null]}", "no number"},
        {"{\"position\":2,\"op\":\"logits\",\"n\":4,\"ids\":[1,2],\"values\":[1]}", "lists of one length"},
        {"{\"position\":2,\"op\":\"logits\",\"n\":4,\"values\":[1]}", "has not n numbers"},
        {"{\"position\":2,\"op\":\"logits\",\"n\":4,\"f32\":\"3f80000\"}", "not n numbers"},
        {"{\"position\":2,\"op\":\"q\\u0000\",\"n\":1,\"values\":[1]}", "\"op\" must be a name"},
        {"{\"position\":2,\"op\":\"q\",\"n\":1,\"f32\":\"3f800000\\u0000\"}", "an array needs"}};
    static const char *const outputs[][2] = {
        {"{\"seed\":1,\"sampled\":[7]}", "\"seed\" must be"},
        {"{\"seed\":\"1x\",\"sampled\":[7]}", "\"seed\" must be"},
        {"{\"seed\":\"18446744073709551616\",\"sampled\":[7]}", "\"seed\" must be"},
        {"{\"greedy\":[7],\"margins\":[-1]}", "no less than the second"},
        {"{\"greedy\":[7],\"margins\":\"bff0000000000000\"}", "no less than the second"},
        {"{\"greedy\":[7],\"logprobs\":{}}", "for each token"},
        {"{\"greedy\":[],\"logprobs\":{}}", "for each token"}};
    write_recording(ours, ARRAY, LOGPROBS, OUTPUT);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        write_recording(theirs, arrays[i][0], LOGPROBS, OUTPUT);
        malformed(arrays[i][0], arrays[i][1]);
    }
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        write_recording(theirs, ARRAY, LOGPROBS, outputs[i][0]);
        malformed(outputs[i][0], outputs[i][1]);
    }
}

/* null passes, and is counted; where nothing at all was compared there is no verdict. */
static void what_is_not_known_is_counted(void **state) {
    (void)state;
    write_recording(ours, ARRAY, LOGPROBS, OUTPUT);
    for (size_t t = 0; t < 4; t++) {
        cf_comparison c;
        vb_error err = {0};
        write_recording(
            theirs, ARRAY, LOGPROBS,
            "{\"greedy\":[7,8],\"logprobs\":[-0.5,-0.25],\"text\":\"a token's \\u0000 is no fault\"}");
        c = compared(tolerances[t]);
        assert_true(c.pass && c.rows == 1 && c.rows_missing == 0 && c.steps == 2 && c.steps_missing == 0);
        assert_true(c.logprobs == 4 && c.logprobs_missing == 0);

        write_recording(theirs, ARRAY, "{\"logprobs\":[null,-2.5]}",
                        "{\"greedy\":[7,8],\"logprobs\":[null,null],\"margins\":[null,null]}");
        c = compared(tolerances[t]);
        assert_true(c.pass && c.logprobs == 1 && c.logprobs_missing == 3 && c.steps == 2);

        write_recording(theirs, ARRAY, "{\"logprobs\":[null,null]}", "{\"greedy\":[7]}");
        c = compared(tolerances[t]);
        assert_true(c.pass && c.logprobs == 0 && c.logprobs_missing == 4 && c.steps == 1 &&
                    c.steps_missing == 1);

        write_recording(theirs, "{\"position\":2,\"op\":\"logits\",\"n\":4,\"ids\":[],\"values\":[]}",
                        LOGPROBS, NULL);
        c = compared(tolerances[t]);
        assert_true(c.pass && c.rows == 0 && c.rows_missing == 1 && c.steps_missing == 2 && c.logprobs == 2 &&
                    c.logprobs_missing == 2);

        write_recording(theirs, "{\"position\":2,\"op\":\"logits\",\"n\":4,\"ids\":[],\"values\":[]}",
                        "{\"logprobs\":[null,null]}", "{\"greedy\":[],\"logprobs\":[]}");
        assert_int_equal(compare(ours, theirs, tolerances[t], &c, &err), VB_ERR_ARGUMENT);
        assert_non_null(strstr(err.message, "not one value of OURS was compared"));
    }
}

/* Some elements of an array, on either side. */
static void some_elements(void **state) {
    (void)state;
    static const char some[] = "{\"position\":2,\"op\":\"logits\",\"n\":4,\"ids\":[3,0],\"values\":[4,1]}",
                      wrong[] = "{\"position\":2,\"op\":\"logits\",\"n\":4,\"ids\":[3,0],\"values\":[4,9]}",
                      others[] = "{\"position\":2,\"op\":\"logits\",\"n\":4,\"ids\":[1,2],\"values\":[9,9]}";
    for (size_t t = 0; t < 4; t++) {
        for (int side = 0; side < 2; side++) {
            write_recording(side ? theirs : ours, ARRAY, NULL, NULL);
            write_recording(side ? ours : theirs, some, NULL, NULL);
            cf_comparison c = compared(tolerances[t]);
            assert_true(c.pass && c.rows == 1 && !c.first_bits.found && c.positions == 0);
            write_recording(side ? ours : theirs, wrong, NULL, NULL);
            c = compared(tolerances[t]);
            assert_true(!c.pass && c.first.element == 0 && c.first.level == 5);
        }
        write_recording(ours, some, NULL, NULL);
        write_recording(theirs, others, LOGPROBS, NULL);
        cf_comparison c;
        vb_error err = {0};
        assert_int_equal(compare(ours, theirs, tolerances[t], &c, &err), VB_ERR_ARGUMENT);
    }
}

/* Room is taken for the values that a file holds, not for those it speaks of. */
static void memory_follows_the_file(void **state) {
    (void)state;
    static const char *const arrays[] = {
        "{\"position\":1,\"op\":\"logits\",\"n\":16777216,\"ids\":[],\"values\":[]}",
        "{\"position\":2,\"op\":\"logits\",\"n\":16777216,\"ids\":[16777215],\"values\":[1]}",
        "{\"position\":2,\"op\":\"q\",\"n\":16777216,\"first\":"
        "\"0000000000000000000000000000000000000000000000000000000000000"
        "000\",\"last\":\"0000000000000000000000000000000000000000000000000000000000000000\"}"};
    static const int have[] = {0, 1, 16};
    for (size_t i = 0; i < 3; i++) {
        cf_recording r;
        vb_error err = {0};
        write_recording(theirs, arrays[i], NULL, NULL);
        if (cf_recording_open(&r, theirs, &err)) fail_msg("%s", err.message);
        assert_int_equal(r.rows[0].n, 1 << 24);
        assert_int_equal(r.rows[0].have, have[i]);
        cf_recording_close(&r);
    }
    write_recording(ours, ARRAY, NULL, NULL);
    write_recording(theirs, "{\"position\":2,\"op\":\"logits\",\"n\":16777216,\"f32\":\"3f800000\"}", NULL,
                    NULL);
    malformed("one value of 2^24", "not n numbers");
}

/* Differences that float32 cannot show, and logits so far apart that a product is 0 times infinity. */
static void beyond_float32(void **state) {
    (void)state;
    write_recording(ours, "{\"position\":2,\"op\":\"q\",\"n\":1,\"values\":[1e300]}", NULL, NULL);
    write_recording(theirs, "{\"position\":2,\"op\":\"q\",\"n\":1,\"values\":[1e301]}", NULL, NULL);
    for (size_t t = 0; t < 4; t++) assert_false(compared(tolerances[t]).pass);
    write_recording(ours, "{\"position\":2,\"op\":\"logits\",\"n\":2,\"values\":[0,-1e30]}", NULL, NULL);
    write_recording(theirs, "{\"position\":2,\"op\":\"logits\",\"n\":2,\"values\":[-1e30,-1e30]}", NULL,
                    NULL);
    for (size_t t = 0; t < 4; t++) {
        const cf_comparison c = compared(tolerances[t]);
        assert_true(!c.pass && c.max_kl > 0.6);
    }
    /* The same array twice: which of the two would count? */
    static const char *const twice[] = {"{\"prompt\":0,\"tokens\":[1,2,3]}", ARRAY, ARRAY, NULL};
    static const char *const outputs[] = {"{\"prompt\":0,\"tokens\":[1,2,3]}", OUTPUT, ARRAY, OUTPUT, NULL};
    write_recording(ours, ARRAY, NULL, NULL);
    write_lines(theirs, "model", twice);
    malformed("an array twice", "line 4: the array of line 3 again");
    write_lines(theirs, "model", outputs);
    malformed("an output twice", "line 5: the output of line 3 again");
}

/* Levels 1 to 3. */
static void lines_of_levels_1_to_3(void **state) {
    (void)state;
#define PRODUCT "{\"dots\":\"F32\",\"case\":\"normal\",\"y\":"
    static const char *const good[] = {PRODUCT "\"3f80000040000000\"}", NULL};
    static const char *const bad[][2] = {{PRODUCT "\"3f8000004000000x\"}", "no hex digit"},
                                         {PRODUCT "[1,2]}", "a string of hex digits"},
                                         {PRODUCT "3}", "a string of hex digits"}},
                             *const infinite[] = {PRODUCT "\"3f8000007fc00000\"}",
                                                  PRODUCT "\"3f800000ff800000\"}",
                                                  PRODUCT "\"7f80000040000000\"}"};
    static const char *const unknown[] = {PRODUCT "null}", NULL}, *const cut[] = {PRODUCT "\"3f8\"}", NULL};
    cf_comparison c;
    vb_error err = {0};
    write_lines(ours, "dots", good);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const lines[] = {bad[i][0], NULL};
        write_lines(theirs, "dots", lines);
        malformed(bad[i][0], bad[i][1]);
    }
    for (size_t i = 0; i < 3; i++) {
        const char *const lines[] = {infinite[i], NULL};
        write_lines(theirs, "dots", lines);
        for (size_t t = 0; t < 4; t++) {
            assert_false(compared(tolerances[t]).pass);
            assert_int_equal(compare(theirs, ours, tolerances[t], &c, &err), VB_ERR_FORMAT);
            assert_int_equal(compare(theirs, theirs, tolerances[t], &c, &err), VB_ERR_FORMAT);
        }
    }
    err = (vb_error){0};
    write_lines(theirs, "dots", unknown);
    assert_int_equal(compare(ours, theirs, "q8", &c, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "not one value of OURS was compared"));
    err = (vb_error){0};
    /* Digits that are no whole number may not be passed over. */
    write_lines(ours, "dots", cut);
    write_lines(theirs, "dots", cut);
    assert_int_equal(compare(ours, theirs, "q8", &c, &err), VB_ERR_FORMAT);

    static const char *const ids[] = {"{\"bytes\":\"61\",\"special\":[1,5],\"plain\":[5]}", NULL},
                             *const half[] = {"{\"bytes\":\"61\",\"special\":[1,5],\"plain\":null}", NULL};
    write_lines(ours, "tokens", ids);
    write_lines(theirs, "tokens", half);
    c = compared("bitwise");
    assert_true(c.pass && c.rows == 1 && c.rows_missing == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_that_are_none),        cmocka_unit_test(other_malformed_lines),
        cmocka_unit_test(what_is_not_known_is_counted), cmocka_unit_test(some_elements),
        cmocka_unit_test(memory_follows_the_file),      cmocka_unit_test(beyond_float32),
        cmocka_unit_test(lines_of_levels_1_to_3),
    };
    return cmocka_run_group_tests(tests, name_files, remove_files);
}
