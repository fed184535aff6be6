#include <immintrin.h>
#include <string.h>
#include "bench_peak.h"

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define START(i)  __m512 x##i = _mm512_set1_ps(1.0f + (float)(i));
#define STEP(i)   x##i = _mm512_dpbf16_ps(x##i, q, q);
#define FINISH(i) t = _mm512_add_ps(t, x##i);

double bench_dp_avx512bf16(long rounds, float *sum)
{
    const __m512 first = _mm512_set1_ps(*sum);   /* not known here: nothing can be folded */
    __m512bh q;
    __m512 t = first;
    memcpy(&q, &first, sizeof q);                /* pairs of a small number and a zero */
    EACH(START)
    for (long i = 0; i < rounds; i++) {
        EACH(STEP)
        EACH(STEP)
    }
    EACH(FINISH)
    *sum += _mm512_cvtss_f32(t) * 1e-30f;
    return (double)rounds * 2 * 12 * 64;
}
