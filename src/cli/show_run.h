/* cli/show_run.h - a run for people: what run.json and promotions say, a line a topic. */
#ifndef AC_CLI_SHOW_RUN_H
#define AC_CLI_SHOW_RUN_H

#include "cli/commands.h"
#include "formats/json.h"
#include "ledger/ledger.h"

typedef struct {
    const char *channel;
    bool serves;                 /* stands on top */
    const ac_promotion *act;     /* its last promotion there */
    const ac_promotion *gone;    /* the act that took it off, or covered it; NULL: serves */
} ac_show_channel;

/* Every channel on which the run was promoted; none where nothing was. */
ac_status ac_show_channels(ac_show_channel **out, size_t *n, ac_arena *a, const char *project, const char *run, ac_err *err);

/* What is not known is left out. */
void ac_show_run_text(ac_str *out, const ac_cli *cli, const ac_json *run, const ac_show_channel *on, size_t n_on);
void ac_show_channels_json(ac_str *out, const ac_show_channel *on, size_t n);   /* an array */

#endif
