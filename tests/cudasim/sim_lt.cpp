/* tests/cudasim/sim_lt.cpp - cuBLASLt's product on a simulated GPU: column-major, bfloat16 factors, binary32 sums in the order
 * of k, each element for itself. Descriptions that do not fit each other or the memory end the program. */
#include <stdlib.h>
#include <vector>

#include "cublasLt.h"
#include "cuda_bf16.h"
#include "sim_int.h"

struct cublasLtContext {
    int unused;
};

struct cudasim_lt_op {
    cublasOperation_t ta, tb;
};

struct cudasim_lt_layout {
    cudaDataType_t type;
    uint64_t rows, cols;
    int64_t ld;
};

struct cudasim_lt_preference {
    size_t space;
    uint32_t align;
};

namespace sim {

/* What an algorithm asks for: bytes of workspace, alignment of the four places. */
enum { ALGO_SPACE, ALGO_ALIGN };

enum { EIGHTS = 2, ROWS = 8 * EIGHTS, COLS = 4 };       /* of the result at once: what registers hold */

struct matrix {
    const void *p;
    cudasim_lt_layout l;
    bool turned;
    uint64_t rows() const { return turned ? l.cols : l.rows; }
    uint64_t cols() const { return turned ? l.rows : l.cols; }
    size_t bytes() const { return ((l.cols - 1) * (size_t)l.ld + l.rows) * (l.type == CUDA_R_32F ? 4 : 2); }
};

static float narrow_at(const matrix &m, size_t row, size_t col)
{
    const __nv_bfloat16 *p = (const __nv_bfloat16 *)m.p;
    return __bfloat162float(m.turned ? p[row * (size_t)m.l.ld + col] : p[col * (size_t)m.l.ld + row]);
}

static void check(const matrix &m, uint32_t align, const char *which)
{
    if (!on_device(m.p, m.bytes())) fail("a product's %s (%zu bytes at %p) is not within device memory", which, m.bytes(), m.p);
    if ((uintptr_t)m.p % align) fail("a product's %s is at %p; its algorithm was asked for with places aligned to %u", which, m.p, align);
    if ((uint64_t)m.l.ld < m.l.rows) fail("a product's %s has %llu rows and %lld between columns", which, (unsigned long long)m.l.rows, (long long)m.l.ld);
}

struct product {
    matrix a, b, c, out;
    float alpha, beta;
};

/* Both factors as binary32, padded to whole tiles: a as [k][rows], b as [k][cols]. */
static std::vector<float> wide(const matrix &m, bool rows_last, size_t n, size_t k, size_t padded)
{
    std::vector<float> to(k * padded, 0.0f);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j++) to[j * padded + i] = rows_last ? narrow_at(m, i, j) : narrow_at(m, j, i);
    return to;
}

static void store(const product &p, size_t row, size_t col, float sum)
{
    const size_t at = col * (size_t)p.out.l.ld + row, from = col * (size_t)p.c.l.ld + row;
    sum *= p.alpha;
    if (p.out.l.type == CUDA_R_32F) {
        float *out = (float *)p.out.p;
        out[at] = p.beta != 0.0f ? fmaf(p.beta, ((const float *)p.c.p)[from], sum) : sum;
    } else {
        __nv_bfloat16 *out = (__nv_bfloat16 *)p.out.p;
        out[at] = __float2bfloat16_rn(p.beta != 0.0f ? fmaf(p.beta, __bfloat162float(((const __nv_bfloat16 *)p.c.p)[from]), sum) : sum);
    }
}

static SIM_INLINE void tile(row8 sum[COLS][EIGHTS], const float *a, size_t rows, const float *b, size_t cols, size_t k)
{
    row8 s[COLS][EIGHTS] = {};
    for (size_t x = 0; x < k; x++) {
        row8 left[EIGHTS];
        memcpy(left, a + x * rows, sizeof left);
        for (size_t c = 0; c < COLS; c++)
            for (size_t e = 0; e < EIGHTS; e++) s[c][e] += left[e] * b[x * cols + c];
    }
    memcpy(sum, s, sizeof s);
}

static void tile_plain(row8 sum[COLS][EIGHTS], const float *a, size_t rows, const float *b, size_t cols, size_t k)
{
    tile(sum, a, rows, b, cols, k);
}

static SIM_WIDE void tile_wide(row8 sum[COLS][EIGHTS], const float *a, size_t rows, const float *b, size_t cols, size_t k)
{
    tile(sum, a, rows, b, cols, k);
}

static void multiply(const product &p)
{
    static const auto one = SIM_HAS_WIDE ? tile_wide : tile_plain;
    const size_t m = p.a.rows(), n = p.b.cols(), k = p.a.cols(), mp = (m + ROWS - 1) / ROWS * ROWS, np = (n + COLS - 1) / COLS * COLS;
    const std::vector<float> a = wide(p.a, true, m, k, mp), b = wide(p.b, false, n, k, np);
    row8 sum[COLS][EIGHTS];
    for (size_t i = 0; i < m; i += ROWS)
        for (size_t j = 0; j < n; j += COLS) {
            one(sum, &a[i], mp, &b[j], np, k);
            for (size_t c = 0; c < COLS && j + c < n; c++)
                for (size_t r = 0; r < ROWS && i + r < m; r++) store(p, i + r, j + c, sum[c][r / 8][r % 8]);
        }
}

}

using namespace sim;

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t *h)
{
    *h = new cublasLtContext();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t h)
{
    delete h;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute, cudaDataType_t scale)
{
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    *d = new cudasim_lt_op{ CUBLAS_OP_N, CUBLAS_OP_N };
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    delete d;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t what, const void *value, size_t bytes)
{
    cublasOperation_t op;
    if (bytes != sizeof op) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&op, value, sizeof op);
    (what == CUBLASLT_MATMUL_DESC_TRANSA ? d->ta : d->tb) = op;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType_t type, uint64_t rows, uint64_t cols, int64_t ld)
{
    *l = new cudasim_lt_layout{ type, rows, cols, ld };
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    delete l;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p)
{
    *p = new cudasim_lt_preference{ 0, 256 };
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    delete p;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t what,
                                                    const void *value, size_t bytes)
{
    if (what == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
        if (bytes != sizeof p->space) return CUBLAS_STATUS_INVALID_VALUE;
        memcpy(&p->space, value, sizeof p->space);
        return CUBLAS_STATUS_SUCCESS;
    }
    uint32_t align;
    if (bytes != sizeof align) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&align, value, sizeof align);
    if (align < p->align) p->align = align;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t p, int asked,
                                              cublasLtMatmulHeuristicResult_t *result, int *found)
{
    *found = asked > 0;
    if (!*found) return CUBLAS_STATUS_SUCCESS;
    *result = cublasLtMatmulHeuristicResult_t();
    result->algo.data[ALGO_SPACE] = result->workspaceSize = p->space;
    result->algo.data[ALGO_ALIGN] = p->align;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t d, const void *alpha, const void *a, cublasLtMatrixLayout_t la,
                              const void *b, cublasLtMatrixLayout_t lb, const void *beta, const void *c, cublasLtMatrixLayout_t lc,
                              void *out, cublasLtMatrixLayout_t lout, const cublasLtMatmulAlgo_t *algo, void *space,
                              size_t space_bytes, cudaStream_t s)
{
    const std::lock_guard<std::recursive_mutex> g(lock);
    product p = { { a, *la, d->ta == CUBLAS_OP_T }, { b, *lb, d->tb == CUBLAS_OP_T }, { c, *lc, false }, { out, *lout, false }, 0, 0 };
    memcpy(&p.alpha, alpha, sizeof p.alpha);
    memcpy(&p.beta, beta, sizeof p.beta);
    if (la->type != CUDA_R_16BF || lb->type != CUDA_R_16BF || lc->type != lout->type ||
        (lout->type != CUDA_R_32F && lout->type != CUDA_R_16BF))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (p.a.rows() != lout->rows || p.b.cols() != lout->cols || p.a.cols() != p.b.rows() || lc->rows != lout->rows || lc->cols != lout->cols)
        return CUBLAS_STATUS_INVALID_VALUE;
    const uint32_t align = (uint32_t)algo->data[ALGO_ALIGN];
    const size_t wanted = algo->data[ALGO_SPACE];
    push(s, [=]() {
        check(p.a, align, "first factor");
        check(p.b, align, "second factor");
        check(p.out, align, "result");
        if (p.beta != 0.0f) check(p.c, align, "summand");
        if (space_bytes < wanted || (wanted && !on_device(space, wanted))) fail("a product's workspace of %zu bytes is not there", wanted);
        /* An algorithm may leave anything there. */
        if (wanted) memset(space, 0xff, wanted < 4096 ? wanted : 4096);
        multiply(p);
    });
    return CUBLAS_STATUS_SUCCESS;
}

}
