/* Every tampering with the audit chain, at its beginning, middle and end, and what sees it: the chain itself, or only a head
 * that was noted elsewhere (A1, A2, A4). */
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
#include "ledger/ledger.h"

#define N 5

static char dir[64], other[64], path[96];
static char *record[N];              /* lines with their ends, as they were written */
static ac_audit_head head[N + 1];    /* after each */

static char *copy(const char *text, size_t len)
{
    char *s = calloc(1, len + 1);
    assert_non_null(s);
    memcpy(s, text, len);
    return s;
}

static void append(const char *project, const char *act, int i)
{
    char fields[64];
    ac_err err = { 0 };
    (void)snprintf(fields, sizeof fields, "\"lock\":\"aa\",\"cases\":%d", 40 + i);
    if (ac_audit_append(project, act, fields, &err)) fail_msg("%s", err.text);
}

static int setup(void **state)
{
    (void)state;
    ac_str s = { 0 };
    (void)strcpy(dir, "/tmp/accord-tamper-XXXXXX");
    (void)strcpy(other, "/tmp/accord-tamper-XXXXXX");
    if (!mkdtemp(dir) || !mkdtemp(other)) return -1;
    (void)snprintf(path, sizeof path, "%s/.accord/audit.jsonl", dir);
    for (int i = 0; i < N; i++) {
        append(dir, i % 2 ? "opening" : "freeze", i);
        if (ac_audit_verify(dir, &head[i + 1], NULL)) return -1;
    }
    if (ac_file_read(&s, path, 1 << 20, NULL)) return -1;
    const char *p = ac_str_c(&s);
    for (int i = 0; i < N; i++) {
        const char *lf = strchr(p, '\n');
        record[i] = copy(p, (size_t)(lf - p) + 1);
        p = lf + 1;
    }
    ac_str_release(&s);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++) free(record[i]);
    (void)ac_remove_tree(dir, NULL);
    (void)ac_remove_tree(other, NULL);
    return 0;
}

static void write_lines(const char *const *line, size_t n)
{
    ac_str s = { 0 };
    for (size_t i = 0; i < n; i++) ac_str_append_c(&s, line[i]);
    assert_int_equal(ac_file_write_atomic(path, ac_str_c(&s), s.len, NULL), AC_OK);
    ac_str_release(&s);
}

static void expect_bad(const char *what, size_t line)
{
    ac_err err = { 0 };
    ac_audit_head h;
    char place[32];
    (void)snprintf(place, sizeof place, ".jsonl:%zu: ", line);
    if (ac_audit_verify(dir, &h, &err) != AC_ENO) fail_msg("%s at line %zu was not seen", what, line);
    if (!strstr(err.text, place)) fail_msg("%s at line %zu: \"%s\"", what, line, err.text);
    err = (ac_err){ 0 };
    if (ac_audit_append(dir, "after", NULL, &err) != AC_ESTATE) fail_msg("%s: an act was put on top of it", what);
    /* A head check says no as well, and for the chain's own reason. */
    if (ac_audit_check_head(dir, &head[1], "x", NULL) != AC_ENO) fail_msg("%s: a head was accepted", what);
}

static void edits(void **state)
{
    (void)state;
    for (size_t at = 0; at < N; at++) {
        const char *line[N];
        memcpy(line, record, sizeof line);
        char *changed = copy(record[at], strlen(record[at]));
        char *digit = strstr(changed, "\"cases\":4");
        assert_non_null(digit);
        digit[9] = '9';
        line[at] = changed;
        write_lines(line, N);
        expect_bad("an edit", at + 1);
        free(changed);
    }
}

/* The record that would stand behind `at` records, correctly linked, of another act. */
static char *forged(size_t at)
{
    ac_str s = { 0 }, t = { 0 };
    char file[160], folder[96];
    (void)ac_remove_tree(other, NULL);
    (void)snprintf(folder, sizeof folder, "%s/.accord", other);
    (void)snprintf(file, sizeof file, "%s/audit.jsonl", folder);
    assert_int_equal(ac_mkdir_p(folder, NULL), AC_OK);
    for (size_t i = 0; i < at; i++) ac_str_append_c(&s, record[i]);
    if (at) assert_int_equal(ac_file_write_atomic(file, ac_str_c(&s), s.len, NULL), AC_OK);
    append(other, "forged", 9);
    assert_int_equal(ac_file_read(&t, file, 1 << 20, NULL), AC_OK);
    char *out = copy(ac_str_c(&t) + s.len, t.len - s.len);
    ac_str_release(&s);
    ac_str_release(&t);
    return out;
}

static void replaced_with_its_hash_set_right(void **state)
{
    (void)state;
    for (size_t at = 0; at < N; at++) {
        const char *line[N];
        char *f = forged(at);
        memcpy(line, record, sizeof line);
        line[at] = f;
        write_lines(line, N);
        if (at + 1 < N) {
            expect_bad("a replaced record", at + 2);
        } else {                                     /* nothing stands on the last one: only a head can tell */
            ac_err err = { 0 };
            ac_audit_head h;
            assert_int_equal(ac_audit_verify(dir, &h, NULL), AC_OK);
            assert_int_equal(ac_audit_check_head(dir, &head[N], "the verdict", &err), AC_ENO);
            assert_non_null(strstr(err.text, "written anew"));
            assert_non_null(strstr(err.text, "the verdict"));
        }
        free(f);
    }
}

static void insertions(void **state)
{
    (void)state;
    for (size_t at = 0; at <= N; at++) {
        const char *line[N + 1];
        char *f = forged(at);
        for (size_t i = 0; i < at; i++) line[i] = record[i];
        line[at] = f;
        for (size_t i = at; i < N; i++) line[i + 1] = record[i];
        write_lines(line, N + 1);
        if (at < N) {
            expect_bad("an insertion", at + 2);
        } else {
            /* Behind the last one it is what any act is; heads noted before it still hold, as they should. */
            assert_int_equal(ac_audit_check_head(dir, &head[N], "x", NULL), AC_OK);
        }
        free(f);
    }
    const char *line[N + 1];
    for (size_t at = 0; at < N; at++) {              /* the same record twice */
        for (size_t i = 0; i <= at; i++) line[i] = record[i];
        for (size_t i = at; i < N; i++) line[i + 1] = record[i];
        write_lines(line, N + 1);
        expect_bad("a doubled record", at + 2);
    }
}

static void deletions(void **state)
{
    (void)state;
    for (size_t at = 0; at + 1 < N; at++) {
        const char *line[N];
        size_t n = 0;
        for (size_t i = 0; i < N; i++)
            if (i != at) line[n++] = record[i];
        write_lines(line, n);
        expect_bad("a deletion", at + 1);
    }
}

static void reorderings(void **state)
{
    (void)state;
    for (size_t i = 0; i < N; i++)
        for (size_t k = i + 1; k < N; k++) {
            const char *line[N];
            memcpy(line, record, sizeof line);
            line[i] = record[k];
            line[k] = record[i];
            write_lines(line, N);
            expect_bad("two records changed places", i + 1);
        }
}

static void truncation_shows_against_a_head(void **state)
{
    (void)state;
    for (size_t left = 0; left < N; left++) {
        ac_audit_head h;
        write_lines((const char *const *)record, left);
        assert_int_equal(ac_audit_verify(dir, &h, NULL), AC_OK);       /* by itself it looks whole */
        for (size_t seen = 0; seen <= N; seen++) {
            ac_err err = { 0 };
            const ac_status st = ac_audit_check_head(dir, &head[seen], "run 7", &err);
            if (st != (seen <= left ? AC_OK : AC_ENO)) fail_msg("%zu left, head of %zu: %s", left, seen, err.text);
            if (st && (!strstr(err.text, "cut off") || !strstr(err.text, "run 7"))) fail_msg("%s", err.text);
        }
    }
}

static void a_chain_written_anew_shows_against_a_head(void **state)
{
    (void)state;
    ac_audit_head h;
    assert_int_equal(ac_remove_tree(path, NULL), AC_OK);
    for (int i = 0; i < N + 3; i++) append(dir, i % 2 ? "opening" : "freeze", i + 1);
    assert_int_equal(ac_audit_verify(dir, &h, NULL), AC_OK);
    for (size_t seen = 1; seen <= N; seen++) {
        ac_err err = { 0 };
        assert_int_equal(ac_audit_check_head(dir, &head[seen], "x", &err), AC_ENO);
        assert_non_null(strstr(err.text, "written anew"));
    }
    assert_int_equal(ac_audit_check_head(dir, &head[0], "x", NULL), AC_OK);
    /* A fork: the old beginning with another end. */
    write_lines((const char *const *)record, 3);
    append(dir, "forged", 1);
    append(dir, "forged", 2);
    for (size_t seen = 1; seen <= N; seen++)
        assert_int_equal(ac_audit_check_head(dir, &head[seen], "x", NULL), seen <= 3 ? AC_OK : AC_ENO);
}

static void a_torn_end_is_no_tampering(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_audit_head h;
    uint64_t n = 0;
    char half[40];
    memcpy(half, record[N - 1], sizeof half - 1);
    half[sizeof half - 1] = '\0';
    const char *line[N] = { record[0], record[1], record[2], record[3], half };
    write_lines(line, N);
    assert_int_equal(ac_audit_verify(dir, &h, &err), AC_ENO);
    assert_non_null(strstr(err.text, "torn"));
    append(dir, "freeze", 1);
    assert_int_equal(ac_audit_verify(dir, &h, NULL), AC_OK);
    assert_int_equal(h.count, N - 1 + 2);
    assert_int_equal(ac_audit_count(dir, "recovered", NULL, &n, NULL), AC_OK);
    assert_int_equal(n, 1);
    assert_int_equal(ac_audit_check_head(dir, &head[N - 1], "x", NULL), AC_OK);
    assert_int_equal(ac_audit_check_head(dir, &head[N], "x", NULL), AC_ENO);      /* its record is gone, and that shows */
}

static void heads_are_text(void **state)
{
    (void)state;
    ac_audit_head h = { 0 };
    char text[AC_AUDIT_HEAD_TEXT];
    ac_audit_head_text(text, &head[3]);
    assert_int_equal(ac_audit_head_parse(&h, text, NULL), AC_OK);
    assert_int_equal(h.count, 3);
    assert_memory_equal(h.head.byte, head[3].head.byte, sizeof h.head.byte);
    static const char *const wrong[] = { "", "3", ":", "3:", "x:00", "-1:00", "3:zz", " 3:00", "3:00" };
    for (size_t i = 0; i < AC_COUNTOF(wrong); i++) assert_int_equal(ac_audit_head_parse(&h, wrong[i], NULL), AC_EARG);
    text[strlen(text) - 1] = '\0';
    assert_int_equal(ac_audit_head_parse(&h, text, NULL), AC_EARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits),
        cmocka_unit_test(replaced_with_its_hash_set_right),
        cmocka_unit_test(insertions),
        cmocka_unit_test(deletions),
        cmocka_unit_test(reorderings),
        cmocka_unit_test(truncation_shows_against_a_head),
        cmocka_unit_test(a_chain_written_anew_shows_against_a_head),
        cmocka_unit_test(a_torn_end_is_no_tampering),
        cmocka_unit_test(heads_are_text),
    };
    return cmocka_run_group_tests(tests, setup, teardown);   /* each test writes the file that it needs */
}
