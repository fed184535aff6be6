/* kernels/x86/vec_avx2.c - the vector kernels for AVX2 (two ymm a sixteen lanes). */
#include "kernels/x86/v16_avx2_int.h"

#include "kernels/vec_body_int.h"

void ac_kernels_fill_vec_avx2(ac_kernels *t)
{
    fill_vec_body(t);
    t->attn_forward = ac_attn_forward_avx2;
    t->attn_grad = ac_attn_grad_avx2;
}
