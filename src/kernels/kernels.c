/* kernels/kernels.c - the choice of a tier and the filling of the table. */
#include "kernels/kernels_int.h"

static const ac_cpu best_first[] = { AC_CPU_AVX512, AC_CPU_AVX2, AC_CPU_NEON, AC_CPU_REF };

void ac_kernels_fill(ac_kernels *t, ac_cpu tier)
{
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
}

/* The best tier that is offered and whose self-test passed; ref always is. */
static ac_status best_tier(ac_cpu *out, ac_err *err)
{
    for (size_t i = 0; i < AC_COUNTOF(best_first); i++) {
        ac_selftest s;
        const ac_status st = ac_kernels_selftest(best_first[i], &s, err);
        if (st) return st;
        if (!s.done || s.differs) continue;
        *out = best_first[i];
        break;
    }
    return AC_OK;
}

static ac_status refuse(ac_cpu choice, ac_err *err)
{
    ac_cpu best = AC_CPU_REF;
    const ac_status st = best_tier(&best, err);
    if (st) return st;
    return ac_fail(err, AC_EARG, "cpu tier \"%s\": this machine offers ref%s%s%s; pass --cpu %s or auto",
                   ac_cpu_name(choice), ac_cpu_offers(AC_CPU_AVX2) ? ", avx2" : "",
                   ac_cpu_offers(AC_CPU_AVX512) ? ", avx512" : "", ac_cpu_offers(AC_CPU_NEON) ? ", neon" : "",
                   ac_cpu_name(best));
}

ac_status ac_kernels_init(ac_kernels *t, ac_cpu choice, ac_err *err)
{
    ac_cpu tier = choice;
    ac_selftest s = { 0 };
    ac_status st = AC_OK;
    if (choice == AC_CPU_AUTO) st = best_tier(&tier, err);
    else if (!ac_cpu_offers(choice)) st = refuse(choice, err);
    else st = ac_kernels_selftest(choice, &s, err);
    if (!st && s.differs)
        st = ac_fail(err, AC_EARG, "cpu tier \"%s\" fails its self-test here (%s: %s); pass --cpu auto, and see"
                     " accord doctor", ac_cpu_name(choice), s.differs,
                     s.illegal ? "an illegal instruction" : "other bytes than ref's");
    if (!st) {
        ac_kernels_fill(t, tier);
        ac_kernels_choose_bf16(t);
    }
    return st;
}
