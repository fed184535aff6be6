/* kernels/x86/panel_avx512.c - half panels (16 rows of B along k) of the types whose blocks need more than
 * a shift: five bits, 256 elements with scales of scales, binary16. Rows are turned as they are stored; what
 * a row knows of its block (scales, upper bits) becomes a vector beside the codes. */
#include "kernels/x86/turn_avx512_int.h"

enum { NR = 32 };   /* floats between steps of k in a panel */

AC_INLINE __m512 code_table(void)
{
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

/* 16 steps from four vectors of bytes: the nibbles at `shift` of each byte, as floats, plus 16 where bit
 * `bit + step` of high is set; then scale * that + offset. */
AC_INLINE void five_bits(float *dst, const __m512i q[4], unsigned shift, __m512i high, unsigned bit, __m512 base,
                         __m512 scale, __m512 offset, bool has_offset)
{
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned e = 0; e < 4; e++) {
            const __mmask16 set = _mm512_test_epi32_mask(high, _mm512_set1_epi32((int)(1u << (bit + 4 * i + e))));
            __m512 v = _mm512_permutexvar_ps(_mm512_srli_epi32(q[i], 8 * e + shift), base);
            v = _mm512_mask_add_ps(v, set, v, _mm512_set1_ps(16));
            _mm512_storeu_ps(dst + (4 * i + e) * NR, has_offset ? _mm512_fmadd_ps(scale, v, offset)
                                                                : _mm512_mul_ps(scale, v));
        }
    }
}

static void half_panel_q5_0(float *dst, const uint8_t *const row[16], size_t kc)
{
    const __m512 base = _mm512_sub_ps(code_table(), _mm512_set1_ps(16));
    for (size_t p = 0, at = 0; p < kc; p += 32, at += 22, dst += 32 * NR) {
        __m512i head[4], q[4];
        turn_16x4(head, row, at);
        turn_16x4(q, row, at + 6);
        const __m512i high = _mm512_or_si512(_mm512_srli_epi32(head[0], 16), _mm512_slli_epi32(head[1], 16));
        const __m512 d = low_f16(head[0]);
        five_bits(dst, q, 0, high, 0, base, d, d, false);
        five_bits(dst + 16 * NR, q, 4, high, 16, base, d, d, false);
    }
}

static void half_panel_q5_1(float *dst, const uint8_t *const row[16], size_t kc)
{
    for (size_t p = 0, at = 0; p < kc; p += 32, at += 24, dst += 32 * NR) {
        __m512i head[4], q[4];
        turn_16x4(head, row, at);
        turn_16x4(q, row, at + 8);
        const __m512 d = low_f16(head[0]), m = high_f16(head[0]);
        five_bits(dst, q, 0, head[1], 0, code_table(), d, m, true);
        five_bits(dst + 16 * NR, q, 4, head[1], 16, code_table(), d, m, true);
    }
}

/* Scale and minimum of sub-block j from the twelve bytes in dwords 1..3 of the head (docs/numerics.md, 3.2). */
AC_INLINE void k4_scales(const __m512i head[4], unsigned j, __m512 *scale, __m512 *offset)
{
    const unsigned at = 8 * (j % 4);
    const __m512i six = _mm512_set1_epi32(63), four = _mm512_set1_epi32(15), top = _mm512_set1_epi32(0x30);
    __m512i sc, mn;
    if (j < 4) {
        sc = _mm512_and_si512(_mm512_srli_epi32(head[1], at), six);
        mn = _mm512_and_si512(_mm512_srli_epi32(head[2], at), six);
    } else {
        const __m512i sc_top = _mm512_and_si512(_mm512_srli_epi32(head[1], at + 2), top);
        const __m512i mn_top = _mm512_and_si512(_mm512_srli_epi32(head[2], at + 2), top);
        sc = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(head[3], at), four), sc_top);
        mn = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(head[3], at + 4), four), mn_top);
    }
    *scale = _mm512_mul_ps(low_f16(head[0]), _mm512_cvtepi32_ps(sc));
    const __m512 min = _mm512_mul_ps(high_f16(head[0]), _mm512_cvtepi32_ps(mn));
    *offset = _mm512_xor_ps(min, _mm512_set1_ps(-0.0f));
}

/* 32 steps: sub-block j, whose codes are the low or high nibbles of q; high: its fifth bits, or NULL. */
AC_INLINE void k4_sub_block(float *dst, const __m512i q[8], const __m512i *high, unsigned j, __m512 scale,
                            __m512 offset)
{
    for (unsigned i = 0; i < 8; i++) {
        for (unsigned e = 0; e < 4; e++) {
            __m512 v = _mm512_permutexvar_ps(_mm512_srli_epi32(q[i], 8 * e + j % 2 * 4), code_table());
            if (high) {
                const __mmask16 set =
                    _mm512_test_epi32_mask(high[i], _mm512_set1_epi32((int)(1u << (8 * e + j))));
                v = _mm512_mask_add_ps(v, set, v, _mm512_set1_ps(16));
            }
            _mm512_storeu_ps(dst + (4 * i + e) * NR, _mm512_fmadd_ps(scale, v, offset));
        }
    }
}

AC_INLINE void half_panel_k4(float *dst, const uint8_t *const row[16], bool five, size_t kc)
{
    const size_t bytes = five ? 176 : 144, codes = five ? 48 : 16;
    for (size_t p = 0, at = 0; p < kc; p += 256, at += bytes) {
        __m512i head[4], high[8];
        turn_16x4(head, row, at);
        if (five) {
            turn_16x4(high, row, at + 16);
            turn_16x4(high + 4, row, at + 32);
        }
        for (unsigned c = 0; c < 4; c++) {
            __m512i q[8];
            turn_16x4(q, row, at + codes + 32 * c);
            turn_16x4(q + 4, row, at + codes + 32 * c + 16);
            for (unsigned j = 2 * c; j < 2 * c + 2; j++, dst += 32 * NR) {
                __m512 scale, offset;
                k4_scales(head, j, &scale, &offset);
                k4_sub_block(dst, q, five ? high : NULL, j, scale, offset);
            }
        }
    }
}

static void half_panel_q4_k(float *dst, const uint8_t *const row[16], size_t kc)
{
    half_panel_k4(dst, row, false, kc);
}

static void half_panel_q5_k(float *dst, const uint8_t *const row[16], size_t kc)
{
    half_panel_k4(dst, row, true, kc);
}

/* 16 steps of Q6_K: nibbles at `shift` of low, pairs at `pair` of high. */
AC_INLINE void six_bits(float *dst, const __m512i low[4], unsigned shift, const __m512i high[4], unsigned pair,
                        __m512 scale)
{
    const __m512i four = _mm512_set1_epi32(15), two = _mm512_set1_epi32(3), half = _mm512_set1_epi32(32);
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned e = 0; e < 4; e++) {
            const __m512i a = _mm512_and_si512(_mm512_srli_epi32(low[i], 8 * e + shift), four);
            const __m512i b = _mm512_and_si512(_mm512_srli_epi32(high[i], 8 * e + pair), two);
            const __m512i q = _mm512_sub_epi32(_mm512_or_si512(a, _mm512_slli_epi32(b, 4)), half);
            _mm512_storeu_ps(dst + (4 * i + e) * NR, _mm512_mul_ps(scale, _mm512_cvtepi32_ps(q)));
        }
    }
}

static void half_panel_q6_k(float *dst, const uint8_t *const row[16], size_t kc)
{
    for (size_t p = 0, at = 0; p < kc; p += 256, at += 210) {
        __m512i scales[4];
        turn_16x4(scales, row, at + 192);
        /* d is the block's last two bytes: read the 16 that end there. */
        __m512i tail[4];
        turn_16x4(tail, row, at + 194);
        const __m512 d = high_f16(tail[3]);
        for (unsigned j = 0; j < 16; j++, dst += 16 * NR) {
            const unsigned half = j / 8, run = j / 2 % 4, part = j % 2;
            __m512i low[4], high[4];
            turn_16x4(low, row, at + 64 * half + run % 2 * 32 + 16 * part);
            turn_16x4(high, row, at + 128 + 32 * half + 16 * part);
            const __m512i sc = _mm512_srai_epi32(_mm512_slli_epi32(scales[j / 4], 24 - 8 * (j % 4)), 24);
            six_bits(dst, low, run / 2 * 4, high, 2 * run, _mm512_mul_ps(d, _mm512_cvtepi32_ps(sc)));
        }
    }
}

static void half_panel_nf4(float *dst, const uint8_t *const row[16], size_t kc)
{
    float eight[8];
    for (size_t p = 0; p < kc; p += 8)
        for (size_t r = 0; r < 16; r++) {
            ac_nf4_eight(eight, row[r] + p / 64 * 36, p % 64);
            for (size_t i = 0; i < 8; i++) dst[(p + i) * NR + r] = eight[i];
        }
}

static void half_panel_f16(float *dst, const uint8_t *const row[16], size_t kc)
{
    size_t p = 0;
    for (; p + 8 <= kc; p += 8) {
        __m512i q[4];
        turn_16x4(q, row, 2 * p);
        for (size_t i = 0; i < 4; i++) {
            _mm512_storeu_ps(dst + (p + 2 * i) * NR, low_f16(q[i]));
            _mm512_storeu_ps(dst + (p + 2 * i + 1) * NR, high_f16(q[i]));
        }
    }
    for (; p < kc; p++) {
        uint16_t h[16];
        for (size_t r = 0; r < 16; r++)
            h[r] = ac_load_u16(row[r] + 2 * p);
        _mm512_storeu_ps(dst + p * NR, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)h)));
    }
}

void ac_mm_half_panel_avx512(float *dst, const uint8_t *const row[16], ac_dtype type, size_t kc)
{
    switch (type) {
    case AC_F16:  half_panel_f16(dst, row, kc); break;
    case AC_Q5_0: half_panel_q5_0(dst, row, kc); break;
    case AC_Q5_1: half_panel_q5_1(dst, row, kc); break;
    case AC_Q4_K: half_panel_q4_k(dst, row, kc); break;
    case AC_Q5_K: half_panel_q5_k(dst, row, kc); break;
    case AC_Q6_K: half_panel_q6_k(dst, row, kc); break;
    case AC_NF4:  half_panel_nf4(dst, row, kc); break;
    default: break;    /* the others are in matmul_avx512.c */
    }
}
