#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/kernels.h"

static void names_go_both_ways(void **state)
{
    AC_UNUSED(state);
    for (int i = AC_CPU_AUTO; i <= AC_CPU_NEON; i++) {
        ac_cpu c = AC_CPU_AUTO;
        assert_true(ac_cpu_parse(ac_cpu_name((ac_cpu)i), &c));
        assert_int_equal(c, i);
    }
    ac_cpu c = AC_CPU_AVX2;
    assert_false(ac_cpu_parse("avx", &c));
    assert_false(ac_cpu_parse("", &c));
    assert_false(ac_cpu_parse("AVX2", &c));
    assert_int_equal(c, AC_CPU_AVX2);
    assert_string_equal(ac_cpu_name((ac_cpu)99), "unknown");
}

/* Every slot of every tier that this machine has is set; a tier that it lacks is refused by name. */
static void tiers_fill_or_refuse(void **state)
{
    AC_UNUSED(state);
    static const struct { ac_cpu tier; unsigned flag; } tiers[] = {
        { AC_CPU_REF, 0 }, { AC_CPU_AVX2, AC_HAS_AVX2 }, { AC_CPU_AVX512, AC_HAS_AVX512 },
        { AC_CPU_NEON, AC_HAS_NEON },
    };
    for (size_t i = 0; i < AC_COUNTOF(tiers); i++) {
        ac_kernels k;
        ac_err err = { 0 };
        memset(&k, 0, sizeof k);
        const ac_status st = ac_kernels_init(&k, tiers[i].tier, &err);
        if ((ac_cpu_flags() & tiers[i].flag) != tiers[i].flag) {
            assert_int_equal(st, AC_EARG);
            assert_non_null(strstr(err.text, ac_cpu_name(tiers[i].tier)));
            assert_non_null(strstr(err.text, "ref"));
            assert_int_equal(k.tier, AC_CPU_AUTO);
            continue;
        }
        assert_int_equal(st, AC_OK);
        assert_int_equal(k.tier, tiers[i].tier);
        void (*slot[(sizeof k - offsetof(ac_kernels, matmul)) / sizeof(void (*)(void))])(void);
        memcpy(slot, (const char *)&k + offsetof(ac_kernels, matmul), sizeof slot);
        for (size_t j = 0; j < AC_COUNTOF(slot); j++)
            assert_true(slot[j] != NULL);
    }
}

static void auto_takes_the_best(void **state)
{
    AC_UNUSED(state);
    ac_kernels k;
    assert_int_equal(ac_kernels_init(&k, AC_CPU_AUTO, NULL), AC_OK);
    const unsigned f = ac_cpu_flags();
    if (f & AC_HAS_AVX512) assert_int_equal(k.tier, AC_CPU_AVX512);
    else if (f & AC_HAS_AVX2) assert_int_equal(k.tier, AC_CPU_AVX2);
    assert_true(!(f & AC_HAS_AVX512) || (f & AC_HAS_AVX2));   /* tiers are cumulative */
    const char *model = ac_cpu_model();
    assert_true(strlen(model) < 64 && model[0] != ' ');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(tiers_fill_or_refuse),
        cmocka_unit_test(auto_takes_the_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
