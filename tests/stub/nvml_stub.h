/* tests/stub/nvml_stub.h - a libnvidia-ml.so.1 that plays what a test sets: two GPUs at most, no driver. A test opens the
 * library itself, finds `nvml_stub` in it, and sets that. Built thrice: whole; "old" (an old driver's names, few functions);
 * "bare" (no nvmlInit). */
#ifndef ACCORD_TESTS_NVML_STUB_H
#define ACCORD_TESTS_NVML_STUB_H

typedef struct {
    int init_status, count_status;
    unsigned count;
    struct {
        int status;                          /* of every question about this GPU */
        int ecc_status, energy_status, watch_status;
        unsigned long long reasons, used, total, uncorrected, energy_mj;
        unsigned mw, celsius;
        unsigned n_processes;
        struct {
            unsigned pid;
            unsigned long long used;
        } process[4];
        unsigned n_xids;                     /* still to be told */
        unsigned long long xid[4];
    } gpu[2];
    unsigned inits, shutdowns, sets;         /* how often; sets that are open */
} nvml_stub_state;

#endif
