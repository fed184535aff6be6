/* kernels/scalar_math.c - binary64 functions for tables and schedules (B2: libm's differ from one machine
 * to the next). Only + - * /, fma and integer operations; docs/numerics.md quotes the coefficients. */
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>
#include "base/compiler.h"

typedef struct {
    double hi, lo;
} pair;

static uint64_t bits_of(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static double of_bits(uint64_t u)
{
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* 2^n for -1022 <= n <= 1023. */
static double pow2(int64_t n)
{
    return of_bits((uint64_t)(n + 1023) << 52);
}

/* c[0] + x (c[1] + x (...)), one fma a step. */
static double polynomial(const double *c, size_t n, double x)
{
    double p = c[n - 1];
    for (size_t i = n - 1; i-- > 0;) p = fma(p, x, c[i]);
    return p;
}

/* a + b exactly, |a| >= |b| or a = 0. */
static pair two_sum_ordered(double a, double b)
{
    const double s = a + b;
    return (pair){ s, b - (s - a) };
}

/* ---- sin and cos --------------------------------------------------------------------------------- */

/* sin(r) = r + r^3 S(r^2) and cos(r) = 1 - r^2/2 + r^4 C(r^2) for |r| <= pi/4. */
static const double sin_c[6] = {
    -0x1.5555555555549p-3, 0x1.111111110f892p-7, -0x1.a01a019c121a7p-13,
    0x1.71de3576bbf1fp-19, -0x1.ae5e64a69bf62p-26, 0x1.5d925cec75065p-33,
};
static const double cos_c[6] = {
    0x1.555555555554cp-5, -0x1.6c16c16c15210p-10, 0x1.a01a019cbcd8cp-16,
    -0x1.27e4f81044eb7p-22, 0x1.1ee9ef52001acp-29, -0x1.8fb001078fe1fp-37,
};
#define HALF_PI_1   0x1.921fb54442d18p+0
#define HALF_PI_2   0x1.1a62633145c07p-54
#define HALF_PI_3   (-0x1.f1976b7ed8fbcp-110)
#define TWO_OVER_PI 0x1.45f306dc9c883p-1
#define ROUND_MAGIC 0x1.8p52

/* x = quarter * pi/2 + (hi + lo), |hi| <= pi/4 and a little; quarter mod 4. The first fma is exact, for
 * quarter has at most 31 bits and its product with HALF_PI_1 no bit under those that x cancels. */
static pair reduce(double x, unsigned *quarter)
{
    const double t = fma(x, TWO_OVER_PI, ROUND_MAGIC);
    const double n = t - ROUND_MAGIC;
    *quarter = (unsigned)(bits_of(t) & 3u);
    const double a = fma(-n, HALF_PI_1, x);
    const double b = fma(-n, HALF_PI_2, a);
    /* What b lost: n * HALF_PI_2 = w + w_lo exactly, and a - w = b' + ... by Knuth's two-sum. */
    const double w = n * HALF_PI_2, w_lo = fma(n, HALF_PI_2, -w);
    const double s = a - w, bb = s - a;
    const double lost = (a - (s - bb)) - (w + bb);
    const double tail = ((s - b) + lost) - w_lo;
    return two_sum_ordered(b, fma(-n, HALF_PI_3, tail));
}

static double sin_kernel(pair r)
{
    const double z = r.hi * r.hi;
    /* d/dr sin = cos: the low part adds lo * (1 - z/2). */
    const double low = fma(r.lo, fma(-0.5, z, 1.0), (r.hi * z) * polynomial(sin_c, 6, z));
    return r.hi + low;
}

static double cos_kernel(pair r)
{
    const double z = r.hi * r.hi, z_lo = fma(r.hi, r.hi, -z);
    const double h = 1.0 - 0.5 * z, lost = (1.0 - h) - 0.5 * z;
    double low = (z * z) * polynomial(cos_c, 6, z);
    low = fma(-r.hi, r.lo, low) + fma(-0.5, z_lo, lost);
    return h + low;
}

static double sin_quarter(pair r, unsigned quarter)
{
    const double y = quarter & 1u ? cos_kernel(r) : sin_kernel(r);
    return quarter & 2u ? -y : y;
}

void ac_sincos(double x, float *sin_out, float *cos_out)
{
    unsigned quarter;
    const pair r = reduce(x, &quarter);
    *sin_out = (float)sin_quarter(r, quarter);
    *cos_out = (float)sin_quarter(r, quarter + 1u);
}

double ac_cos_f64(double x)
{
    unsigned quarter;
    const pair r = reduce(x, &quarter);
    return sin_quarter(r, quarter + 1u);
}

/* ---- exp ----------------------------------------------------------------------------------------- */

static const double exp_c[11] = {          /* exp(r) = 1 + (r + r^2 (c0 + r (c1 + ...))) */
    0x1.0000000000000p-1, 0x1.555555555555dp-3, 0x1.555555555556bp-5, 0x1.111111110e58fp-7,
    0x1.6c16c16c0b667p-10, 0x1.a01a01b5b8036p-13, 0x1.a01a01de009ecp-16, 0x1.71ddec3f9f3eap-19,
    0x1.27e4790bfc386p-22, 0x1.af714d97fced1p-26, 0x1.20007d8cbbc0dp-29,
};
#define LOG2_E     0x1.71547652b82fep+0
#define EXP_LN2_HI 0x1.62e42fefa39efp-1
#define EXP_LN2_LO 0x1.abc9e3b39803fp-56

/* exp(x + x_lo), |x_lo| tiny beside x. */
static double exp_pair(double x, double x_lo)
{
    if (x != x) return x;                          /* NaN has no integer part to scale by */
    x = x < -750.0 ? -750.0 : x;
    x = x > 710.0 ? 710.0 : x;
    const double t = fma(x, LOG2_E, ROUND_MAGIC);
    const double n = t - ROUND_MAGIC;
    const double a = fma(-n, EXP_LN2_HI, x);
    const double r = a + fma(-n, EXP_LN2_LO, x_lo);
    const double r_lo = fma(-n, EXP_LN2_LO, x_lo) - (r - a);
    const double p = fma(r * r, polynomial(exp_c, 11, r), r_lo);
    /* 1 + (r + p), the sum's own rounding error kept. */
    const pair s = two_sum_ordered(1.0, r);
    const double y = s.hi + (s.lo + p);
    const int64_t k = (int64_t)n, half = k >= 0 ? k / 2 : -((1 - k) / 2);
    return y * pow2(half) * pow2(k - half);
}

double ac_exp_f64(double x)
{
    return exp_pair(x, 0.0);
}

/* ---- log and pow --------------------------------------------------------------------------------- */

static const double log_c[8] = {           /* log(m) = 2s + s^3 (c0 + s^2 (c1 + ...)), s = f/(2+f) */
    0x1.5555555555555p-1, 0x1.9999999999d16p-2, 0x1.2492492438e49p-2, 0x1.c71c724c4653ep-3,
    0x1.745ce179fedeap-3, 0x1.3b2033180e214p-3, 0x1.0f65e744617ccp-3, 0x1.0f1aca2048dc5p-3,
};
#define LOG_LN2_HI 0x1.62e42fefa3800p-1    /* 42 bits: e * LN2_HI is exact */
#define LOG_LN2_LO 0x1.ef35793c76730p-45
#define SQRT_HALF  0x3fe6a09e667f3bcdULL   /* bits */

/* log(x) as hi + lo, about 2^-62 off; x > 0 and finite. */
static pair log_pair(double x)
{
    int64_t e = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        e = -54;
    }
    const uint64_t bits = bits_of(x) - SQRT_HALF;
    e += (int64_t)(bits >> 52) - (bits >> 63 ? 4096 : 0);
    const double f = of_bits((bits & 0xfffffffffffffULL) + SQRT_HALF) - 1.0;
    const double n = (double)e;
    /* s = f / (2 + f) with its error: 2 + f is d + d_lo exactly. */
    const pair d = two_sum_ordered(2.0, f);
    const double s = f / d.hi;
    const double s_lo = fma(-s, d.lo, fma(-s, d.hi, f)) / d.hi;
    const double z = s * s;
    const double tail = fma(s * z, polynomial(log_c, 8, z), fma(n, LOG_LN2_LO, 2.0 * s_lo));
    const pair a = n != 0.0 ? two_sum_ordered(n * LOG_LN2_HI, 2.0 * s) : (pair){ 2.0 * s, 0.0 };
    return two_sum_ordered(a.hi, a.lo + tail);
}

double ac_log_f64(double x)
{
    if (!(x > 0.0)) return x == 0.0 ? -(double)INFINITY : (double)NAN;
    if (x > 0x1.fffffffffffffp1023) return x;
    return log_pair(x).hi;
}

double ac_pow_f64(double base, double exponent)
{
    if (!(base > 0.0) || base > 0x1.fffffffffffffp1023) return (double)NAN;
    const pair l = log_pair(base);
    const double hi = exponent * l.hi;
    if (!(hi > -1000.0 && hi < 1000.0)) return ac_exp_f64(hi);
    return exp_pair(hi, fma(exponent, l.lo, fma(exponent, l.hi, -hi)));
}
