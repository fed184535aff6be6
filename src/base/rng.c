#include "base/rng.h"

/* The multipliers and Weyl constants of Philox4x32; ten rounds. */
#define M0 0xD2511F53u
#define M1 0xCD9E8D57u
#define W0 0x9E3779B9u
#define W1 0xBB67AE85u

void ac_philox(uint32_t out[4], uint64_t seed, uint32_t stream, uint64_t step, uint64_t index)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32) ^ stream;
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32);
    uint32_t c2 = (uint32_t)step, c3 = (uint32_t)(step >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)M0 * c0, p1 = (uint64_t)M1 * c2;
        const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += W0;
        k1 += W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint32_t ac_rng_u32(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index)
{
    uint32_t w[4];
    ac_philox(w, seed, stream, step, index / 4);
    return w[index % 4];
}

float ac_rng_unit(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index)
{
    return (float)(ac_rng_u32(seed, stream, step, index) >> 8) * 0x1p-24f;
}

uint32_t ac_rng_below(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index, uint32_t bound)
{
    if (bound <= 1) return 0;
    /* Lemire's multiply-and-reject: the low word under 2^32 mod bound would favour some values. */
    const uint32_t reject_under = (0u - bound) % bound;
    for (uint64_t draw = index;; draw += (uint64_t)1 << 32) {
        const uint64_t wide = (uint64_t)ac_rng_u32(seed, stream, step, draw) * bound;
        if ((uint32_t)wide >= reject_under) return (uint32_t)(wide >> 32);
    }
}

void ac_rng_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t stream, uint64_t step)
{
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t i = n; i > 1; i--) {
        const uint32_t j = ac_rng_below(seed, stream, step, i - 1, (uint32_t)i);
        const uint32_t t = order[i - 1];
        order[i - 1] = order[j];
        order[j] = t;
    }
}
