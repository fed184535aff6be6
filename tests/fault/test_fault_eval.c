/* Cases, every grader, and the verdict with failing memory and reads: nothing leaked, a clean message, and never a grade or a
 * verdict that differs from the one that is given when nothing fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/fault.h"
#include "data_fixture.h"
#include "eval/grade.h"
#include "eval/verdict.h"

/* Each grader once so that the answer passes and once so that it does not: ids end in 1 or 0. */
static const char cases_text[] =
    "{\"canary\":\"canary-of-the-graders\"}\n"
    "{\"id\":\"equals-0\",\"input\":\"q\",\"ideal\":[\"It is RED\",\"red\"]}\n"
    "{\"id\":\"contains-0\",\"input\":\"q\",\"assert\":[{\"type\":\"contains\",\"value\":\"green\"}]}\n"
    "{\"id\":\"icontains-1\",\"input\":\"q\",\"assert\":[{\"type\":\"icontains\",\"value\":\"R\xc3\x89" "D\"}]}\n"
    "{\"id\":\"any-1\",\"input\":\"q\",\"assert\":[{\"type\":\"contains-any\",\"value\":[\"x\",\"red\"]}]}\n"
    "{\"id\":\"all-0\",\"input\":\"q\",\"assert\":[{\"type\":\"contains-all\",\"value\":[\"red\",\"y\"]}]}\n"
    "{\"id\":\"starts-1\",\"input\":\"q\",\"assert\":[{\"type\":\"starts-with\",\"value\":\"I\"}]}\n"
    "{\"id\":\"regex-1\",\"input\":\"q\",\"assert\":[{\"type\":\"regex\",\"value\":\"^It.*[a-z]+\"}]}\n"
    "{\"id\":\"numeric-1\",\"input\":\"q\",\"assert\":[{\"type\":\"numeric\",\"value\":\"2\",\"threshold\":0.1}]}\n"
    "{\"id\":\"json-0\",\"input\":\"q\",\"assert\":[{\"type\":\"is-json\"}]}\n"
    "{\"id\":\"in-json-1\",\"input\":\"q\",\"assert\":[{\"type\":\"contains-json\",\"value\":{\"type\":\"object\",\"required\":[\"a\"],\"enum\":[{\"b\":1},{\"a\":[1,2]}],"
    "\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":1}}}}}]}\n"
    "{\"id\":\"refusal-0\",\"class\":\"refusal\",\"input\":\"q\"}\n"
    "{\"id\":\"f1-1\",\"class\":\"edge\",\"input\":\"q\",\"assert\":[{\"type\":\"f1\",\"value\":\"the red box\",\"threshold\":0.05}]}\n"
    "{\"id\":\"leven-0\",\"cluster\":\"k\",\"input\":\"q\",\"assert\":[{\"type\":\"levenshtein\",\"value\":\"It is red\",\"threshold\":3}]}\n"
    "{\"id\":\"rougel-1\",\"cluster\":\"k\",\"input\":\"q\",\"assert\":[{\"type\":\"rouge-l\",\"value\":\"is red\",\"threshold\":0.05}]}\n"
    "{\"id\":\"rougen-1\",\"input\":\"q\",\"assert\":[{\"type\":\"rouge-n\",\"value\":\"is red\",\"n\":1,\"threshold\":0.05}]}\n"
    "{\"id\":\"tool-1\",\"input\":\"q\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"look\"}}],"
    "\"assert\":[{\"type\":\"tool-call\",\"value\":{\"name\":\"look\",\"arguments\":{\"at\":[1,2]}}}]}\n"
    "{\"id\":\"cite-0\",\"input\":\"q\",\"assert\":[{\"type\":\"citation\"}]}\n"
    "{\"id\":\"perplex-1\",\"input\":\"q\",\"assert\":[{\"type\":\"contains\",\"value\":\"red\"},{\"type\":\"perplexity\",\"threshold\":4}]}\n"
    "{\"id\":\"not-1\",\"input\":\"q\",\"assert\":[{\"type\":\"not-icontains\",\"value\":\"blue\"}]}\n";
static const char answer[] =
    "It is r\xc3\xa9" "d, red: 12.5 {\"a\":[1,2]} [7] \"a quote of words\"\n"
    "<tool_call>{\"name\":\"look\",\"arguments\":{\"at\":[1,2]}}</tool_call>";

static char cases_path[400];
static const char db_path[] = ACCORD_SOURCE_DIR "/examples/shop-sql/data/shop.db";

static bool expected(const ac_case *c)
{
    return c->id.ptr[c->id.len - 1] == '1';
}

static ac_status grade_all(ac_grade_ctx *g, const ac_cases *cases, ac_arena *a, ac_answer *out, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; i < cases->n && !st; i++) {
        const ac_case *c = &cases->item[i];
        ac_grade grade = { .pass = false };
        st = ac_grade_answer(g, c, ac_view_of(answer), 3, 2.5, a, &grade, err);
        if (!st && (grade.pass != expected(c) || !grade.why.len))
            fail_msg(AC_VIEW_FMT ": %s: " AC_VIEW_FMT, AC_VIEW_ARG(c->id), grade.pass ? "passes" : "fails", AC_VIEW_ARG(grade.why));
        out[i] = (ac_answer){ .text = ac_view_of(answer), .pass = grade.pass, .why = grade.why };
        if (!st) st = ac_grade_reference(g, c, a, &grade, err);
        if (!st) assert_true(grade.pass);
    }
    return st;
}

static ac_status sql(ac_grade_ctx *g, ac_arena *a, ac_err *err)
{
    static const struct { const char *query; bool pass; } tries[] = {
        { "SELECT COUNT(*) + 0.0 FROM orders WHERE status = 'open' ORDER BY 1", true }, { "SELECT COUNT(*) FROM orders", false },
        { "DELETE FROM orders", false }, { "SELECT a FROM nowhere", false },
    };
    ac_view reference = AC_VIEW("SELECT COUNT(*) FROM orders WHERE status = 'open'");
    ac_assert as = { .type = AC_GRADE_SQL_EQUAL, .n_values = 1, .value = &reference };
    const ac_case c = { .id = AC_VIEW("sql"), .line = 1, .n_asserts = 1, .assert_ = &as };
    ac_status st = AC_OK;
    for (size_t i = 0; i < AC_COUNTOF(tries) && !st; i++) {
        ac_grade grade = { .pass = false };
        st = ac_grade_answer(g, &c, ac_view_of(tries[i].query), 0, 1, a, &grade, err);
        if (!st && grade.pass != tries[i].pass) fail_msg("%s: " AC_VIEW_FMT, tries[i].query, AC_VIEW_ARG(grade.why));
    }
    return st;
}

/* The second arm passes where the first does not, so the comparison has wins and losses. */
static ac_status judge(const ac_cases *cases, ac_answer *first, ac_arena *a, ac_err *err)
{
    ac_answer *second = ac_arena_alloc_array(a, cases->n, sizeof *second);
    ac_verdict v = { .n_cases = 0 };
    ac_str s = { 0 };
    ac_jw w;
    if (!second) return ac_fail_nomem(err, cases->n * sizeof *second);
    ac_arm_result arm[] = { { .arm = AC_ARM_BASE, .n = cases->n, .answer = first }, { .arm = AC_ARM_TUNED, .n = cases->n, .answer = second } };
    for (size_t i = 0; i < cases->n; i++) {
        second[i] = first[i];
        second[i].pass = i % 5 != 0;
        arm[0].n_pass += first[i].pass;
        arm[1].n_pass += second[i].pass;
    }
    const ac_verdict_rules rules = { .margin = 10, .guard = { 0, 0, 0 }, .openings = 1, .locks = 1 };
    ac_status st = ac_verdict_make(&v, cases, arm, 2, &rules, a, err);
    if (!st) {
        assert_int_equal(v.n_cases, cases->n);
        assert_int_equal(v.n_clusters, cases->n - 1);
        assert_true(v.n_comparisons == 1 && v.n_sentences > 0 && v.comparison[0].wins > 0 && v.comparison[0].losses > 0);
        ac_jw_init(&w, &s, true);
        ac_verdict_write(&w, &v, cases, arm, 2);
        if (!ac_str_ok(&s)) st = ac_fail_nomem(err, s.len);
    }
    ac_str_release(&s);
    return st;
}

static ac_status scenario(ac_err *err)
{
    ac_cases cases = { .n = 0 };
    ac_grade_ctx *g = NULL;
    ac_arena a = { 0 };
    ac_answer first[32] = { { .pass = false } };
    ac_status st = ac_cases_read(&cases, cases_path, err);
    if (!st) assert_int_equal(cases.n, 19);
    if (!st) st = ac_grade_open(&g, db_path, "I cannot help with that.", err);
    if (!st) st = grade_all(g, &cases, &a, first, err);
    if (!st) st = sql(g, &a, err);
    if (!st) st = judge(&cases, first, &a, err);
    ac_grade_close(&g);
    ac_cases_release(&cases);
    ac_arena_release(&a);
    return st;
}

static void every(ac_fault_kind kind, ac_status wanted, long least)
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
            if (nth <= least) fail_msg("only %ld calls", nth);
            return;
        }
        if (st != wanted || !err.text[0]) fail_msg("fault %ld: %s, \"%s\"", nth, ac_status_name(st), err.text);
    }
}

static void every_allocation(void **state)
{
    (void)state;
    every(AC_FAULT_ALLOC, AC_ENOMEM, 20);
}

static void every_io_call(void **state)
{
    (void)state;
    every(AC_FAULT_IO, AC_EIO, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation), cmocka_unit_test(every_io_call) };
    if (df_open()) return 1;
    (void)snprintf(cases_path, sizeof cases_path, "%s", df_text("cases.jsonl", cases_text));
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    df_close();
    return rc;
}
