/* workspace.c - runs the pass that ref/ describes: tasks over threads, products in pieces, the next weights
 * asked for ahead. Nothing here changes a bit (P1): work is split where ref/pass.h allows it. */
#include "engine/workspace.h"

#include "engine/attend.h"
#include "engine/experts.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct vb_workspace {
    vb_pass pass;
    vb_pool *pool;
    vb_attend *attend;
    vb_product_hook offload;
    atomic_int failed;     /* a vb_failure */
    int *first_task;       /* of each of the products of a job */
    vb_error expert_error; /* of the experts that the present call was the first to use */
    uint64_t bytes;
};

/* ---------------------------------------------------------------------- running */

typedef struct task_job {
    vb_pass *pass;
    vb_pass_task task;
} task_job;

static void run_task(void *arg, int index, int worker) {
    const task_job *job = arg;
    job->task(job->pass, index, worker);
}

static void each(vb_pass *p, int n, vb_pass_task task) {
    const vb_workspace *w = p->run.self;
    task_job job = {p, task};
    vb_pool_run(w->pool, n, run_task, &job);
}

static void attend(vb_pass *p) {
    const vb_workspace *w = p->run.self;
    vb_attend_run(w->attend, p, w->pool);
}

static void fail(vb_pass *p, vb_failure what) {
    vb_workspace *w = p->run.self;
    int nothing = VB_PASS_FINE;
    atomic_compare_exchange_strong(&w->failed, &nothing, (int)what);
}

static int check(vb_pass *p, vb_failure *what, vb_error *err) {
    vb_workspace *w = p->run.self;
    *what = (vb_failure)atomic_load(&w->failed);
    if (w->expert_error.code) return vb_fail(err, w->expert_error.code, "%s", w->expert_error.message);
    return w->offload.check ? w->offload.check(w->offload.self, err) : VB_OK;
}

/* Products as tasks of `chunk` output rows: product i has those from first[i] on. */
typedef struct job {
    const vb_kernels *kernels;
    const vb_product *products;
    const int *first; /* (n + 1) */
    int n, chunk;
} job;

static void product_task(void *arg, int index, int worker) {
    (void)worker;
    const job *j = arg;
    int low = 0, high = j->n; /* first[low] <= index < first[high] */
    while (high - low > 1) {
        const int middle = low + (high - low) / 2;
        if (j->first[middle] <= index)
            low = middle;
        else
            high = middle;
    }
    const vb_product *p = &j->products[low];
    const int row0 = (index - j->first[low]) * j->chunk;
    const int row1 = p->w->rows - row0 < j->chunk ? p->w->rows : row0 + j->chunk;
    j->kernels->matmul[p->w->type](p->w, &p->acts, row0, row1, p->y, (size_t)p->w->rows);
}

/* Rows of a task, when products have `total` rows together: a multiple of 16, small enough that four tasks
 * fall to each thread, as SIMD kernels and slow neighbours like it. */
static int chunk_of(const vb_workspace *w, int64_t total) {
    const int threads = vb_pool_threads(w->pool);
    const int64_t share = threads == 1 ? total : total / (4 * (int64_t)threads);
    const int64_t chunk = share < 16 ? 16 : share / 16 * 16;
    return (int)(chunk < VB_MAX_VOCAB ? chunk : VB_MAX_VOCAB);
}

/* While threads wait for the next product, they ask the memory for its first rows. Behind the last stage
 * comes the first one, of the next pass. */
static void ahead(const vb_workspace *w, const vb_stage *now) {
    const vb_model *m = w->pass.m;
    const vb_stage *next = now;
    do {
        next = next + 1 < m->stages + m->n_stages ? next + 1 : m->stages;
    } while (next->n == 0);
    int64_t rows = 0;
    for (int i = 0; i < next->n; i++) rows += next->w[i]->rows;
    const vb_matrix *first = next->w[0];
    vb_pool_ahead(w->pool, first->packed ? first->packed : first->data,
                  (size_t)chunk_of(w, rows) * first->row_bytes);
}

static void multiply_each(vb_pass *pass, const vb_product *products, int n) {
    const vb_workspace *w = pass->run.self;
    int64_t total = 0;
    for (int i = 0; i < n; i++) total += products[i].w->rows;
    job j = {pass->kernels, products, w->first_task, n, chunk_of(w, total)};
    w->first_task[0] = 0;
    for (int i = 0; i < n; i++)
        w->first_task[i + 1] = w->first_task[i] + (products[i].w->rows + j.chunk - 1) / j.chunk;
    vb_pool_run(w->pool, w->first_task[n], product_task, &j);
}

static void multiply(vb_pass *pass, const vb_stage *stage, float *const y[]) {
    const vb_workspace *w = pass->run.self;
    vb_product here[VB_STAGE_MATRICES];
    int n = 0;
    if (stage->n == 0) return;
    ahead(w, stage);
    for (int i = 0; i < stage->n; i++) {
        const bool elsewhere =
            w->offload.multiply && w->offload.multiply(w->offload.self, stage->w[i], &pass->acts, y[i]);
        if (!elsewhere) here[n++] = (vb_product){stage->w[i], pass->acts, y[i]};
    }
    multiply_each(pass, here, n);
}

static void experts(vb_pass *pass, const int32_t *ids, int n) {
    vb_workspace *w = pass->run.self;
    const vb_experts *x = &pass->m->layers[pass->layer].ffn.experts;
    if (w->expert_error.code == VB_OK) vb_experts_prepare(pass->m, x, ids, n, w->pool, &w->expert_error);
}

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

static size_t larger(size_t a, int b) {
    return a > (size_t)b ? a : (size_t)b;
}

/* What mixtures of experts need, for the largest layer of each kind. */
static int grab_experts(vb_workspace *w, size_t R, vb_error *err) {
    vb_mixture *moe = &w->pass.moe;
    const vb_model *m = w->pass.m;
    const size_t D = (size_t)m->info.dim, S = sizeof(float), I = sizeof(int32_t);
    size_t E = 0, U = 0, X = 0;
    for (int i = 0; i < m->info.n_layers; i++) {
        const vb_experts *x = &m->layers[i].ffn.experts;
        E = larger(E, x->n);
        U = larger(U, x->used);
        X = larger(X, x->dim);
    }
    const size_t first = 2 * E + VB_STAGE_MATRICES + 1;
    int rc = grab(w, &w->first_task, first, 1, sizeof *w->first_task, err);
    if (rc || E == 0) return rc;
    const size_t P = R * U, V = D > X ? D : X, planes = (size_t)w->pass.planes;
    if ((rc = grab(w, &moe->logits, R, E, S, err)) || (rc = grab(w, &moe->weights, R, E, S, err)) ||
        (rc = grab(w, &moe->order, R, E, S, err)) || (rc = grab(w, &moe->chosen, R, U, I, err)) ||
        (rc = grab(w, &moe->pair, R, U, I, err)) || (rc = grab(w, &moe->row, P, 1, I, err)) ||
        (rc = grab(w, &moe->group_of, P, 1, I, err)) ||
        (rc = grab(w, &moe->groups, E, 1, sizeof *moe->groups, err)) ||
        (rc = grab(w, &moe->products, 2, E, sizeof *moe->products, err)) ||
        (rc = grab(w, &moe->ids, E, 1, I, err)) || (rc = grab(w, &moe->in, P, D, S, err)) ||
        (rc = grab(w, &moe->gate, P, X, S, err)) || (rc = grab(w, &moe->up, P, X, S, err)) ||
        (rc = grab(w, &moe->out, P, D, S, err)) || (rc = grab(w, &moe->sum, R, D, S, err)) ||
        (rc = grab(w, &moe->q, planes * P, V, 1, err)) || (rc = grab(w, &moe->d, P, V / 32 + 1, S, err)) ||
        (rc = grab(w, &moe->sum16, P, V / 16 + 1, I, err)))
        return rc;
    return grab(w, &moe->shared, R, 1, S, err);
}

static void free_experts(vb_mixture *moe) {
    void *const all[] = {moe->logits, moe->weights,  moe->order,  moe->chosen,   moe->pair,
                         moe->row,    moe->group_of, moe->groups, moe->products, moe->ids,
                         moe->in,     moe->gate,     moe->up,     moe->out,      moe->sum,
                         moe->q,      moe->d,        moe->sum16,  moe->shared};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static int grab_all(vb_workspace *w, size_t R, vb_error *err) {
    vb_pass *p = &w->pass;
    const vb_model *m = p->m;
    const size_t D = (size_t)m->info.dim, S = sizeof(float);
    size_t Q = 0, K = 0, F = 0, W = 0; /* of the largest layer */
    for (int i = 0; i < m->info.n_layers; i++) {
        const vb_attn *a = &m->layers[i].attn;
        Q = larger(Q, a->n_heads * a->head_dim);
        K = larger(K, a->n_kv_heads * a->head_dim);
        F = larger(F, m->layers[i].ffn.dim);
    }
    for (int i = 0; i < m->n_ropes; i++)
        p->max_pairs = (int)larger((size_t)p->max_pairs, m->ropes[i].rot / 2);
    p->max_rows = (int)R;
    const size_t tables = (size_t)m->n_ropes * R, T = (size_t)p->max_pairs;
    const vb_matrix *matrix;
    for (int i = 0; (matrix = vb_model_matrix(m, i)) != NULL; i++) W = larger(W, matrix->cols);
    W = larger(W, m->info.dim); /* a mixture's experts read it, though no matrix of the stages may */
    const size_t planes = (size_t)p->planes;
    int rc;
    if ((rc = grab(w, &p->x, R, D, S, err)) || (rc = grab(w, &p->h, R, D, S, err)) ||
        (rc = grab(w, &p->q, R, Q, S, err)) || (rc = grab(w, &p->k, R, K, S, err)) ||
        (rc = grab(w, &p->v, R, K, S, err)) || (rc = grab(w, &p->heads, R, Q, S, err)) ||
        (rc = grab(w, &p->delta, R, D, S, err)) || (rc = grab(w, &p->gate, R, F, S, err)) ||
        (rc = grab(w, &p->up, R, F, S, err)) || (rc = grab(w, &p->hidden, R, F, S, err)) ||
        (rc = grab(w, &p->cosine, tables, T, S, err)) || (rc = grab(w, &p->sine, tables, T, S, err)) ||
        (rc = grab(w, &p->acts_q, planes * R, W, 1, err)) ||
        (rc = grab(w, &p->acts_d, R, W / 32 + 1, S, err)))
        return rc;
    return grab(w, &p->acts_sum16, R, W / 16 + 1, sizeof(int32_t), err);
}

int vb_workspace_open(vb_workspace **out, const vb_model *m, const vb_workspace_params *params,
                      vb_error *err) {
    vb_workspace *w = NULL;
    int rc = vb_alloc((void **)&w, 1, sizeof *w, "the workspace", err);
    if (rc) return rc;
    w->pool = params->pool;
    w->offload = params->offload;
    w->bytes = sizeof *w;
    w->pass = (vb_pass){.m = m,
                        .kernels = params->kernels,
                        .planes = params->planes,
                        .run = {w, each, multiply, attend, experts, multiply_each, fail, check},
                        .cancel = params->cancel,
                        .observe = params->observe,
                        .user = params->user};
    rc = vb_attend_open(&w->attend, m, params->max_rows, params->n_ctx, vb_pool_threads(w->pool), err);
    if (rc == VB_OK) rc = grab_all(w, (size_t)params->max_rows, err);
    if (rc == VB_OK) rc = grab_experts(w, (size_t)params->max_rows, err);
    if (rc) {
        vb_workspace_close(w);
        return rc;
    }
    *out = w;
    return VB_OK;
}

void vb_workspace_close(vb_workspace *w) {
    if (!w) return;
    vb_pass *p = &w->pass;
    float *const floats[] = {p->x,    p->h,  p->q,      p->k,      p->v,    p->heads, p->delta,
                             p->gate, p->up, p->hidden, p->cosine, p->sine, p->acts_d};
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) free(floats[i]);
    free_experts(&p->moe);
    free(w->first_task);
    free(p->acts_q);
    free(p->acts_sum16);
    vb_attend_close(w->attend);
    free(w);
}

static uint64_t bytes(const void *self) {
    const vb_workspace *w = self;
    return w->bytes + vb_attend_bytes(w->attend);
}

void vb_workspace_expert_stats(const vb_workspace *w, vb_expert_stats *out) {
    const vb_mixture *moe = &w->pass.moe;
    *out = (vb_expert_stats){.layers = moe->calls, .rows = moe->rows, .experts = moe->used};
}

static int compute(void *self, const vb_pass_span *s, vb_error *err) {
    vb_workspace *w = self;
    atomic_store(&w->failed, (int)VB_PASS_FINE);
    vb_begin(&w->expert_error);
    return vb_forward(&w->pass, s, err);
}

vb_executor vb_workspace_executor(vb_workspace *w) {
    return (vb_executor){.name = "cpu", .self = w, .compute = compute, .bytes = bytes};
}
