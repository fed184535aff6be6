/* The guard where memory or files fail: it neither crashes nor leaks nor stops guarding, and its record says why it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fault.h"
#include "cli/guard_run.h"

static char dir[64];
static ac_telemetry record;

static void told_begin(void *ctx, const ac_actor *a)
{
    (void)ctx;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/telemetry.jsonl", dir);
    ac_telemetry_open(&record, path);
    ac_telemetry_begin(&record, a);
}

static void told_sample(void *ctx, const ac_actor *a)
{
    (void)ctx;
    ac_telemetry_sample(&record, a);
}

static void told_act(void *ctx, const ac_actor *a, const ac_actor_note *n)
{
    (void)ctx;
    assert_true(n->text[0]);
    ac_telemetry_act(&record, a, n);
}

static void told_ack(void *ctx, const ac_actor *a, const ac_msg *m, int64_t ms)
{
    (void)ctx;
    ac_telemetry_ack(&record, a, m, ms);
}

/* A run of a few looks in which the memory is over its budget from the second on, fed through the fault hooks. */
static bool scenario(void)
{
    static ac_actor a;
    const ac_actor_watch w = { .begin = told_begin, .sample = told_sample, .act = told_act, .ack = told_ack };
    ac_actor_time t = { .now_ms = 1000, .boot_ms = 1000, .minute = 600 };
    record = (ac_telemetry){ 0 };
    ac_actor_init(&a, -1, (int64_t)getpid(), "", &w);
    ac_msg hello = { .kind = AC_MSG_HELLO, .total_steps = 9, .budget = 100000, .planned_peak = 90000, .micro_start = 4 };
    (void)snprintf(hello.run_dir, sizeof hello.run_dir, "%s", dir);
    size_t n = ac_msg_write(a.ch.in, &hello);            /* as if it had come over the socket */
    const ac_msg ack = { .kind = AC_MSG_ACK, .id = 1, .step = 3, .ok = true };
    n += ac_msg_write(a.ch.in + n, &ack);
    a.ch.n_in = n;
    for (int i = 0; i < 4; i++) {
        ac_actor_receive(&a, &t);
        ac_actor_tick(&a, &t, false);
        t.now_ms += 1000;
        t.boot_ms += 1000;
    }
    ac_actor_end(&a, &t);
    const ac_fork_end e = { .ended = true, .exit_code = 75 };
    ac_telemetry_end(&record, &a, &e);
    ac_telemetry_close(&record);
    if (record.failed) assert_true(record.why.text[0]);
    return a.looked && a.state.begun && a.valid && !record.failed;
}

static void every(ac_fault_kind kind, long least, long most)
{
    strcpy(dir, "/tmp/accord_fault_guard.XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)scenario();                                    /* what libraries keep is there from now on */
    const int64_t live = ac_live_bytes();
    long nth = 1;
    for (long by = 1;; nth += by) {
        ac_fault_arm(kind, nth);
        const bool good = scenario();
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        assert_true(ac_live_bytes() == live);
        if (!fired) {
            assert_true(good);
            break;
        }
        by = nth < 200 ? 1 : nth / 50;
        assert_true(nth < most);
    }
    assert_true(nth > least);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

static void allocations(void **state)
{
    (void)state;
    every(AC_FAULT_ALLOC, 5, 100000);
}

static void files(void **state)
{
    (void)state;
    every(AC_FAULT_IO, 20, 1000000);
}

static void no_socket_no_pipe(void **state)
{
    (void)state;
    ac_forked f = { .fd = -1 };
    ac_err err = { "" };
    int fd = -1;
    ac_fault_arm(AC_FAULT_IO, 1);
    assert_int_equal(ac_fork(&f, SIGUSR2, &err), AC_EIO);
    assert_true(err.text[0] && f.fd == -1);
    err = (ac_err){ "" };
    assert_int_equal(ac_relay_open(&fd, &err), AC_EIO);
    assert_true(err.text[0] && fd == -1);
    ac_fault_disarm();
}

/* A last line without its end goes before others follow. */
static void a_torn_record(void **state)
{
    (void)state;
    char path[128];
    ac_str text = { 0 };
    strcpy(dir, "/tmp/accord_fault_guard.XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/telemetry.jsonl", dir);
    static const char torn[] = "{\"k\":\"begin\"}\n{\"k\":\"sam";
    assert_int_equal(ac_file_write_atomic(path, torn, sizeof torn - 1, NULL), AC_OK);
    assert_true(scenario());
    assert_int_equal(ac_file_read(&text, path, 1 << 20, NULL), AC_OK);
    assert_non_null(strstr(ac_str_c(&text), "{\"k\":\"begin\"}\n{\"k\":\"begin\",\"utc\""));
    assert_non_null(strstr(ac_str_c(&text), "\"act\":\"drop-exit\",\"arg\":75"));
    assert_non_null(strstr(ac_str_c(&text), "\"k\":\"end\""));
    ac_str_release(&text);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations),
        cmocka_unit_test(files),
        cmocka_unit_test(no_socket_no_pipe),
        cmocka_unit_test(a_torn_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
