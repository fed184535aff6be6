/* kernels/x86/expand_avx2_int.h - expansion with AVX2, shared by expand_row and the panels. */
#ifndef AC_KERNELS_X86_EXPAND_AVX2_INT_H
#define AC_KERNELS_X86_EXPAND_AVX2_INT_H

#include "kernels/x86/expand_int.h"

/* Sixteen codes to values. */
AC_INLINE void ac_put16_avx2(float *dst, __m128i code, float scale, float offset, bool has_offset)
{
    const __m256 s = _mm256_set1_ps(scale), o = _mm256_set1_ps(offset);
    __m256 lo = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(code));
    __m256 hi = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(code, 8)));
    lo = has_offset ? _mm256_fmadd_ps(s, lo, o) : _mm256_mul_ps(s, lo);
    hi = has_offset ? _mm256_fmadd_ps(s, hi, o) : _mm256_mul_ps(s, hi);
    _mm256_storeu_ps(dst, lo);
    _mm256_storeu_ps(dst + 8, hi);
}

/* Sub-block j of block b, 16 elements to each of two places; type is a constant where this is inlined. */
AC_INLINE void ac_expand32_avx2(float *first, float *second, const uint8_t *b, ac_dtype type, size_t j)
{
    if (type == AC_NF4) {
        for (size_t i = 0; i < 16; i += 8) {
            ac_nf4_eight(first + i, b, 32 * j + i);
            ac_nf4_eight(second + i, b, 32 * j + 16 + i);
        }
        return;
    }
    if (type == AC_Q6_K) {
        const __m256i code = ac_q6_k_codes(b, j);
        ac_put16_avx2(first, _mm256_castsi256_si128(code), ac_q6_k_scale(b, 2 * j), 0, false);
        ac_put16_avx2(second, _mm256_extracti128_si256(code, 1), ac_q6_k_scale(b, 2 * j + 1), 0, false);
        return;
    }
    const ac_q32 q = ac_q32_of(b, type, j);
    ac_put16_avx2(first, _mm256_castsi256_si128(q.code), q.scale, q.offset, ac_q_has_offset(type));
    ac_put16_avx2(second, _mm256_extracti128_si256(q.code, 1), q.scale, q.offset, ac_q_has_offset(type));
}

/* Eight elements of a type without blocks, from element i of a row. */
AC_INLINE __m256 ac_load8_avx2(const uint8_t *row, ac_dtype type, size_t i)
{
    if (type == AC_F32) return _mm256_loadu_ps((const float *)(const void *)(row + 4 * i));
    const __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(row + 2 * i));
    if (type == AC_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* One element of such a type. F16 goes through the vector conversion, as its neighbours do. */
AC_INLINE float ac_load1_avx2(const uint8_t *row, ac_dtype type, size_t i)
{
    if (type == AC_F32) return ac_f32_of_bits(ac_load_u32(row + 4 * i));
    return type == AC_F16 ? ac_x86_f16(row + 2 * i) : ac_f32_of_bf16(ac_load_u16(row + 2 * i));
}

void ac_expand_row_avx2(float *dst, const void *src, ac_dtype type, size_t n);

#endif
