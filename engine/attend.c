/* attend.c - plans of work for attention. See attend.h. */
#include "engine/attend.h"

#include <stdlib.h>
#include <string.h>

enum {
    LINE = 16,           /* floats of a line of the cache */
    QUERIES = 128,       /* in a unit at most, where key heads are not shared by more */
    LEAST_QUERIES = 16,  /* of the longest context, for whose scores there is room */
    SCORES = 512 * 1024, /* floats per thread that an L2 cache is thought to hold */
    PER_THREAD = 4,      /* tasks of a job that is split by positions */
    JOB = 10000,         /* what waiting for all threads costs, in vector operations */
    WIDEN = 2,           /* what it costs to read 16 values and widen them */
    SOFTMAX = 12,        /* and a vector of exponentials */
};

typedef struct unit {
    int row0, row1, kv_head;
    int block0, blocks; /* positions that one of its rows sees, in blocks */
    size_t ld, scores;  /* of its scores, and where they begin; sums begin at `queries` */
    size_t queries;
} unit;

typedef enum phase { UNITS, POSITIONS, SOFTMAXES, VALUES, DONE } phase;

struct vb_attend {
    int threads, max_heads; /* query heads of a key head */
    size_t room;            /* floats of scratch memory per thread */
    size_t scores_per_thread, sums_per_thread;
    float *scores, *sums, *rooms; /* scores and rooms: at the first line of the cache in theirs */
    float *own_scores, *own_rooms;
    unit *units; /* (max_units) */
    size_t max_units;
    uint64_t bytes;

    const vb_pass *p;
    phase phase;
    int n_units;
    int begin, end; /* units of the present wave, whose scores fit into memory together */
    int n_tasks;
    int slice, heads; /* VALUES: vectors of 16 dimensions and query heads of a task */
};

/* ---------------------------------------------------------------------- memory */

static int grab(vb_attend *a, void *out, size_t n, size_t size, vb_error *err) {
    void *p = NULL;
    const int rc = vb_alloc(&p, n, size, "attention (a smaller batch or context needs less)", err);
    if (rc) return rc;
    memcpy(out, &p, sizeof p);
    a->bytes += (uint64_t)n * size;
    return VB_OK;
}

static float *aligned(float *p) {
    const size_t beyond = (uintptr_t)p / sizeof *p % LINE;
    return beyond ? p + (LINE - beyond) : p;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* An odd number of blocks: scores of several heads at the same position, a power of two apart, would fall
 * into the same few places of the L1 cache. */
static size_t padded(size_t positions) {
    return ((positions + VB_ATTEND_BLOCK - 1) / VB_ATTEND_BLOCK | 1) * VB_ATTEND_BLOCK;
}

int vb_attend_open(vb_attend **out, const vb_model *m, int max_rows, int n_ctx, int threads, vb_error *err) {
    vb_attend *a = NULL;
    int rc = vb_alloc((void **)&a, 1, sizeof *a, "attention", err);
    if (rc) return rc;
    a->threads = threads;
    size_t kv_heads = 0, heads = LEAST_QUERIES;
    int head_dim = 0;
    for (int i = 0; i < m->info.n_layers; i++) {
        const vb_attn *l = &m->layers[i].attn;
        kv_heads = larger(kv_heads, (size_t)l->n_kv_heads);
        heads = larger(heads, (size_t)(l->n_heads / l->n_kv_heads));
        head_dim = l->head_dim > head_dim ? l->head_dim : head_dim;
    }
    const size_t t = (size_t)threads;
    a->room = vb_attend_room(head_dim, larger(QUERIES, heads));
    a->scores_per_thread = larger(SCORES, heads * padded((size_t)n_ctx));
    a->sums_per_thread = larger(QUERIES, heads);
    a->max_units = (size_t)max_rows * kv_heads;
    if ((rc = grab(a, &a->own_scores, t * a->scores_per_thread + LINE, sizeof *a->scores, err)) ||
        (rc = grab(a, &a->sums, t * a->sums_per_thread, sizeof *a->sums, err)) ||
        (rc = grab(a, &a->own_rooms, t * a->room + LINE, sizeof *a->rooms, err)) ||
        (rc = grab(a, &a->units, a->max_units, sizeof *a->units, err))) {
        vb_attend_close(a);
        return rc;
    }
    a->scores = aligned(a->own_scores);
    a->rooms = aligned(a->own_rooms);
    *out = a;
    return VB_OK;
}

void vb_attend_close(vb_attend *a) {
    if (!a) return;
    free(a->own_scores);
    free(a->sums);
    free(a->own_rooms);
    free(a->units);
    free(a);
}

uint64_t vb_attend_bytes(const vb_attend *a) {
    return sizeof *a + a->bytes;
}

/* ---------------------------------------------------------------------- units */

static const vb_attn *layer_of(const vb_attend *a) {
    return &a->p->m->layers[a->p->layer].attn;
}

static int heads_of(const vb_attend *a) {
    return layer_of(a)->n_heads / layer_of(a)->n_kv_heads;
}

/* Rows from row0 on that make a unit: of one sequence, as many as there is room for. *first, *n: what they
 * see. */
static int rows_of_unit(const vb_attend *a, int row0, int *first, int *n) {
    const vb_pass *p = a->p;
    const int heads = heads_of(a), window = layer_of(a)->window;
    int row = row0;
    *first = *n = 0;
    for (; row < p->n && p->rows[row].cache == p->rows[row0].cache; row++) {
        const int position = p->rows[row].position, seen = position + 1,
                  from = window && position >= window ? seen - window : 0;
        const size_t queries = (size_t)(row + 1 - row0) * (size_t)heads;
        const int most = seen > *n ? seen : *n;
        if (row > row0 && (queries > QUERIES || queries * padded((size_t)most) > a->scores_per_thread)) break;
        *first = row == row0 || from < *first ? from : *first;
        *n = most;
    }
    return row;
}

static void make_units(vb_attend *a) {
    const vb_pass *p = a->p;
    const int kv_heads = layer_of(a)->n_kv_heads;
    a->n_units = 0;
    for (int row = 0, end; row < p->n; row = end) {
        int first, n;
        end = rows_of_unit(a, row, &first, &n);
        const int block0 = first / VB_ATTEND_BLOCK, blocks = (n + VB_ATTEND_BLOCK - 1) / VB_ATTEND_BLOCK;
        for (int h = 0; h < kv_heads; h++)
            a->units[a->n_units++] = (unit){.row0 = row,
                                            .row1 = end,
                                            .kv_head = h,
                                            .block0 = block0,
                                            .blocks = blocks - block0,
                                            .ld = padded((size_t)n)};
    }
}

/* ---------------------------------------------------------------------- the plan */

static int64_t queries_of(const vb_attend *a, const unit *u) {
    return (int64_t)(u->row1 - u->row0) * heads_of(a);
}

static int64_t vectors_of(const vb_attend *a) {
    return (layer_of(a)->head_dim + 15) / 16;
}

/* Vector operations of a unit's scores, softmaxes and values, roughly. */
static int64_t cost_of(const vb_attend *a, const unit *u) {
    const int64_t per_position = 2 * vectors_of(a) * (queries_of(a, u) + WIDEN);
    return u->blocks * (VB_ATTEND_BLOCK * per_position + 2 * SOFTMAX * queries_of(a, u));
}

/* True when whole units keep the threads as busy as finer tasks and two more jobs would. */
static bool units_suffice(const vb_attend *a) {
    int64_t sum = 0, most = 0;
    for (int i = 0; i < a->n_units; i++) {
        const int64_t cost = cost_of(a, &a->units[i]);
        sum += cost;
        most = cost > most ? cost : most;
    }
    const int64_t rounds = (a->n_units + a->threads - 1) / a->threads;
    const int64_t whole = rounds == 1 ? most : sum / a->threads + most / 2;
    return a->threads == 1 || whole <= sum / a->threads + sum / a->threads / 16 + 2 * JOB;
}

/* Units from `begin` on whose scores fit into memory together. */
static void next_wave(vb_attend *a) {
    const size_t t = (size_t)a->threads;
    size_t scores = 0, queries = 0;
    a->begin = a->end;
    for (; a->end < a->n_units; a->end++) {
        unit *u = &a->units[a->end];
        const size_t n = (size_t)queries_of(a, u);
        if (scores + n * u->ld > t * a->scores_per_thread || queries + n > t * a->sums_per_thread) break;
        u->scores = scores;
        u->queries = queries;
        scores += n * u->ld;
        queries += n;
    }
}

static int64_t blocks_of_wave(const vb_attend *a) {
    int64_t blocks = 0;
    for (int i = a->begin; i < a->end; i++) blocks += a->units[i].blocks;
    return blocks;
}

static int split(int64_t n, int64_t per) {
    return (int)((n + per - 1) / per);
}

/* The shape of value tasks with which the last thread is done first, if all take turns. */
static void shape_values(vb_attend *a) {
    const int vectors = (int)vectors_of(a), heads = heads_of(a);
    int64_t rows = 0, best = INT64_MAX;
    for (int i = a->begin; i < a->end; i++) rows += a->units[i].row1 - a->units[i].row0;
    const int64_t n_units = a->end - a->begin, mean_rows = rows / n_units;
    for (int slice = vectors; slice > 0; slice = slice == 1 ? 0 : (slice + 1) / 2) {
        for (int h = heads; h > 0; h = h == 1 ? 0 : (h + 1) / 2) {
            const int64_t tasks = n_units * split(vectors, slice) * split(heads, h);
            const int64_t cost = slice * (mean_rows * h + WIDEN);
            const int64_t time = split(tasks, a->threads) * cost;
            if (time >= best) continue;
            best = time;
            a->slice = slice;
            a->heads = h;
        }
    }
    a->n_tasks = (int)n_units * split(vectors, a->slice) * split(heads, a->heads);
}

static int queries_of_wave(const vb_attend *a) {
    const unit *last = &a->units[a->end - 1];
    return (int)last->queries + (int)queries_of(a, last);
}

/* The tasks of a job. */
static void set_up(vb_attend *a, phase next) {
    a->phase = next;
    switch (next) {
    case UNITS: a->n_tasks = a->n_units; break;
    case POSITIONS: {
        const int64_t blocks = blocks_of_wave(a), most = (int64_t)PER_THREAD * a->threads;
        a->n_tasks = (int)(blocks < most ? blocks : most);
        break;
    }
    case SOFTMAXES: a->n_tasks = queries_of_wave(a); break;
    case VALUES: shape_values(a); break;
    case DONE: a->n_tasks = 0; break;
    }
}

void vb_attend_begin(vb_attend *a, const vb_pass *p) {
    a->p = p;
    make_units(a);
    a->begin = a->end = 0;
    a->phase = units_suffice(a) ? UNITS : VALUES;
    a->n_tasks = -1; /* the first job is still to come */
}

int vb_attend_next(vb_attend *a) {
    const bool first = a->n_tasks < 0;
    if (a->phase == UNITS) {
        set_up(a, first ? UNITS : DONE);
    } else if (a->phase == POSITIONS) {
        set_up(a, SOFTMAXES);
    } else if (a->phase == SOFTMAXES) {
        set_up(a, VALUES);
    } else {
        next_wave(a);
        set_up(a, a->begin < a->end ? POSITIONS : DONE);
    }
    return a->n_tasks;
}

/* ---------------------------------------------------------------------- tasks */

static vb_attention describe(const vb_attend *a, const unit *u, float *scores, float *sums,
                             vb_attention_row *rows) {
    return vb_pass_attention(a->p, u->row0, u->row1, u->kv_head, (vb_pass_scores){scores, sums, u->ld}, rows);
}

static void unit_task(const vb_attend *a, const unit *u, int worker) {
    const vb_kernels *k = a->p->kernels;
    const size_t w = (size_t)worker;
    float *room = a->rooms + w * a->room;
    vb_attention_row rows[QUERIES];
    const vb_attention job =
        describe(a, u, a->scores + w * a->scores_per_thread, a->sums + w * a->sums_per_thread, rows);
    k->attend_scores(&job, u->block0 * VB_ATTEND_BLOCK, (u->block0 + u->blocks) * VB_ATTEND_BLOCK, room);
    for (int row = 0; row < job.n_rows; row++) {
        for (int h = 0; h < job.heads; h++) k->attend_softmax(&job, row, h);
    }
    k->attend_values(&job, 0, job.heads, 0, job.head_dim, room);
}

static vb_attention describe_in_wave(const vb_attend *a, const unit *u, vb_attention_row *rows) {
    return describe(a, u, a->scores + u->scores, a->sums + u->queries, rows);
}

/* Task i of N takes its share of the wave's blocks as they follow one another, unit by unit. */
static void positions_task(const vb_attend *a, int index, float *room) {
    const int64_t blocks = blocks_of_wave(a);
    int64_t from = blocks * index / a->n_tasks, to = blocks * (index + 1) / a->n_tasks;
    for (int i = a->begin; i < a->end && to > 0; i++) {
        const unit *u = &a->units[i];
        const int64_t last = to < u->blocks ? to : u->blocks;
        if (from < last) {
            vb_attention_row rows[QUERIES];
            const vb_attention job = describe_in_wave(a, u, rows);
            a->p->kernels->attend_scores(&job, (u->block0 + (int)from) * VB_ATTEND_BLOCK,
                                         (u->block0 + (int)last) * VB_ATTEND_BLOCK, room);
        }
        from = from > u->blocks ? from - u->blocks : 0;
        to -= u->blocks;
    }
}

static void softmax_task(const vb_attend *a, int index) {
    int i = a->begin;
    while (i + 1 < a->end && a->units[i + 1].queries <= (size_t)index) i++;
    vb_attention_row rows[QUERIES];
    const vb_attention job = describe_in_wave(a, &a->units[i], rows);
    const int query = index - (int)a->units[i].queries;
    a->p->kernels->attend_softmax(&job, query / job.heads, query % job.heads);
}

static void values_task(const vb_attend *a, int index, float *room) {
    const int slices = split(vectors_of(a), a->slice), groups = split(heads_of(a), a->heads);
    const unit *u = &a->units[a->begin + index / (slices * groups)];
    const int h0 = index / slices % groups * a->heads, d0 = index % slices * a->slice * 16;
    vb_attention_row rows[QUERIES];
    const vb_attention job = describe_in_wave(a, u, rows);
    const int h1 = h0 + a->heads < job.heads ? h0 + a->heads : job.heads;
    const int d1 = d0 + a->slice * 16 < job.head_dim ? d0 + a->slice * 16 : job.head_dim;
    a->p->kernels->attend_values(&job, h0, h1, d0, d1, room);
}

void vb_attend_task(void *arg, int index, int worker) {
    const vb_attend *a = arg;
    float *room = a->rooms + (size_t)worker * a->room;
    switch (a->phase) {
    case UNITS: unit_task(a, &a->units[index], worker); break;
    case POSITIONS: positions_task(a, index, room); break;
    case SOFTMAXES: softmax_task(a, index); break;
    case VALUES: values_task(a, index, room); break;
    case DONE: break;
    }
}

void vb_attend_run(vb_attend *a, const vb_pass *p, vb_pool *pool) {
    int n;
    vb_attend_begin(a, p);
    while ((n = vb_attend_next(a)) > 0) vb_pool_run(pool, n, vb_attend_task, a);
}
