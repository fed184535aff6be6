/* base/fork.h - a child that is a copy of this process, a socket between the two, and signals as something to read.
 *
 * K1  ac_fork is called before this process has threads.
 * K2  The child does not outlive its parent unnoticed: its end of the socket closes, and where the system can (Linux)
 *     it gets a signal besides.
 * K3  Only that child is ever signalled. */
#ifndef AC_BASE_FORK_H
#define AC_BASE_FORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

typedef struct {
    bool is_child;
    int64_t parent, pid;         /* pid: the child's, in both */
    int fd;                      /* this side's end; not blocking, not passed on to programs that are started */
} ac_forked;

/* Both sides go on from here. The caller's signals are blocked in both: ac_relay_open lets them through in the parent,
 * ac_fork_unblock in the child. */
ac_status ac_fork(ac_forked *out, int death_signal, ac_err *err);
void      ac_fork_unblock(void);
void      ac_fork_close(ac_forked *f);

typedef struct {
    bool ended;
    int exit_code, signal;       /* signal: 0, or what ended it, and exit_code is then 128 + signal */
} ac_fork_end;
/* Has it ended? Does not wait. */
ac_fork_end ac_fork_poll(const ac_forked *f);
void      ac_fork_signal(const ac_forked *f, int sig);

/* Of the child: a process group of its own; what the terminal sends then goes to the parent alone. */
void      ac_fork_own_group(void);
/* Asks the kernel to take this process first when memory runs out (best effort). */
void      ac_oom_score_set(int score);
/* Gives back what programs and libraries mapped when they started and is the same as in their files; what is used again
 * comes back by itself. */
void      ac_drop_clean_pages(void);
/* Keeps this process's pages in memory, also those to come (best effort). */
void      ac_lock_memory(void);

/* Signals of this process as bytes in a pipe: INT, TERM, HUP, USR1, USR2, TSTP, CONT, CHLD. */
ac_status ac_relay_open(int *fd, ac_err *err);
int       ac_relay_next(int fd);     /* 0: none is waiting */
/* Ends this process by a signal as if it had never been caught. */
void      ac_die_by(int sig);
void      ac_stop_self(void);        /* until SIGCONT */

/* Waits for one of the descriptors (-1: none) or ms (-1: for ever). urgent (-1: none): one that tells of something urgent
 * (POLLPRI). 1: it did; -1: it will not any more, close it; else 0. */
int       ac_wait_fds(const int *fd, int n, int urgent, int64_t ms);

/* As read and write on a descriptor that does not block: the count, 0 at the end of the file, -1: would block, -2: failed. */
int64_t   ac_fd_read(int fd, void *buf, size_t len);
int64_t   ac_fd_write(int fd, const void *buf, size_t len);

#endif
