/* ledger/tail.h - whole lines that came to a file since the last look; for logs that a running program appends to.
 *
 * L1  A last line without its end is left for the next look; who reads once never sees it.
 * L2  Memory is bounded by the longest line allowed. Between two looks nothing is held open.
 * L3  A file that became shorter is reported and not read: what was built from it has to be built anew. */
#ifndef AC_LEDGER_TAIL_H
#define AC_LEDGER_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

typedef struct {
    uint64_t at;                     /* first byte not given yet */
    size_t number;                   /* lines given */
    bool shrank;                     /* L3: nothing was read, and the next call begins at the top */
} ac_tail;                           /* {0}: from the top */

typedef ac_status ac_tail_fn(void *ctx, ac_view line, size_t number, ac_err *err);
/* A failure of fn ends the call; the line then counts as given. AC_ENOENT: no such file. A line of more than
 * max_line_bytes is AC_EFORMAT. */
ac_status ac_tail_read(ac_tail *t, const char *path, size_t max_line_bytes, ac_tail_fn *fn, void *ctx, ac_err *err);

#endif
