/* tests/cudasim/include/cuda_fp16.h - stands in for NVIDIA's header of this name (cuda_runtime_api.h beside it). */
#ifndef CUDASIM_FP16_H
#define CUDASIM_FP16_H

#include "cuda_runtime.h"

struct alignas(2) __half {
    uint16_t bits;
};

static inline __half __ushort_as_half(unsigned short bits)
{
    return { bits };
}

static inline float __half2float(__half h)
{
    const uint32_t sign = (uint32_t)(h.bits & 0x8000u) << 16, power = h.bits >> 10 & 31u, part = h.bits & 0x3ffu;
    if (power == 31) return __uint_as_float(sign | 0x7f800000u | part << 13);
    if (power) return __uint_as_float(sign | (power + 112) << 23 | part << 13);
    const float small = (float)part * 0x1p-24f;
    return sign ? -small : small;
}

#endif
