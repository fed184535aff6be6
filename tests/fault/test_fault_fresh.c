/* A model of random weights: each allocation and each I/O call that fails leaves no folder and no memory behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/fault.h"
#include "train_tiny.h"

static void each_failure(ac_fault_kind kind)
{
    const char *dir = tiny_dir();
    const char *config = ACCORD_SOURCE_DIR "/tests/oracle/models/qwen3/config.json";
    const char *tokenizer = ACCORD_SOURCE_DIR "/examples/tiny-base/model";
    const int64_t live = ac_live_bytes();
    char path[300];
    long nth = 1;
    (void)snprintf(path, sizeof path, "%s/model", dir);
    for (bool fired = true; fired; nth++) {
        ac_err err = { 0 };
        uint64_t n = 0;
        ac_fault_arm(kind, nth);
        const ac_status st = ac_model_new(path, config, tokenizer, 3, &n, &err);
        fired = ac_fault_fired();
        ac_fault_disarm();
        if (fired != (st != AC_OK)) fail_msg("failure %ld: %s", nth, st ? err.text : "went unnoticed");
        if (st && !err.text[0]) fail_msg("failure %ld has no text", nth);
        if (ac_live_bytes() != live) fail_msg("failure %ld leaks", nth);
        if (fired && kind == AC_FAULT_ALLOC && ac_path_exists(path)) fail_msg("failure %ld leaves a folder", nth);
        assert_int_equal(ac_remove_tree(path, NULL), AC_OK);
    }
    printf("%ld calls\n", nth);
    assert_true(nth > 8);
    assert_int_equal(ac_remove_tree(dir, NULL), AC_OK);
}

static void nth_allocation(void **state)
{
    (void)state;
    each_failure(AC_FAULT_ALLOC);
}

static void nth_io_call(void **state)
{
    (void)state;
    each_failure(AC_FAULT_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nth_allocation), cmocka_unit_test(nth_io_call) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
