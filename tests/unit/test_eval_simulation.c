/* Verdicts over simulated comparisons, by the rule that ships (ac_verdict_make): without a true difference at most 5 % are
 * a WIN; with the smallest visible gain 80 % are. Philox, seed in the code; 20,000 comparisons a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "eval/stats.h"
#include "eval/verdict.h"

enum { DRAWS = 20000, MOST = 200 };

static ac_case items[MOST];
static ac_answer answers[3][MOST];
static uint64_t draw_number;

static ac_arm_result arm_of(ac_arm which, size_t n)
{
    ac_arm_result r = { .arm = which, .n = n, .answer = answers[which] };
    for (size_t i = 0; i < n; i++) {
        answers[which][i].text = answers[which][i].why = AC_VIEW("-");
        r.n_pass += answers[which][i].pass;
        r.n_pass_class[items[i].cls] += answers[which][i].pass;
    }
    return r;
}

static ac_outcome verdict_of(size_t n, bool rag)
{
    ac_arena a = { 0 };
    ac_verdict v;
    ac_err err = { 0 };
    ac_cases cases = { .n = n, .item = items, .n_class = { n } };
    /* The mildest contract: no margin, and no guard in the way. */
    const ac_verdict_rules rules = { .margin = 0, .guard = { n, n, n }, .openings = 1, .locks = 1, .smallest_gain = 1 };
    const ac_arm_result arms[3] = { arm_of(AC_ARM_BASE, n), arm_of(AC_ARM_TUNED, n), arm_of(AC_ARM_RAG, n) };
    if (ac_verdict_make(&v, &cases, arms, rag ? 3 : 2, &rules, &a, &err)) fail_msg("%s", err.text);
    const ac_outcome o = v.outcome;
    ac_arena_release(&a);
    return o;
}

/* ---- two arms: the outcome depends on wins and losses alone, so each pair is judged once ---- */

static bool win[MOST + 1][MOST + 1];

static void judge_all(size_t n, size_t most)
{
    memset(win, 0, sizeof win);
    for (size_t w = 0; w <= most; w++)
        for (size_t l = 0; l + w <= n && l <= most; l++) {
            for (size_t i = 0; i < n; i++) {
                items[i] = (ac_case){ .id = AC_VIEW("c"), .cls = AC_CLASS_SUCCESS };
                answers[AC_ARM_TUNED][i].pass = i < w;
                answers[AC_ARM_BASE][i].pass = i >= w && i < w + l;
            }
            win[w][l] = verdict_of(n, false) == AC_WIN;
        }
}

static size_t wins_of(size_t n, double win_share, double loss_share)
{
    size_t found = 0;
    for (size_t d = 0; d < DRAWS; d++, draw_number++) {
        size_t w = 0, l = 0;
        for (size_t i = 0; i < n; i++) {
            const double u = (double)ac_rng_unit(20260131, AC_RNG_TEST, draw_number, i);
            w += u < win_share;
            l += u >= win_share && u < win_share + loss_share;
        }
        found += win[w][l];
    }
    return found;
}

static void no_difference_is_seldom_a_win(void **state)
{
    static const size_t cases[] = { 30, 40, 50 };
    static const double discordant[] = { 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9 };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        judge_all(cases[i], cases[i]);
        for (size_t k = 0; k < AC_COUNTOF(discordant); k++) {
            const double share = (double)wins_of(cases[i], discordant[k] / 2, discordant[k] / 2) / DRAWS;
            print_message("n = %zu, %2.0f %% discordant: WIN in %.2f %%\n", cases[i], 100 * discordant[k], 100 * share);
            assert_true(share <= 0.05);
        }
    }
}

static void the_smallest_gain_is_seen(void **state)
{
    static const size_t cases[] = { 30, 40, 50, 200 };
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const double gain = ac_stats_smallest_gain(cases[i]) / 100;
        judge_all(cases[i], cases[i] > 100 ? 60 : cases[i]);
        const double share = (double)wins_of(cases[i], 0.05 + gain, 0.05) / DRAWS;
        print_message("n = %zu, gain %.1f points: WIN in %.1f %%\n", cases[i], 100 * gain, 100 * share);
        assert_true(share >= 0.77 && share <= 0.83);
    }
}

/* What the strictest of two comparisons can show, by its own rule: twice its p is at most 5 %. */
static void the_shared_gain_is_seen(void **state)
{
    static const size_t cases[] = { 30, 48, 50 };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const double gain = ac_stats_smallest_gain_of(cases[i], 2);
        assert_true(gain > ac_stats_smallest_gain(cases[i]));
        for (size_t w = 0; w <= cases[i]; w++)
            for (size_t l = 0; w + l <= cases[i]; l++) win[w][l] = w > l && 2 * ac_stats_mcnemar_midp(w, l) <= 0.05;
        const double share = (double)wins_of(cases[i], 0.05 + gain / 100, 0.05) / DRAWS;
        print_message("n = %zu, gain %.1f points, of two: seen in %.1f %%\n", cases[i], gain, 100 * share);
        assert_true(share >= 0.77 && share <= 0.83);
    }
}

/* ---- three arms: two comparisons under Holm, both of which must win ---- */

/* base and rag differ from tuned in a share of the cases, either way equally often, each for itself. */
static void draw_three(size_t n, float discordant)
{
    for (size_t i = 0; i < n; i++) {
        const bool tuned = ac_rng_unit(7, AC_RNG_TEST, draw_number, i) < 0.5f;
        answers[AC_ARM_TUNED][i].pass = tuned;
        answers[AC_ARM_BASE][i].pass = tuned != (ac_rng_unit(8, AC_RNG_TEST, draw_number, i) < discordant);
        answers[AC_ARM_RAG][i].pass = tuned != (ac_rng_unit(9, AC_RNG_TEST, draw_number, i) < discordant);
    }
}

static void two_comparisons_win_no_more_often(void **state)
{
    static const size_t cases[] = { 30, 40, 50 };
    static const float discordant[] = { 0.1f, 0.5f, 0.9f };
    (void)state;
    for (size_t i = 0; i < MOST; i++) items[i] = (ac_case){ .id = AC_VIEW("c"), .cls = AC_CLASS_SUCCESS };
    for (size_t c = 0; c < 3; c++)
        for (size_t k = 0; k < AC_COUNTOF(discordant); k++) {
            size_t found = 0;
            for (size_t d = 0; d < DRAWS; d++, draw_number++) {
                draw_three(cases[c], discordant[k]);
                found += verdict_of(cases[c], true) == AC_WIN;
            }
            print_message("n = %zu, tuned against base and rag, %2.0f %% discordant: WIN in %.2f %%\n", cases[c],
                          100 * (double)discordant[k], 100.0 * (double)found / DRAWS);
            assert_true((double)found / DRAWS <= 0.05);
        }
}

/* Wins that a WIN needs at 0 to 3 losses, through the rule itself. */
static void wins_needed(void **state)
{
    static const size_t needed[4] = { 5, 7, 9, 11 };
    (void)state;
    judge_all(40, 20);
    for (size_t l = 0; l < 4; l++)
        for (size_t w = 0; w <= 20; w++) assert_int_equal(win[w][l], w >= needed[l]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(no_difference_is_seldom_a_win), cmocka_unit_test(the_smallest_gain_is_seen),
                                         cmocka_unit_test(the_shared_gain_is_seen),
                                        cmocka_unit_test(two_comparisons_win_no_more_often),
                                        cmocka_unit_test(wins_needed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
