/* kernels/bf16_body_int.h - packing for products of numerics BF16 (matmul_int.h, T5), written once; a tier's file
 * compiles it with its own instructions. Only integer operations on the bits of binary32, so that every
 * tier gives the same. */
#ifndef AC_KERNELS_BF16_BODY_INT_H
#define AC_KERNELS_BF16_BODY_INT_H

#include "kernels/kernels_int.h"

/* Nearest bfloat16, ties to even, in the upper half; under 2^-55 a signed zero; a NaN stays one. */
AC_INLINE uint32_t ac_bf16_bits(uint32_t u)
{
    const uint32_t magnitude = u & 0x7fffffffu;
    uint32_t r = u + 0x7fffu + (u >> 16 & 1u);
    r = magnitude < 0x24000000u ? u & 0x80000000u : r;
    r = magnitude > 0x7f800000u ? u | 0x400000u : r;
    return r & 0xffff0000u;
}

/* Two rounded elements in a word, the even one below. */
AC_INLINE uint32_t ac_bf16_pair(uint32_t even, uint32_t odd)
{
    return ac_bf16_bits(odd) | ac_bf16_bits(even) >> 16;
}

/* The two elements of a pair at dst, either way; odd is 0 where there is none. */
AC_INLINE void ac_bf16_put(uint32_t *dst, size_t pair, uint32_t even, uint32_t odd, const bool words)
{
    if (words) {
        dst[pair] = ac_bf16_pair(even, odd);
    } else {
        dst[2 * pair] = ac_bf16_bits(odd);
        dst[2 * pair + 1] = ac_bf16_bits(even);
    }
}

AC_INLINE void ac_bf16_row(uint32_t *restrict dst, const uint32_t *restrict a, size_t kc, const bool words)
{
    const size_t pairs = kc / 2;
    for (size_t i = 0; i < pairs; i++)
        ac_bf16_put(dst, i, a[2 * i], a[2 * i + 1], words);
    if (kc % 2) ac_bf16_put(dst, pairs, a[kc - 1], 0, words);
}

/* A's rows lie across: sixteen of them are turned a pair at a time. */
AC_INLINE void ac_bf16_turn(uint32_t *restrict dst, size_t ld, const uint32_t *restrict a, size_t a_k, size_t rows,
                            size_t kc, const bool words)
{
    static const uint32_t zeros[16];
    for (size_t r0 = 0; r0 < rows; r0 += 16) {
        const size_t n = rows - r0 < 16 ? rows - r0 : 16;
        for (size_t p = 0; p < kc; p += 2) {
            const uint32_t *even = a + p * a_k + r0, *odd = p + 1 < kc ? even + a_k : zeros;
            for (size_t r = 0; r < n; r++)
                ac_bf16_put(dst + (r0 + r) * ld, p / 2, even[r], odd[r], words);
        }
    }
}

AC_INLINE void ac_bf16_pairs_a(float *dst, const float *a, size_t a_row, size_t a_k, size_t rows, size_t kc,
                               const bool words)
{
    uint32_t *to = (uint32_t *)(void *)dst;
    const uint32_t *from = (const uint32_t *)(const void *)a;
    const size_t ld = (kc + 1) / 2 * (words ? 1 : 2);
    if (a_k != 1) {
        ac_bf16_turn(to, ld, from, a_k, rows, kc, words);
        return;
    }
    for (size_t r = 0; r < rows; r++)
        ac_bf16_row(to + r * ld, from + r * a_row, kc, words);
}

/* A panel of kc rows of nr; row kc is written too where kc is odd (T2: there is room). */
AC_INLINE void ac_bf16_pairs_b(float *panel, const size_t nr, size_t kc, const bool words)
{
    uint32_t *b = (uint32_t *)(void *)panel;
    if (kc % 2) memset(b + kc * nr, 0, nr * sizeof *b);
    for (size_t p = 0; p < kc; p += 2) {
        uint32_t *even = b + p * nr, *odd = even + nr, *pair = b + p / 2 * nr;
        for (size_t j = 0; j < nr; j++) {
            const uint32_t e = even[j], o = odd[j];
            if (words) {
                pair[j] = ac_bf16_pair(e, o);
            } else {
                even[j] = ac_bf16_bits(o);
                odd[j] = ac_bf16_bits(e);
            }
        }
    }
}

#endif
