/* bench_matmul - products of real models, as shares of the fma peak measured beside each run.
 *
 * Five runs a case. A run is a few samples of about a millisecond, each beside a burst of fma chains
 * that says what the machine gives at that moment; the run is its best sample over its best burst, so
 * that a neighbour who takes the core for a while spoils neither. With one thread, times are the process's own. Reported: the median of the five
 * shares, the least and the largest. Weights rotate over copies, so that they come from memory as they
 * do in a model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "bench_peak.h"

enum { RUNS = 5, SAMPLES = 6, MAX_COPIES = 64 };
static const size_t POOL_BYTES = (size_t)96 << 20;

typedef struct {
    const char *what;
    ac_mm_form form;
    ac_dtype type;
    size_t m, n, k;
    bool accumulate;
} bench_case;

typedef struct {
    ac_kernels kernels;
    ac_pool *pool;
    ac_mm_workspace *ws;
    uint8_t *weights;
    float *a, *c;
    bool json, first;
    const char *only;
    ac_dtype filled;
    size_t filled_bytes;
} bench;

static size_t stored_bytes(const bench_case *t, size_t *row_bytes)
{
    const size_t rows = t->form == AC_MM_NT ? t->n : t->k, cols = t->form == AC_MM_NT ? t->k : t->n;
    if (!ac_dtype_row_bytes(row_bytes, t->type, cols)) return 0;
    return *row_bytes * rows;
}

/* Random codes under one plain scale; every byte below 0x40 keeps all two-byte scales finite. Types
 * without scales get numbers of [0.5, 1): products of denormals would measure the CPU's assists. */
static void fill_weights(bench *b, ac_dtype type, size_t bytes)
{
    if (b->filled == type && b->filled_bytes >= bytes) return;
    for (size_t i = 0; i < bytes; i++) {
        const uint8_t r = (uint8_t)((i * 2654435761u >> 13) & 0x3f);
        uint8_t v = r;
        if (type == AC_F32 && i % 4 >= 2) v = i % 4 == 3 ? 0x3f : r;
        if (type == AC_BF16 && i % 2) v = 0x3f;
        if (type == AC_F16 && i % 2) v = 0x38 | (r & 3);
        b->weights[i] = v;
    }
    b->filled = type;
    b->filled_bytes = bytes;
}

static int by_value(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

static double seconds_of(bench *b, ac_matmul_args *g, size_t bytes, size_t copies, size_t reps, size_t *at)
{
    const int64_t from = bench_ns(b->pool);
    for (size_t i = 0; i < reps; i++) {
        g->b = b->weights + (*at)++ % copies * bytes;
        ac_matmul(&b->kernels, b->pool, b->ws, g);
    }
    return (double)(bench_ns(b->pool) - from) * 1e-9;
}

static void print_case(bench *b, const bench_case *t, double gflops, double gbytes, const double *share)
{
    static const char *const forms[] = { "nt", "nn", "tn" };
    if (b->json) {
        printf("%s\n  {\"what\":\"%s\",\"form\":\"%s\",\"type\":\"%s\",\"m\":%zu,\"n\":%zu,\"k\":%zu,"
               "\"accumulate\":%s,\"gflops\":%.2f,\"weight_gbytes\":%.3f,\"share\":%.4f,"
               "\"share_min\":%.4f,\"share_max\":%.4f}", b->first ? "" : ",", t->what, forms[t->form],
               ac_dtype_name(t->type), t->m, t->n, t->k, t->accumulate ? "true" : "false", gflops, gbytes,
               share[RUNS / 2], share[0], share[RUNS - 1]);
    } else {
        printf("%-14s %s %-5s %5zu %6zu %5zu%s %8.1f GFLOP/s %7.2f GB/s  %5.1f %% (%.1f .. %.1f)\n",
               t->what, forms[t->form], ac_dtype_name(t->type), t->m, t->n, t->k,
               t->accumulate ? " +" : "  ", gflops, gbytes, 100 * share[RUNS / 2], 100 * share[0],
               100 * share[RUNS - 1]);
    }
    b->first = false;
    fflush(stdout);
}

static void run_case(bench *b, const bench_case *t)
{
    size_t row_bytes = 0;
    const size_t bytes = stored_bytes(t, &row_bytes);
    if (!bytes || bytes > POOL_BYTES || (b->only && !strstr(t->what, b->only))) return;
    size_t copies = POOL_BYTES / bytes;
    if (copies > MAX_COPIES) copies = MAX_COPIES;
    ac_matmul_args g = { .form = t->form, .m = t->m, .n = t->n, .k = t->k, .a = b->a,
        .lda = t->form == AC_MM_TN ? t->m : t->k, .b_type = t->type, .b_row_bytes = row_bytes,
        .c = b->c, .ldc = t->n, .accumulate = t->accumulate };
    const double flops = 2.0 * (double)t->m * (double)t->n * (double)t->k;
    size_t at = 0;
    fill_weights(b, t->type, copies * bytes);
    const double once = seconds_of(b, &g, bytes, copies, 1, &at);
    const size_t reps = once > 0.001 ? 1 : (size_t)(0.001 / (once + 1e-7)) + 1;
    double share[RUNS], speed[RUNS];
    for (size_t i = 0; i < RUNS; i++) {
        double peak = 0, best = 1e9;
        for (size_t j = 0; j < SAMPLES; j++) {
            const double p = bench_peak_gflops(b->pool, b->kernels.tier);
            const double s = seconds_of(b, &g, bytes, copies, reps, &at);
            if (p > peak) peak = p;
            if (s < best) best = s;
        }
        speed[i] = flops * (double)reps / best * 1e-9;
        share[i] = peak > 0 ? speed[i] / peak : 0;
    }
    qsort(share, RUNS, sizeof share[0], by_value);
    qsort(speed, RUNS, sizeof speed[0], by_value);
    print_case(b, t, speed[RUNS / 2], speed[RUNS / 2] * (double)bytes / flops, share);
}

typedef struct {
    const char *name;
    size_t hidden, ffn, kv;
} bench_model;

static void run_model(bench *b, const bench_model *d, size_t m, ac_dtype type)
{
    char what[48];
    const size_t n_of[4] = { d->hidden, d->kv, d->ffn, d->hidden };
    const size_t k_of[4] = { d->hidden, d->hidden, d->hidden, d->ffn };
    static const char *const part[4] = { "q", "kv", "up", "down" };
    for (size_t i = 0; i < 4; i++) {
        snprintf(what, sizeof what, "%s.%s", d->name, part[i]);
        run_case(b, &(bench_case){ what, AC_MM_NT, type, m, n_of[i], k_of[i], false });
        if (m > 16) run_case(b, &(bench_case){ what, AC_MM_NN, type, m, k_of[i], n_of[i], i > 0 });
    }
}

/* x A^T, t B^T, and the gradients of both factors, for rank 16 over a projection of `from` to `to`. */
static void run_adapter(bench *b, const char *name, size_t m, size_t from, size_t to)
{
    char what[48];
    snprintf(what, sizeof what, "%s.lora", name);
    run_case(b, &(bench_case){ what, AC_MM_NT, AC_F32, m, 16, from, false });
    run_case(b, &(bench_case){ what, AC_MM_NT, AC_F32, m, to, 16, true });
    run_case(b, &(bench_case){ what, AC_MM_NN, AC_F32, m, 16, to, false });
    run_case(b, &(bench_case){ what, AC_MM_NN, AC_F32, m, from, 16, true });
    run_case(b, &(bench_case){ what, AC_MM_TN, AC_F32, 16, from, m, true });
    run_case(b, &(bench_case){ what, AC_MM_TN, AC_F32, to, 16, m, true });
}

static void run_all(bench *b, bool quick)
{
    static const bench_model models[] = { { "smollm2", 576, 1536, 192 }, { "qwen2.5", 896, 4864, 128 } };
    static const ac_dtype types[] = { AC_Q4_1, AC_F32, AC_Q8_0, AC_BF16, AC_F16, AC_Q4_0, AC_Q5_1 };
    const size_t n_types = quick ? 2 : AC_COUNTOF(types);
    for (size_t i = 0; i < AC_COUNTOF(models); i++) {
        for (size_t j = 0; j < n_types; j++)
            run_model(b, &models[i], 512, types[j]);
        for (size_t j = 0; j < 3; j++) {
            run_model(b, &models[i], 1, types[j]);
            run_model(b, &models[i], 8, types[j]);
            run_model(b, &models[i], 48, types[j]);
        }
        run_adapter(b, models[i].name, 512, models[i].hidden, models[i].ffn);
    }
    run_model(b, &models[1], 512, AC_Q6_K);
    run_case(b, &(bench_case){ "smollm2.head", AC_MM_NT, AC_Q8_0, 64, 49152, 576, false });
    run_case(b, &(bench_case){ "smollm2.head", AC_MM_NN, AC_Q8_0, 64, 576, 49152, false });
    run_case(b, &(bench_case){ "smollm2.head", AC_MM_NT, AC_Q8_0, 1, 49152, 576, false });
}

static bool open_bench(bench *b, ac_cpu tier, size_t threads)
{
    ac_err err = {0};
    const size_t floats = (size_t)512 * 49152;
    if (ac_kernels_init(&b->kernels, tier, &err) || ac_pool_open(&b->pool, threads, &err) ||
        ac_mm_workspace_open(&b->ws, ac_pool_threads(b->pool), &err)) {
        fprintf(stderr, "bench_matmul: %s\n", err.text);
        return false;
    }
    b->weights = ac_malloc_aligned(POOL_BYTES);
    b->a = ac_malloc_aligned(floats * sizeof(float));
    b->c = ac_malloc_aligned(floats * sizeof(float));
    if (!b->weights || !b->a || !b->c) return false;
    b->filled = AC_DTYPE_COUNT;
    for (size_t i = 0; i < floats; i++) {
        b->a[i] = (float)(i * 2654435761u >> 7 & 1023) * 0x1p-10f;
        b->c[i] = 0;
    }
    return true;
}

int main(int argc, char **argv)
{
    static bench b = { .first = true };
    ac_cpu tier = AC_CPU_AUTO;
    size_t threads = 1;
    bool quick = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json")) b.json = true;
        else if (!strcmp(argv[i], "--quick")) quick = true;
        else if (!strcmp(argv[i], "--threads") && i + 1 < argc) threads = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--only") && i + 1 < argc) b.only = argv[++i];
        else if (!strcmp(argv[i], "--cpu") && i + 1 < argc && ac_cpu_parse(argv[i + 1], &tier)) i++;
        else {
            fprintf(stderr, "usage: bench_matmul [--json] [--quick] [--threads n] [--cpu tier] [--only part]\n");
            return 64;
        }
    }
    if (!open_bench(&b, tier, threads)) return 70;
    double peak = 0, read = 0;
    for (size_t i = 0; i < 20; i++) {
        const double p = bench_peak_gflops(b.pool, b.kernels.tier);
        const double r = bench_read_gbytes(b.pool, b.kernels.tier, b.c, (size_t)512 * 49152 * sizeof *b.c);
        if (p > peak) peak = p;
        if (r > read) read = r;
    }
    if (b.json)
        printf("{\"cpu\":\"%s\",\"tier\":\"%s\",\"threads\":%zu,\"peak_gflops\":%.1f,\"read_gbytes\":%.1f,"
               "\"cases\":[", ac_cpu_model(), ac_cpu_name(b.kernels.tier), ac_pool_threads(b.pool), peak, read);
    else
        printf("%s, %s, %zu threads: peak %.1f GFLOP/s, read %.1f GB/s\n"
               "what           form type      m      n     k                    of weights   share of peak\n",
               ac_cpu_model(), ac_cpu_name(b.kernels.tier), ac_pool_threads(b.pool), peak, read);
    run_all(&b, quick);
    if (b.json) printf("\n]}\n");
    ac_free(b.weights);
    ac_free(b.a);
    ac_free(b.c);
    ac_mm_workspace_close(&b.ws);
    ac_pool_close(&b.pool);
    return 0;
}
