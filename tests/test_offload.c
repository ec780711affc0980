/* test_offload.c - offloaded products. Backends that are right, that decline or fail at random after writing
 * rubbish, that give wrong bits from the start, later or now and then: none may change an output silently. */
#include "tests/offload_rig.h"
#include "offload/session.h"
#include "gguf/unpack.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---------------------------------------------------------------------------------- a backend with faults */

typedef enum arithmetic {
    CONTRACT,   /* the reference's own bits */
    REORDERED,  /* the same products, added backwards: bounded */
    COARSE,     /* activations that were never made integers: other numbers */
    PLACE_BOUND /* as REORDERED, but vectors at odd places are added forwards */
} arithmetic;

static struct {
    arithmetic how;
    int decline_percent, fail_percent; /* of products */
    bool start_fails, accept_nothing, write_nothing;
    int64_t wrong_after;   /* products until one output is changed by its last bit; -1: never */
    bool wrong_everywhere; /* then all outputs are */
    uint64_t random, calls;
    int attached, most_attached;
} faults;

static void no_faults(arithmetic how) {
    memset(&faults, 0, sizeof faults);
    faults.how = how;
    faults.wrong_after = -1;
    faults.random = 1;
}

static int fake_open(void **self, char *message, size_t size) {
    *self = &faults;
    if (faults.start_fails) snprintf(message, size, "the device is on fire");
    return faults.start_fails;
}
static void fake_close(void *self) {
    (void)self;
}
static int fake_accepts(void *self, const vb_offload_matrix *w, int32_t n, int32_t planes) {
    (void)self;
    (void)w;
    (void)n;
    (void)planes;
    return !faults.accept_nothing;
}
static int fake_attach(void *self, const vb_offload_matrix *w, void **handle) {
    (void)self;
    *handle = (void *)(uintptr_t)w->data;
    if (++faults.attached > faults.most_attached) faults.most_attached = faults.attached;
    return 0;
}
static void fake_detach(void *self, void *handle) {
    (void)self;
    (void)handle;
    faults.attached--;
}

static double value_of(const vb_offload_acts *x, bool integers, int t, int i) {
    const size_t at = (size_t)t * (size_t)x->cols + (size_t)i;
    if (!integers || faults.how == COARSE) return (double)x->f[at];
    const int lo = x->planes == 2 ? x->q[(size_t)x->rows * (size_t)x->cols + at] : 0;
    return (double)x->d[at / 32] * (x->planes == 2 ? 128 * x->q[at] + lo : x->q[at]);
}

static void add_in_order(const vb_offload_matrix *w, const vb_offload_acts *x, float *y) {
    float *row = calloc((size_t)w->cols, sizeof *row);
    for (int r = 0; r < w->rows; r++) {
        vb_dequantize_row((vb_type)w->type, (const uint8_t *)w->data + (size_t)r * w->row_bytes,
                          (size_t)w->cols, row);
        for (int t = 0; t < x->rows; t++) {
            const bool forwards = faults.how == PLACE_BOUND && t % 2;
            float sum = 0.0f;
            for (int k = 0; k < w->cols; k++) {
                const int i = forwards ? k : w->cols - 1 - k;
                sum += row[i] * (float)value_of(x, vb_type_is_quantized(w->type), t, i);
            }
            y[(size_t)t * (size_t)w->rows + (size_t)r] = sum;
        }
    }
    free(row);
}

static uint64_t chance(void) {
    gw_rng r = {faults.random};
    const uint64_t x = gw_next(&r);
    faults.random = r.state;
    return x;
}

static int fake_multiply(void *self, void *handle, const vb_offload_matrix *w, const vb_offload_acts *x,
                         float *y, const vb_offload_host *host) {
    (void)self;
    (void)host;
    const size_t outputs = (size_t)x->rows * (size_t)w->rows;
    faults.calls++;
    assert_ptr_equal(handle, w->data);
    if ((int)(chance() % 100) < faults.decline_percent) return VB_OFFLOAD_DECLINED;
    if ((int)(chance() % 100) < faults.fail_percent) {
        for (size_t i = 0; i < outputs; i++) y[i] = i % 3 ? 1e30f : NAN;
        return 77;
    }
    if (faults.write_nothing) return VB_OFFLOAD_DONE;
    if (faults.how == CONTRACT) {
        const vb_matrix m = {.type = (vb_type)w->type,
                             .rows = w->rows,
                             .cols = w->cols,
                             .data = w->data,
                             .row_bytes = w->row_bytes};
        const vb_acts a = {.rows = x->rows,
                           .n = x->cols,
                           .planes = x->planes,
                           .f = x->f,
                           .q = x->q,
                           .d = x->d,
                           .sum16 = x->sum16};
        vb_kernels_ref.matmul[m.type](&m, &a, 0, w->rows, y, (size_t)w->rows);
    } else {
        add_in_order(w, x, y);
    }
    if (faults.wrong_after >= 0 && faults.wrong_after-- == 0) {
        faults.wrong_after = faults.wrong_everywhere ? 0 : -1;
        const size_t from = faults.wrong_everywhere ? 0 : chance() % outputs;
        for (size_t i = from; i < (faults.wrong_everywhere ? outputs : from + 1); i++)
            y[i] = faults.how == CONTRACT ? nextafterf(y[i], INFINITY) : y[i] * 1.5f + 1.0f;
    }
    return VB_OFFLOAD_DONE;
}

static const vb_offload_backend fake = {.abi = VB_OFFLOAD_ABI,
                                        .size = sizeof fake,
                                        .name = "fake",
                                        .description = "with planted faults",
                                        .open = fake_open,
                                        .close = fake_close,
                                        .accepts = fake_accepts,
                                        .attach = fake_attach,
                                        .detach = fake_detach,
                                        .multiply = fake_multiply};

static vb_offload *adopt(void) {
    vb_offload *o = NULL;
    vb_error err = {.code = VB_OK};
    if (vb_offload_adopt(&o, &fake, NULL, NULL, &err)) fail_msg("%s", err.message);
    assert_int_equal(faults.attached, 0);
    return o;
}

/* ---------------------------------------------------------------------------------- tests */

static void test_bitwise(void **unused) {
    (void)unused;
    static const vb_type types[] = {VB_F32, VB_F16, VB_Q8_0, VB_Q4_0};
    no_faults(CONTRACT);
    vb_offload *o = adopt();
    assert_int_equal(vb_offload_describe(o)->class_, VB_OFFLOAD_BITWISE);
    assert_true(vb_offload_describe(o)->error == 0);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        test_model m = tiny(types[i]);
        vb_context *plain = open_good(&m, NULL, 0, false, 1, 0);
        float *want = all_logits(plain, &m, N);
        for (int percent = 0; percent <= 60;
             percent += 30) { /* then a third to two thirds are declined or fail */
            faults.decline_percent = faults.fail_percent = percent;
            vb_context *c = open_good(&m, o, percent ? 4 : 0, percent == 0, 2, 0);
            float *got = all_logits(c, &m, percent == 30 ? 5 : N);
            same_logits(got, want, &m);
            uint8_t a[16], b[16];
            vb_context_hash(c, a);
            vb_context_hash(plain, b);
            assert_memory_equal(a, b, 16);
            vb_offload_stats s;
            vb_context_offload_stats(c, &s);
            assert_true(s.products > 0 && s.products == s.computed + s.declined + s.failed);
            assert_true(s.computed > 0 && (s.failed > 0) == (percent > 0) &&
                        (s.declined > 0) == (percent > 0));
            assert_int_equal(s.width, 0); /* nothing to make up for */
            free(got);
            vb_context_close(c);
        }
        free(want);
        vb_context_close(plain);
        close_tiny(&m);
    }
    assert_int_equal(faults.attached, 0);
    vb_offload_close(o);
}

static void refused(const char *why) {
    vb_offload *o = NULL;
    vb_error err = {.code = VB_OK};
    assert_int_equal(vb_offload_adopt(&o, &fake, NULL, NULL, &err), VB_ERR_UNSUPPORTED);
    assert_null(o);
    if (!strstr(err.message, why)) fail_msg("no \"%s\" in: %s", why, err.message);
    assert_int_equal(faults.attached, 0);
}

static void test_refused(void **unused) {
    (void)unused;
    no_faults(COARSE);
    refused("not rounding");
    no_faults(CONTRACT);
    faults.write_nothing = true;
    refused("nan");
    no_faults(CONTRACT);
    faults.wrong_after = 100;
    faults.wrong_everywhere = true;
    vb_offload *o = adopt(); /* off by one bit is a rounding: it cannot be told from another order */
    assert_int_equal(vb_offload_describe(o)->class_, VB_OFFLOAD_BOUNDED);
    vb_offload_close(o);
    no_faults(REORDERED);
    faults.wrong_after = 50;
    refused("not rounding");
    no_faults(CONTRACT);
    faults.fail_percent = 100;
    refused("none of the products");
    no_faults(CONTRACT);
    faults.accept_nothing = true;
    refused("none of the products");
    no_faults(CONTRACT);
    faults.start_fails = true;
    refused("on fire");
}

static void test_tables(void **unused) {
    (void)unused;
    no_faults(CONTRACT);
    vb_offload_backend b = fake;
    vb_offload *o = NULL;
    b.abi = VB_OFFLOAD_ABI + 1;
    assert_int_equal(vb_offload_adopt(&o, &b, NULL, NULL, NULL), VB_ERR_UNSUPPORTED);
    b = fake;
    b.size = 16;
    assert_int_equal(vb_offload_adopt(&o, &b, NULL, NULL, NULL), VB_ERR_UNSUPPORTED);
    b = fake;
    b.multiply = NULL;
    assert_int_equal(vb_offload_adopt(&o, &b, NULL, NULL, NULL), VB_ERR_FORMAT);
    b = fake;
    b.detach = NULL;
    assert_int_equal(vb_offload_adopt(&o, &b, NULL, NULL, NULL), VB_ERR_FORMAT);
    assert_null(o);
}

/* A backend that goes wrong after it was classed: the evaluation fails, the context is as before, and stays
 * closed. */
static void goes_wrong(arithmetic how, bool everywhere, bool check_all, int width) {
    no_faults(how);
    vb_offload *o = adopt();
    test_model m = tiny(VB_Q8_0);
    vb_context *c = open_good(&m, o, width, check_all, 1, 0);
    vb_error err = {.code = VB_OK};
    const int32_t tokens[] = {1, 2, 3};
    eval(c, tokens, 3, NULL);
    faults.wrong_after = 4;
    faults.wrong_everywhere = everywhere;
    assert_int_equal(vb_eval(c, tokens, 3, NULL, &err), VB_ERR_NUMERIC);
    assert_non_null(strstr(err.message, "fake"));
    assert_int_equal(vb_context_length(c), 3);
    assert_null(vb_logits(c, 2));
    faults.wrong_after = -1;
    assert_int_equal(vb_eval(c, tokens, 3, NULL, NULL), VB_ERR_NUMERIC);
    vb_context_close(c);
    vb_offload_close(o);
    close_tiny(&m);
}

static void test_goes_wrong(void **unused) {
    (void)unused;
    goes_wrong(CONTRACT, true, false,
               0); /* every output by its last bit: the part that is checked shows it */
    goes_wrong(CONTRACT, false, true, 0); /* one output by its last bit */
    goes_wrong(REORDERED, true, false, 0);
    goes_wrong(REORDERED, false, true, 0);
    goes_wrong(REORDERED, false, true, 4);
}

static void test_bounded(void **unused) {
    (void)unused;
    static const vb_type types[] = {VB_F16, VB_Q8_0};
    no_faults(REORDERED);
    vb_offload *o = adopt();
    const vb_offload_info *info = vb_offload_describe(o);
    assert_int_equal(info->class_, VB_OFFLOAD_BOUNDED);
    assert_true(info->error > 0 && info->error < 1e-5 && info->products > 100);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        test_model m = tiny(types[i]);
        vb_context *plain = open_good(&m, NULL, 0, false, 1, 0),
                   *free_width = open_good(&m, o, 0, true, 1, 0);
        float *want = all_logits(plain, &m, N), *near = all_logits(free_width, &m, N);
        assert_memory_not_equal(near, want, (size_t)N * (size_t)m.n_vocab * sizeof *want);
        /* With a width: the same bits for any calls, threads and batches. */
        vb_context *c = open_good(&m, o, 5, true, 1, 0);
        float *first = all_logits(c, &m, N);
        static const int steps[] = {1, 2, 7, 16};
        for (int k = 0; k < 4; k++) {
            vb_context *other = open_good(&m, o, 5, false, 1 + k % 3, k == 3 ? 6 : 0);
            float *again = all_logits(other, &m, steps[k]);
            same_logits(again, first, &m);
            uint8_t a[16], b[16];
            vb_context_hash(c, a);
            vb_context_hash(other, b);
            assert_memory_equal(a, b, 16);
            free(again);
            vb_context_close(other);
        }
        assert_true(faults.attached > 0 &&
                    faults.attached == faults.most_attached); /* shared by all contexts */
        free(first);
        free(near);
        free(want);
        vb_context_close(c);
        vb_context_close(free_width);
        vb_context_close(plain);
        assert_int_equal(faults.attached, 0);
        faults.most_attached = 0;
        close_tiny(&m);
    }
    vb_offload_close(o);
}

/* Tokens of a generation; n of them. */
static void generate(vb_context *c, vb_context *draft, int gamma, int32_t *out, int n) {
    vb_sampling sampling;
    vb_spec_params p;
    vb_error err = {.code = VB_OK};
    vb_spec *spec = NULL;
    const int32_t prompt[] = {1, 9, 40, 41};
    vb_sampling_defaults(&sampling);
    sampling.seed = 3;
    sampling.temperature = 1.2;
    vb_spec_defaults(&p);
    p.gamma = gamma;
    if (draft) {
        p.draft = VB_DRAFT_MODEL;
        p.draft_context = draft;
    }
    if (vb_spec_open(&spec, c, &sampling, &p, &err) || vb_spec_prompt(spec, prompt, 4, &err))
        fail_msg("%s", err.message);
    for (int done = 0; done < n;) {
        vb_step step;
        if (vb_spec_step(spec, (size_t)(n - done), &step, &err)) fail_msg("%s", err.message);
        for (int i = 0; i < step.n_emitted; i++) out[done++] = step.emitted[i].id;
    }
    vb_spec_close(spec);
}

/* P2 relative to a bounded backend and a width. */
static void test_speculation(void **unused) {
    (void)unused;
    enum { LENGTH = 60 };
    no_faults(REORDERED);
    vb_offload *o = adopt();
    test_model m = tiny(VB_Q8_0);
    test_model d = open_tiny(&(gw_model_spec){.dim = 64,
                                              .ffn = 96,
                                              .layers = 2,
                                              .n_ctx = 128,
                                              .seed = 5,
                                              .type = VB_Q8_0,
                                              .noise = 0.2f,
                                              .noise_seed = 1});
    int32_t alone[LENGTH], with[LENGTH];
    vb_context *c = open_good(&m, o, 4, false, 1, 0);
    generate(c, NULL, 1, alone, LENGTH);
    vb_context_close(c);
    for (int gamma = 1; gamma <= 7; gamma += 2) {
        vb_context *target = open_good(&m, o, 4, false, 1, 0), *draft = open_good(&d, o, 0, false, 1, 0);
        generate(target, draft, gamma, with, LENGTH);
        assert_memory_equal(with, alone, sizeof alone);
        vb_context_close(target);
        vb_context_close(draft);
    }
    vb_context *target = open_good(&m, o, 0, false, 1, 0);
    vb_sampling sampling;
    vb_spec_params p;
    vb_spec *spec = NULL;
    vb_error err = {.code = VB_OK};
    vb_sampling_defaults(&sampling);
    vb_spec_defaults(&p);
    p.draft = VB_DRAFT_NGRAM;
    assert_int_equal(vb_spec_open(&spec, target, &sampling, &p, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "width"));
    assert_null(spec);
    vb_context_close(target);
    close_tiny(&d);
    close_tiny(&m);
    vb_offload_close(o);
}

static void test_unsteady(void **unused) {
    (void)unused;
    no_faults(PLACE_BOUND);
    vb_offload *o = adopt();
    test_model m = tiny(VB_Q8_0);
    vb_context *c = NULL;
    vb_error err = {.code = VB_OK};
    assert_int_equal(open_with(&c, &m, o, 8, false, 1, 0, &err), VB_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "P2"));
    assert_null(c);
    c = open_good(&m, o, 0, true, 1, 0); /* without a width nothing is promised */
    free(all_logits(c, &m, 3));
    vb_context_close(c);
    assert_int_equal(open_with(&c, &m, o, -1, false, 1, 0, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(open_with(&c, &m, o, 65, false, 1, 64, NULL), VB_ERR_ARGUMENT);
    close_tiny(&m);
    vb_offload_close(o);
}

/* Bounded and failing: with a width an error, since the CPU's bits would be others; without, the CPU and a
 * count. */
static void test_bounded_failing(void **unused) {
    (void)unused;
    no_faults(REORDERED);
    vb_offload *o = adopt();
    test_model m = tiny(VB_Q4_0);
    vb_context *fixed = open_good(&m, o, 4, false, 1, 0), *any = open_good(&m, o, 0, true, 1, 0);
    vb_error err = {.code = VB_OK};
    const int32_t tokens[] = {1, 2, 3};
    faults.fail_percent = 100;
    assert_int_equal(vb_eval(fixed, tokens, 3, NULL, &err), VB_ERR_NUMERIC);
    assert_non_null(strstr(err.message, "accepted"));
    eval(any, tokens, 3, NULL);
    vb_offload_stats s;
    vb_context_offload_stats(any, &s);
    assert_true(s.failed == s.products && s.failed > 0);
    vb_context *plain = open_good(&m, NULL, 0, false, 1, 0);
    eval(plain, tokens, 3, NULL);
    assert_memory_equal(vb_logits(any, 2), vb_logits(plain, 2), (size_t)m.n_vocab * sizeof(float));
    vb_context_close(plain);
    vb_context_close(any);
    vb_context_close(fixed);
    close_tiny(&m);
    vb_offload_close(o);
}

/* Under the thread sanitizer only those that use several threads: each backend proves itself for many seconds
 * there. */
#ifdef __SANITIZE_THREAD__
enum { THREADED_ONLY = true };
#else
enum { THREADED_ONLY = false };
#endif

int main(void) {
    const struct CMUnitTest threaded[] = {
        cmocka_unit_test(test_bitwise),
        cmocka_unit_test(test_bounded),
    };
    const struct CMUnitTest all[] = {
        threaded[0],
        threaded[1],
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_goes_wrong),
        cmocka_unit_test(test_speculation),
        cmocka_unit_test(test_unsteady),
        cmocka_unit_test(test_bounded_failing),
    };
    return THREADED_ONLY ? cmocka_run_group_tests(threaded, NULL, NULL)
                         : cmocka_run_group_tests(all, NULL, NULL);
}
