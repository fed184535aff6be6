/* kernels/kernels_int.h - what the files of this room share: the fill functions of the tiers, the
 * workspace, and the small exact helpers that more than one file needs.
 *
 * Tiers are cumulative: ac_kernels_init calls the ref fills, then each faster tier's fills up to the one
 * that was chosen; a fill overwrites only the slots that it has. */
#ifndef AC_KERNELS_KERNELS_INT_H
#define AC_KERNELS_KERNELS_INT_H

#include <string.h>
#include "base/compiler.h"
#include "kernels/kernels.h"

/* Products and expand_row. */
void ac_kernels_fill_mm_ref(ac_kernels *t);
void ac_kernels_fill_mm_avx2(ac_kernels *t);
void ac_kernels_fill_mm_avx512(ac_kernels *t);
void ac_kernels_fill_mm_avx512_bf16(ac_kernels *t);   /* the same with vdpbf16ps */
void ac_kernels_choose_bf16(ac_kernels *t);           /* bf16.c: takes it where it is right and faster */
void ac_kernels_fill_mm_neon(ac_kernels *t);
void ac_expand_row_ref(float *dst, const void *src, ac_dtype type, size_t n);

/* Everything else: norms, rotary, attention, gated unit, loss, optimizer, exp and log. */
void ac_kernels_fill_vec_ref(ac_kernels *t);
void ac_kernels_fill_optim_ref(ac_kernels *t);    /* called by fill_vec_ref */
void ac_kernels_fill_vec_avx2(ac_kernels *t);
void ac_kernels_fill_vec_avx512(ac_kernels *t);
void ac_kernels_fill_vec_neon(ac_kernels *t);

/* x86/cpu_x86.c: AC_HAS_* bits that CPUID and XGETBV both vouch for; the brand string. */
unsigned ac_cpu_detect_x86(void);
void     ac_cpu_brand_x86(char out[64]);
const char *ac_cpu_lacks_x86(ac_cpu c);
/* arm/cpu_arm.c: the same there. */
unsigned ac_cpu_detect_arm(void);
void     ac_cpu_brand_arm(char out[64]);

/* Packing space; each worker owns AC_MM_WS_FLOATS floats, 64-byte aligned. How a tier cuts its part
 * is its own business. */
#define AC_MM_WS_B_FLOATS ((size_t)256 * AC_K_BLOCK + 32 * 48 + 64) /* expanded panels of B          */
#define AC_MM_WS_S_FLOATS ((size_t)512 * 640)                       /* sums that must not stand in C */
#define AC_MM_WS_A_FLOATS ((size_t)512 * AC_K_BLOCK + 16 * 128)     /* A laid out, rounded for BF16   */
#define AC_MM_WS_FLOATS   (AC_MM_WS_B_FLOATS + AC_MM_WS_S_FLOATS + AC_MM_WS_A_FLOATS)

struct ac_mm_workspace {
    size_t threads;
    float *base;
};

/* ---- stored numbers ------------------------------------------------------------------------------ */

AC_INLINE uint16_t ac_load_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

AC_INLINE uint32_t ac_load_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

AC_INLINE float ac_f32_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* bfloat16 is the upper half of a binary32. */
AC_INLINE float ac_f32_of_bf16(uint16_t h)
{
    return ac_f32_of_bits((uint32_t)h << 16);
}

/* binary16 to binary32, exact. A subnormal is its integer times 2^-24. */
AC_INLINE float ac_f32_of_f16(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t exponent = (h >> 10) & 31u, mantissa = h & 1023u;
    if (exponent == 31)
        return ac_f32_of_bits(sign | 0x7f800000u | (mantissa ? 0x400000u | mantissa << 13 : 0u));
    if (exponent)
        return ac_f32_of_bits(sign | (exponent + 112u) << 23 | mantissa << 13);
    const float magnitude = (float)mantissa * 0x1p-24f;
    return sign ? -magnitude : magnitude;
}

/* Q4_K and Q5_K keep eight 6-bit scales and eight 6-bit minimums in twelve bytes; j is the sub-block. */
/* NF4, 64 elements in 36 bytes: the scale as binary32, 32 bytes of codes, the high one first. Eight from `at` on (a multiple
 * of eight) to dst; one product each. */
extern const float ac_nf4_value[16];
AC_INLINE void ac_nf4_eight(float *dst, const uint8_t *b, size_t at)
{
    const float scale = ac_f32_of_bits(ac_load_u32(b));
    for (size_t i = 0; i < 4; i++) {
        const uint8_t two = b[4 + at / 2 + i];
        dst[2 * i] = ac_nf4_value[two >> 4] * scale;
        dst[2 * i + 1] = ac_nf4_value[two & 15] * scale;
    }
}

AC_INLINE void ac_k4_scale_min(const uint8_t *s, size_t j, uint32_t *scale, uint32_t *min)
{
    if (j < 4) {
        *scale = s[j] & 63u;
        *min = s[j + 4] & 63u;
    } else {
        *scale = (s[j + 4] & 15u) | (uint32_t)(s[j - 4] >> 6) << 4;
        *min = (uint32_t)(s[j + 4] >> 4) | (uint32_t)(s[j] >> 6) << 4;
    }
}

#endif
