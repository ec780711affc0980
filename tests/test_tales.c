/* The shipped models against PyTorch: float64 logits of exactly dequantised weights
 * (vectors/oracle-tales/README.md), and how far quantising took them from the float32 weights. Needs no
 * fixtures: it runs in the repository's folder. */
#include "base/base.h"
#include "include/verbatim.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { PASSAGES = 4, LENGTH = 64, ROWS = 4, EVERY = LENGTH / ROWS, VOCAB = 4096 };

typedef struct shipped {
    vb_gguf *gguf;
    vb_model *model;
    int32_t tokens[PASSAGES][LENGTH];
} shipped;

/* PASSAGES x ROWS x VOCAB float32, little endian: row r of a passage follows token EVERY * (r + 1) - 1. */
static float *reference(const char *name) {
    char path[256];
    const size_t n = (size_t)PASSAGES * ROWS * VOCAB;
    snprintf(path, sizeof path, "vectors/oracle-tales/%s.f32", name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s: cannot be opened; the test runs in the repository's folder", path);
    uint8_t *bytes = malloc(4 * n + 1);
    float *x = malloc(n * sizeof *x);
    if (!bytes || !x) fail_msg("out of memory");
    const size_t got = fread(bytes, 1, 4 * n + 1, f);
    fclose(f);
    if (got != 4 * n) fail_msg("%s: not %zu bytes", path, 4 * n);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *b = bytes + 4 * i;
        const uint32_t bits = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        memcpy(x + i, &bits, 4);
        if (!isfinite(x[i])) fail_msg("%s: element %zu is not finite", path, i);
    }
    free(bytes);
    return x;
}

static void open_shipped(shipped *s, const char *path) {
    vb_error err = {.code = VB_OK};
    if (vb_gguf_open(&s->gguf, path, &err) || vb_model_open(&s->model, s->gguf, &err))
        fail_msg("%s", err.message);
    assert_int_equal(vb_model_describe(s->model)->n_vocab, VOCAB);
    json_t *root = json_load_file("vectors/oracle-tales/passages.json", 0, NULL);
    const json_t *tokens = json_object_get(root, "tokens");
    assert_int_equal(json_array_size(tokens), PASSAGES);
    for (size_t p = 0; p < PASSAGES; p++) {
        const json_t *one = json_array_get(tokens, p);
        assert_int_equal(json_array_size(one), LENGTH);
        for (size_t i = 0; i < LENGTH; i++)
            s->tokens[p][i] = (int32_t)json_integer_value(json_array_get(one, i));
    }
    json_decref(root);
}

static void close_shipped(shipped *s) {
    vb_model_close(s->model);
    vb_gguf_close(s->gguf);
}

/* KL(p || q) in nats, p and q the softmax of two rows of logits. */
static double divergence(const float *p, const double *q) {
    double top[2] = {-HUGE_VAL, -HUGE_VAL}, sum[2] = {0, 0}, kl = 0;
    for (int i = 0; i < VOCAB; i++) {
        top[0] = fmax(top[0], (double)p[i]);
        top[1] = fmax(top[1], q[i]);
    }
    for (int i = 0; i < VOCAB; i++) {
        sum[0] += exp((double)p[i] - top[0]);
        sum[1] += exp(q[i] - top[1]);
    }
    for (int i = 0; i < VOCAB; i++) {
        const double lp = (double)p[i] - top[0] - log(sum[0]), lq = q[i] - top[1] - log(sum[1]);
        kl += exp(lp) * (lp - lq);
    }
    return kl;
}

/* The oracle on all passages: within 1e-5 of PyTorch at every element; returns the mean KL from the F32
 * weights. */
static void check_oracle(const char *path, const char *name, const char *original, double most_kl) {
    shipped s = {NULL, NULL, {{0}}};
    vb_error err = {.code = VB_OK};
    float *want = reference(name), *f32 = reference(original);
    double *got = malloc(sizeof *got * LENGTH * VOCAB), worst = 0, kl = 0;
    assert_non_null(got);
    open_shipped(&s, path);
    for (size_t p = 0; p < PASSAGES; p++) {
        if (vb_oracle(s.model, s.tokens[p], LENGTH, got, &err)) fail_msg("%s", err.message);
        for (size_t r = 0; r < ROWS; r++) {
            const float *w = want + (p * ROWS + r) * VOCAB;
            const double *g = got + (EVERY * (r + 1) - 1) * VOCAB;
            for (size_t i = 0; i < VOCAB; i++) {
                const double off = fabs(g[i] - (double)w[i]) / fmax(fabs((double)w[i]), 1e-3);
                worst = fmax(worst, off);
                if (!(off <= 1e-5))
                    fail_msg("%s, passage %zu, position %zu, logit %zu: %.9g, PyTorch has %.9g", path, p,
                             EVERY * (r + 1) - 1, i, g[i], (double)w[i]);
            }
            kl += divergence(f32 + (p * ROWS + r) * VOCAB, g) / (PASSAGES * ROWS);
        }
    }
    printf("# %s: largest relative error %.2g, mean KL from F32 %.3g\n", path, worst, kl);
    assert_true(kl <= most_kl);
    close_shipped(&s);
    free(got);
    free(f32);
    free(want);
}

static void target_q8_0(void **state) {
    (void)state;
    check_oracle("vectors/models/tales-target-q8_0.gguf", "tales-target-q8_0", "tales-target-f32", 1e-4);
}

static void target_q4_k_m(void **state) {
    (void)state;
    check_oracle("vectors/models/tales-target-q4_k_m.gguf", "tales-target-q4_k_m", "tales-target-f32", 1e-2);
}

static void draft_q8_0(void **state) {
    (void)state;
    check_oracle("vectors/models/tales-draft-q8_0.gguf", "tales-draft-q8_0", "tales-draft-f32", 4e-4);
}

/* The F32 weights themselves are not shipped: VB_TALES_F32 names a folder that holds them. */
static void originals(void **state) {
    (void)state;
    const char *folder = getenv("VB_TALES_F32");
    if (!folder) {
        print_message("skipped: VB_TALES_F32 is not set\n");
        skip();
    }
    static const char *const names[] = {"tales-target-f32", "tales-draft-f32"};
    for (int i = 0; i < 2; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s.gguf", folder, names[i]);
        check_oracle(path, names[i], names[i], 1e-12);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(target_q8_0),
        cmocka_unit_test(target_q4_k_m),
        cmocka_unit_test(draft_q8_0),
        cmocka_unit_test(originals),
    };
    return cmocka_run_group_tests_name("tales", tests, NULL, NULL);
}
