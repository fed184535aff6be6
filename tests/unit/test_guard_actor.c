/* The guard at work, with a trainer made of a few lines, files made here and a turned clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>
#include <dlfcn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "guard/actor.h"
#include "stub/nvml_stub.h"

static char root[64];
static int fds[2];
static ac_actor a;
static ac_channel child;
static ac_actor_time at;
/* what was told */
static char acts[8192];
static size_t n_samples, n_begins, n_acks, n_terms, n_kills;
static ac_msg last_ack;

static void put(const char *path, const char *text)
{
    char full[300], dir[300];
    (void)snprintf(full, sizeof full, "%s%s", root, path);
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(full, '/') - full), full);
    assert_int_equal(ac_mkdir_p(dir, NULL), AC_OK);
    assert_int_equal(ac_file_write_atomic(full, text, strlen(text), NULL), AC_OK);
}

static void footprint(double percent)
{
    char text[64];
    (void)snprintf(text, sizeof text, "Rss: 1 kB\nPss: %.0f kB\n", percent * 10);
    put("/proc/77/smaps_rollup", text);
}

static void on_begin(void *ctx, const ac_actor *x)
{
    (void)ctx;
    n_begins++;
    assert_true(x->in.read[AC_SIG_AVAILABLE].measured);     /* what is unknown here is known by then */
}

static void on_sample(void *ctx, const ac_actor *x)
{
    (void)ctx;
    (void)x;
    n_samples++;
}

static void on_act(void *ctx, const ac_actor *x, const ac_actor_note *n)
{
    (void)ctx;
    (void)x;
    const size_t used = strlen(acts);
    assert_true(n->text[0]);
    (void)snprintf(acts + used, sizeof acts - used, "%s %lld\n", n->act ? ac_guard_act_name(n->act->kind) : "level",
                   n->act ? (long long)n->act->arg : (long long)x->state.level);
}

static void on_ack(void *ctx, const ac_actor *x, const ac_msg *m, int64_t took_ms)
{
    (void)ctx;
    (void)x;
    n_acks++;
    last_ack = *m;
    assert_true(took_ms >= 0);
}

static void on_kill(void *ctx, bool hard)
{
    (void)ctx;
    if (hard) n_kills++;
    else n_terms++;
}

static ac_msg hello(void)
{
    ac_msg m = { .kind = AC_MSG_HELLO, .total_steps = 100, .budget = 1000 * 1024, .planned_peak = 800 * 1024,
                 .call_bytes = 400 * 1024, .least_call_bytes = 50 * 1024, .micro_start = 8, .can_recompute = true, .polite = true,
                 .checkpoint_bytes = 1000 };
    (void)snprintf(m.run_dir, sizeof m.run_dir, "%s", root);
    return m;
}

static void say(ac_msg m)
{
    assert_true(ac_channel_send(&child, &m, 0));
}

static void pass(int64_t ms)
{
    at.now_ms += ms;
    at.boot_ms += ms;
    ac_actor_receive(&a, &at);
    ac_actor_tick(&a, &at, false);
}

static int up(void **state)
{
    (void)state;
    const ac_actor_watch w = { .begin = on_begin, .sample = on_sample, .act = on_act, .ack = on_ack, .kill = on_kill };
    strcpy(root, "/tmp/accord_actor.XXXXXX");
    if (!mkdtemp(root) || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) return -1;
    for (int i = 0; i < 2; i++) (void)fcntl(fds[i], F_SETFL, O_NONBLOCK);
    put("/proc/meminfo", "MemTotal: 10000 kB\nMemAvailable: 8000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
    footprint(50);
    acts[0] = '\0';
    n_samples = n_begins = n_acks = n_terms = n_kills = 0;
    at = (ac_actor_time){ .now_ms = 1000000, .boot_ms = 1000000, .utc_ns = 0, .minute = 720 };
    ac_channel_init(&child, fds[1]);
    ac_actor_init(&a, fds[0], 77, root, &w);
    return 0;
}

static int down(void **state)
{
    (void)state;
    (void)close(fds[0]);
    (void)close(fds[1]);
    return ac_remove_tree(root, NULL) ? -1 : 0;
}

static void start(const ac_msg *m)
{
    assert_int_equal(ac_actor_wait_ms(&a, at.now_ms), -1);
    say(*m);
    pass(0);
    assert_int_equal(n_begins, 1);
}

/* The next command that the trainer reads; AC_MSG_KINDS: none. */
static ac_msg command(void)
{
    ac_msg m;
    bool got;
    assert_int_equal(ac_channel_next(&child, &m, &got, NULL), AC_OK);
    if (!got) m.kind = AC_MSG_KINDS;
    return m;
}

static void ack(const ac_msg *m, uint64_t durable)
{
    say((ac_msg){ .kind = AC_MSG_ACK, .id = m->id, .step = 5, .durable = durable, .ok = true });
}

static void quiet_run(void **state)
{
    (void)state;
    const ac_msg h = hello();
    start(&h);
    assert_int_equal(command().kind, AC_MSG_GO);
    for (int i = 0; i < 60; i++) {
        const int64_t wait = ac_actor_wait_ms(&a, at.now_ms);
        assert_true(wait > 0 && wait <= 1000);
        pass(1000);
    }
    assert_string_equal(acts, "");
    assert_true(n_samples >= 7 && n_samples <= 12);      /* every ten seconds, and what the second look measures first */
    ac_actor_end(&a, &at);
    assert_int_equal(a.level_ms[AC_GUARD_GREEN], 60000);
    assert_int_equal(a.small_ms + a.paused_ms + a.slow_ms + a.foreign_ms, 0);
}

static void smaller_and_smaller(void **state)
{
    (void)state;
    const ac_msg h = hello();
    start(&h);
    (void)command();
    footprint(90);
    uint64_t want = 4;
    for (int looks = 0; looks < 200; looks++) {
        pass(1000);
        const ac_msg m = command();
        if (m.kind == AC_MSG_KINDS) continue;
        if (m.kind == AC_MSG_MICRO) assert_int_equal(m.arg, want);
        ack(&m, 0);
        if (m.kind == AC_MSG_RECOMPUTE) break;
        want /= 2;
    }
    pass(1000);
    assert_string_equal(acts, "level 1\nmicro-batch 4\nmicro-batch 2\nmicro-batch 1\nrecompute 1\n");
    assert_int_equal(n_acks, 4);
    assert_true(a.micro == 1 && a.recompute && a.least_micro == 1 && a.small_ms > 0 && a.recompute_ms > 0);
    /* It grows back in green, as far as there is room. */
    footprint(50);
    put("/proc/meminfo", "MemTotal: 10000 kB\nMemAvailable: 2150 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
    for (int i = 0; i < 300; i++) pass(20000);
    assert_int_equal(a.state.level, AC_GUARD_GREEN);
    assert_int_equal(a.micro, 4);                        /* 8 would leave less than a fifth */
    put("/proc/meminfo", "MemTotal: 10000 kB\nMemAvailable: 8000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
    for (int i = 0; i < 60; i++) pass(20000);
    assert_int_equal(a.micro, 8);
}

static void red_memory_saves_and_ends(void **state)
{
    (void)state;
    const ac_msg h = hello();
    start(&h);
    (void)command();
    say((ac_msg){ .kind = AC_MSG_SAVED, .step = 5, .ms = 300, .bytes = 5000 });
    footprint(97);
    const int64_t red = at.now_ms;
    ac_msg m;
    do {
        pass(200);
        m = command();
    } while (m.kind != AC_MSG_EXIT && at.now_ms - red < 10000);
    assert_true(m.kind == AC_MSG_EXIT && m.save && m.arg == 75 && at.now_ms - red <= 3000);
    assert_true(a.end_code == 75 && a.durable == 5 && a.from.checkpoint_bytes == 5000);
    say((ac_msg){ .kind = AC_MSG_HEARD, .id = m.id });
    pass(100);
    assert_true(a.answered == m.id && n_acks == 0);
    ack(&m, 9);
    pass(100);
    assert_true(a.durable == 9 && n_acks == 1 && n_terms == 0);
}

static void emergency_drops(void **state)
{
    (void)state;
    const ac_msg h = hello();
    start(&h);
    (void)command();
    footprint(120);
    pass(1000);
    const ac_msg m = command();
    assert_true(m.kind == AC_MSG_EXIT && !m.save && m.arg == 75);
    /* Never answered: SIGTERM after a second, SIGKILL a second later, each once. */
    for (int i = 0; i < 100; i++) pass(100);
    assert_int_equal(n_terms, 1);
    assert_int_equal(n_kills, 1);
    assert_non_null(strstr(acts, "term 0\nkill 0\n"));
}

/* A trainer whose units are long is given the time to come to the end of two. */
static void long_units_are_no_silence(void **state)
{
    (void)state;
    const ac_msg h = hello();
    start(&h);
    (void)command();
    say((ac_msg){ .kind = AC_MSG_STEP, .step = 1, .seconds = 8, .tokens = 10, .ms = 2500 });
    footprint(120);
    pass(1000);
    for (int i = 0; i < 48; i++) pass(100);
    assert_int_equal(n_terms, 0);
    for (int i = 0; i < 4; i++) pass(100);
    assert_int_equal(n_terms, 1);
    for (int i = 0; i < 44; i++) pass(100);
    assert_int_equal(n_kills, 0);
    for (int i = 0; i < 8; i++) pass(100);
    assert_int_equal(n_kills, 1);
}

static void smallest_moves(void **state)
{
    (void)state;
    ac_msg h = hello();
    h.micro_start = 1;
    h.recompute = true;
    start(&h);
    (void)command();
    footprint(97);
    pass(1000);
    pass(1000);
    pass(1000);
    ac_msg m = command();
    assert_true(m.kind == AC_MSG_EXIT && m.save && m.arg == 76);
    assert_non_null(strstr(acts, "advise-move 76\n"));
}

static void outside_its_hours(void **state)
{
    (void)state;
    ac_msg h = hello();
    h.window_from = 1320;
    h.window_to = 420;
    start(&h);
    assert_int_equal(command().kind, AC_MSG_PAUSE);      /* before the first forward */
    assert_int_equal(command().kind, AC_MSG_GO);
    at.minute = 1320;
    for (int i = 0; i < 200; i++) pass(500);
    assert_int_equal(command().kind, AC_MSG_RESUME);
    at.minute = 419;
    pass(1000);
    const ac_msg m = command();
    assert_int_equal(m.kind, AC_MSG_CHECKPOINT);
    at.minute = 420;
    pass(1000);
    assert_int_equal(command().kind, AC_MSG_PAUSE);
    assert_true(a.paused_ms > 60000);
}

static void steps_slow_down(void **state)
{
    (void)state;
    const ac_msg h = hello();
    start(&h);
    for (uint64_t i = 1; i <= 15; i++) say((ac_msg){ .kind = AC_MSG_STEP, .step = i, .seconds = 1, .tokens = 100 });
    pass(1000);
    assert_true(a.in.read[AC_SIG_STEP_TIME].measured && a.in.read[AC_SIG_STEP_TIME].value == 1.0);
    for (uint64_t i = 16; i <= 40; i++) say((ac_msg){ .kind = AC_MSG_STEP, .step = i, .seconds = 4, .tokens = 200 });
    pass(1000);
    assert_true(a.in.read[AC_SIG_STEP_TIME].value == 2.0 && a.step == 40);
    for (int i = 0; i < 130; i++) pass(1000);
    assert_non_null(strstr(acts, "duty 75\n"));
    assert_non_null(strstr(acts, "warn 0\n"));
}

static void files_that_vanish_are_blindness(void **state)
{
    (void)state;
    const ac_msg h = hello();
    start(&h);
    pass(1000);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/proc", root);
    assert_int_equal(ac_remove_tree(path, NULL), AC_OK);
    for (int i = 0; i < 40; i++) pass(1000);
    assert_false(a.valid);
    assert_non_null(strstr(acts, "warn 0\n"));
    assert_non_null(strstr(acts, "pause 0\n"));
}

static void no_memory_is_a_sample_that_is_not_valid(void **state)
{
    (void)state;
    const ac_msg h = hello();
    start(&h);
    pass(1000);
    ac_fault_arm(AC_FAULT_ALLOC, 1);
    bool blind = false;
    for (int i = 0; i < 6; i++) {                        /* the table of processes, which needs memory, is read every 5 s */
        pass(1000);
        blind |= !a.valid;
    }
    ac_fault_disarm();
    assert_true(blind);
    pass(1000);
    assert_true(a.valid);
}

/* A run on a GPU has that GPU's signals: it runs hot, and the run pauses. */
static void a_gpu_is_looked_at(void **state)
{
    (void)state;
    if (!ACCORD_NVML_STUBS[0]) return;                   /* a static program opens no libraries */
    ac_msg h = hello();
    h.gpu = 1;
    void *lib = dlopen(ACCORD_NVML_STUBS "/nvml_stub_whole.so", RTLD_NOW | RTLD_LOCAL);
    nvml_stub_state *stub = lib ? dlsym(lib, "nvml_stub") : NULL;
    assert_non_null(stub);
    assert_int_equal(setenv("ACCORD_NVML_LIB", ACCORD_NVML_STUBS "/nvml_stub_whole.so", 1), 0);
    start(&h);
    assert_int_equal(unsetenv("ACCORD_NVML_LIB"), 0);
    pass(1000);
    assert_true(a.in.read[AC_SIG_GPU_SLOWED].measured && a.in.read[AC_SIG_GPU_SLOWED].value == 0);
    stub->gpu[0].reasons = 0x40;
    for (int i = 0; i < 35; i++) pass(1000);
    assert_non_null(strstr(acts, "pause 0\n"));
    ac_actor_end(&a, &at);
    assert_int_equal(stub->shutdowns, stub->inits);
    stub->gpu[0].reasons = 0;
}

static void a_trainer_out_of_its_mind(void **state)
{
    (void)state;
    const ac_msg h = hello();
    start(&h);
    assert_int_equal(write(fds[1], "nonsense", 8), 8);
    pass(1000);
    assert_int_equal(a.ch.fd, -1);                       /* whoever runs the loop closes its end */
}

static void peaks(void **state)
{
    (void)state;
    const ac_msg h = hello();
    assert_int_equal(ac_actor_peak(&h, 8), 800 * 1024);
    assert_int_equal(ac_actor_peak(&h, 9), 800 * 1024);
    assert_int_equal(ac_actor_peak(&h, 4), 600 * 1024);
    assert_int_equal(ac_actor_peak(&h, 1), 450 * 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(quiet_run, up, down),
        cmocka_unit_test_setup_teardown(smaller_and_smaller, up, down),
        cmocka_unit_test_setup_teardown(red_memory_saves_and_ends, up, down),
        cmocka_unit_test_setup_teardown(emergency_drops, up, down),
        cmocka_unit_test_setup_teardown(long_units_are_no_silence, up, down),
        cmocka_unit_test_setup_teardown(smallest_moves, up, down),
        cmocka_unit_test_setup_teardown(outside_its_hours, up, down),
        cmocka_unit_test_setup_teardown(steps_slow_down, up, down),
        cmocka_unit_test_setup_teardown(files_that_vanish_are_blindness, up, down),
        cmocka_unit_test_setup_teardown(no_memory_is_a_sample_that_is_not_valid, up, down),
        cmocka_unit_test_setup_teardown(a_gpu_is_looked_at, up, down),
        cmocka_unit_test_setup_teardown(a_trainer_out_of_its_mind, up, down),
        cmocka_unit_test(peaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
