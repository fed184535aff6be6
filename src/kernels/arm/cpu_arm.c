/* kernels/arm/cpu_arm.c - what this AArch64 core is. NEON with fused multiply-add belongs to every one; the
 * system is asked all the same. The name comes from the identification register, which Linux lets programs
 * read where it says so (HWCAP_CPUID): no file, so nothing that can fail. */
#include <stdio.h>
#include "kernels/kernels_int.h"

#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

unsigned ac_cpu_detect_arm(void)
{
    return getauxval(AT_HWCAP) & HWCAP_ASIMD ? AC_HAS_NEON : 0;
}

typedef struct {
    unsigned maker, part;
    const char *name;
} core;

/* Arm's manuals list these numbers; a core that is missing here is printed by its numbers. */
static const core cores[] = {
    { 0x41, 0xd03, "Arm Cortex-A53" },  { 0x41, 0xd04, "Arm Cortex-A35" },   { 0x41, 0xd05, "Arm Cortex-A55" },
    { 0x41, 0xd07, "Arm Cortex-A57" },  { 0x41, 0xd08, "Arm Cortex-A72" },   { 0x41, 0xd09, "Arm Cortex-A73" },
    { 0x41, 0xd0a, "Arm Cortex-A75" },  { 0x41, 0xd0b, "Arm Cortex-A76" },   { 0x41, 0xd0c, "Arm Neoverse N1" },
    { 0x41, 0xd40, "Arm Neoverse V1" }, { 0x41, 0xd41, "Arm Cortex-A78" },   { 0x41, 0xd44, "Arm Cortex-X1" },
    { 0x41, 0xd49, "Arm Neoverse N2" }, { 0x41, 0xd4f, "Arm Neoverse V2" },  { 0xc0, 0xac3, "Ampere-1" },
};

void ac_cpu_brand_arm(char out[64])
{
    uint64_t id;
    memset(out, 0, 64);
    if (!(getauxval(AT_HWCAP) & HWCAP_CPUID)) return;
    __asm__ volatile("mrs %0, midr_el1" : "=r"(id));
    const unsigned maker = (unsigned)(id >> 24) & 0xffu, part = (unsigned)(id >> 4) & 0xfffu;
    for (size_t i = 0; i < AC_COUNTOF(cores); i++) {
        if (cores[i].maker != maker || cores[i].part != part) continue;
        memcpy(out, cores[i].name, strlen(cores[i].name) + 1);
        return;
    }
    (void)snprintf(out, 64, "AArch64, implementer 0x%02x, part 0x%03x", maker, part);
}
#else
unsigned ac_cpu_detect_arm(void)
{
    return AC_HAS_NEON;
}

void ac_cpu_brand_arm(char out[64])
{
    memset(out, 0, 64);
}
#endif
