/* forward.c - the forward pass of a pre-norm decoder, once, for everything: prompts, single tokens,
 * verification of drafts, batches of several sequences.
 *
 * Work is split by row of the batch, by output row of a matrix and by (row, head), never inside a sum, so
 * that neither the number of threads nor the number of rows in a call shows in the result (P1).
 *
 * References: RMSNorm: Zhang and Sennrich 1910.07467; RoPE: Su et al. 2104.09864; grouped-query attention:
 * Ainslie et al. 2305.13245; SwiGLU: Shazeer 2002.05202; the order of operations: docs/numerics.md. */
#include "forward.h"

#include "half.h"
#include "unpack.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Shapes below: R rows of the batch, D dim, Q n_heads*head_dim, K n_kv_heads*head_dim, F ffn_dim. */
struct vb_workspace {
    vb_workspace_params p;
    const vb_model *m;
    int width; /* max(D, Q, F): the longest vector that meets a matrix */

    float *x;      /* (R, D) the residual stream */
    float *h;      /* (R, D) its normalised copy */
    float *q;      /* (R, Q) queries */
    float *k, *v;  /* (R, K) keys, values */
    float *heads;  /* (R, Q) what the heads found */
    float *delta;  /* (R, D) what a half layer adds to the residual stream */
    float *gate;   /* (R, F) */
    float *up;     /* (R, F) */
    float *hidden; /* (R, F) */
    float *cosine; /* (R, rot/2) */
    float *sine;   /* (R, rot/2) */
    float *scores; /* (threads, n_ctx) */

    int8_t *acts_q;      /* (planes, R, width) */
    float *acts_d;       /* (R, width/32) */
    int32_t *acts_sum16; /* (R, width/16) */

    uint64_t bytes;

    /* The call in progress. */
    const vb_row *rows;
    int n;
    int layer;
    vb_acts acts;      /* the vectors that the next matrices read */
    bool quantize;     /* one of those matrices is block-quantised */
    atomic_int failed; /* what went wrong, a `failure` */
};

typedef enum failure { NOTHING = 0, NOT_FINITE, KV_RANGE } failure;

/* ---------------------------------------------------------------------- memory */

static int grab(vb_workspace *w, void *out, size_t rows, size_t cols, size_t size, vb_error *err) {
    uint64_t values = 0, bytes = 0;
    if (!vb_mul_u64(rows, cols, &values) || !vb_mul_u64(values, size, &bytes) || bytes > SIZE_MAX / 2)
        return vb_fail(err, VB_ERR_MEMORY, "the workspace is too large: ask for a smaller batch or context");
    void *p = NULL;
    int rc = vb_alloc(&p, (size_t)values, size, "the workspace", err);
    if (rc) return rc;
    memcpy(out, &p, sizeof p);
    w->bytes += bytes;
    return VB_OK;
}

static int max3(int a, int b, int c) {
    const int m = a > b ? a : b;
    return m > c ? m : c;
}

int vb_workspace_open(vb_workspace **out, const vb_model *m, const vb_workspace_params *p, vb_error *err) {
    const vb_model_info *i = &m->info;
    const size_t R = (size_t)p->max_rows, D = (size_t)i->dim, F = (size_t)i->ffn_dim, S = sizeof(float);
    const size_t Q = (size_t)i->n_heads * (size_t)i->head_dim,
                 K = (size_t)i->n_kv_heads * (size_t)i->head_dim;
    const size_t half_rot = (size_t)m->rot / 2;
    vb_workspace *w = NULL;
    int rc = vb_alloc((void **)&w, 1, sizeof *w, "the workspace", err);
    if (rc) return rc;
    w->p = *p;
    w->m = m;
    w->bytes = sizeof *w;
    w->width = max3(i->dim, i->n_heads * i->head_dim, i->ffn_dim);
    const size_t W = (size_t)w->width;
    if ((rc = grab(w, &w->x, R, D, S, err)) || (rc = grab(w, &w->h, R, D, S, err)) ||
        (rc = grab(w, &w->q, R, Q, S, err)) || (rc = grab(w, &w->k, R, K, S, err)) ||
        (rc = grab(w, &w->v, R, K, S, err)) || (rc = grab(w, &w->heads, R, Q, S, err)) ||
        (rc = grab(w, &w->delta, R, D, S, err)) || (rc = grab(w, &w->gate, R, F, S, err)) ||
        (rc = grab(w, &w->up, R, F, S, err)) || (rc = grab(w, &w->hidden, R, F, S, err)) ||
        (rc = grab(w, &w->cosine, R, half_rot, S, err)) || (rc = grab(w, &w->sine, R, half_rot, S, err)) ||
        (rc = grab(w, &w->scores, (size_t)vb_pool_threads(p->pool), (size_t)p->n_ctx, S, err)) ||
        (rc = grab(w, &w->acts_q, (size_t)p->planes * R, W, 1, err)) ||
        (rc = grab(w, &w->acts_d, R, W / 32 + 1, S, err)) ||
        (rc = grab(w, &w->acts_sum16, R, W / 16 + 1, sizeof(int32_t), err))) {
        vb_workspace_close(w);
        return rc;
    }
    *out = w;
    return VB_OK;
}

void vb_workspace_close(vb_workspace *w) {
    if (!w) return;
    float *const floats[] = {w->x,    w->h,  w->q,      w->k,      w->v,    w->heads,  w->delta,
                             w->gate, w->up, w->hidden, w->cosine, w->sine, w->scores, w->acts_d};
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) free(floats[i]);
    free(w->acts_q);
    free(w->acts_sum16);
    free(w);
}

uint64_t vb_workspace_bytes(const vb_workspace *w) {
    return w->bytes;
}

/* ---------------------------------------------------------------------- pieces */

/* True when all |x_i| are below the float whose bits are `limit`; NaN counts as above all. */
static bool all_below(const float *x, size_t n, uint32_t limit) {
    uint32_t max = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = vb_float_bits(x[i]) & 0x7fffffffu;
        if (bits > max) max = bits;
    }
    return max < limit;
}

static const uint32_t infinite = 0x7f800000u;
/* 2^53. The squares of 2^20 such numbers add up to less than 2^127, so RMSNorm cannot overflow below. */
static const uint32_t norm_limit = 0x5a000000u;

/* The first failure is the one that explains. */
static void fail(vb_workspace *w, failure what) {
    int nothing = NOTHING;
    atomic_compare_exchange_strong(&w->failed, &nothing, (int)what);
}

static void each_row(vb_workspace *w, void (*fn)(vb_workspace *w, int row));

/* Sets up the vectors v (n rows of `cols`) as input for matrices a, b and c (NULL: fewer). Their integers are
 * filled in row by row with quantize_row, and only if a matrix reads them. */
static void set_acts(vb_workspace *w, const float *v, int n, int cols, const vb_matrix *a, const vb_matrix *b,
                     const vb_matrix *c) {
    w->quantize = vb_type_is_quantized((int)a->type) || (b && vb_type_is_quantized((int)b->type)) ||
                  (c && vb_type_is_quantized((int)c->type));
    w->acts = (vb_acts){.rows = n,
                        .n = cols,
                        .planes = w->quantize ? w->p.planes : 0,
                        .f = v,
                        .q = w->acts_q,
                        .d = w->acts_d,
                        .sum16 = w->acts_sum16};
}

static void quantize_row(vb_workspace *w, int row) {
    if (!w->quantize) return;
    const size_t t = (size_t)row, n = (size_t)w->acts.n;
    if (w->p.kernels->quantize(w->acts.f + t * n, w->acts.n, w->p.planes, w->acts_q + t * n,
                               (size_t)w->acts.rows * n, w->acts_d + t * (n / 32),
                               w->acts_sum16 + t * (n / 16)))
        fail(w, NOT_FINITE);
}

static void normalize_row(vb_workspace *w, const float *from, const float *weight, int row) {
    const size_t D = (size_t)w->m->info.dim;
    float *to = w->h + (size_t)row * D;
    w->p.kernels->rmsnorm(from, weight, w->m->info.dim, w->m->eps, to);
    quantize_row(w, row);
}

static void add_bias(vb_workspace *w, const float *bias, int n, float *y) {
    if (bias) w->p.kernels->add(bias, n, y);
}

/* Up to three products that read the same vectors, as tasks of `chunk` output rows. */
typedef struct product {
    vb_workspace *w;
    const vb_matrix *matrix[3];
    float *y[3];
    size_t ldy[3];
    int first_task[4];
    int chunk;
} product;

static void product_task(void *arg, int index, int worker) {
    (void)worker;
    const product *p = arg;
    int i = 0;
    while (index >= p->first_task[i + 1]) i++;
    const vb_matrix *matrix = p->matrix[i];
    const int row0 = (index - p->first_task[i]) * p->chunk;
    const int row1 = matrix->rows - row0 < p->chunk ? matrix->rows : row0 + p->chunk;
    p->w->p.kernels->matmul[matrix->type](matrix, &p->w->acts, row0, row1, p->y[i], p->ldy[i]);
}

/* Rows of a task, when products have `total` rows together: a multiple of 16, small enough that four tasks
 * fall to each thread, as SIMD kernels and slow neighbours like it. */
static int chunk_of(const vb_workspace *w, int64_t total) {
    const int threads = vb_pool_threads(w->p.pool);
    const int64_t share = threads == 1 ? total : total / (4 * (int64_t)threads);
    return (int)(share < 16 ? 16 : share / 16 * 16);
}

/* The product after the next one reads a (and b, c: NULL for fewer): whoever waits until then asks the memory
 * for the first rows. */
static void ahead(vb_workspace *w, const vb_matrix *a, const vb_matrix *b, const vb_matrix *c) {
    const int64_t rows = (int64_t)a->rows + (b ? b->rows : 0) + (c ? c->rows : 0);
    vb_pool_ahead(w->p.pool, a->packed ? a->packed : a->data, (size_t)chunk_of(w, rows) * a->row_bytes);
}

/* y_i = matrix_i times each of the vectors set up by set_acts. y_i: (rows, matrix_i->rows). */
static void multiply(vb_workspace *w, const vb_matrix *a, float *ya, const vb_matrix *b, float *yb,
                     const vb_matrix *c, float *yc) {
    product p = {.w = w, .matrix = {a, b, c}, .y = {ya, yb, yc}};
    int64_t total = 0;
    bool elsewhere[3] = {false, false, false}; /* computed by the offload hook */
    for (int i = 0; i < 3 && p.matrix[i]; i++) {
        if (w->p.offload.multiply)
            elsewhere[i] = w->p.offload.multiply(w->p.offload.self, p.matrix[i], &w->acts, p.y[i]);
        if (!elsewhere[i]) total += p.matrix[i]->rows;
    }
    p.chunk = chunk_of(w, total);
    for (int i = 0; i < 3; i++) {
        const int rows = p.matrix[i] && !elsewhere[i] ? p.matrix[i]->rows : 0;
        p.ldy[i] = (size_t)rows;
        p.first_task[i + 1] = p.first_task[i] + (rows + p.chunk - 1) / p.chunk;
    }
    vb_pool_run(w->p.pool, p.first_task[3], product_task, &p);
}

typedef struct row_job {
    vb_workspace *w;
    void (*fn)(vb_workspace *w, int row);
} row_job;

static void row_task(void *arg, int index, int worker) {
    (void)worker;
    const row_job *job = arg;
    job->fn(job->w, index);
}

static void each_row(vb_workspace *w, void (*fn)(vb_workspace *w, int row)) {
    row_job job = {w, fn};
    vb_pool_run(w->p.pool, w->acts.rows, row_task, &job);
}

static void observe(vb_workspace *w, const char *what, int cols, const float *values) {
    if (w->p.observe) w->p.observe(w->p.user, what, w->layer, w->rows[0].position, w->n, cols, values);
}

/* ---------------------------------------------------------------------- what is done row by row */

/* x = embedding of the token, as float32; the row's RoPE angles, which all layers share. */
static void embed_row(vb_workspace *w, int row) {
    const vb_model *m = w->m;
    const size_t t = (size_t)row, D = (size_t)m->info.dim, half = (size_t)m->rot / 2;
    const vb_row *r = &w->rows[row];
    const uint8_t *weights = m->embd.data + (size_t)r->token * m->embd.row_bytes;
    vb_dequantize_row(m->embd.type, weights, D, w->x + t * D);
    if (!all_below(w->x + t * D, D, norm_limit)) fail(w, NOT_FINITE);
    vb_rope_angles(m, r->position, w->cosine + t * half, w->sine + t * half);
}

static void attn_norm_row(vb_workspace *w, int row) {
    normalize_row(w, w->x + (size_t)row * (size_t)w->m->info.dim, w->m->layers[w->layer].attn_norm, row);
}

/* One head's key or value, `n` floats, to its place in the cache. */
static void store(vb_workspace *w, const vb_row *r, int kv_head, const float *from, void *to) {
    const vb_model_info *i = &w->m->info;
    const size_t place =
        ((size_t)w->layer * (size_t)i->n_kv_heads + (size_t)kv_head) * (size_t)r->cache->n_ctx +
        (size_t)r->position;
    const size_t n = (size_t)i->head_dim;
    if (!all_below(from, n, infinite)) fail(w, NOT_FINITE);
    if (r->cache->type == VB_F32) {
        memcpy((float *)to + place * n, from, n * sizeof *from);
        return;
    }
    if (!all_below(from, n, 0x477ff000u)) fail(w, KV_RANGE); /* 65520: what rounds to infinity in float16 */
    w->p.kernels->to_half(from, i->head_dim, (uint16_t *)to + place * n);
}

/* Biases, norms over heads, RoPE; then keys and values go to the cache. */
static void qkv_row(vb_workspace *w, int row) {
    const vb_model *m = w->m;
    const vb_model_info *i = &m->info;
    const vb_kernels *kernels = w->p.kernels;
    const vb_layer *l = &m->layers[w->layer];
    const vb_row *r = &w->rows[row];
    const int H = i->n_heads, G = i->n_kv_heads, n = i->head_dim;
    const size_t t = (size_t)row, half = (size_t)m->rot / 2, step = (size_t)n;
    float *q = w->q + t * (size_t)H * step, *k = w->k + t * (size_t)G * step,
          *v = w->v + t * (size_t)G * step;
    add_bias(w, l->bq, H * n, q);
    add_bias(w, l->bk, G * n, k);
    add_bias(w, l->bv, G * n, v);
    if (l->q_norm) {
        if (!all_below(q, (size_t)H * step, norm_limit) || !all_below(k, (size_t)G * step, norm_limit))
            fail(w, NOT_FINITE);
        for (int h = 0; h < H; h++)
            kernels->rmsnorm(q + (size_t)h * step, l->q_norm, n, m->eps, q + (size_t)h * step);
        for (int h = 0; h < G; h++)
            kernels->rmsnorm(k + (size_t)h * step, l->k_norm, n, m->eps, k + (size_t)h * step);
    }
    const float *cosine = w->cosine + t * half, *sine = w->sine + t * half;
    kernels->rope(q, H, n, m->rot, m->arch->rope_halves, cosine, sine);
    kernels->rope(k, G, n, m->rot, m->arch->rope_halves, cosine, sine);
    for (int h = 0; h < G; h++) {
        store(w, r, h, k + (size_t)h * step, r->cache->k);
        store(w, r, h, v + (size_t)h * step, r->cache->v);
    }
}

/* One head of one row looks at positions 0 .. its own. */
static void attention_task(void *arg, int index, int worker) {
    vb_workspace *w = arg;
    const vb_model_info *i = &w->m->info;
    const size_t row = (size_t)(index / i->n_heads), head = (size_t)(index % i->n_heads);
    const size_t n = (size_t)i->head_dim, at = (row * (size_t)i->n_heads + head) * n;
    const vb_row *r = &w->rows[row];
    const size_t kv_head = head / (size_t)(i->n_heads / i->n_kv_heads);
    const size_t first =
        ((size_t)w->layer * (size_t)i->n_kv_heads + kv_head) * (size_t)r->cache->n_ctx * n; /* position 0 */
    const size_t size = r->cache->type == VB_F32 ? sizeof(float) : sizeof(uint16_t);
    const vb_attention a = {
        .q = w->q + at,
        .k = (const char *)r->cache->k + first * size,
        .v = (const char *)r->cache->v + first * size,
        .stride = n,
        .kv_type = r->cache->type,
        .n = r->position + 1,
        .head_dim = i->head_dim,
        .scale = w->m->attn_scale,
        .scores = w->scores + (size_t)worker * (size_t)w->p.n_ctx,
        .out = w->heads + at,
    };
    w->p.kernels->attention(&a);
}

/* x += what the heads found, through wo; then the norm that the feed-forward part reads. */
static void after_attention_row(vb_workspace *w, int row) {
    const vb_layer *l = &w->m->layers[w->layer];
    const int n = w->m->info.dim;
    float *delta = w->delta + (size_t)row * (size_t)n, *x = w->x + (size_t)row * (size_t)n;
    add_bias(w, l->bo, n, delta);
    w->p.kernels->add(delta, n, x);
    if (!all_below(x, (size_t)n, norm_limit)) fail(w, NOT_FINITE);
    normalize_row(w, x, l->ffn_norm, row);
}

static void swiglu_row(vb_workspace *w, int row) {
    const vb_layer *l = &w->m->layers[w->layer];
    const int n = w->m->info.ffn_dim;
    const size_t at = (size_t)row * (size_t)n;
    add_bias(w, l->b_gate, n, w->gate + at);
    add_bias(w, l->b_up, n, w->up + at);
    w->p.kernels->swiglu(w->gate + at, w->up + at, n, w->hidden + at);
    quantize_row(w, row);
}

static void after_ffn_row(vb_workspace *w, int row) {
    const int n = w->m->info.dim;
    float *delta = w->delta + (size_t)row * (size_t)n, *x = w->x + (size_t)row * (size_t)n;
    add_bias(w, w->m->layers[w->layer].b_down, n, delta);
    w->p.kernels->add(delta, n, x);
    if (!all_below(x, (size_t)n, norm_limit)) fail(w, NOT_FINITE);
}

/* ---------------------------------------------------------------------- the end: wanted rows only */

static int check(vb_workspace *w, vb_error *err) {
    int rc = w->p.offload.check ? w->p.offload.check(w->p.offload.self, err) : VB_OK;
    if (rc) return rc;
    switch ((failure)atomic_load(&w->failed)) {
    case NOTHING: break;
    case NOT_FINITE:
        return vb_fail(
            err, VB_ERR_NUMERIC,
            "layer %d gave a value that is not finite at positions %d to %d: the weights are damaged or "
            "overflow float32",
            w->layer, w->rows[0].position, w->rows[w->n - 1].position);
    case KV_RANGE:
        return vb_fail(
            err, VB_ERR_NUMERIC,
            "layer %d gave a key or value beyond float16 at positions %d to %d: use an F32 KV cache",
            w->layer, w->rows[0].position, w->rows[w->n - 1].position);
    }
    return VB_OK;
}

static int output(vb_workspace *w, float *logits, vb_error *err) {
    const vb_model *m = w->m;
    const size_t D = (size_t)m->info.dim, V = (size_t)m->info.n_vocab;
    int wanted = 0;
    for (int row = 0; row < w->n; row++) wanted += w->rows[row].want;
    if (wanted == 0) return VB_OK;
    set_acts(w, w->h, wanted, m->info.dim, &m->output, NULL, NULL);
    int i = 0;
    for (int row = 0; row < w->n; row++) {
        if (w->rows[row].want) normalize_row(w, w->x + (size_t)row * D, m->output_norm, i++);
    }
    ahead(w, &m->layers[0].wq, &m->layers[0].wk, &m->layers[0].wv);
    multiply(w, &m->output, logits, NULL, NULL, NULL, NULL);
    if (!all_below(logits, (size_t)wanted * V, infinite)) fail(w, NOT_FINITE);
    int rc = check(w, err);
    if (rc || !w->p.observe) return rc;
    i = 0;
    for (int row = 0; row < w->n; row++) {
        if (!w->rows[row].want) continue;
        const size_t at = (size_t)i++;
        w->p.observe(w->p.user, "output_norm", -1, w->rows[row].position, 1, m->info.dim, w->h + at * D);
        w->p.observe(w->p.user, "logits", -1, w->rows[row].position, 1, m->info.n_vocab, logits + at * V);
    }
    return VB_OK;
}

/* ---------------------------------------------------------------------- the forward pass */

int vb_forward(vb_workspace *w, const vb_row *rows, int n, float *logits, vb_error *err) {
    const vb_model *m = w->m;
    const int D = m->info.dim, F = m->info.ffn_dim;
    const int Q = m->info.n_heads * m->info.head_dim, K = m->info.n_kv_heads * m->info.head_dim;
    w->rows = rows;
    w->n = n;
    w->layer = -1;
    atomic_store(&w->failed, (int)NOTHING);
    w->acts.rows = n;
    each_row(w, embed_row); /* x (n, D) */
    observe(w, "embd", D, w->x);

    for (w->layer = 0; w->layer < m->info.n_layers; w->layer++) {
        const vb_layer *l = &m->layers[w->layer];
        if (w->p.cancel && w->p.cancel(w->p.user)) return vb_fail(err, VB_ERR_CANCELLED, "cancelled");

        set_acts(w, w->h, n, D, &l->wq, &l->wk, &l->wv);
        each_row(w, attn_norm_row); /* h (n, D) = norm(x) */
        observe(w, "attn_norm", D, w->h);
        ahead(w, &l->wo, NULL, NULL);
        multiply(w, &l->wq, w->q, &l->wk, w->k, &l->wv, w->v); /* q (n, Q), k (n, K), v (n, K) */
        each_row(w, qkv_row);                                  /* biases, norms, RoPE, cache */
        observe(w, "q", Q, w->q);
        observe(w, "k", K, w->k);
        observe(w, "v", K, w->v);

        vb_pool_run(w->p.pool, n * m->info.n_heads, attention_task, w); /* heads (n, Q) */
        observe(w, "heads", Q, w->heads);
        set_acts(w, w->heads, n, Q, &l->wo, NULL, NULL);
        each_row(w, quantize_row);
        ahead(w, &l->w_gate, &l->w_up, NULL);
        multiply(w, &l->wo, w->delta, NULL, NULL, NULL, NULL); /* delta (n, D) */

        set_acts(w, w->h, n, D, &l->w_gate, &l->w_up, NULL);
        each_row(w, after_attention_row); /* x += delta, h = norm(x) */
        observe(w, "attn_out", D, w->delta);
        observe(w, "ffn_norm", D, w->h);
        ahead(w, &l->w_down, NULL, NULL);
        multiply(w, &l->w_gate, w->gate, &l->w_up, w->up, NULL, NULL); /* gate, up (n, F) */

        set_acts(w, w->hidden, n, F, &l->w_down, NULL, NULL);
        each_row(w, swiglu_row); /* hidden (n, F) = silu(gate)*up */
        observe(w, "ffn_hidden", F, w->hidden);
        if (w->layer + 1 < m->info.n_layers)
            ahead(w, &l[1].wq, &l[1].wk, &l[1].wv);
        else
            ahead(w, &m->output, NULL, NULL);
        multiply(w, &l->w_down, w->delta, NULL, NULL, NULL, NULL); /* delta (n, D) */
        each_row(w, after_ffn_row);                                /* x += delta */
        observe(w, "ffn_out", D, w->delta);
        observe(w, "layer_out", D, w->x);

        int rc = check(w, err);
        if (rc) return rc;
    }
    w->layer = -1;
    return output(w, logits, err); /* logits (wanted, n_vocab) */
}
