/* pool.h - a small pool of threads. Work is split by the caller into tasks whose results do not depend on who
 * runs them or in which order, so that the thread count never shows in the bits (P1). */
#ifndef VB_POOL_H
#define VB_POOL_H

#include "base/base.h"

typedef struct vb_pool vb_pool;

/* A task: `index` in [0, n_tasks), `worker` in [0, threads) for scratch memory of its own. */
typedef void (*vb_task)(void *arg, int index, int worker);

/* threads >= 1; the caller's own thread is worker 0. */
int vb_pool_open(vb_pool **out, int threads, vb_error *err);
void vb_pool_close(vb_pool *p);
int vb_pool_threads(const vb_pool *p); /* 1 for NULL */
/* Runs fn(arg, 0..n_tasks-1) and returns when all are done. pool = NULL runs them here, in order. */
void vb_pool_run(vb_pool *p, int n_tasks, vb_task fn, void *arg);
/* Memory that one of the next jobs will read: task i from `from` + i*apart on. Until it is called again,
 * threads that wait for a job ask the memory for the beginnings of the first tasks meanwhile. Speed only. */
void vb_pool_ahead(vb_pool *p, const void *from, size_t apart);
/* Watches how long the threads wait, from now on, or no longer: two looks at the clock per task. */
void vb_pool_watch(vb_pool *p, bool on);
/* Seconds, of all threads together, that they waited since watching began: a started thread whenever it has
 * no task, the caller for the others' last tasks. 0 for NULL and while nobody watches. Between two jobs. */
double vb_pool_waited(const vb_pool *p);
/* Physical cores this process may run on, at least 1. */
int vb_physical_cores(void);

#endif
