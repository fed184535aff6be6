/* Splitting by group: groups never cross, the same seed gives the same bytes, nothing is overwritten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "data/survey.h"
#include "data_fixture.h"

static const char *rows;

static ac_status split(const char *dir, ac_split_opts o, ac_split_result *r, ac_err *err)
{
    return ac_split_write(r, &rows, 1, df_path(dir), &o, err);
}

/* 300 rows in 60 groups of the same prompt; key "who" in 25 groups; some of them near duplicates of others. */
static void write_rows(void)
{
    ac_str t = { 0 };
    for (int i = 0; i < 300; i++)
        ac_str_appendf(&t, "{\"prompt\":\"What does the %d. list of the shop in Oslo hold?\",\"completion\":\"Answer %d of all.\","
                       "\"who\":%d}\n", i % 60, i, i % 25);
    rows = df_text("rows.jsonl", ac_str_c(&t));
    ac_str_release(&t);
}

static void read_part(const char *dir, const char *name, ac_row_file *f)
{
    char path[400];
    ac_err err = { "" };
    (void)snprintf(path, sizeof path, "%s/%s", df_path(dir), name);
    if (ac_rows_read(f, path, AC_FORMAT_AUTO, &err)) fail_msg("%s", err.text);
}

static void groups_never_cross(void **state)
{
    (void)state;
    ac_split_result r;
    ac_err err = { "" };
    if (split("by-prompt", (ac_split_opts){ .valid = 0.1, .test = 0.2, .seed = 7 }, &r, &err)) fail_msg("%s", err.text);
    assert_int_equal(r.n_rows, 300);
    assert_int_equal(r.n_groups, 60);
    assert_int_equal(r.largest_group, 5);
    assert_int_equal(r.part[AC_SPLIT_TRAIN].rows, 210);
    assert_int_equal(r.part[AC_SPLIT_VALID].rows, 30);
    assert_int_equal(r.part[AC_SPLIT_TEST].rows, 60);
    static const char *const names[] = { "train.jsonl", "valid.jsonl", "test.jsonl" };
    int part_of[60];
    size_t all = 0;
    memset(part_of, -1, sizeof part_of);
    for (int p = 0; p < 3; p++) {
        ac_row_file f;
        int last = -1;
        read_part("by-prompt", names[p], &f);
        all += f.n;
        for (size_t i = 0; i < f.n; i++) {
            const int group = atoi(f.row[i].message[0].content.ptr + strlen("What does the "));
            const int number = atoi(f.row[i].message[1].content.ptr + strlen("Answer "));
            if (part_of[group] < 0) part_of[group] = p;
            assert_int_equal(part_of[group], p);
            assert_true(number > last);                        /* the order of the file */
            last = number;
        }
        ac_rows_release(&f);
    }
    assert_int_equal(all, 300);
    ac_split_result_release(&r);
}

static void same_seed_same_bytes(void **state)
{
    (void)state;
    ac_split_result a, b, c;
    const ac_split_opts o = { .valid = 0.2, .by = AC_SPLIT_BY_NONE, .seed = 1 };
    ac_split_opts other = o;
    other.seed = 2;
    assert_int_equal(split("seed-a", o, &a, NULL), AC_OK);
    ac_pool *pool = NULL;
    assert_int_equal(ac_pool_open(&pool, 3, NULL), AC_OK);
    ac_split_opts threads = o;
    threads.pool = pool;
    assert_int_equal(split("seed-b", threads, &b, NULL), AC_OK);
    ac_pool_close(&pool);
    assert_int_equal(split("seed-c", other, &c, NULL), AC_OK);
    assert_int_equal(a.part[AC_SPLIT_VALID].rows, 60);
    assert_memory_equal(&a.part[AC_SPLIT_VALID].hash, &b.part[AC_SPLIT_VALID].hash, sizeof(ac_sha256));
    assert_memory_equal(&a.part[AC_SPLIT_TRAIN].hash, &b.part[AC_SPLIT_TRAIN].hash, sizeof(ac_sha256));
    assert_memory_not_equal(&a.part[AC_SPLIT_VALID].hash, &c.part[AC_SPLIT_VALID].hash, sizeof(ac_sha256));
    char path[400];
    ac_sha256 h;
    (void)snprintf(path, sizeof path, "%s/valid.jsonl", df_path("seed-a"));
    assert_int_equal(ac_sha256_file(&h, path, NULL), AC_OK);
    assert_memory_equal(&h, &a.part[AC_SPLIT_VALID].hash, sizeof h);
    /* Fixed by Philox: another number here is another split of everybody's data. */
    char hex[AC_SHA256_HEX];
    ac_sha256_hex(hex, &h);
    assert_string_equal(hex, "2566306ff87ec038ae8ed2a2b307f99f5f532f9dd75e1bc06249e5740cb59996");
    ac_split_result_release(&a);
    ac_split_result_release(&b);
    ac_split_result_release(&c);
}

static void by_key(void **state)
{
    (void)state;
    ac_split_result r;
    ac_err err = { "" };
    if (split("by-key", (ac_split_opts){ .valid = 0.2, .by = AC_SPLIT_BY_KEY, .key = "who" }, &r, &err)) fail_msg("%s", err.text);
    assert_int_equal(r.n_groups, 25);
    assert_int_equal(r.part[AC_SPLIT_VALID].rows, 60);
    assert_int_equal(r.part[AC_SPLIT_VALID].groups, 5);
    ac_split_result_release(&r);
    assert_int_equal(split("no-key", (ac_split_opts){ .valid = 0.2, .by = AC_SPLIT_BY_KEY, .key = "whose" }, &r, &err), AC_EFORMAT);
    if (!strstr(err.text, "rows.jsonl:1: the row has no key \"whose\"")) fail_msg("%s", err.text);
}

/* All prompts of these rows are near duplicates of each other when answers are alike: then they stay together. */
static void near_stays_together(void **state)
{
    (void)state;
    ac_str t = { 0 };
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k < 20; k++) ac_str_appendf(&t, "%sword%d", k ? " " : "{\"text\":\"", i / 4 * 100 + k);
        ac_str_appendf(&t, " end%d\"}\n", i);
    }
    const char *path = df_text("near.jsonl", ac_str_c(&t));
    ac_split_result r;
    ac_split_opts o = { .valid = 0.25, .by = AC_SPLIT_BY_NONE, .near = true };
    assert_int_equal(ac_split_write(&r, &path, 1, df_path("near"), &o, NULL), AC_OK);
    assert_int_equal(r.n_groups, 25);
    assert_int_equal(r.part[AC_SPLIT_VALID].rows, 24);
    ac_split_result_release(&r);
    const ac_survey_input in[] = { { df_path("near/train.jsonl"), AC_SPLIT_TRAIN }, { df_path("near/valid.jsonl"), AC_SPLIT_VALID } };
    const ac_survey_opts so = { .near = true };
    ac_survey s;
    ac_err err = { "" };
    if (ac_survey_run(&s, in, 2, &so, &err)) fail_msg("%s", err.text);
    assert_int_equal(s.overlap[0].near, 0);
    ac_survey_release(&s);
    o.near = false;
    path = df_path("near.jsonl");
    assert_int_equal(ac_split_write(&r, &path, 1, df_path("apart"), &o, NULL), AC_OK);
    assert_int_equal(r.n_groups, 100);
    ac_split_result_release(&r);
    ac_str_release(&t);
}

static void array_rows_become_lines(void **state)
{
    (void)state;
    const char *path = df_text("rows.json", "[\n {\"text\": \"a b\",\n  \"n\": 1.50},\n {\"text\":\"c\"}, {\"text\":\"d\"} ]");
    ac_split_result r;
    const ac_split_opts o = { .valid = 0.34, .by = AC_SPLIT_BY_NONE };
    ac_str train = { 0 }, valid = { 0 };
    assert_int_equal(ac_split_write(&r, &path, 1, df_path("lines"), &o, NULL), AC_OK);
    assert_int_equal(ac_file_read(&train, df_path("lines/train.jsonl"), 1000, NULL), AC_OK);
    assert_int_equal(ac_file_read(&valid, df_path("lines/valid.jsonl"), 1000, NULL), AC_OK);
    ac_str_append(&train, ac_str_view(&valid));
    assert_int_equal(train.len, strlen("{\"text\":\"a b\",\"n\":1.50}\n{\"text\":\"c\"}\n{\"text\":\"d\"}\n"));
    assert_non_null(strstr(ac_str_c(&train), "{\"text\":\"a b\",\"n\":1.50}\n"));
    ac_str_release(&train);
    ac_str_release(&valid);
    ac_split_result_release(&r);
}

static void refusals(void **state)
{
    (void)state;
    ac_split_result r;
    ac_err err = { "" };
    assert_int_equal(split("once", (ac_split_opts){ .valid = 0.1 }, &r, NULL), AC_OK);
    ac_split_result_release(&r);
    assert_int_equal(split("once", (ac_split_opts){ .valid = 0.1 }, &r, &err), AC_ECREATE);
    if (!strstr(err.text, "train.jsonl is there already")) fail_msg("%s", err.text);
    err.text[0] = '\0';
    assert_int_equal(split("small", (ac_split_opts){ .valid = 0.01 }, &r, &err), AC_EARG);
    if (!strstr(err.text, "no group fits into valid: 3 rows were wanted")) fail_msg("%s", err.text);
    assert_false(ac_path_exists(df_path("small")));
    assert_int_equal(split("all", (ac_split_opts){ .valid = 0.5, .test = 0.5 }, &r, NULL), AC_EARG);
    const char *bad = df_text("bad.jsonl", "{\"text\":\"a\"}\nx\n");
    const ac_split_opts o = { .valid = 0.5 };
    assert_int_equal(ac_split_write(&r, &bad, 1, df_path("bad"), &o, NULL), AC_EFORMAT);
    const char *two[] = { rows, df_text("text.jsonl", "{\"text\":\"a\"}\n") };
    assert_int_equal(ac_split_write(&r, two, 2, df_path("two"), &o, NULL), AC_EFORMAT);
    assert_int_equal(ac_live_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_never_cross), cmocka_unit_test(same_seed_same_bytes), cmocka_unit_test(by_key),
        cmocka_unit_test(near_stays_together), cmocka_unit_test(array_rows_become_lines), cmocka_unit_test(refusals),
    };
    if (df_open()) return 1;
    static char keep[400];
    write_rows();
    (void)snprintf(keep, sizeof keep, "%s", rows);
    rows = keep;
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    df_close();
    return rc;
}
