/* backend/cuda/cuda_hopper.cuh - pieces that the kernels for Hopper share: barriers, copies by TMA, wgmma.
 *
 * Tiles lie in shared memory as TMA leaves them under the 128-byte swizzle: boxes of 64 columns, a row 128 bytes, eight rows 1024.
 * Layouts: PTX ISA 8.5, "Asynchronous warpgroup level matrix instructions", "Tensor copies". */
#ifndef AC_BACKEND_CUDA_HOPPER_CUH
#define AC_BACKEND_CUDA_HOPPER_CUH

#include <cuda.h>
#include "backend/cuda/cuda_int.h"
#include "backend/cuda/cuda_mma.cuh"

/* The kernels' bodies exist for sm_90a alone; other architectures get empty ones, which are never launched. */
#if defined(__CUDA_ARCH__) && defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HOPPER 1
#endif

#ifdef HOPPER
/* ---- wgmma: d (64 x N) = a b + d, K = 16; a by descriptor, or its fragments. TB: b lies with n contiguous --------- */

#define W8(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
template <int N, int TB> struct wgmma;
template <int TB> struct wgmma<48, TB> {
    static __device__ __forceinline__ void go(float (&d)[24], uint64_t a, uint64_t b, int add)
    {
        asm volatile("{ .reg .pred p; setp.ne.b32 p, %26, 0; wgmma.mma_async.sync.aligned.m64n48k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        " %16, %17, %18, %19, %20, %21, %22, %23}, "
        "%24, %25, p, 1, 1, 0, %27; }"
        : W8(0), W8(8), W8(16)
        : "l"(a), "l"(b), "r"(add), "n"(TB));
    }
};
template <int TB> struct wgmma<64, TB> {
    static __device__ __forceinline__ void go(float (&d)[32], uint64_t a, uint64_t b, int add)
    {
        asm volatile("{ .reg .pred p; setp.ne.b32 p, %34, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
        "%32, %33, p, 1, 1, 0, %35; }"
        : W8(0), W8(8), W8(16), W8(24)
        : "l"(a), "l"(b), "r"(add), "n"(TB));
    }

    static __device__ __forceinline__ void go(float (&d)[32], const uint32_t (&a)[4], uint64_t b, int add)
    {
        asm volatile("{ .reg .pred p; setp.ne.b32 p, %37, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
        "{%32, %33, %34, %35}, %36, p, 1, 1, %38; }"
        : W8(0), W8(8), W8(16), W8(24)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(TB));
    }
};
template <int TB> struct wgmma<128, TB> {
    static __device__ __forceinline__ void go(float (&d)[64], uint64_t a, uint64_t b, int add)
    {
        asm volatile("{ .reg .pred p; setp.ne.b32 p, %66, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        " %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        " %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "%64, %65, p, 1, 1, 0, %67; }"
        : W8(0), W8(8), W8(16), W8(24), W8(32), W8(40), W8(48), W8(56)
        : "l"(a), "l"(b), "r"(add), "n"(TB));
    }

    static __device__ __forceinline__ void go(float (&d)[64], const uint32_t (&a)[4], uint64_t b, int add)
    {
        asm volatile("{ .reg .pred p; setp.ne.b32 p, %69, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        " %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        " %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "{%64, %65, %66, %67}, %68, p, 1, 1, %70; }"
        : W8(0), W8(8), W8(16), W8(24), W8(32), W8(40), W8(48), W8(56)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(TB));
    }
};
template <int TB> struct wgmma<192, TB> {
    static __device__ __forceinline__ void go(float (&d)[96], uint64_t a, uint64_t b, int add)
    {
        asm volatile("{ .reg .pred p; setp.ne.b32 p, %98, 0; wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        " %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        " %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
        " %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
        " %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95}, "
        "%96, %97, p, 1, 1, 0, %99; }"
        : W8(0), W8(8), W8(16), W8(24), W8(32), W8(40), W8(48), W8(56), W8(64), W8(72), W8(80), W8(88)
        : "l"(a), "l"(b), "r"(add), "n"(TB));
    }
};
template <int TB> struct wgmma<224, TB> {
    static __device__ __forceinline__ void go(float (&d)[112], uint64_t a, uint64_t b, int add)
    {
        asm volatile("{ .reg .pred p; setp.ne.b32 p, %114, 0; wgmma.mma_async.sync.aligned.m64n224k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        " %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        " %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
        " %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
        " %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
        " %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111}, "
        "%112, %113, p, 1, 1, 0, %115; }"
        : W8(0), W8(8), W8(16), W8(24), W8(32), W8(40), W8(48), W8(56), W8(64), W8(72), W8(80), W8(88), W8(96), W8(104)
        : "l"(a), "l"(b), "r"(add), "n"(TB));
    }
};
template <int TB> struct wgmma<256, TB> {
    static __device__ __forceinline__ void go(float (&d)[128], uint64_t a, uint64_t b, int add)
    {
        asm volatile("{ .reg .pred p; setp.ne.b32 p, %130, 0; wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        " %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        " %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        " %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
        " %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
        " %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
        " %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
        " %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
        "%128, %129, p, 1, 1, 0, %131; }"
        : W8(0), W8(8), W8(16), W8(24), W8(32), W8(40), W8(48), W8(56), W8(64), W8(72), W8(80), W8(88), W8(96), W8(104), W8(112), W8(120)
        : "l"(a), "l"(b), "r"(add), "n"(TB));
    }
};
#undef W8

static __device__ __forceinline__ void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
static __device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int LEFT> static __device__ __forceinline__ void wgmma_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
}

/* A place in shared memory under the 128-byte swizzle; lead: between blocks of 64 columns where n is contiguous. */
static __device__ __forceinline__ uint64_t descriptor(uint32_t place, uint32_t lead)
{
    return (uint64_t)(place >> 4 & 0x3fff) | (uint64_t)(lead >> 4) << 16 | (uint64_t)(1024 >> 4) << 32 | 1ull << 62;
}

/* ---- barriers and copies ------------------------------------------------------------------------------------ */

static __device__ __forceinline__ uint32_t shared_place(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

static __device__ __forceinline__ void barrier_init(uint32_t bar, uint32_t count)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(count) : "memory");
}

static __device__ __forceinline__ void barrier_wait(uint32_t bar, uint32_t phase)
{
    asm volatile("{ .reg .pred p;\n"
                 "again: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
                 "@!p bra again; }" ::"r"(bar), "r"(phase) : "memory");
}

static __device__ __forceinline__ void barrier_expect(uint32_t bar, uint32_t bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes) : "memory");
}

static __device__ __forceinline__ void barrier_arrive(uint32_t bar)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(bar) : "memory");
}

/* At the same barrier of a block of the cluster. */
static __device__ __forceinline__ void barrier_arrive_at(uint32_t bar, uint32_t block)
{
    asm volatile("{ .reg .b32 there;\n"
                 "mapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [there]; }" ::"r"(bar), "r"(block) : "memory");
}

static __device__ __forceinline__ void cluster_sync()
{
    __syncwarp();
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

static __device__ __forceinline__ void fetch_tile(uint32_t to, const CUtensorMap *map, uint32_t col, uint32_t row, uint32_t bar)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
                 ::"r"(to), "l"(map), "r"(col), "r"(row), "r"(bar) : "memory");
}

static __device__ __forceinline__ void fetch_for_both(uint32_t to, const CUtensorMap *map, uint32_t col, uint32_t row, uint32_t bar)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
                 "[%0], [%1, {%2, %3}], [%4], %5;"
                 ::"r"(to), "l"(map), "r"(col), "r"(row), "r"(bar), "h"((uint16_t)3) : "memory");
}

/* Four words a lane, four lanes: afterwards lane q has word q of each, in the lanes' order. */
static __device__ __forceinline__ void transpose_quad(uint32_t w[4], int lane)
{
#pragma unroll
    for (int d = 1; d <= 2; d *= 2) {
        const bool hi = (lane & d) != 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (i & d) continue;
            const uint32_t got = __shfl_xor_sync(0xffffffffu, hi ? w[i] : w[i | d], d);
            if (hi) w[i] = got;
            else w[i | d] = got;
        }
    }
}
#endif

/* ---- the host's side: a matrix as TMA knows it ---------------------------------------------------------------- */

typedef CUresult (*encode_fn)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *, const cuuint64_t *,
                              const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                              CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static inline encode_fn find_encode(void)
{
    static encode_fn found;
    void *p = NULL;
    cudaDriverEntryPointQueryResult how;
    if (!found && cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &p, 12000, cudaEnableDefault, &how) == cudaSuccess &&
        how == cudaDriverEntryPointSuccess)
        found = (encode_fn)p;
    return found;
}

/* Rows of cols elements, `ld` apart, in boxes of 64 columns and box_rows rows; what lies outside reads as zeros. */
static inline bool describe(CUtensorMap *map, const cuda_bf16 *at, size_t rows, size_t cols, size_t ld, unsigned box_rows)
{
    const cuuint64_t dims[2] = { cols, rows }, strides[1] = { ld * sizeof(cuda_bf16) };
    const cuuint32_t box[2] = { 64, box_rows }, one[2] = { 1, 1 };
    return find_encode()(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, (void *)(uintptr_t)at, dims, strides, box, one,
                         CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                         CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

#endif
