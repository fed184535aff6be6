#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/human.h"
#include "cli/progress.h"
#include "cli/table.h"

static void columns_line_up_by_display_width(void **state)
{
    (void)state;
    static const char *const head[] = { "name", "n", "note" };
    ac_table t;
    ac_str s = { 0 };
    ac_table_init(&t, "lrl", head);
    ac_table_cell(&t, AC_VIEW("\xe6\x97\xa5\xe6\x9c\xac"));     /* two wide characters */
    ac_table_cellf(&t, "%d", 5);
    ac_table_cell(&t, AC_VIEW("x"));
    ac_table_cell(&t, AC_VIEW("e\xcc\x81" "a"));                /* a combining accent */
    ac_table_cellf(&t, "%d", 12345);
    ac_table_cell(&t, AC_VIEW("a\x1b[2J\nb\xc2\x9b"));
    assert_int_equal(ac_table_render(&t, &s, 0, false, NULL), AC_OK);
    assert_string_equal(ac_str_c(&s), "name      n  note\n"
                                      "\xe6\x97\xa5\xe6\x9c\xac      5  x\n"
                                      "e\xcc\x81" "a    12345  a?[2J b??\n");
    ac_str_release(&s);
    ac_table_release(&t);
    assert_int_equal(ac_live_bytes(), 0);
}

static void wide_tables_are_cut(void **state)
{
    (void)state;
    static const char *const head[] = { "n", "text" };
    ac_table t;
    ac_str s = { 0 };
    ac_table_init(&t, "rl", head);
    ac_table_cell(&t, AC_VIEW("1"));
    ac_table_cell(&t, AC_VIEW("abcdefghijklmnopqrstuvwxyz"));
    assert_int_equal(ac_table_render(&t, &s, 20, true, NULL), AC_OK);
    assert_string_equal(ac_str_c(&s), "\x1b[1mn  text\x1b[0m\n1  abcdefghijklmnop\xe2\x80\xa6\n");
    ac_str_release(&s);
    ac_table_release(&t);
}

static void numbers_for_people(void **state)
{
    (void)state;
    char s[32];
    ac_human_count(s, 0);
    assert_string_equal(s, "0");
    ac_human_count(s, 999);
    assert_string_equal(s, "999");
    ac_human_count(s, 1234567);
    assert_string_equal(s, "1,234,567");
    ac_human_count(s, UINT64_MAX);
    assert_string_equal(s, "18,446,744,073,709,551,615");
    ac_human_bytes(s, 1023);
    assert_string_equal(s, "1023 B");
    ac_human_bytes(s, 1536);
    assert_string_equal(s, "1.5 KiB");
    ac_human_bytes(s, (uint64_t)200 << 20);
    assert_string_equal(s, "200 MiB");
    ac_human_bytes(s, UINT64_MAX);
    assert_string_equal(s, "16.0 EiB");
    ac_human_time(s, 7.4);
    assert_string_equal(s, "0:07");
    ac_human_time(s, 59.6);
    assert_string_equal(s, "1:00");
    ac_human_time(s, 3723);
    assert_string_equal(s, "1:02:03");
    ac_human_time(s, -1.0 / 0.0);
    assert_string_equal(s, "0:00");
}

static int64_t fake_now;
static int64_t now(void)
{
    return fake_now;
}

static void play(ac_progress *p)
{
    const ac_sink s = ac_progress_sink(p);
    p->now_ns = now;
    fake_now = 0;
    ac_emit(&s, &(ac_event){ .kind = AC_EV_STAGE, .text = "reading", .unit = "rows", .total = 1000 }, NULL);
    for (unsigned i = 1; i <= 1000; i++) {
        fake_now += 25000000;                                   /* 25 s in all */
        ac_emit(&s, &(ac_event){ .kind = AC_EV_PROGRESS, .done = i }, NULL);
        if (i == 500) ac_emit(&s, &(ac_event){ .kind = AC_EV_NOTE, .text = "half\x1b" }, NULL);
        if (i == 600) ac_emit(&s, &(ac_event){ .kind = AC_EV_WARN, .text = "odd" }, NULL);
    }
    ac_emit(&s, &(ac_event){ .kind = AC_EV_STAGE_END }, NULL);
}

static char *played(bool tty, bool quiet)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    ac_progress p;
    ac_progress_init(&p, f, tty, quiet, 80);
    play(&p);
    fclose(f);
    return text;
}

static void a_pipe_gets_a_line_every_ten_seconds(void **state)
{
    (void)state;
    char *text = played(false, false);
    assert_string_equal(text, "reading:  40%  400/1,000 rows  40/s  0:15 left\n"
                              "half?\nwarning: odd\n"
                              "reading:  80%  800/1,000 rows  40/s  0:05 left\n"
                              "reading: done, 1,000 rows in 0:25\n");
    free(text);
    text = played(false, true);
    assert_string_equal(text, "warning: odd\n");
    free(text);
}

static void a_terminal_gets_a_bar(void **state)
{
    (void)state;
    char *text = played(true, false);
    size_t bars = 0, widest = 0;
    for (const char *c = text; (c = strstr(c, "\r\x1b[K")); c++, bars++) {
        const size_t n = strcspn(c + 4, "\r\n");
        if (n > widest) widest = n;
    }
    assert_in_range(bars, 240, 260);                             /* ten a second at most */
    assert_in_range(widest, 60, 79);
    assert_non_null(strstr(text, "reading [###############---------------]  50%  500/1,000 rows"));
    assert_non_null(strstr(text, "\r\x1b[Khalf?\n"));
    assert_string_equal(text + strlen(text) - 34, "reading: done, 1,000 rows in 0:25\n");
    free(text);
}

static void steps_show_their_loss(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    ac_progress p;
    ac_progress_init(&p, f, false, false, 80);
    p.now_ns = now;
    const ac_sink s = ac_progress_sink(&p);
    fake_now = 0;
    ac_emit(&s, &(ac_event){ .kind = AC_EV_STAGE, .text = "training", .unit = "steps", .total = 4 }, NULL);
    fake_now += INT64_C(20000000000);
    ac_emit(&s, &(ac_event){ .kind = AC_EV_STEP, .done = 1, .total = 4, .step = 1, .loss = 2.5 }, NULL);
    ac_emit(&s, &(ac_event){ .kind = AC_EV_EVAL, .step = 1, .loss = 2.25, .flag = 1 }, NULL);
    fclose(f);
    assert_string_equal(text, "training:  25%  1/4 steps  0.05/s  loss 2.5000  1:00 left\n"
                              "step 1: validation loss 2.2500 (best so far)\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_line_up_by_display_width),
        cmocka_unit_test(wide_tables_are_cut),
        cmocka_unit_test(numbers_for_people),
        cmocka_unit_test(a_pipe_gets_a_line_every_ten_seconds),
        cmocka_unit_test(a_terminal_gets_a_bar),
        cmocka_unit_test(steps_show_their_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
