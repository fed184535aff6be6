/* tests/cudasim/include/cuda_runtime.h - what nvcc gives a .cu file unasked, for a simulated GPU: the language's words, vector
 * types, the thread's coordinates, barriers, exchanges between lanes and arithmetic. Launches and __shared__ are rewritten
 * by translate.cmake into what stands at the end. */
#ifndef CUDASIM_RUNTIME_H
#define CUDASIM_RUNTIME_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <functional>
#include <type_traits>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

/* ---- vectors: aligned as on the device, so that a sanitizer sees a misaligned access ------------------------- */

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct uint3 { unsigned x, y, z; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz) {}
};

static inline float2 make_float2(float x, float y) { return { x, y }; }
static inline float4 make_float4(float x, float y, float z, float w) { return { x, y, z, w }; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return { x, y }; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return { x, y, z, w }; }
static inline int2 make_int2(int x, int y) { return { x, y }; }
static inline int4 make_int4(int x, int y, int z, int w) { return { x, y, z, w }; }

/* ---- where a thread is -------------------------------------------------------------------------------------- */

struct sim_place {
    uint3 at;
};
extern sim_place *sim_self;          /* of the thread that runs; a thread never sees another's */
extern uint3 sim_block_at;
extern dim3 sim_block_size, sim_grid_size;
#define threadIdx (sim_self->at)
#define blockIdx  sim_block_at
#define blockDim  sim_block_size
#define gridDim   sim_grid_size

/* ---- barriers, exchanges ------------------------------------------------------------------------------------- */

void sim_barrier();
void sim_exchange(unsigned mask, unsigned from, uint64_t *value);        /* value becomes lane from's */
unsigned sim_vote(unsigned mask, bool yes);

static inline void __syncthreads() { sim_barrier(); }
static inline void __syncwarp(unsigned mask = 0xffffffffu) { (void)sim_vote(mask, false); }
static inline unsigned __ballot_sync(unsigned mask, int yes) { return sim_vote(mask, yes != 0); }
static inline int __any_sync(unsigned mask, int yes) { return sim_vote(mask, yes != 0) != 0; }
static inline int __all_sync(unsigned mask, int yes) { return sim_vote(mask, yes != 0) == mask; }
static inline unsigned sim_lane() { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32; }

template <typename T> static inline T sim_from_lane(unsigned mask, T v, unsigned from)
{
    static_assert(sizeof(T) <= 8, "lanes exchange up to eight bytes");
    uint64_t bits = 0;
    memcpy(&bits, &v, sizeof v);
    sim_exchange(mask, from, &bits);
    memcpy(&v, &bits, sizeof v);
    return v;
}

template <typename T> static inline T __shfl_sync(unsigned mask, T v, int from, int width = 32)
{
    return sim_from_lane(mask, v, sim_lane() / (unsigned)width * (unsigned)width + (unsigned)from % (unsigned)width);
}

template <typename T> static inline T __shfl_xor_sync(unsigned mask, T v, int by, int width = 32)
{
    const unsigned to = sim_lane() ^ (unsigned)by;
    return sim_from_lane(mask, v, to / (unsigned)width > sim_lane() / (unsigned)width ? sim_lane() : to);
}

template <typename T> static inline T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32)
{
    return sim_from_lane(mask, v, sim_lane() % (unsigned)width + by < (unsigned)width ? sim_lane() + by : sim_lane());
}

template <typename T> static inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32)
{
    return sim_from_lane(mask, v, sim_lane() % (unsigned)width >= by ? sim_lane() - by : sim_lane());
}

/* ---- arithmetic ------------------------------------------------------------------------------------------------ */

static inline float __uint_as_float(unsigned u) { float x; memcpy(&x, &u, sizeof x); return x; }
static inline unsigned __float_as_uint(float x) { unsigned u; memcpy(&u, &x, sizeof u); return u; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
#define __expf expf                  /* the C library's own name */
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }

/* Which cache a value goes through is all that tells these apart. */
template <typename T> static inline T __ldg(const T *p) { return *p; }
template <typename T> static inline T __ldcs(const T *p) { return *p; }
template <typename T> static inline T __ldcg(const T *p) { return *p; }
template <typename T> static inline void __stcs(T *p, T v) { *p = v; }
template <typename T> static inline void __stcg(T *p, T v) { *p = v; }

template <typename A, typename B> static inline typename std::common_type<A, B>::type min(A a, B b)
{
    typedef typename std::common_type<A, B>::type T;
    return (T)b < (T)a ? (T)b : (T)a;
}

template <typename A, typename B> static inline typename std::common_type<A, B>::type max(A a, B b)
{
    typedef typename std::common_type<A, B>::type T;
    return (T)a < (T)b ? (T)b : (T)a;
}

/* ---- what translate.cmake writes -------------------------------------------------------------------------------- */

/* kernel<<<...>>>(arguments) becomes sim_launch("kernel", ...).of([=](const auto &...a) { kernel(a...); })(arguments):
 * the arguments are taken by value when it is launched, the body runs once a thread. */
struct sim_launch {
    const char *name;
    dim3 grid, block;
    size_t shared;
    cudaStream_t stream;
    const void *kernel = nullptr;    /* where it is known */
    bool early = false;              /* each thread must wait for the launch before it (cuda_launch.cuh) */
    sim_launch(const char *n, dim3 g, dim3 b, size_t bytes = 0, cudaStream_t s = nullptr)
        : name(n), grid(g), block(b), shared(bytes), stream(s) {}
    void run(std::function<void()> body) const;
    template <typename F> auto of(F body) const
    {
        return [launch = *this, body](auto... a) { launch.run([=]() { body(a...); }); };
    }
};

/* __shared__ T x[n]; becomes static T x[n]; sim_fresh(&x, sizeof x); - filled once a block. extern __shared__ T x[]; becomes
 * T *const x = (T *)sim_dynamic(); */
void sim_fresh(void *at, size_t bytes);
void *sim_dynamic();

cudaError_t sim_set_attribute(const void *kernel, cudaFuncAttribute what, int value);
template <typename K> static inline cudaError_t cudaFuncSetAttribute(K *kernel, cudaFuncAttribute what, int value)
{
    return sim_set_attribute((const void *)kernel, what, value);
}

#endif
