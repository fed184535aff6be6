/* cli/triage.h - measures the facts that plan/triage.h decides on. */
#ifndef AC_CLI_TRIAGE_H
#define AC_CLI_TRIAGE_H

#include "cli/cli.h"
#include "contract/contract.h"
#include "plan/triage.h"

/* Reads rows, cases, documents, their history, earlier runs and the machine; writes nothing. Texts live in the arena. */
ac_status ac_triage_measure(ac_triage_facts *out, ac_cli *cli, ac_contract *c, ac_arena *a, ac_err *err);

#endif
