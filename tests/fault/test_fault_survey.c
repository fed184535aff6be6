/* Surveys and splits under failing memory, reads and writes: a clean message, nothing leaked, no half part left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/fault.h"
#include "data/survey.h"
#include "data_fixture.h"

static const char *train, *valid, *array;

static ac_status survey(ac_err *err)
{
    const ac_survey_input in[] = { { train, AC_SPLIT_TRAIN }, { valid, AC_SPLIT_VALID }, { array, AC_SPLIT_NONE } };
    ac_scanner *scanner = NULL;
    ac_survey s = { .n_files = 0 };
    ac_status st = ac_scanner_open(&scanner, NULL, err);
    const ac_survey_opts o = { .data = { .mask = AC_MASK_ALL_TURNS, .max_len = 12 }, .near = true, .scanner = scanner };
    if (!st) st = ac_survey_run(&s, in, 3, &o, err);
    if (!st) assert_true(s.found.n > 8 && s.file[0].n_near_groups == 2 && s.overlap[0].pairs_words == 1);
    ac_survey_release(&s);
    ac_scanner_close(&scanner);
    return st;
}

static ac_status masks(void *ctx, const ac_mask_row *r, ac_err *err)
{
    (void)ctx;
    (void)err;
    return r->row->n_messages ? AC_OK : AC_ESTATE;
}

static ac_status split(ac_err *err)
{
    char dir[400];
    (void)snprintf(dir, sizeof dir, "%s/out", df_dir);
    ac_split_result r = { .n_rows = 0 };
    const ac_survey_opts so = { .near = false };
    const ac_split_opts o = { .near = true, .valid = 0.3, .test = 0.2, .seed = 3 };
    ac_status st = ac_mask_walk(train, AC_FORMAT_PROMPT_COMPLETION, 4, &so, masks, NULL, err);
    if (!st) st = ac_split_write(&r, &train, 1, dir, &o, err);
    ac_split_result_release(&r);
    return st;
}

static bool any_part(void)
{
    static const char *const names[] = { "out/train.jsonl", "out/valid.jsonl", "out/test.jsonl" };
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) n += ac_path_exists(df_path(names[i]));
    return n > 0;
}

static void every(ac_status (*scenario)(ac_err *), ac_fault_kind kind)
{
    const int64_t before = ac_live_bytes();
    for (long nth = 1;; nth++) {
        ac_err err = { 0 };
        ac_fault_arm(kind, nth);
        const ac_status st = scenario(&err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        if (ac_live_bytes() != before) fail_msg("fault %ld leaks %lld bytes", nth, (long long)(ac_live_bytes() - before));
        if (!fired) {
            if (st) fail_msg("%s", err.text);
            assert_true(nth > 3);
            return;
        }
        const bool fits = kind == AC_FAULT_ALLOC ? st == AC_ENOMEM : st == AC_EIO || st == AC_ECREATE;
        if (!fits || !err.text[0]) fail_msg("fault %ld: %s, \"%s\"", nth, ac_status_name(st), err.text);
        /* Parts whose names were taken before a fault are complete; with memory alone failing there are none. */
        if (kind == AC_FAULT_ALLOC) assert_false(any_part());
        (void)ac_remove_tree(df_path("out"), NULL);
    }
}

static void surveys(void **state)
{
    (void)state;
    every(survey, AC_FAULT_ALLOC);
    every(survey, AC_FAULT_IO);
}

static void splits(void **state)
{
    (void)state;
    every(split, AC_FAULT_ALLOC);
    (void)ac_remove_tree(df_path("out"), NULL);
    every(split, AC_FAULT_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(surveys), cmocka_unit_test(splits) };
    static char keep[3][400];
    if (df_open()) return 1;
    (void)snprintf(keep[0], sizeof keep[0], "%s", df_text("train.jsonl",
        "{\"prompt\":\"one two three four five six\",\"completion\":\"seven eight nine ten eleven twelve thirteen fourteen\"}\n"
        "{\"prompt\":\"one two three four five six\",\"completion\":\"seven eight nine ten eleven twelve thirteen fifteen\"}\n"
        "{\"prompt\":\"alpha beta gamma delta\",\"completion\":\"epsilon zeta eta theta iota kappa\"}\n"
        "{\"prompt\":\"alpha beta gamma delta\",\"completion\":\"Epsilon, zeta eta theta iota kappa\"}\n"
        "{\"prompt\":\"alpha beta gamma delta\",\"completion\":\"Epsilon, zeta eta theta iota kappa\"}\n"
        "{\"system\":\"s\",\"id\":7,\"prompt\":\"mail\",\"completion\":\"write to ann@example.org or call\"}\n{\"prompt\":\"p\",\"completion\":\"q\"}\n"
        "{\"prompt\":\"r\",\"completion\":\"\"}\n{\"prompt\":1}\nx\n"));
    (void)snprintf(keep[1], sizeof keep[1], "%s", df_text("valid.jsonl", "{\"prompt\":\"P\",\"completion\":\"q\"}\n{\"prompt\":\"u\",\"completion\":\"v\"}\n"));
    (void)snprintf(keep[2], sizeof keep[2], "%s", df_text("p.json",
        "[{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"b\"},\n{\"prompt\":\"a\",\"chosen\":[{\"role\":\"assistant\",\"content\":\"x\"}],"
        "\"rejected\":[{\"role\":\"assistant\",\"content\":\"y\"}]}]"));
    train = keep[0];
    valid = keep[1];
    array = keep[2];
    int rc = cmocka_run_group_tests_name("survey", (const struct CMUnitTest[]){ tests[0] }, NULL, NULL);
    (void)df_text("train.jsonl",
        "{\"prompt\":\"a b\",\"completion\":\"c\"}\n{\"prompt\":\"d\",\"completion\":\"e\"}\n{\"prompt\":\"f\",\"completion\":\"g\"}\n"
        "{\"prompt\":\"h\",\"completion\":\"i\"}\n{\"prompt\":\"j\",\"completion\":\"k\"}\n");
    rc |= cmocka_run_group_tests_name("split", (const struct CMUnitTest[]){ tests[1] }, NULL, NULL);
    df_close();
    return rc;
}
