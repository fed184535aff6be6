/* kernels/x86/cpu_x86.c - which tiers this CPU and this operating system can run.
 * CPUID says what the core has; XGETBV says whether the system saves the registers. Both must agree. */
#include <cpuid.h>
#include "kernels/kernels_int.h"

enum { XCR0_YMM = 0x06, XCR0_ZMM = 0xe6 };

static uint32_t xcr0_low(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo;
}

unsigned ac_cpu_detect_x86(void)
{
    unsigned a, b, c, d, flags = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const unsigned need = bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C;
    if ((c & need) != need) return 0;
    const uint32_t xcr0 = xcr0_low();
    if ((xcr0 & XCR0_YMM) != XCR0_YMM || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if (b & bit_AVX2) flags |= AC_HAS_AVX2;
    const unsigned wide = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if ((flags & AC_HAS_AVX2) && (b & wide) == wide && (xcr0 & XCR0_ZMM) == XCR0_ZMM)
        flags |= AC_HAS_AVX512;
    enum { LEAF_7_1_EAX_BF16 = 1 << 5 };
    if ((flags & AC_HAS_AVX512) && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & LEAF_7_1_EAX_BF16))
        flags |= AC_HAS_AVX512_BF16;
    return flags;
}

/* The first thing that ac_cpu_detect_x86 misses for a tier. */
const char *ac_cpu_lacks_x86(ac_cpu tier)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return "CPUID tells nothing";
    if (!(c & bit_AVX)) return "the CPU has no AVX";
    if (!(c & bit_FMA)) return "the CPU has no FMA";
    if (!(c & bit_F16C)) return "the CPU has no F16C";
    if (!(c & bit_OSXSAVE) || (xcr0_low() & XCR0_YMM) != XCR0_YMM) return "the system does not save ymm registers";
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return "the CPU has no AVX2";
    if (tier == AC_CPU_AVX2) return NULL;
    if (!(b & bit_AVX512F)) return "the CPU has no AVX-512";
    if (!(b & bit_AVX512BW) || !(b & bit_AVX512DQ) || !(b & bit_AVX512VL))
        return "the CPU's AVX-512 lacks BW, DQ or VL";
    return (xcr0_low() & XCR0_ZMM) != XCR0_ZMM ? "the system does not save zmm registers" : NULL;
}

void ac_cpu_brand_x86(char out[64])
{
    unsigned r[12];
    memset(out, 0, 64);
    if ((unsigned)__get_cpuid_max(0x80000000u, NULL) < 0x80000004u) return;
    for (unsigned i = 0; i < 3; i++)
        __get_cpuid(0x80000002u + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]);
    memcpy(out, r, sizeof r);
}
