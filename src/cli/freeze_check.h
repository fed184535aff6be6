/* cli/freeze_check.h - what freeze asks of the model's configuration, before hours are spent on what cannot work. */
#ifndef AC_CLI_FREEZE_CHECK_H
#define AC_CLI_FREEZE_CHECK_H

#include "contract/contract.h"

/* Refuses more adapted layers than there are, a warm-up that does not end before the run, rows longer than the context, and
 * cases whose prompt and longest answer exceed it in some arm (those of a dense index, which needs the model, are left to ab). */
ac_status ac_freeze_check_model(void *ctx, const ac_freeze_facts *f, ac_err *err);

#endif
