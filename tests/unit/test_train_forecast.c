/* The forecast: what it counts, that it runs real steps and leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/fault.h"
#include "train_run.h"

static tiny t1;
static ac_dataset rows, valid;

static int open_all(void **state)
{
    (void)state;
    rows = tiny_rows(30, 20, 60, 1);
    valid = tiny_rows(10, 20, 60, 2);
    return tiny_open(&t1, TINY_LLAMA, AC_CPU_AUTO, 2) ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    tiny_close(&t1);
    tiny_rows_drop(&rows);
    tiny_rows_drop(&valid);
    return ac_live_bytes() == 0 ? 0 : -1;
}

static ac_train_opts opts_of(uint64_t steps)
{
    ac_train_opts o = tiny_opts();
    o.batch_rows = 8;                                    /* four steps an epoch, the last of six rows */
    o.max_steps = steps;
    o.eval_every = 3;
    o.save_every = 0;
    return o;
}

static void counts(void **state)
{
    (void)state;
    const ac_train_opts o = opts_of(10);
    ac_forecast f = { .steps = 0 };
    assert_int_equal(ac_forecast_counts(&f, &o, &rows, &valid, NULL), AC_OK);
    assert_int_equal(f.steps, 10);
    assert_int_equal(f.evals, 5);                        /* at 0, 3, 6, 9 and 10 */
    assert_int_equal(f.saves, 3);                        /* at 4, 8 and 10 */
    assert_true(f.tokens > rows.n_tokens * 2 && f.tokens < rows.n_tokens * 3);
    assert_int_equal(ac_forecast_counts(&f, &o, &rows, NULL, NULL), AC_OK);
    assert_int_equal(f.evals, 0);
    const ac_dataset none = { .n = 0 };
    ac_err err = { "" };
    assert_int_equal(ac_forecast_counts(&f, &o, &none, NULL, &err), AC_EFORMAT);
}

static ac_status forecast(ac_forecast *f, const ac_train_opts *o, double seconds, ac_err *err)
{
    static const ac_sink silent;
    const ac_forecast_job job = { .opts = o, .model = t1.model, .train = &rows, .valid = &valid, .sink = &silent, .seconds = seconds };
    return ac_train_forecast(f, &job, err);
}

static void steps_are_run_and_forgotten(void **state)
{
    (void)state;
    const ac_train_opts few = opts_of(4), many = opts_of(400);
    ac_forecast a, b;
    ac_err err = { "" };
    const int64_t live = ac_live_bytes();
    if (forecast(&a, &few, 0.05, &err)) fail_msg("%s", err.text);
    if (forecast(&b, &many, 0.05, &err)) fail_msg("%s", err.text);
    assert_true(a.measured_steps >= 1 && a.train_seconds > 0 && a.eval_seconds > 0 && a.measure_seconds > 0);
    assert_true(b.train_seconds > 10 * a.train_seconds);          /* a hundred times, on a quiet machine */
    assert_true(ac_live_bytes() - live < 64 << 10);               /* the rotary tables are the model's */
}

static void nth_allocation(void **state)
{
    (void)state;
    const ac_train_opts o = opts_of(4);
    ac_forecast f;
    const int64_t live = ac_live_bytes();
    for (long nth = 1;; nth += nth < 60 ? 1 : 13) {
        ac_err err = { "" };
        ac_fault_arm(AC_FAULT_ALLOC, nth);
        const ac_status st = forecast(&f, &o, 0, &err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        if (!fired) {
            assert_int_equal(st, AC_OK);
            break;
        }
        assert_true(st == AC_ENOMEM && err.text[0] && nth < 5000);
        assert_int_equal(ac_live_bytes(), live);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts), cmocka_unit_test(steps_are_run_and_forgotten), cmocka_unit_test(nth_allocation),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
