#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <time.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/pool.h"

#if AC_ARCH_X86
#include <xmmintrin.h>
#endif

#define N_TASKS 10007

typedef struct {
    unsigned char times[N_TASKS];
    size_t n_threads;
    unsigned bad_worker[64];
    volatile float tiny;
    unsigned lost_denormal[64];
} job;

static void mark(void *ctx, size_t task, size_t worker)
{
    job *j = ctx;
    j->times[task]++;
    if (worker >= j->n_threads) j->bad_worker[0] = 1;
    else if (j->tiny * 0.5f == 0.0f) j->lost_denormal[worker] = 1;
}

static void every_task_runs_once(void **state)
{
    (void)state;
    static const size_t threads[] = { 1, 2, 3, 7 };
    static job j;
    for (size_t t = 0; t < AC_COUNTOF(threads); t++) {
        ac_pool *p = NULL;
        assert_int_equal(ac_pool_open(&p, threads[t], NULL), AC_OK);
        assert_int_equal(ac_pool_threads(p), threads[t]);
        for (size_t n = 0; n < N_TASKS; n = n < 9 ? n + 1 : n * 3 + 1) {
            memset(&j, 0, sizeof j);
            j.n_threads = threads[t];
            j.tiny = 1e-38f;
            ac_pool_run(p, n, mark, &j);
            for (size_t i = 0; i < N_TASKS; i++) assert_int_equal(j.times[i], i < n);
            assert_int_equal(j.bad_worker[0], 0);
            for (size_t i = 0; i < threads[t]; i++) assert_int_equal(j.lost_denormal[i], 0);
        }
        ac_pool_close(&p);
        assert_null(p);
    }
    assert_int_equal(ac_live_bytes(), 0);
}

static void many_small_runs(void **state)
{
    (void)state;
    static job j;
    ac_pool *p = NULL;
    assert_int_equal(ac_pool_open(&p, 3, NULL), AC_OK);
    memset(&j, 0, sizeof j);
    j.n_threads = 3;
    j.tiny = 1e-38f;
    for (unsigned run = 1; run <= 20000; run++) {
        ac_pool_run(p, 5, mark, &j);
        if (run % 4000 == 0) {             /* let them fall asleep between */
            const struct timespec ms = { 0, 2000000 };
            nanosleep(&ms, NULL);
        }
        for (size_t i = 0; i < 5; i++) assert_int_equal(j.times[i], run & 0xff);
    }
    ac_pool_close(&p);
}

static void without_a_pool(void **state)
{
    (void)state;
    static job j = { .n_threads = 1, .tiny = 1e-38f };
    assert_int_equal(ac_pool_threads(NULL), 1);
    ac_pool_run(NULL, 100, mark, &j);
    for (size_t i = 0; i < 100; i++) assert_int_equal(j.times[i], 1);
    ac_pool *p = NULL;
    ac_pool_close(&p);
    assert_true(ac_cpu_count() >= 1);
    assert_int_equal(ac_pool_open(&p, 100000, NULL), AC_EARG);
    assert_null(p);
}

typedef struct {
    ac_pool *pool;
    unsigned sums[8];
} outer_job;

typedef struct {
    unsigned *sum;
    size_t worker;
    int wrong;
} inner_job;

static void inner(void *ctx, size_t task, size_t worker)
{
    inner_job *i = ctx;
    *i->sum += (unsigned)task;
    i->wrong |= worker != i->worker;
}

static void outer(void *ctx, size_t task, size_t worker)
{
    outer_job *o = ctx;
    inner_job i = { &o->sums[task], worker, 0 };
    ac_pool_run(o->pool, 10, inner, &i);
    if (i.wrong) o->sums[task] = 0;
}

static void nested_runs_are_serial(void **state)
{
    (void)state;
    outer_job o = { .pool = NULL };
    assert_int_equal(ac_pool_open(&o.pool, 3, NULL), AC_OK);
    ac_pool_run(o.pool, 8, outer, &o);
    for (size_t i = 0; i < 8; i++) assert_int_equal(o.sums[i], 45);
    ac_pool_close(&o.pool);
}

#if AC_ARCH_X86
static void the_callers_mode_does_not_matter_and_stays(void **state)
{
    (void)state;
    static job j = { .n_threads = 2, .tiny = 1e-38f };
    ac_pool *p = NULL;
    const unsigned before = _mm_getcsr();
    assert_int_equal(ac_pool_open(&p, 2, NULL), AC_OK);
    const unsigned odd = (before & ~0x3fu) | 0x8040u | 0x2000u;    /* FTZ, DAZ, round down */
    _mm_setcsr(odd);
    ac_pool_run(p, 200, mark, &j);
    const unsigned after = _mm_getcsr();
    _mm_setcsr(before);
    assert_int_equal(after & ~0x3fu, odd & ~0x3fu);
    assert_int_equal(j.lost_denormal[0] + j.lost_denormal[1], 0);
    ac_pool_close(&p);
}
#endif

#if defined(__linux__)
typedef struct {
    int cpus[8];
} affinity_job;

static void count_cpus(void *ctx, size_t task, size_t worker)
{
    affinity_job *a = ctx;
    cpu_set_t s;
    (void)task;
    const struct timespec ms = { 0, 1000000 };
    nanosleep(&ms, NULL);                                    /* so that both take some */
    if (sched_getaffinity(0, sizeof s, &s) == 0) a->cpus[worker] = CPU_COUNT(&s);
}

static void workers_undo_an_inherited_binding(void **state)
{
    (void)state;
    cpu_set_t whole, one;
    assert_int_equal(sched_getaffinity(0, sizeof whole, &whole), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &whole)) {
            CPU_SET(i, &one);
            break;
        }
    affinity_job a = { { 0 } };
    ac_pool *p = NULL;
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(ac_pool_open(&p, 2, NULL), AC_OK);
    for (int tries = 0; tries < 100 && a.cpus[1] == 0; tries++)
        ac_pool_run(p, 20, count_cpus, &a);
    assert_int_equal(sched_setaffinity(0, sizeof whole, &whole), 0);
    assert_int_equal(a.cpus[1], CPU_COUNT(&whole));
    ac_pool_close(&p);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(many_small_runs),
        cmocka_unit_test(without_a_pool),
        cmocka_unit_test(nested_runs_are_serial),
#if AC_ARCH_X86
        cmocka_unit_test(the_callers_mode_does_not_matter_and_stays),
#endif
#if defined(__linux__)
        cmocka_unit_test(workers_undo_an_inherited_binding),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
