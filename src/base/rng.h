/* base/rng.h - Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). Counter-based: no state to save, any element can be computed alone (B7).
 *
 * R1  The key is (seed low, seed high xor stream); the counter is (index low, index high, step low,
 *     step high). Four 32-bit words come from one counter.
 * R2  Streams are separate by purpose; evaluating or saving more often draws nothing from another. */
#ifndef AC_BASE_RNG_H
#define AC_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    AC_RNG_INIT = 1, AC_RNG_SHUFFLE = 2, AC_RNG_DROPOUT = 3, AC_RNG_SAMPLE = 4, AC_RNG_TEST = 5,
    AC_RNG_BOOT = 6, AC_RNG_STATE_M = 7, AC_RNG_STATE_V = 8, AC_RNG_SPLIT = 11
} ac_rng_stream;

void     ac_philox(uint32_t out[4], uint64_t seed, uint32_t stream, uint64_t step, uint64_t index);
/* Word index % 4 of counter index / 4. */
uint32_t ac_rng_u32(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index);
/* Uniform in [0, 1): the upper 24 bits over 2^24, exact in binary32. */
float    ac_rng_unit(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index);
/* Unbiased integer in [0, bound), bound >= 1 (rejection; may use several indices above `index`
 * spaced by 2^32, so callers number their draws below 2^32). */
uint32_t ac_rng_below(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index, uint32_t bound);
/* Fisher-Yates over 0..n-1, the draw for place i at index i. */
void     ac_rng_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t stream, uint64_t step);

#endif
