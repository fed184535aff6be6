#include <time.h>
#include "bench_peak.h"
#include "base/time.h"

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

typedef struct {
    const float *p;
    size_t n;
    uint32_t sums[MAX_THREADS];
} read_job;

static void read_task(void *ctx, size_t task, size_t worker)
{
    read_job *j = ctx;
    const uint32_t *p = (const uint32_t *)(const void *)j->p + task * j->n;
    uint32_t s[64] = {0};
    AC_UNUSED(worker);
    for (size_t i = 0; i + 64 <= j->n; i += 64)
        for (size_t l = 0; l < 64; l++)
            s[l] += p[i + l];
    for (size_t l = 0; l < 64; l++)
        j->sums[task] += s[l];
}

double bench_read_gbytes(ac_pool *pool, const float *p, size_t n)
{
    static read_job j;
    const size_t threads = ac_pool_threads(pool) < MAX_THREADS ? ac_pool_threads(pool) : MAX_THREADS;
    j.p = p;
    j.n = n / threads;
    const int64_t from = bench_ns(pool);
    ac_pool_run(pool, threads, read_task, &j);
    return (double)(j.n * threads) * 4 / (double)(bench_ns(pool) - from);
}
