/* kernels/vec_int.h - numbers and scalar pieces that every tier's vector kernels share.
 *
 * The coefficients are the specification (docs/numerics.md quotes them): a tier evaluates them in the
 * order that ac_exp_one and ac_log_one spell out, so one lane of any tier equals one call here. */
#ifndef AC_KERNELS_VEC_INT_H
#define AC_KERNELS_VEC_INT_H

#include <math.h>
#include <string.h>
#include "base/compiler.h"
#include "base/rng.h"
#include "kernels/kernels.h"
#include "kernels/kernels_int.h"

/* exp: x = n ln2 + r, |r| <= ln2/2; exp(r) = 1 + r (1 + r (C2 + r (C3 + ...))), minimax in relative
 * error, fitted one coefficient after the other so that each is a binary32 (0.055 * 2^-24 in all). */
#define AC_EXP_LOW     (-104.0f)          /* at and under it the result rounds to 0 */
#define AC_EXP_HIGH    89.0f              /* at and over it the result is Inf       */
#define AC_EXP_MAGIC   0x1.8p23f          /* adding it rounds to an integer         */
#define AC_EXP_LOG2E   0x1.715476p+0f
#define AC_EXP_LN2_HI  0x1.62e430p-1f
#define AC_EXP_LN2_LO  (-0x1.05c610p-29f)
#define AC_EXP_C2      0x1.fffffcp-2f
#define AC_EXP_C3      0x1.55548ap-3f
#define AC_EXP_C4      0x1.55584ep-5f
#define AC_EXP_C5      0x1.123f30p-7f
#define AC_EXP_C6      0x1.6ad158p-10f

/* log: x = 2^e m, sqrt(1/2) <= m < sqrt(2), f = m - 1; log(1+f) = f - f^2/2 + f^3 (C0 + f (C1 + ...)). */
#define AC_LOG_MIN_NORMAL 0x1p-126f
#define AC_LOG_SQRT_HALF  0x3f3504f3      /* bits of sqrt(1/2) */
#define AC_LOG_LN2_HI  0x1.62e4p-1f       /* few bits: e * LN2_HI is exact */
#define AC_LOG_LN2_LO  0x1.7f7d1cp-20f
#define AC_LOG_C0      0x1.555548p-2f
#define AC_LOG_C1      (-0x1.000070p-2f)
#define AC_LOG_C2      0x1.99a542p-3f
#define AC_LOG_C3      (-0x1.552f10p-3f)
#define AC_LOG_C4      0x1.2302f8p-3f
#define AC_LOG_C5      (-0x1.010450p-3f)
#define AC_LOG_C6      0x1.f0024ap-4f
#define AC_LOG_C7      (-0x1.bf4ee4p-4f)
#define AC_LOG_C8      0x1.b5d380p-5f

/* Codes of stored state: the share of a block's scale is (code * unit)^2 or (code * unit)^4. */
#define AC_CODE8_SQUARE_UNIT 0x1.020408p-7f    /* 1/127, rounded */
#define AC_CODE8_FOURTH_UNIT 0x1.010102p-8f    /* 1/255, rounded */

AC_INLINE uint32_t ac_bits_of_f32(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

AC_INLINE float ac_max_one(float a, float b)
{
    return a > b ? a : b;
}

/* 2^n for -126 <= n <= 127. */
AC_INLINE float ac_pow2_f32(int32_t n)
{
    return ac_f32_of_bits((uint32_t)(n + 127) << 23);
}

AC_INLINE float ac_exp_one(float x)
{
    x = x < AC_EXP_LOW ? AC_EXP_LOW : x;
    x = x > AC_EXP_HIGH ? AC_EXP_HIGH : x;
    const float t = fmaf(x, AC_EXP_LOG2E, AC_EXP_MAGIC);
    const float n = t - AC_EXP_MAGIC;
    float r = fmaf(n, -AC_EXP_LN2_HI, x);
    r = fmaf(n, -AC_EXP_LN2_LO, r);
    float p = fmaf(AC_EXP_C6, r, AC_EXP_C5);
    p = fmaf(p, r, AC_EXP_C4);
    p = fmaf(p, r, AC_EXP_C3);
    p = fmaf(p, r, AC_EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    /* p * 2^n rounded once: the first factor keeps p normal, so that product is exact. */
    const int32_t k = (int32_t)(ac_bits_of_f32(t) - 0x4b400000u);
    const int32_t half = k >= 0 ? k / 2 : -((1 - k) / 2);        /* floor(k / 2) */
    return p * ac_pow2_f32(half) * ac_pow2_f32(k - half);
}

AC_INLINE float ac_log_one(float x)
{
    const bool small = x < AC_LOG_MIN_NORMAL;
    const uint32_t bits = ac_bits_of_f32(small ? x * 0x1p23f : x) - AC_LOG_SQRT_HALF;
    /* The exponent of m's binade, floor(bits / 2^23) of a signed number, without a signed shift. */
    const int32_t e = (int32_t)(bits >> 23) - (bits & 0x80000000u ? 512 : 0) - (small ? 23 : 0);
    const float f = ac_f32_of_bits((bits & 0x7fffffu) + AC_LOG_SQRT_HALF) - 1.0f;
    const float n = (float)e, z = f * f;
    float p = fmaf(AC_LOG_C8, f, AC_LOG_C7);
    p = fmaf(p, f, AC_LOG_C6);
    p = fmaf(p, f, AC_LOG_C5);
    p = fmaf(p, f, AC_LOG_C4);
    p = fmaf(p, f, AC_LOG_C3);
    p = fmaf(p, f, AC_LOG_C2);
    p = fmaf(p, f, AC_LOG_C1);
    p = fmaf(p, f, AC_LOG_C0);
    float y = (f * z) * p;
    y = fmaf(n, AC_LOG_LN2_LO, y);
    y = fmaf(-0.5f, z, y);
    y = f + y;
    return fmaf(n, AC_LOG_LN2_HI, y);
}

/* B4: lane[l] += lane[l + 8], then 4, 2, 1. */
AC_INLINE float ac_fold_sum(float lane[AC_LANES])
{
    for (size_t width = AC_LANES / 2; width; width /= 2)
        for (size_t l = 0; l < width; l++) lane[l] = lane[l] + lane[l + width];
    return lane[0];
}

AC_INLINE float ac_fold_max(float lane[AC_LANES])
{
    for (size_t width = AC_LANES / 2; width; width /= 2)
        for (size_t l = 0; l < width; l++) lane[l] = ac_max_one(lane[l], lane[l + width]);
    return lane[0];
}

/* Keys [first, end) that the query at position pos sees. */
AC_INLINE size_t ac_attn_first_key(size_t pos, size_t window)
{
    return window && pos + 1 > window ? pos + 1 - window : 0;
}

/* Where row i of the queries stands. */
AC_INLINE size_t ac_attn_pos(const ac_attn_args *a, size_t i)
{
    return a->q_pos + (a->one_pos ? 0 : i);
}

/* Slots of attn_*.c, filled by vec_*.c of the same tier. */
void ac_attn_forward_ref(const ac_attn_args *a);
void ac_attn_grad_ref(const ac_attn_grad_args *a);
void ac_attn_forward_avx2(const ac_attn_args *a);
void ac_attn_grad_avx2(const ac_attn_grad_args *a);
void ac_attn_forward_avx512(const ac_attn_args *a);
void ac_attn_grad_avx512(const ac_attn_grad_args *a);
void ac_attn_forward_neon(const ac_attn_args *a);
void ac_attn_grad_neon(const ac_attn_grad_args *a);

#endif
