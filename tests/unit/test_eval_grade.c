/* eval/grade.h: each grader, both ways; sql-equal on a database made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/grade.h"
#include "store/store.h"

static char db_path[] = "/tmp/accord-grade-XXXXXX";

static int make_db(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_store *s = NULL;
    const int fd = mkstemp(db_path);
    if (fd < 0) return -1;
    close(fd);
    if (ac_store_open(&s, db_path, false, &err)) return -1;
    if (ac_store_exec(s, "CREATE TABLE t(a INTEGER, b TEXT, c REAL); INSERT INTO t VALUES(1,'x',0.1),(2,'y',0.2),"
                         "(3,'x',0.3)", &err)) return -1;
    ac_store_close(&s);
    return 0;
}

static int drop_db(void **state)
{
    (void)state;
    return unlink(db_path);
}

static ac_assert make_assert(ac_grader type, const char *value, double threshold, ac_view *slot)
{
    *slot = ac_view_of(value);
    return (ac_assert){ .type = type, .n_values = value ? 1 : 0, .value = slot, .threshold = threshold };
}

static ac_status grade(ac_assert *as, const char *answer, const char *refusal, size_t passages, bool *pass, ac_err *err)
{
    ac_arena a = { 0 };
    ac_grade_ctx *g = NULL;
    ac_grade out = { 0 };
    const ac_case c = { .id = AC_VIEW("c"), .line = 1, .n_asserts = 1, .assert_ = as };
    ac_status st = ac_grade_open(&g, db_path, refusal, err);
    if (!st) st = ac_grade_answer(g, &c, ac_view_of(answer), passages, 2.5, &a, &out, err);
    if (!st) assert_true(out.why.len > 0);
    *pass = out.pass;
    ac_grade_close(&g);
    ac_arena_release(&a);
    return st;
}

/* What freeze tries: each assertion by itself, though the one before does not hold. */
static void reference(ac_assert *as, size_t n, ac_status want, const char *says)
{
    ac_arena a = { 0 };
    ac_err err = { 0 };
    ac_grade_ctx *g = NULL;
    ac_grade out = { 0 };
    const ac_case c = { .id = AC_VIEW("c"), .line = 1, .n_asserts = n, .assert_ = as };
    assert_int_equal(ac_grade_open(&g, db_path, NULL, &err), AC_OK);
    assert_int_equal(ac_grade_reference(g, &c, &a, &out, &err), want);
    if (says) assert_non_null(strstr(err.text, says));
    ac_grade_close(&g);
    ac_arena_release(&a);
}

static void test_reference_of_bad_assertions(void **state)
{
    (void)state;
    static const char *const always[] = { ".*", "", "x?", "(a*)*", "[^z]*", "(?s).*", "a|", "\\b|\\B|^" };
    static const char *const may_fail[] = { ".+", "^$", "^\\s*$", "id = 5", "^[a-z]*$", "(?!q)^", "\\d*!" };
    ac_view one, two;
    for (size_t i = 0; i < AC_COUNTOF(always); i++) {
        ac_assert as = make_assert(AC_GRADE_REGEX, always[i], 0, &one);
        reference(&as, 1, AC_ECONTRACT, "is found in every answer, so the assertion cannot fail");
        as.negate = true;
        reference(&as, 1, AC_ECONTRACT, "can never hold");
    }
    for (size_t i = 0; i < AC_COUNTOF(may_fail); i++) {
        ac_assert as = make_assert(AC_GRADE_REGEX, may_fail[i], 0, &one);
        reference(&as, 1, AC_OK, NULL);
    }
    ac_assert both[] = { make_assert(AC_GRADE_CONTAINS, "yes", 0, &one), make_assert(AC_GRADE_REGEX, "((", 0, &two) };
    reference(both, 2, AC_ECONTRACT, "does not compile");
}

typedef struct {
    ac_grader type;
    const char *value;
    double threshold;
    const char *answer;
    bool pass;
} row;

static void run_rows(const row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ac_err err = { 0 };
        ac_view slot;
        bool pass = false;
        ac_assert as = make_assert(rows[i].type, rows[i].value, rows[i].threshold, &slot);
        const ac_status st = grade(&as, rows[i].answer, NULL, 3, &pass, &err);
        if (st) fail_msg("row %zu: %s", i, err.text);
        if (pass != rows[i].pass) fail_msg("row %zu: \"%s\" against \"%s\" gave %d", i, rows[i].answer, rows[i].value, pass);
        as.negate = true;
        if (grade(&as, rows[i].answer, NULL, 3, &pass, &err)) fail_msg("row %zu: %s", i, err.text);
        assert_true(pass != rows[i].pass);
    }
}

static void test_text(void **state)
{
    (void)state;
    const row rows[] = {
        { AC_GRADE_EQUALS, "four", 0, "  four\n", true }, { AC_GRADE_EQUALS, "four", 0, "Four", false },
        { AC_GRADE_CONTAINS, "our", 0, "four", true }, { AC_GRADE_CONTAINS, "OUR", 0, "four", false },
        { AC_GRADE_ICONTAINS, "\xc3\x84" "B", 0, "x\xc3\xa4" "by", true }, { AC_GRADE_ICONTAINS, "q", 0, "four", false },
        { AC_GRADE_STARTS_WITH, "fo", 0, "four", true }, { AC_GRADE_STARTS_WITH, "our", 0, "four", false },
        { AC_GRADE_REGEX, "^f.+r$", 0, "four", true }, { AC_GRADE_REGEX, "^o", 0, "four", false },
        { AC_GRADE_REGEX, "(a+)+$", 0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false },
        { AC_GRADE_NUMERIC, "1200", 0, "It is 1,200.", true }, { AC_GRADE_NUMERIC, "-3.5", 0, "about -3.5", true },
        { AC_GRADE_NUMERIC, "4", 0.5, "= 4.4", true }, { AC_GRADE_NUMERIC, "4", 0, "5", false },
        { AC_GRADE_NUMERIC, "4", 0, "none", false }, { AC_GRADE_NUMERIC, "7", 0, "3 of 7", true },
        { AC_GRADE_F1, "the quick brown fox", 0.6, "A quick, brown dog", true },
        { AC_GRADE_F1, "the quick brown fox", 0.7, "A quick, brown dog", false },
        { AC_GRADE_IS_REFUSAL, NULL, 0, "I can't help with that", true },
        { AC_GRADE_IS_REFUSAL, NULL, 0, "Sure, here it is", false },
        { AC_GRADE_IS_REFUSAL, "Nope.", 0, "Nope. Never", true }, { AC_GRADE_IS_REFUSAL, "Nope.", 0, "I can't", false },
        { AC_GRADE_CITATION, NULL, 0, "as [1] and [3] say", true }, { AC_GRADE_CITATION, NULL, 0, "as [4] says", false },
        { AC_GRADE_CITATION, NULL, 0, "as all say", false }, { AC_GRADE_CITATION, NULL, 0, "[0]", false },
        { AC_GRADE_PERPLEXITY, NULL, 2.5, "four", true }, { AC_GRADE_PERPLEXITY, NULL, 2.4, "four", false },   /* of 2.5 */
        { AC_GRADE_IS_JSON, NULL, 0, "{\"a\":[1,2]}", true }, { AC_GRADE_IS_JSON, NULL, 0, "{a:1}", false },
        { AC_GRADE_CONTAINS_JSON, NULL, 0, "Here: {\"a\":\"}\"} ok", true },
        { AC_GRADE_CONTAINS_JSON, NULL, 0, "Here: {a} ok", false },
    };
    run_rows(rows, AC_COUNTOF(rows));
}

static void test_sql(void **state)
{
    (void)state;
    const row rows[] = {
        { AC_GRADE_SQL_EQUAL, "SELECT a FROM t WHERE b = 'x'", 0, "SELECT a FROM t WHERE b LIKE 'x' ORDER BY a DESC", true },
        { AC_GRADE_SQL_EQUAL, "SELECT a FROM t ORDER BY a", 0, "SELECT a FROM t ORDER BY a DESC", false },
        { AC_GRADE_SQL_EQUAL, "SELECT a FROM t ORDER BY a", 0, "select a from t", true },
        { AC_GRADE_SQL_EQUAL, "SELECT a FROM (SELECT a FROM t ORDER BY a)", 0, "SELECT a FROM t ORDER BY a DESC", true },
        { AC_GRADE_SQL_EQUAL, "SELECT COUNT(*) FROM t", 0, "```sql\nSELECT 3.0\n```", true },
        { AC_GRADE_SQL_EQUAL, "SELECT c FROM t WHERE a = 3", 0, "SELECT 0.1 + 0.2", true },
        { AC_GRADE_SQL_EQUAL, "SELECT a FROM t", 0, "SELECT a, b FROM t", false },
        { AC_GRADE_SQL_EQUAL, "SELECT a FROM t", 0, "SELECT a FROM t UNION ALL SELECT 1", false },
        { AC_GRADE_SQL_EQUAL, "SELECT b FROM t", 0, "SELECT a FROM t", false },
        { AC_GRADE_SQL_EQUAL, "SELECT 1", 0, "DELETE FROM t", false },
        { AC_GRADE_SQL_EQUAL, "SELECT 1", 0, "SELECT 1; DROP TABLE t", false },
        { AC_GRADE_SQL_EQUAL, "SELECT 1", 0, "I cannot say", false },
        { AC_GRADE_SQL_EQUAL, "SELECT 1", 0, "", false },
        { AC_GRADE_SQL_EQUAL, "SELECT 1", 0,
          "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r) SELECT count(*) FROM r", false },
        { AC_GRADE_SQL_EQUAL, "SELECT COUNT(*) FROM t", 0, "SELECT 3", true },   /* nothing above changed it */
    };
    run_rows(rows, AC_COUNTOF(rows));
}

static void test_bad_cases(void **state)
{
    (void)state;
    const row rows[] = {
        { AC_GRADE_REGEX, "(", 0, "x", false }, { AC_GRADE_NUMERIC, "four", 0, "4", false },
        { AC_GRADE_SQL_EQUAL, "SELEC 1", 0, "SELECT 1", false }, { AC_GRADE_SQL_EQUAL, "DROP TABLE t", 0, "x", false },
    };
    for (size_t i = 0; i < AC_COUNTOF(rows); i++) {
        ac_err err = { 0 };
        ac_view slot;
        bool pass;
        ac_assert as = make_assert(rows[i].type, rows[i].value, 0, &slot);
        assert_int_equal(grade(&as, rows[i].answer, NULL, 0, &pass, &err), AC_ECONTRACT);
        assert_non_null(strstr(err.text, "case \"c\" (line 1)"));
    }
}

static void test_schema(void **state)
{
    (void)state;
    const char *schema_text =
        "{\"type\":\"object\",\"required\":[\"n\"],\"additionalProperties\":false,\"properties\":{\"n\":{\"type\":"
        "\"integer\",\"minimum\":1},\"s\":{\"enum\":[\"a\",\"b\"]},\"l\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},"
        "\"maxItems\":2}}}";
    const struct { const char *answer; bool pass; } rows[] = {
        { "{\"n\":2}", true }, { "{\"n\":0}", false }, { "{\"n\":1.5}", false }, { "{}", false },
        { "{\"n\":1,\"x\":1}", false }, { "{\"n\":1,\"s\":\"b\"}", true }, { "{\"n\":1,\"s\":\"c\"}", false },
        { "{\"n\":1,\"l\":[\"a\",\"b\"]}", true }, { "{\"n\":1,\"l\":[\"a\",2]}", false },
        { "{\"n\":1,\"l\":[\"a\",\"b\",\"c\"]}", false }, { "[]", false },
    };
    ac_arena arena = { 0 };
    ac_err err = { 0 };
    ac_assert as = { .type = AC_GRADE_IS_JSON };
    assert_int_equal(ac_json_parse(&as.schema, ac_view_of(schema_text), &arena, "s", 1, NULL, &err), AC_OK);
    for (size_t i = 0; i < AC_COUNTOF(rows); i++) {
        bool pass = false;
        if (grade(&as, rows[i].answer, NULL, 0, &pass, &err)) fail_msg("%s", err.text);
        if (pass != rows[i].pass) fail_msg("%s gave %d", rows[i].answer, pass);
    }
    bool pass;
    assert_int_equal(ac_json_parse(&as.schema, AC_VIEW("{\"oneOf\":[]}"), &arena, "s", 1, NULL, &err), AC_OK);
    assert_int_equal(grade(&as, "no json", NULL, 0, &pass, &err), AC_ECONTRACT);
    ac_arena_release(&arena);
}

static void test_schema_forms(void **state)
{
    (void)state;
    /* Each bad wherever it stands, and whether or not the answer comes to it. */
    const char *const bad[] = {
        "{\"type\":\"object\",\"properties\":{\"a\":{\"pattern\":\"x\"}}}", "{\"items\":{\"oneOf\":[]}}", "{\"type\":\"int\"}",
        "{\"required\":\"a\"}", "{\"required\":[1]}", "{\"minimum\":\"1\"}", "{\"additionalProperties\":{\"anyOf\":[]}}",
        "{\"items\":[{}]}", "{\"enum\":1}",
    };
    const struct { const char *schema, *answer; bool pass; } rows[] = {
        { "{\"additionalProperties\":false}", "{\"a\":1}", false }, { "{\"additionalProperties\":false}", "{}", true },
        { "{\"additionalProperties\":{\"type\":\"integer\"}}", "{\"a\":1}", true },
        { "{\"additionalProperties\":{\"type\":\"integer\"}}", "{\"a\":\"x\"}", false },
        { "{\"required\":[\"a\"]}", "{\"b\":1}", false }, { "{\"type\":[\"string\",\"null\"]}", "null", true },
        { "{\"maxLength\":2}", "\"\xc3\xa4\xc3\xb6\"", true }, { "{\"maxLength\":2}", "\"abc\"", false },
    };
    ac_arena arena = { 0 };
    ac_assert as = { .type = AC_GRADE_IS_JSON };
    bool pass;
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        ac_err err = { 0 };
        assert_int_equal(ac_json_parse(&as.schema, ac_view_of(bad[i]), &arena, "s", 1, NULL, &err), AC_OK);
        if (grade(&as, "{}", NULL, 0, &pass, &err) != AC_ECONTRACT) fail_msg("%s was taken", bad[i]);
    }
    for (size_t i = 0; i < AC_COUNTOF(rows); i++) {
        ac_err err = { 0 };
        assert_int_equal(ac_json_parse(&as.schema, ac_view_of(rows[i].schema), &arena, "s", 1, NULL, &err), AC_OK);
        if (grade(&as, rows[i].answer, NULL, 0, &pass, &err)) fail_msg("%s", err.text);
        if (pass != rows[i].pass) fail_msg("%s gave %d by %s", rows[i].answer, pass, rows[i].schema);
    }
    ac_arena_release(&arena);
}

static void test_distances(void **state)
{
    (void)state;
    const row rows[] = {
        { AC_GRADE_LEVENSHTEIN, "forty two", 2, "fourty  two", true }, { AC_GRADE_LEVENSHTEIN, "forty two", 2, "fourty twoo!", false },
        { AC_GRADE_LEVENSHTEIN, "stra\xc3\x9f" "e", 1, "strase", true }, { AC_GRADE_LEVENSHTEIN, "abcdefgh", 3, "", false },
        { AC_GRADE_ROUGE_L, "the cat sat on the mat", 0.8, "The cat sat on a mat.", true },
        { AC_GRADE_ROUGE_L, "the cat sat on the mat", 0.9, "The cat sat on a mat.", false },
        { AC_GRADE_ROUGE_L, "the cat", 0.1, "", false },
    };
    run_rows(rows, AC_COUNTOF(rows));
    ac_err err = { 0 };
    bool pass;
    ac_view value = AC_VIEW("the cat sat");
    ac_assert as = { .type = AC_GRADE_ROUGE_N, .n_values = 1, .value = &value, .threshold = 0.9, .n_gram = 2 };
    assert_int_equal(grade(&as, "sat the cat", NULL, 0, &pass, &err), AC_OK);
    assert_false(pass);
    as.n_gram = 1;
    assert_int_equal(grade(&as, "sat the cat", NULL, 0, &pass, &err), AC_OK);
    assert_true(pass);
}

static void test_tool_calls(void **state)
{
    (void)state;
    static const char weather[] = "{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\",\"days\":2}}";
    static const char two[] = "[{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\"}},{\"name\":\"time\"}]";
    const struct { const char *want, *answer; bool pass; } rows[] = {
        { weather, weather, true },
        { weather, "{\"arguments\":{\"days\":2.0,\"city\":\"Oslo\"},\"name\":\"weather\"}", true },
        { weather, "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\", \"days\": 2}}\n</tool_call>", true },
        { weather, "Let me look.\n<tool_call>{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\",\"days\":2}}", true },
        { weather, "{\"name\":\"weather\",\"parameters\":{\"city\":\"Oslo\",\"days\":2}}", true },
        { weather, "[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"weather\",\"arguments\":"
                   "\"{\\\"city\\\":\\\"Oslo\\\",\\\"days\\\":2}\"}}]", true },
        { weather, "```json\n{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\",\"days\":2}}\n```", true },
        { weather, "{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\",\"days\":3}}", false },
        { weather, "{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\",\"days\":2,\"x\":1}}", false },
        { weather, "{\"name\":\"time\"}", false }, { weather, "It rains in Oslo.", false }, { weather, "", false },
        { weather, "{\"name\":\"weather\",\"arguments\":\"{city\"}", false },
        { weather, "<tool_call>{\"name\":\"weather\",</tool_call>", false }, { weather, "{{{{[[[[\"", false },
        { two, "<tool_call>{\"name\":\"time\",\"arguments\":{}}</tool_call>\n"
               "<tool_call>{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\"}}</tool_call>", true },
        { two, "[{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\"}}]", false },
        { two, "[{\"name\":\"time\"},{\"name\":\"time\"},{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\"}}]", false },
    };
    ac_arena arena = { 0 };
    for (size_t i = 0; i < AC_COUNTOF(rows); i++) {
        ac_err err = { 0 };
        bool pass = !rows[i].pass;
        ac_assert as = { .type = AC_GRADE_TOOL_CALL };
        assert_int_equal(ac_json_parse(&as.calls, ac_view_of(rows[i].want), &arena, "s", 1, NULL, &err), AC_OK);
        if (grade(&as, rows[i].answer, NULL, 0, &pass, &err)) fail_msg("%s", err.text);
        if (pass != rows[i].pass) fail_msg("row %zu: %s gave %d", i, rows[i].answer, pass);
        as.negate = true;
        assert_int_equal(grade(&as, rows[i].answer, NULL, 0, &pass, &err), AC_OK);
        assert_true(pass != rows[i].pass);
    }
    ac_arena_release(&arena);
}

static void test_fixed_refusal(void **state)
{
    (void)state;
    ac_err err = { 0 };
    bool pass;
    ac_assert as = { .type = AC_GRADE_IS_REFUSAL };
    assert_int_equal(grade(&as, "I only read.", "I only read.", 0, &pass, &err), AC_OK);
    assert_true(pass);
    assert_int_equal(grade(&as, "I can't do that.", "I only read.", 0, &pass, &err), AC_OK);
    assert_false(pass);
    assert_int_equal(ac_live_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_of_bad_assertions),
        cmocka_unit_test(test_text), cmocka_unit_test(test_sql), cmocka_unit_test(test_bad_cases),
        cmocka_unit_test(test_schema), cmocka_unit_test(test_schema_forms), cmocka_unit_test(test_distances),
        cmocka_unit_test(test_tool_calls), cmocka_unit_test(test_fixed_refusal),
    };
    return cmocka_run_group_tests(tests, make_db, drop_db);
}
