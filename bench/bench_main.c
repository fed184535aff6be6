/* accord-bench: options, rounds, and the figures that every group adds to. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/time.h"

enum { BURSTS = 5 };

figure *bench_figure(bench *b, const env *e, const demand *d)
{
    char id[sizeof b->figure[0].id];
    (void)snprintf(id, sizeof id, "%s.%s.%zut", d->id, e->tier, e->threads);
    for (size_t i = 0; i < b->n_figures; i++)
        if (!strcmp(b->figure[i].id, id)) return &b->figure[i];
    if (b->n_figures == MAX_FIGURES) {
        fprintf(stderr, "accord-bench: more than %d figures\n", MAX_FIGURES);
        exit(70);
    }
    figure *f = &b->figure[b->n_figures++];
    *f = (figure){ .text = d->text, .tier = e->tier, .at_least = d->at_least, .aim = d->aim, .at_most = d->at_most,
                   .unit = d->unit };
    memcpy(f->id, id, sizeof id);
    return f;
}

void bench_add(figure *f, const env *e, double value)
{
    if (e->skip) f->skipped++;
    else if (f->n < MAX_ROUNDS && isfinite(value)) f->value[f->n++] = value;
}

void bench_not_run(figure *f, const char *why)
{
    (void)snprintf(f->note, sizeof f->note, "%s", why);
}

/* ---- samples ---- */

double bench_seconds(const env *e, op *run, void *ctx, size_t reps)
{
    const int64_t from = bench_ns(e->pool);
    for (size_t i = 0; i < reps; i++) run(ctx);
    const double ns = (double)(bench_ns(e->pool) - from);
    return (ns > 1 ? ns : 1) * 1e-9;
}

size_t bench_reps(const env *e, op *run, void *ctx, double seconds)
{
    const double once = bench_seconds(e, run, ctx, 1);
    if (once >= seconds) return 1;
    const double reps = seconds / once;
    return reps > 1e6 ? 1000000 : (size_t)reps + 1;
}

double bench_share(const env *e, op *run, void *ctx, double flops)
{
    const size_t reps = bench_reps(e, run, ctx, 0.001);
    double peak = 0, best = 1e9;
    for (size_t i = 0, n = reps == 1 ? 3 : 4; i < n; i++) {
        const double p = bench_peak_gflops(e->pool, e->kernels.tier);
        const double s = bench_seconds(e, run, ctx, reps);
        if (p > peak) peak = p;
        if (s < best) best = s;
        if (i && s > 0.02) break;
    }
    return peak > 0 ? flops * (double)reps / best * 1e-9 / peak : (double)NAN;
}

double bench_times(const env *e, op *run, void *ctx, op *other, void *other_ctx)
{
    const size_t reps = bench_reps(e, run, ctx, 0.001), other_reps = bench_reps(e, other, other_ctx, 0.001);
    double best = 1e9, other_best = 1e9;
    for (size_t i = 0; i < 4; i++) {
        const double o = bench_seconds(e, other, other_ctx, other_reps) / (double)other_reps;
        const double s = bench_seconds(e, run, ctx, reps) / (double)reps;
        if (s < best) best = s;
        if (o < other_best) other_best = o;
        if (i && s + o > 0.04) break;
    }
    return other_best / best;
}

/* ---- what the machine can do ---- */

static double best_peak(const env *e)
{
    double peak = 0;
    for (size_t i = 0; i < BURSTS; i++) {
        const double p = bench_peak_gflops(e->pool, e->kernels.tier);
        if (p > peak) peak = p;
    }
    return peak;
}

void bench_peaks(bench *b, env *e)
{
    double read = 0, bf16 = 0;
    for (size_t i = 0; i < BURSTS; i++) {
        const double r = bench_read_gbytes(e->pool, e->kernels.tier, b->weights, WEIGHT_BYTES);
        const double h = e->main_tier ? bench_bf16_gflops(e->pool) : 0;
        if (r > read) read = r;
        if (h > bf16) bf16 = h;
    }
    bench_add(bench_figure(b, e, &(demand){ "peak.fma", "fp32 fma chains", "GFLOP/s", 0, 0, false }), e, e->peak);
    if (e->main_tier)
        bench_add(bench_figure(b, e, &(demand){ "peak.read", "reading 96 MiB", "GB/s", 0, 0, false }), e, read);
    if (bf16 > 0)
        bench_add(bench_figure(b, e, &(demand){ "peak.bf16", "vdpbf16ps chains", "GFLOP/s", 0, 0, false }), e, bf16);
}

/* ---- rounds ---- */

typedef struct {
    const char *name;
    void (*run)(bench *b, env *e);
} group;

static const group groups[] = {
    { "peaks", bench_peaks },           { "products", bench_products },   { "stored", bench_stored },
    { "thin", bench_thin },             { "libraries", bench_libraries }, { "vectors", bench_vectors },
    { "attention", bench_attention },   { "model", bench_model },
};

static void one_round(bench *b, size_t round)
{
    double one = 0;
    for (size_t i = 0; i < b->n_envs; i++) {
        env *e = &b->env[i];
        e->peak = best_peak(e);
        if (e->threads == 1) one = e->peak;
        e->skip = e->threads > 1 && e->peak < 1.8 * one;
    }
    /* Two threads on one core measure nothing: look again in each round, but do not go through the groups. */
    for (size_t i = 0; i < b->n_envs; i++) {
        env *e = &b->env[i];
        if (e->skip && round && b->env[i].threads > 1) {
            for (size_t f = 0; f < b->n_figures; f++)
                if (strstr(b->figure[f].id, ".2t") && !strcmp(b->figure[f].tier, e->tier)) b->figure[f].skipped++;
            continue;
        }
        for (size_t g = 0; g < AC_COUNTOF(groups); g++) {
            if (b->only && !strstr(b->only, groups[g].name)) continue;
            fprintf(stderr, "\rround %zu: %s, %zu thread%s, %-10s", round + 1, e->tier, e->threads,
                    e->threads > 1 ? "s" : "", groups[g].name);
            groups[g].run(b, e);
        }
    }
}

static bool open_envs(bench *b, ac_cpu best, size_t threads)
{
    const ac_cpu tiers[] = { best, AC_CPU_AVX2 };
    ac_err err = { 0 };
    for (size_t t = 0; t < 2; t++) {
        if (t && (best != AC_CPU_AVX512)) break;
        for (size_t n = 1; n <= threads; n++) {
            env *e = &b->env[b->n_envs];
            if (ac_kernels_init(&e->kernels, tiers[t], &err) || ac_pool_open(&e->pool, n, &err) ||
                ac_mm_workspace_open(&e->ws, n, &err)) {
                fprintf(stderr, "accord-bench: %s\n", err.text);
                return false;
            }
            e->threads = n;
            e->tier = ac_cpu_name(e->kernels.tier);
            e->main_tier = t == 0;
            b->n_envs++;
        }
    }
    return true;
}

static bool open_bench(bench *b, size_t threads)
{
    ac_err err = { 0 };
    ac_kernels k;
    if (ac_kernels_init(&k, AC_CPU_AUTO, &err)) {
        fprintf(stderr, "accord-bench: %s\n", err.text);
        return false;
    }
    b->weights = ac_malloc_aligned(WEIGHT_BYTES);
    b->a = ac_malloc_aligned(FLOATS * sizeof(float));
    b->c = ac_malloc_aligned(FLOATS * sizeof(float));
    if (!b->weights || !b->a || !b->c) return false;
    memset(b->weights, 0, WEIGHT_BYTES);
    b->filled = AC_DTYPE_COUNT;
    for (size_t i = 0; i < FLOATS; i++) {
        b->a[i] = (float)(i * 2654435761u >> 7 & 1023) * 0x1p-10f;
        b->c[i] = 0;
    }
    return open_envs(b, k.tier, threads);
}

static void close_bench(bench *b)
{
    bench_model_close();
    for (size_t i = 0; i < b->n_envs; i++) {
        ac_mm_workspace_close(&b->env[i].ws);
        ac_pool_close(&b->env[i].pool);
    }
    ac_free(b->weights);
    ac_free(b->a);
    ac_free(b->c);
}

static const char usage[] =
    "usage: accord-bench [--json] [--rounds n] [--threads n] [--only groups] [--model file.gguf]\n"
    "                    [--limit seconds] [--csv file --commit hash --date yyyy-mm-dd]\n"
    "groups: peaks products stored thin libraries vectors attention model, joined by commas\n";

int main(int argc, char **argv)
{
    static bench b;
    size_t rounds = 5, threads = ac_cpu_count() > 1 ? 2 : 1;
    const char *csv = NULL, *commit = "-", *date = "-";
    double limit = 235;                                   /* no round begins that would end behind it, but two do */
    bool json = false;
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--json")) json = true;
        else if (!strcmp(argv[i], "--rounds") && next) rounds = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--threads") && next) threads = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--limit") && next) limit = strtod(argv[++i], NULL);
        else if (!strcmp(argv[i], "--only") && next) b.only = argv[++i];
        else if (!strcmp(argv[i], "--model") && next) b.model = argv[++i];
        else if (!strcmp(argv[i], "--csv") && next) csv = argv[++i];
        else if (!strcmp(argv[i], "--commit") && next) commit = argv[++i];
        else if (!strcmp(argv[i], "--date") && next) date = argv[++i];
        else {
            fputs(usage, stderr);
            return 64;
        }
    }
    if (rounds < 1 || rounds > MAX_ROUNDS || threads < 1 || threads > 2) {
        fputs("accord-bench: rounds from 1 to 32, threads 1 or 2\n", stderr);
        return 64;
    }
    if (!open_bench(&b, threads)) return 70;
    const int64_t from = ac_mono_ns();
    size_t done = 0;
    double gone = 0;
    while (done < rounds && (done < 2 || gone + gone / (double)done <= limit)) {
        one_round(&b, done++);
        gone = (double)(ac_mono_ns() - from) * 1e-9;
    }
    fprintf(stderr, "\r%zu of %zu rounds in %.0f s%40s\n", done, rounds, gone, "");
    if (json) bench_print_json(&b);
    else bench_print_table(&b);
    const bool written = !csv || bench_append_csv(&b, csv, date, commit);
    close_bench(&b);
    return written ? 0 : 73;
}
