/* What the checks of rows find, and what they leave alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "data_fixture.h"

static void rows_of(ac_row_file *f, const char *name, const char *text)
{
    ac_err err = { 0 };
    if (ac_rows_read(f, df_text(name, text), AC_FORMAT_AUTO, &err)) fail_msg("%s", err.text);
}

/* "kind:line_a:line_b:score" of each finding. */
static void list_is(const ac_findings *f, const char *want)
{
    ac_str s = { 0 };
    for (size_t i = 0; i < f->n; i++) {
        const ac_finding *g = &f->finding[i];
        ac_str_appendf(&s, "%s%s%s:%zu:%zu:%.4g", i ? " " : "", g->severity == AC_FIND_FAIL ? "!" : "", g->kind,
                       g->line_a, g->line_b, g->score);
        assert_int_equal(strncmp(g->id, g->kind, strlen(g->kind)), 0);
        assert_true(g->text[0] != '\0');
    }
    assert_string_equal(ac_str_c(&s), want);
    ac_str_release(&s);
}

static void checked(const char *text, const char *want)
{
    ac_row_file f = { 0 };
    ac_findings g = { 0 };
    ac_err err = { 0 };
    rows_of(&f, "c.jsonl", text);
    if (ac_rows_check(&g, &f, &err)) fail_msg("%s", err.text);
    list_is(&g, want);
    ac_findings_release(&g);
    ac_rows_release(&f);
    assert_int_equal(ac_live_bytes(), 0);
}

#define P(p, c) "{\"prompt\":\"" p "\",\"completion\":\"" c "\"}\n"

static void duplicates_and_conflicts(void **state)
{
    (void)state;
    checked(P("a", "1") P("b", "2"), "");
    checked(P("a", "1") P("b", "2") P("a", "1") P("a", "1"), "duplicate:1:3:2");
    checked(P("how many?", "1") P("How  many", "2") P("how many?", "1"), "duplicate:1:3:1 conflict:1:2:1");
    checked(P("how many?", "one") P("How many", "One."), "");      /* the same answer in words is no conflict */
    checked("{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\":\"a\"}\n", "duplicate:1:3:1");
    checked(P("<", "1") P(">", "2"), "");                          /* operators are words */
    checked(P("?", "1") P("!", "2"), "");                          /* no words at all: nothing to compare */
}

static void empty_and_unanswered(void **state)
{
    (void)state;
    checked(P("", "x") P("y", " \\n"), "empty:1:0:0 empty:2:0:0");
    checked("{\"messages\":[{\"role\":\"user\",\"content\":\"only asked\"}]}\n", "no-answer:1:0:0");
}

static void unicode(void **state)
{
    (void)state;
    checked(P("caf\\u00e9 \\ud83d\\udc69\\u200d\\ud83d\\ude80 \\u4e2d\\u6587", "ok \\t\\n"), "");
    checked(P("loose \\u200d joiners \\u200c", "x"), "unicode:1:0:2");
    checked(P("p\\u0430ypal and cafe\\u0301", "x"), "unicode-mixed:1:0:1 unicode-nfc:1:0:1");
    checked(P("a\\u202eb", "x"), "!unicode-hidden:1:0:1");
    checked(P("a\\udb40\\udc41b", "x"), "!unicode-hidden:1:0:1");       /* a tag letter */
    checked(P("\\ud83c\\udff4\\udb40\\udc67\\udb40\\udc62\\udb40\\udc65\\udb40\\udc6e\\udb40\\udc67\\udb40\\udc7f", "x"),
            "");                                                        /* the flag of England */
    checked(P("zero\\u200bwidth", "x") P("b", "re\\ufffdplaced"), "unicode:1:0:1 unicode:2:0:1");
    checked(P("bell\\u0007", "x"), "unicode:1:0:1");
}

static void overlapped(const char *train, const char *valid, const char *want)
{
    ac_row_file a = { 0 }, b = { 0 };
    ac_findings g = { 0 };
    ac_err err = { 0 };
    rows_of(&a, "t.jsonl", train);
    rows_of(&b, "v.jsonl", valid);
    if (ac_rows_overlap(&g, &a, &b, &err)) fail_msg("%s", err.text);
    list_is(&g, want);
    ac_findings_release(&g);
    ac_rows_release(&a);
    ac_rows_release(&b);
    assert_int_equal(ac_live_bytes(), 0);
}

static void training_and_validation(void **state)
{
    (void)state;
    overlapped(P("a", "1"), P("b", "1"), "");
    overlapped(P("a", "1") P("b", "2"), P("c", "3") P("b", "2") P("B!", "2"), "!train-valid:2:2:2");
    overlapped(P("a", "1") P("b", "2"), P("b", "3") P("a", "1"), "!train-valid:2:1:1 train-valid-prompt:1:2:1");
    overlapped("{\"text\":\"x y\"}\n", "{\"text\":\"X, y.\"}\n", "!train-valid:1:1:1");
}

/* Ids are what --accept-leak names: the same finding has the same id, another one another. */
static void ids_are_stable(void **state)
{
    (void)state;
    ac_row_file a = { 0 }, b = { 0 };
    ac_findings g[3] = { 0 };
    rows_of(&a, "t.jsonl", P("a", "1") P("b", "2"));
    rows_of(&b, "v.jsonl", P("a", "1"));
    assert_int_equal(ac_rows_overlap(&g[0], &a, &b, NULL), AC_OK);
    assert_string_equal(g[0].finding[0].id, "train-valid-c1838e34");    /* fixed: accepted ids stand in locks */
    ac_rows_release(&a);
    rows_of(&a, "t.jsonl", P("b", "2") P("z", "9") P("a", "1"));
    assert_int_equal(ac_rows_overlap(&g[1], &a, &b, NULL), AC_OK);
    assert_string_equal(g[0].finding[0].id, g[1].finding[0].id);
    ac_rows_release(&b);
    rows_of(&b, "v.jsonl", P("a", "1") P("z", "9"));
    assert_int_equal(ac_rows_overlap(&g[2], &a, &b, NULL), AC_OK);
    assert_string_not_equal(g[0].finding[0].id, g[2].finding[0].id);
    for (int i = 0; i < 3; i++) ac_findings_release(&g[i]);
    ac_rows_release(&a);
    ac_rows_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(duplicates_and_conflicts), cmocka_unit_test(empty_and_unanswered), cmocka_unit_test(unicode),
        cmocka_unit_test(training_and_validation), cmocka_unit_test(ids_are_stable),
    };
    if (df_open()) return 1;
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    df_close();
    return rc;
}
