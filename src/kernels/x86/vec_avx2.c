/* kernels/x86/vec_avx2.c - the vector kernels' fill for this tier. */
#include "kernels/vec_int.h"

void ac_kernels_fill_vec_avx2(ac_kernels *t)
{
    AC_UNUSED(t);
}
