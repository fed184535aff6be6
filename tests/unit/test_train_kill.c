/* SIGKILL at random moments: a run that is killed again and again and resumed each time leaves the bytes of one that
 * was never disturbed. The seed is printed; ACCORD_KILL_SEED repeats it, ACCORD_KILLS asks for more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "base/time.h"
#include "train_run.h"

/* The child opens everything itself: threads do not survive a fork. */
static ac_status train_once(const char *dir, size_t threads, uint64_t save_every)
{
    tiny t;
    ac_dataset rows = tiny_rows(48, 24, 97, 1), valid = tiny_rows(6, 24, 97, 2);
    ac_train_opts o = tiny_opts();
    o.epochs = 8;
    o.dropout = 0.05;
    o.eval_every = 10;
    o.save_every = save_every;
    if (!tiny_open(&t, TINY_LLAMA, AC_CPU_AUTO, threads)) return AC_ESTATE;
    ac_train_job j = tiny_job(&t, &o, &rows, &valid, dir);
    ac_train_result r;
    ac_err err = { 0 };
    const ac_status st = go_on(&j, &r, &err);
    if (st) fprintf(stderr, "%s\n", err.text);
    tiny_close(&t);
    tiny_rows_drop(&rows);
    tiny_rows_drop(&valid);
    return st;
}

static void nap(int64_t ns)
{
    const struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
    (void)nanosleep(&ts, NULL);
}

/* True when the child came to its end before the kill. */
static bool child_until(const char *dir, int64_t ns)
{
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(train_once(dir, 1, 3) ? 1 : 0);
    nap(ns);
    assert_int_equal(kill(pid, SIGKILL), 0);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status)) return false;
    assert_int_equal(WEXITSTATUS(status), 0);
    return true;
}

static void killed_again_and_again(void **state)
{
    (void)state;
    const char *env = getenv("ACCORD_KILL_SEED"), *more = getenv("ACCORD_KILLS");
    const uint64_t seed = env ? strtoull(env, NULL, 10) : (uint64_t)ac_utc_ns();
    const long wanted = more ? strtol(more, NULL, 10) : 12;
    printf("ACCORD_KILL_SEED=%llu\n", (unsigned long long)seed);

    char calm[256];
    (void)snprintf(calm, sizeof calm, "%s", tiny_dir());
    const int64_t start = ac_mono_ns();
    assert_int_equal(train_once(calm, 2, 1000), AC_OK);
    const int64_t whole_ns = ac_mono_ns() - start;
    const outcome_bits want = bits_of(calm);

    long kills = 0, ends = 0;
    for (uint64_t round = 0; kills < wanted; round++) {
        const char *dir = tiny_dir();
        for (uint64_t turn = 0;; turn++) {
            const double u = (double)ac_rng_unit(seed, AC_RNG_TEST, round, turn);
            if (child_until(dir, (int64_t)(u * 0.35 * (double)whole_ns))) break;
            kills++;
            if (turn > 20) {                            /* enough: the last one may finish */
                assert_int_equal(train_once(dir, 1, 3), AC_OK);
                break;
            }
        }
        ends++;
        const outcome_bits got = bits_of(dir);
        if (!same_bits(&got, &want)) fail_msg("round %u differs, see %s", (unsigned)round, dir);
        assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    }
    printf("%ld kills in %ld runs, all with the bytes of the undisturbed run\n", kills, ends);
    assert_int_equal(ac_remove_tree(calm, NULL), AC_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(killed_again_and_again) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
