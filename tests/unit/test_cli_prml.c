/* What differs between two locks, and each allocation of it failing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/fault.h"
#include "cli/prml.h"

static const char before[] =
    "{\"sealed\":{\"data.train\":{\"sha256\":\"a\"},\"data.valid\":{\"sha256\":\"b\"}},\"values\":{\"method\":{\"rank\":16,\"lr\":0.1}}}";
static const char after[] =
    "{\"sealed\":{\"data.train\":{\"sha256\":\"c\"}},\"values\":{\"method\":{\"rank\":8,\"lr\":1e-1,\"new\":null},\"more\":{\"x\":1}}}";

static ac_status changes(ac_str *out, ac_err *err)
{
    ac_arena a = { 0 };
    const ac_json *x = NULL, *y = NULL;
    ac_status st = ac_json_parse(&x, AC_VIEW(before), &a, "before", 1, NULL, err);
    if (!st) st = ac_json_parse(&y, AC_VIEW(after), &a, "after", 1, NULL, err);
    if (!st) st = ac_lock_changes(out, x, y, err);
    ac_arena_release(&a);
    return st;
}

static void differences_are_named(void **state)
{
    (void)state;
    ac_str s = { 0 };
    assert_int_equal(changes(&s, NULL), AC_OK);
    assert_string_equal(ac_str_c(&s), "[\"sealed.data.train\",\"sealed.data.valid\",\"method.rank\",\"method.new\",\"more.x\"]");
    ac_str_release(&s);
}

static void pre_registration(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    ac_lock l = { .n_cases = 0 };
    ac_contract c = { .v = { .cases = "it's/cases.jsonl", .margin = 10, .seed = 7 } };
    ac_str s = { 0 };
    for (size_t i = 0; i < 32; i++) l.hash.byte[i] = (uint8_t)(0xf0 + i);
    assert_int_equal(ac_json_parse(&l.tree, AC_VIEW("{\"sealed\":{\"eval.cases\":{\"sha256\":\"12e4\"}}}"), &a, "l", 1, NULL, NULL), AC_OK);
    assert_int_equal(ac_prml_text(&s, &l, &c, 1769851800123000000, NULL), AC_OK);
    static const char *const lines[] = { "\nclaim_id: '019c1363-4a3b-70f1-b2f3-f4f5f6f7f8f9'\n", "\ncreated_at: '2026-01-31T09:30:00Z'\n",
                                         "\n  hash: '12e4'\n", "\n  id: 'it''s/cases.jsonl'\n", "\nthreshold: 10.0\n", "\nseed: 7\n",
                                         "\nversion: 'prml/0.1'\n", "\ncomparator: '>='\n" };
    for (size_t i = 0; i < AC_COUNTOF(lines); i++)
        if (!strstr(ac_str_c(&s), lines[i])) fail_msg("lacks%sin:\n%s", lines[i], ac_str_c(&s));
    ac_str_release(&s);
    ac_arena_release(&a);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    for (long nth = 1;; nth++) {
        ac_str s = { 0 };
        ac_err err = { 0 };
        ac_fault_arm(AC_FAULT_ALLOC, nth);
        const ac_status st = changes(&s, &err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        ac_str_release(&s);
        if (ac_live_bytes() != 0) fail_msg("allocation %ld leaks", nth);
        if (!fired) {
            assert_int_equal(st, AC_OK);
            break;
        }
        assert_int_equal(st, AC_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(differences_are_named), cmocka_unit_test(pre_registration),
                                        cmocka_unit_test(each_allocation_may_fail) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
