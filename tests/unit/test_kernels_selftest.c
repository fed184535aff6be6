/* The self-test finds what is broken on purpose, and leaves the process as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include "base/mem.h"
#include "kernels/selftest_int.h"

static ac_kernels ref;

static void every_offered_tier_passes(void **state)
{
    AC_UNUSED(state);
    for (int c = AC_CPU_REF; c <= AC_CPU_NEON; c++) {
        ac_selftest s;
        assert_int_equal(ac_kernels_selftest((ac_cpu)c, &s, NULL), AC_OK);
        assert_int_equal(s.done, ac_cpu_offers((ac_cpu)c));
        assert_int_equal(s.done, ac_cpu_lacks((ac_cpu)c) == NULL);
        if (s.differs) fail_msg("%s: %s", ac_cpu_name((ac_cpu)c), s.differs);
        assert_false(s.illegal);
    }
    assert_true(ac_selftest_checks() >= 10);
    assert_int_equal(ac_live_bytes(), 0);
}

/* Each of these is right but for one bit of one output. */
static void off_exp(float *y, const float *x, size_t n)
{
    ref.exp(y, x, n);
    uint32_t u;
    memcpy(&u, y + n - 1, 4);
    u ^= 1;
    memcpy(y + n - 1, &u, 4);
}

static void off_matmul(const ac_matmul_args *a, ac_mm_workspace *ws, size_t worker)
{
    ref.matmul(a, ws, worker);
    if (a->form == AC_MM_NN) a->c[(a->m - 1) * a->ldc] = -a->c[(a->m - 1) * a->ldc];
}

static void off_attn(const ac_attn_grad_args *a)
{
    ref.attn_grad(a);
    a->dk[a->n - 1] += a->dk[a->n - 1] * 0x1p-22f;
}

static void illegal_log(float *y, const float *x, size_t n)
{
    ref.log(y, x, n);
    (void)raise(SIGILL);
}

static ac_selftest found(const ac_kernels *k)
{
    ac_selftest s = { 0 };
    assert_int_equal(ac_selftest_run(&ref, k, &s, NULL), AC_OK);
    assert_true(s.done);
    assert_int_equal(ac_live_bytes(), 0);
    return s;
}

static void names_what_differs(void **state)
{
    AC_UNUSED(state);
    ac_kernels k = ref;
    assert_null(found(&k).differs);
    k.exp = off_exp;
    assert_string_equal(found(&k).differs, "exp");
    assert_false(found(&k).illegal);
    k = ref;
    k.matmul = off_matmul;
    assert_string_equal(found(&k).differs, "product NN");
    k = ref;
    k.attn_grad = off_attn;
    assert_string_equal(found(&k).differs, "attention");
}

static volatile sig_atomic_t g_seen;

static void note(int sig)
{
    AC_UNUSED(sig);
    g_seen++;
}

static void survives_an_illegal_instruction(void **state)
{
    AC_UNUSED(state);
    const struct sigaction ours = { .sa_handler = note };
    struct sigaction old;
    assert_int_equal(sigaction(SIGILL, &ours, &old), 0);
    ac_kernels k = ref;
    k.log = illegal_log;
    for (int i = 0; i < 2; i++) {                            /* twice: the signal must not stay blocked */
        const ac_selftest s = found(&k);
        assert_string_equal(s.differs, "log");
        assert_true(s.illegal);
    }
    assert_int_equal(g_seen, 0);
    (void)raise(SIGILL);                                     /* the caller's own action is back */
    assert_int_equal(g_seen, 1);
    assert_int_equal(sigaction(SIGILL, &old, NULL), 0);
}

int main(void)
{
    ac_kernels_fill(&ref, AC_CPU_REF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_offered_tier_passes),
        cmocka_unit_test(names_what_differs),
        cmocka_unit_test(survives_an_illegal_instruction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
