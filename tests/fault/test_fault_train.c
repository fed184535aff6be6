#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/fault.h"
#include "train_run.h"

static tiny t1;
static ac_dataset rows, valid;
static ac_train_opts opts;
static outcome_bits want;
static int64_t live;

static outcome_bits left_in(const char *dir)
{
    if (opts.lora.tune != AC_TUNE_FULL) return bits_of(dir);
    return (outcome_bits){ tiny_file_hash(dir, "model/model.safetensors"), tiny_file_hash(dir, "model/config.json") };
}

static int open_with(ac_tune tune)
{
    rows = tiny_rows(8, 6, 97, 1);
    valid = tiny_rows(2, 6, 97, 2);
    opts = tiny_opts();
    opts.lora.rank = 2;
    opts.lora.tune = tune;
    opts.batch_rows = 4;
    opts.shards = 4;
    opts.save_every = 1;
    opts.eval_every = 2;
    opts.keep_checkpoints = 1;
    if (!tiny_open(&t1, TINY_LLAMA, AC_CPU_AUTO, 1)) return -1;
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(&t1, &opts, &rows, &valid, dir);
    ac_train_result r;
    if (ac_train_run(&j, &r, NULL)) return -1;
    want = left_in(dir);
    live = ac_live_bytes();
    return ac_remove_tree(dir, NULL);
}

static int open_lora(void **state)
{
    (void)state;
    return open_with(AC_TUNE_LORA);
}

static int open_full(void **state)
{
    (void)state;
    return open_with(AC_TUNE_FULL);
}

static int close_all(void **state)
{
    (void)state;
    tiny_close(&t1);
    tiny_rows_drop(&rows);
    tiny_rows_drop(&valid);
    return ac_live_bytes() == 0 ? 0 : -1;
}

/* The n-th call of a kind fails, and all after it; then the cause is gone and the run is taken up again. */
static bool fails_at(ac_fault_kind kind, long nth)
{
    const char *dir = tiny_dir();
    ac_train_job j = tiny_job(&t1, &opts, &rows, &valid, dir);
    ac_train_result r;
    ac_err err = { 0 };
    ac_fault_arm(kind, nth);
    const ac_status st = ac_train_run(&j, &r, &err);
    const bool fired = ac_fault_fired();
    ac_fault_disarm();
    if (!fired) assert_int_equal(st, AC_OK);
    if (st) {
        if (!err.text[0]) fail_msg("failure %ld has no text", nth);
        if (kind == AC_FAULT_ALLOC && st != AC_ENOMEM) fail_msg("allocation %ld: %s", nth, err.text);
        if (kind == AC_FAULT_IO && st != AC_EIO && st != AC_ECREATE) fail_msg("call %ld: %s", nth, err.text);
        if (ac_live_bytes() != live) fail_msg("failure %ld leaks", nth);
        ac_err again = { 0 };
        if (go_on(&j, &r, &again)) fail_msg("after failure %ld (%s): %s", nth, err.text, again.text);
    }
    const outcome_bits got = left_in(dir);
    if (!same_bits(&got, &want)) fail_msg("after failure %ld (%s) the bytes differ", nth, err.text);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
    assert_int_equal(ac_live_bytes(), live);
    return fired;
}

static void nth_io_call(void **state)
{
    (void)state;
    long nth = 1;
    while (fails_at(AC_FAULT_IO, nth)) nth += opts.lora.tune == AC_TUNE_FULL ? 5 : nth < 400 ? 1 : 7;
    printf("%ld I/O calls\n", nth);
    assert_true(nth > 100);
}

static void nth_allocation(void **state)
{
    (void)state;
    long nth = 1;
    while (fails_at(AC_FAULT_ALLOC, nth)) nth += opts.lora.tune == AC_TUNE_FULL ? (nth < 300 ? 3 : 61) : nth < 200 ? 1 : nth < 1000 ? 3 : 17;
    printf("%ld allocations\n", nth);
    assert_true(nth > 20);
}

/* Muon with 8-bit state allocates and writes the most. */
static int open_muon(void **state)
{
    (void)state;
    const int st = open_with(AC_TUNE_LORA);
    if (st) return st;
    const char *dir = tiny_dir();
    opts.optimizer = AC_OPTIM_MUON;
    opts.optimizer_state = AC_STATE_INT8;
    opts.momentum = 0.95;
    opts.epochs = 1;
    ac_train_job j = tiny_job(&t1, &opts, &rows, &valid, dir);
    ac_train_result r;
    if (ac_train_run(&j, &r, NULL)) return -1;
    want = bits_of(dir);
    return ac_remove_tree(dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nth_io_call), cmocka_unit_test(nth_allocation) };
    int bad = cmocka_run_group_tests_name("lora", tests, open_lora, close_all);
    bad += cmocka_run_group_tests_name("muon, 8-bit state", tests, open_muon, close_all);
    return bad + cmocka_run_group_tests_name("full", tests, open_full, close_all);
}
