/* kernels/x86/v16_avx2_int.h - sixteen lanes as two ymm; the same names as v16_avx512_int.h. */
#ifndef AC_KERNELS_X86_V16_AVX2_INT_H
#define AC_KERNELS_X86_V16_AVX2_INT_H

#include <immintrin.h>
#include "kernels/vec_int.h"

typedef struct {
    __m256 lo, hi;
} v16;
typedef struct {
    __m256i lo, hi;
} m16;
typedef struct {
    __m256d q[4];
} v16d;

#define V16_TILE_VECS 1             /* six rows of it fill twelve of the sixteen registers */

AC_INLINE m16 m16_first(size_t n)
{
    static const int32_t ramp[2 * AC_LANES] = { -1, -1, -1, -1, -1, -1, -1, -1,
                                                -1, -1, -1, -1, -1, -1, -1, -1 };
    const int32_t *p = ramp + (n >= AC_LANES ? 0 : AC_LANES - n);
    return (m16){ _mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)(p + 8)) };
}

/* Lanes first..end-1. */
AC_INLINE m16 m16_range(size_t first, size_t end)
{
    const m16 a = m16_first(end), b = m16_first(first);
    return (m16){ _mm256_andnot_si256(b.lo, a.lo), _mm256_andnot_si256(b.hi, a.hi) };
}

#define V16_EACH(op, a, b) ((v16){ op((a).lo, (b).lo), op((a).hi, (b).hi) })

AC_INLINE v16 v16_set1(float x) { return (v16){ _mm256_set1_ps(x), _mm256_set1_ps(x) }; }
AC_INLINE v16 v16_zero(void) { return (v16){ _mm256_setzero_ps(), _mm256_setzero_ps() }; }
AC_INLINE v16 v16_load(const float *p) { return (v16){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) }; }
AC_INLINE v16 v16_load_m(const float *p, m16 m)
{
    return (v16){ _mm256_maskload_ps(p, m.lo), _mm256_maskload_ps(p + 8, m.hi) };
}
AC_INLINE void v16_store(float *p, v16 x)
{
    _mm256_storeu_ps(p, x.lo);
    _mm256_storeu_ps(p + 8, x.hi);
}
AC_INLINE void v16_store_m(float *p, v16 x, m16 m)
{
    _mm256_maskstore_ps(p, m.lo, x.lo);
    _mm256_maskstore_ps(p + 8, m.hi, x.hi);
}
AC_INLINE v16 v16_add(v16 a, v16 b) { return V16_EACH(_mm256_add_ps, a, b); }
AC_INLINE v16 v16_sub(v16 a, v16 b) { return V16_EACH(_mm256_sub_ps, a, b); }
AC_INLINE v16 v16_mul(v16 a, v16 b) { return V16_EACH(_mm256_mul_ps, a, b); }
AC_INLINE v16 v16_div(v16 a, v16 b) { return V16_EACH(_mm256_div_ps, a, b); }
AC_INLINE v16 v16_sqrt(v16 a) { return (v16){ _mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi) }; }
AC_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    return (v16){ _mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi) };
}
AC_INLINE v16 v16_fnma(v16 a, v16 b, v16 c)
{
    return (v16){ _mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi) };
}
AC_INLINE v16 v16_max(v16 a, v16 b) { return V16_EACH(_mm256_max_ps, a, b); }
AC_INLINE v16 v16_min(v16 a, v16 b) { return V16_EACH(_mm256_min_ps, a, b); }
AC_INLINE v16 v16_neg(v16 a)
{
    const v16 sign = v16_set1(-0.0f);
    return V16_EACH(_mm256_xor_ps, a, sign);
}
AC_INLINE v16 v16_pick(m16 m, v16 yes, v16 no)
{
    return (v16){ _mm256_blendv_ps(no.lo, yes.lo, _mm256_castsi256_ps(m.lo)),
                  _mm256_blendv_ps(no.hi, yes.hi, _mm256_castsi256_ps(m.hi)) };
}

AC_INLINE uint32_t v16_bits_of(__m256 lo, __m256 hi)
{
    return (uint32_t)_mm256_movemask_ps(lo) | (uint32_t)_mm256_movemask_ps(hi) << 8;
}

AC_INLINE uint32_t v16_equal_bits(v16 a, v16 b)
{
    return v16_bits_of(_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ));
}

AC_INLINE uint32_t v16_not_finite_bits(v16 a)
{
    const __m256i e = _mm256_set1_epi32(0x7f800000);
    const __m256i lo = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(a.lo), e), e);
    const __m256i hi = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(a.hi), e), e);
    return v16_bits_of(_mm256_castsi256_ps(lo), _mm256_castsi256_ps(hi));
}

AC_INLINE float v16_fold_sum(v16 x)
{
    const __m256 a = _mm256_add_ps(x.lo, x.hi);
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

AC_INLINE float v16_fold_max(v16 x)
{
    const __m256 a = _mm256_max_ps(x.lo, x.hi);
    const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

AC_INLINE __m256 v16_half_scale(__m256 p, __m256 t)
{
    const __m256i k = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(0x4b400000));
    const __m256i bias = _mm256_set1_epi32(127), half = _mm256_srai_epi32(k, 1);
    const __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    const __m256i b = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(k, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b));
}

AC_INLINE v16 v16_scale_pow2(v16 p, v16 t, v16 n)
{
    AC_UNUSED(n);
    return (v16){ v16_half_scale(p.lo, t.lo), v16_half_scale(p.hi, t.hi) };
}

AC_INLINE __m256 v16_half_log_split(__m256 x, __m256 *e)
{
    const __m256 small = _mm256_cmp_ps(x, _mm256_set1_ps(AC_LOG_MIN_NORMAL), _CMP_LT_OQ);
    x = _mm256_blendv_ps(x, _mm256_mul_ps(x, _mm256_set1_ps(0x1p23f)), small);
    const __m256i bits = _mm256_sub_epi32(_mm256_castps_si256(x), _mm256_set1_epi32(AC_LOG_SQRT_HALF));
    const __m256i shift = _mm256_and_si256(_mm256_castps_si256(small), _mm256_set1_epi32(23));
    *e = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srai_epi32(bits, 23), shift));
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x7fffff)),
                                                _mm256_set1_epi32(AC_LOG_SQRT_HALF)));
}

AC_INLINE v16 v16_log_split(v16 x, v16 *e)
{
    v16 m;
    m.lo = v16_half_log_split(x.lo, &e->lo);
    m.hi = v16_half_log_split(x.hi, &e->hi);
    return m;
}

AC_INLINE v16d v16d_zero(void)
{
    const __m256d z = _mm256_setzero_pd();
    return (v16d){ { z, z, z, z } };
}

AC_INLINE v16d v16d_add_square(v16d acc, v16 x)
{
    const __m128 part[4] = { _mm256_castps256_ps128(x.lo), _mm256_extractf128_ps(x.lo, 1),
                             _mm256_castps256_ps128(x.hi), _mm256_extractf128_ps(x.hi, 1) };
    for (size_t i = 0; i < 4; i++) {
        const __m256d wide = _mm256_cvtps_pd(part[i]);
        acc.q[i] = _mm256_fmadd_pd(wide, wide, acc.q[i]);
    }
    return acc;
}

AC_INLINE double v16d_fold_sum(v16d x)
{
    const __m256d b = _mm256_add_pd(_mm256_add_pd(x.q[0], x.q[2]), _mm256_add_pd(x.q[1], x.q[3]));
    const __m128d c = _mm_add_pd(_mm256_castpd256_pd128(b), _mm256_extractf128_pd(b, 1));
    return _mm_cvtsd_f64(_mm_add_sd(c, _mm_unpackhi_pd(c, c)));
}

AC_INLINE void v16_mul_wide(__m256i a, __m256i factor, __m256i *lo, __m256i *hi)
{
    const __m256i even = _mm256_mul_epu32(a, factor);
    const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), factor);
    *lo = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    *hi = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}

/* The 32 words of Philox counters first .. first + 7; lane 4L + r works on counter 2r + L. */
AC_INLINE void v16_philox_half(uint32_t out[32], uint64_t seed, uint32_t stream, uint64_t step,
                               uint64_t first)
{
    const __m256i sign = _mm256_set1_epi32((int)0x80000000u);
    const __m256i base = _mm256_set1_epi32((int)(uint32_t)first);
    __m256i c0 = _mm256_add_epi32(base, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
    const __m256i carry = _mm256_cmpgt_epi32(_mm256_xor_si256(base, sign), _mm256_xor_si256(c0, sign));
    __m256i c1 = _mm256_sub_epi32(_mm256_set1_epi32((int)(uint32_t)(first >> 32)), carry);
    __m256i c2 = _mm256_set1_epi32((int)(uint32_t)step);
    __m256i c3 = _mm256_set1_epi32((int)(uint32_t)(step >> 32));
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32) ^ stream;
    for (int round = 0; round < 10; round++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
        __m256i lo0, hi0, lo1, hi1;
        v16_mul_wide(c0, _mm256_set1_epi32((int)0xd2511f53u), &lo0, &hi0);
        v16_mul_wide(c2, _mm256_set1_epi32((int)0xcd9e8d57u), &lo1, &hi1);
        c0 = _mm256_xor_si256(_mm256_xor_si256(hi1, c1), _mm256_set1_epi32((int)k0));
        c2 = _mm256_xor_si256(_mm256_xor_si256(hi0, c3), _mm256_set1_epi32((int)k1));
        c1 = lo1;
        c3 = lo0;
    }
    const __m256i a = _mm256_unpacklo_epi32(c0, c1), b = _mm256_unpackhi_epi32(c0, c1);
    const __m256i c = _mm256_unpacklo_epi32(c2, c3), d = _mm256_unpackhi_epi32(c2, c3);
    _mm256_storeu_si256((__m256i *)out, _mm256_unpacklo_epi64(a, c));
    _mm256_storeu_si256((__m256i *)(out + 8), _mm256_unpackhi_epi64(a, c));
    _mm256_storeu_si256((__m256i *)(out + 16), _mm256_unpacklo_epi64(b, d));
    _mm256_storeu_si256((__m256i *)(out + 24), _mm256_unpackhi_epi64(b, d));
}

AC_INLINE void v16_philox(uint32_t out[64], uint64_t seed, uint32_t stream, uint64_t step, uint64_t first)
{
    v16_philox_half(out, seed, stream, step, first);
    v16_philox_half(out + 32, seed, stream, step, first + 8);
}

AC_INLINE __m256i m16_half_at_least(const uint32_t *words, uint32_t threshold)
{
    const __m256i w = _mm256_loadu_si256((const __m256i *)words);
    return _mm256_cmpeq_epi32(_mm256_max_epu32(w, _mm256_set1_epi32((int)threshold)), w);
}

AC_INLINE m16 m16_at_least(const uint32_t *words, uint32_t threshold)
{
    return (m16){ m16_half_at_least(words, threshold), m16_half_at_least(words + 8, threshold) };
}

/* Eight rows of eight columns, of which the mask keeps some. */
AC_INLINE void v16_transpose8(float *dst, size_t ldd, const float *src, size_t lds, size_t n_rows,
                              size_t cols)
{
    const __m256i m = m16_first(cols).lo;
    __m256 r[8], t[8];
    for (size_t i = 0; i < 8; i++)
        r[i] = i < n_rows ? _mm256_maskload_ps(src + i * lds, m) : _mm256_setzero_ps();
    for (size_t i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (size_t i = 0; i < 8; i += 4) {                      /* r[i + c]: columns c and c + 4 */
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (size_t c = 0; c < 4; c++) {
        if (c < cols) _mm256_storeu_ps(dst + c * ldd, _mm256_permute2f128_ps(r[c], r[c + 4], 0x20));
        if (c + 4 < cols)
            _mm256_storeu_ps(dst + (c + 4) * ldd, _mm256_permute2f128_ps(r[c], r[c + 4], 0x31));
    }
}

AC_INLINE void v16_transpose(float *dst, size_t ldd, const float *src, size_t lds, size_t n_rows, size_t cols)
{
    for (size_t row = 0; row < 16; row += 8)
        for (size_t c = 0; c < cols; c += 8)
            v16_transpose8(dst + c * ldd + row, ldd, src + row * lds + c, lds,
                           n_rows > row ? n_rows - row : 0, cols - c);
}

#endif
