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

#endif
