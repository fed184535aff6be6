/* tests/cudasim/include/cuda_bf16.h - stands in for NVIDIA's header of this name (cuda_runtime_api.h beside it). */
#ifndef CUDASIM_BF16_H
#define CUDASIM_BF16_H

#include "cuda_runtime.h"

struct alignas(2) __nv_bfloat16 {
    uint16_t bits;
};

struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

static inline float __bfloat162float(__nv_bfloat16 v)
{
    return __uint_as_float((uint32_t)v.bits << 16);
}

/* To the nearest, ties to even; every NaN is one. */
static inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    const uint32_t u = __float_as_uint(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return { 0x7fff };
    return { (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16) };
}

static inline __nv_bfloat162 __floats2bfloat162_rn(float lo, float hi)
{
    return { __float2bfloat16_rn(lo), __float2bfloat16_rn(hi) };
}

#endif
