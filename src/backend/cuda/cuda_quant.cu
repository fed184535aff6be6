/* backend/cuda/cuda_quant.cu - stored weights to bfloat16: a whole run of them, or the rows of an embedding. */
#include <cuda_bf16.h>
#include "backend/cuda/cuda_launch.cuh"
#include "backend/cuda/cuda_quant.cuh"

enum { THREADS = 256, GROUPS = 2 };              /* groups of eight that a thread loads before it stores */

static __device__ __forceinline__ uint32_t two_of(float lo, float hi)
{
    const __nv_bfloat162 v = __floats2bfloat162_rn(lo, hi);
    return *reinterpret_cast<const uint32_t *>(&v);
}

static __device__ __forceinline__ uint4 narrow8(const float v[8])
{
    return make_uint4(two_of(v[0], v[1]), two_of(v[2], v[3]), two_of(v[4], v[5]), two_of(v[6], v[7]));
}

template <int T>
static __global__ void __launch_bounds__(THREADS) expand_kernel(uint4 *y, const uint8_t *x, size_t groups)
{
    start_next();
    await_previous();
    const size_t first = blockIdx.x * (size_t)(THREADS * GROUPS) + threadIdx.x;
    float v[GROUPS][8];
    __shared__ float nf4[16];
    if (T == AC_NF4) {
        if (threadIdx.x < 16) nf4[threadIdx.x] = quant_nf4[threadIdx.x];
        __syncthreads();
    }
#pragma unroll
    for (int g = 0; g < GROUPS; g++)
        if (first + g * THREADS < groups) quant_expand8<T>(v[g], x, 8 * (first + g * THREADS), nf4);
#pragma unroll
    for (int g = 0; g < GROUPS; g++)
        if (first + g * THREADS < groups) y[first + g * THREADS] = narrow8(v[g]);
}

template <int T>
static __global__ void __launch_bounds__(THREADS) gather_kernel(float *y, const int32_t *ids, const uint8_t *table,
                                                                size_t groups, size_t per_row)
{
    start_next();
    await_previous();
    const size_t i = blockIdx.x * (size_t)THREADS + threadIdx.x;
    if (i >= groups) return;
    float v[8];
    quant_expand8<T>(v, table, 8 * ((size_t)ids[i / per_row] * per_row + i % per_row));
    const uint4 n = narrow8(v);
    float4 *to = reinterpret_cast<float4 *>(y + 8 * i);
    to[0] = make_float4(__uint_as_float(n.x << 16), __uint_as_float(n.x & 0xffff0000u), __uint_as_float(n.y << 16),
                        __uint_as_float(n.y & 0xffff0000u));
    to[1] = make_float4(__uint_as_float(n.z << 16), __uint_as_float(n.z & 0xffff0000u), __uint_as_float(n.w << 16),
                        __uint_as_float(n.w & 0xffff0000u));
}

#define FOR_TYPE(type, CALL)              \
    switch (type) {                       \
    case AC_F32:  CALL(AC_F32); break;    \
    case AC_F16:  CALL(AC_F16); break;    \
    case AC_Q8_0: CALL(AC_Q8_0); break;   \
    case AC_Q4_0: CALL(AC_Q4_0); break;   \
    case AC_Q4_1: CALL(AC_Q4_1); break;   \
    case AC_Q5_0: CALL(AC_Q5_0); break;   \
    case AC_Q5_1: CALL(AC_Q5_1); break;   \
    case AC_Q4_K: CALL(AC_Q4_K); break;   \
    case AC_Q5_K: CALL(AC_Q5_K); break;   \
    case AC_Q6_K: CALL(AC_Q6_K); break;   \
    case AC_NF4:  CALL(AC_NF4); break;    \
    default: return false;                \
    }

CUDA_C bool k_expand(cudaStream_t s, cuda_bf16 *y, const void *x, ac_dtype type, size_t n)
{
    const size_t groups = n / 8, each = THREADS * GROUPS, blocks = (groups + each - 1) / each;
    if (n % 8) return false;
    if (!groups) return true;
#define EXPAND(T) start(expand_kernel<T>, (unsigned)blocks, THREADS, 0, s, (uint4 *)y, (const uint8_t *)x, groups)
    FOR_TYPE(type, EXPAND)
    return true;
}

CUDA_C bool k_gather(cudaStream_t s, float *y, const int32_t *ids, const void *table, ac_dtype type, size_t rows, size_t cols)
{
    const size_t groups = rows * cols / 8, blocks = (groups + THREADS - 1) / THREADS;
    if (cols % 8) return false;
    if (!groups) return true;
#define GATHER(T) start(gather_kernel<T>, (unsigned)blocks, THREADS, 0, s, y, ids, (const uint8_t *)table, groups, cols / 8)
    FOR_TYPE(type, GATHER)
    return true;
}
