/* The contract's hours on real nights: over midnight, on both nights when the clocks change, when a clock is set, after a sleep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <time.h>

#include "base/time.h"
#include "guard/policy.h"

#define S ((int64_t)1000000000)
#define SPRING ((int64_t)1774746000)     /* 2026-03-29T01:00:00Z: 02:00 becomes 03:00 */
#define AUTUMN ((int64_t)1792890000)     /* 2026-10-25T01:00:00Z: 03:00 becomes 02:00 */

static int berlin(void **state)
{
    (void)state;
    (void)setenv("TZ", "Europe/Berlin", 1);
    tzset();
    if (ac_local_minute(SPRING * S) == 180) return 0;
    (void)setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);     /* a machine without the table of time zones */
    tzset();
    return 0;
}

static void minutes(void **state)
{
    (void)state;
    assert_int_equal(ac_local_minute((SPRING - 1) * S), 119);
    assert_int_equal(ac_local_minute(SPRING * S), 180);
    assert_int_equal(ac_local_minute((AUTUMN - 1) * S), 179);
    assert_int_equal(ac_local_minute(AUTUMN * S), 120);
    assert_int_equal(ac_local_minute((AUTUMN + 3600) * S), 180);
    assert_int_equal(ac_local_minute((int64_t)1768600800 * S - 1), 22 * 60 + 59);       /* 2026-01-16, a plain winter night */
    assert_int_equal(ac_local_minute((int64_t)1768604400 * S), 0);
    for (int64_t t = SPRING - 86400; t < SPRING + 86400; t += 60) {
        const int32_t m = ac_local_minute(t * S);
        assert_true(m >= 0 && m < 1440 && (m < 120 || m >= 180 || t < SPRING - 3600 || t > SPRING));
    }
}

typedef struct {
    int open, pauses, resumes, changes, checkpoints;
    int32_t first_pause;                 /* minute of the day; -1: none */
} night;

/* A night of `hours` from `from` on, looked at once a second. */
static night spend(const char *window, int64_t from, int hours)
{
    night n = { .first_pause = -1 };
    ac_guard_terms t = ac_guard_terms_default(4);
    assert_int_equal(ac_guard_window_parse(&t.window_from, &t.window_to, ac_view_of(window), NULL), AC_OK);
    ac_guard_state s = ac_guard_begin(&t);
    ac_guard_sample in = { .child_runs = true };
    for (int i = 0; i < AC_SIG_N_READ; i++) in.read[i].why = "not there";
    in.read[AC_SIG_AVAILABLE] = (ac_reading){ .measured = true, .value = 60 };
    for (int64_t k = 0; k < (int64_t)hours * 3600; k++) {
        ac_guard_acts out;
        in.now_ms = in.taken_ms = 1000 + k * 1000;
        in.minute = ac_local_minute((from + k) * S);
        if (k % 60 == 0) n.open += ac_guard_window_open(&t, in.minute);
        s = ac_guard_step(s, &t, &in, &out);
        n.changes += out.changed;
        for (size_t i = 0; i < out.n; i++) {
            const ac_guard_act_kind a = out.act[i].kind;
            n.pauses += a == AC_ACT_PAUSE;
            n.resumes += a == AC_ACT_RESUME;
            n.checkpoints += a == AC_ACT_CHECKPOINT;
            if (a == AC_ACT_PAUSE && n.first_pause < 0) n.first_pause = in.minute;
            if (a == AC_ACT_CHECKPOINT_EXIT) return n;
        }
    }
    return n;
}

static void plain_night(void **state)
{
    (void)state;
    const night n = spend("22:00-07:00", 1768597200, 12);      /* 2026-01-16T21:00:00Z is 22:00 there */
    assert_int_equal(n.open, 9 * 60);
    assert_int_equal(n.pauses, 1);
    assert_int_equal(n.first_pause, 7 * 60);
    assert_int_equal(n.checkpoints, 1);
}

/* The hour that is left out ends the window that would end in it, and no minute of it is ever trained in. */
static void spring(void **state)
{
    (void)state;
    night n = spend("22:00-07:00", SPRING - 4 * 3600, 9);      /* from 22:00 */
    assert_int_equal(n.open, 8 * 60);
    assert_int_equal(n.first_pause, 7 * 60);
    n = spend("22:00-02:30", SPRING - 4 * 3600, 5);
    assert_int_equal(n.open, 4 * 60);
    assert_int_equal(n.first_pause, 3 * 60);
    assert_int_equal(n.pauses, 1);
}

/* The hour that comes twice: a window that ends in it opens once more, within the bound of changes. */
static void autumn(void **state)
{
    (void)state;
    night n = spend("22:00-07:00", AUTUMN - 5 * 3600, 10);     /* from 22:00 */
    assert_int_equal(n.open, 10 * 60);
    assert_int_equal(n.pauses, 0);
    n = spend("22:00-02:55", AUTUMN - 5 * 3600, 7);
    assert_int_equal(n.open, 5 * 60 - 5 + 55);
    assert_int_equal(n.first_pause, 2 * 60 + 55);
    assert_int_equal(n.pauses, 2);
    assert_int_equal(n.resumes, 1);
    assert_true(n.changes <= 6);
}

/* Clocks: the one for durations never goes back, and the other one counts a sleep too. */
static void clocks(void **state)
{
    (void)state;
    int64_t last = ac_mono_ns();
    for (int i = 0; i < 1000; i++) {
        const int64_t now = ac_mono_ns();
        assert_true(now >= last);
        last = now;
    }
    assert_true(ac_boot_ns() >= last - S);
}

/* A clock that says nothing sensible neither opens nor closes the window. */
static void no_clock(void **state)
{
    (void)state;
    ac_guard_terms t = ac_guard_terms_default(4);
    assert_int_equal(ac_guard_window_parse(&t.window_from, &t.window_to, AC_VIEW("22:00-07:00"), NULL), AC_OK);
    ac_guard_state s = ac_guard_begin(&t);
    ac_guard_sample in = { .child_runs = true, .minute = 600 };
    for (int i = 0; i < AC_SIG_N_READ; i++) in.read[i].why = "not there";
    in.read[AC_SIG_AVAILABLE] = (ac_reading){ .measured = true, .value = 60 };
    ac_guard_acts out;
    for (int k = 0; k < 300; k++) {
        in.now_ms = in.taken_ms = k * 1000;
        if (k == 10) in.minute = -1;
        if (k == 200) in.minute = 99999;
        s = ac_guard_step(s, &t, &in, &out);
        assert_true(s.paused);
    }
    in.minute = 1330;
    for (int k = 300; k < 400; k++) {
        in.now_ms = in.taken_ms = k * 1000;
        s = ac_guard_step(s, &t, &in, &out);
    }
    assert_false(s.paused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minutes), cmocka_unit_test(plain_night), cmocka_unit_test(spring), cmocka_unit_test(autumn),
        cmocka_unit_test(clocks), cmocka_unit_test(no_clock),
    };
    return cmocka_run_group_tests_name("guard hours", tests, berlin, NULL);
}
