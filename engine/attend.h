/* attend.h - how the attention of a call is split over threads. Internal.
 *
 * A unit is some rows of one sequence and one key head. Where there are units enough, a task is a unit from
 * scores to values: its scores then never leave the core's cache. Where there are few (one token, two key
 * heads and sixteen threads), three jobs follow one another, each of them split finer: scores by positions,
 * the softmax by row and head, values by dimensions and heads. ref/kernels.h says why no bit shows which. */
#ifndef VB_ATTEND_H
#define VB_ATTEND_H

#include "base/pool.h"
#include "ref/pass.h"

typedef struct vb_attend vb_attend;

/* For passes of a model with at most max_rows rows, whose caches hold at most n_ctx positions. */
int vb_attend_open(vb_attend **out, const vb_model *m, int max_rows, int n_ctx, int threads, vb_error *err);
void vb_attend_close(vb_attend *a);
uint64_t vb_attend_bytes(const vb_attend *a);

/* Plans the present layer of a pass. */
void vb_attend_begin(vb_attend *a, const vb_pass *p);
/* The tasks of the next job, 0 when there is none. They may run at the same time, the jobs may not. */
int vb_attend_next(vb_attend *a);
/* A task of that job (vb_task): `a` is a vb_attend. */
void vb_attend_task(void *a, int index, int worker);

/* All of it. */
void vb_attend_run(vb_attend *a, const vb_pass *p, vb_pool *pool);

#endif
