/* backend/cuda/cuda_math.cuh - what kernels of several files compute alike, to the last bit. */
#ifndef AC_BACKEND_CUDA_MATH_CUH
#define AC_BACKEND_CUDA_MATH_CUH

static __device__ __forceinline__ float sigmoid(float g)
{
    return __fdividef(1.0f, 1.0f + __expf(-g));  /* an infinite divisor gives 0 */
}

/* silu(g) u. */
static __device__ __forceinline__ float gated_of(float g, float u)
{
    return g * sigmoid(g) * u;
}

typedef struct {
    float dg, du, y;
} gated_grads;

static __device__ __forceinline__ gated_grads gated_grad_of(float dy, float g, float u)
{
    const float s = sigmoid(g), silu = g * s;
    return gated_grads{ dy * u * (s * fmaf(g, 1.0f - s, 1.0f)), dy * silu, silu * u };
}

#endif
