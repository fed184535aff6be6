/* guard/policy.h - what is to be done about a machine's signals: a pure function (state, sample) -> (state, actions).
 *
 * Every rule compares one signal with one limit and has a latch of its own: on when the limit is reached for as long as
 * the rule says, off when the signal has stayed behind a second, milder limit for as long as it says. The worst latch that
 * is on asks for a level; the state follows under the rules below, and the actions follow from state and latches.
 *
 * G1  No clock, no I/O, no allocation: time comes with the sample. Same state and sample, same result.
 * G2  A signal that is not measured turns no latch on and none off. It is never 0.
 * G3  The state gets worse at once (the rules' holds keep noise out), and better one level at a time, after 30 seconds at
 *     least in a level. At most 6 changes in any hour: it gets better only if there is room left to get as bad as can be.
 * G4  A latch that comes on again within 10 minutes of going off takes twice as long to go off, up to 30 minutes.
 * G5  Actions are settings, not changes ("micro-batch 4"), so that doing one twice is doing it once; each is given once.
 * G6  What the whole system shows leads only to what can be taken back: smaller, slower, pause, checkpoint and exit.
 *     SIGTERM and SIGKILL go to our own child only, after a command to end that it left unanswered.
 * G7  Red memory ends in a command to exit in the same call; a pause frees no memory.
 * G8  The micro-batch is never below 1 nor above its start, and it grows only in green, twice as large once in 15 minutes.
 *
 * Not here: reading signals (signals.h), sending commands. Threads: none; a state belongs to one caller. */
#ifndef AC_GUARD_POLICY_H
#define AC_GUARD_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/str.h"

typedef enum { AC_GUARD_GREEN, AC_GUARD_YELLOW, AC_GUARD_RED, AC_GUARD_EMERGENCY } ac_guard_level;
const char *ac_guard_level_name(ac_guard_level l);      /* "green" */

typedef enum {
    AC_SIG_FOOTPRINT, AC_SIG_AVAILABLE, AC_SIG_PSI_SOME, AC_SIG_PSI_FULL, AC_SIG_PRESSURE, AC_SIG_SWAP_RATE,
    AC_SIG_SWAP_GROWN, AC_SIG_SWAP_SHARE, AC_SIG_THERMAL_LEVEL, AC_SIG_TRIP_MARGIN, AC_SIG_HOT_MARGIN, AC_SIG_THROTTLE,
    AC_SIG_GPU_WARM, AC_SIG_GPU_SLOWED, AC_SIG_GPU_ERRORS, AC_SIG_LOW_POWER, AC_SIG_ON_BATTERY, AC_SIG_BATTERY,
    AC_SIG_LID, AC_SIG_FOREIGN_CPU, AC_SIG_USER_IDLE, AC_SIG_BESIDE, AC_SIG_STEP_TIME, AC_SIG_DISK, AC_SIG_WRITTEN,
    AC_SIG_N_READ,
    AC_SIG_WINDOW = AC_SIG_N_READ,      /* these two are made by the policy itself */
    AC_SIG_BLIND,
    AC_SIG_N
} ac_signal;

typedef struct {
    const char *name, *unit, *what;
} ac_signal_info;
const ac_signal_info *ac_signal_about(ac_signal s);

/* A value, or why there is none. */
typedef struct {
    bool measured;
    double value;
    const char *why;                     /* when not measured; a constant or the collector's own text */
} ac_reading;

typedef enum {
    AC_CAUSE_MEMORY, AC_CAUSE_HEAT, AC_CAUSE_POWER, AC_CAUSE_OTHERS, AC_CAUSE_SLOW, AC_CAUSE_DISK, AC_CAUSE_WINDOW,
    AC_CAUSE_BLIND, AC_CAUSE_SICK, AC_CAUSE_N
} ac_guard_cause;
const char *ac_guard_cause_name(ac_guard_cause c);

/* One line of the table of thresholds. */
typedef struct {
    ac_signal signal;
    ac_guard_level level;
    ac_guard_cause cause;
    bool above;                          /* on at or above `enter`, off below `leave`; else on below, off at or above */
    double enter, leave;
    int32_t enter_ms;                    /* how long the limit must be reached, ... */
    int32_t enter_samples;               /* ... and in how many samples in a row */
    int32_t leave_ms;
    const char *source;
} ac_guard_rule;
#define AC_GUARD_RULES_MAX ((size_t)40)
extern const ac_guard_rule ac_guard_rules[];
extern const size_t ac_guard_n_rules;
/* The level that one value alone would ask for once its holds are over. */
ac_guard_level ac_guard_level_of(ac_signal s, double value);
/* The table as Markdown, as it stands in docs/guard.md. */
void ac_guard_table_md(ac_str *out);

/* What the contract and the run say; fixed for a run. */
typedef struct {
    int32_t window_from, window_to;      /* minutes of the local day, [from, to), over midnight when from > to; equal: always */
    bool battery_ok;                     /* trains on battery too, down to the floor */
    bool lid_ok;                         /* a closed lid is fine */
    bool polite;                         /* makes room for other programs while somebody works */
    bool beside_ok;                      /* full size beside an inference server or a video export */
    bool can_recompute;
    int64_t micro_start;                 /* >= 1 */
} ac_guard_terms;
ac_guard_terms ac_guard_terms_default(int64_t micro_start);
/* "22:00-07:00"; AC_EARG says what is wrong. Equal ends are refused: leave the key out to train at any time. */
ac_status ac_guard_window_parse(int32_t *from, int32_t *to, ac_view text, ac_err *err);
bool ac_guard_window_open(const ac_guard_terms *t, int32_t minute);

typedef struct {
    int64_t now_ms, taken_ms;            /* monotonic; when this is asked, and when the signals were read */
    int32_t minute;                      /* of the local day; -1: unknown */
    ac_reading read[AC_SIG_N_READ];
    char beside[64];                     /* name of the competing program, "" for none */
    /* of our own child */
    bool child_runs;
    uint64_t answered;                   /* id of the last command that the child acknowledged */
    int64_t checkpoint_ms;               /* how long the last checkpoint took; 0: none yet */
    int64_t unit_ms;                     /* how long it takes to come to a unit boundary, where it hears; 0: not known yet */
    int64_t micro_fits;                  /* the largest micro-batch that there is room to grow to; 0: unknown */
} ac_guard_sample;

/* A sample's signal as the rules see it: what the terms allow, and what says nothing in this state of things (a battery's charge
 * on mains, other programs while nobody is there), reads as well. */
ac_reading ac_guard_judged(const ac_guard_terms *t, const ac_guard_sample *in, ac_signal s);

typedef enum {
    AC_ACT_MICRO,                        /* arg: rows */
    AC_ACT_RECOMPUTE,
    AC_ACT_DUTY,                         /* arg: percent of time that may be spent computing */
    AC_ACT_PAUSE, AC_ACT_RESUME,
    AC_ACT_CHECKPOINT,                   /* and go on */
    AC_ACT_CHECKPOINT_EXIT,              /* arg: 75 resume here, 76 move it */
    AC_ACT_DROP_EXIT,                    /* leaves the step in flight, no checkpoint; arg: 75, 80 */
    AC_ACT_ADVISE_MOVE,                  /* to the person; comes with exit 76 */
    AC_ACT_WARN,                         /* to the person */
    AC_ACT_NAME,                         /* to the person: sample.beside competes */
    AC_ACT_TERM, AC_ACT_KILL,            /* own child only; id: the command that it left unanswered */
    AC_ACT_N
} ac_guard_act_kind;
const char *ac_guard_act_name(ac_guard_act_kind k);

typedef struct {
    ac_guard_act_kind kind;
    int64_t arg;
    uint64_t id;                         /* of a command to the child, from 1; 0: not for the child */
    int32_t rule;                        /* index into ac_guard_rules; -1: the state itself */
    ac_guard_cause cause;
} ac_guard_act;
#define AC_GUARD_ACTS_MAX ((size_t)12)

typedef struct {
    size_t n;
    ac_guard_act act[AC_GUARD_ACTS_MAX];
    bool changed;                        /* the level changed in this call */
    bool held;                           /* it would be better by now, were it not for the bound of G3 */
    int64_t next_ms;                     /* when to sample again, from now */
} ac_guard_acts;

typedef struct {
    bool on;
    int64_t entering_ms, leaving_ms;     /* since when the limit is reached, or left behind; -1: is not */
    int32_t samples;
    int64_t off_ms, leave_ms;            /* when it last went off (-1: never); its hold now (G4) */
} ac_guard_latch;

#define AC_GUARD_CHANGES_MAX 6
typedef struct {
    bool begun;
    ac_guard_level level;
    int64_t last_ms, level_ms;           /* the last sample; since when this level */
    ac_guard_latch latch[AC_GUARD_RULES_MAX];
    int64_t change_ms[AC_GUARD_CHANGES_MAX];
    size_t n_changes;                    /* in the last hour */
    int32_t invalid;                     /* samples in a row */
    bool seen_available, seen_footprint;
    /* the child's settings */
    int64_t micro, duty, micro_ms, duty_ms, pause_ms;
    bool recompute, paused, lowered;     /* lowered: settings do not go back up for the rest of the run */
    bool held_said, window_saved;
    uint64_t warned, last_id;            /* warned: a bit for a rule that was told */
    char named[64];
    /* the command to end, once given */
    uint64_t end_id;
    int64_t end_ms, end_wait_ms, term_ms, term_wait_ms;
    bool end_answered, killed;
} ac_guard_state;

ac_guard_state ac_guard_begin(const ac_guard_terms *t);
ac_guard_state ac_guard_step(ac_guard_state s, const ac_guard_terms *t, const ac_guard_sample *in, ac_guard_acts *out);

#endif
