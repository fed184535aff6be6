#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/fault.h"
#include "base/mem.h"
#include "kernels/kernels.h"

/* All that this room allocates is the workspace; a product is made with it, so that a half-open one would
 * show. */
static ac_status scenario(ac_err *err)
{
    ac_kernels k;
    ac_mm_workspace *ws = NULL;
    ac_status st = ac_kernels_init(&k, AC_CPU_AUTO, err);
    if (!st) st = ac_mm_workspace_open(&ws, 2, err);
    if (!st) {
        const float a[6] = { 1, 2, 3, 4, 5, 6 };
        float c[4];
        k.matmul(&(ac_matmul_args){ .form = AC_MM_NT, .m = 2, .n = 2, .k = 3, .a = a, .lda = 3, .b = a,
                                    .b_type = AC_F32, .b_row_bytes = 12, .c = c, .ldc = 2 }, ws, 1);
        assert_true(c[0] == 14 && c[1] == 32 && c[3] == 77);
    }
    const float b[6] = { 1, 2, 3, 4, 5, 6 };
    ac_packed *p = NULL;
    if (!st) st = ac_packed_open(&p, NULL, AC_F32, b, 12, 2, 3, err);
    if (!st) {
        float c[4];
        ac_matmul(&k, NULL, ws, &(ac_matmul_args){ .form = AC_MM_NT, .m = 2, .n = 2, .k = 3, .a = b, .lda = 3,
            .b = b, .b_type = AC_F32, .b_row_bytes = 12, .c = c, .ldc = 2, .packed = p });
        assert_true(c[0] == 14 && c[1] == 32 && c[3] == 77);
    }
    ac_packed_close(&p);
    assert_null(p);
    ac_mm_workspace_close(&ws);
    assert_null(ws);
    return st;
}

static void each_allocation_fails_cleanly(void **state)
{
    AC_UNUSED(state);
    const int64_t before = ac_live_bytes();
    long nth = 1;
    for (;; nth++) {
        ac_err err = { 0 };
        ac_fault_arm(AC_FAULT_ALLOC, nth);
        const ac_status st = scenario(&err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        assert_int_equal(ac_live_bytes(), before);
        if (!fired) {
            assert_int_equal(st, AC_OK);
            break;
        }
        assert_int_equal(st, AC_ENOMEM);
        assert_true(err.text[0] != '\0');
    }
    assert_true(nth >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_allocation_fails_cleanly) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
