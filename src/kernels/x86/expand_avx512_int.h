/* kernels/x86/expand_avx512_int.h - expansion with AVX-512, shared by expand_row and the panels. */
#ifndef AC_KERNELS_X86_EXPAND_AVX512_INT_H
#define AC_KERNELS_X86_EXPAND_AVX512_INT_H

#include "kernels/x86/expand_int.h"

/* Two 16s of codes to values. */
AC_INLINE void ac_put32_avx512(float *dst, __m256i code, __m512 s0, __m512 s1, __m512 offset,
                               bool has_offset)
{
    __m512 lo = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(code)));
    __m512 hi = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(code, 1)));
    lo = has_offset ? _mm512_fmadd_ps(s0, lo, offset) : _mm512_mul_ps(s0, lo);
    hi = has_offset ? _mm512_fmadd_ps(s1, hi, offset) : _mm512_mul_ps(s1, hi);
    _mm512_storeu_ps(dst, lo);
    _mm512_storeu_ps(dst + 16, hi);
}

/* Sub-block j of block b; type is a constant where this is inlined. */
AC_INLINE void ac_expand32_avx512(float *dst, const uint8_t *b, ac_dtype type, size_t j)
{
    if (type == AC_NF4) {
        for (size_t i = 0; i < 32; i += 8) ac_nf4_eight(dst + i, b, 32 * j + i);
        return;
    }
    if (type == AC_Q6_K) {
        ac_put32_avx512(dst, ac_q6_k_codes(b, j), _mm512_set1_ps(ac_q6_k_scale(b, 2 * j)),
                        _mm512_set1_ps(ac_q6_k_scale(b, 2 * j + 1)), _mm512_setzero_ps(), false);
        return;
    }
    const ac_q32 q = ac_q32_of(b, type, j);
    const __m512 scale = _mm512_set1_ps(q.scale);
    ac_put32_avx512(dst, q.code, scale, scale, _mm512_set1_ps(q.offset), ac_q_has_offset(type));
}

AC_INLINE __mmask16 ac_tail_mask(size_t n)
{
    return (__mmask16)(n >= 16 ? 0xffffu : (1u << n) - 1u);
}

/* Up to 16 elements of a type without blocks, from element i of a row. */
AC_INLINE __m512 ac_load16_avx512(const uint8_t *row, ac_dtype type, size_t i, __mmask16 m)
{
    if (type == AC_F32) return _mm512_maskz_loadu_ps(m, row + 4 * i);
    const __m256i h = _mm256_maskz_loadu_epi16(m, row + 2 * i);
    if (type == AC_F16) return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

void ac_expand_row_avx512(float *dst, const void *src, ac_dtype type, size_t n);

#endif
