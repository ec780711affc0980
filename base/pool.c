/* pool.c - threads that wait for a job, share out its tasks by a counter and go back to waiting.
 *
 * A forward pass is some hundred short jobs per token, so waiting is done in two steps: a bounded spin (tens
 * of microseconds), then sleep on a condition variable. Nobody waits for a thread that sleeps or has lost its
 * CPU: a job is finished when its tasks are, whoever ran them. On a machine with fewer free CPUs than threads
 * the caller then does most of the work itself, which is as fast as it can be there.
 *
 * One 64-bit word, (job number << 32 | next task), is what makes that safe. A thread takes task i of job g by
 * a compare-and-swap from (g, i) to (g, i+1). Between two jobs the caller first publishes (g+1, CLOSED), then
 * fills in the new job, then opens it with (g+1, 0). A thread that was late and read a mixture of both jobs
 * fails its swap, because the word has changed since. */
#include "base/pool.h"

#include "base/thread.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CLOSED 0xffffffffu

enum {
    SPIN = 4000,
    MAX_THREADS = 1024,
    LINE = 64,
    STEP = 8 * LINE,   /* bytes asked for between two looks for news */
    AHEAD = 128 * 1024 /* of a task; a part of an L2 cache */
};

typedef struct worker {
    struct vb_pool *pool;
    pthread_t thread;
    int index;
    _Atomic uint64_t busy; /* nanoseconds in tasks while watched */
} worker;

struct vb_pool {
    int threads;
    int started; /* workers[1 .. started] have a thread */
    worker *workers;

    _Atomic uint64_t word;
    _Atomic(vb_task) fn;
    _Atomic(void *) arg;
    atomic_int n_tasks;
    atomic_int done; /* tasks of the current job that are finished */

    _Atomic(const char *) ahead; /* see vb_pool_ahead */
    atomic_size_t apart;

    pthread_mutex_t mutex;
    pthread_cond_t job_ready, job_done;
    atomic_int sleeping; /* workers that sleep or are about to */
    atomic_bool caller_sleeping;
    atomic_bool stop;

    atomic_bool watched;
    double since;         /* when watching began */
    double caller_waited; /* seconds, since then */
};

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Into the L2 cache. Any address will do. */
static inline void prefetch(const char *at) {
#if defined(__GNUC__)
    __builtin_prefetch(at, 0, 2);
#else
    (void)at;
#endif
}

static void run_task(vb_pool *p, vb_task fn, void *arg, int task, int index) {
    if (!atomic_load_explicit(&p->watched, memory_order_relaxed)) {
        fn(arg, task, index);
        return;
    }
    const double start = vb_now();
    fn(arg, task, index);
    atomic_fetch_add(&p->workers[index].busy, (uint64_t)(1e9 * (vb_now() - start)));
}

/* Takes tasks of the job `number` until there are none left. */
static void work(vb_pool *p, uint32_t number, int index) {
    uint64_t word = atomic_load(&p->word);
    while ((uint32_t)(word >> 32) == number) {
        const uint32_t next = (uint32_t)word;
        const int n = atomic_load(&p->n_tasks);
        const vb_task fn = atomic_load(&p->fn);
        void *const arg = atomic_load(&p->arg);
        if (next == CLOSED || next >= (uint32_t)n) return;
        if (!atomic_compare_exchange_weak(&p->word, &word, word + 1)) continue;
        run_task(p, fn, arg, (int)next, index);
        if (atomic_fetch_add(&p->done, 1) + 1 == n && atomic_load(&p->caller_sleeping)) {
            pthread_mutex_lock(&p->mutex);
            pthread_cond_signal(&p->job_done);
            pthread_mutex_unlock(&p->mutex);
        }
        word = atomic_load(&p->word);
    }
}

static bool has_news(vb_pool *p, uint32_t seen) {
    const uint64_t word = atomic_load(&p->word);
    return atomic_load(&p->stop) || ((uint32_t)(word >> 32) != seen && (uint32_t)word != CLOSED);
}

/* Asks for piece `step` of the memory that comes next: worker i for that of task i, and the first one for
 * task 0 too, because the caller is busy between two jobs. False when there is no more. */
static bool ask_ahead(vb_pool *p, int index, size_t step) {
    const char *from = atomic_load_explicit(&p->ahead, memory_order_relaxed);
    const size_t at = (index == 1 ? step / 2 : step) * STEP;
    if (!from || at >= AHEAD) return false;
    if (index != 1 || step % 2 == 0)
        from += (size_t)index * atomic_load_explicit(&p->apart, memory_order_relaxed);
    for (size_t i = 0; i < STEP; i += LINE) prefetch(from + at + i);
    return true;
}

static void *worker_main(void *arg) {
    const worker *w = arg;
    vb_pool *p = w->pool;
    uint32_t seen = 0;
    for (;;) {
        int spin = SPIN;
        size_t step = 0;
        while (!has_news(p, seen) && spin-- > 0) {
            if (!ask_ahead(p, w->index, step++)) relax();
        }
        if (!has_news(p, seen)) {
            pthread_mutex_lock(&p->mutex);
            atomic_fetch_add(&p->sleeping, 1);
            while (!has_news(p, seen)) pthread_cond_wait(&p->job_ready, &p->mutex);
            atomic_fetch_sub(&p->sleeping, 1);
            pthread_mutex_unlock(&p->mutex);
        }
        if (atomic_load(&p->stop)) return NULL;
        seen = (uint32_t)(atomic_load(&p->word) >> 32);
        work(p, seen, w->index);
    }
}

/* The caller's wait for tasks that others took. */
static void finish(vb_pool *p, int n_tasks) {
    int spin = SPIN;
    while (atomic_load(&p->done) < n_tasks && spin-- > 0) relax();
    if (atomic_load(&p->done) < n_tasks) {
        pthread_mutex_lock(&p->mutex);
        /* Either we see the last task done below, or its thread sees this and signals. An exchange, which no
           CPU moves behind the load of `done`; QEMU 7.2 does that to an aarch64 store, sequentially
           consistent or not. */
        atomic_exchange(&p->caller_sleeping, true);
        while (atomic_load(&p->done) < n_tasks) pthread_cond_wait(&p->job_done, &p->mutex);
        atomic_store(&p->caller_sleeping, false);
        pthread_mutex_unlock(&p->mutex);
    }
}

void vb_pool_run(vb_pool *p, int n_tasks, vb_task fn, void *arg) {
    if (!p || p->started == 0 || n_tasks <= 1) {
        for (int i = 0; i < n_tasks; i++) fn(arg, i, 0);
        return;
    }
    const uint32_t number = (uint32_t)(atomic_load(&p->word) >> 32) + 1;
    atomic_store(&p->word, (uint64_t)number << 32 | CLOSED);
    atomic_store(&p->fn, fn);
    atomic_store(&p->arg, arg);
    atomic_store(&p->n_tasks, n_tasks);
    atomic_store(&p->done, 0);
    atomic_store(&p->word, (uint64_t)number << 32);
    if (atomic_load(&p->sleeping) > 0) {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_broadcast(&p->job_ready);
        pthread_mutex_unlock(&p->mutex);
    }
    work(p, number, 0);
    const bool watched = atomic_load_explicit(&p->watched, memory_order_relaxed);
    const double start = watched ? vb_now() : 0;
    finish(p, n_tasks);
    if (watched) p->caller_waited += vb_now() - start;
}

void vb_pool_ahead(vb_pool *p, const void *from, size_t apart) {
    if (!p) return;
    atomic_store_explicit(&p->apart, apart, memory_order_relaxed);
    atomic_store_explicit(&p->ahead, from, memory_order_relaxed);
}

void vb_pool_watch(vb_pool *p, bool on) {
    if (!p) return;
    for (int i = 0; i < p->threads; i++) atomic_store(&p->workers[i].busy, 0);
    p->since = vb_now();
    p->caller_waited = 0;
    atomic_store(&p->watched, on);
}

double vb_pool_waited(const vb_pool *p) {
    if (!p || !atomic_load(&p->watched)) return 0;
    double waited = p->caller_waited;
    const double wall = vb_now() - p->since;
    for (int i = 1; i <= p->started; i++) waited += wall - 1e-9 * (double)atomic_load(&p->workers[i].busy);
    return waited;
}

int vb_pool_open(vb_pool **out, int threads, vb_error *err) {
    if (threads < 1 || threads > MAX_THREADS)
        return vb_fail(err, VB_ERR_ARGUMENT, "%d threads: must be 1 to %d", threads, MAX_THREADS);
    vb_pool *p = NULL;
    int rc = vb_alloc((void **)&p, 1, sizeof *p, "the thread pool", err);
    if (rc) return rc;
    p->threads = threads;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->job_ready, NULL);
    pthread_cond_init(&p->job_done, NULL);
    rc = vb_alloc((void **)&p->workers, (size_t)threads, sizeof *p->workers, "the thread pool", err);
    for (int i = 1; i < threads && rc == VB_OK; i++) {
        worker *w = &p->workers[i];
        *w = (worker){.pool = p, .index = i};
        if (vb_thread_start(&w->thread, worker_main, w) != 0)
            rc = vb_fail(
                err, VB_ERR_IO,
                "cannot start thread %d of %d: no memory for it, or too many run; ask for fewer threads",
                i + 1, threads);
        else
            p->started = i;
    }
    if (rc) {
        vb_pool_close(p);
        return rc;
    }
    *out = p;
    return VB_OK;
}

void vb_pool_close(vb_pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->job_ready);
    pthread_mutex_unlock(&p->mutex);
    for (int i = 1; i <= p->started; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->job_done);
    pthread_cond_destroy(&p->job_ready);
    pthread_mutex_destroy(&p->mutex);
    free(p->workers);
    free(p);
}

int vb_pool_threads(const vb_pool *p) {
    return p ? p->threads : 1;
}
