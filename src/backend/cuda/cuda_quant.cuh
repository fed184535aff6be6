/* backend/cuda/cuda_quant.cuh - eight numbers of a stored type as binary32, as kernels/ref/expand_ref.c has them.
 *
 * Every product is exact in binary32, so that at most the last sum rounds, and a fused sum gives the same bits. Eight
 * elements never cross a scale. `e` is a multiple of eight, counted from the matrix's first element: rows are whole
 * blocks, one behind the other. A matrix's first byte is aligned to 256, so each block to what divides its size. */
#ifndef AC_BACKEND_CUDA_QUANT_CUH
#define AC_BACKEND_CUDA_QUANT_CUH

#include <cuda_fp16.h>
#include <stdint.h>
#include "base/dtype.h"

static __device__ __forceinline__ float quant_half(uint32_t bits)
{
    return __half2float(__ushort_as_half((unsigned short)bits));
}

/* Eight bytes from an address that is a multiple of A. */
template <int A>
static __device__ __forceinline__ uint2 quant_bytes(const uint8_t *p)
{
    if (A == 8) return __ldg(reinterpret_cast<const uint2 *>(p));
    if (A == 4) {
        const uint32_t *w = reinterpret_cast<const uint32_t *>(p);
        return make_uint2(__ldg(w), __ldg(w + 1));
    }
    const uint16_t *h = reinterpret_cast<const uint16_t *>(p);
    return make_uint2(__ldg(h) | (uint32_t)__ldg(h + 1) << 16, __ldg(h + 2) | (uint32_t)__ldg(h + 3) << 16);
}

static __device__ __forceinline__ uint32_t quant_u16(const uint8_t *p)
{
    return __ldg(reinterpret_cast<const uint16_t *>(p));
}

static __device__ __forceinline__ int quant_byte(const uint2 &q, int i)
{
    return (int)((i < 4 ? q.x : q.y) >> 8 * (i & 3) & 255u);
}

/* Bits [shift, shift + width) of each byte, moved up by `up`. */
static __device__ __forceinline__ uint2 quant_bits(const uint2 &q, int shift, uint32_t mask, int up)
{
    return make_uint2((q.x >> shift & mask) << up, (q.y >> shift & mask) << up);
}

/* Four bits, one for each byte's fifth. */
static __device__ __forceinline__ uint32_t quant_spread(uint32_t four)
{
    return (four & 1u) << 4 | (four & 2u) << 11 | (four & 4u) << 18 | (four & 8u) << 25;
}

/* The 4- and 5-bit blocks of 32: d, then m where there is one, then fifth bits where there are, then nibbles. */
template <int BYTES, int ALIGN, bool MINIMUM, bool FIFTH, int CENTRE>
static __device__ __forceinline__ void quant_block32(float v[8], const uint8_t *base, size_t e)
{
    const uint8_t *b = base + e / 32 * BYTES;
    const int i = (int)(e % 32), bits = MINIMUM ? 4 : 2, nibbles = bits + (FIFTH ? 4 : 0);
    const float d = quant_half(quant_u16(b)), m = MINIMUM ? quant_half(quant_u16(b + 2)) : 0.0f;
    uint2 q = quant_bits(quant_bytes<ALIGN>(b + nibbles + (i & 8)), i & 16 ? 4 : 0, 0x0f0f0f0fu, 0);
    if (FIFTH) {
        const uint32_t eight = quant_u16(b + bits + (i & 16) / 8) >> (i & 8);
        q.x |= quant_spread(eight & 15u);
        q.y |= quant_spread(eight >> 4 & 15u);
    }
#pragma unroll
    for (int k = 0; k < 8; k++)
        v[k] = MINIMUM ? fmaf(d, (float)quant_byte(q, k), m) : d * (float)(quant_byte(q, k) - CENTRE);
}

/* Q4_K and Q5_K: d, dmin, 12 bytes of scales and minimums, fifth bits, nibbles. */
template <bool FIFTH>
static __device__ __forceinline__ void quant_k45(float v[8], const uint8_t *base, size_t e)
{
    const uint8_t *b = base + e / 256 * (FIFTH ? 176 : 144);
    const int in = (int)(e % 256), j = in / 32, at = in % 32, s = 8 * (j & 3);
    const uint4 head = __ldg(reinterpret_cast<const uint4 *>(b));
    const uint32_t sc = j < 4 ? head.y >> s & 63u : (head.w >> s & 15u) | (head.y >> (s + 6) & 3u) << 4;
    const uint32_t mn = j < 4 ? head.z >> s & 63u : (head.w >> (s + 4) & 15u) | (head.z >> (s + 6) & 3u) << 4;
    const float scale = quant_half(head.x & 0xffffu) * (float)sc, least = quant_half(head.x >> 16) * (float)mn;
    uint2 q = quant_bits(quant_bytes<8>(b + (FIFTH ? 48 : 16) + j / 2 * 32 + at), j & 1 ? 4 : 0, 0x0f0f0f0fu, 0);
    if (FIFTH) {
        const uint2 high = quant_bits(quant_bytes<8>(b + 16 + at), j, 0x01010101u, 4);
        q.x |= high.x;
        q.y |= high.y;
    }
#pragma unroll
    for (int k = 0; k < 8; k++) v[k] = fmaf(scale, (float)quant_byte(q, k), -least);
}

static __device__ __forceinline__ void quant_k6(float v[8], const uint8_t *base, size_t e)
{
    const uint8_t *b = base + e / 256 * 210;
    const int in = (int)(e % 256), half = in / 128, run = in / 32 & 3, at = in % 32;
    const uint2 low = quant_bits(quant_bytes<2>(b + half * 64 + (run & 1) * 32 + at), run & 2 ? 4 : 0, 0x0f0f0f0fu, 0);
    const uint2 high = quant_bits(quant_bytes<2>(b + 128 + half * 32 + at), 2 * run, 0x03030303u, 4);
    const uint2 q = make_uint2(low.x | high.x, low.y | high.y);
    const float scale = quant_half(quant_u16(b + 208)) * (float)(int8_t)__ldg(b + 192 + in / 16);
#pragma unroll
    for (int k = 0; k < 8; k++) v[k] = scale * (float)(quant_byte(q, k) - 32);
}

/* Where it lies in shared memory, 32 lanes read 16 words of 16 banks; from here they read one after another. */
static __constant__ float quant_nf4[16] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
    -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f };

template <int T>
static __device__ __forceinline__ void quant_expand8(float v[8], const uint8_t *base, size_t e, const float *nf4 = quant_nf4)
{
    switch (T) {
    case AC_F32: {
        const float4 *p = reinterpret_cast<const float4 *>(base + 4 * e);
        const float4 a = __ldg(p), b = __ldg(p + 1);
        v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
        break;
    }
    case AC_F16: {
        const uint4 p = __ldg(reinterpret_cast<const uint4 *>(base + 2 * e));
        const uint32_t w[4] = { p.x, p.y, p.z, p.w };
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = quant_half(w[k / 2] >> 16 * (k & 1) & 0xffffu);
        break;
    }
    case AC_Q8_0: {
        const uint8_t *b = base + e / 32 * 34;
        const float d = quant_half(quant_u16(b));
        const uint2 q = quant_bytes<2>(b + 2 + e % 32);
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = d * (float)(int8_t)quant_byte(q, k);
        break;
    }
    case AC_Q4_0: quant_block32<18, 2, false, false, 8>(v, base, e); break;
    case AC_Q4_1: quant_block32<20, 4, true, false, 0>(v, base, e); break;
    case AC_Q5_0: quant_block32<22, 2, false, true, 16>(v, base, e); break;
    case AC_Q5_1: quant_block32<24, 8, true, true, 0>(v, base, e); break;
    case AC_Q4_K: quant_k45<false>(v, base, e); break;
    case AC_Q5_K: quant_k45<true>(v, base, e); break;
    case AC_Q6_K: quant_k6(v, base, e); break;
    case AC_NF4: {
        const uint8_t *b = base + e / 64 * 36;
        const float scale = __ldg(reinterpret_cast<const float *>(b));
        const uint32_t w = __ldg(reinterpret_cast<const uint32_t *>(b + 4 + e % 64 / 2));
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = nf4[w >> (k & 1 ? 4 * k - 4 : 4 * k + 4) & 15u] * scale;
        break;
    }
    }
}

#endif
