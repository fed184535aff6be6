/* base/sha256_shani.c - SHA-256 over whole blocks by the CPU's own instructions, for the hashes of large files.
 *
 * The state vectors hold words in the order that sha256rnds2 wants: (a b e f) and (c d g h), highest first. Sixteen words of
 * the schedule live in four vectors; sha256msg1 and msg2 make the next four from them. Compiled for SHA and SSE4.1, called
 * only after detection. */
#include "base/hash_int.h"

#if AC_ARCH_X86
#include <cpuid.h>
#include <immintrin.h>

static const uint32_t round_constant[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

bool ac_sha256_has_fast(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1) || !(c & bit_SSSE3)) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29));
}

void ac_sha256_blocks_fast(uint32_t state[8], const uint8_t *data, size_t n_blocks)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const __m128i *in = (const void *)data;
    const __m128i dcba = _mm_loadu_si128((const void *)state), hgfe = _mm_loadu_si128((const void *)(state + 4));
    const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
    for (; n_blocks; n_blocks--, in += 4) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
        for (size_t i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128(in + i), swap);
        for (size_t r = 0; r < 16; r++) {                 /* four rounds at a time */
            if (r >= 4) {
                const __m128i w3 = w[(r + 3) & 3];
                __m128i t = _mm_sha256msg1_epu32(w[r & 3], w[(r + 1) & 3]);
                t = _mm_add_epi32(t, _mm_alignr_epi8(w3, w[(r + 2) & 3], 4));
                w[r & 3] = _mm_sha256msg2_epu32(t, w3);
            }
            const __m128i k = _mm_loadu_si128((const void *)(round_constant + 4 * r));
            const __m128i wk = _mm_add_epi32(w[r & 3], k);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((void *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((void *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}
#else
bool ac_sha256_has_fast(void)
{
    return false;
}

void ac_sha256_blocks_fast(uint32_t state[8], const uint8_t *data, size_t n_blocks)
{
    AC_UNUSED(state);
    AC_UNUSED(data);
    AC_UNUSED(n_blocks);
}
#endif
