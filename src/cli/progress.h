/* cli/progress.h - a sink that shows work: a bar with rate and time left on a terminal, one plain line every
 * ten seconds in a pipe. Notes and warnings are whole lines in both; quiet keeps only warnings. */
#ifndef AC_CLI_PROGRESS_H
#define AC_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/event.h"

typedef struct {
    FILE *to;
    bool tty, quiet;
    size_t width;
    int64_t (*now_ns)(void);
    /* the stage */
    char stage[64], unit[24];
    uint64_t done, total;
    int64_t started_ns, shown_ns;
    bool in_stage, bar_drawn;
    double loss;                /* of the last step; negative: none yet */
} ac_progress;

void    ac_progress_init(ac_progress *p, FILE *to, bool tty, bool quiet, size_t width);
ac_sink ac_progress_sink(ac_progress *p);
void    ac_progress_clear(ac_progress *p);      /* takes the bar away before something else is printed */

#endif
