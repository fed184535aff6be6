/* kernels/ref/expand_ref.c - stored types to binary32, element by element (B5, docs/numerics.md).
 *
 * Every product below but NF4's, which is one rounding alone, is exact in binary32 (a scale of 11 significant bits times integers of at most 13
 * bits together), so that at most one rounding happens an element: that of the final sum, where there is
 * one. A tier may therefore regroup the factors or fuse the sum and still give these bytes. */
#include "kernels/kernels_int.h"

/* 32 elements in 34 bytes: d, 32 signed bytes. */
static void expand_q8_0(float *dst, const uint8_t *b)
{
    const float d = ac_f32_of_f16(ac_load_u16(b));
    for (size_t i = 0; i < 32; i++) {
        int8_t q;
        memcpy(&q, b + 2 + i, 1);
        dst[i] = d * (float)q;
    }
}

/* Element i of the 4- and 5-bit blocks of 32: the low nibble of byte i, or the high one of byte i - 16. */
static int nibble(const uint8_t *qs, size_t i)
{
    return i < 16 ? qs[i] & 15 : qs[i - 16] >> 4;
}

/* 18 bytes: d, 16 of nibbles. */
static void expand_q4_0(float *dst, const uint8_t *b)
{
    const float d = ac_f32_of_f16(ac_load_u16(b));
    for (size_t i = 0; i < 32; i++)
        dst[i] = d * (float)(nibble(b + 2, i) - 8);
}

/* 20 bytes: d, m, 16 of nibbles. */
static void expand_q4_1(float *dst, const uint8_t *b)
{
    const float d = ac_f32_of_f16(ac_load_u16(b)), m = ac_f32_of_f16(ac_load_u16(b + 2));
    for (size_t i = 0; i < 32; i++)
        dst[i] = d * (float)nibble(b + 4, i) + m;
}

/* 22 bytes: d, 32 fifth bits (bit i belongs to element i), 16 of nibbles. */
static void expand_q5_0(float *dst, const uint8_t *b)
{
    const float d = ac_f32_of_f16(ac_load_u16(b));
    const uint32_t high = ac_load_u32(b + 2);
    for (size_t i = 0; i < 32; i++)
        dst[i] = d * (float)((nibble(b + 6, i) | (int)(high >> i & 1u) << 4) - 16);
}

/* 24 bytes: d, m, 32 fifth bits, 16 of nibbles. */
static void expand_q5_1(float *dst, const uint8_t *b)
{
    const float d = ac_f32_of_f16(ac_load_u16(b)), m = ac_f32_of_f16(ac_load_u16(b + 2));
    const uint32_t high = ac_load_u32(b + 4);
    for (size_t i = 0; i < 32; i++)
        dst[i] = d * (float)(nibble(b + 8, i) | (int)(high >> i & 1u) << 4) + m;
}

/* 144 bytes: d, dmin, 12 of scales and minimums, 128 of nibbles: sub-blocks 2c and 2c+1 are the low and
 * the high nibbles of bytes 32c .. 32c+31. */
static void expand_q4_k(float *dst, const uint8_t *b)
{
    const float d = ac_f32_of_f16(ac_load_u16(b)), dmin = ac_f32_of_f16(ac_load_u16(b + 2));
    for (size_t j = 0; j < 8; j++) {
        const uint8_t *qs = b + 16 + j / 2 * 32;
        uint32_t sc, mn;
        ac_k4_scale_min(b + 4, j, &sc, &mn);
        const float scale = d * (float)sc, min = dmin * (float)mn;
        for (size_t i = 0; i < 32; i++) {
            const int q = j % 2 ? qs[i] >> 4 : qs[i] & 15;
            dst[j * 32 + i] = scale * (float)q - min;
        }
    }
}

/* 176 bytes: as Q4_K, with 32 bytes of fifth bits in front of the nibbles: bit j of byte i belongs to
 * element i of sub-block j. */
static void expand_q5_k(float *dst, const uint8_t *b)
{
    const float d = ac_f32_of_f16(ac_load_u16(b)), dmin = ac_f32_of_f16(ac_load_u16(b + 2));
    const uint8_t *qh = b + 16;
    for (size_t j = 0; j < 8; j++) {
        const uint8_t *qs = b + 48 + j / 2 * 32;
        uint32_t sc, mn;
        ac_k4_scale_min(b + 4, j, &sc, &mn);
        const float scale = d * (float)sc, min = dmin * (float)mn;
        for (size_t i = 0; i < 32; i++) {
            const int q = (j % 2 ? qs[i] >> 4 : qs[i] & 15) | (qh[i] >> j & 1) << 4;
            dst[j * 32 + i] = scale * (float)q - min;
        }
    }
}

/* 210 bytes: 128 of low nibbles, 64 of upper bit pairs, 16 signed scales, d. Each half of 128 elements
 * has four runs of 32: runs 0 and 2 are low and high nibbles of the half's first 32 bytes, 1 and 3 of the
 * next 32; run r takes bits 2r and 2r+1 of the half's 32 bytes of pairs; a scale covers 16 elements. */
static void expand_q6_k(float *dst, const uint8_t *b)
{
    const float d = ac_f32_of_f16(ac_load_u16(b + 208));
    for (size_t j = 0; j < 8; j++) {
        const size_t half = j / 4, run = j % 4;
        const uint8_t *ql = b + half * 64 + run % 2 * 32, *qh = b + 128 + half * 32;
        for (size_t i = 0; i < 32; i++) {
            const int low = run < 2 ? ql[i] & 15 : ql[i] >> 4;
            const int q = (low | (qh[i] >> (2 * run) & 3) << 4) - 32;
            int8_t sc;
            memcpy(&sc, b + 192 + j * 2 + i / 16, 1);
            dst[j * 32 + i] = d * (float)sc * (float)q;
        }
    }
}

/* What bitsandbytes' 4-bit NormalFloat codes mean: its published table. */
const float ac_nf4_value[16] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
    -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f };

static void expand_nf4(float *dst, const uint8_t *b)
{
    for (size_t at = 0; at < 64; at += 8) ac_nf4_eight(dst + at, b, at);
}

static void expand_block(float *dst, const uint8_t *b, ac_dtype type)
{
    switch (type) {
    case AC_F32:  memcpy(dst, b, sizeof *dst); break;
    case AC_F16:  *dst = ac_f32_of_f16(ac_load_u16(b)); break;
    case AC_BF16: *dst = ac_f32_of_bf16(ac_load_u16(b)); break;
    case AC_Q8_0: expand_q8_0(dst, b); break;
    case AC_Q4_0: expand_q4_0(dst, b); break;
    case AC_Q4_1: expand_q4_1(dst, b); break;
    case AC_Q5_0: expand_q5_0(dst, b); break;
    case AC_Q5_1: expand_q5_1(dst, b); break;
    case AC_Q4_K: expand_q4_k(dst, b); break;
    case AC_Q5_K: expand_q5_k(dst, b); break;
    case AC_Q6_K: expand_q6_k(dst, b); break;
    case AC_NF4:  expand_nf4(dst, b); break;
    default: break;    /* ac_dtype_is_weight is false: callers never ask */
    }
}

void ac_expand_row_ref(float *dst, const void *src, ac_dtype type, size_t n)
{
    const size_t elems = ac_dtype_block_elems(type), bytes = ac_dtype_block_bytes(type);
    const uint8_t *b = src;
    if (!ac_dtype_is_weight(type)) return;
    for (size_t i = 0; i + elems <= n; i += elems, b += bytes)
        expand_block(dst + i, b, type);
}
