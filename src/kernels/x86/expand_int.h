/* kernels/x86/expand_int.h - 32 consecutive elements of a quantised row as 32 signed bytes and their
 * scales, for the AVX2 and the AVX-512 files (compiled only there). The layouts are told in
 * ref/expand_ref.c; every product of a scale and a code is exact, so only the last sum rounds. */
#ifndef AC_KERNELS_X86_EXPAND_INT_H
#define AC_KERNELS_X86_EXPAND_INT_H

#include <immintrin.h>
#include "kernels/kernels_int.h"

/* value = scale * code + offset (offset 0 and unused where a type has none). */
typedef struct {
    __m256i code;
    float scale, offset;
} ac_q32;

AC_INLINE float ac_x86_f16(const uint8_t *p)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(ac_load_u16(p))));
}

/* 16 bytes of nibbles: the low ones first. */
AC_INLINE __m256i ac_q_nibbles(const uint8_t *p)
{
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(v), _mm_srli_epi16(v, 4), 1);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/* Byte i becomes 16 where bit i is set, else 0. */
AC_INLINE __m256i ac_q_fifth_bits(uint32_t bits)
{
    const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits),
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
    const __m256i pick = _mm256_set1_epi64x((long long)0x8040201008040201ull);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, pick), pick);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

AC_INLINE ac_q32 ac_q32_q8_0(const uint8_t *b)
{
    return (ac_q32){ _mm256_loadu_si256((const __m256i *)(const void *)(b + 2)), ac_x86_f16(b), 0 };
}

AC_INLINE ac_q32 ac_q32_q4_0(const uint8_t *b)
{
    return (ac_q32){ _mm256_sub_epi8(ac_q_nibbles(b + 2), _mm256_set1_epi8(8)), ac_x86_f16(b), 0 };
}

AC_INLINE ac_q32 ac_q32_q4_1(const uint8_t *b)
{
    return (ac_q32){ ac_q_nibbles(b + 4), ac_x86_f16(b), ac_x86_f16(b + 2) };
}

AC_INLINE ac_q32 ac_q32_q5_0(const uint8_t *b)
{
    const __m256i q = _mm256_or_si256(ac_q_nibbles(b + 6), ac_q_fifth_bits(ac_load_u32(b + 2)));
    return (ac_q32){ _mm256_sub_epi8(q, _mm256_set1_epi8(16)), ac_x86_f16(b), 0 };
}

AC_INLINE ac_q32 ac_q32_q5_1(const uint8_t *b)
{
    const __m256i q = _mm256_or_si256(ac_q_nibbles(b + 8), ac_q_fifth_bits(ac_load_u32(b + 4)));
    return (ac_q32){ q, ac_x86_f16(b), ac_x86_f16(b + 2) };
}

/* Low (odd 0) or high nibbles of 32 bytes. */
AC_INLINE __m256i ac_q_half(const uint8_t *p, size_t odd)
{
    const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm256_and_si256(odd ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
}

/* Sub-block j of a Q4_K block. */
AC_INLINE ac_q32 ac_q32_q4_k(const uint8_t *b, size_t j)
{
    uint32_t sc, mn;
    ac_k4_scale_min(b + 4, j, &sc, &mn);
    return (ac_q32){ ac_q_half(b + 16 + j / 2 * 32, j % 2), ac_x86_f16(b) * (float)sc,
                     -(ac_x86_f16(b + 2) * (float)mn) };
}

AC_INLINE ac_q32 ac_q32_q5_k(const uint8_t *b, size_t j)
{
    uint32_t sc, mn;
    ac_k4_scale_min(b + 4, j, &sc, &mn);
    const __m256i bit = _mm256_set1_epi8((char)(1u << j));
    const __m256i qh = _mm256_loadu_si256((const __m256i *)(const void *)(b + 16));
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(qh, bit), bit);
    const __m256i q = _mm256_or_si256(ac_q_half(b + 48 + j / 2 * 32, j % 2),
                                      _mm256_and_si256(set, _mm256_set1_epi8(16)));
    return (ac_q32){ q, ac_x86_f16(b) * (float)sc, -(ac_x86_f16(b + 2) * (float)mn) };
}

/* Codes of sub-block j of a Q6_K block; each half of 16 has its own scale. */
AC_INLINE __m256i ac_q6_k_codes(const uint8_t *b, size_t j)
{
    const size_t half = j / 4, run = j % 4;
    const __m256i low = ac_q_half(b + half * 64 + run % 2 * 32, run / 2);
    const __m256i qh = _mm256_loadu_si256((const __m256i *)(const void *)(b + 128 + half * 32));
    const __m256i pair = _mm256_and_si256(_mm256_srl_epi16(qh, _mm_cvtsi32_si128((int)(2 * run))),
                                          _mm256_set1_epi8(3));
    return _mm256_sub_epi8(_mm256_or_si256(low, _mm256_slli_epi16(pair, 4)), _mm256_set1_epi8(32));
}

AC_INLINE float ac_q6_k_scale(const uint8_t *b, size_t i)
{
    int8_t sc;
    memcpy(&sc, b + 192 + i, 1);
    return ac_x86_f16(b + 208) * (float)sc;
}

/* Sub-block j of a block of any type quantised in blocks of 32 or 256, but Q6_K; `type` is a constant
 * where this is inlined. */
AC_INLINE ac_q32 ac_q32_of(const uint8_t *b, ac_dtype type, size_t j)
{
    switch (type) {
    case AC_Q8_0: return ac_q32_q8_0(b);
    case AC_Q4_0: return ac_q32_q4_0(b);
    case AC_Q4_1: return ac_q32_q4_1(b);
    case AC_Q5_0: return ac_q32_q5_0(b);
    case AC_Q5_1: return ac_q32_q5_1(b);
    case AC_Q4_K: return ac_q32_q4_k(b, j);
    default:      return ac_q32_q5_k(b, j);
    }
}

AC_INLINE bool ac_q_has_offset(ac_dtype type)
{
    return type == AC_Q4_1 || type == AC_Q5_1 || type == AC_Q4_K || type == AC_Q5_K;
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

#endif
