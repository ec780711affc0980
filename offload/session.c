/* session.c - a backend at work for one context: which products go to it, in which width, and whether to
 * believe it.
 *
 * P1 and P2 under a backend. `bitwise`: a product has the contract's bits wherever it is computed, so nothing
 * changes and a failure costs time only. `bounded`: bits depend on the backend, and may depend on how many
 * vectors share a call. With a width, every product that the backend accepts is computed on exactly that many
 * vectors (missing ones are zero), and when the context is opened it is tried whether a vector's result
 * depends on its place or its neighbours. Then the same tokens give the same bits however they are cut into
 * calls, relative to this backend and this width. A product that fails on the way would break that, and ends
 * the evaluation with an error. Without a width it is computed by the CPU, and counted. */
#include "offload/session.h"

#include "gguf/half.h"
#include "gguf/unpack.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

enum { CHECK_ROWS = 16 };

typedef struct entry {
    const vb_matrix *matrix; /* NULL: a free place */
    void *handle;
    bool attached;
    bool fixed; /* with a width: the backend takes it, always */
} entry;

struct vb_offload_session {
    vb_offload *o;
    const vb_kernels *kernels;
    vb_pool *pool;
    int planes;
    int width; /* 0: as it comes */
    bool check_all;
    entry *entries; /* (capacity) by address of the matrix, open addressing; capacity is a power of two */
    size_t capacity;
    int max_rows, max_cols, max_outputs;
    float *y, *check; /* (vectors, outputs) */
    float *f, *d;     /* with a width: the padded vectors */
    int8_t *q;
    int32_t *sum16;
    uint64_t counter, bytes;
    vb_offload_stats stats;
    vb_error fault; /* sticky: nothing after it is believed */
};

vb_offload_matrix vb_offload_view(const vb_matrix *w) {
    return (vb_offload_matrix){.type = (int32_t)w->type,
                               .rows = w->rows,
                               .cols = w->cols,
                               .data = w->data,
                               .row_bytes = w->row_bytes};
}

/* --------------------------------------------------------------------------------------------- calling */

static void host_run(const vb_offload_host *host, int32_t n, void (*task)(void *arg, int index, int worker),
                     void *arg) {
    vb_pool_run(host->self, n, task, arg);
}

static void host_dequantize(int32_t type, const void *row, size_t n, float *out) {
    vb_dequantize_row((vb_type)type, row, n, out);
}

/* F32, F16 and BF16 weights never see integers, even where a neighbour needs them. */
static int planes_for(const vb_matrix *w, int planes) {
    return vb_type_is_quantized((int)w->type) ? planes : 0;
}

int vb_offload_call(vb_offload *o, void *handle, const vb_matrix *w, const vb_acts *x, float *y,
                    vb_pool *pool) {
    const vb_offload_matrix view = vb_offload_view(w);
    const int planes = planes_for(w, x->planes);
    const vb_offload_acts acts = {.rows = x->rows,
                                  .cols = x->n,
                                  .planes = planes,
                                  .f = x->f,
                                  .q = planes ? x->q : NULL,
                                  .d = planes ? x->d : NULL,
                                  .sum16 = planes ? x->sum16 : NULL};
    const vb_offload_host host = {.abi = VB_OFFLOAD_ABI,
                                  .size = sizeof host,
                                  .threads = vb_pool_threads(pool),
                                  .run = host_run,
                                  .dequantize = host_dequantize,
                                  .self = pool};
    const int rc = o->backend->multiply(o->self, handle, &view, &acts, y, &host);
    return rc == VB_OFFLOAD_DONE || rc == VB_OFFLOAD_DECLINED ? rc : VB_OFFLOAD_FAILED;
}

/* --------------------------------------------------------------------------------------------- checking */

/* Output rows [row0, row1) of y (x->rows, w->rows), computed again on the CPU. The first that is outside the
 * class becomes the fault. */
static bool believe(vb_offload_session *s, const vb_matrix *w, const vb_acts *x, const float *y, int row0,
                    int row1) {
    const size_t ld = (size_t)w->rows;
    s->kernels->matmul[w->type](w, x, row0, row1, s->check, ld);
    for (int t = 0; t < x->rows; t++) {
        for (int r = row0; r < row1; r++) {
            const size_t at = (size_t)t * ld + (size_t)r;
            if (vb_offload_within(s->o->info.class_, w, x, r, t, y[at], s->check[at], NULL)) continue;
            vb_fail(&s->fault, VB_ERR_NUMERIC,
                    "offload backend %.64s, classed %s, gave %.9g where the CPU gives %.9g (row %d of %d x "
                    "%d %s weights): "
                    "what it computed before may be wrong, too; run without it",
                    s->o->info.name, vb_offload_class_name(s->o->info.class_), (double)y[at],
                    (double)s->check[at], r, w->rows, w->cols, vb_type_name((int)w->type));
            return false;
        }
    }
    return true;
}

/* A few rows of every product, or all of them: another place each time, so that whatever goes wrong in one
 * place and stays wrong is found. */
static bool check_product(vb_offload_session *s, const vb_matrix *w, const vb_acts *x, const float *y) {
    if (s->check_all) return believe(s, w, x, y, 0, w->rows);
    const int groups = (w->rows + CHECK_ROWS - 1) / CHECK_ROWS;
    const uint64_t mixed = ++s->counter * 0x9e3779b97f4a7c15u;
    const int row0 = (int)((mixed >> 33) % (uint64_t)groups) * CHECK_ROWS;
    return believe(s, w, x, y, row0, w->rows - row0 < CHECK_ROWS ? w->rows : row0 + CHECK_ROWS);
}

/* --------------------------------------------------------------------------------------------- the hook */

static entry *find(const vb_offload_session *s, const vb_matrix *w) {
    size_t i = (size_t)((uintptr_t)w / sizeof(void *) * 0x9e3779b1u) & (s->capacity - 1);
    while (s->entries[i].matrix && s->entries[i].matrix != w) i = (i + 1) & (s->capacity - 1);
    return &s->entries[i];
}

/* Vectors [first, first + n) of x in the session's own memory, with zeros up to the width. */
static vb_acts pad(const vb_offload_session *s, const vb_acts *x, int first, int n) {
    const size_t cols = (size_t)x->n, from = (size_t)first, count = (size_t)n, width = (size_t)s->width;
    const size_t empty = width - count;
    memcpy(s->f, x->f + from * cols, count * cols * sizeof *s->f);
    memset(s->f + count * cols, 0, empty * cols * sizeof *s->f);
    for (size_t p = 0; p < (size_t)x->planes; p++) {
        memcpy(s->q + p * width * cols, x->q + (p * (size_t)x->rows + from) * cols, count * cols);
        memset(s->q + (p * width + count) * cols, 0, empty * cols);
    }
    if (x->planes) {
        const size_t g = cols / 32, h = cols / 16;
        memcpy(s->d, x->d + from * g, count * g * sizeof *s->d);
        memset(s->d + count * g, 0, empty * g * sizeof *s->d);
        memcpy(s->sum16, x->sum16 + from * h, count * h * sizeof *s->sum16);
        memset(s->sum16 + count * h, 0, empty * h * sizeof *s->sum16);
    }
    return (vb_acts){
        .rows = s->width, .n = x->n, .planes = x->planes, .f = s->f, .q = s->q, .d = s->d, .sum16 = s->sum16};
}

static int call(vb_offload_session *s, const entry *e, const vb_acts *x) {
    pthread_mutex_lock(&s->o->mutex);
    const int rc = vb_offload_call(s->o, e->handle, e->matrix, x, s->y, s->pool);
    pthread_mutex_unlock(&s->o->mutex);
    return rc;
}

/* In pieces of the width. A piece that fails leaves rubbish in y, and a fault that ends the evaluation. */
static bool multiply_fixed(vb_offload_session *s, const entry *e, const vb_acts *x, float *y) {
    const size_t rows = (size_t)e->matrix->rows;
    if (!e->fixed) {
        s->stats.declined++;
        return false;
    }
    for (int first = 0; first < x->rows; first += s->width) {
        const int n = x->rows - first < s->width ? x->rows - first : s->width;
        const vb_acts piece = pad(s, x, first, n);
        if (call(s, e, &piece) != VB_OFFLOAD_DONE) {
            s->stats.failed++;
            vb_fail(&s->fault, VB_ERR_NUMERIC,
                    "offload backend %.64s did not compute a product that it had accepted (%d x %d %s "
                    "weights); the CPU's "
                    "result would differ from its in the last bits (P2): run without it, or without a width",
                    s->o->info.name, e->matrix->rows, e->matrix->cols, vb_type_name((int)e->matrix->type));
            return false;
        }
        if (!check_product(s, e->matrix, &piece, s->y)) return false;
        memcpy(y + (size_t)first * rows, s->y, (size_t)n * rows * sizeof *y);
    }
    s->stats.computed++;
    return true;
}

static bool multiply_any(vb_offload_session *s, const entry *e, const vb_acts *x, float *y) {
    const vb_offload_matrix view = vb_offload_view(e->matrix);
    const vb_offload_backend *b = s->o->backend;
    if (!e->attached || !b->accepts(s->o->self, &view, x->rows, planes_for(e->matrix, x->planes))) {
        s->stats.declined++;
        return false;
    }
    const int rc = call(s, e, x);
    if (rc != VB_OFFLOAD_DONE) {
        s->stats.declined += rc == VB_OFFLOAD_DECLINED;
        s->stats.failed += rc == VB_OFFLOAD_FAILED;
        return false;
    }
    if (!check_product(s, e->matrix, x, s->y)) return false;
    memcpy(y, s->y, (size_t)x->rows * (size_t)e->matrix->rows * sizeof *y);
    s->stats.computed++;
    return true;
}

static bool hook_multiply(void *self, const vb_matrix *w, const vb_acts *x, float *y) {
    vb_offload_session *s = self;
    const entry *e = find(s, w);
    s->stats.products++;
    if (!e->matrix || s->fault.code) {
        s->stats.declined++;
        return false;
    }
    return s->width ? multiply_fixed(s, e, x, y) : multiply_any(s, e, x, y);
}

static int hook_check(void *self, vb_error *err) {
    const vb_offload_session *s = self;
    return s->fault.code ? vb_fail(err, s->fault.code, "%s", s->fault.message) : VB_OK;
}

vb_product_hook vb_offload_session_hook(vb_offload_session *s) {
    return (vb_product_hook){.self = s, .multiply = hook_multiply, .check = hook_check};
}

/* --------------------------------------------------------------------------------------------- residents */

/* The handle of these weights, made by the first context that needs it. False: they stay with the CPU. */
static bool attach(vb_offload *o, const vb_matrix *w, void **handle) {
    const vb_offload_backend *b = o->backend;
    const vb_offload_matrix view = vb_offload_view(w);
    vb_resident *place = NULL;
    *handle = NULL;
    if (!b->attach) return true;
    for (size_t i = 0; i < o->n_residents; i++) {
        vb_resident *r = &o->residents[i];
        if (!r->data && !place) place = r;
        if (r->data == w->data && r->users > 0) {
            r->users++;
            *handle = r->handle;
            return true;
        }
    }
    if (!place) {
        vb_resident *grown = realloc(o->residents, (o->n_residents + 1) * sizeof *grown);
        if (!grown) return false;
        o->residents = grown;
        place = &grown[o->n_residents++];
        *place = (vb_resident){0};
    }
    if (b->attach(o->self, &view, &place->handle) != 0) return false;
    place->data = w->data;
    place->users = 1;
    *handle = place->handle;
    return true;
}

static void detach(vb_offload *o, const vb_matrix *w) {
    for (size_t i = 0; o->backend->detach && i < o->n_residents; i++) {
        vb_resident *r = &o->residents[i];
        if (r->data != w->data || r->users == 0 || --r->users > 0) continue;
        o->backend->detach(o->self, r->handle);
        *r = (vb_resident){0};
    }
}

/* --------------------------------------------------------------------------------------------- opening */

static void add_matrix(vb_offload_session *s, const vb_matrix *w) {
    entry *e = find(s, w);
    if (e->matrix) return;
    e->matrix = w;
    const int n = s->width ? s->width : s->max_rows, planes = planes_for(w, s->planes);
    const vb_offload_matrix view = vb_offload_view(w);
    const bool accepted = s->o->backend->accepts(s->o->self, &view, n, planes) != 0;
    /* Without a width all numbers of vectors come up: attach what may be accepted at the most of them or for
     * one. */
    if (accepted || (!s->width && s->o->backend->accepts(s->o->self, &view, 1, planes)))
        e->attached = attach(s->o, w, &e->handle);
    e->fixed = accepted && e->attached;
}

static void measure(vb_offload_session *s, const vb_matrix *w) {
    s->capacity++;
    if (w->rows > s->max_outputs) s->max_outputs = w->rows;
    if (w->cols > s->max_cols) s->max_cols = w->cols;
}

static int grab(vb_offload_session *s, void *out, size_t rows, size_t cols, size_t size, vb_error *err) {
    void *p = NULL;
    uint64_t count = 0, bytes = 0;
    if (!vb_mul_u64(rows, cols, &count) || !vb_mul_u64(count, size, &bytes) || bytes > SIZE_MAX / 2)
        return vb_fail(err, VB_ERR_MEMORY, "the memory for offloading is too large: ask for a smaller batch");
    int rc = vb_alloc(&p, (size_t)count, size, "offloading (a smaller batch needs less)", err);
    if (rc) return rc;
    memcpy(out, &p, sizeof p);
    s->bytes += bytes;
    return VB_OK;
}

/* y and check hold what the largest matrix gives for the largest batch; pages that are never written cost
 * nothing. */
static int grab_all(vb_offload_session *s, vb_error *err) {
    const size_t W = (size_t)s->width, C = (size_t)s->max_cols, O = (size_t)s->max_outputs;
    const size_t vectors = s->width ? W : (size_t)s->max_rows;
    size_t capacity = 16;
    while (capacity < 2 * s->capacity) capacity *= 2;
    s->capacity = capacity;
    int rc = grab(s, &s->entries, capacity, 1, sizeof *s->entries, err);
    if (!rc) rc = grab(s, &s->y, vectors, O, sizeof *s->y, err);
    if (!rc) rc = grab(s, &s->check, vectors, O, sizeof *s->check, err);
    if (rc || !W) return rc;
    if ((rc = grab(s, &s->f, W, C, sizeof *s->f, err)) || (rc = grab(s, &s->q, 2 * W, C, 1, err)) ||
        (rc = grab(s, &s->d, W, C / 32 + 1, sizeof *s->d, err)))
        return rc;
    return grab(s, &s->sum16, W, C / 16 + 1, sizeof *s->sum16, err);
}

/* --------------------------------------------------------------------------------------------- steadiness */

/* Vector number `id` of the trial at place t; -1: zeros. Uniform in [-1, 1) by SplitMix64. */
static bool put_vector(const vb_offload_session *s, const vb_matrix *w, int id, size_t t) {
    const size_t cols = (size_t)w->cols;
    uint64_t state = (uint64_t)id * 0xd1342543de82ef95u;
    for (size_t i = 0; i < cols; i++) {
        const uint64_t z = vb_splitmix64(&state);
        s->f[t * cols + i] = id < 0 ? 0.0f : (float)((int64_t)(z >> 40) - (1 << 23)) * 0x1p-23f;
    }
    if (!planes_for(w, s->planes)) return true;
    return s->kernels->quantize(s->f + t * cols, w->cols, s->planes, s->q + t * cols, (size_t)s->width * cols,
                                s->d + t * (cols / 32), s->sum16 + t * (cols / 16)) == 0;
}

/* Does a vector's result depend on its place, on its neighbours, or on the time of day? Pass 0 puts vectors
 * 0, 1, 2, ... in order; the others move them, exchange every second one, and leave the first alone among
 * zeros. */
static bool steady(vb_offload_session *s, const entry *e) {
    const size_t W = (size_t)s->width, rows = (size_t)e->matrix->rows;
    const vb_acts x = {.rows = s->width,
                       .n = e->matrix->cols,
                       .planes = s->planes,
                       .f = s->f,
                       .q = s->q,
                       .d = s->d,
                       .sum16 = s->sum16};
    for (int pass = 0; pass < 4; pass++) {
        for (size_t t = 0; t < W; t++) {
            const int ids[] = {(int)t, (int)((t + W / 2 + 1) % W), t % 2 ? (int)(W + t) : (int)t, t ? -1 : 0};
            if (!put_vector(s, e->matrix, ids[pass], t)) return false;
        }
        if (call(s, e, &x) != VB_OFFLOAD_DONE) return false;
        if (pass == 0) memcpy(s->check, s->y, W * rows * sizeof *s->y);
        for (size_t t = 0; t < W && pass > 0; t++) {
            const size_t from = pass == 1 ? (t + W / 2 + 1) % W : t;
            if ((pass == 2 && t % 2) || (pass == 3 && t)) continue;
            if (memcmp(s->y + t * rows, s->check + from * rows, rows * sizeof *s->y) != 0) return false;
        }
    }
    return true;
}

/* One matrix of each type and shape. */
static int check_steady(vb_offload_session *s, vb_error *err) {
    for (size_t i = 0; i < s->capacity; i++) {
        const entry *e = &s->entries[i];
        bool seen = false;
        for (size_t j = 0; j < i && e->fixed && !seen; j++) {
            const vb_matrix *w = s->entries[j].matrix;
            seen = s->entries[j].fixed && w->type == e->matrix->type && w->rows == e->matrix->rows &&
                   w->cols == e->matrix->cols;
        }
        if (!e->fixed || seen || steady(s, e)) continue;
        return vb_fail(err, VB_ERR_UNSUPPORTED,
                       "offload backend %.64s, classed bounded, fails or gives a vector other bits in "
                       "another place of a "
                       "call of %d (%d x %d %s weights): it cannot keep P2; run without it, or with offload "
                       "width 0 and no "
                       "draft",
                       s->o->info.name, s->width, e->matrix->rows, e->matrix->cols,
                       vb_type_name((int)e->matrix->type));
    }
    return VB_OK;
}

int vb_offload_session_open(vb_offload_session **out, vb_offload *o, const vb_matrix *const *matrices,
                            size_t n, const vb_offload_session_params *p, vb_error *err) {
    vb_offload_session *s = NULL;
    /* A bitwise backend has nothing to make up for. */
    const int width = o->info.class_ == VB_OFFLOAD_BITWISE && p->width > 0 ? 0 : p->width;
    if (width < 0 || width > p->max_rows)
        return vb_fail(err, VB_ERR_ARGUMENT, "offload_width is %d, must be 0 (off) to %d, the batch", width,
                       p->max_rows);
    int rc = vb_alloc((void **)&s, 1, sizeof *s, "offloading", err);
    if (rc) return rc;
    s->o = o;
    s->kernels = p->kernels;
    s->pool = p->pool;
    s->planes = p->planes;
    s->max_rows = p->max_rows;
    s->width = width;
    s->check_all = p->check_all;
    s->bytes = sizeof *s;
    for (size_t i = 0; i < n; i++) measure(s, matrices[i]);
    if ((rc = grab_all(s, err)) != 0) goto cleanup;
    pthread_mutex_lock(&o->mutex);
    for (size_t i = 0; i < n; i++) add_matrix(s, matrices[i]);
    pthread_mutex_unlock(&o->mutex);
    if (s->width && (rc = check_steady(s, err)) != 0) goto cleanup;
    *out = s;
    s = NULL;
cleanup:
    vb_offload_session_close(s);
    return rc;
}

void vb_offload_session_close(vb_offload_session *s) {
    if (!s) return;
    pthread_mutex_lock(&s->o->mutex);
    for (size_t i = 0; s->entries && i < s->capacity; i++)
        if (s->entries[i].attached) detach(s->o, s->entries[i].matrix);
    pthread_mutex_unlock(&s->o->mutex);
    free(s->entries);
    free(s->y);
    free(s->check);
    free(s->f);
    free(s->q);
    free(s->d);
    free(s->sum16);
    free(s);
}

void vb_offload_session_stats(const vb_offload_session *s, vb_offload_stats *out) {
    *out = s->stats;
    out->width = s->width;
}

uint64_t vb_offload_session_bytes(const vb_offload_session *s) {
    return s->bytes;
}
