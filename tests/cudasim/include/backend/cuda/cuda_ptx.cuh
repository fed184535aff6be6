/* tests/cudasim/include/backend/cuda/cuda_ptx.cuh - found in place of src/backend/cuda/cuda_ptx.cuh: the same functions on a
 * simulated GPU, with the fragments' layouts of the PTX manual (sim_tensor.cpp). */
#ifndef AC_BACKEND_CUDA_PTX_CUH
#define AC_BACKEND_CUDA_PTX_CUH

#include <cuda_bf16.h>
#include <stdint.h>

typedef __nv_bfloat16 bf16;

void sim_matrices(uint32_t r[4], const void *row, bool turned);
void sim_mma(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1);
void sim_copy16(void *to, const void *from, bool there);
void sim_commit();
void sim_wait(unsigned left);

static inline void matrices(uint32_t r[4], const bf16 *p) { sim_matrices(r, p, false); }
static inline void matrices_t(uint32_t r[4], const bf16 *p) { sim_matrices(r, p, true); }
static inline void mma(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) { sim_mma(c, a, b0, b1); }
static inline void fetch16(bf16 *to, const bf16 *from, bool there) { sim_copy16(to, from, there); }
static inline void fetch_wide(bf16 *to, const bf16 *from, bool there) { sim_copy16(to, from, there); }
static inline void commit(void) { sim_commit(); }
template <int LEFT> static inline void wait_until_left(void) { sim_wait(LEFT); }

void sim_awaited();
static inline void start_next(void) {}
static inline void await_previous(void) { sim_awaited(); }

static inline float power2(float x)
{
    const float y = exp2f(x);
    return y < 0x1p-126f ? 0.0f : y;
}

#endif
