/* params.c - the parameters of the law: defaults and ranges (distribution.h has what they mean). */
#include "sampling/distribution.h"

#include <math.h>

void vb_sampling_defaults(vb_sampling *s) {
    *s = (vb_sampling){.temperature = 0.8,
                       .top_k = 40,
                       .top_p = 0.95,
                       .min_p = 0.05,
                       .repeat_penalty = 1.0,
                       .penalty_last_n = 64,
                       .xtc_threshold = 0.1,
                       .dynatemp_exponent = 1,
                       .dry_base = 1.75,
                       .dry_allowed_length = 2,
                       .dry_last_n = -1};
}

/* What truncates or changes the temperature means nothing where the largest x has all the weight; programs
 * that take it there draw from something else than the argmax. */
static int check_greedy(const vb_sampling *s, vb_error *err) {
    const char *name = s->typical_p > 0 && s->typical_p < 1 ? "typical_p"
                       : s->xtc_probability > 0             ? "xtc_probability"
                       : s->dynatemp_range > 0              ? "dynatemp_range"
                                                            : NULL;
    if (s->temperature > 0 || !name) return VB_OK;
    return vb_fail(err, VB_ERR_ARGUMENT,
                   "%s with temperature 0: the likeliest id has all the weight there, so it means nothing; "
                   "leave it out, or give a temperature above 0",
                   name);
}

static int check_dry(const vb_sampling *s, int n_vocab, vb_error *err) {
    if (!(s->dry_multiplier >= 0 && s->dry_multiplier <= 1e6))
        return vb_fail(err, VB_ERR_ARGUMENT, "dry_multiplier %g: must be from 0 (off) to 1e6",
                       s->dry_multiplier);
    if (s->dry_multiplier == 0) return VB_OK;
    if (!(s->dry_base >= 1 && s->dry_base <= 1e3))
        return vb_fail(err, VB_ERR_ARGUMENT, "dry_base %g: must be from 1 to 1000", s->dry_base);
    if (s->dry_allowed_length < 1)
        return vb_fail(err, VB_ERR_ARGUMENT, "dry_allowed_length %d: must be 1 or more",
                       s->dry_allowed_length);
    if (s->dry_last_n < -1)
        return vb_fail(err, VB_ERR_ARGUMENT, "dry_last_n %d: must be -1 (all), 0 (off) or more",
                       s->dry_last_n);
    if (s->n_dry_breakers && !s->dry_breakers)
        return vb_fail(err, VB_ERR_ARGUMENT, "dry_breakers is NULL, n_dry_breakers is %zu",
                       s->n_dry_breakers);
    for (size_t i = 0; i < s->n_dry_breakers; i++)
        if (s->dry_breakers[i] < 0 || s->dry_breakers[i] >= n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT, "dry_breakers[%zu]: id %d is outside the vocabulary of %d",
                           i, (int)s->dry_breakers[i], n_vocab);
    return VB_OK;
}

static int check_truncations(const vb_sampling *s, vb_error *err) {
    if (!(s->typical_p >= 0 && s->typical_p <= 1))
        return vb_fail(err, VB_ERR_ARGUMENT, "typical_p %g: must be from 0 to 1 (both: off)", s->typical_p);
    if (!(s->top_n_sigma >= 0 && s->top_n_sigma <= 1000))
        return vb_fail(err, VB_ERR_ARGUMENT, "top_n_sigma %g: must be from 0 (off) to 1000", s->top_n_sigma);
    if (!(s->xtc_probability >= 0 && s->xtc_probability <= 1))
        return vb_fail(err, VB_ERR_ARGUMENT, "xtc_probability %g: must be from 0 (off) to 1",
                       s->xtc_probability);
    if (!(s->xtc_threshold >= 0 && s->xtc_threshold <= 1))
        return vb_fail(err, VB_ERR_ARGUMENT, "xtc_threshold %g: must be from 0 to 1", s->xtc_threshold);
    if (!(s->dynatemp_range >= 0 && s->dynatemp_range <= 1e6))
        return vb_fail(err, VB_ERR_ARGUMENT, "dynatemp_range %g: must be from 0 (off) to 1e6",
                       s->dynatemp_range);
    if (s->dynatemp_range > 0 && !(s->dynatemp_exponent > 0 && s->dynatemp_exponent <= 100))
        return vb_fail(err, VB_ERR_ARGUMENT, "dynatemp_exponent %g: must be above 0 and at most 100",
                       s->dynatemp_exponent);
    return check_greedy(s, err);
}

int vb_sampling_check(const vb_sampling *s, int n_vocab, vb_error *err) {
    vb_begin(err);
    int rc;
    if (!(s->temperature >= 0 && s->temperature <= 1e6))
        return vb_fail(err, VB_ERR_ARGUMENT, "temperature %g: must be from 0 (greedy) to 1e6",
                       s->temperature);
    if (s->top_k < 0) return vb_fail(err, VB_ERR_ARGUMENT, "top_k %d: must be 0 (off) or more", s->top_k);
    if (!(s->top_p > 0 && s->top_p <= 1))
        return vb_fail(err, VB_ERR_ARGUMENT, "top_p %g: must be above 0 and at most 1 (off)", s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return vb_fail(err, VB_ERR_ARGUMENT, "min_p %g: must be from 0 (off) to 1", s->min_p);
    if (!(s->repeat_penalty >= 1e-3 && s->repeat_penalty <= 1e3))
        return vb_fail(err, VB_ERR_ARGUMENT, "repeat_penalty %g: must be from 0.001 to 1000 (1: off)",
                       s->repeat_penalty);
    if (!(fabs(s->presence_penalty) <= 1e6))
        return vb_fail(err, VB_ERR_ARGUMENT, "presence_penalty %g: must be from -1e6 to 1e6",
                       s->presence_penalty);
    if (!(fabs(s->frequency_penalty) <= 1e6))
        return vb_fail(err, VB_ERR_ARGUMENT, "frequency_penalty %g: must be from -1e6 to 1e6",
                       s->frequency_penalty);
    if (s->penalty_last_n < -1)
        return vb_fail(err, VB_ERR_ARGUMENT, "penalty_last_n %d: must be -1 (all), 0 (off) or more",
                       s->penalty_last_n);
    if (s->n_bias && !s->bias) return vb_fail(err, VB_ERR_ARGUMENT, "bias is NULL, n_bias is %zu", s->n_bias);
    for (size_t i = 0; i < s->n_bias; i++) {
        const vb_logit_bias *b = &s->bias[i];
        if (b->id < 0 || b->id >= n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT, "bias[%zu]: id %d is outside the vocabulary of %d", i,
                           (int)b->id, n_vocab);
        if (!isfinite(b->bias) && !(b->bias < 0))
            return vb_fail(err, VB_ERR_ARGUMENT, "bias[%zu]: %g must be finite or -inf (ban)", i,
                           (double)b->bias);
    }
    if ((rc = check_truncations(s, err))) return rc;
    return check_dry(s, n_vocab, err);
}
