/* The report with the guard in it: one axis, marks that do not lie on each other, a list, VOID, and nothing unescaped. */
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
#include "report/report.h"
#include "telemetry_fixture.h"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/accord-report-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return ac_remove_tree(dir, NULL);
}

static void put(const char *name, const char *text)
{
    char path[128];
    ac_err err = { 0 };
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    if (!text) (void)unlink(path);
    else if (ac_file_write_atomic(path, text, strlen(text), &err)) fail_msg("%s", err.text);
}

static void page(ac_str *out)
{
    ac_err err = { 0 };
    ac_str_reset(out);
    if (ac_report_html(out, dir, &err)) fail_msg("%s", err.text);
    if (strstr(out->ptr, "=\"nan") || strstr(out->ptr, "=\"-nan") || strstr(out->ptr, "=\"inf") || strstr(out->ptr, "nan,"))
        fail_msg("a coordinate is no number");
}

static void has(const ac_str *s, const char *what)
{
    if (!strstr(ac_str_c(s), what)) fail_msg("the page lacks %s", what);
}

/* Left edge and width of every mark, in their order. */
static size_t check_marks(const ac_str *s)
{
    size_t n = 0;
    double before = -1e9, x, y, w;
    for (const char *p = ac_str_c(s); (p = strstr(p, "<g class=\"mark\"><rect ")); p++) {
        if (sscanf(p, "<g class=\"mark\"><rect x=\"%lf\" y=\"%lf\" width=\"%lf\"", &x, &y, &w) != 3) fail_msg("%.80s", p);
        if (x < before + 1 || x < 40 || x + w > 860) fail_msg("mark %zu from %g to %g, the one before ends at %g", n + 1, x, x + w, before);
        before = x + w;
        n++;
    }
    return n;
}

static void story(void **state)
{
    (void)state;
    ac_str s = { 0 };
    put("run.json", "{\"id\":\"r\",\"state\":\"trained\",\"train_seconds\":57.5,\"tokens_per_second\":100}");
    put("metrics.jsonl", "{\"event\":\"step\",\"step\":5,\"loss\":2}\n{\"event\":\"step\",\"step\":15,\"loss\":1}\n"
                         "{\"event\":\"eval\",\"step\":15,\"loss\":1.5}\n{\"event\":\"step\",\"step\":40,\"loss\":0.5}\n"
                         "{\"event\":\"step\",\"step\":41,\"loss\":0.5}\n");
    put("telemetry.jsonl", tel_story);
    page(&s);
    has(&s, "3 acts of the guard");
    has(&s, "micro-batch 4 instead of 8");
    has(&s, "footprint 87 % of budget, limit 85: micro-batch 4");
    has(&s, "obeyed after 500 ms");
    has(&s, "resumed at step 14");
    has(&s, "yellow from 0:10 to 0:23");
    has(&s, "training, seconds <span class=\"void\">VOID</span></td><td class=\"num\">57.5");
    has(&s, "it was yellow for 13 s; it was paused for 10 s");
    has(&s, "what it cost in time, about");
    /* step 5 was done at 5 s of 60, step 15 for good at 24 s: the axis is time */
    has(&s, "<polyline class=\"raw\" points=\"121.8,");
    has(&s, "cx=\"372.0\"");
    assert_int_equal(check_marks(&s), 2);

    put("telemetry.jsonl", NULL);
    page(&s);
    has(&s, "nothing watched this run");
    has(&s, "aria-label=\"loss by step\"");
    put("telemetry.jsonl", "{\"k\":\"begin\"}\n");
    page(&s);
    has(&s, "VOID for timing claims:");
    has(&s, "telemetry.jsonl:1");
    put("telemetry.jsonl", TEL_BEGIN(0));
    page(&s);
    has(&s, "aria-label=\"loss by step\"");
    ac_str_release(&s);
    assert_int_equal(ac_live_bytes(), 0);
}

/* Hundreds of acts, close together and at the end; hostile words; values that no machine has. */
static void crowded(void **state)
{
    (void)state;
    ac_str t = { 0 }, s = { 0 };
    ac_str_append_c(&t, TEL_BEGIN(0));
    for (int i = 0; i < 400; i++)
        ac_str_appendf(&t, "{\"k\":\"act\",\"t\":%d,\"act\":\"<script>\",\"arg\":1,\"id\":0,\"level\":\"yellow\",\"text\":\"<b>&\\\"\"}\n"
                       "{\"k\":\"sample\",\"t\":%d,\"level\":\"%s\",\"step\":%d,\"footprint_bytes\":%s,\"available_bytes\":null}\n",
                       i * i, i * i, i % 3 ? "green" : "emergency", i / 4, i % 7 ? "1e300" : "-5");
    put("telemetry.jsonl", ac_str_c(&t));
    put("metrics.jsonl", NULL);
    page(&s);
    assert_null(strstr(s.ptr, "<script>"));
    assert_null(strstr(s.ptr, "<b>"));
    has(&s, "&lt;script&gt;");
    has(&s, "not measured");
    has(&s, "<details><summary>400 acts");
    if (check_marks(&s) < 5) fail_msg("too few marks");
    ac_str_release(&t);
    ac_str_release(&s);
    assert_int_equal(ac_live_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(story), cmocka_unit_test(crowded) };
    return cmocka_run_group_tests(tests, setup, teardown);
}
