/* kernels/kernels.c - the choice of a tier and the filling of the table. */
#include "kernels/kernels_int.h"

static ac_cpu best_tier(unsigned flags)
{
    if (flags & AC_HAS_AVX512) return AC_CPU_AVX512;
    if (flags & AC_HAS_AVX2) return AC_CPU_AVX2;
    if (flags & AC_HAS_NEON) return AC_CPU_NEON;
    return AC_CPU_REF;
}

static bool has_tier(ac_cpu c, unsigned flags)
{
    switch (c) {
    case AC_CPU_REF:    return true;
    case AC_CPU_AVX2:   return (flags & AC_HAS_AVX2) != 0;
    case AC_CPU_AVX512: return (flags & AC_HAS_AVX512) != 0;
    case AC_CPU_NEON:   return (flags & AC_HAS_NEON) != 0;
    default:            return false;
    }
}

ac_status ac_kernels_init(ac_kernels *t, ac_cpu choice, ac_err *err)
{
    const unsigned flags = ac_cpu_flags();
    const ac_cpu best = best_tier(flags), tier = choice == AC_CPU_AUTO ? best : choice;
    if (!has_tier(tier, flags))
        return ac_fail(err, AC_EARG, "cpu tier \"%s\": this machine offers ref%s%s%s; pass --cpu %s or auto",
                       ac_cpu_name(choice), flags & AC_HAS_AVX2 ? ", avx2" : "",
                       flags & AC_HAS_AVX512 ? ", avx512" : "", flags & AC_HAS_NEON ? ", neon" : "",
                       ac_cpu_name(best));
    ac_kernels k;
    memset(&k, 0, sizeof k);
    k.tier = tier;
    ac_kernels_fill_mm_ref(&k);
    ac_kernels_fill_vec_ref(&k);
#if AC_ARCH_X86
    if (tier == AC_CPU_AVX2 || tier == AC_CPU_AVX512) {
        ac_kernels_fill_mm_avx2(&k);
        ac_kernels_fill_vec_avx2(&k);
    }
    if (tier == AC_CPU_AVX512) {
        ac_kernels_fill_mm_avx512(&k);
        ac_kernels_fill_vec_avx512(&k);
    }
#elif AC_ARCH_ARM
    if (tier == AC_CPU_NEON) {
        ac_kernels_fill_mm_neon(&k);
        ac_kernels_fill_vec_neon(&k);
    }
#endif
    *t = k;
    return AC_OK;
}
