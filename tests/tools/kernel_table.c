/* kernel_table.c - prints the table of docs/kernels.md for this build's machine: for every function of the
 * kernel table and every format of weights, which set of kernels has code of its own. Sets that this CPU
 * cannot run are listed too: nothing is executed. */
#include "simd/simd.h"

#include <stdio.h>

#if VB_X86
#define MACHINE "x86-64"
#elif VB_ARM64
#define MACHINE "aarch64"
#else
#define MACHINE "other machines"
#endif

static void begin(const char *what, const char *bits, const char *weights) {
    printf("| %s | %s | %s |", what, bits, weights);
}

static void cell(int set, bool same) {
    printf(" %s |", set == 0 ? "plain C" : same ? "ref" : "own");
}

static void matrix(int type) {
    const int values = vb_type_block_values(type), bytes = vb_type_block_bytes(type);
    char what[64], bits[16];
    snprintf(what, sizeof what, "matrix %s", vb_type_name(type));
    snprintf(bits, sizeof bits, "%.4g", 8.0 * bytes / values);
    begin(what, bits, vb_format_of((vb_type)type)->groups ? "interleaved or as mapped" : "as mapped");
    for (int i = 0; vb_kernel_set(i); i++)
        cell(i, vb_kernel_set(i)->matmul[type] == vb_kernels_ref.matmul[type]);
    printf("\n");
}

#define FUNCTION(field)                                                                                      \
    do {                                                                                                     \
        begin(#field, "", "");                                                                               \
        for (int i = 0; vb_kernel_set(i); i++) cell(i, vb_kernel_set(i)->field == vb_kernels_ref.field);     \
        printf("\n");                                                                                        \
    } while (0)

int main(void) {
    printf("<!-- kernels of %s: build/tests/tools/kernel_table -->\n| | bits per weight | weights |",
           MACHINE);
    for (int i = 0; vb_kernel_set(i); i++) printf(" %s |", vb_kernel_set(i)->name);
    printf("\n|---|---|---|");
    for (int i = 0; vb_kernel_set(i); i++) printf("---|");
    printf("\n");
    for (int t = 0; t < VB_TYPE_LIMIT; t++)
        if (vb_type_name(t) && vb_kernels_ref.matmul[t]) matrix(t);
    FUNCTION(quantize);
    FUNCTION(rmsnorm);
    FUNCTION(layernorm);
    FUNCTION(rope);
    FUNCTION(attend_scores);
    FUNCTION(attend_softmax);
    FUNCTION(attend_values);
    FUNCTION(swiglu);
    FUNCTION(geglu);
    FUNCTION(swiglu_clamped);
    FUNCTION(softcap);
    FUNCTION(add);
    FUNCTION(add_scaled);
    FUNCTION(to_half);
    FUNCTION(exp_weights);
    FUNCTION(exp_sum);
    printf("<!-- end of %s -->\n", MACHINE);
    return 0;
}
