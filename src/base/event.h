/* base/event.h - what the engine tells the outside while it works.
 *
 * V1  The engine emits, a sink given by cli receives; the engine knows neither terminal nor file.
 * V2  Fields are valid during the call only. A sink that returns a failure stops the work at the next
 *     safe point with that status (so a full disk ends a run cleanly). */
#ifndef AC_BASE_EVENT_H
#define AC_BASE_EVENT_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

typedef enum {
    AC_EV_STAGE,      /* a named stage of `total` units of work begins; text: its name        */
    AC_EV_PROGRESS,   /* done of total; rate and unit where known                             */
    AC_EV_STAGE_END,
    AC_EV_NOTE,       /* text: one line a person should see                                   */
    AC_EV_WARN,
    AC_EV_STEP,       /* one optimizer step: step, loss, grad_norm, lr, tokens ...            */
    AC_EV_EVAL,       /* validation: step, loss, seconds, best                                */
    AC_EV_CHECKPOINT, /* step; text: folder; done: bytes, seconds                             */
    AC_EV_SAMPLE      /* one answer: text                                                     */
} ac_event_kind;

typedef struct {
    ac_event_kind kind;
    const char *text;
    const char *unit;            /* of done/total: "tokens", "rows", "cases"                  */
    uint64_t done, total;
    uint64_t step, epoch;
    double loss, grad_norm, lr, seconds;
    uint64_t tokens;             /* computed positions of this step, padding included         */
    uint64_t supervised_tokens;
    uint64_t padding_tokens;
    int flag;                    /* EVAL: 1 when this is the best so far; STEP: 1 when undone */
} ac_event;

typedef struct {
    ac_status (*emit)(void *ctx, const ac_event *e, ac_err *err);
    void *ctx;
} ac_sink;

/* A sink of {0} drops everything. */
ac_status ac_emit(const ac_sink *s, const ac_event *e, ac_err *err);

#endif
