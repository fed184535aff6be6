/* kernels/arm/vec_neon.c - the vector kernels for NEON (four quads a sixteen lanes). */
#include "kernels/arm/v16_neon_int.h"

#include "kernels/vec_body_int.h"

void ac_kernels_fill_vec_neon(ac_kernels *t)
{
    fill_vec_body(t);
    t->attn_forward = ac_attn_forward_neon;
    t->attn_grad = ac_attn_grad_neon;
}
