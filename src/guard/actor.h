/* guard/actor.h - the guard at work: hears the trainer, reads the signals, asks the policy, sends its commands.
 *
 * A1  No clock of its own: each call is told the time, so that tests turn it.
 * A2  Whatever fails here (a signal's file, memory, the record) never ends the run: the sample is then not valid, and the
 *     policy treats it so.
 * A3  Only the trainer is ever signalled, through the one call given for it.
 * Not here: the process (cli forks, waits, relays signals), the record (cli writes what `watch` is told).
 * Threads: one. */
#ifndef AC_GUARD_ACTOR_H
#define AC_GUARD_ACTOR_H

#include "guard/channel.h"
#include "guard/policy.h"
#include "guard/signals.h"

typedef struct {
    int64_t now_ms, boot_ms;             /* monotonic without and with the machine's sleep */
    int64_t utc_ns;
    int32_t minute;                      /* of the local day; -1: unknown */
} ac_actor_time;

typedef struct ac_actor ac_actor;

/* One act, ready to be told. */
typedef struct {
    const ac_guard_act *act;             /* NULL: a change of level from `from` to the actor's */
    ac_guard_level from;
    const char *text;                    /* "memory 86 % of its budget, limit 85: micro-batch 8 -> 4, no bit changes" */
    ac_reading value;                    /* of the rule's signal */
    bool loud;                           /* also where nobody wants notes */
} ac_actor_note;

/* What the actor tells; each may be NULL. Times are a->time. */
typedef struct {
    void *ctx;
    void (*begin)(void *ctx, const ac_actor *a);         /* after the first look */
    void (*sample)(void *ctx, const ac_actor *a);        /* one for the record, after the acts that it led to */
    void (*act)(void *ctx, const ac_actor *a, const ac_actor_note *n);
    void (*ack)(void *ctx, const ac_actor *a, const ac_msg *m, int64_t took_ms);
    void (*kill)(void *ctx, bool hard);                  /* SIGTERM, SIGKILL to the trainer */
} ac_actor_watch;

#define AC_ACTOR_SENT 32
#define AC_ACTOR_STEPS 15
struct ac_actor {
    ac_channel ch;
    ac_actor_watch watch;
    ac_actor_time time;
    bool begun, looked, child_runs, valid;
    int64_t begin_ms, begin_sleep_ms;
    ac_msg hello;
    ac_guard_terms terms;
    ac_guard_state state;
    ac_guard_sample in;
    ac_signals signals;
    ac_signals_from from;
    int64_t next_ms;                     /* when to look again */
    /* the trainer as it answered */
    uint64_t step, durable, answered;
    uint64_t micro, duty;
    bool recompute, paused;
    int64_t checkpoint_ms, unit_ms;      /* the last checkpoint; the longest unit */
    uint64_t checkpoint_bytes;
    int end_code;                        /* what it was told to end with; 0: nothing */
    struct {
        uint64_t id;
        int64_t ms;
    } sent[AC_ACTOR_SENT];
    size_t n_sent;
    /* seconds a token: the first steps' median, and the last ones' */
    double per_token[AC_ACTOR_STEPS], baseline;
    size_t n_steps;
    /* what the record needs */
    int64_t told_ms;
    ac_reading told[AC_SIG_N_READ];
    /* how long in which state, in ms */
    int64_t level_ms[4], paused_ms, slow_ms, small_ms, recompute_ms, foreign_ms, sum_ms;
    uint64_t least_micro, least_duty;
};

/* root: "" for the machine itself. fd stays the caller's. */
void    ac_actor_init(ac_actor *a, int fd, int64_t pid, const char *root, const ac_actor_watch *watch);
/* What the trainer has said. */
void    ac_actor_receive(ac_actor *a, const ac_actor_time *now);
/* Looks, where it is time to (or where `early`: something woke the guard), and acts. */
void    ac_actor_tick(ac_actor *a, const ac_actor_time *now, bool early);
/* Until the next look; -1: nothing to look at yet. */
int64_t ac_actor_wait_ms(const ac_actor *a, int64_t now_ms);
/* The trainer has ended: adds up what the record's end needs. */
void    ac_actor_end(ac_actor *a, const ac_actor_time *now);
/* Bytes that the run takes at its peak with so many units a forward. */
uint64_t ac_actor_peak(const ac_msg *hello, uint64_t micro);

#endif
