/* store/store.h: our own statements, and a stranger's query that must only read and must end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store.h"

static const ac_query_limits lim = { .max_rows = 100, .max_bytes = 10000, .max_ms = 2000, .max_steps = 1000000 };

static ac_store *open_filled(void)
{
    ac_store *s = NULL;
    ac_err err = { 0 };
    if (ac_store_open(&s, ":memory:", false, &err)) fail_msg("%s", err.text);
    if (ac_store_exec(s, "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t VALUES(1,'x'),(2,NULL),(3,'z')", &err))
        fail_msg("%s", err.text);
    return s;
}

static void test_own(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_store *s = open_filled();
    ac_stmt *q = NULL;
    bool row = false;
    assert_int_equal(ac_stmt_open(&q, s, "INSERT INTO t VALUES(?,?)", &err), AC_OK);
    assert_int_equal(ac_stmt_bind_i64(q, 1, 9, &err), AC_OK);
    assert_int_equal(ac_stmt_bind_text(q, 2, AC_VIEW("O'Hara"), &err), AC_OK);
    assert_int_equal(ac_stmt_step(q, &row, &err), AC_OK);
    assert_false(row);
    ac_stmt_close(&q);
    assert_int_equal(ac_stmt_open(&q, s, "SELECT b, a, a / 2.0 FROM t WHERE a = ?", &err), AC_OK);
    assert_int_equal(ac_stmt_bind_f64(q, 1, 9, &err), AC_OK);
    assert_int_equal(ac_stmt_step(q, &row, &err), AC_OK);
    assert_true(row && ac_view_eq_str(ac_stmt_text(q, 0), "O'Hara"));
    assert_true(ac_stmt_i64(q, 1) == 9 && ac_stmt_f64(q, 2) == 4.5);
    ac_stmt_reset(q);
    ac_stmt_close(&q);
    assert_int_equal(ac_stmt_open(&q, s, "SELECT nothing", &err), AC_EFORMAT);
    ac_store_close(&s);
}

static void test_query(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_arena a = { 0 };
    ac_rows r = { 0 };
    ac_store *s = open_filled();
    if (ac_store_query(s, AC_VIEW("SELECT a, b AS name, 1.5 FROM t ORDER BY a;\n"), &lim, &a, &r, &err)) fail_msg("%s", err.text);
    assert_true(r.n_rows == 3 && r.n_cols == 3);
    assert_string_equal(r.col[1], "name");
    assert_true(r.cell[0].type == AC_CELL_INT && r.cell[0].i == 1);
    assert_true(r.cell[4].type == AC_CELL_NULL && r.cell[5].type == AC_CELL_REAL && r.cell[5].r == 1.5);
    assert_true(ac_view_eq_str(r.cell[7].text, "z"));
    if (ac_store_query(s, AC_VIEW("SELECT a FROM t WHERE 0"), &lim, &a, &r, &err)) fail_msg("%s", err.text);
    assert_true(r.n_rows == 0 && r.n_cols == 1);
    ac_store_close(&s);
    ac_arena_release(&a);
    assert_int_equal(ac_live_bytes(), 0);
}

static void test_refused(void **state)
{
    (void)state;
    const struct { const char *sql; ac_status st; const char *says; } rows[] = {
        { "DELETE FROM t", AC_EREFUSED, "more than read" },
        { "INSERT INTO t VALUES(1,2) RETURNING a", AC_EREFUSED, "more than read" },
        { "DROP TABLE t", AC_EREFUSED, "more than read" },
        { "PRAGMA user_version = 3", AC_EREFUSED, "more than read" },
        { "ATTACH '/tmp/x' AS y", AC_EREFUSED, "more than read" },
        { "BEGIN", AC_EREFUSED, "more than read" },
        { "SELECT random()", AC_EREFUSED, "more than read" },
        { "SELECT load_extension('x')", AC_EREFUSED, "more than read" },
        { "SELECT 1; SELECT 2", AC_EFORMAT, "more than one" },
        { "", AC_EFORMAT, "no query" }, { "-- nothing", AC_EFORMAT, "no query" },
        { "SELEC 1", AC_EFORMAT, "syntax" }, { "SELECT x FROM t", AC_EFORMAT, "no such column" },
        { "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r) SELECT count(*) FROM r", AC_EREFUSED, "too much work" },
        { "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r LIMIT 500) SELECT i FROM r", AC_EREFUSED, "too many rows" },
        { "SELECT printf('%20000d', 1)", AC_EREFUSED, "too many bytes" },
        { "SELECT length(replace(hex(printf('%60000d', 1)), '2', printf('%60000d', 1)))", AC_EREFUSED, "too many bytes" },
        { "SELECT length(group_concat(printf('%60000d', a))) FROM t", AC_EREFUSED, "too many bytes" },
        { "SELECT 'aaaa' LIKE printf('%.*c', 2000, '%')", AC_EFORMAT, "pattern too complex" },
    };
    ac_store *s = open_filled();
    for (size_t i = 0; i < AC_COUNTOF(rows); i++) {
        ac_err err = { 0 };
        ac_arena a = { 0 };
        ac_rows r = { 0 };
        const ac_status st = ac_store_query(s, ac_view_of(rows[i].sql), &lim, &a, &r, &err);
        if (st != rows[i].st || !strstr(err.text, rows[i].says))
            fail_msg("%s gave %s: %s", rows[i].sql, ac_status_name(st), err.text);
        ac_arena_release(&a);
    }
    ac_err err = { 0 };
    ac_arena a = { 0 };
    ac_rows r = { 0 };
    assert_int_equal(ac_store_query(s, AC_VIEW("SELECT count(*) FROM t"), &lim, &a, &r, &err), AC_OK);
    assert_true(r.cell[0].i == 3);
    ac_stmt *q = NULL;                       /* our own statements are not held to a stranger's limits */
    bool row = false;
    assert_int_equal(ac_stmt_open(&q, s, "SELECT length(printf('%.*c', 1000000, 'x'))", &err), AC_OK);
    assert_int_equal(ac_stmt_step(q, &row, &err), AC_OK);
    assert_true(row && ac_stmt_i64(q, 0) == 1000000);
    ac_stmt_close(&q);
    ac_arena_release(&a);
    ac_store_close(&s);
}

static void test_open(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_store *s = NULL;
    assert_int_equal(ac_store_open(&s, "/nowhere/x.db", true, &err), AC_ENOENT);
    char path[] = "/tmp/accord-store-XXXXXX";
    const int fd = mkstemp(path);
    assert_int_equal(write(fd, "this is text, and long enough to be no header of a database file at all......"
                               "...........................", 100), 100);
    close(fd);
    err = (ac_err){ 0 };
    assert_int_equal(ac_store_open(&s, path, true, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, path));
    assert_null(s);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own), cmocka_unit_test(test_query), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
