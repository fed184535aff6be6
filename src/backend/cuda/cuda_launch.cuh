/* backend/cuda/cuda_launch.cuh - launches whose blocks may be on the GPU before the launch before them has ended.
 *
 * A kernel that is started so calls await_previous in each thread before it reads or writes what another kernel reads or writes:
 * it waits until the launch before is complete, which itself waited for the one before it. What is left of a gap between
 * two launches is then the waking. Weights may be read before (start_next, then loads, then await_previous). */
#ifndef AC_BACKEND_CUDA_LAUNCH_CUH
#define AC_BACKEND_CUDA_LAUNCH_CUH

#include "backend/cuda/cuda_int.h"
#include "backend/cuda/cuda_ptx.cuh"

/* Programmatic dependent launch, where the GPU has it (compute capability 9.0). */
template <typename... P, typename... A>
static bool start(void (*kernel)(P...), dim3 grid, dim3 block, size_t bytes, cudaStream_t s, A... a)
{
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t c = {};
    c.gridDim = grid;
    c.blockDim = block;
    c.dynamicSmemBytes = bytes;
    c.stream = s;
    c.attrs = &early;
    c.numAttrs = cuda_early;
    if (cudaLaunchKernelEx(&c, kernel, P(a)...) == cudaSuccess) return true;
    if (!cuda_early) return false;               /* what is wrong stays to be asked by cudaGetLastError */
    (void)cudaGetLastError();                    /* a driver that does not take it: without, from here on */
    c.numAttrs = cuda_early = 0;
    return cudaLaunchKernelEx(&c, kernel, P(a)...) == cudaSuccess;
}

#endif
