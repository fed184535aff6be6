/* kernels/arm/expand_neon.c - a stored row to binary32 with NEON. */
#include "kernels/arm/expand_neon_int.h"

AC_INLINE void expand_plain(float *dst, const uint8_t *src, ac_dtype type, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(dst + i, ac_load4_neon(src, type, i));
    for (; i < n; i++)
        dst[i] = ac_load1_neon(src, type, i);
}

AC_INLINE void expand_quant(float *dst, const uint8_t *b, ac_dtype type, size_t n)
{
    const size_t elems = type == AC_NF4 ? 64 : type >= AC_Q4_K ? 256 : 32, bytes = ac_dtype_block_bytes(type);
    for (size_t i = 0; i + elems <= n; i += elems, b += bytes)
        for (size_t j = 0; j < elems / 32; j++)
            ac_expand32_neon(dst + i + 32 * j, 8, b, type, j);
}

void ac_expand_row_neon(float *dst, const void *src, ac_dtype type, size_t n)
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
