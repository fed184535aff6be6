/* cli/prml.h - what a freeze leaves beside the lock for others: a pre-registration, and what changed. */
#ifndef AC_CLI_PRML_H
#define AC_CLI_PRML_H

#include "contract/contract.h"

/* accord.prml.yaml: the claim that the lock makes, in the fields of PRML 0.1 (a Pre-Registered ML Manifest,
 * spec.falsify.dev/v0.1): net gain of tuned over base in points, at least the margin, on these cases. claim_id is a UUID of
 * version 7 made of the time and the lock's hash. */
ac_status ac_prml_text(ac_str *out, const ac_lock *l, const ac_contract *c, int64_t utc_ns, ac_err *err);

/* Names of the values and sealed inputs that differ between two locks, as a JSON list. */
ac_status ac_lock_changes(ac_str *out, const ac_json *before, const ac_json *after, ac_err *err);

#endif
