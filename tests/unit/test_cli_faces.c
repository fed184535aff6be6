/* What people see of the guard: every rule and act has its words; a frame of top fits every screen. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "cli/explain.h"
#include "cli/table.h"
#include "cli/top.h"
#include "telemetry_fixture.h"

/* Rule by rule, as the guard writes it: value, limit, source, and what in the contract would have it otherwise. */
static void every_rule_has_words(void **state)
{
    (void)state;
    ac_str s = { 0 };
    for (size_t i = 0; i < ac_guard_n_rules; i++) {
        const ac_guard_rule *r = &ac_guard_rules[i];
        ac_tel_act a = { .act = "warn", .rule = (int64_t)i, .signal = ac_signal_about(r->signal)->name, .value = r->enter,
                         .limit = r->enter, .arg = (double)NAN, .before = (double)NAN };
        assert_ptr_equal(ac_explain_rule(&a), r);
        ac_str_reset(&s);
        ac_explain_because(&s, &a);
        if (!strstr(s.ptr, r->source) || !strstr(s.ptr, a.signal) || !strstr(s.ptr, ac_signal_about(r->signal)->what))
            fail_msg("rule %zu: %s", i, s.ptr);
        if (!ac_explain_otherwise(&a)) fail_msg("nothing is said of what could be changed about %s", a.signal);
        /* a guard with another table: its limit is told, our source is not */
        a.limit = r->enter + 1;
        assert_null(ac_explain_rule(&a));
        ac_str_reset(&s);
        ac_explain_because(&s, &a);
        if (strstr(s.ptr, "source:") || !strstr(s.ptr, "of the guard that wrote this")) fail_msg("rule %zu: %s", i, s.ptr);
    }
    ac_str_release(&s);
}

static void every_act_has_words(void **state)
{
    (void)state;
    ac_str s = { 0 };
    for (int k = 0; k < AC_ACT_N; k++) {
        ac_tel_act a = { .act = ac_guard_act_name((ac_guard_act_kind)k), .rule = -1, .arg = 2, .before = 4, .value = (double)NAN,
                         .limit = (double)NAN };
        ac_explain_headline(&s, &a);
        if (strcmp(ac_str_c(&s), a.act) == 0 && k != AC_ACT_PAUSE) fail_msg("%s has no words of its own", a.act);
        ac_str_reset(&s);
        ac_explain_because(&s, &a);
        assert_true(s.len > 0);
        ac_str_reset(&s);
        const bool to_child = k <= AC_ACT_DROP_EXIT || k >= AC_ACT_TERM;
        if (to_child != (ac_explain_changed(&a) != NULL)) fail_msg("%s: what it changes", a.act);
        if (to_child && !ac_view_starts(ac_view_of(ac_explain_changed(&a)), AC_VIEW("no bit of the result")))
            fail_msg("%s does not say that no bit changes", a.act);
    }
    ac_str_release(&s);
}

static void a_run_that_stopped_says_how_to_go_on(void **state)
{
    (void)state;
    static const struct {
        int64_t exit;
        bool ended;
        const char *says;
    } cases[] = { { 0, true, NULL }, { 75, true, "accord train --resume r" }, { 76, true, "where there is more memory" },
                  { 80, true, "on another machine" }, { -1, true, "accord train --resume r" }, { 0, false, "unless it still runs" } };
    for (size_t i = 0; i < AC_COUNTOF(cases); i++) {
        ac_tel_session one = { .exit = cases[i].exit, .ended = cases[i].ended };
        const ac_tel t = { .n_sessions = 1, .session = &one };
        ac_str s = { 0 };
        if (ac_explain_next(&s, &t, "r", false) != (cases[i].says != NULL)) fail_msg("case %zu", i);
        if (cases[i].says && !strstr(s.ptr, cases[i].says)) fail_msg("case %zu: %s", i, s.ptr);
        ac_str_reset(&s);
        assert_false(ac_explain_next(&s, &t, "r", true));
        ac_str_release(&s);
    }
}

static void put(const char *dir, const char *name, const char *text)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(ac_file_write_atomic(path, text, strlen(text), NULL), AC_OK);
}

/* At every width no line is wider than the screen, and at every height no more lines than rows. */
static void frames_fit(void **state)
{
    (void)state;
    char dir[] = "/tmp/accord-faces-XXXXXX";
    ac_str s = { 0 }, m = { 0 };
    ac_top t;
    assert_non_null(mkdtemp(dir));
    ac_top_open(&t, dir);
    put(dir, "run.json", "{\"state\":\"training\",\"total_steps\":1000000}");
    for (int i = 1; i < 3000; i++)
        ac_str_appendf(&m, "{\"event\":\"step\",\"step\":%d,\"loss\":%g,\"seconds\":123456}\n", i, 1e5 / i);
    ac_str_append_c(&m, "{\"event\":\"eval\",\"step\":9,\"loss\":1e300}\n{\"event\":\"eval\",\"step\":9,\"loss\":1e-300}\n");
    put(dir, "metrics.jsonl", ac_str_c(&m));
    put(dir, "telemetry.jsonl", tel_story);
    assert_int_equal(ac_top_read(&t, NULL), AC_OK);
    assert_true(t.n_points > AC_TOP_POINTS / 4 && t.n_points <= AC_TOP_POINTS && t.step == 2999);
    for (size_t width = 20; width < 220; width++) {
        const ac_top_screen size = { .width = width, .height = 6 + width % 30 };
        size_t lines = 0;
        ac_str_reset(&s);
        ac_top_frame(&s, &t, &size);
        for (size_t at = 0; at < s.len; lines++) {
            const size_t lf = ac_view_find(ac_str_view(&s), AC_VIEW("\n"), at);
            const size_t w = ac_text_width(ac_view_slice(ac_str_view(&s), at, lf));
            if (w > width) fail_msg("width %zu: a line of %zu", width, w);
            at = lf + 1;
        }
        if (lines > 10 && lines >= size.height) fail_msg("height %zu: %zu lines", size.height, lines);
    }
    ac_top_close(&t);
    ac_str_release(&s);
    ac_str_release(&m);
    (void)ac_remove_tree(dir, NULL);
    assert_int_equal(ac_live_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_rule_has_words), cmocka_unit_test(every_act_has_words),
                                        cmocka_unit_test(a_run_that_stopped_says_how_to_go_on), cmocka_unit_test(frames_fit) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
