/* backend/cuda/cuda_math.cuh - what kernels of several files compute alike, to the last bit. */
#ifndef AC_BACKEND_CUDA_MATH_CUH
#define AC_BACKEND_CUDA_MATH_CUH

static __device__ __forceinline__ float sigmoid(float g)
{
    return __fdividef(1.0f, 1.0f + __expf(-g));  /* an infinite divisor gives 0 */
}

#endif
