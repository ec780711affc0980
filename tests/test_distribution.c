/* From logits to integer weights, against a slow second writing of the definition, and at its corners. */
#include "sampling/distribution.h"
#include "ref/mathf.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void exp_weights(const double *z, int n, uint64_t *w) {
    for (int i = 0; i < n; i++) w[i] = (uint64_t)(0x1p40 * vb_exp(z[i]));
}

#define V 2000

static uint32_t state_of_noise = 1;
static uint32_t noise(void) {
    state_of_noise = state_of_noise * 1664525u + 1013904223u;
    return state_of_noise >> 8;
}
static float gauss(void) {
    float s = 0;
    for (int i = 0; i < 6; i++) s += (float)(noise() % 4096) / 4096.0f - 0.5f;
    return s * 3;
}

/* ---------------------------------------------------------------------- the definition */

typedef struct item {
    int32_t id;
    double x;
    uint64_t w;
} item;

static int by_x(const void *a, const void *b) {
    const item *p = a, *q = b;
    if (p->x != q->x) return p->x > q->x ? -1 : 1;
    return p->id < q->id ? -1 : 1;
}
static int by_w(const void *a, const void *b) {
    const item *p = a, *q = b;
    if (p->w != q->w) return p->w > q->w ? -1 : 1;
    return p->id < q->id ? -1 : 1;
}
static int by_id(const void *a, const void *b) {
    return ((const item *)a)->id < ((const item *)b)->id ? -1 : 1;
}

/* Mistakes planted into this second writing: the comparison has to see each (planted_samplers). */
enum {
    RIGHT,
    DRY_NO_BREAKERS, /* repeats go across breakers */
    DRY_FIRST,       /* the first repeat counts, not the longest */
    DRY_PROMPT_END,  /* the last token itself is penalised where it stands */
    TYPICAL_BY_P,    /* ids in the order of falling p: top-p */
    TYPICAL_SIGNED,  /* less surprising ones first, not the nearest */
    SIGMA_AFTER_K,   /* the deviation of what top-k left */
    SIGMA_MEAN,      /* below the mean, not below the maximum */
    XTC_ALL,         /* the least likely of those above the threshold goes, too */
    XTC_FOLLOWING,   /* the most likely one stays */
    XTC_NOT_RENORMALISED,
    DYNAMIC_OF_K, /* the entropy of the truncated law */
    N_PLANTED
};
static int planted = RIGHT;

/* DRY by its definition: for every id the longest repeat that it would go on. */
static int longest_repeat(const vb_sampling *s, const int32_t *prefix, int n_prefix, int id) {
    const int from = s->dry_last_n < 0 || n_prefix < s->dry_last_n ? 0 : n_prefix - s->dry_last_n;
    int best = 0;
    for (size_t b = 0; b < s->n_dry_breakers; b++)
        if (s->dry_breakers[b] == id) return 0;
    for (int j = from; j < n_prefix; j++) {
        if (prefix[j] != id) continue;
        int len = 0;
        for (bool broken = false; !broken && j - 1 - len >= from;) {
            const int32_t a = prefix[j - 1 - len], b = prefix[n_prefix - 1 - len];
            broken = a != b;
            for (size_t k = 0; k < s->n_dry_breakers; k++)
                broken |= planted != DRY_NO_BREAKERS && s->dry_breakers[k] == b;
            len += !broken;
        }
        if (len > best && !(planted == DRY_FIRST && best)) best = len;
        if (planted == DRY_PROMPT_END && j == n_prefix - 1) best++;
    }
    return best;
}

static uint64_t log_of(uint64_t w) {
    return (uint64_t)floor(0x1p32 * vb_log((double)w));
}

/* The temperature of n ids; it[].x is there. */
static double dynamic(const vb_sampling *s, const item *it, int n) {
    uint64_t W = 0;
    vb_u128 S = 0;
    int count = 0;
    for (int i = 0; i < n; i++) {
        const uint64_t w = (uint64_t)floor(0x1p40 * vb_exp(it[i].x - it[0].x));
        if (w == 0) continue;
        W += w, S += (vb_u128)w * log_of(w), count++;
    }
    const double low = fmax(0, s->temperature - s->dynatemp_range), high = s->temperature + s->dynatemp_range;
    if (count < 2) return low;
    const double H = vb_log((double)W) - (double)(uint64_t)(S / W) / 0x1p32;
    return low + (high - low) * vb_pow(fmin(1, fmax(0, H / vb_log(count))), s->dynatemp_exponent);
}

/* How many of n ids, largest x first, lie within so many deviations, which are those of `of` ids. */
static int within_sigma(const vb_sampling *s, const item *it, int n, int of) {
    vb_u128 s1 = 0, s2 = 0;
    for (int i = 0; i < of; i++) {
        const uint64_t t = (uint64_t)fmin(0x1p38, floor((it[0].x - it[i].x) * 0x1p20));
        s1 += t, s2 += (vb_u128)t * t;
    }
    const vb_u128 square = (vb_u128)of * s2 - s1 * s1;
    vb_u128 lo = 0, hi = (vb_u128)1 << 63;
    while (lo < hi) { /* the root, rounded down */
        const vb_u128 mid = (lo + hi + 1) / 2;
        if (mid * mid <= square)
            lo = mid;
        else
            hi = mid - 1;
    }
    vb_u128 reach = lo * (uint64_t)floor(s->top_n_sigma * 0x1p16);
    if (planted == SIGMA_MEAN) reach += s1 << 16;
    int kept = 0;
    while (kept < n &&
           ((vb_u128)(uint64_t)fmin(0x1p38, floor((it[0].x - it[kept].x) * 0x1p20)) * (vb_u128)(unsigned)of
            << 16) <= reach)
        kept++;
    return kept;
}

static struct { vb_u128 W, S; } surprise;
static vb_u128 distance(const item *a) {
    const vb_u128 own = surprise.W * log_of(a->w);
    if (planted == TYPICAL_BY_P) return ((vb_u128)1 << 100) - a->w;
    if (planted == TYPICAL_SIGNED) return ((vb_u128)1 << 120) - own;
    return own > surprise.S ? own - surprise.S : surprise.S - own;
}
static int by_far(const void *a, const void *b) {
    const item *p = a, *q = b;
    const vb_u128 x = distance(p), y = distance(q);
    if (x != y) return x < y ? -1 : 1;
    return p->id < q->id ? -1 : 1;
}

/* Of n ids in any order. */
static int typical(const vb_sampling *s, item *it, int n) {
    const uint64_t P = (uint64_t)floor(s->typical_p * 0x1p32);
    surprise.W = surprise.S = 0;
    for (int i = 0; i < n; i++) surprise.W += it[i].w, surprise.S += (vb_u128)it[i].w * log_of(it[i].w);
    qsort(it, (size_t)n, sizeof *it, by_far);
    vb_u128 cum = 0;
    for (int i = 0; i < n; i++) {
        cum += it[i].w;
        if (cum << 32 >= P * surprise.W) return i + 1;
    }
    return n;
}

/* Of n ids, falling w. */
static int xtc(const vb_sampling *s, item *it, int n) {
    const uint64_t X = (uint64_t)floor(s->xtc_probability * 0x1p32),
                   theta = (uint64_t)floor(s->xtc_threshold * 0x1p32);
    vb_u128 W = 0, rest = 0;
    int above = 0, kept = 0;
    for (int i = 0; i < n; i++) W += it[i].w;
    while (above < n && (vb_u128)it[above].w << 32 >= theta * W) above++;
    if (above < 2) return n;
    int from = planted == XTC_ALL ? above : above - 1, stays = planted == XTC_FOLLOWING ? 0 : -1;
    if (from == n) from--;
    for (int i = from; i < n; i++) rest += it[i].w;
    if (stays == 0) rest += it[0].w - it[from].w;
    if (planted == XTC_NOT_RENORMALISED) rest = W;
    for (int i = 0; i < n; i++) {
        const bool in = stays == 0 ? i == 0 || i > from : i >= from;
        const vb_u128 a = ((vb_u128)it[i].w << 60) / W, b = in ? ((vb_u128)it[i].w << 60) / rest : 0;
        it[kept] = it[i];
        it[kept].w = (uint64_t)(((((vb_u128)1 << 32) - X) * a + X * b) / ((vb_u128)1 << 32));
        kept += it[kept].w > 0;
    }
    return kept;
}

/* The header's text, step by step, with full sorts. */
static int define(const vb_sampling *s, const float *logits, int n_vocab, const int32_t *prefix, int n_prefix,
                  item *it) {
    for (int i = 0; i < n_vocab; i++) {
        double x = (double)logits[i];
        for (size_t b = 0; b < s->n_bias; b++)
            if (s->bias[b].id == i) x += (double)s->bias[b].bias;
        int count = 0;
        int from = s->penalty_last_n < 0 || n_prefix < s->penalty_last_n ? 0 : n_prefix - s->penalty_last_n;
        for (int j = from; j < n_prefix; j++) count += prefix[j] == i;
        if (count) {
            x = x > 0 ? x / s->repeat_penalty : x * s->repeat_penalty;
            x -= count * s->frequency_penalty + s->presence_penalty;
        }
        if (s->dry_multiplier > 0 && s->dry_last_n) {
            const int len = longest_repeat(s, prefix, n_prefix, i);
            double power = 1;
            for (int e = s->dry_allowed_length; e < len && power < 1e30; e++) power *= s->dry_base;
            if (len >= s->dry_allowed_length) x -= s->dry_multiplier * fmin(power, 1e30);
        }
        it[i] = (item){i, x, 0};
    }
    int n = n_vocab;
    qsort(it, (size_t)n, sizeof *it, by_x);
    while (n && it[n - 1].x == -INFINITY) n--;
    if (n == 0) return 0;
    if (s->temperature == 0) {
        it[0].w = 1;
        return 1;
    }
    const int all = n;
    if (s->top_k && n > s->top_k) n = s->top_k;
    const double max = it[0].x, T = s->dynatemp_range > 0 ? dynamic(s, it, planted == DYNAMIC_OF_K ? n : all)
                                                          : s->temperature;
    if (!(T > 0)) {
        it[0].w = 1;
        return 1;
    }
    if (s->top_n_sigma > 0) n = within_sigma(s, it, n, planted == SIGMA_AFTER_K ? n : all);
    for (int i = 0; i < n; i++) it[i].w = (uint64_t)floor(0x1p40 * vb_exp((it[i].x - max) / T));
    qsort(it, (size_t)n, sizeof *it, by_w);
    while (it[n - 1].w == 0) n--;
    if (s->typical_p > 0 && s->typical_p < 1) n = typical(s, it, n);
    qsort(it, (size_t)n, sizeof *it, by_w);
    if (s->top_p < 1) {
        const uint64_t P = (uint64_t)floor(s->top_p * 0x1p32);
        uint64_t W = 0, cum = 0;
        for (int i = 0; i < n; i++) W += it[i].w;
        for (int i = 0; i < n; i++) {
            cum += it[i].w;
            if (((vb_u128)cum << 32) >= (vb_u128)P * W) n = i + 1;
        }
    }
    const uint64_t M = (uint64_t)floor(s->min_p * 0x1p32);
    while (n && ((vb_u128)it[n - 1].w << 32) < (vb_u128)M << 40) n--;
    if (s->xtc_probability > 0 && n) n = xtc(s, it, n);
    qsort(it, (size_t)n, sizeof *it, by_id);
    return n;
}

static struct {
    int32_t id[V];
    uint64_t w[V];
} room;
static const vb_dist_space space = {V, room.id, room.w};

static bool as_defined(const vb_sampling *s, const float *logits, int limit, const int32_t *prefix,
                       int n_prefix) {
    static item it[V];
    vb_law *l = NULL;
    vb_dist d;
    bool same = true;
    assert_int_equal(vb_law_open(&l, s, V, exp_weights, NULL), 0);
    for (int again = 0; again < 2; again++) { /* scratch memory is left clean */
        assert_int_equal(vb_law_distribution(l, logits, limit, prefix, (size_t)n_prefix, &space, &d, NULL),
                         0);
        const int n = define(s, logits, limit, prefix, n_prefix, it);
        uint64_t total = 0;
        same = same && d.n == n;
        assert_true(d.n <= vb_law_capacity(l));
        for (int i = 0; i < n && same; i++) {
            same = d.id[i] == it[i].id && d.w[i] == it[i].w;
            total += it[i].w;
        }
        same = same && d.total == total && total <= (uint64_t)1 << 60;
    }
    vb_law_close(l);
    return same;
}

static void same_as_defined(const vb_sampling *s, const float *logits, int limit, const int32_t *prefix,
                            int n_prefix) {
    assert_true(as_defined(s, logits, limit, prefix, n_prefix));
}

static void against_the_definition(void **state) {
    (void)state;
    static const int ks[] = {0, 1, 2, 40, 1000, V, 3 * V};
    static const double ps[] = {1, 0.95, 0.5, 1e-12, 0.999999}, mins[] = {0, 0.05, 1e-9, 1},
                        ts[] = {0, 0.3, 1, 1.5, 1e-300};
    static float logits[V];
    int32_t prefix[100];
    const vb_logit_bias bias[] = {{3, 2.5f}, {7, -INFINITY}, {3, 1.0f}, {V - 1, 30.0f}, {0, -4.0f}};
    for (int run = 0; run < 300; run++) {
        for (int i = 0; i < V; i++) {
            logits[i] = gauss() * 4;
            if (run % 3 == 1) logits[i] = roundf(logits[i]); /* many ties */
            if (run % 3 == 2) logits[i] = (float)(i % 2);    /* two values */
        }
        for (int i = 0; i < 100; i++) prefix[i] = (int32_t)(noise() % 30) * 60;
        vb_sampling s;
        vb_sampling_defaults(&s);
        s.top_k = ks[noise() % 7];
        s.top_p = ps[noise() % 5];
        s.min_p = mins[noise() % 4];
        s.temperature = ts[noise() % 5];
        if (noise() % 2) s.bias = bias, s.n_bias = 5;
        if (noise() % 2) s.repeat_penalty = 1.3;
        if (noise() % 2) s.frequency_penalty = 0.2, s.presence_penalty = -0.5;
        s.penalty_last_n = (int)(noise() % 5) * 20 - 1;
        same_as_defined(&s, logits, noise() % 4 ? V : 1 + (int)(noise() % V), prefix, (int)(noise() % 101));
    }
}

/* The truncations that are off by default, alone and together, over all temperatures. Returns how many
 * comparisons differ. */
static int compare_samplers(int runs, const vb_logit_bias *bias) {
    static const double ts[] = {0.3, 1, 1.5, 4}, sigmas[] = {0.3, 1, 1.7, 3},
                        typicals[] = {0.2, 0.5, 0.95, 1e-9}, xtcs[] = {1, 0.5, 0.01},
                        thresholds[] = {0.1, 0.01, 0.4, 0};
    static const int32_t breakers[] = {60, 240, 3};
    static float logits[V];
    int32_t prefix[100];
    int differ = 0;
    for (int run = 0; run < runs; run++) {
        const int which = run % 6; /* 5: all of them */
        for (int i = 0; i < V; i++) {
            logits[i] = gauss() * (run % 4 ? 4 : 1);
            if (run % 5 == 1) logits[i] = roundf(logits[i]);
        }
        const uint32_t letters = 2 + (uint32_t)run % 5;
        for (int i = 0; i < 6 && which >= 4; i++) logits[60 * i] = 25 + gauss(); /* a repeat is likely */
        for (int i = 0; i < 100; i++) prefix[i] = (int32_t)(noise() % letters) * 60;
        vb_sampling s;
        vb_sampling_defaults(&s);
        s.top_k = noise() % 2 ? 0 : (int)(1 + noise() % 60);
        s.top_p = noise() % 3 ? 1 : 0.9;
        s.min_p = noise() % 3 ? 0 : 0.02;
        s.temperature = ts[noise() % 4];
        if (noise() % 4 == 0) s.bias = bias, s.n_bias = 5;
        if (noise() % 4 == 0) s.repeat_penalty = 1.3, s.penalty_last_n = 40;
        if (which == 0 || which == 5) s.top_n_sigma = sigmas[noise() % 4];
        if (which == 1 || which == 5) s.typical_p = typicals[noise() % 4];
        if (which == 2 || which == 5)
            s.xtc_probability = xtcs[noise() % 3], s.xtc_threshold = thresholds[noise() % 4];
        if (which == 3 || which == 5)
            s.dynatemp_range = noise() % 2 ? 0.5 : 5, s.dynatemp_exponent = noise() % 2 ? 1 : 2.5;
        if (which == 4 || which == 5) {
            s.dry_multiplier = 0.8;
            s.dry_allowed_length = 1 + (int)(noise() % 3);
            s.dry_last_n = noise() % 2 ? -1 : (int)(noise() % 60);
            s.dry_base = noise() % 2 ? 1.75 : 1;
            if (noise() % 2) s.dry_breakers = breakers, s.n_dry_breakers = 3;
            if (which == 4 && noise() % 2) s.temperature = 0;
        }
        assert_int_equal(vb_sampling_check(&s, V, NULL), 0);
        differ +=
            !as_defined(&s, logits, noise() % 4 ? V : 1 + (int)(noise() % V), prefix, (int)(noise() % 101));
    }
    return differ;
}

static void samplers_against_the_definition(void **state) {
    const vb_logit_bias bias[] = {{3, 2.5f}, {7, -INFINITY}, {3, 1.0f}, {V - 1, 30.0f}, {0, -4.0f}};
    (void)state;
    assert_int_equal(compare_samplers(600, bias), 0);
    for (planted = 1; planted < N_PLANTED; planted++) {
        const int seen = compare_samplers(120, bias);
        if (!seen) fail_msg("planted mistake %d is not seen", planted);
    }
    planted = RIGHT;
    printf("%d mistakes planted into the definition, all seen\n", N_PLANTED - 1);
}

/* ---------------------------------------------------------------------- corners */

static vb_law *open_law(vb_sampling s) {
    vb_law *l = NULL;
    assert_int_equal(vb_law_open(&l, &s, 4, exp_weights, NULL), 0);
    return l;
}

static vb_sampling plain(double temperature) {
    vb_sampling s;
    vb_sampling_defaults(&s);
    s.temperature = temperature;
    s.top_k = 0;
    s.top_p = 1;
    s.min_p = 0;
    return s;
}

static void weights_by_hand(void **state) {
    (void)state;
    const float logits[4] = {1.0f, 3.0f, 3.0f, -40.0f};
    vb_law *l = open_law(plain(1));
    vb_dist d;
    assert_int_equal(vb_law_distribution(l, logits, 4, NULL, 0, &space, &d, NULL), 0);
    assert_int_equal(d.n, 3); /* exp(-43)*2^40 < 1 */
    assert_true(d.w[1] == (uint64_t)1 << 40 && d.w[2] == (uint64_t)1 << 40);
    assert_true(d.w[0] == 148802717567); /* floor(2^40/e^2) */
    assert_true(vb_dist_weight(&d, 0) == d.w[0] && vb_dist_weight(&d, 3) == 0);
    vb_law_close(l);
}

static void greedy_ties(void **state) {
    (void)state;
    const float logits[4] = {1.0f, 3.0f, 3.0f, 2.0f};
    const int32_t prefix[1] = {1};
    vb_dist d;
    vb_law *l = open_law(plain(0));
    assert_int_equal(vb_law_distribution(l, logits, 4, NULL, 0, &space, &d, NULL), 0);
    assert_true(d.n == 1 && d.id[0] == 1 && d.w[0] == 1 && d.total == 1);
    vb_law_close(l);
    vb_sampling s = plain(0);
    s.repeat_penalty = 1.1; /* the argmax is taken after penalties */
    l = open_law(s);
    assert_int_equal(vb_law_distribution(l, logits, 4, prefix, 1, &space, &d, NULL), 0);
    assert_int_equal(d.id[0], 2);
    vb_law_close(l);
}

static void bad_logits(void **state) {
    (void)state;
    const float bad[3] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        float logits[4] = {0, 0, bad[i], 0};
        vb_law *l = open_law(plain(1));
        vb_error err = {0};
        vb_dist d = {.n = -7};
        assert_int_equal(vb_law_distribution(l, logits, 4, NULL, 0, &space, &d, &err), VB_ERR_NUMERIC);
        assert_non_null(strstr(err.message, "id 2"));
        assert_int_equal(d.n, -7);
        vb_law_close(l);
    }
}

static void all_banned(void **state) {
    (void)state;
    const vb_logit_bias bias[] = {{0, -INFINITY}, {1, -INFINITY}, {2, -INFINITY}, {3, -INFINITY}};
    const float logits[4] = {0, 1, 2, 3};
    for (int t = 0; t < 2; t++) {
        for (int k = 0; k < 3; k++) {
            vb_sampling s = plain(t);
            vb_dist d;
            s.bias = bias;
            s.n_bias = 4;
            s.top_k = k;
            vb_law *l = open_law(s);
            assert_int_equal(vb_law_distribution(l, logits, 4, NULL, 0, &space, &d, NULL), 0);
            assert_int_equal(d.n, 0);
            vb_law_close(l);
        }
    }
}

static void parameters_are_checked(void **state) {
    (void)state;
    const vb_logit_bias nan_bias = {0, NAN}, inf_bias = {0, INFINITY}, far = {4, 0}, below = {-1, 0};
    vb_sampling good = plain(1), s;
    assert_int_equal(vb_sampling_check(&good, 4, NULL), 0);
#define BAD(field, value, name)                                                                              \
    do {                                                                                                     \
        vb_error err = {0};                                                                                  \
        s = good;                                                                                            \
        s.field = (value);                                                                                   \
        assert_int_equal(vb_sampling_check(&s, 4, &err), VB_ERR_ARGUMENT);                                   \
        assert_non_null(strstr(err.message, name));                                                          \
    } while (0)
    BAD(temperature, -1, "temperature");
    BAD(temperature, (double)NAN, "temperature");
    BAD(temperature, (double)INFINITY, "temperature");
    BAD(top_k, -1, "top_k");
    BAD(top_p, 0, "top_p");
    BAD(top_p, 1.5, "top_p");
    BAD(top_p, (double)NAN, "top_p");
    BAD(min_p, -0.1, "min_p");
    BAD(min_p, 2, "min_p");
    BAD(typical_p, -0.1, "typical_p");
    BAD(typical_p, 1.1, "typical_p");
    BAD(top_n_sigma, -1, "top_n_sigma");
    BAD(top_n_sigma, (double)NAN, "top_n_sigma");
    BAD(xtc_probability, 1.5, "xtc_probability");
    BAD(xtc_threshold, -1, "xtc_threshold");
    BAD(dynatemp_range, -1, "dynatemp_range");
    BAD(dynatemp_exponent, (s.dynatemp_range = 1, 0), "dynatemp_exponent");
    BAD(dry_multiplier, -1, "dry_multiplier");
    BAD(dry_base, (s.dry_multiplier = 1, 0.5), "dry_base");
    BAD(dry_allowed_length, (s.dry_multiplier = 1, 0), "dry_allowed_length");
    BAD(dry_last_n, (s.dry_multiplier = 1, -2), "dry_last_n");
    BAD(n_dry_breakers, (s.dry_multiplier = 1, 1), "dry_breakers is NULL");
    BAD(dry_breakers, (s.dry_multiplier = 1, s.n_dry_breakers = 1, &far.id), "dry_breakers[0]");
    BAD(typical_p, (s.temperature = 0, 0.5), "typical_p with temperature 0");
    BAD(xtc_probability, (s.temperature = 0, 0.5), "xtc_probability with temperature 0");
    BAD(dynatemp_range, (s.temperature = 0, 0.5), "dynatemp_range with temperature 0");
    BAD(repeat_penalty, 0, "repeat_penalty");
    BAD(repeat_penalty, (double)INFINITY, "repeat_penalty");
    BAD(presence_penalty, (double)NAN, "presence_penalty");
    BAD(frequency_penalty, (double)INFINITY, "frequency_penalty");
    BAD(penalty_last_n, -2, "penalty_last_n");
    good.n_bias = 1;
    BAD(bias, NULL, "bias");
    BAD(bias, &nan_bias, "bias[0]");
    BAD(bias, &inf_bias, "bias[0]");
    BAD(bias, &far, "bias[0]");
    BAD(bias, &below, "bias[0]");
}

static void rescaling(void **state) {
    (void)state;
    int32_t id[4] = {2, 5, 6, 9};
    uint64_t w[4] = {1, (uint64_t)1 << 40, (uint64_t)1 << 40, 7};
    const vb_dist_space four = {4, id, w};
    vb_dist d = {4, id, w, w[0] + w[1] + w[2] + w[3]};
    vb_dist_rescale(&d, &four, 34);
    assert_int_equal(d.n, 2); /* the smallest two fall below the grid of 2^-34 */
    assert_true(d.id[0] == 5 && d.id[1] == 6);
    assert_true(d.w[1] == ((uint64_t)1 << 33) - 1); /* just below one half, rounded down */
    assert_true(d.w[0] ==
                ((uint64_t)1 << 33) + 1); /* the remainder goes to the lowest id of the largest weight */
    assert_true(d.total == (uint64_t)1 << 34);
    uint64_t one = 1;
    const vb_dist_space single = {1, id, &one};
    d = (vb_dist){1, id, &one, 1};
    vb_dist_rescale(&d, &single, 34);
    assert_true(d.n == 1 && d.w[0] == (uint64_t)1 << 34);
}

/* The usual settings on a large vocabulary: how long does one distribution take? */
static void time_of_152k(void **state) {
    (void)state;
    enum { N = 151936, RUNS = 50 };
    float *logits = malloc(N * sizeof *logits);
    vb_dist_space big = {N, malloc(N * sizeof(int32_t)), malloc(N * sizeof(uint64_t))};
    for (int i = 0; i < N; i++) logits[i] = gauss() * 3;
    for (int off = 0; off < 2; off++) {
        vb_sampling s;
        vb_law *l = NULL;
        vb_dist d;
        vb_sampling_defaults(&s);
        if (off) s = plain(1), s.top_p = 0.95;
        assert_int_equal(vb_law_open(&l, &s, N, exp_weights, NULL), 0);
        const double t0 = vb_now();
        for (int i = 0; i < RUNS; i++)
            assert_int_equal(vb_law_distribution(l, logits, N, NULL, 0, &big, &d, NULL), 0);
        printf("%d ids, %s: %.2f ms, %d kept\n", N, off ? "top-p 0.95 alone" : "defaults (top-k 40 ...)",
               1e3 * (vb_now() - t0) / RUNS, (int)d.n);
        vb_law_close(l);
    }
    free(logits);
    free(big.id);
    free(big.w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_the_definition),
        cmocka_unit_test(samplers_against_the_definition),
        cmocka_unit_test(weights_by_hand),
        cmocka_unit_test(greedy_ties),
        cmocka_unit_test(bad_logits),
        cmocka_unit_test(all_banned),
        cmocka_unit_test(parameters_are_checked),
        cmocka_unit_test(rescaling),
        cmocka_unit_test(time_of_152k),
    };
    return cmocka_run_group_tests_name("distribution", tests, NULL, NULL);
}
