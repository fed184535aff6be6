/* guard/signals.h - a machine's signals, read below a root folder at a time that the caller gives.
 *
 * Q1  Every signal is a value or "not measured" with the reason; a file that is missing, malformed or out of range is never
 *     a 0. Reading never fails as a whole but for memory.
 * Q2  Rates need two readings; the first one says so.
 * Q3  Other programs are looked at and named, never signalled.
 * Threads: one reader belongs to one thread. */
#ifndef AC_GUARD_SIGNALS_H
#define AC_GUARD_SIGNALS_H

#include "base/err.h"
#include "guard/policy.h"

typedef struct {
    const char *root;                /* "" for the machine itself */
    int64_t pid;                     /* of the training process; 0: none */
    int64_t budget_bytes;            /* 0: none */
    const char *checkpoint_dir;      /* NULL: none; not below root */
    int64_t checkpoint_bytes;        /* size of one; 0: unknown */
    double step_ratio;               /* last steps over the first, from the trainer; 0: none yet */
} ac_signals_from;

#define AC_SIGNALS_SWAP_MINUTES 10
typedef struct {
    bool had_swap, had_throttle, had_swap_used, had_cpu;
    int64_t last_ms;
    int64_t swap_pages, throttles;           /* counters at the last reading */
    int64_t cpu_all, cpu_busy, cpu_own;      /* ticks */
    int64_t swap_used_first;                 /* bytes */
    int64_t footprint_bytes, available_bytes, total_bytes;   /* as last read; -1: not measured */
    int64_t minute_at[AC_SIGNALS_SWAP_MINUTES], minute_pages[AC_SIGNALS_SWAP_MINUTES];
    size_t n_minutes;
} ac_signals;                                /* {0}: nothing read yet */

/* Fills in->read, in->beside, in->taken_ms and in->now_ms; leaves the rest alone. */
ac_status ac_signals_read(ac_signals *s, const ac_signals_from *from, int64_t now_ms, ac_guard_sample *in, ac_err *err);

/* Does a process of this name (comm, or the last part of its command) compete for the machine? */
bool ac_guard_competes(ac_view name);

#endif
