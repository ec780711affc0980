/* test_pool.c - every task runs exactly once, whatever the number of threads, and a job is finished when
 * vb_pool_run returns. */
#include "base/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MAX_TASKS = 300, MAX_THREADS = 9 };

typedef struct job {
    atomic_int hits[MAX_TASKS];
    atomic_int outside; /* a worker number or index out of range */
    atomic_int busy[MAX_THREADS];
    atomic_int overlap; /* two tasks at once with one worker number */
    int threads, n;
    int plain[MAX_TASKS]; /* not atomic: the caller must see it without help */
} job;

static void task(void *arg, int index, int worker) {
    job *j = arg;
    if (index < 0 || index >= j->n || worker < 0 || worker >= j->threads) {
        atomic_fetch_add(&j->outside, 1);
        return;
    }
    if (atomic_fetch_add(&j->busy[worker], 1) != 0) atomic_fetch_add(&j->overlap, 1);
    atomic_fetch_add(&j->hits[index], 1);
    j->plain[index] += index + 1;
    atomic_fetch_sub(&j->busy[worker], 1);
}

static void check(vb_pool *p, job *j, int n) {
    memset(j, 0, sizeof *j);
    j->threads = vb_pool_threads(p);
    j->n = n;
    vb_pool_ahead(p, n % 3 ? j : NULL, (size_t)n * sizeof j->hits[0]); /* shows in nothing */
    vb_pool_run(p, n, task, j);
    for (int i = 0; i < MAX_TASKS; i++) {
        assert_int_equal(atomic_load(&j->hits[i]), i < n);
        assert_int_equal(j->plain[i], i < n ? i + 1 : 0);
    }
    assert_int_equal(atomic_load(&j->outside), 0);
    assert_int_equal(atomic_load(&j->overlap), 0);
}

static void test_every_task_once(void **state) {
    (void)state;
    static job j;
    for (int threads = 1; threads < MAX_THREADS; threads += threads < 4 ? 1 : 4) {
        vb_pool *p = NULL;
        assert_int_equal(vb_pool_open(&p, threads, NULL), 0);
        assert_int_equal(vb_pool_threads(p), threads);
        for (int round = 0; round < 2000; round++) check(p, &j, round % 50);
        check(p, &j, MAX_TASKS);
        vb_pool_close(p);
    }
    check(NULL, &j, 20); /* no pool: here, in order */
    assert_int_equal(vb_pool_threads(NULL), 1);
}

static void slow(void *arg, int index, int worker) {
    (void)worker;
    volatile double x = 1.0;
    for (int i = 0; i < 200000; i++) x = x * 1.0000001;
    ((double *)arg)[index] = x;
}

/* Long tasks and long pauses: both sides get to the point where they sleep. */
static void test_sleepers_wake(void **state) {
    (void)state;
    vb_pool *p = NULL;
    double out[16];
    assert_int_equal(vb_pool_open(&p, 4, NULL), 0);
    for (int round = 0; round < 10; round++) {
        memset(out, 0, sizeof out);
        vb_pool_run(p, 16, slow, out);
        for (int i = 0; i < 16; i++) assert_true(out[i] > 1.0);
        const double until = vb_now() + 0.002;
        while (vb_now() < until) {
        }
    }
    vb_pool_close(p);
}

static void test_errors(void **state) {
    (void)state;
    vb_pool *p = (vb_pool *)&p;
    vb_error err = {.code = VB_OK};
    assert_int_equal(vb_pool_open(&p, 0, &err), VB_ERR_ARGUMENT);
    assert_int_equal(vb_pool_open(&p, 100000, NULL), VB_ERR_ARGUMENT);
    assert_ptr_equal(p, &p);
    vb_pool_close(NULL);
    assert_true(vb_physical_cores() >= 1);
}

/* The thread sanitizer keeps most of a thread's megabyte for itself. */
#if defined(__GLIBC__) && !defined(__SANITIZE_THREAD__)
#define STACKS 1
#endif

#ifdef STACKS
enum { DEEP = 400 << 10 };

static void deep_task(void *arg, int index, int worker) {
    volatile char frame[DEEP];
    (void)arg, (void)worker;
    for (int i = 0; i < DEEP; i += 1024) frame[i] = (char)index;
    assert_int_equal(frame[0], (char)index);
}

/* Threads have the stack they need where the system gives little (musl, ulimit -s). */
static void test_stacks(void **state) {
    (void)state;
    pthread_attr_t small, before;
    vb_pool *p = NULL;
    assert_int_equal(pthread_getattr_default_np(&before), 0);
    assert_int_equal(pthread_attr_init(&small), 0);
    assert_int_equal(pthread_attr_setstacksize(&small, 256 << 10), 0);
    assert_int_equal(pthread_setattr_default_np(&small), 0);
    const int rc = vb_pool_open(&p, 4, NULL);
    pthread_setattr_default_np(&before);
    pthread_attr_destroy(&small);
    pthread_attr_destroy(&before);
    assert_int_equal(rc, VB_OK);
    for (int i = 0; i < 50; i++) vb_pool_run(p, 64, deep_task, NULL);
    vb_pool_close(p);
}
#endif

/* ---------------------------------------------------------------------------------------- watched */

enum { SLOW = 5 };
typedef struct slow_job {
    double seconds[SLOW];
} slow_job;

/* Task i works for 2*(i + 1) ms and says how long that was. */
static void slow_task(void *arg, int index, int worker) {
    slow_job *j = arg;
    (void)worker;
    const double start = vb_now();
    while (vb_now() - start < 2e-3 * (index + 1)) {
    }
    j->seconds[index] = vb_now() - start;
}

/* At most all threads' time but that of the tasks, whatever the machine does. False where it is less than
 * half of that: another program may have had a thread's CPU between a task's clock and the pool's. */
static bool check_waited(vb_pool *p, int tasks) {
    slow_job j = {{0}};
    const int threads = vb_pool_threads(p);
    const double start = vb_now();
    vb_pool_watch(p, true);
    vb_pool_run(p, tasks, slow_task, &j);
    const double waited = vb_pool_waited(p);
    double rest = threads * (vb_now() - start);
    for (int i = 0; i < tasks; i++) rest -= j.seconds[i];
    assert_true(waited <= rest + 1e-6);
    vb_pool_run(p, tasks, slow_task, &j);
    assert_true(vb_pool_waited(p) >= waited);
    vb_pool_watch(p, true); /* from anew */
    assert_true(vb_pool_waited(p) <= threads * (vb_now() - start));
    return waited >= 0.5 * rest - 1e-4;
}

static void test_watched(void **state) {
    (void)state;
    for (int threads = 2; threads <= 4; threads++) {
        vb_pool *p = NULL;
        slow_job j;
        assert_int_equal(vb_pool_open(&p, threads, NULL), 0);
        for (int tasks = 1; tasks <= SLOW; tasks++) {
            int tries = 50;
            while (!check_waited(p, tasks)) assert_true(--tries > 0);
        }
        vb_pool_watch(p, false);
        vb_pool_run(p, SLOW, slow_task, &j);
        assert_true(vb_pool_waited(p) == 0);
        vb_pool_close(p);
    }
    assert_true(vb_pool_waited(NULL) == 0);
    vb_pool_watch(NULL, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_task_once), cmocka_unit_test(test_sleepers_wake),
        cmocka_unit_test(test_watched),         cmocka_unit_test(test_errors),
#ifdef STACKS
        cmocka_unit_test(test_stacks),
#endif
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
