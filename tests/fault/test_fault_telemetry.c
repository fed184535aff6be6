/* The n-th allocation and the n-th I/O call fail while telemetry is read: a clean message and nothing leaked; what a run's
 * record cannot show because it cannot be read makes the run VOID, never the other way round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "ledger/telemetry.h"
#include "telemetry_fixture.h"

static char dir[64], path[96];

static ac_status summary(ac_err *err)
{
    ac_tel t = { 0 };
    const ac_status st = ac_tel_read(&t, path, err);
    if (!st && (t.n_sessions != 2 || t.n_acts != 3)) fail_msg("the summary is wrong");
    ac_tel_release(&t);
    return st;
}

static ac_status void_of(ac_err *err)
{
    ac_arena a = { 0 };
    ac_run_void v = { 0 };
    const ac_status st = ac_run_void_read(&v, &a, dir, err);
    if (!st && v.n == 0) fail_msg("a run that was disturbed is not VOID");
    ac_arena_release(&a);
    return st;
}

static void each(ac_fault_kind kind, ac_status (*scenario)(ac_err *), bool may_pass)
{
    for (long nth = 1;; nth++) {
        ac_err err = { 0 };
        ac_fault_arm(kind, nth);
        const ac_status st = scenario(&err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        if (ac_live_bytes() != 0) fail_msg("fault %ld leaks %lld bytes", nth, (long long)ac_live_bytes());
        if (!fired) {
            if (st) fail_msg("%s", err.text);
            return;
        }
        if (!st && may_pass) continue;
        if (!st || !err.text[0] || (kind == AC_FAULT_ALLOC && st != AC_ENOMEM))
            fail_msg("fault %ld: %s, \"%s\"", nth, ac_status_name(st), err.text);
    }
}

static void every_allocation(void **state)
{
    (void)state;
    each(AC_FAULT_ALLOC, summary, false);
    each(AC_FAULT_ALLOC, void_of, false);
}

static void every_io_call(void **state)
{
    (void)state;
    each(AC_FAULT_IO, summary, false);
    each(AC_FAULT_IO, void_of, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation), cmocka_unit_test(every_io_call) };
    (void)strcpy(dir, "/tmp/accord-fault-telemetry-XXXXXX");
    if (!mkdtemp(dir)) return 1;
    (void)snprintf(path, sizeof path, "%s/telemetry.jsonl", dir);
    FILE *f = fopen(path, "w");
    if (!f || fwrite(tel_story, 1, sizeof tel_story - 1, f) != sizeof tel_story - 1 || fclose(f)) return 1;
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void)ac_remove_tree(dir, NULL);
    return rc;
}
