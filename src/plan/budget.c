#include "plan/budget.h"

#include <stdio.h>

#include "base/str.h"

#define GIB ((uint64_t)1 << 30)

/* A plan is no measurement, and the system wants to move a little. */
static uint64_t all_but_a_sixteenth(const ac_budget_facts *f)
{
    return f->held + (uint64_t)f->available - (uint64_t)f->available / 16;
}

static uint64_t default_reserve(int64_t machine)
{
    if (machine < 0) return 0;
    return (uint64_t)machine < 32 * GIB ? (uint64_t)machine / 4 : 12 * GIB;
}

static void free_less_reserve(ac_budget *b, const ac_budget_facts *f)
{
    const uint64_t most = all_but_a_sixteenth(f), left = (uint64_t)f->available;
    b->source = AC_BUDGET_FREE;
    b->reserve_is_default = f->reserve == 0;
    b->reserve = f->reserve ? f->reserve : default_reserve(f->machine);
    b->limit = f->held + (left > b->reserve ? left - b->reserve : 0);
    if (b->reserve_is_default && b->limit > most) b->limit = most;
    b->at_most = b->reserve_is_default ? most : b->limit;
    /* A limit of 0 would mean that there is none. */
    if (b->limit == 0) b->limit = 1;
    if (b->at_most == 0) b->at_most = 1;
}

ac_budget ac_budget_decide(const ac_budget_facts *f)
{
    ac_budget b = { .held = f->held, .machine = f->machine, .available = f->available };
    if (f->asked) {
        b.source = AC_BUDGET_ASKED;
        b.limit = b.at_most = f->asked;
    } else if (f->budget) {
        b.source = AC_BUDGET_CONTRACT;
        b.limit = f->budget;
        b.cut = f->available >= 0 && all_but_a_sixteenth(f) < f->budget;
        if (b.cut) b.limit = all_but_a_sixteenth(f);
        b.at_most = b.limit;
    } else if (f->available >= 0) {
        free_less_reserve(&b, f);
    }
    return b;
}

static void bytes_text(char out[24], uint64_t n)
{
    const double mib = (double)n / 1048576.0;
    if (mib < 1024) (void)snprintf(out, 24, "%.0f MiB", mib);
    else (void)snprintf(out, 24, "%.1f GiB", mib / 1024);
}

void ac_budget_text(char out[160], const ac_budget *b)
{
    char left[24], reserve[24], machine[24];
    bytes_text(left, b->available < 0 ? 0 : (uint64_t)b->available);
    bytes_text(reserve, b->reserve);
    bytes_text(machine, b->machine < 0 ? 0 : (uint64_t)b->machine);
    switch (b->source) {
    case AC_BUDGET_UNKNOWN: (void)snprintf(out, 160, "how much there is, is not known here"); return;
    case AC_BUDGET_ASKED: (void)snprintf(out, 160, "--memory-limit"); return;
    case AC_BUDGET_CONTRACT:
        if (b->cut) (void)snprintf(out, 160, "memory.budget, cut down to the %s that are free less a sixteenth", left);
        else (void)snprintf(out, 160, "memory.budget");
        return;
    case AC_BUDGET_FREE: break;
    }
    if (!b->reserve_is_default) (void)snprintf(out, 160, "%s free less memory.reserve (%s)", left, reserve);
    else if (b->limit == b->at_most) (void)snprintf(out, 160, "%s free less a sixteenth", left);
    else (void)snprintf(out, 160, "%s free less a reserve of %s (%s of %s)", left, reserve,
                        (uint64_t)b->machine < 32 * GIB ? "a quarter" : "out", machine);
}
