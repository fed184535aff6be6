/* kernels/bf16.c - numerics BF16: its names, its rounding, and the choice between the ordinary tiles and the CPU's
 * own instruction.
 *
 * vdpbf16ps does twice the work of an fma a cycle on some CPUs (Zen 4) and half of it on others (Sapphire Rapids), and
 * nothing in CPUID says which. So both are timed once a process on a product of some microseconds. They give the same
 * bits, hence a wrong choice on a busy machine costs time and nothing else. */
#include <pthread.h>
#include <time.h>
#include "base/mem.h"
#include "kernels/bf16_body_int.h"

enum { M = 28, N = 64, K = 512, ROUNDS = 5 };

const char *ac_numerics_name(ac_numerics n)
{
    static const char *const names[] = { AC_NUMERICS_FP32, AC_NUMERICS_BF16, AC_NUMERICS_CUDA_BF16 };
    return names[n <= AC_NUM_CUDA_BF16 ? n : AC_NUM_FP32];
}

float ac_bf16_round(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return ac_f32_of_bits(ac_bf16_bits(u));
}

#if AC_ARCH_X86

static ac_bf16_route g_route;
static pthread_once_t g_once = PTHREAD_ONCE_INIT;

/* Elements of either sign and many magnitudes, zeros, denormals and values about 2^-55 among them. */
static void fill(float *x, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        const uint32_t exponent = seed >> 24 & 7u ? 118u + (seed >> 8 & 15u) : (seed >> 8) % 140u;
        x[i] = ac_f32_of_bits((seed & 0x80000000u) | exponent << 23 | (seed * 40503u >> 7 & 0x7fffffu));
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double best_time(const ac_kernels *t, const ac_matmul_args *g, ac_mm_workspace *ws)
{
    double best = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        const double from = seconds();
        t->matmul(g, ws, 0);
        const double took = seconds() - from;
        if (took < best) best = took;
    }
    return best;
}

static void probe(const ac_kernels *plain, const ac_kernels *words, float *space, ac_mm_workspace *ws)
{
    float *a = space, *b = a + M * K, *c0 = b + N * K, *c1 = c0 + M * N;
    fill(a, M * K, 1);
    fill(b, N * K, 2);
    ac_matmul_args g = { .form = AC_MM_NT, .m = M, .n = N, .k = K, .a = a, .lda = K, .b = b, .b_type = AC_F32,
                         .b_row_bytes = K * sizeof(float), .c = c0, .ldc = N, .numerics = AC_NUM_BF16 };
    const double plain_time = best_time(plain, &g, ws);
    g.c = c1;
    const double words_time = best_time(words, &g, ws);
    g_route.tested = memcmp(c0, c1, M * N * sizeof(float)) == 0;
    g_route.times_faster = words_time > 0 ? plain_time / words_time : 0;
    g_route.used = g_route.tested && g_route.times_faster > 1;
}

/* Fills g_route where the CPU has the instruction. No memory: it is not used. */
static void find_route(void)
{
    g_route = (ac_bf16_route){ .has = true };
    ac_kernels plain, words;
    ac_kernels_fill(&plain, AC_CPU_AVX512);
    words = plain;
    ac_kernels_fill_mm_avx512_bf16(&words);
    ac_mm_workspace *ws = NULL;
    float *space = ac_malloc_aligned((M * K + N * K + 2 * M * N) * sizeof(float));
    const ac_fp_state fp = ac_fp_enter();
    if (space && !ac_mm_workspace_open(&ws, 1, NULL)) probe(&plain, &words, space, ws);
    ac_fp_leave(fp);
    ac_mm_workspace_close(&ws);
    ac_free(space);
}

bool ac_kernels_use_bf16_instruction(ac_kernels *t, bool use)
{
    if (t->tier != AC_CPU_AVX512 || !(ac_cpu_flags() & AC_HAS_AVX512_BF16)) return false;
    if (use) {
        if (g_route.has && !g_route.tested) return false;
        ac_kernels_fill_mm_avx512_bf16(t);
    } else {
        ac_kernels_fill_mm_avx512(t);
    }
    return true;
}

void ac_kernels_choose_bf16(ac_kernels *t)
{
    if (t->tier != AC_CPU_AVX512 || !(ac_cpu_flags() & AC_HAS_AVX512_BF16)) return;
    pthread_once(&g_once, find_route);
    if (g_route.used) ac_kernels_fill_mm_avx512_bf16(t);
}

ac_bf16_route ac_kernels_bf16_route(void)
{
    return g_route;
}

#else

bool ac_kernels_use_bf16_instruction(ac_kernels *t, bool use)
{
    AC_UNUSED(t);
    AC_UNUSED(use);
    return false;
}

void ac_kernels_choose_bf16(ac_kernels *t)
{
    AC_UNUSED(t);
}

ac_bf16_route ac_kernels_bf16_route(void)
{
    return (ac_bf16_route){ 0 };
}

#endif
