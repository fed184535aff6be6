/* kernels/x86/vec_avx512.c - the vector kernels' fill for this tier. */
#include "kernels/vec_int.h"

void ac_kernels_fill_vec_avx512(ac_kernels *t)
{
    AC_UNUSED(t);
}
