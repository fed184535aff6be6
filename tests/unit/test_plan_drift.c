/* Drift: each measure on data whose answer is known, and on data without any. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/fault.h"
#include "base/rng.h"
#include "plan/drift.h"

enum { H = 8, N = 200, M = 100 };

static void unit(float *v, double angle, double lift)
{
    memset(v, 0, H * sizeof *v);
    const double c = cos(angle), s = sin(angle), l = sqrt(1 + lift * lift);
    v[0] = (float)(c / l);
    v[1] = (float)(s / l);
    v[2] = (float)(lift / l);
}

/* n vectors around one direction of the first plane. */
static void around(float *v, size_t n, double angle, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) unit(v + i * H, angle + 0.1 * (double)ac_rng_unit(seed, AC_RNG_TEST, 1, i), 0);
}

/* Figures of scipy.stats.ks_2samp (asymptotic form with the same small-sample term worked out by hand for the third). */
static void ks(void **state)
{
    (void)state;
    double p, a[] = { 1, 2, 3, 4, 5 }, b[] = { 1, 2, 3, 4, 5 }, c[] = { 6, 7, 8, 9, 10 };
    assert_true(ac_drift_ks(a, 5, b, 5, &p) < 1e-12);
    assert_true(p > 0.999);
    assert_true(fabs(ac_drift_ks(a, 5, c, 5, &p) - 1) < 1e-12);
    assert_true(p < 0.01);
    double x[40], y[60];
    for (size_t i = 0; i < 40; i++) x[i] = (double)(39 - i);
    for (size_t i = 0; i < 60; i++) y[i] = (double)i;
    assert_true(fabs(ac_drift_ks(x, 40, y, 60, &p) - 1.0 / 3) < 1e-12);      /* at 39: 1 against 40/60 */
    const double e = sqrt(24.0), at = (e + 0.12 + 0.11 / e) / 3;
    double want = 0;
    for (int j = 1; j < 50; j++) want += (j % 2 ? 2 : -2) * exp(-2.0 * j * j * at * at);
    assert_true(fabs(p - want) < 1e-9);
    assert_true(ac_drift_ks(x, 0, y, 60, &p) == 0 && p == 1);
}

static void quantiles(void **state)
{
    (void)state;
    const double v[] = { 1, 2, 3, 4 };
    assert_true(fabs(ac_drift_quantile(v, 4, 0.5) - 2.5) < 1e-12);
    assert_true(fabs(ac_drift_quantile(v, 4, 0) - 1) < 1e-12);
    assert_true(fabs(ac_drift_quantile(v, 4, 1) - 4) < 1e-12);
    assert_true(ac_drift_quantile(v, 0, 0.5) == 0);
}

static void unseen_words(void **state)
{
    (void)state;
    const ac_view rows[] = { AC_VIEW("the red box"), AC_VIEW("a blue box") };
    const ac_view logs[] = { AC_VIEW("The green BOX, 17 times"), AC_VIEW("green x the tree") };
    ac_arena a = { 0 };
    ac_drift_word top[2];
    size_t n = 2;
    double share;
    assert_int_equal(ac_drift_unseen(&share, top, &n, logs, 2, rows, 2, &a, NULL), AC_OK);
    assert_true(fabs(share - 4.0 / 7) < 1e-12);      /* green green times tree, of these and box the the */
    assert_int_equal(n, 2);
    assert_string_equal(top[0].word, "green");
    assert_int_equal(top[0].count, 2);
    ac_arena_release(&a);
}

static void vectors(void **state)
{
    (void)state;
    static float rows[N * H], logs[M * H];
    ac_arena a = { 0 };
    ac_drift_topics t;
    double limit;
    around(rows, N / 2, 0, 1);
    around(rows + N / 2 * H, N / 2, 2, 2);
    around(logs, M / 2, 0, 3);
    around(logs + M / 2 * H, M / 2, 2, 4);
    assert_true(ac_drift_novel(logs, M, rows, N, H, &limit, &a) < 0.15);     /* the same two places */
    assert_int_equal(ac_drift_topics_find(&t, logs, M, rows, N, H, &a, NULL), AC_OK);
    assert_true(t.n == 10 && t.psi < 0.5);
    const double same = t.psi;
    around(logs + M / 2 * H, M / 2, 0, 4);                                   /* all at the first place */
    assert_int_equal(ac_drift_topics_find(&t, logs, M, rows, N, H, &a, NULL), AC_OK);
    assert_true(t.psi > 1 && t.psi > same);
    double share = 0;
    for (size_t i = 0; i < t.n; i++) share += t.topic[i].log_share;
    assert_true(fabs(share - 1) < 1e-9);
    for (size_t i = 0; i < M / 2; i++) unit(logs + (M / 2 + i) * H, 0, 3);   /* half of them off the plane */
    const double novel = ac_drift_novel(logs, M, rows, N, H, &limit, &a);
    assert_true(novel >= 0.5 && novel < 0.6);
    assert_true(isnan(ac_drift_novel(logs, M, rows, 19, H, &limit, &a)));
    ac_arena_release(&a);
}

static void furthest_first(void **state)
{
    (void)state;
    float known[2 * H], logs[5 * H];
    ac_arena a = { 0 };
    size_t pick[5], n = 5;
    double far[5];
    unit(known, 0, 0);
    unit(known + H, 0.2, 0);
    unit(logs, 0, 0);               /* known */
    unit(logs + H, 3, 0);           /* furthest */
    unit(logs + 2 * H, 2.9, 0);     /* near the furthest */
    unit(logs + 3 * H, 1.5, 0);     /* between */
    unit(logs + 4 * H, 3, 0);       /* a copy of the furthest */
    assert_int_equal(ac_drift_far(pick, far, &n, logs, 5, known, 2, H, &a, NULL), AC_OK);
    assert_int_equal(n, 3);
    assert_int_equal(pick[0], 1);
    assert_int_equal(pick[1], 3);
    assert_int_equal(pick[2], 2);
    assert_true(far[0] > far[1] && far[1] > far[2]);
    ac_arena_release(&a);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    static float rows[N * H], logs[M * H];
    const ac_view text[] = { AC_VIEW("one two"), AC_VIEW("two three") };
    around(rows, N, 0, 1);
    around(logs, M, 1, 2);
    for (long nth = 1;; nth++) {
        ac_arena a = { 0 };
        ac_drift_topics t;
        ac_drift_word top[4];
        size_t n = 4, pick[4], far_n = 4;
        double share, far[4];
        ac_err err = { 0 };
        ac_fault_arm(AC_FAULT_ALLOC, nth);
        ac_status st = ac_drift_unseen(&share, top, &n, text, 2, text, 1, &a, &err);
        if (!st) st = ac_drift_topics_find(&t, logs, M, rows, N, H, &a, &err);
        if (!st) st = ac_drift_far(pick, far, &far_n, logs, M, rows, N, H, &a, &err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        ac_arena_release(&a);
        if (ac_live_bytes() != 0) fail_msg("allocation %ld leaks", nth);
        if (!fired) {
            assert_int_equal(st, AC_OK);
            break;
        }
        if (st != AC_ENOMEM || !err.text[0]) fail_msg("allocation %ld: %s", nth, ac_status_name(st));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ks),      cmocka_unit_test(quantiles),      cmocka_unit_test(unseen_words),
        cmocka_unit_test(vectors), cmocka_unit_test(furthest_first), cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
