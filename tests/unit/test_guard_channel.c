/* The guard's channel: every kind there and back, frames in pieces, frames that are refused; the trainer's end obeys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"
#include "guard/trainer.h"

static ac_msg example(ac_msg_kind k)
{
    ac_msg m = { .kind = k };
    switch (k) {
    case AC_MSG_GO: break;
    case AC_MSG_MICRO: m.arg = 4; break;
    case AC_MSG_RECOMPUTE: m.arg = 1; break;
    case AC_MSG_DUTY: m.arg = 75; break;
    case AC_MSG_EXIT:
        m.arg = 76;
        m.save = true;
        break;
    case AC_MSG_ACK:
        m.step = 12;
        m.durable = 10;
        m.ok = true;
        strcpy(m.text, "für nichts");
        break;
    case AC_MSG_STEP:
        m.step = 12;
        m.seconds = 0.125;
        m.tokens = 4096;
        m.ms = 125;
        break;
    case AC_MSG_SAVED:
        m.step = 10;
        m.ms = 31;
        m.bytes = (uint64_t)1 << 40;
        break;
    case AC_MSG_HELLO:
        strcpy(m.run_dir, ".accord/runs/20260131T093000Z-1a2b3c4d");
        m.step = m.durable = 10;
        m.total_steps = 150;
        m.budget = (uint64_t)8 << 30;
        m.planned_peak = 636000000;
        m.call_bytes = 400000000;
        m.least_call_bytes = 50000000;
        m.micro_start = 8;
        m.can_recompute = m.polite = true;
        m.window_from = 1320;
        m.window_to = 420;
        m.gpu = 1;
        break;
    default: break;
    }
    const bool numbered = (k >= AC_MSG_MICRO && k <= AC_MSG_EXIT) || k == AC_MSG_HEARD || k == AC_MSG_ACK;
    if (numbered) m.id = 7;
    return m;
}

static void there_and_back(void **state)
{
    (void)state;
    for (ac_msg_kind k = AC_MSG_GO; k < AC_MSG_KINDS; k++) {
        unsigned char frame[AC_MSG_FRAME_MAX], again[AC_MSG_FRAME_MAX];
        const ac_msg m = example(k);
        ac_msg back;
        size_t used = 1;
        ac_err err = { "" };
        const size_t n = ac_msg_write(frame, &m);
        assert_true(n >= 4);
        for (size_t part = 0; part < n; part++) {            /* not whole: nothing is taken */
            assert_int_equal(ac_msg_read(&back, &used, frame, part, &err), AC_OK);
            assert_int_equal(used, 0);
        }
        assert_int_equal(ac_msg_read(&back, &used, frame, n, &err), AC_OK);
        assert_int_equal(used, n);
        assert_int_equal(ac_msg_write(again, &back), n);
        assert_memory_equal(frame, again, n);
        assert_int_equal(back.kind, k);
        assert_string_equal(back.run_dir, m.run_dir);
        assert_true(back.arg == m.arg && back.id == m.id && back.seconds >= m.seconds && back.budget == m.budget);
    }
}

static void unsayable(ac_msg m)
{
    unsigned char frame[AC_MSG_FRAME_MAX];
    assert_int_equal(ac_msg_write(frame, &m), 0);
}

static void out_of_range_is_never_said(void **state)
{
    (void)state;
    ac_msg m = example(AC_MSG_MICRO);
    m.arg = 0;
    unsayable(m);
    m = example(AC_MSG_MICRO);
    m.id = 0;
    unsayable(m);
    m = example(AC_MSG_DUTY);
    m.arg = 101;
    unsayable(m);
    for (uint64_t code = 70; code < 90; code++) {
        m = example(AC_MSG_EXIT);
        m.arg = code;
        unsigned char frame[AC_MSG_FRAME_MAX];
        assert_int_equal(ac_msg_write(frame, &m) > 0, code == 75 || code == 76 || code == 80);
    }
    m = example(AC_MSG_STEP);
    m.seconds = -1;
    unsayable(m);
    m = example(AC_MSG_HELLO);
    m.call_bytes = m.planned_peak + 1;
    unsayable(m);
    m = example(AC_MSG_HELLO);
    strcpy(m.run_dir, "a\nb");
    unsayable(m);
    m = example(AC_MSG_HELLO);
    m.micro_start = 0;
    unsayable(m);
    m.kind = AC_MSG_KINDS;
    unsayable(m);
}

static void bad_frames(void **state)
{
    (void)state;
    unsigned char frame[AC_MSG_FRAME_MAX];
    ac_msg m = example(AC_MSG_ACK), back;
    const size_t n = ac_msg_write(frame, &m);
    const struct { size_t at; unsigned char value; } bad[] = {
        { 0, 0xA8 }, { 1, 0 }, { 1, AC_MSG_KINDS }, { 2, 3 }, { 3, 0xff }, { 4 + 24, 2 }, { 4 + 25, 200 }, { 4 + 27, 0xff },
        { 4 + 27, 0x1b },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        unsigned char copy[AC_MSG_FRAME_MAX];
        size_t used = 0;
        ac_err err = { "" };
        memcpy(copy, frame, n);
        copy[bad[i].at] = bad[i].value;
        if (ac_msg_read(&back, &used, copy, n, &err) != AC_EFORMAT) fail_msg("byte %zu = %u is taken", bad[i].at, bad[i].value);
        assert_true(err.text[0]);
    }
}

/* ---- the trainer's end ---- */

static int fds[2];
static ac_channel guard;
static ac_trainer trainer;
static volatile sig_atomic_t stop;

static int link_up(void **state)
{
    (void)state;
    stop = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) return -1;
    for (int i = 0; i < 2; i++) (void)fcntl(fds[i], F_SETFL, O_NONBLOCK);
    ac_channel_init(&guard, fds[0]);
    ac_trainer_init(&trainer, fds[1], &stop);
    const ac_msg hello = example(AC_MSG_HELLO), go = example(AC_MSG_GO);
    assert_true(ac_channel_send(&guard, &go, 0));
    ac_trainer_hello(&trainer, &hello);
    return 0;
}

static int link_down(void **state)
{
    (void)state;
    (void)close(fds[0]);
    (void)close(fds[1]);
    return 0;
}

static ac_msg hear(ac_msg_kind k)
{
    ac_msg m;
    bool got;
    do assert_int_equal(ac_channel_next(&guard, &m, &got, NULL), AC_OK);
    while (got && m.kind != k);
    if (!got) fail_msg("no %s came", ac_msg_name(k));
    return m;
}

static void order(ac_msg_kind k, uint64_t id, uint64_t arg, bool save)
{
    const ac_msg m = { .kind = k, .id = id, .arg = arg, .save = save };
    assert_true(ac_channel_send(&guard, &m, 0));
}

static void settings(void **state)
{
    (void)state;
    assert_string_equal(hear(AC_MSG_HELLO).run_dir, ".accord/runs/20260131T093000Z-1a2b3c4d");
    assert_int_equal(trainer.micro, 8);
    order(AC_MSG_MICRO, 1, 2, false);
    order(AC_MSG_RECOMPUTE, 2, 1, false);
    assert_int_equal(ac_trainer_boundary(&trainer, 11, 10), AC_ORDER_GO_ON);
    assert_true(trainer.micro == 2 && trainer.recompute);
    ac_msg a = hear(AC_MSG_ACK);
    assert_true(a.id == 1 && a.ok && a.step == 11 && a.durable == 10);
    assert_true(hear(AC_MSG_ACK).id == 2);
    trainer.can_recompute = false;
    order(AC_MSG_RECOMPUTE, 3, 1, false);
    assert_int_equal(ac_trainer_boundary(&trainer, 11, 10), AC_ORDER_GO_ON);
    a = hear(AC_MSG_ACK);
    assert_true(a.id == 3 && !a.ok && a.text[0]);
}

static void steps_are_told_in_lots(void **state)
{
    (void)state;
    trainer.told_ns = ac_mono_ns();
    for (uint64_t i = 11; i <= 20; i++) {
        ac_trainer_step(&trainer, i, 0.5, 100);
        assert_int_equal(ac_trainer_boundary(&trainer, i, 10), AC_ORDER_GO_ON);
    }
    ac_trainer_end(&trainer, 20, 10, NULL);
    const ac_msg m = hear(AC_MSG_STEP);
    assert_true(m.step == 20 && m.tokens == 1000 && m.seconds > 4.9 && m.seconds < 5.1);
}

static void checkpoint(void **state)
{
    (void)state;
    order(AC_MSG_CHECKPOINT, 5, 0, false);
    assert_int_equal(ac_trainer_boundary(&trainer, 12, 10), AC_ORDER_SAVE);
    assert_int_equal(hear(AC_MSG_HEARD).id, 5);
    ac_trainer_saved(&trainer, 12, 0.031, 999);
    assert_int_equal(ac_trainer_boundary(&trainer, 12, 12), AC_ORDER_GO_ON);
    assert_int_equal(hear(AC_MSG_SAVED).ms, 31);
    const ac_msg a = hear(AC_MSG_ACK);
    assert_true(a.id == 5 && a.ok && a.durable == 12);
}

static void exits(void **state)
{
    (void)state;
    order(AC_MSG_EXIT, 6, 76, true);
    assert_int_equal(ac_trainer_boundary(&trainer, 12, 10), AC_ORDER_STOP);
    assert_int_equal(trainer.end_code, 76);
    ac_trainer_saved(&trainer, 12, 0.01, 9);
    ac_trainer_end(&trainer, 12, 12, NULL);
    assert_int_equal(hear(AC_MSG_HEARD).id, 6);
    const ac_msg a = hear(AC_MSG_ACK);
    assert_true(a.ok && a.durable == 12);
}

static void failed_exit(void **state)
{
    (void)state;
    order(AC_MSG_EXIT, 6, 75, true);
    assert_int_equal(ac_trainer_boundary(&trainer, 12, 10), AC_ORDER_STOP);
    ac_trainer_end(&trainer, 12, 10, "disk full");
    const ac_msg a = hear(AC_MSG_ACK);
    assert_true(!a.ok && a.durable == 10);
    assert_string_equal(a.text, "disk full");
}

static void drop(void **state)
{
    (void)state;
    order(AC_MSG_EXIT, 6, 80, false);
    assert_int_equal(ac_trainer_boundary(&trainer, 12, 10), AC_ORDER_DROP);
    assert_true(hear(AC_MSG_ACK).id == 6 && trainer.end_code == 80);
}

static void a_pause_hears(void **state)
{
    (void)state;
    order(AC_MSG_PAUSE, 1, 0, false);
    order(AC_MSG_MICRO, 2, 1, false);
    order(AC_MSG_CHECKPOINT, 3, 0, false);
    assert_int_equal(ac_trainer_boundary(&trainer, 12, 10), AC_ORDER_SAVE);
    assert_true(trainer.paused && trainer.micro == 1);
    order(AC_MSG_RESUME, 4, 0, false);
    assert_int_equal(ac_trainer_boundary(&trainer, 12, 12), AC_ORDER_GO_ON);
    assert_false(trainer.paused);
    order(AC_MSG_PAUSE, 5, 0, false);
    stop = 1;                                            /* a signal ends a pause */
    assert_int_equal(ac_trainer_boundary(&trainer, 12, 12), AC_ORDER_STOP);
}

static void duty_takes_its_time(void **state)
{
    (void)state;
    order(AC_MSG_DUTY, 1, 50, false);
    assert_int_equal(ac_trainer_boundary(&trainer, 12, 10), AC_ORDER_GO_ON);
    const int64_t before = trainer.waited_ns;
    ac_sleep_ms(60);                                     /* a forward */
    assert_int_equal(ac_trainer_boundary(&trainer, 12, 10), AC_ORDER_GO_ON);
    const int64_t waited = trainer.waited_ns - before;
    assert_true(waited >= 55000000 && waited < 2000000000);
}

static void a_guard_that_is_gone(void **state)
{
    (void)state;
    (void)close(fds[0]);
    assert_int_equal(ac_trainer_boundary(&trainer, 12, 10), AC_ORDER_STOP);
    assert_true(trainer.alone && trainer.end_code == 0);
    fds[0] = -1;
}

static void a_guard_out_of_its_mind(void **state)
{
    (void)state;
    assert_int_equal(write(fds[0], "nonsense", 8), 8);
    assert_int_equal(ac_trainer_boundary(&trainer, 12, 10), AC_ORDER_STOP);
    assert_true(trainer.alone);
}

/* A guard that stands still fills the socket: the trainer neither blocks nor ends. */
static void a_guard_that_sleeps(void **state)
{
    (void)state;
    const int64_t start = ac_mono_ns();
    for (uint64_t i = 0; i < 20000; i++) {
        trainer.told_ns = 0;
        ac_trainer_step(&trainer, i, 0.001, 1);
        assert_int_equal(ac_trainer_boundary(&trainer, i, 0), AC_ORDER_GO_ON);
    }
    assert_true(ac_mono_ns() - start < (int64_t)20000000000);
    assert_true(trainer.tokens > 0);                     /* kept for when it reads again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(out_of_range_is_never_said),
        cmocka_unit_test(bad_frames),
        cmocka_unit_test_setup_teardown(settings, link_up, link_down),
        cmocka_unit_test_setup_teardown(steps_are_told_in_lots, link_up, link_down),
        cmocka_unit_test_setup_teardown(checkpoint, link_up, link_down),
        cmocka_unit_test_setup_teardown(exits, link_up, link_down),
        cmocka_unit_test_setup_teardown(failed_exit, link_up, link_down),
        cmocka_unit_test_setup_teardown(drop, link_up, link_down),
        cmocka_unit_test_setup_teardown(a_pause_hears, link_up, link_down),
        cmocka_unit_test_setup_teardown(duty_takes_its_time, link_up, link_down),
        cmocka_unit_test_setup_teardown(a_guard_that_is_gone, link_up, link_down),
        cmocka_unit_test_setup_teardown(a_guard_out_of_its_mind, link_up, link_down),
        cmocka_unit_test_setup_teardown(a_guard_that_sleeps, link_up, link_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
