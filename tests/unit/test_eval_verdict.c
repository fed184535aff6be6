/* eval/verdict.h: outcomes from made-up results, by the rules alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/stats.h"
#include "eval/verdict.h"

#define N 48   /* 24 success, 12 refusal, 12 edge */

static ac_case items[N];
static ac_cases cases = { .n = N, .item = items };
static ac_answer answers[AC_ARM_COUNT][N];
static ac_arm_result arms[AC_ARM_COUNT];

/* Each string: one digit a case, '1' passed. */
static void set_arm(ac_arm which, const char *bits)
{
    arms[which] = (ac_arm_result){ .arm = which, .n = N, .answer = answers[which] };
    assert_int_equal(strlen(bits), N);
    for (size_t i = 0; i < N; i++) {
        answers[which][i] = (ac_answer){ .pass = bits[i] == '1', .text = AC_VIEW("t"), .why = AC_VIEW("w") };
        arms[which].n_pass += bits[i] == '1';
        arms[which].n_pass_class[items[i].cls] += bits[i] == '1';
    }
}

static int setup(void **state)
{
    (void)state;
    memset(cases.n_class, 0, sizeof cases.n_class);
    for (size_t i = 0; i < N; i++) {
        items[i] = (ac_case){ .id = AC_VIEW("c"), .cls = i < 24 ? AC_CLASS_SUCCESS : i < 36 ? AC_CLASS_REFUSAL : AC_CLASS_EDGE };
        cases.n_class[items[i].cls]++;
    }
    return 0;
}

#define ZEROS "000000000000000000000000000000000000000000000000"
#define ONES  "111111111111111111111111111111111111111111111111"

static ac_verdict decide(size_t n_arms, ac_arena *a, double margin)
{
    ac_err err = { 0 };
    ac_verdict v;
    const ac_verdict_rules rules = { .margin = margin, .guard = { 2, 0, 2 }, .openings = 1, .locks = 1 };
    if (ac_verdict_make(&v, &cases, arms, n_arms, &rules, a, &err)) fail_msg("%s", err.text);
    return v;
}

static void test_win_and_loss(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    set_arm(AC_ARM_BASE, ZEROS);
    set_arm(AC_ARM_RAG, ZEROS);
    set_arm(AC_ARM_TUNED, ONES);
    ac_verdict v = decide(3, &a, 10);
    assert_int_equal(v.outcome, AC_WIN);
    assert_int_equal(v.n_comparisons, 2);
    assert_int_equal(v.comparison[0].wins, N);
    assert_true(v.comparison[0].net_points == 100);
    set_arm(AC_ARM_BASE, ONES);
    set_arm(AC_ARM_TUNED, ZEROS);
    v = decide(3, &a, 10);
    assert_int_equal(v.outcome, AC_LOSS);
    assert_int_equal(v.comparison[1].outcome, AC_NO_CLEAR_LIFT);
    ac_arena_release(&a);
}

static void test_not_enough(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    set_arm(AC_ARM_BASE, ZEROS);
    set_arm(AC_ARM_TUNED, "111100000000000000000000000000000000000000000000");
    arms[1] = arms[AC_ARM_TUNED];
    ac_verdict v = decide(2, &a, 1);             /* 4 wins: mid-p 0.0625 */
    assert_int_equal(v.outcome, AC_NO_CLEAR_LIFT);
    assert_non_null(strstr(v.comparison[0].reason, "not enough"));
    set_arm(AC_ARM_TUNED, "111110000000000000000000000000000000000000000000");
    arms[1] = arms[AC_ARM_TUNED];
    assert_int_equal(decide(2, &a, 1).outcome, AC_WIN);              /* 5 wins: 0.03125 */
    v = decide(2, &a, 20);                       /* but 10.4 points are under a margin of 20 */
    assert_int_equal(v.outcome, AC_NO_CLEAR_LIFT);
    assert_non_null(strstr(v.comparison[0].reason, "margin"));
    assert_true(v.smallest_gain == ac_stats_smallest_gain(N));
    assert_non_null(strstr(v.sentence[0], "too small"));
    ac_arena_release(&a);
}

static void test_holm_needs_more(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    set_arm(AC_ARM_BASE, ZEROS);
    set_arm(AC_ARM_RAG, ZEROS);
    set_arm(AC_ARM_TUNED, "111110000000000000000000000000000000000000000000");
    const ac_verdict v = decide(3, &a, 1);       /* two comparisons at .03125 each become .0625 */
    assert_true(fabs(v.comparison[0].holm_p - .0625) < 1e-12);
    assert_int_equal(v.outcome, AC_NO_CLEAR_LIFT);
    ac_arena_release(&a);
}

static void test_guard(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    /* One refusal that base got right and tuned gets wrong. */
    set_arm(AC_ARM_BASE, "000000000000000000000000" "100000000000" "000000000000");
    set_arm(AC_ARM_TUNED, "111111111111111111111111" "011111111111" "111111111111");
    arms[1] = arms[AC_ARM_TUNED];
    const ac_verdict v = decide(2, &a, 10);
    assert_int_equal(v.outcome, AC_NO_CLEAR_LIFT);
    assert_non_null(strstr(v.comparison[0].reason, "class refusal loses 1"));
    ac_arena_release(&a);
}

static void test_clusters(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    for (size_t i = 0; i < 6; i++) items[i].cluster = AC_VIEW("one");
    set_arm(AC_ARM_BASE, ZEROS);
    set_arm(AC_ARM_TUNED, "111111000000000000000000000000000000000000000000");
    arms[1] = arms[AC_ARM_TUNED];
    ac_verdict v = decide(2, &a, 1);             /* six wins in one cluster are one win */
    assert_int_equal(v.n_clusters, N - 5);
    assert_int_equal(v.comparison[0].wins, 1);
    assert_int_equal(v.outcome, AC_NO_CLEAR_LIFT);
    set_arm(AC_ARM_TUNED, "111110000000000000000000000000000000000000000000");
    arms[1] = arms[AC_ARM_TUNED];
    assert_int_equal(decide(2, &a, 1).comparison[0].wins, 0);        /* not all of it passes */
    setup(NULL);
    ac_arena_release(&a);
}

static void test_json(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    ac_str s = { 0 };
    ac_jw w;
    const ac_json *j = NULL;
    ac_err err = { 0 };
    set_arm(AC_ARM_BASE, ZEROS);
    set_arm(AC_ARM_TUNED, ONES);
    arms[1] = arms[AC_ARM_TUNED];
    const ac_verdict v = decide(2, &a, 10);
    ac_jw_init(&w, &s, true);
    ac_jw_object(&w, NULL);
    ac_verdict_write(&w, &v, &cases, arms, 2);
    ac_jw_end_object(&w);
    if (ac_json_parse(&j, ac_str_view(&s), &a, "verdict.json", 1, NULL, &err)) fail_msg("%s", err.text);
    assert_true(ac_view_eq_str(ac_json_get(j, "verdict")->text, "WIN"));
    assert_int_equal(ac_json_get(j, "by_case")->n, N);
    assert_int_equal(ac_json_get(j, "arms")->n, 2);
    ac_str_release(&s);
    ac_arena_release(&a);
}

static void test_needs_arms(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_arena a = { 0 };
    ac_verdict v;
    const ac_verdict_rules rules = { .margin = 1 };
    set_arm(AC_ARM_BASE, ZEROS);
    assert_int_equal(ac_verdict_make(&v, &cases, arms, 1, &rules, &a, &err), AC_EARG);
    ac_arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_win_and_loss), cmocka_unit_test(test_not_enough), cmocka_unit_test(test_holm_needs_more),
        cmocka_unit_test(test_guard), cmocka_unit_test(test_clusters), cmocka_unit_test(test_json),
        cmocka_unit_test(test_needs_arms),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
