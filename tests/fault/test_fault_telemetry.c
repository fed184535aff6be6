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
#include "cli/explain.h"
#include "cli/top.h"
#include "ledger/telemetry.h"
#include "report/report.h"
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

static ac_status text_done(ac_str *s, ac_status st, const char *must, ac_err *err)
{
    if (!st && !ac_str_ok(s)) st = ac_fail_nomem(err, s->len);
    if (!st && !strstr(ac_str_c(s), must)) fail_msg("the text lacks %s", must);
    ac_str_release(s);
    return st;
}

static ac_status told(ac_err *err)
{
    ac_tel t = { 0 };
    ac_run_void v = { 0 };
    ac_cli cli = { .width = 80 };
    ac_arena a = { 0 };
    ac_str s = { 0 };
    ac_status st = ac_tel_read(&t, path, err);
    if (!st) st = ac_run_void_read(&v, &a, dir, err);
    if (!st) ac_explain_text(&s, &cli, &t, &v, "r", false);
    st = text_done(&s, st, "micro-batch 4 instead of 8", err);
    if (!st) ac_explain_json(&s, &t, &v, "r", false);
    st = text_done(&s, st, "\"cost_seconds\"", err);
    ac_tel_release(&t);
    ac_arena_release(&a);
    return st;
}

static ac_status watched(ac_err *err)
{
    const ac_top_screen size = { .width = 80, .height = 24, .color = true };
    ac_top t;
    ac_str s = { 0 };
    ac_top_open(&t, dir);
    ac_status st = ac_top_read(&t, err);
    if (!st) ac_top_frame(&s, &t, &size);
    st = text_done(&s, st, "40/40", err);
    if (!st) ac_top_json(&s, &t);
    st = text_done(&s, st, "\"last_acts\"", err);
    ac_top_close(&t);
    return st;
}

static ac_status reported(ac_err *err)
{
    ac_str s = { 0 };
    const ac_status st = ac_report_html(&s, dir, err);
    return text_done(&s, st, "<h2>Training", err);
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
    each(AC_FAULT_ALLOC, told, false);
    each(AC_FAULT_ALLOC, watched, false);
    each(AC_FAULT_ALLOC, reported, false);
}

static void every_io_call(void **state)
{
    (void)state;
    each(AC_FAULT_IO, summary, false);
    each(AC_FAULT_IO, void_of, true);
    each(AC_FAULT_IO, watched, false);
    each(AC_FAULT_IO, reported, true);     /* the report says that the record cannot be read */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation), cmocka_unit_test(every_io_call) };
    (void)strcpy(dir, "/tmp/accord-fault-telemetry-XXXXXX");
    if (!mkdtemp(dir)) return 1;
    (void)snprintf(path, sizeof path, "%s/telemetry.jsonl", dir);
    char other[96];
    static const char info[] = "{\"id\":\"r\",\"state\":\"training\"}", step[] = "{\"event\":\"step\",\"step\":40,\"loss\":1}\n";
    (void)snprintf(other, sizeof other, "%s/run.json", dir);
    if (ac_file_write_atomic(other, info, sizeof info - 1, NULL)) return 1;
    (void)snprintf(other, sizeof other, "%s/metrics.jsonl", dir);
    if (ac_file_write_atomic(other, step, sizeof step - 1, NULL)) return 1;
    FILE *f = fopen(path, "w");
    if (!f || fwrite(tel_story, 1, sizeof tel_story - 1, f) != sizeof tel_story - 1 || fclose(f)) return 1;
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void)ac_remove_tree(dir, NULL);
    return rc;
}
