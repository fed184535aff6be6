/* backend/cuda/cuda_mma.cuh - tensor-core pieces that attention and the adapters' products share: which rows and columns a
 * warp's fragments of m16n8k16 take from shared memory. */
#ifndef AC_BACKEND_CUDA_MMA_CUH
#define AC_BACKEND_CUDA_MMA_CUH

#include "backend/cuda/cuda_ptx.cuh"

static __device__ __forceinline__ uint32_t two_of(float lo, float hi)
{
    const __nv_bfloat162 v = __floats2bfloat162_rn(lo, hi);
    return *reinterpret_cast<const uint32_t *>(&v);
}

/* A: 16 rows from `row`, 16 of k from `k`, stored row by row. */
template <int LD>
static __device__ __forceinline__ void load_a(uint32_t r[4], const bf16 *tile, int row, int k)
{
    const int lane = threadIdx.x % 32;
    matrices(r, tile + (row + lane % 16) * LD + k + lane / 16 * 8);
}

/* The same, stored row by row of k. */
template <int LD>
static __device__ __forceinline__ void load_a_t(uint32_t r[4], const bf16 *tile, int k, int row)
{
    const int lane = threadIdx.x % 32;
    matrices_t(r, tile + (k + lane % 8 + lane / 16 * 8) * LD + row + lane / 8 % 2 * 8);
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

#endif
