/* The n-th allocation and the n-th I/O call fail: a clean message, nothing leaked, and the old lock untouched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/fault.h"
#include "contract_fixture.h"

static ac_status text_calls(ac_err *err)
{
    ac_str s = { 0 };
    ac_status st = ac_contract_template(&s, err);
    ac_str_reset(&s);
    if (!st) st = ac_contract_docs(&s, err);
    ac_str_release(&s);
    return st;
}

static ac_status scenario(ac_err *err)
{
    ac_contract c = { 0 };
    ac_lock l = { 0 }, read = { 0 };
    ac_str report = { 0 };
    const ac_freeze_opts o = { 0 };
    ac_status st = text_calls(err);
    if (!st) st = ac_contract_read(&c, df_dir, err);
    if (!st) st = ac_freeze(&l, &c, &o, &report, err);
    if (!st) st = ac_lock_read(&read, &c, err);
    if (!st) st = ac_gate(&read, &c, err);
    ac_str_release(&report);
    ac_lock_release(&l);
    ac_lock_release(&read);
    ac_contract_release(&c);
    return st;
}

static ac_str old_lock;

/* Either the lock of before stands, byte for byte, or a whole new one (when the fault came after it was written). */
static void lock_is_whole(long nth)
{
    ac_str now = { 0 };
    ac_contract c = { 0 };
    ac_lock l = { 0 };
    ac_err err = { 0 };
    if (ac_file_read(&now, df_path("accord.lock"), 1 << 20, &err)) fail_msg("fault %ld: %s", nth, err.text);
    if (!ac_view_eq(ac_str_view(&now), ac_str_view(&old_lock))) {
        if (ac_contract_read(&c, df_dir, &err) || ac_lock_read(&l, &c, &err) || ac_gate(&l, &c, &err))
            fail_msg("fault %ld: %s", nth, err.text);
        assert_int_equal(l.number, 2);
        (void)df_write("accord.lock", old_lock.ptr, old_lock.len);
    }
    ac_lock_release(&l);
    ac_contract_release(&c);
    ac_str_release(&now);
}

static void every(ac_fault_kind kind)
{
    const int64_t before = ac_live_bytes();
    for (long nth = 1;; nth++) {
        ac_err err = { 0 };
        ac_fault_arm(kind, nth);
        const ac_status st = scenario(&err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        if (ac_live_bytes() != before) fail_msg("fault %ld leaks %lld bytes", nth, (long long)(ac_live_bytes() - before));
        if (!fired) {
            if (st) fail_msg("%s", err.text);
            assert_true(nth > 20);
            break;
        }
        if (!st || !err.text[0]) fail_msg("fault %ld: %s, \"%s\"", nth, ac_status_name(st), err.text);
        if (kind == AC_FAULT_ALLOC && st != AC_ENOMEM) fail_msg("fault %ld: %s, \"%s\"", nth, ac_status_name(st), err.text);
        lock_is_whole(nth);
    }
}

static void every_allocation(void **state)
{
    (void)state;
    every(AC_FAULT_ALLOC);
}

static void every_io_call(void **state)
{
    (void)state;
    (void)df_write("accord.lock", old_lock.ptr, old_lock.len);
    every(AC_FAULT_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation), cmocka_unit_test(every_io_call) };
    ac_err err = { 0 };
    if (cf_open()) return 1;
    cf_reset();
    cf_rows("train.jsonl", 0, 3);
    cf_rows("valid.jsonl", 200, 2);
    if (scenario(&err) || ac_file_read(&old_lock, df_path("accord.lock"), 1 << 20, &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    cf_rows("train.jsonl", 0, 4);                    /* so that each freeze has a new lock to write */
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    ac_str_release(&old_lock);
    df_close();
    return rc;
}
