#include "base/fault.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static atomic_int armed_kind;        /* AC_FAULT_NONE while not armed */
static atomic_long armed_left;       /* calls until the first failure; <= 0: failing */
static atomic_bool armed_fired;

void ac_fault_arm(ac_fault_kind kind, long nth)
{
    atomic_store(&armed_fired, false);
    atomic_store(&armed_left, nth < 1 ? 1 : nth);
    atomic_store(&armed_kind, (int)kind);
}

void ac_fault_disarm(void)
{
    atomic_store(&armed_kind, (int)AC_FAULT_NONE);
}

bool ac_fault_fired(void)
{
    return atomic_load(&armed_fired);
}

bool ac_fault_hit(ac_fault_kind kind)
{
    if (AC_LIKELY(atomic_load_explicit(&armed_kind, memory_order_relaxed) != (int)kind)) return false;
    /* Stop counting down at 0, so that a long run cannot wrap around. */
    long left = atomic_load(&armed_left);
    while (left > 0 && !atomic_compare_exchange_weak(&armed_left, &left, left - 1)) { }
    if (left > 1) return false;
    atomic_store(&armed_fired, true);
    return true;
}

bool ac_fault_arm_from_env(void)
{
    const char *spec = getenv("ACCORD_FAULT");
    if (!spec || !spec[0]) return true;
    const char *colon = strchr(spec, ':');
    int64_t nth = 0;
    if (!colon || !ac_parse_i64(ac_view_of(colon + 1), &nth) || nth < 1 || nth > INT32_MAX)
        return false;
    const ac_view kind = { spec, (size_t)(colon - spec) };
    if (ac_view_eq_str(kind, "alloc")) ac_fault_arm(AC_FAULT_ALLOC, (long)nth);
    else if (ac_view_eq_str(kind, "io")) ac_fault_arm(AC_FAULT_IO, (long)nth);
    else return false;
    return true;
}
