/* kernels/x86/matmul_avx2.c - products for AVX2 and FMA. */
#include "kernels/kernels_int.h"

void ac_kernels_fill_mm_avx2(ac_kernels *t)
{
    AC_UNUSED(t);   /* ref's slots serve until this tier has its own */
}
