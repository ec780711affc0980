/* checkkern.h - what test_checkkern.c and its benchmark share:
 * memory with guards, and inputs in many styles. */
#ifndef CHECKKERN_H
#define CHECKKERN_H

#include "tests/gguf_writer.h"
#include "ref/kernels.h"

/* n bytes that end where an unreadable page begins, so that a kernel which reads or writes one byte too far
 * dies at once. Freed all together. Running out of memory ends the program. */
void *ck_guarded(size_t n);
void ck_release(void);

/* How weights are made. All are finite, whatever their bits. */
typedef enum ck_weights_style {
    CK_NORMAL = 0, /* random bits, scales of an ordinary model */
    CK_ZERO_BITS,  /* every integer bit 0: the lowest value of formats with an offset */
    CK_ONE_BITS,   /* every integer bit 1; of Q8_0: -1 */
    CK_LOWEST,     /* Q8_0: -128 throughout; others: bits 10101010 */
    CK_LARGE,      /* random bits, scales of +-65504 (MXFP4: 2^100) */
    CK_SMALL,      /* random bits, subnormal scales and zeros of both signs */
    CK_WEIGHTS_STYLES
} ck_weights_style;

/* A matrix in guarded memory, and its packed form, also guarded, where the type has one (w->packed; NULL
 * otherwise). */
vb_matrix ck_matrix(vb_type type, int rows, int cols, ck_weights_style style, gw_rng *rng);

/* How activations are made. */
typedef enum ck_acts_style {
    CK_GAUSS = 0,
    CK_CONSTANT, /* every integer is +127 or +16256: the largest sums */
    CK_SIGNS,    /* +-127 or +-16256 at random */
    CK_ZEROS,    /* with zeros of both signs */
    CK_TINY,     /* around 2^-100, the limit below which a group counts as zero, and below */
    CK_HUGE,     /* around 1e18 */
    CK_MIXED,    /* of another style in every group */
    CK_ACTS_STYLES
} ck_acts_style;

void ck_floats(float *x, int n, ck_acts_style style, gw_rng *rng);
/* Vectors in guarded memory; with planes = 1 or 2 also as integers, made by the reference. */
vb_acts ck_acts(int rows, int n, int planes, ck_acts_style style, gw_rng *rng);

/* A job of attention: `rows` rows that see up to n positions, the last one all of them. */
typedef enum ck_layout { CK_CHAIN = 0, CK_PERMUTED, CK_TREE } ck_layout;
typedef struct ck_attention_shape {
    int rows, heads, head_dim;
    int n, window;
    vb_type k_type, v_type;
    ck_layout layout;
    bool sinks;
    ck_acts_style style; /* of keys and values */
} ck_attention_shape;
/* NULL, or what differs between the reference and the set. */
const char *ck_attention(const vb_kernels *set, const ck_attention_shape *s, gw_rng *rng);

/* Prints speeds of every set beside the machine's read bandwidth. */
int ck_bench(int argc, char **argv);
/* Attention to a long context by the types of its cache, beside what the multipliers allow. */
int ck_bench_attention(int argc, char **argv);

#endif
