/* bench_peak.h - what the machine can do at this moment: fused multiply-adds and reading. */
#ifndef AC_BENCH_PEAK_H
#define AC_BENCH_PEAK_H

#include <stddef.h>
#include <stdint.h>
#include "base/pool.h"
#include "kernels/kernels.h"

/* Nanoseconds: of this process's own time when the pool has one thread, so that neighbours on the machine
 * count less; of the clock otherwise. */
int64_t bench_ns(const ac_pool *pool);

/* One burst of independent fma chains on every thread of the pool, about half a millisecond, in the
 * vectors of that tier; GFLOP/s over all threads. */
double bench_peak_gflops(ac_pool *pool, ac_cpu tier);
/* The same for vdpbf16ps, which multiplies two pairs a lane; 0 where the CPU has none. */
double bench_bf16_gflops(ac_pool *pool);
/* GB/s of reading a buffer once in the tier's vectors, split over the pool. */
double bench_read_gbytes(ac_pool *pool, ac_cpu tier, const void *p, size_t bytes);

/* `rounds` rounds; returns the floating point operations done. The sum keeps the work alive. */
double bench_fma_avx2(long rounds, float *sum);
double bench_fma_avx512(long rounds, float *sum);
double bench_dp_avx512bf16(long rounds, float *sum);
/* Reads bytes, a multiple of 1024, from 64-byte aligned memory; returns something of them. */
uint32_t bench_read_avx2(const void *p, size_t bytes);
uint32_t bench_read_avx512(const void *p, size_t bytes);

#endif
