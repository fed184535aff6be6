/* cli/top.h - a run while it goes on: what its files say (top_read.c), as a screen (top_frame.c).
 *
 * O1  Files alone are looked at, never the process: a run on a shared disk, or a copy, shows as well.
 * O2  A frame is a pure function of what was read and of the screen's size. Nothing in it is wider than the screen, and
 *     text from files cannot steer the terminal. */
#ifndef AC_CLI_TOP_H
#define AC_CLI_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/json.h"
#include "ledger/telemetry.h"

#define AC_TOP_POINTS ((size_t)256)
#define AC_TOP_RECENT ((size_t)20)

typedef struct {
    char *dir;                       /* borrowed */
    const char *id;
    char state[24];                  /* of run.json */
    uint64_t total_steps;            /* of run.json, or of telemetry; 0: not told */
    /* metrics.jsonl */
    ac_tail metrics;
    bool any_loss, any_valid;
    uint64_t step;                   /* last whole step */
    double loss, valid, best;
    double point[AC_TOP_POINTS];     /* means of `stride` steps each */
    size_t n_points, stride, n_sum;
    double sum;
    double recent[AC_TOP_RECENT];    /* seconds of the last steps */
    size_t n_recent;
    double trained_seconds;
    /* telemetry.jsonl */
    ac_tel tel;
    double age_seconds;              /* since the newest of the files was written; NAN: none of them */
} ac_top;

/* dir is borrowed; nothing is read yet. */
void      ac_top_open(ac_top *t, char *dir);
/* Reads what has come. Files that are not there yet are no failure. */
ac_status ac_top_read(ac_top *t, ac_err *err);
void      ac_top_close(ac_top *t);

bool   ac_top_ended(const ac_top *t);                /* the run itself: done, stopped or failed */
double ac_top_step_seconds(const ac_top *t);         /* mean of the last steps; NAN */
double ac_top_seconds_left(const ac_top *t);         /* NAN */

typedef struct {
    size_t width, height;            /* height 0: as long as it gets */
    bool color;
} ac_top_screen;
/* Appends the frame, each line with its line end. */
void ac_top_frame(ac_str *out, const ac_top *t, const ac_top_screen *s);
void ac_top_json(ac_str *out, const ac_top *t);

#endif
