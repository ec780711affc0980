/* experts.c - experts are most of a mixture's weights, and a text may never choose some of them. So nobody
 * reads an expert before a token goes through it: then its blocks are checked, as those of other matrices are
 * when the model is opened, and it is interleaved for the SIMD kernels if repacking was asked for and there
 * is room. What has not been used costs no memory and no time.
 *
 * A model is shared by contexts on several threads: who finds an expert that is not ready makes it so while
 * the others that need one wait (base/once.h). */
#include "engine/experts.h"

#include "gguf/formats.h"
#include "gguf/gguf.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { ALIGN = 4096, MATRICES = 3, MOST_AT_ONCE = 64 };

static uint64_t aligned(uint64_t n) {
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static vb_matrix *matrix_of(const vb_experts *x, int expert, int i) {
    vb_matrix *const all[MATRICES] = {x->w_gate, x->w_up, x->w_down};
    return &all[i][expert];
}

typedef struct job {
    const vb_model *m;
    const vb_experts *x;
    int ids[MOST_AT_ONCE];
    uint8_t *to[MOST_AT_ONCE][MATRICES]; /* NULL: stays as mapped */
    int n;
    atomic_int damaged; /* one more than the task that found it; 0: none */
} job;

static void prepare_task(void *arg, int index, int worker) {
    (void)worker;
    job *j = arg;
    const int i = index / MATRICES, which = index % MATRICES;
    vb_matrix *w = matrix_of(j->x, j->ids[i], which);
    const uint64_t bytes = (uint64_t)w->rows * w->row_bytes;
    uint8_t *to = j->to[i][which];
    int none = 0;
    if (vb_check_weights(j->m, w->data, bytes, NULL)) {
        atomic_compare_exchange_strong(&j->damaged, &none, index + 1);
        return;
    }
    if (!to) return;
    const size_t blocks = w->row_bytes / (size_t)vb_type_block_bytes((int)w->type);
    for (int row = 0; row < w->rows; row += VB_LANES)
        j->m->expert_copies->pack(w, row, 0, blocks, to + (size_t)row * w->row_bytes);
    vb_gguf_release(j->m->gguf, w->data, bytes);
    w->packed = to; /* seen by others after vb_once_done */
}

/* Places for the copies of an expert, if all of it fits. */
static void place(const vb_model *m, const vb_experts *x, int expert, uint8_t *to[MATRICES]) {
    struct vb_expert_copies *c = m->expert_copies;
    uint64_t bytes = 0;
    for (int i = 0; i < MATRICES; i++) to[i] = NULL;
    for (int i = 0; i < MATRICES; i++) bytes += aligned(vb_packed_bytes(matrix_of(x, expert, i)));
    if (!c || bytes > c->room - c->used) return;
    for (int i = 0; i < MATRICES; i++) {
        const uint64_t size = vb_packed_bytes(matrix_of(x, expert, i));
        if (!size) continue;
        to[i] = c->to + c->used;
        c->used += aligned(size);
    }
}

/* The experts of j, which the caller alone is making ready. */
static int prepare(job *j, vb_pool *pool, vb_error *err) {
    atomic_store(&j->damaged, 0);
    vb_pool_run(pool, j->n * MATRICES, prepare_task, j);
    const int damaged = atomic_load(&j->damaged);
    if (damaged) {
        const int i = (damaged - 1) / MATRICES;
        const vb_matrix *w = matrix_of(j->x, j->ids[i], (damaged - 1) % MATRICES);
        return vb_check_weights(j->m, w->data, (uint64_t)w->rows * w->row_bytes, err);
    }
    for (int i = 0; i < j->n; i++) vb_once_done(j->m->experts_ready, j->x->first + (size_t)j->ids[i]);
    j->n = 0;
    return VB_OK;
}

int vb_experts_prepare(const vb_model *m, const vb_experts *x, const int32_t *ids, int n, vb_pool *pool,
                       vb_error *err) {
    job j = {.m = m, .x = x};
    int i = 0, rc = VB_OK;
    while (i < n && vb_once_is(m->experts_ready, x->first + (size_t)ids[i])) i++;
    if (i == n) return VB_OK;
    vb_once_enter(m->experts_ready);
    for (; i < n && rc == VB_OK; i++) {
        if (vb_once_is(m->experts_ready, x->first + (size_t)ids[i])) continue;
        j.ids[j.n] = ids[i];
        place(m, x, ids[i], j.to[j.n++]);
        if (j.n == MOST_AT_ONCE) rc = prepare(&j, pool, err);
    }
    if (rc == VB_OK && j.n > 0) rc = prepare(&j, pool, err);
    vb_once_leave(m->experts_ready);
    return rc;
}

/* ---------------------------------------------------------------------- copies */

uint64_t vb_experts_packed_bytes(const vb_model *m) {
    uint64_t bytes = 0;
    for (int layer = 0; layer < m->info.n_layers; layer++) {
        const vb_experts *x = &m->layers[layer].ffn.experts;
        uint64_t one = 0;
        for (int i = 0; i < MATRICES && x->n; i++) one += aligned(vb_packed_bytes(matrix_of(x, 0, i)));
        bytes += one * (uint64_t)x->n;
    }
    return bytes;
}

static void free_copies(struct vb_expert_copies *c) {
    munmap(c->to, (size_t)c->bytes);
    free(c);
}

int vb_experts_pack_by_use(vb_model *m, vb_pack_fn *pack, uint64_t room, vb_error *err) {
    struct vb_expert_copies *c = NULL;
    const uint64_t bytes = vb_experts_packed_bytes(m);
    if (bytes == 0 || room == 0) return VB_OK;
    void *to =
        mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (to == MAP_FAILED)
        return vb_fail(err, VB_ERR_MEMORY, "out of memory (%llu bytes of addresses for copies of experts)",
                       (unsigned long long)bytes);
    int rc = vb_alloc((void **)&c, 1, sizeof *c, "copies of experts", err);
    if (rc) {
        munmap(to, (size_t)bytes);
        return rc;
    }
#ifdef MADV_HUGEPAGE
    madvise(to, (size_t)bytes, MADV_HUGEPAGE);
#endif
    *c = (struct vb_expert_copies){
        .pack = pack, .to = to, .bytes = bytes, .room = room < bytes ? room : bytes};
    m->expert_copies = c;
    m->free_expert_copies = free_copies;
    return VB_OK;
}
