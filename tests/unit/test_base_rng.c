/* Philox4x32-10 against the known answers published with Random123 (kat_vectors). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"

typedef struct {
    uint32_t ctr[4], key[2], want[4];
} vector;

static const vector vectors[] = {
    { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff },
      { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
      { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
};

static void known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const vector *v = &vectors[i];
        uint32_t got[4];
        /* R1: the counter is (index, step), the key is (seed low, seed high xor stream). */
        const uint64_t index = (uint64_t)v->ctr[1] << 32 | v->ctr[0];
        const uint64_t step = (uint64_t)v->ctr[3] << 32 | v->ctr[2];
        const uint32_t stream = 0x5a;
        const uint64_t seed = (uint64_t)(v->key[1] ^ stream) << 32 | v->key[0];
        ac_philox(got, seed, stream, step, index);
        assert_memory_equal(got, v->want, sizeof got);
    }
}

static void words_come_from_counters(void **state)
{
    (void)state;
    uint32_t four[4];
    ac_philox(four, 42, AC_RNG_TEST, 7, 1000);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(ac_rng_u32(42, AC_RNG_TEST, 7, 4000 + i), four[i]);
    assert_int_not_equal(ac_rng_u32(42, AC_RNG_INIT, 7, 0), ac_rng_u32(42, AC_RNG_TEST, 7, 0));
}

static void unit_is_in_range_and_even(void **state)
{
    (void)state;
    double sum = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        const float u = ac_rng_unit(1, AC_RNG_TEST, 0, i);
        assert_true(u >= 0.0f && u < 1.0f);
        assert_true((float)(uint32_t)(u * 16777216.0f) == u * 16777216.0f);
        sum += (double)u;
    }
    assert_true(sum / 20000 > 0.49 && sum / 20000 < 0.51);
}

static void below_is_in_range_and_covers(void **state)
{
    (void)state;
    unsigned seen[7] = { 0 };
    for (uint64_t i = 0; i < 7000; i++) seen[ac_rng_below(3, AC_RNG_TEST, 1, i, 7)]++;
    for (size_t i = 0; i < 7; i++) assert_true(seen[i] > 850 && seen[i] < 1150);
    assert_int_equal(ac_rng_below(3, AC_RNG_TEST, 1, 0, 1), 0);
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(ac_rng_below(3, AC_RNG_TEST, 1, i, 0x80000001u) <= 0x80000000u);
}

static void shuffle_is_a_permutation(void **state)
{
    (void)state;
    uint32_t a[1000], b[1000];
    unsigned char hit[1000] = { 0 };
    ac_rng_shuffle(a, 1000, 9, AC_RNG_SHUFFLE, 0);
    ac_rng_shuffle(b, 1000, 9, AC_RNG_SHUFFLE, 0);
    assert_memory_equal(a, b, sizeof a);
    ac_rng_shuffle(b, 1000, 9, AC_RNG_SHUFFLE, 1);
    assert_memory_not_equal(a, b, sizeof a);
    unsigned fixed = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(a[i] < 1000 && !hit[a[i]]);
        hit[a[i]] = 1;
        fixed += a[i] == i;
    }
    assert_true(fixed < 12);
    ac_rng_shuffle(a, 0, 9, AC_RNG_SHUFFLE, 0);
    ac_rng_shuffle(a, 1, 9, AC_RNG_SHUFFLE, 0);
    assert_int_equal(a[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(words_come_from_counters),
        cmocka_unit_test(unit_is_in_range_and_even),
        cmocka_unit_test(below_is_in_range_and_covers),
        cmocka_unit_test(shuffle_is_a_permutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
