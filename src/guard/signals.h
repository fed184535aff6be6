/* guard/signals.h - a machine's signals, read below a root folder at a time that the caller gives.
 *
 * Q1  Every signal is a value or "not measured" with the reason; a file that is missing, malformed or out of range is never
 *     a 0. Reading never fails as a whole but for memory.
 * Q2  Rates need two readings; the first one says so.
 * Q3  Other programs are looked at and named, never signalled.
 * Q4  Memory and swap are read at each call; what changes slowly or costs more (heat, power, processors, GPUs) once a second at
 *     most, the table of processes every five. What is between keeps its last reading.
 * One reader a system: linux/signals.c, darwin/signals.c. Threads: one reader belongs to one thread. */
#ifndef AC_GUARD_SIGNALS_H
#define AC_GUARD_SIGNALS_H

#include "base/err.h"
#include "guard/nvml.h"
#include "guard/policy.h"

typedef struct {
    const char *root;                /* "" for the machine itself */
    int64_t pid;                     /* of the training process; 0: none */
    int64_t budget_bytes;            /* 0: none */
    const char *checkpoint_dir;      /* NULL: none; not below root */
    int64_t checkpoint_bytes;        /* size of one; 0: unknown */
    double step_ratio;               /* last steps over the first, from the trainer; 0: none yet */
    ac_nvml *gpus;                   /* NULL: the run uses none */
    int32_t gpu;                     /* which one the run uses; -1: all of them */
    int64_t utc_ns;                  /* now, for the times of terminals; 0: the system's clock */
} ac_signals_from;

/* Readings of a counter, to tell how much it has grown in the last while. */
#define AC_GROWTH_N 24
typedef struct {
    int64_t at[AC_GROWTH_N], v[AC_GROWTH_N];
    size_t n;
} ac_growth;

#define AC_GPU_SECONDS 60
typedef struct {
    bool had_swap, had_throttle, had_swap_used, had_cpu, had_slow, had_scan;
    int64_t last_ms, slow_ms, scan_ms;       /* of the last reading of each kind (Q4) */
    int64_t swap_pages, throttles;           /* counters at the last reading */
    int64_t cpu_all, cpu_busy, cpu_own;      /* ticks */
    int64_t swap_used_first;                 /* bytes */
    int64_t footprint_bytes, available_bytes, total_bytes;   /* as last read; -1: not measured */
    ac_growth swapped, written;
    /* of GPUs */
    bool had_gpu, had_errors;
    double uncorrected_first;
    int64_t gpu_second[AC_GPU_SECONDS];      /* which second this is; 0: none */
    uint16_t gpu_looks[AC_GPU_SECONDS], gpu_warm[AC_GPU_SECONDS];
    int64_t gpu_ms;
    double beside_count;                     /* as the table of processes has it; -1: not measured */
    ac_reading kept[AC_SIG_N_READ];
    char beside[64], scanned[64];
    char why[AC_SIG_N_READ][96];             /* what readings point to */
} ac_signals;                                /* {0}: nothing read yet; not to be copied, readings point into it */

/* Fills in->read, in->beside, in->taken_ms and in->now_ms; leaves the rest alone. Reasons are valid until the next call. */
ac_status ac_signals_read(ac_signals *s, const ac_signals_from *from, int64_t now_ms, ac_guard_sample *in, ac_err *err);

/* A descriptor that poll() reports (POLLPRI) once tasks have waited for memory for 150 ms within 2 s, to look earlier than at
 * the next second; closed with ac_signals_wake_close. -1: *why says why not. */
int  ac_signals_wake_open(const char *root, const char **why);
void ac_signals_wake_close(int fd);

/* Does this process compete for the machine? name: as the kernel has it, perhaps cut at 15 bytes; args: the command with its
 * arguments, each ended by NUL, or empty where it cannot be seen. NULL: no; else what to call it. */
const char *ac_guard_competitor(ac_view name, ac_view args);

#endif
