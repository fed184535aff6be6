#include "bench_peak.h"

#include <stdbool.h>
#include <time.h>

#include "base/compiler.h"
#include "base/time.h"
#if AC_ARCH_X86
#include <cpuid.h>
#endif

int64_t bench_ns(const ac_pool *pool)
{
    struct timespec t;
    if (ac_pool_threads(pool) > 1 || clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t)) return ac_mono_ns();
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

enum { MAX_THREADS = 256, ROUNDS = 8000 };

typedef struct {
    ac_cpu tier;
    double flops[MAX_THREADS];
} fma_job;

static void fma_task(void *ctx, size_t task, size_t worker)
{
    fma_job *j = ctx;
    float sum = 0.5f;
    AC_UNUSED(worker);
#if AC_ARCH_X86
    j->flops[task] = j->tier == AC_CPU_AVX512 ? bench_fma_avx512(ROUNDS, &sum)
                                              : bench_fma_avx2(2 * ROUNDS, &sum);
#else
    j->flops[task] = 0;
#endif
    if (sum == 12345.0f) j->flops[task] = 0;
}

double bench_peak_gflops(ac_pool *pool, ac_cpu tier)
{
    if (tier != AC_CPU_AVX2 && tier != AC_CPU_AVX512) return 0;
    static fma_job j;
    j.tier = tier;
    const size_t n = ac_pool_threads(pool) < MAX_THREADS ? ac_pool_threads(pool) : MAX_THREADS;
    const int64_t from = bench_ns(pool);
    ac_pool_run(pool, n, fma_task, &j);
    const double ns = (double)(bench_ns(pool) - from);
    double flops = 0;
    for (size_t i = 0; i < n; i++)
        flops += j.flops[i];
    return flops / ns;
}

#if AC_ARCH_X86
static bool has_bf16(void)
{
    unsigned a, b, c, d;
    return (ac_cpu_flags() & AC_HAS_AVX512) && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5));
}

static void bf16_task(void *ctx, size_t task, size_t worker)
{
    fma_job *j = ctx;
    float sum = 0.5f;
    AC_UNUSED(worker);
    j->flops[task] = bench_dp_avx512bf16(ROUNDS, &sum);
    if (sum == 12345.0f) j->flops[task] = 0;
}
#endif

double bench_bf16_gflops(ac_pool *pool)
{
#if AC_ARCH_X86
    static fma_job j;
    if (!has_bf16()) return 0;
    const size_t n = ac_pool_threads(pool) < MAX_THREADS ? ac_pool_threads(pool) : MAX_THREADS;
    const int64_t from = bench_ns(pool);
    ac_pool_run(pool, n, bf16_task, &j);
    const double ns = (double)(bench_ns(pool) - from);
    double flops = 0;
    for (size_t i = 0; i < n; i++) flops += j.flops[i];
    return flops / ns;
#else
    AC_UNUSED(pool);
    return 0;
#endif
}

typedef struct {
    ac_cpu tier;
    const uint8_t *p;
    size_t bytes;
    uint32_t sums[MAX_THREADS];
} read_job;

static uint32_t read_plain(const void *from, size_t bytes)
{
    const uint32_t *p = from;
    uint32_t s[64] = {0}, all = 0;
    for (size_t i = 0; i + 64 <= bytes / 4; i += 64)
        for (size_t l = 0; l < 64; l++)
            s[l] += p[i + l];
    for (size_t l = 0; l < 64; l++) all += s[l];
    return all;
}

static void read_task(void *ctx, size_t task, size_t worker)
{
    read_job *j = ctx;
    const uint8_t *p = j->p + task * j->bytes;
    AC_UNUSED(worker);
#if AC_ARCH_X86
    j->sums[task] = j->tier == AC_CPU_AVX512 ? bench_read_avx512(p, j->bytes)
                  : j->tier == AC_CPU_AVX2   ? bench_read_avx2(p, j->bytes) : read_plain(p, j->bytes);
#else
    j->sums[task] = read_plain(p, j->bytes);
#endif
}

double bench_read_gbytes(ac_pool *pool, ac_cpu tier, const void *p, size_t bytes)
{
    static read_job j;
    const size_t threads = ac_pool_threads(pool) < MAX_THREADS ? ac_pool_threads(pool) : MAX_THREADS;
    j.tier = tier;
    j.p = p;
    j.bytes = bytes / threads / 1024 * 1024;
    const int64_t from = bench_ns(pool);
    ac_pool_run(pool, threads, read_task, &j);
    return (double)(j.bytes * threads) / (double)(bench_ns(pool) - from);
}
