/* Beside OpenBLAS and oneDNN, where their libraries are found at run time: y = x W^T over 24 shapes. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

typedef void sgemm_fn(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                      const float *b, int ldb, float beta, float *c, int ldc);
typedef int dnnl_fn(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
typedef void threads_fn(int n);

/* dlsym gives an object pointer; a union is how ISO C lets it become a function. */
typedef union {
    void *found;
    sgemm_fn *sgemm;
    dnnl_fn *dnnl;
    threads_fn *threads;
} symbol;

static struct {
    bool tried;
    symbol sgemm, dnnl, blas_threads, omp_threads;
} lib;

static void *open_first(const char *const *names)
{
    for (; *names; names++) {
        void *h = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
        if (h) return h;
    }
    return NULL;
}

static void find_libraries(const env *e)
{
    static const char *const blas[] = { "libopenblas.so.0", "libopenblas.so", NULL };
    static const char *const dnnl[] = { "libdnnl.so.3", "libdnnl.so.2", NULL };
    static const char *const omp[] = { "libgomp.so.1", NULL };
    if (lib.tried) return;
    lib.tried = true;
    /* OpenBLAS 0.3.21 does not know newer CPUs and would take its oldest kernels. */
    if (e->kernels.tier == AC_CPU_AVX512) (void)setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
    void *h = open_first(blas);
    if (h) {
        lib.sgemm.found = dlsym(h, "cblas_sgemm");
        lib.blas_threads.found = dlsym(h, "openblas_set_num_threads");
    }
    h = open_first(dnnl);
    if (h) lib.dnnl.found = dlsym(h, "dnnl_sgemm");
    h = open_first(omp);
    if (h) lib.omp_threads.found = dlsym(h, "omp_set_num_threads");
}

static void run_blas(void *ctx)
{
    enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };
    product *p = ctx;
    const ac_matmul_args *g = &p->args;
    const uint8_t *b = p->weights + p->at++ % p->copies * p->bytes;
    lib.sgemm.sgemm(ROW_MAJOR, NO_TRANS, TRANS, (int)g->m, (int)g->n, (int)g->k, 1.0f, g->a, (int)g->lda,
                    (const float *)(const void *)b, (int)g->k, 0.0f, g->c, (int)g->ldc);
}

static void run_dnnl(void *ctx)
{
    product *p = ctx;
    const ac_matmul_args *g = &p->args;
    const uint8_t *b = p->weights + p->at++ % p->copies * p->bytes;
    (void)lib.dnnl.dnnl('N', 'T', (int64_t)g->m, (int64_t)g->n, (int64_t)g->k, 1.0f, g->a, (int64_t)g->lda,
                        (const float *)(const void *)b, (int64_t)g->k, 0.0f, g->c, (int64_t)g->ldc);
}

static void against(bench *b, env *e, const demand *d, bool ahead, op *other, bool found)
{
    static const size_t rows_of[] = { 64, 512, 2048 };
    figure *f = bench_figure(b, e, d);
    double sum = 0;
    size_t n = 0;
    if (!found) {
        bench_not_run(f, "its library was not found");
        return;
    }
    for (size_t i = 0; i < 8; i++) {
        for (size_t j = 0; j < 3; j++) {
            product ours;
            if (!bench_product(&ours, b, e, AC_MM_NT, AC_F32, rows_of[j], bench_layers[i].out, bench_layers[i].in))
                continue;
            product theirs = ours;
            if (ahead && !bench_product_ahead(&ours)) continue;
            theirs.copies = ours.copies;
            sum += log(bench_times(e, bench_product_run, &ours, other, &theirs));
            n++;
            bench_product_close(&ours);
        }
    }
    bench_add(f, e, exp(sum / (double)n));
}

void bench_libraries(bench *b, env *e)
{
    if (!e->main_tier) return;
    find_libraries(e);
    if (lib.blas_threads.found) lib.blas_threads.threads((int)e->threads);
    if (lib.omp_threads.found) lib.omp_threads.threads((int)e->threads);
    const bool blas = lib.sgemm.found != NULL, dnnl = lib.dnnl.found != NULL;
    const char *ahead = "NT, 24 shapes, packed ahead, times as fast", *each = "NT, 24 shapes, packed at each call, times as fast";
    against(b, e, &(demand){ "against.openblas", ahead, "x", 1.0, 1.1, false }, true, run_blas, blas);
    against(b, e, &(demand){ "against.openblas.each", each, "x", 0, 0, false }, false, run_blas, blas);
    against(b, e, &(demand){ "against.onednn", ahead, "x", 0.93, 1.0, false }, true, run_dnnl, dnnl);
    against(b, e, &(demand){ "against.onednn.each", each, "x", 0, 0, false }, false, run_dnnl, dnnl);
}
