/* fuzz_recording.c - libFuzzer: files for `verbatim compare`. Nothing may crash, nothing may take memory that
 * the file does not hold, and what passes lies within its bounds. `make fuzz` builds and runs it.
 *
 * Byte 0 chooses the kind and the tolerance. Then the lines between the head and the end, which are written
 * here, or the fuzzer would seldom get past them. A byte 0xff, which no JSON holds, stands between OURS and
 * THEIRS; without it they are the same. */
#include "conformance/recording.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const KINDS[] = {"model", "tokens", "blocks", "dots"}, *const TOLERANCES[] = {
                                                                              "bitwise", "f32", "f16", "q8"};

static void check(bool good) {
    if (!good) abort();
}

/* A file in memory of its own, so that a read beyond it is seen. */
static char *file_of(const char *kind, const uint8_t *lines, size_t n, size_t *len) {
    vb_buf t = {0};
    size_t count = 1;
    vb_buf_addf(&t, "{\"verbatim\":\"vectors\",\"version\":1,\"kind\":\"%s\"}\n", kind);
    vb_buf_add(&t, (const char *)lines, n);
    for (size_t i = 0; i < n; i++) count += lines[i] == '\n';
    if (n && lines[n - 1] != '\n') {
        vb_buf_add(&t, "\n", 1);
        count++;
    }
    vb_buf_addf(&t, "{\"end\":%zu}\n", count);
    check(!t.failed);
    char *exact = malloc(t.n);
    check(exact != NULL);
    memcpy(exact, t.s, *len = t.n);
    vb_buf_free(&t);
    return exact;
}

static void check_recording(const cf_recording *r, size_t len) {
    size_t values = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        const cf_row *row = &r->rows[i];
        check(row->n >= 1 && row->have >= 0 && row->have <= row->n);
        for (int k = 0; k < row->have; k++) {
            check(isfinite(row->x[k]));
            if (row->element)
                check(row->element[k] < row->n && (!k || row->element[k] > row->element[k - 1]));
        }
        values += (size_t)row->have;
    }
    check(values <= len);
    for (size_t i = 0; i < r->n_outputs; i++) {
        const cf_tokens *t = &r->outputs[i];
        check(t->prompt >= 0 && (size_t)t->prompt < r->n_prompts);
        for (size_t k = 0; k < t->n; k++) check(!t->logprob || !isinf(t->logprob[k]));
    }
}

static void see_array(void *user, const cf_row *ours, const cf_row *theirs, double relative, double kl,
                      bool good) {
    (void)user;
    check(theirs || good);
    check(!isnan(relative) && !isnan(kl) && ours->n >= 1);
}

static void see_tokens(void *user, const cf_tokens *ours, size_t tokens, size_t logprobs,
                       const cf_divergence *d) {
    (void)user;
    check(tokens <= ours->n && logprobs <= ours->n && (!d->found || d->what[0]));
}

/* A verdict: what passes is within the bounds, and something was compared. */
static void check_verdict(const cf_comparison *c, cf_tolerance t, const cf_bounds *b) {
    check(c->rows + c->steps + c->logprobs > 0 && c->pass == !c->first.found);
    check(!isnan(c->worst_row) && !isnan(c->max_kl) && !isnan(c->worst_logprob));
    if (!c->pass) return;
    check(c->rows_beyond == 0);
    check(t == CF_BITWISE || (c->worst_row <= b->row && c->max_kl <= b->kl));
    check(c->worst_logprob <= b->logprob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const cf_watch watch = {NULL, see_array, see_tokens};
    if (size < 1) return 0;
    const char *kind = KINDS[data[0] & 3];
    const uint8_t *lines = data + 1, *mark = memchr(lines, 0xff, size - 1);
    const size_t n = mark ? (size_t)(mark - lines) : size - 1;
    size_t len_a, len_b;
    char *a = file_of(kind, lines, n, &len_a),
         *b = mark ? file_of(kind, mark + 1, size - 2 - n, &len_b) : file_of(kind, lines, n, &len_b);
    cf_recording x = {0}, y = {0};
    cf_comparison c;
    cf_tolerance t;
    cf_bounds bounds;
    vb_error err = {0};
    check(cf_tolerance_of(TOLERANCES[data[0] >> 2 & 3], &t, &bounds));
    if (data[0] & 3) {
        const int rc = cf_compare_lines("ours", a, len_a, "theirs", b, len_b, t, &bounds, &c, &err);
        check(!rc || err.message[0]);
        if (!rc) check(c.rows > 0 && c.pass == !c.first.found && (mark || c.pass));
    } else {
        const int read_a = cf_recording_read(&x, "ours", a, len_a, &err),
                  read_b = read_a ? read_a : cf_recording_read(&y, "theirs", b, len_b, &err);
        if (!read_a) check_recording(&x, len_a);
        if (!read_a && !read_b) {
            const int rc = cf_compare(&x, &y, t, &bounds, &watch, &c, &err);
            check(!rc || err.message[0]);
            if (!rc) check_verdict(&c, t, &bounds);
            if (!rc && !mark) check(c.pass);
        }
    }
    cf_recording_close(&x);
    cf_recording_close(&y);
    free(a);
    free(b);
    return 0;
}
