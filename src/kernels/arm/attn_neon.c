/* kernels/arm/attn_neon.c - attention for NEON (four quads a sixteen lanes). */
#include "kernels/arm/v16_neon_int.h"

#include "kernels/attn_body_int.h"

void ac_attn_forward_neon(const ac_attn_args *a)
{
    attend(a);
}

void ac_attn_grad_neon(const ac_attn_grad_args *a)
{
    attend_grad(a);
}
