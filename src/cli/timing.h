/* cli/timing.h - how a run whose times are no measure of the machine is marked (ledger/telemetry.h, T4). */
#ifndef AC_CLI_TIMING_H
#define AC_CLI_TIMING_H

#include "cli/cli.h"
#include "formats/json.h"
#include "ledger/telemetry.h"

/* "VOID for timing claims: reason; reason", on one line; nothing where the times hold. */
void ac_timing_text(ac_str *out, const ac_cli *cli, const ac_run_void *v);
/* A member "timing": {"void": true, "why": ["reason"]}. */
void ac_timing_json(ac_jw *w, const ac_run_void *v);

#endif
