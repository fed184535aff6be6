/* cli/cost_clock.h - books a stretch of work while it goes on: clock, processor, energy, who and where (ledger/cost.h).
 *
 * B1  A training's part lies in cost.json from the moment at which the run is held, and is brought up to date at each
 *     checkpoint: what kills the process leaves a part without an end, and the next resume closes it.
 * B2  What cannot be booked in between ends no training; at the end a failure is told. */
#ifndef AC_CLI_COST_CLOCK_H
#define AC_CLI_COST_CLOCK_H

#include "base/event.h"
#include "base/team.h"
#include "base/user.h"
#include "contract/contract.h"
#include "guard/energy.h"
#include "guard/nvml.h"
#include "ledger/cost.h"

typedef struct {
    ac_arena arena;
    ac_energy_meter meter;
    ac_nvml *nvml;               /* NULL: no GPU computes */
    int64_t start_ns;
    double start_cpu, start_cpu_children;
    bool children;               /* the work is done by programs that this one starts */
    const ac_team *team;         /* workers that still run; NULL: none */
    size_t workers;              /* processes that compute, each with a GPU where one is used; 0 as 1 */
    char user[AC_USER_NAME], began[32];
    ac_cost_part part;
    const char *dir;             /* of the run, once it is open */
    ac_sink next;
    int64_t tokens;
} ac_cost_clock;                 /* {0} is valid, and books nothing */

/* From here on time and energy count. */
void      ac_cost_clock_start(ac_cost_clock *c, const char *what);
/* The work is shared by so many processes; team NULL: those beside this one have ended. */
void      ac_cost_clock_team(ac_cost_clock *c, const ac_team *team, size_t workers);
/* Who works, where, on what account. Borrows v and device ("cpu avx512, 2 threads"); v NULL: no rates. */
ac_status ac_cost_clock_terms(ac_cost_clock *c, const ac_contract_values *v, const char *device, ac_err *err);
/* Opens the part in the run's cost.json; a part that a killed process left there is closed first. */
ac_status ac_cost_clock_open(ac_cost_clock *c, const char *run_dir, uint64_t from_step, ac_err *err);
/* Passes events on, looks at the counters, saves at checkpoints. */
ac_sink   ac_cost_clock_sink(ac_cost_clock *c, ac_sink next);
void      ac_cost_clock_look(ac_cost_clock *c);
/* Ends the part: in the run that was opened, or, with run_dir, as a whole part added there. */
ac_status ac_cost_clock_end(ac_cost_clock *c, const char *outcome, const char *run_dir, ac_err *err);
/* Ends it as a line of this project's .accord/cost.jsonl; run and lock may be NULL. */
ac_status ac_cost_clock_end_line(ac_cost_clock *c, const char *outcome, const char *run, const char *lock, ac_err *err);
void      ac_cost_clock_release(ac_cost_clock *c);

/* Name and address by git, for the project; NULL where git knows none. */
ac_status ac_cost_person(const char **out, ac_arena *a, ac_err *err);
/* cost.project, else the name of this folder. */
const char *ac_cost_project(ac_arena *a, const ac_contract_values *v);

#endif
