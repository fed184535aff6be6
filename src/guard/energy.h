/* guard/energy.h - what a stretch of work drew, by the best method that the machine offers.
 *
 * E1  An answer has a method and what it covers, or says for each method why it is none. Nothing is a zero because nobody
 *     could look.
 * E2  The order: Slurm's accounting (the nodes of the job), the battery's gauge (the whole machine, while it discharges
 *     throughout), RAPL (processor packages and memory) with NVML where a GPU computes, watts at full load times load (an
 *     estimate), none. The first that answers is taken; methods are never added up, but for RAPL and NVML, which cover
 *     different parts.
 * E3  What the whole machine drew while the work went on is counted, idle share included.
 * E4  RAPL's counters turn over: they are to be looked at often (ac_energy_look costs a few microseconds and does nothing
 *     twice within a second). Where a counter could have turned over unseen, the answer is "at least".
 * Threads: a meter belongs to one thread. */
#ifndef AC_GUARD_ENERGY_H
#define AC_GUARD_ENERGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AC_ENERGY_TEXT 192
#define AC_ENERGY_ZONES 32

typedef enum { AC_ENERGY_NONE, AC_ENERGY_SLURM, AC_ENERGY_BATTERY, AC_ENERGY_COUNTERS, AC_ENERGY_WATTS } ac_energy_kind;

/* Millijoules that the GPUs in use have drawn since the driver was loaded; false and the reason where nothing says so. */
typedef bool ac_energy_gpu(void *ctx, int64_t *millijoules, char why[AC_ENERGY_TEXT]);

typedef struct {
    const char *root;            /* "" for the machine itself */
    double watts;                /* of the machine at full load; 0: not known */
    size_t cpus;
    const char *slurm_job;       /* NULL: not in one */
    const char *sacct;           /* the program; NULL: sacct in PATH */
} ac_energy_from;

typedef struct {
    bool ok;
    char why[AC_ENERGY_TEXT];    /* when not */
} ac_energy_can;

typedef struct {
    char name[32];               /* "package-0" */
    char path[256];
    int64_t last, range;         /* microjoules; range: where it turns over, 0: unknown */
} ac_energy_zone;

typedef struct {
    ac_energy_from from;
    bool gpu_computes;
    ac_energy_gpu *gpu;
    void *gpu_ctx;
    int64_t looked_ns;
    ac_energy_can slurm, battery, rapl, nvml;
    int64_t slurm_joules, nvml_mj;                       /* at the beginning */
    size_t n_zones;
    ac_energy_zone zone[AC_ENERGY_ZONES];
    double rapl_uj;                                      /* so far */
    bool rapl_missed;
    size_t n_batteries;
    char battery_path[4][128];
    double gauge_uwh, power_uw, drawn_uws;               /* at the beginning; at the last look; so far, by the power */
    bool has_power;
} ac_energy_meter;

typedef struct {
    ac_energy_kind kind;
    const char *method;          /* "RAPL", "RAPL + NVML", "battery", ...; "not measured" */
    double joules;               /* unless NONE */
    bool at_least, estimated;
    char covers[AC_ENERGY_TEXT]; /* "package-0, dram" */
    char why[4 * AC_ENERGY_TEXT + 64];   /* why the methods before it in the order gave nothing */
} ac_energy;

void ac_energy_begin(ac_energy_meter *m, const ac_energy_from *from, int64_t now_ns);
/* From here on a GPU computes; gpu NULL: nothing reads its energy. */
void ac_energy_with_gpu(ac_energy_meter *m, ac_energy_gpu *gpu, void *ctx);
/* Watts at full load, where they become known later. */
void ac_energy_with_watts(ac_energy_meter *m, double watts);
void ac_energy_look(ac_energy_meter *m, int64_t now_ns);
/* What was drawn up to now; the meter goes on. cpu_seconds: of the work since the beginning. asked: also ask programs
 * (sacct), which takes a moment. */
void ac_energy_read(ac_energy_meter *m, ac_energy *out, double cpu_seconds, double wall_seconds, int64_t now_ns, bool asked);

/* What a counter that turns over at range went forward; false where that cannot be told. */
bool ac_energy_counter_delta(int64_t *out, int64_t before, int64_t now, int64_t range);

#endif
