/* kernels/x86/attn_avx512.c - attention for AVX-512. */
#include "kernels/x86/v16_avx512_int.h"

#include "kernels/attn_body_int.h"

void ac_attn_forward_avx512(const ac_attn_args *a)
{
    attend(a);
}

void ac_attn_grad_avx512(const ac_attn_grad_args *a)
{
    attend_grad(a);
}
