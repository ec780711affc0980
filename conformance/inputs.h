/* inputs.h - seeded inputs of levels 2 and 3, and the first and last line of a file. The inputs stand in the
 * files, so nobody else needs the generator. */
#ifndef VB_CONFORMANCE_INPUTS_H
#define VB_CONFORMANCE_INPUTS_H

#include "conformance/conformance.h"

/* SplitMix64 [Steele, Lea and Flood 2014]. */
typedef struct cf_rng {
    uint64_t state;
} cf_rng;

uint64_t cf_next(cf_rng *r);
/* Mean 0, standard deviation 1: a sum of 12 uniform integers, exact in float32. */
float cf_normal(cf_rng *r);

/* Styles of blocks: 0-3 random bits, 4 all integer bits 0, 5 all 1, 6 a subnormal scale, 7 a large negative
 * one. */
enum { CF_STYLES = 8 };
/* One block of a type (one value of F32, F16, BF16) with finite values. */
void cf_random_block(cf_rng *r, vb_type type, int style, uint8_t *out);

/* The header line: {"verbatim":"vectors","version":1,"kind":...,"origin":"contract",...} */
void cf_add_header(vb_buf *out, const char *kind, const char *command);
json_t *cf_header(const char *kind, const char *command);
/* {"end":N}, N the number of lines before it. */
void cf_add_end(vb_buf *out);

/* The places [*from, *to) of n that a part has; *last: it ends the file. VB_ERR_ARGUMENT when there are more
 * parts than places. */
int cf_part_range(cf_part part, size_t n, const char *what, size_t *from, size_t *to, bool *last,
                  vb_error *err);
/* {"end":n} */
void cf_add_end_of(vb_buf *out, size_t n);

#endif
