/* kernels/v16_math_int.h - exp, log and tails over v16; included after a tier's v16 header. Each line does
 * the operation that ac_exp_one or ac_log_one does there, sixteen lanes at once.
 *
 * Tails: the last vector is masked. A lane outside the mask is neither read nor written, and keeps its
 * partial sum as it was: adding the +0 of a masked load would turn a -0 into +0. */
#ifndef AC_KERNELS_V16_MATH_INT_H
#define AC_KERNELS_V16_MATH_INT_H

#include "kernels/vec_int.h"

AC_INLINE v16 load_upto(const float *p, size_t left)
{
    return left >= AC_LANES ? v16_load(p) : v16_load_m(p, m16_first(left));
}

AC_INLINE void store_upto(float *p, v16 x, size_t left)
{
    if (left >= AC_LANES) v16_store(p, x);
    else v16_store_m(p, x, m16_first(left));
}

/* new in the lanes that exist, old in the others. */
AC_INLINE v16 keep_upto(v16 new, v16 old, size_t left)
{
    return left >= AC_LANES ? new : v16_pick(m16_first(left), new, old);
}

AC_INLINE v16 v16_exp(v16 x)
{
    const v16 magic = v16_set1(AC_EXP_MAGIC), one = v16_set1(1.0f);
    x = v16_max(v16_set1(AC_EXP_LOW), x);
    x = v16_min(v16_set1(AC_EXP_HIGH), x);
    const v16 t = v16_fma(x, v16_set1(AC_EXP_LOG2E), magic);
    const v16 n = v16_sub(t, magic);
    v16 r = v16_fma(n, v16_set1(-AC_EXP_LN2_HI), x);
    r = v16_fma(n, v16_set1(-AC_EXP_LN2_LO), r);
    v16 p = v16_fma(v16_set1(AC_EXP_C6), r, v16_set1(AC_EXP_C5));
    p = v16_fma(p, r, v16_set1(AC_EXP_C4));
    p = v16_fma(p, r, v16_set1(AC_EXP_C3));
    p = v16_fma(p, r, v16_set1(AC_EXP_C2));
    p = v16_fma(p, r, one);
    p = v16_fma(p, r, one);
    return v16_scale_pow2(p, t, n);
}

AC_INLINE v16 v16_log(v16 x)
{
    v16 n;
    const v16 f = v16_sub(v16_log_split(x, &n), v16_set1(1.0f)), z = v16_mul(f, f);
    v16 p = v16_fma(v16_set1(AC_LOG_C8), f, v16_set1(AC_LOG_C7));
    p = v16_fma(p, f, v16_set1(AC_LOG_C6));
    p = v16_fma(p, f, v16_set1(AC_LOG_C5));
    p = v16_fma(p, f, v16_set1(AC_LOG_C4));
    p = v16_fma(p, f, v16_set1(AC_LOG_C3));
    p = v16_fma(p, f, v16_set1(AC_LOG_C2));
    p = v16_fma(p, f, v16_set1(AC_LOG_C1));
    p = v16_fma(p, f, v16_set1(AC_LOG_C0));
    v16 y = v16_mul(v16_mul(f, z), p);
    y = v16_fma(n, v16_set1(AC_LOG_LN2_LO), y);
    y = v16_fma(v16_set1(-0.5f), z, y);
    y = v16_add(f, y);
    return v16_fma(n, v16_set1(AC_LOG_LN2_HI), y);
}

#endif
