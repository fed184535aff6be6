/* kernels/checkkern.c - the harness: tiers, guarded buffers, traps, comparison, benchmarks. */
#include "kernels/checkkern.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "base/rng.h"

static const ck_test *const lists[] = { ck_vec_tests, ck_optim_tests, ck_attn_tests, ck_loss_tests, ck_matmul_tests };

#define MAX_BUFFERS 96
#define CANARY      64

typedef struct {
    unsigned char *map, *data;
    size_t map_bytes, n;
    bool input;
    uint64_t digest;
} buffer;

static struct {
    uint64_t seed;
    const char *filter, *only_tier;
    buffer buffers[MAX_BUFFERS];
    size_t n_buffers;
    uint64_t case_key, draws;
    size_t n_cases, n_failed, failures_of_case;
    double worst_ulp;                       /* of the case */
    uint64_t outputs, outputs_of_test;      /* digests of all that ref gave (K4) */
    bool digests;
    ac_pool *pools[8];
    double best_ns;
    size_t page;
} g;

/* Of the thread that runs the case: a fault in a pool's worker cannot come back, and ends the program. */
static _Thread_local volatile sig_atomic_t g_inside;
static ck *g_running;

/* Eight bytes a step; a last short step is filled with zeros and the length goes in first. */
static uint64_t digest_of(const void *p, size_t n)
{
    const unsigned char *b = p;
    uint64_t h = 0xcbf29ce484222325ull ^ n;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t w = 0;
        memcpy(&w, b + i, n - i < 8 ? n - i : 8);
        h = (h ^ w) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 29;
    }
    return h;
}

void ck_fail(ck *t, const char *format, ...)
{
    if (++g.failures_of_case > 3) return;          /* the first ones tell enough */
    if (g.failures_of_case == 1) g.n_failed++;
    va_list args;
    va_start(args, format);
    printf("FAIL %s %s: ", t->tier_name, t->name);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

/* ---- buffers ------------------------------------------------------------------------------------- */

static void *buffer_new(size_t n)
{
    if (g.n_buffers == MAX_BUFFERS) {
        fprintf(stderr, "checkkern: a case asked for more than %d buffers; raise MAX_BUFFERS\n", MAX_BUFFERS);
        exit(70);
    }
    buffer *b = &g.buffers[g.n_buffers];
    const size_t body = (n + CANARY + g.page - 1) / g.page * g.page;
    b->map_bytes = body + g.page;
    b->map = mmap(NULL, b->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->map == MAP_FAILED || mprotect(b->map + body, g.page, PROT_NONE)) {
        fprintf(stderr, "checkkern: mmap of %zu bytes: %s\n", b->map_bytes, strerror(errno));
        exit(70);
    }
    b->data = b->map + body - n;
    b->n = n;
    b->input = false;
    memset(b->data - CANARY, 0xa5, CANARY);
    g.n_buffers++;
    return b->data;
}

static void seal_input(void)
{
    buffer *b = &g.buffers[g.n_buffers - 1];
    b->input = true;
    b->digest = digest_of(b->data, b->n);
}

static void close_case(ck *t)
{
    if (!t->active) return;
    for (size_t i = 0; i < g.n_buffers; i++) {
        buffer *b = &g.buffers[i];
        for (size_t k = 1; k <= CANARY; k++) {
            if (b->data[-(ptrdiff_t)k] == 0xa5) continue;
            ck_fail(t, "buffer %zu was written %zu bytes before its start", i, k);
            break;
        }
        if (b->input && digest_of(b->data, b->n) != b->digest) ck_fail(t, "input %zu was changed", i);
        munmap(b->map, b->map_bytes);
    }
    if (t->verbose) {
        printf("%s %s %s", g.failures_of_case ? "FAIL" : "ok  ", t->tier_name, t->name);
        if (g.worst_ulp > 0) printf("  worst %.3f ulp", g.worst_ulp);
        printf("\n");
    }
    g.n_buffers = 0;
    t->active = false;
}

static bool open_case(ck *t, const char *format, va_list args)
{
    close_case(t);
    vsnprintf(t->name, sizeof t->name, format, args);
    if (g.filter && !strstr(t->name, g.filter)) return false;
    g.case_key = digest_of(t->name, strlen(t->name));
    g.draws = 0;
    g.failures_of_case = 0;
    g.worst_ulp = 0;
    g.n_cases++;
    t->active = true;
    return true;
}

bool ck_case(ck *t, const char *format, ...)
{
    if (t->bench) return false;
    va_list args;
    va_start(args, format);
    const bool open = open_case(t, format, args);
    va_end(args);
    return open;
}

bool ck_bench_case(ck *t, const char *format, ...)
{
    if (!t->bench) return false;
    va_list args;
    va_start(args, format);
    const bool open = open_case(t, format, args);
    va_end(args);
    return open;
}

/* ---- data ---------------------------------------------------------------------------------------- */

uint32_t ck_u32(ck *t)
{
    AC_UNUSED(t);
    static uint32_t words[4];                      /* of the counter draws / 4 */
    if (g.draws % 4 == 0) ac_philox(words, g.seed, AC_RNG_TEST, g.case_key, g.draws / 4);
    return words[g.draws++ % 4];
}

const char *ck_data_name(ck_data d)
{
    static const char *const names[CK_N_DATA] = { "unit", "positive", "wide", "tiny",
                                                  "denormal", "zeros", "logits" };
    return names[d];
}

static float draw(ck *t, ck_data data)
{
    const float u = (float)((int32_t)(ck_u32(t) >> 7) - (1 << 24)) * 0x1p-24f;
    switch (data) {
    case CK_POSITIVE:    return fabsf(u) + 0x1p-24f;
    case CK_WIDE:        return ldexpf(u, (int)(ck_u32(t) % 41) - 20);
    case CK_TINY:        return ldexpf(u, -124);
    case CK_DENORMAL:    return ck_u32(t) % 8 ? ldexpf(u, -126) : u < 0 ? -0.0f : 0.0f;
    case CK_SIGNED_ZERO: return ck_u32(t) & 1 ? u : u < 0 ? -0.0f : 0.0f;
    case CK_LOGITS:      return ck_u32(t) % 64 ? u * 5.0f : 20.0f + u;
    default:             return u;
    }
}

const float *ck_f32(ck *t, size_t n, ck_data data)
{
    float *p = buffer_new(n * sizeof *p);
    for (size_t i = 0; i < n; i++) p[i] = draw(t, data);
    seal_input();
    return p;
}

const void *ck_input(ck *t, const void *bytes, size_t n_bytes)
{
    AC_UNUSED(t);
    void *p = buffer_new(n_bytes);
    if (n_bytes) memcpy(p, bytes, n_bytes);
    seal_input();
    return p;
}

float *ck_copy(ck *t, const float *from, size_t n)
{
    AC_UNUSED(t);
    float *p = buffer_new(n * sizeof *p);
    if (n) memcpy(p, from, n * sizeof *p);
    return p;
}

float *ck_out(ck *t, size_t n)
{
    AC_UNUSED(t);
    float *p = buffer_new(n * sizeof *p);
    memset(p, 0xff, n * sizeof *p);
    return p;
}

void *ck_bytes(ck *t, size_t n_bytes)
{
    AC_UNUSED(t);
    return buffer_new(n_bytes);                    /* fresh pages are zero */
}

ac_pool *ck_pool(ck *t, size_t threads)
{
    AC_UNUSED(t);
    if (threads >= AC_COUNTOF(g.pools)) threads = AC_COUNTOF(g.pools) - 1;
    if (!g.pools[threads] && ac_pool_open(&g.pools[threads], threads, NULL)) {
        fprintf(stderr, "checkkern: cannot start %zu threads\n", threads);
        exit(70);
    }
    return g.pools[threads];
}

/* ---- judging ------------------------------------------------------------------------------------- */

static void note_output(const void *p, size_t n)
{
    const uint64_t d = digest_of(p, n);
    g.outputs = (g.outputs ^ d) * 0x100000001b3ull;
    g.outputs_of_test = (g.outputs_of_test ^ d) * 0x100000001b3ull;
}

void ck_same_bytes(ck *t, const void *got, const void *want, size_t n_bytes)
{
    const unsigned char *a = got, *b = want;
    note_output(want, n_bytes);
    if (!n_bytes || memcmp(a, b, n_bytes) == 0) return;
    size_t i = 0;
    while (a[i] == b[i]) i++;
    ck_fail(t, "byte %zu of %zu: 0x%02x, ref has 0x%02x", i, n_bytes, a[i], b[i]);
}

void ck_same_floats(ck *t, const float *got, const float *want, size_t n)
{
    note_output(want, n * sizeof *want);
    if (!n || memcmp(got, want, n * sizeof *got) == 0) return;
    size_t i = 0, differ = 0;
    while (memcmp(&got[i], &want[i], sizeof *got) == 0) i++;
    for (size_t k = i; k < n; k++) differ += memcmp(&got[k], &want[k], sizeof *got) != 0;
    ck_fail(t, "%zu of %zu floats differ, first [%zu]: %a, ref has %a", differ, n, i, (double)got[i],
            (double)want[i]);
}

void ck_near_double(ck *t, const float *got, const double *want, size_t n, ck_tol tol)
{
    for (size_t i = 0; i < n; i++) {
        const double size = fmax(fabs(want[i]), tol.relative_to);
        int e = -125;
        if (size > 0) (void)frexp(size, &e);
        if (e < -125) e = -125;
        const double off = fabs((double)got[i] - want[i]) / ldexp(1.0, e - 24);
        if (off > g.worst_ulp) g.worst_ulp = off;
        if (!(off <= tol.ulp)) {
            ck_fail(t, "[%zu] = %a is %.3g ulp from %a (limit %.3g)", i, (double)got[i], off, want[i],
                    tol.ulp);
            return;
        }
    }
}

void ck_near_relative(ck *t, double got, double want, double scale, double tol, const char *what)
{
    if (!(fabs(got - want) <= tol * (fabs(want) + scale)))
        ck_fail(t, "%s: %.9g, finite differences say %.9g (limit %.3g off)", what, got, want,
                tol * (fabs(want) + scale));
}

/* ---- traps --------------------------------------------------------------------------------------- */

static void on_signal(int signal_number)
{
    if (g_inside) siglongjmp(g_running->trap, signal_number);
    static const char text[] = "checkkern: fault outside the case's own thread\n";
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(71);
    _exit(70);
}

void ck_enter(ck *t)
{
    g_running = t;
    g_inside = 1;
}

void ck_leave(ck *t)
{
    AC_UNUSED(t);
    g_inside = 0;
}

/* ---- benchmarks ---------------------------------------------------------------------------------- */

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Doubles the rounds until a batch lasts 5 ms, then keeps the best of seven. */
ck_bench ck_bench_begin(void)
{
    g.best_ns = (double)INFINITY;
    return (ck_bench){ .rounds = 1 };
}

bool ck_bench_more(ck_bench *b)
{
    b->start_ns = now_ns();
    return b->batch < 7;
}

void ck_bench_end(ck_bench *b)
{
    const double ns = (double)(now_ns() - b->start_ns), each = ns / (double)b->rounds;
    if (b->batch == 0 && ns < 5e6) {
        b->rounds *= 2;
        return;
    }
    b->batch++;
    if (each < g.best_ns) g.best_ns = each;
}

void ck_bench_print(ck *t, double work, const char *unit)
{
    printf("%-36s %-7s %12.1f ns", t->name, t->tier_name, g.best_ns);
    if (work > 0) printf("  %9.3f %s/ns  %9.4f ns/%s", work / g.best_ns, unit, g.best_ns / work, unit);
    printf("\n");
}

/* ---- main ---------------------------------------------------------------------------------------- */

static void run_test(ck *t, const ck_test *test)
{
    g.outputs_of_test = 0xcbf29ce484222325ull;
    if (sigsetjmp(t->trap, 1) == 0) test->run(t);
    else ck_fail(t, "fault or illegal instruction; the rest of test %s is not run", test->name);
    ck_leave(t);
    close_case(t);
    if (g.digests) printf("digest %s %s %016llx\n", t->tier_name, test->name, (unsigned long long)g.outputs_of_test);
}

/* instruction: AVX-512 with vdpbf16ps, whichever of the two init chose. */
static void run_tier(ck *t, ac_cpu cpu, bool instruction)
{
    t->tier_name = instruction ? "avx512+bf16" : ac_cpu_name(cpu);
    if (g.only_tier && strcmp(g.only_tier, t->tier_name) != 0) return;
    if (!ac_cpu_offers(cpu)) {
        printf("%-7s not run: %s\n", t->tier_name, ac_cpu_lacks(cpu));
        return;
    }
    ac_kernels_fill(&t->tier, cpu);
    if (instruction && !ac_kernels_use_bf16_instruction(&t->tier, true)) {
        printf("%-7s not run: the CPU has no vdpbf16ps, or it does not keep the written order\n", t->tier_name);
        return;
    }
    t->is_ref = cpu == AC_CPU_REF;
    const size_t cases = g.n_cases, failed = g.n_failed;
    const int64_t start = now_ns();
    g.outputs = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < AC_COUNTOF(lists); i++)
        for (const ck_test *test = lists[i]; test->name; test++) run_test(t, test);
    if (!t->bench)
        printf("%-7s %zu cases, %zu failed, %.1f s, outputs %016llx\n", t->tier_name, g.n_cases - cases,
               g.n_failed - failed, (double)(now_ns() - start) * 1e-9, (unsigned long long)g.outputs);
}

static int usage(void)
{
    fprintf(stderr, "usage: checkkern [--seed N] [--cpu TIER] [--bench] [--verbose] [--digests] [NAME]\n"
                    "  NAME: only cases whose name contains it\n");
    return 64;
}

int main(int argc, char **argv)
{
    static ck t;
    g.seed = 20240607;
    g.page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) g.seed = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--cpu") == 0 && i + 1 < argc) g.only_tier = argv[++i];
        else if (strcmp(argv[i], "--bench") == 0) t.bench = true;
        else if (strcmp(argv[i], "--verbose") == 0) t.verbose = true;
        else if (strcmp(argv[i], "--digests") == 0) g.digests = true;
        else if (argv[i][0] != '-' && !g.filter) g.filter = argv[i];
        else return usage();
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %llu, %s\n", (unsigned long long)g.seed, ac_cpu_model());
    const struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };
    sigaction(SIGSEGV, &act, NULL);
    sigaction(SIGBUS, &act, NULL);
    sigaction(SIGILL, &act, NULL);
    const ac_fp_state fp = ac_fp_enter();
    ac_kernels_fill(&t.ref, AC_CPU_REF);
    const ac_cpu tiers[] = { AC_CPU_REF, AC_CPU_AVX2, AC_CPU_AVX512, AC_CPU_NEON };
    for (size_t i = 0; i < AC_COUNTOF(tiers); i++) run_tier(&t, tiers[i], false);
    run_tier(&t, AC_CPU_AVX512, true);
    ac_fp_leave(fp);
    for (size_t i = 0; i < AC_COUNTOF(g.pools); i++) ac_pool_close(&g.pools[i]);
    if (!g.n_cases) {
        fprintf(stderr, "checkkern: no case has \"%s\" in its name\n", g.filter ? g.filter : "");
        return 64;
    }
    if (!t.bench) printf("%zu cases, %zu failed\n", g.n_cases, g.n_failed);
    return g.n_failed ? 1 : 0;
}
