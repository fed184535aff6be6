/* Keys that nothing reads: named once a file with their rows, and a warning where they seem meant to do something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "data/survey.h"
#include "data/unread.h"
#include "data_fixture.h"

#define TURNS "[{\"role\":\"user\",\"content\":\"a b\"},{\"role\":\"assistant\",\"content\":\"c\"}]"

static ac_row_file rows_of(const char *text)
{
    ac_row_file f = { 0 };
    ac_err err = { "" };
    if (ac_rows_read(&f, df_text("u.jsonl", text), AC_FORMAT_AUTO, &err)) fail_msg("%s", err.text);
    return f;
}

static const ac_unread_key *key_of(const ac_unread *u, const char *name)
{
    for (size_t i = 0; i < u->n; i++)
        if (ac_view_eq_str(u->key[i].name, name)) return &u->key[i];
    fail_msg("no key %s", name);
    return NULL;
}

/* Every key that a format reads, with a value, leaves no word. */
static void what_is_read(void **state)
{
    static const char *const text[] = {
        "{\"text\":\"a\"}",
        "{\"prompt\":\"a\",\"completion\":\"b\"}",
        "{\"prompt\":[{\"role\":\"user\",\"content\":\"a\"}],\"completion\":[{\"role\":\"assistant\",\"content\":\"b\"}],"
        "\"tools\":[{\"name\":\"f\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"name\":\"x\"},{\"role\":\"assistant\",\"content\":null,\"weight\":1,"
        "\"tool_calls\":[{\"id\":\"1\"}]},{\"role\":\"tool\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\","
        "\"train\":true,\"loss_weight\":1}],\"tools\":[{\"name\":\"f\"}]}",
        "{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"b\",\"weight\":1}],"
        "\"system\":\"s\",\"tools\":\"[]\"}",
        "{\"conversations\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}",
        "{\"instruction\":\"a\",\"input\":\"b\",\"output\":\"c\",\"system\":\"d\",\"history\":[[\"e\",\"f\"]]}",
        /* nothing is said by these */
        "{\"text\":\"a\",\"weight\":null,\"system\":\" \",\"tools\":[],\"meta\":{}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) {
        ac_row_file f = rows_of(text[i]);
        if (f.unread.n) fail_msg("row %zu: \"%s\" is said to be unread", i, f.unread.key[0].name.ptr);
        ac_rows_release(&f);
    }
}

static void what_is_not(void **state)
{
    static const struct {
        const char *row, *key, *near;
        bool in_turn, warns;
    } known[] = {
        { "{\"text\":\"a\",\"mesages\":" TURNS "}", "mesages", "messages", false, true },
        { "{\"text\":\"a\",\"Massages\":" TURNS "}", "Massages", "messages", false, true },
        { "{\"text\":\"a\",\"weight\":0.5}", "weight", NULL, false, true },
        { "{\"messages\":" TURNS ",\"train\":false}", "train", NULL, false, true },
        { "{\"messages\":" TURNS ",\"system\":\"s\"}", "system", NULL, false, true },
        { "{\"prompt\":\"a\",\"completion\":\"b\",\"tools\":[1]}", "tools", NULL, false, true },
        { "{\"instruction\":\"a\",\"output\":\"b\",\"imput\":\"c\"}", "imput", "input", false, true },
        { "{\"instruction\":\"a\",\"output\":\"b\",\"tools\":[1]}", "tools", NULL, false, true },
        { "{\"prompt\":\"a\",\"completion\":\"b\",\"context\":\"c\"}", "context", NULL, false, true },
        { "{\"messages\":" TURNS ",\"tool\":[1]}", "tool", "tools", false, true },
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\",\"wieght\":0}]}", "wieght",
          "weight", true, true },
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\",\"reasoning_content\":\"c\"}]}",
          "reasoning_content", NULL, true, true },
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\",\"tool_call_id\":\"c\"}]}",
          "tool_call_id", NULL, true, false },
        { "{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"b\",\"content\":\"c\"}]}", "content",
          NULL, true, false },
        { "{\"text\":\"a\",\"id\":0}", "id", NULL, false, false },
        { "{\"text\":\"a\",\"source\":\"web\"}", "source", NULL, false, false },
        { "{\"text\":\"a\",\"test\":false}", "test", NULL, false, false },
        { "{\"text\":\"a\",\"text2\":\"b\"}", "text2", NULL, false, false },          /* what it is near to is there */
        { "{\"messages\":" TURNS ",\"prompt\":\"a b\"}", "prompt", NULL, false, false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ac_row_file f = rows_of(known[i].row);
        ac_findings found = { 0 };
        ac_err err = { "" };
        const ac_unread_key *k = key_of(&f.unread, known[i].key);
        if (f.unread.n != 1) fail_msg("%s: %zu keys", known[i].key, f.unread.n);
        assert_int_equal(k->in_turn, known[i].in_turn);
        if (k->severity != (known[i].warns ? AC_FIND_WARN : AC_FIND_NOTE)) fail_msg("%s: severity", known[i].key);
        if (known[i].near) assert_string_equal(k->near, known[i].near);
        else assert_null(k->near);
        assert_int_equal(ac_rows_check(&found, &f, &err), AC_OK);
        assert_string_equal(found.finding[0].kind, "unread-key");
        assert_int_equal(found.finding[0].line_a, 1);
        assert_non_null(strstr(found.finding[0].text, known[i].key));
        ac_findings_release(&found);
        ac_rows_release(&f);
    }
}

/* A key counts once a row; the whole file and its blocks on any number of threads give the same list. */
static void counted(void **state)
{
    ac_str s = { 0 };
    (void)state;
    for (unsigned i = 0; i < 60000; i++)
        ac_str_appendf(&s, "{\"messages\":[{\"role\":\"user\",\"content\":\"a%u\",\"mood\":1},{\"role\":\"assistant\",\"content\":\"c\","
                       "\"mood\":2}]%s%s}\n", i, i % 3 == 1 ? ",\"weight\":2" : "", i == 59999 ? ",\"late\":1" : "");
    assert_true(ac_str_ok(&s) && s.len > 3u << 20);          /* some blocks */
    ac_row_file f = rows_of(ac_str_c(&s));
    assert_int_equal(f.unread.n, 3);
    assert_int_equal(key_of(&f.unread, "mood")->n_rows, 60000);
    assert_int_equal(key_of(&f.unread, "weight")->n_rows, 20000);
    assert_int_equal(key_of(&f.unread, "weight")->first_line, 2);
    assert_int_equal(key_of(&f.unread, "late")->first_line, 60000);
    for (size_t threads = 1; threads <= 3; threads += 2) {
        const ac_survey_input in = { df_path("u.jsonl"), AC_SPLIT_NONE };
        ac_pool *pool = NULL;
        ac_survey v = { .n_files = 0 };
        ac_err err = { "" };
        assert_int_equal(ac_pool_open(&pool, threads, &err), AC_OK);
        const ac_survey_opts o = { .pool = pool };
        if (ac_survey_run(&v, &in, 1, &o, &err)) fail_msg("%s", err.text);
        assert_int_equal(v.file[0].n_unread, 3);
        for (size_t i = 0; i < 3; i++) {
            const ac_unread_key *a = &v.file[0].unread[i], *b = &f.unread.key[i];
            assert_true(ac_view_eq(a->name, b->name));
            assert_int_equal(a->n_rows, b->n_rows);
            assert_int_equal(a->first_line, b->first_line);
            assert_int_equal(a->severity, b->severity);
        }
        size_t n = 0;
        for (size_t i = 0; i < v.found.n; i++) n += strcmp(v.found.finding[i].kind, "unread-key") == 0;
        assert_int_equal(n, 3);
        ac_survey_release(&v);
        ac_pool_close(&pool);
    }
    ac_rows_release(&f);
    ac_str_release(&s);
}

/* Rows that use keys as data: the first are named, the others counted. */
static void many(void **state)
{
    ac_str s = { 0 };
    ac_findings found = { 0 };
    ac_err err = { "" };
    (void)state;
    for (unsigned i = 0; i < 100; i++) ac_str_appendf(&s, "{\"text\":\"a\",\"key %u\":1,\"word %u\":1}\n", i, i);
    ac_row_file f = rows_of(ac_str_c(&s));
    assert_int_equal(f.unread.n, AC_UNREAD_MAX);
    assert_int_equal(f.unread.n_others, 100 - AC_UNREAD_MAX / 2);
    assert_int_equal(ac_unread_report(&found, &f.unread, f.format, &err), AC_OK);
    assert_int_equal(found.n, AC_UNREAD_MAX + 1);
    ac_findings_release(&found);
    ac_rows_release(&f);
    ac_str_reset(&s);
    /* a name that is cut is cut between characters */
    ac_str_append_c(&s, "{\"text\":\"a\",\"x");
    for (unsigned i = 0; i < 100; i++) ac_str_append_c(&s, "\xc3\xa9");
    ac_str_append_c(&s, "\":1}\n");
    f = rows_of(ac_str_c(&s));
    assert_int_equal(ac_unread_report(&found, &f.unread, f.format, &err), AC_OK);
    assert_true(ac_utf8_valid(ac_view_of(found.finding[0].text), NULL));
    ac_findings_release(&found);
    ac_rows_release(&f);
    ac_str_release(&s);
}

static int setup(void **state)
{
    (void)state;
    return df_open();
}

static int teardown(void **state)
{
    (void)state;
    df_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read), cmocka_unit_test(what_is_not), cmocka_unit_test(counted), cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
