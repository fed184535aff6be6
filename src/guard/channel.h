/* guard/channel.h - what guard and trainer say to each other over their socket.
 *
 * C1  A frame is 0xA7, the kind, the length of what follows (16 bits) and the fields in a fixed order, little-endian. A
 *     frame of another length, an unknown kind or a value out of range is an error of the other side: the channel is then
 *     closed, and no field of it is used.
 * C2  Commands carry an id from 1 that grows; every answer names the command that it answers.
 * C3  Nobody ever waits for the other side to read: a frame that does not fit into the socket is left out where the next
 *     of its kind says as much (STEP), and tried again for a second otherwise.
 * Threads: one a side. */
#ifndef AC_GUARD_CHANNEL_H
#define AC_GUARD_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

typedef enum {
    /* guard to trainer */
    AC_MSG_GO = 1,           /* the first look is over: compute */
    AC_MSG_MICRO,            /* arg: units a forward at most */
    AC_MSG_RECOMPUTE,        /* arg: 0 or 1 */
    AC_MSG_DUTY,             /* arg: percent of the time to compute in, 1 to 100 */
    AC_MSG_PAUSE, AC_MSG_RESUME,
    AC_MSG_CHECKPOINT,       /* and go on */
    AC_MSG_EXIT,             /* arg: 75, 76 or 80; save: checkpoint first, else leave the step in flight */
    /* trainer to guard */
    AC_MSG_HELLO,            /* what the run is; once, before the first forward */
    AC_MSG_HEARD,            /* command `id` is taken up, and needs a while */
    AC_MSG_ACK,              /* command `id` is done (ok) or cannot be (text) */
    AC_MSG_STEP,             /* steps since the last one took `seconds` for `tokens`; ms: the longest unit under these settings */
    AC_MSG_SAVED,            /* a checkpoint of `step` took ms and has so many bytes */
    AC_MSG_KINDS
} ac_msg_kind;
const char *ac_msg_name(ac_msg_kind k);

#define AC_MSG_TEXT 256
#define AC_MSG_PATH 1024
typedef struct {
    ac_msg_kind kind;
    uint64_t id;                         /* commands, HEARD, ACK */
    uint64_t arg;
    bool save, ok;
    uint64_t step, durable;              /* ACK, STEP, SAVED: the last whole step; the last one in a checkpoint */
    uint64_t ms, bytes, tokens;
    double seconds;
    char text[AC_MSG_TEXT];              /* ACK that is not ok */
    /* HELLO; step and durable: where it goes on */
    char run_dir[AC_MSG_PATH];
    uint64_t total_steps, budget, planned_peak;      /* budget 0: none */
    uint64_t call_bytes, least_call_bytes;           /* the part of the peak that shrinks with the micro-batch */
    uint64_t checkpoint_bytes, micro_start;
    bool recompute, can_recompute;
    uint64_t window_from, window_to;                 /* minutes of the day; equal: any time */
    bool battery, lid, polite, beside;
    uint64_t gpu;                                    /* which GPU it computes on, from 1, as NVML counts them; 0: none */
} ac_msg;

#define AC_MSG_FRAME_MAX ((size_t)1400)
/* The frame's length; 0: the message cannot be said (a field out of range). */
size_t    ac_msg_write(unsigned char out[AC_MSG_FRAME_MAX], const ac_msg *m);
/* *used is 0 while the frame is not whole. AC_EFORMAT: C1. */
ac_status ac_msg_read(ac_msg *out, size_t *used, const unsigned char *p, size_t n, ac_err *err);

typedef struct {
    int fd;                              /* -1: closed */
    unsigned char in[2 * AC_MSG_FRAME_MAX];
    size_t n_in;
} ac_channel;
void      ac_channel_init(ac_channel *c, int fd);
/* Sends, waiting at most wait_ms. False: not sent, and where the other side is gone the channel is closed. */
bool      ac_channel_send(ac_channel *c, const ac_msg *m, int64_t wait_ms);
/* *got: a message was there. AC_EFORMAT as above. The channel closes (fd -1) where the other side has gone. */
ac_status ac_channel_next(ac_channel *c, ac_msg *m, bool *got, ac_err *err);

#endif
