#include <immintrin.h>
#include "bench_peak.h"

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define START(i)  __m512 x##i = _mm512_set1_ps(1.0f + (float)(i));
#define STEP(i)   x##i = _mm512_fmadd_ps(x##i, q, q);
#define FINISH(i) t = _mm512_add_ps(t, x##i);

double bench_fma_avx512(long rounds, float *sum)
{
    const __m512 q = _mm512_set1_ps(*sum);   /* not known here: nothing can be folded */
    __m512 t = q;
    EACH(START)
    for (long i = 0; i < rounds; i++) {
        EACH(STEP)
        EACH(STEP)
    }
    EACH(FINISH)
    *sum += _mm512_cvtss_f32(t) * 1e-30f;
    return (double)rounds * 2 * 12 * 32;
}

uint32_t bench_read_avx512(const void *from, size_t bytes)
{
    const __m512i *p = from;
    __m512i s[8] = { 0 };
    for (size_t i = 0; i + 8 <= bytes / 64; i += 8)
        for (size_t l = 0; l < 8; l++) s[l] = _mm512_add_epi32(s[l], _mm512_load_si512(p + i + l));
    for (size_t l = 1; l < 8; l++) s[0] = _mm512_add_epi32(s[0], s[l]);
    return (uint32_t)_mm512_reduce_add_epi32(s[0]);
}
