#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/fault.h"
#include "generate/generate.h"
#include "train_tiny.h"

#define N 5

/* The n-th allocation fails, and all after it: a clear error, nothing given, nothing leaked. */
static void nth_allocation(void **state)
{
    (void)state;
    static const int32_t prompt[] = { 5, 6, 7, 8, 9, 10, 11 };
    const ac_gen_opts modes[] = {
        { .max_tokens = 40, .ignore_stop = true, .max_batch = 2 },
        { .max_tokens = 9, .ignore_stop = true, .temperature = 1, .top_k = 5, .top_p = 0.9 },
    };
    for (size_t m = 0; m < AC_COUNTOF(modes); m++) {
        ac_gen_request req[N];
        for (size_t i = 0; i < N; i++) req[i] = (ac_gen_request){ .prompt = prompt, .n_prompt = i + 1, .number = i };
        long nth = 1;
        for (;; nth++) {
            ac_gen_answer a[N] = { 0 };
            ac_err err = { 0 };
            tiny t1;                                    /* a model keeps its buffers: a new one each round */
            assert_true(tiny_open(&t1, TINY_LLAMA, AC_CPU_AUTO, 1));
            ac_fault_arm(AC_FAULT_ALLOC, nth);
            const ac_status st = ac_generate(t1.model, NULL, req, N, &modes[m], a, NULL, NULL, NULL, &err);
            const bool fired = ac_fault_fired();
            ac_fault_disarm();
            if (!fired) assert_int_equal(st, AC_OK);
            else if (st != AC_ENOMEM || !err.text[0]) fail_msg("allocation %ld: %s", nth, err.text);
            for (size_t i = 0; i < N; i++) {
                if (st) assert_null(a[i].ids.id);
                ac_ids_release(&a[i].ids);
            }
            tiny_close(&t1);
            if (ac_live_bytes() != 0) fail_msg("allocation %ld leaks", nth);
            if (!fired) break;
        }
        printf("%ld allocations\n", nth - 1);
        assert_true(nth > 8);
    }
}

/* The same for a turn over a kept cache, which is empty and usable afterwards. */
static void nth_allocation_with_cache(void **state)
{
    (void)state;
    static const int32_t prompt[] = { 5, 6, 7, 8, 9, 10, 11 };
    long nth = 1;
    for (;; nth++) {
        tiny t1;
        ac_gen_cache cache = { 0 };
        const ac_gen_opts o = { .max_tokens = 5, .ignore_stop = true, .cache = &cache };
        ac_gen_request r = { .prompt = prompt, .n_prompt = 3 };
        ac_gen_answer a = { 0 };
        ac_err err = { 0 };
        assert_true(tiny_open(&t1, TINY_LLAMA, AC_CPU_AUTO, 1));
        ac_fault_arm(AC_FAULT_ALLOC, nth);
        const ac_status st = ac_generate(t1.model, NULL, &r, 1, &o, &a, NULL, NULL, NULL, &err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        if (!fired) assert_int_equal(st, AC_OK);
        else if (st != AC_ENOMEM || !err.text[0]) fail_msg("allocation %ld: %s", nth, err.text);
        if (st) assert_true(!cache.kv && !cache.ids.n && !a.ids.id);
        ac_ids_release(&a.ids);
        r.n_prompt = 6;
        assert_int_equal(ac_generate(t1.model, NULL, &r, 1, &o, &a, NULL, NULL, NULL, &err), AC_OK);
        assert_int_equal(a.ids.n, 5);
        ac_ids_release(&a.ids);
        ac_gen_cache_close(&cache);
        tiny_close(&t1);
        if (ac_live_bytes() != 0) fail_msg("allocation %ld leaks", nth);
        if (!fired) break;
    }
    assert_true(nth > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nth_allocation), cmocka_unit_test(nth_allocation_with_cache) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
