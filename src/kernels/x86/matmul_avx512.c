/* kernels/x86/matmul_avx512.c - products for AVX-512. */
#include "kernels/kernels_int.h"

void ac_kernels_fill_mm_avx512(ac_kernels *t)
{
    AC_UNUSED(t);   /* ref's slots serve until this tier has its own */
}
