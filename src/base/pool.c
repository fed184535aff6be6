/* How a run goes. `state` holds a generation, an open bit and the number of workers inside. The
 * caller publishes a new generation as open, works itself, closes the run when no task is left and
 * waits until nobody is inside. A worker that was slow to wake finds the run closed and is not
 * waited for, which matters where more threads run than cores.
 *
 * Sleepers are counted before the state is looked at again, and the state is changed before the
 * count is looked at (all sequentially consistent), so no wake-up is lost. */
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#if AC_ARCH_X86
#include <xmmintrin.h>
#endif

#include "base/mem.h"

#define ACTIVE_MASK 0xffffu
#define OPEN_BIT    0x10000u
#define GENERATION  0x20000u
#define MAX_THREADS 4096u
#define SPINS       2000

typedef struct {
    ac_pool *pool;
    size_t index;
    pthread_t thread;
} worker;

struct ac_pool {
    _Alignas(64) atomic_uint_least64_t state;
    _Alignas(64) atomic_size_t next;
    _Alignas(64) size_t n_threads, n_workers;
    worker *workers;
    ac_pool_fn *fn;
    void *ctx;
    size_t n_tasks;
    atomic_bool stop;
    atomic_size_t sleepers;
    atomic_bool caller_waits;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
};

/* Which worker this thread is inside a task; SIZE_MAX outside. */
static _Thread_local size_t inside = SIZE_MAX;

/* ---- floating point ---- */

ac_fp_state ac_fp_enter(void)
{
    ac_fp_state s = { 0 };
#if AC_ARCH_X86
    s.saved = _mm_getcsr();
    _mm_setcsr(0x1f80);                       /* to nearest, DAZ and FTZ off, exceptions masked */
#elif AC_ARCH_ARM
    AC_FPCR_GET(s.saved);
    const uint64_t plain = 0;                 /* to nearest, FZ and FZ16 off, traps off */
    AC_FPCR_SET(plain);
#endif
    return s;
}

void ac_fp_leave(ac_fp_state s)
{
#if AC_ARCH_X86
    _mm_setcsr((unsigned)s.saved);
#elif AC_ARCH_ARM
    AC_FPCR_SET(s.saved);
#else
    AC_UNUSED(s);
#endif
}

/* ---- what the process may use ---- */

#if defined(__linux__)
static cpu_set_t allowed;
static bool allowed_known;

/* Read before any library can have bound the first thread to a core. */
AC_CONSTRUCTOR static void read_allowed(void)
{
    allowed_known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
}

static void reset_affinity(void)
{
    if (allowed_known) (void)sched_setaffinity(0, sizeof allowed, &allowed);
}
#else
static void reset_affinity(void) { }
#endif

size_t ac_cpu_count(void)
{
#if defined(__linux__)
    if (allowed_known) {
        const int n = CPU_COUNT(&allowed);
        if (n > 0) return (size_t)n;
    }
#endif
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (size_t)n : 1;
}

/* ---- workers ---- */

static void take_tasks(ac_pool *p, size_t index)
{
    for (;;) {
        const size_t task = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (task >= p->n_tasks) return;
        p->fn(p->ctx, task, index);
    }
}

static bool news(ac_pool *p, uint64_t seen)
{
    return (atomic_load(&p->state) & ~(uint64_t)(ACTIVE_MASK | OPEN_BIT)) != seen
           || atomic_load(&p->stop);
}

static void wait_for_news(ac_pool *p, uint64_t seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (news(p, seen)) return;
        AC_SPIN_HINT();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (!news(p, seen)) pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

/* Joins the run that is open; false when it closed before. */
static bool join_run(ac_pool *p, uint64_t *seen)
{
    uint64_t s = atomic_load(&p->state);
    do {
        *seen = s & ~(uint64_t)(ACTIVE_MASK | OPEN_BIT);
        if (!(s & OPEN_BIT)) return false;
    } while (!atomic_compare_exchange_weak(&p->state, &s, s + 1));
    return true;
}

static void leave_run(ac_pool *p)
{
    const uint64_t s = atomic_fetch_sub(&p->state, 1) - 1;
    if ((s & (ACTIVE_MASK | OPEN_BIT)) == 0 && atomic_load(&p->caller_waits)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->lock);
    }
}

static void *work(void *arg)
{
    worker *w = arg;
    ac_pool *p = w->pool;
    uint64_t seen = 0;
    reset_affinity();
    (void)ac_fp_enter();
    inside = w->index;
    for (;;) {
        wait_for_news(p, seen);
        if (atomic_load(&p->stop)) return NULL;
        if (!join_run(p, &seen)) continue;
        (void)ac_fp_enter();                  /* a task may have changed it */
        take_tasks(p, w->index);
        leave_run(p);
    }
}

static ac_status start_workers(ac_pool *p, ac_err *err)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = 0;
    for (size_t i = 0; i + 1 < p->n_threads && rc == 0; i++) {
        p->workers[i] = (worker){ .pool = p, .index = i + 1 };
        rc = pthread_create(&p->workers[i].thread, NULL, work, &p->workers[i]);
        if (rc == 0) p->n_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0) return AC_OK;
    return ac_fail_errno(err, AC_ENOMEM, rc, "cannot start thread %zu of %zu; ask for fewer with "
                         "--threads", p->n_workers + 1, p->n_threads);
}

ac_status ac_pool_open(ac_pool **out, size_t n_threads, ac_err *err)
{
    if (n_threads == 0) n_threads = ac_cpu_count();
    if (n_threads > MAX_THREADS)
        return ac_fail(err, AC_EARG, "%zu threads are too many; the most is %u", n_threads,
                       MAX_THREADS);
    ac_pool *p = ac_malloc_aligned(sizeof *p);
    if (!p) return ac_fail_nomem(err, sizeof *p);
    memset(p, 0, sizeof *p);
    p->n_threads = n_threads;
    p->workers = ac_calloc(n_threads, sizeof *p->workers);
    if (!p->workers) {
        ac_free(p);
        return ac_fail_nomem(err, n_threads * sizeof *p->workers);
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    const ac_status st = start_workers(p, err);
    if (st) ac_pool_close(&p);
    else *out = p;
    return st;
}

void ac_pool_close(ac_pool **pp)
{
    ac_pool *p = *pp;
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->n_workers; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    ac_free(p->workers);
    ac_free(p);
    *pp = NULL;
}

size_t ac_pool_threads(const ac_pool *p)
{
    return p ? p->n_threads : 1;
}

static void wait_until_empty(ac_pool *p)
{
    for (int i = 0; i < SPINS; i++) {
        if ((atomic_load(&p->state) & ACTIVE_MASK) == 0) return;
        AC_SPIN_HINT();
    }
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_waits, true);
    while ((atomic_load(&p->state) & ACTIVE_MASK) != 0) pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->caller_waits, false);
    pthread_mutex_unlock(&p->lock);
}

static void run_shared(ac_pool *p, size_t n_tasks, ac_pool_fn *fn, void *ctx)
{
    p->fn = fn;
    p->ctx = ctx;
    p->n_tasks = n_tasks;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    /* Nobody is inside a closed run, so the state may simply be set. */
    const uint64_t s = atomic_load(&p->state);
    atomic_store(&p->state, ((s & ~(uint64_t)(ACTIVE_MASK | OPEN_BIT)) + GENERATION) | OPEN_BIT);
    if (atomic_load(&p->sleepers) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    take_tasks(p, 0);
    atomic_fetch_and(&p->state, ~(uint64_t)OPEN_BIT);
    wait_until_empty(p);
}

void ac_pool_run(ac_pool *p, size_t n_tasks, ac_pool_fn *fn, void *ctx)
{
    if (n_tasks == 0) return;
    const ac_fp_state fp = ac_fp_enter();
    const bool nested = inside != SIZE_MAX;
    if (nested || !p || p->n_workers == 0 || n_tasks == 1) {
        const size_t before = inside;
        if (!nested) inside = 0;
        for (size_t i = 0; i < n_tasks; i++) fn(ctx, i, inside);
        inside = before;
    } else {
        inside = 0;
        run_shared(p, n_tasks, fn, ctx);
        inside = SIZE_MAX;
    }
    ac_fp_leave(fp);
}
