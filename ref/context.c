/* context.c - one sequence: its cache of keys and values, and the calls that extend and shorten it. */
#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t on the stack */
#include "context.h"

#include "mathf.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { DEFAULT_CONTEXT = 4096, DEFAULT_BATCH = 64, MAX_BATCH = 4096, MAX_THREADS = 256 };

void vb_context_defaults(vb_context_params *p) {
    *p = (vb_context_params){.kv_type = VB_F16};
}

/* ---------------------------------------------------------------------- opening and closing */

static int check_params(vb_context_params *p, const vb_model_info *i, vb_error *err) {
    if (p->n_ctx == 0) p->n_ctx = i->n_ctx < DEFAULT_CONTEXT ? i->n_ctx : DEFAULT_CONTEXT;
    if (p->n_ctx < 1 || p->n_ctx > i->n_ctx)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "n_ctx is %d, must be 1 to %d, the context this model was trained for", p->n_ctx,
                       i->n_ctx);
    if (p->n_threads == 0) {
        p->n_threads = vb_physical_cores();
        if (p->n_threads > MAX_THREADS) p->n_threads = MAX_THREADS;
    }
    if (p->n_threads < 1 || p->n_threads > MAX_THREADS)
        return vb_fail(err, VB_ERR_ARGUMENT, "n_threads is %d, must be 1 to %d", p->n_threads, MAX_THREADS);
    if (p->batch == 0) p->batch = DEFAULT_BATCH;
    if (p->batch < 1 || p->batch > MAX_BATCH)
        return vb_fail(err, VB_ERR_ARGUMENT, "batch is %d, must be 1 to %d", p->batch, MAX_BATCH);
    if (p->activations != VB_ACT_Q8 && p->activations != VB_ACT_Q16)
        return vb_fail(err, VB_ERR_ARGUMENT, "activations is %d, must be VB_ACT_Q8 or VB_ACT_Q16",
                       (int)p->activations);
    if (p->kv_type != VB_F16 && p->kv_type != VB_F32)
        return vb_fail(err, VB_ERR_ARGUMENT, "kv_type is %d, must be VB_F16 or VB_F32", (int)p->kv_type);
    return VB_OK;
}

/* calloc takes large blocks from the system as pages that cost nothing until they are written, so a long
 * context costs what is used of it. */
static int open_cache(vb_context *c, vb_error *err) {
    const vb_model_info *i = &c->model->info;
    uint64_t values = (uint64_t)i->n_layers, bytes;
    const uint64_t size = c->params.kv_type == VB_F32 ? sizeof(float) : sizeof(uint16_t);
    if (!vb_mul_u64(values, (uint64_t)i->n_kv_heads, &values) ||
        !vb_mul_u64(values, (uint64_t)c->params.n_ctx, &values) ||
        !vb_mul_u64(values, (uint64_t)i->head_dim, &values) || !vb_mul_u64(values, 2 * size, &bytes) ||
        bytes > SIZE_MAX / 2)
        return vb_fail(err, VB_ERR_MEMORY, "the KV cache is too large: ask for a smaller n_ctx");
    c->cache.type = c->params.kv_type;
    c->cache.n_ctx = c->params.n_ctx;
    int rc = vb_alloc(&c->cache.k, (size_t)values, size, "the KV cache (a smaller n_ctx needs less)", err);
    if (rc == VB_OK)
        rc = vb_alloc(&c->cache.v, (size_t)values, size, "the KV cache (a smaller n_ctx needs less)", err);
    c->cache_bytes = bytes;
    return rc;
}

/* Room for `rows` rows of logits; what is there stays. */
static int reserve_logits(vb_context *c, size_t rows, vb_error *err) {
    if (rows <= c->logits_rows) return VB_OK;
    const size_t V = (size_t)c->model->info.n_vocab;
    if (rows > SIZE_MAX / sizeof(float) / V)
        return vb_fail(err, VB_ERR_MEMORY, "logits of %zu tokens are too many: want fewer per call", rows);
    float *p = realloc(c->logits, rows * V * sizeof *p);
    if (!p)
        return vb_fail(err, VB_ERR_MEMORY, "out of memory (%zu bytes for the logits of %zu tokens)",
                       rows * V * sizeof *p, rows);
    c->logits = p;
    c->logits_rows = rows;
    return VB_OK;
}

int vb_context_open(vb_context **out, const vb_model *m, const vb_context_params *p, vb_error *err) {
    vb_context *c = NULL;
    int rc = vb_alloc((void **)&c, 1, sizeof *c, "the context", err);
    if (rc) return rc;
    c->model = m;
    vb_context_defaults(&c->params);
    if (p) c->params = *p;
    if ((rc = check_params(&c->params, &m->info, err)) != 0) goto cleanup;
    if ((rc = vb_kernels_choose(c->params.kernels, &c->kernels, err)) != 0) goto cleanup;
    c->params.kernels = c->kernels->name;
    if ((rc = open_cache(c, err)) != 0) goto cleanup;
    if (c->params.n_threads > 1 && (rc = vb_pool_open(&c->pool, c->params.n_threads, err)) != 0) goto cleanup;
    vb_workspace_params wp = {.kernels = c->kernels,
                              .pool = c->pool,
                              .max_rows = c->params.batch,
                              .n_ctx = c->params.n_ctx,
                              .planes = c->params.activations == VB_ACT_Q16 ? 2 : 1,
                              .cancel = c->params.cancel,
                              .observe = c->params.observe,
                              .user = c->params.user};
    if (c->params.offload) {
        rc = vb_offload_session_open(&c->offload, c->params.offload, m, &wp, c->params.offload_width,
                                     c->params.offload_check_all, err);
        if (rc) goto cleanup;
        wp.offload = vb_offload_session_hook(c->offload);
    }
    if ((rc = vb_workspace_open(&c->workspace, m, &wp, err)) != 0) goto cleanup;
    rc = vb_alloc((void **)&c->rows, (size_t)c->params.batch, sizeof *c->rows, "the context", err);
    if (rc) goto cleanup;
    rc = vb_alloc((void **)&c->slot, (size_t)c->params.n_ctx, sizeof *c->slot, "the context", err);
    if (rc) goto cleanup;
    if ((rc = reserve_logits(c, 1, err)) != 0) goto cleanup;
    *out = c;
    c = NULL;
cleanup:
    vb_context_close(c);
    return rc;
}

void vb_context_close(vb_context *c) {
    if (!c) return;
    vb_workspace_close(c->workspace);
    vb_offload_session_close(c->offload);
    vb_pool_close(c->pool);
    free(c->cache.k);
    free(c->cache.v);
    free(c->rows);
    free(c->slot);
    free(c->logits);
    free(c);
}

/* ---------------------------------------------------------------------- what it is */

const vb_model *vb_context_model(const vb_context *c) {
    return c->model;
}
int vb_context_size(const vb_context *c) {
    return c->params.n_ctx;
}
int vb_context_length(const vb_context *c) {
    return c->length;
}
const char *vb_context_kernels(const vb_context *c) {
    return c->kernels->name;
}
int vb_context_threads(const vb_context *c) {
    return c->params.n_threads;
}

const vb_offload *vb_context_offload(const vb_context *c) {
    return c->params.offload;
}
void vb_context_offload_stats(const vb_context *c, vb_offload_stats *out) {
    *out = (vb_offload_stats){0};
    if (c->offload) vb_offload_session_stats(c->offload, out);
}

uint64_t vb_context_bytes(const vb_context *c) {
    return sizeof *c + c->cache_bytes + vb_workspace_bytes(c->workspace) +
           (c->offload ? vb_offload_session_bytes(c->offload) : 0) +
           (uint64_t)c->params.batch * sizeof *c->rows + (uint64_t)c->params.n_ctx * sizeof *c->slot +
           (uint64_t)c->logits_rows * (uint64_t)c->model->info.n_vocab * sizeof *c->logits;
}

/* ---------------------------------------------------------------------- evaluating */

static bool is_wanted(const uint8_t *want, size_t n, size_t i) {
    return want ? want[i] != 0 : i == n - 1;
}

static int check_tokens(const vb_context *c, const int32_t *tokens, size_t n, vb_error *err) {
    if (n == 0) return vb_fail(err, VB_ERR_ARGUMENT, "no tokens to evaluate");
    if (n > (size_t)(c->params.n_ctx - c->length))
        return vb_fail(err, VB_ERR_FULL, "the context holds %d of %d positions, %zu more do not fit",
                       c->length, c->params.n_ctx, n);
    for (size_t i = 0; i < n; i++) {
        if (tokens[i] < 0 || tokens[i] >= c->model->info.n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT, "token %zu is %d, must be 0 to %d", i, (int)tokens[i],
                           c->model->info.n_vocab - 1);
    }
    return VB_OK;
}

/* Tokens [first, first + n) of the call in one piece; `row` is the first free row of logits. */
static int eval_piece(vb_context *c, const int32_t *tokens, size_t first, int n, size_t row, vb_error *err) {
    for (int i = 0; i < n; i++)
        c->rows[i] = (vb_row){.token = tokens[first + (size_t)i],
                              .position = c->length + (int)first + i,
                              .want = c->slot[first + (size_t)i] >= 0,
                              .cache = &c->cache};
    return vb_forward(c->workspace, c->rows, n, c->logits + row * (size_t)c->model->info.n_vocab, err);
}

int vb_eval(vb_context *c, const int32_t *tokens, size_t n, const uint8_t *want, vb_error *err) {
    int rc = check_tokens(c, tokens, n, err);
    if (rc) return rc;
    size_t wanted = 0;
    for (size_t i = 0; i < n; i++) wanted += is_wanted(want, n, i);
    rc = reserve_logits(c, wanted, err);
    if (rc) return rc;
    int32_t row = 0;
    for (size_t i = 0; i < n; i++) c->slot[i] = is_wanted(want, n, i) ? row++ : -1;

    c->slots = 0; /* whatever happens now, the logits of the last call are gone */
    size_t done = 0, rows_done = 0;
    while (done < n && rc == VB_OK) {
        const size_t left = n - done;
        const int piece = left < (size_t)c->params.batch ? (int)left : c->params.batch;
        rc = eval_piece(c, tokens, done, piece, rows_done, err);
        for (int i = 0; i < piece; i++) rows_done += c->rows[i].want;
        done += (size_t)piece;
    }
    if (rc) return rc;
    c->slots = n;
    c->length += (int)n;
    return VB_OK;
}

const float *vb_logits(const vb_context *c, size_t i) {
    if (i >= c->slots || c->slot[i] < 0) return NULL;
    return c->logits + (size_t)c->slot[i] * (size_t)c->model->info.n_vocab;
}

int vb_context_truncate(vb_context *c, int n, vb_error *err) {
    if (n < 0 || n > c->length)
        return vb_fail(err, VB_ERR_ARGUMENT, "cannot truncate to %d positions, the context holds %d", n,
                       c->length);
    c->length = n; /* a position's keys and values never depend on later ones: nothing to undo (P4) */
    return VB_OK;
}

/* Over all layers: over all kv_heads their keys at positions 0 .. length-1, then likewise their values; the
 * bytes as they lie in the cache, little endian. The capacity of the cache does not show. */
void vb_context_hash(const vb_context *c, uint8_t hash[16]) {
    const vb_model_info *i = &c->model->info;
    const size_t value = c->cache.type == VB_F32 ? sizeof(float) : sizeof(uint16_t);
    const size_t row = (size_t)i->head_dim * value, used = (size_t)c->length * row;
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    for (size_t layer = 0; layer < (size_t)i->n_layers; layer++) {
        for (int side = 0; side < 2; side++) {
            const char *from = side == 0 ? c->cache.k : c->cache.v;
            for (size_t h = 0; h < (size_t)i->n_kv_heads; h++) {
                const size_t first = (layer * (size_t)i->n_kv_heads + h) * (size_t)c->cache.n_ctx;
                XXH3_128bits_update(&state, from + first * row, used);
            }
        }
    }
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    memcpy(hash, canonical.digest, 16);
}

/* l_id - max - log(sum_i exp(l_i - max)), i ascending. */
double vb_logprob(const float *logits, int n_vocab, int32_t id) {
    float max = logits[0];
    for (int i = 1; i < n_vocab; i++) {
        if (logits[i] > max) max = logits[i];
    }
    double sum = 0.0;
    for (int i = 0; i < n_vocab; i++) sum = sum + vb_exp((double)logits[i] - (double)max);
    return ((double)logits[id] - (double)max) - vb_log(sum);
}
