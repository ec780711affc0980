/* attention.c - half a layer: heads look at the positions up to their own.
 *
 * References: RoPE: Su et al. 2104.09864; grouped-query attention: Ainslie et al. 2305.13245; the order of
 * operations: docs/numerics.md. */
#include "ref/pass.h"

static void norm_row(vb_pass *p, int row, int worker) {
    (void)worker;
    const vb_layer *l = &p->m->layers[p->layer];
    vb_pass_normalize(p, p->x + (size_t)row * (size_t)p->m->info.dim, l->attn_norm, l->attn_norm_bias, row);
}

/* One head's key or value to its place in the cache. */
static void store(vb_pass *p, const vb_row *r, int kv_head, const float *from, vb_type type, void *cache) {
    const int n = r->cache->head_dim;
    char *to = (char *)cache + vb_cache_row(r->cache, type, p->layer, kv_head, r->slot);
    if (!vb_all_below(from, (size_t)n, VB_BITS_INFINITE)) {
        p->run.fail(p, VB_PASS_NOT_FINITE);
        return;
    }
    if (!vb_all_below(from, (size_t)n, vb_kv_limit(type))) {
        p->run.fail(p, VB_PASS_KV_RANGE);
        return;
    }
    if (type == VB_F16)
        p->kernels->to_half(from, n, (uint16_t *)(void *)to);
    else
        vb_kv_store(type, from, n, to);
}

/* RMSNorm over each of `heads` heads, in place. */
static void norm_heads(vb_pass *p, const float *weight, int heads, int head_dim, float *x) {
    if (!weight) return;
    const size_t n = (size_t)head_dim;
    if (!vb_all_below(x, (size_t)heads * n, VB_BITS_NORM_LIMIT)) p->run.fail(p, VB_PASS_NOT_FINITE);
    for (size_t h = 0; h < (size_t)heads; h++)
        p->kernels->rmsnorm(x + h * n, weight, head_dim, p->m->eps, x + h * n);
}

/* Biases, norms over heads, RoPE; then keys and values go to the cache. */
static void qkv_row(vb_pass *p, int row, int worker) {
    (void)worker;
    const vb_attn *a = &p->m->layers[p->layer].attn;
    const vb_rope *rope = &p->m->ropes[a->rope];
    const vb_row *r = &p->rows[row];
    const int H = a->n_heads, G = a->n_kv_heads, n = a->head_dim;
    const size_t t = (size_t)row, step = (size_t)n;
    float *q = p->q + t * (size_t)H * step, *k = p->k + t * (size_t)G * step,
          *v = p->v + t * (size_t)G * step;
    vb_pass_add_bias(p, a->bq, H * n, q);
    vb_pass_add_bias(p, a->bk, G * n, k);
    vb_pass_add_bias(p, a->bv, G * n, v);
    norm_heads(p, a->q_norm, a->norm_whole ? 1 : H, a->norm_whole ? H * n : n, q);
    norm_heads(p, a->k_norm, a->norm_whole ? 1 : G, a->norm_whole ? G * n : n, k);
    const size_t angles = vb_pass_angles(p, a->rope, row);
    const float *cosine = p->cosine + angles, *sine = p->sine + angles;
    p->kernels->rope(q, H, n, rope->rot, rope->halves, cosine, sine);
    p->kernels->rope(k, G, n, rope->rot, rope->halves, cosine, sine);
    /* Rounded in attention, where nothing can fail. */
    if (r->cache->k_type == VB_Q8I && !vb_all_below(q, (size_t)H * step, VB_BITS_INFINITE))
        p->run.fail(p, VB_PASS_NOT_FINITE);
    for (int h = 0; h < G; h++) {
        store(p, r, h, k + (size_t)h * step, r->cache->k_type, r->cache->k);
        store(p, r, h, v + (size_t)h * step, r->cache->v_type, r->cache->v);
    }
}

/* A row sees its own position and those before it, as far as the window reaches. */
static vb_attention_row seen_by(const vb_pass *p, int row, int kv_head, int index, vb_pass_scores s) {
    const vb_attn *a = &p->m->layers[p->layer].attn;
    const vb_row *r = &p->rows[row];
    const size_t group = (size_t)(a->n_heads / a->n_kv_heads), n = (size_t)a->head_dim;
    const size_t at = ((size_t)row * (size_t)a->n_heads + (size_t)kv_head * group) * n;
    return (vb_attention_row){
        .q = p->q + at,
        .scores = s.scores + (size_t)index * group * s.ld,
        .sums = s.sums + (size_t)index * group,
        .out = p->heads + at,
        .first = a->window && r->position >= a->window ? r->position + 1 - a->window : 0,
        .n = r->position + 1,
        .path = r->path,
    };
}

vb_attention vb_pass_attention(const vb_pass *p, int row0, int row1, int kv_head, vb_pass_scores s,
                               vb_attention_row *rows) {
    const vb_attn *a = &p->m->layers[p->layer].attn;
    const vb_cache *c = p->rows[row0].cache;
    for (int row = row0; row < row1; row++) rows[row - row0] = seen_by(p, row, kv_head, row - row0, s);
    return (vb_attention){
        .k = (const char *)c->k + vb_cache_row(c, c->k_type, p->layer, kv_head, 0),
        .v = (const char *)c->v + vb_cache_row(c, c->v_type, p->layer, kv_head, 0),
        .k_stride = vb_cache_row_bytes(c, c->k_type),
        .v_stride = vb_cache_row_bytes(c, c->v_type),
        .k_type = c->k_type,
        .v_type = c->v_type,
        .heads = a->n_heads / a->n_kv_heads,
        .head_dim = a->head_dim,
        .scale = a->scale,
        .sinks = a->sinks ? a->sinks + (size_t)kv_head * (size_t)(a->n_heads / a->n_kv_heads) : NULL,
        .base = p->rows[row0].base,
        .n_rows = row1 - row0,
        .rows = rows,
        .ld = s.ld,
    };
}

void vb_attention_part(vb_pass *p) {
    const vb_attn *a = &p->m->layers[p->layer].attn;
    const int D = p->m->info.dim, Q = a->n_heads * a->head_dim, K = a->n_kv_heads * a->head_dim;
    const vb_stage *qkv = vb_pass_stage(p, 0), *out = vb_pass_stage(p, 1);

    vb_pass_input(p, p->h, p->n, D, qkv);
    p->run.each(p, p->n, norm_row); /* h (n, D) = norm(x) */
    vb_pass_observe(p, "attn_norm", D, p->h);
    p->run.multiply(p, qkv, (float *const[]){p->q, p->k, p->v}); /* q (n, Q), k (n, K), v (n, K) */
    p->run.each(p, p->n, qkv_row);                               /* biases, norms, RoPE, cache */
    vb_pass_observe(p, "q", Q, p->q);
    vb_pass_observe(p, "k", K, p->k);
    vb_pass_observe(p, "v", K, p->v);

    p->run.attend(p); /* heads (n, Q) */
    vb_pass_observe(p, "heads", Q, p->heads);
    vb_pass_input(p, p->heads, p->n, Q, out);
    p->run.each(p, p->n, vb_pass_quantize);
    p->run.multiply(p, out, &p->delta); /* delta (n, D) */
}
