/* backend/cuda/cuda_attention.cu - causal attention inside documents, forward and backward, on the tensor cores.
 *
 * A block has a tile of 64 rows of one document, a warp 16 of them. Forward keeps a running maximum
 * and sum (Dao, "FlashAttention-2", 2023). Backward is two kernels, one a tile of keys for dk and dv, one a tile of
 * queries for dq: scores are computed once more than with a shared dq, and in exchange nothing is added atomically and
 * every sum has one order (G2). Tiles count from a document's first row, so what stands beside it changes nothing. */
#include <math.h>
#include "backend/cuda/cuda_launch.cuh"
#include "backend/cuda/cuda_mma.cuh"

enum { TILE = CUDA_TILE, PAD = 8 };   /* PAD: rows fall on different banks */
#define LOG2E 1.4426950408889634f

/* ---- pieces ------------------------------------------------------------------------------------------- */

static __device__ __forceinline__ void wait_all_but(bool one)
{
    if (one) wait_until_left<1>();
    else wait_until_left<0>();
}

/* M: how many times 16 rows a warp has. Two would halve what warps read of the other factor, but on an H100 one was a
 * fifth faster at 64 wide: twice the warps hide more than the reads cost. */
template <int D> struct cut {
    static constexpr int M = 1, WARPS = 4 / M, THREADS = 32 * WARPS;
};

/* ROWS rows of D from a document's row `from` on; rows past its end are zeros. */
template <int D, int ROWS>
static __device__ __forceinline__ void load_tile(bf16 *to, const bf16 *doc, size_t stride, uint32_t from, uint32_t n)
{
    for (int i = threadIdx.x; i < ROWS * (D / 8); i += cut<D>::THREADS) {
        const int r = i / (D / 8), c = i % (D / 8) * 8;
        const uint32_t row = from + r;
        fetch16(to + r * (D + PAD) + c, doc + (row < n ? row : 0) * stride + c, row < n);
    }
}

/* s[m] = 16 rows of A from row + 16 m, times N rows of B, over D. */
template <int D, int N>
static __device__ __forceinline__ void scores(float s[cut<D>::M][N / 8][4], const bf16 *a, int row, const bf16 *b)
{
    constexpr int M = cut<D>::M;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int t = 0; t < N / 8; t++) s[m][t][0] = s[m][t][1] = s[m][t][2] = s[m][t][3] = 0.0f;
#pragma unroll
    for (int k = 0; k < D; k += 16) {
        uint32_t fa[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) load_a<D + PAD>(fa[m], a, row + 16 * m, k);
#pragma unroll
        for (int n = 0; n < N; n += 16) {
            uint32_t fb[4];
            load_b<D + PAD>(fb, b, n, k);
#pragma unroll
            for (int m = 0; m < M; m++) {
                mma(s[m][n / 8], fa[m], fb[0], fb[1]);
                mma(s[m][n / 8 + 1], fa[m], fb[2], fb[3]);
            }
        }
    }
}

/* o[m] += P (16 x K, as scores left it) times K rows of B. */
template <int D, int K>
static __device__ __forceinline__ void add_product(float o[cut<D>::M][D / 8][4], const float p[cut<D>::M][K / 8][4],
                                                   const bf16 *b)
{
    constexpr int M = cut<D>::M;
#pragma unroll
    for (int k = 0; k < K; k += 16) {
        uint32_t fa[M][4];
#pragma unroll
        for (int m = 0; m < M; m++) {
            const float *lo = p[m][k / 8], *hi = p[m][k / 8 + 1];
            fa[m][0] = two_of(lo[0], lo[1]);
            fa[m][1] = two_of(lo[2], lo[3]);
            fa[m][2] = two_of(hi[0], hi[1]);
            fa[m][3] = two_of(hi[2], hi[3]);
        }
#pragma unroll
        for (int n = 0; n < D; n += 16) {
            uint32_t fb[4];
            load_b_t<D + PAD>(fb, b, k, n);
#pragma unroll
            for (int m = 0; m < M; m++) {
                mma(o[m][n / 8], fa[m], fb[0], fb[1]);
                mma(o[m][n / 8 + 1], fa[m], fb[2], fb[3]);
            }
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

/* One step of the running maximum m and sum l of 16 rows (two a thread): s becomes exp(s - m), o and l are scaled. */
template <int D>
static __device__ __forceinline__ void softmax_step(float s[TILE / 8][4], float o[D / 8][4], float m[2], float l[2], float by,
                                                    bool edge, uint32_t row, uint32_t at, uint32_t window)
{
    const int lane = threadIdx.x % 32;
    float most[2] = { m[0], m[1] }, zero[2], shrink[2];
#pragma unroll
    for (int i = 0; i < TILE / 8; i++) {
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const uint32_t key = at + i * 8 + lane % 4 * 2 + e;
            if (edge && !visible(row, key, window)) s[i][e] = -INFINITY;
            if (edge && !visible(row + 8, key, window)) s[i][2 + e] = -INFINITY;
        }
        most[0] = fmaxf(most[0], fmaxf(s[i][0], s[i][1]));
        most[1] = fmaxf(most[1], fmaxf(s[i][2], s[i][3]));
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        most[h] = quad_max(most[h]);
        zero[h] = most[h] == -INFINITY ? 0.0f : most[h] * by;
        shrink[h] = power2(fmaf(m[h], by, -zero[h]));
        m[h] = most[h];
        l[h] *= shrink[h];
    }
#pragma unroll
    for (int i = 0; i < TILE / 8; i++) {
#pragma unroll
        for (int e = 0; e < 4; e++) s[i][e] = power2(fmaf(s[i][e], by, -zero[e / 2]));
        l[0] += s[i][0] + s[i][1];
        l[1] += s[i][2] + s[i][3];
    }
#pragma unroll
    for (int i = 0; i < D / 8; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) o[i][e] *= shrink[e / 2];
}

template <int D>
static __global__ void __launch_bounds__(cut<D>::THREADS, D > 64 ? 2 : 4) forward_kernel(const cuda_attn a)
{
    start_next();
    await_previous();
    extern __shared__ __align__(16) unsigned char room[];
    constexpr int LD = D + PAD, M = cut<D>::M;
    bf16 *sq = reinterpret_cast<bf16 *>(room), *sk = sq + TILE * LD, *sv = sk + 2 * TILE * LD;
    const cuda_tile t = a.q_tile[blockIdx.x];
    const size_t head = blockIdx.y, kv = head / (a.n_heads / a.n_kv_heads);
    const size_t qs = a.n_heads * D, ks = a.n_kv_heads * D;
    const bf16 *q = (const bf16 *)a.q + t.first * qs + head * D;
    const bf16 *k = (const bf16 *)a.k + t.first * ks + kv * D, *v = (const bf16 *)a.v + t.first * ks + kv * D;
    const uint32_t window = (uint32_t)a.window, end = min(t.n, t.start + TILE), begin = first_key(t.start, window);
    const int lane = threadIdx.x % 32, own = threadIdx.x / 32 * 16 * M;
    load_tile<D, TILE>(sq, q, qs, t.start, t.n);
    load_tile<D, TILE>(sk, k, ks, begin, t.n);
    load_tile<D, TILE>(sv, v, ks, begin, t.n);
    commit();
    float o[M][D / 8][4] = { { { 0.0f } } }, m[M][2], l[M][2];
#pragma unroll
    for (int i = 0; i < M; i++) {
        m[i][0] = m[i][1] = -INFINITY;
        l[i][0] = l[i][1] = 0.0f;
    }
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
        float s[M][TILE / 8][4];
        scores<D, TILE>(s, sq, own, sk + stage * TILE * LD);
#pragma unroll
        for (int i = 0; i < M; i++) {
            const uint32_t row = t.start + own + 16 * i;
            const bool edge = at + TILE > row || (window && row + 16 > at + window);
            softmax_step<D>(s[i], o[i], m[i], l[i], by, edge, row + lane / 4, at, window);
        }
        add_product<D, TILE>(o, s, sv + stage * TILE * LD);
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < M; i++) {
        const uint32_t row = t.start + own + 16 * i, r0 = row + lane / 4, r1 = r0 + 8;
        const float l0 = quad_sum(l[i][0]), l1 = quad_sum(l[i][1]);
        store_rows<D>((bf16 *)a.out + t.first * qs + head * D, qs, row, t.n, o[i], 1.0f / l0, 1.0f / l1);
        if (!a.lse || lane % 4) continue;
        float *lse = a.lse + head * a.rows + t.first;
        if (r0 < t.n) lse[r0] = m[i][0] * a.scale + logf(l0);
        if (r1 < t.n) lse[r1] = m[i][1] * a.scale + logf(l1);
    }
}

/* ---- backward ------------------------------------------------------------------------------------------ */

enum { DELTA_THREADS = 128, DELTA_LANES = 8 };

static __device__ __forceinline__ float add_product(float sum, uint32_t x, uint32_t y)
{
    sum = fmaf(__uint_as_float(x << 16), __uint_as_float(y << 16), sum);
    return fmaf(__uint_as_float(x & 0xffff0000u), __uint_as_float(y & 0xffff0000u), sum);
}

/* delta = sum of dout * out over a head: eight lanes each, of eight values at a time. */
static __global__ void delta_kernel(const cuda_attn a)
{
    start_next();
    await_previous();
    const size_t i = (blockIdx.x * (size_t)DELTA_THREADS + threadIdx.x) / DELTA_LANES, lane = threadIdx.x % DELTA_LANES;
    const bool there = i < a.rows * a.n_heads;
    const size_t row = i / a.n_heads, head = i % a.n_heads, at = i * a.head_dim;
    const bf16 *x = (const bf16 *)a.dout + at, *y = (const bf16 *)a.out + at;
    float sum = 0.0f;
    for (size_t c = lane * 8; there && c < a.head_dim; c += DELTA_LANES * 8) {
        const uint4 u = *reinterpret_cast<const uint4 *>(x + c), v = *reinterpret_cast<const uint4 *>(y + c);
        sum = add_product(add_product(add_product(add_product(sum, u.x, v.x), u.y, v.y), u.z, v.z), u.w, v.w);
    }
    for (int d = DELTA_LANES / 2; d; d >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, d);
    if (there && lane == 0) a.delta[head * a.rows + row] = sum;
}

/* A tile of keys: rows are keys, columns queries, so that what a warp sums over are its own columns. QT queries at a time. */
template <int D, int QT>
static __global__ void __launch_bounds__(cut<D>::THREADS, D > 64 ? 2 : 4) key_grad_kernel(const cuda_attn a)
{
    start_next();
    await_previous();
    extern __shared__ __align__(16) unsigned char room[];
    constexpr int LD = D + PAD, M = cut<D>::M;
    bf16 *sk = reinterpret_cast<bf16 *>(room), *sv = sk + TILE * LD, *sq = sv + TILE * LD, *sd = sq + 2 * QT * LD;
    float *slse = reinterpret_cast<float *>(sd + 2 * QT * LD), *sdelta = slse + QT;
    const cuda_tile t = a.k_tile[blockIdx.x];
    const size_t kv = blockIdx.y, group = a.n_heads / a.n_kv_heads, qs = a.n_heads * D, ks = a.n_kv_heads * D;
    const uint32_t window = (uint32_t)a.window;
    const uint32_t last = min(t.n, t.start + TILE) - 1, end = window ? min((size_t)t.n, (size_t)last + window) : t.n;
    const int lane = threadIdx.x % 32, own = threadIdx.x / 32 * 16 * M;
    const uint32_t per_head = (end - t.start + QT - 1) / QT, steps = per_head * (uint32_t)group;
    const bf16 *q = (const bf16 *)a.q + t.first * qs + kv * group * D;
    const bf16 *dout = (const bf16 *)a.dout + t.first * qs + kv * group * D;
    load_tile<D, TILE>(sk, (const bf16 *)a.k + t.first * ks + kv * D, ks, t.start, t.n);
    load_tile<D, TILE>(sv, (const bf16 *)a.v + t.first * ks + kv * D, ks, t.start, t.n);
    load_tile<D, QT>(sq, q, qs, t.start, t.n);
    load_tile<D, QT>(sd, dout, qs, t.start, t.n);
    commit();
    float dk[M][D / 8][4] = { { { 0.0f } } }, dv[M][D / 8][4] = { { { 0.0f } } };
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
        float p[M][QT / 8][4], dp[M][QT / 8][4];
        scores<D, QT>(p, sk, own, sq + stage * QT * LD);
        const bool edge = at < t.start + TILE || at + QT > t.n || (window && at + QT > t.start + window);
#pragma unroll
        for (int m = 0; m < M; m++) {
            const uint32_t key = t.start + own + 16 * m + lane / 4;
#pragma unroll
            for (int i = 0; i < QT / 8; i++) {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const int c = i * 8 + lane % 4 * 2 + e;
                    const uint32_t query = at + c;
                    p[m][i][e] = power2(fmaf(p[m][i][e], by, -slse[c]));
                    p[m][i][2 + e] = power2(fmaf(p[m][i][2 + e], by, -slse[c]));
                    if (edge && (query >= t.n || !visible(query, key, window))) p[m][i][e] = 0.0f;
                    if (edge && (query >= t.n || !visible(query, key + 8, window))) p[m][i][2 + e] = 0.0f;
                }
            }
        }
        add_product<D, QT>(dv, p, sd + stage * QT * LD);
        scores<D, QT>(dp, sv, own, sd + stage * QT * LD);
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int i = 0; i < QT / 8; i++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const float delta = sdelta[i * 8 + lane % 4 * 2 + e];
                    p[m][i][e] *= dp[m][i][e] - delta;
                    p[m][i][2 + e] *= dp[m][i][2 + e] - delta;
                }
        add_product<D, QT>(dk, p, sq + stage * QT * LD);
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < M; m++) {
        const uint32_t row = t.start + own + 16 * m;
        store_rows<D>((bf16 *)a.dk + t.first * ks + kv * D, ks, row, t.n, dk[m], a.scale, a.scale);
        store_rows<D>((bf16 *)a.dv + t.first * ks + kv * D, ks, row, t.n, dv[m], 1.0f, 1.0f);
    }
}

/* A tile of queries, KT keys at a time. */
template <int D, int KT>
static __global__ void __launch_bounds__(cut<D>::THREADS, D > 64 ? 3 : 4) query_grad_kernel(const cuda_attn a)
{
    start_next();
    await_previous();
    extern __shared__ __align__(16) unsigned char room[];
    constexpr int LD = D + PAD, M = cut<D>::M;
    bf16 *sq = reinterpret_cast<bf16 *>(room), *sd = sq + TILE * LD, *sk = sd + TILE * LD, *sv = sk + 2 * KT * LD;
    const cuda_tile t = a.q_tile[blockIdx.x];
    const size_t head = blockIdx.y, kv = head / (a.n_heads / a.n_kv_heads), qs = a.n_heads * D, ks = a.n_kv_heads * D;
    const uint32_t window = (uint32_t)a.window, end = min(t.n, t.start + TILE), begin = first_key(t.start, window);
    const int lane = threadIdx.x % 32, own = threadIdx.x / 32 * 16 * M;
    const bf16 *k = (const bf16 *)a.k + t.first * ks + kv * D, *v = (const bf16 *)a.v + t.first * ks + kv * D;
    load_tile<D, TILE>(sq, (const bf16 *)a.q + t.first * qs + head * D, qs, t.start, t.n);
    load_tile<D, TILE>(sd, (const bf16 *)a.dout + t.first * qs + head * D, qs, t.start, t.n);
    load_tile<D, KT>(sk, k, ks, begin, t.n);
    load_tile<D, KT>(sv, v, ks, begin, t.n);
    commit();
    const size_t from = head * a.rows + t.first;
    float lse[M][2], delta[M][2];
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const uint32_t query = t.start + own + 16 * m + lane / 4 + 8 * h;
            lse[m][h] = query < t.n ? a.lse[from + query] * LOG2E : 0.0f;
            delta[m][h] = query < t.n ? a.delta[from + query] : 0.0f;
        }
    float dq[M][D / 8][4] = { { { 0.0f } } };
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
        float p[M][KT / 8][4], dp[M][KT / 8][4];
        scores<D, KT>(p, sq, own, sk + stage * KT * LD);
        scores<D, KT>(dp, sd, own, sv + stage * KT * LD);
#pragma unroll
        for (int m = 0; m < M; m++) {
            const uint32_t row = t.start + own + 16 * m, query = row + lane / 4;
            const bool edge = at + KT > row || (window && row + 16 > at + window);
#pragma unroll
            for (int i = 0; i < KT / 8; i++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const uint32_t key = at + i * 8 + lane % 4 * 2 + e % 2;
                    float x = power2(fmaf(p[m][i][e], by, -lse[m][e / 2]));
                    if (edge && !visible(query + e / 2 * 8, key, window)) x = 0.0f;
                    p[m][i][e] = x * (dp[m][i][e] - delta[m][e / 2]);
                }
            }
        }
        add_product<D, KT>(dq, p, sk + stage * KT * LD);
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < M; m++)
        store_rows<D>((bf16 *)a.dq + t.first * qs + head * D, qs, t.start + own + 16 * m, t.n, dq[m], a.scale, a.scale);
}

/* ---- launches ------------------------------------------------------------------------------------------ */

template <typename K>
static bool launch(K kernel, cudaStream_t s, const cuda_attn *a, size_t heads, int threads, size_t bytes)
{
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes) != cudaSuccess) return false;
    start(kernel, dim3((unsigned)a->n_tiles, (unsigned)heads), threads, bytes, s, *a);
    return true;
}

template <int D>
static bool forward(cudaStream_t s, const cuda_attn *a)
{
    return launch(forward_kernel<D>, s, a, a->n_heads, cut<D>::THREADS, 5 * TILE * (D + PAD) * sizeof(bf16));
}

CUDA_C void k_delta(cudaStream_t s, const cuda_attn *a)
{
    constexpr size_t each = DELTA_THREADS / DELTA_LANES;
    start(delta_kernel, (unsigned)((a->rows * a->n_heads + each - 1) / each), DELTA_THREADS, 0, s, *a);
}

/* 32 columns at a time: the accumulators leave no registers for more. */
template <int D>
static bool backward(cudaStream_t s, const cuda_attn *a)
{
    constexpr int T = 32, threads = cut<D>::THREADS;
    constexpr size_t bytes = (2 * TILE + 4 * T) * (D + PAD) * sizeof(bf16);
    k_delta(s, a);
    return launch(key_grad_kernel<D, T>, s, a, a->n_kv_heads, threads, bytes + 2 * T * sizeof(float)) &&
           launch(query_grad_kernel<D, T>, s, a, a->n_heads, threads, bytes);
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
