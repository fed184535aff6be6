/* plan/budget.h - how much memory a run may hold: a pure decision over what was asked for and what is free.
 *
 * G1  The first that is given decides: the command line's limit; the contract's budget; what is free less a reserve.
 * G2  The command line is taken at its word. A contract's budget, which may have been written elsewhere, is cut down to
 *     what is free here less a sixteenth.
 * G3  The reserve is the contract's, or else 12 GiB, or a quarter of the machine's memory where that is under 32 GiB. The
 *     machine's memory is the least of what is built in and what its control groups allow.
 * G4  A reserve that nobody wrote is a courtesy and no wall: at_most says what could be used without it. */
#ifndef AC_PLAN_BUDGET_H
#define AC_PLAN_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t machine, available;    /* bytes in all; bytes that may still be taken; -1: unknown */
    uint64_t held;                 /* what the process holds already and the budget has to cover */
    uint64_t asked;                /* by the command line; 0: nothing */
    uint64_t budget, reserve;      /* of the contract; 0: not written */
} ac_budget_facts;

typedef enum { AC_BUDGET_UNKNOWN, AC_BUDGET_ASKED, AC_BUDGET_CONTRACT, AC_BUDGET_FREE } ac_budget_source;

typedef struct {
    ac_budget_source source;
    uint64_t limit;                /* bytes that the process may hold in all; 0: none known */
    uint64_t at_most;              /* the same, or more where only a default reserve stands between */
    uint64_t reserve;              /* of the machine's memory; 0 where none was looked at */
    bool reserve_is_default;
    bool cut;                      /* the contract's budget is more than what is free */
    uint64_t held;
    int64_t machine, available;
} ac_budget;

ac_budget ac_budget_decide(const ac_budget_facts *f);

/* "19.2 GiB free less memory.reserve (4.0 GiB)"; out holds 160 bytes. */
void ac_budget_text(char out[160], const ac_budget *b);

#endif
