#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/size.h"

static void blocks_are_aligned_and_counted(void **state)
{
    (void)state;
    const int64_t before = ac_live_bytes();
    void *p[40];
    int64_t want = before;
    for (size_t i = 0; i < 40; i++) {
        const size_t n = i * i;
        p[i] = i % 3 == 0 ? ac_malloc(n) : i % 3 == 1 ? ac_calloc(n, 1) : ac_malloc_aligned(n);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % (i % 3 == 2 ? 64 : 16), 0);
        if (i % 3 == 1)
            for (size_t k = 0; k < n; k++) assert_int_equal(((char *)p[i])[k], 0);
        memset(p[i], 0xa5, n);
        want += (int64_t)n;
        assert_int_equal(ac_live_bytes(), want);
    }
    assert_true(ac_peak_bytes() >= want);
    for (size_t i = 0; i < 40; i++) ac_free(p[i]);
    ac_free(NULL);
    assert_int_equal(ac_live_bytes(), before);
}

static void realloc_keeps_what_fits(void **state)
{
    (void)state;
    for (int aligned = 0; aligned < 2; aligned++) {
        unsigned char *p = aligned ? ac_malloc_aligned(100) : ac_malloc(100);
        for (unsigned i = 0; i < 100; i++) p[i] = (unsigned char)i;
        p = ac_realloc(p, 5000);
        assert_int_equal((uintptr_t)p % (aligned ? 64 : 16), 0);
        for (unsigned i = 0; i < 100; i++) assert_int_equal(p[i], i);
        p = ac_realloc(p, 10);
        for (unsigned i = 0; i < 10; i++) assert_int_equal(p[i], i);
        assert_int_equal(ac_live_bytes(), 10);
        ac_free(p);
    }
    char *s = ac_realloc(NULL, 3);
    ac_free(s);
    s = ac_strdup("hello");
    assert_string_equal(s, "hello");
    ac_free(s);
    assert_int_equal(ac_live_bytes(), 0);
}

static void absurd_sizes_are_refused(void **state)
{
    (void)state;
    assert_null(ac_malloc(SIZE_MAX));
    assert_null(ac_malloc(SIZE_MAX - 16));
    assert_null(ac_malloc_aligned(SIZE_MAX - 64));
    assert_null(ac_calloc(SIZE_MAX / 2, 3));
    assert_null(ac_calloc((size_t)1 << 33, (size_t)1 << 33));
    assert_int_equal(ac_live_bytes(), 0);
}

static void arenas_give_zeroed_aligned_memory(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    for (size_t i = 0; i < 3000; i++) {
        const size_t n = i % 97 == 0 ? 30000 + i : i % 50;
        unsigned char *p = ac_arena_alloc(&a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t k = 0; k < n; k++) assert_int_equal(p[k], 0);
        memset(p, 0xff, n);
    }
    assert_string_equal(ac_arena_strndup(&a, "abcdef", 3), "abc");
    assert_string_equal(ac_arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    assert_null(ac_arena_alloc(&a, SIZE_MAX - 3));
    assert_null(ac_arena_alloc_array(&a, SIZE_MAX / 4, 8));
    ac_arena_release(&a);
    assert_int_equal(a.used_bytes, 0);
    assert_int_equal(ac_live_bytes(), 0);
    assert_non_null(ac_arena_alloc(&a, 1));          /* usable again */
    ac_arena_release(&a);
    ac_arena_release(&a);
}

static void arenas_do_not_waste_large_blocks(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    for (size_t i = 0; i < 1000; i++) assert_non_null(ac_arena_alloc(&a, 64 << 10));
    assert_true(ac_live_bytes() < (int64_t)a.used_bytes + (int64_t)(2 << 20));
    ac_arena_release(&a);
}

static void arenas_have_a_maximum(void **state)
{
    (void)state;
    ac_arena a = { .max_bytes = 1000 };
    assert_non_null(ac_arena_alloc(&a, 900));
    assert_null(ac_arena_alloc(&a, 200));
    assert_non_null(ac_arena_alloc(&a, 80));
    ac_arena_release(&a);
}

static void sizes_are_checked(void **state)
{
    (void)state;
    size_t v = 77;
    assert_true(ac_size_add(&v, SIZE_MAX - 1, 1) && v == SIZE_MAX);
    assert_false(ac_size_add(&v, SIZE_MAX, 1));
    assert_true(v == SIZE_MAX);
    assert_true(ac_size_mul(&v, SIZE_MAX, 0) && v == 0);
    assert_true(ac_size_mul(&v, 0, SIZE_MAX) && v == 0);
    assert_true(ac_size_mul(&v, SIZE_MAX, 1) && v == SIZE_MAX);
    assert_false(ac_size_mul(&v, SIZE_MAX / 2 + 1, 2));
    assert_true(ac_size_range(10, 10, 0) && ac_size_range(10, 3, 7) && ac_size_range(0, 0, 0));
    assert_false(ac_size_range(10, 11, 0));
    assert_false(ac_size_range(10, 3, 8));
    assert_false(ac_size_range(10, SIZE_MAX, 2));
    assert_false(ac_size_range(10, 2, SIZE_MAX));
    assert_true(ac_size_count_fits(5, 2, 10));
    assert_false(ac_size_count_fits(6, 2, 10));
    assert_false(ac_size_count_fits(UINT64_MAX, 1, SIZE_MAX - 1));
    assert_false(ac_size_count_fits(11, 0, 10));
    assert_true(ac_size_from_i64(&v, 5) && v == 5);
    assert_false(ac_size_from_i64(&v, -1));
    assert_true(ac_size_from_u64(&v, 9) && v == 9);
    assert_true(ac_size_align(&v, 0, 32) && v == 0);
    assert_true(ac_size_align(&v, 33, 32) && v == 64);
    assert_false(ac_size_align(&v, SIZE_MAX - 3, 32));
    assert_false(ac_size_align(&v, 1, 0));
    assert_false(ac_size_align(&v, 1, 13));
    assert_true(v == 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_counted),
        cmocka_unit_test(realloc_keeps_what_fits),
        cmocka_unit_test(absurd_sizes_are_refused),
        cmocka_unit_test(arenas_give_zeroed_aligned_memory),
        cmocka_unit_test(arenas_do_not_waste_large_blocks),
        cmocka_unit_test(arenas_have_a_maximum),
        cmocka_unit_test(sizes_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
