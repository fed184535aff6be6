/* backend/cuda/cuda_gemm.c - matrix products through cuBLASLt, one chosen algorithm a shape.
 *
 * The library's first choice for a shape is a function of shape, GPU and library version, so it is asked once and kept:
 * the same bits run to run (B10). Sums are binary32. Row-major C = A B is its column-major C' = B' A'. */
#include <string.h>
#include "backend/cuda/cuda_int.h"

typedef struct {                     /* what a plan belongs to; compared bytewise, so zeroed first */
    uint64_t m, n, k, lda, ldb, ldc, flags, align;
} plan_key;

struct cuda_plan {
    plan_key key;
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algo;
};

static bool lt_ok(cuda_device *d, cublasStatus_t st, const char *what)
{
    if (st == CUBLAS_STATUS_SUCCESS) return true;
    cuda_fail(d, AC_ESTATE, "cuBLASLt: %s failed with status %d", what, (int)st);
    return false;
}

/* The largest power of two, up to 256, that all three places are multiples of. */
static uint64_t alignment(const cuda_gemm *g)
{
    const uintptr_t all = (uintptr_t)g->a | (uintptr_t)g->b | (uintptr_t)g->c | 256u;
    return (uint64_t)(all & (~all + 1));
}

static void plan_free(cuda_device *d, cuda_plan *p)
{
    if (!p) return;
    if (p->a) cublasLtMatrixLayoutDestroy(p->a);
    if (p->b) cublasLtMatrixLayoutDestroy(p->b);
    if (p->c) cublasLtMatrixLayoutDestroy(p->c);
    if (p->op) cublasLtMatmulDescDestroy(p->op);
    d->host->release(p);
}

void cuda_plans_close(cuda_device *d)
{
    for (size_t i = 0; i < CUDA_PLAN_SLOTS; i++) {
        plan_free(d, d->plan[i]);
        d->plan[i] = NULL;
    }
}

static bool describe(cuda_device *d, cuda_plan *p, const cuda_gemm *g)
{
    const cublasOperation_t first = g->tb ? CUBLAS_OP_T : CUBLAS_OP_N, second = g->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cudaDataType_t c_type = g->c_f32 ? CUDA_R_32F : CUDA_R_16BF;
    return lt_ok(d, cublasLtMatmulDescCreate(&p->op, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a product's description") &&
           lt_ok(d, cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first), "trans") &&
           lt_ok(d, cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second), "trans") &&
           lt_ok(d, cublasLtMatrixLayoutCreate(&p->a, CUDA_R_16BF, g->tb ? g->k : g->n, g->tb ? g->n : g->k,
                                               (int64_t)g->ldb), "a layout") &&
           lt_ok(d, cublasLtMatrixLayoutCreate(&p->b, CUDA_R_16BF, g->ta ? g->m : g->k, g->ta ? g->k : g->m,
                                               (int64_t)g->lda), "a layout") &&
           lt_ok(d, cublasLtMatrixLayoutCreate(&p->c, c_type, g->n, g->m, (int64_t)g->ldc), "a layout");
}

static bool choose(cuda_device *d, cuda_plan *p)
{
    cublasLtMatmulPreference_t pref = NULL;
    cublasLtMatmulHeuristicResult_t best;
    int found = 0;
    const size_t room = CUDA_LT_SPACE;
    const uint32_t align = (uint32_t)p->key.align;
    bool ok = lt_ok(d, cublasLtMatmulPreferenceCreate(&pref), "a preference") &&
              lt_ok(d, cublasLtMatmulPreferenceSetAttribute(pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room,
                                                            sizeof room), "workspace");
    static const cublasLtMatmulPreferenceAttributes_t sides[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES };
    for (size_t i = 0; ok && i < sizeof sides / sizeof *sides; i++)
        ok = lt_ok(d, cublasLtMatmulPreferenceSetAttribute(pref, sides[i], &align, sizeof align), "alignment");
    if (ok)
        ok = lt_ok(d, cublasLtMatmulAlgoGetHeuristic(d->lt, p->op, p->a, p->b, p->c, p->c, pref, 1, &best, &found),
                   "the choice of an algorithm");
    if (pref) cublasLtMatmulPreferenceDestroy(pref);
    if (ok && found == 0) {
        cuda_fail(d, AC_ESTATE, "cuBLASLt has no algorithm for a product of %zu x %zu x %zu", (size_t)p->key.m,
                  (size_t)p->key.n, (size_t)p->key.k);
        ok = false;
    }
    if (ok) p->algo = best.algo;
    return ok;
}

/* Slots by hash, the next free one; a full table would mean a thousand shapes, and starts anew. */
static cuda_plan *plan_for(cuda_device *d, const cuda_gemm *g)
{
    plan_key key;
    memset(&key, 0, sizeof key);
    key.m = g->m;
    key.n = g->n;
    key.k = g->k;
    key.lda = g->lda;
    key.ldb = g->ldb;
    key.ldc = g->ldc;
    key.flags = (uint64_t)(g->ta | g->tb << 1 | g->c_f32 << 2 | (g->beta != 0.0f) << 3);
    key.align = alignment(g);
    uint64_t h = 1469598103934665603u;
    const unsigned char *bytes = (const unsigned char *)&key;
    for (size_t i = 0; i < sizeof key; i++) h = (h ^ bytes[i]) * 1099511628211u;
    size_t slot = h % CUDA_PLAN_SLOTS;
    for (size_t tries = 0; d->plan[slot]; slot = (slot + 1) % CUDA_PLAN_SLOTS) {
        if (memcmp(&d->plan[slot]->key, &key, sizeof key) == 0) return d->plan[slot];
        if (++tries == CUDA_PLAN_SLOTS / 2) cuda_plans_close(d);
    }
    cuda_plan *p = d->host->alloc(1, sizeof *p);
    if (!p) {
        cuda_fail(d, AC_ENOMEM, "out of memory for a product's plan");
        return NULL;
    }
    p->key = key;
    if (!describe(d, p, g) || !choose(d, p)) {
        plan_free(d, p);
        return NULL;
    }
    d->plan[slot] = p;
    return p;
}

void cuda_product(cuda_device *d, const cuda_gemm *g)
{
    if (d->st || !g->m || !g->n || !g->k) return;
    const cuda_plan *p = plan_for(d, g);
    if (!p) return;
    lt_ok(d, cublasLtMatmul(d->lt, p->op, &g->alpha, g->b, p->a, g->a, p->b, &g->beta, g->c, p->c, g->c, p->c, &p->algo,
                            d->lt_space, CUDA_LT_SPACE, d->stream), "a product");
}
