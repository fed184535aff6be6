/* plan/outlook.h - when a run would end, what it would cost, and where it belongs: a pure decision over measured facts.
 *
 * O1  What is not known stays unknown (NAN) and is said; nothing is counted as zero because nobody looked.
 * O2  The verdict is the first that holds: memory does not fit: a node; so long that a night does not do: a node; so long that
 *     it would be in the way, or only the window's hours are allowed: tonight; else here.
 * O3  Same facts, same verdict: no clock is read here. */
#ifndef AC_PLAN_OUTLOOK_H
#define AC_PLAN_OUTLOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/mem.h"

/* A night where no window is given. */
#define AC_NIGHT_HOURS 9.0

typedef struct {
    bool fits;
    uint64_t peak, limit, least;
    double seconds;                  /* of the whole run, computing; NAN: unknown */
    double local_hours;              /* triage.local_hours: from here at night or on a node */
    bool has_window;
    int32_t window_from, window_to;  /* minutes of the local day */
    int32_t minute;                  /* now; -1: unknown */
    double checkpoint_bytes;         /* of one */
    double kept;                     /* checkpoints that are kept at once, and the result */
    double disk_free, disk_all;      /* NAN: unknown */
    double watts, kwh, machine_hour, machine_price, machine_years, machine_hours_a_year;   /* 0: not given */
    double node_hour, node_speed;    /* 0: not given */
} ac_outlook_facts;

typedef enum { AC_OUTLOOK_HERE, AC_OUTLOOK_TONIGHT, AC_OUTLOOK_NODE } ac_outlook_verdict;
const char *ac_outlook_name(ac_outlook_verdict v);      /* "here", "tonight", "a node" */

#define AC_OUTLOOK_REASONS 8
typedef struct {
    ac_outlook_verdict verdict;
    bool disk_fits;                  /* true where it is not known */
    size_t n_reasons;
    const char *reason[AC_OUTLOOK_REASONS];
    double wall_seconds;             /* from now to the end, the window's closed hours too; NAN: unknown */
    double wait_seconds;             /* of that until it begins */
    double nights;                   /* of the window, or of nine hours; NAN: unknown */
    double disk_need;                /* 3 checkpoints and 5 % of the file system, or what is kept where that is more */
    double energy_kwh, money, node_hours, node_money;   /* NAN: unknown */
} ac_outlook;
ac_status ac_outlook_decide(ac_outlook *out, const ac_outlook_facts *f, ac_arena *a, ac_err *err);

/* Seconds from `minute` on until `seconds` have been computed within [from, to) of each day; *wait: until it begins. */
double ac_window_span(int32_t from, int32_t to, int32_t minute, double seconds, double *wait);

#endif
