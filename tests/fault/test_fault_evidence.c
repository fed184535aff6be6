/* A bundle of evidence made and checked, with the n-th allocation or I/O call failing: a clean message, nothing leaked,
 * and never a bundle that looks whole and is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fault.h"
#include "evidence_fixture.h"

static ac_sign_key key;
static bool io_counts;

static ac_status round_trip(ac_err *err)
{
    ac_evidence e = { .n = 0 }, back = { .n = 0 };
    ac_str said = { 0 };
    ac_sign_public signer;
    const char *out = io_counts ? "bundle" : "bundle.tar";
    ac_status st = ac_ev_collect(&e, FIX_RUN, false, err);
    if (!st) st = ac_ev_card(&e, err);
    if (!st) st = ac_ev_bom(&e, err);
    if (!st) st = ac_ev_sign(&e, &key, err);
    if (!st) st = ac_ev_write(&e, out, err);
    if (!st) st = ac_ev_read(&back, out, err);
    if (!st) st = ac_ev_check(&back, &key.pub, ".accord/runs/" FIX_RUN "/adapter", &said, &signer, err);
    ac_str_release(&said);
    ac_evidence_release(&e);
    ac_evidence_release(&back);
    return st;
}

static void each_fault(ac_fault_kind kind)
{
    for (long nth = 1;; nth++) {
        ac_err err = { "" };
        (void)ac_remove_tree("bundle", NULL);
        (void)unlink("bundle.tar");
        ac_fault_arm(kind, nth);
        const ac_status st = round_trip(&err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        if (ac_live_bytes() != 0) fail_msg("fault %ld leaks %lld bytes", nth, (long long)ac_live_bytes());
        if (!fired) {
            if (st) fail_msg("without a fault: %s", err.text);
            break;
        }
        if (!st || !err.text[0]) fail_msg("fault %ld gave %s and \"%s\"", nth, ac_status_name(st), err.text);
        if (kind == AC_FAULT_ALLOC && st != AC_ENOMEM) fail_msg("allocation %ld: %s, \"%s\"", nth, ac_status_name(st), err.text);
    }
}

static void test_allocations(void **state)
{
    (void)state;
    io_counts = false;
    each_fault(AC_FAULT_ALLOC);
}

static void test_io(void **state)
{
    (void)state;
    io_counts = true;
    each_fault(AC_FAULT_IO);
}

int main(void)
{
    if (ac_sign_key_make(&key, NULL) || fix_make()) return 1;
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_allocations), cmocka_unit_test(test_io) };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    fix_remove();
    return rc;
}
