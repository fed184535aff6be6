/* kernels/arm/v16_neon_int.h - sixteen lanes as four quads, for AArch64 (compiled only there). Included
 * before vec_body_int.h and attn_body_int.h; see x86/v16_avx2_int.h for the same interface there.
 *
 * max and min are compare-and-select (B2): FMAX would give another answer for NaN and for zeros of two signs.
 * Sums fold by halves (B4); the pairwise adds of the instruction set fold neighbours, so they are not used. */
#ifndef AC_KERNELS_ARM_V16_NEON_INT_H
#define AC_KERNELS_ARM_V16_NEON_INT_H

#include <arm_neon.h>
#include "kernels/vec_int.h"

typedef struct {
    float32x4_t a, b, c, d;
} v16;
/* `first` is the number of leading lanes, of a mask that m16_first made: only those load and store. */
typedef struct {
    uint32x4_t a, b, c, d;
    size_t first;
} m16;
typedef struct {
    float64x2_t q[8];
} v16d;

#define V16_TILE_VECS 1             /* six rows of it fill 24 of the 32 registers */

#define V16_EACH(op, x, y) ((v16){ op((x).a, (y).a), op((x).b, (y).b), op((x).c, (y).c), op((x).d, (y).d) })

AC_INLINE m16 m16_first(size_t n)
{
    static const uint32_t ramp[AC_LANES] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    const size_t first = n < AC_LANES ? n : AC_LANES;
    const uint32x4_t end = vdupq_n_u32((uint32_t)first);
    return (m16){ vcltq_u32(vld1q_u32(ramp), end), vcltq_u32(vld1q_u32(ramp + 4), end),
                  vcltq_u32(vld1q_u32(ramp + 8), end), vcltq_u32(vld1q_u32(ramp + 12), end), first };
}

/* Lanes first..end-1: for v16_pick only. */
AC_INLINE m16 m16_range(size_t first, size_t end)
{
    const m16 x = m16_first(end), y = m16_first(first);
    return (m16){ vbicq_u32(x.a, y.a), vbicq_u32(x.b, y.b), vbicq_u32(x.c, y.c), vbicq_u32(x.d, y.d), 0 };
}

/* The first n floats of four (all of them if n is more), the others +0. */
AC_INLINE float32x4_t v4_load_upto(const float *p, size_t n)
{
    float32x4_t x = vdupq_n_f32(0);
    if (n >= 4) return vld1q_f32(p);
    if (n > 0) x = vld1q_lane_f32(p, x, 0);
    if (n > 1) x = vld1q_lane_f32(p + 1, x, 1);
    if (n > 2) x = vld1q_lane_f32(p + 2, x, 2);
    return x;
}

AC_INLINE void v4_store_upto(float *p, float32x4_t x, size_t n)
{
    if (n >= 4) {
        vst1q_f32(p, x);
        return;
    }
    if (n > 0) vst1q_lane_f32(p, x, 0);
    if (n > 1) vst1q_lane_f32(p + 1, x, 1);
    if (n > 2) vst1q_lane_f32(p + 2, x, 2);
}

/* Lanes of the quad that begins at `at`. */
AC_INLINE size_t m16_left(m16 m, size_t at)
{
    return m.first > at ? m.first - at : 0;
}

AC_INLINE v16 v16_set1(float x)
{
    const float32x4_t q = vdupq_n_f32(x);
    return (v16){ q, q, q, q };
}
AC_INLINE v16 v16_zero(void) { return v16_set1(0.0f); }
AC_INLINE v16 v16_load(const float *p)
{
    return (v16){ vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12) };
}
AC_INLINE v16 v16_load_m(const float *p, m16 m)
{
    return (v16){ v4_load_upto(p, m16_left(m, 0)), v4_load_upto(p + 4, m16_left(m, 4)),
                  v4_load_upto(p + 8, m16_left(m, 8)), v4_load_upto(p + 12, m16_left(m, 12)) };
}
AC_INLINE void v16_store(float *p, v16 x)
{
    vst1q_f32(p, x.a);
    vst1q_f32(p + 4, x.b);
    vst1q_f32(p + 8, x.c);
    vst1q_f32(p + 12, x.d);
}
AC_INLINE void v16_store_m(float *p, v16 x, m16 m)
{
    v4_store_upto(p, x.a, m16_left(m, 0));
    v4_store_upto(p + 4, x.b, m16_left(m, 4));
    v4_store_upto(p + 8, x.c, m16_left(m, 8));
    v4_store_upto(p + 12, x.d, m16_left(m, 12));
}

AC_INLINE float32x4_t v4_max(float32x4_t x, float32x4_t y) { return vbslq_f32(vcgtq_f32(x, y), x, y); }
AC_INLINE float32x4_t v4_min(float32x4_t x, float32x4_t y) { return vbslq_f32(vcltq_f32(x, y), x, y); }

AC_INLINE v16 v16_add(v16 x, v16 y) { return V16_EACH(vaddq_f32, x, y); }
AC_INLINE v16 v16_sub(v16 x, v16 y) { return V16_EACH(vsubq_f32, x, y); }
AC_INLINE v16 v16_mul(v16 x, v16 y) { return V16_EACH(vmulq_f32, x, y); }
AC_INLINE v16 v16_div(v16 x, v16 y) { return V16_EACH(vdivq_f32, x, y); }
AC_INLINE v16 v16_max(v16 x, v16 y) { return V16_EACH(v4_max, x, y); }
AC_INLINE v16 v16_min(v16 x, v16 y) { return V16_EACH(v4_min, x, y); }
AC_INLINE v16 v16_sqrt(v16 x)
{
    return (v16){ vsqrtq_f32(x.a), vsqrtq_f32(x.b), vsqrtq_f32(x.c), vsqrtq_f32(x.d) };
}
AC_INLINE v16 v16_neg(v16 x)
{
    return (v16){ vnegq_f32(x.a), vnegq_f32(x.b), vnegq_f32(x.c), vnegq_f32(x.d) };
}
/* x * y + z and z - x * y, rounded once. */
AC_INLINE v16 v16_fma(v16 x, v16 y, v16 z)
{
    return (v16){ vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c),
                  vfmaq_f32(z.d, x.d, y.d) };
}
AC_INLINE v16 v16_fnma(v16 x, v16 y, v16 z)
{
    return (v16){ vfmsq_f32(z.a, x.a, y.a), vfmsq_f32(z.b, x.b, y.b), vfmsq_f32(z.c, x.c, y.c),
                  vfmsq_f32(z.d, x.d, y.d) };
}
AC_INLINE v16 v16_pick(m16 m, v16 yes, v16 no)
{
    return (v16){ vbslq_f32(m.a, yes.a, no.a), vbslq_f32(m.b, yes.b, no.b), vbslq_f32(m.c, yes.c, no.c),
                  vbslq_f32(m.d, yes.d, no.d) };
}

/* One bit a lane, lane 0 lowest. */
AC_INLINE uint32_t v16_bits_of(uint32x4_t a, uint32x4_t b, uint32x4_t c, uint32x4_t d)
{
    static const uint32_t weight[AC_LANES] = { 1u << 0, 1u << 1, 1u << 2, 1u << 3, 1u << 4, 1u << 5,
        1u << 6, 1u << 7, 1u << 8, 1u << 9, 1u << 10, 1u << 11, 1u << 12, 1u << 13, 1u << 14, 1u << 15 };
    const uint32x4_t low = vorrq_u32(vandq_u32(a, vld1q_u32(weight)), vandq_u32(b, vld1q_u32(weight + 4)));
    const uint32x4_t high = vorrq_u32(vandq_u32(c, vld1q_u32(weight + 8)), vandq_u32(d, vld1q_u32(weight + 12)));
    return vaddvq_u32(vorrq_u32(low, high));
}

AC_INLINE uint32_t v16_equal_bits(v16 x, v16 y)
{
    return v16_bits_of(vceqq_f32(x.a, y.a), vceqq_f32(x.b, y.b), vceqq_f32(x.c, y.c), vceqq_f32(x.d, y.d));
}

AC_INLINE uint32x4_t v4_not_finite(float32x4_t x)
{
    const uint32x4_t e = vdupq_n_u32(0x7f800000u);
    return vceqq_u32(vandq_u32(vreinterpretq_u32_f32(x), e), e);
}

AC_INLINE uint32_t v16_not_finite_bits(v16 x)
{
    return v16_bits_of(v4_not_finite(x.a), v4_not_finite(x.b), v4_not_finite(x.c), v4_not_finite(x.d));
}

AC_INLINE float v16_fold_sum(v16 x)
{
    const float32x4_t q = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
    const float32x2_t h = vadd_f32(vget_low_f32(q), vget_high_f32(q));
    return vget_lane_f32(h, 0) + vget_lane_f32(h, 1);
}

AC_INLINE float v16_fold_max(v16 x)
{
    const float32x4_t q = v4_max(v4_max(x.a, x.c), v4_max(x.b, x.d));
    const float32x2_t lo = vget_low_f32(q), hi = vget_high_f32(q), h = vbsl_f32(vcgt_f32(lo, hi), lo, hi);
    return ac_max_one(vget_lane_f32(h, 0), vget_lane_f32(h, 1));
}

AC_INLINE float32x4_t v4_scale(float32x4_t p, float32x4_t t)
{
    const int32x4_t k = vsubq_s32(vreinterpretq_s32_f32(t), vdupq_n_s32(0x4b400000));
    const int32x4_t bias = vdupq_n_s32(127), half = vshrq_n_s32(k, 1);
    const int32x4_t x = vshlq_n_s32(vaddq_s32(half, bias), 23);
    const int32x4_t y = vshlq_n_s32(vaddq_s32(vsubq_s32(k, half), bias), 23);
    return vmulq_f32(vmulq_f32(p, vreinterpretq_f32_s32(x)), vreinterpretq_f32_s32(y));
}

AC_INLINE v16 v16_scale_pow2(v16 p, v16 t, v16 n)
{
    AC_UNUSED(n);
    return V16_EACH(v4_scale, p, t);
}

AC_INLINE float32x4_t v4_log_split(float32x4_t x, float32x4_t *e)
{
    const uint32x4_t small = vcltq_f32(x, vdupq_n_f32(AC_LOG_MIN_NORMAL));
    x = vbslq_f32(small, vmulq_f32(x, vdupq_n_f32(0x1p23f)), x);
    const int32x4_t base = vdupq_n_s32(AC_LOG_SQRT_HALF);
    const int32x4_t bits = vsubq_s32(vreinterpretq_s32_f32(x), base);
    const int32x4_t shift = vandq_s32(vreinterpretq_s32_u32(small), vdupq_n_s32(23));
    *e = vcvtq_f32_s32(vsubq_s32(vshrq_n_s32(bits, 23), shift));
    return vreinterpretq_f32_s32(vaddq_s32(vandq_s32(bits, vdupq_n_s32(0x7fffff)), base));
}

AC_INLINE v16 v16_log_split(v16 x, v16 *e)
{
    v16 m;
    m.a = v4_log_split(x.a, &e->a);
    m.b = v4_log_split(x.b, &e->b);
    m.c = v4_log_split(x.c, &e->c);
    m.d = v4_log_split(x.d, &e->d);
    return m;
}

AC_INLINE v16d v16d_zero(void)
{
    const float64x2_t z = vdupq_n_f64(0);
    return (v16d){ { z, z, z, z, z, z, z, z } };
}

AC_INLINE v16d v16d_add_square(v16d acc, v16 x)
{
    const float32x4_t part[4] = { x.a, x.b, x.c, x.d };
    for (size_t i = 0; i < 4; i++) {
        const float64x2_t lo = vcvt_f64_f32(vget_low_f32(part[i])), hi = vcvt_high_f64_f32(part[i]);
        acc.q[2 * i] = vfmaq_f64(acc.q[2 * i], lo, lo);
        acc.q[2 * i + 1] = vfmaq_f64(acc.q[2 * i + 1], hi, hi);
    }
    return acc;
}

AC_INLINE double v16d_fold_sum(v16d x)
{
    const float64x2_t a = vaddq_f64(x.q[0], x.q[4]), b = vaddq_f64(x.q[1], x.q[5]);
    const float64x2_t c = vaddq_f64(x.q[2], x.q[6]), d = vaddq_f64(x.q[3], x.q[7]);
    const float64x2_t h = vaddq_f64(vaddq_f64(a, c), vaddq_f64(b, d));
    return vgetq_lane_f64(h, 0) + vgetq_lane_f64(h, 1);
}

/* Both halves of the 64-bit products. */
AC_INLINE void v4_mul_wide(uint32x4_t x, uint32_t factor, uint32x4_t *lo, uint32x4_t *hi)
{
    const uint32x4_t f = vdupq_n_u32(factor);
    const uint32x4_t even = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(x), vget_low_u32(f)));
    const uint32x4_t odd = vreinterpretq_u32_u64(vmull_high_u32(x, f));
    *lo = vuzp1q_u32(even, odd);
    *hi = vuzp2q_u32(even, odd);
}

/* The 16 words of Philox counters first .. first + 3. */
AC_INLINE void v4_philox(uint32_t out[16], uint64_t seed, uint32_t stream, uint64_t step, uint64_t first)
{
    static const uint32_t ramp[4] = { 0, 1, 2, 3 };
    const uint32x4_t base = vdupq_n_u32((uint32_t)first);
    uint32x4x4_t c;
    c.val[0] = vaddq_u32(base, vld1q_u32(ramp));
    const uint32x4_t carry = vcgtq_u32(base, c.val[0]);                  /* all ones: minus one */
    c.val[1] = vsubq_u32(vdupq_n_u32((uint32_t)(first >> 32)), carry);
    c.val[2] = vdupq_n_u32((uint32_t)step);
    c.val[3] = vdupq_n_u32((uint32_t)(step >> 32));
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32) ^ stream;
    for (int round = 0; round < 10; round++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
        uint32x4_t lo0, hi0, lo1, hi1;
        v4_mul_wide(c.val[0], 0xd2511f53u, &lo0, &hi0);
        v4_mul_wide(c.val[2], 0xcd9e8d57u, &lo1, &hi1);
        c.val[0] = veorq_u32(veorq_u32(hi1, c.val[1]), vdupq_n_u32(k0));
        c.val[2] = veorq_u32(veorq_u32(hi0, c.val[3]), vdupq_n_u32(k1));
        c.val[1] = lo1;
        c.val[3] = lo0;
    }
    vst4q_u32(out, c);
}

AC_INLINE void v16_philox(uint32_t out[64], uint64_t seed, uint32_t stream, uint64_t step, uint64_t first)
{
    for (size_t i = 0; i < 4; i++) v4_philox(out + 16 * i, seed, stream, step, first + 4 * i);
}

AC_INLINE m16 m16_at_least(const uint32_t *words, uint32_t threshold)
{
    const uint32x4_t t = vdupq_n_u32(threshold);
    return (m16){ vcgeq_u32(vld1q_u32(words), t), vcgeq_u32(vld1q_u32(words + 4), t),
                  vcgeq_u32(vld1q_u32(words + 8), t), vcgeq_u32(vld1q_u32(words + 12), t), 0 };
}

/* Four rows of four columns: r[i] becomes column i. */
AC_INLINE void v4_turn(float32x4_t r[4])
{
    const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(r[0], r[1]));
    const float64x2_t b = vreinterpretq_f64_f32(vtrn2q_f32(r[0], r[1]));
    const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(r[2], r[3]));
    const float64x2_t d = vreinterpretq_f64_f32(vtrn2q_f32(r[2], r[3]));
    r[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
    r[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
    r[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
    r[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}

/* Sixteen rows, of which n_rows exist (the others are zeros), and up to sixteen columns. */
AC_INLINE void v16_transpose(float *dst, size_t ldd, const float *src, size_t lds, size_t n_rows, size_t cols)
{
    for (size_t row = 0; row < 16; row += 4) {
        for (size_t c = 0; c < cols; c += 4) {
            float32x4_t r[4];
            for (size_t i = 0; i < 4; i++)
                r[i] = row + i < n_rows ? v4_load_upto(src + (row + i) * lds + c, cols - c) : vdupq_n_f32(0);
            v4_turn(r);
            for (size_t i = 0; i < 4 && c + i < cols; i++) vst1q_f32(dst + (c + i) * ldd + row, r[i]);
        }
    }
}

#endif
