/* What work cost: rounding that agrees in every grouping, weeks over year ends, notes, parts without an end, older files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "ledger/cost.h"
#include "ledger/ledger.h"

#define RUN "20260131T093000Z-0123abcd"

static char root[64], run_dir[160];
static ac_arena arena;
static ac_err err;

static int fresh(void **state)
{
    (void)state;
    strcpy(root, "/tmp/accord_cost.XXXXXX");
    err = (ac_err){ "" };
    if (!mkdtemp(root)) return -1;
    (void)snprintf(run_dir, sizeof run_dir, "%s/.accord/runs/" RUN, root);
    return ac_mkdir_p(run_dir, NULL) ? -1 : 0;
}

static int drop(void **state)
{
    (void)state;
    ac_arena_release(&arena);
    return ac_remove_tree(root, NULL) ? -1 : 0;
}

static void put(const char *name, const char *text)
{
    char full[300];
    (void)snprintf(full, sizeof full, "%s/%s", run_dir, name);
    assert_int_equal(ac_file_write_atomic(full, text, strlen(text), NULL), AC_OK);
}

static ac_cost_part part(int64_t wall_ms, int64_t mwh)
{
    return (ac_cost_part){ .what = "train", .run = RUN, .began = "2026-01-31T09:30:00Z", .began_s = 1769851800, .outcome = "trained",
                           .wall_from = "measured", .wall_ms = wall_ms, .cpu_ms = wall_ms, .mwh = mwh, .gain = NAN,
                           .rates = { .currency = "EUR", .machine_years = 3, .machine_hours_a_year = 2000 } };
}

/* ---- money ---- */

static void test_money_lines(void **state)
{
    (void)state;
    ac_cost_money m;
    ac_cost_part p = part(3600000, 250000);                  /* an hour, 0.25 kWh */
    ac_cost_money_of(&m, &p);
    assert_true(m.total == -1);
    assert_string_equal(m.missing, "the lock's rates are all 0");
    p.rates.machine_hour = 1.5;
    ac_cost_money_of(&m, &p);                                /* rent holds the electricity */
    assert_true(m.line[AC_COST_RENT] == 1500000 && m.total == 1500000 && !m.missing);
    p.rates.machine_hour = 0;
    p.rates.machine_price = 1800;
    ac_cost_money_of(&m, &p);                                /* 0.3 an hour */
    assert_true(m.line[AC_COST_MACHINE] == 300000 && m.total == 300000);
    assert_string_equal(m.missing, "electricity has no price (cost.kwh)");
    p.rates.kwh = 0.3;
    ac_cost_money_of(&m, &p);
    assert_true(m.line[AC_COST_ENERGY] == 75000 && m.total == 375000 && !m.missing);
    p.energy_at_least = true;
    ac_cost_money_of(&m, &p);
    assert_string_equal(m.missing, "not all of its energy was measured");
    p.mwh = -1;
    ac_cost_money_of(&m, &p);                                /* not measured is not free */
    assert_true(m.line[AC_COST_ENERGY] == -1 && m.total == 300000);
    assert_string_equal(m.missing, "its energy was not measured");
    p.wall_ms = -1;
    ac_cost_money_of(&m, &p);
    assert_true(m.total == -1);
    assert_string_equal(m.missing, "its time is not known");
    p = part(3600000, 250000);
    p.rates.kwh = 0.3;
    ac_cost_money_of(&m, &p);
    assert_string_equal(m.missing, "the machine has no price (cost.machine_hour, cost.machine_price)");
    p.rates.currency = NULL;
    ac_cost_money_of(&m, &p);
    assert_true(m.total == -1);
    assert_string_equal(m.missing, "the lock knows no rates");
    p = part(3600000, 1);
    p.rates.machine_hour = 1e15;
    ac_cost_money_of(&m, &p);                                /* out of range is not counted, and said */
    assert_true(m.total == -1 && m.missing);
    p = part(3600000, 1);
    p.rates.machine_hour = 1;
    p.wall_from = "counted up to the last checkpoint";
    ac_cost_money_of(&m, &p);
    assert_string_equal(m.missing, "its end was not written");
}

static void test_money_rounds_once(void **state)
{
    (void)state;
    ac_cost_money m;
    ac_cost_part p = part(1, 0);
    p.rates.machine_hour = 1.8;                              /* 0.5 millionths a millisecond */
    ac_cost_money_of(&m, &p);
    assert_true(m.total == 1);                               /* half away from zero */
    p.wall_ms = 2;
    ac_cost_money_of(&m, &p);
    assert_true(m.total == 1);
    p.wall_ms = 0;
    ac_cost_money_of(&m, &p);
    assert_true(m.total == 0 && !m.missing);
}

static size_t next(size_t n)
{
    static uint64_t seed = 88172645463325252u;
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed % n);
}

/* A person's week is the sum of its runs, a project the sum of its persons ..: for 2,000 random parts, in every grouping, in
 * two orders. */
static void test_sums_agree(void **state)
{
    (void)state;
    static const char *const persons[] = { "Ada <a@x>", "Bo", NULL }, *const tags[] = { "a", "a,b", NULL, "" },
                      *const verdicts[] = { "WIN", "LOSS", NULL }, *const currencies[] = { "EUR", "USD" };
    enum { N = 2000 };
    ac_cost_part *p = ac_arena_alloc_array(&arena, N, sizeof *p), *back = ac_arena_alloc_array(&arena, N, sizeof *p);
    for (size_t i = 0; i < N; i++) {
        p[i] = part((int64_t)next(100000000), next(5) ? (int64_t)next(9000000) : -1);
        p[i].run = ac_arena_printf(&arena, "run-%zu", next(50));
        p[i].person = persons[next(3)];
        p[i].user = "user";
        p[i].project = next(2) ? "shop" : "bank";
        p[i].tags = tags[next(4)];
        p[i].verdict = verdicts[next(3)];
        p[i].began_s = 1700000000 + (int64_t)next(100000000);
        p[i].rates.currency = currencies[next(2)];
        p[i].rates.machine_hour = (double)next(1000) / 7;
        p[i].rates.kwh = (double)next(1000) / 3000;
        ac_cost_money_of(&p[i].money, &p[i]);
    }
    for (size_t i = 0; i < N; i++) back[i] = p[N - 1 - i];
    ac_cost_sum total, other;
    assert_int_equal(ac_cost_total(&total, p, N, &arena, &err), AC_OK);
    assert_int_equal(ac_cost_total(&other, back, N, &arena, &err), AC_OK);
    assert_true(total.wall_ms == other.wall_ms && total.mwh == other.mwh && total.n_runs == 50 && total.n_money == 2);
    for (int by = AC_COST_BY_RUN; by <= AC_COST_BY_TAG; by++) {
        ac_cost_sum *s;
        size_t n, parts = 0;
        int64_t wall = 0, mwh = 0, eur = 0, usd = 0;
        assert_int_equal(ac_cost_sums(&s, &n, p, N, (ac_cost_by)by, &arena, &err), AC_OK);
        assert_true(n > 1);
        for (size_t i = 0; i < n; i++) {
            wall += s[i].wall_ms;
            mwh += s[i].mwh;
            parts += s[i].n_parts;
            for (size_t k = 0; k < s[i].n_money; k++) *(s[i].money[k].currency[0] == 'E' ? &eur : &usd) += s[i].money[k].micro;
            if (i) assert_true(strcmp(s[i - 1].key, s[i].key) < 0);
        }
        assert_true(wall == total.wall_ms && mwh == total.mwh && parts == N);
        for (size_t k = 0; k < 2; k++) assert_true(total.money[k].micro == (total.money[k].currency[0] == 'E' ? eur : usd));
    }
    /* One person's one week against the runs in it. */
    char week[16];
    size_t mine = 0;
    for (size_t i = 0; i < N; i++) {
        ac_cost_week_text(week, p[i].began_s);
        if (p[i].person == persons[0] && week[6] == '1') back[mine++] = p[i];
    }
    ac_cost_sum *runs, sum = { .key = NULL };
    size_t n_runs;
    int64_t in_runs = 0;
    assert_true(mine > 50);
    for (size_t i = 0; i < mine; i++) assert_int_equal(ac_cost_add(&sum, &back[i], &err), AC_OK);
    assert_int_equal(ac_cost_sums(&runs, &n_runs, back, mine, AC_COST_BY_RUN, &arena, &err), AC_OK);
    for (size_t i = 0; i < n_runs; i++) in_runs += runs[i].mwh;
    assert_true(in_runs == sum.mwh);
}

static void test_sums_out_of_range(void **state)
{
    (void)state;
    ac_cost_sum s = { .key = NULL };
    ac_cost_part p = part(INT64_MAX / 2 + 1, -1);
    assert_int_equal(ac_cost_add(&s, &p, &err), AC_OK);
    assert_int_equal(ac_cost_add(&s, &p, &err), AC_EFORMAT);
    ac_cost_sum many = { .key = NULL };
    static const char *const names[] = { "A", "B", "C", "D", "E", "F", "G", "H", "I" };
    for (size_t i = 0; i < 9; i++) {
        p = part(1, -1);
        p.rates.currency = names[i];
        p.money.total = 1;
        err = (ac_err){ "" };
        assert_int_equal(ac_cost_add(&many, &p, &err), i < 8 ? AC_OK : AC_EFORMAT);
    }
    assert_non_null(strstr(err.text, "currencies"));
}

static void test_gain(void **state)
{
    (void)state;
    ac_cost_gain g;
    ac_cost_part p[4] = { part(1, 1), part(1, 1), part(1, 1), part(1, 1) };
    for (size_t i = 0; i < 4; i++) p[i].project = i < 3 ? "shop" : "bank";
    p[0].gain = 30;
    p[0].verdict = p[1].verdict = "WIN";
    p[1].gain = 40;                                          /* another try at the same gain */
    p[1].run = "other";
    p[2].gain = -10;
    p[2].run = "third";
    p[3].gain = 5;
    p[3].run = "fourth";
    p[3].verdict = "NO CLEAR LIFT";
    assert_int_equal(ac_cost_gain_of(&g, p, 4, &arena, &err), AC_OK);
    assert_true(g.wins == 2 && g.points > 44.999 && g.points < 45.001);
    assert_int_equal(ac_cost_gain_of(&g, p + 2, 1, &arena, &err), AC_OK);
    assert_true(g.wins == 0 && g.points == 0);
}

static void test_node(void **state)
{
    (void)state;
    ac_cost_node n;
    ac_cost_rates r = { .currency = "EUR", .node_hour = 2, .node_speed = 10, .machine_price = 1800 };
    ac_cost_node_of(&n, &r, 36000000, 100000);               /* ten hours here: one there, 2.0 against 0.1 */
    assert_true(n.known && n.node_ms == 3600000 && n.node_micro == 2000000);
    assert_true(n.runs == 948);                              /* 1800 / 1.9 = 947.4 */
    ac_cost_node_of(&n, &r, 36000000, 2000000);
    assert_true(n.known && n.runs == -1);                    /* the electricity alone costs as much */
    r.machine_price = 0;
    ac_cost_node_of(&n, &r, 36000000, 100000);
    assert_true(n.known && n.runs == 0);
    ac_cost_node_of(&n, &r, -1, 100000);
    assert_false(n.known);
    r.node_speed = 0;
    ac_cost_node_of(&n, &r, 36000000, 100000);
    assert_false(n.known);
}

/* ---- texts and dates ---- */

static void test_texts(void **state)
{
    (void)state;
    char t[32];
    ac_cost_micro_text(t, 1234567);
    assert_string_equal(t, "1.234567");
    ac_cost_micro_text(t, 5);
    assert_string_equal(t, "0.000005");
    ac_cost_time_text(t, 3723004);
    assert_string_equal(t, "1:02:03.004");
    ac_cost_time_text(t, 59999);
    assert_string_equal(t, "0:59.999");
    ac_cost_wh_text(t, 12345);
    assert_string_equal(t, "12.345");
}

static void week_is(const char *day, const char *week)
{
    int64_t s, monday;
    char text[16];
    assert_true(ac_cost_date_parse(&s, ac_view_of(day)));
    ac_cost_week_text(text, s);
    if (strcmp(text, week) != 0) fail_msg("%s is in %s, not %s", day, text, week);
    assert_true(ac_cost_week_parse(&monday, ac_view_of(week)));
    assert_true(monday <= s && s < monday + 7 * 86400);
    ac_cost_week_text(text, monday);
    assert_string_equal(text, week);
    ac_cost_week_text(text, monday - 1);
    assert_string_not_equal(text, week);
    ac_cost_week_text(text, s + 86399);                      /* the whole day */
    assert_string_equal(text, week);
}

static void test_weeks(void **state)
{
    (void)state;
    static const char *const days[][2] = {                   /* as date(1) says with %G-W%V */
        { "2020-12-28", "2020-W53" }, { "2020-12-31", "2020-W53" }, { "2021-01-01", "2020-W53" }, { "2021-01-03", "2020-W53" },
        { "2021-01-04", "2021-W01" }, { "2019-12-30", "2020-W01" }, { "2019-12-29", "2019-W52" }, { "2024-12-30", "2025-W01" },
        { "2024-12-29", "2024-W52" }, { "2026-12-31", "2026-W53" }, { "2027-01-03", "2026-W53" }, { "2027-01-04", "2027-W01" },
        { "2022-01-01", "2021-W52" }, { "2022-01-02", "2021-W52" }, { "2022-01-03", "2022-W01" }, { "2000-02-29", "2000-W09" },
        { "1972-01-01", "1971-W52" }, { "2100-03-01", "2100-W09" }, { "2026-11-23", "2026-W48" },
    };
    for (size_t i = 0; i < AC_COUNTOF(days); i++) week_is(days[i][0], days[i][1]);
    int64_t s;
    static const char *const bad[] = { "2026-02-29", "2100-02-29", "2026-13-01", "2026-00-10", "2026-01-32", "2026-1-01", "", "1969-12-31",
                                       "2026-01-31T24:00:00Z", "2026-01-31T09:30:00", "2026-01-31 09:30:00Z", "20260131" };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) assert_false(ac_cost_date_parse(&s, ac_view_of(bad[i])));
    static const char *const no_week[] = { "2025-W53", "2026-W54", "2026-W00", "2026-05", "2026-W5", "1970-W01", "" };
    for (size_t i = 0; i < AC_COUNTOF(no_week); i++) assert_false(ac_cost_week_parse(&s, ac_view_of(no_week[i])));
    assert_true(ac_cost_date_parse(&s, AC_VIEW("2026-01-31T09:30:00Z")) && s == 1769851800);
}

/* ---- files ---- */

static const char lock[] = "{\"values\":{\"cost\":{\"currency\":\"EUR\",\"kwh\":0.3,\"machine_hour\":0,\"machine_hours_a_year\":2000,"
                           "\"machine_price\":1800,\"machine_years\":3,\"node_hour\":0,\"node_speed\":0,\"project\":null,\"tags\":\"x\","
                           "\"watts\":0}}}";

static void read_run(ac_cost_run *r)
{
    const ac_status st = ac_cost_run_read(r, &arena, run_dir, &err);
    if (st) fail_msg("%s", err.text);
}

static void test_there_and_back(void **state)
{
    (void)state;
    ac_cost_run r, again;
    ac_cost_part p[2] = { part(1001, 7), part(2002, -1) };
    p[0].person = "Ada <a@x>";
    p[0].ended = "2026-01-31T09:31:00Z";
    p[0].method = "RAPL";
    p[0].covers = "package-0";
    p[0].peak_bytes = 123456789;
    p[0].tokens = -1;
    p[1].what = "ab";
    p[1].method = "not measured";
    p[1].why = "RAPL: \"none\"";
    put("lock.json", lock);
    put("run.json", "{\"state\":\"trained\",\"started\":\"2026-01-31T09:30:00Z\",\"lock\":\"ab\"}");
    put("verdict.json", "{\"verdict\":\"WIN\",\"comparisons\":[{\"arm\":\"tuned\",\"against\":\"rag\",\"net_points\":1},"
                        "{\"arm\":\"tuned\",\"against\":\"base\",\"net_points\":87.5}]}");
    r = (ac_cost_run){ .id = RUN, .dir = run_dir, .project = "shop", .tags = "x", .part = p, .n_parts = 2, .gain = NAN };
    assert_int_equal(ac_cost_run_write(&r, &err), AC_OK);
    read_run(&again);
    assert_int_equal(again.n_parts, 2);
    const ac_cost_part *q = &again.part[0];
    assert_true(q->wall_ms == 1001 && q->cpu_ms == 1001 && q->mwh == 7 && q->peak_bytes == 123456789 && q->tokens == -1);
    assert_string_equal(q->person, "Ada <a@x>");
    assert_string_equal(q->project, "shop");
    assert_string_equal(q->verdict, "WIN");
    assert_true(q->gain == 87.5 && q->began_s == 1769851800);
    assert_true(q->money.line[AC_COST_MACHINE] == 83 && q->money.line[AC_COST_ENERGY] == 2 && q->money.total == 85);
    assert_true(again.part[1].mwh == -1 && again.part[1].money.missing);
    assert_string_equal(again.part[1].why, "RAPL: \"none\"");
}

static void test_notes(void **state)
{
    (void)state;
    ac_cost_part p[3] = { part(1000, 5), part(2000, -1), part(500, 9) };
    ac_cost_note n[2] = { { .reason = "first", .mwh = 1, .n_parts = 2 }, { .reason = "meter", .mwh = 1000, .n_parts = 2 } };
    ac_cost_run r = { .part = p, .n_parts = 3, .note = n, .n_notes = 2 };
    ac_cost_apply_notes(&r);
    assert_true(p[0].mwh == 333 && p[1].mwh == 667);         /* all of it, in proportion to the time */
    assert_true(p[2].mwh == 9);                              /* came behind the note */
    assert_string_equal(p[0].method, "manual");
    assert_string_equal(p[0].covers, "meter");
    n[1].n_parts = 99;
    ac_cost_apply_notes(&r);
    assert_true(p[0].mwh + p[1].mwh + p[2].mwh == 1000);
    p[0].wall_ms = p[1].wall_ms = p[2].wall_ms = -1;
    ac_cost_apply_notes(&r);
    assert_true(p[0].mwh + p[1].mwh + p[2].mwh == 1000);
}

static void test_without_an_end(void **state)
{
    (void)state;
    ac_cost_run r;
    put("lock.json", lock);
    put("run.json", "{\"state\":\"training\",\"started\":\"2026-01-31T09:30:00Z\",\"lock\":\"ab\",\"cpu_seconds\":0.1}");
    put("metrics.jsonl", "{\"event\":\"step\",\"step\":1,\"seconds\":2.5,\"tokens\":100}\n{\"event\":\"eval\",\"step\":1,\"seconds\":0.5}\n"
                         "{\"event\":\"step\",\"step\":2,\"seconds\":3.25,\"tokens\":100}\n{\"event\":\"step\",\"st");
    read_run(&r);                                            /* killed before there was a book */
    assert_int_equal(r.n_parts, 1);
    assert_true(r.part[0].wall_ms == 6250 && r.part[0].tokens == 200 && r.part[0].cpu_ms == -1);
    assert_string_equal(r.part[0].wall_from, "counted up to the last line of metrics.jsonl");
    assert_string_equal(r.part[0].money.missing, "its energy was not measured");
    put("cost.json", "{\"format\":2,\"parts\":[{\"what\":\"train\",\"outcome\":\"stopped\",\"wall_seconds\":9,\"wall_from\":\"measured\"},"
                     "{\"what\":\"train\",\"outcome\":null,\"wall_seconds\":1.5,\"from_step\":1,\"opened_seconds\":1,\"cpu_seconds\":0.5,"
                     "\"energy\":{\"kwh\":0.001,\"method\":\"RAPL\"}}]}");
    read_run(&r);                                            /* only what lies behind step 1 is the second part's */
    assert_true(r.part[0].wall_ms == 9000 && r.part[1].wall_ms == 4250);
    assert_true(r.part[1].energy_at_least);
    assert_string_equal(r.part[1].money.missing, "not all of its energy was measured");
    put("telemetry.jsonl",
        "{\"k\":\"begin\",\"utc\":\"2026-01-31T09:30:00Z\",\"format\":1,\"run\":\"" RUN "\",\"guard_pid\":1,\"pid\":2,\"resumed_at_step\":1,"
        "\"total_steps\":9,\"budget_bytes\":null,\"planned_peak_bytes\":1,\"micro_start\":1,\"recompute\":false,\"terms\":{\"window\":null,"
        "\"battery\":false,\"lid\":false,\"polite\":true,\"beside\":false},\"unknown\":{}}\n"
        "{\"k\":\"sample\",\"t\":7.5,\"utc\":\"2026-01-31T09:30:07Z\",\"level\":\"green\",\"step\":2,\"durable\":1,\"micro\":1,\"recompute\":false,"
        "\"duty\":100,\"paused\":false,\"footprint_bytes\":1,\"available_bytes\":1,\"cpu_seconds\":12.5,\"watts\":null,\"signals\":{},"
        "\"unknown\":{},\"beside\":null,\"valid\":true}\n");
    read_run(&r);                                            /* the guard saw it for longer */
    assert_true(r.part[1].wall_ms == 8500 && r.part[1].cpu_ms == 12500);
    assert_string_equal(r.part[1].wall_from, "counted up to the guard's last line");
}

static void test_failed_without_book(void **state)
{
    (void)state;
    ac_cost_run r;
    put("run.json", "{\"state\":\"failed\",\"started\":\"2026-01-31T09:30:00Z\",\"finished\":\"2026-01-31T09:31:00Z\",\"cpu_seconds\":4.5,"
                    "\"peak_rss_bytes\":1000}");
    put("metrics.jsonl", "{\"event\":\"step\",\"step\":1,\"seconds\":2.5,\"tokens\":100}\n");
    read_run(&r);
    assert_true(r.n_parts == 1 && r.part[0].wall_ms == 2500 && r.part[0].cpu_ms == 4500 && r.part[0].peak_bytes == 1000);
    assert_string_equal(r.part[0].outcome, "failed");
    assert_string_equal(r.part[0].money.missing, "the lock knows no rates");
}

static void test_older_form(void **state)
{
    (void)state;
    ac_cost_run r;
    put("cost.json", "{\"wall_seconds\":321,\"cpu_seconds\":590.1,\"peak_rss_bytes\":5,\"energy\":null,\"energy_method\":\"not measured\","
                     "\"money\":null,\"ab\":{\"wall_seconds\":60,\"cpu_seconds\":118,\"peak_rss_bytes\":6}}");
    put("run.json", "{\"state\":\"trained\",\"started\":\"2026-01-31T09:30:00Z\"}");
    put("verdict.json", "{\"verdict\":\"LOSS\",\"utc\":\"2026-02-01T09:30:00Z\"}");
    put("env.json", "{\"machine\":{\"host\":\"den\"}}");
    read_run(&r);
    assert_int_equal(r.n_parts, 2);
    assert_true(r.part[0].wall_ms == 321000 && r.part[1].wall_ms == 60000 && r.part[0].mwh == -1);
    assert_string_equal(r.part[0].host, "den");
    assert_string_equal(r.part[1].began, "2026-02-01T09:30:00Z");
    assert_true(r.part[1].began_s == 1769938200);
}

static void test_bad_files(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "[]", "{\"parts\":{}}", "{\"parts\":[1]}", "{\"parts\":[{}]}", "{\"parts\":[{\"what\":\"train\",\"wall_seconds\":-1}]}",
        "{\"parts\":[{\"what\":\"train\",\"wall_seconds\":1e300}]}", "{\"parts\":[{\"what\":\"train\",\"cpu_seconds\":\"x\"}]}",
        "{\"parts\":[{\"what\":1}]}", "{\"parts\":[{\"what\":\"train\",\"energy\":5}]}",
        "{\"parts\":[{\"what\":\"train\",\"energy\":{\"at_least\":1}}]}", "{\"parts\":[],\"notes\":[{}]}", "{\"parts\":[],\"notes\":1}",
        "{\"parts\":[],\"notes\":[{\"kwh\":1,\"parts\":0,\"reason\":\"x\"}]}", "{\"wall_seconds\":-5}",
    };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        ac_cost_run r;
        err = (ac_err){ "" };
        if (ac_cost_parse(&r, ac_view_of(bad[i]), "cost.json", &arena, &err) != AC_EFORMAT) fail_msg("%s is taken", bad[i]);
        assert_non_null(strstr(err.text, "cost.json"));
    }
}

static void test_project(void **state)
{
    (void)state;
    ac_cost_part line = part(500, 3), *all;
    ac_str bad = { 0 };
    size_t n;
    char path[200];
    line.what = "verify";
    line.began = "2026-01-30T09:30:00Z";
    line.rates.machine_hour = 7.2;
    put("cost.json", "{\"parts\":[{\"what\":\"train\",\"outcome\":\"trained\",\"began\":\"2026-01-31T09:30:00Z\",\"wall_seconds\":1}]}");
    put("verdict.json", "{\"verdict\":\"WIN\"}");
    assert_int_equal(ac_cost_append(root, &line, &err), AC_OK);
    line.run = NULL;
    line.what = "untuned";
    line.began = "2026-01-30T09:30:01Z";
    assert_int_equal(ac_cost_append(root, &line, &err), AC_OK);
    (void)snprintf(path, sizeof path, "%s/.accord/cost.jsonl", root);
    ac_appender *f = NULL;
    assert_int_equal(ac_appender_open(&f, path, &err), AC_OK);
    assert_int_equal(ac_appender_line(f, AC_VIEW("{\"what\":\"ver"), &err), AC_OK);      /* torn */
    ac_appender_close(&f);
    assert_int_equal(ac_cost_read_all(&all, &n, &bad, &arena, root, &err), AC_OK);
    assert_int_equal(n, 3);
    assert_non_null(strstr(ac_str_c(&bad), "cost.jsonl:3"));
    assert_string_equal(all[0].what, "verify");              /* oldest first; its run's verdict; its own rates */
    assert_string_equal(all[0].verdict, "WIN");
    assert_true(all[0].money.line[AC_COST_RENT] == 1000);
    assert_null(all[1].run);
    ac_cost_run r;
    read_run(&r);
    assert_int_equal(ac_cost_run_lines(&r, &bad, &arena, root, &err), AC_OK);
    assert_int_equal(r.n_parts, 2);
    put("cost.json", "{\"parts\":7}");
    ac_str_reset(&bad);
    assert_int_equal(ac_cost_read_all(&all, &n, &bad, &arena, root, &err), AC_OK);
    assert_int_equal(n, 2);                                  /* the others still count, and it is named */
    assert_non_null(strstr(ac_str_c(&bad), RUN));
    ac_str_release(&bad);
}

static ac_status scenario(ac_err *e)
{
    ac_arena a = { 0 };
    ac_cost_run r = { .gain = NAN };
    ac_cost_part line = part(500, 3), *all;
    ac_str bad = { 0 };
    size_t n;
    ac_cost_sum *s;
    ac_status st = ac_cost_run_read(&r, &a, run_dir, e);
    if (!st) st = ac_cost_run_write(&r, e);
    if (!st) st = ac_cost_append(root, &line, e);
    if (!st) st = ac_cost_read_all(&all, &n, &bad, &a, root, e);
    if (!st) st = ac_cost_sums(&s, &n, all, n, AC_COST_BY_WEEK, &a, e);
    ac_str_release(&bad);
    ac_arena_release(&a);
    return st;
}

static void test_faults(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++)
        for (long nth = 1; nth < 1000; nth++) {
            ac_err e = { "" };
            put("lock.json", lock);
            put("run.json", "{\"state\":\"training\",\"started\":\"2026-01-31T09:30:00Z\",\"lock\":\"ab\",\"cpu_seconds\":0.1}");
            put("metrics.jsonl", "{\"event\":\"step\",\"step\":1,\"seconds\":2.5,\"tokens\":100}\n");
            put("cost.json", "{\"parts\":[{\"what\":\"train\",\"wall_seconds\":1.5,\"energy\":{\"kwh\":0.001,\"method\":\"RAPL\"}}],"
                             "\"notes\":[{\"kwh\":1,\"parts\":1,\"reason\":\"x\",\"by\":\"y\",\"utc\":\"z\"}]}");
            char lines[200];
            (void)snprintf(lines, sizeof lines, "%s/.accord/cost.jsonl", root);
            assert_int_equal(ac_remove_tree(lines, NULL), AC_OK);
            const int64_t live = ac_live_bytes();
            ac_fault_arm(kind ? AC_FAULT_IO : AC_FAULT_ALLOC, nth);
            const ac_status st = scenario(&e);
            const bool fired = ac_fault_fired();
            ac_fault_disarm();
            assert_int_equal(ac_live_bytes(), live);
            if (!fired) {
                assert_int_equal(st, AC_OK);
                break;
            }
            /* What an unreadable neighbour (lock, verdict, metrics) adds is optional; what was to be written is not. */
            assert_true(st == AC_OK ? !e.text[0] : e.text[0] != '\0');
            if (!kind) assert_true(st == AC_OK || st == AC_ENOMEM);
            assert_true(nth < 999);
        }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, drop)
    const struct CMUnitTest tests[] = {
        T(test_money_lines), T(test_money_rounds_once), T(test_sums_agree), T(test_sums_out_of_range), T(test_gain), T(test_node),
        T(test_texts), T(test_weeks), T(test_there_and_back), T(test_notes), T(test_without_an_end), T(test_failed_without_book),
        T(test_older_form), T(test_bad_files), T(test_project), T(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
