/* eval/cases.h: what is read, and what is refused with which words. */
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
#include "eval/cases.h"

static ac_status read_text(ac_cases *out, const char *text, ac_err *err)
{
    char path[] = "/tmp/accord-cases-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    const ac_status st = ac_cases_read(out, path, err);
    unlink(path);
    return st;
}

static void test_forms(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_cases c = { 0 };
    const char *text =
        "{\"canary\":\"a-canary-of-ours\"}\n"
        "{\"id\":\"a\",\"class\":\"refusal\",\"turns\":[{\"role\":\"system\",\"content\":\"s\"},"
        "{\"role\":\"user\",\"content\":\"u\"}]}\n"
        "\n"
        "{\"input\":[{\"role\":\"user\",\"content\":\"2+2?\"}],\"ideal\":[\"4\",\"four\"]}\n"
        "{\"input\":\"capital?\",\"target\":\"Oslo\",\"id\":7,\"metadata\":{\"class\":\"edge\"}}\n"
        "{\"id\":\"d\",\"input\":\"x\",\"cluster\":\"k\",\"assert\":[{\"type\":\"not-contains\",\"value\":\"bad\"},"
        "{\"type\":\"numeric\",\"value\":4,\"threshold\":0.5},{\"type\":\"is-json\",\"value\":{\"type\":\"object\"}}]}";
    if (read_text(&c, text, &err)) fail_msg("%s", err.text);
    assert_int_equal(c.n, 4);
    assert_true(ac_view_eq_str(c.canary, "a-canary-of-ours"));
    assert_int_equal(c.n_class[AC_CLASS_SUCCESS], 2);
    assert_int_equal(c.n_class[AC_CLASS_REFUSAL], 1);
    assert_int_equal(c.item[0].assert_[0].type, AC_GRADE_IS_REFUSAL);
    assert_int_equal(c.item[0].n_turns, 2);
    assert_true(ac_view_eq_str(c.item[1].id, "line-4"));
    assert_int_equal(c.item[1].assert_[0].n_values, 2);
    assert_int_equal(c.item[1].assert_[0].type, AC_GRADE_EQUALS);
    assert_true(ac_view_eq_str(c.item[2].id, "7") && c.item[2].cls == AC_CLASS_EDGE);
    assert_true(c.item[3].assert_[0].negate && c.item[3].assert_[2].schema != NULL);
    assert_int_equal(c.item[3].line, 6);
    ac_cases_release(&c);
}

static void test_refused(void **state)
{
    (void)state;
    const struct { const char *text, *says; } bad[] = {
        { "", "no cases" },
        { "{\"input\":\"x\"}", "nothing can judge it" },
        { "{\"ideal\":\"x\"}", "needs \"turns\"" },
        { "[1]", "must be a JSON object" },
        { "{\"input\":\"x\",\"ideal\":\"y\",\"clas\":\"edge\"}", "unknown key \"clas\"" },
        { "{\"input\":\"x\",\"ideal\":\"y\",\"class\":\"hard\"}", "success, refusal or edge" },
        { "{\"id\":\"a\",\"input\":\"x\",\"ideal\":\"y\"}\n{\"id\":\"a\",\"input\":\"z\",\"ideal\":\"y\"}", "line 1 already" },
        { "{\"input\":\"x\",\"ideal\":\" \"}", "cannot fail" },
        { "{\"input\":\"x\",\"assert\":[]}", "1 to 64" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"vibes\",\"value\":\"y\"}]}", "unknown assertion type" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"equals\",\"value\":\"y\",\"weight\":0}]}", "always pass" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"f1\",\"value\":\"y\",\"threshold\":0}]}", "always pass" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"f1\",\"value\":\"y\"}]}", "needs a \"threshold\"" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"equals\",\"value\":\"y\",\"threshold\":0.5}]}", "no effect" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"equals\"}]}", "needs a \"value\"" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"equals\",\"value\":\"y\",\"wieght\":1}]}", "unknown key" },
        { "{\"turns\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}],\"ideal\":\"y\"}",
          "last turn must be the user's" },
        { "{\"turns\":[{\"role\":\"boss\",\"content\":\"q\"}],\"ideal\":\"y\"}", "unknown role" },
        { "{\"turns\":[{\"role\":\"user\"}],\"ideal\":\"y\"}", "\"role\" and \"content\"" },
        { "{\"turns\":[],\"ideal\":\"y\"}", "1 to 256 turns" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"levenshtein\",\"value\":\"yes\"}]}", "any short answer would pass" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"levenshtein\",\"value\":\"yes it is\",\"threshold\":0}]}", "always pass" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"levenshtein\",\"value\":\"yes it is\",\"threshold\":5000}]}", "1 to 1000" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"rouge-l\",\"value\":\"y\",\"threshold\":1.5}]}", "at most 1" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"perplexity\",\"threshold\":5}]}", "nothing else judges" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"perplexity\"}]}", "above 1 and up to 1000" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"not-perplexity\",\"threshold\":5}]}", "no \"not-\"" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"perplexity\",\"value\":\"y\",\"threshold\":5}]}", "no effect on perplexity" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"rouge-n\",\"value\":\"y\",\"n\":9}]}", "1 to 8" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"rouge-l\",\"value\":\"y\",\"n\":2}]}", "\"n\" has no effect" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"tool-call\",\"value\":\"f\"}]}", "value of tool-call" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"tool-call\",\"value\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}", "value of tool-call" },
        { "{\"input\":\"x\",\"assert\":[{\"type\":\"tool-call\",\"value\":[]}]}", "value of tool-call" },
        { "{\"input\":\"x\",\"ideal\":\"y\",\"tools\":{}}", "list of tool descriptions" },
        { "{\"turns\":[{\"role\":\"user\",\"content\":\"q\",\"tool_calls\":[1]}],\"ideal\":\"y\"}", "in an assistant's turn" },
        { "{\"canary\":\"short\"}", "at least 8 bytes" },
        { "{\"input\":\"x\",\"turns\":[],\"ideal\":\"y\"}", "keep one" },
        { "{\"input\":\"x\",\"ideal\":\"y\"", ":1" },
    };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        ac_err err = { 0 };
        ac_cases c = { 0 };
        const ac_status st = read_text(&c, bad[i].text, &err);
        if (st != AC_EFORMAT || !strstr(err.text, bad[i].says))
            fail_msg("%s\n  gave %s: %s\n  wanted: %s", bad[i].text, ac_status_name(st), err.text, bad[i].says);
        assert_int_equal(c.n, 0);
    }
    assert_int_equal(ac_live_bytes(), 0);
}

static void test_tools(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_cases c = { 0 };
    const char *text =
        "{\"id\":\"t\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"turns\":[{\"role\":\"user\",\"content\":\"q\"},"
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"name\":\"f\",\"arguments\":{}}]},"
        "{\"role\":\"tool\",\"content\":\"7\"}],\"assert\":[{\"type\":\"tool-call\",\"value\":{\"name\":\"f\"}},"
        "{\"type\":\"rouge-n\",\"value\":\"y\",\"n\":2},{\"type\":\"levenshtein\",\"value\":\"seven days\"}]}";
    if (read_text(&c, text, &err)) fail_msg("%s", err.text);
    assert_true(ac_view_eq_str(c.item[0].tools, "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"));
    assert_true(ac_view_eq_str(c.item[0].turn[1].tool_calls, "[{\"name\":\"f\",\"arguments\":{}}]"));
    assert_int_equal(c.item[0].turn[1].content.len, 0);
    assert_non_null(c.item[0].assert_[0].calls);
    assert_int_equal(c.item[0].assert_[1].n_gram, 2);
    assert_true(c.item[0].assert_[1].threshold == 0.75 && c.item[0].assert_[2].threshold == 5);
    ac_cases_release(&c);
}

static void test_missing(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_cases c = { 0 };
    assert_int_equal(ac_cases_read(&c, "/nowhere/cases.jsonl", &err), AC_ENOENT);
    assert_non_null(strstr(err.text, "/nowhere/cases.jsonl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms), cmocka_unit_test(test_refused), cmocka_unit_test(test_missing),
        cmocka_unit_test(test_tools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
