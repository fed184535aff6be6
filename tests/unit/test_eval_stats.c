/* eval/stats.h against exact rational arithmetic (tests/oracle/gen_stats.py) and published values. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/stats.h"
#include "formats/json.h"

static const ac_json *load(ac_arena *a, const char *key)
{
    ac_err err = { 0 };
    const ac_json *j = NULL;
    if (ac_json_parse_file(&j, ACCORD_SOURCE_DIR "/tests/oracle/stats.json", a, NULL, &err)) fail_msg("%s", err.text);
    assert_non_null(ac_json_get(j, key));
    return ac_json_get(j, key)->child;
}

static double at(const ac_json *row, int i)
{
    const ac_json *v = row->child;
    while (i--) v = v->next;
    return v->number;
}

static void test_midp(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    size_t rows = 0;
    for (const ac_json *r = load(&a, "midp"); r; r = r->next, rows++) {
        const double got = ac_stats_mcnemar_midp((size_t)at(r, 0), (size_t)at(r, 1));
        assert_true(fabs(got - at(r, 2)) < 1e-12);
    }
    assert_int_equal(rows, 26 * 8);
    ac_arena_release(&a);
    /* Wins needed at 5 % against 0..3 losses. */
    const size_t midp[4] = { 5, 7, 9, 11 }, exact[4] = { 6, 8, 10, 12 };
    for (size_t l = 0; l < 4; l++) {
        assert_true(ac_stats_mcnemar_midp(midp[l], l) <= 0.05 && ac_stats_mcnemar_midp(midp[l] - 1, l) > 0.05);
        assert_true(ac_stats_mcnemar_exact(exact[l], l) <= 0.05 && ac_stats_mcnemar_exact(exact[l] - 1, l) > 0.05);
    }
    assert_true(ac_stats_mcnemar_midp(0, 0) == 1 && ac_stats_mcnemar_midp(4, 4) == 1);
    assert_true(ac_stats_mcnemar_midp(3, 9) == ac_stats_mcnemar_midp(9, 3));
}

static void test_wilson(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    double low, high;
    for (const ac_json *r = load(&a, "wilson"); r; r = r->next) {
        ac_stats_wilson((size_t)at(r, 0), (size_t)at(r, 1), &low, &high);
        assert_true(fabs(low - at(r, 2)) < 1e-12 && fabs(high - at(r, 3)) < 1e-12);
    }
    ac_arena_release(&a);
    ac_stats_wilson(24, 30, &low, &high);
    assert_true(fabs(low - .627) < .0006 && fabs(high - .905) < .0006);
    ac_stats_wilson(0, 10, &low, &high);
    assert_true(low == 0 && high < .31);
    ac_stats_wilson(0, 0, &low, &high);
    assert_true(low == 0 && high == 1);
}

static void test_power(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    for (const ac_json *r = load(&a, "power"); r; r = r->next) {
        const double got = ac_stats_power((size_t)at(r, 0), at(r, 1) / 200 + .05, .05);
        assert_true(fabs(got - at(r, 2)) < 1e-9);
    }
    ac_arena_release(&a);
    const struct { size_t n; double points; } known[] = { { 30, 30.5 }, { 40, 25 }, { 50, 21 }, { 200, 8.5 } };
    for (size_t i = 0; i < 4; i++) {
        const double got = ac_stats_smallest_gain(known[i].n);
        print_message("n = %zu: smallest visible gain %.1f points\n", known[i].n, got);
        assert_true(fabs(got - known[i].points) <= 0.5);
    }
    assert_true(ac_stats_smallest_gain(3) == 100);
}

static void test_holm(void **state)
{
    (void)state;
    double p[4] = { .01, .04, .03, .005 };
    ac_stats_holm(p, 4);
    const double want[4] = { .03, .06, .06, .02 };
    for (int i = 0; i < 4; i++) assert_true(fabs(p[i] - want[i]) < 1e-12);
    double one[2] = { 1, 1 };
    ac_stats_holm(one, 2);
    assert_true(one[0] == 1 && one[1] == 1);
    assert_true(fabs(ac_stats_zero_failures_limit(10) - .2589) < .0001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_midp), cmocka_unit_test(test_wilson), cmocka_unit_test(test_power),
        cmocka_unit_test(test_holm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
