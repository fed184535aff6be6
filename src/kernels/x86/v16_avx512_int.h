/* kernels/x86/v16_avx512_int.h - sixteen lanes as one zmm. The bodies (vec_body_int.h, attn_body_int.h) are
 * written once over these names; v16_avx2_int.h has the same ones over two ymm.
 *
 * m16 chooses lanes: a masked load puts +0 in the others and touches no memory for them; a masked store
 * leaves memory as it is. v16_max(a, b) is a > b ? a : b, lane by lane. */
#ifndef AC_KERNELS_X86_V16_AVX512_INT_H
#define AC_KERNELS_X86_V16_AVX512_INT_H

#include <immintrin.h>
#include "kernels/vec_int.h"

typedef __m512 v16;
typedef __mmask16 m16;
typedef struct {
    __m512d lo, hi;
} v16d;

#define V16_TILE_VECS 4             /* vectors a row in the widest tile of attention */

AC_INLINE m16 m16_first(size_t n)
{
    return (m16)(n >= AC_LANES ? 0xffffu : (1u << n) - 1u);
}

/* Lanes first..end-1. */
AC_INLINE m16 m16_range(size_t first, size_t end)
{
    return (m16)(m16_first(end) & ~m16_first(first));
}

AC_INLINE v16 v16_set1(float x) { return _mm512_set1_ps(x); }
AC_INLINE v16 v16_zero(void) { return _mm512_setzero_ps(); }
AC_INLINE v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
AC_INLINE v16 v16_load_m(const float *p, m16 m) { return _mm512_maskz_loadu_ps(m, p); }
AC_INLINE void v16_store(float *p, v16 x) { _mm512_storeu_ps(p, x); }
AC_INLINE void v16_store_m(float *p, v16 x, m16 m) { _mm512_mask_storeu_ps(p, m, x); }
AC_INLINE v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
AC_INLINE v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
AC_INLINE v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
AC_INLINE v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
AC_INLINE v16 v16_sqrt(v16 a) { return _mm512_sqrt_ps(a); }
AC_INLINE v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
AC_INLINE v16 v16_fnma(v16 a, v16 b, v16 c) { return _mm512_fnmadd_ps(a, b, c); }
AC_INLINE v16 v16_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
AC_INLINE v16 v16_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }
AC_INLINE v16 v16_neg(v16 a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
AC_INLINE v16 v16_pick(m16 m, v16 yes, v16 no) { return _mm512_mask_blend_ps(m, no, yes); }

/* A bit for each lane where a = b. */
AC_INLINE uint32_t v16_equal_bits(v16 a, v16 b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}

/* A bit for each lane that is Inf or NaN. */
AC_INLINE uint32_t v16_not_finite_bits(v16 a)
{
    const __m512i e = _mm512_set1_epi32(0x7f800000);
    return _mm512_cmpeq_epi32_mask(_mm512_and_si512(_mm512_castps_si512(a), e), e);
}

AC_INLINE float v16_fold_sum(v16 x)
{
    const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

AC_INLINE float v16_fold_max(v16 x)
{
    const __m256 a = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

/* p * 2^n rounded once; t holds n in its low bits (AC_EXP_MAGIC was added). */
AC_INLINE v16 v16_scale_pow2(v16 p, v16 t, v16 n)
{
    AC_UNUSED(t);
    return _mm512_scalef_ps(p, n);
}

/* x = 2^e m as ac_log_one splits it; e comes back as a float. */
AC_INLINE v16 v16_log_split(v16 x, v16 *e)
{
    const m16 small = _mm512_cmp_ps_mask(x, _mm512_set1_ps(AC_LOG_MIN_NORMAL), _CMP_LT_OQ);
    x = _mm512_mask_mul_ps(x, small, x, _mm512_set1_ps(0x1p23f));
    const __m512i bits = _mm512_sub_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(AC_LOG_SQRT_HALF));
    const __m512i k = _mm512_srai_epi32(bits, 23);
    *e = _mm512_cvtepi32_ps(_mm512_mask_sub_epi32(k, small, k, _mm512_set1_epi32(23)));
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_and_si512(bits, _mm512_set1_epi32(0x7fffff)),
                                                _mm512_set1_epi32(AC_LOG_SQRT_HALF)));
}

AC_INLINE v16d v16d_zero(void)
{
    return (v16d){ _mm512_setzero_pd(), _mm512_setzero_pd() };
}

/* acc + x * x; the square of a binary32 is exact in binary64, so fma and mul-add agree. */
AC_INLINE v16d v16d_add_square(v16d acc, v16 x)
{
    const __m512d lo = _mm512_cvtps_pd(_mm512_castps512_ps256(x));
    const __m512d hi = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
    return (v16d){ _mm512_fmadd_pd(lo, lo, acc.lo), _mm512_fmadd_pd(hi, hi, acc.hi) };
}

AC_INLINE double v16d_fold_sum(v16d x)
{
    const __m512d a = _mm512_add_pd(x.lo, x.hi);
    const __m256d b = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    const __m128d c = _mm_add_pd(_mm256_castpd256_pd128(b), _mm256_extractf128_pd(b, 1));
    return _mm_cvtsd_f64(_mm_add_sd(c, _mm_unpackhi_pd(c, c)));
}

AC_INLINE void v16_mul_wide(__m512i a, __m512i factor, __m512i *lo, __m512i *hi)
{
    const __m512i even = _mm512_mul_epu32(a, factor);
    const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), factor);
    *lo = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
    *hi = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
}

/* The 64 words of Philox counters first .. first + 15 in order. Lane 4L + r works on counter 4r + L, so that
 * the interleave at the end leaves every vector of four counters in memory order. */
AC_INLINE void v16_philox(uint32_t out[64], uint64_t seed, uint32_t stream, uint64_t step, uint64_t first)
{
    const __m512i offset = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i base = _mm512_set1_epi32((int)(uint32_t)first);
    __m512i c0 = _mm512_add_epi32(base, offset);
    const m16 carry = _mm512_cmplt_epu32_mask(c0, base);
    __m512i c1 = _mm512_set1_epi32((int)(uint32_t)(first >> 32));
    c1 = _mm512_mask_add_epi32(c1, carry, c1, _mm512_set1_epi32(1));
    __m512i c2 = _mm512_set1_epi32((int)(uint32_t)step);
    __m512i c3 = _mm512_set1_epi32((int)(uint32_t)(step >> 32));
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32) ^ stream;
    for (int round = 0; round < 10; round++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
        __m512i lo0, hi0, lo1, hi1;
        v16_mul_wide(c0, _mm512_set1_epi32((int)0xd2511f53u), &lo0, &hi0);
        v16_mul_wide(c2, _mm512_set1_epi32((int)0xcd9e8d57u), &lo1, &hi1);
        c0 = _mm512_xor_si512(_mm512_xor_si512(hi1, c1), _mm512_set1_epi32((int)k0));
        c2 = _mm512_xor_si512(_mm512_xor_si512(hi0, c3), _mm512_set1_epi32((int)k1));
        c1 = lo1;
        c3 = lo0;
    }
    const __m512i a = _mm512_unpacklo_epi32(c0, c1), b = _mm512_unpackhi_epi32(c0, c1);
    const __m512i c = _mm512_unpacklo_epi32(c2, c3), d = _mm512_unpackhi_epi32(c2, c3);
    _mm512_storeu_si512(out, _mm512_unpacklo_epi64(a, c));
    _mm512_storeu_si512(out + 16, _mm512_unpackhi_epi64(a, c));
    _mm512_storeu_si512(out + 32, _mm512_unpacklo_epi64(b, d));
    _mm512_storeu_si512(out + 48, _mm512_unpackhi_epi64(b, d));
}

/* A bit for each lane whose word is at least the threshold. */
AC_INLINE m16 m16_at_least(const uint32_t *words, uint32_t threshold)
{
    return _mm512_cmpge_epu32_mask(_mm512_loadu_si512(words), _mm512_set1_epi32((int)threshold));
}

/* dst[c * ldd + r] = src[r * lds + c] for r < 16 and c < cols <= 16; rows from n_rows on count as zero. */
AC_INLINE void v16_transpose(float *dst, size_t ldd, const float *src, size_t lds, size_t n_rows, size_t cols)
{
    const m16 m = m16_first(cols);
    __m512 r[16], t[16];
    for (size_t i = 0; i < 16; i++) r[i] = i < n_rows ? _mm512_maskz_loadu_ps(m, src + i * lds) : v16_zero();
    for (size_t i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (size_t i = 0; i < 16; i += 4) {                     /* r[i + c]: columns c, c+4, c+8, c+12 */
        const __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 2]);
        const __m512d c = _mm512_castps_pd(t[i + 1]), d = _mm512_castps_pd(t[i + 3]);
        r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
        r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
    }
    for (size_t c = 0; c < 4; c++) {
        const __m512 a = _mm512_shuffle_f32x4(r[c], r[c + 4], 0x88);        /* 128-bit lanes 0 2 of each */
        const __m512 b = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0x88);
        const __m512 d = _mm512_shuffle_f32x4(r[c], r[c + 4], 0xdd);        /* lanes 1 3 */
        const __m512 e = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0xdd);
        if (c < cols) v16_store(dst + c * ldd, _mm512_shuffle_f32x4(a, b, 0x88));
        if (c + 8 < cols) v16_store(dst + (c + 8) * ldd, _mm512_shuffle_f32x4(a, b, 0xdd));
        if (c + 4 < cols) v16_store(dst + (c + 4) * ldd, _mm512_shuffle_f32x4(d, e, 0x88));
        if (c + 12 < cols) v16_store(dst + (c + 12) * ldd, _mm512_shuffle_f32x4(d, e, 0xdd));
    }
}

#endif
