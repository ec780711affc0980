/* ops_body.h - everything of the kernel table but the matrices, written once for every instruction set
 * (names: vec_*.h). The formulas are those of ref/kernels.h and ref/mathf.c, operation for operation; 16
 * lanes are the contract's. */

INLINE v16 load_upto(const float *p, int n) {
    return n >= 16 ? v16_load(p) : v16_load_part(p, n);
}
INLINE void store_upto(float *p, v16 a, int n) {
    if (n >= 16)
        v16_store(p, a);
    else
        v16_store_part(p, a, n);
}

/* ------------------------------------------------------------------- activations */

static int quantize(const float *x, int n, int planes, int8_t *q, size_t plane_stride, float *d,
                    int32_t *sum16) {
    const int limit = planes == 2 ? 16256 : 127;
    for (int b = 0; b < n / 32; b++, x += 32, q += 32, sum16 += 2) {
        const uint32_t max = largest_bits(x);
        if (max >= 0x7f800000u) return VB_ERR_NUMERIC;
        const bool zero = max < 0x0d800000u; /* 2^-100 */
        float a;
        memcpy(&a, &max, sizeof a);
        const float inverse = zero ? 0.0f : (float)limit / a;
        d[b] = zero ? 0.0f : a / (float)limit;
        int8_t *lo = planes == 2 ? q + plane_stride : NULL;
        sum16[0] = round16(x, inverse, limit, q, lo);
        sum16[1] = round16(x + 16, inverse, limit, q + 16, lo ? lo + 16 : NULL);
    }
    return VB_OK;
}

/* ------------------------------------------------------------------- norms and the rest */

static void rmsnorm(const float *x, const float *w, int n, float eps, float *y) {
    v16 lane = v16_zero();
    for (int i = 0; i < n; i += 16) {
        const v16 a = load_upto(x + i, n - i), sum = v16_fma(a, a, lane);
        lane = n - i >= 16 ? sum : v16_part(sum, lane, n - i);
    }
    const v16 r = v16_set(1.0f / sqrtf(v16_tree(lane) / (float)n + eps));
    for (int i = 0; i < n; i += 16)
        store_upto(y + i, v16_mul(v16_mul(load_upto(x + i, n - i), r), load_upto(w + i, n - i)), n - i);
}

static void layernorm(const float *x, const float *w, const float *b, int n, float eps, float *y) {
    v16 lane = v16_zero(), squares = v16_zero();
    for (int i = 0; i < n; i += 16) {
        const v16 sum = v16_add(lane, load_upto(x + i, n - i));
        lane = n - i >= 16 ? sum : v16_part(sum, lane, n - i);
    }
    const v16 mean = v16_set(v16_tree(lane) / (float)n);
    for (int i = 0; i < n; i += 16) {
        const v16 c = v16_sub(load_upto(x + i, n - i), mean), sum = v16_fma(c, c, squares);
        squares = n - i >= 16 ? sum : v16_part(sum, squares, n - i);
    }
    const v16 r = v16_set(1.0f / sqrtf(v16_tree(squares) / (float)n + eps));
    for (int i = 0; i < n; i += 16) {
        const v16 c = v16_sub(load_upto(x + i, n - i), mean);
        const v16 scaled = v16_mul(v16_mul(c, r), load_upto(w + i, n - i));
        store_upto(y + i, b ? v16_add(scaled, load_upto(b + i, n - i)) : scaled, n - i);
    }
}

static void rope(float *x, int heads, int head_dim, int rot, bool halves, const float *cosine,
                 const float *sine) {
    const int half = rot / 2;
    for (int h = 0; h < heads; h++) {
        float *head = x + (size_t)h * (size_t)head_dim;
        if (!halves) {
            for (int j = 0; j < half; j++) {
                const float a = head[2 * j], b = head[2 * j + 1], c = cosine[j], s = sine[j];
                head[2 * j] = fmaf(a, c, -(b * s));
                head[2 * j + 1] = fmaf(a, s, b * c);
            }
            continue;
        }
        for (int j = 0; j < half; j += 16) {
            const int n = half - j;
            const v16 a = load_upto(head + j, n), b = load_upto(head + half + j, n);
            const v16 c = load_upto(cosine + j, n), s = load_upto(sine + j, n);
            store_upto(head + j, v16_fma(a, c, v16_neg(v16_mul(b, s))), n);
            store_upto(head + half + j, v16_fma(a, s, v16_mul(b, c)), n);
        }
    }
}

/* vb_expf (ref/mathf.c) */
INLINE v16 exp16(v16 x) {
    const v16 magic = v16_set(0x1.8p+23f);
    const v16 t = v16_fma(x, v16_set(0x1.715476p+0f), magic);
    const v16 n = v16_sub(t, magic);
    v16 r = v16_fma(n, v16_set(-0x1.62e43p-1f), x);
    r = v16_fma(n, v16_set(0x1.05c61p-29f), r);
    v16 q = v16_set(0x1.9dfbe4p-13f);
    q = v16_fma(q, r, v16_set(0x1.6d4cc8p-10f));
    q = v16_fma(q, r, v16_set(0x1.11130ep-7f));
    q = v16_fma(q, r, v16_set(0x1.5554e8p-5f));
    q = v16_fma(q, r, v16_set(0x1.555554p-3f));
    q = v16_fma(q, r, v16_set(0x1.0p-1f));
    const v16 p = v16_fma(v16_mul(r, r), q, r);
    const v16 y = v16_add_exponent(v16_add(v16_set(1.0f), p), t);
    const v16 low = v16_if_less(x, v16_set(-0x1.5d589ep+6f), v16_zero(), y);
    const v16 high = v16_if_less(v16_set(0x1.62e42ep+6f), x, v16_set(INFINITY), low);
    return v16_if_nan(x, v16_add(x, x), high);
}

static void swiglu(const float *g, const float *u, int n, float *h) {
    for (int i = 0; i < n; i += 16) {
        const v16 a = load_upto(g + i, n - i), b = load_upto(u + i, n - i);
        const v16 gate = v16_div(a, v16_add(v16_set(1.0f), exp16(v16_neg(a))));
        store_upto(h + i, v16_mul(gate, b), n - i);
    }
}

/* vb_tanhf (ref/mathf.c) */
INLINE v16 tanh16(v16 x) {
    const v16 zero = v16_zero(), one = v16_set(1.0f);
    const v16 a = v16_if_less(x, zero, v16_neg(x), x), z = v16_mul(a, a);
    v16 p = v16_set(0x1.1a27fep-9f);
    p = v16_fma(p, z, v16_set(-0x1.0c5ecep-7f));
    p = v16_fma(p, z, v16_set(0x1.63a55p-6f));
    p = v16_fma(p, z, v16_set(-0x1.b9f188p-5f));
    p = v16_fma(p, z, v16_set(0x1.11107ap-3f));
    p = v16_fma(p, z, v16_set(-0x1.555554p-2f));
    const v16 small = v16_fma(v16_mul(a, z), p, a);
    const v16 large = v16_sub(one, v16_div(v16_set(2.0f), v16_add(exp16(v16_add(a, a)), one)));
    const v16 y = v16_if_less(a, v16_set(0.625f), small, large);
    return v16_if_less(x, zero, v16_neg(y), y);
}

static void geglu(const float *g, const float *u, int n, float *h) {
    for (int i = 0; i < n; i += 16) {
        const v16 a = load_upto(g + i, n - i), b = load_upto(u + i, n - i);
        const v16 cube = v16_mul(v16_mul(a, a), a);
        const v16 t = tanh16(v16_mul(v16_set(0x1.988454p-1f), v16_fma(v16_set(0x1.6e4e26p-5f), cube, a)));
        const v16 gate = v16_mul(v16_mul(v16_set(0.5f), a), v16_add(v16_set(1.0f), t));
        store_upto(h + i, v16_mul(gate, b), n - i);
    }
}

static void swiglu_clamped(const float *g, const float *u, int n, float *h) {
    const v16 one = v16_set(1.0f), high = v16_set(7.0f), low = v16_set(-7.0f);
    for (int i = 0; i < n; i += 16) {
        const v16 a = load_upto(g + i, n - i), b = load_upto(u + i, n - i);
        const v16 gate = v16_if_less(high, a, high, a), below = v16_if_less(high, b, high, b);
        const v16 up = v16_if_less(below, low, low, below);
        const v16 e = exp16(v16_neg(v16_mul(v16_set(0x1.b3b646p+0f), gate)));
        store_upto(h + i, v16_mul(v16_div(gate, v16_add(one, e)), v16_add(up, one)), n - i);
    }
}

static void softcap(float *x, int n, float c) {
    const v16 cap = v16_set(c);
    for (int i = 0; i < n; i += 16)
        store_upto(x + i, v16_mul(cap, tanh16(v16_div(load_upto(x + i, n - i), cap))), n - i);
}

static void add(const float *x, int n, float *y) {
    for (int i = 0; i < n; i += 16)
        store_upto(y + i, v16_add(load_upto(y + i, n - i), load_upto(x + i, n - i)), n - i);
}

static void add_scaled(const float *x, int n, float a, float *y) {
    const v16 scale = v16_set(a);
    for (int i = 0; i < n; i += 16)
        store_upto(y + i, v16_fma(scale, load_upto(x + i, n - i), load_upto(y + i, n - i)), n - i);
}

static void to_half(const float *x, int n, uint16_t *y) {
    for (int i = 0; i < n; i += 16)
        v16_store_half_part(y + i, load_upto(x + i, n - i), n - i < 16 ? n - i : 16);
}

/* ------------------------------------------------------------------- float64: sampling, log-probabilities */

/* vb_exp (ref/mathf.c) of x <= 0. */
INLINE dvec exp_vector(dvec x) {
    const dvec magic = d_set(0x1.8p+52);
    const dvec t = d_add(d_mul(x, d_set(0x1.71547652b82fep+0)), magic);
    const dvec n = d_sub(t, magic);
    const dvec r =
        d_sub(d_sub(x, d_mul(n, d_set(0x1.62e42fefa4000p-1))), d_mul(n, d_set(-0x1.8432a1b0e2634p-43)));
    static const double c[] = {0x1.af66cc8df50ecp-26, 0x1.27e5927ce898ap-22,
                               0x1.71ddf37f3a856p-19, 0x1.a01a01502f121p-16,
                               0x1.a01a01b1e74a1p-13, 0x1.6c16c16c275c2p-10,
                               0x1.111111110f162p-7,  0x1.5555555555530p-5,
                               0x1.555555555555ap-3,  0x1.0p-1};
    dvec q = d_set(0x1.1e5df021d9b02p-29);
    EACH(i, 10) q = d_add(d_mul(q, r), d_set(c[i]));
    const dvec e = d_add(d_set(1.0), d_add(r, d_mul(d_mul(r, r), q)));
    return d_zero_if_less(x, d_set(-0x1.6232bdd7abcd2p+9), d_add_exponent(e, t));
}

/* 2^40 * vb_exp(z), the fraction dropped. */
INLINE void exp_weights_vector(const double *z, uint64_t *w) {
    d_store_integers(w, d_mul(d_set(0x1p40), exp_vector(d_load(z))));
}

static void exp_weights(const double *z, int n, uint64_t *w) {
    int i = 0;
    for (; i + DOUBLES <= n; i += DOUBLES) exp_weights_vector(z + i, w + i);
    if (i < n) {
        double last[DOUBLES] = {0};
        uint64_t out[DOUBLES];
        memcpy(last, z + i, (size_t)(n - i) * sizeof *z);
        exp_weights_vector(last, out);
        memcpy(w + i, out, (size_t)(n - i) * sizeof *w);
    }
}

/* n (at most DOUBLES) more terms. */
INLINE double exp_sum_vector(const float *x, const int n, float max, double sum) {
    double e[DOUBLES];
    d_store(e, exp_vector(d_sub(d_of_floats(x), d_set((double)max))));
    for (int k = 0; k < n; k++) sum = sum + e[k];
    return sum;
}

static double exp_sum(const float *x, int n, float max) {
    double sum = 0.0;
    int i = 0;
    for (; i + DOUBLES <= n; i += DOUBLES) sum = exp_sum_vector(x + i, DOUBLES, max, sum);
    if (i < n) {
        float last[DOUBLES];
        for (int k = 0; k < DOUBLES; k++) last[k] = i + k < n ? x[i + k] : max;
        sum = exp_sum_vector(last, n - i, max, sum);
    }
    return sum;
}
