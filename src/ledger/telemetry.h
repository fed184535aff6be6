/* ledger/telemetry.h - reads telemetry.jsonl, what the guard saw and did (docs/formats/telemetry.md).
 *
 * T1  One pass; memory is bounded whatever the file's length: curves lie in at most 1,024 intervals that keep least and
 *     most, lists have a maximum and say what was left out.
 * T2  Strict where it reads: a member of another type, a level that does not exist, a line before the first begin are
 *     AC_EFORMAT with the line's number. Members and kinds of line that it does not know are passed over; a last line
 *     without its end is left out.
 * T3  One clock for the whole file: seconds from the first begin, the time between two processes left out. It never runs
 *     backwards.
 * T4  A run is VOID for timing claims unless its record shows that nothing disturbed it: no record, one without an end,
 *     or one whose end says why.
 * Threads: none; an object belongs to one caller. */
#ifndef AC_LEDGER_TELEMETRY_H
#define AC_LEDGER_TELEMETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "ledger/tail.h"

#define AC_TELEMETRY_FILE "telemetry.jsonl"

typedef enum { AC_TEL_GREEN, AC_TEL_YELLOW, AC_TEL_RED, AC_TEL_EMERGENCY, AC_TEL_LEVELS } ac_tel_level;
const char *ac_tel_level_name(ac_tel_level l);

typedef struct {
    const char *name, *text;
} ac_tel_pair;

/* A trainer and its guard, from begin to end. */
typedef struct {
    double from, until;              /* until: its last line so far */
    const char *utc, *run;
    int64_t guard_pid, pid;          /* 0: not told */
    uint64_t resumed_at, total_steps, micro_start;
    bool recompute;
    double budget_bytes, planned_bytes;                  /* NAN: none */
    struct {
        const char *window;                              /* NULL: all hours */
        bool battery, lid, polite, beside;
    } terms;
    size_t n_unknown;
    ac_tel_pair *unknown;            /* signals that could not be read, and why */
    bool ended;
    const char *end_utc;
    int64_t exit, signal;            /* exit -1: signal ended it */
    uint64_t step, durable;          /* at its end, or as last told */
    double seconds[AC_TEL_LEVELS], paused, slept;        /* as end says; without one, counted from the lines */
    double guard_cpu_seconds, guard_peak_bytes;          /* NAN: not told */
    size_t n_void;
    const char **why_void;
} ac_tel_session;

typedef struct {
    size_t session, line;
    double t;
    const char *utc, *act, *cause, *signal, *text;       /* cause, signal: NULL where the state itself acted */
    double arg, value, limit;                            /* NAN: none */
    uint64_t id;
    int64_t rule;                                        /* -1: none */
    ac_tel_level level, from, to;                        /* from, to: of a change of level */
    bool is_level;
    uint64_t step;                                       /* last whole step when it was decided */
    double before;                                       /* micro-batch, duty, recompute: the setting until then; NAN */
    bool acked, ok;
    double ack_ms;
    uint64_t ack_step, ack_durable;
    const char *ack_text;                                /* NULL: none */
} ac_tel_act;

typedef struct {
    int64_t micro, duty;             /* 0: not told */
    bool recompute, paused;
} ac_tel_setting;
typedef struct {                     /* from t on */
    double t;
    ac_tel_level level;
} ac_tel_level_at;
typedef struct {
    double t;
    ac_tel_setting s;
} ac_tel_setting_at;
typedef struct {                     /* what was done under one setting, over the whole run */
    ac_tel_setting s;
    bool full;                       /* the setting that its process began with */
    double seconds;
    uint64_t steps;
} ac_tel_spent;

typedef enum {
    AC_TEL_FOOTPRINT, AC_TEL_AVAILABLE,                  /* bytes */
    AC_TEL_CORES,                                        /* of the trainer, from its CPU seconds */
    AC_TEL_OTHERS,                                       /* foreign-cpu, % of the machine */
    AC_TEL_MARGIN,                                       /* degrees below the nearest trip point */
    AC_TEL_WATTS,
    AC_TEL_CURVES
} ac_tel_curve;

typedef struct {
    size_t n;                        /* samples; 0: the guard wrote none in this interval */
    double t0, t1;                   /* of the first and the last of them */
    uint64_t step0, step1;
    size_t session;                  /* of the last of them */
    ac_tel_level worst;
    struct {
        double lo, hi, last;         /* NAN: not measured */
    } c[AC_TEL_CURVES];
} ac_tel_bucket;
#define AC_TEL_BUCKETS ((size_t)1024)

/* The newest sample. */
typedef struct {
    bool any, valid;
    double t;
    ac_tel_level level;
    uint64_t step, durable;
    ac_tel_setting s;
    double c[AC_TEL_CURVES];
    double footprint_share, available_share, hot_margin, battery, disk, user_idle;   /* signals as told; NAN */
    char beside[64];
} ac_tel_now;

typedef struct {
    ac_arena arena;
    ac_tail tail;
    size_t n_sessions, n_acts, n_levels, n_settings, n_spent, left_out;
    size_t cap_sessions, cap_acts, cap_levels, cap_settings;
    ac_tel_session *session;
    ac_tel_act *act;
    ac_tel_level_at *level;
    ac_tel_setting_at *setting;
    ac_tel_spent spent[32];
    ac_tel_bucket *bucket;           /* AC_TEL_BUCKETS of them, each width seconds; NULL: no sample yet */
    double width;
    double until;                    /* of the last line */
    size_t n_samples, n_invalid;
    ac_tel_now now;
    struct {                         /* of the reader */
        bool sample;                 /* of this session */
        double t, cpu_seconds;
        uint64_t step;
        int64_t micro, duty, recompute;
    } last;
} ac_tel;                      /* {0}: nothing read yet */

/* One line; name places messages. After a failure only release may follow. */
ac_status ac_tel_line(ac_tel *t, ac_view line, const char *name, size_t number, ac_err *err);
/* Reads on from where the last call stopped. AC_ENOENT: there is no such file. tail.shrank: release, and read again. */
ac_status ac_tel_read(ac_tel *t, const char *path, ac_err *err);
void      ac_tel_release(ac_tel *t);

/* When a step was finished, in the clock of T3, between the samples around it; the last time, where a resume did it
 * again. NAN: it was not seen. */
double ac_tel_time_of_step(const ac_tel *t, double step);
/* Seconds a step under the settings that the processes began with; NAN where none was finished under them. */
double ac_tel_step_seconds(const ac_tel *t);
/* What the guard cost in time: all seconds of training less those that as many steps take undisturbed. NAN: not known. */
double ac_tel_cost_seconds(const ac_tel *t);
/* Seconds in each level over all sessions; out[AC_TEL_LEVELS] is the pause. */
void   ac_tel_level_seconds(const ac_tel *t, double out[AC_TEL_LEVELS + 1]);

/* T4 for a run folder, without reading all of it: why its times are no measure of the machine. n 0: they are. */
typedef struct {
    size_t n;
    const char **why;                /* in the arena */
} ac_run_void;
ac_status ac_run_void_read(ac_run_void *out, ac_arena *a, const char *run_dir, ac_err *err);

#endif
