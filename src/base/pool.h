/* base/pool.h - a fixed pool of worker threads.
 *
 * P1  ac_pool_run calls fn(ctx, i, worker) once for each task i in 0..n-1 and returns when all are done.
 *     Which worker takes which task is not fixed; so a task must own its outputs (B3), and results
 *     can not depend on the number of threads.
 * P2  Every worker, and the caller, computes under round-to-nearest with denormals kept (B1): MXCSR and
 *     FPCR are set at the entry of each run and put back for the caller.
 * P3  Workers sleep when idle (spin briefly first); they are not bound to cores and reset an inherited
 *     affinity to what the process may use. Signals are left to the other threads.
 * P4  A run inside a task of any pool is done serially by the worker that asked for it.
 * Threads: one run at a time per pool. */
#ifndef AC_BASE_POOL_H
#define AC_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

typedef struct ac_pool ac_pool;
typedef void ac_pool_fn(void *ctx, size_t task, size_t worker);

/* n_threads counts the caller too; 0 asks for the number of CPUs this process may use. */
ac_status ac_pool_open(ac_pool **out, size_t n_threads, ac_err *err);
void      ac_pool_close(ac_pool **p);
size_t    ac_pool_threads(const ac_pool *p);      /* NULL counts as one thread */
void      ac_pool_run(ac_pool *p, size_t n_tasks, ac_pool_fn *fn, void *ctx); /* p may be NULL */
size_t    ac_cpu_count(void);                     /* that this process may use; at least 1 */

/* The floating-point rules of B1 for code that runs outside a pool; leave puts back what enter found. */
typedef struct {
    uint64_t saved;
} ac_fp_state;
ac_fp_state ac_fp_enter(void);
void        ac_fp_leave(ac_fp_state s);

#endif
