#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

static char dir[64];

static const char *in(const char *name)
{
    static char buf[4][256];
    static unsigned turn;
    char *b = buf[turn++ % 4];
    (void)snprintf(b, sizeof buf[0], "%s/%s", dir, name);
    return b;
}

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/accord_test_file.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    return ac_remove_tree(dir, NULL) || ac_path_exists(dir);
}

static void put(const char *name, const char *data, size_t len)
{
    assert_int_equal(ac_file_write_atomic(in(name), data, len, NULL), AC_OK);
}

static void expect_names(const char *want)
{
    ac_arena a = { 0 };
    char **names;
    size_t n;
    ac_str got = { 0 };
    assert_int_equal(ac_dir_list(dir, &a, &names, &n, NULL), AC_OK);
    for (size_t i = 0; i < n; i++) ac_str_appendf(&got, "%s ", names[i]);
    assert_string_equal(ac_str_c(&got), want);
    ac_str_release(&got);
    ac_arena_release(&a);
}

static void whole_files(void **state)
{
    (void)state;
    ac_str s = { 0 };
    ac_err err = { "" };
    put("whole", "a\0b\n", 4);
    assert_int_equal(ac_file_read(&s, in("whole"), 100, &err), AC_OK);
    assert_int_equal(s.len, 4);
    assert_memory_equal(s.ptr, "a\0b\n", 5);
    assert_int_equal(ac_file_read(&s, in("whole"), 4, &err), AC_OK);
    assert_int_equal(ac_file_read(&s, in("whole"), 3, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "has 4 bytes; at most 3"));
    assert_int_equal(s.len, 0);
    ac_str_release(&s);
    ac_arena a = { 0 };
    ac_view v = { NULL, 0 };
    assert_int_equal(ac_file_read_arena(&v, &a, in("whole"), 100, NULL), AC_OK);
    assert_int_equal(v.len, 4);
    assert_int_equal(v.ptr[4], '\0');
    put("empty", "", 0);
    assert_int_equal(ac_file_read_arena(&v, &a, in("empty"), 100, NULL), AC_OK);
    assert_true(v.ptr && v.len == 0);
    ac_arena_release(&a);
    uint64_t size = 0;
    assert_int_equal(ac_file_size(in("whole"), &size, NULL), AC_OK);
    assert_int_equal(size, 4);
}

static void only_regular_files_are_inputs(void **state)
{
    (void)state;
    ac_str s = { 0 };
    ac_map m;
    ac_lines *l = NULL;
    assert_int_equal(mkfifo(in("fifo"), 0600), 0);
    assert_int_equal(symlink("loop", in("loop")), 0);
    put("target", "x", 1);
    assert_int_equal(symlink("target", in("link")), 0);
    static const struct {
        const char *path, *text;
        ac_status st;
    } rows[] = {
        { "fifo", "is a FIFO", AC_EFORMAT }, { ".", "is a folder", AC_EFORMAT },
        { "loop", "cannot open", AC_EIO },   { "absent", "no such file", AC_ENOENT },
        { "target/x", "no such file", AC_ENOENT },
    };
    for (size_t i = 0; i < AC_COUNTOF(rows); i++) {
        ac_err e1 = { "" }, e2 = { "" }, e3 = { "" };
        assert_int_equal(ac_file_read(&s, in(rows[i].path), 10, &e1), rows[i].st);
        assert_int_equal(ac_map_open(&m, in(rows[i].path), &e2), rows[i].st);
        assert_int_equal(ac_lines_open(&l, in(rows[i].path), 10, &e3), rows[i].st);
        assert_non_null(strstr(e1.text, rows[i].text));
        assert_non_null(strstr(e2.text, rows[i].text));
        assert_non_null(strstr(e3.text, rows[i].text));
        assert_null(l);
    }
    ac_err err = { "" };
    assert_int_equal(ac_file_read(&s, "/dev/zero", 10, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "is a device"));
    assert_int_equal(ac_file_read(&s, in("link"), 10, NULL), AC_OK);
    ac_str_release(&s);
    unlink(in("fifo"));
    unlink(in("loop"));
}

static void expect_lines(const char *data, size_t len, size_t max, const char *want)
{
    ac_lines *l = NULL;
    ac_view line;
    ac_str got = { 0 };
    size_t number = 0, count = 0;
    put("lines", data, len);
    assert_int_equal(ac_lines_open(&l, in("lines"), max, NULL), AC_OK);
    for (;;) {
        const ac_status st = ac_lines_next(l, &line, &number, NULL);
        if (st) {
            ac_str_appendf(&got, "!%s", ac_status_name(st));
            break;
        }
        if (!line.ptr) break;
        assert_int_equal(number, ++count);
        ac_str_append_char(&got, '[');
        ac_str_append(&got, line);
        ac_str_append_char(&got, ']');
    }
    assert_string_equal(ac_str_c(&got), want);
    ac_str_release(&got);
    ac_lines_close(&l);
    assert_null(l);
}

static void lines(void **state)
{
    (void)state;
    expect_lines("", 0, 10, "");
    expect_lines("\n", 1, 10, "[]");
    expect_lines("a\r\n\r\nb", 6, 10, "[a][][b]");
    expect_lines("a\rb\nc\r", 6, 10, "[a\rb][c\r]");
    expect_lines("12345\n123456\n", 13, 5, "[12345]!EFORMAT");
    expect_lines("12345\r\n1", 8, 5, "[12345][1]");
    expect_lines("123456", 6, 5, "!EFORMAT");
    ac_err err = { "" };
    ac_lines *l = NULL;
    ac_view line;
    put("lines", "ok\ntoo long\n", 12);
    assert_int_equal(ac_lines_open(&l, in("lines"), 4, NULL), AC_OK);
    assert_int_equal(ac_lines_next(l, &line, NULL, &err), AC_OK);
    assert_int_equal(ac_lines_next(l, &line, NULL, &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "lines:2: line is longer than 4 bytes"));
    ac_lines_close(&l);
}

static void long_lines_cross_the_buffer(void **state)
{
    (void)state;
    ac_str all = { 0 };
    for (size_t i = 0; i < 300; i++) {
        for (size_t k = 0; k < i * 7919 % 200000; k++) ac_str_append_char(&all, (char)('a' + i % 26));
        ac_str_append_char(&all, '\n');
        if (i % 10 == 9 && all.len > 4000000) break;
    }
    put("long", all.ptr, all.len);
    ac_lines *l = NULL;
    ac_view line;
    size_t at = 0, n = 0;
    assert_int_equal(ac_lines_open(&l, in("long"), 200000, NULL), AC_OK);
    while (ac_lines_next(l, &line, &n, NULL) == AC_OK && line.ptr) {
        assert_memory_equal(line.ptr, all.ptr + at, line.len);
        at += line.len + 1;
    }
    assert_int_equal(at, all.len);
    ac_lines_close(&l);
    ac_str_release(&all);
}

static void maps(void **state)
{
    (void)state;
    ac_map m = { .ptr = NULL };
    put("map", "hello", 5);
    assert_int_equal(ac_map_open(&m, in("map"), NULL), AC_OK);
    assert_int_equal(m.len, 5);
    assert_memory_equal(m.ptr, "hello", 5);
    ac_map_close(&m);
    ac_map_close(&m);
    put("map", "", 0);
    assert_int_equal(ac_map_open(&m, in("map"), NULL), AC_OK);
    assert_true(!m.ptr && m.len == 0);
    ac_map_close(&m);
}

static void a_writer_shows_nothing_before_commit(void **state)
{
    (void)state;
    ac_writer *w = NULL;
    ac_str s = { 0 };
    char block[5000];
    memset(block, 'x', sizeof block);
    put("atomic", "old", 3);
    assert_int_equal(ac_writer_open(&w, in("atomic"), NULL), AC_OK);
    for (int i = 0; i < 40; i++) assert_int_equal(ac_writer_write(w, block, sizeof block, NULL), AC_OK);
    assert_int_equal(ac_file_read(&s, in("atomic"), 10, NULL), AC_OK);
    assert_string_equal(ac_str_c(&s), "old");
    ac_writer_abort(&w);
    assert_null(w);
    ac_writer_abort(&w);
    assert_int_equal(ac_writer_open(&w, in("atomic"), NULL), AC_OK);
    for (int i = 0; i < 40; i++) assert_int_equal(ac_writer_write(w, block, sizeof block, NULL), AC_OK);
    assert_int_equal(ac_writer_commit(&w, NULL), AC_OK);
    assert_null(w);
    assert_int_equal(ac_file_read(&s, in("atomic"), 1000000, NULL), AC_OK);
    assert_int_equal(s.len, 200000);
    for (size_t i = 0; i < s.len; i++) assert_int_equal(s.ptr[i], 'x');
    ac_str_release(&s);
    unlink(in("atomic"));
}

static void outputs_that_cannot_be(void **state)
{
    (void)state;
    ac_err err = { "" };
    assert_int_equal(ac_file_write_atomic(in("no/such/dir"), "x", 1, &err), AC_ECREATE);
    assert_non_null(strstr(err.text, "cannot create"));
    err = (ac_err){ "" };
    assert_int_equal(ac_file_write_atomic(dir, "x", 1, &err), AC_ECREATE);
    assert_non_null(strstr(err.text, "is a folder"));
    ac_appender *a = NULL;
    assert_int_equal(ac_appender_open(&a, "/dev/full", NULL), AC_ECREATE);
    assert_null(a);
    put("file", "x", 1);
    assert_int_equal(ac_mkdir_p(in("file/sub"), NULL), AC_ECREATE);
    assert_int_equal(ac_mkdir_p(in("file"), NULL), AC_ECREATE);
    assert_int_equal(ac_mkdir_p("", NULL), AC_EARG);
}

static void appending(void **state)
{
    (void)state;
    ac_appender *a = NULL;
    ac_str s = { 0 };
    assert_int_equal(ac_appender_open(&a, in("log"), NULL), AC_OK);
    assert_int_equal(ac_appender_line(a, AC_VIEW("one"), NULL), AC_OK);
    assert_int_equal(ac_appender_sync(a, NULL), AC_OK);
    ac_appender_close(&a);
    ac_appender_close(&a);
    assert_int_equal(ac_appender_open(&a, in("log"), NULL), AC_OK);
    assert_int_equal(ac_appender_line(a, AC_VIEW("two"), NULL), AC_OK);
    ac_appender_close(&a);
    assert_int_equal(ac_file_read(&s, in("log"), 100, NULL), AC_OK);
    assert_string_equal(ac_str_c(&s), "one\ntwo\n");
    assert_int_equal(ac_truncate(in("log"), 4, NULL), AC_OK);
    assert_int_equal(ac_file_read(&s, in("log"), 100, NULL), AC_OK);
    assert_string_equal(ac_str_c(&s), "one\n");
    assert_int_equal(ac_truncate(in("nothing"), 0, NULL), AC_ENOENT);
    ac_str_release(&s);
}

static void folders(void **state)
{
    (void)state;
    assert_int_equal(ac_mkdir_p(in("d/e/f"), NULL), AC_OK);
    assert_int_equal(ac_mkdir_p(in("d//e/f/"), NULL), AC_OK);
    assert_true(ac_path_is_dir(in("d/e/f")));
    assert_int_equal(ac_dir_sync(in("d"), NULL), AC_OK);
    put("d/e/x", "1", 1);
    put("outside", "1", 1);
    assert_int_equal(symlink("../../outside", in("d/e/link")), 0);
    assert_int_equal(symlink("..", in("d/up")), 0);
    assert_int_equal(ac_rename(in("d/e/x"), in("d/e/y"), NULL), AC_OK);
    assert_int_equal(ac_rename(in("d/e/x"), in("d/e/y"), NULL), AC_ECREATE);
    assert_int_equal(ac_remove_tree(in("d"), NULL), AC_OK);
    assert_int_equal(ac_remove_tree(in("d"), NULL), AC_OK);
    assert_false(ac_path_exists(in("d")));
    assert_true(ac_path_exists(in("outside")));
    ac_arena a = { 0 };
    char **names;
    size_t n;
    assert_int_equal(ac_dir_list(in("d"), &a, &names, &n, NULL), AC_ENOENT);
    assert_string_equal(ac_path_join(&a, "", "x"), "x");
    assert_string_equal(ac_path_join(&a, ".", "x"), "x");
    assert_string_equal(ac_path_join(&a, "a", "x"), "a/x");
    assert_string_equal(ac_path_join(&a, "a/", "x"), "a/x");
    assert_string_equal(ac_path_join(&a, "a", "/x"), "/x");
    ac_arena_release(&a);
}

static void names_come_sorted(void **state)
{
    (void)state;
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    assert_int_equal(ac_mkdir_p(dir, NULL), AC_OK);
    expect_names("");
    put("b", "", 0);
    put("B", "", 0);
    put("a", "", 0);
    put("\xc3\xa4", "", 0);
    expect_names("B a b \xc3\xa4 ");
}

static void components(void **state)
{
    (void)state;
    static const char *const good[] = { "a", "model-00001-of-00002.safetensors", "...", "A_b.9" };
    static const char *const bad[] = { "", ".", "..", "a/b", "../x", "/x", "a b", "a\n", "\xc3\xa4", "a\\b" };
    for (size_t i = 0; i < AC_COUNTOF(good); i++) assert_true(ac_path_component_ok(ac_view_of(good[i])));
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) assert_false(ac_path_component_ok(ac_view_of(bad[i])));
    assert_false(ac_path_component_ok(AC_VIEW("a\0b")));
}

static void the_cache_has_one_place(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    assert_int_equal(setenv("HOME", "/home/x", 1) | setenv("XDG_CACHE_HOME", "/c", 1), 0);
    assert_int_equal(setenv("ACCORD_CACHE", "here", 1), 0);
    assert_string_equal(ac_cache_dir(&a), "here");
    assert_int_equal(setenv("ACCORD_CACHE", "", 1), 0);
    assert_string_equal(ac_cache_dir(&a), "/c/accord");
    assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
    assert_string_equal(ac_cache_dir(&a), "/home/x/.cache/accord");
    assert_int_equal(unsetenv("HOME"), 0);
    assert_null(ac_cache_dir(&a));
    assert_null(ac_cache_model_path(&a, "x"));
    char *path = NULL;
    ac_err err = { "" };
    assert_int_equal(setenv("ACCORD_CACHE", dir, 1), 0);
    assert_int_equal(ac_model_locate(&path, &a, "tiny", &err), AC_ENOENT);
    assert_non_null(strstr(err.text, "tiny: neither a file"));
    assert_null(ac_cache_model_path(&a, "../tiny"));
    assert_int_equal(ac_mkdir_p(in("models/tiny"), NULL), AC_OK);
    put("models/tiny/model.gguf", "x", 1);
    assert_int_equal(ac_model_locate(&path, &a, "tiny", NULL), AC_OK);
    assert_string_equal(path, in("models/tiny/model.gguf"));
    assert_int_equal(ac_model_locate(&path, &a, in("models/tiny/model.gguf"), NULL), AC_OK);
    assert_int_equal(ac_remove_tree(in("models"), NULL), AC_OK);
    ac_arena_release(&a);
}

static void one_holder_of_a_lock(void **state)
{
    (void)state;
    ac_lockfile *l = NULL, *second = NULL;
    ac_err err = { "" };
    char pid[32];
    assert_int_equal(ac_lockfile_take(&l, in("lock"), NULL), AC_OK);
    assert_int_equal(ac_lockfile_take(&second, in("lock"), &err), AC_ESTATE);
    assert_null(second);
    (void)snprintf(pid, sizeof pid, "process %ld;", (long)getpid());
    assert_non_null(strstr(err.text, pid));
    ac_lockfile_drop(&l);
    ac_lockfile_drop(&l);
    assert_false(ac_path_exists(in("lock")));
    /* A killed holder leaves the file, not the lock. */
    const pid_t child = fork();
    if (child == 0) {
        ac_lockfile *held = NULL;
        _exit(ac_lockfile_take(&held, in("lock"), NULL) == AC_OK ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(ac_path_exists(in("lock")));
    assert_int_equal(ac_lockfile_take(&l, in("lock"), NULL), AC_OK);
    ac_lockfile_drop(&l);
}

static void nothing_is_left(void **state)
{
    (void)state;
    assert_int_equal(ac_live_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_files),
        cmocka_unit_test(only_regular_files_are_inputs),
        cmocka_unit_test(lines),
        cmocka_unit_test(long_lines_cross_the_buffer),
        cmocka_unit_test(maps),
        cmocka_unit_test(a_writer_shows_nothing_before_commit),
        cmocka_unit_test(outputs_that_cannot_be),
        cmocka_unit_test(appending),
        cmocka_unit_test(folders),
        cmocka_unit_test(names_come_sorted),
        cmocka_unit_test(components),
        cmocka_unit_test(the_cache_has_one_place),
        cmocka_unit_test(one_holder_of_a_lock),
        cmocka_unit_test(nothing_is_left),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
