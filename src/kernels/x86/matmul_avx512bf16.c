/* kernels/x86/matmul_avx512bf16.c - the tile of numerics BF16 on vdpbf16ps.
 *
 * A lane of vdpbf16ps adds the product of the odd elements by one fma and then that of the even ones, both
 * rounded to nearest, with denormals flushed: since no factor lies under 2^-55, no denormal can arise, and it is
 * the written order (docs/numerics.md). ac_kernels_init holds it against that order before it is used. */
#include <immintrin.h>
#include "kernels/matmul_int.h"

enum { MR = 14, AHEAD = 16 };

void ac_mm_pair_tile_avx512bf16(const ac_mm_tile *t, size_t rows);

/* rows is a constant where this is inlined, so that the sums stay in registers. */
AC_INLINE void body(const ac_mm_tile *t, const size_t rows)
{
    const __mmask16 m0 = (__mmask16)(t->cols >= 16 ? 0xffffu : (1u << t->cols) - 1);
    const __mmask16 m1 = (__mmask16)(t->cols >= 32 ? 0xffffu : t->cols <= 16 ? 0u : (1u << (t->cols - 16)) - 1);
    __m512 x[MR], y[MR];
    for (size_t r = 0; r < rows; r++) {
        x[r] = y[r] = _mm512_setzero_ps();
        _mm_prefetch((const char *)(t->c + r * t->ldc), _MM_HINT_T0);
    }
    const float *a = t->a, *b = t->b;
    for (size_t k = 0; k < t->kc; k++, a++, b += t->b_k) {
        const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + 16);
        _mm_prefetch((const char *)(b + AHEAD * t->b_k), _MM_HINT_T0);
        _mm_prefetch((const char *)(b + AHEAD * t->b_k + 16), _MM_HINT_T0);
        for (size_t r = 0; r < rows; r++) {
            const __m512bh s = (__m512bh)_mm512_castps_si512(_mm512_set1_ps(a[r * t->a_row]));
            x[r] = _mm512_dpbf16_ps(x[r], s, b0);
            y[r] = _mm512_dpbf16_ps(y[r], s, b1);
        }
    }
    for (size_t r = 0; r < rows; r++) {
        float *c = t->c + r * t->ldc;
        if (t->mode == AC_TILE_ADD) {
            x[r] = _mm512_add_ps(_mm512_maskz_loadu_ps(m0, c), x[r]);
            y[r] = _mm512_add_ps(_mm512_maskz_loadu_ps(m1, c + 16), y[r]);
        }
        _mm512_mask_storeu_ps(c, m0, x[r]);
        _mm512_mask_storeu_ps(c + 16, m1, y[r]);
    }
}

void ac_mm_pair_tile_avx512bf16(const ac_mm_tile *t, size_t rows)
{
    switch (rows) {
    case 1:  body(t, 1); break;
    case 2:  body(t, 2); break;
    case 3:  body(t, 3); break;
    case 4:  body(t, 4); break;
    case 5:  body(t, 5); break;
    case 6:  body(t, 6); break;
    case 7:  body(t, 7); break;
    case 8:  body(t, 8); break;
    case 9:  body(t, 9); break;
    case 10: body(t, 10); break;
    case 11: body(t, 11); break;
    case 12: body(t, 12); break;
    case 13: body(t, 13); break;
    default: body(t, 14); break;
    }
}
