/* Triage: what texts show, and the verdict for each row of the matrix. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/fault.h"
#include "plan/triage.h"

static void versions_and_dates(void **state)
{
    static const char *const yes[] = { "use v2", "since v1.4", "1.4.2 fixes it", "needs Python 3.11-rc1", "as of 2026-01-31",
                                       "on 31 January 2026", "May 2, 2026", "release 12", "Version 7 brings it", "10.2.3.",
                                       "2026/02/01" };
    static const char *const no[] = { "it costs 3.14", "192.168.0.1 is the host", "SELECT 1", "12 apples", "in 2026",
                                      "call 555-1234-99", "the 5th of 10", "vv2", "1.5 to 2.5", "", "versions" };
    (void)state;
    for (size_t i = 0; i < AC_COUNTOF(yes); i++)
        if (!ac_text_names_version(ac_view_of(yes[i]))) fail_msg("\"%s\" names one", yes[i]);
    for (size_t i = 0; i < AC_COUNTOF(no); i++)
        if (ac_text_names_version(ac_view_of(no[i]))) fail_msg("\"%s\" names none", no[i]);
}

static double share_of(const char *const *text, size_t n, const char *says)
{
    ac_arena a = { 0 };
    ac_view v[64];
    double share = -1;
    const char *name = NULL;
    for (size_t i = 0; i < n; i++) v[i] = ac_view_of(text[i]);
    assert_int_equal(ac_text_form_share(&share, &name, v, n, &a, NULL), AC_OK);
    if (!strstr(name, says)) fail_msg("\"%s\" does not say \"%s\"", name, says);
    ac_arena_release(&a);
    return share;
}

static void forms(void **state)
{
    static const char *const sql[] = { "SELECT a FROM t", "select b from t", "SELECT c FROM t", "Select d from t", "I cannot say that.",
                                       "I cannot say that.", "I cannot say that.", "Something else entirely is said here" };
    static const char *const json[] = { "{\"a\":1,\"b\":2}", "{\"b\":[],\"a\":null}", " {\"a\":0,\"b\":0}\n", "{\"c\":1}" };
    static const char *const label[] = { "positive", "negative", "very positive", "neutral" };
    static const char *const code[] = { "```sql\nx\n```", "```sql\ny\n```", "- a\n- b", "1. a\n2. b" };
    static const char *const prose[] = { "One thing is this one.", "Two things are those two.", "Many others follow later on.",
                                         "Nothing is like the rest." };
    (void)state;
    assert_true(fabs(share_of(sql, 8, "SELECT") - 7.0 / 8) < 1e-12);   /* three of one sentence are a fixed one */
    assert_true(fabs(share_of(json, 4, "2 keys") - 0.75) < 1e-12);
    assert_true(fabs(share_of(label, 4, "label") - 1) < 1e-12);
    assert_true(fabs(share_of(code, 4, "") - 0.5) < 1e-12);
    assert_true(fabs(share_of(prose, 4, "begin with") - 0.25) < 1e-12);
    assert_true(share_of(NULL, 0, "nothing") == 0);
}

static void words(void **state)
{
    ac_str s = { 0 };
    (void)state;
    assert_int_equal(ac_text_words(&s, AC_VIEW("  The Box, has:2 cats! "), NULL), AC_OK);
    assert_string_equal(ac_str_c(&s), " the box has 2 cats ");
    ac_str_release(&s);
}

static const ac_triage_rules rules = {
    .corpus_share = 0.5, .churn_share = 0.2, .churn_days = 90, .version_share = 0.2, .format_share = 0.8, .few_rows = 50,
    .local_rows = 2000, .many_rows = 20000, .trials = 1, .many_trials = 10, .bar = 90, .headroom_gib = 12, .local_hours = 6,
    .sweeps_a_week = 3,
};

/* A project that is tuned here: rows of one form, nothing measured that speaks against it. */
static ac_triage_facts plain(void)
{
    return (ac_triage_facts){
        .n_rows = 800, .format_share = 0.95, .format = "a list", .n_answers = 40, .corpus_share = 0.1, .n_docs = 10,
        .churn_share = 0, .churn_method = "git", .version_share = 0.01, .n_cases = 48, .base_points = (double)NAN,
        .rag_points = (double)NAN, .measured_by = "run x", .smallest_gain = 21.5, .hours = 0.5, .hours_method = "as run x went",
        .need_bytes = 1 << 30, .total_bytes = (int64_t)16 << 30, .need_method = "planned",
    };
}

static void expect(const ac_triage_facts *f, const ac_triage_rules *r, ac_triage_verdict v, const char *says)
{
    ac_arena a = { 0 };
    ac_triage t;
    bool said = false, decided = false;
    assert_int_equal(ac_triage_decide(&t, f, r, &a, NULL), AC_OK);
    for (size_t i = 0; i < t.n_reasons; i++) said |= strstr(t.reason[i], says) != NULL;
    for (size_t i = 0; i < t.n_rows; i++) decided |= t.row[i].decided;
    if (t.verdict != v || !said || !t.n_reasons)
        fail_msg("%s (%s), expected %s saying \"%s\"", ac_triage_name(t.verdict), t.n_reasons ? t.reason[0] : "", ac_triage_name(v), says);
    if (!decided && v != AC_TRIAGE_HERE) fail_msg("no row is marked for %s", ac_triage_name(v));
    ac_arena_release(&a);
}

#define WITH(verdict, says, ...) do { \
        ac_triage_facts f = plain(); \
        ac_triage_rules r = rules; \
        __VA_ARGS__; \
        expect(&f, &r, verdict, says); \
    } while (0)

static void what_is_good_enough(void **state)
{
    (void)state;
    WITH(AC_TRIAGE_HERE, "one form", (void)0);
    WITH(AC_TRIAGE_PROMPT, "bar of 90", f.base_points = 91);
    WITH(AC_TRIAGE_PROMPT, "cannot show a gain", f.base_points = 80);        /* 20 of room, 21.5 to be seen */
    WITH(AC_TRIAGE_HERE, "one form", f.base_points = 78);
    WITH(AC_TRIAGE_RAG, "with passages", f.base_points = 10; f.rag_points = 95);
    WITH(AC_TRIAGE_RAG, "cannot show a gain", f.base_points = 10; f.rag_points = 79);
    WITH(AC_TRIAGE_HERE, "one form", f.base_points = 10; f.rag_points = 20);
    WITH(AC_TRIAGE_HERE, "one form", f.base_points = 80; f.smallest_gain = 19);
    WITH(AC_TRIAGE_HERE, "one form", f.base_points = 50; r.bar = 60);
    WITH(AC_TRIAGE_PROMPT, "bar of 60", f.base_points = 60; r.bar = 60);
}

static void what_changes(void **state)
{
    (void)state;
    WITH(AC_TRIAGE_RAG, "retrieve and cite", f.corpus_share = 0.6; f.churn_share = 0.3);
    WITH(AC_TRIAGE_RAG, "retrieve and cite", f.corpus_share = 0.6; f.version_share = 0.3);
    WITH(AC_TRIAGE_RAG, "retrieve and cite", f.churn_share = 0.3; f.version_share = 0.3);
    WITH(AC_TRIAGE_HERE, "one form", f.churn_share = 1);                     /* one sign alone */
    WITH(AC_TRIAGE_HERE, "one form", f.corpus_share = 1);
    WITH(AC_TRIAGE_HERE, "one form", f.corpus_share = f.churn_share = f.version_share = (double)NAN);
}

static void what_there_is_to_learn(void **state)
{
    (void)state;
    WITH(AC_TRIAGE_PROMPT, "no form in common", f.format_share = 0.5);
    WITH(AC_TRIAGE_HERE, "misses 60.0 points", f.format_share = 0.5; f.base_points = 40);
    WITH(AC_TRIAGE_PROMPT, "put the best of them into the prompt", f.n_rows = 49);
    WITH(AC_TRIAGE_PROMPT, "no form in common", f.format_share = (double)NAN);
}

static void where_to_tune(void **state)
{
    (void)state;
    WITH(AC_TRIAGE_NODE, "experiments belong on nodes", f.n_rows = 20000);
    WITH(AC_TRIAGE_HERE, "one nightly job", f.n_rows = 19999);
    WITH(AC_TRIAGE_NODE, "10 trials", r.trials = 10);
    WITH(AC_TRIAGE_NODE, "sweeps", f.sweeps_last_week = 4);
    WITH(AC_TRIAGE_HERE, "one form", f.sweeps_last_week = 3);
    WITH(AC_TRIAGE_NODE, "does not fit", f.need_bytes = (int64_t)12 << 30; f.need_bytes += 1);   /* 16 less a quarter */
    WITH(AC_TRIAGE_HERE, "one form", f.need_bytes = (int64_t)12 << 30);
    WITH(AC_TRIAGE_NODE, "does not fit", f.total_bytes = (int64_t)64 << 30; f.need_bytes = (int64_t)53 << 30);
    WITH(AC_TRIAGE_HERE, "one form", f.total_bytes = (int64_t)64 << 30; f.need_bytes = (int64_t)52 << 30);
    WITH(AC_TRIAGE_NODE, "at night, or on a node", f.hours = 6);
    WITH(AC_TRIAGE_HERE, "one form", f.hours = (double)NAN; f.need_bytes = -1);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const text[] = { "{\"a\":1}", "{\"a\":2}", "SELECT a", "one two three four" };
    for (long nth = 1;; nth++) {
        ac_arena a = { 0 };
        ac_err err = { 0 };
        ac_triage t;
        ac_view v[4];
        double share = 0;
        const ac_triage_facts f = plain();
        ac_triage_facts g = f;
        for (size_t i = 0; i < 4; i++) v[i] = ac_view_of(text[i]);
        ac_fault_arm(AC_FAULT_ALLOC, nth);
        ac_status st = ac_text_form_share(&share, &g.format, v, 4, &a, &err);
        if (!st) st = ac_triage_decide(&t, &g, &rules, &a, &err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        ac_arena_release(&a);
        if (ac_live_bytes() != 0) fail_msg("allocation %ld leaks", nth);
        if (!fired) {
            assert_int_equal(st, AC_OK);
            break;
        }
        if (st != AC_ENOMEM && st != AC_OK) fail_msg("allocation %ld: %s", nth, ac_status_name(st));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_and_dates),     cmocka_unit_test(forms),         cmocka_unit_test(words),
        cmocka_unit_test(what_is_good_enough),    cmocka_unit_test(what_changes),  cmocka_unit_test(what_there_is_to_learn),
        cmocka_unit_test(where_to_tune),          cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
