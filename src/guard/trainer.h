/* guard/trainer.h - the trainer's end of the channel: obeys the guard's commands at unit boundaries.
 *
 * R1  A command is taken up at the next boundary, and answered once it is done: a checkpoint when it lies on the disk.
 * R2  A guard that is gone, or that breaks the channel's form, means: checkpoint and stop (75).
 * R3  Settings change no bit; a pause and a lower duty only take time.
 * Knows nothing of training. Threads: the one that trains. */
#ifndef AC_GUARD_TRAINER_H
#define AC_GUARD_TRAINER_H

#include <signal.h>
#include "guard/channel.h"

typedef enum { AC_ORDER_GO_ON, AC_ORDER_SAVE, AC_ORDER_STOP, AC_ORDER_DROP } ac_order;

typedef struct {
    ac_channel ch;
    const volatile sig_atomic_t *stop;   /* not 0: a signal asked to stop */
    uint64_t micro;                      /* the settings as they are now */
    bool recompute, paused, alone;       /* alone: the guard is gone */
    bool dropped;                        /* the run ends without a checkpoint of its last step */
    uint64_t duty;
    int end_code;                        /* what the guard wants the run to end with; 0: nothing */
    int64_t waited_ns;
    /* inside */
    bool can_recompute, went, save_due;
    uint64_t save_id, end_id;            /* commands that wait for a checkpoint */
    int64_t left_ns, told_ns;
    int64_t unit_ns, unit_told_ns;       /* the longest time between two boundaries under these settings */
    uint64_t step, durable, tokens;      /* of steps that were not told yet */
    double seconds;
} ac_trainer;

void     ac_trainer_init(ac_trainer *t, int fd, const volatile sig_atomic_t *stop);
/* Says what the run is, then waits (3 seconds at most) for the guard's first look. */
void     ac_trainer_hello(ac_trainer *t, const ac_msg *hello);
ac_order ac_trainer_boundary(ac_trainer *t, uint64_t step, uint64_t durable);
void     ac_trainer_step(ac_trainer *t, uint64_t step, double seconds, uint64_t tokens);
void     ac_trainer_saved(ac_trainer *t, uint64_t step, double seconds, uint64_t bytes);
/* The run ends: what was not told yet is. text: why it failed; NULL: it did not. */
void     ac_trainer_end(ac_trainer *t, uint64_t step, uint64_t durable, const char *text);

#endif
