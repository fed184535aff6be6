/* kernels/x86/attn_avx2.c - attention for AVX2 (two ymm a sixteen lanes). */
#include "kernels/x86/v16_avx2_int.h"

#include "kernels/attn_body_int.h"

void ac_attn_forward_avx2(const ac_attn_args *a)
{
    attend(a);
}

void ac_attn_grad_avx2(const ac_attn_grad_args *a)
{
    attend_grad(a);
}
