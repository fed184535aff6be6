/* backend/cuda/cuda_attention.cu - causal attention inside documents, forward and backward, on the tensor cores.
 *
 * A block is four warps over a tile of 64 rows of one document; a warp has 16 of them. Forward keeps a running maximum
 * and sum (Dao, "FlashAttention-2", 2023). Backward is two kernels, one a tile of keys for dk and dv, one a tile of
 * queries for dq: scores are computed once more than with a shared dq, and in exchange nothing is added atomically and
 * every sum has one order (G2). Tiles count from a document's first row, so what stands beside it changes nothing. */
#include <cuda_bf16.h>
#include <math.h>
#include "backend/cuda/cuda_int.h"

typedef __nv_bfloat16 bf16;

enum { WARPS = 4, THREADS = 32 * WARPS, TILE = CUDA_TILE, PAD = 8 };   /* PAD: rows fall on different banks */
#define LOG2E 1.4426950408889634f

/* ---- pieces ------------------------------------------------------------------------------------------- */

static __device__ __forceinline__ uint32_t shared_at(const bf16 *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

static __device__ __forceinline__ void matrices(uint32_t r[4], const bf16 *p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_at(p)) : "memory");
}

static __device__ __forceinline__ void matrices_t(uint32_t r[4], const bf16 *p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_at(p)) : "memory");
}

static __device__ __forceinline__ void mma(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ uint32_t two_of(float lo, float hi)
{
    const __nv_bfloat162 v = __floats2bfloat162_rn(lo, hi);
    return *reinterpret_cast<const uint32_t *>(&v);
}

static __device__ __forceinline__ void wait_all_but(int n)
{
    if (n) asm volatile("cp.async.wait_group 1;" ::: "memory");
    else asm volatile("cp.async.wait_group 0;" ::: "memory");
}

static __device__ __forceinline__ void commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* ROWS rows of D from a document's row `from` on; rows past its end are zeros. */
template <int D, int ROWS>
static __device__ __forceinline__ void load_tile(bf16 *to, const bf16 *doc, size_t stride, uint32_t from, uint32_t n)
{
    for (int i = threadIdx.x; i < ROWS * (D / 8); i += THREADS) {
        const int r = i / (D / 8), c = i % (D / 8) * 8;
        const uint32_t row = from + r;
        const bf16 *src = doc + (row < n ? row : 0) * stride + c;
        const int bytes = row < n ? 16 : 0;
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                     :: "r"(shared_at(to + r * (D + PAD) + c)), "l"(src), "r"(bytes) : "memory");
    }
}

/* A: 16 rows from `row`, 16 of k from `k`, stored row by row. */
template <int LD>
static __device__ __forceinline__ void load_a(uint32_t r[4], const bf16 *tile, int row, int k)
{
    const int lane = threadIdx.x % 32;
    matrices(r, tile + (row + lane % 16) * LD + k + lane / 16 * 8);
}

/* B of two neighbouring tiles of 8 columns, stored column by column (as rows of n). */
template <int LD>
static __device__ __forceinline__ void load_b(uint32_t r[4], const bf16 *tile, int n, int k)
{
    const int lane = threadIdx.x % 32;
    matrices(r, tile + (n + lane % 8 + lane / 16 * 8) * LD + k + lane / 8 % 2 * 8);
}

/* The same, stored row by row of k. */
template <int LD>
static __device__ __forceinline__ void load_b_t(uint32_t r[4], const bf16 *tile, int k, int n)
{
    const int lane = threadIdx.x % 32;
    matrices_t(r, tile + (k + lane % 8 + lane / 8 % 2 * 8) * LD + n + lane / 16 * 8);
}

/* s[N/8] = rows [row, row+16) of A times N rows of B, over D. */
template <int D, int N>
static __device__ __forceinline__ void scores(float s[N / 8][4], const bf16 *a, int row, const bf16 *b)
{
    for (int t = 0; t < N / 8; t++) s[t][0] = s[t][1] = s[t][2] = s[t][3] = 0.0f;
#pragma unroll
    for (int k = 0; k < D; k += 16) {
        uint32_t fa[4];
        load_a<D + PAD>(fa, a, row, k);
#pragma unroll
        for (int n = 0; n < N; n += 16) {
            uint32_t fb[4];
            load_b<D + PAD>(fb, b, n, k);
            mma(s[n / 8], fa, fb[0], fb[1]);
            mma(s[n / 8 + 1], fa, fb[2], fb[3]);
        }
    }
}

/* o[D/8] += P (16 x K, as scores left it) times K rows of B. */
template <int D, int K>
static __device__ __forceinline__ void add_product(float o[D / 8][4], const float p[K / 8][4], const bf16 *b)
{
#pragma unroll
    for (int k = 0; k < K; k += 16) {
        const float *lo = p[k / 8], *hi = p[k / 8 + 1];
        const uint32_t fa[4] = { two_of(lo[0], lo[1]), two_of(lo[2], lo[3]), two_of(hi[0], hi[1]), two_of(hi[2], hi[3]) };
#pragma unroll
        for (int n = 0; n < D; n += 16) {
            uint32_t fb[4];
            load_b_t<D + PAD>(fb, b, k, n);
            mma(o[n / 8], fa, fb[0], fb[1]);
            mma(o[n / 8 + 1], fa, fb[2], fb[3]);
        }
    }
}

static __device__ __forceinline__ bool visible(uint32_t query, uint32_t key, uint32_t window)
{
    return key <= query && (!window || query - key < window);
}

/* 16 rows of an accumulator, times `by`, as bfloat16. */
template <int D>
static __device__ __forceinline__ void store_rows(bf16 *doc, size_t stride, uint32_t row, uint32_t n, const float o[D / 8][4],
                                                  float by0, float by1)
{
    const int lane = threadIdx.x % 32;
    const uint32_t r0 = row + lane / 4, r1 = r0 + 8;
#pragma unroll
    for (int t = 0; t < D / 8; t++) {
        const int c = t * 8 + lane % 4 * 2;
        if (r0 < n) *reinterpret_cast<uint32_t *>(doc + r0 * stride + c) = two_of(o[t][0] * by0, o[t][1] * by0);
        if (r1 < n) *reinterpret_cast<uint32_t *>(doc + r1 * stride + c) = two_of(o[t][2] * by1, o[t][3] * by1);
    }
}

static __device__ __forceinline__ float quad_max(float v)
{
    v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 1));
    return fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 2));
}

static __device__ __forceinline__ float quad_sum(float v)
{
    v += __shfl_xor_sync(0xffffffffu, v, 1);
    return v + __shfl_xor_sync(0xffffffffu, v, 2);
}

/* First key that any row from `query` on sees, at a tile's start. */
static __device__ __forceinline__ uint32_t first_key(uint32_t query, uint32_t window)
{
    return window && query + 1 > window ? (query + 1 - window) / TILE * TILE : 0;
}

/* ---- forward ------------------------------------------------------------------------------------------ */

template <int D>
static __global__ void __launch_bounds__(THREADS) forward_kernel(const cuda_attn a)
{
    extern __shared__ __align__(16) unsigned char room[];
    constexpr int LD = D + PAD;
    bf16 *sq = reinterpret_cast<bf16 *>(room), *sk = sq + TILE * LD, *sv = sk + 2 * TILE * LD;
    const cuda_tile t = a.q_tile[blockIdx.x];
    const size_t head = blockIdx.y, kv = head / (a.n_heads / a.n_kv_heads);
    const size_t qs = a.n_heads * D, ks = a.n_kv_heads * D;
    const bf16 *q = (const bf16 *)a.q + t.first * qs + head * D;
    const bf16 *k = (const bf16 *)a.k + t.first * ks + kv * D, *v = (const bf16 *)a.v + t.first * ks + kv * D;
    const uint32_t window = (uint32_t)a.window, end = min(t.n, t.start + TILE), begin = first_key(t.start, window);
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16;
    const uint32_t q0 = t.start + row + lane / 4, q1 = q0 + 8;
    load_tile<D, TILE>(sq, q, qs, t.start, t.n);
    load_tile<D, TILE>(sk, k, ks, begin, t.n);
    load_tile<D, TILE>(sv, v, ks, begin, t.n);
    commit();
    float o[D / 8][4] = { { 0.0f } }, m0 = -INFINITY, m1 = -INFINITY, l0 = 0.0f, l1 = 0.0f;
    const float by = a.scale * LOG2E;
    int stage = 0;
    for (uint32_t at = begin; at < end; at += TILE, stage ^= 1) {
        const bool more = at + TILE < end;
        if (more) {
            load_tile<D, TILE>(sk + (stage ^ 1) * TILE * LD, k, ks, at + TILE, t.n);
            load_tile<D, TILE>(sv + (stage ^ 1) * TILE * LD, v, ks, at + TILE, t.n);
            commit();
        }
        wait_all_but(more);
        __syncthreads();
        float s[TILE / 8][4];
        scores<D, TILE>(s, sq, row, sk + stage * TILE * LD);
        const bool edge = at + TILE > t.start + row || (window && t.start + row + 16 > at + window);
        float n0 = m0, n1 = m1;
#pragma unroll
        for (int i = 0; i < TILE / 8; i++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const uint32_t key = at + i * 8 + lane % 4 * 2 + e;
                if (edge && !visible(q0, key, window)) s[i][e] = -INFINITY;
                if (edge && !visible(q1, key, window)) s[i][2 + e] = -INFINITY;
            }
            n0 = fmaxf(n0, fmaxf(s[i][0], s[i][1]));
            n1 = fmaxf(n1, fmaxf(s[i][2], s[i][3]));
        }
        n0 = quad_max(n0);
        n1 = quad_max(n1);
        const float z0 = n0 == -INFINITY ? 0.0f : n0 * by, z1 = n1 == -INFINITY ? 0.0f : n1 * by;
        const float c0 = exp2f(m0 * by - z0), c1 = exp2f(m1 * by - z1);
        m0 = n0;
        m1 = n1;
        l0 *= c0;
        l1 *= c1;
#pragma unroll
        for (int i = 0; i < TILE / 8; i++) {
            s[i][0] = exp2f(fmaf(s[i][0], by, -z0));
            s[i][1] = exp2f(fmaf(s[i][1], by, -z0));
            s[i][2] = exp2f(fmaf(s[i][2], by, -z1));
            s[i][3] = exp2f(fmaf(s[i][3], by, -z1));
            l0 += s[i][0] + s[i][1];
            l1 += s[i][2] + s[i][3];
        }
#pragma unroll
        for (int i = 0; i < D / 8; i++) {
            o[i][0] *= c0;
            o[i][1] *= c0;
            o[i][2] *= c1;
            o[i][3] *= c1;
        }
        add_product<D, TILE>(o, s, sv + stage * TILE * LD);
        __syncthreads();
    }
    l0 = quad_sum(l0);
    l1 = quad_sum(l1);
    store_rows<D>((bf16 *)a.out + t.first * qs + head * D, qs, t.start + row, t.n, o, 1.0f / l0, 1.0f / l1);
    if (!a.lse || lane % 4) return;
    float *lse = a.lse + head * a.rows + t.first;
    if (q0 < t.n) lse[q0] = m0 * a.scale + logf(l0);
    if (q1 < t.n) lse[q1] = m1 * a.scale + logf(l1);
}

/* ---- backward ------------------------------------------------------------------------------------------ */

/* delta = sum of dout * out over a head: a warp each. */
static __global__ void delta_kernel(const cuda_attn a)
{
    const size_t i = blockIdx.x * (size_t)WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (i >= a.rows * a.n_heads) return;
    const size_t row = i / a.n_heads, head = i % a.n_heads, at = i * a.head_dim;
    const bf16 *x = (const bf16 *)a.dout + at, *y = (const bf16 *)a.out + at;
    float sum = 0.0f;
    for (size_t c = lane; c < a.head_dim; c += 32) sum = fmaf(__bfloat162float(x[c]), __bfloat162float(y[c]), sum);
    for (int d = 16; d; d >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, d);
    if (lane == 0) a.delta[head * a.rows + row] = sum;
}

/* A tile of keys: rows are keys, columns queries, so that what a warp sums over are its own columns. QT queries at a time. */
template <int D, int QT>
static __global__ void __launch_bounds__(THREADS) key_grad_kernel(const cuda_attn a)
{
    extern __shared__ __align__(16) unsigned char room[];
    constexpr int LD = D + PAD;
    bf16 *sk = reinterpret_cast<bf16 *>(room), *sv = sk + TILE * LD, *sq = sv + TILE * LD, *sd = sq + 2 * QT * LD;
    float *slse = reinterpret_cast<float *>(sd + 2 * QT * LD), *sdelta = slse + QT;
    const cuda_tile t = a.k_tile[blockIdx.x];
    const size_t kv = blockIdx.y, group = a.n_heads / a.n_kv_heads, qs = a.n_heads * D, ks = a.n_kv_heads * D;
    const uint32_t window = (uint32_t)a.window;
    const uint32_t last = min(t.n, t.start + TILE) - 1, end = window ? min((size_t)t.n, (size_t)last + window) : t.n;
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16;
    const uint32_t k0 = t.start + row + lane / 4, k1 = k0 + 8;
    const uint32_t per_head = (end - t.start + QT - 1) / QT, steps = per_head * (uint32_t)group;
    const bf16 *q = (const bf16 *)a.q + t.first * qs + kv * group * D;
    const bf16 *dout = (const bf16 *)a.dout + t.first * qs + kv * group * D;
    load_tile<D, TILE>(sk, (const bf16 *)a.k + t.first * ks + kv * D, ks, t.start, t.n);
    load_tile<D, TILE>(sv, (const bf16 *)a.v + t.first * ks + kv * D, ks, t.start, t.n);
    load_tile<D, QT>(sq, q, qs, t.start, t.n);
    load_tile<D, QT>(sd, dout, qs, t.start, t.n);
    commit();
    float dk[D / 8][4] = { { 0.0f } }, dv[D / 8][4] = { { 0.0f } };
    const float by = a.scale * LOG2E;
    for (uint32_t step = 0; step < steps; step++) {
        const uint32_t h = step / per_head, at = t.start + step % per_head * QT, stage = step & 1;
        const bool more = step + 1 < steps;
        if (more) {
            const uint32_t h2 = (step + 1) / per_head, at2 = t.start + (step + 1) % per_head * QT;
            load_tile<D, QT>(sq + (stage ^ 1) * QT * LD, q + h2 * D, qs, at2, t.n);
            load_tile<D, QT>(sd + (stage ^ 1) * QT * LD, dout + h2 * D, qs, at2, t.n);
            commit();
        }
        if (threadIdx.x < QT) {
            const uint32_t query = at + threadIdx.x;
            const size_t from = (kv * group + h) * a.rows + t.first + query;
            slse[threadIdx.x] = query < t.n ? a.lse[from] * LOG2E : 0.0f;
            sdelta[threadIdx.x] = query < t.n ? a.delta[from] : 0.0f;
        }
        wait_all_but(more);
        __syncthreads();
        float p[QT / 8][4], dp[QT / 8][4];
        scores<D, QT>(p, sk, row, sq + stage * QT * LD);
        const bool edge = at < t.start + TILE || at + QT > t.n || (window && at + QT > t.start + window);
#pragma unroll
        for (int i = 0; i < QT / 8; i++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const int c = i * 8 + lane % 4 * 2 + e;
                const uint32_t query = at + c;
                p[i][e] = exp2f(fmaf(p[i][e], by, -slse[c]));
                p[i][2 + e] = exp2f(fmaf(p[i][2 + e], by, -slse[c]));
                if (edge && (query >= t.n || !visible(query, k0, window))) p[i][e] = 0.0f;
                if (edge && (query >= t.n || !visible(query, k1, window))) p[i][2 + e] = 0.0f;
            }
        }
        add_product<D, QT>(dv, p, sd + stage * QT * LD);
        scores<D, QT>(dp, sv, row, sd + stage * QT * LD);
#pragma unroll
        for (int i = 0; i < QT / 8; i++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const float delta = sdelta[i * 8 + lane % 4 * 2 + e];
                p[i][e] *= dp[i][e] - delta;
                p[i][2 + e] *= dp[i][2 + e] - delta;
            }
        }
        add_product<D, QT>(dk, p, sq + stage * QT * LD);
        __syncthreads();
    }
    store_rows<D>((bf16 *)a.dk + t.first * ks + kv * D, ks, t.start + row, t.n, dk, a.scale, a.scale);
    store_rows<D>((bf16 *)a.dv + t.first * ks + kv * D, ks, t.start + row, t.n, dv, 1.0f, 1.0f);
}

/* A tile of queries, KT keys at a time. */
template <int D, int KT>
static __global__ void __launch_bounds__(THREADS) query_grad_kernel(const cuda_attn a)
{
    extern __shared__ __align__(16) unsigned char room[];
    constexpr int LD = D + PAD;
    bf16 *sq = reinterpret_cast<bf16 *>(room), *sd = sq + TILE * LD, *sk = sd + TILE * LD, *sv = sk + 2 * KT * LD;
    const cuda_tile t = a.q_tile[blockIdx.x];
    const size_t head = blockIdx.y, kv = head / (a.n_heads / a.n_kv_heads), qs = a.n_heads * D, ks = a.n_kv_heads * D;
    const uint32_t window = (uint32_t)a.window, end = min(t.n, t.start + TILE), begin = first_key(t.start, window);
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16;
    const uint32_t q0 = t.start + row + lane / 4, q1 = q0 + 8;
    const bf16 *k = (const bf16 *)a.k + t.first * ks + kv * D, *v = (const bf16 *)a.v + t.first * ks + kv * D;
    load_tile<D, TILE>(sq, (const bf16 *)a.q + t.first * qs + head * D, qs, t.start, t.n);
    load_tile<D, TILE>(sd, (const bf16 *)a.dout + t.first * qs + head * D, qs, t.start, t.n);
    load_tile<D, KT>(sk, k, ks, begin, t.n);
    load_tile<D, KT>(sv, v, ks, begin, t.n);
    commit();
    const size_t from = head * a.rows + t.first;
    const float lse0 = q0 < t.n ? a.lse[from + q0] * LOG2E : 0.0f, lse1 = q1 < t.n ? a.lse[from + q1] * LOG2E : 0.0f;
    const float delta0 = q0 < t.n ? a.delta[from + q0] : 0.0f, delta1 = q1 < t.n ? a.delta[from + q1] : 0.0f;
    float dq[D / 8][4] = { { 0.0f } };
    const float by = a.scale * LOG2E;
    int stage = 0;
    for (uint32_t at = begin; at < end; at += KT, stage ^= 1) {
        const bool more = at + KT < end;
        if (more) {
            load_tile<D, KT>(sk + (stage ^ 1) * KT * LD, k, ks, at + KT, t.n);
            load_tile<D, KT>(sv + (stage ^ 1) * KT * LD, v, ks, at + KT, t.n);
            commit();
        }
        wait_all_but(more);
        __syncthreads();
        float p[KT / 8][4], dp[KT / 8][4];
        scores<D, KT>(p, sq, row, sk + stage * KT * LD);
        scores<D, KT>(dp, sd, row, sv + stage * KT * LD);
        const bool edge = at + KT > t.start + row || (window && t.start + row + 16 > at + window);
#pragma unroll
        for (int i = 0; i < KT / 8; i++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const uint32_t key = at + i * 8 + lane % 4 * 2 + e;
                float p0 = exp2f(fmaf(p[i][e], by, -lse0)), p1 = exp2f(fmaf(p[i][2 + e], by, -lse1));
                if (edge && !visible(q0, key, window)) p0 = 0.0f;
                if (edge && !visible(q1, key, window)) p1 = 0.0f;
                p[i][e] = p0 * (dp[i][e] - delta0);
                p[i][2 + e] = p1 * (dp[i][2 + e] - delta1);
            }
        }
        add_product<D, KT>(dq, p, sk + stage * KT * LD);
        __syncthreads();
    }
    store_rows<D>((bf16 *)a.dq + t.first * qs + head * D, qs, t.start + row, t.n, dq, a.scale, a.scale);
}

/* ---- launches ------------------------------------------------------------------------------------------ */

template <typename K>
static bool launch(K kernel, cudaStream_t s, const cuda_attn *a, size_t heads, size_t bytes)
{
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes) != cudaSuccess) return false;
    kernel<<<dim3((unsigned)a->n_tiles, (unsigned)heads), THREADS, bytes, s>>>(*a);
    return true;
}

template <int D>
static bool forward(cudaStream_t s, const cuda_attn *a)
{
    return launch(forward_kernel<D>, s, a, a->n_heads, 5 * TILE * (D + PAD) * sizeof(bf16));
}

/* Fewer columns at a time where the accumulators of wide heads leave no more registers. */
template <int D>
static bool backward(cudaStream_t s, const cuda_attn *a)
{
    constexpr int T = D > 64 ? 32 : 64;
    constexpr size_t bytes = (2 * TILE + 4 * T) * (D + PAD) * sizeof(bf16);
    const size_t rows = a->rows * a->n_heads;
    delta_kernel<<<(unsigned)((rows + WARPS - 1) / WARPS), THREADS, 0, s>>>(*a);
    return launch(key_grad_kernel<D, T>, s, a, a->n_kv_heads, bytes + 2 * T * sizeof(float)) &&
           launch(query_grad_kernel<D, T>, s, a, a->n_heads, bytes);
}

CUDA_C bool k_attention(cudaStream_t s, const cuda_attn *a)
{
    switch (a->head_dim) {
    case 16: return forward<16>(s, a);
    case 32: return forward<32>(s, a);
    case 64: return forward<64>(s, a);
    case 96: return forward<96>(s, a);
    case 128: return forward<128>(s, a);
    default: return false;
    }
}

CUDA_C bool k_attention_grad(cudaStream_t s, const cuda_attn *a)
{
    switch (a->head_dim) {
    case 16: return backward<16>(s, a);
    case 32: return backward<32>(s, a);
    case 64: return backward<64>(s, a);
    case 96: return backward<96>(s, a);
    case 128: return backward<128>(s, a);
    default: return false;
    }
}
