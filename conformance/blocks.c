/* blocks.c - level 2: blocks of every tensor type and their values (docs/vectors.md). The blocks are random
 * bits with finite scales, and a few whose bits are extreme. */
#include "conformance/inputs.h"

#include "gguf/unpack.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 8, FLOATS = 64 };

static int one_type(vb_buf *out, cf_rng *r, vb_type type, vb_error *err) {
    const size_t values = (size_t)vb_type_block_values((int)type),
                 bytes = (size_t)vb_type_block_bytes((int)type);
    const size_t blocks = values == 1 ? FLOATS : BLOCKS, n = blocks * values;
    uint8_t *raw = NULL;
    float *f = NULL;
    double *d = NULL;
    int rc = vb_alloc((void **)&raw, blocks, bytes, "blocks", err);
    if (!rc) rc = vb_alloc((void **)&f, n, sizeof *f, "values", err);
    if (!rc) rc = vb_alloc((void **)&d, n, sizeof *d, "values", err);
    if (rc) goto cleanup;
    for (size_t b = 0; b < blocks; b++) cf_random_block(r, type, (int)(b % CF_STYLES), raw + b * bytes);
    const char *what;
    if (vb_validate_blocks(type, raw, blocks, &what) >= 0) {
        rc = vb_fail(err, VB_ERR_NUMERIC, "a made block of %s is not finite in %s", vb_type_name((int)type),
                     what);
        goto cleanup;
    }
    vb_dequantize_row(type, raw, n, f);
    vb_dequantize_row_f64(type, raw, n, d);
    for (size_t b = 0; b < blocks; b += values == 1 ? blocks : 1) {
        const size_t count = values == 1 ? blocks : 1;
        vb_buf_addf(out, "{\"type\":\"%s\",\"id\":%d,\"n\":%zu,\"blocks\":\"", vb_type_name((int)type),
                    (int)type, count * values);
        cf_add_bytes(out, raw + b * bytes, count * bytes);
        vb_buf_addf(out, "\",\"f32\":\"");
        cf_add_f32(out, f + b * values, count * values);
        vb_buf_addf(out, "\"}\n");
    }
cleanup:
    free(raw);
    free(f);
    free(d);
    return rc;
}

int cf_make_blocks(vb_buf *out, vb_error *err) {
    cf_rng r = {0x626c6f636b73};
    cf_add_header(out, "blocks", "verbatim record --out DIR");
    for (int type = 0; type < VB_TYPE_LIMIT; type++) {
        if (!vb_type_block_values(type)) continue;
        const int rc = one_type(out, &r, (vb_type)type, err);
        if (rc) return rc;
    }
    cf_add_end(out);
    return vb_buf_done(out, "a vector file", err);
}
