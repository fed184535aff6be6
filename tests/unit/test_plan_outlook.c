/* When a run would end, what it would cost, where it belongs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "plan/outlook.h"

static ac_arena arena;

static int drop(void **state)
{
    (void)state;
    ac_arena_release(&arena);
    return 0;
}

static ac_outlook_facts plain(double hours)
{
    return (ac_outlook_facts){ .fits = true, .seconds = hours * 3600, .local_hours = 6, .minute = 12 * 60, .checkpoint_bytes = 1e6,
                               .kept = 3, .disk_free = 1e9, .disk_all = 1e10 };
}

static ac_outlook decide(const ac_outlook_facts *f)
{
    ac_outlook o;
    ac_err err = { "" };
    if (ac_outlook_decide(&o, f, &arena, &err)) fail_msg("%s", err.text);
    assert_true(o.n_reasons >= 1);
    return o;
}

static bool says(const ac_outlook *o, const char *what)
{
    for (size_t i = 0; i < o->n_reasons; i++)
        if (strstr(o->reason[i], what)) return true;
    return false;
}

/* Hours of computing, now, wall hours until the end, hours until the start. */
static void spans_of_a_window(void **state)
{
    (void)state;
    static const double row[][6] = {
        { 22, 7, 23, 2, 2, 0 },            /* within the night */
        { 22, 7, 12, 2, 12, 10 },          /* waits until 22:00 */
        { 22, 7, 12, 9, 19, 10 },          /* the whole night */
        { 22, 7, 12, 10, 35, 10 },         /* an hour of the next */
        { 22, 7, 6, 3, 18, 0 },            /* an hour now, two from 22:00 on */
        { 22, 7, 6, 1, 1, 0 },
        { 9, 17, 9, 24, 56, 0 },           /* three days of eight hours */
        { 9, 17, 17, 1, 17, 16 },          /* just closed */
        { 9, 17, 10, 15.5, 47.5, 0 },      /* seven, eight, and a half */
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        double wait = -1;
        const double *r = row[i];
        const double span = ac_window_span((int32_t)(r[0] * 60), (int32_t)(r[1] * 60), (int32_t)(r[2] * 60), r[3] * 3600, &wait);
        if (fabs(span - r[4] * 3600) > 1 || fabs(wait - r[5] * 3600) > 1)
            fail_msg("row %zu: %.2f hours after %.2f, expected %.2f after %.2f", i, span / 3600, wait / 3600, r[4], r[5]);
    }
}

static void verdicts(void **state)
{
    (void)state;
    ac_outlook_facts f = plain(2);
    assert_true(decide(&f).verdict == AC_OUTLOOK_HERE);
    f = plain(6);
    assert_true(decide(&f).verdict == AC_OUTLOOK_TONIGHT);
    f = plain(9.5);                                      /* more than a night */
    ac_outlook o = decide(&f);
    assert_true(o.verdict == AC_OUTLOOK_NODE && says(&o, "2 nights") && says(&o, "not known: set cost.node_hour"));
    f.node_hour = 2.5;
    f.node_speed = 4;
    o = decide(&f);
    assert_true(fabs(o.node_hours - 9.5 / 4) < 1e-9 && fabs(o.node_money - 2.5 * 9.5 / 4) < 1e-9 && says(&o, "cost 5.94"));
    f = plain(9.5);
    f.local_hours = 100;                                 /* the contract says that it is not in the way */
    assert_true(decide(&f).verdict == AC_OUTLOOK_HERE);
    f = plain(1);
    f.has_window = true;
    f.window_from = 22 * 60;
    f.window_to = 7 * 60;
    o = decide(&f);
    assert_true(o.verdict == AC_OUTLOOK_TONIGHT && fabs(o.wait_seconds - 36000) < 1 && fabs(o.wall_seconds - 39600) < 1);
    f.minute = 6 * 60 + 30;
    o = decide(&f);
    assert_true(o.verdict == AC_OUTLOOK_HERE && says(&o, "closes before it ends") && fabs(o.wall_seconds - 16 * 3600) < 1);
    f = plain(0.1);
    f.fits = false;
    f.least = 3ull << 30;
    f.limit = 1ull << 30;
    o = decide(&f);
    assert_true(o.verdict == AC_OUTLOOK_NODE && says(&o, "needs 3.00 GiB, and 1.00 GiB"));
    f = plain((double)NAN);
    o = decide(&f);
    assert_true(o.verdict == AC_OUTLOOK_HERE && says(&o, "not known") && isnan(o.wall_seconds) && isnan(o.money));
}

static void what_it_costs(void **state)
{
    (void)state;
    ac_outlook_facts f = plain(10);
    ac_outlook o = decide(&f);
    assert_true(isnan(o.energy_kwh) && isnan(o.money) && isnan(o.node_money));
    f.kwh = 0.3;                                         /* a price, but nothing that says how much */
    assert_true(isnan(decide(&f).money));
    f.watts = 200;
    o = decide(&f);
    assert_true(fabs(o.energy_kwh - 2) < 1e-9 && fabs(o.money - 0.6) < 1e-9);
    f.machine_hour = 1;
    assert_true(fabs(decide(&f).money - 10.6) < 1e-9);
    f.machine_hour = 0;
    f.machine_price = 3000;
    f.machine_years = 3;
    f.machine_hours_a_year = 2000;
    assert_true(fabs(decide(&f).money - 5.6) < 1e-9);
}

static void room_on_the_disk(void **state)
{
    (void)state;
    ac_outlook_facts f = plain(1);
    f.checkpoint_bytes = 1e8;
    f.disk_free = 3e8 + 5e8;
    ac_outlook o = decide(&f);
    assert_true(o.disk_fits && fabs(o.disk_need - 8e8) < 1);
    f.disk_free -= 1;
    o = decide(&f);
    assert_true(!o.disk_fits && says(&o, "make room first") && o.verdict == AC_OUTLOOK_HERE);
    f.kept = 20;
    assert_true(fabs(decide(&f).disk_need - 2.1e9) < 1);
    f.disk_free = f.disk_all = (double)NAN;
    assert_true(decide(&f).disk_fits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_of_a_window), cmocka_unit_test(verdicts), cmocka_unit_test(what_it_costs),
        cmocka_unit_test(room_on_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, drop);
}
