/* backend/cuda/cuda_lora.cu - products with one side as narrow as an adapter's rank, which read their wide factor once.
 *
 * into_rank: h = alpha x A^T and dh = alpha dy B: a block has 64 rows and all ranks, k in pieces of 64, three in flight.
 * rank_grad: x^T h over the rows, for the gradients of A and B. Rows are cut into pieces of a unit's own (at most
 * PIECE rows), a block sums one piece for 64 columns, and a second kernel adds the pieces to the gradient in their order: so
 * neither how many units a call has nor the number of blocks changes a bit (B6). */
#include "backend/cuda/cuda_int.h"
#include "backend/cuda/cuda_mma.cuh"

enum { WARPS = 4, THREADS = 32 * WARPS, TILE = 64, PAD = 8, STAGES = 3 };

/* ---- into the rank ------------------------------------------------------------------------------------------- */

/* K_MAJOR: the narrow factor is k x r (B of an adapter), else r x k (its A). */
template <int R, bool K_MAJOR>
static __device__ __forceinline__ void load_step(bf16 *sx, bf16 *sb, const bf16 *x, const bf16 *b, size_t row, size_t rows,
                                                 size_t at, size_t k, size_t r)
{
    for (int i = threadIdx.x; i < TILE * (TILE / 8); i += THREADS) {
        const size_t n = i / (TILE / 8), c = i % (TILE / 8) * 8;
        const bool there = row + n < rows && at + c < k;
        fetch16(sx + n * (TILE + PAD) + c, x + (there ? (row + n) * k + at + c : 0), there);
    }
    if (K_MAJOR) {
        for (int i = threadIdx.x; i < TILE * (R / 8); i += THREADS) {
            const size_t n = i / (R / 8), c = i % (R / 8) * 8;
            const bool there = at + n < k && c < r;
            fetch16(sb + n * (R + PAD) + c, b + (there ? (at + n) * r + c : 0), there);
        }
    } else {
        for (int i = threadIdx.x; i < R * (TILE / 8); i += THREADS) {
            const size_t n = i / (TILE / 8), c = i % (TILE / 8) * 8;
            const bool there = n < r && at + c < k;
            fetch16(sb + n * (TILE + PAD) + c, b + (there ? n * k + at + c : 0), there);
        }
    }
}

template <int R, bool K_MAJOR>
static __global__ void __launch_bounds__(THREADS) into_rank_kernel(bf16 *h, const bf16 *x, const bf16 *b, size_t rows, size_t k,
                                                                   size_t r, float alpha)
{
    extern __shared__ __align__(16) unsigned char room[];
    constexpr int X = TILE * (TILE + PAD), B = K_MAJOR ? TILE * (R + PAD) : R * (TILE + PAD);
    bf16 *sx = reinterpret_cast<bf16 *>(room), *sb = sx + STAGES * X;
    const size_t row = blockIdx.x * (size_t)TILE;
    const int lane = threadIdx.x % 32, own = threadIdx.x / 32 * 16, steps = (int)((k + TILE - 1) / TILE);
    float c[R / 8][4] = { { 0.0f } };
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < steps) load_step<R, K_MAJOR>(sx + s * X, sb + s * B, x, b, row, rows, (size_t)s * TILE, k, r);
        commit();
    }
    for (int s = 0; s < steps; s++) {
        wait_until_left<STAGES - 2>();
        __syncthreads();                         /* the stage is there, and the one that is filled next was read */
        const int next = s + STAGES - 1;
        if (next < steps)
            load_step<R, K_MAJOR>(sx + next % STAGES * X, sb + next % STAGES * B, x, b, row, rows, (size_t)next * TILE, k, r);
        commit();
        const bf16 *tx = sx + s % STAGES * X, *tb = sb + s % STAGES * B;
#pragma unroll
        for (int kk = 0; kk < TILE; kk += 16) {
            uint32_t fa[4];
            load_a<TILE + PAD>(fa, tx, own, kk);
#pragma unroll
            for (int n = 0; n < R; n += 16) {
                uint32_t fb[4];
                if (K_MAJOR) load_b_t<R + PAD>(fb, tb, kk, n);
                else load_b<TILE + PAD>(fb, tb, n, kk);
                mma(c[n / 8], fa, fb[0], fb[1]);
                mma(c[n / 8 + 1], fa, fb[2], fb[3]);
            }
        }
    }
    const size_t r0 = row + own + lane / 4, r1 = r0 + 8;
#pragma unroll
    for (int t = 0; t < R / 8; t++) {
        const size_t n = t * 8 + lane % 4 * 2;
        if (n >= r) continue;
        if (r0 < rows) *reinterpret_cast<uint32_t *>(h + r0 * r + n) = two_of(c[t][0] * alpha, c[t][1] * alpha);
        if (r1 < rows) *reinterpret_cast<uint32_t *>(h + r1 * r + n) = two_of(c[t][2] * alpha, c[t][3] * alpha);
    }
}

template <int R, bool K_MAJOR>
static bool into_rank(cudaStream_t s, bf16 *h, const bf16 *x, const bf16 *b, size_t rows, size_t k, size_t r, float alpha)
{
    constexpr size_t bytes = STAGES * (TILE * (TILE + PAD) + (K_MAJOR ? TILE * (R + PAD) : R * (TILE + PAD))) * sizeof(bf16);
    if (cudaFuncSetAttribute(into_rank_kernel<R, K_MAJOR>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes) !=
        cudaSuccess)
        return false;
    into_rank_kernel<R, K_MAJOR><<<(unsigned)((rows + TILE - 1) / TILE), THREADS, bytes, s>>>(h, x, b, rows, k, r, alpha);
    return true;
}

CUDA_C bool k_into_rank(cudaStream_t s, cuda_bf16 *h, const cuda_bf16 *x, const cuda_bf16 *b, bool k_major, size_t rows,
                        size_t k, size_t r, float alpha)
{
    bf16 *to = (bf16 *)h;
    const bf16 *wide = (const bf16 *)x, *narrow = (const bf16 *)b;
    if (!rows) return true;
    if (r <= 16)
        return k_major ? into_rank<16, true>(s, to, wide, narrow, rows, k, r, alpha)
                       : into_rank<16, false>(s, to, wide, narrow, rows, k, r, alpha);
    if (r <= 32)
        return k_major ? into_rank<32, true>(s, to, wide, narrow, rows, k, r, alpha)
                       : into_rank<32, false>(s, to, wide, narrow, rows, k, r, alpha);
    return k_major ? into_rank<64, true>(s, to, wide, narrow, rows, k, r, alpha)
                   : into_rank<64, false>(s, to, wide, narrow, rows, k, r, alpha);
}

/* ---- gradients of A and B --------------------------------------------------------------------------------------- */

template <int R>
static __device__ __forceinline__ void load_rows(bf16 *sx, bf16 *sh, const bf16 *x, const bf16 *h, size_t row, size_t end,
                                                 size_t col, size_t cols, size_t r)
{
    for (int i = threadIdx.x; i < TILE * (TILE / 8); i += THREADS) {
        const size_t n = i / (TILE / 8), c = i % (TILE / 8) * 8;
        const bool there = row + n < end && col + c < cols;
        fetch16(sx + n * (TILE + PAD) + c, x + (there ? (row + n) * cols + col + c : 0), there);
    }
    for (int i = threadIdx.x; i < TILE * (R / 8); i += THREADS) {
        const size_t n = i / (R / 8), c = i % (R / 8) * 8;
        const bool there = row + n < end && c < r;
        fetch16(sh + n * (R + PAD) + c, h + (there ? (row + n) * r + c : 0), there);
    }
}

/* part[piece][col - col_from][n], n of R: sums over the piece's rows. */
template <int R>
static __global__ void __launch_bounds__(THREADS) rank_grad_kernel(float *part, const bf16 *x, const bf16 *h,
                                                                   const cuda_piece *piece, size_t col_from, size_t col_n,
                                                                   size_t cols, size_t r)
{
    extern __shared__ __align__(16) unsigned char room[];
    constexpr int X = TILE * (TILE + PAD), H = TILE * (R + PAD);
    bf16 *sx = reinterpret_cast<bf16 *>(room), *sh = sx + STAGES * X;
    const cuda_piece p = piece[blockIdx.y];
    const size_t first = blockIdx.x * (size_t)TILE, col = col_from + first, end = (size_t)p.first + p.n;
    const int lane = threadIdx.x % 32, own = threadIdx.x / 32 * 16, steps = (int)((p.n + TILE - 1) / TILE);
    float c[R / 8][4] = { { 0.0f } };
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < steps) load_rows<R>(sx + s * X, sh + s * H, x, h, p.first + (size_t)s * TILE, end, col, cols, r);
        commit();
    }
    for (int s = 0; s < steps; s++) {
        wait_until_left<STAGES - 2>();
        __syncthreads();
        const int next = s + STAGES - 1;
        if (next < steps)
            load_rows<R>(sx + next % STAGES * X, sh + next % STAGES * H, x, h, p.first + (size_t)next * TILE, end, col, cols, r);
        commit();
        const bf16 *tx = sx + s % STAGES * X, *th = sh + s % STAGES * H;
#pragma unroll
        for (int kk = 0; kk < TILE; kk += 16) {
            uint32_t fa[4];
            load_a_t<TILE + PAD>(fa, tx, kk, own);
#pragma unroll
            for (int n = 0; n < R; n += 16) {
                uint32_t fb[4];
                load_b_t<R + PAD>(fb, th, kk, n);
                mma(c[n / 8], fa, fb[0], fb[1]);
                mma(c[n / 8 + 1], fa, fb[2], fb[3]);
            }
        }
    }
    const size_t c0 = first + own + lane / 4, c1 = c0 + 8;
    float *to = part + blockIdx.y * col_n * R;
#pragma unroll
    for (int t = 0; t < R / 8; t++) {
        const size_t n = t * 8 + lane % 4 * 2;
        if (c0 < col_n) *reinterpret_cast<float2 *>(to + c0 * R + n) = make_float2(c[t][0], c[t][1]);
        if (c1 < col_n) *reinterpret_cast<float2 *>(to + c1 * R + n) = make_float2(c[t][2], c[t][3]);
    }
}

/* g += the pieces in their order; g is cols x r, or with `across` r x cols. */
template <int R>
static __global__ void add_pieces_kernel(float *g, const float *part, size_t pieces, size_t col_from, size_t col_n, size_t cols,
                                         size_t r, bool across)
{
    const size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x, col = i / R, n = i % R;
    if (col >= col_n || n >= r) return;
    float *to = across ? g + n * cols + col_from + col : g + (col_from + col) * r + n;
    const float *from = part + col * R + n;
    const size_t step = col_n * R;
    float sum = *to;
    size_t p = 0;
    for (; p + 16 <= pieces; p += 16) {          /* read together, added in order */
        float v[16];
#pragma unroll
        for (int k = 0; k < 16; k++) v[k] = from[(p + k) * step];
#pragma unroll
        for (int k = 0; k < 16; k++) sum += v[k];
    }
    for (; p < pieces; p++) sum += from[p * step];
    *to = sum;
}

template <int R>
static bool rank_grad(cudaStream_t s, float *g, const bf16 *x, const bf16 *h, const cuda_piece *piece, size_t pieces,
                      size_t cols, size_t r, bool across, float *part, size_t part_floats)
{
    constexpr size_t bytes = STAGES * TILE * (TILE + PAD + R + PAD) * sizeof(bf16);
    if (cudaFuncSetAttribute(rank_grad_kernel<R>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes) != cudaSuccess)
        return false;
    const size_t most = part_floats / (pieces * R) / TILE * TILE;       /* columns at once */
    if (!most) return false;
    for (size_t from = 0; from < cols; from += most) {
        const size_t n = cols - from < most ? cols - from : most;
        rank_grad_kernel<R><<<dim3((unsigned)((n + TILE - 1) / TILE), (unsigned)pieces), THREADS, bytes, s>>>(
            part, x, h, piece, from, n, cols, r);
        add_pieces_kernel<R><<<(unsigned)((n * R + 255) / 256), 256, 0, s>>>(g, part, pieces, from, n, cols, r, across);
    }
    return true;
}

CUDA_C bool k_rank_grad(cudaStream_t s, float *g, const cuda_bf16 *x, const cuda_bf16 *h, const cuda_piece *piece,
                        size_t pieces, size_t cols, size_t r, bool across, float *part, size_t part_floats)
{
    const bf16 *wide = (const bf16 *)x, *narrow = (const bf16 *)h;
    if (!pieces) return true;
    if (r <= 16) return rank_grad<16>(s, g, wide, narrow, piece, pieces, cols, r, across, part, part_floats);
    if (r <= 32) return rank_grad<32>(s, g, wide, narrow, piece, pieces, cols, r, across, part, part_floats);
    return rank_grad<64>(s, g, wide, narrow, piece, pieces, cols, r, across, part, part_floats);
}
