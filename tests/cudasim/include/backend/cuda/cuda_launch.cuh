/* tests/cudasim/include/backend/cuda/cuda_launch.cuh - found in place of src/backend/cuda/cuda_launch.cuh: launches come one after
 * the other, and that each thread would have waited for the one before it is checked. */
#ifndef AC_BACKEND_CUDA_LAUNCH_CUH
#define AC_BACKEND_CUDA_LAUNCH_CUH

#include "backend/cuda/cuda_int.h"
#include "backend/cuda/cuda_ptx.cuh"

template <typename... P, typename... A>
static bool sim_start(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t bytes, cudaStream_t s, A... a)
{
    sim_launch l(name, grid, block, bytes, s);
    l.kernel = (const void *)kernel;
    l.early = true;
    l.of([kernel](const auto &...arg) { kernel(arg...); })(P(a)...);
    return true;
}

#define start(...) sim_start(#__VA_ARGS__, __VA_ARGS__)

#endif
