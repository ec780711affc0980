/* test_mix.c - which type every tensor gets: published layer sets, roles by name, mixes, fallbacks. */
#include "quantize/mix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void test_more_bits(void **state) {
    (void)state;
    /* Layers with more bits in models of 28 and 32 layers, as published files have them. */
    static const int of28[] = {0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27};
    static const int of32[] = {0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31};
    static const int of2[] = {1}, of6[] = {2, 5};
    static const struct {
        int n;
        const int *layers;
        size_t count;
    } cases[] = {
        {28, of28, COUNT(of28)}, {32, of32, COUNT(of32)}, {2, of2, COUNT(of2)}, {6, of6, COUNT(of6)}};
    for (size_t c = 0; c < COUNT(cases); c++) {
        for (int i = 0; i < cases[c].n; i++) {
            bool expected = false;
            for (size_t k = 0; k < cases[c].count; k++) expected |= cases[c].layers[k] == i;
            if (vb_mix_more_bits(i, cases[c].n) != expected) fail_msg("layer %d of %d", i, cases[c].n);
        }
    }
}

static void test_roles(void **state) {
    (void)state;
    static const char *const matrices[] = {
        "token_embd.weight",     "output.weight",         "blk.0.attn_q.weight",       "blk.11.attn_k.weight",
        "blk.0.attn_v.weight",   "blk.0.attn_qkv.weight", "blk.0.attn_output.weight",  "blk.0.ffn_up.weight",
        "blk.0.ffn_gate.weight", "blk.0.ffn_down.weight", "blk.9.ffn_down_exps.weight"};
    static const char *const others[] = {
        "output_norm.weight",   "blk.0.attn_norm.weight", "blk.0.ffn_gate_inp.weight",
        "rope_freqs.weight",    "blk.0.attn_q.bias",      "blk.0.attn_q_norm.weight",
        "blk.0.ssm_in.weight",  "blk..attn_q.weight",     "blk.1234567.attn_q.weight",
        "blk.0.attn_q.weight2", "xblk.0.attn_q.weight",   ""};
    for (size_t i = 0; i < COUNT(matrices); i++) {
        assert_true(vb_mix_is_matrix(matrices[i], 2));
        assert_false(vb_mix_is_matrix(matrices[i], 1));
    }
    for (size_t i = 0; i < COUNT(others); i++) assert_false(vb_mix_is_matrix(others[i], 2));
}

static void test_mixes(void **state) {
    (void)state;
    static const struct {
        const char *mix, *name;
        bool pure, tied;
        vb_type type;
    } cases[] = {
        {"Q4_K_M", "output.weight", false, false, VB_Q6_K},
        {"Q4_K_M", "token_embd.weight", false, false, VB_Q4_K},
        {"Q4_K_M", "token_embd.weight", false, true, VB_Q6_K},
        {"q4_k_m", "blk.0.attn_v.weight", false, false, VB_Q6_K},
        {"Q4_K_M", "blk.1.attn_v.weight", false, false, VB_Q4_K},
        {"Q4_K_M", "blk.3.ffn_down.weight", false, false, VB_Q6_K},
        {"Q4_K_M", "blk.3.ffn_up.weight", false, false, VB_Q4_K},
        {"Q4_K_M", "blk.7.ffn_down_exps.weight", false, false, VB_Q6_K},
        {"Q4_K_M", "blk.1.attn_qkv.weight", false, false, VB_Q5_K},
        {"Q4_K_M", "output.weight", true, false, VB_Q4_K},
        {"Q4_K_M", "blk.0.attn_v.weight", true, false, VB_Q4_K},
        {"Q5_K_M", "blk.0.attn_v.weight", false, false, VB_Q6_K},
        {"Q5_K_M", "blk.1.attn_v.weight", false, false, VB_Q5_K},
        {"Q5_K_M", "blk.1.attn_qkv.weight", false, false, VB_Q6_K},
        {"Q4_K", "blk.0.attn_v.weight", false, false, VB_Q4_K},
        {"Q4_0", "output.weight", false, false, VB_Q6_K},
        {"Q4_0", "output.weight", true, false, VB_Q4_0},
        {"Q5_1", "token_embd.weight", false, true, VB_Q6_K},
        {"Q8_0", "output.weight", false, false, VB_Q8_0},
        {"F16", "output.weight", false, false, VB_F16},
        {"bf16", "blk.0.attn_v.weight", false, false, VB_BF16},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const vb_mix_model model = {cases[i].tied, 8};
        const vb_mix *mix = vb_mix_find(cases[i].mix);
        assert_non_null(mix);
        if (vb_mix_wanted(mix, cases[i].pure, &model, cases[i].name) != cases[i].type)
            fail_msg("case %zu: %s of %s", i, cases[i].name, cases[i].mix);
    }
    assert_null(vb_mix_find("Q4_K_L"));
    assert_null(vb_mix_find("Q4"));
    assert_null(vb_mix_find(""));
    assert_null(vb_mix_find(NULL));
}

static void test_fallbacks(void **state) {
    (void)state;
    static const struct {
        vb_type wanted;
        uint64_t row;
        vb_type type;
    } cases[] = {{VB_Q4_K, 512, VB_Q4_K}, {VB_Q4_K, 320, VB_Q5_0}, {VB_Q5_K, 320, VB_Q5_1},
                 {VB_Q6_K, 320, VB_Q8_0}, {VB_Q4_K, 100, VB_F16},  {VB_Q6_K, 100, VB_F16},
                 {VB_Q4_0, 96, VB_Q4_0},  {VB_Q4_0, 90, VB_F16},   {VB_Q8_0, 31, VB_F16},
                 {VB_F16, 1, VB_F16},     {VB_BF16, 7, VB_BF16},   {VB_Q5_1, 16, VB_F16}};
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(vb_mix_fallback(cases[i].wanted, cases[i].row), cases[i].type);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_more_bits),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_mixes),
        cmocka_unit_test(test_fallbacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
