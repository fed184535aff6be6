/* The binary64 functions against libm in long double (used here as an oracle only), and special cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <math.h>

#include "base/rng.h"
#include "kernels/kernels.h"

static uint64_t g_draw;

/* Uniform in [lo, hi) from 53 random bits. */
static double draw(double lo, double hi)
{
    const uint64_t a = ac_rng_u32(11, AC_RNG_TEST, 0, g_draw), b = ac_rng_u32(11, AC_RNG_TEST, 1, g_draw);
    g_draw++;
    return lo + (hi - lo) * ((double)((a << 32 | b) >> 11) * 0x1p-53);
}

/* Distance in units of the spacing of binary64 (or binary32) at want. */
static double ulps(double got, long double want, int mantissa_bits, int min_exponent)
{
    int e = 0;
    if (want != 0.0L) (void)frexpl(want, &e);
    else e = min_exponent;
    if (e < min_exponent) e = min_exponent;
    return (double)(fabsl((long double)got - want) / ldexpl(1.0L, e - mantissa_bits));
}

static double ulps64(double got, long double want) { return ulps(got, want, 53, -1021); }
static double ulps32(float got, long double want) { return ulps((double)got, want, 24, -125); }

static void worst(const char *what, double found, double limit)
{
    print_message("  %-28s %.3f ulp (limit %.2f)\n", what, found, limit);
    assert_true(found <= limit);
}

static void sincos_is_within_one_ulp(void **state)
{
    (void)state;
    double s_worst = 0, c_worst = 0, cos64 = 0;
    for (int i = 0; i < 200000; i++) {
        double x;
        switch (i % 4) {
        case 0:  x = draw(-8, 8); break;
        case 1:  x = floor(draw(0, 8192)) * exp2(draw(-20, 0)); break;
        case 2:  x = draw(-0x1p31, 0x1p31); break;
        default: x = rint(draw(-1e6, 1e6)) * 1.5707963267948966; break;   /* next to a multiple of pi/2 */
        }
        float s, c;
        ac_sincos(x, &s, &c);
        s_worst = fmax(s_worst, ulps32(s, sinl((long double)x)));
        c_worst = fmax(c_worst, ulps32(c, cosl((long double)x)));
        cos64 = fmax(cos64, ulps64(ac_cos_f64(x), cosl((long double)x)));
    }
    worst("sin", s_worst, 0.51);
    worst("cos", c_worst, 0.51);
    worst("cos binary64", cos64, 1.0);
}

static void sincos_special(void **state)
{
    (void)state;
    float s, c;
    ac_sincos(0.0, &s, &c);
    assert_true(s == 0.0f && c == 1.0f);
    ac_sincos(3.14159265358979311600, &s, &c);
    assert_true(c == -1.0f && s == (float)1.2246467991473532e-16);
    ac_sincos(1e-30, &s, &c);
    assert_true(s == 1e-30f && c == 1.0f);
    assert_true(ac_cos_f64(0.0) == 1.0);
    float s2, c2;
    ac_sincos(1.25, &s, &c);
    ac_sincos(-1.25, &s2, &c2);
    assert_true(s == -s2 && c == c2);
}

static void exp_is_within_limit(void **state)
{
    (void)state;
    double near = 0, far = 0, tiny = 0;
    for (int i = 0; i < 200000; i++) {
        const double a = draw(-1, 1), b = draw(-708, 709.7), c = draw(-745, -708);
        near = fmax(near, ulps64(ac_exp_f64(a), expl((long double)a)));
        far = fmax(far, ulps64(ac_exp_f64(b), expl((long double)b)));
        tiny = fmax(tiny, ulps64(ac_exp_f64(c), expl((long double)c)));
    }
    worst("exp near 0", near, 1.0);
    worst("exp", far, 1.0);
    worst("exp denormal", tiny, 1.1);
    assert_true(ac_exp_f64(0.0) == 1.0);
    assert_true(ac_exp_f64(-0.0) == 1.0);
    assert_true(ac_exp_f64(-1e6) == 0.0 && ac_exp_f64(-(double)INFINITY) == 0.0);
    assert_true(isinf(ac_exp_f64(1e6)) && isinf(ac_exp_f64((double)INFINITY)));
    assert_true(isnan(ac_exp_f64((double)NAN)));
}

static void log_is_within_limit(void **state)
{
    (void)state;
    double one = 0, all = 0;
    for (int i = 0; i < 200000; i++) {
        const double a = draw(0.5, 2), b = exp2(draw(-1074, 1023));
        one = fmax(one, ulps64(ac_log_f64(a), logl((long double)a)));
        if (b > 0) all = fmax(all, ulps64(ac_log_f64(b), logl((long double)b)));
    }
    worst("log near 1", one, 1.0);
    worst("log", all, 1.0);
    assert_true(ac_log_f64(1.0) == 0.0);
    assert_true(isinf(ac_log_f64(0.0)) && ac_log_f64(0.0) < 0);
    assert_true(isnan(ac_log_f64(-1.0)) && isnan(ac_log_f64((double)NAN)));
    assert_true(isinf(ac_log_f64((double)INFINITY)));
}

static void pow_is_within_limit(void **state)
{
    (void)state;
    double theta = 0, decay = 0, wide = 0;
    for (int i = 0; i < 100000; i++) {
        const double e = -draw(0, 1), steps = floor(draw(1, 40000));
        theta = fmax(theta, ulps64(ac_pow_f64(1e5, e), powl(1e5L, (long double)e)));
        decay = fmax(decay, ulps64(ac_pow_f64(0.999, steps), powl((long double)0.999, (long double)steps)));
        const double b = exp2(draw(-40, 40)), x = draw(-2, 2);
        wide = fmax(wide, ulps64(ac_pow_f64(b, x), powl((long double)b, (long double)x)));
    }
    worst("pow rotary", theta, 1.0);
    worst("pow 0.999^t", decay, 1.0);
    worst("pow wide", wide, 2.0);
    assert_true(ac_pow_f64(10000.0, 0.0) == 1.0 && ac_pow_f64(1.0, 5.0) == 1.0);
    assert_true(ac_pow_f64(10000.0, 0.5) == 100.0 && ac_pow_f64(2.0, 10.0) == 1024.0);
    assert_true(ac_pow_f64(0.9, 1.0) == 0.9);
    assert_true(ac_pow_f64(2.0, 5000.0) > 1e308 && ac_pow_f64(2.0, -5000.0) == 0.0);
    assert_true(isnan(ac_pow_f64(2.0, (double)NAN)));
    assert_true(isnan(ac_pow_f64(-1.0, 2.0)) && isnan(ac_pow_f64(0.0, 1.0)));
}

/* The bits are a contract: these few were written down once, and may change only with AC_NUMERICS_FP32. */
static void bits_are_pinned(void **state)
{
    (void)state;
    uint64_t h = 0xcbf29ce484222325ull;
    for (int i = 0; i < 5000; i++) {
        const double x = (double)i * 0.7391 - 1800.0;
        float s, c;
        ac_sincos(x, &s, &c);
        const double v[] = { (double)s, (double)c, ac_exp_f64(x / 3), ac_log_f64((double)i + 0.25),
                             ac_pow_f64((double)i + 1.5, 0.3), ac_cos_f64(x) };
        for (size_t j = 0; j < sizeof v / sizeof v[0]; j++) {
            uint64_t bits;
            memcpy(&bits, &v[j], sizeof bits);
            h = (h ^ bits) * 0x100000001b3ull;
        }
    }
    print_message("  digest %016llx\n", (unsigned long long)h);
    assert_true(h == 0x4050503b80e6c834ull);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sincos_is_within_one_ulp), cmocka_unit_test(sincos_special),
        cmocka_unit_test(exp_is_within_limit),      cmocka_unit_test(log_is_within_limit),
        cmocka_unit_test(pow_is_within_limit),      cmocka_unit_test(bits_are_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
