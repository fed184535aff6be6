/* guard/nvml.h - what NVIDIA's management library says of the GPUs. Opened while the program runs: building needs nothing of
 * it, and a machine without it is told so.
 *
 * N1  Every figure is a value or "not measured" with the reason: no library, a function that this driver lacks, a GPU that
 *     does not offer it, a GPU that was lost. It is never 0 for want of an answer.
 * N2  Counters (energy, uncorrected errors) count since the driver was loaded: callers take differences. Xids count since
 *     the library was opened here.
 * N3  Only questions are asked: no setting of a GPU is changed, no process is signalled.
 * Loading it takes some 15 MiB of the process: open it where a GPU is used or asked about.
 * Threads: one handle belongs to one thread. */
#ifndef AC_GUARD_NVML_H
#define AC_GUARD_NVML_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "guard/policy.h"

#define AC_NVML_GPUS_MAX ((size_t)16)

/* Clocks-event reasons, by the library's numbers. */
#define AC_NVML_SW_POWER_CAP 0x4u
#define AC_NVML_HW_SLOWDOWN  0x8u
#define AC_NVML_SW_THERMAL   0x20u
#define AC_NVML_HW_THERMAL   0x40u
#define AC_NVML_POWER_BRAKE  0x80u

typedef struct {
    char name[96];                       /* "NVIDIA H100 80GB HBM3"; "" when not told */
    bool lost;                           /* it fell off the bus: every reading says so */
    ac_reading memory_used, memory_total;    /* bytes, of all processes */
    ac_reading reasons;                  /* the bits above, and others */
    ac_reading uncorrected;              /* memory errors (ECC), a counter */
    ac_reading xids;                     /* of those that tell of a sick GPU, not of a faulty program */
    int64_t last_xid;                    /* 0: none */
    ac_reading watts;
    ac_reading energy_mj;                /* millijoules, a counter */
    ac_reading celsius;
    ac_reading own_bytes, foreign_bytes; /* held by compute processes that are ours, and by others */
    int64_t foreign_pid;                 /* the one of them that holds most; 0: none */
    size_t n_foreign;
} ac_nvml_gpu;

typedef struct ac_nvml ac_nvml;

/* Gives *out even where there is no library: ac_nvml_why says it then, and there are no GPUs. Only AC_ENOMEM fails. path NULL:
 * what ACCORD_NVML_LIB names, else libnvidia-ml.so.1. */
ac_status   ac_nvml_open(ac_nvml **out, const char *path, ac_err *err);
void        ac_nvml_close(ac_nvml **n);              /* accepts NULL, leaves NULL */
const char *ac_nvml_why(const ac_nvml *n);           /* why there is no answer at all; NULL: there is */
size_t      ac_nvml_count(const ac_nvml *n);
/* Reads GPU i < count. ours: processes whose memory is not foreign. Reasons are valid until the handle is closed. */
void        ac_nvml_read(ac_nvml *n, size_t i, const int64_t *ours, size_t n_ours, ac_nvml_gpu *out);

#endif
