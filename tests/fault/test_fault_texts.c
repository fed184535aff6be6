/* What the checks look at in cases and documents, under failing memory and reads: nothing leaked, a clean message, and never
 * a list that lacks something and passes for whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/fault.h"
#include "contract/texts.h"
#include "data_fixture.h"

typedef struct {
    ac_arena arena;
    ac_cases cases;
    ac_case_texts texts;
    ac_rag_text *doc;
    size_t n_docs;
    ac_row_file rows;
    ac_scanner *scanner;
    ac_findings scan, twins, in_rows, in_docs;
} state;

static char cases_path[400], rows_path[400], docs_path[400];

static ac_status look(state *s, ac_err *err)
{
    ac_status st = ac_scanner_open(&s->scanner, NULL, err);
    if (!st) st = ac_cases_read(&s->cases, cases_path, err);
    if (!st) st = ac_case_texts_make(&s->texts, &s->cases, &s->arena, err);
    if (!st) st = ac_rag_texts(&s->doc, &s->n_docs, &s->arena, docs_path, err);
    if (!st) st = ac_rows_read(&s->rows, rows_path, AC_FORMAT_AUTO, err);
    if (!st) st = ac_texts_scan_cases(&s->scan, s->scanner, &s->cases, true, err);
    if (!st) st = ac_texts_scan_documents(&s->scan, s->scanner, s->doc, s->n_docs, err);
    if (!st) st = ac_texts_odd_documents(&s->scan, s->doc, s->n_docs, err);
    if (!st) st = ac_texts_twins(&s->twins, &s->texts, err);
    if (!st) st = ac_texts_leaks_rows(&s->in_rows, &s->texts, &s->rows, err);
    if (!st) st = ac_texts_leaks_documents(&s->in_docs, &s->texts, s->doc, s->n_docs, err);
    return st;
}

static size_t count(const ac_findings *f, const char *kind, const char *path_a, size_t line_a, size_t line_b)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++) {
        const ac_finding *x = &f->finding[i];
        n += !strcmp(x->kind, kind) && !strcmp(x->path_a, path_a) && x->line_a == line_a && x->line_b == line_b;
    }
    return n;
}

static void all_is_found(const state *s)
{
    char doc[500];
    (void)snprintf(doc, sizeof doc, "%s/a.md", docs_path);
    assert_int_equal(count(&s->scan, "secret", cases_path, 3, 0), 1);
    assert_int_equal(count(&s->scan, "personal", cases_path, 2, 0), 1);
    assert_int_equal(count(&s->scan, "unicode-hidden", cases_path, 2, 0), 1);
    assert_int_equal(count(&s->scan, "unicode", cases_path, 3, 0), 1);         /* in an assertion's value */
    assert_int_equal(count(&s->scan, "personal", doc, 4, 0), 1);
    assert_int_equal(count(&s->scan, "unicode", doc, 4, 0), 1);
    assert_int_equal(count(&s->scan, "unicode", doc, 1, 0), 0);                /* a mark of byte order hides nothing */
    assert_int_equal(count(&s->twins, "case-duplicate", cases_path, 3, 4), 1);
    assert_int_equal(s->twins.n, 1);
    assert_int_equal(count(&s->in_rows, "leak-exact", cases_path, 3, 2), 1);
    assert_int_equal(count(&s->in_rows, "leak-exact", cases_path, 4, 2), 1);
    for (size_t i = 0; i < s->in_rows.n; i++) assert_string_not_equal(s->in_rows.finding[i].kind, "case-duplicate");
    assert_int_equal(count(&s->in_docs, "leak-canary", cases_path, 0, 6), 1);
    assert_int_equal(s->in_docs.n, 1);
    assert_string_equal(s->in_docs.finding[0].path_b, doc);
    for (size_t i = 0; i < s->scan.n; i++)
        if (!strncmp(s->scan.finding[i].kind, "unicode", 7)) assert_int_equal(s->scan.finding[i].severity, AC_FIND_WARN);
}

static ac_status scenario(ac_err *err)
{
    state s = { .n_docs = 0 };
    const ac_status st = look(&s, err);
    if (!st) all_is_found(&s);
    ac_findings_release(&s.scan);
    ac_findings_release(&s.twins);
    ac_findings_release(&s.in_rows);
    ac_findings_release(&s.in_docs);
    ac_rows_release(&s.rows);
    ac_cases_release(&s.cases);
    ac_scanner_close(&s.scanner);
    ac_arena_release(&s.arena);
    return st;
}

static void every(ac_fault_kind kind, long least)
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
            assert_true(nth > least);
            return;
        }
        if (st != (kind == AC_FAULT_ALLOC ? AC_ENOMEM : AC_EIO) || !err.text[0])
            fail_msg("fault %ld: %s, \"%s\"", nth, ac_status_name(st), err.text);
    }
}

static void every_allocation(void **none)
{
    (void)none;
    every(AC_FAULT_ALLOC, 20);
}

static void every_io_call(void **none)
{
    (void)none;
    every(AC_FAULT_IO, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation), cmocka_unit_test(every_io_call) };
    if (df_open() || ac_mkdir_p(df_path("docs"), NULL)) return 1;
    (void)snprintf(cases_path, sizeof cases_path, "%s", df_text("cases.jsonl",
        "{\"canary\":\"canary 7f3a9c\"}\n"
        "{\"id\":\"a\",\"turns\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Yes?\"},"
        "{\"role\":\"user\",\"content\":\"Where is the b\xe2\x80\xaeox of Ann?\"}],\"ideal\":\"Ask ann.lee@shop.example\"}\n"
        "{\"id\":\"b\",\"class\":\"edge\",\"input\":\"Which key opens it?\",\"ideal\":\"ghp_w9Xk2LmQ4rTz7VbN1cPd8SfGh3JyUe5A6oRi\","
        "\"assert\":[{\"type\":\"contains\",\"value\":\"to\xe2\x80\x8bken\"}]}\n"
        "{\"id\":\"c\",\"class\":\"edge\",\"input\":\"which KEY opens it\",\"ideal\":\"none\"}\n"));
    (void)snprintf(rows_path, sizeof rows_path, "%s", df_text("rows.jsonl",
        "{\"prompt\":\"p\",\"completion\":\"q\"}\n{\"prompt\":\"WHICH key opens it?\",\"completion\":\"None.\"}\n"));
    (void)df_text("docs/a.md", "\xef\xbb\xbf# Shop\n\nHello.\nWrite to bob.ray@shop.example\xe2\x80\x8b now.\n\ncanary 7f3a9c\n");
    (void)snprintf(docs_path, sizeof docs_path, "%s/docs", df_dir);
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    df_close();
    return rc;
}
