/* kernels/cpu.c - what this machine has, and what its tiers are called. */
#include <pthread.h>
#include "kernels/kernels_int.h"

static pthread_once_t g_once = PTHREAD_ONCE_INIT;
static unsigned g_flags;
static char g_model[64];

static void trim_spaces(char *s)
{
    size_t n = strlen(s), lead = strspn(s, " ");
    while (n > lead && s[n - 1] == ' ')
        n--;
    memmove(s, s + lead, n - lead);
    s[n - lead] = '\0';
}

static void detect(void)
{
#if AC_ARCH_X86
    g_flags = ac_cpu_detect_x86();
    ac_cpu_brand_x86(g_model);
#elif AC_ARCH_ARM
    g_flags = ac_cpu_detect_arm();
    ac_cpu_brand_arm(g_model);
#endif
    trim_spaces(g_model);
}

unsigned ac_cpu_flags(void)
{
    pthread_once(&g_once, detect);
    return g_flags;
}

static unsigned flag_of(ac_cpu c)
{
    return c == AC_CPU_AVX2 ? AC_HAS_AVX2 : c == AC_CPU_AVX512 ? AC_HAS_AVX512 : c == AC_CPU_NEON ? AC_HAS_NEON : 0u;
}

bool ac_cpu_offers(ac_cpu c)
{
    return c == AC_CPU_REF || (flag_of(c) & ac_cpu_flags()) != 0;
}

const char *ac_cpu_lacks(ac_cpu c)
{
    if (ac_cpu_offers(c)) return NULL;
#if AC_ARCH_X86
    return c == AC_CPU_NEON ? "this is an x86-64 CPU" : ac_cpu_lacks_x86(c);
#elif AC_ARCH_ARM
    return c == AC_CPU_NEON ? "the system does not offer Advanced SIMD" : "this is an ARM CPU";
#else
    return "there is no code for this CPU";
#endif
}

const char *ac_cpu_model(void)
{
    pthread_once(&g_once, detect);
    return g_model;
}

static const char *const tier_names[] = {
    [AC_CPU_AUTO] = "auto", [AC_CPU_REF] = "ref", [AC_CPU_AVX2] = "avx2",
    [AC_CPU_AVX512] = "avx512", [AC_CPU_NEON] = "neon",
};

const char *ac_cpu_name(ac_cpu c)
{
    return (size_t)c < AC_COUNTOF(tier_names) ? tier_names[c] : "unknown";
}

bool ac_cpu_parse(const char *name, ac_cpu *out)
{
    for (size_t i = 0; i < AC_COUNTOF(tier_names); i++) {
        if (strcmp(name, tier_names[i]) == 0) {
            *out = (ac_cpu)i;
            return true;
        }
    }
    return false;
}
