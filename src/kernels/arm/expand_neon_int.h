/* kernels/arm/expand_neon_int.h - stored numbers to binary32 with NEON, shared by expand_row and the panels.
 * The layouts are told in ref/expand_ref.c; every product of a scale and a code is exact, so only the last sum
 * rounds. All loads are of bytes: a row may begin anywhere. */
#ifndef AC_KERNELS_ARM_EXPAND_NEON_INT_H
#define AC_KERNELS_ARM_EXPAND_NEON_INT_H

#include <arm_neon.h>
#include "kernels/kernels_int.h"

/* 32 codes; value = scale * code + offset (offset 0 and unused where a type has none). Q6_K has a second
 * scale, of the upper half. */
typedef struct {
    int8x16_t lo, hi;
    float scale, offset, scale_hi;
} ac_q32;

AC_INLINE float32x4_t ac_f16x4_neon(uint16x4_t h)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(h));
}

AC_INLINE float ac_neon_f16(const uint8_t *p)
{
    return vgetq_lane_f32(ac_f16x4_neon(vdup_n_u16(ac_load_u16(p))), 0);
}

AC_INLINE int8x16_t ac_low_nibbles(uint8x16_t v)
{
    return vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15)));
}

AC_INLINE int8x16_t ac_high_nibbles(uint8x16_t v)
{
    return vreinterpretq_s8_u8(vshrq_n_u8(v, 4));
}

/* Byte i becomes 16 where bit i is set, else 0. */
AC_INLINE int8x16_t ac_fifth_bits(uint32_t bits)
{
    static const uint8_t pick[16] = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };
    const uint8x16_t spread = vcombine_u8(vdup_n_u8((uint8_t)bits), vdup_n_u8((uint8_t)(bits >> 8)));
    return vreinterpretq_s8_u8(vandq_u8(vtstq_u8(spread, vld1q_u8(pick)), vdupq_n_u8(16)));
}

AC_INLINE bool ac_q_has_offset(ac_dtype type)
{
    return type == AC_Q4_1 || type == AC_Q5_1 || type == AC_Q4_K || type == AC_Q5_K;
}

/* The types in blocks of 32. */
AC_INLINE ac_q32 ac_q32_plain(const uint8_t *b, ac_dtype type)
{
    const bool five = type == AC_Q5_0 || type == AC_Q5_1, offset = ac_q_has_offset(type);
    ac_q32 q = { .scale = ac_neon_f16(b), .offset = offset ? ac_neon_f16(b + 2) : 0 };
    q.scale_hi = q.scale;
    b += offset ? 4 : 2;
    if (type == AC_Q8_0) {
        q.lo = vreinterpretq_s8_u8(vld1q_u8(b));
        q.hi = vreinterpretq_s8_u8(vld1q_u8(b + 16));
        return q;
    }
    const uint8x16_t v = vld1q_u8(five ? b + 4 : b);
    q.lo = ac_low_nibbles(v);
    q.hi = ac_high_nibbles(v);
    if (five) {
        const uint32_t bits = ac_load_u32(b);
        q.lo = vorrq_s8(q.lo, ac_fifth_bits(bits));
        q.hi = vorrq_s8(q.hi, ac_fifth_bits(bits >> 16));
    }
    if (!offset) {
        const int8x16_t middle = vdupq_n_s8(five ? 16 : 8);
        q.lo = vsubq_s8(q.lo, middle);
        q.hi = vsubq_s8(q.hi, middle);
    }
    return q;
}

/* Sub-block j of a Q4_K or Q5_K block. */
AC_INLINE ac_q32 ac_q32_k4(const uint8_t *b, ac_dtype type, size_t j)
{
    uint32_t sc, mn;
    ac_k4_scale_min(b + 4, j, &sc, &mn);
    ac_q32 q = { .scale = ac_neon_f16(b) * (float)sc, .offset = -(ac_neon_f16(b + 2) * (float)mn) };
    q.scale_hi = q.scale;
    const uint8_t *codes = b + (type == AC_Q5_K ? 48 : 16) + j / 2 * 32;
    const uint8x16_t v = vld1q_u8(codes), w = vld1q_u8(codes + 16);
    q.lo = j % 2 ? ac_high_nibbles(v) : ac_low_nibbles(v);
    q.hi = j % 2 ? ac_high_nibbles(w) : ac_low_nibbles(w);
    if (type == AC_Q5_K) {
        const uint8x16_t bit = vdupq_n_u8((uint8_t)(1u << j)), sixteen = vdupq_n_u8(16);
        const uint8x16_t x = vandq_u8(vtstq_u8(vld1q_u8(b + 16), bit), sixteen);
        const uint8x16_t y = vandq_u8(vtstq_u8(vld1q_u8(b + 32), bit), sixteen);
        q.lo = vorrq_s8(q.lo, vreinterpretq_s8_u8(x));
        q.hi = vorrq_s8(q.hi, vreinterpretq_s8_u8(y));
    }
    return q;
}

/* Sixteen codes of a Q6_K sub-block: nibbles of low at the run's half, pairs of high at `shift`. */
AC_INLINE int8x16_t ac_q6_codes(const uint8_t *low, const uint8_t *high, bool upper, int8x16_t down)
{
    const uint8x16_t l = vld1q_u8(low), h = vandq_u8(vshlq_u8(vld1q_u8(high), down), vdupq_n_u8(3));
    const uint8x16_t n = upper ? vshrq_n_u8(l, 4) : vandq_u8(l, vdupq_n_u8(15));
    return vsubq_s8(vreinterpretq_s8_u8(vorrq_u8(n, vshlq_n_u8(h, 4))), vdupq_n_s8(32));
}

AC_INLINE ac_q32 ac_q32_q6_k(const uint8_t *b, size_t j)
{
    const size_t half = j / 4, run = j % 4;
    const uint8_t *low = b + half * 64 + run % 2 * 32, *high = b + 128 + half * 32;
    const int8x16_t down = vdupq_n_s8((int8_t)-(int)(2 * run));
    const float d = ac_neon_f16(b + 208);
    int8_t sc[2];
    memcpy(sc, b + 192 + 2 * j, 2);
    return (ac_q32){ .lo = ac_q6_codes(low, high, run / 2, down),
                     .hi = ac_q6_codes(low + 16, high + 16, run / 2, down),
                     .scale = d * (float)sc[0], .scale_hi = d * (float)sc[1] };
}

/* Sub-block j of a block of any quantised type; `type` is a constant where this is inlined. */
AC_INLINE ac_q32 ac_q32_of(const uint8_t *b, ac_dtype type, size_t j)
{
    if (type == AC_Q6_K) return ac_q32_q6_k(b, j);
    if (type == AC_Q4_K || type == AC_Q5_K) return ac_q32_k4(b, type, j);
    return ac_q32_plain(b, type);
}

/* Four codes to values. */
AC_INLINE void ac_put4_neon(float *dst, int16x4_t code, float scale, float offset, bool has_offset)
{
    const float32x4_t v = vcvtq_f32_s32(vmovl_s16(code));
    vst1q_f32(dst, has_offset ? vfmaq_n_f32(vdupq_n_f32(offset), v, scale) : vmulq_n_f32(v, scale));
}

AC_INLINE void ac_put8_neon(float *dst, int8x8_t code, float scale, float offset, bool has_offset)
{
    const int16x8_t w = vmovl_s8(code);
    ac_put4_neon(dst, vget_low_s16(w), scale, offset, has_offset);
    ac_put4_neon(dst + 4, vget_high_s16(w), scale, offset, has_offset);
}

/* Sub-block j of block b, eight elements to each of four places that are `apart` floats from each other. */
AC_INLINE void ac_expand32_neon(float *dst, size_t apart, const uint8_t *b, ac_dtype type, size_t j)
{
    if (type == AC_NF4) {
        for (size_t i = 0; i < 4; i++) ac_nf4_eight(dst + i * apart, b, 32 * j + 8 * i);
        return;
    }
    const ac_q32 q = ac_q32_of(b, type, j);
    const bool offset = ac_q_has_offset(type);
    ac_put8_neon(dst, vget_low_s8(q.lo), q.scale, q.offset, offset);
    ac_put8_neon(dst + apart, vget_high_s8(q.lo), q.scale, q.offset, offset);
    ac_put8_neon(dst + 2 * apart, vget_low_s8(q.hi), q.scale_hi, q.offset, offset);
    ac_put8_neon(dst + 3 * apart, vget_high_s8(q.hi), q.scale_hi, q.offset, offset);
}

/* Four elements of a type without blocks, from element i of a row; and one. */
AC_INLINE float32x4_t ac_load4_neon(const uint8_t *row, ac_dtype type, size_t i)
{
    if (type == AC_F32) return vreinterpretq_f32_u8(vld1q_u8(row + 4 * i));
    const uint16x4_t h = vreinterpret_u16_u8(vld1_u8(row + 2 * i));
    return type == AC_F16 ? ac_f16x4_neon(h) : vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

AC_INLINE float ac_load1_neon(const uint8_t *row, ac_dtype type, size_t i)
{
    if (type == AC_F32) return ac_f32_of_bits(ac_load_u32(row + 4 * i));
    return type == AC_F16 ? ac_neon_f16(row + 2 * i) : ac_f32_of_bf16(ac_load_u16(row + 2 * i));
}

/* Calls F(type) with a constant type. */
#define AC_EACH_QUANT(type, F)              \
    switch (type) {                         \
    case AC_Q8_0: F(AC_Q8_0); break;        \
    case AC_Q4_0: F(AC_Q4_0); break;        \
    case AC_Q4_1: F(AC_Q4_1); break;        \
    case AC_Q5_0: F(AC_Q5_0); break;        \
    case AC_Q5_1: F(AC_Q5_1); break;        \
    case AC_Q4_K: F(AC_Q4_K); break;        \
    case AC_Q5_K: F(AC_Q5_K); break;        \
    case AC_Q6_K: F(AC_Q6_K); break;        \
    case AC_NF4:  F(AC_NF4); break;         \
    default: break;                         \
    }

void ac_expand_row_neon(float *dst, const void *src, ac_dtype type, size_t n);

#endif
