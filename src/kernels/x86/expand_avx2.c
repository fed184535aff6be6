/* kernels/x86/expand_avx2.c - a stored row to binary32 with AVX2 and F16C. */
#include "kernels/x86/expand_avx2_int.h"

AC_INLINE void expand_plain(float *dst, const uint8_t *src, ac_dtype type, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(dst + i, ac_load8_avx2(src, type, i));
    for (; i < n; i++)
        dst[i] = ac_load1_avx2(src, type, i);
}

AC_INLINE void expand_quant(float *dst, const uint8_t *b, ac_dtype type, size_t n)
{
    const size_t elems = type == AC_NF4 ? 64 : type >= AC_Q4_K ? 256 : 32, bytes = ac_dtype_block_bytes(type);
    for (size_t i = 0; i + elems <= n; i += elems, b += bytes)
        for (size_t j = 0; j < elems / 32; j++)
            ac_expand32_avx2(dst + i + 32 * j, dst + i + 32 * j + 16, b, type, j);
}

void ac_expand_row_avx2(float *dst, const void *src, ac_dtype type, size_t n)
{
    switch (type) {
    case AC_F32:  expand_plain(dst, src, AC_F32, n); return;
    case AC_F16:  expand_plain(dst, src, AC_F16, n); return;
    case AC_BF16: expand_plain(dst, src, AC_BF16, n); return;
    default: break;
    }
#define EXPAND(t) expand_quant(dst, src, t, n)
    AC_EACH_QUANT(type, EXPAND)
#undef EXPAND
}
