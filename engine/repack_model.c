/* repack_model.c - interleaves the weights of a model when it is opened (repack.h has the layout). All
 * threads work on one piece at a time; then the piece's pages of the file are given back, so that the process
 * never holds much more than the weights once. */
#include "simd/simd.h"

#include "base/allowance.h"
#include "base/pool.h"
#include "engine/experts.h"
#include "gguf/gguf.h"
#include "ref/model.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { PIECE = 32 << 20, ROWS_PER_TASK = 4 * VB_LANES, ALIGN = 4096 };

typedef struct job {
    vb_pack_fn *pack;
    const vb_matrix *w;
    uint8_t *to;     /* of the whole matrix */
    int first, last; /* rows of the piece */
} job;

static void pack_task(void *arg, int index, int worker) {
    (void)worker;
    const job *j = arg;
    const size_t blocks = j->w->row_bytes / (size_t)vb_type_block_bytes((int)j->w->type);
    const int from = j->first + index * ROWS_PER_TASK;
    const int to = j->last - from < ROWS_PER_TASK ? j->last : from + ROWS_PER_TASK;
    for (int row = from; row < to; row += VB_LANES)
        j->pack(j->w, row, 0, blocks, j->to + (size_t)row * j->w->row_bytes);
}

typedef struct repack {
    vb_model *m;
    const vb_repack_params *p;
    vb_pool *pool;
    vb_pack_fn *pack;
    uint64_t done;
} repack;

static uint64_t aligned(uint64_t n) {
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

static int pack_matrix(repack *r, vb_matrix *w, uint8_t *to, vb_error *err) {
    const int64_t most = PIECE / (int64_t)w->row_bytes / ROWS_PER_TASK * ROWS_PER_TASK;
    const int step = (int)(most < ROWS_PER_TASK ? ROWS_PER_TASK : most);
    for (int row = 0; row < w->rows; row += step) {
        const int last = w->rows - row < step ? w->rows : row + step;
        if (r->p->progress && r->p->progress(r->p->user, r->done, r->m->packed_bytes))
            return vb_fail(err, VB_ERR_CANCELLED, "cancelled");
        job j = {.pack = r->pack, .w = w, .to = to, .first = row, .last = last};
        vb_pool_run(r->pool, (last - row + ROWS_PER_TASK - 1) / ROWS_PER_TASK, pack_task, &j);
        const size_t bytes = (size_t)(last - row) * w->row_bytes;
        vb_gguf_release(r->m->gguf, w->data + (size_t)row * w->row_bytes, bytes);
        r->done += bytes;
    }
    return VB_OK;
}

/* The last call, with everything done. */
static int finish(const repack *r, vb_error *err) {
    if (r->p->progress && r->p->progress(r->p->user, r->m->packed_bytes, r->m->packed_bytes))
        return vb_fail(err, VB_ERR_CANCELLED, "cancelled");
    return VB_OK;
}

static void unmap(void *p, uint64_t bytes) {
    munmap(p, (size_t)bytes);
}

/* A copy for which there is no room is not an allocation that fails: the system kills the program, or another
 * one, when the pages are written. So it is asked before. */
static int check_room(uint64_t bytes, uint64_t reserve, vb_error *err) {
    const double mb = 1e-6;
    const uint64_t left = vb_memory_left("");
    if (left >= bytes && left - bytes >= reserve) return VB_OK;
    char besides[48] = "";
    if (reserve) snprintf(besides, sizeof besides, " beside %.0f MB for the rest", mb * (double)reserve);
    return vb_fail(err, VB_ERR_MEMORY,
                   "a copy of %.0f MB to interleave them does not fit%s: the machine, the control groups and "
                   "the limits of this process leave %.0f MB",
                   mb * (double)bytes, besides, mb * (double)left);
}

/* What is left for copies of experts beside these and the rest: what does not fit stays as mapped. */
static uint64_t room_beside(uint64_t bytes, uint64_t reserve) {
    const uint64_t left = vb_memory_left("");
    return left - bytes - reserve; /* check_room */
}

/* Pages of 2 MiB where the system has them: fewer misses of the TLB. */
static int reserve(vb_model *m, uint64_t bytes, vb_error *err) {
    void *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return vb_fail(err, VB_ERR_MEMORY, "out of memory (%llu bytes for a copy to interleave them)",
                       (unsigned long long)bytes);
#ifdef MADV_HUGEPAGE
    madvise(p, (size_t)bytes, MADV_HUGEPAGE);
#endif
    m->packed = p;
    m->packed_bytes = bytes;
    m->free_packed = unmap;
    return VB_OK;
}

static int pack_all(repack *r, vb_error *err) {
    uint64_t at = 0;
    vb_matrix *w;
    for (int i = 0; (w = vb_model_matrix(r->m, i)) != NULL; i++) {
        const size_t bytes = vb_packed_bytes(w);
        if (!bytes) continue;
        uint8_t *to = (uint8_t *)r->m->packed + at;
        const int rc = pack_matrix(r, w, to, err);
        if (rc) return rc;
        w->packed = to;
        at += aligned(bytes);
    }
    return finish(r, err);
}

static void forget(vb_model *m) {
    vb_matrix *w;
    for (int i = 0; (w = vb_model_matrix(m, i)) != NULL; i++) w->packed = NULL;
    if (m->packed) m->free_packed(m->packed, m->packed_bytes);
    m->packed = NULL;
    m->packed_bytes = 0;
    if (m->expert_copies) m->free_expert_copies(m->expert_copies);
    m->expert_copies = NULL;
}

int vb_model_repack(vb_model *m, const vb_repack_params *p, vb_error *err) {
    vb_begin(err);
    static const vb_repack_params defaults = {0};
    repack r = {.m = m, .p = p ? p : &defaults};
    const vb_kernels *kernels = NULL;
    int rc = vb_kernels_choose(r.p->kernels, &kernels, err);
    if (rc) return rc;
    if (r.p->threads < 0)
        return vb_fail(err, VB_ERR_ARGUMENT, "threads is %d, must be 0 or more", r.p->threads);
    if (m->packed || m->expert_copies)
        return vb_fail(err, VB_ERR_ARGUMENT, "the weights of this model are interleaved already");
    r.pack = vb_packer(kernels);
    uint64_t bytes = 0;
    const vb_matrix *w;
    for (int i = 0; (w = vb_model_matrix(m, i)) != NULL; i++) bytes += aligned(vb_packed_bytes(w));
    if (!r.pack || !(bytes | vb_experts_packed_bytes(m))) return VB_OK;
    if ((rc = check_room(bytes, r.p->reserve, err)) != 0) return rc;
    if ((rc = vb_experts_pack_by_use(m, r.pack, room_beside(bytes, r.p->reserve), err)) != 0) return rc;
    if (!bytes) return finish(&r, err);
    const int threads = r.p->threads ? r.p->threads : vb_physical_cores();
    if (threads > 1) rc = vb_pool_open(&r.pool, threads, err);
    if (rc == VB_OK) rc = reserve(m, bytes, err);
    if (rc == VB_OK) rc = pack_all(&r, err);
    if (rc) forget(m);
    vb_pool_close(r.pool);
    return rc;
}

uint64_t vb_model_packed_bytes(const vb_model *m) {
    return m->packed_bytes;
}
