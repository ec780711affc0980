/* rope.c - tables of rotary position embeddings. Everything is float64 here and rounded once: the tables are
 * made by the host, and what a pass computes per element stays float32.
 *
 * References: Su et al. 2104.09864; frequency factors per pair: Llama 3.1; YaRN: Peng et al. 2309.00071. */
#include "ref/model.h"

#include "ref/mathf.h"

#include <math.h>

/* corr(beta) = (d * log(C / (beta * 2*pi))) / (2 * log(b)): the pair that turns beta times in C positions */
static double corner(const vb_rope *r, double beta) {
    const double two_pi = 0x1.921fb54442d18p+2;
    return ((double)r->rot * vb_log((double)r->yarn_from / (beta * two_pi))) / (2.0 * vb_log(r->base));
}

/* low  = max(floor(corr(beta_fast)), 0),  high = min(ceil(corr(beta_slow)), d - 1)
 * r    = clamp((j - low) / (high - low), 0, 1),  1 - (1 - r)*ext where ext is not 1
 * freq = (freq / F) * r + freq * (1 - r) */
static double yarn(const vb_rope *rope, int j, double freq) {
    double low = corner(rope, rope->yarn_beta_fast), high = corner(rope, rope->yarn_beta_slow);
    if (!rope->yarn_between) {
        low = floor(low);
        high = ceil(high);
    }
    if (low < 0.0) low = 0.0;
    if (high > (double)(rope->rot - 1)) high = (double)(rope->rot - 1);
    if (high == low) high = high + 0.001;
    double r = ((double)j - low) / (high - low);
    if (r < 0.0) r = 0.0;
    if (r > 1.0) r = 1.0;
    if (rope->yarn_ext != 1.0) r = 1.0 - (1.0 - r) * rope->yarn_ext;
    return (freq / rope->yarn_factor) * r + freq * (1.0 - r);
}

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
        if (rope->yarn_factor > 0.0) f = yarn(rope, j, f);
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
