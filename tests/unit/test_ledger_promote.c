/* Channels: the history, who serves by it, the link, and the hashes of what was promoted. */
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
#include "base/user.h"
#include "ledger/ledger.h"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    (void)strcpy(dir, "/tmp/accord-promote-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return ac_remove_tree(dir, NULL) ? -1 : 0;
}

static const char *run_name(int i)
{
    static char name[4][32];
    (void)snprintf(name[i], sizeof name[i], "20260101T00000%dZ-0000000%d", i, i);
    return name[i];
}

static void push(int i, bool rollback)
{
    ac_err err = { 0 };
    const ac_promotion p = { .rollback = rollback, .run = run_name(i), .folder = "adapter", .lock = "aa",
                             .adapter_sha256 = "bb", .utc = "2026-01-01T00:00:00Z", .by = "somebody", .verdict = "WIN" };
    if (ac_promotions_push(dir, "production", &p, rollback ? NULL : "{\"weights\":\"00\"}", &err)) fail_msg("%s", err.text);
}

static void serves(int i, size_t acts)
{
    ac_arena a = { 0 };
    ac_promotions h;
    ac_err err = { 0 };
    char link[128], target[128] = "";
    if (ac_promotions_read(&h, &a, dir, "production", &err)) fail_msg("%s", err.text);
    assert_int_equal(h.n, acts);
    assert_true(h.n_stack > 0);
    assert_string_equal(h.act[h.stack[h.n_stack - 1]].run, run_name(i));
    (void)snprintf(link, sizeof link, "%s/.accord/promoted/production", dir);
    assert_true(readlink(link, target, sizeof target - 1) > 0);
    assert_non_null(strstr(target, run_name(i)));
    ac_arena_release(&a);
}

static void history_is_a_stack(void **state)
{
    (void)state;
    push(1, false);
    serves(1, 1);
    push(2, false);
    push(3, false);
    serves(3, 3);
    push(2, true);
    serves(2, 4);
    push(1, true);
    serves(1, 5);
    push(3, false);
    serves(3, 6);
    push(1, true);
    serves(1, 7);
}

static void no_history_is_empty(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    ac_promotions h = { .n = 7 };
    assert_int_equal(ac_promotions_read(&h, &a, dir, "production", NULL), AC_OK);
    assert_int_equal(h.n, 0);
    ac_arena_release(&a);
}

static void bad(const char *text, const char *says)
{
    ac_arena a = { 0 };
    ac_promotions h;
    ac_err err = { 0 };
    char path[128];
    (void)snprintf(path, sizeof path, "%s/.accord/promoted", dir);
    assert_int_equal(ac_mkdir_p(path, NULL), AC_OK);
    (void)snprintf(path, sizeof path, "%s/.accord/promoted/production.json", dir);
    assert_int_equal(ac_file_write_atomic(path, text, strlen(text), NULL), AC_OK);
    assert_int_equal(ac_promotions_read(&h, &a, dir, "production", &err), AC_EFORMAT);
    if (!strstr(err.text, says)) fail_msg("\"%s\" does not say \"%s\"", err.text, says);
    ac_arena_release(&a);
}

#define ACT(act, run, more) \
    "{\"act\":\"" act "\",\"run\":\"" run "\",\"folder\":\"adapter\",\"lock\":\"a\",\"adapter_sha256\":\"b\",\"utc\":\"c\"," \
    "\"by\":\"d\"" more "}"

static void bad_histories_are_named(void **state)
{
    (void)state;
    bad("{}", "acts");
    bad("{\"acts\":[{}]}", "act");
    bad("{\"acts\":[" ACT("promote", "r", "") "]}", "hashes");
    bad("{\"acts\":[" ACT("sell", "r", "") "]}", "promote");
    bad("{\"acts\":[" ACT("promote", "../r", ",\"files\":{\"f\":\"0\"}") "]}", "no run folder");
    bad("{\"acts\":[" ACT("rollback", "r", "") "]}", "did not serve before");
    bad("{\"acts\":[" ACT("promote", "r", ",\"files\":{\"f\":\"0\"}") "," ACT("rollback", "q", "") "]}", "changed by hand");
}

static void write_at(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/run/adapter/%s", dir, name);
    assert_int_equal(ac_file_write_atomic(path, text, strlen(text), NULL), AC_OK);
}

static void check_says(const char *run, const ac_json *files, const char *says)
{
    ac_err err = { 0 };
    const ac_status st = ac_run_files_check(run, "adapter", files, &err);
    if (says && (st != AC_ECONTRACT || !strstr(err.text, says))) fail_msg("%s: \"%s\"", says, err.text);
    if (!says && st) fail_msg("%s", err.text);
}

static void changed_files_are_named(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    ac_str s = { 0 };
    const ac_json *files;
    char run[128], path[128];
    (void)snprintf(run, sizeof run, "%s/run", dir);
    (void)snprintf(path, sizeof path, "%s/run/adapter", dir);
    assert_int_equal(ac_mkdir_p(path, NULL), AC_OK);
    assert_int_equal(ac_run_files_json(&s, run, "adapter", NULL), AC_EFORMAT);   /* an empty folder serves nothing */
    write_at("one", "1");
    write_at("two", "2");
    ac_str_reset(&s);
    assert_int_equal(ac_run_files_json(&s, run, "adapter", NULL), AC_OK);
    assert_int_equal(ac_json_parse(&files, ac_str_view(&s), &a, "t", 1, NULL, NULL), AC_OK);
    assert_int_equal(files->n, 2);
    check_says(run, files, NULL);
    write_at("two", "3");
    check_says(run, files, "two: was changed");
    write_at("two", "2");
    write_at("three", "3");
    check_says(run, files, "holds 3 files");
    (void)snprintf(path, sizeof path, "%s/run/adapter/one", dir);
    assert_int_equal(unlink(path), 0);
    check_says(run, files, "one: has gone");
    ac_str_release(&s);
    ac_arena_release(&a);
}

static void a_file_is_not_replaced_by_a_link(void **state)
{
    (void)state;
    char path[128], folder[128];
    (void)snprintf(path, sizeof path, "%s/.accord/promoted/production", dir);
    (void)snprintf(folder, sizeof folder, "%s/.accord/promoted", dir);
    assert_int_equal(ac_mkdir_p(folder, NULL), AC_OK);
    assert_int_equal(ac_file_write_atomic(path, "mine", 4, NULL), AC_OK);
    ac_err err = { 0 };
    assert_int_equal(ac_symlink_replace("elsewhere", path, &err), AC_ECREATE);
    assert_non_null(strstr(err.text, "in the way"));
}

static void channels_and_users(void **state)
{
    (void)state;
    char name[AC_USER_NAME] = "";
    assert_true(ac_channel_ok("production-2"));
    assert_false(ac_channel_ok(""));
    assert_false(ac_channel_ok("../x"));
    assert_false(ac_channel_ok("UP"));
    assert_false(ac_channel_ok("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    ac_user_name(name);
    assert_true(name[0] != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(history_is_a_stack, setup, teardown),
        cmocka_unit_test_setup_teardown(no_history_is_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_histories_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(changed_files_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_is_not_replaced_by_a_link, setup, teardown),
        cmocka_unit_test(channels_and_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
