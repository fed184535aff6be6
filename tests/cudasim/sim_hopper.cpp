/* tests/cudasim/sim_hopper.cpp - the kernels for Hopper are not simulated: the device says 8.0, so that none is asked for. */
#include "backend/cuda/cuda_int.h"
#include "sim_int.h"

CUDA_C bool k_segments_built(void)
{
    return false;
}

CUDA_C bool k_segments_fit(const cuda_joined *)
{
    sim::fail("a product of segments is asked about on a GPU that has none");
}

CUDA_C bool k_segments(cudaStream_t, const cuda_joined *, unsigned)
{
    sim::fail("a product of segments is launched on a GPU that has none");
}

CUDA_C bool k_gated_segments_fit(const cuda_joined *, const cuda_bf16 *)
{
    sim::fail("gate and up as one product are asked about on a GPU that has none such");
}

CUDA_C bool k_gated_segments(cudaStream_t, const cuda_joined *, cuda_bf16 *, unsigned)
{
    sim::fail("gate and up are launched as one product on a GPU that has none such");
}

CUDA_C bool k_segments_gated_grad_fit(const cuda_joined *, const cuda_gated_grads *)
{
    sim::fail("the gated unit's gradient behind a product is asked about on a GPU that has none such");
}

CUDA_C bool k_segments_gated_grad(cudaStream_t, const cuda_joined *, const cuda_gated_grads *, unsigned)
{
    sim::fail("the gated unit's gradient is launched behind a product on a GPU that has none such");
}

CUDA_C bool k_flash(cudaStream_t, const cuda_attn *)
{
    sim::fail("attention for Hopper is launched on a GPU of another kind");
}

CUDA_C bool k_flash_grad(cudaStream_t, const cuda_attn *)
{
    sim::fail("attention's gradient for Hopper is launched on a GPU of another kind");
}

CUDA_C bool k_entropy_wide(cudaStream_t, const float *, const int32_t *, float *, cuda_bf16 *, size_t, size_t, float, size_t)
{
    sim::fail("a loss by clusters is launched on a GPU that has none");
}
