/* The n-th allocation and the n-th I/O call fail: a clean message, nothing leaked, and a chain that still holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "ledger/ledger.h"

static char dir[64];

/* Each round starts from a chain of one record: a chain that grows would take ever more allocations. */
static void fresh(void)
{
    if (ac_remove_tree(dir, NULL) || ac_audit_append(dir, "init", NULL, NULL)) fail_msg("cannot start afresh");
}

static ac_status a_key(ac_view *key, ac_err *err)
{
    (void)err;
    *key = AC_VIEW("0123456789abcdef0123456789abcdef");
    return AC_OK;
}

static ac_status chain_and_runs(ac_err *err)
{
    ac_arena a = { 0 };
    ac_audit_head h;
    ac_run_info *list;
    char *run = NULL, *found;
    size_t n;
    uint64_t count;
    ac_status st = ac_audit_append(dir, "freeze", "\"lock\":\"aa\"", err);
    if (!st) st = ac_audit_append(dir, "opening", "\"lock\":\"aa\"", err);
    ac_view key = { NULL, 0 };
    ac_audit_macs macs = { .keyed = 0 };
    (void)a_key(&key, NULL);
    if (!st) st = ac_audit_verify(dir, &h, err);
    if (!st) st = ac_audit_check_macs(dir, key, 2, &macs, err);
    if (!st) assert_true(macs.keyed >= 2);
    if (!st) st = ac_audit_count(dir, "opening", "aa", &count, err);
    if (!st) st = ac_run_create(&run, &a, dir, err);
    if (!st) st = ac_runs_list(&list, &n, &a, dir, err);
    if (!st) st = ac_run_find(&found, &a, dir, "latest", err);
    if (run) (void)rmdir(run);
    ac_arena_release(&a);
    return st;
}

/* Two promotions and the way back; the link's target need not exist. */
static ac_status promotions(ac_err *err)
{
    ac_arena a = { 0 };
    ac_promotions h;
    const ac_promotion one = { .run = "20260101T000000Z-00000001", .folder = "adapter", .lock = "aa", .adapter_sha256 = "bb",
                               .utc = "now", .by = "me" };
    ac_promotion two = one, back = one;
    two.run = "20260101T000000Z-00000002";
    back.rollback = true;
    ac_status st = ac_promotions_push(dir, "production", &one, "{\"f\":\"00\"}", err);
    if (!st) st = ac_promotions_push(dir, "production", &two, "{\"f\":\"00\"}", err);
    if (!st) st = ac_promotions_push(dir, "production", &back, NULL, err);
    if (!st) st = ac_promotions_read(&h, &a, dir, "production", err);
    if (!st && (h.n != 3 || h.n_stack != 1 || strcmp(h.act[h.stack[0]].run, one.run) != 0)) fail_msg("the history is wrong");
    if (!st) st = ac_promotions_relink(&h, dir, "production", err);
    ac_arena_release(&a);
    return st;
}

static ac_status env(ac_err *err)
{
    ac_str s = { 0 };
    const ac_status st = ac_env_json(&s, &(ac_env_facts){ .tier = "ref", .threads = 1, .project = dir }, err);
    ac_str_release(&s);
    return st;
}

/* Forgetting, stopped anywhere, is finished by doing it again; the verdict is whole before and after. */
static ac_status forgetting(ac_err *err)
{
    static const char verdict[] = "{\"verdict\": \"WIN\", \"by_case\": [{\"id\": \"words\"}]}";
    ac_arena a = { 0 };
    ac_str files = { 0 };
    uint64_t bytes = 0;
    const char *run = ac_path_join(&a, dir, "run"), *adapter = ac_path_join(&a, dir, "run/adapter");
    const char *f = ac_path_join(&a, dir, "run/adapter/f"), *v = ac_path_join(&a, dir, "run/verdict.json");
    if (!run || !adapter || !f || !v) {
        ac_arena_release(&a);
        return ac_fail_nomem(err, 64);
    }
    ac_status st = ac_mkdir_p(adapter, err);
    if (!st) st = ac_file_write_atomic(f, "weights", 7, err);
    if (!st) st = ac_file_write_atomic(v, verdict, strlen(verdict), err);
    if (!st) st = ac_run_inventory(&files, run, &bytes, err);
    if (!st && bytes != 7 + strlen(verdict)) fail_msg("%llu bytes in the inventory", (unsigned long long)bytes);
    if (!st) st = ac_run_forget(run, err);
    if (!st && ac_path_exists(adapter)) fail_msg("the adapter is still there");
    if (!st) {
        ac_str_reset(&files);
        st = ac_file_read(&files, v, 1000, err);
        if (!st && (strstr(files.ptr, "words") || !strstr(files.ptr, "WIN"))) fail_msg("verdict.json: %s", files.ptr);
    }
    ac_str_release(&files);
    ac_arena_release(&a);
    return st;
}

static void chain_still_holds(long nth)
{
    ac_err err = { 0 };
    ac_audit_head h;
    if (ac_audit_append(dir, "after", NULL, &err) || ac_audit_verify(dir, &h, &err))
        fail_msg("after fault %ld: %s", nth, err.text);
}

static void allocations(ac_status (*scenario)(ac_err *), bool holds)
{
    for (long nth = 1;; nth++) {
        ac_err err = { 0 };
        fresh();
        ac_fault_arm(AC_FAULT_ALLOC, nth);
        const ac_status st = scenario(&err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        if (ac_live_bytes() != 0) fail_msg("fault %ld leaks %lld bytes", nth, (long long)ac_live_bytes());
        if (!fired) {
            if (st) fail_msg("%s", err.text);
            break;
        }
        if (st != AC_ENOMEM || !err.text[0]) fail_msg("allocation %ld: %s, \"%s\"", nth, ac_status_name(st), err.text);
        if (holds && nth % 16 == 1) chain_still_holds(nth);
    }
}

static void every_allocation(void **state)
{
    (void)state;
    allocations(chain_and_runs, true);
    allocations(promotions, true);
    allocations(forgetting, false);
    (void)setenv("PATH", "/nonexistent", 1);         /* no git: its start does not allocate here */
    allocations(env, false);
}

static void io_calls(ac_status (*scenario)(ac_err *))
{
    for (long nth = 1;; nth++) {
        ac_err err = { 0 };
        fresh();
        ac_fault_arm(AC_FAULT_IO, nth);
        const ac_status st = scenario(&err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        if (ac_live_bytes() != 0) fail_msg("fault %ld leaks %lld bytes", nth, (long long)ac_live_bytes());
        if (!fired) {
            if (st) fail_msg("%s", err.text);
            break;
        }
        if (!st || !err.text[0]) fail_msg("I/O call %ld: %s, \"%s\"", nth, ac_status_name(st), err.text);
        chain_still_holds(nth);
    }
}

static void every_io_call(void **state)
{
    (void)state;
    io_calls(chain_and_runs);
    io_calls(promotions);
    io_calls(forgetting);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation), cmocka_unit_test(every_io_call) };
    (void)strcpy(dir, "/tmp/accord-fault-ledger-XXXXXX");
    if (!mkdtemp(dir)) return 1;
    ac_audit_use_key(a_key);
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void)ac_remove_tree(dir, NULL);
    return rc;
}
