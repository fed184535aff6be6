/* contract/lock_int.h - what freeze and the gate share: the hashes of everything that a contract names. */
#ifndef AC_CONTRACT_LOCK_INT_H
#define AC_CONTRACT_LOCK_INT_H

#include "contract/contract.h"

typedef enum { AC_SEAL_BASE, AC_SEAL_TOKENIZER, AC_SEAL_TRAIN, AC_SEAL_VALID, AC_SEAL_CASES, AC_SEAL_DOCS, AC_SEAL_DATABASE, AC_SEAL_RULES,
               AC_SEAL_COUNT } ac_seal;

typedef struct {
    const char *name;          /* "base.model" */
    const char *path;          /* as the contract has it; NULL: not named */
    const char *full;          /* where it lies */
    ac_sha256 hash;
    bool missing;
} ac_sealed;

/* Locates and hashes everything. gone_ok: an input that is no longer there is marked, not a failure (the base model
 * excepted, which has a way to be got). */
ac_status ac_seal_all(ac_sealed out[AC_SEAL_COUNT], ac_contract *c, bool gone_ok, const ac_sink *sink, ac_err *err);
/* Hashes what lies at s->full as this input. */
ac_status ac_seal_hash(ac_sealed *s, ac_seal which, ac_err *err);
/* "values" of the lock: every key with its resolved value, as an object under key. */
void ac_lock_write_values(ac_jw *w, const char *key, const ac_contract_values *v);
/* Takes text (canonical JSON and a newline) apart; out->tree borrows from the lock's arena. */
ac_status ac_lock_parse(ac_lock *out, ac_view text, const char *path, ac_err *err);

#endif
