#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/pool.h"

/* One scenario over everything in base that allocates or touches files, failed at its n-th
 * allocation and its n-th I/O call and at all that follow (robustness.md, section 6). */

static char dir[64];

static const char *in(char buf[128], const char *name)
{
    (void)snprintf(buf, 128, "%s/%s", dir, name);
    return buf;
}

static ac_status strings(ac_err *err)
{
    ac_str s = { 0 };
    for (int i = 0; i < 300; i++) ac_str_appendf(&s, "number %d ", i);
    const ac_status st = ac_str_ok(&s) ? AC_OK : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    return st;
}

static ac_status arenas(ac_err *err)
{
    ac_arena a = { 0 };
    ac_status st = AC_OK;
    for (size_t i = 0; i < 200 && !st; i++)
        if (!ac_arena_alloc(&a, i * 10) || !ac_arena_printf(&a, "%zu", i)) st = ac_fail_nomem(err, i);
    ac_arena_release(&a);
    return st;
}

static ac_status read_lines(const char *path, ac_err *err)
{
    ac_lines *l = NULL;
    ac_view line = { NULL, 0 };
    ac_status st = ac_lines_open(&l, path, 1 << 20, err);
    while (!st) {
        st = ac_lines_next(l, &line, NULL, err);
        if (!line.ptr) break;
    }
    ac_lines_close(&l);
    return st;
}

static ac_status logs(const char *path, ac_err *err)
{
    ac_appender *a = NULL;
    ac_status st = ac_appender_open(&a, path, err);
    if (!st) st = ac_appender_line(a, AC_VIEW("one line"), err);
    if (!st) st = ac_appender_sync(a, err);
    ac_appender_close(&a);
    return st;
}

static ac_status replace(const char *path, const char *data, size_t len, ac_err *err)
{
    ac_writer *w = NULL;
    ac_status st = ac_writer_open(&w, path, err);
    for (size_t at = 0; !st && at < len; at += 50000)
        st = ac_writer_write(w, data + at, len - at < 50000 ? len - at : 50000, err);
    if (!st) return ac_writer_commit(&w, err);
    ac_writer_abort(&w);
    return st;
}

static char big[200001];

static ac_status scenario(ac_err *err)
{
    char p[128], q[128];
    ac_str s = { 0 };
    ac_arena a = { 0 };
    ac_map m = { .ptr = NULL };
    ac_sha256 h;
    ac_lockfile *lock = NULL;
    ac_pool *pool = NULL;
    char **names;
    size_t n;
    uint64_t size;
    ac_view v;
    ac_status st = ac_mkdir_p(in(p, "a/b"), err);
    if (!st) st = ac_lockfile_take(&lock, in(p, "lock"), err);
    if (!st) st = replace(in(p, "a/b/f"), big, sizeof big - 1, err);
    if (!st) st = ac_file_write_atomic(in(p, "a/small"), "new", 3, err);
    if (!st) st = ac_file_read(&s, in(p, "a/b/f"), 1 << 20, err);
    if (!st) st = ac_file_read_arena(&v, &a, in(p, "a/b/f"), 1 << 20, err);
    if (!st) st = read_lines(in(p, "a/b/f"), err);
    if (!st) st = ac_map_open(&m, in(p, "a/b/f"), err);
    ac_map_close(&m);
    if (!st) st = ac_sha256_file(&h, in(p, "a/b/f"), err);
    if (!st) st = ac_file_size(in(p, "a/b/f"), &size, err);
    if (!st) st = logs(in(p, "a/log"), err);
    if (!st) st = ac_truncate(in(p, "a/log"), 0, err);
    if (!st) st = ac_dir_list(in(p, "a"), &a, &names, &n, err);
    if (!st) st = ac_rename(in(p, "a/log"), in(q, "a/log2"), err);
    if (!st) st = ac_dir_sync(in(p, "a"), err);
    if (!st) st = strings(err);
    if (!st) st = arenas(err);
    if (!st) st = ac_pool_open(&pool, 2, err);
    ac_pool_close(&pool);
    if (!st) st = ac_remove_tree(in(p, "a/b"), err);
    ac_lockfile_drop(&lock);
    ac_str_release(&s);
    ac_arena_release(&a);
    return st;
}

/* Whatever failed, a/small is the old text or the new one, and no temporary stays. */
static void check_left_behind(void)
{
    char p[128];
    ac_arena a = { 0 };
    char **names;
    size_t n;
    ac_view v;
    assert_int_equal(ac_file_read_arena(&v, &a, in(p, "a/small"), 10, NULL), AC_OK);
    assert_true(ac_view_eq_str(v, "old") || ac_view_eq_str(v, "new"));
    assert_int_equal(ac_dir_list(in(p, "a"), &a, &names, &n, NULL), AC_OK);
    for (size_t i = 0; i < n; i++) assert_null(strstr(names[i], ".tmp-"));
    if (ac_path_is_dir(in(p, "a/b"))) {
        assert_int_equal(ac_dir_list(in(p, "a/b"), &a, &names, &n, NULL), AC_OK);
        for (size_t i = 0; i < n; i++) assert_string_equal(names[i], "f");
    }
    ac_arena_release(&a);
}

static void fail_each(ac_fault_kind kind)
{
    char p[128];
    long nth = 1;
    for (;; nth++) {
        ac_err err = { "" };
        assert_int_equal(ac_mkdir_p(in(p, "a"), NULL), AC_OK);
        assert_int_equal(ac_file_write_atomic(in(p, "a/small"), "old", 3, NULL), AC_OK);
        ac_fault_arm(kind, nth);
        const ac_status st = scenario(&err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        assert_int_equal(ac_live_bytes(), 0);
        check_left_behind();
        assert_int_equal(ac_remove_tree(in(p, "a"), NULL), AC_OK);
        if (!fired) {
            assert_int_equal(st, AC_OK);
            break;
        }
        assert_true(err.text[0]);
        if (kind == AC_FAULT_ALLOC) assert_int_equal(st, AC_ENOMEM);
        else assert_true(st == AC_EIO || st == AC_ECREATE);
    }
    print_message("%ld points failed\n", nth - 1);
    assert_true(nth > 15);
}

static void every_allocation(void **state)
{
    (void)state;
    fail_each(AC_FAULT_ALLOC);
}

static void every_io_call(void **state)
{
    (void)state;
    fail_each(AC_FAULT_IO);
}

static void the_environment_arms_it(void **state)
{
    (void)state;
    static const char *const bad[] = { "alloc", "alloc:", "alloc:0", "alloc:-1", "io:x", "disk:1", ":1" };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        assert_int_equal(setenv("ACCORD_FAULT", bad[i], 1), 0);
        assert_false(ac_fault_arm_from_env());
    }
    assert_int_equal(setenv("ACCORD_FAULT", "alloc:2", 1), 0);
    assert_true(ac_fault_arm_from_env());
    void *first = ac_malloc(1), *second = ac_malloc(1), *third = ac_malloc(1);
    ac_fault_disarm();
    assert_true(first && !second && !third && ac_fault_fired());
    ac_free(first);
    assert_int_equal(unsetenv("ACCORD_FAULT"), 0);
    assert_true(ac_fault_arm_from_env());
    void *p = ac_malloc(1);
    assert_non_null(p);
    ac_free(p);
}

static int make_dir(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof big - 1; i++) big[i] = i % 100 == 99 ? '\n' : 'x';
    (void)snprintf(dir, sizeof dir, "/tmp/accord_test_fault.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    return ac_remove_tree(dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation),
        cmocka_unit_test(every_io_call),
        cmocka_unit_test(the_environment_arms_it),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
