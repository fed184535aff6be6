/* base/proc.h - running another program and reading what it prints.
 *
 * P1  No shell: argv goes to the program as it is, which is looked up in PATH.
 * P2  stdin is /dev/null, stderr too unless asked for; the child has default signal dispositions.
 * P3  The child is killed and waited for when the output grows over its limit or the time is over; nothing is
 *     left running. */
#ifndef AC_BASE_PROC_H
#define AC_BASE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

typedef struct {
    size_t max_bytes;      /* of output; 0: 64 MiB */
    int64_t timeout_ms;    /* 0: 60 seconds */
    bool with_stderr;      /* stderr goes into out too */
} ac_proc_limits;

/* Appends stdout to out and sets *exit_code (128 + signal when one ended it). limits may be NULL. AC_ENOENT: no such
 * program; AC_EIO: over a limit, or a system call failed. */
ac_status ac_proc_run(const char *const *argv, const ac_proc_limits *limits, ac_str *out, int *exit_code,
                      ac_err *err);

/* A program that runs beside this one. Its stdin is /dev/null, its stdout goes into the file stdout_path (made anew), its
 * stderr is ours, so that its progress is seen. */
typedef struct ac_child ac_child;
ac_status ac_child_start(ac_child **out, const char *const *argv, const char *stdout_path, ac_err *err);
/* Waits for its end, at most ms. *ended tells whether it has ended, and then *exit_code is set. */
ac_status ac_child_wait(ac_child *c, int64_t ms, bool *ended, int *exit_code, ac_err *err);
/* Asks one that still runs to end (SIGTERM), kills it after grace_ms, waits for it. Accepts NULL, leaves NULL. */
void      ac_child_close(ac_child **c, int64_t grace_ms);

#endif
