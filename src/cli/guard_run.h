/* cli/guard_run.h - `accord train` as two processes: a small guard, and the trainer as its child.
 *
 * W1  They part before anything is read, so that the guard stays small; the trainer does all the work and all the talking
 *     that a training without guard does, and its exit code becomes the guard's.
 * W2  Signals that the guard gets are passed on to the trainer, and to nothing else.
 * W3  Neither a guard that cannot write its record nor one that is killed ends a run in any other way than by a checkpoint. */
#ifndef AC_CLI_GUARD_RUN_H
#define AC_CLI_GUARD_RUN_H

#include "base/fork.h"
#include "cli/train_run.h"
#include "guard/actor.h"
#include "guard/trainer.h"

/* `train` with a guard where one is wanted: both processes come back from here, each to end by itself. */
ac_status ac_guard_train(ac_cli *cli, const ac_train_cli *o, ac_err *err);

/* ---- the trainer's side (guard_child.c) ---- */
struct ac_guard_link {
    bool guarded;
    ac_trainer t;
    ac_sink next;
    bool left;                                                   /* by a worker: the socket is closed here */
};
void    ac_link_open(ac_guard_link *l, const ac_forked *f);      /* f NULL: no guard */
/* A copy of the trainer that is none: it holds nothing of the guard's. */
void    ac_link_leave(ac_guard_link *l);
/* From here on signals ask the run to stop. */
void    ac_link_catch_signals(const ac_guard_link *l);
/* The run is held and refused nothing: tells the guard what it is and waits for its first look. */
void    ac_link_hello(ac_guard_link *l, const ac_run_record *rec, const ac_train_reach *reach, uint64_t step);
ac_train_order ac_link_control(void *link, ac_train_now *now);   /* for ac_train_job */
ac_sink ac_link_sink(ac_guard_link *l, ac_sink next);            /* tells the guard of steps and checkpoints */
void    ac_link_end(ac_guard_link *l, const char *failure);
/* Of a run that was stopped: the sentence for the person, and the exit code where it is not 75 (else 0). why: "" or what broke. */
int     ac_link_stopped(const ac_guard_link *l, const ac_run_record *rec, uint64_t step, const char *why, ac_err *err);
/* What has to be moved, for a run that does not fit here. */
void    ac_guard_advice(ac_cli *cli, const ac_run_record *rec, const ac_lock *lock, ac_contract *c);

/* ---- the record (guard_telemetry.c): docs/formats/telemetry.md ---- */
typedef struct {
    ac_appender *file;
    ac_str line;
    int64_t guard_pid;
    const char *path;                    /* borrowed; for messages */
    bool failed;
    ac_err why;                          /* when failed: told once */
    uint64_t unknown;                    /* bits of signals whose reason was told */
} ac_telemetry;
void ac_telemetry_open(ac_telemetry *t, const char *path);
void ac_telemetry_begin(ac_telemetry *t, const ac_actor *a);
void ac_telemetry_sample(ac_telemetry *t, const ac_actor *a);
void ac_telemetry_act(ac_telemetry *t, const ac_actor *a, const ac_actor_note *n);
void ac_telemetry_ack(ac_telemetry *t, const ac_actor *a, const ac_msg *m, int64_t took_ms);
void ac_telemetry_end(ac_telemetry *t, const ac_actor *a, const ac_fork_end *e);
void ac_telemetry_close(ac_telemetry *t);

#endif
