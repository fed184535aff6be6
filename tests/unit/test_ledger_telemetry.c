/* The reader of telemetry.jsonl: what a run's record says, what is refused, and how much memory it may take. */
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
#include "ledger/telemetry.h"
#include "telemetry_fixture.h"

static char dir[64], path[96];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/accord-telemetry-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    (void)snprintf(path, sizeof path, "%s/telemetry.jsonl", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return ac_remove_tree(dir, NULL);
}

static void put(const char *mode, const char *text, size_t len)
{
    FILE *f = fopen(path, mode);
    if (!f || fwrite(text, 1, len, f) != len || fclose(f)) fail_msg("cannot write %s", path);
}

static void near(double got, double want, double by)
{
    if (!(fabs(got - want) <= by)) fail_msg("%g, expected %g", got, want);
}

static void story_is_told(void **state)
{
    (void)state;
    ac_tel t = { 0 };
    ac_err err = { 0 };
    put("w", tel_story, sizeof tel_story - 1);
    if (ac_tel_read(&t, path, &err)) fail_msg("%s", err.text);
    assert_int_equal(t.n_sessions, 2);
    assert_int_equal(t.n_acts, 3);
    assert_int_equal(t.n_samples, 8);
    assert_int_equal(t.left_out, 0);
    const ac_tel_session *s = t.session;
    assert_string_equal(s[0].run, "20260131T093000Z-1a2b3c4d");
    assert_string_equal(s[0].unknown[0].text, "not a Mac");
    assert_null(s[0].terms.window);
    assert_true(s[0].terms.polite && !s[0].terms.battery);
    assert_true(s[0].ended && s[0].exit == 75 && s[0].step == 16 && s[0].durable == 14);
    near(s[0].seconds[AC_TEL_YELLOW], 13, 0);
    assert_true(s[1].resumed_at == 14 && s[1].exit == 0 && s[1].from == 23 && s[1].until == 60);
    near(s[1].paused, 10, 0);
    assert_string_equal(s[1].why_void[0], "it was paused for 10 s");

    const ac_tel_act *a = t.act;
    assert_true(a[0].is_level && a[0].from == AC_TEL_GREEN && a[0].to == AC_TEL_YELLOW && !a[0].acked);
    assert_string_equal(a[1].act, "micro-batch");
    assert_string_equal(a[1].signal, "footprint");
    assert_true(a[1].value == 87 && a[1].limit == 85 && a[1].rule == 0 && a[1].arg == 4 && a[1].before == 8);
    assert_true(a[1].acked && a[1].ok && a[1].ack_ms == 500 && a[1].ack_step == 10);
    assert_true(a[2].t == 21 && a[2].acked && a[2].ack_durable == 14 && a[2].level == AC_TEL_RED);

    /* green, yellow at 10, green again when the second process begins */
    assert_int_equal(t.n_levels, 3);
    assert_true(t.level[1].level == AC_TEL_YELLOW && t.level[1].t == 10 && t.level[2].t == 23);
    assert_int_equal(t.n_settings, 5);
    assert_true(t.setting[1].s.micro == 4 && t.setting[3].s.paused && t.setting[3].t == 33);

    /* ten steps in 10 s undisturbed, 10 in 10 after the resume, 16 in 16 at the end; 5 in 10 s at micro-batch 4 */
    near(ac_tel_step_seconds(&t), 37.0 / 36, 1e-9);
    near(ac_tel_cost_seconds(&t), 57 - 41 * 37.0 / 36, 1e-9);
    near(ac_tel_time_of_step(&t, 5), 5, 1e-9);
    near(ac_tel_time_of_step(&t, 20), 29, 1e-9);   /* done once, by the second process */
    near(ac_tel_time_of_step(&t, 15), 24, 1e-9);   /* done twice: the last time counts */
    near(ac_tel_time_of_step(&t, 24), 33, 1e-9);   /* before the pause, not after it */
    assert_true(isnan(ac_tel_time_of_step(&t, 41)));
    double seconds[AC_TEL_LEVELS + 1];
    ac_tel_level_seconds(&t, seconds);
    near(seconds[AC_TEL_GREEN], 47, 0);
    near(seconds[AC_TEL_LEVELS], 10, 0);
    assert_true(t.now.step == 40 && t.now.c[AC_TEL_FOOTPRINT] == 600 && t.now.c[AC_TEL_MARGIN] == 12);
    near(t.now.c[AC_TEL_CORES], 1, 1e-9);
    ac_tel_release(&t);
    assert_int_equal(ac_live_bytes(), 0);
}

/* Followed byte by byte, it is the same; a torn end is not seen, and a file that shrank is told. */
static void growing_file(void **state)
{
    (void)state;
    ac_tel t = { 0 };
    ac_err err = { 0 };
    put("w", "", 0);
    for (size_t at = 0; at < sizeof tel_story - 1; at += 101) {
        const size_t left = sizeof tel_story - 1 - at;
        put("a", tel_story + at, left < 101 ? left : 101);
        if (ac_tel_read(&t, path, &err)) fail_msg("at %zu: %s", at, err.text);
        assert_false(t.tail.shrank);
    }
    assert_true(t.n_sessions == 2 && t.n_acts == 3 && t.n_samples == 8 && t.session[1].ended);
    put("a", "{\"k\":\"begin\",\"utc\":\"20", 22);
    assert_int_equal(ac_tel_read(&t, path, &err), AC_OK);
    assert_int_equal(t.n_sessions, 2);
    put("w", tel_story, 50);
    assert_int_equal(ac_tel_read(&t, path, &err), AC_OK);
    assert_true(t.tail.shrank);
    ac_tel_release(&t);
    (void)unlink(path);
    assert_int_equal(ac_tel_read(&t, path, &err), AC_ENOENT);
    ac_tel_release(&t);
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        { "not json\n", ":1:1:" },
        { "[]\n", ":1: must be an object" },
        { "{\"t\":1}\n", ":1: \"k\" is missing" },
        { "{\"k\":\"sample\",\"t\":1}\n", ":1: sample before the first begin" },
        { "{\"k\":\"begin\",\"format\":2,\"utc\":\"x\",\"run\":\"r\"}\n", "format 2; this program reads format 1" },
        { "{\"k\":\"begin\",\"format\":1,\"run\":\"r\"}\n", "\"utc\" is missing" },
        { "{\"k\":\"begin\",\"format\":1,\"utc\":\"x\",\"run\":\"r\",\"total_steps\":-1}\n", "0 or more" },
        { "{\"k\":\"begin\",\"format\":1,\"utc\":\"x\",\"run\":\"r\",\"total_steps\":1.5}\n", "whole number" },
        { "{\"k\":\"begin\",\"format\":1,\"utc\":\"x\",\"run\":\"r\",\"unknown\":{\"a\":1}}\n", "names with texts" },
        { "{\"k\":\"begin\",\"format\":1,\"utc\":\"x\",\"run\":\"r\",\"budget_bytes\":\"8G\"}\n", "must be a number, found a string" },
        { TEL_BEGIN(0) "\n", ":2:" },
        { TEL_BEGIN(0) "{\"k\":\"sample\",\"t\":-1,\"level\":\"green\",\"step\":0}\n", ":2: \"t\" must be seconds" },
        { TEL_BEGIN(0) "{\"k\":\"sample\",\"t\":1e10,\"level\":\"green\",\"step\":0}\n", "seconds from 0 to 1e9" },
        { TEL_BEGIN(0) "{\"k\":\"sample\",\"t\":1,\"level\":\"blue\",\"step\":0}\n", "green, yellow, red or emergency" },
        { TEL_BEGIN(0) "{\"k\":\"sample\",\"t\":1,\"level\":\"green\"}\n", "\"step\" is missing" },
        { TEL_BEGIN(0) "{\"k\":\"sample\",\"t\":1,\"level\":\"green\",\"step\":0,\"signals\":{\"footprint\":\"x\"}}\n", "names with numbers" },
        { TEL_BEGIN(0) "{\"k\":\"sample\",\"t\":1,\"level\":\"green\",\"step\":0,\"paused\":1}\n", "\"paused\" must be true or false" },
        { TEL_BEGIN(0) "{\"k\":\"act\",\"t\":1,\"level\":\"green\"}\n", "\"act\" is missing" },
        { TEL_BEGIN(0) "{\"k\":\"act\",\"t\":1,\"act\":\"level\",\"level\":\"green\",\"from\":\"green\"}\n", "\"to\" is missing" },
        { TEL_BEGIN(0) "{\"k\":\"ack\",\"t\":1,\"id\":1}\n", "\"ok\" is missing" },
        { TEL_BEGIN(0) "{\"k\":\"end\",\"t\":1}\n", "\"void\" is missing" },
        { TEL_BEGIN(0) "{\"k\":\"end\",\"t\":1,\"void\":[1]}\n", "an array of texts" },
    };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        ac_tel t = { 0 };
        ac_err err = { 0 };
        put("w", bad[i].text, strlen(bad[i].text));
        assert_int_equal(ac_tel_read(&t, path, &err), AC_EFORMAT);
        if (!strstr(err.text, bad[i].says)) fail_msg("%s lacks \"%s\"", err.text, bad[i].says);
        ac_tel_release(&t);
        assert_int_equal(ac_live_bytes(), 0);
    }
}

/* Two days at a sample a second: the curves keep what is least and most, in the room of a thousand intervals. */
static void long_runs_stay_small(void **state)
{
    (void)state;
    ac_tel t = { 0 };
    ac_err err = { 0 };
    char line[400];
    assert_int_equal(ac_tel_line(&t, ac_view_slice(ac_view_of(TEL_BEGIN(0)), 0, sizeof(TEL_BEGIN(0)) - 2), "f", 1, &err), AC_OK);
    for (size_t i = 0; i < 172800; i++) {
        const int n = snprintf(line, sizeof line, "{\"k\":\"sample\",\"t\":%zu,\"level\":\"green\",\"step\":%zu,\"micro\":8,\"duty\":100,"
                               "\"footprint_bytes\":%d,\"signals\":{}}", i, i / 10, i == 100001 ? 999 : i == 7 ? 1 : 500);
        if (ac_tel_line(&t, (ac_view){ line, (size_t)n }, "f", i + 2, &err)) fail_msg("%s", err.text);
    }
    double lo = 1e9, hi = 0;
    size_t n = 0;
    for (size_t i = 0; i < AC_TEL_BUCKETS; i++) {
        const ac_tel_bucket *b = &t.bucket[i];
        n += b->n;
        if (!b->n) continue;
        lo = fmin(lo, b->c[AC_TEL_FOOTPRINT].lo);
        hi = fmax(hi, b->c[AC_TEL_FOOTPRINT].hi);
    }
    assert_true(lo == 1 && hi == 999 && n == 172800 && t.width == 256);
    assert_true(t.n_settings == 1 && t.n_levels == 1);
    near(ac_tel_step_seconds(&t), 10, 0.01);
    near(ac_tel_time_of_step(&t, 9000), 90000, 300);
    assert_true(ac_live_bytes() < 1 << 20);
    ac_tel_release(&t);
    assert_int_equal(ac_live_bytes(), 0);
}

static void why_void(void **state)
{
    (void)state;
    static const char clean[] = TEL_BEGIN(0) "{\"k\":\"end\",\"t\":1,\"exit\":0,\"void\":[]}\n";
    static const char cut[] = TEL_BEGIN(0) TEL_SAMPLE(1, "green", 0, 0, 8, 100, false, 500);
    static const char resumed[] = TEL_BEGIN(0) TEL_BEGIN(0) "{\"k\":\"end\",\"t\":1,\"exit\":0,\"void\":[]}\n";
    static const char twice[] = TEL_BEGIN(0) "{\"k\":\"end\",\"t\":1,\"void\":[\"x\"]}\n" TEL_BEGIN(0)
                                "{\"k\":\"end\",\"t\":1,\"void\":[\"x\",\"y\"]}\n";
    static const struct {
        const char *text;
        size_t n;
        const char *says;
    } cases[] = {
        { clean, 0, NULL }, { NULL, 1, "nothing watched this run" }, { "", 1, "is empty" }, { cut, 1, "has no end" },
        { resumed, 1, "breaks off before a resume" }, { twice, 2, "x" }, { "{\"k\":\"begin\"\n", 1, "telemetry.jsonl:1" },
        { tel_story, 2, "it was yellow for 13 s" },
    };
    for (size_t i = 0; i < AC_COUNTOF(cases); i++) {
        ac_arena a = { 0 };
        ac_run_void v = { 0 };
        ac_err err = { 0 };
        (void)unlink(path);
        if (cases[i].text) put("w", cases[i].text, strlen(cases[i].text));
        if (ac_run_void_read(&v, &a, dir, &err)) fail_msg("case %zu: %s", i, err.text);
        if (v.n != cases[i].n || (v.n && !strstr(v.why[0], cases[i].says)))
            fail_msg("case %zu: %zu reasons, first \"%s\"", i, v.n, v.n ? v.why[0] : "");
        ac_arena_release(&a);
    }
    assert_int_equal(ac_live_bytes(), 0);
}

/* A command that the trainer cannot obey, one that nobody gave, TERM with the id of the command before it. */
static void acks_find_their_acts(void **state)
{
    (void)state;
    static const char text[] = TEL_BEGIN(0)
        "{\"k\":\"act\",\"t\":1,\"act\":\"recompute\",\"arg\":1,\"id\":1,\"level\":\"yellow\"}\n"
        "{\"k\":\"act\",\"t\":2,\"act\":\"checkpoint-exit\",\"arg\":75,\"id\":2,\"level\":\"red\",\"cause\":null,\"rule\":-1,"
        "\"signal\":null,\"value\":null,\"limit\":null,\"text\":null}\n"
        "{\"k\":\"act\",\"t\":8,\"act\":\"term\",\"id\":2,\"level\":\"red\"}\n"
        "{\"k\":\"ack\",\"t\":9,\"id\":1,\"ms\":8000,\"ok\":false,\"text\":\"cannot now\"}\n"
        "{\"k\":\"ack\",\"t\":9,\"id\":2,\"ms\":7000,\"ok\":true}\n"
        "{\"k\":\"ack\",\"t\":9,\"id\":77,\"ok\":true}\n";
    ac_tel t = { 0 };
    ac_err err = { 0 };
    put("w", text, sizeof text - 1);
    if (ac_tel_read(&t, path, &err)) fail_msg("%s", err.text);
    assert_true(t.act[0].acked && !t.act[0].ok && t.act[0].before == 0);
    assert_string_equal(t.act[0].ack_text, "cannot now");
    assert_true(t.act[1].acked && t.act[1].ok && isnan(t.act[1].value) && !t.act[1].signal);
    assert_false(t.act[2].acked);
    ac_tel_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(story_is_told), cmocka_unit_test(growing_file), cmocka_unit_test(bad_lines_are_named),
        cmocka_unit_test(long_runs_stay_small), cmocka_unit_test(why_void), cmocka_unit_test(acks_find_their_acts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
