/* kernels/x86/vec_avx512.c - the vector kernels for AVX-512. */
#include "kernels/x86/v16_avx512_int.h"

#include "kernels/vec_body_int.h"

void ac_kernels_fill_vec_avx512(ac_kernels *t)
{
    fill_vec_body(t);
    t->attn_forward = ac_attn_forward_avx512;
    t->attn_grad = ac_attn_grad_avx512;
}
