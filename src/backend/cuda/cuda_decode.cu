/* backend/cuda/cuda_decode.cu - what decoding runs: products of a few rows, which read each weight once at the memory's
 * speed, and attention over a cache.
 *
 * thin: a block has 16 columns of the output (rows of W) and all rows of x, eight to a product of the tensor cores. Its
 * eight warps take 128 of k in turns, W being the product's first factor, so that a lane reads 16 bytes of one row of W and of
 * one row of x; their sums are added in the warps' order. A row's bits depend on no other row.
 * cached: a warp takes 32 keys at a time, a lane the score of one; four warps take turns and are merged in their order. */
#include <math.h>
#include "backend/cuda/cuda_launch.cuh"
#include "backend/cuda/cuda_mma.cuh"

enum { WARPS = 8, THREADS = 32 * WARPS, COLS = 16, PIECE = 32, AHEAD = 4 };

typedef struct {
    cuda_thin p;
    unsigned first[CUDA_JOINED + 1]; /* blocks of each output */
} thin_work;

static __device__ __forceinline__ uint4 read16(const bf16 *p, bool there)
{
    return there ? __ldg(reinterpret_cast<const uint4 *>(p)) : make_uint4(0, 0, 0, 0);
}

/* c += W[16 of rows] x[8 of rows]^T over a piece: elements of k stand in the fragments as both sides' lanes read them. */
static __device__ __forceinline__ void piece(float c[4], const uint4 &lo, const uint4 &hi, const uint4 &x)
{
    const uint32_t first[4] = { lo.x, hi.x, lo.y, hi.y }, second[4] = { lo.z, hi.z, lo.w, hi.w };
    mma(c, first, x.x, x.y);
    mma(c, second, x.z, x.w);
}

/* What a lane reads of W at once. */
typedef struct {
    uint4 lo[AHEAD], hi[AHEAD];
} weights;

/* From `at` on, the warp's own pieces of rows col.. of W, which is n x k. */
static __device__ __forceinline__ void load_weights(weights &v, const bf16 *w, uint32_t k, uint32_t col, uint32_t n, uint32_t at)
{
    const uint32_t lane = threadIdx.x % 32, g = lane / 4, q = lane % 4 * 8;
    const bool there0 = col + g < n, there1 = col + g + 8 < n;
    const bf16 *w0 = w + (size_t)(col + g) * k + q, *w1 = w0 + (size_t)8 * k;
#pragma unroll
    for (int a = 0; a < AHEAD; a++) {
        const uint32_t to = at + a * PIECE;
        v.lo[a] = read16(w0 + to, there0 && to + q < k);
        v.hi[a] = read16(w1 + to, there1 && to + q < k);
    }
}

/* Adds a segment's share of this warp: x rows x k; v has the first weights. */
template <int TILES> static __device__ __forceinline__ void add_segment(float (&c)[TILES][4], weights &v, const bf16 *w, const bf16 *x, uint32_t k,
                                                                       uint32_t col, uint32_t n, uint32_t rows)
{
    const uint32_t lane = threadIdx.x % 32, g = lane / 4, q = lane % 4 * 8, first = threadIdx.x / 32 * PIECE * AHEAD;
    for (uint32_t at = first; at < k; at += WARPS * PIECE * AHEAD) {
        if (at != first) load_weights(v, w, k, col, n, at);
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            const uint32_t to = at + a * PIECE;
#pragma unroll
            for (int t = 0; t < TILES; t++) {
                const uint32_t row = t * 8 + g;
                piece(c[t], v.lo[a], v.hi[a], read16(x + (size_t)row * k + to + q, row < rows && to + q < k));
            }
        }
    }
}

template <int TILES> static __global__ void __launch_bounds__(THREADS) thin_kernel(const __grid_constant__ thin_work w)
{
    __shared__ float part[WARPS][COLS][8 * TILES + 1];
    uint32_t i = 0;
    while (blockIdx.x >= w.first[i + 1]) i++;
    const cuda_joined_out &o = w.p.out[i];
    const uint32_t col = (blockIdx.x - w.first[i]) * COLS, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const uint32_t n = (uint32_t)o.n, rows = (uint32_t)w.p.rows;
    const uint32_t first = warp * PIECE * AHEAD;
    float c[TILES][4] = { { 0.0f } };
    weights v;
    start_next();
    if (w.p.settled) load_weights(v, (const bf16 *)o.segment[0].b, (uint32_t)o.segment[0].k, col, n, first);
    await_previous();
    for (uint32_t s = 0; s < o.segments; s++) {
        const uint32_t k = (uint32_t)o.segment[s].k;
        const bf16 *own = (const bf16 *)o.segment[s].b;
        if (s || !w.p.settled) load_weights(v, own, k, col, n, first);
        add_segment<TILES>(c, v, own, (const bf16 *)o.segment[s].a, k, col, n, rows);
    }
#pragma unroll
    for (int t = 0; t < TILES; t++)
#pragma unroll
        for (int e = 0; e < 4; e++) part[warp][lane / 4 + e / 2 * 8][t * 8 + lane % 4 * 2 + e % 2] = c[t][e];
    __syncthreads();
    for (uint32_t at = threadIdx.x; at < COLS * 8 * TILES; at += THREADS) {
        const uint32_t j = at % COLS, row = at / COLS;
        if (row >= rows || col + j >= n) continue;
        float sum = 0.0f;
#pragma unroll
        for (int v = 0; v < WARPS; v++) sum += part[v][j][row];
        sum *= w.p.alpha[i];
        if (o.bias) sum += o.bias[col + j];
        const size_t to = (size_t)row * o.ldc + col + j;
        if (w.p.f32) ((float *)o.c)[to] = sum;
        else ((bf16 *)o.c)[to] = __float2bfloat16_rn(sum);
    }
}

CUDA_C bool k_thin(cudaStream_t s, const cuda_thin *p)
{
    thin_work w = {};
    if (!p->rows || !p->outputs) return true;
    if (p->rows > CUDA_THIN_ROWS) return false;
    w.p = *p;
    for (size_t i = 0; i < p->outputs; i++) w.first[i + 1] = w.first[i] + (unsigned)((p->out[i].n + COLS - 1) / COLS);
    for (size_t i = p->outputs; i < CUDA_JOINED; i++) w.first[i + 1] = UINT32_MAX;
    const unsigned blocks = w.first[p->outputs];
    if (p->rows <= 8) start(thin_kernel<1>, blocks, THREADS, 0, s, w);
    else if (p->rows <= 16) start(thin_kernel<2>, blocks, THREADS, 0, s, w);
    else start(thin_kernel<4>, blocks, THREADS, 0, s, w);
    return true;
}

/* ---- the cache -------------------------------------------------------------------------------------------------- */

static __global__ void append_kernel(bf16 *k_cache, bf16 *v_cache, const bf16 *k, const bf16 *v, const cuda_cached_row *row, size_t slot_rows,
                                     uint32_t width)
{
    start_next();
    await_previous();
    const cuda_cached_row r = row[blockIdx.x];
    const size_t to = (r.slot * slot_rows + r.pos) * width, from = (size_t)blockIdx.x * width;
    for (uint32_t c = threadIdx.x * 8; c < width; c += blockDim.x * 8) {
        *reinterpret_cast<uint4 *>(k_cache + to + c) = *reinterpret_cast<const uint4 *>(k + from + c);
        *reinterpret_cast<uint4 *>(v_cache + to + c) = *reinterpret_cast<const uint4 *>(v + from + c);
    }
}

CUDA_C void k_append(cudaStream_t s, const cuda_cached *a)
{
    start(append_kernel, (unsigned)a->rows, 64, 0, s, (bf16 *)a->k_cache, (bf16 *)a->v_cache, (const bf16 *)a->k, (const bf16 *)a->v, a->row,
                                                   a->slot_rows, (uint32_t)(a->n_kv_heads * a->head_dim));
}

enum { KEY_WARPS = 4 };

template <int D> struct state {
    static constexpr int OWN = (D + 31) / 32;
    float m, l, o[OWN];
};

/* 32 keys from `at` on: this lane's score, then all lanes' shares of the values. */
template <int D> static __device__ __forceinline__ void add_keys(state<D> &s, const float *q, const bf16 *k, const bf16 *v, size_t stride, uint32_t at,
                                                                uint32_t from, uint32_t to)
{
    constexpr int OWN = state<D>::OWN;
    const uint32_t lane = threadIdx.x % 32, key = at + lane;
    float score = -INFINITY;
    if (key >= from && key < to) {
        const bf16 *row = k + key * stride;
        score = 0.0f;
#pragma unroll
        for (int c = 0; c < D; c += 8) {
            const uint4 x = *reinterpret_cast<const uint4 *>(row + c);
            const uint32_t word[4] = { x.x, x.y, x.z, x.w };
#pragma unroll
            for (int e = 0; e < 4; e++) {
                score = fmaf(__uint_as_float(word[e] << 16), q[c + 2 * e], score);
                score = fmaf(__uint_as_float(word[e] & 0xffff0000u), q[c + 2 * e + 1], score);
            }
        }
    }
    float most = score;
#pragma unroll
    for (int d = 16; d; d >>= 1) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, d));
    if (most == -INFINITY) return;
    const float m = fmaxf(s.m, most), shrink = __expf(s.m - m), p = __expf(score - m);
    float sum = p;
#pragma unroll
    for (int d = 16; d; d >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, d);
    s.m = m;
    s.l = s.l * shrink + sum;
#pragma unroll
    for (int i = 0; i < OWN; i++) s.o[i] *= shrink;
    const uint32_t n = min(32u, to - at);
    for (uint32_t j = 0; j < n; j++) {
        const float w = __shfl_sync(0xffffffffu, p, j);
        const bf16 *row = v + (at + j) * stride;
#pragma unroll
        for (int i = 0; i < OWN; i++)
            if (D >= 32 || lane < D) s.o[i] = fmaf(w, __bfloat162float(row[lane + 32 * i]), s.o[i]);
    }
}

/* A block has one query of one head; keys 0 .. pos of its slot, or the last `window` of them. */
template <int D> static __global__ void __launch_bounds__(32 * KEY_WARPS) cached_kernel(const cuda_cached a)
{
    start_next();
    await_previous();
    constexpr int OWN = state<D>::OWN;
    __shared__ float q[D], m[KEY_WARPS], l[KEY_WARPS], o[KEY_WARPS][D];
    const cuda_cached_row r = a.row[blockIdx.x];
    const uint32_t head = blockIdx.y, kv = head / (uint32_t)(a.n_heads / a.n_kv_heads), lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const size_t stride = a.n_kv_heads * D, slot = r.slot * a.slot_rows * stride + kv * D, at = (size_t)blockIdx.x * a.n_heads * D + head * D;
    const uint32_t to = r.pos + 1, from = a.window && to > a.window ? to - (uint32_t)a.window : 0;
    for (uint32_t c = threadIdx.x; c < D; c += blockDim.x) q[c] = __bfloat162float(((const bf16 *)a.q)[at + c]) * a.scale;
    __syncthreads();
    state<D> s = { -INFINITY, 0.0f, { 0.0f } };
    for (uint32_t key = from / 32 * 32 + warp * 32; key < to; key += 32 * KEY_WARPS)
        add_keys<D>(s, q, (const bf16 *)a.k_cache + slot, (const bf16 *)a.v_cache + slot, stride, key, from, to);
    if (lane == 0) m[warp] = s.m, l[warp] = s.l;
#pragma unroll
    for (int i = 0; i < OWN; i++)
        if (D >= 32 || lane < D) o[warp][lane + 32 * i] = s.o[i];
    __syncthreads();
    for (uint32_t c = threadIdx.x; c < D; c += blockDim.x) {
        float top = m[0], sum = 0.0f, value = 0.0f;
        for (int w = 1; w < KEY_WARPS; w++) top = fmaxf(top, m[w]);
        for (int w = 0; w < KEY_WARPS; w++) {
            const float by = m[w] == -INFINITY ? 0.0f : __expf(m[w] - top);
            sum += l[w] * by;
            value += o[w][c] * by;
        }
        ((bf16 *)a.out)[at + c] = __float2bfloat16_rn(value / sum);
    }
}

template <int D> static bool cached(cudaStream_t s, const cuda_cached *a)
{
    start(cached_kernel<D>, dim3((unsigned)a->rows, (unsigned)a->n_heads), 32 * KEY_WARPS, 0, s, *a);
    return true;
}

CUDA_C bool k_cached(cudaStream_t s, const cuda_cached *a)
{
    switch (a->head_dim) {
    case 16: return cached<16>(s, a);
    case 32: return cached<32>(s, a);
    case 64: return cached<64>(s, a);
    case 96: return cached<96>(s, a);
    case 128: return cached<128>(s, a);
    default: return false;
    }
}
