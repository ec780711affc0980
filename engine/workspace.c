/* workspace.c - runs the pass that ref/ describes: tasks over threads, products in pieces, the next weights
 * asked for ahead. Nothing here changes a bit (P1): work is split where ref/pass.h allows it. */
#include "engine/workspace.h"

#include "engine/attend.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct vb_workspace {
    vb_pass pass;
    vb_pool *pool;
    vb_attend *attend;
    vb_product_hook offload;
    atomic_int failed; /* a vb_failure */
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
    return w->offload.check ? w->offload.check(w->offload.self, err) : VB_OK;
}

/* Products that read the same vectors, as tasks of `chunk` output rows. */
typedef struct product {
    const vb_pass *pass;
    const vb_stage *stage;
    float *const *y;
    size_t ldy[3];
    int first_task[4];
    int chunk;
} product;

static void product_task(void *arg, int index, int worker) {
    (void)worker;
    const product *p = arg;
    int i = 0;
    while (index >= p->first_task[i + 1]) i++;
    const vb_matrix *matrix = p->stage->w[i];
    const int row0 = (index - p->first_task[i]) * p->chunk;
    const int row1 = matrix->rows - row0 < p->chunk ? matrix->rows : row0 + p->chunk;
    p->pass->kernels->matmul[matrix->type](matrix, &p->pass->acts, row0, row1, p->y[i], p->ldy[i]);
}

/* Rows of a task, when products have `total` rows together: a multiple of 16, small enough that four tasks
 * fall to each thread, as SIMD kernels and slow neighbours like it. */
static int chunk_of(const vb_workspace *w, int64_t total) {
    const int threads = vb_pool_threads(w->pool);
    const int64_t share = threads == 1 ? total : total / (4 * (int64_t)threads);
    return (int)(share < 16 ? 16 : share / 16 * 16);
}

/* While threads wait for the next product, they ask the memory for its first rows. Behind the last stage
 * comes the first one, of the next pass. */
static void ahead(const vb_workspace *w, const vb_stage *now) {
    const vb_model *m = w->pass.m;
    const vb_stage *next = now + 1 < m->stages + m->n_stages ? now + 1 : m->stages;
    int64_t rows = 0;
    for (int i = 0; i < next->n; i++) rows += next->w[i]->rows;
    const vb_matrix *first = next->w[0];
    vb_pool_ahead(w->pool, first->packed ? first->packed : first->data,
                  (size_t)chunk_of(w, rows) * first->row_bytes);
}

static void multiply(vb_pass *pass, const vb_stage *stage, float *const y[]) {
    const vb_workspace *w = pass->run.self;
    product p = {.pass = pass, .stage = stage, .y = y};
    int64_t total = 0;
    bool elsewhere[3] = {false, false, false}; /* computed by the offload hook */
    ahead(w, stage);
    for (int i = 0; i < 3 && i < stage->n; i++) {
        if (w->offload.multiply)
            elsewhere[i] = w->offload.multiply(w->offload.self, stage->w[i], &pass->acts, y[i]);
        if (!elsewhere[i]) total += stage->w[i]->rows;
    }
    p.chunk = chunk_of(w, total);
    for (int i = 0; i < 3; i++) {
        const int rows = i < stage->n && !elsewhere[i] ? stage->w[i]->rows : 0;
        p.ldy[i] = (size_t)rows;
        p.first_task[i + 1] = p.first_task[i] + (rows + p.chunk - 1) / p.chunk;
    }
    vb_pool_run(w->pool, p.first_task[3], product_task, &p);
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
                        .run = {w, each, multiply, attend, fail, check},
                        .cancel = params->cancel,
                        .observe = params->observe,
                        .user = params->user};
    if ((rc = vb_attend_open(&w->attend, m, params->max_rows, params->n_ctx, vb_pool_threads(w->pool),
                             err)) != 0 ||
        (rc = grab_all(w, (size_t)params->max_rows, err)) != 0) {
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
    free(p->acts_q);
    free(p->acts_sum16);
    vb_attend_close(w->attend);
    free(w);
}

uint64_t vb_workspace_bytes(const vb_workspace *w) {
    return w->bytes + vb_attend_bytes(w->attend);
}

int vb_workspace_forward(vb_workspace *w, const vb_row *rows, int n, float *logits, vb_error *err) {
    atomic_store(&w->failed, (int)VB_PASS_FINE);
    return vb_forward(&w->pass, rows, n, logits, err);
}
