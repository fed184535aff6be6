/* kernels/x86/turn_avx512_int.h - 16 stored rows read side by side: what lies along k in memory becomes a
 * vector of one k of 16 rows. */
#ifndef AC_KERNELS_X86_TURN_AVX512_INT_H
#define AC_KERNELS_X86_TURN_AVX512_INT_H

#include "kernels/x86/expand_avx512_int.h"

/* 16 bytes from each of 16 rows, turned: q[i] has dword i of every row. Lane L of the vector that
 * gathers rows p, 4+p, 8+p, 12+p is row 4L+p, so that the turn stays inside the lanes. */
AC_INLINE void gather_lanes(__m512i v[4], const uint8_t *const row[16], size_t at)
{
    for (size_t p = 0; p < 4; p++) {
        v[p] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)(row[p] + at)));
        v[p] = _mm512_mask_broadcast_i32x4(v[p], 0x00f0,
            _mm_loadu_si128((const __m128i *)(const void *)(row[4 + p] + at)));
        v[p] = _mm512_mask_broadcast_i32x4(v[p], 0x0f00,
            _mm_loadu_si128((const __m128i *)(const void *)(row[8 + p] + at)));
        v[p] = _mm512_mask_broadcast_i32x4(v[p], 0xf000,
            _mm_loadu_si128((const __m128i *)(const void *)(row[12 + p] + at)));
    }
}

AC_INLINE void turn_16x4(__m512i q[4], const uint8_t *const row[16], size_t at)
{
    __m512i v[4];
    gather_lanes(v, row, at);
    const __m512i a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
    const __m512i c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
    q[0] = _mm512_unpacklo_epi64(a, c);
    q[1] = _mm512_unpackhi_epi64(a, c);
    q[2] = _mm512_unpacklo_epi64(b, d);
    q[3] = _mm512_unpackhi_epi64(b, d);
}

/* Only dword 0 of each row: a block's scales. 16 bytes of each row are read. */
AC_INLINE __m512i turn_16x1(const uint8_t *const row[16], size_t at)
{
    __m512i v[4];
    gather_lanes(v, row, at);
    return _mm512_unpacklo_epi64(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpacklo_epi32(v[2], v[3]));
}

/* The lower and the upper binary16 of each dword. */
AC_INLINE __m512 low_f16(__m512i v)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v));
}

AC_INLINE __m512 high_f16(__m512i v)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(v, 16)));
}

/* The last, short piece: element p of each of 16 rows of floats. */
AC_INLINE __m512 column_of(const uint8_t *const row[16], size_t p)
{
    float v[16];
    for (size_t r = 0; r < 16; r++)
        memcpy(&v[r], row[r] + 4 * p, 4);
    return _mm512_loadu_ps(v);
}

/* dst[p * stride + r] = float p of row r; 16 floats are stored each time. */
AC_INLINE void turn_floats(float *dst, size_t stride, const uint8_t *const row[16], size_t kc)
{
    size_t p = 0;
    for (; p + 4 <= kc; p += 4) {
        __m512i q[4];
        turn_16x4(q, row, 4 * p);
        for (size_t i = 0; i < 4; i++)
            _mm512_storeu_ps(dst + (p + i) * stride, _mm512_castsi512_ps(q[i]));
    }
    for (; p < kc; p++)
        _mm512_storeu_ps(dst + p * stride, column_of(row, p));
}

/* Rows past the last one repeat it: nobody stores what comes of them. */
AC_INLINE void set_rows(const uint8_t *row[16], const uint8_t *b, size_t row_bytes, size_t rows)
{
    for (size_t r = 0; r < 16; r++)
        row[r] = b + (r < rows ? r : rows - 1) * row_bytes;
}

/* panel_avx512.c: 16 columns of a panel of 32, for F16, five-bit and K-quantised types. */
void ac_mm_half_panel_avx512(float *dst, const uint8_t *const row[16], ac_dtype type, size_t kc);

/* matmul_few_avx512.c: a product of few rows, B's rows along k; false when it is none of its cases. */
bool ac_mm_few_avx512(const ac_matmul_args *g, float *scratch, size_t scratch_floats);

#endif
