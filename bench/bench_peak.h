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
/* GB/s of reading a buffer once, split over the pool. */
double bench_read_gbytes(ac_pool *pool, const float *p, size_t n);

/* `rounds` rounds; returns the floating point operations done. The sum keeps the work alive. */
double bench_fma_avx2(long rounds, float *sum);
double bench_fma_avx512(long rounds, float *sum);

#endif
