/* kernels/x86/expand_avx512.c - a stored row to binary32 with AVX-512. */
#include "kernels/x86/expand_avx512_int.h"

AC_INLINE void expand_plain(float *dst, const uint8_t *src, ac_dtype type, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = ac_tail_mask(n - i);
        _mm512_mask_storeu_ps(dst + i, m, ac_load16_avx512(src, type, i, m));
    }
}

AC_INLINE void expand_quant(float *dst, const uint8_t *b, ac_dtype type, size_t n)
{
    const size_t elems = type == AC_NF4 ? 64 : type >= AC_Q4_K ? 256 : 32, bytes = ac_dtype_block_bytes(type);
    for (size_t i = 0; i + elems <= n; i += elems, b += bytes)
        for (size_t j = 0; j < elems / 32; j++)
            ac_expand32_avx512(dst + i + 32 * j, b, type, j);
}

void ac_expand_row_avx512(float *dst, const void *src, ac_dtype type, size_t n)
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
