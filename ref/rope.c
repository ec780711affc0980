/* rope.c - tables of rotary position embeddings. Everything is float64 here and rounded once: the tables are
 * made by the host, and what a pass computes per element stays float32.
 *
 * Reference: Su et al. 2104.09864; frequency factors per pair: Llama 3.1. */
#include "ref/model.h"

#include "ref/mathf.h"

int vb_rope_fill(const vb_rope *rope, const float *factors, const char *name, int n_ctx, const char *path,
                 double **out, vb_error *err) {
    int rc = vb_alloc((void **)out, (size_t)rope->rot / 2, sizeof **out, "RoPE", err);
    if (rc) return rc;
    for (int j = 0; j < rope->rot / 2; j++) {
        double f = vb_pow(rope->base, -(double)(2 * j) / (double)rope->rot);
        if (factors) {
            if (!(factors[j] > 0.0f))
                return vb_fail(err, VB_ERR_FORMAT, "%s: %s[%d] is %g, must be above 0", path, name, j,
                               (double)factors[j]);
            f = f / (double)factors[j];
        }
        if (!((double)n_ctx * rope->scale * f <= 0x1p30))
            return vb_fail(err, VB_ERR_UNSUPPORTED,
                           "%s: RoPE angles grow beyond 2^30 within the context length", path);
        (*out)[j] = f;
    }
    return VB_OK;
}

void vb_rope_angles(const vb_rope *rope, int n_ctx, int position, float *cosine, float *sine) {
    const double *freq = vb_rope_freq(rope, n_ctx);
    for (int j = 0; j < rope->rot / 2; j++) {
        double s, c;
        vb_sincos(((double)position * rope->scale) * freq[j], &s, &c);
        cosine[j] = (float)(c * rope->mscale);
        sine[j] = (float)(s * rope->mscale);
    }
}
