/* report/report.h: the page from a run folder made here; nothing from outside, everything escaped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "report/report.h"

static char dir[] = "/tmp/accord-report-XXXXXX";

static void put(const char *name, const char *text)
{
    ac_err err = { 0 };
    ac_arena a = { 0 };
    const char *path = ac_path_join(&a, dir, name);
    if (ac_file_write_atomic(path, text, strlen(text), &err)) fail_msg("%s", err.text);
    ac_arena_release(&a);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return ac_remove_tree(dir, NULL);
}

static void test_missing(void **state)
{
    (void)state;
    ac_str s = { 0 };
    ac_err err = { 0 };
    assert_int_equal(ac_report_html(&s, dir, &err), AC_ENOENT);
    assert_non_null(strstr(err.text, "run.json"));
    ac_str_release(&s);
}

static void test_page(void **state)
{
    (void)state;
    ac_str s = { 0 };
    ac_err err = { 0 };
    put("run.json", "{\"id\":\"r<1>\",\"state\":\"trained\",\"steps\":2,\"first_loss\":2.5,\"adapter_sha256\":\"abc123\"}");
    if (ac_report_html(&s, dir, &err)) fail_msg("%s", err.text);
    assert_non_null(strstr(ac_str_c(&s), "Not scored yet"));
    assert_non_null(strstr(ac_str_c(&s), "No steps were recorded"));
    ac_str_reset(&s);
    put("metrics.jsonl", "{\"event\":\"step\",\"step\":1,\"loss\":2.5}\n{\"event\":\"step\",\"step\":2,\"loss\":0.5}\n"
                         "{\"event\":\"eval\",\"step\":2,\"loss\":0.75,\"best\":true}\n");
    put("verdict.json", "{\"verdict\":\"WIN\",\"classes\":{\"success\":1,\"refusal\":0,\"edge\":0},\"openings\":1,\"locks\":1,"
        "\"sentences\":[\"one\"],\"arms\":[{\"arm\":\"base\",\"passed\":0,\"cases\":1,\"wilson_low\":0,\"wilson_high\":0.8,"
        "\"passed_by_class\":{\"success\":0}}],\"comparisons\":[{\"arm\":\"tuned\",\"against\":\"base\",\"wins\":1,"
        "\"outcome\":\"WIN\",\"reason\":\"r\"}],\"by_case\":[{\"id\":\"c1\",\"class\":\"success\",\"turns\":[{\"role\":\"user\","
        "\"content\":\"<script>alert(1)</script> & more\"}],\"ideal\":\"x\",\"answers\":{\"base\":{\"pass\":false,\"text\":"
        "\"<b>bold</b>\",\"why\":\"no\",\"cut\":true,\"passages\":[{\"source\":\"a.md\",\"chunk\":3}]}}}]}");
    put("env.json", "{\"accord\":\"0\",\"cpu\":{\"model\":\"m\"}}");
    if (ac_report_html(&s, dir, &err)) fail_msg("%s", err.text);
    const char *page = ac_str_c(&s);
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "<b>bold"));
    assert_null(strstr(page, "http"));
    assert_null(strstr(page, "r<1>"));
    assert_non_null(strstr(page, "&lt;script&gt;"));
    assert_non_null(strstr(page, "verdict WIN"));
    assert_non_null(strstr(page, "<polyline"));
    assert_non_null(strstr(page, "cpu.model"));
    assert_non_null(strstr(page, "a.md #3"));
    assert_non_null(strstr(page, "abc123"));
    ac_str_release(&s);
    assert_int_equal(ac_live_bytes(), 0);
}

static void test_bad_file(void **state)
{
    (void)state;
    ac_str s = { 0 };
    ac_err err = { 0 };
    put("verdict.json", "{\"verdict\":");
    assert_int_equal(ac_report_html(&s, dir, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "verdict.json"));
    ac_str_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing), cmocka_unit_test(test_page), cmocka_unit_test(test_bad_file),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
