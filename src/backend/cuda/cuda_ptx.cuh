/* backend/cuda/cuda_ptx.cuh - the instructions that C++ has no word for, up to compute capability 8.0: fragments of m16n8k16 in
 * bfloat16 from shared memory, asynchronous copies into it, 2^x. The simulated GPU (tests/cudasim) has a file of its own in this
 * one's place, so no other file but Hopper's has PTX in it. */
#ifndef AC_BACKEND_CUDA_PTX_CUH
#define AC_BACKEND_CUDA_PTX_CUH

#include <cuda_bf16.h>
#include <stdint.h>

typedef __nv_bfloat16 bf16;

static __device__ __forceinline__ uint32_t shared_at(const bf16 *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

static __device__ __forceinline__ void matrices(uint32_t r[4], const bf16 *p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_at(p)) : "memory");
}

static __device__ __forceinline__ void matrices_t(uint32_t r[4], const bf16 *p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_at(p)) : "memory");
}

static __device__ __forceinline__ void mma(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* 16 bytes to shared memory, or zeros. */
static __device__ __forceinline__ void fetch16(bf16 *to, const bf16 *from, bool there)
{
    const int bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(shared_at(to)), "l"(from), "r"(bytes) : "memory");
}

/* The same; what lies beside them is wanted soon. */
static __device__ __forceinline__ void fetch_wide(bf16 *to, const bf16 *from, bool there)
{
    const int bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" :: "r"(shared_at(to)), "l"(from), "r"(bytes) : "memory");
}

static __device__ __forceinline__ void commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int LEFT>
static __device__ __forceinline__ void wait_until_left(void)
{
    asm volatile("cp.async.wait_group %0;" :: "n"(LEFT) : "memory");
}

/* 2^x, within two units in the last place; a result under 2^-126 is 0. */
static __device__ __forceinline__ float power2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* Lets the next launch begin as soon as all blocks of this one have come here. */
static __device__ __forceinline__ void start_next(void)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/* The launch before is complete, and what it wrote is there. */
static __device__ __forceinline__ void await_previous(void)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

#endif
